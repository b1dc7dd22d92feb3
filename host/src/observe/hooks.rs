//! The hooks of services, loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::hooks::{self, Hooks};
use crate::model::{Failure, HookSpec, ServiceName};
use crate::site::Site;

/// The loaded hooks of each service.
pub(crate) type LoadedHooks = BTreeMap<ServiceName, Arc<Hooks>>;

impl Site {
    /// Returns what all hooks are compiled by.
    pub(crate) async fn hook_engine(&self) -> Result<Arc<hooks::Engine>, Failure> {
        let begin = || apart(|| hooks::Engine::new(hooks::default_cache_folder().as_deref()).map(Arc::new));
        self.hook_engine.get_or_try_init(begin).await.cloned()
    }

    /// Loads the hooks of a service.
    pub(crate) async fn load_hooks(&self, specs: &[HookSpec]) -> Result<Arc<Hooks>, Failure> {
        if specs.is_empty() {
            return Ok(Arc::default());
        }
        let engine = self.hook_engine().await?;
        let here = std::env::current_dir().unwrap_or_default();
        let specs = hooks::expand(&here, specs)?;
        apart(move || Hooks::load(&engine, &specs)).await.map(Arc::new)
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
