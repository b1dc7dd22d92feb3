//! nginx's present workers: what `workers` of `processes.sh` answers about them → facts. Pure.

use crate::run::{Generation, Process};

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
