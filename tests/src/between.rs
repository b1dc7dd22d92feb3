//! A socket between swap and the engine, for engines that are slow, hang, break off or vanish.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

/// How the engine behaves as seen through the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it is.
    Honest,
    /// Each piece of an answer comes so much later.
    Slow(Duration),
    /// Takes everything and answers nothing more, on open connections too.
    Silent,
    /// Breaks every connection off, open ones at their next piece.
    Gone,
    /// Breaks off within the answer, after so many bytes.
    Cut(usize),
}

/// A socket that passes everything on to the engine, in the manner that was set last. It is closed when dropped.
#[derive(Debug)]
pub struct Between {
    socket: PathBuf,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    manner: Mutex<Manner>,
    changed: Condvar,
}

impl Between {
    /// Listens at this path, in front of the engine of `DOCKER_HOST` or of this machine.
    pub fn new(socket: &Path) -> Result<Self> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        let engine = PathBuf::from(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock"));
        let listener = UnixListener::bind(socket).with_context(|| format!("listening at `{}`", socket.display()))?;
        let state = Arc::new(State { manner: Mutex::new(Manner::Honest), changed: Condvar::new() });
        let shared = Arc::clone(&state);
        // Both ends with the process of the test: a listener can't be woken otherwise.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (state, engine) = (Arc::clone(&shared), engine.clone());
                std::thread::spawn(move || state.serve(client, &engine));
            }
        });
        Ok(Self { socket: socket.to_owned(), state })
    }

    /// Returns the value for `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Sets the manner, at once and for all connections.
    pub fn set(&self, manner: Manner) {
        *self.state.manner() = manner;
        self.state.changed.notify_all();
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.set(Manner::Gone);
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl State {
    fn manner(&self) -> MutexGuard<'_, Manner> {
        self.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(self: Arc<Self>, client: UnixStream, engine: &Path) {
        if *self.manner() == Manner::Gone {
            return;
        }
        let Ok(engine) = UnixStream::connect(engine) else { return };
        let (Ok(from), Ok(to)) = (client.try_clone(), engine.try_clone()) else { return };
        let questions = Arc::clone(&self);
        let asking = std::thread::spawn(move || questions.pass_on(from, to, false));
        self.pass_on(engine, client, true);
        let _ = asking.join();
    }

    /// Passes the bytes of one direction on until its end; `answers` tells which direction it is.
    fn pass_on(&self, mut from: UnixStream, mut to: UnixStream, answers: bool) {
        let mut buffer = vec![0; 64 * 1024];
        let mut passed = 0;
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut whole = count;
            match self.settled() {
                Manner::Slow(delay) if answers => std::thread::sleep(delay),
                Manner::Gone => whole = 0,
                Manner::Cut(limit) if answers => whole = limit.saturating_sub(passed).min(count),
                _ => {}
            }
            passed += whole;
            if to.write_all(&buffer[..whole]).is_err() || whole < count {
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Returns the manner; while it is to be silent, waits.
    fn settled(&self) -> Manner {
        let silent = |manner: &mut Manner| *manner == Manner::Silent;
        *self.changed.wait_while(self.manner(), silent).unwrap_or_else(PoisonError::into_inner)
    }
}
