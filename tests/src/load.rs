//! Puts a front door under a mixed load, from a thread of its own, until it is told to stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clients::Kind;
use crate::http::{Answer, Cause, Connection, Request};
use crate::report::{Failed, Posts, Report, Seen, Tally};

/// More clients than this are refused: the rig shares its machine with what it measures.
pub const MOST_CLIENTS: usize = 1000;
/// No load lasts longer.
pub const LONGEST: Duration = Duration::from_secs(3600);
/// No load makes more requests: their times are all kept.
pub const MOST_REQUESTS: usize = 20_000_000;

/// How many clients of each kind.
pub type Mix = BTreeMap<Kind, usize>;

/// Returns the mix of the acceptance runs: some of every kind.
pub fn mixed() -> Mix {
    Mix::from([
        (Kind::Get, 16),
        (Kind::Post, 8),
        (Kind::NewGet, 4),
        (Kind::NewPost, 4),
        (Kind::Slow, 2),
        (Kind::Download, 1),
        (Kind::Silent, 8),
    ])
}

/// What the clients ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Answered at once.
    pub get: String,
    /// Takes a `POST` whose body is an id, records it and answers it.
    pub post: String,
    /// Answers every id that was recorded; `None` where the application keeps none.
    pub ids: Option<String>,
    /// Takes about two seconds.
    pub slow: String,
    /// Answers the same many bytes each time.
    pub download: String,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            get: "/".into(),
            post: "/echo".into(),
            ids: Some("/ids".into()),
            slow: "/slow?ms=2000".into(),
            download: "/download?mb=20".into(),
        }
    }
}

/// A load that is not yet running.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where to: on this machine only.
    pub target: SocketAddr,
    /// How many clients of each kind.
    pub mix: Mix,
    /// What they ask for.
    pub paths: Paths,
    /// The longest think time of one client; the times are spread evenly from none to this, ten times that for downloads.
    pub think: Duration,
    /// The longest time that a silent connection stays silent, spread evenly from none to this.
    pub silence: Duration,
    /// How long one request may take.
    pub limit: Duration,
    /// How long the load lasts if nobody stops it.
    pub duration: Duration,
}

impl Load {
    /// Makes the mixed load on an address of this machine; others are refused, so that nobody is flooded by mistake.
    pub fn new(target: SocketAddr) -> Result<Self> {
        ensure!(
            target.ip().is_loopback(),
            "`{target}` is not on this machine: the load goes to loopback addresses only"
        );
        Ok(Self {
            target,
            mix: mixed(),
            paths: Paths::default(),
            think: Duration::from_millis(40),
            silence: Duration::from_secs(2),
            limit: Duration::from_secs(60),
            duration: LONGEST,
        })
    }

    /// Replaces the mix.
    pub fn mix(mut self, mix: impl Into<Mix>) -> Self {
        self.mix = mix.into();
        self
    }

    /// Starts all clients.
    pub fn start(self) -> Result<Running> {
        let clients: usize = self.mix.values().sum();
        ensure!(clients <= MOST_CLIENTS, "{clients} clients are too many: at most {MOST_CLIENTS}");
        ensure!(self.duration <= LONGEST, "`{:?}` is too long: at most {LONGEST:?}", self.duration);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared::new(self, stopped));
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("load".into()).spawn(move || runtime.block_on(drive(shared)))?;
        Ok(Running { shared: seen, stop, thread })
    }
}

/// A load that is running. Dropping it stops it without a report.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<Report>>,
}

impl Running {
    /// Tells all clients to stop after the request that is under way and returns what they saw.
    ///
    /// The report compares the posted ids with the recorded ones, if [`Paths::ids`] is set.
    pub fn stop(self) -> Result<Report> {
        self.stop.send_replace(true);
        self.thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
    }

