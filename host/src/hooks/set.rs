//! Several hooks in one run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::capabilities::Capabilities;
use super::context::Context;
use super::engine::Engine;
use super::hook::{Hook, Reply};
use super::limits::Limits;
use super::log::Log;
use crate::model::{Failure, HookSpec, LoadedHook, Phase};

/// The hooks of a run, in the operator's order. Their names are unique.
#[derive(Debug, Default)]
pub struct Hooks(Vec<Hook>);

/// What all health hooks say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// All agree, or there is none.
    Healthy,
    /// At least one does not agree yet.
    NotYet {
        /// How long to wait before asking again: the longest that one of them wants, since all must agree anyhow. `None`
        /// lets swap choose.
        retry_after: Option<Duration>,
        /// The smallest progress that one of them reported, in percent.
        progress: Option<u8>,
        /// What is missing, of the first that does not agree.
        failure: Failure,
    },
    /// One says never, or was aborted.
    Fatal(Failure),
}

impl Hooks {
    /// Loads hooks in order. A name that comes again gets a number: `notify`, `notify-2`.
    ///
    /// # Errors
    /// The first that can't be loaded, see [`Hook::load`].
    pub fn load(engine: &Arc<Engine>, specs: &[HookSpec]) -> Result<Self, Failure> {
        let mut hooks: Vec<Hook> = Vec::new();
        for spec in specs {
            let taken = |name: &str| hooks.iter().any(|hook| hook.name() == name);
            let mut name = spec.name().to_owned();
            let mut number = 2;
            while taken(&name) {
                name = format!("{}-{number}", spec.name());
                number += 1;
            }
            hooks.push(Hook::load_as(engine, spec, &name)?);
        }
        Ok(Self(hooks))
    }

    /// Returns the hooks in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Hook> {
        self.0.iter()
    }

    /// Returns the hooks that implement a phase, in order.
    pub fn of(&self, phase: Phase) -> impl DoubleEndedIterator<Item = &Hook> {
        self.0.iter().filter(move |hook| hook.inspection().phases.contains(&phase))
    }

    /// Returns the hooks as a plan and a journal name them.
    pub fn loaded(&self) -> Vec<LoadedHook> {
        self.0.iter().map(Hook::loaded).collect()
    }

    /// Asks the hooks of `pre-start`, `pre-swap` or `post-swap` in order. Stops at the first that fails.
    ///
    /// # Errors
    /// The failure of that hook, signed.
    pub async fn in_order(&self, phase: Phase, asked: &Asked<'_>) -> Result<(), Failure> {
        for hook in self.of(phase) {
            failed(asked.of(hook, phase).await)?;
        }
        Ok(())
    }

    /// Tells the hooks of `finish` in order, or those of `rollback` in reverse. One that fails does not hold up the
    /// others. Returns the failures with the names of their hooks.
    pub async fn tell_all(&self, phase: Phase, asked: &Asked<'_>) -> Vec<(String, Failure)> {
        let mut hooks: Vec<&Hook> = self.of(phase).collect();
        if phase == Phase::Rollback {
            hooks.reverse();
        }
        let mut failures = Vec::new();
        for hook in hooks {
            failures.extend(failed(asked.of(hook, phase).await).err().map(|failure| (hook.name().to_owned(), failure)));
        }
        failures
    }

    /// Asks all health hooks at once. Ends as soon as all have answered.
    pub async fn health(&self, asked: &Asked<'_>) -> Health {
        agree(join_all(self.of(Phase::Health).map(|hook| asked.of(hook, Phase::Health))).await)
    }
}

/// What all hooks of a phase are asked with.
#[derive(Clone)]
pub struct Asked<'a> {
    /// What the call is about.
    pub context: &'a Context,
    /// What hooks can do to the world.
    pub capabilities: Arc<dyn Capabilities>,
    /// What each may use.
    pub limits: Limits,
    /// Where their lines go.
    pub log: Log,
}

impl Asked<'_> {
    async fn of(&self, hook: &Hook, phase: Phase) -> Result<Reply, Failure> {
        hook.call(phase, self.context, self.capabilities.clone(), self.limits, self.log.clone()).await
    }
}

/// Turns a reply of a phase other than `health` into success or failure.
fn failed(reply: Result<Reply, Failure>) -> Result<(), Failure> {
    match reply? {
        Reply::Failed { failure, .. } => Err(failure),
        _ => Ok(()),
    }
}

/// Joins the answers of the health hooks, in the hooks' order.
fn agree(replies: Vec<Result<Reply, Failure>>) -> Health {
    let mut waiting: Option<(Option<Duration>, Option<u8>, Failure)> = None;
    for reply in replies {
        match reply {
            Err(failure) | Ok(Reply::Fatal(failure)) => return Health::Fatal(failure),
            Ok(Reply::NotYet { retry_after, progress, failure }) => {
                waiting = Some(match waiting {
                    None => (retry_after, progress, failure),
                    Some((longest, least, first)) => {
                        (longest.max(retry_after), least.into_iter().chain(progress).min(), first)
                    }
                });
            }
            Ok(_) => {}
        }
    }
    match waiting {
        Some((retry_after, progress, failure)) => Health::NotYet { retry_after, progress, failure },
        None => Health::Healthy,
    }
}

/// Replaces folders and globs among the files of hooks by the components that they name, sorted, each with the same
/// config and grants. Relative paths start at `base`.
///
/// # Errors
/// A folder or glob that names no component, or can't be read.
pub fn expand(base: &Path, specs: &[HookSpec]) -> Result<Vec<HookSpec>, Failure> {
    let mut expanded = Vec::new();
    for spec in specs {
        let path = base.join(&spec.file).to_string_lossy().into_owned();
        let pattern = if Path::new(&path).is_dir() {
            format!("{}/*.wasm", glob::Pattern::escape(&path))
        } else if spec.file.contains(['*', '?', '[']) && !Path::new(&path).exists() {
            path
        } else {
            expanded.push(HookSpec { file: path, ..spec.clone() });
            continue;
        };
        let bad = |why: String| Failure::new(format!("hooks `{}`: {why}", spec.file.escape_debug()));
        let paths = glob::glob(&pattern).map_err(|error| bad(error.to_string()))?;
        let mut files = BTreeMap::new();
        for path in paths {
            let path = path.map_err(|error| bad(error.to_string()))?;
            if path.is_file() {
                let file = path.to_string_lossy().into_owned();
                files.insert(file.clone(), HookSpec { file, ..spec.clone() });
            }
        }
        if files.is_empty() {
            return Err(bad("no component there".into()).hint("a hook's file ends in `.wasm`"));
        }
        expanded.extend(files.into_values());
    }
    Ok(expanded)
}
