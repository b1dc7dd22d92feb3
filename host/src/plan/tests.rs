//! What is observed in, the printed plan or the whole refusal out.

use std::time::Duration;

use super::*;
use crate::model::{
    Check, Container, Dns, Failure, FixedPort, Harm, Image, InjectedFile, Lifecycle, LifecycleCommand, LoadedHook,
    NetworkPlace, OldVolumes, Order, Phase, ProxyChoice, Reaches, RunId, Settings, Shared, Timeouts,
};

/// A proxied service with one live container, which nothing prevents from being swapped.
fn app() -> ObservedService {
    ObservedService { fronts: vec![front()], ..worker("app") }
}

/// A service without a proxy.
fn worker(name: &str) -> ObservedService {
    ObservedService {
        live: vec![container(name, 1)],
        image_name: format!("demo-{name}"),
        image: Some(Image { name: format!("demo-{name}"), id: format!("sha256:{}", "0123456789abcdef".repeat(4)) }),
        networks: vec!["demo_default".to_owned()],
        ..ObservedService::empty(name.parse().expect("a name"))
    }
}

fn container(service: &str, number: u8) -> Container {
    Container {
        id: format!("{number:x}").repeat(64),
        name: format!("demo-{service}-{number}"),
        image: "sha256:old".to_owned(),
        address: Some(format!("172.18.0.{number}:9000").parse().expect("an address")),
    }
}

fn front() -> Front {
    Front {
        proxy: ProxyChoice::Service("nginx".parse().expect("a name")),
        container: Some(container("nginx", 9)),
        directory: "/etc/nginx/swap/".to_owned(),
        place: None,
        upstream: None,
        written_by_others: false,
        dns_name: None,
        before: None,
        current: true,
        obeyed: true,
        asks_dns: true,
        tuning: None,
        resolver: None,
        network: Some("demo_default".to_owned()),
        port: 9000,
        reload: Duration::ZERO,
        probe: None,
        probe_rate: None,
        probe_way: None,
    }
}

fn hook(name: &str, phases: &[Phase]) -> LoadedHook {
    LoadedHook { name: name.to_owned(), phases: phases.to_vec(), digest: String::new(), weighs_numbers: false }
}

fn outcome(services: Vec<ObservedService>) -> Result<Plan, Vec<Failure>> {
    plan(RunId("20260131-154502-9f3a".to_owned()), &Observed { project: "demo".to_owned(), services })
}

/// Compares the whole printed plan.
#[track_caller]
fn check(services: Vec<ObservedService>, expected: &str) {
    let plan = outcome(services).unwrap_or_else(|refused| panic!("refused: {refused:#?}"));
    assert_eq!(plan.to_string(), expected, "\n{plan}");
}

