//! The front doors: which nginx fronts a service, and the shell that is open beside it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use crate::docker::{self, ContainerFacts, Docker, LogMark};
use crate::model::{Failure, Output, ProxyChoice, ServiceName};
use crate::nginx::{Home, LocalShell, Nginx, NginxAnswer, Observation, Proxy, Shell};
use crate::plan::Front;
use crate::text::quote_all;

/// A shell beside nginx: in its container, or on this host.
pub(crate) enum NginxShell {
    /// In nginx's container, opened by the engine.
    Container {
        /// The open shell.
        shell: Box<docker::Shell>,
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

impl Shell for NginxShell {
    async fn run_within(&self, script: &str, limit: Duration) -> Result<Output, Failure> {
        match self {
            NginxShell::Container { shell, .. } => shell.run_within(script, limit).await,
            NginxShell::Host(shell) => shell.run_within(script, limit).await,
        }
    }

    async fn logged_since(&self, since: SystemTime) -> Vec<String> {
        match self {
            NginxShell::Container { docker, id, mark, .. } => docker.logs_since(id, mark).await.unwrap_or_default(),
            NginxShell::Host(shell) => shell.logged_since(since).await,
        }
    }
}

/// An nginx with an open shell, and what was seen of it last.
pub(crate) struct FrontDoor {
    /// The nginx.
    pub proxy: Proxy<NginxShell>,
    /// What a switch needs to know of it.
    pub nginx: Nginx,
}

/// What this machine's nginx is called among the containers.
const THIS_MACHINE: &str = "";

/// All front doors that this process has opened; each is opened once.
#[derive(Default)]
pub(crate) struct FrontDoors {
    open: Mutex<HashMap<ProxyChoice, Arc<FrontDoor>>>,
    /// What was opened ahead of need, before anybody knew whether it is the right one, by container.
    ready: Mutex<HashMap<String, Proxy<NginxShell>>>,
}

impl FrontDoors {
    /// Opens shells beside what may be an nginx, and asks it for its configuration, so that both are there when they are
    /// needed. What fails is tried again then, and says why.
    pub(crate) async fn prepare(&self, docker: &Docker, containers: &[&ContainerFacts]) {
        let enter = |id: String| async move {
            let proxy = Proxy::new(beside(docker, &id, None).await.ok()?, Home::Container);
            // The proxy keeps what nginx says of its configuration; swap's files are read when they matter, because another
            // run may change them before this one holds the service.
            let _ = proxy.prepare().await;
            Some((id, proxy))
        };
        let entered = join_all(containers.iter().map(|seen| enter(seen.id.clone()))).await;
        self.ready.lock().await.extend(entered.into_iter().flatten());
    }

    /// Looks at nginx for a service and keeps the shell open for the steps that follow.
    ///
    /// `container` is the proxy's container, or `None` for an nginx on this host.
    pub(crate) async fn observe(
        &self,
        docker: &Docker,
        choice: &ProxyChoice,
        container: Option<&ContainerFacts>,
        service: &ServiceName,
    ) -> Result<Observation, Failure> {
        let mut all = self.observe_all(docker, choice, container, std::slice::from_ref(service)).await?;
        all.pop().unwrap_or_else(|| Err(Failure::new("internal: no upstream was asked about")))
    }

    /// As [`observe`](Self::observe), for the upstreams of several services. Returns what each would, in their order.
    pub(crate) async fn observe_all(
        &self,
        docker: &Docker,
        choice: &ProxyChoice,
        container: Option<&ContainerFacts>,
        services: &[ServiceName],
    ) -> Result<Vec<Result<Observation, Failure>>, Failure> {
        let open_door = self.open.lock().await.get(choice).cloned();
        if let Some(door) = open_door {
            return door.proxy.observe_all(services, None).await;
        }
        let (proxy, observations) = self.enter(docker, container, services).await?;
        if let Some(observation) = observations.iter().flatten().next() {
            let door = FrontDoor { proxy, nginx: observation.nginx.clone() };
            self.open.lock().await.insert(choice.clone(), Arc::new(door));
        }
        Ok(observations)
    }

    /// Returns what each nginx on this machine says of each of these upstreams, and the texts of their files.
    pub(crate) async fn on_this_machine(&self, upstreams: &[ServiceName]) -> Result<Vec<Vec<NginxAnswer>>, Failure> {
        let proxy = Proxy::new(NginxShell::Host(LocalShell::new()), Home::Host);
        let said = proxy.configurations(upstreams).await?;
        // Whoever enters there next need not ask again.
        self.ready.lock().await.insert(THIS_MACHINE.to_owned(), proxy);
        Ok(said)
    }

    /// Returns the front door of a plan; after a crash it is found and opened again.
    pub(crate) async fn of(
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
        let seen = container_of(docker, project, &front.proxy).await?;
        let upstream = front.upstream(service);
        let (proxy, mut observations) = self.enter(docker, seen.as_ref(), std::slice::from_ref(upstream)).await?;
        let observed = observations.pop().unwrap_or_else(|| Err(Failure::new("internal: no upstream was asked about")));
        let door = Arc::new(FrontDoor { proxy, nginx: observed?.nginx });
        open_doors.insert(front.proxy.clone(), door.clone());
        Ok(door)
    }

    /// Lets the upstream file of a project name addresses again, in the container of an nginx that refuses the name in it.
    pub(crate) async fn leave_rest(
        &self,
        docker: &Docker,
        container: &str,
        upstream: &ServiceName,
        project: &str,
    ) -> Result<bool, Failure> {
        // What was heard from it before is of the past.
        self.ready.lock().await.remove(container);
        self.open.lock().await.clear();
        let proxy = Proxy::new(beside(docker, container, Some("0")).await?, Home::Container);
        proxy.leave_rest(upstream, project).await
    }

    /// Returns the whole configuration as an nginx that was observed prints it; `None`: it refuses to.
    pub(crate) async fn dump(&self, choice: &ProxyChoice, nginx: &Nginx) -> Option<String> {
        let output = self.ask(choice, nginx, "-T 2>/dev/null").await?;
        (output.code == 0).then_some(output.stdout)
    }

    /// Lets an nginx that was observed test its files as they are now; `None`: it can't be asked.
    pub(crate) async fn test(&self, choice: &ProxyChoice, nginx: &Nginx) -> Option<Output> {
        self.ask(choice, nginx, "-t").await
    }

    async fn ask(&self, choice: &ProxyChoice, nginx: &Nginx, question: &str) -> Option<Output> {
        let door = self.open.lock().await.get(choice).cloned()?;
        let line = format!("{} {question}", quote_all(std::iter::once(&nginx.binary).chain(&nginx.arguments)));
        door.proxy.shell().run_within(&line, Duration::from_secs(60)).await.ok()
    }

    /// Forgets an nginx that no longer answers, so that the next use finds it again.
    pub(crate) async fn forget(&self, choice: &ProxyChoice) {
        self.open.lock().await.remove(choice);
    }

    /// Enters with a shell that can write nginx's folder: as the container's own user, else as root.
    async fn enter(
        &self,
        docker: &Docker,
        container: Option<&ContainerFacts>,
        services: &[ServiceName],
    ) -> Result<(Proxy<NginxShell>, Vec<Result<Observation, Failure>>), Failure> {
        let ready = self.ready.lock().await.remove(container.map_or(THIS_MACHINE, |seen| &seen.id));
        let proxy = match (ready, container) {
            (Some(proxy), _) => proxy,
            (None, None) => Proxy::new(NginxShell::Host(LocalShell::new()), Home::Host),
            (None, Some(seen)) => Proxy::new(beside(docker, &seen.id, None).await?, Home::Container),
        };
        let observations = proxy.observe_all(services, None).await?;
        let Some(seen) = container else { return Ok((proxy, observations)) };
        let root = seen.user.is_empty() || seen.user == "0" || seen.user == "root";
        let closed = |observation: &Observation| observation.folder.exists && !observation.folder.writable;
        if root || !observations.iter().flatten().any(closed) {
            return Ok((proxy, observations));
        }
        // An image that runs nginx without root often has a folder that only root may write.
        let proxy = Proxy::new(beside(docker, &seen.id, Some("0")).await?, Home::Container);
        let observations = proxy.observe_all(services, None).await?;
        Ok((proxy, observations))
    }
}

/// Returns the running container of a proxy; `None`: nginx runs on the host.
pub(crate) async fn container_of(
    docker: &Docker,
    project: &str,
    proxy: &ProxyChoice,
) -> Result<Option<ContainerFacts>, Failure> {
    let (running, start) = match proxy {
        ProxyChoice::Host => return Ok(None),
        ProxyChoice::Service(name) => {
            let all = docker.of_service(project, name.as_str()).await?;
            (all.into_iter().find(ContainerFacts::runs), format!("docker compose up -d {name}"))
        }
        ProxyChoice::Project { project, service } => {
            let all = docker.of_service(project.as_str(), service.as_str()).await?;
            (all.into_iter().find(ContainerFacts::runs), format!("docker compose -p {project} up -d {service}"))
        }
        ProxyChoice::Container(name) => {
            (docker.inspect(name.as_str()).await?.filter(ContainerFacts::runs), format!("docker start {name}"))
        }
    };
    let down = || Failure::new(format!("the proxy `{proxy}` does not run")).hint(format!("`{start}`, then try again"));
    running.map(Some).ok_or_else(down)
}

async fn beside(docker: &Docker, id: &str, user: Option<&str>) -> Result<NginxShell, Failure> {
    let (shell, mark) = tokio::join!(docker.shell(id, user), docker.log_mark(id));
    Ok(NginxShell::Container { shell: Box::new(shell?), docker: docker.clone(), id: id.to_owned(), mark: mark? })
}
