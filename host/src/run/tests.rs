//! Events in, what comes next out; and every state that a run can reach.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::model::{
    Check, FileKind, Image, InjectedFile, Lifecycle, LifecycleCommand, LoadedHook, NetworkPlace, Notice, OldVolumes,
    Order, Phase, ProxyChoice, Reaches, RunId, Settings,
};
use crate::plan::{
    CalledIn, Front, Keep, Observed, ObservedService, PlannedService, ProbeWay, Replaced, Retag, VERSION, plan,
};

fn name(text: &str) -> ServiceName {
    text.parse().expect("a name")
}

pub(super) fn container(id: &str) -> Container {
    Container {
        id: id.to_owned(),
        name: format!("demo-{id}"),
        image: "sha256:1".to_owned(),
        address: "172.18.0.2:80".parse().ok(),
    }
}

fn front() -> Front {
    Front {
        proxy: ProxyChoice::Service(name("nginx")),
        container: Some(container("nginx")),
        directory: "/etc/nginx/swap".to_owned(),
        place: None,
        upstream: None,
        written_by_others: false,
        dns_name: None,
        before: Some("upstream app {}\n".to_owned()),
        current: false,
        obeyed: false,
        asks_dns: false,
        tuning: Some("keepalive_min_timeout 5s;\n".to_owned()),
        resolver: "127.0.0.11".parse().ok(),
        network: Some("demo_default".to_owned()),
        port: 80,
        reload: Duration::ZERO,
        probe: None,
        probe_rate: None,
        probe_way: None,
    }
}

fn observed(text: &str, proxied: bool, hooks: bool, order: Order) -> ObservedService {
    let all = LoadedHook {
        name: "judge".to_owned(),
        phases: Phase::ALL.to_vec(),
        digest: String::new(),
        weighs_numbers: false,
    };
    ObservedService {
        settings: Settings { order, ..Settings::default() },
        live: vec![container(text)],
        image: Some(Image { name: "demo".to_owned(), id: "sha256:2".to_owned() }),
        fronts: Vec::from_iter(proxied.then(|| Front { current: true, ..front() })),
        hooks: if hooks { vec![all] } else { Vec::new() },
        ..ObservedService::empty(name(text))
    }
}

fn planned(services: Vec<ObservedService>) -> Plan {
    let observed = Observed { project: "demo".to_owned(), services };
    let mut plan = plan(RunId("20260131-154502-9f3a".to_owned()), &observed).expect("a plan");
    // Nothing is decided by these, so the sequences here do without them; the simulation has them all.
    plan.steps.retain(|step| !matches!(step, Step::Adopt { .. } | Step::Rest { .. }));
    plan
}

/// create start healthy switch drain commit retire.
pub(super) fn app() -> Plan {
    planned(vec![observed("app", true, false, Order::StartFirst)])
}

/// pre-start create start healthy pre-swap switch post-swap drain commit retire finish.
fn app_with_hooks() -> Plan {
    planned(vec![observed("app", true, true, Order::StartFirst)])
}

const FAILED: &str = "it failed";

/// Reads events as `start 0, done 0, fail 1, undo 1, undone 1, undo-fail 1, signal, forward, back, closed`.
fn events(text: &str) -> Vec<Event> {
    text.split(", ").filter(|word| !word.is_empty()).map(event).collect()
}

fn event(text: &str) -> Event {
    let (word, step) = text.split_once(' ').unwrap_or((text, "0"));
    let step = step.parse().expect("a step");
    let failure = Failure::new(FAILED);
    match word {
        "start" => Event::Started { step },
        "done" => Event::Done { step, learnt: StepResult::Nothing },
        "fail" => Event::Failed { step, failure },
        "undo" => Event::UndoStarted { step },
        "undone" => Event::Undone { step, learnt: StepResult::Nothing },
        "undo-fail" => Event::UndoFailed { step, failure },
        "signal" => Event::Interrupted { signal: "SIGINT".to_owned() },
        "forward" => Event::Resumed { goal: Goal::Forward },
        "back" => Event::Resumed { goal: Goal::Back },
        "swapped" => Event::Closed { outcome: Outcome::Swapped },
        "rolled-back" => Event::Closed { outcome: Outcome::RolledBack },
        other => panic!("no event `{other}`"),
    }
}

