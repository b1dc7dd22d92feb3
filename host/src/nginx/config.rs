//! What `nginx -V` and `nginx -T` tell: version, paths, who uses a service, what is set, and mistakes with their cures. Pure.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::syntax::{self, Directive};
use super::tuning::TUNING_FILE;
use super::upstream::file_name;
use crate::model::{Failure, ServiceName, is_control, printable};

/// The version of nginx's core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u16, pub u16, pub u16);

impl Version {
    /// Tells whether `server name resolve` works in an `upstream`: from 1.27.3.
    pub fn knows_resolve(self) -> bool {
        self >= Version(1, 27, 3)
    }

    /// Tells whether a reload can spare keep-alive clients: from 1.27.4.
    pub fn knows_keepalive_min_timeout(self) -> bool {
        self >= Version(1, 27, 4)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What was built in, as `nginx -V` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Build {
    pub version: Version,
    pub prefix: String,
    pub conf_path: String,
    pub pid_path: String,
    pub error_log: String,
}

/// nginx's whole configuration, as far as swap cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The version of nginx's core.
    pub version: Version,
    /// What relative paths of logs and pid file start from.
    pub prefix: String,
    /// The main configuration file.
    pub conf_path: String,
    /// The file with the master's pid.
    pub pid_path: String,
    /// Where the master says why it refused a reload.
    pub error_log: ErrorLog,
    /// The line by which nginx reads swap's folder, if there is one in `http`.
    pub include: Option<Include>,
    /// Where the service is used.
    pub passes: Vec<Pass>,
    /// The settings that matter to a reload, as somebody wrote them outside of swap's own file: name to value.
    pub settings: BTreeMap<String, String>,
    /// What must be corrected before swap can switch, each with its cure.
    pub mistakes: Vec<Failure>,
    /// What swap cannot switch though it names the service, each with what to do about it.
    pub warnings: Vec<Failure>,
}

/// Where nginx's main log goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorLog {
    /// A file, which may be a link to the standard error.
    File(String),
    /// The standard error.
    Stderr,
    /// syslog or memory: out of reach.
    Elsewhere,
}

/// The `include` that makes nginx read swap's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The folder, absolute, as `/etc/nginx/swap`.
    pub folder: String,
    /// The pattern as written, as `/etc/nginx/swap/*.conf`.
    pub pattern: String,
    /// File and line, as `/etc/nginx/nginx.conf:12`.
    pub place: String,
}

/// A line that passes requests to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// `proxy_pass`, `fastcgi_pass`, `grpc_pass`, `uwsgi_pass` or `scgi_pass`.
    pub directive: String,
    /// Its argument as written.
    pub value: String,
    /// File and line.
    pub place: String,
    /// Whether swap's upstream gets these requests.
    pub target: Target,
}

/// What a pass of requests leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The upstream by its name: a switch moves it.
    Upstream,
    /// The name with a port: nginx refuses that beside the upstream, or, through a variable, goes past it.
    NameWithPort(u16),
}

/// The settings that matter to a reload.
const SETTINGS: [&str; 5] =
    ["keepalive_min_timeout", "client_header_timeout", "worker_shutdown_timeout", "daemon", "master_process"];
pub(super) const PASSES: [&str; 5] = ["proxy_pass", "fastcgi_pass", "grpc_pass", "uwsgi_pass", "scgi_pass"];
/// More directives than this, counted through all includes, are not read on: far beyond what nginx is used with.
const MOST_DIRECTIVES: usize = 1_000_000;
/// Includes within includes beyond this are not followed.
const DEEPEST_INCLUDE: usize = 12;

/// Reads the answer of `nginx -V`.
pub(super) fn build(text: &str) -> Result<Build, Failure> {
    let odd = || Failure::new("`nginx -V` did not tell its version").tail(text.lines().take(5).map(str::to_owned));
    // Tengine and others print a line of their own first; `nginx version: openresty/1.25.3.1` begins with the core's.
    let line = text.lines().find_map(|line| line.strip_prefix("nginx version: ")).ok_or_else(odd)?;
    let numbers = line.split_once('/').map(|(_, rest)| rest).ok_or_else(odd)?;
    let mut numbers = numbers.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u16>().unwrap_or_default());
    let version = Version(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version == Version(0, 0, 0) {
        return Err(odd());
    }
    let configured = text.lines().find_map(|line| line.strip_prefix("configure arguments: ")).unwrap_or_default();
    let option = |name: &str| {
        let (_, rest) = configured.split_once(&format!("{name}="))?;
        Some(rest.split([' ', '\'', '"']).next().unwrap_or_default().to_owned())
    };
    let prefix = option("--prefix").unwrap_or_else(|| "/usr/local/nginx".to_owned());
    let path = |name: &str, usual: &str| absolute(&prefix, &option(name).unwrap_or_else(|| usual.to_owned()));
    Ok(Build {
        version,
        conf_path: path("--conf-path", "conf/nginx.conf"),
        pid_path: path("--pid-path", "logs/nginx.pid"),
        error_log: path("--error-log-path", "logs/error.log"),
        prefix,
    })
}

