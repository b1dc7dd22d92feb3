//! Many who swap at once: one at a time holds the service, and never are there more containers than there should be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use expect_test::expect;
use scenarios::eventually::eventually;
use scenarios::stack::Stack;
use scenarios::swap::Swap;

use crate::common::{go, holds_no_lock, light_load, lost_nothing, shows, waits_for_go};

/// How long one may wait for all others.
const LIMIT: Duration = Duration::from_secs(3600);

/// How many: `SWAP_TEST_CROWD`, else few enough for every day.
fn crowd(default: usize) -> usize {
    std::env::var("SWAP_TEST_CROWD").ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

#[test]
fn of_many_swaps_at_once_one_swaps_and_the_others_are_told_who() {
    let stack = Stack::up();
    // The one that swaps has not swapped before the others have given up.
    waits_for_go(&stack);
    stack.deploy("v2");
    let running = light_load(&stack);
    let (count, ended) = (crowd(8), AtomicUsize::new(0));
    let mut codes: Vec<i32> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..count)
            .map(|caller| {
                let (stack, ended) = (&stack, &ended);
                scope.spawn(move || {
                    let call = from_one_of_three(stack.swap(["app"]), stack, caller);
                    let outcome = call.start().expect_exit_of(&[0, 6]);
                    ended.fetch_add(1, Ordering::Relaxed);
                    if outcome.code != 0 {
                        shows(
                            &outcome,
                            expect![[r#"
                                error: another run holds `app`: pid [pid] of [user] on [machine] since [when]
                                hint: wait for it with `swap --wait [time] app`
                            "#]],
                        );
                    }
                    outcome.code
                })
            })
            .collect();
        eventually("all but one to end", Duration::from_secs(170), || ended.load(Ordering::Relaxed) + 1 >= count);
        go(&stack);
        calls.into_iter().map(|call| call.join().expect("a call")).collect()
    });
    codes.sort_unstable();
    let expected: Vec<i32> = std::iter::once(0).chain(vec![6; count - 1]).collect();
    assert_eq!(codes, expected);
    lost_nothing(running);
    is_one(&stack);
}

#[test]
fn many_swaps_that_wait_for_each_other_all_swap() {
    let stack = Stack::up();
    stack.deploy("v2");
    let running = light_load(&stack);
    std::thread::scope(|scope| {
        for caller in 0..crowd(4) {
            let call = from_one_of_three(stack.swap(["--wait", "1h", "app"]).limit(LIMIT), &stack, caller);
            scope.spawn(|| call.expect_exit(0));
        }
    });
    lost_nothing(running);
    is_one(&stack);
}

/// Two users with folders of their own, and a third with the folder of the tests: the files of one say nothing to another.
fn from_one_of_three<'a>(call: Swap<'a>, stack: &Stack, caller: usize) -> Swap<'a> {
    match caller % 3 {
        0 => call,
        other => call.env("SWAP_STATE_DIR", stack.state().join(format!("user-{other}"))),
    }
}

#[track_caller]
fn is_one(stack: &Stack) {
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
    assert_eq!(stack.open_runs(), [""; 0]);
    holds_no_lock(stack);
}
