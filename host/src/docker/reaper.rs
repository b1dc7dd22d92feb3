//! Ends in its container what was given up outside.
//!
//! The engine has no call that ends an exec, and closing its connection leaves the process running. So every process
//! is started with a mark in its environment, which its children inherit, and is found by it.
//!
//! Limits: the container needs `sh` and `cat` and the process must not hide its environment (a set-uid program does);
//! without `sh`, only the process itself is ended, and only where this machine sees it and this user may.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, join_all};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::exec::Command;
use super::{Docker, ExecError, ask_within};
use crate::model::Failure;
use crate::text::short_or_name;

/// The name of the mark in the environment.
pub(super) const MARK: &str = "SWAP_EXEC";

/// A command in a container: what its processes are found by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// The container that it runs in.
    pub container: String,
    /// The engine's name of it.
    pub exec: String,
    /// The user that it runs as; `None` is the container's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The mark in its environment.
    pub mark: String,
}

/// Ends what was given up and answers whether it is over. May be called again.
pub type End = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// Something that was given up.
#[derive(Clone)]
struct GivenUp {
    /// Its name for people.
    what: String,
    /// What a person can do where it can't be ended.
    cure: String,
    /// The container in which no script may run beside it.
    container: Option<String>,
    end: End,
}

/// Answers whether it is over.
type Ending = Shared<BoxFuture<'static, bool>>;

/// The endings under way, and those that did not succeed.
#[derive(Default)]
pub(super) struct Reaper(Mutex<List>);

#[derive(Default)]
struct List {
    /// How many were begun.
    count: u64,
    endings: Vec<Numbered>,
}

/// What was given up, with its number and its ending.
type Numbered = (u64, GivenUp, Ending);

impl Reaper {
    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, given_up: GivenUp) {
        // Without a runtime the whole program is ending.
        let Ok(runtime) = Handle::try_current() else { return };
        let task = runtime.spawn((given_up.end)());
        let ending = async move { task.await.unwrap_or(false) }.boxed().shared();
        let mut list = self.list();
        list.endings.retain(|(_, _, ending)| ending.peek() != Some(&true));
        list.count += 1;
        let number = list.count;
        list.endings.push((number, given_up, ending));
    }

    /// Waits for the endings, and returns the names of what is not over then.
    pub(super) async fn settle(&self, limit: Duration) -> Vec<String> {
        let endings = self.list().endings.clone();
        let _ = tokio::time::timeout(limit, join_all(endings.iter().map(|ending| self.is_over(ending)))).await;
        let list = self.list();
        list.endings.iter().map(|(_, given_up, _)| format!("{} ({})", given_up.what, given_up.cure)).collect()
    }

    /// Waits until all that was given up is over, or what was so in a container. Fails where something can't be ended; the
    /// next call tries once more.
    pub(super) async fn await_over(&self, container: Option<&str>) -> Result<(), Failure> {
        let meant = |given_up: &GivenUp| container.is_none() || given_up.container.as_deref() == container;
        let meant: Vec<_> = self.list().endings.iter().filter(|(_, given_up, _)| meant(given_up)).cloned().collect();
        for ending in meant {
            if !self.is_over(&ending).await {
                let (_, given_up, _) = ending;
                let what = format!("{} was given up, still runs and can't be ended", given_up.what);
                return Err(Failure::new(what).hint(given_up.cure));
            }
        }
        Ok(())
    }

    /// Waits for an ending; one that did not succeed, because the engine was away perhaps, is tried once more. What is over is
    /// forgotten.
    async fn is_over(&self, (number, given_up, ending): &Numbered) -> bool {
        let over = match ending.peek() {
            Some(false) => (given_up.end)().await,
            _ => ending.clone().await,
        };
        if over {
            self.list().endings.retain(|(other, ..)| other != number);
        }
        over
    }
}

impl Docker {
    /// Ends in the background what was given up; see [`Docker::settle`] and [`Docker::given_up_is_over`]. `what` names it for
    /// people, and `cure` is what they can do where it can't be ended.
    pub fn give_up(&self, what: String, cure: String, end: End) {
        self.reaper.begin(GivenUp { what, cure, container: None, end });
    }

    /// Waits until all that was given up is over. Fails where something still runs, with its name; may be asked again.
    pub async fn given_up_is_over(&self) -> Result<(), Failure> {
        self.reaper.await_over(None).await
    }

    /// Ends a command that runs in a container, and what it has started. Tells whether nothing of it is left.
    pub async fn end_command(&self, command: &Marked) -> bool {
        end(self, command).await
    }
}

/// How long one question about what was given up may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// How long it is looked for, where the engine does not tell.
const LOOKED_FOR: Duration = Duration::from_secs(10);

