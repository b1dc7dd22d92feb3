//! Commands of hooks that are under way: how they are given up, and what a process that was killed left of them.
//!
//! A command goes on by itself when nobody waits for it any more. So each is noted in a file of its own before it begins; the
//! note goes when the command is over, and the next process ends what a dead one's notes name. One-off containers say by a label
//! which run they belong to, for those who take it up on another machine.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::claim::copy::RUN;
use crate::claim::holder::Holder;
use crate::claim::lock::{gone, this_process};
use crate::compose::end_clients;
use crate::docker::{Docker, Marked};
use crate::model::{Failure, RunId};
use crate::os;
use crate::site::Site;
use crate::ui::Display;

/// How long a client of compose may take to end before it is killed.
const CLIENT: Duration = Duration::from_secs(3);
/// How long the command of a one-off container has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);
/// After so long a one-off container that can't be ended is told as one that still runs.
const PATIENCE: Duration = Duration::from_secs(15);
/// The engine may make a container a moment after the client that asked for it has ended.
const LATE: Duration = Duration::from_millis(300);

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Begun {
    /// A command in a container.
    Command(Marked),
    /// A one-off container, by its name.
    OneOff(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    run: RunId,
    by: Holder,
    begun: Begun,
}

/// The notes of a project.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    folder: PathBuf,
    run: RunId,
}

/// A note; it goes with [`Noted::over`], and stays where its command was given up.
#[derive(Debug)]
pub(super) struct Noted(PathBuf);

