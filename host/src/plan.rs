//! Turns what was observed into the ordered steps of one swap. Pure: no IO, no clock, no async.
//!
//! `swap plan` prints the plan by the same `Display` that the run uses for its progress, so what is printed is what is
//! done.

pub mod back;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use humantime::format_duration;
use serde::{Deserialize, Serialize};

use crate::model::{
    Check, Container, Dns, Failure, Harm, Image, InjectedFile, KEEP, Lifecycle, LifecycleCommand, LoadedHook,
    OldVolumes, Order, PROBE_RATE, Phase, Place, ProxyChoice, Reaches, RunId, ServiceName, Settings, list_commands,
    millis, printable,
};

pub use back::{Keep, Replaced};

/// How long a candidate without requests may take to stop when a run is unwound.
const UNWIND_GRACE: Duration = Duration::from_secs(3);

/// A request through the front door hangs after this time, or later where it was slow before the switch.
const HANG_SHOWS: Duration = Duration::from_secs(1);

/// So many requests must have failed before a candidate is judged by them.
const JUDGED_FROM: u64 = 5;

/// How long a candidate must stay healthy that only its port tells of.
const PORT_STAYS: Duration = Duration::from_secs(1);

/// How long a candidate must stay healthy that has checks of its own or hooks.
const CHECKS_STAY: Duration = Duration::from_millis(300);

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
    /// Published ports that two containers can't share, as `8080:80`.
    pub fixed_ports: Vec<String>,
    /// Whether the nginx before it uses the machine's network: it needs no published port to reach a container.
    pub on_machine: bool,
    /// Addresses of its own that two containers can't share, as `ipv4_address: 172.30.0.5`.
    pub fixed_addresses: Vec<String>,
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
    /// The nginx before it; `None`: a worker.
    pub front: Option<Front>,
    /// What compose would do with its containers beside creating, starting and stopping them.
    pub lifecycle: Lifecycle,
    /// The hooks that were loaded for it, in order.
    pub hooks: Vec<LoadedHook>,
    /// What the live containers were created from, as `demo-app`.
    pub live_image: String,
    /// What the adapters found that makes a swap impossible.
    pub problems: Vec<Failure>,
    /// What the operator should know and that does not prevent a swap.
    pub notices: Vec<String>,
    /// What is scarce on the engine's machine while two run, and does not prevent a swap.
    pub room: Vec<Failure>,
    /// Files of swap's that are nobody's any more.
    pub leftovers: Vec<Failure>,
}

impl ObservedService {
    /// Returns the hooks that implement the phase, in order.
    fn hooks_of(&self, phase: Phase) -> Vec<String> {
        self.hooks.iter().filter(|hook| hook.phases.contains(&phase)).map(|hook| hook.name.clone()).collect()
    }

    /// Returns all checks that must agree, with the default where nothing is known about the service.
    fn checks(&self) -> Vec<Check> {
        let mut checks: Vec<Check> = self.healthcheck.clone().map(Check::Docker).into_iter().collect();
        checks.extend(self.settings.health.iter().cloned());
        match &self.front {
            // Whatever a command inside says: what nginx can't reach must not go live.
            Some(front) => checks.push(Check::Reach(front.port)),
            None if checks.is_empty() && self.hooks_of(Phase::Health).is_empty() => {
                checks.push(Check::Running(Duration::from_secs(1)));
            }
            None => {}
        }
        checks
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
            front: None,
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
    /// What it shares, as `network`.
    pub what: String,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalledIn {
    /// The place of the newest live container there, without what is its own.
    pub place: Place,
    /// The names of the containers that could call it.
    pub callers: Vec<String>,
}

/// That the name of a service's image must be given to another image first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retag {
    /// The id of the image that the name stands for now; `None`: there is none.
    pub before: Option<String>,
}

/// The nginx that fronts a service, and the file in it that swap owns.
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
    pub fn reach(&self) -> Reach {
        Reach { network: self.network.clone(), port: self.port }
    }

    /// Tells whether the file is people's, or there was none: a run that is unwound brings that back.
    pub fn is_new(&self) -> bool {
        self.before.is_none() || self.written_by_others
    }
}

/// The ordered steps of one swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The run that executes it.
    pub run: RunId,
    /// The compose project's name.
    pub project: String,
    /// The services, with the containers that were live when the run began.
    pub services: Vec<PlannedService>,
    /// The steps, first to last.
    pub steps: Vec<Step>,
    /// What the operator should know, and that does not prevent the swap.
    pub notices: Vec<String>,
}

impl Plan {
    /// Returns a service of the plan.
    pub fn service(&self, name: &ServiceName) -> Option<&PlannedService> {
        self.services.iter().find(|planned| planned.name == *name)
    }

    /// Tells whether the candidates of a service are watched before the commit.
    pub fn watches(&self, service: &ServiceName) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Watch { service: of, .. } if of == service))
    }

    /// Tells whether nothing but the probe judges in the watch what a service answers: no health hook, no command, no page. An
    /// open port is no answer, because the kernel opens it.
    pub fn judged_by_probe_alone(&self, service: &ServiceName) -> bool {
        let probed = self.steps.iter().any(
            |step| matches!(step, Step::Switch { service: of, front, .. } if of == service && front.probe.is_some()),
        );
        let judged = self.steps.iter().any(|step| {
            matches!(step, Step::AwaitHealthy { service: of, checks, hooks, .. }
                if of == service && (!hooks.is_empty() || checks.iter().any(Check::asks)))
        });
        probed && !judged
    }
}

/// Returns the name of the container for a command of `Step::Init`: whoever takes the run up finds it again.
pub fn init_name(plan: &Plan, service: &ServiceName, index: usize) -> String {
    format!("{}-{service}-init-{}-{}", plan.project, plan.run, index + 1)
}

/// A service in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedService {
    /// Its name.
    pub name: ServiceName,
    /// The containers that were live when the run began.
    pub live: Vec<Container>,
    /// The image that the candidates are made of.
    pub image: Image,
    /// Whether those that were live had died when the run began: what unwinds to them does not make them run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub down: bool,
    /// What the live containers were created from, as `demo-app`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub live_image: String,
    /// The digests of the hooks' components by the hooks' names: who goes on with the run asks the same ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, String>,
}

