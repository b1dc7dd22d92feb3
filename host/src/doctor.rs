//! Looks at a stack without swapping it, and judges what it sees.
//!
//! # Layout
//!
//! ```text
//! examine   the world → facts about it, part by part
//! facts     what was found out
//! findings  facts → findings: how bad, why, what to change (pure)
//! ```

mod examine;
mod facts;
mod findings;

pub use examine::examine;
pub use facts::DoctorFacts;
pub use findings::{Finding, Severity, findings, text as findings_text, verdict};
