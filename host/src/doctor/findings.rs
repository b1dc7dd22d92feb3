//! Facts → findings: how bad, why it matters, what to change. Pure.

use std::fmt;
use std::time::Duration;

use humantime::format_duration;
use serde::Serialize;

use super::facts::{
    DoctorFacts, EngineFacts, HookFacts, NginxFacts, ProjectFacts, ServiceFacts, Setting, StateFacts, ToolFacts,
};
use crate::hooks::grants::Grant;
use crate::measure::way::Answers;
use crate::model::{Failure, Notice, Order, Phase, Reaches, ServiceName};
use crate::plan::{Front, ObservedService, refusals, single, unshared};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// A swap works and costs something.
    Warning,
    /// A swap is refused or goes wrong.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it belongs to, as `engine` or `service app`.
    pub part: String,
    /// How much it matters.
    pub severity: Severity,
    /// What was found: one lower-case line without a full stop.
    pub what: String,
    /// Why it matters; not for what is as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The exact lines to change or to type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
    /// What the thing itself said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
}

/// Below this many free bytes a journal may not be written to its end.
const LITTLE_ROOM: u64 = 64 << 20;

/// Returns the findings in the order in which they are to be read.
pub fn findings(facts: &DoctorFacts) -> Vec<Finding> {
    let mut list = List::default();
    engine(&facts.engine, &mut list);
    tool(&facts.tool, &mut list);
    project(facts, &mut list);
    for service in &facts.services {
        service.nginxes.iter().for_each(|nginx| front(nginx, &mut list));
    }
    for service in &facts.services {
        one_service(service, &mut list);
    }
    state(&facts.state, &mut list);
    list.findings
}

#[derive(Default)]
struct List {
    part: String,
    findings: Vec<Finding>,
}

impl List {
    fn part(&mut self, part: impl Into<String>) {
        self.part = part.into();
    }

