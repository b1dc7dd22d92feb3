//! One binary for all scenarios, so that it links once. Each file is named for what it holds swap to.

mod controls;
mod door;
mod rig;
