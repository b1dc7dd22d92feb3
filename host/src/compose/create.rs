//! Creating candidates.

use super::Compose;
use super::read::{last, messages, not_started, run};
use crate::model::{Failure, ServiceName};

/// How much of compose's output is kept for a failure.
const LIMIT: usize = 64 * 1024;

impl Compose {
    /// Has compose create containers of the service until there are `total`, without starting any of them.
    ///
    /// Compose counts the stopped ones too, numbers the new ones above the highest, and touches no other container.
    /// Runs twice safely: with `total` containers there already it does nothing. When this future is dropped compose
    /// goes on to its end, so look at the engine afterwards.
    ///
    /// # Errors
    /// Compose refused or failed, with its last lines; some containers may have been created.
    pub async fn create_candidates(&self, service: &ServiceName, total: usize) -> Result<(), Failure> {
        let scale = format!("{service}={total}");
        let mut words = vec!["up", "--no-start", "--no-deps", "--no-recreate", "--no-build"];
        if !self.tool.is_v1() {
            // Whatever the service's pull_policy says: the plan has chosen the image. 1.29 pulls only what is missing.
            words.extend(["--pull", "never"]);
        }
        words.extend(["--scale", &scale, service.as_str()]);
        let line = self.command_line(&words);
        let directory = self.working_directory();
        let output = run(&self.tool.command(&self.options, &words), &directory, None, LIMIT).await;
        let output = output.map_err(|error| not_started(&line, &directory, &error))?;
        if output.ok() {
            return Ok(());
        }
        let said = messages(&format!("{}\n{}", output.stdout, output.stderr));
        let missing = said.iter().any(|line| {
            line.to_lowercase().contains("no such image") || line.contains("needs to be built, but --no-build")
        });
        let failure = Failure::new(format!(
            "creating a container of `{service}`: `{line}` failed with exit code {}",
            output.code
        ))
        .tail(last(said));
        Err(if missing {
            let build = self.command_line(&["build", service.as_str()]);
            let pull = self.command_line(&["pull", service.as_str()]);
            failure.hint(format!("make the image first: `{build}` or `{pull}`"))
        } else {
            failure
        })
    }
}
