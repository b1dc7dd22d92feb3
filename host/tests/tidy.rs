//! The house rules that a compiler does not know. Each failure names the line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The pure modules.
const CORE: [&str; 4] = ["text", "model", "plan", "run"];

/// The modules that touch the world, each on its own.
const ADAPTERS: [&str; 7] = ["docker", "compose", "nginx", "hooks", "journal", "store", "ui"];

/// What adapters share of the machine.
const FLOOR: &str = "os";
/// The rooms: what stands between the commands and the adapters, each with its floor. A room knows those below its floor.
const ROOMS: [(&str, u8); 7] =
    [("site", 0), ("claim", 1), ("measure", 1), ("observe", 2), ("perform", 3), ("doctor", 3), ("init", 3)];

/// What adapters know beside the core: where tests kill and fail them, and what tests give them to read.
const TESTED_BY: [&str; 3] = ["failpoint", "lacking", "mutated"];

/// What the core does not know.
const IMPURE: [&str; 22] = [
    "tokio",
    "futures_util",
    "bollard",
    "wasmtime",
    "wasmtime_wasi",
    "reqwest",
    "rustls",
    "rustix",
    "clap",
    "jiff",
    "std::fs",
    "std::io",
    "std::process",
    "std::env",
    "std::thread",
    "std::os",
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "async",
];

fn host() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the Rust files below a folder of the crate, by their path in it, with their text.
fn files(folder: &str) -> BTreeMap<String, String> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() { collect(&path, found) } else { found.push(path) }
        }
    }
    let root = host().join(folder);
    let mut found = Vec::new();
    collect(&root, &mut found);
    let rust = found.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|path| {
        let name = path.strip_prefix(&root).expect("it is in the folder").to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).expect("it is text"))
    })
    .collect()
}

/// Returns the module below the crate that a file belongs to, as `docker` for `docker/exec.rs`.
fn module(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or(file)
}

/// Tells whether a module is a room.
fn is_room(module: &str) -> bool {
    ROOMS.iter().any(|(room, _)| module == *room)
}

/// Returns the lines of code with their numbers: no comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.map(|(number, line)| (number, line.split("//").next().unwrap_or(line)))
}

/// Tells whether the line has the word, and not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(joins);
        let after = line[at + word.len()..].chars().next().is_some_and(joins);
        !before && !after
    })
}

/// Returns the modules of the crate that a line names, as `model` for `use crate::model::Failure`.
fn named(line: &str) -> Vec<&str> {
    let paths = ["crate::", "swap::"].into_iter().flat_map(|root| {
        line.match_indices(root)
            .filter(|(at, _)| !line[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
            .map(move |(at, _)| &line[at + root.len()..])
    });
    paths.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")).collect()
}

/// Returns every line of a module that names a module that it may not know.
fn strangers(file: &str, text: &str, known: &[&str]) -> Vec<String> {
    let is_root = !file.contains('/');
    let own = module(file);
    code(text)
        .filter(|(_, line)| {
            let stranger = |name: &&str| *name != own && !known.contains(name);
            // From a top module `super` is the crate, unless its tests say so of itself.
            let above = is_root && line.contains("super::") && !line.contains("super::*");
            above || named(line).iter().any(stranger)
        })
        .map(|(number, line)| format!("src/{file}:{number}: {}", line.trim()))
        .collect()
}

/// A module of the crate by its path, as `["perform", "health"]`.
type Module = Vec<String>;

/// Returns the module that a file holds; a test file holds none.
fn module_of(file: &str) -> Option<Module> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let names: Module = path.split('/').map(str::to_owned).collect();
    let is_test = names.iter().any(|name| name == "tests");
    (!is_test).then_some(names)
}

/// Returns the paths of a `use` tree, as `a::b` and `a::c` for `a::{b, c}`; what follows the path is left.
fn paths(text: &str) -> Vec<Module> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(rest) = rest.strip_prefix("::").filter(|_| !name.is_empty()) else {
        return vec![vec![name.to_owned()]];
    };
    let mut below = Vec::new();
    match rest.strip_prefix('{') {
        None => below.extend(paths(rest)),
        Some(group) => {
            let mut depth = 0;
            let mut parts = vec![String::new()];
            for c in group.chars() {
                match c {
                    '}' if depth == 0 => break,
                    ',' if depth == 0 => parts.push(String::new()),
                    _ => {
                        depth += i32::from(c == '{') - i32::from(c == '}');
                        parts.last_mut().expect("there is one").push(c);
                    }
                }
            }
            below.extend(parts.iter().filter(|part| !part.trim().is_empty()).flat_map(|part| paths(part.trim())));
        }
    }
    below.into_iter().map(|path| [vec![name.to_owned()], path].concat()).collect()
}

