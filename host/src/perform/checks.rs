//! What is asked of one candidate: its checks, as commands and requests, and the health hooks.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::real::Real;
use crate::docker::{self, Command, Docker, ExecError, Inside, Listening, probe};
use crate::hooks::{Health, Pending};
use crate::model::{Check, Container, Failure, ServiceName, meant};
use crate::nginx::Connected;
use crate::plan::Front;
use crate::run::RunFacts;
use crate::text::printable;
use crate::world::{Patience, Round};

/// One attempt of a check may hang so long; the next one may do better.
const ATTEMPT: Duration = Duration::from_secs(10);
/// In the watch a check hangs after this time, or after [`UNUSUAL`] times what it took while the candidate got ready: what
/// hangs must not outlast the watch. It is longer than for a request, because most checks are commands in the container.
const HANGS: Duration = Duration::from_secs(2);
/// See [`HANGS`].
const UNUSUAL: u32 = 5;
/// After so long the engine has noted that a container has ended.
const NOTED: Duration = Duration::from_millis(200);
/// After so long it is asked inside of a candidate what listens there: that is a command, and most are just not ready.
const PATIENT_LOOK: Duration = Duration::from_millis(800);
/// What a check needs may come so late at least: a candidate may install it at its start. It may take a third of the health
/// timeout, so that who gives a candidate long to start gives it long to install, too.
const INSTALLS: Duration = Duration::from_secs(5);

/// How long what is asked in one round may take.
struct Limits {
    check: Duration,
    /// `None`: as long as a call of a hook may take.
    hooks: Option<Duration>,
    /// After so long a missing program is not going to be found.
    installs: Duration,
}

/// Returns under which name it is known what is normal for a candidate's hooks.
fn hooks_of(id: &str) -> String {
    format!("hooks of {id}")
}

/// Returns a time as people read it.
fn rounded(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis().div_ceil(100) as u64 * 100)
}

/// All that is asked of one candidate.
pub struct Checks {
    service: ServiceName,
    candidate: Container,
    checks: Vec<Check>,
    port: Option<u16>,
    /// The nginxes that must all reach it; none: a worker.
    fronts: Vec<Front>,
    /// Whether this machine reaches the candidate's address; else probes go through the engine.
    direct: bool,
    began: Instant,
    /// The hooks that have not answered.
    pending: Pending,
    /// Since when a command of the checks is not found, and the round of checks before did not find it either.
    missing: Mutex<Option<Instant>>,
}

impl Checks {
    /// Gets ready to ask: the candidate's own `HEALTHCHECK`, which a new image may have changed, stands for the one that was
    /// planned.
    pub(super) async fn new(
        docker: &Docker,
        service: &ServiceName,
        candidate: &Container,
        checks: &[Check],
        port: Option<u16>,
        fronts: &[Front],
    ) -> Result<Self, Failure> {
        let seen = docker.inspect(&candidate.id).await?;
        let mut checks = checks.to_vec();
        checks.retain(|check| !matches!(check, Check::Docker(_)));
        if let Some(command) = seen.as_ref().and_then(|seen| seen.healthcheck.clone()) {
            checks.insert(0, Check::Docker(command));
        }
        let probes = checks.iter().any(|check| matches!(check, Check::Http(_) | Check::Tcp | Check::Reach(_)));
        let direct = match candidate.address.filter(|_| probes) {
            Some(address) => !matches!(probe::reachable(address).await, docker::ConnectResult::Unreachable(_)),
            None => false,
        };
        Ok(Self {
            service: service.clone(),
            candidate: candidate.clone(),
            checks,
            port,
            fronts: fronts.to_vec(),
            direct,
            began: Instant::now(),
            pending: Pending::default(),
            missing: Mutex::default(),
        })
    }

    /// Returns which hooks have not answered, in words.
    pub(super) fn pending(&self) -> Option<String> {
        self.pending.said()
    }
}

/// Asks what is asked of a candidate.
pub(super) struct Asker<'a> {
    pub(super) real: &'a Real<'a>,
    pub(super) of: &'a Checks,
}

