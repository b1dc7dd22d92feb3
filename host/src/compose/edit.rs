//! What to change in a compose file so that a service can be swapped: text → edits by position. Pure.
//!
//! The file is read for where things stand and never written anew, so comments, order and spelling stay.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

use serde_json::Value;

use super::{project, read};
use crate::model::{Edit, Failure, ServiceName};

/// A compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeFile {
    /// Its name in messages, as the user would write it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What the files shall say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The service that shall be swapped.
    pub service: ServiceName,
    /// `port` of its `x-swap`; `None`: nothing has to be written.
    pub port: Option<u16>,
    /// What else its `x-swap` shall say: keys and values, as `proxy` and `edge/nginx`.
    pub settings: Vec<(String, String)>,
    /// Whether it exposes any port yet.
    pub exposes: bool,
    /// Whether its `container_name` must go.
    pub unname: bool,
    /// The name that others shall find it by in its networks from then on, beside its own.
    pub alias: Option<String>,
    /// Whether it has networks of its own, wherever they are written.
    pub has_networks: bool,
    /// How many fixed published ports of it must go.
    pub fixed_ports: usize,
    /// The volume that nginx needs, as `./nginx/swap:/etc/nginx/swap`, and nginx's service.
    pub volume: Option<(ServiceName, String)>,
    /// Whether nginx's service has volumes already, wherever they are written.
    pub has_volumes: bool,
    /// The command that goes on where people were needed, as `swap init app`.
    pub again: String,
}

/// Returns the edits, each with the index of its file, and what must be done by hand with the reason.
pub fn propose(files: &[ComposeFile], wanted: &Wanted) -> (Vec<(usize, Edit)>, Vec<Failure>) {
    let mut proposal = Proposal { files, trees: Vec::new(), edits: Vec::new(), by_hand: Vec::new() };
    for file in files {
        match tree(&file.text) {
            Ok(tree) => proposal.trees.push(tree),
            Err(why) => {
                let cure = format!("correct `{}`, then run `{}` again", file.name, wanted.again);
                let failure = Failure::new(format!("`{}` can't be edited: {why}", file.name)).hint(cure);
                return (Vec::new(), vec![failure]);
            }
        }
    }
    let service = &wanted.service;
    if wanted.unname {
        proposal.unname(service);
    }
    if let Some(alias) = &wanted.alias {
        proposal.alias(service, alias, wanted.has_networks);
    }
    if wanted.fixed_ports > 0 {
        proposal.unpublish(service, wanted.fixed_ports);
    }
    if wanted.port.is_some() || !wanted.settings.is_empty() {
        proposal.settings(service, wanted);
    }
    if let Some((proxy, volume)) = &wanted.volume {
        proposal.volume(proxy, volume, wanted.has_volumes);
    }
    let Proposal { edits, mut by_hand, .. } = proposal;
    for (index, file) in files.iter().enumerate() {
        let own: Vec<Edit> = edits.iter().filter(|(at, _)| *at == index).map(|(_, edit)| edit.clone()).collect();
        if own.is_empty() {
            continue;
        }
        let why = match only_wanted(&file.text, &Edit::apply(&file.text, &own), wanted) {
            Ok(true) => continue,
            Ok(false) => String::new(),
            Err(why) => format!(": {why}"),
        };
        by_hand.push(
            Failure::new(format!("`{}` is written in a way that can't be edited safely{why}", file.name))
                .hint(by_hand_lines(wanted)),
        );
    }
    (edits, by_hand)
}

/// Tells whether a compose file has a section for a service.
pub fn has_service(text: &str, service: &ServiceName) -> bool {
    tree(text).is_ok_and(|tree| tree.get("services").is_some_and(|(_, all)| all.get(service.as_str()).is_some()))
}

/// Returns the compose files that one includes, as they are written there.
pub fn includes(text: &str) -> Vec<String> {
    let Ok(file) = read::yaml(text) else { return Vec::new() };
    let names = |value: &Value| match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        other => other.as_str().map(str::to_owned).into_iter().collect::<Vec<_>>(),
    };
    let entries = file.get("include").and_then(Value::as_array).into_iter().flatten();
    let listed = entries.flat_map(|entry| names(entry.get("path").unwrap_or(entry)));
    // What has a variable in its name, or is fetched, is compose's to find.
    listed.filter(|name| !name.contains('$') && !name.contains("://")).collect()
}

/// Tells whether the edited file says what the old one says, but for what is wanted. A way of writing YAML that was not
/// thought of here must not cost anybody a service.
///
/// # Errors
/// One of the texts can't be read; why.
fn only_wanted(before: &str, after: &str, wanted: &Wanted) -> Result<bool, String> {
    let (mut before, mut after) = (read::yaml(before)?, read::yaml(after)?);
    let ports = |value: &mut Value| {
        if let Some(ports) = value.get_mut("ports").and_then(Value::as_array_mut) {
            ports.retain(|port| !is_fixed(port));
        }
        if value.get("ports").is_some_and(|ports| ports.as_array().is_none_or(Vec::is_empty))
            && let Some(map) = value.as_object_mut()
        {
            map.remove("ports");
        }
    };
    for file in [&mut before, &mut after] {
        if let Some(service) = section(file, &wanted.service) {
            if wanted.fixed_ports > 0 {
                ports(service);
            }
            if let Some(map) = service.as_object_mut() {
                if wanted.unname {
                    map.remove("container_name");
                }
                if let Some(alias) = &wanted.alias {
                    without_alias(map, alias);
                }
                if wanted.port.is_some() || !wanted.settings.is_empty() {
                    let settings = map.get_mut("x-swap").and_then(Value::as_object_mut);
                    let emptied = settings.is_none_or(|settings| {
                        wanted.port.iter().for_each(|_| drop(settings.remove("port")));
                        wanted.settings.iter().for_each(|(key, _)| drop(settings.remove(key)));
                        settings.is_empty()
                    });
                    if emptied {
                        map.remove("x-swap");
                    }
                }
            }
        }
        if let Some((proxy, volume)) = &wanted.volume
            && let Some(proxy) = section(file, proxy).and_then(Value::as_object_mut)
        {
            if let Some(volumes) = proxy.get_mut("volumes").and_then(Value::as_array_mut) {
                volumes.retain(|known| known.as_str() != Some(volume.as_str()));
            }
            if proxy.get("volumes").is_some_and(|volumes| volumes.as_array().is_none_or(Vec::is_empty)) {
                proxy.remove("volumes");
            }
        }
    }
    Ok(before == after || wanted.port.is_some_and(|port| before == without_new_expose(&before, after, port)))
}

