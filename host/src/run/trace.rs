//! What was said and measured during a run, beside its events. Pure: no IO, no clock, no async.
//!
//! Nothing depends on it: a run whose trace is lost goes on all the same, and its report says less.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Phase, Reaches, ServiceName};

/// So many samples are kept of a probe; those beyond count in the totals, not in the latencies.
const MOST_SAMPLES: usize = 360_000;
/// So many failures of a probe are told one by one.
const MOST_FAILURES: usize = 50;
/// A probe's buckets are as wide as this, or wider by a whole number.
const BUCKET_MS: u32 = 100;
/// A probe has so many buckets at most.
const MOST_BUCKETS: u32 = 600;
/// A request that is under way for so many milliseconds, or for [`UNUSUAL`] times what 99 of 100 took before the switch, hangs.
const HANGS_MS: u32 = 1000;
/// See [`HANGS_MS`].
const UNUSUAL: u32 = 5;
/// So many failures may be chance.
const CHANCE: u64 = 4;
/// So many requests may be at the old containers after the switch: for a moment nginx's former workers still take some.
const FIRST_ONES: u64 = 50;

/// Something that was said or measured, and when: one line of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// The version of this format.
    pub v: u32,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// What it is.
    #[serde(flatten)]
    pub what: Trace,
}

/// What was said or measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trace", rename_all = "kebab-case")]
pub enum Trace {
    /// Why a step waits, or what it does meanwhile.
    Waiting {
        /// The line.
        text: String,
    },
    /// A line of a hook, or of a command that it runs.
    Hook {
        /// The hook's name.
        hook: String,
        /// The phase that it was asked in.
        phase: Phase,
        /// The line.
        text: String,
    },
    /// What the operator should know and that is no failure.
    Remark {
        /// The line.
        text: String,
    },
    /// More was said than is kept.
    Cut,
    /// What the probe of a service has counted from its begin to its end.
    Probe(Probed),
}

impl Trace {
    /// Returns the line that was said, where it is one of swap's own.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Trace::Waiting { text } | Trace::Remark { text } => Some(text),
            Trace::Hook { .. } | Trace::Cut | Trace::Probe(_) => None,
        }
    }
}

/// What requests through the front door have met, from the begin of a run to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The service whose front door was asked.
    pub service: ServiceName,
    /// What was asked for.
    pub url: String,
    /// How many requests per second were to be sent.
    pub rate: u32,
    /// When the first request could be sent, in milliseconds since 1970.
    pub began_ms: i64,
    /// From when on nginx was known to send new requests to the candidates, in milliseconds after the begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched: Option<u32>,
    /// The requests that began before that; all of them without a switch.
    pub before: Numbers,
    /// Those that began after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Numbers>,
    /// When a candidate answered first, in milliseconds after the begin; `None` where answers do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_new: Option<u32>,
    /// When an old container answered last, in milliseconds after the begin; `None` where answers do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_old: Option<u32>,
    /// Whether its requests reached the application; `None`: nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Reached>,
    /// How often nginx closed a kept connection under a request, which was then asked again on a new one.
    #[serde(default)]
    pub reconnected: u64,
    /// The first failures, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<ProbeFailure>,
    /// The width of a bucket in milliseconds.
    pub bucket_ms: u32,
    /// The requests by when they began; buckets without one are left out.
    pub buckets: Vec<Bucket>,
}

/// Whether a probe's requests reached the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Whether they reached the live containers before the switch; `None`: it is not known.
    pub live: Option<bool>,
    /// Whether they reached the candidates after it; `None`: it is not known.
    pub candidates: Option<bool>,
    /// How that is known, or why it is not so.
    pub how: String,
}

impl Reached {
    /// Returns what is known before the switch.
    pub fn before(reaches: Option<&Reaches>) -> Option<Self> {
        let (live, how) = match reaches? {
            Reaches::Live { proof } => (Some(true), proof),
            Reaches::NotLive { why } => (Some(false), why),
            Reaches::Unknown { why } => (None, why),
        };
        Some(Self { live, candidates: None, how: how.clone() })
    }
}

/// A request that got no answer, one of 500 and above, or one of 400 and above that was never given before the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFailure {
    /// When it began, in milliseconds after the probe's begin.
    pub at: u32,
    /// What went wrong.
    pub why: String,
}

