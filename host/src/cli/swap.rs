//! `swap`, `swap plan`, `swap resume`, `swap rollback`: the commands that are about a run.

use std::future::Future;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::arguments::{Flags, Targets, overridden, targets};
use crate::engine::{self, End, Record};
use crate::error::{Ended, Exit};
use crate::journal::{Journal, Recorded};
use crate::live::{Held, NotHeld, Site};
use crate::model::{Failure, RunId, ServiceName, unknown_service};
use crate::os::token;
use crate::plan::{Front, Plan, plan as plan_of};
use crate::run::{Entry, Event, Goal, Outcome, State};
use crate::ui::{self, Display};

/// Swaps the services that the words name.
pub async fn swap(flags: &Flags, words: &[String], command: &[String], display: Display) -> Result<Exit, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let site = Site::open(&flags.place(), likely(words).as_ref(), &display).await?;
    let targets = targets(words, command, &site.services()).map_err(usage)?;
    let mut signals = listen_to_signals()?;
    let held = hold(&site, &targets.services, flags, &mut signals, &display).await?;
    let ended = swap_held(&site, flags, &targets, (&held, &mut signals), began_ms, &display).await;
    held.release().await;
    ended
}

async fn swap_held(
    site: &Site,
    flags: &Flags,
    targets: &Targets,
    (held, signals): (&Held, &mut Signals),
    began_ms: i64,
    display: &Display,
) -> Result<Exit, Ended> {
    for service in &targets.services {
        for recorded in site.folder().unfinished(service)? {
            if let Some(exit) = clean_up(site, flags, &recorded, (held, &mut *signals), display).await? {
                return Ok(exit);
            }
        }
    }
    let plan = unless_interrupted(signals, make_plan(site, flags, targets)).await?;
    let ran = execute(site, flags, &plan, Begin::Fresh, (held, signals), display).await?;
    Ok(report(&plan, &ran, began_ms, display))
}

/// Prints what `swap` would do.
pub async fn plan(flags: &Flags, words: &[String], command: &[String]) -> Result<Exit, Ended> {
    let display = Display::new(flags.output, ui::Volume::Quiet);
    let site = Site::open(&flags.place(), likely(words).as_ref(), &display).await?;
    let targets = targets(words, command, &site.services()).map_err(usage)?;
    let plan = make_plan(&site, flags, &targets).await?;
    match flags.output {
        ui::Format::Text => ui::print(&plan.to_string()),
        ui::Format::Json => ui::print(&(serde_json::to_string(&plan).unwrap_or_default() + "\n")),
    }
    Ok(Exit::Swapped)
}

/// Goes on with a run that was killed.
pub async fn resume(flags: &Flags, service: &ServiceName, display: Display) -> Result<Exit, Ended> {
    let site = Site::open(&flags.place(), Some(service), &display).await?;
    let mut signals = listen_to_signals()?;
    let (recorded, held) = unfinished(&site, flags, service, &mut signals, &display).await?;
    let ended = match &recorded {
        Some(recorded) => take_up(&site, flags, recorded, Goal::Forward, (&held, &mut signals), &display).await,
        None => {
            display.last(&format!("nothing to resume: no run of `{service}` is unfinished"));
            Ok(Exit::Swapped)
        }
    };
    held.release().await;
    ended
}

/// Unwinds a run that was killed; without one, swaps back to the image before the last swap.
///
/// With `to` it swaps to the version that this names, after whatever was unfinished is cleaned up.
pub async fn rollback(flags: &Flags, service: &ServiceName, to: Option<&str>, display: Display) -> Result<Exit, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let site = Site::open(&flags.place(), Some(service), &display).await?;
    let mut signals = listen_to_signals()?;
    let (recorded, held) = unfinished(&site, flags, service, &mut signals, &display).await?;
    let ended = match (&recorded, to) {
        (Some(recorded), None) => take_up(&site, flags, recorded, Goal::Back, (&held, &mut signals), &display).await,
        _ => go_back(&site, flags, (service, to), (&held, &mut signals), began_ms, &display).await,
    };
    held.release().await;
    ended
}

