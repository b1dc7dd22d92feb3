//! swap in a container, as docs/container.md tells to run it.

use std::process::Command;
use std::time::Duration;

use scenarios::command::{run, succeeds};
use scenarios::container::{Ended, ended, swap_image};
use scenarios::eventually::eventually;
use scenarios::images::root;
use scenarios::stack::Stack;

use crate::common::{compose_recreates_nothing, holds_no_lock, light_load, lost_nothing, mixed_load};

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

    #[track_caller]
    fn swap(&self, arguments: &str) -> Ended {
        ended(&mut self.documented(arguments))
    }

    /// Swaps to v2 under load, and looks at it afterwards from further containers.
    #[track_caller]
    fn swaps(&self) {
        let running = mixed_load(self.stack);
        self.stack.deploy("v2");
        let swapped = self.swap("--probe / app").with(0);
        assert!(swapped.stdout.starts_with("swapped app: "), "{swapped:?}");
        // In the network of the machine it reaches the front door as everybody does.
        assert!(swapped.stderr.contains("front door: ") && swapped.stderr.contains(" 0 failed"), "{}", swapped.stderr);
        lost_nothing(running);
        assert_eq!(self.stack.version().as_deref(), Ok("v2"));
        assert_eq!(self.stack.containers("app").len(), 1);
        let status = self.swap("status app").with(0).stdout;
        assert!(status.contains("swapped in ") && status.contains(&self.stack.containers("app")[0].name), "{status}");
        let history = self.swap("history app").with(0).stdout;
        assert_eq!(history.lines().count(), 2, "{history}");
        let examined = self.swap("doctor app").with(0).stdout;
        assert!(examined.contains("ready to swap"), "{examined}");
        compose_recreates_nothing(self.stack);
    }

    /// Checks that names are found: there is neither a library for that in the image, nor a file that says how.
    #[track_caller]
    fn finds_names(&self) {
        let asked = |host: &str| {
            let mut command = Command::new("docker");
            command.args(["run", "--rm", "--env", &format!("DOCKER_HOST=tcp://{host}:9"), &self.image, "doctor"]);
            ended(&mut command).with(3).stdout
        };
        assert!(asked("localhost").contains("nothing listens there"), "{}", asked("localhost"));
        assert!(asked("no.invalid").contains("failed to lookup address"), "{}", asked("no.invalid"));
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        let _ = succeeds(Command::new("docker").args(["rm", "-f", &format!("{}-swap", self.stack.project)]));
        let _ = succeeds(Command::new("docker").args(["volume", "rm", &self.volume]));
    }
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
    let mut swap = beside.documented("app 'exit 1'").spawn().expect("docker");
    eventually("a candidate", Duration::from_secs(60), || stack.containers("app").len() == 2);
    stack.docker(&["stop", &format!("{}-swap", stack.project)]);
    assert_eq!(swap.wait().expect("its end").code(), Some(4));
    lost_nothing(running);
    assert_eq!(stack.world(), before);
    holds_no_lock(&stack);
}

#[test]
fn a_run_whose_container_is_killed_is_unwound_from_the_next_one() {
    let stack = Stack::up();
    let beside = Beside::new(&stack, image_of_this_build());
    let before = stack.world();
    let running = light_load(&stack);
    let mut swap = beside.documented("app 'exit 1'").spawn().expect("docker");
    eventually("a candidate", Duration::from_secs(60), || stack.containers("app").len() == 2);
    stack.docker(&["kill", &format!("{}-swap", stack.project)]);
    assert_eq!(swap.wait().expect("its end").code(), Some(137));
    // Another container has other processes, but it finds the file unlocked that the first one held.
    let said = beside.swap("rollback app").with(4).stderr;
    assert!(said.contains("is dead (pid 1 of ") && said.contains("taking over"), "{said}");
    lost_nothing(running);
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
