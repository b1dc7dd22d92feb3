//! A plan is performed, recorded and told.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::claim::{not_done, services_of};
use super::context::{Session, now_ms};
use super::outcome::{NotDone, Ran};
use crate::claim::Held;
use crate::executor::{self, End, Record};
use crate::journal::{Journal, Recorded};
use crate::model::Failure;
use crate::plan::{Plan, VERSION};
use crate::run::{Entry, Event, Goal};
use crate::ui::Display;

/// How a run begins in this process.
pub(super) enum Begin<'a> {
    /// It is new.
    Fresh,
    /// Another process began it.
    Again(&'a Recorded, Goal),
}

/// Journal and display of a run.
struct Recorder {
    journal: Journal,
    entries: Vec<Entry>,
    display: Display,
}

impl Record for Recorder {
    fn record(&mut self, plan: &Plan, event: &Event) -> Result<(), Failure> {
        let appended = self.journal.append(event);
        let entry =
            appended.as_ref().cloned().unwrap_or_else(|_| Entry { v: VERSION, at_ms: now_ms(), event: event.clone() });
        self.entries.push(entry.clone());
        let events: Vec<Event> = self.entries.iter().map(|entry| entry.event.clone()).collect();
        self.display.show(plan, &events, &entry);
        appended.map(drop)
    }
}

/// How long a command may wait at its end for what was given up: one-off containers take their time.
pub const ENDED_WITHIN: Duration = Duration::from_secs(20);
/// As [`ENDED_WITHIN`], where a person wants to leave at once.
const LEFT_WITHIN: Duration = Duration::from_secs(10);

impl Session<'_> {
    /// Performs a plan from where its run stands to its end. `began_ms` is since when its time counts.
    pub(super) async fn execute(
        &self,
        plan: Plan,
        begin: Begin<'_>,
        held: &Held,
        began_ms: i64,
    ) -> Result<Ran, NotDone> {
        let fresh = matches!(begin, Begin::Fresh);
        held.take_files(&plan, self.options.wait).await.map_err(|not_held| not_done(not_held, &services_of(&plan)))?;
        self.site.end_left_commands(if fresh { None } else { Some(&plan.run) }, self.display).await?;
        if fresh {
            self.site.still_as_planned(&plan).await?;
        }
        let (mut recorder, mut events) = self.open_journal(&plan, begin, held).await?;
        let world = self.site.world(&plan, held, self.display, fresh);
        let end = executor::run(&plan, &mut events, &world, &mut recorder, &mut self.wishes.clone())
            .await
            .map_err(|illegal| NotDone::Defect(Failure::new(illegal.to_string())))?;
        let running = self.settle(&plan, &end).await;
        world.probed().into_iter().for_each(|probed| self.display.probed(probed));
        drop(world);
        Ok(Ran { plan, end, entries: recorder.entries, running, began_ms })
    }

    /// Opens the journal of a run and records how it begins here. Returns the recorder and all events of the run.
    async fn open_journal(
        &self,
        plan: &Plan,
        begin: Begin<'_>,
        held: &Held,
    ) -> Result<(Recorder, Vec<Event>), Failure> {
        let fresh = matches!(begin, Begin::Fresh);
        let (journal, mut events, entries, first) = match begin {
            Begin::Fresh => {
                let journal = self.site.folder().begin(&plan.run)?;
                (journal, Vec::new(), Vec::new(), Event::Planned { plan: plan.clone() })
            }
            Begin::Again(recorded, goal) => {
                (recorded.reopen()?, recorded.events(), recorded.entries.clone(), Event::Resumed { goal })
            }
        };
        let trace = Mutex::new(journal.trace());
        self.display.keep(move |said| trace.lock().unwrap_or_else(PoisonError::into_inner).append(said));
        let mut recorder = Recorder { journal, entries, display: self.display.clone() };
        // The engine makes its copy while the disk takes the journal.
        let publish = async {
            if fresh {
                self.site.publish(plan, held, self.display).await;
            }
        };
        if let (_, Err(failure)) = tokio::join!(publish, async { recorder.record(plan, &first) }) {
            if fresh {
                recorder.journal.discard();
                self.site.unpublish(&plan.run).await;
            }
            return Err(failure);
        }
        events.push(first);
        Ok((recorder, events))
    }

    /// Waits for what was given up, and removes the engine's copy of a plan whose run is over. Returns what still runs.
    async fn settle(&self, plan: &Plan, end: &End) -> Vec<String> {
        let over = async {
            if matches!(end, End::Over(_)) {
                self.site.unpublish(&plan.run).await;
            }
        };
        // A run that is left as it is says of nothing that it is over, and who left it wants to leave.
        let left = matches!(end, End::Left);
        let (running, ()) = tokio::join!(self.site.settle(if left { LEFT_WITHIN } else { ENDED_WITHIN }), over);
        if !left {
            running.iter().for_each(|what| self.display.remark(&format!("{what} was given up and still runs")));
        }
        running
    }
}
