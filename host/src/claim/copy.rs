//! Runs whose journal is lost, or on another machine: the engine keeps a copy of each plan until its run is over.
//!
//! The copy is a label of an empty volume. With it and what the world is like, [`presume`] tells what the run must have
//! done; that becomes a journal here, and the run is finished or unwound as any other.

use super::holder::PROJECT;
use super::lock::Held;
use super::traces::{settled_by_others, traces};
use crate::docker::{Mark, NoMark};
use crate::journal::Past;
use crate::model::{Failure, RunId, ServiceName};
use crate::plan::Plan;
use crate::run::presume;
use crate::site::Site;
use crate::ui::Display;
use crate::world::Edge;

/// The label that names the run: of the copy of its plan, and of the one-off containers of its hooks.
pub(crate) const RUN: &str = "swap.run";

/// The label that holds the plan.
const PLAN: &str = "swap.plan";

fn name_of(run: &RunId) -> String {
    format!("swap-run.{run}")
}

impl Site {
    /// Leaves a copy of the plan on the engine. Where that can't be done only the journal here knows of the run.
    pub async fn publish(&self, plan: &Plan, held: &Held, display: &Display) {
        if held.is_refused() {
            return;
        }
        let Ok(text) = serde_json::to_string(plan) else { return };
        let labels = [(PROJECT, &plan.project), (RUN, &plan.run.0), (PLAN, &text)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.clone())).into();
        if let Err(NoMark::Refused(failure) | NoMark::Unanswered(failure)) =
            self.docker.mark(&name_of(&plan.run), &labels).await
        {
            display.note(&format!("the engine keeps no copy of the plan: {}", failure.what));
        }
    }

    /// Removes the copy of a run that is over. One that stays is found to be over by whoever swaps next.
    pub async fn unpublish(&self, run: &RunId) {
        let _ = self.docker.unmark(&name_of(run)).await;
    }

    /// Returns the plans of the runs of these services that are not over and have no journal here.
    ///
    /// One of them may be at work right now: only for who holds its services it is unfinished.
    pub async fn runs_without_journal(&self, services: &[ServiceName]) -> Result<Vec<Plan>, Failure> {
        let mut plans = Vec::new();
        for mark in self.docker.marks(PROJECT, &self.project.name).await? {
            let Some(run) = mark.labels.get(RUN).map(|run| RunId(run.clone())) else { continue };
            match self.folder().past(&run) {
                Past::Open => {}
                Past::Over => self.unpublish(&run).await,
                Past::Unknown => plans.push(plan_of(&mark)?),
            }
        }
        plans.retain(|plan| plan.services.iter().any(|planned| services.contains(&planned.name)));
        Ok(plans)
    }

    /// Makes a journal here for a run that has none. To be called by who holds its services.
    pub async fn presume(&self, plan: &Plan, display: &Display) -> Result<(), Failure> {
        display.say(&format!("run {} has no journal here: what it did is told by what is there", plan.run));
        self.folder().write(&plan.run, &presume(plan, &traces(&self.docker, self, plan).await?))
    }

    /// Tells whether a run that is to go back can go nowhere, because nothing that was live when it began is there any
    /// more: others have settled since what runs.
    pub async fn settled_by_others(&self, plan: &Plan) -> Result<bool, Failure> {
        settled_by_others(&self.docker, plan).await
    }

    /// Makes sure that the upstream files are as they were when the plan was made: until they are held, another project that
    /// writes into the same folder may change them.
    pub async fn still_as_planned(&self, plan: &Plan) -> Result<(), Failure> {
        for (service, front) in plan.fronts() {
            let now = self.published(service, front).await?;
            if now.map(|file| file.text) != front.before {
                return Err(Failure::new(format!(
                    "another run changed `{}` while this one looked at it",
                    front.file(service)
                ))
                .hint(format!("nothing was changed; `swap plan {service}` tells what would be done now")));
            }
        }
        Ok(())
    }
}

fn plan_of(mark: &Mark) -> Result<Plan, Failure> {
    let text = mark.labels.get(PLAN).map(String::as_str).unwrap_or_default();
    serde_json::from_str(text).map_err(|error| {
        Failure::new(format!("volume `{}` tells of a run that this swap can't read: {error}", mark.name))
            .hint(format!("resume that run with the swap that began it, or `docker volume rm {}`", mark.name))
    })
}
