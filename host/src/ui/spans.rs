//! A run as spans of time: each step, or its undo, with what was said meanwhile. Pure.
//!
//! What the story and the report tell, they tell from these.

use crate::model::Failure;
use crate::plan::{Plan, Step};
use crate::run::trace::{Probed, Trace, Traced};
use crate::run::{Entry, Event, Outcome, RunFacts};

use super::facts::{Fact, fact};

/// A run as it was recorded, with the clock of whoever reads it.
pub struct RunRecord<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The journal.
    pub entries: &'a [Entry],
    /// What was said and measured meanwhile; may be empty.
    pub trace: &'a [Traced],
    /// Returns a time, given in milliseconds since 1970, as the reader's clock and calendar show it.
    pub clock: &'a dyn Fn(i64) -> String,
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// Done, with what it has brought about, where there is something to tell.
    Done(Option<Fact>),
    /// It failed.
    Failed(Failure),
    /// It was left: a signal came, or the process ended.
    Left,
}

/// A step, or the undo of one, from its begin to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// What was done: the step itself, or what undoes it.
    pub step: Step,
    /// Whether it undoes a step.
    pub undo: bool,
    /// The place of the entry with which it began.
    pub place: usize,
    /// When it began, in milliseconds since 1970.
    pub began: i64,
    /// When it ended or was left.
    pub ended: i64,
    /// How.
    pub ending: Ending,
    /// What was said meanwhile, in order; waits for the same reason are one.
    pub said: Vec<SaidLine>,
}

/// A line that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SaidLine {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Who: a hook with its phase, else nothing.
    pub by: Option<String>,
    /// The line.
    pub text: String,
    /// Whether it is a reason to wait.
    pub waiting: bool,
}

impl RunRecord<'_> {
    /// Returns a time as the reader's clock and calendar show it.
    pub(super) fn time(&self, at_ms: i64) -> String {
        (self.clock)(at_ms)
    }

    /// When the run began, in milliseconds since 1970.
    pub(super) fn began(&self) -> i64 {
        self.entries.first().map_or(0, |entry| entry.at_ms)
    }

    /// When it ended, or when the last of it was recorded.
    pub(super) fn ended(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.at_ms)
    }

    /// How the run ended; `None`: it is not over.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.entries.iter().rev().find_map(|entry| match entry.event {
            Event::Closed { outcome } => Some(outcome),
            _ => None,
        })
    }

    /// What the events tell about the world.
    pub(super) fn facts(&self) -> RunFacts {
        let events: Vec<Event> = self.entries.iter().map(|entry| entry.event.clone()).collect();
        RunFacts::of(self.plan, &events)
    }

    /// What the probes have counted.
    pub(super) fn probes(&self) -> impl Iterator<Item = &Probed> {
        self.trace.iter().filter_map(|traced| match &traced.what {
            Trace::Probe(probed) => Some(probed),
            _ => None,
        })
    }

    /// The steps and undos in the order in which they began.
    pub(super) fn spans(&self) -> Vec<Span> {
        let facts = self.facts();
        let mut spans: Vec<Span> = Vec::new();
        let mut open: Option<(Step, bool, usize, i64)> = None;
        let mut close = |open: &mut Option<(Step, bool, usize, i64)>, ended: i64, ending: Ending| {
            if let Some((step, undo, place, began)) = open.take() {
                spans.push(Span { step, undo, place, began, ended, ending, said: self.said(began, ended) });
            }
        };
        let step = |index: &usize| self.plan.steps.get(*index).cloned();
        let undo = |index: &usize| self.plan.undo(self.plan.steps.get(*index)?);
        for (place, entry) in self.entries.iter().enumerate() {
            let at = entry.at_ms;
            // What another process takes up was left when the first one said its last.
            let resumed = matches!(entry.event, Event::Resumed { .. });
            let left = match place.checked_sub(1).and_then(|before| self.entries.get(before)) {
                Some(before) if resumed => self.last_word(before.at_ms, at),
                _ => at,
            };
            match &entry.event {
                Event::Started { step: index } => {
                    close(&mut open, left, Ending::Left);
                    open = step(index).map(|step| (step, false, place, at));
                }
                Event::UndoStarted { step: index } => {
                    close(&mut open, left, Ending::Left);
                    open = undo(index).map(|undo| (undo, true, place, at));
                }
                Event::Done { step: index, learnt } => {
                    let done = step(index).and_then(|step| fact(self.plan, &step, learnt, &facts));
                    close(&mut open, at, Ending::Done(done));
                }
                Event::Undone { step: index, learnt } => {
                    let done = undo(index).and_then(|undo| fact(self.plan, &undo, learnt, &facts));
                    close(&mut open, at, Ending::Done(done));
                }
                Event::Failed { step: index, failure } => {
                    // A step that was done fails where that could not be recorded.
                    if open.is_none() {
                        open = step(index).map(|step| (step, false, place, at));
                    }
                    close(&mut open, at, Ending::Failed(failure.clone()));
                }
                Event::UndoFailed { failure, .. } => close(&mut open, at, Ending::Failed(failure.clone())),
                Event::Interrupted { .. } | Event::Resumed { .. } | Event::Closed { .. } => {
                    close(&mut open, left, Ending::Left)
                }
                Event::Planned { .. } => {}
            }
        }
        close(&mut open, self.last_word(self.ended(), i64::MAX), Ending::Left);
        spans
    }

    /// Returns the last time at which anything was said between two times, else the first of them.
    fn last_word(&self, from: i64, to: i64) -> i64 {
        let between = self.trace.iter().map(|traced| traced.at_ms).filter(|at| (from..to).contains(at));
        between.max().unwrap_or(from)
    }

    /// Returns what was said from one time to another.
    fn said(&self, from: i64, to: i64) -> Vec<SaidLine> {
        let mut all: Vec<(SaidLine, u32)> = Vec::new();
        for traced in self.trace.iter().filter(|traced| (from..=to).contains(&traced.at_ms)) {
            let at = traced.at_ms;
            let said = match &traced.what {
                Trace::Waiting { text } => SaidLine { at, by: None, text: text.clone(), waiting: true },
                Trace::Hook { hook, phase, text } => {
                    SaidLine { at, by: Some(format!("{hook} ({phase})")), text: text.clone(), waiting: false }
                }
                Trace::Remark { text } => SaidLine { at, by: None, text: format!("note: {text}"), waiting: false },
                Trace::Cut => {
                    SaidLine { at, by: None, text: "more was said, and is not kept".to_owned(), waiting: false }
                }
                Trace::Probe(_) => continue,
            };
            match all.last_mut() {
                Some((before, times))
                    if said.waiting && before.waiting && reason(&before.text) == reason(&said.text) =>
                {
                    *times += 1;
                }
                _ => all.push((said, 1)),
            }
        }
        let folded = all.into_iter().map(|(said, times)| match times {
            1 => said,
            _ => SaidLine { text: format!("{} ({times} times)", reason(&said.text)), ..said },
        });
        folded.collect()
    }
}

/// Returns a reason to wait without what only counts.
fn reason(text: &str) -> &str {
    match text.rsplit_once(", attempt ") {
        Some((reason, number)) if number.chars().all(|c| c.is_ascii_digit()) => reason,
        _ => text,
    }
}
