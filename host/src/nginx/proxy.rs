//! The effects on nginx: observe it, switch its upstreams, wait until its old workers are gone.

mod drain;
mod observe;
mod switch;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Shell;
use super::config::ErrorLog;
use super::connect::{self, Connected};
use super::find::Master;
use super::script::subshell;
use super::upstream::file_name;
use super::workers::Process;
use crate::failpoint;
use crate::model::{Failure, Output, ServiceName};
use crate::text::shell_word;

pub use drain::Worker;
pub use observe::{NginxAnswer, Observation};
pub use switch::{SwitchFailure, reasons};

/// Where nginx runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Home {
    /// In a container: its folder must be mounted, and the engine's DNS may be there.
    Container,
    /// On the host.
    Host,
}

/// An nginx that was found: all that a switch needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nginx {
    /// Its master process.
    pub master: Process,
    /// The program.
    pub binary: String,
    /// The options that it was started with, in pairs: `-c`, `-p`, `-e`, `-g`.
    pub arguments: Vec<String>,
    /// swap's folder.
    pub folder: String,
    /// Where it says why it refused a reload.
    pub error_log: ErrorLog,
    /// Whether `sync` beside it takes a file. One that does not would write out every disk of the machine.
    pub syncs_files: bool,
    /// How long it took to read its configuration when it was asked for it; a reload takes as long.
    #[serde(default, with = "crate::model::millis")]
    pub load: Duration,
    /// How long a reload may take until new workers are there; zero: what follows from [`load`](Self::load).
    #[serde(default, with = "crate::model::millis")]
    pub patience: Duration,
}

/// How long nginx may take to read its configuration when it is asked for it, and the least when it tests a new one.
const LOADING: Duration = Duration::from_secs(60);

impl Nginx {
    /// Returns the command by which it is called, with its options.
    pub fn line(&self) -> String {
        // What it runs as is settled already.
        let options = self.arguments.chunks(2).filter(|pair| pair[0] != "-g").flatten();
        std::iter::once(&self.binary).chain(options).map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
    }

    /// Returns how long a reload may take until new workers are there.
    fn patience(&self, least: Duration) -> Duration {
        if self.patience.is_zero() { least + 3 * self.load } else { self.patience }
    }
}

/// A file of swap's folder as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its name in the folder, as `app.conf`.
    pub name: String,
    /// Its text; `None` removes it.
    pub text: Option<String>,
}

impl FileChange {
    /// The change of an upstream of this name; `None` removes the file.
    pub fn upstream(upstream: &ServiceName, text: Option<String>) -> Self {
        Self { name: file_name(upstream), text }
    }
}

/// nginx through a shell beside it.
#[derive(Debug)]
pub struct Proxy<S> {
    shell: S,
    place: Home,
    patience: Duration,
    loading: Duration,
    asked: Mutex<Option<observe::Answers>>,
}

impl<S: Shell> Proxy<S> {
    /// Makes a proxy of an open shell. A reload is given 2 s to show, and three times what nginx took to read its
    /// configuration.
    pub fn new(shell: S, place: Home) -> Self {
        Self { shell, place, patience: Duration::from_secs(2), loading: LOADING, asked: Mutex::default() }
    }

    /// Sets how long a reload may take at least until new workers are there.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how long nginx may take to read its configuration when it is asked for it, instead of a minute.
    pub fn loading(mut self, loading: Duration) -> Self {
        self.loading = loading;
        self
    }

    /// Returns the shell.
    pub fn shell(&self) -> &S {
        &self.shell
    }

    /// Tries to connect to an address from where nginx is, for a second at most. Changes nothing.
    pub async fn connects(&self, address: SocketAddr) -> Result<Connected, Failure> {
        Ok(connect::read(&self.run(&connect::script(address)).await?))
    }

    /// Runs a script that has an effect.
    async fn change(&self, name: &str, body: &str, limit: Duration) -> Result<Output, Failure> {
        let point = async |when: &str| {
            let passed = failpoint::reach(|| format!("{when} nginx {name}")).await;
            passed.map_err(|error| Failure::new(format!("nginx: {error}")))
        };
        point("before").await?;
        let output = self.shell.run_within(&subshell(body), limit).await?;
        point("after").await?;
        Ok(output)
    }

    async fn run(&self, body: &str) -> Result<Output, Failure> {
        self.shell.run(&subshell(body)).await
    }
}

impl Master {
    /// Returns the nginx of this master, of which no more is known than that it reads a folder of swap's.
    fn nginx(&self, folder: &str, load: Duration) -> Nginx {
        Nginx {
            master: self.process,
            binary: self.binary.clone(),
            arguments: self.arguments.clone(),
            folder: folder.to_owned(),
            error_log: ErrorLog::Elsewhere,
            syncs_files: false,
            load,
            patience: Duration::ZERO,
        }
    }
}

fn cut(output: &Output) -> Failure {
    Failure::new(format!("the shell beside nginx answered only in part (exit code {})", output.code))
        .tail(output.stderr.lines().rev().take(5).map(str::to_owned).collect::<Vec<_>>().into_iter().rev())
}
