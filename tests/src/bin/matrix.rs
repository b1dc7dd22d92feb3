//! `matrix`: swaps a stack under load on one engine, with one compose tool and one nginx, and makes a table of many such
//! cells. `scripts/matrix` brings the engines and tools up that it is run with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use scenarios::clients::Kind;
use scenarios::command::run;
use scenarios::eventually::eventually;
use scenarios::images;
use scenarios::report::{Causes, Posts};
use scenarios::stack::{Stack, compose_tool, serves};
use serde::{Deserialize, Serialize};

/// The first nginx that knows `keepalive_min_timeout`.
const KEEPS_ALIVE: [u32; 3] = [1, 27, 4];

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Swaps a stack under the mixed load and prints what the clients saw, as JSON.
    ///
    /// The engine is that of DOCKER_HOST, the compose tool that of SWAP_TEST_COMPOSE. Exits 101 if a swap fails.
    Cell {
        /// The Debian suite that nginx comes from.
        #[arg(long)]
        nginx: String,
        /// How many swaps, from v1 to v2 and back in turns.
        #[arg(long, default_value_t = 10)]
        swaps: usize,
    },
    /// Prints cells as a table in Markdown; one that has no file in the folder, as `28-2.40-1.30.json`, was not run.
    Table {
        /// Where the cells' JSON is.
        folder: PathBuf,
        /// The cells, as `28/2.40/1.30`: engine, compose, nginx.
        cells: Vec<String>,
    },
}

/// What was seen in one cell.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Cell {
    engine: String,
    compose: String,
    nginx: String,
    swaps: usize,
    /// The median time of a whole swap, in milliseconds.
    swap_ms: u64,
    /// Answered or failed.
    requests: usize,
    /// By the name of the kind of client.
    failed: BTreeMap<String, usize>,
    /// Why, one sentence for each kind and cause.
    causes: Vec<String>,
    posts_lost: usize,
    posts_doubled: usize,
    /// Containers that `up -d` replaced, removed or added after the swaps.
    recreated: Vec<String>,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Cell { nginx, swaps } => println!("{}", serde_json::to_string_pretty(&cell(&nginx, swaps)?)?),
        Task::Table { folder, cells } => {
            let rows = cells.iter().map(|name| Ok((name.as_str(), read(&folder, name)?)));
            print!("{}", table(&rows.collect::<Result<Vec<_>>>()?));
        }
    }
    Ok(())
}

/// Panics where a swap fails, so that the stack keeps its logs.
fn cell(suite: &str, swaps: usize) -> Result<Cell> {
    let nginx = nginx_version(suite)?;
    let builder = Stack::builder();
    let stack = if numbers(&nginx) < KEEPS_ALIVE { builder.old_nginx(suite) } else { builder.nginx_of(suite) }.up();
    let running = stack.load().start()?;
    eventually("500 answers", Duration::from_secs(60), || running.counts().0 > 500);
    let mut times = Vec::new();
    for turn in 0..swaps {
        let version = if turn % 2 == 0 { "v2" } else { "v1" };
        stack.deploy(version);
        let outcome = stack.swap(["app"]).expect_exit(0);
        eprint!("{}", outcome.raw.lines().last().map(|line| format!("{line}\n")).unwrap_or_default());
        times.push(u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX));
        serves(&stack, version);
        let answers = running.counts().0;
        eventually("more answers", Duration::from_secs(60), || running.counts().0 > answers + 200);
    }
    let report = running.stop()?;
    eprintln!("{report}");
    let failed = Kind::ALL.into_iter().map(|kind| (kind.name().to_owned(), report.failed(kind)));
    let Posts { lost, doubled, .. } = report.posts.clone().context("no post was answered")?;
    times.sort_unstable();
    Ok(Cell {
        engine: run(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]))?.trim().to_owned(),
        compose: stack.compose(&["version", "--short"]).trim().trim_start_matches('v').to_owned(),
        nginx,
        swaps,
        swap_ms: times.get(times.len() / 2).copied().unwrap_or_default(),
        requests: report.total.answered + report.total.failed,
        failed: failed.filter(|(_, count)| *count > 0).collect(),
        causes: report.causes.iter().map(sentence).collect(),
        posts_lost: lost,
        posts_doubled: doubled,
        recreated: recreated(&stack),
    })
}

