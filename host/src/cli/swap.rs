//! `swap`, `swap plan`, `swap resume`, `swap rollback`: the commands that are about a run.

use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use super::arguments::{Flags, Targets, overridden, targets};
use crate::engine::{self, End, Record};
use crate::error::{Ended, Exit};
use crate::journal::{Journal, Lock, LockError, Recorded};
use crate::live::Site;
use crate::model::{Failure, RunId, ServiceName, unknown_service};
use crate::plan::{Plan, plan as plan_of};
use crate::run::{Entry, Event, Goal, Outcome, State};
use crate::ui::{self, Display};

/// Swaps the services that the words name.
pub async fn swap(flags: &Flags, words: &[String], command: &[String], display: Display) -> Result<Exit, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let site = Site::open(&flags.place(), likely(words).as_ref(), &display).await?;
    let targets = targets(words, command, &site.services()).map_err(usage)?;
    let _locks = hold(&site, &targets.services, flags.wait, &display).await?;
    let mut signals = None;
    for service in &targets.services {
        for recorded in site.folder().unfinished(service)? {
            let signals = listen(&mut signals)?;
            if let Some(exit) = clean_up(&site, flags, &recorded, signals, &display).await? {
                return Ok(exit);
            }
        }
    }
    let plan = make_plan(&site, flags, &targets).await?;
    let ran = execute(&site, &plan, Begin::Fresh, listen(&mut signals)?, &display).await?;
    Ok(report(&plan, &ran, began_ms, &display))
}

/// Prints what `swap` would do.
pub async fn plan(flags: &Flags, words: &[String], command: &[String]) -> Result<Exit, Ended> {
    let display = Display::new(flags.output, ui::Volume::Quiet);
    let site = Site::open(&flags.place(), likely(words).as_ref(), &display).await?;
    let targets = targets(words, command, &site.services()).map_err(usage)?;
    let plan = make_plan(&site, flags, &targets).await?;
    match flags.output {
        ui::Format::Text => print!("{plan}"),
        ui::Format::Json => println!("{}", serde_json::to_string(&plan).unwrap_or_default()),
    }
    Ok(Exit::Swapped)
}

/// Goes on with a run that was killed.
pub async fn resume(flags: &Flags, service: &ServiceName, display: Display) -> Result<Exit, Ended> {
    let site = Site::open(&flags.place(), Some(service), &display).await?;
    let Some((recorded, _locks)) = unfinished(&site, flags, service, &display).await? else {
        display.last(&format!("nothing to resume: no run of `{service}` is unfinished"));
        return Ok(Exit::Swapped);
    };
    take_up(&site, flags, &recorded, Goal::Forward, &display).await
}

/// Unwinds a run that was killed; without one, swaps back to the image before the last swap.
pub async fn rollback(flags: &Flags, service: &ServiceName, display: Display) -> Result<Exit, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let site = Site::open(&flags.place(), Some(service), &display).await?;
    if let Some((recorded, _locks)) = unfinished(&site, flags, service, &display).await? {
        return take_up(&site, flags, &recorded, Goal::Back, &display).await;
    }
    let _locks = hold(&site, std::slice::from_ref(service), flags.wait, &display).await?;
    let former = former_image(&site, service)?;
    let image = site.retag(service, &former).await?;
    display.say(&format!("rollback: `{}` is {} again", image.name, crate::plan::short(&image.id)));
    let targets = Targets { services: vec![service.clone()], health: None };
    let plan = make_plan(&site, flags, &targets).await?;
    let ran = execute(&site, &plan, Begin::Fresh, &mut listen_to_signals()?, &display).await?;
    Ok(report(&plan, &ran, began_ms, &display))
}

/// Returns the image that the last finished swap of the service replaced.
fn former_image(site: &Site, service: &ServiceName) -> Result<String, Failure> {
    for (run, path) in site.folder().list()? {
        let Ok(recorded) = Recorded::read(run, path) else { continue };
        let swapped =
            matches!(recorded.entries.last(), Some(Entry { event: Event::Closed { outcome: Outcome::Swapped }, .. }));
        let Some(plan) = recorded.plan().filter(|_| swapped) else { continue };
        let planned = plan.services.iter().find(|planned| planned.name == *service);
        if let Some(live) = planned.and_then(|planned| planned.live.first()) {
            return Ok(live.image.clone());
        }
    }
    Err(Failure::new(format!("no finished swap of `{service}` is known, so there is nothing to go back to"))
        .hint(format!("build or tag the version that you want, then `swap {service}`")))
}

/// Returns the service that the words name first, before anybody knows which services there are.
fn likely(words: &[String]) -> Option<ServiceName> {
    words.first()?.parse().ok()
}

async fn make_plan(site: &Site, flags: &Flags, targets: &Targets) -> Result<Plan, Ended> {
    let mut wanted = Vec::new();
    for service in &targets.services {
        let settings = overridden(site.settings(service), flags, targets.health.as_ref()).map_err(usage)?;
        wanted.push((service.clone(), settings));
    }
    let observed = site.observe(wanted).await?;
    plan_of(run_id(), &observed).map_err(|failures| Ended { exit: Exit::Refused, failures })
}

