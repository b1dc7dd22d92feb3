//! `bench`: swaps v1 and v2 under load, with swap and with the plain shell script in turns, and prints what each costs.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use scenarios::command::run;
use scenarios::eventually::eventually;
use scenarios::images;
use scenarios::load::Running;
use scenarios::report::Report;
use scenarios::stack::{Stack, compose_tool, serves};
use scenarios::swap::{Outcome, binary};
use serde::Serialize;
use serde_json::Value;

/// Measures swaps under the mixed load against the plain shell script: scale, health check, stop, reload.
///
/// Set SWAP_BIN to a release build; without it the build beside this program is measured. Exits 1 if swap lost anything.
#[derive(Debug, Parser)]
struct Arguments {
    /// Swaps with each of the two.
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
    /// From healthy to the first answer of the candidate that a client got.
    healthy_to_first: f64,
    /// The most memory, in MB.
    peak_mb: f64,
}

/// What both tools cost.
#[derive(Debug, Serialize)]
struct Bench {
    swap: Vec<Times>,
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
        swap: Vec::new(),
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
        let version = if turn % 2 == 0 { "v2" } else { "v1" };
        let (times, report) = one_swap(&ours, version)?;
        bench.swap.push(times);
        add(&report, &mut bench.swap_requests, &mut bench.swap_failed, &mut bench.swap_lost_posts);
        if let Some(theirs) = &theirs {
            let (total, report) = one_plain(theirs, version)?;
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

fn one_swap(stack: &Stack, version: &str) -> Result<(Times, Report)> {
    stack.deploy(version);
    let running = warm(stack)?;
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
    let running = warm(stack)?;
    let begun = Instant::now();
    run(Command::new(images::root().join("tests/baseline/plain-swap.sh"))
        .args(["app", "./healthcheck"])
        .env("COMPOSE", compose_tool().join(" "))
        .current_dir(stack.path(".")))?;
    let total = millis(begun.elapsed());
    cool(&running, stack, version);
    Ok((total, running.stop()?))
}

fn warm(stack: &Stack) -> Result<Running> {
    let mut load = stack.load();
    // The plain script leaves clients waiting for a container that is gone; their failure is counted sooner.
    load.limit = Duration::from_secs(10);
    let running = load.start()?;
    eventually("500 answers", Duration::from_secs(60), || running.counts().0 > 500);
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
    let (create, retire) = (took("create")?, took("retire")?);
    let start_to_healthy = at("healthy", "done")? - at("start", "started")?;
    Ok(Times {
        total,
        create,
        start_to_healthy,
        retire,
        own: total - create - start_to_healthy - retire,
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
    println!("{:<22} {:>9} {:>9} {:>9}   goal", "", "least", "median", "most");
    let row = |name: &str, of: fn(&Times) -> f64, goal: &str| {
        let values: Vec<f64> = bench.swap.iter().map(of).collect();
        let (least, most) =
            (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
        println!("{name:<22} {least:>6.0} ms {:>6.0} ms {most:>6.0} ms   {goal}", median(&values));
    };
    row("swap", |times| times.total, "");
    row("  create (compose)", |times| times.create, "");
    row("  start until healthy", |times| times.start_to_healthy, "");
    row("  stop the old one", |times| times.retire, "");
    row("  swap's own time", |times| times.own, "at most 350 ms");
    row("healthy until served", |times| times.healthy_to_first, "at most 60 ms");
    let peak = bench.swap.iter().map(|times| times.peak_mb).fold(0.0, f64::max);
    println!("memory {peak:.1} MB (goal: under 40), `swap --version` {:.1} ms (goal: under 10)", bench.version_ms);
    println!(
        "swap: {} of {} requests failed, {} posts lost or doubled",
        bench.swap_failed, bench.swap_requests, bench.swap_lost_posts
    );
    if !bench.plain_totals.is_empty() {
        let totals: Vec<f64> = bench.swap.iter().map(|times| times.total).collect();
        let plain = median(&bench.plain_totals);
        println!(
            "plain script: {plain:.0} ms, {} of {} requests failed, {} posts lost or doubled",
            bench.plain_failed, bench.plain_requests, bench.plain_lost_posts
        );
        println!("swap takes {:.2} of the plain script's time", median(&totals) / plain);
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
