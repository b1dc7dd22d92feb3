//! What to change in nginx's configuration so that swap can switch a service: text → edits by position. Pure.
//!
//! Where requests go is not found out here: [`ways`](super::ways) and [`reach`](super::reach) tell, as for a swap. What they name
//! by file and line is changed in the text that it comes from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use super::config::{self, Configuration};
use super::dump::{Dump, Listener, Statement, Unread};
use super::reach::{Lead, Names, is_server_of, leads, written};
use super::syntax::{self, Directive};
use super::upstream::Kept;
use super::ways::{Destination, End, Realm, Through, Upstream, Way, built_in, split};
use crate::model::{Edit, Failure};
use crate::text::printable;

/// A file of nginx's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path as nginx knows it, as `/etc/nginx/conf.d/default.conf`.
    pub path: String,
    /// Its name in messages, as `nginx/default.conf`.
    pub name: String,
    /// Its text as nginx reads it.
    pub text: String,
    /// What it is made from.
    pub source: Source,
}

/// What people edit to change a file of nginx's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The file itself.
    Itself,
    /// A text in which variables of the environment are replaced, line by line.
    Template(String),
    /// Nothing here; says why: `it is in the image of the service …`.
    Elsewhere(String),
}

impl ConfigFile {
    /// Returns the text that is edited.
    fn source(&self) -> Option<&str> {
        match &self.source {
            Source::Itself => Some(&self.text),
            Source::Template(text) => Some(text),
            Source::Elsewhere(_) => None,
        }
    }
}

/// What to change, and what was learnt on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The edits, each with the index of its file.
    pub edits: Vec<(usize, Edit)>,
    /// The folder that nginx reads or will read, as `/etc/nginx/swap`.
    pub folder: String,
    /// Whether nginx reads it already.
    pub included: bool,
    /// The ports that are written where nginx sends requests to the service.
    pub ports: BTreeSet<u16>,
    /// The port that nginx takes where none is written and no upstream has the service's name: `proxy_pass http://app;`.
    pub usual_port: Option<u16>,
    /// Whether any line sends requests to the service.
    pub used: bool,
    /// The name by which nginx finds it now, as it is written.
    pub host: Option<String>,
    /// What the upstreams say that swap's takes the place of, beside where their servers are.
    pub kept: Kept,
    /// What must be changed by hand, and why it is not done.
    pub by_hand: Vec<Failure>,
    /// What people should know.
    pub notes: Vec<String>,
}

/// Where the main file is mostly.
pub const MAIN: &str = "/etc/nginx/nginx.conf";

/// What the main file of an image reads into `http`, where the image can't be asked.
const USUAL_MAIN: &str = "http {\n    include /etc/nginx/conf.d/*.conf;\n    include /etc/nginx/http.d/*.conf;\n    \
                          include /etc/nginx/sites-enabled/*;\n}\n";

/// Puts the files in the order of a dump where nginx itself could not print one: the main file first, or what images have in its
/// place.
pub fn assembled(mut files: Vec<ConfigFile>) -> Vec<ConfigFile> {
    match files.iter().position(|file| file.path == MAIN) {
        Some(at) => files[..=at].rotate_right(1),
        None => {
            let why = "it is in nginx's image".to_owned();
            let (path, text) = (MAIN.to_owned(), USUAL_MAIN.to_owned());
            files.insert(0, ConfigFile { name: path.clone(), path, text, source: Source::Elsewhere(why) });
        }
    }
    files
}

/// Splits what `nginx -T` printed into its files, main file first.
pub fn files_of(dump: &str) -> Vec<(String, String)> {
    Dump::of(dump, "/etc/nginx").files().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

/// Returns what to change so that requests to the service go through an upstream that swap writes.
///
/// `files` are those that nginx reads, the main file first; `names` are those by which nginx reaches the service; `folder` is where
/// swap's files shall be. `environment` is what templates are filled with.
pub fn propose(
    files: &[ConfigFile],
    names: &Names,
    environment: &BTreeMap<String, String>,
    folder: &str,
) -> Result<Proposal, Failure> {
    let configuration = configuration(files, names)?;
    let told = Told::of(files);
    let mut proposal = Proposal { folder: folder.to_owned(), ..Proposal::default() };
    for file in files.iter().filter(|file| told.does_not_understand(&file.path)) {
        let Err(error) = syntax::parse(&file.text) else { continue };
        proposal.by_hand.push(
            Failure::new(format!("`{}` can't be read as nginx's configuration: {error}", file.name))
                .hint("correct that file, then run `swap init` again"),
        );
    }
    let sources = files.iter().map(|file| file.source().and_then(|text| Tree::of(text).ok())).collect();
    let (configuration, told, redirected) = (&configuration, &told, Vec::new());
    let mut change = Change { files, sources, names, environment, configuration, told, proposal, redirected };
    change.ways();
    change.hosts();
    change.include();
    change.checked()
}

/// Returns the files as `nginx -T` would print them; see [`files_of`].
fn dump_of(files: &[ConfigFile]) -> String {
    files.iter().map(|file| format!("# configuration file {}:\n{}\n", file.path, file.text)).collect()
}

/// Reads the files as nginx would.
pub fn configuration(files: &[ConfigFile], names: &Names) -> Result<Configuration, Failure> {
    let main = files.first().map_or(MAIN, |file| &file.path);
    let arguments = ["-c".to_owned(), main.to_owned()];
    // Which version it is makes no difference here.
    Ok(config::read("nginx version: nginx/1.0.0\n", &dump_of(files), &arguments)?.configuration(&names.upstream, None))
}

/// A directive as nginx reads it.
struct Occurrence {
    file: usize,
    line: usize,
    name: String,
    arguments: Vec<String>,
    /// The blocks around it, as `http server`.
    context: String,
    /// The directive that opened the innermost of them.
    opener: Option<usize>,
}

/// Everything that nginx reads, in its order.
#[derive(Default)]
struct Told {
    seen: Vec<Occurrence>,
    open: Vec<usize>,
    index: HashMap<String, usize>,
    unread: Vec<Unread>,
}

impl Told {
    fn of(files: &[ConfigFile]) -> Self {
        let dump = dump_of(files);
        let base = files.first().map_or("/etc/nginx", |file| file.path.rsplit_once('/').map_or("/", |(base, _)| base));
        let mut index = HashMap::new();
        for (at, file) in files.iter().enumerate() {
            index.entry(file.path.clone()).or_insert(at);
        }
        let mut told = Told { index, ..Told::default() };
        told.unread = Dump::of(&dump, base).walk(&mut told);
        told
    }

    fn does_not_understand(&self, file: &str) -> bool {
        self.unread.iter().any(|what| matches!(what, Unread::NotUnderstood { path, .. } if path == file))
    }

    /// Returns the directives that stand at a place as [`Way::place`] tells it.
    fn at<'a>(&'a self, files: &[ConfigFile], place: &str) -> Vec<&'a Occurrence> {
        let place = place.rsplit_once(':').and_then(|(path, line)| Some((path, line.parse::<usize>().ok()?)));
        let Some((path, line)) = place else { return Vec::new() };
        let is_there = |seen: &&Occurrence| seen.line == line && printable(&files[seen.file].path) == path;
        self.seen.iter().filter(is_there).collect()
    }
}

