//! How a plan is printed: by `swap plan`, and step by step while it runs.

use std::fmt;
use std::time::Duration;

use humantime::format_duration;

use super::observed::Front;
use super::steps::Step;
use super::{Plan, PlannedService};
use crate::model::{Check, Container, Image, InjectedFile, Lifecycle, NetworkPlace, OldVolumes, Phase, list_commands};
use crate::text::{printable, short};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.services.iter().map(|service| service.name.as_str()).collect();
        writeln!(
            f,
            "plan for {} of project {}: {} steps",
            names.join(", "),
            printable(&self.project),
            self.steps.len()
        )?;
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}  {}", index + 1, printable(&self.text(step)))?;
        }
        for notice in &self.notices {
            writeln!(f, "note: {}", printable(&notice.to_string()))?;
        }
        Ok(())
    }
}

impl Plan {
    /// Returns a step of the plan, or the undo of one, as people read it: what is done, with what, and why.
    pub fn text(&self, step: &Step) -> String {
        let service = step.service().map(|name| format!("{name}: ")).unwrap_or_default();
        format!("{:<11} {service}{}", step.verb(), self.deed(step))
    }

    /// Returns the same without the step's verb and its service.
    pub fn deed(&self, step: &Step) -> String {
        match step.service() {
            None => "from here the run only goes forward".to_owned(),
            Some(name) => self.service(name).map(|planned| text(step, planned)).unwrap_or_default(),
        }
    }
}

/// Returns what a step does with its service. Long, because it has a line or two for each kind of step.
fn text(step: &Step, of: &PlannedService) -> String {
    let Lifecycle { files, pre_start, post_start, pre_stop } = &of.lifecycle;
    let hooks = |phase| of.hooks(phase).join(", ");
    let live = names(&of.live);
    match step {
        Step::Commit => String::new(),
        Step::Tag { .. } | Step::TagBack { .. } => retagged(step, of),
        Step::Adopt { .. }
        | Step::Release { .. }
        | Step::Switch { .. }
        | Step::Rest { .. }
        | Step::SwitchBack { .. } => {
            let said: Vec<String> = alike(step, of).iter().map(|fronts| at_nginx(step, of, fronts)).collect();
            said.join("; ")
        }
        Step::PreStart { .. } if of.hooks(Phase::PreStart).is_empty() => {
            "nothing to ask (hooks wait for a rollback)".to_owned()
        }
        Step::PreStart { .. } => format!("ask {} (before anything is created)", hooks(Phase::PreStart)),
        Step::Create { .. } => format!(
            "{} from {} ({}) beside {live} (compose creates, so that compose owns)",
            candidates(of.count),
            of.image.name,
            short(&of.image.id)
        ),
        Step::StopOld { .. } => {
            format!("stop {live}, {} (order: stop-first, two must never run: a gap begins)", grace_text(of.grace))
        }
        Step::Init { .. } => format!(
            "run {}, each in a container of its own beside what was created (pre_start)",
            list_commands(pre_start)
        ),
        Step::Inject { .. } => {
            let files: Vec<String> = files.iter().map(InjectedFile::to_string).collect();
            format!("put {} into what was created", files.join(", "))
        }
        Step::Start { .. } => started(of),
        Step::PostStart { .. } if post_start.is_empty() => {
            "nothing to run (pre_stop waits for an unwinding)".to_owned()
        }
        Step::PostStart { .. } => format!("run {} in what was started (post_start)", list_commands(post_start)),
        Step::AwaitHealthy { .. } => healthy(of),
        Step::Announce { .. } => format!(
            "connect the candidates again, as {}, for {}, and check once more (nobody calls what is not healthy)",
            called(&of.places()),
            of.callers().join(", "),
        ),
        Step::PreSwap { .. } => format!("ask {} (last veto before the switch)", hooks(Phase::PreSwap)),
        Step::PostSwap { .. } => format!("ask {} (candidates live, old still runs)", hooks(Phase::PostSwap)),
        Step::Watch { .. } => {
            let judged = match of.hooks(Phase::Health) {
                [] => String::new(),
                hooks => format!(", judged by {}", hooks.join(", ")),
            };
            format!("both run for {}{judged} (a bad candidate is switched back)", format_duration(of.watch))
        }
        Step::Drain { .. } => {
            format!("until no nginx worker uses {live}, at most {}", format_duration(of.drain_timeout))
        }
        Step::PreStop { .. } if pre_stop.is_empty() => "nothing to run (post_start waits for an unwinding)".to_owned(),
        Step::PreStop { .. } => {
            format!("run {} in {live} (pre_stop, before it is stopped)", list_commands(pre_stop))
        }
        Step::Retire { .. } => retired(of),
        Step::Finish { .. } => format!("ask {} (swapped)", hooks(Phase::Finish)),
        Step::Rollback { .. } => format!("ask {} (unwinding)", hooks(Phase::Rollback)),
        Step::RemoveCandidates { .. } => "remove what was created".to_owned(),
        Step::EndInit { .. } => "remove the containers of pre_start".to_owned(),
        Step::PreStopCandidates { .. } => {
            format!("run {} in what was started (pre_stop, before it is stopped)", list_commands(pre_stop))
        }
        Step::PostStartOld { .. } => {
            format!("run {} in {live} (post_start, as it serves again)", list_commands(post_start))
        }
        Step::StartOld { .. } => format!("start {live} again"),
        Step::StopCandidates { .. } => "stop what was started".to_owned(),
    }
}

