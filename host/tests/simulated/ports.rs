//! The ports of the simulated world: each call is a few small effects, between which anything may go wrong.
//!
//! The steps above them are the real ones. A test that puts a defect back has a port tell a lie ([`Lies`](super::world::Lies)).

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::task::Poll;
use std::time::Duration;

use futures_util::Stream;
use swap::model::{
    Check, Container, ContainerFacts, ContainerStatus, Ending, Failure, FormerRoute as Left, Image, InjectedFile,
    LifecycleCommand, Moment, NetworkFacts, NetworkPlace, ObeyedMark, Output, Phase, Route, RouteFile, RouteStatement,
    ServiceName, Target,
};
use swap::plan::{Front, Step};
use swap::run::{RunFacts, StepResult};
use swap::world::{CommandEnd, Content, Edge, Engine, Judge, Orchestrator, Patience, Ports, Publication, Round, World};

use super::chance::Fault;
use super::family::{self, edge_of};
use super::foreign::Foreign;
use super::world::{File, Former, Joined, Lies, Life, NETWORK, Server, Simulated, Universe, run_id};

/// What becomes of a call at a point.
enum Pass {
    /// It goes on.
    On,
    /// It fails here.
    Failed(Failure),
    /// swap was killed: nobody waits for the call any more.
    Dead,
    /// Others go on first; whoever waits for the call may give it up.
    Waits,
}

/// All ports of the simulated world.
#[derive(Clone, Copy)]
pub(crate) struct Simulation<'a>(pub &'a RefCell<Universe>);

/// The executor's world: the real steps over these ports.
pub(crate) struct Steps<'a, W> {
    pub performer: W,
    pub world: &'a RefCell<Universe>,
}

impl<W: World> World for Steps<'_, W> {
    fn perform<'a>(
        &'a self,
        steps: &'a [&'a Step],
        facts: &'a RunFacts,
    ) -> impl Stream<Item = (usize, Result<StepResult, Failure>)> + 'a {
        self.world.borrow_mut().begin(steps);
        self.performer.perform(steps, facts)
    }

    async fn holds(&self) -> Result<(), Failure> {
        self.performer.holds().await
    }

    async fn pause(&self, time: Duration) {
        self.performer.pause(time).await;
    }
}

