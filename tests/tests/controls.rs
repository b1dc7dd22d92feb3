//! Negative controls: ways to swap that lose requests. If one of these loses none, the rig is blind.

use std::process::Command;
use std::time::Duration;

use scenarios::clients::Kind;
use scenarios::command::run;
use scenarios::eventually::eventually;
use scenarios::images;
use scenarios::load::Running;
use scenarios::stack::{Container, Stack, compose_tool, serves};

#[test]
fn the_plain_script_loses_requests() {
    let stack = Stack::up();
    stack.deploy("v2");
    let running = warm(&stack);
    run(Command::new(images::root().join("tests/baseline/plain-swap.sh"))
        .args(["app", "./healthcheck"])
        .env("COMPOSE", compose_tool().join(" "))
        .current_dir(stack.path(".")))
    .expect("the plain script");
    serves(&stack, "v2");
    let report = running.stop().expect("the report");
    println!("{report}");
    assert!(report.total.failed > 0, "{report}");
}

#[test]
fn stopping_the_old_container_before_the_switch_loses_requests() {
    let stack = Stack::up();
    point_at_live(&stack);
    let (old, new) = second_container(&stack);
    let running = warm(&stack);
    stack.docker(&["stop", &old.id]);
    switch(&stack, &new);
    serves(&stack, "v2");
    let report = running.stop().expect("the report");
    println!("{report}");
    assert!(report.total.failed > 0, "{report}");
}

#[test]
fn stopping_the_old_container_when_new_workers_are_seen_loses_requests_of_silent_connections() {
    let stack = Stack::up();
    point_at_live(&stack);
    let mut load = stack.load().mix([(Kind::Get, 4), (Kind::Silent, 64)]);
    load.silence = Duration::from_secs(4);
    load.limit = Duration::from_secs(4);
    let running = load.start().expect("the load");
    eventually("answers to connections that were silent", Duration::from_secs(20), || running.counts().0 > 200);
    let (old, new) = second_container(&stack);
    let before = stack.nginx_workers();
    switch(&stack, &new);
    eventually("new workers", Duration::from_secs(10), || {
        stack.nginx_workers().iter().any(|pid| !before.contains(pid))
    });
    serves(&stack, "v2");
    stack.docker(&["kill", &old.id]);
    let failed = || running.failures().iter().any(|failed| failed.kind == Kind::Silent);
    eventually("a silent connection to fail", Duration::from_secs(10), failed);
    println!("{}", running.stop().expect("the report"));
}

#[test]
fn a_reload_without_keepalive_min_timeout_loses_requests_of_kept_connections() {
    let stack = Stack::builder().nginx("    keepalive_min_timeout 1s;\n", "").up();
    let report = reloads(&stack);
    assert!(report > 0, "20 reloads lost nothing");
}

#[test]
fn a_reload_with_keepalive_min_timeout_loses_nothing() {
    let stack = Stack::up();
    assert_eq!(reloads(&stack), 0);
}

/// Reloads twenty times under kept connections and returns how many requests were lost.
fn reloads(stack: &Stack) -> usize {
    let mut load = stack.load().mix([(Kind::Get, 64)]);
    load.think = Duration::from_millis(4);
    load.paths.get = "/up".into();
    let running = load.start().expect("the load");
    for _ in 0..20 {
        let answered = running.counts().0;
        eventually("answers", Duration::from_secs(20), || running.counts().0 > answered + 200);
        stack.exec("nginx", "nginx -s reload");
    }
    let report = running.stop().expect("the report");
    println!("{report}");
    report.total.failed
}

/// Starts the mixed load and waits until it flows.
fn warm(stack: &Stack) -> Running {
    let mut load = stack.load();
    // nginx waits a minute for a container that is gone; nobody else needs to.
    load.limit = Duration::from_secs(4);
    let running = load.start().expect("the load");
    eventually("500 answers", Duration::from_secs(30), || running.counts().0 > 500);
    running
}

/// Brings a container of v2 up beside that of v1; answers the old and the new one.
fn second_container(stack: &Stack) -> (Container, Container) {
    let old = stack.containers("app");
    assert_eq!(old.len(), 1);
    stack.deploy("v2");
    stack.compose(&["up", "-d", "--no-deps", "--no-recreate", "--scale", "app=2", "app"]);
    let both = stack.containers("app");
    let new = both.into_iter().find(|container| container.id != old[0].id).expect("a new container");
    eventually("a healthy candidate", Duration::from_secs(30), || {
        run(Command::new("docker").args(["exec", &new.id, "./healthcheck"])).is_ok()
    });
    (old[0].clone(), new)
}

fn point_at_live(stack: &Stack) {
    let live = stack.containers("app");
    name(stack, &live[0]);
    stack.reload_nginx();
    serves(stack, "v1");
}

fn name(stack: &Stack, to: &Container) {
    stack.write("nginx/swap/app.conf", &format!("upstream app {{ server {}:80; }}\n", to.address));
}

/// Switches as people do, without a look at the workers of before.
fn switch(stack: &Stack, to: &Container) {
    name(stack, to);
    stack.exec("nginx", "nginx -s reload");
}
