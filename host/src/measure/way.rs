//! The way of a probe's requests: which door of nginx they take, and the proof that they reach the application.
//!
//! What nginx answers by itself (a redirect, its own 400, 403 or 404, a page from its cache) says nothing about a version.
//! nginx's configuration only tells which doors are worth a try; what counts is the proof: an answer that names the live
//! container, or that the container's kernel has received what was sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use hyper::HeaderMap;
use hyper::header::LOCATION;
use url::Url;

use super::probe;
use super::visitor::{On, Visit, Visitor};
use crate::docker::{Docker, Published, Received};
use crate::model::{Container, Failure, Notice, Reaches, ServiceName};
use crate::nginx::{Door, Passes};
use crate::plan::ProbeWay;
use crate::run::trace::By;

/// So many doors are tried.
const MOST_DOORS: usize = 4;
/// So many redirects are followed.
const MOST_HOPS: usize = 5;
/// How long the first answer may take.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// So long nothing is sent at first, to see what others send.
const QUIET: Duration = Duration::from_millis(60);
/// What is sent to see whether it arrives, where others send little.
const FEW: Burst = Burst { requests: 20, at_once: 5, padding: 1000 };
/// And where they send much. Longer requests would be too long for some applications.
const MANY: Burst = Burst { requests: 100, at_once: 20, padding: 3000 };
/// So many times many requests must stand out.
const MANY_TIMES: usize = 4;
/// How often it is tried in all.
const MOST_ROUNDS: usize = 6;

/// Requests that are sent to see whether they arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Burst {
    requests: usize,
    at_once: usize,
    /// Each is longer by so many bytes, so that it stands out from what others send.
    padding: usize,
}

/// A door of nginx as this machine reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// Scheme, name and port, as a client writes them: `https://shop.example.com:8443`.
    origin: String,
    at: SocketAddr,
    /// The port that nginx listens on.
    inner: u16,
}

/// Where nginx runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Home {
    /// In the network of the engine's machine.
    Host,
    /// In a container: the ports of the machine that lead to it, and its address.
    Container(Vec<Published>, Option<IpAddr>),
}

/// Returns how this machine reaches the doors, those first that most likely lead to the service.
pub(crate) fn ways(doors: &[Door], upstream: &ServiceName, home: &Home) -> Vec<Way> {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut found: Vec<((Passes, bool, bool, bool), Way)> = Vec::new();
    for door in doors.iter().filter(|door| door.default || !door.names.is_empty()) {
        let (at, published): (Vec<SocketAddr>, bool) = match home {
            Home::Host => (vec![SocketAddr::new(door.ip.unwrap_or(local), door.port)], true),
            Home::Container(..) if door.ip.is_some_and(|ip| ip.is_loopback()) => continue,
            Home::Container(published, ip) => {
                let leads = published.iter().filter(|published| published.inner == door.port);
                let at: Vec<SocketAddr> =
                    leads.map(|published| SocketAddr::new(published.ip.unwrap_or(local), published.port)).collect();
                match at.is_empty() {
                    true => (ip.iter().map(|ip| SocketAddr::new(*ip, door.port)).collect(), false),
                    false => (at, true),
                }
            }
        };
        let scheme = if door.tls { "https" } else { "http" };
        for at in at {
            let usual = if door.tls { 443 } else { 80 };
            let origin = match door.names.first() {
                Some(name) if at.port() == usual => format!("{scheme}://{name}"),
                Some(name) => format!("{scheme}://{name}:{}", at.port()),
                None => format!("{scheme}://{at}"),
            };
            let rank = (door.passes(upstream), !published, door.tls, !door.default);
            found.push((rank, Way { origin, at, inner: door.port }));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    let mut ways: Vec<Way> = found.into_iter().map(|(_, way)| way).collect();
    if let (true, Home::Container(published, ip)) = (ways.is_empty(), home) {
        // Nothing that nginx says of itself is understood: where it is published, else its own address.
        let first =
            published.first().map(|first| (SocketAddr::new(first.ip.unwrap_or(local), first.port), first.inner));
        let at = first.or(ip.map(|ip| (SocketAddr::new(ip, 80), 80)));
        ways.extend(at.map(|(at, inner)| Way { origin: format!("http://{at}"), at, inner }));
    }
    ways
}

/// One address that may be asked.
#[derive(Debug, Clone)]
struct Target {
    url: Url,
    at: Option<SocketAddr>,
    any_certificate: bool,
}

/// What is asked, and what is known of who gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The URL.
    pub url: String,
    /// The rest.
    pub way: ProbeWay,
    /// The status of the answer; `None`: there was none.
    pub status: Option<u16>,
}

/// What was seen when the front door was asked for a page of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// What was asked for.
    pub url: String,
    /// Who answered.
    pub reaches: Reaches,
    /// The status of the answer; `None`: there was none.
    pub status: Option<u16>,
    /// The live containers from which no answer came.
    pub silent: Vec<String>,
}

