//! The project as `config` prints it, reduced to what a swap needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::lifecycle;
use super::place::ProjectPlace;
use crate::model::{Failure, FixedAddress, FixedPort, Lifecycle, Notice, ServiceName, Settings};
use crate::text::{is_control, printable};

/// A compose project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its name, as in the label `com.docker.compose.project`.
    pub name: String,
    /// What relative paths are relative to; absolute.
    pub directory: PathBuf,
    /// The files that were merged, in order, as the user would write them.
    pub files: Vec<PathBuf>,
    /// Its services, also those of profiles that are not active.
    pub services: BTreeMap<ServiceName, Service>,
    /// What compose warned of while it read the files, one line each.
    pub warnings: Vec<String>,
}

/// A service of the project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Its `x-swap`, over the defaults of the file's own `x-swap`.
    pub settings: Settings,
    /// `image`; without it compose names what it builds after project and service.
    pub image: Option<String>,
    /// `build`: what its image is made from.
    pub build: Option<Build>,
    /// `container_name`: with it there can't be a second container.
    pub container_name: Option<String>,
    /// The ports that are published on the engine's machine.
    pub ports: Vec<PublishedPort>,
    /// The TCP ports of `expose`; those of the image's own EXPOSE only the engine knows.
    pub expose: Vec<u16>,
    /// What is mounted.
    pub volumes: Vec<Mount>,
    /// The `configs` that it gets, of kind `config`; without a source where their text stands in the compose file or in a variable.
    pub configs: Vec<Mount>,
    /// Its `environment`, over the image's.
    pub environment: BTreeMap<String, String>,
    /// Its `entrypoint`; `None`: the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Its `command`; `None`: the image's.
    pub command: Option<Vec<String>>,
    /// `user`.
    pub user: Option<String>,
    /// `working_dir`.
    pub working_dir: Option<String>,
    /// The real names of its networks; empty with a `network_mode`.
    pub networks: Vec<String>,
    /// The names that it has in its networks beside its own.
    pub aliases: Vec<String>,
    /// The addresses of its own that it has in networks.
    pub fixed_addresses: Vec<FixedAddress>,
    /// The names that it alone has for other services, as `app:backend`.
    pub links: Vec<String>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `network_mode`, as `host` or `service:vpn`.
    pub network_mode: Option<String>,
    /// How long it may take to stop; the engine's default (10 s) if `None`.
    pub stop_grace_period: Option<Duration>,
    /// `healthcheck: { disable: true }`: the image's HEALTHCHECK does not count.
    pub healthcheck_disabled: bool,
    /// How many containers `up` would run.
    pub scale: u32,
    /// `restart`, as `unless-stopped`.
    pub restart: Option<String>,
    /// `pull_policy`, as `always`.
    pub pull_policy: Option<String>,
    /// The services that it depends on.
    pub depends_on: Vec<ServiceName>,
    /// Its profiles; empty if it always belongs to the project.
    pub profiles: Vec<String>,
    /// What its containers get beside their creation, start and stop.
    pub lifecycle: Lifecycle,
    /// What makes it a service that can't be swapped, whatever runs.
    pub problems: Vec<Failure>,
    /// What it asks for that is done in another way.
    pub notices: Vec<Notice>,
}

/// What an image is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The folder that it is made from.
    pub context: PathBuf,
    /// Its Dockerfile, relative to that folder.
    pub dockerfile: PathBuf,
    /// The stage of it that is the image; `None`: the last one.
    pub target: Option<String>,
}

/// A port that is published on the engine's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    /// The port in the container, or the first of a range.
    pub target: u16,
    /// The ports on the machine, first and last; `None` if the engine picks a free one.
    pub host: Option<(u16, u16)>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl PublishedPort {
    /// Tells whether only one container at a time can have it.
    pub fn fixed(&self) -> bool {
        self.as_fixed().is_some()
    }

    /// Returns it as one that only one container at a time can have, if it is such.
    pub fn as_fixed(&self) -> Option<FixedPort> {
        let (outer, _) = self.host.filter(|(first, last)| first == last)?;
        Some(FixedPort { outer, inner: self.target })
    }
}

/// Something that is mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `npipe`, `cluster` or `image`.
    pub kind: String,
    /// The path on the engine's machine or the volume's real name; `None` for anonymous volumes and tmpfs.
    pub source: Option<String>,
    /// The path in the container.
    pub target: String,
    /// Whether the container can't write to it.
    pub read_only: bool,
}