/// Reads the answers of `nginx -V` and `nginx -T`, run with these arguments, for one service.
///
/// `folder` is where swap's files are to be; by default the folder called `swap` that `http` includes.
pub fn read(
    version: &str,
    dump: &str,
    arguments: &[String],
    service: &ServiceName,
    folder: Option<&str>,
) -> Result<Configuration, Failure> {
    let build = build(version)?;
    let option = |name: &str| arguments.chunks(2).find(|pair| pair[0] == name).and_then(|pair| pair.get(1));
    let prefix = option("-p").unwrap_or(&build.prefix).clone();
    let conf_path = absolute(&prefix, option("-c").unwrap_or(&build.conf_path));
    let files = Files::read(dump, conf_path.rsplit_once('/').map_or("/", |(folder, _)| folder));
    let mut reading = Reading::new(&files, service, folder);
    if let Some(global) = option("-g") {
        let global = syntax::parse(global).unwrap_or_default();
        reading.walk(&global, "-g", &mut Vec::new());
    }
    let Some((main, _)) = files.texts.first() else {
        return Err(Failure::new("`nginx -T` printed no configuration"));
    };
    reading.file(main, &mut Vec::new());
    let pid_path =
        reading.pid.take().map_or_else(|| absolute(&prefix, &build.pid_path), |path| absolute(&prefix, &path));
    let error_log = match reading.error_log.take().as_deref().or(option("-e").map(String::as_str)) {
        Some("stderr") => ErrorLog::Stderr,
        Some(log) if log.starts_with("syslog:") || log.starts_with("memory:") => ErrorLog::Elsewhere,
        Some(file) => ErrorLog::File(absolute(&prefix, file)),
        None => ErrorLog::File(absolute(&prefix, &build.error_log)),
    };
    let (include, passes) = (reading.include(), reading.passes());
    let (mut mistakes, mut warnings) = (std::mem::take(&mut reading.mistakes), std::mem::take(&mut reading.warnings));
    reading.judge(include.as_ref(), &passes, &mut mistakes, &mut warnings);
    Ok(Configuration {
        version: build.version,
        prefix,
        conf_path,
        pid_path,
        error_log,
        include,
        passes,
        settings: reading.settings,
        mistakes,
        warnings,
    })
}

/// Returns the path as nginx understands it.
fn absolute(prefix: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", prefix.trim_end_matches('/')) }
}

/// The files that `nginx -T` printed, in its order: the main file is first.
struct Files {
    /// The folder of the main file: relative includes start there.
    base: String,
    texts: Vec<(String, Vec<Directive>)>,
    index: HashMap<String, usize>,
    warnings: Vec<Failure>,
}

impl Files {
    fn read(dump: &str, base: &str) -> Self {
        let mut texts: Vec<(String, String)> = Vec::new();
        for line in dump.lines() {
            let path = line.strip_prefix("# configuration file ").and_then(|rest| rest.strip_suffix(':'));
            match (path, texts.last_mut()) {
                (Some(path), _) => texts.push((path.to_owned(), String::new())),
                (None, Some((_, text))) => {
                    text.push_str(line);
                    text.push('\n');
                }
                (None, None) => {}
            }
        }
        let mut files = Files { base: base.to_owned(), texts: Vec::new(), index: HashMap::new(), warnings: Vec::new() };
        for (path, text) in texts {
            // nginx has accepted all of them. One that swap can't read may be of a module with a language of its own.
            let directives = syntax::parse(&text).unwrap_or_else(|error| {
                let what = format!("swap does not understand nginx's configuration `{}`: {error}", printable(&path));
                files.warnings.push(Failure::new(what).hint("what that file sets or uses is not seen"));
                Vec::new()
            });
            files.index.insert(path.clone(), files.texts.len());
            files.texts.push((path, directives));
        }
        files
    }