/// One effect on the world. The first group are the steps of a swap, the second undoes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Step {
    /// A rollback: give the name of the service's image to the image that is brought back, because that is what compose
    /// creates candidates of, now and at the next `up`.
    Tag {
        /// The service.
        service: ServiceName,
        /// The name, as `demo-app`.
        name: String,
        /// The id of the image that gets it.
        image: String,
        /// The id of the image that had it; `None`: none.
        #[serde(default)]
        before: Option<String>,
    },
    /// Ask the hooks before anything is created: migrations.
    PreStart {
        /// The service.
        service: ServiceName,
        /// The hooks to ask, in order.
        hooks: Vec<String>,
        /// The hooks to ask, in this order, when the run is unwound.
        rollback: Vec<String>,
    },
    /// Name the live containers by address in the upstream file, which at rest names the service: whoever reloads nginx during
    /// the run would make it find candidates that are not ready. nginx itself is reloaded where it does not obey those addresses
    /// already.
    Adopt {
        /// The service.
        service: ServiceName,
        /// The nginx.
        front: Box<Front>,
        /// The live containers.
        live: Vec<Container>,
        /// Containers beside them that a dead run has left: as long as one of them runs, the service's name would find it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_behind: Vec<Container>,
    },
    /// Let compose create the candidates beside everything that exists.
    Create {
        /// The service.
        service: ServiceName,
        /// How many candidates.
        count: usize,
        /// The ids of the service's containers that existed before: whatever else exists later is a candidate.
        known: Vec<String>,
        /// The names of the live containers, for people.
        beside: Vec<String>,
        /// What they are made of.
        image: Image,
    },
    /// `order: stop-first` only: stop the live containers, because two must never run.
    StopOld {
        /// The service.
        service: ServiceName,
        /// The live containers.
        old: Vec<Container>,
        /// How long each may take.
        #[serde(with = "optional_millis")]
        grace: Option<Duration>,
        /// The nginx that must learn their new addresses if they are started again.
        front: Option<Box<Front>>,
    },
    /// Run the service's `pre_start` commands, each in a container of its own beside the candidate that is not started yet.
    Init {
        /// The service.
        service: ServiceName,
        /// The commands, in order.
        commands: Vec<LifecycleCommand>,
        /// How long each may take.
        #[serde(with = "millis")]
        timeout: Duration,
    },
    /// Put secrets and configs that are no files into the candidates; their values are read now and recorded nowhere.
    Inject {
        /// The service.
        service: ServiceName,
        /// The files.
        files: Vec<InjectedFile>,
    },
    /// Start the candidates, connected to all networks of the service.
    Start {
        /// The service.
        service: ServiceName,
        /// The networks that they must be in.
        networks: Vec<String>,
        /// The network and port by which nginx reaches them.
        reach: Option<Reach>,
        /// How long each may take to stop again.
        #[serde(with = "optional_millis")]
        grace: Option<Duration>,
        /// The networks in which others could call them, and in which they get the service's names later.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unnamed: Vec<String>,
    },
    /// Run the service's `post_start` commands in each candidate.
    PostStart {
        /// The service.
        service: ServiceName,
        /// The commands, in order.
        commands: Vec<LifecycleCommand>,
        /// The commands to run in each candidate when the run is unwound, before it is stopped.
        pre_stop: Vec<LifecycleCommand>,
        /// How long each may take.
        #[serde(with = "millis")]
        timeout: Duration,
    },
    /// Wait until every check and every health hook says that every candidate is healthy.
    AwaitHealthy {
        /// The service.
        service: ServiceName,
        /// The built-in checks.
        checks: Vec<Check>,
        /// The port of TCP and HTTP checks.
        port: Option<u16>,
        /// How many successes in a row are needed.
        successes: u32,
        /// How long it must stay so, from the first success of the row on.
        #[serde(default, with = "millis", skip_serializing_if = "Duration::is_zero")]
        stays: Duration,
        /// The health hooks.
        hooks: Vec<String>,
        /// How long it may take.
        #[serde(with = "millis")]
        timeout: Duration,
        /// The nginx that must reach them; `None`: a worker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        front: Option<Box<Front>>,
    },
    /// Give the candidates the names by which others find the service, and see that they are healthy still.
    Announce {
        /// The service.
        service: ServiceName,
        /// The networks, each with the place in it of who is live: for candidates whose own places were not recorded.
        places: Vec<Place>,
        /// Who could call the service there, by name.
        callers: Vec<String>,
        /// The network and port by which nginx reaches them.
        reach: Option<Reach>,
    },
    /// Ask the hooks for a last veto.
    PreSwap {
        /// The service.
        service: ServiceName,
        /// The hooks to ask, in order.
        hooks: Vec<String>,
    },
    /// Let nginx send new requests to the candidates.
    Switch {
        /// The service.
        service: ServiceName,
        /// The nginx.
        front: Box<Front>,
        /// The containers that are live until then.
        from: Vec<Container>,
        /// How long requests at the candidates may go on when they are switched back.
        #[serde(with = "millis")]
        drain: Duration,
        /// Whether somebody judges the candidates while the old containers still run: then the upstream has no DNS name as
        /// backup, which finds the old ones and would hide candidates that nobody reaches.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        judged: bool,
    },
    /// Ask the hooks while the candidates are live and the old containers still run.
    PostSwap {
        /// The service.
        service: ServiceName,
        /// The hooks to ask, in order.
        hooks: Vec<String>,
    },
    /// Let both run, and judge the candidates.
    Watch {
        /// The service.
        service: ServiceName,
        /// How long.
        #[serde(with = "millis")]
        time: Duration,
        /// The health hooks.
        hooks: Vec<String>,
    },
    /// Wait until no nginx worker uses the old containers any more.
    Drain {
        /// The service.
        service: ServiceName,
        /// The nginx.
        front: Box<Front>,
        /// The old containers.
        from: Vec<Container>,
        /// How long requests that are under way may go on.
        #[serde(with = "millis")]
        timeout: Duration,
    },
    /// Run the service's `pre_stop` commands in the old containers, before they are stopped.
    PreStop {
        /// The service.
        service: ServiceName,
        /// The old containers.
        old: Vec<Container>,
        /// The commands, in order.
        commands: Vec<LifecycleCommand>,
        /// The commands to run in them when they serve again after all.
        post_start: Vec<LifecycleCommand>,
        /// The nginx before it, whose upstream file must not name them any more; `None` for a worker, and before the commit.
        front: Option<Box<Front>>,
        /// Whether the run has committed: a failure is then reported, and the containers are stopped all the same.
        committed: bool,
        /// How long each may take.
        #[serde(with = "millis")]
        timeout: Duration,
    },
    /// From here the run only goes forward. Has no effect but its record.
    Commit,
    /// Stop the old containers with their grace period and remove them.
    Retire {
        /// The service.
        service: ServiceName,
        /// The old containers.
        old: Vec<Container>,
        /// How long each may take; `None`: the engine's default.
        #[serde(with = "optional_millis")]
        grace: Option<Duration>,
        /// The nginx before it, whose upstream file is read once more: what it names is never stopped.
        front: Option<Box<Front>>,
        /// Containers of the service that do not run: compose would start them again as the old version, or remove new ones
        /// in their favour.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        leftovers: Vec<Container>,
        /// The old ones' anonymous volumes, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        volumes: Vec<String>,
        /// What becomes of those volumes.
        #[serde(default, skip_serializing_if = "OldVolumes::are_kept")]
        old_volumes: OldVolumes,
        /// What stays of the version, so that a rollback finds it; `None`: nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep: Option<Box<Keep>>,
        /// The networks in which the old ones lose the service's names first, so that nobody who calls it finds one that stops.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unnamed: Vec<String>,
    },
    /// Name the service in the upstream file, by its DNS name, for an nginx that is started anew or reloaded by others: an
    /// address may be another container's by then. nginx is not reloaded and obeys the addresses on. Also undoes `Adopt` where
    /// the file was swap's. A failure is reported, never undone.
    Rest {
        /// The service.
        service: ServiceName,
        /// The nginx.
        front: Box<Front>,
    },
    /// Ask the hooks after everything: notify. A failure is reported, never undone.
    Finish {
        /// The service.
        service: ServiceName,
        /// The hooks to ask, in order.
        hooks: Vec<String>,
    },

    /// Undoes `Tag`.
    TagBack {
        /// The service.
        service: ServiceName,
        /// The name.
        name: String,
        /// The id of the image that got it: where it stands for a third one by now, it is left alone.
        image: String,
        /// The id of the image that gets it again; `None`: none.
        #[serde(default)]
        before: Option<String>,
    },
    /// Undoes `PreStart`.
    Rollback {
        /// The service.
        service: ServiceName,
        /// The hooks to ask, in order.
        hooks: Vec<String>,
    },
    /// Undoes `Adopt` where there was no file of swap's: what people had written is there again, or nothing, and nginx asks
    /// the engine's DNS again.
    Release {
        /// The service.
        service: ServiceName,
        /// The nginx.
        front: Box<Front>,
    },
    /// Undoes `Create`.
    RemoveCandidates {
        /// The service.
        service: ServiceName,
        /// The ids of the containers that stay.
        known: Vec<String>,
    },
    /// Undoes `Init`: no container of its commands is left.
    EndInit {
        /// The service.
        service: ServiceName,
        /// How many commands there are.
        count: usize,
    },
    /// Undoes `PostStart`: the `pre_stop` commands run in the candidates, which are stopped next.
    PreStopCandidates {
        /// The service.
        service: ServiceName,
        /// The commands, in order.
        commands: Vec<LifecycleCommand>,
        /// How long each may take.
        #[serde(with = "millis")]
        timeout: Duration,
    },
    /// Undoes `PreStop` before the commit: the `post_start` commands run in the old containers, which serve again.
    PostStartOld {
        /// The service.
        service: ServiceName,
        /// The old containers.
        old: Vec<Container>,
        /// The commands, in order.
        commands: Vec<LifecycleCommand>,
        /// How long each may take.
        #[serde(with = "millis")]
        timeout: Duration,
    },
    /// Undoes `StopOld`.
    StartOld {
        /// The service.
        service: ServiceName,
        /// The containers to start again.
        old: Vec<Container>,
        /// The nginx that must learn their new addresses.
        front: Option<Box<Front>>,
    },
    /// Undoes `Start`.
    StopCandidates {
        /// The service.
        service: ServiceName,
        /// How long each may take.
        #[serde(with = "optional_millis")]
        grace: Option<Duration>,
    },
    /// Undoes `Switch`: nginx sends new requests to the old containers, and those at the candidates end.
    SwitchBack {
        /// The service.
        service: ServiceName,
        /// The nginx.
        front: Box<Front>,
        /// The containers that serve again.
        to: Vec<Container>,
        /// How long requests at the candidates may go on.
        #[serde(with = "millis")]
        drain: Duration,
    },
}

