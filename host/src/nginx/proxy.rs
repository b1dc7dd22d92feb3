//! The effects on nginx: observe it, switch its upstreams, wait until its old workers are gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::config::{self, Configuration, ErrorLog, Reading};
use super::connect::{self, Connected};
use super::find::{self, Master};
use super::folder::{self, Folder, Mount};
use super::script::{marker, quote, quote_all, subshell};
use super::tuning::{self, TUNING_FILE};
use super::upstream::{Obeyed, TITLE, UpstreamFile, file_name, parse, render};
use super::workers::{self, Present};
use super::{DEFAULT_FOLDER, Shell, USUAL};
use crate::failpoint;
use crate::model::{Failure, Output, ServiceName, printable};
use crate::run::{Generation, Process};

/// Where nginx runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In a container: its folder must be mounted, and the engine's DNS may be there.
    Container,
    /// On the host.
    Host,
}

/// An nginx that was found: all that a switch needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nginx {
    /// Its master process.
    pub master: Process,
    /// The program.
    pub binary: String,
    /// The options that it was started with, in pairs: `-c`, `-p`, `-e`, `-g`.
    pub arguments: Vec<String>,
    /// swap's folder.
    pub folder: String,
    /// Where it says why it refused a reload.
    pub error_log: ErrorLog,
    /// Whether `sync` beside it takes a file. One that does not would write out every disk of the machine.
    pub syncs_files: bool,
    /// How long it took to read its configuration when it was asked for it; a reload takes as long.
    #[serde(default, with = "crate::model::millis")]
    pub load: Duration,
    /// How long a reload may take until new workers are there; zero: what follows from [`load`](Self::load).
    #[serde(default, with = "crate::model::millis")]
    pub patience: Duration,
}

/// How long nginx may take to read its configuration when it is asked for it, and the least when it tests a new one.
const LOADING: Duration = Duration::from_secs(60);

impl Nginx {
    /// Returns the command by which it is called, with its options.
    pub fn line(&self) -> String {
        // What it runs as is settled already.
        let options = self.arguments.chunks(2).filter(|pair| pair[0] != "-g").flatten();
        let plain = |word: &&String| word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        let shown = |word: &String| if plain(&word) { word.clone() } else { quote(word) };
        std::iter::once(&self.binary).chain(options).map(shown).collect::<Vec<_>>().join(" ")
    }

    /// Returns how long a reload may take until new workers are there.
    fn patience(&self, least: Duration) -> Duration {
        if self.patience.is_zero() { least + 3 * self.load } else { self.patience }
    }
}

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
    place: Place,
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
        self.folder.problem(self.place == Place::Container)
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
    pub fn notices(&self, drain: Duration, tuned: bool) -> Vec<Failure> {
        let Ok(configuration) = &self.configuration else { return Vec::new() };
        let mut notices = tuning::notices(configuration.version, &configuration.settings, drain, tuned);
        if !self.connects && self.place == Place::Container {
            notices.push(Failure::new(format!(
                "nginx's container has no {}: whether nginx reaches a candidate is tried from this machine instead, or told by \
                 what the candidate listens on",
                connect::TOOLS
            )));
        }
        notices
    }
}

/// A file of swap's folder as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its name in the folder, as `app.conf`.
    pub name: String,
    /// Its text; `None` removes it.
    pub text: Option<String>,
}

impl FileChange {
    /// The change of an upstream of this name; `None` removes the file.
    pub fn upstream(upstream: &ServiceName, text: Option<String>) -> Self {
        Self { name: file_name(upstream), text }
    }
}

/// A worker of a former generation that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    /// The worker.
    pub process: Process,
    /// Whether it takes no new connection any more. The master tells its old workers 100 ms after the new ones came.
    pub leaving: bool,
}

/// A switch that did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchFailure {
    /// What happened.
    pub failure: Failure,
    /// Whether the old files are in place again and nginx obeys them. If not, stop no container that either names.
    pub restored: bool,
}

impl fmt::Display for SwitchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl std::error::Error for SwitchFailure {}

impl From<SwitchFailure> for Failure {
    fn from(failure: SwitchFailure) -> Failure {
        failure.failure
    }
}

/// nginx through a shell beside it.
#[derive(Debug)]
pub struct Proxy<S> {
    shell: S,
    place: Place,
    patience: Duration,
    loading: Duration,
    asked: Mutex<Option<Asked>>,
}