    /// Adds a finding, but not one that two services share twice.
    fn add(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn ok(&mut self, what: impl Into<String>) {
        let part = self.part.clone();
        self.add(Finding { part, severity: Severity::Ok, what: what.into(), why: None, cure: None, tail: Vec::new() });
    }

    fn say(&mut self, severity: Severity, what: impl Into<String>, why: &str, cure: impl Into<String>) {
        let (part, why, cure) = (self.part.clone(), Some(why.to_owned()), Some(cure.into()));
        self.add(Finding { part, severity, what: what.into(), why, cure, tail: Vec::new() });
    }

    fn failure(&mut self, severity: Severity, failure: &Failure, why: &str) {
        let Failure { what, hint, tail } = failure.clone();
        self.add(Finding { part: self.part.clone(), severity, what, why: Some(why.to_owned()), cure: hint, tail });
    }

    fn notice(&mut self, severity: Severity, Notice { what, cure }: &Notice, why: &str) {
        let (part, what, why, cure) = (self.part.clone(), what.clone(), Some(why.to_owned()), cure.clone());
        self.add(Finding { part, severity, what, why, cure, tail: Vec::new() });
    }
}

fn engine(engine: &Result<EngineFacts, Failure>, list: &mut List) {
    list.part("engine");
    match engine {
        Ok(EngineFacts { version, api, endpoint, system, local }) => {
            list.ok(format!("Docker {version} (API {api}, {system}) answers at {endpoint}"));
            if !local {
                list.say(
                    Severity::Note,
                    "the engine is on another machine",
                    "paths in bind mounts are that machine's; checks of addresses go through nginx's container",
                    "mount the upstream folder from a directory of that machine, or from a named volume",
                );
            }
        }
        Err(failure) => list.failure(
            Severity::Error,
            failure,
            "nothing can be swapped without the engine; what only it knows is not examined below",
        ),
    }
}

fn tool(tool: &Result<ToolFacts, Failure>, list: &mut List) {
    list.part("compose");
    match tool {
        Ok(ToolFacts { command, version, v1, other }) => {
            list.ok(format!("`{command}` is version {}", version.as_deref().unwrap_or("unknown")));
            if let Some(other) = other {
                list.say(
                    Severity::Warning,
                    &other.what,
                    "each of the two hashes a service's configuration in its own way",
                    "install the tool that you go on with, and recreate the stack with it once: `up -d --force-recreate`",
                );
            }
            if *v1 {
                list.say(
                    Severity::Note,
                    "compose 1 is written in Python and takes more than a second for each call",
                    "a swap takes some two seconds longer; it loses nothing by that",
                    "install the package docker-compose-v2 or docker-compose-plugin",
                );
            }
        }
        Err(failure) => list.failure(Severity::Error, failure, "only compose reads the project and creates candidates"),
    }
}

/// Returns how much a warning of compose matters for a swap, why, and the cure.
fn compose_warning(warning: &str) -> (Severity, &'static str, &'static str) {
    if warning.contains("variable is not set") {
        let why = "the candidate may get another value than the live container has";
        (Severity::Warning, why, "set it in `.env` or in the environment, or give it a default: `${NAME:-default}`")
    } else if warning.contains("is obsolete") {
        (Severity::Note, "compose ignores the line; a swap does not need it", "remove the line")
    } else {
        (Severity::Warning, "what compose ignores or assumes may not be what was meant", "correct what it names")
    }
}

/// Returns the services of which nothing is told: an nginx has a part of its own beside the services that it fronts.
fn passed_over(facts: &DoctorFacts) -> Vec<ServiceName> {
    let fronts = |name: &ServiceName| {
        facts.services.iter().flat_map(|service| &service.nginxes).any(|nginx| nginx.proxy == name.as_str())
    };
    facts.passed_over.iter().filter(|name| !fronts(name)).cloned().collect()
}

fn project(facts: &DoctorFacts, list: &mut List) {
    let Some(project) = &facts.project else { return };
    match project {
        Ok(ProjectFacts { name, files, services, warnings }) => {
            list.part(format!("project {name}"));
            let plural = if *services == 1 { "" } else { "s" };
            list.ok(format!("{files}: {services} service{plural}, no mistake in `x-swap`"));
            for warning in warnings {
                let (severity, why, cure) = compose_warning(warning);
                list.say(severity, format!("compose warns: {warning}"), why, cure);
            }
            let passed_over = passed_over(facts);
            if facts.services.is_empty() {
                list.say(
                    Severity::Warning,
                    "no service has `x-swap:`, and no nginx that runs sends requests to one",
                    "nothing is prepared for a swap",
                    "`swap init SERVICE` shows what to add",
                );
            } else if let [first, ..] = &passed_over[..] {
                list.say(
                    Severity::Note,
                    format!("not examined: {}", crate::model::list_services(&passed_over)),
                    "no `x-swap:` is written there, and no nginx sends requests there",
                    format!("`swap doctor {first}` examines it all the same"),
                );
            }
        }
        Err(failure) => {
            list.part("project");
            list.failure(Severity::Error, failure, "swap knows of a project only what compose reads");
        }
    }
}

fn front(nginx: &NginxFacts, list: &mut List) {
    list.part(format!("nginx ({})", nginx.proxy));
    if let Some(version) = &nginx.version {
        list.ok(format!("nginx {version} runs and accepts its configuration"));
    }
    if let Some((pattern, place)) = &nginx.include {
        list.ok(format!("`include {pattern};` stands at {place}"));
    }
    for pass in &nginx.passes {
        list.ok(format!("{pass} goes through swap's upstream"));
    }
    if let Some(folder) = &nginx.folder {
        list.ok(format!("`{folder}` is a directory that swap can write and that outlives the container"));
    }
    for (name, setting) in &nginx.settings {
        match setting {
            Setting::Theirs(value) => list.ok(format!("`{name} {value}`")),
            Setting::Ours => list.ok(format!("`{name}` is left to swap, which sets it in a file of its own")),
            Setting::Absent => list.ok(format!("`{name}` is not set, as it should be")),
        }
    }
    for problem in &nginx.problems {
        list.failure(Severity::Error, problem, "swap refuses before any change: nginx would not follow a switch");
    }
    for notice in &nginx.notices {
        list.notice(Severity::Warning, notice, "a swap works, but some clients may notice it");
    }
    restarts(nginx.restart.as_deref(), &nginx.proxy, list);
}

/// Says what a reboot does.
fn restarts(policy: Option<&str>, service: &str, list: &mut List) {
    match policy {
        Some("no" | "") => list.say(
            Severity::Note,
            format!("`{service}` has no restart policy"),
            "after a reboot of the machine, or of the engine, it stays down until somebody starts it",
            format!("write `restart: unless-stopped` under `services: {service}:`"),
        ),
        Some(policy) => list.ok(format!("`restart: {policy}`: it comes back after a reboot")),
        None => {}
    }
}

fn one_service(facts: &ServiceFacts, list: &mut List) {
    let seen = &facts.observed;
    let name = &seen.name;
    list.part(format!("service {name}"));
    let of_nginx: Vec<&Failure> = facts.nginxes.iter().flat_map(|nginx| &nginx.problems).collect();
    let of_hooks: Vec<&Failure> = facts.hooks.iter().filter_map(|hook| hook.as_ref().err()).collect();
    let refused = if facts.asked { refusals(seen) } else { single(seen) };
    for refusal in refused.iter().filter(|refusal| !of_nginx.contains(refusal) && !of_hooks.contains(refusal)) {
        list.failure(Severity::Error, refusal, &format!("`swap {name}` is refused before any change"));
    }
    if facts.asked && !seen.live.is_empty() {
        list.ok(format!("live: {}", crate::plan::names(&seen.live)));
    }
    if let Some(image) = &seen.image {
        list.ok(format!("image: {} ({})", image.name, crate::text::short(&image.id)));
    }
    if single(seen).is_empty() {
        list.ok("two of its containers can run beside each other");
    }
    let is_worker = facts.asked && of_nginx.is_empty() && refused.is_empty();
    match &seen.fronts[..] {
        [first, ..] => {
            list.ok(format!("nginx talks to its port {}", first.port));
            seen.fronts.iter().for_each(|front| named_by(facts, front, list));
        }
        [] if is_worker => list.ok("no nginx sends requests to it: a worker, swapped without switch and drain"),
        [] => {}
    }
    answered(facts, list);
    checks(facts, list);
    ends(seen, list);
    costs(seen, list);
    restarts(facts.restart.as_deref(), name.as_str(), list);
    hooks(facts, list);
    for run in &facts.unfinished {
        list.say(
            Severity::Warning,
            format!("run {run} is unfinished"),
            "containers of it may still be there; the next swap of the service cleans up first",
            format!("`swap resume {name}` finishes it, `swap rollback {name}` unwinds it"),
        );
    }
}

/// Says how nginx's file names the service.
fn named_by(facts: &ServiceFacts, front: &Front, list: &mut List) {
    let name = &facts.observed.name;
    let file = match facts.observed.fronts.len() {
        1 => front.file(name),
        _ => format!("{} of {}", front.file(name), front.proxy),
    };
    if !front.current && facts.unfinished.is_empty() {
        list.say(
            Severity::Note,
            format!("{file} does not name the live containers by address yet"),
            "until then nginx finds the service by DNS, which knows containers that are not ready",
            format!("nothing: the first `swap {name}` does it"),
        );
    }
    if !front.asks_dns {
        list.say(
            Severity::Note,
            format!("{file} keeps addresses between two swaps: this nginx can't ask the engine's DNS for `{name}`"),
            "after a restart of the machine another container may have the address, and gets the requests",
            format!(
                "let `{name}` be alone in a network, where nobody else gets an address: `networks: [ {name}-only ]` under \
                 `services: {name}:`, `networks: {{ {name}-only: {{}} }}` at the end; and run `swap {name}` after each start \
                 of the machine"
            ),
        );
    }
}

/// Says how long the service may take to stop.
fn ends(seen: &ObservedService, list: &mut List) {
    let name = &seen.name;
    let told = match seen.grace {
        Some(grace) => format!("it may take {} to stop", format_duration(grace)),
        None => "it may take 10s to stop, the engine's default".to_owned(),
    };
    match seen.grace {
        Some(grace) if grace < Duration::from_secs(1) => list.say(
            Severity::Warning,
            told,
            "what it still does for others than nginx is cut",
            format!("write `stop_grace_period: 10s` under `services: {name}:`"),
        ),
        _ => list.ok(told),
    }
}

/// Says what a swap of the service costs.
fn costs(seen: &ObservedService, list: &mut List) {
    if seen.settings.order == Order::StopFirst {
        list.say(
            Severity::Note,
            "`order: stop-first`: the old container stops before the new one starts",
            "nobody serves in between",
            "leave `order` out if two containers may run at once",
        );
    }
    for notice in &seen.room {
        list.notice(Severity::Warning, notice, "for a while two of its containers run beside each other");
    }
    for leftover in &seen.leftovers {
        list.notice(Severity::Note, leftover, "what still passes to it gets whoever has those addresses now");
    }
    for notice in unshared(seen) {
        list.notice(Severity::Warning, &notice, "what the old container kept there is not in the new one");
    }
}

/// Says which phases the hooks are asked in and what they are granted, or why they can't be.
fn hooks(facts: &ServiceFacts, list: &mut List) {
    let service = &facts.observed.name;
    for hook in &facts.hooks {
        match hook {
            Ok(HookFacts { name, phases, needs }) => {
                let phases: Vec<&str> = phases.iter().map(|phase| phase.name()).collect();
                let needs: Vec<String> = needs.iter().map(Grant::to_string).collect();
                let granted = if needs.is_empty() { String::new() } else { format!("; granted: {}", needs.join(", ")) };
                list.ok(format!("hook {name}: {}{granted}", phases.join(", ")));
            }
            Err(failure) => {
                list.failure(Severity::Error, failure, &format!("`swap {service}` is refused before any change"))
            }
        }
    }
}

/// Says whether users get answers from each live container.
fn answered(facts: &ServiceFacts, list: &mut List) {
    let name = &facts.observed.name;
    let Some(Answers { url, reaches, status, silent }) = &facts.answers else { return };
    let live = crate::plan::names(&facts.observed.live);
    let page =
        format!("name a page that it answers: `probe: /PAGE` in its `x-swap`, or `swap doctor --probe /PAGE {name}`");
    match (reaches, status) {
        (Reaches::Live { .. }, Some(status @ 500..)) => list.say(
            Severity::Warning,
            format!("{live} answers {status} to {url}"),
            "a swap that goes wrong looks the same",
            page,
        ),
        (Reaches::Live { .. }, _) if silent.is_empty() => list.ok(format!("{live} answers {url}")),
        (Reaches::Live { .. }, _) => list.say(
            Severity::Warning,
            format!("no request for {url} came to {}", silent.join(", ")),
            "nobody has seen that users get answers from there",
            format!("if one client always gets one container (`ip_hash`, `hash`), nothing; else `swap {name}` names each of them to nginx"),
        ),
        (Reaches::NotLive { why } | Reaches::Unknown { why }, Some(500..)) => list.say(
            Severity::Error,
            format!("no answer of {live} comes through the front door: {url}: {why}"),
            "users get none either",
            format!("see what nginx and the container say: `docker compose logs --tail 20`; a version that answers is brought by `swap {name}`"),
        ),
        // Where swap runs may not be where users are: in a container of its own, say.
        (Reaches::NotLive { why } | Reaches::Unknown { why }, _) => list.say(
            Severity::Warning,
            format!("no answer of {live} was seen at {url}: {why}"),
            "whether users get answers from there is not known",
            page,
        ),
    }
}

/// Says what is known about "healthy".
fn checks(facts: &ServiceFacts, list: &mut List) {
    let seen = &facts.observed;
    let health_hook =
        facts.hooks.iter().any(|hook| hook.as_ref().is_ok_and(|hook| hook.phases.contains(&Phase::Health)));
    let mut known: Vec<String> = seen.healthcheck.iter().map(|_| "its HEALTHCHECK".to_owned()).collect();
    known.extend(seen.settings.health.iter().map(ToString::to_string));
    if health_hook {
        known.push("a hook".to_owned());
    }
    if !known.is_empty() {
        list.ok(format!("healthy when {} agree{}", known.join(" and "), if known.len() == 1 { "s" } else { "" }));
    } else if facts.asked {
        let (what, cure) = match seen.front() {
            Some(_) => ("that its port accepts connections", "x-swap: { health: { http: /up } }"),
            None => ("that it runs for a second", "x-swap: { health: ./healthcheck }"),
        };
        list.say(
            Severity::Warning,
            format!("nothing but {what} tells whether it is healthy: it has no HEALTHCHECK and no `health:`"),
            "a version that answers every request with an error would be swapped in",
            format!("write `{cure}`, or the check that you have, under `services: {}:`", seen.name),
        );
    }
}

fn state(state: &StateFacts, list: &mut List) {
    list.part("state folder");
    let path = state.path.display();
    match &state.room {
        Err(failure) => {
            list.failure(Severity::Error, failure, "without a journal a swap that is killed can't be resumed")
        }
        Ok(room) if *room < LITTLE_ROOM => list.say(
            Severity::Warning,
            format!("`{path}` has only {} MB left", room / 1_000_000),
            "a run stops and unwinds when its journal can't be written",
            "free some disk space, or choose another folder with SWAP_STATE_DIR",
        ),
        Ok(_) => list.ok(format!("`{path}` is private, and there is room in it")),
    }
}

/// Returns the findings as people read them, part by part.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut part = "";
    for Finding { part: of, severity, what, why, cure, tail } in findings {
        if of != part {
            text += &format!("{of}\n");
            part = of;
        }
        text += &format!("  {severity:<8} {}\n", indented(what));
        for line in tail {
            text += &format!("           | {line}\n");
        }
        for (label, line) in [("why", why), ("do", cure)] {
            if let Some(line) = line.as_ref().filter(|line| !line.is_empty()) {
                text += &format!("           {label:<4} {}\n", indented(line));
            }
        }
    }
    text
}

/// A text of several lines stays below its first one.
fn indented(text: &str) -> String {
    text.replace('\n', "\n                ")
}

/// Returns the last line: how many of each kind, and what they mean. It says "ready" only where an answer was seen.
pub fn verdict(facts: &DoctorFacts, findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let told = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{count} {word}s")),
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let counts = [told(errors, "error"), told(warnings, "warning"), told(count(Severity::Note), "note")];
    let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    match (errors, warnings) {
        (0, _) if !facts.are_answered() => {
            let counts = if counts.is_empty() { counts } else { format!(": {counts}") };
            format!("a swap is not refused, but no answer was seen from each live container{counts}")
        }
        (0, 0) if counts.is_empty() => "ready to swap".to_owned(),
        (0, 0) => format!("ready to swap: {counts}"),
        (0, _) => format!("ready to swap, at a cost: {counts}"),
        _ => format!("not ready: {counts}"),
    }
}

#[cfg(test)]
#[path = "findings/tests.rs"]
mod tests;