/// Finds what the probe asks so that its requests reach the live containers: `wanted` is a path, or a URL that leads to nginx.
///
/// Sends some `GET` of it. Fails where nothing could be asked at all.
pub(crate) async fn settle(
    docker: &Docker,
    wanted: &str,
    ways: &[Way],
    live: &[Container],
) -> Result<Settled, Failure> {
    let mut targets = Vec::new();
    if wanted.starts_with('/') {
        for way in ways.iter().take(MOST_DOORS) {
            let url = parsed(&format!("{}{wanted}", way.origin))?;
            targets.push(Target { url, at: Some(way.at), any_certificate: true });
        }
    } else {
        let url = parsed(wanted)?;
        // Behind its public name a site has a certificate that holds; on this machine itself it may be anybody's.
        let any_certificate = is_here(&url).await;
        targets.push(Target { url, at: None, any_certificate });
    }
    let mut first = None;
    for target in targets {
        let (target, status, reaches) = follow(docker, target, ways, live).await?;
        let reached = matches!(reaches, Reaches::Live { .. });
        let Target { url, at, any_certificate } = target;
        let settled = Settled { url: url.into(), way: ProbeWay { at, any_certificate, reaches }, status };
        if reached {
            return Ok(settled);
        }
        first.get_or_insert(settled);
    }
    first.ok_or_else(|| Failure::new("nginx has no door that could be asked"))
}

fn parsed(url: &str) -> Result<Url, Failure> {
    url.parse().map_err(|error| Failure::new(format!("`{url}` is not a URL that could be asked for: {error}")))
}

async fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let looked_up = tokio::net::lookup_host((host, url.port_or_known_default().unwrap_or(80)));
    match tokio::time::timeout(FIRST_ANSWER, looked_up).await {
        Ok(Ok(found)) => found.map(|at| at.ip().to_canonical()).all(|ip| ip.is_loopback()),
        _ => false,
    }
}

/// Asks, follows what only leads to another door, and proves who answers in the end.
async fn follow(
    docker: &Docker,
    mut target: Target,
    ways: &[Way],
    live: &[Container],
) -> Result<(Target, Option<u16>, Reaches), Failure> {
    let (mut why, mut last) = (String::new(), None);
    for _ in 0..MOST_HOPS {
        let visitor = Visitor::to(target.url.as_str(), target.at, target.any_certificate)?;
        let asked = tokio::time::timeout(FIRST_ANSWER, visitor.ask(On::New)).await;
        let (status, headers) = match asked {
            Ok(Visit::Answered(status, headers)) => (status, headers),
            Ok(Visit::Failed(why, _) | Visit::Closed(why)) => return Ok((target, None, Reaches::Unknown { why })),
            Err(_) => {
                let why = format!("no answer within {}", humantime::format_duration(FIRST_ANSWER));
                return Ok((target, None, Reaches::Unknown { why }));
            }
        };
        let next = (300..400).contains(&status).then(|| led_to(&target, &headers, ways)).flatten();
        let elsewhere = next.as_ref().is_some_and(|next| next.url.origin() != target.url.origin());
        if !elsewhere {
            let reaches = prove(docker, &target, &visitor, &headers, status, live).await;
            if matches!(reaches, Reaches::Live { .. }) || next.is_none() {
                return Ok((target, Some(status), reaches));
            }
        }
        last = Some(status);
        why = format!("it is redirected again and again, at last from {}", target.url);
        let Some(next) = next else { break };
        target = next;
    }
    Ok((target, last, Reaches::NotLive { why }))
}

