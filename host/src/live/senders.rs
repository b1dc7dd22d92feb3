//! Who sends requests to a service: every nginx that could is asked, and each of its ways out is followed.
//!
//! A service is a worker only where all of them lead elsewhere, or where the operator says so.

use std::net::IpAddr;

use futures_util::future::join_all;

use super::observe::is_nginx;
use super::site::Site;
use crate::compose;
use crate::docker::Seen;
use crate::model::{Failure, ProxyChoice, ServiceName, Settings};
use crate::nginx::{Names, Observation, Reach, reach};

/// What was found out about who sends requests to a service.
#[derive(Default)]
pub struct Senders {
    /// The nginx before it, also where something stands in the way of a swap; `None` with no problems: a worker.
    pub front: Option<Sender>,
    /// Why it can't be swapped as it is, each with its cure.
    pub problems: Vec<Failure>,
    /// What the operator should know.
    pub notices: Vec<String>,
}

/// An nginx that was asked.
pub struct Sender {
    /// How a plan names it.
    pub choice: ProxyChoice,
    /// Its container; `None`: it runs on the host.
    pub container: Option<Seen>,
    /// What it says.
    pub observation: Observation,
    /// What that means for the service.
    pub reach: Reach,
}

impl Sender {
    /// Tells whether it knows the service: requests reach it, or swap has written a file for it.
    pub fn knows(&self) -> bool {
        self.reach.is_used() || self.observation.folder.upstream.is_some()
    }

    /// Returns all that must be corrected before swap can switch it.
    pub fn problems(&self) -> Vec<Failure> {
        self.reach.past.iter().cloned().chain(self.observation.problems()).collect()
    }
}

/// A service as it is meant and as it runs.
#[derive(Clone, Copy)]
pub(super) struct Receiver<'a> {
    pub name: &'a ServiceName,
    pub settings: &'a Settings,
    pub of_compose: &'a compose::Service,
    /// Its running containers.
    pub live: &'a [&'a Seen],
}

impl Receiver<'_> {
    /// Returns what its upstream and its file are called.
    pub fn upstream(&self) -> &ServiceName {
        self.settings.upstream.as_ref().unwrap_or(self.name)
    }
}

impl Site {
    /// Finds out who sends requests to a service. `all` are the project's containers.
    pub(super) async fn senders(&self, service: Receiver<'_>, all: &[Seen]) -> Senders {
        if service.settings.no_proxy {
            return Senders::default();
        }
        match self.named_proxy(service, all).await {
            Ok(Some((choice, container))) => self.named(service, all, choice, container).await,
            Ok(None) => self.found(service, all).await,
            Err(failure) => Senders { problems: vec![failure], ..Senders::default() },
        }
    }

    /// Looks at the nginx that is settled.
    async fn named(
        &self,
        service: Receiver<'_>,
        all: &[Seen],
        choice: ProxyChoice,
        container: Option<Seen>,
    ) -> Senders {
        let sender = match self.ask_one(service, all, choice, container).await {
            Ok(sender) => sender,
            Err(failure) => return Senders { problems: vec![failure], ..Senders::default() },
        };
        let mut notices = Vec::new();
        let own = sender.container.as_ref().map(|seen| seen.service.clone());
        let others = running_nginxes(service, all).into_iter().filter(|seen| Some(&seen.service) != own.as_ref());
        for other in self.ask_each(service, all, others.collect()).await.0.iter().filter(|other| other.reach.is_used())
        {
            notices.push(format!(
                "{} sends requests to `{}` too, and swap switches {} alone: it finds the new container when it is reloaded",
                other.choice, service.name, sender.choice
            ));
        }
        if sender.reach.passes.is_empty() && sender.problems().is_empty() {
            // The operator says that it fronts the service; where no line can be told to, that is worth a word.
            let told = |failure: &Failure| failure.what.clone();
            let none = || {
                vec![format!(
                    "no line of {}'s configuration sends requests to `{}`: a switch moves what names its upstream",
                    sender.choice, service.name
                )]
            };
            let unclear: Vec<String> = sender.reach.unclear.iter().map(told).collect();
            notices.extend(if unclear.is_empty() { none() } else { unclear });
        }
        let problems = problems_of(service.name, &sender, all);
        Senders { front: Some(sender), problems, notices }
    }

