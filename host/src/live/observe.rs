//! Looks at the world before a run: what is live, what fronts it, what a candidate would be made of.

use std::net::SocketAddr;

use futures_util::future::join_all;
use serde::Serialize;

use super::findings::Answers;
use super::front::container_of;
use super::lock::Holding;
use super::senders::{Receiver, Sender, Senders};
use super::site::Site;
use super::way::{self, Home};
use crate::compose;
use crate::docker::{Gathering, Mount, Seen, State};
use crate::hooks::{self, Hooks};
use crate::model::{
    Container, Failure, FixedPort, HookSpec, LoadedHook, ProxyChoice, Reaches, ServiceName, Settings, unknown_service,
};
use crate::nginx::{self, Observation, Written};
use crate::plan::{AnonymousVolume, CalledIn, Front, Observed, ObservedService, Sidecar, port};
use crate::text::short;

/// So many pages are asked for until an answer of the service is seen.
const MOST_PAGES: usize = 3;

/// What is known of a service now.
#[derive(Debug, Serialize)]
pub struct ServiceStatus {
    /// The service.
    pub service: String,
    /// The running containers that get requests, or all running ones of a worker.
    pub live: Vec<String>,
    /// Running containers that get no requests.
    pub beside: Vec<String>,
    /// Whether the front door finds the live ones by the service's DNS name alone, because none that its file names runs.
    pub by_dns: bool,
    /// The short id of the live image.
    pub image: String,
    /// What the live containers were created from, as `demo-app` or `php:8-apache`.
    pub image_name: String,
    /// Since when the oldest live container runs, by the engine's clock, in RFC 3339; nothing where none is live.
    pub started: Option<String>,
    /// The full ids of the live containers.
    #[serde(skip)]
    pub ids: Vec<String>,
    /// What fronts it, and the upstream's file; nothing for a worker or before the first swap.
    pub upstream: Option<String>,
    /// The unfinished runs.
    pub unfinished: Vec<String>,
    /// The run that is at work on it.
    pub holder: Option<Holding>,
}

impl Site {
    /// Looks at the services that are to be swapped, each with its settings. Changes nothing.
    pub async fn observe(&self, wanted: Vec<(ServiceName, Settings)>) -> Result<Observed, Failure> {
        self.compose.ask_version();
        let seen = self.docker.of_project(&self.project.name).await?;
        let mut services = Vec::new();
        for (name, settings) in wanted {
            services.push(self.observe_service(name, settings, &seen).await?);
        }
        if let Some(first) = services.first_mut() {
            first.notices.extend(self.other_tool.clone());
        }
        Ok(Observed { project: self.project.name.clone(), services })
    }

    pub(super) async fn observe_service(
        &self,
        name: ServiceName,
        settings: Settings,
        all: &[Seen],
    ) -> Result<ObservedService, Failure> {
        let running: Vec<&Seen> = all.iter().filter(|seen| seen.service == name.as_str() && seen.runs()).collect();
        let observed = self.observe_live(name.clone(), settings.clone(), all, running.clone()).await?;
        let Some((live, left)) =
            observed.front.as_ref().and_then(|front| left_behind(front.before.as_deref()?, &running))
        else {
            return Ok(observed);
        };
        let mut observed = self.observe_live(name, settings, all, live).await?;
        observed.left_behind = left.into_iter().map(|seen| container(seen, None)).collect();
        Ok(observed)
    }

