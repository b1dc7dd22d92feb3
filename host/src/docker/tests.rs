//! The adapter against a real engine, with a tiny image and containers of its own. Skipped where there is no engine.

mod endpoints;
mod engine;
mod rig;
