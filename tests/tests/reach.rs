//! Live only what nginx itself has reached and what stays: whatever a version says of itself inside its own container.

use std::os::unix::fs::symlink;
use std::time::Duration;

use expect_test::expect;
use scenarios::eventually::eventually;
use scenarios::stack::Stack;
use scenarios::transcript::UNWOUND;

use crate::common::{holds_no_lock, is_as_before, light_load, lost_nothing, swap_to, tells_but};

const ROLLED_BACK: i32 = 4;

#[test]
fn a_version_that_nginx_does_not_reach_is_never_live_whatever_its_health_command_says() {
    let stack = Stack::up();
    let before = stack.world();
    let running = light_load(&stack);
    stack.deploy("inward");
    tells_but(
        &stack.swap(["--timeout", "8s", "app"]).expect_exit(ROLLED_BACK),
        UNWOUND,
        expect![[r#"
                start       app: [project]-app-2 runs  [time]
            +   healthy     failed: candidate `[project]-app-2` not healthy after [time]: nothing listens at [ip]:80 (it listens on [ip]:80 only)  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + error: candidate `[project]-app-2` not healthy after [time]: nothing listens at [ip]:80 (it listens on [ip]:80 only)
            + hint: if it only needs longer, give it `--timeout 2m`, or `timeouts: { health: 2m }` in `x-swap`
        "#]],
    );
    is_as_before(&stack, &before);
    stack.deploy("elsewhere");
    let outcome = stack.swap(["--timeout", "8s", "app", "true"]).expect_exit(ROLLED_BACK);
    let why = "nothing listens at [ip]:80 (it listens on port 8080)\n";
    outcome.talks_of(why);
    lost_nothing(running);
    holds_no_lock(&stack);
}

#[test]
fn a_version_that_listens_for_a_moment_and_dies_is_never_live() {
    let stack =
        Stack::builder().compose("    x-swap:\n      health: ./healthcheck\n", "").app_line("restart: always").up();
    let before = stack.containers("app");
    let running = light_load(&stack);
    stack.deploy("short-lived");
    let outcome = stack.swap(["app"]).expect_exit(ROLLED_BACK);
    let ended = outcome.stderr.contains("exited") || outcome.stderr.contains("restarted");
    assert!(ended && outcome.stderr.contains("  healthy     failed: candidate"), "{}", outcome.stderr);
    assert_eq!(stack.containers("app"), before);
    lost_nothing(running);
}

#[test]
fn the_backup_does_not_hide_a_version_that_answers_nobody() {
    let stack = Stack::up();
    let before = stack.containers("app");
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: \"true\"");
    stack.deploy("resetting");
    let arguments = ["--watch", "30s", "--probe", "/version", "--probe-rate", "100", "app"];
    let outcome = stack.swap(arguments).expect_exit(ROLLED_BACK);
    let failed = "  watch       failed: the front door failed [n] of [n] requests since the switch";
    outcome.talks_of(failed);
    assert_eq!((stack.version().as_deref(), stack.containers("app")), (Ok("v1"), before));
}

#[test]
fn after_a_watch_a_container_that_somebody_makes_without_swap_is_found_again() {
    let stack = Stack::up();
    stack.deploy("v2");
    let running = light_load(&stack);
    stack.swap(["--watch", "1s", "app"]).expect_exit(0);
    lost_nothing(running);
    // Another container gets the live one's address, and compose makes a new one elsewhere.
    let live = stack.containers("app").remove(0);
    let network = stack.networks(&live).remove(0);
    let label = format!("com.docker.compose.project={}", stack.project);
    stack.docker(&["rm", "-f", &live.id]);
    let image = format!("{}-app", stack.project);
    for _ in 0..3 {
        stack.docker(&["run", "-d", "--network", &network, "--label", &label, &image, "sleep", "1000"]);
    }
    stack.compose(&["up", "-d", "--no-deps", "app"]);
    assert_ne!(stack.containers("app")[0].address, live.address, "the address is the same, so nothing is proven");
    eventually("v2 at the front door", Duration::from_secs(20), || stack.version().as_deref() == Ok("v2"));
}

#[test]
fn an_nginx_without_tools_is_told_and_this_machine_tries_instead() {
    let tools = ["sh", "cat", "cp", "ln", "mv", "readlink", "rm", "sleep", "sync", "tail", "tr", "wc", "mkdir"];
    let stack = Stack::builder()
        .compose("command: [\"nginx\",", "environment:\n      PATH: /tools\n    command: [\"/usr/sbin/nginx\",")
        .compose("      - ./nginx/swap:", "      - ./tools:/tools:ro\n      - ./nginx/swap:")
        .file("tools/README", "What nginx's shell finds.\n")
        .up();
    for tool in tools {
        let place = stack.exec("app", &format!("command -v {tool}"));
        symlink(place.trim(), stack.path(&format!("tools/{tool}"))).expect("a link");
    }
    symlink("/usr/sbin/nginx", stack.path("tools/nginx")).expect("a link");
    stack.deploy("inward");
    let note = "note: nginx's container has no bash, perl, nc, python3, php or curl: whether nginx reaches a candidate is tried \
                from this machine instead, or told by what the candidate listens on\n";
    let plan = stack.swap(["plan", "app"]).expect_exit(0);
    plan.prints(note);
    let outcome = stack.swap(["--timeout", "8s", "app"]).expect_exit(ROLLED_BACK);
    let why = "nothing listens at [ip]:80 (it listens on [ip]:80 only)\n";
    outcome.talks_of(why);
    swap_to(&stack, "v2");
}
