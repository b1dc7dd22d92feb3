//! When a candidate is healthy, and whether it stays so while it is watched.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::live::Live;
use crate::docker::{self, Command, Docker, Ending, ExecError, Inside, Listening, probe};
use crate::hooks::{Health, Pending};
use crate::measure::probe::Probe;
use crate::measure::way;
use crate::model::{Check, Container, Failure, ServiceName, meant, printable};
use crate::nginx::Connected;
use crate::plan::{Front, Step};
use crate::run::{Facts, Learnt};
use crate::ui::front_door;

/// The first pause between two rounds of checks. It grows by a quarter each time.
const FIRST_PAUSE: Duration = Duration::from_millis(3);
/// The longest pause between two rounds.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// One attempt of a check may hang so long; the next one may do better.
const ATTEMPT: Duration = Duration::from_secs(10);
/// In the watch a check hangs after this time, or after [`UNUSUAL`] times what it took while the candidate got ready: what
/// hangs must not outlast the watch. It is longer than for a request, because most checks are commands in the container.
const HANGS: Duration = Duration::from_secs(2);
/// See [`HANGS`].
const UNUSUAL: u32 = 5;
/// So many rounds in a row must fail in the watch before a live candidate is judged bad.
const WATCH_FAILURES: u32 = 2;
/// The cure where a candidate may only be slow.
const LONGER: &str = "if it only needs longer, give it `--timeout 2m`, or `timeouts: { health: 2m }` in `x-swap`";
/// After so long the engine has noted that a container has ended.
const NOTED: Duration = Duration::from_millis(200);
/// After so long it is asked inside of a candidate what listens there: that is a command, and most are just not ready.
const PATIENT_LOOK: Duration = Duration::from_millis(800);
/// So many last lines of a container stand below a failure.
const LAST_LINES: usize = 15;
/// What a check needs may come so late: a candidate may install it at its start.
const INSTALLS: Duration = Duration::from_secs(5);
/// The pause between two rounds of the watch.
const WATCH_PAUSE: Duration = Duration::from_millis(250);

/// What one round of checks says.
enum Round {
    Healthy,
    /// Why not, and when a hook wants to be asked again.
    NotYet(String, Option<Duration>),
    Fatal(Failure),
}

/// Waits until all candidates are healthy. Twice: a healthy candidate is healthy again.
pub async fn await_healthy(live: &Live<'_>, step: &Step, facts: &Facts) -> Result<Learnt, Failure> {
    let Step::AwaitHealthy { service, checks, port, successes, stays, timeout, front, .. } = step else {
        return Err(Failure::new("internal: not a health step"));
    };
    let each = facts.candidates(service).iter().map(|candidate| async {
        let judge = Judge::new(live, service, candidate, checks, *port, front.as_deref()).await?;
        judge.until_healthy(*successes, *stays, *timeout, facts).await
    });
    try_join_all(each).await?;
    Ok(Learnt::Nothing)
}

/// What was asked of the candidates of a service until they were healthy.
struct Asked<'a> {
    checks: &'a [Check],
    port: Option<u16>,
    timeout: Duration,
    front: Option<&'a Front>,
}

impl<'a> Asked<'a> {
    /// Returns what the plan says; `None`: it awaits nothing of this service.
    fn of(live: &'a Live<'_>, service: &ServiceName) -> Option<Self> {
        live.plan.steps.iter().find_map(|step| match step {
            Step::AwaitHealthy { service: of, checks, port, timeout, front, .. } if of == service => {
                Some(Asked { checks, port: *port, timeout: *timeout, front: front.as_deref() })
            }
            _ => None,
        })
    }
}

/// Asks all checks of the candidates once more, until they agree. Twice: a healthy candidate is healthy again.
pub async fn still_healthy(live: &Live<'_>, service: &ServiceName, facts: &Facts) -> Result<(), Failure> {
    let Some(Asked { checks, port, timeout, front }) = Asked::of(live, service) else { return Ok(()) };
    // That it has run for a while was seen when it became healthy.
    let checks: Vec<Check> = checks.iter().filter(|check| !matches!(check, Check::Running(_))).cloned().collect();
    let each = facts.candidates(service).iter().map(|candidate| async {
        let judge = Judge::new(live, service, candidate, &checks, port, front).await?;
        // That it stays healthy was seen, too.
        judge.until_healthy(1, Duration::ZERO, timeout, facts).await
    });
    try_join_all(each).await.map(drop)
}

