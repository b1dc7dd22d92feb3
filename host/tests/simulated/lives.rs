//! One run and everything that takes it up after it was killed, stuck or left.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use swap::claim::{settled_by_others, traces};
use swap::executor::{self, End};
use swap::perform::{Performer, candidates_run};
use swap::plan::Plan;
use swap::run::{Event, Goal, IllegalEvent, Outcome, State, presume};
use swap::ui::{Display, Format, Volume};

use super::chance::Chance;
use super::family::{Family, begin, new_version, planned};
use super::ports::{Simulation, Steps};
use super::record::Recorder;
use super::world::{Lies, Universe};

/// How one process ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Killed,
    Executor(End),
    Illegal(IllegalEvent),
    /// The first line could not be written, so nothing was done.
    NotBegun,
}

impl Ending {
    fn word(&self) -> &'static str {
        match self {
            Ending::Killed => "killed",
            Ending::Executor(End::Over(Outcome::Swapped)) => "swapped",
            Ending::Executor(End::Over(Outcome::RolledBack)) => "rolled back",
            Ending::Executor(End::Stuck(_)) => "stuck",
            Ending::Executor(End::Left) => "left",
            Ending::Executor(End::Lost(_)) => "lost",
            Ending::Illegal(_) => "illegal",
            Ending::NotBegun => "not begun",
        }
    }
}

/// What becomes of a run that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// `swap resume`, always.
    Forward,
    /// `swap rollback`, or `swap`, which unwinds first.
    Back,
    /// `swap` on another machine, or here after the journal was lost: what was done is presumed, and unwound.
    WithoutJournal,
    /// One or the other.
    Either,
}

/// What is simulated.
pub struct Story {
    family: Family,
    then: Then,
    lies: Lies,
    plan: Plan,
}

/// How the processes of all runs ended, and how many they were.
pub type Endings = std::collections::BTreeMap<&'static str, u64>;

/// What was seen.
pub struct Told {
    /// How its processes ended.
    pub endings: Vec<&'static str>,
    /// What must not happen and did.
    pub violation: Option<String>,
    /// The events in words, if they were wanted.
    pub story: Vec<String>,
    /// The world as it is in the end.
    pub world: Universe,
}

/// What may need a person: old containers that can't be removed, undoing, and a commit of which nobody knows whether it
/// is on the disk. Everything else that fails is unwound.
const MAY_BE_STUCK: [&str; 13] = [
    "commit",
    "retire",
    "rollback",
    "release",
    "rest",
    "remove",
    "start-old",
    "stop",
    "switch-back",
    "tag-back",
    "init-end",
    "depart",
    "rejoin",
];

/// How many processes take a run up before the last one, to which nothing happens.
const TRIES: usize = 3;

impl Story {
    /// A run of a project's plan, changed to see whether that is noticed.
    pub fn new(family: Family, then: Then, lies: Lies, change: fn(&mut Plan)) -> Self {
        let mut plan = match planned(&family, &begin(&family, Chance::Calm, lies)) {
            Ok(plan) => plan,
            Err(refused) => panic!("`{}` is refused: {refused:?}", family.name),
        };
        change(&mut plan);
        Self { family, then, lies, plan }
    }

    /// Returns what the project is called.
    pub fn name(&self) -> &str {
        self.family.name
    }

    /// Simulates a run and whatever takes it up, to the end.
    pub fn live(&self, chance: Chance, tell: bool, count: bool) -> Told {
        let mut world = begin(&self.family, chance, self.lies);
        world.story = tell.then(Vec::new);
        world.seen = count.then(Default::default);
        if world.chance.below(8) == 7 {
            world.services[0].warm_up = None;
        }
        let world = RefCell::new(world);
        let mut endings = Vec::new();
        self.lives(&world, &self.plan, &mut endings);
        let mut world = world.into_inner();
        Told { endings, violation: world.violation.take(), story: world.story.take().unwrap_or_default(), world }
    }

