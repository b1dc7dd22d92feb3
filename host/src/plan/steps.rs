//! The steps of a run, each with all that it needs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::back::Keep;
use super::observed::{Front, Reach};
use crate::model::{Check, Container, Image, InjectedFile, LifecycleCommand, OldVolumes, Place, ServiceName, millis};

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

    /// Tells whether the step is performed beside another one: the same, for another service.
    ///
    /// What is short and what is waited for goes beside one another, so that several services take little more time than one. What
    /// people have written, hooks and commands, is asked in the order of the services.
    pub fn goes_beside(&self, other: &Step) -> bool {
        let is_open = matches!(
            self,
            Step::Adopt { .. }
                | Step::Create { .. }
                | Step::Start { .. }
                | Step::AwaitHealthy { .. }
                | Step::Announce { .. }
                | Step::Switch { .. }
                | Step::Watch { .. }
                | Step::Drain { .. }
                | Step::Retire { .. }
                | Step::Rest { .. }
        );
        is_open && self.verb() == other.verb()
    }

    /// Tells whether a failure is reported and nothing else: the swap has happened.
    pub fn may_fail(&self) -> bool {
        matches!(self, Step::Rest { .. } | Step::Finish { .. } | Step::PreStop { committed: true, .. })
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
