//! What the events of a run come to, in the words of the display, the story and the report. Pure.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{Container, Failure, InjectedFile, Lifecycle, OldVolumes, Phase, ServiceName, list_commands};
use crate::plan::{Front, Plan, PlannedService, Step, alike, files, names, proxies};
use crate::run::trace::{Probed, Reached};
use crate::run::{Entry, Event, Outcome, RunFacts, StepResult};
use crate::text::short;

/// What a step that is done has brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    verb: &'static str,
    /// Of which service.
    pub service: ServiceName,
    /// What.
    pub text: String,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, service, text } = self;
        write!(f, "{verb:<11} {service}: {text}")
    }
}

/// Returns what a step that is done has brought about; `None` for steps that nobody needs to see.
pub(super) fn fact(plan: &Plan, step: &Step, learnt: &StepResult, facts: &RunFacts) -> Option<Fact> {
    let planned = plan.service(step.service()?)?;
    let text = brought(step, planned, learnt, facts)?;
    Some(Fact { verb: step.verb(), service: planned.name.clone(), text })
}

/// Returns the same of a service, without its name. Long, because it has a line or two for each kind of step.
fn brought(step: &Step, of: &PlannedService, learnt: &StepResult, facts: &RunFacts) -> Option<String> {
    let Lifecycle { files, pre_start, post_start, pre_stop } = &of.lifecycle;
    let new = || names(facts.candidates(&of.name));
    let agreed = |phase| format!("{} agreed", of.hooks(phase).join(", "));
    let live = names(&of.live);
    Some(match step {
        Step::Commit | Step::Rest { .. } => return None,
        Step::Tag { .. } => format!("{} stands for {}", of.image.name, short(&of.image.id)),
        Step::TagBack { .. } => match of.retag.as_ref().and_then(|retag| retag.before.as_deref()) {
            Some(before) => format!("{} stands for {} again", of.image.name, short(before)),
            None => format!("nothing is called {} again", of.image.name),
        },
        Step::PreStart { .. } if of.hooks(Phase::PreStart).is_empty() => return None,
        Step::PreStart { .. } => agreed(Phase::PreStart),
        Step::PreSwap { .. } => agreed(Phase::PreSwap),
        Step::PostSwap { .. } => agreed(Phase::PostSwap),
        Step::Finish { .. } => agreed(Phase::Finish),
        Step::Rollback { .. } => match learnt {
            StepResult::Disagreed { hooks } => disagreed(of.hooks(Phase::Rollback), hooks),
            _ => agreed(Phase::Rollback),
        },
        Step::Adopt { .. } | Step::Release { .. } | Step::Switch { .. } | Step::SwitchBack { .. } => {
            let said = alike(step, of).into_iter().filter_map(|fronts| at_nginx(step, of, &fronts, facts));
            return Some(said.collect::<Vec<_>>().join("; ")).filter(|said| !said.is_empty());
        }
        Step::Create { .. } => {
            let created = match learnt {
                StepResult::Candidates { containers, .. } => names(containers),
                _ => new(),
            };
            format!("{created} from {} ({})", of.image.name, short(&of.image.id))
        }
        Step::StopOld { .. } => format!("{live} stopped, nobody serves"),
        Step::Init { .. } => format!("{} did its work", list_commands(pre_start)),
        Step::Inject { .. } => {
            let files: Vec<String> = files.iter().map(InjectedFile::to_string).collect();
            format!("{} has {}", new(), files.join(", "))
        }
        Step::PostStart { .. } if post_start.is_empty() => return None,
        Step::PostStart { .. } => format!("{} did its work in {}", list_commands(post_start), new()),
        Step::PreStop { .. } if pre_stop.is_empty() => return None,
        Step::PreStop { .. } => format!("{} did its work in {live}", list_commands(pre_stop)),
        Step::Start { .. } => format!("{} runs", new()),
        Step::AwaitHealthy { .. } => format!("{} is healthy", new()),
        Step::Announce { .. } => format!("{} is found by the service's name in {}", new(), of.unnamed().join(", ")),
        Step::Watch { .. } => format!("{} did well", new()),
        Step::Drain { .. } => format!("nothing uses {live} any more"),
        Step::Retire { .. } => retired(of),
        Step::RemoveCandidates { .. } => "what was created is removed".to_owned(),
        Step::EndInit { .. } => "no container of pre_start is left".to_owned(),
        Step::PreStopCandidates { .. } => format!("{} was run in what is stopped", list_commands(pre_stop)),
        Step::PostStartOld { .. } => format!("{} was run in {live}", list_commands(post_start)),
        Step::StartOld { .. } => format!("{live} runs again"),
        Step::StopCandidates { .. } => "what was started is stopped".to_owned(),
    })
}