/// Returns the paths that a module names, from the crate's root. `children` are its own modules.
fn named_paths(module: &Module, children: &[&str], text: &str) -> Vec<Module> {
    let lines: Vec<&str> = code(text).map(|(_, line)| line).collect();
    let text = lines.join("\n");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for word in ["crate", "super", "self"].iter().chain(children) {
        for (at, _) in text.match_indices(&format!("{word}::")) {
            if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            for path in paths(&text[at..]) {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let from = match path[0].as_str() {
                    "crate" => &[][..],
                    "super" => &module[..module.len().saturating_sub(ups)],
                    _ => &module[..],
                };
                let skipped = if path[0] == "self" || path[0] == "crate" { 1 } else { ups };
                found.push([from, &path[skipped..]].concat());
            }
        }
    }
    found
}

/// Returns which of the modules each of them imports from.
fn imports(files: &BTreeMap<String, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let modules: BTreeMap<Module, &String> =
        files.iter().filter_map(|(file, text)| Some((module_of(file)?, text))).collect();
    let imports = modules.iter().map(|(module, text)| {
        let is_child = |other: &&Module| other.len() == module.len() + 1 && other.starts_with(module);
        let children: Vec<&str> = modules.keys().filter(is_child).map(|child| child[module.len()].as_str()).collect();
        let known = |path: Module| {
            let lengths = (1..=path.len()).rev();
            lengths.map(|length| path[..length].to_vec()).find(|prefix| modules.contains_key(prefix))
        };
        let named = named_paths(module, &children, text).into_iter().filter_map(known);
        (module.clone(), named.filter(|other| other != module).collect())
    });
    imports.collect()
}

/// Returns the circles among the imports, one for each module from which one begins, as `a → b → a`.
fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    fn way<'a>(
        imports: &'a BTreeMap<Module, BTreeSet<Module>>,
        (from, to): (&'a Module, &Module),
        passed: &mut BTreeSet<&'a Module>,
    ) -> Option<Vec<&'a Module>> {
        for next in imports.get(from).into_iter().flatten() {
            if next == to {
                return Some(vec![next]);
            }
            if passed.insert(next)
                && let Some(mut rest) = way(imports, (next, to), passed)
            {
                rest.insert(0, next);
                return Some(rest);
            }
        }
        None
    }
    let all = imports.keys().filter_map(|module| {
        let way = way(imports, (module, module), &mut BTreeSet::new())?;
        // Told once, from its first module on.
        way.iter().all(|other| module <= *other).then(|| {
            let names = std::iter::once(module).chain(way).map(|module| module.join("::"));
            names.collect::<Vec<_>>().join(" → ")
        })
    });
    all.collect()
}

#[track_caller]
fn nothing(rule: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut found = Vec::new();
    for (file, text) in files("src").iter().filter(|(file, _)| CORE.contains(&module(file))) {
        found.extend(strangers(file, text, &CORE));
        let impure = |line: &str| IMPURE.iter().any(|word| has_word(line, word));
        let lines = code(text).filter(|(_, line)| impure(line));
        found.extend(lines.map(|(number, line)| format!("src/{file}:{number}: {}", line.trim())));
    }
    nothing("model, plan and run know no IO, no clock and nothing above them", found);
}

