//! Whether what was written is right: nginx and compose accept it, all requests for the service go through swap's upstream, and
//! nothing else has changed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde_json::{Map, Value};

use super::case::Case;
use super::stage::{Stage, from_emerg};
use super::ways::{self, Reach, Statement};

/// What nginx and compose make of a project.
#[derive(Debug)]
pub(super) struct Look {
    statements: Vec<Statement>,
    config: Value,
}

/// Asks both of them.
pub(super) fn look(stage: &Stage) -> Result<Look> {
    let config = stage.config()?;
    let answer = stage.ask()?;
    let said = answer.stderr.lines().rfind(|line| line.contains("[emerg]")).or(answer.stderr.lines().last());
    let dump = answer.stdout.split_once("CORPUS BEGINS\n").map(|(_, dump)| dump).filter(|_| answer.code == 0);
    ensure!(dump.is_some(), "nginx refuses it: {}", from_emerg(said.unwrap_or_default()));
    Ok(Look { statements: ways::statements(dump.unwrap_or_default()), config })
}

impl Look {
    /// Returns how many passes lead to the service, past swap.
    pub(super) fn leads(&self, case: &Case) -> usize {
        ways::follow(&self.statements, &self.names(case), None).to_names
    }

    /// Returns all by which the service is known.
    fn names(&self, case: &Case) -> BTreeSet<String> {
        if case.is_of_machine() {
            let (_, port) = case.address();
            let port = port.unwrap_or(80);
            return ["127.0.0.1", "localhost"].iter().map(|host| format!("{host}:{port}")).collect();
        }
        let service = &self.config["services"][case.name()];
        let text = |value: &Value| value.as_str().map(str::to_lowercase);
        let mut names: BTreeSet<String> = [Some(case.name().to_lowercase()), text(&service["container_name"])]
            .into_iter()
            .chain([text(&service["hostname"])])
            .flatten()
            .collect();
        for network in service["networks"].as_object().into_iter().flat_map(Map::values) {
            names.extend(network["aliases"].as_array().into_iter().flatten().filter_map(text));
        }
        let nginx = case.nginx.as_deref().unwrap_or("nginx");
        let links = self.config["services"][nginx]["links"].as_array().into_iter().flatten().filter_map(text);
        names.extend(links.filter_map(|link| {
            let (to, alias) = link.split_once(':')?;
            (to == case.name().to_lowercase()).then(|| alias.to_owned())
        }));
        names
    }

    /// Returns the upstreams of swap's files, by their names, with their servers.
    fn swaps(&self) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for statement in self.statements.iter().filter(|statement| is_swaps(statement)) {
            if let ([server, address, ..], Some([_, name])) =
                (&statement.words[..], statement.blocks.last().map(Vec::as_slice))
                && server == "server"
            {
                all.entry(name.clone()).or_default().push(address.clone());
            }
        }
        all
    }
}

fn is_swaps(statement: &Statement) -> bool {
    statement.file.contains("/swap/")
}

/// Returns what is wrong with what was written.
pub(super) fn compare(case: &Case, before: &Look, after: &Look) -> Vec<String> {
    let mut problems = Vec::new();
    let swaps = after.swaps();
    let Some((upstream, servers)) = swaps.first_key_value().filter(|_| swaps.len() == 1) else {
        return vec![format!("{} upstreams of swap's are read", swaps.len())];
    };
    let names: BTreeSet<String> = before.names(case).union(&after.names(case)).cloned().collect();
    let Reach { to_names: led, .. } = ways::follow(&before.statements, &names, None);
    let Reach { to_names: past, to_upstream: through } = ways::follow(&after.statements, &names, Some(upstream));
    if past > 0 {
        problems.push(format!("{past} passes still go past swap"));
    }
    if through == 0 || through < led {
        problems.push(format!("{through} passes go through swap, and {led} led to the service"));
    }
    let ports = ports_of(before, &names);
    let port = servers.first().and_then(|server| server.rsplit_once(':')).map(|(_, port)| port.to_owned());
    if !case.is_of_machine() && !ports.is_empty() && !port.as_ref().is_some_and(|port| ports.contains(port)) {
        problems.push(format!("swap's upstream has {servers:?}, and nginx used {ports:?}"));
    }
    problems.extend(other_statements(before, after));
    problems.extend(other_services(case, &before.config, &after.config));
    problems
}

