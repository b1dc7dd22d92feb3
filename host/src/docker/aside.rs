//! Containers of swap's own beside those of a service: one command each, gone with its end.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::containers::{ONE_OFF, PROJECT, SERVICE};
use super::{ContainerFacts, Docker, Ending, ask};
use crate::model::{Failure, NetworkPlace};
use crate::text::{printable, short_or_name};

/// A command in a container of its own, with the volumes and the networks of another one.
#[derive(Clone, PartialEq, Eq)]
pub struct Aside {
    /// The name of its container, as good as free: one that has it is from an earlier try and is removed.
    pub name: String,
    /// The image.
    pub image: String,
    /// The command and its arguments, behind the image's entrypoint; empty: the image's own.
    pub command: Vec<String>,
    /// The user that it runs as; `None`: the image's.
    pub user: Option<String>,
    /// Its working directory; `None`: the image's.
    pub folder: Option<String>,
    /// Its environment, as `NAME=value`, over the image's; a name alone is taken out of it.
    pub environment: Vec<String>,
    /// Whether it may do what root of the machine may.
    pub privileged: bool,
}

impl Docker {
    /// Runs the command beside a container, which need not have been started, and waits for its end. Its container has that
    /// one's volumes, and its networks without its aliases, so that nobody who asks for the service gets it.
    ///
    /// May run twice, as a container from an earlier try is removed first. When this is dropped the container stays and works
    /// on: remove it by [`Docker::remove_aside`].
    ///
    /// # Errors
    /// The container can't be made or started, or the command did not exit 0; then with its last lines. It is removed.
    pub async fn run_aside(&self, beside: &ContainerFacts, aside: &Aside) -> Result<(), Failure> {
        self.remove_aside(&aside.name).await?;
        let id = self.create_aside(beside, aside).await?;
        let ended = self.follow_aside(beside, &id, aside).await;
        let removed = self.remove_aside(&id).await;
        ended.and(removed)
    }

    /// Ends and removes such a container; one that is gone is what was wanted.
    pub async fn remove_aside(&self, name: &str) -> Result<(), Failure> {
        let Some(seen) = self.inspect(name).await? else { return Ok(()) };
        self.stop(&seen.id, Some(std::time::Duration::ZERO)).await?;
        self.remove(&seen.id, true).await
    }

    async fn create_aside(&self, beside: &ContainerFacts, aside: &Aside) -> Result<String, Failure> {
        let label = |name: &str| beside.labels.get(name).map(|value| (name.to_owned(), value.clone()));
        let mut labels: HashMap<String, String> = [PROJECT, SERVICE].into_iter().filter_map(label).collect();
        labels.insert(ONE_OFF.to_owned(), "True".to_owned());
        let body = ContainerCreateBody {
            image: Some(aside.image.clone()),
            cmd: (!aside.command.is_empty()).then(|| aside.command.clone()),
            user: aside.user.clone(),
            working_dir: aside.folder.clone(),
            env: Some(aside.environment.clone()),
            labels: Some(labels),
            host_config: Some(HostConfig {
                privileged: Some(aside.privileged),
                volumes_from: Some(vec![beside.id.clone()]),
                network_mode: Some(beside.network_mode.clone()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&aside.name).build();
        let created = ask(self.api.create_container(Some(options), body)).await;
        Ok(created.map_err(|fault| fault.when(format!("creating container `{}`", printable(&aside.name))))?.id)
    }

    async fn follow_aside(&self, beside: &ContainerFacts, id: &str, aside: &Aside) -> Result<(), Failure> {
        for network in beside.networks.keys().filter(|network| **network != beside.network_mode) {
            self.connect_network(id, &NetworkPlace { network: network.clone(), ..NetworkPlace::default() }).await?;
        }
        self.start(id).await?;
        let shown = || printable(&aside.command.join(" "));
        let what = match self.exited(id, 0).await? {
            Ending::Exited(0, _) => return Ok(()),
            ending => format!("`{}` in container `{}` {ending}", shown(), short_or_name(&aside.name)),
        };
        Err(Failure::new(what).tail(self.logs_tail(id, 15).await.unwrap_or_default()))
    }
}
