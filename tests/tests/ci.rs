//! The examples for a CI, run as it would: every step of the files, on machines that reach the stack as they say.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use expect_test::expect;
use scenarios::ci::{Pipeline, github};
use scenarios::command::{Ended, run};
use scenarios::container::{Machine, documented_image, machine_image, swap_image};
use scenarios::images::root;
use scenarios::stack::Stack;
use scenarios::swap::replaced;

use crate::common::{compose_recreates_nothing, light_load, lost_nothing};

const SOCKET: &str = "/var/run/docker.sock:/var/run/docker.sock";

/// A stack whose application is built from its folder and that reads a folder of the machine.
fn shop() -> Stack {
    let build = "    build: { context: ./app, args: { BASE: swap-example/php } }\n";
    let stack = Stack::builder()
        .compose("    image: [project]-app\n", &format!("    image: [project]-app\n{build}"))
        .compose("      - data:/data\n", "      - data:/data\n      - ./shared:/shared:ro\n")
        .file("shared/greeting", "good day\n")
        .file("nginx/swap/.gitignore", "*.conf\n")
        .up();
    copy(&root().join("examples/app"), &stack.path("app"));
    fs::write(stack.path("app/index.php"), version("v1")).expect("writing a version");
    stack.hook("app");
    stack
}

fn version(name: &str) -> String {
    fs::read_to_string(root().join(format!("examples/sources/{name}.php"))).expect("a version")
}

/// Makes the application one that does not start.
fn broken(app: PathBuf) {
    fs::write(app.join("serve"), "#!/bin/sh\necho the database is not there\nexit 1\n").expect("writing a program");
}

#[track_caller]
fn copy(from: &std::path::Path, to: &std::path::Path) {
    run(Command::new("cp").arg("-r").arg(from).arg(to)).unwrap_or_else(|error| panic!("{error:?}"));
}

/// Checks that the candidate has what the old one had, and that compose agrees.
#[track_caller]
fn serves_as_before(stack: &Stack, version: &str) {
    assert_eq!(stack.version().as_deref(), Ok(version));
    assert_eq!(stack.containers("app").len(), 1);
    assert_eq!(stack.exec("app", "cat /shared/greeting"), "good day\n");
    compose_recreates_nothing(stack);
}

#[test]
fn a_checkout_whose_folders_are_others_than_those_of_the_stack_is_told() {
    let stack = shop();
    let checkout = tempfile::tempdir().expect("a folder");
    copy(&stack.path("docker-compose.yml"), checkout.path());
    stack.deploy("v2");
    let plan = stack.swap(["plan", "app", "-p", &stack.project]).from_folder(checkout.path()).expect_exit(0);
    let elsewhere = checkout.path().display().to_string();
    let notes: String = plan.stdout.lines().filter(|line| line.starts_with("note: ")).collect();
    expect!["note: `/shared` will be the engine's `[checkout]/shared`; in [project]-app-1 it is `[folder]/shared` (paths are those of the folder in which compose runs)"].assert_eq(&notes.replace(&elsewhere, "[checkout]"));
    let plan = stack.swap(["plan", "app"]).expect_exit(0);
    assert!(!plan.stdout.contains("will be the engine's"), "{}", plan.stdout);
}

/// Returns the stack's folder, as it is written without a slash at its end.
fn folder(stack: &Stack) -> PathBuf {
    stack.path("").components().collect()
}

/// Returns what the job says to people, without the last lines of the container that failed and what was measured.
fn story(stack: &Stack, said: &Ended) -> String {
    let lines = said.stderr.lines().chain(said.stdout.lines().last());
    let told = lines.filter(|line| !line.starts_with("  | ") && !line.starts_with("front door: "));
    let cut: Vec<&str> = told.map(|line| line.split("%0A|").next().unwrap_or_default()).collect();
    replaced(&stack.normalise(&cut.join("\n")), &[("swap-[0-9a-f]+", "swap-[token]")])
}

/// A server on which the stack runs and that has an sshd, and what GitHub's machine needs to get there.
struct Server {
    machine: Machine,
    key: String,
    known_hosts: String,
}

impl Server {
    #[track_caller]
    fn of(stack: &Stack) -> Self {
        let machine = Machine::start(format!("{}-server", stack.project), &["--volume", SOCKET]);
        let key = machine.sh(
            "ssh-keygen -A >/dev/null
             ssh-keygen -q -t ed25519 -N '' -f /tmp/key
             install -d -m 700 -o deploy ~deploy/.ssh
             install -m 600 -o deploy /tmp/key.pub ~deploy/.ssh/authorized_keys
             getent group $(stat -c %g /var/run/docker.sock) >/dev/null || groupadd -g $(stat -c %g /var/run/docker.sock) engine
             usermod -aG $(stat -c %g /var/run/docker.sock) deploy
             /usr/sbin/sshd -p 2222
             cat /tmp/key",
        );
        let public = machine.sh("cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub");
        Self { machine, key, known_hosts: format!("[shop.example.com]:2222 {public}") }
    }

    /// Runs the example on a fresh machine that has this checkout.
    #[track_caller]
    fn deploys(&self, stack: &Stack, checkout: &std::path::Path) -> Ended {
        let swap = scenarios::swap::binary().and_then(|path| Ok(path.canonicalize()?)).expect("the program");
        let sum = run(Command::new("sha256sum").arg(&swap)).expect("its sum");
        let runner = Machine::start(
            format!("{}-runner", stack.project),
            &[
                &format!("--add-host=shop.example.com:{}", self.machine.address()),
                &format!("--volume={}:/program:ro", swap.display()),
            ],
        );
        let values = [
            ("secrets.DEPLOY_KEY", self.key.as_str()),
            ("vars.DEPLOY_HOST", "deploy@shop.example.com:2222"),
            ("vars.DEPLOY_KNOWN_HOSTS", &self.known_hosts),
            ("vars.SWAP_URL", "file:///program"),
            ("vars.SWAP_SHA256", sum.split(' ').next().unwrap_or_default()),
        ];
        github("examples/ci/github.yml", &runner, checkout, &values, ("/srv/shop", &folder(stack)))
    }
}

