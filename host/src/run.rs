//! What a run has done so far, and what it does next. Pure: no IO, no clock, no async.
//!
//! A run is its plan and the events that were recorded. [`decide`] is the only place that knows what comes next; it
//! serves a first run, a resumed one and an unwinding one alike.

mod presume;
pub mod trace;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{Container, Failure, FormerRoute, NetworkPlace, ServiceName};
use crate::plan::{Plan, Step};

pub use presume::{Traces, presume};

/// How often the undo of a step is tried before a person is needed.
pub const UNDO_TRIES: u8 = 3;

/// What happened, in the order in which it happened. A step is named by its index in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run began; nothing has been changed yet.
    Planned {
        /// What the run executes.
        plan: Plan,
    },
    /// The effect of a step is about to begin.
    Started {
        /// Which step.
        step: usize,
    },
    /// The effect of a step is complete.
    Done {
        /// Which step.
        step: usize,
        /// What later steps need to know of it.
        #[serde(default, skip_serializing_if = "StepResult::is_nothing")]
        learnt: StepResult,
    },
    /// The effect of a step failed, perhaps half-way.
    Failed {
        /// Which step.
        step: usize,
        /// Why.
        failure: Failure,
    },
    /// The undo of a step is about to begin.
    UndoStarted {
        /// Which step is undone.
        step: usize,
    },
    /// The undo of a step is complete.
    Undone {
        /// Which step is undone.
        step: usize,
        /// What the operator needs to know of it.
        #[serde(default, skip_serializing_if = "StepResult::is_nothing")]
        learnt: StepResult,
    },
    /// The undo of a step failed.
    UndoFailed {
        /// Which step is undone.
        step: usize,
        /// Why.
        failure: Failure,
    },
    /// A person or the system asked the run to end.
    Interrupted {
        /// The signal, as `SIGINT`.
        signal: String,
    },
    /// Another process goes on with the run.
    Resumed {
        /// Where it is to go.
        goal: Goal,
    },
    /// The run is over and nothing is left to do.
    Closed {
        /// How it ended.
        outcome: Outcome,
    },
}

impl Event {
    /// Returns its name, as in a journal: `undo-started`.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Planned { .. } => "planned",
            Event::Started { .. } => "started",
            Event::Done { .. } => "done",
            Event::Failed { .. } => "failed",
            Event::UndoStarted { .. } => "undo-started",
            Event::Undone { .. } => "undone",
            Event::UndoFailed { .. } => "undo-failed",
            Event::Interrupted { .. } => "interrupted",
            Event::Resumed { .. } => "resumed",
            Event::Closed { .. } => "closed",
        }
    }
}

/// An event and its time: one line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The version of this format.
    pub v: u32,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Where a resumed run is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// To the new version, if the run was not being unwound already.
    Forward,
    /// To the old version, if the run has not committed already.
    Back,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The candidates are live and the old containers are gone.
    Swapped,
    /// The old containers are live and the candidates are gone.
    RolledBack,
}

/// What a step found out that later steps need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StepResult {
    /// Nothing.
    #[default]
    Nothing,
    /// The candidates, with their addresses as soon as they run.
    Candidates {
        /// All candidates of the step's service.
        containers: Vec<Container>,
        /// The places in their networks that each was created with, by its id.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        places: BTreeMap<String, Vec<NetworkPlace>>,
    },
    /// Who may still send requests to the old containers.
    Former {
        /// What each edge says of them, in the order of the plan's. Version 1 knew one edge.
        #[serde(alias = "generation", deserialize_with = "one_or_each")]
        routes: Vec<FormerRoute>,
    },
    /// Hooks that failed where that holds nothing up: what they were asked to undo may be left.
    Disagreed {
        /// Their names.
        hooks: Vec<String>,
    },
}

impl StepResult {
    /// The candidates as they are now.
    pub fn candidates(containers: Vec<Container>) -> Self {
        StepResult::Candidates { containers, places: BTreeMap::new() }
    }