    /// Looks at every nginx of the project that could send requests to the service.
    async fn found(&self, service: Receiver<'_>, all: &[Seen]) -> Senders {
        let guessed = running_nginxes(service, all);
        let (mut asked, mut unasked) = self.ask_each(service, all, guessed.clone()).await;
        if !asked.iter().any(|sender| sender.reach.is_used()) {
            // Before it counts as a worker, the processes of the others are looked at: an image may be called anything.
            let others = all.iter().filter(|seen| seen.runs() && seen.service != service.name.as_str());
            let others = others.filter(|seen| !guessed.iter().any(|known| known.id == seen.id));
            let more = self.running_nginx(others.collect()).await;
            let (more_asked, more_unasked) = self.ask_each(service, all, more).await;
            asked.extend(more_asked);
            unasked.extend(more_unasked);
        }
        if asked.is_empty() && unasked.is_empty() {
            let down = all.iter().find(|seen| seen.service != service.name.as_str() && !seen.runs() && is_nginx(seen));
            if let Some(down) = down {
                return Senders { problems: vec![not_running(service.name, &down.service)], ..Senders::default() };
            }
        }
        let unasked = unasked.into_iter().filter(|(seen, _)| could_reach(seen, service.live, all));
        let broken: Vec<Failure> = unasked.map(|(_, failure)| failure).collect();
        decide(service, asked, broken, all)
    }

    /// Asks each of these; returns those that answered, and those that did not with the reason.
    async fn ask_each(
        &self,
        service: Receiver<'_>,
        all: &[Seen],
        nginxes: Vec<&Seen>,
    ) -> (Vec<Sender>, Vec<(Seen, Failure)>) {
        let mut services: Vec<&Seen> = Vec::new();
        for seen in nginxes {
            // Containers of one service have one configuration.
            if !services.iter().any(|known| known.service == seen.service) {
                services.push(seen);
            }
        }
        let one = |seen: &Seen| {
            let seen = seen.clone();
            async move {
                let choice = match seen.service.parse() {
                    Ok(name) => ProxyChoice::Service(name),
                    Err(odd) => return Err((seen, Failure::new(odd))),
                };
                match self.ask_one(service, all, choice, Some(seen.clone())).await {
                    Ok(sender) => Ok(Some(sender)),
                    // What only has the word in its name may be an exporter of nginx's numbers.
                    Err(_) if self.runs_nginx(&seen).await == Some(false) => Ok(None),
                    Err(failure) => Err((seen, failure)),
                }
            }
        };
        let (mut asked, mut unasked) = (Vec::new(), Vec::new());
        for answer in join_all(services.into_iter().map(one)).await {
            match answer {
                Ok(sender) => asked.extend(sender),
                Err(silent) => unasked.push(silent),
            }
        }
        (asked, unasked)
    }

    async fn ask_one(
        &self,
        service: Receiver<'_>,
        all: &[Seen],
        choice: ProxyChoice,
        container: Option<Seen>,
    ) -> Result<Sender, Failure> {
        let observation = self.doors.observe(&self.docker, &choice, container.as_ref(), service.upstream()).await?;
        let proxy = match &choice {
            ProxyChoice::Service(name) => self.project.services.get(name),
            _ => None,
        };
        let names = names(service, container.as_ref(), proxy, &observation);
        let mut reach =
            observation.configuration.as_ref().map(|configuration| reach(configuration, &names)).unwrap_or_default();
        if container.as_ref().is_some_and(|nginx| !could_reach(nginx, service.live, all)) {
            reach.unclear.clear();
        }
        Ok(Sender { choice, container, observation, reach })
    }

    /// Returns those that run an nginx, as the engine lists their processes.
    async fn running_nginx<'a>(&self, containers: Vec<&'a Seen>) -> Vec<&'a Seen> {
        let run = join_all(containers.iter().map(|seen| self.runs_nginx(seen))).await;
        containers.into_iter().zip(run).filter(|(_, runs)| *runs == Some(true)).map(|(seen, _)| seen).collect()
    }

    /// Tells whether an nginx runs in a container; `None`: the engine can't list processes.
    async fn runs_nginx(&self, seen: &Seen) -> Option<bool> {
        let processes = self.docker.processes(&seen.id).await.ok()?;
        let is_nginx = |line: &String| line.contains("nginx: master process") || line.contains("nginx: worker process");
        Some(processes.iter().any(is_nginx))
    }
}