/// Returns where an answer redirects to, if that is a door of this nginx too.
fn led_to(target: &Target, headers: &HeaderMap, ways: &[Way]) -> Option<Target> {
    let url = target.url.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    if url.origin() == target.url.origin() {
        return Some(Target { url, ..target.clone() });
    }
    let same_host = url.host_str() == target.url.host_str();
    let port = url.port_or_known_default()?;
    let fits = |way: &&Way| {
        let origin: Option<Url> = way.origin.parse().ok();
        let known = origin.as_ref().is_some_and(|origin| origin.host_str() == url.host_str());
        let scheme = way.origin.split("://").next() == Some(url.scheme());
        scheme && (known || same_host) && (way.inner == port || way.at.port() == port)
    };
    let named = |way: &&Way| way.origin.contains(url.host_str().unwrap_or_default());
    let way = ways.iter().filter(fits).find(named).or_else(|| ways.iter().find(fits));
    match way {
        Some(way) => {
            let mut url = url;
            let _ = url.set_port(Some(way.at.port()));
            Some(Target { url, at: Some(way.at), any_certificate: true })
        }
        None => same_host.then_some(Target { url, at: None, ..*target }),
    }
}

/// Proves that what is asked reaches the live containers.
async fn prove(
    docker: &Docker,
    target: &Target,
    visitor: &Visitor,
    headers: &HeaderMap,
    status: u16,
    live: &[Container],
) -> Reaches {
    if probe::named(&probe::names(live, By::Old), headers) == By::Old {
        return Reaches::Live { proof: "its answers name the container".to_owned() };
    }
    let (mut rounds, mut quiet) = (Vec::<Round>::new(), QUIET);
    for _ in 0..MOST_ROUNDS {
        let burst = if rounds.is_empty() { FEW } else { MANY };
        match round(docker, visitor, burst, quiet, live).await {
            Ok((round, took)) => {
                rounds.push(round);
                quiet = took.max(QUIET);
            }
            Err(failure) if answers_alike(target, headers, status, live).await => return alike(failure.what),
            Err(failure) => return Reaches::Unknown { why: failure.what },
        }
        match arrived(&rounds) {
            Arrived::All => {
                let proof = format!("the container received {} requests that were sent to see", burst.requests);
                return Reaches::Live { proof };
            }
            Arrived::Not => {
                let why = format!("nginx itself answers {status}, and the container receives nothing of it");
                return Reaches::NotLive { why };
            }
            Arrived::NotKnown => {}
        }
    }
    if answers_alike(target, headers, status, live).await {
        return alike("others send it much".to_owned());
    }
    Reaches::Unknown {
        why: "others send the container so much that it does not show; `add_header X-Upstream $upstream_addr always;` in nginx \
              would tell"
            .to_owned(),
    }
}

fn alike(why: String) -> Reaches {
    Reaches::Live {
        proof: format!("it answers with the headers of the container itself, whose counters do not tell: {why}"),
    }
}

/// Tells whether a live container that is asked directly answers as the door did: the same status, and a header that nginx does
/// not make, with the same value.
async fn answers_alike(target: &Target, headers: &HeaderMap, status: u16, live: &[Container]) -> bool {
    let Some(address) = live.first().and_then(|container| container.address) else { return false };
    let mut url = target.url.clone();
    // From one of the schemes of the web to the other, which never fails.
    let _ = url.set_scheme("http");
    let Ok(visitor) = Visitor::to(url.as_str(), Some(address), true) else { return false };
    match tokio::time::timeout(FIRST_ANSWER, visitor.ask(On::New)).await {
        Ok(Visit::Answered(direct, of_container)) => direct == status && share_a_header(headers, &of_container),
        _ => false,
    }
}

/// The headers of answers that nginx makes by itself.
const OF_NGINX: [&str; 19] = [
    "accept-ranges",
    "allow",
    "alt-svc",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "expires",
    "keep-alive",
    "last-modified",
    "location",
    "server",
    "strict-transport-security",
    "transfer-encoding",
    "vary",
    "www-authenticate",
];

fn share_a_header(door: &HeaderMap, container: &HeaderMap) -> bool {
    let own = container.iter().filter(|(name, _)| !OF_NGINX.contains(&name.as_str()));
    own.into_iter().any(|(name, value)| door.get_all(name).iter().any(|other| other == value))
}

/// What containers received, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Round {
    /// While nothing was sent, for the time that the burst then took.
    others: u64,
    /// While the burst was sent.
    all: u64,
    /// What the burst has at least.
    sent: u64,
}

