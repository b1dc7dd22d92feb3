//! The container image of swap, made by the repository's own Dockerfile, and containers that are machines of a test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{run, succeeds};
use crate::images::{exists, lock, nginx, root, sum, target};
use crate::swap::binary;

/// What the examples are built on, from Debian here and there.
const BASE: &str = "swap-example/php";

/// Returns the image that the Dockerfile makes of the `swap` of this build: all but the compiling is as in the real one, and
/// the libraries that this `swap` needs are added. Built if the program has changed.
pub fn swap_image() -> Result<String> {
    nginx("current")?;
    let binary = binary()?;
    let _lock = lock("swap-image")?;
    let (tag, stamp) =
        (format!("swaptest/swap:{:08x}", sum([target().display().to_string().as_bytes()])), stamp(&binary)?);
    let stamp_file = target().join(".swap-image.stamp");
    if exists(&tag) && fs::read_to_string(&stamp_file).is_ok_and(|built| built == stamp) {
        return Ok(tag);
    }
    let id = || run(Command::new("docker").args(["images", "--quiet", &tag]));
    let former = id()?;
    let (build, compose) = (format!("{tag}-build"), format!("{tag}-compose"));
    compose_image(&compose)?;
    build_image(&build, &binary)?;
    run(Command::new(root().join("scripts/image"))
        .arg(&tag)
        .env("SWAP_IMAGE_BUILD", &build)
        .env("SWAP_IMAGE_COMPOSE", &compose))?;
    // From the same program it may be the same image again.
    let former = if id()? == former { "" } else { former.trim() };
    for left in [former, &build, &compose].into_iter().filter(|left| !left.is_empty()) {
        let _ = succeeds(Command::new("docker").args(["rmi", left]));
    }
    fs::write(stamp_file, stamp)?;
    Ok(tag)
}

/// Returns the image of a machine with ssh on both ends, git, curl, the docker CLI and compose.
pub fn machine_image() -> Result<String> {
    nginx("current")?;
    let _lock = lock("machine-image")?;
    let dockerfile = root().join("tests/images/ci.Dockerfile");
    let tag = format!("swaptest/machine:{:08x}", sum([fs::read(&dockerfile)?.as_slice()]));
    if !exists(&tag) {
        let (compose, context) = (format!("{tag}-compose"), tempfile::tempdir()?);
        compose_image(&compose)?;
        let mut build = Command::new("docker");
        build.args(["build", "--quiet", "--tag", &tag, "--file"]).arg(&dockerfile);
        build.args(["--build-arg", &format!("BASE={BASE}"), "--build-arg", &format!("COMPOSE={compose}")]);
        run(build.arg(context.path()))?;
        run(Command::new("docker").args(["rmi", &compose]))?;
    }
    Ok(tag)
}

/// Builds the image of a page's first ```` ```dockerfile ````, with what it is built on replaced.
pub fn documented_image(page: &str, tag: &str, swap: &str) -> Result<()> {
    let text = fs::read_to_string(root().join(page))?;
    let block = text.split("```dockerfile\n").nth(1).and_then(|rest| rest.split("```").next());
    let block = block.with_context(|| format!("no dockerfile in `{page}`"))?;
    ensure!(block.contains("debian:13-slim") && block.contains("--from=swap "), "another dockerfile:\n{block}");
    let context = tempfile::tempdir()?;
    let dockerfile = block.replace("debian:13-slim", BASE).replace("--from=swap ", &format!("--from={swap} "));
    fs::write(context.path().join("Dockerfile"), dockerfile)?;
    run(Command::new("docker").args(["build", "--quiet", "--tag", tag]).arg(context.path())).map(drop)
}

