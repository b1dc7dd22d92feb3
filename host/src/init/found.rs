//! Everything that a proposal depends on, and the proposal itself.

use std::path::{Path, PathBuf};

use super::sources::{Origins, SourceFile};
use crate::compose::{self, ComposeFile};
use crate::docker;
use crate::model::{Failure, ProxyChoice, ServiceName, Settings};
use crate::nginx::{self, ConfigFile, Names};

/// A file as it is and as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name for people, as the user would write it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its text; `None`: it is not there yet.
    pub before: Option<String>,
    /// Its text then.
    pub after: String,
}

/// What is proposed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The files to change, in the order in which they are to be written.
    pub changes: Vec<Change>,
    /// What people should know.
    pub notes: Vec<String>,
    /// What only people can do, and why.
    pub by_hand: Vec<Failure>,
    /// What to type afterwards.
    pub next: Vec<String>,
    /// The command that goes on where people were needed, as `swap -f prod.yml init app`.
    pub again: String,
}

/// The nginx before the service, and what it gets its files from.
#[derive(Debug, Clone)]
pub(super) struct Home {
    /// How a plan names it.
    pub choice: ProxyChoice,
    /// Where its files come from.
    pub origins: Origins,
    /// The compose files by which something can be mounted into it, and its service there; none for a container that compose did
    /// not make.
    pub compose: Vec<(PathBuf, ComposeFile)>,
    pub service: Option<ServiceName>,
    /// What paths in the file that has its service are relative to.
    pub base: PathBuf,
    /// The compose tool as it is called for it.
    pub tool: String,
    /// Whether it runs.
    pub runs: bool,
    /// Its running container.
    pub container: Option<docker::ContainerFacts>,
    /// Its master process, as it was seen.
    pub nginx: Option<nginx::Nginx>,
    /// Its image, where that is not a running container's.
    pub image: Option<String>,
    /// Whether it shares the network of the engine's machine.
    pub on_machine: bool,
}

/// Everything that a proposal depends on.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub service: ServiceName,
    /// With the command line's flags.
    pub settings: Settings,
    pub of_service: compose::Service,
    /// The ports that the running container exposes though nothing publishes them; `None`: it does not run.
    pub exposed: Option<Vec<u16>>,
    pub home: Home,
    /// The project's name and folder.
    pub project: String,
    pub directory: PathBuf,
    /// The compose tool as it is called here, as `docker compose -f prod.yml`.
    pub tool: String,
    /// swap as it is called here, as `swap -f prod.yml`.
    pub swap: String,
    /// This command with all that was given.
    pub again: String,
    /// The compose files with their places.
    pub compose: Vec<(PathBuf, ComposeFile)>,
    /// What nginx reads, the main file first.
    pub files: Vec<ConfigFile>,
    /// What brings the image of an nginx that could not be asked what it reads, as `docker compose build nginx`.
    pub fetch: Option<String>,
    pub seen: Vec<SourceFile>,
    /// By what nginx reaches the service.
    pub names: Names,
    /// Which files are there in swap's folder.
    pub there: Vec<String>,
    /// What is to be in swap's own file of settings; `None`: nothing, or nginx could not be asked.
    pub tuning: Option<String>,
    /// Whether nginx could be asked for its version.
    pub asked: bool,
    /// Whether nginx has a `sudo` before what root must do.
    pub root: bool,
}

/// Where swap's folder is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FolderPlace {
    /// Its path for nginx.
    pub inside: String,
    /// Its path here.
    pub here: PathBuf,
    /// What must be mounted for it, as `./nginx/swap:/etc/nginx/swap`.
    pub volume: Option<String>,
}

/// Returns a path as the user would write it.
pub(super) fn shown(path: &Path, directory: &Path) -> String {
    path.strip_prefix(directory).unwrap_or(path).display().to_string()
}
