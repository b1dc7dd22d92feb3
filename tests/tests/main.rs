//! One binary for all scenarios, so that it links once. Each file is named for what it holds swap to.

mod ci;
mod common;
mod container;
mod controls;
mod crowds;
mod door;
mod failpoints;
mod faults;
mod flows;
mod help;
mod homes;
mod hooks;
mod interrupts;
mod judging;
mod kills;
mod locks;
mod neighbours;
mod privacy;
mod proof;
mod restarts;
mod rig;
mod senders;
mod setup;
mod shapes;
mod sight;
mod slow;