/// Lets the live candidates run for a time and judges them. Twice: the time begins again.
pub async fn watch(live: &Live<'_>, service: &ServiceName, time: Duration, facts: &Facts) -> Result<Learnt, Failure> {
    let (checks, port, front) =
        Asked::of(live, service).map_or((&[][..], None, None), |asked| (asked.checks, asked.port, asked.front));
    let each = facts.candidates(service).iter().map(|candidate| async {
        let judge = Judge::new(live, service, candidate, checks, port, front).await?;
        judge.watch(time, facts).await
    });
    let shown = shown(live, service, live.probes.get(service));
    let probe = judging_probe(live, service);
    let watched = tokio::select! {
        biased;
        never = shown => match never {},
        why = turns_bad(probe) => Some(why),
        judged = try_join_all(each) => {
            judged?;
            let astray = astray(live, service, facts).await;
            astray.or_else(|| probe?.worse_at_last(live.plan.judged_by_probe_alone(service)))
        }
    };
    match watched {
        Some(why) => Err(front_door_failed(live, service, why, facts).await),
        None => Ok(Learnt::Nothing),
    }
}

/// Asks for the probe's numbers once more where a watch was judged by them: the drain is over, so all requests go to the
/// candidates now.
pub async fn still_well(live: &Live<'_>, service: &ServiceName, facts: &Facts) -> Result<(), Failure> {
    let astray = astray(live, service, facts).await;
    let Some(probe) = judging_probe(live, service).filter(|_| live.plan.watches(service)) else { return Ok(()) };
    match astray.or_else(|| probe.worse_at_last(live.plan.judged_by_probe_alone(service))) {
        Some(why) => Err(front_door_failed(live, service, why, facts).await),
        None => Ok(()),
    }
}

/// Looks once more before the switch whether the probe will see anything, and how much the candidates have received until now.
pub async fn before_switch(live: &Live<'_>, service: &ServiceName, facts: &Facts) -> Result<(), Failure> {
    let Some(probe) = live.probes.get(service) else { return Ok(()) };
    if probe.unanswered() && live.plan.watches(service) && live.plan.judged_by_probe_alone(service) {
        let what = "nothing but the probe judges the watch, and none of its requests was answered before the switch";
        return Err(Failure::new(what).hint("`--watch 0s` swaps without a watch"));
    }
    if let Ok(received) = way::received(&live.site.docker, facts.candidates(service)).await {
        probe.received_before(received.packets);
    }
    Ok(())
}

/// Returns why the answers since the switch are not the candidates', where that is sure.
async fn astray(live: &Live<'_>, service: &ServiceName, facts: &Facts) -> Option<String> {
    let probe = live.probes.get(service)?;
    let received = way::received(&live.site.docker, facts.candidates(service)).await.ok()?;
    probe.received_since(received.packets)
}

/// Returns the probe by whose numbers a watch is judged. Where a hook asks for them, that hook is their judge.
fn judging_probe<'a>(live: &'a Live<'_>, service: &ServiceName) -> Option<&'a Arc<Probe>> {
    live.probes.get(service).filter(|_| !live.site.is_judged_by_hooks(service))
}

async fn front_door_failed(live: &Live<'_>, service: &ServiceName, why: String, facts: &Facts) -> Failure {
    let mut tail = Vec::new();
    for candidate in facts.candidates(service) {
        tail.extend(live.site.docker.logs_tail(&candidate.id, LAST_LINES).await.unwrap_or_default());
    }
    Failure::new(why).tail(tail)
}

