//! The way back: which version a rollback brings, and the name by which compose creates it.

use super::hooks::LoadedHooks;
use super::survey::Survey;
use crate::docker::ContainerFacts;
use crate::journal::Recorded;
use crate::model::{Failure, Image, RunId, ServiceName, Settings};
use crate::plan::back::{self, Replaced};
use crate::plan::{Observed, ObservedService, Retag};
use crate::run::{Event, Outcome, RunFacts};
use crate::site::Site;
use crate::site::containers::died;
use crate::site::engine::history;
use crate::text::{printable, short};

/// A rollback that can be planned.
#[derive(Debug)]
pub struct WayBack {
    /// The service as it is, with the image that is brought back.
    pub observed: Observed,
    /// Its hooks.
    pub hooks: LoadedHooks,
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
        history(&self.docker, &self.project.name, service).await
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
        let mine: Vec<&ContainerFacts> = all.iter().filter(|seen| seen.service == service.as_str()).collect();
        let running: Vec<&ContainerFacts> = mine.iter().copied().filter(|seen| seen.runs()).collect();
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
        let survey = Survey::new(self, &all, vec![settings.upstream(service).clone()]);
        let (mut observed, hooks) = self.observe_live(service.clone(), settings, &survey, live).await?;
        self.settle_name(&mut observed, &found).await?;
        let until = target.until.map(|run| format!(", which served until run {run}")).unwrap_or_default();
        let text = format!(
            "rollback of {service}: from {} to {}{until}; its configuration is that of the compose file as it is now",
            short(&now),
            short(&found)
        );
        let observed = Observed { project: self.project.name.clone(), services: vec![observed] };
        Ok(WayBack { observed, hooks: [(service.clone(), hooks)].into(), text })
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
    fn version_before(
        &self,
        service: &ServiceName,
        history: &[Replaced],
        live: &[&ContainerFacts],
    ) -> Result<Target, Failure> {
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
            let facts = RunFacts::of(plan, &recorded.events());
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
