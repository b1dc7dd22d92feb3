//! The doors of nginx: where its `server` blocks listen, by which names, and whether they pass requests on. Pure.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use super::dump::{Listener, Statement};
use crate::model::ServiceName;

/// An address at which a `server` of nginx takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The address that it is bound to; `None`: all of them.
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether requests for no known name come here.
    pub default: bool,
    /// The names that a request may be for, as a client writes them: without patterns.
    pub names: Vec<String>,
    /// The names in its lines that pass requests on, as they are written.
    pub passes: Vec<String>,
    /// Where requests for which of those names begin: `/api/`.
    pub paths: Vec<(String, String)>,
}

/// Whom a `server` passes requests to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Passes {
    /// The service by its name.
    Service,
    /// Somebody; by which name is not known here.
    Somebody,
    /// Nobody: it answers by itself, as one that redirects to another door.
    Nobody,
}

impl Door {
    /// Tells whom it passes requests to, as far as its lines say so. `upstream` is what the service's upstream is called.
    pub fn passes(&self, upstream: &ServiceName) -> Passes {
        match &self.passes[..] {
            [] => Passes::Nobody,
            names if names.iter().any(|name| name == upstream.as_str()) => Passes::Service,
            _ => Passes::Somebody,
        }
    }

    /// Returns the paths of which it passes requests to the upstream.
    pub fn paths(&self, upstream: &ServiceName) -> impl Iterator<Item = &str> {
        self.paths.iter().filter(|(name, _)| *name == upstream.as_str()).map(|(_, path)| path.as_str())
    }
}

const PASSES: [&str; 5] = ["proxy_pass", "fastcgi_pass", "grpc_pass", "uwsgi_pass", "scgi_pass"];

/// Collects the doors from the statements of a configuration.
///
/// What is no HTTP (`stream`, `mail`), UDP (HTTP/3), a socket of the file system or behind the PROXY protocol is no door that
/// could be asked.
#[derive(Debug, Default)]
pub(super) struct Collector {
    doors: Vec<Door>,
    depth: usize,
    server: Option<OpenServer>,
    /// The `location` blocks that are open, each with its depth and its path; `None`: a pattern, or one for nobody outside.
    locations: Vec<(usize, Option<String>)>,
}

/// A `server` whose block is being read.
#[derive(Debug, Default)]
struct OpenServer {
    depth: usize,
    listens: Vec<Option<Listen>>,
    names: Vec<String>,
    passes: Vec<String>,
    paths: Vec<(String, String)>,
    tls: bool,
}

impl Listener for Collector {
    fn statement(&mut self, statement: &Statement<'_, '_>) {
        let Statement { name, arguments, opens, blocks, .. } = *statement;
        if name == "server" && opens && matches!(blocks, [block] if block == "http") {
            self.server = Some(OpenServer { depth: self.depth, ..OpenServer::default() });
        } else if let Some(server) = &mut self.server {
            let own = self.depth == server.depth + 1;
            match name {
                "listen" if own => server.listens.push(listen(arguments)),
                "server_name" if own => server.names.extend(arguments.iter().filter_map(|name| plain(name))),
                "ssl" if own => server.tls |= arguments.first().is_some_and(|word| word == "on"),
                _ if PASSES.contains(&name) => {
                    let value = arguments.first().map_or("", |value| value);
                    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
                    let name = rest.split(['/', ':', '$']).next().unwrap_or_default().to_owned();
                    let path = match self.locations.last() {
                        Some((_, path)) => path.clone(),
                        None => Some("/".to_owned()),
                    };
                    server.paths.extend(path.map(|path| (name.clone(), path)));
                    if !server.passes.contains(&name) {
                        server.passes.push(name);
                    }
                }
                _ => {}
            }
        }
        if name == "location" && opens {
            let path = match arguments {
                [path] => Some(path),
                [how, path] if matches!(how.as_ref(), "=" | "^~") => Some(path),
                _ => None,
            };
            let path = path.filter(|path| path.starts_with('/')).map(|path| path.clone().into_owned());
            self.locations.push((self.depth, path));
        }
        self.depth += usize::from(opens);
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.locations.pop_if(|(depth, _)| *depth == self.depth);
        if self.server.as_ref().is_some_and(|server| server.depth == self.depth)
            && let Some(server) = self.server.take()
        {
            self.doors.extend(server.doors());
        }
    }
}

impl OpenServer {
    fn doors(self) -> Vec<Door> {
        let Self { mut listens, names, passes, paths, tls, .. } = self;
        if listens.is_empty() {
            listens.push(Some(Listen { ip: None, port: 80, tls: false, default: false }));
        }
        let mut doors: Vec<Door> = Vec::new();
        for Listen { ip, port, tls: own, default } in listens.into_iter().flatten() {
            // `listen 80; listen [::]:80;` is one door.
            if !doors.iter().any(|door| (door.ip, door.port) == (ip, port)) {
                let (names, passes, paths) = (names.clone(), passes.clone(), paths.clone());
                doors.push(Door { ip, port, tls: tls || own, default, names, passes, paths });
            }
        }
        doors
    }
}

