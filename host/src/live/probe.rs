//! Sends requests through the front door all through a run and counts what users would have seen.
//!
//! Its numbers are the summary's line, what `metrics` answers to hooks, and what the watch is judged by.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, JoinSet};

use crate::hooks::{Measurement, Window};
use crate::model::Failure;

/// How many requests per second are sent.
const RATE: u32 = 50;
/// A request without an answer after this time has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many requests may be under way; when all of them hang, sending more would tell nothing new.
const MOST_UNDER_WAY: usize = 200;
/// So many samples are kept of each window: an hour at this rate.
const MOST_SAMPLES: usize = 180_000;

/// A probe that is at work until it is dropped.
#[derive(Debug)]
pub struct Probe {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

/// One window's requests.
#[derive(Debug)]
struct Samples {
    began: Instant,
    ended: Option<Instant>,
    latencies: Vec<Duration>,
    failures: u64,
    first_failure: Option<String>,
}

#[derive(Debug)]
struct Seen {
    before: Samples,
    since: Option<Samples>,
}

impl Samples {
    fn new() -> Self {
        Self { began: Instant::now(), ended: None, latencies: Vec::new(), failures: 0, first_failure: None }
    }

    fn add(&mut self, took: Duration, failure: Option<String>) {
        if self.latencies.len() < MOST_SAMPLES {
            self.latencies.push(took);
        }
        if let Some(failure) = failure {
            self.failures += 1;
            self.first_failure.get_or_insert(failure);
        }
    }

    fn measure(&self) -> Measurement {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = |share: f64| match sorted.len() {
            0 => Duration::ZERO,
            count => sorted[((count as f64 * share).ceil() as usize).clamp(1, count) - 1],
        };
        Measurement {
            requests: sorted.len() as u64,
            failures: self.failures,
            duration: self.ended.unwrap_or_else(Instant::now).duration_since(self.began),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

impl Probe {
    /// Begins to ask for the URL, [`RATE`] times a second, each time on a new connection: nothing is retried, so every
    /// failure is one that a user would have seen.
    pub fn start(url: &str) -> Result<Self, Failure> {
        let parsed: reqwest::Url =
            url.parse().ok().filter(|url: &reqwest::Url| matches!(url.scheme(), "http" | "https")).ok_or_else(
                || {
                    Failure::new(format!("`{url}` is not a URL that could be probed"))
                        .hint("write it as `http://localhost:8080/`")
                },
            )?;
        let client = super::http_client()
            .no_proxy()
            .timeout(PATIENCE)
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| Failure::new(format!("the probe can't be started: {error}")))?;
        let seen = Arc::new(Mutex::new(Seen { before: Samples::new(), since: None }));
        let task = tokio::spawn(ask_on_and_on(client, parsed, seen.clone()));
        Ok(Self { seen, task })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Notes that new requests now go to the candidates. A second switch does not begin a new window.
    pub fn switched(&self) {
        let mut seen = self.seen();
        if seen.since.is_none() {
            seen.before.ended = Some(Instant::now());
            seen.since = Some(Samples::new());
        }
    }

    /// Returns what was seen in a window; `None` for the time since a switch that has not come.
    pub fn measure(&self, window: Window) -> Option<Measurement> {
        let seen = self.seen();
        match window {
            Window::Before => Some(seen.before.measure()),
            Window::SinceSwitch => seen.since.as_ref().map(Samples::measure),
        }
    }

    /// Returns the summary's line: `front door: 431 requests, 0 failed, p99 4.1 ms (before 3.9)`.
    pub fn line(&self) -> String {
        let seen = self.seen();
        let before = seen.before.measure();
        let since = seen.since.as_ref().map(Samples::measure);
        let requests = before.requests + since.as_ref().map_or(0, |since| since.requests);
        let failed = before.failures + since.as_ref().map_or(0, |since| since.failures);
        let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
        let latency = match &since {
            Some(since) => format!("p99 {} ms (before {})", ms(since.p99), ms(before.p99)),
            None => format!("p99 {} ms", ms(before.p99)),
        };
        let first =
            seen.before.first_failure.as_ref().or(seen.since.as_ref().and_then(|since| since.first_failure.as_ref()));
        let first = first.map(|why| format!("; the first: {why}")).unwrap_or_default();
        format!("front door: {requests} requests, {failed} failed, {latency}{first}")
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask_on_and_on(client: reqwest::Client, url: reqwest::Url, seen: Arc<Mutex<Seen>>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    loop {
        ticks.tick().await;
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= MOST_UNDER_WAY {
            continue;
        }
        let (client, url, seen) = (client.clone(), url.clone(), seen.clone());
        under_way.spawn(async move {
            let began = Instant::now();
            let failure = ask(&client, url).await.err();
            let mut seen = lock(&seen);
            // A request counts where it began: what the old container answers late is not the candidate's doing.
            match &mut seen.since {
                Some(since) if began >= since.began => since.add(began.elapsed(), failure),
                _ => seen.before.add(began.elapsed(), failure),
            }
        });
    }
}

async fn ask(client: &reqwest::Client, url: reqwest::Url) -> Result<(), String> {
    let answered = async {
        let response = client.get(url).send().await?;
        let status = response.status();
        response.bytes().await?;
        Ok::<_, reqwest::Error>(status)
    };
    match answered.await {
        Ok(status) if status.is_server_error() => Err(format!("status {}", status.as_u16())),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
