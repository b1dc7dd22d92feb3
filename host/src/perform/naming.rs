//! What an edge's file names: addresses during a run, and the service itself when nothing is at work.
//!
//! An address of a container may be another container's after a restart of the machine, so what nginx reads when it starts
//! must not name one. And a name finds candidates that are not ready, so what it reads during a run must not be a name. The
//! file changes between the two without a reload: the running nginx obeys the same addresses all along.

use futures_util::future::join_all;

use super::performer::Performer;
use crate::model::{Container, Failure, ObeyedMark, Route, ServiceName, Target};
use crate::plan::{Front, PlannedService, files};
use crate::run::{RunFacts, StepResult};
use crate::world::{Content, Edge, OwnSettings, Ports, Publication};

impl<P: Ports> Performer<'_, P> {
    /// Twice: the same bytes are written, and nginx reloads where it does not obey them already. Tells of each service.
    pub(super) async fn adopt(&self, adopted: &[&PlannedService]) -> Vec<Result<StepResult, Failure>> {
        let wanted = join_all(adopted.iter().map(|of| self.told_to_adopt(of))).await;
        let changed = self.change_each(wanted).await;
        changed.into_iter().map(|former| former.map(|_| StepResult::Nothing)).collect()
    }

    /// Names the live containers in the files alone of the edges that obey these addresses already. Returns what the others are
    /// told.
    async fn told_to_adopt<'p>(&self, of: &'p PlannedService) -> Result<Vec<Publication<'p>>, Failure> {
        let mut wanted = Vec::new();
        for front in &of.fronts {
            if !self.adopt_unseen(of, front).await? {
                let publication = Publication::route(&of.name, front, self.route(&of.name, &of.live), true);
                wanted.push(self.owned(publication.with(OwnSettings::Set)).await?);
            }
        }
        Ok(wanted)
    }

    /// Names the live containers in the file alone, where the edge obeys these addresses already; tells whether it is so.
    async fn adopt_unseen(&self, of: &PlannedService, front: &Front) -> Result<bool, Failure> {
        let service = &of.name;
        if !front.is_obeyed() {
            return Ok(false);
        }
        let Some(obeying) = self.obeyed_before(front) else { return Ok(false) };
        Ok(self.owner_now(service, front).await?.is_none()
            && self.write_unseen(service, front, &self.route(service, &of.live), &obeying).await?)
    }

    /// Tells whether one of several edges, which is to go back to this, obeys it as before the run: it was never told of the
    /// candidates, because the edge before it refused, or it did itself, whose configuration people have broken perhaps. It
    /// could be told nothing then, and need not be.
    pub(super) async fn was_never_told(
        &self,
        of: &PlannedService,
        front: &Front,
        content: &Content,
    ) -> Result<bool, Failure> {
        let Content::Route { route, .. } = content else { return Ok(false) };
        let as_before = route.targets == self.route(&of.name, &of.live).targets;
        Ok(of.fronts.len() > 1 && as_before && self.adopt_unseen(of, front).await?)
    }

    /// Writes a route if the edge still obeys what it obeyed then, was not started or made to read its files since and is not
    /// about to be; tells whether it is so. If not, the file may be written or not, and only a
    /// [`change`](Self::change) makes sure of what the edge obeys.
    async fn write_unseen(
        &self,
        service: &ServiceName,
        front: &Front,
        route: &Route,
        obeying: &ObeyedMark,
    ) -> Result<bool, Failure> {
        let edge = self.ports.edge();
        if edge.obeying(service, front).await?.as_ref() != Some(obeying) {
            return Ok(false);
        }
        edge.write(service, front, route, None).await?;
        // Others may have told it in between to read its files.
        Ok(edge.obeying(service, front).await?.as_ref() == Some(obeying))
    }

    /// Twice: a file that is gone stays gone, and the same bytes are written again.
    pub(super) async fn release(&self, of: &PlannedService, facts: &RunFacts) -> Result<StepResult, Failure> {
        let mut released = Vec::new();
        for front in of.fronts.iter().filter(|front| front.is_new()) {
            // What another project has made of that name since is not ours to remove.
            if self.owner_now(&of.name, front).await?.is_none() {
                let before = Publication::content(&of.name, front, Content::Before);
                released.push(before.with(OwnSettings::Gone));
            }
        }
        self.change(released).await?;
        if of.left_behind.is_empty() {
            self.rest_at(of, of.fronts.iter().filter(|front| !front.is_new()), facts).await;
        }
        Ok(StepResult::Nothing)
    }

    /// Twice: what is at rest stays as it is. A failure is told and nothing else: what serves serves, and the next run names
    /// addresses anew.
    pub(super) async fn rest(&self, of: &PlannedService, facts: &RunFacts) -> Result<StepResult, Failure> {
        self.rest_at(of, of.fronts.iter(), facts).await;
        Ok(StepResult::Nothing)
    }

    async fn rest_at(&self, of: &PlannedService, fronts: impl Iterator<Item = &Front>, facts: &RunFacts) {
        for front in fronts {
            if let Err(failure) = self.bring_to_rest(&of.name, front, facts).await {
                self.display.remark(&format!(
                    "{}: `{}` names addresses on, which are other containers' perhaps when nginx starts anew",
                    failure.what,
                    files(of, &[front])
                ));
            }
        }
    }

    /// Names the live containers once more where the file does not any more: a run that is taken up had come to rest already,
    /// and its journal, on a disk that was full, does not know it.
    pub(super) async fn stay_named(&self, service: &ServiceName) -> Result<(), Failure> {
        let Some(planned) = self.planned(service).filter(|planned| !planned.down && !planned.stops_first()) else {
            return Ok(());
        };
        let mut unnamed = Vec::new();
        for front in &planned.fronts {
            let file = self.ports.edge().published(service, front).await?;
            if file.is_none_or(|file| file.by_address().is_none()) {
                unnamed.push(front);
            }
        }
        if unnamed.is_empty() {
            return Ok(());
        }
        let mut live = Vec::new();
        for container in &planned.live {
            if self.any_runs(std::slice::from_ref(container)).await? {
                live.push(self.located(container, planned.reach().as_ref()).await?);
            }
        }
        // Where they are all gone the name finds whoever serves instead, and an address would find nobody.
        if live.is_empty() {
            return Ok(());
        }
        let route = self.route(service, &live);
        self.change(unnamed.into_iter().map(|front| Publication::route(service, front, route.clone(), true))).await?;
        Ok(())
    }

    async fn bring_to_rest(&self, service: &ServiceName, front: &Front, facts: &RunFacts) -> Result<(), Failure> {
        let edge = self.ports.edge();
        let file = edge.published(service, front).await?;
        // Others may have made it theirs since.
        let Some(said) = file.and_then(|file| file.said) else { return Ok(()) };
        let Route { run, project, targets, .. } = said.route;
        if project != self.plan.project || said.rests.is_some() || targets.is_empty() {
            return Ok(());
        }
        // Where nothing has come of the run, the file is the one from before.
        let before = front.before.as_deref().and_then(|text| edge.read(text).said);
        let before = before.filter(|before| before.route.targets == targets);
        // Before the file is written: who is told to read it later must not be taken for one who has obeyed the addresses.
        let obeying = edge.obeying(service, front).await?.ok_or_else(|| Failure::new("nginx has no workers"))?;
        let (run, rested) = before.map_or((run, None), |before| (before.route.run, before.rests));
        let obeying = match rested {
            _ if !facts.candidates(service).is_empty() => obeying,
            // The addresses were written, and whether nginx was told of them nobody knows. If it was not, this is what it obeys.
            Some(rested) => rested,
            None => edge.doubted(obeying),
        };
        let route = Route { run, targets, ..self.route(service, &[]) };
        edge.write(service, front, &route, Some(&obeying)).await
    }

    /// Returns what an edge is told when it goes back: the old containers by address, in the bytes of `adopt`; where they are
    /// there still, nothing is written. A name would find the candidates too, as long as they are there.
    pub(super) async fn content_before(&self, of: &PlannedService) -> Result<Content, Failure> {
        if of.down {
            // Nobody was adopted.
            return Ok(Content::BeforeByAddress);
        }
        // With stop-first the old containers still lie still; they are started, and named anew, by the undo of that.
        let located = if of.stops_first() { of.live.clone() } else { self.revived(of).await? };
        Ok(Content::Route { route: self.route(&of.name, &located), backup: true })
    }

    /// Returns what gives the upstream the backup that the switch has left out, now that the service's name finds nobody but the
    /// candidates: a container that somebody makes without swap is found again. Costs a reload, by which an nginx that resolves
    /// names loses nothing. `None`: it has one, or none can be. Twice: what has a backup stays as it is.
    pub(super) async fn missing_backup<'p>(
        &self,
        service: &'p ServiceName,
        front: &'p Front,
        live: &[Container],
    ) -> Result<Option<Publication<'p>>, Failure> {
        let edge = self.ports.edge();
        let wanted = self.route(service, live);
        if !edge.offers_backup(front) || wanted.targets.len() < live.len() {
            return Ok(None);
        }
        let said = edge.published(service, front).await?.and_then(|file| file.said);
        match said.is_some_and(|said| !said.has_backup) {
            true => self.owned(Publication::route(service, front, wanted, true)).await.map(Some),
            false => Ok(None),
        }
    }

    /// Returns the route of this run to containers, as far as they have an address.
    pub(super) fn route(&self, service: &ServiceName, containers: &[Container]) -> Route {
        Route {
            run: self.plan.run.clone(),
            project: self.plan.project.clone(),
            service: service.clone(),
            targets: containers.iter().filter_map(Target::of).collect(),
        }
    }

    /// Returns who the file from before says obeys its addresses, where it is at rest.
    fn obeyed_before(&self, front: &Front) -> Option<ObeyedMark> {
        self.ports.edge().read(front.before.as_deref()?).said?.rests
    }
}
