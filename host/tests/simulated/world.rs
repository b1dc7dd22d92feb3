//! The simulated world: containers, nginx with its workers, the journal's disk and a clock, and what must always hold.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Waker;

use swap::executor::Wish;
use swap::model::{Container, RunId, ServiceName};
use swap::plan::Plan;
use swap::run::{Event, Outcome};
use tokio::sync::watch;

use super::chance::Chance;

/// What a port says or does that is not so: each puts a defect back into what the steps see. The tests let one be told and
/// see that it is noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lies {
    /// The engine says before and after the commit that candidates run: nobody is retired in favour of the dead then.
    pub candidates_run: bool,
    /// The edge says of its durable file that it names nobody: nobody looks whom it names before containers are ended.
    pub files_name_nobody: bool,
    /// The edge says that all former workers have left at once: nothing is drained.
    pub former_leave_at_once: bool,
    /// All edges but the first say so: only the first one is drained.
    pub others_leave_at_once: bool,
    /// All edges but the first say of their durable files that they name nobody: only the first one is asked whom it names.
    pub others_name_nobody: bool,
    /// All edges but the first are not switched back.
    pub others_are_not_switched_back: bool,
    /// It does so when a run without a journal retires: nobody knows the workers from before.
    pub former_leave_at_once_when_retired: bool,
    /// It does so after the switch back: candidates are stopped while workers still use them.
    pub former_leave_at_once_going_back: bool,
    /// The engine starts nothing that ran before: whoever goes back to the old containers finds them as they are.
    pub nobody_starts_again: bool,
    /// The edge is switched back to the service's name where no file of swap's was there before: it resolves to the candidates
    /// too.
    pub back_to_a_name: bool,
    /// The edge is not switched back at all.
    pub nobody_is_switched_back: bool,
    /// The engine says that containers are there which are gone: the last ones of a service are removed.
    pub who_is_gone_is_there: bool,
    /// The engine says of all containers but the old ones that they are of the planned image.
    pub every_image_is_the_planned: bool,
    /// The name of the image is not given back.
    pub no_name_is_given_back: bool,
    /// A journal's write that succeeds does not bring those to the disk that failed before it.
    pub the_journal_has_gaps: bool,
    /// The engine gives whoever joins a network the service's names: a candidate has them before it is healthy.
    pub who_joins_is_named: bool,
    /// The edge says that it obeys what it obeyed before the run, whoever started or reloaded it since.
    pub nginx_was_never_told: bool,
    /// The edge says when candidates start that its file names addresses, also where it is at rest.
    pub files_never_rest: bool,
    /// A file that comes to rest tells of nginx's workers as they are after it was written.
    pub marks_come_late: bool,
    /// The engine tells of no copy of a plan: nobody learns of a run whose journal is lost.
    pub no_copy_is_found: bool,
    /// The engine keeps the copy of a plan whose run is over.
    pub copies_stay: bool,
    /// Who waits for former workers is told that they can't be looked at. That is no lie but a trouble.
    pub waits_fail: bool,
    /// The engine does not answer once the edge is switched back. That is no lie either.
    pub looks_fail_once_switched_back: bool,
}

/// After so many milliseconds requests at former workers are cut, as the operator has settled.
const LONGEST_DRAIN: u64 = 30_000;

/// The network in which all containers are.
pub(crate) const NETWORK: &str = "demo_default";

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    /// It has never run.
    Created,
    /// It runs.
    Running,
    /// It ran.
    Exited,
}

/// A container's place in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Joined {
    /// Others find it by the service's name.
    Named,
    /// Others find it by its address alone.
    Unnamed,
    /// It is not in the network.
    Not,
}

/// A container.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Simulated {
    pub id: u32,
    pub image: u32,
    pub life: Life,
    pub joined: Joined,
    /// Where it is reached; kept while it does not run.
    pub address: Option<SocketAddr>,
    /// When it answers; `None`: never.
    pub ready_at: Option<u64>,
    /// How often it has ended.
    pub ends: u32,
    /// Somebody else made it.
    pub foreign: bool,
}

