//! Every way out of an nginx: from each line that passes requests on, through variables and upstreams, to where it leads. Pure.
//!
//! What can't be followed is a way too, with the reason. Nothing here grows faster than the configuration: what has more
//! values or more combinations than the bounds below can't be followed.

mod follow;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use self::follow::{Follow, unknown};
use super::dump::{Listener, Statement, Unread};
use crate::text::printable;

/// More different values than this of one variable, or of one line that passes requests, are not followed.
const MOST_VALUES: usize = 10_000;

/// All ways out of one nginx, as its configuration tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// The lines that pass requests or connections on, in nginx's order.
    pub ways: Vec<Way>,
    /// What of the configuration was not read: there may be ways in it.
    pub unread: Vec<Unread>,
}

/// A line that passes requests or connections on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Its first word, as `proxy_pass`.
    pub directive: String,
    /// Its argument as written; empty for a script in a block.
    pub value: String,
    /// File and line, as `/etc/nginx/conf.d/site.conf:7`.
    pub place: String,
    /// Where it stands.
    pub realm: Realm,
    /// Whether it runs a script, which may talk to anybody.
    pub script: bool,
    /// Where it leads, each destination once.
    pub ends: Arc<Vec<End>>,
}

/// Which part of nginx a line belongs to. Each has variables and upstreams of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Realm {
    /// `http`.
    Http,
    /// `stream`.
    Stream,
    /// `mail`, `rtmp` and others: they know no upstreams.
    Other,
}

/// A destination, and how a way leads there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The values of variables that it goes through.
    pub through: Vec<Through>,
    /// The `upstream` block that it goes through.
    pub upstream: Option<Arc<Upstream>>,
    /// Where it ends.
    pub to: Destination,
}

/// A line that puts a value into a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    /// The line as written, as `set $to app`.
    pub line: String,
    /// File and line.
    pub place: String,
}

/// An `upstream` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name as written.
    pub name: String,
    /// File and line.
    pub place: String,
    /// Its file.
    pub file: String,
    /// Where it stands.
    pub realm: Realm,
    /// The addresses of its servers as written, those that are `down` left out.
    pub servers: Vec<String>,
    /// Why its servers can't be told, if so.
    pub dynamic: Option<String>,
}

/// Where a way ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// What has this name in nginx's DNS.
    Name {
        /// The name in lower case, without a dot at its end.
        host: String,
        /// The port as it is written, a number or a variable; `None`: the protocol's own.
        port: Option<String>,
    },
    /// What has this address.
    Address {
        /// The address.
        ip: IpAddr,
        /// The port, as for a name.
        port: Option<String>,
    },
    /// What listens on this path of nginx's machine.
    Socket(String),
    /// It can't be told.
    Unknown {
        /// Why: one lower-case line.
        why: String,
        /// What the name or address begins with in any case.
        before: String,
        /// What it ends with in any case.
        after: String,
    },
}

/// Collects the ways while a configuration is read; [`Collector::finish`] follows them.
#[derive(Default)]
pub(super) struct Collector {
    inside: Vec<Inside>,
    servers: usize,
    variables: Vec<Variable>,
    by_name: HashMap<(Realm, String), usize>,
    captures: HashSet<String>,
    upstreams: Vec<Upstream>,
    passes: Vec<RawPass>,
}

/// The block that the next statement is in.
#[derive(Clone, Copy)]
enum Inside {
    /// Any, within the `server` block with this number.
    Block { server: Option<usize> },
    /// The values of a variable, by its index.
    Values { variable: usize, specials: &'static [&'static str], otherwise: &'static str, has_default: bool },
    /// An upstream, by its index.
    Upstream(usize),
}

/// What is put into a variable anywhere.
#[derive(Default)]
struct Variable {
    values: Vec<Value>,
    known: HashMap<Option<usize>, HashSet<String>>,
    /// There are more values than are kept.
    more: bool,
    /// What sets it in a way that can't be followed, and where.
    strange: Option<String>,
}

struct Value {
    text: String,
    /// The `server` block in which it is set; `None`: it holds everywhere.
    server: Option<usize>,
    from: Through,
}

struct RawPass {
    directive: String,
    value: String,
    place: String,
    realm: Realm,
    server: Option<usize>,
    script: bool,
}

/// Directives that run a script which can open connections of its own.
const LUA: [&str; 9] = [
    "content_by_lua",
    "access_by_lua",
    "rewrite_by_lua",
    "server_rewrite_by_lua",
    "preread_by_lua",
    "ssl_certificate_by_lua",
    "ssl_session_fetch_by_lua",
    "init_worker_by_lua",
    "exit_worker_by_lua",
];
const HANDLERS: [&str; 6] = ["js_content", "js_access", "js_periodic", "js_preread", "js_filter", "perl"];
/// Directives by which an upstream gets its servers from elsewhere.
const DYNAMIC: [&str; 6] = ["balancer_by_lua", "state", "upsync", "jdomain", "dynamic_resolve", "consul"];
/// Lines in `map` and the like that are no values.
const OF_MAP: &[&str] = &["volatile", "hostnames"];
const OF_GEO: &[&str] = &["ranges", "proxy", "proxy_recursive", "delete", "volatile"];