#[test]
fn the_core_looks_down_only() {
    let files = files("src");
    let of = |name: &'static str| files.iter().filter(move |(file, _)| module(file) == name);
    let mut found: Vec<String> = of("text").flat_map(|(file, text)| strangers(file, text, &[])).collect();
    found.extend(of("model").flat_map(|(file, text)| strangers(file, text, &["text"])));
    found.extend(of("plan").flat_map(|(file, text)| strangers(file, text, &["model", "text"])));
    found.extend(of("run").flat_map(|(file, text)| strangers(file, text, &["model", "plan", "text"])));
    nothing("run knows plan, plan knows model, model knows text, text knows nobody", found);
}

#[test]
fn adapters_know_only_the_core() {
    let files = files("src");
    let adapters = files.iter().filter(|(file, _)| ADAPTERS.contains(&module(file)));
    let known = [&CORE[..], &TESTED_BY, &[FLOOR]].concat();
    let found = adapters.flat_map(|(file, text)| strangers(file, text, &known)).collect();
    nothing("adapters know the core and the floor, and neither one another nor what is above them", found);
}

#[test]
fn the_floor_knows_nobody() {
    let files = files("src");
    let floor = files.iter().filter(|(file, _)| module(file) == FLOOR);
    nothing(
        "the floor knows files, and not what they are for",
        floor.flat_map(|(file, text)| strangers(file, text, &[])).collect(),
    );
}

#[test]
fn the_executor_knows_only_the_core_and_the_world() {
    let files = files("src");
    let of = |name: &'static str| files.iter().filter(move |(file, _)| module(file) == name);
    let known = [&CORE[..], &["world"]].concat();
    let mut found: Vec<String> = of("executor").flat_map(|(file, text)| strangers(file, text, &known)).collect();
    found.extend(of("world").flat_map(|(file, text)| strangers(file, text, &CORE)));
    nothing("the executor knows the world as a trait", found);
}

#[test]
fn rooms_look_down_only() {
    let files = files("src");
    let mut found = Vec::new();
    for (room, floor) in ROOMS {
        let below = ROOMS.iter().filter(|(_, other)| *other < floor).map(|(name, _)| *name);
        let known: Vec<&str> =
            below.chain(CORE).chain(ADAPTERS).chain(TESTED_BY).chain(["world", "executor", FLOOR]).collect();
        // A `super` of a room's root would be the crate.
        let of_room = files.iter().filter(|(file, _)| module(file) == room);
        found.extend(of_room.flat_map(|(file, text)| strangers(file, text, &known)));
    }
    nothing("a room knows those below it, and neither its neighbours nor what is above", found);
}

#[test]
fn a_session_knows_no_command_line() {
    let known: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).chain(CORE).chain(ADAPTERS).collect();
    let known = [&known[..], &["world", "executor", FLOOR]].concat();
    let files = files("src");
    let session = files.iter().filter(|(file, _)| module(file) == "session");
    let found = session.flat_map(|(file, text)| strangers(file, text, &known)).collect();
    nothing("a session knows the rooms and what is below them", found);
}

#[test]
fn no_modules_of_a_room_import_each_other_in_a_circle() {
    let rooms: BTreeMap<String, String> =
        files("src").into_iter().filter(|(file, _)| is_room(module(file)) || module(file) == "session").collect();
    nothing("these modules know each other in a circle; what they share belongs below them", circles(&imports(&rooms)));
}

#[test]
fn every_module_has_its_place() {
    let places = [
        &CORE[..],
        &ADAPTERS[..],
        &TESTED_BY,
        &ROOMS.map(|(room, _)| room),
        &[FLOOR, "executor", "world", "session", "cli", "error", "main", "lib"][..],
    ]
    .concat();
    let strangers = files("src").into_keys().filter(|file| !places.contains(&module(file))).collect();
    nothing("the module is in no list of this test", strangers);
}

#[test]
fn nothing_unfinished_is_left() {
    // Written in parts, so that this file is not found.
    let words = [concat!("todo", "!"), concat!("dbg", "!"), concat!("unimplemented", "!"), concat!("[", "allow(")];
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        for (file, text) in files(folder) {
            let lines = code(&text).filter(|(_, line)| words.iter().any(|word| line.contains(word)));
            found.extend(lines.map(|(number, line)| format!("{folder}/{file}:{number}: {}", line.trim())));
        }
    }
    nothing("unfinished, or an excuse that does not expire (`expect` does)", found);
}