/// Brings the networks of a service into one form, without this alias.
fn without_alias(service: &mut serde_json::Map<String, Value>, alias: &str) {
    let mut networks = match service.remove("networks") {
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), Value::Null)).collect()
        }
        Some(Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    for network in networks.values_mut() {
        if let Some(aliases) = network.get_mut("aliases").and_then(Value::as_array_mut) {
            aliases.retain(|known| known.as_str() != Some(alias));
        }
        if let Some(map) = network.as_object_mut() {
            map.retain(|key, value| key != "aliases" || value.as_array().is_none_or(|aliases| !aliases.is_empty()));
        }
        if network.as_object().is_some_and(serde_json::Map::is_empty) {
            *network = Value::Null;
        }
    }
    let usual = networks.len() == 1 && networks.get("default") == Some(&Value::Null);
    if !networks.is_empty() && !usual {
        service.insert("networks".to_owned(), Value::Object(networks));
    }
}

/// Takes `expose` with this port alone from the services that had none: those that merge a service get its port too, which
/// does them no harm.
fn without_new_expose(before: &Value, mut after: Value, port: u16) -> Value {
    let exposed = serde_json::json!([port.to_string()]);
    for (name, service) in after.get_mut("services").and_then(Value::as_object_mut).into_iter().flatten() {
        if before["services"][name].get("expose").is_none()
            && let Some(map) = service.as_object_mut()
            && map.get("expose") == Some(&exposed)
        {
            map.remove("expose");
        }
    }
    after
}

/// Tells whether an entry of `ports` takes a port of the machine for itself. A variable stands for one port.
fn is_fixed(port: &Value) -> bool {
    project::published_port(&filled(port)).is_some_and(|port| port.fixed())
}

/// Puts what compose would put for variables of which nothing but the default is known.
fn filled(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(filled_text(text)),
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), filled(value))).collect()),
        other => other.clone(),
    }
}

fn filled_text(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let Some((variable, after)) = rest.split_once('}') else { return text.to_owned() };
    let name = variable.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(variable.len());
    let operator = variable[name..].trim_start_matches(':');
    // Some port; which one does not matter.
    let value = operator.strip_prefix('-').filter(|default| !default.is_empty()).unwrap_or("1");
    format!("{before}{value}{}", filled_text(after))
}

fn section<'a>(file: &'a mut Value, service: &ServiceName) -> Option<&'a mut Value> {
    file.get_mut("services")?.get_mut(service.as_str())
}

/// Returns all that is wanted, in words.
fn by_hand_lines(wanted: &Wanted) -> String {
    let Wanted { service, port, settings, unname, alias, fixed_ports, volume, .. } = wanted;
    let mut lines = Vec::new();
    if let Some((proxy, volume)) = volume {
        lines.push(format!("write `- {volume}` under `volumes:` of `services: {proxy}:`"));
    }
    if port.is_some() || !settings.is_empty() {
        lines.push(format!("write `x-swap: {{ {} }}` under `services: {service}:`", setting_lines(wanted).join(", ")));
    }
    if *unname {
        lines.push(format!("remove `container_name` from `services: {service}:`"));
    }
    if let Some(alias) = alias {
        lines.push(format!("write `aliases: [{alias}]` under each of `networks` of `services: {service}:`"));
    }
    if *fixed_ports > 0 {
        lines.push(format!("remove the fixed ports from `ports` of `services: {service}:`"));
    }
    lines.join("; ")
}

/// A part of a YAML file and where it stands.
#[derive(Debug, Clone)]
struct Node {
    kind: Kind,
    /// Its first and last byte; of a block up to the end of its last part.
    at: Range<usize>,
    anchored: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Its text; whether it is a plain word or quoted on one line; empty if nothing stands there.
    Scalar(String, ScalarStyle),
    Sequence(StructureStyle, Vec<Node>),
    Mapping(StructureStyle, Vec<(Node, Node)>),
    Alias,
}

impl Node {
    fn entries(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Mapping(_, entries) => entries,
            _ => &[],
        }
    }

    fn get(&self, key: &str) -> Option<&(Node, Node)> {
        self.entries().iter().find(|(name, _)| name.scalar() == Some(key))
    }

    fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// Returns what it says, if it is a scalar or a mapping of scalars.
    fn value(&self) -> Option<Value> {
        let text = |node: &Node| node.scalar().map(|text| Value::String(text.to_owned()));
        match &self.kind {
            Kind::Mapping(_, entries) => {
                let entries = entries.iter().map(|(key, value)| Some((key.scalar()?.to_owned(), text(value)?)));
                entries.collect::<Option<_>>().map(Value::Object)
            }
            _ => text(self),
        }
    }

    fn is_block(&self) -> bool {
        matches!(&self.kind, Kind::Sequence(StructureStyle::Block, _) | Kind::Mapping(StructureStyle::Block, _))
    }

    /// Returns where its last character ends: blanks behind it may count as a part of it.
    fn written_end(&self, text: &str) -> usize {
        self.at.start + text[self.at.clone()].trim_end().len()
    }

    /// Nothing stands there: `volumes:`.
    fn is_nothing(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(text, ScalarStyle::Plain) if matches!(text.as_str(), "" | "~" | "null"))
            && !self.anchored
    }
}

