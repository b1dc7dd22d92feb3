//! What a run needs to know of a service: it stands here once, and every step of the service reads it here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::back::Keep;
use super::observed::{CalledIn, Front, NetworkPort, Retag};
use crate::model::{
    Check, Container, Image, Lifecycle, NetworkPlace, OldVolumes, Order, Phase, ServiceName, millis, optional_millis,
};

/// A service in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedService {
    /// Its name.
    pub name: ServiceName,
    /// The containers that were live when the run began.
    pub live: Vec<Container>,
    /// Whether those had died when the run began: what unwinds to them does not make them run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub down: bool,
    /// What they were created from, as `demo-app`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub live_image: String,
    /// Containers beside them that a dead run has left: as long as one of them runs, the service's name would find it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<Container>,
    /// Containers of the service that do not run: compose would start them again as the old version, or remove new ones in
    /// their favour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<Container>,
    /// The ids of all its containers that existed before: whatever else exists later is a candidate.
    pub known: Vec<String>,
    /// The image that the candidates are made of.
    pub image: Image,
    /// A rollback: the name of that image must be given to it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retag: Option<Retag>,
    /// How many candidates are made.
    pub count: usize,
    /// Whether they start before the live containers stop.
    pub order: Order,
    /// The networks that they must be in.
    pub networks: Vec<String>,
    /// The networks in which others could call them, and in which they get the service's names when they are healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub called_in: Vec<CalledIn>,
    /// What compose would do with its containers beside creating, starting and stopping them.
    #[serde(default, skip_serializing_if = "Lifecycle::is_empty")]
    pub lifecycle: Lifecycle,
    /// The built-in checks, which must all agree.
    pub checks: Vec<Check>,
    /// The port of TCP and HTTP checks.
    pub port: Option<u16>,
    /// How many successes in a row make a candidate healthy.
    pub successes: u32,
    /// How long it must stay so, from the first success of the row on.
    #[serde(default, with = "millis", skip_serializing_if = "Duration::is_zero")]
    pub stays: Duration,
    /// How long a candidate may take to become healthy.
    #[serde(with = "millis")]
    pub health_timeout: Duration,
    /// The hooks that are asked in each phase, in the order in which they are asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<Phase, Vec<String>>,
    /// The digests of their components by their names: who goes on with the run asks the same ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
    /// How long one call of a hook, or one command of the lifecycle, may take.
    #[serde(with = "millis")]
    pub hook_timeout: Duration,
    /// The nginxes before it, which all send it requests; none: a worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fronts: Vec<Front>,
    /// Whether somebody judges the candidates while the old containers still run: then the upstream has no DNS name as
    /// backup, which finds the old ones and would hide candidates that nobody reaches.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub judged: bool,
    /// How long both run after the switch, and the candidates are judged; zero: nobody watches.
    #[serde(default, with = "millis", skip_serializing_if = "Duration::is_zero")]
    pub watch: Duration,
    /// How long requests that are under way may go on at containers that lose them.
    #[serde(with = "millis")]
    pub drain_timeout: Duration,
    /// How long an old container may take to stop; `None`: the engine's default.
    #[serde(with = "optional_millis")]
    pub grace: Option<Duration>,
    /// How long a candidate may take to stop when the run is unwound; `None`: the engine's default.
    #[serde(with = "optional_millis")]
    pub unwind_grace: Option<Duration>,
    /// The old containers' anonymous volumes, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// What becomes of those volumes.
    #[serde(default, skip_serializing_if = "OldVolumes::are_kept")]
    pub old_volumes: OldVolumes,
    /// What stays of the version that is replaced, so that a rollback finds it; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
}

impl PlannedService {
    /// Returns the hooks that are asked in a phase, in order.
    pub fn hooks(&self, phase: Phase) -> &[String] {
        self.hooks.get(&phase).map_or(&[], Vec::as_slice)
    }

    /// Returns the containers that go when the run is over: those that were live, and those that a dead run has left.
    pub fn old(&self) -> Vec<Container> {
        self.live.iter().chain(&self.left_behind).cloned().collect()
    }

    /// Tells whether the old containers are stopped before the candidates start.
    pub fn stops_first(&self) -> bool {
        self.order == Order::StopFirst
    }

    /// Tells whether the candidates are watched before the commit.
    pub fn is_watched(&self) -> bool {
        !self.watch.is_zero()
    }

    /// Tells whether nothing but the probe judges in the watch what the service answers: no health hook, no command, no page.
    /// An open port is no answer, because the kernel opens it.
    pub fn is_judged_by_probe_alone(&self) -> bool {
        let probed = self.front().is_some_and(|front| front.probe.is_some());
        probed && self.hooks(Phase::Health).is_empty() && !self.checks.iter().any(Check::asks)
    }

    /// Returns the first nginx before it: the one that a probe asks; `None`: a worker.
    pub fn front(&self) -> Option<&Front> {
        self.fronts.first()
    }

    /// Returns by which network and port each nginx reaches its containers; `None`: a worker.
    pub fn reach(&self) -> Option<NetworkPort> {
        self.front().map(Front::reach)
    }

    /// Returns the networks in which the candidates start without the service's names, and in which the old ones lose them
    /// before they stop.
    pub fn unnamed(&self) -> Vec<String> {
        self.called_in.iter().map(|called| called.place.network.clone()).collect()
    }

    /// Returns the networks in which others call it, each with the place in it of who is live.
    pub fn places(&self) -> Vec<NetworkPlace> {
        self.called_in.iter().map(|called| called.place.clone()).collect()
    }

    /// Returns the names of who could call it by its name.
    pub fn callers(&self) -> Vec<&str> {
        let mut callers: Vec<&str> =
            self.called_in.iter().flat_map(|called| &called.callers).map(String::as_str).collect();
        callers.sort_unstable();
        callers.dedup();
        callers
    }
}
