//! The nouns of a swap as data. Pure: no IO, no clock, no async.
//!
//! Everything here can be written into the journal and read back, so that a run that was killed can be resumed by
//! another process.

mod container;
mod lifecycle;
mod route;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use container::{ContainerFacts, ContainerStatus, Ending, Mount, NetworkFacts, Published, Share};
pub use lifecycle::{FileKind, InjectedFile, Lifecycle, LifecycleCommand, Moment, list_commands};
pub use route::{Former, Obeying, Route, RouteFile, Said, Target};

/// The name of a compose service: letters, digits, `.`, `_` and `-`, as the compose specification allows.
///
/// Only such names become parts of paths and of nginx configuration, so nothing that could escape gets in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

impl ServiceName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if starts_well && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{}` is not a service name", text.escape_debug()))
        }
    }
}

impl TryFrom<String> for ServiceName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> String {
        name.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one run: time of its start and a random part, as `20260131-154502-9f3a`. Sorts by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
pub struct Place {
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

impl Place {
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

/// How many requests per second a probe sends where nobody has settled it.
pub const PROBE_RATE: u32 = 50;

/// How many requests per second a probe may send: it measures, it is no load test.
pub const MOST_PROBE_RATE: u32 = 1000;

/// How many versions that were replaced keep a name of swap's own, where nobody has settled it.
pub const KEEP: u32 = 3;

/// The most versions that can be kept.
pub const MOST_KEPT: u32 = 100;

/// Durations in the journal are whole milliseconds.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Why something was refused or failed, in the form in which people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was tried, on what, and what happened: one lower-case line without a full stop.
    pub what: String,
    /// The cure, if one is known: a command or the exact lines to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The last lines that the thing itself printed, control characters removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
}

impl Failure {
    /// Makes a failure that says what happened.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, tail: Vec::new() }
    }

    /// Adds the cure.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the last lines of a log or of a command's output.
    pub fn tail(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.tail = lines.into_iter().map(|line| printable(&line)).collect();
        self
    }

    /// Returns it with its cure in brackets.
    pub fn in_one_line(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} ({hint})", self.what),
            None => self.what.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// Returns the text without what could move a terminal's cursor, fake a line or turn one around: control characters are
/// escaped, and those that change the direction of writing too.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        match is_control(c) && c != '\t' {
            true => printable.extend(c.escape_default()),
            false => printable.push(c),
        }
    }
    printable
}

/// Tells whether a character is obeyed instead of shown: one of the control characters, a line's or paragraph's end, or one
/// that changes the direction of writing.
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the failure for a name that is no service, with what it may have meant.
pub fn unknown_service(word: &str, known: &[ServiceName]) -> Failure {
    Failure::new(format!(
        "service `{}` not found (services: {}){}",
        printable(word),
        list_services(known),
        meant(word, known)
    ))
}

/// Returns `; did you mean the service `worker`?` where a service's name is close, else nothing.
pub fn meant(word: &str, known: &[ServiceName]) -> String {
    let distance = |name: &ServiceName| strsim::damerau_levenshtein(word, name.as_str());
    match known.iter().map(|name| (distance(name), name)).min() {
        Some((distance, name)) if distance <= 1 + word.len() / 4 => format!("; did you mean the service `{name}`?"),
        _ => String::new(),
    }
}

/// Returns the names as `app, worker`.
pub fn list_services(known: &[ServiceName]) -> String {
    known.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ")
}

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

/// What a command that ran inside a container or beside nginx answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// The exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Its standard output, bounded.
    pub stdout: String,
    /// Its standard error, bounded.
    pub stderr: String,
}

impl Output {
    /// Tells whether the command exited 0.
    pub fn ok(&self) -> bool {
        self.code == 0
    }
}

/// What a command left, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// The exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: Beginning,
    /// Its standard error.
    pub stderr: Beginning,
}

/// The first bytes of something that may be long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beginning {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Beginning {
    /// Keeps no more than so many bytes.
    pub fn of(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, cut: false }
    }

    /// Takes what comes next.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.bytes.len());
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Tells whether more came than was kept.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Returns what was kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns what was kept.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_kept_to_the_byte_and_says_when_it_was_cut() {
        let mut kept = Beginning::of(4);
        kept.push(b"ab");
        kept.push(b"c\xff");
        assert_eq!((kept.bytes(), kept.is_cut()), (&b"abc\xff"[..], false));
        kept.push(b"");
        assert!(!kept.is_cut());
        kept.push(b"x");
        assert_eq!((kept.bytes(), kept.is_cut()), (&b"abc\xff"[..], true));
    }

    #[test]
    fn service_names_that_could_escape_are_refused() {
        for bad in ["", "../app", "app/x", "app\n", "a b", "-f", ".", "app;rm", "\u{1b}[2J"] {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad:?}");
        }
        for good in ["app", "web-1", "a.b_c", "_x", "9"] {
            assert_eq!(good.parse::<ServiceName>().map(String::from), Ok(good.to_owned()));
        }
    }

    #[test]
    fn printable_text_moves_no_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\r\n"), "a\\u{1b}[2Jb\tc\\r\\n");
        assert_eq!(printable("exit \u{202e}0\u{9b}2J"), "exit \\u{202e}0\\u{9b}2J");
    }
}
