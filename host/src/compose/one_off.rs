//! One-off containers, for hooks: migrations in the new image.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::Compose;
use super::process::{EndedOnDrop, Lines, follow, point, start};
use super::read::not_started;
use crate::model::{Captured, Failure, ServiceName};
use crate::os;
use crate::text::Beginning;

pub use super::process::Stream;

/// No more of a line is told as it comes.
const LONGEST_TOLD: usize = 8 * 1024;

/// The first version whose `run` knows `--pull`.
pub(super) const RUN_PULL: [u32; 3] = [2, 32, 2];

/// A command in a new container of a service. The container stays when the command has ended, to tell how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOff {
    /// The service whose image, volumes and networks it has.
    pub service: ServiceName,
    /// The container's name, which must be free.
    pub name: String,
    /// The command and its arguments. The image's entrypoint stays before it, as with `docker run`.
    pub command: Vec<String>,
    /// Replaces the image's entrypoint; compose splits it into words as a shell does.
    pub entrypoint: Option<String>,
    /// The user it runs as; `None` is the service's.
    pub user: Option<String>,
    /// Its working directory; `None` is the service's.
    pub folder: Option<String>,
    /// What is added to the service's environment.
    pub environment: Vec<(String, String)>,
    /// What the command reads; nothing if `None`.
    pub stdin: Option<Vec<u8>>,
    /// What the container is labelled with.
    pub labels: Vec<(String, String)>,
    /// How many bytes of each output the answer holds: the first ones.
    pub limit: usize,
}

impl OneOff {
    /// Names a command for a one-off container.
    pub fn new(service: ServiceName, name: impl Into<String>, command: Vec<String>) -> Self {
        let name = name.into();
        Self {
            service,
            name,
            command,
            entrypoint: None,
            user: None,
            folder: None,
            environment: Vec::new(),
            stdin: None,
            labels: Vec::new(),
            limit: 1024 * 1024,
        }
    }

    fn words(&self) -> Vec<&str> {
        let mut words = vec!["run", "--no-deps", "-T", "--name", &self.name];
        if let Some(entrypoint) = &self.entrypoint {
            words.extend(["--entrypoint", entrypoint]);
        }
        if let Some(user) = &self.user {
            words.extend(["--user", user]);
        }
        if let Some(folder) = &self.folder {
            words.extend(["--workdir", folder]);
        }
        words
    }
}

impl Compose {
    /// Runs a command in a one-off container and waits for its end; every line of its output goes to `on_line`, of a very long
    /// one its beginning.
    ///
    /// The lines are what the container wrote: make them printable before a terminal sees them.
    ///
    /// The container stays: **the caller must remove it by its name**, after he has asked the engine what became of it, because
    /// compose does not tell its own failures (code 1, its words in `stderr`) from the command's. When this future is dropped
    /// (a timeout, Ctrl-C), compose gets SIGTERM, and the command goes on; see [`end_clients`].
    ///
    /// # Errors
    /// The tool can't be run. That the command failed is no error: the output has its exit code.
    pub async fn run_one_off(
        &self,
        one_off: &OneOff,
        mut on_line: impl FnMut(Stream, &str) + Send,
    ) -> Result<Captured, Failure> {
        let environment: Vec<String> =
            one_off.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut words = one_off.words();
        if self.version().await >= RUN_PULL {
            // Whatever the service's pull_policy says: the hook must run in the image of the candidate.
            words.extend(["--pull", "never"]);
        }
        for variable in &environment {
            words.extend(["-e", variable]);
        }
        let labels: Vec<String> = one_off.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        for label in &labels {
            words.extend(["-l", label]);
        }
        words.push(one_off.service.as_str());
        words.extend(one_off.command.iter().map(String::as_str));
        // Not with the environment, which may hold secrets.
        let line = self.command_line(&[&one_off.words()[..], &[one_off.service.as_str()]].concat());
        let directory = self.working_directory();
        let words = self.tool.quick_command(&self.options, &words);
        let failed = |error| not_started(&line, &directory, &error);
        point(&words, "before").await.map_err(failed)?;
        let child = start(&words, &directory, one_off.stdin.clone()).map_err(failed)?;
        let mut guard = EndedOnDrop(Some(child));
        let Some(child) = guard.0.as_mut() else { return Err(Failure::new("internal: a child vanished")) };
        point(&words, "during").await.map_err(failed)?;
        let mut chatter = Chatter::new(self.tool.is_v1());
        let (mut stdout, mut stderr) = (Beginning::of(one_off.limit), Beginning::of(one_off.limit));
        let (mut out, mut err) = (Lines::default(), Lines::default());
        let mut tell = Telling { on_line: &mut on_line, inside: [false; 2] };
        let ended = follow(child, |stream, bytes| match stream {
            Stream::Stdout => {
                stdout.push(bytes);
                out.push(bytes, |line| tell.line(stream, line));
            }
            Stream::Stderr => err.push(bytes, |line| {
                for line in chatter.filter(line) {
                    stderr.push(&line);
                    tell.line(stream, &line);
                }
            }),
        });
        let code = ended.await.map_err(failed)?;
        guard.0 = None;
        point(&words, "after").await.map_err(failed)?;
        out.rest(|line| tell.line(Stream::Stdout, line));
        let mut last = Vec::new();
        err.rest(|line| last = chatter.filter(line));
        for line in last.into_iter().chain(chatter.rest(code)) {
            stderr.push(&line);
            tell.line(Stream::Stderr, &line);
        }
        Ok(Captured { code, stdout, stderr })
    }
}

