//! The images that all stacks share: built once per content, whoever asks first.
//!
//! A stack never runs these tags itself: it gets tags of its own, so that one test's new version is not another's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{run, succeeds};

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map_or_else(|| tests.to_path_buf(), Path::to_path_buf)
}

/// Returns the folder for what tests leave: failures, locks.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Holds other test processes off until it is dropped.
pub fn lock(name: &str) -> Result<File> {
    fs::create_dir_all(target())?;
    let path = target().join(format!(".{name}.lock"));
    let file = File::create(&path).with_context(|| format!("creating `{}`", path.display()))?;
    file.lock().with_context(|| format!("locking `{}`", path.display()))?;
    Ok(file)
}

/// Builds an image of the application if there is none with its content, and returns its tag.
///
/// `v1`, `v2` and `v3` are the example's versions; `fpm-v1` and `fpm-v2` are the same behind FastCGI; `node-v1`, `node-v2`,
/// `wsgi-v1` and `wsgi-v2` are applications of other kinds that behave like it; any other name is a Dockerfile
/// `tests/images/<name>` on top of v2, for what only an image can do.
pub fn app(name: &str) -> Result<String> {
    let _lock = lock("images")?;
    base()?;
    if let Some((kind @ ("node" | "wsgi"), version)) = name.split_once('-') {
        return build_kind(kind, version);
    }
    build_app(name)
}

/// Returns the image of nginx, made if it is missing: `current`; `public`, which needs no command, as the public image;
/// or that of a Debian suite.
pub fn nginx(age: &str) -> Result<String> {
    let _lock = lock("images")?;
    base()?;
    let current = "swap-example/nginx";
    match age {
        "current" => Ok(current.into()),
        "public" if !is_from_debian(current) => Ok(current.into()),
        "public" => {
            let dockerfile = fs::read(root().join("tests/images/nginx.Dockerfile"))?;
            build("nginx:public", current, &BTreeMap::from([("Dockerfile".into(), dockerfile)]), &[])
        }
        age => {
            let tag = format!("swaptest/nginx:{age}");
            if !exists(&tag) {
                run(Command::new(root().join("tests/images/nginx-of-debian")).args([age, &tag]))?;
            }
            Ok(tag)
        }
    }
}

/// Returns the image that stands in for the nginx of other people's projects, made if it is missing.
pub fn stranger() -> Result<String> {
    nginx("current")?;
    let _lock = lock("images")?;
    let files = read_folder(&root().join("tests/images/stranger"))?;
    build("stranger", "swap-example/nginx", &files, &[])
}

/// Returns the image of a headless browser, made if it is missing.
pub fn browser() -> Result<String> {
    nginx("current")?;
    // Not the lock of the images that every stack waits for: this takes a minute.
    let _lock = lock("browser-image")?;
    let dockerfile = fs::read(root().join("tests/images/browser.Dockerfile"))?;
    build("browser", "swap-example/php", &BTreeMap::from([("Dockerfile".into(), dockerfile)]), &[])
}

/// Returns the image of other people's load generators, made if it is missing.
pub fn clients() -> Result<String> {
    nginx("current")?;
    let _lock = lock("clients-image")?;
    let files = read_folder(&root().join("tests/images/clients"))?;
    build("clients", "swap-example/php", &files, &[])
}

/// Makes the base images of the example with a database if they are missing.
pub fn base_with_postgres() -> Result<()> {
    let _lock = lock("images")?;
    base()?;
    if exists("swap-example/postgres") {
        return Ok(());
    }
    run(Command::new(root().join("scripts/base-images")).arg("postgres")).map(drop)
}

/// Returns a prebuilt hook of `hooks/`, built if it is missing, or one of `tests/hooks/`, built if its sources are newer.
pub fn hook(name: &str) -> Result<PathBuf> {
    let _lock = lock("hooks")?;
    let own = root().join("tests/hooks").join(name);
    let (crate_folder, component) = if own.is_dir() {
        (own, target().join(format!("test-hooks/{name}.wasm")))
    } else {
        (root().join("hooks").join(name), root().join(format!("hooks/{name}.wasm")))
    };
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if changed(&component).is_none_or(|built| changed(&crate_folder.join("src/lib.rs")) > Some(built)) {
        run(Command::new(root().join("scripts/build-hook")).arg(&crate_folder).arg(&component))?;
    }
    Ok(component)
}

