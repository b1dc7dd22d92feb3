//! The file by which nginx knows where a service is: text to data and back. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::syntax::{self, Directive};
use super::workers::{Generation, Process};
use crate::model::{ObeyedMark, RunId, ServiceName};
use crate::text::short;

/// What `<folder>/<service>.conf` says. There is no time in it, so that the same facts always give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamFile {
    /// The run that wrote it.
    pub run: RunId,
    /// The compose project.
    pub project: String,
    /// The service.
    pub service: ServiceName,
    /// What the upstream is called, and the file: as the service, or what is settled where projects share an nginx.
    pub upstream: ServiceName,
    /// The live containers. Where there is none, nginx answers 502 and the file stays valid.
    pub servers: Vec<Server>,
    /// The service's DNS name as backup; only for an nginx that [knows it](super::Version::knows_resolve).
    pub fallback: Option<Fallback>,
    /// What people had said of the upstream before swap wrote it.
    pub kept: Kept,
    /// What is different once the run is over; `None`: it is at work, or died.
    pub rest: Option<Rest>,
}

/// What a file says between two runs: the service's DNS name, so that an nginx that starts anew never sends requests to another
/// container that got an address. It is written without a reload: until then nginx obeys the addresses of [`UpstreamFile::servers`],
/// with [`UpstreamFile::fallback`] as backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// The nginx that obeys the addresses.
    pub obeyed: Obeyed,
    /// The service's DNS name and port for an nginx that asks for it only when it reads its configuration. `None`: it asks again
    /// and again, by [`UpstreamFile::fallback`]; or it can't ask, so that the addresses stay.
    pub name: Option<(ServiceName, u16)>,
}

/// A generation of nginx's workers: the one that ran when a file came to rest. nginx was neither started nor reloaded since
/// where the present one is equal to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obeyed {
    boot: String,
    master: Process,
    /// When the youngest worker started, in ticks since the boot. Older ones may end meanwhile.
    youngest: u64,
}

impl Obeyed {
    /// Returns what tells a generation; `None` where it has no workers.
    pub fn of(generation: &Generation) -> Option<Self> {
        let youngest = generation.workers.iter().map(|worker| worker.start).max()?;
        Some(Self { boot: generation.boot.clone(), master: generation.master, youngest })
    }

    /// Returns what no generation is equal to, so that the next run tells nginx in any case.
    pub fn doubted(self) -> Self {
        Self { youngest: 0, ..self }
    }

    /// Returns the mark by which it is known again.
    pub fn mark(&self) -> ObeyedMark {
        ObeyedMark(self.to_string())
    }

    /// Reads a mark; `None`: it is another edge's.
    pub fn of_mark(mark: &ObeyedMark) -> Option<Self> {
        Self::parse(&mark.0)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (boot, master, youngest) = (words.next()?, words.next()?, words.next()?);
        let (pid, start) = master.split_once(':')?;
        let master = Process { pid: pid.parse().ok()?, start: start.parse().ok()? };
        words.next().is_none().then_some(Self { boot: boot.to_owned(), master, youngest: youngest.parse().ok()? })
    }
}

impl fmt::Display for Obeyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Obeyed { boot, master, youngest } = self;
        write!(f, "{} {}:{} {youngest}", word(boot), master.pid, master.start)
    }
}

/// What people say in an upstream of how the load is spread, what is kept open and what counts as a failure: it stays as it is,
/// whatever containers there are.
///
/// Connections that are kept open are safe with swap, because no old container stops before the last worker that may keep one to it
/// is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Directives, as `keepalive 32`, in their order.
    pub options: Vec<String>,
    /// What is said of each server, as `max_fails=3`.
    pub parameters: Vec<String>,
}

/// The directives of an upstream that are kept.
const OPTIONS: [&str; 11] = [
    "hash",
    "ip_hash",
    "least_conn",
    "least_time",
    "random",
    "sticky",
    "queue",
    "keepalive",
    "keepalive_requests",
    "keepalive_time",
    "keepalive_timeout",
];

