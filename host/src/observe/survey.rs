//! What is looked at once for all services of a command: containers, networks, nginxes, this machine.
//!
//! Services are looked at beside one another, and most of what one asks the others ask too. So each question is asked once,
//! by whoever comes first, and what the answer means for a service is told from the one answer.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::sync::{OnceCell, Semaphore};

use crate::docker::{ContainerFacts, Gathering, Listed};
use crate::model::{Failure, ProxyChoice, ServiceName};
use crate::nginx::{NginxAnswer, Observation, runs_here};
use crate::os;
use crate::site::Site;
use crate::site::front::container_of;

/// So many containers are asked for their processes at once: each question starts a program on the engine's machine.
const LISTING: usize = 8;

/// So many services are looked at beside one another.
pub(crate) const BESIDE: usize = 16;

/// Answers by what was asked.
struct AskedOnce<Q, A>(Mutex<HashMap<Q, Arc<OnceCell<A>>>>);

impl<Q: Eq + Hash, A: Clone> AskedOnce<Q, A> {
    fn none() -> Self {
        Self(Mutex::default())
    }

    /// Asks, unless somebody has; then waits for that one's answer.
    async fn of(&self, question: Q, ask: impl Future<Output = A>) -> A {
        let cell = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(question).or_default().clone();
        cell.get_or_init(|| ask).await.clone()
    }
}

/// What is known of each upstream.
type ByUpstream<T> = Arc<HashMap<ServiceName, T>>;

/// One look at the world, for the services of one command. Nothing that it has told once is asked again.
pub(crate) struct Survey<'a> {
    site: &'a Site,
    /// The project's containers.
    pub all: &'a [ContainerFacts],
    /// What the upstreams are called of the services that are looked at.
    upstreams: Vec<ServiceName>,
    listed: OnceCell<Result<Arc<Vec<Listed>>, Failure>>,
    closely: AskedOnce<String, Result<Option<Arc<ContainerFacts>>, Failure>>,
    run_nginx: AskedOnce<String, Option<bool>>,
    proxies: AskedOnce<ProxyChoice, Result<Option<ContainerFacts>, Failure>>,
    services: AskedOnce<(String, String), Arc<Vec<ContainerFacts>>>,
    gatherings: AskedOnce<String, Option<Arc<Gathering>>>,
    nginxes: AskedOnce<ProxyChoice, Result<ByUpstream<Result<Observation, Failure>>, Failure>>,
    machine: OnceCell<Option<Result<ByUpstream<Vec<NginxAnswer>>, Failure>>>,
    /// The control groups of this machine's nginx processes.
    groups: OnceCell<Vec<String>>,
    listing: Semaphore,
}

impl<'a> Survey<'a> {
    /// Begins to look. `all` are the project's containers; `upstreams` is what the upstreams of the services are called that
    /// will be asked about.
    pub(crate) fn new(site: &'a Site, all: &'a [ContainerFacts], mut upstreams: Vec<ServiceName>) -> Self {
        upstreams.sort();
        upstreams.dedup();
        Self {
            site,
            all,
            upstreams,
            listed: OnceCell::new(),
            closely: AskedOnce::none(),
            run_nginx: AskedOnce::none(),
            proxies: AskedOnce::none(),
            services: AskedOnce::none(),
            gatherings: AskedOnce::none(),
            nginxes: AskedOnce::none(),
            machine: OnceCell::new(),
            groups: OnceCell::new(),
            listing: Semaphore::new(LISTING),
        }
    }

