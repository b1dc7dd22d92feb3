//! `swap bench`: what swaps of a stack cost its users, measured on that stack by swapping an image to itself.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::arguments::Flags;
use crate::error::{Ended, Exit};
use crate::live::{Loader, Seen, Site};
use crate::model::{Failure, ServiceName, unknown_service};
use crate::ui::{Display, Format, Volume};

/// How long is measured without any swap before the first one.
const QUIET: Duration = Duration::from_secs(5);
/// What a swap may still do to clients after its end counts for it.
const AFTER: Duration = Duration::from_millis(500);

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Report {
    v: u32,
    service: String,
    url: String,
    /// Requests per second.
    rate: u32,
    /// Without any swap.
    quiet: Seen,
    /// From the beginning of each swap to half a second after its end.
    swaps: Vec<Seen>,
    /// All swaps together.
    during: Seen,
    /// How long each swap took, in milliseconds.
    took_ms: Vec<u64>,
}

/// Swaps the service's present image to itself again and again under a load and tells what the load saw. Exits 4 if a request
/// failed because of it, so that a script can rely on it.
pub async fn bench(flags: &Flags, service: &ServiceName, swaps: u32, rate: u32) -> Result<Exit, Ended> {
    let quiet = Display::new(Format::Text, Volume::Quiet);
    let site = Site::open(&flags.place(), &quiet).await?;
    if !site.services().contains(service) {
        return Err(Ended::new(Exit::Usage, unknown_service(service.as_str(), &site.services())));
    }
    let _locks = super::swap::held(&site, flags, service, &quiet).await?;
    let url = super::swap::front_door(&site, flags, service).await?;
    let said = |text: String| {
        if flags.output == Format::Text && !flags.quiet {
            eprintln!("{text}");
        }
    };
    said(format!("bench of {service}: {swaps} swaps to itself, {rate} requests/s at {url}"));
    let loader = Loader::start(&url, rate)?;
    tokio::time::sleep(QUIET).await;
    loader.settled().await;
    let calm = loader.seen(Duration::ZERO, loader.now());
    if calm.failed > 0 || calm.requests == 0 {
        let why = calm.first_failure.unwrap_or_else(|| "no answer".to_owned());
        return Err(Failure::new(format!(
            "{} of {} requests to {url} failed before any swap: {why}",
            calm.failed, calm.requests
        ))
        .hint("`--probe /path` names a path that answers well")
        .into());
    }
    let mut report = Report {
        v: 1,
        service: service.to_string(),
        url,
        rate,
        quiet: calm,
        swaps: Vec::new(),
        during: Seen::default(),
        took_ms: Vec::new(),
    };
    let mut whiles = Vec::new();
    for number in 1..=swaps {
        let from = loader.now();
        super::swap::once(&site, flags, service, &quiet).await?;
        let took = loader.now() - from;
        tokio::time::sleep(AFTER).await;
        whiles.push((from, loader.now()));
        report.took_ms.push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        said(format!("  swap {number} of {swaps}: {:.2} s", took.as_secs_f64()));
    }
    loader.settled().await;
    report.swaps = whiles.iter().map(|(from, to)| loader.seen(*from, *to)).collect();
    // One swap follows the other at once, so the whole while is that of the swaps.
    report.during = match (whiles.first(), whiles.last()) {
        (Some((from, _)), Some((_, to))) => loader.seen(*from, *to),
        _ => Seen::default(),
    };
    let text = match flags.output {
        Format::Json => serde_json::to_string(&report).unwrap_or_default() + "\n",
        Format::Text => table(&report),
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(if report.during.failed == 0 { Exit::Swapped } else { Exit::RolledBack })
}

/// Returns the report as people read it.
fn table(report: &Report) -> String {
    let mut text =
        format!("{:<10}{:>10}{:>8}{:>9}{:>9}{:>9}\n", "", "requests", "failed", "p50 ms", "p99 ms", "max ms");
    for (name, seen) in [("quiet", &report.quiet), ("swapping", &report.during)] {
        let Seen { requests, failed, p50_ms, p99_ms, max_ms, .. } = seen;
        let _ = writeln!(text, "{name:<10}{requests:>10}{failed:>8}{p50_ms:>9.1}{p99_ms:>9.1}{max_ms:>9.1}");
    }
    let mut took = report.took_ms.clone();
    took.sort_unstable();
    let seconds = |ms: Option<&u64>| ms.map_or(0.0, |ms| *ms as f64 / 1000.0);
    let worst = report.swaps.iter().map(|seen| seen.failed).max().unwrap_or_default();
    let _ = writeln!(
        text,
        "a swap takes {:.2} s (median of {}; {:.2} to {:.2})",
        seconds(took.get(took.len() / 2)),
        took.len(),
        seconds(took.first()),
        seconds(took.last()),
    );
    let _ = writeln!(
        text,
        "failed per swap: {:.1} on average, {worst} at most; p99 is {:.1} times the quiet one",
        report.during.failed as f64 / took.len().max(1) as f64,
        report.during.p99_ms / report.quiet.p99_ms.max(0.001),
    );
    if let Some(why) = &report.during.first_failure {
        let _ = writeln!(text, "the first failure: {why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_drops_latency_and_time() {
        let seen = |requests, failed, p50_ms, p99_ms, max_ms| Seen {
            requests,
            failed,
            p50_ms,
            p99_ms,
            max_ms,
            first_failure: None,
        };
        let mut report = Report {
            v: 1,
            service: "app".into(),
            url: "http://127.0.0.1/".into(),
            rate: 200,
            quiet: seen(1000, 0, 1.0, 2.0, 3.5),
            swaps: vec![seen(300, 0, 1.0, 3.0, 9.0), seen(310, 3, 1.0, 3.0, 9.0)],
            during: seen(610, 3, 1.1, 3.0, 19.25),
            took_ms: vec![1200, 1000],
        };
        report.during.first_failure = Some("status 502".into());
        assert_eq!(
            table(&report),
            "            requests  failed   p50 ms   p99 ms   max ms
quiet           1000       0      1.0      2.0      3.5
swapping         610       3      1.1      3.0     19.2
a swap takes 1.20 s (median of 2; 1.00 to 1.20)
failed per swap: 1.5 on average, 3 at most; p99 is 1.5 times the quiet one
the first failure: status 502
"
        );
    }
}
