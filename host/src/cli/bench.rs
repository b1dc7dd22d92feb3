//! `swap bench`: what swaps of a stack cost its users, measured on that stack by swapping an image to itself.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use serde::Serialize;

use super::arguments::Flags;
use super::swap::Alone;
use crate::error::{Ended, Exit};
use crate::measure::{Loader, Seen};
use crate::model::{Failure, ServiceName, unknown_service};
use crate::site::Site;
use crate::ui::{self, Display, Format, Volume};

/// How long is measured without any swap before the first one.
const QUIET: Duration = Duration::from_secs(5);
/// What a swap may still do to clients after its end counts for it.
const AFTER: Duration = Duration::from_millis(500);

/// What is to be measured.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many swaps.
    pub swaps: u32,
    /// How many requests per second.
    pub rate: u32,
    /// Whether the plain script is measured too.
    pub baseline: bool,
    /// Whether nobody has to be asked.
    pub yes: bool,
}

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
    /// The swaps.
    #[serde(flatten)]
    swap: Measured,
    /// The same with the plain script.
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<Measured>,
}

/// What one way of replacing containers cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Measured {
    /// Each time from its beginning to half a second after its end.
    each: Vec<Seen>,
    /// All of them together.
    during: Seen,
    /// How long each took, in milliseconds.
    took_ms: Vec<u64>,
}

/// Swaps the service's present image to itself again and again under a load and tells what the load saw. Exits 4 if a request
/// failed because of swap, so that a script can rely on it.
pub async fn bench(flags: &Flags, service: &ServiceName, load: Load) -> Result<Exit, Ended> {
    if load.baseline && !load.yes && !agreed(service)? {
        ui::complain("nothing was done\n");
        return Ok(Exit::Refused);
    }
    let quiet = Display::new(Format::Text, Volume::Quiet);
    let site = Site::open(&flags.place(), Some(service), &quiet).await?;
    if !site.services().contains(service) {
        return Err(Ended::new(Exit::Usage, unknown_service(service.as_str(), &site.services())));
    }
    let mut alone = super::swap::alone(&site, flags, service, &quiet).await?;
    let ended = measure(&site, flags, service, load, &mut alone, &quiet).await;
    alone.held.release().await;
    ended
}

/// Measures a service whose lock is held.
async fn measure(
    site: &Site,
    flags: &Flags,
    service: &ServiceName,
    load: Load,
    alone: &mut Alone,
    quiet: &Display,
) -> Result<Exit, Ended> {
    let Load { swaps, rate, baseline, .. } = load;
    let front = super::swap::front(site, flags, service).await?;
    let url = front.probe.clone().unwrap_or_default();
    let say = |text: String| {
        if flags.output == Format::Text && !flags.quiet {
            ui::complain(&format!("{text}\n"));
        }
    };
    say(format!("bench of {service}: {swaps} swaps to itself, {rate} requests/s at {url}"));
    let loader = Loader::start(&url, front.probe_way.as_ref(), rate)?;
    tokio::time::sleep(QUIET).await;
    loader.settled().await;
    let calm = loader.seen(Duration::ZERO, loader.now());
    if calm.failed > 0 || calm.requests == 0 {
        let why = calm.first_failure.unwrap_or_else(|| "no answer".to_owned());
        let what = format!("{} of {} requests to {url} failed before any swap: {why}", calm.failed, calm.requests);
        return Err(Failure::new(what).hint("`--probe /path` names a path that answers well").into());
    }
    let mut swap = Clocked::new(&loader);
    for number in 1..=swaps {
        let began = loader.now();
        super::swap::once(site, flags, service, alone, quiet).await?;
        say(format!("  swap {number} of {swaps}: {:.2} s", swap.add(began).await));
    }
    let mut script = Clocked::new(&loader);
    if baseline {
        site.name_by_dns(service, &front).await?;
        for number in 1..=swaps {
            let began = loader.now();
            site.swap_by_script(service, &front).await?;
            say(format!("  script {number} of {swaps}: {:.2} s", script.add(began).await));
        }
    }
    let (swap, script) = (swap.measured().await, script.measured().await);
    if baseline {
        // The last one is swap's, which names the containers by address again.
        super::swap::once(site, flags, service, alone, quiet).await?;
    }
    let report =
        Report { v: 1, service: service.to_string(), url, rate, quiet: calm, swap, script: baseline.then_some(script) };
    let text = match flags.output {
        Format::Json => serde_json::to_string(&report).unwrap_or_default() + "\n",
        Format::Text => table(&report),
    };
    ui::print(&text);
    Ok(if report.swap.during.failed == 0 { Exit::Swapped } else { Exit::RolledBack })
}

