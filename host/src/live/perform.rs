//! Performs steps: each becomes calls of the adapters, and each may be performed twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};

use super::front::FrontDoor;
use super::health;
use super::lock::Held;
use super::observe::container;
use super::probe::Probe;
use super::site::Site;
use crate::docker::{Seen, State};
use crate::engine::World;
use crate::model::{Container, Failure, OldVolumes, PROBE_RATE, Phase, Place, ServiceName};
use crate::nginx::{self, FileChange, TUNING_FILE};
use crate::plan::{Front, Plan, PlannedService, Reach, Step, names};
use crate::run::trace::Probed;
use crate::run::{Facts, Generation, Learnt};
use crate::ui::Display;

/// A connection that somebody opens at the moment in which a container is connected anew is tried again by the kernel after a
/// second: until then the container must still be there.
const TRIED_AGAIN: Duration = Duration::from_millis(1100);

/// The real world of one run.
pub struct Live<'a> {
    pub(super) site: &'a Site,
    pub(super) plan: &'a Plan,
    pub(super) held: &'a Held,
    pub(super) display: Display,
    /// One probe for each URL that a service of the plan names.
    pub(super) probes: BTreeMap<ServiceName, Arc<Probe>>,
    /// What is normal for the checks of each candidate.
    pub(super) usual: health::Usual,
    /// How often and since when each phase is asked.
    pub(super) entered: Entered,
}

/// How often hooks were asked in each phase, and since when. Known in the process that asks.
#[derive(Debug, Default)]
pub(super) struct Entered(Mutex<BTreeMap<Asked, (u32, Instant)>>);

/// A phase, of which service, about which container.
type Asked = (Phase, ServiceName, String);

impl Entered {
    /// Counts a call of a phase about a container. Returns how many there were with it, and the time since the first one.
    pub(super) fn ask(&self, phase: Phase, service: &ServiceName, about: &str) -> (u32, Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) =
            all.entry((phase, service.clone(), about.to_owned())).or_insert_with(|| (0, Instant::now()));
        *count += 1;
        (*count, since.elapsed())
    }
}

