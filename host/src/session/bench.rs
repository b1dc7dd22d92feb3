//! Swaps of an image to itself, again and again under a load, and what the load saw.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::context::{Session, Targets, now_ms};
use super::outcome::{NotDone, RunResult};
use super::planning::{self, plan};
use crate::claim::Claim;
use crate::executor::End;
use crate::measure::{LoadFigures, Loader};
use crate::model::{Failure, ServiceName};
use crate::run::Outcome;

/// How long is measured without any swap before the first one.
const QUIET: Duration = Duration::from_secs(5);
/// What a swap may still do to clients after its end counts for it.
const AFTER: Duration = Duration::from_millis(500);

/// What is to be measured.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many swaps.
    pub swaps: u32,
    /// How many requests per second.
    pub rate: u32,
    /// Whether the plain script is measured too, which drops requests.
    pub baseline: bool,
}

/// What a bench came to.
#[derive(Debug)]
pub enum Bench {
    /// All was measured.
    Measured(Box<Measurements>),
    /// A run did not swap; what was measured before it is lost.
    Ended(RunResult),
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurements {
    /// The version of this form.
    pub v: u32,
    /// What was swapped.
    pub service: String,
    /// What was asked for.
    pub url: String,
    /// Requests per second.
    pub rate: u32,
    /// Without any swap.
    pub quiet: LoadFigures,
    /// The swaps.
    #[serde(flatten)]
    pub swap: Measured,
    /// The same with the plain script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Measured>,
}

/// What one way of replacing containers cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Measured {
    /// Each time from its beginning to half a second after its end.
    pub each: Vec<LoadFigures>,
    /// All of them together.
    pub during: LoadFigures,
    /// How long each took, in milliseconds.
    pub took_ms: Vec<u64>,
}

/// Why a bench ended before its end.
enum Stop {
    Run(Box<RunResult>),
    NotDone(NotDone),
}

impl From<NotDone> for Stop {
    fn from(not_done: NotDone) -> Self {
        Stop::NotDone(not_done)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::NotDone(failure.into())
    }
}

impl Session<'_> {
    /// Swaps the service's present image to itself again and again under a load and returns what the load saw. `say` is told
    /// how far it is.
    pub async fn bench(&self, service: &ServiceName, load: Load, say: impl Fn(&str)) -> Result<Bench, NotDone> {
        self.must_know(service)?;
        let held = self.course().hold(std::slice::from_ref(service)).await?;
        let measured = self.measure(service, load, &held, say).await;
        held.release().await;
        match measured {
            Ok(measurements) => Ok(Bench::Measured(Box::new(measurements))),
            Err(Stop::Run(ran)) => Ok(Bench::Ended(*ran)),
            Err(Stop::NotDone(not_done)) => Err(not_done),
        }
    }

    /// Measures a service that is held.
    async fn measure(
        &self,
        service: &ServiceName,
        load: Load,
        held: &Claim,
        say: impl Fn(&str),
    ) -> Result<Measurements, Stop> {
        let Load { swaps, rate, baseline } = load;
        let fronts = planning::fronts(self.site, self.options, service).await?;
        let front = &fronts[0];
        if baseline && fronts.len() > 1 {
            let failure = Failure::new(format!(
                "{} nginxes send requests to `{service}`, and the script knows one",
                fronts.len()
            ));
            return Err(failure
                .hint(format!("measure the swap alone: `swap bench {service}` without the baseline"))
                .into());
        }
        let url = front.probe.clone().unwrap_or_default();
        say(&format!("bench of {service}: {swaps} swaps to itself, {rate} requests/s at {url}"));
        let loader = Loader::start(&url, front.probe_way.as_ref(), rate)?;
        let quiet = undisturbed(&loader, &url).await?;
        let mut swap = Clocked::new(&loader);
        for number in 1..=swaps {
            let began = loader.now();
            self.swap_to_itself(service, held).await?;
            say(&format!("  swap {number} of {swaps}: {:.2} s", swap.add(began).await));
        }
        let mut script = Clocked::new(&loader);
        if baseline {
            self.site.name_by_dns(service, front).await?;
            for number in 1..=swaps {
                let began = loader.now();
                self.site.swap_by_script(service, front).await?;
                say(&format!("  script {number} of {swaps}: {:.2} s", script.add(began).await));
            }
        }
        let (swap, script) = (swap.measured().await, script.measured().await);
        if baseline {
            // The last one is swap's, which names the containers by address again.
            self.swap_to_itself(service, held).await?;
        }
        let script = baseline.then_some(script);
        Ok(Measurements { v: 1, service: service.to_string(), url, rate, quiet, swap, script })
    }

    /// Swaps a service that is held.
    async fn swap_to_itself(&self, service: &ServiceName, held: &Claim) -> Result<(), Stop> {
        let began_ms = now_ms();
        let targets = Targets { services: vec![service.clone()], health: None };
        let course = self.course();
        let (plan, hooks) = course.unless_interrupted(plan(self.site, self.options, &targets)).await?;
        let ran = course.begin((Arc::new(plan), hooks), held, began_ms).await?;
        if ran.end == End::Over(Outcome::Swapped) { Ok(()) } else { Err(Stop::Run(Box::new(ran))) }
    }
}

/// Measures without any swap. Fails where a request does: then nothing could be said about swaps.
async fn undisturbed(loader: &Loader, url: &str) -> Result<LoadFigures, Failure> {
    tokio::time::sleep(QUIET).await;
    loader.settled().await;
    let calm = loader.seen(Duration::ZERO, loader.now());
    if calm.failed == 0 && calm.requests > 0 {
        return Ok(calm);
    }
    let why = calm.first_failure.unwrap_or_else(|| "no answer".to_owned());
    let what = format!("{} of {} requests to {url} failed before any swap: {why}", calm.failed, calm.requests);
    Err(Failure::new(what).hint("`--probe /path` names a path that answers well"))
}

/// Takes the time of one way of replacing containers, again and again.
struct Clocked<'a> {
    loader: &'a Loader,
    whiles: Vec<(Duration, Duration)>,
    took_ms: Vec<u64>,
}

impl<'a> Clocked<'a> {
    fn new(loader: &'a Loader) -> Self {
        Self { loader, whiles: Vec::new(), took_ms: Vec::new() }
    }

    /// Adds what began then and has just ended. Returns how many seconds it took.
    async fn add(&mut self, began: Duration) -> f64 {
        let took = self.loader.now() - began;
        tokio::time::sleep(AFTER).await;
        self.whiles.push((began, self.loader.now()));
        self.took_ms.push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        took.as_secs_f64()
    }

    /// Ends it: what the load saw each time and in all. One follows the other at once, so the whole while counts.
    async fn measured(self) -> Measured {
        let (Some((from, _)), Some((_, to))) = (self.whiles.first(), self.whiles.last()) else {
            return Measured::default();
        };
        self.loader.settled().await;
        let seen = |(from, to): &(Duration, Duration)| self.loader.seen(*from, *to);
        let each = self.whiles.iter().map(seen).collect();
        Measured { each, during: self.loader.seen(*from, *to), took_ms: self.took_ms }
    }
}
