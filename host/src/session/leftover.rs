//! Runs that another process left: unwound, finished, taken up or forgotten.

use super::context::{Session, now_ms};
use super::outcome::{Done, NotDone, Ran};
use super::running::Begin;
use crate::claim::Held;
use crate::executor::End;
use crate::journal::Recorded;
use crate::model::{Failure, ServiceName};
use crate::plan::Plan;
use crate::run::{Entry, Event, Goal, State};

impl Session<'_> {
    /// Cleans up after all unfinished runs of these services, before a new one begins. Returns the run that could not be
    /// cleaned up, or whose end the operator wants to be the end of all: then the new one must not begin.
    pub(super) async fn clean_up(&self, services: &[ServiceName], held: &Held) -> Result<Option<Ran>, NotDone> {
        for service in services {
            for recorded in self.site.folder().unfinished(service)? {
                if let Some(ran) = self.clean_up_after(&recorded, held).await? {
                    return Ok(Some(ran));
                }
            }
        }
        Ok(None)
    }

    /// Unwinds or, after its commit, finishes a run.
    async fn clean_up_after(&self, recorded: &Recorded, held: &Held) -> Result<Option<Ran>, NotDone> {
        let began_ms = now_ms();
        let Some(plan) = recorded.plan().cloned() else {
            recorded.reopen()?.discard();
            return Ok(None);
        };
        let last = recorded.entries.last();
        let forward = matches!(last, Some(Entry { event: Event::Resumed { goal: Goal::Forward }, .. }));
        let forward = forward && self.site.candidates_run(&plan, &recorded.events()).await;
        let goal = if forward { Goal::Forward } else { Goal::Back };
        let run = &recorded.run;
        if self.forgets(recorded, &plan, goal).await? {
            self.display.say(&format!("run {run} was left unfinished, and others have settled since what runs"));
            return Ok(None);
        }
        self.display.say(&format!("run {run} was left unfinished: cleaning up first"));
        self.load_hooks(recorded, &plan, goal).await?;
        let ran = self.execute(plan, Begin::Again(recorded, goal), held, began_ms).await?;
        if matches!(ran.end, End::Over(_)) && !self.wishes.borrow().interrupts() {
            self.display.say(&format!("run {run} is cleaned up"));
            return Ok(None);
        }
        Ok(Some(ran))
    }

    /// Goes on with a run, or back where the operator wants so or it has lost its candidates.
    pub(super) async fn take_up(&self, recorded: &Recorded, goal: Goal, held: &Held) -> Result<Done, NotDone> {
        let began_ms = now_ms();
        let Some(plan) = recorded.plan().cloned() else {
            recorded.reopen()?.discard();
            return Ok(Done::Nothing(format!("run {} had not begun; nothing is left of it", recorded.run)));
        };
        let lost = goal == Goal::Forward && !self.site.candidates_run(&plan, &recorded.events()).await;
        let goal = if lost { Goal::Back } else { goal };
        if self.forgets(recorded, &plan, goal).await? {
            let text = format!("run {} is forgotten: others have settled since what runs", recorded.run);
            return Ok(Done::Nothing(text));
        }
        self.load_hooks(recorded, &plan, goal).await?;
        self.execute(plan, Begin::Again(recorded, goal), held, began_ms).await.map(Done::ran)
    }

    /// Forgets a run that is to go back where nothing is left to go back to. The world is believed.
    async fn forgets(&self, recorded: &Recorded, plan: &Plan, goal: Goal) -> Result<bool, Failure> {
        if is_committed(recorded, plan) || goal == Goal::Forward || !self.site.settled_by_others(plan).await? {
            return Ok(false);
        }
        recorded.reopen()?.discard();
        self.site.unpublish(&recorded.run).await;
        Ok(true)
    }

    /// Loads the hooks that a run of another process asks. On the way to its commit they must be those that it began with; on
    /// the way back, and after the commit, the rest is done without, and the step that needs one tells.
    async fn load_hooks(&self, recorded: &Recorded, plan: &Plan, goal: Goal) -> Result<(), Failure> {
        for planned in &plan.services {
            let settings = self.options.overrides.over(self.site.settings(&planned.name), None);
            let _ = self.site.load_hooks(&planned.name, &settings.hooks).await;
        }
        match goal == Goal::Forward && !is_committed(recorded, plan) {
            true => plan.services.iter().try_for_each(|planned| self.site.hooks_of(plan, &planned.name).map(drop)),
            false => Ok(()),
        }
    }
}

fn is_committed(recorded: &Recorded, plan: &Plan) -> bool {
    State::of(plan, &recorded.events()).is_ok_and(|state| state.committed())
}
