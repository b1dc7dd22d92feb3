//! The services that a run is about are held, and everything is known that is unfinished there.

use super::context::Session;
use super::outcome::NotDone;
use crate::claim::{Held, NotHeld};
use crate::journal::Recorded;
use crate::model::{Failure, ServiceName, unknown_service};
use crate::plan::Plan;

impl Session<'_> {
    /// Holds the services, and those that unfinished runs of them are about too, or says who does.
    ///
    /// Afterwards every unfinished run of these services has a journal here.
    pub(super) async fn hold(&self, services: &[ServiceName]) -> Result<Held, NotDone> {
        self.site.expect_run();
        let mut wanted = services.to_vec();
        for service in services {
            let unfinished = self.site.folder().unfinished(service)?;
            wanted.extend(unfinished.iter().filter_map(Recorded::plan).flat_map(services_of));
        }
        loop {
            wanted.sort();
            wanted.dedup();
            let mut held = self.site.hold_nothing(self.display);
            match self.unless_interrupted(self.take(&mut held, &wanted)).await {
                Ok(more) if more.is_empty() => return Ok(held),
                Ok(more) => {
                    held.release().await;
                    wanted.extend(more);
                }
                Err(not_done) => {
                    held.release().await;
                    return Err(not_done);
                }
            }
        }
    }

    /// Takes the services and makes journals of the runs that have none here. Returns which more services those are about;
    /// without them nothing was done.
    async fn take(&self, held: &mut Held, services: &[ServiceName]) -> Result<Vec<ServiceName>, NotDone> {
        held.take(services, self.options.wait).await.map_err(|not_held| not_done(not_held, services))?;
        let plans = self.site.runs_without_journal(services).await?;
        let more: Vec<ServiceName> =
            plans.iter().flat_map(services_of).filter(|service| !services.contains(service)).collect();
        if more.is_empty() {
            for plan in &plans {
                self.site.presume(plan, self.display).await?;
            }
        }
        Ok(more)
    }

    /// Holds the service and returns its newest unfinished run, if there is one.
    pub(super) async fn unfinished(&self, service: &ServiceName) -> Result<(Option<Recorded>, Held), NotDone> {
        let known = self.site.services();
        if !known.contains(service) {
            return Err(NotDone::Unknown(unknown_service(service.as_str(), &known)));
        }
        let held = self.hold(std::slice::from_ref(service)).await?;
        match self.site.folder().unfinished(service) {
            Ok(runs) => Ok((runs.into_iter().next(), held)),
            Err(failure) => {
                held.release().await;
                Err(failure.into())
            }
        }
    }
}

/// Says who holds what is wanted for these services.
pub(super) fn not_done(not_held: NotHeld, services: &[ServiceName]) -> NotDone {
    match not_held {
        NotHeld::Failed(failure) => failure.into(),
        NotHeld::Busy { what, holder } => {
            let wanted = services.iter().find(|service| service.as_str() == what).map(std::slice::from_ref);
            let failure = Failure::new(format!("another run holds `{what}`: {holder}"))
                .hint(format!("wait for it with `swap --wait 60s {}`", join(wanted.unwrap_or(services))));
            NotDone::Busy(failure)
        }
    }
}

/// Returns the services that a plan is about.
pub(super) fn services_of(plan: &Plan) -> Vec<ServiceName> {
    plan.services.iter().map(|planned| planned.name.clone()).collect()
}

/// Returns the services as they are typed.
pub(super) fn join(services: &[ServiceName]) -> String {
    services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" ")
}