/// What is kept of what is said of a server.
const PARAMETERS: [&str; 5] = ["max_fails", "fail_timeout", "max_conns", "slow_start", "weight"];

impl Kept {
    /// Reads it from an upstream's file, whoever wrote that.
    pub fn of(text: &str) -> Self {
        if let Ok(file) = parse(text) {
            return file.kept;
        }
        let mut kept = Self::default();
        let directives = syntax::parse(text).unwrap_or_default();
        for Directive { name, arguments, .. } in
            directives.iter().filter(|it| it.name == "upstream").flat_map(|it| it.block.iter().flatten())
        {
            if name == "server" {
                arguments.iter().skip(1).for_each(|word| kept.parameter(word));
            } else {
                kept.option(name, arguments);
            }
        }
        kept
    }

    /// Takes a directive; tells whether it is one that is kept.
    pub fn option(&mut self, name: &str, arguments: &[String]) -> bool {
        let option = std::iter::once(name.to_owned()).chain(arguments.iter().map(|word| quoted(word)));
        let option = option.collect::<Vec<_>>().join(" ");
        let known = OPTIONS.contains(&name) && option.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if known && !self.options.contains(&option) {
            self.options.push(option);
        }
        known
    }

    /// Takes what is said of a server, where it is kept and was not said before: all are of one service.
    pub fn parameter(&mut self, word: &str) {
        let name = word.split('=').next().unwrap_or_default();
        let value = word.split_once('=').map_or("", |(_, value)| value);
        let plain = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric());
        if plain && PARAMETERS.contains(&name) && !self.says(name) {
            self.parameters.push(word.to_owned());
        }
    }

    fn says(&self, name: &str) -> bool {
        self.parameters.iter().any(|word| word.split('=').next() == Some(name))
    }

    /// Tells whether nginx takes a backup beside the way in which the load is spread.
    pub fn allows_backup(&self) -> bool {
        let methods = ["hash", "ip_hash", "random"];
        !self.options.iter().any(|option| methods.contains(&option.split(' ').next().unwrap_or_default()))
    }

    /// Returns what is written behind a server's address, beside what swap says by itself: ` max_fails=3`.
    fn behind(&self, own: &[&str]) -> String {
        let own = own.iter().filter(|word| !self.says(word.split('=').next().unwrap_or_default()));
        own.copied().chain(self.parameters.iter().map(String::as_str)).map(|word| format!(" {word}")).collect()
    }
}

/// Returns a word as nginx reads it again.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !";{}\"'\\#".contains(c);
    match !word.is_empty() && word.replace("${", "$").replace('}', "").chars().all(plain) {
        true => word.to_owned(),
        false => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// A live container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where nginx reaches it.
    pub address: SocketAddr,
    /// Its name, as `demo-app-1`.
    pub container: String,
    /// Its id; twelve characters of it are written.
    pub id: String,
}

/// The service's DNS name, which finds a container again that somebody made without swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The name, which only containers of the service have in nginx's network.
    pub name: ServiceName,
    /// Who resolves the name: the engine's DNS as nginx's `/etc/resolv.conf` has it, `127.0.0.11`.
    pub resolver: IpAddr,
    /// The service's port.
    pub port: u16,
}

/// Why a text is not an upstream file of swap's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotParsed {
    /// It lacks swap's first line: somebody else wrote it.
    Foreign,
    /// swap wrote it and somebody changed it; says what is wrong.
    Damaged(String),
}

impl fmt::Display for NotParsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotParsed::Foreign => f.write_str("it was not written by swap"),
            NotParsed::Damaged(what) => write!(f, "it was changed since swap wrote it: {what}"),
        }
    }
}

impl std::error::Error for NotParsed {}

/// The first line: by it swap knows its own files.
pub(super) const TITLE: &str = "# Written by swap; do not edit: the next swap replaces it.";

/// The name of an upstream's file in swap's folder.
pub fn file_name(upstream: &ServiceName) -> String {
    format!("{upstream}.conf")
}