fn base() -> Result<()> {
    if exists("swap-example/php") && exists("swap-example/nginx") {
        return Ok(());
    }
    run(&mut Command::new(root().join("scripts/base-images"))).map(drop)
}

fn build_app(name: &str) -> Result<String> {
    let examples = root().join("examples");
    let own = root().join("tests/images");
    let mut files = read_folder(&examples.join("app"))?;
    let mut base = "swap-example/php".to_owned();
    match name.strip_prefix("fpm-").unwrap_or(name) {
        version @ ("v1" | "v2" | "v3") => {
            files.insert("index.php".into(), fs::read(examples.join(format!("sources/{version}.php")))?);
            if name != version {
                files.insert("Dockerfile".into(), fs::read(own.join("fpm.Dockerfile"))?);
                files.insert("fpm.conf".into(), fs::read(own.join("fpm.conf"))?);
                if !is_from_debian(&base) {
                    base = "php:8-fpm".into();
                }
            }
        }
        other => {
            base = build_app("v2")?;
            files = BTreeMap::from([("Dockerfile".into(), fs::read(own.join(format!("{other}.Dockerfile")))?)]);
        }
    }
    build(&format!("app:{name}"), &base, &files, &[])
}

fn build_kind(kind: &str, version: &str) -> Result<String> {
    let base = format!("swap-example/{}", if kind == "node" { "node" } else { "python" });
    if !exists(&base) {
        run(Command::new(root().join("scripts/base-images")).arg("kinds"))?;
    }
    let files = read_folder(&root().join("tests/images").join(kind))?;
    build(&format!("app:{kind}-{version}"), &base, &files, &[format!("VERSION={version}")])
}

/// Builds an image of these files if there is none of them yet, and returns its tag.
fn build(name: &str, base: &str, files: &BTreeMap<String, Vec<u8>>, arguments: &[String]) -> Result<String> {
    let named = files.iter().flat_map(|(file, bytes)| [file.as_bytes(), bytes]);
    let tag = format!("swaptest/{name}-{:08x}", sum([base.as_bytes()].into_iter().chain(named)));
    if exists(&tag) {
        return Ok(tag);
    }
    let context = tempfile::tempdir()?;
    for (file, bytes) in files {
        let path = context.path().join(file);
        fs::write(&path, bytes)?;
        if bytes.starts_with(b"#!") {
            succeeds(Command::new("chmod").arg("755").arg(&path))?;
        }
    }
    let mut command = Command::new("docker");
    command.args(["build", "--quiet", "--tag", &tag, "--build-arg", &format!("BASE={base}")]);
    arguments.iter().for_each(|argument| _ = command.args(["--build-arg", argument]));
    let built = run(command.arg(context.path()))?;
    ensure!(!built.trim().is_empty(), "building `{tag}` answered nothing");
    Ok(tag)
}

/// Tells whether the engine has an image.
pub(crate) fn exists(tag: &str) -> bool {
    succeeds(Command::new("docker").args(["image", "inspect", tag])).unwrap_or(false)
}

fn is_from_debian(tag: &str) -> bool {
    let label = r#"{{ index .Config.Labels "swap-example.made-from" }}"#;
    run(Command::new("docker").args(["image", "inspect", "--format", label, tag]))
        .is_ok_and(|label| label.trim() == "debian")
}

fn read_folder(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let read = fs::read_dir(folder).with_context(|| format!("reading `{}`", folder.display()))?;
    let mut files = BTreeMap::new();
    for entry in read {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            files.insert(name.to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(files)
}

/// Returns a checksum of what an image is made of, for its tag.
pub(crate) fn sum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    parts.into_iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}
