//! What `nginx -V` and `nginx -T` tell: version, paths, who uses a service, what is set, and mistakes with their cures. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::doors::{self, Door};
use super::dump::{Dump, Listener, Statement, absolute, covers};
use super::syntax;
use super::tuning::TUNING_FILE;
use super::upstream::{self, file_name};
use super::ways::{self, Realm, Upstream, Ways};
use crate::model::{Failure, ServiceName};
use crate::text::is_control;

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
    /// Where nginx sends requests.
    pub ways: Arc<Ways>,
    /// Where requests come in.
    pub doors: Arc<Vec<Door>>,
    /// The settings that matter to a reload, as somebody wrote them outside of swap's own file: name to value.
    pub settings: BTreeMap<String, String>,
    /// The files that swap wrote.
    pub written: Arc<Vec<Written>>,
    /// What must be corrected before swap can switch, each with its cure. Ways that go past swap are not among them:
    /// [`reach`](super::reach) finds those.
    pub mistakes: Vec<Failure>,
}

/// A file of the configuration that swap wrote for some upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its path as nginx prints it.
    pub path: String,
    /// The project that it says it belongs to.
    pub project: String,
    /// The service that it says it belongs to.
    pub service: String,
    /// What the upstream is called, which is the name of the file.
    pub upstream: String,
}

impl Written {
    fn read(path: &str, text: &str) -> Option<Self> {
        let upstream = path.rsplit('/').next()?.strip_suffix(".conf")?;
        let written = Written {
            path: path.to_owned(),
            project: upstream::said(text, "project")?.to_owned(),
            service: upstream::said(text, "service")?.to_owned(),
            upstream: upstream.to_owned(),
        };
        (!path.chars().any(is_control)).then_some(written)
    }
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

impl Include {
    /// Returns the path of the service's file there.
    pub fn file(&self, service: &ServiceName) -> String {
        format!("{}/{}", self.folder, file_name(service))
    }
}

/// The settings that matter to a reload.
const SETTINGS: [&str; 5] =
    ["keepalive_min_timeout", "client_header_timeout", "worker_shutdown_timeout", "daemon", "master_process"];

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

/// What the answers of `nginx -V` and `nginx -T` tell, whatever service is asked about: it is read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    build: Build,
    prefix: String,
    conf_path: String,
    pid_path: String,
    error_log: ErrorLog,
    /// The main file as it was printed, and the folder where relative includes start.
    main: (String, String),
    settings: BTreeMap<String, String>,
    includes: Vec<IncludeLine>,
    upstreams: Vec<Upstream>,
    ways: Arc<Ways>,
    doors: Arc<Vec<Door>>,
    written: Arc<Vec<Written>>,
}

/// An `include` anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IncludeLine {
    /// The blocks around it, as `http server`.
    context: String,
    pattern: String,
    place: String,
}

