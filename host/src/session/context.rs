//! What a session is about, and what the operator wants of it.

use std::time::Duration;

use jiff::Timestamp;

use crate::executor::Wishes;
use crate::model::{Check, Overrides, ServiceName};
use crate::plan::Plan;
use crate::site::Site;
use crate::ui::Display;

/// What the operator settles for all that a session does.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How long to wait for another run that holds a service.
    pub wait: Duration,
    /// What is laid over the settings of the compose file.
    pub overrides: Overrides,
}

/// What is to be swapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// The services to swap, in order, each once.
    pub services: Vec<ServiceName>,
    /// The health command for the one service.
    pub health: Option<Check>,
}

/// All that a command does about runs of one project.
pub struct Session<'a> {
    pub(super) site: &'a Site,
    pub(super) options: &'a Options,
    pub(super) wishes: Wishes,
    pub(super) display: &'a Display,
    /// When the command began, in milliseconds since 1970.
    pub(super) began_ms: i64,
}

impl<'a> Session<'a> {
    /// Begins a session. `began_ms` is when its command began, in milliseconds since 1970.
    pub fn new(site: &'a Site, options: &'a Options, wishes: Wishes, display: &'a Display, began_ms: i64) -> Self {
        Self { site, options, wishes, display, began_ms }
    }
}

/// Returns the time, in milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Returns the services that a plan is about.
pub(super) fn services_of(plan: &Plan) -> Vec<ServiceName> {
    plan.services.iter().map(|planned| planned.name.clone()).collect()
}

/// Returns the services as they are typed.
pub(super) fn join(services: &[ServiceName]) -> String {
    services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" ")
}
