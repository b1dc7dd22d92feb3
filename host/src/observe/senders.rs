//! Who sends requests to a service: every nginx that could is asked, and each of its ways out is followed.
//!
//! A service is a worker only where all of them lead elsewhere, or where the operator says so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::join_all;

use super::survey::Survey;
use crate::compose;
use crate::docker::{ContainerFacts, Listed};
use crate::model::{Failure, Notice, ProxyChoice, ServiceName, Settings, extend_new, unknown_service};
use crate::nginx::{Names, Observation, ServiceWays, file_name, owner, reach};
use crate::site::Site;
use crate::site::containers::{is_nginx, looks_like_nginx, owned_by_others};

/// What was found out about who sends requests to a service.
#[derive(Default)]
pub(crate) struct Senders {
    /// The nginxes before it, also where something stands in the way of a swap; none, with no problems: a worker.
    pub fronts: Vec<Sender>,
    /// Why it can't be swapped as it is, each with its cure.
    pub problems: Vec<Failure>,
    /// What the operator should know.
    pub notices: Vec<Notice>,
}

/// What the nginxes on this machine are to a service.
#[derive(Default)]
struct Machine {
    /// The one that sends requests to it.
    sender: Option<Sender>,
    /// Why that one can't be switched.
    problem: Option<Failure>,
    /// Why it can't be told whether one does.
    unclear: Vec<Failure>,
    /// The files by which they send requests to what has its name and is another project's.
    of_others: Vec<Failure>,
}

/// An nginx that was asked.
pub(crate) struct Sender {
    /// How a plan names it.
    pub choice: ProxyChoice,
    /// Its container; `None`: it runs on the host.
    pub container: Option<ContainerFacts>,
    /// What it says.
    pub observation: Observation,
    /// What that means for the service.
    pub reach: ServiceWays,
    /// Whether swap's file for the service is there and this project's.
    pub has_file: bool,
}

impl Sender {
    /// Tells whether it knows the service: requests reach it, or swap has written a file for it.
    pub(crate) fn knows(&self) -> bool {
        self.reach.is_used() || self.has_file
    }

    /// Tells whether a plan must reckon with it: requests reach the service, or did when swap wrote its file, and nobody can tell
    /// whether they still do.
    fn counts(&self) -> bool {
        self.reach.is_used() || (self.has_file && self.observation.configuration.is_err())
    }

    /// Returns all that must be corrected before swap can switch it.
    pub(crate) fn problems(&self) -> Vec<Failure> {
        self.reach.past.iter().cloned().chain(self.observation.problems()).collect()
    }
}

/// A service as it is meant and as it runs.
#[derive(Clone, Copy)]
pub(crate) struct Receiver<'a> {
    pub name: &'a ServiceName,
    pub settings: &'a Settings,
    pub of_compose: &'a compose::Service,
    /// Its running containers.
    pub live: &'a [&'a ContainerFacts],
}

impl Receiver<'_> {
    /// Returns what its upstream and its file are called.
    pub(crate) fn upstream(&self) -> &ServiceName {
        self.settings.upstream(self.name)
    }
}

impl Site {
    /// Finds out who sends requests to a service.
    pub(crate) async fn senders(&self, service: Receiver<'_>, survey: &Survey<'_>) -> Senders {
        if service.settings.no_proxy {
            return Senders::default();
        }
        match self.named_proxy(service, survey).await {
            Ok(named) if named.is_empty() => self.found(service, survey).await,
            Ok(named) => self.named(service, survey, named).await,
            Err(failure) => Senders { problems: vec![failure], ..Senders::default() },
        }
    }

