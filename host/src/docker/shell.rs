//! A shell that stays open in a container, so that a command costs what it costs there and no round of exec calls.
//!
//! Measured beside each other on a busy machine with two cores, engine 20.10: `true` by such a shell 0.6–1.2 ms, by exec
//! 140–210 ms.

use std::time::Duration;

use bollard::container::LogOutput;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

use super::exec::{Attached, Command, refusal};
use super::{Docker, ExecError};
use crate::model::{Failure, Output};
use crate::os::token;
use crate::text::{End, printable, short_or_name};

/// How many bytes a script may print to its stdout and to its stderr: more than the largest configurations of nginx have.
const LIMIT: usize = 64 << 20;

/// How long the engine may take to start a shell.
const OPENING: Duration = Duration::from_secs(20);

/// An open `sh` in a container. Scripts run one after the other.
///
/// Each script runs in a subshell with an empty input, so `exit`, `cd`, `set -e`, variables and syntax errors end with
/// it. What a script leaves in the background should have its output redirected: what it prints while no script runs is
/// dropped, what it prints during a later one is taken for that one's.
pub struct Shell {
    docker: Docker,
    container: String,
    user: Option<String>,
    limit: Duration,
    session: Mutex<Option<Attached>>,
}

impl Docker {
    /// Opens a shell in a running container; `user` of `None` is the container's own.
    ///
    /// Fails if there is no `sh` or the container does not run.
    pub async fn shell(&self, container: &str, user: Option<&str>) -> Result<Shell, Failure> {
        let shell = Shell {
            docker: self.clone(),
            container: container.to_owned(),
            user: user.map(str::to_owned),
            limit: Duration::from_secs(10),
            session: Mutex::new(None),
        };
        shell.run(":").await?;
        Ok(shell)
    }
}

impl Shell {
    /// Sets how long one script may take, instead of 10 s.
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Returns the container's id or name, as given.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// As [`Shell::run_within`], within the usual time.
    pub async fn run(&self, script: &str) -> Result<Output, Failure> {
        self.run_within(script, self.limit).await
    }

    /// Runs a script and returns its exit code and output.
    ///
    /// Begins only when whatever was given up in the container before is over, so that no script works beside one that was
    /// given up.
    ///
    /// A shell that was gone before the script began, because the container was restarted, is opened again. One that
    /// ends or takes too long while the script runs is a failure: the script may have done something, so it is not run
    /// twice. Then, and when this is dropped, the shell and what it runs are ended, and the next call opens a new one.
    pub async fn run_within(&self, script: &str, limit: Duration) -> Result<Output, Failure> {
        if script.contains('\0') {
            return Err(Failure::new("a script for a shell can't contain a NUL byte"));
        }
        let mut slot = self.session.lock().await;
        self.docker.reaper.await_over(Some(&self.container)).await?;
        // Taken out: if this future is dropped midway, the session goes with it.
        if let Some(session) = slot.take() {
            match self.attempt(session, script, limit).await {
                Ok((session, output)) => {
                    *slot = Some(session);
                    return Ok(output);
                }
                Err(Broken::BeforeStart(_)) => {}
                Err(Broken::Failed(failure)) => return Err(failure),
            }
        }
        let failed = |broken| match broken {
            Broken::BeforeStart(failure) | Broken::Failed(failure) => failure,
        };
        // That the engine takes its time to start the shell is not the script's fault.
        let (session, _) = self.attempt(self.open().await?, ":", OPENING).await.map_err(failed)?;
        let (session, output) = self.attempt(session, script, limit).await.map_err(failed)?;
        *slot = Some(session);
        Ok(output)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(["sh"]);
        command.stdin = Some(Vec::new());
        command.user = self.user.clone();
        command
    }

    async fn open(&self) -> Result<Attached, Failure> {
        self.docker
            .attach(&self.container, &self.command(), Some(&token()), &|_| Ok(()))
            .await
            .map_err(|error| self.explain(error))
    }

    fn explain(&self, error: ExecError) -> Failure {
        match error {
            ExecError::NotFound { container, .. } => {
                Failure::new(format!("container `{container}` has no shell (`sh`)"))
            }
            other => other.into(),
        }
    }

