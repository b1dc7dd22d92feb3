//! What compose does with a container beside creating, starting and stopping it: files that it puts in, commands that it runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a service asks for around the start and the stop of its containers. Values are never in it, only their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lifecycle {
    /// The files that are put into a container before it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<InjectedFile>,
    /// `pre_start`: commands in containers of their own, before the service's own starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pre_start: Vec<LifecycleCommand>,
    /// `post_start`: commands in the container as soon as it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_start: Vec<LifecycleCommand>,
    /// `pre_stop`: commands in the container before it is asked to stop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pre_stop: Vec<LifecycleCommand>,
}

impl Lifecycle {
    /// Tells whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A list of commands of a service, by compose's word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// `pre_start`.
    PreStart,
    /// `post_start`.
    PostStart,
    /// `pre_stop`.
    PreStop,
}

impl Moment {
    /// Returns the key of the compose file.
    pub fn key(self) -> &'static str {
        match self {
            Moment::PreStart => "pre_start",
            Moment::PostStart => "post_start",
            Moment::PreStop => "pre_stop",
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// What an injected file is in the compose file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// One of `secrets`.
    Secret,
    /// One of `configs`.
    Config,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Secret => "secret",
            FileKind::Config => "config",
        })
    }
}

/// A secret or a config that is no file on the engine's machine, so that it can't be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectedFile {
    /// Which of the two.
    pub kind: FileKind,
    /// Its name in the compose file.
    pub name: String,
    /// The variable that has its value; `None`: the compose file has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// Its absolute path in the container.
    pub target: String,
    /// The owner; `None`: nothing is settled, which is root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u64>,
    /// The owner's group; `None`: nothing is settled, which is root's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u64>,
    /// The permissions, as `0o444`.
    pub mode: u32,
}

impl fmt::Display for InjectedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} as {}", self.kind, self.name, self.target)
    }
}

/// A command of a service's lifecycle.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LifecycleCommand {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The user that it runs as; `None`: the container's, or for `pre_start` the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether it may do what root of the machine may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// Its working directory; `None`: the container's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The names of the variables that it gets besides; their values are read when it is run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// `pre_start` only: the image that its container is made of; `None`: the candidate's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl fmt::Display for LifecycleCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.words.join(" "))?;
        match &self.image {
            Some(image) => write!(f, " in {image}"),
            None => Ok(()),
        }
    }
}

/// Returns the commands as text, as `` `./warm`, `./register` ``.
pub fn list_commands(commands: &[LifecycleCommand]) -> String {
    commands.iter().map(LifecycleCommand::to_string).collect::<Vec<_>>().join(", ")
}