/// The numbers of a window. Times are microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// How many requests were answered or failed.
    pub requests: u64,
    /// How many failed.
    pub failures: u64,
    /// Half were answered within this time.
    pub p50: u32,
    /// 90 % were.
    pub p90: u32,
    /// 99 % were.
    pub p99: u32,
    /// All were.
    pub max: u32,
}

/// The requests that began within one short time. In a trace: eight numbers in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 8]", into = "[u32; 8]")]
pub struct Bucket {
    /// Its place: it begins `index` × width after the probe's begin.
    pub index: u32,
    /// How many requests began in it.
    pub requests: u32,
    /// How many of them failed.
    pub failures: u32,
    /// Half were answered within so many microseconds.
    pub p50: u32,
    /// 99 % were.
    pub p99: u32,
    /// All were.
    pub max: u32,
    /// How many an old container answered, where answers tell.
    pub old: u32,
    /// How many a candidate answered, where answers tell.
    pub new: u32,
}

impl From<[u32; 8]> for Bucket {
    fn from([index, requests, failures, p50, p99, max, old, new]: [u32; 8]) -> Self {
        Self { index, requests, failures, p50, p99, max, old, new }
    }
}

impl From<Bucket> for [u32; 8] {
    fn from(b: Bucket) -> Self {
        [b.index, b.requests, b.failures, b.p50, b.p99, b.max, b.old, b.new]
    }
}

/// Who answered a request, where the answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A container that was live when the run began.
    Old,
    /// A candidate.
    New,
    /// The answer does not tell.
    Unknown,
}

/// One request of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it began, in milliseconds after the probe's begin.
    pub at: u32,
    /// How long its answer took, in microseconds.
    pub took: u32,
    /// Whether it failed.
    pub failed: bool,
    /// Who answered.
    pub by: By,
}

/// The requests of a probe so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples {
    samples: Vec<Sample>,
    /// The requests and failures beyond the samples, before the switch and since.
    beyond: [(u64, u64); 2],
    failures: Vec<ProbeFailure>,
    switched: Option<u32>,
    reconnected: u64,
    /// When the requests began that are under way.
    under_way: Vec<u32>,
    /// How often each status was answered, before the switch and since.
    statuses: [BTreeMap<u16, u64>; 2],
    /// After so many milliseconds a request hangs; known from the switch on.
    hangs: Option<u32>,
    /// What time it is.
    now: u32,
    reached: Option<Reached>,
}

/// A part of a probe's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Requests that began before the switch.
    Before,
    /// Requests that began after it.
    Since,
}

impl Samples {
    /// Notes what time it is, in milliseconds after the begin: what is under way is judged by it.
    pub fn it_is(&mut self, now: u32) {
        self.now = now;
    }

    /// Notes that a request has begun. It ends with [`Samples::answered`] or [`Samples::failed`].
    pub fn begun(&mut self, at: u32) {
        self.under_way.push(at);
    }

    /// Takes in an answer to a request that had begun.
    ///
    /// A status of 500 and above is a failure; one of 400 and above too, if it came after the switch and was never seen before.
    pub fn answered(&mut self, at: u32, took: u32, by: By, status: u16) {
        self.ended(at);
        let since = usize::from(self.is_since(at));
        let strange =
            since == 1 && self.statuses[0].values().sum::<u64>() > 0 && !self.statuses[0].contains_key(&status);
        *self.statuses[since].entry(status).or_default() += 1;
        let failure = match status {
            500.. => Some(format!("status {status}")),
            400.. if strange => Some(format!("status {status}, which was never answered before the switch")),
            _ => None,
        };
        self.add(at, took, by, failure);
    }

    /// Takes in a request that had begun and got no whole answer; `why` says what went wrong with it.
    pub fn failed(&mut self, at: u32, took: u32, by: By, why: String) {
        self.ended(at);
        self.add(at, took, by, Some(why));
    }

    fn ended(&mut self, at: u32) {
        if let Some(index) = self.under_way.iter().position(|begun| *begun == at) {
            self.under_way.swap_remove(index);
        }
    }