    fn is_nothing(&self) -> bool {
        *self == StepResult::Nothing
    }
}

/// Reads what each edge says, or what the one says that a journal of version 1 knows.
fn one_or_each<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FormerRoute>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Array(routes) => routes.into_iter().map(FormerRoute).collect(),
        route => vec![FormerRoute(route)],
    })
}

/// What the events of a run tell about the world, for the steps that follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// The candidates of each service.
    pub candidates: BTreeMap<ServiceName, Vec<Container>>,
    /// The places in their networks that candidates were created with, by their ids.
    pub places: BTreeMap<String, Vec<NetworkPlace>>,
    /// Who may still send requests to each service's old containers, by what each edge before it says, in the order of the
    /// plan's.
    pub former: BTreeMap<ServiceName, Vec<FormerRoute>>,
    /// What made the run unwind, if it does.
    pub unwound: Option<String>,
}

impl RunFacts {
    /// Collects what the run's events tell.
    pub fn of(plan: &Plan, events: &[Event]) -> Self {
        let mut facts = Self { unwound: unwound(plan, events), ..Self::default() };
        for event in events {
            let Event::Done { step, learnt } = event else { continue };
            let Some(service) = plan.steps.get(*step).and_then(Step::service) else { continue };
            match learnt {
                StepResult::Nothing | StepResult::Disagreed { .. } => {}
                StepResult::Candidates { containers, places } => {
                    facts.candidates.insert(service.clone(), containers.clone());
                    facts.places.extend(places.clone());
                }
                StepResult::Former { routes } => {
                    facts.former.insert(service.clone(), routes.clone());
                }
            }
        }
        facts
    }

    /// Returns the candidates of a service; none before they were created.
    pub fn candidates(&self, service: &ServiceName) -> &[Container] {
        self.candidates.get(service).map_or(&[], Vec::as_slice)
    }
}

/// Returns what made a run unwind: the first failure that could not be gone on after, the signal, or the person.
fn unwound(plan: &Plan, events: &[Event]) -> Option<String> {
    events.iter().find_map(|event| match event {
        Event::Failed { step, failure } if !plan.steps.get(*step).is_some_and(Step::may_fail) => {
            Some(failure.what.clone())
        }
        Event::Interrupted { signal } => Some(format!("it was interrupted by {signal}")),
        Event::Resumed { goal: Goal::Back } => Some("it was left unfinished".to_owned()),
        _ => None,
    })
}

/// What a run does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Perform these steps, in the order of the plan: one, or several that go beside one another.
    Do(Vec<usize>),
    /// Perform the undo of these steps, last to first.
    Undo(Vec<usize>),
    /// Nothing: the run is over.
    Done(Outcome),
    /// Nothing: this step, or its undo, needs a person.
    Stuck(usize),
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Todo,
    Started,
    Done,
    Failed,
    Undoing { tries: u8 },
    Undone,
    UndoFailed { tries: u8 },
}

/// An event that can't follow those before it: the journal was not written by a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("internal: event {index} of the run can't follow those before it: {why}")]
pub struct IllegalEvent {
    /// Its place among the events.
    pub index: usize,
    /// What does not fit.
    pub why: String,
}

/// The state of a run, folded from its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunState<'a> {
    plan: &'a Plan,
    status: Vec<Status>,
    back: bool,
    closed: Option<Outcome>,
}

impl<'a> RunState<'a> {
    /// Folds the events of a run.
    pub fn of(plan: &'a Plan, events: &[Event]) -> Result<Self, IllegalEvent> {
        let mut state = Self { plan, status: vec![Status::Todo; plan.steps.len()], back: false, closed: None };
        for (index, event) in events.iter().enumerate() {
            state.follow(index, event)?;
        }
        Ok(state)
    }

