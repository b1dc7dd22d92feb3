//! Asks the hooks of a run: which ones, in which phase, and what they are told.

use std::sync::Arc;

use super::real::Real;
use crate::claim::lock::user;
use crate::hooks::{Channel, Context, Health, HookCall, Hooks, Limits, Line, Log, Member, Pending, Stage};
use crate::model::{Container, Failure, Phase, RunId, ServiceName, Settings};
use crate::observe::hooks::LoadedHooks;
use crate::plan::{Plan, PlannedService};
use crate::run::{RunFacts, StepResult};
use crate::site::Site;
use crate::ui::Display;

impl Real<'_> {
    pub(super) async fn finish(&self, service: &ServiceName, facts: &RunFacts) -> Result<StepResult, Failure> {
        let hooks = self.hooks(service)?;
        let context = self.context(Phase::Finish, service, None, Stage::Live, facts);
        let mut failures = hooks.tell_all(Phase::Finish, &self.asked(&context, service)).await.into_iter();
        let Some((_, first)) = failures.next() else { return Ok(StepResult::Nothing) };
        failures.for_each(|(_, failure)| self.display.say(&format!("  note: {}", failure.what)));
        Err(first)
    }

    /// Asks the `rollback` hooks, all of them and the last one first; a failure of one does not hold up the others.
    pub(super) async fn rollback(&self, service: &ServiceName, facts: &RunFacts) -> Result<StepResult, Failure> {
        let hooks = self.hooks(service)?;
        let mut context = self.context(Phase::Rollback, service, None, Stage::Candidate, facts);
        context.reason = Some(facts.unwound.clone().unwrap_or_else(|| "the run is unwound".to_owned()));
        let failures = hooks.tell_all(Phase::Rollback, &self.asked(&context, service)).await;
        if failures.is_empty() {
            return Ok(StepResult::Nothing);
        }
        // What the new version left behind must not keep the old one from serving.
        failures.iter().for_each(|(_, failure)| self.display.remark(&failure.what));
        Ok(StepResult::Disagreed { hooks: failures.into_iter().map(|(hook, _)| hook).collect() })
    }

    /// Asks hooks one after the other. Twice: they see the same run id and keep what they have done in `state`.
    pub(super) async fn ask_in_order(
        &self,
        phase: Phase,
        service: &ServiceName,
        stage: Stage,
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        let hooks = self.hooks(service)?;
        let context = self.context(phase, service, None, stage, facts);
        hooks.in_order(phase, &self.asked(&context, service)).await?;
        Ok(StepResult::Nothing)
    }

    fn asked<'c>(&self, context: &'c Context, service: &ServiceName) -> HookCall<'c> {
        HookCall { context, capabilities: self.capabilities(service), limits: self.limits(service), log: self.log() }
    }

    /// Asks all health hooks about one candidate, at once.
    pub(super) async fn ask_health(
        &self,
        service: &ServiceName,
        candidate: &Container,
        pending: &Pending,
        facts: &RunFacts,
    ) -> Health {
        let hooks = match self.hooks(service) {
            Ok(hooks) => hooks,
            Err(failure) => return Health::Fatal(failure),
        };
        if hooks.of(Phase::Health).next().is_none() {
            return Health::Healthy;
        }
        let stage = if facts.former.contains_key(service) { Stage::Live } else { Stage::Candidate };
        let context = self.context(Phase::Health, service, Some(candidate), stage, facts);
        hooks.health(&self.asked(&context, service), pending).await
    }

    fn hooks(&self, service: &ServiceName) -> Result<Arc<Hooks>, Failure> {
        asked_by(self.plan, service, &self.hooks)
    }

    fn limits(&self, service: &ServiceName) -> Limits {
        let usual = Limits::default();
        Limits { deadline: self.plan.service(service).map_or(usual.deadline, |of| of.hook_timeout), ..usual }
    }

    fn context(
        &self,
        phase: Phase,
        service: &ServiceName,
        candidate: Option<&Container>,
        stage: Stage,
        facts: &RunFacts,
    ) -> Context {
        let about = candidate.map(|candidate| candidate.id.clone()).unwrap_or_default();
        let (attempt, elapsed) = self.entered.ask(phase, service, &about);
        let planned = self.plan.service(service);
        let image = |container: &Container| {
            planned.map_or(String::new(), |planned| match planned.live.contains(container) {
                true if !planned.live_image.is_empty() => planned.live_image.clone(),
                true => container.image.clone(),
                false => planned.image.name.clone(),
            })
        };
        let member = |container: &Container| Member { container: container.clone(), image_name: image(container) };
        let candidates: Vec<Member> = facts.candidates(service).iter().map(member).collect();
        let first = candidate.map(member).or_else(|| candidates.first().cloned());
        Context {
            run: self.plan.run.clone(),
            service: service.clone(),
            project: self.plan.project.clone(),
            stage,
            candidate: first.unwrap_or_else(|| not_created(planned)),
            candidates,
            live: planned.map(|planned| planned.live.iter().map(member).collect()).unwrap_or_default(),
            attempt,
            elapsed,
            operator: user(),
            reason: None,
        }
    }

    /// Lines of hooks: what they and their commands say is shown, what swap did for them only on request.
    fn log(&self) -> Log {
        let display = self.display.clone();
        Arc::new(move |line: Line| {
            let loud = matches!(line.channel, Channel::Info | Channel::Warn | Channel::Error | Channel::Command);
            let mark = match line.channel {
                Channel::Warn => "warning: ",
                Channel::Error => "error: ",
                _ => "",
            };
            display.hook_line(&line.hook, line.phase, &format!("{mark}{}", line.text), loud);
        })
    }
}

