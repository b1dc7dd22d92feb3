//! Which containers an edge sends requests to, and waiting until it uses the others no more.

use std::time::Duration;

use futures_util::future::join_all;

use super::health;
use super::performer::{Performer, nginx, unplanned};
use crate::model::{Failure, FormerRoute, ServiceName};
use crate::plan::{Front, PlannedService, names};
use crate::run::{RunFacts, StepResult};
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

    /// Fails where the file that is to change is another project's by now.
    pub(super) async fn owned<'p>(&self, publication: Publication<'p>) -> Result<Publication<'p>, Failure> {
        let Publication { service, front, .. } = publication;
        match self.owner_now(service, front).await? {
            Some(owner) => Err(Failure::new(format!("`{}` belongs to project `{owner}` now", front.file(service)))
                .hint("see `swap doctor` for how two projects share an nginx")),
            None => Ok(publication),
        }
    }

    /// Tells an edge where requests go and makes it obey, unless the file is another project's by now.
    pub(super) async fn change(&self, publication: Publication<'_>) -> Result<FormerRoute, Failure> {
        let changed = self.change_each(vec![self.owned(publication).await]).await;
        changed.into_iter().next().unwrap_or_else(|| Err(Failure::new("internal: an edge has not answered")))
    }

    /// Tells edges where requests go and makes them obey, as far as that is not refused already.
    pub(super) async fn change_each(
        &self,
        wanted: Vec<Result<Publication<'_>, Failure>>,
    ) -> Vec<Result<FormerRoute, Failure>> {
        let publications: Vec<Publication<'_>> =
            wanted.iter().filter_map(|wanted| wanted.as_ref().ok()).cloned().collect();
        let published = match publications.is_empty() {
            true => Vec::new(),
            false => self.ports.edge().publish(&publications).await,
        };
        let mut published = published.into_iter();
        let unanswered = || Err(Failure::new("internal: an edge has not answered"));
        wanted.into_iter().map(|wanted| wanted.and_then(|_| published.next().unwrap_or_else(unanswered))).collect()
    }

    /// Switches all services or, where one of them is not ready for it, none. Tells of each that was switched or refused, by its
    /// place. Twice: the same bytes are written and nginx reloads once more.
    pub(super) async fn switch(
        &self,
        switched: &[&PlannedService],
        facts: &RunFacts,
    ) -> Vec<(usize, Result<FormerRoute, Failure>)> {
        let ready = join_all(switched.iter().map(|of| self.ready(of, of.judged, facts))).await;
        if ready.iter().any(Result::is_err) {
            let refused = ready.into_iter().enumerate();
            return refused.filter_map(|(index, ready)| Some((index, Err(ready.err()?)))).collect();
        }
        let formers = self.change_each(ready).await;
        for (of, _) in switched.iter().zip(&formers).filter(|(_, former)| former.is_ok()) {
            if let Some(probe) = self.probes.get(&of.name) {
                probe.switched();
            }
        }
        formers.into_iter().enumerate().collect()
    }

    /// Returns what an edge is told where the candidates of a service can be switched to. `judged`: somebody judges them while the
    /// old containers still run.
    async fn ready<'p>(
        &self,
        of: &'p PlannedService,
        judged: bool,
        facts: &RunFacts,
    ) -> Result<Publication<'p>, Failure> {
        let (service, front) = (&of.name, nginx(of)?);
        let candidates = facts.candidates(service);
        if let Some(lost) = candidates.iter().find(|candidate| candidate.address.is_none()) {
            return Err(Failure::new(format!("candidate `{}` has no address that nginx could use", lost.name)));
        }
        self.must_run_on(candidates).await?;
        health::before_switch(self, service, facts).await?;
        // The backup finds the old containers too as long as they run, and what it hides can't be judged.
        let publication = Publication::route(service, front, self.route(service, candidates), !judged);
        self.owned(publication.with(OwnSettings::Set)).await
    }

    /// Twice: as for the switch.
    ///
    /// Waits until no nginx worker uses the candidates, because they are stopped next.
    pub(super) async fn switch_back(
        &self,
        switched: &[&PlannedService],
        facts: &RunFacts,
    ) -> Vec<(usize, Result<StepResult, Failure>)> {
        let wanted = switched.iter().map(|of| async {
            let (service, front) = (&of.name, nginx(of)?);
            let content = self.content_before(service, front, &of.live).await?;
            self.owned(Publication::content(service, front, content)).await
        });
        let formers = self.change_each(join_all(wanted).await).await;
        let ended =
            switched.iter().zip(formers).map(async |(of, former)| self.end_switch_back(of, former?, facts).await);
        join_all(ended).await.into_iter().enumerate().collect()
    }

    async fn end_switch_back(
        &self,
        of: &PlannedService,
        former: FormerRoute,
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        let (service, front, drain) = (&of.name, nginx(of)?, of.drain_timeout);
        if !self.is_down(service) {
            self.display.note(&format!("{service}: {} serves again", names(&of.live)));
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
        if self.is_down(service) { self.rest(service, front, facts).await } else { Ok(StepResult::Nothing) }
    }

    /// Twice: workers that are gone stay gone.
    pub(super) async fn drain(
        &self,
        service: &ServiceName,
        front: &Front,
        timeout: Duration,
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        match facts.former.get(service) {
            Some(former) => self.drain_of(service, front, timeout, former).await.map(|()| StepResult::Nothing),
            None => Ok(StepResult::Nothing),
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
        former: &FormerRoute,
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
        former: &FormerRoute,
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
    pub(super) async fn drain_anew(
        &self,
        service: &ServiceName,
        front: &Front,
        facts: &RunFacts,
    ) -> Result<(), Failure> {
        let of = self.planned(service).ok_or_else(|| unplanned(service))?;
        let former = self.change(self.ready(of, false, facts).await?).await?;
        self.drain_of(service, front, of.drain_timeout, &former).await
    }
}
