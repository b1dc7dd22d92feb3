//! The files are changed, all of them or none, and how that is shown.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::found::{Change, Proposal};
use crate::model::Failure;
use crate::os;

/// Returns the files that this user can't write.
pub(super) fn locked(proposal: &Proposal) -> Vec<&str> {
    proposal.changes.iter().filter(|change| !can_write(change)).map(|change| change.name.as_str()).collect()
}

/// Tells whether a change can be made by this user.
fn can_write(change: &Change) -> bool {
    use rustix::fs::{Access, access};
    let there = change.path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let path = if change.before.is_some() { change.path.as_path() } else { there };
    access(path, Access::WRITE_OK).is_ok()
}

/// Puts everything back that [`write`] has written.
///
/// # Errors
/// A file can't be written; it is named.
pub(super) fn put_back(proposal: &Proposal) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for Change { name, path, before, after } in proposal.changes.iter().rev() {
        let now = fs::read_to_string(path).ok();
        let result = match before {
            Some(before) if now.as_ref() != Some(before) => fs::write(path, before),
            None if now.as_ref() == Some(after) => {
                let removed = fs::remove_file(path);
                // The folders that were made for it; one that holds something else stays.
                let folders = path.ancestors().skip(1).take(2);
                folders.take_while(|folder| fs::remove_dir(folder).is_ok()).for_each(drop);
                removed
            }
            _ => Ok(()),
        };
        failed.extend(result.err().map(|error| format!("`{name}`: {error}")));
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("these could not be put back: {}", failed.join("; ")))),
    }
}

/// Writes what is proposed. A file that has changed since it was looked at is left, and so is all that comes after it.
///
/// # Errors
/// A file can't be written, or is not as it was; those before it are written, and a second `swap init` goes on there.
pub(super) fn write(proposal: &Proposal) -> Result<(), Failure> {
    for Change { name, path, before, after } in &proposal.changes {
        let failed = |error: std::io::Error| {
            Failure::new(format!("writing `{name}`: {error}"))
                .hint("make it writable, then run `swap init` again: it goes on where it stopped")
        };
        match before {
            None => {
                os::write_new(path, after.as_bytes()).map_err(failed)?;
            }
            Some(before) => {
                let now = fs::read_to_string(path).map_err(failed)?;
                if now != *before {
                    return Err(Failure::new(format!(
                        "`{name}` has changed since it was read, so it is left as it is"
                    ))
                    .hint("run `swap init` again"));
                }
                // In place, because a single file that is mounted into a container must stay the same file; with a copy
                // beside it until that has succeeded.
                let copy = path.with_file_name(format!(
                    ".{}.before-swap-init",
                    path.file_name().unwrap_or_default().to_string_lossy()
                ));
                fs::copy(path, &copy).map_err(failed)?;
                let mut file = fs::OpenOptions::new().write(true).truncate(true).open(path).map_err(failed)?;
                file.write_all(after.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
                    let failure = failed(error);
                    Failure { what: format!("{}; its old text is in `{}`", failure.what, copy.display()), ..failure }
                })?;
                fs::remove_file(&copy).map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// Returns the changes as a unified diff.
pub fn diff(proposal: &Proposal) -> String {
    let mut text = String::new();
    for Change { name, before, after, .. } in &proposal.changes {
        let old = before.as_deref().unwrap_or_default();
        let from = if before.is_some() { name.as_str() } else { "/dev/null" };
        let diff = similar::TextDiff::from_lines(old, after);
        text += &diff.unified_diff().context_radius(3).header(from, name).to_string();
    }
    text
}
