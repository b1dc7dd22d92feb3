//! What compose would do with a service's containers beside creating, starting and stopping them.
//!
//! compose does it only for the containers that it starts and stops itself, and it can't be asked for one of them alone.

use std::time::Duration;

use futures_util::future::join_all;

use super::performer::Performer;
use crate::model::{Container, Failure, InjectedFile, LifecycleCommand, Moment, Output, ServiceName};
use crate::plan::{PlannedService, init_name};
use crate::run::{RunFacts, StepResult};
use crate::world::{CommandEnd, Engine, Orchestrator, Ports};

/// How many of a command's last lines a failure shows.
const LINES: usize = 10;

/// What the commands and files of a service are filled with.
type Values<P> = <<P as Ports>::Orchestrator as Orchestrator>::Values;

impl<P: Ports> Performer<'_, P> {
    /// Twice: the commands run once more, each in a new container; one from before is removed first.
    pub(super) async fn init(
        &self,
        service: &ServiceName,
        commands: &[LifecycleCommand],
        limit: Duration,
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        // As compose does: beside the first one, whatever their number.
        let Some(candidate) = facts.candidates(service).first() else { return Ok(StepResult::Nothing) };
        let beside = self.ports.engine().inspect(&candidate.id).await?;
        let beside =
            beside.ok_or_else(|| Failure::new(format!("candidate `{}` is not there any more", candidate.name)))?;
        let orchestrator = self.ports.orchestrator();
        let values = orchestrator.values(service, &[]).await?;
        for (index, command) in commands.iter().enumerate() {
            let name = init_name(self.plan, service, index);
            if !orchestrator.run_aside(&beside, &name, (index, command), &values, limit).await? {
                return Err(late(Moment::PreStart, command, &name, limit));
            }
        }
        Ok(StepResult::Nothing)
    }

    /// Twice: what is gone stays gone.
    pub(super) async fn end_init(&self, service: &ServiceName, count: usize) -> Result<StepResult, Failure> {
        for index in 0..count {
            self.ports.orchestrator().remove_aside(&init_name(self.plan, service, index)).await?;
        }
        Ok(StepResult::Nothing)
    }

    /// Twice: the same files are put there again.
    pub(super) async fn inject(
        &self,
        service: &ServiceName,
        files: &[InjectedFile],
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        let variables: Vec<String> = files.iter().filter_map(|file| file.variable.clone()).collect();
        let orchestrator = self.ports.orchestrator();
        let values = orchestrator.values(service, &variables).await?;
        for candidate in facts.candidates(service) {
            for file in files {
                orchestrator.put(&candidate.id, file, &values).await?;
            }
        }
        Ok(StepResult::Nothing)
    }

    /// Twice: the commands run once more, as they do whenever compose starts the container again.
    ///
    /// One candidate after the other, as compose does: such a command may be what must not run beside itself.
    pub(super) async fn post_start(
        &self,
        service: &ServiceName,
        commands: &[LifecycleCommand],
        limit: Duration,
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        let values = self.values(service, commands).await?;
        for candidate in facts.candidates(service) {
            self.run_in(candidate, Moment::PostStart, commands, &values, limit).await?;
        }
        Ok(StepResult::Nothing)
    }

    /// Twice: the commands run once more in those that still run; what has stopped is left alone.
    ///
    /// After the commit nothing is run in a container that gets requests: the same is looked at as before it is stopped.
    pub(super) async fn pre_stop(
        &self,
        of: &PlannedService,
        committed: bool,
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        let (service, commands) = (&of.name, &of.lifecycle.pre_stop);
        if commands.is_empty() {
            return Ok(StepResult::Nothing);
        }
        if committed {
            self.must_run(facts.candidates(service)).await?;
            self.refuse_if_named(of, &of.live, true).await?;
        }
        let values = self.values(service, commands).await?;
        self.run_in_all(&of.live, Moment::PreStop, commands, &values, of.hook_timeout)
            .await
            .map(|()| StepResult::Nothing)
    }

    /// Twice: as for the old containers. A failure is told and holds nothing up: the candidates go in any case.
    pub(super) async fn pre_stop_candidates(
        &self,
        service: &ServiceName,
        commands: &[LifecycleCommand],
        limit: Duration,
        facts: &RunFacts,
    ) -> Result<StepResult, Failure> {
        self.tell_failure(self.run_all(service, facts.candidates(service), Moment::PreStop, commands, limit).await);
        Ok(StepResult::Nothing)
    }

    /// Twice: the commands run once more. A failure is told and holds nothing up: the old containers serve in any case.
    pub(super) async fn post_start_old(
        &self,
        service: &ServiceName,
        old: &[Container],
        commands: &[LifecycleCommand],
        limit: Duration,
    ) -> Result<StepResult, Failure> {
        self.tell_failure(self.run_all(service, old, Moment::PostStart, commands, limit).await);
        Ok(StepResult::Nothing)
    }

    async fn run_all(
        &self,
        service: &ServiceName,
        containers: &[Container],
        moment: Moment,
        commands: &[LifecycleCommand],
        limit: Duration,
    ) -> Result<(), Failure> {
        let values = self.values(service, commands).await?;
        self.run_in_all(containers, moment, commands, &values, limit).await
    }

    fn tell_failure(&self, ended: Result<(), Failure>) {
        let Err(failure) = ended else { return };
        self.display.remark(&failure.what);
        failure.tail.iter().for_each(|line| self.display.say(&format!("    {line}")));
    }

    /// Runs the commands in all containers that run, beside one another; those that ended meanwhile are left alone.
    async fn run_in_all(
        &self,
        containers: &[Container],
        moment: Moment,
        commands: &[LifecycleCommand],
        values: &Values<P>,
        limit: Duration,
    ) -> Result<(), Failure> {
        let ran = containers.iter().map(|container| async move {
            match self.ports.engine().inspect(&container.id).await? {
                Some(seen) if seen.runs() => self.run_in(container, moment, commands, values, limit).await,
                _ => Ok(()),
            }
        });
        join_all(ran).await.into_iter().collect()
    }

    async fn run_in(
        &self,
        container: &Container,
        moment: Moment,
        commands: &[LifecycleCommand],
        values: &Values<P>,
        limit: Duration,
    ) -> Result<(), Failure> {
        for (index, command) in commands.iter().enumerate() {
            let ran = self.ports.orchestrator().run_in(&container.id, moment, (index, command), values, limit).await?;
            let output = match ran {
                CommandEnd::Ended(output) if output.ok() => continue,
                CommandEnd::Ended(output) => output,
                // It stopped by itself, which is what was wanted next.
                CommandEnd::NotRunning(_) if moment == Moment::PreStop => return Ok(()),
                CommandEnd::NotRunning(failure) | CommandEnd::NotBegun(failure) => {
                    let what = format!("{moment} in `{}`: {}", container.name, failure.what);
                    return Err(Failure { what, ..failure });
                }
                CommandEnd::Late => return Err(late(moment, command, &container.name, limit)),
            };
            return Err(failed(moment, command, &container.name, &output));
        }
        Ok(())
    }

    /// Reads the values that the commands need; most need none, and then nothing is read.
    async fn values(&self, service: &ServiceName, commands: &[LifecycleCommand]) -> Result<Values<P>, Failure> {
        match commands.iter().all(|command| command.environment.is_empty()) {
            true => Ok(Values::<P>::default()),
            false => self.ports.orchestrator().values(service, &[]).await,
        }
    }
}

fn failed(moment: Moment, command: &LifecycleCommand, container: &str, output: &Output) -> Failure {
    let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    let lines: Vec<String> = said.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    let last = lines.len().saturating_sub(LINES);
    Failure::new(format!("{moment} {command} in `{container}` exited with code {}", output.code))
        .tail(lines.into_iter().skip(last))
}

fn late(moment: Moment, command: &LifecycleCommand, container: &str, limit: Duration) -> Failure {
    let limit = humantime::format_duration(limit);
    Failure::new(format!("{moment} {command} in `{container}` did not end within {limit}"))
        .hint("`timeouts: { hook: … }` under `x-swap:` is its limit")
}