/// A process in a container that is ended when this is dropped while armed.
pub(super) struct Guard {
    docker: Docker,
    command: Marked,
    pub(super) armed: bool,
}

impl Guard {
    pub(super) fn new(docker: &Docker, container: &str, exec: &str, user: Option<&str>, mark: &str) -> Self {
        let command = Marked {
            container: container.to_owned(),
            exec: exec.to_owned(),
            user: user.map(str::to_owned),
            mark: mark.to_owned(),
        };
        Self { docker: docker.clone(), command, armed: true }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (docker, command) = (self.docker.clone(), self.command.clone());
        let container = short_or_name(&command.container);
        self.docker.reaper.begin(GivenUp {
            what: format!("a command in container `{container}`"),
            cure: format!("`docker top {container}` shows it; `docker restart {container}` ends it"),
            container: Some(command.container.clone()),
            end: Arc::new(move || {
                let (docker, command) = (docker.clone(), command.clone());
                async move { end(&docker, &command).await }.boxed()
            }),
        });
    }
}

/// Asks the marked processes to end, and kills what is left a second later. Tells whether nothing of them is left.
async fn end(docker: &Docker, command: &Marked) -> bool {
    let Marked { container, exec, user, mark } = command;
    let ask_to = |what: &'static str| signal(docker, container, user.clone(), mark, what);
    // It may be just about to start, so one look is not enough.
    let mut never_started = false;
    let began = Instant::now();
    for _ in 0..8 {
        if began.elapsed() > LOOKED_FOR {
            return false;
        }
        let left = ask_to("TERM").await;
        never_started = false;
        match left {
            Left::Some => {
                let asked = Instant::now();
                while asked.elapsed() < Duration::from_secs(1) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    if ask_to("0").await == Left::Nothing {
                        return true;
                    }
                }
                // A parent that is found after its child may have started another one.
                for _ in 0..10 {
                    if ask_to("KILL").await == Left::Nothing {
                        return true;
                    }
                }
                return false;
            }
            Left::NoShell => kill_from_here(docker, exec, mark).await,
            Left::Nothing | Left::Unknown => {}
        }
        match ask_within(ANSWERED_WITHIN, docker.api.inspect_exec(exec)).await {
            Ok(answer) if answer.running == Some(true) => {}
            // Where the engine went away before it was told to start it, nobody will any more.
            Ok(answer) if answer.exit_code.is_none() => never_started = left == Left::Nothing,
            // That the process itself has ended says nothing of those that it has started.
            Ok(_) if left == Left::Unknown => {}
            Ok(_) => return true,
            // The container is gone, or the engine was restarted: its commands with it.
            Err(fault) if fault.is(404) || fault.is(409) => return true,
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    never_started
}

/// What is left of marked processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Some that got the signal.
    Some,
    /// Nothing.
    Nothing,
    /// The container has no shell to look with.
    NoShell,
    /// The engine did not answer, or not in time.
    Unknown,
}

/// Sends a signal to all marked processes and tells what there was.
async fn signal(docker: &Docker, container: &str, user: Option<String>, mark: &str, signal: &str) -> Left {
    // As the same user: another one, root without ptrace rights too, may not read the environment.
    let script = "for p in /proc/[0-9]*; do case \"$(cat \"$p/environ\" 2>/dev/null)\" in \
                  *\"$1\"*) kill -\"$2\" \"${p#/proc/}\" 2>/dev/null && echo found;; esac; done";
    let mut command = Command::new(["sh", "-c", script, "sh", &format!("{MARK}={mark}"), signal]);
    command.user = user;
    match tokio::time::timeout(ANSWERED_WITHIN, docker.exec_unguarded(container, &command)).await {
        Ok(Ok(output)) if output.stdout.is_empty() => Left::Nothing,
        Ok(Ok(_)) => Left::Some,
        Ok(Err(ExecError::NotFound { .. })) => Left::NoShell,
        Ok(Err(ExecError::NotRunning(_))) => Left::Nothing,
        Ok(Err(ExecError::Failed(_))) | Err(_) => Left::Unknown,
    }
}

/// Kills the process by the engine's number for it, if that number means the same process on this machine.
async fn kill_from_here(docker: &Docker, exec: &str, mark: &str) {
    if !docker.is_local() {
        return;
    }
    let Ok(answer) = ask_within(ANSWERED_WITHIN, docker.api.inspect_exec(exec)).await else { return };
    let Some(pid) = answer.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw) else {
        return;
    };
    // Docker Desktop's numbers are of its own machine; the mark proves that it is the right process.
    let environ = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    if environ.split(|byte| *byte == 0).any(|entry| entry == format!("{MARK}={mark}").as_bytes()) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
