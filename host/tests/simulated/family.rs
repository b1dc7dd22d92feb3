//! The services that are swapped in the simulated world, and what swap observes of them.

use std::time::Duration;

use swap::model::{
    Failure, FileKind, Image, InjectedFile, Lifecycle, LifecycleCommand, LoadedHook, NetworkPlace, Order, Phase,
    ProxyChoice, RunId, Settings, Timeouts,
};
use swap::plan::{CalledIn, Front, Observed, ObservedService, Plan, Retag, plan};

use super::chance::Chance;
use super::world::{File, Lies, Life, NETWORK, Server, Service, Simulated, Universe};

/// One kind of project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Family {
    pub name: &'static str,
    pub services: Vec<Shape>,
    pub hooks: bool,
    pub watch: bool,
}

/// One kind of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How many nginxes send it requests.
    pub edges: usize,
    /// Those read one folder.
    pub shared: bool,
    /// One of them was put before it after the last swap.
    pub joins: bool,
    pub stop_first: bool,
    pub scale: usize,
    /// swap has written its upstream file before.
    pub known: bool,
    /// That file is at rest: swap's run came to its end.
    pub rests: bool,
    /// Somebody has reloaded nginx since.
    pub reloaded: bool,
    /// A run that died, and of which nobody knows more, has left a container that runs.
    pub left: bool,
    /// That file names an address of the past: somebody recreated the container since.
    pub stale: bool,
    /// Where swap has not, people have written one, which names the service by DNS as no file does.
    pub theirs: bool,
    /// A container of it exists that does not run.
    pub bystander: bool,
    /// Others call it by its name.
    pub called: bool,
    /// The version before is brought back: the image's name must be given to it.
    pub back: bool,
    /// The version that is live has died.
    pub died: bool,
}

const APP: Shape = Shape {
    edges: 1,
    shared: false,
    joins: false,
    stop_first: false,
    scale: 1,
    known: true,
    rests: true,
    reloaded: false,
    left: false,
    stale: false,
    theirs: false,
    bystander: false,
    called: false,
    back: false,
    died: false,
};
const WORKER: Shape = Shape { edges: 0, known: false, ..APP };
const TWICE: Shape = Shape { edges: 2, ..APP };

/// Returns all kinds of projects.
pub(crate) fn families() -> Vec<Family> {
    let plain = |name, services| Family { name, services, hooks: false, watch: false };
    let full = |name, services| Family { name, services, hooks: true, watch: true };
    vec![
        plain("app", vec![APP]),
        full("app with hooks", vec![APP]),
        plain("first swap of app", vec![Shape { known: false, ..APP }]),
        plain("app after somebody recreated it", vec![Shape { stale: true, ..APP }]),
        full("app after somebody reloaded nginx", vec![Shape { reloaded: true, ..APP }]),
        plain("app after a run that died", vec![Shape { rests: false, left: true, ..APP }]),
        full("replicas and a bystander", vec![Shape { scale: 2, bystander: true, ..APP }]),
        plain("worker", vec![WORKER]),
        full("worker replicas", vec![Shape { scale: 2, ..WORKER }]),
        plain("app stop-first", vec![Shape { stop_first: true, ..APP }]),
        plain("first swap of app stop-first", vec![Shape { stop_first: true, known: false, ..APP }]),
        full("worker stop-first", vec![Shape { stop_first: true, ..WORKER }]),
        full("app and worker", vec![APP, WORKER]),
        plain("two apps", vec![APP, Shape { scale: 2, known: false, theirs: true, ..APP }]),
        full("rollback of app", vec![Shape { back: true, ..APP }]),
        plain("rollback of app that died", vec![Shape { back: true, died: true, ..APP }]),
        plain("rollback of app stop-first that died", vec![Shape { back: true, died: true, stop_first: true, ..APP }]),
        plain("rollback of a worker that died", vec![Shape { back: true, died: true, ..WORKER }]),
        plain("app and stop-first worker", vec![Shape { scale: 3, ..APP }, Shape { stop_first: true, ..WORKER }]),
    ]
}

/// Returns the kinds of projects with a service before which two nginxes stand.
pub(crate) fn behind_two() -> Vec<Family> {
    let plain = |name, services| Family { name, services, hooks: false, watch: false };
    let full = |name, services| Family { name, services, hooks: true, watch: true };
    vec![
        plain("app behind two", vec![TWICE]),
        plain("first swap of app behind two", vec![Shape { known: false, ..TWICE }]),
        plain("app behind two, one of them new", vec![Shape { joins: true, ..TWICE }]),
        plain("app behind two that share a folder", vec![Shape { shared: true, ..TWICE }]),
        plain("first swap behind two that share a folder", vec![Shape { shared: true, known: false, ..TWICE }]),
        full("app with hooks behind two", vec![TWICE]),
        full("app behind two after somebody reloaded both", vec![Shape { reloaded: true, ..TWICE }]),
        plain("app behind two after somebody recreated it", vec![Shape { stale: true, ..TWICE }]),
        plain("app behind two after a run that died", vec![Shape { rests: false, left: true, ..TWICE }]),
        plain("replicas behind two, others behind one", vec![Shape { scale: 2, ..TWICE }, APP]),
        plain("app stop-first behind two", vec![Shape { stop_first: true, ..TWICE }]),
        plain("rollback of app behind two that died", vec![Shape { back: true, died: true, ..TWICE }]),
    ]
}

