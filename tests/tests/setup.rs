//! From the stacks that people have to the first swap without a lost request, and no file edited by hand.

use std::time::Duration;

use expect_test::{Expect, expect};
use regex_lite::Regex;
use scenarios::clients::Kind;
use scenarios::eventually::eventually;
use scenarios::stack::{Builder, Stack, serves};
use scenarios::swap::Outcome;

use crate::common::{lost_nothing, mixed_load, shows};

/// Lets `swap init` prepare a service of the stack, types what it says, and swaps the service under load; then there is
/// nothing left to do.
#[track_caller]
fn set_up_and_swapped(builder: Builder, service: &'static str, next: &str, proposal: Expect) -> Stack {
    let stack = builder.up();
    let before = stack.containers(service);
    let proposed = anywhere(stack.swap(["init", service]).expect_exit(0));
    shows(&proposed, proposal);
    set_up(&stack, service, &proposed);
    serves(&stack, "v1");
    let running = mixed_load(&stack);
    stack.deploy(next);
    stack.swap([service]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_ne!(stack.containers(service)[0].id, before[0].id);
    is_ready(&stack, service);
    stack
}

/// Lets `swap init` write what it has proposed, and types what it says next.
#[track_caller]
fn set_up(stack: &Stack, service: &'static str, proposed: &Outcome) {
    let written = stack.swap(["init", service, "--write"]).expect_exit(0);
    assert_eq!(proposed.stdout, written.stdout, "what is written is not what was proposed");
    let typed = |line: &str| line.split_once("compose ").map(|(_, words)| words.to_owned());
    let next: Vec<String> =
        written.stderr.lines().filter(|line| line.starts_with("  docker")).filter_map(typed).collect();
    assert!(!next.is_empty(), "{}", written.stderr);
    for line in next {
        let words: Vec<&str> = line.split("  ").next().unwrap_or_default().split(' ').collect();
        stack.compose(&words);
    }
}

#[track_caller]
fn is_ready(stack: &Stack, service: &'static str) {
    let again = stack.swap(["init", service, "--write"]).expect_exit(0);
    assert_eq!(again.stdout, format!("nothing to do: `{service}` is ready for `swap {service}`\n"));
    let examined = stack.swap(["doctor", service]).expect_exit(0);
    assert!(examined.stdout.ends_with("ready to swap\n"), "{}", examined.stdout);
}

/// Takes out what differs from machine to machine: versions, and the name of the compose tool.
fn anywhere(outcome: Outcome) -> Outcome {
    let version = Regex::new(r"\b\d+\.\d+\.\d+\b").expect("a pattern");
    let without = |text: &str| version.replace_all(text, "[version]").replace("docker-compose ", "docker compose ");
    Outcome { stdout: without(&outcome.stdout), stderr: without(&outcome.stderr), ..outcome }
}

#[test]
fn php_fpm_behind_an_nginx_that_is_built_goes_from_nothing_to_its_first_swap() {
    set_up_and_swapped(Stack::of("php-fpm", "fpm-v1"), "app", "fpm-v2", expect![[r#""#]]);
}

#[test]
fn node_goes_from_nothing_to_its_first_swap() {
    set_up_and_swapped(Stack::of("node", "node-v1"), "app", "node-v2", expect![[r#""#]]);
}

#[test]
fn python_under_gunicorn_goes_from_nothing_to_its_first_swap() {
    set_up_and_swapped(Stack::of("wsgi", "wsgi-v1"), "web", "wsgi-v2", expect![[r#""#]]);
}

#[test]
fn one_of_several_services_goes_from_nothing_to_its_first_swap_and_another_follows() {
    let stack = set_up_and_swapped(Stack::of("several", "wsgi-v1"), "app", "wsgi-v2", expect![[r#""#]]);
    let proposed = anywhere(stack.swap(["init", "admin"]).expect_exit(0));
    shows(&proposed, expect![[r#""#]]);
    set_up(&stack, "admin", &proposed);
    let mut load = stack.load().mix([(Kind::Get, 8), (Kind::NewGet, 4), (Kind::Slow, 2)]);
    load.paths.get = "/admin/version".into();
    load.paths.slow = "/admin/slow?ms=1000".into();
    let running = load.start().expect("the load");
    eventually("answers", Duration::from_secs(60), || running.counts().0 >= 100);
    let before = stack.containers("admin");
    stack.swap(["admin"]).expect_exit(0);
    lost_nothing(running);
    assert_ne!(stack.containers("admin")[0].id, before[0].id);
    is_ready(&stack, "admin");
}

#[test]
fn what_only_people_can_do_is_told_and_nothing_is_written() {
    let stack = Stack::builder()
        .plain(3000, "proxy_pass http://app:3000")
        .compose(
            "services:\n  nginx:\n",
            "x-files: &files\n  - ./nginx.conf:/etc/nginx/nginx.conf:ro\n\nservices:\n  nginx:\n",
        )
        .compose("    volumes:\n      - ./nginx.conf:/etc/nginx/nginx.conf:ro\n", "    volumes: *files\n")
        .up();
    let before = stack.world();
    shows(&anywhere(stack.swap(["init", "app", "--write"]).expect_exit(3)), expect![[r#""#]]);
    assert_eq!(stack.world(), before);
    // The doctor says the same from the other side, and goes on after each finding.
    shows(&anywhere(stack.swap(["doctor"]).expect_exit(3)), expect![[r#""#]]);
}

#[test]
fn the_doctor_goes_on_without_an_engine() {
    let stack = Stack::up();
    let outcome = stack.swap(["doctor"]).env("DOCKER_HOST", "tcp://127.0.0.1:9").expect_exit(3);
    shows(&anywhere(outcome), expect![[r#""#]]);
}

#[test]
fn a_stack_measures_its_own_swaps_beside_the_plain_script() {
    let stack = Stack::up();
    let before = stack.containers("app");
    shows(&stack.swap(["bench", "app", "--baseline", "script"]).expect_exit(3), expect![[r#""#]]);
    assert_eq!(stack.containers("app"), before);
    let words = ["bench", "app", "--swaps", "2", "--rate", "100", "--baseline", "script", "--yes", "--output", "json"];
    let measured = stack.swap(words).expect_exit(0);
    let report: serde_json::Value = serde_json::from_str(&measured.raw).expect("a report");
    assert_eq!(report["during"]["failed"], 0, "{report}");
    assert_eq!(report["took_ms"].as_array().map(Vec::len), Some(2), "{report}");
    assert!(report["script"]["during"]["requests"].as_u64() > Some(100), "{report}");
    // It ends as it began: one container, by address.
    assert_eq!(stack.containers("app").len(), 1);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    shows(&anywhere(stack.swap(["doctor", "app"]).expect_exit(0)), expect![[r#""#]]);
}
