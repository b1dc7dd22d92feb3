//! What compose does with a service's containers beside creating, starting and stopping them, read from what `config` prints.
//!
//! compose ≥ 2.38 puts secrets and configs that are no files into a container when *it* starts it, and runs `post_start`
//! and `pre_stop` only where it starts and stops (`pre_start` from 5.3 on). Whoever starts a container by the engine must
//! do the same.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::project::text;
use crate::model::{Failure, FileKind, InjectedFile, Lifecycle, LifecycleCommand, Moment, Notice, ServiceName};
use crate::text::{is_control, printable};

/// The key under which variables are sent through `config`.
pub(super) const VALUES: &str = "x-swap-values";

/// A service's lifecycle, and what of the service can't be had, or is not obeyed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub lifecycle: Lifecycle,
    pub problems: Vec<Failure>,
    pub notices: Vec<Notice>,
}

/// Reads what a service asks for at start and stop; `config` is the whole project, for what is defined at its top.
pub(super) fn parse(name: &ServiceName, service: &Value, config: &Value) -> Found {
    let mut found = Found::default();
    if let Some(provider) = service.get("provider").filter(|provider| !provider.is_null()) {
        let kind = provider.get("type").and_then(text).unwrap_or_default();
        found.problems.push(
            Failure::new(format!(
                "service `{name}` is made by the provider `{}`, so it has no containers",
                printable(&kind)
            ))
            .hint(format!("`docker compose up -d {name}` asks the provider; swap only replaces containers")),
        );
    }
    for (kind, key) in [(FileKind::Secret, "secrets"), (FileKind::Config, "configs")] {
        for entry in service.get(key).and_then(Value::as_array).into_iter().flatten() {
            match file(name, kind, entry, config.get(key).unwrap_or(&Value::Null)) {
                Ok(file) => found.lifecycle.files.extend(file),
                Err(problem) => found.problems.push(problem),
            }
        }
    }
    if service.get("read_only").and_then(Value::as_bool) == Some(true)
        && let Some(file) = found.lifecycle.files.first()
    {
        found.problems.push(
            Failure::new(format!(
                "service `{name}` is `read_only`, so the {} `{}` can't be put into it",
                file.kind, file.name
            ))
            .hint("compose refuses it too: keep the value in a file and name it by `file:`, which is mounted"),
        );
    }
    let hidden: Vec<Notice> = found.lifecycle.files.iter().filter_map(|file| hidden(file, service)).collect();
    found.notices.extend(hidden);
    found.lifecycle.pre_start = commands(name, Moment::PreStart, service, &mut found.problems);
    found.lifecycle.post_start = commands(name, Moment::PostStart, service, &mut found.problems);
    found.lifecycle.pre_stop = commands(name, Moment::PreStop, service, &mut found.problems);
    found.notices.extend(not_obeyed(name, service));
    found
}

