//! What an engine tells about a container.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::NetworkPlace;

/// What the engine tells about a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerFacts {
    /// The full id.
    pub id: String,
    /// The name without the leading slash, as `demo-app-1`.
    pub name: String,
    /// Its compose service; empty if compose did not make it.
    pub service: String,
    /// Its number among the service's containers; 0 if it has none.
    pub number: u32,
    /// What it does now.
    pub state: ContainerStatus,
    /// The exit code of its last end; 0 while it runs for the first time.
    pub exit_code: i64,
    /// How often the engine has restarted it.
    pub restarts: u64,
    /// Whether it ran out of memory.
    pub oom_killed: bool,
    /// Why the engine could not start it, if so.
    pub error: Option<String>,
    /// The id of its image (`sha256:…`).
    pub image: String,
    /// What it was created from, as `demo-app` or `nginx:1.28`.
    pub image_name: String,
    /// Docker's own health status: `starting`, `healthy` or `unhealthy`; `None` without a `HEALTHCHECK`.
    pub health: Option<String>,
    /// The command of its `HEALTHCHECK` as the engine has it, as `["CMD-SHELL", "curl …"]`.
    pub healthcheck: Option<Vec<String>>,
    /// Its networks by name.
    pub networks: BTreeMap<String, NetworkFacts>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was started last, by the engine's clock, in RFC 3339; `None` if never.
    pub started_at: Option<String>,
    /// How long the engine waits between SIGTERM and SIGKILL; `None` is the engine's default, 10 s.
    pub stop_timeout: Option<Duration>,
    /// The signal that asks it to stop, as `SIGQUIT`; `None` is SIGTERM.
    pub stop_signal: Option<String>,
    /// What is mounted in it.
    pub mounts: Vec<Mount>,
    /// The exposed TCP ports, ascending.
    pub ports: Vec<u16>,
    /// The TCP ports of the engine's machine that lead to it now.
    pub published: Vec<Published>,
    /// The restart policy: `no`, `always`, `unless-stopped` or `on-failure`.
    pub restart: String,
    /// Whose processes it sees: empty is its own, else `host` or `container:ID`.
    pub pid_mode: String,
    /// What it has of another container instead of its own.
    pub shares: Vec<Share>,
    /// Its network mode: a network's name, `host`, `none` or `container:ID`.
    pub network_mode: String,
    /// The id of its main process on the engine's machine; `None` while it does not run.
    pub pid: Option<i64>,
    /// The command it runs: entrypoint and arguments.
    pub command: Vec<String>,
    /// The names of its environment variables, sorted; never the values.
    pub environment: Vec<String>,
    /// The user it runs as; empty is the image's default, root.
    pub user: String,
    /// What it calls its machine: the engine's DNS may know it by this too.
    pub hostname: String,
    /// Whether it was given a terminal; its output is then not split into stdout and stderr.
    pub tty: bool,
}

impl ContainerFacts {
    /// Tells whether its processes run: not created, exited, paused or between two restarts.
    pub fn runs(&self) -> bool {
        self.state == ContainerStatus::Running
    }

    /// Returns its address in the network, or in any if none is named.
    pub fn address(&self, network: Option<&str>) -> Option<IpAddr> {
        match network {
            Some(name) => self.networks.get(name).and_then(|network| network.ip),
            None => self.networks.values().find_map(|network| network.ip),
        }
    }

    /// Tells how it ended since the engine had restarted it so often; `None` if it did not.
    pub fn ending(&self, restarts: u64) -> Option<Ending> {
        match self.state {
            _ if self.oom_killed => Some(Ending::OutOfMemory),
            ContainerStatus::Restarting => Some(Ending::Restarted(Some(self.exit_code))),
            // Where it runs again, the engine has forgotten the code.
            _ if self.restarts > restarts => Some(Ending::Restarted(None)),
            ContainerStatus::Running | ContainerStatus::Paused | ContainerStatus::Created if self.error.is_none() => {
                None
            }
            _ => Some(Ending::Exited(self.exit_code, self.error.clone())),
        }
    }
}

/// What a container does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the engine's own words")]
pub enum ContainerStatus {
    #[default]
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl fmt::Display for ContainerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContainerStatus::Created => "created",
            ContainerStatus::Running => "running",
            ContainerStatus::Paused => "paused",
            ContainerStatus::Restarting => "restarting",
            ContainerStatus::Removing => "removing",
            ContainerStatus::Exited => "exited",
            ContainerStatus::Dead => "dead",
        })
    }
}

/// A container's place in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkFacts {
    /// The network's id; empty while the container was never started.
    pub id: String,
    /// Its IPv4 address there, or its IPv6 one if it has no other; `None` while it does not run.
    pub ip: Option<IpAddr>,
    /// Its IPv6 address there, also beside an IPv4 one.
    pub ipv6: Option<IpAddr>,
    /// The names that it has there beside its own.
    pub aliases: Vec<String>,
    /// The names that it alone has for others there, each as `CONTAINER:NAME`.
    pub links: Vec<String>,
    /// What was asked for, so that it can be given again.
    pub place: NetworkPlace,
}

/// What a container may have of another one instead of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// Its network.
    Network,
    /// Its processes.
    Processes,
    /// Its shared memory.
    Memory,
    /// Its volumes: who has them keeps them when it is removed.
    Volumes,
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shared::Network => "network",
            Shared::Processes => "processes",
            Shared::Memory => "shared memory",
            Shared::Volumes => "volumes",
        })
    }
}

/// Something of another container that a container uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// What it is.
    pub what: Shared,
    /// The other container's id, or what it was called by.
    pub of: String,
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, …
    pub kind: String,
    /// The path on the engine's machine.
    pub source: String,
    /// The path in the container.
    pub destination: String,
    /// Whether the container may write there.
    pub writable: bool,
    /// The volume's name, if it is one.
    pub volume: Option<String>,
    /// Whether it is a volume that nobody named: a new container does not get its content.
    pub anonymous: bool,
}

/// A TCP port of the engine's machine that leads to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// The port in the container.
    pub inner: u16,
    /// The port of the machine.
    pub port: u16,
    /// The address of the machine that it is bound to; `None`: all of them.
    pub ip: Option<IpAddr>,
}

/// How a container ended while somebody watched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Its main process exited with this code; the engine's own complaint if it could not even start.
    Exited(i64, Option<String>),
    /// It ended, with this code if it is known, and the engine starts it again.
    Restarted(Option<i64>),
    /// It ran out of memory.
    OutOfMemory,
    /// Somebody removed it.
    Gone,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exited(code, None) => write!(f, "exited with code {code}"),
            Ending::Exited(code, Some(error)) => write!(f, "exited with code {code}: {error}"),
            Ending::Restarted(Some(code)) => write!(f, "exited with code {code} and was restarted by the engine"),
            Ending::Restarted(None) => write!(f, "exited and was restarted by the engine"),
            Ending::OutOfMemory => write!(f, "ran out of memory"),
            Ending::Gone => write!(f, "was removed"),
        }
    }
}
