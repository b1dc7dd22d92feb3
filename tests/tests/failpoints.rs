//! Kills and signals before and after every write of the journal and every effect on Docker, compose and nginx: users are
//! served throughout, and one more command ends in one version and nothing else.
//!
//! The points are those that a run passes: it is played once to collect them, then once for each of them. The tests that
//! are always run take a sample; all points take some minutes each:
//! `cargo nextest run -p scenarios --run-ignored only -E 'test(failpoints)'`.

use scenarios::load::Running;
use scenarios::stack::Stack;
use scenarios::swap::Outcome;

use crate::common::{converged, light_load, lost_nothing};

/// Where the runs are killed that are resumed or cleaned up.
const KILLED: &str = "after nginx switch #1=kill";

/// A call of swap whose points are tried.
#[derive(Debug, Clone, Copy)]
struct Play {
    /// Whether a run was killed before, just after its switch.
    killed_before: bool,
    /// Whether nginx has no upstream file yet.
    first: bool,
    words: &'static [&'static str],
    /// What happens in any case.
    failpoint: &'static str,
    /// The point from which on this play is not like any other.
    from: &'static str,
    /// The point from which on it is like the plain swap again.
    until: &'static str,
}

const SWAP: Play = Play { killed_before: false, first: false, words: &["app"], failpoint: "", from: "", until: "" };
const FIRST_SWAP: Play = Play { first: true, until: "before compose up #1", ..SWAP };
const UNWIND: Play = Play { failpoint: "after nginx switch #1=int;", from: "after nginx switch #1", ..SWAP };
const RESUME: Play = Play { killed_before: true, words: &["resume", "app"], ..SWAP };
const CLEAN_UP: Play = Play { killed_before: true, until: "before compose up #1", ..SWAP };

#[test]
fn a_sample_of_kills_and_signals_is_survived() {
    let stack = Stack::up();
    let running = light_load(&stack);
    let mut stage = Stage { stack: &stack, running: &running, serving: "v1" };
    // The first swap of a stack passes points that none after it does.
    let version = stage.deploy();
    stage.converge(version, "the first swap");
    for (play, actions) in
        [(SWAP, &[("kill", 4), ("int", 2), ("term", 1)][..]), (UNWIND, &[("kill", 2)]), (RESUME, &[("kill", 1)])]
    {
        let points = stage.points(play);
        for (turn, (action, count)) in actions.iter().enumerate() {
            // Not the same points for each action.
            let step = points.len() / count;
            stage.survive(play, action, points.iter().skip(step * (turn + 1) / 4).step_by(step).take(*count));
        }
    }
    lost_nothing(running);
}

#[test]
#[ignore = "takes minutes: every point"]
fn every_kill_of_a_swap_is_survived() {
    every(&[FIRST_SWAP, SWAP], "kill");
}

#[test]
#[ignore = "takes minutes: every point"]
fn every_sigint_is_survived() {
    every(&[FIRST_SWAP, SWAP], "int");
}

#[test]
#[ignore = "takes minutes: every point"]
fn every_sigterm_is_survived() {
    every(&[FIRST_SWAP, SWAP], "term");
}

#[test]
#[ignore = "takes minutes: every point"]
fn every_kill_of_an_unwind_is_survived() {
    every(&[UNWIND], "kill");
}

#[test]
#[ignore = "takes minutes: every point"]
fn every_kill_of_a_resume_or_of_cleaning_up_is_survived() {
    every(&[RESUME, CLEAN_UP], "kill");
}

#[test]
#[ignore = "takes minutes: every point"]
fn every_failed_effect_is_survived() {
    every(&[FIRST_SWAP, SWAP, UNWIND], "fail");
}

#[track_caller]
fn every(plays: &[Play], action: &str) {
    let stack = Stack::up();
    let running = light_load(&stack);
    let mut stage = Stage { stack: &stack, running: &running, serving: "v1" };
    for play in plays {
        let points = stage.points(*play);
        stage.survive(*play, action, points.iter());
    }
    lost_nothing(running);
}