/// Returns what a step does with the upstream file of its service, at nginxes of which it says the same.
fn at_nginx(step: &Step, of: &PlannedService, fronts: &[&Front]) -> String {
    let (files, live, front) = (files(of, fronts), names(&of.live), fronts[0]);
    let name = if fronts.len() == 1 { "names" } else { "name" };
    match step {
        Step::Adopt { .. } if front.is_obeyed() => format!("{files} {name} {live}, as nginx has it already"),
        Step::Adopt { .. } => format!("{files} {name} {live}, so that no reload finds what is not ready"),
        Step::Release { .. } if front.is_new() && front.before.is_none() => format!("remove {files} again"),
        Step::Release { .. } if front.is_new() => format!("{files} {} again as it was", is(fronts)),
        Step::Switch { .. } => {
            format!("{files} {name} the candidates instead of {live}, test, reload {}, confirm", proxies(fronts))
        }
        Step::Rest { .. } | Step::Release { .. } => match front.named(&of.name) {
            Some(service) => format!("{files} {name} {service}, for the next start of nginx (no reload)"),
            None => format!("{files} {} at rest", is(fronts)),
        },
        _ => format!("{files} {name} {live} again, test, reload, confirm"),
    }
}

fn is(fronts: &[&Front]) -> &'static str {
    if fronts.len() == 1 { "is" } else { "are" }
}

/// Returns the nginxes before a service in groups, of each of which a step says the same.
pub fn alike<'a>(step: &Step, of: &'a PlannedService) -> Vec<Vec<&'a Front>> {
    let said = |front: &'a Front| match step {
        Step::Adopt { .. } => (front.is_obeyed(), false, None),
        Step::Release { .. } if front.is_new() => (true, front.before.is_some(), None),
        Step::Release { .. } | Step::Rest { .. } => (false, false, front.named(&of.name)),
        _ => (false, false, None),
    };
    let mut groups: Vec<Vec<&Front>> = Vec::new();
    for front in &of.fronts {
        match groups.iter_mut().find(|group| said(group[0]) == said(front)) {
            Some(group) => group.push(front),
            None => groups.push(vec![front]),
        }
    }
    groups
}

