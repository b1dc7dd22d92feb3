//! What the course of a session asks of the world: who holds the services, which runs are left, and a world to perform in.
//!
//! There are two of each: the adapters of one project, and the tests' simulated world, in which the process is killed and
//! refused at each call.

use std::sync::Arc;

use super::outcome::NotDone;
use crate::claim::Copies;
use crate::executor::{End, Record};
use crate::model::{Failure, RunId, ServiceName};
use crate::plan::Plan;
use crate::run::{Entry, Event};
use crate::world::{Edge, Engine, World};

/// Who holds which services: one run at a time.
pub trait Claims {
    /// What is held, until it is released.
    type Claim;

    /// Begins to hold services: nothing yet.
    fn nothing(&self) -> Self::Claim;

    /// Takes services. Whatever it answers, also when it is dropped, [`Claims::release`] lets go of what was taken.
    fn take(&self, claim: &mut Self::Claim, services: &[ServiceName]) -> impl Future<Output = Result<(), NotDone>>;

    /// Takes what else a plan writes and others could write too, while its services are held.
    fn take_files(&self, claim: &Self::Claim, plan: &Plan) -> impl Future<Output = Result<(), NotDone>>;

    /// Lets go of everything.
    fn release(&self, claim: Self::Claim) -> impl Future<Output = ()>;
}

/// A run that is not over, as its journal tells.
#[derive(Debug, Clone)]
pub struct LeftRun {
    /// What it does.
    pub plan: Arc<Plan>,
    /// What has happened, the plan first.
    pub events: Vec<Event>,
}

/// The journal of one run, open.
pub trait RunJournal: Record {
    /// Removes a journal in which nothing happened, or of which nothing is left to do.
    fn discard(self);

    /// Tells what is worth a word and no event; it is kept beside the journal.
    fn note(&self, text: &str);

    /// Returns all that it holds, also from processes before.
    fn entries(self) -> Vec<Entry>;
}

/// The journals of runs on this machine.
pub trait Journals {
    /// An open journal.
    type Journal: RunJournal;

    /// Returns the runs of a service that are not over, newest first.
    fn unfinished(&self, service: &ServiceName) -> Result<Vec<LeftRun>, Failure>;

    /// Makes the journal of a run that is new, and returns it with its first line, which tells the plan. Nobody finds it before
    /// that is written.
    fn begin(&self, plan: &Plan) -> Result<(Self::Journal, Event), Failure>;

    /// Opens the journal of a run that is not over.
    fn reopen(&self, run: &RunId) -> Result<Self::Journal, Failure>;

    /// Makes the journal of a run that has none, with what it must have said: all of it or nothing.
    fn write(&self, run: &RunId, events: &[Event]) -> Result<(), Failure>;
}

/// All that a session asks.
pub trait Ports: Claims + Journals {
    /// Performs the steps of one run.
    type World<'a>: World
    where
        Self: 'a;

    /// The hooks that a run asks.
    type Hooks;

    /// Returns the engine.
    fn engine(&self) -> &impl Engine;

    /// Returns who sends requests.
    fn edge(&self) -> &impl Edge;

    /// Returns the copies of plans that the engine keeps.
    fn copies(&self) -> &impl Copies;

    /// Has the engine keep a copy of a plan. Where that can't be done only the journal knows of the run.
    fn keep_copy(&self, plan: &Plan, claim: &Self::Claim) -> impl Future<Output = Result<(), Failure>>;

    /// Ends what dead processes have left running, and all that is left of the run that is taken up.
    fn end_left_commands(&self, taken_up: Option<&RunId>) -> impl Future<Output = Result<(), Failure>>;

    /// Loads the hooks that a run of another process asks, as far as they are there; `all`: fails where one is not.
    fn load_hooks(&self, plan: &Plan, all: bool) -> impl Future<Output = Result<Self::Hooks, Failure>>;

    /// Makes the world in which a plan is performed; what is said there is also kept beside the journal. `fresh`: its run begins
    /// here.
    fn world<'a>(
        &'a self,
        plan: &'a Plan,
        claim: &'a Self::Claim,
        journal: &Self::Journal,
        hooks: Self::Hooks,
        fresh: bool,
    ) -> Self::World<'a>;

    /// Waits for what a run has given up, at most so long as its end allows. Returns what still runs then.
    fn settle<'a>(
        &'a self,
        world: &Self::World<'a>,
        journal: &Self::Journal,
        end: &End,
    ) -> impl Future<Output = Vec<String>>
    where
        Self: 'a;
}
