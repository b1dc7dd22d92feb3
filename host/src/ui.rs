//! What people and scripts see of a run: one line per step, a last line that is a fact, or JSON.
//!
//! Talk goes to stderr; the last line and the JSON events go to stdout.

mod actions;
mod facts;
mod plot;
mod report;
mod spans;
mod story;
mod terminal;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::ProgressDrawTarget;
use serde::Serialize;

use crate::model::{Failure, Phase};
use crate::os::token;
use crate::plan::{Plan, Step, VERSION};
use crate::run::trace::{Probed, Trace};
use crate::run::{Entry, Event, RunFacts};
use crate::text::printable;

use facts::fact;
pub use facts::{all_failed, first_failure, front_door, outcome_word, rolled_back, seconds, step_times, summary};
pub use report::page;
pub use spans::RunRecord;
pub use story::story;
use terminal::{Going, Terminal};

/// Writes to standard output. Where nobody is listening any more, as in `swap history | head`, that is no failure.
pub fn print(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to standard error; as [`print`] where nobody is listening.
pub fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

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
    state: Arc<Mutex<Screen>>,
    keeper: Option<Keeper>,
}

struct Screen {
    face: Face,
    /// Where talk goes, where no terminal is drawn.
    err: Box<dyn Write + Send>,
    /// Where data and the last line go.
    out: Box<dyn Write + Send>,
    /// When each step began, in milliseconds since 1970.
    began: BTreeMap<usize, i64>,
    /// What failed, for the title of an annotation: `swap app: healthy failed`.
    failed: Option<String>,
}

/// Who looks.
#[derive(Debug)]
enum Face {
    /// A file, a pipe, a plain terminal.
    Plain,
    /// A person at a terminal.
    Terminal(Terminal),
    /// GitHub Actions; `open` is the title of the group that is open.
    Actions { open: Option<String>, token: String },
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("face", &self.face).finish_non_exhaustive()
    }
}

