//! A small store that survives runs and crashes: one for each hook and service.

use crate::Error;
#[cfg(target_arch = "wasm32")]
use crate::bindings::swap::hooks::state as world;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::world::state as world;

/// Returns the value of a key.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    world::get(key).map_err(Error::from)
}

/// Returns the value of a key as text.
pub fn get_text(key: &str) -> Result<Option<String>, Error> {
    Ok(get(key)?.map(|value| String::from_utf8_lossy(&value).into_owned()))
}

/// Sets the value of a key, durably.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
    world::set(key, value.as_ref()).map_err(Error::from)
}

/// Removes a key.
pub fn delete(key: &str) -> Result<(), Error> {
    world::delete(key).map_err(Error::from)
}

/// Sets the value of a key, or removes it, if its value is `expected` now. Returns whether it did.
pub fn compare_and_set(key: &str, expected: Option<&[u8]>, value: Option<&[u8]>) -> Result<bool, Error> {
    world::compare_and_set(key, expected, value).map_err(Error::from)
}

/// Returns the keys that start with a prefix, sorted.
pub fn keys(prefix: &str) -> Result<Vec<String>, Error> {
    world::keys(prefix).map_err(Error::from)
}
