//! kill -9 at every step: users are served throughout, and whatever is typed next ends in one version and nothing else.

use scenarios::stack::Stack;
use serde_json::Value;

use crate::common::{
    compose_recreates_nothing, converged, holds_no_lock, is_settled, light_load, lost_nothing, swap_to,
};

/// Where a run is killed: when a step has begun, and when it is done. The late ones come first, because a run that began
/// without an upstream file has the most to undo there.
const BOUNDARIES: [(&str, &str); 14] = [
    ("drain", "started"),
    ("create", "started"),
    ("retire", "started"),
    ("healthy", "started"),
    ("switch", "started"),
    ("start", "done"),
    ("switch", "done"),
    ("drain", "done"),
    ("create", "done"),
    ("commit", "started"),
    ("commit", "done"),
    ("healthy", "done"),
    ("start", "started"),
    ("retire", "done"),
];

#[test]
fn swap_again_after_a_kill_swaps() {
    survive(Then::Again, third(0));
}

#[test]
fn resume_after_a_kill_finishes() {
    survive(Then::Resume, third(1));
}

#[test]
fn rollback_after_a_kill_unwinds() {
    survive(Then::Rollback, third(2));
}

#[test]
#[ignore = "takes minutes: every boundary with every way to go on"]
fn every_kill_and_every_way_to_go_on() {
    for then in [Then::Again, Then::Resume, Then::Rollback] {
        survive(then, BOUNDARIES.to_vec());
    }
}

#[test]
fn a_journal_that_is_lost_after_a_kill_leaves_the_world_to_believe() {
    let stack = Stack::up();
    let running = light_load(&stack);
    let boundaries = [
        ("adopt", "started"),
        ("healthy", "started"),
        ("switch", "done"),
        ("create", "started"),
        ("drain", "done"),
        ("retire", "started"),
        ("retire", "done"),
    ];
    for ((verb, event), version) in boundaries.into_iter().zip(["v2", "v1"].into_iter().cycle()) {
        println!("--- `{verb}` was `{event}`");
        stack.deploy(version);
        kill_at(&stack, verb, event);
        std::fs::remove_dir_all(stack.state()).expect("losing the journal");
        let outcome = stack.swap(["app"]).expect_exit(0);
        println!("{}{}", outcome.stderr, outcome.stdout);
        assert_eq!(stack.version().as_deref(), Ok(version));
        let containers = stack.containers("app");
        assert_eq!(containers.len(), 1, "{}", stack.world());
        is_settled(&stack, &containers);
    }
    // What people add after a swap is theirs and live, though no upstream file names it.
    stack.compose(&["up", "-d", "--no-recreate", "--scale", "app=2"]);
    swap_to(&stack, "v1");
    let containers = stack.containers("app");
    assert_eq!(containers.len(), 2, "{}", stack.world());
    is_settled(&stack, &containers);
    lost_nothing(running);
}

#[test]
fn a_worker_whose_journal_is_lost_is_not_doubled() {
    let stack = Stack::builder().worker("{ proxy: none }").up();
    for (verb, event) in [("healthy", "started"), ("commit", "done"), ("retire", "started")] {
        println!("--- `{verb}` was `{event}`");
        kill_swap_of("worker", &stack, verb, event);
        std::fs::remove_dir_all(stack.state()).expect("losing the journal");
        let before: Vec<String> = stack.containers("worker").into_iter().map(|container| container.id).collect();
        let outcome = stack.swap(["worker"]).expect_exit(0);
        println!("{}{}", outcome.stderr, outcome.stdout);
        let workers = stack.containers("worker");
        assert_eq!(workers.len(), 1, "{}", stack.world());
        assert!(workers[0].state == "running" && !before.contains(&workers[0].id), "{}", stack.world());
        assert_eq!(stack.open_runs(), [""; 0]);
        holds_no_lock(&stack);
    }
}

/// What is typed after the kill.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    Again,
    Resume,
    Rollback,
}

/// Every third boundary: with three ways to go on each has its turn.
fn third(first: usize) -> Vec<(&'static str, &'static str)> {
    BOUNDARIES.into_iter().skip(first).step_by(3).collect()
}

#[track_caller]
fn survive(then: Then, boundaries: Vec<(&'static str, &'static str)>) {
    let stack = Stack::up();
    let running = light_load(&stack);
    let mut serving = "v1";
    for (verb, event) in boundaries {
        let case = format!("{then:?} after `{verb}` was `{event}`");
        println!("--- {case}");
        let next = if serving == "v1" { "v2" } else { "v1" };
        stack.deploy(next);
        kill_at(&stack, verb, event);
        assert!(stack.version().is_ok(), "{case}: nobody serves");
        let left = Left::of(&stack);
        if left != Left::Nothing {
            let status = stack.swap(["status", "app"]).expect_exit(0);
            let end: Vec<&str> = status.stdout.lines().rev().take(2).collect();
            let expected = [
                "app: run [run] is unfinished: `swap resume app` finishes, `swap rollback app` unwinds",
                "app: the run that held it is dead: pid [pid] of [user] on [machine] since [when]; the next `swap` takes over",
            ];
            assert_eq!(end, expected, "{case}");
        }
        let (words, code, version): (&[&'static str], i32, &'static str) = match (then, left) {
            (Then::Again, _) => (&["app"], 0, next),
            (Then::Resume, _) => (&["resume", "app"], 0, next),
            (Then::Rollback, Left::Uncommitted) => (&["rollback", "app"], 4, serving),
            // A run that is committed only goes forward.
            (Then::Rollback, Left::Committed) => (&["rollback", "app"], 0, next),
            // Nothing is unfinished, so the last swap is what is gone back on.
            (Then::Rollback, Left::Nothing) => (&["rollback", "app"], 0, serving),
        };
        let outcome = stack.swap(words).expect_exit(code);
        println!("{}{}", outcome.stderr, outcome.stdout);
        converged(&stack, version, &running, &case);
        serving = version;
    }
    lost_nothing(running);
    // What was rolled back is still what the image's name means.
    stack.deploy(serving);
    compose_recreates_nothing(&stack);
}

/// Begins a swap and kills it, it alone, when a step has reached an event. What it started may go on to its end.
#[track_caller]
pub(crate) fn kill_at(stack: &Stack, verb: &str, event: &str) {
    kill_swap_of("app", stack, verb, event);
}

#[track_caller]
fn kill_swap_of(service: &'static str, stack: &Stack, verb: &str, event: &str) {
    let mut swap = stack.swap([service]).start();
    swap.until(verb, event);
    swap.kill();
    // At the last boundary it may have ended by itself.
    swap.expect_exit_of(&[137, 0]);
}

/// What a killed run has left.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Left {
    Nothing,
    Uncommitted,
    Committed,
}

impl Left {
    #[track_caller]
    fn of(stack: &Stack) -> Self {
        let open = stack.open_runs();
        let Some(journal) = open.first() else { return Left::Nothing };
        assert_eq!(open.len(), 1, "{open:?}");
        let lines: Vec<Value> = journal.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let steps = lines.first().and_then(|line| line["plan"]["steps"].as_array()).expect("a plan");
        let commit = steps.iter().position(|step| step["do"] == "commit").expect("a commit");
        let committed = lines.iter().any(|line| line["event"] == "done" && line["step"] == commit);
        if committed { Left::Committed } else { Left::Uncommitted }
    }
}