impl Asker<'_> {
    fn docker(&self) -> &Docker {
        &self.real.site.docker
    }

    /// Returns how long what is asked may take now that it is known what is normal here. Where another process has asked until
    /// now, the first round shows it.
    fn limits(&self) -> Limits {
        let unusual = |id: &str| self.real.usual.of(id).map(|usual| usual * UNUSUAL);
        Limits {
            check: unusual(&self.of.candidate.id).map_or(ATTEMPT, |time| time.clamp(HANGS, ATTEMPT)),
            hooks: unusual(&hooks_of(&self.of.candidate.id)).map(|time| time.max(ATTEMPT)),
            installs: INSTALLS,
        }
    }

    /// Asks every check and every health hook once; all must agree.
    pub(super) async fn round(&self, patience: Patience, facts: &RunFacts) -> Round {
        let limits = match patience {
            Patience::Starting { timeout } => {
                Limits { check: ATTEMPT, hooks: None, installs: INSTALLS.max(timeout / 3) }
            }
            Patience::Live => self.limits(),
        };
        let late = |what: String, limit: Duration| {
            Round::NotYet(format!("{what} gave no answer within {}", humantime::format_duration(limit)), None)
        };
        for check in &self.of.checks {
            let asked = Instant::now();
            let answer = tokio::time::timeout(limits.check, self.ask(check, limits.installs)).await;
            match answer.unwrap_or_else(|_| late(check.to_string(), rounded(limits.check))) {
                Round::Healthy => self.real.usual.learn(&self.of.candidate.id, asked.elapsed()),
                other => return other,
            }
        }
        let asked = Instant::now();
        let hooks = self.real.ask_health(&self.of.service, &self.of.candidate, &self.of.pending, facts);
        let health = match limits.hooks {
            Some(limit) => tokio::time::timeout(limit, hooks).await.ok(),
            None => Some(hooks.await),
        };
        let pending = self.of.pending.said();
        self.of.pending.clear();
        let Some(health) = health else {
            return Round::NotYet(pending.unwrap_or_else(|| "the health hooks have not answered".to_owned()), None);
        };
        match health {
            Health::Healthy => {
                self.real.usual.learn(&hooks_of(&self.of.candidate.id), asked.elapsed());
                Round::Healthy
            }
            Health::NotYet { retry_after, failure, .. } => Round::NotYet(failure.what, retry_after),
            Health::Fatal(failure) => Round::Fatal(failure),
        }
    }

    async fn ask(&self, check: &Check, installs: Duration) -> Round {
        match check {
            Check::Docker(command) => match command.split_first() {
                Some((kind, words)) if kind == "CMD" => self.run(check, &Command::new(words), installs).await,
                Some((kind, [line])) if kind == "CMD-SHELL" => self.run(check, &Command::shell(line), installs).await,
                _ => Round::Healthy,
            },
            Check::Command(words) => self.run(check, &Command::new(words), installs).await,
            Check::Shell(line) => self.run(check, &Command::shell(line), installs).await,
            Check::Tcp => self.tcp().await,
            Check::Reach(port) => self.reached(*port).await,
            Check::Http(path) => self.http(path).await,
            Check::Running(time) => match self.of.began.elapsed() {
                ran if ran >= *time => Round::Healthy,
                ran => Round::NotYet(format!("it runs for {} ms", ran.as_millis()), None),
            },
        }
    }

    /// Runs a check's command in the candidate. A command that is not there may be what the candidate installs at its start, but
    /// not for ever.
    async fn run(&self, check: &Check, command: &Command, installs: Duration) -> Round {
        let ran = self.docker().exec(&self.of.candidate.id, command, &mut |_, _| {}).await;
        let found =
            !matches!(&ran, Ok(output) if output.code == 127) && !matches!(ran, Err(ExecError::NotFound { .. }));
        if found {
            *self.missing() = None;
        }
        match ran {
            Ok(output) if output.ok() => Round::Healthy,
            Ok(output) if output.code == 127 => {
                let said = lines(&format!("{}\n{}", output.stdout, output.stderr));
                let word = match check {
                    Check::Shell(line) => line.split_whitespace().next().unwrap_or_default(),
                    _ => command.argv.first().map_or("", String::as_str),
                };
                self.lacks(self.not_found_by(check, word, said), installs)
            }
            Ok(output) => {
                let said = lines(&format!("{}\n{}", output.stdout, output.stderr)).pop();
                let said = said.map(|line| format!(": {line}")).unwrap_or_default();
                Round::NotYet(format!("{check} exited {}{said}", output.code), None)
            }
            // In a container that is just ending the engine finds no program either.
            Err(ExecError::NotFound { program, .. }) if self.runs_on().await => {
                self.lacks(self.not_found(&program), installs)
            }
            Err(ExecError::NotFound { .. } | ExecError::NotRunning(_)) => {
                Round::NotYet("it does not run".to_owned(), None)
            }
            Err(ExecError::Failed(failure)) => Round::NotYet(failure.what, None),
        }
    }

    /// Tells whether the candidate still runs when the engine has had the time to note its end.
    async fn runs_on(&self) -> bool {
        tokio::time::sleep(NOTED).await;
        matches!(self.docker().inspect(&self.of.candidate.id).await, Ok(Some(seen)) if seen.runs())
    }

    fn missing(&self) -> MutexGuard<'_, Option<Instant>> {
        self.of.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges that something is not found: not yet, and never where it stays so.
    fn lacks(&self, failure: Failure, installs: Duration) -> Round {
        let since = *self.missing().get_or_insert_with(Instant::now);
        match since.elapsed() {
            time if time >= installs => Round::Fatal(failure),
            _ => Round::NotYet(failure.what, None),
        }
    }

    /// Tells a command that is not there from one that lacks a tool of its own: a shell exits 127 for both, and names what it
    /// did not find.
    fn not_found_by(&self, check: &Check, word: &str, said: Vec<String>) -> Failure {
        let last = said.iter().rev().find(|line| line.contains("not found")).or(said.last());
        // The script that calls the program stands in the same line.
        let own = last.is_none_or(|line| match missing(line) {
            Some(missing) => missing == word,
            None => line.split([':', ' ', '`', '\'', '"']).any(|part| part == word),
        });
        if own && matches!(check, Check::Shell(_)) {
            return self.not_found(word).tail(said);
        }
        let why = last.map(|line| format!(": {line}")).unwrap_or_default();
        Failure::new(format!("{check} exited 127 in candidate `{}`{why}", self.of.candidate.name))
            .hint("the command is there and lacks a program that it calls; is that in the image?")
            .tail(said)
    }

    fn not_found(&self, word: &str) -> Failure {
        let services = self.real.site.services();
        let meant = meant(word, &services);
        Failure::new(format!(
            "health command `{}` not found in candidate `{}`{meant}",
            printable(word),
            self.of.candidate.name
        ))
        .hint(
            "the command runs inside the new container, in its working directory; is it in the image, and executable?",
        )
    }

    async fn tcp(&self) -> Round {
        let Some(port) = self.of.port else {
            return Round::Fatal(
                Failure::new(format!("the port of `{}` is unknown, so it can't be checked", self.of.service))
                    .hint(format!("write `x-swap: {{ port: 8000 }}` under `services: {}:`", self.of.service)),
            );
        };
        self.accepts(port).await
    }

    /// Asks the side of each nginx for a connection, because what this machine or the candidate itself sees proves nothing for
    /// nginx. Only where nothing there can connect, this machine's word or the candidate's own sockets must do; the plan has said
    /// so.
    async fn reached(&self, port: u16) -> Round {
        let Some(address) = self.of.candidate.address.filter(|_| !self.of.fronts.is_empty()) else {
            return self.accepts(port).await;
        };
        for front in &self.of.fronts {
            match self.reached_by(front, address).await {
                Round::Healthy => {}
                other => return other,
            }
        }
        Round::Healthy
    }

    async fn reached_by(&self, front: &Front, address: SocketAddr) -> Round {
        let door = match self.real.site.door(&self.of.service, front).await {
            Ok(door) => door,
            Err(failure) => return Round::NotYet(failure.what, None),
        };
        match door.proxy.connects(address).await {
            Ok(Connected::Yes) => Round::Healthy,
            Ok(Connected::No(why)) => Round::NotYet(self.unreached(front, address, &why).await, None),
            Ok(Connected::NoTool) => self.accepts(address.port()).await,
            Err(failure) => Round::NotYet(failure.what, None),
        }
    }

    /// Asks whether something accepts connections on the port, from this machine, or else by the candidate's own sockets.
    async fn accepts(&self, port: u16) -> Round {
        if let (true, Some(address)) = (self.of.direct, self.of.candidate.address) {
            return match probe::tcp(address, Duration::from_secs(1)).await {
                docker::ConnectResult::Open => Round::Healthy,
                docker::ConnectResult::Refused => Round::NotYet(self.nothing_listens(port).await, None),
                docker::ConnectResult::Unreachable(why) => Round::NotYet(why, None),
            };
        }
        match self.docker().listening(&self.of.candidate.id, port).await {
            Ok(Listening::Yes) => Round::Healthy,
            Ok(Listening::No | Listening::OnlyInside) => Round::NotYet(self.nothing_listens(port).await, None),
            Err(failure) => Round::NotYet(failure.what, None),
        }
    }

    /// Says that nginx gets no connection, and what the candidate's own sockets tell of the reason.
    async fn unreached(&self, front: &Front, address: SocketAddr, why: &str) -> String {
        let who = if self.of.fronts.len() > 1 { front.proxy.to_string() } else { "nginx".to_owned() };
        let sockets = self.sockets().await;
        match probe::listening(&sockets, address.port()) {
            Listening::Yes => format!("{who} does not reach {address}, though something listens there: {why}"),
            Listening::No | Listening::OnlyInside => nothing_listens(&address.to_string(), &sockets, address.port()),
        }
    }

    async fn nothing_listens(&self, port: u16) -> String {
        let place = self.of.candidate.address.map_or_else(|| format!("port {port}"), |address| address.to_string());
        nothing_listens(&place, &self.sockets().await, port)
    }

    /// Returns what the candidate listens on. Most have just not come so far, so it is asked only after a while: that is a
    /// command in the container.
    async fn sockets(&self) -> Vec<SocketAddr> {
        if self.of.began.elapsed() < PATIENT_LOOK {
            return Vec::new();
        }
        self.docker().listening_sockets(&self.of.candidate.id).await.unwrap_or_default()
    }

    async fn http(&self, path: &str) -> Round {
        let Some(port) = self.of.port else { return self.tcp().await };
        let host = self.of.service.as_str();
        let status = match (self.of.direct, self.of.candidate.address) {
            (true, Some(address)) => {
                probe::http_get(address, host, path, ATTEMPT).await.map_err(|failure| failure.what)
            }
            _ => self.http_inside(path, port, host).await,
        };
        match status {
            Ok(status) if (200..400).contains(&status) => Round::Healthy,
            Ok(status) => Round::NotYet(format!("GET {path} answered {status}"), None),
            Err(why) => Round::NotYet(why, None),
        }
    }

    /// Asks from the proxy's side where this machine can't reach the candidate, else from inside of it.
    async fn http_inside(&self, path: &str, port: u16, host: &str) -> Result<u16, String> {
        let proxy = self.of.fronts.first().and_then(|front| front.container.as_ref());
        let mut places = Vec::new();
        if let (Some(proxy), Some(address)) = (proxy, self.of.candidate.address) {
            places.push((proxy.id.clone(), format!("http://{address}{path}")));
        }
        places.push((self.of.candidate.id.clone(), format!("http://127.0.0.1:{port}{path}")));
        for (id, url) in places {
            match self.docker().http_from(&id, &url, host, ATTEMPT).await {
                Ok(Inside::Status(status)) => return Ok(status),
                Ok(Inside::Failed(why)) => return Err(why),
                Ok(Inside::NoTool) => {}
                Err(failure) => return Err(failure.what),
            }
        }
        Err(format!(
            "{} can't be reached from here, and neither nginx's container nor the candidate has curl, wget or the like",
            self.of.candidate.name
        ))
    }
}