/// Returns events by which all steps below one are done.
fn done_below(step: usize) -> String {
    (0..step).map(|step| format!("start {step}, done {step}, ")).collect()
}

/// Returns the verbs of steps, as `start start` where they go beside one another.
fn verbs(plan: &Plan, steps: &[usize]) -> String {
    steps.iter().map(|step| plan.steps[*step].verb()).collect::<Vec<_>>().join(" ")
}

fn next_text(plan: &Plan, events: &[Event]) -> String {
    match decide(plan, events) {
        Ok(Next::Do(steps)) => format!("do {}", verbs(plan, &steps)),
        Ok(Next::Undo(steps)) => format!("undo {}", verbs(plan, &steps)),
        Ok(Next::Stuck(step)) => format!("stuck at {}", plan.steps[step].verb()),
        Ok(Next::Done(outcome)) => format!("{outcome:?}"),
        Err(illegal) => illegal.to_string(),
    }
}

#[track_caller]
fn check(plan: &Plan, text: &str, expected: &str) {
    assert_eq!(next_text(plan, &events(text)), expected, "after `{text}`");
}

/// Goes on from the events while everything succeeds, and returns the verbs of what is done.
pub(super) fn rest(plan: &Plan, mut events: Vec<Event>) -> String {
    let mut verbs = Vec::new();
    loop {
        match decide(plan, &events).expect("the events are legal") {
            Next::Do(steps) => {
                events.extend(steps.iter().map(|step| Event::Started { step: *step }));
                for step in steps {
                    verbs.push(plan.steps[step].verb().to_owned());
                    events.push(Event::Done { step, learnt: StepResult::Nothing });
                }
            }
            Next::Undo(steps) => {
                events.extend(steps.iter().map(|step| Event::UndoStarted { step: *step }));
                for step in steps {
                    verbs.push(plan.undo(&plan.steps[step]).expect("it has an undo").verb().to_owned());
                    events.push(Event::Undone { step, learnt: StepResult::Nothing });
                }
            }
            Next::Stuck(step) => return format!("{} STUCK at {}", verbs.join(" "), plan.steps[step].verb()),
            Next::Done(outcome) => return format!("{} {outcome:?}", verbs.join(" ")).trim().to_owned(),
        }
    }
}

#[track_caller]
fn check_rest(plan: &Plan, text: &str, expected: &str) {
    assert_eq!(rest(plan, events(text)), expected, "after `{text}`");
}

#[test]
fn a_run_goes_from_step_to_step() {
    check_rest(&app(), "", "create start healthy switch drain commit retire Swapped");
    check_rest(
        &app_with_hooks(),
        "",
        "pre-start create start healthy pre-swap switch post-swap drain commit retire finish Swapped",
    );
}

#[test]
fn a_failure_before_the_commit_undoes_in_reverse() {
    let plan = app();
    check_rest(&plan, "start 0, fail 0", "remove RolledBack");
    check_rest(&plan, &format!("{}start 2, fail 2", done_below(2)), "stop remove RolledBack");
    check_rest(&plan, &format!("{}start 3, fail 3", done_below(3)), "switch-back stop remove RolledBack");
    check_rest(&plan, &format!("{}start 5, fail 5", done_below(5)), "switch-back stop remove RolledBack");
    check_rest(&app_with_hooks(), "start 0, fail 0", "rollback RolledBack");
    let stop_first = planned(vec![observed("app", true, false, Order::StopFirst)]);
    check_rest(&stop_first, &format!("{}start 3, fail 3", done_below(3)), "stop start-old remove RolledBack");
}

#[test]
fn several_services_are_undone_from_the_last_step_on() {
    let services =
        vec![observed("app", true, false, Order::StartFirst), observed("jobs", false, false, Order::StartFirst)];
    let plan = planned(services);
    // create create start start healthy healthy switch drain commit retire retire
    check_rest(&plan, &format!("{}start 7, fail 7", done_below(7)), "switch-back stop stop remove remove RolledBack");
    check_rest(&plan, &format!("{}start 1, fail 1", done_below(1)), "remove remove RolledBack");
}

