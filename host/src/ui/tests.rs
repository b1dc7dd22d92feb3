use super::*;
use crate::model::RunId;
use crate::run::StepResult;
use crate::run::trace::{By, Samples};
use crate::run::{Goal, Outcome};

/// What was written, for those who compare it.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Every kind of event, as a journal has them.
const RECORDED: &str = include_str!("../../tests/journals/v2.jsonl");

fn recorded() -> (Plan, Vec<Entry>) {
    let entries: Vec<Entry> = RECORDED.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let Event::Planned { plan } = entries[0].event.clone() else { panic!("no plan") };
    (plan, entries)
}

fn failure() -> Failure {
    Failure::new("candidate `demo-app-2` exited 1").hint("look at its log").tail(["::error::not ours".to_owned()])
}

fn probed() -> Probed {
    let mut samples = Samples::default();
    samples.add(0, 3900, By::Unknown, None);
    samples.switched(10);
    samples.add(20, 4100, By::Unknown, None);
    samples.probed("app".parse().unwrap(), "http://door/".to_owned(), 50, 0)
}

/// Shows two steps, one with a hook that speaks and one that fails, and how the run ends. Returns stderr and stdout.
fn run(face: Face, volume: Volume) -> (String, String) {
    let (err, out) = (Written::default(), Written::default());
    let display = Display::with(Format::Text, volume, face, Box::new(err.clone()), Box::new(out.clone()));
    let (mut plan, _) = recorded();
    plan.steps.truncate(2);
    plan.notices.clear();
    let mut events = Vec::new();
    let mut show = |at_ms: i64, event: Event| {
        events.push(event.clone());
        display.show(&plan, &events, &Entry { v: VERSION, at_ms, event });
    };
    show(0, Event::Planned { plan: plan.clone() });
    show(5, Event::Started { step: 0 });
    display.hook_line("judge", Phase::PreStart, "applied 0007", true);
    display.hook_line("judge", Phase::PreStart, "::set-env name=x::y\u{1b}[2J", true);
    display.hook_line("judge", Phase::PreStart, "exec in the candidate", false);
    show(105, Event::Done { step: 0, learnt: StepResult::Nothing });
    show(106, Event::Started { step: 1 });
    display.note("why it waits");
    display.meanwhile(|| "only for a terminal".to_owned());
    display.remark("something to know");
    show(1106, Event::Failed { step: 1, failure: failure() });
    show(1107, Event::UndoStarted { step: 1 });
    show(1207, Event::Undone { step: 1, learnt: StepResult::Nothing });
    display.probed(probed());
    display.failure(&failure());
    display.last("rolled back; app: demo-app-1 serves, nothing of this run is left");
    (err.text(), out.text())
}

const LAST: &str = "rolled back; app: demo-app-1 serves, nothing of this run is left\n";