/// Reads the answers of `nginx -V` and `nginx -T`, run with these arguments.
pub fn read(version: &str, dump: &str, arguments: &[String]) -> Result<Reading, Failure> {
    let build = build(version)?;
    let option = |name: &str| arguments.chunks(2).find(|pair| pair[0] == name).and_then(|pair| pair.get(1));
    let prefix = option("-p").unwrap_or(&build.prefix).clone();
    let conf_path = absolute(&prefix, option("-c").unwrap_or(&build.conf_path));
    let dump = Dump::of(dump, conf_path.rsplit_once('/').map_or("/", |(folder, _)| folder));
    let Some(main) = dump.main() else {
        return Err(Failure::new("`nginx -T` printed no configuration"));
    };
    let mut told = Told::default();
    for directive in option("-g").map(|global| syntax::parse(global).unwrap_or_default()).unwrap_or_default() {
        let arguments: Vec<_> = directive.arguments.into_iter().map(Into::into).collect();
        let (name, line) = (directive.name.as_str(), directive.line);
        told.note(&Statement { name, arguments: &arguments, opens: false, file: "-g", line, blocks: &[] });
    }
    let unread = dump.walk(&mut told);
    let pid_path = absolute(&prefix, told.pid.as_deref().unwrap_or(&build.pid_path));
    let error_log = match told.error_log.as_deref().or(option("-e").map(String::as_str)) {
        Some("stderr") => ErrorLog::Stderr,
        Some(log) if log.starts_with("syslog:") || log.starts_with("memory:") => ErrorLog::Elsewhere,
        Some(file) => ErrorLog::File(absolute(&prefix, file)),
        None => ErrorLog::File(absolute(&prefix, &build.error_log)),
    };
    Ok(Reading {
        prefix,
        conf_path,
        pid_path,
        error_log,
        main: (main.to_owned(), dump.absolute("")),
        settings: told.settings,
        includes: told.includes,
        upstreams: told.ways.upstreams().to_vec(),
        ways: Arc::new(told.ways.finish(unread)),
        build,
        doors: Arc::new(told.doors.finish()),
        written: Arc::new(dump.files().filter_map(|(path, text)| Written::read(path, text)).collect()),
    })
}

/// Hears what a configuration says.
#[derive(Default)]
struct Told {
    settings: BTreeMap<String, String>,
    pid: Option<String>,
    error_log: Option<String>,
    includes: Vec<IncludeLine>,
    ways: ways::Collector,
    doors: doors::Collector,
}

impl Listener for Told {
    fn statement(&mut self, statement: &Statement<'_, '_>) {
        self.note(statement);
        self.ways.statement(statement);
        self.doors.statement(statement);
    }

    fn close(&mut self) {
        self.ways.close();
        self.doors.close();
    }
}

impl Told {
    fn note(&mut self, statement: &Statement<'_, '_>) {
        let Statement { name, arguments, file, blocks, .. } = *statement;
        match (name, arguments) {
            ("include", [pattern]) => self.includes.push(IncludeLine {
                context: blocks.join(" "),
                pattern: pattern.clone().into_owned(),
                place: statement.place(),
            }),
            ("pid", [path]) => self.pid = Some(path.clone().into_owned()),
            ("error_log", [path, ..]) if blocks.is_empty() => {
                _ = self.error_log.get_or_insert_with(|| path.clone().into_owned())
            }
            (setting, [value]) if SETTINGS.contains(&setting) => {
                let own = file.rsplit('/').next() == Some(TUNING_FILE);
                if !own && matches!(blocks, [] | [_]) && blocks.iter().all(|block| block == "http") {
                    self.settings.insert(name.to_owned(), value.clone().into_owned());
                }
            }
            _ => {}
        }
    }
}

impl Reading {
    /// Returns what the configuration means for one service.
    ///
    /// `folder` is where swap's files are to be; by default the folder called `swap` that `http` includes.
    pub fn configuration(&self, service: &ServiceName, folder: Option<&str>) -> Configuration {
        let include = self.include(service, folder);
        Configuration {
            version: self.build.version,
            prefix: self.prefix.clone(),
            conf_path: self.conf_path.clone(),
            pid_path: self.pid_path.clone(),
            error_log: self.error_log.clone(),
            ways: self.ways.clone(),
            doors: self.doors.clone(),
            written: self.written.clone(),
            settings: self.settings.clone(),
            mistakes: self.mistakes(service, folder, include.as_ref()),
            include,
        }
    }

