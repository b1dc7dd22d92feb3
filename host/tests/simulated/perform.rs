//! How the simulated world performs steps: in small effects, between which anything may go wrong.

use std::cell::RefCell;
use std::time::Duration;

use swap::model::{Container, Failure, ServiceName};
use swap::nginx::{Generation, Process};
use swap::plan::{Front, Step};
use swap::run::{Facts, Learnt};
use swap::world::World;

use super::chance::Fault;
use super::family;
use super::foreign::Foreign;
use super::world::{File, Former, Joined, Life, Obeyed, Server, Universe};

/// Why an effect went no further.
pub enum Stop {
    /// It failed.
    Failed(Failure),
    /// The future that stands for it is never ready: swap was killed, or will drop it because of a signal.
    Ended,
}

/// The limit of a drain where the plan's is not at hand.
const LONGEST_DRAIN: Duration = Duration::from_secs(30);

type Effect<T = ()> = Result<T, Stop>;

/// The world as the executor sees it.
pub struct Performer<'a>(pub &'a RefCell<Universe>);

impl World for Performer<'_> {
    async fn perform(&self, step: &Step, facts: &Facts) -> Result<Learnt, Failure> {
        let performed = self.0.borrow_mut().perform(step, facts);
        match performed {
            Ok(learnt) => Ok(learnt),
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::Ended) => std::future::pending().await,
        }
    }

    async fn holds(&self) -> Result<(), Failure> {
        match self.0.borrow().lost {
            true => Err(Failure::new("somebody else holds the service")),
            false => Ok(()),
        }
    }

    async fn pause(&self, time: Duration) {
        let dead = {
            let mut world = self.0.borrow_mut();
            world.now += time.as_millis() as u64;
            world.dead
        };
        if dead {
            std::future::pending::<()>().await;
        }
    }
}

fn failed<T>(what: impl Into<String>) -> Effect<T> {
    Err(Stop::Failed(Failure::new(what)))
}

impl Universe {
    fn perform(&mut self, step: &Step, facts: &Facts) -> Effect<Learnt> {
        if self.dead {
            return Err(Stop::Ended);
        }
        self.meddled = false;
        self.tell(|| format!("  {step}"));
        self.point(step)?;
        let learnt = self.effect(step, facts)?;
        self.point(step)?;
        Ok(learnt)
    }

    /// A point between two effects of a step, at which anything may go wrong.
    fn point(&mut self, step: &Step) -> Effect {
        let mut faults = [Fault::Crash; 5 + Foreign::ALL.len()];
        faults[1] = Fault::Fail;
        faults[2] = Fault::FailForGood;
        faults[3] = Fault::Signal;
        faults[4] = Fault::LosesLock;
        for (fault, foreign) in faults[5..].iter_mut().zip(Foreign::ALL) {
            *fault = Fault::Foreign(foreign);
        }
        self.now += 10;
        if let Some(fault) = self.chance.fault(&faults) {
            match fault {
                Fault::Foreign(foreign) => {
                    let service = step.service().map_or(0, |name| self.index(name));
                    self.meddle(service, foreign);
                }
                Fault::LosesLock => {
                    self.tell(|| "  (taken for dead)".to_owned());
                    self.lost = true;
                }
                Fault::Signal => {
                    // Some people press Ctrl-C twice.
                    for _ in 0..=self.chance.below(2) {
                        self.tell(|| "  (a signal)".to_owned());
                        self.signals.send_modify(|signals| signals.push("SIGINT".to_owned()));
                    }
                }
                Fault::Fail | Fault::FailForGood => {
                    self.tell(|| format!("  ({fault:?})"));
                    if fault == Fault::FailForGood {
                        self.broken = Some(step.verb());
                    }
                    self.restless |= matches!(step, Step::Rest { .. });
                    self.check();
                    return failed("it failed");
                }
                Fault::Crash | Fault::CrashAfter | Fault::DiskFull => {
                    self.tell(|| "  (killed)".to_owned());
                    self.dead = true;
                }
            }
        }
        self.check();
        if self.dead {
            return Err(Stop::Ended);
        }
        if self.broken == Some(step.verb()) {
            self.restless |= matches!(step, Step::Rest { .. });
            return failed("it fails for good");
        }
        let patience = if step.interruptible() { 1 } else { 2 };
        if self.signals.borrow().len() >= patience {
            return Err(Stop::Ended);
        }
        Ok(())
    }

