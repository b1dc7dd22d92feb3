//! Runs the files of a CI as the CI would: each step by a shell on a machine of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use regex_lite::{Captures, Regex};
use serde::Deserialize;

use crate::command::{Ended, ended};
use crate::container::Machine;
use crate::images::root;

/// What GitHub itself does here: nothing is left of these steps that could be wrong.
const ACTIONS: [&str; 3] = ["actions/checkout@v4", "actions/cache/restore@v4", "actions/cache/save@v4"];

/// Where GitHub's machine has the checkout, and what lies beside it.
const WORKSPACE: &str = "/home/runner/work/shop/shop";
const TEMP: &str = "/home/runner/work/_temp";

#[derive(Debug, Deserialize)]
struct Workflow {
    jobs: BTreeMap<String, Job>,
}

#[derive(Debug, Deserialize)]
struct Job {
    #[serde(default)]
    env: BTreeMap<String, String>,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Step {
    uses: Option<String>,
    run: Option<String>,
    working_directory: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// Runs the only job of a workflow of GitHub Actions on a fresh machine with this checkout. `values` are what its
/// expressions stand for, as `vars.SWAP_URL`; `moved` is where a folder of the example really is.
///
/// It ends with the first step that fails; what is said is that step's, or the last one's.
///
/// # Panics
///
/// If the file has what this does not know.
#[track_caller]
pub fn github(file: &str, runner: &Machine, checkout: &Path, values: &[(&str, &str)], moved: (&str, &Path)) -> Ended {
    try_github(file, runner, checkout, values, moved).unwrap_or_else(|error| panic!("`{file}`: {error:?}"))
}

fn try_github(
    file: &str,
    runner: &Machine,
    checkout: &Path,
    values: &[(&str, &str)],
    (from, to): (&str, &Path),
) -> Result<Ended> {
    let text = fs::read_to_string(root().join(file))?;
    ensure!(text.contains(from), "it does not name `{from}`");
    let text = text.replace(from, &to.display().to_string());
    let workflow: Workflow = serde_saphyr::from_str(&text)?;
    ensure!(workflow.jobs.len() == 1, "it has {} jobs", workflow.jobs.len());
    let job = workflow.jobs.into_values().next().context("a job")?;
    runner.sh(&format!("mkdir -p {WORKSPACE} {TEMP}"));
    runner.copy(checkout, WORKSPACE);
    runner.sh(&format!("touch {TEMP}/path && chown -R runner: /home/runner"));
    let mut last = None;
    for step in job.steps {
        let Some(script) = step.run else {
            let action = step.uses.context("a step that neither runs nor uses anything")?;
            ensure!(ACTIONS.contains(&action.as_str()), "nobody here knows `{action}`");
            continue;
        };
        let mut command = Command::new("docker");
        let folder = step.working_directory.unwrap_or_else(|| WORKSPACE.to_owned());
        command.args(["exec", "--user", "runner", "--workdir", &folder]);
        let own = [("GITHUB_ACTIONS", "true"), ("CI", "true"), ("RUNNER_TEMP", TEMP), ("GITHUB_WORKSPACE", WORKSPACE)];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (name, value) in own.into_iter().chain(job.env.clone()).chain(step.env) {
            command.args(["--env", &format!("{name}={}", filled(&value, values)?)]);
        }
        // What a step writes into that file is in the path of the next one.
        let wrapper =
            "export GITHUB_PATH=$0; while read -r folder; do PATH=$folder:$PATH; done <\"$0\"; exec bash -ec \"$1\"";
        command.args([&runner.name, "bash", "-c", wrapper, &format!("{TEMP}/path"), &filled(&script, values)?]);
        let step = ended(&mut command);
        let failed = step.code != 0;
        last = Some(step);
        if failed {
            break;
        }
    }
    last.context("no step runs anything")
}

/// Fills in the expressions, as `${{ vars.SWAP_URL }}`.
fn filled(text: &str, values: &[(&str, &str)]) -> Result<String> {
    let own = [("github.workspace", WORKSPACE), ("github.run_id", "1"), ("github.run_attempt", "1")];
    let value = |name: &str| own.iter().chain(values).find(|(known, _)| *known == name).map(|(_, value)| *value);
    let pattern = Regex::new(r"\$\{\{ *([^} ]+) *\}\}")?;
    let unknown = pattern.captures_iter(text).find(|found| value(&found[1]).is_none());
    ensure!(unknown.is_none(), "nobody has told what `{}` is", &unknown.map_or(String::new(), |found| found[1].into()));
    Ok(pattern.replace_all(text, |found: &Captures| value(&found[1]).unwrap_or_default()).into_owned())
}

/// A pipeline of GitLab CI.
#[derive(Debug, Deserialize)]
pub struct Pipeline {
    stages: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(flatten)]
    jobs: BTreeMap<String, PipelineJob>,
}

#[derive(Debug, Deserialize)]
struct PipelineJob {
    stage: String,
    script: Vec<String>,
}

impl Pipeline {
    /// Reads a file of the repository. Panics if it is no pipeline.
    #[track_caller]
    pub fn read(file: &str) -> Self {
        let text = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("reading `{file}`: {error}"));
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("reading `{file}`: {error}"))
    }

    /// Runs its jobs by stage, each as a runner does that shares the engine's socket: the checkout is cleaned, then a
    /// container of the job's image runs the script. Ends with the first job that fails.
    ///
    /// `images` are those of the jobs; `words` are for `docker run`, as the mounts of the runner's configuration.
    ///
    /// # Panics
    ///
    /// If a job has no image here.
    #[track_caller]
    pub fn run(&self, checkout: &Path, images: &[(&str, &str)], words: &[&str]) -> Ended {
        let folder = checkout.display().to_string();
        let mut last = None;
        let jobs = self.stages.iter().flat_map(|stage| self.jobs.iter().filter(move |(_, job)| job.stage == *stage));
        for (name, job) in jobs {
            let clean = self.variables.get("GIT_CLEAN_FLAGS").map_or("-ffdx", String::as_str);
            ended(Command::new("git").arg("clean").args(clean.split(' ')).current_dir(checkout)).with(0);
            let image =
                images.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("`{name}` has no image"));
            let mut command = Command::new("docker");
            command.args(["run", "--rm", "--entrypoint", "", "--env", "CI=true", "--env", "GITLAB_CI=true"]);
            command.args(["--volume", &format!("{folder}:{folder}"), "--workdir", &folder]).args(words);
            command.args([image.1, "sh", "-ec", &job.script.join("\n")]);
            let job = ended(&mut command);
            let failed = job.code != 0;
            last = Some(job);
            if failed {
                break;
            }
        }
        last.expect("no job runs anything")
    }
}
