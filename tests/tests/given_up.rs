//! Commands of hooks that are given up are over before anything says so, and before their undo begins.

use std::time::Duration;

use rustix::process::Signal;
use scenarios::eventually::eventually;
use scenarios::stack::Stack;
use scenarios::swap::Started;

use crate::common::holds_no_lock;

/// Works on until it is killed, and shows it.
const ENDLESS: &str = "trap : TERM; while :; do date +%s%N >/data/tick; sleep 0.05; done";
/// Notes whether the endless one still works.
const QUIET: &str = "a=$(cat /data/tick); sleep 0.5; b=$(cat /data/tick); [ $a = $b ] && echo quiet >>/data/seen || echo beside >>/data/seen";

/// A stack whose migration never ends.
fn migrated_for_ever(settings: &str) -> Stack {
    let stack = Stack::up();
    stack.hook("migrate");
    let line = |text: &str| text.replace('$', "$$").replace('"', "\\\"");
    let migrate = format!(
        "{{ use: hooks/migrate.wasm, config: {{ command: \"{}\", rollback: \"{}\" }} }}",
        line(ENDLESS),
        line(QUIET)
    );
    let with_hook = format!("health: ./healthcheck\n      hooks: [ {migrate} ]{settings}");
    stack.edit("docker-compose.yml", "health: ./healthcheck", &with_hook);
    stack.deploy("v2");
    stack
}

/// Waits until the endless command works.
#[track_caller]
fn works(stack: &Stack) {
    eventually("it works", Duration::from_secs(60), || {
        !stack.exec("app", "cat /data/tick 2>/dev/null || :").is_empty()
    });
}

/// Checks that it works no more, that its undo began when it was over, and that nothing of it is left.
#[track_caller]
fn is_over(stack: &Stack, seen: &str) {
    let tick = || stack.exec("app", "cat /data/tick");
    let before = tick();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(tick(), before, "it works on");
    assert_eq!(stack.exec("app", "cat /data/seen 2>/dev/null || :"), seen);
    assert_eq!(one_offs(stack), "");
    let clients = std::process::Command::new("pgrep").args(["-af", &format!("{}-app-swap-", stack.project)]).output();
    assert_eq!(String::from_utf8_lossy(&clients.expect("pgrep").stdout), "");
}

/// Returns the names of the project's one-off containers.
fn one_offs(stack: &Stack) -> String {
    let filter = format!("label=com.docker.compose.project={}", stack.project);
    let one_off = "label=com.docker.compose.oneoff=True";
    stack.docker(&["ps", "-a", "--filter", &filter, "--filter", one_off, "--format", "{{.Names}}"]).trim().to_owned()
}

#[test]
fn a_migration_that_is_interrupted_is_over_before_its_undo() {
    let stack = migrated_for_ever("");
    let before = stack.world();
    let swap: Started = stack.swap(["app"]).start();
    works(&stack);
    swap.signal(Signal::INT);
    let outcome = swap.expect_exit(4);
    outcome.talks_of("  rollback    app: migrate agreed");
    is_over(&stack, "quiet\n");
    assert_eq!(stack.world(), before);
    holds_no_lock(&stack);
}

#[test]
fn a_migration_that_outlasts_its_deadline_is_over_before_its_undo() {
    let stack = migrated_for_ever("\n      timeouts: { hook: 6s }");
    let outcome = stack.swap(["app"]).expect_exit(4);
    let late = "error: hook `migrate` (pre-start) aborted: no answer within [time]";
    outcome.talks_of(late);
    is_over(&stack, "quiet\n");
}

#[test]
fn a_migration_that_a_killed_swap_left_is_ended_first() {
    let stack = migrated_for_ever("");
    for next in [&["rollback", "app"][..], &["app"]] {
        stack.exec("app", "rm -f /data/tick /data/seen");
        let mut swap = stack.swap(["app"]).start();
        works(&stack);
        swap.kill();
        drop(swap);
        assert_ne!(one_offs(&stack), "", "the engine knows nothing of a killed client");
        let second = stack.swap(next).start();
        if next == ["app"] {
            // The killed run is cleaned up, and a second migration begins.
            eventually("the undo", Duration::from_secs(60), || {
                !stack.exec("app", "cat /data/seen 2>/dev/null || :").is_empty()
            });
            // Of the first one.
            stack.exec("app", "rm -f /data/tick");
            works(&stack);
            second.signal(Signal::TERM);
        }
        let outcome = second.expect_exit(4);
        outcome.talks_of("which a dead process had left, is over");
        is_over(&stack, if next == ["app"] { "quiet\nquiet\n" } else { "quiet\n" });
    }
}

#[test]
fn what_a_hook_by_hand_began_ends_with_it() {
    let stack = Stack::up();
    stack.hook("awkward");
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: ./healthcheck\n      timeouts: { hook: 3s }");
    for target in ["candidate", "one-off"] {
        let target = format!("target={target}");
        let line = format!("line={ENDLESS}");
        let run: [&str; 14] = [
            "hooks",
            "run",
            "hooks/awkward.wasm",
            "app",
            "--phase",
            "pre-swap",
            "--set",
            "in=pre-swap",
            "--set",
            "does=run",
            "--set",
            &target,
            "--set",
            &line,
        ];
        stack.exec("app", "rm -f /data/tick");
        let outcome = stack.swap(run).expect_exit(3);
        outcome.talks_of("(pre-swap) aborted: no answer within [time]");
        is_over(&stack, "");

        stack.exec("app", "rm -f /data/tick");
        let swap = stack.swap(run).start();
        works(&stack);
        swap.signal(Signal::INT);
        let outcome = swap.expect_exit(1);
        outcome.talks_of("SIGINT: hook `hooks/awkward.wasm` (pre-swap) was given up");
        is_over(&stack, "");

        stack.exec("app", "rm -f /data/tick");
        let mut swap = stack.swap(run).start();
        works(&stack);
        swap.kill();
        drop(swap);
        let outcome = stack.swap(["--timeout", "30s", "app"]).expect_exit(0);
        outcome.talks_of("which a dead process had left, is over");
        is_over(&stack, "");
    }
}

#[test]
fn one_offs_of_replicas_and_phases_do_not_meet() {
    let stack = Stack::builder().scale("app", 2).up();
    stack.hook("awkward");
    // The command takes its time, so that those of both replicas run at once, and is asked for again when the run unwinds.
    let line = "line=sleep 2; echo ran >>/data/ran";
    let health = ["--hooks", "hooks/awkward.wasm", "--set", "does=run", "--set", "target=one-off", "--set", line];
    stack.swap([&health[..], &["--set", "in=health", "app"]].concat()).expect_exit(0);
    let ran = stack.exec("app", "cat /data/ran").lines().count();
    assert!(ran >= 2, "{ran}");
    assert_eq!(one_offs(&stack), "");
}
