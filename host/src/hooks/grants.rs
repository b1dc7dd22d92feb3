//! What the operator lets a hook do. Pure.

use std::fmt;
use std::str::FromStr;

use crate::model::{Failure, ServiceName};

/// What a hook wants to do, as far as a grant is about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Run a command in a candidate.
    ExecCandidate,
    /// Run a command in a one-off container of the candidate's image.
    ExecOneOff,
    /// Run a command in a container that served when the run began.
    ExecLive,
    /// Run a command in a container of another service.
    ExecService(ServiceName),
    /// Send a request to a candidate.
    HttpCandidate,
    /// Send a request through the proxy, where users come.
    HttpFrontDoor,
    /// Send a request to another port of the proxy's container.
    HttpFrontDoorPort(u16),
    /// Send a request to a container that served when the run began.
    HttpLive,
    /// Send a request to any other host, in lower case, and port.
    HttpHost(String, u16),
    /// Inspect a candidate.
    InspectCandidate,
    /// Inspect a container that served when the run began.
    InspectLive,
    /// Inspect a container of another service.
    InspectService(ServiceName),
    /// Read a secret.
    Secret(String),
}

/// One thing that the operator allowed beyond what concerns the candidate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// `exec:live`
    ExecLive,
    /// `exec:NAME`
    ExecService(ServiceName),
    /// `http:live`
    HttpLive,
    /// `http:front-door:PORT`
    HttpFrontDoor(u16),
    /// `http:HOST:PORT`, or `http:HOST` for ports 80 and 443.
    HttpHost(String, Option<u16>),
    /// `inspect:live`
    InspectLive,
    /// `inspect:NAME`
    InspectService(ServiceName),
    /// `secret:NAME`
    Secret(String),
}

/// Decides whether a hook may do something. Returns the grant that is missing if it may not.
pub fn decide(granted: &[Grant], ask: &Ask) -> Result<(), Grant> {
    match ask.needs() {
        Some(needed) if !granted.iter().any(|grant| grant.covers(&needed)) => Err(needed),
        _ => Ok(()),
    }
}

impl Ask {
    /// Returns the grant that this takes; none if it concerns the candidate.
    fn needs(&self) -> Option<Grant> {
        match self {
            Ask::ExecCandidate | Ask::ExecOneOff | Ask::HttpCandidate | Ask::HttpFrontDoor | Ask::InspectCandidate => {
                None
            }
            Ask::ExecLive => Some(Grant::ExecLive),
            Ask::ExecService(name) => Some(Grant::ExecService(name.clone())),
            Ask::HttpLive => Some(Grant::HttpLive),
            Ask::HttpFrontDoorPort(port) => Some(Grant::HttpFrontDoor(*port)),
            Ask::HttpHost(host, port) => Some(Grant::HttpHost(host.clone(), Some(*port))),
            Ask::InspectLive => Some(Grant::InspectLive),
            Ask::InspectService(name) => Some(Grant::InspectService(name.clone())),
            Ask::Secret(name) => Some(Grant::Secret(name.clone())),
        }
    }
}

impl Grant {
    /// Tells whether who has this grant has the other.
    pub fn covers(&self, other: &Grant) -> bool {
        match (self, other) {
            (Grant::HttpHost(host, None), Grant::HttpHost(wanted, Some(80 | 443))) => host == wanted,
            _ => self == other,
        }
    }

    /// Says what a hook without it wanted and may not do, on one line.
    pub fn refusal(&self) -> String {
        format!("{} is not granted; {}", self.deed(), self.cure())
    }

    /// Returns the exact lines that grant it.
    pub fn cure(&self) -> String {
        format!("allow it with `allow: [ \"{self}\" ]` beside the hook in `x-swap`, or `--allow {self}`")
    }

