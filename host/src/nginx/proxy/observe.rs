//! What is seen of nginx before a switch: one or two scripts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::super::config::{self, Configuration, ErrorLog, Reading};
use super::super::connect;
use super::super::find::{self, Master};
use super::super::folder::{self, Folder, Mount};
use super::super::script::{marker, subshell};
use super::super::tuning::{self, TUNING_FILE};
use super::super::upstream::{UpstreamFile, file_name, parse, render};
use super::super::workers;
use super::super::workers::Generation;
use super::super::{DEFAULT_FOLDER, Shell};
use super::{FileChange, Home, Nginx, Proxy, cut, reasons};
use crate::model::{Failure, Notice, Output, ServiceName};
use crate::text::{quote, quote_all};

/// What was found out about nginx for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The nginx itself.
    pub nginx: Nginx,
    /// Its configuration; the failure if nginx refuses it as it is.
    pub configuration: Result<Configuration, Failure>,
    /// swap's folder.
    pub folder: Folder,
    /// The engine's DNS, where nginx's container has it.
    pub resolver: Option<IpAddr>,
    /// What `/etc/hosts` beside nginx says: names in lower case to addresses.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// Whether something beside nginx can connect, so that it can be tried whether nginx reaches a container.
    pub connects: bool,
    /// Its present workers; `None` while others reload it.
    pub generation: Option<Generation>,
    place: Home,
}

impl Observation {
    /// Returns everything that stands in the way of a switch, each with its cure. Empty means go.
    pub fn problems(&self) -> Vec<Failure> {
        let mut problems = Vec::new();
        match &self.configuration {
            Err(broken) => problems.push(broken.clone()),
            Ok(configuration) => problems.extend(configuration.mistakes.clone()),
        }
        problems.extend(self.folder_problem());
        problems
    }

    /// Returns why swap can't write its folder, with the cure.
    pub fn folder_problem(&self) -> Option<Failure> {
        self.folder.problem(self.place == Home::Container)
    }

    /// Returns who resolves the service's DNS name again and again, where this nginx knows how and has a resolver.
    pub fn resolver(&self) -> Option<IpAddr> {
        let configuration = self.configuration.as_ref().ok()?;
        self.resolver.filter(|_| configuration.version.knows_resolve())
    }

    /// Returns what must happen to swap's own file of settings, if anything.
    pub fn tuning(&self) -> Option<FileChange> {
        let configuration = self.configuration.as_ref().ok()?;
        let text = tuning::render(configuration.version, &configuration.settings);
        (text != self.folder.tuning).then(|| FileChange { name: TUNING_FILE.to_owned(), text })
    }

    /// Returns what people should know: what a reload costs here.
    ///
    /// `drain` is how long a drain may take; `tuned` tells whether [`tuning`](Self::tuning) is or will be in place.
    pub fn notices(&self, drain: Duration, tuned: bool) -> Vec<Notice> {
        let Ok(configuration) = &self.configuration else { return Vec::new() };
        let mut notices = tuning::notices(configuration.version, &configuration.settings, drain, tuned);
        if !self.connects && self.place == Home::Container {
            notices.push(Notice::new(format!(
                "nginx's container has no {}: whether nginx reaches a candidate is tried from this machine instead, or told by \
                 what the candidate listens on",
                connect::TOOLS
            )));
        }
        notices
    }
}

/// For so long what nginx said of its configuration is not asked again: for the other services of one command.
const FRESH: Duration = Duration::from_secs(5);

/// What the masters that run there said of their configurations, and when.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    at: Instant,
    /// How long the slowest of them took for it.
    load: Duration,
    found: Arc<Vec<Found>>,
}

/// What a master says of an upstream, and the present text of that one's file.
pub type NginxAnswer = Result<(Configuration, Option<String>), Failure>;

/// A master, with what it says of its configuration.
#[derive(Debug, Clone)]
struct Found {
    master: Master,
    generation: Option<Generation>,
    reading: Result<Reading, Failure>,
}

