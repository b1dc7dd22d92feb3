//! What was observed of the services, before anything is planned.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{
    Check, Container, Failure, FixedAddress, FixedPort, Image, Lifecycle, LoadedHook, NetworkPlace, Notice, Phase,
    ProxyChoice, Reaches, ServiceName, Settings, Shared, millis,
};

/// Everything that a plan depends on, as it was when the run began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The compose project's name.
    pub project: String,
    /// The services to swap, in the order in which the operator named them.
    pub services: Vec<ObservedService>,
}

/// One service to swap, as it was when the run began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    /// Its name.
    pub name: ServiceName,
    /// What the operator settled.
    pub settings: Settings,
    /// The running containers, oldest first; where nothing runs and a version before is to be brought back, those that died.
    pub live: Vec<Container>,
    /// Whether those do not run.
    pub down: bool,
    /// Containers of the service that exist and do not run. compose counts them as if they did.
    pub stopped: Vec<Container>,
    /// Its running containers that a run has left which died and of which nobody knows more: nginx's file names others.
    pub left_behind: Vec<Container>,
    /// How many containers the compose file wants; 0: unknown.
    pub replicas: usize,
    /// Containers of other services that use something of the live ones.
    pub sidecars: Vec<Sidecar>,
    /// Whether containers of the service are paused: compose does not start those.
    pub paused: bool,
    /// The image that candidates are made of; `None`: the engine has no such image.
    pub image: Option<Image>,
    /// What compose calls that image.
    pub image_name: String,
    /// A rollback to an image for which that name does not stand yet: the name must be given to it.
    pub retag: Option<Retag>,
    /// `container_name` of the compose file.
    pub container_name: Option<String>,
    /// Published ports, which two containers can't share.
    pub fixed_ports: Vec<FixedPort>,
    /// Whether the nginx before it uses the machine's network: it needs no published port to reach a container.
    pub on_machine: bool,
    /// Addresses of its own, which two containers can't share.
    pub fixed_addresses: Vec<FixedAddress>,
    /// Docker's own health check of the candidate, if it has one.
    pub healthcheck: Option<Vec<String>>,
    /// The real names of the networks that a candidate must be in.
    pub networks: Vec<String>,
    /// The networks in which others than nginx run, who could ask for the service by its name.
    pub called_in: Vec<CalledIn>,
    /// The anonymous volumes of the live containers.
    pub anonymous_volumes: Vec<AnonymousVolume>,
    /// How long a container may take to stop; `None`: the engine's default.
    pub grace: Option<Duration>,
    /// The nginxes before it; none: a worker.
    pub fronts: Vec<Front>,
    /// What compose would do with its containers beside creating, starting and stopping them.
    pub lifecycle: Lifecycle,
    /// The hooks that were loaded for it, in order.
    pub hooks: Vec<LoadedHook>,
    /// What the live containers were created from, as `demo-app`.
    pub live_image: String,
    /// What the adapters found that makes a swap impossible.
    pub problems: Vec<Failure>,
    /// What the operator should know and that does not prevent a swap.
    pub notices: Vec<Notice>,
    /// What is scarce on the engine's machine while two run, and does not prevent a swap.
    pub room: Vec<Notice>,
    /// Files of swap's that are nobody's any more.
    pub leftovers: Vec<Notice>,
}

impl ObservedService {
    /// Returns the hooks that implement the phase, in order.
    pub(super) fn hooks_of(&self, phase: Phase) -> Vec<String> {
        self.hooks.iter().filter(|hook| hook.phases.contains(&phase)).map(|hook| hook.name.clone()).collect()
    }

    /// Returns all checks that must agree, with the default where nothing is known about the service.
    pub(super) fn checks(&self) -> Vec<Check> {
        let mut checks: Vec<Check> = self.healthcheck.clone().map(Check::Docker).into_iter().collect();
        checks.extend(self.settings.health.iter().cloned());
        match self.front() {
            // Whatever a command inside says: what nginx can't reach must not go live.
            Some(front) => checks.push(Check::Reach(front.port)),
            None if checks.is_empty() && self.hooks_of(Phase::Health).is_empty() => {
                checks.push(Check::Running(Duration::from_secs(1)));
            }
            None => {}
        }
        checks
    }

    /// Returns the first nginx before it, which is the one that a probe asks; `None`: a worker.
    pub fn front(&self) -> Option<&Front> {
        self.fronts.first()
    }

    /// A service of which nothing is known but its name.
    pub fn empty(name: ServiceName) -> Self {
        Self {
            name,
            settings: Settings::default(),
            live: Vec::new(),
            down: false,
            stopped: Vec::new(),
            left_behind: Vec::new(),
            replicas: 0,
            sidecars: Vec::new(),
            paused: false,
            image: None,
            image_name: String::new(),
            retag: None,
            container_name: None,
            fixed_ports: Vec::new(),
            on_machine: false,
            fixed_addresses: Vec::new(),
            healthcheck: None,
            networks: Vec::new(),
            called_in: Vec::new(),
            anonymous_volumes: Vec::new(),
            grace: None,
            fronts: Vec::new(),
            lifecycle: Lifecycle::default(),
            hooks: Vec::new(),
            live_image: String::new(),
            problems: Vec::new(),
            notices: Vec::new(),
            room: Vec::new(),
            leftovers: Vec::new(),
        }
    }
}

