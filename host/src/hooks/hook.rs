//! One hook: load it, call one phase of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;
use wasmtime::component::InstancePre;
use wasmtime::component::types::ComponentItem;
use wasmtime::error::Context as _;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::bindings::finish::FinishHookPre;
use super::bindings::health::HealthHookPre;
use super::bindings::post_swap::PostSwapHookPre;
use super::bindings::pre_start::PreStartHookPre;
use super::bindings::pre_swap::PreSwapHookPre;
use super::bindings::rollback::RollbackHookPre;
use super::bindings::swap::hooks::types;
use super::capabilities::Capabilities;
use super::context::Context;
use super::engine::{Engine, STACK, TICK, Uncompiled};
use super::grants::Grant;
use super::host::{Call, HookState, Stop};
use super::inspection::{self, Inspection};
use super::limits::{Limits, Memory};
use super::log::{Log, LogSize, Speaker};
use crate::model::{Failure, HookSpec, LoadedHook, Phase};
use crate::text::{printable, shortened};

/// Larger components are refused. A Python hook has 18 MB.
const FILE: u64 = 32 << 20;
/// Bytes that a hook may hand over in one call of an import, and in its answer.
const HANDED_OVER: usize = 16 << 20;
/// The longest message of a hook that is passed on.
const MESSAGE: usize = 2000;
/// A health hook is asked again no sooner than this, whatever it wants.
const RETRY: Duration = Duration::from_millis(50);

/// What a hook answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A phase other than `health`: done.
    Done,
    /// A phase other than `health`: it failed.
    Failed {
        /// The hook's own short word.
        code: String,
        /// The hook's message, signed.
        failure: Failure,
    },
    /// `health`: the candidate may serve.
    Healthy,
    /// `health`: not yet, ask again.
    NotYet {
        /// How long to wait before asking again; `None` lets swap choose.
        retry_after: Option<Duration>,
        /// How far it is, in percent.
        progress: Option<u8>,
        /// What is missing, signed; with the grant that was missing, if one was.
        failure: Failure,
    },
    /// `health`: never.
    Fatal(Failure),
}

/// A component that was read, checked, compiled and linked. It can be called any number of times, also at once.
pub struct Hook {
    name: String,
    digest: String,
    config: Vec<(String, String)>,
    grants: Vec<Grant>,
    /// The names of the secrets that are taken out of what it says: its own, and those of the hooks beside it.
    secrets: Vec<String>,
    said: Arc<LogSize>,
    inspection: Inspection,
    engine: Arc<Engine>,
    phases: BTreeMap<Phase, Entry>,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

enum Entry {
    PreStart(PreStartHookPre<HookState>),
    Health(HealthHookPre<HookState>),
    PreSwap(PreSwapHookPre<HookState>),
    PostSwap(PostSwapHookPre<HookState>),
    Rollback(RollbackHookPre<HookState>),
    Finish(FinishHookPre<HookState>),
}

impl Hook {
    /// Reads, checks, compiles and links a hook. Nothing of it runs. Compiling takes a while: not for an async thread.
    ///
    /// # Errors
    /// The file can't be read, is not a component, was made for another swap, imports what can't be had, needs a grant
    /// that it has not, or `allow` has what is no grant. The message is signed and has the cure.
    pub fn load(engine: &Arc<Engine>, spec: &HookSpec) -> Result<Self, Failure> {
        Self::load_as(engine, spec, &printable(spec.name()))
    }

