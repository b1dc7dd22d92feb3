//! Ctrl-C and SIGTERM at each step: before the commit the run is unwound, after it the run goes on.

use expect_test::{Expect, expect};
use rustix::process::Signal;
use scenarios::stack::Stack;
use scenarios::transcript::{SWAPPED, SWITCHED_BACK, UNWOUND};

use crate::common::{holds_no_lock, is_as_before, light_load, lost_nothing, tells_but};

#[test]
fn ctrl_c_while_creating_unwinds() {
    unwinds(
        "create",
        Signal::INT,
        UNWOUND,
        expect![[r#"
                create      app: [project]-app-2 from [project]-app ([id])  [time]
            -   start       app: [project]-app-2 runs  [time]
            -   stop        app: what was started is stopped  [time]
            + SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
        "#]],
    );
}

#[test]
fn ctrl_c_while_starting_unwinds() {
    unwinds(
        "start",
        Signal::INT,
        UNWOUND,
        expect![[r#"
                start       app: [project]-app-2 runs  [time]
            + SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
        "#]],
    );
}

#[test]
fn ctrl_c_while_waiting_for_health_unwinds() {
    unwinds(
        "healthy",
        Signal::INT,
        UNWOUND,
        expect![[r#"
                start       app: [project]-app-2 runs  [time]
            + SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
        "#]],
    );
}

#[test]
fn ctrl_c_while_switching_unwinds() {
    unwinds(
        "switch",
        Signal::INT,
        SWITCHED_BACK,
        expect![[r#"
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            + SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
        "#]],
    );
}

#[test]
fn ctrl_c_while_draining_unwinds() {
    unwinds(
        "drain",
        Signal::INT,
        SWITCHED_BACK,
        expect![[r#"
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            + SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
        "#]],
    );
}

#[test]
fn sigterm_while_waiting_for_health_unwinds() {
    unwinds(
        "healthy",
        Signal::TERM,
        UNWOUND,
        expect![[r#"
                start       app: [project]-app-2 runs  [time]
            + SIGTERM: unwinding, nothing is left behind (once more leaves the run as it is)
        "#]],
    );
}

#[test]
fn ctrl_c_after_the_commit_changes_nothing() {
    let stack = Stack::up();
    stack.deploy("v2");
    let running = light_load(&stack);
    let mut swap = stack.swap(["app"]).start();
    swap.until("retire", "started");
    swap.signal(Signal::INT);
    tells_but(
        &swap.expect_exit(0),
        SWAPPED,
        expect![[r#"
                retire      app: [project]-app-1 stopped and removed  [time]
            + SIGINT: too late to unwind, the run goes on to its end (once more leaves the run as it is)
        "#]],
    );
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_eq!(stack.containers("app").len(), 1);
    holds_no_lock(&stack);
}

/// Interrupts a run when a step has begun, and checks what it tells otherwise than the transcript, that v1 serves on and that
/// nothing is left.
#[track_caller]
fn unwinds(verb: &str, signal: Signal, transcript: &str, differences: Expect) {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let running = light_load(&stack);
    let mut swap = stack.swap(["app"]).start();
    swap.until(verb, "started");
    swap.signal(signal);
    tells_but(&swap.expect_exit(4), transcript, differences);
    lost_nothing(running);
    is_as_before(&stack, &before);
    holds_no_lock(&stack);
}
