//! What all steps need: the plan, the ports, and what is true of the containers of a plan.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::Mutex;

use crate::measure::probe::Probe;
use crate::model::{Container, Failure, ServiceName};
use crate::plan::{Front, NetworkPort, Plan, PlannedService};
use crate::run::trace::Probed;
use crate::site::containers::container;
use crate::ui::Display;
use crate::world::{Engine, Ports};

/// Performs the steps of a plan through ports.
pub struct Performer<'a, P> {
    pub(super) ports: P,
    pub(super) plan: &'a Plan,
    pub(super) display: Display,
    /// One probe for each URL that a service of the plan names.
    pub(super) probes: BTreeMap<ServiceName, Arc<Probe>>,
    /// Held by who takes a container out of a network for a moment.
    pub(super) reconnects: Mutex<()>,
}

impl<'a, P> Performer<'a, P> {
    /// Makes the performer of a plan, whose front doors nobody measures.
    pub fn new(ports: P, plan: &'a Plan, display: Display) -> Self {
        Self { ports, plan, display, probes: BTreeMap::new(), reconnects: Mutex::default() }
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
        self.plan.service(service)
    }

    /// Returns what is said of one of the nginxes before a service: where there are several, with its name.
    pub(super) fn said_of(&self, service: &ServiceName, front: &Front, what: &str) -> String {
        match self.planned(service).is_some_and(|planned| planned.fronts.len() > 1) {
            true => format!("{}: {what}", front.proxy),
            false => what.to_owned(),
        }
    }

    /// Tells whether the old containers of a service are stopped before its candidates start.
    pub(super) fn stops_first(&self, service: &ServiceName) -> bool {
        self.planned(service).is_some_and(PlannedService::stops_first)
    }
}

impl<P: Ports> Performer<'_, P> {
    /// Tells whether one of these containers runs. An engine that does not answer is no sign that none does.
    pub(super) async fn any_runs(&self, containers: &[Container]) -> Result<bool, Failure> {
        let seen = try_join_all(containers.iter().map(|container| self.ports.engine().inspect(&container.id))).await?;
        Ok(seen.into_iter().flatten().any(|seen| seen.runs()))
    }

    /// Returns the container with the address that it has now.
    pub(super) async fn located(
        &self,
        candidate: &Container,
        reach: Option<&NetworkPort>,
    ) -> Result<Container, Failure> {
        let Some(reach) = reach else { return Ok(candidate.clone()) };
        let seen = self.ports.engine().inspect(&candidate.id).await?;
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
            match self.ports.engine().inspect(&candidate.id).await? {
                Some(seen) if seen.runs() && seen.restarts <= restarts.unwrap_or(seen.restarts) => {}
                Some(seen) => {
                    let lines = self.ports.engine().last_lines(&candidate.id, 15).await.unwrap_or_default();
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

pub(super) fn unplanned(service: &ServiceName) -> Failure {
    Failure::new(format!("internal: the plan has a step of `{service}`, and not the service"))
}

pub(super) fn gone(candidate: &Container) -> Failure {
    Failure::new(format!("candidate `{}` is not there any more", candidate.name))
        .hint("somebody removed it; was `docker compose up` or `down` run meanwhile?")
}
