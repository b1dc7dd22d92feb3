//! The loop of a run: decide, record, perform, record, tell.
//!
//! The executor knows the world as one trait with one method, so that the tests can replace Docker, compose and nginx by
//! a simulated world.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;

use crate::model::Failure;
use crate::plan::{Plan, Step};
use crate::run::{Event, IllegalEvent, Next, Outcome, RunFacts, RunState, StepResult};
use crate::world::World;

/// Where events go: journal and display.
pub trait Record {
    /// Makes the event durable and tells it to the operator. An error means that it may be lost, and that the next event
    /// that is recorded without an error brings it along: a journal has no gaps, only an end.
    fn record(&mut self, plan: &Plan, event: &Event) -> Result<(), Failure>;
}

/// How the executor left a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The run is over.
    Over(Outcome),
    /// A person is needed: this step, or its undo, can't be done.
    Stuck(Step),
    /// Another run has the services now. This one does nothing more, not even to undo what it did.
    Lost(Failure),
    /// A person asked a second time: the run is left as it is, for `swap resume`.
    Left,
}

/// What the operator wants of what is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wish {
    /// That it goes on.
    #[default]
    GoOn,
    /// That the run is unwound; after the commit it goes on all the same.
    Unwind {
        /// What told so, as `SIGINT`.
        signal: String,
    },
    /// That the run is left at once, as it is.
    Leave {
        /// What came first, as `SIGINT`.
        signal: String,
    },
}

/// What the operator wants at this moment.
pub type Wishes = watch::Receiver<Wish>;

impl Wish {
    /// Returns what is wanted when one more signal has come: the first one unwinds, the second one leaves.
    pub fn and(&self, signal: &str) -> Self {
        match self {
            Wish::GoOn => Wish::Unwind { signal: signal.to_owned() },
            Wish::Unwind { signal } | Wish::Leave { signal } => Wish::Leave { signal: signal.clone() },
        }
    }

    /// Returns the signal that came first, if one has come.
    pub fn signal(&self) -> Option<&str> {
        match self {
            Wish::GoOn => None,
            Wish::Unwind { signal } | Wish::Leave { signal } => Some(signal),
        }
    }

    /// Tells whether what can be interrupted is to stop.
    pub fn interrupts(&self) -> bool {
        *self != Wish::GoOn
    }

    /// Tells whether everything is to stop.
    pub fn leaves(&self) -> bool {
        matches!(self, Wish::Leave { .. })
    }
}

/// Runs the plan from where its events stand to its end.
///
/// `events` grows by what happens.
pub async fn run(
    plan: &Plan,
    events: &mut Vec<Event>,
    world: &impl World,
    record: &mut impl Record,
    wishes: &mut Wishes,
) -> Result<End, IllegalEvent> {
    let state = RunState::of(plan, events);
    let mut run = Run { plan, events, state, record };
    loop {
        run.note_interrupt(wishes);
        if wishes.borrow().leaves() {
            return Ok(End::Left);
        }
        let state = run.state.as_ref().map_err(IllegalEvent::clone)?;
        let (next, unwinding) = (state.next(), state.unwinding());
        if matches!(next, Next::Do(_) | Next::Undo(_))
            && let Err(failure) = world.holds().await
        {
            return Ok(End::Lost(failure));
        }
        match next {
            Next::Do(steps) => {
                if let Some(end) = run.forward(&steps, world, wishes).await {
                    return Ok(end);
                }
            }
            Next::Undo(steps) => run.undo(&steps, world, wishes).await,
            Next::Stuck(step) => {
                let step = &plan.steps[step];
                let stuck = if unwinding { plan.undo(step).unwrap_or_else(|| step.clone()) } else { step.clone() };
                return Ok(End::Stuck(stuck));
            }
            Next::Done(outcome) => {
                if !matches!(run.events.last(), Some(Event::Closed { .. })) {
                    run.tell(Event::Closed { outcome });
                }
                return Ok(End::Over(outcome));
            }
        }
    }
}

