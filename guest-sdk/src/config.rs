//! What the operator wrote for this hook.

use std::str::FromStr;
use std::time::Duration;

use crate::Error;
#[cfg(target_arch = "wasm32")]
use crate::bindings::swap::hooks::config as world;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::world::config as world;

/// Returns the value of a key.
pub fn get(key: &str) -> Option<String> {
    world::get(key)
}

/// Returns the value of a key, or a default.
pub fn get_or(key: &str, default: &str) -> String {
    get(key).unwrap_or_else(|| default.to_owned())
}

/// Returns the value of a key that must be there.
pub fn required(key: &str) -> Result<String, Error> {
    get(key).ok_or_else(|| invalid(format!("config needs the key `{key}`")))
}

/// Returns the value of a key as a number or the like, or a default.
pub fn parsed_or<T: FromStr>(key: &str, default: T) -> Result<T, Error> {
    match get(key) {
        Some(text) => text.trim().parse().map_err(|_| invalid(format!("config `{key}`: `{text}` makes no sense"))),
        None => Ok(default),
    }
}

/// Returns the value of a key as a duration (`250ms`, `5s`, `2m`, `1h`), if it is there.
pub fn duration(key: &str) -> Result<Option<Duration>, Error> {
    let Some(text) = get(key) else { return Ok(None) };
    let parse = || {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = text.get(..digits)?.parse().ok()?;
        let unit = match text.get(digits..)?.trim() {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        Some(Duration::from_millis(number.checked_mul(unit)?))
    };
    parse().map(Some).ok_or_else(|| invalid(format!("config `{key}`: `{text}` is no duration (as 250ms, 5s, 2m)")))
}

/// Returns all keys and values, sorted by key.
pub fn entries() -> Vec<(String, String)> {
    world::entries()
}

/// Returns a secret. Needs the grant `secret:NAME`. Its value shows in no line of swap.
pub fn secret(name: &str) -> Result<String, Error> {
    world::secret(name).map_err(Error::from)
}

fn invalid(message: String) -> Error {
    Error { code: "invalid".to_owned(), message }
}
