//! What compose does with a container beside creating, starting and stopping it: files that it puts in, commands that it
//! runs. And that a candidate is, key by key, what compose would have made.

use std::os::unix::fs::PermissionsExt;

use scenarios::stack::{Container, Stack, compose_tool};
use serde_json::Value;

use crate::common::{changes_nothing, compose_recreates_nothing, is_as_before, light_load, lost_nothing};

/// The application, that notes in `/data/life` when it is asked to stop.
const COMMAND: &str = "command: [\"sh\", \"-c\", \"./serve & s=$$!; trap 'echo term $$(hostname) >>/data/life; \
                       kill -TERM $$s' TERM; wait $$s; wait $$s\"]";

const FILES: &str =
    "secrets: [ plain, { source: owned, target: deep/two.txt, uid: '33', gid: '34', mode: 0400 }, mounted ]
    configs: [ inline, { source: given, target: /etc/app/three.conf, gid: '33', mode: 0640 } ]";

const DEFINED: &str = "secrets:
  plain: { environment: PLAIN }
  owned: { environment: OWNED }
  mounted: { file: ./mounted.txt }
configs:
  inline: { content: \"port=${PORT:-80} $$literal\\nsecond line\\n\" }
  given: { environment: GIVEN }

volumes:
  data: {}
";

/// The values, as compose reads them from the project's folder.
const VALUES: &str =
    "PLAIN=hunter-plain\nOWNED=\"hunter-of\nseveral lines\n\"\nGIVEN=hunter-given\nTOKEN=hunter-token\n";

const POST_START: &str = "post_start:
      - command: [ sh, -c, 'echo post_start $$(hostname) $$(id -un) $$PWD $$TOKEN $${PATH_INFO-unset} >>/data/life' ]
        user: www-data
        working_dir: /tmp
        environment: [ \"TOKEN=${TOKEN}\" ]
      - command: [ sh, -c, 'exec echo second $$(id -u) >>/data/life' ]
    pre_stop:
      - command: [ sh, -c, 'echo pre_stop $$(hostname) >>/data/life' ]";

/// Writes down what the container has of the files.
const LOOK: &str = "for f in /run/secrets/plain /run/secrets/deep/two.txt /run/secrets/mounted /inline /etc/app/three.conf; do \
                    stat -c '%n %a %u:%g' $f; cat $f; echo; done";

#[test]
fn files_and_commands_of_compose_are_there_in_a_swap() {
    let Some(stack) = lifecycle(&format!("{FILES}\n    {POST_START}")) else { return };
    let old = stack.containers("app").remove(0);
    let made_by_compose = stack.exec("app", LOOK);
    stack.deploy("v2");
    // What is missing is said before anything is changed, and what the tool does not know is its refusal.
    stack.write(".env", &VALUES.replace("GIVEN", "OTHER"));
    let refused = stack.swap(["plan", "app"]).expect_exit(3);
    refused.talks_of("the variable `GIVEN` of the config `given` is not set");
    stack.write(".env", VALUES);

    let running = light_load(&stack);
    // The environment of the command goes before `.env`, as with compose.
    let swapped = stack.swap(["app"]).env("GIVEN", "hunter-process").expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    let new = stack.containers("app").remove(0);
    assert_eq!(stack.exec("app", LOOK), made_by_compose.replace("hunter-given", "hunter-process"));
    assert_eq!(
        life(&stack, &[(&old, "old"), (&new, "new")]),
        "post_start old www-data /tmp hunter-token unset\nsecond 0\n\
         post_start new www-data /tmp hunter-token unset\nsecond 0\n\
         pre_stop old\nterm old\n"
    );
    compose_recreates_nothing(&stack);
    told_no_secret(&stack, &swapped.stderr);
    let logged = stack.swap(["logs", "--output", "json"]).expect_exit(0).raw;
    let done: Vec<Value> = logged.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ours = ["inject", "start", "post-start", "healthy", "switch", "drain", "commit", "pre-stop", "retire"];
    let done: Vec<&str> = done
        .iter()
        .filter(|event| event["event"] == "done")
        .filter_map(|event| event["verb"].as_str())
        .filter(|verb| ours.contains(verb))
        .collect();
    assert_eq!(done, ours);
    told_no_secret(&stack, &logged);
}

#[test]
fn a_failing_post_start_leaves_the_old_version_and_a_failing_pre_stop_is_told() {
    let Some(stack) = lifecycle(POST_START) else { return };
    stack.deploy("v2");
    stack.edit("docker-compose.yml", "exec echo second", "echo it can not be >&2; exit 3; echo second");
    let failed = changes_nothing(&stack, &["app"], 4);
    failed.talks_of("exited with code 3");
    failed.talks_of("it can not be");
    // What was started has run pre_stop before it was stopped, and has got its SIGTERM after that.
    let life = stack.exec("app", "cat /data/life");
    let words: Vec<&str> = life.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(words, ["post_start", "second", "post_start", "pre_stop", "term"], "{life}");

    stack.edit("docker-compose.yml", "echo it can not be >&2; exit 3; echo second", "echo second");
    stack.edit("docker-compose.yml", "echo pre_stop $$(hostname) >>/data/life", "echo no way >&2; exit 7");
    let running = light_load(&stack);
    let swapped = stack.swap(["app"]).expect_exit(0);
    lost_nothing(running);
    swapped.talks_of("exited with code 7");
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_eq!(stack.containers("app").len(), 1);
}

#[test]
fn with_stop_first_pre_stop_comes_before_the_stop_and_post_start_when_the_old_one_serves_again() {
    let Some(stack) = lifecycle(POST_START) else { return };
    let old = stack.containers("app").remove(0);
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: ./healthcheck\n      order: stop-first");
    stack.exec("app", ": >/data/life");
    // A version that is never healthy: the old one is started again, and is told so.
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: 'false'\n      timeouts: { health: 1s }");
    stack.deploy("v2");
    stack.swap(["app"]).expect_exit(4);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    let lived: Vec<String> = life(&stack, &[(&old, "old")]).lines().map(str::to_owned).collect();
    let of_old: Vec<&str> = lived.iter().filter(|line| line.contains(" old")).map(String::as_str).collect();
    assert_eq!(of_old, ["pre_stop old", "term old", "post_start old www-data /tmp hunter-token unset"], "{lived:?}");
    assert_eq!(lived.last().map(String::as_str), Some("second 0"), "{lived:?}");

    // A pre_stop that fails stops nothing.
    stack.edit("docker-compose.yml", "health: 'false'\n      timeouts: { health: 1s }", "health: ./healthcheck");
    stack.edit("docker-compose.yml", "echo pre_stop $$(hostname) >>/data/life", "echo no way >&2; exit 7");
    let failed = changes_nothing(&stack, &["app"], 4);
    failed.talks_of("exited with code 7");

    stack.edit("docker-compose.yml", "echo no way >&2; exit 7", "echo pre_stop $$(hostname) >>/data/life");
    stack.exec("app", ": >/data/life");
    stack.swap(["app"]).expect_exit(0);
    let new = stack.containers("app").remove(0);
    assert_eq!(
        life(&stack, &[(&old, "old"), (&new, "new")]),
        "pre_stop old\nterm old\npost_start new www-data /tmp hunter-token unset\nsecond 0\n"
    );
    assert_eq!(stack.version().as_deref(), Ok("v2"));
}

/// What compose 5.3 says of `pre_start`, said by an older one of a key of its own.
const NEWER: &str = "#!/bin/sh
case \" $* \" in
  *' config '*) docker compose \"$@\" | sed 's/^\\( *\\)x-pre_start:/\\1pre_start:/' ;;
  *) exec docker compose \"$@\" ;;
