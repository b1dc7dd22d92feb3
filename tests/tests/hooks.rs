//! Hooks on real stacks: what they decide happens, and what they may not do does not.

use std::time::Duration;

use scenarios::clients::Kind;
use scenarios::eventually::eventually;
use scenarios::http::Cause;
use scenarios::load::Running;
use scenarios::stack::Stack;

use crate::common::{changes_nothing, compose_recreates_nothing, light_load, lost_nothing, mixed_load, says};

#[test]
fn a_teams_policy_in_one_hook_guards_a_swap_under_load() {
    let stack = Stack::up();
    stack.hook("app");
    let running = mixed_load(&stack);
    stack.deploy("v2");
    let outcome = stack.swap(["--hooks", "hooks/app.wasm", "--watch", "3s", "app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    says(&outcome, &["pre-swap", "post-swap", "watch", "finish"]);
    compose_recreates_nothing(&stack);
}

#[test]
fn a_version_that_fails_after_the_switch_is_switched_back_by_the_teams_hook() {
    let stack = Stack::up();
    stack.hook("app");
    let running = flowing(&stack, "/version");
    stack.deploy("v3");
    let before = stack.world();
    let outcome = stack.swap(["--hooks", "hooks/app.wasm", "--watch", "30s", "app"]).expect_exit(4);
    says(&outcome, &["requests failed", "hook `app`"]);
    only_its_own_failures(running);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    assert_eq!(stack.world(), before);
}

#[test]
fn the_example_with_a_database_is_migrated_once_and_guarded() {
    let stack = Stack::postgres(|compose| compose.replace("watch: 20s", "watch: 12s"));
    let running = flowing(&stack, "/notes");

    stack.build("v2");
    let outcome = stack.swap(["app"]).expect_exit(0);
    assert_eq!(outcome.stderr.matches("the schema is at 2 now").count(), 1, "{}", outcome.stderr);
    assert_eq!(answered_by(&stack), "v2");
    // The first to ask finds it warm.
    assert_eq!(stack.get("/report").expect("the report").header("x-cache"), Some("hit"));
    let outcome = stack.swap(["app"]).expect_exit(0);
    assert!(!outcome.stderr.contains("the schema is at"), "it was migrated again\n{}", outcome.stderr);
    assert_eq!(running.counts().1, 0);

    stack.build("v3");
    let before = stack.containers("app");
    let outcome = stack.swap(["app"]).expect_exit(4);
    says(&outcome, &["hook `slo-guard`", "requests failed since the switch"]);
    assert_eq!(stack.containers("app"), before);
    assert_eq!(answered_by(&stack), "v2");
    only_its_own_failures(running);
    // Whatever the rollback did, the schema is still what the live version needs.
    assert_eq!(stack.get("/up").expect("an answer").status, 200);
}

#[test]
fn a_migration_that_fails_leaves_everything_as_it_was() {
    let stack = Stack::up();
    stack.hook("migrate");
    let migrate = "{ use: hooks/migrate.wasm, config: { command: \"echo no such table; exit 3\" } }";
    stack.edit(
        "docker-compose.yml",
        "health: ./healthcheck",
        &format!("health: ./healthcheck\n      hooks: [ {migrate} ]"),
    );
    stack.deploy("v2");
    let outcome = changes_nothing(&stack, &["app"], 4);
    says(&outcome, &["hook `migrate`", "no such table"]);
}

#[test]
fn a_killed_run_with_hooks_is_resumed_and_rolled_back_with_them() {
    let stack = Stack::up();
    stack.hook("migrate");
    let migrate =
        "{ use: hooks/migrate.wasm, config: { command: echo up >>/data/steps, rollback: echo down >>/data/steps } }";
    stack.edit(
        "docker-compose.yml",
        "health: ./healthcheck",
        &format!("health: ./healthcheck\n      hooks: [ {migrate} ]"),
    );
    let running = light_load(&stack);
    for (words, code, version, steps) in
        [(["rollback", "app"], 4, "v1", "up\ndown\n"), (["resume", "app"], 0, "v2", "up\ndown\nup\n")]
    {
        stack.deploy("v2");
        crate::kills::kill_at(&stack, "healthy", "started");
        stack.swap(words).expect_exit(code);
        assert_eq!(stack.version().as_deref(), Ok(version));
        assert_eq!(stack.exec("app", "cat /data/steps"), steps);
        assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
        assert_eq!(stack.open_runs(), [""; 0]);
    }
    lost_nothing(running);
}

#[test]
fn a_grant_that_is_missing_is_told_and_nothing_is_touched() {
    let stack = Stack::up();
    stack.hook("notify");
    stack.deploy("v2");
    // What a hook can't do without is refused when it is loaded.
    stack.hook("needy");
    let before = stack.world();
    let outcome = stack.swap(["--hooks", "hooks/needy.wasm", "app"]).expect_exit(3);
    says(&outcome, &["hook `needy`", "allow: [ \"exec:nginx\" ]", "--allow exec:nginx"]);
    assert_eq!(stack.world(), before);
    // What depends on the call is refused when it is made.
    stack.hook("awkward");
    let reach_out: [&'static str; 7] =
        ["--hooks", "hooks/awkward.wasm", "--set", "in=pre-start", "--set", "does=reach out", "app"];
    let outcome = changes_nothing(&stack, &reach_out, 4);
    says(&outcome, &["hook `awkward`", "allow: [ \"exec:nginx\" ]", "--allow exec:nginx"]);
    // With the line that it named it is let.
    stack.swap([&["--allow", "exec:nginx"], &reach_out[..]].concat()).expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn a_hook_that_loops_or_panics_unwinds_the_run() {
    let stack = Stack::up();
    stack.hook("awkward");
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: ./healthcheck\n      timeouts: { hook: 2s }");
    stack.deploy("v2");
    for (phase, does, reason) in [
        ("in=pre-start", "does=loop", "no answer within"),
        ("in=health", "does=panic", "nobody expected this"),
        ("in=pre-swap", "does=panic", "nobody expected this"),
        ("in=post-swap", "does=loop", "no answer within"),
    ] {
        let outcome =
            changes_nothing(&stack, &["--hooks", "hooks/awkward.wasm", "--set", phase, "--set", does, "app"], 4);
        says(&outcome, &["hook `awkward`", reason]);
        assert!(outcome.took < Duration::from_secs(120), "{phase} {does} took {:?}", outcome.took);
    }
}

/// A few clients on pages that any version serves.
fn flowing(stack: &Stack, path: &str) -> Running {
    let mut load = stack.load().mix([(Kind::Get, 4), (Kind::NewGet, 4), (Kind::Silent, 2)]);
    load.paths.get = path.into();
    load.silence = Duration::from_secs(1);
    let running = load.start().expect("the load");
    eventually("answers", Duration::from_secs(60), || running.counts().0 > 100);
    running
}

/// Stops a load of which nothing was lost but what v3 itself answered with 500.
#[track_caller]
fn only_its_own_failures(running: Running) {
    let report = running.stop().expect("the report");
    println!("{report}");
    assert!(report.versions.contains_key("v3"), "v3 never served");
    let foreign: Vec<_> = report.failures.iter().filter(|failed| failed.cause != Cause::Status(500)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[track_caller]
fn answered_by(stack: &Stack) -> String {
    let answer = stack.get("/version").expect("an answer");
    answer.header("x-version").unwrap_or_default().to_owned()
}
