//! The journal of each run, the history of runs, and the lock that lets one run at a time hold a service.
//!
//! Everything is below one private folder (0700, files 0600):
//!
//! ```text
//! <state>/<engine>/<project>/<service>.lock      who holds the service, and his token
//! <state>/<engine>/<project>/runs/<run>.new      the journal of a run that has no plan yet
//! <state>/<engine>/<project>/runs/<run>.open     the journal of a run that is not over
//! <state>/<engine>/<project>/runs/<run>.jsonl    the journal of a run that is over
//! <state>/<engine>/<project>/runs/<run>.trace    what was said and measured meanwhile; nothing depends on it
//! <state>/<engine>/<project>/runs/<run>.torn     a journal that could not be read, kept for a person
//! ```
//!
//! A journal has one event a line. A line is written and synced before the next effect begins; a torn last line is what
//! a crash leaves and is passed over.

mod trace;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::failpoint;
use crate::model::{Failure, RunId, ServiceName};
use crate::os;
use crate::plan::{Plan, VERSION};
use crate::run::trace::Traced;
use crate::run::{Entry, Event};

pub use trace::TraceFile;

/// How many runs of a project the history keeps.
const KEPT_RUNS: usize = 100;

/// How a journal's name ends that has no plan yet: of a run that is killed then, nothing is left to do.
const UNWRITTEN: &str = "new";

