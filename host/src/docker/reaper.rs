//! Ends in its container what was given up outside.
//!
//! The engine has no call that ends an exec, and closing its connection leaves the process running. So every process
//! is started with a mark in its environment, which its children inherit, and is found by it.
//!
//! Limits: the container needs `sh` and `cat` and the process must not hide its environment (a set-uid program does);
//! without `sh`, only the process itself is ended, and only where this machine sees it and this user may.

use std::sync::Mutex;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::exec::Command;
use super::{Docker, ask};

/// The name of the mark in the environment.
pub(super) const MARK: &str = "SWAP_EXEC";

/// The endings under way.
#[derive(Default)]
pub(super) struct Reaper(Mutex<JoinSet<()>>);

impl Reaper {
    fn spawn(&self, ending: impl Future<Output = ()> + Send + 'static) {
        // Without a runtime the whole program is ending.
        if let (Ok(runtime), Ok(mut tasks)) = (Handle::try_current(), self.0.lock()) {
            while tasks.try_join_next().is_some() {}
            tasks.spawn_on(ending, &runtime);
        }
    }

    pub(super) async fn settle(&self, limit: Duration) {
        let tasks = self.0.lock().map(|mut tasks| std::mem::take(&mut *tasks));
        if let Ok(tasks) = tasks {
            let _ = tokio::time::timeout(limit, tasks.join_all()).await;
        }
    }
}

/// A process in a container that is ended when this is dropped while armed.
pub(super) struct Guard {
    docker: Docker,
    container: String,
    exec: String,
    user: Option<String>,
    mark: String,
    pub(super) armed: bool,
}

impl Guard {
    pub(super) fn new(docker: &Docker, container: &str, exec: &str, user: Option<&str>, mark: &str) -> Self {
        Self {
            docker: docker.clone(),
            container: container.to_owned(),
            exec: exec.to_owned(),
            user: user.map(str::to_owned),
            mark: mark.to_owned(),
            armed: true,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed {
            let docker = self.docker.clone();
            let (container, exec) = (self.container.clone(), self.exec.clone());
            let (user, mark) = (self.user.clone(), self.mark.clone());
            self.docker.reaper.spawn(async move { end(&docker, &container, &exec, user, &mark).await });
        }
    }
}

/// Asks the marked processes to end, and kills what is left a second later.
async fn end(docker: &Docker, container: &str, exec: &str, user: Option<String>, mark: &str) {
    // It may be just about to start, so one look is not enough.
    for _ in 0..8 {
        match signal(docker, container, user.clone(), mark, "TERM").await {
            Some(true) => {
                let asked = Instant::now();
                while asked.elapsed() < Duration::from_secs(1) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    if signal(docker, container, user.clone(), mark, "0").await == Some(false) {
                        return;
                    }
                }
                // A parent that is found after its child may have started another one.
                for _ in 0..10 {
                    if signal(docker, container, user.clone(), mark, "KILL").await == Some(false) {
                        return;
                    }
                }
                return;
            }
            Some(false) => {}
            None => kill_from_here(docker, exec, mark).await,
        }
        match ask(docker.api.inspect_exec(exec)).await {
            Ok(answer) if answer.running == Some(true) || answer.exit_code.is_none() => {}
            _ => return,
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Sends a signal to all marked processes; tells whether there were any, or `None` if the container has no shell.
async fn signal(docker: &Docker, container: &str, user: Option<String>, mark: &str, signal: &str) -> Option<bool> {
    // As the same user: another one, root without ptrace rights too, may not read the environment.
    let script = "for p in /proc/[0-9]*; do case \"$(cat \"$p/environ\" 2>/dev/null)\" in \
                  *\"$1\"*) kill -\"$2\" \"${p#/proc/}\" 2>/dev/null && echo found;; esac; done";
    let mut command = Command::new(["sh", "-c", script, "sh", &format!("{MARK}={mark}"), signal]);
    command.user = user;
    match tokio::time::timeout(Duration::from_secs(3), docker.exec_unguarded(container, &command)).await {
        Ok(Ok(output)) => Some(!output.stdout.is_empty()),
        _ => None,
    }
}

/// Kills the process by the engine's number for it, if that number means the same process on this machine.
async fn kill_from_here(docker: &Docker, exec: &str, mark: &str) {
    if !docker.is_local() {
        return;
    }
    let Ok(answer) = ask(docker.api.inspect_exec(exec)).await else { return };
    let Some(pid) = answer.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw) else {
        return;
    };
    // Docker Desktop's numbers are of its own machine; the mark proves that it is the right process.
    let environ = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    if environ.split(|byte| *byte == 0).any(|entry| entry == format!("{MARK}={mark}").as_bytes()) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