/// Returns the ports that are written after one of the names anywhere.
fn ports_of(look: &Look, names: &BTreeSet<String>) -> BTreeSet<String> {
    let words = look.statements.iter().flat_map(|statement| statement.words.iter().skip(1));
    let ports = words.filter_map(|word| {
        let (host, rest) = word.split_once("://").map_or(&word[..], |(_, rest)| rest).split_once(':')?;
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (names.contains(&host.to_lowercase()) && !port.is_empty()).then_some(port)
    });
    ports.collect()
}

/// Returns statements that have come or gone without a reason.
fn other_statements(before: &Look, after: &Look) -> Vec<String> {
    let counted = |look: &Look| {
        let mut counts: BTreeMap<(Vec<Vec<String>>, Vec<String>), i32> = BTreeMap::new();
        for statement in look.statements.iter().filter(|statement| !is_swaps(statement)) {
            let first = statement.words.first().map_or("", String::as_str);
            let inner = statement.blocks.last().and_then(|block| block.first()).map_or("", String::as_str);
            let is_ours = statement.is_pass() || matches!(first, "set" | "upstream") || inner == "upstream";
            let is_value = matches!(inner, "map" | "geo" | "split_clients");
            let includes = first == "include" && statement.words.get(1).is_some_and(|path| path.contains("/swap/"));
            if !is_ours && !is_value && !includes {
                *counts.entry((statement.blocks.clone(), statement.words.clone())).or_default() += 1;
            }
        }
        counts
    };
    let (old, new) = (counted(before), counted(after));
    let all: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let differ = all.into_iter().filter(|key| old.get(*key) != new.get(*key));
    differ.map(|(_, words)| format!("`{}` has changed", words.join(" "))).take(3).collect()
}

/// Returns what has changed in the compose project beside what a swap needs.
fn other_services(case: &Case, before: &Value, after: &Value) -> Vec<String> {
    let empty = Map::new();
    let services = |config: &Value| config["services"].as_object().cloned().unwrap_or_default();
    let (old, new) = (services(before), services(after));
    let mut problems = Vec::new();
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let of = |all: &Map<String, Value>| all.get(name).and_then(Value::as_object).unwrap_or(&empty).clone();
        let (mut old, mut new) = (of(&old), of(&new));
        let free: &[&str] = match (name == case.name(), Some(name.as_str()) == case.nginx.as_deref().or(Some("nginx")))
        {
            (true, _) => &["x-swap", "container_name", "ports", "expose", "networks"],
            (_, true) => &["volumes"],
            _ => &["expose"],
        };
        if Some(name.as_str()) == case.nginx.as_deref().or(Some("nginx")) {
            let mounts = |service: &Map<String, Value>| {
                service.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default()
            };
            let (had, has) = (mounts(&old), mounts(&new));
            if had.iter().any(|mount| !has.contains(mount)) || has.len() > had.len() + 1 {
                problems.push(format!("the volumes of `{name}` have changed"));
            }
        }
        for key in free {
            old.remove(*key);
            new.remove(*key);
        }
        if old != new {
            problems.push(format!("`{name}` has changed in the compose file"));
        }
        if name == case.name() {
            let own = after["services"][name].as_object().unwrap_or(&empty);
            let is_fixed =
                |port: &Value| port["published"].as_str().is_some_and(|port| !port.is_empty() && port != "0");
            if own.contains_key("container_name") {
                problems.push(format!("`{name}` keeps its container_name"));
            }
            if own.get("ports").and_then(Value::as_array).into_iter().flatten().any(is_fixed) {
                problems.push(format!("`{name}` keeps a published port"));
            }
            let networks = |config: &Value| {
                let networks = config["services"][name]["networks"].as_object().unwrap_or(&empty);
                networks.keys().cloned().collect::<BTreeSet<_>>()
            };
            if networks(before) != networks(after) {
                problems.push(format!("`{name}` is in other networks"));
            }
        }
    }
    problems
}

/// Tells in a few words what was done.
pub(super) fn summary(case: &Case, before: &Look, after: &Look) -> String {
    let swaps = after.swaps();
    let Some((upstream, servers)) = swaps.first_key_value() else { return String::new() };
    let through = ways::follow(&after.statements, &after.names(case), Some(upstream)).to_upstream;
    let led = before.leads(case);
    let told = if led == through { through.to_string() } else { format!("{through}, {led} seen before") };
    format!("passes: {told}; {upstream} at {}", servers.join(" and "))
}