    /// Looks at a service whose live containers are these: those that run or, to bring the version before back, those that
    /// died.
    pub(super) async fn observe_live(
        &self,
        name: ServiceName,
        settings: Settings,
        all: &[Seen],
        live: Vec<&Seen>,
    ) -> Result<ObservedService, Failure> {
        let of_compose = self.project.services.get(&name).cloned().unwrap_or_default();
        let others = all.iter().filter(|seen| {
            seen.service == name.as_str() && !seen.runs() && !live.iter().any(|live| live.id == seen.id)
        });
        let stopped = others.map(|seen| container(seen, None)).collect();
        let image_name = self.image_name(&name);
        let newest = live.last().copied();
        let (hooks, image, gatherings, used) = tokio::join!(
            self.load_hooks(&name, &settings.hooks),
            self.docker.image(&image_name),
            self.gatherings(&of_compose.networks),
            self.used(&live)
        );
        let mut observed = ObservedService {
            live: live.iter().map(|seen| container(seen, None)).collect(),
            down: !live.is_empty() && !live.iter().any(|seen| seen.runs()),
            stopped,
            left_behind: Vec::new(),
            replicas: of_compose.scale as usize,
            sidecars: sidecars(all, &live),
            paused: all.iter().any(|seen| seen.service == name.as_str() && seen.state == State::Paused),
            image: image?,
            retag: None,
            container_name: of_compose.container_name.clone(),
            fixed_ports: fixed_ports(&of_compose),
            on_machine: false,
            fixed_addresses: of_compose.fixed_addresses.clone(),
            healthcheck: newest.and_then(|seen| seen.healthcheck.clone()).filter(|_| !of_compose.healthcheck_disabled),
            networks: of_compose.networks.clone(),
            called_in: Vec::new(),
            anonymous_volumes: live.iter().flat_map(|seen| anonymous_volumes(seen)).collect(),
            grace: of_compose.stop_grace_period.or(newest.and_then(|seen| seen.stop_timeout)),
            front: None,
            image_name: String::new(),
            hooks: Vec::new(),
            live_image: newest.map(|seen| seen.image_name.clone()).unwrap_or_default(),
            lifecycle: of_compose.lifecycle.clone(),
            problems: of_compose.problems.clone(),
            notices: newest.map(|seen| moved_folders(&of_compose, seen)).unwrap_or_default(),
            room: Vec::new(),
            leftovers: Vec::new(),
            name,
            settings,
        };
        observed.image_name = image_name;
        if let Some(paused) = all
            .iter()
            .find(|seen| seen.service == observed.name.as_str() && seen.state == State::Paused)
            .filter(|_| !observed.live.is_empty())
        {
            observed.problems.push(
                Failure::new(format!("{} is paused, and would go on in the old version", paused.name))
                    .hint(format!("`docker unpause {0}`, or `docker rm -f {0}`", paused.name)),
            );
        }
        observed.notices.extend(self.compose.image_of_this_shell(&observed.name));
        if live.iter().any(|seen| has_swap_folder(seen)) {
            observed.problems.push(
                Failure::new(format!("service `{}` is the nginx that sends requests to the others", observed.name))
                    .hint("swap replaces what is behind nginx, not nginx itself; `docker compose up -d` recreates it"),
            );
            return Ok(observed);
        }
        observed.notices.extend(of_compose.notices.iter().cloned());
        match hooks {
            Ok(hooks) => observed.hooks = hooks,
            Err(failure) => observed.problems.push(failure),
        }
        if let Some(problem) = self.hook_engine.get().and_then(|engine| engine.cache_problem()) {
            let cure = problem.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
            observed.notices.push(format!("{}{cure}", problem.what));
        }
        observed.problems.extend(self.not_at_hand(&observed).await);
        if observed.live.is_empty() {
            return Ok(observed);
        }
        if !observed.settings.no_proxy {
            self.observe_front(&mut observed, &of_compose, &live, all).await;
        }
        self.judge_room(&mut observed, used).await;
        observed.called_in = called_in(&observed, newest, &gatherings);
        Ok(observed)
    }

