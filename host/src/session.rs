//! A run from end to end: claim → clean up → plan → run → report.
//!
//! The commands say what is wanted and get back what happened; nothing here knows a command line or an exit code, and what
//! is told on the way goes to the [`Display`](crate::ui::Display).
//!
//! # Layout
//!
//! ```text
//! context   what a session is about, and what the operator wants of it
//! outcome   what it came to
//! ports     what its course asks of the world
//! course    its decisions and their order: claim → clean up → plan → run
//! project   those ports over one project
//! planning  what is observed → a plan
//! report    what is to be told of a run when it has ended (pure)
//! bench     swaps of an image to itself, again and again under a load
//! ```

mod bench;
mod context;
mod course;
mod outcome;
mod planning;
mod ports;
mod project;
mod report;

use std::sync::Arc;

use crate::model::{ServiceName, unknown_service};

pub use bench::{Bench, Load, Measured, Measurements};
pub use context::{Options, Session, Targets};
pub use course::Course;
pub use outcome::{Done, NotDone, RunResult};
pub use planning::plan;
pub use ports::{Claims, Journals, LeftRun, Ports, RunJournal};
pub use project::ENDED_WITHIN;
pub use report::Report;

impl Session<'_> {
    /// Swaps services, after whatever was left unfinished there is cleaned up.
    pub async fn swap(&self, targets: &Targets) -> Result<Done, NotDone> {
        let plan = async {
            let (plan, hooks) = plan(self.site, self.options, targets).await?;
            Ok((Arc::new(plan), hooks))
        };
        self.course().swap(&targets.services, plan).await
    }

    /// Goes on with the newest unfinished run of a service.
    pub async fn resume(&self, service: &ServiceName) -> Result<Done, NotDone> {
        self.must_know(service)?;
        self.course().resume(service).await
    }

    /// Unwinds the newest unfinished run of a service; without one, swaps back to what the last swap has replaced.
    ///
    /// With `to` it swaps to the version that this names, after whatever was unfinished is cleaned up.
    pub async fn roll_back(&self, service: &ServiceName, to: Option<&str>) -> Result<Done, NotDone> {
        self.must_know(service)?;
        let plan = async {
            let (text, plan, hooks) = planning::plan_back(self.site, self.options, service, to).await?;
            self.display.say(&text);
            Ok((Arc::new(plan), hooks))
        };
        self.course().roll_back(service, to.is_some(), plan).await
    }

    /// Begins the course of this session.
    fn course(&self) -> Course<'_, Self> {
        self.site.expect_run();
        Course::new(self, self.display, self.wishes.clone(), self.began_ms)
    }

    /// Fails for a service that the project has not.
    fn must_know(&self, service: &ServiceName) -> Result<(), NotDone> {
        let known = self.site.services();
        match known.contains(service) {
            true => Ok(()),
            false => Err(NotDone::Unknown(unknown_service(service.as_str(), &known))),
        }
    }
}
