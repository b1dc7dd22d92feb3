//! Commands in containers.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::reaper::{Guard, MARK};
use super::{Docker, Fault, ask};
use crate::model::{Captured, Failure, Output};
use crate::os::token;
use crate::text::{Beginning, End, Lines, printable, short_or_name};

/// No line is told that is longer than this; what is kept of the output has all of it.
const LINE: usize = 8192;

/// A command for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What it reads; `None` is nothing.
    pub stdin: Option<Vec<u8>>,
    /// Variables beside the container's own.
    pub env: Vec<(String, String)>,
    /// Those of the container's variables that it must not have.
    pub unset: Vec<String>,
    /// Whether it may do what root of the machine may.
    pub privileged: bool,
    /// The user it runs as; `None` is the container's.
    pub user: Option<String>,
    /// Its working directory; `None` is the container's.
    pub dir: Option<String>,
    /// How many bytes of each stdout and stderr are kept; of more, the last ones.
    pub limit: usize,
}

impl Command {
    /// Makes a command without input, with the container's user, folder and environment, that keeps 1 MiB of output.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: None,
            env: Vec::new(),
            unset: Vec::new(),
            privileged: false,
            user: None,
            dir: None,
            limit: 1024 * 1024,
        }
    }

    /// Makes a line for the container's shell.
    pub fn shell(line: &str) -> Self {
        Self::new(["sh", "-c", line])
    }

    /// Returns it as people write it, for messages.
    fn shown(&self) -> String {
        printable(&self.argv.join(" "))
    }
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Why a command gave no exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// The container has no such program, or may not run it.
    #[error("container `{container}` has no program `{program}`")]
    NotFound {
        /// The short id or the name that was given.
        container: String,
        /// The first word of the command.
        program: String,
    },
    /// The container is not there or does not run.
    #[error("container `{0}` does not run")]
    NotRunning(String),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::Failed(failure) => failure,
            other => Failure::new(other.to_string()),
        }
    }
}

impl Docker {
    /// Runs a command in a running container and returns its exit code and output; `on_line` gets each line as it comes,
    /// control characters escaped.
    ///
    /// There is no limit in time: drop the future at the deadline, and the command and what it started are ended in the
    /// container (SIGTERM, a second later SIGKILL) in the background; see [`Docker::settle`]. Input is given while output
    /// is read, so neither side waits for the other. A process that the command leaves behind in the background does not
    /// hold this up.
    pub async fn exec(
        &self,
        id: &str,
        command: &Command,
        on_line: &mut (dyn FnMut(Stream, &str) + Send),
    ) -> Result<Output, ExecError> {
        let mark = token();
        let attached = self.attach(id, command, Some(&mark), &|_| Ok(())).await?;
        self.follow(id, command, attached, on_line).await
    }

    /// As [`Docker::exec`] for those who want the beginning of the output, to the byte.
    ///
    /// `mark` is what the command's processes are found by, and `begins` is told the engine's name of it before it starts: so
    /// somebody else can end it by [`Docker::end_command`], should this process be killed. Where it fails, nothing starts.
    pub async fn capture(
        &self,
        id: &str,
        command: &Command,
        mark: &str,
        begins: &(dyn Fn(&str) -> Result<(), Failure> + Sync),
        on_line: &mut (dyn FnMut(Stream, &str) + Send),
    ) -> Result<Captured, ExecError> {
        let attached = self.attach(id, command, Some(mark), begins).await?;
        let mut kept = [Beginning::of(command.limit), Beginning::of(command.limit)];
        let on_bytes = &mut |stream: Stream, bytes: &[u8]| kept[stream as usize].push(bytes);
        let (exec, code) = self.read(id, command, attached, on_bytes, on_line).await?;
        let [stdout, stderr] = kept;
        let [out, err] = [&stdout, &stderr].map(|kept| String::from_utf8_lossy(kept.bytes()));
        match self.never_started(&exec, code, [&out, &err]).await {
            Some(complaint) => Err(refusal(id, command, &complaint)),
            None => Ok(Captured { code, stdout, stderr }),
        }
    }

