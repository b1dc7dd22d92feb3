//! Where nginx lives: in a project that others share, in a container that compose did not make, and whose its folder is.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use expect_test::expect;
use scenarios::clients::Kind;
use scenarios::eventually::eventually;
use scenarios::load::{Paths, Running};
use scenarios::stack::Stack;

use crate::common::{changes_nothing, holds_no_lock, is_as_before, lost_nothing, shows};

const REFUSED: i32 = 3;
const ROLLED_BACK: i32 = 4;
const BUSY: i32 = 6;

/// How long whatever is waited for may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Brings up an nginx in a project of its own.
fn edge() -> Stack {
    Stack::of("edge", "v1").nginx_of("current").up_when("").up()
}

/// Brings up a project whose application is reached by that nginx, under this alias beside its service's name.
pub(crate) fn behind(edge: &Stack, alias: &str, settings: &str) -> Stack {
    let stack = Stack::of("behind", "v1").compose("EDGE", &format!("{}_default", edge.project));
    let stack =
        stack.compose("ALIAS", alias).compose("health: ./healthcheck", &format!("health: ./healthcheck\n{settings}"));
    stack.up_when("").up()
}

/// Lets the shared nginx send requests for these paths to these upstreams, and waits until they are answered.
pub(crate) fn route(edge: &Stack, ways: &[(&str, &str)]) {
    let locations: String =
        ways.iter().map(|(path, to)| format!("location {path} {{\n proxy_pass {to};\n }}\n")).collect();
    edge.edit("nginx.conf", "location /nothing-yet {\n            return 204;\n        }", &locations);
    edge.reload_nginx();
    for (path, _) in ways {
        eventually(format!("an answer at {path}"), PATIENCE, || version(edge, path).is_some_and(|v| v == "v1"));
    }
}

/// Returns the version that answers below a path of the front door.
pub(crate) fn version(edge: &Stack, path: &str) -> Option<String> {
    let answer = edge.get(&format!("{path}version")).ok()?;
    (answer.status == 200).then(|| answer.text.trim().to_owned())
}

/// Starts a few clients of an application below a path of the front door.
pub(crate) fn load(edge: &Stack, path: &str) -> Running {
    let mut load = edge.load().mix([(Kind::Get, 4), (Kind::Post, 2), (Kind::NewGet, 2), (Kind::Silent, 2)]);
    let below = |rest: &str| format!("{path}{rest}");
    load.paths = Paths { get: path.to_owned(), post: below("echo"), ids: Some(below("ids")), ..Paths::default() };
    load.silence = Duration::from_secs(1);
    load.limit = Duration::from_secs(20);
    let running = load.start().expect("the load");
    eventually("50 answers", PATIENCE, || running.counts().0 >= 50);
    running
}

#[test]
fn an_nginx_of_another_project_that_shares_no_network_is_not_asked_by_name() {
    // It passes to an `app` of its own.
    let _other = Stack::up();
    let stack = Stack::builder().app_line("ports: [\"80\"]").up();
    let outcome = changes_nothing(&stack, &["plan", "app"], 0);
    outcome.prints(", reload nginx, confirm");
}

#[test]
fn two_projects_that_share_an_nginx_are_swapped_at_once_without_a_lost_request() {
    let edge = edge();
    let home = format!("      proxy: {}/nginx\n      upstream: ", edge.project);
    let shop = behind(&edge, "shop-app", &format!("{home}shop-app"));
    // It is found without being named.
    let blog = behind(&edge, "blog-app", "      upstream: blog-app");
    route(&edge, &[("/", "http://shop-app"), ("/blog/", "http://blog-app/")]);
    let loads = [load(&edge, "/"), load(&edge, "/blog/")];
    for (round, version_) in ["v2", "v1", "v2"].into_iter().enumerate() {
        [&shop, &blog].iter().for_each(|stack| stack.deploy(version_));
        let runs = [shop.swap(["app"]).start(), blog.swap(["app"]).start()];
        runs.into_iter().for_each(|run| drop(run.expect_exit(0)));
        for path in ["/", "/blog/"] {
            assert_eq!(version(&edge, path).as_deref(), Some(version_), "{path} in round {round}");
        }
    }
    loads.into_iter().for_each(lost_nothing);
    for stack in [&shop, &blog] {
        assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
        holds_no_lock(stack);
    }
    // Each file has its own project's containers, and its DNS name is one that the other project's do not have.
    for (stack, upstream) in [(&shop, "shop-app"), (&blog, "blog-app")] {
        let text = fs::read_to_string(edge.path(&format!("nginx/swap/{upstream}.conf"))).expect("the upstream");
        assert!(text.contains(&format!("# project: {}\n", stack.project)), "{text}");
        assert!(text.contains(&format!("server {upstream}:80 resolve")), "{text}");
    }
}