/// A container that has something of a live one instead of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// Its service.
    pub service: String,
    /// Its name.
    pub name: String,
    /// What it shares.
    pub what: Shared,
    /// The live container's name.
    pub of: String,
}

/// A volume that nobody named: a new container does not get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnonymousVolume {
    /// Where it is mounted.
    pub path: String,
    /// The name that the engine gave it.
    pub volume: String,
}

/// A network in which other containers could call the service by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledIn {
    /// The place of the newest live container there, without what is its own.
    pub place: NetworkPlace,
    /// The names of the containers that could call it.
    pub callers: Vec<String>,
}

/// That the name of a service's image must be given to another image first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retag {
    /// The id of the image that the name stands for now; `None`: there is none.
    pub before: Option<String>,
}

/// An nginx that fronts a service, and the file in it that swap owns.
///
/// Several may front one service: all of them reach it by the same network and port, so that a container has one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Front {
    /// Which nginx.
    pub proxy: ProxyChoice,
    /// The container that nginx runs in; `None`: nginx runs on the host.
    pub container: Option<Container>,
    /// The folder that nginx includes, as nginx sees it, as `/etc/nginx/swap`.
    pub directory: String,
    /// Where that folder is on the engine's machine: whoever writes there writes the same files, also by another nginx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What the upstream and its file are called; `None`: as the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<ServiceName>,
    /// The bytes of the service's upstream file when the run began; `None`: there was none.
    pub before: Option<String>,
    /// Whether others than swap wrote that file: a run that is unwound puts it back as it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub written_by_others: bool,
    /// Whether that file names exactly the live containers.
    #[serde(default)]
    pub current: bool,
    /// Whether that file is at rest and nginx obeys the addresses in its header: it was neither started nor reloaded since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub obeyed: bool,
    /// What swap adds in a file of its own because nobody has set it; `None`: nothing is missing or the file is there.
    pub tuning: Option<String>,
    /// The engine's DNS, where this nginx resolves the names of an upstream again and again (1.27.3): the service's
    /// name then stands as backup, so that a container that somebody made without swap is found.
    pub resolver: Option<IpAddr>,
    /// The DNS name that only containers of the service have in nginx's network; `None`: the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_name: Option<ServiceName>,
    /// Whether nginx finds the service by that name, so that the file says it between two runs. If not, addresses stay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks_dns: bool,
    /// The network over which nginx reaches the containers; `None`: from the host, by any.
    pub network: Option<String>,
    /// The port of the service that nginx talks to.
    pub port: u16,
    /// How long it may take to read its configuration anew; zero: what follows from the time that it took when it was asked
    /// for it.
    #[serde(default, with = "millis", skip_serializing_if = "Duration::is_zero")]
    pub reload: Duration,
    /// What is asked for through the front door all through the run; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// How many requests per second ask for it; `None`: the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_rate: Option<u32>,
    /// Which way they take, and who gets them; `None`: the usual way, and nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_way: Option<ProbeWay>,
}

impl Front {
    /// Returns what the service's upstream and its file are called.
    pub fn upstream<'a>(&'a self, service: &'a ServiceName) -> &'a ServiceName {
        self.upstream.as_ref().unwrap_or(service)
    }

    /// Returns the path of the upstream file of the service, as nginx sees it.
    pub fn file(&self, service: &ServiceName) -> String {
        format!("{}/{}.conf", self.directory.trim_end_matches('/'), self.upstream(service))
    }

    /// Returns the DNS name that only containers of the service have in nginx's network.
    pub fn dns_name<'a>(&'a self, service: &'a ServiceName) -> &'a ServiceName {
        self.dns_name.as_ref().unwrap_or(service)
    }

    /// Returns the DNS name by which nginx finds the service, where it does.
    pub fn named<'a>(&'a self, service: &'a ServiceName) -> Option<&'a ServiceName> {
        self.asks_dns.then(|| self.dns_name(service))
    }

    /// Tells whether nginx sends requests to the addresses of the live containers already, so that naming them needs no reload.
    pub fn is_obeyed(&self) -> bool {
        self.obeyed && self.current && self.tuning.is_none()
    }

    /// Returns how nginx reaches a container of the service.
    pub fn reach(&self) -> NetworkPort {
        NetworkPort { network: self.network.clone(), port: self.port }
    }

    /// Tells whether the file is people's, or there was none: a run that is unwound brings that back.
    pub fn is_new(&self) -> bool {
        self.before.is_none() || self.written_by_others
    }
}

/// Which way the requests of a probe take, and what is known of who gets them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeWay {
    /// Where to connect to instead of what the URL's name stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<SocketAddr>,
    /// Whether any certificate will do, because the door is one of this machine.
    #[serde(default)]
    pub any_certificate: bool,
    /// Who gets them.
    #[serde(flatten)]
    pub reaches: Reaches,
}

/// By which network and port nginx reaches a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPort {
    /// The network; `None`: from the host, by any.
    pub network: Option<String>,
    /// The port.
    pub port: u16,
}