    /// Does what [`load`](Self::load) does, under another name.
    pub(super) fn load_as(engine: &Arc<Engine>, spec: &HookSpec, name: &str) -> Result<Self, Failure> {
        let signed = |failure: Failure| Failure { what: format!("hook `{name}`: {}", failure.what), ..failure };
        let bytes = read(&spec.file).map_err(signed)?;
        let grants = spec.allow.iter().map(|text| text.parse()).collect::<Result<Vec<Grant>, _>>().map_err(signed)?;
        let inspection = inspection::examine(&spec.file, &bytes).map_err(signed)?;
        let missing = inspection.needs.iter().find(|needed| !grants.iter().any(|grant| grant.covers(needed)));
        if let Some(missing) = missing {
            let failure = Failure::new(format!("it needs `{missing}`, which is not granted")).hint(missing.cure());
            return Err(signed(failure));
        }
        let invalid = |error: wasmtime::Error| {
            let why = shortened(&root(&error), MESSAGE);
            Failure::new(format!("`{}` is not a valid component: {why}", printable(&spec.file)))
                .hint("build it again, or fetch it again if it was cut off")
        };
        let component = match engine.component(&inspection.digest, bytes) {
            Ok(component) => component,
            Err(Uncompiled::Late(failure)) => return Err(signed(failure)),
            Err(Uncompiled::Invalid(error)) => return Err(signed(invalid(error))),
        };
        let misfit = |error: wasmtime::Error| {
            let why = shortened(&printable(&format!("{error:#}")), MESSAGE);
            Failure::new(format!("it does not fit swap:hooks {}: {why}", inspection::VERSION))
                .hint("build it against the WIT package of this swap")
        };
        let linked = engine.linker().instantiate_pre(&component).map_err(|error| signed(misfit(error)))?;
        let entry = |phase: &Phase| Ok((*phase, Entry::new(*phase, linked.clone())?));
        let phases = inspection.phases.iter().map(entry).collect::<wasmtime::Result<_>>();
        Ok(Self {
            name: name.to_owned(),
            digest: inspection.digest.clone(),
            config: spec.config.clone().into_iter().collect(),
            secrets: secrets(&grants).cloned().collect(),
            said: Arc::default(),
            grants,
            phases: phases.map_err(|error| signed(misfit(error)))?,
            inspection,
            engine: engine.clone(),
        })
    }

    /// Returns the name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the digest of the component, as `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the phases that it implements, in the order of a run.
    pub fn phases(&self) -> Vec<Phase> {
        self.inspection.phases.clone()
    }

    /// Tells whether it asks for the numbers of the front door.
    pub fn weighs_numbers(&self) -> bool {
        self.inspection.asks_for("metrics")
    }

    /// Returns what the component says about itself.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// Takes secrets of other hooks, too, out of what this one says.
    pub(super) fn hide(&mut self, secrets: &[String]) {
        self.secrets = secrets.to_vec();
    }

    /// Returns the names of the secrets that it may read.
    pub(super) fn own_secrets(&self) -> impl Iterator<Item = &String> {
        secrets(&self.grants)
    }

    /// Returns the hook as a plan and a journal name it.
    pub fn loaded(&self) -> LoadedHook {
        let (name, digest) = (self.name.clone(), self.digest.clone());
        LoadedHook { name, phases: self.phases(), digest, weighs_numbers: self.weighs_numbers() }
    }

    /// Calls one phase in a fresh instance. A call may be dropped at any time, which ends all that it started.
    ///
    /// # Errors
    /// The hook trapped, panicked, exceeded a limit or its deadline, or does not implement the phase. The message is
    /// signed (``hook `x` (health) aborted: …``), its tail has the last lines that the hook said, its hint the grant
    /// that was refused, if one was.
    pub async fn call(
        &self,
        phase: Phase,
        context: &Context,
        capabilities: Arc<dyn Capabilities>,
        limits: Limits,
        log: Log,
    ) -> Result<Reply, Failure> {
        let signature = format!("hook `{}` ({phase})", self.name);
        let Some(entry) = self.phases.get(&phase) else {
            return Err(Failure::new(format!("{signature} aborted: it does not implement this phase")));
        };
        let deadline = Instant::now() + limits.deadline;
        let speaker = Speaker::new(&self.name, phase, log, limits, self.said.clone());
        let call = Call {
            hook: self.name.clone(),
            context: context.clone(),
            config: self.config.clone(),
            grants: self.grants.clone(),
            capabilities,
            limits,
            memory: Arc::new(Memory::new(limits.memory, self.engine.pool())),
            deadline,
            speaker: speaker.clone(),
            refused: Mutex::default(),
        };
        let mut store = self.store(call);
        let context = context.to_wit(phase, limits.deadline);
        let ended = tokio::time::timeout_at(deadline, async {
            store.data().call.hide_secrets(&self.secrets).await;
            entry.call(&mut store, &context).await
        })
        .await;
        for stream in &store.data().streams {
            stream.finish();
        }
        let refused = store.data_mut().call.refused.get_mut().ok().and_then(|missing| missing.first().map(Grant::cure));
        let refused = refused.map(|cure| speaker.clean(&cure));
        // A hook that repeats the refusal would say the cure a second time.
        let failure = |what: String| match &refused {
            Some(cure) => Failure::new(what.replace(&format!("; {cure}"), "")).hint(cure),
            None => Failure::new(what),
        };
        let late = || format!("no answer within {}", humantime::format_duration(limits.deadline));
        let why = match ended {
            // An answer that comes when the time is over is none, however it came about.
            Ok(Ok(_)) if Instant::now() > deadline + TICK => late(),
            Ok(Ok(answer)) => return Ok(answer.reply(&signature, &speaker, failure)),
            Ok(Err(error)) => reason(&error, &speaker),
            Err(_) => late(),
        };
        Err(failure(format!("{signature} aborted: {}", speaker.clean_short(&why, MESSAGE))).tail(speaker.tail()))
    }