    /// Takes in a request; `failure` says what went wrong with it.
    pub fn add(&mut self, at: u32, took: u32, by: By, failure: Option<String>) {
        let failed = failure.is_some();
        if let Some(why) = failure.filter(|_| self.failures.len() < MOST_FAILURES) {
            self.failures.push(ProbeFailure { at, why });
        }
        if self.samples.len() < MOST_SAMPLES {
            self.samples.push(Sample { at, took, failed, by });
        } else {
            let beyond = &mut self.beyond[usize::from(self.is_since(at))];
            *beyond = (beyond.0 + 1, beyond.1 + u64::from(failed));
        }
    }

    /// Notes that a kept connection was closed under a request that was then asked again.
    pub fn reconnected(&mut self) {
        self.reconnected += 1;
    }

    /// Notes from when on new requests go to the candidates; a second switch changes nothing.
    pub fn switched(&mut self, at: u32) {
        self.switched.get_or_insert(at);
        if self.hangs.is_none() {
            let usual = self.numbers(Part::Before).unwrap_or_default().p99 / 1000;
            self.hangs = Some(usual.saturating_mul(UNUSUAL).max(HANGS_MS));
        }
    }

    /// Returns when the requests of a part began that are under way for longer than what is normal here. Before the switch
    /// nobody knows what that is.
    fn hanging(&self, part: Part) -> impl Iterator<Item = u32> {
        let since = part == Part::Since;
        let hangs = |at: u32| self.hangs.is_some_and(|limit| self.now.saturating_sub(at) > limit);
        self.under_way.iter().copied().filter(move |at| self.is_since(*at) == since && hangs(*at))
    }

    /// Returns when the switch was, in milliseconds after the begin.
    pub fn switched_at(&self) -> Option<u32> {
        self.switched
    }

    /// Returns the numbers of a part; `None` for the time since a switch that has not come.
    pub fn numbers(&self, part: Part) -> Option<Numbers> {
        let since = part == Part::Since;
        if since && self.switched.is_none() {
            return None;
        }
        let of_part = self.samples.iter().filter(|sample| self.is_since(sample.at) == since);
        let (requests, failures) = self.counts(part);
        Some(Numbers { requests, failures, ..numbers(of_part) })
    }

    /// Returns how many requests of a part there were, and how many of them failed; those that hang have. Unlike
    /// [`Samples::numbers`] it sorts nothing, so it may be asked often while the probe is at work.
    fn counts(&self, part: Part) -> (u64, u64) {
        let since = part == Part::Since;
        let of_part = self.samples.iter().filter(|sample| self.is_since(sample.at) == since);
        let (requests, failures) = self.beyond[usize::from(since)];
        let hanging = self.hanging(part).count() as u64;
        of_part.fold((requests + hanging, failures + hanging), |(requests, failures), sample| {
            (requests + 1, failures + u64::from(sample.failed))
        })
    }

    /// Takes in whether requests reach the live containers.
    pub fn reached(&mut self, reached: Option<Reached>) {
        self.reached = reached;
    }

    /// Tells whether what answers is known to be nginx itself.
    pub fn is_of_nginx(&self) -> bool {
        self.reached.as_ref().is_some_and(|reached| reached.live == Some(false))
    }

    /// Judges by the packets that the candidates have received since the switch whether they get the requests; each is a packet
    /// at least. Returns why they do not, where that is sure: some of the first ones may be at the old containers.
    ///
    /// Others ask the candidates too, so many packets prove nothing unless the requests reached the live containers before.
    pub fn received_since(&mut self, packets: u64) -> Option<String> {
        let named = self.samples.iter().any(|sample| sample.by == By::New && self.is_since(sample.at));
        let answered = self.statuses[1].values().sum::<u64>();
        let reached = self.reached.as_mut().filter(|reached| reached.live == Some(true) && answered > 0)?;
        if named || packets >= answered {
            reached.candidates = Some(true);
            return None;
        }
        if answered < FIRST_ONES || packets >= answered / 2 {
            return None;
        }
        reached.candidates = Some(false);
        let why =
            format!("{answered} requests were answered since the switch, and {packets} packets reached the candidates");
        reached.how = why.clone();
        Some(format!("the front door's answers are not the candidates': {why}"))
    }

    /// Tells whether nothing at all was answered before the switch, though it was asked in time.
    pub fn unanswered(&self) -> bool {
        let asked =
            self.samples.first().map(|sample| sample.at).into_iter().chain(self.under_way.iter().copied()).min();
        self.statuses[0].is_empty() && asked.is_some_and(|at| self.now.saturating_sub(at) > HANGS_MS)
    }

