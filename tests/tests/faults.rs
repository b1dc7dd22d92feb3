//! Bad input and faults: each ends with a plain word, the old version serves, and nothing is left behind.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use expect_test::expect;
use rustix::process::Signal;
use scenarios::between::{Between, Manner};
use scenarios::command::run;
use scenarios::eventually::eventually;
use scenarios::load::Running;
use scenarios::stack::{Container, Stack, compose_tool};
use scenarios::swap::replaced;
use scenarios::transcript::{SWAPPED, SWITCHED_BACK, UNWOUND};

use crate::common::{
    changes_nothing, converged, ends_with_one_version, go, holds_no_lock, is_as_before, light_load, lost_nothing,
    shows, swap_to, tells, tells_but, waits_for_go,
};

const REFUSED: i32 = 3;
const ROLLED_BACK: i32 = 4;
const STUCK: i32 = 5;
const USAGE: i32 = 2;

#[test]
fn an_unknown_service_is_told_with_the_known_ones() {
    let stack = Stack::up();
    let outcome = changes_nothing(&stack, &["ap"], USAGE);
    shows(
        &outcome,
        expect![[r#"
        error: service `ap` not found (services: app, nginx); did you mean the service `app`?
    "#]],
    );
}

#[test]
fn a_service_that_does_not_run_is_refused() {
    let stack = Stack::up();
    stack.compose(&["stop", "app"]);
    let before = stack.world();
    let outcome = stack.swap(["app"]).expect_exit(REFUSED);
    shows(
        &outcome,
        expect![[r#"
        error: service `app` is not running, so there is nothing to replace
        hint: see `docker logs [project]-app-1`; start it with `docker compose up -d app`, or bring the version before back with `swap rollback app`
    "#]],
    );
    assert_eq!(stack.world(), before);
}

#[test]
fn a_proxy_that_does_not_exist_is_refused() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "      health: ./healthcheck", "      health: ./healthcheck\n      proxy: front");
    shows(
        &changes_nothing(&stack, &["app"], REFUSED),
        expect![[r#"
        error: docker-compose.yml: `services.app.x-swap.proxy`: `front` is no service (services: app, nginx; or `PROJECT/SERVICE`, `{ container: NAME }`, `host`, or `none`)
        hint: correct docker-compose.yml; the README lists the keys of x-swap
    "#]],
    );
}

#[test]
fn a_proxy_that_does_not_run_is_refused() {
    let stack = Stack::up();
    stack.compose(&["stop", "nginx"]);
    let before = stack.world();
    shows(
        &stack.swap(["app"]).expect_exit(REFUSED),
        expect![[r#"
        error: the proxy `nginx` is not running, so nobody could send requests to a new `app`
        hint: start it with `docker compose up -d nginx`; for a service without a proxy write `x-swap: { proxy: none }`
    "#]],
    );
    assert_eq!(stack.world(), before);
}

#[test]
fn an_upstream_folder_that_is_not_mounted_is_refused() {
    let stack = Stack::builder().compose("      - ./nginx/swap:/etc/nginx/swap\n", "").up();
    shows(
        &changes_nothing(&stack, &["app"], REFUSED),
        expect![[r#"
        error: the upstream folder `/etc/nginx/swap` is not there
        hint: mount a directory of the host there: `volumes: [ "./swap:/etc/nginx/swap" ]`
    "#]],
    );
}

#[test]
fn an_upstream_folder_that_is_read_only_is_refused() {
    let stack = Stack::builder().compose("./nginx/swap:/etc/nginx/swap", "./nginx/swap:/etc/nginx/swap:ro").up();
    shows(
        &changes_nothing(&stack, &["app"], REFUSED),
        expect![[r#"
        error: the upstream folder `/etc/nginx/swap` is mounted read-only
        hint: leave `:ro` out of that volume
    "#]],
    );
}

#[test]
fn an_upstream_file_that_is_mounted_alone_is_refused() {
    let stack = Stack::builder()
        .file("nginx/swap/app.conf", "upstream app { server app:80; }\n")
        .compose("./nginx/swap:/etc/nginx/swap", "./nginx/swap/app.conf:/etc/nginx/swap/app.conf")
        .up();
    shows(
        &changes_nothing(&stack, &["app"], REFUSED),
        expect![[r#"
        error: a single file is mounted into `/etc/nginx/swap`, which hides every rename
        hint: mount a directory of the host there: `volumes: [ "./swap:/etc/nginx/swap" ]`
    "#]],
    );
}

#[test]
fn an_nginx_configuration_that_was_broken_before_is_refused() {
    let stack = Stack::up();
    stack.edit("nginx.conf", "access_log off;", "access_log off; no_such_directive on;");
    shows(
        &changes_nothing(&stack, &["app"], REFUSED),
        expect![[r#"
        error: nginx's configuration is broken before swap did anything: unknown directive "no_such_directive" in /etc/nginx/nginx.conf:8
          | [when] [emerg] [pid]: unknown directive "no_such_directive" in /etc/nginx/nginx.conf:8
          | nginx: configuration file /etc/nginx/nginx.conf test failed
        hint: correct it until `nginx -t` succeeds, then swap again
    "#]],
    );
}

#[test]
fn a_container_name_is_refused() {
    let stack = Stack::builder().app_line("container_name: [project]-fixed").up();
    shows(
        &changes_nothing(&stack, &["app"], REFUSED),
        expect![[r#"
        error: service `app` has `container_name: [project]-fixed`, and two containers can't share a name
        hint: remove `container_name` from `services: app:`, then `docker compose up -d app` once
    "#]],
    );
}

#[test]
fn a_fixed_published_port_is_refused() {
    let port = free_port().to_string();
    let stack = Stack::builder().app_line(&format!("ports: [\"127.0.0.1:{port}:80\"]")).up();
    shows(
        &changes_nothing(&stack, &["app"], REFUSED),
        expect![[r#"
        error: service `app` publishes the fixed port `[port]:80`, and two containers can't share it
        hint: let nginx publish the port: remove `ports` from `services: app:` (use `expose` for the inner port)
    "#]],
    );
}

#[test]
fn a_candidate_that_never_gets_healthy_is_removed() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /never\n      timeouts: { health: 2s }");
    stack.deploy("v2");
    tells_but(
        &changes_nothing(&stack, &["app"], ROLLED_BACK),
        UNWOUND,
        expect![[r#"
                start       app: [project]-app-2 runs  [time]
            +   healthy     failed: candidate `[project]-app-2` not healthy after [time]: `test -e /never` exited 1  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + error: candidate `[project]-app-2` not healthy after [time]: `test -e /never` exited 1
            + hint: if it only needs longer, give it `--timeout 2m`, or `timeouts: { health: 2m }` in `x-swap`
        "#]],
    );
}

#[test]
fn a_candidate_that_exits_fails_at_once_with_its_last_lines() {
    let stack = Stack::up();
    let dies = "stop_grace_period: 10s\n    command: [\"sh\", \"-c\", \"echo the license is missing; exit 3\"]";
    stack.edit("docker-compose.yml", "stop_grace_period: 10s", dies);
    let outcome = changes_nothing(&stack, &["app"], ROLLED_BACK);
    tells_but(
        &outcome,
        UNWOUND,
        expect![[r#"
              swap app (project [project], run [run])
            + note: `[project]-app` is the image that runs already: right for a change of the compose file, but a new version is built first
                start       app: [project]-app-2 runs  [time]
            +   healthy     failed: candidate `[project]-app-2` exited with code 3  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + error: candidate `[project]-app-2` exited with code 3
            +   | the license is missing
        "#]],
    );
    assert!(outcome.took < Duration::from_secs(30), "it waited {:?}", outcome.took);
}

#[test]
fn a_missing_image_is_refused() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", &format!("{}-app", stack.project), &format!("{}-nowhere", stack.project));
    shows(
        &changes_nothing(&stack, &["app"], REFUSED),
        expect![[r#"
        error: the image `[project]-nowhere` of service `app` is not there
        hint: `docker compose build app` or `docker compose pull app`
    "#]],
    );
}

#[test]
fn a_health_command_that_does_not_exist_is_told_at_once() {
    let stack = Stack::up();
    stack.deploy("v2");
    let outcome = changes_nothing(&stack, &["app", "./healthchekc"], ROLLED_BACK);
    tells_but(
        &outcome,
        UNWOUND,
        expect![[r#"
                start       app: [project]-app-2 runs  [time]
            +   healthy     failed: health command `./healthchekc` not found in candidate `[project]-app-2`  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + error: health command `./healthchekc` not found in candidate `[project]-app-2`
            +   | sh: 1: ./healthchekc: not found
            + hint: the command runs inside the new container, in its working directory; is it in the image, and executable?
        "#]],
    );
    assert!(outcome.took < Duration::from_secs(30), "it waited {:?}", outcome.took);
}

#[test]
fn a_missing_compose_file_is_refused() {
    let stack = Stack::up();
    let elsewhere = stack.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("making a folder");
    std::fs::rename(stack.path("docker-compose.yml"), elsewhere.join("moved.yml")).expect("moving the compose file");
    shows(
        &stack.swap(["app"]).expect_exit(REFUSED),
        expect![[r#"
        error: `docker compose config` in `[folder]` failed with exit code 1
          | no configuration file provided: not found
        hint: run swap in the project's folder or one below it, or name the file: `swap -f path/compose.yaml …`
    "#]],
    );
    std::fs::rename(elsewhere.join("moved.yml"), stack.path("docker-compose.yml")).expect("moving it back");
}

#[test]
fn a_broken_compose_file_is_refused() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "    stop_grace_period: 10s\n", "    stop_grace_period: 10s\n   broken: [\n");
    shows(
        &changes_nothing(&stack, &["app"], REFUSED),
        expect![[r#"
        error: `docker compose config` in `[folder]` failed with exit code 1 on docker-compose.yml
          | yaml: line 1: did not find expected key
        hint: `docker compose config` must print the project before swap can read it
    "#]],
    );
}

#[test]
fn an_unknown_setting_is_refused_with_file_service_and_key() {
    let stack = Stack::up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: ./healthcheck\n      wach: 5s");
    shows(
        &changes_nothing(&stack, &["app"], REFUSED),
        expect![[r#"
        error: docker-compose.yml: `services.app.x-swap`: unknown key `wach`, did you mean `watch`? (keys: port, proxy, upstream, health, successes, watch, probe, timeouts, order, keep, dns, anonymous-volumes, sidecars, room, hooks)
        hint: correct docker-compose.yml; the README lists the keys of x-swap
    "#]],
    );
}

#[test]
fn an_engine_that_does_not_answer_is_refused() {
    let stack = Stack::up();
    let socket = format!("unix://{}", stack.path("no.sock").display());
    shows(
        &stack.swap(["app"]).env("DOCKER_HOST", socket).expect_exit(REFUSED),
        expect![[r#"
        error: the Docker engine at `unix://[folder]/no.sock` (from DOCKER_HOST) can't be reached: there is no such socket
        hint: start it (`systemctl start docker`, or Docker Desktop), or name another one by DOCKER_HOST or a docker context
    "#]],
    );
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
    shows(
        &outcome,
        expect![[r#"
        error: can't write `[folder]/state/[engine]/[project]/app.lock`: No space left on device (os error 28)
        hint: free some disk space, or choose another folder with SWAP_STATE_DIR
    "#]],
    );
    lost_nothing(running);
    std::fs::remove_dir_all(stack.state()).expect("removing the folder");
    is_as_before(&stack, &before);
}

#[test]
fn a_second_swap_at_the_same_time_is_told_who_holds_the_service() {
    let stack = Stack::up();
    waits_for_go(&stack);
    stack.deploy("v2");
    let running = light_load(&stack);
    let mut first = stack.swap(["app"]).start();
    first.until("healthy", "started");
    shows(
        &stack.swap(["app"]).expect_exit(6),
        expect![[r#"
        error: another run holds `app`: pid [pid] of [user] on [machine] since [when]
        hint: wait for it with `swap --wait [time] app`
    "#]],
    );
    go(&stack);
    first.expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

#[test]
fn nginx_restarted_in_the_middle_leaves_one_version_serving() {
    let stack = Stack::up();
    waits_for_go(&stack);
    stack.deploy("v2");
    let mut swap = stack.swap(["app"]).start();
    swap.until("healthy", "started");
    stack.compose(&["restart", "-t", "1", "nginx"]);
    go(&stack);
    let outcome = swap.expect_exit_of(&[0, ROLLED_BACK]);
    // Of the rare ending it depends on the moment which words it has.
    if outcome.code == 0 {
        tells(&outcome, SWAPPED);
    }
    ends_with_one_version(&stack);
}

#[test]
fn a_compose_up_in_the_middle_leaves_one_version_serving() {
    let stack = Stack::up();
    waits_for_go(&stack);
    stack.deploy("v2");
    let mut swap = stack.swap(["app"]).start();
    swap.until("healthy", "started");
    stack.compose(&["up", "-d"]);
    stack.exec("nginx", "true");
    let go = stack.containers("app").into_iter().find(|container| container.state == "running").expect("a container");
    stack.docker(&["exec", &go.id, "touch", "/data/go"]);
    let outcome = swap.expect_exit_of(&[0, ROLLED_BACK]);
    // Of the rare ending it depends on the moment which words it has.
    if outcome.code == 0 {
        tells(&outcome, SWAPPED);
    }
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
    shows(
        &outcome,
        expect![[r#"
            error: the Docker engine at `unix://[folder]/engine.sock` (from DOCKER_HOST) can't be reached: it did not answer within [time]
            hint: `docker version` asks it too; if that hangs as well, restart the engine
        "#]],
    );
    assert!(outcome.took < Duration::from_secs(30), "it waited {:?}", outcome.took);
}

#[test]
fn an_engine_that_hangs_in_the_middle_is_left_by_two_ctrl_c() {
    let (stack, engine) = waiting_between();
    let running = light_load(&stack);
    let mut swap = stack.swap(["app"]).env("DOCKER_HOST", engine.host()).start();
    swap.until("healthy", "started");
    engine.set(Manner::Silent);
    swap.signal(Signal::INT);
    swap.until_interrupted();
    let asked = Instant::now();
    swap.signal(Signal::INT);
    shows(
        &swap.expect_exit(STUCK),
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
        SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)
        > app: [project]-app-1 serves
        > left as it is; `swap resume app` finishes, `swap rollback app` unwinds
    "#]],
    );
    assert!(asked.elapsed() < Duration::from_secs(20), "it went on for {:?}", asked.elapsed());
    go(&stack);
    the_next_swap_mends_it(&stack, &engine, running, "after the engine hung");
}

#[test]
#[ignore = "takes minutes: every call waits for its limit"]
fn an_engine_that_hangs_for_good_is_given_up() {
    let (stack, engine) = waiting_between();
    let running = light_load(&stack);
    let call = stack.swap(["app"]).env("DOCKER_HOST", engine.host());
    let mut swap = call.limit(Duration::from_secs(280)).start();
    swap.until("healthy", "started");
    engine.set(Manner::Silent);
    // Which of its questions the engine leaves open depends on the moment.
    let stderr = swap.expect_exit(STUCK).stderr;
    assert!(stderr.contains("the engine did not answer"), "{stderr}");
    go(&stack);
    the_next_swap_mends_it(&stack, &engine, running, "after the engine hung");
}

#[test]
#[ignore = "takes minutes: compose waits for its limit"]
fn an_engine_that_hangs_while_compose_creates_is_given_up() {
    let stack = Stack::up();
    let engine = engine_between(&stack);
    stack.deploy("v2");
    let running = light_load(&stack);
    let call = stack.swap(["app"]).env("DOCKER_HOST", engine.host());
    let mut swap = call.limit(Duration::from_secs(280)).start();
    swap.until("create", "started");
    engine.set(Manner::Silent);
    swap.expect_exit_of(&[ROLLED_BACK, STUCK]);
    the_next_swap_mends_it(&stack, &engine, running, "after the engine hung");
}

#[test]
fn an_engine_that_breaks_off_for_a_moment_is_waited_for() {
    let (stack, engine) = waiting_between();
    let running = light_load(&stack);
    let mut swap = stack.swap(["app"]).env("DOCKER_HOST", engine.host()).start();
    swap.until("healthy", "started");
    engine.set(Manner::Gone);
    // So long that swap has asked several times.
    std::thread::sleep(Duration::from_secs(2));
    engine.set(Manner::Honest);
    go(&stack);
    tells(&swap.expect_exit(0), SWAPPED);
    converged(&stack, "v2", &running, "after the engine was gone");
    lost_nothing(running);
}

#[test]
fn an_engine_whose_answers_are_cut_off_is_told_and_the_next_swap_mends_it() {
    let (stack, engine) = waiting_between();
    let running = light_load(&stack);
    let call = stack.swap(["--timeout", "3s", "app"]).env("DOCKER_HOST", engine.host());
    // Each of three attempts waits for the engine twice.
    let mut swap = call.limit(Duration::from_secs(280)).start();
    swap.until("healthy", "started");
    engine.set(Manner::Cut(40));
    let mut outcome = swap.expect_exit(STUCK);
    // How far the first check came before the answers were cut off is chance: its command may run by then.
    let by_chance = [
        (r"(healthy     failed): .*(  \[time\])", "$1: [why]$2"),
        (r"(?m)^ *note: a command in container .* was given up and still runs\n", ""),
    ];
    outcome.stderr = replaced(&outcome.stderr, &by_chance);
    shows(
        &outcome,
        expect![[r#"
            swap app (project [project], run [run])
              adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
              create      app: [project]-app-2 from [project]-app ([id])  [time]
              start       app: [project]-app-2 runs  [time]
              healthy     failed: [why]  [time]
              stop        failed: inspecting container `[id]`: the engine broke the connection off before it had answered  [time]
              stop        failed: inspecting container `[id]`: the engine broke the connection off before it had answered  [time]
              stop        failed: inspecting container `[id]`: the engine broke the connection off before it had answered  [time]
            error: inspecting container `[id]`: the engine broke the connection off before it had answered
            hint: see whether `docker version` answers; the log of the engine tells more
            > app: [project]-app-1 serves
            > stuck at stop: mend what the error names, then `swap resume app`
        "#]],
    );
    go(&stack);
    the_next_swap_mends_it(&stack, &engine, running, "after the engine's answers were cut off");
}

#[test]
fn nginx_killed_or_restarted_at_a_step_leaves_one_version_serving() {
    let stack = Stack::up();
    let mut next = "v2";
    for (verb, fault) in [("healthy", "kill"), ("switch", "kill"), ("drain", "restart"), ("retire", "kill")] {
        stack.deploy(next);
        let nginx = stack.containers("nginx").remove(0);
        let mut swap = stack.swap(["app"]).start();
        swap.until(verb, "started");
        stack.docker(&[fault, &nginx.id]);
        let outcome = swap.expect_exit_of(&[0, ROLLED_BACK, STUCK]);
        let told = format!("{fault} at {verb}: exit {}\n{}{}", outcome.code, outcome.raw, outcome.stderr);
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
    waits_for_go(&stack);
    stack.deploy("v2");
    let before = stack.world();
    let running = light_load(&stack);
    let mut swap = stack.swap(["app"]).start();
    swap.until("healthy", "started");
    kill(&stack, |old, container| container.id != old);
    tells_but(
        &swap.expect_exit(ROLLED_BACK),
        UNWOUND,
        expect![[r#"
                start       app: [project]-app-2 runs  [time]
            +   healthy     failed: candidate `[project]-app-2` exited with code 137  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + error: candidate `[project]-app-2` exited with code 137
        "#]],
    );
    lost_nothing(running);
    is_as_before(&stack, &before);
}

#[test]
fn a_candidate_killed_right_after_the_switch_is_switched_back() {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let _held = hold_the_drain(&stack);
    let mut swap = stack.swap(["app"]).start();
    swap.until("switch", "done");
    kill(&stack, |old, container| container.id != old);
    tells_but(
        &swap.expect_exit(ROLLED_BACK),
        SWITCHED_BACK,
        expect![[r#"
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            +   drain       app: nothing uses [project]-app-1 any more  [time]
            +   commit      failed: candidate `[project]-app-2` exited with code 137  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + error: candidate `[project]-app-2` exited with code 137
        "#]],
    );
    is_as_before(&stack, &before);
    holds_no_lock(&stack);
}

#[test]
fn a_front_door_that_fails_more_in_the_watch_is_switched_back() {
    let stack = Stack::up();
    stack.deploy("v3");
    let before = stack.world();
    let arguments = ["--watch", "60s", "--probe", "/version", "--probe-rate", "200", "app"];
    tells_but(
        &stack.swap(arguments).expect_exit(ROLLED_BACK),
        SWITCHED_BACK,
        expect![[r#"
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            +   watch       failed: the front door failed [n] of [n] requests since the switch, 0 of [n] before; the first: status 500  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + front door: [n] requests, [n] failed, p99 [time] (before [time]); the first failed at [time]: status 500
            + error: the front door failed [n] of [n] requests since the switch, 0 of [n] before; the first: status 500
        "#]],
    );
    is_as_before(&stack, &before);
}

#[test]
fn a_candidate_killed_in_the_watch_is_switched_back() {
    let stack = Stack::up();
    stack.deploy("v2");
    let before = stack.world();
    let mut swap = stack.swap(["--watch", "60s", "app"]).start();
    swap.until("watch", "started");
    kill(&stack, |old, container| container.id != old);
    let outcome = swap.expect_exit(ROLLED_BACK);
    tells_but(
        &outcome,
        SWITCHED_BACK,
        expect![[r#"
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            +   watch       failed: candidate `[project]-app-2` exited with code 137  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + error: candidate `[project]-app-2` exited with code 137
        "#]],
    );
    assert!(outcome.took < Duration::from_secs(40), "it waited {:?}", outcome.took);
    is_as_before(&stack, &before);
    holds_no_lock(&stack);
}

#[test]
fn an_old_container_killed_in_the_drain_is_replaced_all_the_same() {
    let stack = Stack::up();
    stack.deploy("v2");
    let _held = hold_the_drain(&stack);
    let mut swap = stack.swap(["app"]).start();
    swap.until("drain", "started");
    kill(&stack, |old, container| container.id == old);
    tells(&swap.expect_exit(0), SWAPPED);
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
    tells_but(
        &outcome,
        UNWOUND,
        expect![[r#"
                start       app: [project]-app-2 runs  [time]
            +   start       failed: can't write the journal `[folder]/state/[engine]/[project]/runs/[run].open`: failpoint `before journal done #3`  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + error: can't write the journal `[folder]/state/[engine]/[project]/runs/[run].open`: failpoint `before journal done #3`
        "#]],
    );
    lost_nothing(running);
    is_as_before(&stack, &before);
}

#[test]
fn an_upstream_folder_that_gets_full_or_read_only_in_the_middle_unwinds() {
    let stack = Stack::up();
    // Once swap's file is there, nothing but the switch has to write.
    stack.swap(["app"]).expect_exit(0);
    waits_for_go(&stack);
    stack.deploy("v2");
    // Where nothing can be written, the file names addresses on.
    let but_the_file = |world: String| -> String {
        let kept = ["container ", "network ", "volume ", "open run "];
        world
            .lines()
            .filter(|line| kept.iter().any(|kind| line.starts_with(kind)))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let before = but_the_file(stack.world());
    let running = light_load(&stack);
    let pid = stack.docker(&["inspect", "--format", "{{.State.Pid}}", &stack.containers("nginx")[0].id]);
    let folder = "/etc/nginx/swap";
    let full = "cp -a /etc/nginx/swap /tmp/swap && mount -t tmpfs -o size=16k full /etc/nginx/swap && \
                cp -a /tmp/swap/. /etc/nginx/swap/; cat /dev/zero >/etc/nginx/swap/filler 2>/dev/null";
    for (fault, cure, expected) in [
        (
            format!("mount -o remount,bind,ro {folder}"),
            format!("mount -o remount,bind,rw {folder}"),
            expect![[r#"
                swap app (project [project], run [run])
                  create      app: [project]-app-3 from [project]-app ([id])  [time]
                  start       app: [project]-app-3 runs  [time]
                  healthy     app: [project]-app-3 is healthy  [time]
                  switch      failed: writing into the upstream folder `/etc/nginx/swap` failed: cp: cannot create regular file '/etc/nginx/swap/.app.conf.swap-old': Read-only file system  [time]
                  switch-back app: nginx sends new requests to [project]-app-2 ([ip]:80) again  [time]
                  stop        app: what was started is stopped  [time]
                  remove      app: what was created is removed  [time]
                  note: writing into the upstream folder `/etc/nginx/swap` failed: cp: cannot create regular file '/etc/nginx/swap/.app.conf.swap-old': Read-only file system: `/etc/nginx/swap/app.conf` names addresses on, which are other containers' perhaps when nginx starts anew
                error: writing into the upstream folder `/etc/nginx/swap` failed: cp: cannot create regular file '/etc/nginx/swap/.app.conf.swap-old': Read-only file system
                hint: make it writable for the user that nginx's shell runs as
                > rolled back; app: [project]-app-2 serves, nothing of this run is left
            "#]],
        ),
        (
            full.to_owned(),
            format!("umount {folder}"),
            expect![[r#"
                swap app (project [project], run [run])
                  adopt       app: /etc/nginx/swap/app.conf names [project]-app-2 ([ip]:80)  [time]
                  create      app: [project]-app-3 from [project]-app ([id])  [time]
                  start       app: [project]-app-3 runs  [time]
                  healthy     app: [project]-app-3 is healthy  [time]
                  switch      failed: writing into the upstream folder `/etc/nginx/swap` failed: cat: write error: No space left on device  [time]
                  switch-back app: nginx sends new requests to [project]-app-2 ([ip]:80) again  [time]
                  stop        app: what was started is stopped  [time]
                  remove      app: what was created is removed  [time]
                  note: writing into the upstream folder `/etc/nginx/swap` failed: cat: write error: No space left on device: `/etc/nginx/swap/app.conf` names addresses on, which are other containers' perhaps when nginx starts anew
                error: writing into the upstream folder `/etc/nginx/swap` failed: cat: write error: No space left on device
                hint: free some disk space where that folder is
                > rolled back; app: [project]-app-2 serves, nothing of this run is left
            "#]],
        ),
    ] {
        let beside = |line: &str| {
            run(Command::new("nsenter").args(["--target", pid.trim(), "--mount", "sh", "-c", &format!("{line}; true")]))
                .expect("a change of what nginx's container sees")
        };
        let mut swap = stack.swap(["app"]).start();
        swap.until("healthy", "started");
        beside(&fault);
        go(&stack);
        shows(&swap.expect_exit(ROLLED_BACK), expected);
        beside(&cure);
        stack.exec("app", "rm /data/go");
        assert_eq!(stack.version().as_deref(), Ok("v1"), "{fault}");
        assert_eq!(but_the_file(stack.world()), before, "{fault}");
    }
    go(&stack);
    stack.swap(["app"]).expect_exit(0);
    lost_nothing(running);
    let file = std::fs::read_to_string(stack.path("nginx/swap/app.conf")).expect("the upstream");
    assert!(file.contains("# at rest: "), "{file}");
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
    shows(
        &call.through(&["unshare", "--mount", "sh", "-c", &full, "sh"]).expect_exit(0),
        expect![[r#"
        swap app (project [project], run [run])
        note: a compiled hook is not kept in `[folder]/cache/swap/hooks`: No space left on device (os error 28); make room there; until then hooks are compiled each time
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     app: [project]-app-2 is healthy  [time]
          pre-swap    app: app agreed  [time]
          switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
          post-swap   app: app agreed  [time]
          drain       app: nothing uses [project]-app-1 any more  [time]
          retire      app: [project]-app-1 stopped and removed  [time]
            app (finish): app now runs [project]-app-2
          finish      app: app agreed  [time]
        front door: [n] requests, 0 failed, p99 [time] (before [time])
        > swapped app: [project]-app-1 → [project]-app-2 in [time] ([steps])
    "#]],
    );
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
    shows(
        &stack.swap(["resume", "app"]).expect_exit(ROLLED_BACK),
        expect![[r#"
        the run that held `app` is dead (pid [pid] of [user] on [machine] since [when]): taking over
          create      failed: creating a container of `app`: `docker compose up --no-start --no-recreate --no-build --pull never --no-deps --scale app=2 app` failed with exit code 1  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        error: creating a container of `app`: `docker compose up --no-start --no-recreate --no-build --pull never --no-deps --scale app=2 app` failed with exit code 1
          | Container [project]-app-1  Running
          | Container [project]-app-2  Creating
          | Container [project]-app-2  Error response from daemon: No such image: [project]-app:latest
          | Error response from daemon: No such image: [project]-app:latest
        hint: make the image first: `docker compose build app` or `docker compose pull app`
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
    is_as_before(&stack, &before);

    waits_for_go(&stack);
    stack.deploy("v2");
    let mut swap = stack.swap(["app"]).start();
    swap.until("healthy", "started");
    stack.docker(&["rmi", &image]);
    go(&stack);
    tells(&swap.expect_exit(0), SWAPPED);
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
    shows(
        &outcome,
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      failed: running `compose up --no-start --no-recreate --no-build --pull never --no-deps --scale app=2 app` in `[folder]`: No such file or directory (os error 2)  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        error: running `compose up --no-start --no-recreate --no-build --pull never --no-deps --scale app=2 app` in `[folder]`: No such file or directory (os error 2)
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
    lost_nothing(running);
    is_as_before(&stack, &before);
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
    swap_to(&stack, "v1");
    lost_nothing(running);
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
    waits_for_go(&stack);
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