/// By which network and port nginx reaches a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The network; `None`: from the host, by any.
    pub network: Option<String>,
    /// The port.
    pub port: u16,
}

impl Plan {
    /// Returns the nginx before each service that has one, with its service.
    pub fn fronts(&self) -> impl Iterator<Item = (&ServiceName, &Front)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Switch { service, front, .. } => Some((service, front.as_ref())),
            _ => None,
        })
    }

    /// Returns the nginx before a service; `None` for a worker.
    pub fn front(&self, service: &ServiceName) -> Option<&Front> {
        self.fronts().find(|(of, _)| *of == service).map(|(_, front)| front)
    }
}

impl Step {
    /// Returns the word for this kind of step, as in DESIGN and in the journal.
    pub fn verb(&self) -> &'static str {
        match self {
            Step::Tag { .. } => "tag",
            Step::PreStart { .. } => "pre-start",
            Step::Adopt { .. } => "adopt",
            Step::Create { .. } => "create",
            Step::StopOld { .. } => "stop-old",
            Step::Init { .. } => "init",
            Step::Inject { .. } => "inject",
            Step::Start { .. } => "start",
            Step::PostStart { .. } => "post-start",
            Step::AwaitHealthy { .. } => "healthy",
            Step::Announce { .. } => "announce",
            Step::PreSwap { .. } => "pre-swap",
            Step::Switch { .. } => "switch",
            Step::PostSwap { .. } => "post-swap",
            Step::Watch { .. } => "watch",
            Step::Drain { .. } => "drain",
            Step::PreStop { .. } => "pre-stop",
            Step::Commit => "commit",
            Step::Retire { .. } => "retire",
            Step::Rest { .. } => "rest",
            Step::Finish { .. } => "finish",
            Step::TagBack { .. } => "tag-back",
            Step::Rollback { .. } => "rollback",
            Step::Release { .. } => "release",
            Step::RemoveCandidates { .. } => "remove",
            Step::EndInit { .. } => "init-end",
            Step::PreStopCandidates { .. } => "depart",
            Step::PostStartOld { .. } => "rejoin",
            Step::StartOld { .. } => "start-old",
            Step::StopCandidates { .. } => "stop",
            Step::SwitchBack { .. } => "switch-back",
        }
    }

    /// Returns the service that the step is about; `None` for the commit, which is about the run.
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Step::Tag { service, .. }
            | Step::TagBack { service, .. }
            | Step::PreStart { service, .. }
            | Step::Adopt { service, .. }
            | Step::Release { service, .. }
            | Step::Create { service, .. }
            | Step::StopOld { service, .. }
            | Step::Init { service, .. }
            | Step::Inject { service, .. }
            | Step::Start { service, .. }
            | Step::PostStart { service, .. }
            | Step::AwaitHealthy { service, .. }
            | Step::Announce { service, .. }
            | Step::PreSwap { service, .. }
            | Step::Switch { service, .. }
            | Step::PostSwap { service, .. }
            | Step::Watch { service, .. }
            | Step::Drain { service, .. }
            | Step::PreStop { service, .. }
            | Step::Retire { service, .. }
            | Step::Rest { service, .. }
            | Step::Finish { service, .. }
            | Step::Rollback { service, .. }
            | Step::RemoveCandidates { service, .. }
            | Step::EndInit { service, .. }
            | Step::PreStopCandidates { service, .. }
            | Step::PostStartOld { service, .. }
            | Step::StartOld { service, .. }
            | Step::StopCandidates { service, .. }
            | Step::SwitchBack { service, .. } => Some(service),
            Step::Commit => None,
        }
    }

    /// Returns the step that undoes this one, done or half done; `None` where there is nothing to undo.
    pub fn undo(&self) -> Option<Step> {
        match self {
            Step::Tag { service, name, image, before } => Some(Step::TagBack {
                service: service.clone(),
                name: name.clone(),
                image: image.clone(),
                before: before.clone(),
            }),
            Step::PreStart { service, rollback, .. } if !rollback.is_empty() => {
                Some(Step::Rollback { service: service.clone(), hooks: rollback.clone() })
            }
            Step::Adopt { service, front, .. } if front.is_new() => {
                Some(Step::Release { service: service.clone(), front: front.clone() })
            }
            Step::Adopt { service, front, left_behind, .. } if left_behind.is_empty() => {
                Some(Step::Rest { service: service.clone(), front: front.clone() })
            }
            Step::Create { service, known, .. } => {
                Some(Step::RemoveCandidates { service: service.clone(), known: known.clone() })
            }
            Step::StopOld { service, old, front, .. } => {
                Some(Step::StartOld { service: service.clone(), old: old.clone(), front: front.clone() })
            }
            Step::Init { service, commands, .. } => {
                Some(Step::EndInit { service: service.clone(), count: commands.len() })
            }
            Step::PostStart { service, pre_stop, timeout, .. } if !pre_stop.is_empty() => {
                Some(Step::PreStopCandidates {
                    service: service.clone(),
                    commands: pre_stop.clone(),
                    timeout: *timeout,
                })
            }
            Step::PreStop { service, old, post_start, committed: false, timeout, .. } if !post_start.is_empty() => {
                Some(Step::PostStartOld {
                    service: service.clone(),
                    old: old.clone(),
                    commands: post_start.clone(),
                    timeout: *timeout,
                })
            }
            Step::Start { service, grace, .. } => {
                Some(Step::StopCandidates { service: service.clone(), grace: *grace })
            }
            Step::Switch { service, front, from, drain, .. } => Some(Step::SwitchBack {
                service: service.clone(),
                front: front.clone(),
                to: from.clone(),
                drain: *drain,
            }),
            _ => None,
        }
    }

    /// Returns the hooks that the step or its undo asks.
    pub fn hooks(&self) -> Vec<String> {
        match self {
            Step::PreStart { hooks, rollback, .. } => hooks.iter().chain(rollback).cloned().collect(),
            Step::AwaitHealthy { hooks, .. }
            | Step::PreSwap { hooks, .. }
            | Step::PostSwap { hooks, .. }
            | Step::Watch { hooks, .. }
            | Step::Finish { hooks, .. }
            | Step::Rollback { hooks, .. } => hooks.clone(),
            _ => Vec::new(),
        }
    }

    /// Tells whether Ctrl-C ends the step at once. The others are short, and half of them would have to be repaired.
    pub fn interruptible(&self) -> bool {
        matches!(
            self,
            Step::PreStart { .. }
                | Step::Init { .. }
                | Step::PostStart { .. }
                | Step::PreStop { committed: false, .. }
                | Step::AwaitHealthy { .. }
                | Step::Announce { .. }
                | Step::PreSwap { .. }
                | Step::PostSwap { .. }
                | Step::Watch { .. }
                | Step::Drain { .. }
        )
    }

    /// Tells whether a failure is reported and nothing else: the swap has happened.
    pub fn may_fail(&self) -> bool {
        matches!(self, Step::Rest { .. } | Step::Finish { .. } | Step::PreStop { committed: true, .. })
    }
}

