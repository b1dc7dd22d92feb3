//! The executor in a simulated world, in which everything goes wrong at every point.
//!
//! `SWAP_SIM_RUNS` sets how many runs are drawn, `SWAP_SIM_SEED` repeats one of them and tells its story, and
//! `SWAP_SIM_FAULTS` sets how many faults a run may have where all runs are gone through.

use std::collections::HashSet;
use std::time::Instant;

use swap::plan::{Plan, Step};

mod simulated {
    pub(crate) mod chance;
    pub(crate) mod family;
    pub(crate) mod foreign;
    pub(crate) mod lives;
    pub(crate) mod machine;
    pub(crate) mod ports;
    pub(crate) mod record;
    pub(crate) mod world;
}

use simulated::chance::Chance;
use simulated::family::{behind_two, called, families};
use simulated::lives::{Endings, Story, Then};
use simulated::world::Lies;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn unchanged(_: &mut Plan) {}

fn stories(then: Then, lies: Lies, change: fn(&mut Plan)) -> Vec<Story> {
    let families = families().into_iter().chain(behind_two());
    families.map(|family| Story::new(family, then, lies, change)).collect()
}

/// The stories in which two nginxes stand before a service.
fn stories_behind_two(lies: Lies, change: fn(&mut Plan)) -> Vec<Story> {
    behind_two().into_iter().map(|family| Story::new(family, Then::Either, lies, change)).collect()
}

/// The stories in which others call a service by its name.
fn called_stories(then: Then, lies: Lies, change: fn(&mut Plan)) -> Vec<Story> {
    called().into_iter().map(|family| Story::new(family, then, lies, change)).collect()
}

fn story_of(stories: &[Story], seed: u64) -> &Story {
    &stories[seed as usize % stories.len()]
}

/// Returns the first seed whose run goes wrong, and how the processes of all runs before it ended.
fn first_wrong(stories: &[Story], mut seeds: impl Iterator<Item = u64>) -> (Option<u64>, Endings) {
    let mut endings = Endings::new();
    let wrong = seeds.find(|seed| {
        let told = story_of(stories, *seed).live(Chance::seeded(*seed), false, false);
        told.endings.into_iter().for_each(|ending| *endings.entry(ending).or_default() += 1);
        told.violation.is_some()
    });
    (wrong, endings)
}

/// Tells what happens in the run of a seed.
fn told(stories: &[Story], seed: u64) -> String {
    let story = story_of(stories, seed);
    let told = story.live(Chance::seeded(seed), true, false);
    let violation = told.violation.unwrap_or_else(|| "nothing went wrong".to_owned());
    format!("{}: {violation}\nagain: SWAP_SIM_SEED={seed}\n{}", story.name(), told.story.join("\n"))
}

#[test]
fn nothing_that_goes_wrong_takes_the_service_down() {
    let stories = stories(Then::Either, Lies::default(), unchanged);
    if let Some(seed) = number("SWAP_SIM_SEED") {
        return println!("{}", told(&stories, seed));
    }
    let runs = number("SWAP_SIM_RUNS").unwrap_or(20_000);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let began = Instant::now();
    let parts: Vec<(Option<u64>, Endings)> = std::thread::scope(|scope| {
        let stories = &stories;
        let part = |first| move || first_wrong(stories, (first as u64..runs).step_by(threads));
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(part(first))).collect();
        parts.into_iter().map(|part| part.join().expect("a run panics")).collect()
    });
    if let Some(seed) = parts.iter().filter_map(|(wrong, _)| *wrong).min() {
        panic!("{}", told(&stories, seed));
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{runs} runs in {seconds:.1} s: {:.0} a minute", runs as f64 / seconds * 60.0);
    let mut endings = Endings::new();
    parts
        .into_iter()
        .flat_map(|(_, endings)| endings)
        .for_each(|(ending, count)| *endings.entry(ending).or_default() += count);
    println!("their processes ended so: {endings:?}");
    // A world in which nothing happens proves nothing.
    for ending in ["killed", "left", "lost", "not begun", "rolled back", "stuck", "swapped"] {
        assert!(endings.contains_key(ending) || runs < 1_000, "no process was {ending}");
    }
}

/// Goes through all runs with so many faults: each of them at each point, in each order.
struct Exhaustive<'a> {
    story: &'a Story,
    runs: u64,
    states: HashSet<u64>,
}

