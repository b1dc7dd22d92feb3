//! What was observed → the steps.

use std::time::Duration;

use super::back::{Keep, Replaced};
use super::observed::{CalledIn, Front, Observed, ObservedService, Reach, Retag};
use super::refuse::{notices, refusals, wanted};
use super::steps::Step;
use super::{Plan, PlannedService, back};
use crate::model::{Check, Dns, Failure, Image, KEEP, Lifecycle, Order, Phase, RunId, ServiceName};
use crate::text::short;

/// How long a candidate without requests may take to stop when a run is unwound.
const UNWIND_GRACE: Duration = Duration::from_secs(3);

/// A request through the front door hangs after this time, or later where it was slow before the switch.
pub(super) const HANG_SHOWS: Duration = Duration::from_secs(1);

/// So many requests must have failed before a candidate is judged by them.
pub(super) const JUDGED_FROM: u64 = 5;

/// How long a candidate must stay healthy that only its port tells of.
const PORT_STAYS: Duration = Duration::from_secs(1);

/// How long a candidate must stay healthy that has checks of its own or hooks.
const CHECKS_STAY: Duration = Duration::from_millis(300);

/// Returns the plan that swaps the services, or every reason why it is refused.
pub fn plan(run: RunId, observed: &Observed) -> Result<Plan, Vec<Failure>> {
    let refusals: Vec<Failure> = observed.services.iter().flat_map(refusals).collect();
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let of = |seen| Service::of(seen, &run, &observed.project);
    let services: Vec<Service> = observed.services.iter().filter_map(of).collect();
    let mut steps = Vec::new();
    // All candidates are healthy before the first switch, so that a failure of one leaves all services untouched.
    let before_commit = [
        // First: hooks of `pre-start` run commands in the image that the name stands for.
        Service::tag,
        Service::pre_start,
        Service::adopt,
        Service::create,
        Service::start,
        Service::await_healthy,
        Service::announce,
        Service::pre_swap,
        Service::switch,
        Service::watch,
        Service::drain,
    ];
    for phase in before_commit {
        services.iter().for_each(|service| phase(service, &mut steps));
    }
    steps.push(Step::Commit);
    for phase in [Service::retire, Service::rest, Service::finish] {
        services.iter().for_each(|service| phase(service, &mut steps));
    }
    let planned = services
        .iter()
        .map(|service| PlannedService {
            name: service.seen.name.clone(),
            live: service.seen.live.clone(),
            image: service.image.clone(),
            down: service.seen.down,
            live_image: service.seen.live_image.clone(),
            hooks: service.seen.hooks.iter().map(|hook| (hook.name.clone(), hook.digest.clone())).collect(),
        })
        .collect();
    let notices = observed.services.iter().flat_map(notices).collect();
    Ok(Plan { run: run.clone(), project: observed.project.clone(), services: planned, steps, notices })
}

/// A service that passed the refusals.
struct Service<'a> {
    seen: &'a ObservedService,
    image: Image,
    run: &'a RunId,
    project: &'a str,
}

impl<'a> Service<'a> {
    fn of(seen: &'a ObservedService, run: &'a RunId, project: &'a str) -> Option<Self> {
        seen.image.clone().map(|image| Self { seen, image, run, project })
    }

    /// Returns the hooks that implement the phase, in order.
    fn hooks(&self, phase: Phase) -> Vec<String> {
        self.seen.hooks_of(phase)
    }

    fn name(&self) -> ServiceName {
        self.seen.name.clone()
    }

    fn front(&self) -> Option<Box<Front>> {
        self.seen.front.clone().map(Box::new)
    }

    /// Returns all checks that must agree.
    fn checks(&self) -> Vec<Check> {
        self.seen.checks()
    }

    fn tag(&self, steps: &mut Vec<Step>) {
        if let Some(Retag { before }) = &self.seen.retag {
            steps.push(Step::Tag {
                service: self.name(),
                name: self.image.name.clone(),
                image: self.image.id.clone(),
                before: before.clone(),
            });
        }
    }