/// Returns the names of the containers, as `demo-app-1, demo-app-2`.
pub fn names(containers: &[Container]) -> String {
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    names.join(", ")
}

/// Returns the first twelve digits of an image's or a container's id, as the docker command shows them.
pub fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

fn candidates(count: usize) -> String {
    if count == 1 { "1 candidate".to_owned() } else { format!("{count} candidates") }
}

/// Returns the names that a service has in its networks, as "`app`, `shop` in demo_default".
fn called(places: &[Place]) -> String {
    let place = |place: &Place| {
        let names: Vec<String> = place.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        format!("{} in {}", names.join(", "), place.network)
    };
    places.iter().map(place).collect::<Vec<_>>().join(" and ")
}

fn grace_text(grace: &Option<Duration>) -> String {
    match grace {
        Some(grace) => format!("grace {}", format_duration(*grace)),
        None => "grace 10s".to_owned(),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<11} ", self.verb())?;
        match self {
            Step::Tag { service, name, image, before: Some(before) } => write!(
                f,
                "{service}: {name} stands for {} instead of {} (compose creates by this name, now and at the next `up`)",
                short(image),
                short(before)
            ),
            Step::Tag { service, name, image, before: None } => {
                write!(f, "{service}: {name} stands for {} (compose creates by this name)", short(image))
            }
            Step::TagBack { service, name, before, .. } => match before {
                Some(before) => write!(f, "{service}: {name} stands for {} again", short(before)),
                None => write!(f, "{service}: nothing is called {name} again"),
            },
            Step::PreStart { service, hooks, .. } if hooks.is_empty() => {
                write!(f, "{service}: nothing to ask (hooks wait for a rollback)")
            }
            Step::PreStart { service, hooks, .. } => {
                write!(f, "{service}: ask {} (before anything is created)", hooks.join(", "))
            }
            Step::Adopt { service, front, live, .. } => {
                let (file, live) = (front.file(service), names(live));
                match front.is_obeyed() {
                    true => write!(f, "{service}: {file} names {live}, as nginx has it already"),
                    false => write!(f, "{service}: {file} names {live}, so that no reload finds what is not ready"),
                }
            }
            Step::Release { service, front } => match front.before {
                Some(_) => write!(f, "{service}: {} is again as it was", front.file(service)),
                None => write!(f, "{service}: remove {} again", front.file(service)),
            },
            Step::Create { service, count, beside, image, .. } => write!(
                f,
                "{service}: {} from {} ({}) beside {} (compose creates, so that compose owns)",
                candidates(*count),
                image.name,
                short(&image.id),
                beside.join(", ")
            ),
            Step::StopOld { service, old, grace, .. } => write!(
                f,
                "{service}: stop {}, {} (order: stop-first, two must never run: a gap begins)",
                names(old),
                grace_text(grace)
            ),
            Step::Init { service, commands, .. } => write!(
                f,
                "{service}: run {}, each in a container of its own beside what was created (pre_start)",
                list_commands(commands)
            ),
            Step::Inject { service, files } => {
                let files: Vec<String> = files.iter().map(InjectedFile::to_string).collect();
                write!(f, "{service}: put {} into what was created", files.join(", "))
            }
            Step::PostStart { service, commands, .. } if commands.is_empty() => {
                write!(f, "{service}: nothing to run (pre_stop waits for an unwinding)")
            }
            Step::PostStart { service, commands, .. } => {
                write!(f, "{service}: run {} in what was started (post_start)", list_commands(commands))
            }
            Step::PreStop { service, commands, .. } if commands.is_empty() => {
                write!(f, "{service}: nothing to run (post_start waits for an unwinding)")
            }
            Step::PreStop { service, old, commands, .. } => {
                write!(
                    f,
                    "{service}: run {} in {} (pre_stop, before it is stopped)",
                    list_commands(commands),
                    names(old)
                )
            }
            Step::Start { service, networks, unnamed, .. } => {
                write!(f, "{service}: start what was created, in {}", networks.join(", "))?;
                match &unnamed[..] {
                    [] => Ok(()),
                    _ if unnamed == networks => write!(f, ", not yet by the service's name"),
                    some => write!(f, ", in {} not yet by the service's name", some.join(", ")),
                }
            }
            Step::Announce { service, places, callers, .. } => write!(
                f,
                "{service}: connect the candidates again, as {}, for {}, and check once more (nobody calls what is not healthy)",
                called(places),
                callers.join(", "),
            ),
            Step::AwaitHealthy { service, checks, successes, stays, hooks, timeout, .. } => {
                let mut what: Vec<String> = checks.iter().map(Check::to_string).collect();
                what.extend(hooks.iter().map(|hook| format!("hook {hook}")));
                write!(f, "{service}: until {}", what.join(" and "))?;
                if *successes > 1 {
                    write!(f, ", {successes} times in a row")?;
                }
                if !stays.is_zero() {
                    write!(f, ", and stays so for {}", format_duration(*stays))?;
                }
                write!(f, ", at most {} (nothing unhealthy gets requests)", format_duration(*timeout))
            }
            Step::PreSwap { service, hooks } => {
                write!(f, "{service}: ask {} (last veto before the switch)", hooks.join(", "))
            }
            Step::Switch { service, front, from, .. } => write!(
                f,
                "{service}: {} names the candidates instead of {}, test, reload {}, confirm",
                front.file(service),
                names(from),
                front.proxy
            ),
            Step::PostSwap { service, hooks } => {
                write!(f, "{service}: ask {} (candidates live, old still runs)", hooks.join(", "))
            }
            Step::Watch { service, time, hooks } => {
                write!(f, "{service}: both run for {}", format_duration(*time))?;
                if !hooks.is_empty() {
                    write!(f, ", judged by {}", hooks.join(", "))?;
                }
                write!(f, " (a bad candidate is switched back)")
            }
            Step::Drain { service, from, timeout, .. } => write!(
                f,
                "{service}: until no nginx worker uses {}, at most {}",
                names(from),
                format_duration(*timeout)
            ),
            Step::Commit => write!(f, "from here the run only goes forward"),
            Step::Retire { service, old, grace, leftovers, volumes, old_volumes, unnamed, .. } => {
                write!(f, "{service}: ")?;
                if !unnamed.is_empty() {
                    write!(f, "take the service's names in {} from the old, ", unnamed.join(" and "))?;
                }
                write!(f, "stop and remove {}, {}", names(old), grace_text(grace))?;
                if !leftovers.is_empty() {
                    write!(f, ", and what does not run: {}", names(leftovers))?;
                }
                if !volumes.is_empty() && *old_volumes == OldVolumes::Remove {
                    write!(f, ", with their anonymous volumes")?;
                }
                write!(f, " (replaced by the candidates)")
            }
            Step::Rest { service, front } => match front.named(service) {
                Some(name) => write!(
                    f,
                    "{service}: {} names {name}, for the next start of nginx (no reload)",
                    front.file(service)
                ),
                None => write!(f, "{service}: {} is at rest", front.file(service)),
            },
            Step::Finish { service, hooks } => write!(f, "{service}: ask {} (swapped)", hooks.join(", ")),
            Step::Rollback { service, hooks } => write!(f, "{service}: ask {} (unwinding)", hooks.join(", ")),
            Step::RemoveCandidates { service, .. } => write!(f, "{service}: remove what was created"),
            Step::EndInit { service, .. } => write!(f, "{service}: remove the containers of pre_start"),
            Step::PreStopCandidates { service, commands, .. } => {
                write!(
                    f,
                    "{service}: run {} in what was started (pre_stop, before it is stopped)",
                    list_commands(commands)
                )
            }
            Step::PostStartOld { service, old, commands, .. } => {
                write!(
                    f,
                    "{service}: run {} in {} (post_start, as it serves again)",
                    list_commands(commands),
                    names(old)
                )
            }
            Step::StartOld { service, old, .. } => write!(f, "{service}: start {} again", names(old)),
            Step::StopCandidates { service, .. } => write!(f, "{service}: stop what was started"),
            Step::SwitchBack { service, front, to, .. } => {
                write!(f, "{service}: {} names {} again, test, reload, confirm", front.file(service), names(to))
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.services.iter().map(|service| service.name.as_str()).collect();
        writeln!(
            f,
            "plan for {} of project {}: {} steps",
            names.join(", "),
            printable(&self.project),
            self.steps.len()
        )?;
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}  {}", index + 1, printable(&step.to_string()))?;
        }
        for notice in &self.notices {
            writeln!(f, "note: {}", printable(notice))?;
        }
        Ok(())
    }
}