    /// Returns who is in each of the networks. What can't be asked is as if nobody were there: then nothing is changed in it.
    async fn gatherings(&self, networks: &[String]) -> Vec<Gathering> {
        let asked = networks.iter().map(|network| async { self.docker.gathering(network).await.ok().flatten() });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Returns what a candidate would be given at its start and that is not there: values of its files, images of its
    /// `pre_start`. Refused now, as it would fail then.
    async fn not_at_hand(&self, observed: &ObservedService) -> Vec<Failure> {
        let mut missing = Vec::new();
        let lifecycle = &observed.lifecycle;
        let variables: Vec<String> = lifecycle.files.iter().filter_map(|file| file.variable.clone()).collect();
        if !variables.is_empty() {
            match self.compose.values(&observed.name, &variables).await {
                Ok(values) => missing.extend(lifecycle.files.iter().filter_map(|file| values.file(file).err())),
                Err(failure) => missing.push(failure),
            }
        }
        for image in lifecycle.pre_start.iter().filter_map(|command| command.image.as_ref()) {
            match self.docker.image(image).await {
                Ok(Some(_)) => {}
                Ok(None) => missing.push(
                    Failure::new(format!(
                        "the image `{image}` of a pre_start of service `{}` is not there",
                        observed.name
                    ))
                    .hint(format!("`docker pull {image}`")),
                ),
                Err(failure) => missing.push(failure),
            }
        }
        missing
    }

    /// Finds what fronts the service and fills in all that depends on it.
    async fn observe_front(
        &self,
        observed: &mut ObservedService,
        service: &compose::Service,
        live: &[&Seen],
        all: &[Seen],
    ) {
        let (name, settings) = (observed.name.clone(), observed.settings.clone());
        let receiver = Receiver { name: &name, settings: &settings, of_compose: service, live };
        let Senders { front, problems, notices } = self.senders(receiver, all).await;
        observed.notices.extend(notices);
        let ready = problems.is_empty();
        observed.problems.extend(problems);
        observed.on_machine = front.as_ref().is_some_and(|sender| match &sender.container {
            Some(seen) => seen.network_mode == "host",
            None => true,
        });
        let Some(sender) = front.filter(|_| ready) else { return };
        let Sender { choice, observation, .. } = &sender;
        let (folder, text) = (&observation.nginx.folder, observation.folder.upstream.as_deref());
        let owner = text.and_then(nginx::owner).filter(|owner| *owner != self.project.name);
        if let Some(owner) = owner {
            let file = format!("{folder}/{}", nginx::file_name(receiver.upstream()));
            let failure = owned_by_others(&file, owner, &self.project.name, &name, choice);
            return observed.problems.push(failure);
        }
        observed.leftovers = self.leftovers(receiver.upstream(), observation, all);
        match self.front(observed, service, live, &sender).await {
            Ok(mut front) => {
                self.settle_probe(observed, &mut front, sender.container.as_ref(), &sender.observation).await;
                observed.front = Some(front);
            }
            Err(failure) => observed.problems.push(failure),
        }
    }

    /// Returns what to say of files that swap wrote for this project and that no service of it uses any more, as after a service
    /// was renamed. They stay: somebody may still pass to them.
    fn leftovers(&self, upstream: &ServiceName, observation: &Observation, all: &[Seen]) -> Vec<Failure> {
        let Ok(configuration) = &observation.configuration else { return Vec::new() };
        let services = &self.project.services;
        let is_used = |written: &&Written| {
            let of_service = |(name, service): (&ServiceName, &compose::Service)| {
                service.settings.upstream(name).as_str() == written.upstream
            };
            // Somebody may use another compose file, and its service still runs.
            let runs = |seen: &Seen| seen.service == written.service && seen.runs();
            let elsewhere = !services.keys().any(|name| name.as_str() == written.service) && all.iter().any(runs);
            upstream.as_str() == written.upstream || services.iter().any(of_service) || elsewhere
        };
        let ours = configuration.written.iter().filter(|written| written.project == self.project.name);
        ours.filter(|written| !is_used(written))
            .map(|Written { path, service, upstream, .. }| {
                let what = match services.keys().any(|name| name.as_str() == service) {
                    true => {
                        format!("`{path}` is left of a time when the upstream of `{service}` was called `{upstream}`")
                    }
                    false => format!("`{path}` is left of the service `{service}`, which the compose file has no more"),
                };
                Failure::new(what).hint(format!("delete it once nothing passes to `{upstream}`"))
            })
            .collect()
    }

    /// Returns the proxy that is settled, with its container; `None`: it is to be found.
    pub(super) async fn named_proxy(
        &self,
        service: Receiver<'_>,
        all: &[Seen],
    ) -> Result<Option<(ProxyChoice, Option<Seen>)>, Failure> {
        let name = service.name;
        match &service.settings.proxy {
            Some(ProxyChoice::Host) => Ok(Some((ProxyChoice::Host, None))),
            Some(ProxyChoice::Service(proxy)) => {
                if !self.project.services.contains_key(proxy) {
                    return Err(unknown_service(proxy.as_str(), &self.services())).map_err(|failure| Failure {
                        what: format!("the proxy of `{name}`: {}", failure.what),
                        ..failure
                    });
                }
                let seen = all.iter().find(|seen| seen.service == proxy.as_str() && seen.runs());
                let seen = seen.ok_or_else(|| {
                    Failure::new(format!("the proxy `{proxy}` of service `{name}` is not running"))
                        .hint(format!("start it with `docker compose up -d {proxy}`"))
                })?;
                Ok(Some((ProxyChoice::Service(proxy.clone()), Some(seen.clone()))))
            }
            Some(choice) => {
                let seen = container_of(&self.docker, &self.project.name, choice).await.map_err(|failure| Failure {
                    what: format!("{} (it is the proxy of service `{name}`)", failure.what),
                    ..failure
                })?;
                Ok(Some((choice.clone(), seen)))
            }
            None => Ok(None),
        }
    }

    async fn front(
        &self,
        observed: &mut ObservedService,
        service: &compose::Service,
        live: &[&Seen],
        sender: &Sender,
    ) -> Result<Front, Failure> {
        let Sender { choice, container: proxy, observation, reach, .. } = sender;
        let (name, proxy) = (&observed.name, proxy.as_ref());
        let mut exposed: Vec<u16> = service.expose.clone();
        exposed.extend(live.iter().flat_map(|seen| &seen.ports));
        exposed.sort_unstable();
        exposed.dedup();
        let port = port(name, observed.settings.port, &exposed)?;
        let network = shared_network(name, live, proxy, service, choice)?;
        for (container, seen) in observed.live.iter_mut().zip(live) {
            container.address = seen.address(network.as_deref()).map(|ip| SocketAddr::new(ip, port));
        }
        let tuning = observation.tuning().and_then(|change| change.text);
        let tuned = tuning.is_some() || observation.folder.tuning.is_some();
        let mut notices = observation.notices(observed.settings.timeouts.drain, tuned);
        notices.extend(reach.warnings.clone());
        observed.notices.extend(notices.iter().map(Failure::in_one_line));
        let (mut resolver, mut dns_name) = (observation.resolver(), None);
        let mut asks_dns = observation.resolver.is_some() && network.is_some();
        if let Some(network) = network.as_ref().filter(|_| asks_dns) {
            match self.dns_name(&observed.name, network, live).await? {
                Ok(own) => dns_name = own.filter(|own| *own != observed.name),
                Err(notice) => {
                    (resolver, asks_dns) = (None, false);
                    observed.notices.push(notice);
                }
            }
        }
        let before = observation.folder.upstream.clone();
        let file = before.as_deref().and_then(|text| nginx::parse(text).ok());
        Ok(Front {
            place: place_of(&observation.nginx.folder, proxy),
            proxy: choice.clone(),
            container: proxy.map(|seen| container(seen, None)),
            directory: observation.nginx.folder.clone(),
            upstream: observed.settings.upstream.clone().filter(|upstream| *upstream != observed.name),
            written_by_others: before.as_deref().is_some_and(|text| !nginx::is_ours(text)),
            current: file.as_ref().is_some_and(|file| names_exactly(file, &observed.live)),
            obeyed: file.as_ref().is_some_and(|file| is_obeyed(file, observation)),
            before,
            tuning,
            resolver,
            dns_name,
            asks_dns,
            network,
            port,
            probe: None,
            probe_rate: observed.settings.probe_rate,
            probe_way: None,
        })
    }

    /// Returns a DNS name that only containers of the service have in a network: its own, or an alias that compose gives each of
    /// them. In a network that projects share, two of them may have services of one name, and Docker's DNS gives the addresses
    /// of both.
    ///
    /// `Ok(None)`: nobody else is in the network. `Err` says who else has the names; then no name may stand in the upstream.
    async fn dns_name(
        &self,
        service: &ServiceName,
        network: &str,
        live: &[&Seen],
    ) -> Result<Result<Option<ServiceName>, String>, Failure> {
        let (here, network) = (self.project.name.as_str(), network.to_owned());
        // compose's own networks are named for the project; asking about them costs what others need not wait for.
        if network.starts_with(&format!("{here}_")) {
            return Ok(Ok(None));
        }
        let others = self.docker.running(|listed| listed.project != here && listed.networks.contains(&network)).await?;
        Ok(name_of_its_own(service, &network, live, &others))
    }

    /// Settles what the probe asks for, by which door: what the operator wants; for hooks that judge its numbers, the front page.
    async fn settle_probe(
        &self,
        observed: &mut ObservedService,
        front: &mut Front,
        proxy: Option<&Seen>,
        observation: &Observation,
    ) {
        let judged = || self.is_judged_by_hooks(&observed.name).then(|| "/".to_owned());
        let Some(wanted) = observed.settings.probe.clone().or_else(judged) else { return };
        // What has these addresses here is not that machine's front door.
        if wanted.starts_with('/') && !self.docker.is_local() {
            observed.notices.push(format!(
                "`{wanted}` is not asked for: from here nobody knows the front door of an engine on another machine (name it \
                 by its URL, as `--probe http://shop.example.com{wanted}`)"
            ));
            return;
        }
        let ways = ways_to(observed, proxy, observation);
        match way::settle(&self.docker, &wanted, &ways, &observed.live).await {
            Ok(settled) => {
                observed.notices.extend(way::notice(&settled, &observed.live));
                front.probe = Some(settled.url);
                front.probe_way = Some(settled.way);
            }
            Err(failure) => observed.notices.push(format!("`{wanted}` is not asked for: {}", failure.what)),
        }
    }

    /// Asks nginx's front door for pages of a service until an answer comes from its live containers. `None`: from here nobody knows
    /// that door, or there is nobody who could answer.
    pub(super) async fn answers(&self, observed: &ObservedService, sender: &Sender) -> Option<Answers> {
        if !self.docker.is_local() || observed.live.is_empty() || observed.down || observed.front.is_none() {
            return None;
        }
        let upstream = observed.settings.upstream(&observed.name);
        let mut pages: Vec<String> = observed.settings.probe.iter().cloned().collect();
        let configuration = sender.observation.configuration.as_ref().ok();
        let paths = configuration.into_iter().flat_map(|told| told.doors.iter()).flat_map(|door| door.paths(upstream));
        // The front page first, where it is the service's.
        let (front, others): (Vec<&str>, Vec<&str>) = paths.partition(|path| *path == "/");
        for path in front.into_iter().chain(others).chain(["/"]) {
            if !pages.iter().any(|page| page == path) && pages.len() < MOST_PAGES {
                pages.push(path.to_owned());
            }
        }
        let ways = ways_to(observed, sender.container.as_ref(), &sender.observation);
        let mut first = None;
        for page in pages {
            let Ok(settled) = way::settle(&self.docker, &page, &ways, &observed.live).await else { continue };
            let is_live = matches!(settled.way.reaches, Reaches::Live { .. });
            let silent = match is_live {
                true => way::silent(&self.docker, &settled, &observed.live).await.unwrap_or_default(),
                false => observed.live.iter().map(|container| container.name.clone()).collect(),
            };
            let way::Settled { url, way, status } = settled;
            let answers = Answers { url, reaches: way.reaches, status, silent };
            if is_live {
                return Some(answers);
            }
            first.get_or_insert(answers);
        }
        first
    }

    /// Tells whether a hook of the service asks for the probe's numbers.
    pub(super) fn is_judged_by_hooks(&self, service: &ServiceName) -> bool {
        let all = self.hooks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut imports =
            all.get(service).into_iter().flat_map(|hooks| hooks.iter()).flat_map(|hook| hook.imports().to_vec());
        imports.any(|import| import.contains("metrics"))
    }

    /// Loads the hooks of a service, once.
    pub async fn load_hooks(&self, service: &ServiceName, specs: &[HookSpec]) -> Result<Vec<LoadedHook>, Failure> {
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self
            .hook_engine
            .get_or_try_init(|| {
                apart(|| hooks::Engine::new(hooks::default_cache_folder().as_deref()).map(std::sync::Arc::new))
            })
            .await?
            .clone();
        let here = std::env::current_dir().unwrap_or_default();
        let specs = hooks::expand(&here, specs)?;
        let loaded = apart(move || Hooks::load(&engine, &specs)).await?;
        let names = loaded.loaded();
        let mut all = self.hooks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.insert(service.clone(), std::sync::Arc::new(loaded));
        Ok(names)
    }

    /// Tells what of each service is live now.
    pub async fn status(&self, services: &[ServiceName]) -> Result<Vec<ServiceStatus>, Failure> {
        let all = self.docker.of_project(&self.project.name).await?;
        let mut lines = Vec::new();
        for name in services {
            let running: Vec<&Seen> = all.iter().filter(|seen| seen.service == name.as_str() && seen.runs()).collect();
            let settings = self.settings(name);
            let known = self.upstream_of(name, &settings, &all).await;
            let serving =
                known.as_ref().map(|(_, file, obeyed)| serving(file, *obeyed, &running)).unwrap_or(Serving::All);
            let by_dns = serving == Serving::ByDns;
            let gets = |seen: &&Seen| match &serving {
                Serving::Named(ids) => ids.contains(&seen.id),
                Serving::ByDns | Serving::All => true,
            };
            let (live, beside): (Vec<&Seen>, Vec<&Seen>) = running.into_iter().partition(gets);
            lines.push(ServiceStatus {
                service: name.to_string(),
                image: live.first().map(|seen| short(&seen.image).to_owned()).unwrap_or_default(),
                image_name: live.first().map(|seen| seen.image_name.clone()).unwrap_or_default(),
                started: live.iter().filter_map(|seen| seen.started_at.clone()).min(),
                ids: live.iter().map(|seen| seen.id.clone()).collect(),
                live: live.iter().map(|seen| seen.name.clone()).collect(),
                beside: beside.iter().map(|seen| seen.name.clone()).collect(),
                by_dns: by_dns && !live.is_empty(),
                upstream: known.map(|(path, file, _)| format!("{path} (run {})", file.run)),
                unfinished: Vec::new(),
                holder: None,
            });
        }
        Ok(lines)
    }

    /// Returns the upstream file of a service, if there is one, and whether nginx obeys the addresses of one that is at rest.
    async fn upstream_of(
        &self,
        name: &ServiceName,
        settings: &Settings,
        all: &[Seen],
    ) -> Option<(String, nginx::UpstreamFile, bool)> {
        let live: Vec<&Seen> = all.iter().filter(|seen| seen.service == name.as_str() && seen.runs()).collect();
        let of_compose = self.project.services.get(name).cloned().unwrap_or_default();
        let receiver = Receiver { name, settings, of_compose: &of_compose, live: &live };
        let observation = self.senders(receiver, all).await.front?.observation;
        let file = nginx::parse(observation.folder.upstream.as_deref()?).ok()?;
        let (ours, obeyed) = (file.project == self.project.name, is_obeyed(&file, &observation));
        ours.then(|| (format!("{}/{}", observation.nginx.folder, nginx::file_name(receiver.upstream())), file, obeyed))
    }
}

/// Returns how this machine reaches the doors of the nginx before a service.
fn ways_to(observed: &ObservedService, proxy: Option<&Seen>, observation: &Observation) -> Vec<way::Way> {
    let home = match proxy.filter(|proxy| proxy.network_mode != "host") {
        Some(proxy) => Home::Container(proxy.published.clone(), proxy.address(None)),
        None => Home::Host,
    };
    let doors = observation.configuration.as_ref().map_or(&[][..], |configuration| &configuration.doors[..]);
    way::ways(doors, observed.settings.upstream(&observed.name), &home)
}

/// Returns why an upstream file that is there may not be replaced: it says that another project owns it, whose users would get
/// this project's answers.
pub(super) fn owned_by_others(
    file: &str,
    owner: &str,
    project: &str,
    service: &ServiceName,
    choice: &ProxyChoice,
) -> Failure {
    let folder = file.rsplit_once('/').map_or(file, |(folder, _)| folder);
    let own = format!("{project}-{service}");
    let apart = match choice {
        ProxyChoice::Service(_) => {
            format!("each project needs a folder of its own there, as `./nginx/${{COMPOSE_PROJECT_NAME}}:{folder}`")
        }
        _ => format!(
            "write `x-swap: {{ upstream: {own} }}` under `services: {service}:`, and `http://{own}` where nginx sends requests to it"
        ),
    };
    Failure::new(format!("the upstream file `{file}` belongs to project `{owner}`"))
        .hint(format!("{apart}; if `{owner}` is no more, delete the file"))
}

/// Returns the first name that all of the live containers have in a network and none of the others; see [`Site::dns_name`].
fn name_of_its_own(
    service: &ServiceName,
    network: &str,
    live: &[&Seen],
    others: &[Seen],
) -> Result<Option<ServiceName>, String> {
    let has = |seen: &Seen, name: &str| {
        let aliases = seen.networks.get(network).map_or(&[][..], |network| &network.aliases);
        seen.name.eq_ignore_ascii_case(name) || aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    };
    let taken = |name: &str| others.iter().find(|other| has(other, name));
    let Some(other) = taken(service.as_str()) else { return Ok(Some(service.clone())) };
    // The engine gives each container its id and its own name too, which a candidate will not have.
    let own = |seen: &Seen, name: &str| seen.id.starts_with(name) || seen.name == name;
    let aliases = live.first().and_then(|seen| seen.networks.get(network)).map_or(&[][..], |network| &network.aliases);
    let shared = aliases.iter().filter(|name| live.iter().all(|seen| has(seen, name) && !own(seen, name)));
    let found = shared.filter(|name| taken(name).is_none()).find_map(|name| name.parse().ok());
    found.map(Some).ok_or_else(|| {
        format!(
            "`{service}` is also a name of {} in the network `{network}`, so nginx is told addresses alone and finds no container \
             that somebody makes without swap (give the service a name of its own there: `networks: {{ {network}: {{ aliases: [ \
             NAME ] }} }}`)",
            other.name
        )
    })
}

/// Returns where nginx's folder is on the engine's machine.
fn place_of(folder: &str, proxy: Option<&Seen>) -> Option<String> {
    let Some(proxy) = proxy else {
        // On this machine; a link leads two names to one place.
        let real = std::fs::canonicalize(folder).ok();
        return Some(real.map_or_else(|| folder.to_owned(), |real| real.display().to_string()));
    };
    let covering = proxy.mounts.iter().filter_map(|mount| {
        let rest = folder.strip_prefix(mount.destination.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| (mount.destination.len(), format!("{}{rest}", mount.source)))
    });
    covering.max().map(|(_, place)| place.trim_end_matches('/').to_owned())
}

/// Who of a service's running containers gets requests.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Serving {
    /// Those with these ids, which the upstream file names; perhaps none.
    Named(Vec<String>),
    /// All of them: the file names none of them, and nginx asks the engine's DNS then.
    ByDns,
    /// All of them: nothing else is known.
    All,
}

