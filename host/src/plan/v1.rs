//! Plans of version 1, in which each step held what it needs: they are still read, told, resumed and unwound.
//!
//! Steps keep their places, because events name them by these, and their names; what they held goes into the services.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::back::Keep;
use super::observed::{CalledIn, Front, Retag};
use super::{Plan, PlannedService, Step, VERSION};
use crate::model::{
    Check, Container, Image, InjectedFile, Lifecycle, LifecycleCommand, NetworkPlace, Notice, OldVolumes, Order, Phase,
    RunId, ServiceName, Timeouts, millis, optional_millis,
};

/// A plan of version 1.
#[derive(Deserialize)]
struct PlanV1 {
    run: RunId,
    project: String,
    services: Vec<ServiceV1>,
    steps: Vec<Value>,
    notices: Vec<Notice>,
}

/// A service in it.
#[derive(Deserialize)]
struct ServiceV1 {
    name: ServiceName,
    live: Vec<Container>,
    image: Image,
    #[serde(default)]
    down: bool,
    #[serde(default)]
    live_image: String,
    #[serde(default)]
    hooks: BTreeMap<String, String>,
}

/// What a step of version 1 held that is not to be had elsewhere.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum StepV1 {
    Tag {
        #[serde(default)]
        before: Option<String>,
    },
    PreStart {
        hooks: Vec<String>,
        rollback: Vec<String>,
    },
    Adopt {
        front: Front,
    },
    Create {
        count: usize,
        known: Vec<String>,
    },
    StopOld {
        #[serde(with = "optional_millis")]
        grace: Option<Duration>,
        front: Option<Front>,
    },
    Init {
        commands: Vec<LifecycleCommand>,
        #[serde(with = "millis")]
        timeout: Duration,
    },
    Inject {
        files: Vec<InjectedFile>,
    },
    Start {
        networks: Vec<String>,
        #[serde(with = "optional_millis")]
        grace: Option<Duration>,
        #[serde(default)]
        unnamed: Vec<String>,
    },
    PostStart {
        commands: Vec<LifecycleCommand>,
        pre_stop: Vec<LifecycleCommand>,
        #[serde(with = "millis")]
        timeout: Duration,
    },
    AwaitHealthy {
        checks: Vec<Check>,
        port: Option<u16>,
        successes: u32,
        #[serde(default, with = "millis")]
        stays: Duration,
        hooks: Vec<String>,
        #[serde(with = "millis")]
        timeout: Duration,
    },
    Announce {
        places: Vec<NetworkPlace>,
        callers: Vec<String>,
    },
    PreSwap {
        hooks: Vec<String>,
    },
    Switch {
        front: Front,
        #[serde(with = "millis")]
        drain: Duration,
        #[serde(default)]
        judged: bool,
    },
    PostSwap {
        hooks: Vec<String>,
    },
    Watch {
        #[serde(with = "millis")]
        time: Duration,
    },
    PreStop {
        commands: Vec<LifecycleCommand>,
        post_start: Vec<LifecycleCommand>,
        #[serde(with = "millis")]
        timeout: Duration,
    },
    Retire {
        old: Vec<Container>,
        #[serde(with = "optional_millis")]
        grace: Option<Duration>,
        #[serde(default)]
        leftovers: Vec<Container>,
        #[serde(default)]
        volumes: Vec<String>,
        #[serde(default)]
        old_volumes: OldVolumes,
        #[serde(default)]
        keep: Option<Keep>,
    },
    Finish {
        hooks: Vec<String>,
    },
    #[serde(other)]
    Nothing,
}

/// Reads a plan of version 1.
pub(super) fn read(value: Value) -> Result<Plan, serde_json::Error> {
    let old = PlanV1::deserialize(value)?;
    let mut services: Vec<PlannedService> = old.services.into_iter().map(planned).collect();
    let mut steps = Vec::new();
    for value in &old.steps {
        let step = Step::deserialize(value)?;
        let held = StepV1::deserialize(value)?;
        if let Some(planned) = services.iter_mut().find(|planned| Some(&planned.name) == step.service()) {
            take(planned, held);
        }
        steps.push(step);
    }
    Ok(Plan { v: VERSION, run: old.run, project: old.project, services, steps, notices: old.notices })
}

