//! What several scenarios share.

use std::time::Duration;

use expect_test::Expect;
use scenarios::clients::Kind;
use scenarios::eventually::eventually;
use scenarios::load::Running;
use scenarios::stack::{Container, Stack};
use scenarios::swap::Outcome;

/// Starts the mixed load and waits until all kinds of requests flow.
pub fn mixed_load(stack: &Stack) -> Running {
    flowing(stack.load().start().expect("the load"), 500)
}

/// Starts a few clients, for scenarios that are not about load.
pub fn light_load(stack: &Stack) -> Running {
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
pub fn lost_nothing(running: Running) {
    let report = running.stop().expect("the report");
    println!("{report}");
    assert!(report.is_clean(), "requests were lost\n{report}");
}

/// Checks that compose sees nothing to do: what swap made is what compose would have made.
#[track_caller]
pub fn compose_recreates_nothing(stack: &Stack) {
    let before = stack.world();
    let said = stack.compose(&["up", "-d"]);
    assert_eq!(stack.world(), before, "`up -d` changed something\n{said}");
}

/// Calls `swap` with a new version at hand and checks that it ends with this code, that v1 serves throughout without a
/// lost request, and that nothing is left behind.
#[track_caller]
pub fn changes_nothing(stack: &Stack, arguments: &[&'static str], code: i32) -> Outcome {
    let before = stack.world();
    let running = light_load(stack);
    let outcome = stack.swap(arguments).expect_exit(code);
    lost_nothing(running);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
    assert_eq!(stack.world(), before, "something was left behind");
    holds_no_lock(stack);
    outcome
}

/// Checks that one container of this version serves alone, that nothing is left of what was before, and that no client has
/// noticed anything.
#[track_caller]
pub fn converged(stack: &Stack, version: &str, running: &Running, case: &str) {
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
pub fn is_settled(stack: &Stack, containers: &[Container]) {
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
pub fn ends_with_one_version(stack: &Stack) {
    eventually("a version to serve", Duration::from_secs(20), || stack.version().is_ok());
    let running = stack.containers("app").into_iter().filter(|container| container.state == "running").count();
    assert_eq!(running, 1, "{}", stack.world());
    holds_no_lock(stack);
}

/// Checks that no run holds a service: the lock is gone with its process, and from the engine.
#[track_caller]
pub fn holds_no_lock(stack: &Stack) {
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
pub fn shows(outcome: &Outcome, expected: Expect) {
    says(&outcome.stderr, &outcome.stdout, expected);
}

/// Does what [`shows`] does, for the two texts of any program.
#[track_caller]
pub fn says(stderr: &str, stdout: &str, expected: Expect) {
    let mark = |line: &str| if line.is_empty() { ">\n".to_owned() } else { format!("> {line}\n") };
    let marked: String = stdout.lines().map(mark).collect();
    expected.assert_eq(&format!("{stderr}{marked}"));
}
