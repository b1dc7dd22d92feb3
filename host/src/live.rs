//! The real world: each step becomes calls of the adapters.
//!
//! # Layout
//!
//! ```text
//! lock      one run at a time, on whatever machine
//! holder    who holds a service, and whether he lives (pure)
//! elsewhere runs whose journal is lost or on another machine
//! site      engine, compose project, journal folder: what every command needs
//! observe   the world → [`Observed`](crate::plan::Observed)
//! senders   who sends requests to a service: which nginx, and by which ways
//! room      whether memory and disk suffice for a second container
//! way_back  which version a rollback brings, and what stays of one that is replaced
//! perform   [`Step`](crate::plan::Step) → calls of the adapters
//! naming    what nginx's file names: addresses during a run, the service when it is over
//! ending    who may be stopped or removed, and the stopping and removing
//! lifecycle what compose does beside starting and stopping: files put in, commands run
//! health    when a candidate is healthy, and whether it stays so
//! front     nginx of a service: which one, and the shell beside it
//! probe     requests through the front door all through a run
//! way       which door a probe takes, and the proof that it reaches the application
//! visitor   one who asks for a page again and again, on new connections and on kept ones
//! doctor    the world → facts about it, part by part
//! findings  facts → findings: how bad, why, what to change; pure
//! script    the plain shell way, for comparison
//! setup     what a project lacks → changes of its files
//! loader    requests at a settled rate over many runs, for measurements
//! commands  commands of hooks that are under way, given up, or left by a dead process
//! asking    hooks: the context of a call, and what hooks can do to the world
//! ```

mod asking;
mod commands;
mod doctor;
mod elsewhere;
mod ending;
mod findings;
mod front;
mod health;
mod holder;
mod lifecycle;
mod loader;
mod lock;
mod naming;
mod observe;
mod perform;
mod probe;
mod proof;
mod room;
mod script;
mod senders;
pub mod setup;
mod site;
mod sources;
mod visitor;
mod way;
mod way_back;

pub use doctor::examine;
pub use findings::{Facts, Finding, Severity, findings, text as findings_text, verdict};
pub use loader::{Loader, Seen};
pub use lock::{Held, Holding, NotHeld};
pub use observe::ServiceStatus;
pub use perform::Live;
pub use site::Site;
pub use way_back::WayBack;

/// Returns the builder of every HTTP client here. TLS needs a cryptography provider, which a process settles once.
fn http_client() -> reqwest::ClientBuilder {
    // Fails where it is settled already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