/// Tells whether swap wrote a text, unharmed or not.
pub fn is_ours(text: &str) -> bool {
    text.strip_prefix(TITLE).is_some_and(|rest| rest.starts_with('\n'))
}

/// Returns the project that a file of swap's says it belongs to, also where the rest of it was changed since; `None`: swap did
/// not write it.
pub fn owner(text: &str) -> Option<&str> {
    said(text, "project")
}

/// Returns what the comments of a file of swap's say of this; `None` also for what is no name and can't be shown.
pub(super) fn said<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let comments = text.strip_prefix(TITLE)?.strip_prefix('\n')?;
    let mut lines = comments.lines().map_while(|line| line.strip_prefix("# "));
    let said = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    said.filter(|name| name.chars().all(|c| c.is_ascii_graphic()))
}

/// Returns the file's text. Whatever the names hold, nothing of them gets out of its comment.
pub fn render(file: &UpstreamFile) -> String {
    let UpstreamFile { run, project, service, upstream, servers, fallback, kept, rest } = file;
    let mut text = format!("{TITLE}\n");
    text += &format!("# project: {}\n# service: {service}\n# run: {}\n", word(project), word(&run.0));
    if upstream != service {
        text += &format!("# upstream: {upstream}\n");
    }
    for Server { address, container, id } in servers {
        text += &format!("# live: {address} {} {}\n", word(container), word(short(id)));
    }
    if let Some(Rest { obeyed, .. }) = rest {
        text += &format!("# at rest: {obeyed}\n");
    }
    if !kept.parameters.is_empty() {
        text += &format!("# kept: {}\n", kept.parameters.join(" "));
    }
    text += &format!("upstream {upstream} {{\n");
    // How the load is spread is said before what is kept open.
    kept.options.iter().for_each(|option| text += &format!("    {option};\n"));
    if let Some(Fallback { resolver, .. }) = fallback {
        // Docker's DNS lets answers live for ten minutes, far longer than a recreated container may wait.
        let family = if servers.iter().all(|server| server.address.is_ipv4()) { " ipv6=off" } else { "" };
        text += &format!("    zone swap_{upstream} 64k;\n    resolver {} valid=2s{family};\n", host(*resolver));
    }
    match (rest, fallback) {
        // Twice: what a backup has resolved, nginx keeps at a reload for a backup alone, so that the first reload by others loses
        // nothing (measured on 1.30; a lone name answers 502 until it is resolved, some milliseconds).
        (Some(_), Some(Fallback { name, port, .. })) => {
            text += &format!("    server {name}:{port} resolve{};\n", kept.behind(&["max_fails=0"]));
        }
        (Some(Rest { name: Some((name, port)), .. }), None) => {
            text += &format!("    server {name}:{port}{};\n", kept.behind(&[]));
        }
        _ => {
            for Server { address, .. } in servers {
                // With a backup nginx counts failures even of a lone server. One slow answer must not turn the traffic away
                // for the usual ten seconds.
                let patience: &[&str] = if fallback.is_some() { &["fail_timeout=1s"] } else { &[] };
                text += &format!("    server {address}{};\n", kept.behind(patience));
            }
            if servers.is_empty() {
                text += "    server 127.0.0.1:1 down;\n";
            }
        }
    }
    if let Some(Fallback { name, port, .. }) = fallback {
        // Never "failed" itself: otherwise a slow request that fails at both would take the whole upstream down.
        text += &format!("    server {name}:{port} resolve backup max_fails=0;\n");
    }
    text + "}\n"
}

