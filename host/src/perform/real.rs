//! The real world of one run: its ports are the adapters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::performer::Performer;
use crate::claim::Claim;
use crate::docker::Docker;
use crate::measure::probe::Probe;
use crate::model::{Failure, PROBE_RATE, Phase, ServiceName};
use crate::observe::hooks::LoadedHooks;
use crate::plan::Plan;
use crate::site::Site;
use crate::ui::Display;
use crate::world::Ports;

/// The real world of one run.
pub struct Real<'a> {
    pub(super) site: &'a Site,
    pub(super) plan: &'a Plan,
    pub(super) display: Display,
    /// The hooks that are asked, by service.
    pub(super) hooks: LoadedHooks,
    held: &'a Claim,
    /// One probe for each URL that a service of the plan names.
    pub(super) probes: BTreeMap<ServiceName, Arc<Probe>>,
    /// What is normal for the checks of each candidate.
    pub(super) usual: UsualTimes,
    /// How often and since when each phase is asked.
    pub(super) entered: PhaseCounts,
    began: tokio::time::Instant,
}

impl<'a> Real<'a> {
    /// Makes the world of a plan, whose front doors nobody measures.
    pub(super) fn new(site: &'a Site, plan: &'a Plan, held: &'a Claim, hooks: LoadedHooks, display: Display) -> Self {
        Self {
            site,
            plan,
            held,
            display,
            hooks,
            probes: BTreeMap::new(),
            usual: UsualTimes::default(),
            entered: PhaseCounts::default(),
            began: tokio::time::Instant::now(),
        }
    }

    /// Begins to measure the front doors that the plan names.
    fn measure(&mut self) {
        for of in &self.plan.services {
            let Some(front) = of.front() else { continue };
            let Some(url) = &front.probe else { continue };
            match Probe::start(url, front.probe_way.as_ref(), front.probe_rate.unwrap_or(PROBE_RATE), &of.live) {
                Ok(probe) => drop(self.probes.insert(of.name.clone(), Arc::new(probe))),
                // Hooks that need its numbers are told that there are none.
                Err(failure) => self.display.remark(&failure.what),
            }
        }
    }
}

impl Site {
    /// Makes the world in which the plan is performed. `fresh`: the run begins here, so its whole way can be measured.
    pub fn world<'a>(
        &'a self,
        plan: &'a Plan,
        held: &'a Claim,
        hooks: LoadedHooks,
        display: &Display,
        fresh: bool,
    ) -> Performer<'a, Real<'a>> {
        let mut real = Real::new(self, plan, held, hooks, display.clone());
        if fresh {
            real.measure();
        }
        let probes = real.probes.clone();
        Performer { probes, ..Performer::new(real, plan, display.clone()) }
    }
}

impl<'a> Ports for Real<'a> {
    type Engine = Docker;
    type Orchestrator = Site;
    type Edge = Site;
    type Judge = Real<'a>;

    fn engine(&self) -> &Docker {
        &self.site.docker
    }

    fn orchestrator(&self) -> &Site {
        self.site
    }

    fn edge(&self) -> &Site {
        self.site
    }

    fn judge(&self) -> &Real<'a> {
        self
    }

    async fn holds(&self) -> Result<(), Failure> {
        self.held.still().await
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// How often hooks were asked in each phase, and since when. Known in the process that asks.
#[derive(Debug, Default)]
pub(super) struct PhaseCounts(Mutex<BTreeMap<Asked, (u32, Instant)>>);

/// A phase, of which service, about which container.
type Asked = (Phase, ServiceName, String);

impl PhaseCounts {
    /// Counts a call of a phase about a container. Returns how many there were with it, and the time since the first one.
    pub(super) fn ask(&self, phase: Phase, service: &ServiceName, about: &str) -> (u32, Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) =
            all.entry((phase, service.clone(), about.to_owned())).or_insert_with(|| (0, Instant::now()));
        *count += 1;
        (*count, since.elapsed())
    }
}

/// How long checks and hooks take that go well, by candidate. Known in the process that has asked them.
#[derive(Debug, Default)]
pub(super) struct UsualTimes(Mutex<BTreeMap<String, Duration>>);

impl UsualTimes {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learn(&self, id: &str, took: Duration) {
        let mut all = self.all();
        let usual = all.entry(id.to_owned()).or_default();
        *usual = took.max(*usual);
    }

    pub(super) fn of(&self, id: &str) -> Option<Duration> {
        self.all().get(id).copied()
    }
}
