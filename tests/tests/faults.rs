//! Bad input and faults: each ends with a plain word, the old version serves, and nothing is left behind.

use std::time::Duration;

use scenarios::eventually::eventually;
use scenarios::stack::Stack;

use crate::common::{changes_nothing, holds_no_lock, light_load, lost_nothing, says};

const REFUSED: i32 = 3;
const ROLLED_BACK: i32 = 4;
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

#[track_caller]
fn ends_with_one_version(stack: &Stack) {
    eventually("a version to serve", Duration::from_secs(20), || stack.version().is_ok());
    let running = stack.containers("app").into_iter().filter(|container| container.state == "running").count();
    assert_eq!(running, 1, "{}", stack.world());
    holds_no_lock(stack);
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
