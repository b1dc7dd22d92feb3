//! A new crate for a hook: `swap hooks new NAME`.
//!
//! The crate has the SDK's sources in it, so that whoever has nothing but the `swap` program can build it.

use std::fs;
use std::path::Path;

use crate::model::Failure;
use crate::os;
use crate::text::printable;

/// Embeds files of the SDK: their paths in it and their texts.
macro_rules! sdk {
    ($($path:literal)*) => {
        [$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk/", $path)))),*]
    };
}

/// All files of the SDK. Its manifests inherit from the workspace here; [`alone`] makes them stand by themselves.
pub(super) const SDK: [(&str, &str); 27] = sdk! {
    "Cargo.toml"
    "macros/Cargo.toml"
    "macros/src/lib.rs"
    "src/bindings.rs"
    "src/bindings/finish.rs"
    "src/bindings/health.rs"
    "src/bindings/imports.rs"
    "src/bindings/post-swap.rs"
    "src/bindings/pre-start.rs"
    "src/bindings/pre-swap.rs"
    "src/bindings/rollback.rs"
    "src/config.rs"
    "src/exec.rs"
    "src/hook.rs"
    "src/http.rs"
    "src/inspect.rs"
    "src/json.rs"
    "src/lib.rs"
    "src/log.rs"
    "src/metrics.rs"
    "src/state.rs"
    "src/testing.rs"
    "src/time.rs"
    "wit/imports.wit"
    "wit/package.wit"
    "wit/phases.wit"
    "wit/types.wit"
};

/// What the SDK's manifests inherit from the workspace.
const INHERITED: [(&str, &str); 5] = [
    ("version.workspace = true", concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"")),
    ("edition.workspace = true", "edition = \"2024\""),
    ("rust-version.workspace = true", concat!("rust-version = \"", env!("CARGO_PKG_RUST_VERSION"), "\"")),
    ("license.workspace = true", concat!("license = \"", env!("CARGO_PKG_LICENSE"), "\"")),
    ("publish.workspace = true", "publish = false"),
];

/// Names that cargo, Rust or the crate itself has taken.
const TAKEN: [&str; 12] = [
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "sdk",
    "std",
    "swap-hook",
    "swap-hook-macros",
    "test",
];

/// Makes the crate of a new hook in a folder that must not exist, or be empty. The folder's last part is the hook's name.
///
/// # Errors
/// The name can't be a crate's, something is there already, or it can't be written.
pub fn scaffold(folder: &Path) -> Result<(), Failure> {
    let name = folder.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    check_name(&name)?;
    let shown = printable(&folder.to_string_lossy());
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(
            Failure::new(format!("`{shown}` is there already")).hint("choose another name, or empty the folder")
        );
    }
    let own = [
        ("Cargo.toml", manifest(&name)),
        (".gitignore", "/target\n*.wasm\n".to_owned()),
        ("src/lib.rs", include_str!("scaffold/lib.rs.txt").to_owned()),
        ("scenarios/up.yaml", include_str!("scaffold/up.yaml").to_owned()),
    ];
    let sdk = SDK.map(|(path, text)| (format!("sdk/{path}"), alone(path, text)));
    let files =
        own.iter().map(|(path, text)| (*path, text)).chain(sdk.iter().map(|(path, text)| (path.as_str(), text)));
    for (path, text) in files {
        os::write_new(&folder.join(path), text.as_bytes())
            .map_err(|error| Failure::new(format!("writing `{path}` in `{shown}`: {error}")))?;
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Failure> {
    let letters = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let well_formed = letters && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-');
    if !well_formed {
        return Err(Failure::new(format!("`{}` can't be the name of a hook", printable(name)))
            .hint("a name has lower-case letters, digits and `-`, and begins with a letter, as `deploy-window`"));
    }
    if TAKEN.contains(&name) {
        return Err(Failure::new(format!("the name `{name}` is taken by Rust")).hint("choose another name"));
    }
    Ok(())
}

fn manifest(name: &str) -> String {
    format!(
        r#"[package]
name = "{name}"
description = "A hook for swap"
version = "0.1.0"
edition = "2024"
publish = false

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
swap-hook = {{ path = "sdk" }}

# A workspace of its own, wherever this folder is put.
[workspace]
"#
    )
}

/// Returns a file of the SDK as it is outside of the workspace here.
fn alone(path: &str, text: &str) -> String {
    if !path.ends_with("Cargo.toml") {
        return text.to_owned();
    }
    let lines = text.replace("[lints]\nworkspace = true\n", "");
    let lines = lines.trim_end().lines().map(|line| {
        let inherited = INHERITED.iter().find(|(inherits, _)| *inherits == line);
        inherited.map_or(line, |(_, value)| value)
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}
