//! Which compose tool there is, and its command lines.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use crate::model::Failure;
use crate::text::{printable, shell_word};

/// Names the compose command where the search would find another one, as `docker-compose` or `docker compose`.
const VARIABLE: &str = "SWAP_COMPOSE";

/// The folders in which the docker CLI looks for plugins after the user's own.
const PLUGIN_FOLDERS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// Compose's own flags, as the user gave them to swap; they are passed on as they are.
///
/// `DOCKER_HOST`, `DOCKER_CONTEXT`, `COMPOSE_FILE` and the like need nothing here: the tool inherits them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// `-f`: the compose files, in order.
    pub files: Vec<PathBuf>,
    /// `-p`: the project's name.
    pub project_name: Option<String>,
    /// `--project-directory`: what relative paths in the files are relative to.
    pub project_directory: Option<PathBuf>,
    /// `--profile`.
    pub profiles: Vec<String>,
    /// `--env-file`; compose 1.29 takes one.
    pub env_files: Vec<PathBuf>,
    /// `--context`: the docker CLI's context.
    pub context: Option<String>,
    /// `-H`: the engine's address.
    pub host: Option<String>,
    /// The folder in which compose runs; default: this process's. Not a flag of compose: a resumed run needs it.
    pub working_directory: Option<PathBuf>,
}

impl Options {
    /// Returns the docker CLI's global flags, which stand before `compose`.
    fn engine_flags(&self) -> Vec<OsString> {
        let mut flags = Vec::new();
        if let Some(context) = &self.context {
            flags.extend(["--context".into(), context.into()]);
        }
        if let Some(host) = &self.host {
            flags.extend(["-H".into(), host.into()]);
        }
        flags
    }

    /// Returns swap as it is called with these flags, as `swap -f prod.yml`.
    pub(super) fn swap_line(&self) -> String {
        let context = self.context.iter().flat_map(|context| ["--context".into(), context.into()]);
        let flags = context
            .chain(self.project_flags())
            .map(|flag: OsString| format!(" {}", printable(&shell_word(&flag.to_string_lossy()))));
        format!("swap{}", flags.collect::<String>())
    }

    /// Returns the flags that stand between `compose` and its command.
    fn project_flags(&self) -> Vec<OsString> {
        let mut flags = Vec::new();
        let mut flag = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
            flags.extend([OsString::from(name), value.as_ref().to_owned()]);
        };
        if let Some(directory) = &self.project_directory {
            flag("--project-directory", directory);
        }
        for file in &self.files {
            flag("-f", file);
        }
        if let Some(name) = &self.project_name {
            flag("-p", name);
        }
        for file in &self.env_files {
            flag("--env-file", file);
        }
        for profile in &self.profiles {
            flag("--profile", profile);
        }
        flags
    }
}

/// The compose tool that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tool {
    /// `docker compose`: v2 as a plugin of this docker CLI.
    Plugin(PathBuf),
    /// `docker-compose`: v2 as a program of its own.
    Standalone(PathBuf),
    /// `docker-compose` 1.x, in Python.
    Python(PathBuf),
}

impl Tool {
    /// Finds the compose tool: `SWAP_COMPOSE` if it is set, else `docker compose`, else `docker-compose`.
    ///
    /// # Errors
    /// None is installed, or `SWAP_COMPOSE` names something that is not compose; the hint says what to install.
    pub fn find() -> Result<Tool, Failure> {
        if let Some(named) = env::var(VARIABLE).ok().filter(|named| !named.trim().is_empty()) {
            return Tool::named(&named);
        }
        let docker = in_path("docker");
        if let Some(docker) = &docker
            && plugin_folders().iter().any(|folder| is_program(&folder.join("docker-compose")))
        {
            return Ok(Tool::Plugin(docker.clone()));
        }
        let standalone = in_path("docker-compose").and_then(|program| Tool::standalone(program).ok());
        if let Some(tool @ Tool::Standalone(_)) = standalone {
            return Ok(tool);
        }
        // Some distributions build other plugin folders into the CLI, so it has the last word before Python's turn.
        if let Some(docker) = docker.clone()
            && version(&docker, &["compose"]).is_some()
        {
            return Ok(Tool::Plugin(docker));
        }
        standalone.ok_or_else(|| {
            let found =
                if docker.is_some() { "docker is there, but not its compose plugin" } else { "no docker CLI either" };
            Failure::new(format!("found neither `docker compose` nor `docker-compose` ({found})")).hint(format!(
                "install the package docker-compose-v2, docker-compose-plugin or docker-compose, \
                 or name the command: `{VARIABLE}=/path/to/docker-compose swap …`"
            ))
        })
    }

    /// Finds a compose tool of one kind, 1.x or what came after it; `None`: it is not installed.
    pub fn of_kind(v1: bool) -> Option<Tool> {
        if !v1 {
            return Tool::find().ok().filter(|tool| !tool.is_v1());
        }
        let program = in_path("docker-compose")?;
        Tool::standalone(program).ok().filter(Tool::is_v1)
    }

    /// Tells whether somebody has named the tool.
    pub fn is_named() -> bool {
        env::var(VARIABLE).is_ok_and(|named| !named.trim().is_empty())
    }

