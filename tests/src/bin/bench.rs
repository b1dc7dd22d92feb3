//! `bench`: swaps v1 and v2 under load, with swap and with the plain shell script in turns, and prints what each costs.
//!
//! Two loads, because they answer two questions. Under the mixed load (two-second requests, downloads, silent
//! connections) requests are counted. swap's own time is taken under a few short requests: with the others the drain lasts
//! as long as the slowest request of the old container, which is the clients' time.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use scenarios::clients::Kind;
use scenarios::command::run;
use scenarios::eventually::eventually;
use scenarios::images;
use scenarios::load::{Mix, Running, mixed};
use scenarios::report::Report;
use scenarios::stack::{Stack, compose_tool, serves};
use scenarios::swap::{Outcome, binary};
use serde::Serialize;
use serde_json::Value;

/// Measures swaps under load against the plain shell script: scale, health check, stop, reload.
///
/// Set SWAP_BIN to a release build; without it the build beside this program is measured. Exits 1 if swap lost anything.
#[derive(Debug, Parser)]
struct Arguments {
    /// Swaps with each tool under the mixed load, and as many under a few short requests.
    #[arg(long, default_value_t = 5)]
    swaps: usize,
    /// Only swap, not the plain script.
    #[arg(long)]
    without_plain: bool,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// One swap, in milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
struct Times {
    /// From the start of the process to its end.
    total: f64,
    /// compose's part.
    create: f64,
    /// From the start of the container until it is healthy.
    start_to_healthy: f64,
    /// Stopping and removing the old container.
    retire: f64,
    /// What is left: swap's own.
    own: f64,
    /// swap's own, the drain apart: that depends on the requests.
    own_but_drain: f64,
    /// Until nothing uses the old container.
    drain: f64,
    /// From healthy to the first answer of the candidate that a client got.
    healthy_to_first: f64,
    /// The most memory, in MB.
    peak_mb: f64,
}

/// What both tools cost.
#[derive(Debug, Serialize)]
struct Bench {
    few: Vec<Times>,
    mixed: Vec<Times>,
    swap_requests: usize,
    swap_failed: usize,
    swap_lost_posts: usize,
    plain_totals: Vec<f64>,
    plain_requests: usize,
    plain_failed: usize,
    plain_lost_posts: usize,
    version_ms: f64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let ours = Stack::up();
    let theirs = (!arguments.without_plain).then(Stack::up);
    let mut bench = Bench {
        few: Vec::new(),
        mixed: Vec::new(),
        swap_requests: 0,
        swap_failed: 0,
        swap_lost_posts: 0,
        plain_totals: Vec::new(),
        plain_requests: 0,
        plain_failed: 0,
        plain_lost_posts: 0,
        version_ms: version_ms()?,
    };
    for turn in 0..arguments.swaps {
        for (mix, version) in [(few(), "v2"), (mixed(), "v1")] {
            let (times, report) = one_swap(&ours, version, mix.clone())?;
            add(&report, &mut bench.swap_requests, &mut bench.swap_failed, &mut bench.swap_lost_posts);
            if mix == mixed() { bench.mixed.push(times) } else { bench.few.push(times) }
        }
        if let Some(theirs) = &theirs {
            let (total, report) = one_plain(theirs, if turn % 2 == 0 { "v2" } else { "v1" })?;
            bench.plain_totals.push(total);
            add(&report, &mut bench.plain_requests, &mut bench.plain_failed, &mut bench.plain_lost_posts);
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&bench)?);
    } else {
        print(&bench);
    }
    ensure!(bench.swap_failed == 0 && bench.swap_lost_posts == 0, "swap lost requests");
    Ok(())
}

/// Two clients whose requests are answered at once, on a new connection each time, and who think in between: no
/// connection outlives the switch, and the processor is left to those who are measured.
fn few() -> Mix {
    Mix::from([(Kind::NewGet, 2)])
}

fn one_swap(stack: &Stack, version: &str, mix: Mix) -> Result<(Times, Report)> {
    stack.deploy(version);
    let running = warm(stack, mix)?;
    running.mark();
    let (begun, offset) = (Instant::now(), running.now());
    let outcome = stack.swap(["--output", "json", "app"]).start().wait()?;
    ensure!(outcome.code == 0, "swap exited {}\n{}{}", outcome.code, outcome.raw, outcome.stderr);
    cool(&running, stack, version);
    let first = running.seen_since_mark(version).context("the candidate never answered")?.first;
    let times = times_of(&outcome, begun, first.saturating_sub(offset))?;
    Ok((times, running.stop()?))
}

fn one_plain(stack: &Stack, version: &str) -> Result<(f64, Report)> {
    stack.deploy(version);
    let running = warm(stack, mixed())?;
    let begun = Instant::now();
    run(Command::new(images::root().join("tests/baseline/plain-swap.sh"))
        .args(["app", "./healthcheck"])
        .env("COMPOSE", compose_tool().join(" "))
        .current_dir(stack.path(".")))?;
    let total = millis(begun.elapsed());
    cool(&running, stack, version);
    Ok((total, running.stop()?))
}

