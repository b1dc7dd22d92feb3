//! Several hooks in one run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::capabilities::Capabilities;
use super::context::Context;
use super::engine::{Engine, cores};
use super::hook::{Hook, Reply};
use super::limits::Limits;
use super::log::Log;
use crate::model::{Failure, HookSpec, LoadedHook, Phase};
use crate::text::printable;

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
        let mut names: Vec<String> = Vec::new();
        for spec in specs {
            let own = printable(spec.name());
            let mut name = own.clone();
            let mut number = 2;
            while names.contains(&name) {
                name = format!("{own}-{number}");
                number += 1;
            }
            names.push(name);
        }
        let mut hooks = load_beside(engine, specs, &names)?;
        // One may be told by another, or by the candidate, what it may not read itself.
        let mut secrets: Vec<String> = hooks.iter().flat_map(Hook::own_secrets).cloned().collect();
        secrets.sort();
        secrets.dedup();
        hooks.iter_mut().for_each(|hook| hook.hide(&secrets));
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
    pub async fn in_order(&self, phase: Phase, asked: &HookCall<'_>) -> Result<(), Failure> {
        for hook in self.of(phase) {
            failed(asked.of(hook, phase).await)?;
        }
        Ok(())
    }

    /// Tells the hooks of `finish` in order, or those of `rollback` in reverse. One that fails does not hold up the
    /// others. Returns the failures with the names of their hooks.
    pub async fn tell_all(&self, phase: Phase, asked: &HookCall<'_>) -> Vec<(String, Failure)> {
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

    /// Asks all health hooks at once. Ends as soon as all have answered, or one says never.
    ///
    /// `pending` tells meanwhile, and when this is dropped, who has not answered.
    pub async fn health(&self, asked: &HookCall<'_>, pending: &Pending) -> Health {
        let mut asking: FuturesUnordered<_> = self
            .of(Phase::Health)
            .enumerate()
            .map(|(place, hook)| async move {
                pending.begin(hook.name());
                let reply = asked.of(hook, Phase::Health).await;
                pending.end(hook.name());
                (place, reply)
            })
            .collect();
        let mut replies = BTreeMap::new();
        while let Some((place, reply)) = asking.next().await {
            match reply {
                Err(failure) | Ok(Reply::Fatal(failure)) => return Health::Fatal(failure),
                Ok(reply) => replies.insert(place, reply),
            };
        }
        agree(replies.into_values())
    }
}

/// Loads hooks beside one another, as many at once as there are cores. Returns them in order, or the failure of the first in
/// order that can't be loaded: those before it were begun before it.
fn load_beside(engine: &Arc<Engine>, specs: &[HookSpec], names: &[String]) -> Result<Vec<Hook>, Failure> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut loaded = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(spec), Some(name)) = (specs.get(at), names.get(at)) else { break };
            let hook = Hook::load_as(engine, spec, name);
            failed.fetch_or(hook.is_err(), Ordering::Relaxed);
            loaded.push((at, hook));
        }
        loaded
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores().min(specs.len())).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<(usize, Result<Hook, Failure>)>>| {
            thread.join().map_err(|_| Failure::new("internal: loading a hook panicked"))
        };
        threads.into_iter().map(join).collect::<Result<Vec<_>, Failure>>()
    })?;
    let mut hooks: Vec<_> = all.into_iter().flatten().collect();
    hooks.sort_by_key(|(at, _)| *at);
    hooks.into_iter().map(|(_, hook)| hook).collect()
}

/// What all hooks of a phase are asked with.
#[derive(Clone)]
pub struct HookCall<'a> {
    /// What the call is about.
    pub context: &'a Context,
    /// What hooks can do to the world.
    pub capabilities: Arc<dyn Capabilities>,
    /// What each may use.
    pub limits: Limits,
    /// Where their lines go.
    pub log: Log,
}

impl HookCall<'_> {
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

/// The hooks that were asked and have not answered, each with the time since then.
#[derive(Debug, Default)]
pub struct Pending(Mutex<Vec<(String, Instant)>>);

impl Pending {
    fn list(&self) -> MutexGuard<'_, Vec<(String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, hook: &str) {
        self.list().push((hook.to_owned(), Instant::now()));
    }

    fn end(&self, hook: &str) {
        self.list().retain(|(pending, _)| pending != hook);
    }

    /// Says who has not answered and for how long; `None`: nobody is asked.
    pub fn said(&self) -> Option<String> {
        let list = self.list();
        let one = |(hook, since): &(String, Instant)| {
            let rounded = Duration::from_millis(since.elapsed().as_millis() as u64 / 100 * 100);
            format!("hook `{hook}` (health) has not answered for {}", humantime::format_duration(rounded))
        };
        (!list.is_empty()).then(|| list.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    /// Forgets them: they are asked no more.
    pub fn clear(&self) {
        self.list().clear();
    }
}

/// Joins the answers of the health hooks, in the hooks' order.
fn agree(replies: impl Iterator<Item = Reply>) -> Health {
    let mut waiting: Option<(Option<Duration>, Option<u8>, Failure)> = None;
    for reply in replies {
        if let Reply::NotYet { retry_after, progress, failure } = reply {
            waiting = Some(match waiting {
                None => (retry_after, progress, failure),
                Some((longest, least, first)) => {
                    (longest.max(retry_after), least.into_iter().chain(progress).min(), first)
                }
            });
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
