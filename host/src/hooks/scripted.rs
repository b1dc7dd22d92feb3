//! A world from a text file, with a virtual clock: `swap hooks test FILE --scenario F`.
//!
//! ```yaml
//! about: the candidate gets ready
//! config: { path: /up }
//! allow: []
//! clock: 2026-01-05T10:00:00Z
//! http:
//!   GET http://candidate/up: [503, { status: 200, body: ready, after: 20ms }]
//! calls:
//!   - { ask: health, expect: "not yet: http://candidate/up answered 503" }
//!   - { ask: health, expect: healthy }
//! ```
//!
//! What is not scripted is not there: a request is `unreachable`, a command `not-found`, and nothing was measured. Answers
//! come one after the other; the last is repeated. Grants and limits are those of a real run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Capabilities, Channel, CommandOutput, CommandRequest, CommandTarget, ContainerState, ContainerUsage, Context,
    Endpoint, Engine, Error, Hook, HttpRequest, HttpResponse, Limits, Log, Measurement, Member, Reply, Stage, Subject,
    Window,
};
use crate::model::{Container, Failure, HookSpec, Phase, RunId};
use crate::text::printable;

/// How long health is waited for between two calls if the hook names no time.
const PAUSE: Duration = Duration::from_millis(50);
/// `again` gives up after this many calls.
const CALLS: u32 = 1000;
/// Larger files are no scenarios.
const FILE: u64 = 4 << 20;

/// A scenario: a world, the hook's config and grants in it, and the calls with what they must answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One line for people.
    #[serde(default)]
    about: String,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    #[serde(default)]
    state: BTreeMap<String, String>,
    #[serde(default)]
    http: BTreeMap<String, Vec<Answer>>,
    #[serde(default)]
    exec: BTreeMap<String, Vec<Exit>>,
    #[serde(default)]
    containers: BTreeMap<String, Inspected>,
    #[serde(default)]
    metrics: BTreeMap<String, Vec<Measured>>,
    #[serde(default)]
    context: Setting,
    #[serde(default = "new_year")]
    clock: jiff::Timestamp,
    /// The limit on the time of one call, on the scenario's clock.
    #[serde(default, with = "humane")]
    deadline: Option<Duration>,
    /// The limit on the time that one call computes, which is real time.
    #[serde(default, with = "humane")]
    cpu: Option<Duration>,
    calls: Vec<Ask>,
}

/// One call, and what it must answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    ask: Phase,
    /// The whole answer as it is printed, or only its first words: `healthy`, `not yet`, `fatal`, `done`, `failed`,
    /// `aborted`.
    #[serde(default)]
    expect: Option<String>,
    /// Asks again as long as the answer is `not yet`.
    #[serde(default)]
    again: bool,
    /// Changes the context from here on.
    #[serde(default)]
    context: Setting,
    /// Time that goes by before.
    #[serde(default, with = "humane")]
    after: Option<Duration>,
}

/// What a scenario says about the context.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    stage: Option<String>,
    service: Option<String>,
    project: Option<String>,
    image: Option<String>,
    digest: Option<String>,
    run: Option<String>,
    operator: Option<String>,
    reason: Option<String>,
}

/// An answer to a request: a status, or all of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Answer {
    Status(u16),
    Whole(WholeAnswer),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeAnswer {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Said,
    /// Repeats the body, for large ones.
    #[serde(default)]
    times: Option<usize>,
    #[serde(default, with = "humane")]
    after: Option<Duration>,
    /// It does not answer at all.
    #[serde(default)]
    dead: bool,
}

/// What somebody answers: a text, or bytes where it is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Said {
    Text(String),
    Bytes(Vec<u8>),
}

impl Default for Said {
    fn default() -> Self {
        Said::Text(String::new())
    }
}

impl Said {
    fn bytes(&self) -> &[u8] {
        match self {
            Said::Text(text) => text.as_bytes(),
            Said::Bytes(bytes) => bytes,
        }
    }
}

