//! The hooks of a service, loaded once.

use crate::hooks::{self, Hooks};
use crate::model::{Failure, HookSpec, LoadedHook, ServiceName};
use crate::site::Site;

impl Site {
    /// Tells whether a hook of the service asks for the probe's numbers.
    pub(crate) fn is_judged_by_hooks(&self, service: &ServiceName) -> bool {
        let all = self.hooks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut imports =
            all.get(service).into_iter().flat_map(|hooks| hooks.iter()).flat_map(|hook| hook.imports().to_vec());
        imports.any(|import| import.contains("metrics"))
    }

    /// Loads the hooks of a service, once.
    pub async fn load_hooks(&self, service: &ServiceName, specs: &[HookSpec]) -> Result<Vec<LoadedHook>, Failure> {
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self
            .hook_engine
            .get_or_try_init(|| {
                apart(|| hooks::Engine::new(hooks::default_cache_folder().as_deref()).map(std::sync::Arc::new))
            })
            .await?
            .clone();
        let here = std::env::current_dir().unwrap_or_default();
        let specs = hooks::expand(&here, specs)?;
        let loaded = apart(move || Hooks::load(&engine, &specs)).await?;
        let names = loaded.loaded();
        let mut all = self.hooks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.insert(service.clone(), std::sync::Arc::new(loaded));
        Ok(names)
    }
}

/// Does what computes for long on a thread of its own. Unlike those of the runtime, such a thread holds up nobody who gives it up
/// and ends.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let (done, awaited) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("swap-hooks".into()).spawn(move || drop(done.send(work())));
    thread.map_err(|error| Failure::new(format!("starting a thread: {error}")))?;
    awaited.await.unwrap_or_else(|_| Err(Failure::new("internal: loading the hooks panicked")))
}