#[test]
fn an_upstream_file_of_another_project_is_refused() {
    let edge = edge();
    let (shop, blog) = (behind(&edge, "shop-app", ""), behind(&edge, "blog-app", ""));
    route(&edge, &[("/", "http://app")]);
    shop.deploy("v2");
    shop.swap(["app"]).expect_exit(0);
    let file = edge.path("nginx/swap/app.conf");
    let before = fs::read_to_string(&file).expect("the upstream");
    let running = load(&edge, "/");
    let text = |text: String| text.replace(&shop.project, "[shop]").replace(&edge.project, "[edge]");
    let mut refused = blog.swap(["plan", "app"]).expect_exit(REFUSED);
    refused.stderr = text(refused.stderr);
    shows(
        &refused,
        expect![[r#"
        error: the upstream file `/etc/nginx/swap/app.conf` belongs to project `[shop]`
        hint: write `x-swap: { upstream: [project]-app }` under `services: app:`, and `http://[project]-app` where nginx sends requests to it; if `[shop]` is no more, delete the file; if no nginx sends requests to `app`, write `proxy: none` there
    "#]],
    );
    blog.swap(["app"]).expect_exit(REFUSED);
    let examined = text(blog.swap(["doctor", "app"]).expect_exit(REFUSED).stdout);
    assert!(
        examined.contains("error    the upstream file `/etc/nginx/swap/app.conf` belongs to project `[shop]`"),
        "{examined}"
    );
    assert_eq!(fs::read_to_string(&file).expect("the upstream"), before);
    lost_nothing(running);
}

#[test]
fn a_name_that_two_projects_want_at_one_moment_is_one_projects_and_the_other_never_touches_it() {
    let edge = edge();
    let (shop, blog) = (behind(&edge, "shop-app", ""), behind(&edge, "blog-app", ""));
    route(&edge, &[("/", "http://app")]);
    [&shop, &blog].iter().for_each(|stack| stack.deploy("v2"));
    // The first one is about to write the file.
    let mut first = blog.swap(["app"]).env("SWAP_FAILPOINT", "before nginx switch #1=hang").start();
    first.until("adopt", "started");
    let busy = shop.swap(["app"]).expect_exit(BUSY);
    shows(
        &busy,
        expect![[r#"
        error: another run holds `/etc/nginx/swap/app.conf`: pid [pid] of [user] on [machine] since [when]
        hint: wait for it with `swap --wait [time] app`
    "#]],
    );
    first.kill();
    first.expect_exit(137);
    shop.swap(["app"]).expect_exit(0);
    let file = edge.path("nginx/swap/app.conf");
    let text = fs::read_to_string(&file).expect("the upstream");
    assert!(text.contains(&format!("# project: {}\n", shop.project)), "{text}");
    // What it had begun is undone without a look at what is not its own any more.
    blog.swap(["rollback", "app"]).expect_exit(ROLLED_BACK);
    assert_eq!(fs::read_to_string(&file).expect("the upstream"), text);
    assert_eq!(blog.open_runs(), [""; 0]);
    [&shop, &blog].iter().for_each(|stack| holds_no_lock(stack));
}

#[test]
fn an_nginx_in_a_container_that_compose_did_not_make_is_found_and_switched() {
    let edge = edge();
    let shop = behind(&edge, "shop-app", "");
    route(&edge, &[("/", "http://app")]);
    // The same nginx, made by hand in the place of compose's.
    let made = edge.containers("nginx").remove(0);
    let port = format!("127.0.0.1:{}:80", edge.door.port());
    let image = edge.docker(&["inspect", "--format", "{{.Config.Image}}", &made.id]);
    edge.docker(&["rm", "-f", &made.id]);
    let (conf, folder) = (edge.path("nginx.conf"), edge.path("nginx/swap"));
    let mounts =
        [format!("{}:/etc/nginx/nginx.conf:ro", conf.display()), format!("{}:/etc/nginx/swap", folder.display())];
    let (front, network) = (format!("{}-front", edge.project), format!("{}_default", edge.project));
    // Swept away with the project, as that is what it stands for.
    let label = format!("com.docker.compose.project={}", edge.project);
    let run = ["run", "-d", "--name", &front, "--label", &label, "--network", &network, "-p", &port];
    let run =
        [&run[..], &["-v", &mounts[0], "-v", &mounts[1], "--entrypoint", "nginx", image.trim(), "-g", "daemon off;"]]
            .concat();
    edge.docker(&run);
    eventually("an answer", PATIENCE, || version(&edge, "/").is_some());
    let running = load(&edge, "/");
    shop.deploy("v2");
    shop.swap(["app"]).expect_exit(0);
    assert_eq!(version(&edge, "/").as_deref(), Some("v2"));
    // Or it is named, in one word.
    shop.deploy("v1");
    let named = format!("container:{front}");
    shop.swap(["app", "--proxy", named.as_str()]).expect_exit(0);
    assert_eq!(version(&edge, "/").as_deref(), Some("v1"));
    lost_nothing(running);
}

#[test]
fn an_upstream_that_people_wrote_comes_back_byte_by_byte_when_the_first_swap_fails() {
    let theirs = "# ours, since 2019\nupstream app { server app:80; }  \n";
    let stack = Stack::builder().file("nginx/swap/app.conf", theirs).up();
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: 'false'\n      timeouts: { health: 1s }");
    stack.deploy("v2");
    let before = stack.world();
    let running = crate::common::light_load(&stack);
    let outcome = stack.swap(["app"]).expect_exit(ROLLED_BACK);
    lost_nothing(running);
    shows(
        &outcome,
        expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     failed: candidate `[project]-app-2` not healthy after [time]: `false` exited 1  [time]
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is again as it was  [time]
        error: candidate `[project]-app-2` not healthy after [time]: `false` exited 1
        hint: if it only needs longer, give it `--timeout 2m`, or `timeouts: { health: 2m }` in `x-swap`
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
    assert_eq!(fs::read_to_string(stack.path("nginx/swap/app.conf")).expect("the upstream"), theirs);
    is_as_before(&stack, &before);
    holds_no_lock(&stack);
}

/// An nginx on this machine, alone in a mount namespace of its own: others that tests have started are not the machine's there.
pub(crate) struct OnTheMachine(Child);

impl OnTheMachine {
    pub(crate) fn start(stack: &Stack) -> Self {
        let unpacked = std::env::temp_dir().join("swap-test-nginx");
        let program = [PathBuf::from("/usr/sbin/nginx"), unpacked.join("usr/sbin/nginx")];
        let works = |path: &PathBuf| Command::new(path).arg("-v").output().is_ok_and(|output| output.status.success());
        if !program.iter().any(works) {
            fs::create_dir_all(&unpacked).expect("making a folder");
            let fetch = "apt-get download nginx && for package in *.deb; do dpkg -x \"$package\" .; done";
            let _ = Command::new("sh").args(["-c", fetch]).current_dir(&unpacked).output();
        }
        let program =
            program.into_iter().find(works).expect("nginx is not installed, and `apt-get download nginx` gave none");
        let folder = format!("{}/", stack.path(".").display());
        let nginx = Command::new("unshare")
            .args(["--mount", "--propagation", "slave"])
            .arg(program)
            .args(["-p", &folder, "-c", "nginx.conf", "-g", "daemon off;"])
            .stderr(Stdio::null())
            .spawn();
        Self(nginx.expect("starting nginx"))
    }

    /// The words by which a command sees that nginx as its own machine's.
    pub(crate) fn beside(&self, stack: &Stack) -> [String; 5] {
        let folder = format!("--wd={}", stack.path(".").display());
        ["nsenter".into(), "--target".into(), self.0.id().to_string(), "--mount".into(), folder]
    }

    fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &line]).status().expect("a shell").success(), "{line}");
    }
}

impl Drop for OnTheMachine {
    fn drop(&mut self) {
        // A master that is killed would leave its workers behind.
        self.signal("TERM");
        let _ = self.0.wait();
    }
}

/// Starts an nginx on this machine before the published port of a stack, and a few clients of it.
pub(crate) fn on_the_machine(stack: &Stack) -> (OnTheMachine, Running) {
    let nginx = OnTheMachine::start(stack);
    eventually("an answer", PATIENCE, || stack.version().as_deref() == Ok("v1"));
    // Debian's nginx of today is one that closes idle connections at each reload, so no client keeps one.
    let running = stack.load().mix([(Kind::NewGet, 6), (Kind::NewPost, 2)]).start().expect("the load");
    eventually("50 answers", PATIENCE, || running.counts().0 >= 50);
    (nginx, running)
}

#[test]
fn an_nginx_on_the_machine_is_found_and_leaves_a_published_port_without_a_lost_request() {
    let stack = Stack::of("published", "v1").up_when("").up();
    let (nginx, running) = on_the_machine(&stack);
    let beside = nginx.beside(&stack);
    let beside: Vec<&str> = beside.iter().map(String::as_str).collect();
    stack.deploy("v2");
    shows(
        &stack.swap(["plan", "app"]).through(&beside).expect_exit(REFUSED),
        expect![[r#"
        error: `proxy_pass http://[ip]:[other-port]` at [folder]/./nginx.conf:19 sends requests to `app` past swap: [other-port] is a published port of [project]-app-1
        hint: write `proxy_pass http://app;`: swap writes an `upstream app`, which knows the port
        error: nginx does not read `/etc/nginx/swap/app.conf`
        hint: write `include /etc/nginx/swap/*.conf;` into the `http` block of [folder]/./nginx.conf
        error: the upstream folder `/etc/nginx/swap` is not there
        hint: `mkdir /etc/nginx/swap`
        error: service `app` publishes the fixed port `[other-port]:80`, and two containers can't share it
        hint: nginx reaches containers on this machine by their addresses, so the port need not be published; in this order the site answers all the time: (1) write `x-swap: { proxy: host, port: 80 }` under `services: app:`; (2) write `upstream app { server [ip]:[other-port]; }` into `/etc/nginx/swap/app.conf`, `include /etc/nginx/swap/*.conf;` into nginx's `http`, and `http://app` in the place of `http://[ip]:[other-port]`, then reload nginx; (3) remove `ports` from `services: app:` and run `swap app`, without `docker compose up` before: the live container keeps its port until nginx has left it
    "#]],
    );
    // What it says, in its order.
    let compose = fs::read_to_string(stack.path("docker-compose.yml")).expect("the compose file");
    let ports = compose.lines().find(|line| line.contains("ports:")).expect("the ports").to_owned();
    let published = ports.split(':').nth(2).expect("the port").to_owned();
    stack.edit(
        "docker-compose.yml",
        "health: ./healthcheck",
        "health: ./healthcheck\n      proxy: host\n      port: 80",
    );
    stack.write("swap/app.conf", &format!("upstream app {{ server 127.0.0.1:{published}; }}\n"));
    stack.edit("nginx.conf", &format!("http://127.0.0.1:{published}"), "http://app");
    stack.edit(
        "nginx.conf",
        "access_log off;",
        &format!("access_log off;\n    include {}/*.conf;", stack.path("swap").display()),
    );
    nginx.signal("HUP");
    stack.edit("docker-compose.yml", &format!("{ports}\n"), "");
    stack.swap(["app"]).through(&beside).expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v2"));
    // From then on it is a swap as any other, and nothing needs to be named.
    stack.edit("docker-compose.yml", "      proxy: host\n", "");
    stack.deploy("v1");
    stack.swap(["app"]).through(&beside).expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    lost_nothing(running);
    assert_eq!(stack.containers("app").len(), 1, "{}", stack.world());
    holds_no_lock(&stack);
}
