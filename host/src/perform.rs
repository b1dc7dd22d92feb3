//! [`Step`](crate::plan::Step) → calls of the ports; each may be performed twice.
//!
//! # Layout
//!
//! ```text
//! steps         which step is performed by what
//! performer     what all steps need: the plan, the ports
//! candidates    candidates are created, started, stopped and removed
//! names         their places and names in the networks
//! health        when a candidate is healthy, and whether it stays so
//! lifecycle     what compose does beside starting and stopping: files put in, commands run
//! real          the real world of one run: its ports are the adapters
//! judge         checks and hooks as a port
//! checks        what is asked of one candidate
//! asking        hooks: which are asked, and what they are told
//! capabilities  what hooks can do to the world
//! commands      commands of hooks that are under way, given up, or left by a dead process
//! switch        which containers nginx sends requests to, and waiting until the others are unused
//! naming        what nginx's file names: addresses during a run, the service when it is over
//! old           the old containers stop, come back, or go
//! ending        who may be stopped or removed, and the stopping and removing
//! back          the images' names, for a rollback and by one
//! ```

mod asking;
mod back;
mod candidates;
mod capabilities;
mod checks;
mod commands;
mod ending;
mod health;
mod judge;
mod lifecycle;
mod names;
mod naming;
mod old;
mod performer;
mod real;
mod steps;
mod switch;

pub use asking::asked_by;
pub use candidates::candidates_run;
pub use performer::Performer;
pub use real::Real;
