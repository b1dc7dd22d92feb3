//! What to change in nginx's configuration so that swap can switch a service: text → edits by position. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::dump::covers;
use super::syntax::{self, Directive, SyntaxError};
use crate::model::{Edit, Failure, ServiceName, printable};

/// A file of nginx's configuration that people can edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path as nginx knows it, as `/etc/nginx/conf.d/default.conf`.
    pub path: String,
    /// Its name in messages, as `nginx/default.conf`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What to change, and what was learnt on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The edits, each with the index of its file.
    pub edits: Vec<(usize, Edit)>,
    /// The folder that nginx reads or will read, as `/etc/nginx/swap`.
    pub folder: String,
    /// The ports that are written where nginx sends requests to the service.
    pub ports: BTreeSet<u16>,
    /// The port that nginx takes where none is written and no upstream has the service's name: `proxy_pass http://app;`.
    pub usual_port: Option<u16>,
    /// Whether any line sends requests to the service.
    pub used: bool,
    /// What must be changed by hand, and why it is not done.
    pub by_hand: Vec<Failure>,
    /// What people should know.
    pub notes: Vec<String>,
}

/// The directives that pass requests on.
const PASSES: [&str; 6] = ["proxy_pass", "fastcgi_pass", "grpc_pass", "uwsgi_pass", "scgi_pass", "memcached_pass"];

/// Where the main file is, and the files that it or the image's own main file reads into `http`.
const MAIN: &str = "/etc/nginx/nginx.conf";
const TEMPLATES: &str = "/etc/nginx/templates/*.template";
const HTTP_LEVEL: [&str; 4] =
    ["/etc/nginx/conf.d/*.conf", TEMPLATES, "/etc/nginx/http.d/*.conf", "/etc/nginx/sites-enabled/*"];

/// Returns what to change so that requests to the service go through an upstream of its name.
///
/// `names` are the names under which nginx may know the service, its own first; `folder` is where swap's files shall be.
pub fn propose(files: &[ConfigFile], service: &ServiceName, names: &[String], folder: &str) -> Proposal {
    let mut walk = Walk { files, broken: Vec::new(), seen: Vec::new(), visited: BTreeSet::new(), http: Vec::new() };
    let mut proposal = Proposal { folder: folder.to_owned(), ..Proposal::default() };
    walk.all();
    for (file, error) in &walk.broken {
        proposal.by_hand.push(
            Failure::new(format!("`{}` can't be read as nginx's configuration: {error}", files[*file].name))
                .hint("correct that file, then run `swap init` again"),
        );
    }
    let mut change = Change { files, service, names, proposal, seen: &walk.seen, http: &walk.http };
    change.upstreams_and_passes();
    if change.proposal.used {
        change.include();
    }
    change.checked()
}

/// A directive where it stands.
struct Seen {
    file: usize,
    context: String,
    directive: Directive,
    /// The first file of those that led here that is read at the level of `http`.
    top: Option<usize>,
}

/// One walk through all files that nginx reads, as far as they are known.
struct Walk<'a> {
    files: &'a [ConfigFile],
    broken: Vec<(usize, SyntaxError)>,
    seen: Vec<Seen>,
    visited: BTreeSet<usize>,
    /// The files that are read at the level of `http`.
    http: Vec<usize>,
}

impl Walk<'_> {
    fn all(&mut self) {
        let main = self.files.iter().position(|file| file.path == MAIN);
        if let Some(main) = main {
            self.file(main, "", None);
        }
        let known = |pattern: &&str| main.is_none() || *pattern == TEMPLATES;
        for pattern in HTTP_LEVEL.into_iter().filter(known) {
            for (index, file) in self.files.iter().enumerate() {
                if covers(pattern, &file.path) {
                    self.file(index, "http", Some(index));
                }
            }
        }
    }

    fn file(&mut self, index: usize, context: &str, top: Option<usize>) {
        if !self.visited.insert(index) {
            return;
        }
        let top = if context == "http" { Some(index) } else { top };
        if context == "http" {
            self.http.push(index);
        }
        // Only what nginx reads has to be configuration: keys and lists of passwords may lie beside it.
        match syntax::parse(&self.files[index].text) {
            Ok(directives) => self.walk(&directives, index, context, top),
            Err(error) => self.broken.push((index, error)),
        }
    }

    fn walk(&mut self, directives: &[Directive], file: usize, context: &str, top: Option<usize>) {
        for directive in directives {
            self.seen.push(Seen { file, context: context.to_owned(), directive: directive.clone(), top });
            if let ("include", [pattern]) = (directive.name.as_str(), directive.arguments.as_slice()) {
                let pattern = if pattern.starts_with('/') { pattern.clone() } else { format!("/etc/nginx/{pattern}") };
                let included: Vec<usize> =
                    (0..self.files.len()).filter(|index| covers(&pattern, &self.files[*index].path)).collect();
                for index in included {
                    self.file(index, context, top);
                }
            }
            if let Some(block) = &directive.block {
                let inner =
                    if context.is_empty() { directive.name.clone() } else { format!("{context} {}", directive.name) };
                self.walk(block, file, &inner, top);
            }
        }
    }
}

