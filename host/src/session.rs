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
//! claim     the services that a run is about are held, and everything is known that is unfinished there
//! leftover  runs that another process left: unwound, finished, taken up or forgotten
//! planning  what is observed → a plan
//! running   a plan is performed, recorded and told
//! report    what is to be told of a run when it has ended (pure)
//! bench     swaps of an image to itself, again and again under a load
//! ```

mod bench;
mod claim;
mod context;
mod leftover;
mod outcome;
mod planning;
mod report;
mod running;

use self::running::Begin;
use crate::claim::Held;
use crate::model::ServiceName;
use crate::run::Goal;

pub use bench::{Bench, Load, Measured, Measurements};
pub use context::{Options, Session, Targets};
pub use outcome::{Done, NotDone, Ran};
pub use planning::plan;
pub use report::Report;
pub use running::ENDED_WITHIN;

impl Session<'_> {
    /// Swaps services, after whatever was left unfinished there is cleaned up.
    pub async fn swap(&self, targets: &Targets) -> Result<Done, NotDone> {
        let held = self.hold(&targets.services).await?;
        let done = self.swap_held(targets, &held).await;
        held.release().await;
        done
    }

    /// Goes on with the newest unfinished run of a service.
    pub async fn resume(&self, service: &ServiceName) -> Result<Done, NotDone> {
        let (recorded, held) = self.unfinished(service).await?;
        let done = match &recorded {
            Some(recorded) => self.take_up(recorded, Goal::Forward, &held).await,
            None => Ok(Done::Nothing(format!("nothing to resume: no run of `{service}` is unfinished"))),
        };
        held.release().await;
        done
    }

    /// Unwinds the newest unfinished run of a service; without one, swaps back to what the last swap has replaced.
    ///
    /// With `to` it swaps to the version that this names, after whatever was unfinished is cleaned up.
    pub async fn roll_back(&self, service: &ServiceName, to: Option<&str>) -> Result<Done, NotDone> {
        let (recorded, held) = self.unfinished(service).await?;
        let done = match (&recorded, to) {
            (Some(recorded), None) => self.take_up(recorded, Goal::Back, &held).await,
            _ => self.go_back(service, to, &held).await,
        };
        held.release().await;
        done
    }

    async fn swap_held(&self, targets: &Targets, held: &Held) -> Result<Done, NotDone> {
        if let Some(ran) = self.clean_up(&targets.services, held).await? {
            return Ok(Done::ran(ran));
        }
        let plan = self.unless_interrupted(plan(self.site, self.options, targets)).await?;
        self.execute(plan, Begin::Fresh, held, self.began_ms).await.map(Done::ran)
    }

    /// Swaps back to the version that was replaced by what serves now, or to the one that is named.
    async fn go_back(&self, service: &ServiceName, to: Option<&str>, held: &Held) -> Result<Done, NotDone> {
        if let Some(ran) = self.clean_up(std::slice::from_ref(service), held).await? {
            return Ok(Done::ran(ran));
        }
        let (text, plan) = self.unless_interrupted(planning::plan_back(self.site, self.options, service, to)).await?;
        self.display.say(&text);
        self.execute(plan, Begin::Fresh, held, self.began_ms).await.map(Done::ran)
    }
}
