//! What a watch sees: versions that hang or fail while both run, whatever door users come by, and what nginx answers itself.

use std::process::Command;
use std::time::Duration;

use expect_test::expect;
use scenarios::eventually::eventually;
use scenarios::stack::Stack;
use scenarios::transcript::{SWAPPED, SWITCHED_BACK};

use crate::common::{is_as_before, shows, tells_but};

const REFUSED: i32 = 3;
const ROLLED_BACK: i32 = 4;

#[test]
fn a_version_that_hangs_after_the_switch_is_switched_back_by_its_check() {
    let stack = Stack::builder().compose("health: ./healthcheck", "health: { http: /up }").up();
    stack.deploy("hangs");
    let before = stack.world();
    let outcome = stack.swap(["--watch", "5s", "--drain", "2s", "app"]).expect_exit(ROLLED_BACK);
    tells_but(
        &outcome,
        SWITCHED_BACK,
        expect![[r#"
              swap app (project [project], run [run])
            + note: `client_header_timeout [time]` lets one silent connection keep the old container for longer than the drain's [time] (write `client_header_timeout [time];`)
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            +   watch       failed: live candidate `[project]-app-2` became unhealthy: GET /up gave no answer within [time]  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + error: live candidate `[project]-app-2` became unhealthy: GET /up gave no answer within [time]
        "#]],
    );
    is_as_before(&stack, &before);
}

#[test]
fn a_version_that_hangs_after_the_switch_is_switched_back_by_the_probe_alone() {
    let stack = Stack::builder().compose("    x-swap:\n      health: ./healthcheck\n", "").up();
    stack.deploy("hangs");
    let before = stack.world();
    let outcome = stack.swap(["--watch", "5s", "--probe", "/version", "--drain", "2s", "app"]).expect_exit(ROLLED_BACK);
    tells_but(
        &outcome,
        SWITCHED_BACK,
        expect![[r#"
              swap app (project [project], run [run])
            + note: `client_header_timeout [time]` lets one silent connection keep the old container for longer than the drain's [time] (write `client_header_timeout [time];`)
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            +   watch       failed: the front door failed [n] of [n] requests since the switch, 0 of [n] before; the first: no answer for [time]  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + front door: [n] requests, [n] failed, p99 [time] (before [time]); the first failed at [time]: status 502
            + error: the front door failed [n] of [n] requests since the switch, 0 of [n] before; the first: no answer for [time]
        "#]],
    );
    is_as_before(&stack, &before);
}

/// A front door as most have it: port 80 only redirects to TLS, by the server's name, and both are published.
const REDIRECT_AND_TLS: &str = "\
    server {
        listen 80;
        server_name shop.test;
        return 301 https://$host$request_uri;
    }
    server {
        listen 443 ssl;
        server_name shop.test;
        ssl_certificate /etc/nginx/swap/shop.pem;
        ssl_certificate_key /etc/nginx/swap/shop.key;
";

#[test]
fn a_version_that_fails_behind_tls_and_a_redirect_is_switched_back() {
    let (certificate, key) = self_signed("shop.test");
    let both = "      - \"127.0.0.1:[other-port]:443\"\n      - \"127.0.0.1:[port]:80\"\n";
    let stack = Stack::builder()
        .compose("      - \"127.0.0.1:[port]:80\"\n", both)
        .nginx("    server {\n        listen 80;\n", REDIRECT_AND_TLS)
        .file("nginx/swap/shop.pem", &certificate)
        .file("nginx/swap/shop.key", &key)
        .up_when("")
        .up();
    let version =
        || stack.exec("nginx", "curl -sk --resolve shop.test:443:127.0.0.1 https://shop.test/version || true");
    eventually("v1 behind TLS", Duration::from_secs(60), || version() == "v1\n");

    stack.deploy("v2");
    let watched = ["--watch", "1500ms", "--probe", "/version", "app"];
    tells_but(
        &stack.swap(watched).expect_exit(0),
        SWAPPED,
        expect![[r#"
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            +   watch       app: [project]-app-2 did well  [time]
                retire      app: [project]-app-1 stopped and removed  [time]
            + front door: [n] requests, 0 failed, p99 [time] (before [time])
        "#]],
    );
    assert_eq!(version(), "v2\n");

    stack.deploy("fails");
    shows(
        &stack.swap(watched).expect_exit(ROLLED_BACK),
        expect![[r#"
        swap app (project [project], run [run])
          create      app: [project]-app-3 from [project]-app ([id])  [time]
          start       app: [project]-app-3 runs  [time]
          healthy     app: [project]-app-3 is healthy  [time]
          switch      app: nginx sends new requests to [project]-app-3 ([ip]:80)  [time]
          watch       failed: the front door failed [n] of [n] requests since the switch, 0 of [n] before; the first: status 500  [time]
          switch-back app: nginx sends new requests to [project]-app-2 ([ip]:80) again  [time]
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
        front door: [n] requests, [n] failed, p99 [time] (before [time]); the first failed at [time]: status 500
        error: the front door failed [n] of [n] requests since the switch, 0 of [n] before; the first: status 500
        > rolled back; app: [project]-app-2 serves, nothing of this run is left
    "#]],
    );
    assert_eq!(version(), "v2\n");
}

#[test]
fn a_page_that_is_gone_in_the_new_version_is_a_failure() {
    let stack = Stack::up();
    stack.deploy("forgets");
    let before = stack.world();
    tells_but(
        &stack.swap(["--watch", "5s", "--probe", "/version", "app"]).expect_exit(ROLLED_BACK),
        SWITCHED_BACK,
        expect![[r#"
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            +   watch       failed: the front door failed [n] of [n] requests since the switch, 0 of [n] before; the first: status 404, which was never answered before the switch  [time]
                release     app: /etc/nginx/swap/app.conf is removed again  [time]
            + front door: [n] requests, [n] failed, p99 [time] (before [time]); the first failed at [time]: status 404, which was never answered before the switch
            + error: the front door failed [n] of [n] requests since the switch, 0 of [n] before; the first: status 404, which was never answered before the switch
        "#]],
    );
    is_as_before(&stack, &before);
}

#[test]
fn what_nginx_answers_itself_is_not_taken_for_the_application() {
    let own = "        location /own {\n            return 404;\n        }\n        location / {\n";
    let stack = Stack::builder()
        .compose("    x-swap:\n      health: ./healthcheck\n", "")
        .nginx("        location / {\n", own)
        .up();
    stack.deploy("v2");
    let before = stack.world();
    let refused = stack.swap(["--watch", "2s", "--probe", "/own", "app"]).expect_exit(REFUSED);
    shows(
        &refused,
        expect![[r#"
        error: nothing but the probe judges the watch of `app`, and what it asks, http://[door]/own, does not reach the application: nginx itself answers 404, and the container receives nothing of it
        hint: name a page of the application, as `--probe /up` or `--probe https://shop.example.com/up`, or give `app` a health check; `--watch [time]` swaps without a watch
    "#]],
    );
    let planned = stack.swap(["plan", "--watch", "2s", "--probe", "/own", "app"]).expect_exit(REFUSED);
    assert_eq!(planned.stderr, refused.stderr);
    assert_eq!(stack.world(), before);

    // With a check of its own the watch has another judge, and the probe says what it is worth.
    let checked = ["--watch", "2s", "--probe", "/own", "app", "./healthcheck"];
    tells_but(
        &stack.swap(checked).expect_exit(0),
        SWAPPED,
        expect![[r#"
              swap app (project [project], run [run])
            + note: the probe's requests do not reach [project]-app-1: http://[door]/own (nginx itself answers 404, and the container receives nothing of it); name what users ask, as `--probe https://shop.example.com/up`
                switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
            +   watch       app: [project]-app-2 did well  [time]
                retire      app: [project]-app-1 stopped and removed  [time]
            + front door: [n] requests, 0 failed, p99 [time] (before [time]); none of them reached the application: nginx itself answers 404, and the container receives nothing of it
        "#]],
    );

    stack.deploy("v1");
    let nobody = ["--probe", "http://127.0.0.1:9/", "app", "./healthcheck"];
    shows(
        &stack.swap(nobody).expect_exit(0),
        expect![[r#"
        swap app (project [project], run [run])
        note: it is not known whether the probe's requests reach [project]-app-2: http://[ip]:9/ (Connection refused (os error 111)); name what users ask, as `--probe https://shop.example.com/up`
          create      app: [project]-app-3 from [project]-app ([id])  [time]
          start       app: [project]-app-3 runs  [time]
          healthy     app: [project]-app-3 is healthy  [time]
          switch      app: nginx sends new requests to [project]-app-3 ([ip]:80)  [time]
          drain       app: nothing uses [project]-app-2 any more  [time]
          retire      app: [project]-app-2 stopped and removed  [time]
        front door: [n] requests, [n] failed, p99 [time] (before [time]); it is not known whether they reached the application: Connection refused (os error 111); the first failed at [time]: Connection refused (os error 111)
          note: none of the probe's [n] requests to http://[ip]:9/ was answered well, so it tells nothing about the new version
        > swapped app: [project]-app-2 → [project]-app-3 in [time] ([steps])
    "#]],
    );
}

/// Makes a certificate that nobody trusts, and its key.
fn self_signed(name: &str) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", &format!("/CN={name}"), "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("running openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |path| std::fs::read_to_string(path).expect("reading what openssl made");
    (read(certificate), read(key))
}
