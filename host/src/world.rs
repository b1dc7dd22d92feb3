//! The world as a run knows it: one trait for the executor, and below the steps the ports by which they act.
//!
//! # Layout
//!
//! ```text
//! World         performs steps: what the executor knows
//! Engine        containers and images
//! Orchestrator  makes containers of a service, and does what belongs to their starts and stops
//! Edge          who sends requests to a service, and to whom
//! Judge         checks and hooks
//! Ports         all of them, the lock and a clock
//! ```
//!
//! The steps hold what is refused, in which order things are done and what is looked at again; behind a port is one call.
//! There are two of each: the adapters, and the tests' simulated world, in which a run is killed, refused and half done at
//! each call.
//!
//! **Invariant:** what crosses a port is data of the core; what an adapter alone understands crosses it sealed ([`FormerRoute`],
//! [`ObeyedMark`], [`Orchestrator::Values`], [`Judge::Checks`]).

use std::future::Future;
use std::time::Duration;

use futures_util::Stream;

use crate::model::{
    Check, Container, ContainerFacts, Ending, Failure, FormerRoute, Image, InjectedFile, LifecycleCommand, Moment,
    NetworkPlace, ObeyedMark, Output, Phase, Route, RouteFile, ServiceName,
};
use crate::plan::{Front, Step};
use crate::run::{RunFacts, StepResult};

/// What can perform steps.
pub trait World {
    /// Performs one step, or several that go beside one another ([`Step::goes_beside`]) or their undos; every step may be
    /// performed twice. Tells of each as it ends, in any order, by its place among them. Where one fails others may not be
    /// begun: nothing is told of those.
    ///
    /// The stream may be dropped where [`Step::interruptible`] says so; the run is then unwound.
    fn perform<'a>(
        &'a self,
        steps: &'a [&'a Step],
        facts: &'a RunFacts,
    ) -> impl Stream<Item = (usize, Result<StepResult, Failure>)> + 'a;

    /// Makes sure that the run still holds its services; fails with who has them now.
    ///
    /// Asked before every effect: a process that slept may have been taken for dead.
    fn holds(&self) -> impl Future<Output = Result<(), Failure>>;

    /// Waits before an undo that failed is tried again.
    fn pause(&self, time: Duration) -> impl Future<Output = ()>;
}

/// Containers and images. Each effect may run twice.
pub trait Engine {
    /// Returns what the engine tells of a container, by id or name; `None`: there is none.
    fn inspect(&self, id: &str) -> impl Future<Output = Result<Option<ContainerFacts>, Failure>>;

    /// Returns all containers of a service, also stopped ones, by number.
    fn of_service(
        &self,
        project: &str,
        service: &ServiceName,
    ) -> impl Future<Output = Result<Vec<ContainerFacts>, Failure>>;

    /// Starts a container.
    fn start(&self, id: &str) -> impl Future<Output = Result<(), Failure>>;

    /// Stops a container; `grace`: how long it may take; `None`: as it settles itself.
    fn stop(&self, id: &str, grace: Option<Duration>) -> impl Future<Output = Result<(), Failure>>;

    /// Removes a container that does not run, and its anonymous volumes where `volumes` says so.
    fn remove(&self, id: &str, volumes: bool) -> impl Future<Output = Result<(), Failure>>;

    /// Makes sure that a restart of the engine does not bring a container back.
    fn disable_restart(&self, id: &str) -> impl Future<Output = Result<(), Failure>>;

    /// Gives a container a place in a network that it is not in.
    fn connect(&self, id: &str, place: &NetworkPlace) -> impl Future<Output = Result<(), Failure>>;

    /// Takes a container out of a network.
    fn disconnect(&self, id: &str, network: &str) -> impl Future<Output = Result<(), Failure>>;

    /// Returns the last lines that a container has printed, oldest first.
    fn last_lines(&self, id: &str, lines: usize) -> impl Future<Output = Result<Vec<String>, Failure>>;

    /// Returns how many packets a running container has received.
    fn received(&self, id: &str) -> impl Future<Output = Result<u64, Failure>>;

    /// Returns the image that a name or an id stands for; `None`: there is none.
    fn image(&self, name: &str) -> impl Future<Output = Result<Option<Image>, Failure>>;

    /// Gives an image a name, which moves where another image had it.
    fn tag(&self, image: &str, name: &str) -> impl Future<Output = Result<(), Failure>>;

    /// Takes a name from an image.
    fn untag(&self, name: &str) -> impl Future<Output = Result<(), Failure>>;