/// Reads the first document of a file.
fn tree(text: &str) -> Result<Node, String> {
    let mut parser = Parser::new_from_str(text);
    // Open collections, each with what it holds so far; keys and values of a mapping alternate.
    let mut open: Vec<(Node, Vec<Node>)> = Vec::new();
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| error.to_string())?;
        let at = span.byte_range().ok_or("the parser tells no positions")?;
        let anchored = event.anchor_id().is_some();
        let node = match event {
            Event::Scalar(value, style, ..) => Node { kind: Kind::Scalar(value.into_owned(), style), at, anchored },
            Event::Alias(_) => Node { kind: Kind::Alias, at, anchored: false },
            Event::SequenceStart(style, ..) => {
                open.push((Node { kind: Kind::Sequence(style, Vec::new()), at, anchored }, Vec::new()));
                continue;
            }
            Event::MappingStart(style, ..) => {
                open.push((Node { kind: Kind::Mapping(style, Vec::new()), at, anchored }, Vec::new()));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((owner, parts)) = open.pop() else { return Err("it is not balanced".to_owned()) };
                closed(owner, parts, at.end)
            }
            Event::DocumentEnd => return Err("it is empty".to_owned()),
            _ => continue,
        };
        match open.last_mut() {
            Some((_, parts)) => parts.push(node),
            None => return Ok(node),
        }
    }
    Err("it is empty".to_owned())
}

fn closed(owner: Node, parts: Vec<Node>, end: usize) -> Node {
    let Node { kind, at, anchored } = owner;
    let block = matches!(kind, Kind::Sequence(StructureStyle::Block, _) | Kind::Mapping(StructureStyle::Block, _));
    // A block's own end is where the next thing begins, blank lines and comments between them included.
    let end = if block { parts.iter().map(|part| part.at.end).max().unwrap_or(at.end) } else { end };
    let start = if block { parts.first().map_or(at.start, |part| part.at.start.min(at.start)) } else { at.start };
    let kind = match kind {
        Kind::Sequence(style, _) => Kind::Sequence(style, parts),
        Kind::Mapping(style, _) => {
            let mut entries = Vec::new();
            let mut parts = parts.into_iter();
            while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
                entries.push((key, value));
            }
            Kind::Mapping(style, entries)
        }
        kind => kind,
    };
    Node { kind, at: start..end, anchored }
}

struct Proposal<'a> {
    files: &'a [ComposeFile],
    trees: Vec<Node>,
    edits: Vec<(usize, Edit)>,
    by_hand: Vec<Failure>,
}

