//! Text in, text out: recorded output of the real tools, settings with all their mistakes, and the tools themselves.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::place::ProjectPlace;
use super::project::{Project, Service};
use super::read::{assemble, messages, yaml};
use super::settings::{KEY, Reader};
use super::{Compose, Options, Tool, overlay};
use crate::model::{Failure, Settings};
use crate::mutated::{harmless, harmless_line};

mod engine;

/// Returns everything that was read of a project.
fn show(project: &Project) -> String {
    let mut text = format!("{} in {}\n", project.name, project.directory.display());
    for (name, service) in &project.services {
        let _ = writeln!(text, "{name}");
        let mut line = |key: &str, value: String| {
            if !value.is_empty() {
                let _ = writeln!(text, "  {key}: {value}");
            }
        };
        let flag = |yes: bool| if yes { "yes".to_owned() } else { String::new() };
        line("image", service.image.clone().unwrap_or_default());
        line("build", flag(service.build.is_some()));
        line("container_name", service.container_name.clone().unwrap_or_default());
        let ports = service.ports.iter().map(|port| {
            let host = port.host.map_or("free".to_owned(), |(first, last)| format!("{first}-{last}"));
            format!("{host}→{}/{}{}", port.target, port.protocol, if port.fixed() { " fixed" } else { "" })
        });
        line("ports", ports.collect::<Vec<_>>().join(", "));
        line("expose", service.expose.iter().map(u16::to_string).collect::<Vec<_>>().join(" "));
        let volumes = service.volumes.iter().map(|mount| {
            let source = mount.source.as_deref().unwrap_or("-");
            format!("{} {source} → {}{}", mount.kind, mount.target, if mount.read_only { " ro" } else { "" })
        });
        line("volumes", volumes.collect::<Vec<_>>().join(", "));
        line("networks", service.networks.join(" "));
        line("network_mode", service.network_mode.clone().unwrap_or_default());
        line("stop", service.stop_grace_period.map(|time| format!("{time:?}")).unwrap_or_default());
        line("healthcheck disabled", flag(service.healthcheck_disabled));
        line("scale", service.scale.to_string());
        line("restart", service.restart.clone().unwrap_or_default());
        line("pull", service.pull_policy.clone().unwrap_or_default());
        line("depends on", service.depends_on.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" "));
        line("profiles", service.profiles.join(" "));
        line("x-swap", show_settings(&service.settings));
    }
    text
}

/// Returns the settings that are not the defaults.
fn show_settings(settings: &Settings) -> String {
    let mut parts = Vec::new();
    let default = Settings::default();
    if let Some(port) = settings.port {
        parts.push(format!("port {port}"));
    }
    if let Some(proxy) = &settings.proxy {
        parts.push(format!("proxy {proxy}"));
    }
    if let Some(upstream) = &settings.upstream {
        parts.push(format!("upstream {upstream}"));
    }
    if settings.no_proxy {
        parts.push("no proxy".to_owned());
    }
    parts.extend(settings.health.iter().map(|check| format!("check {check:?}")));
    if settings.successes != 0 {
        parts.push(format!("successes {}", settings.successes));
    }
    if settings.watch != Duration::ZERO {
        parts.push(format!("watch {:?}", settings.watch));
    }
    if let Some(probe) = &settings.probe {
        let rate = settings.probe_rate.map(|rate| format!(" {rate} a second")).unwrap_or_default();
        parts.push(format!("probe {probe}{rate}"));
    }
    if settings.timeouts != default.timeouts {
        let limits = settings.timeouts;
        let reload = if limits.reload.is_zero() { String::new() } else { format!(" reload {:?}", limits.reload) };
        parts.push(format!("timeouts {:?} {:?} {:?}{reload}", limits.health, limits.drain, limits.hook));
    }
    if settings.order != default.order {
        parts.push(format!("{:?}", settings.order));
    }
    if let Some(keep) = settings.keep {
        parts.push(format!("keep {keep}"));
    }
    parts.extend(settings.hooks.iter().map(|hook| format!("hook {} {:?} {:?}", hook.file, hook.config, hook.allow)));
    parts.join("; ")
}

