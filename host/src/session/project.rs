//! The ports of a session over one project: its lock, its journals, its engine.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::context::{Session, join, now_ms, services_of};
use super::outcome::NotDone;
use super::ports::{Claims, Journals, LeftRun, Ports, RunJournal};
use crate::claim::{Claim, Copies, NotHeld};
use crate::executor::{End, Record};
use crate::journal::{Journal, Recorded};
use crate::model::{Failure, RunId, ServiceName};
use crate::observe::hooks::LoadedHooks;
use crate::perform::{Performer, Real, asked_by};
use crate::plan::{Plan, VERSION};
use crate::run::{Entry, Event};
use crate::ui::Display;
use crate::world::{Edge, Engine};

/// How long a command may wait at its end for what was given up: one-off containers take their time.
pub const ENDED_WITHIN: Duration = Duration::from_secs(20);
/// As [`ENDED_WITHIN`], where a person wants to leave at once.
const LEFT_WITHIN: Duration = Duration::from_secs(10);

impl Claims for Session<'_> {
    type Claim = Claim;

    fn nothing(&self) -> Claim {
        self.site.hold_nothing(self.display)
    }

    async fn take(&self, held: &mut Claim, services: &[ServiceName]) -> Result<(), NotDone> {
        held.take(services, self.options.wait).await.map_err(|not_held| not_done(not_held, services))
    }

    async fn take_files(&self, held: &Claim, plan: &Plan) -> Result<(), NotDone> {
        held.take_files(plan, self.options.wait).await.map_err(|not_held| not_done(not_held, &services_of(plan)))
    }

    async fn release(&self, held: Claim) {
        held.release().await;
    }
}

/// Says who holds what is wanted for these services.
fn not_done(not_held: NotHeld, services: &[ServiceName]) -> NotDone {
    match not_held {
        NotHeld::Failed(failure) => failure.into(),
        NotHeld::Busy { what, holder } => {
            let wanted = services.iter().find(|service| service.as_str() == what).map(std::slice::from_ref);
            let failure = Failure::new(format!("another run holds `{what}`: {holder}"))
                .hint(format!("wait for it with `swap --wait 60s {}`", join(wanted.unwrap_or(services))));
            NotDone::Busy(failure)
        }
    }
}

/// The journal of a run, and a display that keeps what is said in the trace beside it.
pub struct Recorder {
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

impl RunJournal for Recorder {
    fn discard(self) {
        self.journal.discard();
    }

    fn note(&self, text: &str) {
        self.display.note(text);
    }

    fn entries(self) -> Vec<Entry> {
        self.entries
    }
}

impl Session<'_> {
    /// Makes the recorder of a run that goes on here.
    fn recorder(&self, journal: Journal, entries: Vec<Entry>) -> Recorder {
        let trace = Mutex::new(journal.trace());
        let display =
            self.display.keeping(move |said| trace.lock().unwrap_or_else(PoisonError::into_inner).append(said));
        Recorder { journal, entries, display }
    }
}

impl Journals for Session<'_> {
    type Journal = Recorder;

    fn unfinished(&self, service: &ServiceName) -> Result<Vec<LeftRun>, Failure> {
        let left =
            |recorded: Recorded| Some(LeftRun { plan: Arc::new(recorded.plan()?.clone()), events: recorded.events() });
        Ok(self.site.folder().unfinished(service)?.into_iter().filter_map(left).collect())
    }

    fn begin(&self, plan: &Plan) -> Result<(Recorder, Event), Failure> {
        let recorder = self.recorder(self.site.folder().begin(&plan.run)?, Vec::new());
        Ok((recorder, Event::Planned { plan: plan.clone() }))
    }

    fn reopen(&self, run: &RunId) -> Result<Recorder, Failure> {
        let recorded = self.site.folder().list()?.into_iter().find(|(of, _)| of == run);
        let (run, path) = recorded.ok_or_else(|| Failure::new(format!("the journal of run {run} is gone")))?;
        let recorded = Recorded::read(run, path)?;
        Ok(self.recorder(recorded.reopen()?, recorded.entries))
    }

    fn write(&self, run: &RunId, events: &[Event]) -> Result<(), Failure> {
        self.site.folder().write(run, events)
    }
}

impl Ports for Session<'_> {
    type World<'a>
        = Performer<'a, Real<'a>>
    where
        Self: 'a;

    type Hooks = LoadedHooks;

    fn engine(&self) -> &impl Engine {
        &self.site.docker
    }

    fn edge(&self) -> &impl Edge {
        self.site
    }

    fn copies(&self) -> &impl Copies {
        self.site
    }

    async fn keep_copy(&self, plan: &Plan, held: &Claim) -> Result<(), Failure> {
        self.site.publish(plan, held).await
    }

    async fn end_left_commands(&self, taken_up: Option<&RunId>) -> Result<(), Failure> {
        self.site.end_left_commands(taken_up, self.display).await
    }

    async fn load_hooks(&self, plan: &Plan, all: bool) -> Result<LoadedHooks, Failure> {
        let mut hooks = LoadedHooks::new();
        for planned in &plan.services {
            let settings = self.options.overrides.over(self.site.settings(&planned.name), None);
            if let Ok(loaded) = self.site.load_hooks(&settings.hooks).await {
                hooks.insert(planned.name.clone(), loaded);
            }
        }
        if all {
            plan.services.iter().try_for_each(|planned| asked_by(plan, &planned.name, &hooks).map(drop))?;
        }
        Ok(hooks)
    }

    fn world<'a>(
        &'a self,
        plan: &'a Plan,
        held: &'a Claim,
        journal: &Recorder,
        hooks: LoadedHooks,
        fresh: bool,
    ) -> Performer<'a, Real<'a>> {
        self.site.world(plan, held, hooks, &journal.display, fresh)
    }

    async fn settle<'a>(&'a self, world: &Performer<'a, Real<'a>>, journal: &Recorder, end: &End) -> Vec<String>
    where
        Self: 'a,
    {
        // A run that is left as it is says of nothing that it is over, and who left it wants to leave.
        let left = matches!(end, End::Left);
        let running = self.site.settle(if left { LEFT_WITHIN } else { ENDED_WITHIN }).await;
        if !left {
            running.iter().for_each(|what| journal.display.remark(&format!("{what} was given up and still runs")));
        }
        world.probed().into_iter().for_each(|probed| journal.display.probed(probed));
        running
    }
}
