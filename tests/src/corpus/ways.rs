//! Where an nginx sends requests, as far as a text tells. It is read here in another way than swap does.

use std::collections::{BTreeMap, BTreeSet};

/// A statement of nginx's configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Statement {
    /// The file that it stands in.
    pub file: String,
    /// The blocks around it, as `http server`, outermost first, with their words.
    pub blocks: Vec<Vec<String>>,
    pub words: Vec<String>,
}

impl Statement {
    fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub(super) fn is_pass(&self) -> bool {
        self.name().ends_with("_pass") && self.words.len() == 2
    }

    fn is_of_stream(&self) -> bool {
        self.blocks.first().is_some_and(|block| block.first().is_some_and(|name| name == "stream"))
    }

    /// Returns the block that it stands in.
    fn block(&self) -> (&str, &[String]) {
        match self.blocks.last().map(Vec::as_slice) {
            Some([name, rest @ ..]) => (name, rest),
            _ => ("", &[]),
        }
    }
}

/// Reads what `nginx -T` printed.
pub(super) fn statements(dump: &str) -> Vec<Statement> {
    let (mut found, mut blocks) = (Vec::new(), Vec::<Vec<String>>::new());
    let (mut words, mut file) = (Vec::<String>::new(), String::new());
    let mut rest = dump.chars().peekable();
    let mut is_begin = true;
    while let Some(c) = rest.next() {
        let was_begin = std::mem::replace(&mut is_begin, c == '\n');
        match c {
            '#' => {
                let mut line = String::new();
                while rest.peek().is_some_and(|c| *c != '\n') {
                    line.extend(rest.next());
                }
                let name = line.strip_prefix(" configuration file ").and_then(|name| name.strip_suffix(':'));
                if let Some(name) = name.filter(|_| was_begin) {
                    // Each file has its own blocks.
                    (file, blocks) = (name.to_owned(), Vec::new());
                    words.clear();
                }
            }
            '{' | ';' => {
                if !words.is_empty() {
                    found.push(Statement { file: file.clone(), blocks: blocks.clone(), words: words.clone() });
                }
                if c == '{' {
                    blocks.push(std::mem::take(&mut words));
                }
                words.clear();
            }
            '}' => drop(blocks.pop()),
            c if c.is_whitespace() => {}
            quote @ ('"' | '\'') => {
                let mut word = String::new();
                while let Some(c) = rest.next().filter(|c| *c != quote) {
                    word.push(c);
                    if c == '\\' {
                        word.extend(rest.next());
                    }
                }
                words.push(word);
            }
            c => {
                let mut word = c.to_string();
                let mut open = usize::from(c == '$' && rest.peek() == Some(&'{'));
                if open == 1 {
                    word.extend(rest.next());
                }
                while let Some(next) = rest.peek().copied() {
                    if open == 0 && (next.is_whitespace() || matches!(next, ';' | '{')) {
                        break;
                    }
                    open = if next == '}' { 0 } else { open };
                    word.extend(rest.next());
                    match (next, rest.peek()) {
                        ('\\', Some(_)) => word.extend(rest.next()),
                        ('$', Some('{')) => {
                            word.extend(rest.next());
                            open = 1;
                        }
                        _ => {}
                    }
                }
                words.push(word);
            }
        }
    }
    found
}

/// What a pass leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// How many lead straight, or by an upstream, to one of the names.
    pub to_names: usize,
    /// How many lead to the upstream.
    pub to_upstream: usize,
}

/// Follows every pass outside of `stream`. Names may have a port.
pub(super) fn follow(statements: &[Statement], names: &BTreeSet<String>, upstream: Option<&str>) -> Reach {
    let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for statement in statements {
        match (&statement.words[..], statement.block()) {
            ([name, variable, value], _) if name == "set" => {
                values.entry(variable.trim_start_matches('$')).or_default().push(value);
            }
            ([.., value], ("map" | "geo" | "split_clients", [.., variable])) => {
                values.entry(variable.trim_start_matches('$')).or_default().push(value);
            }
            _ => {}
        }
    }
    let servers = |name: &str| {
        let of = statements.iter().filter(move |statement| {
            let (block, words) = statement.block();
            block == "upstream" && words.first().is_some_and(|word| word.eq_ignore_ascii_case(name))
        });
        of.filter(|inner| inner.name() == "server").filter_map(|inner| inner.words.get(1).cloned()).collect::<Vec<_>>()
    };
    let is_named = |authority: &str| {
        let authority = authority.to_lowercase();
        let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
        names.contains(host) || names.contains(&authority)
    };
    let mut reach = Reach::default();
    for pass in statements.iter().filter(|statement| statement.is_pass() && !statement.is_of_stream()) {
        let all = expanded(&pass.words[1], &values, 0);
        let mut authorities = all.iter().map(|value| authority(value));
        let (mut named, mut ours) = (false, false);
        for authority in &mut authorities {
            ours |= upstream.is_some_and(|upstream| authority.eq_ignore_ascii_case(upstream));
            let through = servers(authority);
            let is_ours = upstream.is_some_and(|upstream| authority.eq_ignore_ascii_case(upstream));
            named |= !is_ours
                && if through.is_empty() { is_named(authority) } else { through.iter().any(|to| is_named(to)) };
        }
        reach.to_names += usize::from(named);
        reach.to_upstream += usize::from(ours);
    }
    reach
}

/// Returns host and port of a value.
fn authority(value: &str) -> &str {
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    &rest[..rest.find(['/', '?', '$']).unwrap_or(rest.len())]
}

/// Returns a text with the values of its variables, as far as they are known.
fn expanded(text: &str, values: &BTreeMap<&str, Vec<&str>>, depth: usize) -> Vec<String> {
    let Some(at) = text.find('$').filter(|_| depth < 8) else { return vec![text.to_owned()] };
    let rest = &text[at + 1..];
    let (name, after) = match rest.strip_prefix('{') {
        Some(braced) => braced.split_once('}').unwrap_or((braced, "")),
        None => rest.split_at(rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())),
    };
    let own = match (values.get(name), name) {
        (Some(own), _) => own.clone(),
        (None, "scheme") => vec!["http"],
        (None, _) => return vec![text.to_owned()],
    };
    let all = own.into_iter().flat_map(|value| expanded(&format!("{}{value}{after}", &text[..at]), values, depth + 1));
    all.take(64).collect()
}
