//! Containers as the engine sees them, and the few effects on them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerUpdateBody, EndpointIpamConfig,
    EndpointSettings, HealthStatusEnum, NetworkConnectRequest, NetworkDisconnectRequest, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StatsOptionsBuilder, StopContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;
use futures_util::future::try_join_all;

use super::transport::AWAY;
use super::{Docker, Fault, ask, ask_within};
use crate::model::{
    ContainerFacts, ContainerStatus, Ending, Failure, Mount, NetworkFacts, NetworkPlace, Published, Share, Shared,
};
use crate::text::{is_id, printable, short_or_name};

/// The label by which compose knows whether a container is as the compose file says.
const CONFIGURATION: &str = "com.docker.compose.config-hash";
pub(super) const PROJECT: &str = "com.docker.compose.project";
pub(super) const SERVICE: &str = "com.docker.compose.service";
const NUMBER: &str = "com.docker.compose.container-number";
const COMPOSE_VERSION: &str = "com.docker.compose.version";
pub(super) const ONE_OFF: &str = "com.docker.compose.oneoff";

impl ContainerFacts {
    /// Returns the version of the compose tool that made it, as `1.29.2`, if it noted that.
    pub fn compose_version(&self) -> Option<&str> {
        self.labels.get(COMPOSE_VERSION).map(String::as_str).filter(|version| !version.is_empty())
    }

    /// Returns what stands for its configuration in compose's own books.
    pub fn configuration(&self) -> Option<&str> {
        self.labels.get(CONFIGURATION).map(String::as_str)
    }
}

/// What the engine tells of a running container without being asked about it closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The full id.
    pub id: String,
    /// Its compose project; empty if compose did not make it.
    pub project: String,
    /// What it was created from, as `nginx:1.28`.
    pub image_name: String,
    /// The beginning of its command.
    pub command: String,
    /// The names of its networks.
    pub networks: Vec<String>,
    /// Its network mode: a network's name, `host`, `none` or `container:ID`.
    pub network_mode: String,
    /// Where something is mounted in it.
    pub mounted: Vec<String>,
    /// Whether it is a one-off container of compose.
    pub one_off: bool,
}

/// A network and who is in it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathering {
    /// The network's name.
    pub network: String,
    /// Whether it is one of this engine's machine alone, and not of a swarm.
    pub local: bool,
    /// The running containers in it: full id and name.
    pub containers: Vec<(String, String)>,
}

/// What a container uses, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of memory, without the file cache that could be dropped.
    pub memory: u64,
    /// The most bytes of memory that it may use.
    pub memory_limit: u64,
    /// Processor time that it has used since it started.
    pub cpu: Duration,
    /// Its processes and threads.
    pub processes: u64,
    /// How many of those it may have; 0: it has no limit of its own.
    pub process_limit: u64,
}

impl Docker {
    /// Returns all containers of a compose service, also stopped ones, by number; never one-off ones.
    pub async fn of_service(&self, project: &str, service: &str) -> Result<Vec<ContainerFacts>, Failure> {
        let labels = vec![format!("{PROJECT}={project}"), format!("{SERVICE}={service}"), format!("{ONE_OFF}=False")];
        self.by_labels(labels)
            .await
            .map_err(|fault| fault.when(format!("listing the containers of service `{service}`")))
    }

    /// Returns all containers of a compose project, by service and number; never one-off ones.
    pub async fn of_project(&self, project: &str) -> Result<Vec<ContainerFacts>, Failure> {
        let labels = vec![format!("{PROJECT}={project}"), format!("{ONE_OFF}=False")];
        self.by_labels(labels)
            .await
            .map_err(|fault| fault.when(format!("listing the containers of project `{project}`")))
    }

    /// Returns the one-off containers of compose that have a label, `name=value`.
    pub async fn one_offs_labelled(&self, label: &str) -> Result<Vec<ContainerFacts>, Failure> {
        let labels = vec![label.to_owned(), format!("{ONE_OFF}=True")];
        self.by_labels(labels).await.map_err(|fault| fault.when(format!("listing one-off containers with {label}")))
    }