    /// As [`Docker::exec`] for those who don't want the lines as they come.
    pub async fn output(&self, id: &str, command: &Command) -> Result<Output, ExecError> {
        self.exec(id, command, &mut |_, _| {}).await
    }

    /// As [`Docker::output`], for the commands that end others.
    pub(super) async fn exec_unguarded(&self, id: &str, command: &Command) -> Result<Output, ExecError> {
        let attached = self.attach(id, command, None, &|_| Ok(())).await?;
        self.follow(id, command, attached, &mut |_, _| {}).await
    }

    async fn follow(
        &self,
        id: &str,
        command: &Command,
        attached: Attached,
        on_line: &mut (dyn FnMut(Stream, &str) + Send),
    ) -> Result<Output, ExecError> {
        let mut kept = [End::of(command.limit), End::of(command.limit)];
        let on_bytes = &mut |stream: Stream, bytes: &[u8]| kept[stream as usize].push(bytes);
        let (exec, code) = self.read(id, command, attached, on_bytes, on_line).await?;
        let [out, err] = kept;
        let output = Output { code, stdout: out.text(), stderr: err.text() };
        match self.never_started(&exec, code, [&output.stdout, &output.stderr]).await {
            Some(complaint) => Err(refusal(id, command, &complaint)),
            None => Ok(output),
        }
    }

    /// Feeds a started command and reads what it says until its end. Returns the engine's name of it and its exit code.
    async fn read(
        &self,
        id: &str,
        command: &Command,
        attached: Attached,
        on_bytes: &mut (dyn FnMut(Stream, &[u8]) + Send),
        on_line: &mut (dyn FnMut(Stream, &str) + Send),
    ) -> Result<(String, i32), ExecError> {
        let Attached { exec, mut output, mut input, mut guard } = attached;
        let tried = || format!("running `{}` in container `{}`", command.shown(), short_or_name(id));
        let mut lines = [Lines::of(LINE), Lines::of(LINE)];
        let feed = async {
            if let Some(bytes) = &command.stdin {
                // A command need not read all of it.
                let _ = input.write_all(bytes).await;
                let _ = input.shutdown().await;
            }
        };
        let mut feed = std::pin::pin!(feed);
        let mut fed = false;
        loop {
            let frame = tokio::select! {
                frame = output.next() => frame,
                () = &mut feed, if !fed => {
                    fed = true;
                    continue;
                }
                // What the command left in the background may hold its output open for ever.
                () = tokio::time::sleep(Duration::from_secs(1)) => match self.exit_code(&exec).await {
                    Ok(Some(_)) => {
                        tokio::time::timeout(Duration::from_millis(100), output.next()).await.unwrap_or_default()
                    }
                    _ => continue,
                },
            };
            let (stream, bytes) = match frame {
                None => break,
                Some(Err(error)) => return Err(Fault::from(error).when(tried()).into()),
                Some(Ok(LogOutput::StdErr { message })) => (Stream::Err, message),
                Some(Ok(frame)) => (Stream::Out, frame.into_bytes()),
            };
            on_bytes(stream, &bytes);
            lines[stream as usize].push(&bytes, |line| on_line(stream, &printable(line)));
        }
        for (stream, rest) in [(Stream::Out, lines[0].rest()), (Stream::Err, lines[1].rest())] {
            if let Some(line) = rest {
                on_line(stream, &printable(&line));
            }
        }
        let code = self.await_exit_code(&exec).await.map_err(|fault| fault.when(tried()))?;
        if let Some(guard) = &mut guard {
            guard.armed = false;
        }
        Ok((exec, code))
    }

