//! Commands in containers: in the candidate, in a one-off container of its image, and where the operator granted it.

use std::time::Duration;

use crate::Error;
use crate::bindings::swap::hooks::exec as wit;
#[cfg(target_arch = "wasm32")]
use crate::bindings::swap::hooks::exec as world;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::world::exec as world;
use crate::time::milliseconds;

/// A command in the making.
#[derive(Debug, Clone)]
pub struct Command(wit::Command);

/// What a command that ran to its end left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether any of both was cut.
    pub truncated: bool,
}

impl Command {
    /// A command and its arguments; no shell takes part. The target is `candidate`, `one-off`, `live`, `service:NAME` or
    /// another that the WIT package lists.
    pub fn new<I: IntoIterator<Item: Into<String>>>(target: &str, argv: I) -> Self {
        Self(wit::Command {
            target: target.to_owned(),
            argv: argv.into_iter().map(Into::into).collect(),
            input: Vec::new(),
            environment: Vec::new(),
            user: None,
            folder: None,
            timeout_ms: None,
            show: false,
        })
    }

    /// A line for the container's shell.
    pub fn shell(target: &str, line: &str) -> Self {
        Self::new(target, ["sh", "-c", line])
    }

    /// Sets what it reads from its standard input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.0.input = input.into();
        self
    }

    /// Adds a variable to its environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.0.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the user that it runs as.
    pub fn user(mut self, user: &str) -> Self {
        self.0.user = Some(user.to_owned());
        self
    }

    /// Sets the folder that it starts in.
    pub fn folder(mut self, folder: &str) -> Self {
        self.0.folder = Some(folder.to_owned());
        self
    }

    /// Sets when to give up.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = Some(milliseconds(timeout));
        self
    }

    /// Shows its output to the operator as it comes.
    pub fn show(mut self) -> Self {
        self.0.show = true;
        self
    }

    /// Runs it to its end. Any exit code is an answer.
    pub fn run(&self) -> Result<Output, Error> {
        let output = world::run(&self.0)?;
        Ok(Output {
            code: output.code,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            truncated: output.truncated,
        })
    }
}

impl Output {
    /// Fails unless the exit code is 0; the error ends with the last line that the command printed.
    pub fn expect_success(self) -> Result<Self, Error> {
        if self.code == 0 {
            return Ok(self);
        }
        let printed = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let last = printed.trim().lines().last().unwrap_or("it printed nothing");
        Err(Error::new(format!("exit {}: {last}", self.code)))
    }
}