fn warm(stack: &Stack, mix: Mix) -> Result<Running> {
    let mut load = stack.load().mix(mix.clone());
    if mix == few() {
        load.think = Duration::from_millis(20);
    }
    // The plain script leaves clients waiting for a container that is gone; their failure is counted sooner.
    load.limit = Duration::from_secs(10);
    let running = load.start()?;
    eventually("100 answers", Duration::from_secs(60), || running.counts().0 > 100);
    Ok(running)
}

fn cool(running: &Running, stack: &Stack, version: &str) {
    serves(stack, version);
    let answers = running.counts().0;
    eventually("more answers", Duration::from_secs(60), || running.counts().0 > answers + 200);
}

/// Reads swap's JSON events. A line was read the moment it was written, on the clock of the load.
fn times_of(outcome: &Outcome, begun: Instant, first: Duration) -> Result<Times> {
    let at = |verb: &str, event: &str| {
        let line = outcome.lines.iter().find(|(_, line)| {
            serde_json::from_str::<Value>(line).is_ok_and(|line| line["verb"] == verb && line["event"] == event)
        });
        let (at, _) = line.with_context(|| format!("no line `{verb}` `{event}` in\n{}", outcome.raw))?;
        Ok::<_, anyhow::Error>(millis(at.saturating_duration_since(begun)))
    };
    let took = |verb: &str| Ok::<_, anyhow::Error>(at(verb, "done")? - at(verb, "started")?);
    let total = millis(outcome.took);
    let (create, drain, retire) = (took("create")?, took("drain")?, took("retire")?);
    let start_to_healthy = at("healthy", "done")? - at("start", "started")?;
    let own = total - create - start_to_healthy - retire;
    Ok(Times {
        total,
        create,
        start_to_healthy,
        retire,
        own,
        own_but_drain: own - drain,
        drain,
        healthy_to_first: millis(first) - at("healthy", "done")?,
        peak_mb: outcome.peak_kib as f64 / 1024.0,
    })
}

/// Returns the median time of `swap --version`, in milliseconds.
fn version_ms() -> Result<f64> {
    let binary = binary()?;
    let mut times = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        run(Command::new(&binary).arg("--version"))?;
        times.push(millis(begun.elapsed()));
    }
    Ok(median(&times))
}

fn add(report: &Report, requests: &mut usize, failed: &mut usize, lost: &mut usize) {
    *requests += report.total.answered + report.total.failed;
    *failed += report.total.failed;
    *lost += report.posts.as_ref().map_or(0, |posts| posts.lost + posts.doubled);
}

fn print(bench: &Bench) {
    table("few requests", &bench.few, true);
    table("mixed load", &bench.mixed, false);
    let all = || bench.few.iter().chain(&bench.mixed);
    let peak = all().map(|times| times.peak_mb).fold(0.0, f64::max);
    println!("memory {peak:.1} MB (goal: under 40), `swap --version` {:.1} ms (goal: under 10)", bench.version_ms);
    println!(
        "swap: {} of {} requests failed, {} posts lost or doubled",
        bench.swap_failed, bench.swap_requests, bench.swap_lost_posts
    );
    if !bench.plain_totals.is_empty() {
        let totals: Vec<f64> = bench.mixed.iter().map(|times| times.total).collect();
        let plain = median(&bench.plain_totals);
        println!(
            "plain script: {plain:.0} ms, {} of {} requests failed, {} posts lost or doubled",
            bench.plain_failed, bench.plain_requests, bench.plain_lost_posts
        );
        println!("swap takes {:.2} of the plain script's time", median(&totals) / plain);
    }
}

/// Prints the least, the median and the most of each time; the goals belong to few requests.
fn table(load: &str, times: &[Times], goals: bool) {
    println!("{load:<22} {:>9} {:>9} {:>9}", "least", "median", "most");
    let row = |name: &str, of: fn(&Times) -> f64, goal: &str| {
        let values: Vec<f64> = times.iter().map(of).collect();
        let (least, most) =
            (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
        let goal = if goals { goal } else { "" };
        println!("{name:<22} {least:>6.0} ms {:>6.0} ms {most:>6.0} ms{goal}", median(&values));
    };
    row("swap", |times| times.total, "");
    row("  create (compose)", |times| times.create, "");
    row("  start until healthy", |times| times.start_to_healthy, "");
    row("  stop the old one", |times| times.retire, "");
    row("  swap's own time", |times| times.own, "   goal: at most 350 ms");
    row("    drain", |times| times.drain, "");
    row("    all else", |times| times.own_but_drain, "");
    row("healthy until served", |times| times.healthy_to_first, "   goal: at most 60 ms");
    println!();
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
