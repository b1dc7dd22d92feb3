//! Whether there is room for the candidates beside the live containers: memory, processes and disk of the engine's machine.

use std::time::Duration;

use futures_util::future::join_all;

use crate::docker::{ContainerFacts, Stats};
use crate::model::{Failure, Harm, Notice, Order, ServiceName};
use crate::nginx::Shell;
use crate::plan::ObservedService;
use crate::site::Site;

/// With less on the engine's disk, what a container writes may not fit.
const LITTLE_DISK: u64 = 512 << 20;

/// A service that uses less is never in the way of a second one that could not be judged anyway.
const SMALL: u64 = 32 << 20;

/// A container that has fewer processes and threads is no reason to count those of the whole machine.
const FEW: u64 = 200;

/// What containers use, each the most that one of them does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Use {
    /// Bytes of memory.
    memory: u64,
    /// Processes and threads.
    processes: u64,
    /// How many of those it may have, of the one that is nearest to its limit; 0: none has a limit.
    limit: u64,
    /// How many that one has.
    of_limit: u64,
}

impl Use {
    fn and(self, stats: &Stats) -> Self {
        // Nearer to its limit: has/may of the one is more than that of the other.
        let nearer = stats.process_limit > 0
            && (self.limit == 0
                || stats.processes.saturating_mul(self.limit) > self.of_limit.saturating_mul(stats.process_limit));
        let (limit, of_limit) =
            if nearer { (stats.process_limit, stats.processes) } else { (self.limit, self.of_limit) };
        Use { memory: self.memory.max(stats.memory), processes: self.processes.max(stats.processes), limit, of_limit }
    }
}

/// What is free on the engine's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    /// All memory in bytes.
    total: u64,
    /// The bytes of memory that can be had without swapping.
    memory: u64,
    /// What is free of the swap space, in bytes.
    swap: u64,
    /// How many processes and threads there are, and may be at most; `None`: unknown.
    processes: Option<(u64, u64)>,
}

/// The files of a machine that tell what is free on it, one after the other.
const FILES: [&str; 4] = ["/proc/meminfo", "/proc/loadavg", "/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"];

/// What those files say; nothing where the first says too little.
fn free_of(text: &str) -> Option<Free> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some(Free {
        total: field("MemTotal")?,
        memory: field("MemAvailable")?,
        swap: field("SwapFree").unwrap_or(0),
        processes: processes(text),
    })
}

/// What is said of processes: `0.20 0.18 0.12 1/80 11206` counts all threads of the machine behind the slash, and the two
/// limits stand alone.
fn processes(text: &str) -> Option<(u64, u64)> {
    let mut lines = text.lines().skip_while(|line| line.split(' ').count() != 5 || !line.contains('/'));
    let (_, all) = lines.next()?.split(' ').nth(3)?.split_once('/')?;
    let limits: Vec<u64> = lines.map_while(|line| line.trim().parse().ok()).collect();
    Some((all.parse().ok()?, limits.into_iter().min()?))
}

/// What the candidates need and what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    /// What the live containers use.
    used: Use,
    /// How many candidates there will be.
    candidates: u64,
    /// What is free; `None`: unknown.
    free: Option<Free>,
    /// The bytes that are free on the disk of the engine; `None`: unknown.
    disk: Option<u64>,
}

/// Returns why the candidates can't run beside the live containers, and what to know of it. With `stop-first` they never do.
fn judge(room: &Room, seen: &ObservedService) -> (Vec<Failure>, Vec<Notice>) {
    let mut notices = Vec::new();
    if let Some(disk) = room.disk.filter(|disk| *disk < LITTLE_DISK) {
        notices.push(
            Notice::new(format!("only {} are free on the engine's disk", bytes(disk)))
                .cure("free some: what a candidate writes may not fit"),
        );
    }
    let Use { limit, of_limit, .. } = room.used;
    if limit > 0 && of_limit.saturating_mul(10) >= limit.saturating_mul(9) {
        notices.push(
            Notice::new(format!(
                "a container of `{}` has {of_limit} of the {limit} processes that it may have",
                seen.name
            ))
            .cure("a check or hook that runs inside needs one more: raise its `pids_limit`"),
        );
    }
    let mut refusals = Vec::new();
    if let Some(free) = room.free.filter(|_| seen.settings.order == Order::StartFirst) {
        for (scarce, failure) in [memory(room, &free, seen), processes_left(room, &free, seen)].into_iter().flatten() {
            match (scarce, seen.settings.room) {
                (true, Harm::Refuse) => refusals.push(failure),
                (true, Harm::Accept) => notices.push(Notice::new(failure.what)),
                (false, _) => notices.push(failure.into()),
            }
        }
    }
    (refusals, notices)
}

