//! What stands beside the service: those who call it by its name, those who use what is its own, containers that do not
//! run, volumes that nobody named, and the compose tool that made it all.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use scenarios::command::run;
use scenarios::eventually::eventually;
use scenarios::stack::{Builder, Container, Stack};

use crate::common::{compose_recreates_nothing, light_load, lost_nothing, swap_to};

/// An application that takes two seconds until it answers.
const SLOW: &str = "command: [\"sh\", \"-c\", \"sleep 2; exec ./serve\"]";

/// Calls each address that the service's name stands for, again and again, and notes what became of it.
const CALLER: &str = "while :; do for ip in $$(getent ahostsv4 app | cut -d' ' -f1 | sort -u); do \
                      if curl -s -o /dev/null --max-time 2 http://$$ip/version; then echo ok $$ip; else echo failed $$ip; \
                      fi; done; sleep 0.02; done >>/data/calls";

/// The usual stack with a slow application and a service that calls it by its name.
fn called() -> Builder {
    let caller = format!(
        "\n  caller:\n    image: [image v1]\n    command: [\"bash\", \"-c\", \"{CALLER}\"]\n    init: true\n    volumes:\n      \
         - data:/data\n\nvolumes:\n"
    );
    Stack::builder().app_line(SLOW).compose("\nvolumes:\n", &caller)
}

/// Returns the names by which others find a container in its networks, without what is its own.
fn names(stack: &Stack, container: &Container) -> BTreeSet<String> {
    let format = "{{range $network, $place := .NetworkSettings.Networks}}{{range $place.Aliases}}{{$network}} {{.}}\n{{end}}\
                  {{range $place.Links}}{{$network}} to {{.}}\n{{end}}{{end}}";
    let all = stack.docker(&["inspect", "--format", format, &container.id]);
    let own = |line: &&str| line.contains(&container.name) || line.ends_with(&container.id[..12]);
    let number = container.name.rsplit(['-', '_']).next().unwrap_or_default().to_owned();
    let lines = all.lines().filter(|line| !line.is_empty() && !own(line));
    // Links are also numbered as the container that has them.
    lines.map(|line| line.strip_suffix(&number).unwrap_or(line).to_owned()).collect()
}

/// Returns what the callers noted since they were asked last.
fn calls(stack: &Stack) -> Vec<String> {
    let noted = stack.exec("caller", "cat /data/calls; : >/data/calls");
    noted.lines().map(str::to_owned).collect()
}

#[test]
fn who_calls_by_name_never_gets_a_candidate_that_is_not_healthy() {
    let stack = called()
        .app_line("networks: { default: { aliases: [ shop, store ] }, back: {} }\n    links: [ other ]")
        .compose(
            "\nvolumes:\n",
            "\n  other:\n    image: [image v1]\n    command: [\"sleep\", \"infinity\"]\n    init: true\n    networks: [ default, \
             back ]\n\nnetworks:\n  back: { internal: true }\n\nvolumes:\n",
        )
        .up();
    let before = names(&stack, &stack.containers("app")[0]);
    assert!(before.len() >= 5, "{before:?}");
    let running = light_load(&stack);
    stack.deploy("v2");
    calls(&stack);
    let mut swap = stack.swap(["app", "--watch", "3s"]).start();
    swap.until("watch", "started");
    let both = || calls(&stack).into_iter().collect::<BTreeSet<_>>();
    let mut heard = both();
    // Both serve now, and both are called.
    eventually("calls of both", Duration::from_secs(20), || {
        heard.extend(both());
        heard.iter().filter(|line| line.starts_with("ok")).count() == 2
    });
    swap.expect_exit(0);
    let failed: Vec<&String> = heard.iter().filter(|line| line.starts_with("failed")).collect();
    assert!(failed.is_empty(), "calls by the service's name failed: {failed:?}");
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_eq!(names(&stack, &stack.containers("app")[0]), before);
    compose_recreates_nothing(&stack);
}

#[test]
fn who_calls_by_name_never_gets_the_old_one_while_it_stops() {
    // It answers nobody any more from the moment in which it is asked to stop, and takes three seconds to end.
    let lingers =
        "command: [\"sh\", \"-c\", \"./serve & s=$$!; trap 'kill -TERM $$s; sleep 3' TERM; wait $$s; wait $$s\"]";
    let stack = called().compose(SLOW, lingers).up();
    let running = light_load(&stack);
    stack.deploy("v2");
    calls(&stack);
    stack.swap(["app"]).expect_exit(0);
    let heard = calls(&stack);
    let failed: Vec<&String> = heard.iter().filter(|line| line.starts_with("failed")).collect();
    assert!(failed.is_empty(), "calls by the service's name failed: {failed:?}");
    assert_eq!(heard.iter().collect::<BTreeSet<_>>().len(), 2, "{heard:?}");
    lost_nothing(running);
    compose_recreates_nothing(&stack);
}

#[test]
fn an_engine_that_refuses_to_take_the_names_does_not_hold_the_run_up() {
    let stack = called().up();
    let running = light_load(&stack);
    stack.deploy("v2");
    // Twice for the candidate, and then for the old one.
    let refused = "before docker POST networks/disconnect #3=fail";
    let outcome = stack.swap(["app"]).env("SWAP_FAILPOINT", refused).expect_exit(0);
    outcome.talks_of("app: disconnecting container");
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_eq!(stack.containers("app").len(), 1);
    compose_recreates_nothing(&stack);
}

