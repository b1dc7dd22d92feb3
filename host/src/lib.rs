//! Replaces the running container of a compose service behind nginx without a dropped request.
//!
//! # Layout
//!
//! Arrows point down only.
//!
//! ```text
//! 4  main → cli → error                       parse, choose, report
//! 3  live                                     Step → one adapter call
//! 2  engine                                   decide → record → perform → record → tell
//! 1  docker  compose  nginx  hooks  journal  store  ui     adapters; they never import one another
//!    os                                       what adapters share of the machine: randomness, private files
//! 0  run → plan → model → text                PURE: no tokio, bollard, wasmtime, file, clock
//! ```
//!
//! Beside them `failpoint`, by which tests kill and fail what the adapters do; a release has nothing of it.

// They panic where nobody is listening any more, as in `swap plan app | head`: `ui::print` and `ui::complain` do not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod cli;
pub mod error;

pub mod live;

pub mod engine;

pub mod failpoint;

pub mod compose;
pub mod docker;
pub mod hooks;
pub mod journal;
pub mod nginx;
pub mod store;
pub mod ui;

pub mod os;

pub mod run;

pub mod plan;

pub mod model;

pub mod text;

#[cfg(test)]
mod lacking;
#[cfg(test)]
mod mutated;
