//! Children in a process group of their own, with bounded output.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::failpoint;
use crate::model::Output;
use crate::text::End;

/// How long output may still come after the child itself has ended, from something that inherited its pipes.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// How long a child that was told to end may clean up behind itself before it is killed.
const GRACE: Duration = Duration::from_secs(15);

/// Which of its two outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Passes a failpoint if the command has an effect.
pub(super) async fn point(line: &[OsString], when: &str) -> io::Result<()> {
    match line.iter().filter_map(|word| word.to_str()).find(|word| ["up", "run"].contains(word)) {
        Some(effect) => failpoint::reach(|| format!("{when} compose {effect}")).await,
        None => Ok(()),
    }
}

/// Starts a command in its own process group, without a terminal.
pub(super) fn start(line: &[OsString], directory: &Path, stdin: Option<Vec<u8>>) -> io::Result<Child> {
    let (program, arguments) = line.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        // The menu and the "what's next" lines of newer tools.
        .envs([("COMPOSE_MENU", "false"), ("DOCKER_CLI_HINTS", "false")])
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(false)
        .spawn()?;
    if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), stdin) {
        // Beside the reading, because a child that fills its output first would wait for us and we for it. It may
        // also end without reading, which is its own affair.
        tokio::spawn(async move {
            let _ = pipe.write_all(&bytes).await;
        });
    }
    Ok(child)
}

/// Waits for the end of a child. The answer holds the last `limit` bytes of each output.
pub(super) async fn finish(child: &mut Child, limit: usize) -> io::Result<Output> {
    let mut kept = [End::of(limit), End::of(limit)];
    let code = follow(child, |stream, bytes| kept[stream as usize].push(bytes)).await?;
    let [stdout, stderr] = kept.map(End::bare_text);
    Ok(Output { code, stdout, stderr })
}

/// Waits for the end of a child, hands on what it says as it comes, and returns its exit code.
pub(super) async fn follow(child: &mut Child, mut on_bytes: impl FnMut(Stream, &[u8])) -> io::Result<i32> {
    let mut stdout = Pipe::new(child.stdout.take());
    let mut stderr = Pipe::new(child.stderr.take());
    let mut status: Option<ExitStatus> = None;
    while stdout.open() || stderr.open() {
        let ended = status.is_some();
        tokio::select! {
            biased;
            () = stdout.read(), if stdout.open() => stdout.tell(|bytes| on_bytes(Stream::Stdout, bytes)),
            () = stderr.read(), if stderr.open() => stderr.tell(|bytes| on_bytes(Stream::Stderr, bytes)),
            result = child.wait(), if !ended => status = Some(result?),
            () = tokio::time::sleep(AFTERWARDS), if ended => break,
        }
    }
    let status = match status {
        Some(status) => status,
        None => child.wait().await?,
    };
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// A child that is told to end when nobody waits for it any more.
///
/// It gets SIGTERM, on which compose 1.29 removes its one-off container, and SIGKILL when it does not end by itself.
pub(super) struct EndedOnDrop(pub Option<Child>);

impl Drop for EndedOnDrop {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        signal_group(&child, Signal::TERM);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if timeout(GRACE, child.wait()).await.is_err() {
                    signal_group(&child, Signal::KILL);
                    let _ = child.wait().await;
                }
            });
        }
    }
}

/// Sends a signal to a child that was not waited for yet, and to what it started.
fn signal_group(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It can only fail when the group is gone already.
        let _ = kill_process_group(pid, signal);
    }
}

/// One of a child's outputs.
struct Pipe<R> {
    pipe: Option<R>,
    chunk: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(pipe: Option<R>) -> Self {
        Self { pipe, chunk: Vec::with_capacity(16 * 1024) }
    }

    fn open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Reads what is there; cancelling it loses nothing.
    async fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read_buf(&mut self.chunk).await {
            Ok(0) | Err(_) => self.pipe = None,
            Ok(_) => {}
        }
    }

    fn tell(&mut self, on_bytes: impl FnOnce(&[u8])) {
        on_bytes(&self.chunk);
        self.chunk.clear();
    }
}

/// A line that is longer is told in pieces.
const LONGEST_LINE: usize = 64 * 1024;

/// Puts chunks together to lines.
#[derive(Default)]
pub(super) struct Lines {
    /// What came since the last line end.
    begun: Vec<u8>,
}

impl Lines {
    /// Takes a chunk and tells the lines that are whole now, with their ends.
    pub(super) fn push(&mut self, bytes: &[u8], mut on_line: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") || self.begun.len() >= LONGEST_LINE {
                on_line(&self.begun);
                self.begun.clear();
            }
        }
    }

    /// Tells what is left without an end.
    pub(super) fn rest(&mut self, on_line: impl FnOnce(&[u8])) {
        if !self.begun.is_empty() {
            on_line(&std::mem::take(&mut self.begun));
        }
    }
}