/// Returns the upstream files of a service at some of its nginxes: the path, and where it has several, whose it is.
pub fn files(of: &PlannedService, fronts: &[&Front]) -> String {
    if let [only] = &of.fronts[..] {
        return only.file(&of.name);
    }
    let mut paths: Vec<(String, Vec<&Front>)> = Vec::new();
    for front in fronts {
        let path = front.file(&of.name);
        match paths.iter_mut().find(|(other, _)| *other == path) {
            Some((_, fronts)) => fronts.push(front),
            None => paths.push((path, vec![front])),
        }
    }
    let told: Vec<String> = paths.iter().map(|(path, fronts)| format!("{path} of {}", proxies(fronts))).collect();
    told.join(" and ")
}

/// Returns which nginxes these are, as "nginx and edge".
pub fn proxies(fronts: &[&Front]) -> String {
    fronts.iter().map(|front| front.proxy.to_string()).collect::<Vec<_>>().join(" and ")
}

/// Returns what a step does with the name of the service's image.
fn retagged(step: &Step, of: &PlannedService) -> String {
    let Image { name, id } = &of.image;
    let before = of.retag.as_ref().and_then(|retag| retag.before.as_deref()).map(short);
    match (step, before) {
        (Step::Tag { .. }, Some(before)) => format!(
            "{name} stands for {} instead of {before} (compose creates by this name, now and at the next `up`)",
            short(id)
        ),
        (Step::Tag { .. }, None) => format!("{name} stands for {} (compose creates by this name)", short(id)),
        (_, Some(before)) => format!("{name} stands for {before} again"),
        (_, None) => format!("nothing is called {name} again"),
    }
}

fn started(of: &PlannedService) -> String {
    let unnamed = of.unnamed();
    let names = match &unnamed[..] {
        [] => String::new(),
        _ if unnamed == of.networks => ", not yet by the service's name".to_owned(),
        some => format!(", in {} not yet by the service's name", some.join(", ")),
    };
    format!("start what was created, in {}{names}", of.networks.join(", "))
}

fn healthy(of: &PlannedService) -> String {
    let mut what: Vec<String> = of.checks.iter().map(Check::to_string).collect();
    what.extend(of.hooks(Phase::Health).iter().map(|hook| format!("hook {hook}")));
    let mut text = format!("until {}", what.join(" and "));
    if of.successes > 1 {
        text += &format!(", {} times in a row", of.successes);
    }
    if !of.stays.is_zero() {
        text += &format!(", and stays so for {}", format_duration(of.stays));
    }
    text + &format!(", at most {} (nothing unhealthy gets requests)", format_duration(of.health_timeout))
}

fn retired(of: &PlannedService) -> String {
    let mut text = String::new();
    let unnamed = of.unnamed();
    if !unnamed.is_empty() {
        text += &format!("take the service's names in {} from the old, ", unnamed.join(" and "));
    }
    text += &format!("stop and remove {}, {}", names(&of.old()), grace_text(of.grace));
    if !of.stopped.is_empty() {
        text += &format!(", and what does not run: {}", names(&of.stopped));
    }
    if !of.volumes.is_empty() && of.old_volumes == OldVolumes::Remove {
        text += ", with their anonymous volumes";
    }
    text + " (replaced by the candidates)"
}

/// Returns the names of the containers, as `demo-app-1, demo-app-2`.
pub fn names(containers: &[Container]) -> String {
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    names.join(", ")
}

fn candidates(count: usize) -> String {
    if count == 1 { "1 candidate".to_owned() } else { format!("{count} candidates") }
}

/// Returns the names that a service has in its networks, as "`app`, `shop` in demo_default".
fn called(places: &[NetworkPlace]) -> String {
    let place = |place: &NetworkPlace| {
        let names: Vec<String> = place.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        format!("{} in {}", names.join(", "), place.network)
    };
    places.iter().map(place).collect::<Vec<_>>().join(" and ")
}

fn grace_text(grace: Option<Duration>) -> String {
    match grace {
        Some(grace) => format!("grace {}", format_duration(grace)),
        None => "grace 10s".to_owned(),
    }
}
