//! An nginx whose configuration is large and takes its time, and what `swap status` makes of a front door that others changed.

use std::process::Command;
use std::time::Duration;

use expect_test::expect;
use scenarios::command::run;
use scenarios::eventually::eventually;
use scenarios::stack::{Stack, serves};

use crate::common::{is_settled, light_load, lost_nothing, shows, swap_to};

/// A map of so many lines, some forty bytes each.
fn large_map(lines: usize) -> String {
    let lines: String =
        (0..lines).map(|number| format!("    /articles/2026/entry-{number:07}.html v{};\n", number % 97)).collect();
    format!("map_hash_max_size 2097152;\nmap_hash_bucket_size 128;\nmap $uri $known {{\n{lines}}}\n")
}

/// Makes nginx wait for so long whenever it reads its configuration: one of its files is a pipe into which somebody writes
/// nothing, now and then.
fn slow_file(stack: &Stack, pause: Duration) {
    let path = stack.path("nginx/more/slow.conf");
    run(Command::new("mkfifo").arg(&path)).expect("a pipe");
    std::thread::spawn(move || {
        while path.exists() {
            std::thread::sleep(pause);
            // Waits for a reader, and lets him go on.
            let _ = std::fs::OpenOptions::new().write(true).open(&path);
        }
    });
}

#[test]
fn an_nginx_whose_configuration_is_large_and_loads_slowly_is_switched() {
    let stack = Stack::builder()
        .compose(
            "      - ./nginx/swap:/etc/nginx/swap\n",
            "      - ./nginx/swap:/etc/nginx/swap\n      - ./nginx/more:/etc/nginx/more:ro\n",
        )
        .nginx("    server {\n", "    include /etc/nginx/more/*.conf;\n    server {\n")
        .file("nginx/more/map.conf", &large_map(400_000))
        .up();
    let running = light_load(&stack);
    slow_file(&stack, Duration::from_millis(2500));
    stack.deploy("v2");
    let outcome = stack.swap(["app"]).limit(Duration::from_secs(180)).expect_exit(0);
    println!("{}{}", outcome.stderr, outcome.stdout);
    serves(&stack, "v2");
    is_settled(&stack, &stack.containers("app"));
    lost_nothing(running);
}

#[test]
fn status_tells_who_gets_requests_after_compose_made_the_containers_anew() {
    let stack = Stack::builder().nginx_of("forky").up();
    swap_to(&stack, "v2");
    // A replica that was added by hand gets nothing.
    stack.compose(&["up", "-d", "--no-recreate", "--scale", "app=2"]);
    let said = stack.swap(["status", "app"]).expect_exit(0);
    said.prints("runs beside and gets no requests");
    stack.compose(&["up", "-d", "--force-recreate", "--no-deps", "--scale", "app=1", "app"]);
    // The kernel may take the address of who is gone for good for most of a minute, until it asks who has it.
    eventually("the name to be found", Duration::from_secs(120), || stack.version().as_deref() == Ok("v2"));
    let live = stack.normalise(&stack.containers("app").remove(0).name);
    let said = stack.swap(["status", "app"]).expect_exit(0);
    let last = said.stdout.lines().last().unwrap_or_default();
    assert_eq!(
        last,
        format!(
            "app: nginx's file names nobody who runs, so it finds {live} by the service's DNS name; `swap app` names it again"
        )
    );
    assert!(!said.stdout.contains("(not running)") && !said.stdout.contains("gets no requests"), "{}", said.stdout);
}

#[test]
fn a_plan_that_nobody_reads_to_its_end_ends_quietly() {
    let stack = Stack::up();
    // Its output is closed before it begins.
    let outcome = stack.swap(["plan", "app"]).through(&["sh", "-c", "exec \"$@\" | true", "sh"]).expect_exit(0);
    shows(&outcome, expect![""]);
}
