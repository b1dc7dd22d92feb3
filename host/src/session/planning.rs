//! What is observed → a plan, with the id of its run.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::context::{Options, Targets};
use super::outcome::NotDone;
use crate::model::{Failure, RunId, ServiceName};
use crate::observe::hooks::LoadedHooks;
use crate::os::token;
use crate::plan::{Front, Plan, plan as plan_of};
use crate::site::Site;

/// Looks at the services and plans their swap. Changes nothing. Returns the hooks that the plan asks, too.
pub async fn plan(site: &Site, options: &Options, targets: &Targets) -> Result<(Plan, LoadedHooks), NotDone> {
    let settings = |service: &ServiceName| options.overrides.over(site.settings(service), targets.health.as_ref());
    let wanted = targets.services.iter().map(|service| (service.clone(), settings(service))).collect();
    let (observed, latest) = tokio::join!(site.observe(wanted), latest_run(site, &targets.services));
    let (run, (observed, hooks)) = (run_id(Timestamp::now(), latest?.as_ref()), observed?);
    Ok((plan_of(run, &observed).map_err(NotDone::Refused)?, hooks))
}

/// Plans the way back to the version that was replaced by what serves now, or to the one that `to` names. Returns what is
/// brought back too, in words.
pub(super) async fn plan_back(
    site: &Site,
    options: &Options,
    service: &ServiceName,
    to: Option<&str>,
) -> Result<(String, Plan, LoadedHooks), NotDone> {
    let settings = options.overrides.over(site.settings(service), None);
    let latest = latest_run(site, std::slice::from_ref(service)).await?;
    let run = run_id(Timestamp::now(), latest.as_ref());
    let mut back = site.way_back(service, settings.clone(), to).await?;
    let mut planned = plan_of(run.clone(), &back.observed);
    // A version that has died may be what keeps nginx from reading its files.
    let is_down = back.observed.services.iter().any(|seen| seen.down);
    if planned.is_err() && is_down && site.leave_rest(service, &settings).await? {
        back = site.way_back(service, settings, to).await?;
        planned = plan_of(run, &back.observed);
    }
    Ok((back.text, planned.map_err(NotDone::Refused)?, back.hooks))
}

/// Returns the nginxes before a service that could be swapped; the first one's probe is the settled one, else the front page.
pub(super) async fn fronts(site: &Site, options: &Options, service: &ServiceName) -> Result<Vec<Front>, NotDone> {
    let mut settings = options.overrides.over(site.settings(service), None);
    settings.probe.get_or_insert_with(|| "/".to_owned());
    // What is measured here is no watch of a new version, so nothing stands in its way that a watch would need.
    settings.watch = Duration::ZERO;
    let (observed, _) = site.observe(vec![(service.clone(), settings)]).await?;
    plan_of(run_id(Timestamp::now(), None), &observed).map_err(NotDone::Refused)?;
    let fronts: Vec<Front> = observed.services.into_iter().flat_map(|seen| seen.fronts).collect();
    match fronts.is_empty() {
        true => Err(Failure::new(format!(
            "no nginx sends requests to `{service}`, so there is nothing that could be measured"
        ))
        .into()),
        false => Ok(fronts),
    }
}

/// Returns the latest run of these services that is known, here or to the engine: another machine's clock may be ahead of
/// this one's, and a new run is to sort behind all others.
async fn latest_run(site: &Site, services: &[ServiceName]) -> Result<Option<RunId>, Failure> {
    let mut latest = site.folder().list()?.into_iter().next().map(|(run, _)| run);
    for known in join_all(services.iter().map(|service| site.history(service))).await {
        // Whom the engine does not tell what it knows of, the clock must do.
        latest = latest.max(known.unwrap_or_default().into_iter().next().map(|replaced| replaced.run));
    }
    Ok(latest)
}

/// Returns a new run's id: sortable by time, and with a random part.
///
/// It is later than the latest run's, also where the clock was set back: what is sorted by it is what ran last.
fn run_id(now: Timestamp, latest: Option<&RunId>) -> RunId {
    const FORM: &str = "%Y%m%d-%H%M%S";
    let now = now.to_zoned(TimeZone::UTC).datetime();
    let latest = latest.and_then(|run| run.0.get(..15)).and_then(|text| DateTime::strptime(FORM, text).ok());
    let time = match latest.and_then(|latest| latest.checked_add(SignedDuration::from_secs(1)).ok()) {
        Some(next) if next > now => next,
        _ => now,
    };
    RunId(format!("{}-{}", time.strftime(FORM), &token()[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_keeps_the_order_of_runs() {
        let id = |now: &str, latest: Option<&str>| {
            let latest = latest.map(|text| RunId(text.to_owned()));
            run_id(now.parse().unwrap(), latest.as_ref()).0[..15].to_owned()
        };
        let now = "2026-01-31T15:45:02Z";
        assert_eq!(id(now, None), "20260131-154502");
        assert_eq!(id(now, Some("20260131-154500-9f3a")), "20260131-154502");
        assert_eq!(id(now, Some("20260131-154502-9f3a")), "20260131-154503");
        assert_eq!(id(now, Some("20301231-235959-9f3a")), "20310101-000000");
        for odd in ["", "x", "99999999-999999-0000", "2026013\u{e9}-154500-9f3a"] {
            assert_eq!(id(now, Some(odd)), "20260131-154502");
        }
    }
}