impl Listener for Collector {
    fn statement(&mut self, statement: &Statement<'_, '_>) {
        let inside = self.inside.last().copied().unwrap_or(Inside::Block { server: None });
        let opened = match inside {
            Inside::Values { variable, specials, otherwise, .. } => {
                self.value(statement, variable, specials, otherwise);
                Inside::Block { server: None }
            }
            Inside::Upstream(at) => {
                self.server(statement, at);
                Inside::Block { server: None }
            }
            Inside::Block { server } => self.directive(statement, server),
        };
        if statement.opens {
            self.inside.push(opened);
        }
    }

    fn close(&mut self) {
        if let Some(Inside::Values { variable, has_default: false, .. }) = self.inside.pop() {
            // What no line matches gives an empty text.
            let from = Through { line: "no line matches".to_owned(), place: String::new() };
            self.variables[variable].put("", None, || from);
        }
    }
}

impl Variable {
    fn put(&mut self, text: &str, server: Option<usize>, from: impl FnOnce() -> Through) {
        let known = self.known.entry(server).or_default();
        if self.more || known.contains(text) {
            return;
        }
        if self.values.len() == MOST_VALUES {
            self.more = true;
            return;
        }
        known.insert(text.to_owned());
        self.values.push(Value { text: text.to_owned(), server, from: from() });
    }
}

impl Collector {
    /// Hears a statement in any block but those of values and servers; tells what it opens if it does.
    fn directive(&mut self, statement: &Statement<'_, '_>, server: Option<usize>) -> Inside {
        let Statement { name, arguments, .. } = *statement;
        let realm = match statement.blocks.first().map(String::as_str) {
            Some("http") => Realm::Http,
            Some("stream") => Realm::Stream,
            _ => Realm::Other,
        };
        for argument in arguments.iter().filter(|argument| argument.contains("(?")) {
            self.captures.extend(captures(argument));
        }
        let values = |collector: &mut Self, name: &str, specials, otherwise| {
            let variable = collector.variable(realm, name);
            Inside::Values { variable, specials, otherwise, has_default: false }
        };
        match (name, arguments) {
            ("server", []) => {
                self.servers += 1;
                return Inside::Block { server: Some(self.servers) };
            }
            ("upstream", [name]) if statement.opens => {
                self.upstreams.push(Upstream {
                    name: name.clone().into_owned(),
                    place: statement.place(),
                    file: statement.file.to_owned(),
                    realm,
                    servers: Vec::new(),
                    dynamic: None,
                });
                return Inside::Upstream(self.upstreams.len() - 1);
            }
            ("map", [.., name]) if statement.opens => return values(self, name, OF_MAP, "default"),
            ("geo", [.., name]) if statement.opens => return values(self, name, OF_GEO, "default"),
            ("split_clients", [.., name]) if statement.opens => return values(self, name, &[], "*"),
            ("set", [name, value]) => {
                let variable = self.variable(realm, name);
                self.variables[variable].put(value, server, || through(statement));
            }
            // `js_set`, `perl_set`, `set_by_lua`, `auth_request_set` and whatever else sets a variable of its own.
            (_, [variable, ..]) if variable.starts_with('$') && (sets(name) || name == "js_var") => {
                let variable = self.variable(realm, variable);
                let why = format!("is set by `{}` at {}", printable(name), statement.place());
                self.variables[variable].strange.get_or_insert(why);
            }
            _ => self.pass(statement, realm, server),
        }
        Inside::Block { server }
    }

    fn pass(&mut self, statement: &Statement<'_, '_>, realm: Realm, server: Option<usize>) {
        let Statement { name, arguments, .. } = *statement;
        let lua = name.trim_end_matches("_block").trim_end_matches("_file");
        let script = LUA.contains(&lua) || HANDLERS.contains(&name);
        let first = arguments.first().map(|value| value.as_ref()).unwrap_or_default();
        let passes = match statement.blocks.first().map(String::as_str) {
            Some("mail") => name == "auth_http",
            Some("rtmp") => matches!(name, "push" | "pull") || name.starts_with("on_"),
            // A pass to a location stays inside.
            _ => name.ends_with("_pass") && !first.is_empty() && !first.starts_with(['/', '@']),
        };
        if script || passes {
            self.passes.push(RawPass {
                directive: name.to_owned(),
                value: first.to_owned(),
                place: statement.place(),
                realm,
                server,
                script,
            });
        }
    }