struct Run<'a, R> {
    plan: &'a Plan,
    events: &'a mut Vec<Event>,
    /// The state after these events: folded on with each of them, not from the first one each time.
    state: Result<RunState<'a>, IllegalEvent>,
    record: &'a mut R,
}

impl<R: Record> Run<'_, R> {
    /// Adds an event to those that have happened.
    fn push(&mut self, event: Event) {
        if let Ok(state) = &mut self.state
            && let Err(illegal) = state.follow(self.events.len(), &event)
        {
            self.state = Err(illegal);
        }
        self.events.push(event);
    }

    /// Records an event whose loss must not stop what is under way: undoing, closing, going on after the commit.
    fn tell(&mut self, event: Event) {
        let _lost = self.record.record(self.plan, &event);
        self.push(event);
    }

    fn note_interrupt(&mut self, wishes: &Wishes) {
        let Some(signal) = wishes.borrow().signal().map(str::to_owned) else { return };
        let known = self.events.iter().rev().take_while(|event| !matches!(event, Event::Resumed { .. }));
        let noted = known.into_iter().any(|event| matches!(event, Event::Interrupted { .. }));
        if !noted && !matches!(self.events.last(), Some(Event::Closed { .. })) {
            self.tell(Event::Interrupted { signal });
        }
    }

    /// Performs steps that go beside one another. Returns how the run ends if it can't go on from here in either direction.
    async fn forward(&mut self, steps: &[usize], world: &impl World, wishes: &mut Wishes) -> Option<End> {
        for step in steps.iter().copied() {
            let started = Event::Started { step };
            let lost = self.record.record(self.plan, &started).err();
            self.push(started);
            // Nothing is done that was not recorded. After the commit the world is believed, not the journal.
            if let Some(failure) = lost.filter(|_| !self.committed()) {
                self.tell(Event::Failed { step, failure });
                return None;
            }
        }
        let what: Vec<&Step> = steps.iter().map(|step| &self.plan.steps[*step]).collect();
        // After the commit nobody unwinds: what a signal interrupts would begin again at once, and again without end.
        let interruptible = what.iter().all(|step| step.interruptible()) && !self.committed();
        // What can be interrupted is not waited for where it is to be unwound.
        let patience = if interruptible { Patience::UntilOneFails } else { Patience::UntilAllEnd };
        self.perform(&what, patience, world, wishes, |run, index, result| run.ended(steps[index], result)).await
    }

    /// Performs steps that go beside one another, or their undos, and has each told as it ends, in their order; those that ended
    /// after one that did not come last. Returns the first end of the run that is answered.
    async fn perform(
        &mut self,
        what: &[&Step],
        patience: Patience,
        world: &impl World,
        wishes: &mut Wishes,
        mut tell: impl FnMut(&mut Self, usize, Result<StepResult, Failure>) -> Option<End>,
    ) -> Option<End> {
        let facts = RunFacts::of(self.plan, self.events);
        let stops = match patience {
            Patience::UntilOneFails => Wish::interrupts,
            Patience::UntilAllEnd => Wish::leaves,
        };
        let mut ended: BTreeMap<usize, Result<StepResult, Failure>> = BTreeMap::new();
        let mut told = 0;
        let mut performed = pin!(world.perform(what, &facts));
        loop {
            let (index, result) = tokio::select! {
                biased;
                next = performed.next() => match next {
                    Some(ended) => ended,
                    None => break,
                },
                // The next round of the run's loop records the signal and unwinds, or leaves.
                () = wished(wishes, stops) => break,
            };
            let stopped = patience == Patience::UntilOneFails && result.is_err();
            ended.insert(index, result);
            while let Some(result) = ended.remove(&told) {
                told += 1;
                if let Some(end) = tell(self, told - 1, result) {
                    return Some(end);
                }
            }
            if stopped {
                break;
            }
        }
        ended.into_iter().find_map(|(index, result)| tell(self, index, result))
    }

    /// Records how a step ended.
    fn ended(&mut self, step: usize, result: Result<StepResult, Failure>) -> Option<End> {
        match result {
            Ok(learnt) => self.done(step, learnt),
            // What several services met together is told once.
            Err(failure) if !self.plan.steps[step].may_fail() && self.was_told(&failure) => None,
            Err(failure) => {
                self.tell(Event::Failed { step, failure });
                None
            }
        }
    }

    /// Tells whether the last event is the same failure of another step.
    fn was_told(&self, failure: &Failure) -> bool {
        matches!(self.events.last(), Some(Event::Failed { failure: last, .. }) if last == failure)
    }

    /// Records that a step is done. The next step would rely on what is not durable, so a loss is a failure of the step.
    fn done(&mut self, step: usize, learnt: StepResult) -> Option<End> {
        let done = Event::Done { step, learnt };
        let lost = self.record.record(self.plan, &done).err().filter(|_| !self.committed());
        if lost.is_some() && self.plan.steps[step] == Step::Commit {
            // Whether the commit is durable shows when the journal is read back: until then neither way is safe.
            return Some(End::Stuck(Step::Commit));
        }
        self.push(done);
        if let Some(failure) = lost {
            self.tell(Event::Failed { step, failure });
        }
        None
    }

    fn committed(&self) -> bool {
        self.state.as_ref().is_ok_and(RunState::committed)
    }

    async fn undo(&mut self, steps: &[usize], world: &impl World, wishes: &mut Wishes) {
        let undos: Vec<(usize, Step)> =
            steps.iter().filter_map(|step| Some((*step, self.plan.undo(&self.plan.steps[*step])?))).collect();
        for (step, _) in &undos {
            self.tell(Event::UndoStarted { step: *step });
        }
        let what: Vec<&Step> = undos.iter().map(|(_, undo)| undo).collect();
        let mut failed = false;
        let tell = |run: &mut Self, index: usize, result: Result<StepResult, Failure>| {
            failed |= result.is_err();
            run.undone(undos[index].0, result);
            None
        };
        self.perform(&what, Patience::UntilAllEnd, world, wishes, tell).await;
        if failed {
            world.pause(Duration::from_millis(300)).await;
        }
    }

    fn undone(&mut self, step: usize, result: Result<StepResult, Failure>) {
        self.tell(match result {
            Ok(learnt) => Event::Undone { step, learnt },
            Err(failure) => Event::UndoFailed { step, failure },
        });
    }
}

/// For how long steps that go beside one another are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Until one fails or the operator interrupts: the others are given up.
    UntilOneFails,
    /// Until all have ended; only who wants to leave is not kept waiting.
    UntilAllEnd,
}

/// Waits until the operator wants what is under way to stop; returns the signal by which that was said.
pub async fn interrupted(wishes: &mut Wishes) -> String {
    wished(wishes, Wish::interrupts).await;
    wishes.borrow().signal().unwrap_or_default().to_owned()
}

/// Waits until such a wish is there.
async fn wished(wishes: &mut Wishes, such: impl FnMut(&Wish) -> bool) {
    if wishes.wait_for(such).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_unwinds_and_the_second_one_leaves() {
        let first = Wish::default().and("SIGTERM");
        let second = first.and("SIGINT");
        let kinds = |wish: &Wish| (wish.interrupts(), wish.leaves(), wish.signal().map(str::to_owned));
        let signal = Some("SIGTERM".to_owned());
        assert_eq!(kinds(&Wish::default()), (false, false, None));
        assert_eq!(kinds(&first), (true, false, signal.clone()));
        assert_eq!(kinds(&second), (true, true, signal.clone()));
        assert_eq!(kinds(&second.and("SIGHUP")), (true, true, signal));
    }
}