/// Decides what those who answered mean. `broken` are the reasons of those who could not be asked and might reach the service.
fn decide(service: Receiver<'_>, mut asked: Vec<Sender>, broken: Vec<Failure>, all: &[Seen]) -> Senders {
    let name = service.name;
    let told = |failure: &Failure| failure.what.clone();
    let used: Vec<&Sender> = asked.iter().filter(|sender| sender.reach.is_used()).collect();
    if let [first, _, ..] = used[..] {
        let list: Vec<String> = used.iter().map(|sender| sender.choice.to_string()).collect();
        let failure = Failure::new(format!("several nginxes send requests to `{name}` ({})", list.join(", "))).hint(format!(
            "let one of them do it, or write `x-swap: {{ proxy: {} }}` under `services: {name}:`: the others find the new \
             container when they are reloaded",
            first.choice
        ));
        return Senders { problems: vec![failure], ..Senders::default() };
    }
    let position = |is: &dyn Fn(&Sender) -> bool| asked.iter().position(is);
    if let Some(at) = position(&|sender| sender.reach.is_used()) {
        let sender = asked.swap_remove(at);
        let problems = problems_of(name, &sender, all);
        let mut notices: Vec<String> = broken.iter().map(told).collect();
        notices.extend(asked.iter().flat_map(|other| &other.reach.unclear).map(told));
        return Senders { front: Some(sender), problems, notices };
    }
    let mut problems = broken;
    problems.extend(asked.iter().filter_map(|sender| sender.observation.configuration.as_ref().err()).cloned());
    problems.extend(asked.iter().flat_map(|sender| &sender.reach.unclear).cloned());
    // Nobody's requests are known to come, but swap has written a file for it once: the switch is to go on there.
    let front = position(&|sender| sender.observation.folder.upstream.is_some() && sender.problems().is_empty());
    match front {
        Some(at) if problems.is_empty() => {
            let sender = asked.swap_remove(at);
            let problems = problems_of(name, &sender, all);
            Senders { front: Some(sender), problems, notices: Vec::new() }
        }
        _ => Senders {
            notices: if problems.is_empty() { other_proxies(service, all) } else { Vec::new() },
            front: None,
            problems,
        },
    }
}

/// Returns what stands in the way of a switch of this nginx.
fn problems_of(service: &ServiceName, sender: &Sender, all: &[Seen]) -> Vec<Failure> {
    let mut problems = sender.problems();
    let Some(container) = &sender.container else { return problems };
    problems.extend(unhealthy(&container.service, container).err());
    let same = |seen: &&Seen| seen.runs() && seen.service == container.service && !seen.service.is_empty();
    let names: Vec<&str> = all.iter().filter(same).map(|seen| seen.name.as_str()).collect();
    if names.len() > 1 {
        let proxy = &container.service;
        problems.push(
            Failure::new(format!(
                "the proxy `{proxy}` runs in {} containers ({}), and swap switches one: the others would send requests to what \
                 is not there any more",
                names.len(),
                names.join(", ")
            ))
            .hint(format!("`docker compose up -d --no-recreate --scale {proxy}=1 {proxy}`, then `swap {service}`")),
        );
    }
    problems
}

fn not_running(service: &ServiceName, proxy: &str) -> Failure {
    Failure::new(format!("the proxy `{proxy}` is not running, so nobody could send requests to a new `{service}`")).hint(
        format!(
            "start it with `docker compose up -d {proxy}`; for a service without a proxy write `x-swap: {{ proxy: none }}`"
        ),
    )
}

fn unhealthy(name: &str, seen: &Seen) -> Result<(), Failure> {
    match seen.health.as_deref() {
        Some("unhealthy") => Err(Failure::new(format!("the proxy `{name}` ({}) is unhealthy", seen.name)).hint(
            format!("see `docker compose logs {name}`; swap changes nothing behind a front door that may be broken"),
        )),
        _ => Ok(()),
    }
}

/// Returns the containers of other services that look as if they ran nginx, and run.
fn running_nginxes<'a>(service: Receiver<'_>, all: &'a [Seen]) -> Vec<&'a Seen> {
    all.iter().filter(|seen| seen.service != service.name.as_str() && seen.runs() && is_nginx(seen)).collect()
}

/// Tells whether a container could reach one of these at all: by a network, or by a socket in a folder that both have.
fn could_reach(nginx: &Seen, live: &[&Seen], all: &[Seen]) -> bool {
    // One that lives in the network of another container has none of its own.
    let host = nginx.network_mode.strip_prefix("container:");
    let host = host.and_then(|id| all.iter().find(|seen| seen.id == id || seen.name == id));
    let networks = &host.unwrap_or(nginx).networks;
    nginx.network_mode == "host"
        || nginx.network_mode.starts_with("container:") && host.is_none()
        || live.iter().any(|seen| {
            seen.network_mode == "host"
                || seen.networks.keys().any(|name| networks.contains_key(name))
                || !shared_folders(nginx, seen).is_empty()
        })
}

