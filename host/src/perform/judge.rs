//! Checks and hooks as a port.

use super::checks::{Asker, Checks};
use super::real::Real;
use crate::hooks::{Hook, Stage};
use crate::model::{Check, Container, Ending, Failure, Phase, ServiceName};
use crate::plan::Front;
use crate::run::{RunFacts, StepResult};
use crate::world::{Judge, Patience, Round};

impl Judge for Real<'_> {
    type Checks = Checks;

    async fn given_up_is_over(&self) -> Result<(), Failure> {
        self.site.docker.given_up_is_over().await
    }

    async fn ask(&self, phase: Phase, service: &ServiceName, facts: &RunFacts) -> Result<StepResult, Failure> {
        match phase {
            Phase::Finish => self.finish(service, facts).await,
            Phase::Rollback => self.rollback(service, facts).await,
            Phase::PostSwap => self.ask_in_order(phase, service, Stage::Live, facts).await,
            Phase::PreStart | Phase::Health | Phase::PreSwap => {
                self.ask_in_order(phase, service, Stage::Candidate, facts).await
            }
        }
    }

    async fn checks(
        &self,
        service: &ServiceName,
        candidate: &Container,
        checks: &[Check],
        port: Option<u16>,
        fronts: &[Front],
    ) -> Result<Checks, Failure> {
        Checks::new(&self.site.docker, service, candidate, checks, port, fronts).await
    }

    async fn round(&self, checks: &Checks, patience: Patience, facts: &RunFacts) -> Round {
        Asker { real: self, of: checks }.round(patience, facts).await
    }

    fn pending(&self, checks: &Checks) -> Option<String> {
        checks.pending()
    }

    async fn ends(&self, candidate: &Container) -> Result<Ending, Failure> {
        self.site.docker.exited(&candidate.id, 0).await
    }

    fn weighs_numbers(&self, service: &ServiceName) -> bool {
        self.hooks.get(service).is_some_and(|hooks| hooks.iter().any(Hook::weighs_numbers))
    }
}