/// Who keeps what is said, for the report.
#[derive(Clone)]
struct Keeper(Arc<dyn Fn(Trace) + Send + Sync>);

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper(…)")
    }
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
    /// Makes a display for whoever looks: a terminal, GitHub Actions (`GITHUB_ACTIONS=true`), or a file.
    pub fn new(format: Format, volume: Volume) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let terminal = io::stderr().is_terminal() && set("TERM").is_none_or(|term| term != "dumb");
        let face = if format == Format::Json {
            Face::Plain
        } else if set("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
            Face::Actions { open: None, token: format!("swap-{}", token()) }
        } else if terminal && volume > Volume::Quiet {
            Face::Terminal(Terminal::new(ProgressDrawTarget::stderr(), set("NO_COLOR").is_none(), true))
        } else {
            Face::Plain
        };
        Self::with(format, volume, face, Box::new(io::stderr()), Box::new(io::stdout()))
    }

    fn with(
        format: Format,
        volume: Volume,
        face: Face,
        err: Box<dyn Write + Send>,
        out: Box<dyn Write + Send>,
    ) -> Self {
        let state = Screen { face, err, out, began: BTreeMap::new(), failed: None };
        Self { format, volume, state: Arc::new(Mutex::new(state)), keeper: None }
    }

    /// Shows an event of the run.
    pub fn show(&self, plan: &Plan, events: &[Event], entry: &Entry) {
        let mut state = self.state();
        let step = step_of(&entry.event);
        if let Event::Started { step } | Event::UndoStarted { step } = entry.event {
            state.began.insert(step, entry.at_ms);
        }
        let elapsed = step.and_then(|step| state.began.get(&step)).map(|began| entry.at_ms.saturating_sub(*began));
        let what = step.and_then(|step| plan.steps.get(step));
        if self.format == Format::Json {
            return state.json(&Line {
                entry,
                run: &plan.run.0,
                verb: what.map(Step::verb),
                service: what.and_then(Step::service).map(|service| service.as_str()),
                elapsed_ms: elapsed,
            });
        }
        if let Event::Failed { .. } | Event::UndoFailed { .. } = entry.event {
            let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
            let verb = what.map_or("", Step::verb);
            state.failed.get_or_insert(format!("swap {}: {verb} failed", names.join(" ")));
        }
        if self.volume < Volume::Normal {
            return;
        }
        state.live(plan, entry);
        match &entry.event {
            Event::Planned { plan } => {
                let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
                state.say(&format!("swap {} (project {}, run {})", names.join(" "), plan.project, plan.run));
                plan.notices.iter().for_each(|notice| state.say(&format!("note: {notice}")));
            }
            Event::Done { learnt, .. } => {
                if let Some(line) = what.and_then(|what| fact(plan, what, learnt, &RunFacts::of(plan, events))) {
                    state.step_line(&line.to_string(), elapsed, true);
                }
            }
            Event::Undone { learnt, .. } => {
                if let Some(undo) = what.and_then(|what| plan.undo(what))
                    && let Some(line) = fact(plan, &undo, learnt, &RunFacts::of(plan, events))
                {
                    state.step_line(&line.to_string(), elapsed, true);
                }
            }
            Event::Failed { failure, .. } => state.failed_line(what, failure, elapsed),
            Event::UndoFailed { failure, .. } => {
                state.failed_line(what.and_then(|what| plan.undo(what)).as_ref(), failure, elapsed)
            }
            Event::Interrupted { signal } => {
                let is_commit = |step: &usize| plan.steps.get(*step) == Some(&Step::Commit);
                let committed = events.iter().any(|event| matches!(event, Event::Done { step, .. } if is_commit(step)));
                let then = match committed {
                    true => "too late to unwind, the run goes on to its end",
                    false => "unwinding, nothing is left behind",
                };
                state.say(&format!("{signal}: {then} (once more leaves the run as it is)"));
            }
            Event::Started { .. } | Event::UndoStarted { .. } | Event::Resumed { .. } | Event::Closed { .. } => {}
        }
    }

    /// Returns a display of the same terminal that gives what is said to a keeper too, whatever is shown of it.
    pub fn keeping(&self, keeper: impl Fn(Trace) + Send + Sync + 'static) -> Self {
        Self { keeper: Some(Keeper(Arc::new(keeper))), ..self.clone() }
    }

    fn keep(&self, what: impl FnOnce() -> Trace) {
        if let Some(Keeper(keep)) = &self.keeper {
            keep(what());
        }
    }

    /// Shows why a step waits, or what it does meanwhile.
    pub fn note(&self, text: &str) {
        if self.keeper.is_none() && self.volume == Volume::Quiet && self.format == Format::Text {
            return;
        }
        let text = printable(text);
        let mut state = self.state();
        self.keep(|| Trace::Waiting { text: text.clone() });
        match (self.format, self.volume) {
            (Format::Json, _) => state.json_note(serde_json::json!({ "kind": "waiting", "text": text })),
            (_, Volume::Verbose) => state.say(&format!("    {text}")),
            (_, Volume::Normal) => {
                if let Face::Terminal(terminal) = &mut state.face {
                    terminal.waits(&text);
                }
            }
            (_, Volume::Quiet) => {}
        }
    }

    /// Shows what a step sees while it goes on: on a terminal only, in place of what was shown before, and it is not kept.
    pub fn meanwhile(&self, text: impl FnOnce() -> String) {
        let mut state = self.state();
        if let (Face::Terminal(terminal), Format::Text, Volume::Normal) = (&mut state.face, self.format, self.volume) {
            terminal.waits(&printable(&text()));
        }
    }

    /// Shows a line that a hook or its command said; one that is not loud only on request.
    pub fn hook_line(&self, hook: &str, phase: Phase, text: &str, loud: bool) {
        let text = printable(text);
        let mut state = self.state();
        self.keep(|| Trace::Hook { hook: hook.to_owned(), phase, text: text.clone() });
        match self.format {
            Format::Json => {
                state.json_note(serde_json::json!({ "kind": "hook", "hook": hook, "phase": phase, "text": text }));
            }
            Format::Text if self.volume == Volume::Verbose || (self.volume == Volume::Normal && loud) => {
                state.hook_line(&format!("{hook} ({phase})"), &text, self.volume);
            }
            Format::Text => {}
        }
    }

    /// Says what the operator should know and that is no failure.
    pub fn remark(&self, text: &str) {
        let text = printable(text);
        self.keep(|| Trace::Remark { text: text.clone() });
        match self.format {
            Format::Json => self.state().json_note(serde_json::json!({ "kind": "remark", "text": text })),
            Format::Text => self.say(&format!("  note: {text}")),
        }
    }

    /// Says what a probe has counted.
    pub fn probed(&self, probed: Probed) {
        match self.format {
            Format::Json => self.state().json_note(serde_json::json!({
                "kind": "probe",
                "service": probed.service,
                "url": probed.url,
                "before": probed.before,
                "since": probed.since,
                "reached": probed.reached,
                "text": front_door(&probed),
            })),
            Format::Text => self.say(&front_door(&probed)),
        }
        if let Some(remark) = all_failed(&probed) {
            self.remark(&remark);
        }
        self.keep(|| Trace::Probe(probed));
    }

    /// Says a line that stays, on stderr.
    pub fn say(&self, line: &str) {
        if self.format == Format::Text && self.volume > Volume::Quiet {
            self.state().say(&shown(line));
        }
    }

    /// Says a failure with what it printed and with its cure.
    pub fn failure(&self, failure: &Failure) {
        let mut state = self.state();
        if self.format == Format::Json {
            return state.json(&serde_json::json!({ "v": VERSION, "event": "error", "failure": failure }));
        }
        state.close();
        state.say(failure_text(failure).trim_end_matches('\n'));
        if let Face::Actions { .. } = state.face {
            let title = state.failed.clone().unwrap_or_else(|| "swap".to_owned());
            state.say(&actions::error(&title, failure));
        }
    }

    /// Prints the last line of a run: a fact, on stdout.
    pub fn last(&self, line: &str) {
        if self.format == Format::Json {
            return;
        }
        let mut state = self.state();
        state.close();
        // Nobody may be listening any more; the swap has happened all the same.
        let _ = writeln!(state.out, "{}", shown(line));
    }

    fn state(&self) -> MutexGuard<'_, Screen> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Screen {
    /// Writes a line that stays.
    fn say(&mut self, line: &str) {
        self.close_group();
        match &self.face {
            Face::Terminal(terminal) => terminal.line(line),
            Face::Plain | Face::Actions { .. } => drop(writeln!(self.err, "{line}")),
        }
    }

    /// Moves the live part of a terminal along.
    fn live(&mut self, plan: &Plan, entry: &Entry) {
        self.close_group();
        let Face::Terminal(terminal) = &mut self.face else { return };
        let kept = match &entry.event {
            Event::Planned { plan } => {
                let texts: Vec<String> = plan.steps.iter().map(|step| plan.text(step)).collect();
                let to_come = texts.iter().enumerate().filter(|(index, _)| plan.steps[*index] != Step::Commit);
                terminal.plan(to_come.map(|(index, text)| (index, text.as_str())));
                Vec::new()
            }
            Event::Started { step } => {
                let begun = plan.steps.get(*step).filter(|step| **step != Step::Commit);
                let text = begun.map(|step| plan.text(step));
                text.map(|text| terminal.begin(Going::Step(*step), &text)).unwrap_or_default()
            }
            Event::UndoStarted { step } => {
                let undo = plan.steps.get(*step).and_then(|step| plan.undo(step));
                undo.map(|undo| terminal.begin(Going::Undo(*step), &plan.text(&undo))).unwrap_or_default()
            }
            Event::Done { step, .. } | Event::Failed { step, .. } => terminal.end(Going::Step(*step)),
            Event::Undone { step, .. } | Event::UndoFailed { step, .. } => terminal.end(Going::Undo(*step)),
            Event::Closed { .. } => terminal.close(),
            Event::Interrupted { .. } | Event::Resumed { .. } => terminal.end_all(),
        };
        kept.iter().for_each(|line| terminal.line(line));
    }

    /// Takes away what is only there while the run goes on.
    fn close(&mut self) {
        self.close_group();
        if let Face::Terminal(terminal) = &mut self.face {
            let kept = terminal.close();
            kept.iter().for_each(|line| terminal.line(line));
        }
    }

    fn close_group(&mut self) {
        if let Face::Actions { open, token } = &mut self.face
            && open.take().is_some()
        {
            let _ = writeln!(self.err, "{}", actions::end_group(token));
        }
    }

    fn hook_line(&mut self, by: &str, text: &str, volume: Volume) {
        match &mut self.face {
            Face::Terminal(terminal) if volume == Volume::Normal => terminal.says(&format!("{by}: {text}")),
            Face::Terminal(terminal) => terminal.line(&format!("    {by}: {text}")),
            Face::Plain => drop(writeln!(self.err, "    {by}: {text}")),
            Face::Actions { open, .. } => {
                if open.as_deref() != Some(by) {
                    self.close_group();
                    if let Face::Actions { open, token } = &mut self.face {
                        *open = Some(by.to_owned());
                        let _ = writeln!(self.err, "{}", actions::begin_group(by, token));
                    }
                }
                let _ = writeln!(self.err, "    {text}");
            }
        }
    }

    fn failed_line(&mut self, step: Option<&Step>, failure: &Failure, elapsed: Option<i64>) {
        let verb = step.map_or("", Step::verb);
        self.step_line(&format!("{verb:<11} failed: {}", failure.what), elapsed, false);
    }

    fn step_line(&mut self, line: &str, elapsed: Option<i64>, good: bool) {
        let line = printable(line);
        let took = elapsed.map(|elapsed| format!("  {}", seconds(elapsed))).unwrap_or_default();
        let sign = match &self.face {
            Face::Terminal(terminal) => format!("{} ", terminal.sign(good)),
            _ => String::new(),
        };
        self.say(&format!("  {sign}{line}{took}"));
    }

    fn json(&mut self, line: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(line) {
            let _ = writeln!(self.out, "{text}");
        }
    }

    fn json_note(&mut self, mut note: serde_json::Value) {
        note["v"] = VERSION.into();
        note["at_ms"] = jiff::Timestamp::now().as_millisecond().into();
        note["event"] = "note".into();
        self.json(&note);
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
        | Event::Undone { step, .. }
        | Event::UndoFailed { step, .. } => Some(*step),
        Event::Planned { .. } | Event::Interrupted { .. } | Event::Resumed { .. } | Event::Closed { .. } => None,
    }
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