    /// Tells whether every request before the switch failed: then there is no way to the front door from here, which says
    /// nothing about it.
    pub fn never_answered(&self) -> bool {
        let (requests, failures) = self.counts(Part::Before);
        requests > 0 && failures == requests
    }

    /// Returns why the front door is worse since the switch than it was before; `None` while it is not.
    ///
    /// One failure may be anybody's, and a site that always fails a little is not the candidate's doing: at least five
    /// requests, one of a hundred, and twice the share of before must have failed. Where nothing was answered before,
    /// nobody knows. A request that hangs has failed: after a second, or five times the p99 from before the switch.
    pub fn worse(&self) -> Option<String> {
        let (before, since) = (self.counts(Part::Before), self.counts(Part::Since));
        if since.1 > CHANCE && share(since) >= f64::max(0.01, 2.0 * share(before)) {
            return Some(self.told(before, since));
        }
        self.refused_more()
    }

    /// Returns why the front door is not well at the end of a watch; `None` if it is.
    ///
    /// What may have been chance while it went on is none when no request at all was answered well. `alone`: nothing but the
    /// probe judges the candidates, so one that never answers well is not for users, however it was before.
    pub fn worse_at_last(&self, alone: bool) -> Option<String> {
        let (before, since) = (self.counts(Part::Before), self.counts(Part::Since));
        let hopeless = since.0 > 0 && since.0 == since.1 && (alone || share(before) < 0.5);
        if hopeless { Some(self.told(before, since)) } else { self.worse() }
    }

    /// Returns which status between 400 and 499 is answered far more often since the switch, if one is.
    fn refused_more(&self) -> Option<String> {
        let [before, since] = &self.statuses;
        let of = |statuses: &BTreeMap<u16, u64>, status: &u16| {
            (statuses.values().sum::<u64>(), statuses.get(status).copied().unwrap_or(0))
        };
        since.keys().filter(|status| (400..500).contains(*status) && before.contains_key(status)).find_map(|status| {
            let (then, now) = (of(before, status), of(since, status));
            let more = now.1 > CHANCE && share(now) >= f64::max(0.05, 2.0 * share(then));
            let text = |(requests, those): (u64, u64)| format!("{those} of {requests}");
            more.then(|| {
                let (now, then) = (text(now), text(then));
                format!("the front door answered {status} to {now} requests since the switch, to {then} before")
            })
        })
    }

    fn told(&self, before: (u64, u64), since: (u64, u64)) -> String {
        let of = |(requests, failures): (u64, u64)| format!("{failures} of {requests}");
        let failed = self.failures.iter().filter(|failure| self.is_since(failure.at)).min_by_key(|failure| failure.at);
        let first = self.hanging(Part::Since).min().filter(|at| failed.is_none_or(|failed| *at < failed.at));
        let why = match (first, failed) {
            (Some(at), _) => Some(self.no_answer(at)),
            (None, failed) => failed.map(|failure| failure.why.clone()),
        };
        let first = why.map(|why| format!("; the first: {why}")).unwrap_or_default();
        let (since, before) = (of(since), of(before));
        format!("the front door failed {since} requests since the switch, {before} before{first}")
    }

    fn no_answer(&self, at: u32) -> String {
        format!("no answer for {:.1} s", f64::from(self.now.saturating_sub(at)) / 1000.0)
    }

    /// Returns all that is kept of the probe when it ends.
    pub fn probed(&self, service: ServiceName, url: String, rate: u32, began_ms: i64) -> Probed {
        let of = |by: By| self.samples.iter().filter(move |sample| sample.by == by && !sample.failed);
        let (bucket_ms, buckets) = buckets(&self.samples);
        let mut failures = self.failures.clone();
        let hanging = self.hanging(Part::Before).chain(self.hanging(Part::Since));
        failures.extend(hanging.map(|at| ProbeFailure { at, why: self.no_answer(at) }));
        failures.sort_by_key(|failure| failure.at);
        failures.truncate(MOST_FAILURES);
        Probed {
            service,
            url,
            rate,
            began_ms,
            switched: self.switched,
            before: self.numbers(Part::Before).unwrap_or_default(),
            since: self.numbers(Part::Since),
            first_new: of(By::New).map(|sample| sample.at).min(),
            last_old: of(By::Old).map(|sample| sample.at).max(),
            reached: self.reached.clone(),
            reconnected: self.reconnected,
            failures,
            bucket_ms,
            buckets,
        }
    }