impl Listener for Told {
    fn statement(&mut self, statement: &Statement<'_, '_>) {
        let Some(file) = self.index.get(statement.file).copied() else { return };
        self.seen.push(Occurrence {
            file,
            line: statement.line,
            name: statement.name.to_owned(),
            arguments: statement.arguments.iter().map(|word| word.clone().into_owned()).collect(),
            context: statement.blocks.join(" "),
            opener: self.open.last().copied(),
        });
        if statement.opens {
            self.open.push(self.seen.len() - 1);
        }
    }

    fn close(&mut self) {
        self.open.pop();
    }
}

/// The directives of a text that people edit, with their positions.
struct Tree(Vec<Directive>);

impl Tree {
    fn of(text: &str) -> Result<Self, syntax::SyntaxError> {
        syntax::parse(text).map(Tree)
    }

    /// Returns the directives of this name that begin on a line.
    fn at(&self, line: usize, name: &str) -> Vec<&Directive> {
        let (mut found, mut open) = (Vec::new(), vec![&self.0[..]]);
        while let Some(directives) = open.pop() {
            for directive in directives {
                if directive.line == line && directive.name == name {
                    found.push(directive);
                }
                if let Some(block) = &directive.block {
                    open.push(block);
                }
            }
        }
        found.sort_by_key(|directive| directive.span.start);
        found
    }
}

/// A part of a value, and where it is written.
#[derive(Debug, Clone)]
struct Piece {
    text: String,
    /// The file and the bytes in its source; a variable's as a whole.
    at: (usize, Range<usize>),
    /// Whether its bytes are its text, so that a part of them can be changed.
    literal: bool,
    /// The variables through which it comes, outermost first, where their names are written.
    parents: Vec<(usize, Range<usize>)>,
    /// Whether the word that it stands in has nothing else.
    whole: bool,
}

impl Piece {
    /// Where it is written in the line that passes requests: itself, or the variable that it comes by.
    fn outermost(&self) -> &(usize, Range<usize>) {
        self.parents.first().unwrap_or(&self.at)
    }
}

struct Change<'a> {
    files: &'a [ConfigFile],
    sources: Vec<Option<Tree>>,
    names: &'a Names,
    environment: &'a BTreeMap<String, String>,
    configuration: &'a Configuration,
    told: &'a Told,
    proposal: Proposal,
    /// The ways that were changed, each with the host and port that it named.
    redirected: Vec<(Way, String)>,
}