/// Lets others go on once.
async fn give_way() {
    let mut gave = false;
    poll_fn(|context| match std::mem::replace(&mut gave, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

impl Universe {
    /// Steps begin. Others meddle with the service of one of them.
    fn begin(&mut self, steps: &[&Step]) {
        self.meddled = false;
        self.verb = steps[0].verb();
        let of = |step: &Step| step.service().map(|name| &self.services[self.index(name)]);
        let rests = |step: &&Step| match step.verb() {
            "rest" => true,
            "switch-back" => of(step).is_some_and(|service| service.died),
            // One that had a file before has it again, at rest.
            "release" => of(step).is_some_and(|service| service.edges > 1),
            _ => false,
        };
        self.rests = steps.iter().any(rests);
        self.told_edge = false;
        let one = if steps.len() == 1 { 0 } else { self.chance.below(steps.len()) };
        self.service = steps[one].service().map_or(0, |name| self.index(name));
        for step in steps {
            self.tell(|| format!("  {} {}", step.verb(), step.service().map_or("", |name| name.as_str())));
        }
    }

    /// A point between two effects, at which anything may go wrong.
    fn point(&mut self, call: &'static str) -> Pass {
        if self.dead {
            return Pass::Dead;
        }
        self.now += 10;
        let mut waits = false;
        // What others do beside the steps of a run, they do before it or after it.
        let fault = self.chance.fault(if self.verb.is_empty() { &FAULTS[..SWAPS_OWN] } else { &FAULTS });
        if let Some(fault) = fault {
            match fault {
                Fault::Foreign(foreign) => self.meddle(self.service, foreign),
                Fault::LosesLock => {
                    self.tell(|| "  (taken for dead)".to_owned());
                    self.lost = true;
                }
                Fault::Signal => {
                    // Some people press Ctrl-C twice.
                    for _ in 0..=self.chance.below(2) {
                        self.tell(|| "  (a signal)".to_owned());
                        self.wishes.send_modify(|wish| *wish = wish.and("SIGINT"));
                    }
                    waits = true;
                }
                Fault::Waits => {
                    self.tell(|| format!("  ({call} takes a while)"));
                    waits = true;
                }
                Fault::Fail | Fault::FailForGood => {
                    self.tell(|| format!("  ({call}: {fault:?})"));
                    if fault == Fault::FailForGood {
                        self.broken = Some(call);
                    }
                    self.check();
                    return self.fails("it failed");
                }
                Fault::Crash | Fault::CrashAfter | Fault::DiskFull => {
                    self.tell(|| format!("  (killed at {call})"));
                    self.dead = true;
                }
            }
        }
        // Who has only looked has changed nothing.
        if fault.is_some() || !LOOKS.contains(&call) {
            self.check();
        }
        if self.dead {
            return Pass::Dead;
        }
        if self.broken == Some(call) {
            return self.fails("it fails for good");
        }
        if waits {
            return Pass::Waits;
        }
        Pass::On
    }

    fn fails(&mut self, what: &str) -> Pass {
        // Where a file can't be brought to rest, that is told and nothing else.
        self.restless |= self.rests;
        Pass::Failed(Failure::new(what))
    }

    /// Returns the place of a container: its service, and its index there.
    fn place(&self, id: &str) -> Option<(usize, usize)> {
        let id: u32 = id.strip_prefix('c')?.parse().ok()?;
        self.services
            .iter()
            .enumerate()
            .find_map(|(service, of)| Some((service, of.containers.iter().position(|container| container.id == id)?)))
    }

    fn facts(&self, service: usize, container: &Simulated) -> ContainerFacts {
        let name = self.services[service].name.as_str();
        let own = format!("demo-{name}-{}", container.id);
        let runs = container.life == Life::Running;
        // Where nobody calls the service, nobody asks by which names it is found.
        let aliases = match container.joined {
            Joined::Named if self.services[service].called => vec![own.clone(), name.to_owned()],
            _ => Vec::new(),
        };
        let network = (container.joined != Joined::Not).then(|| NetworkFacts {
            ip: container.address.filter(|_| runs).map(|address| address.ip()),
            aliases: aliases.clone(),
            place: NetworkPlace { network: NETWORK.to_owned(), aliases, ..NetworkPlace::default() },
            ..NetworkFacts::default()
        });
        let is_candidate = ![0, self.services[service].was].contains(&container.image);
        let lies = self.lies.candidates_run && is_candidate && matches!(self.verb, "commit" | "retire");
        let image = match self.lies.every_image_is_the_planned && is_candidate {
            true => self.planned.get(&self.services[service].name).cloned().unwrap_or_default(),
            false => format!("sha256:{}", container.image),
        };
        ContainerFacts {
            id: format!("c{:04}", container.id),
            name: own,
            image,
            state: match container.life {
                _ if lies => ContainerStatus::Running,
                Life::Created => ContainerStatus::Created,
                Life::Running => ContainerStatus::Running,
                Life::Exited => ContainerStatus::Exited,
            },
            networks: network.map(|network| (NETWORK.to_owned(), network)).into_iter().collect(),
            ..ContainerFacts::default()
        }
    }

    /// Returns what stands in a service's upstream file.
    fn route_file(&self, service: usize, front: &Front) -> Option<RouteFile> {
        match self.file(edge_of(front), service) {
            Some(file) => Some(read(file, &self.services[service].name)),
            None if front.written_by_others => front.before.as_deref().map(theirs),
            None => None,
        }
    }

    /// Writes an upstream file. A route names who it names.
    fn file_of(&self, front: &Front, content: &Content) -> Option<File> {
        let before = front.before.as_deref().filter(|_| !front.written_by_others).map(family::parsed);
        match content {
            Content::Route { route, .. } => Some(File { servers: servers(route), rest: None }),
            Content::Before => before,
            Content::BeforeByAddress => before.map(|file| File { rest: None, ..file }),
        }
    }

    /// An nginx obeys what was written.
    fn obey(&mut self, edge: usize) {
        self.reload(edge);
        self.told_edge = true;
        self.tell(|| "  . nginx obeys it".to_owned());
        self.check();
    }

    /// Returns the workers that may still serve what an nginx served before.
    fn former(&mut self, edge: usize) -> Left {
        let edge = &self.edges[edge];
        let former = edge.former.iter().filter(|former| former.leave_at > self.now);
        let generations = former.map(|former| former.generation).collect();
        self.formers.push((edge.master, generations));
        Left((self.formers.len() - 1).into())
    }

    /// Returns the generations that are meant; none where nginx was started anew since.
    fn meant(&self, edge: usize, former: &Left) -> Vec<u32> {
        let index = former.0.as_u64().and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.formers.get(index)) {
            Some((master, generations)) if *master == self.edges[edge].master => generations.clone(),
            _ => Vec::new(),
        }
    }

    /// Tells whether the engine does not answer now.
    fn looks_fail(&self) -> bool {
        self.lies.looks_fail_once_switched_back && self.verb == "switch-back" && self.told_edge
    }

    /// Tells whether some of the former workers are still there.
    fn are_left(&self, edge: usize, former: &Left) -> bool {
        let meant = self.meant(edge, former);
        self.edges[edge].former.iter().any(|former| meant.contains(&former.generation) && former.leave_at > self.now)
    }

    /// Tells whether who waits for former workers is told at once that they have left.
    fn lies_about_the_former(&self, edge: usize) -> bool {
        self.lies.former_leave_at_once
            || self.lies.others_leave_at_once && edge > 0
            || self.lies.former_leave_at_once_when_retired && self.verb == "retire"
            || self.lies.former_leave_at_once_going_back && self.verb == "switch-back"
    }
}

/// The calls that change nothing.
const LOOKS: [&str; 17] = [
    "inspect",
    "round",
    "published",
    "durable",
    "obeying",
    "list",
    "image",
    "have-left",
    // What a session does beside its steps changes no service.
    "take",
    "take-files",
    "release",
    "copies",
    "keep-copy",
    "forget",
    "end-left-commands",
    "load-hooks",
    "settle",
];

/// So many of the faults are about swap itself.
const SWAPS_OWN: usize = 6;

/// Everything that can go wrong at a point.
const FAULTS: [Fault; SWAPS_OWN + Foreign::ALL.len()] = {
    let mut faults = [Fault::Crash; SWAPS_OWN + Foreign::ALL.len()];
    faults[1] = Fault::Fail;
    faults[2] = Fault::FailForGood;
    faults[3] = Fault::Signal;
    faults[4] = Fault::LosesLock;
    faults[5] = Fault::Waits;
    let mut at = 0;
    while at < Foreign::ALL.len() {
        faults[SWAPS_OWN + at] = Fault::Foreign(Foreign::ALL[at]);
        at += 1;
    }
    faults
};

fn servers(route: &Route) -> Vec<Server> {
    let server =
        |target: &Target| Some(Server { id: target.id.strip_prefix('c')?.parse().ok()?, address: target.address });
    route.targets.iter().filter_map(server).collect()
}

/// Returns what a file of swap's says.
fn read(file: &File, service: &ServiceName) -> RouteFile {
    let target = |server: &Server| Target {
        id: format!("c{:04}", server.id),
        container: String::new(),
        address: server.address,
        weight: 1,
    };
    let route = Route {
        run: run_id(),
        project: "demo".to_owned(),
        service: service.clone(),
        targets: file.servers.iter().map(target).collect(),
    };
    let rests = file.rest.map(mark);
    RouteFile {
        text: String::new(),
        is_ours: true,
        owner: Some("demo".to_owned()),
        said: Some(RouteStatement { route, rests, has_backup: false }),
    }
}

/// What people have written.
fn theirs(text: &str) -> RouteFile {
    RouteFile { text: text.to_owned(), is_ours: false, owner: None, said: None }
}

fn mark((master, generation): (u32, u32)) -> ObeyedMark {
    ObeyedMark(format!("{master}/{generation}"))
}

fn marked(mark: &ObeyedMark) -> (u32, u32) {
    let read = |text: &str| text.parse().ok();
    mark.0.split_once('/').and_then(|(master, generation)| Some((read(master)?, read(generation)?))).unwrap_or_default()
}

impl Simulation<'_> {
    /// Passes a point: fails where the call fails here, and never goes on where swap was killed.
    pub(crate) async fn point(&self, call: &'static str) -> Result<(), Failure> {
        let pass = self.0.borrow_mut().point(call);
        match pass {
            Pass::On => Ok(()),
            Pass::Failed(failure) => Err(failure),
            Pass::Dead => pending().await,
            Pass::Waits => {
                give_way().await;
                if self.0.borrow().dead { pending().await } else { Ok(()) }
            }
        }
    }

    /// Does something to a container that is there. Answers whether it is.
    fn at<T>(&self, id: &str, act: impl FnOnce(&mut Universe, usize, usize) -> T) -> Option<T> {
        let mut world = self.0.borrow_mut();
        let (service, index) = world.place(id)?;
        Some(act(&mut world, service, index))
    }

    /// Does something to a container that must be there.
    fn act<T>(&self, id: &str, act: impl FnOnce(&mut Universe, usize, usize) -> T) -> Result<T, Failure> {
        self.at(id, act).ok_or_else(|| Failure::new(format!("no such container: {id}")))
    }
}

impl Ports for Simulation<'_> {
    type Engine = Self;
    type Orchestrator = Self;
    type Edge = Self;
    type Judge = Self;

    fn engine(&self) -> &Self {
        self
    }

    fn orchestrator(&self) -> &Self {
        self
    }

    fn edge(&self) -> &Self {
        self
    }

    fn judge(&self) -> &Self {
        self
    }

    async fn holds(&self) -> Result<(), Failure> {
        match self.0.borrow().lost {
            true => Err(Failure::new("somebody else holds the service")),
            false => Ok(()),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.borrow().now)
    }

    async fn sleep(&self, time: Duration) {
        let then = self.0.borrow().now + time.as_millis() as u64;
        poll_fn(|context| {
            let mut world = self.0.borrow_mut();
            if !world.dead && world.now >= then {
                return Poll::Ready(());
            }
            world.alarm = Some(world.alarm.map_or(then, |alarm| alarm.min(then)));
            world.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Engine for Simulation<'_> {
    async fn inspect(&self, id: &str) -> Result<Option<ContainerFacts>, Failure> {
        self.point("inspect").await?;
        if self.0.borrow().looks_fail() {
            return Err(Failure::new("the engine does not answer"));
        }
        let world = self.0.borrow();
        match world.place(id) {
            Some((service, index)) => Ok(Some(world.facts(service, &world.services[service].containers[index]))),
            None if world.lies.who_is_gone_is_there => Ok(Some(ContainerFacts {
                id: id.to_owned(),
                state: ContainerStatus::Running,
                ..ContainerFacts::default()
            })),
            None => Ok(None),
        }
    }

    async fn of_service(&self, _: &str, service: &ServiceName) -> Result<Vec<ContainerFacts>, Failure> {
        self.point("list").await?;
        let world = self.0.borrow();
        let index = world.index(service);
        Ok(world.services[index].containers.iter().map(|container| world.facts(index, container)).collect())
    }

    async fn start(&self, id: &str) -> Result<(), Failure> {
        self.point("start").await?;
        self.act(id, |world, service, index| {
            let starts_again = world.services[service].containers[index].life == Life::Exited;
            if world.lies.nobody_starts_again && starts_again {
                return;
            }
            world.tell(|| format!("  . {id} is started"));
            world.start(service, index);
        })?;
        self.point("start").await
    }

    async fn stop(&self, id: &str, _: Option<Duration>) -> Result<(), Failure> {
        self.point("stop").await?;
        self.at(id, |world, service, index| {
            world.tell(|| format!("  . {id} is stopped"));
            world.stop(service, index);
        });
        self.point("stop").await
    }

    async fn remove(&self, id: &str, _: bool) -> Result<(), Failure> {
        self.point("remove").await?;
        let removed = self.at(id, |world, service, index| {
            if world.services[service].containers[index].life == Life::Running {
                return Err(Failure::new(format!("{id} runs")));
            }
            world.tell(|| format!("  . {id} is removed"));
            world.services[service].containers.remove(index);
            Ok(())
        });
        removed.unwrap_or(Ok(()))?;
        self.point("remove").await
    }

    async fn disable_restart(&self, _: &str) -> Result<(), Failure> {
        self.point("disable-restart").await
    }

    async fn connect(&self, id: &str, place: &NetworkPlace) -> Result<(), Failure> {
        self.point("connect").await?;
        self.act(id, |world, service, index| {
            let service = &mut world.services[service];
            let named =
                world.lies.who_joins_is_named || place.aliases.iter().any(|alias| alias == service.name.as_str());
            service.containers[index].joined = if named { Joined::Named } else { Joined::Unnamed };
        })?;
        self.point("connect").await
    }

    async fn disconnect(&self, id: &str, _: &str) -> Result<(), Failure> {
        self.point("disconnect").await?;
        self.at(id, |world, service, index| {
            let container = &world.services[service].containers[index];
            let mut loaded = world.edges.iter().flat_map(|edge| &edge.loaded[service]);
            let live = loaded.any(|address| Some(*address) == container.address);
            // Who gets requests keeps its place in the network, or this would cut them.
            if live && container.life == Life::Running && !world.disturbed() {
                world.violate(format!("{id} gets requests and is taken out of its network"));
            }
            world.services[service].containers[index].joined = Joined::Not;
        });
        self.point("disconnect").await
    }

    async fn last_lines(&self, _: &str, _: usize) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    async fn received(&self, _: &str) -> Result<u64, Failure> {
        Ok(0)
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, Failure> {
        self.point("image").await?;
        let world = self.0.borrow();
        let service = world.services.iter().find(|service| service.image_name() == name);
        Ok(service.map(|service| Image { name: name.to_owned(), id: format!("sha256:{}", service.image) }))
    }

    async fn tag(&self, image: &str, name: &str) -> Result<(), Failure> {
        self.point("tag").await?;
        {
            let mut world = self.0.borrow_mut();
            let lies = world.lies.no_name_is_given_back && world.verb == "tag-back";
            if let Some(service) = world.services.iter_mut().find(|service| service.image_name() == name && !lies) {
                service.image = image.trim_start_matches("sha256:").parse().unwrap_or_default();
            }
        }
        self.point("tag").await
    }

    async fn untag(&self, _: &str) -> Result<(), Failure> {
        self.point("untag").await
    }

    async fn tags(&self, _: &str) -> Result<Vec<(String, String)>, Failure> {
        Ok(Vec::new())
    }
}

impl Orchestrator for Simulation<'_> {
    type Values = ();

    async fn create(&self, totals: &[(&ServiceName, usize)]) -> Result<(), Failure> {
        self.point("create").await?;
        for (service, total) in totals {
            let index = self.0.borrow().index(service);
            while self.0.borrow().services[index].containers.len() < *total {
                self.0.borrow_mut().new_container(index);
                self.point("create").await?;
            }
        }
        Ok(())
    }

    async fn values(&self, _: &ServiceName, _: &[String]) -> Result<(), Failure> {
        self.point("values").await
    }

    async fn put(&self, _: &str, _: &InjectedFile, (): &()) -> Result<(), Failure> {
        self.point("put").await
    }

    async fn run_aside(
        &self,
        _: &ContainerFacts,
        _: &str,
        _: (usize, &LifecycleCommand),
        (): &(),
        _: Duration,
    ) -> Result<bool, Failure> {
        self.point("run-aside").await.map(|()| true)
    }

    async fn remove_aside(&self, _: &str) -> Result<(), Failure> {
        self.point("remove-aside").await
    }

    async fn run_in(
        &self,
        id: &str,
        _: Moment,
        _: (usize, &LifecycleCommand),
        (): &(),
        _: Duration,
    ) -> Result<CommandEnd, Failure> {
        self.point("run-in").await?;
        let runs = self.at(id, |world, service, index| world.services[service].containers[index].life == Life::Running);
        Ok(match runs {
            Some(true) => CommandEnd::Ended(Output::default()),
            _ => CommandEnd::NotRunning(Failure::new(format!("{id} does not run"))),
        })
    }
}

impl Simulation<'_> {
    /// The shell beside an nginx goes on without swap, or does not. The files are renamed one after the other.
    async fn publish_at_once(&self, edge: usize, publications: &[&Publication<'_>]) -> Result<Left, Failure> {
        self.point("publish").await?;
        let back = self.0.borrow().verb == "switch-back";
        let Lies { nobody_is_switched_back, others_are_not_switched_back, .. } = self.0.borrow().lies;
        if back && (nobody_is_switched_back || others_are_not_switched_back && edge > 0) {
            return Ok(self.0.borrow_mut().former(edge));
        }
        let mut before = Vec::new();
        for Publication { service, front, content, .. } in publications {
            let (pass, goes_on) = {
                let mut world = self.0.borrow_mut();
                let index = world.index(service);
                let mut file = world.file_of(front, content);
                if back && world.lies.back_to_a_name && front.is_new() {
                    file = None;
                }
                let former = std::mem::replace(world.file_mut(edge, index), file);
                before.push((index, former));
                world.tell(|| "  . the upstream file is written".to_owned());
                let pass = world.point("publish");
                let goes_on = !matches!(pass, Pass::On) && world.chance.below(2) == 1;
                // What comes after it in the shell's script comes without swap.
                if goes_on && !matches!(pass, Pass::Failed(_)) {
                    for Publication { service, front, content, .. } in &publications[before.len()..] {
                        let index = world.index(service);
                        *world.file_mut(edge, index) = world.file_of(front, content);
                    }
                    world.obey(edge);
                }
                (pass, goes_on)
            };
            match pass {
                Pass::On => {}
                Pass::Dead => pending().await,
                Pass::Waits => {
                    give_way().await;
                    if goes_on {
                        return Ok(self.0.borrow_mut().former(edge));
                    }
                }
                Pass::Failed(failure) => {
                    let mut world = self.0.borrow_mut();
                    match goes_on {
                        true => before.into_iter().for_each(|(index, file)| *world.file_mut(edge, index) = file),
                        // What was there before could not be put back, and nobody knows what nginx has seen.
                        false if world.chance.below(2) == 1 => world.obey(edge),
                        false => {}
                    }
                    return Err(failure);
                }
            }
        }
        let former = {
            let mut world = self.0.borrow_mut();
            world.obey(edge);
            world.former(edge)
        };
        self.point("publish").await?;
        Ok(former)
    }
}

impl Edge for Simulation<'_> {
    async fn published(&self, service: &ServiceName, front: &Front) -> Result<Option<RouteFile>, Failure> {
        self.point("published").await?;
        let world = self.0.borrow();
        let index = world.index(service);
        let mut file = world.route_file(index, front);
        // No step reads the words of such a file: only a session compares them, before the first step.
        if let (Some(file), Some(words), "") = (&mut file, world.file(edge_of(front), index), world.verb) {
            file.text = family::text(words);
        }
        if world.lies.files_never_rest
            && world.verb == "start"
            && let Some(said) = file.as_mut().and_then(|file| file.said.as_mut())
        {
            said.rests = None;
        }
        Ok(file)
    }

    async fn durable(&self, service: &ServiceName, front: &Front) -> Result<Option<RouteFile>, Failure> {
        self.point("durable").await?;
        let world = self.0.borrow();
        let mut file = world.route_file(world.index(service), front);
        if (world.lies.files_name_nobody || world.lies.others_name_nobody && edge_of(front) > 0)
            && let Some(said) = file.as_mut().and_then(|file| file.said.as_mut())
        {
            said.route.targets.clear();
        }
        Ok(file)
    }

    fn read(&self, text: &str) -> RouteFile {
        match text.starts_with("upstream") {
            true => theirs(text),
            false => read(&family::parsed(text), &self.0.borrow().services[0].name),
        }
    }

    fn offers_backup(&self, _: &Front) -> bool {
        false
    }

    /// One edge after the other is told.
    async fn publish(&self, publications: &[Publication<'_>]) -> Vec<Result<Left, Failure>> {
        let mut results = vec![Err(Failure::new("nobody was told")); publications.len()];
        let edges = self.0.borrow().edges.len();
        for edge in 0..edges {
            let is_meant = |publication: &&Publication<'_>| edge_of(publication.front) == edge;
            let meant: Vec<&Publication<'_>> = publications.iter().filter(is_meant).collect();
            if meant.is_empty() {
                continue;
            }
            let result = self.publish_at_once(edge, &meant).await;
            let theirs = results.iter_mut().zip(publications).filter(|(_, publication)| is_meant(publication));
            theirs.for_each(|(told, _)| *told = result.clone());
        }
        results
    }

    async fn write(
        &self,
        service: &ServiceName,
        front: &Front,
        route: &Route,
        rests: Option<&ObeyedMark>,
    ) -> Result<(), Failure> {
        self.point("write").await?;
        let index = {
            let mut world = self.0.borrow_mut();
            let index = world.index(service);
            *world.file_mut(edge_of(front), index) = Some(File { servers: servers(route), rest: rests.map(marked) });
            world.tell(|| match rests {
                Some(_) => "  . the upstream file is at rest".to_owned(),
                None => "  . the upstream file names addresses, as nginx has them".to_owned(),
            });
            index
        };
        self.point("write").await?;
        let mut world = self.0.borrow_mut();
        if world.lies.marks_come_late && rests.is_some() {
            let obeying = world.obeying(edge_of(front));
            *world.file_mut(edge_of(front), index) = Some(File { servers: servers(route), rest: Some(obeying) });
        }
        Ok(())
    }

    async fn obeying(&self, _: &ServiceName, front: &Front) -> Result<Option<ObeyedMark>, Failure> {
        self.point("obeying").await?;
        let world = self.0.borrow();
        let before = front.before.as_deref().map(family::parsed).and_then(|file| file.rest);
        let obeyed = before.filter(|_| world.lies.nginx_was_never_told);
        Ok(Some(mark(obeyed.unwrap_or(world.obeying(edge_of(front))))))
    }

    fn doubted(&self, _: ObeyedMark) -> ObeyedMark {
        mark((0, 0))
    }

    async fn await_left(
        &self,
        _: &ServiceName,
        front: &Front,
        former: &Left,
        timeout: Duration,
        _: &mut dyn FnMut(usize),
    ) -> Result<(), Failure> {
        let edge = edge_of(front);
        self.point("await-left").await?;
        if self.0.borrow().lies_about_the_former(edge) {
            return Ok(());
        }
        if self.0.borrow().lies.waits_fail {
            return Err(Failure::new("the shell is gone"));
        }
        {
            let mut world = self.0.borrow_mut();
            let meant = world.meant(edge, former);
            let is = |former: &&Former| meant.contains(&former.generation);
            let deadline = world.now + timeout.as_millis() as u64;
            let last = world.edges[edge].former.iter().filter(is).map(|former| former.leave_at).max().unwrap_or(0);
            world.now = last.min(deadline).max(world.now);
            // Who waited so long looks again.
            world.meddled = false;
        }
        self.point("await-left").await?;
        match self.0.borrow().are_left(edge, former) {
            true => Err(Failure::new("some stay")),
            false => Ok(()),
        }
    }

    async fn have_left(&self, _: &ServiceName, front: &Front, former: &Left) -> Result<bool, Failure> {
        self.point("have-left").await?;
        Ok(!self.0.borrow().are_left(edge_of(front), former))
    }
}

/// A candidate that is judged.
pub(crate) struct Judged(String);

impl Judge for Simulation<'_> {
    type Checks = Judged;

    async fn given_up_is_over(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn ask(&self, phase: Phase, service: &ServiceName, _: &RunFacts) -> Result<StepResult, Failure> {
        self.point("ask").await?;
        {
            let mut world = self.0.borrow_mut();
            let index = world.index(service);
            match phase {
                Phase::PreStart => world.services[index].migrated = true,
                Phase::Rollback => world.services[index].migrated = false,
                _ => {}
            }
        }
        self.point("ask").await.map(|()| StepResult::Nothing)
    }

    async fn checks(
        &self,
        _: &ServiceName,
        candidate: &Container,
        _: &[Check],
        _: Option<u16>,
        _: &[Front],
    ) -> Result<Judged, Failure> {
        self.point("checks").await.map(|()| Judged(candidate.id.clone()))
    }

    async fn round(&self, Judged(id): &Judged, _: Patience, _: &RunFacts) -> Round {
        if let Err(failure) = self.point("round").await {
            return Round::NotYet(failure.what, None);
        }
        let ready_at = self.at(id, |world, service, index| {
            let container = &world.services[service].containers[index];
            container.ready_at.filter(|_| container.life == Life::Running)
        });
        let now = self.0.borrow().now;
        match ready_at.flatten() {
            Some(ready_at) if ready_at <= now => Round::Healthy,
            Some(ready_at) => Round::NotYet("it gets ready".to_owned(), Some(Duration::from_millis(ready_at - now))),
            None => Round::NotYet("it does not answer".to_owned(), None),
        }
    }

    fn pending(&self, _: &Judged) -> Option<String> {
        None
    }

    async fn ends(&self, candidate: &Container) -> Result<Ending, Failure> {
        let ends = |world: &mut Universe, service: usize, index: usize| {
            let container = &world.services[service].containers[index];
            (container.life == Life::Running, container.ends)
        };
        let before = self.at(&candidate.id, ends);
        poll_fn(|context| match self.at(&candidate.id, ends) {
            None if !self.0.borrow().dead => Poll::Ready(Ok(Ending::Gone)),
            now if now != before && !self.0.borrow().dead => Poll::Ready(Ok(Ending::Exited(137, None))),
            Some((false, _)) if !self.0.borrow().dead => Poll::Ready(Ok(Ending::Exited(137, None))),
            _ => {
                self.0.borrow_mut().wakers.push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    fn weighs_numbers(&self, _: &ServiceName) -> bool {
        false
    }
}