    fn effect(&mut self, step: &Step, facts: &Facts) -> Effect<Learnt> {
        let service = step.service().map_or(0, |name| self.index(name));
        match step {
            Step::Tag { image, before, .. } => {
                let now = format!("sha256:{}", self.services[service].image);
                if now != *image {
                    if Some(&now) != before.as_ref() {
                        return failed("the image was built anew");
                    }
                    self.services[service].image = number(image);
                }
                Ok(Learnt::Nothing)
            }
            Step::TagBack { image, before, .. } => {
                let service = &mut self.services[service];
                if self.rules.tags_back && service.image == number(image) {
                    service.image = before.as_deref().map_or(0, number);
                }
                Ok(Learnt::Nothing)
            }
            Step::PreStart { .. } => {
                self.services[service].migrated = true;
                Ok(Learnt::Nothing)
            }
            Step::Rollback { .. } => {
                self.services[service].migrated = false;
                Ok(Learnt::Nothing)
            }
            Step::Finish { .. } | Step::PreSwap { .. } | Step::PostSwap { .. } => Ok(Learnt::Nothing),
            // What these do stays inside of containers.
            Step::Init { .. }
            | Step::EndInit { .. }
            | Step::Inject { .. }
            | Step::PostStart { .. }
            | Step::PostStartOld { .. }
            | Step::PreStop { .. }
            | Step::PreStopCandidates { .. } => Ok(Learnt::Nothing),
            Step::Adopt { live, front, .. } => {
                let servers = self.named_by(service, live);
                let rest =
                    front.before.as_deref().filter(|_| front.is_obeyed()).and_then(|text| family::parsed(text).rest);
                let obeyed = rest.is_some_and(|rest| rest == self.obeying() || !self.rules.adopts_what_is_obeyed);
                if obeyed {
                    self.nginx.files[service] = Some(File { servers, rest: None });
                    self.tell(|| "  . the upstream file names addresses, as nginx has them".to_owned());
                    self.point(step)?;
                }
                // Others may have told it in between to read its files.
                if !obeyed || rest != Some(self.obeying()) && self.rules.adopts_what_is_obeyed {
                    let servers = self.named_by(service, live);
                    self.write(step, service, Some(servers))?;
                }
                Ok(Learnt::Nothing)
            }
            Step::Rest { service: name, front } => self.rest(step, service, front, facts.candidates(name)),
            Step::Release { .. } => {
                self.write(step, service, None)?;
                Ok(Learnt::Nothing)
            }
            Step::Create { count, known, image, .. } => {
                let learnt = self.create(step, service, *count, known)?;
                if let Learnt::Candidates { containers, .. } = &learnt {
                    self.must_be_planned(containers, &image.id)?;
                }
                Ok(learnt)
            }
            Step::Start { service: name, unnamed, .. } => {
                let planned = self.planned.get(name).cloned().unwrap_or_default();
                self.must_be_planned(facts.candidates(name), &planned)?;
                self.start_candidates(step, service, facts.candidates(name), !unnamed.is_empty())
            }
            Step::Announce { service: name, .. } => self.announce(step, service, facts.candidates(name)),
            Step::StopOld { old, .. } => {
                self.stop_all(step, service, old)?;
                Ok(Learnt::Nothing)
            }
            Step::AwaitHealthy { service: name, timeout, .. } => {
                self.await_healthy(step, service, facts.candidates(name), *timeout)
            }
            Step::Switch { service: name, .. } => self.switch(step, service, facts.candidates(name)),
            Step::Watch { service: name, time, .. } => {
                self.now += time.as_millis() as u64;
                self.point(step)?;
                self.judge(service, facts.candidates(name))?;
                Ok(Learnt::Nothing)
            }
            Step::Drain { service: name, timeout, .. } => {
                if let Some(generation) = facts.former.get(name).and_then(Generation::of) {
                    self.await_drained(step, &generation, *timeout)?;
                }
                Ok(Learnt::Nothing)
            }
            Step::Commit => {
                if self.rules.commit_looks {
                    if self.live.iter().any(|(name, _)| facts.candidates(name).is_empty()) {
                        return failed("no candidate is known");
                    }
                    for (name, candidates) in &facts.candidates {
                        let service = self.index(name);
                        self.judge(service, candidates)?;
                    }
                }
                Ok(Learnt::Nothing)
            }
            Step::Retire { service: name, old, leftovers, .. } => {
                self.retire(step, service, old, facts.candidates(name), facts.former.get(name))?;
                for leftover in leftovers {
                    if let Some(index) = self.place(service, leftover)
                        && self.services[service].containers[index].life != Life::Running
                    {
                        let id = self.services[service].containers[index].id;
                        self.remove(service, id);
                        self.point(step)?;
                    }
                }
                Ok(Learnt::Nothing)
            }
            Step::RemoveCandidates { service: name, known } => {
                self.keep_the_last(service, name)?;
                // What others created meanwhile is theirs, as soon as it is recorded what is ours.
                let candidates = match facts.candidates(name) {
                    [] => self.not_known(service, known),
                    candidates => candidates.to_vec(),
                };
                if self.rules.ending_looks {
                    self.refuse_if_named(service, &candidates)?;
                }
                self.remove_all(step, service, &candidates)
            }
            Step::StartOld { old, .. } if self.services[service].died => {
                self.start_old(step, service, old)?;
                Ok(Learnt::Nothing)
            }
            Step::StartOld { old, front, .. } => {
                let servers = self.start_old(step, service, old)?;
                if front.is_some() {
                    self.write(step, service, Some(servers))?;
                }
                Ok(Learnt::Nothing)
            }
            Step::StopCandidates { service: name, .. } => {
                self.keep_the_last(service, name)?;
                if self.rules.ending_looks {
                    self.refuse_if_named(service, facts.candidates(name))?;
                }
                self.stop_all(step, service, facts.candidates(name))?;
                Ok(Learnt::Nothing)
            }
            Step::SwitchBack { service: name, front, to, drain } => {
                self.switch_back(step, service, front, to, *drain)?;
                match self.services[service].died {
                    true => self.rest(step, service, front, facts.candidates(name)),
                    false => Ok(Learnt::Nothing),
                }
            }
        }
    }

