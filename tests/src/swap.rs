//! Calls the `swap` binary and captures all that it prints, in a form that can be compared as a whole.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use regex_lite::Regex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::command::{expect_code, run};
use crate::eventually::eventually_some;
use crate::images;
use crate::promise;
use crate::stack::Stack;

/// No call takes longer unless [`Swap::limit`] says so; what still runs then is killed and the test fails.
const LIMIT: Duration = Duration::from_secs(180);

/// A call that is not yet made.
#[derive(Debug)]
#[must_use = "it is made by `expect_exit` or `start`"]
pub struct Swap<'a> {
    stack: &'a Stack,
    arguments: Vec<String>,
    environment: Vec<(String, OsString)>,
    folder: PathBuf,
    wrapper: Vec<String>,
    limit: Duration,
}

/// What a call did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Its standard output, normalised.
    pub stdout: String,
    /// Its standard error, normalised.
    pub stderr: String,
    /// The standard output as it was.
    pub raw: String,
    /// The whole time.
    pub took: Duration,
    /// The most memory that the process itself held, in KiB; 0 if nobody could look.
    pub peak_kib: u64,
    /// When each line of the standard output was read.
    pub lines: Vec<(Instant, String)>,
}

impl Outcome {
    /// Checks that it has talked of this, on standard error.
    #[track_caller]
    pub fn talks_of(&self, part: &str) {
        assert!(self.stderr.contains(part), "there is no `{part}` in\n{}", self.stderr);
    }

    /// Checks that it has printed this, on standard output.
    #[track_caller]
    pub fn prints(&self, part: &str) {
        assert!(self.stdout.contains(part), "there is no `{part}` in\n{}", self.stdout);
    }
}

impl<'a> Swap<'a> {
    pub(crate) fn new(stack: &'a Stack, arguments: &[&str]) -> Self {
        Self {
            stack,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            environment: vec![("SWAP_STATE_DIR".into(), stack.state().into())],
            folder: stack.path("."),
            wrapper: Vec::new(),
            limit: LIMIT,
        }
    }

    /// Lets it take so long, as where it waits for others.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Calls it from another folder.
    pub fn from_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Runs the call by another program, as `["unshare", "--net"]`, that must become it by exec.
    pub fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Calls it as if on another machine: with a state folder of its own and in a machine's name of its own.
    pub fn elsewhere(self, node: &str) -> Self {
        let state = self.stack.state().join(node);
        let script = "hostname \"$0\"; exec \"$@\"";
        self.env("SWAP_STATE_DIR", state).through(&["unshare", "--uts", "sh", "-c", script, node])
    }

    /// Makes the call and waits for its end. Panics unless it exits with this code; the message has all that it said.
    #[track_caller]
    pub fn expect_exit(self, code: i32) -> Outcome {
        self.start().expect_exit(code)
    }

    /// Makes the call and leaves it running.
    #[track_caller]
    pub fn start(self) -> Started<'a> {
        let journals = Journals::of(&self);
        let arguments = self.arguments.clone();
        let binary = binary().unwrap_or_else(|error| panic!("finding the swap binary: {error:?}"));
        let mut command = match self.wrapper.split_first() {
            Some((program, rest)) => {
                let mut command = Command::new(program);
                command.args(rest).arg(&binary);
                command
            }
            None => Command::new(&binary),
        };
        let names_compose = self.environment.iter().any(|(name, _)| name == "SWAP_COMPOSE");
        command
            .args(&self.arguments)
            .current_dir(&self.folder)
            .envs(self.environment)
            // As in a cron job: no terminal, no colour, no annotations.
            .env("TERM", "dumb")
            .env_remove("GITHUB_ACTIONS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Ok(tool) = std::env::var("SWAP_TEST_COMPOSE")
            && !tool.contains(' ')
            && !names_compose
        {
            command.env("SWAP_COMPOSE", tool);
        }
        let begun = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("running `{}`: {error}", binary.display()));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let out = child.stdout.take().map(|out| {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    lines.lock().expect("the lines").push((Instant::now(), line));
                }
            })
        });
        let err = child.stderr.take().map(|mut err| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = err.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        Started { stack: self.stack, arguments, child, begun, limit: self.limit, journals, lines, out, err }
    }
}