/// Tells whom nginx sends requests to: whoever has an address that the upstream file names. Where nobody who runs has one,
/// because compose made the containers anew, the service's DNS name behind them counts, if the file has it. Where nginx was
/// started or reloaded since the file came to rest, it has asked for the name.
fn serving(file: &nginx::UpstreamFile, obeyed: bool, running: &[&Seen]) -> Serving {
    if let Some(rest) = &file.rest
        && (rest.name.is_some() || file.fallback.is_some())
        && !obeyed
    {
        return Serving::All;
    }
    let named = |seen: &&&Seen| {
        let mut addresses = seen.networks.values().filter_map(|network| network.ip);
        addresses.any(|ip| file.servers.iter().any(|server| server.address.ip() == ip))
    };
    let ids: Vec<String> = running.iter().filter(named).map(|seen| seen.id.clone()).collect();
    if ids.is_empty() && file.fallback.is_some() { Serving::ByDns } else { Serving::Named(ids) }
}

/// Returns a container as a plan names it.
pub(super) fn container(seen: &Seen, address: Option<SocketAddr>) -> Container {
    Container { id: seen.id.clone(), name: seen.name.clone(), image: seen.image.clone(), address }
}

/// Returns the containers that died: of those that do not run and once did, the newest version's.
pub(super) fn died<'a>(mine: &[&'a Seen]) -> Vec<&'a Seen> {
    let died = |seen: &&Seen| matches!(seen.state, State::Exited | State::Restarting | State::Dead);
    let newest = mine.iter().copied().rfind(died);
    mine.iter().copied().filter(died).filter(|seen| newest.is_some_and(|newest| newest.image == seen.image)).collect()
}

