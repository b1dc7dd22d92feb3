//! Places where a test can kill, interrupt, fail or hang swap: before and after each effect on the world.
//!
//! `SWAP_FAILPOINT=POINT=ACTION` names a point and what happens when it is passed: `kill` (SIGKILL), `int` and `term` (that
//! signal, and on), `fail` (an error in its place) or `hang`. Several are separated by `;`. A point is its name and how
//! often it was passed, as `before docker POST containers/start #1`. `SWAP_FAILPOINT_LOG=FILE` collects the points that were
//! passed, one a line, so that a test passes all of them once and then has something happen at each.
//!
//! **Invariant:** a build without debug assertions knows neither variable, and [`pass`] and [`reach`] are nothing there.

#[cfg(not(debug_assertions))]
use std::io;

#[cfg(debug_assertions)]
pub use armed::{pass, reach};

/// Passes a point from where nothing can be awaited. An error is what `fail` asks for.
#[cfg(not(debug_assertions))]
#[inline]
pub fn pass<N: AsRef<str>>(_name: impl FnOnce() -> N) -> io::Result<()> {
    Ok(())
}

/// Passes a point; `hang` never resolves. An error is what `fail` asks for.
#[cfg(not(debug_assertions))]
#[inline]
pub async fn reach<N: AsRef<str>>(_name: impl FnOnce() -> N) -> io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
mod armed {
    use std::collections::HashMap;
    use std::fs::OpenOptions;
    use std::io::{self, Write};
    use std::sync::{LazyLock, Mutex, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};

    static POINTS: LazyLock<Points> = LazyLock::new(|| Points {
        actions: std::env::var("SWAP_FAILPOINT").map(|text| actions(&text)).unwrap_or_default(),
        log: std::env::var("SWAP_FAILPOINT_LOG").ok(),
        passed: Mutex::default(),
    });

    struct Points {
        actions: HashMap<String, String>,
        log: Option<String>,
        passed: Mutex<HashMap<String, u32>>,
    }

    /// Reads `POINT=ACTION;POINT=ACTION`. What has no `=` is no point's name.
    pub(super) fn actions(text: &str) -> HashMap<String, String> {
        let pairs = text.split(';').filter_map(|pair| pair.rsplit_once('='));
        pairs.map(|(point, action)| (point.trim().to_owned(), action.trim().to_owned())).collect()
    }

    /// Passes a point from where nothing can be awaited; `hang` holds this thread up for ever, as a dead disk does. An error
    /// is what `fail` asks for.
    pub fn pass<N: AsRef<str>>(name: impl FnOnce() -> N) -> io::Result<()> {
        if act(name)? {
            loop {
                std::thread::park();
            }
        }
        Ok(())
    }

    /// Passes a point; `hang` never resolves. An error is what `fail` asks for.
    pub async fn reach<N: AsRef<str>>(name: impl FnOnce() -> N) -> io::Result<()> {
        if act(name)? {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    /// Does what is asked for at a point; tells whether that is to hang.
    fn act<N: AsRef<str>>(name: impl FnOnce() -> N) -> io::Result<bool> {
        if POINTS.actions.is_empty() && POINTS.log.is_none() {
            return Ok(false);
        }
        let point = {
            let name = name();
            let mut passed = POINTS.passed.lock().unwrap_or_else(PoisonError::into_inner);
            let count = passed.entry(name.as_ref().to_owned()).or_default();
            *count += 1;
            format!("{} #{count}", name.as_ref())
        };
        if let Some(log) = &POINTS.log {
            OpenOptions::new().create(true).append(true).open(log)?.write_all(format!("{point}\n").as_bytes())?;
        }
        let signal = match POINTS.actions.get(&point).map(String::as_str) {
            None => return Ok(false),
            Some("hang") => return Ok(true),
            Some("kill") => Signal::KILL,
            Some("int") => Signal::INT,
            Some("term") => Signal::TERM,
            Some("fail") => return Err(io::Error::other(format!("failpoint `{point}`"))),
            Some(other) => return Err(io::Error::other(format!("failpoint `{point}`: no such action: `{other}`"))),
        };
        kill_process(getpid(), signal)?;
        Ok(false)
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::armed::actions;

    #[test]
    fn several_points_are_read() {
        let read = actions("before journal started #2=int; after docker POST containers/start #1=kill ;nonsense");
        let mut read: Vec<(&str, &str)> =
            read.iter().map(|(point, action)| (point.as_str(), action.as_str())).collect();
        read.sort_unstable();
        assert_eq!(read, [("after docker POST containers/start #1", "kill"), ("before journal started #2", "int")]);
    }
}