/// The end of a command: an exit code, or all of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Exit {
    Code(i32),
    Whole(WholeExit),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeExit {
    #[serde(default)]
    code: i32,
    #[serde(default)]
    stdout: Said,
    #[serde(default)]
    stderr: Said,
    /// Repeats both, for long ones.
    #[serde(default)]
    times: Option<usize>,
    #[serde(default, with = "humane")]
    after: Option<Duration>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inspected {
    #[serde(default = "running")]
    status: String,
    #[serde(default = "none")]
    health: String,
    exit_code: Option<i32>,
    #[serde(default)]
    oom_killed: bool,
    #[serde(default)]
    restarts: u32,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    memory: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    requests: u64,
    #[serde(default)]
    failures: u64,
    #[serde(default, with = "humane")]
    p50: Option<Duration>,
    #[serde(default, with = "humane")]
    p99: Option<Duration>,
}

fn new_year() -> jiff::Timestamp {
    jiff::Timestamp::constant(1_767_225_600, 0)
}

fn ok() -> u16 {
    200
}

fn running() -> String {
    "running".to_owned()
}

fn none() -> String {
    "none".to_owned()
}

/// Durations as people write them: `250ms`, `2s`.
mod humane {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| {
            humantime::parse_duration(&text).map_err(|_| D::Error::custom(format!("`{text}` is no duration")))
        })
        .transpose()
    }
}

/// What a scenario came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Every call with what the hook did and said, and its verdict.
    pub text: String,
    /// How many calls did not answer what was expected.
    pub wrong: usize,
}

/// Replaces folders by the scenarios (`*.yaml`) in them, sorted.
///
/// # Errors
/// A folder that can't be read or has no scenario.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let shown = printable(&path.to_string_lossy());
        let entries = path.read_dir().map_err(|error| Failure::new(format!("reading `{shown}`: {error}")))?;
        let is_scenario = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "yaml");
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_scenario).collect();
        if found.is_empty() {
            return Err(Failure::new(format!("`{shown}` has no scenario")).hint("a scenario's file ends in `.yaml`"));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

impl Scenario {
    /// Reads a scenario's file.
    ///
    /// # Errors
    /// It can't be read, or is not a scenario; the message tells the place.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let name = printable(&path.to_string_lossy());
        let failed = |why: String| Failure::new(format!("reading scenario `{name}`: {why}"));
        // What is no file may never end.
        let metadata = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
        if !metadata.is_file() {
            return Err(failed("it is not a file".to_owned()));
        }
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        file.take(FILE + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
        match text.len() as u64 > FILE {
            true => Err(failed(format!("it is larger than {} MiB", FILE >> 20))),
            false => Self::parse(&name, &text),
        }
    }

    /// Reads a scenario's text. `name` is what messages call it.
    ///
    /// # Errors
    /// It is not a scenario; the message tells the place.
    pub fn parse(name: &str, text: &str) -> Result<Self, Failure> {
        let scenario: Self = serde_saphyr::from_str(text).map_err(|error| {
            let why = printable(error.without_snippet().to_string().trim());
            Failure::new(format!("scenario `{name}`: {why}"))
        })?;
        if scenario.calls.is_empty() {
            return Err(Failure::new(format!("scenario `{name}`: it has no calls")));
        }
        Ok(scenario)
    }

    /// Runs a hook through the scenario. Blocks; takes no longer than the hook computes, as the clock is virtual.
    ///
    /// # Errors
    /// The hook can't be loaded.
    pub fn run(&self, engine: &Arc<Engine>, file: &str) -> Result<Report, Failure> {
        let spec = HookSpec { file: file.to_owned(), config: self.config.clone(), allow: self.allow.clone() };
        let hook = Hook::load(engine, &spec)?;
        // A thread of its own, because the caller may be inside of a runtime whose clock is the real one.
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
                runtime
                    .map(|runtime| runtime.block_on(self.play(&hook)))
                    .map_err(|error| Failure::new(format!("starting the scenario: {error}")))
            });
            running.join().unwrap_or_else(|_| Err(Failure::new("internal: the scenario panicked")))
        })
    }

    async fn play(&self, hook: &Hook) -> Report {
        let world = Arc::new(Scripted::new(self.clone()));
        let text = Arc::new(Mutex::new(String::new()));
        let usual = Limits::default();
        let (deadline, cpu) = (self.deadline.unwrap_or(usual.deadline), self.cpu.unwrap_or(Duration::from_secs(5)));
        let limits = Limits { deadline, cpu, ..usual };
        let mut context = self.context.apply(first_context());
        let mut wrong = 0;
        let mut calls: BTreeMap<Phase, (u32, Instant)> = BTreeMap::new();
        // What makes a run unwind is told to the hooks of that phase alone, and always.
        let mut reason = self.context.reason.clone().unwrap_or_else(|| "the run is unwound".to_owned());
        for ask in &self.calls {
            tokio::time::sleep(ask.after.unwrap_or_default()).await;
            context = ask.context.apply(context);
            if let Some(other) = &ask.context.reason {
                reason.clone_from(other);
            }
            let mut context = as_in(ask.ask, &context);
            context.reason = (ask.ask == Phase::Rollback).then(|| reason.clone());
            let mut again = 0;
            let verdict = loop {
                let (count, since) = calls.entry(ask.ask).or_insert_with(|| (0, Instant::now()));
                *count += 1;
                (context.attempt, context.elapsed) = (*count, since.elapsed());
                say(&text, &format!("{} {}", ask.ask, context.attempt));
                world.turn_to(&context);
                let reply = hook.call(ask.ask, &context, world.clone(), limits, printer(&text)).await;
                let verdict = render(hook.name(), ask.ask, &reply);
                say(&text, &format!("  → {verdict}"));
                again += 1;
                match reply {
                    Ok(Reply::NotYet { retry_after, .. }) if ask.again && again < CALLS => {
                        tokio::time::sleep(retry_after.unwrap_or(PAUSE)).await;
                    }
                    _ => break verdict,
                }
            };
            if let Some(expected) = ask.expect.as_deref().filter(|expected| !agrees(&verdict, expected)) {
                wrong += 1;
                say(&text, &format!("  ✗ expected: {expected}"));
            }
        }
        let went_by =
            humantime::format_duration(Duration::from_millis(super::context::milliseconds(world.begin.elapsed())));
        let count: u32 = calls.values().map(|(count, _)| count).sum();
        let end = if wrong == 0 { "as expected".to_owned() } else { format!("{wrong} not as expected") };
        let about = if self.about.is_empty() { String::new() } else { format!("{}: ", printable(&self.about)) };
        say(&text, &format!("{about}{count} calls, {end}, {went_by} on the scenario's clock"));
        Report { text: lock(&text).clone(), wrong }
    }
}

