//! Whether an nginx sends requests to a service: through swap's upstream, past it, or who knows. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::config::Configuration;
use super::dump::Unread;
use super::ways::{Destination, End, Realm, Upstream, Way, split};
use crate::model::{Failure, Notice, ServiceName};
use crate::text::printable;

/// All by which a service's containers can be reached from one nginx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The service.
    pub service: ServiceName,
    /// What swap's upstream for it is called; mostly as the service.
    pub upstream: ServiceName,
    /// The project that it belongs to; `None`: unknown, so that no file of swap's is its own but that of the upstream's name.
    pub project: Option<String>,
    /// Its names in lower case, each with what it is, as `its network alias`.
    pub names: BTreeMap<String, String>,
    /// The addresses of its containers, each with the container's name.
    pub addresses: BTreeMap<IpAddr, String>,
    /// The names of its networks: the engine's DNS knows each name with a network's behind it too.
    pub networks: Vec<String>,
    /// The ports of the engine's machine that lead to it, each with the container's name.
    pub published: BTreeMap<u16, String>,
    /// Whether nginx shares the network of the engine's machine, so that loopback addresses are the machine's.
    pub on_machine: bool,
    /// Whether this nginx is one of the project's own, or the operator says that it fronts the service. In any other an upstream of
    /// the same name may be anybody's: there it must lead to the service, or swap's file must say that it is this project's.
    pub claimed: bool,
    /// The project that swap's file of the upstream's name belongs to, where that is another one.
    pub owner: Option<String>,
    /// The folders of nginx's container that are also mounted in its containers, each with what is mounted.
    pub folders: BTreeMap<String, String>,
    /// What nginx's `/etc/hosts` says: names in lower case to addresses.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl Names {
    /// Names of a service of which nothing is known but what it is called in the compose file.
    pub fn of(service: ServiceName) -> Self {
        let names = [(service.as_str().to_lowercase(), "its name".to_owned())].into();
        Self {
            upstream: service.clone(),
            project: None,
            service,
            names,
            addresses: BTreeMap::new(),
            networks: Vec::new(),
            published: BTreeMap::new(),
            on_machine: false,
            claimed: true,
            owner: None,
            folders: BTreeMap::new(),
            hosts: BTreeMap::new(),
        }
    }

    /// Adds a name; what is known of it already stays.
    pub fn add(&mut self, name: &str, what: impl Into<String>) {
        if !name.is_empty() {
            self.names.entry(name.to_lowercase()).or_insert_with(|| what.into());
        }
    }
}

/// A line that passes requests to the service through swap's upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// As `proxy_pass`.
    pub directive: String,
    /// Its argument as written.
    pub value: String,
    /// File and line.
    pub place: String,
}

/// What an nginx's ways mean for a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceWays {
    /// The lines that a switch moves, because they name swap's upstream.
    pub passes: Vec<Pass>,
    /// The lines that reach the service past swap's upstream, each with the lines to write instead.
    pub past: Vec<Failure>,
    /// What may or may not reach the service, each with why and with what settles it.
    pub unclear: Vec<Failure>,
    /// What should be known though requests go through swap's upstream.
    pub warnings: Vec<Notice>,
    /// Whether a line names an upstream of that name that swap wrote for another project.
    pub of_others: bool,
}

impl ServiceWays {
    /// Tells whether requests reach the service for certain.
    pub fn is_used(&self) -> bool {
        !self.passes.is_empty() || !self.past.is_empty()
    }
}

/// Where an end leads, seen from the service.
enum Finding {
    /// To it, through swap's upstream.
    Through,
    /// To it, past swap's upstream; with what gives it away.
    Past(String),
    /// Perhaps to it; with why that can't be told.
    Perhaps(String),
    /// To swap's upstream of that name, which is another project's.
    Others,
    /// Elsewhere.
    Elsewhere,
}

