//! One run and everything that takes it up after it was killed, stuck or left.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use swap::executor::End;
use swap::model::{RunId, ServiceName};
use swap::plan::Plan;
use swap::run::{Event, Outcome, RunState};
use swap::session::{Course, Done, NotDone};
use swap::ui::Display;

use super::chance::Chance;
use super::family::{Family, begin, new_version, planned};
use super::machine::{DISPLAY, Machine};
use super::world::{Lies, Universe, run_id};

/// How one process ended; `None`: it was killed.
type Ending = Option<Result<Done, NotDone>>;

/// Returns an ending in a word.
fn word(ending: &Ending) -> &'static str {
    match ending {
        None => "killed",
        Some(Ok(Done::Run(ran))) => match ran.end {
            End::Over(Outcome::Swapped) => "swapped",
            End::Over(Outcome::RolledBack) => "rolled back",
            End::Stuck(_) => "stuck",
            End::Left => "left",
            End::Lost(_) => "lost",
        },
        Some(Ok(Done::Nothing(_))) => "forgotten",
        Some(Err(_)) => "not begun",
    }
}

/// What is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Swap,
    Resume,
    Rollback,
}

/// What becomes of a run that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// `swap resume`, always.
    Forward,
    /// `swap rollback`.
    Back,
    /// `swap` on another machine, or here after the journal was lost: what was done is presumed, and unwound.
    WithoutJournal,
    /// One or the other.
    Either,
}

/// What is simulated.
pub(crate) struct Story {
    family: Family,
    then: Then,
    lies: Lies,
    plan: Arc<Plan>,
}

/// How the processes of all runs ended, and how many they were.
pub(crate) type Endings = std::collections::BTreeMap<&'static str, u64>;

/// What was seen.
pub(crate) struct Told {
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
    pub(crate) fn new(family: Family, then: Then, lies: Lies, change: fn(&mut Plan)) -> Self {
        let mut plan = match planned(run_id(), &family, &begin(&family, Chance::Calm, lies)) {
            Ok(plan) => plan,
            Err(refused) => panic!("`{}` is refused: {refused:?}", family.name),
        };
        change(&mut plan);
        Self { family, then, lies, plan: Arc::new(plan) }
    }

    /// Returns what the project is called.
    pub(crate) fn name(&self) -> &str {
        self.family.name
    }

    /// Simulates a run and whatever takes it up, to the end.
    pub(crate) fn live(&self, chance: Chance, tell: bool, count: bool) -> Told {
        let mut world = begin(&self.family, chance, self.lies);
        world.story = tell.then(Vec::new);
        world.seen = count.then(Default::default);
        if world.chance.below(8) == 7 {
            world.services[0].warm_up = None;
        }
        let world = RefCell::new(world);
        let mut endings = Vec::new();
        self.lives(&Machine::new(&world, &self.plan), &mut endings);
        let mut world = world.into_inner();
        Told { endings, violation: world.violation.take(), story: world.story.take().unwrap_or_default(), world }
    }

    fn lives(&self, machine: &Machine<'_>, endings: &mut Vec<&'static str>) {
        let world = machine.world;
        let mut ending = self.process(machine, Command::Swap, || Some(Arc::clone(&self.plan)));
        let mut tries = 0;
        loop {
            endings.push(word(&ending));
            world.borrow_mut().tell(|| format!("→ {ending:?}"));
            self.judge(world, &ending);
            if world.borrow().violation.is_some() {
                return;
            }
            world.borrow_mut().settle();
            if !machine.has_left() {
                break;
            }
            let mut now = world.borrow_mut();
            if tries >= TRIES + machine.others_left() {
                if !now.disturbed() {
                    now.violate(format!("not over after all was well: {ending:?}"));
                }
                return;
            }
            tries += 1;
            if tries == TRIES && matches!(now.chance, Chance::Random { .. }) {
                now.chance = Chance::Calm;
            }
            let (command, loses) = match self.then {
                Then::Forward => (Command::Resume, false),
                Then::Back => (Command::Rollback, false),
                Then::WithoutJournal => (Command::Swap, true),
                Then::Either => {
                    let commands = [Command::Resume, Command::Resume, Command::Rollback, Command::Swap];
                    (commands[now.chance.below(commands.len())], now.chance.below(6) == 5)
                }
            };
            now.tell(|| format!("{command:?}"));
            drop(now);
            if loses {
                machine.lose_journals();
            }
            ending = self.take_up(machine, command);
        }
        self.check_rest(machine);
        self.swap_again(machine);
    }

    /// Simulates a process that takes up what is left.
    fn take_up(&self, machine: &Machine<'_>, command: Command) -> Ending {
        let world = machine.world;
        let plan = machine.plan_at_hand();
        let may_end_swapped = {
            let before = &world.borrow().disk.durable;
            let closed = matches!(before.last(), None | Some(Event::Closed { .. }));
            closed || RunState::of(&plan, before).is_ok_and(|state| state.committed())
        };
        let ending = self.process(machine, command, || self.plan_anew(machine));
        let mut now = world.borrow_mut();
        match &ending {
            Some(Ok(Done::Run(ran)))
                if command == Command::Rollback && ran.end == End::Over(Outcome::Swapped) && !may_end_swapped =>
            {
                now.violate("swapped where it was to go back".to_owned());
            }
            Some(Ok(Done::Nothing(text))) if !now.disk.forgotten => now.violate(format!("something is left: {text}")),
            _ => {}
        }
        drop(now);
        ending
    }

