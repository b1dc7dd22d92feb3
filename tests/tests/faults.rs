//! Bad input and faults: each ends with a plain word, the old version serves, and nothing is left behind.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use scenarios::between::{Between, Manner};
use scenarios::command::run;
use scenarios::eventually::eventually;
use scenarios::load::Running;
use scenarios::stack::{Container, Stack, compose_tool};

use crate::common::{changes_nothing, converged, ends_with_one_version, holds_no_lock, light_load, lost_nothing, says};

const REFUSED: i32 = 3;
const ROLLED_BACK: i32 = 4;
const STUCK: i32 = 5;
const USAGE: i32 = 2;

#[test]
fn an_unknown_service_is_told_with_the_known_ones() {
    let stack = Stack::up();
    let outcome = changes_nothing(&stack, &["ap"], USAGE);
    let expected = "error: service `ap` not found (services: app, nginx); did you mean the service `app`?\n";
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", expected));
}

#[test]
fn a_service_that_does_not_run_is_refused() {
    let stack = Stack::up();
    stack.compose(&["stop", "app"]);
    let before = stack.world();
    let outcome = stack.swap(["app"]).expect_exit(REFUSED);
    says(&outcome, &["app", "hint: "]);
    assert_eq!(stack.world(), before);
}

#[test]
fn a_proxy_that_does_not_exist_is_refused() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "      health: ./healthcheck", "      health: ./healthcheck\n      proxy: front");
    says(&changes_nothing(&stack, &["app"], REFUSED), &["front"]);
}

#[test]
fn a_proxy_that_does_not_run_is_refused() {
    let stack = Stack::up();
    stack.compose(&["stop", "nginx"]);
    let before = stack.world();
    says(&stack.swap(["app"]).expect_exit(REFUSED), &["nginx"]);
    assert_eq!(stack.world(), before);
}

#[test]
fn an_upstream_folder_that_is_not_mounted_is_refused() {
    let stack = Stack::builder().compose("      - ./nginx/swap:/etc/nginx/swap\n", "").up();
    says(&changes_nothing(&stack, &["app"], REFUSED), &["/etc/nginx/swap", "hint: "]);
}

#[test]
fn an_upstream_folder_that_is_read_only_is_refused() {
    let stack = Stack::builder().compose("./nginx/swap:/etc/nginx/swap", "./nginx/swap:/etc/nginx/swap:ro").up();
    says(&changes_nothing(&stack, &["app"], REFUSED), &["read-only"]);
}

#[test]
fn an_upstream_file_that_is_mounted_alone_is_refused() {
    let stack = Stack::builder()
        .file("nginx/swap/app.conf", "upstream app { server app:80; }\n")
        .compose("./nginx/swap:/etc/nginx/swap", "./nginx/swap/app.conf:/etc/nginx/swap/app.conf")
        .up();
    says(&changes_nothing(&stack, &["app"], REFUSED), &["a single file is mounted", "hint: "]);
}

#[test]
fn an_nginx_configuration_that_was_broken_before_is_refused() {
    let stack = Stack::up();
    stack.edit("nginx.conf", "access_log off;", "access_log off; no_such_directive on;");
    says(&changes_nothing(&stack, &["app"], REFUSED), &["no_such_directive"]);
}

#[test]
fn a_container_name_is_refused() {
    let stack = Stack::builder().app_line("container_name: [project]-fixed").up();
    says(&changes_nothing(&stack, &["app"], REFUSED), &["container_name", "hint: "]);
}

#[test]
fn a_fixed_published_port_is_refused() {
    let port = free_port().to_string();
    let stack = Stack::builder().app_line(&format!("ports: [\"127.0.0.1:{port}:80\"]")).up();
    says(&changes_nothing(&stack, &["app"], REFUSED), &[&port, "hint: "]);
}

#[test]
fn a_candidate_that_never_gets_healthy_is_removed() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /never\n      timeouts: { health: 2s }");
    stack.deploy("v2");
    says(&changes_nothing(&stack, &["app"], ROLLED_BACK), &["test -e /never", "[time]", "[project]-app-1 serves"]);
}

