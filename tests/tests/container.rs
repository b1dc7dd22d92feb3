//! swap in a container, as docs/container.md tells to run it.

use std::process::Command;
use std::time::Duration;

use expect_test::{Expect, expect};
use scenarios::command::{Ended, ended, run, succeeds};
use scenarios::container::swap_image;
use scenarios::eventually::eventually;
use scenarios::images::root;
use scenarios::stack::Stack;
use scenarios::swap::without_versions;

use crate::common::{compose_recreates_nothing, holds_no_lock, light_load, lost_nothing, mixed_load, says};

/// A stack that is swapped by an image, with a volume for the state.
struct Beside<'a> {
    stack: &'a Stack,
    image: String,
    volume: String,
}

impl<'a> Beside<'a> {
    fn new(stack: &'a Stack, image: String) -> Self {
        Self { stack, image, volume: format!("{}-state", stack.project) }
    }

    /// Makes the call of `swap` that the page has, with other arguments.
    #[track_caller]
    fn documented(&self, arguments: &str) -> Command {
        let page = std::fs::read_to_string(root().join("docs/container.md")).expect("the page");
        let block = page.split("```\n").find(|block| block.contains("docker run ")).expect("a call");
        let mut line = block.to_owned();
        for (from, to) in [
            (" swap app\n", format!(" {} {arguments}\n", self.image)),
            ("swap-state:", format!("{}:", self.volume)),
            ("docker run ", format!("docker run --name {}-swap ", self.stack.project)),
        ] {
            assert!(line.contains(from), "`{from}` is not in\n{line}");
            line = line.replace(from, &to);
        }
        let mut command = Command::new("sh");
        command.args(["-ec", &line]).current_dir(self.stack.path("."));
        command
    }

    /// Makes the call, which must succeed.
    #[track_caller]
    fn swap(&self, arguments: &str) -> Ended {
        ended(&mut self.documented(arguments)).with(0)
    }

