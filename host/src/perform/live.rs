//! The real world of one run: what all steps need.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::claim::Held;
use crate::measure::probe::Probe;
use crate::model::{Container, Failure, PROBE_RATE, Phase, ServiceName};
use crate::plan::{Plan, PlannedService, Reach, Step};
use crate::run::trace::Probed;
use crate::site::Site;
use crate::site::containers::container;
use crate::ui::Display;

/// The real world of one run.
pub struct Live<'a> {
    pub(super) site: &'a Site,
    pub(super) plan: &'a Plan,
    pub(super) held: &'a Held,
    pub(super) display: Display,
    /// One probe for each URL that a service of the plan names.
    pub(super) probes: BTreeMap<ServiceName, Arc<Probe>>,
    /// What is normal for the checks of each candidate.
    pub(super) usual: Usual,
    /// How often and since when each phase is asked.
    pub(super) entered: Entered,
}

/// How often hooks were asked in each phase, and since when. Known in the process that asks.
#[derive(Debug, Default)]
pub(super) struct Entered(Mutex<BTreeMap<Asked, (u32, Instant)>>);

/// A phase, of which service, about which container.
type Asked = (Phase, ServiceName, String);

impl Entered {
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
pub(super) struct Usual(Mutex<BTreeMap<String, Duration>>);

impl Usual {
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

impl Site {
    /// Makes the world in which the plan is performed. `fresh`: the run begins here, so its whole way can be measured.
    pub fn world<'a>(&'a self, plan: &'a Plan, held: &'a Held, display: &Display, fresh: bool) -> Live<'a> {
        let mut live = Live::new(self, plan, held, display.clone());
        if fresh {
            live.measure();
        }
        live
    }
}

impl<'a> Live<'a> {
    /// Makes the world of a plan.
    pub fn new(site: &'a Site, plan: &'a Plan, held: &'a Held, display: Display) -> Self {
        Self {
            site,
            plan,
            held,
            display,
            probes: BTreeMap::new(),
            usual: Usual::default(),
            entered: Entered::default(),
        }
    }

    /// Begins to measure the front doors that the plan names.
    pub fn measure(&mut self) {
        for step in &self.plan.steps {
            let Step::Switch { service, front, .. } = step else { continue };
            let Some(url) = &front.probe else { continue };
            let live = self.plan.services.iter().find(|planned| planned.name == *service);
            let live = live.map_or(&[][..], |planned| &planned.live);
            match Probe::start(url, front.probe_way.as_ref(), front.probe_rate.unwrap_or(PROBE_RATE), live) {
                Ok(probe) => drop(self.probes.insert(service.clone(), Arc::new(probe))),
                // Hooks that need its numbers are told that there are none.
                Err(failure) => self.display.remark(&failure.what),
            }
        }
    }

    /// Returns what the probes have counted up to now.
    pub fn probed(&self) -> Vec<Probed> {
        self.probes.iter().map(|(service, probe)| probe.probed(service)).collect()
    }

    /// Tells whether the old containers had died before the run began, so that nothing is to be given back by them.
    pub(super) fn is_down(&self, service: &ServiceName) -> bool {
        self.planned(service).is_some_and(|planned| planned.down)
    }

    pub(super) fn planned(&self, service: &ServiceName) -> Option<&PlannedService> {
        self.plan.services.iter().find(|planned| planned.name == *service)
    }

    /// Tells whether the old containers of a service are stopped before its candidates start.
    pub(super) fn stops_first(&self, service: &ServiceName) -> bool {
        self.plan.steps.iter().any(|step| matches!(step, Step::StopOld { service: of, .. } if of == service))
    }

    pub(super) async fn any_runs(&self, containers: &[Container]) -> bool {
        let runs = containers.iter().map(|container| async {
            matches!(self.site.docker.inspect(&container.id).await, Ok(Some(seen)) if seen.runs())
        });
        join_all(runs).await.into_iter().any(|runs| runs)
    }

    /// Returns the container with the address that it has now.
    pub(super) async fn located(&self, candidate: &Container, reach: Option<&Reach>) -> Result<Container, Failure> {
        let Some(reach) = reach else { return Ok(candidate.clone()) };
        let seen = self.site.docker.inspect(&candidate.id).await?;
        let seen = seen.ok_or_else(|| gone(candidate))?;
        match seen.address(reach.network.as_deref()) {
            Some(ip) => Ok(container(&seen, Some(SocketAddr::new(ip, reach.port)))),
            // A container that has exited already has no address; the health step says why it exited.
            None => Ok(candidate.clone()),
        }
    }

    /// Fails where a candidate does not run, or has ended since it was started and was restarted by the engine.
    pub(super) async fn must_run_on(&self, candidates: &[Container]) -> Result<(), Failure> {
        self.must_run_since(candidates, Some(0)).await
    }

    /// Fails where a candidate does not run now.
    pub(super) async fn must_run(&self, candidates: &[Container]) -> Result<(), Failure> {
        self.must_run_since(candidates, None).await
    }

    async fn must_run_since(&self, candidates: &[Container], restarts: Option<u64>) -> Result<(), Failure> {
        for candidate in candidates {
            match self.site.docker.inspect(&candidate.id).await? {
                Some(seen) if seen.runs() && seen.restarts <= restarts.unwrap_or(seen.restarts) => {}
                Some(seen) => {
                    let lines = self.site.docker.logs_tail(&candidate.id, 15).await.unwrap_or_default();
                    let ending = seen.ending(restarts.unwrap_or(seen.restarts));
                    let how = ending.map_or(format!("is {}", seen.state), |ending| ending.to_string());
                    return Err(Failure::new(format!("candidate `{}` {how}", candidate.name)).tail(lines));
                }
                None => return Err(gone(candidate)),
            }
        }
        Ok(())
    }
}

pub(super) fn gone(candidate: &Container) -> Failure {
    Failure::new(format!("candidate `{}` is not there any more", candidate.name))
        .hint("somebody removed it; was `docker compose up` or `down` run meanwhile?")
}
