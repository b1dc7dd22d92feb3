//! From a value to where it leads: through variables, and to the servers of an upstream. Pure.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::{
    Collector, Destination, End, MOST_VALUES, Realm, Through, Upstream, Value, Variable, built_in, next_variable, split,
};
use crate::text::printable;

/// More combinations than this in one configuration are not followed.
const MOST_COMBINATIONS: usize = 4_000_000;
/// Variables within variables beyond this are not followed.
const DEEPEST_VARIABLE: usize = 16;
/// Stands in an expanded text for what can't be followed. No word of a configuration holds it.
const HOLE: char = '\0';

/// A text with holes where it can't be followed.
#[derive(Debug, Clone, Default)]
struct Expanded {
    text: String,
    /// Why each hole is there.
    holes: Vec<String>,
    through: Vec<Through>,
}

impl Expanded {
    fn hole(why: String) -> Self {
        Self { text: HOLE.to_string(), holes: vec![why], through: Vec::new() }
    }

    /// Tells whether the part that says where it leads is over: whatever follows makes no difference.
    fn is_complete(&self) -> bool {
        self.text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with("unix:") && rest.contains(['/', '?']))
    }

    fn and(&self, other: &Expanded) -> Self {
        let joined = |a: &[Through], b: &[Through]| [a, b].concat();
        Self {
            text: format!("{}{}", self.text, other.text),
            holes: [&self.holes[..], &other.holes].concat(),
            through: joined(&self.through, &other.through),
        }
    }
}

type Expansion = Rc<Result<Vec<Expanded>, String>>;

/// Follows values.
pub(super) struct Follow<'a> {
    of: &'a Collector,
    upstreams: HashMap<(Realm, String), Arc<Upstream>>,
    /// What variables were found to be, by realm, name and `server`.
    known: HashMap<(Realm, String, Option<usize>), Expansion>,
    /// How many combinations may still be made.
    left: usize,
}

impl<'a> Follow<'a> {
    /// Begins to follow what was collected.
    pub(super) fn new(of: &'a Collector, upstreams: HashMap<(Realm, String), Arc<Upstream>>) -> Self {
        Self { of, upstreams, known: HashMap::new(), left: MOST_COMBINATIONS }
    }

    /// Returns where a value leads, each destination once.
    pub(super) fn ends(&mut self, value: &str, realm: Realm, server: Option<usize>) -> Vec<End> {
        let expanded = match self.expand(value, realm, server, &mut Vec::new()) {
            Ok(expanded) => expanded,
            Err(why) => return vec![unknown(&why, Vec::new())],
        };
        let mut ends = Vec::new();
        let mut known = HashSet::new();
        for expanded in expanded {
            for end in self.destinations(expanded, realm) {
                if known.insert((end.to.clone(), end.upstream.as_ref().map(|upstream| upstream.place.clone()))) {
                    ends.push(end);
                }
            }
        }
        ends
    }

    /// Returns all texts that a value may be.
    fn expand(
        &mut self,
        value: &str,
        realm: Realm,
        server: Option<usize>,
        trail: &mut Vec<String>,
    ) -> Result<Vec<Expanded>, String> {
        let mut all = vec![Expanded::default()];
        let mut rest = value;
        while !rest.is_empty() && !all.iter().all(Expanded::is_complete) {
            let (literal, variable, after) = next_variable(rest);
            rest = after;
            for expanded in all.iter_mut().filter(|expanded| !expanded.is_complete()) {
                expanded.text.push_str(literal);
            }
            let Some(variable) = variable else { continue };
            if all.iter().all(Expanded::is_complete) {
                break;
            }
            let options = self.variable(variable, realm, server, trail);
            let options = options.as_ref().as_ref().map_err(String::clone)?;
            all = self.combine(all, options)?;
        }
        Ok(all)
    }

    fn combine(&mut self, all: Vec<Expanded>, options: &[Expanded]) -> Result<Vec<Expanded>, String> {
        let mut combined = Vec::new();
        let mut known = HashSet::new();
        for expanded in all {
            if expanded.is_complete() {
                combined.push(expanded);
                continue;
            }
            if self.left < options.len() {
                return Err(format!("it has more than {MOST_COMBINATIONS} combinations of variables"));
            }
            self.left -= options.len();
            for option in options {
                let both = expanded.and(option);
                if known.insert(both.text.clone()) {
                    combined.push(both);
                }
                if combined.len() > MOST_VALUES {
                    return Err(format!("it has more than {MOST_VALUES} values"));
                }
            }
        }
        Ok(combined)
    }

    /// Returns all that a variable may be.
    fn variable(&mut self, name: &str, realm: Realm, server: Option<usize>, trail: &mut Vec<String>) -> Expansion {
        let key = (realm, name.to_owned(), server);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let one = |expanded| Rc::new(Ok(vec![expanded]));
        let variable = self.of.by_name.get(&(realm, name.to_owned())).map(|at| &self.of.variables[*at]);
        let Some(variable) = variable else {
            return one(match built_in(name) {
                Some(text) => Expanded { text: text.to_owned(), ..Expanded::default() },
                None => Expanded::hole(format!("`${}` {}", printable(name), self.unset(name))),
            });
        };
        if trail.iter().any(|outer| outer == name) || trail.len() == DEEPEST_VARIABLE {
            return one(Expanded::hole(format!("`${}` is made of itself", printable(name))));
        }
        trail.push(name.to_owned());
        let found = self.values(variable, name, realm, server, trail);
        trail.pop();
        let found = Rc::new(found);
        self.known.insert(key, found.clone());
        found
    }

