//! Compiled components: a private folder, one file per component and engine, written once.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::model::Failure;

/// Tells the files apart that this process writes.
static NUMBER: AtomicU64 = AtomicU64::new(0);

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
        #[expect(unsafe_code, reason = "running compiled code is what the cache is for")]
        // SAFETY: the file was written by `store` of this user's swap: the folder and the file are this user's and
        // closed to all others, and the file is complete because it was renamed into its place. The engine checks that it
        // was made by the same wasmtime with the same settings.
        unsafe { Component::deserialize_file(engine, &path) }.ok()
    }

    /// Keeps a compiled component. To fail is no harm: it is compiled again next time.
    pub(super) fn store(&self, digest: &str, component: &Component) {
        let path = self.path(digest);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let beside = self.folder.join(format!(".{}-{number}-{}", std::process::id(), self.name(digest)));
        let written = component.serialize().map_err(io::Error::other).and_then(|bytes| {
            let mut file = create_new(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(self.name(digest))
    }

    fn name(&self, digest: &str) -> String {
        format!("{}-{:016x}.cwasm", digest.trim_start_matches("sha256:"), self.compatibility)
    }
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
