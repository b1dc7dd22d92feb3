//! The trait, and what its methods answer.

use std::fmt;
use std::time::Duration;

use crate::Context;
use crate::bindings::swap::hooks::types;

/// What a phase other than `health` answers: done, or why not.
pub type Outcome = Result<(), Failure>;

/// What `health` answers: healthy, or why not. An [`Error`] of swap's imports turns into "not yet" by `?`.
pub type Health = Result<(), Unhealthy>;

/// A hook. Implement the phases that you want, under [`export`](crate::export); the others are not asked.
pub trait Hook {
    /// Before the candidate is created: migrations. A failure ends the run with nothing changed.
    fn pre_start(_context: &Context) -> Outcome {
        Ok(())
    }

    /// While the candidate gets ready, and again during the watch after the switch. Asked many times: answer soon.
    fn health(_context: &Context) -> Health {
        Ok(())
    }

    /// The candidate is healthy and not yet live: warm caches, last veto. A failure removes the candidate.
    fn pre_swap(_context: &Context) -> Outcome {
        Ok(())
    }

    /// The candidate is live and the old container still runs. A failure switches back.
    fn post_swap(_context: &Context) -> Outcome {
        Ok(())
    }

    /// The run is unwound: undo what `pre_start` did. May come more than once, and after a crash.
    fn rollback(_context: &Context) -> Outcome {
        Ok(())
    }

    /// The swap is done and will not be undone: notify.
    fn finish(_context: &Context) -> Outcome {
        Ok(())
    }
}

/// Why swap could not do what the hook asked for, or why an answer is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// A short word, as `refused`, `timeout` or `unreachable`; the WIT package lists them.
    pub code: String,
    /// One line for people.
    pub message: String,
}

impl Error {
    /// Makes an error of the code `failed`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: "failed".to_owned(), message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        Self { code: error.code, message: error.message }
    }
}

/// Why a phase failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A short word for programs.
    pub code: String,
    /// One line for people.
    pub message: String,
}

impl Failure {
    /// Makes a failure.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: error.code, message: error.message }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new("failed", message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::new("failed", message)
    }
}

/// Why the candidate may not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unhealthy {
    /// It may not yet: ask again.
    NotYet {
        /// What is missing.
        reason: String,
        /// How long to wait before asking again; without it swap chooses.
        retry_after: Option<Duration>,
        /// How far it is, in percent.
        progress: Option<u8>,
    },
    /// It never will.
    Fatal(String),
}

impl Unhealthy {
    /// Not yet; swap chooses when to ask again.
    pub fn not_yet(reason: impl Into<String>) -> Self {
        Self::NotYet { reason: reason.into(), retry_after: None, progress: None }
    }

    /// Never: give the candidate up at once.
    pub fn fatal(reason: impl Into<String>) -> Self {
        Self::Fatal(reason.into())
    }
}

impl From<Error> for Unhealthy {
    /// A refusal and a request that makes no sense never get better; all else may.
    fn from(error: Error) -> Self {
        match error.code.as_str() {
            "refused" | "invalid" => Self::Fatal(error.message),
            _ => Self::not_yet(error.message),
        }
    }
}