fn show_failure(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", failure.what);
    for line in &failure.tail {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

/// Reads what a tool printed for `/srv/shop/docker-compose.yml`.
fn read_printed(printed: &str) -> String {
    let place = ProjectPlace {
        files: vec!["docker-compose.yml".into()],
        directory: "/srv/shop".into(),
        env_directory: "/srv/shop".into(),
        name: "shop".into(),
    };
    let config = yaml(&printed.replace("$$", "$")).unwrap();
    match assemble(&config, &place, Vec::new()) {
        Ok(project) => show(&project),
        Err(failure) => show_failure(&failure),
    }
}

/// Compares with a file beside; `SWAP_BLESS=1` writes it instead.
fn expect_file(name: &str, got: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/compose/testdata").join(name);
    if std::env::var_os("SWAP_BLESS").is_some() {
        std::fs::write(&file, got).unwrap();
    }
    assert_eq!(got, std::fs::read_to_string(&file).unwrap(), "{name}");
}

#[test]
fn both_tools_mean_the_same_project() {
    for (name, v1, v2) in [
        ("shop.txt", include_str!("testdata/shop.v1.yml"), include_str!("testdata/shop.v2.yml")),
        ("plain.txt", include_str!("testdata/plain.v1.yml"), include_str!("testdata/plain.v2.yml")),
    ] {
        expect_file(name, &read_printed(v1));
        expect_file(name, &read_printed(v2));
    }
}

#[test]
fn whatever_is_printed_gives_harmless_names_or_a_refusal() {
    let shop = include_str!("testdata/shop.v2.yml");
    let corpus = [shop, include_str!("testdata/shop.v1.yml"), include_str!("testdata/plain.v2.yml")];
    let place = ProjectPlace {
        files: vec!["docker-compose.yml".into()],
        directory: "/srv/shop".into(),
        env_directory: "/srv/shop".into(),
        name: "shop".into(),
    };
    crate::mutated::texts(&corpus, |text| {
        let Ok(config) = yaml(text) else { return };
        match assemble(&config, &place, messages(text)) {
            Err(failure) => harmless_lines(&show_failure(&failure)),
            Ok(project) => {
                harmless("the project", &project.name);
                for (name, service) in &project.services {
                    harmless("a service", name.as_str());
                    let Service { settings, image, container_name, networks, volumes, .. } = service;
                    let mounted = volumes.iter().flat_map(|mount| mount.source.iter().chain([&mount.target]));
                    for text in image.iter().chain(container_name).chain(networks).chain(mounted) {
                        harmless("a name", text);
                    }
                    let paths = settings.hooks.iter().map(|hook| &hook.file).chain(&settings.probe);
                    paths.for_each(|path| harmless("a path", path));
                }
                project.warnings.iter().for_each(|warning| harmless_line("a warning", warning));
            }
        }
    });
}

#[test]
fn a_name_with_a_control_character_is_refused() {
    let read = |line: &str| read_printed(&format!("name: shop\nservices:\n  app:\n    {line}\n"));
    let refused = |name: &str| {
        format!(
            "error: reading docker-compose.yml: `{name}` has a control character\nhint: names and paths have none\n"
        )
    };
    assert_eq!(read(r#"image: "php\e[2J""#), refused("php\\u{1b}[2J"));
    assert_eq!(read(r#"volumes: [ "./a\n: /srv" ]"#), refused("./a\\n"));
    let mistaken = |key: &str, name: &str| {
        format!(
            "error: docker-compose.yml: `services.app.x-swap.{key}`: `{name}` has a control character\n\
             hint: correct docker-compose.yml; the README lists the keys of x-swap\n"
        )
    };
    assert_eq!(read(r#"x-swap: { hooks: [ "a\e.wasm" ] }"#), mistaken("hooks[0]", "a\\u{1b}.wasm"));
    assert_eq!(read(r#"x-swap: { probe: "/\e" }"#), mistaken("probe", "/\\u{1b}"));
}

fn harmless_lines(text: &str) {
    text.lines().for_each(|line| harmless_line("a message", line));
}

/// Reads `x-swap` of the service `app` beside `nginx`.
fn settings_of(text: &str) -> String {
    let value = yaml(text).unwrap();
    let mut reader = Reader::new(Path::new("/srv/shop"), vec!["app", "nginx"]);
    let settings = reader.settings(&format!("services.app.{KEY}"), &value);
    match reader.finish("compose.yaml") {
        Ok(()) => show_settings(&settings),
        Err(failure) => {
            show_failure(&failure).replace("hint: correct compose.yaml; the README lists the keys of x-swap\n", "")
        }
    }
}

#[test]
fn settings_are_read_in_all_their_forms() {
    for (text, expected) in [
        ("", ""),
        ("{}", ""),
        ("{ port: , health: , hooks: , timeouts: }", ""),
        ("port: '9000'", "port 9000"),
        ("proxy: nginx", "proxy nginx"),
        ("proxy: host", "proxy nginx on the host"),
        ("proxy: edge/nginx", "proxy edge/nginx"),
        ("proxy: { container: front_1.a }", "proxy the container front_1.a"),
        ("upstream: shop-app", "upstream shop-app"),
        ("proxy: none", "no proxy"),
        ("health: ./check", r#"check Shell("./check")"#),
        ("health: { http: /up }", r#"check Http("/up")"#),
        ("health: { tcp: true }", "check Tcp"),
        ("health: { tcp: false }", ""),
        ("health: { command: [php, check.php, 3, true] }", r#"check Command(["php", "check.php", "3", "true"])"#),
        ("health: { command: php check.php }", r#"check Shell("php check.php")"#),
        ("health: { shell: a && b }", r#"check Shell("a && b")"#),
        ("health: [./a, { http: /b }]", r#"check Shell("./a"); check Http("/b")"#),
        ("health: [CMD, php, check.php]", r#"check Command(["php", "check.php"])"#),
        ("health: [CMD-SHELL, a || exit 1]", r#"check Shell("a || exit 1")"#),
        ("health: []", ""),
        ("watch: 0", ""),
        ("watch: '0'", ""),
        ("watch: 500ms", "watch 500ms"),
        ("watch: 1m30s", "watch 90s"),
        ("watch: 1.5s", "watch 1.5s"),
        ("watch: 1h", "watch 3600s"),
        ("timeouts: { drain: 5s }", "timeouts 60s 5s 300s"),
        ("timeouts: { reload: 45s }", "timeouts 60s 30s 300s reload 45s"),
        ("order: stop-first", "StopFirst"),
        ("successes: 3", "successes 3"),
        ("keep: 5", "keep 5"),
        ("keep: 0", "keep 0"),
        ("probe: /up", "probe /up"),
        ("probe: { url: 'http://door:8080/', rate: 200 }", "probe http://door:8080/ 200 a second"),
        ("probe: { rate: '5' }", "probe / 5 a second"),
        ("hooks: hooks/a.wasm", "hook /srv/shop/hooks/a.wasm {} []"),
        (
            "hooks: [./a.wasm, { use: /b.wasm, allow: exec:db }]",
            r#"hook /srv/shop/./a.wasm {} []; hook /b.wasm {} ["exec:db"]"#,
        ),
    ] {
        assert_eq!(settings_of(text), expected, "{text}");
    }
}

#[test]
fn each_mistake_names_file_service_and_key() {
    let keys = "port, proxy, upstream, health, successes, watch, probe, timeouts, order, keep, dns, anonymous-volumes, sidecars, room, hooks";
    let app = "error: compose.yaml: `services.app.x-swap";
    for (text, expected) in [
        ("9000".to_owned(), format!("{app}`: `9000` where a map belongs (keys: {keys})\n")),
        ("wacth: 5s".to_owned(), format!("{app}`: unknown key `wacth`, did you mean `watch`? (keys: {keys})\n")),
        ("colour: red".to_owned(), format!("{app}`: unknown key `colour` (keys: {keys})\n")),
        ("port: 0".to_owned(), format!("{app}.port`: `0` is not a whole number from 1 to 65535\n")),
        ("port: 70000".to_owned(), format!("{app}.port`: `70000` is not a whole number from 1 to 65535\n")),
        ("port: http".to_owned(), format!("{app}.port`: `http` is not a whole number from 1 to 65535\n")),
        ("port: [80, 81]".to_owned(), format!("{app}.port`: a list is not a whole number from 1 to 65535\n")),
        ("successes: 1.5".to_owned(), format!("{app}.successes`: `1.5` is not a whole number from 1 to 1000\n")),
        ("keep: 101".to_owned(), format!("{app}.keep`: `101` is not a whole number from 0 to 100\n")),
        ("watch: 5".to_owned(), format!("{app}.watch`: `5` has no unit: write `5s` for seconds\n")),
        (
            "watch: soon".to_owned(),
            format!("{app}.watch`: `soon` is not a duration; durations are written as `5s`, `1m30s` or `500ms`\n"),
        ),
        (
            "watch: -5s".to_owned(),
            format!("{app}.watch`: `-5s` is not a duration; durations are written as `5s`, `1m30s` or `500ms`\n"),
        ),
        (
            "watch: true".to_owned(),
            format!(
                "{app}.watch`: `true` where a duration belongs; durations are written as `5s`, `1m30s` or `500ms`\n"
            ),
        ),
        (
            "proxy: ngnix".to_owned(),
            format!(
                "{app}.proxy`: `ngnix` is no service, did you mean `nginx`? (services: app, nginx; or `PROJECT/SERVICE`, `{{ container: NAME }}`, `host`, or `none`)\n"
            ),
        ),
        (
            "proxy: edge/../nginx".to_owned(),
            format!(
                "{app}.proxy`: `edge/../nginx` is no service (services: app, nginx; or `PROJECT/SERVICE`, `{{ container: NAME }}`, `host`, or `none`)\n"
            ),
        ),
        (
            "proxy: { container: 'a b' }".to_owned(),
            format!("{app}.proxy.container`: `a b` is not a container's name\n"),
        ),
        ("proxy: { name: front }".to_owned(), format!("{app}.proxy`: unknown key `name` (keys: container)\n")),
        (
            "upstream: ../app".to_owned(),
            format!("{app}.upstream`: `../app` is not a name as services have: letters, digits, `.`, `_`, `-`\n"),
        ),
        (
            "order: start_frist".to_owned(),
            format!(
                "{app}.order`: `start_frist` is no order, did you mean `start-first`? (orders: start-first, stop-first)\n"
            ),
        ),
        (
            "health: ' '".to_owned(),
            format!(
                "{app}.health`: empty, where a line for the shell, `{{ http: /up }}`, `{{ tcp: true }}` or `{{ command: [ … ] }}` belongs\n"
            ),
        ),
        ("health: { http: up }".to_owned(), format!("{app}.health.http`: `up` is not a path such as `/up`\n")),
        ("health: { tcp: 80 }".to_owned(), format!("{app}.health.tcp`: `80` where `true` belongs\n")),
        (
            "health: { command: [] }".to_owned(),
            format!("{app}.health.command`: an empty list where a command belongs\n"),
        ),
        ("health: [CMD]".to_owned(), format!("{app}.health`: an empty list where a command belongs\n")),
        (
            "probe: { rate: 2000 }".to_owned(),
            format!("{app}.probe.rate`: `2000` is not a whole number from 1 to 1000\n"),
        ),
        (
            "probe: { uri: / }".to_owned(),
            format!("{app}.probe`: unknown key `uri`, did you mean `url`? (keys: url, rate)\n"),
        ),
        (
            "probe: htp://x".to_owned(),
            format!("{app}.probe`: `htp://x` is neither a path as `/up` nor a URL as `http://localhost:8080/`\n"),
        ),
        (
            "timeouts: { health: 0s, drain: 0s }".to_owned(),
            format!("{app}.timeouts.health`: nothing can be done in no time\n"),
        ),
        (
            "timeouts: 5s".to_owned(),
            format!("{app}.timeouts`: `5s` where a map belongs (keys: health, drain, reload, hook)\n"),
        ),
        (
            "timeouts: { helth: 5s }".to_owned(),
            format!(
                "{app}.timeouts`: unknown key `helth`, did you mean `health`? (keys: health, drain, reload, hook)\n"
            ),
        ),
        (
            "hooks: [{ config: {} }]".to_owned(),
            format!("{app}.hooks[0]`: the key `use` with the hook's file is missing\n"),
        ),
        (
            "hooks: [a.wasm, 5]".to_owned(),
            format!("{app}.hooks[1]`: `5` where a hook's file or `{{ use: … }}` belongs\n"),
        ),
        ("hooks: [{ use: a, config: 5 }]".to_owned(), format!("{app}.hooks[0].config`: `5` where a map belongs\n")),
        (
            "hooks: [{ use: a, alow: [] }]".to_owned(),
            format!("{app}.hooks[0]`: unknown key `alow`, did you mean `allow`? (keys: use, config, allow)\n"),
        ),
        (
            "hooks: [{ use: a, allow: [exec:db, 5] }]".to_owned(),
            format!("{app}.hooks[0].allow[1]`: `5` where a grant such as `exec:db` belongs\n"),
        ),
        ("\"a\\e[2J\": 1".to_owned(), format!("{app}`: unknown key `a\\u{{1b}}[2J` (keys: {keys})\n")),
        (
            "{ prot: 80, watch: 5, timeouts: { drain: x }, hooks: [1] }".to_owned(),
            format!(
                "error: compose.yaml: 4 mistakes in x-swap\n  \
                 `services.app.x-swap`: unknown key `prot`, did you mean `port`? (keys: {keys})\n  \
                 `services.app.x-swap.hooks[0]`: `1` where a hook's file or `{{ use: … }}` belongs\n  \
                 `services.app.x-swap.timeouts.drain`: `x` is not a duration; durations are written as `5s`, `1m30s` or `500ms`\n  \
                 `services.app.x-swap.watch`: `5` has no unit: write `5s` for seconds\n"
            ),
        ),
    ] {
        assert_eq!(settings_of(&text), expected, "{text}");
    }
}

#[test]
fn settings_at_the_top_are_defaults() {
    let printed = "
x-swap: { watch: 3s, timeouts: { drain: 9s, hook: 2s }, health: { tcp: true }, hooks: [all.wasm] }
services:
  app: { image: a, x-swap: { timeouts: { drain: 1s }, health: { http: /up } } }
  b: { image: b }
";
    assert_eq!(
        read_printed(printed),
        "shop in /srv/shop
app
  image: a
  networks: shop_default
  scale: 1
  x-swap: check Http(\"/up\"); watch 3s; timeouts 60s 1s 2s; hook /srv/shop/all.wasm {} []
b
  image: b
  networks: shop_default
  scale: 1
  x-swap: check Tcp; watch 3s; timeouts 60s 9s 2s; hook /srv/shop/all.wasm {} []
"
    );
    assert_eq!(
        read_printed("{ x-swap: { watch: 3 }, services: { app: { image: a, x-swap: { port: x } }, b: { image: b } } }"),
        "error: docker-compose.yml: 2 mistakes in x-swap
  `x-swap.watch`: `3` has no unit: write `3s` for seconds
  `services.app.x-swap.port`: `x` is not a whole number from 1 to 65535
hint: correct docker-compose.yml; the README lists the keys of x-swap
"
    );
}

#[test]
fn printed_forms_that_are_new_are_refused_with_their_place() {
    assert_eq!(
        read_printed("services: { app: { image: [a] } }"),
        "error: reading what compose printed for docker-compose.yml: invalid type: sequence, expected a string
hint: this form is new to swap; please report it with the output of `docker compose config`
"
    );
    assert_eq!(
        read_printed("services: { '../app': { image: a } }"),
        "error: reading docker-compose.yml: `../app` is not a service name
hint: service names have letters, digits, `.`, `_` and `-`
"
    );
    assert_eq!(read_printed("{}"), "shop in /srv/shop\n");
}

#[test]
fn warnings_of_both_tools_are_plain_lines() {
    let said = messages(
        "time=\"2026-01-01T00:00:00Z\" level=warning msg=\"The \\\"X\\\" variable is not set.\"\n\
         time=\"2026-01-01T00:00:00Z\" level=warning msg=short\n\n  The X variable is not set.\u{1b}[0m\n",
    );
    assert_eq!(said, ["The \"X\" variable is not set.", "short", "The X variable is not set.\\u{1b}[0m"]);
}

#[test]
fn flags_stand_where_each_tool_wants_them() {
    let options = Options {
        files: vec!["a.yml".into(), "b c.yml".into()],
        project_name: Some("shop".into()),
        project_directory: Some("/srv".into()),
        profiles: vec!["jobs".into()],
        env_files: vec!["it's.env".into()],
        context: Some("prod".into()),
        host: Some("ssh://me@there".into()),
        working_directory: None,
    };
    let flags =
        r"--project-directory /srv -f a.yml -f 'b c.yml' -p shop --env-file 'it'\''s.env' --profile jobs config";
    let show = |tool: Tool| tool.command_line(&options, &["config"]);
    assert_eq!(
        show(Tool::Plugin("/usr/bin/docker".into())),
        format!("docker --context prod -H ssh://me@there compose {flags}")
    );
    let standalone = format!("docker-compose --context prod -H ssh://me@there {flags}");
    assert_eq!(show(Tool::Standalone("/usr/bin/docker-compose".into())), standalone);
    assert_eq!(show(Tool::Python("/usr/bin/docker-compose".into())), standalone);
}

#[test]
fn a_command_that_is_not_compose_is_refused() {
    let show = |command: &str| Tool::named(command).map(|_| ()).map_err(|failure| failure.what);
    assert_eq!(show("no-such-compose"), Err("`SWAP_COMPOSE=no-such-compose`: there is no such program".into()));
    assert_eq!(show("a b c"), Err("`SWAP_COMPOSE=a b c`: not a compose command".into()));
    assert_eq!(show("true"), Err("`SWAP_COMPOSE=true`: it does not answer `version --short` like compose".into()));
    assert_eq!(show("true compose"), Err("`SWAP_COMPOSE=true compose`: this docker CLI has no compose plugin".into()));
}

/// A folder of files that goes away with it.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("compose-{}-{count}", std::process::id()));
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Folder(folder)
    }

    fn options(&self) -> Options {
        Options { working_directory: Some(self.0.clone()), ..Options::default() }
    }

    /// Returns the text without what differs from run to run.
    fn plain(&self, text: &str) -> String {
        let name = self.0.file_name().unwrap().to_string_lossy().into_owned();
        text.replace(&*self.0.to_string_lossy(), "$HERE").replace(&name, "$NAME")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns all compose tools of this machine; a test that needs one says so when there is none.
fn tools() -> Vec<Tool> {
    let named = ["docker compose", "docker-compose"].iter().filter_map(|name| Tool::named(name).ok());
    let tools: Vec<Tool> = named.collect();
    if tools.is_empty() {
        crate::lacking::without("no compose tool is installed");
    }
    tools
}

async fn read(folder: &Folder, tool: &Tool, options: Options) -> String {
    let read = Compose::new(tool.clone(), options).read().await;
    folder.plain(&match read {
        Ok(project) => {
            show(&project) + &project.warnings.iter().map(|line| format!("warning: {line}\n")).collect::<String>()
        }
        Err(failure) => show_failure(&failure),
    })
}

#[tokio::test]
async fn settings_of_an_override_file_count_with_both_tools() {
    let folder = Folder::new(&[
        (
            "docker-compose.yml",
            "
version: '3.8'
x-swap: { watch: \"${WATCH}\" }
services:
  app: { image: a, x-swap: { port: 80, health: \"./a $$X\", hooks: [a.wasm] } }
  worker: { image: b }
",
        ),
        (
            "docker-compose.override.yml",
            "
version: '3.8'
services:
  app: { x-swap: { port: 81, timeouts: { drain: 1s }, hooks: [b.wasm] } }
  worker: { x-swap: { proxy: none } }
",
        ),
        (".env", "WATCH=7s\n"),
        ("deep/er/file", ""),
    ]);
    let expected = "$NAME in $HERE
app
  image: a
  networks: $NAME_default
  scale: 1
  x-swap: port 81; check Shell(\"./a $X\"); watch 7s; timeouts 60s 1s 300s; hook $HERE/a.wasm {} []; hook $HERE/b.wasm {} []
worker
  image: b
  networks: $NAME_default
  scale: 1
  x-swap: no proxy; watch 7s
";
    // Older v2 (2.26) takes the last file's section of a service as a whole.
    let replaced = expected.replace("check Shell(\"./a $X\"); ", "").replace("hook $HERE/a.wasm {} []; ", "");
    for tool in tools() {
        let warnings = |text: String| {
            text.lines()
                .filter(|line| !line.starts_with("warning: "))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        let text = warnings(read(&folder, &tool, folder.options()).await);
        if !tool.is_v1() && text == replaced {
            continue;
        }
        assert_eq!(text, expected, "{tool:?}");
        // From outside, by flags.
        let files = ["docker-compose.yml", "docker-compose.override.yml"].map(|name| folder.0.join(name)).to_vec();
        assert_eq!(warnings(read(&folder, &tool, Options { files, ..Options::default() }).await), expected, "{tool:?}");
    }
}

#[tokio::test]
async fn composes_own_warnings_and_profiles_are_not_lost() {
    let folder = Folder::new(&[(
        "compose.yml",
        "services: { app: { image: a, environment: { X: \"${SWAP_TEST_UNSET}\" } }, job: { image: b, profiles: [jobs] } }",
    )]);
    for tool in tools() {
        let quote = if tool.is_v1() { "" } else { "\"" };
        let expected = format!(
            "$NAME in $HERE
app
  image: a
  networks: $NAME_default
  scale: 1
job
  image: b
  networks: $NAME_default
  scale: 1
  profiles: jobs
warning: The {quote}SWAP_TEST_UNSET{quote} variable is not set. Defaulting to a blank string.
"
        );
        assert_eq!(read(&folder, &tool, folder.options()).await, expected);
    }
}

#[tokio::test]
async fn composes_own_errors_are_shown_as_it_said_them() {
    for tool in tools() {
        let v1 = tool.is_v1();
        let command = if v1 { "docker-compose" } else { "docker compose" };
        let check = async |text: &str, said: [&str; 2]| {
            let folder = Folder::new(&[("compose.yml", text)]);
            let expected = format!(
                "error: `{command} config` in `$HERE` failed with exit code CODE on compose.yml\n  {}\n\
                 hint: `{command} config` must print the project before swap can read it\n",
                said[usize::from(!v1)]
            );
            // Versions of v2 differ in the exit code and in a word or two.
            let text = read(&folder, &tool, folder.options()).await;
            let text = text
                .replace("code 15 on", "code CODE on")
                .replace("code 14 on", "code CODE on")
                .replace("code 1 on", "code CODE on")
                .replace("Additional property imagee is not allowed", "additional properties 'imagee' not allowed");
            assert_eq!(text, expected, "{tool:?}");
        };
        check(
            "services: { app: { imagee: a, image: b } }",
            [
                "The Compose file './compose.yml' is invalid because:\n  Unsupported config option for services.app: 'imagee'",
                "validating $HERE/compose.yml: services.app additional properties 'imagee' not allowed",
            ],
        )
        .await;
        check(
            "services: { app: { image: \"${SWAP_TEST_UNSET:?name an image}\" } }",
            [
                "Missing mandatory value for \"image\" option interpolating ${SWAP_TEST_UNSET:?name an image} in service \"app\": name an image",
                "error while interpolating services.app.image: required variable SWAP_TEST_UNSET is missing a value: name an image",
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn a_folder_without_a_compose_file_says_what_to_do() {
    for tool in tools() {
        let folder = Folder::new(&[("readme", "")]);
        let text = read(&folder, &tool, folder.options()).await;
        let last = text.lines().last().unwrap_or_default();
        assert_eq!(
            last,
            "hint: run swap in the project's folder or one below it, or name the file: `swap -f path/compose.yaml …`"
        );
    }
}

#[test]
fn only_what_the_old_tool_drops_is_sent_through_it_again() {
    let place = |files: &[&str]| ProjectPlace {
        files: files.iter().map(PathBuf::from).collect(),
        directory: PathBuf::new(),
        env_directory: PathBuf::new(),
        name: String::new(),
    };
    let folder = Folder::new(&[
        ("one.yml", "services: { a: { x-swap: { port: 1, hooks: [x] } } }"),
        ("two.yml", "services: { a: { x-swap: { port: 2, hooks: [y] } } }"),
        ("none.yml", "services: { a: { image: b } }"),
        ("top.yml", "x-swap: { port: 3 }"),
        ("broken.yml", "x-swap: ["),
    ]);
    let project = |files: &[&str]| {
        overlay::project(&place(files), &folder.0)
            .map(|project| project.map(|text| serde_json::from_str::<Value>(&text).unwrap()))
    };
    assert_eq!(project(&["one.yml", "none.yml"]), Ok(None));
    assert_eq!(
        project(&["one.yml", "two.yml"]),
        Ok(Some(json!({ "services": {
            "service.a": { "image": "none", "x-swap": { "port": 2, "hooks": ["x", "y"] } },
            "top": { "image": "none", "x-swap": null },
        } })))
    );
    assert_eq!(
        project(&["top.yml"]),
        Ok(Some(json!({ "services": { "top": { "image": "none", "x-swap": { "port": 3 } } } })))
    );
    assert_eq!(
        show_failure(&project(&["broken.yml"]).unwrap_err()),
        "error: reading x-swap in `broken.yml`: unclosed bracket '[' at line 1, column 9\n"
    );
}
