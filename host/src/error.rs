//! How swap ends: the exit codes and the failures behind them.

use std::process::ExitCode;

use crate::model::Failure;
use crate::session::NotDone;

/// The exit codes, as the README documents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The new version serves and the old containers are gone.
    Swapped = 0,
    /// A defect of swap.
    Internal = 1,
    /// The command line can't be understood.
    Usage = 2,
    /// Refused before any change.
    Refused = 3,
    /// The run was unwound: the old version serves.
    RolledBack = 4,
    /// A person is needed; the message says for what.
    Stuck = 5,
    /// Another run holds the service.
    Busy = 6,
}

impl Exit {
    /// A scenario of `swap hooks test` got an answer that it does not expect: 1, as all test runners say it. (3 is a hook
    /// that can't be loaded, or a scenario that can't be read.)
    pub const NOT_AS_EXPECTED: Self = Self::Internal;
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command ended without doing what it was asked.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub exit: Exit,
    /// What to tell, in order.
    pub failures: Vec<Failure>,
}

impl Ended {
    /// Ends with one failure.
    pub fn new(exit: Exit, failure: Failure) -> Self {
        Self { exit, failures: vec![failure] }
    }
}

impl From<NotDone> for Ended {
    fn from(not_done: NotDone) -> Self {
        match not_done {
            NotDone::Unknown(failure) => Self::new(Exit::Usage, failure),
            NotDone::Busy(failure) => Self::new(Exit::Busy, failure),
            NotDone::Refused(failures) => Self { exit: Exit::Refused, failures },
            NotDone::Interrupted(signal) => {
                Self::new(Exit::RolledBack, Failure::new(format!("{signal}: nothing was changed")))
            }
            NotDone::Defect(failure) => Self::new(Exit::Internal, failure),
        }
    }
}

/// A failure that nobody gave another exit code comes from before any change.
impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::new(Exit::Refused, failure)
    }
}
