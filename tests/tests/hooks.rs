//! Hooks on real stacks: what they decide happens, and what they may not do does not.

use std::time::Duration;

use expect_test::expect;
use scenarios::clients::Kind;
use scenarios::eventually::eventually;
use scenarios::http::Cause;
use scenarios::load::Running;
use scenarios::stack::Stack;
use scenarios::transcript::{SWAPPED, SWITCHED_BACK};

use crate::common::{
    changes_nothing, compose_recreates_nothing, is_as_before, light_load, lost_nothing, mixed_load, shows, tells_but,
};

#[test]
fn a_teams_policy_in_one_hook_guards_a_swap_under_load() {
    let stack = Stack::up();
    stack.hook("app");
    let running = mixed_load(&stack);
    stack.deploy("v2");
    let outcome = stack.swap(["--hooks", "hooks/app.wasm", "--watch", "3s", "app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    tells_but(
        &outcome,
        SWAPPED,
        expect![[r#"
                healthy     app: [project]-app-2 is healthy  [time]
            +   pre-swap    app: app agreed  [time]
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            +   post-swap   app: app agreed  [time]
            +   watch       app: [project]-app-2 did well  [time]
                retire      app: [project]-app-1 stopped and removed  [time]
            +     app (finish): app now runs [project]-app-2
            +   finish      app: app agreed  [time]
            + front door: [n] requests, 0 failed, p99 [time] (before [time])
        "#]],
    );
    compose_recreates_nothing(&stack);
}

#[test]
fn a_version_that_fails_after_the_switch_is_switched_back_by_the_teams_hook() {
    let stack = Stack::up();
    stack.hook("app");
    let running = flowing(&stack, "/version");
    stack.deploy("v3");
    let before = stack.world();
    let outcome = stack.swap(["--hooks", "hooks/app.wasm", "--watch", "30s", "app"]).expect_exit(4);
    tells_but(
        &outcome,
        SWITCHED_BACK,
        expect![[r#"
                healthy     app: [project]-app-2 is healthy  [time]
            +   pre-swap    app: app agreed  [time]
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            +   post-swap   app: app agreed  [time]
            +   watch       failed: hook `app` (health) is fatal: [n] of [n] requests failed  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + front door: [n] requests, [n] failed, p99 [time] (before [time]); the first failed at [time]: status 500
            + error: hook `app` (health) is fatal: [n] of [n] requests failed
        "#]],
    );
    only_its_own_failures(running);
    is_as_before(&stack, &before);
}

#[test]
fn the_example_with_a_database_is_migrated_once_and_guarded() {
    let stack = Stack::postgres(|compose| compose.replace("watch: 20s", "watch: 12s"));
    let running = flowing(&stack, "/notes");

    stack.build("v2");
    let outcome = stack.swap(["app"]).expect_exit(0);
    shows(
        &outcome,
        expect![[r#"
        swap app (project [project], run [run])
            migrate (pre-start): the schema is at 2 now
          pre-start   app: migrate agreed  [time]
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     app: [project]-app-2 is healthy  [time]
          announce    app: [project]-app-2 is found by the service's name in [project]_default  [time]
            warmup (pre-swap): http://[project]-app-2.candidate: 3 of 3 pages are warm
          pre-swap    app: warmup agreed  [time]
          switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
          post-swap   app: warmup agreed  [time]
          watch       app: [project]-app-2 did well  [time]
          drain       app: nothing uses [project]-app-1 any more  [time]
          retire      app: [project]-app-1 stopped and removed  [time]
          finish      app: migrate agreed  [time]
        front door: [n] requests, 0 failed, p99 [time] (before [time])
        > swapped app: [project]-app-1 → [project]-app-2 in [time] ([steps])
    "#]],
    );
    assert_eq!(answered_by(&stack), "v2");
    // The first to ask finds it warm.
    assert_eq!(stack.get("/report").expect("the report").header("x-cache"), Some("hit"));
    let outcome = stack.swap(["app"]).expect_exit(0);
    // It is not migrated again.
    shows(
        &outcome,
        expect![[r#"
        swap app (project [project], run [run])
        note: `[project]-app` is the image that runs already: right for a change of the compose file, but a new version is built first
            migrate (pre-start): [project]-app was migrated before
          pre-start   app: migrate agreed  [time]
          create      app: [project]-app-3 from [project]-app ([id])  [time]
          start       app: [project]-app-3 runs  [time]
          healthy     app: [project]-app-3 is healthy  [time]
          announce    app: [project]-app-3 is found by the service's name in [project]_default  [time]
            warmup (pre-swap): http://[project]-app-3.candidate: 3 of 3 pages are warm
          pre-swap    app: warmup agreed  [time]
          switch      app: nginx sends new requests to [project]-app-3 ([ip]:80)  [time]
          post-swap   app: warmup agreed  [time]
          watch       app: [project]-app-3 did well  [time]
          drain       app: nothing uses [project]-app-2 any more  [time]
          retire      app: [project]-app-2 stopped and removed  [time]
          finish      app: migrate agreed  [time]
        front door: [n] requests, 0 failed, p99 [time] (before [time])
        > swapped app: [project]-app-2 → [project]-app-3 in [time] ([steps])
    "#]],
    );
    assert_eq!(running.counts().1, 0);

    stack.build("v3");
    let before = stack.containers("app");
    let mut outcome = stack.swap(["app"]).expect_exit(4);
    // Which pages v3 fails to answer is chance.
    let said = outcome.stderr.split_inclusive('\n').filter(|line| !line.contains("warmup (pre-swap): "));
    outcome.stderr = said.collect();
    shows(
        &outcome,
        expect![[r#"
        swap app (project [project], run [run])
            migrate (pre-start): the schema is at 2 already
          pre-start   app: migrate agreed  [time]
          create      app: [project]-app-4 from [project]-app ([id])  [time]
          start       app: [project]-app-4 runs  [time]
          healthy     app: [project]-app-4 is healthy  [time]
          announce    app: [project]-app-4 is found by the service's name in [project]_default  [time]
          pre-swap    app: warmup agreed  [time]
          switch      app: nginx sends new requests to [project]-app-4 ([ip]:80)  [time]
          post-swap   app: warmup agreed  [time]
          watch       failed: hook `slo-guard` (health) is fatal: [n] of [n] requests failed since the switch, [n] in 1000; [n] are allowed  [time]
          switch-back app: nginx sends new requests to [project]-app-3 ([ip]:80) again  [time]
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
          rollback    app: migrate agreed  [time]
        front door: [n] requests, [n] failed, p99 [time] (before [time]); the first failed at [time]: status 500
        error: hook `slo-guard` (health) is fatal: [n] of [n] requests failed since the switch, [n] in 1000; [n] are allowed
        > rolled back; app: [project]-app-3 serves, nothing of this run is left
    "#]],
    );
    assert_eq!(stack.containers("app"), before);
    assert_eq!(answered_by(&stack), "v2");
    only_its_own_failures(running);
    // Whatever the rollback did, the schema is still what the live version needs.
    assert_eq!(stack.get("/up").expect("an answer").status, 200);
}

#[test]
fn a_migration_that_fails_leaves_everything_as_it_was() {
    let stack = Stack::up();
    stack.hook("migrate");
    let migrate = "{ use: hooks/migrate.wasm, config: { command: \"echo no such table; exit 3\" } }";
    stack.edit(
        "docker-compose.yml",
        "health: ./healthcheck",
        &format!("health: ./healthcheck\n      hooks: [ {migrate} ]"),
    );
    stack.deploy("v2");
    let outcome = changes_nothing(&stack, &["app"], 4);
    shows(
        &outcome,
        expect![[r#"
        swap app (project [project], run [run])
            migrate (pre-start): no such table
          pre-start   failed: hook `migrate` (pre-start) failed: `echo no such table; exit 3`: exit 3: no such table  [time]
          rollback    app: migrate agreed  [time]
        error: hook `migrate` (pre-start) failed: `echo no such table; exit 3`: exit 3: no such table
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
}

#[test]
fn a_killed_run_with_hooks_is_resumed_and_rolled_back_with_them() {
    let stack = Stack::up();
    stack.hook("migrate");
    let migrate =
        "{ use: hooks/migrate.wasm, config: { command: echo up >>/data/steps, rollback: echo down >>/data/steps } }";
    stack.edit(
        "docker-compose.yml",
        "health: ./healthcheck",
        &format!("health: ./healthcheck\n      hooks: [ {migrate} ]"),
    );
    let running = light_load(&stack);
    for (words, code, version, steps, expected) in [
        (
            ["rollback", "app"],
            4,
            "v1",
            "up\ndown\n",
            expect![[r#"
            the run that held `app` is dead (pid [pid] of [user] on [machine] since [when]): taking over
              stop        app: what was started is stopped  [time]
              remove      app: what was created is removed  [time]
              release     app: /etc/nginx/swap/app.conf is removed again  [time]
              rollback    app: migrate agreed  [time]
            > rolled back; app: [project]-app-1 serves, nothing of this run is left
        "#]],
        ),
        (
            ["resume", "app"],
            0,
            "v2",
            "up\ndown\nup\n",
            expect![[r#"
            the run that held `app` is dead (pid [pid] of [user] on [machine] since [when]): taking over
              start       app: [project]-app-2 runs  [time]
              healthy     app: [project]-app-2 is healthy  [time]
              switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
              drain       app: nothing uses [project]-app-1 any more  [time]
              retire      app: [project]-app-1 stopped and removed  [time]
              finish      app: migrate agreed  [time]
            > swapped app: [project]-app-1 → [project]-app-2 in [time] ([steps])
        "#]],
        ),
    ] {
        stack.deploy("v2");
        crate::kills::kill_at(&stack, "healthy", "started");
        shows(&stack.swap(words).expect_exit(code), expected);
        assert_eq!(stack.version().as_deref(), Ok(version));
        assert_eq!(stack.exec("app", "cat /data/steps"), steps);
        assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
        assert_eq!(stack.open_runs(), [""; 0]);
    }
    lost_nothing(running);
}

#[test]
fn a_grant_that_is_missing_is_told_and_nothing_is_touched() {
    let stack = Stack::up();
    stack.hook("notify");
    stack.deploy("v2");
    // What a hook can't do without is refused when it is loaded.
    stack.hook("needy");
    let before = stack.world();
    let outcome = stack.swap(["--hooks", "hooks/needy.wasm", "app"]).expect_exit(3);
    shows(
        &outcome,
        expect![[r#"
        error: hook `needy`: it needs `exec:nginx`, which is not granted
        hint: allow it with `allow: [ "exec:nginx" ]` beside the hook in `x-swap`, or `--allow exec:nginx`
    "#]],
    );
    assert_eq!(stack.world(), before);
    // What depends on the call is refused when it is made.
    stack.hook("awkward");
    let reach_out: [&'static str; 7] =
        ["--hooks", "hooks/awkward.wasm", "--set", "in=pre-start", "--set", "does=reach out", "app"];
    let outcome = changes_nothing(&stack, &reach_out, 4);
    shows(
        &outcome,
        expect![[r#"
            swap app (project [project], run [run])
              pre-start   failed: hook `awkward` (pre-start) failed: to run a command in the service `nginx` is not granted  [time]
              rollback    app: awkward agreed  [time]
            error: hook `awkward` (pre-start) failed: to run a command in the service `nginx` is not granted
            hint: allow it with `allow: [ "exec:nginx" ]` beside the hook in `x-swap`, or `--allow exec:nginx`
            > rolled back; app: [project]-app-1 serves, nothing of this run is left
        "#]],
    );
    // With the line that it named it is let.
    stack.swap([&["--allow", "exec:nginx"], &reach_out[..]].concat()).expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn a_hook_that_loops_or_panics_unwinds_the_run() {
    let stack = Stack::up();
    stack.hook("awkward");
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: ./healthcheck\n      timeouts: { hook: 2s }");
    stack.deploy("v2");
    for (phase, does, expected) in [
        (
            "in=pre-start",
            "does=loop",
            expect![[r#"
                swap app (project [project], run [run])
                  pre-start   failed: hook `awkward` (pre-start) aborted: no answer within [time]  [time]
                  rollback    app: awkward agreed  [time]
                error: hook `awkward` (pre-start) aborted: no answer within [time]
                > rolled back; app: [project]-app-1 serves, nothing of this run is left
            "#]],
        ),
        (
            "in=health",
            "does=panic",
            expect![[r#"
                swap app (project [project], run [run])
                  pre-start   app: awkward agreed  [time]
                  adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
                  create      app: [project]-app-2 from [project]-app ([id])  [time]
                  start       app: [project]-app-2 runs  [time]
                  healthy     failed: hook `awkward` (health) aborted: panicked at tests/hooks/awkward/src/lib.rs:42: nobody expected this  [time]
                  stop        app: what was started is stopped  [time]
                  remove      app: what was created is removed  [time]
                  release     app: /etc/nginx/swap/app.conf is removed again  [time]
                  rollback    app: awkward agreed  [time]
                error: hook `awkward` (health) aborted: panicked at tests/hooks/awkward/src/lib.rs:42: nobody expected this
                  | panicked at tests/hooks/awkward/src/lib.rs:42: nobody expected this
                > rolled back; app: [project]-app-1 serves, nothing of this run is left
            "#]],
        ),
        (
            "in=pre-swap",
            "does=panic",
            expect![[r#"
                swap app (project [project], run [run])
                  pre-start   app: awkward agreed  [time]
                  adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
                  create      app: [project]-app-2 from [project]-app ([id])  [time]
                  start       app: [project]-app-2 runs  [time]
                  healthy     app: [project]-app-2 is healthy  [time]
                  pre-swap    failed: hook `awkward` (pre-swap) aborted: panicked at tests/hooks/awkward/src/lib.rs:42: nobody expected this  [time]
                  stop        app: what was started is stopped  [time]
                  remove      app: what was created is removed  [time]
                  release     app: /etc/nginx/swap/app.conf is removed again  [time]
                  rollback    app: awkward agreed  [time]
                error: hook `awkward` (pre-swap) aborted: panicked at tests/hooks/awkward/src/lib.rs:42: nobody expected this
                  | panicked at tests/hooks/awkward/src/lib.rs:42: nobody expected this
                > rolled back; app: [project]-app-1 serves, nothing of this run is left
            "#]],
        ),
        (
            "in=post-swap",
            "does=loop",
            expect![[r#"
                swap app (project [project], run [run])
                  pre-start   app: awkward agreed  [time]
                  adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
                  create      app: [project]-app-2 from [project]-app ([id])  [time]
                  start       app: [project]-app-2 runs  [time]
                  healthy     app: [project]-app-2 is healthy  [time]
                  pre-swap    app: awkward agreed  [time]
                  switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
                  post-swap   failed: hook `awkward` (post-swap) aborted: no answer within [time]  [time]
                  switch-back app: nginx sends new requests to [project]-app-1 ([ip]:80) again  [time]
                  stop        app: what was started is stopped  [time]
                  remove      app: what was created is removed  [time]
                  release     app: /etc/nginx/swap/app.conf is removed again  [time]
                  rollback    app: awkward agreed  [time]
                error: hook `awkward` (post-swap) aborted: no answer within [time]
                > rolled back; app: [project]-app-1 serves, nothing of this run is left
            "#]],
        ),
    ] {
        let outcome =
            changes_nothing(&stack, &["--hooks", "hooks/awkward.wasm", "--set", phase, "--set", does, "app"], 4);
        shows(&outcome, expected);
        assert!(outcome.took < Duration::from_secs(120), "{phase} {does} took {:?}", outcome.took);
    }
}

/// A few clients on pages that any version serves.
fn flowing(stack: &Stack, path: &str) -> Running {
    let mut load = stack.load().mix([(Kind::Get, 4), (Kind::NewGet, 4), (Kind::Silent, 2)]);
    load.paths.get = path.into();
    load.silence = Duration::from_secs(1);
    let running = load.start().expect("the load");
    eventually("answers", Duration::from_secs(60), || running.counts().0 > 100);
    running
}

/// Stops a load of which nothing was lost but what v3 itself answered with 500.
#[track_caller]
fn only_its_own_failures(running: Running) {
    let report = running.stop().expect("the report");
    println!("{report}");
    assert!(report.versions.contains_key("v3"), "v3 never served");
    let foreign: Vec<_> = report.failures.iter().filter(|failed| failed.cause != Cause::Status(500)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[track_caller]
fn answered_by(stack: &Stack) -> String {
    let answer = stack.get("/version").expect("an answer");
    answer.header("x-version").unwrap_or_default().to_owned()
}

#[test]
fn a_run_is_taken_up_with_the_components_that_it_began_with() {
    let stack = Stack::up();
    stack.hook("migrate");
    stack.hook("needy");
    let migrate =
        "{ use: hooks/migrate.wasm, config: { command: echo up >>/data/steps, rollback: echo down >>/data/steps } }";
    stack.edit(
        "docker-compose.yml",
        "health: ./healthcheck",
        &format!("health: ./healthcheck\n      hooks: [ {migrate} ]"),
    );
    stack.deploy("v2");
    crate::kills::kill_at(&stack, "healthy", "started");
    let (component, kept) = (stack.path("hooks/migrate.wasm"), stack.path("kept.wasm"));
    std::fs::rename(&component, &kept).expect("keeping it");
    std::fs::copy(stack.path("hooks/needy.wasm"), &component).expect("another component");
    stack.edit(
        "docker-compose.yml",
        "echo down >>/data/steps }",
        "echo down >>/data/steps }, allow: [ \"exec:nginx\" ]",
    );
    let before = stack.world();
    let refused = stack.swap(["resume", "app"]).expect_exit(3);
    shows(
        &refused,
        expect![[r#"
        the run that held `app` is dead (pid [pid] of [user] on [machine] since [when]): taking over
        error: the run of `app` began with another component of the hook `migrate`
        hint: put back the file with the digest [image] (now: [image]); `swap hooks inspect FILE` shows it
    "#]],
    );
    assert_eq!(stack.world(), before);
    std::fs::rename(&kept, &component).expect("putting it back");
    stack.edit("docker-compose.yml", ", allow: [ \"exec:nginx\" ]", "");
    stack.swap(["resume", "app"]).expect_exit(0);
    assert_eq!(stack.exec("app", "cat /data/steps"), "up\n");
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn a_hook_that_hangs_is_named_with_how_long() {
    let stack = Stack::up();
    stack.hook("awkward");
    stack.deploy("v2");
    let hangs =
        ["--hooks", "hooks/awkward.wasm", "--set", "in=health", "--set", "does=sleep", "--timeout", "2s", "app"];
    let outcome = stack.swap(hangs).expect_exit(4);
    outcome.talks_of("not healthy after [time]: hook `awkward` (health) has not answered for [time]");
    assert!(outcome.took < Duration::from_secs(60), "{:?}", outcome.took);
}

#[test]
fn a_program_that_comes_late_is_waited_for_and_one_that_never_comes_is_told_apart() {
    let stack = Stack::up();
    stack.deploy("v2");
    let tool = "printf '#!/bin/sh\\nexit 0\\n' >/data/tool.new; chmod +x /data/tool.new; mv /data/tool.new /data/tool";
    for check in [&["app", "--", "/data/tool"][..], &["app", "/data/tool"]] {
        stack.exec("app", "rm -f /data/tool");
        let mut swap = stack.swap(["-v"].iter().chain(check).copied().collect::<Vec<_>>()).start();
        swap.until("healthy", "started");
        std::thread::sleep(Duration::from_secs(1));
        stack.exec("app", tool);
        let outcome = swap.expect_exit(0);
        outcome.talks_of("not yet: health command `/data/tool` not found in candidate");
    }
    // The command is there, and what it calls is not.
    stack.exec("app", "printf '#!/bin/sh\\nno-such-tool\\n' >/data/tool; chmod +x /data/tool");
    let outcome = stack.swap(["app", "--", "/data/tool"]).expect_exit(4);
    for said in ["exited 127 in candidate", "no-such-tool", "the command is there and lacks a program that it calls"] {
        outcome.talks_of(said);
    }
    stack.exec("app", "rm /data/tool");
    let outcome = stack.swap(["app", "/data/tool"]).expect_exit(4);
    outcome.talks_of("health command `/data/tool` not found in candidate");
}