esac
";

#[test]
fn pre_start_runs_before_the_candidate_starts_and_holds_it_up_when_it_fails() {
    let waits = "while [ -e /data/wait ]; do sleep 0.05; done; echo pre_start by `id -un` >>/data/life";
    let lines =
        format!("x-pre_start:\n      - command: [ sh, -c, '{waits}' ]\n        user: www-data\n    {POST_START}");
    let Some(stack) = lifecycle(&lines) else { return };
    if compose_tool() != ["docker", "compose"] {
        return;
    }
    stack.write("newer", NEWER);
    std::fs::set_permissions(stack.path("newer"), PermissionsExt::from_mode(0o755)).expect("a program");
    let tool = stack.path("newer").display().to_string();
    let swap = |words: &'static [&'static str]| stack.swap(words).env("SWAP_COMPOSE", &tool);
    let old = stack.containers("app").remove(0);
    stack.deploy("v2");
    let running = light_load(&stack);

    stack.edit("docker-compose.yml", "echo pre_start by", "echo not today >&2; exit 3; echo pre_start by");
    let before = stack.world();
    let failed = swap(&["app"]).expect_exit(4);
    assert!(failed.stderr.contains("pre_start: ") && failed.stderr.contains("not today"), "{}", failed.stderr);
    is_as_before(&stack, &before);
    stack.edit("docker-compose.yml", "echo not today >&2; exit 3; echo pre_start by", "echo pre_start by");

    stack.exec("app", ": >/data/life; touch /data/wait");
    let mut killed = swap(&["app"]).start();
    killed.until("init", "started");
    killed.kill();
    killed.expect_exit(137);
    stack.exec("app", "rm /data/wait");
    swap(&["resume", "app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    let new = stack.containers("app").remove(0);
    let lived = life(&stack, &[(&old, "old"), (&new, "new")]);
    // The killed run's own command may have ended too.
    let lived = lived.replacen("pre_start by www-data\npre_start by www-data\n", "pre_start by www-data\n", 1);
    assert_eq!(
        lived,
        "pre_start by www-data\npost_start new www-data /tmp hunter-token unset\nsecond 0\npre_stop old\nterm old\n"
    );
    let left = stack.docker(&["ps", "-aq", "--filter", &format!("name={}-app-init", stack.project)]);
    assert_eq!(left, "", "a container of pre_start is left");
}

#[test]
fn a_kill_in_post_start_is_resumed_by_running_it() {
    let wait = "while [ -e /data/wait ]; do sleep 0.05; done; echo post_start";
    let wait = POST_START.replace("echo post_start", wait);
    let Some(stack) = lifecycle(&format!("{FILES}\n    {wait}")) else { return };
    stack.exec("app", "touch /data/wait");
    stack.deploy("v2");
    let running = light_load(&stack);
    let mut run = stack.swap(["app"]).start();
    run.until("post-start", "started");
    run.kill();
    // Another terminal does not have the variables: said, and unwound.
    stack.write(".env", &VALUES.replace("PLAIN", "OTHER"));
    let unwound = stack.swap(["resume", "app"]).expect_exit(4);
    unwound.talks_of("the variable `PLAIN` of the secret `plain` is not set");
    stack.write(".env", VALUES);

    let mut run = stack.swap(["app"]).start();
    run.until("post-start", "started");
    run.kill();
    stack.exec("app", "rm /data/wait");
    stack.swap(["resume", "app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    let new = stack.containers("app").remove(0);
    let ran = life(&stack, &[(&new, "new")]).lines().filter(|line| line.starts_with("post_start new ")).count();
    // The killed run's own command may have ended too: every effect may run twice.
    assert!((1..=2).contains(&ran), "{ran}");
    assert_eq!(stack.exec("app", "cat /run/secrets/plain"), "hunter-plain");
}

#[test]
fn a_tool_that_knows_none_of_it_refuses() {
    let Some(stack) = lifecycle(&format!("{FILES}\n    {POST_START}")) else { return };
    let refused = stack.swap(["app"]).env("SWAP_COMPOSE", "docker-compose").expect_exit(3);
    let text = &refused.stderr;
    assert!(text.contains("Unsupported config option for services.app: 'post_start'"), "{text}");
    assert!(text.contains("secrets.plain value 'environment' does not match"), "{text}");
    // What compose learnt in 5.3; an older one says so, a newer one runs it.
    if version() < (5, 3) {
        stack.edit("docker-compose.yml", "post_start:\n", "pre_start: [ { command: [ true ] } ]\n    post_start:\n");
        let refused = stack.swap(["app"]).expect_exit(3);
        refused.talks_of("pre_start");
    }
    assert_eq!(stack.version().as_deref(), Ok("v1"));
}

/// As many keys as this engine takes, and those that can be read by themselves.
const KEYS: &str = "attach: false
    cap_add: [ NET_ADMIN ]
    cap_drop: [ MKNOD ]
    cgroup_parent: /swap-test
    cpus: 0.5
    cpu_shares: 512
    depends_on: { base: { condition: service_started } }
    pids_limit: 200
    device_cgroup_rules: [ 'c 1:3 mr' ]
    devices: [ '/dev/null:/dev/nothing' ]
    dns: [ 127.0.0.11 ]
    dns_opt: [ 'ndots:2' ]
    dns_search: [ example.test ]
    domainname: example.test
    entrypoint: [ env ]
    command: [ ./serve ]
    env_file: [ app.env ]
    environment: { OWN: here }
    expose: [ '81' ]
    extends: { service: base }
    external_links: []
    extra_hosts: [ 'other:10.0.0.1' ]
    group_add: [ '33' ]
    healthcheck: { test: [ CMD, ./healthcheck ], interval: 2s, timeout: 3s, retries: 4, start_period: 1s }
    hostname: named
    init: true
    ipc: service:base
    pid: service:base
    label_file: [ app.labels ]
    labels: { own.label: here }
    links: [ 'base:the-base' ]
    logging: { driver: json-file, options: { max-size: 1m } }
    mem_limit: 256m
    mem_reservation: 128m
    networks: { default: { aliases: [ another ] }, back: {} }
    oom_score_adj: 100
    platform: linux/amd64
    pull_policy: never
    restart: unless-stopped
    runtime: runc
    secrets: [ mounted ]
    configs: [ { source: mounted, target: /etc/mounted } ]
    security_opt: [ 'no-new-privileges:true' ]
    shm_size: 32m
    stdin_open: true
    stop_signal: SIGTERM
    sysctls: { net.core.somaxconn: 1024 }
    tmpfs: [ '/scratch:size=1m' ]
    tty: true
    ulimits: { nofile: { soft: 1024, hard: 2048 } }
    user: root
    volumes_from: [ 'base:ro' ]
    working_dir: /app";

const BASE: &str = "
  base:
    image: swap-example/php
    entrypoint: []
    command: [ sleep, infinity ]
    ipc: shareable
    environment: { FROM_BASE: there }
    volumes: [ base:/base ]

  idle:
    image: swap-example/php
    profiles: [ never ]

networks:
  back: {}
secrets:
  mounted: { file: ./mounted.txt }
configs:
  mounted: { file: ./mounted.txt }

volumes:
  base: {}
  data: {}
";

#[test]
fn a_candidate_is_what_compose_would_have_made() {
    if version() < (2, 32) {
        // `label_file` is not known before.
        return;
    }
    let api = std::process::Command::new("docker").args(["version", "--format", "{{.Server.APIVersion}}"]).output();
    let api = String::from_utf8_lossy(&api.expect("an engine").stdout).trim().to_owned();
    let minor: u32 = api.split('.').nth(1).and_then(|minor| minor.parse().ok()).expect("an API version");
    let newer = if minor < 44 { "" } else { "\n    annotations: { own: here }" };
    let interval = if minor < 44 { "start_period: 1s" } else { "start_period: 1s, start_interval: 1s" };
    let stack = Stack::builder()
        .app_line(&format!("{}{newer}", KEYS.replace("start_period: 1s", interval)))
        .compose("\nvolumes:\n  data: {}\n", BASE)
        .file("app.env", "FROM_FILE=there\n")
        .file("app.labels", "from.file=there\n")
        .file("mounted.txt", "of a file\n")
        .file(
            "more.yml",
            "services:\n  more:\n    image: swap-example/php\n    entrypoint: []\n    command: [ sleep, infinity ]\n",
        )
        .compose("      health: ./healthcheck\n", "      health: ./healthcheck\n      port: 80\n")
        .compose("services:\n", "include: [ more.yml ]\n\nservices:\n")
        .up();
    stack.deploy("v2");
    stack.swap(["app"]).expect_exit(0);
    compose_recreates_nothing(&stack);
    let ours = normalised(&stack);
    stack.compose(&["up", "-d", "--no-deps", "--force-recreate", "app"]);
    let theirs = normalised(&stack);
    let (ours, theirs) = (serde_json::to_string_pretty(&ours).unwrap(), serde_json::to_string_pretty(&theirs).unwrap());
    let differ: Vec<String> = ours
        .lines()
        .zip(theirs.lines())
        .filter(|(ours, theirs)| ours != theirs)
        .map(|(ours, theirs)| format!("{ours} | {theirs}"))
        .collect();
    assert_eq!(ours, theirs, "{differ:#?}");
}

/// Returns all that the engine tells of the application's container, but for what is another one's in every container.
fn normalised(stack: &Stack) -> Value {
    let container = stack.containers("app").remove(0);
    let text = stack.docker(&["inspect", &container.id]);
    let text =
        text.replace(&container.id, "ID").replace(&container.id[..12], "SHORT").replace(&container.name, "/NAME");
    let mut all: Value = serde_json::from_str(&text).expect("JSON");
    let own = [
        "Created",
        "State",
        "GraphDriver",
        "Name",
        "RestartCount",
        "ResolvConfPath",
        "HostnamePath",
        "HostsPath",
        "LogPath",
        // The checks of its health that run at this moment.
        "ExecIDs",
    ];
    let seen = all[0].as_object_mut().expect("a container");
    own.iter().for_each(|key| drop(seen.remove(*key)));
    for key in ["SandboxID", "SandboxKey", "EndpointID", "IPAddress", "MacAddress"] {
        seen["NetworkSettings"].as_object_mut().expect("a map").remove(key);
    }
    for network in seen["NetworkSettings"]["Networks"].as_object_mut().expect("a map").values_mut() {
        for key in ["EndpointID", "IPAddress", "MacAddress"] {
            network.as_object_mut().expect("a map").remove(key);
        }
        sort(&mut network["Aliases"]);
        // No address is asked for, in either way to say so.
        let ipam = &mut network["IPAMConfig"];
        if ipam.as_object().is_some_and(serde_json::Map::is_empty) {
            *ipam = Value::Null;
        }
    }
    for key in ["com.docker.compose.container-number", "com.docker.compose.replace"] {
        seen["Config"]["Labels"].as_object_mut().expect("a map").remove(key);
    }
    for list in ["/Mounts", "/HostConfig/Binds", "/HostConfig/Mounts", "/HostConfig/Links", "/Config/Env"] {
        all.pointer_mut(&format!("/0{list}")).into_iter().for_each(sort);
    }
    all
}

/// Sorts a list whose order the tool does not settle, and takes out what is there twice.
fn sort(list: &mut Value) {
    if let Value::Array(items) = list {
        items.sort_by_key(Value::to_string);
        items.dedup();
    }
}

/// Brings up an application with a lifecycle; `None` where the tool does not know it.
#[track_caller]
fn lifecycle(lines: &str) -> Option<Stack> {
    if version() < (2, 30) {
        eprintln!("not tried: this compose has no post_start");
        return None;
    }
    let builder = Stack::builder().app_line(&format!("{COMMAND}\n    {lines}"));
    let builder = builder.compose("volumes:\n  data: {}\n", DEFINED).file(".env", VALUES);
    Some(builder.file("mounted.txt", "of a file\n").up())
}

/// Returns the compose tool's version, major and minor.
fn version() -> (u32, u32) {
    let tool = compose_tool();
    let answer = std::process::Command::new(&tool[0]).args(&tool[1..]).args(["version", "--short"]).output();
    let text = String::from_utf8_lossy(&answer.expect("the compose tool answers").stdout).trim().to_owned();
    let mut numbers = text.trim_start_matches('v').split('.').map_while(|part| part.parse().ok());
    (numbers.next().expect("a version"), numbers.next().unwrap_or(0))
}

/// Returns what was noted, with containers by these names.
fn life(stack: &Stack, names: &[(&Container, &str)]) -> String {
    let text = stack.exec("app", "cat /data/life");
    names.iter().fold(text, |text, (container, name)| text.replace(&container.id[..12], name))
}

/// Checks that no value went into a message or into what swap keeps.
#[track_caller]
fn told_no_secret(stack: &Stack, said: &str) {
    assert!(!said.contains("hunter-"), "{said}");
    let found = std::process::Command::new("grep").args(["-rl", "hunter-"]).arg(stack.state()).output().expect("grep");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "a value was kept");
}
