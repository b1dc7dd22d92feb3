//! Whether there is room for the candidates beside the live containers: memory and disk of the engine's machine.

use std::time::Duration;

use futures_util::future::join_all;

use super::site::Site;
use crate::docker::Seen;
use crate::model::{Failure, Harm, Order};
use crate::nginx::Shell;
use crate::plan::ObservedService;

/// With less on the engine's disk, what a container writes may not fit.
const LITTLE_DISK: u64 = 512 << 20;

/// A service that uses less is never in the way of a second one that could not be judged anyway.
const SMALL: u64 = 32 << 20;

/// What is free on the engine's machine, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    /// All memory.
    total: u64,
    /// The memory that can be had without swapping.
    memory: u64,
    /// What is free of the swap space.
    swap: u64,
}

/// What `/proc/meminfo` says; nothing where it says too little.
fn meminfo(text: &str) -> Option<Free> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some(Free { total: field("MemTotal")?, memory: field("MemAvailable")?, swap: field("SwapFree").unwrap_or(0) })
}

/// What the candidates need and what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    /// The most bytes of memory that one of the live containers uses.
    used: u64,
    /// How many candidates there will be.
    candidates: u64,
    /// What is free; `None`: unknown.
    free: Option<Free>,
    /// The bytes that are free on the disk of the engine; `None`: unknown.
    disk: Option<u64>,
}

/// Returns why the candidates can't run beside the live containers, or what to know of it. With `stop-first` they never do.
fn judge(room: &Room, seen: &ObservedService) -> (Option<Failure>, Vec<String>) {
    let service = &seen.name;
    let mut notices = Vec::new();
    if let Some(disk) = room.disk.filter(|disk| *disk < LITTLE_DISK) {
        notices.push(format!("only {} are free on the engine's disk", bytes(disk)));
    }
    let need = room.used.saturating_mul(room.candidates);
    let Some(free) = room.free.filter(|_| room.used >= SMALL && seen.settings.order == Order::StartFirst) else {
        return (None, notices);
    };
    let swap = if free.swap == 0 { "no swap".to_owned() } else { format!("{} of swap", bytes(free.swap)) };
    let facts = format!(
        "a container of `{service}` uses {} of memory, and the engine's machine has {} left ({swap})",
        bytes(room.used),
        bytes(free.memory)
    );
    if need > free.memory.saturating_add(free.swap) {
        let what = match room.candidates {
            1 => format!("{facts}: the kernel would kill one of the two"),
            many => format!("{facts}: {many} more don't fit"),
        };
        if seen.settings.room == Harm::Refuse {
            let failure = Failure::new(what).hint(format!(
                "free some memory; or write `x-swap: {{ order: stop-first }}` under `services: {service}:` for a swap with a \
                 gap; or `room: accept`, if the new version needs less"
            ));
            return (Some(failure), notices);
        }
        notices.push(what);
    } else if need.saturating_mul(10) > free.memory.saturating_mul(9) {
        notices.push(format!(
            "{facts}: it is tight while both run (`x-swap: {{ order: stop-first }}` runs one after the other)"
        ));
    }
    (None, notices)
}

/// Returns so many bytes for people.
fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count / 1000),
        1_000_000..1_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{}.{} GB", count / 1_000_000_000, count / 100_000_000 % 10),
    }
}

impl Site {
    /// Returns the most bytes of memory that one of the containers uses; what can't be asked counts as nothing.
    pub(super) async fn used(&self, live: &[&Seen]) -> u64 {
        let asked = live.iter().map(|seen| async {
            // A plan that waits for this long would be worse than one that does not know it.
            let stats = tokio::time::timeout(Duration::from_millis(500), self.docker.stats(&seen.id)).await;
            stats.ok().and_then(Result::ok).map_or(0, |stats| stats.memory)
        });
        join_all(asked).await.into_iter().max().unwrap_or(0)
    }