impl Change<'_> {
    fn name(&self, file: usize) -> &str {
        &self.files[file].name
    }

    /// Returns a place as people know it: by the file that they edit.
    fn shown(&self, place: &str) -> String {
        let (path, line) = place.rsplit_once(':').unwrap_or((place, ""));
        match self.files.iter().find(|file| printable(&file.path) == path) {
            Some(file) => format!("{}:{line}", file.name),
            None => place.to_owned(),
        }
    }

    /// Tells whether a file is one of those that swap writes.
    fn is_swaps(&self, path: &str) -> bool {
        let folder = self.configuration.include.as_ref().map_or(&self.proposal.folder, |include| &include.folder);
        path.starts_with(&format!("{folder}/"))
    }

    fn edit(&mut self, file: usize, edit: Edit) {
        if !self.proposal.edits.contains(&(file, edit.clone())) {
            self.proposal.edits.push((file, edit));
        }
    }

    fn ways(&mut self) {
        let (upstream, service) = (self.names.upstream.clone(), self.names.service.clone());
        let leads = leads(self.configuration, self.names);
        let ways = self.configuration.ways.clone();
        let mut moved: Vec<String> = Vec::new();
        let mut perhaps = Vec::new();
        for (way, leads) in ways.ways.iter().zip(&leads) {
            if way.place.rsplit_once(':').is_some_and(|(path, _)| self.is_swaps(path)) {
                continue;
            }
            for (end, lead) in way.ends.iter().zip(leads) {
                match lead {
                    Lead::Elsewhere => {}
                    Lead::Perhaps => perhaps.push(way),
                    Lead::Past if way.realm != Realm::Http => {
                        let note = format!(
                            "`{}` at {} is in `stream`, which swap does not switch: its connections are cut when the old \
                             container stops",
                            line(way),
                            self.shown(&way.place)
                        );
                        if !self.proposal.notes.contains(&note) {
                            self.proposal.notes.push(note);
                        }
                    }
                    Lead::Through | Lead::Past => {
                        self.proposal.used = true;
                        self.one(way, end, leads, &mut moved);
                    }
                }
            }
        }
        if !self.proposal.used {
            // Where a line is known, others that can't be followed are the doctor's affair.
            for way in perhaps {
                let why = way.ends.iter().find_map(|end| match &end.to {
                    Destination::Unknown { why, .. } => Some(why.clone()),
                    _ => None,
                });
                let failure = Failure::new(format!(
                    "nobody can tell whether `{}` at {} sends requests to `{service}`: {}",
                    line(way),
                    self.shown(&way.place),
                    why.unwrap_or_default()
                ));
                let hint = format!("if it does, write `{}` there", written(self.configuration, self.names, way));
                if !way.script && !self.proposal.by_hand.iter().any(|known| known.what == failure.what) {
                    self.proposal.by_hand.push(failure.hint(hint));
                }
            }
        }
        self.own_upstreams(upstream.as_str(), &moved);
    }

    /// Lets one way lead through swap's upstream.
    fn one(&mut self, way: &Way, end: &End, leads: &[Lead], moved: &mut Vec<String>) {
        if let Some(theirs) = end.upstream.as_ref().filter(|theirs| !self.is_swaps(&theirs.file)) {
            if !self.takes_over(theirs) {
                return;
            }
            moved.push(theirs.place.clone());
        } else if end.upstream.is_none() {
            if let Destination::Name { host, .. } = &end.to {
                self.proposal.host.get_or_insert(host.clone());
            }
            match &end.to {
                Destination::Name { port: Some(port), .. } | Destination::Address { port: Some(port), .. } => {
                    match port.parse() {
                        Ok(port) => _ = self.proposal.ports.insert(port),
                        Err(_) => {
                            let hint = format!(
                                "write `{}`, without port, and run `swap init {} --port NUMBER`",
                                written(self.configuration, self.names, way),
                                self.names.service
                            );
                            self.by_hand(way, "names a port that can't be told", hint);
                            return;
                        }
                    }
                }
                _ => self.proposal.usual_port = self.proposal.usual_port.or(usual_port(&way.value)),
            }
        }
        let cure = format!("write `{}` there", written(self.configuration, self.names, way));
        let pieces = match self.pieces_of(way, end) {
            Ok(pieces) => pieces,
            Err(why) => return self.by_hand(way, &why, cure),
        };
        if let Err(why) = self.redirect(&pieces, way, leads) {
            self.by_hand(way, &why, cure);
        }
    }

    fn by_hand(&mut self, way: &Way, why: &str, cure: String) {
        let failure = Failure::new(format!("`{}` at {} {why}", line(way), self.shown(&way.place))).hint(cure);
        if !self.proposal.by_hand.contains(&failure) {
            self.proposal.by_hand.push(failure);
        }
    }

    /// Takes note of an upstream that leads to the service; tells whether swap's can take its place.
    fn takes_over(&mut self, upstream: &Upstream) -> bool {
        let ours = |server: &String| is_server_of(self.configuration, self.names, server);
        let others: Vec<String> = upstream.servers.iter().filter(|server| !ours(server)).cloned().collect();
        let (service, place) = (&self.names.service, self.shown(&upstream.place));
        if let Some(why) = upstream.dynamic.as_ref().filter(|_| upstream.servers.is_empty()) {
            let failure = Failure::new(format!("the servers of the upstream `{}` can't be told: {why}", upstream.name))
                .hint(format!(
                    "write `server {service}:PORT;` into it, or let the lines that mean `{service}` name `{}`",
                    self.names.upstream
                ));
            if !self.proposal.by_hand.contains(&failure) {
                self.proposal.by_hand.push(failure);
            }
            return false;
        }
        if !others.is_empty() {
            let failure = Failure::new(format!(
                "the upstream `{}` at {place} also leads to {}, and swap's upstream holds the containers of `{service}` alone",
                upstream.name,
                others.join(", ")
            ))
            .hint(format!(
                "if they are the same application, let one service run them all: `deploy: {{ replicas: {} }}` under `services: \
                 {service}:`, and `server {}` alone in that upstream; if they are not, write `http://{}` where `{service}` alone \
                 is meant",
                upstream.servers.len(),
                upstream.servers.iter().find(|server| ours(server)).map_or(service.as_str(), String::as_str),
                self.names.upstream
            ));
            if !self.proposal.by_hand.contains(&failure) {
                self.proposal.by_hand.push(failure);
            }
            return false;
        }
        for server in &upstream.servers {
            let (host, port) = split(server);
            self.proposal.host.get_or_insert(host.to_owned());
            match port.map_or(Some(80), |port| port.parse().ok()) {
                Some(port) => _ = self.proposal.ports.insert(port),
                None => {
                    let failure =
                        Failure::new(format!("the port of `server {}` at {place} is not a number", printable(server)))
                            .hint(format!("write the port as a number, or `x-swap: {{ port: … }}` for `{service}`"));
                    if !self.proposal.by_hand.contains(&failure) {
                        self.proposal.by_hand.push(failure);
                    }
                }
            }
        }
        true
    }

    /// Makes comments of the upstreams whose place swap's takes: that of its name, and those whose users were moved.
    fn own_upstreams(&mut self, ours: &str, moved: &[String]) {
        let told = self.told;
        let mut known = BTreeSet::new();
        for (at, seen) in told.seen.iter().enumerate() {
            let [name] = &seen.arguments[..] else { continue };
            let place = format!("{}:{}", self.files[seen.file].path, seen.line);
            if seen.name != "upstream" || !known.insert(place.clone()) || self.is_swaps(&self.files[seen.file].path) {
                continue;
            }
            let same_name = name.eq_ignore_ascii_case(ours);
            let servers: Vec<&Occurrence> =
                told.seen.iter().filter(|inner| inner.opener == Some(at) && inner.name == "server").collect();
            let address = |server: &Occurrence| server.arguments.first().cloned().unwrap_or_default();
            let own = |server: &&&Occurrence| is_server_of(self.configuration, self.names, &address(server));
            let shown = format!("{}:{}", self.name(seen.file), seen.line);
            let service = &self.names.service;
            if seen.context != "http" {
                if servers.iter().any(|server| own(&server)) {
                    self.proposal.notes.push(format!(
                        "the upstream `{name}` at {shown} is in `{}`, which swap does not switch: its connections to \
                         `{service}` are cut when the old container stops",
                        seen.context
                    ));
                }
                continue;
            }
            if !same_name && !moved.contains(&printable(&place)) {
                continue;
            }
            let others: Vec<String> =
                servers.iter().filter(|server| !own(server)).map(|server| address(server)).collect();
            if same_name && (!others.is_empty() || servers.is_empty()) {
                let to = if others.is_empty() { "nothing".to_owned() } else { others.join(", ") };
                let failure = Failure::new(format!(
                    "the upstream `{name}` at {shown} also leads to {to}, and swap's upstream holds the containers of \
                     `{service}` alone"
                ))
                .hint(format!(
                    "let lines that mean `{service}` say `proxy_pass http://{ours};`, and give that upstream another name than \
                     `{ours}`"
                ));
                if !self.proposal.by_hand.iter().any(|known| known.what == failure.what) {
                    self.proposal.by_hand.push(failure);
                }
                continue;
            }
            let lost = self.keep_options(at, &servers);
            let lost =
                if lost.is_empty() { String::new() } else { format!("; swap's own has no `{}`", lost.join("`, `")) };
            let switch = told.seen.iter().find(|inner| inner.opener == Some(at) && inner.name == "include");
            if let Some(switch) = switch {
                self.proposal.notes.push(format!(
                    "`include {}` in the upstream `{name}` was a switch of your own: swap takes its place, and what changes that \
                     file changes nothing any more",
                    printable(&switch.arguments.join(" "))
                ));
            }
            match self.commented_out(seen) {
                Ok(edits) => {
                    edits.into_iter().for_each(|edit| self.edit(seen.file, edit));
                    self.proposal.notes.push(format!(
                        "the upstream `{name}` at {shown} becomes a comment: swap writes it from now on{lost}"
                    ));
                }
                Err(_) if !same_name => self
                    .proposal
                    .notes
                    .push(format!("the upstream `{name}` at {shown} is not used any more and may be deleted{lost}")),
                Err(why) => self.proposal.by_hand.push(
                    Failure::new(format!("the upstream `{name}` at {shown} {why}"))
                        .hint(format!("remove `upstream {name} {{ … }}`: swap writes it from now on")),
                ),
            }
        }
    }

    /// Keeps what an upstream says beside where its servers are; returns what swap's own can't say.
    fn keep_options(&mut self, upstream: usize, servers: &[&Occurrence]) -> Vec<String> {
        let mut lost = Vec::new();
        for inner in self.told.seen.iter().filter(|inner| inner.opener == Some(upstream)) {
            // swap has a memory zone and a resolver of its own where they are needed.
            let own = matches!(inner.name.as_str(), "server" | "zone" | "include" | "resolver" | "resolver_timeout");
            if !own && !self.proposal.kept.option(&inner.name, &inner.arguments) {
                lost.push(printable(format!("{} {}", inner.name, inner.arguments.join(" ")).trim_end()));
            }
        }
        for word in servers.iter().flat_map(|server| server.arguments.iter().skip(1)) {
            self.proposal.kept.parameter(word);
        }
        lost
    }

    /// Notes where the application will see another `Host`.
    fn hosts(&mut self) {
        let mut lost: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (way, authority) in std::mem::take(&mut self.redirected) {
            let seen = self.told.at(self.files, &way.place).into_iter().find(|seen| seen.name == way.directive);
            let shown = authority.strip_suffix(":80").unwrap_or(&authority);
            let same = shown.eq_ignore_ascii_case(self.names.upstream.as_str());
            if way.directive == "proxy_pass" && !same && seen.is_some_and(|seen| !self.sets_host(seen)) {
                let (places, place) = (lost.entry(shown.to_owned()).or_default(), self.shown(&way.place));
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        for (authority, places) in lost {
            self.proposal.notes.push(format!(
                "the application sees `Host: {}` where it saw `Host: {authority}`: no `proxy_set_header Host` holds at {}",
                self.names.upstream,
                places.join(", ")
            ));
        }
    }

    /// Tells whether a `proxy_set_header Host` holds for a pass: those of an outer block count where the inner one has none.
    fn sets_host(&self, seen: &Occurrence) -> bool {
        let told = self.told;
        let mut opener = seen.opener;
        loop {
            let here = told.seen.iter().filter(|other| other.opener == opener && other.name == "proxy_set_header");
            let mut names = here.filter_map(|header| header.arguments.first()).peekable();
            if names.peek().is_some() {
                return names.any(|name| name.eq_ignore_ascii_case("host"));
            }
            match opener {
                Some(at) => opener = told.seen[at].opener,
                None => return false,
            }
        }
    }

    /// Returns the parts of a way's value, as far as it says where it leads.
    fn pieces_of(&self, way: &Way, end: &End) -> Result<Vec<Piece>, String> {
        let is_it = |seen: &&Occurrence| seen.name == way.directive && seen.arguments.first() == Some(&way.value);
        let seen = self.told.at(self.files, &way.place).into_iter().find(is_it).ok_or("was not found again")?;
        let mut through = end.through.iter();
        let mut pieces = Vec::new();
        self.expand(seen, 1, &mut through, &[], &mut pieces)?;
        Ok(pieces)
    }

    /// Adds the parts of one word of a directive.
    fn expand(
        &self,
        seen: &Occurrence,
        word: usize,
        through: &mut std::slice::Iter<'_, Through>,
        parents: &[(usize, Range<usize>)],
        pieces: &mut Vec<Piece>,
    ) -> Result<(), String> {
        let file = &self.files[seen.file];
        if let Source::Elsewhere(why) = &file.source {
            return Err(format!("sends requests to `{}`, and {why}", self.names.service));
        }
        let unsafe_to_edit = || "is written in a way that can't be edited safely".to_owned();
        let (Some(text), Some(tree)) = (file.source(), &self.sources[seen.file]) else { return Err(unsafe_to_edit()) };
        let found = tree.at(seen.line, &seen.name);
        let fits = |directive: &&&Directive| {
            matches!(file.source, Source::Template(_)) || directive.arguments == seen.arguments
        };
        let range =
            found.iter().find(fits).and_then(|directive| directive.words.get(word)).ok_or_else(unsafe_to_edit)?;
        let raw = &text[range.clone()];
        let quoted = raw.starts_with(['"', '\'']);
        let inner = if quoted { range.start + 1..range.end.max(range.start + 2) - 1 } else { range.clone() };
        let tokens = tokens(&text[inner.clone()]);
        let whole = tokens.len() == 1;
        for token in tokens {
            let so_far: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
            if is_complete(&so_far) {
                break;
            }
            let at = (seen.file, inner.start + token.at.start..inner.start + token.at.end);
            let piece = |text: &str, literal| Piece {
                text: text.to_owned(),
                at: at.clone(),
                literal,
                parents: parents.to_vec(),
                whole,
            };
            let Some(name) = token.variable else {
                pieces.push(piece(&text[at.1.clone()], true));
                continue;
            };
            let of_template = self.environment.get(&name).filter(|_| matches!(file.source, Source::Template(_)));
            if let Some(value) = of_template {
                pieces.push(piece(value, false));
                continue;
            }
            let set = through.clone().next().and_then(|next| self.setter(&name, next));
            match set {
                Some((setter, word)) => {
                    through.next();
                    let parents: Vec<_> = parents.iter().cloned().chain([at]).collect();
                    self.expand(setter, word, through, &parents, pieces)?;
                }
                None => pieces.push(piece(built_in(&name).unwrap_or("\0"), false)),
            }
        }
        Ok(())
    }

    /// Returns the directive that puts a value into a variable, and the word that has the value.
    fn setter<'s>(&'s self, name: &str, through: &Through) -> Option<(&'s Occurrence, usize)> {
        let own = |word: Option<&String>| word.is_some_and(|word| word.trim_start_matches('$') == name);
        self.told.at(self.files, &through.place).into_iter().find_map(|seen| {
            if seen.name == "set" && own(seen.arguments.first()) {
                return Some((seen, 2));
            }
            let opener = &self.told.seen[seen.opener?];
            let maps = matches!(opener.name.as_str(), "map" | "geo" | "split_clients") && own(opener.arguments.last());
            maps.then_some((seen, seen.arguments.len()))
        })
    }

    /// Puts the upstream's name in the place of host and port.
    fn redirect(&mut self, pieces: &[Piece], way: &Way, leads: &[Lead]) -> Result<(), String> {
        let ours = self.names.upstream.to_string();
        let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        let start = text.find("://").map_or(0, |at| at + 3);
        let authority = &text[start..start + text[start..].find(['/', '?']).unwrap_or(text.len() - start)];
        let (host, port) = split(authority);
        let host_at = start..start + host.len();
        let port_at = host_at.end..host_at.end + port.map_or(0, |port| port.len() + 1);
        let shared = leads.contains(&Lead::Elsewhere);
        let placed = |range: &Range<usize>| {
            let mut at = 0;
            let mut parts: Vec<(&Piece, Range<usize>)> = Vec::new();
            for piece in pieces {
                let own = at..at + piece.text.len();
                at = own.end;
                let part = own.start.max(range.start)..own.end.min(range.end);
                if part.start < part.end {
                    parts.push((piece, part.start - own.start..part.end - own.start));
                }
            }
            parts
        };
        if host_at.is_empty() {
            return Err("names no host".to_owned());
        }
        if let ([piece], true) = (pieces, text == "\0" && way.value.contains("://")) {
            // A variable of a template that stands for all of it.
            let line = written(self.configuration, self.names, way);
            let value = line.split_once(' ').map_or("", |(_, value)| value).trim_end_matches(';').to_owned();
            self.redirected.push((way.clone(), authority.to_owned()));
            self.edit(piece.at.0, Edit { at: piece.at.1.clone(), text: value });
            return Ok(());
        }
        let (hosts, ports) = (placed(&host_at), placed(&port_at));
        let mut edits = Vec::new();
        let of_line = |piece: &Piece| piece.parents.is_empty();
        if shared && ports.iter().any(|(piece, _)| of_line(piece)) {
            return Err("has a port for other servers too".to_owned());
        }
        match &hosts[..] {
            // In a template a variable may stand for both.
            [(piece, part)] if !piece.literal => {
                let rest = placed(&port_at);
                let own_port = rest.iter().all(|(other, _)| other.at == piece.at);
                if !own_port && part.len() != piece.text.len() {
                    return Err("is made of variables in a way that can't be edited safely".to_owned());
                }
                let end = if own_port { part.end + port_at.len() } else { part.end };
                let literal = format!("{}{ours}{}", &piece.text[..part.start], &piece.text[end..]);
                if literal != piece.text {
                    edits.push((piece.at.0, Edit { at: piece.at.1.clone(), text: literal }));
                }
                if own_port {
                    self.redirected.push((way.clone(), authority.to_owned()));
                    edits.into_iter().for_each(|(file, edit)| self.edit(file, edit));
                    return Ok(());
                }
            }
            [(piece, part)] => {
                if piece.text[part.clone()] != ours {
                    let at = piece.at.1.start + part.start..piece.at.1.start + part.end;
                    edits.push((piece.at.0, Edit { at, text: ours.clone() }));
                }
            }
            // Made of several: what stands for it in the line itself.
            [(first, from), .., (last, to)] if leads.len() == 1 => {
                let inside = |piece: &Piece, part: &Range<usize>| {
                    of_line(piece) && piece.literal || part.len() == piece.text.len()
                };
                if !hosts.iter().all(|(piece, part)| inside(piece, part)) {
                    return Err("is made of variables in a way that can't be edited safely".to_owned());
                }
                let edge = |piece: &Piece, at: usize| if of_line(piece) && piece.literal { at } else { 0 };
                let start = first.outermost().1.start + edge(first, from.start);
                let end = if of_line(last) && last.literal { last.at.1.start + to.end } else { last.outermost().1.end };
                edits.push((first.outermost().0, Edit { at: start..end, text: ours.clone() }));
            }
            _ => return Err("is made of variables in a way that can't be edited safely".to_owned()),
        }
        for (piece, part) in ports {
            let all = part.len() == piece.text.len();
            let at = match (piece.literal, all && piece.whole, piece.parents.last()) {
                (_, true, Some(parent)) => parent.clone(),
                (true, ..) => (piece.at.0, piece.at.1.start + part.start..piece.at.1.start + part.end),
                (false, ..) if all => piece.at.clone(),
                _ => return Err("has a port that can't be taken out safely".to_owned()),
            };
            edits.push((at.0, Edit { at: at.1, text: String::new() }));
        }
        self.redirected.push((way.clone(), authority.to_owned()));
        edits.into_iter().for_each(|(file, edit)| self.edit(file, edit));
        Ok(())
    }

    /// Returns the edits that make each line of a directive a comment; else why that can't be.
    fn commented_out(&self, seen: &Occurrence) -> Result<Vec<Edit>, String> {
        let file = &self.files[seen.file];
        if let Source::Elsewhere(why) = &file.source {
            return Err(format!("can't be changed: {why}"));
        }
        let shares = || "shares a line with something else".to_owned();
        let (Some(text), Some(tree)) = (file.source(), &self.sources[seen.file]) else { return Err(shares()) };
        let found = tree.at(seen.line, &seen.name);
        let span = found.first().map(|directive| directive.span.clone()).ok_or_else(shares)?;
        let begin = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[span.end..].find('\n').map_or(text.len(), |at| span.end + at);
        let after = text[span.end..end].trim();
        if !text[begin..span.start].trim().is_empty() || !(after.is_empty() || after.starts_with('#')) {
            // Nothing but it is between what it shares its line with.
            return match text[span.clone()].contains('\n') {
                true => Err(shares()),
                false => Ok(vec![Edit { at: span, text: String::new() }]),
            };
        }
        let mut edits = Vec::new();
        let mut at = begin;
        for line in text[begin..end].split_inclusive('\n') {
            let indent = line.len() - line.trim_start().len();
            if !line.trim().is_empty() {
                edits.push(Edit::insert(at + indent, "# "));
            }
            at += line.len();
        }
        Ok(edits)
    }

    /// Leaves to people a file that could not be read any more after its edits.
    fn checked(mut self) -> Result<Proposal, Failure> {
        for (index, file) in self.files.iter().enumerate() {
            let edits: Vec<Edit> =
                self.proposal.edits.iter().filter(|(at, _)| *at == index).map(|(_, edit)| edit.clone()).collect();
            let text = file.source().unwrap_or_default();
            if !edits.is_empty() && syntax::parse(&Edit::apply(text, &edits)).is_err() {
                self.proposal.by_hand.push(
                    Failure::new(format!("`{}` is written in a way that can't be edited safely", file.name))
                        .hint(format!("write `proxy_pass http://{};` where it is used", self.names.upstream)),
                );
            }
        }
        Ok(self.proposal)
    }

    /// Puts the line that reads swap's folder where nginx reads it, if there is none.
    fn include(&mut self) {
        if let Some(include) = &self.configuration.include {
            (self.proposal.folder, self.proposal.included) = (include.folder.clone(), true);
            return;
        }
        if !self.proposal.used {
            return;
        }
        let told = self.told;
        let line = format!("include {}/*.conf;", self.proposal.folder);
        let editable = |seen: &&Occurrence| self.sources[seen.file].is_some();
        let http = told.seen.iter().filter(editable).find(|seen| seen.context.is_empty() && seen.name == "http");
        let in_http = http.and_then(|seen| {
            let directive = *self.sources[seen.file].as_ref()?.at(seen.line, "http").first()?;
            Some((seen.file, in_block(self.files[seen.file].source()?, directive, &line)))
        });
        let edit = in_http.or_else(|| {
            // Else the first file that is read at that level and can be edited: rather one that is edited anyway.
            let main = told.seen.first().map(|seen| seen.file);
            let tops: Vec<usize> = told
                .seen
                .iter()
                .filter(|seen| seen.context == "http" && Some(seen.file) != main)
                .filter(editable)
                .map(|seen| seen.file)
                .collect();
            let edited = |file: &&usize| self.proposal.edits.iter().any(|(at, _)| at == *file);
            let file = *tops.iter().find(edited).or(tops.first())?;
            Some((file, at_the_top(self.files[file].source()?, &line)))
        });
        match edit {
            // First, because an upstream that becomes a comment may begin at the same place.
            Some(edit) => self.proposal.edits.insert(0, edit),
            None => {
                let main = self.files.first().map_or(MAIN, |file| &file.name);
                self.proposal.by_hand.push(
                    Failure::new("none of nginx's files that can be edited is read at the level of `http`")
                        .hint(format!("write `{line}` into the `http` block of {main}")),
                );
            }
        }
    }
}