    /// Somebody may have built between plan and creation.
    fn must_be_planned(&self, candidates: &[Container], image: &str) -> Effect {
        let other = candidates.iter().any(|candidate| candidate.image != image);
        if self.rules.looks_at_image && other { failed("a candidate is of another image") } else { Ok(()) }
    }

    fn place(&self, service: usize, container: &Container) -> Option<usize> {
        let id: u32 = container.id.strip_prefix('c')?.parse().ok()?;
        self.services[service].containers.iter().position(|c| c.id == id)
    }

    fn create(&mut self, step: &Step, service: usize, count: usize, known: &[String]) -> Effect<Learnt> {
        while self.not_known(service, known).len() < count {
            self.new_container(service);
            self.point(step)?;
        }
        let candidates = self.not_known(service, known);
        if candidates.len() != count {
            return failed("somebody else created containers too");
        }
        Ok(Learnt::candidates(candidates))
    }

    fn not_known(&self, service: usize, known: &[String]) -> Vec<Container> {
        let seen = &self.services[service];
        let candidates = seen.containers.iter().filter(|c| !known.contains(&format!("c{}", c.id)));
        candidates.map(|c| Container { address: None, ..c.seen(&seen.name, false) }).collect()
    }

    fn start_candidates(
        &mut self,
        step: &Step,
        service: usize,
        candidates: &[Container],
        unnamed: bool,
    ) -> Effect<Learnt> {
        let seen = &self.services[service];
        let named = self.nginx.files[service].as_ref().is_some_and(|file| file.rest.is_none());
        if seen.proxied && !seen.stop_first && !seen.died && !named && self.rules.stays_named {
            let live: Vec<Container> =
                self.live.iter().filter(|(of, _)| *of == seen.name).flat_map(|(_, live)| live.clone()).collect();
            let servers = self.named_by(service, &live);
            if !servers.is_empty() {
                self.write(step, service, Some(servers))?;
            }
        }
        for candidate in candidates {
            let Some(index) = self.place(service, candidate) else { return failed("a candidate is gone") };
            if unnamed && self.rules.starts_unnamed && self.services[service].containers[index].life != Life::Running {
                self.rejoin(step, service, index, Joined::Unnamed)?;
            }
            let Some(index) = self.place(service, candidate) else { return failed("a candidate is gone") };
            self.start(service, index);
            self.point(step)?;
        }
        self.located(service, candidates)
    }