/// Sends nothing for a while, then a burst. Returns what was received, and how long the burst took.
async fn round(
    docker: &Docker,
    visitor: &Visitor,
    burst: Burst,
    quiet: Duration,
    live: &[Container],
) -> Result<(Round, Duration), Failure> {
    let padded = visitor.padded(burst.padding);
    let before = received(docker, live).await?;
    let began = Instant::now();
    tokio::time::sleep(quiet).await;
    let between = received(docker, live).await?;
    let waited = began.elapsed();
    let sending = async {
        for _ in 0..burst.requests / burst.at_once {
            join_all((0..burst.at_once).map(|_| padded.ask(On::Kept))).await;
        }
    };
    // What is not answered has arrived all the same, or has not.
    let _ = tokio::time::timeout(FIRST_ANSWER, sending).await;
    let after = received(docker, live).await?;
    let took = began.elapsed() - waited;
    let of_others = between.bytes.saturating_sub(before.bytes) as f64;
    let others = of_others * took.as_secs_f64() / waited.as_secs_f64();
    let sent = (burst.requests * burst.padding) as u64;
    Ok((Round { others: others as u64, all: after.bytes.saturating_sub(between.bytes), sent }, took))
}

/// Whether what was sent has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrived {
    All,
    Not,
    NotKnown,
}

/// Less than what was sent is a proof that it did not arrive. More is one where others send little; where they send much, every
/// time with the requests must stand out from every time without them.
fn arrived(rounds: &[Round]) -> Arrived {
    // One look may be a mishap.
    if rounds.iter().filter(|round| round.all < round.sent).count() >= 2 {
        return Arrived::Not;
    }
    let Some(last) = rounds.last().filter(|last| last.all >= last.sent) else { return Arrived::NotKnown };
    if last.others < last.sent / 10 {
        return Arrived::All;
    }
    let many: Vec<&Round> = rounds.iter().filter(|round| round.sent == last.sent).collect();
    let most = many.iter().map(|round| round.others).max().unwrap_or_default();
    let stands_out = many.iter().all(|round| round.all >= most + round.sent / 2);
    if many.len() >= MANY_TIMES && stands_out { Arrived::All } else { Arrived::NotKnown }
}

/// Returns what containers have received together.
pub(crate) async fn received(docker: &Docker, containers: &[Container]) -> Result<Received, Failure> {
    let each = try_join_all(containers.iter().map(|container| docker.received(&container.id))).await?;
    Ok(each.into_iter().fold(Received::default(), |all, one| Received {
        packets: all.packets + one.packets,
        bytes: all.bytes + one.bytes,
    }))
}

/// Returns those of several containers that receive nothing of what is asked again and again on a way that leads to them.
pub(crate) async fn silent(docker: &Docker, settled: &Settled, live: &[Container]) -> Result<Vec<String>, Failure> {
    let visitor = probe::visitor(&settled.url, Some(&settled.way))?;
    let mut silent: Vec<&Container> = live.iter().filter(|_| live.len() > 1).collect();
    for _ in 0..MOST_ROUNDS {
        let mut still = Vec::new();
        let mut before = Vec::new();
        for container in &silent {
            before.push(docker.received(&container.id).await?);
        }
        if silent.is_empty() {
            break;
        }
        let padded = visitor.padded(FEW.padding);
        let asked = join_all((0..FEW.requests).map(|_| padded.ask(On::New)));
        let _ = tokio::time::timeout(FIRST_ANSWER, asked).await;
        for (container, before) in silent.iter().zip(before) {
            let received = docker.received(&container.id).await?.bytes.saturating_sub(before.bytes);
            if received < FEW.padding as u64 {
                still.push(*container);
            }
        }
        silent = still;
    }
    Ok(silent.into_iter().map(|container| container.name.clone()).collect())
}