/// A piece of a word: a literal text, or a variable's name.
struct Token {
    at: Range<usize>,
    variable: Option<String>,
}

/// Splits a word at its variables.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(found) = text[at..].find('$').map(|found| at + found) {
        let rest = &text[found + 1..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, end) = match rest.strip_prefix('{') {
            Some(braced) => {
                let close = braced.find('}').unwrap_or(braced.len());
                // `${NAME:-default}` is filled in as the name alone is.
                let name = braced[..close].split(':').next().unwrap_or_default();
                (name, (found + 2 + close + 1).min(text.len()))
            }
            None => {
                let close = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                (&rest[..close], found + 1 + close)
            }
        };
        at = end.max(found + 1);
        if name.is_empty() {
            continue;
        }
        if from < found {
            tokens.push(Token { at: from..found, variable: None });
        }
        tokens.push(Token { at: found..end, variable: Some(name.to_owned()) });
        from = end;
    }
    if from < text.len() {
        tokens.push(Token { at: from..text.len(), variable: None });
    }
    tokens
}

/// Tells whether the part of a value that says where it leads is over.
fn is_complete(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with("unix:") && rest.contains(['/', '?']))
}

/// Returns the port that nginx takes where none is written.
fn usual_port(value: &str) -> Option<u16> {
    match value.split_once("://").map(|(scheme, _)| scheme) {
        Some("http" | "grpc" | "$scheme") => Some(80),
        Some("https" | "grpcs") => Some(443),
        _ => None,
    }
}