/// Asks whether requests may be dropped. Without a terminal nobody can be asked.
fn agreed(service: &ServiceName) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("`--baseline script` drops requests, and there is no terminal to ask whether it may")
            .hint(format!("`swap bench {service} --baseline script --yes`")));
    }
    ui::complain(&format!("the plain script drops requests of `{service}`; go on? [y/N] "));
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Takes the time of one way of replacing containers, again and again.
struct Clocked<'a> {
    loader: &'a Loader,
    whiles: Vec<(Duration, Duration)>,
    took_ms: Vec<u64>,
}

impl<'a> Clocked<'a> {
    fn new(loader: &'a Loader) -> Self {
        Self { loader, whiles: Vec::new(), took_ms: Vec::new() }
    }

    /// Adds what began then and has just ended. Returns how many seconds it took.
    async fn add(&mut self, began: Duration) -> f64 {
        let took = self.loader.now() - began;
        tokio::time::sleep(AFTER).await;
        self.whiles.push((began, self.loader.now()));
        self.took_ms.push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        took.as_secs_f64()
    }

    /// Ends it: what the load saw each time and in all. One follows the other at once, so the whole while counts.
    async fn measured(self) -> Measured {
        let (Some((from, _)), Some((_, to))) = (self.whiles.first(), self.whiles.last()) else {
            return Measured::default();
        };
        self.loader.settled().await;
        let seen = |(from, to): &(Duration, Duration)| self.loader.seen(*from, *to);
        let each = self.whiles.iter().map(seen).collect();
        Measured { each, during: self.loader.seen(*from, *to), took_ms: self.took_ms }
    }
}

/// Returns the report as people read it.
fn table(report: &Report) -> String {
    let mut text =
        format!("{:<10}{:>10}{:>8}{:>9}{:>9}{:>9}\n", "", "requests", "failed", "p50 ms", "p99 ms", "max ms");
    let Report { quiet, swap, script, .. } = report;
    let rows =
        [("quiet", Some(quiet)), ("swap", Some(&swap.during)), ("script", script.as_ref().map(|way| &way.during))];
    for (name, seen) in rows {
        let Some(Seen { requests, failed, p50_ms, p99_ms, max_ms, .. }) = seen else { continue };
        let _ = writeln!(text, "{name:<10}{requests:>10}{failed:>8}{p50_ms:>9.1}{p99_ms:>9.1}{max_ms:>9.1}");
    }
    for (name, way) in [("swap", Some(swap)), ("script", script.as_ref())] {
        let Some(Measured { each, during, took_ms }) = way else { continue };
        let mut took = took_ms.clone();
        took.sort_unstable();
        let seconds = |ms: Option<&u64>| ms.map_or(0.0, |ms| *ms as f64 / 1000.0);
        let _ = writeln!(
            text,
            "{name}: {:.2} s each (median of {}; {:.2} to {:.2}), {:.1} failed requests on average, {} at most, p99 {:.1} times \
             the quiet one",
            seconds(took.get(took.len() / 2)),
            took.len(),
            seconds(took.first()),
            seconds(took.last()),
            during.failed as f64 / took.len().max(1) as f64,
            each.iter().map(|seen| seen.failed).max().unwrap_or_default(),
            during.p99_ms / quiet.p99_ms.max(0.001),
        );
        if let Some(why) = &during.first_failure {
            let _ = writeln!(text, "{name}: the first failure: {why}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_drops_latency_and_time_of_both_ways() {
        let seen = |requests, failed, p50_ms, p99_ms, max_ms| Seen {
            requests,
            failed,
            p50_ms,
            p99_ms,
            max_ms,
            first_failure: (failed > 0).then(|| "status 502".to_owned()),
        };
        let mut report = Report {
            v: 1,
            service: "app".into(),
            url: "http://127.0.0.1/".into(),
            rate: 200,
            quiet: seen(1000, 0, 1.0, 2.0, 3.5),
            swap: Measured {
                each: vec![seen(300, 0, 1.0, 3.0, 9.0), seen(310, 0, 1.0, 3.0, 9.0)],
                during: seen(610, 0, 1.1, 3.0, 19.25),
                took_ms: vec![1200, 1000],
            },
            script: None,
        };
        let head = "            requests  failed   p50 ms   p99 ms   max ms\n";
        let rows = "\
quiet           1000       0      1.0      2.0      3.5
swap             610       0      1.1      3.0     19.2
";
        let swap = "swap: 1.20 s each (median of 2; 1.00 to 1.20), 0.0 failed requests on average, 0 at most, p99 1.5 times the quiet one\n";
        assert_eq!(table(&report), format!("{head}{rows}{swap}"));
        let each = vec![seen(100, 7, 1.0, 8.0, 9.0)];
        report.script = Some(Measured { each, during: seen(100, 7, 1.0, 8.0, 9.0), took_ms: vec![2000] });
        let script = "\
script: 2.00 s each (median of 1; 2.00 to 2.00), 7.0 failed requests on average, 7 at most, p99 4.0 times the quiet one
script: the first failure: status 502
";
        let row = "script           100       7      1.0      8.0      9.0\n";
        assert_eq!(table(&report), format!("{head}{rows}{row}{swap}{script}"));
    }
}
