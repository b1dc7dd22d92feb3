//! What grows with the work as it must, and no more.

use std::fmt::Write as _;
use std::fs;

use expect_test::expect;
use scenarios::stack::Stack;
use scenarios::swap::{Outcome, replaced};

use crate::common::shows;

/// A stack with three services behind nginx, and one that does not run.
fn three_services() -> Stack {
    let (mut services, mut locations) = (String::new(), String::new());
    for name in ["blog", "shop"] {
        let _ = write!(
            services,
            "\n  {name}:\n    image: [project]-app\n    stop_grace_period: 2s\n    x-swap: {{ health: ./healthcheck, timeouts: {{ reload: 60s }} }}\n"
        );
        let _ = writeln!(locations, "        location /{name}/ {{ proxy_pass http://{name}/; }}");
    }
    services += "\n  later:\n    image: [project]-app\n    profiles: [ later ]\n";
    Stack::builder()
        .compose("      - app\n", "      - app\n      - blog\n      - shop\n")
        .compose("\nvolumes:\n", &format!("{services}\nvolumes:\n"))
        .compose("[\"nginx\",", "[\"/usr/sbin/nginx\",")
        .nginx("        location / {\n", &format!("{locations}        location / {{\n"))
        .up()
}

/// Lets nginx's program note each time that it is asked for its configuration. The one that runs is not changed.
fn count_questions(stack: &Stack) {
    let script = "cp /usr/sbin/nginx /usr/sbin/nginx-itself && rm /usr/sbin/nginx && printf '%s\\n' '#!/bin/sh' \
                  'case \" $* \" in *\" -T \"*) echo asked >>/tmp/asked;; esac' 'exec /usr/sbin/nginx-itself \"$@\"' \
                  >/usr/sbin/nginx && chmod 755 /usr/sbin/nginx";
    stack.exec("nginx", script);
}

/// Returns how often nginx was asked for its configuration since this was asked last.
fn questions(stack: &Stack) -> usize {
    stack.exec("nginx", "cat /tmp/asked 2>/dev/null; rm -f /tmp/asked").lines().count()
}

#[test]
fn one_look_at_nginx_tells_of_all_services() {
    let stack = three_services();
    count_questions(&stack);
    let status = stack.swap(["status"]).expect_exit(0);
    assert_eq!(questions(&stack), 1);
    shows(
        &status,
        expect![[r#"
        > SERVICE  LIVE  SINCE  IMAGE  LAST RUN  UPSTREAM
        > app  [project]-app-1  [when]  [project]-app [id]  -  -
        > blog  [project]-blog-1  [when]  [project]-app [id]  -  -
        > later  (not running)  -  -  -
        > nginx  [project]-nginx-1  [when]  swap-example/nginx [id]  -  -
        > shop  [project]-shop-1  [when]  [project]-app [id]  -  -
    "#]],
    );
    let plan = stack.swap(["plan", "app", "blog", "shop"]).expect_exit(0);
    assert_eq!(questions(&stack), 1);
    assert!(plan.stdout.starts_with("plan for app, blog, shop of project "), "{}", plan.stdout);
    stack.swap(["doctor"]).expect_exit(0);
    assert_eq!(questions(&stack), 1);
    stack.swap(["history"]).expect_exit(0);
    assert_eq!(questions(&stack), 0);
    stack.deploy("v2");
    stack.swap(["blog", "shop"]).expect_exit(0);
    questions(&stack);
    let status = stack.swap(["status"]).expect_exit(0);
    assert_eq!(questions(&stack), 1);
    shows(
        &status,
        expect![[r#"
        > SERVICE  LIVE  SINCE  IMAGE  LAST RUN  UPSTREAM
        > app  [project]-app-1  [when]  [project]-app [id]  -  -
        > blog  [project]-blog-2  [when]  [project]-app [id]  swapped in [time]  /etc/nginx/swap/blog.conf (run [run])
        > later  (not running)  -  -  -
        > nginx  [project]-nginx-1  [when]  swap-example/nginx [id]  -  -
        > shop  [project]-shop-2  [when]  [project]-app [id]  swapped in [time]  /etc/nginx/swap/shop.conf (run [run])
    "#]],
    );
    let status = stack.swap(["status", "shop"]).expect_exit(0);
    assert_eq!(questions(&stack), 1);
    shows(
        &status,
        expect![[r#"
        > SERVICE  LIVE  SINCE  IMAGE  LAST RUN  UPSTREAM
        > shop  [project]-shop-2  [when]  [project]-app [id]  swapped in [time]  /etc/nginx/swap/shop.conf (run [run])
    "#]],
    );
}

#[test]
fn a_configuration_of_many_megabytes_is_read_and_more_than_can_be_is_told() {
    let stack = Stack::up();
    let line = "# nothing but words of somebody who writes his configuration by a program\n";
    let write = |mebibytes: usize| {
        let text = line.repeat((mebibytes << 20) / line.len());
        fs::write(stack.path("nginx/swap/words.conf"), text).expect("writing a file");
    };
    write(60);
    let plan = stack.swap(["plan", "app"]).expect_exit(0);
    println!("{:?} {} KiB", plan.took, plan.peak_kib);
    write(70);
    let refused = stack.swap(["plan", "app"]).expect_exit(3);
    let lines = [(r"a script of \d+ lines", "a script of [n] lines")];
    shows(
        &Outcome { stderr: replaced(&refused.stderr, &lines), ..refused },
        expect![[r#"
            error: asking nginx for its configuration (`nginx -T`): a script of [n] lines in container `[id]` printed more than 64 MiB
        "#]],
    );
}