impl Exhaustive<'_> {
    fn go(&mut self, faults: &mut Vec<(usize, usize)>, more: u64) {
        let told = self.story.live(Chance::script(faults.clone()), false, true);
        self.runs += 1;
        if told.violation.is_some() {
            let told = self.story.live(Chance::script(faults.clone()), true, false);
            panic!("{} with {faults:?}: {:?}\n{}", self.story.name(), told.violation, told.story.join("\n"));
        }
        self.states.extend(told.world.seen.into_iter().flatten());
        let Chance::Script { seen, .. } = told.world.chance else { return };
        if more == 0 {
            return;
        }
        let from = faults.last().map_or(0, |(point, _)| point + 1);
        for (point, options) in seen.iter().enumerate().skip(from) {
            for option in 0..*options {
                faults.push((point, option));
                self.go(faults, more - 1);
                faults.pop();
            }
        }
    }
}

#[test]
fn every_fault_at_every_point_ends_at_rest_when_the_run_goes_on() {
    every_fault_at_every_point(Then::Forward);
}

#[test]
fn every_fault_at_every_point_ends_at_rest_when_the_run_is_unwound() {
    every_fault_at_every_point(Then::Back);
}

#[test]
fn every_fault_at_every_point_ends_at_rest_when_the_journal_is_lost() {
    every_fault_at_every_point(Then::WithoutJournal);
}

fn every_fault_at_every_point(then: Then) {
    let (mut runs, mut states) = (0, 0);
    let most = number("SWAP_SIM_FAULTS").unwrap_or(1);
    // Of those behind two nginxes: with folders of their own, one of them new, and a shared one at the first swap.
    let families = families().into_iter().chain(called()).chain(behind_two().into_iter().skip(2).step_by(2).take(2));
    for story in families.map(|family| Story::new(family, then, Lies::default(), unchanged)) {
        let mut exhaustive = Exhaustive { story: &story, runs: 0, states: HashSet::new() };
        exhaustive.go(&mut Vec::new(), most);
        println!("{}, then {then:?}: {} runs, {} states", story.name(), exhaustive.runs, exhaustive.states.len());
        runs += exhaustive.runs;
        states += exhaustive.states.len();
    }
    println!("{runs} runs with at most {most} faults, {states} states");
}

/// Fails unless a world with such a mistake is seen to go wrong.
#[track_caller]
fn is_found(mistake: &str, lies: Lies, change: fn(&mut Plan)) {
    // One nginx is enough for it, and is simulated sooner.
    let stories: Vec<Story> =
        families().into_iter().map(|family| Story::new(family, Then::Either, lies, change)).collect();
    is_found_in(&stories, mistake);
}

#[track_caller]
fn is_found_in(stories: &[Story], mistake: &str) {
    const RUNS: u64 = 400_000;
    match first_wrong(stories, 0..RUNS).0 {
        Some(seed) => {
            let story = story_of(stories, seed);
            let violation = story.live(Chance::seeded(seed), false, false).violation.unwrap_or_default();
            println!("{mistake}: found by seed {seed} ({}): {violation}", story.name());
        }
        None => panic!("{mistake}: not found in {RUNS} runs"),
    }
}

fn drop_steps(plan: &mut Plan, unwanted: fn(&Step) -> bool) {
    plan.steps.retain(|step| !unwanted(step));
}

fn is_commit(step: &Step) -> bool {
    matches!(step, Step::Commit)
}

fn is_switch(step: &Step) -> bool {
    matches!(step, Step::Switch { .. })
}

fn is_drain(step: &Step) -> bool {
    matches!(step, Step::Drain { .. })
}

fn is_retire(step: &Step) -> bool {
    matches!(step, Step::Retire { .. })
}

/// Moves the steps of one kind before the first of another kind, in plans that have such a one.
fn move_before(plan: &mut Plan, moved: fn(&Step) -> bool, before: fn(&Step) -> bool) {
    if !plan.steps.iter().any(before) {
        return;
    }
    let (moved, mut rest): (Vec<Step>, Vec<Step>) = plan.steps.drain(..).partition(moved);
    let place = rest.iter().position(before).unwrap_or(rest.len());
    rest.splice(place..place, moved);
    plan.steps = rest;
}

#[test]
fn a_commit_before_the_switch_is_found() {
    is_found("commit before the switch", Lies::default(), |plan| move_before(plan, is_commit, is_switch));
}

#[test]
fn a_commit_before_the_drain_is_found() {
    // Nobody is hurt, because the old are retired after the drain all the same; but what fails in it can't be unwound any more.
    is_found("commit before the drain", Lies::default(), |plan| move_before(plan, is_commit, is_drain));
}

#[test]
fn a_plan_that_the_engine_keeps_is_found_and_forgotten() {
    is_found("no copy is found", Lies { no_copy_is_found: true, ..Lies::default() }, unchanged);
    is_found("copies stay", Lies { copies_stay: true, ..Lies::default() }, unchanged);
}