/// A call that is under way.
#[derive(Debug)]
#[must_use = "nobody has claimed how it ends"]
pub struct Started<'a> {
    stack: &'a Stack,
    arguments: Vec<String>,
    child: Child,
    begun: Instant,
    limit: Duration,
    journals: Journals,
    lines: Arc<Mutex<Vec<(Instant, String)>>>,
    out: Option<JoinHandle<()>>,
    err: Option<JoinHandle<String>>,
}

impl Started<'_> {
    /// Waits until a step has reached an event, as `("switch", "started")`.
    ///
    /// Panics if the call ends or 180 seconds pass before: a machine that is busy with much else takes long.
    #[track_caller]
    pub fn until(&mut self, verb: &str, event: &str) {
        self.until_event(&format!("`{verb}` was `{event}`"), |line, doing| doing == verb && line["event"] == event);
    }

    /// Waits until it has noticed a signal, as [`Started::until`] waits.
    #[track_caller]
    pub fn until_interrupted(&mut self) {
        self.until_event("it was interrupted", |line, _| line["event"] == "interrupted");
    }

    #[track_caller]
    fn until_event(&mut self, what: &str, wanted: impl Fn(&Value, &str) -> bool) {
        eventually_some(format!("a line of a journal that says that {what}"), LIMIT, || {
            // Asked first: what a call has written before its end is there when it has ended.
            let ended = matches!(self.child.try_wait(), Ok(Some(_)));
            let found = self.journals.new_events().iter().any(|(line, doing)| wanted(line, doing));
            if ended && !found {
                let said = self.err.take().and_then(|err| err.join().ok()).unwrap_or_default();
                panic!("swap ended before {what}:\n{said}");
            }
            found.then_some(())
        });
    }

    /// Sends a signal, as a terminal or a system that shuts down does.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("sending a signal");
    }

    /// Kills it, as nothing else does that a program could notice. One that has just ended by itself is left as it is.
    #[track_caller]
    pub fn kill(&mut self) {
        self.child.kill().expect("killing it");
    }

    /// Waits for the end. Panics unless it exits with this code; the message has all that it said.
    #[track_caller]
    pub fn expect_exit(self, code: i32) -> Outcome {
        self.expect_exit_of(&[code])
    }

    /// Does what [`Started::expect_exit`] does, where it depends on the moment which of these codes it is.
    #[track_caller]
    pub fn expect_exit_of(self, codes: &[i32]) -> Outcome {
        let outcome = self.wait().unwrap_or_else(|error| panic!("{error:?}"));
        expect_code(codes, outcome.code, &outcome.raw, &outcome.stderr);
        outcome
    }

    /// Waits for the end, whatever it is. Fails where it breaks what it promises for its exit code; see [`promise`].
    pub fn wait(mut self) -> Result<Outcome> {
        let mut peak_kib = 0;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if self.begun.elapsed() > self.limit {
                self.child.kill()?;
                self.child.wait()?;
                anyhow::bail!("swap still ran after {:?}", self.limit);
            }
            // The kernel's account of ended children counts compose and the docker CLI too, so the process itself is asked.
            peak_kib = peak(self.child.id()).unwrap_or(peak_kib);
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.begun.elapsed();
        if let Some(out) = self.out.take() {
            out.join().map_err(|_| anyhow::anyhow!("reading its output"))?;
        }
        let stderr = self.err.take().and_then(|err| err.join().ok()).unwrap_or_default();
        let lines = self.lines.lock().expect("the lines").clone();
        let raw: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        let signalled = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
        let code = status.code().or(signalled).unwrap_or(-1);
        if let Some(promise) = promise::broken(&self.arguments, code, &raw, &stderr) {
            anyhow::bail!("{promise}; it exited {code}\n--- stdout\n{raw}--- stderr\n{stderr}");
        }
        Ok(Outcome {
            code,
            stdout: self.stack.normalise(&raw),
            stderr: self.stack.normalise(&stderr),
            raw,
            took,
            peak_kib,
            lines,
        })
    }
}

