//! What nginx's file names: addresses during a run, and the service itself when nothing is at work.
//!
//! An address of a container may be another container's after a restart of the machine, so what nginx reads when it starts
//! must not name one. And a name finds candidates that are not ready, so what it reads during a run must not be a name. The
//! file changes between the two without a reload: the running nginx obeys the same addresses all along.

use super::live::Live;
use super::switch::tuning;
use crate::model::{Container, Failure, ServiceName};
use crate::nginx::{self, FileChange, Obeyed, Rest, UpstreamFile};
use crate::plan::Front;
use crate::run::{Facts, Learnt};

impl Live<'_> {
    /// Twice: the same bytes are written, and nginx reloads where it does not obey them already.
    pub(super) async fn adopt(
        &self,
        service: &ServiceName,
        front: &Front,
        live: &[Container],
    ) -> Result<Learnt, Failure> {
        let change = self.upstream_change(service, front, live);
        if front.is_obeyed()
            && let Some(Rest { obeyed, .. }) = rest_of(front)
            && self.owner_now(service, front).await?.is_none()
        {
            let door = self.door(service, front).await?;
            if door.proxy.write_unseen(&door.nginx, &change, &obeyed).await? {
                return Ok(Learnt::Nothing);
            }
        }
        let mut changes = vec![change];
        changes.extend(tuning(front));
        self.change(service, front, &changes).await?;
        Ok(Learnt::Nothing)
    }

    /// Twice: a file that is gone stays gone, and the same bytes are written again.
    pub(super) async fn release(&self, service: &ServiceName, front: &Front) -> Result<Learnt, Failure> {
        if self.owner_now(service, front).await?.is_some() {
            // Another project has made a file of that name since, which is not ours to remove.
            return Ok(Learnt::Nothing);
        }
        let mut changes = vec![FileChange::upstream(front.upstream(service), front.before.clone())];
        changes.extend(tuning(front).map(|tuning| FileChange { text: None, ..tuning }));
        self.change(service, front, &changes).await?;
        Ok(Learnt::Nothing)
    }

    /// Twice: what is at rest stays as it is. A failure is told and nothing else: what serves serves, and the next run names
    /// addresses anew.
    pub(super) async fn rest(&self, service: &ServiceName, front: &Front, facts: &Facts) -> Result<Learnt, Failure> {
        if let Err(failure) = self.bring_to_rest(service, front, facts).await {
            self.display.remark(&format!(
                "{}: `{}` names addresses on, which are other containers' perhaps when nginx starts anew",
                failure.what,
                front.file(service)
            ));
        }
        Ok(Learnt::Nothing)
    }

    /// Names the live containers once more where the file does not any more: a run that is taken up had come to rest already,
    /// and its journal, on a disk that was full, does not know it.
    pub(super) async fn stay_named(&self, service: &ServiceName) -> Result<(), Failure> {
        let (Some(front), Some(planned)) = (self.plan.front(service), self.planned(service)) else { return Ok(()) };
        if planned.down || self.stops_first(service) {
            return Ok(());
        }
        let text = self.site.upstream_now(self.plan, service, front).await?;
        let by_address = text.and_then(|text| nginx::parse(&text).ok()).is_some_and(|file| file.rest.is_none());
        if by_address {
            return Ok(());
        }
        let mut live = Vec::new();
        for container in &planned.live {
            if self.site.docker.inspect(&container.id).await?.is_some_and(|seen| seen.runs()) {
                live.push(self.located(container, Some(&front.reach())).await?);
            }
        }
        // Where they are all gone the name finds whoever serves instead, and an address would find nobody.
        if live.is_empty() {
            return Ok(());
        }
        self.change(service, front, &[self.upstream_change(service, front, &live)]).await?;
        Ok(())
    }

    async fn bring_to_rest(&self, service: &ServiceName, front: &Front, facts: &Facts) -> Result<(), Failure> {
        let text = self.site.upstream_now(self.plan, service, front).await?;
        // Others may have made it theirs since.
        let Some(file) = text.as_deref().and_then(|text| nginx::parse(text).ok()) else { return Ok(()) };
        if file.project != self.plan.project || file.rest.is_some() || file.servers.is_empty() {
            return Ok(());
        }
        // Where nothing has come of the run, the file is the one from before.
        let before = front.before.as_deref().and_then(|text| nginx::parse(text).ok());
        let before = before.filter(|before| before.servers == file.servers);
        // Before the file is written: who is told to read it later must not be taken for one who has obeyed the addresses.
        let (mut door, mut generation) = (self.door(service, front).await?, None);
        for _ in 0..2 {
            generation = door.proxy.generation(&door.nginx).await?;
            if generation.is_some() {
                break;
            }
            // It was restarted since.
            self.site.doors.forget(&front.proxy).await;
            door = self.door(service, front).await?;
        }
        let obeyed = generation.as_ref().and_then(Obeyed::of).ok_or_else(|| Failure::new("nginx has no workers"))?;
        let empty = self.upstream(service, front, &[]);
        let name = front.named(service).filter(|_| empty.fallback.is_none()).map(|name| (name.clone(), front.port));
        let (run, rested) = before.map_or((file.run, None), |before| (before.run, before.rest));
        let obeyed = match rested {
            _ if !facts.candidates(service).is_empty() => obeyed,
            // The addresses were written, and whether nginx was told of them nobody knows. If it was not, this is what it obeys.
            Some(rested) => rested.obeyed,
            None => obeyed.doubted(),
        };
        let file = UpstreamFile { run, servers: file.servers, rest: Some(Rest { obeyed, name }), ..empty };
        door.proxy.write(&door.nginx, &change_to(&file)).await
    }

    /// Returns the upstream file that names the old containers by address, in the bytes of `adopt`: where they are there still,
    /// nothing is written. A name would find the candidates too, as long as they are there.
    pub(super) async fn text_before(
        &self,
        service: &ServiceName,
        front: &Front,
        to: &[Container],
    ) -> Result<Option<String>, Failure> {
        if self.is_down(service) {
            // Nobody was adopted.
            return Ok(front.before.as_deref().map(|text| match nginx::parse(text) {
                Ok(file) => nginx::render(&UpstreamFile { rest: None, ..file }),
                Err(_) => text.to_owned(),
            }));
        }
        // With stop-first the old containers still lie still; they are started, and named anew, by the undo of that.
        let located = if self.stops_first(service) { to.to_vec() } else { self.revived(service, front, to).await? };
        Ok(Some(nginx::render(&self.upstream(service, front, &located))))
    }

    /// Gives the upstream the backup that the switch has left out, now that the service's name finds nobody but the candidates:
    /// a container that somebody makes without swap is found again. Costs a reload, by which an nginx that resolves names loses
    /// nothing. Twice: what has a backup stays as it is.
    pub(super) async fn give_backup(
        &self,
        service: &ServiceName,
        front: &Front,
        live: &[Container],
    ) -> Result<(), Failure> {
        let wanted = self.upstream(service, front, live);
        if wanted.fallback.is_none() || wanted.servers.len() < live.len() {
            return Ok(());
        }
        let now = self.site.upstream_now(self.plan, service, front).await?;
        let alone = now.and_then(|text| nginx::parse(&text).ok()).is_some_and(|file| file.fallback.is_none());
        if alone {
            self.change(service, front, &[change_to(&wanted)]).await?;
        }
        Ok(())
    }

    pub(super) fn upstream_change(&self, service: &ServiceName, front: &Front, containers: &[Container]) -> FileChange {
        change_to(&self.upstream(service, front, containers))
    }

    fn upstream(&self, service: &ServiceName, front: &Front, containers: &[Container]) -> UpstreamFile {
        let servers = containers.iter().filter_map(|container| {
            let address = container.address?;
            Some(nginx::Server { address, container: container.name.clone(), id: container.id.clone() })
        });
        let kept = front.before.as_deref().map(nginx::Kept::of).unwrap_or_default();
        let resolver = front.resolver.filter(|_| kept.allows_backup());
        UpstreamFile {
            run: self.plan.run.clone(),
            project: self.plan.project.clone(),
            service: service.clone(),
            upstream: front.upstream(service).clone(),
            servers: servers.collect(),
            fallback: resolver.map(|resolver| nginx::Fallback {
                name: front.dns_name(service).clone(),
                resolver,
                port: front.port,
            }),
            kept,
            rest: None,
        }
    }
}

fn change_to(file: &UpstreamFile) -> FileChange {
    FileChange::upstream(&file.upstream, Some(nginx::render(file)))
}

/// Returns what the file from before says that it is at rest.
fn rest_of(front: &Front) -> Option<Rest> {
    nginx::parse(front.before.as_deref()?).ok()?.rest
}
