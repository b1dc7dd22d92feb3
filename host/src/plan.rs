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
//! v1          a plan of version 1 → the plan
//! observed  service  steps  back    the data
//! ```

mod make;
mod observed;
mod print;
mod refuse;
mod service;
mod steps;
mod v1;

pub mod back;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{Notice, RunId, ServiceName};

pub use back::{Keep, Replaced};
pub use make::plan;
pub use observed::{
    AnonymousVolume, CalledIn, Front, NetworkPort, Observed, ObservedService, ProbeWay, Retag, Sidecar,
};
pub use print::{alike, files, names, proxies};
pub use refuse::{port, refusals, single, unshared};
pub use service::PlannedService;
pub use steps::Step;

/// The version of plans, and of the journals that they stand in: a reader takes former ones too, and refuses a later one.
///
/// In version 1 each step held what it needs.
pub const VERSION: u32 = 2;

/// The ordered steps of one swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Plan {
    /// The version of this form.
    pub v: u32,
    /// The run that executes it.
    pub run: RunId,
    /// The compose project's name.
    pub project: String,
    /// The services, with all that their steps need.
    pub services: Vec<PlannedService>,
    /// The steps, first to last.
    pub steps: Vec<Step>,
    /// What the operator should know, and that does not prevent the swap.
    pub notices: Vec<Notice>,
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// Wherever a plan is read, in a journal or in the copy that the engine keeps, it may be one of a former version.
impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let read = match value.get("v").map(serde_json::Value::as_u64) {
            None => v1::read(value),
            Some(Some(v)) if v > u64::from(VERSION) => {
                return Err(D::Error::custom(format!("written by a later swap (version {v})")));
            }
            Some(_) => Self::deserialize(value),
        };
        read.map_err(D::Error::custom)
    }
}

impl Plan {
    /// Returns a service of the plan.
    pub fn service(&self, name: &ServiceName) -> Option<&PlannedService> {
        self.services.iter().find(|planned| planned.name == *name)
    }

    /// Returns each nginx before a service, with the service.
    pub fn fronts(&self) -> impl Iterator<Item = (&ServiceName, &Front)> {
        self.services.iter().flat_map(|planned| planned.fronts.iter().map(|front| (&planned.name, front)))
    }

    /// Returns the step that undoes this one, done or half done; `None` where there is nothing to undo.
    pub fn undo(&self, step: &Step) -> Option<Step> {
        step.undo(self.service(step.service()?)?)
    }

    /// Returns the hooks that a step or its undo asks.
    pub fn hooks<'a>(&'a self, step: &Step) -> Vec<&'a str> {
        let planned = step.service().and_then(|service| self.service(service));
        let hooks =
            planned.into_iter().flat_map(|planned| step.phases().iter().flat_map(|phase| planned.hooks(*phase)));
        hooks.map(String::as_str).collect()
    }
}

/// Returns the name of the container for a command of `Step::Init`: whoever takes the run up finds it again.
pub fn init_name(plan: &Plan, service: &ServiceName, index: usize) -> String {
    format!("{}-{service}-init-{}-{}", plan.project, plan.run, index + 1)
}

#[cfg(test)]
mod tests;
