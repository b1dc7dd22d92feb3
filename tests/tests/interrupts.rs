//! Ctrl-C and SIGTERM at each step: before the commit the run is unwound, after it the run goes on.

use rustix::process::Signal;
use scenarios::stack::Stack;

use crate::common::{holds_no_lock, light_load, lost_nothing};

#[test]
fn ctrl_c_while_creating_unwinds() {
    unwinds("create", Signal::INT);
}

#[test]
fn ctrl_c_while_starting_unwinds() {
    unwinds("start", Signal::INT);
}

#[test]
fn ctrl_c_while_waiting_for_health_unwinds() {
    unwinds("healthy", Signal::INT);
}

#[test]
fn ctrl_c_while_switching_unwinds() {
    unwinds("switch", Signal::INT);
}

#[test]
fn ctrl_c_while_draining_unwinds() {
    unwinds("drain", Signal::INT);
}

#[test]
fn sigterm_while_waiting_for_health_unwinds() {
    unwinds("healthy", Signal::TERM);
}

#[test]
fn ctrl_c_after_the_commit_changes_nothing() {
    let stack = Stack::up();
    stack.deploy("v2");
    let running = light_load(&stack);
    let mut swap = stack.swap(["--output", "json", "app"]).start();
    swap.until("retire", "started");
    swap.signal(Signal::INT);
    swap.expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_eq!(stack.containers("app").len(), 1);
    holds_no_lock(&stack);
}

/// Interrupts a run when a step has begun, and checks that v1 serves on and nothing is left.
#[track_caller]
fn unwinds(verb: &str, signal: Signal) {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let running = light_load(&stack);
    let mut swap = stack.swap(["--output", "json", "app"]).start();
    swap.until(verb, "started");
    swap.signal(signal);
    swap.expect_exit(4);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    assert_eq!(stack.world(), before, "something was left behind");
    holds_no_lock(&stack);
}