/// Where a call keeps its journals, and those that were there before it.
#[derive(Debug)]
struct Journals {
    folder: PathBuf,
    former: BTreeSet<OsString>,
}

impl Journals {
    fn of(swap: &Swap) -> Self {
        let named = swap.environment.iter().rev().find(|(name, _)| name == "SWAP_STATE_DIR");
        let folder = named.map_or_else(|| swap.stack.state(), |(_, folder)| folder.into());
        let former = runs(&folder).iter().filter_map(|path| path.file_stem().map(OsStr::to_owned)).collect();
        Self { folder, former }
    }

    /// Returns the events of the runs that began since, each with the verb of its step, as `switch`.
    fn new_events(&self) -> Vec<(Value, String)> {
        let new = |path: &PathBuf| path.file_stem().is_some_and(|run| !self.former.contains(run));
        let mut events = Vec::new();
        for path in runs(&self.folder).into_iter().filter(new) {
            // It may be renamed at this moment, because the run is over: the next look finds it.
            let journal = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<Value> = journal.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let steps = lines.first().map(|planned| planned["plan"]["steps"].clone()).unwrap_or_default();
            for line in lines {
                let step = line["step"].as_u64().and_then(|step| steps.get(usize::try_from(step).ok()?));
                let verb = step.and_then(|step| step["do"].as_str()).unwrap_or_default();
                let verb = verb.strip_prefix("await-").unwrap_or(verb).to_owned();
                events.push((line, verb));
            }
        }
        events
    }
}

/// Returns the journals below a state folder: `<engine>/<project>/runs/<run>.*`.
fn runs(state: &Path) -> Vec<PathBuf> {
    let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    below(state.to_owned()).flat_map(below).flat_map(|project| below(project.join("runs"))).collect()
}

/// Returns the `swap` binary: `SWAP_BIN`, else the one of this build, built if nobody has in this run of the tests.
pub fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("SWAP_BIN") {
        // It is called from other folders.
        return Ok(std::path::absolute(named)?);
    }
    let own = std::env::current_exe()?;
    // <target>/<profile>/deps/scenarios-… or <target>/<profile>/bench
    let folder =
        own.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).context("no folder of this program")?;
    let binary = folder.join("swap");
    let _lock = images::lock("swap-binary")?;
    let stamp = images::target().join(".swap-binary.run");
    let this_run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| format!("process {}", std::process::id()));
    if !binary.exists() || fs::read_to_string(&stamp).ok().as_deref() != Some(&this_run) {
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--quiet", "--workspace", "--bin", "swap", "--manifest-path"])
            .arg(images::root().join("Cargo.toml"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        run(&mut build)?;
        fs::write(&stamp, this_run)?;
    }
    Ok(binary)
}

/// Reads the most memory that a process has held, in KiB.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Replaces all that matches a pattern by what stands beside it, one pattern after the other. Panics if one is none.
#[track_caller]
pub fn replaced(text: &str, patterns: &[(&str, &str)]) -> String {
    patterns.iter().fold(text.to_owned(), |text, (pattern, placeholder)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, *placeholder).into_owned()
    })
}

/// Takes out the versions that differ from machine to machine.
pub fn without_versions(text: &str) -> String {
    let patterns = [
        (r"Docker [^ ]+ \(.*\) answers at", "Docker [version] answers at"),
        (r"is version \S+", "is version [version]"),
        (r"nginx \d+\.\d+\.\d+", "nginx [version]"),
    ];
    replaced(text, &patterns)
}