    /// Returns the tags of a repository, each with the id of its image.
    fn tags(&self, repository: &str) -> impl Future<Output = Result<Vec<(String, String)>, Failure>>;
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandEnd {
    /// It came to its end.
    Ended(Output),
    /// Its container does not run; says how that was seen.
    NotRunning(Failure),
    /// It could not be run, or nobody knows how it ended.
    NotBegun(Failure),
    /// The limit was over.
    Late,
}

/// Makes the containers of a service, and does what belongs to their starts and stops.
pub trait Orchestrator {
    /// What the service's files and commands are filled with. It may be secret: it is read when it is needed, goes into
    /// the container, and nowhere else.
    type Values: Default;

    /// Has containers of services made, without starting any, until there are so many of each. Touches no other container. May
    /// run twice; after a failure some may have been made.
    fn create(&self, totals: &[(&ServiceName, usize)]) -> impl Future<Output = Result<(), Failure>>;

    /// Reads the values of a service, and those of these variables.
    fn values(
        &self,
        service: &ServiceName,
        variables: &[String],
    ) -> impl Future<Output = Result<Self::Values, Failure>>;

    /// Puts a file into a container; one without content is not made.
    fn put(&self, id: &str, file: &InjectedFile, values: &Self::Values) -> impl Future<Output = Result<(), Failure>>;

    /// Runs a `pre_start` command, the one of this number in its list, in a container of its own, of this name, beside one that
    /// need not have been started, and
    /// waits for its end. One of this name from before is removed first. Answers false when the limit was over.
    fn run_aside(
        &self,
        beside: &ContainerFacts,
        name: &str,
        command: (usize, &LifecycleCommand),
        values: &Self::Values,
        limit: Duration,
    ) -> impl Future<Output = Result<bool, Failure>>;

    /// Removes such a container; one that is gone is what was wanted.
    fn remove_aside(&self, name: &str) -> impl Future<Output = Result<(), Failure>>;

    /// Runs a command of a moment, the one of this number in its list, in a container.
    fn run_in(
        &self,
        id: &str,
        moment: Moment,
        command: (usize, &LifecycleCommand),
        values: &Self::Values,
        limit: Duration,
    ) -> impl Future<Output = Result<CommandEnd, Failure>>;
}

/// What an edge is told of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// The edge.
    pub front: &'a Front,
    /// What its file says from then on.
    pub content: Content,
    /// What becomes of swap's own settings of it.
    pub settings: OwnSettings,
}

/// What an edge's file of a service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// This route; `backup`: where no target answers, the service's name is asked, if the edge can.
    Route {
        /// The route.
        route: Route,
        /// Whether there is a backup.
        backup: bool,
    },
    /// What stood there when the plan was made, or nothing.
    Before,
    /// That, by address where it was at rest.
    BeforeByAddress,
}

/// What becomes of swap's own settings of an edge, where the plan has such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnSettings {
    /// They stay as they are.
    Stay,
    /// They become what the plan says.
    Set,
    /// They go.
    Gone,
}

impl<'a> Publication<'a> {
    /// This content and nothing else.
    pub fn content(service: &'a ServiceName, front: &'a Front, content: Content) -> Self {
        Self { service, front, content, settings: OwnSettings::Stay }
    }

    /// A route and nothing else.
    pub fn route(service: &'a ServiceName, front: &'a Front, route: Route, backup: bool) -> Self {
        Self::content(service, front, Content::Route { route, backup })
    }

    /// The same with other settings.
    pub fn with(self, settings: OwnSettings) -> Self {
        Self { settings, ..self }
    }
}

/// Who sends requests to a service, and to whom.
pub trait Edge {
    /// Returns what stands at the edge about the service; `None`: nothing that can be read.
    fn published(
        &self,
        service: &ServiceName,
        front: &Front,
    ) -> impl Future<Output = Result<Option<RouteFile>, Failure>>;

    /// Returns the same for a service that is about to lose containers: also where the edge does not run any more, and a
    /// failure where it can't be read.
    fn durable(&self, service: &ServiceName, front: &Front)
    -> impl Future<Output = Result<Option<RouteFile>, Failure>>;

    /// Reads what may stand at such an edge.
    fn read(&self, text: &str) -> RouteFile;

    /// Tells whether a route can have a backup there.
    fn offers_backup(&self, front: &Front) -> bool;