    /// Returns how long a candidate must stay healthy: one good look may be that of a version that is about to die. Where only
    /// the port tells, longer, because a port is open long before an application has shown that it works.
    fn stays(&self, checks: &[Check]) -> Duration {
        match checks {
            [Check::Running(_)] => Duration::ZERO,
            _ if self.hooks(Phase::Health).is_empty() && !checks.iter().any(Check::asks) => PORT_STAYS,
            _ => CHECKS_STAY,
        }
    }

    fn pre_start(&self, steps: &mut Vec<Step>) {
        let hooks = self.hooks(Phase::PreStart);
        let mut rollback = self.hooks(Phase::Rollback);
        rollback.reverse();
        if !hooks.is_empty() || !rollback.is_empty() {
            steps.push(Step::PreStart { service: self.name(), hooks, rollback });
        }
    }

    fn adopt(&self, steps: &mut Vec<Step>) {
        // Those that died have no address that could be named.
        if let Some(front) = self.front().filter(|_| !self.seen.down) {
            steps.push(Step::Adopt {
                service: self.name(),
                front,
                live: self.seen.live.clone(),
                left_behind: self.seen.left_behind.clone(),
            });
        }
    }

    fn create(&self, steps: &mut Vec<Step>) {
        let seen = self.seen;
        steps.push(Step::Create {
            service: self.name(),
            count: wanted(seen),
            known: seen
                .live
                .iter()
                .chain(&seen.left_behind)
                .chain(&seen.stopped)
                .map(|container| container.id.clone())
                .collect(),
            beside: seen.live.iter().map(|container| container.name.clone()).collect(),
            image: self.image.clone(),
        });
    }

    fn start(&self, steps: &mut Vec<Step>) {
        let seen = self.seen;
        let Lifecycle { files, pre_start, post_start, pre_stop } = &seen.lifecycle;
        let timeout = seen.settings.timeouts.hook;
        if seen.settings.order == Order::StopFirst {
            if !pre_stop.is_empty() || !post_start.is_empty() {
                steps.push(self.pre_stop(false));
            }
            steps.push(Step::StopOld {
                service: self.name(),
                old: seen.live.clone(),
                grace: seen.grace,
                front: self.front(),
            });
        }
        if !pre_start.is_empty() {
            steps.push(Step::Init { service: self.name(), commands: pre_start.clone(), timeout });
        }
        if !files.is_empty() {
            steps.push(Step::Inject { service: self.name(), files: files.clone() });
        }
        steps.push(Step::Start {
            service: self.name(),
            networks: seen.networks.clone(),
            reach: self.reach(),
            // When it is unwound a candidate behind a proxy has no request; a worker may be at a job.
            grace: if seen.front.is_some() { Some(UNWIND_GRACE) } else { seen.grace },
            unnamed: self.unnamed(),
        });
        if !post_start.is_empty() || !pre_stop.is_empty() {
            steps.push(Step::PostStart {
                service: self.name(),
                commands: post_start.clone(),
                pre_stop: pre_stop.clone(),
                timeout,
            });
        }
    }

    fn pre_stop(&self, committed: bool) -> Step {
        let seen = self.seen;
        Step::PreStop {
            service: self.name(),
            old: seen.live.clone(),
            commands: seen.lifecycle.pre_stop.clone(),
            post_start: if committed { Vec::new() } else { seen.lifecycle.post_start.clone() },
            front: if committed { self.front() } else { None },
            committed,
            timeout: seen.settings.timeouts.hook,
        }
    }

    /// Returns the networks in which candidates get the service's names when they are healthy. With stop-first there is
    /// nobody else who has them.
    fn announced(&self) -> impl Iterator<Item = &CalledIn> {
        let settings = &self.seen.settings;
        let late = settings.dns == Dns::WhenHealthy && settings.order == Order::StartFirst;
        self.seen.called_in.iter().filter(move |_| late)
    }

    /// Returns the networks of [`announced`](Self::announced).
    fn unnamed(&self) -> Vec<String> {
        self.announced().map(|called| called.place.network.clone()).collect()
    }

    fn await_healthy(&self, steps: &mut Vec<Step>) {
        let checks = self.checks();
        steps.push(Step::AwaitHealthy {
            service: self.name(),
            stays: self.stays(&checks),
            checks,
            port: self.seen.front.as_ref().map(|front| front.port).or(self.seen.settings.port),
            successes: self.seen.settings.successes.max(1),
            hooks: self.hooks(Phase::Health),
            timeout: self.seen.settings.timeouts.health,
            front: self.front(),
        });
    }