    fn store(&self, call: Call) -> Store<HookState> {
        let mut left = ticks(call.limits.cpu);
        let over = Stop::new(format!("it computed for more than {}", humantime::format_duration(call.limits.cpu)));
        let mut store = Store::new(self.engine.wasmtime(), HookState::new(call));
        store.limiter_async(|state| &mut state.meter);
        store.set_hostcall_fuel(HANDED_OVER);
        self.engine.start_ticker();
        store.set_epoch_deadline(1);
        // Yielding at every tick lets the wall clock end a loop, and other hooks of the same thread go on.
        store.epoch_deadline_callback(move |_| match left.checked_sub(1) {
            Some(rest) => {
                left = rest;
                Ok(UpdateDeadline::Yield(1))
            }
            None => Err(over.clone().into()),
        });
        store
    }
}

fn ticks(time: Duration) -> u128 {
    time.as_millis() / TICK.as_millis()
}

/// What came out of the component.
enum Answer {
    Outcome(Result<(), types::Failure>),
    Verdict(types::Verdict),
}

/// Checks that a component's function for a phase has the types of the WIT package. The bindings would find out only when
/// it is called, in the middle of a run.
fn check_types(phase: Phase, linked: &InstancePre<HookState>) -> wasmtime::Result<()> {
    let name = if phase == Phase::Health { "check" } else { "run" };
    let missing = || wasmtime::format_err!("`{phase}` has no function `{name}`");
    let component = linked.component();
    let interface = format!("swap:hooks/{phase}@{}", inspection::VERSION);
    let interface = component.get_export_index(None, &interface).ok_or_else(missing)?;
    match component.get_export(Some(&interface), name) {
        Some((ComponentItem::ComponentFunc(function), _)) => {
            let types = linked.instance_type();
            if phase == Phase::Health {
                function.typecheck::<(&types::Context,), (types::Verdict,)>(&types)
            } else {
                function.typecheck::<(&types::Context,), (Result<(), types::Failure>,)>(&types)
            }
            .with_context(|| format!("`{phase}`"))
        }
        _ => Err(missing()),
    }
}

impl Entry {
    fn new(phase: Phase, linked: InstancePre<HookState>) -> wasmtime::Result<Self> {
        check_types(phase, &linked)?;
        Ok(match phase {
            Phase::PreStart => Entry::PreStart(PreStartHookPre::new(linked)?),
            Phase::Health => Entry::Health(HealthHookPre::new(linked)?),
            Phase::PreSwap => Entry::PreSwap(PreSwapHookPre::new(linked)?),
            Phase::PostSwap => Entry::PostSwap(PostSwapHookPre::new(linked)?),
            Phase::Rollback => Entry::Rollback(RollbackHookPre::new(linked)?),
            Phase::Finish => Entry::Finish(FinishHookPre::new(linked)?),
        })
    }

