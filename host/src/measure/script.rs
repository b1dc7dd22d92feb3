//! The plain shell way to replace a container, for comparison in `swap bench`. It drops requests: that is what it shows.

use std::time::{Duration, Instant};

use crate::docker::ContainerFacts;
use crate::model::{Failure, ServiceName};
use crate::nginx::{FileChange, Kept, Shell as _, first_file};
use crate::plan::Front;
use crate::site::Site;

/// How long the new container may take to become healthy.
const PATIENCE: Duration = Duration::from_secs(60);

impl Site {
    /// Lets nginx find a service by its DNS name again, as the plain way needs it; the next swap names addresses.
    pub async fn name_by_dns(&self, service: &ServiceName, front: &Front) -> Result<(), Failure> {
        let door = self.doors.of(&self.docker, &self.project.name, service, front).await?;
        let upstream = front.upstream(service);
        let dns_name = front.dns_name(service);
        let (address, how) = (format!("{dns_name}:{}", front.port), format!("{dns_name} by its DNS name"));
        let text = first_file(upstream.as_str(), &address, &how, &Kept::default());
        let change = FileChange::upstream(upstream, Some(text));
        door.proxy.switch(&door.nginx, &[change]).await?;
        Ok(())
    }

    /// Replaces the containers as everybody's first script does: run twice as many, wait until the new ones are healthy (a
    /// second, if they can't tell), stop and remove the old ones, reload nginx.
    pub async fn swap_by_script(&self, service: &ServiceName, front: &Front) -> Result<(), Failure> {
        let old: Vec<ContainerFacts> = self.running(service).await?;
        let scale = format!("{service}={}", old.len() * 2);
        let words = ["up", "-d", "--no-deps", "--no-recreate", "--scale", &scale, service.as_str()];
        let line = self.compose.tool.command(&self.compose.options, &words);
        let (program, arguments) =
            line.split_first().ok_or_else(|| Failure::new("internal: the compose tool has no name"))?;
        let tried = format!("running `{}`", self.compose.command_line(&words));
        let said = tokio::process::Command::new(program)
            .args(arguments)
            .output()
            .await
            .map_err(|error| Failure::new(format!("{tried}: {error}")))?;
        if !said.status.success() {
            let lines = String::from_utf8_lossy(&said.stderr).lines().map(str::to_owned).collect::<Vec<_>>();
            return Err(Failure::new(format!("{tried}: {}", said.status)).tail(lines));
        }
        let began = Instant::now();
        loop {
            let all = self.running(service).await?;
            let new: Vec<&ContainerFacts> = all.iter().filter(|seen| old.iter().all(|old| old.id != seen.id)).collect();
            let healthy = |seen: &&ContainerFacts| match seen.health.as_deref() {
                Some(health) => health == "healthy",
                None => began.elapsed() > Duration::from_secs(1),
            };
            if new.len() >= old.len() && new.iter().all(healthy) {
                break;
            }
            if began.elapsed() > PATIENCE {
                return Err(Failure::new(format!("the new containers of `{service}` were not healthy after a minute"))
                    .hint(format!("`docker compose ps` shows what the script has left; `swap status {service}`")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for container in &old {
            self.docker.stop(&container.id, None).await?;
            self.docker.remove(&container.id, false).await?;
        }
        let door = self.doors.of(&self.docker, &self.project.name, service, front).await?;
        let reload = door.proxy.shell().run("nginx -s reload 2>&1").await?;
        if !reload.ok() {
            let lines: Vec<String> = reload.stdout.lines().map(str::to_owned).collect();
            return Err(Failure::new(format!("`nginx -s reload` exited {}", reload.code)).tail(lines));
        }
        Ok(())
    }

    async fn running(&self, service: &ServiceName) -> Result<Vec<ContainerFacts>, Failure> {
        let all = self.docker.of_service(&self.project.name, service.as_str()).await?;
        Ok(all.into_iter().filter(ContainerFacts::runs).collect())
    }
}
