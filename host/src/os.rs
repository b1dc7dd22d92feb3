//! The machine below the adapters: its randomness, its processes, and files and folders that only their user may use or that
//! are written whole.
//!
//! **Invariant:** nothing here knows what is in a file, and no path is made up here but of what is written beside another.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The permissions of what only its user may read and write.
pub const PRIVATE: u32 = 0o600;

/// The permissions of what everybody may read and write whom the process does not forbid it (`umask`).
pub const USUAL: u32 = 0o666;

/// Returns 128 random bits as 32 digits in hexadecimal, for marks that no program can guess.
///
/// # Panics
/// Where the system has no randomness, as no Linux of today.
pub fn token() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    hex::encode(bytes)
}

/// Makes a folder with those above it that nobody but this user can use. One that is there stays as it is.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Returns how a file is opened that, when it is made, nobody but this user can use. Links are not followed.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(PRIVATE).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    options
}

/// Says why others than this user can use a file or folder, if it is so: whose it is, or which of the permissions `bits` it has.
pub fn others_may(metadata: &Metadata, bits: u32) -> Option<String> {
    let (me, mode) = (rustix::process::geteuid().as_raw(), metadata.mode() & 0o777);
    if metadata.uid() != me {
        return Some(format!("it belongs to user {}, not to {me}", metadata.uid()));
    }
    (mode & bits != 0).then(|| format!("others may use it (mode {mode:04o})"))
}

/// Writes a file that must not exist, durably, and the folders above it.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder_of(path))?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts a file with these bytes and permissions in the place of what was called so, if anything was: whoever looks sees the
/// former one or the whole new one. Its folder is not synced.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder_of(path))?;
    // The file itself, whose errors don't tell of a name that nobody has chosen.
    beside.as_file_mut().write_all(bytes)?;
    beside.as_file().sync_all()?;
    beside.persist(path).map(drop).map_err(|failed| failed.error)
}

/// Makes durable which files a folder has.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// What is not there need not be moved or removed.
pub fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Returns the pids of this machine's processes, each with its folder in `/proc`.
pub fn processes() -> impl Iterator<Item = (i32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

/// Returns what `stat` in a process's folder of `/proc` says behind the process's name: its state, its parent, its group and so
/// on, as proc(5) lists them from the third on.
pub fn stat(process: &Path) -> Option<Vec<String>> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name in parentheses may hold anything.
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn tokens_are_long_and_each_is_another() {
        let (one, two) = (token(), token());
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
        assert_ne!(one, two);
    }

    #[test]
    fn what_is_private_is_closed_to_others_and_no_link_leads_out() {
        let base = tempfile::tempdir().unwrap();
        let (folder, file, link) =
            (base.path().join("a/b"), base.path().join("a/b/file"), base.path().join("a/b/link"));
        private_folder(&folder).unwrap();
        private_folder(&folder).unwrap();
        private_file().write(true).create_new(true).open(&file).unwrap();
        assert_eq!([mode(&base.path().join("a")), mode(&folder), mode(&file)], [0o700, 0o700, 0o600]);
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(private_file().write(true).open(&link).is_err());
        assert_eq!(others_may(&fs::metadata(&file).unwrap(), 0o077), None);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(others_may(&metadata, 0o077).as_deref(), Some("others may use it (mode 0640)"));
        assert_eq!(others_may(&metadata, 0o022), None);
    }

    #[test]
    fn this_process_is_among_the_machines() {
        let me = std::process::id() as i32;
        let (_, folder) = processes().find(|(pid, _)| *pid == me).unwrap();
        let words = stat(&folder).unwrap();
        assert_eq!(words[1], std::os::unix::process::parent_id().to_string());
        assert_eq!(stat(Path::new("/proc/none")), None);
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("deep/file");
        write_new(&file, b"old").unwrap();
        assert_eq!(write_new(&file, b"new").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        replace(&file, b"new", PRIVATE).unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"new".to_vec(), 0o600));
        let folder = base.path().join("deep/folder");
        fs::create_dir(&folder).unwrap();
        assert!(replace(&folder, b"new", USUAL).is_err());
        assert_eq!(fs::read_dir(base.path().join("deep")).unwrap().count(), 2);
        sync_folder(&folder).unwrap();
    }
}