    /// Returns the proxy that is settled, with its container: each of them where it runs in several. None: it is to be found.
    pub(crate) async fn named_proxy(
        &self,
        service: Receiver<'_>,
        survey: &Survey<'_>,
    ) -> Result<Vec<(ProxyChoice, Option<ContainerFacts>)>, Failure> {
        let name = service.name;
        match &service.settings.proxy {
            Some(ProxyChoice::Host) => Ok(vec![(ProxyChoice::Host, None)]),
            Some(ProxyChoice::Service(proxy)) => {
                if !self.project.services.contains_key(proxy) {
                    return Err(unknown_service(proxy.as_str(), &self.services())).map_err(|failure| Failure {
                        what: format!("the proxy of `{name}`: {}", failure.what),
                        ..failure
                    });
                }
                let running = survey.running_of(proxy);
                if running.is_empty() {
                    return Err(Failure::new(format!("the proxy `{proxy}` of service `{name}` is not running"))
                        .hint(format!("start it with `docker compose up -d {proxy}`")));
                }
                Ok(self.each_of(&running))
            }
            Some(choice) => {
                let seen = survey.proxy(choice).await.map_err(|failure| Failure {
                    what: format!("{} (it is the proxy of service `{name}`)", failure.what),
                    ..failure
                })?;
                let ProxyChoice::Project { project, service } = choice else { return Ok(vec![(choice.clone(), seen)]) };
                let all = survey.service_of(project, service).await;
                let running: Vec<&ContainerFacts> = all.iter().filter(|seen| seen.runs()).collect();
                Ok(if running.len() > 1 { self.each_of(&running) } else { vec![(choice.clone(), seen)] })
            }
            None => Ok(Vec::new()),
        }
    }

    /// Looks at the nginxes that are settled.
    async fn named(
        &self,
        service: Receiver<'_>,
        survey: &Survey<'_>,
        named: Vec<(ProxyChoice, Option<ContainerFacts>)>,
    ) -> Senders {
        let asked = named.into_iter().map(|(choice, container)| self.ask_one(service, survey, choice, container));
        let senders: Vec<Sender> = match join_all(asked).await.into_iter().collect() {
            Ok(senders) => senders,
            Err(failure) => return Senders { problems: vec![failure], ..Senders::default() },
        };
        let switched = list_choices(&senders);
        let is_named = |seen: &ContainerFacts| {
            senders.iter().filter_map(|sender| sender.container.as_ref()).any(|named| named.id == seen.id)
        };
        let mut notices = Vec::new();
        let nginxes = running_nginxes(service, survey.all).into_iter();
        let others = nginxes.filter(|seen| !is_named(seen)).collect();
        for other in self.ask_each(service, survey, others).await.0.iter().filter(|other| other.reach.is_used()) {
            notices.push(Notice::new(format!(
                "{} sends requests to `{}` too, and swap switches {switched} alone: it finds the new container when it is \
                 reloaded",
                other.choice, service.name
            )));
        }
        for sender in senders.iter().filter(|sender| sender.reach.passes.is_empty() && sender.problems().is_empty()) {
            // The operator says that it fronts the service; where no line can be told to, that is worth a word.
            let told = |failure: &Failure| Notice::new(&failure.what);
            let none = || {
                vec![Notice::new(format!(
                    "no line of {}'s configuration sends requests to `{}`: a switch moves what names its upstream",
                    sender.choice, service.name
                ))]
            };
            let unclear: Vec<Notice> = sender.reach.unclear.iter().map(told).collect();
            notices.extend(if unclear.is_empty() { none() } else { unclear });
        }
        Senders { problems: problems_of(&senders), fronts: senders, notices }
    }

    /// Returns how a plan names each of these nginxes, with its container.
    fn each_of(&self, nginxes: &[&ContainerFacts]) -> Vec<(ProxyChoice, Option<ContainerFacts>)> {
        nginxes.iter().map(|seen| (self.choice_of(seen, nginxes), Some((*seen).clone()))).collect()
    }

    /// Returns how a plan names the nginx in a container: by its service or, where others of these are of the same one, by its
    /// own name.
    fn choice_of(&self, seen: &ContainerFacts, beside: &[&ContainerFacts]) -> ProxyChoice {
        let same = |other: &&&ContainerFacts| other.service == seen.service && project_of(other) == project_of(seen);
        let is_alone = beside.iter().filter(same).all(|other| other.id == seen.id);
        let of_compose = seen.service.parse().ok().zip(project_of(seen).parse().ok()).filter(|_| is_alone);
        match (of_compose, seen.name.parse()) {
            (Some((service, _)), _) if project_of(seen) == self.project.name => ProxyChoice::Service(service),
            (Some((service, project)), _) => ProxyChoice::Project { project, service },
            (None, Ok(name)) => ProxyChoice::Container(name),
            // The engine gives no other names; its id is one too.
            (None, Err(_)) => seen.id.parse().map_or(ProxyChoice::Host, ProxyChoice::Container),
        }
    }