/// Returns what a service of version 1 says by itself.
fn planned(old: ServiceV1) -> PlannedService {
    let timeouts = Timeouts::default();
    PlannedService {
        name: old.name,
        live: old.live,
        down: old.down,
        live_image: old.live_image,
        left_behind: Vec::new(),
        stopped: Vec::new(),
        known: Vec::new(),
        image: old.image,
        retag: None,
        count: 0,
        order: Order::StartFirst,
        networks: Vec::new(),
        called_in: Vec::new(),
        lifecycle: Lifecycle::default(),
        checks: Vec::new(),
        port: None,
        successes: 1,
        stays: Duration::ZERO,
        health_timeout: timeouts.health,
        hooks: BTreeMap::new(),
        digests: old.hooks,
        hook_timeout: timeouts.hook,
        fronts: Vec::new(),
        judged: false,
        watch: Duration::ZERO,
        drain_timeout: timeouts.drain,
        grace: None,
        unwind_grace: None,
        volumes: Vec::new(),
        old_volumes: OldVolumes::Keep,
        keep: None,
    }
}

/// Gives a service what one of its steps held. Long, because it has a line or two for each kind of step.
fn take(planned: &mut PlannedService, held: StepV1) {
    match held {
        StepV1::Tag { before } => planned.retag = Some(Retag { before }),
        StepV1::PreStart { hooks, rollback } => {
            asked(planned, Phase::PreStart, hooks);
            asked(planned, Phase::Rollback, rollback);
        }
        StepV1::Adopt { front } => planned.fronts = vec![front],
        StepV1::Create { count, known } => (planned.count, planned.known) = (count, known),
        StepV1::StopOld { grace, front } => {
            planned.order = Order::StopFirst;
            planned.grace = grace;
            if planned.fronts.is_empty() {
                planned.fronts.extend(front);
            }
        }
        StepV1::Init { commands, timeout } => {
            (planned.lifecycle.pre_start, planned.hook_timeout) = (commands, timeout);
        }
        StepV1::Inject { files } => planned.lifecycle.files = files,
        StepV1::Start { networks, grace, unnamed } => {
            (planned.networks, planned.unwind_grace) = (networks, grace);
            planned.called_in = unnamed.into_iter().map(|network| called(planned, network)).collect();
        }
        StepV1::PostStart { commands, pre_stop, timeout } => {
            (planned.lifecycle.post_start, planned.lifecycle.pre_stop) = (commands, pre_stop);
            planned.hook_timeout = timeout;
        }
        StepV1::AwaitHealthy { checks, port, successes, stays, hooks, timeout } => {
            (planned.checks, planned.port, planned.successes) = (checks, port, successes);
            (planned.stays, planned.health_timeout) = (stays, timeout);
            asked(planned, Phase::Health, hooks);
        }
        StepV1::Announce { places, callers } => {
            let called = |place| CalledIn { place, callers: callers.clone() };
            planned.called_in = places.into_iter().map(called).collect();
        }
        StepV1::PreSwap { hooks } => asked(planned, Phase::PreSwap, hooks),
        StepV1::Switch { front, drain, judged } => {
            planned.fronts = vec![front];
            (planned.drain_timeout, planned.judged) = (drain, judged);
        }
        StepV1::PostSwap { hooks } => asked(planned, Phase::PostSwap, hooks),
        StepV1::Watch { time } => planned.watch = time,
        StepV1::PreStop { commands, post_start, timeout } => {
            (planned.lifecycle.pre_stop, planned.hook_timeout) = (commands, timeout);
            if planned.lifecycle.post_start.is_empty() {
                planned.lifecycle.post_start = post_start;
            }
        }
        StepV1::Retire { old, grace, leftovers, volumes, old_volumes, keep } => {
            planned.left_behind = old.into_iter().filter(|old| !planned.live.contains(old)).collect();
            (planned.grace, planned.stopped) = (grace, leftovers);
            (planned.volumes, planned.old_volumes, planned.keep) = (volumes, old_volumes, keep);
        }
        StepV1::Finish { hooks } => asked(planned, Phase::Finish, hooks),
        StepV1::Nothing => {}
    }
}

/// Notes the hooks that are asked in a phase, where there are any.
fn asked(planned: &mut PlannedService, phase: Phase, hooks: Vec<String>) {
    if !hooks.is_empty() {
        planned.hooks.insert(phase, hooks);
    }
}

/// Returns what is known of a network by its name alone: candidates get the service's name there.
fn called(planned: &PlannedService, network: String) -> CalledIn {
    let place = NetworkPlace { network, aliases: vec![planned.name.to_string()], ..NetworkPlace::default() };
    CalledIn { place, callers: Vec::new() }
}
