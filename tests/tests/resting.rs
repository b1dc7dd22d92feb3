//! What nginx's file says when nothing is at work: the service's name, so that whoever starts or reloads nginx then finds the
//! service and never another container that has got its address.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use scenarios::clients::Kind;
use scenarios::command::run;
use scenarios::eventually::eventually;
use scenarios::stack::{Container, Stack};

use crate::common::{light_load, lost_nothing, swap_to};

/// Two services that listen on one port: `app` at `/` and `more` at `/more/`.
fn two_services(suite: &str) -> Stack {
    let more = "\n  more:\n    image: [image v1]\n    stop_grace_period: 2s\n    x-swap: { health: ./healthcheck }\n\nvolumes:\n";
    let location = "        location / {\n";
    let builder = match suite {
        "current" => Stack::builder(),
        old => Stack::builder().old_nginx(old),
    };
    builder
        .compose("\nvolumes:\n", more)
        .compose("      - app\n", "      - app\n      - more\n")
        .nginx(
            location,
            &format!("        location /more/ {{\n            proxy_pass http://more/;\n        }}\n{location}"),
        )
        .up()
}

fn version_of_more(stack: &Stack) -> Option<String> {
    let answer = stack.get("/more/version").ok()?;
    (answer.status == 200).then(|| answer.text.trim().to_owned())
}

fn file(stack: &Stack) -> String {
    std::fs::read_to_string(stack.path("nginx/swap/app.conf")).expect("the upstream")
}