/// Returns the port that nginx talks to: the settled one, else the only exposed one.
pub fn port(service: &ServiceName, settled: Option<u16>, exposed: &[u16]) -> Result<u16, Failure> {
    match (settled, exposed) {
        (Some(port), _) => Ok(port),
        (None, [port]) => Ok(*port),
        (None, []) => Err(Failure::new(format!(
            "service `{service}` exposes no port, so the port that nginx talks to is unknown"
        ))
        .hint(format!("write `x-swap: {{ port: 8000 }}` under `services: {service}:` in the compose file"))),
        (None, several) => {
            let list: Vec<String> = several.iter().map(u16::to_string).collect();
            Err(Failure::new(format!("service `{service}` exposes several ports ({})", list.join(", "))).hint(format!(
                "write the one that nginx talks to as `x-swap: {{ port: {} }}` under `services: {service}:`",
                several[0]
            )))
        }
    }
}

/// Returns the plan that swaps the services, or every reason why it is refused.
pub fn plan(run: RunId, observed: &Observed) -> Result<Plan, Vec<Failure>> {
    let refusals: Vec<Failure> = observed.services.iter().flat_map(refusals).collect();
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let of = |seen| Service::of(seen, &run, &observed.project);
    let services: Vec<Service> = observed.services.iter().filter_map(of).collect();
    let mut steps = Vec::new();
    // All candidates are healthy before the first switch, so that a failure of one leaves all services untouched.
    let before_commit = [
        // First: hooks of `pre-start` run commands in the image that the name stands for.
        Service::tag,
        Service::pre_start,
        Service::adopt,
        Service::create,
        Service::start,
        Service::await_healthy,
        Service::announce,
        Service::pre_swap,
        Service::switch,
        Service::watch,
        Service::drain,
    ];
    for phase in before_commit {
        services.iter().for_each(|service| phase(service, &mut steps));
    }
    steps.push(Step::Commit);
    for phase in [Service::retire, Service::rest, Service::finish] {
        services.iter().for_each(|service| phase(service, &mut steps));
    }
    let planned = services
        .iter()
        .map(|service| PlannedService {
            name: service.seen.name.clone(),
            live: service.seen.live.clone(),
            image: service.image.clone(),
            down: service.seen.down,
            live_image: service.seen.live_image.clone(),
            hooks: service.seen.hooks.iter().map(|hook| (hook.name.clone(), hook.digest.clone())).collect(),
        })
        .collect();
    let notices = observed.services.iter().flat_map(notices).collect();
    Ok(Plan { run: run.clone(), project: observed.project.clone(), services: planned, steps, notices })
}

