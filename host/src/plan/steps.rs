//! The steps of a run. What a step needs to know of its service stands in the plan, once.

use serde::{Deserialize, Serialize};

use super::{Front, PlannedService};
use crate::model::{Phase, ServiceName};

/// One effect on the world. The first group are the steps of a swap, the second undoes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Step {
    /// A rollback: give the name of the service's image to the image that is brought back, because that is what compose
    /// creates candidates of, now and at the next `up`.
    Tag {
        /// The service.
        service: ServiceName,
    },
    /// Ask the hooks before anything is created: migrations.
    PreStart {
        /// The service.
        service: ServiceName,
    },
    /// Name the live containers by address in the upstream file, which at rest names the service: whoever reloads nginx during
    /// the run would make it find candidates that are not ready. nginx itself is reloaded where it does not obey those addresses
    /// already.
    Adopt {
        /// The service.
        service: ServiceName,
    },
    /// Let compose create the candidates beside everything that exists.
    Create {
        /// The service.
        service: ServiceName,
    },
    /// `order: stop-first` only: stop the live containers, because two must never run.
    StopOld {
        /// The service.
        service: ServiceName,
    },
    /// Run the service's `pre_start` commands, each in a container of its own beside the candidate that is not started yet.
    Init {
        /// The service.
        service: ServiceName,
    },
    /// Put secrets and configs that are no files into the candidates; their values are read now and recorded nowhere.
    Inject {
        /// The service.
        service: ServiceName,
    },
    /// Start the candidates, connected to all networks of the service.
    Start {
        /// The service.
        service: ServiceName,
    },
    /// Run the service's `post_start` commands in each candidate.
    PostStart {
        /// The service.
        service: ServiceName,
    },
    /// Wait until every check and every health hook says that every candidate is healthy.
    AwaitHealthy {
        /// The service.
        service: ServiceName,
    },
    /// Give the candidates the names by which others find the service, and see that they are healthy still.
    Announce {
        /// The service.
        service: ServiceName,
    },
    /// Ask the hooks for a last veto.
    PreSwap {
        /// The service.
        service: ServiceName,
    },
    /// Let nginx send new requests to the candidates. Where one of several refuses, the step fails, and its undo puts all of
    /// them back: those that were told, and those of which nobody knows.
    Switch {
        /// The service.
        service: ServiceName,
    },
    /// Ask the hooks while the candidates are live and the old containers still run.
    PostSwap {
        /// The service.
        service: ServiceName,
    },
    /// Let both run, and judge the candidates.
    Watch {
        /// The service.
        service: ServiceName,
    },
    /// Wait until no nginx worker uses the old containers any more.
    Drain {
        /// The service.
        service: ServiceName,
    },
    /// Run the service's `pre_stop` commands in the live containers, before they are stopped.
    PreStop {
        /// The service.
        service: ServiceName,
        /// Whether the run has committed. Then the upstream file must not name them any more, and a failure is reported, and
        /// they are stopped all the same.
        committed: bool,
    },
    /// From here the run only goes forward. Has no effect but its record.
    Commit,
    /// Take the service's names from the old containers, so that nobody who calls it finds one that stops; stop them with
    /// their grace period and remove them. The upstream file is read once more: what it names is never stopped.
    Retire {
        /// The service.
        service: ServiceName,
    },
    /// Name the service in the upstream file, by its DNS name, for an nginx that is started anew or reloaded by others: an
    /// address may be another container's by then. nginx is not reloaded and obeys the addresses on. Also undoes `Adopt` where
    /// the file was swap's. A failure is reported, never undone.
    Rest {
        /// The service.
        service: ServiceName,
    },
    /// Ask the hooks after everything: notify. A failure is reported, never undone.
    Finish {
        /// The service.
        service: ServiceName,
    },

    /// Undoes `Tag`: where the name stands for a third image by now, it is left alone.
    TagBack {
        /// The service.
        service: ServiceName,
    },
    /// Undoes `PreStart`.
    Rollback {
        /// The service.
        service: ServiceName,
    },
    /// Undoes `Adopt` where there was no file of swap's at an nginx: what people had written is there again, or nothing, and
    /// nginx asks the engine's DNS again. Other nginxes' files come to rest.
    Release {
        /// The service.
        service: ServiceName,
    },
    /// Undoes `Create`.
    RemoveCandidates {
        /// The service.
        service: ServiceName,
    },
    /// Undoes `Init`: no container of its commands is left.
    EndInit {
        /// The service.
        service: ServiceName,
    },
    /// Undoes `PostStart`: the `pre_stop` commands run in the candidates, which are stopped next.
    PreStopCandidates {
        /// The service.
        service: ServiceName,
    },
    /// Undoes `PreStop` before the commit: the `post_start` commands run in the live containers, which serve again.
    PostStartOld {
        /// The service.
        service: ServiceName,
    },
    /// Undoes `StopOld`: nginx learns their new addresses.
    StartOld {
        /// The service.
        service: ServiceName,
    },
    /// Undoes `Start`.
    StopCandidates {
        /// The service.
        service: ServiceName,
    },
    /// Undoes `Switch`: nginx sends new requests to the containers that were live, and those at the candidates end.
    SwitchBack {
        /// The service.
        service: ServiceName,
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
            Step::Tag { service }
            | Step::TagBack { service }
            | Step::PreStart { service }
            | Step::Adopt { service }
            | Step::Release { service }
            | Step::Create { service }
            | Step::StopOld { service }
            | Step::Init { service }
            | Step::Inject { service }
            | Step::Start { service }
            | Step::PostStart { service }
            | Step::AwaitHealthy { service }
            | Step::Announce { service }
            | Step::PreSwap { service }
            | Step::Switch { service }
            | Step::PostSwap { service }
            | Step::Watch { service }
            | Step::Drain { service }
            | Step::PreStop { service, .. }
            | Step::Retire { service }
            | Step::Rest { service }
            | Step::Finish { service }
            | Step::Rollback { service }
            | Step::RemoveCandidates { service }
            | Step::EndInit { service }
            | Step::PreStopCandidates { service }
            | Step::PostStartOld { service }
            | Step::StartOld { service }
            | Step::StopCandidates { service }
            | Step::SwitchBack { service } => Some(service),
            Step::Commit => None,
        }
    }

    /// Returns the step that undoes this one of the service; `None` where there is nothing to undo.
    pub(super) fn undo(&self, planned: &PlannedService) -> Option<Step> {
        let service = planned.name.clone();
        let is_new = planned.fronts.iter().any(Front::is_new);
        match self {
            Step::Tag { .. } => Some(Step::TagBack { service }),
            Step::PreStart { .. } if !planned.hooks(Phase::Rollback).is_empty() => Some(Step::Rollback { service }),
            Step::Adopt { .. } if is_new => Some(Step::Release { service }),
            Step::Adopt { .. } if planned.left_behind.is_empty() => Some(Step::Rest { service }),
            Step::Create { .. } => Some(Step::RemoveCandidates { service }),
            Step::StopOld { .. } => Some(Step::StartOld { service }),
            Step::Init { .. } => Some(Step::EndInit { service }),
            Step::PostStart { .. } if !planned.lifecycle.pre_stop.is_empty() => {
                Some(Step::PreStopCandidates { service })
            }
            Step::PreStop { committed: false, .. } if !planned.lifecycle.post_start.is_empty() => {
                Some(Step::PostStartOld { service })
            }
            Step::Start { .. } => Some(Step::StopCandidates { service }),
            Step::Switch { .. } => Some(Step::SwitchBack { service }),
            _ => None,
        }
    }

    /// Returns the phases of the hooks that the step or its undo asks.
    pub(super) fn phases(&self) -> &'static [Phase] {
        match self {
            Step::PreStart { .. } => &[Phase::PreStart, Phase::Rollback],
            Step::AwaitHealthy { .. } | Step::Watch { .. } => &[Phase::Health],
            Step::PreSwap { .. } => &[Phase::PreSwap],
            Step::PostSwap { .. } => &[Phase::PostSwap],
            Step::Finish { .. } => &[Phase::Finish],
            Step::Rollback { .. } => &[Phase::Rollback],
            _ => &[],
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
