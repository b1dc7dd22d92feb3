//! [`Step`](crate::plan::Step) → calls of the adapters; each may be performed twice.
//!
//! # Layout
//!
//! ```text
//! live        the real world of one run: what all steps need
//! steps       which step is performed by what
//! candidates  candidates are created, started, stopped and removed
//! names       their places and names in the networks
//! health      when a candidate is healthy, and whether it stays so
//! lifecycle   what compose does beside starting and stopping: files put in, commands run
//! asking      hooks: the context of a call, and what hooks can do to the world
//! commands    commands of hooks that are under way, given up, or left by a dead process
//! switch      which containers nginx sends requests to, and waiting until the others are unused
//! naming      what nginx's file names: addresses during a run, the service when it is over
//! old         the old containers stop, come back, or go
//! ending      who may be stopped or removed, and the stopping and removing
//! back        the images' names, for a rollback and by one
//! ```

mod asking;
mod back;
mod candidates;
mod commands;
mod ending;
mod health;
mod lifecycle;
mod live;
mod names;
mod naming;
mod old;
mod steps;
mod switch;

pub use live::Live;
