//! The same hook in several languages, from `examples/hooks`: the contract is the WIT, not the SDK.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::component::wrap;
use super::world::on_disk;
use crate::hooks::scripted::{Scenario, files};
use crate::hooks::{Engine, inspect};
use crate::model::Phase;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hooks")
}

/// Returns what every scenario came to with a component, and fails where that is not what the scenario expects.
fn reports(component: &Path) -> String {
    let component = component.to_str().unwrap();
    assert_eq!(inspect(component).unwrap().phases, Phase::ALL, "{component}");
    // Each scenario loads the component, and to compile Python takes long.
    let cache = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::new(Some(&cache.path().join("compiled"))).unwrap());
    let mut texts = String::new();
    for file in files(&[folder().join("scenarios")]).unwrap() {
        let name = file.display().to_string();
        let scenario = Scenario::parse(&name, &std::fs::read_to_string(&file).unwrap()).unwrap();
        let report = scenario.run(&engine, component).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(report.wrong, 0, "{component}, {name}:\n{}", report.text);
        texts.push_str(&report.text);
    }
    texts
}

/// Returns the reports of the hook in WebAssembly text, which needs no tool but the test's own.
fn by_hand() -> String {
    let core = std::fs::read_to_string(folder().join("wat/hook.wat")).unwrap();
    let wit = "package conformance:wat; world conformance { include swap:hooks/hook@0.1.0; }";
    reports(&on_disk("wat", &wrap(wit, &core)).file)
}

#[test]
fn a_hook_written_by_hand_conforms() {
    by_hand();
}

#[test]
#[ignore = "needs components: run examples/hooks/build first"]
fn all_languages_conform_alike() {
    let by_hand = by_hand();
    assert_eq!(reports(&folder().join("rust.wasm")), by_hand);
    for name in ["python", "c"] {
        let component = folder().join(format!("{name}.wasm"));
        if component.exists() {
            assert_eq!(reports(&component), by_hand);
        } else {
            // Past the test runner, which shows nothing of a test that passes.
            let line = format!("left out: {name}.wasm was not built (examples/hooks/build says why)\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        }
    }
}

/// Returns the commands of a Markdown text that stand in fenced blocks, each on one line.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```").skip(1).step_by(2).map(|block| block.replace("\\\n", " "));
    blocks.flat_map(|block| block.lines().map(spaced).collect::<Vec<_>>()).collect()
}

/// Returns a text with one space for each run of white space.
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_for_authors_shows_the_commands_that_build_the_hooks() {
    let page = include_str!("../../../../docs/hooks.md");
    let script = spaced(&include_str!("../../../../examples/hooks/build").replace("\\\n", " "));
    let makes = |command: &String| {
        ["componentize-py --", "wit-bindgen c ", "clang --", "wasm-tools "].iter().any(|tool| command.starts_with(tool))
    };
    let commands: Vec<String> = commands(page).into_iter().filter(makes).collect();
    assert_eq!(commands.len(), 4, "{commands:#?}");
    for command in commands {
        // The script makes FILE.new and renames it, so there the command goes on.
        assert!(script.contains(&command), "{command}\nnot in\n{script}");
    }
}