/// Returns the folders of the first container that the second one also has, each with what is mounted.
fn shared_folders(nginx: &Seen, seen: &Seen) -> Vec<(String, String)> {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
    };
    let shared = nginx.mounts.iter().filter(|mount| {
        let source = mount.source.trim_end_matches('/');
        let same =
            |other: &str| !source.is_empty() && !other.is_empty() && (within(source, other) || within(other, source));
        seen.mounts.iter().any(|other| same(other.source.trim_end_matches('/')))
    });
    let what = |mount: &crate::docker::Mount| match &mount.volume {
        Some(volume) => format!("the volume `{volume}`"),
        None => format!("`{}`", mount.source),
    };
    shared.map(|mount| (mount.destination.clone(), what(mount))).collect()
}

/// Returns all by which the service can be reached from an nginx.
fn names(
    service: Receiver<'_>,
    nginx: Option<&Seen>,
    proxy: Option<&compose::Service>,
    observation: &Observation,
) -> Names {
    let Receiver { name, of_compose, live, .. } = service;
    let mut names = Names { upstream: service.upstream().clone(), ..Names::of(name.clone()) };
    names.add(service.upstream().as_str(), "the name of its upstream");
    for (text, what) in [(&of_compose.container_name, "its `container_name`"), (&of_compose.hostname, "its `hostname`")]
    {
        names.add(text.as_deref().unwrap_or_default(), what);
    }
    of_compose.aliases.iter().for_each(|alias| names.add(alias, "its network alias"));
    for link in proxy.into_iter().flat_map(|proxy| &proxy.links) {
        let (to, alias) = link.split_once(':').unwrap_or((link, link));
        if to == name.as_str() {
            names.add(alias, format!("a name for it in `links`, `{link}`"));
        }
    }
    for seen in live {
        names.add(&seen.name, "its container's name");
        names.add(&seen.id, "its container's id");
        names.add(seen.id.get(..12).unwrap_or_default(), "its container's id");
        names.add(&seen.hostname, "its `hostname`");
        for (network, place) in &seen.networks {
            place.aliases.iter().for_each(|alias| names.add(alias, "its network alias"));
            names.addresses.extend(place.ip.map(|ip| (ip, seen.name.clone())));
            if !names.networks.contains(network) {
                names.networks.push(network.clone());
            }
        }
        for link in nginx.iter().flat_map(|nginx| nginx.networks.values()).flat_map(|place| &place.links) {
            let Some((to, alias)) = link.split_once(':') else { continue };
            let to = to.trim_start_matches('/');
            if to == seen.name || to == seen.id {
                names.add(alias, format!("a name for it in `links`, `{link}`"));
            }
        }
        let ports =
            seen.published.iter().filter_map(|entry| entry.split("->").next()?.rsplit(':').next()?.parse().ok());
        names.published.extend(ports.map(|port: u16| (port, seen.name.clone())));
        names.folders.extend(nginx.into_iter().flat_map(|nginx| shared_folders(nginx, seen)));
    }
    for fixed in &of_compose.fixed_addresses {
        let address = fixed.rsplit(' ').next().and_then(|address| address.parse::<IpAddr>().ok());
        names.addresses.extend(address.map(|ip| (ip, format!("`{fixed}` of `{name}`"))));
    }
    names.on_machine = nginx.is_none_or(|nginx| nginx.network_mode == "host");
    names.hosts = observation.hosts.clone();
    names
}

/// Says of other programs before a service that swap does not look into them.
fn other_proxies(service: Receiver<'_>, all: &[Seen]) -> Vec<String> {
    const PROGRAMS: [&str; 5] = ["haproxy", "traefik", "caddy", "envoy", "varnish"];
    let others = all.iter().filter(|seen| seen.runs() && seen.service != service.name.as_str());
    let near = others.filter(|seen| could_reach(seen, service.live, all));
    let told = near.filter_map(|seen| {
        let image = seen.image_name.rsplit('/').next().unwrap_or_default();
        let program = PROGRAMS.iter().find(|program| image.contains(*program))?;
        Some(format!(
            "`{}` is {program}, which swap does not look into: if it sends requests to `{}`, it has to find the new container \
             by itself",
            seen.service, service.name
        ))
    });
    told.collect()
}
