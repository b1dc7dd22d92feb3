//! What people and scripts see of a run: one line per step, a last line that is a fact, or JSON.
//!
//! Talk goes to stderr; the last line and the JSON events go to stdout.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::model::{Container, Failure, printable};
use crate::plan::{Plan, PlannedService, Step, names, short};
use crate::run::{Entry, Event, Facts, Learnt, Outcome};

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line, for scripts.
    Json,
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Volume {
    /// Only failures and the last line.
    Quiet,
    /// One line per step.
    #[default]
    Normal,
    /// Also why a step waits and what hooks and commands print.
    Verbose,
}

/// Shows the events of a run. Clones share one terminal, so that steps and hooks can speak at any time.
#[derive(Debug, Clone)]
pub struct Display {
    format: Format,
    volume: Volume,
    terminal: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the terminal's last line is one that is replaced.
    transient: bool,
    /// When each step began, in milliseconds since 1970.
    began: BTreeMap<usize, i64>,
}

/// A JSON line: the event with what a script would otherwise have to look up in the plan.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    run: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verb: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<i64>,
}

impl Display {
    /// Makes a display; on a terminal a step that waits shows why on a line that is replaced.
    pub fn new(format: Format, volume: Volume) -> Self {
        let terminal = io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { format, volume, terminal, state: Arc::default() }
    }

    /// Shows an event of the run.
    pub fn show(&self, plan: &Plan, events: &[Event], entry: &Entry) {
        let step = step_of(&entry.event);
        let elapsed = {
            let mut state = self.state();
            if let Event::Started { step } | Event::UndoStarted { step } = entry.event {
                state.began.insert(step, entry.at_ms);
            }
            step.and_then(|step| state.began.get(&step)).map(|began| entry.at_ms.saturating_sub(*began))
        };
        if self.format == Format::Json {
            let what = step.and_then(|step| plan.steps.get(step));
            self.json(&Line {
                entry,
                run: &plan.run.0,
                verb: what.map(Step::verb),
                service: what.and_then(Step::service).map(|service| service.as_str()),
                elapsed_ms: elapsed,
            });
            return;
        }
        if self.volume < Volume::Normal {
            return;
        }
        match &entry.event {
            Event::Planned { plan } => {
                let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
                self.say(&format!("swap {} (project {}, run {})", names.join(" "), plan.project, plan.run));
                plan.notices.iter().for_each(|notice| self.say(&format!("note: {notice}")));
            }
            Event::Done { step, learnt } => {
                if let Some(line) = plan.steps.get(*step).and_then(|what| fact(what, learnt, &Facts::of(plan, events)))
                {
                    self.step_line(&line, elapsed);
                }
            }
            Event::Undone { step } => {
                if let Some(undo) = plan.steps.get(*step).and_then(Step::undo)
                    && let Some(line) = fact(&undo, &Learnt::Nothing, &Facts::of(plan, events))
                {
                    self.step_line(&line, elapsed);
                }
            }
            Event::Failed { step, failure } => self.failed(plan.steps.get(*step), failure, elapsed),
            Event::UndoFailed { step, failure } => {
                let undo = plan.steps.get(*step).and_then(Step::undo);
                self.failed(undo.as_ref(), failure, elapsed);
            }
            Event::Interrupted { signal } => {
                self.say(&format!("{signal}: unwinding, nothing is left behind (once more leaves the run as it is)"));
            }
            Event::Started { .. } | Event::UndoStarted { .. } | Event::Resumed { .. } | Event::Closed { .. } => {}
        }
    }

    /// Shows why a step waits, or a line that a hook or a command printed.
    pub fn note(&self, text: &str) {
        let text = printable(text);
        if self.format == Format::Json {
            let at_ms = jiff::Timestamp::now().as_millisecond();
            self.json(&serde_json::json!({ "v": 1, "at_ms": at_ms, "event": "note", "text": text }));
        } else if self.volume == Volume::Verbose {
            self.say(&format!("    {text}"));
        } else if self.volume == Volume::Normal && self.terminal {
            self.clear();
            let width = 100;
            let cut: String = text.chars().take(width).collect();
            eprint!("  … {cut}");
            let _ = io::stderr().flush();
            self.state().transient = true;
        }
    }

    /// Shows a line that a hook or its command said.
    pub fn hook_line(&self, text: &str) {
        if self.format == Format::Text && self.volume == Volume::Normal {
            self.say(&format!("    {}", printable(text)));
        } else {
            self.note(text);
        }
    }

    /// Says a line that stays, on stderr.
    pub fn say(&self, line: &str) {
        if self.format == Format::Json || self.volume == Volume::Quiet {
            return;
        }
        self.clear();
        eprintln!("{}", shown(line));
    }

