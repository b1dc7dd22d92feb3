//! Places and names of containers in the networks.

use super::health;
use super::performer::{Performer, gone};
use crate::model::{Container, ContainerFacts, Failure, NetworkFacts, NetworkPlace, ServiceName};
use crate::plan::NetworkPort;
use crate::run::{RunFacts, StepResult};
use crate::world::{Engine, Ports};

impl<P: Ports> Performer<'_, P> {
    /// Connects a candidate to the networks that compose 1.29 connects only when it starts a container itself, and takes the
    /// service's names from it where others must not call it yet.
    ///
    /// Twice: one that runs keeps what it has; where it is not connected any more, it is connected again.
    pub(super) async fn connect(
        &self,
        candidate: &Container,
        service: &ServiceName,
        networks: &[String],
        unnamed: &[String],
        facts: &RunFacts,
    ) -> Result<(), Failure> {
        let Some(seen) = self.ports.engine().inspect(&candidate.id).await? else { return Err(gone(candidate)) };
        for network in networks {
            let place = self.place(candidate, service, network, facts);
            let place = if unnamed.contains(network) { place.unnamed() } else { place };
            match seen.networks.get(network) {
                None => {}
                Some(_) if unnamed.contains(network) && !seen.runs() => {
                    self.ports.engine().disconnect(&candidate.id, network).await?;
                }
                Some(_) => continue,
            }
            self.ports.engine().connect(&candidate.id, &place).await?;
        }
        Ok(())
    }

    /// Returns a candidate's place in a network as compose gave it; where that was not recorded, the one that whoever is
    /// live has there; else what compose would give at the least.
    pub(super) fn place(
        &self,
        candidate: &Container,
        service: &ServiceName,
        network: &str,
        facts: &RunFacts,
    ) -> NetworkPlace {
        let own = |aliases: &[String]| {
            [std::slice::from_ref(&candidate.name), aliases, &[crate::text::short(&candidate.id).to_owned()]].concat()
        };
        let recorded = facts.places.get(&candidate.id).into_iter().flatten().find(|place| place.network == network);
        if let Some(place) = recorded {
            return place.clone();
        }
        match self.called_in(service).find(|place| place.network == network) {
            Some(place) => NetworkPlace { aliases: own(&place.aliases), ..place.clone() },
            None => NetworkPlace {
                network: network.to_owned(),
                aliases: own(&[service.to_string()]),
                ..NetworkPlace::default()
            },
        }
    }

    /// Returns the places in which a service's containers have names that others call.
    fn called_in(&self, service: &ServiceName) -> impl Iterator<Item = &NetworkPlace> {
        self.planned(service).into_iter().flat_map(|of| &of.called_in).map(|called| &called.place)
    }

    /// Twice: who has the names already keeps its place; one that is not connected, because a run ended in between, is
    /// connected.
    ///
    /// The engine can't name a connected container anew, so it is disconnected for a tenth of a second. It gets the address
    /// that it had, because the engine gives the lowest free one, and what it has open goes on.
    pub(super) async fn announce(
        &self,
        service: &ServiceName,
        places: &[NetworkPlace],
        reach: Option<&NetworkPort>,
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        let mut containers = Vec::new();
        for candidate in facts.candidates(service) {
            for NetworkPlace { network, .. } in places {
                self.name(candidate, service, network, facts).await?;
            }
            containers.push(self.located(candidate, reach).await?);
        }
        let learnt = StepResult::candidates(containers);
        let mut facts = facts.clone();
        if let StepResult::Candidates { containers, .. } = &learnt {
            facts.candidates.insert(service.clone(), containers.clone());
        }
        health::still_healthy(self, service, &facts).await?;
        Ok(learnt)
    }

    /// Gives a candidate the service's names in a network.
    async fn name(
        &self,
        candidate: &Container,
        service: &ServiceName,
        network: &str,
        facts: &RunFacts,
    ) -> Result<(), Failure> {
        let Some(before) = self.ports.engine().inspect(&candidate.id).await? else { return Err(gone(candidate)) };
        let place = self.place(candidate, service, network, facts);
        let there = before.networks.get(network);
        if has_names(there, &place.aliases) {
            return Ok(());
        }
        self.reconnect(&candidate.id, network, &place).await?;
        let after = self.ports.engine().inspect(&candidate.id).await?.ok_or_else(|| gone(candidate))?;
        let (then, now) = (there, after.networks.get(network));
        match (then.and_then(|then| then.ip), now.and_then(|now| now.ip)) {
            (Some(then), Some(now)) if then != now => Err(Failure::new(format!(
                "candidate `{}` got another address in network `{network}` when it got the service's names ({now} instead \
                 of {then}), which cuts what it has open there",
                candidate.name
            ))
            .hint(
                "another container left or joined the network at that moment: swap again; if it happens each time, write \
                 `x-swap: { dns: at-start }`",
            )),
            _ => Ok(()),
        }
    }

    /// Gives an old container that serves again the service's names back: a run that nobody knows more of may have begun to
    /// retire it. Twice: what has its names keeps its place.
    pub(super) async fn name_again(
        &self,
        service: &ServiceName,
        old: &Container,
        seen: &ContainerFacts,
    ) -> Result<(), Failure> {
        for NetworkPlace { network, aliases, .. } in self.called_in(service) {
            let there = seen.networks.get(network);
            if has_names(there, aliases) {
                continue;
            }
            let place = self.place(old, service, network, &RunFacts::default());
            match there {
                Some(_) => self.reconnect(&old.id, network, &place).await?,
                None => self.ports.engine().connect(&old.id, &place).await?,
            }
        }
        Ok(())
    }

    /// Takes the service's names in a network from an old container, so that nobody finds it while it stops; answers whether it
    /// had them. What it has open goes on: it gets its address back, as in [`announce`](Self::announce).
    pub(super) async fn unname(&self, old: &Container, network: &str) -> Result<bool, Failure> {
        let Some(seen) = self.ports.engine().inspect(&old.id).await?.filter(ContainerFacts::runs) else {
            return Ok(false);
        };
        let Some(there) = seen.networks.get(network) else { return Ok(false) };
        if there.place.of_service(&seen.name, &seen.id).aliases.is_empty() {
            return Ok(false);
        }
        self.reconnect(&old.id, network, &there.place.unnamed()).await?;
        Ok(true)
    }

    /// Gives a container another place in a network in which it is. One at a time, for whatever service: two at once would get
    /// the addresses that they have just given back, each the other one's.
    async fn reconnect(&self, id: &str, network: &str, place: &NetworkPlace) -> Result<(), Failure> {
        let _alone = self.reconnects.lock().await;
        self.ports.engine().disconnect(id, network).await?;
        self.ports.engine().connect(id, place).await
    }
}

/// Tells whether a container that is in a network has all these names there.
fn has_names(there: Option<&NetworkFacts>, names: &[String]) -> bool {
    there.is_some_and(|there| names.iter().all(|name| there.aliases.contains(name)))
}