/// Reads a file that [`render`] wrote. What nginx obeys is believed; the comments must agree with it.
pub fn parse(text: &str) -> Result<UpstreamFile, NotParsed> {
    let damaged = |what: String| NotParsed::Damaged(what);
    let comments = text.strip_prefix(TITLE).and_then(|rest| rest.strip_prefix('\n')).ok_or(NotParsed::Foreign)?;
    let mut header = Header::default();
    for line in comments.lines() {
        let Some(line) = line.strip_prefix("# ") else { break };
        let (key, value) = line.split_once(": ").ok_or_else(|| damaged(format!("the comment {line:?}")))?;
        // Whatever else there is, nobody shall be shown.
        if !value.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
            return Err(damaged(format!("the comment {line:?}")));
        }
        match key {
            "project" => header.project = Some(value.to_owned()),
            "service" => header.service = Some(value.to_owned()),
            "upstream" => header.upstream = Some(value.to_owned()),
            "run" => header.run = Some(value.to_owned()),
            "kept" => value.split(' ').for_each(|word| header.kept.parameter(word)),
            "at rest" => {
                header.rest = Some(Obeyed::parse(value).ok_or_else(|| damaged(format!("the comment {line:?}")))?);
            }
            "live" => header.servers.push(live(value).ok_or_else(|| damaged(format!("the comment {line:?}")))?),
            // A later swap may say more; what it says changes nothing here.
            _ => {}
        }
    }
    let missing = |key: &str| damaged(format!("no comment names the {key}"));
    let service: ServiceName = header.service.ok_or_else(|| missing("service"))?.parse().map_err(NotParsed::Damaged)?;
    let body = syntax::parse(text).map_err(|error| damaged(error.to_string()))?;
    let [Directive { name, arguments, block: Some(block), .. }] = body.as_slice() else {
        return Err(damaged("it does not hold exactly one upstream".to_owned()));
    };
    let upstream = header.upstream.map_or(Ok(service.clone()), |name| name.parse()).map_err(NotParsed::Damaged)?;
    if name != "upstream" || *arguments != [upstream.as_str()] {
        return Err(damaged(format!("`{name} {}` is not `upstream {upstream}`", arguments.join(" "))));
    }
    let body = Body::read(block)?;
    let said: BTreeSet<SocketAddr> = header.servers.iter().map(|server| server.address).collect();
    let by_name = header.rest.is_some() && body.name.is_some() && body.servers.is_empty();
    let same = said == body.servers.iter().copied().collect() && header.servers.len() == body.servers.len();
    if !by_name && (!same || body.name.is_some()) {
        return Err(damaged("its comments and its servers name different addresses".to_owned()));
    }
    let fallback = body.fallback();
    let name = body.name.filter(|_| fallback.is_none());
    Ok(UpstreamFile {
        run: RunId(header.run.ok_or_else(|| missing("run"))?),
        project: header.project.ok_or_else(|| missing("project"))?,
        service,
        upstream,
        servers: header.servers,
        fallback,
        kept: Kept { options: body.kept.options, ..header.kept },
        rest: header.rest.map(|obeyed| Rest { obeyed, name }),
    })
}

#[derive(Default)]
struct Header {
    project: Option<String>,
    service: Option<String>,
    upstream: Option<String>,
    run: Option<String>,
    servers: Vec<Server>,
    rest: Option<Obeyed>,
    kept: Kept,
}

#[derive(Default)]
struct Body {
    servers: Vec<SocketAddr>,
    resolver: Option<IpAddr>,
    backup: Option<(ServiceName, u16)>,
    name: Option<(ServiceName, u16)>,
    kept: Kept,
}

