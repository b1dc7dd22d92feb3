//! The journal of the simulated world: its writes fail, are torn by a crash, or are the last thing that happens.

use std::cell::RefCell;

use swap::executor::Record;
use swap::model::Failure;
use swap::plan::Plan;
use swap::run::Event;

use super::chance::Fault;
use super::world::Universe;

/// The journal as the executor sees it.
pub struct Recorder<'a>(pub &'a RefCell<Universe>);

impl Record for Recorder<'_> {
    fn record(&mut self, _: &Plan, event: &Event) -> Result<(), Failure> {
        self.0.borrow_mut().record(event)
    }
}

impl Universe {
    /// Writes an event, if swap still lives and the disk takes it.
    pub fn record(&mut self, event: &Event) -> Result<(), Failure> {
        if self.dead {
            return Ok(());
        }
        let fault = self.chance.fault(&[Fault::Crash, Fault::CrashAfter, Fault::Fail, Fault::DiskFull]);
        self.tell(|| match (event, fault) {
            (event, None) => format!("{event:?}"),
            (event, Some(fault)) => format!("{event:?} ({fault:?})"),
        });
        match fault {
            Some(Fault::Crash) => {
                self.dead = true;
                return Ok(());
            }
            Some(Fault::Fail) => return self.lose(event),
            Some(Fault::DiskFull) => self.disk.full = true,
            _ => {}
        }
        if self.disk.full {
            return self.lose(event);
        }
        if !self.lies.the_journal_has_gaps {
            let doubtful = std::mem::take(&mut self.disk.doubtful);
            self.disk.durable.extend(doubtful);
        } else {
            self.disk.doubtful.clear();
        }
        self.disk.durable.push(event.clone());
        // The last event of a run also gives the journal another name, which is a write of its own.
        if fault == Some(Fault::CrashAfter) {
            self.dead = true;
        } else if matches!(event, Event::Closed { .. }) {
            self.disk.closed = true;
        }
        Ok(())
    }

    fn lose(&mut self, event: &Event) -> Result<(), Failure> {
        self.disk.lost = true;
        self.disk.doubtful.push(event.clone());
        Err(Failure::new("the disk is full"))
    }

    /// The process is gone: what was written without success is there or is not, from the first on.
    pub fn settle(&mut self) {
        let count = self.chance.below(self.disk.doubtful.len() + 1);
        let kept: Vec<Event> = self.disk.doubtful.drain(..).take(count).collect();
        self.disk.durable.extend(kept);
        self.disk.full = false;
        self.broken = None;
        self.dead = false;
        self.lost = false;
        self.wishes = tokio::sync::watch::Sender::default();
    }
}
