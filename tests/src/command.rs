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

fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("running `{command:?}`"))
}
