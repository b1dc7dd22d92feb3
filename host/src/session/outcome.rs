//! What a session came to.

use std::sync::Arc;

use crate::executor::End;
use crate::model::Failure;
use crate::plan::Plan;
use crate::run::Entry;

/// What a session came to.
#[derive(Debug)]
pub enum Done {
    /// A run was performed, to its end or as far as it could be.
    Run(Box<RunResult>),
    /// There was nothing to perform, and this is to be told of it.
    Nothing(String),
}

impl Done {
    /// Tells of a run that was performed.
    pub(super) fn ran(ran: RunResult) -> Self {
        Done::Run(Box::new(ran))
    }
}

/// What a run did in this process.
#[derive(Debug)]
pub struct RunResult {
    /// What was to be done.
    pub plan: Arc<Plan>,
    /// How it was left.
    pub end: End,
    /// All that is recorded of it, also by processes before.
    pub entries: Vec<Entry>,
    /// What was given up and could not be ended.
    pub running: Vec<String>,
    /// Since when its time counts, in milliseconds since 1970: looking at the world belongs to it.
    pub began_ms: i64,
}

/// Why nothing was performed.
#[derive(Debug)]
pub enum NotDone {
    /// What is wanted does not exist, as a service that the project has not.
    Unknown(Failure),
    /// Another run holds what is wanted.
    Busy(Failure),
    /// It can't be done; all reasons that are known. Nothing was changed.
    Refused(Vec<Failure>),
    /// The operator wanted to stop before anything was changed; the signal by which that was said.
    Interrupted(String),
    /// A defect of swap.
    Defect(Failure),
}

/// A failure that nobody gave another kind comes from before any change.
impl From<Failure> for NotDone {
    fn from(failure: Failure) -> Self {
        NotDone::Refused(vec![failure])
    }
}
