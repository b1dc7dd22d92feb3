//! An image with nothing but busybox, and containers of it that are removed at the end.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::docker::{Docker, Endpoint};

const APPLETS: [&str; 20] = [
    "sh", "cat", "sleep", "echo", "kill", "false", "nc", "httpd", "head", "id", "seq", "dd", "ls", "ln", "env", "grep",
    "mkdir", "tail", "yes", "true",
];

/// Runs a program of this machine that must succeed; returns its output without the last line end.
pub(super) fn run(argv: &[&str]) -> String {
    let output = Command::new(argv[0]).args(&argv[1..]).output().unwrap_or_else(|error| panic!("{argv:?}: {error}"));
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// One test's engine, image and containers.
pub(super) struct Rig {
    pub(super) docker: Docker,
    /// The beginning of all names of this test.
    pub(super) name: String,
}

impl Rig {
    /// Makes the image; `None` where there is no engine or no busybox to make it of, and that is known.
    pub(super) async fn new() -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let endpoint = Endpoint::from_environment(None).unwrap();
        let docker = match Docker::connect(endpoint).await {
            Ok(docker) => docker,
            Err(failure) => {
                crate::lacking::without(&failure.to_string());
                return None;
            }
        };
        let Some(busybox) = busybox() else {
            crate::lacking::without("there is no static busybox");
            return None;
        };
        let name = format!("docker-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image.tar");
        let mut archive = tar::Builder::new(std::fs::File::create(&file).unwrap());
        for folder in ["bin/", "tmp/", "data/"] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o1777);
            header.set_size(0);
            archive.append_data(&mut header, folder, std::io::empty()).unwrap();
        }
        archive.append_path_with_name(busybox, "bin/busybox").unwrap();
        for applet in APPLETS {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
        }
        archive.finish().unwrap();
        run(&["docker", "import", file.to_str().unwrap(), &name]);
        Some(Self { docker, name })
    }

    /// Starts a container and returns its full id; `options` are `docker run`'s, `command` runs in it.
    pub(super) fn start(&self, options: &[&str], command: &[&str]) -> String {
        let label = format!("swap-test={}", self.name);
        let mut argv = vec!["docker", "run", "-d", "--label", &label];
        argv.extend(options);
        argv.push(&self.name);
        argv.extend(command);
        run(&argv)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let ids = run(&["docker", "ps", "-aq", "--filter", &format!("label=swap-test={}", self.name)]);
        for id in ids.lines() {
            let _ = Command::new("docker").args(["rm", "-fv", id]).output();
        }
        let _ = Command::new("docker").args(["network", "rm", &self.name]).output();
        let images = Command::new("docker").args(["images", "--format", "{{.Repository}}:{{.Tag}}"]).output();
        for image in images.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default().lines() {
            if image.starts_with(&format!("{}:", self.name)) {
                let _ = Command::new("docker").args(["rmi", "-f", image]).output();
            }
        }
    }
}

/// Finds a static busybox: this machine's, or Debian's package unpacked beside the tests' other files.
fn busybox() -> Option<PathBuf> {
    let is_static =
        |path: &PathBuf| Command::new("ldd").arg(path).output().is_ok_and(|output| !output.status.success());
    let mine = std::env::temp_dir().join(format!("swap-test-busybox-{}", std::process::id()));
    static UNPACK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = UNPACK.lock();
    let cached = std::env::temp_dir().join("swap-test-busybox");
    let usual = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    if let Some(found) = usual.into_iter().chain([cached.clone()]).find(|path| path.exists() && is_static(path)) {
        return Some(found);
    }
    std::fs::create_dir_all(&mine).ok()?;
    let line = "apt-get download busybox-static && dpkg -x busybox-static_*.deb .";
    let _ = Command::new("sh").args(["-c", line]).current_dir(&mine).output();
    let found = ["bin/busybox", "usr/bin/busybox"].iter().map(|path| mine.join(path)).find(|path| path.exists());
    // Renamed, so that another test process never sees half a file.
    let kept = found.and_then(|path| std::fs::rename(path, &cached).ok()).map(|()| cached);
    let _ = std::fs::remove_dir_all(&mine);
    kept
}
