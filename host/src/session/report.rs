//! What is to be told of a run when it has ended. Pure.

use super::context::{join, services_of};
use super::outcome::RunResult;
use crate::executor::End;
use crate::model::Failure;
use crate::plan::{Plan, PlannedService, Step, names};
use crate::run::{Entry, Event, Outcome, RunFacts, RunState};
use crate::ui;

/// What is to be told of a run when it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What went wrong.
    pub failure: Option<Failure>,
    /// How things are now, and what to type.
    pub lines: Vec<String>,
}

impl RunResult {
    /// Returns what is to be told of this run.
    pub fn report(&self) -> Report {
        let RunResult { plan, end, entries, running, began_ms } = self;
        let services = join(&services_of(plan));
        match end {
            End::Over(Outcome::Swapped) => Report { failure: None, lines: vec![ui::summary(plan, entries, *began_ms)] },
            End::Over(Outcome::RolledBack) => Report {
                failure: ui::first_failure(entries).cloned(),
                lines: vec![ui::rolled_back(plan, entries, running)],
            },
            End::Stuck(step) => {
                let why = entries.iter().rev().find_map(|entry| match &entry.event {
                    Event::Failed { failure, .. } | Event::UndoFailed { failure, .. } => Some(failure.clone()),
                    _ => None,
                });
                let stuck =
                    format!("stuck at {}: mend what the error names, then `swap resume {services}`", step.verb());
                Report {
                    failure: Some(why.unwrap_or_else(|| Failure::new(format!("`{}` can't be done", step.verb())))),
                    lines: vec![serves(plan, entries), stuck],
                }
            }
            End::Lost(failure) => Report {
                failure: Some(failure.clone()),
                lines: vec!["left as it is: another run has taken over".to_owned()],
            },
            End::Left => {
                let left =
                    format!("left as it is; `swap resume {services}` finishes, `swap rollback {services}` unwinds");
                Report { failure: None, lines: vec![serves(plan, entries), left] }
            }
        }
    }
}

/// Returns which containers nginx sends new requests to, as far as the run knows.
fn serves(plan: &Plan, entries: &[Entry]) -> String {
    let events: Vec<Event> = entries.iter().map(|entry| entry.event.clone()).collect();
    let facts = RunFacts::of(plan, &events);
    let Ok(state) = RunState::of(plan, &events) else { return String::new() };
    let text = |service: &PlannedService| {
        let switched = plan.steps.iter().enumerate().any(|(index, step)| {
            matches!(step, Step::Switch { service: of } if *of == service.name) && state.holds(index)
        });
        let serving = if switched || state.committed() { facts.candidates(&service.name) } else { &service.live };
        format!("{}: {} serves", service.name, names(serving))
    };
    plan.services.iter().map(text).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Every kind of event of the first version, as a journal has them.
    const V1: &str = include_str!("../../tests/journals/v1.jsonl");

    #[test]
    fn every_end_says_how_things_are_and_what_to_type() {
        let entries: Vec<Entry> = V1.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let Event::Planned { plan } = entries[0].event.clone() else { panic!("no plan") };
        let plan = Arc::new(plan);
        let check = |end: End, count: usize, expected: &str| {
            let (plan, entries) = (plan.clone(), entries[..count].to_vec());
            let Report { failure, lines } = RunResult { plan, end, entries, running: Vec::new(), began_ms: 0 }.report();
            let failure = failure.map(|failure| format!("{failure}\n")).unwrap_or_default();
            assert_eq!(format!("{failure}{}", lines.join("\n")), expected);
        };
        check(
            End::Stuck(Step::Commit),
            1,
            "`commit` can't be done\n\
             app: demo-old serves\n\
             stuck at commit: mend what the error names, then `swap resume app`",
        );
        check(
            End::Lost(Failure::new("another run holds `app`")),
            1,
            "another run holds `app`\nleft as it is: another run has taken over",
        );
        check(
            End::Left,
            1,
            "app: demo-old serves\nleft as it is; `swap resume app` finishes, `swap rollback app` unwinds",
        );
    }
}
