//! Sends requests through the front door all through a run and counts what users would have seen.
//!
//! Its numbers are the summary's line, what `metrics` answers to hooks, what the watch is judged by, and the plot of the
//! report.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::HeaderMap;
use jiff::Timestamp;

use super::visitor::{On, Visit, Visitor, Visits};
use crate::hooks::{Measurement, Window};
use crate::model::{Container, Failure, ServiceName};
use crate::plan::short;
use crate::run::trace::{By, Part, Probed, Samples};

/// So many requests may be under way; when all of them hang, sending more would tell nothing new.
const MOST_UNDER_WAY: usize = 200;

/// A probe that is at work until it is dropped.
#[derive(Debug)]
pub struct Probe {
    url: String,
    rate: u32,
    began_ms: i64,
    shared: Arc<Shared>,
    _visits: Visits,
}

/// What the requests of a probe share.
#[derive(Debug)]
struct Shared {
    began: Instant,
    samples: Mutex<Samples>,
    /// How answers name the containers: by address, or by the short id that is a container's host name.
    names: Mutex<Vec<(String, By)>>,
}

impl Probe {
    /// Begins to ask for the URL, `rate` times a second. `live` are the containers that answer now.
    ///
    /// Nothing is asked again, so every failure is one that a user would have seen. The one exception is what browsers do
    /// too: where nginx closes a kept connection under a request, it is asked again on a new one.
    pub fn start(url: &str, rate: u32, live: &[Container]) -> Result<Self, Failure> {
        let visitor = Arc::new(Visitor::new(url)?);
        let shared = Arc::new(Shared { began: Instant::now(), samples: Mutex::default(), names: Mutex::default() });
        shared.learn(live, By::Old);
        let began_ms = Timestamp::now().as_millisecond();
        let visits = Visits::start(rate, MOST_UNDER_WAY, {
            let shared = shared.clone();
            move |on| ask(visitor.clone(), on, shared.clone())
        })?;
        Ok(Self { url: url.to_owned(), rate, began_ms, shared, _visits: visits })
    }

    /// Learns which containers are the candidates, so that answers that name one are known to be theirs.
    pub fn candidates(&self, candidates: &[Container]) {
        self.shared.learn(candidates, By::New);
    }

    /// Notes that new requests now go to the candidates. A second switch does not begin a new window.
    pub fn switched(&self) {
        let at = self.shared.now();
        // A request of the same millisecond may have begun before.
        self.shared.samples().switched(at.saturating_add(1));
    }

    /// Returns what was seen in a window; `None` for the time since a switch that has not come, and where no answer ever came
    /// before the switch.
    pub fn measure(&self, window: Window) -> Option<Measurement> {
        let samples = self.shared.samples();
        if samples.never_answered() {
            return None;
        }
        let part = match window {
            Window::Before => Part::Before,
            Window::SinceSwitch => Part::Since,
        };
        let numbers = samples.numbers(part)?;
        let switched = samples.switched_at().unwrap_or(self.shared.now());
        let lasted = match part {
            Part::Before => switched,
            Part::Since => self.shared.now().saturating_sub(switched),
        };
        let time = |us: u32| Duration::from_micros(us.into());
        Some(Measurement {
            requests: numbers.requests,
            failures: numbers.failures,
            duration: Duration::from_millis(lasted.into()),
            p50: time(numbers.p50),
            p90: time(numbers.p90),
            p99: time(numbers.p99),
            max: time(numbers.max),
        })
    }

    /// Returns why the front door is worse since the switch than it was before; `None` while it is not.
    pub fn worse(&self) -> Option<String> {
        self.shared.samples().worse()
    }

    /// Returns all that was counted up to now, for the summary and the report.
    pub fn probed(&self, service: &ServiceName) -> Probed {
        self.shared.samples().probed(service.clone(), self.url.clone(), self.rate, self.began_ms)
    }
}

impl Shared {
    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the milliseconds since the probe began.
    fn now(&self) -> u32 {
        millis(self.began.elapsed())
    }

    fn learn(&self, containers: &[Container], by: By) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for container in containers {
            names.push((short(&container.id).to_owned(), by));
            names.extend(container.address.iter().map(|address: &SocketAddr| (address.to_string(), by)));
        }
    }

    /// Returns who answered, where a header names the container, as `add_header X-Upstream $upstream_addr always;` makes
    /// nginx do. Where it names several, nginx tried several, and the last one answered.
    fn answered_by(&self, headers: &HeaderMap) -> By {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let between = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '=' | '"');
        let words = headers.values().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(between));
        let known = words.filter_map(|word| names.iter().find(|(name, _)| name == word));
        known.last().map_or(By::Unknown, |(_, by)| *by)
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Asks once and counts it.
async fn ask(visitor: Arc<Visitor>, on: On, shared: Arc<Shared>) {
    let began = Instant::now();
    let at = millis(began.duration_since(shared.began));
    let mut visit = visitor.ask(on).await;
    if let Visit::Closed(_) = visit {
        shared.samples().reconnected();
        visit = visitor.ask(On::New).await;
    }
    let (headers, failure) = match visit {
        Visit::Answered(headers) => (headers, None),
        Visit::Failed(why, headers) => (headers, Some(why)),
        Visit::Closed(why) => (HeaderMap::new(), Some(why)),
    };
    let took = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
    shared.samples().add(at, took, shared.answered_by(&headers), failure);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_who_gave_it_where_a_header_names_the_container() {
        let container = |id: &str, address: &str| Container {
            id: id.repeat(8),
            name: String::new(),
            image: String::new(),
            address: address.parse().ok(),
        };
        let shared = Shared { began: Instant::now(), samples: Mutex::default(), names: Mutex::default() };
        shared.learn(&[container("01234567", "172.18.0.2:80")], By::Old);
        shared.learn(&[container("89abcdef", "172.18.0.22:80")], By::New);
        let by = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("server", "nginx".parse().unwrap());
            headers.insert("x-upstream", value.parse().unwrap());
            shared.answered_by(&headers)
        };
        assert_eq!(by("172.18.0.2:80"), By::Old);
        assert_eq!(by("172.18.0.22:80"), By::New);
        assert_eq!(by("172.18.0.2:80, 172.18.0.22:80"), By::New);
        assert_eq!(by("upstream=\"172.18.0.2:80\""), By::Old);
        assert_eq!(by("89abcdef89ab"), By::New);
        assert_eq!(by("172.18.0.2:8080"), By::Unknown);
    }
}
