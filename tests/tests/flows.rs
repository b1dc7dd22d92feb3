//! The main job, seen from the front door.

use std::time::Duration;

use expect_test::expect;
use scenarios::eventually::eventually;
use scenarios::stack::Stack;
use scenarios::transcript::SWAPPED;

use crate::common::{
    changes_nothing, compose_recreates_nothing, light_load, lost_nothing, mixed_load, shows, swap_to, tells, tells_but,
};

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
        swap_to(&stack, version);
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
    tells(&outcome, SWAPPED);
}

#[test]
fn the_oldest_form_with_a_health_command_swaps() {
    let stack = Stack::builder().compose("    x-swap:\n      health: ./healthcheck\n", "").up();
    let running = light_load(&stack);
    stack.deploy("v2");
    tells(&stack.swap(["app", "./healthcheck"]).expect_exit(0), SWAPPED);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn plan_changes_nothing() {
    let stack = Stack::up();
    stack.deploy("v2");
    let outcome = changes_nothing(&stack, &["plan", "app"], 0);
    shows(
        &outcome,
        expect![[r#"
            > plan for app of project [project]: 9 steps
            >   1  adopt       app: /etc/nginx/swap/app.conf names [project]-app-1, so that no reload finds what is not ready
            >   2  create      app: 1 candidate from [project]-app ([id]) beside [project]-app-1 (compose creates, so that compose owns)
            >   3  start       app: start what was created, in [project]_default
            >   4  healthy     app: until `./healthcheck` and nginx reaches port 80, and stays so for [time], at most 1m (nothing unhealthy gets requests)
            >   5  switch      app: /etc/nginx/swap/app.conf names the candidates instead of [project]-app-1, test, reload nginx, confirm
            >   6  drain       app: until no nginx worker uses [project]-app-1, at most [time]
            >   7  commit      from here the run only goes forward
            >   8  retire      app: stop and remove [project]-app-1, grace [time] (replaced by the candidates)
            >   9  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
        "#]],
    );
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
    shows(
        &outcome,
        expect![[r#"
        swap worker (project [project], run [run])
          create      worker: [project]-worker-2 from [project]-app ([id])  [time]
          stop-old    worker: [project]-worker-1 stopped, nobody serves  [time]
          start       worker: [project]-worker-2 runs  [time]
          healthy     worker: [project]-worker-2 is healthy  [time]
          retire      worker: [project]-worker-1 stopped and removed  [time]
        > swapped worker: [project]-worker-1 → [project]-worker-2 in [time] ([steps]), nobody served for [time]
    "#]],
    );
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
    shows(
        &changes_nothing(&stack, &["app", "worker"], 4),
        expect![[r#"
        swap app worker (project [project], run [run])
        note: `[project]-app` is the image that runs already: right for a change of the compose file, but a new version is built first
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          create      worker: [project]-worker-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          start       worker: [project]-worker-2 runs  [time]
          healthy     failed: candidate `[project]-worker-2` exited with code 7  [time]
          stop        worker: what was started is stopped  [time]
          stop        app: what was started is stopped  [time]
          remove      worker: what was created is removed  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        error: candidate `[project]-worker-2` exited with code 7
        > rolled back; app: [project]-app-1 serves; worker: [project]-worker-1 serves, nothing of this run is left
    "#]],
    );
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
    tells_but(
        &outcome,
        SWAPPED,
        expect![[r#"
              swap app (project [project], run [run])
            + note: nginx 1.22.1 closes keep-alive connections at every reload, so clients that do not retry lose some requests (nginx 1.27.4 or newer with `keepalive_min_timeout [time];` loses none)
        "#]],
    );
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
    swap_to(&stack, "v2");
    lost_nothing(running);
    assert_eq!(stack.containers("app").len(), 1);
}

#[test]
fn a_restarted_nginx_finds_what_the_swap_made_live() {
    let stack = Stack::up();
    swap_to(&stack, "v2");
    stack.compose(&["restart", "nginx"]);
    scenarios::stack::serves(&stack, "v2");
}