/// Returns what has come of the upstream file of a service, at nginxes of which the same is said.
fn at_nginx(step: &Step, of: &PlannedService, fronts: &[&Front], facts: &RunFacts) -> Option<String> {
    let (files, proxies, front) = (files(of, fronts), proxies(fronts), fronts[0]);
    let one_or_all = |one, all| if fronts.len() == 1 { one } else { all };
    let (names, is, sends) = (one_or_all("names", "name"), one_or_all("is", "are"), one_or_all("sends", "send"));
    Some(match step {
        Step::Adopt { .. } if front.is_obeyed() => return None,
        Step::Adopt { .. } => format!("{files} {names} {}", with_addresses(&of.live)),
        Step::Release { .. } if !front.is_new() => return None,
        Step::Release { .. } if front.before.is_some() => format!("{files} {is} again as it was"),
        Step::Release { .. } => format!("{files} {is} removed again"),
        Step::SwitchBack { .. } => format!("{proxies} {sends} new requests to {} again", with_addresses(&of.live)),
        _ => format!("{proxies} {sends} new requests to {}", with_addresses(facts.candidates(&of.name))),
    })
}

/// Returns which of the hooks failed, and which did not.
fn disagreed(hooks: &[String], failed: &[String]) -> String {
    let (agreed, failed): (Vec<_>, Vec<_>) = hooks.iter().partition(|hook| !failed.contains(hook));
    let list = |hooks: Vec<&String>| hooks.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let agreed = if agreed.is_empty() { String::new() } else { format!("; {} agreed", list(agreed)) };
    format!("{} failed{agreed}", list(failed))
}

fn retired(of: &PlannedService) -> String {
    let mut text = format!("{} stopped and removed", names(&of.old()));
    if !of.stopped.is_empty() {
        text += &format!(", {} removed", names(&of.stopped));
    }
    match (&of.volumes[..], of.old_volumes) {
        ([], _) => {}
        (_, OldVolumes::Remove) => text += ", with their anonymous volumes",
        (kept, OldVolumes::Keep) => {
            text += &format!(", their anonymous volumes are kept (`docker volume rm {}`)", kept.join(" "));
        }
    }
    text
}

fn with_addresses(containers: &[Container]) -> String {
    let texts: Vec<String> = containers
        .iter()
        .map(|container| match container.address {
            Some(address) => format!("{} ({address})", container.name),
            None => container.name.clone(),
        })
        .collect();
    texts.join(", ")
}

/// Returns a time as people read it: `0.04 s`, `1.2 s`, `75 s`.
pub fn seconds(ms: i64) -> String {
    let seconds = ms.max(0) as f64 / 1000.0;
    match seconds {
        s if s < 0.95 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{s:.0} s"),
    }
}

/// Returns the last line of a swap: `swapped app: demo-app-1 → demo-app-2 in 1.2 s (create 0.2, …)`.
///
/// `began_ms` is when the command began, in milliseconds since 1970: looking at the world counts too.
pub fn summary(plan: &Plan, entries: &[Entry], began_ms: i64) -> String {
    let events: Vec<Event> = entries.iter().map(|entry| entry.event.clone()).collect();
    let facts = RunFacts::of(plan, &events);
    let pair = |service: &PlannedService| {
        format!("{}: {} → {}", service.name, names(&service.live), names(facts.candidates(&service.name)))
    };
    let pairs: Vec<String> = plan.services.iter().map(pair).collect();
    let observed = entries.first().map_or(0, |first| first.at_ms.saturating_sub(began_ms));
    let whole = entries.last().map_or(0, |last| last.at_ms.saturating_sub(began_ms));
    let times: Vec<String> = std::iter::once(("observe", observed))
        .chain(step_times(plan, entries))
        .filter(|(_, ms)| *ms >= 5)
        .map(|(verb, ms)| format!("{verb} {}", seconds(ms).trim_end_matches(" s")))
        .collect();
    let gap = gap(plan, entries).map(|ms| format!(", nobody served for {}", seconds(ms))).unwrap_or_default();
    format!("swapped {} in {} ({}){gap}", pairs.join("; "), seconds(whole), times.join(", "))
}

