//! The images' names: what a rollback gives and takes, and what stays of a version that is replaced.

use super::performer::Performer;
use crate::model::{Container, Failure, ServiceName, Settings};
use crate::observe::senders::Receiver;
use crate::observe::survey::Survey;
use crate::plan::back::{self, Keep};
use crate::run::StepResult;
use crate::site::Site;
use crate::site::containers::is_nginx;
use crate::site::engine::history;
use crate::text::short;
use crate::world::{Engine, Ports};

impl<P: Ports> Performer<'_, P> {
    /// Twice: the name stands for the image already.
    pub(super) async fn tag(&self, name: &str, image: &str, before: Option<&str>) -> Result<StepResult, Failure> {
        match self.ports.engine().image(name).await?.map(|now| now.id).as_deref() {
            Some(now) if now == image => {}
            now if now == before => self.ports.engine().tag(image, name).await?,
            now => return Err(built_anew(name, before.unwrap_or_default(), now.unwrap_or_default())),
        }
        Ok(StepResult::Nothing)
    }

    /// Twice: the name stands for the former image already. One that others have given away meanwhile is theirs.
    pub(super) async fn tag_back(&self, name: &str, image: &str, before: Option<&str>) -> Result<StepResult, Failure> {
        let now = self.ports.engine().image(name).await?;
        if now.is_some_and(|now| now.id == image) {
            match before {
                Some(before) => self.ports.engine().tag(before, name).await?,
                None => self.ports.engine().untag(name).await?,
            }
        }
        Ok(StepResult::Nothing)
    }

    /// Fails where the name of the service's image stands for another image than planned: what runs by this name would not
    /// be what the plan says.
    pub(super) async fn must_be_named(&self, service: &ServiceName) -> Result<(), Failure> {
        let Some(planned) = self.planned(service) else { return Ok(()) };
        match self.ports.engine().image(&planned.image.name).await? {
            Some(now) if now.id != planned.image.id => Err(built_anew(&planned.image.name, &planned.image.id, &now.id)),
            _ => Ok(()),
        }
    }

    /// Fails where candidates were made of another image than planned: somebody has built between.
    pub(super) fn must_be_planned(&self, service: &ServiceName, candidates: &[Container]) -> Result<(), Failure> {
        let Some(planned) = self.planned(service) else { return Ok(()) };
        let other = candidates.iter().find(|candidate| short(&candidate.image) != short(&planned.image.id));
        match other {
            Some(candidate) => Err(built_anew(&planned.image.name, &planned.image.id, &candidate.image)),
            None => Ok(()),
        }
    }

    /// Leaves a name of swap's own on the image that is replaced, so that it is not pruned and a rollback finds it. Twice: the
    /// same name is given again. Where it can't be done the swap is not worse for it.
    pub(super) async fn keep(&self, keep: &Keep, old: &[Container], candidates: &[Container]) {
        let name = format!("{}:{}", keep.repository, keep.replaced.tag());
        let kept = async {
            if keep.count == 0 || keep.replaced.is_same_image() && !self.are_configured_anew(old, candidates).await? {
                return Ok(());
            }
            self.ports.engine().tag(&keep.replaced.image, &name).await
        };
        if let Err(failure) = kept.await {
            self.display.remark(&format!("the version before is not kept for a rollback: {}", failure.what));
        }
    }

    /// Takes swap's own names from versions that are too old. Twice: what has no name any more stays so.
    pub(super) async fn forget(&self, service: &ServiceName, keep: &Keep) {
        let engine = self.ports.engine();
        let forgotten = async {
            for old in back::superfluous(&history(engine, &self.plan.project, service).await?, keep.count) {
                engine.untag(&format!("{}:{}", keep.repository, old.tag())).await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = forgotten.await {
            self.display.note(&failure.what);
        }
    }

    /// Tells whether the candidates have another configuration than the old containers. Where one is gone already, this was
    /// asked before.
    async fn are_configured_anew(&self, old: &[Container], candidates: &[Container]) -> Result<bool, Failure> {
        let (Some(old), Some(candidate)) = (old.first(), candidates.first()) else { return Ok(false) };
        let engine = self.ports.engine();
        match tokio::try_join!(engine.inspect(&old.id), engine.inspect(&candidate.id))? {
            (Some(old), Some(candidate)) => Ok(old.configuration() != candidate.configuration()),
            _ => Ok(false),
        }
    }
}

impl Site {
    /// Lets an nginx that refuses the name of a service that has died, because it asks for names only when it reads them, read its
    /// files again: they name addresses until the run comes to rest. To be called by who holds the service. Tells whether there
    /// was such an nginx.
    pub async fn leave_rest(&self, service: &ServiceName, settings: &Settings) -> Result<bool, Failure> {
        let upstream = settings.upstream(service);
        let all = self.docker.of_project(&self.project.name).await?;
        let of_compose = self.project.services.get(service).cloned().unwrap_or_default();
        let receiver = Receiver { name: service, settings, of_compose: &of_compose, live: &[] };
        let survey = Survey::new(self, &all, vec![upstream.clone()]);
        let named = self.named_proxy(receiver, &survey).await.unwrap_or_default();
        let likely = all.iter().filter(|seen| seen.runs() && is_nginx(seen));
        for seen in named.iter().filter_map(|(_, seen)| seen.as_ref()).chain(likely) {
            if self.doors.leave_rest(&self.docker, &seen.id, upstream, &self.project.name).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn built_anew(name: &str, planned: &str, now: &str) -> Failure {
    Failure::new(format!(
        "the image `{name}` was built or pulled anew during the run: {} was planned, and it is {} now",
        short(planned),
        short(now)
    ))
    .hint("once that is over, swap again: the plan then names the new image")
}