impl Body {
    fn read(block: &[Directive]) -> Result<Self, NotParsed> {
        let mut body = Body::default();
        for Directive { name, arguments, .. } in block {
            if body.kept.option(name, arguments) {
                continue;
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let strange = || {
                let words: Vec<&str> = std::iter::once(name.as_str()).chain(arguments.iter().copied()).collect();
                NotParsed::Damaged(format!("the line `{}`", words.join(" ").escape_debug()))
            };
            match (name.as_str(), arguments.as_slice()) {
                ("server", [_, "down"]) | ("zone", _) => {}
                ("server", [target, rest @ ..]) if rest.contains(&"backup") => {
                    body.backup = Some(named(target).ok_or_else(strange)?);
                }
                ("server", [target, ..]) => match target.parse() {
                    Ok(address) => body.servers.push(address),
                    Err(_) => body.name = Some(named(target).ok_or_else(strange)?),
                },
                ("resolver", [address, ..]) => {
                    let address = address.trim_start_matches('[').trim_end_matches(']');
                    body.resolver = Some(address.parse().map_err(|_| strange())?);
                }
                _ => return Err(strange()),
            }
        }
        Ok(body)
    }

    fn fallback(&self) -> Option<Fallback> {
        let (name, port) = self.backup.clone()?;
        Some(Fallback { name, resolver: self.resolver?, port })
    }
}

/// Reads a name with its port.
fn named(target: &str) -> Option<(ServiceName, u16)> {
    let (name, port) = target.rsplit_once(':')?;
    Some((name.parse().ok()?, port.parse().ok()?))
}

fn live(value: &str) -> Option<Server> {
    let mut words = value.split(' ');
    let (address, container, id) = (words.next()?, words.next()?, words.next()?);
    let address = address.parse().ok()?;
    words.next().is_none().then(|| Server { address, container: container.to_owned(), id: id.to_owned() })
}

/// One word of a comment: what could end the comment or the word becomes `?`.
fn word(text: &str) -> String {
    let word: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
    if word.is_empty() { "?".to_owned() } else { word }
}

fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutated::harmless;

    fn file() -> UpstreamFile {
        UpstreamFile {
            run: RunId("20260131-154502-9f3a".into()),
            project: "demo".into(),
            service: "app".parse().unwrap(),
            upstream: "app".parse().unwrap(),
            servers: vec![Server {
                address: "172.18.0.5:9000".parse().unwrap(),
                container: "demo-app-2".into(),
                id: "4f5e6d7c8b9a".into(),
            }],
            fallback: None,
            kept: Kept::default(),
            rest: None,
        }
    }

    fn rest(name: Option<(&str, u16)>) -> Option<Rest> {
        let obeyed = Obeyed {
            boot: "1b2c3d4e-5f60-4a1b-8c2d-3e4f5a6b7c8d".into(),
            master: Process { pid: 7, start: 123_456 },
            youngest: 234_567,
        };
        Some(Rest { obeyed, name: name.map(|(name, port)| (name.parse().unwrap(), port)) })
    }

    fn keepalive() -> Kept {
        Kept { options: vec!["keepalive 8".into()], parameters: vec!["max_fails=3".into()] }
    }

    fn fallback() -> Option<Fallback> {
        Some(Fallback { name: "app".parse().unwrap(), resolver: "127.0.0.11".parse().unwrap(), port: 9000 })
    }

    #[track_caller]
    fn check(file: UpstreamFile, expected: &str) {
        let text = render(&file);
        assert_eq!(text, expected);
        assert_eq!(parse(&text), Ok(file));
    }

    #[test]
    fn whatever_the_file_holds_gives_harmless_names_or_none() {
        let with = UpstreamFile { fallback: fallback(), kept: keepalive(), ..file() };
        let resting = UpstreamFile { rest: rest(None), ..with.clone() };
        let named = UpstreamFile { rest: rest(Some(("app", 9000))), ..file() };
        let corpus = [render(&file()), render(&with), render(&resting), render(&named)];
        crate::mutated::texts(&corpus.each_ref().map(String::as_str), |text| {
            let Ok(file) = parse(text) else { return };
            harmless("the project", &file.project);
            harmless("the run", &file.run.0);
            for server in &file.servers {
                harmless("a container", &server.container);
                harmless("an id", &server.id);
            }
            // What was understood is written again in a form that is understood.
            assert!(parse(&render(&file)).is_ok());
        });
    }

    #[test]
    fn an_upstream_of_another_name_names_the_service_by_what_only_it_is_called() {
        let name = |text: &str| text.parse::<ServiceName>().unwrap();
        let fallback = fallback().map(|fallback| Fallback { name: name("shop-web"), ..fallback });
        check(
            UpstreamFile { upstream: name("shop-app"), fallback, ..file() },
            "\
# Written by swap; do not edit: the next swap replaces it.
# project: demo
# service: app
# run: 20260131-154502-9f3a
# upstream: shop-app
# live: 172.18.0.5:9000 demo-app-2 4f5e6d7c8b9a
upstream shop-app {
    zone swap_shop-app 64k;
    resolver 127.0.0.11 valid=2s ipv6=off;
    server 172.18.0.5:9000 fail_timeout=1s;
    server shop-web:9000 resolve backup max_fails=0;
}
",
        );
    }