impl World for Live<'_> {
    async fn perform(&self, step: &Step, facts: &Facts) -> Result<Learnt, Failure> {
        // No hook begins beside a command that was given up, least of all its undo. Other steps need not wait: scripts in one
        // container do by themselves, and what runs in a candidate goes with it.
        if !step.hooks().is_empty() {
            self.site.docker.given_up_is_over().await?;
        }
        match step {
            Step::Tag { name, image, before, .. } => self.tag(name, image, before.as_deref()).await,
            Step::TagBack { name, image, before, .. } => self.tag_back(name, image, before.as_deref()).await,
            Step::PreStart { service, hooks, .. } => {
                if !hooks.is_empty() {
                    self.must_be_named(service).await?;
                }
                self.pre_start(service, facts).await
            }
            Step::Adopt { service, front, live, .. } => self.adopt(service, front, live).await,
            Step::Release { service, front } => self.release(service, front).await,
            Step::Create { service, count, known, .. } => self.create(service, *count, known).await,
            Step::Init { service, commands, timeout } => self.init(service, commands, *timeout, facts).await,
            Step::EndInit { service, count } => self.end_init(service, *count).await,
            Step::Inject { service, files } => self.inject(service, files, facts).await,
            Step::PostStart { service, commands, timeout, .. } => {
                self.post_start(service, commands, *timeout, facts).await
            }
            Step::PostStartOld { service, old, commands, timeout } => {
                self.post_start_old(service, old, commands, *timeout).await
            }
            Step::PreStop { .. } => self.pre_stop(step, facts).await,
            Step::PreStopCandidates { service, commands, timeout } => {
                self.pre_stop_candidates(service, commands, *timeout, facts).await
            }
            Step::StopOld { old, grace, .. } => self.stop_old(old, *grace).await,
            Step::Start { service, networks, reach, unnamed, .. } => {
                self.start(service, networks, reach.as_ref(), unnamed, facts).await
            }
            Step::Announce { service, places, reach, .. } => {
                self.announce(service, places, reach.as_ref(), facts).await
            }
            Step::AwaitHealthy { .. } => health::await_healthy(self, step, facts).await,
            Step::PreSwap { service, .. } => self.pre_swap(service, facts).await,
            Step::Switch { service, front, judged, .. } => self.switch(service, front, *judged, facts).await,
            Step::PostSwap { service, .. } => self.post_swap(service, facts).await,
            Step::Watch { service, time, .. } => health::watch(self, service, *time, facts).await,
            Step::Drain { service, front, timeout, .. } => self.drain(service, front, *timeout, facts).await,
            Step::Commit => self.commit(facts).await,
            Step::Retire { service, old, grace, front, leftovers, old_volumes, keep, unnamed, .. } => {
                self.must_run(facts.candidates(service)).await?;
                let retire = async {
                    self.make_way(service, old, unnamed, front.as_deref(), facts).await?;
                    // That may have taken a while, in which others can do much.
                    self.must_run(facts.candidates(service)).await?;
                    self.retire(service, old, (*grace, *old_volumes), front.as_deref(), facts).await?;
                    self.clear_away(service, leftovers, front.as_deref()).await
                };
                let Some(keep) = keep else { return retire.await };
                // Before the container goes: until then its image can't be pruned.
                self.keep(keep, old, facts.candidates(service)).await;
                tokio::join!(retire, self.forget(service, keep)).0
            }
            Step::Rest { service, front } => self.rest(service, front, facts).await,
            Step::Finish { service, .. } => self.finish(service, facts).await,
            Step::Rollback { service, .. } => self.rollback(service, facts).await,
            Step::RemoveCandidates { service, known } => self.remove_candidates(service, known, facts).await,
            Step::StartOld { service, old, front } => self.start_old(service, old, front.as_deref()).await,
            Step::StopCandidates { service, grace } => self.stop_candidates(service, *grace, facts).await,
            Step::SwitchBack { service, front, to, drain } => self.switch_back(service, front, to, *drain, facts).await,
        }
    }

    async fn holds(&self) -> Result<(), Failure> {
        self.held.still().await
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

impl<'a> Live<'a> {
    /// Makes the world of a plan.
    pub fn new(site: &'a Site, plan: &'a Plan, held: &'a Held, display: Display) -> Self {
        Self {
            site,
            plan,
            held,
            display,
            probes: BTreeMap::new(),
            usual: health::Usual::default(),
            entered: Entered::default(),
        }
    }

    /// Begins to measure the front doors that the plan names.
    pub fn measure(&mut self) {
        for step in &self.plan.steps {
            let Step::Switch { service, front, .. } = step else { continue };
            let Some(url) = &front.probe else { continue };
            let live = self.plan.services.iter().find(|planned| planned.name == *service);
            let live = live.map_or(&[][..], |planned| &planned.live);
            match Probe::start(url, front.probe_way.as_ref(), front.probe_rate.unwrap_or(PROBE_RATE), live) {
                Ok(probe) => drop(self.probes.insert(service.clone(), Arc::new(probe))),
                // Hooks that need its numbers are told that there are none.
                Err(failure) => self.display.remark(&failure.what),
            }
        }
    }

    /// Returns what the probes have counted up to now.
    pub fn probed(&self) -> Vec<Probed> {
        self.probes.iter().map(|(service, probe)| probe.probed(service)).collect()
    }

    /// Tells whether the old containers had died before the run began, so that nothing is to be given back by them.
    pub(super) fn is_down(&self, service: &ServiceName) -> bool {
        self.planned(service).is_some_and(|planned| planned.down)
    }

    pub(super) fn planned(&self, service: &ServiceName) -> Option<&PlannedService> {
        self.plan.services.iter().find(|planned| planned.name == *service)
    }

    /// Returns the candidates as the engine sees them: whatever belongs to the service and was not there before.
    async fn not_known(&self, service: &ServiceName, known: &[String]) -> Result<Vec<Seen>, Failure> {
        let all = self.site.docker.of_service(&self.plan.project, service.as_str()).await?;
        Ok(all.into_iter().filter(|seen| !known.contains(&seen.id)).collect())
    }

    /// Twice: compose counts what exists, so a second time creates only what is missing; what is there is adopted.
    async fn create(&self, service: &ServiceName, count: usize, known: &[String]) -> Result<Learnt, Failure> {
        let mut candidates = self.not_known(service, known).await?;
        if candidates.len() < count {
            let there = self.site.docker.of_service(&self.plan.project, service.as_str()).await?.len();
            self.site.compose.create_candidates(service, there + count - candidates.len()).await?;
            candidates = self.not_known(service, known).await?;
        }
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
        let places = |seen: &Seen| seen.networks.values().map(|network| network.place.clone()).collect();
        Ok(Learnt::Candidates {
            containers,
            // What is there before anybody changes it: candidates that wait for their names are given these places again.
            places: candidates.iter().map(|seen| (seen.id.clone(), places(seen))).collect(),
        })
    }

    /// Twice: the engine answers that a running container runs.
    async fn start(
        &self,
        service: &ServiceName,
        networks: &[String],
        reach: Option<&Reach>,
        unnamed: &[String],
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        // Also where another process created them, and nobody had looked.
        self.must_be_planned(service, facts.candidates(service))?;
        self.stay_named(service).await?;
        let started = facts.candidates(service).iter().map(|candidate| async {
            self.connect(candidate, service, networks, unnamed, facts).await?;
            self.site.docker.start(&candidate.id).await.map_err(|failure| with_advice(failure, candidate))?;
            self.located(candidate, reach).await
        });
        let containers = try_join_all(started).await?;
        if let Some(probe) = self.probes.get(service) {
            probe.candidates(&containers);
        }
        Ok(Learnt::candidates(containers))
    }

    /// Connects a candidate to the networks that compose 1.29 connects only when it starts a container itself, and takes the
    /// service's names from it where others must not call it yet.
    ///
    /// Twice: one that runs keeps what it has; where it is not connected any more, it is connected again.
    async fn connect(
        &self,
        candidate: &Container,
        service: &ServiceName,
        networks: &[String],
        unnamed: &[String],
        facts: &Facts,
    ) -> Result<(), Failure> {
        let Some(seen) = self.site.docker.inspect(&candidate.id).await? else { return Err(gone(candidate)) };
        for network in networks {
            let place = self.place(candidate, service, network, facts);
            let place = if unnamed.contains(network) { place.unnamed() } else { place };
            match seen.networks.get(network) {
                None => {}
                Some(_) if unnamed.contains(network) && !seen.runs() => {
                    self.site.docker.disconnect_network(&candidate.id, network).await?;
                }
                Some(_) => continue,
            }
            self.site.docker.connect_network(&candidate.id, &place).await?;
        }
        Ok(())
    }

    /// Returns a candidate's place in a network as compose gave it; where that was not recorded, the one that whoever is
    /// live has there; else what compose would give at the least.
    fn place(&self, candidate: &Container, service: &ServiceName, network: &str, facts: &Facts) -> Place {
        let own = |aliases: &[String]| {
            [std::slice::from_ref(&candidate.name), aliases, &[crate::text::short(&candidate.id).to_owned()]].concat()
        };
        let recorded = facts.places.get(&candidate.id).into_iter().flatten().find(|place| place.network == network);
        if let Some(place) = recorded {
            return place.clone();
        }
        let planned = self.plan.steps.iter().find_map(|step| match step {
            Step::Announce { service: of, places, .. } if of == service => {
                places.iter().find(|place| place.network == network)
            }
            _ => None,
        });
        match planned {
            Some(place) => Place { aliases: own(&place.aliases), ..place.clone() },
            None => Place { network: network.to_owned(), aliases: own(&[service.to_string()]), ..Place::default() },
        }
    }

    /// Twice: who has the names already keeps its place; one that is not connected, because a run ended in between, is
    /// connected.
    ///
    /// The engine can't name a connected container anew, so it is disconnected for a tenth of a second. It gets the address
    /// that it had, because the engine gives the lowest free one, and what it has open goes on. One after the other, because
    /// two at once could change addresses.
    async fn announce(
        &self,
        service: &ServiceName,
        places: &[Place],
        reach: Option<&Reach>,
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        let mut containers = Vec::new();
        for candidate in facts.candidates(service) {
            for Place { network, .. } in places {
                self.name(candidate, service, network, facts).await?;
            }
            containers.push(self.located(candidate, reach).await?);
        }
        let learnt = Learnt::candidates(containers);
        let mut facts = facts.clone();
        if let Learnt::Candidates { containers, .. } = &learnt {
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
        facts: &Facts,
    ) -> Result<(), Failure> {
        let Some(before) = self.site.docker.inspect(&candidate.id).await? else { return Err(gone(candidate)) };
        let place = self.place(candidate, service, network, facts);
        let there = before.networks.get(network);
        if there.is_some_and(|there| place.aliases.iter().all(|alias| there.aliases.contains(alias))) {
            return Ok(());
        }
        self.site.docker.disconnect_network(&candidate.id, network).await?;
        self.site.docker.connect_network(&candidate.id, &place).await?;
        let after = self.site.docker.inspect(&candidate.id).await?.ok_or_else(|| gone(candidate))?;
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

    /// Returns the container with the address that it has now.
    pub(super) async fn located(&self, candidate: &Container, reach: Option<&Reach>) -> Result<Container, Failure> {
        let Some(reach) = reach else { return Ok(candidate.clone()) };
        let seen = self.site.docker.inspect(&candidate.id).await?;
        let seen = seen.ok_or_else(|| gone(candidate))?;
        match seen.address(reach.network.as_deref()) {
            Some(ip) => Ok(container(&seen, Some(SocketAddr::new(ip, reach.port)))),
            // A container that has exited already has no address; the health step says why it exited.
            None => Ok(candidate.clone()),
        }
    }

    /// Returns the project that the upstream file belongs to now, where that is another one: while a run was dead, others may
    /// have taken the name.
    pub(super) async fn owner_now(&self, service: &ServiceName, front: &Front) -> Result<Option<String>, Failure> {
        let text = self.site.upstream_now(self.plan, service, front).await?;
        let owner = text.as_deref().and_then(nginx::owner).filter(|owner| *owner != self.plan.project);
        Ok(owner.map(str::to_owned))
    }

    /// Changes nginx's files and makes it obey them. After a failure nginx is found anew: it may have been restarted.
    pub(super) async fn change(
        &self,
        service: &ServiceName,
        front: &Front,
        changes: &[FileChange],
    ) -> Result<Generation, Failure> {
        if let Some(owner) = self.owner_now(service, front).await? {
            return Err(Failure::new(format!("`{}` belongs to project `{owner}` now", front.file(service)))
                .hint("see `swap doctor` for how two projects share an nginx"));
        }
        let door = self.door(service, front).await?;
        let nginx = nginx::Nginx { patience: self.site.settings(service).timeouts.reload, ..door.nginx.clone() };
        match door.proxy.switch(&nginx, changes).await {
            Ok(generation) => Ok(generation),
            Err(failure) => {
                self.site.doors.forget(&front.proxy).await;
                Err(failure.into())
            }
        }
    }

    /// From here on the run only goes forward, so what it goes forward to must run.
    async fn commit(&self, facts: &Facts) -> Result<Learnt, Failure> {
        for planned in &self.plan.services {
            let candidates = facts.candidates(&planned.name);
            if candidates.is_empty() {
                return Err(Failure::new(format!("no candidate of `{}` is known that could replace it", planned.name)));
            }
            self.must_run_on(candidates).await?;
            health::still_well(self, &planned.name, facts).await?;
        }
        Ok(Learnt::Nothing)
    }

    /// Fails where a candidate does not run, or has ended since it was started and was restarted by the engine.
    async fn must_run_on(&self, candidates: &[Container]) -> Result<(), Failure> {
        self.must_run_since(candidates, Some(0)).await
    }

    /// Fails where a candidate does not run now.
    pub(super) async fn must_run(&self, candidates: &[Container]) -> Result<(), Failure> {
        self.must_run_since(candidates, None).await
    }

    async fn must_run_since(&self, candidates: &[Container], restarts: Option<u64>) -> Result<(), Failure> {
        for candidate in candidates {
            match self.site.docker.inspect(&candidate.id).await? {
                Some(seen) if seen.runs() && seen.restarts <= restarts.unwrap_or(seen.restarts) => {}
                Some(seen) => {
                    let lines = self.site.docker.logs_tail(&candidate.id, 15).await.unwrap_or_default();
                    let ending = seen.ending(restarts.unwrap_or(seen.restarts));
                    let how = ending.map_or(format!("is {}", seen.state), |ending| ending.to_string());
                    return Err(Failure::new(format!("candidate `{}` {how}", candidate.name)).tail(lines));
                }
                None => return Err(gone(candidate)),
            }
        }
        Ok(())
    }

    /// Twice: a stopped container stays stopped. The file names them: the operator has settled that there is a gap.
    async fn stop_old(&self, old: &[Container], grace: Option<Duration>) -> Result<Learnt, Failure> {
        self.end(old, grace, false, None).await?;
        Ok(Learnt::Nothing)
    }

    /// Twice: running containers stay, and the same addresses are written again.
    async fn start_old(
        &self,
        service: &ServiceName,
        old: &[Container],
        front: Option<&Front>,
    ) -> Result<Learnt, Failure> {
        if self.is_down(service) {
            // They had died before the run: it is enough that somebody has tried.
            join_all(old.iter().map(|container| self.site.docker.start(&container.id))).await;
            return Ok(Learnt::Nothing);
        }
        try_join_all(old.iter().map(|container| self.site.docker.start(&container.id))).await?;
        let Some(front) = front else { return Ok(Learnt::Nothing) };
        let reach = front.reach();
        let located = try_join_all(old.iter().map(|container| self.located(container, Some(&reach)))).await?;
        // A container that was stopped may have got another address.
        if located.iter().zip(old).any(|(now, then)| now.address != then.address) {
            self.change(service, front, &[self.upstream_change(service, front, &located)]).await?;
        }
        Ok(Learnt::Nothing)
    }

    pub(super) async fn door(&self, service: &ServiceName, front: &Front) -> Result<Arc<FrontDoor>, Failure> {
        self.site.doors.of(&self.site.docker, &self.plan.project, service, front).await
    }

    /// Twice: the same bytes are written and nginx reloads once more.
    async fn switch(
        &self,
        service: &ServiceName,
        front: &Front,
        judged: bool,
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        let candidates = facts.candidates(service);
        if let Some(lost) = candidates.iter().find(|candidate| candidate.address.is_none()) {
            return Err(Failure::new(format!("candidate `{}` has no address that nginx could use", lost.name)));
        }
        self.must_run_on(candidates).await?;
        health::before_switch(self, service, facts).await?;
        // The backup finds the old containers too as long as they run, and what it hides can't be judged.
        let shown = Front { resolver: front.resolver.filter(|_| !judged), ..front.clone() };
        let mut changes = vec![self.upstream_change(service, &shown, candidates)];
        changes.extend(tuning(front));
        let generation = self.change(service, front, &changes).await?;
        if let Some(probe) = self.probes.get(service) {
            probe.switched();
        }
        Ok(Learnt::Former { generation })
    }

    /// Twice: as for the switch.
    ///
    /// Waits until no nginx worker uses the candidates, because they are stopped next.
    async fn switch_back(
        &self,
        service: &ServiceName,
        front: &Front,
        to: &[Container],
        drain: Duration,
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        let text = self.text_before(service, front, to).await?;
        let generation = self.change(service, front, &[FileChange::upstream(front.upstream(service), text)]).await?;
        let door = self.door(service, front).await?;
        if !self.is_down(service) {
            self.display.note(&format!("{service}: {} serves again", names(to)));
        }
        if self.any_runs(facts.candidates(service)).await {
            // Requests that are still at the candidates after that are cut: they are to go.
            let note = |left: &[nginx::Worker]| {
                self.display.note(&format!("{} nginx workers still use the candidates", left.len()))
            };
            let _ = door.proxy.await_drained(&generation, drain, note).await;
        }
        // Where nothing was adopted, nobody else brings the file to rest.
        if self.is_down(service) { self.rest(service, front, facts).await } else { Ok(Learnt::Nothing) }
    }

    /// Returns the old containers with their present addresses; those that somebody stopped are started first.
    pub(super) async fn revived(
        &self,
        service: &ServiceName,
        front: &Front,
        old: &[Container],
    ) -> Result<Vec<Container>, Failure> {
        let reach = front.reach();
        let mut located = Vec::new();
        for container in old {
            let Some(seen) = self.site.docker.inspect(&container.id).await? else { continue };
            if !seen.runs() {
                self.site.docker.start(&container.id).await?;
            }
            located.push(self.located(container, Some(&reach)).await?);
        }
        if located.is_empty() { Err(nothing_left(service, old)) } else { Ok(located) }
    }

    /// Tells whether the old containers of a service are stopped before its candidates start.
    pub(super) fn stops_first(&self, service: &ServiceName) -> bool {
        self.plan.steps.iter().any(|step| matches!(step, Step::StopOld { service: of, .. } if of == service))
    }

    pub(super) async fn any_runs(&self, containers: &[Container]) -> bool {
        let runs = containers.iter().map(|container| async {
            matches!(self.site.docker.inspect(&container.id).await, Ok(Some(seen)) if seen.runs())
        });
        join_all(runs).await.into_iter().any(|runs| runs)
    }

    /// Twice: workers that are gone stay gone.
    ///
    /// When time is up the run goes on: what is left is cut when the old container stops, as the operator has settled.
    async fn drain(
        &self,
        service: &ServiceName,
        front: &Front,
        timeout: Duration,
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        let Some(generation) = facts.former.get(service) else { return Ok(Learnt::Nothing) };
        let door = self.door(service, front).await?;
        let note = |left: &[nginx::Worker]| {
            self.display.note(&format!("{} old nginx workers still have requests", left.len()))
        };
        if let Err(failure) = door.proxy.await_drained(generation, timeout, note).await {
            if door.proxy.drained(generation).await?.is_empty() {
                return Ok(Learnt::Nothing);
            }
            self.display.remark(&format!("{}: they are cut when the old container stops", failure.what));
            if let Some(hint) = failure.hint {
                self.display.say(&format!("  hint: {hint}"));
            }
        }
        Ok(Learnt::Nothing)
    }

    /// Makes sure that nobody is sent to the old containers any more: neither by nginx nor by the service's names.
    ///
    /// Twice: what has lost the names stays without them.
    async fn make_way(
        &self,
        service: &ServiceName,
        old: &[Container],
        unnamed: &[String],
        front: Option<&Front>,
        facts: &Facts,
    ) -> Result<(), Failure> {
        if let Some(front) = front {
            self.refuse_if_named(service, front, old, true).await?;
            if !facts.former.contains_key(service) && self.any_runs(old).await {
                self.drain_anew(service, front, facts).await?;
            }
        }
        let mut taken = false;
        for (container, network) in old.iter().flat_map(|old| unnamed.iter().map(move |network| (old, network))) {
            self.held.still().await?;
            match self.unname(container, network).await {
                Ok(did) => taken |= did,
                // It stops all the same: some who call the service by its name may find nobody meanwhile.
                Err(failure) => self.display.remark(&format!("{service}: {}", failure.what)),
            }
        }
        if taken {
            tokio::time::sleep(TRIED_AGAIN).await;
        }
        Ok(())
    }

    /// Takes the service's names in a network from an old container, so that nobody finds it while it stops; answers whether it
    /// had them. What it has open goes on: it gets its address back, as in [`announce`](Self::announce).
    async fn unname(&self, old: &Container, network: &str) -> Result<bool, Failure> {
        let docker = &self.site.docker;
        let Some(seen) = docker.inspect(&old.id).await?.filter(Seen::runs) else { return Ok(false) };
        let Some(there) = seen.networks.get(network) else { return Ok(false) };
        if there.place.of_service(&seen.name, &seen.id).aliases.is_empty() {
            return Ok(false);
        }
        docker.disconnect_network(&old.id, network).await?;
        docker.connect_network(&old.id, &there.place.unnamed()).await?;
        Ok(true)
    }

    /// Twice: what is stopped stays stopped, what is gone stays gone.
    async fn retire(
        &self,
        service: &ServiceName,
        old: &[Container],
        (grace, old_volumes): (Option<Duration>, OldVolumes),
        front: Option<&Front>,
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        // The engine keeps a volume that another container uses.
        self.end(old, grace, true, Some(old_volumes == OldVolumes::Remove)).await?;
        if let Some(front) = front
            && let Err(failure) = self.give_backup(service, front, facts.candidates(service)).await
        {
            // The candidates serve all the same, and the next swap writes the file anew.
            self.display.remark(&format!("{}: `{}` has no backup", failure.what, front.file(service)));
        }
        Ok(Learnt::Nothing)
    }

    /// Removes containers that did not run when the run began: compose counts them, and would start them in the old version.
    /// One that runs now was started by somebody since, and stays.
    ///
    /// Twice: what is gone stays gone. Their volumes stay.
    async fn clear_away(
        &self,
        service: &ServiceName,
        leftovers: &[Container],
        front: Option<&Front>,
    ) -> Result<Learnt, Failure> {
        for leftover in leftovers {
            match self.site.docker.inspect(&leftover.id).await? {
                None => {}
                Some(seen) if seen.runs() || seen.state == State::Paused => {
                    self.display.remark(&format!(
                        "{} did not run when the swap began and is {} now, so it stays, in the old version",
                        leftover.name, seen.state
                    ));
                }
                Some(_) => {
                    // One that the engine restarts again and again is between two lives.
                    let one = std::slice::from_ref(leftover);
                    if let Some(front) = front {
                        self.refuse_if_named(service, front, one, true).await?;
                    }
                    self.end(one, Some(Duration::ZERO), true, Some(false)).await?;
                }
            }
        }
        Ok(Learnt::Nothing)
    }

    /// Drains where nobody knows the workers that served the old containers, because the journal was lost: nginx is told
    /// once more what it knows, and all workers from before are waited for.
    async fn drain_anew(&self, service: &ServiceName, front: &Front, facts: &Facts) -> Result<(), Failure> {
        let Learnt::Former { generation } = self.switch(service, front, false, facts).await? else { return Ok(()) };
        let timeout = self.plan.steps.iter().find_map(|step| match step {
            Step::Drain { service: of, timeout, .. } if of == service => Some(*timeout),
            _ => None,
        });
        let facts = Facts { former: [(service.clone(), generation)].into(), ..facts.clone() };
        self.drain(service, front, timeout.unwrap_or_default(), &facts).await.map(drop)
    }

    /// Twice: what is stopped stays stopped.
    async fn stop_candidates(
        &self,
        service: &ServiceName,
        grace: Option<Duration>,
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        self.refuse_if_alone(service).await?;
        self.refuse_if_live(service, facts.candidates(service)).await?;
        self.end(facts.candidates(service), grace, true, None).await?;
        Ok(Learnt::Nothing)
    }

    /// Twice: what is removed stays removed. Their anonymous volumes are as new as they are, and go with them.
    async fn remove_candidates(
        &self,
        service: &ServiceName,
        known: &[String],
        facts: &Facts,
    ) -> Result<Learnt, Failure> {
        self.refuse_if_alone(service).await?;
        // What others created meanwhile is theirs, as soon as it is recorded what is ours.
        let candidates = match facts.candidates(service) {
            [] => self.not_known(service, known).await?.iter().map(|seen| container(seen, None)).collect(),
            recorded => recorded.to_vec(),
        };
        self.refuse_if_live(service, &candidates).await?;
        self.end(&candidates, Some(Duration::ZERO), false, Some(true)).await?;
        Ok(Learnt::Nothing)
    }

    /// Nobody goes back over what nginx is told: candidates that the durable file names stay.
    async fn refuse_if_live(&self, service: &ServiceName, candidates: &[Container]) -> Result<(), Failure> {
        match self.plan.front(service) {
            Some(front) => self.refuse_if_named(service, front, candidates, false).await,
            None => Ok(()),
        }
    }

    /// Somebody must serve: where the old containers were removed by somebody else, the candidates stay; where they were
    /// stopped, they are started. With stop-first it was we who stopped them.
    async fn refuse_if_alone(&self, service: &ServiceName) -> Result<(), Failure> {
        let planned = self.planned(service);
        if self.is_down(service) {
            return Ok(());
        }
        let old = planned.map_or(&[][..], |planned| &planned.live);
        let stop_first = self.stops_first(service);
        let mut left = false;
        for container in old {
            let Some(seen) = self.site.docker.inspect(&container.id).await? else { continue };
            left = true;
            if !seen.runs() && !stop_first {
                self.site.docker.start(&container.id).await?;
            }
        }
        if left { Ok(()) } else { Err(nothing_left(service, old)) }
    }
}

/// Returns what swap adds to nginx's settings, if anything.
pub(super) fn tuning(front: &Front) -> Option<FileChange> {
    front.tuning.as_ref().map(|text| FileChange { name: TUNING_FILE.to_owned(), text: Some(text.clone()) })
}

fn nothing_left(service: &ServiceName, old: &[Container]) -> Failure {
    Failure::new(format!("somebody removed {} during the run, so the candidates are kept", names(old)))
        .hint(format!("`docker compose up -d {service}` settles which containers there should be"))
}

fn gone(candidate: &Container) -> Failure {
    Failure::new(format!("candidate `{}` is not there any more", candidate.name))
        .hint("somebody removed it; was `docker compose up` or `down` run meanwhile?")
}

fn with_advice(failure: Failure, candidate: &Container) -> Failure {
    Failure { what: format!("candidate `{}` can't be started: {}", candidate.name, failure.what), ..failure }
}