fn say(text: &Mutex<String>, line: &str) {
    // Writing to a string never fails.
    let _ = writeln!(lock(text), "{line}");
}

fn printer(text: &Arc<Mutex<String>>) -> Log {
    let text = text.clone();
    Arc::new(move |line| match line.channel {
        Channel::Deed => say(&text, &format!("  {}", line.text)),
        channel => say(&text, &format!("  {}: {}", format!("{channel:?}").to_lowercase(), line.text)),
    })
}

/// Writes a reply on one line, without the signature.
fn render(hook: &str, phase: Phase, reply: &Result<Reply, Failure>) -> String {
    let signature = format!("hook `{hook}` ({phase})");
    let bare = |failure: &Failure| {
        let rest = failure.what.strip_prefix(&signature).unwrap_or(&failure.what);
        rest.trim_start_matches(" is fatal")
            .trim_start_matches(" failed")
            .trim_start_matches(": ")
            .trim_start()
            .to_owned()
    };
    match reply {
        Ok(Reply::Done) => "done".to_owned(),
        Ok(Reply::Healthy) => "healthy".to_owned(),
        Ok(Reply::Failed { code, failure }) => format!("failed ({code}): {}", bare(failure)),
        Ok(Reply::NotYet { failure, .. }) => format!("not yet: {}", bare(failure)),
        Ok(Reply::Fatal(failure)) => format!("fatal: {}", bare(failure)),
        Err(failure) => bare(failure),
    }
}

/// Tells whether a verdict is what was expected: all of it, or its first words.
fn agrees(verdict: &str, expected: &str) -> bool {
    let rest = verdict.strip_prefix(expected.trim());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':') || rest.starts_with(" ("))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn first_context() -> Context {
    let member = |name: &str, digest: &str| Member {
        container: Container {
            id: format!("id-of-{name}"),
            name: name.to_owned(),
            image: digest.to_owned(),
            address: Some(([172, 18, 0, 5], 9000).into()),
        },
        image_name: "demo-app".to_owned(),
    };
    Context {
        run: RunId("20260101-000000-0001".to_owned()),
        service: "app".parse().unwrap_or_else(|_| unreachable!("`app` is the name of a service")),
        project: "demo".to_owned(),
        stage: Stage::Candidate,
        candidate: member("demo-app-2", "sha256:2222"),
        candidates: vec![member("demo-app-2", "sha256:2222")],
        live: vec![member("demo-app-1", "sha256:1111")],
        attempt: 1,
        elapsed: Duration::ZERO,
        operator: "ann".to_owned(),
        reason: None,
    }
}