/// Swaps back to the version that was replaced by what serves now, or to the one that is named.
async fn go_back(
    site: &Site,
    flags: &Flags,
    (service, to): (&ServiceName, Option<&str>),
    (held, signals): (&Held, &mut Signals),
    began_ms: i64,
    display: &Display,
) -> Result<Exit, Ended> {
    for recorded in site.folder().unfinished(service)? {
        if let Some(exit) = clean_up(site, flags, &recorded, (held, &mut *signals), display).await? {
            return Ok(exit);
        }
    }
    let settings = overridden(site.settings(service), flags, None).map_err(usage)?;
    let latest = latest_run(site, std::slice::from_ref(service)).await?;
    let run = run_id(Timestamp::now(), latest.as_ref());
    let back = async {
        let back = site.way_back(service, settings.clone(), to).await?;
        match plan_of(run.clone(), &back.observed) {
            Ok(plan) => Ok((back, plan)),
            // A version that has died may be what keeps nginx from reading its files.
            Err(_)
                if back.observed.services.iter().any(|seen| seen.down)
                    && site.leave_rest(service, &settings).await? =>
            {
                let back = site.way_back(service, settings, to).await?;
                let plan = plan_of(run, &back.observed);
                plan.map(|plan| (back, plan)).map_err(|failures| Ended { exit: Exit::Refused, failures })
            }
            Err(failures) => Err(Ended { exit: Exit::Refused, failures }),
        }
    };
    let (back, plan) = unless_interrupted(signals, back).await?;
    display.say(&back.text);
    let ran = execute(site, flags, &plan, Begin::Fresh, (held, signals), display).await?;
    Ok(report(&plan, &ran, began_ms, display))
}

/// A service that is held for several runs after one another.
pub(super) struct Alone {
    /// The lock.
    pub held: Held,
    signals: Signals,
}

/// Takes the lock of a service for several runs after one another.
pub(super) async fn alone(
    site: &Site,
    flags: &Flags,
    service: &ServiceName,
    display: &Display,
) -> Result<Alone, Ended> {
    let mut signals = listen_to_signals()?;
    let held = hold(site, std::slice::from_ref(service), flags, &mut signals, display).await?;
    Ok(Alone { held, signals })
}

/// Returns the nginx before a service that could be swapped; its probe is the settled one, else the front page.
pub(super) async fn front(site: &Site, flags: &Flags, service: &ServiceName) -> Result<Front, Ended> {
    let mut settings = overridden(site.settings(service), flags, None).map_err(usage)?;
    settings.probe.get_or_insert_with(|| "/".to_owned());
    // What is measured here is no watch of a new version, so nothing stands in its way that a watch would need.
    settings.watch = Duration::ZERO;
    let observed = site.observe(vec![(service.clone(), settings)]).await?;
    plan_of(run_id(Timestamp::now(), None), &observed).map_err(|failures| Ended { exit: Exit::Refused, failures })?;
    let front = observed.services.into_iter().find_map(|seen| seen.front);
    front.ok_or_else(|| {
        Failure::new(format!("no nginx sends requests to `{service}`, so there is nothing that could be measured"))
            .into()
    })
}

/// Swaps a service whose lock is held. Ends with the exit code of a run that did not swap.
pub(super) async fn once(
    site: &Site,
    flags: &Flags,
    service: &ServiceName,
    alone: &mut Alone,
    display: &Display,
) -> Result<(), Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let targets = Targets { services: vec![service.clone()], health: None };
    let plan = unless_interrupted(&mut alone.signals, make_plan(site, flags, &targets)).await?;
    let ran = execute(site, flags, &plan, Begin::Fresh, (&alone.held, &mut alone.signals), display).await?;
    match ran.end {
        End::Over(Outcome::Swapped) => Ok(()),
        _ => Err(Ended { exit: report(&plan, &ran, began_ms, display), failures: Vec::new() }),
    }
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
    let (observed, latest) = tokio::join!(site.observe(wanted), latest_run(site, &targets.services));
    plan_of(run_id(Timestamp::now(), latest?.as_ref()), &observed?)
        .map_err(|failures| Ended { exit: Exit::Refused, failures })
}

