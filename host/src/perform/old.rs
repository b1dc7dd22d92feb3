//! The old containers stop, come back, or go.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};

use super::performer::Performer;
use crate::model::{Container, ContainerStatus, Failure, OldVolumes, ServiceName};
use crate::plan::{PlannedService, names};
use crate::run::{RunFacts, StepResult};
use crate::world::{Engine, Ports, Publication};

/// A connection that somebody opens at the moment in which a container is connected anew is tried again by the kernel after a
/// second: until then the container must still be there.
const TRIED_AGAIN: Duration = Duration::from_millis(1100);

impl<P: Ports> Performer<'_, P> {
    /// Twice: a stopped container stays stopped. The file names them: the operator has settled that there is a gap.
    pub(super) async fn stop_old(&self, old: &[Container], grace: Option<Duration>) -> Result<StepResult, Failure> {
        self.end(old, grace, false, None).await?;
        Ok(StepResult::Nothing)
    }

    /// Twice: running containers stay, and the same addresses are written again.
    pub(super) async fn start_old(&self, of: &PlannedService) -> Result<StepResult, Failure> {
        let (service, old) = (&of.name, &of.live);
        if self.is_down(service) {
            // They had died before the run: it is enough that somebody has tried.
            join_all(old.iter().map(|container| self.ports.engine().start(&container.id))).await;
            return Ok(StepResult::Nothing);
        }
        try_join_all(old.iter().map(|container| self.ports.engine().start(&container.id))).await?;
        let Some(reach) = of.reach() else { return Ok(StepResult::Nothing) };
        let located = try_join_all(old.iter().map(|container| self.located(container, Some(&reach)))).await?;
        // A container that was stopped may have got another address.
        if located.iter().zip(old).any(|(now, then)| now.address != then.address) {
            let route = self.route(service, &located);
            self.change(of.fronts.iter().map(|front| Publication::route(service, front, route.clone(), true))).await?;
        }
        Ok(StepResult::Nothing)
    }

    /// Returns the old containers with their present addresses; those that somebody stopped are started first, and those that had
    /// lost the service's names already get them back.
    pub(super) async fn revived(&self, of: &PlannedService) -> Result<Vec<Container>, Failure> {
        let (service, old, reach) = (&of.name, &of.live, of.reach());
        let mut located = Vec::new();
        for container in old {
            let Some(seen) = self.ports.engine().inspect(&container.id).await? else { continue };
            self.name_again(service, container, &seen).await?;
            if !seen.runs() {
                self.ports.engine().start(&container.id).await?;
            }
            located.push(self.located(container, reach.as_ref()).await?);
        }
        if located.is_empty() { Err(nothing_left(service, old)) } else { Ok(located) }
    }

    /// Makes sure that nginx sends nobody to the old containers any more, and that the candidates run.
    async fn leave(&self, of: &PlannedService, facts: &RunFacts) -> Result<(), Failure> {
        let service = &of.name;
        self.must_run(facts.candidates(service)).await?;
        let old = of.old();
        self.refuse_if_named(of, &old, true).await?;
        if !of.fronts.is_empty() && !facts.former.contains_key(service) && self.any_runs(&old).await? {
            self.drain_anew(of, facts).await?;
        }
        Ok(())
    }

    /// Takes the service's names from the old containers, so that nobody is sent to them by those; tells whether any had one.
    ///
    /// Twice: what has lost the names stays without them.
    async fn take_names(&self, of: &PlannedService) -> Result<bool, Failure> {
        let (service, old, unnamed) = (&of.name, of.old(), of.unnamed());
        let mut taken = false;
        for (container, network) in old.iter().flat_map(|old| unnamed.iter().map(move |network| (old, network))) {
            self.ports.holds().await?;
            match self.unname(container, network).await {
                Ok(did) => taken |= did,
                // It stops all the same: some who call the service by its name may find nobody meanwhile.
                Err(failure) => self.display.remark(&format!("{service}: {}", failure.what)),
            }
        }
        Ok(taken)
    }

    /// Retires services beside one another; what one nginx must be told then it is told once. Tells of each.
    ///
    /// Twice: what is stopped stays stopped, what is gone stays gone.
    pub(super) async fn retire(
        &self,
        retired: &[&PlannedService],
        facts: &RunFacts,
    ) -> Vec<Result<StepResult, Failure>> {
        let mut left = join_all(retired.iter().map(|of| self.leave(of, facts))).await;
        let mut taken = false;
        for (of, left) in retired.iter().zip(&mut left).filter(|(_, left)| left.is_ok()) {
            // Before any of them stops: each is to get back the address that it has given.
            match self.take_names(of).await {
                Ok(did) => taken |= did,
                Err(failure) => *left = Err(failure),
            }
        }
        if taken {
            self.ports.sleep(TRIED_AGAIN).await;
        }
        let ended = retired.iter().zip(left).map(async |(of, left)| {
            left?;
            self.end_old(of, facts).await
        });
        let ended = join_all(ended).await;
        self.give_backups(retired.iter().zip(&ended).filter(|(_, ended)| ended.is_ok()).map(|(of, _)| *of), facts)
            .await;
        let cleared = retired.iter().zip(ended).map(async |(of, ended)| {
            ended?;
            self.clear_away(of).await
        });
        join_all(cleared).await
    }

    /// Stops and removes the old containers of a service.
    async fn end_old(&self, of: &PlannedService, facts: &RunFacts) -> Result<(), Failure> {
        let (service, old) = (&of.name, of.old());
        let candidates = facts.candidates(service);
        // It may have taken a while to come here, in which others can do much.
        self.must_run(candidates).await?;
        // The engine keeps a volume that another container uses.
        let end = self.end(&old, of.grace, true, Some(of.old_volumes == OldVolumes::Remove));
        let Some(keep) = &of.keep else { return end.await };
        // Before the container goes: until then its image can't be pruned.
        self.keep(keep, &old, candidates).await;
        tokio::join!(end, self.forget(service, keep)).0
    }

    async fn give_backups<'r>(&self, retired: impl Iterator<Item = &'r PlannedService>, facts: &RunFacts) {
        let mut wanted = Vec::new();
        let mut fronts = Vec::new();
        for (of, front) in retired.flat_map(|of| of.fronts.iter().map(move |front| (of, front))) {
            let missing = self.missing_backup(&of.name, front, facts.candidates(&of.name)).await;
            if let Some(publication) = missing.transpose() {
                wanted.push(publication.map(|publication| vec![publication]));
                fronts.push((&of.name, front));
            }
        }
        for (failure, (service, front)) in self.change_each(wanted).await.into_iter().zip(fronts) {
            if let Err(failure) = failure {
                // The candidates serve all the same, and the next swap writes the file anew.
                self.display.remark(&format!("{}: `{}` has no backup", failure.what, front.file(service)));
            }
        }
    }

    /// Removes containers that did not run when the run began: compose counts them, and would start them in the old version.
    /// One that runs now was started by somebody since, and stays.
    ///
    /// Twice: what is gone stays gone. Their volumes stay.
    async fn clear_away(&self, of: &PlannedService) -> Result<StepResult, Failure> {
        for leftover in &of.stopped {
            match self.ports.engine().inspect(&leftover.id).await? {
                None => {}
                Some(seen) if seen.runs() || seen.state == ContainerStatus::Paused => {
                    self.display.remark(&format!(
                        "{} did not run when the swap began and is {} now, so it stays, in the old version",
                        leftover.name, seen.state
                    ));
                }
                Some(_) => {
                    // One that the engine restarts again and again is between two lives.
                    let one = std::slice::from_ref(leftover);
                    self.refuse_if_named(of, one, true).await?;
                    self.end(one, Some(Duration::ZERO), true, Some(false)).await?;
                }
            }
        }
        Ok(StepResult::Nothing)
    }

    /// Somebody must serve: where the old containers were removed by somebody else, the candidates stay; where they were
    /// stopped, they are started, and found by the service's names again. With stop-first it was we who stopped them.
    pub(super) async fn refuse_if_alone(&self, service: &ServiceName) -> Result<(), Failure> {
        let planned = self.planned(service);
        if self.is_down(service) {
            return Ok(());
        }
        let old = planned.map_or(&[][..], |planned| &planned.live);
        let stop_first = self.stops_first(service);
        let mut left = false;
        for container in old {
            let Some(seen) = self.ports.engine().inspect(&container.id).await? else { continue };
            left = true;
            self.name_again(service, container, &seen).await?;
            if !seen.runs() && !stop_first {
                self.ports.engine().start(&container.id).await?;
            }
        }
        if left { Ok(()) } else { Err(nothing_left(service, old)) }
    }
}

pub(super) fn nothing_left(service: &ServiceName, old: &[Container]) -> Failure {
    Failure::new(format!("somebody removed {} during the run, so the candidates are kept", names(old)))
        .hint(format!("`docker compose up -d {service}` settles which containers there should be"))
}