/// Returns the kinds of projects in which others call a service by its name.
pub(crate) fn called() -> Vec<Family> {
    vec![
        Family {
            name: "app that others call",
            services: vec![Shape { called: true, ..APP }],
            hooks: false,
            watch: false,
        },
        Family {
            name: "first swap of replicas that others call",
            services: vec![Shape { called: true, scale: 2, known: false, ..APP }],
            hooks: true,
            watch: true,
        },
    ]
}

/// Makes the world in which the project serves, and the plan that swaps it.
pub(crate) fn begin(family: &Family, chance: Chance, lies: Lies) -> Universe {
    let mut world = Universe::new(chance, lies);
    for (index, shape) in family.services.iter().enumerate() {
        let name = ["app", "more"][index];
        let service = Service {
            name: name.parse().unwrap_or_else(|error| panic!("{error}")),
            edges: shape.edges,
            stop_first: shape.stop_first,
            called: shape.called,
            scale: shape.scale,
            containers: Vec::with_capacity(2 * shape.scale + 2),
            image: if shape.back { 2 } else { 1 },
            was: if shape.back { 2 } else { 1 },
            built: None,
            back: None,
            died: shape.died,
            warm_up: Some(100),
            migrated: false,
            harmed: Vec::new(),
            disturbed: shape.died,
        };
        world.add(service, shape.shared);
        for _ in 0..shape.scale {
            let new = world.new_container(index);
            world.start(index, new);
            world.services[index].containers[new].ready_at = Some(0);
        }
        if shape.known {
            let servers = world.services[index].containers.iter();
            let servers: Vec<Server> = servers.filter_map(|c| Some(Server { id: c.id, address: c.address? })).collect();
            for edge in 0..shape.edges - usize::from(shape.joins) {
                *world.file_mut(edge, index) = Some(File { servers: servers.clone(), rest: None });
            }
        }
        if shape.stale {
            let address = world.fresh_address();
            for edge in 0..shape.edges {
                *world.file_mut(edge, index) = Some(File { servers: vec![Server { id: 0, address }], rest: None });
            }
            world.services[index].harmed.push(address);
        }
        if shape.died {
            for container in &mut world.services[index].containers {
                container.life = Life::Exited;
                container.ready_at = None;
            }
            let addresses: Vec<_> = world.services[index].containers.iter().filter_map(|c| c.address).collect();
            world.services[index].harmed.extend(addresses);
        }
        if shape.left {
            let new = world.new_container(index);
            world.start(index, new);
            world.services[index].containers[new].image = 0;
        }
        if shape.bystander {
            let new = world.new_container(index);
            let stands = &mut world.services[index].containers[new];
            *stands = Simulated { image: 0, life: Life::Exited, ..stands.clone() };
        }
    }
    all_reload(&mut world);
    // Of those who share a folder the last one brings it to rest.
    for edge in 0..world.edges.len() {
        let obeying = world.obeying(edge);
        for (index, _) in family.services.iter().enumerate().filter(|(_, shape)| shape.rests) {
            if let Some(file) = world.file_mut(edge, index) {
                file.rest = Some(obeying);
            }
        }
    }
    if family.services.iter().any(|shape| shape.reloaded) {
        all_reload(&mut world);
    }
    new_version(&mut world);
    for (service, shape) in world.services.iter_mut().zip(&family.services) {
        service.back = shape.back.then_some(1);
    }
    world
}

/// All nginxes read their files, and nobody is left who has read others.
fn all_reload(world: &mut Universe) {
    for edge in 0..world.edges.len() {
        world.reload(edge);
        world.edges[edge].former.clear();
    }
}

/// Somebody builds the next version of everything.
pub(crate) fn new_version(world: &mut Universe) {
    for service in &mut world.services {
        service.was = service.image;
        service.image += 1;
        service.built = None;
        service.back = None;
        service.migrated = false;
    }
}

/// Returns the plan of a run for the world as it is.
pub(crate) fn planned(run: RunId, family: &Family, world: &Universe) -> Result<Plan, Vec<Failure>> {
    plan(run, &observe(family, world))
}