    /// Returns the running containers of the whole engine; never one-off ones of compose. One question tells little of all of
    /// them.
    pub async fn listed(&self) -> Result<Vec<Listed>, Failure> {
        let options = ListContainersOptionsBuilder::default().build();
        let list = ask(self.api.list_containers(Some(options))).await;
        let list = list.map_err(|fault| fault.when("listing the containers that run"))?;
        Ok(list.into_iter().map(listed).filter(|listed| !listed.one_off).collect())
    }

    /// Returns all containers that have the labels, each as `name` or `name=value`.
    async fn by_labels(&self, labels: Vec<String>) -> Result<Vec<ContainerFacts>, Fault> {
        let filters = HashMap::from([("label", labels)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let list = ask(self.api.list_containers(Some(options))).await?;
        let ids = list.into_iter().filter_map(|container| container.id);
        let inspected = try_join_all(ids.map(|id| async move { self.look(&id).await })).await?;
        // One that was removed in between is not there.
        let mut seen: Vec<ContainerFacts> = inspected.into_iter().flatten().collect();
        seen.sort_by(|a, b| (&a.service, a.number, &a.name).cmp(&(&b.service, b.number, &b.name)));
        Ok(seen)
    }

    /// Returns what the engine knows of a container, by id or name; `None` if there is none.
    pub async fn inspect(&self, id: &str) -> Result<Option<ContainerFacts>, Failure> {
        self.look(id).await.map_err(|fault| fault.when(format!("inspecting container `{}`", short_or_name(id))))
    }

    async fn look(&self, id: &str) -> Result<Option<ContainerFacts>, Fault> {
        if id.is_empty() || id.contains(['/', '?', '#', '%']) {
            return Ok(None);
        }
        match ask(self.api.inspect_container(id, None)).await {
            Ok(answer) => Ok(Some(seen(answer))),
            Err(fault) if fault.is(404) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Starts a container. One that already runs stays as it is (304), so this may run twice.
    pub async fn start(&self, id: &str) -> Result<(), Failure> {
        // An image with much to mount can take long.
        ask_within(Duration::from_secs(120), self.patient(120).start_container(id, None))
            .await
            .map_err(|fault| fault.when(format!("starting container `{}`", short_or_name(id))))
    }

    /// Asks a container to stop, kills it after `grace` (`None` is its own stop timeout), and waits for its end.
    ///
    /// One that is stopped (304) or gone (404) is what was wanted, so this may run twice. If this is dropped, the
    /// engine goes on by itself.
    pub async fn stop(&self, id: &str, grace: Option<Duration>) -> Result<(), Failure> {
        let options = StopContainerOptionsBuilder::default();
        let (options, wait) = match grace {
            Some(grace) => {
                let seconds = grace.as_millis().div_ceil(1000).min(i32::MAX as u128) as i32;
                (options.t(seconds).build(), Some(Duration::from_secs(seconds as u64)))
            }
            None => {
                let own = match self.inspect(id).await? {
                    Some(seen) => seen.stop_timeout.unwrap_or(Duration::from_secs(10)),
                    None => return Ok(()),
                };
                (options.build(), (own != Duration::MAX).then_some(own))
            }
        };
        // No limit if the container has none (`stop_grace_period` of -1).
        let limit = wait.map_or(Duration::from_secs(u64::from(u32::MAX)), |wait| wait + Duration::from_secs(30));
        match ask_within(limit, self.patient(limit.as_secs()).stop_container(id, Some(options))).await {
            Err(fault) if !fault.is(304) && !fault.is(404) => {
                Err(fault.when(format!("stopping container `{}`", short_or_name(id))))
            }
            _ => Ok(()),
        }
    }

    /// Removes a stopped container, with its anonymous volumes if `volumes`, and waits until it is gone.
    ///
    /// One that is gone (404) or just being removed (409) is what was wanted, so this may run twice. One that runs is
    /// refused: nothing is ever killed by removing it.
    pub async fn remove(&self, id: &str, volumes: bool) -> Result<(), Failure> {
        let options = RemoveContainerOptionsBuilder::default().v(volumes).build();
        let tried = || format!("removing container `{}`", short_or_name(id));
        match ask_within(Duration::from_secs(120), self.patient(120).remove_container(id, Some(options))).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.is(404) => Ok(()),
            Err(fault) if fault.is(409) && fault.message.contains("already in progress") => {
                let options = WaitContainerOptionsBuilder::default().condition("removed").build();
                let mut wait = std::pin::pin!(self.api.wait_container(id, Some(options)));
                // Whatever it answers, also that there is no such container any more: the next look tells.
                let _ = tokio::time::timeout(Duration::from_secs(20), wait.next()).await;
                match self.inspect(id).await? {
                    None => Ok(()),
                    Some(_) => Err(fault.when(tried())),
                }
            }
            Err(fault) => Err(fault.when(tried())),
        }
    }

    /// Sets the restart policy to `no`, so that a stopped container stays stopped when the engine restarts.
    ///
    /// Setting it twice is setting it once; one that is gone (404) never restarts. To look is far quicker than to set.
    pub async fn disable_restart(&self, id: &str) -> Result<(), Failure> {
        if self.inspect(id).await?.is_none_or(|seen| seen.restart == "no") {
            return Ok(());
        }
        let policy = RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: Some(0) };
        let change = ContainerUpdateBody { restart_policy: Some(policy), ..Default::default() };
        match ask(self.api.update_container(id, change)).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.is(404) => Ok(()),
            Err(fault) => Err(fault.when(format!("switching off the restarts of container `{}`", short_or_name(id)))),
        }
    }

    /// Connects a container to a network, at this place in it. One that is connected already stays as it
    /// is (the engine refuses with "already exists"), so this may run twice.
    pub async fn connect_network(&self, id: &str, place: &NetworkPlace) -> Result<(), Failure> {
        let network = place.network.as_str();
        let settings = endpoint(place);
        let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(settings) };
        match ask(self.api.connect_network(network, request)).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.message.contains("already exists in network") => Ok(()),
            Err(fault) if fault.message.contains("is already attached to network") => Ok(()),
            Err(fault) => {
                Err(fault.when(format!("connecting container `{}` to network `{network}`", short_or_name(id))))
            }
        }
    }

    /// Takes a container out of a network at once, also while it runs. One that is not in it, or gone (404), is what
    /// was wanted, so this may run twice.
    pub async fn disconnect_network(&self, id: &str, network: &str) -> Result<(), Failure> {
        let request = NetworkDisconnectRequest { container: id.to_owned(), force: Some(true) };
        match ask(self.api.disconnect_network(network, request)).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.is(404) || fault.message.contains("is not connected to") => Ok(()),
            Err(fault) => {
                Err(fault.when(format!("disconnecting container `{}` from network `{network}`", short_or_name(id))))
            }
        }
    }

    /// Returns who is in a network now; `None` if there is no such network.
    pub async fn gathering(&self, network: &str) -> Result<Option<Gathering>, Failure> {
        match ask(self.api.inspect_network(network, None)).await {
            Ok(answer) => Ok(Some(Gathering {
                network: network.to_owned(),
                local: answer.scope.is_none_or(|scope| scope == "local"),
                containers: answer
                    .containers
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(id, endpoint)| (id, endpoint.name.unwrap_or_default()))
                    .collect(),
            })),
            Err(fault) if fault.is(404) => Ok(None),
            Err(fault) => Err(fault.when(format!("looking who is in network `{}`", printable(network)))),
        }
    }

    /// Resolves when the container stops, is restarted by the engine, runs out of memory or is removed; at once if it
    /// does not run now or has more `restarts` than the caller knows of.
    ///
    /// The engine tells of the end as it happens. A look every second catches what happened between the container's
    /// start and the moment from which the engine watches for us, and an engine that was restarted.
    pub async fn exited(&self, id: &str, restarts: u64) -> Result<Ending, Failure> {
        let options = WaitContainerOptionsBuilder::default().condition("next-exit").build();
        let api = self.patient(u64::from(u32::MAX));
        let mut wait = std::pin::pin!(api.wait_container(id, Some(options)));
        let (mut waits, mut seen) = (true, Instant::now());
        loop {
            match self.ended(id, restarts).await {
                Ok(Some(ending)) => return Ok(ending),
                Ok(None) => seen = Instant::now(),
                // An engine that is restarted says nothing of its containers, and they may run on.
                Err(_) if seen.elapsed() < AWAY => {}
                Err(failure) => return Err(failure),
            }
            tokio::select! {
                answer = wait.next(), if waits => match answer {
                    // The engine says so before its own books are written; the code is known already.
                    Some(Ok(exit)) => return Ok(self.ending(id, restarts, exit.status_code).await),
                    Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => {
                        return Ok(self.ending(id, restarts, code).await);
                    }
                    // The engine went away or refuses: the looks decide.
                    _ => waits = false,
                },
                _ = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    async fn ended(&self, id: &str, restarts: u64) -> Result<Option<Ending>, Failure> {
        Ok(self.inspect(id).await?.map_or(Some(Ending::Gone), |seen| seen.ending(restarts)))
    }

    /// Classifies an end that the engine told of, whose books may not be written yet.
    async fn ending(&self, id: &str, restarts: u64, code: i64) -> Ending {
        match self.ended(id, restarts).await {
            Ok(Some(Ending::Restarted(_))) => Ending::Restarted(Some(code)),
            Ok(Some(Ending::OutOfMemory)) => Ending::OutOfMemory,
            Ok(Some(Ending::Exited(_, error))) => Ending::Exited(code, error),
            _ => Ending::Exited(code, None),
        }
    }

    /// Returns the processes of a running container, one line each, as the engine's own machine lists them: nothing is run
    /// in the container. Fails where that machine has no `ps`.
    pub async fn processes(&self, id: &str) -> Result<Vec<String>, Failure> {
        let listed = ask(self.api.top_processes(id, None)).await;
        let listed = listed
            .map_err(|fault| fault.when(format!("listing the processes of container `{}`", short_or_name(id))))?;
        Ok(listed.processes.unwrap_or_default().into_iter().map(|words| words.join(" ")).collect())
    }

    /// Returns what a running container uses now.
    pub async fn stats(&self, id: &str) -> Result<Stats, Failure> {
        let tried = format!("reading the resource use of container `{}`", short_or_name(id));
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut answers = std::pin::pin!(self.api.stats(id, Some(options)));
        let answer = match tokio::time::timeout(Duration::from_secs(10), answers.next()).await {
            Ok(Some(answer)) => answer.map_err(|error| Fault::from(error).when(&tried))?,
            Ok(None) => return Err(Failure::new(format!("{tried}: the engine answered nothing"))),
            Err(_) => return Err(Failure::new(format!("{tried}: the engine did not answer in time"))),
        };
        let memory = answer.memory_stats.unwrap_or_default();
        let details = memory.stats.unwrap_or_default();
        // cgroup v2 and v1 name what the docker CLI subtracts differently.
        let cache = ["inactive_file", "total_inactive_file"].iter().find_map(|name| details.get(*name)).copied();
        let pids = answer.pids_stats.unwrap_or_default();
        let cpu = answer.cpu_stats.and_then(|cpu| cpu.cpu_usage).and_then(|usage| usage.total_usage);
        Ok(Stats {
            memory: memory.usage.unwrap_or(0).saturating_sub(cache.unwrap_or(0)),
            memory_limit: memory.limit.unwrap_or(0),
            cpu: Duration::from_nanos(cpu.unwrap_or(0)),
            processes: pids.current.unwrap_or(0),
            // Some engines write "no limit" as the largest number.
            process_limit: pids.limit.filter(|limit| *limit < u64::from(u32::MAX)).unwrap_or(0),
        })
    }

    /// Returns bollard's handle with another limit, in seconds, for the questions whose answer takes its time.
    fn patient(&self, seconds: u64) -> bollard::Docker {
        self.api.clone().with_timeout(Duration::from_secs(seconds))
    }
}

fn listed(summary: ContainerSummary) -> Listed {
    let label = |name: &str| summary.labels.as_ref().and_then(|labels| labels.get(name)).cloned().unwrap_or_default();
    let networks = summary.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    Listed {
        project: label(PROJECT),
        one_off: label(ONE_OFF).eq_ignore_ascii_case("true"),
        networks: networks.into_iter().flat_map(|networks| networks.keys().cloned()).collect(),
        id: summary.id.unwrap_or_default(),
        image_name: summary.image.unwrap_or_default(),
        command: summary.command.unwrap_or_default(),
        network_mode: summary.host_config.and_then(|config| config.network_mode).unwrap_or_default(),
        mounted: summary.mounts.into_iter().flatten().filter_map(|mount| mount.destination).collect(),
    }
}

fn seen(answer: ContainerInspectResponse) -> ContainerFacts {
    let state = answer.state.unwrap_or_default();
    let config = answer.config.unwrap_or_default();
    let host: bollard::models::HostConfig = answer.host_config.unwrap_or_default();
    let settings = answer.network_settings.unwrap_or_default();
    let shares = shares(&host);
    let labels: BTreeMap<String, String> = config.labels.unwrap_or_default().into_iter().collect();
    let networks = settings.networks.unwrap_or_default();
    let mut ports: Vec<u16> =
        config.exposed_ports.unwrap_or_default().iter().filter_map(|port| tcp_port(port)).collect();
    ports.sort_unstable();
    let bound = settings.ports.unwrap_or_default();
    let each = bound.into_iter().flat_map(|(inner, bindings)| {
        bindings.unwrap_or_default().into_iter().map(move |binding| (inner.clone(), binding))
    });
    let mut published: Vec<Published> = each
        .filter_map(|(inner, binding)| {
            let ip = binding.host_ip.and_then(|ip| ip.parse::<IpAddr>().ok()).filter(|ip| !ip.is_unspecified());
            Some(Published { inner: tcp_port(&inner)?, port: binding.host_port?.parse().ok()?, ip })
        })
        .collect();
    published.sort();
    // Bound for IPv4 and for IPv6.
    published.dedup();
    ContainerFacts {
        id: answer.id.unwrap_or_default(),
        name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        service: labels.get(SERVICE).cloned().unwrap_or_default(),
        number: labels.get(NUMBER).and_then(|number| number.parse().ok()).unwrap_or(0),
        state: match state.status {
            Some(ContainerStateStatusEnum::RUNNING) => ContainerStatus::Running,
            Some(ContainerStateStatusEnum::PAUSED) => ContainerStatus::Paused,
            Some(ContainerStateStatusEnum::RESTARTING) => ContainerStatus::Restarting,
            Some(ContainerStateStatusEnum::REMOVING) => ContainerStatus::Removing,
            Some(ContainerStateStatusEnum::EXITED) => ContainerStatus::Exited,
            Some(ContainerStateStatusEnum::DEAD) => ContainerStatus::Dead,
            // Podman has it between running and exited.
            Some(ContainerStateStatusEnum::STOPPING) => ContainerStatus::Running,
            Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY) | None => {
                ContainerStatus::Created
            }
        },
        exit_code: state.exit_code.unwrap_or(0),
        restarts: answer.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.filter(|error| !error.is_empty()).map(|error| printable(&error)),
        image: answer.image.unwrap_or_default(),
        image_name: config.image.unwrap_or_default(),
        health: state.health.and_then(|health| health.status).and_then(|status| match status {
            HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
            status => Some(status.to_string()),
        }),
        healthcheck: config
            .healthcheck
            .and_then(|check| check.test)
            .filter(|test| !test.is_empty() && test[0] != "NONE"),
        networks: networks
            .into_iter()
            .map(|(name, settings)| {
                let network = network(&name, settings);
                (name, network)
            })
            .collect(),
        labels,
        // The year 1 is the engine's word for never.
        started_at: state.started_at.filter(|time| !time.is_empty() && !time.starts_with("0001-")),
        stop_timeout: config
            .stop_timeout
            .map(|seconds| u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs)),
        stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
        mounts: answer.mounts.unwrap_or_default().into_iter().map(mount).collect(),
        ports,
        published,
        restart: match host.restart_policy.and_then(|policy| policy.name) {
            Some(RestartPolicyNameEnum::EMPTY) | None => "no".to_owned(),
            Some(name) => name.to_string(),
        },
        shares,
        pid_mode: host.pid_mode.unwrap_or_default(),
        network_mode: host.network_mode.unwrap_or_default(),
        pid: state.pid.filter(|pid| *pid > 0),
        command: answer.path.into_iter().chain(answer.args.unwrap_or_default()).collect(),
        environment: names(config.env),
        user: config.user.unwrap_or_default(),
        hostname: config.hostname.unwrap_or_default(),
        tty: config.tty.unwrap_or(false),
    }
}