    async fn attempt(
        &self,
        mut session: Attached,
        script: &str,
        limit: Duration,
    ) -> Result<(Attached, Output), Broken> {
        let mark = token();
        let line = wrapped(script, &mark);
        if let Some(guard) = &mut session.guard {
            guard.armed = true;
        }
        let mut out = Part::new(&mark);
        let mut err = Part::new(&mark);
        let mut lost = String::new();
        let talk = async {
            let mut fed = false;
            let (input, output) = (&mut session.input, &mut session.output);
            let mut feed = std::pin::pin!(async {
                input.write_all(line.as_bytes()).await?;
                input.flush().await
            });
            while !(out.ended() && err.ended()) {
                tokio::select! {
                    written = &mut feed, if !fed => {
                        fed = true;
                        if let Err(error) = written {
                            lost = error.to_string();
                            return false;
                        }
                    }
                    frame = output.next() => match frame {
                        Some(Ok(LogOutput::StdErr { message })) => err.push(&message),
                        Some(Ok(frame)) => out.push(&frame.into_bytes()),
                        Some(Err(error)) => {
                            lost = error.to_string();
                            return false;
                        }
                        None => return false,
                    },
                }
            }
            true
        };
        let finished = tokio::time::timeout(limit, talk).await;
        let container = short_or_name(&self.container);
        match finished {
            Ok(true) => {
                if let Some(guard) = &mut session.guard {
                    guard.armed = false;
                }
                if out.dropped() || err.dropped() {
                    return Err(Broken::Failed(Failure::new(format!(
                        "{} in container `{container}` printed more than {} MiB",
                        brief(script),
                        LIMIT >> 20
                    ))));
                }
                let code = out.code();
                Ok((session, Output { code, stdout: out.body(), stderr: err.body() }))
            }
            Ok(false) if !out.begun() && !err.begun() => {
                if let Some(guard) = &mut session.guard {
                    guard.armed = false;
                }
                // What came instead of the first mark may be the runtime's complaint.
                let output = Output { code: 127, stdout: out.body(), stderr: err.body() };
                Err(Broken::BeforeStart(
                    match self.docker.never_started(&session.exec, output.code, [&output.stdout, &output.stderr]).await
                    {
                        Some(complaint) => self.explain(refusal(&self.container, &self.command(), &complaint)),
                        None => Failure::new(
                            format!("the shell in container `{container}` ended at once {}", printable(&lost))
                                .trim()
                                .to_owned(),
                        )
                        .tail(output.stderr.lines().map(str::to_owned)),
                    },
                ))
            }
            Ok(false) => Err(Broken::Failed(
                Failure::new(format!("the shell in container `{container}` ended while it ran {}", brief(script)))
                    .tail(out.body().lines().chain(err.body().lines()).map(str::to_owned)),
            )),
            Err(_) => Err(Broken::Failed(
                Failure::new(format!(
                    "the shell in container `{container}` did not finish {} within {}",
                    brief(script),
                    humantime::format_duration(limit)
                ))
                .tail(out.body().lines().chain(err.body().lines()).map(str::to_owned)),
            )),
        }
    }
}

/// Returns what the shell reads for one script.
///
/// A syntax error in `eval` ends a POSIX shell, so it happens in the subshell, and the outer parser only ever sees a
/// quoted string. The space keeps a script that begins with a dash from being an option.
fn wrapped(script: &str, mark: &str) -> String {
    let quoted = script.replace('\'', r"'\''");
    format!(
        "echo {mark}; echo {mark} >&2; ( eval ' {quoted}' ) </dev/null; c=$?; \
         echo \"\n{mark} $c\"; echo \"\n{mark}\" >&2\n"
    )
}

/// Why a script has no result.
enum Broken {
    /// The shell was gone before the script began.
    BeforeStart(Failure),
    /// The script had begun.
    Failed(Failure),
}

/// One stream of one script: what comes before the first mark is not the script's, the second mark ends it.
struct Part {
    first: Vec<u8>,
    second: Vec<u8>,
    state: PartState,
}

enum PartState {
    Before(Vec<u8>),
    /// The part that may hold the beginning of the second mark stays apart from what is the script's for sure.
    Body(End, Vec<u8>),
    Ended(End, Vec<u8>),
}

