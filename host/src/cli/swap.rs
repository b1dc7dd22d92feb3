//! `swap`, `swap plan`, `swap resume`, `swap rollback`: the commands that are about a run.

use jiff::Timestamp;

use super::arguments::{Flags, targets};
use super::signals;
use crate::error::{Ended, Exit};
use crate::executor::End;
use crate::model::ServiceName;
use crate::run::Outcome;
use crate::session::{self, Done, RunResult, Session, Targets};
use crate::site::{Looks, Site};
use crate::ui::{self, Display};

/// Swaps the services that the words name.
pub(super) async fn swap(flags: &Flags, words: &[String], command: &[String], display: Display) -> Result<Exit, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let site = Site::open(&flags.place(), Looks::AtNginx, &display).await?;
    let targets = meant(words, command, &site)?;
    let options = flags.session()?;
    let session = Session::new(&site, &options, signals::listen()?, &display, began_ms);
    Ok(told(session.swap(&targets).await?, &display))
}

/// Prints what `swap` would do.
pub(super) async fn plan(flags: &Flags, words: &[String], command: &[String]) -> Result<Exit, Ended> {
    let display = Display::new(flags.output, ui::Volume::Quiet);
    let site = Site::open(&flags.place(), Looks::AtNginx, &display).await?;
    let targets = meant(words, command, &site)?;
    let (plan, _) = session::plan(&site, &flags.session()?, &targets).await?;
    match flags.output {
        ui::Format::Text => ui::print(&plan.to_string()),
        ui::Format::Json => ui::print(&(serde_json::to_string(&plan).unwrap_or_default() + "\n")),
    }
    Ok(Exit::Swapped)
}

/// Goes on with a run that was killed.
pub(super) async fn resume(flags: &Flags, service: &ServiceName, display: Display) -> Result<Exit, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let site = Site::open(&flags.place(), Looks::AtNginx, &display).await?;
    let options = flags.session()?;
    let session = Session::new(&site, &options, signals::listen()?, &display, began_ms);
    Ok(told(session.resume(service).await?, &display))
}

/// Unwinds a run that was killed; without one, swaps back to the image before the last swap, or to what `to` names.
pub(super) async fn rollback(
    flags: &Flags,
    service: &ServiceName,
    to: Option<&str>,
    display: Display,
) -> Result<Exit, Ended> {
    let began_ms = Timestamp::now().as_millisecond();
    let site = Site::open(&flags.place(), Looks::AtNginx, &display).await?;
    let options = flags.session()?;
    let session = Session::new(&site, &options, signals::listen()?, &display, began_ms);
    Ok(told(session.roll_back(service, to).await?, &display))
}

/// Tells what a session came to and returns the exit code that says the same.
fn told(done: Done, display: &Display) -> Exit {
    match done {
        Done::Run(ran) => tell(&ran, display),
        Done::Nothing(text) => {
            display.last(&text);
            Exit::Swapped
        }
    }
}

/// Tells how a run ended and returns the exit code that says the same.
pub(super) fn tell(ran: &RunResult, display: &Display) -> Exit {
    let report = ran.report();
    if let Some(failure) = &report.failure {
        display.failure(failure);
    }
    report.lines.iter().for_each(|line| display.last(line));
    match ran.end {
        End::Over(Outcome::Swapped) => Exit::Swapped,
        End::Over(Outcome::RolledBack) => Exit::RolledBack,
        End::Stuck(_) | End::Lost(_) | End::Left => Exit::Stuck,
    }
}

fn meant(words: &[String], command: &[String], site: &Site) -> Result<Targets, Ended> {
    targets(words, command, &site.services()).map_err(|failure| Ended::new(Exit::Usage, failure))
}