    /// The files that an include reads.
    fn included(&self, pattern: &str) -> Vec<&str> {
        let pattern = absolute(&self.base, pattern);
        if let Some((path, _)) = self.index.get(&pattern).map(|at| &self.texts[*at]) {
            return vec![path];
        }
        if !pattern.contains(['*', '?', '[']) {
            return Vec::new();
        }
        self.texts.iter().map(|(path, _)| path.as_str()).filter(|path| covers(&pattern, path)).collect()
    }
}

/// Tells whether a shell pattern covers a path: `*` and `?` cross no `/` and start at no dot.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) => {
                let hidden = name.starts_with('.') && !pattern.starts_with('.');
                if hidden || !matches(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>()) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// Greedy match with one point of return, so that no pattern takes exponential time.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(&pattern[p..], name[n]),
            Some(c) if *c == name[n] => Some(1),
            _ => None,
        };
        match (step, back) {
            (Some(step), _) => (p, n) = (p + step, n + 1),
            (None, Some((star, at))) => {
                (p, n) = (star + 1, at + 1);
                back = Some((star, at + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Matches one character with `[a-z]` or `[!a]`; answers how long the class is.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let close = 2 + pattern.get(2..)?.iter().position(|c| *c == ']')?;
    let (negated, body) = match pattern[1] {
        '!' | '^' => (true, &pattern[2..close]),
        _ => (false, &pattern[1..close]),
    };
    let mut found = false;
    let mut at = 0;
    while at < body.len() {
        if at + 2 < body.len() && body[at + 1] == '-' {
            found |= (body[at]..=body[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= body[at] == c;
            at += 1;
        }
    }
    (found != negated).then_some(close + 1)
}

/// A directive's place among the blocks, and its text.
struct Seen {
    context: String,
    arguments: Vec<String>,
    place: String,
    file: String,
}

/// One walk through all files, in nginx's order.
struct Reading<'a> {
    files: &'a Files,
    service: &'a ServiceName,
    folder: Option<&'a str>,
    seen: usize,
    settings: BTreeMap<String, String>,
    pid: Option<String>,
    error_log: Option<String>,
    includes: Vec<Seen>,
    upstreams: Vec<Seen>,
    raw_passes: Vec<(String, Seen)>,
    variables: HashMap<String, Vec<String>>,
    mistakes: Vec<Failure>,
    warnings: Vec<Failure>,
}

impl<'a> Reading<'a> {
    fn new(files: &'a Files, service: &'a ServiceName, folder: Option<&'a str>) -> Self {
        Reading {
            files,
            service,
            folder,
            seen: 0,
            settings: BTreeMap::new(),
            pid: None,
            error_log: None,
            includes: Vec::new(),
            upstreams: Vec::new(),
            raw_passes: Vec::new(),
            variables: HashMap::new(),
            mistakes: Vec::new(),
            warnings: files.warnings.clone(),
        }
    }

    fn judge(
        &self,
        include: Option<&Include>,
        passes: &[Pass],
        mistakes: &mut Vec<Failure>,
        warnings: &mut Vec<Failure>,
    ) {
        let service = self.service;
        let own = include.map(|include| format!("{}/{}", include.folder, file_name(service)));
        for Seen { context, place, file, .. } in &self.upstreams {
            if context == "http" && Some(file) != own.as_ref() {
                mistakes.push(
                    Failure::new(format!("the upstream `{service}` is already defined at {place}"))
                        .hint(format!("remove that `upstream {service} {{ … }}`: swap writes it from now on")),
                );
            }
        }
        for Pass { directive, value, place, target } in passes {
            let Target::NameWithPort(port) = target else { continue };
            let what = format!("`{directive} {value}` at {place} names a port, which an upstream's name may not have");
            let cure = value.replacen(&format!("{service}:{port}"), service.as_str(), 1);
            if value.contains('$') {
                warnings.push(
                    Failure::new(format!(
                        "`{directive} {value}` at {place} goes past swap's upstream, because of its port"
                    ))
                    .hint(format!("leave `:{port}` out: the upstream knows the port")),
                );
            } else {
                mistakes.push(Failure::new(what).hint(format!("write `{directive} {cure};`")));
            }
        }
        if include.is_none() {
            let folder = self.folder.unwrap_or(super::DEFAULT_FOLDER);
            let elsewhere = self.includes.iter().find(|seen| {
                seen.context != "http" && self.swap_folder(&absolute(&self.files.base, &seen.arguments[0])).is_some()
            });
            mistakes.push(match elsewhere {
                Some(Seen { context, place, arguments, .. }) => {
                    let context = if context.is_empty() { "no block" } else { context };
                    Failure::new(format!("`include {}` at {place} stands in {context}, not in http", arguments[0]))
                        .hint("move that line into the `http` block")
                }
                None => Failure::new(format!("nginx does not read `{folder}/{}`", file_name(service))).hint(format!(
                    "write `include {folder}/*.conf;` into the `http` block of {}",
                    self.files.texts[0].0
                )),
            });
        }
        if self.settings.get("master_process").is_some_and(|value| value == "off") {
            mistakes.push(
                Failure::new(
                    "nginx runs with `master_process off`, so it has no worker that could finish old requests",
                )
                .hint("remove `master_process off;`"),
            );
        }
    }

    /// The folder that an absolute pattern reads, if it is swap's and the pattern covers the service's file.
    fn swap_folder(&self, pattern: &str) -> Option<String> {
        let (folder, _) = pattern.rsplit_once('/')?;
        let wanted = match self.folder {
            Some(wanted) => wanted.trim_end_matches('/') == folder,
            None => folder.rsplit('/').next() == Some("swap"),
        };
        (wanted && covers(pattern, &format!("{folder}/{}", file_name(self.service)))).then(|| folder.to_owned())
    }

    fn include(&self) -> Option<Include> {
        self.includes.iter().filter(|seen| seen.context == "http").find_map(|seen| {
            let folder = self.swap_folder(&absolute(&self.files.base, &seen.arguments[0]))?;
            // No folder that swap could name in a message or in a file's comment.
            if folder.chars().any(is_control) {
                return None;
            }
            Some(Include { folder, pattern: seen.arguments[0].clone(), place: seen.place.clone() })
        })
    }

    fn passes(&self) -> Vec<Pass> {
        let pass = |(directive, seen): &(String, Seen)| {
            let value = seen.arguments.first()?;
            let target =
                self.targets(value).into_iter().max_by_key(|target| matches!(target, Target::NameWithPort(_)))?;
            Some(Pass { directive: directive.clone(), value: value.clone(), place: seen.place.clone(), target })
        };
        self.raw_passes.iter().filter_map(pass).collect()
    }

    /// What a value leads to, variables replaced by all that is ever put into them.
    fn targets(&self, value: &str) -> Vec<Target> {
        let mut values = vec![value.to_owned()];
        // A variable may be made of others; three rounds are more than configurations have.
        for _ in 0..3 {
            values = values.iter().flat_map(|value| self.substituted(value)).take(1000).collect();
        }
        values.iter().filter_map(|value| target(value, self.service)).collect()
    }

    fn substituted(&self, value: &str) -> Vec<String> {
        let Some((before, rest)) = value.split_once('$') else { return vec![value.to_owned()] };
        let braced = rest.starts_with('{');
        let rest = rest.trim_start_matches('{');
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let after = if braced { after.strip_prefix('}').unwrap_or(after) } else { after };
        match self.variables.get(name) {
            Some(values) => values.iter().map(|value| format!("{before}{value}{after}")).collect(),
            None => vec![value.to_owned()],
        }
    }
}

/// What a pass without variables leads to: `http://app/path`, `app`, `grpc://app:50051`.
fn target(value: &str, service: &ServiceName) -> Option<Target> {
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '$']).next()?;
    let (name, port) = match authority.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (authority, None),
    };
    if !name.eq_ignore_ascii_case(service.as_str()) {
        return None;
    }
    match port {
        None => Some(Target::Upstream),
        Some(port) => port.parse().ok().map(Target::NameWithPort),
    }
}

impl Reading<'_> {
    fn file(&mut self, path: &str, context: &mut Vec<String>) {
        let files = self.files;
        if let Some(at) = files.index.get(path) {
            let (path, directives) = &files.texts[*at];
            self.walk(directives, path, context);
        }
    }

    fn walk(&mut self, directives: &[Directive], file: &str, context: &mut Vec<String>) {
        let files = self.files;
        // A file that includes itself ends here; nginx refuses it long before.
        if context.iter().filter(|name| *name == "include").count() > DEEPEST_INCLUDE {
            return;
        }
        for Directive { name, arguments, block, line, .. } in directives {
            self.seen += 1;
            if self.seen > MOST_DIRECTIVES {
                return;
            }
            let seen = || Seen {
                context: context.iter().filter(|name| *name != "include").cloned().collect::<Vec<_>>().join(" "),
                arguments: arguments.clone(),
                place: printable(&format!("{file}:{line}")),
                file: file.to_owned(),
            };
            match (name.as_str(), arguments.as_slice()) {
                ("include", [pattern]) => {
                    self.includes.push(seen());
                    context.push("include".to_owned());
                    for path in files.included(pattern) {
                        self.file(path, context);
                    }
                    context.pop();
                }
                ("upstream", [name]) if name.eq_ignore_ascii_case(self.service.as_str()) => self.upstreams.push(seen()),
                ("set", [name, value]) => self.variable(name, value),
                ("map" | "geo" | "split_clients", [.., name]) => {
                    for Directive { arguments, .. } in block.iter().flatten() {
                        if let Some(value) = arguments.last() {
                            self.variable(name, value);
                        }
                    }
                    continue;
                }
                ("pid", [path]) => self.pid = Some(path.clone()),
                ("error_log", [path, ..]) if seen().context.is_empty() => {
                    _ = self.error_log.get_or_insert(path.clone())
                }
                (pass, [value, ..]) if PASSES.contains(&pass) => {
                    let seen = seen();
                    if seen.context.starts_with("stream") {
                        self.stream_pass(value, &seen.place);
                    } else {
                        self.raw_passes.push((name.clone(), seen));
                    }
                }
                (setting, [value]) if SETTINGS.contains(&setting) => {
                    let own = file.rsplit('/').next() == Some(TUNING_FILE);
                    let context = seen().context;
                    if !own && (context.is_empty() || context == "http") {
                        self.settings.insert(name.clone(), value.clone());
                    }
                }
                _ => {}
            }
            if let Some(block) = block {
                context.push(name.clone());
                self.walk(block, file, context);
                context.pop();
            }
        }
    }

    fn variable(&mut self, name: &str, value: &str) {
        let name = name.trim_start_matches('$');
        self.variables.entry(name.to_owned()).or_default().push(value.to_owned());
    }

    fn stream_pass(&mut self, value: &str, place: &str) {
        if target(value, self.service).is_some() {
            let service = self.service;
            self.warnings.push(
                Failure::new(format!(
                    "`proxy_pass {}` at {place} is in `stream`, which swap does not switch",
                    printable(value)
                ))
                .hint(format!("its connections to `{service}` are cut when the old container stops")),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "nginx version: nginx/1.22.1
built with OpenSSL 3.0.22
configure arguments: --with-cc-opt='-g -O2' --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf --error-log-path=stderr.log --pid-path=/run/nginx.pid --with-threads
";

    fn show(version: &str, dump: &str, arguments: &[&str], folder: Option<&str>) -> String {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let configuration = match read(version, dump, &arguments, &"app".parse().unwrap(), folder) {
            Ok(configuration) => configuration,
            Err(failure) => return format!("{failure}\n"),
        };
        let Configuration {
            version,
            prefix,
            conf_path,
            pid_path,
            error_log,
            include,
            passes,
            settings,
            mistakes,
            warnings,
        } = configuration;
        let mut text = format!("{version} {prefix} {conf_path} {pid_path} {error_log:?}\n");
        if let Some(Include { folder, pattern, place }) = include {
            text += &format!("include {folder} by {pattern} at {place}\n");
        }
        for Pass { directive, value, place, target } in passes {
            text += &format!("{directive} {value} at {place}: {target:?}\n");
        }
        for (name, value) in settings {
            text += &format!("{name} = {value}\n");
        }
        for (kind, failures) in [("mistake", mistakes), ("warning", warnings)] {
            for Failure { what, hint, .. } in failures {
                text += &format!("{kind}: {what}\n  hint: {}\n", hint.unwrap_or_default());
            }
        }
        text
    }

    #[track_caller]
    fn check(dump: &str, expected: &str) {
        assert_eq!(show(DEBIAN, dump, &[], None), expected);
    }

    const HEAD: &str =
        "1.22.1 /usr/share/nginx /etc/nginx/nginx.conf /run/nginx.pid File(\"/usr/share/nginx/stderr.log\")\n";

    #[test]
    fn a_good_configuration_tells_folder_uses_and_settings() {
        let dump = "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok
# configuration file /etc/nginx/nginx.conf:
error_log /var/log/nginx/error.log notice;
pid /var/run/nginx.pid;
worker_shutdown_timeout 10s;
http {
    include mime.types; # types
    keepalive_min_timeout 1s;
    include swap/*.conf;
    include /etc/nginx/conf.d/*.conf;
}

# configuration file /etc/nginx/mime.types:
types { text/html html; }

# configuration file /etc/nginx/swap/app.conf:
upstream app { server 172.18.0.5:9000; }

# configuration file /etc/nginx/swap/swap-tuning.conf:
client_header_timeout 5s;

# configuration file /etc/nginx/conf.d/default.conf:
server {
    location / { proxy_pass http://app; }
    location /api { proxy_pass http://APP/v1/; }
    location ~ \\.php$ { fastcgi_pass app; }
    location /other { proxy_pass http://apple; }
}
";
        check(
            dump,
            "1.22.1 /usr/share/nginx /etc/nginx/nginx.conf /var/run/nginx.pid File(\"/var/log/nginx/error.log\")
include /etc/nginx/swap by swap/*.conf at /etc/nginx/nginx.conf:7
proxy_pass http://app at /etc/nginx/conf.d/default.conf:2: Upstream
proxy_pass http://APP/v1/ at /etc/nginx/conf.d/default.conf:3: Upstream
fastcgi_pass app at /etc/nginx/conf.d/default.conf:4: Upstream
keepalive_min_timeout = 1s
worker_shutdown_timeout = 10s
",
        );
    }

    #[test]
    fn mistakes_come_with_their_cures() {
        let dump = "# configuration file /etc/nginx/nginx.conf:
master_process off;
http {
    upstream app { server app:80; }
    server {
        include /etc/nginx/swap/*.conf;
        location / { proxy_pass http://app:80/x; }
        location /f { fastcgi_pass app:9000; }
    }
}
stream { server { listen 1; proxy_pass app:5432; } }
";
        check(
            dump,
            &format!(
                "{HEAD}proxy_pass http://app:80/x at /etc/nginx/nginx.conf:6: NameWithPort(80)
fastcgi_pass app:9000 at /etc/nginx/nginx.conf:7: NameWithPort(9000)
master_process = off
mistake: the upstream `app` is already defined at /etc/nginx/nginx.conf:3
  hint: remove that `upstream app {{ … }}`: swap writes it from now on
mistake: `proxy_pass http://app:80/x` at /etc/nginx/nginx.conf:6 names a port, which an upstream's name may not have
  hint: write `proxy_pass http://app/x;`
mistake: `fastcgi_pass app:9000` at /etc/nginx/nginx.conf:7 names a port, which an upstream's name may not have
  hint: write `fastcgi_pass app;`
mistake: `include /etc/nginx/swap/*.conf` at /etc/nginx/nginx.conf:5 stands in http server, not in http
  hint: move that line into the `http` block
mistake: nginx runs with `master_process off`, so it has no worker that could finish old requests
  hint: remove `master_process off;`
warning: `proxy_pass app:5432` at /etc/nginx/nginx.conf:10 is in `stream`, which swap does not switch
  hint: its connections to `app` are cut when the old container stops
"
            ),
        );
    }

    #[test]
    fn variables_are_followed() {
        let dump = "# configuration file /etc/nginx/nginx.conf:
http {
    include swap/*.conf;
    map $host $backend { default app; x.org other; }
    server {
        set $up http://$backend;
        location /a { proxy_pass $up; }
        location /b { proxy_pass http://app$request_uri; }
        location /c { proxy_pass http://${backend}:9000; }
        location /d { set $self $self$self; proxy_pass http://$self; }
        location /e { proxy_pass http://$unknown; }
    }
}
";
        check(
            dump,
            &format!(
                "{HEAD}include /etc/nginx/swap by swap/*.conf at /etc/nginx/nginx.conf:2
proxy_pass $up at /etc/nginx/nginx.conf:6: Upstream
proxy_pass http://app$request_uri at /etc/nginx/nginx.conf:7: Upstream
proxy_pass http://${{backend}}:9000 at /etc/nginx/nginx.conf:8: NameWithPort(9000)
warning: `proxy_pass http://${{backend}}:9000` at /etc/nginx/nginx.conf:8 goes past swap's upstream, because of its port
  hint: leave `:9000` out: the upstream knows the port
"
            ),
        );
    }

    #[test]
    fn a_missing_include_is_told_with_the_line_to_write() {
        check(
            "# configuration file /etc/nginx/nginx.conf:\nhttp { include swap/web.conf; include swaps/*.conf; }\n",
            &format!(
                "{HEAD}mistake: nginx does not read `/etc/nginx/swap/app.conf`
  hint: write `include /etc/nginx/swap/*.conf;` into the `http` block of /etc/nginx/nginx.conf
"
            ),
        );
    }

    #[test]
    fn options_and_settings_override_what_was_built_in() {
        let dump = "# configuration file /srv/n/x.conf:\nerror_log stderr;\nhttp { include up/*.conf; }\n";
        let options = ["-p", "/srv/n", "-c", "x.conf", "-g", "daemon off; pid run/p;", "-e", "/e.log"];
        assert_eq!(
            show("nginx version: openresty/1.27.4.1 (x)\n", dump, &options, Some("/srv/n/up/")),
            "1.27.4 /srv/n /srv/n/x.conf /srv/n/run/p Stderr\ninclude /srv/n/up by up/*.conf at /srv/n/x.conf:2\ndaemon = off\n"
        );
    }

    #[test]
    fn what_can_not_be_read_is_told() {
        let refused = "`nginx -V` did not tell its version\n";
        assert_eq!(show("sh: nginx: not found\n", "", &[], None), refused);
        assert_eq!(show("nginx version: nginx/x\n", "", &[], None), refused);
        assert_eq!(show(DEBIAN, "", &[], None), "`nginx -T` printed no configuration\n");
        check(
            "# configuration file /etc/nginx/nginx.conf:\nhttp { include swap/*.conf; include x; }\n# configuration file /etc/nginx/x:\n}\n",
            &format!(
                "{HEAD}include /etc/nginx/swap by swap/*.conf at /etc/nginx/nginx.conf:1
warning: swap does not understand nginx's configuration `/etc/nginx/x`: line 1: `}}` closes nothing
  hint: what that file sets or uses is not seen
"
            ),
        );
    }

    #[test]
    fn whatever_nginx_prints_gives_a_harmless_folder_or_none() {
        let dump = "# configuration file /etc/nginx/nginx.conf:\nerror_log stderr notice;\nhttp {\n  include swap/*.conf;\n  \
                    map $host $to { default app; ~^b app; }\n  server { location / { proxy_pass http://$to; } }\n  \
                    upstream app { server app:80; }\n}\n\n# configuration file /etc/nginx/swap/app.conf:\n\
                    upstream app { server 172.18.0.5:9000; }\n";
        crate::mutated::texts(&[dump, DEBIAN], |text| {
            for (version, dump) in [(DEBIAN, text), (text, dump)] {
                let arguments = ["-c".to_owned(), text.to_owned()];
                let none: &[String] = &[];
                for arguments in [&arguments[..], none] {
                    let read = read(version, dump, arguments, &"app".parse().unwrap(), None);
                    if let Ok(Configuration { include: Some(include), .. }) = read {
                        crate::mutated::harmless("the folder", &include.folder);
                    }
                }
            }
        });
    }

    #[test]
    fn includes_in_a_circle_end() {
        show(
            DEBIAN,
            "# configuration file /etc/nginx/nginx.conf:\nhttp { include nginx.conf; include nginx.conf; }\n",
            &[],
            None,
        );
    }

    #[test]
    fn patterns_cover_as_a_shell_would() {
        for (pattern, path, expected) in [
            ("/a/*.conf", "/a/app.conf", true),
            ("/a/*.conf", "/a/.app.conf", false),
            ("/a/*.conf", "/a/b/app.conf", false),
            ("/a/*.conf", "/a/.app.conf.swap-new", false),
            ("/*/a?p.conf", "/a/app.conf", true),
            ("/a/[a-c]pp.*", "/a/app.conf", true),
            ("/a/[!a-c]pp.*", "/a/app.conf", false),
            ("/a/[", "/a/[", false),
            ("/a/*a*a*a*a*a*a*b", "/a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(covers(pattern, path), expected, "{pattern} {path}");
        }
    }
}
