//! What is settled of a service: `x-swap` of the compose file, and flags.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ServiceName, millis};
use crate::text::printable;

/// What the operator settled for a service: `x-swap` in the compose file, overridden by flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Settings {
    /// The port that nginx talks to; default: the only exposed one.
    pub port: Option<u16>,
    /// Which nginx fronts the service; default: found.
    pub proxy: Option<ProxyChoice>,
    /// What the upstream and its file are called; default: as the service. Another name lets projects that have services of
    /// one name share an nginx.
    #[serde(default)]
    pub upstream: Option<ServiceName>,
    /// `proxy: none`: the service is a worker even if an nginx mentions it.
    pub no_proxy: bool,
    /// The health checks beside Docker's own `HEALTHCHECK`.
    pub health: Vec<Check>,
    /// How many successes in a row make a candidate healthy; 0 means the default, 1.
    pub successes: u32,
    /// How long both run after the switch.
    #[serde(with = "millis")]
    pub watch: Duration,
    /// What is asked for through the front door all through the run, and counted: a path, or a whole URL.
    #[serde(default)]
    pub probe: Option<String>,
    /// How many requests per second the probe sends; `None`: the default.
    #[serde(default)]
    pub probe_rate: Option<u32>,
    /// How many versions that were replaced keep a name of swap's own for the way back; `None`: the default.
    #[serde(default)]
    pub keep: Option<u32>,
    /// The limits in time.
    pub timeouts: Timeouts,
    /// Whether the candidate starts before the old container stops.
    pub order: Order,
    /// When a candidate gets the service's names in the engine's DNS.
    #[serde(default)]
    pub dns: Dns,
    /// What becomes of the anonymous volumes of the old containers.
    #[serde(default)]
    pub anonymous_volumes: OldVolumes,
    /// Whether containers that share a namespace of the old ones may lose it.
    #[serde(default)]
    pub sidecars: Harm,
    /// Whether a second container is started where memory seems too short for it.
    #[serde(default)]
    pub room: Harm,
    /// The hooks, in order.
    pub hooks: Vec<HookSpec>,
}

impl Settings {
    /// Returns what the upstream and its file are called of the service that has these settings.
    pub fn upstream<'a>(&'a self, service: &'a ServiceName) -> &'a ServiceName {
        self.upstream.as_ref().unwrap_or(service)
    }
}

/// Which nginx fronts a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyChoice {
    /// nginx runs in a container of this compose service.
    Service(ServiceName),
    /// nginx runs in a container of a compose project of its own, that several projects may share.
    Project {
        /// The other project's name.
        project: ServiceName,
        /// The service in it.
        service: ServiceName,
    },
    /// nginx runs in this container, that compose need not have made.
    Container(ServiceName),
    /// nginx runs on the host, as a process that this machine sees.
    Host,
}

impl ProxyChoice {
    /// Reads what a person writes: `nginx`, `edge/nginx`, `container:NAME` or `host`. Names of projects, services and
    /// containers are all checked as those of services are: the engine allows no others.
    ///
    /// # Errors
    /// It is none of these; the text says which part is not a name.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "host" {
            return Ok(ProxyChoice::Host);
        }
        if let Some(container) = text.strip_prefix("container:") {
            return Ok(ProxyChoice::Container(container.trim().parse()?));
        }
        match text.split_once('/') {
            Some((project, service)) => {
                Ok(ProxyChoice::Project { project: project.parse()?, service: service.parse()? })
            }
            None => Ok(ProxyChoice::Service(text.parse()?)),
        }
    }

    /// Tells whether it belongs to no service of the project, so that others may write into its folder too.
    pub fn is_foreign(&self) -> bool {
        !matches!(self, ProxyChoice::Service(_))
    }

    /// Returns what names it in `x-swap`, as `edge/nginx` or `{ container: front }`.
    pub fn setting(&self) -> String {
        match self {
            ProxyChoice::Service(name) => name.to_string(),
            ProxyChoice::Project { project, service } => format!("{project}/{service}"),
            ProxyChoice::Container(name) => format!("{{ container: {name} }}"),
            ProxyChoice::Host => "host".to_owned(),
        }
    }
}

impl fmt::Display for ProxyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyChoice::Service(name) => write!(f, "{name}"),
            ProxyChoice::Project { project, service } => write!(f, "{project}/{service}"),
            ProxyChoice::Container(name) => write!(f, "the container {name}"),
            ProxyChoice::Host => f.write_str("nginx on the host"),
        }
    }
}

