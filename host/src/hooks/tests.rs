//! Tests of the runtime with components made by hand.

mod component;
mod contract;
mod hostile;
mod library;
mod scenarios;
mod world;
