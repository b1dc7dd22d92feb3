//! What every command needs: the engine, the compose project, the folder of the journal.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::front::FrontDoors;
use super::lock::Held;
use super::observe::is_nginx;
use super::perform::Live;
use crate::compose::{Compose, Options, Project, Service, Tool};
use crate::docker::{Docker, Endpoint};
use crate::hooks::{self, Hooks};
use crate::journal::Folder;
use crate::model::{Failure, Image, ServiceName, Settings};
use crate::plan::{Plan, Step};
use crate::run::{Event, Facts};
use crate::ui::Display;

/// One compose project on one engine.
pub struct Site {
    pub(super) docker: Docker,
    pub(super) compose: Compose,
    pub(super) project: Project,
    pub(super) doors: FrontDoors,
    pub(super) hook_engine: OnceCell<Arc<hooks::Engine>>,
    pub(super) hooks: std::sync::Mutex<std::collections::BTreeMap<ServiceName, Arc<Hooks>>>,
    folder: Folder,
}

impl Site {
    /// Connects to the engine and reads the compose project, both at once.
    ///
    /// `likely` is the service that the command seems to be about: nginx is looked at for it while compose still reads.
    pub async fn open(options: &Options, likely: Option<&ServiceName>, display: &Display) -> Result<Self, Failure> {
        let compose = Compose::new(Tool::find()?, options.clone());
        let doors = FrontDoors::default();
        let guess = compose.likely_name();
        let connect = async {
            let docker = Docker::connect(Endpoint::from_environment(options.context.as_deref())?).await?;
            // compose takes its time to say which project this is; the likely one's front door can be entered meanwhile.
            let enter = async {
                let seen = docker.of_project(&guess).await.unwrap_or_default();
                let nginxes: Vec<_> = seen.iter().filter(|seen| seen.runs() && is_nginx(seen)).collect();
                doors.prepare(&docker, &nginxes, likely).await;
            };
            let (engine, ()) = tokio::join!(docker.engine(), enter);
            Ok::<_, Failure>((docker, engine?))
        };
        // The engine first: without it nothing else matters, and compose's words on it are the longer ones.
        let (connected, project) = tokio::join!(connect, compose.read());
        let ((docker, engine), project) = (connected?, project?);
        for warning in &project.warnings {
            display.say(&format!("compose: {warning}"));
        }
        let folder = Folder::open(&Folder::default_root(), &engine.id, &project.name)?;
        Ok(Self::of(docker, compose, project, doors, folder))
    }

    /// Makes a site of its parts.
    pub(super) fn of(docker: Docker, compose: Compose, project: Project, doors: FrontDoors, folder: Folder) -> Self {
        Self {
            docker,
            compose,
            project,
            doors,
            hook_engine: OnceCell::new(),
            hooks: std::sync::Mutex::default(),
            folder,
        }
    }

    /// Returns the names of the project's services.
    pub fn services(&self) -> Vec<ServiceName> {
        self.project.services.keys().cloned().collect()
    }

    /// Returns what the compose file says under `x-swap` of the service.
    pub fn settings(&self, service: &ServiceName) -> Settings {
        self.project.services.get(service).map(|service| service.settings.clone()).unwrap_or_default()
    }

    /// Returns where journals and locks of the project are.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Makes the world in which the plan is performed. `fresh`: the run begins here, so its whole way can be measured.
    pub fn world<'a>(&'a self, plan: &'a Plan, held: &'a Held, display: &Display, fresh: bool) -> Live<'a> {
        let mut live = Live::new(self, plan, held, display.clone());
        if fresh {
            live.measure();
        }
        live
    }

    /// Waits for what was given up in the background, a moment at most.
    pub async fn settle(&self) {
        self.docker.settle().await;
    }

    /// Tells whether every candidate that the run has started still runs; without any, there is nothing to contradict.
    pub async fn candidates_run(&self, plan: &Plan, events: &[Event]) -> bool {
        let facts = Facts::of(plan, events);
        let started = events.iter().filter_map(|event| match event {
            Event::Done { step, .. } => plan.steps.get(*step).filter(|step| matches!(step, Step::Start { .. })),
            _ => None,
        });
        for candidate in started.filter_map(Step::service).flat_map(|service| facts.candidates(service)) {
            match self.docker.inspect(&candidate.id).await {
                Ok(Some(seen)) if seen.runs() => {}
                _ => return false,
            }
        }
        true
    }

    /// Gives the name of the service's image to another image, as before the last swap. Returns the image.
    pub async fn retag(&self, service: &ServiceName, image: &str) -> Result<Image, Failure> {
        let name = self.image_name(service);
        let Some(found) = self.docker.image(image).await? else {
            return Err(Failure::new(format!(
                "the image `{}` of the former version is not there any more",
                crate::plan::short(image)
            ))
            .hint(format!("build or pull the version that you want as `{name}`, then `swap {service}`")));
        };
        self.docker.tag(&found.id, &name).await?;
        Ok(Image { name, id: found.id })
    }

    /// Returns what compose calls the image of the service.
    pub(super) fn image_name(&self, service: &ServiceName) -> String {
        let between = if self.compose.tool.is_v1() { "_" } else { "-" };
        match self.project.services.get(service) {
            Some(Service { image: Some(image), .. }) => image.clone(),
            _ => format!("{}{between}{service}", self.project.name),
        }
    }
}
