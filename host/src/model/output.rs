//! What commands answer.

use crate::text::Beginning;

/// What a command that ran inside a container or beside nginx answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// The exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Its standard output, bounded.
    pub stdout: String,
    /// Its standard error, bounded.
    pub stderr: String,
}

impl Output {
    /// Tells whether the command exited 0.
    pub fn ok(&self) -> bool {
        self.code == 0
    }
}

/// What a command left, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// The exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: Beginning,
    /// Its standard error.
    pub stderr: Beginning,
}
