//! Who sends requests to a service: known, or the swap is refused before any change.

use expect_test::{Expect, expect};
use scenarios::stack::{Builder, Stack};

use crate::common::{changes_nothing, light_load, lost_nothing, shows};

const REFUSED: i32 = 3;

/// A stack that was never set up for swap, with the commonest site file there is.
fn never_set_up() -> Builder {
    Stack::builder()
        .plain(8000, "proxy_pass http://x")
        .nginx("    server {\n", "    upstream x { server app:8000; }\n    server {\n")
}

/// Checks that a swap is refused in these words while users are served, and that the plan and the doctor say the same.
#[track_caller]
fn refused(stack: &Stack, service: &'static str, expected: Expect) {
    let outcome = changes_nothing(stack, &[service], REFUSED);
    let errors = |text: &str, sign: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.trim().strip_prefix(sign)).map(|line| line.trim().to_owned()).collect()
    };
    let doctor = stack.swap(["doctor", service]).expect_exit(REFUSED);
    assert_eq!(errors(&doctor.stdout, "error "), errors(&outcome.stderr, "error: "), "{}", doctor.stdout);
    let plan = stack.swap(["plan", service]).expect_exit(REFUSED);
    assert_eq!(plan.stderr, outcome.stderr);
    shows(&outcome, expected);
}

#[test]
fn an_upstream_of_peoples_own_is_refused_with_the_lines_to_write() {
    let stack = never_set_up().up();
    refused(
        &stack,
        "app",
        expect![[r#"
        error: `proxy_pass http://x` at /etc/nginx/nginx.conf:13 sends requests to `app` past swap, through `upstream x { server app:8000; }` at /etc/nginx/nginx.conf:9
        hint: write `proxy_pass http://app;` there and remove that upstream: swap writes an `upstream app` of its own (`swap init app` does both)
        error: nginx does not read `/etc/nginx/swap/app.conf`
        hint: write `include /etc/nginx/swap/*.conf;` into the `http` block of /etc/nginx/nginx.conf
        error: the upstream folder `/etc/nginx/swap` is not there
        hint: mount a directory of the host there: `volumes: [ "./swap:/etc/nginx/swap" ]`
    "#]],
    );
}

#[test]
fn a_network_alias_is_followed() {
    let stack = Stack::builder()
        .plain(8000, "proxy_pass http://backend:8000")
        .app_line("networks: { default: { aliases: [ backend ] } }")
        .up();
    refused(
        &stack,
        "app",
        expect![[r#"
        error: `proxy_pass http://backend:8000` at /etc/nginx/nginx.conf:12 sends requests to `app` past swap: `backend` is its network alias
        hint: write `proxy_pass http://app;`: swap writes an `upstream app`, which knows the port
        error: nginx does not read `/etc/nginx/swap/app.conf`
        hint: write `include /etc/nginx/swap/*.conf;` into the `http` block of /etc/nginx/nginx.conf
        error: the upstream folder `/etc/nginx/swap` is not there
        hint: mount a directory of the host there: `volumes: [ "./swap:/etc/nginx/swap" ]`
    "#]],
    );
}

#[test]
fn a_name_in_a_variable_with_a_port_is_refused() {
    let stack = Stack::builder()
        .nginx("    access_log off;\n", "    access_log off;\n    resolver 127.0.0.11 valid=1s;\n")
        .nginx("proxy_pass http://app;", "set $u app;\n            proxy_pass http://$u:80;")
        .up();
    refused(
        &stack,
        "app",
        expect![[r#"
        error: `proxy_pass http://$u:80` at /etc/nginx/nginx.conf:17 goes past swap's upstream, because of its port
        hint: leave `:80` out: the upstream knows the port
    "#]],
    );
}

#[test]
fn an_address_of_its_own_is_refused() {
    let stack = Stack::builder().up();
    // In the file alone: a network would have to be made anew for its subnet, and the refusal comes before that matters.
    stack.edit(
        "docker-compose.yml",
        "    stop_grace_period: 10s\n",
        "    stop_grace_period: 10s\n    networks: { default: { ipv4_address: 172.30.231.5 } }\n",
    );
    stack.edit(
        "docker-compose.yml",
        "volumes:\n  data: {}\n",
        "volumes:\n  data: {}\nnetworks: { default: { ipam: { config: [ { subnet: 172.30.231.0/24 } ] } } }\n",
    );
    refused(
        &stack,
        "app",
        expect![[r#"
        error: service `app` has `ipv4_address: [ip]`, and two containers can't share an address
        hint: remove `ipv4_address` from `services: app:` (others find it by its name), then `docker compose up -d app` once
    "#]],
    );
}

#[test]
fn a_worker_beside_an_nginx_that_passes_elsewhere_is_swapped() {
    // Another nginx beside the front door serves files alone.
    let files = "\n  files:\n    image: [nginx]\n    entrypoint: []\n    command: [\"nginx\", \"-g\", \"daemon off;\"]\n\nvolumes:\n";
    let stack = Stack::builder().worker("{}").compose("\nvolumes:\n", files).up();
    let before = stack.containers("worker");
    let running = light_load(&stack);
    stack.deploy("v2");
    shows(
        &stack.swap(["worker", "app"]).expect_exit(0),
        expect![[r#"
        swap worker app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      worker: [project]-worker-2 from [project]-app ([id])  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       worker: [project]-worker-2 runs  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     worker: [project]-worker-2 is healthy  [time]
          healthy     app: [project]-app-2 is healthy  [time]
          announce    worker: [project]-worker-2 is found by the service's name in [project]_default  [time]
          announce    app: [project]-app-2 is found by the service's name in [project]_default  [time]
          switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
          drain       app: nothing uses [project]-app-1 any more  [time]
          retire      worker: [project]-worker-1 stopped and removed  [time]
          retire      app: [project]-app-1 stopped and removed  [time]
        > swapped worker: [project]-worker-1 → [project]-worker-2; app: [project]-app-1 → [project]-app-2 in [time] ([steps])
    "#]],
    );
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_ne!(stack.containers("worker")[0].id, before[0].id);
}

#[test]
fn what_can_not_be_followed_is_refused_until_somebody_says_that_it_is_a_worker() {
    let stack = Stack::builder()
        .nginx("        location / {\n", "        location /to { proxy_pass http://$arg_to; }\n        location / {\n")
        .worker("{}")
        .up();
    refused(
        &stack,
        "worker",
        expect![[r#"
        error: nobody can tell whether `proxy_pass http://$arg_to` at /etc/nginx/nginx.conf:14 sends requests to `worker`: `$arg_to` comes with the request
        hint: if it does, write `proxy_pass http://worker;` there; if not, `x-swap: { proxy: none }` under `services: worker:`
    "#]],
    );
    stack.edit("docker-compose.yml", "x-swap: {}", "x-swap: { proxy: none }");
    stack.swap(["worker"]).expect_exit(0);
}
