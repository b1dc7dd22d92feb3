//! Sends requests to a front door at a settled rate and keeps what each of them saw, for `swap bench`.
//!
//! Unlike the probe of a run it knows nothing of a run: it goes on over many of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::probe::visitor;
use super::visitor::{On, PATIENCE, Visit, Visitor, Visits};
use crate::model::Failure;
use crate::plan::ProbeWay;
use crate::run::trace::percentile;

/// At most so many requests are under way.
const MOST_UNDER_WAY: usize = 1000;

/// What a request saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// When it was sent, since the load began.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// A load that goes on until it is dropped.
#[derive(Debug)]
pub struct Loader {
    began: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    _visits: Visits,
}

/// What the requests of a while saw. Times are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LoadFigures {
    /// How many requests there were.
    pub requests: usize,
    /// How many of them failed.
    pub failed: usize,
    /// Half of the answers took no longer.
    pub p50_ms: f64,
    /// 99 of 100 answers took no longer.
    pub p99_ms: f64,
    /// The longest answer.
    pub max_ms: f64,
    /// Why the first one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<String>,
}

impl Loader {
    /// Begins to ask for the URL, `rate` times a second: most of them on kept connections. Nothing is
    /// asked again, so a kept connection that nginx closes under a request counts as a failure.
    pub fn start(url: &str, way: Option<&ProbeWay>, rate: u32) -> Result<Self, Failure> {
        let visitor = Arc::new(visitor(url, way)?);
        let (began, samples) = (Instant::now(), Arc::<Mutex<Vec<Sample>>>::default());
        let visits = Visits::start(rate, MOST_UNDER_WAY, {
            let samples = samples.clone();
            move |on| send(visitor.clone(), on, began, samples.clone())
        })?;
        Ok(Self { began, samples, _visits: visits })
    }

    /// Returns the time since the load began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until what was sent before a time has been answered or given up, at most as long as a request may take.
    pub async fn settled(&self) {
        let sent = self.now();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let newest = |samples: &Vec<Sample>| samples.iter().map(|sample| sample.at).max().unwrap_or_default();
        while newest(&lock(&self.samples)) < sent && self.now() < sent + PATIENCE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns what the requests saw that were sent in a while.
    pub fn seen(&self, from: Duration, to: Duration) -> LoadFigures {
        summed(lock(&self.samples).iter().filter(|sample| sample.at >= from && sample.at < to))
    }
}

fn lock(samples: &Mutex<Vec<Sample>>) -> std::sync::MutexGuard<'_, Vec<Sample>> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

fn summed<'a>(samples: impl Iterator<Item = &'a Sample>) -> LoadFigures {
    let mut seen = LoadFigures::default();
    let mut times = Vec::new();
    for Sample { took, failure, .. } in samples {
        seen.requests += 1;
        match failure {
            Some(why) => {
                seen.failed += 1;
                seen.first_failure.get_or_insert_with(|| why.clone());
            }
            None => times.push(took.as_secs_f64() * 1000.0),
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    let at = |share| percentile(&times, share);
    (seen.p50_ms, seen.p99_ms, seen.max_ms) = (at(0.5), at(0.99), at(1.0));
    seen
}

async fn send(visitor: Arc<Visitor>, on: On, began: Instant, samples: Arc<Mutex<Vec<Sample>>>) {
    let at = began.elapsed();
    let failure = match visitor.ask(on).await {
        Visit::Answered(status @ 500.., _) => Some(format!("status {status}")),
        Visit::Answered(..) => None,
        Visit::Failed(why, _) | Visit::Closed(why) => Some(why),
    };
    lock(&samples).push(Sample { at, took: began.elapsed() - at, failure });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_while_is_summed_up_and_failures_have_no_latency() {
        let sample = |took: u64, failure: Option<&str>| Sample {
            at: Duration::ZERO,
            took: Duration::from_millis(took),
            failure: failure.map(str::to_owned),
        };
        let samples: Vec<Sample> =
            (1..=100).map(|took| sample(took, None)).chain([sample(9999, Some("status 502"))]).collect();
        assert_eq!(
            summed(samples.iter()),
            LoadFigures {
                requests: 101,
                failed: 1,
                p50_ms: 50.0,
                p99_ms: 99.0,
                max_ms: 100.0,
                first_failure: Some("status 502".into())
            }
        );
        assert_eq!(summed([].iter()), LoadFigures::default());
    }
}