#[test]
fn every_test_file_is_run() {
    let manifest = fs::read_to_string(host().join("Cargo.toml")).expect("the manifest can be read");
    assert!(!manifest.contains("autotests"), "`autotests` in Cargo.toml hides test files");
    let files = files("tests");
    let is_test = |text: &String| text.contains("#[test]") || text.contains("#[tokio::test");
    let declares = |text: &String, name: &str| {
        code(text).any(|(_, line)| {
            let line = line.trim();
            ["pub ", "pub(crate) ", ""].iter().any(|visible| *line == format!("{visible}mod {name};"))
        })
    };
    let found = files.iter().filter(|(file, text)| match file.rsplit_once('/') {
        None => !is_test(text),
        Some((_, name)) => {
            let name = name.trim_end_matches(".rs");
            name != "mod" && !files.values().any(|text| declares(text, name))
        }
    });
    nothing("no test, or a part of none", found.map(|(file, _)| format!("tests/{file}")).collect());
}

#[test]
fn the_rules_find_what_breaks_them() {
    assert_eq!(named("use crate::model::Failure;"), ["model"]);
    assert_eq!(named("pub(in crate::site) fn f(x: swap::ui::Format, y: other_crate::z)"), ["site", "ui"]);
    assert_eq!(
        strangers("docker/exec.rs", "use crate::model::X;\n// crate::site\nuse crate::{site, run};\n", &CORE),
        ["src/docker/exec.rs:3: use crate::{site, run};"]
    );
    assert_eq!(
        strangers("ui.rs", "use super::*;\nuse super::journal::Lock;\n", &CORE),
        ["src/ui.rs:2: use super::journal::Lock;"]
    );
    assert!(has_word("use tokio::sync;", "tokio") && !has_word("let tokios = 1;", "tokio"));
    let joined = |paths: Vec<Module>| paths.iter().map(|path| path.join("::")).collect::<Vec<_>>().join(" ");
    assert_eq!(joined(paths("super::{a::B,\n  c::{d::*, self},\n};")), "super::a::B super::c::d:: super::c::self");
    let files =
        |files: &[(&str, &str)]| files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    let found = |all: &[(&str, &str)]| circles(&imports(&files(all)));
    let (root, health) = ("pub use live::Live;", "use super::live::{Live};\n#[cfg(test)]\nmod tests { use super::*; }");
    let down = [
        ("perform.rs", root),
        ("perform/health.rs", health),
        ("perform/live.rs", "use crate::site::Site;"),
        ("site.rs", ""),
    ];
    assert!(found(&down).is_empty());
    let with = |file: &'static str, text: &'static str| {
        let others = down.into_iter().filter(|(other, _)| *other != file);
        found(&others.chain([(file, text)]).collect::<Vec<_>>())
    };
    assert_eq!(
        with("perform/live.rs", "x: super::health::Usual"),
        ["perform::health → perform::live → perform::health"]
    );
    // What a room's root tells of its modules is not for these: they name each other.
    assert_eq!(with("perform/live.rs", "use super::Live;"), ["perform → perform::live → perform"]);
    assert_eq!(
        with("site.rs", "// crate::perform::live\nuse crate::{model, perform::live::{Live}};"),
        ["perform::live → site → perform::live"]
    );
}

#[test]
fn every_key_of_the_compose_file_names_a_test_that_there_is() {
    let mut tests = String::new();
    for folder in ["src", "tests", "../tests/tests"] {
        files(folder).into_values().for_each(|text| tests.push_str(&text));
    }
    let page = fs::read_to_string(host().join("../docs/compose.md")).expect("the page");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| key |"));
    let mut keys = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "key, what a swap does, test: {row}");
        let name = cells[2].trim_matches('`');
        assert!(tests.contains(&format!("fn {name}()")), "`{name}` is no test: {row}");
        keys += cells[0].matches('`').count() / 2;
    }
    assert!(keys > 80, "the page has {keys} keys");
}