#[test]
fn a_candidate_that_exits_fails_at_once_with_its_last_lines() {
    let stack = Stack::up();
    let dies = "stop_grace_period: 10s\n    command: [\"sh\", \"-c\", \"echo the license is missing; exit 3\"]";
    stack.edit("docker-compose.yml", "stop_grace_period: 10s", dies);
    let outcome = changes_nothing(&stack, &["app"], ROLLED_BACK);
    says(&outcome, &["exited", "3", "the license is missing"]);
    assert!(outcome.took < Duration::from_secs(30), "it waited {:?}", outcome.took);
}

#[test]
fn a_missing_image_is_refused() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", &format!("{}-app", stack.project), &format!("{}-nowhere", stack.project));
    says(&changes_nothing(&stack, &["app"], REFUSED), &["of service `app` is not there", "hint: "]);
}

#[test]
fn a_health_command_that_does_not_exist_is_told_at_once() {
    let stack = Stack::up();
    stack.deploy("v2");
    let outcome = changes_nothing(&stack, &["app", "./healthchekc"], ROLLED_BACK);
    says(&outcome, &["./healthchekc", "not found"]);
    assert!(outcome.took < Duration::from_secs(30), "it waited {:?}", outcome.took);
}

#[test]
fn a_missing_compose_file_is_refused() {
    let stack = Stack::up();
    let elsewhere = stack.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("making a folder");
    std::fs::rename(stack.path("docker-compose.yml"), elsewhere.join("moved.yml")).expect("moving the compose file");
    says(&stack.swap(["app"]).expect_exit(REFUSED), &["compose"]);
    std::fs::rename(elsewhere.join("moved.yml"), stack.path("docker-compose.yml")).expect("moving it back");
}

#[test]
fn a_broken_compose_file_is_refused() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "    stop_grace_period: 10s\n", "    stop_grace_period: 10s\n   broken: [\n");
    says(&changes_nothing(&stack, &["app"], REFUSED), &["docker-compose.yml"]);
}

#[test]
fn an_unknown_setting_is_refused_with_file_service_and_key() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: ./healthcheck\n      wach: 5s");
    says(&changes_nothing(&stack, &["app"], REFUSED), &["docker-compose.yml", "app", "wach", "watch"]);
}

#[test]
fn an_engine_that_does_not_answer_is_refused() {
    let stack = Stack::up();
    let socket = format!("unix://{}", stack.path("no.sock").display());
    says(&stack.swap(["app"]).env("DOCKER_HOST", socket).expect_exit(REFUSED), &["no.sock"]);
}

#[test]
fn a_full_disk_in_the_journals_folder_is_refused() {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let running = light_load(&stack);
    std::fs::create_dir(stack.state()).expect("making the folder");
    let full = format!(
        "mount -t tmpfs -o size=64k,mode=700 full '{0}' && {{ cat /dev/zero >'{0}/filler' 2>/dev/null; exec \"$@\"; }}",
        stack.state().display()
    );
    let outcome = stack.swap(["app"]).through(&["unshare", "--mount", "sh", "-c", &full, "sh"]).expect_exit(REFUSED);
    says(&outcome, &["space"]);
    lost_nothing(running);
    std::fs::remove_dir_all(stack.state()).expect("removing the folder");
    assert_eq!((stack.version().as_deref(), stack.world()), (Ok("v1"), before));
}

#[test]
fn a_second_swap_at_the_same_time_is_told_who_holds_the_service() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /data/go");
    stack.deploy("v2");
    let running = light_load(&stack);
    let mut first = stack.swap(["--output", "json", "app"]).start();
    first.until("healthy", "started");
    says(&stack.swap(["app"]).expect_exit(6), &["another run holds `app`"]);
    stack.exec("app", "touch /data/go");
    first.expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn nginx_restarted_in_the_middle_leaves_one_version_serving() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /data/go");
    stack.deploy("v2");
    let mut swap = stack.swap(["--output", "json", "app"]).start();
    swap.until("healthy", "started");
    stack.compose(&["restart", "-t", "1", "nginx"]);
    stack.exec("app", "touch /data/go");
    let outcome = swap.wait().expect("the end");
    assert!([0, ROLLED_BACK].contains(&outcome.code), "exit {}\n{}{}", outcome.code, outcome.raw, outcome.stderr);
    ends_with_one_version(&stack);
}

