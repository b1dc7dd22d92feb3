//! wasmtime, set up once for all hooks.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, mpsc};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, OptLevel, RegallocAlgorithm, WasmBacktraceDetails};

use super::bindings::Imports;
use super::cache::Cache;
use super::host::HookState;
use super::limits::Pool;
use crate::model::Failure;

/// How often the computing of hooks is interrupted to look at the time.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// The stack of a hook.
pub(super) const STACK: usize = 512 << 10;

/// How long a component may take to compile. A debug build of swap compiles slowly.
const PATIENCE: Duration = if cfg!(debug_assertions) { Duration::from_secs(300) } else { Duration::from_secs(30) };
/// How long is waited until a compiled component is written.
const KEEPING: Duration = Duration::from_secs(5);
/// What has more code is compiled alone: its memory is that of many small ones.
const LARGE: usize = 1 << 20;

/// Compiles hooks, keeps what it compiled, and knows what they may import.
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<HookState>,
    cache: Option<Arc<Cache>>,
    /// Why the cache is not used, or did not keep what was compiled.
    problem: Mutex<Option<Failure>>,
    /// What comes of keeping what was just compiled.
    kept: Mutex<Vec<mpsc::Receiver<Result<(), Failure>>>>,
    ticker: Once,
    pool: Arc<Pool>,
    /// What was compiled, or taken from the cache, in this process. Of two who want the same, one waits for the other.
    components: Mutex<BTreeMap<String, Arc<Mutex<Option<Component>>>>>,
    slots: Slots,
    large: Arc<Mutex<()>>,
}

/// How many components are compiled at once, for whatever service: as many as there are cores.
struct Slots {
    free: Mutex<usize>,
    given_back: Condvar,
}

impl Slots {
    fn take(&self) -> Slot<'_> {
        let free = locked(&self.free);
        let mut free = self.given_back.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(self)
    }
}

/// The right to compile, given back when this is dropped.
struct Slot<'a>(&'a Slots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *locked(&self.0.free) += 1;
        self.0.given_back.notify_one();
    }
}

/// Returns how many threads can compute at once.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Why there is no compiled component.
pub(super) enum Uncompiled {
    /// It is not valid.
    Invalid(wasmtime::Error),
    /// It took too long.
    Late(Failure),
}

impl Engine {
    /// Sets wasmtime up. `cache_folder` is where compiled components are kept; `None` compiles every time.
    ///
    /// A folder that is not private, or can't be had, is not used; [`cache_problem`](Self::cache_problem) says why.
    ///
    /// # Errors
    /// When wasmtime can't work on this machine.
    pub fn new(cache_folder: Option<&Path>) -> Result<Self, Failure> {
        let broken = |error: wasmtime::Error| Failure::new(format!("setting up wasmtime: {error:#}"));
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .max_wasm_stack(STACK)
            .async_stack_size(2 * STACK)
            .wasm_backtrace_details(WasmBacktraceDetails::Disable)
            // A hook mostly waits for the world: how soon it is compiled counts for more than how fast it computes.
            .cranelift_opt_level(OptLevel::None)
            .cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass)
            .generate_address_map(false)
            // For debuggers, which nobody points at a hook.
            .native_unwind_info(false);
        let engine = wasmtime::Engine::new(&config).map_err(broken)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(broken)?;
        Imports::add_to_linker::<_, HasSelf<HookState>>(&mut linker, |state| state).map_err(broken)?;
        let (cache, problem) = match cache_folder.map(|folder| Cache::open(folder, compatibility(&engine))) {
            Some(Ok(cache)) => (Some(Arc::new(cache)), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        Ok(Self {
            engine,
            linker,
            cache,
            problem: Mutex::new(problem),
            kept: Mutex::default(),
            ticker: Once::new(),
            pool: Arc::default(),
            components: Mutex::default(),
            slots: Slots { free: Mutex::new(cores()), given_back: Condvar::new() },
            large: Arc::default(),
        })
    }

    /// Returns why the cache is not used, or has not kept what was compiled. Hooks work without it, only later.
    ///
    /// Waits until what was compiled is written, which goes on beside the first calls.
    pub fn cache_problem(&self) -> Option<Failure> {
        for kept in std::mem::take(&mut *locked(&self.kept)) {
            if let Ok(Err(problem)) = kept.recv_timeout(KEEPING) {
                locked(&self.problem).get_or_insert(problem);
            }
        }
        locked(&self.problem).clone()
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    pub(super) fn linker(&self) -> &Linker<HookState> {
        &self.linker
    }

    /// Returns the memory that all hooks share.
    pub(super) fn pool(&self) -> Arc<Pool> {
        self.pool.clone()
    }

    /// Compiles a component, or takes it from the cache.
    pub(super) fn component(&self, digest: &str, bytes: Vec<u8>) -> Result<Component, Uncompiled> {
        let known = {
            let mut components = locked(&self.components);
            components.entry(digest.to_owned()).or_default().clone()
        };
        let mut known = locked(&known);
        if let Some(component) = known.as_ref() {
            return Ok(component.clone());
        }
        let _slot = self.slots.take();
        let cached = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, digest));
        let component = match cached {
            Some(component) => component,
            None => self.compile(digest, bytes)?,
        };
        *known = Some(component.clone());
        Ok(component)
    }