/// Returns the latest run of these services that is known, here or to the engine: another machine's clock may be ahead of
/// this one's, and a new run is to sort behind all others.
async fn latest_run(site: &Site, services: &[ServiceName]) -> Result<Option<RunId>, Failure> {
    let mut latest = site.folder().list()?.into_iter().next().map(|(run, _)| run);
    for service in services {
        // Whom the engine does not tell what it knows of, the clock must do.
        let known = site.history(service).await.unwrap_or_default();
        latest = latest.max(known.into_iter().next().map(|replaced| replaced.run));
    }
    Ok(latest)
}

fn usage(failure: Failure) -> Ended {
    Ended::new(Exit::Usage, failure)
}

/// Returns a new run's id: sortable by time, and with a random part.
///
/// It is later than the latest run's, also where the clock was set back: what is sorted by it is what ran last.
fn run_id(now: Timestamp, latest: Option<&RunId>) -> RunId {
    const FORM: &str = "%Y%m%d-%H%M%S";
    let now = now.to_zoned(TimeZone::UTC).datetime();
    let latest = latest.and_then(|run| run.0.get(..15)).and_then(|text| DateTime::strptime(FORM, text).ok());
    let time = match latest.and_then(|latest| latest.checked_add(SignedDuration::from_secs(1)).ok()) {
        Some(next) if next > now => next,
        _ => now,
    };
    RunId(format!("{}-{}", time.strftime(FORM), &token()[..4]))
}

/// Holds the services, and those that unfinished runs of them are about too, or says who does.
///
/// Afterwards every unfinished run of these services has a journal here.
async fn hold(
    site: &Site,
    services: &[ServiceName],
    flags: &Flags,
    signals: &mut Signals,
    display: &Display,
) -> Result<Held, Ended> {
    let mut wanted = services.to_vec();
    for service in services {
        wanted.extend(site.folder().unfinished(service)?.iter().filter_map(Recorded::plan).flat_map(services_of));
    }
    loop {
        wanted.sort();
        wanted.dedup();
        let mut held = site.hold_nothing(display);
        match unless_interrupted(signals, take(site, &mut held, &wanted, flags, display)).await {
            Ok(more) if more.is_empty() => return Ok(held),
            Ok(more) => {
                held.release().await;
                wanted.extend(more);
            }
            Err(ended) => {
                held.release().await;
                return Err(ended);
            }
        }
    }
}

/// Takes the services and makes journals of the runs that have none here. Returns which more services those are about; without
/// them nothing was done.
async fn take(
    site: &Site,
    held: &mut Held,
    services: &[ServiceName],
    flags: &Flags,
    display: &Display,
) -> Result<Vec<ServiceName>, Ended> {
    held.take(services, flags.wait.unwrap_or_default()).await.map_err(|not_held| busy(not_held, services))?;
    let plans = site.runs_without_journal(services).await?;
    let more: Vec<ServiceName> =
        plans.iter().flat_map(services_of).filter(|service| !services.contains(service)).collect();
    if more.is_empty() {
        for plan in &plans {
            site.presume(plan, display).await?;
        }
    }
    Ok(more)
}

/// Says who holds what is wanted for these services.
fn busy(not_held: NotHeld, services: &[ServiceName]) -> Ended {
    match not_held {
        NotHeld::Failed(failure) => failure.into(),
        NotHeld::Busy { what, holder } => {
            let wanted = services.iter().find(|service| service.as_str() == what).map(std::slice::from_ref);
            let failure = Failure::new(format!("another run holds `{what}`: {holder}"))
                .hint(format!("wait for it with `swap --wait 60s {}`", join(wanted.unwrap_or(services))));
            Ended::new(Exit::Busy, failure)
        }
    }
}

fn services_of(plan: &Plan) -> Vec<ServiceName> {
    plan.services.iter().map(|planned| planned.name.clone()).collect()
}

