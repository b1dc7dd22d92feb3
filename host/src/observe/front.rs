//! Finds what fronts a service, and all that depends on it.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::net::SocketAddr;

use super::senders::{Sender, Senders};
use super::serving::{is_obeyed, names_exactly};
use super::survey::Survey;
use crate::compose;
use crate::docker::ContainerFacts;
use crate::model::{Failure, Notice, ProxyChoice, ServiceName, extend_new};
use crate::nginx::{self, Observation, Written};
use crate::plan::{Front, ObservedService, port};
use crate::site::Site;
use crate::site::containers::{container, owned_by_others};

impl Site {
    /// Finds what fronts the service and fills in all that depends on it: all of the nginxes, or none where one can't be used.
    pub(super) async fn observe_front(
        &self,
        observed: &mut ObservedService,
        service: &compose::Service,
        live: &[&ContainerFacts],
        senders: Senders,
        survey: &Survey<'_>,
    ) {
        let upstream = observed.settings.upstream(&observed.name).clone();
        let Senders { fronts: senders, problems, notices } = senders;
        observed.notices.extend(notices);
        let ready = problems.is_empty();
        observed.problems.extend(problems);
        observed.on_machine = !senders.is_empty() && senders.iter().all(|sender| container_inside(sender).is_none());
        if !ready || senders.is_empty() {
            return;
        }
        let others: Vec<Failure> = senders.iter().filter_map(|sender| self.of_others(observed, sender)).collect();
        if !others.is_empty() {
            return observed.problems.extend(others);
        }
        let network = match shared_network(&observed.name, live, &senders, service) {
            Ok(network) => network,
            Err(failure) => return observed.problems.push(failure),
        };
        let mut fronts = Vec::new();
        for sender in &senders {
            let leftovers = self.leftovers(&upstream, &sender.observation, survey.all);
            extend_new(&mut observed.leftovers, leftovers);
            match self.front(observed, service, live, (sender, network.as_ref()), survey).await {
                Ok(front) => fronts.push(front),
                Err(failure) => return observed.problems.push(failure),
            }
        }
        self.settle_probe(observed, &mut fronts[0], &senders).await;
        observed.fronts = fronts;
    }

    /// Says that the service's file at an nginx is another project's, where it is.
    fn of_others(&self, observed: &ObservedService, sender: &Sender) -> Option<Failure> {
        let Sender { choice, observation, .. } = sender;
        let (folder, text) = (&observation.nginx.folder, observation.folder.upstream.as_deref());
        let owner = text.and_then(nginx::owner).filter(|owner| *owner != self.project.name)?;
        let file = format!("{folder}/{}", nginx::file_name(observed.settings.upstream(&observed.name)));
        Some(owned_by_others(&file, owner, &self.project.name, &observed.name, choice))
    }

    /// Returns what to say of files that swap wrote for this project and that no service of it uses any more, as after a service
    /// was renamed. They stay: somebody may still pass to them.
    fn leftovers(&self, upstream: &ServiceName, observation: &Observation, all: &[ContainerFacts]) -> Vec<Notice> {
        let Ok(configuration) = &observation.configuration else { return Vec::new() };
        let services = &self.project.services;
        let names: HashSet<&str> = services.keys().map(ServiceName::as_str).collect();
        let upstreams: HashSet<&str> =
            services.iter().map(|(name, service)| service.settings.upstream(name).as_str()).collect();
        let is_used = |written: &&Written| {
            // Somebody may use another compose file, and its service still runs.
            let runs = |seen: &ContainerFacts| seen.service == written.service && seen.runs();
            let elsewhere = !names.contains(written.service.as_str()) && all.iter().any(runs);
            upstream.as_str() == written.upstream || upstreams.contains(written.upstream.as_str()) || elsewhere
        };
        let ours = configuration.written.iter().filter(|written| written.project == self.project.name);
        ours.filter(|written| !is_used(written))
            .map(|Written { path, service, upstream, .. }| {
                let what = match names.contains(service.as_str()) {
                    true => {
                        format!("`{path}` is left of a time when the upstream of `{service}` was called `{upstream}`")
                    }
                    false => format!("`{path}` is left of the service `{service}`, which the compose file has no more"),
                };
                Notice::new(what).cure(format!("delete it once nothing passes to `{upstream}`"))
            })
            .collect()
    }

