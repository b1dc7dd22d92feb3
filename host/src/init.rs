//! What a project lacks → changes of its files.
//!
//! # Layout
//!
//! ```text
//! found    everything that a proposal depends on, and the proposal itself
//! setup    looking at the files, putting a proposal together, and writing it
//! proof    the proof of a proposal before it stands
//! sources  where the files come from that an nginx reads
//! ```

mod found;
mod proof;
mod setup;
mod sources;

pub use found::{Change, Proposal};
pub use setup::{Prepared, Typed, diff, prepare, read, write};
