//! `swap bench`: what swaps of a stack cost its users, measured on that stack by swapping an image to itself.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use jiff::Timestamp;

use super::arguments::Flags;
use super::{signals, swap};
use crate::error::{Ended, Exit};
use crate::measure::LoadFigures;
use crate::model::{Failure, ServiceName};
use crate::session::{Bench, Load, Measured, Measurements, Session};
use crate::site::{Looks, Site};
use crate::ui::{self, Display, Format, Volume};

/// Swaps the service's present image to itself again and again under a load and tells what the load saw. Exits 4 if a request
/// failed because of swap, so that a script can rely on it. `yes`: nobody has to be asked whether requests may be dropped.
pub(super) async fn bench(flags: &Flags, service: &ServiceName, load: Load, yes: bool) -> Result<Exit, Ended> {
    if load.baseline && !yes && !agreed(service)? {
        ui::complain("nothing was done\n");
        return Ok(Exit::Refused);
    }
    let began_ms = Timestamp::now().as_millisecond();
    let quiet = Display::new(Format::Text, Volume::Quiet);
    let site = Site::open(&flags.place(), Looks::AtNginx, &quiet).await?;
    let options = flags.session()?;
    let session = Session::new(&site, &options, signals::listen()?, &quiet, began_ms);
    let say = |text: &str| {
        if flags.output == Format::Text && !flags.quiet {
            ui::complain(&format!("{text}\n"));
        }
    };
    let measurements = match session.bench(service, load, say).await? {
        Bench::Measured(measurements) => *measurements,
        Bench::Ended(ran) => return Ok(swap::tell(&ran, &quiet)),
    };
    ui::print(&match flags.output {
        Format::Json => serde_json::to_string(&measurements).unwrap_or_default() + "\n",
        Format::Text => table(&measurements),
    });
    Ok(if measurements.swap.during.failed == 0 { Exit::Swapped } else { Exit::RolledBack })
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

/// Returns the report as people read it.
fn table(report: &Measurements) -> String {
    let mut text =
        format!("{:<10}{:>10}{:>8}{:>9}{:>9}{:>9}\n", "", "requests", "failed", "p50 ms", "p99 ms", "max ms");
    let Measurements { quiet, swap, script, .. } = report;
    let rows =
        [("quiet", Some(quiet)), ("swap", Some(&swap.during)), ("script", script.as_ref().map(|way| &way.during))];
    for (name, seen) in rows {
        let Some(LoadFigures { requests, failed, p50_ms, p99_ms, max_ms, .. }) = seen else { continue };
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
        let seen = |requests, failed, p50_ms, p99_ms, max_ms| LoadFigures {
            requests,
            failed,
            p50_ms,
            p99_ms,
            max_ms,
            first_failure: (failed > 0).then(|| "status 502".to_owned()),
        };
        let mut report = Measurements {
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