/// How old a journal without a plan is when its run must be dead.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// The folder of one project on one engine.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens the project's folder and makes what is missing of it.
    ///
    /// `root` is the state folder; `engine` and `project` become its sub-folders. Fails if something there belongs to
    /// somebody else or is a symbolic link, because whoever owns the journal decides what swap does next.
    pub fn open(root: &Path, engine: &str, project: &str) -> Result<Self, Failure> {
        whole(root)?;
        let mut path = root.to_path_buf();
        make_private(&path)?;
        for part in [engine, project, "runs"] {
            path.push(safe_name(part));
            make_private(&path)?;
        }
        path.pop();
        Ok(Self { path })
    }

    /// Returns the state folder: `SWAP_STATE_DIR`, which must be a whole path, else `/var/lib/swap` for
    /// root and `~/.local/state/swap` for others.
    pub fn default_root() -> PathBuf {
        let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(root) = from("SWAP_STATE_DIR") {
            return root;
        }
        if rustix::process::geteuid().is_root() {
            return PathBuf::from("/var/lib/swap");
        }
        let state = from("XDG_STATE_HOME").or_else(|| from("HOME").map(|home| home.join(".local/state")));
        state.unwrap_or_else(|| PathBuf::from(".")).join("swap")
    }

    /// Makes the state folder if it is missing and returns how many bytes are free there.
    ///
    /// # Errors
    /// It can't be made, belongs to somebody else, or can be changed by others; or nothing can be written into it.
    pub fn examine(root: &Path) -> Result<u64, Failure> {
        whole(root)?;
        make_private(root)?;
        tempfile::tempfile_in(root).map_err(|error| cannot("write into the state folder", root, &error))?;
        let room = rustix::fs::statvfs(root)
            .map_err(|error| cannot("examine the state folder", root, &io::Error::from(error)))?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    /// Returns where hooks keep what they must remember of a service.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }

    /// Returns the runs of the project, newest first, each with its journal's path.
    pub fn list(&self) -> Result<Vec<(RunId, PathBuf)>, Failure> {
        let runs = self.runs();
        let read = fs::read_dir(&runs).map_err(|error| cannot("read the folder", &runs, &error))?;
        let mut list: Vec<(RunId, PathBuf)> = read
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter_map(|path| {
                let ending = path.extension()?.to_str()?;
                let name = path.file_stem()?.to_str()?;
                ["open", "jsonl"].contains(&ending).then(|| (RunId(name.to_owned()), path.clone()))
            })
            .collect();
        list.sort_by(|a, b| b.0.cmp(&a.0));
        Ok(list)
    }

    /// Returns the journals of runs that are not over, newest first, for the given service.
    ///
    /// A journal that can't be read is passed over: the world is believed, not the journal.
    pub fn unfinished(&self, service: &ServiceName) -> Result<Vec<Recorded>, Failure> {
        let open = self.list()?.into_iter().filter(|(_, path)| path.extension().is_some_and(|end| end == "open"));
        Ok(open
            .filter_map(|(run, path)| Recorded::read(run, path).ok())
            .filter(|recorded| recorded.plan().is_some_and(|plan| plan.services.iter().any(|s| s.name == *service)))
            .collect())
    }

    /// Tells what is known here of a run.
    pub fn past(&self, run: &RunId) -> Past {
        let (open, over) = (self.journal_of(run, "open"), self.journal_of(run, "jsonl"));
        match Recorded::read(run.clone(), open) {
            Ok(recorded) if recorded.plan().is_some() => Past::Open,
            _ if over.exists() => Past::Over,
            _ => Past::Unknown,
        }
    }

    /// Writes the journal of a run that another process began, as far as it is known, to be gone on with: all of it or
    /// nothing, because half of it would tell another story. One that can't be read makes place.
    ///
    /// Called by who holds the run's services.
    pub fn write(&self, run: &RunId, events: &[Event]) -> Result<(), Failure> {
        self.forget_old_runs();
        let (path, open) = (self.journal_of(run, UNWRITTEN), self.journal_of(run, "open"));
        // Of somebody who was killed in the middle of this.
        os::unless_missing(fs::remove_file(&path)).map_err(|error| cannot("remove", &path, &error))?;
        let file = opened(&path, os::private_file().create_new(true).append(true))?;
        let mut journal = Journal { path, file, good: 0, pending: Vec::new() };
        let written = journal.append_together(events).and_then(|()| {
            os::unless_missing(fs::rename(&open, self.journal_of(run, "torn")))
                .map_err(|error| cannot("rename", &open, &error))?;
            journal.name("open").map_err(|error| cannot("name the journal", &journal.path, &error))
        });
        if written.is_err() {
            journal.discard();
        }
        written
    }

    fn journal_of(&self, run: &RunId, ending: &str) -> PathBuf {
        self.runs().join(format!("{}.{ending}", safe_name(&run.0)))
    }

    /// Begins the journal of a run.
    pub fn begin(&self, run: &RunId) -> Result<Journal, Failure> {
        self.forget_old_runs();
        let path = self.journal_of(run, UNWRITTEN);
        // The same run twice would mix two stories.
        if path.with_extension("open").exists() {
            return Err(cannot("make", &path.with_extension("open"), &io::ErrorKind::AlreadyExists.into()));
        }
        let file = opened(&path, os::private_file().create_new(true).append(true))?;
        failpoint::pass(|| "after journal made").map_err(|error| cannot("make", &path, &error))?;
        Ok(Journal { path, file, good: 0, pending: Vec::new() })
    }

    /// Removes the oldest finished runs beyond those that are kept, and what runs have left that were killed before they had
    /// a plan. What can't be removed stays.
    fn forget_old_runs(&self) {
        for path in fs::read_dir(self.runs()).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let age = || fs::metadata(&path).ok()?.modified().ok()?.elapsed().ok();
            // A living run has written its plan long before.
            if path.extension().is_some_and(|end| end == UNWRITTEN) && age().is_some_and(|age| age > LEFT_BEHIND) {
                let _ = fs::remove_file(path);
            }
        }
        let runs = self.list().unwrap_or_default();
        let finished = runs.iter().filter(|(_, path)| path.extension().is_some_and(|end| end == "jsonl"));
        for (_, path) in finished.skip(KEPT_RUNS) {
            let _ = fs::remove_file(path);
            trace::remove(path);
        }
    }

    /// Takes the lock of a service for a holder, or says who holds it. The token is what no other holder has.
    pub fn lock(&self, service: &ServiceName, holder: &str, token: &str) -> Result<Lock, LockError> {
        let path = self.path.join(format!("{service}.lock"));
        let mut file = opened(&path, os::private_file().create(true).truncate(false).read(true).write(true))
            .map_err(LockError::Failed)?;
        let locked = file.try_lock();
        let mut said = String::new();
        let _ = file.read_to_string(&mut said);
        let mut lines = said.lines().map(str::to_owned);
        let former = lines.next().unwrap_or_default();
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Busy(former)),
            Err(TryLockError::Error(error)) => return Err(LockError::Failed(cannot("lock", &path, &error))),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(format!("{holder}\n{token}\n").as_bytes())
        };
        write(&mut file).map_err(|error| LockError::Failed(cannot("write", &path, &error)))?;
        Ok(Lock { _file: file, former: lines.next() })
    }
}