    /// Creates and starts an exec. `mark` marks it so that it can be found and ended; `begins` is told its name before.
    pub(super) async fn attach(
        &self,
        id: &str,
        command: &Command,
        mark: Option<&str>,
        begins: &(dyn Fn(&str) -> Result<(), Failure> + Sync),
    ) -> Result<Attached, ExecError> {
        let tried = || format!("running `{}` in container `{}`", command.shown(), short_or_name(id));
        let mut env: Vec<String> = command.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        // The engine takes a name alone for a variable that is to go.
        env.extend(command.unset.iter().cloned());
        env.extend(mark.map(|mark| format!("{MARK}={mark}")));
        let options = CreateExecOptions {
            attach_stdin: Some(command.stdin.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            env: Some(env),
            cmd: Some(command.argv.clone()),
            privileged: Some(command.privileged),
            user: command.user.clone(),
            working_dir: command.dir.clone(),
            ..Default::default()
        };
        let exec = match ask(self.api.create_exec(id, options)).await {
            Ok(created) => created.id,
            Err(fault) if fault.is(404) || fault.is(409) => {
                return Err(ExecError::NotRunning(short_or_name(id).to_owned()));
            }
            Err(fault) => return Err(fault.when(tried()).into()),
        };
        begins(&exec)?;
        let guard = mark.map(|mark| Guard::new(self, id, &exec, command.user.as_deref(), mark));
        match ask(self.api.start_exec(&exec, None)).await {
            Ok(StartExecResults::Attached { output, input }) => Ok(Attached { exec, output, input, guard }),
            Ok(StartExecResults::Detached) => {
                Err(Failure::new(format!("{}: the engine did not attach", tried())).into())
            }
            Err(fault) => {
                // It never ran, except if the engine only did not answer.
                if let (Some(mut guard), Some(_)) = (guard, fault.status) {
                    guard.armed = false;
                }
                if fault.message.contains("is not running") {
                    return Err(ExecError::NotRunning(short_or_name(id).to_owned()));
                }
                Err(match fault.status {
                    Some(_) => refusal(id, command, &fault.message),
                    None => fault.when(tried()).into(),
                })
            }
        }
    }

    /// Returns the exit code of an exec that has ended, `None` while it runs.
    async fn exit_code(&self, exec: &str) -> Result<Option<i32>, Fault> {
        let answer = ask(self.api.inspect_exec(exec)).await?;
        if answer.running == Some(true) {
            return Ok(None);
        }
        Ok(answer.exit_code.map(|code| i32::try_from(code).unwrap_or(-1)))
    }

    /// Awaits the exit code of an exec whose output has ended: the engine may write it down a moment later.
    async fn await_exit_code(&self, exec: &str) -> Result<i32, Fault> {
        let mut pause = Duration::from_millis(1);
        let began = Instant::now();
        loop {
            if let Some(code) = self.exit_code(exec).await? {
                return Ok(code);
            }
            // A program may close its output and work on; then its end is what counts.
            if began.elapsed() > Duration::from_secs(1) {
                pause = Duration::from_millis(250);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    /// Returns the runtime's complaint if the program was never started; the engine sends it as if it were output.
    pub(super) async fn never_started(&self, exec: &str, code: i32, said: [&str; 2]) -> Option<String> {
        if !matches!(code, 126..=128) {
            return None;
        }
        let complaint = said.into_iter().find(|text| {
            text.starts_with("OCI runtime exec failed") || text.starts_with("failed to create runc console")
        })?;
        // A program that only prints such words has had a process.
        let pid = ask(self.api.inspect_exec(exec)).await.ok().and_then(|answer| answer.pid);
        (pid.unwrap_or(0) == 0).then(|| complaint.trim().to_owned())
    }
}

/// Says why the runtime did not start a command.
pub(super) fn refusal(id: &str, command: &Command, complaint: &str) -> ExecError {
    let missing = ["executable file not found", "no such file or directory", "permission denied"];
    let chdir = complaint.contains("chdir to cwd");
    if !chdir && missing.iter().any(|sign| complaint.contains(sign)) {
        let program = command.argv.first().map(|program| printable(program)).unwrap_or_default();
        return ExecError::NotFound { container: short_or_name(id).to_owned(), program };
    }
    Failure::new(format!(
        "running `{}` in container `{}`: {}",
        command.shown(),
        short_or_name(id),
        printable(complaint)
    ))
    .into()
}

/// A started exec.
pub(super) struct Attached {
    pub(super) exec: String,
    pub(super) output: Pin<Box<dyn futures_util::Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>,
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
    pub(super) guard: Option<Guard>,
}
