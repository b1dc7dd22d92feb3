//! What a project lacks → changes of its files.
//!
//! # Layout
//!
//! ```text
//! found    everything that a proposal depends on, and the proposal itself
//! setup    a proposal from end to end: looked for, proved, written
//! look     looking at everything that it depends on
//! propose  putting it together (pure)
//! change   the files are changed, all of them or none
//! proof    the proof of a proposal before it stands
//! sources  where the files come from that an nginx reads
//! ```

mod change;
mod found;
mod look;
mod proof;
mod propose;
mod setup;
mod sources;

pub use change::diff;
pub use found::{Change, Proposal};
pub use setup::{Prepared, Typed, prepare, read};

#[cfg(test)]
mod tests;