/// Shows once a second what the front door answers.
async fn shown(live: &Live<'_>, service: &ServiceName, probe: Option<&Arc<Probe>>) -> Infallible {
    let Some(probe) = probe else { return std::future::pending().await };
    loop {
        live.display.meanwhile(|| front_door(&probe.probed(service)));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until the front door is worse than before the switch, and returns why; for ever, where nobody measures it.
async fn turns_bad(probe: Option<&Arc<Probe>>) -> String {
    let Some(probe) = probe else { return std::future::pending().await };
    loop {
        if let Some(why) = probe.worse() {
            return why;
        }
        tokio::time::sleep(WATCH_PAUSE).await;
    }
}

/// How long what is asked in one round may take.
struct Limits {
    check: Duration,
    /// `None`: as long as a call of a hook may take.
    hooks: Option<Duration>,
}

impl Limits {
    const WHILE_STARTING: Limits = Limits { check: ATTEMPT, hooks: None };
}

/// Returns under which name it is known what is normal for a candidate's hooks.
fn hooks_of(id: &str) -> String {
    format!("hooks of {id}")
}

/// Returns a time as people read it.
fn rounded(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis().div_ceil(100) as u64 * 100)
}

/// Judges one candidate.
struct Judge<'a> {
    live: &'a Live<'a>,
    service: &'a ServiceName,
    candidate: &'a Container,
    checks: Vec<Check>,
    port: Option<u16>,
    /// The nginx that must reach it; `None`: a worker.
    front: Option<&'a Front>,
    /// Whether this machine reaches the candidate's address; else probes go through the engine.
    direct: bool,
    began: Instant,
    /// The hooks that have not answered.
    pending: Pending,
    /// Since when a command of the checks is not found, and the round of checks before did not find it either.
    missing: Mutex<Option<Instant>>,
}

impl<'a> Judge<'a> {
    async fn new(
        live: &'a Live<'a>,
        service: &'a ServiceName,
        candidate: &'a Container,
        checks: &[Check],
        port: Option<u16>,
        front: Option<&'a Front>,
    ) -> Result<Self, Failure> {
        let seen = live.site.docker.inspect(&candidate.id).await?;
        let mut checks = checks.to_vec();
        // The candidate's own HEALTHCHECK, which a new image may have changed, instead of the one that was planned.
        checks.retain(|check| !matches!(check, Check::Docker(_)));
        if let Some(command) = seen.as_ref().and_then(|seen| seen.healthcheck.clone()) {
            checks.insert(0, Check::Docker(command));
        }
        let probes = checks.iter().any(|check| matches!(check, Check::Http(_) | Check::Tcp | Check::Reach(_)));
        let direct = match candidate.address.filter(|_| probes) {
            Some(address) => !matches!(probe::reachable(address).await, docker::Reach::Unreachable(_)),
            None => false,
        };
        Ok(Self {
            live,
            service,
            candidate,
            checks,
            port,
            front,
            direct,
            began: Instant::now(),
            pending: Pending::default(),
            missing: Mutex::default(),
        })
    }

    fn docker(&self) -> &Docker {
        &self.live.site.docker
    }

    /// Polls until enough rounds in a row say healthy and it has stayed so; ends at once if the candidate does, or was restarted.
    async fn until_healthy(
        &self,
        successes: u32,
        stays: Duration,
        timeout: Duration,
        facts: &Facts,
    ) -> Result<(), Failure> {
        // It must be healthy by then; what comes after that is the proof that it stays so.
        let deadline = self.began + timeout + stays;
        let mut last = String::from("the first check was not over");
        let polled = tokio::select! {
            biased;
            ending = self.ends() => return Err(self.ended(ending?).await),
            polled = tokio::time::timeout_at(deadline, self.poll(successes, stays, facts, &mut last)) => polled,
        };
        match polled {
            Ok(result) => result,
            Err(_) => Err(Failure::new(format!(
                "candidate `{}` not healthy after {}: {}",
                self.candidate.name,
                humantime::format_duration(timeout),
                // A hook that hangs keeps all others from being asked again.
                self.pending.said().unwrap_or(last)
            ))
            .hint(LONGER)
            .tail(self.last_lines().await)),
        }
    }

