//! The lock on the engine: runs on different machines, and of different users, never work on one service at once.

use std::time::Duration;

use expect_test::expect;
use rustix::process::Signal;
use scenarios::eventually::eventually;
use scenarios::stack::Stack;

use crate::common::{go, holds_no_lock, light_load, lost_nothing, shows};

/// How long whatever is waited for may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_run_elsewhere_is_told_who_holds_the_service_and_may_wait() {
    let stack = patient_stack();
    let running = light_load(&stack);
    let mut first = stack.swap(["app"]).start();
    first.until("healthy", "started");
    // Another machine has to see a sign of life; another user of this one sees the process.
    let busy = stack.swap(["app"]).elsewhere("far-away").expect_exit(6);
    shows(
        &busy,
        expect![[r#"
        another run holds `app`: pid [pid] of [user] on [machine] since [when]; looking whether it lives
        error: another run holds `app`: pid [pid] of [user] on [machine] since [when]
        hint: wait for it with `swap --wait [time] app`
    "#]],
    );
    let other_user = stack.swap(["app"]).env("SWAP_STATE_DIR", stack.state().join("other")).expect_exit(6);
    shows(
        &other_user,
        expect![[r#"
        error: another run holds `app`: pid [pid] of [user] on [machine] since [when]
        hint: wait for it with `swap --wait [time] app`
    "#]],
    );
    shows(
        &stack.swap(["status", "app"]).elsewhere("far-away").expect_exit(0),
        expect![[r#"
        > SERVICE  LIVE  SINCE  IMAGE  LAST RUN  UPSTREAM
        > app  [project]-app-1  [when]  [project]-app [id]  -  /etc/nginx/swap/app.conf (run [run])
        > app: [project]-app-2 runs beside and gets no requests
        > app: a run holds it: pid [pid] of [user] on [machine] since [when]
    "#]],
    );
    let waiting = stack.swap(["--wait", "170s", "app"]).elsewhere("far-away").start();
    go(&stack);
    first.expect_exit(0);
    shows(
        &waiting.expect_exit(0),
        expect![[r#"
            another run holds `app`: pid [pid] of [user] on [machine] since [when]; looking whether it lives
            swap app (project [project], run [run])
            note: `[project]-app` is the image that runs already: right for a change of the compose file, but a new version is built first
              adopt       app: /etc/nginx/swap/app.conf names [project]-app-2 ([ip]:80)  [time]
              create      app: [project]-app-3 from [project]-app ([id])  [time]
              start       app: [project]-app-3 runs  [time]
              healthy     app: [project]-app-3 is healthy  [time]
              switch      app: nginx sends new requests to [project]-app-3 ([ip]:80)  [time]
              drain       app: nothing uses [project]-app-2 any more  [time]
              retire      app: [project]-app-2 stopped and removed  [time]
            > swapped app: [project]-app-2 → [project]-app-3 in [time] ([steps])
        "#]],
    );
    lost_nothing(running);
    is_one(&stack, "v2");
}

#[test]
fn a_killed_run_is_followed_at_once_on_its_machine_and_after_a_silence_elsewhere() {
    let stack = patient_stack();
    let running = light_load(&stack);
    for (elsewhere, expected) in [
        (
            false,
            expect![[r#"
        the run that held `app` is dead (pid [pid] of [user] on [machine] since [when]): taking over
        run [run] has no journal here: what it did is told by what is there
        run [run] was left unfinished: cleaning up first
          switch-back app: nginx sends new requests to [project]-app-1 ([ip]:80) again  [time]
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        run [run] is cleaned up
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     app: [project]-app-2 is healthy  [time]
          switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
          drain       app: nothing uses [project]-app-1 any more  [time]
          retire      app: [project]-app-1 stopped and removed  [time]
        > swapped app: [project]-app-1 → [project]-app-2 in [time] ([steps])
    "#]],
        ),
        (
            true,
            expect![[r#"
                another run holds `app`: pid [pid] of [user] on [machine] since [when]; looking whether it lives
                the run that held `app` is dead (pid [pid] of [user] on [machine] since [when]): taking over
                run [run] has no journal here: what it did is told by what is there
                run [run] was left unfinished: cleaning up first
                  switch-back app: nginx sends new requests to [project]-app-2 ([ip]:80) again  [time]
                  stop        app: what was started is stopped  [time]
                  remove      app: what was created is removed  [time]
                run [run] is cleaned up
                swap app (project [project], run [run])
                note: `[project]-app` is the image that runs already: right for a change of the compose file, but a new version is built first
                  adopt       app: /etc/nginx/swap/app.conf names [project]-app-2 ([ip]:80)  [time]
                  create      app: [project]-app-3 from [project]-app ([id])  [time]
                  start       app: [project]-app-3 runs  [time]
                  healthy     app: [project]-app-3 is healthy  [time]
                  switch      app: nginx sends new requests to [project]-app-3 ([ip]:80)  [time]
                  drain       app: nothing uses [project]-app-2 any more  [time]
                  retire      app: [project]-app-2 stopped and removed  [time]
                > swapped app: [project]-app-2 → [project]-app-3 in [time] ([steps])
            "#]],
        ),
    ] {
        let mut first = stack.swap(["app"]).start();
        first.until("healthy", "started");
        first.kill();
        first.expect_exit(137);
        assert!(!stack.marks().is_empty(), "a killed run lets go of nothing");
        go(&stack);
        let next = match elsewhere {
            true => stack.swap(["app"]).elsewhere("far-away"),
            false => stack.swap(["app"]).env("SWAP_STATE_DIR", stack.state().join("other")),
        };
        let next = next.expect_exit(0);
        shows(&next, expected);
        assert_eq!(next.took > Duration::from_secs(10), elsewhere, "{:?}", next.took);
        stack.exec("app", "rm /data/go");
        assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
    }
    lost_nothing(running);
    // What the first ones have begun is settled: their own journals have nothing more to say.
    go(&stack);
    stack.swap(["app"]).expect_exit(0);
    is_one(&stack, "v2");
}

#[test]
fn a_run_that_slept_and_was_followed_does_nothing_more() {
    let stack = patient_stack();
    let running = light_load(&stack);
    let mut first = stack.swap(["app"]).start();
    first.until("healthy", "started");
    first.signal(Signal::STOP);
    let second = stack.swap(["app"]).elsewhere("far-away").start();
    // The second one's candidate writes into the same volume when it is asked whether it is healthy.
    eventually("another run to take over", PATIENCE, || holder(&stack).contains(" on far-away "));
    go(&stack);
    second.expect_exit(0);
    let after = stack.world();
    first.signal(Signal::CONT);
    let lost = first.expect_exit(5);
    shows(
        &lost,
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     failed: candidate `[project]-app-2` was removed  [time]
        error: `app` was taken over by a run that is over: this process gave no sign of life for too long
        hint: `swap status` tells what serves now
        > left as it is: another run has taken over
    "#]],
    );
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
    let mut first = stack.swap(["app"]).start();
    first.until("healthy", "started");
    stack.docker(&["volume", "rm", &format!("swap-lock.{}.app", stack.project)]);
    eventually("the lock to be made again", PATIENCE, || !holder(&stack).is_empty());
    go(&stack);
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
