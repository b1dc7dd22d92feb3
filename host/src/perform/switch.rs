//! Which containers nginx sends requests to, and waiting until it uses the others no more.

use std::sync::Arc;
use std::time::Duration;

use super::health;
use super::live::Live;
use crate::model::{Container, Failure, ServiceName};
use crate::nginx::{self, FileChange, TUNING_FILE};
use crate::plan::{Front, Step, names};
use crate::run::{Facts, Generation, Learnt};
use crate::site::front::FrontDoor;

impl Live<'_> {
    pub(super) async fn door(&self, service: &ServiceName, front: &Front) -> Result<Arc<FrontDoor>, Failure> {
        self.site.doors.of(&self.site.docker, &self.plan.project, service, front).await
    }

    /// Returns the project that the upstream file belongs to now, where that is another one: while a run was dead, others may
    /// have taken the name.
    pub(super) async fn owner_now(&self, service: &ServiceName, front: &Front) -> Result<Option<String>, Failure> {
        let text = self.site.upstream_now(self.plan, service, front).await?;
        let owner = text.as_deref().and_then(nginx::owner).filter(|owner| *owner != self.plan.project);
        Ok(owner.map(str::to_owned))
    }

    /// Changes nginx's files and makes it obey them. After a failure nginx is found anew: it may have been restarted.
    pub(super) async fn change(
        &self,
        service: &ServiceName,
        front: &Front,
        changes: &[FileChange],
    ) -> Result<Generation, Failure> {
        if let Some(owner) = self.owner_now(service, front).await? {
            return Err(Failure::new(format!("`{}` belongs to project `{owner}` now", front.file(service)))
                .hint("see `swap doctor` for how two projects share an nginx"));
        }
        let door = self.door(service, front).await?;
        let nginx = nginx::Nginx { patience: self.site.settings(service).timeouts.reload, ..door.nginx.clone() };
        match door.proxy.switch(&nginx, changes).await {
            Ok(generation) => Ok(generation),
            Err(failure) => {
                self.site.doors.forget(&front.proxy).await;
                Err(failure.into())
            }
        }
    }

    /// Twice: the same bytes are written and nginx reloads once more.
    pub(super) async fn switch(
        &self,
        service: &ServiceName,
        front: &Front,
        judged: bool,
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        let candidates = facts.candidates(service);
        if let Some(lost) = candidates.iter().find(|candidate| candidate.address.is_none()) {
            return Err(Failure::new(format!("candidate `{}` has no address that nginx could use", lost.name)));
        }
        self.must_run_on(candidates).await?;
        health::before_switch(self, service, facts).await?;
        // The backup finds the old containers too as long as they run, and what it hides can't be judged.
        let shown = Front { resolver: front.resolver.filter(|_| !judged), ..front.clone() };
        let mut changes = vec![self.upstream_change(service, &shown, candidates)];
        changes.extend(tuning(front));
        let generation = self.change(service, front, &changes).await?;
        if let Some(probe) = self.probes.get(service) {
            probe.switched();
        }
        Ok(Learnt::Former { generation })
    }

    /// Twice: as for the switch.
    ///
    /// Waits until no nginx worker uses the candidates, because they are stopped next.
    pub(super) async fn switch_back(
        &self,
        service: &ServiceName,
        front: &Front,
        to: &[Container],
        drain: Duration,
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        let text = self.text_before(service, front, to).await?;
        let generation = self.change(service, front, &[FileChange::upstream(front.upstream(service), text)]).await?;
        let door = self.door(service, front).await?;
        if !self.is_down(service) {
            self.display.note(&format!("{service}: {} serves again", names(to)));
        }
        if self.any_runs(facts.candidates(service)).await {
            // Requests that are still at the candidates after that are cut: they are to go.
            let note = |left: &[nginx::Worker]| {
                self.display.note(&format!("{} nginx workers still use the candidates", left.len()))
            };
            let _ = door.proxy.await_drained(&generation, drain, note).await;
        }
        // Where nothing was adopted, nobody else brings the file to rest.
        if self.is_down(service) { self.rest(service, front, facts).await } else { Ok(Learnt::Nothing) }
    }

    /// Twice: workers that are gone stay gone.
    ///
    /// When time is up the run goes on: what is left is cut when the old container stops, as the operator has settled.
    pub(super) async fn drain(
        &self,
        service: &ServiceName,
        front: &Front,
        timeout: Duration,
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        let Some(generation) = facts.former.get(service) else { return Ok(Learnt::Nothing) };
        let door = self.door(service, front).await?;
        let note = |left: &[nginx::Worker]| {
            self.display.note(&format!("{} old nginx workers still have requests", left.len()))
        };
        if let Err(failure) = door.proxy.await_drained(generation, timeout, note).await {
            if door.proxy.drained(generation).await?.is_empty() {
                return Ok(Learnt::Nothing);
            }
            self.display.remark(&format!("{}: they are cut when the old container stops", failure.what));
            if let Some(hint) = failure.hint {
                self.display.say(&format!("  hint: {hint}"));
            }
        }
        Ok(Learnt::Nothing)
    }

    /// Drains where nobody knows the workers that served the old containers, because the journal was lost: nginx is told
    /// once more what it knows, and all workers from before are waited for.
    pub(super) async fn drain_anew(&self, service: &ServiceName, front: &Front, facts: &Facts) -> Result<(), Failure> {
        let Learnt::Former { generation } = self.switch(service, front, false, facts).await? else { return Ok(()) };
        let timeout = self.plan.steps.iter().find_map(|step| match step {
            Step::Drain { service: of, timeout, .. } if of == service => Some(*timeout),
            _ => None,
        });
        let facts = Facts { former: [(service.clone(), generation)].into(), ..facts.clone() };
        self.drain(service, front, timeout.unwrap_or_default(), &facts).await.map(drop)
    }
}

/// Returns what swap adds to nginx's settings, if anything.
pub(super) fn tuning(front: &Front) -> Option<FileChange> {
    front.tuning.as_ref().map(|text| FileChange { name: TUNING_FILE.to_owned(), text: Some(text.clone()) })
}
