//! The prebuilt hooks of `hooks/`, through the scenarios beside their sources.

use std::path::{Path, PathBuf};

use super::world::engine;
use crate::hooks::inspect;
use crate::hooks::scripted::Scenario;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[test]
#[ignore = "needs components: run hooks/build first"]
fn every_hook_of_the_library_passes_its_scenarios_and_is_small() {
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hooks");
    let crates: Vec<PathBuf> = files(&hooks).into_iter().filter(|path| path.join("Cargo.toml").exists()).collect();
    assert!(!crates.is_empty());
    for folder in crates {
        let component = folder.with_extension("wasm");
        let component = component.to_str().unwrap();
        let inspection = inspect(component).unwrap();
        assert!(inspection.size <= 100_000, "{component} has {} bytes", inspection.size);
        assert!(inspection.built_with.iter().any(|tool| tool.starts_with("swap-hook ")), "{inspection}");
        let scenarios = files(&folder.join("scenarios"));
        assert!(!scenarios.is_empty(), "{} has no scenario", folder.display());
        for file in scenarios {
            let name = file.display().to_string();
            let scenario = Scenario::parse(&name, &std::fs::read_to_string(&file).unwrap()).unwrap();
            let report = scenario.run(&engine(), component).unwrap_or_else(|failure| panic!("{name}: {failure}"));
            assert_eq!(report.wrong, 0, "{name}:\n{}", report.text);
        }
    }
}