/// What the folder tells of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// It has a journal that can be read, and is not over.
    Open,
    /// It is over.
    Over,
    /// Nothing.
    Unknown,
}

/// Why a lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Another run holds it: who, where, since when.
    Busy(String),
    /// The lock's file can't be used.
    Failed(Failure),
}

/// A service that is held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    former: Option<String>,
}

impl Lock {
    /// Returns the token of the last one who held it here before: he has let it go, or is dead.
    pub fn former(&self) -> Option<&str> {
        self.former.as_deref()
    }
}

/// A journal that was read back.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The run.
    pub run: RunId,
    /// Its entries in order.
    pub entries: Vec<Entry>,
    path: PathBuf,
}

impl Recorded {
    /// Reads a journal. A torn last line is passed over; a broken line before it is an error.
    pub fn read(run: RunId, path: PathBuf) -> Result<Self, Failure> {
        let bytes = fs::read(&path).map_err(|error| cannot("read the journal", &path, &error))?;
        let entries = parse(&String::from_utf8_lossy(&bytes))
            .map_err(|why| Failure::new(format!("journal `{}` can't be read: {why}", path.display())))?;
        Ok(Self { run, entries, path })
    }

    /// Tells whether the run is over.
    pub fn is_over(&self) -> bool {
        self.path.extension().is_none_or(|ending| ending != "open")
    }

    /// Returns the plan of the run; `None` if it died before it was recorded.
    pub fn plan(&self) -> Option<&Plan> {
        self.entries.iter().find_map(|entry| match &entry.event {
            Event::Planned { plan } => Some(plan),
            _ => None,
        })
    }

    /// Returns the events without their times.
    pub fn events(&self) -> Vec<Event> {
        self.entries.iter().map(|entry| entry.event.clone()).collect()
    }

    /// Reads what was said and measured during the run; what is not there is not an error.
    pub fn trace(&self) -> Vec<Traced> {
        trace::read(&self.path)
    }

    /// Opens the journal to go on with it; a torn last line is cut off first.
    pub fn reopen(&self) -> Result<Journal, Failure> {
        let mut file = opened(&self.path, os::private_file().read(true).append(true))?;
        let mut text = Vec::new();
        let whole = file.read_to_end(&mut text).map(|_| text.iter().rposition(|byte| *byte == b'\n'));
        let good = whole
            .map(|end| end.map_or(0, |end| end as u64 + 1))
            .and_then(|good| file.set_len(good).map(|()| good))
            .map_err(|error| cannot("reopen the journal", &self.path, &error))?;
        Ok(Journal { path: self.path.clone(), file, good, pending: Vec::new() })
    }
}

/// Parses a journal's text. A last line without its end is what a crash leaves. What a former version wrote is returned in the
/// form of this one.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(index, line)| {
            let entry: Entry = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))?;
            if entry.v > VERSION {
                return Err(format!("line {}: written by a later swap (version {})", index + 1, entry.v));
            }
            Ok(Entry { v: VERSION, ..entry })
        })
        .collect()
}

/// The open journal of a run.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// How many bytes of whole lines are on the disk.
    good: u64,
    /// Lines that are not on the disk yet.
    pending: Vec<u8>,
}