    /// Returns the containers outside of the project that could send requests to the service and seem to run nginx: they share a
    /// network with it, or the machine's, or it publishes ports. `any`: whatever they are called.
    async fn nginxes_elsewhere(
        &self,
        service: Receiver<'_>,
        survey: &Survey<'_>,
        any: bool,
    ) -> Result<Vec<Arc<ContainerFacts>>, Failure> {
        let networks: BTreeSet<&str> =
            service.live.iter().flat_map(|seen| seen.networks.keys()).map(String::as_str).collect();
        let published = service.live.iter().any(|seen| !seen.published.is_empty());
        let here = self.project.name.as_str();
        let near = |listed: &Listed| {
            let shares = listed.networks.iter().any(|network| networks.contains(network.as_str()) && network != "host");
            shares || listed.network_mode == "host" || (published && !any)
        };
        survey.running(|listed| listed.project != here && near(listed) && (any || seems_nginx(listed))).await
    }

    /// Looks at the nginx on this machine, where the engine is this machine's.
    async fn ask_machine(&self, service: Receiver<'_>, survey: &Survey<'_>) -> Machine {
        let mut machine = Machine::default();
        let Some(told) = survey.on_this_machine(service.upstream()).await else { return machine };
        let configurations = told.unwrap_or_else(|failure| vec![Err(failure)]);
        let mut used = Vec::new();
        for configuration in configurations {
            let (configuration, text) = match configuration {
                Ok(told) => told,
                Err(failure) => {
                    machine.unclear.push(not_read(service.name, failure));
                    continue;
                }
            };
            let owner = text.as_deref().and_then(owner).filter(|owner| *owner != self.project.name);
            let mut names = names(service, None, None, BTreeMap::new(), owner);
            names.project = Some(self.project.name.clone());
            names.names.clear();
            let reach = reach(&configuration, &names);
            if let (true, Some(owner), Some(include)) = (reach.of_others, owner, &configuration.include) {
                let file = include.file(service.upstream());
                machine.of_others.push(not_ours(&file, owner, &self.project.name, service.name, &ProxyChoice::Host));
            }
            if reach.is_used() {
                used.push(reach.past.into_iter().chain(configuration.mistakes).next());
            }
            machine.unclear.extend(reach.unclear);
        }
        if used.is_empty() {
            return machine;
        }
        match self.ask_one(service, survey, ProxyChoice::Host, None).await {
            Ok(sender) if sender.reach.is_used() => machine.sender = Some(sender),
            Ok(_) => machine.problem = used.into_iter().flatten().next(),
            Err(failure) => machine.problem = Some(failure),
        }
        machine
    }

