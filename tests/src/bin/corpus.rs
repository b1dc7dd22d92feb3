//! `corpus`: runs `swap init` on other people's projects and nginx configurations, proves what it proposes, and compares the
//! verdicts with a table. `scripts/corpus` says how.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use clap::Parser;
use scenarios::corpus::{Case, Place, Verdict, examine, table_of, text_of};
use scenarios::images;

#[derive(Debug, Parser)]
struct Arguments {
    /// The table: a line a case, with the verdict that is right for it.
    table: PathBuf,
    /// A folder of repositories' copies, `DIR/OWNER+NAME/…` or `DIR/OWNER/NAME…`; else each commit is fetched from GitHub.
    #[arg(long)]
    mirrors: Option<PathBuf>,
    /// Only cases whose line contains this.
    #[arg(long)]
    only: Option<String>,
    /// Takes the verdicts into the table instead of comparing them.
    #[arg(long)]
    accept: bool,
    /// Where the cases are worked on, and what was seen of each is left.
    #[arg(long)]
    work: PathBuf,
    /// How many cases at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let text =
        fs::read_to_string(&arguments.table).with_context(|| format!("reading `{}`", arguments.table.display()))?;
    let all = table_of(&text)?;
    let is_wanted = |case: &Case| arguments.only.as_ref().is_none_or(|only| case.line().contains(only));
    let wanted: Vec<usize> = (0..all.len()).filter(|at| is_wanted(&all[*at])).collect();
    let place = Place { mirrors: arguments.mirrors, work: arguments.work, image: images::stranger()? };
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(all.clone()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                while let Some(at) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = examine(&all[*at], *at, &place);
                    eprintln!("{}", found.line());
                    seen.lock().expect("no other thread has failed")[*at] = found;
                }
            });
        }
    });
    let seen = seen.into_inner().expect("no thread has failed");
    println!("{}", counts(wanted.iter().map(|at| &seen[*at])));
    let new = text_of(&text, &seen);
    if arguments.accept {
        fs::write(&arguments.table, new)?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = place.work.join("table");
    fs::write(&file, &new)?;
    let mut diff = Command::new("diff");
    let same = diff.arg("--unified=0").arg(&arguments.table).arg(&file).status().context("running `diff`")?;
    Ok(if same.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns a line for projects, one for configurations, and one for all.
fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let cases: Vec<&Case> = cases.collect();
    let mut text = String::new();
    for (name, is_it) in [
        ("compose projects", (|case: &Case| !case.is_configuration()) as fn(&Case) -> bool),
        ("nginx configurations", Case::is_configuration),
        ("all", |_| true),
    ] {
        let of: Vec<&&Case> = cases.iter().filter(|case| is_it(case)).collect();
        let count = |verdict: Verdict| of.iter().filter(|case| case.verdict == verdict).count();
        let verdicts = Verdict::ALL.iter().filter(|verdict| **verdict != Verdict::Unusable || count(**verdict) > 0);
        let parts: Vec<String> = verdicts.map(|verdict| format!("{} {verdict}", count(*verdict))).collect();
        let _ = writeln!(text, "{name}: {} cases, {}", of.len(), parts.join(", "));
    }
    text.trim_end().to_owned()
}