/// Returns what a plan says of a way that is not proved.
pub(crate) fn notice(settled: &Settled, live: &[Container]) -> Option<Notice> {
    let names: Vec<&str> = live.iter().map(|container| container.name.as_str()).collect();
    let (said, why) = match &settled.way.reaches {
        Reaches::Live { .. } => return None,
        Reaches::NotLive { why } => ("the probe's requests do not reach", why),
        Reaches::Unknown { why } => ("it is not known whether the probe's requests reach", why),
    };
    Some(Notice::new(format!(
        "{said} {}: {} ({why}); name what users ask, as `--probe https://shop.example.com/up`",
        names.join(", "),
        settled.url
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(port: u16, tls: bool, name: &str, passes: Passes) -> Door {
        let names = if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
        let passes = if passes == Passes::Service { vec!["app".to_owned()] } else { Vec::new() };
        Door { ip: None, port, tls, default: true, names, passes, paths: Vec::new() }
    }

    #[track_caller]
    fn check(doors: &[Door], published: &[(u16, u16)], expected: &[&str]) {
        let published =
            published.iter().map(|(port, inner)| Published { inner: *inner, port: *port, ip: None }).collect();
        let found = ways(doors, &"app".parse().unwrap(), &Home::Container(published, "172.18.0.9".parse().ok()));
        let text: Vec<String> = found.iter().map(|way| format!("{} at {}", way.origin, way.at)).collect();
        assert_eq!(text, expected);
    }

    #[test]
    fn the_door_that_leads_to_the_service_comes_first() {
        let pair = [door(80, false, "shop.test", Passes::Nobody), door(443, true, "shop.test", Passes::Service)];
        check(
            &pair,
            &[(443, 443), (80, 80)],
            &["https://shop.test at 127.0.0.1:443", "http://shop.test at 127.0.0.1:80"],
        );
        check(
            &pair,
            &[(8443, 443)],
            &["https://shop.test:8443 at 127.0.0.1:8443", "http://shop.test at 172.18.0.9:80"],
        );
        let both = [door(443, true, "", Passes::Service), door(80, false, "", Passes::Service)];
        check(
            &both,
            &[(9443, 443), (9080, 80)],
            &["http://127.0.0.1:9080 at 127.0.0.1:9080", "https://127.0.0.1:9443 at 127.0.0.1:9443"],
        );
        check(&[], &[(9443, 443)], &["http://127.0.0.1:9443 at 127.0.0.1:9443"]);
        let status = Door { ip: "127.0.0.1".parse().ok(), ..door(8081, false, "", Passes::Nobody) };
        let unnamed = Door { default: false, ..door(80, false, "", Passes::Service) };
        check(&[status, unnamed], &[], &["http://172.18.0.9:80 at 172.18.0.9:80"]);
    }

    #[test]
    fn a_redirect_is_followed_to_the_doors_of_this_nginx_only() {
        let pair = [door(80, false, "shop.test", Passes::Nobody), door(443, true, "shop.test", Passes::Service)];
        let published = [(9443, 443), (9080, 80)].map(|(port, inner)| Published { inner, port, ip: None });
        let ways = ways(&pair, &"app".parse().unwrap(), &Home::Container(published.to_vec(), None));
        let target = Target {
            url: "http://shop.test:9080/up".parse().unwrap(),
            at: "127.0.0.1:9080".parse().ok(),
            any_certificate: true,
        };
        let led = |location: &str| {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            led_to(&target, &headers, &ways).map(|next| (next.url.to_string(), next.at.map(|at| at.port())))
        };
        let secure = Some(("https://shop.test:9443/up".to_owned(), Some(9443)));
        assert_eq!(led("https://shop.test/up"), secure);
        assert_eq!(led("https://shop.test:9443/up"), secure);
        assert_eq!(led("/login"), Some(("http://shop.test:9080/login".to_owned(), Some(9080))));
        assert_eq!(led("https://elsewhere.test/up"), None);
        assert_eq!(led("mailto:a@b"), None);
    }

    #[test]
    fn an_answer_is_the_containers_if_it_has_a_header_that_nginx_does_not_make() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let container = headers(&[("server", "Apache"), ("cache-control", "no-store"), ("x-version", "v1")]);
        assert!(share_a_header(&headers(&[("server", "nginx"), ("x-version", "v1")]), &container));
        assert!(!share_a_header(&headers(&[("server", "Apache"), ("cache-control", "no-store")]), &container));
        assert!(!share_a_header(&headers(&[("x-version", "v2")]), &container));
    }

    #[test]
    fn what_was_sent_must_be_received_and_stand_out() {
        let few = |others, all| Round { others, all, sent: 20_000 };
        let many = |others, all| Round { others, all, sent: 300_000 };
        assert_eq!(arrived(&[few(0, 31_000)]), Arrived::All);
        assert_eq!(arrived(&[few(0, 300)]), Arrived::NotKnown, "one look may be a mishap");
        assert_eq!(arrived(&[few(0, 300), many(0, 40)]), Arrived::Not);
        assert_eq!(arrived(&[few(0, 300), many(0, 310_000)]), Arrived::All);
        let busy = [few(90_000, 99_000), many(400_000, 640_000), many(390_000, 700_000), many(410_000, 600_000)];
        assert_eq!(arrived(&busy), Arrived::NotKnown, "it may be the others'");
        assert_eq!(arrived(&[&busy[..], &[many(400_000, 650_000)]].concat()), Arrived::All);
        assert_eq!(arrived(&[&busy[..], &[many(500_000, 650_000)]].concat()), Arrived::NotKnown);
    }
}
