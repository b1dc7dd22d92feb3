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
use crate::plan::ProbeWay;
use crate::run::trace::{By, Part, Probed, Reached, Samples};
use crate::text::short;

/// So many requests may be under way; when all of them hang, sending more would tell nothing new.
const MOST_UNDER_WAY: usize = 200;

/// A probe that is at work until it is dropped.
#[derive(Debug)]
pub(crate) struct Probe {
    url: String,
    rate: u32,
    began_ms: i64,
    shared: Arc<Shared>,
    _visits: Visits,
}

/// Returns who asks for a URL on its way.
pub(super) fn visitor(url: &str, way: Option<&ProbeWay>) -> Result<Visitor, Failure> {
    match way {
        Some(way) => Visitor::to(url, way.at, way.any_certificate),
        None => Visitor::new(url),
    }
}

/// What the requests of a probe share.
#[derive(Debug)]
struct Shared {
    began: Instant,
    samples: Mutex<Samples>,
    /// How answers name the containers: by address, or by the short id that is a container's host name.
    names: Mutex<Vec<(String, By)>>,
    /// How many packets the candidates had received when the switch began.
    received: Mutex<Option<u64>>,
}

impl Probe {
    /// Begins to ask for the URL, `rate` times a second. `live` are the containers that answer now.
    ///
    /// Nothing is asked again, so every failure is one that a user would have seen. The one exception is what browsers do
    /// too: where nginx closes a kept connection under a request, it is asked again on a new one.
    pub(crate) fn start(url: &str, way: Option<&ProbeWay>, rate: u32, live: &[Container]) -> Result<Self, Failure> {
        let visitor = Arc::new(visitor(url, way)?);
        let shared = Arc::new(Shared::default());
        shared.samples().reached(Reached::before(way.map(|way| &way.reaches)));
        shared.learn(live, By::Old);
        let began_ms = Timestamp::now().as_millisecond();
        let visits = Visits::start(rate, MOST_UNDER_WAY, {
            let shared = shared.clone();
            move |on| ask(visitor.clone(), on, shared.clone())
        })?;
        Ok(Self { url: url.to_owned(), rate, began_ms, shared, _visits: visits })
    }

    /// Learns which containers are the candidates, so that answers that name one are known to be theirs.
    pub(crate) fn candidates(&self, candidates: &[Container]) {
        self.shared.learn(candidates, By::New);
    }

    /// Notes how many packets the candidates have received before the switch. A second switch changes nothing.
    pub(crate) fn received_before(&self, packets: u64) {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(packets);
    }

    /// Judges by how many packets the candidates have received up to now whether they get the requests since the switch.
    /// Returns why they do not, where that is sure.
    pub(crate) fn received_since(&self, packets: u64) -> Option<String> {
        let before = (*self.shared.received.lock().unwrap_or_else(PoisonError::into_inner))?;
        self.shared.samples().received_since(packets.saturating_sub(before))
    }

    /// Tells whether nothing at all was answered before the switch, though it was asked.
    pub(crate) fn unanswered(&self) -> bool {
        self.shared.samples().unanswered()
    }

    /// Notes that new requests now go to the candidates. A second switch does not begin a new window.
    pub(crate) fn switched(&self) {
        let at = self.shared.now();
        // A request of the same millisecond may have begun before.
        self.shared.samples().switched(at.saturating_add(1));
    }

    /// Returns what was seen in a window; `None` for the time since a switch that has not come, where no answer ever came
    /// before the switch, and where nginx itself answers.
    pub(crate) fn measure(&self, window: Window) -> Option<Measurement> {
        let samples = self.shared.samples();
        if samples.never_answered() || samples.is_of_nginx() {
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
    pub(crate) fn worse(&self) -> Option<String> {
        self.shared.samples().worse()
    }

    /// Returns why the front door is not well at the end of a watch; see [`Samples::worse_at_last`].
    pub(crate) fn worse_at_last(&self, alone: bool) -> Option<String> {
        self.shared.samples().worse_at_last(alone)
    }

    /// Returns all that was counted up to now, for the summary and the report.
    pub(crate) fn probed(&self, service: &ServiceName) -> Probed {
        self.shared.samples().probed(service.clone(), self.url.clone(), self.rate, self.began_ms)
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self { began: Instant::now(), samples: Mutex::default(), names: Mutex::default(), received: Mutex::default() }
    }
}

impl Shared {
    fn samples(&self) -> MutexGuard<'_, Samples> {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.it_is(self.now());
        samples
    }

    /// Returns the milliseconds since the probe began.
    fn now(&self) -> u32 {
        millis(self.began.elapsed())
    }

    fn learn(&self, containers: &[Container], by: By) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.extend(self::names(containers, by));
    }

    /// Returns who answered, where a header names the container, as `add_header X-Upstream $upstream_addr always;` makes
    /// nginx do. Where it names several, nginx tried several, and the last one answered.
    fn answered_by(&self, headers: &HeaderMap) -> By {
        named(&self.names.lock().unwrap_or_else(PoisonError::into_inner), headers)
    }
}

/// Returns how answers name containers.
pub(super) fn names(containers: &[Container], by: By) -> Vec<(String, By)> {
    let of = |container: &Container| {
        let address = container.address.map(|address: SocketAddr| address.to_string());
        [Some(short(&container.id).to_owned()), address].into_iter().flatten().map(move |name| (name, by))
    };
    containers.iter().flat_map(of).collect()
}

/// Returns whom the headers of an answer name.
pub(super) fn named(names: &[(String, By)], headers: &HeaderMap) -> By {
    let between = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '=' | '"');
    let words = headers.values().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(between));
    let known = words.filter_map(|word| names.iter().find(|(name, _)| name == word));
    known.last().map_or(By::Unknown, |(_, by)| *by)
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Asks once and counts it.
async fn ask(visitor: Arc<Visitor>, on: On, shared: Arc<Shared>) {
    let began = Instant::now();
    let at = millis(began.duration_since(shared.began));
    shared.samples().begun(at);
    let mut visit = visitor.ask(on).await;
    if let Visit::Closed(_) = visit {
        shared.samples().reconnected();
        visit = visitor.ask(On::New).await;
    }
    let took = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
    match visit {
        Visit::Answered(status, headers) => {
            shared.samples().answered(at, took, shared.answered_by(&headers), status);
        }
        Visit::Failed(why, headers) => shared.samples().failed(at, took, shared.answered_by(&headers), why),
        Visit::Closed(why) => shared.samples().failed(at, took, By::Unknown, why),
    }
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
        let shared = Shared::default();
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