#[test]
fn a_candidate_that_was_killed_out_of_its_network_comes_back_into_it() {
    let stack = called().up();
    let before = names(&stack, &stack.containers("app")[0]);
    let running = light_load(&stack);
    stack.deploy("v2");
    // The first time the names are taken from it, the second time they are given back.
    let killed = "after docker POST networks/disconnect #2=kill";
    stack.swap(["app"]).env("SWAP_FAILPOINT", killed).expect_exit(137);
    let candidate = stack.containers("app").pop().expect("a candidate");
    assert_eq!(stack.networks(&candidate), [""; 0], "it is in no network now");
    stack.swap(["resume", "app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_eq!(names(&stack, &stack.containers("app")[0]), before);
    compose_recreates_nothing(&stack);
}

#[test]
fn what_compose_1_made_is_swapped_with_compose_1() {
    let stack = Stack::up();
    let compose_1 = |arguments: &[&str]| {
        run(Command::new("docker-compose").args(arguments).current_dir(stack.path("."))).expect("docker-compose 1.x")
    };
    assert!(compose_1(&["version", "--short"]).starts_with("1."), "`docker-compose` is not compose 1.x");
    compose_1(&["up", "-d", "--force-recreate"]);
    stack.deploy("v2");
    eventually("nginx to serve", Duration::from_secs(60), || stack.version().is_ok());
    let mut swap = stack.swap(["app"]);
    if std::env::var_os("SWAP_TEST_COMPOSE").is_some() {
        // Nobody has named a tool.
        swap = swap.env("SWAP_COMPOSE", "");
    }
    swap.expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    let before = stack.world();
    let said = compose_1(&["up", "-d"]);
    assert_eq!(stack.world(), before, "`docker-compose up -d` changed something\n{said}");
    // Who names another tool gets it, and hears what comes of it.
    stack.deploy("v1");
    let plan = stack.swap(["plan", "app"]).env("SWAP_COMPOSE", "docker compose").expect_exit(0);
    let note = "note: the containers were made by compose 1.29.2 and SWAP_COMPOSE names another one: the next \
                `docker-compose up -d` recreates what this swap makes\n";
    assert!(plan.raw.contains(note), "{}", plan.raw);
}

#[test]
fn replicas_that_do_not_run_are_replaced_too() {
    let stack = Stack::builder().app_line("deploy: { replicas: 2 }").up();
    let exited = stack.containers("app").pop().expect("two of them");
    stack.docker(&["stop", "-t", "0", &exited.id]);
    // One that was never started, more than the file wants.
    stack.compose(&["up", "--no-start", "--no-recreate", "--scale", "app=3", "app"]);
    let before = stack.containers("app");
    assert_eq!(before.iter().filter(|container| container.state == "running").count(), 1, "{before:?}");
    swap_to(&stack, "v2");
    let after = stack.containers("app");
    assert!(after.iter().all(|new| new.state == "running" && before.iter().all(|old| old.id != new.id)), "{after:?}");
    assert_eq!(after.len(), 2, "{after:?}");
    compose_recreates_nothing(&stack);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn who_uses_the_network_of_the_old_one_does_not_lose_it_unsaid() {
    let stack = Stack::builder()
        .compose(
            "\nvolumes:\n",
            "\n  sidecar:\n    image: [project]-app\n    command: [\"sleep\", \"infinity\"]\n    init: true\n    network_mode: \
             service:app\n    depends_on: [ app ]\n\nvolumes:\n",
        )
        .up();
    stack.deploy("v2");
    let before = stack.world();
    let refused = stack.swap(["app"]).expect_exit(3);
    let why = "[project]-sidecar-1 uses the network of [project]-app-1, and loses it when that is removed";
    refused.talks_of(why);
    assert_eq!(stack.world(), before);
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: ./healthcheck\n      sidecars: accept");
    let accepted = stack.swap(["app"]).expect_exit(0);
    let cure = "docker compose up -d --no-deps --force-recreate sidecar";
    accepted.talks_of(cure);
    let words: Vec<&str> = cure.split(' ').skip(2).collect();
    stack.compose(&words);
    let (app, sidecar) = (stack.containers("app").remove(0), stack.containers("sidecar").remove(0));
    let shares = stack.docker(&["inspect", "--format", "{{.HostConfig.NetworkMode}}", &sidecar.id]);
    assert_eq!(shares.trim(), format!("container:{}", app.id));
}

#[test]
fn anonymous_volumes_are_kept_and_named_or_go() {
    let stack = Stack::builder().compose("      - data:/data\n", "      - data:/data\n      - /cache\n").up();
    let volume = |container: &Container| {
        let format = "{{range .Mounts}}{{if eq .Destination \"/cache\"}}{{.Name}}{{end}}{{end}}";
        stack.docker(&["inspect", "--format", format, &container.id]).trim().to_owned()
    };
    let there = |name: &str| {
        let names = stack.docker(&["volume", "ls", "-q", "--filter", &format!("name={name}")]);
        names.lines().any(|line| line == name)
    };
    let first = volume(&stack.containers("app")[0]);
    stack.deploy("v2");
    let kept = stack.swap(["app"]).expect_exit(0);
    assert!(there(&first), "{}", kept.stderr);
    kept.talks_of("anonymous volumes are kept (`docker volume rm [id]`)");
    stack.docker(&["volume", "rm", &first]);
    let second = volume(&stack.containers("app")[0]);
    assert!(second.len() == 64 && second != first, "{second}");
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: ./healthcheck\n      anonymous-volumes: remove");
    swap_to(&stack, "v1");
    assert!(!there(&second), "the old one's volume is still there");
    let third = volume(&stack.containers("app")[0]);
    assert!(there(&third));
}
