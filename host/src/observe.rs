//! The world → [`Observed`](crate::plan::Observed). Nothing is changed.
//!
//! # Layout
//!
//! ```text
//! service   what is live, what a candidate would be made of
//! front     what fronts a service, and all that depends on it
//! senders   who sends requests to a service: which nginx, and by which ways
//! serving   whom an upstream file names (pure)
//! answers   what the front door answers, and what the probe asks for
//! hooks     the hooks of a service, loaded once
//! survey    what is looked at once for all services of a command
//! room      whether memory and disk suffice for a second container
//! back      which version a rollback brings
//! status    what is live now, for people
//! ```

mod answers;
mod back;
mod front;
pub(crate) mod hooks;
mod room;
pub(crate) mod senders;
mod service;
mod serving;
mod status;
pub(crate) mod survey;

pub use back::WayBack;
pub use status::ServiceStatus;

#[cfg(test)]
mod tests;