    async fn front(
        &self,
        observed: &mut ObservedService,
        service: &compose::Service,
        live: &[&ContainerFacts],
        (sender, network): (&Sender, Option<&String>),
        survey: &Survey<'_>,
    ) -> Result<Front, Failure> {
        let Sender { choice, container: proxy, observation, reach, .. } = sender;
        let (name, proxy) = (&observed.name, proxy.as_ref());
        let mut exposed: Vec<u16> = service.expose.clone();
        exposed.extend(live.iter().flat_map(|seen| &seen.ports));
        exposed.sort_unstable();
        exposed.dedup();
        let port = port(name, observed.settings.port, &exposed)?;
        for (container, seen) in observed.live.iter_mut().zip(live) {
            container.address = seen.address(network.map(String::as_str)).map(|ip| SocketAddr::new(ip, port));
        }
        let tuning = observation.tuning().and_then(|change| change.text);
        let tuned = tuning.is_some() || observation.folder.tuning.is_some();
        let notices = observation.notices(observed.settings.timeouts.drain, tuned).into_iter();
        extend_new(&mut observed.notices, notices.chain(reach.warnings.iter().cloned()));
        let (mut resolver, mut dns_name) = (observation.resolver(), None);
        let mut asks_dns = observation.resolver.is_some() && network.is_some();
        if let Some(network) = network.filter(|_| asks_dns) {
            match self.dns_name(&observed.name, network, live, survey).await? {
                Ok(own) => dns_name = own.filter(|own| *own != observed.name),
                Err(notice) => {
                    (resolver, asks_dns) = (None, false);
                    extend_new(&mut observed.notices, [notice]);
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
            network: network.cloned(),
            port,
            reload: observed.settings.timeouts.reload,
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
        live: &[&ContainerFacts],
        survey: &Survey<'_>,
    ) -> Result<Result<Option<ServiceName>, Notice>, Failure> {
        let (here, network) = (self.project.name.as_str(), network.to_owned());
        // compose's own networks are named for the project; asking about them costs what others need not wait for.
        if network.starts_with(&format!("{here}_")) {
            return Ok(Ok(None));
        }
        let others = survey.running(|listed| listed.project != here && listed.networks.contains(&network)).await?;
        Ok(name_of_its_own(service, &network, live, &others))
    }
}

/// Returns the first name that all of the live containers have in a network and none of the others; see [`Site::dns_name`].
pub(super) fn name_of_its_own(
    service: &ServiceName,
    network: &str,
    live: &[&ContainerFacts],
    others: &[impl Borrow<ContainerFacts>],
) -> Result<Option<ServiceName>, Notice> {
    let has = |seen: &ContainerFacts, name: &str| {
        let aliases = seen.networks.get(network).map_or(&[][..], |network| &network.aliases);
        seen.name.eq_ignore_ascii_case(name) || aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    };
    let taken = |name: &str| others.iter().map(Borrow::borrow).find(|other| has(other, name));
    let Some(other) = taken(service.as_str()) else { return Ok(Some(service.clone())) };
    // The engine gives each container its id and its own name too, which a candidate will not have.
    let own = |seen: &ContainerFacts, name: &str| seen.id.starts_with(name) || seen.name == name;
    let aliases = live.first().and_then(|seen| seen.networks.get(network)).map_or(&[][..], |network| &network.aliases);
    let shared = aliases.iter().filter(|name| live.iter().all(|seen| has(seen, name) && !own(seen, name)));
    let found = shared.filter(|name| taken(name).is_none()).find_map(|name| name.parse().ok());
    found.map(Some).ok_or_else(|| {
        Notice::new(format!(
            "`{service}` is also a name of {} in the network `{network}`, so nginx is told addresses alone and finds no container \
             that somebody makes without swap",
            other.name
        ))
        .cure(format!("give the service a name of its own there: `networks: {{ {network}: {{ aliases: [ NAME ] }} }}`"))
    })
}

/// Returns where nginx's folder is on the engine's machine.
pub(super) fn place_of(folder: &str, proxy: Option<&ContainerFacts>) -> Option<String> {
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

/// Returns the container in whose networks an nginx is; `None`: it is in the machine's.
fn container_inside(sender: &Sender) -> Option<&ContainerFacts> {
    sender.container.as_ref().filter(|seen| seen.network_mode != "host")
}

/// Returns the one network by which all nginxes reach the containers, as far as they are not on the machine, which reaches them
/// by any; `None`: all are there.
fn shared_network(
    service: &ServiceName,
    live: &[&ContainerFacts],
    senders: &[Sender],
    of_compose: &compose::Service,
) -> Result<Option<String>, Failure> {
    if live.iter().any(|seen| seen.network_mode == "host") {
        return Err(Failure::new(format!(
            "service `{service}` uses the host's network, so two of its containers would share its ports"
        ))
        .hint(format!("remove `network_mode: host` from `services: {service}:`")));
    }
    let inside: Vec<(&ProxyChoice, &ContainerFacts)> =
        senders.iter().filter_map(|sender| Some((&sender.choice, container_inside(sender)?))).collect();
    let shared = |name: &&String, proxy: &ContainerFacts| {
        proxy.networks.contains_key(*name) && live.iter().all(|seen| seen.networks.contains_key(*name))
    };
    let by_all = |name: &&String| inside.iter().all(|(_, proxy)| shared(name, proxy));
    if inside.is_empty() {
        return Ok(None);
    }
    if let Some(network) = of_compose.networks.iter().find(by_all) {
        return Ok(Some(network.clone()));
    }
    let none =
        |(_, proxy): &&(&ProxyChoice, &ContainerFacts)| !of_compose.networks.iter().any(|name| shared(&name, proxy));
    Err(match inside.iter().find(none) {
        Some((choice, proxy)) => apart(service, live, (choice, proxy), of_compose),
        None => {
            let list: Vec<String> = inside.iter().map(|(choice, _)| choice.to_string()).collect();
            let proxies = list.join(" and ");
            Failure::new(format!(
                "{proxies} reach `{service}` by different networks, and swap gives them one address of each container"
            ))
            .hint(format!("let one network have {proxies} and `{service}` in it"))
        }
    })
}

/// Says that an nginx shares no network with a service.
fn apart(
    service: &ServiceName,
    live: &[&ContainerFacts],
    (choice, proxy): (&ProxyChoice, &ContainerFacts),
    of_compose: &compose::Service,
) -> Failure {
    let all = |seen: &ContainerFacts| seen.networks.keys().cloned().collect::<Vec<_>>().join(", ");
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
}
