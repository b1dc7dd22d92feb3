//! What several scenarios share.

use std::time::Duration;

use expect_test::{Expect, expect};
use scenarios::clients::Kind;
use scenarios::eventually::eventually;
use scenarios::load::Running;
use scenarios::stack::{Container, Stack};
use scenarios::swap::Outcome;
use scenarios::transcript::differences;

/// Starts the mixed load and waits until all kinds of requests flow.
pub(crate) fn mixed_load(stack: &Stack) -> Running {
    flowing(stack.load().start().expect("the load"), 500)
}

/// Starts a few clients, for scenarios that are not about load.
pub(crate) fn light_load(stack: &Stack) -> Running {
    let mut load = stack.load().mix([(Kind::Get, 4), (Kind::Post, 2), (Kind::NewGet, 2), (Kind::Silent, 2)]);
    load.silence = Duration::from_secs(1);
    load.limit = Duration::from_secs(20);
    flowing(load.start().expect("the load"), 50)
}

fn flowing(running: Running, answers: usize) -> Running {
    eventually(format!("{answers} answers"), Duration::from_secs(60), || running.counts().0 >= answers);
    running
}

/// Stops a load that must have lost nothing.
#[track_caller]
pub(crate) fn lost_nothing(running: Running) {
    let report = running.stop().expect("the report");
    println!("{report}");
    assert!(report.is_clean(), "requests were lost\n{report}");
}

/// Deploys a version of the application and swaps to it: it serves at the front door.
#[track_caller]
pub(crate) fn swap_to(stack: &Stack, version: &str) {
    stack.deploy(version);
    stack.swap(["app"]).expect_exit(0);
    assert_eq!(stack.version().as_deref(), Ok(version));
}

/// Checks that compose sees nothing to do: what swap made is what compose would have made.
#[track_caller]
pub(crate) fn compose_recreates_nothing(stack: &Stack) {
    let before = stack.world();
    let said = stack.compose(&["up", "-d"]);
    assert_eq!(stack.world(), before, "`up -d` changed something\n{said}");
}

/// Calls `swap` with a new version at hand and checks that it ends with this code, that v1 serves throughout without a
/// lost request, and that nothing is left behind.
#[track_caller]
pub(crate) fn changes_nothing(stack: &Stack, arguments: &[&'static str], code: i32) -> Outcome {
    let before = stack.world();
    let running = light_load(stack);
    let outcome = stack.swap(arguments).expect_exit(code);
    lost_nothing(running);
    is_as_before(stack, &before);
    holds_no_lock(stack);
    outcome
}

/// Checks that v1 serves and that nothing of the world is another than it was: nothing is left behind.
#[track_caller]
pub(crate) fn is_as_before(stack: &Stack, before: &str) {
    assert_eq!((stack.version().as_deref(), stack.world().as_str()), (Ok("v1"), before));
}

/// Lets no candidate get healthy before [`go`] is said.
#[track_caller]
pub(crate) fn waits_for_go(stack: &Stack) {
    stack.edit("docker-compose.yml", "health: ./healthcheck", "health: test -e /data/go");
}

/// Lets candidates get healthy that wait for it.
#[track_caller]
pub(crate) fn go(stack: &Stack) {
    stack.exec("app", "touch /data/go");
}

/// Checks that one container of this version serves alone, that nothing is left of what was before, and that no client has
/// noticed anything.
#[track_caller]
pub(crate) fn converged(stack: &Stack, version: &str, running: &Running, case: &str) {
    assert_eq!(stack.version().as_deref(), Ok(version), "{case}");
    let containers = stack.containers("app");
    assert_eq!(containers.len(), 1, "{case}\n{}", stack.world());
    is_settled(stack, &containers);
    assert_eq!(running.failures(), [], "{case}");
    let log = stack.compose(&["logs", "--no-color", "nginx"]);
    let lost: Vec<&str> = log.lines().filter(|line| line.contains("while connecting to upstream")).collect();
    assert!(lost.is_empty(), "{case}: nginx still asks who is gone\n{}", lost.join("\n"));
}

/// Checks that nothing is under way or half done, and that nginx is told of all containers.
#[track_caller]
pub(crate) fn is_settled(stack: &Stack, containers: &[Container]) {
    assert!(containers.iter().all(|container| container.state == "running"), "{containers:?}");
    assert_eq!(stack.open_runs(), [""; 0]);
    holds_no_lock(stack);
    let upstream = std::fs::read_to_string(stack.path("nginx/swap/app.conf")).unwrap_or_default();
    let missing = containers.iter().find(|container| !upstream.contains(&format!("{}:80", container.address)));
    // Without a file, as before the first swap, nginx asks the engine's DNS.
    assert!(upstream.is_empty() || missing.is_none(), "nginx does not know {missing:?}:\n{upstream}");
    // A compose that a killed run has left could still make a container.
    eventually("what swap started to end", Duration::from_secs(20), || !stack.is_worked_in());
    assert_eq!(stack.containers("app"), containers, "somebody was left behind who went on");
}

/// Checks that one container of the application serves and that no run goes on.
#[track_caller]
pub(crate) fn ends_with_one_version(stack: &Stack) {
    eventually("a version to serve", Duration::from_secs(20), || stack.version().is_ok());
    let running = stack.containers("app").into_iter().filter(|container| container.state == "running").count();
    assert_eq!(running, 1, "{}", stack.world());
    holds_no_lock(stack);
}

/// Checks that no run holds a service: the lock is gone with its process, and from the engine.
#[track_caller]
pub(crate) fn holds_no_lock(stack: &Stack) {
    assert_eq!(stack.marks(), [""; 0]);
    let mut folders = vec![stack.state()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "lock") {
                let file = std::fs::File::open(&path).expect("opening a lock");
                assert!(file.try_lock().is_ok(), "`{}` is still held", path.display());
            }
        }
    }
}

/// Compares all that a call said: what went to stderr, then what went to stdout, whose lines are marked by `>`.
#[track_caller]
pub(crate) fn shows(outcome: &Outcome, expected: Expect) {
    says(&outcome.stderr, &outcome.stdout, expected);
}

/// Does what [`shows`] does, for the two texts of any program.
#[track_caller]
pub(crate) fn says(stderr: &str, stdout: &str, expected: Expect) {
    expected.assert_eq(&said(stderr, stdout));
}

/// Checks that a call said what a transcript has, and nothing else.
#[track_caller]
pub(crate) fn tells(outcome: &Outcome, transcript: &str) {
    tells_but(outcome, transcript, expect![""]);
}

/// Checks that a call said what a transcript has, but for these lines; see [`differences`].
#[track_caller]
pub(crate) fn tells_but(outcome: &Outcome, transcript: &str, but: Expect) {
    but.assert_eq(&differences(transcript, &said(&outcome.stderr, &outcome.stdout)));
}

fn said(stderr: &str, stdout: &str) -> String {
    let mark = |line: &str| if line.is_empty() { ">\n".to_owned() } else { format!("> {line}\n") };
    let marked: String = stdout.lines().map(mark).collect();
    format!("{stderr}{marked}")
}