    /// Looks at every nginx that could send requests to the service.
    async fn found(&self, service: Receiver<'_>, survey: &Survey<'_>) -> Senders {
        let all = survey.all;
        let guessed = running_nginxes(service, all);
        let elsewhere = async {
            let found = self.nginxes_elsewhere(service, survey, false).await?;
            Ok::<_, Failure>(self.ask_each(service, survey, found.iter().map(AsRef::as_ref).collect()).await)
        };
        let here = self.ask_each(service, survey, guessed.clone());
        let ((mut asked, mut unasked), elsewhere, machine) =
            tokio::join!(here, elsewhere, self.ask_machine(service, survey));
        let (mut more_asked, more_unasked) = match elsewhere {
            Ok(found) => found,
            Err(failure) => return Senders { problems: vec![failure], ..Senders::default() },
        };
        asked.append(&mut more_asked);
        asked.extend(machine.sender);
        if let Some(problem) = machine.problem {
            return Senders { problems: vec![problem], ..Senders::default() };
        }
        unasked.extend(more_unasked);
        if !asked.iter().any(|sender| sender.reach.is_used()) {
            // Before it counts as a worker, the processes of the others are looked at: an image may be called anything.
            let others = all.iter().filter(|seen| seen.runs() && seen.service != service.name.as_str());
            let others = others.filter(|seen| !guessed.iter().any(|known| known.id == seen.id));
            let strangers = self.nginxes_elsewhere(service, survey, true).await.unwrap_or_default();
            let strangers = strangers.iter().map(AsRef::as_ref).filter(|seen| !is_nginx(seen));
            let others: Vec<&ContainerFacts> = others.chain(strangers).collect();
            let run = join_all(others.iter().map(|seen| survey.runs_nginx(seen))).await;
            let more = others.into_iter().zip(run).filter(|(_, runs)| *runs == Some(true)).map(|(seen, _)| seen);
            let (more_asked, more_unasked) = self.ask_each(service, survey, more.collect()).await;
            asked.extend(more_asked);
            unasked.extend(more_unasked);
        }
        let silent = machine.unclear.is_empty() && machine.of_others.is_empty();
        if asked.is_empty() && unasked.is_empty() && silent {
            let down = all.iter().find(|seen| seen.service != service.name.as_str() && !seen.runs() && is_nginx(seen));
            if let Some(down) = down {
                return Senders { problems: vec![not_running(service.name, &down.service)], ..Senders::default() };
            }
        }
        let unasked = unasked.into_iter().filter(|(seen, _)| could_reach(seen, service.live, all));
        let broken: Vec<Failure> = unasked.map(|(_, failure)| failure).collect();
        let used = asked.iter().any(|sender| sender.reach.is_used());
        let mut senders = decide(service, &self.project.name, asked, broken, all);
        if !used {
            // Where an nginx is known to send requests, the machine's own one mostly stands before that.
            senders.problems.extend(machine.unclear.into_iter().chain(machine.of_others));
        }
        senders
    }

