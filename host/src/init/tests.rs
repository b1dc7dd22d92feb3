//! Texts in, a diff out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::change::{diff, write};
use super::found::{Change, Found, Home, Proposal, shown};
use super::look::read_files;
use super::sources::{Origins, SourceFile, of_service};
use crate::compose::{self, Build, ComposeFile, Mount};
use crate::model::{ProxyChoice, ServiceName, Settings};
use crate::nginx::{self, Names, TUNING_FILE};

fn bind(source: &str, target: &str) -> Mount {
    Mount { kind: "bind".into(), source: Some(source.into()), target: target.into(), read_only: false }
}

const COMPOSE: &str = "\
services:
  nginx:
    image: nginx
    volumes:
      - ./default.conf:/etc/nginx/conf.d/default.conf:ro
  app:
    build: .
";

/// A stack of one nginx and one application; `nginx` is the text of its `default.conf`.
fn found(nginx: &str) -> Found {
    let service: ServiceName = "app".parse().unwrap();
    let origins = Origins {
        name: "nginx".into(),
        mounts: vec![bind("/p/default.conf", "/etc/nginx/conf.d/default.conf")],
        ..Origins::default()
    };
    let seen = vec![SourceFile {
        inside: "/etc/nginx/conf.d/default.conf".into(),
        path: "/p/default.conf".into(),
        text: Ok(nginx.into()),
        built: false,
    }];
    let mut found = Found {
        names: Names::of(service.clone()),
        service,
        settings: Settings::default(),
        of_service: compose::Service { networks: vec!["p_default".into()], ..compose::Service::default() },
        exposed: None,
        home: Home {
            choice: ProxyChoice::Service("nginx".parse().unwrap()),
            origins,
            compose: Vec::new(),
            service: Some("nginx".parse().unwrap()),
            base: "/p".into(),
            tool: "docker compose".into(),
            runs: true,
            nginx: None,
            container: None,
            image: None,
            on_machine: false,
        },
        project: "p".into(),
        directory: "/p".into(),
        tool: "docker compose".into(),
        swap: "swap".into(),
        again: "swap init app".into(),
        compose: vec![("/p/compose.yml".into(), ComposeFile { name: "compose.yml".into(), text: COMPOSE.into() })],
        fetch: None,
        files: Vec::new(),
        seen,
        there: Vec::new(),
        tuning: Some("client_header_timeout 5s;\n".into()),
        asked: true,
        root: true,
    };
    read_again(&mut found);
    found
}

/// Puts together what nginx reads of the files that are seen.
fn read_again(found: &mut Found) {
    found.files = found.home.origins.files(&found.seen, None, |path| shown(path, &found.directory));
}

/// Puts the proposal together.
fn proposal(found: &Found) -> Proposal {
    super::propose::proposal(found).unwrap()
}

fn mounted(found: &mut Found, source: &str) {
    found.home.origins.mounts.push(bind(source, "/etc/nginx/swap"));
}

fn told(proposal: &Proposal) -> String {
    let mut text = diff(proposal);
    proposal.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
    proposal.by_hand.iter().for_each(|failure| {
        text += &format!("by hand: {failure}\n  {}\n", failure.hint.as_deref().unwrap_or_default());
    });
    proposal.next.iter().for_each(|line| text += &format!("next: {line}\n"));
    text
}

/// Returns what is found after the changes were made.
fn after(found: &Found, proposal: &Proposal) -> Found {
    let mut after = found.clone();
    for Change { path, after: text, .. } in &proposal.changes {
        let compose = after.compose.iter_mut().find(|(file, _)| file == path);
        let seen = after.seen.iter_mut().find(|file| file.path == *path);
        match (compose, seen) {
            (Some((_, file)), _) => file.text = text.clone(),
            (None, Some(file)) => file.text = Ok(text.clone()),
            (None, None) => after.there.push(path.file_name().unwrap().to_string_lossy().into_owned()),
        }
    }
    mounted(&mut after, "/p/nginx/swap");
    read_again(&mut after);
    after.of_service.settings.port = Some(8000);
    after.settings.port = Some(8000);
    after.of_service.container_name = None;
    after.of_service.ports.clear();
    after
}