    #[test]
    fn a_file_says_whose_it_is_even_where_it_was_changed() {
        let ours = render(&file());
        assert_eq!((owner(&ours), is_ours(&ours)), (Some("demo"), true));
        let changed = ours.replace("upstream app", "upstream other, and more").replace("172.18.0.5:9000;", "x;");
        assert_eq!((owner(&changed), parse(&changed).is_err()), (Some("demo"), true));
        let theirs = "upstream app { server app:8000; }\n# project: demo\n";
        assert_eq!((owner(theirs), is_ours(theirs)), (None, false));
        assert_eq!(owner(&ours.replace("demo\n", "d\u{1b}[2Jo\n")), None);
    }

    #[test]
    fn whatever_containers_are_called_stays_in_its_comment() {
        let names = ["demo-app-1", "a\n}\nserver { listen 1;", "\u{1b}[2J", "../../etc", "", "a b", "\u{202e}x"];
        crate::mutated::texts(&names, |name| {
            let server = |server: Server| Server { container: name.to_owned(), id: name.to_owned(), ..server };
            let servers = file().servers.into_iter().map(server).collect();
            let text =
                render(&UpstreamFile { project: name.to_owned(), run: RunId(name.to_owned()), servers, ..file() });
            let read = parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
            assert_eq!(read.servers[0].address, file().servers[0].address);
            assert_eq!(text.lines().count(), 8, "{text}");
        });
    }

    #[test]
    fn a_live_container_is_named_by_address_and_in_the_header() {
        check(
            file(),
            "\
# Written by swap; do not edit: the next swap replaces it.
# project: demo
# service: app
# run: 20260131-154502-9f3a
# live: 172.18.0.5:9000 demo-app-2 4f5e6d7c8b9a
upstream app {
    server 172.18.0.5:9000;
}
",
        );
    }

    #[test]
    fn an_nginx_that_resolves_gets_the_name_as_backup() {
        check(
            UpstreamFile { fallback: fallback(), kept: Kept::of("upstream app { keepalive 32; }"), ..file() },
            "\
# Written by swap; do not edit: the next swap replaces it.
# project: demo
# service: app
# run: 20260131-154502-9f3a
# live: 172.18.0.5:9000 demo-app-2 4f5e6d7c8b9a
upstream app {
    keepalive 32;
    zone swap_app 64k;
    resolver 127.0.0.11 valid=2s ipv6=off;
    server 172.18.0.5:9000 fail_timeout=1s;
    server app:9000 resolve backup max_fails=0;
}
",
        );
    }

    #[test]
    fn at_rest_an_nginx_that_resolves_gets_the_name_alone() {
        check(
            UpstreamFile {
                fallback: fallback(),
                kept: Kept::of("upstream app { keepalive 32; }"),
                rest: rest(None),
                ..file()
            },
            "\
# Written by swap; do not edit: the next swap replaces it.
# project: demo
# service: app
# run: 20260131-154502-9f3a
# live: 172.18.0.5:9000 demo-app-2 4f5e6d7c8b9a
# at rest: 1b2c3d4e-5f60-4a1b-8c2d-3e4f5a6b7c8d 7:123456 234567
upstream app {
    keepalive 32;
    zone swap_app 64k;
    resolver 127.0.0.11 valid=2s ipv6=off;
    server app:9000 resolve max_fails=0;
    server app:9000 resolve backup max_fails=0;
}
",
        );
    }

