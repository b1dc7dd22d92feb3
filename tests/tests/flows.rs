//! The main job, seen from the front door.

use std::time::Duration;

use scenarios::eventually::eventually;
use scenarios::stack::Stack;

use crate::common::{changes_nothing, compose_recreates_nothing, light_load, lost_nothing, mixed_load, says};

#[test]
fn swap_under_mixed_load_loses_nothing() {
    swaps_under_mixed_load(4);
}

#[test]
#[ignore = "takes minutes: SWAP_TEST_SWAPS swaps, 100 unless set"]
fn a_hundred_swaps_under_mixed_load_lose_nothing() {
    let count = std::env::var("SWAP_TEST_SWAPS").ok().and_then(|count| count.parse().ok());
    swaps_under_mixed_load(count.unwrap_or(100));
}

#[track_caller]
fn swaps_under_mixed_load(count: usize) {
    let stack = Stack::up();
    let running = mixed_load(&stack);
    for version in ["v2", "v1"].into_iter().cycle().take(count) {
        stack.deploy(version);
        stack.swap(["app"]).expect_exit(0);
        assert_eq!(stack.version().as_deref(), Ok(version));
        let answers = running.counts().0;
        eventually("more answers", Duration::from_secs(60), || running.counts().0 > answers + 200);
    }
    lost_nothing(running);
    assert_eq!(stack.containers("app").len(), 1);
    compose_recreates_nothing(&stack);
}

#[test]
fn swap_tells_each_step_and_ends_in_a_fact() {
    let stack = Stack::up();
    stack.deploy("v2");
    let outcome = stack.swap(["app"]).expect_exit(0);
    let verbs: Vec<&str> =
        outcome.stderr.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    assert_eq!(verbs, ["adopt", "create", "start", "healthy", "switch", "drain", "retire"], "{}", outcome.stderr);
    let fact = "swapped app: [project]-app-1 → [project]-app-2 in [time] (";
    assert!(outcome.stdout.starts_with(fact) && outcome.stdout.lines().count() == 1, "{}", outcome.stdout);
}

#[test]
fn the_oldest_form_with_a_health_command_swaps() {
    let stack = Stack::builder().compose("    x-swap:\n      health: ./healthcheck\n", "").up();
    let running = light_load(&stack);
    stack.deploy("v2");
    stack.swap(["app", "./healthcheck"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn plan_changes_nothing() {
    let stack = Stack::up();
    stack.deploy("v2");
    let outcome = changes_nothing(&stack, &["plan", "app"], 0);
    says(&outcome, &["[project]-app-1", "create", "healthy", "switch", "drain", "retire"]);
}

#[test]
fn three_replicas_are_replaced_by_three() {
    let stack = Stack::builder().scale("app", 3).up();
    let before = stack.containers("app");
    let running = mixed_load(&stack);
    stack.deploy("v2");
    stack.swap(["app"]).expect_exit(0);
    lost_nothing(running);
    let after = stack.containers("app");
    assert_eq!((before.len(), after.len()), (3, 3));
    assert!(after.iter().all(|new| new.state == "running" && before.iter().all(|old| old.id != new.id)), "{after:?}");
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn a_worker_without_a_proxy_is_swapped() {
    let stack = Stack::builder().worker("{ proxy: none }").up();
    let before = stack.containers("worker");
    stack.deploy("v2");
    stack.swap(["worker"]).expect_exit(0);
    let after = stack.containers("worker");
    assert_eq!(after.len(), 1);
    assert_ne!(after[0].id, before[0].id);
    // The new one started before the old one stopped.
    assert_eq!(stack.exec("worker", "cat /data/life"), "start\nstart\nstop\n");
}

#[test]
fn a_worker_that_must_never_run_twice_never_does() {
    let stack = Stack::builder().worker("{ proxy: none, order: stop-first }").up();
    stack.deploy("v2");
    let outcome = stack.swap(["worker"]).expect_exit(0);
    assert_eq!(stack.exec("worker", "cat /data/life"), "start\nstop\nstart\n");
    says(&outcome, &["nobody served for [time]"]);
}

#[test]
fn several_services_are_swapped_in_one_run() {
    let stack = Stack::builder().worker("{ proxy: none }").up();
    let before = (stack.containers("app"), stack.containers("worker"));
    let running = light_load(&stack);
    stack.deploy("v2");
    stack.swap(["app", "worker"]).expect_exit(0);
    lost_nothing(running);
    let after = (stack.containers("app"), stack.containers("worker"));
    assert_eq!((after.0.len(), after.1.len()), (1, 1));
    assert!(after.0[0].id != before.0[0].id && after.1[0].id != before.1[0].id);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn several_services_are_unwound_together() {
    let stack = Stack::builder().worker("{ proxy: none }").up();
    stack.edit("docker-compose.yml", "echo start >>/data/life;", "exit 7;");
    changes_nothing(&stack, &["app", "worker"], 4);
}

#[test]
fn php_behind_fastcgi_is_swapped_under_load() {
    let stack = Stack::builder().fpm().up();
    let running = mixed_load(&stack);
    stack.deploy("fpm-v2");
    stack.swap(["app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn an_nginx_that_knows_no_resolve_serves_new_connections_throughout() {
    let stack = Stack::builder().old_nginx("bookworm").up();
    let load = stack.load().mix([
        (scenarios::clients::Kind::NewGet, 8),
        (scenarios::clients::Kind::NewPost, 4),
        (scenarios::clients::Kind::Slow, 2),
    ]);
    let running = load.start().expect("the load");
    eventually("answers", Duration::from_secs(60), || running.counts().0 > 100);
    stack.deploy("v2");
    let outcome = stack.swap(["app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    // It says once what an old nginx costs.
    says(&outcome, &["keepalive_min_timeout"]);
}

#[test]
fn the_project_is_found_from_another_folder() {
    let stack = Stack::up();
    stack.deploy("v2");
    let file = stack.path("docker-compose.yml").display().to_string();
    let file: &'static str = Box::leak(file.into_boxed_str());
    stack.swap(["-f", file, "app"]).from_folder("/").expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn an_old_container_that_ignores_sigterm_is_killed_after_its_grace_period() {
    let stack = Stack::builder()
        .compose(
            "    stop_grace_period: 10s\n",
            "    stop_grace_period: 2s\n    command: [\"sh\", \"-c\", \"./serve & while :; do sleep 1; done\"]\n",
        )
        .up();
    let running = light_load(&stack);
    stack.deploy("v2");
    stack.swap(["app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.containers("app").len(), 1);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn a_restarted_nginx_finds_what_the_swap_made_live() {
    let stack = Stack::up();
    stack.deploy("v2");
    stack.swap(["app"]).expect_exit(0);
    stack.compose(&["restart", "nginx"]);
    scenarios::stack::serves(&stack, "v2");
}