#[test]
fn a_failure_after_the_commit_never_goes_back() {
    let plan = app_with_hooks();
    let committed = done_below(9);
    check(&plan, &format!("{committed}start 9, fail 9"), "stuck at retire");
    check_rest(&plan, &format!("{committed}start 9, fail 9, forward"), "retire finish Swapped");
    check_rest(&plan, &format!("{committed}start 9, fail 9, back"), "retire finish Swapped");
    check_rest(&plan, &format!("{committed}signal, back, signal"), "retire finish Swapped");
    check_rest(&plan, &format!("{}start 10, fail 10", done_below(10)), "Swapped");
}

#[test]
fn an_undo_is_tried_again_and_then_needs_a_person() {
    let plan = app();
    let failed = format!("{}start 2, fail 2, undo 1, undo-fail 1", done_below(2));
    check(&plan, &failed, "undo start");
    check(&plan, &format!("{failed}, undo 1, undo-fail 1"), "undo start");
    let stuck = format!("{failed}, undo 1, undo-fail 1, undo 1, undo-fail 1");
    check(&plan, &stuck, "stuck at start");
    check_rest(&plan, &format!("{stuck}, back"), "stop remove RolledBack");
    check_rest(&plan, &format!("{stuck}, forward"), "stop remove RolledBack");
    // The tries are counted anew, and a crash in one of them does not add to them.
    check(&plan, &format!("{stuck}, back, undo 1, undo-fail 1, undo 1, back, undo 1, undo-fail 1"), "undo start");
}

#[test]
fn an_interrupt_undoes_what_holds() {
    let plan = app();
    let expected = ["", "remove", "stop remove", "stop remove", "switch-back stop remove", "switch-back stop remove"];
    for (done, expected) in expected.into_iter().enumerate() {
        check_rest(&plan, &format!("{}signal", done_below(done)), format!("{expected} RolledBack").trim());
    }
    for done in 6..=7 {
        let rest = if done == 6 { "retire Swapped" } else { "Swapped" };
        check_rest(&plan, &format!("{}signal", done_below(done)), rest);
    }
}

#[test]
fn a_resumed_run_goes_forward_from_each_point() {
    let plan = app();
    // Whatever later steps rely on is done again: it costs little, and the world is believed, not the journal.
    let started = [
        "create start healthy switch drain commit retire",
        "start healthy switch drain commit retire",
        "start healthy switch drain commit retire",
        "start healthy switch drain commit retire",
        "start healthy switch drain commit retire",
        "start healthy switch drain commit retire",
        "retire",
    ];
    for (step, expected) in started.into_iter().enumerate() {
        check_rest(&plan, &format!("{}start {step}, forward", done_below(step)), &format!("{expected} Swapped"));
    }
    check_rest(&plan, &format!("{}forward", done_below(7)), "Swapped");
}

#[test]
fn a_resumed_run_goes_back_from_each_point() {
    let plan = app();
    let started = [
        "remove",
        "stop remove",
        "stop remove",
        "switch-back stop remove",
        "switch-back stop remove",
        "switch-back stop remove",
    ];
    for (step, expected) in started.into_iter().enumerate() {
        check_rest(&plan, &format!("{}start {step}, back", done_below(step)), &format!("{expected} RolledBack"));
    }
    check_rest(&plan, &format!("{}start 6, back", done_below(6)), "retire Swapped");
}

#[test]
fn a_run_that_is_unwound_stays_so() {
    let plan = app();
    let unwound = format!("{}start 3, fail 3", done_below(3));
    check_rest(&plan, &format!("{unwound}, forward"), "switch-back stop remove RolledBack");
    check_rest(&plan, &format!("{unwound}, undo 3, forward"), "switch-back stop remove RolledBack");
    check_rest(&plan, &format!("{unwound}, undo 3, undone 3, forward"), "stop remove RolledBack");
    check_rest(&plan, &format!("{}signal, forward", done_below(2)), "stop remove RolledBack");
}

