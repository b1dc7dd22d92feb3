//! The front doors: which nginx fronts a service, and the shell that is open beside it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Mutex;

use crate::docker::{self, Docker, LogMark, Seen};
use crate::model::{Failure, Output, ProxyChoice, ServiceName};
use crate::nginx::{LocalShell, Nginx, Observation, Place, Proxy, Shell};
use crate::plan::Front;

/// A shell beside nginx: in its container, or on this host.
pub enum Beside {
    /// In nginx's container, opened by the engine.
    Container {
        /// The open shell.
        shell: docker::Shell,
        /// The engine, for the container's log.
        docker: Docker,
        /// The container's id.
        id: String,
        /// The end of the container's log when the shell was opened.
        mark: LogMark,
    },
    /// On this machine.
    Host(LocalShell),
}

impl Shell for Beside {
    async fn run(&self, script: &str) -> Result<Output, Failure> {
        match self {
            Beside::Container { shell, .. } => shell.run(script).await,
            Beside::Host(shell) => shell.run(script).await,
        }
    }

    async fn logged_since(&self, since: SystemTime) -> Vec<String> {
        match self {
            Beside::Container { docker, id, mark, .. } => docker.logs_since(id, mark).await.unwrap_or_default(),
            Beside::Host(shell) => shell.logged_since(since).await,
        }
    }
}

/// An nginx with an open shell, and what was seen of it last.
pub struct FrontDoor {
    /// The nginx.
    pub proxy: Proxy<Beside>,
    /// What a switch needs to know of it.
    pub nginx: Nginx,
}

/// All front doors that this process has opened; each is opened once.
#[derive(Default)]
pub struct FrontDoors {
    open: Mutex<HashMap<ProxyChoice, Arc<FrontDoor>>>,
}

impl FrontDoors {
    /// Looks at nginx for a service and keeps the shell open for the steps that follow.
    ///
    /// `container` is the proxy's container, or `None` for an nginx on this host.
    pub async fn observe(
        &self,
        docker: &Docker,
        choice: &ProxyChoice,
        container: Option<&Seen>,
        service: &ServiceName,
    ) -> Result<Observation, Failure> {
        let (proxy, observation) = open(docker, container, service).await?;
        let door = FrontDoor { proxy, nginx: observation.nginx.clone() };
        self.open.lock().await.insert(choice.clone(), Arc::new(door));
        Ok(observation)
    }

    /// Returns the front door of a plan; after a crash it is found and opened again.
    pub async fn of(
        &self,
        docker: &Docker,
        project: &str,
        service: &ServiceName,
        front: &Front,
    ) -> Result<Arc<FrontDoor>, Failure> {
        let mut open_doors = self.open.lock().await;
        if let Some(door) = open_doors.get(&front.proxy) {
            return Ok(door.clone());
        }
        let seen = match &front.proxy {
            ProxyChoice::Host => None,
            ProxyChoice::Service(name) => {
                let all = docker.of_service(project, name.as_str()).await?;
                let running = all.into_iter().find(Seen::runs);
                Some(running.ok_or_else(|| {
                    Failure::new(format!("the proxy `{name}` does not run"))
                        .hint(format!("`docker compose up -d {name}`, then try again"))
                })?)
            }
        };
        let (proxy, observation) = open(docker, seen.as_ref(), service).await?;
        let door = Arc::new(FrontDoor { proxy, nginx: observation.nginx });
        open_doors.insert(front.proxy.clone(), door.clone());
        Ok(door)
    }

    /// Forgets an nginx that no longer answers, so that the next use finds it again.
    pub async fn forget(&self, choice: &ProxyChoice) {
        self.open.lock().await.remove(choice);
    }
}

/// Opens a shell beside nginx that can write its folder: as the container's own user, else as root.
async fn open(
    docker: &Docker,
    container: Option<&Seen>,
    service: &ServiceName,
) -> Result<(Proxy<Beside>, Observation), Failure> {
    let Some(seen) = container else {
        let proxy = Proxy::new(Beside::Host(LocalShell::new()), Place::Host);
        let observation = proxy.observe(service, None).await?;
        return Ok((proxy, observation));
    };
    let as_user = async |user: Option<&str>| {
        let (shell, mark) = tokio::join!(docker.shell(&seen.id, user), docker.log_mark(&seen.id));
        let beside = Beside::Container { shell: shell?, docker: docker.clone(), id: seen.id.clone(), mark: mark? };
        let proxy = Proxy::new(beside, Place::Container);
        let observation = proxy.observe(service, None).await?;
        Ok::<_, Failure>((proxy, observation))
    };
    let (proxy, observation) = as_user(None).await?;
    let root = seen.user.is_empty() || seen.user == "0" || seen.user == "root";
    if root || observation.folder.writable || !observation.folder.exists {
        return Ok((proxy, observation));
    }
    // An image that runs nginx without root often has a folder that only root may write.
    as_user(Some("0")).await
}
