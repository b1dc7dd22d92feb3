//! From the stacks that people have to the first swap without a lost request, and no file edited by hand.

use scenarios::stack::{Builder, Stack};

use crate::common::{lost_nothing, mixed_load, says};

/// Lets `swap init` prepare the stack and swaps it under load; then there is nothing left to do.
#[track_caller]
fn set_up_and_swapped(builder: Builder, next: &str) {
    let stack = builder.up();
    let before = stack.containers("app");
    let proposed = stack.swap(["init", "app"]).expect_exit(0);
    let written = stack.swap(["init", "app", "--write"]).expect_exit(0);
    assert_eq!(proposed.stdout, written.stdout, "what is written is not what was proposed");
    stack.compose(&["up", "-d"]);
    scenarios::stack::serves(&stack, "v1");
    let running = mixed_load(&stack);
    stack.deploy(next);
    stack.swap(["app"]).expect_exit(0);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_ne!(stack.containers("app")[0].id, before[0].id);
    let again = stack.swap(["init", "app", "--write"]).expect_exit(0);
    assert_eq!(again.stdout, "nothing to do: `app` is ready for `swap app`\n");
    let examined = stack.swap(["doctor", "app"]).expect_exit(0);
    says(&examined, &["ready to swap", "goes through swap's upstream"]);
}

#[test]
fn an_application_of_its_own_port_goes_from_nothing_to_its_first_swap() {
    let stack = Stack::builder().plain(3000, "proxy_pass http://app:3000");
    set_up_and_swapped(stack, "v2");
}

#[test]
fn php_behind_fastcgi_in_conf_d_goes_from_nothing_to_its_first_swap() {
    let site = "\
server {
\tlisten 80;
\tlocation / {
\t\tinclude /etc/nginx/fastcgi_params;
\t\tfastcgi_param SCRIPT_FILENAME /app/index.php;
\t\tfastcgi_pass app:9000; # PHP-FPM
\t}
}
";
    let main = "worker_processes 2;\nerror_log stderr notice;\npid /run/nginx.pid;\nevents { worker_connections 4096; }\n\
                http { access_log off; include /etc/nginx/conf.d/*.conf; }\n";
    let stack = Stack::builder()
        .compose("      - ./nginx/swap:/etc/nginx/swap\n", "      - ./nginx/conf.d:/etc/nginx/conf.d:ro\n")
        .compose("    x-swap:\n      health: ./healthcheck\n", "")
        .whole_nginx(main)
        .file("nginx/conf.d/site.conf", site)
        .app("fpm-v1");
    set_up_and_swapped(stack, "fpm-v2");
}

#[test]
fn a_wsgi_application_behind_an_upstream_of_another_name_goes_from_nothing_to_its_first_swap() {
    let stack = Stack::builder()
        .plain(8000, "proxy_pass http://django")
        .nginx("    server {\n", "    upstream django {\n        server app:8000;\n    }\n    server {\n");
    set_up_and_swapped(stack, "v2");
}

#[test]
fn one_of_several_services_with_a_name_and_a_port_of_its_own_goes_from_nothing_to_its_first_swap() {
    let stack = Stack::builder()
        .plain(80, "proxy_pass http://[project]-shop")
        .worker("{ proxy: none }")
        .compose("      - app\n", "      - app\n      - worker\n")
        .app_line("container_name: [project]-shop # for scripts");
    set_up_and_swapped(stack, "v2");
}

#[test]
fn what_only_people_can_do_is_told_and_nothing_is_written() {
    let stack = Stack::builder()
        .plain(3000, "proxy_pass http://app:3000")
        .compose(
            "    volumes:\n      - ./nginx.conf:/etc/nginx/nginx.conf:ro\n",
            "    volumes: [ \"./nginx.conf:/etc/nginx/nginx.conf:ro\" ]\n",
        )
        .up();
    let before = stack.world();
    let outcome = stack.swap(["init", "app", "--write"]).expect_exit(3);
    says(
        &outcome,
        &[
            "the volumes of `nginx` in docker-compose.yml are not written line by line, so nothing is added",
            "write `- ./nginx/swap:/etc/nginx/swap` under `volumes:` of `services: nginx:`",
            "nothing is written",
        ],
    );
    assert_eq!(stack.world(), before);
    // The doctor says the same from the other side, and goes on after each finding.
    let examined = stack.swap(["doctor"]).expect_exit(3);
    says(&examined, &["names a port, which an upstream's name may not have", "is not there", "not ready: "]);
}

#[test]
fn the_doctor_goes_on_without_an_engine() {
    let stack = Stack::up();
    let outcome = stack.swap(["doctor"]).env("DOCKER_HOST", "tcp://127.0.0.1:9").expect_exit(3);
    says(&outcome, &["tcp://[ip]:9", "docker-compose.yml: 2 services", "service app", "state folder\n  ok"]);
}

#[test]
fn a_stack_measures_its_own_swaps_beside_the_plain_script() {
    let stack = Stack::up();
    let before = stack.containers("app");
    let refused = stack.swap(["bench", "app", "--baseline", "script"]).expect_exit(3);
    says(&refused, &["`--baseline script` drops requests", "--yes"]);
    assert_eq!(stack.containers("app"), before);
    let words = ["bench", "app", "--swaps", "2", "--rate", "100", "--baseline", "script", "--yes", "--output", "json"];
    let measured = stack.swap(words).expect_exit(0);
    let report: serde_json::Value = serde_json::from_str(&measured.raw).expect("a report");
    assert_eq!(report["during"]["failed"], 0, "{report}");
    assert_eq!(report["took_ms"].as_array().map(Vec::len), Some(2), "{report}");
    assert!(report["script"]["during"]["requests"].as_u64() > Some(100), "{report}");
    // It ends as it began: one container, by address.
    assert_eq!(stack.containers("app").len(), 1);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    says(&stack.swap(["doctor", "app"]).expect_exit(0), &["ready to swap"]);
}