/// Returns what a container has of others.
fn shares(host: &bollard::models::HostConfig) -> Vec<Share> {
    let modes =
        [(Shared::Network, &host.network_mode), (Shared::Processes, &host.pid_mode), (Shared::Memory, &host.ipc_mode)];
    let namespaces = modes
        .into_iter()
        .filter_map(|(what, mode)| Some(Share { what, of: mode.as_ref()?.strip_prefix("container:")?.to_owned() }));
    let volumes = host.volumes_from.iter().flatten().map(|from| {
        let of = from.split(':').next().unwrap_or(from).to_owned();
        Share { what: Shared::Volumes, of }
    });
    namespaces.chain(volumes).collect()
}

fn network(name: &str, settings: EndpointSettings) -> NetworkFacts {
    let ip = |text: Option<&String>| text.and_then(|text| text.parse::<IpAddr>().ok());
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let asked = settings.ipam_config.unwrap_or_default();
    let ipv6 = ip(settings.global_ipv6_address.as_ref());
    // The address of a network card that runs is one that the engine has chosen.
    let mac = given(settings.mac_address).filter(|_| settings.endpoint_id.as_deref().is_none_or(str::is_empty));
    let aliases = settings.aliases.unwrap_or_default();
    let links = settings.links.unwrap_or_default();
    NetworkFacts {
        id: settings.network_id.unwrap_or_default(),
        ip: ip(settings.ip_address.as_ref()).or(ipv6),
        ipv6,
        place: NetworkPlace {
            network: name.to_owned(),
            aliases: aliases.clone(),
            links: links.clone(),
            ipv4: given(asked.ipv4_address),
            ipv6: given(asked.ipv6_address),
            link_local: asked.link_local_ips.unwrap_or_default(),
            mac,
            driver_options: settings.driver_opts.unwrap_or_default().into_iter().collect(),
            gateway_priority: settings.gw_priority.filter(|priority| *priority != 0),
        },
        aliases,
        links,
    }
}

