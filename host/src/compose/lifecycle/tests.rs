//! A service as `config` prints it in, what a swap does for it out.

use std::fmt::Write as _;

use super::super::place::ProjectPlace;
use super::super::read::{assemble, yaml};
use super::*;

/// Returns all that was read of a service's lifecycle.
fn shown(found: &Found) -> String {
    let mut text = String::new();
    for file in &found.lifecycle.files {
        let from = file.variable.as_ref().map_or("the compose file".to_owned(), |variable| format!("${variable}"));
        let owner = |id: Option<u64>| id.map_or("-".to_owned(), |id| id.to_string());
        let _ = writeln!(text, "{file} from {from} {}:{} {:04o}", owner(file.uid), owner(file.gid), file.mode);
    }
    let all = [
        (Moment::PreStart, &found.lifecycle.pre_start),
        (Moment::PostStart, &found.lifecycle.post_start),
        (Moment::PreStop, &found.lifecycle.pre_stop),
    ];
    for (moment, commands) in all {
        for command in commands {
            let _ = write!(text, "{moment} {command}");
            let named = [("as", &command.user), ("in", &command.folder)];
            for (word, name) in named.into_iter().filter_map(|(word, name)| Some((word, name.as_ref()?))) {
                let _ = write!(text, " {word} {name}");
            }
            if command.privileged {
                text.push_str(" privileged");
            }
            if !command.environment.is_empty() {
                let _ = write!(text, " with {}", command.environment.join(", "));
            }
            text.push('\n');
        }
    }
    for problem in &found.problems {
        let _ = writeln!(text, "refused: {problem}\n  {}", problem.hint.as_deref().unwrap_or("-"));
    }
    for notice in &found.notices {
        let _ = writeln!(text, "note: {notice}");
    }
    text
}

