//! Waits for a fact, never for a time.

use std::fmt;
use std::time::{Duration, Instant};

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `holds` answers true.
///
/// # Panics
///
/// If that takes longer than `limit`; the message says what was waited for.
#[track_caller]
pub fn eventually(what: impl fmt::Display, limit: Duration, mut holds: impl FnMut() -> bool) {
    eventually_some(what, limit, || holds().then_some(()));
}

/// Waits until `find` answers something, and returns it.
///
/// # Panics
///
/// If that takes longer than `limit`; the message says what was waited for.
#[track_caller]
pub fn eventually_some<T>(what: impl fmt::Display, limit: Duration, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} for {what}");
        std::thread::sleep(PAUSE);
    }
}
