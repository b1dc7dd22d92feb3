//! Which containers an edge sends requests to, and waiting until it uses the others no more.

use std::time::Duration;

use super::health;
use super::performer::Performer;
use crate::model::{Container, Failure, Former, ServiceName};
use crate::plan::{Front, names};
use crate::run::{Facts, Learnt};
use crate::world::{Edge, OwnSettings, Ports, Publication};

/// The pause before former workers are looked at again where a look at them has failed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// So many times they are looked at again where nothing at all is seen.
const LOOKS: u32 = 3;

impl<P: Ports> Performer<'_, P> {
    /// Returns the project that the upstream file belongs to now, where that is another one: while a run was dead, others may
    /// have taken the name.
    pub(super) async fn owner_now(&self, service: &ServiceName, front: &Front) -> Result<Option<String>, Failure> {
        let owner = self.ports.edge().published(service, front).await?.and_then(|file| file.owner);
        Ok(owner.filter(|owner| *owner != self.plan.project))
    }

    /// Tells an edge where requests go and makes it obey, unless the file is another project's by now.
    pub(super) async fn change(
        &self,
        service: &ServiceName,
        front: &Front,
        publication: &Publication,
    ) -> Result<Former, Failure> {
        if let Some(owner) = self.owner_now(service, front).await? {
            return Err(Failure::new(format!("`{}` belongs to project `{owner}` now", front.file(service)))
                .hint("see `swap doctor` for how two projects share an nginx"));
        }
        self.ports.edge().publish(service, front, publication).await
    }

    /// Twice: the same bytes are written and nginx reloads once more.
    pub(super) async fn switch(
        &self,
        service: &ServiceName,
        front: &Front,
        judged: bool,
        facts: &Facts,
    ) -> Result<Former, Failure> {
        let candidates = facts.candidates(service);
        if let Some(lost) = candidates.iter().find(|candidate| candidate.address.is_none()) {
            return Err(Failure::new(format!("candidate `{}` has no address that nginx could use", lost.name)));
        }
        self.must_run_on(candidates).await?;
        health::before_switch(self, service, facts).await?;
        // The backup finds the old containers too as long as they run, and what it hides can't be judged.
        let publication = Publication::route(self.route(service, candidates), !judged).with(OwnSettings::Set);
        let former = self.change(service, front, &publication).await?;
        if let Some(probe) = self.probes.get(service) {
            probe.switched();
        }
        Ok(former)
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
        let content = self.content_before(service, front, to).await?;
        let former = self.change(service, front, &Publication::content(content)).await?;
        if !self.is_down(service) {
            self.display.note(&format!("{service}: {} serves again", names(to)));
        }
        // Where nobody knows whether one runs, they are waited for.
        if self.any_runs(facts.candidates(service)).await.unwrap_or(true) {
            // Requests that are still at the candidates after that are cut: they are to go.
            let note = |left| format!("{left} nginx workers still use the candidates");
            let deadline = self.ports.now() + drain;
            if self.await_left(service, front, &former, drain, note).await.is_err() {
                self.ports.sleep(deadline.saturating_sub(self.ports.now())).await;
            }
        }
        // Where nothing was adopted, nobody else brings the file to rest.
        if self.is_down(service) { self.rest(service, front, facts).await } else { Ok(Learnt::Nothing) }
    }

    /// Twice: workers that are gone stay gone.
    pub(super) async fn drain(
        &self,
        service: &ServiceName,
        front: &Front,
        timeout: Duration,
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        match facts.former.get(service) {
            Some(former) => self.drain_of(service, front, timeout, former).await.map(|()| Learnt::Nothing),
            None => Ok(Learnt::Nothing),
        }
    }

    /// Waits until nobody uses the old containers any more.
    ///
    /// When time is up the run goes on: what is left is cut when the old container stops, as the operator has settled.
    async fn drain_of(
        &self,
        service: &ServiceName,
        front: &Front,
        timeout: Duration,
        former: &Former,
    ) -> Result<(), Failure> {
        let note = |left| format!("{left} old nginx workers still have requests");
        let Some(failure) = self.await_left(service, front, former, timeout, note).await? else { return Ok(()) };
        self.display.remark(&format!("{}: they are cut when the old container stops", failure.what));
        if let Some(hint) = failure.hint {
            self.display.say(&format!("  hint: {hint}"));
        }
        Ok(())
    }

    /// Waits until all of the former ones have left. Returns why some are not known to have when the time is over.
    ///
    /// A look at them that fails is no sign that the time is over: they are looked at again. Fails where that does not help.
    async fn await_left(
        &self,
        service: &ServiceName,
        front: &Front,
        former: &Former,
        timeout: Duration,
        note: impl Fn(usize) -> String,
    ) -> Result<Option<Failure>, Failure> {
        let edge = self.ports.edge();
        let mut note = |left: usize| self.display.note(&note(left));
        let deadline = self.ports.now() + timeout;
        let mut failed = 0;
        loop {
            let time = deadline.saturating_sub(self.ports.now());
            let Err(failure) = edge.await_left(service, front, former, time, &mut note).await else { return Ok(None) };
            let over = self.ports.now() >= deadline;
            match edge.have_left(service, front, former).await {
                Ok(true) => return Ok(None),
                Ok(false) if over => return Ok(Some(failure)),
                Err(failure) if over || failed == LOOKS => return Err(failure),
                Ok(false) => failed = 0,
                Err(_) => failed += 1,
            }
            self.ports.sleep(LOOK_AGAIN).await;
        }
    }

    /// Drains where nobody knows the workers that served the old containers, because the journal was lost: nginx is told
    /// once more what it knows, and all workers from before are waited for.
    pub(super) async fn drain_anew(&self, service: &ServiceName, front: &Front, facts: &Facts) -> Result<(), Failure> {
        let former = self.switch(service, front, false, facts).await?;
        let timeout = self.planned(service).map_or(Duration::ZERO, |of| of.drain_timeout);
        self.drain_of(service, front, timeout, &former).await
    }
}
