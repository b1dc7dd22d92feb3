//! Why something was refused or failed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::printable;

/// Why something was refused or failed, in the form in which people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was tried, on what, and what happened: one lower-case line without a full stop.
    pub what: String,
    /// The cure, if one is known: a command or the exact lines to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The last lines that the thing itself printed, control characters removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
}

impl Failure {
    /// Makes a failure that says what happened.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, tail: Vec::new() }
    }

    /// Adds the cure.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the last lines of a log or of a command's output.
    pub fn tail(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.tail = lines.into_iter().map(|line| printable(&line)).collect();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}