/// Returns a way's line without its semicolon.
fn line(way: &Way) -> String {
    printable(format!("{} {}", way.directive, way.value).trim_end())
}

/// Returns how the text ends its lines.
fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Puts a line at the beginning of a block, indented as its neighbours are.
fn in_block(text: &str, block: &Directive, line: &str) -> Edit {
    let newline = newline(text);
    let opened = block.opened.unwrap_or(block.span.start);
    let begin = text[..block.span.start].rfind('\n').map_or(0, |at| at + 1);
    let outer: String = text[begin..].chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
    let inner = block.block.iter().flatten().find_map(|directive| {
        let begin = text[..directive.span.start].rfind('\n').map_or(0, |at| at + 1);
        let indent = &text[begin..directive.span.start];
        (begin > opened && indent.trim().is_empty()).then(|| indent.to_owned())
    });
    let indent = inner.unwrap_or_else(|| format!("{outer}    "));
    let rest = text[opened..].find('\n').map_or(text.len(), |at| opened + at);
    let after = text[opened..rest].trim();
    if after.is_empty() || after.starts_with('#') {
        let end = opened + text[opened..rest].trim_end().len();
        return Edit::insert(end, format!("{newline}{indent}{line}"));
    }
    // Something follows the brace on its line: it moves to a line of its own.
    let first = opened + (text[opened..rest].len() - text[opened..rest].trim_start().len());
    Edit { at: opened..first, text: format!("{newline}{indent}{line}{newline}{indent}") }
}

