//! `swap hooks …`: for those who write hooks.

use super::arguments::{Flags, HooksCommand};
use crate::error::{Ended, Exit};
use crate::model::Failure;

/// Runs a command for hook authors.
pub async fn run(_flags: &Flags, command: HooksCommand) -> Result<Exit, Ended> {
    Err(Failure::new(format!("not there yet: {command:?}")).into())
}
