//! Which step is performed by what.

use std::future::Future;
use std::time::Duration;

use futures_util::stream::{self, FuturesUnordered, LocalBoxStream, Stream, StreamExt as _};

use super::health;
use super::performer::{Performer, unplanned};
use crate::model::{Failure, FormerRoute, Phase};
use crate::plan::{PlannedService, Step};
use crate::run::{RunFacts, StepResult};
use crate::world::{Judge, Ports, World};

impl<P: Ports> World for Performer<'_, P> {
    fn perform<'a>(
        &'a self,
        steps: &'a [&'a Step],
        facts: &'a RunFacts,
    ) -> impl Stream<Item = (usize, Result<StepResult, Failure>)> + 'a {
        let alike = steps.iter().all(|step| step.verb() == steps[0].verb());
        let of: Vec<&PlannedService> =
            steps.iter().filter_map(|step| step.service()).filter_map(|name| self.planned(name)).collect();
        // What is not planned fails by itself.
        match steps.first().filter(|_| alike && of.len() == steps.len()) {
            Some(Step::Adopt { .. }) => {
                together(async move { self.adopt(&of).await.into_iter().enumerate().collect() })
            }
            Some(Step::Create { .. }) => together(async move { self.create(&of).await }),
            Some(Step::Switch { .. }) => together(async move {
                let formers = self.switch(&of, facts).await.into_iter();
                let learnt = |routes: Vec<FormerRoute>| StepResult::Former { routes };
                formers.map(|(index, routes)| (index, routes.map(learnt))).collect()
            }),
            Some(Step::SwitchBack { .. }) => together(async move { self.switch_back(&of, facts).await }),
            Some(Step::Retire { .. }) => {
                together(async move { self.retire(&of, facts).await.into_iter().enumerate().collect() })
            }
            _ => {
                let each = steps.iter().enumerate();
                each.map(|(index, step)| async move { (index, self.perform_one(step, facts).await) })
                    .collect::<FuturesUnordered<_>>()
                    .boxed_local()
            }
        }
    }

    async fn holds(&self) -> Result<(), Failure> {
        self.ports.holds().await
    }

    async fn pause(&self, time: Duration) {
        self.ports.sleep(time).await;
    }
}

/// Results that come at one time, by their places.
type Results = Vec<(usize, Result<StepResult, Failure>)>;

/// Tells of results as soon as they are there.
fn together<'a>(
    results: impl Future<Output = Results> + 'a,
) -> LocalBoxStream<'a, (usize, Result<StepResult, Failure>)> {
    stream::once(results).flat_map(stream::iter).boxed_local()
}

impl<P: Ports> Performer<'_, P> {
    // Long, because it has one line or two for each kind of step.
    async fn perform_one(&self, step: &Step, facts: &RunFacts) -> Result<StepResult, Failure> {
        let judge = self.ports.judge();
        // No hook begins beside a command that was given up, least of all its undo. Other steps need not wait: scripts in one
        // container do by themselves, and what runs in a candidate goes with it.
        if !self.plan.hooks(step).is_empty() {
            judge.given_up_is_over().await?;
        }
        let Some(service) = step.service() else { return self.commit(facts).await };
        let of = self.planned(service).ok_or_else(|| unplanned(service))?;
        let (reach, lifecycle) = (of.reach(), &of.lifecycle);
        let before = || of.retag.as_ref().and_then(|retag| retag.before.as_deref());
        match step {
            Step::Commit => self.commit(facts).await,
            Step::Tag { .. } => self.tag(&of.image.name, &of.image.id, before()).await,
            Step::TagBack { .. } => self.tag_back(&of.image.name, &of.image.id, before()).await,
            Step::PreStart { .. } => {
                if !of.hooks(Phase::PreStart).is_empty() {
                    self.must_be_named(service).await?;
                }
                judge.ask(Phase::PreStart, service, facts).await
            }
            Step::Release { .. } => self.release(of, facts).await,
            Step::Init { .. } => self.init(service, &lifecycle.pre_start, of.hook_timeout, facts).await,
            Step::EndInit { .. } => self.end_init(service, lifecycle.pre_start.len()).await,
            Step::Inject { .. } => self.inject(service, &lifecycle.files, facts).await,
            Step::PostStart { .. } => self.post_start(service, &lifecycle.post_start, of.hook_timeout, facts).await,
            Step::PostStartOld { .. } => {
                self.post_start_old(service, &of.live, &lifecycle.post_start, of.hook_timeout).await
            }
            Step::PreStop { committed, .. } => self.pre_stop(of, *committed, facts).await,
            Step::PreStopCandidates { .. } => {
                self.pre_stop_candidates(service, &lifecycle.pre_stop, of.hook_timeout, facts).await
            }
            Step::StopOld { .. } => self.stop_old(&of.live, of.grace).await,
            Step::Start { .. } => self.start(service, &of.networks, reach.as_ref(), &of.unnamed(), facts).await,
            Step::Announce { .. } => self.announce(service, &of.places(), reach.as_ref(), facts).await,
            Step::AwaitHealthy { .. } => health::await_healthy(self, of, facts).await,
            Step::PreSwap { .. } => judge.ask(Phase::PreSwap, service, facts).await,
            Step::PostSwap { .. } => judge.ask(Phase::PostSwap, service, facts).await,
            Step::Watch { .. } => health::watch(self, of, facts).await,
            Step::Drain { .. } => self.drain(of, facts).await,
            Step::Rest { .. } => self.rest(of, facts).await,
            Step::Finish { .. } => judge.ask(Phase::Finish, service, facts).await,
            Step::Rollback { .. } => judge.ask(Phase::Rollback, service, facts).await,
            Step::RemoveCandidates { .. } => self.remove_candidates(service, &of.known, facts).await,
            Step::StartOld { .. } => self.start_old(of).await,
            Step::StopCandidates { .. } => self.stop_candidates(service, of.unwind_grace, facts).await,
            Step::Adopt { .. }
            | Step::Create { .. }
            | Step::Switch { .. }
            | Step::SwitchBack { .. }
            | Step::Retire { .. } => Err(Failure::new("internal: a step that is one effect for several services")),
        }
    }

    /// From here on the run only goes forward, so what it goes forward to must run.
    async fn commit(&self, facts: &RunFacts) -> Result<StepResult, Failure> {
        for planned in &self.plan.services {
            let candidates = facts.candidates(&planned.name);
            if candidates.is_empty() {
                return Err(Failure::new(format!("no candidate of `{}` is known that could replace it", planned.name)));
            }
            self.must_run_on(candidates).await?;
            health::still_well(self, &planned.name, facts).await?;
        }
        Ok(StepResult::Nothing)
    }
}