    fn lives(&self, world: &RefCell<Universe>, plan: &Plan, endings: &mut Vec<&'static str>) {
        let mut ending = first_process(world, plan);
        let mut tries = 0;
        let outcome = loop {
            let mut now = world.borrow_mut();
            endings.push(ending.word());
            now.tell(|| format!("→ {ending:?}"));
            if now.violation.is_some() {
                return;
            }
            match &ending {
                Ending::Executor(End::Over(outcome)) if now.disk.closed || now.disk.durable.is_empty() => {
                    break *outcome;
                }
                Ending::Executor(End::Stuck(step)) if !MAY_BE_STUCK.contains(&step.verb()) => {
                    return now.violate(format!("stuck at {}, where a failure must unwind", step.verb()));
                }
                Ending::Illegal(illegal) => return now.violate(format!("{illegal}")),
                Ending::NotBegun if now.disk.durable.is_empty() => break Outcome::RolledBack,
                _ => {}
            }
            now.settle();
            if now.disk.durable.is_empty() {
                // Nothing was recorded, so nothing was done; the journal is discarded.
                now.disk.closed = true;
                break Outcome::RolledBack;
            }
            if tries == TRIES {
                let excused = now.disturbed();
                if !excused {
                    now.violate(format!("not over after all was well: {ending:?}"));
                }
                return;
            }
            tries += 1;
            if tries == TRIES && matches!(now.chance, Chance::Random { .. }) {
                now.chance = Chance::Calm;
            }
            let (back, loses) = match self.then {
                Then::Forward => (false, false),
                Then::Back => (true, false),
                Then::WithoutJournal => (true, true),
                Then::Either => (now.chance.below(2) == 1, now.chance.below(6) == 5),
            };
            drop(now);
            if loses {
                lose_journal(world, plan);
            }
            let Some((goal, committed)) = goal(world, plan, back) else {
                // Others have settled what runs: the run is forgotten.
                if !world.borrow().disturbed() {
                    world.borrow_mut().violate("a run is forgotten that nobody disturbed".to_owned());
                }
                return;
            };
            ending = process(world, plan, Event::Resumed { goal });
            if let (Goal::Back, false, Ending::Executor(End::Over(Outcome::Swapped))) = (goal, committed, &ending) {
                let closed = world.borrow().disk.durable.iter().any(|event| matches!(event, Event::Closed { .. }));
                if !closed {
                    world.borrow_mut().violate("swapped where it was to go back".to_owned());
                }
            }
        };
        world.borrow_mut().check_rest(plan, outcome);
        self.swap_again(world);
    }

    /// After everything a swap of the next version must simply work.
    fn swap_again(&self, world: &RefCell<Universe>) {
        let mut now = world.borrow_mut();
        if now.disturbed()
            || now.violation.is_some()
            || matches!(now.chance, Chance::Script { .. })
            || now.chance.below(4) != 0
        {
            return;
        }
        now.settle();
        now.now += 100_000;
        now.chance = Chance::Calm;
        now.disk = Default::default();
        now.restless = false;
        now.services.iter_mut().for_each(|service| service.warm_up = Some(100));
        new_version(&mut now);
        now.tell(|| "swap again".to_owned());
        let plan = match planned(&self.family, &now) {
            Ok(plan) => plan,
            Err(refused) => return now.violate(format!("the next swap is refused: {refused:?}")),
        };
        drop(now);
        match first_process(world, &plan) {
            Ending::Executor(End::Over(Outcome::Swapped)) => world.borrow_mut().check_rest(&plan, Outcome::Swapped),
            other => world.borrow_mut().violate(format!("the next swap ended so: {other:?}")),
        }
    }
}

/// Simulates the process that begins the run.
fn first_process(world: &RefCell<Universe>, plan: &Plan) -> Ending {
    {
        let mut world = world.borrow_mut();
        world.planned = plan.services.iter().map(|service| (service.name.clone(), service.image.id.clone())).collect();
        world.tell(|| plan.to_string());
    }
    // What the plan is, the simulated journal need not remember.
    let hollow = Plan {
        v: plan.v,
        run: plan.run.clone(),
        project: String::new(),
        services: Vec::new(),
        steps: Vec::new(),
        notices: Vec::new(),
    };
    process(world, plan, Event::Planned { plan: hollow })
}