    fn located(&self, service: usize, candidates: &[Container]) -> Effect<Learnt> {
        let mut containers = Vec::new();
        for candidate in candidates {
            let Some(index) = self.place(service, candidate) else { return failed("a candidate is gone") };
            let seen = &self.services[service];
            containers.push(seen.containers[index].seen(&seen.name, seen.proxied));
        }
        Ok(Learnt::candidates(containers))
    }

    /// Takes a container out of the network and puts it in again.
    fn rejoin(&mut self, step: &Step, service: usize, index: usize, joined: Joined) -> Effect {
        let id = self.services[service].containers[index].id;
        let set = |world: &mut Self, joined| {
            // Others may have removed it meanwhile.
            if let Some(container) = world.services[service].containers.iter_mut().find(|c| c.id == id) {
                container.joined = joined;
            }
        };
        set(self, Joined::Not);
        self.point(step)?;
        set(self, joined);
        self.point(step)
    }

    fn announce(&mut self, step: &Step, service: usize, candidates: &[Container]) -> Effect<Learnt> {
        for candidate in candidates {
            let Some(index) = self.place(service, candidate) else { return failed("a candidate is gone") };
            let live = self.nginx.loaded[service].iter().any(|address| Some(*address) == candidate.address);
            if self.services[service].containers[index].joined != Joined::Named {
                // Who gets requests has its names, or this would cut them.
                if live && !self.disturbed() {
                    self.violate(format!("c{} gets requests and is taken out of its network", index));
                }
                self.rejoin(step, service, index, Joined::Named)?;
            }
        }
        self.judge(service, candidates)?;
        self.located(service, candidates)
    }

    fn stop_all(&mut self, step: &Step, service: usize, containers: &[Container]) -> Effect {
        for container in containers {
            if let Some(index) = self.place(service, container) {
                self.stop(service, index);
                self.point(step)?;
            }
        }
        Ok(())
    }

    fn await_healthy(
        &mut self,
        step: &Step,
        service: usize,
        candidates: &[Container],
        timeout: Duration,
    ) -> Effect<Learnt> {
        let deadline = self.now + timeout.as_millis() as u64;
        for candidate in candidates {
            loop {
                let Some(index) = self.place(service, candidate) else { return failed("a candidate is gone") };
                let container = &self.services[service].containers[index];
                if container.life != Life::Running {
                    return failed("a candidate exited");
                }
                let ready_at = container.ready_at.unwrap_or(u64::MAX);
                if ready_at <= self.now {
                    break;
                }
                if self.now >= deadline {
                    return failed("a candidate is not healthy");
                }
                self.now = ready_at.min(deadline);
                self.point(step)?;
            }
        }
        Ok(Learnt::Nothing)
    }

    fn judge(&mut self, service: usize, candidates: &[Container]) -> Effect {
        let well = |candidate: &Container| {
            let index = self.place(service, candidate);
            index.is_some_and(|index| self.services[service].containers[index].ready(self.now))
        };
        if candidates.iter().all(well) { Ok(()) } else { failed("a candidate is not well") }
    }

