//! Lines for the operator.

#[cfg(target_arch = "wasm32")]
use crate::bindings::swap::hooks::log as world;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::world::log as world;

/// Shown only when asked for.
pub fn debug(message: impl AsRef<str>) {
    world::debug(message.as_ref());
}

/// Shown.
pub fn info(message: impl AsRef<str>) {
    world::info(message.as_ref());
}

/// Shown, marked.
pub fn warn(message: impl AsRef<str>) {
    world::warn(message.as_ref());
}

/// Shown, marked.
pub fn error(message: impl AsRef<str>) {
    world::error(message.as_ref());
}
