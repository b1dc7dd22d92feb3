//! Runs whose journal is lost, or on another machine: the engine keeps a copy of each plan until its run is over.
//!
//! The copy is a label of an empty volume. With it and what the world is like, [`presume`](crate::run::presume) tells what the run must have
//! done; that becomes a journal here, and the run is finished or unwound as any other.

use std::sync::Arc;

use super::holder::PROJECT;
use super::lock::Claim;
use crate::docker::{Mark, NoMark};
use crate::journal::Past;
use crate::model::{Failure, RunId, ServiceName};
use crate::plan::Plan;
use crate::site::Site;

/// The label that names the run: of the copy of its plan, and of the one-off containers of its hooks.
pub(crate) const RUN: &str = "swap.run";

/// The label that holds the plan.
const PLAN: &str = "swap.plan";

fn name_of(run: &RunId) -> String {
    format!("swap-run.{run}")
}

impl Site {
    /// Leaves a copy of the plan on the engine. Where that can't be done only the journal here knows of the run.
    pub async fn publish(&self, plan: &Plan, held: &Claim) -> Result<(), Failure> {
        if held.is_refused() {
            return Ok(());
        }
        let Ok(text) = serde_json::to_string(plan) else { return Ok(()) };
        let labels = [(PROJECT, &plan.project), (RUN, &plan.run.0), (PLAN, &text)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.clone())).into();
        let marked = self.docker.mark(&name_of(&plan.run), &labels).await;
        marked.map(drop).map_err(|(NoMark::Refused(failure) | NoMark::Unanswered(failure))| failure)
    }
}

/// A copy of a plan that the engine keeps.
#[derive(Debug, Clone)]
pub struct PlanCopy {
    /// Whose plan it is.
    pub run: RunId,
    /// The plan, where it can be read.
    pub plan: Result<Arc<Plan>, Failure>,
}

/// The copies of plans that the engine keeps, beside what is known here of their runs.
pub trait Copies {
    /// Returns the copies of the project's runs.
    fn copies(&self) -> impl Future<Output = Result<Vec<PlanCopy>, Failure>>;

    /// Removes the copy of a run that is over. One that stays is found to be over by whoever swaps next.
    fn forget(&self, run: &RunId) -> impl Future<Output = ()>;

    /// Tells what is known here of a run.
    fn past(&self, run: &RunId) -> Past;
}

impl Copies for Site {
    async fn copies(&self) -> Result<Vec<PlanCopy>, Failure> {
        let marks = self.docker.marks(PROJECT, &self.project.name).await?;
        let copy = |mark: &Mark| Some(PlanCopy { run: RunId(mark.labels.get(RUN)?.clone()), plan: plan_of(mark) });
        Ok(marks.iter().filter_map(copy).collect())
    }

    async fn forget(&self, run: &RunId) {
        let _ = self.docker.unmark(&name_of(run)).await;
    }

    fn past(&self, run: &RunId) -> Past {
        self.folder().past(run)
    }
}

/// Returns the plans of the runs of these services that are not over and have no journal here.
///
/// One of them may be at work right now: only for who holds its services it is unfinished.
pub async fn runs_without_journal(copies: &impl Copies, services: &[ServiceName]) -> Result<Vec<Arc<Plan>>, Failure> {
    let mut plans = Vec::new();
    for copy in copies.copies().await? {
        match copies.past(&copy.run) {
            Past::Open => {}
            Past::Over => copies.forget(&copy.run).await,
            Past::Unknown => plans.push(copy.plan?),
        }
    }
    plans.retain(|plan| plan.services.iter().any(|planned| services.contains(&planned.name)));
    Ok(plans)
}

fn plan_of(mark: &Mark) -> Result<Arc<Plan>, Failure> {
    let text = mark.labels.get(PLAN).map(String::as_str).unwrap_or_default();
    serde_json::from_str(text).map(Arc::new).map_err(|error| {
        Failure::new(format!("volume `{}` tells of a run that this swap can't read: {error}", mark.name))
            .hint(format!("resume that run with the swap that began it, or `docker volume rm {}`", mark.name))
    })
}