#[test]
fn a_commit_after_the_old_are_gone_is_found() {
    is_found("commit after retiring", Lies::default(), |plan| move_before(plan, is_retire, is_commit));
}

#[test]
fn live_containers_that_are_not_named_first_are_found() {
    is_found("no adopt", Lies::default(), |plan| drop_steps(plan, |step| matches!(step, Step::Adopt { .. })));
}

#[test]
fn an_upstream_that_stays_by_address_is_found() {
    is_found("no rest", Lies::default(), |plan| drop_steps(plan, |step| matches!(step, Step::Rest { .. })));
}

#[test]
fn a_name_that_nginx_asks_for_during_a_run_is_found() {
    is_found("not obeyed", Lies { nginx_was_never_told: true, ..Lies::default() }, unchanged);
    is_found("rest without a record", Lies { files_never_rest: true, ..Lies::default() }, unchanged);
    is_found("told of too late", Lies { marks_come_late: true, ..Lies::default() }, unchanged);
}

#[test]
fn candidates_that_nobody_finds_are_found() {
    let unannounced = |plan: &mut Plan| drop_steps(plan, |step| matches!(step, Step::Announce { .. }));
    is_found_in(&called_stories(Then::Either, Lies::default(), unannounced), "no announce");
    let lies = Lies { who_joins_is_named: true, ..Lies::default() };
    is_found_in(&called_stories(Then::Either, lies, unchanged), "candidates start with their names");
}

#[test]
fn a_missing_wait_for_workers_is_found() {
    is_found("no drain", Lies::default(), |plan| drop_steps(plan, is_drain));
    is_found("nobody waits", Lies { former_leave_at_once: true, ..Lies::default() }, unchanged);
}

#[test]
fn an_nginx_that_is_forgotten_beside_another_is_found() {
    let forgotten = |plan: &mut Plan| plan.services.iter_mut().for_each(|planned| planned.fronts.truncate(1));
    is_found_in(&stories_behind_two(Lies::default(), forgotten), "only the first is known");
    let found = |mistake, lies| is_found_in(&stories_behind_two(lies, unchanged), mistake);
    found("only the first is drained", Lies { others_leave_at_once: true, ..Lies::default() });
    found("only the first is asked whom it names", Lies { others_name_nobody: true, ..Lies::default() });
    found("only the first is switched back", Lies { others_are_not_switched_back: true, ..Lies::default() });
}

#[test]
fn retiring_before_the_switch_is_found() {
    let lies = Lies { files_name_nobody: true, ..Lies::default() };
    is_found("retire before the switch", lies, |plan| move_before(plan, is_retire, is_switch));
}

#[test]
fn a_name_that_is_not_given_back_is_found() {
    is_found("no tag back", Lies { no_name_is_given_back: true, ..Lies::default() }, unchanged);
}

#[test]
fn another_image_than_planned_is_found() {
    is_found("the image is not looked at", Lies { every_image_is_the_planned: true, ..Lies::default() }, unchanged);
}

#[test]
fn a_switch_that_is_not_undone_is_found() {
    is_found("no switch back", Lies { nobody_is_switched_back: true, ..Lies::default() }, unchanged);
}

#[test]
fn a_switch_back_that_does_not_wait_is_found() {
    is_found(
        "no wait after switching back",
        Lies { former_leave_at_once_going_back: true, ..Lies::default() },
        unchanged,
    );
}

#[test]
fn each_look_at_the_world_is_needed() {
    let lies = Lies { candidates_run: true, files_name_nobody: true, ..Lies::default() };
    is_found("commit does not look", lies, unchanged);
    is_found("retired without a drain", Lies { former_leave_at_once_when_retired: true, ..Lies::default() }, unchanged);
    is_found("old ones are not started", Lies { nobody_starts_again: true, ..Lies::default() }, unchanged);
    is_found("switched back to a name", Lies { back_to_a_name: true, ..Lies::default() }, unchanged);
    is_found("the last is removed", Lies { who_is_gone_is_there: true, ..Lies::default() }, unchanged);
    is_found("the journal has gaps", Lies { the_journal_has_gaps: true, ..Lies::default() }, unchanged);
}

/// Fails where anything goes wrong in a world with such a trouble.
#[track_caller]
fn nothing_goes_wrong(lies: Lies) {
    let stories = stories(Then::Either, lies, unchanged);
    if let Some(seed) = first_wrong(&stories, 0..10_000).0 {
        panic!("{}", told(&stories, seed));
    }
}

#[test]
fn what_can_t_be_looked_at_is_not_taken_for_gone() {
    nothing_goes_wrong(Lies { waits_fail: true, ..Lies::default() });
    nothing_goes_wrong(Lies { looks_fail_once_switched_back: true, ..Lies::default() });
}
