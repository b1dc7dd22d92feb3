//! Replaces the running container of a compose service behind nginx without a dropped request.
//!
//! # Layout
//!
//! Arrows point down only.
//!
//! ```text
//! 5  main → cli → error                                   parse, call, print
//! 4  session                                              claim → clean up → plan → run → report
//! 3  perform  doctor  init → observe → claim  measure → site     the rooms, below
//! 2  executor → world                                     decide → record → perform → record → tell
//! 1  docker  compose  nginx  hooks  journal  store  ui    adapters; they never import one another
//!    os                                                   what adapters share of the machine: randomness, private files
//! 0  run → plan → model → text                            PURE: no tokio, bollard, wasmtime, file, clock
//! ```
//!
//! The rooms of level 3:
//!
//! ```text
//! perform  Step → calls of the adapters
//! doctor   looks at a stack without swapping it, and judges what it sees
//! init     what a project lacks → changes of its files
//! observe  the world → what a plan is made of
//! claim    one run at a time, on whatever machine
//! measure  requests through the front door, and what became of them
//! site     engine, compose project, front doors, journal folder: what every room needs
//! ```
//!
//! Beside them `failpoint`, by which tests kill and fail what the adapters do; a release has nothing of it.

// They panic where nobody is listening any more, as in `swap plan app | head`: `ui::print` and `ui::complain` do not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod cli;
pub mod error;

pub mod session;

pub mod perform;

pub mod doctor;
pub mod init;

pub mod observe;

pub mod claim;
pub mod measure;

pub mod site;

pub mod executor;
pub mod world;

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
