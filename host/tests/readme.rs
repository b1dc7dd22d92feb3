//! The README tells every flag, key, command and exit code that there is, and none that there is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use swap::cli::Arguments;

/// Returns a file of the repository.
fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading `{}`: {error}", path.display()))
}

/// Returns the first cells of the table's rows below the heading, one set of `code` words for all of them.
fn first_cells(heading: &str, index: usize) -> BTreeSet<String> {
    let readme = text("README.md");
    let section = readme.split("\n## ").find_map(|section| section.strip_prefix(heading));
    let section = section.unwrap_or_else(|| panic!("the README has no section `{heading}`"));
    let tables: Vec<Vec<&str>> = section
        .split("\n\n")
        .filter(|part| part.trim_start().starts_with('|'))
        .map(|table| table.trim().lines().skip(2).filter_map(|row| row.split('|').nth(1)).collect())
        .collect();
    let cells = tables.get(index).unwrap_or_else(|| panic!("`{heading}` has no table {index}"));
    cells.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Returns the text constants of a list in the sources, as `const KEYS: [&str; 2] = ["a", "b"];`.
fn constants(file: &str, name: &str) -> BTreeSet<String> {
    let source = text(file);
    let declaration =
        source.split(&format!("const {name}:")).nth(1).unwrap_or_else(|| panic!("no `{name}` in `{file}`"));
    let list = declaration.split(';').nth(1).unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn set<T: Into<String>>(words: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    words.into_iter().map(Into::into).collect()
}

#[test]
fn every_flag_is_in_the_table_and_no_other() {
    let mut command = Arguments::command();
    command.build();
    let flags = set(command.get_arguments().filter_map(|flag| flag.get_long()).map(|long| format!("--{long}")));
    let told = first_cells("Flags", 0);
    assert_eq!(set(told.iter().filter_map(|cell| cell.split(' ').next()).filter(|word| word.starts_with("--"))), flags);
    let short = set(command.get_arguments().filter_map(|flag| flag.get_short()).map(|short| format!("-{short}")));
    assert_eq!(set(told.into_iter().filter(|word| !word.starts_with("--"))), short);
}

#[test]
fn every_command_is_in_the_table() {
    let told: BTreeSet<String> = first_cells("Commands", 0);
    let starts = |words: &str| told.iter().any(|cell| cell == words || cell.starts_with(&format!("{words} ")));
    for command in Arguments::command().get_subcommands() {
        let name = command.get_name();
        match command.get_subcommands().next() {
            None => assert!(starts(&format!("swap {name}")), "`swap {name}` is not in the README"),
            Some(_) => {
                for inner in command.get_subcommands().map(clap::Command::get_name) {
                    assert!(
                        starts(inner) || starts(&format!("swap {name} {inner}")),
                        "`swap {name} {inner}` is not in the README"
                    );
                }
            }
        }
    }
}

#[test]
fn every_key_of_x_swap_is_in_the_table_and_no_other() {
    let settings = "host/src/compose/settings.rs";
    assert_eq!(first_cells("Settings in the compose file", 0), constants(settings, "KEYS"));
    let readme = text("README.md");
    for (list, beside) in
        [("TIMEOUT_KEYS", "`timeouts`"), ("HOOK_KEYS", "`hooks`"), ("PROBE_KEYS", "`probe`"), ("ORDERS", "`order`")]
    {
        let row = readme.lines().find(|line| line.starts_with(&format!("| {beside} "))).expect("a row");
        for key in constants(settings, list) {
            assert!(row.contains(&key), "`{key}` is not told beside {beside}");
        }
    }
    let checks = first_cells("Settings in the compose file", 1);
    for key in constants(settings, "HEALTH_KEYS") {
        assert!(checks.iter().any(|cell| cell.starts_with(&format!("{{ {key}: "))), "the check `{key}` is not told");
    }
}

#[test]
fn every_exit_code_is_in_the_table_and_in_the_help() {
    let source = text("host/src/error.rs");
    let variants = source.split("pub enum Exit {").nth(1).and_then(|rest| rest.split('}').next()).expect("the codes");
    let codes: Vec<&str> = variants.lines().filter_map(|line| line.split(" = ").nth(1)?.strip_suffix(',')).collect();
    let readme = text("README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("Exit codes\n")).expect("the section");
    let told: Vec<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()).skip(1).collect();
    assert_eq!(told, codes);
    let help = Arguments::command().render_long_help().to_string().replace('\n', " ");
    let help = help.split("Exit codes: ").nth(1).expect("the help tells the exit codes");
    let helped: Vec<&str> = help.split(", ").filter_map(|code| code.split(' ').next()).collect();
    assert_eq!(helped, codes);
}

#[test]
fn every_default_time_is_told_as_it_is() {
    let timeouts = swap::model::Timeouts::default();
    let row = format!(
        "`{{ health: {}s, drain: {}s, hook: {}s }}`",
        timeouts.health.as_secs(),
        timeouts.drain.as_secs(),
        timeouts.hook.as_secs()
    );
    assert!(text("README.md").contains(&row), "the README does not have {row}");
}

#[test]
fn every_fault_in_the_table_has_its_test() {
    fn sources(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text.push_str(&fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut tests = String::new();
    ["host/src", "host/tests", "tests/tests"].iter().for_each(|folder| sources(&root.join(folder), &mut tests));
    let page = text("docs/faults.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault |"));
    let mut faults = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "fault, outcome, exit, test: {row}");
        for name in cells[3].split(", ").map(|name| name.trim_matches('`')) {
            assert!(tests.contains(&format!("fn {name}()")), "`{name}` is no test: {row}");
        }
        faults += 1;
    }
    assert!(faults > 30, "the table has {faults} rows");
}

#[test]
fn every_link_leads_somewhere() {
    for page in ["README.md", "docs/architecture.md", "docs/compose.md", "docs/events.md", "docs/faults.md"] {
        let folder = Path::new(page).parent().expect("a folder");
        let text = text(page);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join(file);
            assert!(file.starts_with("http") || path.exists(), "`{page}` links to `{target}`, which is not there");
        }
    }
}

#[test]
fn the_walk_goes_through_files_and_functions_that_there_are() {
    let page = text("docs/architecture.md");
    let walk =
        page.split("\n## ").find_map(|section| section.strip_prefix("One walk of `swap app`")).expect("the walk");
    let (mut source, mut functions) = (None, 0);
    // What stands behind a file's name and a colon, up to the end of the cell or of the sentence, is in that file.
    for (before, word) in walk.split('`').collect::<Vec<_>>().chunks_exact(2).map(|pair| (pair[0], pair[1])) {
        if word.ends_with(".rs") || word.ends_with(".sh") {
            source = Some((word, text(&format!("host/src/{word}"))));
        } else if let Some((file, text)) = source.as_ref().filter(|_| [": ", ", "].contains(&before)) {
            assert!(text.contains(&format!("fn {word}")), "`{file}` has no function `{word}`");
            functions += 1;
        } else {
            source = None;
        }
    }
    assert!(functions > 35, "the walk has {functions} functions");
}
