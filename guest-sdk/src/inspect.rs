//! What the engine knows about a container. Targets are those of [`exec`](crate::exec), except `one-off`.

use crate::Error;
#[cfg(target_arch = "wasm32")]
use crate::bindings::swap::hooks::inspect as world;
pub use crate::bindings::swap::hooks::inspect::{ContainerState, ContainerUsage};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::world::inspect as world;

/// Returns what a container is.
pub fn state(target: &str) -> Result<ContainerState, Error> {
    world::state(target).map_err(Error::from)
}

/// Returns what a container uses.
pub fn usage(target: &str) -> Result<ContainerUsage, Error> {
    world::usage(target).map_err(Error::from)
}
