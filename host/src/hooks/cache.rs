//! Compiled components: a private folder, one file per component and engine, written once.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::model::Failure;

/// Tells the files apart that this process writes.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// What was not used for so long is removed.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);
/// More than so many bytes are not kept. A compiled Python hook has some 40 MB.
const ROOM: u64 = 512 << 20;
/// The ending of the file that has the digest of another one.
const SUM: &str = "sum";

/// A folder of compiled components that nobody else can write.
///
/// A compiled component is machine code that runs with all of swap's rights. So the folder must be swap's user's own,
/// closed to all others, and no symbolic link; the same goes for each file. Whoever can pass that could replace swap.
pub(super) struct Cache {
    folder: PathBuf,
    compatibility: u64,
}

impl Cache {
    /// Opens or makes the folder. The word `compatibility` tells engines apart.
    pub(super) fn open(folder: &Path, compatibility: u64) -> Result<Self, Failure> {
        let refuse = |why: String| {
            Failure::new(format!("not keeping compiled hooks in `{}`: {why}", folder.display()))
                .hint("remove the folder, or make it your own with mode 0700")
        };
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(|error| refuse(error.to_string()))?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(refuse(error.to_string())),
            _ => {}
        }
        let metadata = fs::symlink_metadata(folder).map_err(|error| refuse(error.to_string()))?;
        if metadata.is_symlink() {
            return Err(refuse("it is a symbolic link".into()));
        }
        if !metadata.is_dir() {
            return Err(refuse("it is not a folder".into()));
        }
        if let Some(why) = not_private(&metadata) {
            return Err(refuse(why));
        }
        if metadata.mode() & 0o700 != 0o700 {
            return Err(refuse(format!("nothing may be written there (mode {:04o})", metadata.mode() & 0o777)));
        }
        // From here on the folder is meant, wherever its path leads later.
        let folder = folder.canonicalize().map_err(|error| refuse(error.to_string()))?;
        Ok(Self { folder, compatibility })
    }

    /// Returns the compiled component with this digest, if there is one that can be trusted and used.
    pub(super) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let metadata = fs::symlink_metadata(&path).ok()?;
        if !metadata.is_file() || not_private(&metadata).is_some() {
            return None;
        }
        // A disk forgets, and compiled code of which a bit is wrong does whatever that bit says.
        if fs::read_to_string(self.sum_path(digest)).ok()? != sum_of(&path).ok()? {
            return None;
        }
        #[expect(unsafe_code, reason = "running compiled code is what the cache is for")]
        // SAFETY: the file was written by `store` of this user's swap: the folder and the file are this user's and
        // closed to all others, and its content is what was written. The engine checks that it was made by the same wasmtime
        // with the same settings.
        let component = unsafe { Component::deserialize_file(engine, &path) }.ok()?;
        // For `prune`: what is used stays.
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(component)
    }

    /// Keeps a compiled component. To fail is no harm: it is compiled again next time.
    pub(super) fn store(&self, digest: &str, component: &Component) {
        let written = component.serialize().map_err(io::Error::other).and_then(|bytes| {
            self.put(&self.path(digest), &bytes)?;
            // Where this one is missing or another's, the component is compiled again.
            self.put(&self.sum_path(digest), super::hook::digest(&bytes).as_bytes())
        });
        if written.is_ok() {
            self.prune();
        }
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = self.folder.join(format!(".{}-{number}-{name}", std::process::id()));
        // Not synced, which takes longer than some compile: what a crash tears does not agree with its sum.
        let written = create_new(&beside).and_then(|mut file| {
            file.write_all(bytes)?;
            fs::rename(&beside, path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Removes what was not used for long, and of the rest what was not used for longest, until there is room.
    fn prune(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        kept.sort();
        let mut total: u64 = kept.iter().map(|(_, size, _)| size).sum();
        for (used, size, path) in kept {
            let is_sum = path.extension().is_some_and(|ending| ending == SUM);
            let alone = is_sum && !path.with_extension("").exists();
            let old = used.elapsed().is_ok_and(|age| age > UNUSED);
            // The sum of a file goes with it.
            if alone || (!is_sum && (old || total > ROOM)) {
                total = total.saturating_sub(size);
                let _ = fs::remove_file(&path);
                let _ = fs::remove_file(with_sum(&path));
            }
        }
    }

    fn sum_path(&self, digest: &str) -> PathBuf {
        with_sum(&self.path(digest))
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(self.name(digest))
    }

    fn name(&self, digest: &str) -> String {
        format!("{}-{:016x}.cwasm", digest.trim_start_matches("sha256:"), self.compatibility)
    }
}

fn with_sum(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(SUM);
    PathBuf::from(name)
}

/// Returns the digest of a file, without holding all of it.
fn sum_of(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(super::hook::hex(&hasher.finalize()))
}

/// Opens a file that must not exist. Follows no link.
fn create_new(path: &Path) -> io::Result<File> {
    // What a killed process with the same id left.
    let _ = fs::remove_file(path);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Says why a file or folder is not only ours, if it is not.
fn not_private(metadata: &fs::Metadata) -> Option<String> {
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me {
        return Some(format!("it belongs to user {}, not to {me}", metadata.uid()));
    }
    let mode = metadata.mode() & 0o777;
    (mode & 0o077 != 0).then(|| format!("others may use it (mode {mode:04o})"))
}