/// Tells lines without their ends, and of a long one that comes in pieces the beginning.
struct Telling<'a> {
    on_line: &'a mut (dyn FnMut(Stream, &str) + Send),
    /// Whether what comes next goes on with a line that was told.
    inside: [bool; 2],
}

impl Telling<'_> {
    fn line(&mut self, stream: Stream, line: &[u8]) {
        let inside = std::mem::replace(&mut self.inside[stream as usize], !line.ends_with(b"\n"));
        if !inside {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (self.on_line)(stream, &String::from_utf8_lossy(&line[..line.len().min(LONGEST_TOLD)]));
        }
    }
}

/// Asks the clients on this machine that attend to the one-off container of this name to end, whichever process started them.
/// Returns how many there are.
pub fn end_clients(name: &str, signal: Signal) -> usize {
    let clients = clients(name);
    for client in &clients {
        // One that has just ended is what was wanted.
        let _ = kill_process(*client, signal);
    }
    clients.len()
}

/// The name is one that nobody else's command line has.
fn clients(name: &str) -> Vec<Pid> {
    let attends = |process: &Path| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.windows(2).any(|pair| pair == [b"--name".as_slice(), name.as_bytes()])
    };
    let pids = os::processes().filter(|(_, process)| attends(process)).map(|(pid, _)| pid);
    pids.filter_map(Pid::from_raw).collect()
}

/// Takes out what compose itself writes between the container's lines.
///
/// 1.29: `Creating app_run … done`, and at the end the exit code. v2: at the end of a failed command an empty line.
struct Chatter {
    v1: bool,
    /// A line that may be compose's last one, unless another follows.
    held: Option<Vec<u8>>,
}

impl Chatter {
    fn new(v1: bool) -> Self {
        Self { v1, held: None }
    }

    /// Returns what the container has said in this line of standard error and in those that were held back.
    fn filter(&mut self, line: &[u8]) -> Vec<Vec<u8>> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        let creating = text.trim_end().strip_prefix("Creating ").filter(|_| self.v1);
        if creating.is_some_and(|line| line.contains("_run ") && (line.ends_with("...") || line.ends_with("done"))) {
            return Vec::new();
        }
        let mut lines: Vec<Vec<u8>> = self.held.take().into_iter().collect();
        let may_be_last = if self.v1 { text.parse::<i32>().is_ok() } else { text.is_empty() };
        if may_be_last {
            self.held = Some(line.to_owned());
        } else {
            lines.push(line.to_owned());
        }
        lines
    }

    fn rest(&mut self, code: i32) -> Option<Vec<u8>> {
        let own = if self.v1 { code.to_string() } else { String::new() };
        self.held.take().filter(|held| code == 0 || String::from_utf8_lossy(held).trim_end() != own)
    }
}