    async fn call(&self, store: &mut Store<HookState>, context: &types::Context) -> wasmtime::Result<Answer> {
        let outcome = match self {
            Entry::Health(entry) => {
                let instance = entry.instantiate_async(&mut *store).await?;
                let verdict = instance.swap_hooks_health().call_check(&mut *store, context).await?;
                return Ok(Answer::Verdict(verdict));
            }
            Entry::PreStart(entry) => {
                let instance = entry.instantiate_async(&mut *store).await?;
                instance.swap_hooks_pre_start().call_run(&mut *store, context).await?
            }
            Entry::PreSwap(entry) => {
                let instance = entry.instantiate_async(&mut *store).await?;
                instance.swap_hooks_pre_swap().call_run(&mut *store, context).await?
            }
            Entry::PostSwap(entry) => {
                let instance = entry.instantiate_async(&mut *store).await?;
                instance.swap_hooks_post_swap().call_run(&mut *store, context).await?
            }
            Entry::Rollback(entry) => {
                let instance = entry.instantiate_async(&mut *store).await?;
                instance.swap_hooks_rollback().call_run(&mut *store, context).await?
            }
            Entry::Finish(entry) => {
                let instance = entry.instantiate_async(&mut *store).await?;
                instance.swap_hooks_finish().call_run(&mut *store, context).await?
            }
        };
        Ok(Answer::Outcome(outcome))
    }
}

impl Answer {
    fn reply(self, signature: &str, speaker: &Speaker, failure: impl Fn(String) -> Failure) -> Reply {
        let say = |text: &str| speaker.clean_short(text, MESSAGE);
        match self {
            Answer::Outcome(Ok(())) => Reply::Done,
            Answer::Outcome(Err(failed)) => Reply::Failed {
                code: say(&failed.code),
                failure: failure(format!("{signature} failed: {}", say(&failed.message))),
            },
            Answer::Verdict(types::Verdict::Healthy) => Reply::Healthy,
            Answer::Verdict(types::Verdict::NotYet(not_yet)) => Reply::NotYet {
                retry_after: not_yet.retry_after_ms.map(|wanted| Duration::from_millis(wanted).max(RETRY)),
                progress: not_yet.progress.map(|percent| percent.min(100)),
                failure: failure(format!("{signature}: {}", say(&not_yet.reason))),
            },
            Answer::Verdict(types::Verdict::Fatal(why)) => {
                Reply::Fatal(failure(format!("{signature} is fatal: {}", say(&why))))
            }
        }
    }
}

/// Says in a few words why a call ended.
fn reason(error: &wasmtime::Error, speaker: &Speaker) -> String {
    // A stop inside a stream is wrapped by WASI, so the speaker is asked too.
    if let Some(stop) = error.downcast_ref::<Stop>().cloned().or_else(|| speaker.stopped()) {
        return stop.to_string();
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        // WASI 0.2 knows only whether a program calls its end good.
        let how = if exit.0 == 0 { "a success" } else { "a failure" };
        return format!("it ended itself, as {how}, instead of answering");
    }
    match (error.downcast_ref::<Trap>(), speaker.panic()) {
        (Some(Trap::StackOverflow), _) => format!("its calls are nested too deep (the stack has {} KiB)", STACK >> 10),
        (Some(Trap::UnreachableCodeReached), Some(panic)) => panic,
        // Most languages keep a stack of their own at the bottom of the memory.
        (Some(Trap::MemoryOutOfBounds), _) => {
            "it reached outside of its memory, as calls do that are nested too deep, or a wrong pointer".to_owned()
        }
        _ => root(error),
    }
}

fn secrets(grants: &[Grant]) -> impl Iterator<Item = &String> {
    grants.iter().filter_map(|grant| match grant {
        Grant::Secret(name) => Some(name),
        _ => None,
    })
}

/// Returns the innermost cause, on one line.
fn root(error: &wasmtime::Error) -> String {
    error.root_cause().to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Reads a component, if it is a file of a size that a hook can have.
pub(super) fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let file = path;
    let path = printable(path);
    let unreadable = |error: std::io::Error| Failure::new(format!("reading `{path}`: {error}"));
    let metadata = std::fs::metadata(file).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Failure::new(format!("reading `{path}`: it is not a file")));
    }
    let mut bytes = Vec::new();
    File::open(file).and_then(|file| file.take(FILE + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > FILE {
        return Err(Failure::new(format!("`{path}` is larger than {} MiB", FILE >> 20)));
    }
    Ok(bytes)
}

/// Returns the digest of bytes, as `sha256:…`.
pub(super) fn digest(bytes: &[u8]) -> String {
    digest_text(&Sha256::digest(bytes))
}

/// Writes a digest as text.
pub(super) fn digest_text(digest: &[u8]) -> String {
    format!("sha256:{}", hex::encode(digest))
}