#[test]
fn a_compose_up_in_the_middle_leaves_one_version_serving() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /data/go");
    stack.deploy("v2");
    let mut swap = stack.swap(["--output", "json", "app"]).start();
    swap.until("healthy", "started");
    stack.compose(&["up", "-d"]);
    stack.exec("nginx", "true");
    let go = stack.containers("app").into_iter().find(|container| container.state == "running").expect("a container");
    stack.docker(&["exec", &go.id, "touch", "/data/go"]);
    let outcome = swap.wait().expect("the end");
    assert!([0, ROLLED_BACK].contains(&outcome.code), "exit {}\n{}{}", outcome.code, outcome.raw, outcome.stderr);
    ends_with_one_version(&stack);
}

#[test]
fn an_engine_whose_containers_cannot_be_reached_from_here_swaps_all_the_same() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: { http: /up }");
    stack.deploy("v2");
    let running = light_load(&stack);
    // Without a network of its own machine swap still has the engine's socket, and nothing else.
    stack.swap(["app"]).through(&["unshare", "--net"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn an_engine_that_answers_slowly_swaps_all_the_same() {
    let stack = Stack::up();
    let engine = engine_between(&stack);
    stack.deploy("v2");
    let running = light_load(&stack);
    engine.set(Manner::Slow(Duration::from_millis(30)));
    stack.swap(["app"]).env("DOCKER_HOST", engine.host()).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn an_engine_that_hangs_from_the_start_is_refused_in_time() {
    let stack = Stack::up();
    let engine = engine_between(&stack);
    engine.set(Manner::Silent);
    let outcome = stack.swap(["app"]).env("DOCKER_HOST", engine.host()).expect_exit(REFUSED);
    says(&outcome, &["engine.sock", "it did not answer within"]);
    assert!(outcome.took < Duration::from_secs(30), "it waited {:?}", outcome.took);
}

#[test]
fn an_engine_that_hangs_in_the_middle_is_left_by_two_ctrl_c() {
    let (stack, engine) = waiting_between();
    let running = light_load(&stack);
    let mut swap = stack.swap(["--output", "json", "app"]).env("DOCKER_HOST", engine.host()).start();
    swap.until("healthy", "started");
    engine.set(Manner::Silent);
    swap.signal(Signal::INT);
    swap.until_interrupted();
    let asked = Instant::now();
    swap.signal(Signal::INT);
    swap.expect_exit(STUCK);
    assert!(asked.elapsed() < Duration::from_secs(20), "it went on for {:?}", asked.elapsed());
    stack.exec("app", "touch /data/go");
    the_next_swap_mends_it(&stack, &engine, running, "after the engine hung");
}

#[test]
#[ignore = "takes minutes: every call waits for its limit"]
fn an_engine_that_hangs_for_good_is_given_up() {
    let (stack, engine) = waiting_between();
    let running = light_load(&stack);
    let call = stack.swap(["--output", "json", "app"]).env("DOCKER_HOST", engine.host());
    let mut swap = call.limit(Duration::from_secs(280)).start();
    swap.until("healthy", "started");
    engine.set(Manner::Silent);
    says(&swap.expect_exit(STUCK), &["the engine did not answer"]);
    stack.exec("app", "touch /data/go");
    the_next_swap_mends_it(&stack, &engine, running, "after the engine hung");
}

#[test]
#[ignore = "takes minutes: compose waits for its limit"]
fn an_engine_that_hangs_while_compose_creates_is_given_up() {
    let stack = Stack::up();
    let engine = engine_between(&stack);
    stack.deploy("v2");
    let running = light_load(&stack);
    let call = stack.swap(["--output", "json", "app"]).env("DOCKER_HOST", engine.host());
    let mut swap = call.limit(Duration::from_secs(280)).start();
    swap.until("create", "started");
    engine.set(Manner::Silent);
    let outcome = swap.wait().expect("its end");
    assert!([ROLLED_BACK, STUCK].contains(&outcome.code), "exit {}\n{}", outcome.code, outcome.raw);
    the_next_swap_mends_it(&stack, &engine, running, "after the engine hung");
}

#[test]
fn an_engine_that_breaks_off_for_a_moment_is_waited_for() {
    let (stack, engine) = waiting_between();
    let running = light_load(&stack);
    let mut swap = stack.swap(["--output", "json", "app"]).env("DOCKER_HOST", engine.host()).start();
    swap.until("healthy", "started");
    engine.set(Manner::Gone);
    // So long that swap has asked several times.
    std::thread::sleep(Duration::from_secs(2));
    engine.set(Manner::Honest);
    stack.exec("app", "touch /data/go");
    swap.expect_exit(0);
    converged(&stack, "v2", &running, "after the engine was gone");
    lost_nothing(running);
}

#[test]
fn an_engine_whose_answers_are_cut_off_is_told_and_the_next_swap_mends_it() {
    let (stack, engine) = waiting_between();
    let running = light_load(&stack);
    let call = stack.swap(["--output", "json", "--timeout", "3s", "app"]).env("DOCKER_HOST", engine.host());
    let mut swap = call.start();
    swap.until("healthy", "started");
    engine.set(Manner::Cut(40));
    swap.expect_exit(STUCK);
    stack.exec("app", "touch /data/go");
    the_next_swap_mends_it(&stack, &engine, running, "after the engine's answers were cut off");
}

#[test]
fn nginx_killed_or_restarted_at_a_step_leaves_one_version_serving() {
    let stack = Stack::up();
    let mut next = "v2";
    for (verb, fault) in [("healthy", "kill"), ("switch", "kill"), ("drain", "restart"), ("retire", "kill")] {
        stack.deploy(next);
        let nginx = stack.containers("nginx").remove(0);
        let mut swap = stack.swap(["--output", "json", "app"]).start();
        swap.until(verb, "started");
        stack.docker(&[fault, &nginx.id]);
        let outcome = swap.wait().expect("its end");
        let told = format!("{fault} at {verb}: exit {}\n{}{}", outcome.code, outcome.raw, outcome.stderr);
        assert!([0, ROLLED_BACK, STUCK].contains(&outcome.code), "{told}");
        stack.docker(&["start", &nginx.id]);
        eventually(format!("a version to serve after {told}"), Duration::from_secs(20), || stack.version().is_ok());
        stack.swap(["app"]).expect_exit(0);
        ends_with_one_version(&stack);
        assert_eq!(stack.version().as_deref(), Ok(next), "{told}");
        next = if next == "v2" { "v1" } else { "v2" };
    }
}

#[test]
fn a_candidate_killed_while_it_gets_healthy_is_removed() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /data/go");
    stack.deploy("v2");
    let before = stack.world();
    let running = light_load(&stack);
    let mut swap = stack.swap(["--output", "json", "app"]).start();
    swap.until("healthy", "started");
    kill(&stack, |old, container| container.id != old);
    says(&swap.expect_exit(ROLLED_BACK), &["exited"]);
    lost_nothing(running);
    assert_eq!((stack.version().as_deref(), stack.world()), (Ok("v1"), before));
}

#[test]
fn a_candidate_killed_right_after_the_switch_is_switched_back() {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let _held = hold_the_drain(&stack);
    let mut swap = stack.swap(["--output", "json", "app"]).start();
    swap.until("switch", "done");
    kill(&stack, |old, container| container.id != old);
    swap.expect_exit(ROLLED_BACK);
    assert_eq!((stack.version().as_deref(), stack.world()), (Ok("v1"), before));
    holds_no_lock(&stack);
}

#[test]
fn a_candidate_killed_in_the_watch_is_switched_back() {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let mut swap = stack.swap(["--output", "json", "--watch", "60s", "app"]).start();
    swap.until("watch", "started");
    kill(&stack, |old, container| container.id != old);
    let outcome = swap.expect_exit(ROLLED_BACK);
    says(&outcome, &["exited"]);
    assert!(outcome.took < Duration::from_secs(40), "it waited {:?}", outcome.took);
    assert_eq!((stack.version().as_deref(), stack.world()), (Ok("v1"), before));
    holds_no_lock(&stack);
}

#[test]
fn an_old_container_killed_in_the_drain_is_replaced_all_the_same() {
    let stack = Stack::up();
    stack.deploy("v2");
    let _held = hold_the_drain(&stack);
    let mut swap = stack.swap(["--output", "json", "app"]).start();
    swap.until("drain", "started");
    kill(&stack, |old, container| container.id == old);
    swap.expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    ends_with_one_version(&stack);
    assert_eq!(stack.containers("app").len(), 1);
}

#[test]
fn a_journal_that_cannot_be_written_in_the_middle_unwinds() {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let running = light_load(&stack);
    let outcome = stack.swap(["app"]).env("SWAP_FAILPOINT", "before journal done #3=fail").expect_exit(ROLLED_BACK);
    says(&outcome, &["can't write the journal"]);
    lost_nothing(running);
    assert_eq!((stack.version().as_deref(), stack.world()), (Ok("v1"), before));
}

#[test]
fn an_upstream_folder_that_gets_full_or_read_only_in_the_middle_unwinds() {
    let stack = Stack::up();
    // Once swap's file is there, nothing but the switch has to write.
    stack.swap(["app"]).expect_exit(0);
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /data/go");
    stack.deploy("v2");
    let before = stack.world();
    let running = light_load(&stack);
    let pid = stack.docker(&["inspect", "--format", "{{.State.Pid}}", &stack.containers("nginx")[0].id]);
    let folder = "/etc/nginx/swap";
    let full = "cp -a /etc/nginx/swap /tmp/swap && mount -t tmpfs -o size=16k full /etc/nginx/swap && \
                cp -a /tmp/swap/. /etc/nginx/swap/; cat /dev/zero >/etc/nginx/swap/filler 2>/dev/null";
    for (fault, cure, word) in [
        (format!("mount -o remount,bind,ro {folder}"), format!("mount -o remount,bind,rw {folder}"), "Read-only"),
        (full.to_owned(), format!("umount {folder}"), "No space"),
    ] {
        let beside = |line: &str| {
            run(Command::new("nsenter").args(["--target", pid.trim(), "--mount", "sh", "-c", &format!("{line}; true")]))
                .expect("a change of what nginx's container sees")
        };
        let mut swap = stack.swap(["--output", "json", "app"]).start();
        swap.until("healthy", "started");
        beside(&fault);
        stack.exec("app", "touch /data/go");
        says(&swap.expect_exit(ROLLED_BACK), &[word]);
        beside(&cure);
        stack.exec("app", "rm /data/go");
        assert_eq!((stack.version().as_deref(), stack.world().as_str()), (Ok("v1"), before.as_str()), "{fault}");
    }
    lost_nothing(running);
}

#[test]
fn a_hook_cache_that_is_full_costs_only_time() {
    let stack = Stack::up();
    stack.hook("app");
    stack.deploy("v2");
    let cache = stack.path("cache");
    std::fs::create_dir(&cache).expect("making the folder");
    let full = format!(
        "mount -t tmpfs -o size=64k,mode=700 full '{0}' && {{ cat /dev/zero >'{0}/filler' 2>/dev/null; exec \"$@\"; }}",
        cache.display()
    );
    let call = stack.swap(["--hooks", "hooks/app.wasm", "app"]).env("XDG_CACHE_HOME", &cache);
    call.through(&["unshare", "--mount", "sh", "-c", &full, "sh"]).expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn an_image_that_is_deleted_in_the_middle_unwinds_before_the_candidate_is_made_and_changes_nothing_after() {
    let stack = Stack::up();
    let image = format!("{}-app", stack.project);
    stack.deploy("v2");
    let before = stack.world();
    stack.swap(["app"]).env("SWAP_FAILPOINT", "before compose up #1=kill").expect_exit(137);
    stack.docker(&["rmi", &image]);
    says(&stack.swap(["resume", "app"]).expect_exit(ROLLED_BACK), &["No such image", "hint: make the image first"]);
    assert_eq!((stack.version().as_deref(), stack.world()), (Ok("v1"), before));

    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /data/go");
    stack.deploy("v2");
    let mut swap = stack.swap(["--output", "json", "app"]).start();
    swap.until("healthy", "started");
    stack.docker(&["rmi", &image]);
    stack.exec("app", "touch /data/go");
    swap.expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    stack.deploy("v2");
}

#[test]
fn a_compose_tool_that_vanishes_in_the_middle_unwinds() {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let running = light_load(&stack);
    let tool = stack.path("compose");
    // It is gone as soon as it has read the project.
    let line = "case \"$*\" in *config*) rm -f \"$0\";; esac\n";
    stack.write("compose", &format!("#!/bin/sh\n{line}exec {} \"$@\"\n", compose_tool().join(" ")));
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let outcome = stack.swap(["app"]).env("SWAP_COMPOSE", &tool).expect_exit(ROLLED_BACK);
    says(&outcome, &["compose", "No such file"]);
    lost_nothing(running);
    assert_eq!((stack.version().as_deref(), stack.world()), (Ok("v1"), before));
}

#[test]
fn containers_that_come_back_with_other_addresses_serve_without_a_word() {
    let stack = Stack::builder().app_line("restart: unless-stopped").up();
    stack.deploy("v2");
    stack.swap(["app"]).expect_exit(0);
    let (app, nginx) = (stack.containers("app").remove(0), stack.containers("nginx").remove(0));
    stack.docker(&["stop", "-t", "1", &nginx.id, &app.id]);
    // The lowest free addresses are given first: others take the former ones, and nobody there listens.
    let network = &stack.networks(&app)[0];
    let label = format!("com.docker.compose.project={}", stack.project);
    for _ in 0..3 {
        stack.docker(&["run", "-d", "--network", network, "--label", &label, &app.image, "sleep", "1000"]);
    }
    stack.docker(&["start", &nginx.id]);
    stack.docker(&["start", &app.id]);
    let now = stack.containers("app").remove(0);
    assert_ne!(now.address, app.address, "the address is the same, so nothing is proven");
    eventually("v2 to serve", Duration::from_secs(20), || stack.version().as_deref() == Ok("v2"));
    let running = light_load(&stack);
    stack.deploy("v1");
    stack.swap(["app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
}

/// Swaps to v2 when the engine is itself again, and checks that nothing is left of what was before and nothing was lost.
#[track_caller]
fn the_next_swap_mends_it(stack: &Stack, engine: &Between, running: Running, case: &str) {
    engine.set(Manner::Honest);
    stack.swap(["app"]).expect_exit(0);
    converged(stack, "v2", &running, case);
    lost_nothing(running);
}

/// Brings a stack up whose candidate gets healthy when `/data/go` is there, with v2 to come and a socket before the engine.
fn waiting_between() -> (Stack, Between) {
    let stack = Stack::up();
    let engine = engine_between(&stack);
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /data/go");
    stack.deploy("v2");
    (stack, engine)
}

fn engine_between(stack: &Stack) -> Between {
    Between::new(&stack.path("engine.sock")).expect("a socket between")
}

/// Kills the containers of the application for which this is true; the first word is the id of the oldest.
#[track_caller]
fn kill(stack: &Stack, which: impl Fn(&str, &Container) -> bool) {
    let containers = stack.containers("app");
    let old = containers.iter().min_by_key(|container| container.name.clone()).expect("the old one").id.clone();
    for container in containers.iter().filter(|container| which(&old, container)) {
        stack.docker(&["kill", &container.id]);
    }
}

/// Holds an old worker of nginx by a connection that says nothing.
fn hold_the_drain(stack: &Stack) -> std::net::TcpStream {
    std::net::TcpStream::connect(stack.door).expect("a connection")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
