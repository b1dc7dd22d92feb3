//! How much a call may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::ResourceLimiterAsync;

use super::host::Stop;

/// The limits on one call of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall time, everything that the call waits for included.
    pub deadline: Duration,
    /// Time that the hook itself computes.
    pub cpu: Duration,
    /// Bytes of memory: all memories of the component together, with what swap holds for it meanwhile.
    pub memory: usize,
    /// Entries of tables, all tables of the component together.
    pub table: usize,
    /// Bytes that it may log.
    pub log: usize,
    /// Bytes of a hook's lines that are shown in all calls of a run, those of swap's own on it included.
    pub log_of_run: usize,
    /// Bytes that swap keeps of the body of an answer and of each output of a command.
    pub reply: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(300),
            cpu: Duration::from_secs(30),
            memory: 64 << 20,
            table: 200_000,
            log: 1 << 20,
            log_of_run: 4 << 20,
            reply: 4 << 20,
        }
    }
}

/// What all hooks of this process may hold together, in their memories and in swap's for them.
pub(super) const ALL: usize = 160 << 20;
/// How long a call waits for memory that other hooks have now.
const WAIT: Duration = Duration::from_secs(5);

/// What is left of [`ALL`].
#[derive(Debug)]
pub(super) struct Pool(AtomicUsize);

impl Default for Pool {
    fn default() -> Self {
        Self(AtomicUsize::new(ALL))
    }
}

impl Pool {
    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// The memory of one call: what its component has, and what swap holds for it.
#[derive(Debug)]
pub(super) struct Memory {
    left: AtomicUsize,
    limit: usize,
    pool: Arc<Pool>,
}

/// Memory that is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Hold<'a>(&'a Memory, usize);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.give(self.1);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.pool.give(self.limit - self.left.load(Ordering::Acquire));
    }
}

impl Memory {
    pub(super) fn new(limit: usize, pool: Arc<Pool>) -> Self {
        Self { left: AtomicUsize::new(limit), limit, pool }
    }

    /// Holds memory of swap's for a call for as long as the answer lives.
    pub(super) async fn hold(&self, bytes: usize) -> Result<Hold<'_>, Stop> {
        self.take(bytes).await.map(|()| Hold(self, bytes))
    }

    async fn take(&self, bytes: usize) -> Result<(), Stop> {
        let own = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes));
        if own.is_err() {
            let limit = self.limit >> 20;
            return Err(Stop::new(format!("it needs more than {limit} MiB of memory, with what swap holds for it")));
        }
        let began = Instant::now();
        while !self.pool.take(bytes) {
            if began.elapsed() > WAIT {
                self.left.fetch_add(bytes, Ordering::AcqRel);
                return Err(Stop::new(format!("all hooks together need more than {} MiB of memory", ALL >> 20)));
            }
            // Others are calls that end soon, at their deadline at the latest.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn give(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::AcqRel);
        self.pool.give(bytes);
    }
}

/// Counts what the memories and tables of one store take together.
pub(super) struct Meter {
    memory: Arc<Memory>,
    table_left: usize,
    limits: Limits,
}

impl Meter {
    pub(super) fn new(limits: Limits, memory: Arc<Memory>) -> Self {
        Self { memory, table_left: limits.table, limits }
    }
}

#[wasmtime_wasi::async_trait]
impl ResourceLimiterAsync for Meter {
    async fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // Stopping here names the reason. To let `memory.grow` fail would end in an `unreachable` that says nothing.
        self.memory.take(desired.saturating_sub(current)).await?;
        Ok(true)
    }

    async fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let Some(left) = self.table_left.checked_sub(desired.saturating_sub(current)) else {
            return Err(Stop::new(format!("it needs tables of more than {} entries", self.limits.table)).into());
        };
        self.table_left = left;
        Ok(true)
    }

    fn instances(&self) -> usize {
        100
    }

    fn tables(&self) -> usize {
        100
    }

    fn memories(&self) -> usize {
        20
    }
}
