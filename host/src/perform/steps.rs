//! Which step is performed by what.

use std::time::Duration;

use super::health;
use super::performer::Performer;
use crate::model::{Failure, Phase};
use crate::plan::Step;
use crate::run::{Facts, Learnt};
use crate::world::{Judge, Ports, World};

impl<P: Ports> World for Performer<'_, P> {
    // Long, because it has one line or two for each kind of step.
    async fn perform(&self, step: &Step, facts: &Facts) -> Result<Learnt, Failure> {
        let judge = self.ports.judge();
        // No hook begins beside a command that was given up, least of all its undo. Other steps need not wait: scripts in one
        // container do by themselves, and what runs in a candidate goes with it.
        if !step.hooks().is_empty() {
            judge.given_up_is_over().await?;
        }
        match step {
            Step::Tag { name, image, before, .. } => self.tag(name, image, before.as_deref()).await,
            Step::TagBack { name, image, before, .. } => self.tag_back(name, image, before.as_deref()).await,
            Step::PreStart { service, hooks, .. } => {
                if !hooks.is_empty() {
                    self.must_be_named(service).await?;
                }
                judge.ask(Phase::PreStart, service, facts).await
            }
            Step::Adopt { service, front, live, .. } => self.adopt(service, front, live).await,
            Step::Release { service, front } => self.release(service, front).await,
            Step::Create { service, count, known, .. } => self.create(service, *count, known).await,
            Step::Init { service, commands, timeout } => self.init(service, commands, *timeout, facts).await,
            Step::EndInit { service, count } => self.end_init(service, *count).await,
            Step::Inject { service, files } => self.inject(service, files, facts).await,
            Step::PostStart { service, commands, timeout, .. } => {
                self.post_start(service, commands, *timeout, facts).await
            }
            Step::PostStartOld { service, old, commands, timeout } => {
                self.post_start_old(service, old, commands, *timeout).await
            }
            Step::PreStop { .. } => self.pre_stop(step, facts).await,
            Step::PreStopCandidates { service, commands, timeout } => {
                self.pre_stop_candidates(service, commands, *timeout, facts).await
            }
            Step::StopOld { old, grace, .. } => self.stop_old(old, *grace).await,
            Step::Start { service, networks, reach, unnamed, .. } => {
                self.start(service, networks, reach.as_ref(), unnamed, facts).await
            }
            Step::Announce { service, places, reach, .. } => {
                self.announce(service, places, reach.as_ref(), facts).await
            }
            Step::AwaitHealthy { .. } => health::await_healthy(self, step, facts).await,
            Step::PreSwap { service, .. } => judge.ask(Phase::PreSwap, service, facts).await,
            Step::Switch { service, front, judged, .. } => {
                self.switch(service, front, *judged, facts).await.map(|generation| Learnt::Former { generation })
            }
            Step::PostSwap { service, .. } => judge.ask(Phase::PostSwap, service, facts).await,
            Step::Watch { service, time, .. } => health::watch(self, service, *time, facts).await,
            Step::Drain { service, front, timeout, .. } => self.drain(service, front, *timeout, facts).await,
            Step::Commit => self.commit(facts).await,
            Step::Retire { service, old, grace, front, leftovers, old_volumes, keep, unnamed, .. } => {
                self.must_run(facts.candidates(service)).await?;
                let retire = async {
                    self.make_way(service, old, unnamed, front.as_deref(), facts).await?;
                    // That may have taken a while, in which others can do much.
                    self.must_run(facts.candidates(service)).await?;
                    self.retire(service, old, (*grace, *old_volumes), front.as_deref(), facts).await?;
                    self.clear_away(service, leftovers, front.as_deref()).await
                };
                let Some(keep) = keep else { return retire.await };
                // Before the container goes: until then its image can't be pruned.
                self.keep(keep, old, facts.candidates(service)).await;
                tokio::join!(retire, self.forget(service, keep)).0
            }
            Step::Rest { service, front } => self.rest(service, front, facts).await,
            Step::Finish { service, .. } => judge.ask(Phase::Finish, service, facts).await,
            Step::Rollback { service, .. } => judge.ask(Phase::Rollback, service, facts).await,
            Step::RemoveCandidates { service, known } => self.remove_candidates(service, known, facts).await,
            Step::StartOld { service, old, front } => self.start_old(service, old, front.as_deref()).await,
            Step::StopCandidates { service, grace } => self.stop_candidates(service, *grace, facts).await,
            Step::SwitchBack { service, front, to, drain } => self.switch_back(service, front, to, *drain, facts).await,
        }
    }

    async fn holds(&self) -> Result<(), Failure> {
        self.ports.holds().await
    }

    async fn pause(&self, time: Duration) {
        self.ports.sleep(time).await;
    }
}

impl<P: Ports> Performer<'_, P> {
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