impl Proposal<'_> {
    /// Returns the section of a service in a file.
    fn section(&self, file: usize, service: &ServiceName) -> Option<&Node> {
        let (_, services) = self.trees[file].get("services")?;
        services.get(service.as_str()).map(|(_, section)| section)
    }

    /// Returns the first file that has the service, and of several the first that has the key.
    fn place(&self, service: &ServiceName, key: &str) -> Option<(usize, Node)> {
        let with = |file: &usize| self.section(*file, service).is_some_and(|section| section.get(key).is_some());
        let all = 0..self.files.len();
        let file =
            all.clone().find(with).or_else(|| all.clone().find(|file| self.section(*file, service).is_some()))?;
        self.section(file, service).map(|section| (file, section.clone()))
    }

    fn hand(&mut self, what: String, lines: impl Into<String>) {
        self.by_hand.push(Failure::new(what).hint(lines));
    }

    fn name(&self, file: usize) -> &str {
        &self.files[file].name
    }

    /// Makes `container_name` a comment.
    fn unname(&mut self, service: &ServiceName) {
        let cure = format!("remove `container_name` from `services: {service}:`");
        let Some((file, section)) = self.place(service, "container_name") else {
            return self.hand(format!("no compose file here has the service `{service}`"), cure);
        };
        let edits = section.get("container_name").filter(|_| section.is_block() && section.entries().len() > 1);
        match edits.and_then(|(key, value)| commented_out(&self.files[file].text, key.at.start..value.at.end)) {
            Some(edits) => self.edits.extend(edits.into_iter().map(|edit| (file, edit))),
            None => {
                let what = format!("`container_name` of `{service}` in {} can't be edited safely", self.name(file));
                self.hand(what, cure);
            }
        }
    }

    /// Makes the ports that are published on a fixed port of the machine comments.
    fn unpublish(&mut self, service: &ServiceName, expected: usize) {
        let cure = format!("let nginx publish the port: remove the fixed ports from `ports` of `services: {service}:`");
        let Some((file, section)) = self.place(service, "ports") else {
            return self.hand(format!("no compose file here has the service `{service}`"), cure);
        };
        let text = &self.files[file].text;
        let edits = section.get("ports").and_then(|(key, list)| {
            let Kind::Sequence(style, items) = &list.kind else { return None };
            let found: Vec<&Node> =
                items.iter().filter(|item| item.value().is_some_and(|port| is_fixed(&port))).collect();
            if found.len() != expected || list.anchored || section.entries().len() == 1 {
                return None;
            }
            if found.len() == items.len() {
                return commented_out(text, key.at.start..list.at.end);
            }
            if *style == StructureStyle::Flow {
                return None;
            }
            let mut edits = Vec::new();
            for item in found {
                let dash = text[..item.at.start].rfind('-')?;
                edits.extend(commented_out(text, dash..item.at.end)?);
            }
            Some(edits)
        });
        match edits {
            Some(edits) => self.edits.extend(edits.into_iter().map(|edit| (file, edit))),
            None => {
                let what = format!("`ports` of `{service}` in {} can't be edited safely", self.name(file));
                self.hand(what, cure);
            }
        }
    }

    /// Writes the settings that are wanted into `x-swap`.
    fn settings(&mut self, service: &ServiceName, wanted: &Wanted) {
        let lines = setting_lines(wanted);
        let all = lines.join(", ");
        let line = format!("x-swap: {{ {all} }}");
        let cure = format!("write `{line}` under `services: {service}:`");
        let Some((file, section)) = self.place(service, "x-swap") else {
            return self.hand(format!("no compose file here has the service `{service}`"), cure);
        };
        let text = &self.files[file].text;
        let edit = match section.get("x-swap") {
            // Services that merge this one would take `x-swap` too, and a worker has no port; exposing one does no harm.
            None if section.anchored && !wanted.exposes && wanted.settings.is_empty() => {
                let port = wanted.port.map(|port| port.to_string()).unwrap_or_default();
                added(text, &section, &format!("expose: [\"{port}\"]"))
            }
            None => added(text, &section, &line),
            Some((key, value)) if value.is_nothing() => Some(Edit::insert(
                key.at.end + text[key.at.end..].find(':').map_or(0, |at| at + 1),
                format!(" {{ {all} }}"),
            )),
            Some((_, value)) if !value.anchored => {
                let known = lines.iter().any(|line| value.get(line.split(':').next().unwrap_or_default()).is_some());
                let between = if value.is_block() {
                    let indent = value.entries().first().map_or(0, |(key, _)| column(text, key.at.start));
                    format!("{}{}", newline(text), " ".repeat(indent))
                } else {
                    ", ".to_owned()
                };
                added(text, value, &lines.join(&between)).filter(|_| !known)
            }
            Some(_) => None,
        };
        match edit {
            Some(edit) => self.edits.push((file, edit)),
            None => {
                let what = format!("`x-swap` of `{service}` in {} can't be edited safely", self.name(file));
                self.hand(what, format!("write `{all}` into `x-swap` of `services: {service}:`"));
            }
        }
    }

    /// Lets others find the service by one more name in all its networks.
    fn alias(&mut self, service: &ServiceName, alias: &str, has_networks: bool) {
        let cure = format!("write `aliases: [{alias}]` under each of `networks` of `services: {service}:`");
        let Some((file, section)) = self.place(service, "networks") else {
            return self.hand(format!("no compose file here has the service `{service}`"), cure);
        };
        let text = &self.files[file].text;
        let own = format!("{{ aliases: [{alias}] }}");
        let edits: Option<Vec<Edit>> = match section.get("networks") {
            None if has_networks => None,
            None => added(text, &section, &format!("networks: {{ default: {own} }}")).map(|edit| vec![edit]),
            Some((_, value)) if value.anchored => None,
            Some((key, value)) => match &value.kind {
                Kind::Sequence(StructureStyle::Flow, items) => {
                    let names: Option<Vec<String>> =
                        items.iter().map(|item| Some(format!("{}: {own}", item.scalar()?))).collect();
                    let names = names.filter(|names| !names.is_empty());
                    let end = value.written_end(text);
                    names.map(|names| {
                        vec![Edit { at: value.at.start..end, text: format!("{{ {} }}", names.join(", ")) }]
                    })
                }
                Kind::Sequence(_, items) => items
                    .iter()
                    .map(|item| {
                        let dash = text[..item.at.start].rfind('-').filter(|dash| begins_line(text, *dash))?;
                        let deeper = if column(text, dash) > column(text, key.at.start) { "" } else { "  " };
                        let end = item.written_end(text);
                        Some(Edit { at: dash..end, text: format!("{deeper}{}: {own}", item.scalar()?) })
                    })
                    .collect(),
                Kind::Mapping(_, entries) => entries
                    .iter()
                    .map(|(name, of)| match (&of.kind, of.get("aliases")) {
                        (_, Some((_, aliases))) => item_added(text, aliases, alias),
                        (Kind::Mapping(_, inner), None) if !inner.is_empty() => {
                            added(text, of, &format!("aliases: [{alias}]"))
                        }
                        (Kind::Mapping(..), None) => {
                            Some(Edit { at: of.at.start..of.written_end(text), text: own.clone() })
                        }
                        _ if of.is_nothing() && text[of.at.clone()].trim().is_empty() => {
                            let colon = text[name.at.end..].find(':')? + name.at.end + 1;
                            Some(Edit::insert(colon, format!(" {own}")))
                        }
                        _ => None,
                    })
                    .collect(),
                _ => None,
            },
        };
        match edits.filter(|edits| !edits.is_empty() && !section.anchored) {
            Some(edits) => self.edits.extend(edits.into_iter().map(|edit| (file, edit))),
            None => {
                let what = format!("the networks of `{service}` in {} can't be edited safely", self.name(file));
                self.hand(what, cure);
            }
        }
    }

    /// Adds a volume to nginx's service.
    fn volume(&mut self, proxy: &ServiceName, volume: &str, has_volumes: bool) {
        let cure = format!("write `- {volume}` under `volumes:` of `services: {proxy}:`");
        let Some((file, section)) = self.place(proxy, "volumes") else {
            return self.hand(format!("no compose file here has the service `{proxy}`"), cure);
        };
        let text = &self.files[file].text;
        let strange = "are written in a way that can't be edited safely";
        let inner = " ".repeat(list_indent(text, &self.trees[file]));
        let (edit, why) = match section.get("volumes") {
            // They come from elsewhere, and a key here would take their place.
            None if has_volumes && section.get("<<").is_some() => (None, "are merged from elsewhere"),
            None if section.is_block() => {
                let indent = section.entries().first().map_or(0, |(key, _)| column(text, key.at.start));
                let below = format!("{}{}{inner}- {volume}", newline(text), " ".repeat(indent));
                (added(text, &section, &format!("volumes:{below}")), strange)
            }
            None => (added(text, &section, &format!("volumes: [\"{volume}\"]")), strange),
            Some((key, value)) if value.is_nothing() && text[value.at.clone()].trim().is_empty() => {
                let indent = " ".repeat(column(text, key.at.start));
                let end = line_end(text, key.at.end);
                (Some(Edit::insert(end, format!("{}{indent}{inner}- {volume}", newline(text)))), strange)
            }
            Some((_, value)) if value.anchored => (None, "are shared with others by an anchor"),
            Some((_, value)) if matches!(value.kind, Kind::Alias) => (None, "are shared with others by an anchor"),
            Some((_, value)) => (item_added(text, value, volume), strange),
        };
        match edit {
            Some(edit) => self.edits.push((file, edit)),
            None => {
                let what = format!("the volumes of `{proxy}` in {} {why}, so nothing is added", self.name(file));
                self.hand(what, cure);
            }
        }
    }
}