/// Defines the functions `ask` and `look`.
const OBSERVE: &str = include_str!("../observe.sh");

impl<S: Shell> Proxy<S> {
    /// Looks at nginx for the upstream of one service and changes nothing; `service` is the upstream's name. Two scripts,
    /// three if the folder has an unusual name; one if nginx was asked for its configuration a moment ago.
    ///
    /// `folder` overrides where swap's files are; by default the folder called `swap` that `http` includes.
    /// Fails when nginx is not there or can't be asked. What is wrong with it is in [`Observation::problems`].
    pub async fn observe(&self, service: &ServiceName, folder: Option<&str>) -> Result<Observation, Failure> {
        let mut all = self.observe_all(std::slice::from_ref(service), folder).await?;
        all.pop().unwrap_or_else(|| Err(Failure::new("internal: no upstream was asked about")))
    }

    /// As [`observe`](Self::observe), for the upstreams of several services by the same scripts: nginx is asked for its
    /// configuration once. Returns what each would, in their order.
    pub async fn observe_all(
        &self,
        services: &[ServiceName],
        folder: Option<&str>,
    ) -> Result<Vec<Result<Observation, Failure>>, Failure> {
        let guess = folder.unwrap_or(DEFAULT_FOLDER).trim_end_matches('/');
        let known = self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut looks: HashMap<String, HashMap<String, String>> = HashMap::new();
        let Answers { found, load, .. } = match known.filter(|asked| asked.at.elapsed() < FRESH) {
            Some(asked) => asked,
            None => {
                let (asked, sections) = self.ask(services, guess).await?;
                looks.insert(guess.to_owned(), sections);
                asked
            }
        };
        let mut observations = Vec::new();
        for service in services {
            let (Found { master, generation, .. }, configuration) = match choose(&found, service, folder) {
                Ok(chosen) => chosen,
                Err(failure) => {
                    observations.push(Err(failure));
                    continue;
                }
            };
            let include = configuration.as_ref().ok().and_then(|configuration| configuration.include.as_ref());
            let path = include.map_or(guess, |include| &include.folder).to_owned();
            if !looks.contains_key(&path) {
                let marker = marker();
                let seen = sections(&self.run(&script(&marker, &[], &path, services)).await?, &marker)?;
                looks.insert(path.clone(), seen);
            }
            let nginx = master.nginx(&path, load);
            observations.push(Ok(self.observation(service, nginx, configuration, generation.clone(), &looks[&path])));
        }
        Ok(observations)
    }

    /// Puts together what is known of nginx for one service. `sections` is the look at its folder.
    fn observation(
        &self,
        service: &ServiceName,
        nginx: Nginx,
        configuration: Result<Configuration, Failure>,
        generation: Option<Generation>,
        sections: &HashMap<String, String>,
    ) -> Observation {
        let error_log =
            configuration.as_ref().map_or(ErrorLog::Elsewhere, |configuration| configuration.error_log.clone());
        let resolver =
            sections.get("resolver").and_then(|text| engine_dns(text)).filter(|_| self.place == Home::Container);
        Observation {
            folder: read_folder(nginx.folder.clone(), service, sections),
            nginx: Nginx { error_log, syncs_files: sections.contains_key("syncs"), ..nginx },
            configuration,
            resolver,
            hosts: sections.get("hosts").map(|text| hosts(text)).unwrap_or_default(),
            connects: sections.get("connects").is_some_and(|text| text.contains("tool")),
            generation,
            place: self.place,
        }
    }

