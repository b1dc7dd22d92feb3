//! The compose tool: reading the project, creating candidates, one-off containers.
//!
//! Only what compose alone can do faithfully goes through it; everything else goes to the engine. Both
//! `docker compose` (v2) and `docker-compose` (1.29, Python) work.
//!
//! **Invariant:** compose is never asked to start, stop, recreate, build or pull anything of a service.
//! **Invariant:** its children never share the user's terminal or process group, so Ctrl-C reaches swap alone.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

mod create;
mod dockerfile;
mod edit;
mod lifecycle;
mod one_off;
mod overlay;
mod place;
mod process;
mod project;
mod read;
mod settings;
#[cfg(test)]
mod tests;
mod tool;
mod variables;

pub use dockerfile::{Dockerfile, parse as parse_dockerfile};
pub use edit::{ComposeFile, Wanted, has_service, includes, propose};
pub use lifecycle::Values;
pub use one_off::{OneOff, Stream, end_clients};
pub use project::{Build, Mount, Project, PublishedPort, Service};
pub use read::services_in;
pub use tool::{Options, Tool};

/// Major, minor, patch.
type Version = [u32; 3];

/// One compose project on this machine: which tool reads it and with which of compose's own flags.
#[derive(Debug, Clone)]
pub struct Compose {
    /// The compose tool that is used.
    pub tool: Tool,
    /// Compose's own flags.
    pub options: Options,
    /// The tool's version; asked once, for a few flags and one fault of older v2.
    version: Arc<OnceCell<Version>>,
}

impl Compose {
    /// Joins a tool and the flags that every call passes to it.
    pub fn new(tool: Tool, options: Options) -> Self {
        Self { tool, options, version: Arc::default() }
    }

    /// Returns the command that a call with these words would run, to show it in messages.
    pub fn command_line(&self, words: &[&str]) -> String {
        self.tool.command_line(&self.options, words)
    }

    /// Returns swap as it is called for this project, as `swap -f prod.yml`.
    pub fn swap_line(&self) -> String {
        self.options.swap_line()
    }

    /// Returns the tool as it is called without a flag but those that name the engine.
    pub fn bare_line(&self) -> String {
        let engine =
            Options { context: self.options.context.clone(), host: self.options.host.clone(), ..Options::default() };
        self.tool.command_line(&engine, &[] as &[&str])
    }

    /// Returns the same tool for other files of the project in the same folder.
    pub fn with_files(&self, files: Vec<PathBuf>, directory: PathBuf) -> Self {
        let options = Options { files, project_directory: Some(directory), ..self.options.clone() };
        Self::new(self.tool.clone(), options)
    }

    /// Returns the tool's version; what can't be read counts as the newest.
    async fn version(&self) -> Version {
        let ask = async || {
            if self.tool.is_v1() {
                return [1, 29, 2];
            }
            let line = self.tool.quick_command(&Options::default(), &["version", "--short"]);
            let answer = read::run(&line, &self.working_directory(), None, 1024).await;
            answer.ok().and_then(|answer| tool::parse_version(&answer.stdout)).unwrap_or([u32::MAX; 3])
        };
        *self.version.get_or_init(ask).await
    }

    /// Asks for the tool's version in the background, so that it is known when a command needs it.
    pub fn ask_version(&self) {
        let compose = self.clone();
        tokio::spawn(async move { compose.version().await });
    }

    /// Asks the tool for its version, as `2.40.3`; `None`: it did not tell.
    pub async fn tool_version(&self) -> Option<String> {
        let line = self.tool.command(&Options::default(), &["version", "--short"]);
        let answer = read::run(&line, &self.working_directory(), None, 1024).await.ok()?;
        answer.stdout.lines().next().map(|line| crate::text::printable(line.trim().trim_start_matches('v')))
    }

    /// Returns the name that the project has by the usual rules, without asking the tool: good for looking ahead.
    pub fn likely_name(&self) -> String {
        place::ProjectPlace::find(&self.options, &self.working_directory(), self.tool.is_v1()).name
    }

    /// Returns the folder in which compose runs: the one that the options name, else this process's.
    fn working_directory(&self) -> PathBuf {
        let here = || std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        match &self.options.working_directory {
            Some(directory) => here().join(directory),
            None => here(),
        }
    }
}