    /// Asks each of these; returns those that answered, and those that did not with the reason.
    async fn ask_each(
        &self,
        service: Receiver<'_>,
        survey: &Survey<'_>,
        nginxes: Vec<&ContainerFacts>,
    ) -> (Vec<Sender>, Vec<(ContainerFacts, Failure)>) {
        let one = |seen: &&ContainerFacts| {
            let (choice, seen) = (self.choice_of(seen, &nginxes), (*seen).clone());
            async move {
                match self.ask_one(service, survey, choice, Some(seen.clone())).await {
                    Ok(sender) => Ok(Some(sender)),
                    // What only has the word in its name may be an exporter of nginx's numbers.
                    Err(_) if survey.runs_nginx(&seen).await == Some(false) => Ok(None),
                    Err(failure) => Err((seen, failure)),
                }
            }
        };
        let (mut asked, mut unasked) = (Vec::new(), Vec::new());
        for answer in join_all(nginxes.iter().map(one)).await {
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
        survey: &Survey<'_>,
        choice: ProxyChoice,
        container: Option<ContainerFacts>,
    ) -> Result<Sender, Failure> {
        let observation = survey.observation(&choice, container.as_ref(), service.upstream()).await?;
        let own = container.as_ref().filter(|seen| project_of(seen) == self.project.name && !seen.service.is_empty());
        let proxy = own.and_then(|seen| self.project.services.get(&seen.service.parse::<ServiceName>().ok()?));
        let owner = observation.folder.upstream.as_deref().and_then(owner).filter(|owner| *owner != self.project.name);
        let has_file = observation.folder.upstream.is_some() && owner.is_none();
        let near = container.as_ref().is_none_or(|nginx| could_reach(nginx, service.live, survey.all));
        let claimed = service.settings.proxy.is_some() || own.is_some();
        let mut names = names(service, container.as_ref(), proxy, observation.hosts.clone(), owner);
        names.project = Some(self.project.name.clone());
        if claimed {
            names.claimed = true;
        } else if names.on_machine {
            // The machine asks no DNS of the engine's.
            names.names.clear();
        } else if !near {
            // Nor does the engine's DNS tell it of networks that it is not in: what it calls so is somebody else. It may
            // still come by a published port.
            names.names.clear();
            names.addresses.clear();
        }
        let mut reach =
            observation.configuration.as_ref().map(|configuration| reach(configuration, &names)).unwrap_or_default();
        if !near {
            reach.unclear.clear();
        }
        Ok(Sender { choice, container, observation, reach, has_file })
    }
}

/// Decides what those who answered mean. `broken` are the reasons of those who could not be asked and might reach the service.
fn decide(
    service: Receiver<'_>,
    project: &str,
    asked: Vec<Sender>,
    broken: Vec<Failure>,
    all: &[ContainerFacts],
) -> Senders {
    let name = service.name;
    let told = |failure: &Failure| Notice::new(&failure.what);
    let (used, asked): (Vec<Sender>, Vec<Sender>) = asked.into_iter().partition(Sender::counts);
    if used.iter().any(|sender| sender.reach.is_used()) {
        let unread = asked.iter().filter_map(|other| other.observation.configuration.as_ref().err());
        let mut notices: Vec<Notice> = broken.iter().chain(unread).map(told).collect();
        notices.extend(asked.iter().flat_map(|other| &other.reach.unclear).map(told));
        return Senders { problems: problems_of(&used), fronts: used, notices };
    }
    let mut problems = broken;
    let asked: Vec<Sender> = used.into_iter().chain(asked).collect();
    problems.extend(asked.iter().filter_map(|sender| sender.observation.configuration.as_ref().err()).cloned());
    problems.extend(asked.iter().flat_map(|sender| &sender.reach.unclear).cloned());
    // An nginx that could reach it sends requests to what has its name and is another project's: nobody knows who is meant.
    for sender in asked.iter().filter(|sender| sender.reach.of_others) {
        let Observation { nginx, folder, .. } = &sender.observation;
        let file = format!("{}/{}", nginx.folder, file_name(service.upstream()));
        let owner = folder.upstream.as_deref().and_then(owner).unwrap_or_default();
        problems.push(not_ours(&file, owner, project, name, &sender.choice));
    }
    // Nobody's requests are known to come, but swap has written a file for it once: the switch is to go on there.
    if !problems.is_empty() {
        return Senders { problems, ..Senders::default() };
    }
    let with_file = |sender: &Sender| sender.has_file && sender.problems().is_empty();
    let fronts: Vec<Sender> = asked.into_iter().filter(with_file).collect();
    let notices = if fronts.is_empty() { other_proxies(service, all) } else { Vec::new() };
    Senders { problems: problems_of(&fronts), fronts, notices }
}

/// Returns which nginxes these are, as "nginx and edge".
fn list_choices(senders: &[Sender]) -> String {
    senders.iter().map(|sender| sender.choice.to_string()).collect::<Vec<_>>().join(" and ")
}

/// Returns what stands in the way of a switch of these nginxes. What containers of one service have in common is said once.
fn problems_of(senders: &[Sender]) -> Vec<Failure> {
    let mut problems: Vec<Failure> = Vec::new();
    for sender in senders {
        let unhealthy = sender.container.as_ref().and_then(|container| unhealthy(&sender.choice, container).err());
        extend_new(&mut problems, sender.problems().into_iter().chain(unhealthy));
    }
    problems
}

/// Says that the nginx on this machine can't be read.
fn not_read(service: &ServiceName, failure: Failure) -> Failure {
    Failure::new(format!("nobody can tell whether the nginx on this machine sends requests to `{service}`: {}", failure.what))
        .tail(failure.tail)
        .hint(format!(
            "run swap as a user who may read its configuration (`sudo swap {service}`), and let `nginx -t` succeed; if it sends \
             none, write `x-swap: {{ proxy: none }}` under `services: {service}:`"
        ))
}

/// Says that an nginx that could reach a service sends requests to what has its name and is another project's: nobody knows who
/// is meant.
fn not_ours(file: &str, owner: &str, project: &str, service: &ServiceName, choice: &ProxyChoice) -> Failure {
    let failure = owned_by_others(file, owner, project, service, choice);
    let none = format!("; if no nginx sends requests to `{service}`, write `proxy: none` there");
    Failure { hint: failure.hint.map(|hint| hint + &none), ..failure }
}

/// Returns the compose project of a container; empty if compose did not make it.
fn project_of(seen: &ContainerFacts) -> &str {
    seen.labels.get("com.docker.compose.project").map_or("", String::as_str)
}

/// Tells whether a container that was only listed looks like one that runs nginx.
fn seems_nginx(listed: &Listed) -> bool {
    let Listed { image_name, command, mounted, .. } = listed;
    looks_like_nginx(image_name, command.trim_matches('"').split(' '), mounted.iter().map(String::as_str))
}

fn not_running(service: &ServiceName, proxy: &str) -> Failure {
    Failure::new(format!("the proxy `{proxy}` is not running, so nobody could send requests to a new `{service}`")).hint(
        format!(
            "start it with `docker compose up -d {proxy}`; for a service without a proxy write `x-swap: {{ proxy: none }}`"
        ),
    )
}

fn unhealthy(choice: &ProxyChoice, seen: &ContainerFacts) -> Result<(), Failure> {
    let logs = match choice {
        ProxyChoice::Service(name) => format!("docker compose logs {name}"),
        _ => format!("docker logs {}", seen.name),
    };
    match seen.health.as_deref() {
        Some("unhealthy") => Err(Failure::new(format!("the proxy `{choice}` ({}) is unhealthy", seen.name))
            .hint(format!("see `{logs}`; swap changes nothing behind a front door that may be broken"))),
        _ => Ok(()),
    }
}

/// Returns the containers of other services that look as if they ran nginx, and run.
fn running_nginxes<'a>(service: Receiver<'_>, all: &'a [ContainerFacts]) -> Vec<&'a ContainerFacts> {
    all.iter().filter(|seen| seen.service != service.name.as_str() && seen.runs() && is_nginx(seen)).collect()
}

/// Tells whether a container could reach one of these at all: by a network, or by a socket in a folder that both have.
fn could_reach(nginx: &ContainerFacts, live: &[&ContainerFacts], all: &[ContainerFacts]) -> bool {
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
fn shared_folders(nginx: &ContainerFacts, seen: &ContainerFacts) -> Vec<(String, String)> {
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
pub(crate) fn names(
    service: Receiver<'_>,
    nginx: Option<&ContainerFacts>,
    proxy: Option<&compose::Service>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
    owner: Option<&str>,
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
        names.published.extend(seen.published.iter().map(|published| (published.port, seen.name.clone())));
        names.folders.extend(nginx.into_iter().flat_map(|nginx| shared_folders(nginx, seen)));
    }
    for fixed in &of_compose.fixed_addresses {
        let address = fixed.address.parse::<IpAddr>().ok();
        names.addresses.extend(address.map(|ip| (ip, format!("`{fixed}` of `{name}`"))));
    }
    names.on_machine = nginx.is_none_or(|nginx| nginx.network_mode == "host");
    names.hosts = hosts;
    names.claimed = false;
    names.owner = owner.map(str::to_owned);
    names
}

/// Says of other programs before a service that swap does not look into them.
fn other_proxies(service: Receiver<'_>, all: &[ContainerFacts]) -> Vec<Notice> {
    const PROGRAMS: [&str; 5] = ["haproxy", "traefik", "caddy", "envoy", "varnish"];
    let others = all.iter().filter(|seen| seen.runs() && seen.service != service.name.as_str());
    let near = others.filter(|seen| could_reach(seen, service.live, all));
    let told = near.filter_map(|seen| {
        let image = seen.image_name.rsplit('/').next().unwrap_or_default();
        let program = PROGRAMS.iter().find(|program| image.contains(*program))?;
        Some(Notice::new(format!(
            "`{}` is {program}, which swap does not look into: if it sends requests to `{}`, it has to find the new container \
             by itself",
            seen.service, service.name
        )))
    });
    told.collect()
}