    /// Says a failure with what it printed and with its cure.
    pub fn failure(&self, failure: &Failure) {
        if self.format == Format::Json {
            self.json(&serde_json::json!({ "v": 1, "event": "error", "failure": failure }));
            return;
        }
        self.clear();
        eprint!("{}", failure_text(failure));
    }

    /// Prints the last line of a run: a fact, on stdout.
    pub fn last(&self, line: &str) {
        if self.format == Format::Json {
            return;
        }
        self.clear();
        // Nobody may be listening any more; the swap has happened all the same.
        let _ = writeln!(io::stdout(), "{}", shown(line));
    }

    fn failed(&self, step: Option<&Step>, failure: &Failure, elapsed: Option<i64>) {
        let verb = step.map_or("", Step::verb);
        self.step_line(&format!("{verb:<11} failed: {}", failure.what), elapsed);
    }

    fn step_line(&self, line: &str, elapsed: Option<i64>) {
        let line = printable(line);
        self.clear();
        match elapsed {
            Some(elapsed) => eprintln!("  {line}  {}", seconds(elapsed)),
            None => eprintln!("  {line}"),
        }
    }

    fn clear(&self) {
        if std::mem::take(&mut self.state().transient) {
            // Carriage return and "erase the line": only ever sent to a terminal.
            eprint!("\r\u{1b}[2K");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn json(&self, line: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(line) {
            let _ = writeln!(io::stdout(), "{text}");
        }
    }
}

/// Returns text of several lines as a terminal may have it: only its line ends are obeyed.
pub fn shown(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Returns a failure as people read it: what, its last lines, the cure; each line ends with a newline.
pub fn failure_text(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", printable(&failure.what).replace("\\n", "\n       "));
    for line in &failure.tail {
        text.push_str(&format!("  | {}\n", printable(line)));
    }
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("hint: {}\n", shown(hint)));
    }
    text
}

fn step_of(event: &Event) -> Option<usize> {
    match event {
        Event::Started { step }
        | Event::Done { step, .. }
        | Event::Failed { step, .. }
        | Event::UndoStarted { step }
        | Event::Undone { step }
        | Event::UndoFailed { step, .. } => Some(*step),
        Event::Planned { .. } | Event::Interrupted { .. } | Event::Resumed { .. } | Event::Closed { .. } => None,
    }
}

/// Returns what a step that is done has brought about; `None` for steps that nobody needs to see.
fn fact(step: &Step, learnt: &Learnt, facts: &Facts) -> Option<String> {
    let new = |service| names(facts.candidates(service));
    let text = match step {
        Step::PreStart { hooks, .. } if hooks.is_empty() => return None,
        Step::PreStart { service, hooks, .. }
        | Step::PreSwap { service, hooks }
        | Step::PostSwap { service, hooks }
        | Step::Rollback { service, hooks }
        | Step::Finish { service, hooks } => format!("{service}: {} agreed", hooks.join(", ")),
        Step::Adopt { service, front, live } => {
            format!("{service}: {} names {}", front.file(service), with_addresses(live))
        }
        Step::Release { service, front } => format!("{service}: {} is removed again", front.file(service)),
        Step::Create { service, image, .. } => {
            let created = match learnt {
                Learnt::Candidates { containers } => names(containers),
                _ => new(service),
            };
            format!("{service}: {created} from {} ({})", image.name, short(&image.id))
        }
        Step::StopOld { service, old, .. } => format!("{service}: {} stopped, nobody serves", names(old)),
        Step::Start { service, .. } => format!("{service}: {} runs", new(service)),
        Step::AwaitHealthy { service, .. } => format!("{service}: {} is healthy", new(service)),
        Step::Switch { service, front, .. } => {
            format!("{service}: {} sends new requests to {}", front.proxy, with_addresses(facts.candidates(service)))
        }
        Step::Watch { service, .. } => format!("{service}: {} did well", new(service)),
        Step::Drain { service, from, .. } => format!("{service}: nothing uses {} any more", names(from)),
        Step::Commit => return None,
        Step::Retire { service, old, .. } => format!("{service}: {} stopped and removed", names(old)),
        Step::RemoveCandidates { service, .. } => format!("{service}: what was created is removed"),
        Step::StartOld { service, old, .. } => format!("{service}: {} runs again", names(old)),
        Step::StopCandidates { service, .. } => format!("{service}: what was started is stopped"),
        Step::SwitchBack { service, front, to, .. } => {
            format!("{service}: {} sends new requests to {} again", front.proxy, with_addresses(to))
        }
    };
    Some(format!("{:<11} {text}", step.verb()))
}

fn with_addresses(containers: &[Container]) -> String {
    let texts: Vec<String> = containers
        .iter()
        .map(|container| match container.address {
            Some(address) => format!("{} ({address})", container.name),
            None => container.name.clone(),
        })
        .collect();
    texts.join(", ")
}

/// Returns a time as people read it: `0.04 s`, `1.2 s`, `75 s`.
pub fn seconds(ms: i64) -> String {
    let seconds = ms.max(0) as f64 / 1000.0;
    match seconds {
        s if s < 0.95 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{s:.0} s"),
    }
}

/// Returns the last line of a swap: `swapped app: demo-app-1 → demo-app-2 in 1.2 s (create 0.2, …)`.
///
/// `began_ms` is when the command began, in milliseconds since 1970: looking at the world counts too.
pub fn summary(plan: &Plan, entries: &[Entry], began_ms: i64) -> String {
    let events: Vec<Event> = entries.iter().map(|entry| entry.event.clone()).collect();
    let facts = Facts::of(plan, &events);
    let pair = |service: &PlannedService| {
        format!("{}: {} → {}", service.name, names(&service.live), names(facts.candidates(&service.name)))
    };
    let pairs: Vec<String> = plan.services.iter().map(pair).collect();
    let observed = entries.first().map_or(0, |first| first.at_ms.saturating_sub(began_ms));
    let whole = entries.last().map_or(0, |last| last.at_ms.saturating_sub(began_ms));
    let times: Vec<String> = std::iter::once(("observe", observed))
        .chain(step_times(plan, entries))
        .filter(|(_, ms)| *ms >= 5)
        .map(|(verb, ms)| format!("{verb} {}", seconds(ms).trim_end_matches(" s")))
        .collect();
    let gap = gap(plan, entries).map(|ms| format!(", nobody served for {}", seconds(ms))).unwrap_or_default();
    format!("swapped {} in {} ({}){gap}", pairs.join("; "), seconds(whole), times.join(", "))
}

/// Returns the time that each kind of step took, in milliseconds, in the order of the plan.
pub fn step_times(plan: &Plan, entries: &[Entry]) -> Vec<(&'static str, i64)> {
    let mut began = BTreeMap::new();
    let mut times: Vec<(&'static str, i64)> = Vec::new();
    for entry in entries {
        match &entry.event {
            Event::Started { step } => {
                began.insert(*step, entry.at_ms);
            }
            Event::Done { step, .. } => {
                let told = plan.steps.get(*step).filter(|step| **step != Step::Commit);
                let Some(verb) = told.map(Step::verb) else { continue };
                let took = began.get(step).map_or(0, |began| entry.at_ms.saturating_sub(*began));
                match times.iter_mut().find(|(known, _)| *known == verb) {
                    Some((_, sum)) => *sum += took,
                    None => times.push((verb, took)),
                }
            }
            _ => {}
        }
    }
    times
}

/// Returns how long nobody served, in milliseconds, where the order is stop-first.
fn gap(plan: &Plan, entries: &[Entry]) -> Option<i64> {
    let verb = |step: usize| plan.steps.get(step).map(Step::verb);
    let stopped = entries.iter().find(|entry| started(&entry.event).and_then(verb) == Some("stop-old"))?;
    let serves = entries
        .iter()
        .rev()
        .find(|entry| done(&entry.event).and_then(verb).is_some_and(|verb| matches!(verb, "healthy" | "switch")))?;
    Some(serves.at_ms.saturating_sub(stopped.at_ms))
}

fn started(event: &Event) -> Option<usize> {
    if let Event::Started { step } = event { Some(*step) } else { None }
}

fn done(event: &Event) -> Option<usize> {
    if let Event::Done { step, .. } = event { Some(*step) } else { None }
}

/// Returns what failed first in a run, if anything did.
pub fn first_failure(entries: &[Entry]) -> Option<&Failure> {
    entries.iter().find_map(|entry| match &entry.event {
        Event::Failed { failure, .. } => Some(failure),
        _ => None,
    })
}

/// Returns the last line of a run that was unwound.
pub fn rolled_back(plan: &Plan) -> String {
    let serving: Vec<String> = plan
        .services
        .iter()
        .map(|service| {
            let serve = if service.live.len() == 1 { "serves" } else { "serve" };
            format!("{}: {} {serve}", service.name, names(&service.live))
        })
        .collect();
    format!("rolled back; {}, nothing of this run is left", serving.join("; "))
}

/// Returns a word for the outcome in tables.
pub fn outcome_word(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Swapped) => "swapped",
        Some(Outcome::RolledBack) => "rolled back",
        None => "unfinished",
    }
}
