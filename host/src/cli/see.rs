//! `swap logs` and `swap report`: one run, told for people.

use std::path::PathBuf;

use jiff::{Timestamp, tz::TimeZone};

use super::arguments::Flags;
use crate::error::{Ended, Exit};
use crate::journal::Recorded;
use crate::model::{Failure, RunId};
use crate::site::{Looks, Site};
use crate::text::printable;
use crate::ui::{self, Display, Format, RunRecord, Volume};

/// Tells a run as a story, or prints its events once more for a script.
pub(super) async fn logs(flags: &Flags, run: Option<&str>) -> Result<Exit, Ended> {
    let display = Display::new(flags.output, Volume::Quiet);
    tell(flags, run, &display, |told| match flags.output {
        Format::Text => ui::story(told),
        Format::Json => {
            told.entries.iter().for_each(|entry| display.show(told.plan, &[], entry));
            String::new()
        }
    })
    .await
}

/// Prints the page of a run.
pub(super) async fn report(flags: &Flags, run: Option<&str>) -> Result<Exit, Ended> {
    if flags.output == Format::Json {
        let failure = Failure::new("a report is a page for people").hint("`swap logs --output json` prints the events");
        return Err(Ended::new(Exit::Usage, failure));
    }
    tell(flags, run, &Display::new(flags.output, Volume::Quiet), ui::page).await
}

async fn tell(
    flags: &Flags,
    run: Option<&str>,
    display: &Display,
    render: impl Fn(&RunRecord) -> String,
) -> Result<Exit, Ended> {
    let site = Site::open(&flags.place(), Looks::AtNoNginx, display).await?;
    let runs = site.folder().list()?;
    let (wanted, path) = find(&runs, run).map_err(|failure| Ended::new(Exit::Usage, failure))?;
    let recorded = Recorded::read(wanted.clone(), path.clone())?;
    let Some(plan) = recorded.plan() else {
        return Err(Failure::new(format!("run `{wanted}` ended before its plan was recorded; nothing was done")).into());
    };
    let zone = TimeZone::system();
    let clock = move |at_ms: i64| match Timestamp::from_millisecond(at_ms) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Err(_) => format!("{at_ms} ms"),
    };
    let told = RunRecord { plan, entries: &recorded.entries, trace: &recorded.trace(), clock: &clock };
    ui::print(&render(&told));
    Ok(Exit::Swapped)
}

/// A run and its journal's path.
type Run = (RunId, PathBuf);

/// Returns the run that is meant: the last one, or the one whose id begins so. `runs` are newest first.
fn find<'a>(runs: &'a [Run], wanted: Option<&str>) -> Result<&'a Run, Failure> {
    let Some(wanted) = wanted else {
        return runs.first().ok_or_else(|| {
            Failure::new("no run of this project is recorded")
                .hint("`swap SERVICE` records one; `-f` names another project's file")
        });
    };
    let begins: Vec<&Run> = runs.iter().filter(|(run, _)| run.0.starts_with(wanted)).collect();
    match begins.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::new(format!("no run of this project is recorded as `{}`", printable(wanted)))
            .hint("`swap history` lists those that are")),
        [(first, _), (second, _), ..] => Err(Failure::new(format!(
            "`{}` is the begin of {} runs, as {second} and {first}",
            printable(wanted),
            begins.len()
        ))
        .hint("write more of its id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_by_the_begin_of_its_id() {
        let runs = ["20260202-101500-aaaa", "20260131-154502-9f3a", "20260131-101500-0001"];
        let runs = runs.map(|id| (RunId(id.into()), PathBuf::new()));
        let found =
            |wanted| find(&runs, wanted).map(|(run, _)| run.0.clone()).map_err(|failure| ui::failure_text(&failure));
        assert_eq!(found(None), Ok("20260202-101500-aaaa".to_owned()));
        assert_eq!(found(Some("20260131-15")), Ok("20260131-154502-9f3a".to_owned()));
        assert_eq!(
            found(Some("20260131")),
            Err("error: `20260131` is the begin of 2 runs, as 20260131-101500-0001 and 20260131-154502-9f3a\n\
                 hint: write more of its id\n"
                .to_owned())
        );
        assert_eq!(
            found(Some("x\u{1b}")),
            Err("error: no run of this project is recorded as `x\\u{1b}`\nhint: `swap history` lists those that are\n"
                .to_owned())
        );
        assert!(find(&[], None).is_err());
    }
}