/// Returns the time that each kind of step took, in milliseconds, in the order of the plan. What went beside one another counts
/// once.
pub fn step_times(plan: &Plan, entries: &[Entry]) -> Vec<(&'static str, i64)> {
    let mut began = BTreeMap::new();
    let mut times: Vec<(&'static str, i64)> = Vec::new();
    let mut ended = i64::MIN;
    for entry in entries {
        match &entry.event {
            Event::Started { step } => {
                began.insert(*step, entry.at_ms);
            }
            Event::Done { step, .. } => {
                let told = plan.steps.get(*step).filter(|step| **step != Step::Commit);
                let Some(verb) = told.map(Step::verb) else { continue };
                let took = began.get(step).map_or(0, |began| entry.at_ms.saturating_sub(ended.max(*began)).max(0));
                ended = ended.max(entry.at_ms);
                match times.iter_mut().find(|(known, _)| *known == verb) {
                    Some((_, sum)) => *sum += took,
                    None => times.push((verb, took)),
                }
            }
            _ => {}
        }
    }
    times
}

/// Returns how long nobody served, in milliseconds, where the order is stop-first.
pub(super) fn gap(plan: &Plan, entries: &[Entry]) -> Option<i64> {
    let verb = |step: usize| plan.steps.get(step).map(Step::verb);
    let stopped = entries.iter().find(|entry| started(&entry.event).and_then(verb) == Some("stop-old"))?;
    let serves = entries
        .iter()
        .rev()
        .find(|entry| done(&entry.event).and_then(verb).is_some_and(|verb| matches!(verb, "healthy" | "switch")))?;
    Some(serves.at_ms.saturating_sub(stopped.at_ms))
}

fn started(event: &Event) -> Option<usize> {
    if let Event::Started { step } = event { Some(*step) } else { None }
}

fn done(event: &Event) -> Option<usize> {
    if let Event::Done { step, .. } = event { Some(*step) } else { None }
}

/// Returns what failed first in a run, if anything did.
pub fn first_failure(entries: &[Entry]) -> Option<&Failure> {
    entries.iter().find_map(|entry| match &entry.event {
        Event::Failed { failure, .. } => Some(failure),
        _ => None,
    })
}

/// Returns the last line of a run that was unwound.
///
/// `entries` tells whether hooks failed to undo what they had done, and `running` names what could not be ended.
pub fn rolled_back(plan: &Plan, entries: &[Entry], running: &[String]) -> String {
    let serving: Vec<String> = plan
        .services
        .iter()
        .map(|service| {
            if service.down {
                return format!("{}: nobody serves, {} had died before", service.name, names(&service.live));
            }
            let serve = if service.live.len() == 1 { "serves" } else { "serve" };
            format!("{}: {} {serve}", service.name, names(&service.live))
        })
        .collect();
    let failed: Vec<&str> = entries
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Undone { learnt: StepResult::Disagreed { hooks }, .. } => Some(hooks),
            _ => None,
        })
        .flatten()
        .map(String::as_str)
        .collect();
    let left = match (running, &failed[..]) {
        ([], []) => "nothing of this run is left".to_owned(),
        ([], failed) => format!("what {} did before may be left", failed.join(", ")),
        (running, _) => format!("but this still runs: {}", running.join(", ")),
    };
    format!("rolled back; {}, {left}", serving.join("; "))
}

/// Returns a word for the outcome in tables.
pub fn outcome_word(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Swapped) => "swapped",
        Some(Outcome::RolledBack) => "rolled back",
        None => "unfinished",
    }
}

/// Returns the line of a probe: `front door: 2,431 requests, 0 failed, p99 4.1 ms (before 3.9)`.
pub fn front_door(probed: &Probed) -> String {
    let since = probed.since.unwrap_or_default();
    let requests = probed.before.requests + since.requests;
    let failed = probed.before.failures + since.failures;
    let latency = match probed.since {
        Some(since) => format!("p99 {} ms (before {})", ms(since.p99), ms(probed.before.p99)),
        None => format!("p99 {} ms", ms(probed.before.p99)),
    };
    let mut line = format!("front door: {} requests, {} failed, {latency}", thousands(requests), thousands(failed));
    let at = |at: u32| seconds(at.into());
    if let (Some(last), Some(first)) = (probed.last_old, probed.first_new) {
        line.push_str(&format!("; the candidate answered from {} on, the old one until {}", at(first), at(last)));
    }
    if let Some(said) = probed.reached.as_ref().and_then(astray) {
        line.push_str(&said);
    }
    if let Some(first) = probed.failures.first() {
        line.push_str(&format!("; the first failed at {}: {}", at(first.at), first.why));
    }
    line
}