    /// Hears a line of a `map` or the like.
    fn value(&mut self, statement: &Statement<'_, '_>, variable: usize, specials: &[&str], otherwise: &str) {
        let Statement { name, arguments, .. } = *statement;
        if name.contains("(?") {
            self.captures.extend(captures(name));
        }
        if name == otherwise
            && let Some(Inside::Values { has_default, .. }) = self.inside.last_mut()
        {
            *has_default = true;
        }
        match arguments {
            [_] if name == "include" || specials.contains(&name) => {}
            [.., value] => self.variables[variable].put(value, None, || through(statement)),
            [] => {}
        }
    }

    /// Hears a line of an upstream.
    fn server(&mut self, statement: &Statement<'_, '_>, at: usize) {
        let Statement { name, arguments, .. } = *statement;
        let upstream = &mut self.upstreams[at];
        match (name, arguments) {
            ("server", [address, options @ ..]) if !options.iter().any(|option| option == "down") => {
                if let Some(service) = options.iter().find(|option| option.starts_with("service=")) {
                    let why = format!("`server {address} {service}` at {} asks the DNS for names", statement.place());
                    upstream.dynamic.get_or_insert(printable(&why));
                } else {
                    upstream.servers.push(address.clone().into_owned());
                }
            }
            _ if DYNAMIC.iter().any(|dynamic| name.starts_with(dynamic)) => {
                let why =
                    format!("`{name}` at {} says which servers `upstream {}` has", statement.place(), upstream.name);
                upstream.dynamic.get_or_insert(printable(&why));
            }
            _ => {}
        }
    }

    fn variable(&mut self, realm: Realm, name: &str) -> usize {
        let name = name.trim_start_matches('$');
        *self.by_name.entry((realm, name.to_owned())).or_insert_with(|| {
            self.variables.push(Variable::default());
            self.variables.len() - 1
        })
    }

    /// Follows all ways. `unread` is what was not heard.
    pub(super) fn finish(&self, unread: Vec<Unread>) -> Ways {
        let mut upstreams = HashMap::new();
        for upstream in &self.upstreams {
            let key = (upstream.realm, upstream.name.to_lowercase());
            upstreams.entry(key).or_insert_with(|| Arc::new(upstream.clone()));
        }
        let mut follow = Follow::new(self, upstreams);
        let mut ends = HashMap::new();
        let mut ways = Vec::new();
        for pass in &self.passes {
            let RawPass { directive, value, place, realm, server, script } = pass;
            // What has no variable leads to the same from everywhere.
            let server = server.filter(|_| value.contains('$'));
            let ends = match script {
                true => Arc::new(vec![unknown("nobody can tell whom a script talks to", Vec::new())]),
                false => ends
                    .entry((*realm, server, value.as_str()))
                    .or_insert_with(|| Arc::new(follow.ends(value, *realm, server)))
                    .clone(),
            };
            ways.push(Way {
                directive: directive.clone(),
                value: value.clone(),
                place: place.clone(),
                realm: *realm,
                script: *script,
                ends,
            });
        }
        Ways { ways, unread }
    }

    /// Returns the upstreams, in nginx's order.
    pub(super) fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }
}

/// Returns the line of a statement as people wrote it, but for quotes.
fn through(statement: &Statement<'_, '_>) -> Through {
    let line = format!("{} {}", statement.name, statement.text());
    Through { line: printable(line.trim_end()), place: statement.place() }
}

fn sets(directive: &str) -> bool {
    directive.starts_with("set_") || directive.ends_with("_set")
}

/// Returns the names of the groups of a regular expression.
fn captures(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split("(?").skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix('P').unwrap_or(rest);
        let name = rest.strip_prefix('<').or_else(|| rest.strip_prefix('\''))?;
        let end = name.find(|c: char| !is_part(c))?;
        (end > 0).then(|| name[..end].to_owned())
    })
}

/// Splits `app:8000` or `[::1]:8000`.
pub(super) fn split(authority: &str) -> (&str, Option<&str>) {
    let after = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[after..].find(':') {
        Some(colon) => (&authority[..after + colon], Some(&authority[after + colon + 1..])),
        None => (authority, None),
    }
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Returns what stands before the next variable, its name, and what stands after it.
pub(super) fn next_variable(text: &str) -> (&str, Option<&str>, &str) {
    let mut from = 0;
    while let Some(at) = text[from..].find('$').map(|at| from + at) {
        let rest = &text[at + 1..];
        let (name, after) = match rest.strip_prefix('{') {
            Some(braced) => braced.split_once('}').unwrap_or((braced, "")),
            None => rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len())),
        };
        if !name.is_empty() {
            // Of `$12` nginx takes the first digit alone; what follows is of the same unknown text.
            return (&text[..at], Some(name), after);
        }
        from = at + 1;
    }
    (text, None, "")
}

/// What nginx's own variables are, where that is enough to know where a way leads.
pub(super) fn built_in(name: &str) -> Option<&'static str> {
    Some(match name {
        "scheme" => "http",
        "request_uri" | "uri" | "document_uri" => "/",
        // Empty only where `$args` is empty too.
        "is_args" => "?",
        _ => return None,
    })
}