#[test]
fn without_a_terminal_a_run_is_plain_lines() {
    let (err, out) = run(Face::Plain, Volume::Normal);
    let expected = "\
swap app (project demo, run 20260131-154502-9f3a)
    judge (pre-start): applied 0007
    judge (pre-start): ::set-env name=x::y\\u{1b}[2J
  pre-start   app: judge agreed  0.10 s
  note: something to know
  create      failed: candidate `demo-app-2` exited 1  1.0 s
  remove      app: what was created is removed  0.10 s
front door: 2 requests, 0 failed, p99 4.1 ms (before 3.9)
error: candidate `demo-app-2` exited 1
  | ::error::not ours
hint: look at its log
";
    assert_eq!((err.as_str(), out.as_str()), (expected, LAST));
}

#[test]
fn quiet_is_only_failures_and_the_last_line() {
    let (err, out) = run(Face::Plain, Volume::Quiet);
    let expected = "error: candidate `demo-app-2` exited 1\n  | ::error::not ours\nhint: look at its log\n";
    assert_eq!((err.as_str(), out.as_str()), (expected, LAST));
}

#[test]
fn verbose_tells_why_a_step_waits_and_what_hooks_do() {
    let (err, _) = run(Face::Plain, Volume::Verbose);
    let expected = "\
swap app (project demo, run 20260131-154502-9f3a)
    judge (pre-start): applied 0007
    judge (pre-start): ::set-env name=x::y\\u{1b}[2J
    judge (pre-start): exec in the candidate
  pre-start   app: judge agreed  0.10 s
    why it waits
  note: something to know
  create      failed: candidate `demo-app-2` exited 1  1.0 s
  remove      app: what was created is removed  0.10 s
front door: 2 requests, 0 failed, p99 4.1 ms (before 3.9)
error: candidate `demo-app-2` exited 1
  | ::error::not ours
hint: look at its log
";
    assert_eq!(err, expected);
}

#[test]
fn a_terminal_shows_what_goes_on_meanwhile() {
    let term = indicatif::InMemoryTerm::new(20, 80);
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 255);
    let face = Face::Terminal(Terminal::new(target, false, false));
    let nowhere = || Box::new(Written::default());
    let display = Display::with(Format::Text, Volume::Normal, face, nowhere(), nowhere());
    let (mut plan, _) = recorded();
    plan.steps.truncate(2);
    plan.notices.clear();
    let mut events = Vec::new();
    for event in [Event::Planned { plan: plan.clone() }, Event::Started { step: 0 }] {
        events.push(event.clone());
        display.show(&plan, &events, &Entry { v: VERSION, at_ms: 0, event });
    }
    // The library draws no faster than a screen can show.
    std::thread::sleep(std::time::Duration::from_millis(30));
    display.meanwhile(|| front_door(&probed()));
    let contents = term.contents();
    let lines: Vec<&str> = contents.lines().filter(|line| !line.contains("pre-start")).collect();
    let expected = [
        "swap app (project demo, run 20260131-154502-9f3a)",
        "      front door: 2 requests, 0 failed, p99 4.1 ms (before 3.9)",
        "  · create      app: 1 candidate from demo-app (2) beside demo-old (compose crea",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn in_github_actions_hooks_are_folded_and_failures_are_annotations() {
    let face = Face::Actions { open: None, token: "word".to_owned() };
    let (err, out) = run(face, Volume::Normal);
    let expected = "\
swap app (project demo, run 20260131-154502-9f3a)
::group::judge (pre-start)
::stop-commands::word
    applied 0007
    ::set-env name=x::y\\u{1b}[2J
::word::
::endgroup::
  pre-start   app: judge agreed  0.10 s
  note: something to know
  create      failed: candidate `demo-app-2` exited 1  1.0 s
  remove      app: what was created is removed  0.10 s
front door: 2 requests, 0 failed, p99 4.1 ms (before 3.9)
error: candidate `demo-app-2` exited 1
  | ::error::not ours
hint: look at its log
::error title=swap app%3A create failed::candidate `demo-app-2` exited 1%0A| ::error::not ours%0Ahint: look at its log
";
    assert_eq!((err.as_str(), out.as_str()), (expected, LAST));
}

/// Returns every kind of line that `--output json` can have.
fn all_json() -> Vec<serde_json::Value> {
    let out = Written::default();
    let display = Display::with(Format::Json, Volume::Normal, Face::Plain, Box::new(io::sink()), Box::new(out.clone()));
    let (plan, entries) = recorded();
    let mut events = Vec::new();
    for entry in &entries {
        events.push(entry.event.clone());
        display.show(&plan, &events, entry);
    }
    display.note("why it waits");
    display.hook_line("judge", Phase::Health, "not yet", false);
    display.remark("something to know");
    display.probed(probed());
    display.failure(&failure());
    display.last("nobody sees this");
    out.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn schema() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../docs/events.schema.json")).expect("the schema is JSON")
}

#[test]
fn every_json_line_is_as_the_schema_says() {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("http://swap/events.schema.json", schema()).expect("a schema");
    let compiled = compiler.compile("http://swap/events.schema.json", &mut schemas).expect("a schema that can be used");
    let lines = all_json();
    for line in &lines {
        if let Err(error) = schemas.validate(line, compiled) {
            panic!("{line}\n{error:#}");
        }
    }
    let wrong = serde_json::json!({ "v": VERSION, "event": "done", "at_ms": 1, "run": "r" });
    assert!(schemas.validate(&wrong, compiled).is_err(), "the schema lets a step without its index pass");
}

/// The schema lets keys pass that it does not know, so that what is added breaks nobody; that it knows all is seen here.
#[test]
fn the_schema_knows_every_event_and_every_key() {
    let schema = schema();
    let branches = schema["oneOf"].as_array().expect("the kinds");
    let of = |line: &serde_json::Value| {
        let kind = |branch: &&serde_json::Value| {
            let (event, note) = (&branch["properties"]["event"]["const"], &branch["properties"]["kind"]["const"]);
            *event == line["event"] && (note.is_null() || *note == line["kind"])
        };
        branches.iter().find(kind).unwrap_or_else(|| panic!("no kind for {line}"))
    };
    let lines = all_json();
    for line in &lines {
        let known = of(line)["properties"].as_object().expect("properties");
        let unknown: Vec<&String> = line.as_object().unwrap().keys().filter(|key| !known.contains_key(*key)).collect();
        assert!(unknown.is_empty(), "{unknown:?} of {line}");
    }
    let never: Vec<&serde_json::Value> =
        branches.iter().filter(|branch| !lines.iter().any(|line| std::ptr::eq(of(line), *branch))).collect();
    assert!(never.is_empty(), "nothing is like {never:?}");
    let page = include_str!("../../../docs/events.md");
    for branch in branches {
        let event = branch["properties"]["event"]["const"].as_str().unwrap_or_default();
        assert!(page.contains(&format!("| `{event}` ")), "docs/events.md does not tell `{event}`");
    }
}

#[test]
fn what_is_kept_for_the_report_does_not_depend_on_what_is_shown() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    for format in [Format::Text, Format::Json] {
        let display = Display::with(format, Volume::Quiet, Face::Plain, Box::new(io::sink()), Box::new(io::sink()));
        let keeper = kept.clone();
        let display = display.keeping(move |what| keeper.lock().unwrap().push(what));
        display.note("waits");
        display.hook_line("judge", Phase::Health, "says\u{7}", false);
        display.remark("note");
        display.probed(probed());
        let expected = vec![
            Trace::Waiting { text: "waits".to_owned() },
            Trace::Hook { hook: "judge".to_owned(), phase: Phase::Health, text: "says\\u{7}".to_owned() },
            Trace::Remark { text: "note".to_owned() },
            Trace::Probe(probed()),
        ];
        assert_eq!(std::mem::take(&mut *kept.lock().unwrap()), expected);
    }
}

#[test]
fn a_run_that_goes_on_in_another_process_is_shown_too() {
    let (err, out) = (Written::default(), Written::default());
    let display =
        Display::with(Format::Text, Volume::Normal, Face::Plain, Box::new(err.clone()), Box::new(out.clone()));
    let (mut plan, _) = recorded();
    plan.run = RunId("r".to_owned());
    for event in [
        Event::Resumed { goal: Goal::Back },
        Event::Interrupted { signal: "SIGINT".to_owned() },
        Event::Closed { outcome: Outcome::RolledBack },
    ] {
        display.show(&plan, std::slice::from_ref(&event), &Entry { v: VERSION, at_ms: 0, event: event.clone() });
    }
    assert_eq!(err.text(), "SIGINT: unwinding, nothing is left behind (once more leaves the run as it is)\n");
    assert_eq!(out.text(), "");
}

#[test]
fn an_interrupt_after_the_commit_says_that_the_run_goes_on() {
    let err = Written::default();
    let display =
        Display::with(Format::Text, Volume::Normal, Face::Plain, Box::new(err.clone()), Box::new(Written::default()));
    let (plan, _) = recorded();
    let step = plan.steps.iter().position(|step| *step == Step::Commit).unwrap();
    let interrupted = Event::Interrupted { signal: "SIGINT".to_owned() };
    let events = [Event::Done { step, learnt: StepResult::Nothing }, interrupted.clone()];
    display.show(&plan, &events, &Entry { v: VERSION, at_ms: 0, event: interrupted });
    let expected = "SIGINT: too late to unwind, the run goes on to its end (once more leaves the run as it is)\n";
    assert_eq!(err.text(), expected);
}
