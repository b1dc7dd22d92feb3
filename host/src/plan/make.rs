//! What was observed → the steps.

use std::collections::BTreeMap;
use std::time::Duration;

use super::back::{Keep, Replaced};
use super::observed::{CalledIn, Observed, ObservedService};
use super::refuse::{notices, refusals, wanted};
use super::steps::Step;
use super::{Plan, PlannedService, VERSION, back};
use crate::model::{Check, Dns, Failure, Image, KEEP, Lifecycle, Order, Phase, RunId, ServiceName, extend_new};
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
    let all: Vec<&Service> = services.iter().collect();
    let (beside, with_gap): (Vec<&Service>, Vec<&Service>) = all.iter().partition(|service| !service.stops_first());
    let mut steps = Vec::new();
    // All candidates are healthy before the first switch, so that a failure of one leaves all services untouched.
    // First the tag: hooks of `pre-start` run commands in the image that the name stands for.
    by_phase(&all, &[Service::tag, Service::pre_start, Service::adopt, Service::create], &mut steps);
    let start = [Service::stop_old, Service::init, Service::inject, Service::start, Service::post_start];
    by_phase(&beside, &start, &mut steps);
    // What has stopped its old containers goes on at once, so that the gap is short.
    with_gap.iter().for_each(|service| by_phase(&[service], &start, &mut steps));
    by_phase(&all, &[Service::await_healthy, Service::announce, Service::pre_swap], &mut steps);
    by_phase(&all, &[Service::switch, Service::post_swap, Service::watch, Service::drain], &mut steps);
    steps.push(Step::Commit);
    by_phase(&all, &[Service::pre_stop, Service::retire, Service::rest, Service::finish], &mut steps);
    let planned = services.iter().map(Service::planned).collect();
    let mut told = Vec::new();
    extend_new(&mut told, observed.services.iter().flat_map(notices));
    Ok(Plan {
        v: VERSION,
        run: run.clone(),
        project: observed.project.clone(),
        services: planned,
        steps,
        notices: told,
    })
}

type Phases<'a> = [fn(&Service<'a>, &mut Vec<Step>)];

