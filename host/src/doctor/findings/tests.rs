//! Facts in, text out.

use super::*;
use crate::model::{Check, Container, FixedPort, Image, LoadedHook};
use crate::plan::Front;

fn service(name: &str) -> ServiceFacts {
    let live = Container {
        id: "4f5e6d7c8b9a".into(),
        name: format!("demo-{name}-1"),
        image: "sha256:1".into(),
        address: Some("172.18.0.5:8000".parse().unwrap()),
    };
    let front = Front {
        proxy: crate::model::ProxyChoice::Service("nginx".parse().unwrap()),
        container: None,
        directory: "/etc/nginx/swap".into(),
        place: None,
        upstream: None,
        written_by_others: false,
        dns_name: None,
        before: None,
        current: true,
        obeyed: false,
        asks_dns: true,
        tuning: None,
        resolver: None,
        network: None,
        port: 8000,
        reload: Duration::ZERO,
        probe: None,
        probe_rate: None,
        probe_way: None,
    };
    let mut observed = ObservedService::empty(name.parse().unwrap());
    observed.live = vec![live];
    observed.image = Some(Image { name: format!("demo-{name}"), id: "sha256:834266a1bf0912345678".into() });
    observed.fronts = vec![front];
    observed.settings.health = vec![Check::Http("/up".into())];
    observed.grace = Some(Duration::from_secs(30));
    ServiceFacts {
        observed,
        asked: true,
        restart: Some("unless-stopped".into()),
        nginxes: vec![nginx()],
        hooks: Vec::new(),
        unfinished: Vec::new(),
        answers: Some(Answers {
            url: "http://127.0.0.1:80/".into(),
            reaches: Reaches::Live { proof: "its answers name the container".into() },
            status: Some(200),
            silent: Vec::new(),
        }),
    }
}

fn nginx() -> NginxFacts {
    NginxFacts {
        proxy: "nginx".into(),
        restart: Some("always".into()),
        version: Some("1.30.4".into()),
        include: Some(("/etc/nginx/swap/*.conf".into(), "/etc/nginx/nginx.conf:12".into())),
        passes: vec!["`proxy_pass http://app` at /etc/nginx/nginx.conf:20".into()],
        folder: Some("/etc/nginx/swap".into()),
        settings: vec![
            ("keepalive_min_timeout".into(), Setting::Ours),
            ("client_header_timeout".into(), Setting::Theirs("5s".into())),
            ("worker_shutdown_timeout".into(), Setting::Absent),
        ],
        problems: Vec::new(),
        notices: Vec::new(),
    }
}

fn facts() -> DoctorFacts {
    DoctorFacts {
        engine: Ok(EngineFacts {
            version: "28.5.2".into(),
            api: "1.51".into(),
            endpoint: "`unix:///var/run/docker.sock` (from the default)".into(),
            system: "Debian GNU/Linux 13".into(),
            local: true,
        }),
        tool: Ok(ToolFacts {
            command: "docker compose".into(),
            version: Some("2.40.3".into()),
            v1: false,
            other: None,
        }),
        project: Some(Ok(ProjectFacts {
            name: "demo".into(),
            files: "compose.yml".into(),
            services: 2,
            warnings: Vec::new(),
        })),
        services: vec![service("app")],
        passed_over: Vec::new(),
        state: StateFacts { path: "/var/lib/swap".into(), room: Ok(1 << 40) },
    }
}

#[track_caller]
fn check(facts: &DoctorFacts, expected: &str) {
    let findings = findings(facts);
    assert_eq!(format!("{}{}\n", text(&findings), verdict(facts, &findings)), expected);
}

/// Compares only what is not as it should be.
#[track_caller]
fn check_bad(facts: &DoctorFacts, expected: &str) {
    let mut findings = findings(facts);
    let verdict = verdict(facts, &findings);
    findings.retain(|finding| finding.severity > Severity::Ok);
    assert_eq!(format!("{}{verdict}\n", text(&findings)), expected);
}

