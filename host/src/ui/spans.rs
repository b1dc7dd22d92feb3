//! A run as spans of time: each step, or its undo, with what was said meanwhile. Pure.
//!
//! What the story and the report tell, they tell from these.

use crate::model::{Failure, ServiceName};
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

    /// The steps and undos in the order in which they began. Those that go beside one another end in any order.
    pub(super) fn spans(&self) -> Vec<Span> {
        let facts = self.facts();
        let mut timeline = Timeline { record: self, open: Vec::new(), spans: Vec::new() };
        for (place, entry) in self.entries.iter().enumerate() {
            let at = entry.at_ms;
            match &entry.event {
                Event::Started { step } => timeline.begin(*step, false, place, at),
                Event::UndoStarted { step } => timeline.begin(*step, true, place, at),
                Event::Done { step: index, learnt } => {
                    let done = timeline.step(*index, false).and_then(|step| fact(self.plan, &step, learnt, &facts));
                    timeline.end(*index, false, at, Ending::Done(done));
                }
                Event::Undone { step: index, learnt } => {
                    let done = timeline.step(*index, true).and_then(|undo| fact(self.plan, &undo, learnt, &facts));
                    timeline.end(*index, true, at, Ending::Done(done));
                }
                Event::Failed { step, failure } => {
                    // A step that was done fails where that could not be recorded.
                    if !timeline.is_open(*step, false) {
                        timeline.begin(*step, false, place, at);
                    }
                    timeline.end(*step, false, at, Ending::Failed(failure.clone()));
                }
                Event::UndoFailed { step, failure } => {
                    timeline.end(*step, true, at, Ending::Failed(failure.clone()));
                }
                Event::Resumed { .. } => {
                    // What another process takes up was left when the first one said its last.
                    let before = place.checked_sub(1).and_then(|before| self.entries.get(before));
                    timeline.leave_all(before.map_or(at, |before| self.last_word(before.at_ms, at)));
                }
                Event::Interrupted { .. } | Event::Closed { .. } => timeline.leave_all(at),
                Event::Planned { .. } => {}
            }
        }
        timeline.leave_all(self.last_word(self.ended(), i64::MAX));
        let mut spans = timeline.spans;
        spans.sort_by_key(|span| span.place);
        self.tell(&facts, &mut spans);
        spans
    }

    /// Gives each span what was said meanwhile: of those that go beside one another, to that whose service the line names, else to
    /// the first.
    fn tell(&self, facts: &RunFacts, spans: &mut [Span]) {
        let mut said: Vec<Vec<&Traced>> = vec![Vec::new(); spans.len()];
        for traced in self.trace {
            let is_within = |span: &Span| (span.began..=span.ended).contains(&traced.at_ms);
            let owner = traced.what.text().and_then(|text| self.owner(facts, text));
            let is_owned = |span: &Span| owner.is_some() && span.step.service() == owner && is_within(span);
            let place = spans.iter().position(is_owned).or_else(|| spans.iter().position(is_within));
            if let Some(said) = place.and_then(|place| said.get_mut(place)) {
                said.push(traced);
            }
        }
        for (span, said) in spans.iter_mut().zip(said) {
            span.said = folded(&said);
        }
    }

    /// Returns the service that a line names first, by its name or that of a candidate.
    fn owner(&self, facts: &RunFacts, text: &str) -> Option<&ServiceName> {
        let (name, _) = text.split_once(": ")?;
        let is_named = |service: &ServiceName| {
            service.as_str() == name || facts.candidates(service).iter().any(|candidate| candidate.name == name)
        };
        self.plan.services.iter().map(|service| &service.name).find(|service| is_named(service))
    }

    /// Returns the last time at which anything was said between two times, else the first of them.
    fn last_word(&self, from: i64, to: i64) -> i64 {
        let between = self.trace.iter().map(|traced| traced.at_ms).filter(|at| (from..to).contains(at));
        between.max().unwrap_or(from)
    }
}

/// Returns what was said, waits for the same reason as one.
fn folded(said: &[&Traced]) -> Vec<SaidLine> {
    let mut all: Vec<(SaidLine, u32)> = Vec::new();
    for traced in said {
        let at = traced.at_ms;
        let said = match &traced.what {
            Trace::Waiting { text } => SaidLine { at, by: None, text: text.clone(), waiting: true },
            Trace::Hook { hook, phase, text } => {
                SaidLine { at, by: Some(format!("{hook} ({phase})")), text: text.clone(), waiting: false }
            }
            Trace::Remark { text } => SaidLine { at, by: None, text: format!("note: {text}"), waiting: false },
            Trace::Cut => SaidLine { at, by: None, text: "more was said, and is not kept".to_owned(), waiting: false },
            Trace::Probe(_) => continue,
        };
        match all.last_mut() {
            Some((before, times)) if said.waiting && before.waiting && reason(&before.text) == reason(&said.text) => {
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

/// The spans of a run while its entries are gone through.
struct Timeline<'a> {
    record: &'a RunRecord<'a>,
    open: Vec<Open>,
    spans: Vec<Span>,
}

/// A step, or the undo of one, that has begun and not ended.
struct Open {
    index: usize,
    undo: bool,
    place: usize,
    began: i64,
}

impl Timeline<'_> {
    /// Returns the step of this place in the plan, or what undoes it.
    fn step(&self, index: usize, undo: bool) -> Option<Step> {
        let plan = self.record.plan;
        let step = plan.steps.get(index)?;
        if undo { plan.undo(step) } else { Some(step.clone()) }
    }

    fn is_open(&self, index: usize, undo: bool) -> bool {
        self.open.iter().any(|open| (open.index, open.undo) == (index, undo))
    }

    /// Leaves what it does not go beside.
    fn begin(&mut self, index: usize, undo: bool, place: usize, at: i64) {
        let steps = &self.record.plan.steps;
        let is_beside = |open: &Open| {
            let both = steps.get(open.index).zip(steps.get(index));
            open.undo == undo && open.index != index && both.is_some_and(|(one, other)| one.goes_beside(other))
        };
        let (beside, left): (Vec<Open>, Vec<Open>) = std::mem::take(&mut self.open).into_iter().partition(is_beside);
        left.into_iter().for_each(|open| self.close(open, at, Ending::Left));
        self.open = beside;
        self.open.push(Open { index, undo, place, began: at });
    }

    fn end(&mut self, index: usize, undo: bool, at: i64, ending: Ending) {
        if let Some(place) = self.open.iter().position(|open| (open.index, open.undo) == (index, undo)) {
            let open = self.open.remove(place);
            self.close(open, at, ending);
        }
    }

    fn leave_all(&mut self, at: i64) {
        std::mem::take(&mut self.open).into_iter().for_each(|open| self.close(open, at, Ending::Left));
    }

    fn close(&mut self, Open { index, undo, place, began }: Open, ended: i64, ending: Ending) {
        if let Some(step) = self.step(index, undo) {
            self.spans.push(Span { step, undo, place, began, ended, ending, said: Vec::new() });
        }
    }
}

/// Returns a reason to wait without what only counts.
fn reason(text: &str) -> &str {
    match text.rsplit_once(", attempt ") {
        Some((reason, number)) if number.chars().all(|c| c.is_ascii_digit()) => reason,
        _ => text,
    }
}
