//! The clock, which tests and scenarios turn.

use std::time::Duration;

/// Waits.
pub fn sleep(duration: Duration) {
    #[cfg(target_arch = "wasm32")]
    std::thread::sleep(duration);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::world::sleep(duration);
}

/// Returns the seconds since 1970, UTC.
pub fn now() -> u64 {
    #[cfg(target_arch = "wasm32")]
    return std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    #[cfg(not(target_arch = "wasm32"))]
    return crate::testing::world::now();
}

/// Tries up to `times` times, waiting in between, until it succeeds. Returns the last error.
pub fn retry<T, E>(times: u32, wait: Duration, mut work: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let mut left = times;
    loop {
        match work() {
            Err(_) if left > 1 => {
                left -= 1;
                sleep(wait);
            }
            result => return result,
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