/// Replaces what differs from run to run by placeholders.
pub(crate) fn normalise(text: &str, project: &str, folder: &Path, port: u16) -> String {
    let text = text.replace(&folder.display().to_string(), "[folder]");
    let text = text.replace(project, "[project]").replace(&format!("127.0.0.1:{port}"), "[door]");
    let mut text = replaced(
        &text,
        &[
            (r"\b\d{8}-\d{6}-[0-9a-f]+\b", "[run]"),
            // Whether the application has spoken before it is stopped is a matter of milliseconds.
            (r"(?m)^  \| \[.* \d{4}\] \[\w+:notice\] .*\n", ""),
            (r"\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2} \[(\w+)\] \d+#\d+:", "[when] [$1] [pid]:"),
            (r"\b[0-9A-Z]{4}([_:][0-9A-Z]{4}){11}\b", "[engine]"),
            (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "[engine]"),
            (r"`\d{5}:80`", "`[port]:80`"),
            (r"\bsha256:[0-9a-f]{64}\b", "[image]"),
            (r"\b[0-9a-f]{64}\b", "[id]"),
            (r"\b[0-9a-f]{12}\b", "[id]"),
            (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", "[ip]"),
            (r"\b\d+(\.\d+)? ?(ms|s)\b", "[time]"),
            (
                r"\b(observe|tag|adopt|create|start|healthy|announce|swap|switch|watch|drain|retire|rest|finish|stop-old) \d+\.\d+\b",
                "$1 [time]",
            ),
            (r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}Z?\b", "[when]"),
            (
                r"\bfront door: [\d,]+ requests, (\d+) failed, p99 \[time\] \(before [\d.]+\)",
                "front door: [n] requests, $1 failed, p99 [time] (before [time])",
            ),
            (r"\brequests, [1-9]\d* failed", "requests, [n] failed"),
            (r"none of the probe's [\d,]+ requests", "none of the probe's [n] requests"),
            (
                r"\bfailed \d+ of \d+ requests since the switch, 0 of \d+ before",
                "failed [n] of [n] requests since the switch, 0 of [n] before",
            ),
            (r"\b\d+ of \d+ requests failed", "[n] of [n] requests failed"),
            (r", \d+ in 1000; \d+ are allowed", ", [n] in 1000; [n] are allowed"),
            // What took no time is not among them.
            (r" in \[time\] \([a-z-]+ \[time\](, [a-z-]+ \[time\])*\)", " in [time] ([steps])"),
            (r"\bpid \d+ of \S+ on ", "pid [pid] of [user] on "),
            (r"\bpid \d+\b", "pid [pid]"),
            // compose v1 joins with `_` what v2 joins with `-`.
            (r"\[project\]_([a-z]+)_(\d+)", "[project]-$1-$2"),
            (r"\[project\]_(app|worker)\b", "[project]-$1"),
        ],
    );
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    text = text.replace(&format!(" on {} since ", machine.trim()), " on [machine] since ");
    // The columns of a table are as wide as what was replaced in them.
    if Regex::new("^[A-Z]+(  +[A-Z]+)+").expect("a pattern").is_match(&text) {
        text = replaced(&text, &[(r"(\S) {3,}", "$1  ")]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        let check = |said: &str, expected: &str| {
            assert_eq!(normalise(said, "p-1", Path::new("/tmp/x/p-1"), 20123), expected);
        };
        check(
            "swapped app: p-1_app_1 → p-1-app-2 in 1.2 s (create 0.20, switch 0.11) at 172.18.0.3:80, run \
             20260131-154502-9f3a, see /tmp/x/p-1/nginx, 127.0.0.1:20123",
            "swapped app: [project]-app-1 → [project]-app-2 in [time] ([steps]) at [ip]:80, run [run], \
             see [folder]/nginx, [door]",
        );
        check(
            "app: a run holds it: pid 71 of root on far-away since 2026-01-31T15:45:02Z",
            "app: a run holds it: pid [pid] of [user] on far-away since [when]",
        );
        check(
            "SERVICE  LIVE       SINCE                LAST RUN\napp      p-1-app-2  2026-01-31 15:45:02  swapped in 1.2 s",
            "SERVICE  LIVE  SINCE  LAST RUN\napp  [project]-app-2  [when]  swapped in [time]",
        );
    }
}