/// Returns every reason why this service can't be swapped.
pub fn refusals(seen: &ObservedService) -> Vec<Failure> {
    let service = &seen.name;
    let mut refusals = seen.problems.clone();
    if seen.live.is_empty() && seen.paused {
        refusals.push(
            Failure::new(format!("service `{service}` is paused, so there is nothing that serves to replace"))
                .hint(format!("let it go on with `docker compose unpause {service}`")),
        );
    } else if seen.live.is_empty() {
        refusals.push(
            Failure::new(format!("service `{service}` is not running, so there is nothing to replace"))
                .hint(not_running(seen)),
        );
    }
    refusals.extend(single(seen));
    if seen.settings.sidecars == Harm::Refuse {
        refusals.extend(bereft(seen).map(|(what, command)| {
            Failure::new(what).hint(format!(
                "give it its own, or write `x-swap: {{ sidecars: accept }}` under `services: {service}:` and type `{command}` \
                 after each swap"
            ))
        }));
    }
    refusals.extend(blind_probe(seen));
    if seen.image.is_none() && seen.problems.is_empty() {
        refusals.push(
            Failure::new(format!("the image `{}` of service `{service}` is not there", seen.image_name))
                .hint(format!("`docker compose build {service}` or `docker compose pull {service}`")),
        );
    }
    refusals
}

/// Refuses a watch that nothing but the probe judges where the probe can't see the application.
fn blind_probe(seen: &ObservedService) -> Option<Failure> {
    let settings = &seen.settings;
    let front = seen.front.as_ref().filter(|_| settings.probe.is_some() && !settings.watch.is_zero())?;
    let service = &seen.name;
    let health = seen.hooks.iter().any(|hook| hook.phases.contains(&Phase::Health));
    if health || seen.healthcheck.is_some() || settings.health.iter().any(Check::asks) {
        return None;
    }
    let alone = "nothing but the probe judges the watch of";
    let what = match (&front.probe, front.probe_way.as_ref().map(|way| &way.reaches)) {
        (Some(_), None | Some(Reaches::Live { .. })) => return None,
        (None, _) => format!("{alone} `{service}`, and there is no URL that it could ask"),
        (Some(url), Some(Reaches::NotLive { why })) => {
            format!("{alone} `{service}`, and what it asks, {url}, does not reach the application: {why}")
        }
        (Some(url), Some(Reaches::Unknown { why })) => {
            format!("{alone} `{service}`, and nobody knows whether what it asks, {url}, reaches the application: {why}")
        }
    };
    Some(Failure::new(what).hint(format!(
        "name a page of the application, as `--probe /up` or `--probe https://shop.example.com/up`, or give `{service}` a \
         health check; `--watch 0s` swaps without a watch"
    )))
}

fn not_running(seen: &ObservedService) -> String {
    let service = &seen.name;
    let start = format!("start it with `docker compose up -d {service}`");
    match &seen.stopped[..] {
        [] => start,
        stopped => format!(
            "see `docker logs {}`; {start}, or bring the version before back with `swap rollback {service}`",
            stopped[stopped.len() - 1].name
        ),
    }
}

/// Returns every reason why two containers of this service can't run beside each other, as the compose file alone tells.
pub fn single(seen: &ObservedService) -> Vec<Failure> {
    let service = &seen.name;
    let mut refusals = Vec::new();
    if let Some(name) = &seen.container_name {
        refusals.push(
            Failure::new(format!(
                "service `{service}` has `container_name: {name}`, and two containers can't share a name"
            ))
            .hint(format!(
                "remove `container_name` from `services: {service}:`, then `docker compose up -d {service}` once"
            )),
        );
    }
    for address in &seen.fixed_addresses {
        refusals.push(
            Failure::new(format!("service `{service}` has `{address}`, and two containers can't share an address"))
                .hint(format!(
                    "remove `{}` from `services: {service}:` (others find it by its name), then `docker compose up -d \
                     {service}` once",
                    address.split(':').next().unwrap_or_default()
                )),
        );
    }
    for port in &seen.fixed_ports {
        refusals.push(
            Failure::new(format!("service `{service}` publishes the fixed port `{port}`, and two containers can't share it"))
                .hint(match seen.on_machine {
                    true => off_published_port(seen, port),
                    false => format!("let nginx publish the port: remove `ports` from `services: {service}:` (use `expose` for the inner port)"),
                }),
        );
    }
    refusals
}

/// Returns how an nginx on the machine leaves a published port for the containers' addresses, so that somebody answers at each moment.
fn off_published_port(seen: &ObservedService, port: &str) -> String {
    let ObservedService { name: service, settings, .. } = seen;
    let upstream = settings.upstream(service);
    let (outer, inner) = port.split_once(':').unwrap_or((port, port));
    let proxy = settings.proxy.as_ref().map_or("host".to_owned(), ProxyChoice::setting);
    format!(
        "nginx reaches containers on this machine by their addresses, so the port need not be published; in this order the site \
         answers all the time: (1) write `x-swap: {{ proxy: {proxy}, port: {inner} }}` under `services: {service}:`; (2) write \
         `upstream {upstream} {{ server 127.0.0.1:{outer}; }}` into `/etc/nginx/swap/{upstream}.conf`, `include \
         /etc/nginx/swap/*.conf;` into nginx's `http`, and `http://{upstream}` in the place of `http://127.0.0.1:{outer}`, then \
         reload nginx; (3) remove `ports` from `services: {service}:` and run `swap {service}`, without `docker compose up` before: \
         the live container keeps its port until nginx has left it"
    )
}

