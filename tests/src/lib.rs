//! Scenarios against a real Docker engine and a real nginx, and the load rig that watches the front door meanwhile.
//!
//! # Layout
//!
//! ```text
//! load → clients → http     clients that never retry and count every failure
//! report                    what they saw: numbers, a table, JSON
//! stack → images            a private copy of a compose project, gone when the test ends
//! between                   a socket between swap and the engine, that delays, cuts and hangs
//! swap → promise            runs the `swap` binary and holds it to what it promises of all that it prints
//! transcript                what the usual runs say, and what another says otherwise
//! ci → container            the image of swap, and the machines of a CI that deploys with it
//! browser                   opens the pages that swap writes
//! corpus                    other people's projects, and what `swap init` makes of them
//! eventually                waits for a fact, never for a time
//! ```
//!
//! **Invariant:** nothing here uses swap's own code: the rig must not share its mistakes.

pub mod between;
pub mod browser;
pub mod ci;
pub mod clients;
pub mod command;
pub mod container;
pub mod corpus;
pub mod eventually;
pub mod http;
pub mod images;
pub mod load;
pub mod others;
mod promise;
pub mod report;
pub mod stack;
pub mod swap;
pub mod transcript;
