//! What `swap doctor` found out about a stack, part by part.

use std::path::PathBuf;

use crate::hooks::grants::Grant;
use crate::measure::way::Answers;
use crate::model::{Failure, Notice, Phase, Reaches, ServiceName};
use crate::plan::ObservedService;

/// All that was found out. What could not be looked at is the failure that says why.
#[derive(Debug, Clone)]
pub struct DoctorFacts {
    /// The engine.
    pub engine: Result<EngineFacts, Failure>,
    /// The compose tool.
    pub tool: Result<ToolFacts, Failure>,
    /// The project; `None`: there is no tool that could read it.
    pub project: Option<Result<ProjectFacts, Failure>>,
    /// The services that were looked at.
    pub services: Vec<ServiceFacts>,
    /// The services that were not, because neither the compose file nor nginx says that they are swapped.
    pub passed_over: Vec<ServiceName>,
    /// The state folder.
    pub state: StateFacts,
}

/// An engine that answers.
#[derive(Debug, Clone)]
pub struct EngineFacts {
    /// Its version.
    pub version: String,
    /// The newest API version that it speaks.
    pub api: String,
    /// Where it is and who said so.
    pub endpoint: String,
    /// Its operating system in words.
    pub system: String,
    /// Whether it is reached by a socket of this machine.
    pub local: bool,
}

/// The compose tool that is used.
#[derive(Debug, Clone)]
pub struct ToolFacts {
    /// How it is called, as `docker compose`.
    pub command: String,
    /// Its version; `None`: it did not tell.
    pub version: Option<String>,
    /// Whether it is the old one in Python.
    pub v1: bool,
    /// What the tool would do that made the containers, where that is another one.
    pub other: Option<Notice>,
}

/// A project that compose could read.
#[derive(Debug, Clone)]
pub struct ProjectFacts {
    /// Its name.
    pub name: String,
    /// Its files, as the user would write them.
    pub files: String,
    /// How many services it has.
    pub services: usize,
    /// What compose warned of.
    pub warnings: Vec<String>,
}

/// A service, as far as it could be looked at.
#[derive(Debug, Clone)]
pub struct ServiceFacts {
    /// What a plan would be made of. Without an engine only what the compose file says is filled in.
    pub observed: ObservedService,
    /// Whether the engine could be asked.
    pub asked: bool,
    /// The restart policy, as `no` or `unless-stopped`; `None`: unknown.
    pub restart: Option<String>,
    /// The nginxes before it; none: none was found, or it could not be looked at.
    pub nginxes: Vec<NginxFacts>,
    /// The hooks: what each says about itself, or why it can't be used.
    pub hooks: Vec<Result<HookFacts, Failure>>,
    /// The runs that are not over.
    pub unfinished: Vec<String>,
    /// What nginx's front door answered; `None`: there is none that could be asked from here.
    pub answers: Option<Answers>,
}

/// An nginx that answered.
#[derive(Debug, Clone, Default)]
pub struct NginxFacts {
    /// The compose service, or `nginx on the host`.
    pub proxy: String,
    /// Its restart policy; `None` on the host.
    pub restart: Option<String>,
    /// Its version; `None` where its configuration is broken.
    pub version: Option<String>,
    /// The line that reads swap's folder, and its place.
    pub include: Option<(String, String)>,
    /// The lines that a switch moves, each with its place.
    pub passes: Vec<String>,
    /// The folder, if swap can write it and it outlives the container.
    pub folder: Option<String>,
    /// The settings that matter to a reload: what is set, or that swap sets it.
    pub settings: Vec<(String, Setting)>,
    /// What stands in the way of a switch.
    pub problems: Vec<Failure>,
    /// What a switch costs here.
    pub notices: Vec<Notice>,
}

/// Who sets one of nginx's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// The user's configuration, to this value.
    Theirs(String),
    /// swap, in its own file.
    Ours,
    /// Nobody, and that is right.
    Absent,
}

/// A hook that can be used.
#[derive(Debug, Clone)]
pub struct HookFacts {
    /// Its name in messages.
    pub name: String,
    /// The phases that it implements.
    pub phases: Vec<Phase>,
    /// What it says it can't do without.
    pub needs: Vec<Grant>,
}

/// The folder of the journals.
#[derive(Debug, Clone)]
pub struct StateFacts {
    /// Where it is.
    pub path: PathBuf,
    /// The bytes that are free there, or why it can't be used.
    pub room: Result<u64, Failure>,
}

impl DoctorFacts {
    /// Tells whether an answer was seen from each container to which nginx sends requests.
    pub fn are_answered(&self) -> bool {
        let front = |service: &&ServiceFacts| service.asked && !service.observed.fronts.is_empty();
        let is_answered = |service: &ServiceFacts| {
            service
                .answers
                .as_ref()
                .is_some_and(|answers| matches!(answers.reaches, Reaches::Live { .. }) && answers.silent.is_empty())
        };
        self.services.iter().filter(front).all(is_answered)
    }
}
