//! Tests of the runtime with components made by hand.

mod component;
mod contract;
mod hostile;
mod languages;
mod library;
mod mutated;
mod scaffold;
mod scenarios;
mod world;