    fn mistakes(&self, service: &ServiceName, folder: Option<&str>, include: Option<&Include>) -> Vec<Failure> {
        let mut mistakes = Vec::new();
        let own = include.map(|include| include.file(service));
        let same = |upstream: &&Upstream| {
            upstream.realm == Realm::Http && upstream.name.eq_ignore_ascii_case(service.as_str())
        };
        for Upstream { place, file, .. } in self.upstreams.iter().filter(same) {
            if Some(file) != own.as_ref() {
                mistakes.push(
                    Failure::new(format!("the upstream `{service}` is already defined at {place}"))
                        .hint(format!("remove that `upstream {service} {{ … }}`: swap writes it from now on")),
                );
            }
        }
        if include.is_none() {
            let wanted = folder.unwrap_or(super::DEFAULT_FOLDER);
            let elsewhere = self.includes.iter().find(|line| {
                line.context != "http" && swap_folder(&self.absolute(&line.pattern), service, folder).is_some()
            });
            mistakes.push(match elsewhere {
                Some(IncludeLine { context, place, pattern }) => {
                    let context = if context.is_empty() { "no block" } else { context };
                    Failure::new(format!("`include {pattern}` at {place} stands in {context}, not in http"))
                        .hint("move that line into the `http` block")
                }
                None => Failure::new(format!("nginx does not read `{wanted}/{}`", file_name(service)))
                    .hint(format!("write `include {wanted}/*.conf;` into the `http` block of {}", self.main.0)),
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
        mistakes
    }

    fn absolute(&self, pattern: &str) -> String {
        absolute(&self.main.1, pattern)
    }

    fn include(&self, service: &ServiceName, folder: Option<&str>) -> Option<Include> {
        self.includes.iter().filter(|line| line.context == "http").find_map(|line| {
            let folder = swap_folder(&self.absolute(&line.pattern), service, folder)?;
            // No folder that swap could name in a message or in a file's comment.
            if folder.chars().any(is_control) {
                return None;
            }
            Some(Include { folder, pattern: line.pattern.clone(), place: line.place.clone() })
        })
    }
}

/// The folder that an absolute pattern reads, if it is swap's and the pattern covers the service's file.
fn swap_folder(pattern: &str, service: &ServiceName, folder: Option<&str>) -> Option<String> {
    let (found, _) = pattern.rsplit_once('/')?;
    let wanted = match folder {
        Some(wanted) => wanted.trim_end_matches('/') == found,
        None => found.rsplit('/').next() == Some("swap"),
    };
    (wanted && covers(pattern, &format!("{found}/{}", file_name(service)))).then(|| found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::reach::{Names, Pass, ServiceWays, reach};
    use super::*;
    use crate::model::Notice;

    const DEBIAN: &str = "nginx version: nginx/1.22.1
built with OpenSSL 3.0.22
configure arguments: --with-cc-opt='-g -O2' --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf --error-log-path=stderr.log --pid-path=/run/nginx.pid --with-threads
";

    fn show(version: &str, dump: &str, arguments: &[&str], folder: Option<&str>) -> String {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let service: ServiceName = "app".parse().unwrap();
        let configuration = match read(version, dump, &arguments) {
            Ok(reading) => reading.configuration(&service, folder),
            Err(failure) => return format!("{failure}\n"),
        };
        let ServiceWays { passes, past, unclear, warnings, .. } = reach(&configuration, &Names::of(service));
        let Configuration {
            version,
            prefix,
            conf_path,
            pid_path,
            error_log,
            include,
            ways: _,
            doors: _,
            written,
            settings,
            mistakes,
        } = configuration;
        let mut text = format!("{version} {prefix} {conf_path} {pid_path} {error_log:?}\n");
        if let Some(Include { folder, pattern, place }) = include {
            text += &format!("include {folder} by {pattern} at {place}\n");
        }
        for Pass { directive, value, place } in passes {
            text += &format!("{directive} {value} at {place}\n");
        }
        for Written { path, project, service, upstream } in written.iter() {
            text += &format!("written {path}: {upstream} for {service} of {project}\n");
        }
        for (name, value) in settings {
            text += &format!("{name} = {value}\n");
        }
        let told = |failures: Vec<Failure>| failures.into_iter().map(Notice::from).collect();
        let all =
            [("past", told(past)), ("mistake", told(mistakes)), ("unclear", told(unclear)), ("warning", warnings)];
        for (kind, notices) in all {
            for Notice { what, cure } in notices {
                text += &format!("{kind}: {what}\n  hint: {}\n", cure.unwrap_or_default());
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
proxy_pass http://app at /etc/nginx/conf.d/default.conf:2
proxy_pass http://APP/v1/ at /etc/nginx/conf.d/default.conf:3
fastcgi_pass app at /etc/nginx/conf.d/default.conf:4
keepalive_min_timeout = 1s
worker_shutdown_timeout = 10s
",
        );
    }

    #[test]
    fn files_that_swap_wrote_are_told_by_what_they_say() {
        let ours = "# Written by swap; do not edit: the next swap replaces it.\n# project: shop\n# service: app\n";
        let dump = format!(
            "# configuration file /etc/nginx/nginx.conf:
http {{ include /etc/nginx/swap/*.conf; }}

# configuration file /etc/nginx/swap/app.conf:
{ours}upstream app {{ server 172.18.0.5:9000; }}

# configuration file /etc/nginx/swap/old.conf:
{ours}# upstream: old\nupstream old {{ server 172.18.0.5:9000; }}

# configuration file /etc/nginx/swap/theirs.conf:
# project: shop\n# service: app\nupstream theirs {{ server 172.18.0.5:9000; }}
"
        );
        check(
            &dump,
            &format!(
                "{HEAD}include /etc/nginx/swap by /etc/nginx/swap/*.conf at /etc/nginx/nginx.conf:1
written /etc/nginx/swap/app.conf: app for app of shop
written /etc/nginx/swap/old.conf: old for app of shop
"
            ),
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
                "{HEAD}master_process = off
past: `proxy_pass http://app:80/x` at /etc/nginx/nginx.conf:6 names a port, which an upstream's name may not have
  hint: write `proxy_pass http://app/x;`
past: `fastcgi_pass app:9000` at /etc/nginx/nginx.conf:7 names a port, which an upstream's name may not have
  hint: write `fastcgi_pass app;`
mistake: the upstream `app` is already defined at /etc/nginx/nginx.conf:3
  hint: remove that `upstream app {{ … }}`: swap writes it from now on
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
proxy_pass $up at /etc/nginx/nginx.conf:6
proxy_pass http://app$request_uri at /etc/nginx/nginx.conf:7
past: `proxy_pass http://${{backend}}:9000` at /etc/nginx/nginx.conf:8 goes past swap's upstream, because of its port
  hint: leave `:9000` out: the upstream knows the port
warning: nobody can tell whether `proxy_pass http://$self` at /etc/nginx/nginx.conf:9 sends requests to `app`: `$self` is made of itself
  hint: if it does, write `proxy_pass http://app;` there
warning: nobody can tell whether `proxy_pass http://$unknown` at /etc/nginx/nginx.conf:10 sends requests to `app`: `$unknown` is set by nothing that swap can read
  hint: if it does, write `proxy_pass http://app;` there
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
unclear: swap does not understand nginx's configuration `/etc/nginx/x`: line 1: `}}` closes nothing, so nobody can tell whether it sends requests to `app`
  hint: if it does not, write `x-swap: {{ proxy: none }}` under `services: app:`; if it does, name the nginx: `x-swap: {{ proxy: NAME }}`
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
                    let Ok(reading) = read(version, dump, arguments) else { continue };
                    let configuration = reading.configuration(&"app".parse().unwrap(), None);
                    let found = reach(&configuration, &Names::of("app".parse().unwrap()));
                    if let Some(include) = configuration.include {
                        crate::mutated::harmless("the folder", &include.folder);
                    }
                    let failures = found.past.iter().chain(&found.unclear).map(|failure| &failure.what);
                    for told in failures.chain(found.warnings.iter().map(|warning| &warning.what)) {
                        crate::mutated::harmless_line("a way", told);
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
}
