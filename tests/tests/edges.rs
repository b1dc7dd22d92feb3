//! Several nginxes before one service: all of them are switched, or none.

use std::fs;
use std::time::Duration;

use scenarios::clients::Kind;
use scenarios::eventually::eventually;
use scenarios::load::{Load, Running};
use scenarios::stack::{Builder, NGINX, Stack};

use crate::common::{holds_no_lock, lost_nothing};

const REFUSED: i32 = 3;
const ROLLED_BACK: i32 = 4;

/// How long whatever is waited for may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The usual stack with a second nginx, which has a folder of its own, before its application.
fn behind_two() -> Builder {
    let edge = "
  edge:
    image: [nginx]
    entrypoint: []
    command: [\"nginx\", \"-g\", \"daemon off;\"]
    stop_signal: SIGQUIT
    stop_grace_period: 2s
    ports:
      - \"127.0.0.1:[other-port]:80\"
    volumes:
      - ./edge.conf:/etc/nginx/nginx.conf:ro
      - ./edge/swap:/etc/nginx/swap
    depends_on:
      - app

volumes:
";
    Stack::builder().compose("\nvolumes:\n", edge).file("edge.conf", NGINX).file("edge/swap/.keep", "")
}

/// Returns the version that answers at the door of the second nginx.
fn edge_version(stack: &Stack) -> Option<String> {
    let answer = stack.get_at(stack.other_door(), "/version");
    answer.ok().filter(|answer| answer.status == 200).map(|answer| answer.text.trim().to_owned())
}

/// Checks that this version answers at both doors.
#[track_caller]
fn both_serve(stack: &Stack, version: &str) {
    assert_eq!(stack.version().as_deref(), Ok(version));
    assert_eq!(edge_version(stack).as_deref(), Some(version));
    assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
    holds_no_lock(stack);
}

/// Starts a few clients at each door.
fn loads(stack: &Stack) -> [Running; 2] {
    eventually("an answer at the second door", PATIENCE, || edge_version(stack).is_some());
    [stack.door, stack.other_door()].map(|door| {
        let load = Load::new(door).expect("the door is on this machine");
        let mut load = load.mix([(Kind::Get, 3), (Kind::Post, 1), (Kind::NewGet, 2), (Kind::Silent, 1)]);
        load.silence = Duration::from_secs(1);
        load.limit = Duration::from_secs(20);
        let running = load.start().expect("the load");
        eventually("50 answers", PATIENCE, || running.counts().0 >= 50);
        running
    })
}

#[test]
fn two_nginxes_before_one_service_are_switched_without_a_lost_request() {
    let stack = behind_two().up();
    let running = loads(&stack);
    for version in ["v2", "v1", "v2"] {
        stack.deploy(version);
        let outcome = stack.swap(["app"]).expect_exit(0);
        assert!(outcome.stderr.contains("edge and nginx send new requests to"), "{}", outcome.stderr);
        both_serve(&stack, version);
    }
    running.into_iter().for_each(lost_nothing);
    for folder in ["nginx/swap", "edge/swap"] {
        let text = fs::read_to_string(stack.path(&format!("{folder}/app.conf"))).expect("the upstream");
        assert!(text.contains(&stack.containers("app")[0].id[..12]), "{folder}: {text}");
    }
    let status = stack.swap(["status"]).expect_exit(0);
    assert!(status.stdout.contains("/etc/nginx/swap/app.conf of edge"), "{}", status.stdout);
}

#[test]
fn one_of_two_nginxes_that_refuses_leaves_both_with_the_old_version() {
    let stack = behind_two().up();
    eventually("an answer at the second door", PATIENCE, || edge_version(&stack).is_some());
    // Both have come to rest once: who refuses the switch later shows that it obeys what it obeyed before.
    stack.swap(["app"]).expect_exit(0);
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /data/go");
    stack.deploy("v2");
    let running = loads(&stack);
    let mut swap = stack.swap(["app"]).start();
    swap.until("healthy", "started");
    stack.edit("edge.conf", "access_log off;", "access_log off; no_such_directive on;");
    let first = stack.containers("app").remove(0);
    stack.docker(&["exec", &first.id, "touch", "/data/go"]);
    let outcome = swap.expect_exit(ROLLED_BACK);
    running.into_iter().for_each(lost_nothing);
    let refused =
        "edge: nginx refused its configuration with the new upstream: unknown directive \"no_such_directive\"";
    assert!(outcome.stderr.contains(refused), "{}", outcome.stderr);
    both_serve(&stack, "v1");
    // As long as it is broken the next one is refused before any change.
    stack.swap(["app"]).expect_exit(REFUSED);
    both_serve(&stack, "v1");
    stack.edit("edge.conf", " no_such_directive on;", "");
    stack.swap(["app"]).expect_exit(0);
    both_serve(&stack, "v2");
}

#[test]
fn all_containers_of_an_nginx_service_are_switched() {
    let stack = Stack::builder()
        .compose("    ports:\n      - \"127.0.0.1:[port]:80\"\n", "    ports: [\"80\"]\n")
        .scale("nginx", 2)
        .up_when("")
        .up();
    let served = || -> Vec<String> {
        let ask = "curl -s http://127.0.0.1/version";
        let nginxes = stack.containers("nginx");
        nginxes.iter().map(|nginx| stack.docker(&["exec", &nginx.name, "sh", "-c", ask]).trim().to_owned()).collect()
    };
    eventually("answers of both", PATIENCE, || served() == ["v1", "v1"]);
    for version in ["v2", "v1"] {
        stack.deploy(version);
        stack.swap(["app"]).expect_exit(0);
        assert_eq!(served(), [version, version]);
        assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
        holds_no_lock(&stack);
    }
}