impl Noted {
    pub(super) fn over(self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Notes {
    pub(super) fn of(base: &Path, run: &RunId) -> Self {
        Self { folder: base.join("commands"), run: run.clone() }
    }

    /// Notes what is about to begin. `name` is one that nobody else has.
    pub(super) fn note(&self, name: &str, begun: Begun) -> Result<Noted, Failure> {
        let path = self.folder.join(name);
        let note = Note { run: self.run.clone(), by: this_process(), begun };
        let text = serde_json::to_vec(&note).unwrap_or_default();
        // Not synced: what would lose it ends the command too.
        let written = os::private_folder(&self.folder)
            .and_then(|()| os::private_file().write(true).create_new(true).open(&path)?.write_all(&text));
        written.map_err(|error| Failure::new(format!("noting a command in `{}`: {error}", path.display())))?;
        Ok(Noted(path))
    }
}

/// Returns the notes that are there.
fn read(folder: &Path) -> Vec<(Noted, Note)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let notes = entries.filter_map(|entry| {
        let note = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
        Some((Noted(entry.path()), note))
    });
    notes.collect()
}

/// Forgets what this process had begun: all of it is over.
pub(super) fn forget_own(base: &Path) {
    let me = this_process();
    let mine = |by: &Holder| (by.pid, by.start, &by.space, &by.boot) == (me.pid, me.start, &me.space, &me.boot);
    let own = read(&base.join("commands")).into_iter().filter(|(_, note)| mine(&note.by));
    own.for_each(|(noted, _)| noted.over());
}

/// Ends a one-off container with the client that attends to it, and removes it. Tells whether nothing of it is left.
///
/// Twice: what is gone stays gone.
pub(super) async fn end_one_off(docker: &Docker, name: &str) -> bool {
    let began = Instant::now();
    let mut gone_since = None;
    while began.elapsed() < PATIENCE {
        let signal = if began.elapsed() < CLIENT { Signal::TERM } else { Signal::KILL };
        // First the clients: one that is left could still make the container.
        let clients = end_clients(name, signal);
        let left = match docker.inspect(name).await {
            Ok(None) => false,
            Ok(Some(seen)) => {
                let ended = docker.stop(&seen.id, Some(GRACE)).await.is_ok();
                !(ended && docker.remove(&seen.id, true).await.is_ok())
            }
            Err(_) => true,
        };
        if clients > 0 || left {
            gone_since = None;
        } else if gone_since.get_or_insert_with(Instant::now).elapsed() >= LATE {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Ends a one-off container in the background when this is dropped while armed.
pub(super) struct OneOffGuard {
    docker: Docker,
    name: String,
    pub(super) armed: bool,
}

impl OneOffGuard {
    pub(super) fn new(docker: &Docker, name: &str) -> Self {
        Self { docker: docker.clone(), name: name.to_owned(), armed: true }
    }
}

impl Drop for OneOffGuard {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (docker, name) = (self.docker.clone(), self.name.clone());
        self.docker.give_up(
            format!("one-off container `{name}`"),
            format!("`docker rm -f {name}` ends it"),
            Arc::new(move || {
                let (docker, name) = (docker.clone(), name.clone());
                async move { end_one_off(&docker, &name).await }.boxed()
            }),
        );
    }
}

impl Site {
    /// Ends what processes that are dead have left running for hooks, and all that is left of the run that is taken up.
    ///
    /// # Errors
    /// Something can't be ended; the message names it. Nothing may begin beside it.
    pub async fn end_left_commands(&self, taken_up: Option<&RunId>, display: &Display) -> Result<(), Failure> {
        let me = this_process();
        for (noted, note) in read(&self.folder().path().join("commands")) {
            let rebooted = note.by.node == me.node && note.by.boot != me.boot;
            let dead = rebooted || gone(&me, &note.by) == Some(true);
            if !dead && taken_up != Some(&note.run) {
                continue;
            }
            self.end_left(&note.begun, &note.run, display).await?;
            noted.over();
        }
        let Some(run) = taken_up else { return Ok(()) };
        for seen in self.docker.one_offs_labelled(&format!("{RUN}={run}")).await? {
            self.end_left(&Begun::OneOff(seen.name), run, display).await?;
        }
        Ok(())
    }

    /// Waits for what was given up in the background, at most so long. Returns the names of what still runs then.
    pub async fn settle(&self, limit: Duration) -> Vec<String> {
        let running = self.docker.settle(limit).await;
        if running.is_empty() {
            forget_own(self.folder().path());
        }
        running
    }

    async fn end_left(&self, begun: &Begun, run: &RunId, display: &Display) -> Result<(), Failure> {
        let (what, over, cure) = match begun {
            Begun::Command(command) => {
                let container = crate::text::short(&command.container);
                let what = format!("a command of run {run} in container `{container}`");
                (what, self.docker.end_command(command).await, format!("`docker restart {container}` ends it"))
            }
            Begun::OneOff(name) => {
                let was_there = self.docker.inspect(name).await?.is_some();
                let over = end_one_off(&self.docker, name).await;
                if over && !was_there {
                    return Ok(());
                }
                (format!("one-off container `{name}` of run {run}"), over, format!("`docker rm -f {name}` ends it"))
            }
        };
        if !over {
            return Err(
                Failure::new(format!("{what} was left by a process that is dead, and can't be ended")).hint(cure)
            );
        }
        display.say(&format!("{what}, which a dead process had left, is over"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_tells_what_runs_until_it_is_over() {
        let base = tempfile::tempdir().unwrap();
        let run = RunId("20260131-154502-9f3a".to_owned());
        let notes = Notes::of(base.path(), &run);
        let command = Begun::Command(Marked {
            container: "0123".to_owned(),
            exec: "4567".to_owned(),
            user: None,
            mark: "mark".to_owned(),
        });
        let first = notes.note("mark", command.clone()).unwrap();
        let second = notes.note("demo-app-x", Begun::OneOff("demo-app-x".to_owned())).unwrap();
        let mut left: Vec<Begun> = read(&notes.folder).into_iter().map(|(_, note)| note.begun).collect();
        left.sort_by_key(|begun| matches!(begun, Begun::OneOff(_)));
        assert_eq!(left, [command, Begun::OneOff("demo-app-x".to_owned())]);
        first.over();
        assert_eq!(read(&notes.folder).len(), 1);
        drop(second);
        forget_own(base.path());
        assert!(read(&notes.folder).is_empty());
        // What a crash left half written is nobody's.
        std::fs::write(notes.folder.join("half"), b"{\"run\":").unwrap();
        assert!(read(&notes.folder).is_empty());
    }
}