impl Part {
    fn new(mark: &str) -> Self {
        Self {
            first: format!("{mark}\n").into_bytes(),
            second: format!("\n{mark}").into_bytes(),
            state: PartState::Before(Vec::new()),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        match &mut self.state {
            PartState::Before(buffer) => {
                buffer.extend_from_slice(bytes);
                if let Some(at) = find(buffer, &self.first) {
                    let rest = buffer.split_off(at + self.first.len());
                    self.state = PartState::Body(End::of(LIMIT), Vec::new());
                    self.push(&rest);
                } else if buffer.len() > 64 * 1024 {
                    buffer.drain(..buffer.len() - self.first.len());
                }
            }
            PartState::Body(kept, open) => {
                open.extend_from_slice(bytes);
                if let Some(at) = find(open, &self.second) {
                    // The line's end belongs to the mark.
                    if open[at + self.second.len()..].contains(&b'\n') {
                        kept.push(&open[..at]);
                        let rest = open[at + self.second.len()..].to_vec();
                        let kept = std::mem::replace(kept, End::of(0));
                        self.state = PartState::Ended(kept, rest);
                    }
                } else {
                    let sure = open.len().saturating_sub(self.second.len());
                    kept.push(&open[..sure]);
                    open.drain(..sure);
                }
            }
            PartState::Ended(..) => {}
        }
    }

    fn begun(&self) -> bool {
        !matches!(self.state, PartState::Before(_))
    }

    fn ended(&self) -> bool {
        matches!(self.state, PartState::Ended(..))
    }

    /// Tells whether not all could be kept.
    fn dropped(&self) -> bool {
        matches!(&self.state, PartState::Ended(kept, _) if kept.is_cut())
    }

    fn code(&self) -> i32 {
        match &self.state {
            PartState::Ended(_, rest) => {
                String::from_utf8_lossy(rest).lines().next().and_then(|code| code.trim().parse().ok()).unwrap_or(-1)
            }
            _ => -1,
        }
    }

    fn body(self) -> String {
        match self.state {
            PartState::Before(buffer) => String::from_utf8_lossy(&buffer).into_owned(),
            PartState::Body(mut kept, open) => {
                kept.push(&open);
                kept.text()
            }
            PartState::Ended(kept, _) => kept.text(),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

/// Returns a script as a message names it: a line as it is, of a longer one its length, because nobody reads it there.
fn brief(script: &str) -> String {
    match script.trim().lines().count() {
        0 | 1 => format!("`{}`", printable(script.trim())),
        lines => format!("a script of {lines} lines"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_script_is_named_by_its_length() {
        assert_eq!(brief("echo a; sleep 1\n"), "`echo a; sleep 1`");
        assert_eq!(brief("(\necho a\n)\n"), "a script of 3 lines");
    }

    /// Feeds all scripts to one shell of this machine; returns code, stdout and whether there was a stderr.
    fn run_in(shell: &[&str], scripts: &[&str]) -> Vec<(i32, String, bool)> {
        use std::io::Write;
        let mut child = std::process::Command::new(shell[0])
            .args(&shell[1..])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mark = |at: usize| format!("mark-{at}-");
        let input: String = scripts.iter().enumerate().map(|(at, script)| wrapped(script, &mark(at))).collect();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let results = (0..scripts.len()).map(|at| {
            let (mut out, mut err) = (Part::new(&mark(at)), Part::new(&mark(at)));
            out.push(&output.stdout);
            err.push(&output.stderr);
            assert!(out.ended() && err.ended(), "{shell:?} script {at}");
            (out.code(), out.body(), !err.body().is_empty())
        });
        results.collect()
    }

    #[test]
    fn no_script_confuses_a_shell_whichever_it_is() {
        let shells: [&[&str]; 4] = [&["dash"], &["bash"], &["bash", "--posix"], &["busybox", "sh"]];
        for shell in shells {
            let there = std::process::Command::new(shell[0]).arg("--help").stdin(std::process::Stdio::null()).output();
            if there.is_err() {
                eprintln!("skipped: there is no {}", shell[0]);
                continue;
            }
            let results = run_in(
                shell,
                &[
                    "printf 'it'\\''s'; exit 3",
                    "if then (",
                    "echo 'open quote",
                    "cat; echo read nothing",
                    "x=1; cd /; set -eu; false; echo never",
                    "echo \"x=${x-unset}\"",
                    "-n no option",
                    "exec 1>&-; exec true",
                    "return 4; echo $(",
                    "echo a # comment",
                    "cat <<'END'\nhere\nEND",
                    "trap 'echo trapped' EXIT; kill -9 $(exec sh -c 'echo $PPID')",
                ],
            );
            let lines: Vec<String> = results
                .iter()
                .map(|(code, out, err)| {
                    // Shells differ in the code of a syntax error.
                    let code = if *err { "some".to_owned() } else { code.to_string() };
                    format!("{code} {out:?}")
                })
                .collect();
            let expected = [
                "3 \"it's\"",
                "some \"\"",
                "some \"\"",
                "0 \"read nothing\\n\"",
                "1 \"\"",
                "0 \"x=unset\\n\"",
                "some \"\"",
                "0 \"\"",
                "some \"\"",
                "0 \"a\\n\"",
                "0 \"here\\n\"",
            ];
            assert_eq!(lines[..expected.len()], expected, "{shell:?}");
            assert!(results[11].0 == 137 || results[11].1.is_empty(), "{shell:?}: {:?}", results[11]);
        }
    }

    #[test]
    fn output_is_cut_out_exactly_however_it_is_chopped() {
        for size in 1..40 {
            let mut part = Part::new("MARK");
            for chunk in b"noise\nMARK\nline\n\nMAR\nMAR\0K\xff\nMARK 3\nnoise".chunks(size) {
                part.push(chunk);
            }
            assert_eq!(
                (part.ended(), part.code(), part.body()),
                (true, 3, "line\n\nMAR\nMAR\0K\u{fffd}".to_owned()),
                "{size}"
            );
        }
    }
}