#[test]
fn hooks_that_were_asked_are_not_asked_again() {
    let plan = app_with_hooks();
    let rest = "start healthy switch post-swap drain commit retire finish Swapped";
    check_rest(&plan, &format!("{}start 6, forward", done_below(6)), rest);
}

#[test]
fn a_step_that_could_not_be_recorded_as_done_is_undone() {
    let plan = app();
    check_rest(&plan, &format!("{}fail 3", done_below(4)), "switch-back stop remove RolledBack");
    let illegal =
        "internal: event 14 of the run can't follow those before it: step 6 is Done, so it can't become Failed";
    check(&plan, &format!("{}fail 6", done_below(7)), illegal);
}

#[test]
fn a_closed_run_can_be_closed_once_more() {
    let plan = app();
    check(&plan, &format!("{}swapped", done_below(7)), "Swapped");
    check(&plan, &format!("{}swapped, back, signal", done_below(7)), "Swapped");
    check(&plan, &format!("{}swapped, back, swapped", done_below(7)), "Swapped");
    check(&plan, "signal, rolled-back, forward", "RolledBack");
    let closed = "internal: event 2 of the run can't follow those before it: the run is closed";
    check(&plan, "signal, rolled-back, start 0", closed);
    check(&plan, "signal, rolled-back, swapped", closed);
}

#[test]
fn events_that_no_run_writes_are_refused() {
    let plan = app();
    let cases = [
        ("done 0", "event 0 of the run can't follow those before it: step 0 is Todo, so it can't become Done"),
        ("fail 0", "event 0 of the run can't follow those before it: step 0 is Todo, so it can't become Failed"),
        ("start 1", "event 0 of the run can't follow those before it: step 1 starts before step 0 is done"),
        (
            "start 0, done 0, start 0",
            "event 2 of the run can't follow those before it: step 0 is Done, so it can't become Started",
        ),
        ("start 99", "event 0 of the run can't follow those before it: the plan has no step 99"),
        (
            "start 0, undo 0",
            "event 1 of the run can't follow those before it: step 0 is undone while the run goes forward",
        ),
        (
            "signal, undo 0",
            "event 1 of the run can't follow those before it: step 0 is Todo, so there is nothing to undo",
        ),
        ("start 0, fail 0, undo 99", "event 2 of the run can't follow those before it: the plan has no step 99"),
        (
            "start 0, fail 0, start 0",
            "event 2 of the run can't follow those before it: step 0 starts while the run is unwound",
        ),
        (
            "start 0, fail 0, undone 0",
            "event 2 of the run can't follow those before it: step 0 is Failed, not being undone",
        ),
        (
            "start 0, fail 0, undo-fail 0",
            "event 2 of the run can't follow those before it: step 0 is Failed, not being undone",
        ),
        (
            "start 0, fail 0, undo 0, undone 0, undo 0",
            "event 4 of the run can't follow those before it: step 0 is Undone, so there is nothing to undo",
        ),
    ];
    for (text, expected) in cases {
        check(&plan, text, &format!("internal: {expected}"));
    }
}

#[test]
fn the_facts_are_the_last_that_were_learnt() {
    let plan = app();
    let generation = FormerRoute("those of before".into());
    let candidates = |id| StepResult::candidates(vec![container(id)]);
    let events = [
        Event::Done { step: 0, learnt: candidates("created") },
        Event::Done { step: 1, learnt: candidates("started") },
        Event::Done { step: 3, learnt: StepResult::Former { routes: vec![generation.clone()] } },
        Event::Done { step: 99, learnt: candidates("nowhere") },
    ];
    let facts = RunFacts::of(&plan, &events);
    assert_eq!(facts.candidates(&name("app")), [container("started")]);
    assert_eq!(facts.former.get(&name("app")), Some(&vec![generation]));
    assert_eq!(facts.candidates(&name("other")), []);
}