/// Simulates one process that begins the run or takes it up.
fn process(world: &RefCell<Universe>, plan: &Plan, first: Event) -> Ending {
    let mut events = world.borrow().disk.durable.clone();
    if world.borrow_mut().record(&first).is_err() {
        let mut world = world.borrow_mut();
        if world.disk.durable.is_empty() {
            world.disk.doubtful.clear();
            world.disk.closed = true;
        }
        return Ending::NotBegun;
    }
    events.push(first);
    let mut wishes = world.borrow().wishes.subscribe();
    let performer = Performer::new(Simulation(world), plan, DISPLAY.with(Display::clone));
    let steps = Steps { performer, world };
    let mut recorder = Recorder(world);
    let ended = driven(world, executor::run(plan, &mut events, &steps, &mut recorder, &mut wishes));
    if world.borrow().dead {
        return Ending::Killed;
    }
    match ended {
        None => {
            world.borrow_mut().violate("the run waits for ever".to_owned());
            Ending::Killed
        }
        Some(Ok(end)) => Ending::Executor(end),
        Some(Err(illegal)) => Ending::Illegal(illegal),
    }
}

thread_local! {
    /// What the steps remark is not looked at.
    static DISPLAY: Display = Display::new(Format::Text, Volume::Quiet);
}

/// Whether somebody who waits can go on.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Returns what the future comes to; `None`: swap was killed, or the future waits for ever.
///
/// In this world everything is ready at once, but for who sleeps: when all do, the clock goes on to when the first one wakes up.
fn driven<T>(world: &RefCell<Universe>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut nobody_sleeps = false;
    loop {
        woken.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        let mut now = world.borrow_mut();
        if now.dead {
            return None;
        }
        if woken.0.load(Ordering::Relaxed) {
            continue;
        }
        match now.alarm.take() {
            Some(alarm) => {
                now.now = now.now.max(alarm);
                nobody_sleeps = false;
            }
            // Those who wait for what others do look once more.
            None if !nobody_sleeps => nobody_sleeps = true,
            None => return None,
        }
        let wakers = std::mem::take(&mut now.wakers);
        drop(now);
        wakers.iter().for_each(Waker::wake_by_ref);
    }
}

/// Looks at the world without anything that goes wrong.
fn looked<'a, T, F: Future<Output = T>>(world: &'a RefCell<Universe>, look: impl FnOnce(Simulation<'a>) -> F) -> T {
    world.borrow_mut().undisturbed = true;
    let seen = driven(world, look(Simulation(world)));
    world.borrow_mut().undisturbed = false;
    seen.unwrap_or_else(|| panic!("who only looks waits for ever"))
}

/// Nobody has the journal any more: the copy of the plan on the engine and the world tell what it must have said.
fn lose_journal(world: &RefCell<Universe>, plan: &Plan) {
    world.borrow_mut().tell(|| "(the journal is lost)".to_owned());
    let left = looked(world, |world| async move { traces(&world, &world, plan).await });
    let left = left.unwrap_or_else(|failure| panic!("who only looks is refused: {failure}"));
    let mut world = world.borrow_mut();
    world.disk.durable = presume(plan, &left);
    world.disk.doubtful.clear();
}

/// Returns where a run is to go that is taken up, as the commands settle it, and whether it has committed; `None`: nowhere.
fn goal(world: &RefCell<Universe>, plan: &Plan, back: bool) -> Option<(Goal, bool)> {
    let events = world.borrow().disk.durable.clone();
    let presumed_forward = matches!(events.last(), Some(Event::Resumed { goal: Goal::Forward }));
    let forward = (!back || presumed_forward)
        && looked(world, |world| async move { candidates_run(&world, plan, &events).await });
    let mut now = world.borrow_mut();
    let committed = State::of(plan, &now.disk.durable).is_ok_and(|state| state.committed());
    now.disk.closed = false;
    drop(now);
    if forward {
        return Some((Goal::Forward, committed));
    }
    let settled = !committed && looked(world, |world| async move { settled_by_others(&world, plan).await == Ok(true) });
    (!settled).then_some((Goal::Back, committed))
}