    /// A request counts where it began: what the old container answers late is not the candidate's doing.
    fn is_since(&self, at: u32) -> bool {
        self.switched.is_some_and(|switched| at >= switched)
    }
}

fn share((requests, failures): (u64, u64)) -> f64 {
    failures as f64 / requests.max(1) as f64
}

fn numbers<'a>(samples: impl Iterator<Item = &'a Sample>) -> Numbers {
    let (mut times, mut failures) = (Vec::new(), 0);
    for sample in samples {
        times.push(sample.took);
        failures += u64::from(sample.failed);
    }
    times.sort_unstable();
    let at = |share| percentile(&times, share);
    Numbers { requests: times.len() as u64, failures, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
}

/// Returns the value that a share of the sorted values, 0 to 1, does not exceed; the default if there is none.
pub fn percentile<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    match sorted.len() {
        0 => T::default(),
        count => sorted[((count as f64 * share).ceil() as usize).clamp(1, count) - 1],
    }
}

/// Returns the width of the buckets in milliseconds, and those that are not empty.
fn buckets(samples: &[Sample]) -> (u32, Vec<Bucket>) {
    let mut samples = samples.to_vec();
    samples.sort_by_key(|sample| sample.at);
    let last = samples.last().map_or(0, |sample| sample.at);
    let width = BUCKET_MS * (last / (BUCKET_MS * MOST_BUCKETS) + 1);
    let of = |samples: &[Sample]| {
        let numbers = numbers(samples.iter());
        let by = |by: By| samples.iter().filter(|sample| sample.by == by).count() as u32;
        Bucket {
            index: samples[0].at / width,
            requests: numbers.requests as u32,
            failures: numbers.failures as u32,
            p50: numbers.p50,
            p99: numbers.p99,
            max: numbers.max,
            old: by(By::Old),
            new: by(By::New),
        }
    };
    (width, samples.chunk_by(|a, b| a.at / width == b.at / width).map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(samples: &Samples) -> Probed {
        samples.probed("app".parse().unwrap(), "http://door/".to_owned(), 50, 1000)
    }

    #[test]
    fn requests_are_counted_where_they_began_and_kept_in_buckets() {
        let mut samples = Samples::default();
        for (at, took, by) in [(0, 3000, By::Old), (20, 1000, By::Old), (40, 2000, By::Unknown)] {
            samples.add(at, took, by, None);
        }
        assert_eq!(samples.numbers(Part::Since), None);
        samples.switched(350);
        samples.switched(900);
        // Answered after the switch, begun before it.
        samples.add(349, 90_000, By::Old, Some("status 502".to_owned()));
        samples.add(351, 5000, By::New, None);
        samples.reconnected();
        let text = serde_json::to_string(&probed(&samples)).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"service":"app","url":"http://door/","rate":50,"began_ms":1000,"switched":350,"#,
                r#""before":{"requests":4,"failures":1,"p50":2000,"p90":90000,"p99":90000,"max":90000},"#,
                r#""since":{"requests":1,"failures":0,"p50":5000,"p90":5000,"p99":5000,"max":5000},"#,
                r#""first_new":351,"last_old":20,"reconnected":1,"failures":[{"at":349,"why":"status 502"}],"#,
                r#""bucket_ms":100,"buckets":[[0,3,0,2000,3000,3000,2,0],[3,2,1,5000,90000,90000,1,1]]}"#
            )
        );
        assert_eq!(serde_json::from_str::<Probed>(&text).unwrap(), probed(&samples));
    }

    #[test]
    fn a_long_run_has_wider_buckets_and_not_more() {
        let mut samples = Samples::default();
        (0..3600).for_each(|second| samples.add(second * 1000, 1000 + second, By::Unknown, None));
        let probed = probed(&samples);
        assert_eq!((probed.bucket_ms, probed.buckets.len()), (6000, 600));
        let last = Bucket { index: 599, requests: 6, failures: 0, p50: 4596, p99: 4599, max: 4599, old: 0, new: 0 };
        assert_eq!(probed.buckets.last(), Some(&last));
    }

    #[test]
    fn what_is_beyond_the_samples_is_counted() {
        let mut samples = Samples::default();
        (0..MOST_SAMPLES).for_each(|_| samples.add(0, 1, By::Unknown, None));
        samples.switched(5);
        samples.add(4, 9, By::Unknown, None);
        samples.add(6, 9, By::Unknown, Some("timeout".to_owned()));
        let count = |part| samples.numbers(part).map(|numbers| (numbers.requests, numbers.failures));
        assert_eq!(count(Part::Before), Some((MOST_SAMPLES as u64 + 1, 0)));
        assert_eq!(count(Part::Since), Some((1, 1)));
    }

    #[test]
    fn a_front_door_is_worse_when_it_fails_clearly_more_than_before() {
        let worse = |before: (u32, u32), since: (u32, u32)| {
            let mut samples = Samples::default();
            let mut add = |at: u32, (failed, of): (u32, u32)| {
                (0..of).for_each(|n| samples.add(at + n, 1, By::Unknown, (n < failed).then(|| format!("status {at}"))));
            };
            add(0, before);
            add(1000, since);
            samples.switched(1000);
            samples.worse()
        };
        let told = |text: &str| Some(format!("the front door failed {text}"));
        assert_eq!(worse((0, 100), (0, 100)), None);
        assert_eq!(worse((0, 100), (4, 4)), None, "four may be chance");
        assert_eq!(
            worse((0, 100), (5, 5)),
            told("5 of 5 requests since the switch, 0 of 100 before; the first: status 1000")
        );
        assert_eq!(worse((0, 100), (5, 501)), None, "less than one of a hundred");
        assert_eq!(worse((5, 100), (9, 100)), None, "it failed before, too");
        assert_eq!(
            worse((5, 100), (10, 100)),
            told("10 of 100 requests since the switch, 5 of 100 before; the first: status 1000")
        );
        assert_eq!(worse((100, 100), (100, 100)), None, "there is no way to it from here");
        assert_eq!(
            worse((0, 0), (9, 9)),
            told("9 of 9 requests since the switch, 0 of 0 before; the first: status 1000")
        );
    }

    /// Answers a request each 20 ms for two seconds, in 5 ms, then switches; `since` is what comes after.
    fn switched(since: impl Fn(&mut Samples)) -> Samples {
        let mut samples = Samples::default();
        for at in (0..2000).step_by(20) {
            samples.begun(at);
            samples.answered(at, 5000, By::Unknown, 200);
        }
        samples.switched(2000);
        since(&mut samples);
        samples
    }

    #[test]
    fn what_hangs_has_failed_after_a_second_and_not_after_ten() {
        let mut samples = switched(|samples| (2000..3000).step_by(20).for_each(|at| samples.begun(at)));
        samples.it_is(3000);
        assert_eq!((samples.worse(), samples.worse_at_last(true)), (None, None), "nothing is late yet");
        samples.it_is(3100);
        let why =
            "the front door failed 5 of 5 requests since the switch, 0 of 100 before; the first: no answer for 1.1 s";
        assert_eq!(samples.worse().as_deref(), Some(why));
        let probed = probed(&samples);
        assert_eq!(probed.since.map(|since| (since.requests, since.failures)), Some((5, 5)));
        assert_eq!(probed.failures.first(), Some(&ProbeFailure { at: 2000, why: "no answer for 1.1 s".to_owned() }));
        // An answer that comes after all is one.
        (2000..3000).step_by(20).for_each(|at| samples.answered(at, 1_200_000, By::Unknown, 200));
        assert_eq!((samples.worse(), samples.worse_at_last(true)), (None, None));
    }

    #[test]
    fn a_slow_page_is_given_five_times_what_it_took_before() {
        let mut samples = Samples::default();
        samples.begun(0);
        samples.it_is(2900);
        assert_eq!(samples.numbers(Part::Before).map(|numbers| numbers.failures), Some(0));
        samples.answered(0, 3_000_000, By::Unknown, 200);
        samples.switched(4000);
        (4000..4100).step_by(20).for_each(|at| samples.begun(at));
        samples.it_is(19_000);
        assert_eq!(samples.worse(), None);
        samples.it_is(19_100);
        let why =
            "the front door failed 5 of 5 requests since the switch, 0 of 1 before; the first: no answer for 15.1 s";
        assert_eq!(samples.worse().as_deref(), Some(why));
    }

    #[test]
    fn few_requests_that_all_fail_are_no_chance_at_the_end() {
        let samples = switched(|samples| {
            samples.begun(2000);
            samples.answered(2000, 1, By::Unknown, 503);
        });
        assert_eq!(samples.worse(), None);
        let why = "the front door failed 1 of 1 requests since the switch, 0 of 100 before; the first: status 503";
        assert_eq!(samples.worse_at_last(false).as_deref(), Some(why));
        // Of a site that failed before, only a watch that has no other judge says so.
        let mut samples = Samples::default();
        [0, 20].iter().for_each(|at| samples.answered(*at, 1, By::Unknown, 500));
        samples.switched(40);
        samples.answered(60, 1, By::Unknown, 500);
        assert_eq!(samples.worse_at_last(false), None);
        let why = "the front door failed 1 of 1 requests since the switch, 2 of 2 before; the first: status 500";
        assert_eq!(samples.worse_at_last(true).as_deref(), Some(why));
    }

    #[test]
    fn a_status_that_was_never_answered_before_is_a_failure_and_one_that_was_is_not() {
        let since = |status: u16, count: u32| {
            switched(|samples| (2000..2000 + count).for_each(|at| samples.answered(at, 1, By::Unknown, status))).worse()
        };
        let why = "the front door failed 9 of 9 requests since the switch, 0 of 100 before; the first: status 404, which was \
                   never answered before the switch";
        assert_eq!(since(404, 9).as_deref(), Some(why));
        assert_eq!(since(302, 9), None, "a redirect is no failure");
        let mut samples = Samples::default();
        (0..100).for_each(|at| samples.answered(at, 1, By::Unknown, if at % 10 == 0 { 404 } else { 200 }));
        samples.switched(100);
        (100..200).for_each(|at| samples.answered(at, 1, By::Unknown, if at % 6 == 0 { 404 } else { 200 }));
        assert_eq!(samples.worse(), None);
        (200..300).for_each(|at| samples.answered(at, 1, By::Unknown, 404));
        let why = "the front door answered 404 to 117 of 200 requests since the switch, to 10 of 100 before";
        assert_eq!(samples.worse().as_deref(), Some(why));
    }

    #[test]
    fn answers_that_the_candidates_did_not_give_are_noticed_by_what_they_received() {
        let judged = |packets: u64, by: By, reaches: Reaches| {
            let mut samples = switched(|samples| (2000..2100).for_each(|at| samples.answered(at, 1, by, 200)));
            samples.reached(Reached::before(Some(&reaches)));
            let why = samples.received_since(packets);
            (why, probed(&samples).reached.and_then(|reached| reached.candidates))
        };
        let live = || Reaches::Live { proof: "it was seen".to_owned() };
        let why = "the front door's answers are not the candidates': 100 requests were answered since the switch, and 7 packets \
                   reached the candidates";
        assert_eq!(judged(7, By::Unknown, live()), (Some(why.to_owned()), Some(false)));
        assert_eq!(judged(400, By::Unknown, live()), (None, Some(true)));
        assert_eq!(judged(80, By::Unknown, live()), (None, None), "some may have been at the old one");
        let mut few = switched(|samples| (2000..2049).for_each(|at| samples.answered(at, 1, By::Unknown, 200)));
        few.reached(Reached::before(Some(&live())));
        assert_eq!(few.received_since(0), None, "all of them may");
        assert_eq!(judged(7, By::New, live()), (None, Some(true)), "their answers name them");
        assert_eq!(
            judged(400, By::Unknown, Reaches::Unknown { why: String::new() }),
            (None, None),
            "others ask them too"
        );
    }

    #[test]
    fn a_probe_that_was_never_answered_before_the_switch_is_noticed() {
        let mut samples = Samples::default();
        samples.it_is(5000);
        assert!(!samples.unanswered(), "nothing was asked");
        samples.begun(4900);
        assert!(!samples.unanswered(), "it may still be");
        samples.failed(3000, 1, By::Unknown, "connection refused".to_owned());
        assert!(samples.unanswered());
        samples.answered(4900, 1, By::Unknown, 500);
        assert!(!samples.unanswered());
    }
}