/// Reads an entry of a service's `secrets` or `configs`; `None` where compose mounts a file.
fn file(
    service: &ServiceName,
    kind: FileKind,
    entry: &Value,
    defined: &Value,
) -> Result<Option<InjectedFile>, Failure> {
    let field = |key: &str| entry.get(key).and_then(text).filter(|text| !text.is_empty());
    let Some(name) = text(entry).or_else(|| field("source")) else { return Ok(None) };
    let what = format!("the {kind} `{}` of service `{service}`", printable(&name));
    let source = defined.get(&name).unwrap_or(&Value::Null);
    if source.get("external").is_some_and(|external| !matches!(external, Value::Null | Value::Bool(false))) {
        return Err(Failure::new(format!("{what} is external, which only Swarm can give to a container"))
            .hint("compose refuses it too: name its value by `file:` or `environment:`"));
    }
    let variable = source.get("environment").and_then(text).filter(|variable| !variable.is_empty());
    if variable.is_none() && source.get("content").and_then(text).is_none_or(|content| content.is_empty()) {
        return Ok(None);
    }
    let owner = |key: &str| match field(key).map(|id| id.parse::<u64>()) {
        None => Ok(None),
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(_)) => Err(Failure::new(format!("{what}: its `{key}` is not a number"))
            .hint("compose takes the number of a user or a group, not its name")),
    };
    let mode = match entry.get("mode") {
        None | Some(Value::Null) => Some(0o444),
        // Newer tools write it as text in octal digits, older ones as a plain number.
        Some(Value::String(digits)) => u32::from_str_radix(digits.trim_start_matches("0o"), 8).ok(),
        Some(number) => number.as_u64().and_then(|mode| u32::try_from(mode).ok()),
    };
    let mode = mode.filter(|mode| *mode <= 0o7777).ok_or_else(|| {
        Failure::new(format!("{what}: its `mode` is not a file's")).hint("write it in octal digits, as `mode: 0440`")
    })?;
    let target = match (field("target"), kind) {
        (Some(target), _) if target.starts_with('/') => target,
        (Some(target), FileKind::Secret) => format!("/run/secrets/{target}"),
        (Some(target), FileKind::Config) => format!("/{target}"),
        (None, FileKind::Secret) => format!("/run/secrets/{name}"),
        (None, FileKind::Config) => format!("/{name}"),
    };
    if [&name, &target].into_iter().chain(&variable).any(|name| name.chars().any(is_control)) {
        return Err(Failure::new(format!("{what} has a control character in its name or path")));
    }
    if let Some(variable) = variable.as_ref().filter(|variable| !can_be_asked_for(variable)) {
        return Err(Failure::new(format!(
            "{what} comes from the variable `{variable}`, which no compose file can name"
        ))
        .hint("a variable that can be asked for has letters, digits and `_`"));
    }
    Ok(Some(InjectedFile { kind, name, variable, target, uid: owner("uid")?, gid: owner("gid")?, mode }))
}

fn can_be_asked_for(variable: &str) -> bool {
    let mut letters = variable.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Says that a file can't be seen, as it is put into the container before the tmpfs over it is mounted.
fn hidden(file: &InjectedFile, service: &Value) -> Option<Notice> {
    let short = service.get("tmpfs").map(|tmpfs| tmpfs.as_array().cloned().unwrap_or_else(|| vec![tmpfs.clone()]));
    let mut places: Vec<String> = short.iter().flatten().filter_map(text).collect();
    let volumes = service.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let tmpfs = volumes.filter(|volume| volume.get("type").and_then(Value::as_str) == Some("tmpfs"));
    places.extend(tmpfs.filter_map(|volume| volume.get("target").and_then(text)));
    let place = places
        .iter()
        .map(|place| place.split(':').next().unwrap_or_default().trim_end_matches('/'))
        .find(|place| file.target.strip_prefix(place).is_some_and(|rest| rest.starts_with('/')))?;
    let InjectedFile { kind, name, target, .. } = file;
    Some(
        Notice::new(format!("the {kind} `{name}` is put to `{target}`, where the tmpfs at `{place}` hides it"))
            .cure("compose does the same; give it another `target`"),
    )
}

fn commands(name: &ServiceName, moment: Moment, service: &Value, problems: &mut Vec<Failure>) -> Vec<LifecycleCommand> {
    let entries = service.get(moment.key()).and_then(Value::as_array).into_iter().flatten().enumerate();
    let mut commands = Vec::new();
    for (index, entry) in entries {
        let place = format!("`services.{name}.{moment}[{index}]`");
        let field = |key: &str| entry.get(key).and_then(text).filter(|text| !text.is_empty());
        let words: Vec<String> =
            entry.get("command").and_then(Value::as_array).into_iter().flatten().filter_map(text).collect();
        if words.is_empty() && moment != Moment::PreStart {
            problems.push(
                Failure::new(format!("{place} has no command")).hint("write it as `command: [\"./warm\", \"all\"]`"),
            );
            continue;
        }
        if entry.get("per_replica").and_then(Value::as_bool) == Some(true) {
            problems.push(
                Failure::new(format!("{place} has `per_replica: true`, which compose does not support yet"))
                    .hint("remove it: the command runs once, before the first of the new containers starts"),
            );
        }
        let (user, folder, image) = (field("user"), field("working_dir"), field("image"));
        if [&user, &folder, &image].into_iter().flatten().any(|name| name.chars().any(is_control)) {
            problems.push(Failure::new(format!("{place} has a control character in a name or a path")));
            continue;
        }
        commands.push(LifecycleCommand {
            words,
            user,
            folder,
            image,
            privileged: entry.get("privileged").and_then(Value::as_bool).unwrap_or_default(),
            environment: environment(entry.get("environment")).into_iter().map(|(name, _)| name).collect(),
        });
    }
    commands
}

/// Reads `environment`, as a map or as a list; a variable without a value is taken out of the command's environment.
fn environment(value: Option<&Value>) -> Variables {
    match value {
        Some(Value::Object(map)) => map.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        Some(Value::Array(items)) => {
            let split = |item: String| match item.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (item, None),
            };
            items.iter().filter_map(text).map(split).collect()
        }
        _ => Vec::new(),
    }
}