/// For so long what nginx said of its configuration is not asked again: for the other services of one command.
const FRESH: Duration = Duration::from_secs(5);

/// What the masters that run there said of their configurations, and when.
#[derive(Debug, Clone)]
struct Asked {
    at: Instant,
    /// How long the slowest of them took for it.
    load: Duration,
    found: Arc<Vec<Found>>,
}

impl Master {
    /// Returns the nginx of this master, of which no more is known than that it reads a folder of swap's.
    fn nginx(&self, folder: &str, load: Duration) -> Nginx {
        Nginx {
            master: self.process,
            binary: self.binary.clone(),
            arguments: self.arguments.clone(),
            folder: folder.to_owned(),
            error_log: ErrorLog::Elsewhere,
            syncs_files: false,
            load,
            patience: Duration::ZERO,
        }
    }
}

/// What a master says of an upstream, and the present text of that one's file.
pub type Said = Result<(Configuration, Option<String>), Failure>;

/// A master, with what it says of its configuration.
#[derive(Debug, Clone)]
struct Found {
    master: Master,
    generation: Option<Generation>,
    reading: Result<Reading, Failure>,
}

impl<S: Shell> Proxy<S> {
    /// Makes a proxy of an open shell. A reload is given 2 s to show, and three times what nginx took to read its
    /// configuration.
    pub fn new(shell: S, place: Place) -> Self {
        Self { shell, place, patience: Duration::from_secs(2), loading: LOADING, asked: Mutex::default() }
    }

    /// Sets how long a reload may take at least until new workers are there.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how long nginx may take to read its configuration when it is asked for it, instead of a minute.
    pub fn loading(mut self, loading: Duration) -> Self {
        self.loading = loading;
        self
    }

    /// Returns the shell.
    pub fn shell(&self) -> &S {
        &self.shell
    }

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
        let Asked { found, load, .. } = match known.filter(|asked| asked.at.elapsed() < FRESH) {
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
                looks.insert(path.clone(), self.look(&path, services).await?);
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
            sections.get("resolver").and_then(|text| engine_dns(text)).filter(|_| self.place == Place::Container);
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
    pub async fn configurations(&self, upstreams: &[ServiceName]) -> Result<Vec<Vec<Said>>, Failure> {
        let (Asked { found, .. }, _) = self.ask(upstreams, DEFAULT_FOLDER).await?;
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
        let mut body = format!("MARK={marker}\n{SHOW}");
        for (at, path) in files.iter().enumerate() {
            body += &format!("show {at} {}\n", quote(path));
        }
        body += "printf '\\n%s end\\n' \"$MARK\"\n";
        let mut sections = sections(&self.run(&body).await?, &marker)?;
        let text = |(at, path): (usize, &String)| Some((path.clone(), sections.remove(&at.to_string())?));
        Ok(files.iter().enumerate().filter_map(text).collect())
    }

    /// Looks at a folder and at the files of these upstreams there.
    async fn look(&self, folder: &str, upstreams: &[ServiceName]) -> Result<HashMap<String, String>, Failure> {
        let marker = marker();
        let body = format!("MARK={marker}\n{}", folder_script(folder, upstreams));
        sections(&self.run(&body).await?, &marker)
    }

    /// Asks all masters for their configurations ahead of need, and keeps what they say for a moment.
    pub async fn prepare(&self) -> Result<(), Failure> {
        self.ask(&[], DEFAULT_FOLDER).await.map(drop)
    }

    /// Asks all masters for their configurations, and looks at the folder that is swap's if nothing else is settled.
    async fn ask(&self, services: &[ServiceName], guess: &str) -> Result<(Asked, HashMap<String, String>), Failure> {
        let masters = find::masters(&self.run(find::SCRIPT).await?.stdout)?;
        let marker = marker();
        let mut body = format!("{}MARK={marker}\n", workers::FUNCTION);
        for (at, master) in masters.iter().enumerate() {
            body += &ask_script(at, master);
        }
        body += &folder_script(guess, services);
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
        let asked = Asked { at: Instant::now(), load, found: Arc::new(found) };
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked.clone());
        Ok((asked, sections))
    }

