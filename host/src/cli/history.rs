//! `swap status` and `swap history`: what is live, what is unfinished, what was done.

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::arguments::Flags;
use crate::claim::{Holding, runs_without_journal};
use crate::error::{Ended, Exit};
use crate::journal::Recorded;
use crate::model::{Failure, ServiceName, unknown_service};
use crate::observe::ServiceStatus;
use crate::plan::names;
use crate::run::{Entry, Event, Outcome, RunFacts};
use crate::site::{Looks, Site};
use crate::text::short;
use crate::ui::{self, Display, Format, Volume, first_failure, outcome_word, seconds, shown};

/// A run in the history.
#[derive(Debug, Serialize)]
struct RunLine {
    run: String,
    services: Vec<String>,
    outcome: &'static str,
    began: String,
    duration_ms: i64,
    /// The containers that were live before, by service.
    from: Vec<String>,
    /// The short ids of the images, by service.
    to: Vec<String>,
    /// The candidates, by service.
    candidates: Vec<String>,
    /// What failed first, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// What is known of a service now, with what the journals know of it.
#[derive(Debug, Serialize)]
struct StatusLine {
    #[serde(flatten)]
    status: ServiceStatus,
    /// When new requests began to go to the live containers; where swap has not brought them, when they started.
    since: Option<String>,
    /// The last run.
    last: Option<RunLine>,
}

/// Tells what is live, what is unfinished and what to type.
pub(super) async fn status(flags: &Flags, services: &[ServiceName]) -> Result<Exit, Ended> {
    let display = Display::new(flags.output, Volume::Normal);
    let site = Site::open(&flags.place(), Looks::AtNginx, &display).await?;
    let known = site.services();
    if let Some(unknown) = services.iter().find(|service| !known.contains(service)) {
        return Err(Ended::new(Exit::Usage, unknown_service(unknown.as_str(), &known)));
    }
    let wanted = if services.is_empty() { known } else { services.to_vec() };
    let lines = status_lines(&site, &wanted).await?;
    if flags.output == Format::Json {
        print(&serde_json::to_string(&lines).unwrap_or_default());
        return Ok(Exit::Swapped);
    }
    let head = ["SERVICE", "LIVE", "SINCE", "IMAGE", "LAST RUN", "UPSTREAM"].map(str::to_owned);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let rows = lines.iter().map(|StatusLine { status, since, last }| {
        let live = match (status.live.is_empty(), status.beside.is_empty()) {
            (false, _) => status.live.join(", "),
            (true, true) => "(not running)".to_owned(),
            (true, false) => "(nobody)".to_owned(),
        };
        let last = last.as_ref().map(|last| format!("{} in {}", last.outcome, seconds(last.duration_ms)));
        let image = format!("{} {}", status.image_name, status.image).trim().to_owned();
        [status.service.clone(), live, or_none(since.clone()), image, or_none(last), or_none(status.upstream.clone())]
    });
    print(&table(std::iter::once(head).chain(rows)));
    for StatusLine { status: line, .. } in &lines {
        remarks(line);
    }
    Ok(Exit::Swapped)
}

/// Returns what is known of services now, with what the journals know of them.
async fn status_lines(site: &Site, wanted: &[ServiceName]) -> Result<Vec<StatusLine>, Ended> {
    let (statuses, holders) = tokio::try_join!(site.status(wanted), site.holders(wanted))?;
    // What somebody is at work on is his.
    let is_free = |service: &ServiceName| holders.get(service).is_none_or(|holder| holder.dead);
    let free: Vec<ServiceName> = wanted.iter().filter(|service| is_free(service)).cloned().collect();
    let elsewhere = if free.is_empty() { Vec::new() } else { runs_without_journal(site, &free).await? };
    let runs = recorded(site)?;
    let mut lines = Vec::new();
    for (service, mut status) in wanted.iter().zip(statuses) {
        let mine: Vec<&Recorded> = runs.iter().filter(|recorded| is_about(recorded, service)).collect();
        let unfinished = mine.iter().filter(|recorded| !recorded.is_over());
        status.unfinished = unfinished.map(|recorded| recorded.run.to_string()).collect();
        status.holder = holders.get(service).cloned();
        if is_free(service) {
            let mine = elsewhere.iter().filter(|plan| plan.services.iter().any(|planned| planned.name == *service));
            status.unfinished.extend(mine.map(|plan| plan.run.to_string()));
        }
        let brought = mine.iter().find_map(|recorded| live_since(recorded, &status.ids)).map(clock);
        let started = || status.started.as_deref()?.parse().ok().map(|at: Timestamp| clock(at.as_millisecond()));
        let since = brought.or_else(started);
        lines.push(StatusLine { since, last: mine.first().and_then(|recorded| run_line(recorded)), status });
    }
    Ok(lines)
}

/// Prints what is unusual with a service, and what to type.
fn remarks(line: &ServiceStatus) {
    if line.by_dns {
        print(&format!(
            "{0}: nginx's file names nobody who runs, so it finds {1} by the service's DNS name; `swap {0}` names it again",
            line.service,
            line.live.join(", ")
        ));
    }
    if line.live.is_empty() && !line.beside.is_empty() {
        print(&format!(
            "{0}: {1} runs, but nginx's file names none that does: `swap {0}` names it again",
            line.service,
            line.beside.join(", ")
        ));
    } else if !line.beside.is_empty() {
        print(&format!("{}: {} runs beside and gets no requests", line.service, line.beside.join(", ")));
    }
    match &line.holder {
        Some(Holding { dead: false, who }) => print(&format!("{}: a run holds it: {who}", line.service)),
        Some(Holding { dead: true, who }) => {
            print(&format!("{}: the run that held it is dead: {who}; the next `swap` takes over", line.service));
        }
        None => {}
    }
    for run in &line.unfinished {
        print(&format!(
            "{0}: run {run} is unfinished: `swap resume {0}` finishes, `swap rollback {0}` unwinds",
            line.service
        ));
    }
}

/// Lists the last runs, newest first.
pub(super) async fn history(flags: &Flags, service: Option<&ServiceName>, limit: usize) -> Result<Exit, Ended> {
    let display = Display::new(flags.output, Volume::Normal);
    let site = Site::open(&flags.place(), Looks::AtNoNginx, &display).await?;
    if let Some(service) = service.filter(|service| !site.services().contains(service)) {
        return Err(Ended::new(Exit::Usage, unknown_service(service.as_str(), &site.services())));
    }
    let runs = recorded(&site)?;
    let wanted = runs.iter().filter(|recorded| service.is_none_or(|service| is_about(recorded, service)));
    let lines: Vec<RunLine> = wanted.filter_map(run_line).take(limit).collect();
    if flags.output == Format::Json {
        print(&serde_json::to_string(&lines).unwrap_or_default());
        return Ok(Exit::Swapped);
    }
    if lines.is_empty() {
        print("no run is recorded");
        return Ok(Exit::Swapped);
    }
    let head = ["RUN", "SERVICES", "OUTCOME", "BEGAN", "TOOK", "FROM", "TO", "IMAGE"].map(str::to_owned);
    let rows = lines.iter().map(|line| {
        [
            line.run.clone(),
            line.services.join(" "),
            line.outcome.to_owned(),
            line.began.clone(),
            seconds(line.duration_ms),
            line.from.join(", "),
            line.candidates.join(", "),
            line.to.join(", "),
        ]
    });
    print(&table(std::iter::once(head).chain(rows)));
    Ok(Exit::Swapped)
}

fn run_line(recorded: &Recorded) -> Option<RunLine> {
    let plan = recorded.plan()?;
    let first = recorded.entries.first()?;
    let last = recorded.entries.last()?;
    let facts = RunFacts::of(plan, &recorded.events());
    Some(RunLine {
        run: recorded.run.to_string(),
        services: plan.services.iter().map(|service| service.name.to_string()).collect(),
        outcome: outcome_word(outcome(recorded)),
        began: clock(first.at_ms),
        duration_ms: last.at_ms.saturating_sub(first.at_ms),
        from: plan.services.iter().map(|service| names(&service.live)).collect(),
        to: plan.services.iter().map(|service| short(&service.image.id).to_owned()).collect(),
        candidates: plan.services.iter().map(|service| names(facts.candidates(&service.name))).collect(),
        failure: first_failure(&recorded.entries).map(|failure| failure.what.clone()),
    })
}

/// Returns all runs whose journals can be read, newest first.
fn recorded(site: &Site) -> Result<Vec<Recorded>, Failure> {
    Ok(site.folder().list()?.into_iter().filter_map(|(run, path)| Recorded::read(run, path).ok()).collect())
}

fn is_about(recorded: &Recorded, service: &ServiceName) -> bool {
    recorded.plan().is_some_and(|plan| plan.services.iter().any(|planned| planned.name == *service))
}

fn outcome(recorded: &Recorded) -> Option<Outcome> {
    match recorded.entries.last()?.event {
        Event::Closed { outcome } => Some(outcome),
        _ => None,
    }
}

/// Returns when a run made containers live, in milliseconds since 1970, if these are its candidates: when nginx was
/// switched to them; for a worker, when they were healthy.
fn live_since(recorded: &Recorded, live: &[String]) -> Option<i64> {
    let plan = recorded.plan()?;
    let facts = RunFacts::of(plan, &recorded.events());
    let service = facts.candidates.iter().find(|(_, new)| new.iter().any(|new| live.contains(&new.id)))?.0;
    let done = |entry: &&Entry, verb: &str| match entry.event {
        Event::Done { step, .. } => {
            plan.steps.get(step).is_some_and(|step| step.verb() == verb && step.service() == Some(service))
        }
        _ => false,
    };
    let when = |verb: &str| recorded.entries.iter().rev().find(|entry| done(entry, verb)).map(|entry| entry.at_ms);
    when("switch").or_else(|| when("healthy"))
}

/// Returns a time as the clock of this machine shows it.
fn clock(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default().to_zoned(TimeZone::system());
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Returns the rows as columns, each as wide as its widest cell.
fn table<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn print(text: &str) {
    ui::print(&format!("{}\n", shown(text)));
}