/// Says what the service asks for and swap does in its own way.
fn not_obeyed(name: &ServiceName, service: &Value) -> Vec<Notice> {
    let mut notices = Vec::new();
    let policy = service.get("pull_policy").and_then(text).unwrap_or_default();
    if !matches!(policy.as_str(), "" | "missing" | "if_not_present" | "never") {
        let command = if policy == "build" { "build" } else { "pull" };
        notices.push(
            Notice::new(format!(
                "`pull_policy: {policy}` of `{name}` is passed over: the candidate is made of the image that is here"
            ))
            .cure(format!("`docker compose {command} {name}` first")),
        );
    }
    let update = service.pointer("/deploy/update_config").and_then(Value::as_object);
    let mut passed_over: Vec<String> = Vec::new();
    for (key, value) in update.into_iter().flatten() {
        let value = text(value).unwrap_or_default();
        let obeyed = match key.as_str() {
            "order" => true,
            "monitor" => go_duration(&value).is_some(),
            "failure_action" => value == "rollback",
            // One replica after the other is no more than all at once where there is one.
            "parallelism" | "delay" | "max_failure_ratio" => matches!(value.as_str(), "" | "0" | "0s"),
            _ => key.starts_with("x-"),
        };
        if !obeyed {
            passed_over.push(format!("{key}: {}", printable(&value)));
        }
    }
    passed_over.sort();
    if !passed_over.is_empty() {
        notices.push(Notice::new(format!(
            "`deploy.update_config` of `{name}` is not obeyed in `{}`: all replicas are replaced at once, and a bad candidate is \
             always rolled back",
            passed_over.join("`, `")
        )));
    }
    notices
}

/// Returns the settings that `deploy.update_config` stands for where `x-swap` says nothing: `order`, and `monitor` as `watch`.
pub(super) fn update_defaults(service: &Value) -> Value {
    let update = service.pointer("/deploy/update_config").unwrap_or(&Value::Null);
    let mut settings = Map::new();
    if let Some(order @ ("start-first" | "stop-first")) = update.get("order").and_then(Value::as_str) {
        settings.insert("order".to_owned(), json!(order));
    }
    if let Some(time) =
        update.get("monitor").and_then(Value::as_str).and_then(go_duration).filter(|time| !time.is_zero())
    {
        settings.insert("watch".to_owned(), json!(humantime::format_duration(time).to_string()));
    }
    if settings.is_empty() { Value::Null } else { Value::Object(settings) }
}

/// Reads a duration as Go writes it, as `1m30s`, `500ms` or `1.5s`, to the millisecond.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |end| digits + end);
        let factor = match &rest[digits..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += rest[..digits].parse::<f64>().ok()? * factor;
        rest = &rest[unit..];
    }
    let millis = (seconds * 1000.0).round();
    (millis < u32::MAX.into()).then(|| Duration::from_millis(millis as u64))
}

/// Variables by name; without a value: one that is to go.
type Variables = Vec<(String, Option<String>)>;

