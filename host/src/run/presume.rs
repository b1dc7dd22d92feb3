//! What a run must have done whose journal nobody has: from its plan, and from what the world is like now.

use std::collections::BTreeMap;

use super::{Event, Goal, StepResult};
use crate::model::{Container, ServiceName};
use crate::plan::{Plan, PlannedService, Step};

/// What is left of a run in one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces {
    /// The containers that it must have created, with their addresses where they run.
    pub candidates: Vec<Container>,
    /// How many of those were ever started.
    pub candidates_started: usize,
    /// How many of those run.
    pub candidates_run: usize,
    /// How many of the containers that were live when it began are there, running or not.
    pub old_there: usize,
    /// How many of those run.
    pub old_run: usize,
    /// Whether it has an upstream file, at any of the nginxes that had none of swap's.
    pub file: bool,
    /// Whether each nginx's file names the candidates and nobody else.
    pub names_candidates: bool,
    /// Whether one of those files is there and names others than the old containers.
    pub names_others: bool,
}

/// Returns the events that such a run must have recorded, the plan itself first; where it must go forward, its last event says
/// so.
///
/// What may have been done counts as done, because every undo may run where there is nothing to undo. It goes forward only
/// where it has begun to retire, which comes after the commit; before that the way back is open. Once one of the old
/// containers is gone there is none: those that are left could not serve alone. Retiring drains once more what may still be
/// used, because it was perhaps somebody else who removed the others, and nobody knows the workers from before.
pub fn presume(plan: &Plan, traces: &BTreeMap<ServiceName, Traces>) -> Vec<Event> {
    let nothing = Traces::default();
    // The file comes before the candidates and goes after them. Where there is none, others have made what looks like one.
    let adopts = |service: &ServiceName| {
        let adopts = |step: &Step| matches!(step, Step::Adopt { service: of } if of == service);
        plan.fronts().any(|(of, front)| of == service && front.is_new()) && plan.steps.iter().any(adopts)
    };
    let traces: BTreeMap<&ServiceName, Traces> = traces
        .iter()
        .map(|(service, seen)| match adopts(service) && !seen.file && !seen.names_others {
            true => (service, Traces { old_there: seen.old_there, old_run: seen.old_run, ..Traces::default() }),
            false => (service, seen.clone()),
        })
        .collect();
    let of = |service: &ServiceName| traces.get(service).unwrap_or(&nothing);
    let all = || plan.services.iter().map(|planned| (planned, of(&planned.name)));
    let replaced = all().all(|(planned, traces)| {
        let fronted = !planned.fronts.is_empty();
        let by_all = traces.candidates_run == planned.count && (traces.names_candidates || !fronted);
        // Others may have removed a candidate since. Where all old ones are gone, those that are left are what there is.
        let alone = traces.old_there == 0 && traces.candidates_run > 0 && (traces.names_others || !fronted);
        by_all || alone
    });
    // Services are retired beside one another. With stop-first the old ones lie still long before the commit.
    let retiring = all().any(|(planned, traces)| {
        // What had died before the run says nothing by not running, either.
        let left = if planned.stops_first() || planned.down { traces.old_there } else { traces.old_run };
        left < planned.live.len()
    });
    let forward = replaced && retiring;
    // A candidate that was never started gets no requests. One that was may have ended after the switch, and even where
    // the file names the old ones again nginx may not have read it since.
    let switched = all().all(|(planned, traces)| traces.candidates_started == planned.count)
        || all().any(|(_, traces)| traces.names_others);
    // What is there and is not of its making was made by others since. With stop-first the old ones may lie still though their
    // candidates are gone already: a run that was unwound before and could not write it down.
    let lies_still = |planned: &PlannedService, traces: &Traces| {
        planned.stops_first() && !planned.down && traces.old_run < traces.old_there
    };
    let created = all()
        .any(|(planned, traces)| !traces.candidates.is_empty() || traces.names_others || lies_still(planned, traces));
    let started = all().any(|(_, traces)| traces.candidates_started > 0 || traces.names_others);
    let mut events = vec![Event::Planned { plan: plan.clone() }];
    for (step, what) in plan.steps.iter().enumerate() {
        let learnt = match what {
            Step::Create { .. } if !created => break,
            Step::Create { service } | Step::Start { service } => {
                StepResult::candidates(of(service).candidates.clone())
            }
            // Nobody can tell how far it came; it must be done before a candidate starts.
            Step::Init { .. } | Step::Inject { .. } if !started => {
                events.push(Event::Started { step });
                break;
            }
            Step::Switch { .. } if !switched => break,
            Step::Commit if !forward => break,
            Step::Retire { .. } => break,
            _ => StepResult::Nothing,
        };
        events.extend([Event::Started { step }, Event::Done { step, learnt }]);
    }
    if all().any(|(planned, traces)| traces.candidates.len() != planned.count) {
        // There is nothing to go forward to.
        events.push(Event::Interrupted { signal: "the loss of its journal".to_owned() });
    }
    if forward {
        events.push(Event::Resumed { goal: Goal::Forward });
    }
    events
}

