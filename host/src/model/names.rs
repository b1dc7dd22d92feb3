//! Names of services and of runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::text::{nearest, printable};

/// The name of a compose service: letters, digits, `.`, `_` and `-`, as the compose specification allows.
///
/// Only such names become parts of paths and of nginx configuration, so nothing that could escape gets in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

impl ServiceName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if starts_well && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{}` is not a service name", text.escape_debug()))
        }
    }
}

impl TryFrom<String> for ServiceName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> String {
        name.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one run: time of its start and a random part, as `20260131-154502-9f3a`. Sorts by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the failure for a name that is no service, with what it may have meant.
pub fn unknown_service(word: &str, known: &[ServiceName]) -> Failure {
    Failure::new(format!(
        "service `{}` not found (services: {}){}",
        printable(word),
        list_services(known),
        meant(word, known)
    ))
}

/// Returns `; did you mean the service `worker`?` where a service's name is close, else nothing.
pub fn meant(word: &str, known: &[ServiceName]) -> String {
    let near = nearest(word, known.iter().map(ServiceName::as_str));
    near.map(|name| format!("; did you mean the service `{name}`?")).unwrap_or_default()
}

/// Returns the names as `app, worker`.
pub fn list_services(known: &[ServiceName]) -> String {
    known.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_names_that_could_escape_are_refused() {
        for bad in ["", "../app", "app/x", "app\n", "a b", "-f", ".", "app;rm", "\u{1b}[2J"] {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad:?}");
        }
        for good in ["app", "web-1", "a.b_c", "_x", "9"] {
            assert_eq!(good.parse::<ServiceName>().map(String::from), Ok(good.to_owned()));
        }
    }
}