fn usage(failure: Failure) -> Ended {
    Ended::new(Exit::Usage, failure)
}

/// Returns a new run's id: sortable by time, and with a random part.
fn run_id() -> RunId {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds this from the system's randomness.
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish() as u16;
    RunId(format!("{}-{random:04x}", Timestamp::now().strftime("%Y%m%d-%H%M%S")))
}

/// Takes the locks of the services in a fixed order, so that two runs never wait for each other.
async fn hold(
    site: &Site,
    services: &[ServiceName],
    wait: Option<Duration>,
    display: &Display,
) -> Result<Vec<Lock>, Ended> {
    let mut ordered = services.to_vec();
    ordered.sort();
    let deadline = Instant::now() + wait.unwrap_or_default();
    let mut locks = Vec::new();
    for service in &ordered {
        loop {
            match site.folder().lock(service) {
                Ok(lock) => break locks.push(lock),
                Err(LockError::Failed(failure)) => return Err(failure.into()),
                Err(LockError::Busy(holder)) if Instant::now() >= deadline => {
                    let failure = Failure::new(format!("another run holds `{service}`: {holder}"))
                        .hint(format!("wait for it with `swap --wait 60s {service}`"));
                    return Err(Ended::new(Exit::Busy, failure));
                }
                Err(LockError::Busy(holder)) => {
                    display.note(&format!("another run holds `{service}`: {holder}"));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    Ok(locks)
}

/// Returns the newest unfinished run of the service with the locks of all its services held.
async fn unfinished(
    site: &Site,
    flags: &Flags,
    service: &ServiceName,
    display: &Display,
) -> Result<Option<(Recorded, Vec<Lock>)>, Ended> {
    let known = site.services();
    if !known.contains(service) {
        return Err(usage(unknown_service(service.as_str(), &known)));
    }
    let Some(recorded) = site.folder().unfinished(service)?.into_iter().next() else { return Ok(None) };
    let services: Vec<ServiceName> =
        recorded.plan().iter().flat_map(|plan| &plan.services).map(|s| s.name.clone()).collect();
    let locks = hold(site, &services, flags.wait, display).await?;
    // Whoever held the lock may have finished it meanwhile.
    let still = site.folder().unfinished(service)?.into_iter().next();
    Ok(still.map(|recorded| (recorded, locks)))
}

/// Unwinds (or, after its commit, finishes) a run that another process left, before a new one begins.
///
/// Returns the exit code if the new one must not begin.
async fn clean_up(
    site: &Site,
    flags: &Flags,
    recorded: &Recorded,
    signals: &mut Signals,
    display: &Display,
) -> Result<Option<Exit>, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let Some(plan) = recorded.plan().cloned() else {
        recorded.reopen()?.discard();
        return Ok(None);
    };
    display.say(&format!("run {} was left unfinished: cleaning up first", recorded.run));
    load_hooks(site, flags, &plan).await;
    let ran = execute(site, &plan, Begin::Again(recorded, Goal::Back), signals, display).await?;
    match ran.end {
        End::Over(_) if signals.borrow().is_empty() => {
            display.say(&format!("run {} is cleaned up", recorded.run));
            Ok(None)
        }
        _ => Ok(Some(report(&plan, &ran, began_ms, display))),
    }
}

async fn take_up(
    site: &Site,
    flags: &Flags,
    recorded: &Recorded,
    goal: Goal,
    display: &Display,
) -> Result<Exit, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let Some(plan) = recorded.plan().cloned() else {
        recorded.reopen()?.discard();
        display.last(&format!("run {} had not begun; nothing is left of it", recorded.run));
        return Ok(Exit::Swapped);
    };
    load_hooks(site, flags, &plan).await;
    let lost = goal == Goal::Forward && !site.candidates_run(&plan, &recorded.events()).await;
    let goal = if lost { Goal::Back } else { goal };
    let ran = execute(site, &plan, Begin::Again(recorded, goal), &mut listen_to_signals()?, display).await?;
    Ok(report(&plan, &ran, began_ms, display))
}

/// Loads the hooks that a run of another process asks. What is missing is told by the step that needs it.
async fn load_hooks(site: &Site, flags: &Flags, plan: &Plan) {
    for planned in &plan.services {
        if let Ok(settings) = overridden(site.settings(&planned.name), flags, None) {
            let _ = site.load_hooks(&planned.name, &settings.hooks).await;
        }
    }
}

/// How a run begins in this process.
enum Begin<'a> {
    Fresh,
    Again(&'a Recorded, Goal),
}

/// Journal and display of a run.
struct Recorder {
    journal: Journal,
    entries: Vec<Entry>,
    display: Display,
}

impl Record for Recorder {
    fn record(&mut self, plan: &Plan, event: &Event) -> Result<(), Failure> {
        let appended = self.journal.append(event);
        let entry = appended.as_ref().cloned().unwrap_or_else(|_| Entry {
            v: 1,
            at_ms: Timestamp::now().as_millisecond(),
            event: event.clone(),
        });
        self.entries.push(entry.clone());
        let events: Vec<Event> = self.entries.iter().map(|entry| entry.event.clone()).collect();
        self.display.show(plan, &events, &entry);
        appended.map(drop)
    }
}

/// What a run did in this process.
struct Ran {
    end: End,
    entries: Vec<Entry>,
}

async fn execute(
    site: &Site,
    plan: &Plan,
    begin: Begin<'_>,
    signals: &mut Signals,
    display: &Display,
) -> Result<Ran, Ended> {
    let fresh = matches!(begin, Begin::Fresh);
    let (journal, mut events, entries, first) = match begin {
        Begin::Fresh => {
            let journal = site.folder().begin(&plan.run)?;
            (journal, Vec::new(), Vec::new(), Event::Planned { plan: plan.clone() })
        }
        Begin::Again(recorded, goal) => {
            (recorded.reopen()?, recorded.events(), recorded.entries.clone(), Event::Resumed { goal })
        }
    };
    let trace = std::sync::Mutex::new(journal.trace());
    display.keep(move |said| trace.lock().unwrap_or_else(std::sync::PoisonError::into_inner).append(said));
    let mut recorder = Recorder { journal, entries, display: display.clone() };
    if let Err(failure) = recorder.record(plan, &first) {
        if events.is_empty() {
            recorder.journal.discard();
        }
        return Err(failure.into());
    }
    events.push(first);
    let world = site.world(plan, display, fresh);
    let end = engine::run(plan, &mut events, &world, &mut recorder, signals)
        .await
        .map_err(|illegal| Ended::new(Exit::Internal, Failure::new(illegal.to_string())))?;
    site.settle().await;
    world.probed().into_iter().for_each(|probed| display.probed(probed));
    Ok(Ran { end, entries: recorder.entries })
}

/// Tells how the run ended and returns the exit code that says the same.
fn report(plan: &Plan, ran: &Ran, began_ms: i64, display: &Display) -> Exit {
    let entries = &ran.entries;
    let services: Vec<ServiceName> = plan.services.iter().map(|service| service.name.clone()).collect();
    match &ran.end {
        End::Over(Outcome::Swapped) => {
            display.last(&ui::summary(plan, entries, began_ms));
            Exit::Swapped
        }
        End::Over(Outcome::RolledBack) => {
            if let Some(failure) = ui::first_failure(entries) {
                display.failure(failure);
            }
            display.last(&ui::rolled_back(plan));
            Exit::RolledBack
        }
        End::Stuck(step) => {
            let why = entries.iter().rev().find_map(|entry| match &entry.event {
                Event::Failed { failure, .. } | Event::UndoFailed { failure, .. } => Some(failure.clone()),
                _ => None,
            });
            display.failure(&why.unwrap_or_else(|| Failure::new(format!("`{step}` can't be done"))));
            display.last(&serves(plan, entries));
            display.last(&format!(
                "stuck at {}: mend what the error names, then `swap resume {}`",
                step.verb(),
                join(&services)
            ));
            Exit::Stuck
        }
        End::Left => {
            display.last(&serves(plan, entries));
            display.last(&format!(
                "left as it is; `swap resume {0}` finishes, `swap rollback {0}` unwinds",
                join(&services)
            ));
            Exit::Stuck
        }
    }
}

/// Returns which containers nginx sends new requests to, as far as the run knows.
fn serves(plan: &Plan, entries: &[Entry]) -> String {
    let events: Vec<Event> = entries.iter().map(|entry| entry.event.clone()).collect();
    let facts = crate::run::Facts::of(plan, &events);
    let Ok(state) = State::of(plan, &events) else { return String::new() };
    let text = |service: &crate::plan::PlannedService| {
        let switched = plan.steps.iter().enumerate().any(|(index, step)| {
            step.verb() == "switch" && step.service() == Some(&service.name) && state.holds(index)
        });
        let serving = if switched || state.committed() { facts.candidates(&service.name) } else { &service.live };
        format!("{}: {} serves", service.name, crate::plan::names(serving))
    };
    plan.services.iter().map(text).collect::<Vec<_>>().join("; ")
}

fn join(services: &[ServiceName]) -> String {
    services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" ")
}

/// The signals that have come so far.
type Signals = watch::Receiver<Vec<String>>;

fn listen(signals: &mut Option<Signals>) -> Result<&mut Signals, Failure> {
    if signals.is_none() {
        *signals = Some(listen_to_signals()?);
    }
    signals.as_mut().ok_or_else(|| Failure::new("internal: no signals"))
}

/// Collects SIGINT, SIGTERM and SIGHUP from now on instead of dying of them.
fn listen_to_signals() -> Result<Signals, Failure> {
    let (sender, receiver) = watch::channel(Vec::new());
    for (name, kind) in
        [("SIGINT", SignalKind::interrupt()), ("SIGTERM", SignalKind::terminate()), ("SIGHUP", SignalKind::hangup())]
    {
        let mut stream = signal(kind).map_err(|error| Failure::new(format!("can't listen to {name}: {error}")))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                sender.send_modify(|signals| signals.push(name.to_owned()));
            }
        });
    }
    Ok(receiver)
}