    /// Writes, or removes, one file of swap's folder atomically; nginx is not told.
    ///
    /// May run twice: the same bytes are renamed over themselves.
    pub async fn write(&self, nginx: &Nginx, change: &FileChange) -> Result<(), Failure> {
        let files = Files::new(nginx, std::slice::from_ref(change))?;
        let body =
            format!("{}prepare || exit 1\napply || {{ restore; exit 1; }}\ntidy\nsync_folder\n", files.functions());
        let output = self.change("write", &body, USUAL).await?;
        if output.ok() { Ok(()) } else { Err(not_written(&nginx.folder, &output)) }
    }

    /// As [`write`](Self::write), if nginx still obeys what it obeyed then, was not started or reloaded since and is not about
    /// to be; tells whether it is so. If not, the file may be written or not, and only a [`switch`](Self::switch) makes sure
    /// of what nginx obeys.
    pub async fn write_unseen(&self, nginx: &Nginx, change: &FileChange, obeyed: &Obeyed) -> Result<bool, Failure> {
        let same = |now: Option<Generation>| now.as_ref().and_then(Obeyed::of).as_ref() == Some(obeyed);
        if !same(self.generation(nginx).await?) {
            return Ok(false);
        }
        self.write(nginx, change).await?;
        // Others may have told it in between to read its files.
        Ok(same(self.generation(nginx).await?))
    }

