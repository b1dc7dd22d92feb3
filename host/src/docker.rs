//! The Docker engine: which one, its containers, commands inside them, probes.
//!
//! **Invariant:** nothing here knows compose files, nginx or hooks; callers bring names and get facts.
//! **Invariant:** every call is bounded in time; an engine that hangs becomes a [`Failure`].
//! **Invariant:** every effect may run twice; the method that has it says why that is safe.

pub mod aside;
pub mod containers;
pub mod endpoint;
pub mod exec;
pub mod files;
pub mod images;
pub mod logs;
pub mod probe;
mod reaper;
mod received;
pub mod shell;
mod ssh;
#[cfg(test)]
mod tests;
mod transport;
pub mod trial;
pub mod volumes;

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Failure;
use crate::text::printable;

pub use crate::model::{ContainerFacts, ContainerStatus, Ending, Mount, NetworkFacts, Published, Share, Shared};
pub use aside::Aside;
pub use containers::{Gathering, Listed, Stats};
pub use endpoint::{Address, Endpoint};
pub use exec::{Command, ExecError, Stream};
pub use files::Owned;
pub use logs::LogMark;
pub use probe::{ConnectResult, Inside, Listening};
pub use reaper::{End, Marked};
pub use received::Received;
pub use shell::Shell;
pub use trial::{Trial, TrialAnswer, TrialMount};
pub use volumes::{Mark, NoMark};

/// How long one question to the engine may take that has no reason to take long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to one Docker engine. Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub struct Docker {
    api: bollard::Docker,
    endpoint: Arc<Endpoint>,
    api_version: Arc<str>,
    reaper: Arc<reaper::Reaper>,
}

/// What identifies an engine and tells its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The engine's own id, made when it was installed and stable from then on.
    pub id: String,
    /// Its version, as `20.10.24`.
    pub version: String,
    /// The name of the machine that it runs on.
    pub host: String,
    /// Its operating system in words, as `Debian GNU/Linux 12 (bookworm)` or `Docker Desktop`.
    pub system: String,
    /// Whether it runs without root; container addresses are then in a network of its own.
    pub rootless: bool,
    /// The bytes of memory of its machine; 0: unknown.
    pub memory: u64,
    /// Where it keeps images and containers, on its machine.
    pub root: String,
}

impl Docker {
    /// Connects to the engine and asks it to answer, within 5 seconds.
    ///
    /// Fails with what was tried, where the address came from, and the cure if the kind of failure has one.
    pub async fn connect(endpoint: Endpoint) -> Result<Self, Failure> {
        let connected = transport::connect(&endpoint).await?;
        Ok(Self {
            api: connected.api,
            endpoint: Arc::new(endpoint),
            api_version: connected.api_version.into(),
            reaper: Arc::default(),
        })
    }

    /// Returns the endpoint that this is connected to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the newest API version that the engine speaks, as `1.41`.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// Tells whether the engine is reached by a socket file of this machine.
    ///
    /// It may still run in a virtual machine (Docker Desktop) or in a network namespace of its own (rootless), so a
    /// container's address must be tried before it is relied on: [`probe::reachable`].
    pub fn is_local(&self) -> bool {
        matches!(self.endpoint.address, Address::Unix(_))
    }

    /// Asks who the engine is. Its `/info` is the only call that has the id, and costs about what `/version` does (10–40 ms
    /// on a busy machine), so ask once.
    pub async fn engine(&self) -> Result<Engine, Failure> {
        let info = ask(self.api.info()).await.map_err(|fault| fault.when("asking the engine who it is"))?;
        let rootless = info.security_options.iter().flatten().any(|option| option.contains("rootless"));
        Ok(Engine {
            id: info.id.unwrap_or_default(),
            version: info.server_version.unwrap_or_default(),
            host: info.name.unwrap_or_default(),
            system: info.operating_system.unwrap_or_default(),
            rootless,
            memory: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
            root: info.docker_root_dir.unwrap_or_default(),
        })
    }

    /// Waits until what was given up has been ended, at most so long. Returns the names of what still runs then.
    ///
    /// To be called before the program exits, because what a dropped [`Docker::exec`] left behind is ended in the
    /// background.
    pub async fn settle(&self, limit: Duration) -> Vec<String> {
        self.reaper.settle(limit).await
    }
}

impl fmt::Debug for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Docker({})", self.endpoint)
    }
}

/// Why the engine did not do what was asked.
#[derive(Debug)]
struct Fault {
    /// The HTTP status, if the engine answered.
    status: Option<u16>,
    message: String,
}

impl Fault {
    fn is(&self, status: u16) -> bool {
        self.status == Some(status)
    }

    /// Says what was tried: `when("starting container `x`")`.
    fn when(self, tried: impl fmt::Display) -> Failure {
        let failure = Failure::new(format!("{tried}: {}", self.message));
        match self.status {
            Some(_) => failure,
            None => failure.hint("see whether `docker version` answers; the log of the engine tells more"),
        }
    }
}

impl From<bollard::errors::Error> for Fault {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self { status: Some(status_code), message: printable(message.trim()) }
            }
            Error::RequestTimeoutError => Self { status: None, message: "the engine did not answer in time".into() },
            Error::HyperLegacyError { err } => Self { status: None, message: unanswered(&err) },
            Error::HyperResponseError { .. } => {
                Self { status: None, message: "the engine broke its answer off".into() }
            }
            other => Self { status: None, message: printable(&chain(&other)) },
        }
    }
}

/// Says why a request got no answer.
fn unanswered(error: &hyper_util::client::legacy::Error) -> String {
    let cause = error.source().map(chain).unwrap_or_default();
    if error.is_connect() {
        return format!("the engine can't be reached any more: {}", printable(&cause));
    }
    match error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>()) {
        Some(error) if error.is_parse() => format!("the engine's answer makes no sense: {}", printable(&cause)),
        _ => "the engine broke the connection off before it had answered".to_owned(),
    }
}

/// Asks the engine something that has no reason to take long.
async fn ask<T>(question: impl Future<Output = Result<T, bollard::errors::Error>>) -> Result<T, Fault> {
    ask_within(PATIENCE, question).await
}

async fn ask_within<T>(
    limit: Duration,
    question: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, question).await {
        Ok(answer) => answer.map_err(Fault::from),
        Err(_) => Err(Fault { status: None, message: format!("the engine did not answer within {limit:?}") }),
    }
}

/// Returns an error and its causes in one line, without saying the same twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