/// Values of a service's lifecycle, as compose reads them now. They may be secret: they go to where they are needed and into
/// no message, plan or journal.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Values {
    variables: BTreeMap<String, String>,
    contents: BTreeMap<String, String>,
    environment: Variables,
    commands: BTreeMap<&'static str, Vec<Variables>>,
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Values(…)")
    }
}

impl Values {
    /// Takes the values out of what `config` printed.
    ///
    /// # Errors
    /// The project has no such service any more.
    pub(super) fn of(service: &ServiceName, config: &Value) -> Result<Self, Failure> {
        let section = config.pointer("/services").and_then(|all| all.get(service.as_str())).ok_or_else(|| {
            Failure::new(format!("service `{service}` is not in the compose file any more"))
                .hint("put it back until the run is over")
        })?;
        let map = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
        let asked = map(config.get(VALUES));
        let set = |name: &String| {
            asked.get(name).and_then(|answer| answer.get("set")).and_then(text).as_deref() == Some("set")
        };
        let value = |name: &String| asked.get(name)?.get("value").and_then(text);
        let list = |moment: Moment| {
            let entries = section.get(moment.key()).and_then(Value::as_array).into_iter().flatten();
            (moment.key(), entries.map(|entry| environment(entry.get("environment"))).collect())
        };
        Ok(Self {
            variables: asked
                .keys()
                .filter(|name| set(name))
                .filter_map(|name| Some((name.clone(), value(name)?)))
                .collect(),
            contents: map(config.get("configs"))
                .into_iter()
                .filter_map(|(name, config)| Some((name, config.get("content").and_then(text)?)))
                .collect(),
            environment: environment(section.get("environment")),
            commands: [Moment::PreStart, Moment::PostStart, Moment::PreStop].map(list).into(),
        })
    }

    /// Returns the content of a file; empty: compose makes none.
    ///
    /// # Errors
    /// Its variable is not set here, or the compose file has no such config any more.
    pub fn file(&self, file: &InjectedFile) -> Result<&str, Failure> {
        match &file.variable {
            Some(variable) => self.variables.get(variable).map(String::as_str).ok_or_else(|| {
                Failure::new(format!(
                    "the variable `{variable}` of the {} `{}` is not set where compose would read it",
                    file.kind, file.name
                ))
                .hint(format!("set {variable} in the environment of swap, in `.env` or in a file for `--env-file`"))
            }),
            None => self.contents.get(&file.name).map(String::as_str).ok_or_else(|| {
                Failure::new(format!("the {} `{}` is not in the compose file any more", file.kind, file.name))
                    .hint("put it back until the run is over")
            }),
        }
    }

    /// Returns the variables of the service itself, those of its `env_file`s included.
    pub fn service_environment(&self) -> &[(String, Option<String>)] {
        &self.environment
    }

    /// Returns the variables of a command; `None` as value: it must not have that one.
    ///
    /// # Errors
    /// The compose file has other commands by now.
    pub fn environment(
        &self,
        moment: Moment,
        index: usize,
        command: &LifecycleCommand,
    ) -> Result<&[(String, Option<String>)], Failure> {
        let found =
            self.commands.get(moment.key()).and_then(|commands| commands.get(index)).map_or(&[][..], Vec::as_slice);
        let same = found.len() == command.environment.len()
            && found.iter().all(|(name, _)| command.environment.contains(name));
        if same {
            return Ok(found);
        }
        Err(Failure::new(format!(
            "{moment} {command} has another `environment` in the compose file than when the run began"
        ))
        .hint("put the compose file back until the run is over"))
    }
}

/// Returns the project that asks for variables, to be laid over the one that is asked: compose itself replaces them.
pub(super) fn question(variables: &[String]) -> String {
    let ask =
        |name: &String| (name.clone(), json!({ "set": format!("${{{name}+set}}"), "value": format!("${{{name}-}}") }));
    json!({ VALUES: variables.iter().map(ask).collect::<Map<String, Value>>() }).to_string()
}

#[cfg(test)]
mod tests;