struct Change<'a> {
    files: &'a [ConfigFile],
    service: &'a ServiceName,
    names: &'a [String],
    proposal: Proposal,
    seen: &'a [Seen],
    http: &'a [usize],
}

/// `http://app:8000/path` in its parts.
struct Address<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<&'a str>,
}

impl<'a> Address<'a> {
    fn of(value: &'a str) -> Self {
        let (scheme, rest) = value.split_once("://").unwrap_or(("", value));
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        match authority.split_once(':') {
            Some((host, port)) => Address { scheme, host, port: Some(port) },
            None => Address { scheme, host: authority, port: None },
        }
    }

    /// The text from the host to the port, as it is written.
    fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_owned(),
        }
    }

    /// The port that nginx takes where none is written.
    fn usual_port(&self) -> Option<u16> {
        match self.scheme {
            "http" | "grpc" => Some(80),
            "https" | "grpcs" => Some(443),
            _ => None,
        }
    }
}

impl<'a> Change<'a> {
    fn place(&self, seen: &Seen) -> String {
        format!("{}:{}", self.files[seen.file].name, seen.directive.line)
    }

    fn is_service(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    fn upstreams_and_passes(&mut self) {
        let mut edits = Vec::new();
        let mut by_hand = Vec::new();
        let mut notes = Vec::new();
        let mut ports = BTreeSet::new();
        // The upstreams of the user's that lead to the service, by their names in lower case.
        let mut theirs: BTreeMap<String, String> = BTreeMap::new();
        let mut told_of_theirs = Vec::new();
        let service = self.service.as_str();
        let in_swap = |file: usize| self.files[file].path.starts_with(&format!("{}/", self.proposal.folder));
        for seen in self.seen.iter().filter(|seen| seen.directive.name == "upstream" && !in_swap(seen.file)) {
            let [name] = seen.directive.arguments.as_slice() else { continue };
            let block = seen.directive.block.as_deref().unwrap_or_default();
            let servers: Vec<Address> = block
                .iter()
                .filter(|inner| inner.name == "server")
                .filter_map(|inner| inner.arguments.first().map(|address| Address::of(address)))
                .collect();
            let own = servers.iter().filter(|server| self.is_service(server.host)).count();
            let place = self.place(seen);
            let same_name = name.eq_ignore_ascii_case(service);
            if seen.context != "http" {
                if own > 0 {
                    notes.push(format!(
                        "the upstream `{name}` at {place} is in `{}`, which swap does not switch: its connections to \
                         `{service}` are cut when the old container stops",
                        seen.context
                    ));
                }
                continue;
            }
            if own == 0 && !same_name {
                continue;
            }
            if own < servers.len() || own == 0 {
                let others: Vec<String> =
                    servers.iter().filter(|server| !self.is_service(server.host)).map(Address::authority).collect();
                by_hand.push(
                    Failure::new(format!(
                        "the upstream `{name}` at {place} also leads to {}, and swap's upstream holds the containers of \
                         `{service}` alone",
                        if others.is_empty() { "nothing".to_owned() } else { others.join(", ") }
                    ))
                    .hint(format!(
                        "let lines that mean `{service}` say `proxy_pass http://{service};`, and give that upstream another \
                         name than `{service}`"
                    )),
                );
                continue;
            }
            for server in &servers {
                match server.port.map_or(Some(80), |port| port.parse().ok()) {
                    Some(port) => _ = ports.insert(port),
                    None => by_hand.push(
                        Failure::new(format!("the port of `server {}` at {place} is not a number", server.authority()))
                            .hint(format!("write the port as a number, or `x-swap: {{ port: … }}` for `{service}`")),
                    ),
                }
            }
            theirs.insert(name.to_lowercase(), name.clone());
            if same_name {
                match self.commented_out(seen) {
                    Some(commented) => edits.extend(commented),
                    None => by_hand.push(
                        Failure::new(format!("the upstream `{name}` at {place} shares a line with something else"))
                            .hint(format!("remove `upstream {name} {{ … }}`: swap writes it from now on")),
                    ),
                }
            }
            let options: Vec<String> = block
                .iter()
                .filter(|inner| inner.name != "server" && inner.name != "zone")
                .map(|inner| {
                    let words = std::iter::once(&inner.name).chain(&inner.arguments);
                    words.map(String::as_str).collect::<Vec<_>>().join(" ")
                })
                .collect();
            let mut told = format!("the upstream `{name}` at {place} ");
            told += if same_name {
                "becomes a comment: swap writes it from now on"
            } else {
                "is not used any more and may be deleted"
            };
            if !options.is_empty() {
                told += &format!("; swap's own has no `{}`", options.join("`, `"));
            }
            told_of_theirs.push((name.to_lowercase(), same_name, told));
        }
        let (mut used, mut usual_port) = (false, None);
        let mut moved = BTreeSet::new();
        let mut host_seen = false;
        let mut host_lost = None;
        for seen in self.seen.iter().filter(|seen| !in_swap(seen.file)) {
            let directive = &seen.directive;
            if directive.name == "proxy_set_header"
                && directive.arguments.first().is_some_and(|name| name.eq_ignore_ascii_case("host"))
            {
                host_seen = true;
            }
            if !PASSES.contains(&directive.name.as_str()) {
                continue;
            }
            let Some(value) = directive.arguments.first() else { continue };
            let place = self.place(seen);
            if seen.context.starts_with("stream") {
                let address = Address::of(value);
                if self.is_service(address.host) {
                    notes.push(format!(
                        "`{} {}` at {place} is in `stream`, which swap does not switch: its connections are cut when the old \
                         container stops",
                        directive.name,
                        printable(value)
                    ));
                }
                continue;
            }
            for (at, value) in self.spelled(seen, value) {
                let address = Address::of(&value);
                let direct = self.is_service(address.host);
                let through = theirs.get(&address.host.to_lowercase());
                if !direct && through.is_none() {
                    continue;
                }
                used = true;
                let by_their_upstream = through.is_some() && address.port.is_none();
                if !by_their_upstream {
                    match address.port.map(str::parse) {
                        None => usual_port = usual_port.or(address.usual_port()),
                        Some(Ok(port)) => _ = ports.insert(port),
                        Some(Err(_)) => by_hand.push(
                            Failure::new(format!(
                                "the port in `{} {value}` at {place} is not a number",
                                directive.name
                            ))
                            .hint(format!(
                                "write `{}`, without port",
                                value.replacen(&address.authority(), service, 1)
                            )),
                        ),
                    }
                }
                let authority = address.authority();
                if authority == service {
                    continue;
                }
                moved.extend(through.map(|name| name.to_lowercase()));
                if directive.name == "proxy_pass" && address.port.is_some_and(|port| port != "80") {
                    host_lost.get_or_insert(authority.clone());
                }
                let raw = &self.files[at.0].text[at.1.clone()];
                match raw.find(&authority) {
                    Some(offset) => {
                        let start = at.1.start + offset;
                        let edit = Edit { at: start..start + authority.len(), text: service.to_owned() };
                        if !edits.iter().any(|(file, known)| *file == at.0 && *known == edit) {
                            edits.push((at.0, edit));
                        }
                    }
                    None => by_hand.push(
                        Failure::new(format!(
                            "`{} {value}` at {place} is written in a way that can't be edited safely",
                            directive.name
                        ))
                        .hint(format!("write `{}`", value.replacen(&authority, service, 1))),
                    ),
                }
            }
        }
        if let (false, Some(authority)) = (host_seen, host_lost) {
            notes.push(format!(
                "the application sees `Host: {service}` where it saw `Host: {authority}`: no `proxy_set_header Host` stands in these files"
            ));
        }
        let told = told_of_theirs.into_iter().filter(|(name, same_name, _)| *same_name || moved.contains(name));
        notes.splice(0..0, told.map(|(_, _, told)| told));
        self.proposal.used = used;
        self.proposal.usual_port = usual_port;
        self.proposal.edits.extend(edits);
        self.proposal.by_hand.extend(by_hand);
        self.proposal.notes.extend(notes);
        self.proposal.ports = ports;
    }

    /// Returns where the value of a pass is spelled, and how: itself, or what is `set` into its variable.
    fn spelled(&self, seen: &Seen, value: &str) -> Vec<((usize, std::ops::Range<usize>), String)> {
        let authority = Address::of(value);
        let variable = if value.starts_with('$') {
            Some(value)
        } else {
            authority.host.starts_with('$').then_some(authority.host)
        };
        let Some(variable) = variable else {
            return seen
                .directive
                .words
                .get(1)
                .map(|word| ((seen.file, word.clone()), value.to_owned()))
                .into_iter()
                .collect();
        };
        let end =
            variable[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(variable.len(), |end| end + 1);
        let name = &variable[..end];
        // A port behind the variable stays with the pass: `http://$host:8000`.
        self.seen
            .iter()
            .filter(|set| {
                set.directive.name == "set" && set.directive.arguments.first().is_some_and(|first| first == name)
            })
            .filter_map(|set| {
                let value = set.directive.arguments.get(1)?;
                let word = set.directive.words.get(2)?;
                Some(((set.file, word.clone()), value.clone()))
            })
            .collect()
    }

    /// Returns the edits that make each line of a directive a comment; `None` if it shares a line with something else.
    fn commented_out(&self, seen: &Seen) -> Option<Vec<(usize, Edit)>> {
        let text = &self.files[seen.file].text;
        let span = &seen.directive.span;
        let begin = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[span.end..].find('\n').map_or(text.len(), |at| span.end + at);
        let after = text[span.end..end].trim();
        if !text[begin..span.start].trim().is_empty() || !(after.is_empty() || after.starts_with('#')) {
            return None;
        }
        let mut edits = Vec::new();
        let mut at = begin;
        for line in text[begin..end].split_inclusive('\n') {
            let indent = line.len() - line.trim_start().len();
            if !line.trim().is_empty() {
                edits.push((seen.file, Edit::insert(at + indent, "# ")));
            }
            at += line.len();
        }
        Some(edits)
    }

    /// Leaves to people a file that could not be read any more after its edits.
    fn checked(mut self) -> Proposal {
        for (index, file) in self.files.iter().enumerate() {
            let edits: Vec<Edit> =
                self.proposal.edits.iter().filter(|(at, _)| *at == index).map(|(_, edit)| edit.clone()).collect();
            if !edits.is_empty() && syntax::parse(&Edit::apply(&file.text, &edits)).is_err() {
                self.proposal.by_hand.push(
                    Failure::new(format!("`{}` is written in a way that can't be edited safely", file.name))
                        .hint(format!("write `proxy_pass http://{};` where it is used", self.service)),
                );
            }
        }
        self.proposal
    }

    /// Puts the line that reads swap's folder where nginx reads it, if there is none.
    fn include(&mut self) {
        let service = self.service;
        let covered = self.seen.iter().find_map(|seen| {
            let [pattern] = seen.directive.arguments.as_slice() else { return None };
            let pattern = if pattern.starts_with('/') { pattern.clone() } else { format!("/etc/nginx/{pattern}") };
            let (folder, _) = pattern.rsplit_once('/')?;
            let ours = seen.directive.name == "include"
                && seen.context == "http"
                && folder.rsplit('/').next() == Some("swap")
                && covers(&pattern, &format!("{folder}/{service}.conf"));
            ours.then(|| folder.to_owned())
        });
        if let Some(folder) = covered {
            self.proposal.folder = folder;
            return;
        }
        let line = format!("include {}/*.conf;", self.proposal.folder);
        let http = self.seen.iter().find(|seen| seen.context.is_empty() && seen.directive.name == "http");
        let edit = match http {
            Some(seen) => Some((seen.file, in_block(&self.files[seen.file].text, &seen.directive, &line))),
            None => {
                let first = self.seen.iter().find(|seen| {
                    PASSES.contains(&seen.directive.name.as_str())
                        && seen.top.is_some()
                        && seen.directive.arguments.first().is_some_and(|value| {
                            let host = Address::of(value).host.to_owned();
                            host.starts_with('$') || self.is_service(&host)
                        })
                });
                let top = first.and_then(|seen| seen.top).or(self.http.first().copied());
                top.map(|file| (file, at_the_top(&self.files[file].text, &line)))
            }
        };
        match edit {
            // First, because an upstream that becomes a comment may begin at the same place.
            Some(edit) => self.proposal.edits.insert(0, edit),
            None => self.proposal.by_hand.push(
                Failure::new("none of nginx's files that can be edited is read at the level of `http`")
                    .hint(format!("write `{line}` into the `http` block")),
            ),
        }
    }
}

/// Returns how the text ends its lines.
fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Puts a line at the beginning of a block, indented as its neighbours are.
fn in_block(text: &str, block: &Directive, line: &str) -> Edit {
    let newline = newline(text);
    let opened = block.opened.unwrap_or(block.span.start);
    let begin = text[..block.span.start].rfind('\n').map_or(0, |at| at + 1);
    let outer: String = text[begin..].chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
    let inner = block.block.iter().flatten().find_map(|directive| {
        let begin = text[..directive.span.start].rfind('\n').map_or(0, |at| at + 1);
        let indent = &text[begin..directive.span.start];
        (begin > opened && indent.trim().is_empty()).then(|| indent.to_owned())
    });
    let indent = inner.unwrap_or_else(|| format!("{outer}    "));
    let rest = text[opened..].find('\n').map_or(text.len(), |at| opened + at);
    let after = text[opened..rest].trim();
    if after.is_empty() || after.starts_with('#') {
        let end = opened + text[opened..rest].trim_end().len();
        return Edit::insert(end, format!("{newline}{indent}{line}"));
    }
    // Something follows the brace on its line: it moves to a line of its own.
    let first = opened + (text[opened..rest].len() - text[opened..rest].trim_start().len());
    Edit { at: opened..first, text: format!("{newline}{indent}{line}{newline}{indent}") }
}

fn at_the_top(text: &str, line: &str) -> Edit {
    Edit::insert(0, format!("{line}{}", newline(text)))
}

/// Returns the file that nginx starts with until the first swap: the service by its DNS name.
pub fn first_file(upstream: &ServiceName, dns_name: &ServiceName, port: u16) -> String {
    format!(
        "# What nginx starts with: {dns_name} by its DNS name. The first swap replaces this file.\n\
         upstream {upstream} {{\n    server {dns_name}:{port};\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files as `PATH` and text; the answer has the changed files, then what else is told.
    fn proposed(files: &[(&str, &str)]) -> String {
        let files: Vec<ConfigFile> = files
            .iter()
            .map(|(path, text)| ConfigFile {
                path: format!("/etc/nginx/{path}"),
                name: (*path).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        let names = ["app".to_owned(), "shop_app".to_owned()];
        let proposal = propose(&files, &"app".parse().unwrap(), &names, "/etc/nginx/swap");
        let mut told = String::new();
        let mut changed = files.clone();
        for (index, file) in changed.iter_mut().enumerate() {
            let edits: Vec<Edit> =
                proposal.edits.iter().filter(|(at, _)| *at == index).map(|(_, edit)| edit.clone()).collect();
            if !edits.is_empty() {
                file.text = Edit::apply(&file.text, &edits);
                told += &format!("== {}\n{}", file.name, file.text);
            }
        }
        let mut ports = proposal.ports.clone();
        ports.extend(proposal.usual_port);
        told += &format!("ports {ports:?}{}\n", if proposal.used { "" } else { ", unused" });
        proposal.notes.iter().for_each(|note| told += &format!("note: {note}\n"));
        proposal.by_hand.iter().for_each(|Failure { what, hint, .. }| {
            told += &format!("by hand: {what}\n  {}\n", hint.as_deref().unwrap_or_default());
        });
        // The second time there is nothing to do.
        if proposal.by_hand.is_empty() && proposal.used {
            let again = propose(&changed, &"app".parse().unwrap(), &names, "/etc/nginx/swap");
            assert_eq!((again.edits, again.by_hand), (Vec::new(), Vec::new()), "{told}");
        }
        told
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &str) {
        assert_eq!(proposed(files), expected);
    }

    #[test]
    fn a_main_file_gets_the_include_in_http_and_loses_the_port() {
        check(
            &[(
                "nginx.conf",
                "events {}\nhttp {\n  # ours\n  server {\n    location /api/ { proxy_pass http://app:8000/v1/; } # keep\n  }\n}\n",
            )],
            "== nginx.conf
events {}
http {
  include /etc/nginx/swap/*.conf;
  # ours
  server {
    location /api/ { proxy_pass http://app/v1/; } # keep
  }
}
ports {8000}
note: the application sees `Host: app` where it saw `Host: app:8000`: no `proxy_set_header Host` stands in these files
",
        );
    }

    #[test]
    fn a_file_of_conf_d_gets_the_include_at_its_top() {
        check(
            &[("conf.d/default.conf", "# site\nserver {\n\tlocation ~ \\.php$ {\n\t\tfastcgi_pass app:9000;\n\t}\n}")],
            "== conf.d/default.conf
include /etc/nginx/swap/*.conf;
# site
server {
\tlocation ~ \\.php$ {
\t\tfastcgi_pass app;
\t}
}ports {9000}
",
        );
    }

    #[test]
    fn uwsgi_grpc_and_quotes_keep_what_stands_around_the_name() {
        check(
            &[(
                "conf.d/a.conf",
                "server { location / { uwsgi_pass app:3031; } location /g { grpc_pass \"grpc://APP:3031\"; } }\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
server { location / { uwsgi_pass app; } location /g { grpc_pass \"grpc://app\"; } }
ports {3031}
",
        );
    }

    #[test]
    fn tabs_and_crlf_stay_and_one_line_is_enough() {
        check(
            &[(
                "nginx.conf",
                "http {\r\n\tserver {\r\n\t\tproxy_set_header Host $host;\r\n\t\tproxy_pass http://app:81;\r\n\t}\r\n}\r\n",
            )],
            "== nginx.conf\nhttp {\r\n\tinclude /etc/nginx/swap/*.conf;\r\n\tserver {\r\n\t\tproxy_set_header Host $host;\r\n\t\tproxy_pass http://app;\r\n\t}\r\n}\r\nports {81}\n",
        );
        check(
            &[("conf.d/a.conf", "upstream b {server app;}\nserver {proxy_pass http://b;}")],
            "== conf.d/a.conf\ninclude /etc/nginx/swap/*.conf;\nupstream b {server app;}\nserver {proxy_pass http://app;}ports {80}
note: the upstream `b` at conf.d/a.conf:1 is not used any more and may be deleted
",
        );
    }

    #[test]
    fn a_brace_that_is_followed_by_code_or_a_comment_is_respected() {
        check(
            &[("nginx.conf", "http { server { proxy_pass http://app; } }\n")],
            "== nginx.conf\nhttp {\n    include /etc/nginx/swap/*.conf;\n    server { proxy_pass http://app; } }\nports {80}\n",
        );
        check(
            &[("nginx.conf", "http { # all\n        server { proxy_pass http://app; }\n}\n")],
            "== nginx.conf\nhttp { # all\n        include /etc/nginx/swap/*.conf;\n        server { proxy_pass http://app; }\n}\nports {80}\n",
        );
        check(
            &[("nginx.conf", "http{}\n"), ("conf.d/x.conf", "server { proxy_pass http://app:8000; }\n")],
            "ports {}, unused\n",
        );
    }

    #[test]
    fn an_own_upstream_of_the_name_becomes_a_comment() {
        check(
            &[(
                "conf.d/default.conf",
                "upstream app {\n    server app:8000 max_fails=3; # here\n\n    keepalive 16;\n} # end\nserver {\n    location / {\n        proxy_pass http://app;\n    }\n}\n",
            )],
            "== conf.d/default.conf
include /etc/nginx/swap/*.conf;
# upstream app {
    # server app:8000 max_fails=3; # here

    # keepalive 16;
# } # end
server {
    location / {
        proxy_pass http://app;
    }
}
ports {8000}
note: the upstream `app` at conf.d/default.conf:1 becomes a comment: swap writes it from now on; swap's own has no `keepalive 16`
",
        );
        check(
            &[("nginx.conf", "http { upstream app { server app:8000; } server { proxy_pass http://app; } }\n")],
            "== nginx.conf
http {
    include /etc/nginx/swap/*.conf;
    upstream app { server app:8000; } server { proxy_pass http://app; } }
ports {8000}
note: the upstream `app` at nginx.conf:1 becomes a comment: swap writes it from now on
by hand: the upstream `app` at nginx.conf:1 shares a line with something else
  remove `upstream app { … }`: swap writes it from now on
",
        );
    }

    #[test]
    fn an_upstream_of_another_name_is_left_and_its_users_are_moved() {
        check(
            &[
                ("conf.d/a.conf", "upstream backend { server shop_app:8000; ip_hash; }\n"),
                ("conf.d/b.conf", "server { location / { proxy_pass http://backend/; } }\n"),
            ],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
upstream backend { server shop_app:8000; ip_hash; }
== conf.d/b.conf
server { location / { proxy_pass http://app/; } }
ports {8000}
note: the upstream `backend` at conf.d/a.conf:1 is not used any more and may be deleted; swap's own has no `ip_hash`
",
        );
    }

    #[test]
    fn an_upstream_of_several_services_is_for_people() {
        check(
            &[("conf.d/a.conf", "upstream all { server app:8000; server other:8000; }\nserver { proxy_pass http://all; }\n")],
            "ports {}, unused
by hand: the upstream `all` at conf.d/a.conf:1 also leads to other:8000, and swap's upstream holds the containers of `app` alone
  let lines that mean `app` say `proxy_pass http://app;`, and give that upstream another name than `app`
",
        );
    }

    #[test]
    fn variables_are_followed_to_where_they_are_set() {
        check(
            &[(
                "conf.d/a.conf",
                "server {\n  resolver 127.0.0.11;\n  set $to app:8000;\n  location / { proxy_pass http://$to; }\n  location /b { set $u http://app:8000; proxy_pass $u; }\n}\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
server {
  resolver 127.0.0.11;
  set $to app;
  location / { proxy_pass http://$to; }
  location /b { set $u http://app; proxy_pass $u; }
}
ports {8000}
note: the application sees `Host: app` where it saw `Host: app:8000`: no `proxy_set_header Host` stands in these files
",
        );
    }

    #[test]
    fn templates_and_included_snippets_are_read_where_they_belong() {
        check(
            &[
                ("nginx.conf", "http {\n    include conf.d/*.conf;\n}\n"),
                ("templates/default.conf.template", "server { listen ${PORT}; include snippets/app.conf; }\n"),
                ("snippets/app.conf", "location / { proxy_set_header Host $host; proxy_pass http://app:3000; }\n"),
            ],
            "== nginx.conf
http {
    include /etc/nginx/swap/*.conf;
    include conf.d/*.conf;
}
== snippets/app.conf
location / { proxy_set_header Host $host; proxy_pass http://app; }
ports {3000}
",
        );
    }

    #[test]
    fn what_is_not_http_or_not_ours_or_broken_is_left() {
        check(
            &[("nginx.conf", "stream { server { proxy_pass app:5432; } }\nhttp { server { proxy_pass http://other:1; } }\n")],
            "ports {}, unused
note: `proxy_pass app:5432` at nginx.conf:1 is in `stream`, which swap does not switch: its connections are cut when the old container stops
",
        );
        check(
            &[("certs/key.pem", "-----BEGIN {{{"), ("conf.d/a.conf", "server { proxy_pass http://app; }\n")],
            "== conf.d/a.conf\ninclude /etc/nginx/swap/*.conf;\nserver { proxy_pass http://app; }\nports {80}\n",
        );
        check(
            &[("conf.d/a.conf", "server {")],
            "ports {}, unused
by hand: `conf.d/a.conf` can't be read as nginx's configuration: line 1: the block of `server` is not closed
  correct that file, then run `swap init` again
",
        );
    }

    #[test]
    fn two_ports_are_both_told() {
        check(
            &[(
                "conf.d/a.conf",
                "include /etc/nginx/swap/*.conf;\nserver { location /a { proxy_pass http://app:1; } location /b { proxy_pass http://app:${P}; } }\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
server { location /a { proxy_pass http://app; } location /b { proxy_pass http://app; } }
ports {1}
note: the application sees `Host: app` where it saw `Host: app:1`: no `proxy_set_header Host` stands in these files
by hand: the port in `proxy_pass http://app:${P}` at conf.d/a.conf:2 is not a number
  write `http://app`, without port
",
        );
    }

    #[test]
    fn the_first_file_names_the_service_by_dns() {
        assert_eq!(
            first_file(&"shop".parse().unwrap(), &"app".parse().unwrap(), 8000),
            "# What nginx starts with: app by its DNS name. The first swap replaces this file.\nupstream shop {\n    server app:8000;\n}\n"
        );
    }
}
