//! The way back: which version a rollback brings, the name by which compose creates it, and what stays of a version that is
//! replaced.

use super::observe::{died, is_nginx};
use super::perform::Live;
use super::senders::Receiver;
use super::site::Site;
use crate::docker::Seen;
use crate::journal::Recorded;
use crate::model::{Container, Failure, Image, RunId, ServiceName, Settings};
use crate::plan::back::{self, Keep, Replaced};
use crate::plan::{Observed, ObservedService, Retag};
use crate::run::{Event, Facts, Learnt, Outcome};
use crate::text::{printable, short};

/// A rollback that can be planned.
#[derive(Debug)]
pub struct WayBack {
    /// The service as it is, with the image that is brought back.
    pub observed: Observed,
    /// What is brought back, and what is not, in words.
    pub text: String,
}

/// The image that a rollback brings.
struct Target {
    /// Its id, as far as it is known: all of it or its first digits.
    image: String,
    /// Until which run it served; `None` where a person named it.
    until: Option<RunId>,
}

impl Site {
    /// Returns the versions of a service that were replaced, newest first, as the engine knows them.
    pub async fn history(&self, service: &ServiceName) -> Result<Vec<Replaced>, Failure> {
        let tags = self.docker.tags(&back::repository(&self.project.name, service)).await?;
        Ok(back::newest_first(tags.iter().filter_map(|(tag, image)| Replaced::of_tag(tag, image)).collect()))
    }

    /// Looks at a service that is to go back: to what was replaced by what serves now, or to the image or the run's version
    /// that `to` names. Changes nothing.
    ///
    /// # Errors
    /// The version is unknown, is not there any more, or serves already; or the compose file names it in a way that only its
    /// author can change.
    pub async fn way_back(
        &self,
        service: &ServiceName,
        settings: Settings,
        to: Option<&str>,
    ) -> Result<WayBack, Failure> {
        let (all, history) = tokio::try_join!(self.docker.of_project(&self.project.name), self.history(service))?;
        let mine: Vec<&Seen> = all.iter().filter(|seen| seen.service == service.as_str()).collect();
        let running: Vec<&Seen> = mine.iter().copied().filter(|seen| seen.runs()).collect();
        let live = if running.is_empty() { died(&mine) } else { running };
        let Some(now) = live.first().map(|seen| seen.image.clone()) else {
            return Err(Failure::new(format!(
                "service `{service}` has no container, so nothing is there to be replaced"
            ))
            .hint(format!("`docker compose up -d {service}` makes one")));
        };
        let target = match to {
            Some(word) => self.named_version(service, &history, word, &now)?,
            None => self.version_before(service, &history, &live)?,
        };
        let found = self.image_there(service, &history, &target, &now).await?;
        if live.iter().all(|seen| seen.image == found) {
            let failure = Failure::new(format!("`{service}` is {} already, so nothing would change", short(&found)));
            return Err(failure.hint(back::choices(service, &history, &now)));
        }
        let mut observed = self.observe_live(service.clone(), settings, &all, live).await?;
        self.settle_name(&mut observed, &found).await?;
        let until = target.until.map(|run| format!(", which served until run {run}")).unwrap_or_default();
        let text = format!(
            "rollback of {service}: from {} to {}{until}; its configuration is that of the compose file as it is now",
            short(&now),
            short(&found)
        );
        Ok(WayBack { observed: Observed { project: self.project.name.clone(), services: vec![observed] }, text })
    }

