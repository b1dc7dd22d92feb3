//! Which containers an edge sends requests to, and waiting until it uses the others no more.

use std::time::Duration;

use futures_util::future::join_all;

use super::health;
use super::performer::Performer;
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

    /// Tells the edges before a service where requests go and makes them obey, unless a file is another project's by now.
    pub(super) async fn change<'p>(
        &self,
        publications: impl IntoIterator<Item = Publication<'p>>,
    ) -> Result<Vec<FormerRoute>, Failure> {
        let changed = self.change_each(vec![self.owned_all(publications).await]).await;
        changed.into_iter().next().unwrap_or_else(unanswered)
    }

    async fn owned_all<'p>(
        &self,
        publications: impl IntoIterator<Item = Publication<'p>>,
    ) -> Result<Vec<Publication<'p>>, Failure> {
        let mut owned = Vec::new();
        for publication in publications {
            owned.push(self.owned(publication).await?);
        }
        Ok(owned)
    }

    /// Tells edges where requests go and makes them obey, as far as that is not refused already: for each service the edges
    /// before it. A service fails where one of its edges does; the others have been told then, or not, and stay so until the
    /// undo of the step, or the step once more, tells all of them.
    pub(super) async fn change_each(
        &self,
        wanted: Vec<Result<Vec<Publication<'_>>, Failure>>,
    ) -> Vec<Result<Vec<FormerRoute>, Failure>> {
        let publications: Vec<Publication<'_>> = wanted.iter().flatten().flatten().cloned().collect();
        let published = match publications.is_empty() {
            true => Vec::new(),
            false => self.ports.edge().publish(&publications).await,
        };
        let mut published = published.into_iter();
        let mut former = |Publication { service, front, .. }: Publication<'_>| {
            let answered = published.next().unwrap_or_else(unanswered);
            answered.map_err(|failure| Failure { what: self.said_of(service, front, &failure.what), ..failure })
        };
        let each = wanted.into_iter().map(|wanted| {
            // Each takes its own, also behind one that has refused.
            let formers: Vec<Result<FormerRoute, Failure>> = wanted?.into_iter().map(&mut former).collect();
            formers.into_iter().collect()
        });
        each.collect()
    }

    /// Switches all services at all their edges or, where one of them is not ready for it, none. Tells of each that was switched
    /// or refused, by its place. Twice: the same bytes are written and nginx reloads once more.
    pub(super) async fn switch(
        &self,
        switched: &[&PlannedService],
        facts: &RunFacts,
    ) -> Vec<(usize, Result<Vec<FormerRoute>, Failure>)> {
        let ready = join_all(switched.iter().map(|of| self.ready(of, of.judged, facts))).await;
        if ready.iter().any(Result::is_err) {
            let refused = ready.into_iter().enumerate();
            return refused.filter_map(|(index, ready)| Some((index, Err(ready.err()?)))).collect();
        }
        let formers = self.change_each(ready).await;
        for (of, _) in switched.iter().zip(&formers).filter(|(_, formers)| formers.is_ok()) {
            if let Some(probe) = self.probes.get(&of.name) {
                probe.switched();
            }
        }
        formers.into_iter().enumerate().collect()
    }

    /// Returns what the edges are told where the candidates of a service can be switched to. `judged`: somebody judges them while
    /// the old containers still run.
    async fn ready<'p>(
        &self,
        of: &'p PlannedService,
        judged: bool,
        facts: &RunFacts,
    ) -> Result<Vec<Publication<'p>>, Failure> {
        let service = &of.name;
        let candidates = facts.candidates(service);
        if let Some(lost) = candidates.iter().find(|candidate| candidate.address.is_none()) {
            return Err(Failure::new(format!("candidate `{}` has no address that nginx could use", lost.name)));
        }
        self.must_run_on(candidates).await?;
        health::before_switch(self, service, facts).await?;
        // The backup finds the old containers too as long as they run, and what it hides can't be judged.
        let route = self.route(service, candidates);
        let told = |front| Publication::route(service, front, route.clone(), !judged).with(OwnSettings::Set);
        self.owned_all(of.fronts.iter().map(told)).await
    }

    /// Twice: as for the switch. Of a switch that failed nobody knows which edges were told, so all are, but for those that show
    /// that they were not.
    ///
    /// Waits until no nginx worker uses the candidates, because they are stopped next.
    pub(super) async fn switch_back(
        &self,
        switched: &[&PlannedService],
        facts: &RunFacts,
    ) -> Vec<(usize, Result<StepResult, Failure>)> {
        let wanted = join_all(switched.iter().map(|of| self.told_to_go_back(of))).await;
        let told = wanted.iter().map(|wanted| wanted.iter().flatten().map(|publication| publication.front).collect());
        let told: Vec<Vec<&Front>> = told.collect();
        let formers = self.change_each(wanted).await;
        let ended =
            switched.iter().zip(told).zip(formers).map(async |((of, told), formers)| {
                self.end_switch_back(of, told.into_iter().zip(&formers?), facts).await
            });
        join_all(ended).await.into_iter().enumerate().collect()
    }

    /// Returns what the edges before a service are told that are to go back.
    async fn told_to_go_back<'p>(&self, of: &'p PlannedService) -> Result<Vec<Publication<'p>>, Failure> {
        let content = self.content_before(of).await?;
        let mut told = Vec::new();
        for front in &of.fronts {
            if !self.was_never_told(of, front, &content).await? {
                told.push(self.owned(Publication::content(&of.name, front, content.clone())).await?);
            }
        }
        Ok(told)
    }

    async fn end_switch_back<'f>(
        &self,
        of: &PlannedService,
        told: impl Iterator<Item = (&'f Front, &'f FormerRoute)>,
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        if !of.down {
            self.display.note(&format!("{}: {} serves again", of.name, names(&of.live)));
        }
        // Where nobody knows whether one runs, they are waited for.
        if self.any_runs(facts.candidates(&of.name)).await.unwrap_or(true) {
            // Requests that are still at the candidates after that are cut: they are to go.
            let deadline = self.ports.now() + of.drain_timeout;
            let left = self.await_all_left(of, told, |left| format!("{left} nginx workers still use the candidates"));
            if left.await.iter().any(Result::is_err) {
                self.ports.sleep(deadline.saturating_sub(self.ports.now())).await;
            }
        }
        // Where nothing was adopted, nobody else brings the file to rest.
        if of.down { self.rest(of, facts).await } else { Ok(StepResult::Nothing) }
    }

    /// Twice: workers that are gone stay gone.
    pub(super) async fn drain(&self, of: &PlannedService, facts: &RunFacts) -> Result<StepResult, Failure> {
        match facts.former.get(&of.name) {
            Some(formers) => self.drain_of(of, formers).await.map(|()| StepResult::Nothing),
            None => Ok(StepResult::Nothing),
        }
    }

    /// Waits until nobody uses the old containers any more.
    ///
    /// When time is up the run goes on: what is left is cut when the old container stops, as the operator has settled.
    async fn drain_of(&self, of: &PlannedService, formers: &[FormerRoute]) -> Result<(), Failure> {
        let note = |left| format!("{left} old nginx workers still have requests");
        let left = self.await_all_left(of, of.fronts.iter().zip(formers), note).await;
        for (left, front) in left.into_iter().zip(&of.fronts) {
            let Some(failure) = left? else { continue };
            let what = self.said_of(&of.name, front, &failure.what);
            self.display.remark(&format!("{what}: they are cut when the old container stops"));
            if let Some(hint) = failure.hint {
                self.display.say(&format!("  hint: {hint}"));
            }
        }
        Ok(())
    }

    /// Waits at edges before a service until all of the former ones have left. Tells of each.
    async fn await_all_left<'f>(
        &self,
        of: &PlannedService,
        edges: impl Iterator<Item = (&'f Front, &'f FormerRoute)>,
        note: impl Fn(usize) -> String,
    ) -> Vec<Result<Option<Failure>, Failure>> {
        let left = edges.map(|(front, former)| {
            let note = |left| self.said_of(&of.name, front, &note(left));
            self.await_left(&of.name, front, former, of.drain_timeout, note)
        });
        join_all(left).await
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
    pub(super) async fn drain_anew(&self, of: &PlannedService, facts: &RunFacts) -> Result<(), Failure> {
        let formers = self.change(self.ready(of, false, facts).await?).await?;
        self.drain_of(of, &formers).await
    }
}

fn unanswered<T>() -> Result<T, Failure> {
    Err(Failure::new("internal: an edge has not answered"))
}