/// A stack under load.
struct Stage<'a> {
    stack: &'a Stack,
    running: &'a Running,
    serving: &'static str,
}

impl Stage<'_> {
    /// Plays it once and returns the points that it passed.
    #[track_caller]
    fn points(&mut self, play: Play) -> Vec<String> {
        let version = self.deploy();
        let (outcome, mut points) = self.play(play, "");
        assert!([0, 4].contains(&outcome.code), "exit {}\n{}{}", outcome.code, outcome.raw, outcome.stderr);
        assert!(!points.is_empty(), "this `swap` has no failpoints: it was built without debug assertions");
        if let Some(at) = points.iter().position(|point| point == play.from) {
            points.drain(..=at);
        }
        if let Some(at) = points.iter().position(|point| point == play.until) {
            points.truncate(at);
        }
        self.converge(version, &format!("{play:?} without a fault"));
        println!("--- {} points of {play:?}\n{}", points.len(), points.join("\n"));
        points
    }

    #[track_caller]
    fn survive<'p>(&mut self, play: Play, action: &str, points: impl Iterator<Item = &'p String>) {
        let (mut tried, mut missed) = (0, 0);
        for point in points {
            let case = format!("{action} {point} in `swap {}`", play.words.join(" "));
            println!("--- {case}");
            let version = self.deploy();
            let (outcome, passed) = self.play(play, &format!("{point}={action}"));
            tried += 1;
            let told = format!("{case}: exit {}\n{}{}", outcome.code, outcome.raw, outcome.stderr);
            // How often swap asks whether a container is healthy differs from run to run.
            let hit = passed.contains(point);
            missed += usize::from(!hit);
            let expected: &[i32] = match action {
                _ if !hit => &[0, 4],
                "kill" => &[137],
                // Before it has begun to change anything, a signal ends it as it ends any program.
                "int" => &[0, 4, 130],
                "term" => &[0, 4, 143],
                _ => &[0, 3, 4, 5],
            };
            assert!(expected.contains(&outcome.code), "{told}");
            assert!(self.stack.version().is_ok(), "{told}\nnobody serves");
            self.converge(version, &told);
        }
        assert!(missed * 3 <= tried, "{missed} of {tried} points were not passed");
    }

    /// Makes the version that does not serve the one that a swap would bring.
    fn deploy(&self) -> &'static str {
        let version = if self.serving == "v1" { "v2" } else { "v1" };
        self.stack.deploy(version);
        version
    }

    /// Makes the call and returns how it ended and the points that it passed.
    #[track_caller]
    fn play(&self, play: Play, failpoint: &str) -> (Outcome, Vec<String>) {
        let (stack, log) = (self.stack, self.stack.path("points"));
        if play.first {
            std::fs::remove_file(stack.path("nginx/swap/app.conf")).ok();
            stack.reload_nginx();
        }
        if play.killed_before {
            stack.swap(["app"]).env("SWAP_FAILPOINT", KILLED).expect_exit(137);
        }
        std::fs::remove_file(&log).ok();
        let call = stack.swap(play.words).env("SWAP_FAILPOINT", format!("{}{failpoint}", play.failpoint));
        let outcome = call.env("SWAP_FAILPOINT_LOG", &log).start().wait().expect("its end");
        let passed = std::fs::read_to_string(&log).unwrap_or_default();
        (outcome, passed.lines().map(str::to_owned).collect())
    }

    /// Swaps once more: whatever was left, the version serves alone, and nobody noticed.
    #[track_caller]
    fn converge(&mut self, version: &'static str, case: &str) {
        let outcome = self.stack.swap(["app"]).start().wait().expect("its end");
        assert_eq!(outcome.code, 0, "{case}\n--- and swap again\n{}{}", outcome.raw, outcome.stderr);
        converged(self.stack, version, self.running, case);
        self.serving = version;
    }
}
