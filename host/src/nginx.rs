//! The nginx adapter: finds nginx, reads its configuration, switches its upstreams, and waits for old workers to go.
//!
//! # Layout
//!
//! ```text
//! proxy                 the effects: observe, switch, drain
//! *.sh                  what runs beside nginx for them; each follows processes.sh
//! find  folder  connect  workers  what scripts answer → facts
//! config  tuning  doors what nginx's configuration says → facts, mistakes, notices
//! dump  ways  reach     the whole configuration → every way out of nginx → whom it reaches; pure
//! upstream  syntax      text → data → text; pure
//! edit                  people's configuration → edits that make it ready; pure
//! local                 a shell on this machine
//! ```
//!
//! **Invariant:** nothing here knows Docker; nginx's machine is reached through [`Shell`] alone.
//! **Invariant:** only `<service>.conf` and [`TUNING_FILE`] in swap's folder are ever written.

mod config;
mod connect;
mod doors;
mod dump;
mod edit;
mod find;
mod folder;
mod local;
mod proxy;
mod reach;
mod script;
mod syntax;
mod tuning;
mod upstream;
mod ways;
mod workers;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::{Duration, SystemTime};

pub use config::{Configuration, ErrorLog, Include, Reading, Version, Written, read};
pub use connect::Connected;
pub use doors::{Door, Passes};
pub use edit::{ConfigFile, MAIN, Proposal, Source, assembled, configuration, files_of, first_file, propose};
pub use folder::{Folder, Mount};
pub use local::{LocalShell, runs_here};
pub use proxy::{FileChange, Home, Nginx, NginxAnswer, Observation, Proxy, SwitchFailure, Worker, reasons};
pub use reach::{Names, Pass, ServiceWays, reach};
pub use tuning::{TUNING_FILE, render as tuning_text, tunes_keepalive};
pub use upstream::{
    Fallback, Kept, NotParsed, Obeyed, Rest, Server, UpstreamFile, file_name, is_ours, owner, parse, render,
};
pub use ways::{Destination, End, Realm, Through, Upstream, Way, Ways};
pub use workers::{Generation, Process};

use crate::model::{Failure, Output};

/// The folder that swap looks for where nothing else is settled.
pub const DEFAULT_FOLDER: &str = "/etc/nginx/swap";

/// How long a script may take that only reads files and processes.
const USUAL: Duration = Duration::from_secs(10);

/// A POSIX shell beside nginx that is already open: in the proxy's container, or on this host.
///
/// Scripts use builtins and `cat`, `cp`, `ln`, `mv`, `readlink`, `rm`, `sleep`, `sync`, `tail`, `tr`, `wc`; no process
/// tools. dash, busybox ash and bash all do. They read no input and leave no variable or option behind.
pub trait Shell: Send + Sync {
    /// As [`Shell::run_within`], for scripts that only read files and processes.
    fn run(&self, script: &str) -> impl Future<Output = Result<Output, Failure>> + Send {
        self.run_within(script, USUAL)
    }

    /// Runs a script (POSIX sh, may be several lines) and answers its exit code and output. Exactly one script runs at a time.
    ///
    /// At least 64 MiB of standard output must be kept, because `nginx -T` prints the whole configuration; more is a failure
    /// that says so. A script that is not over within the limit, or whose future is dropped, is ended with all that it has
    /// started, and no other begins before it is over.
    fn run_within(&self, script: &str, limit: Duration) -> impl Future<Output = Result<Output, Failure>> + Send;

    /// Returns the lines that nginx wrote to its standard error since then, oldest first, as well as they are known.
    ///
    /// Asked only after a failure, to say why, and only where nginx's error log is not a file: the log of a container.
    fn logged_since(&self, _since: SystemTime) -> impl Future<Output = Vec<String>> + Send {
        async { Vec::new() }
    }
}