    /// Tells whether the load has ended by itself.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Returns the time since the start, on the clock of the report.
    pub fn now(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Returns how many requests were answered and how many failed so far.
    pub fn counts(&self) -> (usize, usize) {
        let tally = self.shared.tally();
        (tally.answered(), tally.failed())
    }

    /// Returns the failures so far, at most as many as a report lists.
    pub fn failures(&self) -> Vec<Failed> {
        self.shared.tally().failures.clone()
    }

    /// Begins a new account of the versions that answer; what was seen before is still in the report.
    pub fn mark(&self) {
        self.shared.tally().marked.clear();
    }

    /// Returns when a version answered since the last [`Running::mark`].
    pub fn seen_since_mark(&self, version: &str) -> Option<Seen> {
        self.shared.tally().marked.get(version).cloned()
    }
}

async fn drive(shared: Arc<Shared>) -> Result<Report> {
    let mut clients = JoinSet::new();
    for (kind, count) in &shared.load.mix {
        for _ in 0..*count {
            let (kind, shared) = (*kind, Arc::clone(&shared));
            clients.spawn(async move { kind.run(&shared).await });
        }
    }
    while let Some(client) = clients.join_next().await {
        client.context("a client panicked")?;
    }
    let seconds = shared.started.elapsed();
    let posts = match &shared.load.paths.ids {
        Some(path) if shared.tally().posted.iter().any(|posted| *posted) => Some(shared.compare(path).await?),
        _ => None,
    };
    Ok(shared.tally().report(seconds, posts))
}

/// What all clients of one load share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) load: Load,
    pub(crate) stop: watch::Receiver<bool>,
    started: Instant,
    prefix: String,
    tally: Mutex<Tally>,
}

impl Shared {
    fn new(load: Load, stop: watch::Receiver<bool>) -> Self {
        let prefix = format!("{:x}-{:08x}-", std::process::id(), fastrand::u32(..));
        Self { load, stop, started: Instant::now(), prefix, tally: Mutex::default() }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn stopped(&self) -> bool {
        *self.stop.borrow()
            // A handle that was dropped can stop nothing any more.
            || self.stop.has_changed().is_err()
            || self.started.elapsed() >= self.load.duration
            || self.tally().total() >= MOST_REQUESTS
    }

    pub(crate) fn next_id(&self) -> (usize, String) {
        let mut tally = self.tally();
        let number = tally.posted.len();
        tally.posted.push(false);
        (number, format!("{}{number}", self.prefix))
    }

    pub(crate) fn posted(&self, number: usize) {
        self.tally().posted[number] = true;
    }

    pub(crate) fn reopened(&self) {
        self.tally().reopened += 1;
    }

    pub(crate) fn answered(&self, kind: Kind, started: Instant, version: Option<&str>) {
        let (at, took) = (self.started.elapsed(), started.elapsed());
        self.tally().add_answer(kind, at, took, version);
    }

    pub(crate) fn failed(&self, kind: Kind, started: Instant, cause: Cause) {
        let (at, took) = (self.started.elapsed(), started.elapsed());
        self.tally().add_failure(Failed { at, took, kind, cause });
    }

    /// Compares a download with the sum that the server announces, or else with the first one that was seen.
    pub(crate) fn same_as_ever(&self, answer: &Answer) -> bool {
        match answer.header("x-crc32") {
            Some(sum) => u32::from_str_radix(sum, 16) == Ok(answer.crc),
            None => *self.tally().download.get_or_insert((answer.length, answer.crc)) == (answer.length, answer.crc),
        }
    }

    async fn compare(&self, path: &str) -> Result<Posts> {
        let mut request = Request::get(path).closing();
        request.keep = usize::MAX;
        let asked =
            async { Connection::open(self.load.target, self.load.limit).await?.ask(&request, self.load.limit).await };
        let answer = asked.await.map_err(|cause| anyhow::anyhow!("reading `{path}`: {cause}"))?;
        ensure!(answer.status == 200, "reading `{path}`: status {}", answer.status);
        Ok(Posts::compare(&self.tally().posted, &self.prefix, &answer.text))
    }
}