#[test]
fn a_stack_that_is_ready_says_what_was_looked_at() {
    check(
        &facts(),
        "\
engine
  ok       Docker 28.5.2 (API 1.51, Debian GNU/Linux 13) answers at `unix:///var/run/docker.sock` (from the default)
compose
  ok       `docker compose` is version 2.40.3
project demo
  ok       compose.yml: 2 services, no mistake in `x-swap`
nginx (nginx)
  ok       nginx 1.30.4 runs and accepts its configuration
  ok       `include /etc/nginx/swap/*.conf;` stands at /etc/nginx/nginx.conf:12
  ok       `proxy_pass http://app` at /etc/nginx/nginx.conf:20 goes through swap's upstream
  ok       `/etc/nginx/swap` is a directory that swap can write and that outlives the container
  ok       `keepalive_min_timeout` is left to swap, which sets it in a file of its own
  ok       `client_header_timeout 5s`
  ok       `worker_shutdown_timeout` is not set, as it should be
  ok       `restart: always`: it comes back after a reboot
service app
  ok       live: demo-app-1
  ok       image: demo-app (834266a1bf09)
  ok       two of its containers can run beside each other
  ok       nginx talks to its port 8000
  ok       demo-app-1 answers http://127.0.0.1:80/
  ok       healthy when GET /up agrees
  ok       it may take 30s to stop
  ok       `restart: unless-stopped`: it comes back after a reboot
state folder
  ok       `/var/lib/swap` is private, and there is room in it
ready to swap
",
    );
}

#[test]
fn an_engine_that_is_out_of_reach_hides_nothing_of_the_compose_file() {
    let mut facts = facts();
    facts.engine = Err(Failure::new("no engine answers at `unix:///var/run/docker.sock`").hint("start it"));
    let app = &mut facts.services[0];
    app.asked = false;
    app.nginxes = Vec::new();
    app.restart = Some("no".into());
    app.observed = ObservedService {
        container_name: Some("shop".into()),
        fixed_ports: vec![FixedPort { outer: 8000, inner: 8000 }],
        ..ObservedService::empty("app".parse().unwrap())
    };
    facts.state.room =
        Err(Failure::new("state folder `/var/lib/swap` can be changed by others").hint("`chmod 700 it`"));
    check_bad(
        &facts,
        "\
engine
  error    no engine answers at `unix:///var/run/docker.sock`
           why  nothing can be swapped without the engine; what only it knows is not examined below
           do   start it
service app
  error    service `app` has `container_name: shop`, and two containers can't share a name
           why  `swap app` is refused before any change
           do   remove `container_name` from `services: app:`, then `docker compose up -d app` once
  error    service `app` publishes the fixed port `8000:8000`, and two containers can't share it
           why  `swap app` is refused before any change
           do   let nginx publish the port: remove `ports` from `services: app:` (use `expose` for the inner port)
  note     `app` has no restart policy
           why  after a reboot of the machine, or of the engine, it stays down until somebody starts it
           do   write `restart: unless-stopped` under `services: app:`
state folder
  error    state folder `/var/lib/swap` can be changed by others
           why  without a journal a swap that is killed can't be resumed
           do   `chmod 700 it`
not ready: 4 errors, 1 note
",
    );
}

#[test]
fn without_a_compose_tool_the_rest_is_still_told() {
    let mut facts = facts();
    facts.tool = Err(Failure::new("found neither `docker compose` nor `docker-compose`").hint("install one"));
    facts.project = None;
    facts.services.clear();
    facts.state.room = Ok(1_000_000);
    check_bad(
        &facts,
        "\
compose
  error    found neither `docker compose` nor `docker-compose`
           why  only compose reads the project and creates candidates
           do   install one
state folder
  warning  `/var/lib/swap` has only 1 MB left
           why  a run stops and unwinds when its journal can't be written
           do   free some disk space, or choose another folder with SWAP_STATE_DIR
not ready: 1 error, 1 warning
",
    );
}

#[test]
fn what_is_scarce_and_what_is_left_is_told_as_in_a_plan() {
    let mut facts = facts();
    let observed = &mut facts.services[0].observed;
    observed.room =
        vec![Notice::new("a container of `app` uses 300 MB of memory").cure("`x-swap: { order: stop-first }`")];
    observed.leftovers = vec![Notice::new("`/etc/nginx/swap/old.conf` is left").cure("delete it")];
    check_bad(
        &facts,
        "\
service app
  warning  a container of `app` uses 300 MB of memory
           why  for a while two of its containers run beside each other
           do   `x-swap: { order: stop-first }`
  note     `/etc/nginx/swap/old.conf` is left
           why  what still passes to it gets whoever has those addresses now
           do   delete it
ready to swap, at a cost: 1 warning, 1 note
",
    );
}

#[test]
fn a_project_that_compose_refuses_keeps_its_words() {
    let mut facts = facts();
    let words = Failure::new("`docker compose config` failed").hint("correct it").tail(["line 3: no".to_owned()]);
    facts.project = Some(Err(words));
    facts.services.clear();
    check_bad(
        &facts,
        "\
project
  error    `docker compose config` failed
           | line 3: no
           why  swap knows of a project only what compose reads
           do   correct it
not ready: 1 error
",
    );
}

