use std::collections::BTreeMap;

use super::front::{name_of_its_own, place_of};
use super::serving::{Serving, serving};
use crate::docker::{ContainerFacts, ContainerStatus, Mount, NetworkFacts};
use crate::model::{Failure, ProxyChoice, ServiceName};
use crate::nginx;
use crate::site::containers::owned_by_others;

fn name(text: &str) -> ServiceName {
    text.parse().expect("a name")
}

/// A container in the network `edge` with these aliases there.
fn in_edge(container: &str, aliases: &[&str]) -> ContainerFacts {
    let network = NetworkFacts {
        id: String::new(),
        ip: None,
        ipv6: None,
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        place: crate::model::NetworkPlace::default(),
        links: Vec::new(),
    };
    ContainerFacts {
        id: format!("{container}-0123456789abcdef"),
        name: container.to_owned(),
        service: String::new(),
        number: 0,
        state: ContainerStatus::Running,
        exit_code: 0,
        restarts: 0,
        oom_killed: false,
        error: None,
        image: String::new(),
        image_name: String::new(),
        health: None,
        healthcheck: None,
        networks: BTreeMap::from([("edge".to_owned(), network)]),
        labels: BTreeMap::new(),
        started_at: None,
        stop_timeout: None,
        stop_signal: None,
        mounts: Vec::new(),
        ports: Vec::new(),
        published: Vec::new(),
        restart: String::new(),
        pid_mode: String::new(),
        shares: Vec::new(),
        network_mode: "edge".to_owned(),
        pid: None,
        command: Vec::new(),
        environment: Vec::new(),
        user: String::new(),
        hostname: String::new(),
        tty: false,
    }
}

#[test]
fn only_a_name_that_nobody_else_has_in_the_network_may_stand_in_an_upstream() {
    let check = |live: &[ContainerFacts], others: &[ContainerFacts], expected: Result<&str, &str>| {
        let live: Vec<&ContainerFacts> = live.iter().collect();
        let found = name_of_its_own(&name("app"), "edge", &live, others);
        let found = found.map(|found| found.map_or(String::new(), |name| name.to_string())).map_err(String::from);
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    };
    let shop = [in_edge("shop-app-1", &["app", "shop-app-1-012", "web"])];
    let blog = in_edge("blog-app-1", &["app", "blog-app-1-012"]);
    let taken = "`app` is also a name of blog-app-1 in the network `edge`, so nginx is told addresses alone and finds no \
                 container that somebody makes without swap (give the service a name of its own there: `networks: { edge: { \
                 aliases: [ NAME ] } }`)";
    check(&shop, &[], Ok("app"));
    check(&shop, &[in_edge("front", &["nginx"])], Ok("app"));
    check(&shop, std::slice::from_ref(&blog), Ok("web"));
    check(&shop, &[blog.clone(), in_edge("other", &["WEB"])], Err(taken));
    // A container may be called as the service of another project is.
    check(&shop[..1], &[in_edge("app", &[])], Ok("web"));
    // What the engine calls one container alone, the next one is not called.
    check(&[in_edge("shop-app-1", &["app", "shop-app-1-012", "shop-app-1"])], std::slice::from_ref(&blog), Err(taken));
    let two = [shop[0].clone(), in_edge("shop-app-2", &["app"])];
    check(&two, &[blog], Err(taken));
}

#[test]
fn a_folder_has_one_place_whatever_nginx_calls_it() {
    let check = |mounts: &[(&str, &str)], expected: Option<&str>| {
        let mount = |(source, destination): &(&str, &str)| Mount {
            kind: "bind".to_owned(),
            source: (*source).to_owned(),
            destination: (*destination).to_owned(),
            writable: true,
            volume: None,
            anonymous: false,
        };
        let proxy = ContainerFacts { mounts: mounts.iter().map(mount).collect(), ..in_edge("front", &[]) };
        assert_eq!(place_of("/etc/nginx/swap", Some(&proxy)).as_deref(), expected);
    };
    check(&[("/srv/edge/swap", "/etc/nginx/swap/")], Some("/srv/edge/swap"));
    check(&[("/srv/nginx", "/etc/nginx"), ("/srv/x", "/etc/nginx/swapped")], Some("/srv/nginx/swap"));
    check(&[("/srv/nginx", "/etc/nginx"), ("/srv/edge", "/etc/nginx/swap")], Some("/srv/edge"));
    check(&[], None);
}

#[test]
fn a_file_of_another_project_is_refused_with_what_keeps_them_apart() {
    let check = |choice: ProxyChoice, expected: &str| {
        let Failure { what, hint, .. } =
            owned_by_others("/etc/nginx/swap/app.conf", "blog", "shop", &name("app"), &choice);
        assert_eq!(format!("{what}\n{}", hint.unwrap_or_default()), expected);
    };
    check(
        ProxyChoice::Host,
        "the upstream file `/etc/nginx/swap/app.conf` belongs to project `blog`\n\
         write `x-swap: { upstream: shop-app }` under `services: app:`, and `http://shop-app` where nginx sends requests to it; if \
         `blog` is no more, delete the file",
    );
    check(
        ProxyChoice::Service(name("nginx")),
        "the upstream file `/etc/nginx/swap/app.conf` belongs to project `blog`\n\
         each project needs a folder of its own there, as `./nginx/${COMPOSE_PROJECT_NAME}:/etc/nginx/swap`; if `blog` is no \
         more, delete the file",
    );
}

#[test]
fn who_gets_requests_is_told_by_the_file_and_where_that_names_nobody_by_the_dns() {
    let at = |container: &str, ip: &str| {
        let mut seen = in_edge(container, &[]);
        seen.networks.values_mut().for_each(|network| network.ip = ip.parse().ok());
        seen
    };
    let file = |addresses: &[&str], fallback: bool| nginx::UpstreamFile {
        run: crate::model::RunId("20260131-154502-9f3a".to_owned()),
        project: "demo".to_owned(),
        service: name("app"),
        upstream: name("app"),
        servers: addresses
            .iter()
            .map(|address| nginx::Server {
                address: address.parse().expect("an address"),
                container: "demo-app-1".to_owned(),
                id: "0123456789ab".to_owned(),
            })
            .collect(),
        fallback: fallback.then(|| nginx::Fallback {
            name: name("app"),
            resolver: "127.0.0.11".parse().expect("an address"),
            port: 80,
        }),
        kept: nginx::Kept::default(),
        rest: None,
    };
    let (one, two) = (at("one", "10.0.0.4"), at("two", "10.0.0.5"));
    let ids = |all: &[&ContainerFacts]| Serving::Named(all.iter().map(|seen| seen.id.clone()).collect());
    let both = [&one, &two];
    // A replica that was added by hand gets nothing, with a backup by DNS too, as long as one that is named runs.
    assert_eq!(serving(&file(&["10.0.0.4:80"], true), true, &both), ids(&[&one]));
    assert_eq!(serving(&file(&["10.0.0.4:80", "10.0.0.9:80"], true), true, &both), ids(&[&one]));
    // compose has made the containers anew.
    assert_eq!(serving(&file(&["10.0.0.9:80"], true), true, &both), Serving::ByDns);
    assert_eq!(serving(&file(&["10.0.0.9:80"], false), true, &both), ids(&[]));
}