/// Returns what `x-swap` shall say, a line each.
fn setting_lines(wanted: &Wanted) -> Vec<String> {
    let mut lines: Vec<String> = wanted.settings.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    lines.extend(wanted.port.map(|port| format!("port: {port}")));
    lines
}

/// Returns how the text ends its lines.
fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |at| at + 1)
}

/// Returns where the line ends on which something ends, before its line break.
fn line_end(text: &str, at: usize) -> usize {
    // A text of several lines (`|`) ends where the next thing begins, blank lines between them included.
    let at = text[..at].trim_end().len();
    let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    if text[..end].ends_with('\r') { end - 1 } else { end }
}

/// Returns the column of a byte, in characters.
fn column(text: &str, at: usize) -> usize {
    text[line_start(text, at)..at].chars().count()
}

/// Tells whether nothing but blanks stands before a byte on its line.
fn begins_line(text: &str, at: usize) -> bool {
    text[line_start(text, at)..at].trim().is_empty()
}

/// Returns how far lists stand to the right of their keys, as in the first list of the file; 2 where there is none.
fn list_indent(text: &str, tree: &Node) -> usize {
    fn first(text: &str, node: &Node) -> Option<usize> {
        node.entries().iter().find_map(|(key, value)| match &value.kind {
            Kind::Sequence(StructureStyle::Block, items) => {
                let dash = text[..items.first()?.at.start].rfind('-').filter(|dash| begins_line(text, *dash))?;
                column(text, dash).checked_sub(column(text, key.at.start))
            }
            _ => first(text, value),
        })
    }
    first(text, tree).unwrap_or(2)
}

/// Returns where the comments end that belong to the last value of a mapping: what stands deeper than its keys, or is an item of
/// a list that was taken out.
fn after_comments(text: &str, end: usize, column: usize) -> usize {
    let mut at = end;
    while let Some(next) = text[at..].find('\n').map(|next| at + next + 1) {
        let line = text[next..].split('\n').next().unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        let comment = line.trim().strip_prefix('#');
        let belongs = |comment: &str| indent > column || indent == column && comment.trim_start().starts_with("- ");
        if !comment.is_some_and(belongs) {
            break;
        }
        at = next + line.trim_end_matches('\r').len();
    }
    at
}

/// Adds a key at the end of a mapping.
fn added(text: &str, mapping: &Node, line: &str) -> Option<Edit> {
    let (first, _) = mapping.entries().first()?;
    if mapping.is_block() {
        let column = begins_line(text, first.at.start).then(|| column(text, first.at.start))?;
        let end = after_comments(text, line_end(text, mapping.at.end), column);
        return Some(Edit::insert(end, format!("{}{}{line}", newline(text), " ".repeat(column))));
    }
    let (_, last) = mapping.entries().last().filter(|(_, value)| !value.is_nothing())?;
    Some(Edit::insert(last.written_end(text), format!(", {line}")))
}

/// Adds an item at the end of a list, quoted as the last one is.
fn item_added(text: &str, list: &Node, item: &str) -> Option<Edit> {
    let Kind::Sequence(style, items) = &list.kind else { return None };
    let last = items.last()?;
    let quote = match &last.kind {
        Kind::Scalar(_, ScalarStyle::DoubleQuoted) => "\"",
        Kind::Scalar(_, ScalarStyle::SingleQuoted) => "'",
        _ => "",
    };
    if *style == StructureStyle::Flow {
        // On a line of its own, if the last one is.
        let begins = begins_line(text, last.at.start);
        let apart =
            if begins { newline(text).to_owned() + &" ".repeat(column(text, last.at.start)) } else { " ".into() };
        return Some(Edit::insert(last.written_end(text), format!(",{apart}{quote}{item}{quote}")));
    }
    let dash = text[..items.first()?.at.start].rfind('-').filter(|dash| begins_line(text, *dash))?;
    let addition = format!("{}{}- {quote}{item}{quote}", newline(text), " ".repeat(column(text, dash)));
    Some(Edit::insert(line_end(text, last.at.end), addition))
}

