//! Connections to an engine on another machine: `docker system dial-stdio` by ssh, as the docker CLI does it.
//!
//! The first connection logs in; the others go through it (`ControlMaster`), so that they cost a few milliseconds
//! instead of a login. The shared connection ends by itself soon after the last one that used it.

use std::ffi::OsString;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// The tests' own `ssh` and its first arguments: ssh finds its configuration by the password file, not by `HOME`.
#[cfg(test)]
pub(super) static TEST_SSH: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();

/// How to log in on one machine.
pub(super) struct Ssh {
    arguments: Vec<OsString>,
    /// Holds the control socket; nobody else may enter the folder.
    _folder: tempfile::TempDir,
    /// What the last ssh that was started says on its standard error.
    complaint: Mutex<Option<JoinHandle<String>>>,
}

impl Ssh {
    pub(super) fn new(user: Option<&str>, host: &str, port: Option<u16>, socket: Option<&str>) -> io::Result<Self> {
        // A control socket's path must be short, so it does not go below a long TMPDIR.
        let folder =
            tempfile::Builder::new().prefix("swap-ssh-").tempdir_in("/tmp").or_else(|_| tempfile::tempdir())?;
        let mut control = OsString::from("ControlPath=");
        control.push(folder.path().join("c"));
        let mut arguments: Vec<OsString> = Vec::new();
        for option in ["ControlMaster=auto", "ControlPersist=20", "BatchMode=yes", "ConnectTimeout=8"] {
            arguments.extend(["-o".into(), option.into()]);
        }
        arguments.extend(["-o".into(), control, "-T".into()]);
        if let Some(user) = user {
            arguments.extend(["-l".into(), user.into()]);
        }
        if let Some(port) = port {
            arguments.extend(["-p".into(), port.to_string().into()]);
        }
        let command = match socket {
            // The other machine's shell reads this line.
            Some(path) => format!("docker --host 'unix://{}' system dial-stdio", path.replace('\'', r"'\''")),
            None => "docker system dial-stdio".to_owned(),
        };
        arguments.extend(["--".into(), host.into(), command.into()]);
        Ok(Self { arguments, _folder: folder, complaint: Mutex::new(None) })
    }

    /// Opens one more connection to the engine.
    pub(super) fn channel(&self) -> io::Result<Channel> {
        #[cfg(not(test))]
        let mut command = Command::new("ssh");
        #[cfg(test)]
        let mut command = test_ssh();
        let mut child = command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("starting `ssh`: {error}")))?;
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("ssh was started without pipes"));
        };
        let complaint = tokio::spawn(async move {
            let mut text = Vec::new();
            let mut buffer = [0; 1024];
            // What is beyond the first lines is read and forgotten, so that ssh never blocks on it.
            while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
                let room = 4096usize.saturating_sub(text.len());
                text.extend_from_slice(&buffer[..count.min(room)]);
            }
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        if let Ok(mut last) = self.complaint.lock() {
            *last = Some(complaint);
        }
        Ok(Channel { _child: child, stdin: Some(stdin), stdout })
    }

    /// Returns what ssh says about why the last connection failed, or the error itself if it says nothing.
    pub(super) async fn explain(&self, error: io::Error) -> io::Error {
        let complaint = self.complaint.lock().ok().and_then(|mut last| last.take());
        let Some(complaint) = complaint else { return error };
        match tokio::time::timeout(Duration::from_secs(1), complaint).await {
            Ok(Ok(text)) if !text.is_empty() => io::Error::other(text.lines().collect::<Vec<_>>().join("; ")),
            _ => error,
        }
    }
}

/// One connection: the standard input and output of a `docker system dial-stdio`.
pub(super) struct Channel {
    _child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

impl AsyncRead for Channel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.stdin.as_mut() {
            Some(stdin) => Pin::new(stdin).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stdin.as_mut() {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The end of its input tells the other side that this direction is closed.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
fn test_ssh() -> Command {
    let words = TEST_SSH.get().cloned().unwrap_or_else(|| vec!["ssh".to_owned()]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}