/// Tells whether a container looks like one that runs nginx.
pub(super) fn is_nginx(seen: &Seen) -> bool {
    let mounted = seen.mounts.iter().map(|mount| mount.destination.as_str());
    looks_like_nginx(&seen.image_name, seen.command.iter().map(String::as_str), mounted)
}

/// Tells whether an image, the words of a command or the places of mounts are those of an nginx.
pub(super) fn looks_like_nginx<'a>(
    image: &str,
    mut command: impl Iterator<Item = &'a str>,
    mut mounted: impl Iterator<Item = &'a str>,
) -> bool {
    let names_nginx =
        |text: &str| text.rsplit('/').next().is_some_and(|last| last.contains("nginx") || last.contains("openresty"));
    names_nginx(image) || command.any(names_nginx) || mounted.any(is_swap_folder)
}

fn is_swap_folder(path: &str) -> bool {
    path.trim_end_matches('/') == nginx::DEFAULT_FOLDER
}

fn has_swap_folder(seen: &Seen) -> bool {
    seen.mounts.iter().any(|mount| is_swap_folder(&mount.destination))
}

/// Returns the networks in which others than its own containers and nginx could call a service by its name.
fn called_in(observed: &ObservedService, newest: Option<&Seen>, gatherings: &[Gathering]) -> Vec<CalledIn> {
    let nginx = observed.front.as_ref().and_then(|front| front.container.as_ref());
    let own = |id: &str| observed.live.iter().chain(nginx).any(|container| container.id == id);
    let called = gatherings.iter().filter(|gathering| gathering.local).filter_map(|gathering| {
        let mut callers: Vec<String> =
            gathering.containers.iter().filter(|(id, _)| !own(id)).map(|(_, name)| name.clone()).collect();
        callers.sort();
        let newest = newest?;
        let mut place = newest.networks.get(&gathering.network)?.place.of_service(&newest.name, &newest.id);
        if place.aliases.is_empty() {
            place.aliases.push(observed.name.to_string());
        }
        (!callers.is_empty()).then_some(CalledIn { place, callers })
    });
    called.collect()
}