    /// Compiles on a thread of its own: nothing ends a compiler but the end of the process, which waits for no thread.
    fn compile(&self, digest: &str, bytes: Vec<u8>) -> Result<Component, Uncompiled> {
        let (done, awaited) = mpsc::channel();
        let (written, kept) = mpsc::channel();
        let (engine, cache, large, digest) =
            (self.engine.clone(), self.cache.clone(), self.large.clone(), digest.to_owned());
        let work = move || {
            let compiled = {
                let _alone = (bytes.len() > LARGE).then(|| locked(&large));
                Component::from_binary(&engine, &bytes)
            };
            let component = compiled.as_ref().ok().cloned();
            // Who waits no more needs it no more. To keep it delays no answer.
            let _ = done.send(compiled);
            if let (Some(cache), Some(component)) = (&cache, &component) {
                let _ = written.send(cache.store(&digest, component));
            }
        };
        let thread = std::thread::Builder::new().name("swap-compiler".into()).spawn(work);
        let late = |why: String| Uncompiled::Late(Failure::new(why));
        thread.map_err(|error| late(format!("starting a thread: {error}")))?;
        match awaited.recv_timeout(PATIENCE) {
            Ok(compiled) => {
                locked(&self.kept).push(kept);
                compiled.map_err(Uncompiled::Invalid)
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(late(format!("it takes more than {} to compile", humantime::format_duration(PATIENCE))))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(late("internal: the compiler panicked".to_owned())),
        }
    }

    /// Starts the one thread that interrupts computing hooks, if it does not run yet. It ends with the engine.
    pub(super) fn start_ticker(&self) {
        self.ticker.call_once(|| {
            let engine = self.engine.weak();
            let tick = move || {
                while let Some(engine) = engine.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            };
            // Without the thread an endless loop would never end, so there is nothing better than to stop here.
            std::thread::Builder::new().name("swap-hook-ticker".into()).spawn(tick).expect("a thread can be started");
        });
    }
}

impl Drop for Engine {
    /// Lets what was compiled be kept: a process that is over at once would compile it again and again.
    fn drop(&mut self) {
        self.cache_problem();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a word that differs whenever compiled code of another engine could not be used.
fn compatibility(engine: &wasmtime::Engine) -> u64 {
    let mut hasher = StableHasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Hashes alike in every process, which the standard library's hashers don't promise.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
    }
}

/// Returns where compiled hooks are kept unless the caller knows better: `$XDG_CACHE_HOME/swap/hooks`, or
/// `~/.cache/swap/hooks`. None where there is no home.
pub fn default_cache_folder() -> Option<PathBuf> {
    let absolute = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("swap").join("hooks"))
}
