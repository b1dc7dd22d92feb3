//! The one trait through which hooks reach the world.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use url::Url;

use crate::model::{Container, ServiceName};

/// Why something that a hook asked for could not be done, in the words of the WIT package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Its kind.
    pub code: ErrorCode,
    /// One line for people.
    pub message: String,
}

/// The kinds of errors that the WIT package knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The operator has not granted it.
    Refused,
    /// It can't be understood.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// It does not answer.
    Unreachable,
    /// It took too long.
    Timeout,
    /// It is more than a hook may have.
    TooLarge,
    /// This run does not have it.
    Unavailable,
    /// Anything else.
    Failed,
}

impl ErrorCode {
    /// Returns what the WIT package calls it.
    pub fn name(self) -> &'static str {
        match self {
            ErrorCode::Refused => "refused",
            ErrorCode::Invalid => "invalid",
            ErrorCode::NotFound => "not-found",
            ErrorCode::Unreachable => "unreachable",
            ErrorCode::Timeout => "timeout",
            ErrorCode::TooLarge => "too-large",
            ErrorCode::Unavailable => "unavailable",
            ErrorCode::Failed => "failed",
        }
    }
}

impl Error {
    /// Makes an error of any code of the WIT package.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// No such container, service, command, host or key.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// It does not answer.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unreachable, message)
    }

    /// This run does not have it.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// Anything else.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Failed, message)
    }
}

/// A container that a hook inspects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// One of the containers of the context.
    Container(Container),
    /// The first container of another service.
    Service(ServiceName),
}

/// Where a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandTarget {
    /// In a container that runs.
    In(Subject),
    /// In a new container of the candidate's image with the service's environment, networks and volumes.
    OneOff,
}

/// Takes the output of a command line by line, as it comes.
pub type ShowLine = Arc<dyn Fn(&str) + Send + Sync>;

/// A command that a hook wants to run. Its grant was checked.
#[derive(Clone)]
pub struct CommandRequest {
    /// Where it runs.
    pub target: CommandTarget,
    /// The command and its arguments; at least one.
    pub argv: Vec<String>,
    /// Its standard input.
    pub input: Vec<u8>,
    /// Added to its environment.
    pub environment: Vec<(String, String)>,
    /// The user; `None` for the container's.
    pub user: Option<String>,
    /// The folder; `None` for the container's.
    pub folder: Option<String>,
    /// Takes its output as it comes, if the hook wants it shown.
    pub show: Option<ShowLine>,
    /// How many bytes of each output are wanted at most.
    pub limit: usize,
}

/// What a command that ran to its end left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandOutput {
    /// The exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Standard output, its beginning if it was too long.
    pub stdout: Vec<u8>,
    /// Standard error, its beginning if it was too long.
    pub stderr: Vec<u8>,
    /// Whether any of both was cut.
    pub truncated: bool,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// To a container of the context; to the service's own port if none is named.
    Container {
        /// The container.
        container: Container,
        /// The port in the URL.
        port: Option<u16>,
    },
    /// To the proxy, as users come.
    FrontDoor {
        /// The port in the URL; `None` for the one where users come.
        port: Option<u16>,
    },
    /// To a host by its name or address, or to the service of the project that has this name.
    Host {
        /// The host, in lower case; an IPv6 address has its brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// One request, without redirects. Its grant was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Where it goes, whatever the URL's host says.
    pub to: Endpoint,
    /// The method, as `GET`.
    pub method: String,
    /// Scheme, path and query; its host is the `Host` of the request unless `headers` has one.
    pub url: Url,
    /// Names and values, free of control characters.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How many bytes of the answer's body are wanted at most.
    pub limit: usize,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpResponse {
    /// The status, as 200.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, its beginning if it was too long.
    pub body: Vec<u8>,
    /// Whether the body was cut.
    pub truncated: bool,
    /// From sending the request to the end of the body.
    pub elapsed: Duration,
}

/// What a container is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerState {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub status: String,
    /// `none`, `starting`, `healthy` or `unhealthy`.
    pub health: String,
    /// The exit code, once it has exited.
    pub exit_code: Option<i32>,
    /// Whether the kernel killed it because it had no memory left.
    pub oom_killed: bool,
    /// How often the engine restarted it.
    pub restarts: u32,
    /// The time since it was started; `None` if it never was.
    pub age: Option<Duration>,
    /// Its labels, sorted by key.
    pub labels: Vec<(String, String)>,
    /// The names of its environment variables, sorted; never the values.
    pub environment: Vec<String>,
}

/// What a container uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerUsage {
    /// Memory in bytes, without the page cache.
    pub memory: u64,
    /// The limit on it in bytes, if there is one.
    pub memory_limit: Option<u64>,
    /// CPU time since it was started.
    pub cpu: Duration,
    /// Processes and threads.
    pub processes: u64,
}

/// A window of time at the front door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The candidate since it is live.
    SinceSwitch,
    /// The live container before the switch.
    Before,
}

/// What the front door saw in a window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measurement {
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Those without an answer or with a status of 500 or above.
    pub failures: u64,
    /// The length of the window.
    pub duration: Duration,
    /// Half were answered within this time.
    pub p50: Duration,
    /// 90 % were.
    pub p90: Duration,
    /// 99 % were.
    pub p99: Duration,
    /// All were.
    pub max: Duration,
}

/// What hooks can do to the world.
///
/// The caller has checked the grant, sets the time limit by dropping the future and cuts what comes back. So an
/// implementation must end what it started when its future is dropped, and should stop reading at `limit`.
pub trait Capabilities: Send + Sync {
    /// Runs a command to its end.
    fn exec(&self, request: CommandRequest) -> BoxFuture<'_, Result<CommandOutput, Error>>;

    /// Sends one request and returns the answer, redirects included: it follows none.
    fn http(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, Error>>;

    /// Returns what a container is.
    fn container_state(&self, subject: Subject) -> BoxFuture<'_, Result<ContainerState, Error>>;

    /// Returns what a container uses.
    fn container_usage(&self, subject: Subject) -> BoxFuture<'_, Result<ContainerUsage, Error>>;

    /// Returns the value of a key in the store of the hook of this name for the service of the run.
    fn state_get(&self, hook: &str, key: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>>;

    /// Sets the value of a key, or removes it if `value` is `None`, durably.
    fn state_set(&self, hook: &str, key: &str, value: Option<Vec<u8>>) -> BoxFuture<'_, Result<(), Error>>;

    /// Does what [`state_set`](Self::state_set) does, at once and only if the key's value is `expected`, where `None` means
    /// that there is no such key. Returns whether it did.
    fn state_compare_and_set(
        &self,
        hook: &str,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> BoxFuture<'_, Result<bool, Error>>;

    /// Returns the keys that start with a prefix, sorted.
    fn state_keys(&self, hook: &str, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, Error>>;

    /// Returns what the front door saw.
    fn metrics(&self, window: Window) -> BoxFuture<'_, Result<Measurement, Error>>;

    /// Returns a secret by its name. Its grant was checked.
    fn secret(&self, name: &str) -> BoxFuture<'_, Result<String, Error>>;

    /// Returns the ports of the proxy's container where users come.
    fn front_ports(&self) -> BoxFuture<'_, Vec<u16>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Waits until commands that were given up are over. Fails with the name of one that can't be ended.
    fn given_up_is_over(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Returns the time of day that hooks see.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