fn at_the_top(text: &str, line: &str) -> Edit {
    Edit::insert(0, format!("{line}{}", newline(text)))
}

/// Returns the file that nginx starts with until the first swap: the service at an address, and how it is found there.
///
/// `kept` is what upstreams said whose place it takes.
pub fn first_file(upstream: &str, address: &str, how: &str, kept: &Kept) -> String {
    let Kept { options, parameters } = kept;
    let mut text =
        format!("# What nginx starts with: {how}. The first swap replaces this file.\nupstream {upstream} {{\n");
    // How the load is spread comes before what is kept open.
    options.iter().for_each(|option| text += &format!("    {option};\n"));
    let parameters: String = parameters.iter().map(|parameter| format!(" {parameter}")).collect();
    text += &format!("    server {address}{parameters};\n}}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files as `PATH` and text; the answer has the changed files, then what else is told. What lies in `templates` is filled with
    /// `APP=app`.
    fn proposed(files: &[(&str, &str)]) -> String {
        let environment = [("APP".to_owned(), "app".to_owned())].into();
        let files: Vec<ConfigFile> = files
            .iter()
            .map(|(path, text)| match path.strip_prefix("templates/").and_then(|rest| rest.strip_suffix(".template")) {
                Some(name) => ConfigFile {
                    path: format!("/etc/nginx/conf.d/{name}"),
                    name: (*path).to_owned(),
                    text: text.replace("${APP}", "app"),
                    source: Source::Template((*text).to_owned()),
                },
                None => ConfigFile {
                    path: format!("/etc/nginx/{path}"),
                    name: (*path).to_owned(),
                    text: (*text).to_owned(),
                    source: Source::Itself,
                },
            })
            .collect();
        let files = assembled(files);
        let mut names = Names::of("app".parse().unwrap());
        names.add("shop_app", "its `container_name`");
        let proposal = propose(&files, &names, &environment, "/etc/nginx/swap").unwrap();
        let mut told = String::new();
        let mut changed = files.clone();
        for (index, file) in changed.iter_mut().enumerate() {
            let edits: Vec<Edit> =
                proposal.edits.iter().filter(|(at, _)| *at == index).map(|(_, edit)| edit.clone()).collect();
            if !edits.is_empty() {
                let text = Edit::apply(file.source().unwrap(), &edits);
                told += &format!("== {}\n{text}", file.name);
                if let Source::Template(source) = &mut file.source {
                    source.clone_from(&text);
                }
                file.text = text.replace("${APP}", "app");
            }
        }
        let mut ports = proposal.ports.clone();
        ports.extend(proposal.usual_port);
        told += &format!("ports {ports:?}{}\n", if proposal.used { "" } else { ", unused" });
        let kept: Vec<&String> = proposal.kept.options.iter().chain(&proposal.kept.parameters).collect();
        if !kept.is_empty() {
            told += &format!("kept {}\n", kept.iter().map(|kept| kept.as_str()).collect::<Vec<_>>().join("; "));
        }
        proposal.notes.iter().for_each(|note| told += &format!("note: {note}\n"));
        proposal.by_hand.iter().for_each(|Failure { what, hint, .. }| {
            told += &format!("by hand: {what}\n  {}\n", hint.as_deref().unwrap_or_default());
        });
        // The second time there is nothing to do.
        if proposal.by_hand.is_empty() && proposal.used {
            let again = propose(&changed, &names, &environment, "/etc/nginx/swap").unwrap();
            assert_eq!((again.edits, again.by_hand), (Vec::new(), Vec::new()), "{told}");
        }
        told
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &str) {
        assert_eq!(proposed(files), expected);
    }

    #[test]
    fn a_main_file_gets_the_include_in_http_and_loses_the_port() {
        check(
            &[(
                "nginx.conf",
                "events {}\nhttp {\n  # ours\n  server {\n    location /api/ { proxy_pass http://app:8000/v1/; } # keep\n  }\n}\n",
            )],
            "== nginx.conf
events {}
http {
  include /etc/nginx/swap/*.conf;
  # ours
  server {
    location /api/ { proxy_pass http://app/v1/; } # keep
  }
}
ports {8000}
note: the application sees `Host: app` where it saw `Host: app:8000`: no `proxy_set_header Host` holds at nginx.conf:5
",
        );
    }

    #[test]
    fn a_file_of_conf_d_gets_the_include_at_its_top() {
        check(
            &[("conf.d/default.conf", "# site\nserver {\n\tlocation ~ \\.php$ {\n\t\tfastcgi_pass app:9000;\n\t}\n}")],
            "== conf.d/default.conf
include /etc/nginx/swap/*.conf;
# site
server {
\tlocation ~ \\.php$ {
\t\tfastcgi_pass app;
\t}
}ports {9000}
",
        );
    }

    #[test]
    fn uwsgi_grpc_and_quotes_keep_what_stands_around_the_name() {
        check(
            &[(
                "conf.d/a.conf",
                "server { location / { uwsgi_pass app:3031; } location /g { grpc_pass \"grpc://APP:3031\"; } }\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
server { location / { uwsgi_pass app; } location /g { grpc_pass \"grpc://app\"; } }
ports {3031}
",
        );
    }

    #[test]
    fn tabs_and_crlf_stay_and_one_line_is_enough() {
        check(
            &[(
                "nginx.conf",
                "http {\r\n\tserver {\r\n\t\tproxy_set_header Host $host;\r\n\t\tproxy_pass http://app:81;\r\n\t}\r\n}\r\n",
            )],
            "== nginx.conf\nhttp {\r\n\tinclude /etc/nginx/swap/*.conf;\r\n\tserver {\r\n\t\tproxy_set_header Host $host;\r\n\t\tproxy_pass http://app;\r\n\t}\r\n}\r\nports {81}\n",
        );
        check(
            &[("conf.d/a.conf", "upstream b {server app;}\nserver {proxy_pass http://b;}")],
            "== conf.d/a.conf\ninclude /etc/nginx/swap/*.conf;\n# upstream b {server app;}\nserver {proxy_pass http://app;}ports {80}
note: the upstream `b` at conf.d/a.conf:1 becomes a comment: swap writes it from now on
note: the application sees `Host: app` where it saw `Host: b`: no `proxy_set_header Host` holds at conf.d/a.conf:2
",
        );
    }

    #[test]
    fn a_brace_that_is_followed_by_code_or_a_comment_is_respected() {
        check(
            &[("nginx.conf", "http { server { proxy_pass http://app; } }\n")],
            "== nginx.conf\nhttp {\n    include /etc/nginx/swap/*.conf;\n    server { proxy_pass http://app; } }\nports {80}\n",
        );
        check(
            &[("nginx.conf", "http { # all\n        server { proxy_pass http://app; }\n}\n")],
            "== nginx.conf\nhttp { # all\n        include /etc/nginx/swap/*.conf;\n        server { proxy_pass http://app; }\n}\nports {80}\n",
        );
        check(
            &[("nginx.conf", "http{}\n"), ("conf.d/x.conf", "server { proxy_pass http://app:8000; }\n")],
            "ports {}, unused\n",
        );
    }

    #[test]
    fn an_own_upstream_of_the_name_becomes_a_comment() {
        check(
            &[(
                "conf.d/default.conf",
                "upstream app {\n    server app:8000 max_fails=3; # here\n\n    keepalive 16;\n} # end\nserver {\n    location / {\n        proxy_pass http://app;\n    }\n}\n",
            )],
            "== conf.d/default.conf
include /etc/nginx/swap/*.conf;
# upstream app {
    # server app:8000 max_fails=3; # here

    # keepalive 16;
# } # end
server {
    location / {
        proxy_pass http://app;
    }
}
ports {8000}
kept keepalive 16; max_fails=3
note: the upstream `app` at conf.d/default.conf:1 becomes a comment: swap writes it from now on
",
        );
        check(
            &[("nginx.conf", "http { upstream app { server app:8000; } server { proxy_pass http://app; } }\n")],
            "== nginx.conf
http {
    include /etc/nginx/swap/*.conf;
     server { proxy_pass http://app; } }
ports {8000}
note: the upstream `app` at nginx.conf:1 becomes a comment: swap writes it from now on
",
        );
    }

    #[test]
    fn an_upstream_of_another_name_becomes_a_comment_when_its_users_are_moved() {
        check(
            &[
                ("conf.d/a.conf", "upstream backend { server shop_app:8000; ip_hash; }\n"),
                ("conf.d/b.conf", "server { location / { proxy_pass http://backend/; } }\n"),
            ],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
# upstream backend { server shop_app:8000; ip_hash; }
== conf.d/b.conf
server { location / { proxy_pass http://app/; } }
ports {8000}
kept ip_hash
note: the upstream `backend` at conf.d/a.conf:1 becomes a comment: swap writes it from now on
note: the application sees `Host: app` where it saw `Host: backend`: no `proxy_set_header Host` holds at conf.d/b.conf:1
",
        );
    }

    #[test]
    fn an_upstream_of_several_services_is_for_people() {
        check(
            &[("conf.d/a.conf", "upstream all { server app:8000; server other:8000; }\nserver { proxy_pass http://all; }\n")],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
upstream all { server app:8000; server other:8000; }
server { proxy_pass http://all; }
ports {}
by hand: the upstream `all` at conf.d/a.conf:1 also leads to other:8000, and swap's upstream holds the containers of `app` alone
  if they are the same application, let one service run them all: `deploy: { replicas: 2 }` under `services: app:`, and `server app:8000` alone in that upstream; if they are not, write `http://app` where `app` alone is meant
",
        );
    }

    #[test]
    fn variables_are_followed_to_where_they_are_set() {
        check(
            &[(
                "conf.d/a.conf",
                "server {\n  resolver 127.0.0.11;\n  set $to app:8000;\n  location / { proxy_pass http://$to; }\n  location /b { set $u http://app:8000; proxy_pass $u; }\n}\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
server {
  resolver 127.0.0.11;
  set $to app;
  location / { proxy_pass http://$to; }
  location /b { set $u http://app; proxy_pass $u; }
}
ports {8000}
note: the application sees `Host: app` where it saw `Host: app:8000`: no `proxy_set_header Host` holds at conf.d/a.conf:4, conf.d/a.conf:5
",
        );
    }

    #[test]
    fn templates_and_included_snippets_are_read_where_they_belong() {
        check(
            &[
                ("nginx.conf", "http {\n    include conf.d/*.conf;\n}\n"),
                ("templates/default.conf.template", "server { listen ${PORT}; include snippets/app.conf; }\n"),
                ("snippets/app.conf", "location / { proxy_set_header Host $host; proxy_pass http://app:3000; }\n"),
            ],
            "== nginx.conf
http {
    include /etc/nginx/swap/*.conf;
    include conf.d/*.conf;
}
== snippets/app.conf
location / { proxy_set_header Host $host; proxy_pass http://app; }
ports {3000}
",
        );
    }

    #[test]
    fn what_is_not_http_or_not_ours_or_broken_is_left() {
        check(
            &[("nginx.conf", "stream { server { proxy_pass app:5432; } }\nhttp { server { proxy_pass http://other:1; } }\n")],
            "ports {}, unused
note: `proxy_pass app:5432` at nginx.conf:1 is in `stream`, which swap does not switch: its connections are cut when the old container stops
",
        );
        check(
            &[("certs/key.pem", "-----BEGIN {{{"), ("conf.d/a.conf", "server { proxy_pass http://app; }\n")],
            "== conf.d/a.conf\ninclude /etc/nginx/swap/*.conf;\nserver { proxy_pass http://app; }\nports {80}\n",
        );
        check(
            &[("conf.d/a.conf", "server {")],
            "ports {}, unused
by hand: `conf.d/a.conf` can't be read as nginx's configuration: line 1: the block of `server` is not closed
  correct that file, then run `swap init` again
",
        );
    }

    #[test]
    fn two_ports_are_both_told() {
        check(
            &[(
                "conf.d/a.conf",
                "include /etc/nginx/swap/*.conf;\nserver { location /a { proxy_pass http://app:1; } location /b { proxy_pass http://app:${P}; } }\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
server { location /a { proxy_pass http://app; } location /b { proxy_pass http://app:${P}; } }
ports {1}
note: the application sees `Host: app` where it saw `Host: app:1`: no `proxy_set_header Host` holds at conf.d/a.conf:2
by hand: `proxy_pass http://app:${P}` at conf.d/a.conf:2 names a port that can't be told
  write `proxy_pass http://app;`, without port, and run `swap init app --port NUMBER`
",
        );
    }

    #[test]
    fn the_first_file_names_the_service_by_dns() {
        assert_eq!(
            first_file("app", "app:8000", "app by its DNS name", &Kept::default()),
            "# What nginx starts with: app by its DNS name. The first swap replaces this file.\nupstream app {\n    server app:8000;\n}\n"
        );
    }

    #[test]
    fn what_stands_behind_the_port_stays() {
        check(
            &[(
                "conf.d/a.conf",
                "server {\n  proxy_set_header Host $host;\n  location / { proxy_pass http://app:8000$request_uri; }\n  location /b { proxy_pass http://app:8000/x?$args; }\n}\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
server {
  proxy_set_header Host $host;
  location / { proxy_pass http://app$request_uri; }
  location /b { proxy_pass http://app/x?$args; }
}
ports {8000}
",
        );
    }

    #[test]
    fn a_value_of_several_variables_is_changed_where_each_is_set() {
        check(
            &[(
                "conf.d/a.conf",
                "server {\n  proxy_set_header Host $host;\n  set $s http;\n  set $a app;\n  set $p 8000;\n  location / { proxy_pass $s://$a:$p; }\n  location /b { set $n p; proxy_pass http://ap$n:8000/b; }\n}\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
server {
  proxy_set_header Host $host;
  set $s http;
  set $a app;
  set $p 8000;
  location / { proxy_pass $s://$a; }
  location /b { set $n p; proxy_pass http://app/b; }
}
ports {8000}
",
        );
    }

    #[test]
    fn a_map_is_changed_where_it_names_the_service() {
        check(
            &[(
                "conf.d/a.conf",
                "map $host $to {\n  default app:8000;\n  b.test other:81;\n}\nserver { proxy_set_header Host $host; location / { proxy_pass http://$to; } }\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
map $host $to {
  default app;
  b.test other:81;
}
server { proxy_set_header Host $host; location / { proxy_pass http://$to; } }
ports {8000}
",
        );
        check(
            &[(
                "conf.d/a.conf",
                "map $host $to {\n  default app;\n  b.test other;\n}\nserver { proxy_set_header Host $host; location / { proxy_pass http://$to:8000; } }\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
map $host $to {
  default app;
  b.test other;
}
server { proxy_set_header Host $host; location / { proxy_pass http://$to:8000; } }
ports {8000}
by hand: `proxy_pass http://$to:8000` at conf.d/a.conf:5 has a port for other servers too
  write `proxy_pass http://app;` there
",
        );
    }

    #[test]
    fn a_variable_of_the_environment_that_is_the_right_name_stays_in_its_template() {
        check(
            &[(
                "templates/default.conf.template",
                "server {\n  proxy_set_header Host $host;\n  location / { proxy_pass http://${APP}:8000/; }\n}\n",
            )],
            "== templates/default.conf.template
include /etc/nginx/swap/*.conf;
server {
  proxy_set_header Host $host;
  location / { proxy_pass http://${APP}/; }
}
ports {8000}
",
        );
    }

    #[test]
    fn a_template_that_a_server_includes_is_not_where_the_include_goes() {
        check(
            &[
                ("nginx.conf", "http { server { include conf.d/locations; } }\n"),
                (
                    "templates/locations.template",
                    "location / { proxy_set_header Host $host; proxy_pass http://${APP}; }\n",
                ),
            ],
            "== nginx.conf
http {
    include /etc/nginx/swap/*.conf;
    server { include conf.d/locations; } }
ports {80}
",
        );
    }

    #[test]
    fn options_of_the_users_own_upstream_are_kept() {
        check(
            &[(
                "conf.d/a.conf",
                "upstream web {\n  zone web 64k;\n  hash $remote_addr consistent;\n  server app:8000 weight=2 max_fails=3 fail_timeout=5s;\n  keepalive 16;\n  keepalive_timeout 30s;\n}\nserver { proxy_set_header Host $host; location / { proxy_pass http://web; } }\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
# upstream web {
  # zone web 64k;
  # hash $remote_addr consistent;
  # server app:8000 weight=2 max_fails=3 fail_timeout=5s;
  # keepalive 16;
  # keepalive_timeout 30s;
# }
server { proxy_set_header Host $host; location / { proxy_pass http://app; } }
ports {8000}
kept hash $remote_addr consistent; keepalive 16; keepalive_timeout 30s; weight=2; max_fails=3; fail_timeout=5s
note: the upstream `web` at conf.d/a.conf:1 becomes a comment: swap writes it from now on
",
        );
    }

    #[test]
    fn a_switch_of_ones_own_is_mentioned() {
        check(
            &[
                ("nginx.conf", "http {\n  upstream app {\n    include live.conf;\n  }\n  server { proxy_pass http://app; }\n}\n"),
                ("live.conf", "server shop_app:8000;\n"),
            ],
            "== nginx.conf
http {
  include /etc/nginx/swap/*.conf;
  # upstream app {
    # include live.conf;
  # }
  server { proxy_pass http://app; }
}
ports {8000}
note: `include live.conf` in the upstream `app` was a switch of your own: swap takes its place, and what changes that file changes nothing any more
note: the upstream `app` at nginx.conf:2 becomes a comment: swap writes it from now on
",
        );
    }

    #[test]
    fn the_host_is_looked_for_where_it_holds() {
        check(
            &[(
                "conf.d/a.conf",
                "server {\n  proxy_set_header Host $host;\n  location / { proxy_pass http://app:8000; }\n  location /b {\n    proxy_set_header X-A b;\n    proxy_pass http://app:8000;\n  }\n}\n",
            )],
            "== conf.d/a.conf
include /etc/nginx/swap/*.conf;
server {
  proxy_set_header Host $host;
  location / { proxy_pass http://app; }
  location /b {
    proxy_set_header X-A b;
    proxy_pass http://app;
  }
}
ports {8000}
note: the application sees `Host: app` where it saw `Host: app:8000`: no `proxy_set_header Host` holds at conf.d/a.conf:6
",
        );
    }
}
