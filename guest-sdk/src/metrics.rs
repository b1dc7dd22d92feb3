//! What the front door saw.

use crate::Error;
#[cfg(target_arch = "wasm32")]
use crate::bindings::swap::hooks::metrics as world;
pub use crate::bindings::swap::hooks::metrics::Measurement;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::world::metrics as world;

/// Returns what it saw of the candidate since the switch.
pub fn since_switch() -> Result<Measurement, Error> {
    world::measure("since-switch").map_err(Error::from)
}

/// Returns what it saw of the live container before the switch.
pub fn before() -> Result<Measurement, Error> {
    world::measure("before").map_err(Error::from)
}
