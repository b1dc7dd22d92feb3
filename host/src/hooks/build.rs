//! From a hook's crate to its component: `swap hooks build`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::inspection::{Inspection, inspect};
use crate::model::Failure;
use crate::os;
use crate::text::printable;

/// The target that makes components.
const TARGET: &str = "wasm32-wasip2";

/// Small rather than fast, whatever the crate's workspace says of its other crates: what `scripts/build-hook` sets.
const PROFILE: [(&str, &str); 6] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z"),
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_STRIP", "true"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
];

/// A component that was built.
#[derive(Debug)]
pub struct Built {
    /// Where it is.
    pub file: PathBuf,
    /// What it says about itself.
    pub inspection: Inspection,
}

/// What cargo says about something that it made.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Builds the hook's crate in a folder. What cargo says goes to standard error. The component is put at `out`, or as
/// `NAME.wasm` into the folder, by rename: a swap that reads the old file meanwhile reads it whole.
///
/// Cargo's environment is the caller's, so that a toolchain chosen there is used.
///
/// # Errors
/// There is no crate or no cargo, it does not build, or what it makes is no hook.
pub fn build(folder: &Path, out: Option<&Path>) -> Result<Built, Failure> {
    let shown = printable(&folder.to_string_lossy());
    let manifest = folder
        .join("Cargo.toml")
        .canonicalize()
        .map_err(|_| Failure::new(format!("`{shown}` has no Cargo.toml")).hint("name the folder of a hook's crate"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest)
        // Where rustup and cargo look for the settings of this crate.
        .current_dir(folder)
        .envs(PROFILE)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            Failure::new(format!("running cargo: {error}")).hint("install Rust by rustup, https://rustup.rs")
        })?;
    if !output.status.success() {
        let failure = Failure::new(format!("the hook in `{shown}` does not build"));
        return Err(if has_target(folder) { failure } else { failure.hint(format!("rustup target add {TARGET}")) });
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let (name, component) = component(&messages, &manifest).ok_or_else(|| {
        Failure::new(format!("the crate in `{shown}` makes no component"))
            .hint("its Cargo.toml needs: [lib] crate-type = [\"cdylib\", \"rlib\"]")
    })?;
    let file = out.map_or_else(|| folder.join(format!("{name}.wasm")), Path::to_owned);
    let inspection = inspect(&component.to_string_lossy())?;
    put(&component, &file)
        .map_err(|error| Failure::new(format!("writing `{}`: {error}", printable(&file.to_string_lossy()))))?;
    Ok(Built { file, inspection })
}

/// Returns the name of the package and the component that it made.
fn component(messages: &str, manifest: &Path) -> Option<(String, PathBuf)> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let is_artifact = |message: &Message| message.reason == "compiler-artifact" && message.manifest_path == manifest;
    let made = messages.rev().find(is_artifact)?;
    let is_component = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "wasm");
    let component = made.filenames.into_iter().find(is_component)?;
    Some((package(&made.package_id).to_owned(), component))
}

/// Returns the name in a package's id: `path+file:///hooks/ready#0.1.0`, or `path+file:///hooks/other#ready@0.1.0` where
/// the folder has another name.
fn package(id: &str) -> &str {
    let (source, rest) = id.rsplit_once('#').unwrap_or((id, ""));
    match rest.split_once('@') {
        Some((name, _)) => name,
        None => source.rsplit('/').next().unwrap_or(source),
    }
}

/// Tells whether Rust has the standard library of the target. Asked only after a build failed, since a toolchain may also
/// build it.
fn has_target(folder: &Path) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder).stderr(Stdio::null());
    let Ok(output) = command.output() else { return true };
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let entries = fs::read_dir(libraries).into_iter().flatten().flatten();
    std::env::var_os("CARGO_UNSTABLE_BUILD_STD").is_some()
        || entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

fn put(component: &Path, file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    os::replace(file, &fs::read(component)?, os::USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_the_crates_own_and_has_its_name() {
        let messages = r#"not json
{"reason":"compiler-artifact","package_id":"path+file:///a/other#0.1.0","manifest_path":"/a/other/Cargo.toml","filenames":["/t/other.wasm"]}
{"reason":"compiler-artifact","package_id":"path+file:///a/b#deploy-window@0.1.0","manifest_path":"/a/b/Cargo.toml","filenames":["/t/libx.rlib","/t/x.wasm"]}
{"reason":"build-finished","success":true}
"#;
        let of = |manifest: &str| component(messages, Path::new(manifest));
        assert_eq!(of("/a/b/Cargo.toml"), Some(("deploy-window".to_owned(), "/t/x.wasm".into())));
        assert_eq!(of("/a/other/Cargo.toml"), Some(("other".to_owned(), "/t/other.wasm".into())));
        assert_eq!(of("/a/none/Cargo.toml"), None);
    }
}
