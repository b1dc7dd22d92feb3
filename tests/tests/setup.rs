//! From the stacks that people have to the first swap without a lost request, and no file edited by hand.

use std::time::Duration;

use expect_test::{Expect, expect};
use regex_lite::Regex;
use scenarios::clients::Kind;
use scenarios::eventually::eventually;
use scenarios::stack::{Builder, Stack, serves};
use scenarios::swap::{Outcome, replaced, without_versions};

use crate::common::{lost_nothing, mixed_load, shows};

/// Lets `swap init` prepare a service of the stack, types what it says, and swaps the service three times under load; then
/// there is nothing left to do.
#[track_caller]
fn set_up_and_swapped(
    builder: Builder,
    service: &'static str,
    next: &str,
    proposal: Expect,
    examined: Expect,
) -> Stack {
    let stack = builder.up();
    let before = stack.containers(service);
    let proposed = anywhere(stack.swap(["init", service]).expect_exit(0));
    shows(&proposed, proposal);
    set_up(&stack, service, &proposed);
    serves(&stack, "v1");
    let running = mixed_load(&stack);
    stack.deploy(next);
    for _ in 0..3 {
        stack.swap([service]).expect_exit(0);
    }
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    assert_ne!(stack.containers(service)[0].id, before[0].id);
    is_ready(&stack, service, examined);
    stack
}

/// Lets `swap init` write what it has proposed, and types what it says next.
#[track_caller]
fn set_up(stack: &Stack, service: &'static str, proposed: &Outcome) {
    let written = anywhere(stack.swap(["init", service, "--write"]).expect_exit(0));
    assert_eq!(proposed.stdout, written.stdout, "what is written is not what was proposed");
    let typed = |line: &str| line.split_once("compose ").map(|(_, words)| words.to_owned());
    let next: Vec<String> =
        written.stderr.lines().filter(|line| line.starts_with("  docker")).filter_map(typed).collect();
    assert!(!next.is_empty(), "{}", written.stderr);
    for line in next {
        let words: Vec<&str> = line.split("  ").next().unwrap_or_default().split(' ').collect();
        stack.compose(&words);
    }
}

#[track_caller]
fn is_ready(stack: &Stack, service: &'static str, expected: Expect) {
    let again = stack.swap(["init", service, "--write"]).expect_exit(0);
    assert_eq!(again.stdout, format!("nothing to do: `{service}` is ready for `swap {service}`\n"));
    shows(&anywhere(stack.swap(["doctor", service]).expect_exit(0)), expected);
}

/// Takes out what differs from machine to machine: versions, the name of the compose tool and what only some of them say,
/// and the tags of the tests' images.
fn anywhere(outcome: Outcome) -> Outcome {
    let without = |text: &str| {
        let text = text.replace("docker-compose ", "docker compose ").replace("`docker-compose`", "`docker compose`");
        let patterns = [
            (r"swaptest/app:\S+", "[image]"),
            (r"(?m)^compose: .*the attribute `version` is obsolete.*\n", ""),
            (r"answers http://localhost:\d+", "answers http://[door]"),
        ];
        without_notes_on_compose(replaced(&without_versions(&text), &patterns))
    };
    Outcome { stdout: without(&outcome.stdout), stderr: without(&outcome.stderr), ..outcome }
}

/// Takes out the doctor's notes that only one of the compose tools gives cause for, and counts so many notes less.
fn without_notes_on_compose(mut text: String) -> String {
    let note =
        r"  note     (compose 1 is written in Python|compose warns: .*`version` is obsolete).*\n +why .*\n +do .*\n";
    let note = Regex::new(note).expect("a pattern");
    let count = Regex::new(r"[:,] (\d+) notes?\b").expect("a pattern");
    let fewer = |found: &regex_lite::Captures| match found[1].parse::<u32>().expect("a number") - 1 {
        0 => String::new(),
        1 => format!("{} 1 note", &found[0][..1]),
        notes => format!("{} {notes} notes", &found[0][..1]),
    };
    while note.is_match(&text) {
        text = count.replace(&note.replace(&text, ""), fewer).into_owned();
    }
    text
}