    /// Tells edges where requests go from now on, durably, and makes sure that they obey: one edge obeys all that concerns it
    /// at one moment, or nothing of it. Returns for each, in their order, who may obey what was there before. After a failure
    /// what was there before is there again, if that could be done.
    fn publish(&self, publications: &[Publication<'_>]) -> impl Future<Output = Vec<Result<FormerRoute, Failure>>>;

    /// Writes a route durably without telling the edge, by address, or at rest where it is told who obeys it.
    fn write(
        &self,
        service: &ServiceName,
        front: &Front,
        route: &Route,
        rests: Option<&ObeyedMark>,
    ) -> impl Future<Output = Result<(), Failure>>;

    /// Returns who obeys the edge's route now; `None`: nobody does.
    fn obeying(
        &self,
        service: &ServiceName,
        front: &Front,
    ) -> impl Future<Output = Result<Option<ObeyedMark>, Failure>>;

    /// Returns a mark that is nobody's, so that the next run tells the edge in any case.
    fn doubted(&self, obeyed: ObeyedMark) -> ObeyedMark;

    /// Waits until all of the former ones have left. Fails when time is up, and says who stays. `on_wait` is told how many are
    /// left, each time that changes.
    fn await_left(
        &self,
        service: &ServiceName,
        front: &Front,
        former: &FormerRoute,
        timeout: Duration,
        on_wait: &mut dyn FnMut(usize),
    ) -> impl Future<Output = Result<(), Failure>>;

    /// Tells whether all of the former ones have left.
    fn have_left(
        &self,
        service: &ServiceName,
        front: &Front,
        former: &FormerRoute,
    ) -> impl Future<Output = Result<bool, Failure>>;
}

/// What one round of checks says.
#[derive(Debug)]
pub enum Round {
    /// All agree.
    Healthy,
    /// Why not, and when a hook wants to be asked again.
    NotYet(String, Option<Duration>),
    /// It never will be.
    Fatal(Failure),
}

/// How patient a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// The candidate gets ready and has so long for it: what is asked may take its time.
    Starting {
        /// The health timeout.
        timeout: Duration,
    },
    /// The candidate is live: what takes far longer than usual hangs.
    Live,
}

/// Checks and hooks.
pub trait Judge {
    /// All that is asked of one candidate.
    type Checks;

    /// Waits until what was given up before is over; fails where it does not end.
    fn given_up_is_over(&self) -> impl Future<Output = Result<(), Failure>>;

    /// Asks the hooks of a phase that is about no candidate in particular: all but `health`.
    fn ask(
        &self,
        phase: Phase,
        service: &ServiceName,
        facts: &RunFacts,
    ) -> impl Future<Output = Result<StepResult, Failure>>;

    /// Gets ready to judge a candidate by these checks and the health hooks.
    fn checks(
        &self,
        service: &ServiceName,
        candidate: &Container,
        checks: &[Check],
        port: Option<u16>,
        fronts: &[Front],
    ) -> impl Future<Output = Result<Self::Checks, Failure>>;

    /// Asks every check and every health hook once; all must agree.
    fn round(&self, checks: &Self::Checks, patience: Patience, facts: &RunFacts) -> impl Future<Output = Round>;

    /// Returns what keeps a round from its end, where that is known.
    fn pending(&self, checks: &Self::Checks) -> Option<String>;

    /// Waits until a candidate ends, or has ended since it was started.
    fn ends(&self, candidate: &Container) -> impl Future<Output = Result<Ending, Failure>>;

    /// Tells whether hooks judge the numbers of the service's front door, so that nobody else does.
    fn weighs_numbers(&self, service: &ServiceName) -> bool;
}

/// All that the steps of a run ask of the world.
pub trait Ports {
    /// Containers and images.
    type Engine: Engine;
    /// Makes containers.
    type Orchestrator: Orchestrator;
    /// Who sends requests.
    type Edge: Edge;
    /// Checks and hooks.
    type Judge: Judge;

    /// Returns the engine.
    fn engine(&self) -> &Self::Engine;

    /// Returns who makes containers.
    fn orchestrator(&self) -> &Self::Orchestrator;

    /// Returns who sends requests.
    fn edge(&self) -> &Self::Edge;

    /// Returns who judges.
    fn judge(&self) -> &Self::Judge;

    /// Makes sure that the run still holds its services; fails with who has them now.
    fn holds(&self) -> impl Future<Output = Result<(), Failure>>;

    /// Returns the time since some moment in the past. It never goes back.
    fn now(&self) -> Duration;

    /// Waits.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}