fn observe(family: &Family, world: &Universe) -> Observed {
    let services = family.services.iter().zip(&world.services).enumerate();
    let services = services.map(|(index, (shape, service))| {
        let hooks = LoadedHook {
            name: "judge".to_owned(),
            phases: Phase::ALL.to_vec(),
            digest: String::new(),
            weighs_numbers: false,
        };
        let by_address: Vec<&File> = world.files_of(index).filter(|file| file.rest.is_none()).collect();
        let is_left = |c: &&Simulated| {
            let mut named = by_address.iter().flat_map(|file| &file.servers);
            c.life == Life::Running && !by_address.is_empty() && named.all(|server| server.id != c.id)
        };
        let left: Vec<&Simulated> = service.containers.iter().filter(is_left).collect();
        let left = if left.len() == service.containers.len() { Vec::new() } else { left };
        let seen = |runs: bool| {
            let containers = service.containers.iter().filter(|c| (c.life == Life::Running) == runs);
            let settled = containers.filter(|c| left.iter().all(|left| left.id != c.id));
            settled.map(|c| c.seen(&service.name, service.edges > 0)).collect()
        };
        ObservedService {
            settings: Settings {
                watch: if family.watch { Duration::from_secs(5) } else { Duration::ZERO },
                // A candidate that never answers is not waited for long.
                timeouts: Timeouts { health: Duration::from_secs(2), ..Timeouts::default() },
                order: if shape.stop_first { Order::StopFirst } else { Order::StartFirst },
                ..Settings::default()
            },
            live: seen(!service.died),
            down: service.died,
            left_behind: left.iter().map(|c| c.seen(&service.name, service.edges > 0)).collect(),
            stopped: if service.died { Vec::new() } else { seen(false) },
            image: Some(Image {
                name: service.image_name(),
                id: format!("sha256:{}", service.back.unwrap_or(service.image)),
            }),
            retag: service.back.map(|_| Retag { before: Some(format!("sha256:{}", service.image)) }),
            networks: vec![NETWORK.to_owned()],
            called_in: Vec::from_iter(shape.called.then(|| CalledIn {
                place: NetworkPlace {
                    network: NETWORK.to_owned(),
                    aliases: vec![service.name.to_string()],
                    ..NetworkPlace::default()
                },
                callers: vec!["demo-caller-1".to_owned()],
            })),
            fronts: (0..shape.edges).map(|edge| front(world, edge, index, shape.theirs)).collect(),
            hooks: if family.hooks { vec![hooks] } else { Vec::new() },
            lifecycle: if family.hooks { lifecycle() } else { Lifecycle::default() },
            ..ObservedService::empty(service.name.clone())
        }
    });
    Observed { project: "demo".to_owned(), services: services.collect() }
}

/// Returns an nginx before a service.
fn front(world: &Universe, edge: usize, index: usize, theirs: bool) -> Front {
    let (file, service) = (world.file(edge, index).as_ref(), &world.services[index]);
    Front {
        proxy: edge_name(edge),
        container: None,
        directory: "/etc/nginx/swap".to_owned(),
        place: None,
        upstream: None,
        written_by_others: theirs,
        dns_name: None,
        before: match file {
            None if theirs => Some("upstream app { server app; }".to_owned()),
            file => file.map(text),
        },
        current: names_exactly(file, &service.containers),
        obeyed: file.is_some_and(|file| file.rest == Some(world.obeying(edge))),
        asks_dns: true,
        tuning: None,
        resolver: None,
        network: None,
        port: 80,
        reload: Duration::ZERO,
        probe: None,
        probe_rate: None,
        probe_way: None,
    }
}

/// Returns what the nginx of this number is called.
fn edge_name(edge: usize) -> ProxyChoice {
    ProxyChoice::Service(["nginx", "edge"][edge].parse().unwrap_or_else(|error| panic!("{error}")))
}

/// Returns the number of an nginx.
pub(crate) fn edge_of(front: &Front) -> usize {
    usize::from(front.proxy != edge_name(0))
}

/// Something of everything that compose does around start and stop.
fn lifecycle() -> Lifecycle {
    let commands = vec![LifecycleCommand { words: vec!["./command".to_owned()], ..LifecycleCommand::default() }];
    let file = InjectedFile {
        kind: FileKind::Config,
        name: "settings".to_owned(),
        variable: None,
        target: "/settings".to_owned(),
        uid: None,
        gid: None,
        mode: 0o444,
    };
    Lifecycle { files: vec![file], pre_start: commands.clone(), post_start: commands.clone(), pre_stop: commands }
}

/// Tells whether an upstream file names these containers, as far as they run, and no others.
pub(crate) fn names_exactly(file: Option<&File>, containers: &[Simulated]) -> bool {
    let running = || containers.iter().filter(|c| c.life == Life::Running);
    let named =
        |c: &Simulated| file.iter().flat_map(|file| &file.servers).any(|server| Some(server.address) == c.address);
    file.is_some_and(|file| file.servers.len() == running().count()) && running().all(named)
}

/// Returns an upstream file's text.
pub(crate) fn text(file: &File) -> String {
    let servers: String = file.servers.iter().map(|server| format!("{}@{} ", server.id, server.address)).collect();
    let rest = file.rest.map(|(master, generation)| format!("{master}/{generation}")).unwrap_or_default();
    servers + &rest
}

/// Reads an upstream file's text.
pub(crate) fn parsed(text: &str) -> File {
    let server = |word: &str| {
        let (id, address) = word.split_once('@')?;
        Some(Server { id: id.parse().ok()?, address: address.parse().ok()? })
    };
    let rest = |word: &str| {
        let (master, generation) = word.split_once('/')?;
        Some((master.parse().ok()?, generation.parse().ok()?))
    };
    File { servers: text.split_whitespace().filter_map(server).collect(), rest: text.split_whitespace().find_map(rest) }
}
