//! A shell on this machine, for an nginx that runs on the host.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::Shell;
use crate::model::{Failure, Output};

/// Runs each script in a `sh` of its own, which costs a millisecond and leaves nothing to go wrong between two scripts.
///
/// It is a process group of its own, so that a Ctrl-C at the terminal does not end it in the middle of a switch; it is
/// killed when nobody waits for it any more.
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
    std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
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

impl Shell for LocalShell {
    async fn run(&self, script: &str) -> Result<Output, Failure> {
        let what = |error: std::io::Error| Failure::new(format!("running `{}`: {error}", self.command.join(" ")));
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| Failure::new("internal: a shell without a command"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(what)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A shell that ends early closes its input; its exit code tells more than our broken pipe.
                let _ = stdin.write_all(script.as_bytes()).await;
            }
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let read_out = async {
            if let Some(stdout) = stdout {
                let _ = stdout.take(KEPT).read_to_end(&mut out).await;
            }
        };
        let read_err = async {
            if let Some(stderr) = stderr {
                let _ = stderr.take(KEPT).read_to_end(&mut err).await;
            }
        };
        let ((), (), (), status) = tokio::join!(write, read_out, read_err, child.wait());
        let status = status.map_err(what)?;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        let code = status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(1);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output { code, stdout: text(out), stderr: text(err) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_s_process_is_told_from_the_machine_s_without_any_right() {
        assert!(is_of_machine("Name:\tnginx\nNSpid:\t4711\n", "0::/system.slice/nginx.service\n"));
        assert!(is_of_machine("Name:\tnginx\n", ""));
        assert!(!is_of_machine("Name:\tnginx\nNSpid:\t4711\t1\n", "0::/\n"));
        // With `pid: host` only the group tells.
        assert!(!is_of_machine("NSpid:\t4711\n", "0::/system.slice/docker-0123456789ab.scope\n"));
    }
}