/// The way out where a second container does not fit.
fn instead(free: &str, service: &ServiceName) -> String {
    format!(
        "{free}; or write `x-swap: {{ order: stop-first }}` under `services: {service}:` for a swap with a gap; or `room: accept`, \
         if the new version needs less"
    )
}

/// Judges the kernel's limit of processes; answers whether they are too many.
fn processes_left(room: &Room, free: &Free, seen: &ObservedService) -> Option<(bool, Failure)> {
    let (all, most) = free.processes.filter(|_| room.used.processes >= FEW)?;
    let scarce = all.saturating_add(room.used.processes.saturating_mul(room.candidates)) > most;
    scarce.then(|| {
        let what = format!(
            "a container of `{}` has {} processes and threads, and the engine's machine has {all} of the {most} that its kernel \
             allows: so many more don't fit",
            seen.name, room.used.processes
        );
        (true, Failure::new(what).hint(instead("raise `kernel.pid_max` and `kernel.threads-max` there", &seen.name)))
    })
}

/// Judges the memory; answers whether it is too little, or only tight.
fn memory(room: &Room, free: &Free, seen: &ObservedService) -> Option<(bool, Failure)> {
    let (service, used) = (&seen.name, room.used.memory);
    if used < SMALL {
        return None;
    }
    let need = used.saturating_mul(room.candidates);
    let swap = if free.swap == 0 { "no swap".to_owned() } else { format!("{} of swap", bytes(free.swap)) };
    let facts = format!(
        "a container of `{service}` uses {} of memory, and the engine's machine has {} left ({swap})",
        bytes(used),
        bytes(free.memory)
    );
    if need > free.memory.saturating_add(free.swap) {
        let what = match room.candidates {
            1 => format!("{facts}: the kernel would kill one of the two"),
            many => format!("{facts}: {many} more don't fit"),
        };
        return Some((true, Failure::new(what).hint(instead("free some memory", service))));
    }
    (need.saturating_mul(10) > free.memory.saturating_mul(9)).then(|| {
        let failure = Failure::new(format!("{facts}: it is tight while both run"));
        (false, failure.hint("`x-swap: { order: stop-first }` runs one after the other"))
    })
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
    /// Returns the most that one of the containers uses; what can't be asked counts as nothing.
    pub(super) async fn used(&self, live: &[&ContainerFacts]) -> Use {
        let asked = live.iter().map(|seen| async {
            // A plan that waits for this long would be worse than one that does not know it.
            let stats = tokio::time::timeout(Duration::from_millis(500), self.docker.stats(&seen.id)).await;
            stats.ok().and_then(Result::ok)
        });
        join_all(asked).await.iter().flatten().fold(Use::default(), Use::and)
    }

    /// Judges the room for a service's candidates and notes what is to be said.
    pub(super) async fn judge_room(&self, seen: &mut ObservedService, used: Use) {
        let candidates = seen.replicas.max(seen.live.len()) as u64;
        let free = if used.memory < SMALL && used.processes < FEW { None } else { self.free(seen).await };
        let disk = (self.docker.is_local() && !self.engine.root.is_empty())
            .then(|| rustix::fs::statvfs(self.engine.root.as_str()).ok())
            .flatten()
            .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let (refusals, notices) = judge(&Room { used, candidates, free, disk }, seen);
        seen.problems.extend(refusals);
        seen.room.extend(notices);
    }

    /// Returns what is free on the engine's machine: of this one, if it is that; else as nginx's container sees it.
    async fn free(&self, seen: &ObservedService) -> Option<Free> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let here = self.docker.is_local().then(|| FILES.into_iter().map(read).collect::<String>());
        let here = here.and_then(|text| free_of(&text));
        // An engine in a virtual machine has a socket here and less memory.
        if let Some(free) = here.filter(|free| free.total == self.engine.memory) {
            return Some(free);
        }
        let front = seen.front()?;
        let door = self.doors.of(&self.docker, &self.project.name, &seen.name, front).await.ok()?;
        let output = door.proxy.shell().run(&format!("cat {}", FILES.join(" "))).await.ok()?;
        free_of(&output.stdout).filter(|free| free.total == self.engine.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        2000000 kB\nMemFree:          100000 kB\nMemAvailable:     300000 kB\nSwapFree:              0 kB\n\
                           0.20 0.18 0.12 1/2900 11206\n32768\n4000\n";

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
        let (refusals, notices) = judge(&room, &seen);
        let refused = refusals.into_iter().map(|refusal| format!("refused: {}", Notice::from(refusal)));
        let text = refused.chain(notices.into_iter().map(String::from)).collect::<Vec<_>>().join("\n");
        assert_eq!(text, expected);
    }

    fn room(used: u64) -> Room {
        let used = Use { memory: used, ..Use::default() };
        Room { used, candidates: 1, free: free_of(MEMINFO), disk: Some(1 << 40) }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_tight_is_said() {
        check(room(100_000_000), "", "");
        check(
            room(1_200_000_000),
            "",
            "refused: a container of `app` uses 1.2 GB of memory, and the engine's machine has 307 MB left (no swap): the \
             kernel would kill one of the two (free some memory; or write `x-swap: { order: stop-first }` under `services: app:` \
             for a swap with a gap; or `room: accept`, if the new version needs less)",
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
        check(
            Room { disk: Some(9_000_000), ..room(0) },
            "",
            "only 9 MB are free on the engine's disk (free some: what a candidate writes may not fit)",
        );
        assert_eq!(free_of("MemTotal: 5 kB\n"), None);
        let swap = free_of(&MEMINFO.replace("SwapFree:              0", "SwapFree: 4000000")).expect("a meminfo");
        let tight = Room { free: Some(swap), ..room(1_200_000_000) };
        check(
            tight,
            "",
            "a container of `app` uses 1.2 GB of memory, and the engine's machine has 307 MB left (4.0 GB of swap): it is \
             tight while both run (`x-swap: { order: stop-first }` runs one after the other)",
        );
    }

    #[test]
    fn processes_that_the_kernel_would_not_allow_are_refused() {
        let many = |processes| Room { used: Use { processes, ..Use::default() }, ..room(0) };
        check(many(1100), "", "");
        check(
            many(1101),
            "",
            "refused: a container of `app` has 1101 processes and threads, and the engine's machine has 2900 of the 4000 that its \
             kernel allows: so many more don't fit (raise `kernel.pid_max` and `kernel.threads-max` there; or write `x-swap: { \
             order: stop-first }` under `services: app:` for a swap with a gap; or `room: accept`, if the new version needs less)",
        );
        check(many(1101), "stop-first", "");
        let unknown = Room { free: free_of(MEMINFO.split_once("0.20").expect("a load").0), ..many(1 << 20) };
        check(unknown, "", "");
    }

    #[test]
    fn a_container_that_is_near_its_own_limit_is_told_of() {
        let stats = |processes, process_limit| Stats {
            memory: 0,
            memory_limit: 0,
            cpu: Duration::ZERO,
            processes,
            process_limit,
        };
        let of = |all: &[Stats]| Room { used: all.iter().fold(Use::default(), Use::and), ..room(0) };
        check(of(&[stats(150, 0), stats(89, 100)]), "", "");
        check(
            of(&[stats(150, 0), stats(9, 100), stats(18, 20), stats(90, 110)]),
            "",
            "a container of `app` has 18 of the 20 processes that it may have (a check or hook that runs inside needs one more: \
             raise its `pids_limit`)",
        );
    }
}
