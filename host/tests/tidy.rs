//! The house rules that a compiler does not know. Each failure names the line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The pure modules.
const CORE: [&str; 4] = ["text", "model", "plan", "run"];

/// The modules that touch the world, each on its own.
const ADAPTERS: [&str; 7] = ["docker", "compose", "nginx", "hooks", "journal", "store", "ui"];

/// What adapters share of the machine.
const FLOOR: &str = "os";

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
fn the_engine_knows_only_the_core() {
    let files = files("src");
    let engine = files.iter().filter(|(file, _)| module(file) == "engine");
    let found = engine.flat_map(|(file, text)| strangers(file, text, &CORE)).collect();
    nothing("the engine knows the world as a trait", found);
}

#[test]
fn every_module_has_its_place() {
    let places =
        [&CORE[..], &ADAPTERS[..], &TESTED_BY, &[FLOOR, "engine", "live", "cli", "error", "main", "lib"][..]].concat();
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
            line.strip_prefix("pub ").unwrap_or(line) == format!("mod {name};")
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
    assert_eq!(named("pub(in crate::live) fn f(x: swap::ui::Format, y: other_crate::z)"), ["live", "ui"]);
    assert_eq!(
        strangers("docker/exec.rs", "use crate::model::X;\n// crate::live\nuse crate::{live, run};\n", &CORE),
        ["src/docker/exec.rs:3: use crate::{live, run};"]
    );
    assert_eq!(
        strangers("ui.rs", "use super::*;\nuse super::journal::Lock;\n", &CORE),
        ["src/ui.rs:2: use super::journal::Lock;"]
    );
    assert!(has_word("use tokio::sync;", "tokio") && !has_word("let tokios = 1;", "tokio"));
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