/// Compares everything that a refusal says.
#[track_caller]
fn check_refused(services: Vec<ObservedService>, expected: &str) {
    let refusals = outcome(services).expect_err("it is refused");
    let text: String =
        refusals.iter().map(|refusal| format!("{refusal}\n  {}\n", refusal.hint.as_deref().unwrap_or("-"))).collect();
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn a_proxied_service() {
    check(
        vec![app()],
        "\
plan for app of project demo: 9 steps
  1  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  2  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  3  start       app: start what was created, in demo_default
  4  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  5  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  6  drain       app: until no nginx worker uses demo-app-1, at most 30s
  7  commit      from here the run only goes forward
  8  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
  9  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
",
    );
}

#[test]
fn a_worker() {
    check(vec![worker("jobs")], "\
plan for jobs of project demo: 5 steps
  1  create      jobs: 1 candidate from demo-jobs (0123456789ab) beside demo-jobs-1 (compose creates, so that compose owns)
  2  start       jobs: start what was created, in demo_default
  3  healthy     jobs: until it runs for 1s, at most 1m (nothing unhealthy gets requests)
  4  commit      from here the run only goes forward
  5  retire      jobs: stop and remove demo-jobs-1, grace 10s (replaced by the candidates)
");
}

#[test]
fn replicas_are_replaced_by_as_many() {
    check(vec![ObservedService { live: vec![container("app", 1), container("app", 2)], grace: Some(Duration::from_secs(90)), ..app() }], "\
plan for app of project demo: 9 steps
  1  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, demo-app-2, as nginx has it already
  2  create      app: 2 candidates from demo-app (0123456789ab) beside demo-app-1, demo-app-2 (compose creates, so that compose owns)
  3  start       app: start what was created, in demo_default
  4  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  5  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, demo-app-2, test, reload nginx, confirm
  6  drain       app: until no nginx worker uses demo-app-1, demo-app-2, at most 30s
  7  commit      from here the run only goes forward
  8  retire      app: stop and remove demo-app-1, demo-app-2, grace 1m 30s (replaced by the candidates)
  9  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
");
}

#[test]
fn several_services_switch_after_all_are_healthy() {
    check(vec![app(), worker("jobs")], "\
plan for app, jobs of project demo: 13 steps
  1  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  2  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  3  create      jobs: 1 candidate from demo-jobs (0123456789ab) beside demo-jobs-1 (compose creates, so that compose owns)
  4  start       app: start what was created, in demo_default
  5  start       jobs: start what was created, in demo_default
  6  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  7  healthy     jobs: until it runs for 1s, at most 1m (nothing unhealthy gets requests)
  8  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  9  drain       app: until no nginx worker uses demo-app-1, at most 30s
 10  commit      from here the run only goes forward
 11  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
 12  retire      jobs: stop and remove demo-jobs-1, grace 10s (replaced by the candidates)
 13  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
");
}

#[test]
fn stop_first_stops_the_old_before_the_candidate_starts() {
    let settings = Settings { order: Order::StopFirst, ..Settings::default() };
    check(
        vec![ObservedService { settings: settings.clone(), ..app() }],
        "\
plan for app of project demo: 10 steps
  1  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  2  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  3  stop-old    app: stop demo-app-1, grace 10s (order: stop-first, two must never run: a gap begins)
  4  start       app: start what was created, in demo_default
  5  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  6  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  7  drain       app: until no nginx worker uses demo-app-1, at most 30s
  8  commit      from here the run only goes forward
  9  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
 10  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
",
    );
    check(vec![ObservedService { settings, ..worker("jobs") }], "\
plan for jobs of project demo: 6 steps
  1  create      jobs: 1 candidate from demo-jobs (0123456789ab) beside demo-jobs-1 (compose creates, so that compose owns)
  2  stop-old    jobs: stop demo-jobs-1, grace 10s (order: stop-first, two must never run: a gap begins)
  3  start       jobs: start what was created, in demo_default
  4  healthy     jobs: until it runs for 1s, at most 1m (nothing unhealthy gets requests)
  5  commit      from here the run only goes forward
  6  retire      jobs: stop and remove demo-jobs-1, grace 10s (replaced by the candidates)
");
}

#[test]
fn hooks_are_asked_in_order_and_for_a_rollback_in_reverse() {
    let hooks = vec![hook("migrate", &[Phase::PreStart, Phase::Rollback]), hook("judge", &Phase::ALL)];
    check(
        vec![ObservedService { hooks, ..app() }],
        "\
plan for app of project demo: 13 steps
  1  pre-start   app: ask migrate, judge (before anything is created)
  2  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  3  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  4  start       app: start what was created, in demo_default
  5  healthy     app: until nginx reaches port 9000 and hook judge, and stays so for 300ms, at most 1m (nothing unhealthy gets requests)
  6  pre-swap    app: ask judge (last veto before the switch)
  7  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  8  post-swap   app: ask judge (candidates live, old still runs)
  9  drain       app: until no nginx worker uses demo-app-1, at most 30s
 10  commit      from here the run only goes forward
 11  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
 12  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
 13  finish      app: ask judge (swapped)
",
    );
}

#[test]
fn a_hook_for_the_rollback_alone_is_remembered() {
    check(vec![ObservedService { hooks: vec![hook("undo", &[Phase::Rollback])], ..worker("jobs") }], "\
plan for jobs of project demo: 6 steps
  1  pre-start   jobs: nothing to ask (hooks wait for a rollback)
  2  create      jobs: 1 candidate from demo-jobs (0123456789ab) beside demo-jobs-1 (compose creates, so that compose owns)
  3  start       jobs: start what was created, in demo_default
  4  healthy     jobs: until it runs for 1s, at most 1m (nothing unhealthy gets requests)
  5  commit      from here the run only goes forward
  6  retire      jobs: stop and remove demo-jobs-1, grace 10s (replaced by the candidates)
");
}

#[test]
fn all_checks_must_agree() {
    let settings = Settings {
        health: vec![
            Check::Shell("./healthcheck --deep".to_owned()),
            Check::Command(vec!["php".to_owned(), "check.php".to_owned()]),
            Check::Http("/up".to_owned()),
            Check::Tcp,
        ],
        successes: 3,
        timeouts: Timeouts { health: Duration::from_millis(1500), ..Timeouts::default() },
        ..Settings::default()
    };
    let hooks = vec![hook("judge", &[Phase::Health])];
    let healthcheck = Some(vec!["curl".to_owned(), "-f".to_owned(), "localhost".to_owned()]);
    check(vec![ObservedService { settings, hooks, healthcheck, ..app() }], "\
plan for app of project demo: 9 steps
  1  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  2  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  3  start       app: start what was created, in demo_default
  4  healthy     app: until its HEALTHCHECK `curl -f localhost` and `./healthcheck --deep` and `php check.php` and GET /up and its port accepts connections and nginx reaches port 9000 and hook judge, 3 times in a row, and stays so for 300ms, at most 1s 500ms (nothing unhealthy gets requests)
  5  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  6  drain       app: until no nginx worker uses demo-app-1, at most 30s
  7  commit      from here the run only goes forward
  8  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
  9  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
");
}

#[test]
fn a_health_hook_alone_is_enough() {
    check(vec![ObservedService { hooks: vec![hook("judge", &[Phase::Health])], ..worker("jobs") }], "\
plan for jobs of project demo: 5 steps
  1  create      jobs: 1 candidate from demo-jobs (0123456789ab) beside demo-jobs-1 (compose creates, so that compose owns)
  2  start       jobs: start what was created, in demo_default
  3  healthy     jobs: until hook judge, and stays so for 300ms, at most 1m (nothing unhealthy gets requests)
  4  commit      from here the run only goes forward
  5  retire      jobs: stop and remove demo-jobs-1, grace 10s (replaced by the candidates)
");
}

#[test]
fn a_watch_keeps_both_running() {
    let settings = Settings {
        watch: Duration::from_secs(5),
        timeouts: Timeouts { drain: Duration::from_secs(120), ..Timeouts::default() },
        ..Settings::default()
    };
    let hooks = vec![hook("judge", &[Phase::Health])];
    check(
        vec![ObservedService { settings: settings.clone(), hooks, ..app() }],
        "\
plan for app of project demo: 10 steps
  1  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  2  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  3  start       app: start what was created, in demo_default
  4  healthy     app: until nginx reaches port 9000 and hook judge, and stays so for 300ms, at most 1m (nothing unhealthy gets requests)
  5  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  6  watch       app: both run for 5s, judged by judge (a bad candidate is switched back)
  7  drain       app: until no nginx worker uses demo-app-1, at most 2m
  8  commit      from here the run only goes forward
  9  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
 10  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
",
    );
    check(vec![ObservedService { settings, ..worker("jobs") }], "\
plan for jobs of project demo: 6 steps
  1  create      jobs: 1 candidate from demo-jobs (0123456789ab) beside demo-jobs-1 (compose creates, so that compose owns)
  2  start       jobs: start what was created, in demo_default
  3  healthy     jobs: until it runs for 1s, at most 1m (nothing unhealthy gets requests)
  4  watch       jobs: both run for 5s (a bad candidate is switched back)
  5  commit      from here the run only goes forward
  6  retire      jobs: stop and remove demo-jobs-1, grace 10s (replaced by the candidates)
");
}

#[test]
fn nginx_on_the_host() {
    let front = Front { proxy: ProxyChoice::Host, container: None, network: None, ..front() };
    check(vec![ObservedService { fronts: vec![front], ..app() }], "\
plan for app of project demo: 9 steps
  1  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  2  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  3  start       app: start what was created, in demo_default
  4  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  5  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx on the host, confirm
  6  drain       app: until no nginx worker uses demo-app-1, at most 30s
  7  commit      from here the run only goes forward
  8  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
  9  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
");
}

#[test]
fn several_nginxes_are_named_each() {
    let edge = ProxyChoice::Service("edge".parse().expect("a name"));
    let edge = Front { proxy: edge, directory: "/srv/swap".to_owned(), obeyed: false, ..front() };
    let planned = outcome(vec![ObservedService { fronts: vec![front(), edge.clone()], ..app() }]);
    let planned = planned.expect("a plan");
    assert_eq!(planned.to_string(), "\
plan for app of project demo: 9 steps
  1  adopt       app: /etc/nginx/swap/app.conf of nginx names demo-app-1, as nginx has it already; /srv/swap/app.conf of edge names demo-app-1, so that no reload finds what is not ready
  2  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  3  start       app: start what was created, in demo_default
  4  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  5  switch      app: /etc/nginx/swap/app.conf of nginx and /srv/swap/app.conf of edge name the candidates instead of demo-app-1, test, reload nginx and edge, confirm
  6  drain       app: until no nginx worker uses demo-app-1, at most 30s
  7  commit      from here the run only goes forward
  8  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
  9  rest        app: /etc/nginx/swap/app.conf of nginx and /srv/swap/app.conf of edge name app, for the next start of nginx (no reload)
");
    let undo = planned.undo(&planned.steps[0]).expect("an undo");
    assert_eq!(
        planned.text(&undo),
        "release     app: remove /etc/nginx/swap/app.conf of nginx and /srv/swap/app.conf of edge again"
    );
    // Two containers of one service have one folder.
    let twin = |name: &str| Front { proxy: ProxyChoice::Container(name.parse().expect("a name")), ..front() };
    let twins = ObservedService { fronts: vec![twin("demo-nginx-1"), twin("demo-nginx-2")], ..app() };
    let planned = outcome(vec![twins]).expect("a plan");
    assert_eq!(
        planned.text(&planned.steps[4]),
        "switch      app: /etc/nginx/swap/app.conf of the container demo-nginx-1 and the container demo-nginx-2 name the \
         candidates instead of demo-app-1, test, reload the container demo-nginx-1 and the container demo-nginx-2, confirm"
    );
}

#[test]
fn what_the_operator_should_know_is_noted() {
    let seen = ObservedService {
        stopped: vec![container("app", 3), container("app", 4)],
        anonymous_volumes: vec![volume("/data", "8c1f")],
        notices: vec![Notice::new("nginx 1.24 does not know `resolve`")],
        ..app()
    };
    check(vec![seen], "\
plan for app of project demo: 9 steps
  1  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  2  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  3  start       app: start what was created, in demo_default
  4  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  5  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  6  drain       app: until no nginx worker uses demo-app-1, at most 30s
  7  commit      from here the run only goes forward
  8  retire      app: stop and remove demo-app-1, grace 10s, and what does not run: demo-app-3, demo-app-4 (replaced by the candidates)
  9  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
note: nginx 1.24 does not know `resolve`
note: `app` has an anonymous volume at `/data`: the candidate gets an empty one, the old one is kept (name it under `volumes:` to share it; when nobody needs the old one: `docker volume rm 8c1f`)
note: removed once the candidates serve, as `up -d` would start it in the old version: demo-app-3, demo-app-4
");
}

fn volume(path: &str, volume: &str) -> AnonymousVolume {
    AnonymousVolume { path: path.to_owned(), volume: volume.to_owned() }
}

#[test]
fn anonymous_volumes_go_where_that_is_settled() {
    let settings = Settings { anonymous_volumes: OldVolumes::Remove, ..Settings::default() };
    let seen = ObservedService { anonymous_volumes: vec![volume("/data", "8c1f")], settings, ..worker("jobs") };
    check(vec![seen], "\
plan for jobs of project demo: 5 steps
  1  create      jobs: 1 candidate from demo-jobs (0123456789ab) beside demo-jobs-1 (compose creates, so that compose owns)
  2  start       jobs: start what was created, in demo_default
  3  healthy     jobs: until it runs for 1s, at most 1m (nothing unhealthy gets requests)
  4  commit      from here the run only goes forward
  5  retire      jobs: stop and remove demo-jobs-1, grace 10s, with their anonymous volumes (replaced by the candidates)
note: `jobs` has an anonymous volume at `/data`: the candidate gets an empty one, the old one is removed with its container (name it under `volumes:` to share it)
");
}

/// A network in which others run.
fn called_in(network: &str, aliases: &[&str], callers: &[&str]) -> CalledIn {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let place = NetworkPlace { network: network.to_owned(), aliases: owned(aliases), ..NetworkPlace::default() };
    CalledIn { place, callers: owned(callers) }
}

#[test]
fn candidates_that_others_could_call_get_the_names_when_they_are_healthy() {
    let called = vec![
        called_in("demo_default", &["app", "shop"], &["demo-jobs-1", "demo-db-1"]),
        called_in("demo_back", &["app"], &["demo-db-1"]),
    ];
    let networks = ["demo_back", "demo_default", "demo_front"].map(str::to_owned).to_vec();
    check(vec![ObservedService { called_in: called.clone(), networks: networks.clone(), ..app() }], "\
plan for app of project demo: 10 steps
  1  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  2  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  3  start       app: start what was created, in demo_back, demo_default, demo_front, in demo_default, demo_back not yet by the service's name
  4  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  5  announce    app: connect the candidates again, as `app`, `shop` in demo_default and `app` in demo_back, for demo-db-1, demo-jobs-1, and check once more (nobody calls what is not healthy)
  6  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  7  drain       app: until no nginx worker uses demo-app-1, at most 30s
  8  commit      from here the run only goes forward
  9  retire      app: take the service's names in demo_default and demo_back from the old, stop and remove demo-app-1, grace 10s (replaced by the candidates)
 10  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
");
    // As they start: where that is settled, and where nobody else has the name any more.
    for settings in [
        Settings { dns: Dns::AtStart, ..Settings::default() },
        Settings { order: Order::StopFirst, ..Settings::default() },
    ] {
        let seen = ObservedService { called_in: called.clone(), settings, ..app() };
        let plan = outcome(vec![seen]).expect("it is not refused");
        assert!(!plan.to_string().contains("announce"), "{plan}");
        assert!(plan.services.iter().all(|planned| planned.unnamed().is_empty()));
    }
}

/// Returns the notices of a plan as people read them.
fn lines(plan: &Plan) -> Vec<String> {
    plan.notices.iter().map(Notice::to_string).collect()
}

#[test]
fn as_many_are_made_as_the_file_wants_or_run() {
    let noted = |seen: ObservedService| {
        let plan = outcome(vec![seen]).expect("it is not refused");
        format!("{} made; {}", plan.services[0].count, lines(&plan).join("; "))
    };
    let with = |replicas, live: Vec<Container>| ObservedService { replicas, live, ..app() };
    let two = || vec![container("app", 1), container("app", 2)];
    assert_eq!(noted(with(1, vec![container("app", 1)])), "1 made; ");
    assert_eq!(noted(with(3, two())), "3 made; the compose file wants 3 containers of `app` and 2 runs: 3 are made");
    assert_eq!(
        noted(with(1, two())),
        "2 made; 2 containers of `app` run and the compose file wants 1: 2 are made, and the next `docker compose up -d` \
         removes what is more than 1"
    );
    assert_eq!(
        noted(ObservedService { stopped: vec![container("app", 2)], ..with(2, vec![container("app", 1)]) }),
        "2 made; the compose file wants 2 containers of `app` and 1 runs: 2 are made; removed once the candidates serve, as \
         `up -d` would start it in the old version: demo-app-2"
    );
}

#[test]
fn who_shares_a_namespace_of_the_live_one_is_not_left_without() {
    let sidecar = |what: Shared| Sidecar {
        service: "vpn".to_owned(),
        name: "demo-vpn-1".to_owned(),
        what,
        of: "demo-app-1".to_owned(),
    };
    check_refused(vec![ObservedService { sidecars: vec![sidecar(Shared::Network)], ..app() }], "\
demo-vpn-1 uses the network of demo-app-1, and loses it when that is removed
  give it its own, or write `x-swap: { sidecars: accept }` under `services: app:` and type `docker compose up -d --no-deps --force-recreate vpn` after each swap
");
    let settings = Settings { sidecars: Harm::Accept, ..Settings::default() };
    let accepted = outcome(vec![ObservedService { sidecars: vec![sidecar(Shared::Network)], settings, ..app() }]);
    assert_eq!(
        lines(&accepted.expect("it is not refused")),
        ["demo-vpn-1 uses the network of demo-app-1, and loses it when that is removed: type `docker compose up -d \
          --no-deps --force-recreate vpn` afterwards"]
    );
    let volumes = outcome(vec![ObservedService { sidecars: vec![sidecar(Shared::Volumes)], ..app() }]);
    assert_eq!(
        lines(&volumes.expect("it is not refused")),
        ["demo-vpn-1 mounts the volumes of demo-app-1: it keeps them, and has not those of the candidate"]
    );
}

#[test]
fn a_container_name_is_refused() {
    check_refused(
        vec![ObservedService { container_name: Some("web".to_owned()), ..app() }],
        "\
service `app` has `container_name: web`, and two containers can't share a name
  remove `container_name` from `services: app:`, then `docker compose up -d app` once
",
    );
}

#[test]
fn fixed_ports_are_refused() {
    check_refused(
        vec![ObservedService {
            fixed_ports: vec![FixedPort { outer: 8080, inner: 80 }, FixedPort { outer: 443, inner: 443 }],
            ..app()
        }],
        "\
service `app` publishes the fixed port `8080:80`, and two containers can't share it
  let nginx publish the port: remove `ports` from `services: app:` (use `expose` for the inner port)
service `app` publishes the fixed port `443:443`, and two containers can't share it
  let nginx publish the port: remove `ports` from `services: app:` (use `expose` for the inner port)
",
    );
}

#[test]
fn a_fixed_port_that_nginx_on_the_machine_uses_is_left_in_an_order_that_keeps_the_site_up() {
    check_refused(
        vec![ObservedService { fixed_ports: vec![FixedPort { outer: 8000, inner: 80 }], on_machine: true, ..app() }],
        "\
service `app` publishes the fixed port `8000:80`, and two containers can't share it
  nginx reaches containers on this machine by their addresses, so the port need not be published; in this order the site answers all the time: (1) write `x-swap: { proxy: host, port: 80 }` under `services: app:`; (2) write `upstream app { server 127.0.0.1:8000; }` into `/etc/nginx/swap/app.conf`, `include /etc/nginx/swap/*.conf;` into nginx's `http`, and `http://app` in the place of `http://127.0.0.1:8000`, then reload nginx; (3) remove `ports` from `services: app:` and run `swap app`, without `docker compose up` before: the live container keeps its port until nginx has left it
",
    );
}

#[test]
fn a_service_that_does_not_run_is_refused() {
    check_refused(
        vec![
            ObservedService { live: Vec::new(), ..app() },
            ObservedService { live: Vec::new(), stopped: vec![container("jobs", 1)], ..worker("jobs") },
        ],
        "\
service `app` is not running, so there is nothing to replace
  start it with `docker compose up -d app`
service `jobs` is not running, so there is nothing to replace
  see `docker logs demo-jobs-1`; start it with `docker compose up -d jobs`, or bring the version before back with `swap rollback jobs`
",
    );
}

/// A rollback to an image that has lost its name.
fn back() -> ObservedService {
    ObservedService { retag: Some(Retag { before: Some("sha256:bad".to_owned()) }), ..app() }
}

#[test]
fn a_rollback_gives_the_name_to_the_image_first() {
    let hooks = vec![hook("migrate", &[Phase::PreStart])];
    check(vec![ObservedService { hooks, ..back() }], "\
plan for app of project demo: 11 steps
  1  tag         app: demo-app stands for 0123456789ab instead of bad (compose creates by this name, now and at the next `up`)
  2  pre-start   app: ask migrate (before anything is created)
  3  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  4  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  5  start       app: start what was created, in demo_default
  6  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  7  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  8  drain       app: until no nginx worker uses demo-app-1, at most 30s
  9  commit      from here the run only goes forward
 10  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
 11  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
");
}

#[test]
fn those_that_died_are_replaced_and_never_named() {
    let front = Front { current: false, ..front() };
    check(
        vec![ObservedService { down: true, fronts: vec![front], retag: None, ..back() }],
        "\
plan for app of project demo: 8 steps
  1  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  2  start       app: start what was created, in demo_default
  3  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  4  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  5  drain       app: until no nginx worker uses demo-app-1, at most 30s
  6  commit      from here the run only goes forward
  7  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
  8  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
note: demo-app-1 does not run: nobody serves until the candidates are live
",
    );
}

#[test]
fn a_name_of_the_version_before_stays_for_the_way_back() {
    let kept = |settings: Settings| {
        let plan = outcome(vec![ObservedService { settings, ..app() }]).expect("a plan");
        plan.services.into_iter().find_map(|planned| planned.keep)
    };
    let replaced = Replaced {
        run: RunId("20260131-154502-9f3a".to_owned()),
        by: "0123456789ab".to_owned(),
        image: "sha256:old".to_owned(),
    };
    let keep = Keep { repository: "swap-keep/demo/app".to_owned(), replaced, count: 3 };
    assert_eq!(kept(Settings::default()), Some(keep.clone()));
    assert_eq!(kept(Settings { keep: Some(1), ..Settings::default() }), Some(Keep { count: 1, ..keep }));
}

#[test]
fn a_paused_service_is_refused_with_a_cure_that_compose_takes() {
    check_refused(
        vec![ObservedService { live: Vec::new(), stopped: vec![container("app", 1)], paused: true, ..app() }],
        "\
service `app` is paused, so there is nothing that serves to replace
  let it go on with `docker compose unpause app`
",
    );
}

/// A service that is watched for a time and asked by a probe whose requests come as far as said.
fn probed(watch: Duration, reaches: Option<Reaches>) -> ObservedService {
    let settings = Settings { watch, probe: Some("/up".to_owned()), ..Settings::default() };
    let way = |reaches| ProbeWay { at: None, any_certificate: false, reaches };
    let probe = reaches.is_some().then(|| "http://door/up".to_owned());
    ObservedService { settings, fronts: vec![Front { probe, probe_way: reaches.map(way), ..front() }], ..app() }
}

#[test]
fn a_watch_that_the_probe_alone_judges_needs_a_probe_that_reaches_the_application() {
    let (five, why) = (Duration::from_secs(5), || "nginx itself answers 404".to_owned());
    let hint = "  name a page of the application, as `--probe /up` or `--probe https://shop.example.com/up`, or give `app` a health \
                check; `--watch 0s` swaps without a watch\n";
    let alone = "nothing but the probe judges the watch of `app`, and";
    let refused = |reaches: Option<Reaches>, expected: &str| {
        check_refused(vec![probed(five, reaches)], &format!("{alone} {expected}\n{hint}"));
    };
    refused(
        Some(Reaches::NotLive { why: why() }),
        "what it asks, http://door/up, does not reach the application: nginx itself answers 404",
    );
    refused(
        Some(Reaches::Unknown { why: "no answer".to_owned() }),
        "nobody knows whether what it asks, http://door/up, reaches the application: no answer",
    );
    refused(None, "there is no URL that it could ask");

    let fine = |seen: ObservedService| assert_eq!(outcome(vec![seen]).map(|plan| plan.notices), Ok(vec![]));
    fine(probed(five, Some(Reaches::Live { proof: String::new() })));
    fine(probed(Duration::ZERO, Some(Reaches::NotLive { why: why() })));
    fine(ObservedService {
        healthcheck: Some(vec!["CMD".to_owned()]),
        ..probed(five, Some(Reaches::NotLive { why: why() }))
    });
    fine(ObservedService {
        hooks: vec![hook("judge", &[Phase::Health])],
        ..probed(five, Some(Reaches::NotLive { why: why() }))
    });
}

#[test]
fn a_watch_that_cannot_see_a_failure_says_so() {
    let told = |seen: ObservedService| lines(&outcome(vec![seen]).expect("a plan"));
    let live = || Some(Reaches::Live { proof: String::new() });
    assert_eq!(
        told(probed(Duration::from_secs(1), live())),
        [
            "a watch of 1s is shorter than what a failure needs to show: a request hangs after a second, and 5 must have failed; 2s \
             is enough"
        ]
    );
    let settings = Settings { watch: Duration::from_secs(9), ..Settings::default() };
    let blind = "the watch sees only that the candidate runs and its port is open, which a version that hangs or fails does too (a \
                 `health` check or a `probe` asks it)";
    assert_eq!(told(ObservedService { settings: settings.clone(), ..app() }), [blind]);
    let checked = Settings { health: vec![Check::Http("/up".to_owned())], ..settings };
    assert_eq!(told(ObservedService { settings: checked, ..app() }), [""; 0]);
}

#[test]
fn a_missing_image_is_refused() {
    check_refused(
        vec![ObservedService { image: None, ..app() }],
        "\
the image `demo-app` of service `app` is not there
  `docker compose build app` or `docker compose pull app`
",
    );
}

#[test]
fn what_the_adapters_found_is_refused_in_their_words() {
    let problem = Failure::new("`nginx` is unhealthy").hint("see `docker compose logs nginx`");
    check_refused(
        vec![ObservedService { image: None, problems: vec![problem], ..app() }],
        "\
`nginx` is unhealthy
  see `docker compose logs nginx`
",
    );
}

#[test]
fn every_reason_is_told_at_once() {
    let bad = ObservedService {
        live: Vec::new(),
        image: None,
        container_name: Some("web".to_owned()),
        fixed_ports: vec![FixedPort { outer: 8080, inner: 80 }],
        ..app()
    };
    check_refused(
        vec![bad, worker("fine"), ObservedService { image: None, ..worker("jobs") }],
        "\
service `app` is not running, so there is nothing to replace
  start it with `docker compose up -d app`
service `app` has `container_name: web`, and two containers can't share a name
  remove `container_name` from `services: app:`, then `docker compose up -d app` once
service `app` publishes the fixed port `8080:80`, and two containers can't share it
  let nginx publish the port: remove `ports` from `services: app:` (use `expose` for the inner port)
the image `demo-app` of service `app` is not there
  `docker compose build app` or `docker compose pull app`
the image `demo-jobs` of service `jobs` is not there
  `docker compose build jobs` or `docker compose pull jobs`
",
    );
}

#[test]
fn the_port_is_the_settled_one_or_the_only_one() {
    let of = |settled, exposed: &[u16]| {
        port(&"app".parse().expect("a name"), settled, exposed)
            .map_err(|failure| format!("{failure}\n  {}", failure.hint.as_deref().unwrap_or("-")))
    };
    assert_eq!(of(Some(80), &[1, 2]), Ok(80));
    assert_eq!(of(None, &[9000]), Ok(9000));
    assert_eq!(
        of(None, &[]),
        Err("\
service `app` exposes no port, so the port that nginx talks to is unknown
  write `x-swap: { port: 8000 }` under `services: app:` in the compose file"
            .to_owned())
    );
    assert_eq!(
        of(None, &[80, 443]),
        Err("\
service `app` exposes several ports (80, 443)
  write the one that nginx talks to as `x-swap: { port: 80 }` under `services: app:`"
            .to_owned())
    );
}

#[test]
fn every_undo_is_printed_like_a_step() {
    let settings = Settings { order: Order::StopFirst, ..Settings::default() };
    let hooks = vec![hook("first", &[Phase::PreStart, Phase::Rollback]), hook("second", &[Phase::Rollback])];
    let plan = outcome(vec![ObservedService { settings, hooks, ..back() }]).expect("a plan");
    let undo: Vec<String> = plan
        .steps
        .iter()
        .map(|step| {
            let undo = plan.undo(step).map_or_else(|| "-".to_owned(), |undo| plan.text(&undo));
            format!("{:<11} {undo}", step.verb())
        })
        .collect();
    assert_eq!(
        undo.join("\n"),
        "\
tag         tag-back    app: demo-app stands for bad again
pre-start   rollback    app: ask second, first (unwinding)
adopt       release     app: remove /etc/nginx/swap/app.conf again
create      remove      app: remove what was created
stop-old    start-old   app: start demo-app-1 again
start       stop        app: stop what was started
healthy     -
switch      switch-back app: /etc/nginx/swap/app.conf names demo-app-1 again, test, reload, confirm
drain       -
commit      -
retire      -
rest        -"
    );
}

#[test]
fn what_is_destroyed_or_announced_has_no_undo() {
    let hooks = vec![hook("tell", &[Phase::Finish])];
    let plan = outcome(vec![ObservedService { hooks, lifecycle: lifecycle(), ..app() }]).expect("a plan");
    let commit = plan.steps.iter().position(|step| *step == Step::Commit).expect("a commit");
    assert!(plan.steps[commit..].iter().all(|step| plan.undo(step).is_none()));
    assert!(
        plan.steps[commit..]
            .iter()
            .all(|step| step.may_fail()
                == matches!(step, Step::Rest { .. } | Step::Finish { .. } | Step::PreStop { .. }))
    );
    assert!(plan.steps[commit..].iter().all(|step| !step.interruptible()));
}

fn lifecycle() -> Lifecycle {
    let run = |words: &[&str]| LifecycleCommand {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        ..LifecycleCommand::default()
    };
    Lifecycle {
        files: vec![InjectedFile {
            kind: crate::model::FileKind::Secret,
            name: "db".to_owned(),
            variable: Some("DB_PASSWORD".to_owned()),
            target: "/run/secrets/db".to_owned(),
            uid: None,
            gid: None,
            mode: 0o444,
        }],
        pre_start: vec![LifecycleCommand { image: Some("tools:1".to_owned()), ..run(&["./migrate", "up"]) }],
        post_start: vec![run(&["./warm"]), run(&["./register"])],
        pre_stop: vec![run(&["./leave"])],
    }
}

#[test]
fn a_lifecycle_stands_around_start_and_stop() {
    check(
        vec![ObservedService { lifecycle: lifecycle(), ..app() }],
        "\
plan for app of project demo: 13 steps
  1  adopt       app: /etc/nginx/swap/app.conf names demo-app-1, as nginx has it already
  2  create      app: 1 candidate from demo-app (0123456789ab) beside demo-app-1 (compose creates, so that compose owns)
  3  init        app: run `./migrate up` in tools:1, each in a container of its own beside what was created (pre_start)
  4  inject      app: put secret db as /run/secrets/db into what was created
  5  start       app: start what was created, in demo_default
  6  post-start  app: run `./warm`, `./register` in what was started (post_start)
  7  healthy     app: until nginx reaches port 9000, and stays so for 1s, at most 1m (nothing unhealthy gets requests)
  8  switch      app: /etc/nginx/swap/app.conf names the candidates instead of demo-app-1, test, reload nginx, confirm
  9  drain       app: until no nginx worker uses demo-app-1, at most 30s
 10  commit      from here the run only goes forward
 11  pre-stop    app: run `./leave` in demo-app-1 (pre_stop, before it is stopped)
 12  retire      app: stop and remove demo-app-1, grace 10s (replaced by the candidates)
 13  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
",
    );
}

#[test]
fn with_stop_first_the_old_containers_run_pre_stop_before_the_gap() {
    let settings = Settings { order: Order::StopFirst, ..Settings::default() };
    let service = ObservedService { lifecycle: lifecycle(), settings, ..worker("jobs") };
    check(
        vec![service.clone()],
        "\
plan for jobs of project demo: 10 steps
  1  create      jobs: 1 candidate from demo-jobs (0123456789ab) beside demo-jobs-1 (compose creates, so that compose owns)
  2  pre-stop    jobs: run `./leave` in demo-jobs-1 (pre_stop, before it is stopped)
  3  stop-old    jobs: stop demo-jobs-1, grace 10s (order: stop-first, two must never run: a gap begins)
  4  init        jobs: run `./migrate up` in tools:1, each in a container of its own beside what was created (pre_start)
  5  inject      jobs: put secret db as /run/secrets/db into what was created
  6  start       jobs: start what was created, in demo_default
  7  post-start  jobs: run `./warm`, `./register` in what was started (post_start)
  8  healthy     jobs: until it runs for 1s, at most 1m (nothing unhealthy gets requests)
  9  commit      from here the run only goes forward
 10  retire      jobs: stop and remove demo-jobs-1, grace 10s (replaced by the candidates)
",
    );
    let plan = outcome(vec![service]).expect("a plan");
    let undo = plan.steps.iter().rev().filter_map(|step| plan.undo(step));
    let undone: String = undo.map(|step| plan.text(&step) + "\n").collect();
    assert_eq!(
        undone,
        "\
depart      jobs: run `./leave` in what was started (pre_stop, before it is stopped)
stop        jobs: stop what was started
init-end    jobs: remove the containers of pre_start
start-old   jobs: start demo-jobs-1 again
rejoin      jobs: run `./warm`, `./register` in demo-jobs-1 (post_start, as it serves again)
remove      jobs: remove what was created
",
        "\n{undone}"
    );
}

/// Journals of version 1, and the services as they were observed for those runs.
fn recorded() -> [(&'static str, Vec<ObservedService>); 4] {
    let digest = |name: &str, phases: &[Phase]| LoadedHook { digest: format!("sha256:{name}"), ..hook(name, phases) };
    let hooks = vec![digest("migrate", &[Phase::PreStart, Phase::Rollback]), digest("judge", &Phase::ALL)];
    let networks = ["demo_back", "demo_default"].map(str::to_owned).to_vec();
    let second = Duration::from_secs;
    let timeouts = Timeouts { health: second(20), drain: second(12), hook: second(40), ..Timeouts::default() };
    let stop_first = ObservedService {
        settings: Settings { order: Order::StopFirst, timeouts, ..Settings::default() },
        lifecycle: lifecycle(),
        hooks: hooks.clone(),
        grace: Some(second(90)),
        fronts: vec![Front {
            current: false,
            obeyed: false,
            tuning: Some("keepalive_min_timeout 5s;\n".to_owned()),
            ..front()
        }],
        live_image: "demo-app".to_owned(),
        networks: networks.clone(),
        live: vec![container("app", 1), container("app", 2)],
        ..back()
    };
    let reaches = Reaches::Live { proof: "seen".to_owned() };
    let resolved = Front {
        before: Some("upstream app {\n    server app:9000;\n}\n".to_owned()),
        resolver: "127.0.0.11".parse().ok(),
        dns_name: "app-main".parse().ok(),
        place: Some("/srv/swap".to_owned()),
        probe_rate: Some(20),
        probe_way: Some(ProbeWay { at: "127.0.0.1:8080".parse().ok(), any_certificate: false, reaches }),
        ..front()
    };
    let everything = ObservedService {
        settings: Settings {
            watch: second(5),
            successes: 3,
            health: vec![Check::Http("/up".to_owned()), Check::Shell("./check --deep".to_owned())],
            anonymous_volumes: OldVolumes::Remove,
            keep: Some(5),
            timeouts,
            ..Settings::default()
        },
        lifecycle: lifecycle(),
        hooks,
        called_in: vec![
            called_in("demo_default", &["app", "shop"], &["demo-db-1", "demo-jobs-1"]),
            called_in("demo_back", &["app"], &["demo-db-1", "demo-jobs-1"]),
        ],
        networks,
        stopped: vec![container("app", 3)],
        left_behind: vec![container("app", 4)],
        anonymous_volumes: vec![volume("/data", "8c1f")],
        healthcheck: Some(vec!["CMD".to_owned(), "true".to_owned()]),
        fronts: vec![Front {
            upstream: "shop-app".parse().ok(),
            probe: Some("http://door/up".to_owned()),
            ..resolved.clone()
        }],
        ..app()
    };
    let usual = Timeouts { hook: Timeouts::default().hook, ..timeouts };
    let beside = ObservedService {
        settings: Settings { timeouts: usual, ..Settings::default() },
        fronts: vec![resolved],
        ..app()
    };
    let jobs = ObservedService {
        settings: Settings { watch: second(2), port: Some(7000), ..Settings::default() },
        lifecycle: Lifecycle { pre_stop: lifecycle().pre_stop, ..Lifecycle::default() },
        hooks: vec![digest("undo", &[Phase::Rollback])],
        grace: Some(second(600)),
        anonymous_volumes: vec![volume("/spool", "77ab")],
        called_in: vec![called_in("demo_default", &["jobs"], &["demo-db-1"])],
        ..worker("jobs")
    };
    let dead = ObservedService { down: true, fronts: vec![Front { current: false, ..front() }], ..back() };
    [
        (include_str!("../../tests/journals/v1-stop-first.jsonl"), vec![stop_first]),
        (include_str!("../../tests/journals/v1-lifecycle.jsonl"), vec![everything]),
        (include_str!("../../tests/journals/v1-worker.jsonl"), vec![beside, jobs]),
        (include_str!("../../tests/journals/v1-down.jsonl"), vec![dead]),
    ]
}

/// Version 1 did not say in which network a caller is, and the time of hooks only where the lifecycle has commands. It had the
/// commands of a service run right before its containers went; today those of all services are run before the first ones go.
#[test]
fn plans_of_version_1_say_what_is_planned_today() {
    for (journal, services) in recorded() {
        let first = journal.lines().next().expect("a line");
        let line: serde_json::Value = serde_json::from_str(first).expect("JSON");
        let plan: Plan = serde_json::from_value(line["plan"].clone()).expect("a plan");
        let recorded = |mut plan: Plan| {
            let committed = plan.steps.iter().position(|step| *step == Step::Commit).expect("a commit");
            plan.steps[committed..].sort_by_key(|step| match step {
                Step::Commit => 0,
                Step::PreStop { .. } => 1,
                _ => 2,
            });
            serde_json::to_value(plan).expect("JSON")
        };
        assert_eq!(recorded(plan), recorded(outcome(services).expect("a plan")));
    }
}
