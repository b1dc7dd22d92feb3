//! The course of a session: who goes on with which run, and where to; what is presumed, recorded, closed and let go, and when.
//!
//! It knows the world by [`Ports`]: the commands and the tests' simulated world run the same course.

use std::pin::pin;
use std::sync::Arc;

use super::context::{now_ms, services_of};
use super::outcome::{Done, NotDone, RunResult};
use super::ports::{LeftRun, Ports, RunJournal};
use crate::claim::{Copies, runs_without_journal, settled_by_others, still_as_planned, traces};
use crate::executor::{self, End, Record, Wishes};
use crate::model::{Failure, ServiceName};
use crate::perform::candidates_run;
use crate::plan::Plan;
use crate::run::{Event, Goal, RunState, presume};
use crate::ui::Display;

/// The course of a session.
pub struct Course<'a, P> {
    ports: &'a P,
    display: &'a Display,
    wishes: Wishes,
    /// When the command began, in milliseconds since 1970.
    began_ms: i64,
}

/// A plan that is made when its services are held, and the hooks that its run asks.
type Planned<P> = (Arc<Plan>, <P as Ports>::Hooks);

/// How a run begins in this process.
enum Begin {
    /// It is new.
    Fresh,
    /// Another process began it.
    Again(LeftRun, Goal),
}

impl<'a, P: Ports> Course<'a, P> {
    /// Begins a session. `began_ms` is when its command began, in milliseconds since 1970.
    pub fn new(ports: &'a P, display: &'a Display, wishes: Wishes, began_ms: i64) -> Self {
        Self { ports, display, wishes, began_ms }
    }

    /// Performs a plan that is made when the services are held, and whatever was left unfinished there is cleaned up.
    pub async fn swap(
        &self,
        services: &[ServiceName],
        plan: impl Future<Output = Result<Planned<P>, NotDone>>,
    ) -> Result<Done, NotDone> {
        let claim = self.hold(services).await?;
        let done = self.anew(services, pin!(plan), &claim).await;
        self.ports.release(claim).await;
        done
    }

    /// Goes on with the newest unfinished run of a service.
    pub async fn resume(&self, service: &ServiceName) -> Result<Done, NotDone> {
        let (left, claim) = self.hold_newest(service).await?;
        let done = match left {
            Some(left) => self.take_up(left, Goal::Forward, &claim).await,
            None => Ok(Done::Nothing(format!("nothing to resume: no run of `{service}` is unfinished"))),
        };
        self.ports.release(claim).await;
        done
    }

    /// Unwinds the newest unfinished run of a service; without one, performs a plan as [`Course::swap`] does. `anew`: does
    /// that in any case.
    pub async fn roll_back(
        &self,
        service: &ServiceName,
        anew: bool,
        plan: impl Future<Output = Result<Planned<P>, NotDone>>,
    ) -> Result<Done, NotDone> {
        let (left, claim) = self.hold_newest(service).await?;
        let done = match left {
            Some(left) if !anew => self.take_up(left, Goal::Back, &claim).await,
            _ => self.anew(std::slice::from_ref(service), pin!(plan), &claim).await,
        };
        self.ports.release(claim).await;
        done
    }

    /// Holds the services, and those that unfinished runs of them are about too, or says who does.
    ///
    /// Afterwards every unfinished run of these services has a journal here.
    pub(super) async fn hold(&self, services: &[ServiceName]) -> Result<P::Claim, NotDone> {
        let mut wanted = services.to_vec();
        for service in services {
            let unfinished = self.ports.unfinished(service)?;
            wanted.extend(unfinished.iter().flat_map(|left| services_of(&left.plan)));
        }
        loop {
            wanted.sort();
            wanted.dedup();
            let mut claim = self.ports.nothing();
            match self.unless_interrupted(Box::pin(self.take(&mut claim, &wanted))).await {
                Ok(more) if more.is_empty() => return Ok(claim),
                Ok(more) => {
                    self.ports.release(claim).await;
                    wanted.extend(more);
                }
                Err(not_done) => {
                    self.ports.release(claim).await;
                    return Err(not_done);
                }
            }
        }
    }