    /// Returns what each of the masters that run there says of each of these upstreams, and the present text of its file: on a
    /// machine there may be several, of which none need know of swap. Nginx is asked for its configuration once.
    pub async fn configurations(&self, upstreams: &[ServiceName]) -> Result<Vec<Vec<NginxAnswer>>, Failure> {
        let (Answers { found, .. }, _) = self.ask(upstreams, DEFAULT_FOLDER).await?;
        let of = |upstream: &ServiceName| -> Vec<Result<Configuration, Failure>> {
            let said = |reading: &Reading| reading.configuration(upstream, None);
            found.iter().map(|found| found.reading.as_ref().map(said).map_err(Failure::clone)).collect()
        };
        let configurations: Vec<Vec<Result<Configuration, Failure>>> = upstreams.iter().map(of).collect();
        let file = |said: &Result<Configuration, Failure>, upstream: &ServiceName| {
            said.as_ref().ok().and_then(|configuration| Some(configuration.include.as_ref()?.file(upstream)))
        };
        let each = configurations.iter().zip(upstreams);
        let files: BTreeSet<String> =
            each.flat_map(|(all, upstream)| all.iter().filter_map(move |said| file(said, upstream))).collect();
        let texts = self.texts(&files).await?;
        let with_text = |(all, upstream): (Vec<Result<Configuration, Failure>>, &ServiceName)| {
            let one = |said| {
                let text = file(&said, upstream).and_then(|path| texts.get(&path).cloned());
                said.map(|configuration| (configuration, text))
            };
            all.into_iter().map(one).collect()
        };
        Ok(configurations.into_iter().zip(upstreams).map(with_text).collect())
    }

    /// Returns the texts of those of these files that are there.
    async fn texts(&self, files: &BTreeSet<String>) -> Result<HashMap<String, String>, Failure> {
        if files.is_empty() {
            return Ok(HashMap::new());
        }
        let marker = marker();
        let mut body = format!("MARK={marker}\n{OBSERVE}");
        for (at, path) in files.iter().enumerate() {
            body += &format!("show {at} {}\n", quote(path));
        }
        body += "part end\n";
        let mut sections = sections(&self.run(&body).await?, &marker)?;
        let text = |(at, path): (usize, &String)| Some((path.clone(), sections.remove(&at.to_string())?));
        Ok(files.iter().enumerate().filter_map(text).collect())
    }

    /// Asks all masters for their configurations ahead of need, and keeps what they say for a moment.
    pub async fn prepare(&self) -> Result<(), Failure> {
        self.ask(&[], DEFAULT_FOLDER).await.map(drop)
    }