/// Returns the lines of the file that nginx obeys.
fn obeyed(stack: &Stack) -> String {
    file(stack).lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

/// Returns how often nginx was told to read its configuration anew; it says so in its log.
fn reloads(stack: &Stack) -> usize {
    let nginx = stack.containers("nginx").remove(0);
    let mut shell = Command::new("sh");
    run(shell.args(["-c", &format!("docker logs {} 2>&1", nginx.id)]))
        .expect("nginx's log")
        .matches("(SIGHUP) received")
        .count()
}

#[track_caller]
fn addresses_change_places(suite: &str, expected: &str) {
    let stack = two_services(suite);
    swap_to(&stack, "v2");
    stack.swap(["more"]).expect_exit(0);
    assert_eq!(obeyed(&stack), expected);
    let before = [stack.containers("app").remove(0), stack.containers("more").remove(0)];
    let nginx = stack.containers("nginx").remove(0);
    // What a restart of the machine does: everything ends, and comes back in another order.
    stack.docker(&["stop", "-t", "1", &nginx.id, &before[0].id, &before[1].id]);
    let at = |container: &Container| container.address.parse::<Ipv4Addr>().expect("an address");
    let (lower, higher) = if at(&before[0]) < at(&before[1]) { (0, 1) } else { (1, 0) };
    // The lowest free address is given first: all below are taken, so that the second gets that of the first.
    let network = &stack.networks(&before[0])[0];
    let label = format!("com.docker.compose.project={}", stack.project);
    let image = &before[0].image;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    for _ in 0..8 {
        let run = ["run", "-d", "--network", network, "--label", &label, image, "sleep", "1000"];
        let filler = stack.docker(&run).trim().to_owned();
        if stack.docker(&["inspect", "--format", format, &filler]).trim() == before[lower].address {
            stack.docker(&["rm", "-f", &filler]);
            break;
        }
    }
    stack.docker(&["start", &before[higher].id]);
    stack.docker(&["start", &before[lower].id]);
    stack.docker(&["start", &nginx.id]);
    let after = [stack.containers("app").remove(0), stack.containers("more").remove(0)];
    assert_eq!(after[higher].address, before[lower].address, "no address has changed places, so nothing is proven");
    eventually("both to answer", Duration::from_secs(20), || {
        stack.version().is_ok() && version_of_more(&stack).is_some()
    });
    for _ in 0..20 {
        assert_eq!(stack.version().as_deref(), Ok("v2"));
        assert_eq!(version_of_more(&stack).as_deref(), Some("v1"));
    }
    // nginx asks for the name now, so it is told addresses before a candidate has that name.
    let plan = stack.swap(["plan", "app"]).expect_exit(0).stdout;
    assert!(plan.contains("so that no reload finds what is not ready"), "{plan}");
    // A reload of an older nginx cuts kept connections, whoever asks for it.
    let running = stack.load().mix([(Kind::NewGet, 4)]).start().expect("the load");
    eventually("50 answers", Duration::from_secs(20), || running.counts().0 >= 50);
    swap_to(&stack, "v1");
    lost_nothing(running);
    assert_eq!(version_of_more(&stack).as_deref(), Some("v1"));
}

#[test]
fn services_whose_addresses_change_places_keep_their_own_visitors() {
    addresses_change_places(
        "current",
        "upstream app {\n    zone swap_app 64k;\n    resolver 127.0.0.11 valid=2s ipv6=off;\n    \
         server app:80 resolve max_fails=0;\n    server app:80 resolve backup max_fails=0;\n}\n",
    );
}

#[test]
fn services_whose_addresses_change_places_keep_their_own_visitors_with_an_old_nginx() {
    addresses_change_places("bookworm", "upstream app {\n    server app:80;\n}\n");
}

#[test]
fn a_run_that_begins_at_rest_reloads_nginx_for_the_switch_alone() {
    let stack = Stack::up();
    swap_to(&stack, "v2");
    assert!(file(&stack).contains("# at rest: "), "{}", file(&stack));
    let before = reloads(&stack);
    stack.deploy("v1");
    let plan = stack.swap(["plan", "app"]).expect_exit(0).stdout;
    assert!(plan.contains("as nginx has it already"), "{plan}");
    stack.swap(["app"]).expect_exit(0);
    assert_eq!(reloads(&stack) - before, 1);
    // One that is unwound before the switch needs none.
    let (before, text) = (reloads(&stack), file(&stack));
    stack.swap(["app", "false", "--timeout", "1s"]).expect_exit(4);
    assert_eq!((reloads(&stack), file(&stack)), (before, text));
}

#[test]
fn whoever_reloads_nginx_at_rest_loses_nothing_and_the_next_run_names_addresses_first() {
    for suite in ["current", "bookworm"] {
        let stack = two_services(suite);
        swap_to(&stack, "v2");
        let running = light_load(&stack);
        let mut before = reloads(&stack);
        for _ in 0..3 {
            stack.exec("nginx", "nginx -s reload");
            before += 1;
            eventually("nginx to reload", Duration::from_secs(20), || reloads(&stack) == before);
        }
        swap_to(&stack, "v1");
        assert_eq!(
            reloads(&stack) - before,
            2,
            "one that names addresses and one that switches, with nginx of {suite}"
        );
        // The other services of that nginx come back as they were.
        stack.swap(["more"]).expect_exit(0);
        if suite == "current" {
            lost_nothing(running);
        } else {
            // Without `keepalive_min_timeout` a reload itself cuts kept connections.
            drop(running.stop());
        }
        assert_eq!(stack.version().as_deref(), Ok("v1"));
    }
}

#[test]
fn what_a_run_left_that_nobody_knows_of_is_removed_by_the_next() {
    let stack = Stack::up();
    swap_to(&stack, "v2");
    stack.deploy("v1");
    let mut swap = stack.swap(["app", "--watch", "30s"]).start();
    swap.until("watch", "started");
    swap.kill();
    // Its journal is lost, and somebody has pruned the engine's volumes.
    std::fs::remove_dir_all(stack.state()).expect("removing the journals");
    for mark in stack.marks() {
        stack.docker(&["volume", "rm", &mark]);
    }
    assert_eq!(stack.containers("app").len(), 2, "{}", stack.world());
    let running = light_load(&stack);
    stack.deploy("v2");
    let plan = stack.swap(["plan", "app"]).expect_exit(0).stdout;
    assert!(plan.contains("as a run has left it that died and nginx's file does not name it"), "{plan}");
    stack.swap(["app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert!(file(&stack).contains("# at rest: "), "{}", file(&stack));
}