    fn deed(&self) -> String {
        match self {
            Grant::ExecLive => "to run a command in the live container".to_owned(),
            Grant::ExecService(name) => format!("to run a command in the service `{name}`"),
            Grant::HttpLive => "to send a request to the live container".to_owned(),
            Grant::HttpFrontDoor(port) => format!("to send a request to port {port} of the proxy's container"),
            Grant::HttpHost(host, Some(port)) => format!("to send a request to `{host}:{port}`"),
            Grant::HttpHost(host, None) => format!("to send a request to `{host}`"),
            Grant::InspectLive => "to inspect the live container".to_owned(),
            Grant::InspectService(name) => format!("to inspect the service `{name}`"),
            Grant::Secret(name) => format!("to read the secret `{name}`"),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grant::ExecLive => f.write_str("exec:live"),
            Grant::ExecService(name) => write!(f, "exec:{}", Unambiguous(name)),
            Grant::HttpLive => f.write_str("http:live"),
            Grant::HttpFrontDoor(port) => write!(f, "http:front-door:{port}"),
            Grant::HttpHost(host, Some(port)) => write!(f, "http:{host}:{port}"),
            Grant::HttpHost(host, None) => write!(f, "http:{host}"),
            Grant::InspectLive => f.write_str("inspect:live"),
            Grant::InspectService(name) => write!(f, "inspect:{}", Unambiguous(name)),
            Grant::Secret(name) => write!(f, "secret:{name}"),
        }
    }
}

/// A service that happens to be called `live` is granted as `service:live`.
struct Unambiguous<'a>(&'a ServiceName);

impl fmt::Display for Unambiguous<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.0.as_str() == "live" { "service:" } else { "" };
        write!(f, "{prefix}{}", self.0)
    }
}

impl FromStr for Grant {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        parse(text).ok_or_else(|| {
            Failure::new(format!("`{}` is not a grant", text.escape_debug())).hint(
                "grants are exec:live, exec:SERVICE, http:live, http:front-door:PORT, http:HOST:PORT, http:HOST, \
                 inspect:live, inspect:SERVICE and secret:NAME",
            )
        })
    }
}

fn parse(text: &str) -> Option<Grant> {
    let (kind, what) = text.split_once(':')?;
    let service = || what.strip_prefix("service:").unwrap_or(what).parse().ok();
    match (kind, what) {
        ("exec", "live") => Some(Grant::ExecLive),
        ("exec", _) => service().map(Grant::ExecService),
        ("http", "live") => Some(Grant::HttpLive),
        ("http", _) if what.starts_with("front-door:") => {
            Some(Grant::HttpFrontDoor(what.strip_prefix("front-door:")?.parse().ok()?))
        }
        ("http", _) => parse_host(what),
        ("inspect", "live") => Some(Grant::InspectLive),
        ("inspect", _) => service().map(Grant::InspectService),
        ("secret", _) if is_word(what) => Some(Grant::Secret(what.to_owned())),
        _ => None,
    }
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
fn parse_host(text: &str) -> Option<Grant> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (text, None),
    };
    // `localhost` and the like aside, the same parser as for the URLs of requests, so that both write a host alike.
    let parsed = url::Host::parse(host).ok()?;
    if is_reserved(host) { None } else { Some(Grant::HttpHost(parsed.to_string(), port)) }
}

