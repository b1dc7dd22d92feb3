//! What the clients saw: counts, times, versions and every failure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::clients::Kind;
use crate::http::Cause;

/// A report lists at most this many failures one by one; all are counted.
const LISTED_FAILURES: usize = 1000;

/// One request that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// When it failed, since the start of the load.
    #[serde(rename = "at_ms", serialize_with = "as_millis")]
    pub at: Duration,
    /// How long it had taken until then.
    #[serde(rename = "took_ms", serialize_with = "as_millis")]
    pub took: Duration,
    /// What kind of client saw it.
    pub kind: Kind,
    /// Why.
    pub cause: Cause,
}

/// When and how often a version answered. Times since the start of the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its first answer.
    #[serde(rename = "first_ms", serialize_with = "as_millis")]
    pub first: Duration,
    /// Its last answer.
    #[serde(rename = "last_ms", serialize_with = "as_millis")]
    pub last: Duration,
    /// How many.
    pub answers: usize,
}

/// One row of the table: a kind of client, or all of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The name of the kind.
    pub name: String,
    /// Requests that were answered as they should be.
    pub answered: usize,
    /// Requests that failed.
    pub failed: usize,
    /// Half of the answers took at most this, in milliseconds; the next ones likewise for 95 and 99 of 100, and all.
    pub p50_ms: f64,
    /// See `p50_ms`.
    pub p95_ms: f64,
    /// See `p50_ms`.
    pub p99_ms: f64,
    /// See `p50_ms`.
    pub max_ms: f64,
}

/// The posted ids against the recorded ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Posts {
    /// Ids that were sent.
    pub sent: usize,
    /// Ids that were answered with 200.
    pub answered: usize,
    /// Answered and not recorded: the worst that can happen.
    pub lost: usize,
    /// Recorded twice or more.
    pub doubled: usize,
    /// Recorded although the client saw a failure. Each is also counted as a failure.
    pub unanswered: usize,
}

impl Posts {
    /// Compares the ids `prefix0`, `prefix1` … with the words of a page that lists what was recorded.
    ///
    /// `answered[n]` tells whether id n was answered with 200.
    pub fn compare(answered: &[bool], prefix: &str, page: &str) -> Self {
        let mut recorded = vec![0_usize; answered.len()];
        for word in page.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            let number = word.strip_prefix(prefix).and_then(|number| number.parse::<usize>().ok());
            if let Some(count) = number.and_then(|number| recorded.get_mut(number)) {
                *count += 1;
            }
        }
        let count = |matches: fn(bool, usize) -> bool| {
            answered.iter().zip(&recorded).filter(|(answered, recorded)| matches(**answered, **recorded)).count()
        };
        Self {
            sent: answered.len(),
            answered: count(|answered, _| answered),
            lost: count(|answered, recorded| answered && recorded == 0),
            doubled: count(|_, recorded| recorded > 1),
            unanswered: count(|answered, recorded| !answered && recorded > 0),
        }
    }
}

/// What a whole load saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How long it ran, until the last client had stopped.
    pub seconds: f64,
    /// All clients together.
    pub total: Row,
    /// Each kind of client that took part.
    pub kinds: Vec<Row>,
    /// Which `X-Version` answered.
    pub versions: BTreeMap<String, Seen>,
    /// The longest time in which no client at all got an answer, in milliseconds.
    pub longest_gap_ms: f64,
    /// Connections that the server closed while nothing was under way; no failures.
    pub reopened: usize,
    /// How often each kind of client failed for each cause.
    pub causes: Vec<Causes>,
    /// The first failures, one by one.
    pub failures: Vec<Failed>,
    /// The posted ids against the recorded ones, where the application records them.
    pub posts: Option<Posts>,
}

/// The failures of one kind of client for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Causes {
    /// The kind of client.
    pub kind: Kind,
    /// The cause.
    pub cause: Cause,
    /// How many, and when.
    #[serde(flatten)]
    pub seen: Seen,
}

impl Report {
    /// Tells whether nothing failed, nothing was lost and nothing doubled.
    pub fn is_clean(&self) -> bool {
        self.total.failed == 0 && self.posts.as_ref().is_none_or(|posts| posts.lost == 0 && posts.doubled == 0)
    }