    fn switch(&mut self, step: &Step, service: usize, candidates: &[Container]) -> Effect<Learnt> {
        let mut servers = Vec::new();
        for candidate in candidates {
            let index = self.place(service, candidate);
            let (Some(index), Some(address)) = (index, candidate.address) else { return failed("a candidate is gone") };
            servers.push(Server { id: self.services[service].containers[index].id, address });
        }
        self.write(step, service, Some(servers))?;
        Ok(Learnt::Former { generation: self.generation().into() })
    }

    /// Returns where containers of a plan are, as an upstream names them.
    fn named_by(&self, service: usize, live: &[Container]) -> Vec<Server> {
        let places = live.iter().filter_map(|live| self.place(service, live));
        let containers = places.map(|index| &self.services[service].containers[index]);
        containers.filter_map(|c| Some(Server { id: c.id, address: c.address? })).collect()
    }

    /// Brings the upstream file to rest; nginx is not told. What fails is told and nothing else.
    fn rest(&mut self, step: &Step, service: usize, front: &Front, candidates: &[Container]) -> Effect<Learnt> {
        if self.nginx.files[service].as_ref().is_none_or(|file| file.rest.is_some() || file.servers.is_empty()) {
            return Ok(Learnt::Nothing);
        }
        let before = front.before.as_deref().map(family::parsed);
        let rested = before
            .filter(|before| self.nginx.files[service].as_ref().is_some_and(|file| file.servers == before.servers))
            .and_then(|file| file.rest);
        let obeyed = if candidates.is_empty() { rested.unwrap_or_default() } else { self.obeying() };
        let stopped = self.point(step);
        if stopped.is_ok() {
            self.come_to_rest(service, obeyed);
            let stopped = self.point(step);
            if !self.rules.rests_before_writing && stopped.is_ok() {
                let obeyed = self.obeying();
                self.come_to_rest(service, obeyed);
            }
        }
        match stopped {
            Err(Stop::Ended) => Err(Stop::Ended),
            Ok(()) | Err(Stop::Failed(_)) => Ok(Learnt::Nothing),
        }
    }

    fn come_to_rest(&mut self, service: usize, obeyed: Obeyed) {
        if let Some(file) = &mut self.nginx.files[service] {
            file.rest = Some(obeyed);
        }
        self.tell(|| "  . the upstream file is at rest".to_owned());
    }

    /// Writes the upstream file and makes nginx obey it. The shell beside nginx goes on without swap, or does not.
    fn write(&mut self, step: &Step, service: usize, servers: Option<Vec<Server>>) -> Effect {
        let file = servers.map(|servers| File { servers, rest: None });
        let before = std::mem::replace(&mut self.nginx.files[service], file);
        self.tell(|| "  . the upstream file is written".to_owned());
        let stopped = self.point(step);
        let restored = matches!(stopped, Err(Stop::Failed(_))) && self.chance.below(2) == 1;
        if restored {
            self.nginx.files[service] = before;
            return stopped;
        }
        if stopped.is_ok() || self.chance.below(2) == 1 {
            self.reload();
            self.tell(|| "  . nginx obeys it".to_owned());
            self.check();
        }
        stopped
    }

    /// Returns the workers that may still serve what nginx served before.
    fn generation(&self) -> Generation {
        let former = self.nginx.former.iter().filter(|former| former.leave_at > self.now);
        let worker = |former: &Former| Process { pid: former.generation, start: 0 };
        Generation {
            boot: "boot".to_owned(),
            master: Process { pid: self.nginx.master, start: 0 },
            workers: former.map(worker).collect(),
        }
    }

    fn await_drained(&mut self, step: &Step, generation: &Generation, timeout: Duration) -> Effect {
        if generation.master.pid != self.nginx.master {
            return Ok(());
        }
        let is = |former: &Former| generation.workers.iter().any(|worker| worker.pid == former.generation);
        let deadline = self.now + timeout.as_millis() as u64;
        let last = self.nginx.former.iter().filter(|former| is(former)).map(|former| former.leave_at).max();
        self.now = last.unwrap_or(0).min(deadline).max(self.now);
        self.point(step)?;
        for former in self.nginx.former.iter_mut().filter(|former| is(former)) {
            former.cut = true;
        }
        Ok(())
    }