/// Makes each line of a range a comment; `None` if the range does not begin its line.
fn commented_out(text: &str, range: Range<usize>) -> Option<Vec<Edit>> {
    if !begins_line(text, range.start) {
        return None;
    }
    let column = range.start - line_start(text, range.start);
    let mut edits = Vec::new();
    let mut at = line_start(text, range.start);
    let end = line_end(text, range.end);
    for line in text[at..end].split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if !line.trim().is_empty() {
            edits.push(Edit::insert(at + indent.min(column), "# "));
        }
        at += line.len();
    }
    Some(edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            service: "app".parse().unwrap(),
            port: None,
            settings: Vec::new(),
            exposes: false,
            unname: false,
            alias: None,
            has_networks: false,
            fixed_ports: 0,
            volume: None,
            has_volumes: false,
            again: "swap init app".into(),
        }
    }

    fn volume(has_volumes: bool) -> Wanted {
        let volume = Some(("nginx".parse().unwrap(), "./nginx/swap:/etc/nginx/swap".to_owned()));
        Wanted { volume, has_volumes, ..wanted() }
    }

    #[track_caller]
    fn check(text: &str, wanted: &Wanted, expected: &str) {
        let files = [ComposeFile { name: "compose.yml".into(), text: text.into() }];
        let (edits, by_hand) = propose(&files, wanted);
        let edits: Vec<Edit> = edits.into_iter().map(|(_, edit)| edit).collect();
        let mut told = if edits.is_empty() { String::new() } else { Edit::apply(text, &edits) };
        if !edits.is_empty() {
            assert!(read::yaml(&told).is_ok(), "{told}");
        }
        by_hand.iter().for_each(|Failure { what, hint, .. }| {
            told += &format!("by hand: {what}\n  {}\n", hint.as_deref().unwrap_or_default());
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn a_volume_follows_the_last_one_with_its_comments() {
        check(
            "services:\n  nginx:\n    image: nginx\n    volumes:\n      # ours\n      - ./a:/b:ro   # last\n\n  # the app\n  app: { image: x }\n",
            &volume(true),
            "services:\n  nginx:\n    image: nginx\n    volumes:\n      # ours\n      - ./a:/b:ro   # last\n      - ./nginx/swap:/etc/nginx/swap\n\n  # the app\n  app: { image: x }\n",
        );
    }

    #[test]
    fn items_are_indented_and_quoted_as_their_neighbours() {
        check(
            "services:\n  nginx:\n    volumes:\n    - \"./a:/b\"\n    - \"./c:/d\"\n    image: nginx",
            &volume(true),
            "services:\n  nginx:\n    volumes:\n    - \"./a:/b\"\n    - \"./c:/d\"\n    - \"./nginx/swap:/etc/nginx/swap\"\n    image: nginx",
        );
        check(
            "services:\n  nginx:\n    volumes:\n      - type: bind\n        source: ./a\n        target: /b\n",
            &volume(true),
            "services:\n  nginx:\n    volumes:\n      - type: bind\n        source: ./a\n        target: /b\n      - ./nginx/swap:/etc/nginx/swap\n",
        );
    }

    #[test]
    fn volumes_that_are_not_there_are_added_without_a_last_newline_and_with_crlf() {
        check(
            "services:\n    nginx:\n        image: nginx",
            &volume(false),
            "services:\n    nginx:\n        image: nginx\n        volumes:\n          - ./nginx/swap:/etc/nginx/swap",
        );
        check(
            "services:\r\n  nginx:\r\n    image: nginx # x\r\n",
            &volume(false),
            "services:\r\n  nginx:\r\n    image: nginx # x\r\n    volumes:\r\n      - ./nginx/swap:/etc/nginx/swap\r\n",
        );
        check(
            "services:\n  nginx:\n    volumes: # none yet\n    image: nginx\n",
            &volume(false),
            "services:\n  nginx:\n    volumes: # none yet\n      - ./nginx/swap:/etc/nginx/swap\n    image: nginx\n",
        );
        check(
            "services:\n  nginx:\n    image: nginx\n    command: |\n      a\n      b\n\n  app:\n    image: x\n",
            &volume(false),
            "services:\n  nginx:\n    image: nginx\n    command: |\n      a\n      b\n    volumes:\n      - ./nginx/swap:/etc/nginx/swap\n\n  app:\n    image: x\n",
        );
    }

    #[test]
    fn what_is_shared_or_empty_is_for_people() {
        let cure = "\n  write `- ./nginx/swap:/etc/nginx/swap` under `volumes:` of `services: nginx:`\n";
        for (text, has_volumes, why) in [
            ("services:\n  nginx: {}\n", false, "are written in a way that can't be edited safely"),
            ("services:\n  nginx:\n    volumes: []\n", false, "are written in a way that can't be edited safely"),
            ("services:\n  nginx: &n\n    <<: *x\n    image: nginx\n", true, ""),
            ("x: &v\n  - ./a:/b\nservices:\n  nginx:\n    volumes: *v\n", true, "are shared with others by an anchor"),
            ("services:\n  nginx:\n    volumes: &v\n      - ./a:/b\n", true, "are shared with others by an anchor"),
            (
                "x-base: &base\n  volumes:\n    - a:/b\nservices:\n  nginx:\n    <<: *base\n    image: n\n",
                true,
                "are merged from elsewhere",
            ),
        ] {
            let expected = match why {
                "" => "by hand: `compose.yml` can't be edited: while parsing node, found unknown anchor at char 30 line 3 \
                       column 9\n  correct `compose.yml`, then run `swap init app` again\n"
                    .to_owned(),
                why => format!("by hand: the volumes of `nginx` in compose.yml {why}, so nothing is added{cure}"),
            };
            let files = [ComposeFile { name: "compose.yml".into(), text: text.into() }];
            let (edits, by_hand) = propose(&files, &volume(has_volumes));
            assert_eq!(edits, Vec::new(), "{text}");
            let told: String = by_hand
                .iter()
                .map(|f| format!("by hand: {}\n  {}\n", f.what, f.hint.as_deref().unwrap_or("")))
                .collect();
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn a_port_is_added_to_what_is_there() {
        let port = Wanted { port: Some(8000), ..wanted() };
        check(
            "services:\n  app:\n    build: .\n    # the end\n\nvolumes: {}\n",
            &port,
            "services:\n  app:\n    build: .\n    x-swap: { port: 8000 }\n    # the end\n\nvolumes: {}\n",
        );
        check(
            "services:\n  app:\n    x-swap:\n      watch: 5s\n      hooks:\n        - a.wasm\n    build: .\n",
            &port,
            "services:\n  app:\n    x-swap:\n      watch: 5s\n      hooks:\n        - a.wasm\n      port: 8000\n    build: .\n",
        );
        check(
            "services:\n  app:\n    x-swap: { watch: 5s }\n",
            &port,
            "services:\n  app:\n    x-swap: { watch: 5s, port: 8000 }\n",
        );
        check(
            "services:\n  web: {}\n",
            &port,
            "by hand: no compose file here has the service `app`\n  write `x-swap: { port: 8000 }` under `services: app:`\n",
        );
    }

    #[test]
    fn lists_and_maps_in_brackets_grow_in_their_brackets() {
        check(
            "services:\n  nginx:\n    volumes: [ ./a:/b:ro ] # all\n    image: nginx\n",
            &volume(true),
            "services:\n  nginx:\n    volumes: [ ./a:/b:ro, ./nginx/swap:/etc/nginx/swap ] # all\n    image: nginx\n",
        );
        check(
            "services:\n  nginx:\n    volumes: [\n      './a:/b',\n      './c:/d', # last\n    ]\n",
            &volume(true),
            "services:\n  nginx:\n    volumes: [\n      './a:/b',\n      './c:/d',\n      './nginx/swap:/etc/nginx/swap', # last\n    ]\n",
        );
        check(
            "services:\n  nginx: { image: nginx, volumes: [\"./a:/b\"] }\n  app: { build: . }\n",
            &Wanted { port: Some(8000), ..volume(true) },
            "services:\n  nginx: { image: nginx, volumes: [\"./a:/b\", \"./nginx/swap:/etc/nginx/swap\"] }\n  app: { build: ., x-swap: { port: 8000 } }\n",
        );
        check(
            "services: { nginx: { image: nginx } }\n",
            &volume(false),
            "services: { nginx: { image: nginx, volumes: [\"./nginx/swap:/etc/nginx/swap\"] } }\n",
        );
    }

    #[test]
    fn a_new_list_is_indented_as_the_lists_of_the_file() {
        check(
            "services:\n    nginx:\n        image: nginx\n        ports:\n            - 80:80\n",
            &volume(false),
            "services:\n    nginx:\n        image: nginx\n        ports:\n            - 80:80\n        volumes:\n            - ./nginx/swap:/etc/nginx/swap\n",
        );
        check(
            "services:\n  nginx:\n    depends_on:\n    - app\n    volumes:\n  app:\n    build: .\n",
            &volume(false),
            "services:\n  nginx:\n    depends_on:\n    - app\n    volumes:\n    - ./nginx/swap:/etc/nginx/swap\n  app:\n    build: .\n",
        );
    }

    #[test]
    fn services_that_merge_this_one_are_not_given_its_settings() {
        let text = "services:\n  app: &app\n    build: .\n  worker:\n    <<: *app\n    command: work\n";
        check(
            text,
            &Wanted { port: Some(8000), ..wanted() },
            "services:\n  app: &app\n    build: .\n    expose: [\"8000\"]\n  worker:\n    <<: *app\n    command: work\n",
        );
        let files = [ComposeFile { name: "compose.yml".into(), text: text.into() }];
        let (_, by_hand) = propose(&files, &Wanted { port: Some(8000), exposes: true, ..wanted() });
        assert_eq!(by_hand.len(), 1, "{by_hand:?}");
    }

    #[test]
    fn published_ports_are_found_in_each_of_their_forms() {
        let ports = Wanted { fixed_ports: 1, ..wanted() };
        for (before, after) in [
            ("    ports: [\"3000:3000\"] # debug\n", "    # ports: [\"3000:3000\"] # debug\n"),
            ("    ports: [\n      3000:3000\n    ]\n", "    # ports: [\n    #   3000:3000\n    # ]\n"),
            ("    ports:\n      - ${PORT:-3000}:3000\n", "    # ports:\n    #   - ${PORT:-3000}:3000\n"),
            ("    ports:\n    - \"127.0.0.1:${PORT}:3000\"\n", "    # ports:\n    # - \"127.0.0.1:${PORT}:3000\"\n"),
            (
                "    ports:\n      - target: 3000\n        published: 3000\n      - 9229\n",
                "    ports:\n      # - target: 3000\n      #   published: 3000\n      - 9229\n",
            ),
        ] {
            let file = |ports: &str| format!("services:\n  app:\n{ports}    build: .\n");
            check(&file(before), &ports, &file(after));
        }
    }

    #[test]
    fn a_name_and_fixed_ports_become_comments() {
        let single = Wanted { unname: true, fixed_ports: 1, ..wanted() };
        check(
            "services:\n  app:\n    container_name: shop # for scripts\n    ports:\n      - \"8000:8000\"\n      - \"9000\"\n    build: .\n",
            &single,
            "services:\n  app:\n    # container_name: shop # for scripts\n    ports:\n      # - \"8000:8000\"\n      - \"9000\"\n    build: .\n",
        );
        check(
            "services:\n  app:\n    ports:\n      # the API\n      - 8000:8000\n    build: .\n    container_name: shop\n",
            &single,
            "services:\n  app:\n    # ports:\n    #   # the API\n    #   - 8000:8000\n    build: .\n    # container_name: shop\n",
        );
        check(
            "services:\n  app: { container_name: shop, ports: [ \"8000:8000\" ] }\n",
            &single,
            "by hand: `container_name` of `app` in compose.yml can't be edited safely\n  remove `container_name` from `services: app:`\n\
             by hand: `ports` of `app` in compose.yml can't be edited safely\n  let nginx publish the port: remove the fixed ports from `ports` of `services: app:`\n",
        );
        check(
            "services:\n  app:\n    ports:\n      - \"${PORTS}\"\n    build: .\n",
            &Wanted { unname: false, ..single },
            "by hand: `ports` of `app` in compose.yml can't be edited safely\n  let nginx publish the port: remove the fixed ports from `ports` of `services: app:`\n",
        );
    }

    #[test]
    fn an_edit_that_would_change_anything_else_is_noticed() {
        let before = "services:\n  nginx:\n    image: n\n  app:\n    image: a\n";
        let right = "services:\n  nginx:\n    image: n\n    volumes: [ \"./nginx/swap:/etc/nginx/swap\" ]\n  app:\n    image: a\n";
        let elsewhere = "services:\n  nginx:\n    image: n\n  app:\n    volumes: [ \"./nginx/swap:/etc/nginx/swap\" ]\n    image: a\n";
        let lost = "services:\n  nginx:\n    volumes: [ \"./nginx/swap:/etc/nginx/swap\" ]\n  app:\n    image: a\n";
        let told = [right, elsewhere, lost].map(|after| only_wanted(before, after, &volume(false)));
        assert_eq!(told, [Ok(true), Ok(false), Ok(false)]);
        assert!(only_wanted(before, "services: [", &volume(false)).is_err());
    }

    #[test]
    fn the_file_that_has_the_key_is_changed() {
        let files = [
            ComposeFile { name: "a.yml".into(), text: "services:\n  nginx:\n    image: nginx\n".into() },
            ComposeFile { name: "b.yml".into(), text: "services:\n  nginx:\n    volumes:\n      - ./a:/b\n".into() },
        ];
        let (edits, by_hand) = propose(&files, &volume(true));
        assert_eq!(by_hand, Vec::new());
        assert_eq!(edits.iter().map(|(file, _)| *file).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_commented_item_stays_with_its_list() {
        let port = Wanted { port: Some(80), ..wanted() };
        check(
            "services:\n  app:\n    volumes:\n      - a:/b\n      # - c:/d\n\n  db: {}\n",
            &port,
            "services:\n  app:\n    volumes:\n      - a:/b\n      # - c:/d\n    x-swap: { port: 80 }\n\n  db: {}\n",
        );
        check(
            "services:\n  app:\n    volumes:\n    - a:/b\n    # - c:/d\n    # the next\n",
            &port,
            "services:\n  app:\n    volumes:\n    - a:/b\n    # - c:/d\n    x-swap: { port: 80 }\n    # the next\n",
        );
    }

    #[test]
    fn a_name_that_goes_stays_an_alias_in_each_form_of_networks() {
        let named = |has_networks| Wanted { unname: true, alias: Some("shop".into()), has_networks, ..wanted() };
        let own = "{ aliases: [shop] }";
        for (before, after, has_networks) in [
            ("", format!("    networks: {{ default: {own} }}\n"), false),
            ("    networks: [a, b]\n", format!("    networks: {{ a: {own}, b: {own} }}\n"), true),
            ("    networks:\n      - a\n      - b\n", format!("    networks:\n      a: {own}\n      b: {own}\n"), true),
            ("    networks:\n    - a # x\n", format!("    networks:\n      a: {own} # x\n"), true),
            ("    networks:\n      a:\n", format!("    networks:\n      a: {own}\n"), true),
            (
                "    networks:\n      a:\n        priority: 1\n",
                "    networks:\n      a:\n        priority: 1\n        aliases: [shop]\n".into(),
                true,
            ),
            (
                "    networks:\n      a:\n        aliases:\n          - x\n",
                "    networks:\n      a:\n        aliases:\n          - x\n          - shop\n".into(),
                true,
            ),
        ] {
            let file =
                |name: &str, networks: &str| format!("services:\n  app:\n    {name}: shop\n    image: x\n{networks}");
            check(&file("container_name", before), &named(has_networks), &file("# container_name", &after));
        }
    }

    #[test]
    fn settings_are_written_together() {
        let home = Wanted {
            port: Some(80),
            settings: vec![("proxy".into(), "edge/nginx".into()), ("upstream".into(), "shop-app".into())],
            ..wanted()
        };
        check(
            "services:\n  app:\n    image: x\n",
            &home,
            "services:\n  app:\n    image: x\n    x-swap: { proxy: edge/nginx, upstream: shop-app, port: 80 }\n",
        );
        check(
            "services:\n  app:\n    x-swap:\n      watch: 5s\n",
            &home,
            "services:\n  app:\n    x-swap:\n      watch: 5s\n      proxy: edge/nginx\n      upstream: shop-app\n      port: 80\n",
        );
    }

    #[test]
    fn a_hundred_aliases_are_as_good_as_one() {
        let others: String = (0..150).map(|n| format!("  s{n}:\n    <<: *base\n")).collect();
        let file = |more: &str| {
            format!("x-base: &base\n  restart: always\nservices:\n  nginx:\n    image: nginx\n{more}{others}")
        };
        check(&file(""), &volume(false), &file("    volumes:\n      - ./nginx/swap:/etc/nginx/swap\n"));
    }
}