/// Makes an image of the compose plugin alone.
fn compose_image(tag: &str) -> Result<()> {
    let format = r#"{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}{{.Path}}{{end}}{{end}}"#;
    let mut plugin = PathBuf::from(run(Command::new("docker").args(["info", "--format", format]))?.trim());
    if plugin.as_os_str().is_empty() {
        let folder = target().join("compose-v2");
        run(Command::new(root().join("scripts/compose-v2")).arg(&folder))?;
        plugin = folder.join("cli-plugins/docker-compose");
    }
    let context = tempfile::tempdir()?;
    fs::copy(&plugin, context.path().join("docker-compose"))?;
    fs::write(context.path().join("Dockerfile"), "FROM scratch\nCOPY docker-compose /\n")?;
    run(Command::new("docker").args(["build", "--quiet", "--tag", tag]).arg(context.path())).map(drop)
}

/// Makes what stands for the image with Rust: its `cargo` hands out the program.
fn build_image(tag: &str, binary: &Path) -> Result<()> {
    let context = tempfile::tempdir()?;
    let at = |name: &str| context.path().join(name);
    run(Command::new("cp").arg("-r").arg(root().join("tests/images/built/.")).arg(context.path()))?;
    fs::create_dir_all(at("built/libraries"))?;
    fs::copy(binary, at("built/swap"))?;
    // Only to be smaller.
    let _ = succeeds(Command::new("strip").arg(at("built/swap")));
    for library in libraries(binary)? {
        let into = at("built/libraries").join(library.strip_prefix("/")?);
        fs::create_dir_all(into.parent().context("a folder")?)?;
        fs::copy(&library, &into)?;
        fs::set_permissions(&into, fs::Permissions::from_mode(0o755))?;
    }
    let authorities = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if authorities.exists() {
        fs::copy(authorities, at("ca-certificates.crt"))?;
    } else {
        fs::write(at("ca-certificates.crt"), "")?;
    }
    let base = format!("BASE={BASE}");
    run(Command::new("docker").args(["build", "--quiet", "--tag", tag, "--build-arg", &base]).arg(context.path()))
        .map(drop)
}

/// Returns what a program is linked with, the loader too, as `ldd` lists it.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = run(Command::new("ldd").arg(program)).unwrap_or_default();
    let paths = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}

/// Returns what changes with the program and with all that the image is made of.
fn stamp(binary: &Path) -> Result<String> {
    let data = fs::metadata(binary)?;
    let made_of = ["Dockerfile", "scripts/image", "tests/images/built/Dockerfile", "tests/images/built/cargo"];
    let texts = made_of.iter().map(|path| fs::read(root().join(path))).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{} {:?} {:08x}", data.len(), data.modified()?, sum(texts.iter().map(Vec::as_slice))))
}

/// A container that is a machine of a test, gone when dropped, and by itself after a while.
#[derive(Debug)]
pub struct Machine {
    /// The container's name.
    pub name: String,
}

impl Machine {
    /// Starts a machine, with more words for `docker run`. Panics if that fails.
    #[track_caller]
    pub fn start(name: String, words: &[&str]) -> Self {
        let image = machine_image().unwrap_or_else(|error| panic!("making the image of a machine: {error:?}"));
        let mut command = Command::new("docker");
        command
            .args(["run", "--detach", "--rm", "--init", "--name", &name])
            .args(words)
            .args([&image, "sleep", "1200"]);
        run(&mut command).unwrap_or_else(|error| panic!("starting a machine: {error:?}"));
        Self { name }
    }

    /// Runs a line of shell as root and returns what it prints. Panics if it fails.
    #[track_caller]
    pub fn sh(&self, line: &str) -> String {
        run(Command::new("docker").args(["exec", &self.name, "sh", "-ec", line]))
            .unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Copies what is in a folder of the host into a folder of the machine. Panics if that fails.
    #[track_caller]
    pub fn copy(&self, from: &Path, to: &str) {
        let (from, to) = (format!("{}/.", from.display()), format!("{}:{to}", self.name));
        run(Command::new("docker").args(["cp", &from, &to])).unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// Returns its address in the engine's default network.
    #[track_caller]
    pub fn address(&self) -> String {
        let format = "{{.NetworkSettings.Networks.bridge.IPAddress}}";
        let address = run(Command::new("docker").args(["inspect", "--format", format, &self.name]));
        address.unwrap_or_else(|error| panic!("{error:?}")).trim().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = succeeds(Command::new("docker").args(["rm", "-f", &self.name]));
    }
}
