//! A shell on this machine, for an nginx that runs on the host.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::Shell;
use crate::model::{Failure, Output};
use crate::os;

/// Runs each script in a `sh` of its own, which costs a millisecond and leaves nothing to go wrong between two scripts.
///
/// It is a process group of its own, so that a Ctrl-C at the terminal does not end it in the middle of a switch. When nobody
/// waits for it any more, or its time is over, the whole group is killed, `nginx -t` and all, and the next script begins only
/// when nothing of it is left.
#[derive(Debug, Clone)]
pub struct LocalShell {
    command: Vec<String>,
}

impl LocalShell {
    /// Makes a shell of this machine's `sh`.
    pub fn new() -> Self {
        Self::of(["sh"])
    }

    /// Makes a shell of another command that reads a script from its input, as `sudo sh` or `busybox ash`.
    pub fn of<'a>(command: impl IntoIterator<Item = &'a str>) -> Self {
        Self { command: command.into_iter().map(str::to_owned).collect() }
    }

    fn failure(&self, error: impl std::fmt::Display) -> Failure {
        Failure::new(format!("running `{}`: {error}", self.command.join(" ")))
    }

    fn begin(&self) -> Result<(Child, Group), Failure> {
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| Failure::new("internal: a shell without a command"))?;
        let child = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.failure(error))?;
        let leader = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        Ok((child, Group { leader }))
    }

    /// Feeds a script to a shell and reads what it prints until it ends.
    async fn talk(&self, child: &mut Child, script: &str) -> Result<Output, Failure> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A shell that ends early closes its input; its exit code tells more than our broken pipe.
                let _ = stdin.write_all(script.as_bytes()).await;
            }
        };
        // A stream that is no longer read ends who writes into it.
        let ((), out, err, status) = tokio::join!(write, kept(stdout), kept(stderr), child.wait());
        let status = status.map_err(|error| self.failure(error))?;
        if out.len().max(err.len()) as u64 > KEPT {
            return Err(self.failure(format!("it printed more than {} MiB", KEPT >> 20)));
        }
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        let code = status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(1);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output { code, stdout: text(out), stderr: text(err) })
    }
}

impl Default for LocalShell {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells whether an nginx runs on this machine that is no container's. Costs a look at the name of each process.
pub fn runs_here() -> bool {
    let namespace = |process: &Path| std::fs::read_link(process.join("ns/mnt")).ok();
    let own = namespace(Path::new("/proc/self"));
    os::processes().any(|(_, path)| {
        let text = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
        text("comm").starts_with("nginx")
            && namespace(&path).is_none_or(|other| own.as_ref().is_none_or(|own| *own == other))
            && is_of_machine(&text("status"), &text("cgroup"))
    })
}

/// Tells whether a process belongs to no container, by what everybody may read of it.
fn is_of_machine(status: &str, cgroup: &str) -> bool {
    let pids =
        status.lines().find_map(|line| line.strip_prefix("NSpid:")).map_or(1, |pids| pids.split_whitespace().count());
    pids == 1 && !["docker", "containerd", "kubepods", "libpod", "lxc"].iter().any(|engine| cgroup.contains(engine))
}

/// What is kept of each stream: more than the largest configurations have.
const KEPT: u64 = 64 << 20;

/// Reads a stream to its end, or one byte further than is kept.
async fn kept(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let _ = stream.take(KEPT + 1).read_to_end(&mut bytes).await;
    }
    bytes
}

/// The groups of scripts that were given up, until nothing of them is left.
static GIVEN_UP: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// For so long a killed process may take to be gone; one that waits for a disk takes its time.
const DYING: Duration = Duration::from_secs(5);

/// A script's processes, killed when this is dropped before the script is over.
struct Group {
    leader: Option<Pid>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            let _ = kill_process_group(leader, Signal::KILL);
            GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner).push(leader);
        }
    }
}