    /// Returns the running containers of a service of the project.
    pub(crate) fn running_of(&self, service: &ServiceName) -> Vec<&'a ContainerFacts> {
        self.all.iter().filter(|seen| seen.service == service.as_str() && seen.runs()).collect()
    }

    /// Returns the running containers of the whole engine that a first look chooses, by name. Only those are asked about
    /// closely.
    pub(crate) async fn running(&self, chosen: impl Fn(&Listed) -> bool) -> Result<Vec<Arc<ContainerFacts>>, Failure> {
        let docker = &self.site.docker;
        let listed = self.listed.get_or_init(|| async { docker.listed().await.map(Arc::new) }).await.clone()?;
        let looks = listed.iter().filter(|listed| chosen(listed)).map(|listed| {
            let look = async { Ok(docker.inspect(&listed.id).await?.map(Arc::new)) };
            self.closely.of(listed.id.clone(), look)
        });
        let looked: Result<Vec<_>, Failure> = join_all(looks).await.into_iter().collect();
        // One that was removed in between is not there.
        let mut seen: Vec<Arc<ContainerFacts>> = looked?.into_iter().flatten().collect();
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(seen)
    }

    /// Tells whether an nginx runs in a container; `None`: nobody can list its processes.
    pub(crate) async fn runs_nginx(&self, seen: &ContainerFacts) -> Option<bool> {
        let ask = async {
            if self.site.docker.is_local() {
                let groups = self.groups.get_or_init(async || nginx_groups()).await;
                let own = seen.pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok());
                if let Some(runs) = runs_among(groups, &seen.id, &own.unwrap_or_default()) {
                    return Some(runs);
                }
            }
            let _permit = self.listing.acquire().await.ok()?;
            let processes = self.site.docker.processes(&seen.id).await.ok()?;
            Some(processes.iter().any(|line| is_nginx(line)))
        };
        self.run_nginx.of(seen.id.clone(), ask).await
    }

    /// Returns the running container of a proxy; `None`: nginx runs on the host.
    pub(crate) async fn proxy(&self, choice: &ProxyChoice) -> Result<Option<ContainerFacts>, Failure> {
        let Site { docker, project, .. } = self.site;
        self.proxies.of(choice.clone(), container_of(docker, &project.name, choice)).await
    }

    /// Returns the containers of a service of another project; none where the engine does not tell.
    pub(crate) async fn service_of(&self, project: &ServiceName, service: &ServiceName) -> Arc<Vec<ContainerFacts>> {
        let ask = async {
            Arc::new(self.site.docker.of_service(project.as_str(), service.as_str()).await.unwrap_or_default())
        };
        self.services.of((project.to_string(), service.to_string()), ask).await
    }

    /// Returns who is in a network. What can't be asked is as if nobody were there: then nothing is changed in it.
    pub(crate) async fn gathering(&self, network: &str) -> Option<Arc<Gathering>> {
        let ask = async { self.site.docker.gathering(network).await.ok().flatten().map(Arc::new) };
        self.gatherings.of(network.to_owned(), ask).await
    }

    /// Returns what an nginx says of an upstream; `container` of `None`: it runs on the host.
    pub(crate) async fn observation(
        &self,
        choice: &ProxyChoice,
        container: Option<&ContainerFacts>,
        upstream: &ServiceName,
    ) -> Result<Observation, Failure> {
        let ask = async {
            let all = self.site.doors.observe_all(&self.site.docker, choice, container, &self.upstreams).await?;
            Ok(Arc::new(self.upstreams.iter().cloned().zip(all).collect()))
        };
        let all = self.nginxes.of(choice.clone(), ask).await?;
        all.get(upstream).cloned().unwrap_or_else(|| Err(not_asked(upstream)))
    }

    /// Returns what each nginx on this machine says of an upstream, and that one's file; `None`: none runs here.
    pub(crate) async fn on_this_machine(&self, upstream: &ServiceName) -> Option<Result<Vec<NginxAnswer>, Failure>> {
        let ask = async {
            if !self.site.docker.is_local() || !runs_here() {
                return None;
            }
            match self.site.doors.on_this_machine(&self.upstreams).await {
                Ok(all) => Some(Ok(Arc::new(self.upstreams.iter().cloned().zip(all).collect()))),
                // It has just ended, or is a container's after all.
                Err(_) if !runs_here() => None,
                Err(failure) => Some(Err(failure)),
            }
        };
        let told = self.machine.get_or_init(|| ask).await.as_ref()?;
        Some(told.clone().and_then(|all| all.get(upstream).cloned().ok_or_else(|| not_asked(upstream))))
    }
}

/// Returns the control groups of the nginx processes that this machine shows.
fn nginx_groups() -> Vec<String> {
    let group = |(_, process): (i32, PathBuf)| {
        let text =
            |name: &str| std::fs::read(process.join(name)).map(|text| String::from_utf8_lossy(&text).into_owned());
        let is_nginx = text("comm").ok()?.starts_with("nginx") && is_nginx(&text("cmdline").ok()?);
        is_nginx.then(|| text("cgroup").ok()).flatten()
    };
    os::processes().filter_map(group).collect()
}

/// Tells whether one of these control groups is in that of a container. `own` is the control group of its main process, if the
/// engine's number for it means that process here; `None`: it does not, as where the engine runs in a virtual machine.
fn runs_among(groups: &[String], id: &str, own: &str) -> Option<bool> {
    own.contains(id).then(|| groups.iter().any(|group| group.contains(id)))
}

/// Tells whether a process that calls itself so is nginx's.
fn is_nginx(title: &str) -> bool {
    title.contains("nginx: master process") || title.contains("nginx: worker process")
}

fn not_asked(upstream: &ServiceName) -> Failure {
    Failure::new(format!("internal: nobody was going to ask about the upstream `{upstream}`"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_machine_s_processes_tell_only_where_the_engine_s_numbers_mean_them() {
        let groups = ["0::/system.slice/docker-0123.scope\n".to_owned(), "12:pids:/docker/4567/inner\n".to_owned()];
        let check = |id: &str, own: &str, expected| assert_eq!(runs_among(&groups, id, own), expected, "{id} {own}");
        check("0123", "0::/system.slice/docker-0123.scope\n", Some(true));
        check("4567", "12:pids:/docker/4567\n", Some(true));
        check("89ab", "0::/system.slice/docker-89ab.scope\n", Some(false));
        check("0123", "0::/init.scope\n", None);
        check("0123", "", None);
    }

    #[tokio::test]
    async fn a_question_is_asked_once_however_many_ask_it() {
        let answers = AskedOnce::none();
        let asked = AtomicUsize::new(0);
        let ask = |word: &'static str| {
            let ask = async {
                tokio::task::yield_now().await;
                asked.fetch_add(1, Ordering::Relaxed);
                word.len()
            };
            answers.of(word, ask)
        };
        assert_eq!(join_all([ask("nginx"), ask("nginx"), ask("app"), ask("nginx")]).await, [5, 5, 3, 5]);
        assert_eq!(ask("app").await, 3);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
