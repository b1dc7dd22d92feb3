//! `x-swap` → [`Settings`], with every mistake of the file at once.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::{
    Check, Dns, Failure, Harm, HookSpec, MOST_KEPT, MOST_PROBE_RATE, OldVolumes, Order, ProxyChoice, ServiceName,
    Settings, probe_url,
};
use crate::text::{is_control, nearest, printable};

/// The key of the settings, in a service and at the top of the file.
pub(super) const KEY: &str = "x-swap";

const KEYS: [&str; 15] = [
    "port",
    "proxy",
    "upstream",
    "health",
    "successes",
    "watch",
    "probe",
    "timeouts",
    "order",
    "keep",
    "dns",
    "anonymous-volumes",
    "sidecars",
    "room",
    "hooks",
];
const TIMEOUT_KEYS: [&str; 4] = ["health", "drain", "reload", "hook"];
const HEALTH_KEYS: [&str; 4] = ["http", "tcp", "command", "shell"];
const PROBE_KEYS: [&str; 2] = ["url", "rate"];
const PROXY_KEYS: [&str; 1] = ["container"];
const HOOK_KEYS: [&str; 3] = ["use", "config", "allow"];
const ORDERS: [&str; 2] = ["start-first", "stop-first"];
const DNS: [(&str, Dns); 2] = [("when-healthy", Dns::WhenHealthy), ("at-start", Dns::AtStart)];
const OLD_VOLUMES: [(&str, OldVolumes); 2] = [("keep", OldVolumes::Keep), ("remove", OldVolumes::Remove)];
const HARM: [(&str, Harm); 2] = [("refuse", Harm::Refuse), ("accept", Harm::Accept)];
const DURATIONS: &str = "durations are written as `5s`, `1m30s` or `500ms`";