    /// Swaps to v2 under load, and looks at it afterwards from further containers.
    #[track_caller]
    fn swaps(&self) {
        let running = mixed_load(self.stack);
        self.stack.deploy("v2");
        let swapped = self.swap("--probe / app");
        lost_nothing(running);
        // In the network of the machine it reaches the front door as everybody does.
        shows(
            self.stack,
            &swapped,
            expect![[r#"
            swap app (project [project], run [run])
              adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
              create      app: [project]-app-2 from [project]-app ([id])  [time]
              start       app: [project]-app-2 runs  [time]
              healthy     app: [project]-app-2 is healthy  [time]
              switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
              drain       app: nothing uses [project]-app-1 any more  [time]
              retire      app: [project]-app-1 stopped and removed  [time]
            front door: [n] requests, 0 failed, p99 [time] (before [time])
            > swapped app: [project]-app-1 → [project]-app-2 in [time] ([steps])
        "#]],
        );
        assert_eq!(self.stack.version().as_deref(), Ok("v2"));
        assert_eq!(self.stack.containers("app").len(), 1);
        for (arguments, expected) in [
            (
                "status app",
                expect![[r#"
                > SERVICE  LIVE  SINCE  IMAGE  LAST RUN  UPSTREAM
                > app  [project]-app-2  [when]  [project]-app [id]  swapped in [time]  /etc/nginx/swap/app.conf (run [run])
            "#]],
            ),
            (
                "history app",
                expect![[r#"
                > RUN  SERVICES  OUTCOME  BEGAN  TOOK  FROM  TO  IMAGE
                > [run]  app  swapped  [when]  [time]  [project]-app-1  [project]-app-2  [id]
            "#]],
            ),
            (
                "doctor app",
                expect![[r#"
                > engine
                >   ok       Docker [version] answers at `unix:///var/run/docker.sock` (from the usual socket)
                > compose
                >   ok       `docker-compose` is version [version]
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
                >   ok       live: [project]-app-2
                >   ok       image: [project]-app ([id])
                >   ok       two of its containers can run beside each other
                >   ok       nginx talks to its port 80
                >   ok       [project]-app-2 answers http://[door]/
                >   ok       healthy when `./healthcheck` agrees
                >   ok       it may take [time] to stop
                >   note     `app` has no restart policy
                >            why  after a reboot of the machine, or of the engine, it stays down until somebody starts it
                >            do   write `restart: unless-stopped` under `services: app:`
                > state folder
                >   ok       `/var/lib/swap` is private, and there is room in it
                > ready to swap: 2 notes
            "#]],
            ),
        ] {
            shows(self.stack, &self.swap(arguments), expected);
        }
        compose_recreates_nothing(self.stack);
    }

    /// Checks that names are found: there is neither a library for that in the image, nor a file that says how.
    #[track_caller]
    fn finds_names(&self) {
        for (host, expected) in [
            (
                "localhost",
                expect![[r#"
            > engine
            >   error    the Docker engine at `tcp://localhost:9` (from DOCKER_HOST) can't be reached: nothing listens there
            >            why  nothing can be swapped without the engine; what only it knows is not examined below
            >            do   start it (`systemctl start docker`, or Docker Desktop), or name another one by DOCKER_HOST or a docker context
            > compose
            >   ok       `docker-compose` is version [version]
            > project
            >   error    `docker-compose config` in `/` failed with exit code 1
            >            | no configuration file provided: not found
            >            why  swap knows of a project only what compose reads
            >            do   run swap in the project's folder or one below it, or name the file: `swap -f path/compose.yaml …`
            > state folder
            >   ok       `/var/lib/swap` is private, and there is room in it
            > not ready: 2 errors
        "#]],
            ),
            (
                "no.invalid",
                expect![[r#"
            > engine
            >   error    the Docker engine at `tcp://no.invalid:9` (from DOCKER_HOST) can't be reached: failed to lookup address information: Name or service not known
            >            why  nothing can be swapped without the engine; what only it knows is not examined below
            >            do   check its address: DOCKER_HOST if that is set, else the current one of `docker context ls`
            > compose
            >   ok       `docker-compose` is version [version]
            > project
            >   error    `docker-compose config` in `/` failed with exit code 1
            >            | no configuration file provided: not found
            >            why  swap knows of a project only what compose reads
            >            do   run swap in the project's folder or one below it, or name the file: `swap -f path/compose.yaml …`
            > state folder
            >   ok       `/var/lib/swap` is private, and there is room in it
            > not ready: 2 errors
        "#]],
            ),
        ] {
            let mut command = Command::new("docker");
            command.args(["run", "--rm", "--env", &format!("DOCKER_HOST=tcp://{host}:9"), &self.image, "doctor"]);
            shows(self.stack, &ended(&mut command).with(3), expected);
        }
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        let _ = succeeds(Command::new("docker").args(["rm", "-f", &format!("{}-swap", self.stack.project)]));
        let _ = succeeds(Command::new("docker").args(["volume", "rm", &self.volume]));
    }
}

/// Compares all that a call said, but for what differs from stack to stack and from machine to machine.
#[track_caller]
fn shows(stack: &Stack, said: &Ended, expected: Expect) {
    says(&stack.normalise(&said.stderr), &without_versions(&stack.normalise(&said.stdout)), expected);
}

/// A swap whose candidate tells in a volume that it was asked.
const NEVER_HEALTHY: &str = "app 'touch /data/asked; exit 1'";

#[track_caller]
fn is_asked(stack: &Stack) {
    eventually("a candidate that is asked", Duration::from_secs(60), || {
        stack.exec("app", "ls /data").lines().any(|file| file == "asked")
    });
}

#[track_caller]
fn image_of_this_build() -> String {
    swap_image().unwrap_or_else(|error| panic!("making the image of swap: {error:?}"))
}

#[test]
fn a_container_beside_the_engines_socket_swaps_as_documented() {
    let stack = Stack::up();
    let beside = Beside::new(&stack, image_of_this_build());
    beside.swaps();
    beside.finds_names();
}

#[test]
fn a_container_that_is_stopped_in_the_middle_leaves_nothing() {
    let stack = Stack::up();
    let beside = Beside::new(&stack, image_of_this_build());
    let before = stack.world();
    let running = light_load(&stack);
    let mut swap = beside.documented(NEVER_HEALTHY);
    let swap = std::thread::spawn(move || ended(&mut swap));
    is_asked(&stack);
    stack.docker(&["stop", &format!("{}-swap", stack.project)]);
    let said = swap.join().expect("its end").with(4);
    lost_nothing(running);
    shows(
        &stack,
        &said,
        expect![[r#"
        swap app (project [project], run [run])
        note: `[project]-app` is the image that runs already: right for a change of the compose file, but a new version is built first
          adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
          create      app: [project]-app-2 from [project]-app ([id])  [time]
          start       app: [project]-app-2 runs  [time]
        SIGTERM: unwinding, nothing is left behind (once more leaves the run as it is)
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
    assert_eq!(stack.world(), before);
    holds_no_lock(&stack);
}

#[test]
fn a_run_whose_container_is_killed_is_unwound_from_the_next_one() {
    let stack = Stack::up();
    let beside = Beside::new(&stack, image_of_this_build());
    let before = stack.world();
    let running = light_load(&stack);
    let mut swap = beside.documented(NEVER_HEALTHY).spawn().expect("docker");
    is_asked(&stack);
    stack.docker(&["kill", &format!("{}-swap", stack.project)]);
    assert_eq!(swap.wait().expect("its end").code(), Some(137));
    // Another container has other processes, but it finds the file unlocked that the first one held.
    let said = ended(&mut beside.documented("rollback app")).with(4);
    lost_nothing(running);
    let dead = "the run that held `app` is dead (pid 1 of root on ";
    assert!(said.stderr.starts_with(dead), "{}", said.stderr);
    shows(
        &stack,
        &said,
        expect![[r#"
        the run that held `app` is dead (pid [pid] of [user] on [machine] since [when]): taking over
          stop        app: what was started is stopped  [time]
          remove      app: what was created is removed  [time]
          release     app: /etc/nginx/swap/app.conf is removed again  [time]
        > rolled back; app: [project]-app-1 serves, nothing of this run is left
    "#]],
    );
    assert_eq!(stack.world(), before);
    holds_no_lock(&stack);
}

#[test]
#[ignore = "compiles everything with all optimisations, a quarter of an hour on two cores"]
fn the_real_image_has_two_programs_and_swaps_for_good() {
    let tag = "swaptest/swap:for-good";
    run(Command::new(root().join("scripts/image")).arg(tag)).unwrap_or_else(|error| panic!("{error:?}"));
    let stack = Stack::up();
    let beside = Beside::new(&stack, tag.into());
    let list = format!("id=$(docker create {tag}) && docker export $id | tar -t; docker rm $id >/dev/null");
    let files = ended(Command::new("sh").args(["-c", &list])).with(0).stdout;
    let of_swap = |file: &&str| {
        let of_the_engine =
            [".dockerenv", "dev/", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", "proc/", "sys/"];
        !file.ends_with('/') && !of_the_engine.iter().any(|start| file.starts_with(start))
    };
    let mut files: Vec<&str> = files.lines().filter(of_swap).collect();
    files.sort_unstable();
    assert_eq!(files, ["etc/ssl/certs/ca-certificates.crt", "usr/local/bin/docker-compose", "usr/local/bin/swap"]);
    beside.swaps();
    beside.finds_names();
}