    /// Takes the services and makes journals of the runs that have none here. Returns which more services those are about;
    /// without them nothing was done.
    async fn take(&self, claim: &mut P::Claim, services: &[ServiceName]) -> Result<Vec<ServiceName>, NotDone> {
        self.ports.take(claim, services).await?;
        let plans = runs_without_journal(self.ports.copies(), services).await?;
        let more: Vec<ServiceName> =
            plans.iter().flat_map(|plan| services_of(plan)).filter(|service| !services.contains(service)).collect();
        if more.is_empty() {
            for plan in &plans {
                self.presume(plan).await?;
            }
        }
        Ok(more)
    }

    /// Makes a journal here for a run that has none. Its services are held.
    async fn presume(&self, plan: &Plan) -> Result<(), Failure> {
        self.display.say(&format!("run {} has no journal here: what it did is told by what is there", plan.run));
        let left = traces(self.ports.engine(), self.ports.edge(), plan).await?;
        self.ports.write(&plan.run, &presume(plan, &left))
    }

    /// Holds the service and returns its newest unfinished run, if there is one.
    async fn hold_newest(&self, service: &ServiceName) -> Result<(Option<LeftRun>, P::Claim), NotDone> {
        let claim = self.hold(std::slice::from_ref(service)).await?;
        match self.ports.unfinished(service) {
            Ok(runs) => Ok((runs.into_iter().next(), claim)),
            Err(failure) => {
                self.ports.release(claim).await;
                Err(failure.into())
            }
        }
    }

    /// Cleans up, plans and performs the plan.
    async fn anew(
        &self,
        services: &[ServiceName],
        plan: impl Future<Output = Result<Planned<P>, NotDone>>,
        claim: &P::Claim,
    ) -> Result<Done, NotDone> {
        if let Some(ran) = self.clean_up(services, claim).await? {
            return Ok(Done::ran(ran));
        }
        let planned = self.unless_interrupted(plan).await?;
        self.begin(planned, claim, self.began_ms).await.map(Done::ran)
    }

    /// Cleans up after all unfinished runs of these services, before a new one begins. Returns the run that could not be
    /// cleaned up, or whose end the operator wants to be the end of all: then the new one must not begin.
    async fn clean_up(&self, services: &[ServiceName], claim: &P::Claim) -> Result<Option<RunResult>, NotDone> {
        for service in services {
            for left in self.ports.unfinished(service)? {
                if let Some(ran) = self.clean_up_after(left, claim).await? {
                    return Ok(Some(ran));
                }
            }
        }
        Ok(None)
    }

    /// Unwinds or, after its commit, finishes a run.
    async fn clean_up_after(&self, left: LeftRun, claim: &P::Claim) -> Result<Option<RunResult>, NotDone> {
        let began_ms = now_ms();
        let run = left.plan.run.clone();
        let forward = matches!(left.events.last(), Some(Event::Resumed { goal: Goal::Forward }))
            && candidates_run(self.ports.engine(), &left.plan, &left.events).await;
        let goal = if forward { Goal::Forward } else { Goal::Back };
        if self.forgets(&left, goal).await? {
            self.display.say(&format!("run {run} was left unfinished, and others have settled since what runs"));
            return Ok(None);
        }
        self.display.say(&format!("run {run} was left unfinished: cleaning up first"));
        let ran = self.go_on(left, goal, claim, began_ms).await?;
        if matches!(ran.end, End::Over(_)) && !self.wishes.borrow().interrupts() {
            self.display.say(&format!("run {run} is cleaned up"));
            return Ok(None);
        }
        Ok(Some(ran))
    }

    /// Goes on with a run, or back where the operator wants so or it has lost its candidates.
    async fn take_up(&self, left: LeftRun, goal: Goal, claim: &P::Claim) -> Result<Done, NotDone> {
        let began_ms = now_ms();
        let lost = goal == Goal::Forward && !candidates_run(self.ports.engine(), &left.plan, &left.events).await;
        let goal = if lost { Goal::Back } else { goal };
        if self.forgets(&left, goal).await? {
            let text = format!("run {} is forgotten: others have settled since what runs", left.plan.run);
            return Ok(Done::Nothing(text));
        }
        self.go_on(left, goal, claim, began_ms).await.map(Done::ran)
    }

    /// Forgets a run that is to go back where nothing is left to go back to. The world is believed.
    async fn forgets(&self, left: &LeftRun, goal: Goal) -> Result<bool, Failure> {
        let LeftRun { plan, events } = left;
        if goal == Goal::Forward || is_committed(plan, events) || !settled_by_others(self.ports.engine(), plan).await? {
            return Ok(false);
        }
        self.ports.reopen(&plan.run)?.discard();
        self.ports.copies().forget(&plan.run).await;
        Ok(true)
    }

