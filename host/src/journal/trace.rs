//! The trace of a run on disk: a file beside its journal, removed with it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::VERSION;
use crate::os;
use crate::run::trace::{Trace, Traced};

/// So much of what is said is kept, in bytes. What was measured is always kept.
const MOST_SAID: usize = 512 << 10;

/// The trace of a run that is written. What can't be written is lost: nothing depends on it.
#[derive(Debug)]
pub struct TraceFile {
    path: PathBuf,
    file: Option<File>,
    said: usize,
}

impl TraceFile {
    /// Names the trace beside a journal; the file is made with the first line.
    pub(super) fn beside(journal: &Path) -> Self {
        let path = path_of(journal);
        let said = fs::metadata(&path).map_or(0, |is| usize::try_from(is.len()).unwrap_or(usize::MAX));
        Self { path, file: None, said }
    }

    /// Appends what was said or measured just now. Not synced: after a crash the last lines may be missing.
    pub fn append(&mut self, what: Trace) {
        let measured = matches!(what, Trace::Probe(_));
        let what = match self.said {
            said if measured || said < MOST_SAID => what,
            MOST_SAID.. if self.said != usize::MAX => {
                self.said = usize::MAX;
                Trace::Cut
            }
            _ => return,
        };
        let traced = Traced { v: VERSION, at_ms: Timestamp::now().as_millisecond(), what };
        let Ok(mut line) = serde_json::to_string(&traced) else { return };
        line.push('\n');
        self.said = self.said.saturating_add(if measured { 0 } else { line.len() });
        if self.file.is_none() {
            self.file = os::private_file().create(true).append(true).open(&self.path).ok();
        }
        if let Some(file) = &mut self.file {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

/// Returns the path of the trace of a journal.
fn path_of(journal: &Path) -> PathBuf {
    journal.with_extension("trace")
}

/// Reads the trace of a journal. Lines that can't be read are passed over.
pub(super) fn read(journal: &Path) -> Vec<Traced> {
    let text = fs::read(path_of(journal)).unwrap_or_default();
    let lines = String::from_utf8_lossy(&text).lines().map(serde_json::from_str::<Traced>).collect::<Vec<_>>();
    lines.into_iter().filter_map(Result::ok).filter(|traced| traced.v <= VERSION).collect()
}

/// Removes the trace of a journal that is removed.
pub(super) fn remove(journal: &Path) {
    let _ = fs::remove_file(path_of(journal));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_as_it_was_written_and_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("20260131-154502-9f3a.open");
        let mut file = TraceFile::beside(&journal);
        assert_eq!(read(&journal), []);
        let line = Trace::Waiting { text: "x".repeat(1000) };
        (0..1000).for_each(|_| file.append(line.clone()));
        // Another process goes on with the run, and half a line is what a crash left.
        fs::OpenOptions::new().append(true).open(path_of(&journal)).unwrap().write_all(b"{\"v\":1,\n").unwrap();
        TraceFile::beside(&journal).append(line.clone());
        let read = read(&journal);
        let (last, rest) = read.split_last().unwrap();
        assert_eq!(last.what, Trace::Cut);
        assert!((450..600).contains(&rest.len()), "{} lines", rest.len());
        assert_eq!(rest.iter().filter(|traced| traced.what == Trace::Cut).count(), 1);
        remove(&journal);
        assert_eq!(super::read(&journal), []);
    }
}
