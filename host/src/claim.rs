//! One run at a time, on whatever machine, and what the engine knows of each run.
//!
//! # Layout
//!
//! ```text
//! lock    holding services
//! holder  who holds a service, and whether it lives (pure)
//! copy    the copy of a plan on the engine: runs whose journal is lost or on another machine
//! traces  what is left of a run in the world
//! ```

pub(crate) mod copy;
pub(crate) mod holder;
pub(crate) mod lock;
mod traces;

pub use copy::{Copies, PlanCopy, runs_without_journal};
pub use lock::{Claim, Holding, NotHeld};
pub use traces::{settled_by_others, still_as_planned, traces};
