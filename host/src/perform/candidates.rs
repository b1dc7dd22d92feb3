//! Candidates are created, started, stopped and removed.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};

use super::performer::Performer;
use crate::model::{Container, ContainerFacts, ContainerStatus, Failure, ServiceName};
use crate::plan::{NetworkPort, Plan, PlannedService, Step};
use crate::run::{Event, RunFacts, StepResult};
use crate::site::containers::container;
use crate::world::{Engine, Orchestrator, Ports};

/// Tells whether every candidate that the run has started still runs; without any, there is nothing to contradict.
pub async fn candidates_run(engine: &impl Engine, plan: &Plan, events: &[Event]) -> bool {
    let facts = RunFacts::of(plan, events);
    let started = events.iter().filter_map(|event| match event {
        Event::Done { step, .. } => plan.steps.get(*step).filter(|step| matches!(step, Step::Start { .. })),
        _ => None,
    });
    for candidate in started.filter_map(Step::service).flat_map(|service| facts.candidates(service)) {
        match engine.inspect(&candidate.id).await {
            Ok(Some(seen)) if seen.runs() => {}
            _ => return false,
        }
    }
    true
}

impl<P: Ports> Performer<'_, P> {
    /// Returns the candidates as the engine sees them: whatever belongs to the service and was not there before.
    async fn not_known(&self, service: &ServiceName, known: &[String]) -> Result<Vec<ContainerFacts>, Failure> {
        let all = self.ports.engine().of_service(&self.plan.project, service).await?;
        Ok(all.into_iter().filter(|seen| !known.contains(&seen.id)).collect())
    }

    /// Has compose create all that is missing in one call. Tells of each service that has its candidates or can't have them; of
    /// none that was not asked for because another one's could not be looked for.
    ///
    /// Twice: compose counts what exists, so a second time creates only what is missing; what is there is adopted.
    pub(super) async fn create(&self, created: &[&PlannedService]) -> Vec<(usize, Result<StepResult, Failure>)> {
        let engine = self.ports.engine();
        let there = join_all(created.iter().map(async |of| {
            let all = engine.of_service(&self.plan.project, &of.name).await?;
            let candidates = all.iter().filter(|seen| !of.known.contains(&seen.id)).count();
            Ok((candidates < of.count).then(|| (&of.name, all.len() + of.count - candidates)))
        }))
        .await;
        if there.iter().any(Result::is_err) {
            let failed = there.into_iter().enumerate();
            return failed.filter_map(|(index, there)| Some((index, Err(there.err()?)))).collect();
        }
        let totals: Vec<(&ServiceName, usize)> = there.into_iter().flatten().flatten().collect();
        if !totals.is_empty()
            && let Err(failure) = self.ports.orchestrator().create(&totals).await
        {
            return vec![(0, Err(failure))];
        }
        let learnt = created.iter().map(|of| self.created(of));
        join_all(learnt).await.into_iter().enumerate().collect()
    }

    /// Returns the candidates of a service as they were created.
    async fn created(&self, of: &PlannedService) -> Result<StepResult, Failure> {
        let (service, count) = (&of.name, of.count);
        let candidates = self.not_known(service, &of.known).await?;
        if candidates.len() != count {
            return Err(Failure::new(format!(
                "compose was asked for {count} new containers of `{service}` and {} are there: {}",
                candidates.len(),
                candidates.iter().map(|seen| seen.name.as_str()).collect::<Vec<_>>().join(", ")
            ))
            .hint("somebody else may be at work on the project; look at `docker compose ps -a`"));
        }
        let containers: Vec<Container> = candidates.iter().map(|seen| container(seen, None)).collect();
        self.must_be_planned(service, &containers)?;
        let places = |seen: &ContainerFacts| seen.networks.values().map(|network| network.place.clone()).collect();
        Ok(StepResult::Candidates {
            containers,
            // What is there before anybody changes it: candidates that wait for their names are given these places again.
            places: candidates.iter().map(|seen| (seen.id.clone(), places(seen))).collect(),
        })
    }

    /// Twice: the engine answers that a running container runs.
    pub(super) async fn start(
        &self,
        service: &ServiceName,
        networks: &[String],
        reach: Option<&NetworkPort>,
        unnamed: &[String],
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        // Also where another process created them, and nobody had looked.
        self.must_be_planned(service, facts.candidates(service))?;
        self.stay_named(service).await?;
        let started = facts.candidates(service).iter().map(|candidate| async {
            self.connect(candidate, service, networks, unnamed, facts).await?;
            self.ports.engine().start(&candidate.id).await.map_err(|failure| with_advice(failure, candidate))?;
            self.located(candidate, reach).await
        });
        let containers = try_join_all(started).await?;
        if let Some(probe) = self.probes.get(service) {
            probe.candidates(&containers);
        }
        Ok(StepResult::candidates(containers))
    }

    /// Twice: what is stopped stays stopped.
    pub(super) async fn stop_candidates(
        &self,
        service: &ServiceName,
        grace: Option<Duration>,
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        self.refuse_if_alone(service).await?;
        self.refuse_if_live(service, facts.candidates(service)).await?;
        self.end(facts.candidates(service), grace, true, None).await?;
        Ok(StepResult::Nothing)
    }

    /// Twice: what is removed stays removed. Their anonymous volumes are as new as they are, and go with them.
    pub(super) async fn remove_candidates(
        &self,
        service: &ServiceName,
        known: &[String],
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        self.refuse_if_alone(service).await?;
        // What others created meanwhile is theirs, as soon as it is recorded what is ours.
        let candidates = match facts.candidates(service) {
            // Ours have not been started until then: one that was is somebody else's.
            [] => {
                let mut seen = self.not_known(service, known).await?;
                seen.retain(|seen| seen.state == ContainerStatus::Created);
                seen.iter().map(|seen| container(seen, None)).collect()
            }
            recorded => recorded.to_vec(),
        };
        self.refuse_if_live(service, &candidates).await?;
        self.end(&candidates, Some(Duration::ZERO), false, Some(true)).await?;
        Ok(StepResult::Nothing)
    }

    /// Nobody goes back over what nginx is told: candidates that the durable file names stay.
    async fn refuse_if_live(&self, service: &ServiceName, candidates: &[Container]) -> Result<(), Failure> {
        match self.planned(service) {
            Some(planned) => self.refuse_if_named(planned, candidates, false).await,
            None => Ok(()),
        }
    }
}

fn with_advice(failure: Failure, candidate: &Container) -> Failure {
    Failure { what: format!("candidate `{}` can't be started: {}", candidate.name, failure.what), ..failure }
}