    /// Returns how many requests of a kind failed.
    pub fn failed(&self, kind: Kind) -> usize {
        self.causes.iter().filter(|causes| causes.kind == kind).map(|causes| causes.seen.answers).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<17} {:>9} {:>7} {:>9} {:>9} {:>9} {:>9}",
            "", "answered", "failed", "p50", "p95", "p99", "max"
        )?;
        for row in self.kinds.iter().chain([&self.total]) {
            let Row { name, answered, failed, .. } = row;
            write!(f, "{name:<17} {answered:>9} {failed:>7}")?;
            for time in [row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms] {
                write!(f, " {:>6.1} ms", time)?;
            }
            writeln!(f)?;
        }
        for (version, seen) in &self.versions {
            writeln!(f, "{version} answered {} from {} to {}", seen.answers, Seconds(seen.first), Seconds(seen.last))?;
        }
        if let Some(Posts { answered, lost, doubled, .. }) = &self.posts {
            writeln!(f, "{answered} posts answered: {lost} lost, {doubled} doubled")?;
        }
        for Causes { kind, cause, seen } in &self.causes {
            let Seen { first, last, answers } = seen;
            writeln!(f, "{}: {answers} × {cause} from {} to {}", kind.name(), Seconds(*first), Seconds(*last))?;
        }
        let (requests, failed) = (self.total.answered + self.total.failed, self.total.failed);
        let gap = self.longest_gap_ms;
        write!(f, "{failed} of {requests} requests failed in {:.1} s, longest gap {gap:.0} ms", self.seconds)
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0.as_secs_f64())
    }
}

/// The account that a running load keeps.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    times: BTreeMap<Kind, Vec<u32>>,
    causes: BTreeMap<(Kind, Cause), Seen>,
    versions: BTreeMap<String, Seen>,
    last_answer: Duration,
    longest_gap: Duration,
    pub(crate) marked: BTreeMap<String, Seen>,
    pub(crate) failures: Vec<Failed>,
    pub(crate) reopened: usize,
    /// Whether the id of each number was answered.
    pub(crate) posted: Vec<bool>,
    /// Length and sum of the first download.
    pub(crate) download: Option<(u64, u32)>,
}

impl Tally {
    pub(crate) fn add_answer(&mut self, kind: Kind, at: Duration, took: Duration, version: Option<&str>) {
        self.times.entry(kind).or_default().push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        self.longest_gap = self.longest_gap.max(at.saturating_sub(self.last_answer));
        self.last_answer = at;
        if let Some(version) = version {
            for versions in [&mut self.versions, &mut self.marked] {
                see(versions, version.to_owned(), at);
            }
        }
    }

    pub(crate) fn add_failure(&mut self, failed: Failed) {
        see(&mut self.causes, (failed.kind, failed.cause.clone()), failed.at);
        if self.failures.len() < LISTED_FAILURES {
            self.failures.push(failed);
        }
    }

    pub(crate) fn answered(&self) -> usize {
        self.times.values().map(Vec::len).sum()
    }

    pub(crate) fn failed(&self) -> usize {
        self.causes.values().map(|seen| seen.answers).sum()
    }

    pub(crate) fn total(&self) -> usize {
        self.answered() + self.failed()
    }

    pub(crate) fn report(&self, ran: Duration, posts: Option<Posts>) -> Report {
        let failed = |wanted: Kind| {
            self.causes.iter().filter(|((kind, _), _)| *kind == wanted).map(|(_, seen)| seen.answers).sum::<usize>()
        };
        let mut all = Vec::new();
        let mut kinds = Vec::new();
        for kind in Kind::ALL {
            let times = self.times.get(&kind).cloned().unwrap_or_default();
            if !times.is_empty() || failed(kind) > 0 {
                all.extend_from_slice(&times);
                kinds.push(row(kind.name(), times, failed(kind)));
            }
        }
        let gap = self.longest_gap.max(ran.saturating_sub(self.last_answer));
        Report {
            seconds: ran.as_secs_f64(),
            total: row("total", all, self.failed()),
            kinds,
            versions: self.versions.clone(),
            longest_gap_ms: gap.as_secs_f64() * 1000.0,
            reopened: self.reopened,
            causes: self
                .causes
                .iter()
                .map(|((kind, cause), seen)| Causes { kind: *kind, cause: cause.clone(), seen: seen.clone() })
                .collect(),
            failures: self.failures.clone(),
            posts,
        }
    }
}

fn see<K: Ord>(seen: &mut BTreeMap<K, Seen>, key: K, at: Duration) {
    let seen = seen.entry(key).or_insert(Seen { first: at, last: at, answers: 0 });
    seen.last = at;
    seen.answers += 1;
}

fn row(name: &str, mut times: Vec<u32>, failed: usize) -> Row {
    times.sort_unstable();
    let percentile = |hundredths: usize| match times.len() {
        0 => 0.0,
        count => f64::from(times[((count * hundredths).div_ceil(100)).clamp(1, count) - 1]) / 1000.0,
    };
    Row {
        name: name.to_owned(),
        answered: times.len(),
        failed,
        p50_ms: percentile(50),
        p95_ms: percentile(95),
        p99_ms: percentile(99),
        max_ms: percentile(100),
    }
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1_000_000.0).round() / 1000.0)
}