    fn retire(
        &mut self,
        step: &Step,
        service: usize,
        old: &[Container],
        candidates: &[Container],
        former: Option<&swap::model::Former>,
    ) -> Effect<Learnt> {
        self.meddled = false;
        if self.rules.ending_looks {
            self.refuse_if_named(service, old)?;
            self.judge(service, candidates)?;
        }
        // What was presumed of a lost journal knows no workers: nginx is told once more.
        if self.rules.retire_drains && former.is_none() && self.services[service].proxied && !old.is_empty() {
            self.switch(step, service, candidates)?;
            let generation = self.generation();
            self.await_drained(step, &generation, LONGEST_DRAIN)?;
            self.meddled = false;
            if self.rules.ending_looks {
                self.judge(service, candidates)?;
            }
        }
        self.remove_all(step, service, old)
    }

    /// What the durable upstream names is never stopped.
    fn refuse_if_named(&mut self, service: usize, going: &[Container]) -> Effect {
        let named = |server: &Server| going.iter().any(|going| going.id == format!("c{}", server.id));
        match self.named(service).iter().any(named) {
            true => failed("the upstream names a container that is to go"),
            false => Ok(()),
        }
    }

    fn remove_all(&mut self, step: &Step, service: usize, containers: &[Container]) -> Effect<Learnt> {
        for container in containers {
            let Some(index) = self.place(service, container) else { continue };
            let id = self.services[service].containers[index].id;
            self.stop(service, index);
            self.point(step)?;
            self.remove(service, id);
            self.point(step)?;
        }
        Ok(Learnt::Nothing)
    }

    /// Starts the old containers that do not run and returns where they are.
    fn start_old(&mut self, step: &Step, service: usize, old: &[Container]) -> Effect<Vec<Server>> {
        for container in old {
            let Some(index) = self.place(service, container) else { continue };
            if self.services[service].containers[index].life != Life::Running {
                self.start(service, index);
                self.point(step)?;
            }
        }
        Ok(self.named_by(service, old))
    }

    fn switch_back(&mut self, step: &Step, service: usize, front: &Front, to: &[Container], drain: Duration) -> Effect {
        if !self.rules.back_switches {
            return Ok(());
        }
        let before =
            front.before.as_deref().filter(|_| !front.written_by_others).map(|text| family::parsed(text).servers);
        let planned = || {
            let server = |old: &Container| {
                let id = old.id.strip_prefix('c')?.parse().ok()?;
                Some(Server { id, address: old.address? })
            };
            to.iter().filter_map(server).collect()
        };
        let servers = if self.services[service].died {
            before
        } else if self.services[service].stop_first {
            Some(planned())
        } else if self.rules.back_starts_old {
            let servers = self.start_old(step, service, to)?;
            if servers.is_empty() {
                return failed("the old containers are gone");
            }
            if before.is_none() && !self.rules.back_by_address { None } else { Some(servers) }
        } else {
            Some(planned())
        };
        self.write(step, service, servers)?;
        if self.rules.back_waits {
            let generation = self.generation();
            self.await_drained(step, &generation, drain)?;
        }
        Ok(())
    }

    /// Somebody must serve: where no old container is left, the candidates stay; where one does not run, it is started.
    fn keep_the_last(&mut self, service: usize, name: &ServiceName) -> Effect {
        if !self.rules.keeps_the_last || self.services[service].died {
            return Ok(());
        }
        let old = self.live.iter().filter(|(of, _)| of == name).flat_map(|(_, live)| live);
        let left: Vec<usize> = old.filter_map(|old| self.place(service, old)).collect();
        if left.is_empty() {
            return failed("nothing else is left");
        }
        if self.rules.back_starts_old && !self.services[service].stop_first {
            left.into_iter().for_each(|index| self.start(service, index));
        }
        Ok(())
    }
}

/// Returns the number of an image's id, as 2 of `sha256:2`.
fn number(image: &str) -> u32 {
    image.trim_start_matches("sha256:").parse().unwrap_or_default()
}
