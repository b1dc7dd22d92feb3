//! Hooks: WebAssembly components that decide what "ready", "healthy" and "good" mean.
//!
//! # Layout
//!
//! ```text
//! set            several hooks in one run: order, agreement, reverse order
//! hook           one hook: load it, call one phase of it
//! host           what a call can reach: swap's imports, each gated, timed, bounded and logged
//! engine, cache  wasmtime, set up once; components compiled once
//! inspection     what a component says about itself
//! limits  log    how much a call may use and say
//! secrets        PURE: takes secrets out of what is shown or kept
//! grants         PURE: what the operator lets a hook do
//! capabilities   the one trait through which hooks reach the world
//! context        what a call is about
//! bindings       generated from `guest-sdk/wit`
//! scaffold       a new crate for `swap hooks new`
//! build          from a crate to a component, for `swap hooks build`
//! scripted       a world from a text file, with a virtual clock, for `swap hooks test`
//! ```
//!
//! **Invariant:** nothing here knows Docker, compose or nginx. What a hook does to the world, it does through
//! [`Capabilities`].
//!
//! **Invariant:** a compiled component is only ever read from swap's own private cache, never from a file that somebody
//! named.

mod bindings;
mod build;
mod cache;
mod capabilities;
mod context;
mod engine;
pub mod grants;
mod hook;
mod host;
mod inspection;
mod limits;
mod log;
mod scaffold;
pub mod scripted;
mod secrets;
mod set;

pub use build::{Built, build};
pub use capabilities::{
    Capabilities, CommandOutput, CommandRequest, CommandTarget, ContainerState, ContainerUsage, Endpoint, Error,
    ErrorCode, HttpRequest, HttpResponse, Measurement, ShowLine, Subject, Window,
};
pub use context::{Context, Member, Stage};
pub use engine::{Engine, default_cache_folder};
pub use hook::{Hook, Reply};
pub use inspection::{Inspection, inspect};
pub use limits::Limits;
pub use log::{Channel, Line, Log};
pub use scaffold::scaffold;
pub use set::{Health, HookCall, Hooks, Pending, expand};

#[cfg(test)]
mod tests;
