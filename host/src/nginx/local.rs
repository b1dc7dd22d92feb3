//! A shell on this machine, for an nginx that runs on the host.

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