/// Reads settings and collects what is wrong with them, each with its full path.
pub(super) struct Reader<'a> {
    /// What relative paths of hooks are relative to.
    pub directory: &'a Path,
    /// The services of the project.
    pub services: Vec<&'a str>,
    mistakes: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Makes a reader for a project in this folder with these services.
    pub(super) fn new(directory: &'a Path, services: Vec<&'a str>) -> Self {
        Self { directory, services, mistakes: Vec::new() }
    }

    /// Reads an `x-swap` section; `path` names it in mistakes, as `services.app.x-swap`.
    pub(super) fn settings(&mut self, path: &str, value: &Value) -> Settings {
        let mut settings = Settings::default();
        let Some(map) = self.map(path, value, &KEYS) else { return settings };
        for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
            let path = format!("{path}.{key}");
            match key.as_str() {
                "port" => settings.port = self.number(&path, value, 1, u32::from(u16::MAX)).map(|port| port as u16),
                "proxy" => self.proxy(&path, value, &mut settings),
                "upstream" => settings.upstream = self.upstream(&path, value),
                "health" => settings.health = self.health(&path, value),
                "successes" => settings.successes = self.number(&path, value, 1, 1000).unwrap_or_default(),
                "watch" => settings.watch = self.duration(&path, value).unwrap_or_default(),
                "probe" => self.probe(&path, value, &mut settings),
                "timeouts" => self.timeouts(&path, value, &mut settings),
                "order" => settings.order = self.order(&path, value),
                "keep" => settings.keep = self.number(&path, value, 0, MOST_KEPT),
                "dns" => settings.dns = self.one_of(&path, value, &DNS),
                "anonymous-volumes" => settings.anonymous_volumes = self.one_of(&path, value, &OLD_VOLUMES),
                "sidecars" => settings.sidecars = self.one_of(&path, value, &HARM),
                "room" => settings.room = self.one_of(&path, value, &HARM),
                "hooks" => settings.hooks = self.hooks(&path, value),
                _ => {}
            }
        }
        settings
    }

    /// Tells how many mistakes there were up to now.
    pub(super) fn mistakes(&self) -> usize {
        self.mistakes.len()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// There were mistakes; `files` names where, as `compose.yml + compose.override.yml`.
    pub(super) fn finish(self, files: &str) -> Result<(), Failure> {
        let cure = format!("correct {files}; the README lists the keys of {KEY}");
        match &self.mistakes[..] {
            [] => Ok(()),
            [one] => Err(Failure::new(format!("{files}: {one}")).hint(cure)),
            many => {
                Err(Failure::new(format!("{files}: {} mistakes in {KEY}", many.len())).hint(cure).tail(self.mistakes))
            }
        }
    }

    fn mistake(&mut self, path: &str, what: impl AsRef<str>) {
        self.mistakes.push(printable(&format!("`{path}`: {}", what.as_ref())));
    }

    /// Takes a map and reports keys that it may not have.
    fn map<'v>(&mut self, path: &str, value: &'v Value, keys: &[&str]) -> Option<&'v Map<String, Value>> {
        let Some(map) = value.as_object() else {
            if !value.is_null() {
                self.mistake(path, format!("{} where a map belongs (keys: {})", kind(value), keys.join(", ")));
            }
            return None;
        };
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.mistake(path, format!("unknown key `{key}`{} (keys: {})", meant(key, keys), keys.join(", ")));
        }
        Some(map)
    }

    fn number(&mut self, path: &str, value: &Value, least: u32, most: u32) -> Option<u32> {
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let number = number.and_then(|number| u32::try_from(number).ok()).filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.mistake(path, format!("{} is not a whole number from {least} to {most}", kind(value)));
        }
        number
    }

    fn duration(&mut self, path: &str, value: &Value) -> Option<Duration> {
        let (text, number) = match value {
            Value::String(text) => (text.trim().to_owned(), text.trim().parse::<f64>().ok()),
            Value::Number(number) => (number.to_string(), number.as_f64()),
            other => {
                self.mistake(path, format!("{} where a duration belongs; {DURATIONS}", kind(other)));
                return None;
            }
        };
        if number == Some(0.0) {
            return Some(Duration::ZERO);
        }
        match humantime::parse_duration(&text) {
            Ok(duration) => Some(duration),
            Err(_) if number.is_some_and(|number| number > 0.0) => {
                self.mistake(path, format!("`{text}` has no unit: write `{text}s` for seconds"));
                None
            }
            Err(_) => {
                self.mistake(path, format!("`{text}` is not a duration; {DURATIONS}"));
                None
            }
        }
    }

    fn probe(&mut self, path: &str, value: &Value, settings: &mut Settings) {
        let Some(map) = value.as_object() else {
            settings.probe = self.probe_url(path, value);
            return;
        };
        self.map(path, value, &PROBE_KEYS);
        settings.probe = match map.get("url") {
            Some(url) => self.probe_url(&format!("{path}.url"), url),
            None => Some("/".to_owned()),
        };
        if let Some(rate) = map.get("rate") {
            settings.probe_rate = self.number(&format!("{path}.rate"), rate, 1, MOST_PROBE_RATE);
        }
    }

    fn probe_url(&mut self, path: &str, value: &Value) -> Option<String> {
        let probe = self.name(path, value, "a path as `/` or a URL as `http://localhost:8080/`")?;
        probe_url(&probe).map_err(|mistake| self.mistake(path, mistake)).ok()
    }

    /// Takes a scalar that must be text.
    fn text(&mut self, path: &str, value: &Value, wanted: &str) -> Option<String> {
        match value {
            Value::String(text) if text.trim().is_empty() => {
                self.mistake(path, format!("empty, where {wanted} belongs"))
            }
            Value::String(text) => return Some(text.clone()),
            other => self.mistake(path, format!("{} where {wanted} belongs", kind(other))),
        }
        None
    }

    /// Takes a text that is a name, a path or an address, which is shown and opened and never has a control character.
    fn name(&mut self, path: &str, value: &Value, wanted: &str) -> Option<String> {
        let text = self.text(path, value, wanted)?;
        if text.chars().any(is_control) {
            self.mistake(path, format!("`{text}` has a control character"));
            return None;
        }
        Some(text)
    }

    fn texts(&mut self, path: &str, value: &Value, wanted: &str) -> Vec<String> {
        let one = [value.clone()];
        let items = value.as_array().map_or(&one[..], Vec::as_slice);
        let texts = items.iter().enumerate().map(|(index, item)| self.text(&at(path, value, index), item, wanted));
        texts.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    fn proxy(&mut self, path: &str, value: &Value, settings: &mut Settings) {
        let wanted = "a service's name, `PROJECT/SERVICE`, `{ container: NAME }`, `host` or `none`";
        if value.is_object() {
            let named = self.map(path, value, &PROXY_KEYS).and_then(|map| map.get("container"));
            let path = format!("{path}.container");
            let Some(name) = named.and_then(|name| self.text(&path, name, "a container's name")) else { return };
            match name.parse() {
                Ok(name) => settings.proxy = Some(ProxyChoice::Container(name)),
                Err(_) => self.mistake(&path, format!("`{name}` is not a container's name")),
            }
            return;
        }
        let Some(name) = self.text(path, value, wanted) else { return };
        match (name.as_str(), ProxyChoice::parse(&name)) {
            ("none", _) => settings.no_proxy = true,
            (name, Ok(ProxyChoice::Service(_)) | Err(_)) if !self.services.contains(&name) => {
                let services = self.services.join(", ");
                let what = format!(
                    "`{name}` is no service{} (services: {services}; or `PROJECT/SERVICE`, `{{ container: NAME }}`, `host`, \
                     or `none`)",
                    meant(name, &self.services)
                );
                self.mistake(path, what);
            }
            (_, choice) => settings.proxy = choice.ok(),
        }
    }

    /// Takes the name of an upstream, which becomes a file's: as strict as a service's.
    fn upstream(&mut self, path: &str, value: &Value) -> Option<ServiceName> {
        let name = self.text(path, value, "the name of an upstream")?;
        let parsed = name.parse().ok();
        if parsed.is_none() {
            self.mistake(path, format!("`{name}` is not a name as services have: letters, digits, `.`, `_`, `-`"));
        }
        parsed
    }

    fn health(&mut self, path: &str, value: &Value) -> Vec<Check> {
        match value {
            // The form of compose's own healthcheck.
            Value::Array(items) if items.first().and_then(Value::as_str) == Some("CMD") => {
                let command = Value::Array(items[1..].to_vec());
                self.command(path, &command).into_iter().collect()
            }
            Value::Array(items) if items.first().and_then(Value::as_str) == Some("CMD-SHELL") => {
                let lines = self.texts(path, &Value::Array(items[1..].to_vec()), "a line for the shell");
                vec![Check::Shell(lines.join(" "))]
            }
            Value::Array(items) => {
                let checks = items.iter().enumerate().map(|(index, item)| self.check(&at(path, value, index), item));
                checks.collect::<Vec<_>>().concat()
            }
            one => self.check(path, one),
        }
    }

    /// Reads one check, or several that stand in one map.
    fn check(&mut self, path: &str, value: &Value) -> Vec<Check> {
        if !value.is_object() {
            let wanted = "a line for the shell, `{ http: /up }`, `{ tcp: true }` or `{ command: [ … ] }`";
            return self.text(path, value, wanted).map(Check::Shell).into_iter().collect();
        }
        let Some(map) = self.map(path, value, &HEALTH_KEYS) else { return Vec::new() };
        let mut checks = Vec::new();
        for (key, value) in map {
            let path = format!("{path}.{key}");
            match key.as_str() {
                "http" => match self.text(&path, value, "a path such as `/up`") {
                    Some(http)
                        if http.starts_with('/') && !http.contains(|c: char| c.is_whitespace() || c.is_control()) =>
                    {
                        checks.push(Check::Http(http));
                    }
                    Some(http) => self.mistake(&path, format!("`{http}` is not a path such as `/up`")),
                    None => {}
                },
                "tcp" => match value {
                    Value::Bool(true) => checks.push(Check::Tcp),
                    Value::Bool(false) => {}
                    other => self.mistake(&path, format!("{} where `true` belongs", kind(other))),
                },
                "command" => checks.extend(self.command(&path, value)),
                "shell" => checks.extend(self.text(&path, value, "a line for the shell").map(Check::Shell)),
                _ => {}
            }
        }
        checks
    }

    /// Reads a command: a list is the program and its arguments, text is a line for the shell.
    fn command(&mut self, path: &str, value: &Value) -> Option<Check> {
        let Some(items) = value.as_array() else {
            return self.text(path, value, "a command").map(Check::Shell);
        };
        let mut words = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match scalar(item) {
                Some(word) => words.push(word),
                None => self.mistake(&format!("{path}[{index}]"), format!("{} where a word belongs", kind(item))),
            }
        }
        if items.is_empty() {
            self.mistake(path, "an empty list where a command belongs");
        }
        (!words.is_empty()).then_some(Check::Command(words))
    }

    fn timeouts(&mut self, path: &str, value: &Value, settings: &mut Settings) {
        let Some(map) = self.map(path, value, &TIMEOUT_KEYS) else { return };
        let limits = &mut settings.timeouts;
        let keys =
            TIMEOUT_KEYS.into_iter().zip([&mut limits.health, &mut limits.drain, &mut limits.reload, &mut limits.hook]);
        for (key, limit) in keys {
            if let Some(value) = map.get(key).filter(|value| !value.is_null())
                && let Some(duration) = self.duration(&format!("{path}.{key}"), value)
            {
                if key != "drain" && duration.is_zero() {
                    self.mistake(&format!("{path}.{key}"), "nothing can be done in no time");
                }
                *limit = duration;
            }
        }
    }

    fn order(&mut self, path: &str, value: &Value) -> Order {
        match value.as_str() {
            Some("start-first") => Order::StartFirst,
            Some("stop-first") => Order::StopFirst,
            text => {
                let meant = text.map(|text| meant(text, &ORDERS)).unwrap_or_default();
                self.mistake(path, format!("{} is no order{meant} (orders: {})", kind(value), ORDERS.join(", ")));
                Order::default()
            }
        }
    }

    /// Takes one of a few words.
    fn one_of<T: Copy + Default>(&mut self, path: &str, value: &Value, words: &[(&str, T)]) -> T {
        let known = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if let Some((_, choice)) = known {
            return *choice;
        }
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let meant = value.as_str().map(|text| meant(text, &words)).unwrap_or_default();
        self.mistake(path, format!("{} is none of the choices{meant} (choices: {})", kind(value), words.join(", ")));
        T::default()
    }

    fn hooks(&mut self, path: &str, value: &Value) -> Vec<HookSpec> {
        let one = [value.clone()];
        let items = value.as_array().map_or(&one[..], Vec::as_slice);
        let hooks = items.iter().enumerate().map(|(index, item)| self.hook(&at(path, value, index), item));
        hooks.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    fn hook(&mut self, path: &str, value: &Value) -> Option<HookSpec> {
        let mut hook = HookSpec { file: String::new(), config: Default::default(), allow: Vec::new() };
        if !value.is_object() {
            hook.file = self.name(path, value, "a hook's file or `{ use: … }`")?;
        } else {
            let map = self.map(path, value, &HOOK_KEYS)?;
            if let Some(config) = map.get("config").filter(|config| !config.is_null()) {
                match config.as_object() {
                    Some(config) => {
                        hook.config = config.iter().map(|(key, value)| (key.clone(), config_text(value))).collect();
                    }
                    None => self.mistake(&format!("{path}.config"), format!("{} where a map belongs", kind(config))),
                }
            }
            if let Some(allow) = map.get("allow").filter(|allow| !allow.is_null()) {
                hook.allow = self.texts(&format!("{path}.allow"), allow, "a grant such as `exec:db`");
            }
            match map.get("use") {
                Some(file) => hook.file = self.name(&format!("{path}.use"), file, "a hook's file")?,
                None => {
                    self.mistake(path, "the key `use` with the hook's file is missing");
                    return None;
                }
            }
        }
        hook.file = self.directory.join(hook.file).to_string_lossy().into_owned();
        Some(hook)
    }
}

