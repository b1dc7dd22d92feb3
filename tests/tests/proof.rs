//! The proof: swap after swap under everybody's load, the rig's own clients and other people's, TLS, HTTP/2 and websockets.

use std::time::Duration;

use scenarios::command::run;
use scenarios::eventually::eventually;
use scenarios::images;
use scenarios::load::Running;
use scenarios::others::{Other, Told, Tool};
use scenarios::stack::Stack;

use crate::common::{compose_recreates_nothing, mixed_load};

const NGINX: &str = "\
worker_processes 2;
error_log stderr notice;
pid /run/nginx.pid;
events {
    worker_connections 4096;
}
http {
    access_log off;
    keepalive_min_timeout 1s;
    client_header_timeout 5s;
    include /etc/nginx/swap/*.conf;
    map $http_upgrade $connection_upgrade {
        default upgrade;
        '' '';
    }
    server {
        listen 80;
        listen 443 ssl;
        http2 on;
        ssl_certificate /etc/nginx/tls/pair.pem;
        ssl_certificate_key /etc/nginx/tls/pair.pem;
        location / {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }
    }
}
";

#[test]
fn swaps_under_the_clients_of_others_lose_nothing() {
    swaps_lose_nothing(2);
}

#[test]
#[ignore = "takes a quarter of an hour: SWAP_TEST_SWAPS swaps, 200 unless set, and a million requests"]
fn a_million_requests_over_two_hundred_swaps_lose_nothing() {
    let count = std::env::var("SWAP_TEST_SWAPS").ok().and_then(|count| count.parse().ok()).unwrap_or(200);
    let requests = swaps_lose_nothing(count);
    assert!(count < 200 || requests >= 1_000_000, "only {requests} requests in {count} swaps");
}

/// Swaps so often, back and forth, and returns how many requests all clients have made meanwhile.
#[track_caller]
fn swaps_lose_nothing(count: usize) -> usize {
    let stack = stack();
    let plain = mixed_load(&stack);
    let tls = stack.other_door();
    let others: Vec<Other> = Tool::ALL.map(|tool| tool.start(stack.door, tls).expect("a client of others")).into();
    for version in ["node-v2", "node-v1"].into_iter().cycle().take(count) {
        stack.deploy(version);
        stack.swap(["app"]).expect_exit(0);
        assert_eq!(stack.version().as_deref(), Ok(&version["node-".len()..]));
        let answers = plain.counts().0;
        eventually("more answers", Duration::from_secs(60), || plain.counts().0 > answers + 200);
    }
    let requests = lost_nothing(plain, others);
    assert_eq!(stack.containers("app").len(), 1);
    compose_recreates_nothing(&stack);
    requests
}

/// Stops all clients and returns how many requests they have made. Panics if one of them lost anything.
#[track_caller]
fn lost_nothing(plain: Running, others: Vec<Other>) -> usize {
    let told: Vec<_> = others.into_iter().map(Other::stop).collect();
    let report = plain.stop().expect("the report");
    println!("{report}");
    // What one could not tell must not hide what the others have.
    told.iter().flatten().for_each(|told| println!("{told}"));
    let told: Vec<Told> = told.into_iter().map(|told| told.unwrap_or_else(|error| panic!("{error:?}"))).collect();
    let lost: usize = told.iter().map(|told| told.count.failed).sum();
    let requests = report.total.answered + told.iter().map(|told| told.count.answered).sum::<usize>();
    println!(
        "all clients: {} of {} requests failed",
        lost + report.total.failed,
        requests + lost + report.total.failed
    );
    assert!(report.is_clean() && lost == 0, "requests were lost");
    requests
}

fn stack() -> Stack {
    let image = images::clients().expect("the clients");
    let line = "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -keyout /dev/stdout 2>/dev/null";
    let pair = run(std::process::Command::new("docker").args(["run", "--rm", &image, "sh", "-c", line]));
    Stack::builder()
        .app("node-v1")
        .compose("      health: ./healthcheck\n", "      health: { http: /up }\n      port: 3000\n")
        .compose(":80\"\n", ":80\"\n      - \"127.0.0.1:[other-port]:443\"\n")
        .compose("/nginx.conf:ro\n", "/nginx.conf:ro\n      - ./tls:/etc/nginx/tls:ro\n")
        .whole_nginx(NGINX)
        .file("tls/pair.pem", &pair.expect("a certificate"))
        .file("nginx/swap/app.conf", "upstream app { server app:3000; }\n")
        .up()
}