impl Collector {
    /// Returns all doors in their order.
    pub(super) fn finish(self) -> Vec<Door> {
        let mut doors = self.doors;
        type Socket = (Option<IpAddr>, u16);
        // What one `server` says of a socket holds for all that share it.
        let of = |door: &Door| (door.ip, door.port);
        let secure: HashSet<Socket> = doors.iter().filter(|door| door.tls).map(of).collect();
        let settled: HashSet<Socket> = doors.iter().filter(|door| door.default).map(of).collect();
        let mut seen = HashSet::new();
        for door in &mut doors {
            let socket = (door.ip, door.port);
            door.tls |= secure.contains(&socket);
            // The first one, where no other says that it is the default.
            door.default |= seen.insert(socket) && !settled.contains(&socket);
        }
        doors
    }
}

/// What a `listen` says.
#[derive(Debug)]
struct Listen {
    ip: Option<IpAddr>,
    port: u16,
    tls: bool,
    default: bool,
}

/// Reads the arguments of `listen`; `None` where nobody could ask.
fn listen(arguments: &[Cow<'_, str>]) -> Option<Listen> {
    let (address, options) = arguments.split_first()?;
    let has = |word: &str| options.iter().any(|option| option == word);
    if address.starts_with("unix:") || has("quic") || has("proxy_protocol") || has("udp") {
        return None;
    }
    let (ip, port) = match address.rsplit_once(':') {
        Some((ip, port)) if !port.ends_with(']') => (ip, port.parse().ok()?),
        _ => match address.parse() {
            Ok(port) => ("", port),
            Err(_) => (address.as_ref(), 80),
        },
    };
    let ip = match ip.trim_matches(['[', ']']) {
        "" | "*" | "0.0.0.0" | "::" => None,
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        ip => Some(ip.parse().ok()?),
    };
    Some(Listen { ip, port, tls: has("ssl"), default: has("default_server") || has("default") })
}

/// Returns a name that a client could write for a `server_name`: that of a pattern too, where one is plain.
fn plain(name: &str) -> Option<String> {
    let name = match name.strip_prefix("*.") {
        Some(rest) => format!("www.{rest}"),
        None => name.strip_prefix('.').unwrap_or(name).to_owned(),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    (name.contains(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::super::dump::Dump;
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &str) {
        let dump: String = files.iter().map(|(path, text)| format!("# configuration file {path}:\n{text}\n")).collect();
        let mut collector = Collector::default();
        Dump::of(&dump, "/etc/nginx").walk(&mut collector);
        let app = "app".parse().unwrap();
        let text: String = collector
            .finish()
            .iter()
            .map(|door| {
                let Door { ip, port, tls, default, names, .. } = door;
                let scheme = if *tls { "https" } else { "http" };
                let ip = ip.map_or("*".to_owned(), |ip| ip.to_string());
                let default = if *default { " default" } else { "" };
                let paths: String = door.paths(&app).map(|path| format!(" {path}")).collect();
                format!("{scheme} {ip} {port}{default} {names:?} {:?}{paths}\n", door.passes(&app))
            })
            .collect();
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn the_usual_pair_of_a_redirect_and_tls() {
        check(
            &[(
                "/etc/nginx/nginx.conf",
                "http {
                    server { listen 80; listen [::]:80; server_name shop.test www.shop.test; return 301 https://$host$request_uri; }
                    server {
                        listen 443 ssl http2 default_server;
                        listen 443 quic reuseport;
                        server_name shop.test;
                        location / { if ($a) { return 403; } proxy_pass http://app; }
                        location ^~ /api/ { location = /api/up { proxy_pass http://app/up; } proxy_pass http://other; }
                        location ~ \\.php$ { proxy_pass http://app; }
                    }
                    server { listen 443; server_name other.test; location / { proxy_pass http://other:80/; } }
                }",
            )],
            "\
http * 80 default [\"shop.test\", \"www.shop.test\"] Nobody
https * 443 default [\"shop.test\"] Service / /api/up
https * 443 [\"other.test\"] Somebody
",
        );
    }

    #[test]
    fn includes_are_followed_and_what_is_no_http_is_left_out() {
        check(
            &[
                (
                    "/etc/nginx/nginx.conf",
                    "stream { server { listen 5432; proxy_pass db:5432; } } http { include conf.d/*.conf; }",
                ),
                (
                    "/etc/nginx/conf.d/a.conf",
                    "server { include snippets/listen; server_name _ ~^x; location / { include pass.inc; } }
                     server { listen unix:/run/a; } server { listen 81 proxy_protocol; } server { listen 127.0.0.1; }",
                ),
                ("/etc/nginx/snippets/listen", "listen 0.0.0.0:8080; listen 10.0.0.5:8443; ssl on;"),
                ("/etc/nginx/pass.inc", "fastcgi_pass app;"),
                ("/etc/nginx/conf.d/b.conf", "server { server_name .shop.test *.blog.test; root /srv; }"),
                ("/etc/nginx/loop.conf", "include loop.conf;"),
            ],
            "\
https * 8080 default [] Service /
https 10.0.0.5 8443 default [] Service /
http 127.0.0.1 80 default [] Nobody
http * 80 default [\"shop.test\", \"www.blog.test\"] Nobody
",
        );
    }
}