    fn announce(&self, steps: &mut Vec<Step>) {
        let mut callers: Vec<String> = self.announced().flat_map(|called| called.callers.iter().cloned()).collect();
        callers.sort();
        callers.dedup();
        if !callers.is_empty() {
            steps.push(Step::Announce {
                service: self.name(),
                places: self.announced().map(|called| called.place.clone()).collect(),
                callers,
                reach: self.reach(),
            });
        }
    }

    /// Returns the network and port by which nginx reaches the service; `None` for a worker.
    fn reach(&self) -> Option<Reach> {
        self.seen.front.as_ref().map(Front::reach)
    }

    fn pre_swap(&self, steps: &mut Vec<Step>) {
        let hooks = self.hooks(Phase::PreSwap);
        if !hooks.is_empty() {
            steps.push(Step::PreSwap { service: self.name(), hooks });
        }
    }

    fn switch(&self, steps: &mut Vec<Step>) {
        if let Some(front) = self.front() {
            steps.push(Step::Switch {
                service: self.name(),
                front,
                from: self.seen.live.clone(),
                drain: self.seen.settings.timeouts.drain,
                judged: self.judged(),
            });
        }
        let hooks = self.hooks(Phase::PostSwap);
        if !hooks.is_empty() {
            steps.push(Step::PostSwap { service: self.name(), hooks });
        }
    }

    /// Tells whether anybody looks at the candidates' answers through nginx before the commit.
    fn judged(&self) -> bool {
        let probed = self.seen.front.as_ref().is_some_and(|front| front.probe.is_some());
        probed || !self.seen.settings.watch.is_zero() || !self.hooks(Phase::PostSwap).is_empty()
    }

    fn watch(&self, steps: &mut Vec<Step>) {
        let time = self.seen.settings.watch;
        if !time.is_zero() {
            steps.push(Step::Watch { service: self.name(), time, hooks: self.hooks(Phase::Health) });
        }
    }

    fn drain(&self, steps: &mut Vec<Step>) {
        if let Some(front) = self.front() {
            steps.push(Step::Drain {
                service: self.name(),
                front,
                from: self.seen.live.clone(),
                timeout: self.seen.settings.timeouts.drain,
            });
        }
    }

    fn retire(&self, steps: &mut Vec<Step>) {
        // With stop-first the old containers lie still since long before.
        if !self.seen.lifecycle.pre_stop.is_empty() && self.seen.settings.order == Order::StartFirst {
            steps.push(self.pre_stop(true));
        }
        steps.push(Step::Retire {
            service: self.name(),
            old: self.seen.live.iter().chain(&self.seen.left_behind).cloned().collect(),
            grace: self.seen.grace,
            front: self.front(),
            leftovers: self.seen.stopped.clone(),
            volumes: self.seen.anonymous_volumes.iter().map(|anonymous| anonymous.volume.clone()).collect(),
            old_volumes: self.seen.settings.anonymous_volumes,
            keep: self.keep(),
            unnamed: self.unnamed(),
        });
    }

    /// Returns what stays of the version that is replaced. A swap of an image to itself with the same configuration leaves
    /// nothing, which only shows when both containers are there.
    fn keep(&self) -> Option<Box<Keep>> {
        let image = self.seen.live.first()?.image.clone();
        Some(Box::new(Keep {
            repository: back::repository(self.project, &self.seen.name),
            replaced: Replaced { run: self.run.clone(), by: short(&self.image.id).to_owned(), image },
            count: self.seen.settings.keep.unwrap_or(KEEP),
        }))
    }

    fn rest(&self, steps: &mut Vec<Step>) {
        if let Some(front) = self.front() {
            steps.push(Step::Rest { service: self.name(), front });
        }
    }

    fn finish(&self, steps: &mut Vec<Step>) {
        let hooks = self.hooks(Phase::Finish);
        if !hooks.is_empty() {
            steps.push(Step::Finish { service: self.name(), hooks });
        }
    }
}