    /// Names addresses in a project's upstream file that is at rest, where nginx refuses its configuration because nobody has the
    /// name in it: one that asks for names only when it reads them. nginx is not told. Tells whether that was so.
    pub async fn leave_rest(&self, upstream: &ServiceName, project: &str) -> Result<bool, Failure> {
        let (Asked { found, load, .. }, _) = self.ask(std::slice::from_ref(upstream), DEFAULT_FOLDER).await?;
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

    /// Returns nginx's present workers; waits while others reload it. `None`: its master is gone.
    pub async fn generation(&self, nginx: &Nginx) -> Result<Option<Generation>, Failure> {
        let (began, patience) = (Instant::now(), nginx.patience(self.patience));
        loop {
            let output = self.run(&format!("{}workers {}\n", workers::FUNCTION, nginx.master.pid)).await?;
            match workers::read(&output.stdout) {
                Present::Settled(generation) if generation.master == nginx.master => return Ok(Some(generation)),
                Present::Unsettled if began.elapsed() < patience => {}
                _ => return Ok(None),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Changes files of swap's folder, tests, reloads, and confirms that new workers obey them; one script.
    ///
    /// Returns the workers that still obey the former files. On any failure the former bytes are put back, and nginx is
    /// made to obey them if it may have seen the new ones. Switching back is the same with the former texts.
    ///
    /// May run twice: the same bytes are written again, nginx reloads once more, and the generation that is returned
    /// holds every worker that runs by then, also those that the first time left to finish.
    pub async fn switch(&self, nginx: &Nginx, changes: &[FileChange]) -> Result<Generation, SwitchFailure> {
        let untouched = |failure| SwitchFailure { failure, restored: true };
        let files = Files::new(nginx, changes).map_err(untouched)?;
        let began = SystemTime::now();
        let mut master = nginx.master;
        let mut restarted = false;
        // nginx may restart while we work: twice in a row is more than an accident.
        for _ in 0..3 {
            let body = self.switch_script(nginx, master, &files, restarted);
            // Without an answer nobody knows how far the script came.
            // It tests, waits for the master, for new workers, and when it goes back for the master again.
            let limit = self.loading + 6 * nginx.patience(self.patience);
            let output = self
                .change("switch", &body, limit)
                .await
                .map_err(|failure| SwitchFailure { failure, restored: false })?;
            let answer = Answer::read(&output);
            match answer.result.as_str() {
                "switched" => return Ok(Generation { boot: answer.boot, master, workers: answer.old }),
                "gone" | "lost" => {
                    restarted = true;
                    let restored = answer.restored;
                    master =
                        self.wait_for_master(nginx).await.map_err(|failure| SwitchFailure { failure, restored })?;
                }
                _ => return Err(self.explain(nginx, answer, &output, began).await),
            }
        }
        Err(untouched(Failure::new("nginx restarts again and again").hint("see why in its log, then swap again")))
    }

    /// Tries to connect to an address from where nginx is, for a second at most. Changes nothing.
    pub async fn connects(&self, address: SocketAddr) -> Result<Connected, Failure> {
        Ok(connect::read(&self.run(&connect::script(address)).await?))
    }

    /// Returns the workers of a former generation that still run; none means that its containers are safe to stop.
    ///
    /// Asks the processes themselves, so that a new master, a restart or a pid that was given again deceives nobody.
    /// Fails only when the shell does: a container that is gone has taken its workers with it.
    pub async fn drained(&self, generation: &Generation) -> Result<Vec<Worker>, Failure> {
        let pids: Vec<String> = generation.workers.iter().map(|worker| worker.pid.to_string()).collect();
        let body = format!(
            "BOOT=\nread -r BOOT < /proc/sys/kernel/random/boot_id\nprintf 'boot %s\\n' \"$BOOT\"\n\
             for P in {}; do\n  process \"$P\" || continue\n  title \"$P\"\n\
             case $TITLE in *'is shutting down'*) L=leaving;; *) L=serving;; esac\n\
             printf '%s %s %s\\n' \"$P\" \"$START\" \"$L\"\ndone\necho end\n",
            pids.join(" ")
        );
        let output = self.run(&body).await?;
        let lines: Vec<&str> = output.stdout.lines().collect();
        let (Some(boot), Some(&"end")) = (lines.first().and_then(|line| line.strip_prefix("boot ")), lines.last())
        else {
            return Err(cut(&output));
        };
        if boot != generation.boot {
            return Ok(Vec::new());
        }
        let worker = |line: &&str| {
            let mut words = line.split(' ');
            let process = Process { pid: words.next()?.parse().ok()?, start: words.next()?.parse().ok()? };
            Some(Worker { process, leaving: words.next() == Some("leaving") })
        };
        let running = lines.iter().filter_map(worker);
        Ok(running.filter(|worker| generation.workers.contains(&worker.process)).collect())
    }

    /// Waits until no worker of a former generation runs. Fails when time is up, naming those that stay.
    ///
    /// `on_wait` sees who is left each time that changes.
    pub async fn await_drained(
        &self,
        generation: &Generation,
        timeout: Duration,
        mut on_wait: impl FnMut(&[Worker]),
    ) -> Result<(), Failure> {
        let mut told = usize::MAX;
        let left = self
            .poll(generation, timeout, |left| {
                if left.len() != told && !left.is_empty() {
                    told = left.len();
                    on_wait(left);
                }
                left.is_empty()
            })
            .await?;
        if left.is_empty() {
            return Ok(());
        }
        let pids: Vec<String> = left.iter().map(|worker| worker.process.pid.to_string()).collect();
        Err(Failure::new(format!(
            "old nginx workers ({}) still have requests of the old container after {}",
            pids.join(", "),
            humantime::format_duration(timeout)
        ))
        .hint(
            "give `timeouts: { drain: … }` more time, or set `client_header_timeout` lower if connections are silent",
        ))
    }

    /// Waits until no worker of a former generation takes new connections, about 100 ms after the switch; tells whether
    /// it came to that. From then on every new connection gets the candidate.
    pub async fn await_turned(&self, generation: &Generation, timeout: Duration) -> Result<bool, Failure> {
        let turned = |left: &[Worker]| left.iter().all(|worker| worker.leaving);
        Ok(turned(&self.poll(generation, timeout, turned).await?))
    }

    async fn poll(
        &self,
        generation: &Generation,
        timeout: Duration,
        mut enough: impl FnMut(&[Worker]) -> bool,
    ) -> Result<Vec<Worker>, Failure> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            let left = self.drained(generation).await?;
            let passed = began.elapsed();
            if enough(&left) || passed >= timeout {
                return Ok(left);
            }
            tokio::time::sleep(pause.min(timeout - passed)).await;
            pause = (pause * 5 / 4).min(Duration::from_millis(50));
        }
    }

    /// Waits for the master of a restarted nginx with the same options.
    async fn wait_for_master(&self, nginx: &Nginx) -> Result<Process, Failure> {
        let (began, patience) = (Instant::now(), nginx.patience(self.patience));
        loop {
            let masters = self.run(find::SCRIPT).await.and_then(|output| find::masters(&output.stdout));
            let masters = match masters {
                Ok(masters) => masters,
                Err(failure) if began.elapsed() >= patience => return Err(failure),
                Err(_) => Vec::new(),
            };
            if let Some(master) = masters.iter().find(|master| master.arguments == nginx.arguments) {
                return Ok(master.process);
            }
            if began.elapsed() >= patience {
                return Err(
                    Failure::new("nginx stopped in the middle of the switch").hint("start nginx, then swap again")
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs a script that has an effect.
    async fn change(&self, name: &str, body: &str, limit: Duration) -> Result<Output, Failure> {
        let point = async |when: &str| {
            let passed = failpoint::reach(|| format!("{when} nginx {name}")).await;
            passed.map_err(|error| Failure::new(format!("nginx: {error}")))
        };
        point("before").await?;
        let output = self.shell.run_within(&subshell(body), limit).await?;
        point("after").await?;
        Ok(output)
    }

    async fn run(&self, body: &str) -> Result<Output, Failure> {
        self.shell.run(&subshell(body)).await
    }

    fn switch_script(&self, nginx: &Nginx, master: Process, files: &Files<'_>, restarted: bool) -> String {
        // Counted in hundredths of a second, as /proc/uptime does.
        let patience = (nginx.patience(self.patience).as_millis() / 10).max(1);
        let undoing = patience.max(1000);
        let log = match &nginx.error_log {
            ErrorLog::File(path) => quote(path),
            ErrorLog::Stderr | ErrorLog::Elsewhere => "''".to_owned(),
        };
        format!(
            "MASTER={} BEGUN={} PATIENCE={patience} UNDOING={undoing} RESTARTED={} LOG={log}\ncheck() {{ {} {} -t 2>&1; }}\n{}{SWITCH}",
            master.pid,
            master.start,
            u8::from(restarted),
            quote(&nginx.binary),
            quote_all(&nginx.arguments),
            files.functions(),
        )
    }

    async fn explain(&self, nginx: &Nginx, answer: Answer, output: &Output, began: SystemTime) -> SwitchFailure {
        let restored = answer.restored;
        let mut lines = answer.message;
        let is_stream = lines.is_empty() && matches!(answer.result.as_str(), "unchanged" | "slow");
        if is_stream {
            lines = self.shell.logged_since(began).await;
        }
        let reasons = reasons(&lines);
        let reason = reasons.first().map(|reason| format!(": {reason}")).unwrap_or_default();
        let failure = match answer.result.as_str() {
            "unwritten" => not_written(&nginx.folder, output),
            "refused" => {
                Failure::new(format!("nginx refused its configuration with the new upstream{reason}")).tail(lines)
            }
            "unchanged" => Failure::new(format!("nginx did not apply the reload{reason}"))
                .hint("see nginx's error log; `nginx -s reload` must work before swap can switch")
                .tail(reasons),
            "slow" => Failure::new(format!(
                "nginx showed no new worker within {} of the reload{reason}",
                humantime::format_duration(nginx.patience(self.patience))
            ))
            .hint("see nginx's error log; where it only needs longer, `timeouts: { reload: 60s }` gives it more time")
            .tail(reasons),
            "forbidden" => Failure::new("the shell beside nginx may not signal nginx's master process")
                .hint("run as root, or as the user that nginx runs as")
                .tail(output.stderr.lines().map(str::to_owned)),
            _ => cut(output),
        };
        let failure = if restored {
            failure
        } else {
            Failure { what: format!("{}; the former files could not be put back", failure.what), ..failure }
        };
        SwitchFailure { failure, restored }
    }
}

/// What follows the functions of [`Files`] in a switch. Answers a line `RESULT restored|changed`, then `boot ID`,
/// `old PID START` for each worker, and after a line `message` what nginx said.
///
/// A worker proves the new files only if its master read them after the rename. That is certain when the master waits
/// for signals after the rename and the worker is none of those that ran by then: somebody else's reload that is under
/// way shows as a master that does not wait.
const SWITCH: &str = r#"
OLD=' ' BOOT= NEW= MESSAGE=
same_master() { process "$MASTER" && [ "$START" = "$BEGUN" ]; }
nap() { sleep 0.004 2>/dev/null || sleep 1; }
note() {
  children "$MASTER"
  for P in $CHILDREN; do
    process "$P" || continue
    title "$P"
    case $TITLE in 'nginx: worker process'*) ;; *) continue;; esac
    case $OLD in *" $P:$START "*) ;; *) OLD="$OLD$P:$START ";; esac
  done
}
answer() {
  printf '%s %s\n' "$1" "$2"
  { read -r BOOT < /proc/sys/kernel/random/boot_id; } 2>/dev/null
  printf 'boot %s\n' "$BOOT"
  for P in $OLD; do printf 'old %s %s\n' "${P%:*}" "${P#*:}"; done
  printf 'message\n%s\n' "$MESSAGE"
  exit 0
}
undo() { if restore; then tidy; BACK=restored; else BACK=changed; fi; }
# Begin to count the naps, and the hundredths of a second where the kernel tells them.
begin() { N=0; now; END=$((NOW + $1)); MOST=$(($1 * 5)); }
over() { N=$((N + 1)); now; [ "$NOW" -ge "$END" ] || [ "$N" -ge "$MOST" ]; }
settle() {
  begin "$1"
  while settled "$MASTER"; [ $? -eq 1 ]; do
    if over; then return 1; fi
    nap
  done
  return 0
}
# Look whether nginx changed: sets RESULT to switched, unchanged, slow or lost.
confirm() {
  QUIET=0
  begin "$PATIENCE"
  while :; do
    NEW=
    children "$MASTER"
    for P in $CHILDREN; do
      process "$P" || continue
      case $OLD in *" $P:$START "*) continue;; esac
      title "$P"
      case $TITLE in
        'nginx: worker process'*) RESULT=switched; return;;
        'nginx: cache '*) ;;
        *) NEW=1;;
      esac
    done
    same_master || { RESULT=lost; return; }
    settled "$MASTER"
    if [ $? -eq 0 ] && [ -z "$NEW" ]; then QUIET=$((QUIET + 1)); else QUIET=0; fi
    [ "$QUIET" -ge 3 ] && { RESULT=unchanged; return; }
    if over; then RESULT=slow; return; fi
    nap
  done
}
same_master || answer gone restored
SIZE=
[ -n "$LOG" ] && [ -f "$LOG" ] && SIZE=$(wc -c < "$LOG" 2>/dev/null)
prepare || { tidy; answer unwritten restored; }
kill -0 "$MASTER" || { tidy; answer forbidden restored; }
apply || { undo; answer unwritten "$BACK"; }
MESSAGE=$(check) || { undo; answer refused "$BACK"; }
MESSAGE=
settle "$PATIENCE"
note
note
if ! kill -HUP "$MASTER"; then undo; answer lost "$BACK"; fi
sync_folder &
confirm
wait
case $RESULT in
  switched) tidy; answer switched changed;;
  lost) undo; answer lost "$BACK";;