    /// Lets an nginx that refuses the name of a service that has died, because it asks for names only when it reads them, read its
    /// files again: they name addresses until the run comes to rest. To be called by who holds the service. Tells whether there
    /// was such an nginx.
    pub async fn leave_rest(&self, service: &ServiceName, settings: &Settings) -> Result<bool, Failure> {
        let upstream = settings.upstream(service);
        let all = self.docker.of_project(&self.project.name).await?;
        let of_compose = self.project.services.get(service).cloned().unwrap_or_default();
        let receiver = Receiver { name: service, settings, of_compose: &of_compose, live: &[] };
        let named = self.named_proxy(receiver, &all).await.ok().flatten().and_then(|(_, seen)| seen);
        let likely = all.iter().filter(|seen| seen.runs() && is_nginx(seen));
        for seen in named.iter().chain(likely) {
            if self.doors.leave_rest(&self.docker, &seen.id, upstream, &self.project.name).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes the name by which compose creates candidates stand for the image, or has the plan do so.
    async fn settle_name(&self, observed: &mut ObservedService, image: &str) -> Result<(), Failure> {
        let name = observed.image_name.clone();
        let before = observed.image.take().map(|image| image.id);
        if before.as_deref() != Some(image) {
            let names = self.docker.names_of(image).await?;
            back::movable(&observed.name, &name, before.as_deref(), image, &names)?;
            observed.retag = Some(Retag { before });
        }
        observed.image = Some(Image { name, id: image.to_owned() });
        Ok(())
    }

    /// Returns what `--to` names.
    fn named_version(
        &self,
        service: &ServiceName,
        history: &[Replaced],
        word: &str,
        live: &str,
    ) -> Result<Target, Failure> {
        if let Some(image) = back::brought(history, word) {
            return Ok(Target { image: image.to_owned(), until: None });
        }
        let brought = self.swapped(service)?.into_iter().find(|(run, ..)| run.0.starts_with(word) && word.len() >= 8);
        if let Some((_, brought)) = brought {
            return Ok(Target { image: brought.to, until: None });
        }
        match back::is_run(word) {
            true => Err(Failure::new(format!("no run `{}` of `{service}` is known", printable(word)))
                .hint(back::choices(service, history, live))),
            false => Ok(Target { image: word.to_owned(), until: None }),
        }
    }

    /// Returns what was replaced by the containers that are live. The engine knows, for all machines; where it knows of no
    /// swap at all, a journal here whose run has made exactly these containers knows too.
    fn version_before(&self, service: &ServiceName, history: &[Replaced], live: &[&Seen]) -> Result<Target, Failure> {
        let now = live.first().map(|seen| seen.image.as_str()).unwrap_or_default();
        if history.is_empty() {
            let made_them = |swapped: &Swapped| live.iter().all(|seen| swapped.made.contains(&seen.id));
            let last = self.swapped(service)?.into_iter().find(|(_, swapped)| made_them(swapped));
            if let Some((run, swapped)) = last {
                return Ok(Target { image: swapped.from, until: Some(run) });
            }
        }
        let replaced = back::former(service, history, now)?;
        Ok(Target { image: replaced.image.clone(), until: Some(replaced.run.clone()) })
    }

    async fn image_there(
        &self,
        service: &ServiceName,
        history: &[Replaced],
        target: &Target,
        live: &str,
    ) -> Result<String, Failure> {
        if let Some(image) = self.docker.image(&target.image).await? {
            return Ok(image.id);
        }
        let what = match &target.until {
            Some(run) => format!(
                "the image {} of `{service}`, which served until run {run}, is not there any more",
                short(&target.image)
            ),
            None => format!("the engine has no image `{}`", printable(&target.image)),
        };
        Err(Failure::new(what).hint(back::choices(service, history, live)))
    }

    /// Returns the swaps of a service that the journals here tell of, newest first.
    fn swapped(&self, service: &ServiceName) -> Result<Vec<(RunId, Swapped)>, Failure> {
        let read = |(run, path)| {
            let recorded = Recorded::read(run, path).ok()?;
            let closed = matches!(recorded.entries.last()?.event, Event::Closed { outcome: Outcome::Swapped });
            let plan = recorded.plan().filter(|_| closed)?;
            let planned = plan.services.iter().find(|planned| planned.name == *service)?;
            let facts = Facts::of(plan, &recorded.events());
            let made = facts.candidates(service).iter().map(|candidate| candidate.id.clone()).collect();
            let swapped = Swapped { from: planned.live.first()?.image.clone(), to: planned.image.id.clone(), made };
            Some((recorded.run, swapped))
        };
        Ok(self.folder().list()?.into_iter().filter_map(read).collect())
    }
}

/// A swap that a journal here tells of.
struct Swapped {
    /// The image that was replaced.
    from: String,
    /// The image that was brought.
    to: String,
    /// The ids of the containers that it made.
    made: Vec<String>,
}

impl Live<'_> {
    /// Twice: the name stands for the image already.
    pub(super) async fn tag(&self, name: &str, image: &str, before: Option<&str>) -> Result<Learnt, Failure> {
        match self.site.docker.image(name).await?.map(|now| now.id).as_deref() {
            Some(now) if now == image => {}
            now if now == before => self.site.docker.tag(image, name).await?,
            now => return Err(built_anew(name, before.unwrap_or_default(), now.unwrap_or_default())),
        }
        Ok(Learnt::Nothing)
    }

    /// Twice: the name stands for the former image already. One that others have given away meanwhile is theirs.
    pub(super) async fn tag_back(&self, name: &str, image: &str, before: Option<&str>) -> Result<Learnt, Failure> {
        let now = self.site.docker.image(name).await?;
        if now.is_some_and(|now| now.id == image) {
            match before {
                Some(before) => self.site.docker.tag(before, name).await?,
                None => self.site.docker.untag(name).await?,
            }
        }
        Ok(Learnt::Nothing)
    }

    /// Fails where the name of the service's image stands for another image than planned: what runs by this name would not
    /// be what the plan says.
    pub(super) async fn must_be_named(&self, service: &ServiceName) -> Result<(), Failure> {
        let Some(planned) = self.planned(service) else { return Ok(()) };
        match self.site.docker.image(&planned.image.name).await? {
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
            self.site.docker.tag(&keep.replaced.image, &name).await
        };
        if let Err(failure) = kept.await {
            self.display.remark(&format!("the version before is not kept for a rollback: {}", failure.what));
        }
    }

    /// Takes swap's own names from versions that are too old. Twice: what has no name any more stays so.
    pub(super) async fn forget(&self, service: &ServiceName, keep: &Keep) {
        let forgotten = async {
            for old in back::superfluous(&self.site.history(service).await?, keep.count) {
                self.site.docker.untag(&format!("{}:{}", keep.repository, old.tag())).await?;
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
        let docker = &self.site.docker;
        match tokio::try_join!(docker.inspect(&old.id), docker.inspect(&candidate.id))? {
            (Some(old), Some(candidate)) => Ok(old.configuration() != candidate.configuration()),
            _ => Ok(false),
        }
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