impl Journal {
    /// Appends the event and syncs it to the disk. The last event of a run also closes the journal's name.
    pub fn append(&mut self, event: &Event) -> Result<Entry, Failure> {
        let entry = Entry { v: VERSION, at_ms: Timestamp::now().as_millisecond(), event: event.clone() };
        // One write, so that a crash tears at most the last line.
        self.pending.extend(line(&entry)?.into_bytes());
        let point = |when: &str| failpoint::pass(|| format!("{when} journal {}", event.name()));
        let written = point("before").and_then(|()| self.write_pending()).and_then(|()| point("after"));
        written.map_err(|error| cannot("write the journal", &self.path, &error))?;
        if self.path.extension().is_some_and(|end| end == UNWRITTEN) {
            self.name("open").map_err(|error| cannot("name the journal", &self.path, &error))?;
        }
        if matches!(event, Event::Closed { .. }) {
            self.name("jsonl").map_err(|error| cannot("close the journal", &self.path, &error))?;
        }
        Ok(entry)
    }

    /// Writes events in one go and syncs them; the journal's name stays.
    fn append_together(&mut self, events: &[Event]) -> Result<(), Failure> {
        let at_ms = Timestamp::now().as_millisecond();
        for event in events {
            self.pending.extend(line(&Entry { v: VERSION, at_ms, event: event.clone() })?.into_bytes());
        }
        let point = |when: &str| failpoint::pass(|| format!("{when} journal presumed"));
        let written = point("before").and_then(|()| self.write_pending()).and_then(|()| point("after"));
        written.map_err(|error| cannot("write the journal", &self.path, &error))
    }

    /// Gives the journal the name that says how far its run is, durably.
    fn name(&mut self, ending: &str) -> io::Result<()> {
        let name = self.path.with_extension(ending);
        fs::rename(&self.path, &name)?;
        self.path = name;
        self.path.parent().map_or(Ok(()), os::sync_folder)?;
        failpoint::pass(|| format!("after journal named {ending}"))
    }

    /// Writes what is not on the disk yet, also what an earlier write that failed has left, so that there is never a gap.
    fn write_pending(&mut self) -> io::Result<()> {
        // Half a line of a write that failed would break the journal in its middle.
        if self.file.metadata()?.len() != self.good {
            self.file.set_len(self.good)?;
        }
        self.file.write_all(&self.pending)?;
        self.file.sync_data()?;
        self.good += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Returns the trace beside this journal, to be written.
    pub fn trace(&self) -> TraceFile {
        TraceFile::beside(&self.path)
    }

    /// Returns where the journal is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes a journal in which nothing happened.
    pub fn discard(self) {
        let _ = fs::remove_file(&self.path);
        trace::remove(&self.path);
    }
}

/// Returns a name that is one harmless part of a path.
fn safe_name(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let name: String = text.chars().map(|c| if c == '.' { '.' } else { safe(c) }).collect();
    if name.starts_with('.') || name.is_empty() { format!("_{name}") } else { name }
}

/// Fails for a path that means another folder in each place: nothing of a run would be found from elsewhere.
fn whole(root: &Path) -> Result<(), Failure> {
    if root.is_absolute() {
        return Ok(());
    }
    let here = std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf());
    Err(Failure::new(format!("the state folder `{}` is another one wherever swap is called", root.display()))
        .hint(format!("write its whole path, as `SWAP_STATE_DIR={}`", here.display())))
}

/// Makes a folder that only we can use, or checks that an existing one is such.
fn make_private(path: &Path) -> Result<(), Failure> {
    os::private_folder(path).map_err(|error| cannot("make the state folder", path, &error))?;
    let is = fs::symlink_metadata(path).map_err(|error| cannot("examine the state folder", path, &error))?;
    if !is.is_dir() {
        return Err(Failure::new(format!("state folder `{}` is not a folder of its own", path.display()))
            .hint("remove the link or choose another folder with SWAP_STATE_DIR"));
    }
    if os::others_may(&is, 0o022).is_some() {
        let me = rustix::process::geteuid().as_raw();
        return Err(Failure::new(format!("state folder `{}` can be changed by others", path.display())).hint(format!(
            "`chown {me} {0} && chmod 700 {0}`, or choose another folder with SWAP_STATE_DIR",
            path.display()
        )));
    }
    Ok(())
}