#[cfg(test)]
mod tests {
    use super::super::tests::{app, container, rest};
    use super::*;

    /// Returns what a run with one old container does when it is taken up with such traces, by its verbs.
    #[track_caller]
    fn check(traces: Traces, expected: &str) {
        let plan = app();
        let service = plan.services[0].name.clone();
        let mut events = presume(&plan, &[(service, traces)].into());
        if !matches!(events.last(), Some(Event::Resumed { .. })) {
            events.push(Event::Resumed { goal: Goal::Back });
        }
        assert_eq!(rest(&plan, events), expected);
    }

    fn before() -> Traces {
        Traces { old_there: 1, old_run: 1, ..Traces::default() }
    }

    fn created() -> Traces {
        Traces { candidates: vec![container("new")], ..before() }
    }

    fn runs() -> Traces {
        Traces { candidates_started: 1, candidates_run: 1, ..created() }
    }

    fn switched() -> Traces {
        Traces { names_candidates: true, names_others: true, ..runs() }
    }

    #[test]
    fn before_the_commit_all_that_may_have_been_done_is_undone() {
        check(before(), "RolledBack");
        check(created(), "stop remove RolledBack");
        check(runs(), "switch-back stop remove RolledBack");
        check(switched(), "switch-back stop remove RolledBack");
        check(Traces { candidates_run: 0, ..switched() }, "switch-back stop remove RolledBack");
        // The file names the old one again, and nginx may still ask the candidate that has ended.
        check(Traces { candidates_run: 0, ..runs() }, "switch-back stop remove RolledBack");
    }

    #[test]
    fn without_all_candidates_there_is_no_way_forward() {
        let plan = app();
        let service = plan.services[0].name.clone();
        let forward = |traces: Traces| {
            let mut events = presume(&plan, &[(service.clone(), traces)].into());
            events.push(Event::Resumed { goal: Goal::Forward });
            rest(&plan, events)
        };
        assert_eq!(forward(before()), "RolledBack");
        assert_eq!(forward(created()), "start healthy switch drain commit retire Swapped");
        assert_eq!(forward(switched()), "start healthy switch drain commit retire Swapped");
    }

    #[test]
    fn a_run_that_has_begun_to_retire_goes_forward() {
        check(Traces { old_run: 0, ..switched() }, "retire Swapped");
        check(Traces { old_run: 0, old_there: 0, ..switched() }, "retire Swapped");
        // Of two that were live one still runs, and nobody knows who removed the other.
        let mut plan = app();
        plan.services[0].live.push(container("second"));
        plan.services[0].count = 2;
        let service = plan.services[0].name.clone();
        let replicas = Traces { candidates: vec![container("a"), container("b")], ..switched() };
        let replicas = Traces { candidates_started: 2, candidates_run: 2, ..replicas };
        let events = presume(&plan, &[(service.clone(), replicas)].into());
        assert_eq!(rest(&plan, events.clone()), "retire Swapped");
        // Then nobody goes back to the one that is left.
        let interrupted = Event::Interrupted { signal: "SIGINT".to_owned() };
        assert_eq!(rest(&plan, [events, vec![interrupted]].concat()), "retire Swapped");
        // All old ones are gone, and somebody has removed a candidate.
        let one = Traces { candidates: vec![container("b")], candidates_started: 1, candidates_run: 1, ..switched() };
        let one = Traces { names_candidates: false, old_run: 0, old_there: 0, ..one };
        let mut events = presume(&plan, &[(service.clone(), one)].into());
        events.push(Event::Resumed { goal: Goal::Forward });
        assert_eq!(rest(&plan, events), "retire Swapped");
        // The old one ended by itself, before there was a candidate in its place.
        check(Traces { old_run: 0, ..runs() }, "switch-back stop remove RolledBack");
        check(Traces { old_run: 0, ..created() }, "stop remove RolledBack");
    }
}
