//! Whom an upstream file names, and who gets requests by it. Pure.

use crate::docker::ContainerFacts;
use crate::model::Container;
use crate::nginx::{self, Observation};

/// Who of a service's running containers gets requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Serving {
    /// Those with these ids, which the upstream file names; perhaps none.
    Named(Vec<String>),
    /// All of them: the file names none of them, and nginx asks the engine's DNS then.
    ByDns,
    /// All of them: nothing else is known.
    All,
}

/// Tells whom nginx sends requests to: whoever has an address that the upstream file names. Where nobody who runs has one,
/// because compose made the containers anew, the service's DNS name behind them counts, if the file has it. Where nginx was
/// started or reloaded since the file came to rest, it has asked for the name.
pub(super) fn serving(file: &nginx::UpstreamFile, obeyed: bool, running: &[&ContainerFacts]) -> Serving {
    if let Some(rest) = &file.rest
        && (rest.name.is_some() || file.fallback.is_some())
        && !obeyed
    {
        return Serving::All;
    }
    let named = |seen: &&&ContainerFacts| {
        let mut addresses = seen.networks.values().filter_map(|network| network.ip);
        addresses.any(|ip| file.servers.iter().any(|server| server.address.ip() == ip))
    };
    let ids: Vec<String> = running.iter().filter(named).map(|seen| seen.id.clone()).collect();
    if ids.is_empty() && file.fallback.is_some() { Serving::ByDns } else { Serving::Named(ids) }
}

/// Tells whether the upstream file names these containers and no others.
pub(super) fn names_exactly(file: &nginx::UpstreamFile, live: &[Container]) -> bool {
    let named = |container: &Container| file.servers.iter().any(|server| Some(server.address) == container.address);
    file.servers.len() == live.len() && live.iter().all(named)
}

/// Tells who of the running containers is live, and who was left by a run that died: a file that is not at rest is one of a run
/// that did not come to its end, and whom no such file names gets no requests. `None`: none says anything of the kind.
pub(super) fn left_behind<'a, 'f>(
    files: impl Iterator<Item = &'f str>,
    running: &[&'a ContainerFacts],
) -> Option<(Vec<&'a ContainerFacts>, Vec<&'a ContainerFacts>)> {
    let files = files.filter_map(|file| nginx::parse(file).ok()).filter(|file| file.rest.is_none());
    let servers: Vec<nginx::Server> = files.flat_map(|file| file.servers).collect();
    let named = |seen: &&ContainerFacts| servers.iter().any(|server| seen.id.starts_with(&server.id));
    let (live, left): (Vec<&ContainerFacts>, Vec<&ContainerFacts>) = running.iter().copied().partition(named);
    (!live.is_empty() && !left.is_empty()).then_some((live, left))
}

/// Tells whether a file is at rest and nginx obeys the addresses of its header still: nobody has made it read the file since.
pub(super) fn is_obeyed(file: &nginx::UpstreamFile, observation: &Observation) -> bool {
    let now = observation.generation.as_ref().and_then(nginx::Obeyed::of);
    file.rest.as_ref().is_some_and(|rest| Some(&rest.obeyed) == now.as_ref())
}
