//! What is true of one container, or of one service of the compose file. Pure.

use std::net::SocketAddr;

use crate::compose;
use crate::docker::{ContainerFacts, ContainerStatus};
use crate::model::{Container, Failure, FixedPort, ProxyChoice, ServiceName};
use crate::nginx;

/// Returns a container as a plan names it.
pub(crate) fn container(seen: &ContainerFacts, address: Option<SocketAddr>) -> Container {
    Container { id: seen.id.clone(), name: seen.name.clone(), image: seen.image.clone(), address }
}

/// Returns the containers that died: of those that do not run and once did, the newest version's.
pub(crate) fn died<'a>(mine: &[&'a ContainerFacts]) -> Vec<&'a ContainerFacts> {
    let died = |seen: &&ContainerFacts| {
        matches!(seen.state, ContainerStatus::Exited | ContainerStatus::Restarting | ContainerStatus::Dead)
    };
    let newest = mine.iter().copied().rfind(died);
    mine.iter().copied().filter(died).filter(|seen| newest.is_some_and(|newest| newest.image == seen.image)).collect()
}

/// Tells whether a container looks like one that runs nginx.
pub(crate) fn is_nginx(seen: &ContainerFacts) -> bool {
    let mounted = seen.mounts.iter().map(|mount| mount.destination.as_str());
    looks_like_nginx(&seen.image_name, seen.command.iter().map(String::as_str), mounted)
}

/// Tells whether an image, the words of a command or the places of mounts are those of an nginx.
pub(crate) fn looks_like_nginx<'a>(
    image: &str,
    mut command: impl Iterator<Item = &'a str>,
    mut mounted: impl Iterator<Item = &'a str>,
) -> bool {
    let names_nginx =
        |text: &str| text.rsplit('/').next().is_some_and(|last| last.contains("nginx") || last.contains("openresty"));
    names_nginx(image) || command.any(names_nginx) || mounted.any(is_swap_folder)
}

fn is_swap_folder(path: &str) -> bool {
    path.trim_end_matches('/') == nginx::DEFAULT_FOLDER
}

pub(crate) fn has_swap_folder(seen: &ContainerFacts) -> bool {
    seen.mounts.iter().any(|mount| is_swap_folder(&mount.destination))
}

/// Returns why an upstream file that is there may not be replaced: it says that another project owns it, whose users would get
/// this project's answers.
pub(crate) fn owned_by_others(
    file: &str,
    owner: &str,
    project: &str,
    service: &ServiceName,
    choice: &ProxyChoice,
) -> Failure {
    let folder = file.rsplit_once('/').map_or(file, |(folder, _)| folder);
    let own = format!("{project}-{service}");
    let apart = match choice {
        ProxyChoice::Service(_) => {
            format!("each project needs a folder of its own there, as `./nginx/${{COMPOSE_PROJECT_NAME}}:{folder}`")
        }
        _ => format!(
            "write `x-swap: {{ upstream: {own} }}` under `services: {service}:`, and `http://{own}` where nginx sends requests to it"
        ),
    };
    Failure::new(format!("the upstream file `{file}` belongs to project `{owner}`"))
        .hint(format!("{apart}; if `{owner}` is no more, delete the file"))
}

pub(crate) fn fixed_ports(service: &compose::Service) -> Vec<FixedPort> {
    service.ports.iter().filter_map(compose::PublishedPort::as_fixed).collect()
}
