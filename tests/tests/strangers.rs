//! Stacks as people have them elsewhere, from `swap init` to their third swap: nobody edits a file by hand.

use std::fs;
use std::process::Command;
use std::time::Duration;

use expect_test::expect;
use scenarios::eventually::eventually;
use scenarios::load::Running;
use scenarios::stack::{Stack, serves};
use scenarios::swap::Outcome;

use crate::common::{lost_nothing, mixed_load};
use crate::homes::{behind, load, on_the_machine, route, version};

const PATIENCE: Duration = Duration::from_secs(60);

/// Types what a proposal says next, up to the swap.
#[track_caller]
fn typed(stack: &Stack, written: &Outcome) {
    let next = written.stderr.lines().filter_map(|line| line.strip_prefix("  "));
    let lines: Vec<&str> = next.filter_map(|line| line.split("      ").next()).collect();
    let before: Vec<&&str> = lines.iter().take_while(|line| !line.starts_with("swap ")).collect();
    assert!(!before.is_empty(), "{}", written.stderr);
    for line in before {
        let line = line.replace("[folder]", &stack.path("").display().to_string());
        let output = Command::new("sh").args(["-c", &line]).current_dir(stack.path(".")).output().expect("a shell");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Swaps three times under load, and loses nothing.
#[track_caller]
fn swapped_three_times(stack: &Stack, through: &[&str], running: Running, serves: impl Fn() -> Option<String>) {
    for version in ["v2", "v1", "v2"] {
        stack.deploy(version);
        stack.swap(["app"]).through(through).expect_exit(0);
        eventually(format!("{version} to answer"), PATIENCE, || serves().as_deref() == Some(version));
    }
    lost_nothing(running);
    let again = stack.swap(["init", "app"]).through(through).expect_exit(0);
    assert_eq!(again.stdout, "nothing to do: `app` is ready for `swap app`\n", "{}", again.stderr);
    stack.swap(["doctor", "app"]).through(through).expect_exit(0);
}

const STRANGE: &str = "\
services:
  web:
    image: [nginx]
    entrypoint: []
    command: [\"sh\", \"-c\", \"sed 's/__PORT__/80/' /etc/nginx/site.template > /tmp/site.conf && exec nginx -g 'daemon off;'\"]
    stop_signal: SIGQUIT
    ports: [\"127.0.0.1:[port]:80\"]
    volumes:
      - ./docker/nginx:/etc/nginx:ro

  app:
    image: [project]-app
    container_name: [project]-shop
    volumes: [\"data:/data\"]
    stop_grace_period: 10s

volumes:
  data: {}
";

const MAIN: &str = "\
worker_processes 2;
error_log stderr notice;
pid /run/nginx.pid;
events { worker_connections 4096; }
http {
    access_log off;
    include /tmp/site.conf;
}
";

const SITE: &str = "\
upstream backend {
    least_conn;
    server [project]-shop:80 max_fails=2;
    keepalive 8;
}
server {
    listen __PORT__;
    location / {
        proxy_http_version 1.1;
        proxy_set_header Connection \"\";
        proxy_set_header Host $host;
        proxy_pass http://backend;
    }
}
";

fn strange() -> Stack {
    let usual = Stack::builder();
    let usual = usual.whole_nginx("").whole_compose(STRANGE);
    usual.file("docker/nginx/nginx.conf", MAIN).file("docker/nginx/site.template", SITE).up()
}

#[test]
fn what_is_made_at_the_start_under_a_read_only_folder_is_edited_where_it_comes_from_and_its_options_are_kept() {
    let stack = strange();
    let written = stack.swap(["init", "app", "--write"]).expect_exit(0);
    assert!(stack.path("docker/nginx/swap/app.conf").is_file(), "{}", written.stdout);
    typed(&stack, &written);
    serves(&stack, "v1");
    // The name that it had still leads to it.
    stack.exec("web", &format!("getent hosts {}-shop", stack.project));
    let running = mixed_load(&stack);
    swapped_three_times(&stack, &[], running, || stack.version().ok());
    let file = fs::read_to_string(stack.path("docker/nginx/swap/app.conf")).expect("the upstream");
    for kept in ["    least_conn;\n", "    keepalive 8;\n", " max_fails=2"] {
        assert!(file.contains(kept), "{kept} in {file}");
    }
    stack.exec("web", &format!("getent hosts {}-shop", stack.project));
}

#[test]
fn what_nginx_would_refuse_at_its_start_is_not_written() {
    // Its own start breaks as soon as swap's folder is there.
    let breaks = "if [ -d /etc/nginx/swap ]; then echo 'nonsense on;' > /tmp/site.conf; fi; exec nginx";
    let stack = Stack::builder()
        .whole_nginx("")
        .whole_compose(&STRANGE.replace("exec nginx", breaks).replace("&& if", "; if"))
        .file("docker/nginx/nginx.conf", MAIN)
        .file("docker/nginx/site.template", SITE)
        .up();
    let (world, files) = (stack.world(), files(&stack));
    for words in [&["init", "app"][..], &["init", "app", "--write"]] {
        let refused = stack.swap(words).expect_exit(3);
        assert!(
            refused
                .stderr
                .contains("error: nginx refuses the new files: unknown directive \"nonsense\" in /tmp/site.conf:1"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!((stack.world(), self::files(&stack)), (world, files));
}

/// Returns all files of a stack with their texts.
fn files(stack: &Stack) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![stack.path(".")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path().is_dir() {
                true => open.push(entry.path()),
                false => found
                    .push((entry.path().display().to_string(), fs::read_to_string(entry.path()).unwrap_or_default())),
            }
        }
    }
    found.retain(|(path, _)| !path.contains("/state/"));
    found.sort();
    found
}

#[test]
fn an_nginx_in_a_project_of_its_own_is_prepared_from_the_project_behind_it() {
    let edge = Stack::of("edge", "v1").nginx_of("current").up_when("");
    // It knows nothing of swap.
    let edge = edge
        .compose("      - ./nginx/swap:/etc/nginx/swap\n", "")
        .without("nginx.conf", "    include /etc/nginx/swap/*.conf;\n")
        .up();
    let shop = behind(&edge, "shop-app", "");
    route(&edge, &[("/", "http://shop-app:80")]);
    let written = shop.swap(["init", "app", "--write"]).expect_exit(0);
    let text = fs::read_to_string(shop.path("docker-compose.yml")).expect("the compose file");
    assert!(text.contains(&format!("upstream: {}-app", shop.project)), "{text}");
    typed(&shop, &written);
    eventually("an answer", PATIENCE, || version(&edge, "/").as_deref() == Some("v1"));
    swapped_three_times(&shop, &[], load(&edge, "/"), || version(&edge, "/"));
}

#[test]
fn an_nginx_on_the_machine_is_prepared_and_leaves_the_published_port() {
    let stack = Stack::of("published", "v1").up_when("").up();
    let (nginx, running) = on_the_machine(&stack);
    let beside = nginx.beside(&stack);
    let beside: Vec<&str> = beside.iter().map(String::as_str).collect();
    let written = stack.swap(["init", "app", "--write"]).through(&beside).expect_exit(0);
    typed(&stack, &written);
    swapped_three_times(&stack, &beside, running, || stack.version().ok());
}

#[test]
fn what_is_to_be_typed_has_the_flags_that_were_given() {
    let stack = Stack::builder().plain(3000, "proxy_pass http://app:3000").up();
    fs::rename(stack.path("docker-compose.yml"), stack.path("prod.yml")).expect("renaming");
    let proposed = stack.swap(["-f", "prod.yml", "-p", &stack.project, "init", "app", "--port", "3000"]).expect_exit(0);
    let said = proposed.stderr.replace(&stack.project, "[project]").replace("docker-compose -f", "docker compose -f");
    let said: String = said.lines().filter(|line| !line.starts_with("note:")).map(|line| format!("{line}\n")).collect();
    expect![[r#"
        `swap -f prod.yml -p [project] init app --port 3000 --write` writes 4 files; then:
          docker compose -f prod.yml -p [project] up -d      (makes `nginx` anew: a moment without answers, this once)
          swap -f prod.yml -p [project] app
    "#]]
    .assert_eq(&said);
}
