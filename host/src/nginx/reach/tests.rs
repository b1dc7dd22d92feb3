//! Configurations in, whom they reach out.

use std::fmt::Write as _;

use super::super::config::read;
use super::super::ways::Ways;
use super::*;

const VERSION: &str =
    "nginx version: nginx/1.28.0\nconfigure arguments: --prefix=/etc/nginx --conf-path=/etc/nginx/nginx.conf\n";

/// A service with every kind of name.
fn app() -> Names {
    let mut names = Names::of("app".parse().unwrap());
    names.add("backend", "its network alias");
    names.add("demo-app-1", "its container's name");
    names.add("4f5e6d7c8b9a", "its container's id");
    names.networks.push("demo_default".into());
    names.addresses.insert("172.18.0.5".parse().unwrap(), "demo-app-1".into());
    names.folders.insert("/run/app".into(), "the volume `demo_sockets`".into());
    names
}

/// The site file `site.conf` in an nginx that reads swap's folder.
fn dump(site: &str) -> String {
    format!(
        "# configuration file /etc/nginx/nginx.conf:\nhttp {{\n  include swap/*.conf;\n  include site.conf;\n}}\n\n\
         # configuration file /etc/nginx/site.conf:\n{site}\n"
    )
}

fn told(dump: &str, names: &Names) -> String {
    let reading = match read(VERSION, dump, &[]) {
        Ok(reading) => reading,
        Err(failure) => return format!("{failure}\n"),
    };
    let ServiceWays { passes, past, unclear, warnings, of_others } =
        reach(&reading.configuration(&names.service, None), names);
    let mut text = if of_others { "others: another project is meant\n".to_owned() } else { String::new() };
    for Pass { directive, value, place } in passes {
        let _ = writeln!(text, "through: {directive} {value} at {place}");
    }
    let told = |failures: Vec<Failure>| failures.into_iter().map(Notice::from).collect();
    for (kind, notices) in [("past", told(past)), ("unclear", told(unclear)), ("warning", warnings)] {
        for Notice { what, cure } in notices {
            let _ = writeln!(text, "{kind}: {what}\n  do: {}", cure.unwrap_or_default());
        }
    }
    text
}

#[track_caller]
fn check(site: &str, expected: &str) {
    assert_eq!(told(&dump(site), &app()), expected, "{site}");
}

/// Checks only where each way leads: `through`, `past`, `unclear` or, for none of them, `elsewhere`.
#[track_caller]
fn leads(site: &str, expected: &str) {
    let told = told(&dump(site), &app());
    let kinds: Vec<&str> =
        told.lines().filter(|line| !line.starts_with("  do:")).filter_map(|line| line.split(':').next()).collect();
    let kinds = if kinds.is_empty() { "elsewhere".to_owned() } else { kinds.join(" ") };
    assert_eq!(kinds, expected, "{site}\n{told}");
}

fn ways(dump: &str) -> Ways {
    read(VERSION, dump, &[]).unwrap().configuration(&"app".parse().unwrap(), None).ways.as_ref().clone()
}

#[test]
fn the_commonest_site_file_goes_past_swap() {
    check(
        "upstream x { server app:8000; }\nserver {\n  listen 80;\n  location / { proxy_pass http://x; }\n}",
        "\
past: `proxy_pass http://x` at /etc/nginx/site.conf:4 sends requests to `app` past swap, through `upstream x { server app:8000; }` at /etc/nginx/site.conf:1
  do: write `proxy_pass http://app;` there and remove that upstream: swap writes an `upstream app` of its own (`swap init app` does both)
",
    );
}

#[test]
fn an_upstream_of_several_services_is_told_apart() {
    check(
        "upstream x { least_conn; server backend:8000; server other:80 backup; }\nserver { location / { proxy_pass http://x/a; } }",
        "\
past: `proxy_pass http://x/a` at /etc/nginx/site.conf:2 sends requests to `app` past swap, through `upstream x { server backend:8000; server other:80; }` at /etc/nginx/site.conf:1: `backend` is its network alias
  do: swap's own `upstream app` holds the containers of `app` alone: write `proxy_pass http://app/a;` where they are meant, and keep them out of that upstream
",
    );
}

