//! The engine as a port: containers and images.

use std::time::Duration;

use crate::docker::Docker;
use crate::model::{ContainerFacts, Failure, Image, NetworkPlace, ServiceName};
use crate::plan::back::{self, Replaced};
use crate::world::Engine;

/// Returns the versions of a service that were replaced, newest first, as the engine knows them.
pub(crate) async fn history(
    engine: &impl Engine,
    project: &str,
    service: &ServiceName,
) -> Result<Vec<Replaced>, Failure> {
    let tags = engine.tags(&back::repository(project, service)).await?;
    Ok(back::newest_first(tags.iter().filter_map(|(tag, image)| Replaced::of_tag(tag, image)).collect()))
}

/// Each call is one of the adapter's; how it may run twice stands there.
impl Engine for Docker {
    async fn inspect(&self, id: &str) -> Result<Option<ContainerFacts>, Failure> {
        Docker::inspect(self, id).await
    }

    async fn of_service(&self, project: &str, service: &ServiceName) -> Result<Vec<ContainerFacts>, Failure> {
        Docker::of_service(self, project, service.as_str()).await
    }

    async fn start(&self, id: &str) -> Result<(), Failure> {
        Docker::start(self, id).await
    }

    async fn stop(&self, id: &str, grace: Option<Duration>) -> Result<(), Failure> {
        Docker::stop(self, id, grace).await
    }

    async fn remove(&self, id: &str, volumes: bool) -> Result<(), Failure> {
        Docker::remove(self, id, volumes).await
    }

    async fn disable_restart(&self, id: &str) -> Result<(), Failure> {
        Docker::disable_restart(self, id).await
    }

    async fn connect(&self, id: &str, place: &NetworkPlace) -> Result<(), Failure> {
        self.connect_network(id, place).await
    }

    async fn disconnect(&self, id: &str, network: &str) -> Result<(), Failure> {
        self.disconnect_network(id, network).await
    }

    async fn last_lines(&self, id: &str, lines: usize) -> Result<Vec<String>, Failure> {
        self.logs_tail(id, lines).await
    }

    async fn received(&self, id: &str) -> Result<u64, Failure> {
        Ok(Docker::received(self, id).await?.packets)
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, Failure> {
        Docker::image(self, name).await
    }

    async fn tag(&self, image: &str, name: &str) -> Result<(), Failure> {
        Docker::tag(self, image, name).await
    }

    async fn untag(&self, name: &str) -> Result<(), Failure> {
        Docker::untag(self, name).await
    }

    async fn tags(&self, repository: &str) -> Result<Vec<(String, String)>, Failure> {
        Docker::tags(self, repository).await
    }
}
