//! One-off containers, for hooks: migrations in the new image.

use super::Compose;
use super::process::{EndedOnDrop, finish, point, start};
use super::read::not_started;
use crate::model::{Failure, Output, ServiceName};

pub use super::process::Stream;

/// How many bytes of each output the answer holds: the last ones.
const LIMIT: usize = 1024 * 1024;

/// The first version whose `run` knows `--pull`.
pub(super) const RUN_PULL: [u32; 3] = [2, 32, 2];

/// A command in a new container of a service, that ends with the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOff {
    /// The service whose image, volumes and networks it has.
    pub service: ServiceName,
    /// The container's name, which must be free. Remove it by this name after a timeout or a crash.
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
        }
    }

    fn words(&self) -> Vec<&str> {
        let mut words = vec!["run", "--rm", "--no-deps", "-T", "--name", &self.name];
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
    /// Runs a command in a one-off container and waits for its end; every line of its output goes to `on_line`.
    ///
    /// The lines are what the container wrote: make them printable before a terminal sees them.
    ///
    /// When this future is dropped (a timeout, Ctrl-C), compose gets SIGTERM. 1.29 then kills and removes the
    /// container; v2 hands the signal to the command and goes. So **the caller must remove the container by its
    /// name** through the engine, which answers "no such container" where compose was faster.
    ///
    /// # Errors
    /// The tool can't be run. That the command failed is no error: the output has its exit code. Compose's own
    /// failures come the same way (code 1, its words in `stderr`), because it does not tell them apart.
    pub async fn run_one_off(
        &self,
        one_off: &OneOff,
        mut on_line: impl FnMut(Stream, &str),
    ) -> Result<Output, Failure> {
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
        let ended = finish(child, LIMIT, |stream, line| {
            for line in chatter.filter(stream, line) {
                on_line(stream, &line);
            }
        });
        let mut output = ended.await.map_err(failed)?;
        guard.0 = None;
        point(&words, "after").await.map_err(failed)?;
        if let Some(line) = chatter.rest(output.code) {
            on_line(Stream::Stderr, &line);
        }
        let mut chatter = Chatter::new(self.tool.is_v1());
        let mut lines: Vec<String> =
            output.stderr.lines().flat_map(|line| chatter.filter(Stream::Stderr, line)).collect();
        lines.extend(chatter.rest(output.code));
        output.stderr = lines.iter().map(|line| format!("{line}\n")).collect();
        Ok(output)
    }
}

/// Takes out what compose itself writes between the container's lines.
///
/// 1.29: `Creating app_run … done`, and at the end the exit code. v2: at the end of a failed command an empty line.
struct Chatter {
    v1: bool,
    /// A line that may be compose's last one, unless another follows.
    held: Option<String>,
}

impl Chatter {
    fn new(v1: bool) -> Self {
        Self { v1, held: None }
    }

    fn filter(&mut self, stream: Stream, line: &str) -> Vec<String> {
        if stream == Stream::Stdout {
            return vec![line.to_owned()];
        }
        let creating = line.trim_end().strip_prefix("Creating ").filter(|_| self.v1);
        if creating.is_some_and(|line| line.contains("_run ") && (line.ends_with("...") || line.ends_with("done"))) {
            return Vec::new();
        }
        let mut lines: Vec<String> = self.held.take().into_iter().collect();
        let may_be_last = if self.v1 { line.parse::<i32>().is_ok() } else { line.is_empty() };
        if may_be_last {
            self.held = Some(line.to_owned());
        } else {
            lines.push(line.to_owned());
        }
        lines
    }

    fn rest(&mut self, code: i32) -> Option<String> {
        let own = if self.v1 { code.to_string() } else { String::new() };
        self.held.take().filter(|held| code == 0 || *held != own)
    }
}
