//! What is left of a run in the world.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::model::{ContainerFacts, ContainerStatus, Failure, ServiceName};
use crate::plan::{Plan, PlannedService};
use crate::run::Traces;
use crate::site::containers::container;
use crate::text::short;
use crate::world::{Edge, Engine};

/// Returns what is left of a run in each of its services.
pub async fn traces(
    engine: &impl Engine,
    edge: &impl Edge,
    plan: &Plan,
) -> Result<BTreeMap<ServiceName, Traces>, Failure> {
    let mut traces = BTreeMap::new();
    for planned in &plan.services {
        traces.insert(planned.name.clone(), traces_in(engine, edge, plan, planned).await?);
    }
    Ok(traces)
}

/// Tells whether a run that is to go back can go nowhere, because nothing that was live when it began is there any
/// more: others have settled since what runs.
pub async fn settled_by_others(engine: &impl Engine, plan: &Plan) -> Result<bool, Failure> {
    for old in plan.services.iter().flat_map(|planned| &planned.live) {
        if engine.inspect(&old.id).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes sure that the upstream files are as they were when the plan was made: until they are held, another project that
/// writes into the same folder may change them.
pub async fn still_as_planned(edge: &impl Edge, plan: &Plan) -> Result<(), Failure> {
    for (service, front) in plan.fronts() {
        let now = edge.published(service, front).await?;
        if now.map(|file| file.text) != front.before {
            return Err(Failure::new(format!(
                "another run changed `{}` while this one looked at it",
                front.file(service)
            ))
            .hint(format!("nothing was changed; `swap plan {service}` tells what would be done now")));
        }
    }
    Ok(())
}

async fn traces_in(
    engine: &impl Engine,
    edge: &impl Edge,
    plan: &Plan,
    planned: &PlannedService,
) -> Result<Traces, Failure> {
    let service = &planned.name;
    let seen = engine.of_service(&plan.project, service).await?;
    let reach = planned.reach();
    let created = created_by(planned, &seen);
    let place = |seen: &&ContainerFacts| {
        let address =
            reach.as_ref().and_then(|reach| Some(SocketAddr::new(seen.address(reach.network.as_deref())?, reach.port)));
        container(seen, address.filter(|_| seen.runs()))
    };
    let is_old = |seen: &&ContainerFacts| planned.live.iter().any(|live| live.id == seen.id);
    let old: Vec<&ContainerFacts> = seen.iter().filter(is_old).collect();
    let mut files = Vec::new();
    for front in &planned.fronts {
        files.push((front.is_new(), edge.published(service, front).await?));
    }
    // Whom each file names; nobody where there is none.
    let named = files.iter().map(|(_, file)| {
        let targets = file.iter().filter_map(|file| file.said.as_ref()).flat_map(|said| &said.route.targets);
        targets.map(|target| target.id.as_str()).collect::<BTreeSet<&str>>()
    });
    let named: Vec<BTreeSet<&str>> = named.collect();
    let candidates: BTreeSet<&str> = created.iter().map(|seen| short(&seen.id)).collect();
    let live: BTreeSet<&str> = planned.live.iter().map(|live| short(&live.id)).collect();
    Ok(Traces {
        candidates: created.iter().map(place).collect(),
        candidates_started: created.iter().filter(|seen| seen.state != ContainerStatus::Created).count(),
        candidates_run: created.iter().filter(|seen| seen.runs()).count(),
        old_there: old.len(),
        old_run: old.iter().filter(|seen| seen.runs()).count(),
        // What people had written before is there before the run and after it.
        file: files.iter().any(|(is_new, file)| *is_new && file.as_ref().is_some_and(|file| file.is_ours)),
        names_candidates: !named.is_empty() && named.iter().all(|named| !named.is_empty() && *named == candidates),
        names_others: named.iter().any(|named| !named.is_empty() && *named != live),
    })
}

/// Returns what the run must have created: of the containers that were not there before, those of its image, and those that
/// were never started, because somebody may have built between plan and creation; no more than it wanted. compose numbers
/// upwards, so what others have added since comes later.
fn created_by<'a>(of: &PlannedService, seen: &'a [ContainerFacts]) -> Vec<&'a ContainerFacts> {
    let made = |seen: &&ContainerFacts| seen.image == of.image.id || seen.state == ContainerStatus::Created;
    seen.iter().filter(|seen| !of.known.contains(&seen.id)).filter(made).take(of.count).collect()
}
