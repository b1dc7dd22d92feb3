//! The hooks of a service, loaded once.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use crate::hooks::{self, Hooks};
use crate::model::{Failure, HookSpec, LoadedHook, ServiceName};
use crate::site::Site;

/// The loaded hooks of each service.
pub type LoadedHooks = BTreeMap<ServiceName, Arc<Hooks>>;

/// Tells whether one of the hooks asks for the probe's numbers.
pub fn ask_for_numbers(hooks: &Hooks) -> bool {
    hooks.iter().any(|hook| hook.inspection().asks_for("metrics"))
}

impl Site {
    /// Returns the hooks that were loaded, for a run that is about to begin.
    pub(crate) fn loaded_hooks(&self) -> LoadedHooks {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells whether a hook of the service asks for the probe's numbers.
    pub(crate) fn is_judged_by_hooks(&self, service: &ServiceName) -> bool {
        self.loaded_hooks().get(service).is_some_and(|hooks| ask_for_numbers(hooks))
    }

    /// Returns what all hooks are compiled by.
    pub(crate) async fn hook_engine(&self) -> Result<Arc<hooks::Engine>, Failure> {
        let begin = || apart(|| hooks::Engine::new(hooks::default_cache_folder().as_deref()).map(Arc::new));
        self.hook_engine.get_or_try_init(begin).await.cloned()
    }

    /// Loads the hooks of a service, once.
    pub async fn load_hooks(&self, service: &ServiceName, specs: &[HookSpec]) -> Result<Vec<LoadedHook>, Failure> {
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self.hook_engine().await?;
        let here = std::env::current_dir().unwrap_or_default();
        let specs = hooks::expand(&here, specs)?;
        let loaded = apart(move || Hooks::load(&engine, &specs)).await?;
        let names = loaded.loaded();
        let mut all = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(service.clone(), Arc::new(loaded));
        Ok(names)
    }
}

/// Does what computes for long on a thread of its own. Unlike those of the runtime, such a thread holds up nobody who gives it up
/// and ends.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (done, awaited) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("swap-hooks".into()).spawn(move || drop(done.send(work())));
    thread.map_err(|error| Failure::new(format!("starting a thread: {error}")))?;
    awaited.await.unwrap_or_else(|_| Err(Failure::new("internal: loading the hooks panicked")))
}