#[test]
fn what_nginx_lacks_is_told_once_for_two_services() {
    let mut facts = facts();
    let missing = Failure::new("nginx does not read `/etc/nginx/swap/app.conf`").hint("write `include …;`");
    let slow = Notice::new("nginx 1.22.1 closes keep-alive connections").cure("nginx 1.27.4");
    facts.services.push(service("api"));
    for service in &mut facts.services {
        let nginx = &mut service.nginxes[0];
        nginx.include = None;
        nginx.passes.clear();
        nginx.problems = vec![missing.clone()];
        nginx.notices = vec![slow.clone()];
        service.observed.fronts = Vec::new();
        service.observed.problems = vec![missing.clone()];
    }
    check_bad(
        &facts,
        "\
nginx (nginx)
  error    nginx does not read `/etc/nginx/swap/app.conf`
           why  swap refuses before any change: nginx would not follow a switch
           do   write `include …;`
  warning  nginx 1.22.1 closes keep-alive connections
           why  a swap works, but some clients may notice it
           do   nginx 1.27.4
not ready: 1 error, 1 warning
",
    );
}

#[test]
fn a_worker_with_everything_else_amiss_is_told_line_by_line() {
    let mut facts = facts();
    facts.tool = Ok(ToolFacts {
        command: "docker-compose".into(),
        version: Some("1.29.2".into()),
        v1: true,
        other: Some(Notice::new(
            "the containers were made by compose 2.40.3, which is not installed here: it recreates",
        )),
    });
    facts.engine.as_mut().unwrap().local = false;
    facts.passed_over = vec!["db".parse().unwrap(), "redis".parse().unwrap()];
    if let Some(Ok(project)) = &mut facts.project {
        project.warnings = vec![
            "The \"X\" variable is not set. Defaulting to a blank string.".into(),
            "`version` is obsolete".into(),
            "Some services (app) use the 'configs' key, which will be ignored.".into(),
        ];
    }
    let mut worker = service("worker");
    worker.nginxes = Vec::new();
    worker.restart = Some("no".into());
    worker.unfinished = vec!["20260131-154502-9f3a".into()];
    worker.hooks = vec![
        Err(Failure::new("hook `notify` needs `http:chat:443`").hint("allow it")),
        Ok(HookFacts {
            name: "migrate".into(),
            phases: vec![Phase::PreStart],
            needs: vec!["exec:db".parse().unwrap()],
        }),
    ];
    worker.observed.fronts = Vec::new();
    worker.observed.settings = crate::model::Settings { order: Order::StopFirst, ..Default::default() };
    worker.observed.anonymous_volumes =
        vec![crate::plan::AnonymousVolume { path: "/cache".into(), volume: "8c1f".into() }];
    worker.observed.grace = Some(Duration::ZERO);
    worker.observed.hooks = vec![LoadedHook {
        name: "migrate".into(),
        phases: vec![Phase::PreStart],
        digest: String::new(),
        weighs_numbers: false,
    }];
    facts.services = vec![worker];
    check_bad(
        &facts,
        "\
engine
  note     the engine is on another machine
           why  paths in bind mounts are that machine's; checks of addresses go through nginx's container
           do   mount the upstream folder from a directory of that machine, or from a named volume
compose
  warning  the containers were made by compose 2.40.3, which is not installed here: it recreates
           why  each of the two hashes a service's configuration in its own way
           do   install the tool that you go on with, and recreate the stack with it once: `up -d --force-recreate`
  note     compose 1 is written in Python and takes more than a second for each call
           why  a swap takes some two seconds longer; it loses nothing by that
           do   install the package docker-compose-v2 or docker-compose-plugin
project demo
  warning  compose warns: The \"X\" variable is not set. Defaulting to a blank string.
           why  the candidate may get another value than the live container has
           do   set it in `.env` or in the environment, or give it a default: `${NAME:-default}`
  note     compose warns: `version` is obsolete
           why  compose ignores the line; a swap does not need it
           do   remove the line
  warning  compose warns: Some services (app) use the 'configs' key, which will be ignored.
           why  what compose ignores or assumes may not be what was meant
           do   correct what it names
  note     not examined: db, redis
           why  no `x-swap:` is written there, and no nginx sends requests there
           do   `swap doctor db` examines it all the same
service worker
  warning  nothing but that it runs for a second tells whether it is healthy: it has no HEALTHCHECK and no `health:`
           why  a version that answers every request with an error would be swapped in
           do   write `x-swap: { health: ./healthcheck }`, or the check that you have, under `services: worker:`
  warning  it may take 0s to stop
           why  what it still does for others than nginx is cut
           do   write `stop_grace_period: 10s` under `services: worker:`
  note     `order: stop-first`: the old container stops before the new one starts
           why  nobody serves in between
           do   leave `order` out if two containers may run at once
  warning  `worker` has an anonymous volume at `/cache`: the candidate gets an empty one, the old one is kept
           why  what the old container kept there is not in the new one
           do   name it under `volumes:` to share it; when nobody needs the old one: `docker volume rm 8c1f`
  note     `worker` has no restart policy
           why  after a reboot of the machine, or of the engine, it stays down until somebody starts it
           do   write `restart: unless-stopped` under `services: worker:`
  error    hook `notify` needs `http:chat:443`
           why  `swap worker` is refused before any change
           do   allow it
  warning  run 20260131-154502-9f3a is unfinished
           why  containers of it may still be there; the next swap of the service cleans up first
           do   `swap resume worker` finishes it, `swap rollback worker` unwinds it
not ready: 1 error, 7 warnings, 6 notes
",
    );
}

