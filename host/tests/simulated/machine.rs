//! The machine on which swap is called: its lock, its journals, and the copies of plans that the engine keeps, as a session
//! asks for them. At each call anything may go wrong.

use std::cell::RefCell;
use std::sync::Arc;

use swap::claim::{Copies, PlanCopy};
use swap::executor::End;
use swap::journal::Past;
use swap::model::{Failure, RunId, ServiceName};
use swap::perform::Performer;
use swap::plan::Plan;
use swap::run::Event;
use swap::session::{Claims, Journals, LeftRun, NotDone, Ports};
use swap::ui::{Display, Format, Volume};
use swap::world::{Edge, Engine};

use super::ports::{Simulation, Steps};
use super::record::{Recorder, planned};
use super::world::{Disk, Universe};

thread_local! {
    /// What a session and its steps say is not looked at.
    pub static DISPLAY: Display = Display::new(Format::Text, Volume::Quiet);
}

/// The machine. What belongs to the journal at hand is the world's disk.
pub(crate) struct Machine<'a> {
    pub world: &'a RefCell<Universe>,
    ports: Simulation<'a>,
    runs: RefCell<Runs>,
}

#[derive(Default)]
struct Runs {
    /// All plans that were made.
    plans: Vec<Arc<Plan>>,
    /// The run whose journal is at hand.
    at_hand: Option<RunId>,
    /// The journals of other runs.
    others: Vec<(RunId, Disk)>,
    /// The runs of whose plans the engine keeps a copy.
    copies: Vec<RunId>,
}

impl Runs {
    fn plan(&self, run: &RunId) -> Arc<Plan> {
        self.plans.iter().find(|plan| plan.run == *run).cloned().unwrap_or_else(|| panic!("nobody has planned {run}"))
    }
}

impl<'a> Machine<'a> {
    /// A machine on which swap was never called, and the first plan that will be made there.
    pub(crate) fn new(world: &'a RefCell<Universe>, first: &Arc<Plan>) -> Self {
        let runs = Runs { plans: vec![Arc::clone(first)], ..Runs::default() };
        Self { world, ports: Simulation(world), runs: RefCell::new(runs) }
    }

    /// Notes a plan that was just made.
    pub(crate) fn planned(&self, plan: &Arc<Plan>) {
        let plans = &mut self.runs.borrow_mut().plans;
        if plans.iter().all(|known| known.run != plan.run) {
            plans.push(Arc::clone(plan));
        }
        let mut world = self.world.borrow_mut();
        world.planned = plan.services.iter().map(|service| (service.name.clone(), service.image.id.clone())).collect();
        world.tell(|| plan.to_string());
    }

    /// Returns the plan of the run that began last; before any, the first one.
    pub(crate) fn plan_at_hand(&self) -> Arc<Plan> {
        let runs = self.runs.borrow();
        match &runs.at_hand {
            Some(run) => runs.plan(run),
            None => Arc::clone(&runs.plans[0]),
        }
    }

    /// Tells whether a run is not over.
    pub(crate) fn has_left(&self) -> bool {
        let runs = self.runs.borrow();
        self.world.borrow().disk.is_open()
            || runs.others.iter().any(|(_, disk)| disk.is_open())
            || runs.copies.iter().any(|run| self.past(run) == Past::Unknown)
    }

    /// Tells how many runs are left besides the one at hand.
    pub(crate) fn others_left(&self) -> usize {
        self.runs.borrow().others.iter().filter(|(_, disk)| disk.is_open()).count()
    }

    /// Nobody has the journals any more, or swap is called on another machine: where the engine has a copy of the plan, it and
    /// the world tell what they must have said.
    pub(crate) fn lose_journals(&self) {
        let mut runs = self.runs.borrow_mut();
        let mut world = self.world.borrow_mut();
        if runs.at_hand.as_ref().is_none_or(|run| !runs.copies.contains(run)) {
            return;
        }
        world.tell(|| "(the journal is lost)".to_owned());
        world.disk.durable.clear();
        world.disk.doubtful.clear();
        world.disk.closed = false;
        runs.others.clear();
    }

    /// Tells whether the engine keeps a copy that nobody needs.
    pub(crate) fn keeps_copies(&self) -> bool {
        !self.runs.borrow().copies.is_empty()
    }

    /// Whoever does this must hold the services.
    fn held(&self, what: &str) {
        if !self.world.borrow().disk.held {
            self.world.borrow_mut().violate(format!("{what} by a process that does not hold the services"));
        }
    }

    /// Turns to the journal of a run.
    fn turn_to(&self, run: &RunId) {
        let mut runs = self.runs.borrow_mut();
        if runs.at_hand.as_ref() == Some(run) {
            return;
        }
        let mut world = self.world.borrow_mut();
        world.settle_writes();
        let found = runs.others.iter().position(|(of, _)| of == run);
        let mut disk = found.map(|index| runs.others.remove(index).1).unwrap_or_default();
        (disk.held, disk.full) = (world.disk.held, world.disk.full);
        let former = std::mem::replace(&mut world.disk, disk);
        let name = runs.at_hand.replace(run.clone());
        runs.others.extend(name.map(|name| (name, former)));
    }
}

impl Disk {
    /// Tells whether a run is not over.
    fn is_open(&self) -> bool {
        !self.durable.is_empty() && !self.closed
    }
}

