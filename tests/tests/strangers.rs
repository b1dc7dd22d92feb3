//! Stacks as people have them elsewhere, from `swap init` to their third swap: nobody edits a file by hand.

use std::fs;
use std::process::Command;
use std::time::Duration;

use expect_test::expect;
use scenarios::eventually::eventually;
use scenarios::load::Running;
use scenarios::stack::{NGINX_WORKERS, Stack, serves};
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
        let line = line.replace("[folder]", &stack.path("").display().to_string()).replace("[project]", &stack.project);
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
    command: [\"sh\", \"-c\", \"sed 's/__PORT__/80/' /tmp/site.template > /tmp/site.conf && exec nginx -g 'daemon off;'\"]
    stop_signal: SIGQUIT
    ports: [\"127.0.0.1:[port]:80\"]
    volumes:
      - ./docker/nginx:/etc/nginx:ro
      - ./docker/site.template:/tmp/site.template:ro

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
    usual.file("docker/nginx/nginx.conf", MAIN).file("docker/site.template", SITE).up()
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
        .file("docker/site.template", SITE)
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
fn an_upstream_of_an_nginx_on_the_machine_that_names_the_published_port_is_taken_over_with_its_options() {
    let stack = Stack::of("published", "v1").up_when("").up();
    let text = fs::read_to_string(stack.path("nginx.conf")).expect("the configuration");
    let (before, pass) = (text.find("    server {").expect("a server"), "proxy_pass http://");
    let address = text[text.find(pass).expect("a pass") + pass.len()..].split(';').next().expect("an address");
    let upstream =
        format!("    upstream site {{\n        server {address} max_fails=2;\n        keepalive 4;\n    }}\n");
    let text = format!("{}{upstream}{}", &text[..before], text[before..].replace(address, "site"));
    stack.write("nginx.conf", &text);
    let (nginx, running) = on_the_machine(&stack);
    let beside = nginx.beside(&stack);
    let beside: Vec<&str> = beside.iter().map(String::as_str).collect();
    let written = stack.swap(["init", "app", "--write"]).through(&beside).expect_exit(0);
    typed(&stack, &written);
    swapped_three_times(&stack, &beside, running, || stack.version().ok());
    let file = fs::read_to_string(stack.path("swap/app.conf")).expect("the upstream");
    for kept in ["    keepalive 4;\n", " max_fails=2"] {
        assert!(file.contains(kept), "{kept} in {file}");
    }
}

/// An nginx in a project of its own, whose sites lie in a folder that is mounted.
fn edge_with_sites() -> Stack {
    let edge = Stack::of("edge", "v1").nginx_of("current").up_when("");
    let edge = edge
        .compose("      - ./nginx/swap:/etc/nginx/swap\n", "      - ./sites:/etc/nginx/sites\n")
        .file("sites/status.conf", "server {\n    listen 8081;\n}\n")
        .up();
    edge.edit("nginx.conf", "include /etc/nginx/swap/*.conf;", "include /etc/nginx/sites/*.conf;");
    edge
}

const SHOP: &str = "\
upstream shop {
    server shop-app:80 max_fails=3;
    keepalive 6;
}
";

#[test]
fn a_folder_that_the_nginx_of_another_project_has_already_costs_no_new_container() {
    let edge = edge_with_sites();
    let shop = behind(&edge, "shop-app", "");
    edge.write("sites/shop.conf", SHOP);
    route(&edge, &[("/", "http://shop")]);
    let nginx = edge.containers("nginx").remove(0).id;
    let written = shop.swap(["init", "app", "--write"]).expect_exit(0);
    typed(&shop, &written);
    swapped_three_times(&shop, &[], load(&edge, "/"), || version(&edge, "/"));
    assert_eq!(edge.containers("nginx").remove(0).id, nginx);
    let file = edge.path(&format!("sites/swap/{}-app.conf", shop.project));
    let file = fs::read_to_string(file).expect("the upstream");
    assert!(file.contains("    keepalive 6;\n") && file.contains(" max_fails=3"), "{file}");
}

/// An nginx in a container that compose did not make.
struct ByHand(String);

impl ByHand {
    /// Makes one with this configuration in a folder that it may write, and these words for `docker run`.
    fn start(stack: &Stack, configuration: &str, words: &[&str]) -> Self {
        stack.write("by-hand/nginx.conf", configuration);
        let made = Self(format!("{}-front", stack.project));
        let folder = format!("{}:/etc/nginx", stack.path("by-hand").display());
        // It is swept away where this process is killed.
        let label = format!("com.docker.compose.project={}", made.0);
        let image = scenarios::images::nginx("current").expect("the image");
        let run = ["run", "-d", "--name", &made.0, "--label", &label, "-v", &folder];
        stack.docker(&[&run[..], words, &["--entrypoint", "nginx", &image, "-g", "daemon off;"]].concat());
        made
    }

    fn workers(&self, stack: &Stack) -> Vec<String> {
        let listed = stack.docker(&["exec", &self.0, "sh", "-c", NGINX_WORKERS]);
        listed.lines().map(str::to_owned).collect()
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", "-v", &self.0]).output();
    }
}

#[test]
fn an_nginx_in_a_container_that_compose_did_not_make_is_prepared() {
    let edge = Stack::of("edge", "v1").nginx_of("current").up_when("").up();
    let shop = behind(&edge, "shop-app", "");
    let made = edge.containers("nginx").remove(0);
    edge.docker(&["rm", "-f", &made.id]);
    let text = fs::read_to_string(edge.path("nginx.conf")).expect("the configuration");
    let text = text.replace("    include /etc/nginx/swap/*.conf;\n", SHOP);
    let text = text.replace(
        "location /nothing-yet {\n            return 204;",
        "location / {\n            proxy_pass http://shop;",
    );
    let (network, port) = (format!("{}_default", edge.project), format!("127.0.0.1:{}:80", edge.door.port()));
    let front = ByHand::start(&edge, &text, &["--network", &network, "-p", &port]);
    eventually("an answer", PATIENCE, || version(&edge, "/").as_deref() == Some("v1"));
    let written = shop.swap(["init", "app", "--write"]).expect_exit(0);
    written.talks_of(&format!("docker exec {} nginx -s reload", front.0));
    typed(&shop, &written);
    swapped_three_times(&shop, &[], load(&edge, "/"), || version(&edge, "/"));
}

#[test]
fn an_nginx_in_a_container_on_the_machines_network_is_prepared_and_leaves_the_published_port() {
    let stack = Stack::of("published", "v1").up_when("").up();
    let text = fs::read_to_string(stack.path("nginx.conf")).expect("the configuration");
    let text = text
        .replace("error_log error.log notice;", "error_log stderr notice;")
        .replace("pid nginx.pid;", "pid /run/nginx.pid;");
    let text: String =
        text.lines().filter(|line| !line.contains("_temp_path")).map(|line| format!("{line}\n")).collect();
    let front = ByHand::start(&stack, &text, &["--network", "host"]);
    eventually("an answer", PATIENCE, || stack.version().as_deref() == Ok("v1"));
    let written = stack.swap(["init", "app", "--write"]).expect_exit(0);
    written.talks_of("nginx -s reload      (a keep-alive client may lose a request, this once)\n");
    // Its workers obey a configuration without `keepalive_min_timeout`: the load begins when they are gone.
    let former = front.workers(&stack);
    typed(&stack, &written);
    eventually("the former workers to go", PATIENCE, || {
        !front.workers(&stack).iter().any(|worker| former.contains(worker))
    });
    swapped_three_times(&stack, &[], mixed_load(&stack), || stack.version().ok());
}

#[test]
fn a_proxy_whose_configuration_is_generated_is_told_apart_from_its_companions() {
    let compose = "\
services:
  proxy:
    image: example/nginx-proxy
    ports: [\"127.0.0.1:[port]:80\"]
    volumes: [\"/var/run/docker.sock:/tmp/docker.sock:ro\"]

  letsencrypt:
    image: example/nginx-proxy-companion
    volumes: [\"/var/run/docker.sock:/var/run/docker.sock:ro\"]

  app:
    image: [project]-app
    environment: { VIRTUAL_HOST: shop.test }
";
    let stack = Stack::up();
    let compose = compose.replace("[port]", &stack.door.port().to_string());
    stack.compose(&["rm", "--stop", "--force", "nginx"]);
    stack.write("docker-compose.yml", &compose.replace("[project]", &stack.project));
    let refused = stack.swap(["init", "app"]).expect_exit(3);
    refused.talks_of("error: `proxy` is an nginx-proxy: docker-gen in it writes nginx's configuration");
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