/// Tells whether the upstream file names these containers and no others.
fn names_exactly(file: &nginx::UpstreamFile, live: &[Container]) -> bool {
    let named = |container: &Container| file.servers.iter().any(|server| Some(server.address) == container.address);
    file.servers.len() == live.len() && live.iter().all(named)
}

/// Tells who of the running containers is live, and who was left by a run that died: a file that is not at rest is one of a run
/// that did not come to its end, and whom it does not name gets no requests. `None`: it says nothing of the kind.
fn left_behind<'a>(file: &str, running: &[&'a Seen]) -> Option<(Vec<&'a Seen>, Vec<&'a Seen>)> {
    let file = nginx::parse(file).ok().filter(|file| file.rest.is_none())?;
    let named = |seen: &&Seen| file.servers.iter().any(|server| seen.id.starts_with(&server.id));
    let (live, left): (Vec<&Seen>, Vec<&Seen>) = running.iter().copied().partition(named);
    (!live.is_empty() && !left.is_empty()).then_some((live, left))
}

/// Tells whether a file is at rest and nginx obeys the addresses of its header still: nobody has made it read the file since.
fn is_obeyed(file: &nginx::UpstreamFile, observation: &Observation) -> bool {
    let now = observation.generation.as_ref().and_then(nginx::Obeyed::of);
    file.rest.as_ref().is_some_and(|rest| Some(&rest.obeyed) == now.as_ref())
}