#[test]
fn each_name_of_the_service_is_known() {
    check(
        "server { location /a { proxy_pass http://BACKEND:8000/x?y; } location /b { fastcgi_pass demo-app-1:9000; }
location /c { grpc_pass 172.18.0.5:50051; } location /d { proxy_pass http://backend.demo_default.; } }",
        "\
past: `proxy_pass http://BACKEND:8000/x?y` at /etc/nginx/site.conf:1 sends requests to `app` past swap: `backend` is its network alias
  do: write `proxy_pass http://app/x?y;`: swap writes an `upstream app`, which knows the port
past: `fastcgi_pass demo-app-1:9000` at /etc/nginx/site.conf:1 sends requests to `app` past swap: `demo-app-1` is its container's name
  do: write `fastcgi_pass app;`: swap writes an `upstream app`, which knows the port
past: `grpc_pass 172.18.0.5:50051` at /etc/nginx/site.conf:2 sends requests to `app` past swap: 172.18.0.5 is demo-app-1
  do: write `grpc_pass grpc://app;`: swap writes an `upstream app`, which knows the port
past: `proxy_pass http://backend.demo_default.` at /etc/nginx/site.conf:2 sends requests to `app` past swap: `backend` is its network alias
  do: write `proxy_pass http://app;`: swap writes an `upstream app`, which knows the port
",
    );
}

#[test]
fn the_name_with_a_port_is_a_mistake_however_it_is_put_together() {
    check(
        "server {
  location /a { proxy_pass http://app:8000/x; }
  location /b { set $u app; proxy_pass http://$u:8000; }
  location /c { set $to app; proxy_pass http://$to; }
}
server {
  set $s http; set $a app; set $p 8000;
  location / { proxy_pass $s://$a:$p$request_uri; }
}",
        "\
through: proxy_pass http://$to at /etc/nginx/site.conf:4
past: `proxy_pass http://app:8000/x` at /etc/nginx/site.conf:2 names a port, which an upstream's name may not have
  do: write `proxy_pass http://app/x;`
past: `proxy_pass http://$u:8000` at /etc/nginx/site.conf:3 goes past swap's upstream, because of its port
  do: leave `:8000` out: the upstream knows the port
past: `proxy_pass $s://$a:$p$request_uri` at /etc/nginx/site.conf:8 goes past swap's upstream, because of its port
  do: leave `:8000` out: the upstream knows the port
",
    );
}

#[test]
fn variables_with_another_name_tell_the_line_to_change() {
    check(
        "map $host $up { default other:80; ~^b 'backend:8000'; }\nserver { location / { proxy_pass http://$up; } }",
        "\
past: `proxy_pass http://$up` at /etc/nginx/site.conf:2 sends requests to `app` past swap: `backend` is its network alias
  do: let `~^b backend:8000` at /etc/nginx/site.conf:1 name `app`, without a port
",
    );
}

#[test]
fn what_can_not_be_followed_is_told_with_both_cures() {
    check(
        "server { location ~ ^/(.*)$ { proxy_pass http://$http_x_to; } }\njs_set $to choose.it;\n\
         server { location / { proxy_pass http://$to:80; } location /s { proxy_pass http://unix:/run/app/x.sock:/a; } }\n\
         server { location / { content_by_lua_block { if x then y = '}' end } } }",
        "\
unclear: nobody can tell whether `proxy_pass http://$http_x_to` at /etc/nginx/site.conf:1 sends requests to `app`: `$http_x_to` comes with the request
  do: if it does, write `proxy_pass http://app;` there; if not, `x-swap: { proxy: none }` under `services: app:`
unclear: nobody can tell whether `proxy_pass http://$to:80` at /etc/nginx/site.conf:3 sends requests to `app`: `$to` is set by `js_set` at /etc/nginx/site.conf:2
  do: if it does, write `proxy_pass http://app;` there; if not, `x-swap: { proxy: none }` under `services: app:`
unclear: nobody can tell whether `proxy_pass http://unix:/run/app/x.sock:/a` at /etc/nginx/site.conf:3 sends requests to `app`: the volume `demo_sockets` is mounted at `/run/app` in both, and may hold its socket
  do: if it does, write `proxy_pass http://app;` there; if not, `x-swap: { proxy: none }` under `services: app:`
unclear: nobody can tell whether `content_by_lua_block` at /etc/nginx/site.conf:4 sends requests to `app`: nobody can tell whom a script talks to
  do: if it does not, write `x-swap: { proxy: none }` under `services: app:`
",
    );
}

#[test]
fn a_service_that_is_set_up_hears_of_the_rest_as_warnings() {
    let dump = "# configuration file /etc/nginx/nginx.conf:
http {
  include swap/*.conf;
  server { location / { proxy_pass http://app; } location /x { proxy_pass http://$arg_x; } location /l { content_by_lua_file x.lua; } }
  include odd.conf;
}
stream { server { listen 1; proxy_pass app:5432; } }
# configuration file /etc/nginx/odd.conf:
}
";
    assert_eq!(
        told(dump, &app()),
        "\
through: proxy_pass http://app at /etc/nginx/nginx.conf:3
warning: `proxy_pass app:5432` at /etc/nginx/nginx.conf:6 is in `stream`, which swap does not switch
  do: its connections to `app` are cut when the old container stops
warning: nobody can tell whether `proxy_pass http://$arg_x` at /etc/nginx/nginx.conf:3 sends requests to `app`: `$arg_x` comes with the request
  do: if it does, write `proxy_pass http://app;` there
warning: swap does not understand nginx's configuration `/etc/nginx/odd.conf`: line 1: `}` closes nothing
  do: what that sets or uses is not seen
"
    );
}

#[test]
fn where_each_way_leads() {
    for (site, expected) in [
        // Names and addresses.
        ("server { location / { proxy_pass http://other:8000; } }", "elsewhere"),
        ("server { location / { proxy_pass http://apple; } }", "elsewhere"),
        ("server { location / { proxy_pass https://App/; } }", "through"),
        ("server { location / { proxy_pass http://172.18.0.6:8000; } }", "elsewhere"),
        ("server { location / { proxy_pass http://[fd00::5]:8000; } }", "elsewhere"),
        ("server { location / { uwsgi_pass suwsgi://app; } }", "through"),
        ("server { location / { scgi_pass app:4000; } }", "past"),
        ("server { location / { memcached_pass app:11211; } }", "past"),
        ("server { location / { redis2_pass backend:6379; } }", "past"),
        ("server { location / { proxy_pass http://unix:/run/app/x.sock; } }", "unclear"),
        ("server { location / { proxy_pass http://unix:/run/apple/x.sock; } }", "elsewhere"),
        ("server { location / { fastcgi_pass unix:/run/php/fpm.sock; } }", "elsewhere"),
        ("server { location / { auth_request /auth; upload_pass /up; return 200; } }", "elsewhere"),
        (
            "server { location / { if ($x) { proxy_pass http://backend; } location /a { proxy_pass http://app; } } }",
            "through past",
        ),
        ("server { location / { limit_except GET { proxy_pass http://backend; } } }", "past"),
        // Upstreams.
        ("upstream x { server unix:/run/app/a.sock; } server { location / { fastcgi_pass x; } }", "unclear"),
        ("upstream x { server app down; server other; } server { location / { proxy_pass http://x; } }", "elsewhere"),
        (
            "upstream x { server other; server 172.18.0.5:80 backup; } server { location / { proxy_pass http://X/; } }",
            "past",
        ),
        ("upstream x { server app resolve; } server { location / { proxy_pass http://y; } }", "elsewhere"),
        ("upstream x { server a service=http resolve; } server { location / { proxy_pass http://x; } }", "unclear"),
        (
            "upstream x { balancer_by_lua_file b.lua; server 0.0.0.1; } server { location / { proxy_pass http://x; } }",
            "unclear",
        ),
        ("upstream x { zone x 64k; state /var/x; } server { location / { proxy_pass http://x; } }", "unclear"),
        ("upstream app { server app:80; } server { location / { proxy_pass http://app; } }", "through"),
        // Variables.
        ("server { location / { proxy_pass http://app$request_uri; } }", "through"),
        ("server { location / { proxy_pass http://app$is_args$args; } }", "through"),
        ("server { location / { proxy_pass http://app$suffix; } }", "unclear"),
        ("server { set $suffix /v1; location / { proxy_pass http://app$suffix; } }", "through"),
        (
            "upstream x-blue { server app:80; } map $host $c { default -green; a -blue; } server { location / { proxy_pass http://x$c; } }",
            "past",
        ),
        (
            "map $host $c { volatile; hostnames; include c.map; } server { location / { proxy_pass http://$c; } }",
            "elsewhere",
        ),
        (
            "map $host $c { default $d; } map $host $d { default http://backend/x; } server { location / { proxy_pass $c; } }",
            "past",
        ),
        (
            "geo $c { ranges; default a; proxy 10.0.0.1; 10.1.0.0-10.1.0.9 app; } server { location / { proxy_pass http://$c; } }",
            "through",
        ),
        ("split_clients $host $c { 5% backend; * other; } server { location / { proxy_pass http://$c; } }", "past"),
        ("map $uri $c { ~^/(?<who>[a-z]+) $who; } server { location / { proxy_pass http://$c; } }", "unclear"),
        ("server { location ~ ^/(.)$ { proxy_pass http://$1:80; } }", "unclear"),
        ("server { location ~ ^/(.)$ { proxy_pass http://$1.example.com; } }", "elsewhere"),
        ("server { location ~ ^/(.)$ { proxy_pass http://back$1; } }", "unclear"),
        ("server { location ~ ^/(.)$ { proxy_pass http://tenant-$1:80; } }", "elsewhere"),
        ("server { location / { proxy_pass http://other:$server_port; } }", "elsewhere"),
        ("server { location / { proxy_pass http://app:$server_port; } }", "past"),
        ("server { location / { proxy_pass $scheme://app; } }", "through"),
        ("server { location / { proxy_pass $http_x_forwarded_proto://app; } }", "through"),
        ("server { set $b $b$b; location / { proxy_pass http://$b; } }", "unclear"),
        ("server { set $a $b; set $b $a; location / { proxy_pass http://$a; } }", "unclear"),
        ("server { set $to app; location / { proxy_pass http://${to}; } }", "through"),
        ("server { set $to app:80; } server { set $to other; location / { proxy_pass http://$to; } }", "elsewhere"),
        ("server { set $to backend; } server { location / { proxy_pass http://$to; } }", "past"),
        ("perl_set $x 'sub { }'; server { set $x other; location / { proxy_pass http://$x; } }", "unclear"),
        ("server { auth_request_set $x $upstream_http_x; location / { proxy_pass http://$x; } }", "unclear"),
        ("server { proxy_set_header X $request_uri; location / { proxy_pass http://app$request_uri; } }", "through"),
        // Scripts: those that can talk to others, and those that can't.
        ("server { location / { js_content x.y; } }", "unclear"),
        ("server { location / { header_filter_by_lua_block { x } log_by_lua_file x.lua; } }", "elsewhere"),
    ] {
        leads(site, expected);
    }
}

#[test]
fn streams_mail_and_rtmp_have_ways_of_their_own() {
    let whole = |text: &str| told(&format!("# configuration file /etc/nginx/nginx.conf:\n{text}\n"), &app());
    assert_eq!(
        whole(
            "stream { upstream x { server app:5432; } map $ssl_preread_server_name $to { default x; } server { proxy_pass $to; } }"
        ),
        "\
past: `proxy_pass $to` at /etc/nginx/nginx.conf:1 is in `stream`, which swap does not switch
  do: its connections to `app` are cut when the old container stops
"
    );
    // An upstream of http is none of stream's.
    assert_eq!(whole("http { upstream x { server app:80; } } stream { server { proxy_pass x:1; } }"), "");
    assert_eq!(
        whole("mail { server { auth_http backend:9000/auth; } }"),
        "\
past: `auth_http backend:9000/auth` at /etc/nginx/nginx.conf:1 is not in `http`, which swap does not switch: `backend` is its network alias
  do: its connections to `app` are cut when the old container stops
"
    );
    assert!(
        whole("rtmp { server { application live { on_publish http://app:8000/a; push rtmp://other/b; } } }")
            .starts_with("past: `on_publish")
    );
}

#[test]
fn what_hosts_and_published_ports_lead_to_is_known() {
    let mut names = app();
    names.hosts.insert("old".into(), vec!["172.18.0.5".parse().unwrap()]);
    names.published.insert(8001, "demo-app-1".into());
    let site = "server { location /a { proxy_pass http://old:80; } location /b { proxy_pass http://host.docker.internal:8001; }
location /c { proxy_pass http://127.0.0.1:8001; } location /d { proxy_pass http://localhost:8002; } }";
    let lines = |names: &Names| -> Vec<String> {
        told(&dump(site), names).lines().filter(|line| line.starts_with("past")).map(str::to_owned).collect()
    };
    let inside = [
        "past: `proxy_pass http://old:80` at /etc/nginx/site.conf:1 sends requests to `app` past swap: `/etc/hosts` there says that `old` is 172.18.0.5, which is demo-app-1",
        "past: `proxy_pass http://host.docker.internal:8001` at /etc/nginx/site.conf:1 sends requests to `app` past swap: 8001 is a published port of demo-app-1",
    ];
    assert_eq!(lines(&names), inside);
    names.on_machine = true;
    let on_machine = "past: `proxy_pass http://127.0.0.1:8001` at /etc/nginx/site.conf:2 sends requests to `app` past swap: 8001 is a published port of demo-app-1";
    assert_eq!(lines(&names), [&inside[..], &[on_machine]].concat());
    // In an upstream too, by its port: the commonest site file of an nginx on the machine.
    let upstream = |server: &str| {
        let site = format!("upstream x {{ server {server}; }}\nserver {{ location / {{ proxy_pass http://x; }} }}");
        told(&dump(&site), &names)
            .lines()
            .filter(|line| line.starts_with("  do"))
            .map(str::to_owned)
            .collect::<String>()
    };
    let ours = "  do: write `proxy_pass http://app;` there and remove that upstream: swap writes an `upstream app` of its own \
                (`swap init app` does both)";
    for server in ["127.0.0.1:8001", "localhost:8001 max_fails=2"] {
        assert_eq!(upstream(server), ours, "{server}");
    }
    assert_eq!(upstream("127.0.0.1:8002"), "");
    assert!(upstream("127.0.0.1:8001; server 127.0.0.1:8002").contains("keep them out of that upstream"));
}

#[test]
fn a_file_that_swap_wrote_for_another_service_leads_to_that_one() {
    // Its address may be that of this service by now: containers that are made anew change places.
    let site = "server { location / { proxy_pass http://other; } }";
    let file = |project: &str, service: &str| {
        format!(
            "{}# configuration file /etc/nginx/swap/other.conf:\n# Written by swap; do not edit: the next swap replaces it.\n\
             # project: {project}\n# service: {service}\nupstream other {{ server 172.18.0.5:8000; }}\n",
            dump(site)
        )
    };
    let app = Names { project: Some("shop".into()), ..app() };
    for (project, service) in [("shop", "other"), ("blog", "app")] {
        assert_eq!(told(&file(project, service), &app), "");
    }
    // The service's own file, from when its upstream was called otherwise.
    assert_eq!(
        told(&file("shop", "app"), &app),
        "past: `proxy_pass http://other` at /etc/nginx/site.conf:1 sends requests to `app` past swap, through `upstream other { \
         server 172.18.0.5:8000; }` at /etc/nginx/swap/other.conf:4: swap wrote it for `app`, whose upstream is now called `app`\n  \
         do: write `proxy_pass http://app;` there and remove that upstream: swap writes an `upstream app` of its own (`swap init \
         app` does both)\n"
    );
}

#[test]
fn a_file_in_swaps_folder_that_people_wrote_leads_where_it_says() {
    let pass = "server { location / { proxy_pass http://other; } }";
    let file = |server: &str| {
        format!(
            "{}# configuration file /etc/nginx/swap/other.conf:\nupstream other {{ server {server}; }}\n",
            dump(pass)
        )
    };
    assert_eq!(told(&file("other:8000"), &app()), "");
    assert!(told(&file("app:8000"), &app()).starts_with("past: "));
}

#[test]
fn includes_lead_into_servers_maps_and_upstreams() {
    let dump = "# configuration file /etc/nginx/nginx.conf:
http { upstream x { include servers; } map $host $m { include m.map; } server { include locations/*; } }
# configuration file /etc/nginx/servers:
server app:8000;
# configuration file /etc/nginx/m.map:
default backend;
# configuration file /etc/nginx/locations/a:
location /a { proxy_pass http://x; }
# configuration file /etc/nginx/locations/b:
location /b { proxy_pass http://$m; }
";
    let places: Vec<String> = ways(dump).ways.into_iter().map(|way| way.place).collect();
    assert_eq!(places, ["/etc/nginx/locations/a:1", "/etc/nginx/locations/b:1"]);
    assert_eq!(told(dump, &app()).lines().filter(|line| line.starts_with("past")).count(), 2);
}

#[test]
fn a_printed_file_that_no_include_names_is_told() {
    let dump = format!("{}# configuration file /etc/nginx/lost.conf:\nserver {{ }}\n", dump("server { }"));
    assert_eq!(
        told(&dump, &app()),
        "\
unclear: `nginx -T` printed `/etc/nginx/lost.conf`, which no `include` here names, so nobody can tell whether it sends requests to `app`
  do: if it does not, write `x-swap: { proxy: none }` under `services: app:`; if it does, name the nginx: `x-swap: { proxy: NAME }`
"
    );
}

#[test]
fn what_has_too_many_values_or_combinations_can_not_be_followed() {
    let mut map = "map $host $m {\n".to_owned();
    for number in 0..10_001 {
        let _ = writeln!(map, "h{number} b{number};");
    }
    let site = format!("{map}}}\nserver {{ location / {{ proxy_pass http://$m; }} location /o {{ return 301 $m; }} }}");
    let told = told(&dump(&site), &app());
    assert!(told.contains("sends requests to `app`: `$m` has more than 10000 values\n"), "{told}");
    let digits = "map $host $d { 0 0; 1 1; 2 2; 3 3; 4 4; 5 5; 6 6; 7 7; 8 8; default 9; }";
    let site = format!("{digits}\nserver {{ location / {{ proxy_pass http://$d$d$d$d$d$d$d$d$d$d$d$d; }} }}");
    let told = self::told(&dump(&site), &app());
    assert!(told.contains("sends requests to `app`: it has more than 10000 values\n"), "{told}");
}

#[test]
fn a_map_of_a_million_lines_is_read_once_and_in_a_moment() {
    let mut site = String::from("map $host $m {\ndefault other;\n");
    for number in 0..1_000_000 {
        let _ = writeln!(site, "host-{number}.example.com backend-{};", number % 100);
    }
    site += "x backend:8000;\n}\nserver { location / { proxy_pass http://$m; } }";
    let dump = dump(&site);
    let began = std::time::Instant::now();
    let told = told(&dump, &app());
    assert!(told.starts_with("past: `proxy_pass http://$m` at /etc/nginx/site.conf:1000005 "), "{told}");
    // Without optimisation, on a machine that is busy with other things.
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
    println!("{} MiB read in {:?}", dump.len() >> 20, began.elapsed());
}

#[test]
fn in_an_nginx_that_others_share_a_name_alone_says_nothing() {
    let shared = Names { claimed: false, ..app() };
    let check = |names: &Names, dump: &str, expected: &str| {
        let told = told(dump, names);
        let kind = told.split(':').next().filter(|kind| !kind.is_empty()).unwrap_or("elsewhere");
        assert_eq!(kind, expected, "{dump}\n{told}");
    };
    let pass = "server { location / { proxy_pass http://app; } }";
    let with = |upstream: &str| dump(&format!("upstream app {{ server {upstream}; }}\n{pass}"));
    // Somebody else's upstream that is called so, and one that people wrote for this service.
    check(&shared, &with("10.0.0.9:80"), "elsewhere");
    check(&shared, &with("172.18.0.5:80"), "past");
    check(&app(), &with("10.0.0.9:80"), "through");
    // Docker's DNS knows the name, where nginx asks it.
    check(&shared, &dump(pass), "through");
    // swap's file says whose it is.
    let written = format!(
        "{}\n# configuration file /etc/nginx/swap/app.conf:\nupstream app {{ server 10.0.0.9:80; }}\n",
        dump(pass)
    );
    check(&shared, &written, "through");
    check(&Names { owner: Some("blog".to_owned()), ..shared.clone() }, &written, "others");
    check(&Names { owner: Some("blog".to_owned()), ..app() }, &written, "through");
    // On the machine nobody asks Docker's DNS, and a published port leads to the service.
    let mut machine = Names { names: BTreeMap::new(), on_machine: true, ..shared };
    machine.published.insert(8000, "demo-app-1".to_owned());
    check(&machine, &dump(pass), "elsewhere");
    check(&machine, &dump("server { location / { proxy_pass http://127.0.0.1:8000; } }"), "past");
    check(&machine, &dump("server { location / { proxy_pass http://127.0.0.1:8001; } }"), "elsewhere");
    check(&machine, &with("127.0.0.1:8000"), "past");
}