    /// Goes on with a run of another process.
    ///
    /// On the way to its commit its hooks must be those that it began with; on the way back, and after the commit, the rest is
    /// done without, and the step that needs one tells.
    async fn go_on(&self, left: LeftRun, goal: Goal, claim: &P::Claim, began_ms: i64) -> Result<RunResult, NotDone> {
        let plan = left.plan.clone();
        let needs_all = goal == Goal::Forward && !is_committed(&plan, &left.events);
        let hooks = self.ports.load_hooks(&plan, needs_all).await?;
        Box::pin(self.execute((plan, hooks), Begin::Again(left, goal), claim, began_ms)).await
    }

    /// Performs a new plan. `began_ms` is since when its time counts.
    pub(super) async fn begin(
        &self,
        planned: Planned<P>,
        claim: &P::Claim,
        began_ms: i64,
    ) -> Result<RunResult, NotDone> {
        Box::pin(self.execute(planned, Begin::Fresh, claim, began_ms)).await
    }

    /// Performs a plan from where its run stands to its end. What is large is boxed, here and by the callers: it would be moved
    /// through all the calls above.
    async fn execute(
        &self,
        (plan, hooks): Planned<P>,
        begin: Begin,
        claim: &P::Claim,
        began_ms: i64,
    ) -> Result<RunResult, NotDone> {
        let fresh = matches!(begin, Begin::Fresh);
        self.ports.take_files(claim, &plan).await?;
        self.ports.end_left_commands(if fresh { None } else { Some(&plan.run) }).await?;
        if fresh {
            still_as_planned(self.ports.edge(), &plan).await?;
        }
        let (mut journal, mut events) = self.open(&plan, begin, claim).await?;
        let world = self.ports.world(&plan, claim, &journal, hooks, fresh);
        let mut wishes = self.wishes.clone();
        let ended = Box::pin(executor::run(&plan, &mut events, &world, &mut journal, &mut wishes)).await;
        let end = ended.map_err(|illegal| NotDone::Defect(Failure::new(illegal.to_string())))?;
        let over = async {
            if matches!(end, End::Over(_)) {
                self.ports.copies().forget(&plan.run).await;
            }
        };
        let (running, ()) = tokio::join!(self.ports.settle(&world, &journal, &end), over);
        drop(world);
        Ok(RunResult { plan, end, entries: journal.entries(), running, began_ms })
    }

    /// Opens the journal of a run and records how it begins here. Returns it with all events of the run.
    ///
    /// Where that can't be recorded nothing begins, and of a run that is new nothing stays.
    async fn open(&self, plan: &Plan, begin: Begin, claim: &P::Claim) -> Result<(P::Journal, Vec<Event>), Failure> {
        let fresh = matches!(begin, Begin::Fresh);
        let (mut journal, mut events, first) = match begin {
            Begin::Fresh => {
                let (journal, first) = self.ports.begin(plan)?;
                (journal, Vec::new(), first)
            }
            Begin::Again(left, goal) => (self.ports.reopen(&plan.run)?, left.events, Event::Resumed { goal }),
        };
        // The engine makes its copy while the disk takes the journal.
        let copy = async { if fresh { self.ports.keep_copy(plan, claim).await } else { Ok(()) } };
        let (copied, recorded) = tokio::join!(copy, async { journal.record(plan, &first) });
        if let Err(failure) = copied {
            journal.note(&format!("the engine keeps no copy of the plan: {}", failure.what));
        }
        if let Err(failure) = recorded {
            if fresh {
                journal.discard();
                self.ports.copies().forget(&plan.run).await;
            }
            return Err(failure);
        }
        events.push(first);
        Ok((journal, events))
    }

    /// Gives something up that changes nothing when a signal comes: what is held must be let go.
    pub(super) async fn unless_interrupted<T>(
        &self,
        work: impl Future<Output = Result<T, NotDone>>,
    ) -> Result<T, NotDone> {
        let mut wishes = self.wishes.clone();
        tokio::select! {
            biased;
            worked = work => worked,
            signal = executor::interrupted(&mut wishes) => Err(NotDone::Interrupted(signal)),
        }
    }
}

fn is_committed(plan: &Plan, events: &[Event]) -> bool {
    RunState::of(plan, events).is_ok_and(|state| state.committed())
}
