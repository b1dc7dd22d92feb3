//! The nouns of a swap as data. Pure: no IO, no clock, no async.
//!
//! Everything here can be written into the journal and read back, so that a run that was killed can be resumed by
//! another process.

mod container;
mod failure;
mod fixed;
mod lifecycle;
mod names;
mod notice;
mod output;
mod overrides;
mod route;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use container::{ContainerFacts, ContainerStatus, Ending, Mount, NetworkFacts, Published, Share, Shared};
pub use failure::Failure;
pub use fixed::{FixedAddress, FixedPort};
pub use lifecycle::{FileKind, InjectedFile, Lifecycle, LifecycleCommand, Moment, list_commands};
pub use names::{RunId, ServiceName, list_services, meant, unknown_service};
pub use notice::Notice;
pub(crate) use notice::extend_new;
pub use output::{Captured, Output};
pub use overrides::Overrides;
pub use route::{FormerRoute, ObeyedMark, Route, RouteFile, RouteStatement, Target};
pub use settings::{
    Check, Dns, Harm, HookSpec, KEEP, MOST_KEPT, MOST_PROBE_RATE, OldVolumes, Order, PROBE_RATE, ProxyChoice, Settings,
    Timeouts, probe_url,
};

/// One change of a text that people wrote: what stands in a range of bytes becomes another text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The bytes that are replaced; empty: something is put in between.
    pub at: std::ops::Range<usize>,
    /// What stands there then.
    pub text: String,
}

impl Edit {
    /// Puts a text in between.
    pub fn insert(at: usize, text: impl Into<String>) -> Self {
        Self { at: at..at, text: text.into() }
    }

    /// Returns the text with all edits made. They must not overlap; all else stays as it is, byte by byte.
    pub fn apply(text: &str, edits: &[Edit]) -> String {
        let mut sorted: Vec<&Edit> = edits.iter().collect();
        sorted.sort_by_key(|edit| edit.at.start);
        let (mut changed, mut done) = (String::new(), 0);
        for Edit { at, text: new } in sorted {
            changed += &text[done..at.start];
            changed += new;
            done = at.end;
        }
        changed + &text[done..]
    }
}

/// A container of a service, as far as a plan needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's full id.
    pub id: String,
    /// The name without the leading slash, as `demo-app-1`.
    pub name: String,
    /// The id of its image (`sha256:…`).
    pub image: String,
    /// Where the proxy reaches it; `None` while it does not run or when no proxy fronts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
}

/// The image that candidates are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// What the compose file calls it, as `demo-app` or `php:8-apache`.
    pub name: String,
    /// The engine's id of it (`sha256:…`).
    pub id: String,
}

/// A container's place in a network as it was asked for, so that it can be given again: nothing that the engine has chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkPlace {
    /// The network's name.
    pub network: String,
    /// The names by which other containers of the network find it, beside its own name and its short id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The names by which it finds others, as `demo-db-1:db`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// An IPv4 address that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// An IPv6 address that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// Addresses of the link alone that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub link_local: Vec<String>,
    /// A hardware address that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Options of the network's driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_options: BTreeMap<String, String>,
    /// Which of its networks is the way out; the highest wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_priority: Option<i64>,
}

impl NetworkPlace {
    /// Returns the place without the names that others could have too: by its own name and id it is always found.
    pub fn unnamed(&self) -> Self {
        Self { aliases: Vec::new(), ..self.clone() }
    }

    /// Returns the place as another container of the service has it: without what belongs to this one alone.
    pub fn of_service(&self, name: &str, id: &str) -> Self {
        let own = |alias: &str| alias == name || (!alias.is_empty() && id.starts_with(alias));
        Self {
            network: self.network.clone(),
            aliases: self.aliases.iter().filter(|alias| !own(alias)).cloned().collect(),
            links: self.links.clone(),
            driver_options: self.driver_options.clone(),
            gateway_priority: self.gateway_priority,
            ..Self::default()
        }
    }
}

/// Whether a probe's requests reach the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reaches", rename_all = "kebab-case")]
pub enum Reaches {
    /// They reach the containers that were live when the run began.
    Live {
        /// How that is known.
        proof: String,
    },
    /// They do not: nginx answers by itself, or another container does.
    NotLive {
        /// What was seen.
        why: String,
    },
    /// Nobody knows.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// Durations in the journal are whole milliseconds.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

pub(crate) mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// A point of the run at which hooks are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before the candidate is created: migrations.
    PreStart,
    /// While the candidate gets ready, and again during the watch.
    Health,
    /// The candidate is healthy and not yet live: warm caches, last veto.
    PreSwap,
    /// The candidate is live: warm-up, verification through the front door.
    PostSwap,
    /// The run is unwound: undo what `pre-start` did.
    Rollback,
    /// After the commit: notify.
    Finish,
}

impl Phase {
    /// All phases in the order in which a run reaches them.
    pub const ALL: [Phase; 6] =
        [Phase::PreStart, Phase::Health, Phase::PreSwap, Phase::PostSwap, Phase::Rollback, Phase::Finish];

    /// Returns the phase's name as in the WIT package and in messages, as `pre-start`.
    pub fn name(self) -> &'static str {
        match self {
            Phase::PreStart => "pre-start",
            Phase::Health => "health",
            Phase::PreSwap => "pre-swap",
            Phase::PostSwap => "post-swap",
            Phase::Rollback => "rollback",
            Phase::Finish => "finish",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A hook that was loaded: its name in messages and the phases that its component exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedHook {
    /// The short name, unique in the run.
    pub name: String,
    /// The phases that it implements.
    pub phases: Vec<Phase>,
    /// The digest of its component, as `sha256:…`.
    pub digest: String,
    /// Whether it asks for the numbers of the front door: then nobody else judges them.
    pub weighs_numbers: bool,
}
