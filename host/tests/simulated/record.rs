//! The journal of the simulated world: its writes fail, are torn by a crash, or are the last thing that happens.

use std::cell::RefCell;

use swap::executor::Record;
use swap::model::Failure;
use swap::plan::Plan;
use swap::run::{Entry, Event};
use swap::session::RunJournal;

use super::chance::Fault;
use super::world::Universe;

/// The journal as the executor sees it.
pub(crate) struct Recorder<'a>(pub &'a RefCell<Universe>);

impl Record for Recorder<'_> {
    fn record(&mut self, _: &Plan, event: &Event) -> Result<(), Failure> {
        self.0.borrow_mut().record(event)
    }
}

impl RunJournal for Recorder<'_> {
    fn discard(self) {
        self.0.borrow_mut().discard();
    }

    fn note(&self, _: &str) {}

    fn entries(self) -> Vec<Entry> {
        Vec::new()
    }
}

impl Universe {
    /// Writes an event, if swap still lives and the disk takes it.
    pub(crate) fn record(&mut self, event: &Event) -> Result<(), Failure> {
        if self.dead {
            return Ok(());
        }
        if !self.disk.held {
            self.violate("an event is recorded by a process that does not hold the services".to_owned());
        }
        let fault = self.chance.fault(&[Fault::Crash, Fault::CrashAfter, Fault::Fail, Fault::DiskFull]);
        self.tell(|| match (event, fault) {
            (Event::Planned { .. }, None) => "Planned".to_owned(),
            (Event::Planned { .. }, Some(fault)) => format!("Planned ({fault:?})"),
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

    /// Writes all that a run must have recorded, or nothing.
    pub(crate) fn write(&mut self, events: &[Event]) -> Result<(), Failure> {
        if self.dead {
            return Ok(());
        }
        let fault = self.chance.fault(&[Fault::Crash, Fault::CrashAfter, Fault::Fail]);
        self.tell(|| format!("(presumed: {} events) {fault:?}", events.len()));
        if !self.disk.durable.is_empty() {
            self.violate("a journal is presumed of a run that has one".to_owned());
        }
        match fault {
            Some(Fault::Crash) => self.dead = true,
            Some(Fault::Fail) => return Err(Failure::new("the disk is full")),
            _ => {
                self.disk.doubtful.clear();
                self.disk.durable = events.to_vec();
                self.dead |= fault.is_some();
            }
        }
        Ok(())
    }

    /// Removes the journal.
    fn discard(&mut self) {
        if self.dead {
            return;
        }
        if !self.disk.durable.is_empty() {
            self.tell(|| "(the run is forgotten)".to_owned());
            self.disk.forgotten = true;
        }
        self.disk.durable.clear();
        self.disk.doubtful.clear();
        self.disk.closed = false;
    }

    /// Nobody writes any more what was written without success: it is there or is not, from the first on.
    pub(crate) fn settle_writes(&mut self) {
        let count = self.chance.below(self.disk.doubtful.len() + 1);
        let kept: Vec<Event> = self.disk.doubtful.drain(..).take(count).collect();
        self.disk.durable.extend(kept);
    }

    /// The process is gone.
    pub(crate) fn settle(&mut self) {
        self.settle_writes();
        self.disk.full = false;
        self.disk.held = false;
        self.broken = None;
        self.dead = false;
        self.lost = false;
        self.wishes = tokio::sync::watch::Sender::default();
    }
}

/// Returns the first event of a run. What the plan is the simulated journal need not remember: to copy it would cost more than
/// all else.
pub(crate) fn planned(plan: &Plan) -> Event {
    let run = plan.run.clone();
    let (project, services, steps, notices) = (String::new(), Vec::new(), Vec::new(), Vec::new());
    Event::Planned { plan: Plan { v: plan.v, run, project, services, steps, notices } }
}