/// Returns the defaults with a service's own settings laid over them: maps key by key, all else as a whole.
pub(super) fn over(defaults: &Value, own: &Value) -> Value {
    match (defaults, own) {
        (defaults, Value::Null) => defaults.clone(),
        (Value::Object(defaults), Value::Object(own)) => {
            let mut merged = defaults.clone();
            for (key, value) in own {
                let value = match (key.as_str(), defaults.get(key)) {
                    // A service's check replaces the default one, whatever form both have.
                    ("timeouts", Some(default)) => over(default, value),
                    _ => value.clone(),
                };
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (_, own) => own.clone(),
    }
}

/// Returns the path of an item of a list, or of the only value where a list could stand.
fn at(path: &str, value: &Value, index: usize) -> String {
    if value.is_array() { format!("{path}[{index}]") } else { path.to_owned() }
}

/// Returns the value as messages show it.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        scalar => format!("`{}`", config_text(scalar)),
    }
}

/// Returns a scalar's text.
fn scalar(value: &Value) -> Option<String> {
    (!value.is_array() && !value.is_object() && !value.is_null()).then(|| config_text(value))
}

/// Returns what a hook reads of a configured value: text as it is, all else as JSON; nothing is empty text.
fn config_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Returns `; did you mean …` if one of the known words is near.
fn meant(word: &str, known: &[&str]) -> String {
    let near = nearest(&word.to_lowercase().replace('_', "-"), known.iter().copied());
    near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
}