fn opened(path: &Path, options: &mut OpenOptions) -> Result<File, Failure> {
    options.open(path).map_err(|error| cannot("open", path, &error))
}

/// Returns an entry as a journal has it, with the line's end.
fn line(entry: &Entry) -> Result<String, Failure> {
    let text = serde_json::to_string(entry);
    text.map(|text| text + "\n").map_err(|error| Failure::new(format!("internal: an event can't be written: {error}")))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("can't {what} `{}`: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::StorageFull => {
            failure.hint("free some disk space, or choose another folder with SWAP_STATE_DIR")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            failure.hint("choose a folder that you may write with SWAP_STATE_DIR")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_stay_inside_the_folder() {
        assert_eq!(safe_name("../../etc"), "_.._.._etc");
        assert_eq!(safe_name("JDMK:BCBN"), "JDMK_BCBN");
        assert_eq!(safe_name("a\u{1b}\nb"), "a__b");
    }

    #[test]
    fn a_folder_that_is_another_one_in_each_place_is_refused() {
        let failure = Folder::open(Path::new("state"), "ENGINE", "demo").unwrap_err();
        assert_eq!(failure.what, "the state folder `state` is another one wherever swap is called");
        assert!(failure.hint.is_some_and(|hint| hint.starts_with("write its whole path, as `SWAP_STATE_DIR=/")));
        assert!(!Path::new("state").exists() && Folder::examine(Path::new("state")).is_err());
    }

    #[test]
    fn a_presumed_journal_is_written_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "ENGINE", "demo").unwrap();
        let run = RunId("20260131-154502-9f3a".to_owned());
        let events = [Event::Interrupted { signal: "SIGINT".to_owned() }, Event::Started { step: 0 }];
        let names = || {
            let all =
                fs::read_dir(folder.runs()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut all: Vec<String> = all.collect();
            all.sort();
            all
        };
        let (open, torn, new) = (format!("{run}.open"), format!("{run}.torn"), format!("{run}.new"));
        // Somebody was killed while he wrote it: nobody takes that for a journal.
        fs::write(folder.journal_of(&run, "new"), "{\"v\":1,").unwrap();
        fs::write(folder.journal_of(&run, "open"), "torn").unwrap();
        assert_eq!((folder.past(&run), names()), (Past::Unknown, vec![new, open.clone()]));
        folder.write(&run, &events).unwrap();
        assert_eq!(names(), [open, torn]);
        let recorded = Recorded::read(run.clone(), folder.journal_of(&run, "open")).unwrap();
        assert_eq!(recorded.events(), events);
    }

    #[test]
    fn what_is_kept_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(&root.path().join("state"), "ENGINE", "demo").unwrap();
        let _journal = folder.begin(&RunId("20260131-154502-9f3a".to_owned())).unwrap();
        let _lock = folder.lock(&"app".parse().unwrap(), "pid 1", "token").unwrap();
        let (mut open, mut modes) = (vec![root.path().join("state")], Vec::new());
        while let Some(path) = open.pop() {
            let metadata = fs::symlink_metadata(&path).unwrap();
            modes.push((metadata.is_dir(), metadata.permissions().mode() & 0o777));
            if metadata.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        assert!(modes.len() >= 6, "{modes:?}");
        assert!(modes.iter().all(|(folder, mode)| *mode == if *folder { 0o700 } else { 0o600 }), "{modes:?}");
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_or_a_file_is_refused() {
        use std::os::unix::fs::symlink;
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let victim = elsewhere.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(elsewhere.path(), root.path().join("ENGINE")).unwrap();
        let refused = Folder::open(root.path(), "ENGINE", "demo").unwrap_err();
        let link = root.path().join("ENGINE");
        let expected = Failure::new(format!("state folder `{}` is not a folder of its own", link.display()))
            .hint("remove the link or choose another folder with SWAP_STATE_DIR");
        assert_eq!(refused, expected);
        let folder = Folder::open(root.path(), "OTHER", "demo").unwrap();
        symlink(&victim, folder.path().join("app.lock")).unwrap();
        symlink(&victim, folder.path().join("runs/20260131-154502-9f3a.new")).unwrap();
        assert!(matches!(folder.lock(&"app".parse().unwrap(), "pid 1", "token"), Err(LockError::Failed(_))));
        assert!(folder.begin(&RunId("20260131-154502-9f3a".to_owned())).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let open = root.path().join("state");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Folder::open(&open, "ENGINE", "demo").unwrap_err();
        let (me, shown) = (rustix::process::geteuid().as_raw(), open.display());
        let expected = Failure::new(format!("state folder `{shown}` can be changed by others"))
            .hint(format!("`chown {me} {shown} && chmod 700 {shown}`, or choose another folder with SWAP_STATE_DIR"));
        assert_eq!(refused, expected);
    }

    #[test]
    fn the_last_runs_are_kept_and_unfinished_ones_always() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "ENGINE", "demo").unwrap();
        let run = |number: usize| RunId(format!("20260131-{number:06}-9f3a"));
        let begin = |number: usize| {
            let mut journal = folder.begin(&run(number)).unwrap();
            journal.append(&Event::Started { step: 0 }).unwrap();
            journal
        };
        drop(begin(0));
        for number in 1..=KEPT_RUNS + 5 {
            let mut journal = begin(number);
            journal.append(&Event::Closed { outcome: crate::run::Outcome::Swapped }).unwrap();
        }
        drop(begin(999));
        let dead = folder.path().join("runs/20260131-154502-9f3a.new");
        fs::write(&dead, "").unwrap();
        File::options().write(true).open(&dead).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        drop(folder.begin(&run(998)).unwrap());
        assert!(!dead.exists() && folder.path().join("runs").join("20260131-000998-9f3a.new").exists());
        let kept: Vec<RunId> = folder.list().unwrap().into_iter().map(|(run, _)| run).collect();
        assert_eq!(kept.len(), KEPT_RUNS + 2);
        assert_eq!((&kept[0], &kept[1], &kept[kept.len() - 2]), (&run(999), &run(KEPT_RUNS + 5), &run(6)));
        assert_eq!(kept.last(), Some(&run(0)), "a run that is not over was forgotten");
    }

    #[test]
    fn whatever_a_journal_holds_is_read_decided_and_told_without_a_panic() {
        let corpus = [include_str!("../tests/journals/v1.jsonl"), include_str!("../tests/journals/v2.jsonl")];
        crate::mutated::texts(&corpus, |text| {
            let Ok(entries) = parse(text) else { return };
            let plan = entries.iter().find_map(|entry| match &entry.event {
                Event::Planned { plan } => Some(plan.clone()),
                _ => None,
            });
            let Some(plan) = plan else { return };
            let events: Vec<Event> = entries.into_iter().map(|entry| entry.event).collect();
            let _ = crate::run::decide(&plan, &events);
            let _ = crate::run::RunFacts::of(&plan, &events);
            for line in plan.to_string().lines() {
                crate::mutated::harmless_line("a line of the plan", line);
            }
        });
    }

    #[test]
    fn a_torn_last_line_is_passed_over_and_a_broken_one_is_not() {
        let line = r#"{"v":2,"at_ms":5,"event":"started","step":0}"#;
        let entry = Entry { v: 2, at_ms: 5, event: Event::Started { step: 0 } };
        assert_eq!(parse(&format!("{line}\n{}", &line[..20])), Ok(vec![entry.clone()]));
        assert_eq!(parse(&format!("{line}\n{line}")), Ok(vec![entry]));
        assert_eq!(parse(""), Ok(vec![]));
        assert!(parse("nonsense\n").is_err());
        let of_version = |v: u32| parse(&format!("{}\n", line.replace("\"v\":2", &format!("\"v\":{v}"))));
        assert_eq!(of_version(1), parse(&format!("{line}\n")));
        assert_eq!(of_version(3), Err("line 1: written by a later swap (version 3)".to_owned()));
    }
}