impl Simulated {
    /// Tells whether it would answer a request.
    pub(crate) fn ready(&self, now: u64) -> bool {
        self.life == Life::Running && self.ready_at.is_some_and(|at| at <= now)
    }

    /// Returns it as a plan knows it.
    pub(crate) fn seen(&self, service: &ServiceName, proxied: bool) -> Container {
        Container {
            id: format!("c{:04}", self.id),
            name: format!("demo-{service}-{}", self.id),
            image: format!("sha256:{}", self.image),
            address: self.address.filter(|_| proxied && self.life == Life::Running),
        }
    }
}

/// A service with its containers, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub name: ServiceName,
    /// How many of the nginxes send it requests, the first ones.
    pub edges: usize,
    pub stop_first: bool,
    /// Others call it by its name.
    pub called: bool,
    /// How many containers the compose file asks for.
    pub scale: usize,
    pub containers: Vec<Simulated>,
    /// The image that new containers are made of.
    pub image: u32,
    /// The image of the containers that were live when the run began.
    pub was: u32,
    /// The image that somebody has built since the plan was made.
    pub built: Option<u32>,
    /// The image that is to be brought back.
    pub back: Option<u32>,
    /// The version that was live had died before the run began.
    pub died: bool,
    /// How long a new container takes to answer; `None`: it never does.
    pub warm_up: Option<u64>,
    /// Whether what the `pre-start` hooks do is done.
    pub migrated: bool,
    /// Addresses at which others did something, so that requests there may fail.
    pub harmed: Vec<SocketAddr>,
    /// Whether others did something to the service.
    pub disturbed: bool,
}

impl Service {
    /// Returns what compose calls its image.
    pub(crate) fn image_name(&self) -> String {
        format!("demo-{}", self.name)
    }

    /// Returns where the engine's DNS finds it.
    fn found_by_name(&self) -> Vec<SocketAddr> {
        let found = |c: &&Simulated| c.life == Life::Running && c.joined == Joined::Named;
        self.containers.iter().filter(found).filter_map(|c| c.address).collect()
    }
}

/// A server of an upstream file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub id: u32,
    pub address: SocketAddr,
}

/// An upstream file of swap's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct File {
    pub servers: Vec<Server>,
    /// The generation that obeys the addresses, while the file names the service; `None`: it names the addresses.
    pub rest: Option<Obeyed>,
}

/// A generation of nginx's workers, with their master.
pub(crate) type Obeyed = (u32, u32);

/// nginx workers that end as soon as their requests do.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Former {
    pub generation: u32,
    pub servers: Vec<Vec<SocketAddr>>,
    pub leave_at: u64,
    /// When they were told to leave.
    pub told_at: u64,
}

/// An nginx before proxied services.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Nginx {
    pub master: u32,
    pub generation: u32,
    /// The folder that it reads: several may read one.
    pub folder: usize,
    /// Where new requests of each service go.
    pub loaded: Vec<Vec<SocketAddr>>,
    /// The services that nginx asks the engine's DNS for, again and again.
    pub asks: Vec<bool>,
    pub former: Vec<Former>,
}

/// The disk below the journal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    /// What is on it.
    pub durable: Vec<Event>,
    /// What was written without success since: may be there after a crash, from the first on.
    pub doubtful: Vec<Event>,
    /// Whether the journal has got the name of one that is over.
    pub closed: bool,
    /// Whether its run was forgotten: others had settled what runs.
    pub forgotten: bool,
    /// Whether the services are held.
    pub held: bool,
    /// Whether any write failed.
    pub lost: bool,
    pub full: bool,
}