    /// What was left is cleaned up, as `swap` does first. Some then swap to the same version again.
    fn plan_anew(&self, machine: &Machine<'_>) -> Option<Arc<Plan>> {
        // Who was killed by its last write comes here, and nothing comes of it.
        if machine.world.borrow().dead {
            return None;
        }
        self.check_rest(machine);
        let mut now = machine.world.borrow_mut();
        if now.dead || now.disturbed() || now.chance.below(4) < 3 {
            return None;
        }
        let plan = planned(another_run(&machine.plan_at_hand().run), &self.family, &now);
        // What its hooks are to do is not done yet.
        now.services.iter_mut().for_each(|service| service.migrated = false);
        if plan.is_err() {
            now.violate(format!("after all was cleaned up a swap is refused: {plan:?}"));
        }
        plan.ok().map(Arc::new)
    }

    /// Checks how a process has ended.
    fn judge(&self, world: &RefCell<Universe>, ending: &Ending) {
        let mut now = world.borrow_mut();
        if ending.is_some() && now.disk.held {
            now.violate("the services are not let go".to_owned());
        }
        match ending {
            None if !now.dead => now.violate("the run waits for ever".to_owned()),
            Some(Ok(Done::Run(ran))) => {
                if let End::Stuck(step) = &ran.end
                    && !MAY_BE_STUCK.contains(&step.verb())
                {
                    now.violate(format!("stuck at {}, where a failure must unwind", step.verb()));
                }
            }
            Some(Err(NotDone::Defect(failure))) => now.violate(failure.what.clone()),
            _ => {}
        }
    }

    /// Checks the world when no run is left.
    fn check_rest(&self, machine: &Machine<'_>) {
        let mut now = machine.world.borrow_mut();
        if now.disk.forgotten {
            // Others have settled what runs.
            if !now.disturbed() {
                now.violate("a run is forgotten that nobody disturbed".to_owned());
            }
            return;
        }
        let outcome = now.disk.durable.iter().chain(&now.disk.doubtful).rev().find_map(|event| match event {
            Event::Closed { outcome } => Some(*outcome),
            _ => None,
        });
        // Of a run without a journal nothing was done.
        now.check_rest(&machine.plan_at_hand(), outcome.unwrap_or(Outcome::RolledBack));
    }

    /// After everything a swap of the next version must simply work.
    fn swap_again(&self, machine: &Machine<'_>) {
        let mut now = machine.world.borrow_mut();
        if now.disturbed()
            || now.violation.is_some()
            || matches!(now.chance, Chance::Script { .. })
            || now.chance.below(4) != 0
        {
            return;
        }
        now.now += 100_000;
        now.chance = Chance::Calm;
        now.restless = false;
        now.services.iter_mut().for_each(|service| service.warm_up = Some(100));
        new_version(&mut now);
        now.tell(|| "swap again".to_owned());
        let plan = match planned(another_run(&machine.plan_at_hand().run), &self.family, &now) {
            Ok(plan) => Arc::new(plan),
            Err(refused) => return now.violate(format!("the next swap is refused: {refused:?}")),
        };
        drop(now);
        let ending = self.process(machine, Command::Swap, || Some(Arc::clone(&plan)));
        let mut now = machine.world.borrow_mut();
        match ending {
            Some(Ok(Done::Run(ran))) if ran.end == End::Over(Outcome::Swapped) => {
                now.check_rest(&plan, Outcome::Swapped);
                if machine.keeps_copies() {
                    now.violate("the engine keeps the plan of a run that is over".to_owned());
                }
            }
            other => now.violate(format!("the next swap ended so: {other:?}")),
        }
    }

    /// Simulates one process. `plan` makes the plan of a new run, when the process comes so far.
    fn process(&self, machine: &Machine<'_>, command: Command, plan: impl FnOnce() -> Option<Arc<Plan>>) -> Ending {
        let (services, wishes) = {
            let mut world = machine.world.borrow_mut();
            world.verb = "";
            let services: Vec<ServiceName> = world.services.iter().map(|service| service.name.clone()).collect();
            (services, world.wishes.subscribe())
        };
        let plan = async {
            let plan = plan().ok_or(NotDone::Refused(Vec::new()))?;
            machine.planned(&plan);
            Ok((plan, ()))
        };
        DISPLAY.with(|display: &Display| {
            let course = Course::new(machine, display, wishes, 0);
            let session = async {
                match command {
                    Command::Swap => course.swap(&services, plan).await,
                    Command::Resume => course.resume(&services[0]).await,
                    Command::Rollback => course.roll_back(&services[0], false, plan).await,
                }
            };
            driven(machine.world, session)
        })
    }
}

/// Returns the name of the run after this one.
fn another_run(run: &RunId) -> RunId {
    let second: u32 = run.0[13..15].parse().unwrap_or_default();
    RunId(format!("{}{:02}{}", &run.0[..13], second + 1, &run.0[15..]))
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
        let polled = future.as_mut().poll(&mut context);
        let mut now = world.borrow_mut();
        // Who is killed by a write goes on to its next call, but nobody learns anything of it.
        if now.dead {
            return None;
        }
        if let Poll::Ready(value) = polled {
            return Some(value);
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
