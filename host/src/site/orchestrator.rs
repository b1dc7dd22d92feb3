//! compose as a port: it makes the containers of a service. What it does besides when it starts and stops them itself is done
//! through the engine, because compose can't be asked for one container alone: `compose start` starts all of a service that
//! lie still, the old ones of a stop-first swap too.
//!
//! **Invariant:** values that may be secret are read when they are needed and go into the container, and nowhere else.

use std::time::Duration;

use tokio::time::timeout;

use super::Site;
use crate::compose::Values;
use crate::docker::{Aside, Command, ExecError, Owned};
use crate::model::{ContainerFacts, Failure, InjectedFile, LifecycleCommand, Moment, ServiceName};
use crate::world::{CommandEnd, Orchestrator};

impl Orchestrator for Site {
    type Values = Values;

    async fn create(&self, totals: &[(&ServiceName, usize)]) -> Result<(), Failure> {
        self.compose.create_candidates(totals).await
    }

    async fn values(&self, service: &ServiceName, variables: &[String]) -> Result<Values, Failure> {
        self.compose.values(service, variables).await
    }

    async fn put(&self, id: &str, file: &InjectedFile, values: &Values) -> Result<(), Failure> {
        let content = values.file(file)?;
        if content.is_empty() {
            // compose makes no file of nothing.
            return Ok(());
        }
        let owned = Owned { mode: file.mode, uid: file.uid.unwrap_or(0), gid: file.gid.unwrap_or(0) };
        let settled = file.uid.is_some() || file.gid.is_some();
        let put = self.docker.put_file(id, &file.target, content.as_bytes(), owned, settled);
        put.await.map_err(|failure| Failure { what: format!("{file}: {}", failure.what), ..failure })
    }

    async fn run_aside(
        &self,
        beside: &ContainerFacts,
        name: &str,
        (index, command): (usize, &LifecycleCommand),
        values: &Values,
        limit: Duration,
    ) -> Result<bool, Failure> {
        let own = values.environment(Moment::PreStart, index, command)?;
        let line = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        let aside = Aside {
            name: name.to_owned(),
            image: command.image.clone().unwrap_or_else(|| beside.image.clone()),
            command: command.words.clone(),
            user: command.user.clone(),
            folder: command.folder.clone(),
            environment: values.service_environment().iter().chain(own).map(line).collect(),
            privileged: command.privileged,
        };
        match timeout(limit, self.docker.run_aside(beside, &aside)).await {
            Ok(ended) => ended
                .map(|()| true)
                .map_err(|failure| Failure { what: format!("pre_start: {}", failure.what), ..failure }),
            Err(_) => Ok(false),
        }
    }

    async fn remove_aside(&self, name: &str) -> Result<(), Failure> {
        self.docker.remove_aside(name).await
    }

    async fn run_in(
        &self,
        id: &str,
        moment: Moment,
        (index, command): (usize, &LifecycleCommand),
        values: &Values,
        limit: Duration,
    ) -> Result<CommandEnd, Failure> {
        let environment = values.environment(moment, index, command)?;
        let set = environment.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        let unset = environment.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.clone());
        let exec = Command {
            env: set.collect(),
            unset: unset.collect(),
            privileged: command.privileged,
            user: command.user.clone(),
            dir: command.folder.clone(),
            limit: 16 * 1024,
            ..Command::new(command.words.clone())
        };
        match timeout(limit, self.docker.output(id, &exec)).await {
            Err(_) => Ok(CommandEnd::Late),
            Ok(Ok(output)) => Ok(CommandEnd::Ended(output)),
            Ok(Err(error @ ExecError::NotRunning(_))) => Ok(CommandEnd::NotRunning(Failure::from(error))),
            Ok(Err(error)) => Ok(CommandEnd::NotBegun(Failure::from(error))),
        }
    }
}
