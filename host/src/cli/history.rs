//! `swap status` and `swap history`: what is live, what is unfinished, what was done.

use std::io::Write;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::arguments::Flags;
use crate::error::{Ended, Exit};
use crate::journal::Recorded;
use crate::live::{Holding, ServiceStatus, Site};
use crate::model::{ServiceName, unknown_service};
use crate::plan::{names, short};
use crate::run::{Event, Outcome};
use crate::ui::{Display, Format, Volume, outcome_word, seconds, shown};

/// A run in the history.
#[derive(Debug, Serialize)]
struct RunLine {
    run: String,
    services: Vec<String>,
    outcome: &'static str,
    began: String,
    duration_ms: i64,
    from: Vec<String>,
    to: Vec<String>,
}

/// Tells what is live, what is unfinished and what to type.
pub async fn status(flags: &Flags, services: &[ServiceName]) -> Result<Exit, Ended> {
    let display = Display::new(flags.output, Volume::Normal);
    let site = Site::open(&flags.place(), None, &display).await?;
    let known = site.services();
    if let Some(unknown) = services.iter().find(|service| !known.contains(service)) {
        return Err(Ended::new(Exit::Usage, unknown_service(unknown.as_str(), &known)));
    }
    let wanted = if services.is_empty() { known } else { services.to_vec() };
    let mut lines = Vec::new();
    for status in site.status(&wanted).await? {
        let service: ServiceName = status.service.parse().map_err(crate::model::Failure::new)?;
        let unfinished = site.folder().unfinished(&service)?;
        let mut unfinished: Vec<String> = unfinished.into_iter().map(|recorded| recorded.run.to_string()).collect();
        let holder = site.holder(&service).await?;
        // What somebody is at work on is his.
        if holder.as_ref().is_none_or(|holder| holder.dead) {
            let elsewhere = site.runs_without_journal(std::slice::from_ref(&service)).await?;
            unfinished.extend(elsewhere.iter().map(|plan| plan.run.to_string()));
        }
        lines.push(ServiceStatus { unfinished, holder, ..status });
    }
    if flags.output == Format::Json {
        print(&serde_json::to_string(&lines).unwrap_or_default());
        return Ok(Exit::Swapped);
    }
    let head = ["SERVICE", "LIVE", "IMAGE", "UPSTREAM"].map(str::to_owned);
    let rows = lines.iter().map(|line| {
        let live = if line.live.is_empty() { "(not running)".to_owned() } else { line.live.join(", ") };
        [line.service.clone(), live, line.image.clone(), line.upstream.clone().unwrap_or_else(|| "-".to_owned())]
    });
    print(&table(std::iter::once(head).chain(rows)));
    for line in &lines {
        if !line.beside.is_empty() {
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
    Ok(Exit::Swapped)
}

/// Lists the last runs, newest first.
pub async fn history(flags: &Flags, service: Option<&ServiceName>) -> Result<Exit, Ended> {
    let display = Display::new(flags.output, Volume::Normal);
    let site = Site::open(&flags.place(), None, &display).await?;
    if let Some(service) = service.filter(|service| !site.services().contains(service)) {
        return Err(Ended::new(Exit::Usage, unknown_service(service.as_str(), &site.services())));
    }
    let list = site.folder().list()?;
    let lines: Vec<RunLine> = list
        .into_iter()
        .filter_map(|(run, path)| Recorded::read(run, path).ok())
        .filter_map(|recorded| run_line(&recorded))
        .filter(|line| service.is_none_or(|service| line.services.iter().any(|name| name == service.as_str())))
        .collect();
    if flags.output == Format::Json {
        print(&serde_json::to_string(&lines).unwrap_or_default());
        return Ok(Exit::Swapped);
    }
    if lines.is_empty() {
        print("no run is recorded");
        return Ok(Exit::Swapped);
    }
    let head = ["RUN", "SERVICES", "OUTCOME", "BEGAN", "TOOK", "FROM", "TO"].map(str::to_owned);
    let rows = lines.iter().map(|line| {
        [
            line.run.clone(),
            line.services.join(" "),
            line.outcome.to_owned(),
            line.began.clone(),
            seconds(line.duration_ms),
            line.from.join(", "),
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
    let outcome: Option<Outcome> = match last.event {
        Event::Closed { outcome } => Some(outcome),
        _ => None,
    };
    let began = Timestamp::from_millisecond(first.at_ms).ok()?.to_zoned(TimeZone::system());
    Some(RunLine {
        run: recorded.run.to_string(),
        services: plan.services.iter().map(|service| service.name.to_string()).collect(),
        outcome: outcome_word(outcome),
        began: began.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        duration_ms: last.at_ms.saturating_sub(first.at_ms),
        from: plan.services.iter().map(|service| names(&service.live)).collect(),
        to: plan.services.iter().map(|service| short(&service.image.id).to_owned()).collect(),
    })
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

/// Prints to stdout; nobody may be listening any more, as with `swap history | head`.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", shown(text));
}