/// Says that nothing listens at a place, and where it does instead, if anywhere.
fn nothing_listens(place: &str, sockets: &[SocketAddr], port: u16) -> String {
    match probe::listens_instead(sockets, port) {
        Some(instead) => format!("nothing listens at {place} (it listens on {instead})"),
        None => format!("nothing listens at {place}"),
    }
}

/// Returns which program a shell says that it did not find.
fn missing(line: &str) -> Option<&str> {
    let (before, after) = line.rsplit_once("not found")?;
    let name = match after.trim().strip_prefix(':') {
        Some(name) => name,
        None => before.trim_end().trim_end_matches("command").trim_end().trim_end_matches(':').rsplit(':').next()?,
    };
    Some(name.trim_matches([' ', '`', '\'', '"']))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(printable).filter(|line| !line.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn a_shell_names_the_program_that_it_did_not_find() {
        for (line, name) in [
            ("sh: 1: check: not found", Some("check")),
            ("/data/check: 2: curl: not found", Some("curl")),
            ("sh: check: not found", Some("check")),
            ("/data/check: line 2: curl: command not found", Some("curl")),
            ("bash: line 1: ./check: command not found", Some("./check")),
            ("zsh: command not found: check", Some("check")),
            ("env: 'node': No such file or directory", None),
        ] {
            assert_eq!(missing(line), name, "{line}");
        }
    }
}
