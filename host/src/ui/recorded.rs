//! Journals that former versions have recorded: what each is told as, and what a run that takes it up does.
//!
//! The journals and the texts beside them were written by the version that recorded them. Never change one: a later version
//! reads them into the same decisions. Another version adds others. The steps of `v1.jsonl` were made up and contradict one
//! another in two texts, which no plan does; those two are told as version 2 tells them.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{Display, Face, Format, RunRecord, Volume, story};
use crate::model::Container;
use crate::plan::Plan;
use crate::run::{Entry, Event, Goal, Next, StepResult, Traces, decide, presume};

/// What was written, for those who compare it.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns what a display shows of the entries.
fn shown(plan: &Plan, entries: &[Entry]) -> String {
    let (err, out) = (Written::default(), Box::new(io::sink()));
    let display = Display::with(Format::Text, Volume::Normal, Face::Plain, Box::new(err.clone()), out);
    let mut events = Vec::new();
    for entry in entries {
        events.push(entry.event.clone());
        display.show(plan, &events, entry);
    }
    let bytes = err.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// Returns each step with its undo and what is done with it.
fn steps(plan: &Plan) -> String {
    let line = |step: &crate::plan::Step| {
        let asks = plan.hooks(step);
        let asks = if asks.is_empty() { String::new() } else { format!("; asks {}", asks.join(", ")) };
        let kind = match (step.interruptible(), step.may_fail()) {
            (true, _) => "; ends at a signal",
            (_, true) => "; may fail",
            _ => "",
        };
        let undo = plan.undo(step).map_or_else(|| "-".to_owned(), |undo| plan.text(&undo));
        format!("{}{asks}{kind}: {undo}\n", step.verb())
    };
    plan.steps.iter().map(line).collect()
}

/// Goes on from the events while everything succeeds, and returns the verbs of what is done.
fn rest(plan: &Plan, mut events: Vec<Event>) -> String {
    let mut verbs: Vec<&str> = Vec::new();
    let end = loop {
        match decide(plan, &events) {
            Ok(Next::Do(steps)) => {
                events.extend(steps.iter().map(|step| Event::Started { step: *step }));
                for step in steps {
                    verbs.push(plan.steps[step].verb());
                    events.push(Event::Done { step, learnt: StepResult::Nothing });
                }
            }
            Ok(Next::Undo(steps)) => {
                events.extend(steps.iter().map(|step| Event::UndoStarted { step: *step }));
                for step in steps {
                    verbs.push(plan.undo(&plan.steps[step]).expect("it has an undo").verb());
                    events.push(Event::Undone { step, learnt: StepResult::Nothing });
                }
            }
            other => break format!("{other:?}"),
        }
    };
    format!("{} {end}", verbs.join(" ")).trim().to_owned()
}

/// Returns what comes next. Of steps that go beside one another the first one is told, which was alone then.
fn next(plan: &Plan, events: &[Event]) -> String {
    match decide(plan, events) {
        Ok(Next::Do(steps)) => format!("Ok(Do({}))", steps[0]),
        Ok(Next::Undo(steps)) => format!("Ok(Undo({}))", steps[0]),
        other => format!("{other:?}"),
    }
}

/// Returns what comes next after each event, and what a run does that takes it up there.
fn decisions(plan: &Plan, events: &[Event]) -> String {
    let mut text = String::new();
    for count in 1..=events.len() {
        let before = &events[..count];
        let _ = writeln!(text, "{count} {}: {}", events[count - 1].name(), next(plan, before));
        for goal in [Goal::Forward, Goal::Back] {
            let taken_up = [before, &[Event::Resumed { goal }]].concat();
            let _ = writeln!(text, "    {goal:?}: {}", rest(plan, taken_up));
        }
    }
    text
}

/// Returns what is presumed of the run when its journal is lost, by what may be left of it.
fn presumed(plan: &Plan) -> String {
    let made = |old: &Container| Container { id: format!("new-{}", old.id), ..old.clone() };
    let left = |candidates: bool, run: bool, named: bool, old_run: bool| {
        let of = |planned: &crate::plan::PlannedService| {
            let all = planned.live.len();
            let count = |yes: bool| if yes { all } else { 0 };
            Traces {
                candidates: planned.live.iter().map(made).take(count(candidates)).collect(),
                candidates_started: count(run),
                candidates_run: count(run),
                old_there: all,
                old_run: count(old_run),
                file: true,
                names_candidates: named,
                names_others: named,
            }
        };
        plan.services.iter().map(|planned| (planned.name.clone(), of(planned))).collect()
    };
    let cases = [
        ("nothing", left(false, false, false, true)),
        ("created", left(true, false, false, true)),
        ("runs", left(true, true, false, true)),
        ("switched", left(true, true, true, true)),
        ("retired", left(true, true, true, false)),
        ("stopped", left(false, false, false, false)),
    ];
    let mut text = String::new();
    for (name, traces) in cases {
        let mut events = presume(plan, &traces);
        let _ = write!(text, "{name}: {} events to the {} one; ", events.len(), events[events.len() - 1].name());
        events.push(Event::Resumed { goal: Goal::Back });
        let _ = writeln!(text, "{}", rest(plan, events));
    }
    text
}

/// Returns all that follows from a journal.
fn read(journal: &str) -> String {
    let entries: Vec<Entry> = journal.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let events: Vec<Event> = entries.iter().map(|entry| entry.event.clone()).collect();
    let Event::Planned { plan } = &events[0] else { panic!("no plan") };
    let told = RunRecord { plan, entries: &entries, trace: &[], clock: &|at_ms| at_ms.to_string() };
    [
        ("plan", plan.to_string()),
        ("steps and their undo", steps(plan)),
        ("shown", shown(plan, &entries)),
        ("story", story(&told)),
        ("decisions", decisions(plan, &events)),
        ("presumed", presumed(plan)),
    ]
    .map(|(title, text)| format!("== {title}\n{text}"))
    .concat()
}

#[test]
fn what_was_recorded_is_told_and_decided_as_it_was_then() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/journals");
    let mut journals: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    journals.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    journals.sort();
    assert!(journals.len() >= 5, "{journals:?}");
    for path in journals {
        let (expected, now) = (path.with_extension("txt"), read(&fs::read_to_string(&path).unwrap()));
        if std::env::var_os("SWAP_REWRITE").is_some() {
            fs::write(&expected, &now).expect("writing what is told");
        }
        let then = fs::read_to_string(&expected).unwrap_or_default();
        let differs = now.lines().zip(then.lines()).find(|(now, then)| now != then);
        assert!(now == then, "`{}` is told otherwise now; the first line that differs: {differs:#?}", path.display());
    }
}
