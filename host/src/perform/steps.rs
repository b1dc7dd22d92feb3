//! Which step is performed by what.

use std::future::Future;
use std::time::Duration;

use futures_util::stream::{self, FuturesUnordered, LocalBoxStream, Stream, StreamExt as _};

use super::candidates::Create;
use super::health;
use super::naming::Adopt;
use super::old::Retire;
use super::performer::Performer;
use super::switch::{Switch, SwitchBack};
use crate::model::{Failure, Former, Phase};
use crate::plan::Step;
use crate::run::{Facts, Learnt};
use crate::world::{Judge, Ports, World};

impl<P: Ports> World for Performer<'_, P> {
    // Long, because it has some lines for each kind of step that is one effect for several services.
    fn perform<'a>(
        &'a self,
        steps: &'a [&'a Step],
        facts: &'a Facts,
    ) -> impl Stream<Item = (usize, Result<Learnt, Failure>)> + 'a {
        let alike = steps.iter().all(|step| step.verb() == steps[0].verb());
        match steps.first().filter(|_| alike) {
            Some(Step::Adopt { .. }) => together(async move {
                let adopted = only(steps, |step| match step {
                    Step::Adopt { service, front, live, .. } => Some(Adopt { service, front, live }),
                    _ => None,
                });
                self.adopt(&adopted).await.into_iter().enumerate().collect()
            }),
            Some(Step::Create { .. }) => together(async move {
                let created = only(steps, |step| match step {
                    Step::Create { service, count, known, .. } => Some(Create { service, count: *count, known }),
                    _ => None,
                });
                self.create(&created).await
            }),
            Some(Step::Switch { .. }) => together(async move {
                let switched = only(steps, |step| match step {
                    Step::Switch { service, front, judged, .. } => Some(Switch { service, front, judged: *judged }),
                    _ => None,
                });
                let formers = self.switch(&switched, facts).await.into_iter();
                let learnt = |former: Former| Learnt::Former { generation: former };
                formers.map(|(index, former)| (index, former.map(learnt))).collect()
            }),
            Some(Step::SwitchBack { .. }) => together(async move {
                let switched = only(steps, |step| match step {
                    Step::SwitchBack { service, front, to, drain } => {
                        Some(SwitchBack { service, front, to, drain: *drain })
                    }
                    _ => None,
                });
                self.switch_back(&switched, facts).await
            }),
            Some(Step::Retire { .. }) => together(async move {
                let retired = only(steps, |step| match step {
                    Step::Retire { service, old, grace, front, leftovers, old_volumes, keep, unnamed, .. } => {
                        Some(Retire {
                            service,
                            old,
                            grace: *grace,
                            front: front.as_deref(),
                            leftovers,
                            old_volumes: *old_volumes,
                            keep: keep.as_deref(),
                            unnamed,
                        })
                    }
                    _ => None,
                });
                self.retire(&retired, facts).await.into_iter().enumerate().collect()
            }),
            Some(step) if steps.len() == 1 => {
                stream::once(async { (0, self.perform_one(step, facts).await) }).boxed_local()
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
type Results = Vec<(usize, Result<Learnt, Failure>)>;

/// Tells of results as soon as they are there.
fn together<'a>(results: impl Future<Output = Results> + 'a) -> LocalBoxStream<'a, (usize, Result<Learnt, Failure>)> {
    stream::once(results).flat_map(stream::iter).boxed_local()
}

/// Returns what steps of one kind hold.
fn only<'a, T>(steps: &[&'a Step], held: impl Fn(&'a Step) -> Option<T>) -> Vec<T> {
    steps.iter().filter_map(|step| held(step)).collect()
}

impl<P: Ports> Performer<'_, P> {
    // Long, because it has one line or two for each kind of step.
    async fn perform_one(&self, step: &Step, facts: &Facts) -> Result<Learnt, Failure> {
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
            Step::Release { service, front } => self.release(service, front).await,
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
            Step::PostSwap { service, .. } => judge.ask(Phase::PostSwap, service, facts).await,
            Step::Watch { service, time, .. } => health::watch(self, service, *time, facts).await,
            Step::Drain { service, front, timeout, .. } => self.drain(service, front, *timeout, facts).await,
            Step::Commit => self.commit(facts).await,
            Step::Rest { service, front } => self.rest(service, front, facts).await,
            Step::Finish { service, .. } => judge.ask(Phase::Finish, service, facts).await,
            Step::Rollback { service, .. } => judge.ask(Phase::Rollback, service, facts).await,
            Step::RemoveCandidates { service, known } => self.remove_candidates(service, known, facts).await,
            Step::StartOld { service, old, front } => self.start_old(service, old, front.as_deref()).await,
            Step::StopCandidates { service, grace } => self.stop_candidates(service, *grace, facts).await,
            Step::Adopt { .. }
            | Step::Create { .. }
            | Step::Switch { .. }
            | Step::SwitchBack { .. }
            | Step::Retire { .. } => Err(Failure::new("internal: a step that is one effect for several services")),
        }
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