    #[test]
    fn at_rest_an_older_nginx_gets_the_plain_name() {
        check(
            UpstreamFile { rest: rest(Some(("app", 9000))), ..file() },
            "\
# Written by swap; do not edit: the next swap replaces it.
# project: demo
# service: app
# run: 20260131-154502-9f3a
# live: 172.18.0.5:9000 demo-app-2 4f5e6d7c8b9a
# at rest: 1b2c3d4e-5f60-4a1b-8c2d-3e4f5a6b7c8d 7:123456 234567
upstream app {
    server app:9000;
}
",
        );
    }

    #[test]
    fn at_rest_an_nginx_that_can_not_ask_keeps_the_addresses() {
        check(
            UpstreamFile { rest: rest(None), ..file() },
            "\
# Written by swap; do not edit: the next swap replaces it.
# project: demo
# service: app
# run: 20260131-154502-9f3a
# live: 172.18.0.5:9000 demo-app-2 4f5e6d7c8b9a
# at rest: 1b2c3d4e-5f60-4a1b-8c2d-3e4f5a6b7c8d 7:123456 234567
upstream app {
    server 172.18.0.5:9000;
}
",
        );
    }

    #[test]
    fn a_generation_is_told_by_its_youngest_worker() {
        let process = |pid, start| Process { pid, start };
        let generation = |workers: &[Process]| Generation {
            boot: "5f2d".to_owned(),
            master: process(1, 10),
            workers: workers.to_vec(),
        };
        let before = Obeyed::of(&generation(&[process(20, 500), process(21, 501), process(9, 100)]));
        // One that shut down has ended.
        assert_eq!(Obeyed::of(&generation(&[process(21, 501), process(20, 500)])), before);
        assert_ne!(Obeyed::of(&generation(&[process(21, 501), process(30, 900)])), before);
        assert_eq!(Obeyed::of(&generation(&[])), None);
        let text = before.as_ref().unwrap().to_string();
        assert_eq!((text.as_str(), Obeyed::parse(&text)), ("5f2d 1:10 501", before));
    }

    #[test]
    fn replicas_and_ipv6_are_written() {
        let mut file = file();
        file.servers.push(Server {
            address: "[fd00::7]:9000".parse().unwrap(),
            container: "demo-app-3".into(),
            id: "0123456789ab".into(),
        });
        file.fallback =
            Some(Fallback { name: "app".parse().unwrap(), resolver: "fd00::1".parse().unwrap(), port: 9000 });
        check(
            file,
            "\
# Written by swap; do not edit: the next swap replaces it.
# project: demo
# service: app
# run: 20260131-154502-9f3a
# live: 172.18.0.5:9000 demo-app-2 4f5e6d7c8b9a
# live: [fd00::7]:9000 demo-app-3 0123456789ab
upstream app {
    zone swap_app 64k;
    resolver [fd00::1] valid=2s;
    server 172.18.0.5:9000 fail_timeout=1s;
    server [fd00::7]:9000 fail_timeout=1s;
    server app:9000 resolve backup max_fails=0;
}
",
        );
    }

    #[test]
    fn nothing_live_is_still_a_valid_file() {
        check(
            UpstreamFile { servers: Vec::new(), ..file() },
            "\
# Written by swap; do not edit: the next swap replaces it.
# project: demo
# service: app
# run: 20260131-154502-9f3a
upstream app {
    server 127.0.0.1:1 down;
}
",
        );
    }

    #[test]
    fn hostile_names_stay_in_their_comment() {
        let mut file = file();
        file.project = "x\n} server { listen 1; }".into();
        file.run = RunId(String::new());
        file.servers[0].container = "a b\r\u{2028}ü".into();
        file.servers[0].id = "0123456789abcdef".into();
        assert_eq!(
            render(&file),
            "\
# Written by swap; do not edit: the next swap replaces it.
# project: x?}?server?{?listen?1;?}
# service: app
# run: ?
# live: 172.18.0.5:9000 a?b??? 0123456789ab
upstream app {
    server 172.18.0.5:9000;
}
"
        );
    }