#[test]
fn the_example_for_github_deploys_by_ssh_and_annotates_what_failed() {
    let stack = shop();
    let server = Server::of(&stack);
    let checkout = tempfile::tempdir().expect("a folder");
    for part in ["docker-compose.yml", "nginx.conf", "nginx", "app", "hooks"] {
        copy(&stack.path(part), &checkout.path().join(part));
    }
    let running = light_load(&stack);

    fs::write(checkout.path().join("app/index.php"), version("v2")).expect("writing a version");
    let said = server.deploys(&stack, checkout.path()).with(0);
    expect![[r#"
        swap app (project [project], run [run])
        note: `/` is not asked for: from here nobody knows the front door of an engine on another machine (name it by its URL, as `--probe http://shop.example.com/`)
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     app: [project]-app-2 is healthy  [time]
          pre-swap    app: app agreed  [time]
          switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
          post-swap   app: app agreed  [time]
          drain       app: nothing uses [project]-app-1 any more  [time]
          retire      app: [project]-app-1 stopped and removed  [time]
        ::group::app (finish)
        ::stop-commands::swap-[token]
            app now runs [project]-app-2
        ::swap-[token]::
        ::endgroup::
          finish      app: app agreed  [time]
        swapped app: [project]-app-1 → [project]-app-2 in [time] ([steps])"#]]
    .assert_eq(&story(&stack, &said));
    serves_as_before(&stack, "v2");

    fs::write(checkout.path().join("app/index.php"), version("v1")).expect("writing a version");
    broken(checkout.path().join("app"));
    let before = stack.world();
    let said = server.deploys(&stack, checkout.path()).with(4);
    lost_nothing(running);
    assert_eq!((stack.version().as_deref(), stack.world()), (Ok("v2"), before));
    expect![[r#"
        swap app (project [project], run [run])
        note: `/` is not asked for: from here nobody knows the front door of an engine on another machine (name it by its URL, as `--probe http://shop.example.com/`)
          create      app: [project]-app-3 from [project]-app ([id])  [time]
          start       app: [project]-app-3 runs  [time]
          healthy     failed: candidate `[project]-app-3` exited with code 1  [time]
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
        error: candidate `[project]-app-3` exited with code 1
        ::error title=swap app%3A healthy failed::candidate `[project]-app-3` exited with code 1
        rolled back; app: [project]-app-2 serves, nothing of this run is left"#]]
    .assert_eq(&story(&stack, &said));
}

#[test]
fn the_example_for_gitlab_deploys_beside_the_socket_and_fails_where_the_new_version_does() {
    let stack = shop();
    let (swap, tag) = (swap_image().expect("the image of swap"), format!("{}-ci", stack.project));
    documented_image("docs/container.md", &tag, &swap).unwrap_or_else(|error| panic!("{error:?}"));
    let machine = machine_image().expect("the image of a machine");
    let volume = format!("{}-state", stack.project);
    let images = [("build", machine.as_str()), ("deploy", &tag)];
    let words = ["--network", "host", "--volume", SOCKET, "--volume", &format!("{volume}:/var/lib/swap")];
    let pipeline = Pipeline::read("examples/ci/gitlab.yml");
    let commit = |what: &str| {
        let line =
            format!("git init -q; git add -A; git -c user.name=ann -c user.email=a@example.com commit -qm '{what}'");
        run(Command::new("sh").args(["-ec", &line]).current_dir(stack.path(".")))
            .unwrap_or_else(|error| panic!("{error:?}"));
    };
    let running = light_load(&stack);

    fs::write(stack.path("app/index.php"), version("v2")).expect("writing a version");
    commit("two");
    let said = pipeline.run(&folder(&stack), &images, &words).with(0);
    expect![[r#"
        swap app (project [project], run [run])
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
          healthy     app: [project]-app-2 is healthy  [time]
          pre-swap    app: app agreed  [time]
          switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
          post-swap   app: app agreed  [time]
          drain       app: nothing uses [project]-app-1 any more  [time]
          retire      app: [project]-app-1 stopped and removed  [time]
            app (finish): app now runs [project]-app-2
          finish      app: app agreed  [time]
        swapped app: [project]-app-1 → [project]-app-2 in [time] ([steps])"#]]
    .assert_eq(&story(&stack, &said));
    serves_as_before(&stack, "v2");

    fs::write(stack.path("app/index.php"), version("v1")).expect("writing a version");
    broken(stack.path("app"));
    commit("one again");
    let before = stack.world();
    let said = pipeline.run(&folder(&stack), &images, &words).with(4);
    lost_nothing(running);
    assert_eq!((stack.version().as_deref(), stack.world()), (Ok("v2"), before));
    run(Command::new("docker").args(["volume", "rm", &volume])).expect("removing the state");
    expect![[r#"
        swap app (project [project], run [run])
          create      app: [project]-app-3 from [project]-app ([id])  [time]
          start       app: [project]-app-3 runs  [time]
          healthy     failed: candidate `[project]-app-3` exited with code 1  [time]
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
        error: candidate `[project]-app-3` exited with code 1
        rolled back; app: [project]-app-2 serves, nothing of this run is left"#]]
    .assert_eq(&story(&stack, &said));
}