/// Returns what the engine is asked for.
fn endpoint(place: &NetworkPlace) -> EndpointSettings {
    let list = |texts: &Vec<String>| (!texts.is_empty()).then(|| texts.clone());
    let asked = EndpointIpamConfig {
        ipv4_address: place.ipv4.clone(),
        ipv6_address: place.ipv6.clone(),
        link_local_ips: list(&place.link_local),
    };
    EndpointSettings {
        ipam_config: (asked != EndpointIpamConfig::default()).then_some(asked),
        aliases: list(&place.aliases),
        links: list(&place.links),
        mac_address: place.mac.clone(),
        driver_opts: (!place.driver_options.is_empty()).then(|| place.driver_options.clone().into_iter().collect()),
        gw_priority: place.gateway_priority,
        ..Default::default()
    }
}

fn mount(point: bollard::models::MountPoint) -> Mount {
    let kind = point.typ.unwrap_or_default().to_string();
    let volume = point.name.filter(|name| !name.is_empty());
    // The engine names the volumes that nobody names with 64 hexadecimal digits.
    let anonymous = volume.as_deref().is_some_and(is_id);
    Mount {
        kind,
        source: point.source.unwrap_or_default(),
        destination: point.destination.unwrap_or_default(),
        writable: point.rw.unwrap_or(true),
        volume,
        anonymous,
    }
}

fn tcp_port(exposed: &str) -> Option<u16> {
    match exposed.split_once('/') {
        Some((port, "tcp")) => port.parse().ok(),
        Some(_) => None,
        None => exposed.parse().ok(),
    }
}
/// Returns the names of the variables of `NAME=value` lines, sorted.
fn names(variables: Option<Vec<String>>) -> Vec<String> {
    let name = |line: String| line.split_once('=').map(|(name, _)| name.to_owned()).unwrap_or(line);
    let mut names: Vec<String> = variables.into_iter().flatten().map(name).collect();
    names.sort();
    names
}