fn notices(seen: &ObservedService) -> Vec<String> {
    let mut notices = seen.notices.clone();
    notices.extend(seen.room.iter().chain(&seen.leftovers).map(Failure::in_one_line));
    notices.extend(unshared(seen));
    notices.extend(blind_watch(seen));
    if seen.down {
        notices.push(format!("{} does not run: nobody serves until the candidates are live", names(&seen.live)));
    }
    if let Some(image) = seen.image.as_ref().filter(|image| seen.live.iter().all(|live| live.image == image.id)) {
        notices.push(format!("`{}` is the image that runs already: right for a change of the compose file, but a new version is built first", image.name));
    }
    if seen.settings.sidecars == Harm::Accept {
        notices.extend(bereft(seen).map(|(what, command)| format!("{what}: type `{command}` afterwards")));
    }
    let volumes = seen.sidecars.iter().filter(|sidecar| sidecar.what == "volumes");
    notices.extend(volumes.map(|Sidecar { name, of, .. }| {
        format!("{name} mounts the volumes of {of}: it keeps them, and has not those of the candidate")
    }));
    notices.extend(numbers(seen));
    if !seen.left_behind.is_empty() {
        notices.push(format!(
            "removed with the live ones, as a run has left it that died and nginx's file does not name it: {}",
            names(&seen.left_behind)
        ));
    }
    if !seen.stopped.is_empty() {
        notices.push(format!(
            "removed once the candidates serve, as `up -d` would start it in the old version: {}",
            names(&seen.stopped)
        ));
    }
    notices
}

/// Returns what those lose that share a namespace of a live container, and how they get a new one.
fn bereft(seen: &ObservedService) -> impl Iterator<Item = (String, String)> {
    seen.sidecars.iter().filter(|sidecar| sidecar.what != "volumes").map(|Sidecar { service, name, what, of }| {
        (
            format!("{name} uses the {what} of {of}, and loses it when that is removed"),
            format!("docker compose up -d --no-deps --force-recreate {service}"),
        )
    })
}

/// Returns what a watch can't see as it is settled, and what would let it.
fn blind_watch(seen: &ObservedService) -> Option<String> {
    let watch = seen.settings.watch;
    if watch.is_zero() {
        return None;
    }
    let front = seen.front.as_ref()?;
    let asked = seen.checks().iter().any(Check::asks) || !seen.hooks_of(Phase::Health).is_empty();
    if front.probe.is_none() {
        return (!asked).then(|| {
            "the watch sees only that the candidate runs and its port is open, which a version that hangs or fails does too (a \
             `health` check or a `probe` asks it)"
                .to_owned()
        });
    }
    let shows = HANG_SHOWS + Duration::from_secs(JUDGED_FROM) / front.probe_rate.unwrap_or(PROBE_RATE).max(1);
    (watch < shows).then(|| {
        format!(
            "a watch of {} is shorter than what a failure needs to show: a request hangs after a second, and {JUDGED_FROM} must \
             have failed; {} is enough",
            format_duration(watch),
            format_duration(Duration::from_secs(shows.as_secs() + 1))
        )
    })
}

/// Returns how many candidates there are to be: as many as the compose file wants, unless more run.
fn wanted(seen: &ObservedService) -> usize {
    seen.replicas.max(seen.live.len())
}

/// Says where not as many run as the compose file wants.
fn numbers(seen: &ObservedService) -> Option<String> {
    let (service, wants, run) = (&seen.name, seen.replicas, seen.live.len());
    match wants {
        0 => None,
        _ if run == 0 || run == wants => None,
        _ if run < wants => {
            Some(format!("the compose file wants {wants} containers of `{service}` and {run} runs: {wants} are made"))
        }
        _ => Some(format!(
            "{run} containers of `{service}` run and the compose file wants {wants}: {run} are made, and the next \
             `docker compose up -d` removes what is more than {wants}"
        )),
    }
}

/// Returns what a candidate does not share with the live containers, and how it would.
pub fn unshared(seen: &ObservedService) -> Vec<String> {
    let notice = |AnonymousVolume { path, volume }: &AnonymousVolume| {
        let what = format!("`{}` has an anonymous volume at `{path}`: the candidate gets an empty one", seen.name);
        match seen.settings.anonymous_volumes {
            OldVolumes::Keep => format!(
                "{what}, the old one is kept (name it under `volumes:` to share it; when nobody needs the old one: \
                 `docker volume rm {volume}`)"
            ),
            OldVolumes::Remove => {
                format!("{what}, the old one is removed with its container (name it under `volumes:` to share it)")
            }
        }
    };
    seen.anonymous_volumes.iter().map(notice).collect()
}

/// A service that passed the refusals.
struct Service<'a> {
    seen: &'a ObservedService,
    image: Image,
    run: &'a RunId,
    project: &'a str,
}

impl<'a> Service<'a> {
    fn of(seen: &'a ObservedService, run: &'a RunId, project: &'a str) -> Option<Self> {
        seen.image.clone().map(|image| Self { seen, image, run, project })
    }

    /// Returns the hooks that implement the phase, in order.
    fn hooks(&self, phase: Phase) -> Vec<String> {
        self.seen.hooks_of(phase)
    }

    fn name(&self) -> ServiceName {
        self.seen.name.clone()
    }

    fn front(&self) -> Option<Box<Front>> {
        self.seen.front.clone().map(Box::new)
    }

    /// Returns all checks that must agree.
    fn checks(&self) -> Vec<Check> {
        self.seen.checks()
    }

    fn tag(&self, steps: &mut Vec<Step>) {
        if let Some(Retag { before }) = &self.seen.retag {
            steps.push(Step::Tag {
                service: self.name(),
                name: self.image.name.clone(),
                image: self.image.id.clone(),
                before: before.clone(),
            });
        }
    }

    /// Returns how long a candidate must stay healthy: one good look may be that of a version that is about to die. Where only
    /// the port tells, longer, because a port is open long before an application has shown that it works.
    fn stays(&self, checks: &[Check]) -> Duration {
        match checks {
            [Check::Running(_)] => Duration::ZERO,
            _ if self.hooks(Phase::Health).is_empty() && !checks.iter().any(Check::asks) => PORT_STAYS,
            _ => CHECKS_STAY,
        }
    }

    fn pre_start(&self, steps: &mut Vec<Step>) {
        let hooks = self.hooks(Phase::PreStart);
        let mut rollback = self.hooks(Phase::Rollback);
        rollback.reverse();
        if !hooks.is_empty() || !rollback.is_empty() {
            steps.push(Step::PreStart { service: self.name(), hooks, rollback });
        }
    }

    fn adopt(&self, steps: &mut Vec<Step>) {
        // Those that died have no address that could be named.
        if let Some(front) = self.front().filter(|_| !self.seen.down) {
            steps.push(Step::Adopt {
                service: self.name(),
                front,
                live: self.seen.live.clone(),
                left_behind: self.seen.left_behind.clone(),
            });
        }
    }

    fn create(&self, steps: &mut Vec<Step>) {
        let seen = self.seen;
        steps.push(Step::Create {
            service: self.name(),
            count: wanted(seen),
            known: seen
                .live
                .iter()
                .chain(&seen.left_behind)
                .chain(&seen.stopped)
                .map(|container| container.id.clone())
                .collect(),
            beside: seen.live.iter().map(|container| container.name.clone()).collect(),
            image: self.image.clone(),
        });
    }