/// Decides what the ways of an nginx mean for a service.
pub fn reach(configuration: &Configuration, names: &Names) -> ServiceWays {
    let judge = Judge { names, configuration };
    let (mut reach, mut in_streams, mut scripts) = (ServiceWays::default(), Vec::new(), Vec::new());
    let mut unclear = Vec::new();
    for way in &configuration.ways.ways {
        let (mut through, mut past, mut perhaps) = (false, None, None);
        for end in way.ends.iter() {
            match judge.finding(end, way) {
                Finding::Through => through = true,
                Finding::Past(how) => _ = past.get_or_insert((end, how)),
                Finding::Perhaps(why) => _ = perhaps.get_or_insert(why),
                Finding::Others => reach.of_others = true,
                Finding::Elsewhere => {}
            }
        }
        if through {
            let Way { directive, value, place, .. } = way.clone();
            reach.passes.push(Pass { directive, value, place });
        }
        if let Some((end, how)) = past {
            let list = if way.realm == Realm::Http { &mut reach.past } else { &mut in_streams };
            list.push(judge.past(way, end, &how));
        }
        if let Some(why) = perhaps {
            let list = if way.script { &mut scripts } else { &mut unclear };
            list.push((way, why));
        }
    }
    let unread = configuration.ways.unread.iter();
    if !reach.is_used() {
        reach.past.append(&mut in_streams);
    }
    reach.warnings.extend(in_streams.into_iter().map(Notice::from));
    if reach.is_used() {
        // It is known to send requests there: what is left is worth a word, and a script that nobody can follow is not.
        let told = |(way, why): (&Way, String)| {
            Notice::from(judge.unclear(way, &why)).cure(format!("if it does, write `{}` there", judge.written(way)))
        };
        reach.warnings.extend(unclear.into_iter().map(told));
        let hint = "what that sets or uses is not seen";
        reach.warnings.extend(unread.map(|what| Notice::new(what.to_string()).cure(hint)));
    } else {
        reach.unclear.extend(unclear.into_iter().chain(scripts).map(|(way, why)| judge.unclear(way, &why)));
        reach.unclear.extend(unread.map(|what| judge.unread(what)));
    }
    reach
}

/// Whether an end of a way reaches the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lead {
    /// Through swap's upstream.
    Through,
    /// Past it.
    Past,
    /// Perhaps.
    Perhaps,
    /// It does not, as far as anybody can tell.
    Elsewhere,
}

/// Tells for each end of each way whether it reaches the service.
pub(super) fn leads(configuration: &Configuration, names: &Names) -> Vec<Vec<Lead>> {
    let judge = Judge { names, configuration };
    let lead = |end: &End, way: &Way| match judge.finding(end, way) {
        Finding::Through => Lead::Through,
        Finding::Past(_) => Lead::Past,
        Finding::Perhaps(_) => Lead::Perhaps,
        Finding::Others | Finding::Elsewhere => Lead::Elsewhere,
    };
    configuration.ways.ways.iter().map(|way| way.ends.iter().map(|end| lead(end, way)).collect()).collect()
}

/// Tells whether a `server` line of an upstream names the service.
pub(super) fn is_server_of(configuration: &Configuration, names: &Names, server: &str) -> bool {
    Judge { names, configuration }.is_ours(server)
}

/// Returns the line that leads through swap's upstream instead of this one.
pub(super) fn written(configuration: &Configuration, names: &Names, way: &Way) -> String {
    Judge { names, configuration }.written(way)
}

struct Judge<'a> {
    names: &'a Names,
    configuration: &'a Configuration,
}