/// Lets compose bring up what is up already and returns what it changed.
fn recreated(stack: &Stack) -> Vec<String> {
    let containers = || {
        let all = ["nginx", "app"].map(|service| stack.containers(service)).concat();
        all.into_iter().map(|container| (container.id.clone(), container)).collect::<BTreeMap<_, _>>()
    };
    let before = containers();
    let said = stack.compose(&["up", "-d"]);
    let after = containers();
    let gone = before.iter().filter(|(id, _)| !after.contains_key(*id));
    let new = after.iter().filter(|(id, _)| !before.contains_key(*id));
    let changed: Vec<String> = gone.chain(new).map(|(_, container)| container.name.clone()).collect();
    if !changed.is_empty() {
        eprintln!("`{} up -d` changed {changed:?}:\n{said}", compose_tool().join(" "));
    }
    changed
}

/// Returns the version of the nginx of a Debian suite, as `1.22.1`.
fn nginx_version(suite: &str) -> Result<String> {
    let image = images::nginx(suite)?;
    // nginx tells its version as if it were an error.
    let script = format!("docker run --rm --network none {image} nginx -v 2>&1");
    let said = run(Command::new("sh").args(["-c", &script]))?;
    let version = said.split_once("nginx/").map(|(_, version)| version);
    version.and_then(|version| version.split_whitespace().next()).map(str::to_owned).context(said.clone())
}

fn numbers(version: &str) -> [u32; 3] {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

fn sentence(Causes { kind, cause, seen }: &Causes) -> String {
    format!("{}: {} × {cause}", kind.name(), seen.answers)
}

/// `None`: not run.
fn read(folder: &Path, name: &str) -> Result<Option<Cell>> {
    let path = folder.join(format!("{}.json", name.replace('/', "-")));
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    serde_json::from_str(&text).map(Some).with_context(|| format!("reading `{}`", path.display()))
}

fn table(rows: &[(&str, Option<Cell>)]) -> String {
    let kept = [Kind::Get.name(), Kind::Post.name()];
    let mut table = "\
| engine | compose | nginx | swaps | requests | failed: keep-alive GET | keep-alive POST | all other | \
POSTs lost or doubled | `up -d` then recreates |
|---|---|---|--:|--:|--:|--:|--:|--:|---|
"
    .to_owned();
    for (name, cell) in rows {
        let line = match cell {
            None => {
                let mut versions = name.split('/');
                let mut next = || versions.next().unwrap_or_default();
                format!("| {} | {} | {} | not run |  |  |  |  |  |  |", next(), next(), next())
            }
            Some(cell) => {
                let failed = |kind: &str| cell.failed.get(kind).copied().unwrap_or_default();
                let all: usize = cell.failed.values().sum();
                let others = all - kept.iter().map(|kind| failed(kind)).sum::<usize>();
                let recreated =
                    if cell.recreated.is_empty() { "nothing".to_owned() } else { cell.recreated.join(", ") };
                format!(
                    "| {} | {} | {} | {} | {} | {} | {} | {others} | {} | {recreated} |",
                    cell.engine,
                    cell.compose,
                    cell.nginx,
                    cell.swaps,
                    cell.requests,
                    failed(kept[0]),
                    failed(kept[1]),
                    cell.posts_lost + cell.posts_doubled,
                )
            }
        };
        let _ = writeln!(table, "{line}");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_failures_by_client_and_what_was_not_run() {
        let cell = Cell {
            engine: "20.10.24+dfsg1".into(),
            compose: "1.29.2".into(),
            nginx: "1.22.1".into(),
            swaps: 10,
            requests: 9001,
            failed: BTreeMap::from([("keep-alive get".into(), 7), ("keep-alive post".into(), 2), ("slow".into(), 1)]),
            posts_doubled: 1,
            recreated: vec!["p_app_1".into()],
            ..Cell::default()
        };
        let expected = "\
| engine | compose | nginx | swaps | requests | failed: keep-alive GET | keep-alive POST | all other | POSTs lost or doubled | `up -d` then recreates |
|---|---|---|--:|--:|--:|--:|--:|--:|---|
| 20.10.24+dfsg1 | 1.29.2 | 1.22.1 | 10 | 9001 | 7 | 2 | 1 | 1 | p_app_1 |
| 28 | 2.40 | 1.30 | not run |  |  |  |  |  |  |
";
        assert_eq!(table(&[("20.10/1.29/1.22", Some(cell)), ("28/2.40/1.30", None)]), expected);
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(numbers("1.22.1") < KEEPS_ALIVE && numbers("1.30") > KEEPS_ALIVE && numbers("1.27.4") == KEEPS_ALIVE);
    }
}