    fn start(&self, steps: &mut Vec<Step>) {
        let seen = self.seen;
        let Lifecycle { files, pre_start, post_start, pre_stop } = &seen.lifecycle;
        let timeout = seen.settings.timeouts.hook;
        if seen.settings.order == Order::StopFirst {
            if !pre_stop.is_empty() || !post_start.is_empty() {
                steps.push(self.pre_stop(false));
            }
            steps.push(Step::StopOld {
                service: self.name(),
                old: seen.live.clone(),
                grace: seen.grace,
                front: self.front(),
            });
        }
        if !pre_start.is_empty() {
            steps.push(Step::Init { service: self.name(), commands: pre_start.clone(), timeout });
        }
        if !files.is_empty() {
            steps.push(Step::Inject { service: self.name(), files: files.clone() });
        }
        steps.push(Step::Start {
            service: self.name(),
            networks: seen.networks.clone(),
            reach: self.reach(),
            // When it is unwound a candidate behind a proxy has no request; a worker may be at a job.
            grace: if seen.front.is_some() { Some(UNWIND_GRACE) } else { seen.grace },
            unnamed: self.unnamed(),
        });
        if !post_start.is_empty() || !pre_stop.is_empty() {
            steps.push(Step::PostStart {
                service: self.name(),
                commands: post_start.clone(),
                pre_stop: pre_stop.clone(),
                timeout,
            });
        }
    }

    fn pre_stop(&self, committed: bool) -> Step {
        let seen = self.seen;
        Step::PreStop {
            service: self.name(),
            old: seen.live.clone(),
            commands: seen.lifecycle.pre_stop.clone(),
            post_start: if committed { Vec::new() } else { seen.lifecycle.post_start.clone() },
            front: if committed { self.front() } else { None },
            committed,
            timeout: seen.settings.timeouts.hook,
        }
    }

    /// Returns the networks in which candidates get the service's names when they are healthy. With stop-first there is
    /// nobody else who has them.
    fn announced(&self) -> impl Iterator<Item = &CalledIn> {
        let settings = &self.seen.settings;
        let late = settings.dns == Dns::WhenHealthy && settings.order == Order::StartFirst;
        self.seen.called_in.iter().filter(move |_| late)
    }

    /// Returns the networks of [`announced`](Self::announced).
    fn unnamed(&self) -> Vec<String> {
        self.announced().map(|called| called.place.network.clone()).collect()
    }

    fn await_healthy(&self, steps: &mut Vec<Step>) {
        let checks = self.checks();
        steps.push(Step::AwaitHealthy {
            service: self.name(),
            stays: self.stays(&checks),
            checks,
            port: self.seen.front.as_ref().map(|front| front.port).or(self.seen.settings.port),
            successes: self.seen.settings.successes.max(1),
            hooks: self.hooks(Phase::Health),
            timeout: self.seen.settings.timeouts.health,
            front: self.front(),
        });
    }

    fn announce(&self, steps: &mut Vec<Step>) {
        let mut callers: Vec<String> = self.announced().flat_map(|called| called.callers.iter().cloned()).collect();
        callers.sort();
        callers.dedup();
        if !callers.is_empty() {
            steps.push(Step::Announce {
                service: self.name(),
                places: self.announced().map(|called| called.place.clone()).collect(),
                callers,
                reach: self.reach(),
            });
        }
    }

    /// Returns the network and port by which nginx reaches the service; `None` for a worker.
    fn reach(&self) -> Option<Reach> {
        self.seen.front.as_ref().map(Front::reach)
    }

    fn pre_swap(&self, steps: &mut Vec<Step>) {
        let hooks = self.hooks(Phase::PreSwap);
        if !hooks.is_empty() {
            steps.push(Step::PreSwap { service: self.name(), hooks });
        }
    }

    fn switch(&self, steps: &mut Vec<Step>) {
        if let Some(front) = self.front() {
            steps.push(Step::Switch {
                service: self.name(),
                front,
                from: self.seen.live.clone(),
                drain: self.seen.settings.timeouts.drain,
                judged: self.judged(),
            });
        }
        let hooks = self.hooks(Phase::PostSwap);
        if !hooks.is_empty() {
            steps.push(Step::PostSwap { service: self.name(), hooks });
        }
    }

    /// Tells whether anybody looks at the candidates' answers through nginx before the commit.
    fn judged(&self) -> bool {
        let probed = self.seen.front.as_ref().is_some_and(|front| front.probe.is_some());
        probed || !self.seen.settings.watch.is_zero() || !self.hooks(Phase::PostSwap).is_empty()
    }

    fn watch(&self, steps: &mut Vec<Step>) {
        let time = self.seen.settings.watch;
        if !time.is_zero() {
            steps.push(Step::Watch { service: self.name(), time, hooks: self.hooks(Phase::Health) });
        }
    }

    fn drain(&self, steps: &mut Vec<Step>) {
        if let Some(front) = self.front() {
            steps.push(Step::Drain {
                service: self.name(),
                front,
                from: self.seen.live.clone(),
                timeout: self.seen.settings.timeouts.drain,
            });
        }
    }

    fn retire(&self, steps: &mut Vec<Step>) {
        // With stop-first the old containers lie still since long before.
        if !self.seen.lifecycle.pre_stop.is_empty() && self.seen.settings.order == Order::StartFirst {
            steps.push(self.pre_stop(true));
        }
        steps.push(Step::Retire {
            service: self.name(),
            old: self.seen.live.iter().chain(&self.seen.left_behind).cloned().collect(),
            grace: self.seen.grace,
            front: self.front(),
            leftovers: self.seen.stopped.clone(),
            volumes: self.seen.anonymous_volumes.iter().map(|anonymous| anonymous.volume.clone()).collect(),
            old_volumes: self.seen.settings.anonymous_volumes,
            keep: self.keep(),
            unnamed: self.unnamed(),
        });
    }

    /// Returns what stays of the version that is replaced. A swap of an image to itself with the same configuration leaves
    /// nothing, which only shows when both containers are there.
    fn keep(&self) -> Option<Box<Keep>> {
        let image = self.seen.live.first()?.image.clone();
        Some(Box::new(Keep {
            repository: back::repository(self.project, &self.seen.name),
            replaced: Replaced { run: self.run.clone(), by: short(&self.image.id).to_owned(), image },
            count: self.seen.settings.keep.unwrap_or(KEEP),
        }))
    }

    fn rest(&self, steps: &mut Vec<Step>) {
        if let Some(front) = self.front() {
            steps.push(Step::Rest { service: self.name(), front });
        }
    }

    fn finish(&self, steps: &mut Vec<Step>) {
        let hooks = self.hooks(Phase::Finish);
        if !hooks.is_empty() {
            steps.push(Step::Finish { service: self.name(), hooks });
        }
    }
}

mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests;