pub(super) fn fixed_ports(service: &compose::Service) -> Vec<FixedPort> {
    service.ports.iter().filter_map(compose::PublishedPort::as_fixed).collect()
}

fn anonymous_volumes(seen: &Seen) -> Vec<AnonymousVolume> {
    let volume = |mount: &Mount| {
        let volume = mount.volume.clone().filter(|_| mount.anonymous)?;
        Some(AnonymousVolume { path: mount.destination.clone(), volume })
    };
    seen.mounts.iter().filter_map(volume).collect()
}

/// Returns the running containers of other services that use something of the live ones.
fn sidecars(all: &[Seen], live: &[&Seen]) -> Vec<Sidecar> {
    let others = all.iter().filter(|seen| seen.runs() && !live.iter().any(|live| live.id == seen.id));
    let shares = others.flat_map(|seen| seen.shares.iter().map(move |share| (seen, share)));
    let of_live = shares.filter_map(|(seen, share)| {
        let of = live.iter().find(|live| live.id.starts_with(&share.of) || live.name == share.of)?;
        Some(Sidecar {
            service: seen.service.clone(),
            name: seen.name.clone(),
            what: share.what.to_owned(),
            of: of.name.clone(),
        })
    });
    of_live.collect()
}

/// Tells of each bind mount that would be another folder for a candidate than for the live container. Paths of the compose file
/// are made absolute where compose runs, and mean the engine's machine: a checkout on another one lies elsewhere.
fn moved_folders(service: &compose::Service, live: &Seen) -> Vec<String> {
    let binds = service.volumes.iter().filter(|mount| mount.kind == "bind");
    let moved = binds.filter_map(|mount| {
        let source = mount.source.as_deref()?;
        let now = live.mounts.iter().find(|now| now.kind == "bind" && now.destination == mount.target)?;
        // Docker Desktop puts a prefix before the paths of its host.
        (!now.source.ends_with(source)).then(|| {
            format!(
                "`{}` will be the engine's `{source}`; in {} it is `{}` (paths are those of the folder in which compose runs)",
                mount.target, live.name, now.source
            )
        })
    });
    moved.collect()
}