#[track_caller]
fn check(found: &Found, expected: &str) {
    let first = proposal(found);
    assert_eq!(told(&first), expected);
    if first.by_hand.is_empty() {
        let again = proposal(&after(found, &first));
        assert_eq!((told(&again), again.changes.len()), (String::new(), 0), "the second time there is nothing to do");
    }
}

#[test]
fn a_plain_stack_gets_all_that_it_lacks() {
    check(
        &found(
            "server {\n    listen 80;\n    location / {\n        proxy_set_header Host $host;\n        proxy_pass http://app:8000;\n    }\n}\n",
        ),
        "\
--- compose.yml
+++ compose.yml
@@ -3,5 +3,7 @@
     image: nginx
     volumes:
       - ./default.conf:/etc/nginx/conf.d/default.conf:ro
+      - ./nginx/swap:/etc/nginx/swap
   app:
     build: .
+    x-swap: { port: 8000 }
--- default.conf
+++ default.conf
@@ -1,7 +1,8 @@
+include /etc/nginx/swap/*.conf;
 server {
     listen 80;
     location / {
         proxy_set_header Host $host;
-        proxy_pass http://app:8000;
+        proxy_pass http://app;
     }
 }
--- /dev/null
+++ nginx/swap/app.conf
@@ -0,0 +1,4 @@
+# What nginx starts with: app by its DNS name. The first swap replaces this file.
+upstream app {
+    server app:8000;
+}
--- /dev/null
+++ nginx/swap/swap-tuning.conf
@@ -0,0 +1 @@
+client_header_timeout 5s;
next: docker compose up -d      (makes `nginx` anew: a moment without answers, this once)
next: swap app
",
    );
}

#[test]
fn a_port_that_is_known_is_not_written_and_a_mounted_folder_is_used() {
    let mut found = found("server { location / { fastcgi_pass app:9000; } }\n");
    found.exposed = Some(vec![9000]);
    mounted(&mut found, "/p/conf/swap");
    found.tuning = None;
    let proposal = proposal(&found);
    assert_eq!(
        told(&proposal),
        "\
--- default.conf
+++ default.conf
@@ -1 +1,2 @@
-server { location / { fastcgi_pass app:9000; } }
+include /etc/nginx/swap/*.conf;
+server { location / { fastcgi_pass app; } }
--- /dev/null
+++ conf/swap/app.conf
@@ -0,0 +1,4 @@
+# What nginx starts with: app by its DNS name. The first swap replaces this file.
+upstream app {
+    server app:9000;
+}
next: docker compose exec -T nginx nginx -s reload
next: swap app
"
    );
}

#[test]
fn an_image_with_its_own_configuration_is_for_people() {
    let mut found = found("");
    found.seen.clear();
    found.home.origins.mounts.clear();
    found.of_service.settings.port = Some(8000);
    mounted(&mut found, "/p/nginx/swap");
    read_again(&mut found);
    found.there = vec!["app.conf".into(), TUNING_FILE.into()];
    check(
        &found,
        "\
by hand: the configuration of `nginx` is not here: no file below `/etc/nginx` is mounted from this machine or copied by a Dockerfile here, so none can be edited
  where it comes from write `include /etc/nginx/swap/*.conf;` into the `http` block and `proxy_pass http://app;` (or `fastcgi_pass app;`, `uwsgi_pass app;`, `grpc_pass grpc://app;`) where it is used; build the image again if it is in one; then `swap doctor app` tells what is left
",
    );
}

#[test]
fn what_a_dockerfile_copies_is_changed_and_built_again() {
    let mut found = found("server { location / { fastcgi_pass app:9000; } }\n");
    found.exposed = Some(vec![9000]);
    found.tuning = None;
    found.compose[0].1.text = "services:\n  nginx:\n    build: ./nginx\n".into();
    found.home.origins.mounts.clear();
    found.seen[0].built = true;
    mounted(&mut found, "/p/swap");
    let proposal = proposal(&found);
    assert_eq!(
        told(&proposal),
        "\
--- default.conf
+++ default.conf
@@ -1 +1,2 @@
-server { location / { fastcgi_pass app:9000; } }
+include /etc/nginx/swap/*.conf;
+server { location / { fastcgi_pass app; } }
--- /dev/null
+++ swap/app.conf
@@ -0,0 +1,4 @@
+# What nginx starts with: app by its DNS name. The first swap replaces this file.
+upstream app {
+    server app:9000;
+}
next: docker compose build nginx
next: docker compose up -d      (makes `nginx` anew: a moment without answers, this once)
next: swap app
"
    );
}

/// A folder with these files, and services that are built in its folders.
fn built(files: &[(&str, &str)], services: &[&str]) -> (tempfile::TempDir, BTreeMap<ServiceName, compose::Service>) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let service = |name: &&str| {
        let build = Build { context: folder.path().join(name), dockerfile: "Dockerfile".into(), target: None };
        (name.parse().unwrap(), compose::Service { build: Some(build), ..compose::Service::default() })
    };
    let services = services.iter().map(service).collect();
    (folder, services)
}

#[test]
fn files_are_seen_where_a_dockerfile_puts_them_unless_a_mount_covers_them() {
    let (folder, services) = built(
        &[
            (
                "web/Dockerfile",
                "FROM nginx\nCOPY nginx.conf /etc/nginx/nginx.conf\nCOPY site.conf /etc/nginx/conf.d\nCOPY more /etc/nginx/more/\n\
                 COPY page.html /usr/share/nginx/html/\n",
            ),
            ("web/nginx.conf", "http {}\n"),
            ("web/site.conf", "server {}\n"),
            ("web/more/a.conf", "a on;\n"),
            ("web/page.html", "<p>\n"),
            ("mounted/own.conf", "b on;\n"),
        ],
        &["web"],
    );
    let mut web = services[&"web".parse().unwrap()].clone();
    let inside = |web: &compose::Service| -> Vec<String> {
        let files = of_service("web", web, folder.path()).seen().into_iter();
        files.map(|file| format!("{}{}", file.inside, if file.built { "" } else { " mounted" })).collect()
    };
    assert_eq!(inside(&web), ["/etc/nginx/conf.d/site.conf", "/etc/nginx/more/a.conf", "/etc/nginx/nginx.conf"]);
    web.volumes = vec![bind("mounted", "/etc/nginx/conf.d")];
    assert_eq!(inside(&web), ["/etc/nginx/conf.d/own.conf mounted", "/etc/nginx/more/a.conf", "/etc/nginx/nginx.conf"]);
}

#[test]
fn several_ports_and_a_service_that_nginx_does_not_know_are_for_people() {
    let ready = |nginx: &str| {
        let mut found = found(nginx);
        mounted(&mut found, "/p/nginx/swap");
        found.tuning = None;
        found
    };
    check(
        &ready("server { location / { proxy_pass http://other; } }\n"),
        "\
by hand: no line of default.conf sends requests to `app` (by `app`)
  write `proxy_pass http://app;` (or `fastcgi_pass app;`, `uwsgi_pass app;`, `grpc_pass grpc://app;`) where it is used, then run `swap init app` again; a service without a proxy needs nothing of this: `swap app`
",
    );
    let several =
        ready("include swap/*.conf;\nserver { proxy_pass http://app:1; location /b { fastcgi_pass app:2; } }\n");
    check(
        &several,
        "\
--- default.conf
+++ default.conf
@@ -1,2 +1,2 @@
 include swap/*.conf;
-server { proxy_pass http://app:1; location /b { fastcgi_pass app:2; } }
+server { proxy_pass http://app; location /b { fastcgi_pass app; } }
note: the application sees `Host: app` where it saw `Host: app:1`: no `proxy_set_header Host` holds at default.conf:2
by hand: nginx talks to several ports of `app` (1, 2), and swap's upstream has one
  let all lines use one port, or make a service of its own of the other
",
    );
}

#[test]
fn a_name_and_a_port_of_its_own_are_given_up_with_a_note() {
    let mut found = found("include /etc/nginx/swap/*.conf;\nserver { proxy_pass http://shop:8000; }\n");
    found.compose[0].1.text =
        COMPOSE.replace("    build: .\n", "    build: .\n    container_name: shop\n    ports:\n      - 8000:8000\n");
    found.of_service.container_name = Some("shop".into());
    found.names.add("shop", "its `container_name`");
    found.of_service.ports =
        vec![compose::PublishedPort { target: 8000, host: Some((8000, 8000)), protocol: "tcp".into() }];
    found.there = vec!["app.conf".into()];
    found.tuning = None;
    found.asked = false;
    check(
        &found,
        "\
--- compose.yml
+++ compose.yml
@@ -3,8 +3,11 @@
     image: nginx
     volumes:
       - ./default.conf:/etc/nginx/conf.d/default.conf:ro
+      - ./nginx/swap:/etc/nginx/swap
   app:
     build: .
-    container_name: shop
-    ports:
-      - 8000:8000
+    # container_name: shop
+    # ports:
+    #   - 8000:8000
+    networks: { default: { aliases: [shop] } }
+    x-swap: { port: 8000 }
--- default.conf
+++ default.conf
@@ -1,2 +1,2 @@
 include /etc/nginx/swap/*.conf;
-server { proxy_pass http://shop:8000; }
+server { proxy_pass http://app; }
note: the application sees `Host: app` where it saw `Host: shop:8000`: no `proxy_set_header Host` holds at default.conf:2
note: `container_name: shop` becomes a comment: two containers can't share a name; others reach it as `app`, and by its alias as `shop`
note: `8000:8000` is not published any more: two containers can't share a port; users come through nginx
note: nginx does not run or could not be asked, so its settings for reloads are left to the first swap, in which clients with keep-alive connections may lose a request
next: docker compose up -d --no-deps nginx      (makes `nginx` anew: a moment without answers, this once)
next: swap app      (without `docker compose up` before: what runs serves until nginx has left it)
",
    );
}

#[test]
fn what_is_written_is_what_was_shown_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("a.conf");
    fs::write(&old, "one\r\n").unwrap();
    let new = folder.path().join("nginx/swap/app.conf");
    let change = |path: &Path, before: Option<&str>, after: &str| Change {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        path: path.to_owned(),
        before: before.map(str::to_owned),
        after: after.to_owned(),
    };
    let proposal = Proposal {
        changes: vec![change(&old, Some("one\r\n"), "two\r\n"), change(&new, None, "upstream\n")],
        ..Proposal::default()
    };
    write(&proposal).unwrap();
    assert_eq!(
        (fs::read_to_string(&old).unwrap(), fs::read_to_string(&new).unwrap()),
        ("two\r\n".into(), "upstream\n".into())
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no copy is left");
    // A second time: the file is not what it was.
    let failure = write(&proposal).unwrap_err();
    assert_eq!(failure.what, "`a.conf` has changed since it was read, so it is left as it is");
    let again = Proposal { changes: vec![change(&new, None, "other\n")], ..Proposal::default() };
    let exists = std::io::Error::from(rustix::io::Errno::EXIST);
    assert_eq!(write(&again).unwrap_err().what, format!("writing `app.conf`: {exists}"));
    assert_eq!(fs::read_to_string(&new).unwrap(), "upstream\n");
}

#[test]
fn what_nginx_does_not_read_and_how_to_ask_it_is_told_where_nothing_leads_to_the_service() {
    let mut found = found("server { listen 80; location / { proxy_pass http://other:80; } }\n");
    found.seen.push(SourceFile {
        inside: "/etc/nginx/sites-available/app.conf".into(),
        path: "/p/sites/app.conf".into(),
        text: Ok("server { location / { proxy_pass http://app:8000; } }\n".into()),
        built: true,
    });
    // As nginx itself told it.
    found.files.retain(|file| file.path != "/etc/nginx/sites-available/app.conf");
    let refused = proposal(&found).by_hand.remove(0);
    assert_eq!(
        refused.tail,
        [
            "/etc/nginx/nginx.conf: it is in nginx's image",
            "nginx does not read sites/app.conf, which is `/etc/nginx/sites-available/app.conf` there",
            "it sends requests by `proxy_pass http://other:80`"
        ]
    );
    found.fetch = Some("docker compose build nginx".into());
    let refused = proposal(&found).by_hand.remove(0);
    assert!(
        refused.hint.unwrap().starts_with(
            "nginx itself could not be asked what it reads; `docker compose build nginx` lets it be asked: run `swap init app` \
             again then; or write `proxy_pass http://app;`"
        )
    );
}

#[test]
fn a_main_file_that_is_a_template_gets_the_include_in_its_own_http() {
    let mut found = found("");
    found.home.origins.mounts = vec![bind("/p/templates", "/etc/nginx/templates")];
    found.home.origins.environment = [("NGINX_ENVSUBST_OUTPUT_DIR", "/etc/nginx"), ("UP", "app")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    found.seen = vec![SourceFile {
        inside: "/etc/nginx/templates/nginx.conf.template".into(),
        path: "/p/templates/nginx.conf.template".into(),
        text: Ok("events {}\nhttp {\n  server { location / { proxy_pass http://${UP}:8000; } }\n}\n".into()),
        built: false,
    }];
    read_again(&mut found);
    let proposal = proposal(&found);
    assert_eq!(proposal.by_hand, []);
    let change = proposal.changes.iter().find(|change| change.name == "templates/nginx.conf.template").unwrap();
    assert_eq!(
        change.after,
        "events {}\nhttp {\n  include /etc/nginx/swap/*.conf;\n  server { location / { proxy_pass http://${UP}; } }\n}\n"
    );
}

#[test]
fn where_a_configuration_comes_from_that_is_not_here_is_told() {
    let mount = |kind: &str, source: Option<&str>, target: &str| Mount {
        kind: kind.into(),
        source: source.map(str::to_owned),
        target: target.into(),
        read_only: true,
    };
    let mut origins = Origins { name: "nginx".into(), ..Origins::default() };
    origins.mounts = vec![
        mount("volume", Some("sites"), "/etc/nginx/conf.d"),
        mount("config", None, "/etc/nginx/inline.conf"),
        bind("/p/gone.conf", "/etc/nginx/gone.conf"),
        bind("/p/latin.conf", "/etc/nginx/latin.conf"),
    ];
    let run = "echo 'upstream x {}' > /etc/nginx/made.conf";
    let file = compose::parse_dockerfile(&format!("FROM nginx\nRUN {run}\n"), None);
    let build = Build { context: "/p".into(), dockerfile: "Dockerfile".into(), target: None };
    origins.build = Some((build, file));
    let seen = [SourceFile {
        inside: "/etc/nginx/latin.conf".into(),
        path: "/p/latin.conf".into(),
        text: Err("is not UTF-8".into()),
        built: false,
    }];
    let paths = ["conf.d/a.conf", "inline.conf", "gone.conf", "latin.conf", "made.conf", "nginx.conf"];
    let dump: Vec<(String, String)> = paths.iter().map(|path| (format!("/etc/nginx/{path}"), String::new())).collect();
    let told: Vec<String> = origins
        .files(&seen, Some(&dump), |path| path.display().to_string())
        .into_iter()
        .map(|file| match file.source {
            nginx::Source::Elsewhere(why) => why,
            source => panic!("{source:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "it is in the volume `sites`, whose files are not this project's",
            "its text stands in `configs` of the compose file, or in a variable",
            "it comes from `/p/gone.conf`, where no such file can be read",
            "/p/latin.conf is not UTF-8",
            "`RUN` at Dockerfile:2 makes it when the image of `nginx` is built",
            "it is in the image of `nginx`",
        ]
    );
}

#[test]
fn a_compose_file_that_another_one_includes_is_the_one_that_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let here = |name: &str| folder.path().join(name);
    fs::create_dir(here("web")).unwrap();
    fs::write(here("compose.yml"), "include: [web/compose.yml]\nservices:\n  db: { image: db }\n").unwrap();
    fs::write(here("web/compose.yml"), COMPOSE).unwrap();
    let mut found = found("server { location / { proxy_pass http://app:8000; } }\n");
    found.compose = read_files(vec![(here("compose.yml"), "compose.yml".into())]).unwrap();
    let proposal = proposal(&found);
    assert_eq!(proposal.by_hand, []);
    let changed: Vec<&str> = proposal.changes.iter().map(|change| change.name.as_str()).collect();
    assert_eq!(changed, ["web/compose.yml", "default.conf", "nginx/swap/app.conf", "nginx/swap/swap-tuning.conf"]);
}