    async fn poll(&self, successes: u32, stays: Duration, facts: &Facts, last: &mut String) -> Result<(), Failure> {
        let (mut row, mut attempt, mut pause) = (0, 0, FIRST_PAUSE);
        let mut healthy_since = None;
        loop {
            attempt += 1;
            let wait = match self.round(&Limits::WHILE_STARTING, facts).await {
                Round::Fatal(failure) => return Err(failure),
                Round::Healthy => {
                    row += 1;
                    let stayed = healthy_since.get_or_insert_with(Instant::now).elapsed();
                    match row >= successes {
                        true if stayed >= stays => return Ok(()),
                        // Nothing is to be seen in between: its end is told as it happens.
                        true => Some(stays - stayed),
                        false => None,
                    }
                }
                Round::NotYet(why, wait) => {
                    (row, healthy_since) = (0, None);
                    self.live.display.note(&format!("{}: not yet: {why}, attempt {attempt}", self.candidate.name));
                    *last = why;
                    wait
                }
            };
            tokio::time::sleep(wait.unwrap_or(pause)).await;
            pause = (pause * 5 / 4).min(LONGEST_PAUSE);
        }
    }

    /// Judges a live candidate for a time; nothing but the end of the time is good news.
    ///
    /// The time ends with a round that began after the switch and went well. A round that is under way by then is waited
    /// for: what hangs would else pass.
    async fn watch(&self, time: Duration, facts: &Facts) -> Result<(), Failure> {
        let end = Instant::now() + time;
        let judged = async {
            let mut bad = 0;
            loop {
                match self.round(&self.limits(), facts).await {
                    Round::Healthy => bad = 0,
                    Round::Fatal(failure) => return Err(failure),
                    Round::NotYet(why, _) => {
                        bad += 1;
                        self.live.display.note(&format!("{}: {why}", self.candidate.name));
                        if bad >= WATCH_FAILURES {
                            let what = format!("live candidate `{}` became unhealthy: {why}", self.candidate.name);
                            return Err(Failure::new(what).tail(self.last_lines().await));
                        }
                    }
                }
                let next = Instant::now() + WATCH_PAUSE;
                if bad == 0 && next >= end {
                    tokio::time::sleep_until(end).await;
                    return Ok(());
                }
                tokio::time::sleep_until(next).await;
            }
        };
        tokio::select! {
            biased;
            ending = self.ends() => Err(self.ended(ending?).await),
            judged = judged => judged,
        }
    }

    /// Returns how long what is asked may take now that it is known what is normal here. Where another process has asked until
    /// now, the first round shows it.
    fn limits(&self) -> Limits {
        let unusual = |id: &str| self.live.usual.of(id).map(|usual| usual * UNUSUAL);
        Limits {
            check: unusual(&self.candidate.id).map_or(ATTEMPT, |time| time.clamp(HANGS, ATTEMPT)),
            hooks: unusual(&hooks_of(&self.candidate.id)).map(|time| time.max(ATTEMPT)),
        }
    }

    async fn ends(&self) -> Result<Ending, Failure> {
        // Also one that ended and came back before anybody looked: what dies at its start will die again.
        self.docker().exited(&self.candidate.id, 0).await
    }

    async fn ended(&self, ending: Ending) -> Failure {
        let failure =
            Failure::new(format!("candidate `{}` {ending}", self.candidate.name)).tail(self.last_lines().await);
        match ending {
            Ending::Gone => failure.hint("somebody removed it; was `docker compose up` or `down` run meanwhile?"),
            _ => failure,
        }
    }

    async fn last_lines(&self) -> Vec<String> {
        self.docker().logs_tail(&self.candidate.id, LAST_LINES).await.unwrap_or_default()
    }