esac
undo
SERVING=
for P in $OLD; do
  title "${P%:*}"
  case $TITLE in 'nginx: worker process') SERVING=1;; esac
done
# It may still obey the new files, or do so later: let it read the former ones.
if [ "$RESULT" = slow ] || [ -z "$SERVING" ] || [ "$RESTARTED" = 1 ]; then
  kill -HUP "$MASTER"
  nap
  settle "$UNDOING" || BACK=changed
fi
if [ -n "$SIZE" ]; then MESSAGE=$(tail -c "+$((SIZE + 1))" "$LOG" 2>/dev/null | tail -n 200); fi
answer "$RESULT" "$BACK"
"#;

/// The files of a change as functions of a script: `prepare`, `apply`, `restore`, `tidy`, `sync_folder`.
///
/// The names beside a file, `.app.conf.swap-new` and `.app.conf.swap-old`, match no `*.conf`. Two runs at once never write one
/// upstream, but the tuning file is everybody's: beside it each run has names of its own, made of its upstream's. It is removed
/// only where no other upstream of swap's is in the folder, because their reloads rely on it.
struct Files<'a> {
    nginx: &'a Nginx,
    changes: &'a [FileChange],
}

impl<'a> Files<'a> {
    fn new(nginx: &'a Nginx, changes: &'a [FileChange]) -> Result<Self, Failure> {
        for FileChange { name, text } in changes {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if !name.chars().all(plain) || name.starts_with(['.', '-']) || !name.ends_with(".conf") {
                return Err(Failure::new(format!("internal: `{}` is no file of swap's", printable(name))));
            }
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                return Err(Failure::new(format!("internal: `{name}` would hold a NUL")));
            }
        }
        Ok(Self { nginx, changes })
    }

    fn functions(&self) -> String {
        let (mut prepare, mut apply, mut restore, mut tidy) =
            (String::new(), String::new(), String::new(), String::new());
        let own = self.changes.iter().find(|change| change.name != TUNING_FILE).map_or("", |change| &change.name);
        for (at, FileChange { name, text }) in self.changes.iter().enumerate() {
            let beside = if name == TUNING_FILE { format!("{name}.{own}") } else { name.clone() };
            let (new, old) = (format!("\"$FOLDER\"/.{beside}.swap-new"), format!("\"$FOLDER\"/.{beside}.swap-old"));
            let file = format!("\"$FOLDER\"/{name}");
            // What is there already is not written again: also where nothing can be written any more, nginx can be made to
            // obey it. The old bytes stay as they are, whatever they are: a second name, or where that can't be, a copy.
            if let Some(text) = text {
                prepare += &format!(
                    "  if [ \"$(cat {file} 2>/dev/null && printf .)\" = {} ]; then SAME{at}=1; fi\n",
                    quote(&format!("{text}."))
                );
            }
            prepare += &format!(
                "  if [ -d {file} ]; then echo \"$FOLDER/{name} is a directory\" >&2; return 1; fi\n  \
                 if [ -n \"$SAME{at}\" ]; then if [ -n \"$SYNC\" ]; then sync {file} 2>/dev/null; fi; else\n  \
                 if [ -e {old} ]; then rm -f {old} || return 1; fi\n  \
                 if [ -e {file} ]; then ln {file} {old} 2>/dev/null || cp -p {file} {old} || return 1; fi\n"
            );
            let unless_same = format!("[ -n \"$SAME{at}\" ] ||");
            match text {
                Some(text) => {
                    // By `cat`, which says why it can't write; some shells only know of an error.
                    prepare += &format!(
                        "  printf '%s' {} | cat > {new} || return 1\n  if [ -n \"$SYNC\" ]; then sync {new} || return 1; fi\n",
                        quote(text)
                    );
                    apply += &format!("  {unless_same} mv -f {new} {file} || return 1\n");
                }
                None if name == TUNING_FILE => {
                    apply += &format!("  if alone; then rm -f {file} || return 1; fi\n");
                }
                None => apply += &format!("  rm -f {file} || return 1\n"),
            }
            prepare += "  fi\n";
            restore += &format!(
                "  {unless_same} if [ -e {old} ]; then mv -f {old} {file} || R=1; else rm -f {file} || R=1; fi\n"
            );
            tidy += &format!(" {old} {new}");
        }
        let same: String = (0..self.changes.len()).map(|at| format!("SAME{at}=\n")).collect();
        format!(
            "FOLDER={}\nSYNC={}\n{same}umask 022\n\
             prepare() {{\n{prepare}  return 0\n}}\n\
             apply() {{\n{apply}  return 0\n}}\n\
             restore() {{\n  R=0\n{restore}  return $R\n}}\n\
             tidy() {{ rm -f{tidy}; }}\n\
             alone() {{\n  for F in \"$FOLDER\"/*.conf; do\n    case ${{F##*/}} in {TUNING_FILE}|{}) continue;; esac\n    \
             LINE=\n    {{ IFS= read -r LINE < \"$F\"; }} 2>/dev/null\n    \
             case $LINE in {}*) return 1;; esac\n  done\n  return 0\n}}\n\
             sync_folder() {{ if [ -n \"$SYNC\" ]; then sync \"$FOLDER\" 2>/dev/null; fi; return 0; }}\n",
            quote(&self.nginx.folder),
            if self.nginx.syncs_files { "1" } else { "" },
            quote(own),
            quote(TITLE),
        )
    }
}

