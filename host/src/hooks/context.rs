//! What a call is about.

use std::time::Duration;

use super::bindings::swap::hooks::types;
use crate::model::{Container, Phase, RunId, ServiceName};
use crate::text::printable;

/// A container as hooks see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The container; its id is empty before it was created.
    pub container: Container,
    /// What the compose file calls its image.
    pub image_name: String,
}

/// What the candidate is at the time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the switch.
    Candidate,
    /// After the switch: it serves.
    Live,
}

/// What a call is about: `context` of the WIT package, with the nouns of the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The run that asks.
    pub run: RunId,
    /// The compose service.
    pub service: ServiceName,
    /// The compose project.
    pub project: String,
    /// What the candidate is.
    pub stage: Stage,
    /// The container that the call is about.
    pub candidate: Member,
    /// All new containers, `candidate` among them.
    pub candidates: Vec<Member>,
    /// The containers that served when the run began.
    pub live: Vec<Member>,
    /// How often this phase was asked in this run, from 1.
    pub attempt: u32,
    /// The time since the run entered this phase.
    pub elapsed: Duration,
    /// Who runs swap; empty if that is unknown.
    pub operator: String,
    /// In `rollback`: what made the run unwind.
    pub reason: Option<String>,
}

impl Context {
    /// Returns the context in the form of the WIT package.
    pub(super) fn to_wit(&self, phase: Phase, remaining: Duration) -> types::Context {
        types::Context {
            run: self.run.0.clone(),
            service: self.service.to_string(),
            project: self.project.clone(),
            phase: phase.name().to_owned(),
            stage: match self.stage {
                Stage::Candidate => "candidate".to_owned(),
                Stage::Live => "live".to_owned(),
            },
            candidate: self.candidate.to_wit(),
            candidates: self.candidates.iter().map(Member::to_wit).collect(),
            live: self.live.iter().map(Member::to_wit).collect(),
            attempt: self.attempt,
            elapsed_ms: milliseconds(self.elapsed),
            remaining_ms: milliseconds(remaining),
            operator: self.operator.clone(),
            reason: self.reason.as_deref().map(printable),
        }
    }
}

impl Member {
    fn to_wit(&self) -> types::Container {
        types::Container {
            name: self.container.name.clone(),
            id: self.container.id.clone(),
            image: self.image_name.clone(),
            digest: self.container.image.clone(),
            address: self.container.address.map(|address| address.to_string()),
        }
    }
}

/// Returns whole milliseconds, the largest number if there are too many.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