    /// Folds one event more, the one of this index.
    pub fn follow(&mut self, index: usize, event: &Event) -> Result<(), IllegalEvent> {
        self.apply(event).map_err(|why| IllegalEvent { index, why })
    }

    /// Tells whether the run has passed the point after which it only goes forward.
    pub fn committed(&self) -> bool {
        self.plan.steps.iter().zip(&self.status).any(|(step, status)| *step == Step::Commit && *status == Status::Done)
    }

    /// Tells whether the run is being unwound.
    pub fn unwinding(&self) -> bool {
        self.back
    }

    /// Tells whether the step's effect has begun and has not been undone.
    pub fn holds(&self, step: usize) -> bool {
        !matches!(self.status.get(step), None | Some(Status::Todo | Status::Undone))
    }

    fn apply(&mut self, event: &Event) -> Result<(), String> {
        if let Some(outcome) = self.closed {
            // A crash can leave a closed run's journal among the open ones: who takes it up closes it once more.
            return match event {
                Event::Resumed { .. } | Event::Interrupted { .. } => Ok(()),
                Event::Closed { outcome: again } if *again == outcome => Ok(()),
                _ => Err("the run is closed".to_owned()),
            };
        }
        match event {
            Event::Planned { .. } => {}
            Event::Started { step } => self.begin(*step)?,
            Event::Done { step, .. } => self.move_to(*step, &[Status::Started], Status::Done)?,
            Event::Failed { step, .. } => {
                // A step that is done fails where nothing can rely on it, because that it is done can't be recorded.
                let from: &[Status] =
                    if self.committed() { &[Status::Started] } else { &[Status::Started, Status::Done] };
                self.move_to(*step, from, Status::Failed)?;
                let may_fail = self.plan.steps[*step].may_fail();
                self.back |= !may_fail && !self.committed();
            }
            Event::UndoStarted { step } => self.begin_undo(*step)?,
            Event::Undone { step, .. } => match self.get(*step)? {
                Status::Undoing { .. } => self.status[*step] = Status::Undone,
                other => return Err(format!("step {step} is {other:?}, not being undone")),
            },
            Event::UndoFailed { step, .. } => match self.get(*step)? {
                Status::Undoing { tries } => self.status[*step] = Status::UndoFailed { tries },
                other => return Err(format!("step {step} is {other:?}, not being undone")),
            },
            Event::Interrupted { .. } => self.back |= !self.committed(),
            Event::Resumed { goal } => self.resume(*goal),
            Event::Closed { outcome } => self.closed = Some(*outcome),
        }
        Ok(())
    }

    fn get(&self, step: usize) -> Result<Status, String> {
        self.status.get(step).copied().ok_or_else(|| format!("the plan has no step {step}"))
    }

    fn move_to(&mut self, step: usize, from: &[Status], to: Status) -> Result<(), String> {
        let status = self.get(step)?;
        if !from.contains(&status) {
            return Err(format!("step {step} is {status:?}, so it can't become {to:?}"));
        }
        self.status[step] = to;
        Ok(())
    }

    fn begin(&mut self, step: usize) -> Result<(), String> {
        if self.back {
            return Err(format!("step {step} starts while the run is unwound"));
        }
        // A resumed run starts a step again that was started or had failed: every effect may run twice.
        self.move_to(step, &[Status::Todo, Status::Started, Status::Failed], Status::Started)?;
        let beside =
            |earlier: usize| self.status[earlier] == Status::Started && self.beside(earlier).any(|other| other == step);
        match (0..step).find(|earlier| !self.passed(*earlier) && !beside(*earlier)) {
            Some(earlier) => Err(format!("step {step} starts before step {earlier} is done")),
            None => Ok(()),
        }
    }

    fn begin_undo(&mut self, step: usize) -> Result<(), String> {
        let tries = match self.get(step)? {
            Status::Started | Status::Done | Status::Failed => 1,
            Status::Undoing { tries } => tries,
            Status::UndoFailed { tries } => tries + 1,
            other => return Err(format!("step {step} is {other:?}, so there is nothing to undo")),
        };
        if !self.back {
            return Err(format!("step {step} is undone while the run goes forward"));
        }
        self.status[step] = Status::Undoing { tries };
        Ok(())
    }