/// Gives something up that changes nothing when a signal comes: what is held must be let go.
async fn unless_interrupted<T>(
    signals: &mut Signals,
    work: impl Future<Output = Result<T, Ended>>,
) -> Result<T, Ended> {
    tokio::select! {
        worked = work => worked,
        signal = first(signals) => Err(Ended::new(Exit::RolledBack, Failure::new(format!("{signal}: nothing was changed")))),
    }
}

/// Waits for a signal and returns its name.
pub(super) async fn first(signals: &mut Signals) -> String {
    match signals.wait_for(|signals| !signals.is_empty()).await {
        Ok(signals) => signals[0].clone(),
        Err(_) => std::future::pending().await,
    }
}

/// Holds the service and returns its newest unfinished run, if there is one.
async fn unfinished(
    site: &Site,
    flags: &Flags,
    service: &ServiceName,
    signals: &mut Signals,
    display: &Display,
) -> Result<(Option<Recorded>, Held), Ended> {
    let known = site.services();
    if !known.contains(service) {
        return Err(usage(unknown_service(service.as_str(), &known)));
    }
    let held = hold(site, std::slice::from_ref(service), flags, signals, display).await?;
    match site.folder().unfinished(service) {
        Ok(runs) => Ok((runs.into_iter().next(), held)),
        Err(failure) => {
            held.release().await;
            Err(failure.into())
        }
    }
}

/// Unwinds (or, after its commit, finishes) a run that another process left, before a new one begins.
///
/// Returns the exit code if the new one must not begin.
async fn clean_up(
    site: &Site,
    flags: &Flags,
    recorded: &Recorded,
    (held, signals): (&Held, &mut Signals),
    display: &Display,
) -> Result<Option<Exit>, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let Some(plan) = recorded.plan().cloned() else {
        recorded.reopen()?.discard();
        return Ok(None);
    };
    let forward = matches!(recorded.entries.last(), Some(Entry { event: Event::Resumed { goal: Goal::Forward }, .. }));
    let forward = forward && site.candidates_run(&plan, &recorded.events()).await;
    let goal = if forward { Goal::Forward } else { Goal::Back };
    if forgets(site, recorded, &plan, goal).await? {
        display.say(&format!("run {} was left unfinished, and others have settled since what runs", recorded.run));
        return Ok(None);
    }
    display.say(&format!("run {} was left unfinished: cleaning up first", recorded.run));
    load_hooks(site, flags, recorded, &plan, goal).await?;
    let ran = execute(site, flags, &plan, Begin::Again(recorded, goal), (held, &mut *signals), display).await?;
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
    (held, signals): (&Held, &mut Signals),
    display: &Display,
) -> Result<Exit, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let Some(plan) = recorded.plan().cloned() else {
        recorded.reopen()?.discard();
        display.last(&format!("run {} had not begun; nothing is left of it", recorded.run));
        return Ok(Exit::Swapped);
    };
    let lost = goal == Goal::Forward && !site.candidates_run(&plan, &recorded.events()).await;
    let goal = if lost { Goal::Back } else { goal };
    if forgets(site, recorded, &plan, goal).await? {
        display.last(&format!("run {} is forgotten: others have settled since what runs", recorded.run));
        return Ok(Exit::Swapped);
    }
    load_hooks(site, flags, recorded, &plan, goal).await?;
    let ran = execute(site, flags, &plan, Begin::Again(recorded, goal), (held, signals), display).await?;
    Ok(report(&plan, &ran, began_ms, display))
}

/// Forgets a run that is to go back where nothing is left to go back to. The world is believed.
async fn forgets(site: &Site, recorded: &Recorded, plan: &Plan, goal: Goal) -> Result<bool, Failure> {
    let committed = State::of(plan, &recorded.events()).is_ok_and(|state| state.committed());
    if committed || goal == Goal::Forward || !site.settled_by_others(plan).await? {
        return Ok(false);
    }
    recorded.reopen()?.discard();
    site.unpublish(&recorded.run).await;
    Ok(true)
}

