//! Who serves a service, as an edge is told and as it says it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Container, RunId, ServiceName};

/// Who serves a service: what an edge is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The run that made it.
    pub run: RunId,
    /// The compose project.
    pub project: String,
    /// The service.
    pub service: ServiceName,
    /// The containers that get its requests; none: nobody answers.
    pub targets: Vec<Target>,
}

/// A container that gets requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its id, or the beginning of it.
    pub id: String,
    /// Its name, as `demo-app-1`.
    pub container: String,
    /// Where the edge reaches it.
    pub address: SocketAddr,
    /// How many requests it gets beside the others.
    pub weight: u32,
}

impl Target {
    /// Returns a container as a target that gets as many requests as any other; `None`: it has no address.
    pub fn of(container: &Container) -> Option<Self> {
        let (id, name) = (container.id.clone(), container.name.clone());
        Some(Self { id, container: name, address: container.address?, weight: 1 })
    }
}

/// What an edge says of who obeyed the route before: only that edge reads it.
///
/// As long as one of them is left, the containers of that route may get requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FormerRoute(pub serde_json::Value);

/// A mark by which an edge knows again who obeyed a route: equal as long as nobody has started it or made it read its files
/// since. Only that edge reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObeyedMark(pub String);

/// What stands durably at an edge about a service: an edge that starts anew obeys it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFile {
    /// All of it.
    pub text: String,
    /// Whether swap wrote it, unharmed or not.
    pub is_ours: bool,
    /// The project that it says it belongs to, also where the rest of it was changed since.
    pub owner: Option<String>,
    /// What it says; `None`: it is not as swap wrote it.
    pub said: Option<RouteStatement>,
}

/// What a file that swap wrote says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteStatement {
    /// The route. At rest: the one that is obeyed until somebody makes the edge read the file.
    pub route: Route,
    /// Who obeys the addresses of the route while the file names the service instead; `None`: it names the addresses.
    pub rests: Option<ObeyedMark>,
    /// Whether the service's name finds somebody where no target answers.
    pub has_backup: bool,
}

impl RouteFile {
    /// Returns what the file says where it names addresses: no run has brought it to rest.
    pub fn by_address(&self) -> Option<&RouteStatement> {
        self.said.as_ref().filter(|said| said.rests.is_none())
    }
}