impl Claims for Machine<'_> {
    type Claim = ();

    fn nothing(&self) {}

    async fn take(&self, (): &mut (), _: &[ServiceName]) -> Result<(), NotDone> {
        self.ports.point("take").await?;
        self.world.borrow_mut().disk.held = true;
        Ok(self.ports.point("take").await?)
    }

    async fn take_files(&self, (): &(), _: &Plan) -> Result<(), NotDone> {
        Ok(self.ports.point("take-files").await?)
    }

    async fn release(&self, (): ()) {
        // What can't be let go names a dead process.
        let _ = self.ports.point("release").await;
        self.world.borrow_mut().disk.held = false;
    }
}

impl<'a> Journals for Machine<'a> {
    type Journal = Recorder<'a>;

    fn unfinished(&self, service: &ServiceName) -> Result<Vec<LeftRun>, Failure> {
        let runs = self.runs.borrow();
        let mut world = self.world.borrow_mut();
        // Who reads sees what was written without success, or does not.
        world.settle_writes();
        let left = |(run, disk): (&RunId, &Disk)| {
            let plan = runs.plan(run);
            let is_about = plan.services.iter().any(|planned| planned.name == *service);
            (disk.is_open() && is_about).then(|| LeftRun { plan, events: disk.durable.clone() })
        };
        let others = runs.others.iter().map(|(run, disk)| (run, disk));
        let mut left: Vec<LeftRun> =
            runs.at_hand.iter().map(|run| (run, &world.disk)).chain(others).filter_map(left).collect();
        left.sort_by(|a, b| b.plan.run.cmp(&a.plan.run));
        Ok(left)
    }

    fn begin(&self, plan: &Plan) -> Result<(Recorder<'a>, Event), Failure> {
        self.held("a journal is made");
        self.turn_to(&plan.run);
        Ok((Recorder(self.world), planned(plan)))
    }

    fn reopen(&self, run: &RunId) -> Result<Recorder<'a>, Failure> {
        self.held("a journal is opened");
        self.turn_to(run);
        if !self.world.borrow().disk.is_open() {
            self.world.borrow_mut().violate("a journal is opened of a run that has none".to_owned());
        }
        Ok(Recorder(self.world))
    }

    fn write(&self, run: &RunId, events: &[Event]) -> Result<(), Failure> {
        self.held("a journal is presumed");
        self.turn_to(run);
        self.world.borrow_mut().write(events)
    }
}

impl Copies for Machine<'_> {
    async fn copies(&self) -> Result<Vec<PlanCopy>, Failure> {
        self.ports.point("copies").await?;
        if self.world.borrow().lies.no_copy_is_found {
            return Ok(Vec::new());
        }
        let runs = self.runs.borrow();
        Ok(runs.copies.iter().map(|run| PlanCopy { run: run.clone(), plan: Ok(runs.plan(run)) }).collect())
    }

    async fn forget(&self, run: &RunId) {
        if self.ports.point("forget").await.is_ok() && !self.world.borrow().lies.copies_stay {
            self.runs.borrow_mut().copies.retain(|copy| copy != run);
        }
    }

    fn past(&self, run: &RunId) -> Past {
        let runs = self.runs.borrow();
        let world = self.world.borrow();
        let disk = match runs.at_hand.as_ref() == Some(run) {
            true => Some(&world.disk),
            false => runs.others.iter().find(|(of, _)| of == run).map(|(_, disk)| disk),
        };
        match disk {
            Some(disk) if disk.is_open() => Past::Open,
            Some(disk) if disk.closed => Past::Over,
            _ => Past::Unknown,
        }
    }
}

impl<'a> Ports for Machine<'a> {
    type World<'b>
        = Steps<'b, Performer<'b, Simulation<'b>>>
    where
        Self: 'b;

    type Hooks = ();

    fn engine(&self) -> &impl Engine {
        &self.ports
    }

    fn edge(&self) -> &impl Edge {
        &self.ports
    }

    fn copies(&self) -> &impl Copies {
        self
    }

    async fn keep_copy(&self, plan: &Plan, (): &()) -> Result<(), Failure> {
        self.ports.point("keep-copy").await?;
        self.runs.borrow_mut().copies.push(plan.run.clone());
        Ok(())
    }

    async fn end_left_commands(&self, _: Option<&RunId>) -> Result<(), Failure> {
        self.ports.point("end-left-commands").await
    }

    async fn load_hooks(&self, _: &Plan, all: bool) -> Result<(), Failure> {
        let loaded = self.ports.point("load-hooks").await;
        if all { loaded } else { Ok(()) }
    }

    fn world<'b>(&'b self, plan: &'b Plan, (): &'b (), _: &Recorder<'a>, (): (), _: bool) -> Self::World<'b> {
        self.held("a run goes on");
        let performer = Performer::new(Simulation(self.world), plan, DISPLAY.with(Display::clone));
        Steps { performer, world: self.world }
    }

    async fn settle<'b>(&'b self, _: &Self::World<'b>, _: &Recorder<'a>, _: &End) -> Vec<String>
    where
        Self: 'b,
    {
        // The last step is over.
        self.world.borrow_mut().verb = "";
        let _ = self.ports.point("settle").await;
        Vec::new()
    }
}