    /// Judges the room for a service's candidates and notes what is to be said.
    pub(super) async fn judge_room(&self, seen: &mut ObservedService, used: u64) {
        let candidates = seen.replicas.max(seen.live.len()) as u64;
        let free = if used < SMALL { None } else { self.free(seen).await };
        let disk = (self.docker.is_local() && !self.engine.root.is_empty())
            .then(|| rustix::fs::statvfs(self.engine.root.as_str()).ok())
            .flatten()
            .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let (refusal, notices) = judge(&Room { used, candidates, free, disk }, seen);
        seen.problems.extend(refusal);
        seen.notices.extend(notices);
    }

    /// Returns what is free on the engine's machine: of this one, if it is that; else as nginx's container sees it.
    async fn free(&self, seen: &ObservedService) -> Option<Free> {
        let here = std::fs::read_to_string("/proc/meminfo").ok().filter(|_| self.docker.is_local());
        let here = here.and_then(|text| meminfo(&text));
        // An engine in a virtual machine has a socket here and less memory.
        if let Some(free) = here.filter(|free| free.total == self.engine.memory) {
            return Some(free);
        }
        let front = seen.front.as_ref()?;
        let door = self.doors.of(&self.docker, &self.project.name, &seen.name, front).await.ok()?;
        let output = door.proxy.shell().run("cat /proc/meminfo").await.ok()?;
        meminfo(&output.stdout).filter(|free| free.total == self.engine.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        2000000 kB\nMemFree:          100000 kB\nMemAvailable:     300000 kB\nSwapFree:              0 kB\n";

    /// Compares what is refused and what is said.
    #[track_caller]
    fn check(room: Room, settings: &str, expected: &str) {
        let mut seen = ObservedService::empty("app".parse().expect("a name"));
        if settings.contains("stop-first") {
            seen.settings.order = Order::StopFirst;
        }
        if settings.contains("accept") {
            seen.settings.room = Harm::Accept;
        }
        let (refusal, notices) = judge(&room, &seen);
        let refused =
            refusal.map(|failure| format!("refused: {}\n{}\n", failure.what, failure.hint.unwrap_or_default()));
        let text = refused.unwrap_or_default() + &notices.concat();
        assert_eq!(text, expected);
    }

    fn room(used: u64) -> Room {
        Room { used, candidates: 1, free: meminfo(MEMINFO), disk: Some(1 << 40) }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_tight_is_said() {
        check(room(100_000_000), "", "");
        check(
            room(1_200_000_000),
            "",
            "refused: a container of `app` uses 1.2 GB of memory, and the engine's machine has 307 MB left (no swap): the \
             kernel would kill one of the two\nfree some memory; or write `x-swap: { order: stop-first }` under `services: \
             app:` for a swap with a gap; or `room: accept`, if the new version needs less\n",
        );
        check(room(1_200_000_000), "stop-first", "");
        check(
            room(1_200_000_000),
            "accept",
            "a container of `app` uses 1.2 GB of memory, and the engine's machine has 307 MB left (no swap): the kernel \
             would kill one of the two",
        );
        check(
            room(300_000_000),
            "",
            "a container of `app` uses 300 MB of memory, and the engine's machine has 307 MB left (no swap): it is tight \
             while both run (`x-swap: { order: stop-first }` runs one after the other)",
        );
        check(
            Room { candidates: 4, ..room(100_000_000) },
            "accept",
            "a container of `app` uses 100 MB of memory, and the engine's machine has 307 MB left (no swap): 4 more don't fit",
        );
    }

    #[test]
    fn what_is_unknown_refuses_nothing() {
        check(Room { free: None, disk: None, ..room(1 << 40) }, "", "");
        check(Room { disk: Some(9_000_000), ..room(0) }, "", "only 9 MB are free on the engine's disk");
        assert_eq!(meminfo("MemTotal: 5 kB\n"), None);
        let swap = meminfo(&MEMINFO.replace("SwapFree:              0", "SwapFree: 4000000")).expect("a meminfo");
        let tight = Room { free: Some(swap), ..room(1_200_000_000) };
        check(
            tight,
            "",
            "a container of `app` uses 1.2 GB of memory, and the engine's machine has 307 MB left (4.0 GB of swap): it is \
             tight while both run (`x-swap: { order: stop-first }` runs one after the other)",
        );
    }
}
