//! Ends in its container what was given up outside.
//!
//! The engine has no call that ends an exec, and closing its connection leaves the process running. So every process
//! is started with a mark in its environment, which its children inherit, and is found by it.
//!
//! Limits: the container needs `sh` and `cat` and the process must not hide its environment (a set-uid program does);
//! without `sh`, only the process itself is ended, and only where this machine sees it and this user may.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, join_all};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::exec::Command;
use super::{Docker, ExecError, ask, short};
use crate::model::Failure;

/// The name of the mark in the environment.
pub(super) const MARK: &str = "SWAP_EXEC";

/// What was given up: a marked process in a container.
#[derive(Clone)]
struct GivenUp {
    container: String,
    exec: String,
    user: Option<String>,
    mark: String,
}

/// Answers whether it is over.
type Ending = Shared<BoxFuture<'static, bool>>;

/// The endings under way, and those that did not succeed.
#[derive(Default)]
pub(super) struct Reaper(Mutex<Vec<(GivenUp, Ending)>>);

impl Reaper {
    fn list(&self) -> MutexGuard<'_, Vec<(GivenUp, Ending)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, docker: &Docker, given_up: GivenUp) {
        // Without a runtime the whole program is ending.
        let Ok(runtime) = Handle::try_current() else { return };
        let (docker, what) = (docker.clone(), given_up.clone());
        let task = runtime.spawn(async move { end(&docker, &what).await });
        let ending = async move { task.await.unwrap_or(false) }.boxed().shared();
        let mut list = self.list();
        list.retain(|(_, ending)| ending.peek() != Some(&true));
        list.push((given_up, ending));
    }

    pub(super) async fn settle(&self, limit: Duration) {
        let endings: Vec<Ending> = self.list().iter().map(|(_, ending)| ending.clone()).collect();
        let _ = tokio::time::timeout(limit, join_all(endings)).await;
    }

    /// Waits until all that was given up in a container is over. Fails where something can't be ended; the next call tries
    /// once more.
    pub(super) async fn await_over(&self, docker: &Docker, container: &str) -> Result<(), Failure> {
        let here: Vec<(GivenUp, Ending)> =
            self.list().iter().filter(|(given_up, _)| given_up.container == container).cloned().collect();
        for (given_up, ending) in here {
            let over = match ending.peek() {
                Some(false) => end(docker, &given_up).await,
                _ => ending.await,
            };
            if !over {
                return Err(Failure::new(format!(
                    "a command that was given up in container `{}` still runs and can't be ended",
                    short(container)
                ))
                .hint(format!("`docker top {0}` shows it; `docker restart {0}` ends it", short(container))));
            }
            self.list().retain(|(other, _)| other.exec != given_up.exec);
        }
        Ok(())
    }
}

/// A process in a container that is ended when this is dropped while armed.
pub(super) struct Guard {
    docker: Docker,
    given_up: GivenUp,
    pub(super) armed: bool,
}

impl Guard {
    pub(super) fn new(docker: &Docker, container: &str, exec: &str, user: Option<&str>, mark: &str) -> Self {
        let given_up = GivenUp {
            container: container.to_owned(),
            exec: exec.to_owned(),
            user: user.map(str::to_owned),
            mark: mark.to_owned(),
        };
        Self { docker: docker.clone(), given_up, armed: true }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed {
            self.docker.reaper.begin(&self.docker, self.given_up.clone());
        }
    }
}

/// Asks the marked processes to end, and kills what is left a second later. Tells whether nothing of them is left.
async fn end(docker: &Docker, given_up: &GivenUp) -> bool {
    let GivenUp { container, exec, user, mark } = given_up;
    let ask_to = |what: &'static str| signal(docker, container, user.clone(), mark, what);
    // It may be just about to start, so one look is not enough.
    for _ in 0..8 {
        let left = ask_to("TERM").await;
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
        match ask(docker.api.inspect_exec(exec)).await {
            Ok(answer) if answer.running == Some(true) || answer.exit_code.is_none() => {}
            // That the process itself has ended says nothing of those that it has started.
            Ok(_) if left == Left::Unknown => {}
            Ok(_) => return true,
            // The container is gone, or the engine was restarted: its commands with it.
            Err(fault) if fault.is(404) || fault.is(409) => return true,
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    false
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
    match tokio::time::timeout(Duration::from_secs(3), docker.exec_unguarded(container, &command)).await {
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
