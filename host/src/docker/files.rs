//! Files in containers through the engine's archive calls, which need no program in the container.

use std::io::Read;
use std::time::Duration;

use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use futures_util::StreamExt;
use hyper::body::Bytes;

use super::{Docker, Fault, ask};
use crate::model::Failure;
use crate::text::{printable, short_or_name};

/// No file of more bytes is read.
const LIMIT: usize = 16 * 1024 * 1024;

impl Docker {
    /// Returns a file's bytes, following links; `None` if there is none. At most 16 MiB.
    ///
    /// The engine reads the container's files and mounts; what the kernel makes up (`/proc`, `/sys`) and what lies on a
    /// tmpfs is not among them: use exec.
    pub async fn read_file(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let tried = || format!("reading `{}` in container `{}`", printable(path), short_or_name(id));
        let mut at = path.to_owned();
        for _ in 0..8 {
            let Some(archive) = self.archive(id, &at).await.map_err(|fault| fault.when(tried()))? else {
                return Ok(None);
            };
            let bad = |error: std::io::Error| Failure::new(format!("{}: {error}", tried()));
            let mut archive = tar::Archive::new(archive.as_slice());
            let Some(entry) = archive.entries().map_err(bad)?.next() else { return Ok(None) };
            let mut entry = entry.map_err(bad)?;
            match entry.header().entry_type() {
                tar::EntryType::Symlink => {
                    let target = entry.link_name().map_err(bad)?.map(|link| link.to_string_lossy().into_owned());
                    let target = target.unwrap_or_default();
                    let folder = at.rsplit_once('/').map_or("", |(folder, _)| folder);
                    at = if target.starts_with('/') { target } else { format!("{folder}/{target}") };
                }
                tar::EntryType::Directory => return Err(Failure::new(format!("{}: it is a directory", tried()))),
                _ => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).map_err(bad)?;
                    return Ok(Some(bytes));
                }
            }
        }
        Err(Failure::new(format!("{}: too many links", tried())))
    }

    async fn archive(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut chunks = std::pin::pin!(self.api.download_from_container(id, Some(options)));
        let mut archive = Vec::new();
        loop {
            match tokio::time::timeout(Duration::from_secs(15), chunks.next()).await {
                Ok(None) => return Ok(Some(archive)),
                Ok(Some(Ok(chunk))) => archive.extend_from_slice(&chunk),
                Ok(Some(Err(error))) => {
                    let fault = Fault::from(error);
                    return if fault.is(404) && !fault.message.contains("No such container:") {
                        Ok(None)
                    } else {
                        Err(fault)
                    };
                }
                Err(_) => return Err(Fault { status: None, message: "the engine did not answer in time".into() }),
            }
            if archive.len() > LIMIT {
                return Err(Fault { status: None, message: format!("it has more than {LIMIT} bytes") });
            }
        }
    }

    /// Writes a file with mode 0644, owned by root; its folder must be there. A file that was there is replaced, so this
    /// may run twice.
    ///
    /// Not atomic: write beside and rename where somebody may read meanwhile. A container with a read-only root refuses
    /// even where a writable volume is mounted on some engines; then use exec.
    pub async fn write_file(&self, id: &str, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let tried = format!("writing `{}` in container `{}`", printable(path), short_or_name(id));
        let (folder, name) = match path.rsplit_once('/') {
            Some((folder, name)) if !name.is_empty() && path.starts_with('/') => (folder, name),
            _ => return Err(Failure::new(format!("{tried}: that is not a file's absolute path"))),
        };
        let archive = archive_of(name, bytes, Owned { mode: 0o644, uid: 0, gid: 0 });
        let archive = archive.map_err(|error| Failure::new(format!("{tried}: {error}")))?;
        let folder = if folder.is_empty() { "/" } else { folder };
        let options = UploadToContainerOptionsBuilder::default().path(folder).build();
        let body = bollard::body_full(Bytes::from(archive));
        ask(self.api.upload_to_container(id, Some(options), body)).await.map_err(|fault| fault.when(tried))
    }

    /// Puts a file into a container, also one that was never started, as compose puts secrets and configs into it: folders that
    /// are missing are made. A file that was there is replaced, so this may run twice.
    ///
    /// With `chown` the engine gives it to the container's own user where the container has one, whatever `owned` says: that is
    /// what compose asks for as soon as an owner is settled.
    pub async fn put_file(&self, id: &str, path: &str, bytes: &[u8], owned: Owned, chown: bool) -> Result<(), Failure> {
        let tried = format!("putting `{}` into container `{}`", printable(path), short_or_name(id));
        let archive = archive_of(path.trim_start_matches('/'), bytes, owned);
        let archive = archive.map_err(|error| Failure::new(format!("{tried}: {error}")))?;
        let mut options = UploadToContainerOptionsBuilder::default().path("/");
        if chown {
            options = options.copy_uidgid("true");
        }
        let body = bollard::body_full(Bytes::from(archive));
        ask(self.api.upload_to_container(id, Some(options.build()), body)).await.map_err(|fault| fault.when(tried))
    }
}

/// Whose a file is, and who may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The permissions, as `0o444`.
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The owner's group.
    pub gid: u64,
}

/// Returns an archive with one file.
fn archive_of(name: &str, bytes: &[u8], owned: Owned) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(owned.mode);
    header.set_uid(owned.uid);
    header.set_gid(owned.gid);
    header.set_mtime(std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()));
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, bytes)?;
    archive.into_inner()
}
