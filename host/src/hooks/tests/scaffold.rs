//! The crate that `swap hooks new` makes.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::world::engine;
use crate::hooks::scaffold::{SDK, scaffold};
use crate::hooks::scripted::Scenario;
use crate::hooks::{build, inspect, scripted};
use crate::model::Phase;

/// Returns the files below a folder by their paths in it, sorted. `target` is left out.
fn below(folder: &Path) -> Vec<String> {
    fn collect(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    collect(folder, folder, &mut found);
    found.sort();
    found
}

#[test]
fn a_new_crate_has_the_whole_sdk_and_inherits_nothing() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk");
    assert_eq!(SDK.map(|(path, _)| path.to_owned())[..], below(&sdk)[..], "name the new file in hooks/scaffold.rs");

    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("ready");
    scaffold(&made).unwrap();
    let mut expected = vec![".gitignore", "Cargo.toml", "scenarios/up.yaml", "src/lib.rs"];
    let own: Vec<String> = below(&made).into_iter().filter(|path| !path.starts_with("sdk/")).collect();
    expected.sort_unstable();
    assert_eq!(own, expected);
    for manifest in ["sdk/Cargo.toml", "sdk/macros/Cargo.toml"] {
        let text = std::fs::read_to_string(made.join(manifest)).unwrap();
        assert!(!text.contains("workspace"), "{manifest} inherits:\n{text}");
    }
}

#[test]
fn a_name_that_is_none_and_a_folder_that_is_taken_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str| {
        let failure = scaffold(&folder.path().join(name)).unwrap_err();
        failure.what.replace(&*folder.path().to_string_lossy(), "…")
    };
    assert_eq!(refused("Ready"), "`Ready` can't be the name of a hook");
    assert_eq!(refused("a b"), "`a b` can't be the name of a hook");
    assert_eq!(refused("a\u{1b}"), "`a\\u{1b}` can't be the name of a hook");
    assert_eq!(refused("9"), "`9` can't be the name of a hook");
    assert_eq!(refused("std"), "the name `std` is taken by Rust");
    scaffold(&folder.path().join("ready")).unwrap();
    assert_eq!(refused("ready"), "`…/ready` is there already");
}

/// Returns the names of the packages that a crate is built from, itself among them, sorted.
fn packages(made: &Path) -> Vec<String> {
    let lock = std::fs::read_to_string(made.join("Cargo.lock")).unwrap();
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = "));
    names.map(|name| name.trim_matches('"').to_owned()).collect()
}

#[test]
#[ignore = "needs the target wasm32-wasip2 and builds a crate: scripts/test runs it"]
fn a_new_crate_builds_and_passes_its_tests_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("deploy-gate");
    scaffold(&made).unwrap();
    let natively = Command::new("cargo")
        .args(["test", "--quiet"])
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(&made)
        .output()
        .unwrap();
    assert!(natively.status.success(), "{}", String::from_utf8_lossy(&natively.stderr));
    // What else it had to compile, an author would wait for.
    assert_eq!(packages(&made), ["deploy-gate", "swap-hook", "swap-hook-macros", "wit-bindgen"]);

    let built = build(&made, Some(&made.join("out/gate.wasm"))).unwrap();
    assert_eq!(built.file, made.join("out/gate.wasm"));
    assert_eq!(built.inspection.phases, [Phase::Health]);
    assert!(built.inspection.size <= 100_000, "{}", built.inspection);
    let scenarios = scripted::files(&[made.join("scenarios")]).unwrap();
    assert_eq!(scenarios, [made.join("scenarios/up.yaml")]);
    let text = std::fs::read_to_string(&scenarios[0]).unwrap();
    let report = Scenario::parse("up", &text).unwrap().run(&engine(), built.file.to_str().unwrap()).unwrap();
    assert_eq!(report.wrong, 0, "{}", report.text);

    // Without a place to put it, it is put beside the crate's manifest, under the crate's name.
    assert_eq!(build(&made, None).unwrap().file, made.join("deploy-gate.wasm"));

    std::fs::write(made.join("src/lib.rs"), "fn broken(").unwrap();
    let failure = build(&made, None).unwrap_err();
    assert_eq!(failure.what, format!("the hook in `{}` does not build", made.display()));
    assert_eq!(build(&PathBuf::from("/nowhere"), None).unwrap_err().what, "`/nowhere` has no Cargo.toml");
}

/// A hook with needs, which stumbles when it is asked.
const STUMBLES: &str = r#"use swap_hook::{Context, Health, Hook};

struct Stumbles;

#[swap_hook::export(needs = "exec:db secret:TOKEN")]
impl Hook for Stumbles {
    fn health(context: &Context) -> Health {
        println!("asked {} times", context.attempt);
        panic!("no idea what {} is", context.service)
    }
}
"#;

#[test]
#[ignore = "needs the target wasm32-wasip2 and builds a crate: scripts/test runs it"]
fn what_the_sdk_says_of_needs_and_panics_comes_through() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("stumbles");
    scaffold(&made).unwrap();
    std::fs::write(made.join("src/lib.rs"), STUMBLES).unwrap();
    let built = build(&made, None).unwrap();
    let file = built.file.to_str().unwrap();

    let inspection = inspect(file).unwrap();
    let expected = format!(
        "phases      health\nimports     none\nneeds       exec:db, secret:TOKEN\ncontract    swap:hooks 0.1.0\n\
         built with  {}\nsize        {} bytes\ndigest      {}",
        inspection.built_with.join(", "),
        std::fs::metadata(file).unwrap().len(),
        inspection.digest
    );
    assert_eq!(inspection.to_string(), expected);
    let sdk = format!("swap-hook {}", env!("CARGO_PKG_VERSION"));
    assert!(inspection.built_with.contains(&sdk), "{inspection}");

    let run = |allow: &str| {
        let scenario = format!("allow: [{allow}]\ncalls: [{{ ask: health, expect: aborted }}]");
        let report = Scenario::parse("stumbles", &scenario).unwrap().run(&engine(), file);
        report
            .map(|report| report.text)
            .map_err(|failure| format!("{}; {}", failure.what, failure.hint.unwrap_or_default()))
    };
    let refused = |grant: &str| {
        Err(format!(
            "hook `stumbles`: it needs `{grant}`, which is not granted; allow it with `allow: [ \"{grant}\" ]` beside the \
             hook in `x-swap`, or `--allow {grant}`"
        ))
    };
    assert_eq!(run(""), refused("exec:db"));
    assert_eq!(run("\"exec:db\""), refused("secret:TOKEN"));
    let panic = "panicked at src/lib.rs:9: no idea what app is";
    assert_eq!(
        run("\"exec:db\", \"secret:TOKEN\""),
        Ok(format!(
            "health 1\n  stdout: asked 1 times\n  stderr: {panic}\n  → aborted: {panic}\n\
             1 calls, as expected, 0s on the scenario's clock\n"
        ))
    );
}

#[test]
fn the_page_for_authors_shows_the_new_crate() {
    let page = include_str!("../../../../docs/hooks.md");
    assert!(page.contains(include_str!("../scaffold/lib.rs.txt")), "copy hooks/scaffold/lib.rs.txt into docs/hooks.md");
}