/// Returns the context as a swap gives it in a phase: before the candidate is created there is only its image, and from the switch
/// on it is live.
fn as_in(phase: Phase, context: &Context) -> Context {
    let mut context = context.clone();
    match phase {
        Phase::PreStart => {
            context.candidates = Vec::new();
            let image = std::mem::take(&mut context.candidate.container.image);
            context.candidate.container = Container { id: String::new(), name: String::new(), image, address: None };
            context.stage = Stage::Candidate;
        }
        Phase::PreSwap | Phase::Rollback => context.stage = Stage::Candidate,
        Phase::PostSwap | Phase::Finish => context.stage = Stage::Live,
        Phase::Health => {}
    }
    context
}

impl Setting {
    fn apply(&self, mut context: Context) -> Context {
        if let Some(stage) = &self.stage {
            context.stage = if stage == "live" { Stage::Live } else { Stage::Candidate };
        }
        if let Some(service) = self.service.as_ref().and_then(|name| name.parse().ok()) {
            context.service = service;
        }
        let set = |place: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                place.clone_from(value);
            }
        };
        set(&mut context.project, &self.project);
        set(&mut context.candidate.image_name, &self.image);
        set(&mut context.candidate.container.image, &self.digest);
        set(&mut context.run.0, &self.run);
        set(&mut context.operator, &self.operator);
        context.candidates = vec![context.candidate.clone()];
        context
    }
}

/// The world of one scenario.
struct Scripted {
    begin: Instant,
    script: Mutex<Script>,
}

struct Script {
    scenario: Scenario,
    /// What the hook's store holds now.
    state: BTreeMap<String, Vec<u8>>,
    /// The names of the candidate and of the first live container now.
    names: [String; 2],
}

impl Scripted {
    fn new(scenario: Scenario) -> Self {
        let state = scenario.state.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes())).collect();
        Self { begin: Instant::now(), script: Mutex::new(Script { scenario, state, names: Default::default() }) }
    }

    fn turn_to(&self, context: &Context) {
        let live = context.live.first().map(|member| member.container.name.clone()).unwrap_or_default();
        lock(&self.script).names = [context.candidate.container.name.clone(), live];
    }

    /// Returns the target that a scenario writes for a container.
    fn target(&self, subject: &Subject) -> String {
        match subject {
            Subject::Service(name) => format!("service:{name}"),
            Subject::Container(container) => {
                let live = lock(&self.script).names[1] == container.name;
                if live { "live" } else { "candidate" }.to_owned()
            }
        }
    }

    fn inspected(&self, subject: &Subject) -> Result<Inspected, Error> {
        let target = self.target(subject);
        let found = lock(&self.script).scenario.containers.get(&target).cloned();
        found.ok_or_else(|| Error::not_found(format!("no container `{target}` in this scenario")))
    }
}

/// Returns the beginning of what is repeated, and whether it is cut off there.
fn beginning(said: &Said, times: Option<usize>, limit: usize) -> (Vec<u8>, bool) {
    let whole = said.bytes().len().saturating_mul(times.unwrap_or(1));
    (said.bytes().iter().copied().cycle().take(whole.min(limit)).collect(), whole > limit)
}

/// Takes the next of a list of which the last is repeated.
fn next<T: Clone>(list: &mut Vec<T>) -> Option<T> {
    if list.len() > 1 { Some(list.remove(0)) } else { list.first().cloned() }
}