/// Returns the network by which nginx reaches the containers; `None` from the host.
fn shared_network(
    service: &ServiceName,
    live: &[&Seen],
    proxy: Option<&Seen>,
    of_compose: &compose::Service,
    choice: &ProxyChoice,
) -> Result<Option<String>, Failure> {
    if live.iter().any(|seen| seen.network_mode == "host") {
        return Err(Failure::new(format!(
            "service `{service}` uses the host's network, so two of its containers would share its ports"
        ))
        .hint(format!("remove `network_mode: host` from `services: {service}:`")));
    }
    let Some(proxy) = proxy.filter(|proxy| proxy.network_mode != "host") else { return Ok(None) };
    let shared = |name: &&String| {
        proxy.networks.contains_key(*name) && live.iter().all(|seen| seen.networks.contains_key(*name))
    };
    of_compose.networks.iter().find(shared).cloned().map(Some).ok_or_else(|| {
        let all = |seen: &Seen| seen.networks.keys().cloned().collect::<Vec<_>>().join(", ");
        let apart = live.iter().find(|seen| !seen.networks.keys().any(|name| proxy.networks.contains_key(name)));
        let what = match apart {
            Some(apart) => format!(
                "the proxy {} (networks: {}) and {} (networks: {}) share no network",
                proxy.name,
                all(proxy),
                apart.name,
                all(apart)
            ),
            // They do now; it is the new container, or one of several, that would be elsewhere.
            None => format!(
                "the proxy {} (networks: {}) would share no network with a new `{service}` (networks: {} in the compose file)",
                proxy.name,
                all(proxy),
                of_compose.networks.join(", ")
            ),
        };
        Failure::new(what).hint(match choice {
            ProxyChoice::Service(name) if apart.is_none() => format!(
                "give `{name}` and `{service}` a common network in the compose file, then `docker compose up -d {name} \
                 {service}` once"
            ),
            ProxyChoice::Service(name) => format!("give `{name}` and `{service}` a common network in the compose file"),
            _ => format!(
                "let `{service}` join a network of that nginx: `networks: {{ {0}: {{ external: true }} }}` at the end of the \
                 compose file, and `networks: [ default, {0} ]` under `services: {service}:`",
                proxy.networks.keys().next().map_or("NAME", String::as_str)
            ),
        })
    })
}

#[cfg(test)]
#[path = "observe/tests.rs"]
mod tests;

/// Does what computes for long on a thread of its own. Unlike those of the runtime, such a thread holds up nobody who gives it up
/// and ends.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let (done, awaited) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("swap-hooks".into()).spawn(move || drop(done.send(work())));
    thread.map_err(|error| Failure::new(format!("starting a thread: {error}")))?;
    awaited.await.unwrap_or_else(|_| Err(Failure::new("internal: loading the hooks panicked")))
}
