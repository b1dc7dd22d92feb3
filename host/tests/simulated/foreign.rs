//! What others do to the world while swap is at work.

use super::world::{Life, Universe};

/// Which container of the service it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    /// The first that runs: an old one, as long as there is one.
    Oldest,
    /// The last that runs: a candidate, as soon as there is one.
    Newest,
}

/// Something that somebody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Foreign {
    /// A container exits.
    Dies(Which),
    /// A container runs on and answers no more.
    Sickens(Which),
    /// `docker restart` of a container, which gets its former address or another one.
    Restarts(Which, bool),
    /// `compose up -d`, which removes what is more than the compose file says.
    RemovesSurplus,
    /// `compose up -d`, which makes a new container instead of an old one.
    Recreates,
    /// Somebody builds another version under the same name.
    Builds,
    /// nginx is restarted: it reads its files again and all former workers are gone.
    RestartsNginx,
    /// Somebody reloads nginx.
    ReloadsNginx,
    /// The engine is restarted: everything that ran runs again, perhaps elsewhere.
    RestartsEngine(bool),
}

impl Foreign {
    /// Everything that others do.
    pub(crate) const ALL: [Foreign; 15] = [
        Foreign::Dies(Which::Oldest),
        Foreign::Dies(Which::Newest),
        Foreign::Sickens(Which::Oldest),
        Foreign::Sickens(Which::Newest),
        Foreign::Restarts(Which::Oldest, false),
        Foreign::Restarts(Which::Oldest, true),
        Foreign::Restarts(Which::Newest, false),
        Foreign::Restarts(Which::Newest, true),
        Foreign::RemovesSurplus,
        Foreign::Recreates,
        Foreign::Builds,
        Foreign::RestartsNginx,
        Foreign::ReloadsNginx,
        Foreign::RestartsEngine(false),
        Foreign::RestartsEngine(true),
    ];
}

impl Universe {
    /// Does what others do to one service.
    pub(crate) fn meddle(&mut self, service: usize, foreign: Foreign) {
        self.meddled = true;
        self.tell(|| format!("  (somebody) {foreign:?} on service {service}"));
        match foreign {
            Foreign::Dies(which) => {
                if let Some(index) = self.running(service, which) {
                    self.harm(service, index);
                    let container = &mut self.services[service].containers[index];
                    container.life = Life::Exited;
                    container.ends += 1;
                }
            }
            Foreign::Sickens(which) => {
                if let Some(index) = self.running(service, which) {
                    self.harm(service, index);
                    self.services[service].containers[index].ready_at = None;
                }
            }
            Foreign::Restarts(which, moves) => {
                if let Some(index) = self.running(service, which) {
                    self.restart(service, index, moves);
                }
            }
            Foreign::RemovesSurplus => {
                let scale = self.services[service].scale;
                let mut there: Vec<usize> = (0..self.services[service].containers.len())
                    .filter(|index| self.services[service].containers[*index].life != Life::Exited)
                    .collect();
                while there.len() > scale {
                    let Some(index) = there.pop() else { break };
                    self.harm(service, index);
                    self.services[service].containers.remove(index);
                }
            }
            Foreign::Builds => {
                let service = &mut self.services[service];
                service.image = service.image.max(100) + 1;
                service.built = Some(service.image);
            }
            Foreign::Recreates => {
                if let Some(index) = self.running(service, Which::Oldest) {
                    self.harm(service, index);
                    self.services[service].containers.remove(index);
                    let new = self.new_container(service);
                    let address = self.fresh_address();
                    let now = self.now;
                    let container = &mut self.services[service].containers[new];
                    container.foreign = true;
                    container.life = Life::Running;
                    container.address = Some(address);
                    container.ready_at = Some(now);
                }
            }
            Foreign::RestartsNginx => {
                let edge = self.chance.below(self.edges.len());
                self.restart_nginx(edge);
            }
            Foreign::ReloadsNginx => {
                let edge = self.chance.below(self.edges.len());
                self.reload(edge);
                self.excuse_the_unnamed(edge);
            }
            Foreign::RestartsEngine(moves) => {
                for service in 0..self.services.len() {
                    for index in 0..self.services[service].containers.len() {
                        if self.services[service].containers[index].life == Life::Running {
                            self.restart(service, index, moves);
                        }
                    }
                }
                (0..self.edges.len()).for_each(|edge| self.restart_nginx(edge));
            }
        }
    }

    fn running(&self, service: usize, which: Which) -> Option<usize> {
        let containers = &self.services[service].containers;
        let mut running = (0..containers.len()).filter(|index| containers[*index].life == Life::Running);
        match which {
            Which::Oldest => running.next(),
            Which::Newest => running.next_back(),
        }
    }

    /// What nginx sends to this container from now on is not swap's fault.
    fn harm(&mut self, service: usize, index: usize) {
        let service = &mut self.services[service];
        service.disturbed = true;
        service.harmed.extend(service.containers[index].address);
    }

    fn restart(&mut self, service: usize, index: usize, moves: bool) {
        self.harm(service, index);
        if moves {
            let address = self.fresh_address();
            self.services[service].containers[index].address = Some(address);
        }
        let ready = self.now + 200;
        let container = &mut self.services[service].containers[index];
        container.ends += 1;
        if container.ready_at.is_some() {
            container.ready_at = Some(ready);
        }
        self.harm(service, index);
    }

    fn restart_nginx(&mut self, edge: usize) {
        self.edges[edge].master += 1;
        self.reload(edge);
        self.edges[edge].former.clear();
        self.excuse_the_unnamed(edge);
    }

    /// nginx without a file of ours asks the engine's DNS whenever somebody makes it read its configuration.
    fn excuse_the_unnamed(&mut self, edge: usize) {
        for index in 0..self.services.len() {
            if self.file(edge, index).is_some() || edge >= self.services[index].edges.max(1) {
                continue;
            }
            let service = &mut self.services[index];
            let running = service.containers.iter().filter(|c| c.life == Life::Running);
            let addresses: Vec<_> = running.filter_map(|c| c.address).collect();
            service.harmed.extend(addresses);
            service.disturbed = true;
        }
    }
}