    /// Asks every check and every health hook once; all must agree.
    async fn round(&self, limits: &Limits, facts: &Facts) -> Round {
        let late = |what: String, limit: Duration| {
            Round::NotYet(format!("{what} gave no answer within {}", humantime::format_duration(limit)), None)
        };
        for check in &self.checks {
            let asked = Instant::now();
            let answer = tokio::time::timeout(limits.check, self.ask(check)).await;
            match answer.unwrap_or_else(|_| late(check.to_string(), rounded(limits.check))) {
                Round::Healthy => self.live.usual.learn(&self.candidate.id, asked.elapsed()),
                other => return other,
            }
        }
        let asked = Instant::now();
        let hooks = self.live.ask_health(self.service, self.candidate, &self.pending, facts);
        let health = match limits.hooks {
            Some(limit) => tokio::time::timeout(limit, hooks).await.ok(),
            None => Some(hooks.await),
        };
        let pending = self.pending.said();
        self.pending.clear();
        let Some(health) = health else {
            return Round::NotYet(pending.unwrap_or_else(|| "the health hooks have not answered".to_owned()), None);
        };
        match health {
            Health::Healthy => {
                self.live.usual.learn(&hooks_of(&self.candidate.id), asked.elapsed());
                Round::Healthy
            }
            Health::NotYet { retry_after, failure, .. } => Round::NotYet(failure.what, retry_after),
            Health::Fatal(failure) => Round::Fatal(failure),
        }
    }

    async fn ask(&self, check: &Check) -> Round {
        match check {
            Check::Docker(command) => match command.split_first() {
                Some((kind, words)) if kind == "CMD" => self.run(check, &Command::new(words)).await,
                Some((kind, [line])) if kind == "CMD-SHELL" => self.run(check, &Command::shell(line)).await,
                _ => Round::Healthy,
            },
            Check::Command(words) => self.run(check, &Command::new(words)).await,
            Check::Shell(line) => self.run(check, &Command::shell(line)).await,
            Check::Tcp => self.tcp().await,
            Check::Reach(port) => self.reached(*port).await,
            Check::Http(path) => self.http(path).await,
            Check::Running(time) => match self.began.elapsed() {
                ran if ran >= *time => Round::Healthy,
                ran => Round::NotYet(format!("it runs for {} ms", ran.as_millis()), None),
            },
        }
    }