#[test]
fn ready_is_said_only_where_an_answer_was_seen_from_each_live_container() {
    let mut facts = facts();
    let told = |facts: &DoctorFacts| {
        let findings = findings(facts);
        let bad: Vec<Finding> = findings.iter().filter(|finding| finding.severity > Severity::Ok).cloned().collect();
        format!("{}{}\n", text(&bad), verdict(facts, &findings))
    };
    let mut with = |reaches: Reaches, status: Option<u16>, silent: &[&str]| {
        let silent = silent.iter().map(|name| (*name).to_owned()).collect();
        facts.services[0].answers = Some(Answers { url: "http://127.0.0.1:80/".into(), reaches, status, silent });
        told(&facts)
    };
    let live = || Reaches::Live { proof: "its answers name the container".into() };
    let of_nginx = |status: u16| Reaches::NotLive {
        why: format!("nginx itself answers {status}, and the container receives nothing of it"),
    };
    let all = [
        with(live(), Some(302), &[]),
        with(live(), Some(500), &[]),
        with(live(), Some(200), &["demo-app-2"]),
        with(of_nginx(404), Some(404), &["demo-app-1"]),
        with(of_nginx(502), Some(502), &["demo-app-1"]),
        with(Reaches::Unknown { why: "connection refused".into() }, None, &["demo-app-1"]),
    ];
    assert_eq!(
        all.join("---\n"),
        "\
ready to swap
---
service app
  warning  demo-app-1 answers 500 to http://127.0.0.1:80/
           why  a swap that goes wrong looks the same
           do   name a page that it answers: `probe: /PAGE` in its `x-swap`, or `swap doctor --probe /PAGE app`
ready to swap, at a cost: 1 warning
---
service app
  warning  no request for http://127.0.0.1:80/ came to demo-app-2
           why  nobody has seen that users get answers from there
           do   if one client always gets one container (`ip_hash`, `hash`), nothing; else `swap app` names each of them to nginx
a swap is not refused, but no answer was seen from each live container: 1 warning
---
service app
  warning  no answer of demo-app-1 was seen at http://127.0.0.1:80/: nginx itself answers 404, and the container receives nothing of it
           why  whether users get answers from there is not known
           do   name a page that it answers: `probe: /PAGE` in its `x-swap`, or `swap doctor --probe /PAGE app`
a swap is not refused, but no answer was seen from each live container: 1 warning
---
service app
  error    no answer of demo-app-1 comes through the front door: http://127.0.0.1:80/: nginx itself answers 502, and the container receives nothing of it
           why  users get none either
           do   see what nginx and the container say: `docker compose logs --tail 20`; a version that answers is brought by `swap app`
not ready: 1 error
---
service app
  warning  no answer of demo-app-1 was seen at http://127.0.0.1:80/: connection refused
           why  whether users get answers from there is not known
           do   name a page that it answers: `probe: /PAGE` in its `x-swap`, or `swap doctor --probe /PAGE app`
a swap is not refused, but no answer was seen from each live container: 1 warning
"
    );
    // Where nobody could ask, nobody has seen anything.
    facts.services[0].answers = None;
    assert_eq!(told(&facts), "a swap is not refused, but no answer was seen from each live container\n");
}
