//! Requests through the front door, and what became of them.
//!
//! # Layout
//!
//! ```text
//! visitor  one who asks for a page again and again, on new connections and on kept ones
//! way      which door a probe takes, and the proof that it reaches the application
//! probe    requests through the front door all through a run
//! loader   requests at a settled rate over many runs, for measurements
//! script   the plain shell way, for comparison
//! ```

mod loader;
pub(crate) mod probe;
mod script;
mod visitor;
pub(crate) mod way;

pub use loader::{LoadFigures, Loader};