    /// Runs a check's command in the candidate. A command that is not there may be what the candidate installs at its start, but
    /// not for ever.
    async fn run(&self, check: &Check, command: &Command) -> Round {
        let ran = self.docker().exec(&self.candidate.id, command, &mut |_, _| {}).await;
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
                self.lacks(self.not_found_by(check, word, said))
            }
            Ok(output) => {
                let said = lines(&format!("{}\n{}", output.stdout, output.stderr)).pop();
                let said = said.map(|line| format!(": {line}")).unwrap_or_default();
                Round::NotYet(format!("{check} exited {}{said}", output.code), None)
            }
            // In a container that is just ending the engine finds no program either.
            Err(ExecError::NotFound { program, .. }) if self.runs_on().await => self.lacks(self.not_found(&program)),
            Err(ExecError::NotFound { .. } | ExecError::NotRunning(_)) => {
                Round::NotYet("it does not run".to_owned(), None)
            }
            Err(ExecError::Failed(failure)) => Round::NotYet(failure.what, None),
        }
    }

    /// Tells whether the candidate still runs when the engine has had the time to note its end.
    async fn runs_on(&self) -> bool {
        tokio::time::sleep(NOTED).await;
        matches!(self.docker().inspect(&self.candidate.id).await, Ok(Some(seen)) if seen.runs())
    }

    fn missing(&self) -> MutexGuard<'_, Option<Instant>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges that something is not found: not yet, and never where it stays so.
    fn lacks(&self, failure: Failure) -> Round {
        let since = *self.missing().get_or_insert_with(Instant::now);
        match since.elapsed() {
            time if time >= INSTALLS => Round::Fatal(failure),
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
        Failure::new(format!("{check} exited 127 in candidate `{}`{why}", self.candidate.name))
            .hint("the command is there and lacks a program that it calls; is that in the image?")
            .tail(said)
    }

    fn not_found(&self, word: &str) -> Failure {
        let services = self.live.site.services();
        let meant = meant(word, &services);
        Failure::new(format!(
            "health command `{}` not found in candidate `{}`{meant}",
            printable(word),
            self.candidate.name
        ))
        .hint(
            "the command runs inside the new container, in its working directory; is it in the image, and executable?",
        )
    }

    async fn tcp(&self) -> Round {
        let Some(port) = self.port else {
            return Round::Fatal(
                Failure::new(format!("the port of `{}` is unknown, so it can't be checked", self.service))
                    .hint(format!("write `x-swap: {{ port: 8000 }}` under `services: {}:`", self.service)),
            );
        };
        self.accepts(port).await
    }

    /// Asks nginx's side for a connection, because what this machine or the candidate itself sees proves nothing for nginx. Only
    /// where nothing there can connect, this machine's word or the candidate's own sockets must do; the plan has said so.
    async fn reached(&self, port: u16) -> Round {
        let (Some(front), Some(address)) = (self.front, self.candidate.address) else {
            return self.accepts(port).await;
        };
        let door = match self.live.door(self.service, front).await {
            Ok(door) => door,
            Err(failure) => return Round::NotYet(failure.what, None),
        };
        match door.proxy.connects(address).await {
            Ok(Connected::Yes) => Round::Healthy,
            Ok(Connected::No(why)) => Round::NotYet(self.unreached(address, &why).await, None),
            Ok(Connected::NoTool) => self.accepts(port).await,
            Err(failure) => Round::NotYet(failure.what, None),
        }
    }

    /// Asks whether something accepts connections on the port, from this machine, or else by the candidate's own sockets.
    async fn accepts(&self, port: u16) -> Round {
        if let (true, Some(address)) = (self.direct, self.candidate.address) {
            return match probe::tcp(address, Duration::from_secs(1)).await {
                docker::Reach::Open => Round::Healthy,
                docker::Reach::Refused => Round::NotYet(self.nothing_listens(port).await, None),
                docker::Reach::Unreachable(why) => Round::NotYet(why, None),
            };
        }
        match self.docker().listening(&self.candidate.id, port).await {
            Ok(Listening::Yes) => Round::Healthy,
            Ok(Listening::No | Listening::OnlyInside) => Round::NotYet(self.nothing_listens(port).await, None),
            Err(failure) => Round::NotYet(failure.what, None),
        }
    }

    /// Says that nginx gets no connection, and what the candidate's own sockets tell of the reason.
    async fn unreached(&self, address: SocketAddr, why: &str) -> String {
        let sockets = self.sockets().await;
        match probe::listening(&sockets, address.port()) {
            Listening::Yes => format!("nginx does not reach {address}, though something listens there: {why}"),
            Listening::No | Listening::OnlyInside => nothing_listens(&address.to_string(), &sockets, address.port()),
        }
    }

    async fn nothing_listens(&self, port: u16) -> String {
        let place = self.candidate.address.map_or_else(|| format!("port {port}"), |address| address.to_string());
        nothing_listens(&place, &self.sockets().await, port)
    }

    /// Returns what the candidate listens on. Most have just not come so far, so it is asked only after a while: that is a
    /// command in the container.
    async fn sockets(&self) -> Vec<SocketAddr> {
        if self.began.elapsed() < PATIENT_LOOK {
            return Vec::new();
        }
        self.docker().listening_sockets(&self.candidate.id).await.unwrap_or_default()
    }

    async fn http(&self, path: &str) -> Round {
        let Some(port) = self.port else { return self.tcp().await };
        let host = self.service.as_str();
        let status = match (self.direct, self.candidate.address) {
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
        let proxy = self.live.plan.steps.iter().find_map(|step| match step {
            Step::Switch { service, front, .. } if service == self.service => front.container.clone(),
            _ => None,
        });
        let mut places = Vec::new();
        if let (Some(proxy), Some(address)) = (proxy, self.candidate.address) {
            places.push((proxy.id, format!("http://{address}{path}")));
        }
        places.push((self.candidate.id.clone(), format!("http://127.0.0.1:{port}{path}")));
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
            self.candidate.name
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