/// Adds the steps of services, those of one phase for all of them before those of the next, so that they can go beside one another.
fn by_phase<'a>(services: &[&Service<'a>], phases: &Phases<'a>, steps: &mut Vec<Step>) {
    for phase in phases {
        services.iter().for_each(|service| phase(service, steps));
    }
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

    fn name(&self) -> ServiceName {
        self.seen.name.clone()
    }

    /// Tells whether hooks implement the phase.
    fn asks(&self, phase: Phase) -> bool {
        !self.seen.hooks_of(phase).is_empty()
    }

    /// Returns what all steps of the service need.
    fn planned(&self) -> PlannedService {
        let (seen, settings) = (self.seen, &self.seen.settings);
        let existing = seen.live.iter().chain(&seen.left_behind).chain(&seen.stopped);
        let checks = seen.checks();
        PlannedService {
            name: self.name(),
            live: seen.live.clone(),
            down: seen.down,
            live_image: seen.live_image.clone(),
            left_behind: seen.left_behind.clone(),
            stopped: seen.stopped.clone(),
            known: existing.map(|container| container.id.clone()).collect(),
            image: self.image.clone(),
            retag: seen.retag.clone(),
            count: wanted(seen),
            order: settings.order,
            networks: seen.networks.clone(),
            called_in: self.announced().cloned().collect(),
            lifecycle: seen.lifecycle.clone(),
            port: seen.front().map(|front| front.port).or(settings.port),
            successes: settings.successes.max(1),
            stays: self.stays(&checks),
            checks,
            health_timeout: settings.timeouts.health,
            hooks: self.hooks(),
            digests: seen.hooks.iter().map(|hook| (hook.name.clone(), hook.digest.clone())).collect(),
            hook_timeout: settings.timeouts.hook,
            fronts: seen.fronts.clone(),
            judged: self.judged(),
            watch: settings.watch,
            drain_timeout: settings.timeouts.drain,
            grace: seen.grace,
            // When it is unwound a candidate behind a proxy has no request; a worker may be at a job.
            unwind_grace: if seen.fronts.is_empty() { seen.grace } else { Some(UNWIND_GRACE) },
            volumes: seen.anonymous_volumes.iter().map(|anonymous| anonymous.volume.clone()).collect(),
            old_volumes: settings.anonymous_volumes,
            keep: self.keep(),
        }
    }

    /// Returns the hooks that are asked in each phase: in order, and the last one first where something is undone.
    fn hooks(&self) -> BTreeMap<Phase, Vec<String>> {
        let asked = |phase: Phase| {
            let mut hooks = self.seen.hooks_of(phase);
            if phase == Phase::Rollback {
                hooks.reverse();
            }
            (phase, hooks)
        };
        Phase::ALL.into_iter().map(asked).filter(|(_, hooks)| !hooks.is_empty()).collect()
    }

    /// Returns how long a candidate must stay healthy: one good look may be that of a version that is about to die. Where only
    /// the port tells, longer, because a port is open long before an application has shown that it works.
    fn stays(&self, checks: &[Check]) -> Duration {
        match checks {
            [Check::Running(_)] => Duration::ZERO,
            _ if !self.asks(Phase::Health) && !checks.iter().any(Check::asks) => PORT_STAYS,
            _ => CHECKS_STAY,
        }
    }

    /// Returns the networks in which candidates get the service's names when they are healthy. With stop-first there is
    /// nobody else who has them.
    fn announced(&self) -> impl Iterator<Item = &CalledIn> {
        let settings = &self.seen.settings;
        let late = settings.dns == Dns::WhenHealthy && settings.order == Order::StartFirst;
        self.seen.called_in.iter().filter(move |_| late)
    }

    /// Tells whether anybody looks at the candidates' answers through nginx before the commit.
    fn judged(&self) -> bool {
        let watched = !self.seen.settings.watch.is_zero() || self.asks(Phase::PostSwap);
        self.seen.front().is_some_and(|front| front.probe.is_some() || watched)
    }

    /// Returns what stays of the version that is replaced. A swap of an image to itself with the same configuration leaves
    /// nothing, which only shows when both containers are there.
    fn keep(&self) -> Option<Keep> {
        let image = self.seen.live.first()?.image.clone();
        Some(Keep {
            repository: back::repository(self.project, &self.seen.name),
            replaced: Replaced { run: self.run.clone(), by: short(&self.image.id).to_owned(), image },
            count: self.seen.settings.keep.unwrap_or(KEEP),
        })
    }

    fn tag(&self, steps: &mut Vec<Step>) {
        if self.seen.retag.is_some() {
            steps.push(Step::Tag { service: self.name() });
        }
    }

    fn pre_start(&self, steps: &mut Vec<Step>) {
        if self.asks(Phase::PreStart) || self.asks(Phase::Rollback) {
            steps.push(Step::PreStart { service: self.name() });
        }
    }

    fn adopt(&self, steps: &mut Vec<Step>) {
        // Those that died have no address that could be named.
        if !self.seen.fronts.is_empty() && !self.seen.down {
            steps.push(Step::Adopt { service: self.name() });
        }
    }

    fn create(&self, steps: &mut Vec<Step>) {
        steps.push(Step::Create { service: self.name() });
    }

    fn stops_first(&self) -> bool {
        self.seen.settings.order == Order::StopFirst
    }

    /// Tells whether it has commands for when a container has started or before it stops: what is done for one of these is undone
    /// by the other.
    fn has_commands(&self) -> bool {
        let Lifecycle { post_start, pre_stop, .. } = &self.seen.lifecycle;
        !post_start.is_empty() || !pre_stop.is_empty()
    }

    fn stop_old(&self, steps: &mut Vec<Step>) {
        if !self.stops_first() {
            return;
        }
        if self.has_commands() {
            steps.push(Step::PreStop { service: self.name(), committed: false });
        }
        steps.push(Step::StopOld { service: self.name() });
    }

    fn init(&self, steps: &mut Vec<Step>) {
        if !self.seen.lifecycle.pre_start.is_empty() {
            steps.push(Step::Init { service: self.name() });
        }
    }

    fn inject(&self, steps: &mut Vec<Step>) {
        if !self.seen.lifecycle.files.is_empty() {
            steps.push(Step::Inject { service: self.name() });
        }
    }

    fn start(&self, steps: &mut Vec<Step>) {
        steps.push(Step::Start { service: self.name() });
    }

    fn post_start(&self, steps: &mut Vec<Step>) {
        if self.has_commands() {
            steps.push(Step::PostStart { service: self.name() });
        }
    }

    fn await_healthy(&self, steps: &mut Vec<Step>) {
        steps.push(Step::AwaitHealthy { service: self.name() });
    }

    fn announce(&self, steps: &mut Vec<Step>) {
        if self.announced().any(|called| !called.callers.is_empty()) {
            steps.push(Step::Announce { service: self.name() });
        }
    }

    fn pre_swap(&self, steps: &mut Vec<Step>) {
        if self.asks(Phase::PreSwap) {
            steps.push(Step::PreSwap { service: self.name() });
        }
    }

    fn switch(&self, steps: &mut Vec<Step>) {
        if !self.seen.fronts.is_empty() {
            steps.push(Step::Switch { service: self.name() });
        }
    }

    fn post_swap(&self, steps: &mut Vec<Step>) {
        if self.asks(Phase::PostSwap) {
            steps.push(Step::PostSwap { service: self.name() });
        }
    }

    fn watch(&self, steps: &mut Vec<Step>) {
        if !self.seen.settings.watch.is_zero() {
            steps.push(Step::Watch { service: self.name() });
        }
    }

    fn drain(&self, steps: &mut Vec<Step>) {
        if !self.seen.fronts.is_empty() {
            steps.push(Step::Drain { service: self.name() });
        }
    }

    fn pre_stop(&self, steps: &mut Vec<Step>) {
        // With stop-first the old containers lie still since long before.
        if !self.seen.lifecycle.pre_stop.is_empty() && !self.stops_first() {
            steps.push(Step::PreStop { service: self.name(), committed: true });
        }
    }

    fn retire(&self, steps: &mut Vec<Step>) {
        steps.push(Step::Retire { service: self.name() });
    }

    fn rest(&self, steps: &mut Vec<Step>) {
        if !self.seen.fronts.is_empty() {
            steps.push(Step::Rest { service: self.name() });
        }
    }

    fn finish(&self, steps: &mut Vec<Step>) {
        if self.asks(Phase::Finish) {
            steps.push(Step::Finish { service: self.name() });
        }
    }
}