/// One way to see whether a candidate is ready. All that are given must agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The image's or the service's own `HEALTHCHECK`, run by exec so that nobody waits for the engine's interval.
    Docker(Vec<String>),
    /// A command and its arguments, run in the candidate; healthy when it exits 0.
    Command(Vec<String>),
    /// A line for the candidate's shell; healthy when it exits 0.
    Shell(String),
    /// `GET` of this path on the candidate's own address; healthy when it answers 2xx or 3xx.
    Http(String),
    /// The candidate's port accepts a connection.
    Tcp,
    /// nginx gets a connection at the candidate's address and this port, which its upstream will name. Always asked where
    /// there is an nginx, whatever else is.
    Reach(u16),
    /// Nothing else is known about the service: it runs and has not restarted for this long.
    Running(#[serde(with = "millis")] Duration),
}

impl Check {
    /// Tells whether the application itself answers it, and not the kernel or the engine.
    pub fn asks(&self) -> bool {
        !matches!(self, Check::Tcp | Check::Reach(_) | Check::Running(_))
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Docker(command) => write!(f, "its HEALTHCHECK `{}`", command.join(" ")),
            Check::Command(command) => write!(f, "`{}`", command.join(" ")),
            Check::Shell(line) => write!(f, "`{line}`"),
            Check::Http(path) => write!(f, "GET {path}"),
            Check::Tcp => write!(f, "its port accepts connections"),
            Check::Reach(port) => write!(f, "nginx reaches port {port}"),
            Check::Running(time) => write!(f, "it runs for {}", humantime::format_duration(*time)),
        }
    }
}

/// In which order the old and the new containers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The candidate runs before the old container stops: no gap.
    #[default]
    StartFirst,
    /// The old container stops before the candidate starts, because two must never run: a gap, as short as possible.
    StopFirst,
}

/// When a candidate gets the names by which other containers find the service in the engine's DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dns {
    /// When it is healthy, where others than nginx could ask for it.
    #[default]
    WhenHealthy,
    /// As it starts.
    AtStart,
}

/// What becomes of the anonymous volumes of the old containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OldVolumes {
    /// They stay, and are named.
    #[default]
    Keep,
    /// They go with the old containers, where nothing else uses them.
    Remove,
}

impl OldVolumes {
    /// Tells whether they stay.
    pub fn are_kept(&self) -> bool {
        *self == OldVolumes::Keep
    }
}

/// What to do where a swap harms what stands beside the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// The swap is refused.
    #[default]
    Refuse,
    /// It is said, and the swap goes on.
    Accept,
}

/// A hook as the operator names it, with what he lets it do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookSpec {
    /// The component's file, as written by the operator.
    pub file: String,
    /// What `config` answers to the hook: key to value.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// The grants beyond what concerns the candidate, as `exec:db` or `http:hooks.slack.com:443`.
    #[serde(default)]
    pub allow: Vec<String>,
}

impl HookSpec {
    /// Returns the short name in messages: the file's name without folders and ending.
    pub fn name(&self) -> &str {
        let base = self.file.rsplit('/').next().unwrap_or(&self.file);
        base.strip_suffix(".wasm").unwrap_or(base)
    }
}

/// The limits in time of one swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// How long a candidate may take to become healthy.
    #[serde(with = "millis")]
    pub health: Duration,
    /// How long requests that are under way may go on at the old container before they are cut.
    #[serde(with = "millis")]
    pub drain: Duration,
    /// How long nginx may take to read its configuration anew; zero: what follows from the time that it took when it was
    /// asked for it.
    #[serde(default, with = "millis")]
    pub reload: Duration,
    /// How long one call of a hook may take, everything that it asks of the world included.
    #[serde(with = "millis")]
    pub hook: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            health: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            reload: Duration::ZERO,
            hook: Duration::from_secs(300),
        }
    }
}

/// Checks what a probe shall ask for: a path of the front door, as `/up`, or an `http` or `https` URL.
pub fn probe_url(text: &str) -> Result<String, String> {
    let is_url = || {
        let url: Option<url::Url> = text.parse().ok();
        url.is_some_and(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
    };
    match text.starts_with('/') || is_url() {
        true => Ok(text.to_owned()),
        false => Err(format!("`{}` is neither a path as `/up` nor a URL as `http://localhost:8080/`", printable(text))),
    }
}

/// How many requests per second a probe sends where nobody has settled it.
pub const PROBE_RATE: u32 = 50;

/// How many requests per second a probe may send: it measures, it is no load test.
pub const MOST_PROBE_RATE: u32 = 1000;

/// How many versions that were replaced keep a name of swap's own, where nobody has settled it.
pub const KEEP: u32 = 3;

/// The most versions that can be kept.
pub const MOST_KEPT: u32 = 100;