/// Compares what is read of the service `app` of a project.
#[track_caller]
fn check(config: &str, expected: &str) {
    let config = yaml(config).expect("YAML");
    let found = parse(&"app".parse().expect("a name"), &config["services"]["app"], &config);
    let text = shown(&found);
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn files_that_are_not_mounted() {
    check(
        "
services:
  app:
    secrets:
      - { source: one, target: /run/secrets/one }
      - { source: two, target: deep/two.txt, uid: '103', gid: '104', mode: '0400' }
      - { source: of-older-tools, mode: 288 }
      - { source: file }
      - short
    configs:
      - { source: c1 }
      - { source: c2, target: /etc/c2.conf, uid: '33', mode: '0640' }
      - { source: c3, target: relative/c3 }
      - { source: file }
secrets:
  one: { name: x_one, environment: SECRET_ONE }
  two: { name: x_two, environment: SECRET_TWO }
  of-older-tools: { environment: OLD }
  short: { environment: SHORT }
  file: { file: /x/f.txt }
configs:
  c1: { content: 'port=80' }
  c2: { environment: SECRET_ONE }
  c3: { content: a }
  file: { file: /x/f.txt }
",
        "\
secret one as /run/secrets/one from $SECRET_ONE -:- 0444
secret two as /run/secrets/deep/two.txt from $SECRET_TWO 103:104 0400
secret of-older-tools as /run/secrets/of-older-tools from $OLD -:- 0440
secret short as /run/secrets/short from $SHORT -:- 0444
config c1 as /c1 from the compose file -:- 0444
config c2 as /etc/c2.conf from $SECRET_ONE 33:- 0640
config c3 as /relative/c3 from the compose file -:- 0444
",
    );
}

#[test]
fn commands_with_all_that_they_may_have() {
    check(
        "
services:
  app:
    pre_start:
      - { command: [./migrate, up], image: tools:1, working_dir: /srv }
      - { image: tools:2 }
    post_start:
      - command: [sh, -c, 'echo $A > /tmp/x']
        user: root
        privileged: true
        working_dir: /tmp
        environment: { E: null, T: hunter2 }
    pre_stop:
      - { command: [./drain.sh], environment: [T=hunter2, GONE] }
",
        "\
pre_start `./migrate up` in tools:1 in /srv
pre_start `` in tools:2
post_start `sh -c echo $A > /tmp/x` as root in /tmp privileged with E, T
pre_stop `./drain.sh` with T, GONE
",
    );
}

#[test]
fn what_compose_can_not_do_is_refused() {
    check(
        "
services:
  app:
    read_only: true
    secrets: [ { source: swarm }, { source: one }, { source: named, uid: root }, { source: odd } ]
    configs: [ { source: c, mode: rw } ]
    provider: { type: awesomecloud }
    post_start: [ { user: root } ]
    pre_start: [ { command: [a], per_replica: true } ]
secrets:
  swarm: { external: true }
  one: { environment: ONE }
  named: { environment: ONE }
  odd: { environment: A-B }
configs:
  c: { content: x }
",
        "\
secret one as /run/secrets/one from $ONE -:- 0444
pre_start `a`
refused: service `app` is made by the provider `awesomecloud`, so it has no containers
  `docker compose up -d app` asks the provider; swap only replaces containers
refused: the secret `swarm` of service `app` is external, which only Swarm can give to a container
  compose refuses it too: name its value by `file:` or `environment:`
refused: the secret `named` of service `app`: its `uid` is not a number
  compose takes the number of a user or a group, not its name
refused: the secret `odd` of service `app` comes from the variable `A-B`, which no compose file can name
  a variable that can be asked for has letters, digits and `_`
refused: the config `c` of service `app`: its `mode` is not a file's
  write it in octal digits, as `mode: 0440`
refused: service `app` is `read_only`, so the secret `one` can't be put into it
  compose refuses it too: keep the value in a file and name it by `file:`, which is mounted
refused: `services.app.pre_start[0]` has `per_replica: true`, which compose does not support yet
  remove it: the command runs once, before the first of the new containers starts
refused: `services.app.post_start[0]` has no command
  write it as `command: [\"./warm\", \"all\"]`
",
    );
}

#[test]
fn what_is_passed_over_is_said() {
    check(
        "
services:
  app:
    pull_policy: always
    tmpfs: [ '/run:size=1m' ]
    secrets: [ { source: one } ]
    deploy:
      update_config: { order: stop-first, monitor: 1m30s, failure_action: pause, parallelism: 2, delay: 10s, max_failure_ratio: 0.5 }
secrets:
  one: { environment: ONE }
",
        "\
secret one as /run/secrets/one from $ONE -:- 0444
note: the secret `one` is put to `/run/secrets/one`, where the tmpfs at `/run` hides it (compose does the same; give it another \
`target`)
note: `pull_policy: always` of `app` is passed over: the candidate is made of the image that is here (`docker compose pull app` \
first)
note: `deploy.update_config` of `app` is not obeyed in `delay: 10s`, `failure_action: pause`, `max_failure_ratio: 0.5`, \
`parallelism: 2`: all replicas are replaced at once, and a bad candidate is always rolled back
",
    );
    check(
        "services: { app: { pull_policy: build, deploy: { update_config: { failure_action: rollback, parallelism: 0 } } } }",
        "\
note: `pull_policy: build` of `app` is passed over: the candidate is made of the image that is here (`docker compose build app` \
first)
",
    );
    check(
        "services: { app: { pull_policy: missing, deploy: { update_config: { order: start-first, monitor: 5s } } } }",
        "",
    );
}

#[test]
fn keys_that_matter_only_to_compose_are_left_to_it() {
    check(
        "
services:
  app:
    attach: false
    credential_spec: { file: my-credential-spec.json }
    develop: { watch: [ { path: ./src, action: sync, target: /src } ] }
    gpus: [ { count: -1 } ]
    models: { llm: { endpoint_var: LLM_URL } }
    storage_opt: { size: 1G }
models:
  llm: { model: ai/smollm2 }
",
        "",
    );
}

#[test]
fn update_config_is_the_default_of_order_and_watch() {
    let settled = |settings: &str| {
        let update = "deploy: { update_config: { order: stop-first, monitor: 1.5s } }";
        let text = format!("x-swap: {{ successes: 2 }}\nservices: {{ app: {{ {update}, x-swap: {settings} }} }}");
        let place =
            ProjectPlace { files: Vec::new(), directory: "/x".into(), env_directory: "/x".into(), name: "x".into() };
        let project = assemble(&yaml(&text).expect("YAML"), &place, Vec::new()).expect("a project");
        let settings = &project.services.values().next().expect("a service").settings;
        format!("{:?} {:?} {}", settings.order, settings.watch, settings.successes)
    };
    assert_eq!(settled("{}"), "StopFirst 1.5s 2");
    assert_eq!(settled("{ order: start-first, watch: 0s }"), "StartFirst 0ns 2");
    for (text, expected) in [("1h2m3s", Some(3_723_000)), ("500ms", Some(500)), ("1.5s", Some(1500)), ("0s", Some(0))] {
        assert_eq!(go_duration(text).map(|time| time.as_millis()), expected, "{text}");
    }
    for text in ["", "5", "s", "5 s", "1x", "-1s", "1.2.3s"] {
        assert_eq!(go_duration(text), None, "{text}");
    }
}

#[test]
fn values_are_read_and_never_shown() {
    let config = "
services:
  app:
    environment: { A: b }
    post_start: [ { command: [a], environment: { T: hunter2, E: null } } ]
configs:
  c: { content: \"two\\nlines\\n\" }
x-swap-values:
  ONE: { set: set, value: \"a\\nb $x\" }
  EMPTY: { set: set, value: '' }
  NONE: { set: '', value: '' }
";
    let service: ServiceName = "app".parse().expect("a name");
    let values = Values::of(&service, &yaml(config).expect("YAML")).expect("values");
    let file = |name: &str, variable: Option<&str>| {
        let (kind, name) = (FileKind::Config, name.to_owned());
        let file = InjectedFile {
            kind,
            name,
            variable: variable.map(str::to_owned),
            target: "/c".to_owned(),
            uid: None,
            gid: None,
            mode: 0o444,
        };
        values.file(&file).map(str::to_owned).map_err(|failure| failure.what)
    };
    assert_eq!(file("c", None).as_deref(), Ok("two\nlines\n"));
    assert_eq!(file("c", Some("ONE")).as_deref(), Ok("a\nb $x"));
    assert_eq!(file("c", Some("EMPTY")).as_deref(), Ok(""));
    let unset = "the variable `NONE` of the config `c` is not set where compose would read it";
    assert_eq!(file("c", Some("NONE")), Err(unset.to_owned()));
    assert_eq!(file("other", None), Err("the config `other` is not in the compose file any more".to_owned()));
    let command = LifecycleCommand {
        words: vec!["a".to_owned()],
        environment: vec!["E".to_owned(), "T".to_owned()],
        ..LifecycleCommand::default()
    };
    let both = [("E".to_owned(), None), ("T".to_owned(), Some("hunter2".to_owned()))];
    assert_eq!(values.environment(Moment::PostStart, 0, &command), Ok(&both[..]));
    assert_eq!(values.service_environment(), [("A".to_owned(), Some("b".to_owned()))]);
    let changed = values.environment(Moment::PreStop, 0, &command).map_err(|failure| failure.what);
    assert_eq!(
        changed,
        Err("pre_stop `a` has another `environment` in the compose file than when the run began".to_owned())
    );
    assert_eq!(format!("{values:?}"), "Values(…)");
}

#[test]
fn variables_are_asked_for_in_a_project_of_their_own() {
    let question = question(&["ONE".to_owned()]);
    assert_eq!(question, r#"{"x-swap-values":{"ONE":{"set":"${ONE+set}","value":"${ONE-}"}}}"#);
}
