//! The way back: it goes to the version that was replaced by what serves now, whoever replaced it, and what it moves it gives
//! back where it fails.

use expect_test::expect;
use rustix::process::Signal;
use scenarios::command::{run, succeeds};
use scenarios::images;
use scenarios::stack::{Stack, serves};
use std::process::Command;

use crate::common::{compose_recreates_nothing, holds_no_lock, light_load, lost_nothing, shows, swap_to};

/// Returns the id of what the service's image is called.
#[track_caller]
fn named(stack: &Stack) -> String {
    id(&format!("{}-app", stack.project))
}

#[track_caller]
fn id(image: &str) -> String {
    let id = run(Command::new("docker").args(["image", "inspect", "--format", "{{.Id}}", image])).expect("an image");
    id.trim().to_owned()
}

/// Returns the id of a version's image.
#[track_caller]
fn version(name: &str) -> String {
    id(&images::app(name).expect("an image"))
}

fn short(id: &str) -> &str {
    &id.trim_start_matches("sha256:")[..12]
}

/// A stack on which v1 was replaced by v2.
#[track_caller]
fn swapped() -> Stack {
    let stack = Stack::up();
    swap_to(&stack, "v2");
    stack
}

#[test]
fn a_rollback_goes_to_what_was_replaced_by_what_serves_now() {
    let stack = swapped();
    stack.deploy("v3");
    stack.swap(["app"]).elsewhere("far-away").expect_exit(0);
    // The newest journal here tells of v1 and v2.
    let outcome = stack.swap(["rollback", "app"]).expect_exit(0);
    shows(
        &outcome,
        expect![[r#"
            rollback of app: from [id] to [id], which served until run [run]; its configuration is that of the compose file as it is now
            swap app (project [project], run [run])
              tag         app: [project]-app stands for [id]  [time]
              create      app: [project]-app-4 from [project]-app ([id])  [time]
              start       app: [project]-app-4 runs  [time]
              healthy     app: [project]-app-4 is healthy  [time]
              switch      app: nginx sends new requests to [project]-app-4 ([ip]:80)  [time]
              drain       app: nothing uses [project]-app-3 any more  [time]
              retire      app: [project]-app-3 stopped and removed  [time]
            > swapped app: [project]-app-3 → [project]-app-4 in [time] ([steps])
        "#]],
    );
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    compose_recreates_nothing(&stack);
    // A swap of an image to itself is nothing that one goes back from.
    stack.swap(["app"]).expect_exit(0);
    stack.swap(["rollback", "app"]).elsewhere("elsewhere").expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v3"));
    let unknown = stack.swap(["rollback", "app", "--to", "nothing-is-called-so"]).expect_exit(3);
    shows(
        &unknown,
        expect![[r#"
            error: the engine has no image `nothing-is-called-so`
            hint: `swap rollback app --to IMAGE` names one, as of those that are kept:
              [id]  until run [run]
              [id]  until run [run]
        "#]],
    );
    stack.swap(["rollback", "app", "--to", short(&version("v1"))]).expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    holds_no_lock(&stack);
}

#[test]
fn what_nobody_knows_or_no_image_brings_back_is_refused() {
    let stack = swapped();
    stack.edit("docker-compose.yml", "    stop_grace_period: 10s\n", "    stop_grace_period: 9s\n");
    stack.swap(["app"]).expect_exit(0);
    let before = stack.world();
    shows(
        &stack.swap(["rollback", "app"]).expect_exit(3),
        expect![[r#"
            error: run [run] changed the configuration of `app` alone: the image before is [id], which serves now, and the configuration is always that of the compose file as it is
            hint: put the compose file back as it was, then `swap app`; `swap rollback app --to IMAGE` names one, as of those that are kept:
              [id]  until run [run]
        "#]],
    );
    // Somebody deploys without swap.
    stack.deploy("v3");
    assert_eq!(stack.world(), before);
    stack.compose(&["up", "-d", "--no-deps", "app"]);
    stack.reload_nginx();
    serves(&stack, "v3");
    shows(
        &stack.swap(["rollback", "app"]).expect_exit(3),
        expect![[r#"
            error: what serves now ([id]) was not brought by the last swap of `app` that the engine knows, run [run] ([id]), so nobody knows what it replaced
            hint: `swap rollback app --to IMAGE` names one, as of those that are kept:
              [id]  until run [run]
              [id]  until run [run]
        "#]],
    );
    // A run stands for what it had brought.
    let history = stack.swap(["history", "--output", "json"]).expect_exit(0);
    let runs: serde_json::Value = serde_json::from_str(&history.raw).expect("JSON");
    let first = runs.as_array().and_then(|runs| runs.last()).and_then(|run| run["run"].as_str()).expect("a run");
    stack.swap(["rollback", "app", "--to", first]).expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn a_rollback_that_comes_to_nothing_gives_the_name_back() {
    let stack = swapped();
    let (before, name) = (stack.world(), named(&stack));
    assert_eq!(name, version("v2"));
    let running = light_load(&stack);
    let is_as_before = |case: &str| {
        assert_eq!(named(&stack), name, "{case}");
        assert_eq!(stack.world(), before, "{case}");
        assert_eq!(stack.version().as_deref(), Ok("v2"), "{case}");
        holds_no_lock(&stack);
    };
    stack.edit("docker-compose.yml", "      health: ./healthcheck\n", "      health: \"false\"\n");
    stack.swap(["--timeout", "1s", "rollback", "app"]).expect_exit(4);
    is_as_before("not healthy");
    stack.edit("docker-compose.yml", "      health: \"false\"\n", "      health: ./healthcheck\n");
    stack.edit(
        "docker-compose.yml",
        "    stop_grace_period: 10s\n",
        "    stop_grace_period: 10s\n    container_name: x\n",
    );
    stack.swap(["rollback", "app"]).expect_exit(3);
    is_as_before("refused");
    stack.edit("docker-compose.yml", "    container_name: x\n", "");
    let mut interrupted = stack.swap(["rollback", "app"]).start();
    interrupted.until("create", "started");
    interrupted.signal(Signal::INT);
    interrupted.expect_exit(4);
    is_as_before("interrupted");
    for point in ["after docker POST images/tag #1", "after docker POST containers/start #1"] {
        stack.swap(["rollback", "app"]).env("SWAP_FAILPOINT", format!("{point}=kill")).expect_exit(137);
        assert_eq!(named(&stack), version("v1"), "{point}");
        stack.swap(["rollback", "app"]).expect_exit(4);
        is_as_before(point);
    }
    lost_nothing(running);
}

#[test]
fn a_version_that_died_is_replaced_also_behind_an_nginx_that_refuses_names_that_nobody_has() {
    let stack = Stack::builder().old_nginx("bookworm").up();
    swap_to(&stack, "v2");
    let file = || std::fs::read_to_string(stack.path("nginx/swap/app.conf")).expect("the upstream");
    assert!(file().contains("server app:80;"), "{}", file());
    stack.docker(&["kill", &stack.containers("app").remove(0).id]);
    stack.edit("docker-compose.yml", "      health: ./healthcheck\n", "      health: \"false\"\n");
    stack.swap(["--timeout", "1s", "rollback", "app"]).expect_exit(4);
    stack.edit("docker-compose.yml", "      health: \"false\"\n", "      health: ./healthcheck\n");
    stack.swap(["rollback", "app"]).expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    assert!(file().contains("server app:80;"), "{}", file());
}

#[test]
fn a_version_that_died_is_replaced_by_the_one_before() {
    let stack = swapped();
    let dead = stack.containers("app").remove(0);
    stack.docker(&["kill", &dead.id]);
    assert_eq!(stack.containers("app")[0].state, "exited");
    shows(
        &stack.swap(["app"]).expect_exit(3),
        expect![[r#"
            error: service `app` is not running, so there is nothing to replace
            hint: see `docker logs [project]-app-2`; start it with `docker compose up -d app`, or bring the version before back with `swap rollback app`
        "#]],
    );
    stack.edit("docker-compose.yml", "      health: ./healthcheck\n", "      health: \"false\"\n");
    let failed = stack.swap(["--timeout", "1s", "rollback", "app"]).expect_exit(4);
    assert_eq!(
        failed.stdout,
        "rolled back; app: nobody serves, [project]-app-2 had died before, nothing of this run is left\n"
    );
    assert_eq!(
        stack.containers("app"),
        [scenarios::stack::Container { state: "exited".into(), address: String::new(), ..dead }]
    );
    assert_eq!(named(&stack), version("v2"));
    stack.edit("docker-compose.yml", "      health: \"false\"\n", "      health: ./healthcheck\n");
    shows(
        &stack.swap(["rollback", "app"]).expect_exit(0),
        expect![[r#"
            rollback of app: from [id] to [id], which served until run [run]; its configuration is that of the compose file as it is now
            swap app (project [project], run [run])
            note: [project]-app-2 does not run: nobody serves until the candidates are live
              tag         app: [project]-app stands for [id]  [time]
              create      app: [project]-app-3 from [project]-app ([id])  [time]
              start       app: [project]-app-3 runs  [time]
              healthy     app: [project]-app-3 is healthy  [time]
              switch      app: nginx sends new requests to [project]-app-3 ([ip]:80)  [time]
              drain       app: nothing uses [project]-app-2 any more  [time]
              retire      app: [project]-app-2 stopped and removed  [time]
            > swapped app: [project]-app-2 → [project]-app-3 in [time] ([steps])
        "#]],
    );
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    compose_recreates_nothing(&stack);
    holds_no_lock(&stack);
}

/// Builds a version of its own from v1, that no other test's names hold, and makes it the one that candidates are made of.
#[track_caller]
fn build(stack: &Stack, number: u8) -> String {
    let base = images::app("v1").expect("an image");
    let (label, tag) = (format!("swap-test={}", stack.project), format!("{}-app", stack.project));
    stack.write("version/Dockerfile", &format!("FROM {base}\nLABEL number={number}\n"));
    let folder = stack.path("version").display().to_string();
    stack.docker(&["build", "--quiet", "--label", &label, "--tag", &tag, &folder]);
    named(stack)
}

#[test]
fn the_versions_before_are_kept_and_older_ones_go() {
    let stack =
        Stack::builder().compose("      health: ./healthcheck\n", "      health: ./healthcheck\n      keep: 1\n").up();
    let there = |id: &str| succeeds(Command::new("docker").args(["image", "inspect", id])).expect("docker");
    let prune = || {
        let filter = format!("label=swap-test={}", stack.project);
        stack.docker(&["image", "prune", "-f", "--filter", &filter]);
    };
    let first = build(&stack, 1);
    stack.swap(["app"]).expect_exit(0);
    let second = build(&stack, 2);
    stack.swap(["app"]).expect_exit(0);
    prune();
    assert!(there(&first), "the version before is pruned");
    let third = build(&stack, 3);
    stack.swap(["app"]).expect_exit(0);
    assert!(!there(&first), "what is older than `keep` stays for ever");
    prune();
    assert!(there(&second) && there(&third));
    stack.swap(["rollback", "app"]).expect_exit(0);
    assert_eq!(stack.containers("app")[0].image, second);
    assert_eq!(named(&stack), second);
}

#[test]
fn an_image_that_is_built_during_the_run_never_serves() {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let tool = scenarios::stack::compose_tool().join(" ");
    let (built, tag) = (images::app("v3").expect("an image"), format!("{}-app", stack.project));
    // Somebody builds just before compose creates.
    stack.write(
        "compose",
        &format!("#!/bin/sh\ncase \" $* \" in *' up '*) docker tag {built} {tag};; esac\nexec {tool} \"$@\"\n"),
    );
    succeeds(Command::new("chmod").arg("755").arg(stack.path("compose"))).expect("chmod");
    let running = light_load(&stack);
    let builds = stack.path("compose");
    let outcome = stack.swap(["app"]).env("SWAP_COMPOSE", &builds).expect_exit(4);
    shows(
        &outcome,
        expect![[r#"
            swap app (project [project], run [run])
              adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
              create      failed: the image `[project]-app` was built or pulled anew during the run: [id] was planned, and it is [id] now  [time]
              remove      app: what was created is removed  [time]
              release     app: /etc/nginx/swap/app.conf is removed again  [time]
            error: the image `[project]-app` was built or pulled anew during the run: [id] was planned, and it is [id] now
            hint: once that is over, swap again: the plan then names the new image
            > rolled back; app: [project]-app-1 serves, nothing of this run is left
        "#]],
    );
    assert_eq!(stack.world(), before);
    // What a killed run had created is not started by whoever goes on with it, either.
    stack.deploy("v2");
    let killed = stack.swap(["app"]).env("SWAP_COMPOSE", &builds).env("SWAP_FAILPOINT", "after compose up #1=kill");
    killed.expect_exit(137);
    stack.swap(["resume", "app"]).expect_exit(4);
    assert_eq!(stack.world(), before);
    // Nor is it left behind where the journal is lost.
    stack.deploy("v2");
    let killed = stack.swap(["app"]).env("SWAP_COMPOSE", &builds).env("SWAP_FAILPOINT", "after compose up #1=kill");
    killed.expect_exit(137);
    std::fs::remove_dir_all(stack.state()).expect("losing the journal");
    swap_to(&stack, "v2");
    assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
    lost_nothing(running);
}

#[test]
fn versions_with_names_of_their_own_keep_them() {
    let stack = Stack::up();
    let name = |version: &str| format!("{}-app:{version}", stack.project);
    for version in ["v1", "v2"] {
        stack.docker(&["tag", &images::app(version).expect("an image"), &name(version)]);
    }
    stack.edit(
        "docker-compose.yml",
        &format!("image: {}-app\n", stack.project),
        &format!("image: {}-app:${{TAG}}\n", stack.project),
    );
    stack.write(".env", "TAG=v1\n");
    stack.compose(&["up", "-d", "app"]);
    serves(&stack, "v1");
    let swapped = stack.swap(["app"]).env("TAG", "v2").expect_exit(0);
    let note = "note: `[project]-app:${TAG}`, the image of `app`, has TAG from this shell: the next `docker compose up -d` \
                without it goes back to another version (write it into `.env`)\n";
    swapped.talks_of(note);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    shows(
        &stack.swap(["rollback", "app"]).env("TAG", "v2").expect_exit(3),
        expect![[r#"
            error: the versions of `app` have names of their own: the compose file says `[project]-app:v2`, and what is to come back is `[project]-app:v1`
            hint: say `[project]-app:v1` there, in the file or in the variable that it takes, then `swap rollback app` once more
        "#]],
    );
    // Without the variable the compose file names the version before already.
    stack.swap(["rollback", "app"]).expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    for version in ["v1", "v2"] {
        assert_eq!(id(&name(version)), id(&images::app(version).expect("an image")));
    }
    compose_recreates_nothing(&stack);
}
