//! One run and everything that takes it up after it was killed, stuck or left.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use swap::executor::{self, End};
use swap::model::ServiceName;
use swap::plan::{Plan, Step};
use swap::run::{Event, Facts, Goal, IllegalEvent, Outcome, State, Traces, presume};

use super::chance::Chance;
use super::family::{Family, begin, new_version, planned};
use super::perform::Performer;
use super::record::Recorder;
use super::world::{Life, Rules, Simulated, Universe};

/// How one process ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Killed,
    Engine(End),
    Illegal(IllegalEvent),
    /// The first line could not be written, so nothing was done.
    NotBegun,
}

impl Ending {
    fn word(&self) -> &'static str {
        match self {
            Ending::Killed => "killed",
            Ending::Engine(End::Over(Outcome::Swapped)) => "swapped",
            Ending::Engine(End::Over(Outcome::RolledBack)) => "rolled back",
            Ending::Engine(End::Stuck(_)) => "stuck",
            Ending::Engine(End::Left) => "left",
            Ending::Engine(End::Lost(_)) => "lost",
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
    rules: Rules,
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
    pub fn new(family: Family, then: Then, rules: Rules, change: fn(&mut Plan)) -> Self {
        let mut plan = match planned(&family, &begin(&family, Chance::Calm, rules)) {
            Ok(plan) => plan,
            Err(refused) => panic!("`{}` is refused: {refused:?}", family.name),
        };
        change(&mut plan);
        Self { family, then, rules, plan }
    }

    /// Returns what the project is called.
    pub fn name(&self) -> &str {
        self.family.name
    }

    /// Simulates a run and whatever takes it up, to the end.
    pub fn live(&self, chance: Chance, tell: bool, count: bool) -> Told {
        let mut world = begin(&self.family, chance, self.rules);
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
                Ending::Engine(End::Over(outcome)) if now.disk.closed || now.disk.durable.is_empty() => break *outcome,
                Ending::Engine(End::Stuck(step)) if !MAY_BE_STUCK.contains(&step.verb()) => {
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
            if loses {
                now.lose_journal(plan);
            }
            let presumed_forward = matches!(now.disk.durable.last(), Some(Event::Resumed { goal: Goal::Forward }));
            let back = back && !presumed_forward;
            let goal = if back || !candidates_run(&now, plan) { Goal::Back } else { Goal::Forward };
            let committed = State::of(plan, &now.disk.durable).is_ok_and(|state| state.committed());
            now.disk.closed = false;
            drop(now);
            ending = process(world, plan, Event::Resumed { goal });
            if let (Goal::Back, false, Ending::Engine(End::Over(Outcome::Swapped))) = (goal, committed, &ending) {
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
            Ending::Engine(End::Over(Outcome::Swapped)) => world.borrow_mut().check_rest(&plan, Outcome::Swapped),
            other => world.borrow_mut().violate(format!("the next swap ended so: {other:?}")),
        }
    }
}

/// Simulates the process that begins the run.
fn first_process(world: &RefCell<Universe>, plan: &Plan) -> Ending {
    {
        let mut world = world.borrow_mut();
        world.live = plan.services.iter().map(|service| (service.name.clone(), service.live.clone())).collect();
        world.planned = plan.services.iter().map(|service| (service.name.clone(), service.image.id.clone())).collect();
        world.tell(|| plan.to_string());
    }
    // What the plan is, the simulated journal need not remember.
    let hollow = Plan {
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
    let performer = Performer(world);
    let mut recorder = Recorder(world);
    let ended = ready(executor::run(plan, &mut events, &performer, &mut recorder, &mut wishes));
    if world.borrow().dead {
        return Ending::Killed;
    }
    match ended {
        None => {
            world.borrow_mut().violate("the run waits for ever".to_owned());
            Ending::Killed
        }
        Some(Ok(end)) => Ending::Engine(end),
        Some(Err(illegal)) => Ending::Illegal(illegal),
    }
}

/// Returns what the future comes to; in this world everything is ready at once, or never.
fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl Universe {
    /// Nobody has the journal any more: the copy of the plan on the engine and the world tell what it must have said.
    fn lose_journal(&mut self, plan: &Plan) {
        self.tell(|| "(the journal is lost)".to_owned());
        let traces = plan.services.iter().map(|planned| (planned.name.clone(), self.traces(plan, &planned.name)));
        self.disk.durable = presume(plan, &traces.collect());
        self.disk.doubtful.clear();
    }

    fn traces(&self, plan: &Plan, name: &ServiceName) -> Traces {
        let service = &self.services[self.index(name)];
        let (known, count) = plan
            .steps
            .iter()
            .find_map(|step| match step {
                Step::Create { service: of, known, count, .. } if of == name => Some((known, *count)),
                _ => None,
            })
            .unwrap_or_else(|| panic!("the plan creates nothing of `{name}`"));
        let is_known = |c: &&Simulated| known.contains(&format!("c{}", c.id));
        let created: Vec<&Simulated> = service.containers.iter().filter(|c| !is_known(c)).take(count).collect();
        let live = plan.services.iter().find(|planned| planned.name == *name).map(|planned| &planned.live);
        let is_old = |c: &&Simulated| live.into_iter().flatten().any(|live| live.id == format!("c{}", c.id));
        let old: Vec<&Simulated> = service.containers.iter().filter(is_old).collect();
        let named: BTreeSet<String> =
            self.named(self.index(name)).iter().map(|server| format!("c{}", server.id)).collect();
        let ids = |all: &[&Simulated]| all.iter().map(|c| format!("c{}", c.id)).collect::<BTreeSet<_>>();
        let planned: BTreeSet<String> = live.into_iter().flatten().map(|live| live.id.clone()).collect();
        let runs = |c: &&&Simulated| c.life == Life::Running;
        Traces {
            candidates: created.iter().map(|c| c.seen(&service.name, service.proxied)).collect(),
            candidates_started: created.iter().filter(|c| c.life != Life::Created).count(),
            candidates_run: created.iter().filter(runs).count(),
            old_there: old.len(),
            old_run: old.iter().filter(runs).count(),
            file: self.nginx.files[self.index(name)].is_some(),
            names_candidates: !named.is_empty() && named == ids(&created),
            names_others: !named.is_empty() && named != planned,
        }
    }
}

/// As the `resume` command looks before it goes forward.
fn candidates_run(world: &Universe, plan: &Plan) -> bool {
    let facts = Facts::of(plan, &world.disk.durable);
    let runs = |id: &str| {
        let mut all = world.services.iter().flat_map(|service| &service.containers);
        all.any(|c| format!("c{}", c.id) == id && c.life == Life::Running)
    };
    facts.candidates.values().flatten().filter(|candidate| candidate.address.is_some()).all(|c| runs(&c.id))
}
