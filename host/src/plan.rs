//! Turns what was observed into the ordered steps of one swap. Pure: no IO, no clock, no async.
//!
//! `swap plan` prints the plan by the same `Display` that the run uses for its progress, so what is printed is what is
//! done.
//!
//! # Layout
//!
//! ```text
//! make        what was observed → the plan
//! refuse      what was observed → what prevents it, what should be known
//! print       the plan → text
//! observed  steps  back    the data
//! ```

mod make;
mod observed;
mod print;
mod refuse;
mod steps;

pub mod back;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Check, Container, Image, RunId, ServiceName};

pub use back::{Keep, Replaced};
pub use make::plan;
pub use observed::{AnonymousVolume, CalledIn, Front, Observed, ObservedService, ProbeWay, Reach, Retag, Sidecar};
pub use print::names;
pub use refuse::{port, refusals, single, unshared};
pub use steps::Step;

/// The ordered steps of one swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The run that executes it.
    pub run: RunId,
    /// The compose project's name.
    pub project: String,
    /// The services, with the containers that were live when the run began.
    pub services: Vec<PlannedService>,
    /// The steps, first to last.
    pub steps: Vec<Step>,
    /// What the operator should know, and that does not prevent the swap.
    pub notices: Vec<String>,
}

impl Plan {
    /// Returns a service of the plan.
    pub fn service(&self, name: &ServiceName) -> Option<&PlannedService> {
        self.services.iter().find(|planned| planned.name == *name)
    }

    /// Tells whether the candidates of a service are watched before the commit.
    pub fn watches(&self, service: &ServiceName) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Watch { service: of, .. } if of == service))
    }

    /// Tells whether nothing but the probe judges in the watch what a service answers: no health hook, no command, no page. An
    /// open port is no answer, because the kernel opens it.
    pub fn judged_by_probe_alone(&self, service: &ServiceName) -> bool {
        let probed = self.steps.iter().any(
            |step| matches!(step, Step::Switch { service: of, front, .. } if of == service && front.probe.is_some()),
        );
        let judged = self.steps.iter().any(|step| {
            matches!(step, Step::AwaitHealthy { service: of, checks, hooks, .. }
                if of == service && (!hooks.is_empty() || checks.iter().any(Check::asks)))
        });
        probed && !judged
    }
}

impl Plan {
    /// Returns the nginx before each service that has one, with its service.
    pub fn fronts(&self) -> impl Iterator<Item = (&ServiceName, &Front)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Switch { service, front, .. } => Some((service, front.as_ref())),
            _ => None,
        })
    }

    /// Returns the nginx before a service; `None` for a worker.
    pub fn front(&self, service: &ServiceName) -> Option<&Front> {
        self.fronts().find(|(of, _)| *of == service).map(|(_, front)| front)
    }
}

/// A service in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedService {
    /// Its name.
    pub name: ServiceName,
    /// The containers that were live when the run began.
    pub live: Vec<Container>,
    /// The image that the candidates are made of.
    pub image: Image,
    /// Whether those that were live had died when the run began: what unwinds to them does not make them run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub down: bool,
    /// What the live containers were created from, as `demo-app`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub live_image: String,
    /// The digests of the hooks' components by the hooks' names: who goes on with the run asks the same ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, String>,
}

/// Returns the name of the container for a command of `Step::Init`: whoever takes the run up finds it again.
pub fn init_name(plan: &Plan, service: &ServiceName, index: usize) -> String {
    format!("{}-{service}-init-{}-{}", plan.project, plan.run, index + 1)
}

#[cfg(test)]
mod tests;
