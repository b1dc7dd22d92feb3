//! Ctrl-C and SIGTERM at each step: before the commit the run is unwound, after it the run goes on.

use expect_test::{Expect, expect};
use rustix::process::Signal;
use scenarios::stack::Stack;

use crate::common::{holds_no_lock, light_load, lost_nothing, shows};

#[test]
fn ctrl_c_while_creating_unwinds() {
    unwinds(
        "create",
        Signal::INT,
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
        SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
}

#[test]
fn ctrl_c_while_starting_unwinds() {
    unwinds(
        "start",
        Signal::INT,
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
        SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
}

#[test]
fn ctrl_c_while_waiting_for_health_unwinds() {
    unwinds(
        "healthy",
        Signal::INT,
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
        SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
}

#[test]
fn ctrl_c_while_switching_unwinds() {
    unwinds(
        "switch",
        Signal::INT,
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     app: [project]-app-2 is healthy  [time]
          switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
        SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
          switch-back app: nginx sends new requests to [project]-app-1 ([ip]:80) again  [time]
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
}

#[test]
fn ctrl_c_while_draining_unwinds() {
    unwinds(
        "drain",
        Signal::INT,
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     app: [project]-app-2 is healthy  [time]
          switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
        SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
          switch-back app: nginx sends new requests to [project]-app-1 ([ip]:80) again  [time]
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
}

#[test]
fn sigterm_while_waiting_for_health_unwinds() {
    unwinds(
        "healthy",
        Signal::TERM,
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
        SIGTERM: unwinding, nothing is left behind (once more leaves the run as it is)
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
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
    shows(
        &swap.expect_exit(0),
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     app: [project]-app-2 is healthy  [time]
          switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
          drain       app: nothing uses [project]-app-1 any more  [time]
          retire      app: [project]-app-1 stopped and removed  [time]
        SIGINT: too late to unwind, the run goes on to its end (once more leaves the run as it is)
        > swapped app: [project]-app-1 → [project]-app-2 in [time] ([steps])
    "#]],
    );
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_eq!(stack.containers("app").len(), 1);
    holds_no_lock(&stack);
}

/// Interrupts a run when a step has begun, and checks that v1 serves on and nothing is left.
#[track_caller]
fn unwinds(verb: &str, signal: Signal, expected: Expect) {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let running = light_load(&stack);
    let mut swap = stack.swap(["app"]).start();
    swap.until(verb, "started");
    swap.signal(signal);
    shows(&swap.expect_exit(4), expected);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    assert_eq!(stack.world(), before, "something was left behind");
    holds_no_lock(&stack);
}