/// What [`SWITCH`] answered.
#[derive(Debug, Default)]
struct Answer {
    result: String,
    restored: bool,
    boot: String,
    old: Vec<Process>,
    message: Vec<String>,
}

impl Answer {
    fn read(output: &Output) -> Self {
        let mut answer = Answer::default();
        let mut lines = output.stdout.lines();
        if let Some((result, back)) = lines.next().and_then(|line| line.split_once(' ')) {
            answer.result = result.to_owned();
            answer.restored = back == "restored";
        }
        for line in lines.by_ref() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("message"), ..) => break,
                (Some("boot"), Some(boot), _) => answer.boot = boot.to_owned(),
                (Some("old"), Some(pid), Some(start)) => {
                    if let (Ok(pid), Ok(start)) = (pid.parse(), start.parse()) {
                        answer.old.push(Process { pid, start });
                    }
                }
                _ => {}
            }
        }
        answer.message = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        answer
    }
}

/// The messages of nginx's errors that stopped it, without time and pid, each once.
pub fn reasons(lines: &[String]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for line in lines {
        let Some((_, rest)) = line.split_once("[emerg] ") else { continue };
        // `4790#4790: bind() to …` in a log, `bind() to …` on the standard error.
        let reason = match rest.split_once(": ") {
            Some((ids, reason)) if ids.chars().all(|c| c.is_ascii_digit() || c == '#') => reason,
            _ => rest,
        };
        let reason = printable(reason);
        if !reasons.contains(&reason) && reason != "still could not bind()" {
            reasons.push(reason);
        }
    }
    reasons
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

fn ask_script(at: usize, master: &Master) -> String {
    let (binary, arguments) = (quote(&master.binary), quote_all(&master.arguments));
    format!(
        "printf '%s version {at}\\n' \"$MARK\"\n{binary} -V 2>&1\n\
         printf '\\n%s dump {at}\\n' \"$MARK\"\nnow; THEN=$NOW\n{binary} {arguments} -T 2>&1\nCODE=$?\nnow\n\
         printf '\\n%s code {at}\\n%s\\n' \"$MARK\" \"$CODE\"\n\
         printf '\\n%s took {at}\\n%s\\n' \"$MARK\" \"$((NOW - THEN))\"\n\
         printf '\\n%s workers {at}\\n' \"$MARK\"\nworkers {}\n",
        master.process.pid
    )
}

/// `show SECTION FILE` prints a file that is there as a section of the answer.
const SHOW: &str = r#"
show() { [ -f "$2" ] || return; printf '\n%s %s\n' "$MARK" "$1"; cat "$2"; }
"#;

fn folder_script(folder: &str, services: &[ServiceName]) -> String {
    let files: String = services.iter().map(|service| format!(" upstream/{}", file_name(service))).collect();
    format!(
        r#"{SHOW}
FOLDER={}
case $(sync --help 2>&1) in *FILE*) printf '\n%s syncs\n' "$MARK";; esac
printf '\n%s folder\n' "$MARK"
[ -d "$FOLDER" ] && echo exists
[ -w "$FOLDER" ] && echo writable
printf '\n%s path\n' "$MARK"
(cd -P "$FOLDER" 2>/dev/null && pwd -P)
printf '\n%s mounts\n' "$MARK"
cat /proc/self/mountinfo
printf '\n%s resolver\n' "$MARK"
cat /etc/resolv.conf 2>/dev/null
printf '\n%s hosts\n' "$MARK"
cat /etc/hosts 2>/dev/null
printf '\n%s connects\n' "$MARK"
{}
for PAIR in tuning/{TUNING_FILE}{files}; do
  show "$PAIR" "$FOLDER/${{PAIR#*/}}"
done
printf '\n%s end\n' "$MARK"
"#,
        quote(folder),
        connect::HAS_TOOL,
    )
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
        tuning: sections.get(&format!("tuning/{TUNING_FILE}")).cloned(),
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

fn not_written(folder: &str, output: &Output) -> Failure {
    let lines: Vec<String> = output.stderr.lines().map(printable).collect();
    let reason = lines.last().map(|line| format!(": {line}")).unwrap_or_default();
    let full = reason.contains("No space left");
    Failure::new(format!("writing into the upstream folder `{folder}` failed{reason}")).hint(if full {
        "free some disk space where that folder is"
    } else {
        "make it writable for the user that nginx's shell runs as"
    })
}

fn cut(output: &Output) -> Failure {
    Failure::new(format!("the shell beside nginx answered only in part (exit code {})", output.code))
        .tail(output.stderr.lines().rev().take(5).map(str::to_owned).collect::<Vec<_>>().into_iter().rev())
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
        let corpus = [
            "switched changed\nboot 5f2d\nold 7 123456\nold 8 123457\nmessage\n",
            "refused restored\nboot 5f2d\nmessage\n2026/01/31 [emerg] 7#7: bind() to 0.0.0.0:80 failed\n",
        ];
        crate::mutated::texts(&corpus, |text| {
            let output = Output { code: 0, stdout: text.to_owned(), stderr: String::new() };
            let answer = Answer::read(&output);
            reasons(&answer.message).iter().for_each(|reason| crate::mutated::harmless_line("a reason", reason));
            let _ = sections(&output, "swap-mark");
            let _ = engine_dns(text);
        });
    }
}