/// Loads the hooks that a run of another process asks. On the way to its commit they must be those that it began with; on the way
/// back, and after the commit, the rest is done without, and the step that needs one tells.
async fn load_hooks(site: &Site, flags: &Flags, recorded: &Recorded, plan: &Plan, goal: Goal) -> Result<(), Failure> {
    for planned in &plan.services {
        if let Ok(settings) = overridden(site.settings(&planned.name), flags, None) {
            let _ = site.load_hooks(&planned.name, &settings.hooks).await;
        }
    }
    let committed = State::of(plan, &recorded.events()).is_ok_and(|state| state.committed());
    match goal == Goal::Forward && !committed {
        true => plan.services.iter().try_for_each(|planned| site.hooks_of(plan, &planned.name).map(drop)),
        false => Ok(()),
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

/// How long a command may wait at its end for what was given up: one-off containers take their time.
pub(super) const ENDED_WITHIN: Duration = Duration::from_secs(20);
/// As [`ENDED_WITHIN`], where a person wants to leave at once.
const LEFT_WITHIN: Duration = Duration::from_secs(10);

/// What a run did in this process.
struct Ran {
    end: End,
    entries: Vec<Entry>,
    /// What was given up and could not be ended.
    running: Vec<String>,
}

async fn execute(
    site: &Site,
    flags: &Flags,
    plan: &Plan,
    begin: Begin<'_>,
    (held, signals): (&Held, &mut Signals),
    display: &Display,
) -> Result<Ran, Ended> {
    let fresh = matches!(begin, Begin::Fresh);
    held.take_files(plan, flags.wait.unwrap_or_default())
        .await
        .map_err(|not_held| busy(not_held, &services_of(plan)))?;
    site.end_left_commands(if fresh { None } else { Some(&plan.run) }, display).await?;
    if fresh {
        site.still_as_planned(plan).await?;
    }
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
    // The engine makes its copy while the disk takes the journal.
    let publish = async {
        if fresh {
            site.publish(plan, held, display).await;
        }
    };
    if let (_, Err(failure)) = tokio::join!(publish, async { recorder.record(plan, &first) }) {
        if fresh {
            recorder.journal.discard();
            site.unpublish(&plan.run).await;
        }
        return Err(failure.into());
    }
    events.push(first);
    let world = site.world(plan, held, display, fresh);
    let end = engine::run(plan, &mut events, &world, &mut recorder, signals)
        .await
        .map_err(|illegal| Ended::new(Exit::Internal, Failure::new(illegal.to_string())))?;
    let over = async {
        if matches!(end, End::Over(_)) {
            site.unpublish(&plan.run).await;
        }
    };
    // A run that is left as it is says of nothing that it is over, and who left it wants to leave.
    let left = matches!(end, End::Left);
    let (running, ()) = tokio::join!(site.settle(if left { LEFT_WITHIN } else { ENDED_WITHIN }), over);
    if !left {
        running.iter().for_each(|what| display.remark(&format!("{what} was given up and still runs")));
    }
    world.probed().into_iter().for_each(|probed| display.probed(probed));
    Ok(Ran { end, entries: recorder.entries, running })
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
            display.last(&ui::rolled_back(plan, entries, &ran.running));
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
        End::Lost(failure) => {
            display.failure(failure);
            display.last("left as it is: another run has taken over");
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
pub(super) type Signals = watch::Receiver<Vec<String>>;

/// Collects SIGINT, SIGTERM and SIGHUP from now on instead of dying of them.
pub(super) fn listen_to_signals() -> Result<Signals, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_keeps_the_order_of_runs() {
        let id = |now: &str, latest: Option<&str>| {
            let latest = latest.map(|text| RunId(text.to_owned()));
            run_id(now.parse().unwrap(), latest.as_ref()).0[..15].to_owned()
        };
        let now = "2026-01-31T15:45:02Z";
        assert_eq!(id(now, None), "20260131-154502");
        assert_eq!(id(now, Some("20260131-154500-9f3a")), "20260131-154502");
        assert_eq!(id(now, Some("20260131-154502-9f3a")), "20260131-154503");
        assert_eq!(id(now, Some("20301231-235959-9f3a")), "20310101-000000");
        for odd in ["", "x", "99999999-999999-0000", "2026013\u{e9}-154500-9f3a"] {
            assert_eq!(id(now, Some(odd)), "20260131-154502");
        }
    }
}