/// Everything.
pub(crate) struct Universe {
    pub now: u64,
    pub services: Vec<Service>,
    /// The nginxes.
    pub edges: Vec<Nginx>,
    /// The durable upstream file of each service, in each folder of swap's.
    pub folders: Vec<Vec<Option<File>>>,
    pub disk: Disk,
    pub chance: Chance,
    pub lies: Lies,
    pub wishes: watch::Sender<Wish>,
    /// swap was killed: nothing that it would do happens.
    pub dead: bool,
    /// Another run holds the services.
    pub lost: bool,
    /// The kind of call that fails until swap is started again.
    pub broken: Option<&'static str>,
    /// The step that is performed, by its verb; empty beside the steps of a run.
    pub verb: &'static str,
    /// The service that it is about.
    pub service: usize,
    /// One of the steps brings a file to rest.
    pub rests: bool,
    /// The step has told the edge where requests go.
    pub told_edge: bool,
    /// When the first of those wakes up who sleep, since they were asked for the last time.
    pub alarm: Option<u64>,
    /// Those who wait.
    pub wakers: Vec<Waker>,
    /// The workers that were told to end, each time that an nginx was told anything: their master, and their generations.
    pub formers: Vec<(u32, Vec<u32>)>,
    /// The ids of the images that the plan names.
    pub planned: BTreeMap<ServiceName, String>,
    /// Others did something since the step began.
    pub meddled: bool,
    /// A file could not be brought to rest.
    pub restless: bool,
    /// What must not happen and did.
    pub violation: Option<String>,
    /// What happened, in words, if somebody wants to know.
    pub story: Option<Vec<String>>,
    /// The states that were seen, if they are counted.
    pub seen: Option<HashSet<u64>>,
    next: u32,
}

impl Universe {
    /// A world without services.
    pub(crate) fn new(chance: Chance, lies: Lies) -> Self {
        Self {
            now: 0,
            services: Vec::new(),
            edges: Vec::new(),
            folders: Vec::new(),
            disk: Disk::default(),
            chance,
            lies,
            wishes: watch::Sender::default(),
            dead: false,
            lost: false,
            broken: None,
            verb: "",
            service: 0,
            rests: false,
            told_edge: false,
            alarm: None,
            wakers: Vec::new(),
            formers: Vec::new(),
            planned: BTreeMap::new(),
            meddled: false,
            restless: false,
            violation: None,
            story: None,
            seen: None,
            next: 0,
        }
    }

    /// Adds a service, and the nginxes before it that are not there yet; `shared`: they read one folder.
    pub(crate) fn add(&mut self, service: Service, shared: bool) {
        while self.edges.len() < service.edges.max(1) {
            let folder = if shared { 0 } else { self.edges.len() };
            let count = self.services.len();
            let (loaded, asks) = (vec![Vec::new(); count], vec![false; count]);
            // Each counts its processes by itself; that no two are taken for one another is nginx's.
            let master = 1 + 1_000 * self.edges.len() as u32;
            self.edges.push(Nginx { master, generation: 1, folder, loaded, asks, former: Vec::new() });
            if self.folders.len() <= folder {
                self.folders.push(vec![None; count]);
            }
        }
        self.services.push(service);
        self.folders.iter_mut().for_each(|files| files.push(None));
        for edge in &mut self.edges {
            edge.loaded.push(Vec::new());
            edge.asks.push(false);
        }
    }

