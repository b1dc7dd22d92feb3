//! A headless Chromium, in a container that has no network.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::ended;
use crate::images;

/// A page, as the browser has it after opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What stands in its console, line by line: errors, refused resources, messages of scripts.
    pub console: Vec<String>,
    /// The document as HTML.
    pub document: String,
}

/// Opens a page of a folder. The browser finds what lies beside it, and nothing else.
pub fn open(file: &Path) -> Result<Opened> {
    let image = images::browser()?;
    let folder = file.parent().context("a folder")?;
    let name = file.file_name().context("a name")?.to_string_lossy();
    let mut command = Command::new("docker");
    command.args(["run", "--rm", "--network", "none", "--volume", &format!("{}:/pages:ro", folder.display()), &image]);
    command.args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom"]);
    let said = ended(command.arg(format!("file:///pages/{name}"))).with(0);
    // As `[1:1:1123/154502.123456:INFO:CONSOLE:5] "…", source: …`; the rest is what a browser without a desktop misses.
    let of_the_console = |line: &str| Some(line.split_once(":CONSOLE:")?.1.split_once("] ")?.1.to_owned());
    // The browser has pages of its own, which complain of a busy machine.
    let of_the_page = |line: &String| !line.contains(", source: chrome://");
    let console = said.stderr.lines().filter_map(of_the_console).filter(of_the_page).collect();
    Ok(Opened { console, document: said.stdout })
}