/// Returns the hooks of a service if they are those that a run asks.
///
/// # Errors
/// One that the plan names was not loaded, or is another component than the run began with.
pub fn asked_by(plan: &Plan, service: &ServiceName, loaded: &LoadedHooks) -> Result<Arc<Hooks>, Failure> {
    let hooks = loaded.get(service).cloned().unwrap_or_default();
    let Some(planned) = plan.service(service) else { return Ok(hooks) };
    for name in planned.hooks.values().flatten() {
        let Some(hook) = hooks.iter().find(|hook| hook.name() == name) else {
            let what = format!("the run of `{service}` needs the hook `{name}`, which is not given");
            return Err(Failure::new(what).hint(format!("name it again: `swap --hooks {name}.wasm …`")));
        };
        // Journals of before know no digests.
        let began_with = planned.digests.get(name).filter(|digest| *digest != hook.digest());
        if let Some(digest) = began_with {
            let what = format!("the run of `{service}` began with another component of the hook `{name}`");
            return Err(Failure::new(what).hint(format!(
                "put back the file with the digest {digest} (now: {}); `swap hooks inspect FILE` shows it",
                hook.digest()
            )));
        }
    }
    Ok(hooks)
}

impl Site {
    /// Asks one phase of a hook about what runs now, as if the live containers were the candidates. Changes nothing
    /// itself; what the hook does with its grants is done.
    ///
    /// Returns what the hook answered, in words. Fails where the hook says never, fails or was aborted.
    pub async fn ask_hook(
        &self,
        service: &ServiceName,
        settings: Settings,
        phase: Phase,
        display: &Display,
    ) -> Result<String, Failure> {
        let (observed, hooks) = self.observe(vec![(service.clone(), settings)]).await?;
        let plan = crate::plan::plan(RunId("by-hand".to_owned()), &observed).map_err(|failures| {
            failures.into_iter().next().unwrap_or_else(|| Failure::new("nothing could be planned"))
        })?;
        let held = self.hold_nothing(display);
        let live = Real::new(self, &plan, &held, hooks, display.clone());
        if live.hooks(service)?.of(phase).next().is_none() {
            return Err(Failure::new(format!("the hook does not implement the phase `{phase}`"))
                .hint("`swap hooks inspect FILE` lists its phases"));
        }
        let containers = plan.services.iter().flat_map(|planned| planned.live.clone()).collect::<Vec<_>>();
        let facts = RunFacts { candidates: [(service.clone(), containers.clone())].into(), ..RunFacts::default() };
        let (stage, candidate) = (Stage::Live, containers.first());
        match (phase, candidate) {
            (Phase::Health, Some(candidate)) => {
                match live.ask_health(service, candidate, &Pending::default(), &facts).await {
                    Health::Healthy => Ok("healthy".to_owned()),
                    Health::NotYet { failure, .. } => Ok(format!("not yet: {}", failure.what)),
                    Health::Fatal(failure) => Err(failure),
                }
            }
            _ => live.ask_in_order(phase, service, stage, &facts).await.map(|_| "done".to_owned()),
        }
    }
}

/// The candidate before it was created: nothing but its image.
fn not_created(planned: Option<&PlannedService>) -> Member {
    let image = planned.map(|planned| planned.image.clone());
    let (name, id) = image.map(|image| (image.name, image.id)).unwrap_or_default();
    Member {
        container: Container { id: String::new(), name: String::new(), image: id, address: None },
        image_name: name,
    }
}
