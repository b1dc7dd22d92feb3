//! The lock on the engine: runs on different machines, and of different users, never work on one service at once.

use std::time::Duration;

use rustix::process::Signal;
use scenarios::eventually::eventually;
use scenarios::stack::Stack;

use crate::common::{holds_no_lock, light_load, lost_nothing, says};

/// How long whatever is waited for may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_run_elsewhere_is_told_who_holds_the_service_and_may_wait() {
    let stack = patient_stack();
    let running = light_load(&stack);
    let mut first = stack.swap(["--output", "json", "app"]).start();
    first.until("healthy", "started");
    // Another machine has to see a sign of life; another user of this one sees the process.
    let busy = stack.swap(["app"]).elsewhere("far-away").expect_exit(6);
    says(&busy, &["another run holds `app`: pid [pid] of ", " since ", "swap --wait [time] app"]);
    let other_user = stack.swap(["app"]).env("SWAP_STATE_DIR", stack.state().join("other")).expect_exit(6);
    says(&other_user, &["another run holds `app`: pid [pid] of "]);
    says(&stack.swap(["status", "app"]).elsewhere("far-away").expect_exit(0), &["app: a run holds it: pid [pid] of "]);
    let waiting = stack.swap(["--wait", "170s", "-v", "app"]).elsewhere("far-away").start();
    stack.exec("app", "touch /data/go");
    first.expect_exit(0);
    waiting.expect_exit(0);
    lost_nothing(running);
    is_one(&stack, "v2");
}

#[test]
fn a_killed_run_is_followed_at_once_on_its_machine_and_after_a_silence_elsewhere() {
    let stack = patient_stack();
    let running = light_load(&stack);
    for elsewhere in [false, true] {
        let mut first = stack.swap(["--output", "json", "app"]).start();
        first.until("healthy", "started");
        first.signal(Signal::KILL);
        assert_eq!(first.wait().expect("its end").code, 137);
        assert!(!stack.marks().is_empty(), "a killed run lets go of nothing");
        stack.exec("app", "touch /data/go");
        let next = match elsewhere {
            true => stack.swap(["app"]).elsewhere("far-away"),
            false => stack.swap(["app"]).env("SWAP_STATE_DIR", stack.state().join("other")),
        };
        let next = next.expect_exit(0);
        says(&next, &["the run that held `app` is dead (pid [pid] of ", "taking over"]);
        assert_eq!(next.took > Duration::from_secs(10), elsewhere, "{:?}", next.took);
        stack.exec("app", "rm /data/go");
        assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
    }
    lost_nothing(running);
    // What the first ones have begun is settled: their own journals have nothing more to say.
    stack.exec("app", "touch /data/go");
    stack.swap(["app"]).expect_exit(0);
    is_one(&stack, "v2");
}

#[test]
fn a_run_that_slept_and_was_followed_does_nothing_more() {
    let stack = patient_stack();
    let running = light_load(&stack);
    let mut first = stack.swap(["--output", "json", "app"]).start();
    first.until("healthy", "started");
    first.signal(Signal::STOP);
    let second = stack.swap(["app"]).elsewhere("far-away").start();
    // The second one's candidate writes into the same volume when it is asked whether it is healthy.
    eventually("another run to take over", PATIENCE, || holder(&stack).contains(" on far-away "));
    stack.exec("app", "touch /data/go");
    second.expect_exit(0);
    let after = stack.world();
    first.signal(Signal::CONT);
    let lost = first.expect_exit(5);
    says(&lost, &["`app` was taken over by ", "no sign of life"]);
    lost_nothing(running);
    let settled =
        |world: &str| world.lines().filter(|line| !line.starts_with("open run")).collect::<Vec<_>>().join("\n");
    assert_eq!(settled(&stack.world()), settled(&after), "a run that lost its lock went on");
    stack.swap(["app"]).expect_exit(0);
    is_one(&stack, "v2");
}

#[test]
fn a_lock_that_somebody_pruned_is_made_again() {
    let stack = patient_stack();
    let mut first = stack.swap(["--output", "json", "app"]).start();
    first.until("healthy", "started");
    stack.docker(&["volume", "rm", &format!("swap-lock.{}.app", stack.project)]);
    eventually("the lock to be made again", PATIENCE, || !holder(&stack).is_empty());
    stack.exec("app", "touch /data/go");
    first.expect_exit(0);
    is_one(&stack, "v2");
}

/// A stack with v2 to swap to, whose candidates become healthy when they are allowed to.
#[track_caller]
fn patient_stack() -> Stack {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /data/go && ./healthcheck");
    stack.deploy("v2");
    stack
}

/// Returns who holds the service, as its status tells it.
#[track_caller]
fn holder(stack: &Stack) -> String {
    let status = stack.swap(["status", "app"]).expect_exit(0).stdout;
    status.lines().find(|line| line.contains("holds it")).unwrap_or_default().to_owned()
}

#[track_caller]
fn is_one(stack: &Stack, version: &str) {
    assert_eq!(stack.version().as_deref(), Ok(version));
    assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
    assert_eq!(stack.open_runs(), [""; 0]);
    holds_no_lock(stack);
}
