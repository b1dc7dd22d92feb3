//! Which step is performed by what.

use std::time::Duration;

use super::health;
use super::performer::Performer;
use crate::model::{Failure, Phase, ServiceName};
use crate::plan::{Front, PlannedService, Step};
use crate::run::{Facts, Learnt};
use crate::world::{Judge, Ports, World};

impl<P: Ports> World for Performer<'_, P> {
    // Long, because it has one line or two for each kind of step.
    async fn perform(&self, step: &Step, facts: &Facts) -> Result<Learnt, Failure> {
        let judge = self.ports.judge();
        // No hook begins beside a command that was given up, least of all its undo. Other steps need not wait: scripts in one
        // container do by themselves, and what runs in a candidate goes with it.
        if !self.plan.hooks(step).is_empty() {
            judge.given_up_is_over().await?;
        }
        let Some(service) = step.service() else { return self.commit(facts).await };
        let of = self.planned(service).ok_or_else(|| unplanned(service))?;
        let (front, reach, lifecycle) = (of.front.as_ref(), of.reach(), &of.lifecycle);
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
            Step::Adopt { .. } => self.adopt(service, nginx(of)?, &of.live).await,
            Step::Release { .. } => self.release(service, nginx(of)?).await,
            Step::Create { .. } => self.create(service, of.count, &of.known).await,
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
            Step::Switch { .. } => {
                let generation = self.switch(service, nginx(of)?, of.judged, facts).await?;
                Ok(Learnt::Former { generation })
            }
            Step::PostSwap { .. } => judge.ask(Phase::PostSwap, service, facts).await,
            Step::Watch { .. } => health::watch(self, of, facts).await,
            Step::Drain { .. } => self.drain(service, nginx(of)?, of.drain_timeout, facts).await,
            Step::Retire { .. } => self.retire_service(of, facts).await,
            Step::Rest { .. } => self.rest(service, nginx(of)?, facts).await,
            Step::Finish { .. } => judge.ask(Phase::Finish, service, facts).await,
            Step::Rollback { .. } => judge.ask(Phase::Rollback, service, facts).await,
            Step::RemoveCandidates { .. } => self.remove_candidates(service, &of.known, facts).await,
            Step::StartOld { .. } => self.start_old(service, &of.live, front).await,
            Step::StopCandidates { .. } => self.stop_candidates(service, of.unwind_grace, facts).await,
            Step::SwitchBack { .. } => self.switch_back(service, nginx(of)?, &of.live, of.drain_timeout, facts).await,
        }
    }

    async fn holds(&self) -> Result<(), Failure> {
        self.ports.holds().await
    }

    async fn pause(&self, time: Duration) {
        self.ports.sleep(time).await;
    }
}

/// Returns the nginx that a step is about.
fn nginx(of: &PlannedService) -> Result<&Front, Failure> {
    of.front.as_ref().ok_or_else(|| Failure::new(format!("internal: no nginx is planned before `{}`", of.name)))
}

fn unplanned(service: &ServiceName) -> Failure {
    Failure::new(format!("internal: the plan has a step of `{service}`, and not the service"))
}

impl<P: Ports> Performer<'_, P> {
    /// Retires all that is to go of a service, and keeps a name for the way back.
    async fn retire_service(&self, of: &PlannedService, facts: &Facts) -> Result<Learnt, Failure> {
        let (service, front, old) = (&of.name, of.front.as_ref(), of.old());
        let candidates = facts.candidates(service);
        self.must_run(candidates).await?;
        let retire = async {
            self.make_way(service, &old, &of.unnamed(), front, facts).await?;
            // That may have taken a while, in which others can do much.
            self.must_run(candidates).await?;
            self.retire(service, &old, (of.grace, of.old_volumes), front, facts).await?;
            self.clear_away(service, &of.stopped, front).await
        };
        let Some(keep) = &of.keep else { return retire.await };
        // Before the container goes: until then its image can't be pruned.
        self.keep(keep, &old, candidates).await;
        tokio::join!(retire, self.forget(service, keep)).0
    }

    /// From here on the run only goes forward, so what it goes forward to must run.
    async fn commit(&self, facts: &Facts) -> Result<Learnt, Failure> {
        for planned in &self.plan.services {
            let candidates = facts.candidates(&planned.name);
            if candidates.is_empty() {
                return Err(Failure::new(format!("no candidate of `{}` is known that could replace it", planned.name)));
            }
            self.must_run_on(candidates).await?;
            health::still_well(self, &planned.name, facts).await?;
        }
        Ok(Learnt::Nothing)
    }
}