    /// Asks all masters for their configurations, and looks at the folder that is swap's if nothing else is settled.
    async fn ask(&self, services: &[ServiceName], guess: &str) -> Result<(Answers, HashMap<String, String>), Failure> {
        let masters = find::masters(&self.run(find::SCRIPT).await?.stdout)?;
        let marker = marker();
        let body = script(&marker, &masters, guess, services);
        let limit = self.loading * u32::try_from(masters.len()).unwrap_or(1).max(1);
        let answer = self.shell.run_within(&subshell(&body), limit).await;
        let mut sections = sections(&answer.map_err(unread)?, &marker)?;
        let (mut found, mut load) = (Vec::new(), Duration::ZERO);
        for (at, master) in masters.into_iter().enumerate() {
            let mut take = |name: &str| sections.remove(&format!("{name} {at}")).unwrap_or_default();
            let (version, dump, code) = (take("version"), take("dump"), take("code"));
            let reading = match code.trim() {
                "0" => read(version, dump, master.arguments.clone()).await,
                code => Err(broken(&dump, code, guess)),
            };
            let took: u64 = take("took").trim().parse().unwrap_or(0);
            load = load.max(Duration::from_millis(10 * took));
            found.push(Found { generation: workers::read(&take("workers")).settled(), master, reading });
        }
        let asked = Answers { at: Instant::now(), load, found: Arc::new(found) };
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked.clone());
        Ok((asked, sections))
    }

    /// Names addresses in a project's upstream file that is at rest, where nginx refuses its configuration because nobody has the
    /// name in it: one that asks for names only when it reads them. nginx is not told. Tells whether that was so.
    pub async fn leave_rest(&self, upstream: &ServiceName, project: &str) -> Result<bool, Failure> {
        let (Answers { found, load, .. }, _) = self.ask(std::slice::from_ref(upstream), DEFAULT_FOLDER).await?;
        // Whoever asks next is to hear what it says then.
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = None;
        for Found { master, reading, .. } in found.iter() {
            let place = reading.as_ref().err().and_then(|failure| unresolved(&failure.what));
            let Some((folder, name)) = place.and_then(|path| path.rsplit_once('/')) else { continue };
            let text = self.run(&format!("cat {}", quote(&format!("{folder}/{name}")))).await?.stdout;
            let file = parse(&text).ok().filter(|file| file.rest.is_some() && file.project == project);
            let Some(file) = file.filter(|_| name == file_name(upstream)) else { continue };
            // Not synced: it comes to rest again before long.
            let nginx = master.nginx(folder, load);
            let text = render(&UpstreamFile { rest: None, ..file });
            self.write(&nginx, &FileChange::upstream(upstream, Some(text))).await?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// Returns the script that asks these masters, and looks at a folder.
fn script(marker: &str, masters: &[Master], folder: &str, services: &[ServiceName]) -> String {
    let mut script = format!("MARK={marker}\n{OBSERVE}");
    for (at, Master { process, binary, arguments, .. }) in masters.iter().enumerate() {
        script += &format!("ask {at} {} {} {}\n", process.pid, quote(binary), quote_all(arguments));
    }
    let files: String = services.iter().map(|service| format!(" {}", file_name(service))).collect();
    script + &format!("look {} {TUNING_FILE}{files}\n", quote(folder))
}

/// Returns the file of which nginx says that it names somebody whom nobody knows.
fn unresolved(why: &str) -> Option<&str> {
    let (_, place) = why.split_once("host not found in upstream ")?.1.split_once(" in ")?;
    Some(place.rsplit_once(':')?.0)
}

fn broken(dump: &str, code: &str, folder: &str) -> Failure {
    let lines: Vec<String> = dump.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let reasons = reasons(&lines);
    let reason = match reasons.first() {
        Some(reason) => reason.clone(),
        None => format!("`nginx -T` exited {}", if code.is_empty() { "strangely" } else { code }),
    };
    let own = reason.contains(TUNING_FILE);
    let hint = if let Some(file) = unresolved(&reason) {
        format!(
            "an nginx older than 1.27.3 refuses a name that nobody has: start the service of `{file}`, or delete that file if \
             nothing passes to it"
        )
    } else if own {
        format!("remove `{folder}/{TUNING_FILE}`: swap writes it anew without what you have set or nginx does not know")
    } else {
        "correct it until `nginx -t` succeeds, then swap again".to_owned()
    };
    let tail = lines.iter().rev().take(5).rev().cloned();
    Failure::new(format!("nginx's configuration is broken before swap did anything: {reason}")).hint(hint).tail(tail)
}

/// Reads what nginx said; what is large beside the threads that others wait for.
async fn read(version: String, dump: String, arguments: Vec<String>) -> Result<Reading, Failure> {
    const LARGE: usize = 1 << 20;
    if dump.len() < LARGE {
        return config::read(&version, &dump, &arguments);
    }
    let reading = tokio::task::spawn_blocking(move || config::read(&version, &dump, &arguments));
    reading.await.unwrap_or_else(|error| Err(Failure::new(format!("reading nginx's configuration: {error}"))))
}

/// Of several masters the one that reads swap's folder, with what it says of the service's upstream.
fn choose<'a>(
    found: &'a [Found],
    service: &ServiceName,
    folder: Option<&str>,
) -> Result<(&'a Found, Result<Configuration, Failure>), Failure> {
    if file_name(service) == TUNING_FILE {
        return Err(Failure::new(format!("the service `{service}` has the name of swap's own file `{TUNING_FILE}`")));
    }
    let of_service = |reading: &Result<Reading, Failure>| {
        reading.as_ref().map(|reading| reading.configuration(service, folder)).map_err(Failure::clone)
    };
    let mut left: Vec<(&'a Found, Result<Configuration, Failure>)> =
        found.iter().map(|found| (found, of_service(&found.reading))).collect();
    if left.len() > 1 {
        let reads = |configuration: &Result<Configuration, Failure>| {
            configuration.as_ref().is_ok_and(|configuration| configuration.include.is_some())
        };
        let pids: Vec<String> = left.iter().map(|(found, _)| found.master.process.pid.to_string()).collect();
        if left.iter().any(|(_, configuration)| reads(configuration)) {
            left.retain(|(_, configuration)| reads(configuration));
        } else {
            // What a broken one would read nobody can tell: it is the one to hear about.
            left.retain(|(_, configuration)| configuration.is_err());
        }
        if left.len() != 1 {
            return Err(Failure::new(format!(
                "{} of the nginx masters that run there ({}) read a folder of swap's",
                if left.is_empty() { "none".to_owned() } else { left.len().to_string() },
                pids.join(", ")
            ))
            .hint("let exactly one of them include swap's folder, and finish an upgrade of nginx that is under way"));
        }
    }
    left.pop().ok_or_else(|| Failure::new("no nginx master process runs there"))
}

/// What is said where nginx could not be asked for its configuration.
fn unread(failure: Failure) -> Failure {
    Failure { what: format!("asking nginx for its configuration (`nginx -T`): {}", failure.what), ..failure }
}

/// Splits an answer at its markers. The newline before each marker is the script's, not the section's.
fn sections(output: &Output, marker: &str) -> Result<HashMap<String, String>, Failure> {
    let mut sections: HashMap<String, String> = HashMap::new();
    for section in output.stdout.split(&format!("{marker} ")).skip(1) {
        let (name, text) = section.split_once('\n').unwrap_or((section, ""));
        sections.insert(name.to_owned(), text.strip_suffix('\n').unwrap_or(text).to_owned());
    }
    if sections.contains_key("end") { Ok(sections) } else { Err(cut(output)) }
}

fn read_folder(path: String, service: &ServiceName, sections: &HashMap<String, String>) -> Folder {
    let text = |name: &str| sections.get(name).map(String::as_str).unwrap_or_default();
    let real = text("path").trim_end_matches('\n');
    let mount = match folder::mount(if real.is_empty() { &path } else { real }, service, text("mounts")) {
        // A link may lead out of the mount or into it; what counts for a single file is the name that nginx uses.
        Mount::Root => folder::mount(&path, service, text("mounts")),
        mount => mount,
    };
    Folder {
        exists: text("folder").lines().any(|line| line == "exists"),
        writable: text("folder").lines().any(|line| line == "writable"),
        mount,
        upstream: sections.get(&format!("upstream/{}", file_name(service))).cloned(),
        tuning: sections.get("tuning").cloned(),
        path,
    }
}

/// The engine's DNS, if `/etc/resolv.conf` names it: only it knows the names of services.
fn engine_dns(resolv: &str) -> Option<IpAddr> {
    let engine: IpAddr = IpAddr::from([127, 0, 0, 11]);
    let servers = resolv.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|address| address.trim().parse().ok()).find(|address: &IpAddr| *address == engine)
}

/// Reads `/etc/hosts`.
fn hosts(text: &str) -> BTreeMap<String, Vec<IpAddr>> {
    let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        for name in words {
            hosts.entry(name.to_lowercase()).or_default().push(address);
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_found_is_told_by_the_file() {
        let why =
            "nginx's configuration is broken: host not found in upstream \"app:80\" in /etc/nginx/swap/app.conf:8";
        assert_eq!(unresolved(why), Some("/etc/nginx/swap/app.conf"));
        assert_eq!(unresolved("host not found in upstream \"app\""), None);
        assert_eq!(unresolved("unknown directive \"x\" in /etc/nginx/swap/app.conf:8"), None);
    }

    #[test]
    fn whatever_a_script_answers_is_read() {
        let corpus = ["\nswap-mark folder\nexists\n\nswap-mark end\n", "nameserver 127.0.0.11\n127.0.0.1 localhost"];
        crate::mutated::texts(&corpus, |text| {
            let output = Output { code: 0, stdout: text.to_owned(), stderr: String::new() };
            let _ = (sections(&output, "swap-mark"), engine_dns(text), hosts(text));
        });
    }
}