    fn resume(&mut self, goal: Goal) {
        let undoing = self
            .status
            .iter()
            .any(|status| matches!(status, Status::Undoing { .. } | Status::Undone | Status::UndoFailed { .. }));
        // Half an unwound run can't go forward: what its later steps rely on may be gone.
        self.back = !self.committed() && (goal == Goal::Back || self.back || undoing);
        if !self.back && !self.committed() {
            self.look_again();
        }
        for status in &mut self.status {
            match status {
                Status::Failed => *status = Status::Started,
                Status::UndoFailed { .. } => *status = Status::Undoing { tries: 1 },
                _ => {}
            }
        }
    }

    /// Forgets what may no longer hold: a run whose journal could not be written may have been unwound further than
    /// the journal tells, and candidates may have moved meanwhile. To do these steps again is cheap and safe.
    fn look_again(&mut self) {
        for (step, status) in self.plan.steps.iter().zip(&mut self.status) {
            let settles = matches!(
                step,
                Step::Tag { .. }
                    | Step::StopOld { .. }
                    | Step::Inject { .. }
                    | Step::Start { .. }
                    | Step::PostStart { .. }
                    | Step::AwaitHealthy { .. }
                    | Step::Announce { .. }
                    | Step::Switch { .. }
                    | Step::Drain { .. }
            );
            if settles && *status == Status::Done {
                *status = Status::Started;
            }
        }
    }

    /// Tells whether the run may go on behind this step.
    fn passed(&self, step: usize) -> bool {
        match self.status[step] {
            Status::Done => true,
            Status::Failed => self.plan.steps[step].may_fail(),
            _ => false,
        }
    }

    /// Returns what the run does next.
    pub fn next(&self) -> Next {
        if let Some(outcome) = self.closed {
            return Next::Done(outcome);
        }
        if self.back { self.next_undo() } else { self.next_step() }
    }

    fn next_step(&self) -> Next {
        match (0..self.status.len()).find(|step| !self.passed(*step)) {
            None => Next::Done(Outcome::Swapped),
            Some(step) if self.status[step] == Status::Failed => Next::Stuck(step),
            Some(step) => Next::Do(self.beside(step).filter(|step| self.is_to_do(*step)).collect()),
        }
    }

    fn is_to_do(&self, step: usize) -> bool {
        matches!(self.status[step], Status::Todo | Status::Started)
    }

    /// Returns the step and those after it that go beside it.
    fn beside(&self, step: usize) -> impl Iterator<Item = usize> {
        let steps = &self.plan.steps;
        (step..steps.len()).take_while(move |other| *other == step || steps[*other].goes_beside(&steps[step]))
    }

    fn next_undo(&self) -> Next {
        let steps = &self.plan.steps;
        let is_held = |step: &usize| self.holds(*step) && self.plan.undo(&steps[*step]).is_some();
        let given_up = |step: usize| matches!(self.status[step], Status::UndoFailed { tries } if tries >= UNDO_TRIES);
        match (0..steps.len()).rev().find(is_held) {
            None => Next::Done(Outcome::RolledBack),
            Some(last) if given_up(last) => Next::Stuck(last),
            Some(last) => {
                let beside =
                    (0..=last).rev().take_while(|step| *step == last || steps[*step].goes_beside(&steps[last]));
                Next::Undo(beside.filter(|step| is_held(step) && !given_up(*step)).collect())
            }
        }
    }
}

/// Returns what a run does next, after the events so far.
pub fn decide(plan: &Plan, events: &[Event]) -> Result<Next, IllegalEvent> {
    RunState::of(plan, events).map(|state| state.next())
}

#[cfg(test)]
mod tests;