impl Judge<'_> {
    fn finding(&self, end: &End, way: &Way) -> Finding {
        let ours = self.names.upstream.as_str();
        if let Some(upstream) = &end.upstream {
            if upstream.realm == Realm::Http && upstream.name.eq_ignore_ascii_case(ours) {
                match (self.names.claimed, self.is_of_swap(upstream), &self.names.owner) {
                    (false, true, Some(_)) => return Finding::Others,
                    (true, ..) | (false, true, None) => return Finding::Through,
                    // Whose it is its servers tell.
                    (false, false, _) => {}
                }
            }
            if let Some(written) = self.configuration.written.iter().find(|written| written.path == upstream.file) {
                // Whatever address it names, it is that service's: the next swap of it says the right one.
                let service = self.names.service.as_str();
                return match written.service == service && self.names.project.as_ref() == Some(&written.project) {
                    true => {
                        Finding::Past(format!("swap wrote it for `{service}`, whose upstream is now called `{ours}`"))
                    }
                    false => Finding::Elsewhere,
                };
            }
        }
        match &end.to {
            Destination::Name { host, port } => {
                let own = host.eq_ignore_ascii_case(ours);
                let known = self.names.claimed || self.names.names.contains_key(host);
                if own && known && port.is_none() && end.upstream.is_none() && way.realm == Realm::Http {
                    return Finding::Through;
                }
                self.name(host, port.as_deref())
            }
            Destination::Address { ip, port } => self.address(*ip, port.as_deref()),
            Destination::Socket(path) => {
                let under = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
                match self.names.folders.iter().rfind(|(folder, _)| under(folder.trim_end_matches('/'))) {
                    Some((folder, what)) => {
                        Finding::Perhaps(format!("{what} is mounted at `{folder}` in both, and may hold its socket"))
                    }
                    None => Finding::Elsewhere,
                }
            }
            Destination::Unknown { why, before, after } if self.may_be(before, after) => Finding::Perhaps(why.clone()),
            Destination::Unknown { .. } => Finding::Elsewhere,
        }
    }

    /// Tells whether an upstream is one that swap writes, for whatever service.
    fn is_of_swap(&self, upstream: &Upstream) -> bool {
        let folder = self.configuration.include.as_ref().map_or(super::DEFAULT_FOLDER, |include| &include.folder);
        upstream.file == format!("{folder}/{}.conf", upstream.name)
    }

    /// Looks a name up as nginx's own machine would.
    fn name(&self, host: &str, port: Option<&str>) -> Finding {
        let names = self.names;
        if let Some(what) = names.names.get(host) {
            let own = host.eq_ignore_ascii_case(names.upstream.as_str());
            return Finding::Past(if own { String::new() } else { format!("`{host}` is {what}") });
        }
        let short =
            names.networks.iter().find_map(|network| host.strip_suffix(&format!(".{}", network.to_lowercase())));
        if let Some((short, what)) = short.and_then(|short| names.names.get_key_value(short)) {
            return Finding::Past(format!("`{short}` is {what}"));
        }
        let addresses = names.hosts.get(host).into_iter().flatten();
        if let Some((ip, name)) = addresses.filter_map(|ip| names.addresses.get_key_value(ip)).next() {
            return Finding::Past(format!("`/etc/hosts` there says that `{host}` is {ip}, which is {name}"));
        }
        let machine = matches!(host, "host.docker.internal" | "gateway.docker.internal")
            || (names.on_machine && host == "localhost");
        if machine { self.published(port) } else { Finding::Elsewhere }
    }

    fn address(&self, ip: IpAddr, port: Option<&str>) -> Finding {
        match self.names.addresses.get(&ip) {
            Some(container) => Finding::Past(format!("{ip} is {container}")),
            None if self.names.on_machine && (ip.is_loopback() || ip.is_unspecified()) => self.published(port),
            None => Finding::Elsewhere,
        }
    }

    fn published(&self, port: Option<&str>) -> Finding {
        let number = port.map_or(Some(80), |port| port.parse::<u16>().ok());
        match number {
            Some(number) => match self.names.published.get(&number) {
                Some(container) => Finding::Past(format!("{number} is a published port of {container}")),
                None => Finding::Elsewhere,
            },
            None if self.names.published.is_empty() => Finding::Elsewhere,
            None => Finding::Perhaps(format!("its port is `{}`", port.unwrap_or_default())),
        }
    }

    /// Tells whether anything that the service answers to begins and ends so.
    fn may_be(&self, before: &str, after: &str) -> bool {
        let fits =
            |text: &str| text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after);
        let names = self.names;
        let long =
            |name: &String| names.networks.iter().any(|network| fits(&format!("{name}.{}", network.to_lowercase())));
        (before.is_empty() && after.is_empty())
            || names.names.keys().any(|name| fits(name) || long(name))
            || names.addresses.keys().any(|ip| fits(&ip.to_string()) || fits(&format!("[{ip}]")))
            || names.hosts.keys().any(|name| fits(name))
            || (!names.published.is_empty() && (fits("localhost") || fits("127.0.0.1") || fits("host.docker.internal")))
    }

    /// Says that a way goes past swap's upstream, with the lines to write.
    fn past(&self, way: &Way, end: &End, how: &str) -> Failure {
        let Names { service, upstream: ours, .. } = self.names;
        let line = line(way);
        let at = &way.place;
        let what = if how.is_empty() { String::new() } else { format!(": {how}") };
        if way.realm != Realm::Http {
            let context = if way.realm == Realm::Stream { "is in `stream`" } else { "is not in `http`" };
            return Failure::new(format!("`{line}` at {at} {context}, which swap does not switch{what}"))
                .hint(format!("its connections to `{service}` are cut when the old container stops"));
        }
        let written = self.written(way);
        if let Some(upstream) = &end.upstream {
            let others = upstream.servers.iter().filter(|server| !self.is_ours(server)).count();
            let told = format!(
                "`{line}` at {at} sends requests to `{service}` past swap, through `upstream {} {{ server {}; }}` at {}{what}",
                printable(&upstream.name),
                printable(&upstream.servers.join("; server ")),
                upstream.place,
            );
            return Failure::new(told).hint(match others {
                0 => format!(
                    "write `{written}` there and remove that upstream: swap writes an `upstream {ours}` of its own \
                     (`swap init {service}` does both)"
                ),
                _ => format!(
                    "swap's own `upstream {ours}` holds the containers of `{service}` alone: write `{written}` where \
                     they are meant, and keep them out of that upstream"
                ),
            });
        }
        let port = match &end.to {
            Destination::Name { port, .. } | Destination::Address { port, .. } => port.as_deref(),
            _ => None,
        };
        match (how.is_empty(), port, way.value.contains('$')) {
            (true, Some(port), true) => {
                Failure::new(format!("`{line}` at {at} goes past swap's upstream, because of its port"))
                    .hint(format!("leave `:{port}` out: the upstream knows the port"))
            }
            (true, Some(_), false) => {
                Failure::new(format!("`{line}` at {at} names a port, which an upstream's name may not have"))
                    .hint(format!("write `{written}`"))
            }
            (.., variable) => {
                let set = end.through.last().filter(|_| variable);
                Failure::new(format!("`{line}` at {at} sends requests to `{service}` past swap{what}")).hint(
                    match set {
                        Some(set) => format!("let `{}` at {} name `{ours}`, without a port", set.line, set.place),
                        None => format!("write `{written}`: swap writes an `upstream {ours}`, which knows the port"),
                    },
                )
            }
        }
    }

    /// Returns the line that leads through swap's upstream instead: `proxy_pass http://app/path;`.
    fn written(&self, way: &Way) -> String {
        let (scheme, rest) =
            way.value.split_once("://").map_or(("", way.value.as_str()), |(scheme, rest)| (scheme, rest));
        let scheme = match (scheme, way.directive.as_str()) {
            ("", "proxy_pass") => "http",
            ("", "grpc_pass") => "grpc",
            (scheme, _) => scheme,
        };
        let end = rest.find(['/', '?']).filter(|_| !rest.starts_with("unix:")).unwrap_or(rest.len());
        let rest = if rest.contains('$') { "" } else { &rest[end..] };
        let between = if scheme.is_empty() { "" } else { "://" };
        printable(&format!("{} {scheme}{between}{}{rest};", way.directive, self.names.upstream))
    }

    fn is_ours(&self, server: &str) -> bool {
        let (host, port) = split(server);
        let host = host.trim_end_matches('.').to_lowercase();
        let ip: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let finding = match ip {
            Some(ip) => self.address(ip, port),
            None => self.name(&host, port),
        };
        matches!(finding, Finding::Past(_))
    }

    fn unclear(&self, way: &Way, why: &str) -> Failure {
        let service = &self.names.service;
        let told = Failure::new(format!(
            "nobody can tell whether `{}` at {} sends requests to `{service}`: {why}",
            line(way),
            way.place
        ));
        told.hint(match way.script {
            true => format!("if it does not, write `x-swap: {{ proxy: none }}` under `services: {service}:`"),
            false => format!(
                "if it does, write `{}` there; if not, `x-swap: {{ proxy: none }}` under `services: {service}:`",
                self.written(way)
            ),
        })
    }

    fn unread(&self, what: &Unread) -> Failure {
        let service = &self.names.service;
        Failure::new(format!("{what}, so nobody can tell whether it sends requests to `{service}`")).hint(format!(
            "if it does not, write `x-swap: {{ proxy: none }}` under `services: {service}:`; if it does, name the nginx: \
             `x-swap: {{ proxy: NAME }}`"
        ))
    }
}

/// Returns a way's line without its semicolon.
fn line(way: &Way) -> String {
    printable(format!("{} {}", way.directive, way.value).trim_end())
}

#[cfg(test)]
mod tests;
