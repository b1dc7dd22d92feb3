//! How much a call may use.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use super::host::Stop;

/// The limits on one call of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall time, everything that the call waits for included.
    pub deadline: Duration,
    /// Time that the hook itself computes.
    pub cpu: Duration,
    /// Bytes of memory, all memories of the component together.
    pub memory: usize,
    /// Entries of tables, all tables of the component together.
    pub table: usize,
    /// Bytes that it may log.
    pub log: usize,
    /// Bytes that swap keeps of the body of an answer and of each output of a command.
    pub reply: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(300),
            cpu: Duration::from_secs(30),
            memory: 256 << 20,
            table: 200_000,
            log: 1 << 20,
            reply: 4 << 20,
        }
    }
}

/// Counts what the memories and tables of one store take together.
pub(super) struct Meter {
    memory_left: usize,
    table_left: usize,
    limits: Limits,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Self { memory_left: limits.memory, table_left: limits.table, limits }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // Stopping here names the reason. To let `memory.grow` fail would end in an `unreachable` that says nothing.
        let Some(left) = self.memory_left.checked_sub(desired.saturating_sub(current)) else {
            return Err(Stop::new(format!("it needs more than {} MiB of memory", self.limits.memory >> 20)).into());
        };
        self.memory_left = left;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
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
