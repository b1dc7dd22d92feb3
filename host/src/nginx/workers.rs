//! nginx's present workers: what `workers` of `processes.sh` answers about them → facts. Pure.

use serde::{Deserialize, Serialize};

use crate::model::FormerRoute;

/// The nginx workers that ran when a switch came. While one of them runs, the old containers may get requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The machine's boot: starts of processes are counted from it.
    pub boot: String,
    /// Their master.
    pub master: Process,
    /// The workers, those of still older generations included.
    pub workers: Vec<Process>,
}

/// A process for good: a pid may be given again, but not with the same start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// The pid, as the shell beside nginx sees it.
    pub pid: u32,
    /// When it started, in ticks since the machine's boot.
    pub start: u64,
}

impl Generation {
    /// Reads what [`FormerRoute::from`] made of one; `None`: it is another edge's.
    pub fn of(former: &FormerRoute) -> Option<Self> {
        Self::deserialize(&former.0).ok()
    }
}

impl From<Generation> for FormerRoute {
    fn from(generation: Generation) -> Self {
        // Numbers and texts alone: it can't fail.
        FormerRoute(serde_json::to_value(generation).unwrap_or_default())
    }
}

/// What is there of an nginx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Present {
    /// No such master.
    Gone,
    /// Its workers are being replaced, or it has none yet.
    Unsettled,
    /// These workers.
    Settled(Generation),
}

impl Present {
    /// Returns the workers that are there to stay.
    pub(super) fn settled(self) -> Option<Generation> {
        match self {
            Present::Settled(generation) => Some(generation),
            Present::Gone | Present::Unsettled => None,
        }
    }
}

/// Reads what `workers` printed.
pub(super) fn read(text: &str) -> Present {
    let (mut boot, mut master, mut workers, mut settled) = (None, None, Vec::new(), false);
    for line in text.lines() {
        let mut words = line.split(' ');
        let process = |pid: &str, start: &str| Some(Process { pid: pid.parse().ok()?, start: start.parse().ok()? });
        match (words.next(), words.next(), words.next()) {
            (Some("settled"), None, _) => settled = true,
            (Some("boot"), Some(id), None) => boot = Some(id.to_owned()).filter(|id| !id.is_empty()),
            (Some("master"), Some(pid), Some(start)) => master = process(pid, start),
            (Some("worker"), Some(pid), Some(start)) => workers.extend(process(pid, start)),
            _ => {}
        }
    }
    let Some(master) = master else { return Present::Gone };
    match boot {
        Some(boot) if settled && !workers.is_empty() => Present::Settled(Generation { boot, master, workers }),
        _ => Present::Unsettled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_settled_is_a_generation() {
        let text = "boot 5f2d\nsettled\nmaster 1 10\nworker 20 500\nworker 21 501\n";
        let process = |pid, start| Process { pid, start };
        let expected = Generation {
            boot: "5f2d".to_owned(),
            master: process(1, 10),
            workers: vec![process(20, 500), process(21, 501)],
        };
        assert_eq!(read(text), Present::Settled(expected));
        assert_eq!(read(&text.replace("settled\n", "")), Present::Unsettled);
        assert_eq!(read(&text.replace("boot 5f2d\n", "boot \n")), Present::Unsettled);
        assert_eq!(read("boot 5f2d\nsettled\nmaster 1 10\n"), Present::Unsettled);
        assert_eq!(read("boot 5f2d\nsettled\n"), Present::Gone);
        crate::mutated::texts(&[text], |text| drop(read(text)));
    }
}