    /// Takes the command that somebody named, as `docker-compose`, `docker compose` or a path.
    ///
    /// # Errors
    /// There is no such program, or it does not answer like compose.
    pub fn named(command: &str) -> Result<Tool, Failure> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let fail = |why: &str| {
            Failure::new(format!("`{VARIABLE}={}`: {why}", printable(command)))
                .hint(format!("set {VARIABLE} to `docker compose`, `docker-compose` or a path, or leave it out"))
        };
        let (program, plugin) = match words[..] {
            [program] => (program, false),
            [docker, "compose"] => (docker, true),
            _ => return Err(fail("not a compose command")),
        };
        let program = in_path(program).ok_or_else(|| fail("there is no such program"))?;
        if !plugin {
            return Tool::standalone(program).map_err(|why| fail(&why));
        }
        match version(&program, &["compose"]) {
            Some(_) => Ok(Tool::Plugin(program)),
            None => Err(fail("this docker CLI has no compose plugin")),
        }
    }

    /// Tells v1 and v2 apart, by the look of the file where that is enough: Python takes half a second to say it.
    fn standalone(program: PathBuf) -> Result<Tool, String> {
        if first_line(&program).is_some_and(|line| line.starts_with(b"#!") && contains(&line, b"python")) {
            return Ok(Tool::Python(program));
        }
        match version(&program, &[]) {
            Some(version) if version.starts_with("1.") => Ok(Tool::Python(program)),
            Some(_) => Ok(Tool::Standalone(program)),
            None => Err("it does not answer `version --short` like compose".into()),
        }
    }

    /// Tells whether this is compose 1.x.
    pub fn is_v1(&self) -> bool {
        matches!(self, Tool::Python(_))
    }

    /// Returns the program and all its arguments for a compose command with these words.
    pub fn command(&self, options: &Options, words: &[impl AsRef<str>]) -> Vec<OsString> {
        let mut line = Vec::new();
        match self {
            Tool::Plugin(docker) => {
                line.push(docker.into());
                line.extend(options.engine_flags());
                line.push("compose".into());
            }
            Tool::Standalone(program) | Tool::Python(program) => {
                line.push(program.into());
                line.extend(options.engine_flags());
            }
        }
        line.extend(options.project_flags());
        line.extend(words.iter().map(|word| word.as_ref().into()));
        line
    }

    /// Returns the program and all its arguments that do the same as [`Tool::command`] in the least time.
    ///
    /// A plugin is a program of its own, which saves the docker CLI's two starts: half of the time that reading takes.
    pub(super) fn quick_command(&self, options: &Options, words: &[impl AsRef<str>]) -> Vec<OsString> {
        let plugin =
            || plugin_folders().into_iter().map(|folder| folder.join("docker-compose")).find(|file| is_program(file));
        match self {
            // These flags are the CLI's own.
            Tool::Plugin(_) if options.engine_flags().is_empty() => match plugin() {
                Some(plugin) => Tool::Standalone(plugin).command(options, words),
                None => self.command(options, words),
            },
            _ => self.command(options, words),
        }
    }

    /// Returns the same as text that can be pasted into a shell, with the program's short name.
    pub fn command_line(&self, options: &Options, words: &[impl AsRef<str>]) -> String {
        let mut words = self.command(options, words);
        if let Some(program) = words.first_mut()
            && let Some(name) = Path::new(&program).file_name()
        {
            *program = name.to_owned();
        }
        words.iter().map(|word| printable(&shell_word(&word.to_string_lossy()))).collect::<Vec<_>>().join(" ")
    }
}

/// Returns the folders in which the docker CLI looks for plugins.
fn plugin_folders() -> Vec<PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let config = env::var_os("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(home?.join(".docker")));
    let mut folders = Vec::new();
    if let Some(config) = config {
        folders.push(config.join("cli-plugins"));
        folders.extend(extra_plugin_folders(&config));
    }
    folders.extend(PLUGIN_FOLDERS.map(PathBuf::from));
    folders
}

/// Returns the `cliPluginsExtraDirs` of the docker CLI's configuration (Docker Desktop, Homebrew).
fn extra_plugin_folders(config: &Path) -> Vec<PathBuf> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "cliPluginsExtraDirs", default)]
        folders: Vec<PathBuf>,
    }
    let text = fs::read(config.join("config.json")).unwrap_or_default();
    serde_json::from_slice::<Config>(&text).map(|config| config.folders).unwrap_or_default()
}

/// Finds a program as a shell would.
fn in_path(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        let program = PathBuf::from(name);
        return is_program(&program).then(|| std::path::absolute(&program).unwrap_or(program));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Returns the start of the file up to its first line's end.
fn first_line(path: &Path) -> Option<Vec<u8>> {
    let mut start = Vec::new();
    fs::File::open(path).ok()?.take(256).read_to_end(&mut start).ok()?;
    Some(start.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Reads `2.40.3`, `v2.40.3-desktop.1` or `2.26.1-4`.
pub(super) fn parse_version(text: &str) -> Option<[u32; 3]> {
    let mut numbers = text.trim().trim_start_matches('v').split(['.', '-', '+']).map(str::parse);
    Some([numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?])
}

/// Asks a program for compose's version, as `2.40.3` or `1.29.2`.
fn version(program: &Path, before: &[&str]) -> Option<String> {
    let asked = std::process::Command::new(program)
        .args(before)
        .args(["version", "--short"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&asked.stdout).trim().trim_start_matches('v').to_owned();
    (asked.status.success() && text.starts_with(|c: char| c.is_ascii_digit())).then_some(text)
}
