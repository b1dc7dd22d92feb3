//! Runs other programs and tells what they said when they fail.

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a program to its end and returns its standard output; an error holds the command and all that it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = output(command)?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(stdout);
    }
    bail!("`{command:?}`: {status}\n{stdout}{}", String::from_utf8_lossy(&stderr))
}

/// Runs a program to its end and tells whether it succeeded; what it prints is lost.
pub fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(output(command)?.status.success())
}

/// What a program said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a program to its end. Panics if it can't be started.
#[track_caller]
pub fn ended(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = output(command).unwrap_or_else(|error| panic!("{error:?}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: status.code().unwrap_or(-1), stdout: text(&stdout), stderr: text(&stderr) }
}

impl Ended {
    /// Returns it if it ended with this code, and panics with all that it said if not.
    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        expect_code(&[code], self.code, &self.stdout, &self.stderr);
        self
    }
}

/// Panics with all that a program said unless it ended with one of these codes.
#[track_caller]
pub(crate) fn expect_code(expected: &[i32], code: i32, stdout: &str, stderr: &str) {
    let said = format!("--- stdout\n{stdout}--- stderr\n{stderr}");
    assert!(expected.contains(&code), "it exited {code} instead of {expected:?}\n{said}");
}

fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("running `{command:?}`"))
}