/// Returns what a probe's line says of requests that are not known to have reached the application.
fn astray(reached: &Reached) -> Option<String> {
    let how = &reached.how;
    match (reached.live, reached.candidates) {
        (Some(false), _) => Some(format!("; none of them reached the application: {how}")),
        (_, Some(false)) => Some(format!("; they did not reach the candidate: {how}")),
        (None, _) => Some(format!("; it is not known whether they reached the application: {how}")),
        (Some(true), _) => None,
    }
}

/// Returns the remark on a probe that says nothing of the new version, because none of its requests was answered well.
pub fn all_failed(probed: &Probed) -> Option<String> {
    let since = probed.since.unwrap_or_default();
    let (requests, failures) = (probed.before.requests + since.requests, probed.before.failures + since.failures);
    (requests > 0 && requests == failures).then(|| {
        format!(
            "none of the probe's {} requests to {} was answered well, so it tells nothing about the new version",
            thousands(requests),
            probed.url
        )
    })
}

/// Returns microseconds as milliseconds with one digit: `4.1`.
pub(super) fn ms(us: u32) -> String {
    format!("{:.1}", f64::from(us) / 1000.0)
}

/// Returns a number as people read it: `2,431`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::trace::{By, Samples};

    #[test]
    fn a_probe_says_in_one_line_what_users_saw() {
        let mut samples = Samples::default();
        let line =
            |samples: &Samples| front_door(&samples.probed("app".parse().unwrap(), "http://door/".to_owned(), 50, 0));
        (0..2000).for_each(|at| samples.add(at, 3900, By::Unknown, None));
        assert_eq!(line(&samples), "front door: 2,000 requests, 0 failed, p99 3.9 ms");
        samples.switched(2000);
        (2000..2431).for_each(|at| samples.add(at, 4149, By::Unknown, None));
        assert_eq!(line(&samples), "front door: 2,431 requests, 0 failed, p99 4.1 ms (before 3.9)");
        samples.add(1990, 1, By::Old, None);
        samples.add(2010, 1, By::New, None);
        samples.add(2200, 1, By::Unknown, Some("status 502".to_owned()));
        assert_eq!(
            line(&samples),
            "front door: 2,434 requests, 1 failed, p99 4.1 ms (before 3.9); the candidate answered from 2.0 s on, the old \
             one until 2.0 s; the first failed at 2.2 s: status 502"
        );
    }

    #[test]
    fn a_probe_that_saw_nothing_of_the_application_says_so() {
        let line = |live: Option<bool>, candidates: Option<bool>| {
            let mut samples = Samples::default();
            samples.reached(Some(Reached { live, candidates, how: "nginx itself answers 301".to_owned() }));
            samples.answered(0, 3900, By::Unknown, 301);
            front_door(&samples.probed("app".parse().unwrap(), "http://door/".to_owned(), 50, 0))
        };
        let said = |text: &str| format!("front door: 1 requests, 0 failed, p99 3.9 ms{text}");
        let how = "nginx itself answers 301";
        assert_eq!(line(Some(true), Some(true)), said(""));
        assert_eq!(line(Some(false), None), said(&format!("; none of them reached the application: {how}")));
        assert_eq!(line(None, None), said(&format!("; it is not known whether they reached the application: {how}")));
        assert_eq!(line(Some(true), Some(false)), said(&format!("; they did not reach the candidate: {how}")));
    }

    #[test]
    fn a_probe_without_one_good_answer_is_told() {
        let mut samples = Samples::default();
        (0..107).for_each(|at| samples.failed(at, 1, By::Unknown, "connection refused".to_owned()));
        let told =
            |samples: &Samples| all_failed(&samples.probed("app".parse().unwrap(), "http://door/".to_owned(), 50, 0));
        let text = "none of the probe's 107 requests to http://door/ was answered well, so it tells nothing about the new version";
        assert_eq!(told(&samples).as_deref(), Some(text));
        samples.answered(107, 1, By::Unknown, 200);
        assert_eq!(told(&samples), None);
        assert_eq!(told(&Samples::default()), None);
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