impl Capabilities for Scripted {
    fn exec(&self, request: CommandRequest) -> BoxFuture<'_, Result<CommandOutput, Error>> {
        let target = match &request.target {
            CommandTarget::OneOff => "one-off".to_owned(),
            CommandTarget::In(subject) => self.target(subject),
        };
        let command = format!("{target} {}", request.argv.join(" "));
        let exit = lock(&self.script).scenario.exec.get_mut(&command).and_then(next);
        async move {
            let exit = match exit.ok_or_else(|| Error::not_found(format!("`{command}` is not in this scenario")))? {
                Exit::Code(code) => WholeExit { code, ..WholeExit::default() },
                Exit::Whole(exit) => exit,
            };
            tokio::time::sleep(exit.after.unwrap_or_default()).await;
            let kept = |said: &Said| beginning(said, exit.times, request.limit);
            let ((stdout, cut), (stderr, also_cut)) = (kept(&exit.stdout), kept(&exit.stderr));
            if let Some(show) = &request.show {
                let lines = [&stdout, &stderr].map(|kept| String::from_utf8_lossy(kept).into_owned());
                lines.iter().flat_map(|text| text.lines()).for_each(|line| show(line));
            }
            Ok(CommandOutput { code: exit.code, stdout, stderr, truncated: cut || also_cut })
        }
        .boxed()
    }

    fn http(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, Error>> {
        let mut url = request.url.clone();
        if let Endpoint::Container { container, .. } = &request.to {
            // However a hook names the container, the scenario calls it by what it is.
            let host = self.target(&Subject::Container(container.clone()));
            let _ = url.set_host(Some(&host));
        }
        let key = format!("{} {url}", request.method);
        let answer = lock(&self.script).scenario.http.get_mut(&key).and_then(next);
        async move {
            let dead = || Error::unreachable(format!("{} does not answer", request.url));
            let answer = match answer.ok_or_else(dead)? {
                Answer::Status(status) => return Ok(HttpResponse { status, ..HttpResponse::default() }),
                Answer::Whole(answer) => answer,
            };
            let elapsed = answer.after.unwrap_or_default();
            tokio::time::sleep(elapsed).await;
            if answer.dead {
                return Err(dead());
            }
            let (body, truncated) = beginning(&answer.body, answer.times, request.limit);
            let headers = answer.headers.into_iter().collect();
            Ok(HttpResponse { status: answer.status, headers, body, truncated, elapsed })
        }
        .boxed()
    }

    fn container_state(&self, subject: Subject) -> BoxFuture<'_, Result<ContainerState, Error>> {
        let state = self.inspected(&subject).map(|found| ContainerState {
            status: found.status,
            health: found.health,
            exit_code: found.exit_code,
            oom_killed: found.oom_killed,
            restarts: found.restarts,
            age: Some(self.begin.elapsed()),
            labels: found.labels.into_iter().collect(),
            environment: Vec::new(),
        });
        std::future::ready(state).boxed()
    }

    fn container_usage(&self, subject: Subject) -> BoxFuture<'_, Result<ContainerUsage, Error>> {
        let usage =
            self.inspected(&subject).map(|found| ContainerUsage { memory: found.memory, ..ContainerUsage::default() });
        std::future::ready(usage).boxed()
    }

    fn state_get(&self, _: &str, key: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        std::future::ready(Ok(lock(&self.script).state.get(key).cloned())).boxed()
    }

    fn state_set(&self, _: &str, key: &str, value: Option<Vec<u8>>) -> BoxFuture<'_, Result<(), Error>> {
        set(&mut lock(&self.script).state, key, value);
        std::future::ready(Ok(())).boxed()
    }

    fn state_compare_and_set(
        &self,
        _: &str,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> BoxFuture<'_, Result<bool, Error>> {
        let state = &mut lock(&self.script).state;
        let agrees = state.get(key) == expected.as_ref();
        if agrees {
            set(state, key, value);
        }
        std::future::ready(Ok(agrees)).boxed()
    }

    fn state_keys(&self, _: &str, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        let script = lock(&self.script);
        let keys = script.state.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
        std::future::ready(Ok(keys)).boxed()
    }

    fn metrics(&self, window: Window) -> BoxFuture<'_, Result<Measurement, Error>> {
        let name = match window {
            Window::SinceSwitch => "since-switch",
            Window::Before => "before",
        };
        let found = lock(&self.script).scenario.metrics.get_mut(name).and_then(next);
        let measurement = found.ok_or_else(|| Error::unavailable("nothing was measured")).map(|found| {
            let p50 = found.p50.unwrap_or_default();
            let p99 = found.p99.unwrap_or(p50);
            let (requests, failures) = (found.requests, found.failures);
            Measurement { requests, failures, duration: Duration::from_secs(1), p50, p90: p99, p99, max: p99 }
        });
        std::future::ready(measurement).boxed()
    }

    fn secret(&self, name: &str) -> BoxFuture<'_, Result<String, Error>> {
        let secret = lock(&self.script).scenario.secrets.get(name).cloned();
        let secret = secret.ok_or_else(|| Error::not_found(format!("no secret `{name}` in this scenario")));
        std::future::ready(secret).boxed()
    }

    fn now(&self) -> SystemTime {
        let begin = SystemTime::from(lock(&self.script).scenario.clock);
        begin + self.begin.elapsed()
    }
}

fn set(state: &mut BTreeMap<String, Vec<u8>>, key: &str, value: Option<Vec<u8>>) {
    match value {
        Some(value) => state.insert(key.to_owned(), value),
        None => state.remove(key),
    };
}