/// Waits until nothing is left of the scripts that were given up.
async fn await_over() -> Result<(), Failure> {
    let mut groups: Vec<Pid> = GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let began = Instant::now();
    while !groups.is_empty() {
        let members = members();
        groups.retain(|group| members.iter().any(|(of, _)| of == group));
        GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner).retain(|group| groups.contains(group));
        if !groups.is_empty() && began.elapsed() > DYING {
            let left = members.iter().filter(|(of, _)| groups.contains(of));
            let left: Vec<String> = left.map(|(_, pid)| pid.to_string()).collect();
            return Err(Failure::new(format!(
                "a script that was given up still runs and can't be killed (process {})",
                left.join(", ")
            ))
            .hint("see what it waits for, as a disk that does not answer"));
        }
        if !groups.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

/// Returns the group and the pid of every process of this machine that has not ended.
fn members() -> Vec<(Pid, i32)> {
    let member = |(pid, process): (i32, PathBuf)| {
        let words = os::stat(&process)?;
        let (state, group) = (words.first()?, words.get(2)?);
        let group = Pid::from_raw(group.parse().ok()?)?;
        (!matches!(state.as_str(), "Z" | "X")).then_some((group, pid))
    };
    os::processes().filter_map(member).collect()
}

impl Shell for LocalShell {
    async fn run_within(&self, script: &str, limit: Duration) -> Result<Output, Failure> {
        await_over().await?;
        let (mut child, mut group) = self.begin()?;
        match tokio::time::timeout(limit, self.talk(&mut child, script)).await {
            Ok(Ok(output)) => {
                group.leader = None;
                Ok(output)
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                drop(group);
                let over = await_over().await.err();
                let still = over.map(|failure| format!("; {failure}")).unwrap_or_default();
                let limit = humantime::format_duration(limit);
                Err(self.failure(format!("a script did not finish within {limit} and was ended{still}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many processes have this word among their arguments.
    fn processes(word: &str) -> usize {
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let line = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
        let has = |line: &Vec<u8>| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes());
        all.filter_map(line).filter(has).count()
    }

    #[tokio::test]
    async fn a_script_that_takes_too_long_is_over_with_all_that_it_began() {
        // Longer than any test runs; the fraction tells it from others' naps.
        let nap = format!("1000.{}", std::process::id());
        let script = format!("(sleep {nap} & sleep {nap}; echo late) & sleep {nap}; echo never");
        let shell = LocalShell::new();
        let failure = shell.run_within(&script, Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(failure.what, "running `sh`: a script did not finish within 300ms and was ended");
        assert_eq!(processes(&nap), 0);
        assert_eq!(shell.run("echo next").await.unwrap().stdout, "next\n");
    }

    #[tokio::test]
    async fn a_script_that_nobody_waits_for_is_over_before_the_next_begins() {
        let nap = format!("2000.{}", std::process::id());
        let shell = LocalShell::new();
        let script = format!("trap '' TERM; sleep {nap} & sleep {nap}");
        let waits = shell.run_within(&script, Duration::from_secs(60));
        assert!(tokio::time::timeout(Duration::from_millis(300), waits).await.is_err());
        let seen =
            shell.run("for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo; done").await.unwrap();
        assert!(!seen.stdout.contains(&format!("sleep {nap}")), "{}", seen.stdout);
    }

    #[tokio::test]
    async fn what_is_too_much_is_named() {
        let failure = LocalShell::new().run("exec yes 2>/dev/null").await.unwrap_err();
        assert_eq!(failure.what, "running `sh`: it printed more than 64 MiB");
    }

    #[test]
    fn a_container_s_process_is_told_from_the_machine_s_without_any_right() {
        assert!(is_of_machine("Name:\tnginx\nNSpid:\t4711\n", "0::/system.slice/nginx.service\n"));
        assert!(is_of_machine("Name:\tnginx\n", ""));
        assert!(!is_of_machine("Name:\tnginx\nNSpid:\t4711\t1\n", "0::/\n"));
        // With `pid: host` only the group tells.
        assert!(!is_of_machine("NSpid:\t4711\n", "0::/system.slice/docker-0123456789ab.scope\n"));
    }
}