#[test]
fn php_fpm_behind_an_nginx_that_is_built_goes_from_nothing_to_its_first_swap() {
    set_up_and_swapped(
        Stack::of("php-fpm", "fpm-v1"),
        "app",
        "fpm-v2",
        expect![[r#"
            note: `container_name: [project]_php` becomes a comment: two containers can't share a name; others reach it as `app`, and by its alias as `[project]_php`
            `swap init app --write` writes 4 files; then:
              docker compose build nginx
              docker compose up -d --no-deps nginx      (makes `nginx` anew: a moment without answers, this once)
              swap app      (without `docker compose up` before: what runs serves until nginx has left it)
            > --- docker-compose.yml
            > +++ docker-compose.yml
            > @@ -12,17 +12,19 @@
            >        - app
            >      networks:
            >        - backend
            > +    volumes:
            > +      - ./nginx/swap:/etc/nginx/swap
            >  
            >    app:
            >      image: [project]-app
            > -    container_name: [project]_php
            > +    # container_name: [project]_php
            >      restart: unless-stopped
            >      environment:
            >        - APP_ENV=production
            >      volumes:
            >        - uploads:/data
            >      networks:
            > -      - backend
            > +      backend: { aliases: [[project]_php] }
            >  
            >  networks:
            >    backend:
            > --- docker/nginx/default.conf
            > +++ docker/nginx/default.conf
            > @@ -1,3 +1,4 @@
            > +include /etc/nginx/swap/*.conf;
            >  server {
            >      listen 80 default_server;
            >      server_name _;
            > @@ -13,7 +14,7 @@
            >  
            >      location ~ \.php$ {
            >          fastcgi_split_path_info ^(.+\.php)(/.+)$;
            > -        fastcgi_pass [project]_php:9000;
            > +        fastcgi_pass app;
            >          fastcgi_index index.php;
            >          include fastcgi_params;
            >          fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
            > --- /dev/null
            > +++ nginx/swap/app.conf
            > @@ -0,0 +1,4 @@
            > +# What nginx starts with: app by its DNS name. The first swap replaces this file.
            > +upstream app {
            > +    server app:9000;
            > +}
            > --- /dev/null
            > +++ nginx/swap/swap-tuning.conf
            > @@ -0,0 +1,5 @@
            > +# Written by swap, because nobody has set these; set one yourself in `http` and delete this file: swap writes it anew.
            > +# Without it a reload closes idle connections even while a request is on its way.
            > +keepalive_min_timeout [time];
            > +# A connection that sends nothing keeps its old worker, and so the old container, this long.
            > +client_header_timeout [time];
        "#]],
        expect![[r#"
            > engine
            >   ok       Docker [version] answers at `unix:///var/run/docker.sock` (from the usual socket)
            > compose
            >   ok       `docker compose` is version [version]
            > project [project]
            >   ok       docker-compose.yml: 2 services, no mistake in `x-swap`
            > nginx (nginx)
            >   ok       nginx [version] runs and accepts its configuration
            >   ok       `include /etc/nginx/swap/*.conf;` stands at /etc/nginx/conf.d/default.conf:1
            >   ok       `fastcgi_pass app` at /etc/nginx/conf.d/default.conf:17 goes through swap's upstream
            >   ok       `/etc/nginx/swap` is a directory that swap can write and that outlives the container
            >   ok       `keepalive_min_timeout` is left to swap, which sets it in a file of its own
            >   ok       `client_header_timeout` is left to swap, which sets it in a file of its own
            >   ok       `worker_shutdown_timeout` is not set, as it should be
            >   note     `nginx` has no restart policy
            >            why  after a reboot of the machine, or of the engine, it stays down until somebody starts it
            >            do   write `restart: unless-stopped` under `services: nginx:`
            > service app
            >   ok       live: [project]-app-4
            >   ok       image: [project]-app ([id])
            >   ok       two of its containers can run beside each other
            >   ok       nginx talks to its port 9000
            >   ok       [project]-app-4 answers http://[door]/
            >   warning  nothing but that its port accepts connections tells whether it is healthy: it has no HEALTHCHECK and no `health:`
            >            why  a version that answers every request with an error would be swapped in
            >            do   write `x-swap: { health: { http: /up } }`, or the check that you have, under `services: app:`
            >   ok       it may take [time] to stop, the engine's default
            >   ok       `restart: unless-stopped`: it comes back after a reboot
            > state folder
            >   ok       `[folder]/state` is private, and there is room in it
            > ready to swap, at a cost: 1 warning, 1 note
        "#]],
    );
}

#[test]
fn node_goes_from_nothing_to_its_first_swap() {
    set_up_and_swapped(
        Stack::of("node", "node-v1"),
        "app",
        "node-v2",
        expect![[r#"
            note: `container_name: [project]-api` becomes a comment: two containers can't share a name; others reach it as `app`, and by its alias as `[project]-api`
            note: `[other-port]:3000` is not published any more: two containers can't share a port; users come through nginx
            `swap init app --write` writes 4 files; then:
              docker compose up -d --no-deps proxy      (makes `proxy` anew: a moment without answers, this once)
              swap app      (without `docker compose up` before: what runs serves until nginx has left it)
            > --- docker-compose.yml
            > +++ docker-compose.yml
            > @@ -1,23 +1,25 @@
            >  services:
            >    app:
            >      image: [project]-app
            > -    container_name: [project]-api
            > +    # container_name: [project]-api
            >      restart: unless-stopped
            >      environment:
            >        NODE_ENV: production
            >      volumes: ["data:/data"]
            > -    ports: ["${API_PORT:-3000}:3000"] # for debugging
            > +    # ports: ["${API_PORT:-3000}:3000"] # for debugging
            >      healthcheck:
            >        test: ["CMD", "node", "-e", "fetch('http://localhost:3000/up').then(r => process.exit(r.ok ? 0 : 1))"]
            >        interval: [time]
            >        timeout: [time]
            >        retries: 10
            > +    networks: { default: { aliases: [[project]-api] } }
            > +    x-swap: { port: 3000 }
            >  
            >    proxy:
            >      image: swaptest/nginx:public-54f53020
            >      restart: unless-stopped
            >      ports: ["[ip]:${HTTP_PORT:-80}:80"]
            > -    volumes: ["./nginx/nginx.conf:/etc/nginx/nginx.conf:ro"]
            > +    volumes: ["./nginx/nginx.conf:/etc/nginx/nginx.conf:ro", "./nginx/swap:/etc/nginx/swap"]
            >      depends_on: [app]
            >  
            >  volumes:
            > --- nginx/nginx.conf
            > +++ nginx/nginx.conf
            > @@ -3,12 +3,13 @@
            >  }
            >  
            >  http {
            > +  include /etc/nginx/swap/*.conf;
            >    server {
            >      listen 80;
            >      server_name localhost;
            >  
            >      location / {
            > -      proxy_pass http://app:3000;
            > +      proxy_pass http://app;
            >        proxy_http_version 1.1;
            >        proxy_set_header Upgrade $http_upgrade;
            >        proxy_set_header Connection 'upgrade';
            > --- /dev/null
            > +++ nginx/swap/app.conf
            > @@ -0,0 +1,4 @@
            > +# What nginx starts with: app by its DNS name. The first swap replaces this file.
            > +upstream app {
            > +    server app:3000;
            > +}
            > --- /dev/null
            > +++ nginx/swap/swap-tuning.conf
            > @@ -0,0 +1,5 @@
            > +# Written by swap, because nobody has set these; set one yourself in `http` and delete this file: swap writes it anew.
            > +# Without it a reload closes idle connections even while a request is on its way.
            > +keepalive_min_timeout [time];
            > +# A connection that sends nothing keeps its old worker, and so the old container, this long.
            > +client_header_timeout [time];
        "#]],
        expect![[r#"
            > engine
            >   ok       Docker [version] answers at `unix:///var/run/docker.sock` (from the usual socket)
            > compose
            >   ok       `docker compose` is version [version]
            > project [project]
            >   ok       docker-compose.yml: 2 services, no mistake in `x-swap`
            > nginx (proxy)
            >   ok       nginx [version] runs and accepts its configuration
            >   ok       `include /etc/nginx/swap/*.conf;` stands at /etc/nginx/nginx.conf:6
            >   ok       `proxy_pass http://app` at /etc/nginx/nginx.conf:12 goes through swap's upstream
            >   ok       `/etc/nginx/swap` is a directory that swap can write and that outlives the container
            >   ok       `keepalive_min_timeout` is left to swap, which sets it in a file of its own
            >   ok       `client_header_timeout` is left to swap, which sets it in a file of its own
            >   ok       `worker_shutdown_timeout` is not set, as it should be
            >   ok       `restart: unless-stopped`: it comes back after a reboot
            > service app
            >   ok       live: [project]-app-4
            >   ok       image: [project]-app ([id])
            >   ok       two of its containers can run beside each other
            >   ok       nginx talks to its port 3000
            >   ok       [project]-app-4 answers http://[door]/
            >   ok       healthy when its HEALTHCHECK agrees
            >   ok       it may take [time] to stop, the engine's default
            >   ok       `restart: unless-stopped`: it comes back after a reboot
            > state folder
            >   ok       `[folder]/state` is private, and there is room in it
            > ready to swap
        "#]],
    );
}

#[test]
fn python_under_gunicorn_goes_from_nothing_to_its_first_swap() {
    set_up_and_swapped(
        Stack::of("wsgi", "wsgi-v1"),
        "web",
        "wsgi-v2",
        expect![[r#"
            note: the upstream `django` at nginx/conf.d/site.conf:1 becomes a comment: swap writes it from now on
            `swap init web --write` writes 4 files; then:
              docker compose up -d      (makes `nginx` anew: a moment without answers, this once)
              swap web
            > --- docker-compose.yml
            > +++ docker-compose.yml
            > @@ -14,6 +14,7 @@
            >          command: gunicorn shop:application --bind [ip]:8000 --workers 2 --threads 16 --keep-alive 75
            >          volumes:
            >              - media:/data
            > +        expose: ["8000"]
            >  
            >      # Celery, in its place a loop.
            >      worker:
            > @@ -30,6 +31,7 @@
            >                target: /etc/nginx/conf.d
            >                read_only: true
            >              - 'media:/srv/media:ro'
            > +            - './nginx/swap:/etc/nginx/swap'
            >          depends_on:
            >              - web
            >  
            > --- nginx/conf.d/site.conf
            > +++ nginx/conf.d/site.conf
            > @@ -1,7 +1,8 @@
            > -upstream django {
            > -    # fail_timeout=0: try again although gunicorn did not answer
            > -    server web:8000 fail_timeout=0;
            > -}
            > +include /etc/nginx/swap/*.conf;
            > +# upstream django {
            > +    # # fail_timeout=0: try again although gunicorn did not answer
            > +    # server web:8000 fail_timeout=0;
            > +# }
            >  
            >  server {
            >      listen 80;
            > @@ -12,7 +13,7 @@
            >      }
            >  
            >      location / {
            > -        proxy_pass http://django;
            > +        proxy_pass http://web;
            >          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            >          proxy_set_header X-Forwarded-Proto $scheme;
            >          proxy_set_header Host $http_host;
            > --- /dev/null
            > +++ nginx/swap/web.conf
            > @@ -0,0 +1,4 @@
            > +# What nginx starts with: web by its DNS name. The first swap replaces this file.
            > +upstream web {
            > +    server web:8000 fail_timeout=0;
            > +}
            > --- /dev/null
            > +++ nginx/swap/swap-tuning.conf
            > @@ -0,0 +1,5 @@
            > +# Written by swap, because nobody has set these; set one yourself in `http` and delete this file: swap writes it anew.
            > +# Without it a reload closes idle connections even while a request is on its way.
            > +keepalive_min_timeout [time];
            > +# A connection that sends nothing keeps its old worker, and so the old container, this long.
            > +client_header_timeout [time];
        "#]],
        expect![[r#"
            > engine
            >   ok       Docker [version] answers at `unix:///var/run/docker.sock` (from the usual socket)
            > compose
            >   ok       `docker compose` is version [version]
            > project [project]
            >   ok       docker-compose.yml: 5 services, no mistake in `x-swap`
            > nginx (nginx)
            >   ok       nginx [version] runs and accepts its configuration
            >   ok       `include /etc/nginx/swap/*.conf;` stands at /etc/nginx/conf.d/site.conf:1
            >   ok       `proxy_pass http://web` at /etc/nginx/conf.d/site.conf:16 goes through swap's upstream
            >   ok       `/etc/nginx/swap` is a directory that swap can write and that outlives the container
            >   ok       `keepalive_min_timeout` is left to swap, which sets it in a file of its own
            >   ok       `client_header_timeout` is left to swap, which sets it in a file of its own
            >   ok       `worker_shutdown_timeout` is not set, as it should be
            >   note     `nginx` has no restart policy
            >            why  after a reboot of the machine, or of the engine, it stays down until somebody starts it
            >            do   write `restart: unless-stopped` under `services: nginx:`
            > service web
            >   ok       live: [project]-web-4
            >   ok       image: [project]-app ([id])
            >   ok       two of its containers can run beside each other
            >   ok       nginx talks to its port 8000
            >   ok       [project]-web-4 answers http://[door]/
            >   warning  nothing but that its port accepts connections tells whether it is healthy: it has no HEALTHCHECK and no `health:`
            >            why  a version that answers every request with an error would be swapped in
            >            do   write `x-swap: { health: { http: /up } }`, or the check that you have, under `services: web:`
            >   ok       it may take [time] to stop, the engine's default
            >   ok       `restart: always`: it comes back after a reboot
            > state folder
            >   ok       `[folder]/state` is private, and there is room in it
            > ready to swap, at a cost: 1 warning, 1 note
        "#]],
    );
}

#[test]
fn one_of_several_services_goes_from_nothing_to_its_first_swap_and_another_follows() {
    let stack = set_up_and_swapped(
        Stack::of("several", "wsgi-v1"),
        "app",
        "wsgi-v2",
        expect![[r#"
            note: the upstream `backend` at deploy/nginx/nginx.conf:11 becomes a comment: swap writes it from now on
            `swap init app --write` writes 4 files; then:
              docker compose up -d      (makes `gateway` anew: a moment without answers, this once)
              swap app
            > --- docker-compose.yml
            > +++ docker-compose.yml
            > @@ -13,6 +13,7 @@
            >      volumes:
            >        - ./deploy/nginx/nginx.conf:/etc/nginx/nginx.conf:ro
            >        - ./deploy/nginx/proxy.conf:/etc/nginx/proxy.conf:ro
            > +      - ./nginx/swap:/etc/nginx/swap
            >      depends_on:
            >        app:
            >          condition: service_healthy
            > @@ -36,6 +37,7 @@
            >        retries: 30
            >      volumes:
            >        - data:/data
            > +    x-swap: { port: 8000 }
            >  
            >    admin:
            >      image: [image]
            > --- deploy/nginx/nginx.conf
            > +++ deploy/nginx/nginx.conf
            > @@ -3,15 +3,16 @@
            >  events { worker_connections 1024; }
            >  
            >  http {
            > +    include /etc/nginx/swap/*.conf;
            >      include       mime.types;
            >      default_type  application/octet-stream;
            >      sendfile      on;
            >      keepalive_timeout 65;
            >  
            > -    upstream backend {
            > -        server app:8000;
            > -        keepalive 32;
            > -    }
            > +    # upstream backend {
            > +        # server app:8000;
            > +        # keepalive 32;
            > +    # }
            >  
            >      upstream admin {
            >          server admin:3000;
            > @@ -27,7 +28,7 @@
            >  
            >          location / {
            >              include proxy.conf;
            > -            proxy_pass http://backend;
            > +            proxy_pass http://app;
            >          }
            >      }
            >  }
            > --- /dev/null
            > +++ nginx/swap/app.conf
            > @@ -0,0 +1,5 @@
            > +# What nginx starts with: app by its DNS name. The first swap replaces this file.
            > +upstream app {
            > +    keepalive 32;
            > +    server app:8000;
            > +}
            > --- /dev/null
            > +++ nginx/swap/swap-tuning.conf
            > @@ -0,0 +1,5 @@
            > +# Written by swap, because nobody has set these; set one yourself in `http` and delete this file: swap writes it anew.
            > +# Without it a reload closes idle connections even while a request is on its way.
            > +keepalive_min_timeout [time];
            > +# A connection that sends nothing keeps its old worker, and so the old container, this long.
            > +client_header_timeout [time];
        "#]],
        expect![[r#"
            > engine
            >   ok       Docker [version] answers at `unix:///var/run/docker.sock` (from the usual socket)
            > compose
            >   ok       `docker compose` is version [version]
            > project [project]
            >   ok       docker-compose.yml: 6 services, no mistake in `x-swap`
            > nginx (gateway)
            >   ok       nginx [version] runs and accepts its configuration
            >   ok       `include /etc/nginx/swap/*.conf;` stands at /etc/nginx/nginx.conf:6
            >   ok       `proxy_pass http://app` at /etc/nginx/nginx.conf:31 goes through swap's upstream
            >   ok       `/etc/nginx/swap` is a directory that swap can write and that outlives the container
            >   ok       `keepalive_min_timeout` is left to swap, which sets it in a file of its own
            >   ok       `client_header_timeout` is left to swap, which sets it in a file of its own
            >   ok       `worker_shutdown_timeout` is not set, as it should be
            >   ok       `restart: unless-stopped`: it comes back after a reboot
            > service app
            >   ok       live: [project]-app-4
            >   ok       image: [project]-app ([id])
            >   ok       two of its containers can run beside each other
            >   ok       nginx talks to its port 8000
            >   ok       [project]-app-4 answers http://[door]/
            >   ok       healthy when its HEALTHCHECK agrees
            >   ok       it may take [time] to stop, the engine's default
            >   ok       `restart: unless-stopped`: it comes back after a reboot
            > state folder
            >   ok       `[folder]/state` is private, and there is room in it
            > ready to swap
        "#]],
    );
    let proposed = anywhere(stack.swap(["init", "admin"]).expect_exit(0));
    shows(
        &proposed,
        expect![[r#"
            note: the upstream `admin` at deploy/nginx/nginx.conf:17 becomes a comment: swap writes it from now on
            `swap init admin --write` writes 2 files; then:
              docker compose exec -T gateway nginx -s reload
              swap admin
            > --- deploy/nginx/nginx.conf
            > +++ deploy/nginx/nginx.conf
            > @@ -14,9 +14,9 @@
            >          # keepalive 32;
            >      # }
            >  
            > -    upstream admin {
            > -        server admin:3000;
            > -    }
            > +    # upstream admin {
            > +        # server admin:3000;
            > +    # }
            >  
            >      server {
            >          listen 80;
            > --- /dev/null
            > +++ nginx/swap/admin.conf
            > @@ -0,0 +1,4 @@
            > +# What nginx starts with: admin by its DNS name. The first swap replaces this file.
            > +upstream admin {
            > +    server admin:3000;
            > +}
        "#]],
    );
    set_up(&stack, "admin", &proposed);
    let mut load = stack.load().mix([(Kind::Get, 8), (Kind::NewGet, 4), (Kind::Slow, 2)]);
    load.paths.get = "/admin/version".into();
    load.paths.slow = "/admin/slow?ms=1000".into();
    let running = load.start().expect("the load");
    eventually("answers", Duration::from_secs(60), || running.counts().0 >= 100);
    let before = stack.containers("admin");
    stack.swap(["admin"]).expect_exit(0);
    lost_nothing(running);
    assert_ne!(stack.containers("admin")[0].id, before[0].id);
    is_ready(
        &stack,
        "admin",
        expect![[r#"
        > engine
        >   ok       Docker [version] answers at `unix:///var/run/docker.sock` (from the usual socket)
        > compose
        >   ok       `docker compose` is version [version]
        > project [project]
        >   ok       docker-compose.yml: 6 services, no mistake in `x-swap`
        > nginx (gateway)
        >   ok       nginx [version] runs and accepts its configuration
        >   ok       `include /etc/nginx/swap/*.conf;` stands at /etc/nginx/nginx.conf:6
        >   ok       `proxy_pass http://admin/` at /etc/nginx/nginx.conf:26 goes through swap's upstream
        >   ok       `/etc/nginx/swap` is a directory that swap can write and that outlives the container
        >   ok       `keepalive_min_timeout` is left to swap, which sets it in a file of its own
        >   ok       `client_header_timeout` is left to swap, which sets it in a file of its own
        >   ok       `worker_shutdown_timeout` is not set, as it should be
        >   ok       `restart: unless-stopped`: it comes back after a reboot
        > service admin
        >   ok       live: [project]-admin-2
        >   ok       image: [image] ([id])
        >   ok       two of its containers can run beside each other
        >   ok       nginx talks to its port 3000
        >   ok       [project]-admin-2 answers http://[door]/admin/
        >   warning  nothing but that its port accepts connections tells whether it is healthy: it has no HEALTHCHECK and no `health:`
        >            why  a version that answers every request with an error would be swapped in
        >            do   write `x-swap: { health: { http: /up } }`, or the check that you have, under `services: admin:`
        >   ok       it may take [time] to stop, the engine's default
        >   ok       `restart: unless-stopped`: it comes back after a reboot
        > state folder
        >   ok       `[folder]/state` is private, and there is room in it
        > ready to swap, at a cost: 1 warning
    "#]],
    );
}

#[test]
fn what_only_people_can_do_is_told_and_nothing_is_written() {
    let stack = Stack::builder()
        .plain(3000, "proxy_pass http://app:3000")
        .compose(
            "services:\n  nginx:\n",
            "x-files: &files\n  - ./nginx.conf:/etc/nginx/nginx.conf:ro\n\nservices:\n  nginx:\n",
        )
        .compose("    volumes:\n      - ./nginx.conf:/etc/nginx/nginx.conf:ro\n", "    volumes: *files\n")
        .up();
    let before = stack.world();
    shows(
        &anywhere(stack.swap(["init", "app", "--write"]).expect_exit(3)),
        expect![[r#"
            note: the application sees `Host: app` where it saw `Host: app:3000`: no `proxy_set_header Host` holds at nginx.conf:12
            error: the volumes of `nginx` in docker-compose.yml are shared with others by an anchor, so nothing is added
            hint: write `- ./nginx/swap:/etc/nginx/swap` under `volumes:` of `services: nginx:`
            error: nothing is written: half of it would break a stack that works
            hint: do what the lines above say together with the diff, or mend them and run `swap init app` again
            > --- docker-compose.yml
            > +++ docker-compose.yml
            > @@ -20,6 +20,7 @@
            >        - data:/data
            >      stop_grace_period: [time]
            >      command: ["sh", "-c", "sed -i 's/^Listen 80/Listen 3000/' apache.conf && exec ./serve"]
            > +    x-swap: { port: 3000 }
            >  
            >  volumes:
            >    data: {}
            > --- nginx.conf
            > +++ nginx.conf
            > @@ -5,11 +5,12 @@
            >      worker_connections 4096;
            >  }
            >  http {
            > +    include /etc/nginx/swap/*.conf;
            >      access_log off;
            >      server {
            >          listen 80;
            >          location / {
            > -            proxy_pass http://app:3000;
            > +            proxy_pass http://app;
            >              proxy_http_version 1.1;
            >              proxy_set_header Connection "";
            >          }
            > --- /dev/null
            > +++ nginx/swap/app.conf
            > @@ -0,0 +1,4 @@
            > +# What nginx starts with: app by its DNS name. The first swap replaces this file.
            > +upstream app {
            > +    server app:3000;
            > +}
            > --- /dev/null
            > +++ nginx/swap/swap-tuning.conf
            > @@ -0,0 +1,5 @@
            > +# Written by swap, because nobody has set these; set one yourself in `http` and delete this file: swap writes it anew.
            > +# Without it a reload closes idle connections even while a request is on its way.
            > +keepalive_min_timeout [time];
            > +# A connection that sends nothing keeps its old worker, and so the old container, this long.
            > +client_header_timeout [time];
        "#]],
    );
    assert_eq!(stack.world(), before);
    // The doctor says the same from the other side, and goes on after each finding.
    shows(
        &anywhere(stack.swap(["doctor"]).expect_exit(3)),
        expect![[r#"
            > engine
            >   ok       Docker [version] answers at `unix:///var/run/docker.sock` (from the usual socket)
            > compose
            >   ok       `docker compose` is version [version]
            > project [project]
            >   ok       docker-compose.yml: 2 services, no mistake in `x-swap`
            > nginx (nginx)
            >   ok       nginx [version] runs and accepts its configuration
            >   ok       `keepalive_min_timeout` is left to swap, which sets it in a file of its own
            >   ok       `client_header_timeout` is left to swap, which sets it in a file of its own
            >   ok       `worker_shutdown_timeout` is not set, as it should be
            >   error    `proxy_pass http://app:3000` at /etc/nginx/nginx.conf:12 names a port, which an upstream's name may not have
            >            why  swap refuses before any change: nginx would not follow a switch
            >            do   write `proxy_pass http://app;`
            >   error    nginx does not read `/etc/nginx/swap/app.conf`
            >            why  swap refuses before any change: nginx would not follow a switch
            >            do   write `include /etc/nginx/swap/*.conf;` into the `http` block of /etc/nginx/nginx.conf
            >   error    the upstream folder `/etc/nginx/swap` is not there
            >            why  swap refuses before any change: nginx would not follow a switch
            >            do   mount a directory of the host there: `volumes: [ "./swap:/etc/nginx/swap" ]`
            >   note     `nginx` has no restart policy
            >            why  after a reboot of the machine, or of the engine, it stays down until somebody starts it
            >            do   write `restart: unless-stopped` under `services: nginx:`
            > service app
            >   ok       live: [project]-app-1
            >   ok       image: [project]-app ([id])
            >   ok       two of its containers can run beside each other
            >   warning  nothing but that it runs for a second tells whether it is healthy: it has no HEALTHCHECK and no `health:`
            >            why  a version that answers every request with an error would be swapped in
            >            do   write `x-swap: { health: ./healthcheck }`, or the check that you have, under `services: app:`
            >   ok       it may take [time] to stop
            >   note     `app` has no restart policy
            >            why  after a reboot of the machine, or of the engine, it stays down until somebody starts it
            >            do   write `restart: unless-stopped` under `services: app:`
            > state folder
            >   ok       `[folder]/state` is private, and there is room in it
            > not ready: 3 errors, 1 warning, 2 notes
        "#]],
    );
}

#[test]
fn a_doctor_says_ready_only_after_an_answer_from_each_live_container() {
    let stack = Stack::builder().scale("app", 2).up();
    let said = stack.swap(["doctor", "app"]).expect_exit(0).stdout;
    let answers: Vec<&str> = said.lines().filter(|line| line.contains(" answers http://")).collect();
    let both = |line: &&&str| stack.containers("app").iter().all(|seen| line.contains(&stack.normalise(&seen.name)));
    assert!(answers.iter().find(both).is_some() && said.contains("\nready to swap"), "{said}");
    // It listens where only its own check reaches it.
    let dead = Stack::builder().app("inward").up_when("").up();
    eventually("nginx to answer by itself", Duration::from_secs(60), || {
        dead.get("/").is_ok_and(|answer| answer.status == 502)
    });
    let said = dead.swap(["doctor", "app"]).expect_exit(3).stdout;
    assert!(said.contains("  error    no answer of [project]-app-1 comes through the front door"), "{said}");
    assert!(said.contains("\nnot ready: 1 error"), "{said}");
}

#[test]
fn the_doctor_goes_on_without_an_engine() {
    let stack = Stack::up();
    let outcome = stack.swap(["doctor"]).env("DOCKER_HOST", "tcp://127.0.0.1:9").expect_exit(3);
    shows(
        &anywhere(outcome),
        expect![[r#"
            > engine
            >   error    the Docker engine at `tcp://[ip]:9` (from DOCKER_HOST) can't be reached: nothing listens there
            >            why  nothing can be swapped without the engine; what only it knows is not examined below
            >            do   start it (`systemctl start docker`, or Docker Desktop), or name another one by DOCKER_HOST or a docker context
            > compose
            >   ok       `docker compose` is version [version]
            > project [project]
            >   ok       docker-compose.yml: 2 services, no mistake in `x-swap`
            >   note     not examined: nginx
            >            why  no `x-swap:` is written there, and no nginx sends requests there
            >            do   `swap doctor nginx` examines it all the same
            > service app
            >   ok       two of its containers can run beside each other
            >   ok       healthy when `./healthcheck` agrees
            >   ok       it may take [time] to stop
            >   note     `app` has no restart policy
            >            why  after a reboot of the machine, or of the engine, it stays down until somebody starts it
            >            do   write `restart: unless-stopped` under `services: app:`
            > state folder
            >   ok       `[folder]/state` is private, and there is room in it
            > not ready: 1 error, 2 notes
        "#]],
    );
}

#[test]
fn a_stack_whose_upstream_has_a_name_of_its_own_measures_itself_too() {
    let stack = Stack::builder()
        .compose("health: ./healthcheck", "health: ./healthcheck\n      upstream: shop")
        .nginx("http://app", "http://shop")
        .file("nginx/swap/shop.conf", "upstream shop { server app:80; }\n")
        .up();
    let words = ["bench", "app", "--swaps", "1", "--rate", "50", "--baseline", "script", "--yes", "--output", "json"];
    let measured = stack.swap(words).expect_exit(0);
    let report: serde_json::Value = serde_json::from_str(&measured.raw).expect("a report");
    assert_eq!(report["during"]["failed"], 0, "{report}");
    assert!(report["script"]["during"]["requests"].as_u64() > Some(50), "{report}");
    assert_eq!(stack.containers("app").len(), 1);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
}

#[test]
fn the_file_of_a_service_that_was_renamed_is_told_of_and_left_alone() {
    let stack = Stack::up();
    stack.deploy("v2");
    stack.swap(["app"]).expect_exit(0);
    let file = stack.path("nginx/swap/app.conf");
    let before = std::fs::read_to_string(&file).expect("the upstream");
    // While its container runs it may be that of another compose file.
    stack.edit("docker-compose.yml", "- app", "- web");
    stack.edit("docker-compose.yml", "  app:\n", "  web:\n");
    stack.write("nginx/swap/web.conf", "upstream web { server web:80; }\n");
    stack.compose(&["up", "-d"]);
    stack.edit("nginx.conf", "http://app", "http://web");
    stack.reload_nginx();
    let left = "note: `/etc/nginx/swap/app.conf` is left of the service `app`, which the compose file has no more (delete it once \
                nothing passes to `app`)\n";
    let planned = stack.swap(["plan", "web"]).expect_exit(0).stdout;
    assert!(!planned.contains("is left of"), "{planned}");
    stack.compose(&["up", "-d", "--remove-orphans"]);
    let planned = stack.swap(["plan", "web"]).expect_exit(0).stdout;
    assert!(planned.contains(left), "{planned}");
    let examined = stack.swap(["doctor", "web"]).expect_exit(0).stdout;
    assert!(examined.contains("  note     `/etc/nginx/swap/app.conf` is left of the service `app`"), "{examined}");
    // The same with another name for the upstream of a service that stays.
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: ./healthcheck\n      upstream: shop");
    let refused = stack.swap(["web"]).expect_exit(3).stderr;
    assert!(refused.contains("sends requests to `web` past swap, through `upstream web {"), "{refused}");
    stack.write("nginx/swap/shop.conf", "upstream shop { server web:80; }\n");
    stack.edit("nginx.conf", "http://web", "http://shop");
    stack.reload_nginx();
    let told = stack.swap(["web"]).expect_exit(0).stderr;
    assert!(told.contains(left), "{told}");
    assert_eq!(std::fs::read_to_string(&file).expect("the upstream"), before);
}

#[test]
fn a_stack_measures_its_own_swaps_beside_the_plain_script() {
    let stack = Stack::up();
    let before = stack.containers("app");
    shows(
        &stack.swap(["bench", "app", "--baseline", "script"]).expect_exit(3),
        expect![[r#"
        error: `--baseline script` drops requests, and there is no terminal to ask whether it may
        hint: `swap bench app --baseline script --yes`
    "#]],
    );
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
    shows(
        &anywhere(stack.swap(["doctor", "app"]).expect_exit(0)),
        expect![[r#"
            > engine
            >   ok       Docker [version] answers at `unix:///var/run/docker.sock` (from the usual socket)
            > compose
            >   ok       `docker compose` is version [version]
            > project [project]
            >   ok       docker-compose.yml: 2 services, no mistake in `x-swap`
            > nginx (nginx)
            >   ok       nginx [version] runs and accepts its configuration
            >   ok       `include /etc/nginx/swap/*.conf;` stands at /etc/nginx/nginx.conf:11
            >   ok       `proxy_pass http://app` at /etc/nginx/nginx.conf:15 goes through swap's upstream
            >   ok       `/etc/nginx/swap` is a directory that swap can write and that outlives the container
            >   ok       `keepalive_min_timeout [time]`
            >   ok       `client_header_timeout [time]`
            >   ok       `worker_shutdown_timeout` is not set, as it should be
            >   note     `nginx` has no restart policy
            >            why  after a reboot of the machine, or of the engine, it stays down until somebody starts it
            >            do   write `restart: unless-stopped` under `services: nginx:`
            > service app
            >   ok       live: [project]-app-6
            >   ok       image: [project]-app ([id])
            >   ok       two of its containers can run beside each other
            >   ok       nginx talks to its port 80
            >   ok       [project]-app-6 answers http://[door]/
            >   ok       healthy when `./healthcheck` agrees
            >   ok       it may take [time] to stop
            >   note     `app` has no restart policy
            >            why  after a reboot of the machine, or of the engine, it stays down until somebody starts it
            >            do   write `restart: unless-stopped` under `services: app:`
            > state folder
            >   ok       `[folder]/state` is private, and there is room in it
            > ready to swap: 2 notes
        "#]],
    );
}