    /// Adds a line to the story.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(line());
        }
    }

    /// Notes that something happened that must not.
    pub(crate) fn violate(&mut self, what: String) {
        self.tell(|| format!("  VIOLATION: {what}"));
        self.violation.get_or_insert(what);
        self.dead = true;
    }

    /// Returns the place of a service.
    pub(crate) fn index(&self, name: &ServiceName) -> usize {
        self.services.iter().position(|service| service.name == *name).unwrap_or_default()
    }

    /// Returns an address that nobody had before.
    pub(crate) fn fresh_address(&mut self) -> SocketAddr {
        self.next += 1;
        let [_, b, c, d] = self.next.to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, b, c, d)), 80)
    }

    /// Returns the address for a container of the service that starts. Engines give a free one again.
    pub(crate) fn address_for(&mut self, service: usize) -> SocketAddr {
        let service = &self.services[service];
        if service.stop_first {
            let taken: Vec<_> =
                service.containers.iter().filter(|c| c.life == Life::Running).filter_map(|c| c.address).collect();
            let free = service.containers.iter().filter_map(|c| c.address).find(|address| !taken.contains(address));
            if let Some(free) = free {
                return free;
            }
        }
        self.fresh_address()
    }

    /// Creates a container that does not run yet.
    pub(crate) fn new_container(&mut self, service: usize) -> usize {
        self.next += 1;
        let id = self.next;
        let service = &mut self.services[service];
        let image = service.image;
        service.containers.push(Simulated {
            id,
            image,
            life: Life::Created,
            joined: Joined::Named,
            address: None,
            ready_at: None,
            ends: 0,
            foreign: false,
        });
        service.containers.len() - 1
    }

    /// Starts a container that does not run.
    pub(crate) fn start(&mut self, service: usize, index: usize) {
        if self.services[service].containers[index].life == Life::Running {
            return;
        }
        let address = self.address_for(service);
        let now = self.now;
        let service = &mut self.services[service];
        let warm_up = service.warm_up;
        let live_image = service.containers[0].image;
        let container = &mut service.containers[index];
        if container.life == Life::Exited && !service.stop_first {
            // Others stopped it: that it is not ready at once is theirs.
            service.harmed.push(address);
        }
        // Only the new version is ever bad.
        let warm_up = if container.image == live_image && index == 0 { Some(warm_up.unwrap_or(100)) } else { warm_up };
        container.life = Life::Running;
        container.address = Some(address);
        container.ready_at = warm_up.map(|warm_up| now + warm_up);
    }

    /// Stops a container on swap's behalf, if that is allowed.
    pub(crate) fn stop(&mut self, service: usize, index: usize) {
        let now = self.now;
        let seen = &self.services[service];
        let container = seen.containers[index].clone();
        if container.life != Life::Running {
            return;
        }
        let named = self.files_of(service).any(|file| file.servers.iter().any(|server| server.id == container.id));
        let address = container.address;
        let uses = |former: &&Former| {
            former.leave_at > now
                && now < former.told_at + LONGEST_DRAIN
                && former.servers[service].iter().any(|server| Some(*server) == address)
        };
        let used = self.edges.iter().flat_map(|edge| &edge.former).find(uses).map(|former| former.generation);
        let excused = seen.stop_first || address.is_some_and(|address| seen.harmed.contains(&address));
        // Whoever goes back does not ask whether the old version is well: it is what there is.
        let alone = !seen.containers.iter().any(|other| other.id != container.id && other.life == Life::Running);
        let (stop_first, meddled) = (seen.stop_first, self.meddled);
        if named && !stop_first {
            self.violate(format!("c{} was stopped and the durable upstream names it", container.id));
        }
        if let Some(generation) = used
            && !excused
        {
            self.violate(format!("c{} was stopped and workers of generation {generation} still use it", container.id));
        }
        let died = self.services[service].died;
        if alone && container.ready(now) && !stop_first && !meddled && !died {
            self.violate(format!("c{} was stopped and it was the last that could serve", container.id));
        }
        let container = &mut self.services[service].containers[index];
        container.life = Life::Exited;
        container.ends += 1;
    }

    /// An nginx reads its files: new requests go where they say, former workers end when their requests do.
    pub(crate) fn reload(&mut self, edge: usize) {
        let loaded = (0..self.services.len()).map(|index| self.resolved(edge, index)).collect();
        let leave_at = self.now + [50, 2_000, 40_000][self.chance.below(3)];
        let now = self.now;
        let files = &self.folders[self.edges[edge].folder];
        let edge = &mut self.edges[edge];
        let servers = std::mem::replace(&mut edge.loaded, loaded);
        edge.asks = files.iter().map(|file| file.as_ref().is_some_and(|file| file.rest.is_some())).collect();
        edge.former.retain(|former| former.leave_at > now);
        edge.former.push(Former { generation: edge.generation, servers, leave_at, told_at: now });
        edge.generation += 1;
    }

    /// Returns where an nginx sends requests of a service when it reads its files now.
    fn resolved(&self, edge: usize, index: usize) -> Vec<SocketAddr> {
        let service = &self.services[index];
        match self.file(edge, index) {
            _ if edge >= service.edges => Vec::new(),
            Some(File { servers, rest: None }) => servers.iter().map(|server| server.address).collect(),
            _ => service.found_by_name(),
        }
    }

    /// Returns a service's upstream file at an nginx.
    pub(crate) fn file(&self, edge: usize, service: usize) -> &Option<File> {
        &self.folders[self.edges[edge].folder][service]
    }

    /// The same, to be changed.
    pub(crate) fn file_mut(&mut self, edge: usize, service: usize) -> &mut Option<File> {
        &mut self.folders[self.edges[edge].folder][service]
    }

    /// Returns the upstream files of a service that there are.
    pub(crate) fn files_of(&self, service: usize) -> impl Iterator<Item = &File> {
        self.folders.iter().filter_map(move |files| files[service].as_ref())
    }

    /// Returns what tells the present workers of an nginx from all others.
    pub(crate) fn obeying(&self, edge: usize) -> Obeyed {
        (self.edges[edge].master, self.edges[edge].generation)
    }

    /// Checks what must hold at every moment: whoever gets requests can answer them.
    pub(crate) fn check(&mut self) {
        let now = self.now;
        let mut wrong = None;
        for edge in &mut self.edges {
            for (index, service) in self.services.iter().enumerate().filter(|(index, _)| edge.asks[*index]) {
                edge.loaded[index] = service.found_by_name();
            }
        }
        for (index, service) in self.services.iter().enumerate().filter(|(_, service)| !service.stop_first) {
            let found = |c: &&Simulated| c.life == Life::Running && c.joined == Joined::Named && !c.ready(now);
            if let Some(early) = service.containers.iter().find(found)
                && service.called
                && !service.disturbed
            {
                wrong = Some(format!("others call c{} of `{}`, which does not answer", early.id, service.name));
            }
            let answers = |address: &SocketAddr| {
                service
                    .containers
                    .iter()
                    .any(|c| c.address == Some(*address) && c.ready(now) && c.joined != Joined::Not)
                    || service.harmed.contains(address)
            };
            for edge in &self.edges[..service.edges] {
                // Who died before the run serves nobody, and an nginx that starts anew asks for whoever has the name.
                let nobody = service.died && edge.asks[index];
                if let Some(bad) = edge.loaded[index].iter().find(|address| !answers(address) && !nobody) {
                    wrong = Some(format!("requests for `{}` go to {bad}, which does not answer", service.name));
                }
                if edge.loaded[index].is_empty() && !service.disturbed {
                    wrong = Some(format!("requests for `{}` go nowhere", service.name));
                }
            }
            if service.edges == 0 && !service.disturbed && !service.containers.iter().any(|c| c.ready(now)) {
                wrong = Some(format!("nobody does the work of `{}`", service.name));
            }
        }
        if let Some(wrong) = wrong {
            self.violate(wrong);
        }
        self.count();
    }

    /// Checks what must hold after a run is over: exactly one version, the right upstream, no orphan.
    pub(crate) fn check_rest(&mut self, plan: &Plan, outcome: Outcome) {
        self.check();
        let mut wrong = Vec::new();
        if !self.disk.closed && !self.disk.durable.is_empty() && !self.disk.lost {
            wrong.push("the journal is open".to_owned());
        }
        for planned in &plan.services {
            let index = self.index(&planned.name);
            let service = &self.services[index];
            let name = &service.name;
            let old = |c: &&Simulated| planned.live.iter().any(|live| live.id == format!("c{:04}", c.id));
            let bystander = |c: &&Simulated| c.image == 0;
            let here: Vec<&Simulated> = service.containers.iter().filter(|c| !bystander(c)).collect();
            let orphans = match outcome {
                Outcome::Swapped => here.iter().any(old),
                // Where others removed something while compose counted, it made one too many; without a journal that is nobody's.
                Outcome::RolledBack => {
                    let too_many = |c: &&Simulated| service.disturbed && c.life == Life::Created;
                    here.iter().any(|c| !old(c) && !c.foreign && !too_many(c))
                }
            };
            if orphans && !(service.disturbed && here.iter().any(|c| c.foreign)) {
                wrong.push(format!("`{name}` has containers of both versions: {here:?}"));
            }
            // Whatever others did to the containers, they did nothing to the name; where they built, it is theirs.
            let tag = planned.retag.as_ref().map(|retag| (Some(&planned.image.id), retag.before.as_ref()));
            if let Some((after, before)) = tag {
                let named = format!("sha256:{}", service.image);
                let wanted = if outcome == Outcome::Swapped { after } else { before };
                if service.built != Some(service.image) && Some(&named) != wanted {
                    wrong.push(format!("after {outcome:?} the name of `{name}` stands for {named}"));
                }
            }
            if service.disturbed {
                continue;
            }
            let planned_image = |c: &&Simulated| format!("sha256:{}", c.image) == planned.image.id;
            if outcome == Outcome::Swapped && !here.iter().all(planned_image) {
                wrong.push(format!("`{name}` runs another image than planned, {}: {here:?}", planned.image.id));
            }
            if here.len() != planned.live.len()
                || here.iter().any(|c| !c.ready(self.now.max(c.ready_at.unwrap_or(u64::MAX))))
            {
                wrong.push(format!("`{name}` has not {} containers that serve: {here:?}", planned.live.len()));
            }
            if outcome == Outcome::Swapped && service.containers.iter().any(|c| bystander(&c)) {
                wrong.push(format!("`{name}` has a container that compose would start in the old version"));
            }
            if let Some(hidden) = here.iter().find(|c| c.joined != Joined::Named) {
                wrong.push(format!("others do not find c{} of `{name}`", hidden.id));
            }
            let past = |address: &SocketAddr| service.harmed.contains(address);
            let serving: Vec<Server> =
                here.iter().filter_map(|c| Some(Server { id: c.id, address: c.address? })).collect();
            for (number, edge) in self.edges[..service.edges].iter().enumerate() {
                let (loaded, file) = (&edge.loaded[index], self.file(number, index).as_ref());
                if outcome == Outcome::RolledBack && loaded.iter().all(past) {
                    continue;
                }
                let addresses: Vec<SocketAddr> = serving.iter().map(|server| server.address).collect();
                if *loaded != addresses {
                    wrong.push(format!("requests for `{name}` go to {loaded:?} instead of {addresses:?}"));
                }
                // Where nothing has come of a run, what others had left stale before it is stale still.
                let found_anew = outcome == Outcome::RolledBack && edge.asks[index];
                if file.is_some_and(|file| file.servers != serving) && !found_anew {
                    wrong.push(format!("the upstream of `{name}` is {file:?}"));
                }
                if file.is_some_and(|file| file.rest.is_none())
                    && !self.restless
                    && (outcome == Outcome::Swapped || planned.down || planned.left_behind.is_empty())
                    && !service.containers.iter().any(|c| bystander(&c) && c.life == Life::Running)
                {
                    wrong.push(format!("the upstream of `{name}` names addresses when nothing is at work"));
                }
            }
            let hooks = plan.steps.iter().any(|step| step.verb() == "pre-start" && step.service() == Some(name));
            if hooks && !self.disk.lost && service.migrated != (outcome == Outcome::Swapped) {
                wrong.push(format!("after {outcome:?} the hooks of `{name}` have migrated: {}", service.migrated));
            }
        }
        if let Some(wrong) = wrong.into_iter().next() {
            self.violate(wrong);
        }
    }

    /// Tells whether others did something to any service.
    pub(crate) fn disturbed(&self) -> bool {
        self.services.iter().any(|service| service.disturbed)
    }

    fn count(&mut self) {
        let Some(seen) = &mut self.seen else { return };
        let mut hasher = DefaultHasher::new();
        for service in &self.services {
            (&service.containers, service.image, service.migrated, service.disturbed).hash(&mut hasher);
        }
        (&self.edges, &self.folders).hash(&mut hasher);
        for event in self.disk.durable.iter().chain(&self.disk.doubtful) {
            std::mem::discriminant(event).hash(&mut hasher);
            if let Event::Started { step }
            | Event::Done { step, .. }
            | Event::Failed { step, .. }
            | Event::UndoStarted { step } = event
            {
                step.hash(&mut hasher);
            }
        }
        seen.insert(hasher.finish());
    }
}

/// The run that is simulated.
pub(crate) fn run_id() -> RunId {
    RunId("20260131-154502-9f3a".to_owned())
}