#[test]
fn who_obeyed_the_former_route_is_read_in_each_version() {
    let former = |routes: &[&str]| StepResult::Former {
        routes: routes.iter().map(|route| FormerRoute(serde_json::json!({ "boot": route }))).collect(),
    };
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(serde_json::from_str::<StepResult>(text).expect("a result"), former(expected), "{text}");
    };
    check(r#"{"kind":"former","generation":{"boot":"a"}}"#, &["a"]);
    check(r#"{"kind":"former","routes":[{"boot":"a"},{"boot":"b"}]}"#, &["a", "b"]);
    let written = serde_json::to_string(&former(&["a"])).expect("a text");
    assert_eq!(written, r#"{"kind":"former","routes":[{"boot":"a"}]}"#);
}

/// What may follow where steps begin beside one another: some of them have begun, or all, and one of them ends in one way or
/// another.
fn begun(steps: &[usize], start: impl Fn(usize) -> Event, ends: [&dyn Fn(usize) -> Event; 2]) -> Vec<Vec<Event>> {
    let started: Vec<Event> = steps.iter().map(|step| start(*step)).collect();
    let some = (1..=started.len()).map(|count| started[..count].to_vec());
    let one = steps.iter().flat_map(|step| ends.map(|end| [&started[..], &[end(*step)]].concat()));
    some.chain(one).collect()
}

/// Every event that may follow: what the next step or undo comes to, a signal, and a process that takes the run up.
fn successors(plan: &Plan, events: &[Event]) -> Vec<Vec<Event>> {
    let failure = || Failure::new(FAILED);
    let mut next: Vec<Vec<Event>> = match decide(plan, events).expect("the events are legal") {
        Next::Do(steps) => {
            let done = |step| Event::Done { step, learnt: StepResult::Nothing };
            begun(&steps, |step| Event::Started { step }, [&done, &|step| Event::Failed { step, failure: failure() }])
        }
        Next::Undo(steps) => {
            let undone = |step| Event::Undone { step, learnt: StepResult::Nothing };
            let failed = |step| Event::UndoFailed { step, failure: failure() };
            begun(&steps, |step| Event::UndoStarted { step }, [&undone, &failed])
        }
        Next::Done(outcome) => vec![vec![Event::Closed { outcome }]],
        Next::Stuck(_) => Vec::new(),
    };
    next.extend(["signal", "forward", "back"].map(|word| vec![event(word)]));
    next
}

/// Fails unless what must hold in every state holds in this one.
fn check_state(plan: &Plan, events: &[Event]) {
    let state = RunState::of(plan, events).expect("the events are legal");
    let at = |wanted: fn(&Step) -> bool| (0..plan.steps.len()).filter(move |step| wanted(&plan.steps[*step]));
    let next = decide(plan, events).expect("the events are legal");
    assert!(!(state.committed() && state.unwinding()), "unwound after the commit: {events:?}");
    let retired = at(|step| matches!(step, Step::Retire { .. })).any(|step| state.holds(step));
    assert!(!retired || state.committed(), "retired before the commit: {events:?}");
    if let Next::Undo(steps) = &next {
        let undone = steps.iter().all(|step| plan.undo(&plan.steps[*step]).is_some());
        assert!(state.unwinding() && undone, "undone without need: {events:?}");
        let last = steps[0];
        assert!(steps.iter().all(|step| plan.steps[*step].verb() == plan.steps[last].verb()), "{events:?}");
        let mut later = (last + 1..plan.steps.len()).filter(|later| plan.undo(&plan.steps[*later]).is_some());
        assert!(later.all(|later| !state.holds(later)), "undone in a wrong order: {events:?}");
    }
    if let Next::Stuck(step) = next {
        let destroys = matches!(plan.steps[step], Step::Retire { .. });
        assert!(state.unwinding() || destroys, "stuck where it could go back: {events:?}");
    }
    match next {
        Next::Done(Outcome::Swapped) => assert!(state.committed(), "swapped without a commit: {events:?}"),
        Next::Done(Outcome::RolledBack) => {
            let undone = (0..plan.steps.len()).all(|step| plan.undo(&plan.steps[step]).is_none() || !state.holds(step));
            assert!(undone, "rolled back and something holds: {events:?}");
        }
        _ => {}
    }
    // Once nothing goes wrong any more, whoever takes the run up brings it to its end, unless it is closed.
    for goal in ["forward", "back"] {
        let taken_up = [events, &[event(goal)]].concat();
        let rest = rest(plan, taken_up);
        let expected = if state.committed() { "Swapped" } else { "RolledBack" };
        let ends = rest.ends_with(expected) || (goal == "forward" && rest.ends_with("Swapped"));
        assert!(ends, "{goal} from {events:?}: {rest}");
    }
}

/// Goes through all states that a run of the plan can reach and returns how many they are.
fn explore(plan: &Plan) -> usize {
    let mut seen = HashSet::new();
    let mut queue = VecDeque::from([Vec::new()]);
    while let Some(events) = queue.pop_front() {
        let state = RunState::of(plan, &events).expect("the events are legal");
        if !seen.insert((format!("{:?}", state.status), state.back, format!("{:?}", state.closed))) {
            continue;
        }
        check_state(plan, &events);
        queue.extend(successors(plan, &events).into_iter().map(|next| [events.clone(), next].concat()));
    }
    seen.len()
}

#[test]
fn every_reachable_state_is_sound_and_comes_to_rest() {
    let both =
        || vec![observed("app", true, false, Order::StartFirst), observed("jobs", false, true, Order::StopFirst)];
    let plans = [
        ("app", app()),
        ("app with hooks", app_with_hooks()),
        ("worker", planned(vec![observed("jobs", false, false, Order::StartFirst)])),
        ("app stop-first", planned(vec![observed("app", true, true, Order::StopFirst)])),
        ("app and worker", planned(both())),
    ];
    let mut all = 0;
    for (name, plan) in &plans {
        let states = explore(plan);
        println!("{name}: {} steps, {states} states", plan.steps.len());
        all += states;
    }
    println!("{all} states, all of them: no bound was needed");
}

/// Returns a service with something of everything that a plan can say of one.
fn planned_service() -> PlannedService {
    let second = Duration::from_secs(1);
    let command = LifecycleCommand {
        words: vec!["./warm".to_owned()],
        user: Some("www".to_owned()),
        privileged: true,
        folder: Some("/srv".to_owned()),
        environment: vec!["TOKEN".to_owned()],
        image: Some("tools:1".to_owned()),
    };
    let file = InjectedFile {
        kind: FileKind::Secret,
        name: "db".to_owned(),
        variable: Some("DB".to_owned()),
        target: "/run/secrets/db".to_owned(),
        uid: None,
        gid: Some(33),
        mode: 0o440,
    };
    let replaced =
        Replaced { run: RunId("20260131-154502-9f3a".to_owned()), by: "2".to_owned(), image: "sha256:1".to_owned() };
    PlannedService {
        name: name("app"),
        live: vec![container("old")],
        down: true,
        live_image: "demo-app".to_owned(),
        left_behind: vec![container("left")],
        stopped: vec![container("stopped")],
        known: ["old", "left", "stopped"].map(str::to_owned).to_vec(),
        image: Image { name: "demo-app".to_owned(), id: "sha256:2".to_owned() },
        retag: Some(Retag { before: Some("sha256:3".to_owned()) }),
        count: 1,
        order: Order::StopFirst,
        networks: vec!["demo_default".to_owned()],
        called_in: vec![CalledIn { place: place(), callers: vec!["demo-db-1".to_owned()] }],
        lifecycle: Lifecycle {
            files: vec![file],
            pre_start: vec![command.clone()],
            post_start: vec![command.clone()],
            pre_stop: vec![command],
        },
        checks: checks(),
        port: Some(80),
        successes: 3,
        stays: second,
        health_timeout: second,
        hooks: Phase::ALL.map(|phase| (phase, vec!["judge".to_owned()])).into(),
        digests: [("judge".to_owned(), "sha256:4".to_owned())].into(),
        hook_timeout: second,
        fronts: vec![Front {
            place: Some("/srv/swap".to_owned()),
            upstream: Some(name("shop")),
            written_by_others: true,
            dns_name: Some(name("app-main")),
            current: true,
            obeyed: true,
            asks_dns: true,
            reload: second,
            probe: Some("http://door/".to_owned()),
            probe_rate: Some(20),
            probe_way: Some(ProbeWay {
                at: "127.0.0.1:8080".parse().ok(),
                any_certificate: true,
                reaches: Reaches::Live { proof: "seen".to_owned() },
            }),
            ..front()
        }],
        judged: true,
        watch: second,
        drain_timeout: second,
        grace: Some(second),
        unwind_grace: Some(second),
        volumes: vec!["8c1f".to_owned()],
        old_volumes: OldVolumes::Remove,
        keep: Some(Keep { repository: "swap-keep/demo/app".to_owned(), replaced, count: 3 }),
    }
}

/// Returns one of each check but that of nginx.
fn checks() -> Vec<Check> {
    vec![
        Check::Docker(vec!["true".to_owned()]),
        Check::Command(vec!["php".to_owned(), "check.php".to_owned()]),
        Check::Shell("./check".to_owned()),
        Check::Http("/up".to_owned()),
        Check::Tcp,
        Check::Running(Duration::from_secs(1)),
    ]
}

fn place() -> NetworkPlace {
    NetworkPlace {
        network: "demo_default".to_owned(),
        aliases: vec!["demo-app-2".to_owned(), "app".to_owned()],
        links: vec!["demo-db-1:db".to_owned()],
        ipv4: Some("172.18.0.9".to_owned()),
        ipv6: Some("fd00::9".to_owned()),
        link_local: vec!["169.254.8.8".to_owned()],
        mac: Some("02:42:ac:12:00:09".to_owned()),
        driver_options: [("com.example".to_owned(), "1".to_owned())].into(),
        gateway_priority: Some(7),
    }
}

/// Returns one of each step, those that undo others too.
fn one_of_each_step() -> Vec<Step> {
    let service = || name("app");
    vec![
        Step::PreStart { service: service() },
        Step::Create { service: service() },
        Step::StopOld { service: service() },
        Step::Start { service: service() },
        Step::AwaitHealthy { service: service() },
        Step::PreSwap { service: service() },
        Step::Switch { service: service() },
        Step::PostSwap { service: service() },
        Step::Watch { service: service() },
        Step::Drain { service: service() },
        Step::Commit,
        Step::Retire { service: service() },
        Step::Finish { service: service() },
        Step::Tag { service: service() },
        Step::Adopt { service: service() },
        Step::PreStop { service: service(), committed: false },
        Step::Init { service: service() },
        Step::Inject { service: service() },
        Step::PostStart { service: service() },
        Step::Announce { service: service() },
        Step::PreStop { service: service(), committed: true },
        Step::Rest { service: service() },
        Step::TagBack { service: service() },
        Step::Rollback { service: service() },
        Step::Release { service: service() },
        Step::RemoveCandidates { service: service() },
        Step::EndInit { service: service() },
        Step::PreStopCandidates { service: service() },
        Step::PostStartOld { service: service() },
        Step::StartOld { service: service() },
        Step::StopCandidates { service: service() },
        Step::SwitchBack { service: service() },
    ]
}

/// Returns one of each event, with one of each step.
fn one_of_each() -> Vec<Event> {
    let plan = Plan {
        v: VERSION,
        run: RunId("20260131-154502-9f3a".to_owned()),
        project: "demo".to_owned(),
        services: vec![planned_service()],
        steps: one_of_each_step(),
        notices: vec![Notice::new("left alone")],
    };
    [vec![Event::Planned { plan }], one_of_each_but_the_plan()].concat()
}

fn one_of_each_but_the_plan() -> Vec<Event> {
    let process = |pid: u32| json!({ "pid": pid, "start": 123_456 });
    let generation = FormerRoute(json!({ "boot": "5f2d", "master": process(1), "workers": [process(7)] }));
    let failure =
        || Failure::new("candidate is not healthy").hint("see its log").tail(["connection refused".to_owned()]);
    vec![
        Event::Started { step: 0 },
        Event::Done { step: 0, learnt: StepResult::Nothing },
        Event::Done { step: 1, learnt: StepResult::candidates(vec![container("new")]) },
        Event::Done { step: 6, learnt: StepResult::Former { routes: vec![generation] } },
        Event::Failed { step: 7, failure: failure() },
        Event::UndoStarted { step: 6 },
        Event::UndoFailed { step: 6, failure: failure() },
        Event::Undone { step: 6, learnt: StepResult::Nothing },
        Event::Interrupted { signal: "SIGINT".to_owned() },
        Event::Resumed { goal: Goal::Forward },
        Event::Resumed { goal: Goal::Back },
        Event::Closed { outcome: Outcome::Swapped },
        Event::Closed { outcome: Outcome::RolledBack },
    ]
}

fn entries(v: u32) -> Vec<Entry> {
    one_of_each().into_iter().zip(1_769_874_302_000..).map(|(event, at_ms)| Entry { v, at_ms, event }).collect()
}

#[test]
fn every_event_and_step_comes_back_from_a_journal() {
    for entry in entries(VERSION) {
        let line = serde_json::to_string(&entry).expect("it can be written");
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(serde_json::from_str::<Entry>(&line).expect(&line), entry);
    }
}

/// What was added since is read back too, and left out where it says nothing.
#[test]
fn what_later_versions_added_comes_back_from_a_journal() {
    let learnt = StepResult::Candidates {
        containers: vec![container("new")],
        places: [("new".to_owned(), vec![place()])].into(),
    };
    let text = serde_json::to_string(&learnt).expect("it can be written");
    assert_eq!(serde_json::from_str::<StepResult>(&text).expect(&text), learnt);
    assert!(!serde_json::to_string(&StepResult::candidates(Vec::new())).expect("it can be written").contains("places"));
}

#[test]
fn a_plan_of_a_later_version_is_refused() {
    let plan = serde_json::to_string(&app()).expect("it can be written");
    let later = plan.replacen("{\"v\":2", "{\"v\":3", 1);
    let refused = serde_json::from_str::<Plan>(&later).expect_err("it is refused");
    assert_eq!(refused.to_string(), "written by a later swap (version 3)");
}

fn read(journal: &str) -> Vec<Entry> {
    journal.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// A journal of this version, which every later one must read. Never change the file: add another for another version.
const V2: &str = include_str!("../../tests/journals/v2.jsonl");

#[test]
fn journals_of_version_2_are_read_for_ever() {
    assert_eq!(read(V2), entries(2));
}

/// A journal of version 1. Its steps were made up, one of each kind, and say things that no plan says.
const V1: &str = include_str!("../../tests/journals/v1.jsonl");

#[test]
fn journals_of_version_1_are_read_for_ever() {
    let second = Duration::from_secs(1);
    let judge = || vec!["judge".to_owned()];
    let app = PlannedService {
        down: false,
        live_image: String::new(),
        left_behind: Vec::new(),
        stopped: Vec::new(),
        known: judge(),
        retag: None,
        networks: judge(),
        called_in: Vec::new(),
        lifecycle: Lifecycle::default(),
        successes: 1,
        stays: Duration::ZERO,
        digests: BTreeMap::new(),
        hook_timeout: Duration::from_secs(300),
        fronts: vec![front()],
        judged: false,
        grace: Some(second),
        volumes: Vec::new(),
        old_volumes: OldVolumes::Keep,
        keep: None,
        ..planned_service()
    };
    let verbs = "pre-start create stop-old start healthy pre-swap switch post-swap watch drain commit retire finish \
                 rollback remove start-old stop switch-back";
    let of_verb = |verb: &str| one_of_each_step().into_iter().find(|step| step.verb() == verb).expect(verb);
    let plan = Plan {
        v: VERSION,
        run: RunId("20260131-154502-9f3a".to_owned()),
        project: "demo".to_owned(),
        services: vec![app],
        steps: verbs.split_whitespace().map(of_verb).collect(),
        notices: vec![Notice::new("left alone")],
    };
    let events = [vec![Event::Planned { plan }], one_of_each_but_the_plan()].concat();
    let entries = events.into_iter().zip(1_769_874_302_000..).map(|(event, at_ms)| Entry { v: 1, at_ms, event });
    assert_eq!(read(V1), entries.collect::<Vec<Entry>>());
}