    #[test]
    fn what_people_changed_is_told_apart_from_what_they_wrote() {
        let ours = render(&file());
        let damaged = |what: &str| Err(NotParsed::Damaged(what.to_owned()));
        let cases = [
            ("upstream app { server app:9000; }\n".to_owned(), Err(NotParsed::Foreign)),
            (String::new(), Err(NotParsed::Foreign)),
            (
                ours.replace("server 172.18.0.5", "server 172.18.0.6"),
                damaged("its comments and its servers name different addresses"),
            ),
            (ours.replace("# service: app\n", ""), damaged("no comment names the service")),
            (ours.replace("# run: 20260131-154502-9f3a\n", ""), damaged("no comment names the run")),
            (ours.replace("# service: app", "# service: ../app"), damaged("`../app` is not a service name")),
            (ours.replace("upstream app", "upstream web"), damaged("`upstream web` is not `upstream app`")),
            (ours.replace("}\n", ""), damaged("line 6: the block of `upstream` is not closed")),
            (ours.replace("    server", "    ntlm;\n    server"), damaged("the line `ntlm`")),
            (ours.replace("server 172.18.0.5:9000", "server app"), damaged("the line `server app`")),
            (
                ours.replace("server 172.18.0.5:9000", "server app:9000"),
                damaged("its comments and its servers name different addresses"),
            ),
            (ours.replace("upstream app", "# at rest: no\nupstream app"), damaged("the comment \"at rest: no\"")),
            (format!("{ours}server {{}}\n"), damaged("it does not hold exactly one upstream")),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(&text), expected, "{text}");
        }
    }

    #[test]
    fn no_bytes_panic() {
        let whole =
            render(&UpstreamFile { fallback: fallback(), kept: Kept::of("upstream app { keepalive 1; }"), ..file() });
        let hostile = ["\0", "{", "}", ";", "\"", "'", "\\", "#", "\n", "\u{1b}[2J", "ü", "$", "${", " ", ":"];
        for (at, _) in whole.char_indices() {
            let _ = parse(&whole[..at]);
            for bytes in hostile {
                let _ = parse(&format!("{}{bytes}{}", &whole[..at], &whole[at..]));
                let _ = parse(&format!("{}{bytes}", &whole[..at]));
                let _ = parse(&format!("{}{bytes}{}", &whole[..at], &whole[at + 1..]));
            }
        }
    }

    #[test]
    fn what_people_had_said_of_the_upstream_is_kept() {
        let theirs = "upstream app {\n  hash \"$uri $host\" consistent;\n  zone a 64k;\n  server app:8000 max_fails=3 fail_timeout=5s;\n  \
                      keepalive 16;\n  keepalive_timeout 30s;\n}\n";
        let kept = Kept::of(theirs);
        assert!(!kept.allows_backup());
        check(
            UpstreamFile { kept: kept.clone(), ..file() },
            "\
# Written by swap; do not edit: the next swap replaces it.
# project: demo
# service: app
# run: 20260131-154502-9f3a
# live: 172.18.0.5:9000 demo-app-2 4f5e6d7c8b9a
# kept: max_fails=3 fail_timeout=5s
upstream app {
    hash \"$uri $host\" consistent;
    keepalive 16;
    keepalive_timeout 30s;
    server 172.18.0.5:9000 max_fails=3 fail_timeout=5s;
}
",
        );
        // Each file hands it on to the next one.
        assert_eq!(Kept::of(&render(&UpstreamFile { kept: kept.clone(), ..file() })), kept);
        let resting = UpstreamFile { kept: kept.clone(), rest: rest(Some(("app", 9000))), ..file() };
        assert!(render(&resting).contains("    server app:9000 max_fails=3 fail_timeout=5s;\n"));
        assert_eq!(Kept::of(&render(&resting)), kept);
        // What is said of failures takes the place of what swap says by itself.
        let with = UpstreamFile { fallback: fallback(), kept: Kept { options: Vec::new(), ..kept }, ..file() };
        assert!(
            render(&with).contains("    server 172.18.0.5:9000 max_fails=3 fail_timeout=5s;\n"),
            "{}",
            render(&with)
        );
    }
}
