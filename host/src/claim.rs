//! One run at a time, on whatever machine, and what the engine knows of each run.
//!
//! # Layout
//!
//! ```text
//! lock    holding services
//! holder  who holds a service, and whether it lives (pure)
//! copy    the copy of a plan on the engine: runs whose journal is lost or on another machine
//! ```

pub(crate) mod copy;
pub(crate) mod holder;
pub(crate) mod lock;

pub use lock::{Held, Holding, NotHeld};