    fn values(
        &mut self,
        variable: &Variable,
        name: &str,
        realm: Realm,
        server: Option<usize>,
        trail: &mut Vec<String>,
    ) -> Result<Vec<Expanded>, String> {
        if variable.more {
            return Err(format!("`${}` has more than {MOST_VALUES} values", printable(name)));
        }
        // What another `server` sets does not count here, unless nothing else does.
        let here = |value: &&Value| value.server.is_none() || value.server == server;
        let some = variable.values.iter().any(|value| here(&value));
        let mut all = Vec::new();
        let mut known = HashSet::new();
        for value in variable.values.iter().filter(|value| !some || here(value)) {
            for mut expanded in self.expand(&value.text, realm, server, trail)? {
                if known.insert(expanded.text.clone()) {
                    if !value.from.place.is_empty() {
                        expanded.through.insert(0, value.from.clone());
                    }
                    all.push(expanded);
                }
            }
            if all.len() > MOST_VALUES {
                return Err(format!("`${}` has more than {MOST_VALUES} values", printable(name)));
            }
        }
        all.extend(variable.strange.iter().map(|why| Expanded::hole(format!("`${}` {why}", printable(name)))));
        Ok(all)
    }

    /// Tells why nobody knows what a variable is that nothing sets.
    fn unset(&self, name: &str) -> &'static str {
        const OF_REQUEST: [&str; 10] =
            ["http_", "arg_", "cookie_", "host", "args", "query_string", "remote_", "request", "server_name", "ssl_"];
        if name.starts_with(|c: char| c.is_ascii_digit()) || self.of.captures.contains(name) {
            "is a part of what a regular expression matches"
        } else if OF_REQUEST.iter().any(|prefix| name.starts_with(prefix)) {
            "comes with the request"
        } else {
            "is set by nothing that swap can read"
        }
    }

    /// Returns where a text leads.
    fn destinations(&self, expanded: Expanded, realm: Realm) -> Vec<End> {
        let Expanded { text, holes, through } = expanded;
        // A variable for the scheme alone says nothing of where it leads.
        let (scheme, rest) = text.split_once("://").unwrap_or(("", &text));
        let holes = &holes[scheme.matches(HOLE).count().min(holes.len())..];
        if let Some(path) = rest.strip_prefix("unix:") {
            let path = if scheme.is_empty() { path } else { path.split(':').next().unwrap_or(path) };
            let end = match holes.first().filter(|_| path.contains(HOLE)) {
                Some(why) => unknown(why, through),
                None => End { through, upstream: None, to: Destination::Socket(printable(path)) },
            };
            return vec![end];
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let (host, port) = split(authority);
        if host.is_empty() {
            return Vec::new();
        }
        if host.contains(HOLE) {
            let ends = (host.split(HOLE).next().unwrap_or_default(), host.rsplit(HOLE).next().unwrap_or_default());
            let (before, after) = (ends.0.to_lowercase(), ends.1.to_lowercase());
            let why = holes.first().cloned().unwrap_or_default();
            return vec![End { through, upstream: None, to: Destination::Unknown { why, before, after } }];
        }
        let host = host.to_lowercase();
        let upstream = match port {
            None => self.upstreams.get(&(realm, host.clone())),
            Some(_) => None,
        };
        let Some(upstream) = upstream else {
            return vec![End { through, upstream: None, to: named(&host, port) }];
        };
        let end = |to| End { through: through.clone(), upstream: Some(upstream.clone()), to };
        let mut ends: Vec<End> = upstream.servers.iter().map(|server| end(server_of(server))).collect();
        let none = || ends.is_empty().then(|| format!("`upstream {}` at {} names no server", host, upstream.place));
        if let Some(why) = upstream.dynamic.clone().or_else(none) {
            ends.push(end(Destination::Unknown { why, before: String::new(), after: String::new() }));
        }
        ends
    }
}

/// What can't be told.
pub(super) fn unknown(why: &str, through: Vec<Through>) -> End {
    let to = Destination::Unknown { why: why.to_owned(), before: String::new(), after: String::new() };
    End { through, upstream: None, to }
}

/// Returns where a `server` line of an upstream leads.
fn server_of(address: &str) -> Destination {
    if let Some(path) = address.strip_prefix("unix:") {
        return Destination::Socket(printable(path));
    }
    let (host, port) = split(address);
    named(&host.to_lowercase(), port)
}

fn named(host: &str, port: Option<&str>) -> Destination {
    let port = port.map(|port| printable(&port.replace(HOLE, "$…")));
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(ip) => Destination::Address { ip, port },
        Err(_) => Destination::Name { host: printable(host.trim_end_matches('.')), port },
    }
}