/// Tells whether a host in a hook's URL means a container of the run or the proxy, and not a host.
fn is_reserved(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    host == "front-door" || last == "candidate" || last == "live"
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> ServiceName {
        name.parse().expect("a service name")
    }

    /// Every ask with the grant that it takes, as text; the empty text for none.
    fn asks() -> Vec<(Ask, &'static str)> {
        vec![
            (Ask::ExecCandidate, ""),
            (Ask::ExecOneOff, ""),
            (Ask::ExecLive, "exec:live"),
            (Ask::ExecService(service("db")), "exec:db"),
            (Ask::ExecService(service("cache")), "exec:cache"),
            (Ask::ExecService(service("live")), "exec:service:live"),
            (Ask::HttpCandidate, ""),
            (Ask::HttpFrontDoor, ""),
            (Ask::HttpFrontDoorPort(8081), "http:front-door:8081"),
            (Ask::HttpLive, "http:live"),
            (Ask::HttpHost("hooks.slack.com".into(), 443), "http:hooks.slack.com:443"),
            (Ask::HttpHost("hooks.slack.com".into(), 80), "http:hooks.slack.com:80"),
            (Ask::HttpHost("hooks.slack.com".into(), 8443), "http:hooks.slack.com:8443"),
            (Ask::HttpHost("evil.hooks.slack.com".into(), 443), "http:evil.hooks.slack.com:443"),
            (Ask::HttpHost("db".into(), 9200), "http:db:9200"),
            (Ask::HttpHost("[::1]".into(), 80), "http:[::1]:80"),
            (Ask::InspectCandidate, ""),
            (Ask::InspectLive, "inspect:live"),
            (Ask::InspectService(service("db")), "inspect:db"),
            (Ask::InspectService(service("live")), "inspect:service:live"),
            (Ask::Secret("TOKEN".into()), "secret:TOKEN"),
            (Ask::Secret("token".into()), "secret:token"),
        ]
    }

    #[test]
    fn every_ask_is_decided_by_its_own_grant_and_by_no_other() {
        let grants: Vec<Grant> =
            asks().iter().filter(|(_, text)| !text.is_empty()).map(|(_, text)| text.parse().unwrap()).collect();
        for (ask, text) in asks() {
            if text.is_empty() {
                assert_eq!(decide(&[], &ask), Ok(()), "{ask:?}");
                continue;
            }
            let needed: Grant = text.parse().unwrap();
            assert_eq!(decide(&[], &ask), Err(needed.clone()), "{ask:?}");
            for grant in &grants {
                let expected = if *grant == needed { Ok(()) } else { Err(needed.clone()) };
                assert_eq!(decide(std::slice::from_ref(grant), &ask), expected, "{ask:?} with {grant}");
            }
            let others: Vec<Grant> = grants.iter().filter(|grant| **grant != needed).cloned().collect();
            assert_eq!(decide(&others, &ask), Err(needed), "{ask:?}");
            assert_eq!(decide(&grants, &ask), Ok(()), "{ask:?}");
        }
    }

    #[test]
    fn every_refusal_prints_a_line_that_grants_it() {
        for (ask, text) in asks() {
            let Err(missing) = decide(&[], &ask) else { continue };
            assert_eq!(missing.to_string(), text);
            let refusal = missing.refusal();
            let line = refusal.split("allow: [ \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            assert_eq!(decide(&[line.parse().unwrap()], &ask), Ok(()), "{refusal}");
        }
    }

    #[test]
    fn a_host_without_a_port_grants_the_usual_two() {
        let granted: Vec<Grant> = vec!["http:Example.com".parse().unwrap()];
        let ask = |port| Ask::HttpHost("example.com".into(), port);
        assert_eq!(decide(&granted, &ask(80)), Ok(()));
        assert_eq!(decide(&granted, &ask(443)), Ok(()));
        assert_eq!(decide(&granted, &ask(22)).unwrap_err().to_string(), "http:example.com:22");
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        for bad in [
            "",
            "exec",
            "exec:",
            "exec:../x",
            "http:",
            "http:a b",
            "http:x:99999",
            "http:x:",
            "http:candidate",
            "http:x.candidate:80",
            "http:front-door",
            "read:x",
            "secret:",
            "secret:a b",
            "*",
            "exec:*",
        ] {
            assert!(bad.parse::<Grant>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_reads_well() {
        assert_eq!(
            Grant::ExecService(service("db")).refusal(),
            "to run a command in the service `db` is not granted; allow it with `allow: [ \"exec:db\" ]` beside the \
             hook in `x-swap`, or `--allow exec:db`"
        );
    }
}
