//! Creating candidates.

use super::Compose;
use super::read::{last, messages, not_started, run};
use crate::model::{Failure, ServiceName};

/// How much of compose's output is kept for a failure.
const LIMIT: usize = 64 * 1024;

/// The first version whose `up` knows `--pull`.
const UP_PULL: [u32; 3] = [2, 8, 0];

/// The versions of v2 whose config-hash covers `depends_on`. There `--no-deps`, which takes `depends_on` out of the
/// service, makes a container that the next `up -d` recreates; so the dependencies stay in, each at its own count.
const HASHES_DEPENDENCIES: std::ops::Range<[u32; 3]> = [2, 0, 0]..[2, 29, 3];

impl Compose {
    /// Has compose create containers of services until there are so many of each, without starting any of them.
    ///
    /// Compose counts the stopped ones too, numbers the new ones above the highest, and touches no other container.
    /// Runs twice safely: with so many containers there already it does nothing. When this future is dropped compose
    /// goes on to its end, so look at the engine afterwards.
    ///
    /// # Errors
    /// Compose refused or failed, with its last lines; some containers may have been created.
    pub async fn create_candidates(&self, totals: &[(&ServiceName, usize)]) -> Result<(), Failure> {
        let version = self.version().await;
        let mut words: Vec<String> = ["up", "--no-start", "--no-recreate", "--no-build"].map(str::to_owned).to_vec();
        if version >= UP_PULL {
            // Whatever the service's pull_policy says: the plan has chosen the image. 1.29 pulls only what is missing.
            words.extend(["--pull", "never"].map(str::to_owned));
        }
        let services: Vec<&ServiceName> = totals.iter().map(|(service, _)| *service).collect();
        let dependencies =
            if HASHES_DEPENDENCIES.contains(&version) { self.dependencies(&services).await? } else { Vec::new() };
        if dependencies.is_empty() {
            words.push("--no-deps".to_owned());
        }
        for (dependency, count) in dependencies {
            words.extend(["--scale".to_owned(), format!("{dependency}={count}")]);
        }
        for (service, total) in totals {
            words.extend(["--scale".to_owned(), format!("{service}={total}")]);
        }
        words.extend(services.iter().map(|service| service.to_string()));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let line = self.command_line(&words);
        let directory = self.working_directory();
        let output = run(&self.tool.quick_command(&self.options, &words), &directory, None, LIMIT).await;
        let output = output.map_err(|error| not_started(&line, &directory, &error))?;
        if output.ok() {
            return Ok(());
        }
        let said = messages(&format!("{}\n{}", output.stdout, output.stderr));
        let missing = said.iter().any(|line| {
            // 1.29 knows no `--pull never`, and tries.
            let pulls = services.iter().any(|service| line.starts_with(&format!("Pulling {service} (")));
            pulls || line.to_lowercase().contains("no such image") || line.contains("needs to be built, but --no-build")
        });
        let failure = Failure::new(format!(
            "creating a container of {}: `{line}` failed with exit code {}",
            services.iter().map(|service| format!("`{service}`")).collect::<Vec<_>>().join(", "),
            output.code
        ))
        .tail(last(said));
        Err(if missing {
            let of = |verb| -> Vec<&str> {
                std::iter::once(verb).chain(services.iter().map(|service| service.as_str())).collect()
            };
            let (build, pull) = (self.command_line(&of("build")), self.command_line(&of("pull")));
            failure.hint(format!("make the image first: `{build}` or `{pull}`"))
        } else {
            failure
        })
    }

    /// Returns what services depend on beside one another, directly or not, and how many containers each has now.
    ///
    /// With these counts as their scale, compose neither creates nor removes any of them.
    async fn dependencies(&self, services: &[&ServiceName]) -> Result<Vec<(ServiceName, usize)>, Failure> {
        let project = self.read().await?;
        let mut found: Vec<ServiceName> = Vec::new();
        let mut open = services.to_vec();
        while let Some(name) = open.pop() {
            for dependency in project.services.get(name).iter().flat_map(|service| &service.depends_on) {
                if !services.contains(&dependency) && !found.contains(dependency) {
                    found.push(dependency.clone());
                    open.push(dependency);
                }
            }
        }
        let mut counted = Vec::new();
        for name in found {
            let words = ["ps", "-a", "-q", name.as_str()];
            let line = self.command_line(&words);
            let directory = self.working_directory();
            let output = run(&self.tool.quick_command(&self.options, &words), &directory, None, LIMIT).await;
            let output = output.map_err(|error| not_started(&line, &directory, &error))?;
            if !output.ok() {
                let what =
                    format!("counting the containers of `{name}`: `{line}` failed with exit code {}", output.code);
                return Err(Failure::new(what).tail(last(messages(&output.stderr))));
            }
            counted.push((name, output.stdout.lines().filter(|id| !id.trim().is_empty()).count()));
        }
        Ok(counted)
    }
}
