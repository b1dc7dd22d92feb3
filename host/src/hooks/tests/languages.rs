//! The same hook in several languages, from `examples/hooks`: the contract is the WIT, not the SDK.

use std::path::{Path, PathBuf};

use super::component::wrap;
use super::world::{engine, on_disk};
use crate::hooks::inspect;
use crate::hooks::scripted::{Scenario, files};
use crate::model::Phase;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hooks")
}

/// Returns what every scenario came to with a component, and fails where that is not what the scenario expects.
fn reports(component: &Path) -> String {
    let component = component.to_str().unwrap();
    assert_eq!(inspect(component).unwrap().phases, Phase::ALL, "{component}");
    let mut texts = String::new();
    for file in files(&[folder().join("scenarios")]).unwrap() {
        let name = file.display().to_string();
        let scenario = Scenario::parse(&name, &std::fs::read_to_string(&file).unwrap()).unwrap();
        let report = scenario.run(&engine(), component).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(report.wrong, 0, "{component}, {name}:\n{}", report.text);
        texts.push_str(&report.text);
    }
    texts
}

fn by_hand() -> String {
    let core = std::fs::read_to_string(folder().join("wat/hook.wat")).unwrap();
    let wit = std::fs::read_to_string(folder().join("wat/hook.wit")).unwrap();
    reports(&on_disk("wat", &wrap(&wit, &core)).file)
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
    let python = folder().join("python.wasm");
    if python.exists() {
        assert_eq!(reports(&python), by_hand);
    } else {
        eprintln!("left out: the hook in Python was not built (examples/hooks/build says why)");
    }
}
