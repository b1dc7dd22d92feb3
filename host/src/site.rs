//! What every command needs: the engine, the compose project, the folder of the journal.
//!
//! # Layout
//!
//! ```text
//! engine        docker as a port
//! orchestrator  compose as a port
//! edge          nginx as a port: routes become files of swap's folder
//! front         nginx of a service: which one, and the shell beside it
//! containers    what is true of one container (pure)
//! ```

pub(crate) mod containers;
pub(crate) mod edge;
pub(crate) mod engine;
pub(crate) mod front;
mod orchestrator;

use std::borrow::Cow;
use std::sync::Arc;

use tokio::sync::OnceCell;

use self::containers::is_nginx;
use self::front::FrontDoors;
use crate::compose::{Compose, Options, Project, Service, Tool};
use crate::docker::{ContainerFacts, Docker, Endpoint, Engine};
use crate::hooks;
use crate::journal::Folder;
use crate::model::{Failure, Notice, ServiceName, Settings};
use crate::ui::Display;

/// Which compose tool goes on with a project.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Another one than was found first.
    pub tool: Option<Tool>,
    /// What to say where the one that made the containers is not used.
    pub notice: Option<Notice>,
}

/// Chooses the tool that made the project's containers: 1.x and what came after it hash a service's configuration each in its
/// own way, so that the next `up` of one recreates what the other has made.
pub(crate) fn choose(found: &Tool, seen: &[ContainerFacts]) -> Choice {
    let versions = seen.iter().filter_map(ContainerFacts::compose_version);
    let (old, new): (Vec<&str>, Vec<&str>) = versions.partition(|version| version.starts_with("1."));
    // Where some were made by each, who swapped with the wrong one made the fewer.
    let v1 = !old.is_empty() && old.len() >= new.len();
    if (old.is_empty() && new.is_empty()) || v1 == found.is_v1() {
        return Choice::default();
    }
    let made = if v1 { old[0] } else { new[0] };
    let command = if v1 { "docker-compose" } else { "docker compose" };
    let recreates = format!("the next `{command} up -d` recreates what this swap makes");
    if Tool::is_named() {
        let notice =
            format!("the containers were made by compose {made} and SWAP_COMPOSE names another one: {recreates}");
        return Choice { tool: None, notice: Some(Notice::new(notice)) };
    }
    match Tool::of_kind(v1) {
        Some(tool) => Choice { tool: Some(tool), notice: None },
        None => Choice {
            tool: None,
            notice: Some(Notice::new(format!(
                "the containers were made by compose {made}, which is not installed here: {recreates}"
            ))),
        },
    }
}

/// One compose project on one engine.
pub struct Site {
    pub(crate) docker: Docker,
    pub(crate) compose: Compose,
    pub(crate) project: Project,
    pub(crate) doors: FrontDoors,
    pub(crate) hook_engine: OnceCell<Arc<hooks::Engine>>,
    pub(crate) engine: Engine,
    /// What the next call of the tool that made the containers would do to those of this run, where that is another one.
    pub(crate) other_tool: Option<Notice>,
    /// The project's containers as they were when this was opened.
    seen: Option<Vec<ContainerFacts>>,
    folder: Folder,
}

/// Whether a command will look at nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    /// It will: nginx is asked for its configuration while compose still reads.
    AtNginx,
    /// What it tells, the journal knows.
    AtNoNginx,
}

/// An engine, and what is looked at there while compose still reads: it takes its time to say which project this is.
pub(crate) struct Connection {
    pub docker: Docker,
    pub engine: Engine,
    /// The front doors of the project, as far as they could be found.
    pub doors: FrontDoors,
    /// What the project is called by the usual rules.
    guess: String,
    /// The containers of the project of that name; `None`: the engine does not tell.
    seen: Option<Vec<ContainerFacts>>,
}

impl Connection {
    /// Connects to the engine that the options name and looks at the project that is likely meant.
    pub(crate) async fn open(options: &Options, guess: String, looks: Looks) -> Result<Self, Failure> {
        let docker = Docker::connect(Endpoint::from_environment(options.context.as_deref())?).await?;
        let doors = FrontDoors::default();
        let enter = async {
            let seen = docker.of_project(&guess).await.ok();
            let nginxes = seen.iter().flatten().filter(|seen| looks == Looks::AtNginx && seen.runs() && is_nginx(seen));
            doors.prepare(&docker, &nginxes.collect::<Vec<_>>()).await;
            seen
        };
        let (engine, seen) = tokio::join!(docker.engine(), enter);
        Ok(Self { engine: engine?, doors, guess, seen, docker })
    }

    /// Returns the containers of the project of this name.
    pub(crate) async fn containers(&self, project: &str) -> Option<Vec<ContainerFacts>> {
        match &self.seen {
            Some(seen) if self.guess == project => Some(seen.clone()),
            _ => self.docker.of_project(project).await.ok(),
        }
    }
}

impl Site {
    /// Connects to the engine and reads the compose project, both at once.
    pub async fn open(options: &Options, looks: Looks, display: &Display) -> Result<Self, Failure> {
        let mut compose = Compose::new(Tool::find()?, options.clone());
        let connect = Connection::open(options, compose.likely_name(), looks);
        // The engine first: without it nothing else matters, and compose's words on it are the longer ones.
        let (connected, project) = tokio::join!(connect, compose.read());
        let connection = connected?;
        // Another than the one that made the containers reads the same file otherwise, or not at all.
        let choice = choose(&compose.tool, connection.seen.as_deref().unwrap_or_default());
        let project = match choice.tool {
            Some(tool) => {
                compose = Compose::new(tool, options.clone());
                compose.read().await
            }
            None => project,
        }?;
        for warning in &project.warnings {
            display.say(&format!("compose: {warning}"));
        }
        let folder = Folder::open(&Folder::default_root(), &connection.engine.id, &project.name)?;
        let site = Self::of(connection, compose, project, folder);
        Ok(Self { other_tool: choice.notice, ..site })
    }

    /// Makes a site of its parts.
    pub(crate) fn of(connection: Connection, compose: Compose, project: Project, folder: Folder) -> Self {
        let Connection { docker, engine, doors, guess, seen } = connection;
        Self {
            engine,
            other_tool: None,
            docker,
            compose,
            seen: seen.filter(|_| guess == project.name),
            project,
            doors,
            hook_engine: OnceCell::new(),
            folder,
        }
    }

    /// Returns the project's containers as they were when this was opened: for what is only told. Who changes something looks
    /// at them when he holds the services.
    pub(crate) async fn containers(&self) -> Result<Cow<'_, [ContainerFacts]>, Failure> {
        match &self.seen {
            Some(seen) => Ok(Cow::Borrowed(seen)),
            None => self.docker.of_project(&self.project.name).await.map(Cow::Owned),
        }
    }

    /// Says that a run is to be expected: what it needs to know of compose is asked in the background.
    pub fn expect_run(&self) {
        self.compose.ask_version();
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

    /// Returns what compose calls the image of the service.
    pub(crate) fn image_name(&self, service: &ServiceName) -> String {
        let between = if self.compose.tool.is_v1() { "_" } else { "-" };
        match self.project.services.get(service) {
            Some(Service { image: Some(image), .. }) => image.clone(),
            _ => format!("{}{between}{service}", self.project.name),
        }
    }
}

/// Returns the builder of every HTTP client here. TLS needs a cryptography provider, which a process settles once.
pub(crate) fn http_client() -> reqwest::ClientBuilder {
    // Fails where it is settled already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