/// What `config` prints, without settings: those are read separately, because their mistakes are the user's.
#[derive(Deserialize)]
struct Config {
    name: Option<String>,
    #[serde(default)]
    services: BTreeMap<String, ConfigService>,
    #[serde(default)]
    networks: Option<BTreeMap<String, Option<Resource>>>,
    #[serde(default)]
    volumes: Option<BTreeMap<String, Option<Resource>>>,
}

#[derive(Deserialize)]
struct ConfigService {
    image: Option<String>,
    build: Option<Value>,
    container_name: Option<String>,
    #[serde(default)]
    ports: Option<Vec<Value>>,
    #[serde(default)]
    expose: Option<Vec<Value>>,
    #[serde(default)]
    volumes: Option<Vec<Value>>,
    configs: Option<Vec<Value>>,
    environment: Option<Value>,
    entrypoint: Option<Value>,
    command: Option<Value>,
    user: Option<Value>,
    working_dir: Option<String>,
    networks: Option<Value>,
    links: Option<Value>,
    hostname: Option<String>,
    mac_address: Option<String>,
    network_mode: Option<String>,
    stop_grace_period: Option<String>,
    healthcheck: Option<Healthcheck>,
    scale: Option<u32>,
    deploy: Option<Deploy>,
    restart: Option<Value>,
    pull_policy: Option<String>,
    depends_on: Option<Value>,
    profiles: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Healthcheck {
    #[serde(default)]
    disable: bool,
    test: Option<Value>,
}

#[derive(Deserialize)]
struct Deploy {
    replicas: Option<u32>,
}

/// A network or a volume.
#[derive(Deserialize)]
struct Resource {
    name: Option<String>,
    external: Option<Value>,
}

/// Makes a project of what `config` printed; the services' settings are still the defaults.
pub(super) fn parse(config: &Value, place: &ProjectPlace) -> Result<Project, Failure> {
    let printed = config;
    // Through JSON, so that a mistake names its place in the same words for both tools.
    let config = Config::deserialize(config).map_err(|error| {
        Failure::new(format!("reading what compose printed for {}: {error}", place.files_text()))
            .hint("this form is new to swap; please report it with the output of `docker compose config`")
    })?;
    let name = config.name.unwrap_or_else(|| place.name.clone());
    let networks = config.networks.unwrap_or_default();
    let volumes = config.volumes.unwrap_or_default();
    let mut services = BTreeMap::new();
    for (key, service) in config.services {
        let key: ServiceName = key.parse().map_err(|error: String| {
            Failure::new(format!("reading {}: {error}", place.files_text()))
                .hint("service names have letters, digits, `.`, `_` and `-`")
        })?;
        let configs = mounted_configs(&place.directory, service.configs.as_deref().unwrap_or_default(), printed);
        let mut service = service.resolve(&name, &place.directory, &networks, &volumes);
        service.configs = configs;
        let section = printed.get("services").and_then(|all| all.get(key.as_str())).unwrap_or(&Value::Null);
        let found = lifecycle::parse(&key, section, printed);
        (service.lifecycle, service.problems, service.notices) = (found.lifecycle, found.problems, found.notices);
        if let Some(what) = service.names().find(|name| name.chars().any(is_control)) {
            return Err(strange(place, what));
        }
        services.insert(key, service);
    }
    if name.chars().any(is_control) {
        return Err(strange(place, &name));
    }
    Ok(Project { name, directory: place.directory.clone(), files: place.files.clone(), services, warnings: Vec::new() })
}

impl Service {
    /// Returns what is a name, a path or an option of it.
    fn names(&self) -> impl Iterator<Item = &str> {
        let optional =
            [&self.image, &self.container_name, &self.hostname, &self.network_mode, &self.restart, &self.pull_policy]
                .into_iter()
                .flatten();
        let mounted = self.volumes.iter().flat_map(|mount| mount.source.iter().chain([&mount.kind, &mount.target]));
        let addresses = self.fixed_addresses.iter().map(|fixed| &fixed.address);
        let listed = self.networks.iter().chain(&self.aliases).chain(addresses).chain(&self.links);
        let listed = listed.chain(&self.profiles).chain(self.ports.iter().map(|port| &port.protocol));
        optional.chain(mounted).chain(listed).map(String::as_str)
    }
}

/// Refuses a name that could move a terminal's cursor or fake a line wherever it is shown.
fn strange(place: &ProjectPlace, name: &str) -> Failure {
    Failure::new(format!("reading {}: `{}` has a control character", place.files_text(), printable(name)))
        .hint("names and paths have none")
}

impl ConfigService {
    fn resolve(
        self,
        project: &str,
        directory: &Path,
        networks: &BTreeMap<String, Option<Resource>>,
        volumes: &BTreeMap<String, Option<Resource>>,
    ) -> Service {
        let mut names = keys(self.networks.as_ref());
        if names.is_empty() && self.network_mode.is_none() {
            names.push("default".to_owned());
        }
        let depends_on = keys(self.depends_on.as_ref());
        Service {
            settings: Settings::default(),
            image: self.image,
            build: self.build.as_ref().map(|build| parse_build(build, directory)),
            container_name: self.container_name,
            ports: self.ports.iter().flatten().filter_map(published_port).collect(),
            expose: self.expose.iter().flatten().flat_map(exposed).collect(),
            volumes: self.volumes.iter().flatten().filter_map(|mount| parse_mount(mount, project, volumes)).collect(),
            configs: Vec::new(),
            environment: environment(self.environment.as_ref()),
            entrypoint: self.entrypoint.as_ref().and_then(words),
            command: self.command.as_ref().and_then(words),
            user: self.user.as_ref().and_then(text),
            working_dir: self.working_dir,
            networks: names.iter().map(|key| real_name(project, key, networks)).collect(),
            aliases: listed(self.networks.as_ref(), "aliases"),
            fixed_addresses: fixed_addresses(self.networks.as_ref(), self.mac_address),
            links: keys(self.links.as_ref()),
            hostname: self.hostname,
            network_mode: self.network_mode,
            stop_grace_period: self.stop_grace_period.and_then(|text| humantime::parse_duration(&text).ok()),
            healthcheck_disabled: self.healthcheck.is_some_and(|check| check.disabled()),
            scale: self.scale.or(self.deploy.and_then(|deploy| deploy.replicas)).unwrap_or(1),
            restart: self.restart.as_ref().and_then(text),
            pull_policy: self.pull_policy,
            depends_on: depends_on.iter().filter_map(|name| name.parse().ok()).collect(),
            profiles: self.profiles.unwrap_or_default(),
            lifecycle: Lifecycle::default(),
            problems: Vec::new(),
            notices: Vec::new(),
        }
    }
}

impl Healthcheck {
    fn disabled(&self) -> bool {
        let none = |test: &Value| match test {
            Value::Array(words) => words.first().and_then(Value::as_str) == Some("NONE"),
            other => other.as_str() == Some("NONE"),
        };
        self.disable || self.test.as_ref().is_some_and(none)
    }
}

/// Returns the names in a list or the keys of a map; compose allows both forms in many places.
fn keys(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(text).collect(),
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Returns what is listed under a key of each entry of a map, as the aliases of each network.
fn listed(map: Option<&Value>, key: &str) -> Vec<String> {
    let entries = map.and_then(Value::as_object).into_iter().flat_map(Map::values);
    entries.flat_map(|entry| keys(entry.get(key))).collect()
}

/// Returns the addresses that a service has for itself.
fn fixed_addresses(networks: Option<&Value>, mac_address: Option<String>) -> Vec<FixedAddress> {
    const KEYS: [&str; 3] = ["ipv4_address", "ipv6_address", "mac_address"];
    let entries = networks.and_then(Value::as_object).into_iter().flat_map(Map::values);
    let in_networks = entries.flat_map(|entry| {
        KEYS.into_iter().filter_map(|key| entry.get(key).and_then(text).map(|address| FixedAddress { key, address }))
    });
    let mut fixed: Vec<FixedAddress> =
        in_networks.chain(mac_address.map(|address| FixedAddress { key: "mac_address", address })).collect();
    fixed.dedup();
    fixed
}

/// Returns the name by which the engine knows a network or volume of the project.
fn real_name(project: &str, key: &str, resources: &BTreeMap<String, Option<Resource>>) -> String {
    let resource = resources.get(key).and_then(Option::as_ref);
    let named = resource.and_then(|resource| resource.name.clone());
    let external = resource.and_then(|resource| resource.external.as_ref());
    match (named, external) {
        (Some(name), _) => name,
        (None, Some(Value::Object(map))) => map.get("name").and_then(text).unwrap_or_else(|| key.to_owned()),
        (None, Some(Value::Bool(true))) => key.to_owned(),
        (None, _) => format!("{project}_{key}"),
    }
}

/// Returns a scalar as text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// Returns first and last of `80` or `80-89`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some((first, last))
}

/// Reads an entry of `ports`: a map, or the short form `[address:][host:]container[/protocol]`.
pub(super) fn published_port(value: &Value) -> Option<PublishedPort> {
    let (target, host, protocol) = match value {
        Value::Object(map) => {
            let field = |key: &str| map.get(key).and_then(text);
            (field("target")?, field("published"), field("protocol"))
        }
        scalar => {
            let short = text(scalar)?;
            let (ports, protocol) = short.rsplit_once('/').unwrap_or((&short, "tcp"));
            // An IPv6 address has colons of its own: only the last two parts are ports.
            let mut parts = ports.rsplitn(3, ':');
            let target = parts.next()?.to_owned();
            (target, parts.next().map(str::to_owned), Some(protocol.to_owned()))
        }
    };
    let (target, _) = range(&target)?;
    let host = host.as_deref().and_then(range).filter(|(first, _)| *first != 0);
    Some(PublishedPort { target, host, protocol: protocol.unwrap_or_else(|| "tcp".to_owned()) })
}

/// Reads an entry of `expose`, as `9000`, `8000-8002` or `53/udp`.
fn exposed(value: &Value) -> Vec<u16> {
    let Some(text) = text(value) else { return Vec::new() };
    let (ports, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
    match range(ports) {
        Some((first, last)) if protocol == "tcp" => (first..=last).collect(),
        _ => Vec::new(),
    }
}

/// Reads `build`: a map, or the folder alone.
fn parse_build(value: &Value, directory: &Path) -> Build {
    let field = |key: &str| value.get(key).and_then(text);
    let context = text(value).or_else(|| field("context")).unwrap_or_default();
    let dockerfile = field("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
    Build { context: directory.join(context), dockerfile: dockerfile.into(), target: field("target") }
}

/// Reads an entry of `volumes`: a map, or the short form `[source:]target[:mode]`.
fn parse_mount(value: &Value, project: &str, volumes: &BTreeMap<String, Option<Resource>>) -> Option<Mount> {
    let mut mount = match value {
        Value::Object(map) => {
            let field = |key: &str| map.get(key).and_then(text);
            Mount {
                kind: field("type").unwrap_or_else(|| "volume".to_owned()),
                source: field("source"),
                target: field("target")?,
                read_only: flag(map, "read_only"),
            }
        }
        short => {
            let short = short.as_str()?;
            let parts: Vec<&str> = short.split(':').collect();
            let (source, target, mode) = match parts[..] {
                [target] => (None, target, ""),
                [source, target] => (Some(source), target, ""),
                [source, target, mode] => (Some(source), target, mode),
                _ => return None,
            };
            let bind = source.is_some_and(|source| Path::new(source).is_absolute() || source.starts_with(['.', '~']));
            Mount {
                kind: if bind { "bind" } else { "volume" }.to_owned(),
                source: source.map(str::to_owned),
                target: target.to_owned(),
                read_only: mode.split(',').any(|option| option == "ro"),
            }
        }
    };
    if mount.kind == "volume" {
        mount.source = mount.source.map(|key| real_name(project, &key, volumes));
    }
    Some(mount)
}

/// Returns where the `configs` of a service are in its containers, and the files that they come from.
fn mounted_configs(directory: &Path, entries: &[Value], printed: &Value) -> Vec<Mount> {
    let mounted = |entry: &Value| {
        let name = text(entry).or_else(|| entry.get("source").and_then(text))?;
        let target = entry.get("target").and_then(text).unwrap_or_else(|| format!("/{name}"));
        let target = if target.starts_with('/') { target } else { format!("/{target}") };
        let file = printed.get("configs").and_then(|all| all.get(&name)?.get("file").and_then(text));
        let source = file.map(|file| directory.join(file).display().to_string());
        Some(Mount { kind: "config".to_owned(), source, target, read_only: true })
    };
    entries.iter().filter_map(mounted).collect()
}

/// Reads `environment`, a map or a list of `NAME=value`; a name alone has no value here.
fn environment(value: Option<&Value>) -> BTreeMap<String, String> {
    match value {
        Some(Value::Object(map)) => {
            map.iter().filter_map(|(name, value)| Some((name.clone(), unescaped(&text(value)?)))).collect()
        }
        Some(Value::Array(items)) => {
            let pair = |item: &Value| {
                let line = text(item)?;
                let (name, value) = line.split_once('=')?;
                Some((name.to_owned(), unescaped(value)))
            };
            items.iter().filter_map(pair).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// `config` prints `$$` for what is a `$`.
fn unescaped(text: &str) -> String {
    text.replace("$$", "$")
}

/// Reads a command: a list of words, or a line that is split as a shell does it.
fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => Some(items.iter().filter_map(text).map(|word| unescaped(&word)).collect()),
        Value::String(line) => Some(split_line(&unescaped(line))),
        _ => None,
    }
}

/// Splits a line at blanks outside of quotes.
fn split_line(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().extend(rest.next()),
            (None, '"' | '\'') => {
                quote = Some(c);
                _ = word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool).unwrap_or_default()
}
