//! nginx as a port: the routes that it obeys, as files of swap's folder.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Site;
use super::front::FrontDoor;
use crate::model::{Failure, FormerRoute, ObeyedMark, Route, RouteFile, RouteStatement, ServiceName, Target};
use crate::nginx::{
    self, Fallback, FileChange, Generation, Kept, NotParsed, Obeyed, Rest, Server, Shell as _, TUNING_FILE,
    UpstreamFile, Worker,
};
use crate::plan::Front;
use crate::text::quote;
use crate::world::{Content, Edge, OwnSettings, Publication};

impl Site {
    pub(crate) async fn door(&self, service: &ServiceName, front: &Front) -> Result<Arc<FrontDoor>, Failure> {
        self.doors.of(&self.docker, &self.project.name, service, front).await
    }

    /// Publishes at one nginx, in one folder. After a failure nginx is found anew: it may have been restarted.
    async fn publish_at(&self, publications: &[&Publication<'_>]) -> Result<FormerRoute, Failure> {
        let Some(Publication { service, front, .. }) = publications.first() else {
            return Err(Failure::new("internal: nothing is published"));
        };
        let door = self.door(service, front).await?;
        let patience = publications.iter().map(|publication| publication.front.reload).max().unwrap_or_default();
        let nginx = nginx::Nginx { patience, ..door.nginx.clone() };
        let mut all: Vec<FileChange> = Vec::new();
        for change in publications.iter().flat_map(|publication| changes(publication)) {
            // swap's own settings are one file for all.
            if !all.iter().any(|other| other.name == change.name) {
                all.push(change);
            }
        }
        match door.proxy.switch(&nginx, &all).await {
            Ok(generation) => Ok(generation.into()),
            Err(failure) => {
                self.doors.forget(&front.proxy).await;
                Err(failure.into())
            }
        }
    }
}

impl Edge for Site {
    async fn published(&self, service: &ServiceName, front: &Front) -> Result<Option<RouteFile>, Failure> {
        let door = self.door(service, front).await?;
        let output = door.proxy.shell().run(&format!("cat {}", quote(&front.file(service)))).await?;
        Ok(output.ok().then(|| route_file(&output.stdout)))
    }

    /// Where nginx does not run any more, the engine reads the file in what is left of its container.
    async fn durable(&self, service: &ServiceName, front: &Front) -> Result<Option<RouteFile>, Failure> {
        let file = front.file(service);
        let failure = match self.door(service, front).await {
            Ok(door) => {
                let line = format!("[ ! -e {0} ] || cat {0}", quote(&file));
                match door.proxy.shell().run(&line).await {
                    Ok(output) if output.ok() => {
                        return Ok(Some(output.stdout).filter(|text| !text.is_empty()).map(|text| route_file(&text)));
                    }
                    Ok(output) => Failure::new(format!("reading `{file}` exited {}", output.code))
                        .tail(output.stderr.lines().map(str::to_owned)),
                    Err(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        let Some(container) = &front.container else { return Err(failure) };
        match self.docker.read_file(&container.id, &file).await {
            Ok(bytes) => Ok(bytes.map(|bytes| route_file(&String::from_utf8_lossy(&bytes)))),
            Err(_) => Err(failure),
        }
    }

    fn read(&self, text: &str) -> RouteFile {
        route_file(text)
    }

    fn offers_backup(&self, front: &Front) -> bool {
        front.resolver.is_some() && kept(front).allows_backup()
    }

    /// What concerns one folder of one nginx is one change of it: one test and one reload, however many services there are.
    /// One nginx after the other: of two that read one folder the second finds its bytes there, tests them and reloads.
    async fn publish(&self, publications: &[Publication<'_>]) -> Vec<Result<FormerRoute, Failure>> {
        let mut edges: Vec<(&Front, Vec<usize>)> = Vec::new();
        for (index, Publication { front, .. }) in publications.iter().enumerate() {
            let same = |other: &Front| other.proxy == front.proxy && other.directory == front.directory;
            match edges.iter_mut().find(|(other, _)| same(other)) {
                Some((_, indices)) => indices.push(index),
                None => edges.push((front, vec![index])),
            }
        }
        let mut results: Vec<Option<Result<FormerRoute, Failure>>> = vec![None; publications.len()];
        for (_, indices) in edges {
            let at_edge: Vec<&Publication<'_>> = indices.iter().map(|index| &publications[*index]).collect();
            let result = self.publish_at(&at_edge).await;
            indices.into_iter().for_each(|index| results[index] = Some(result.clone()));
        }
        results.into_iter().flatten().collect()
    }

    async fn write(
        &self,
        service: &ServiceName,
        front: &Front,
        route: &Route,
        rests: Option<&ObeyedMark>,
    ) -> Result<(), Failure> {
        let door = self.door(service, front).await?;
        let mut file = upstream(service, front, route, true);
        if let Some(obeying) = rests {
            let obeyed = Obeyed::of_mark(obeying)
                .ok_or_else(|| Failure::new("internal: a file comes to rest by the mark of another edge"))?;
            let name = front.named(service).filter(|_| file.fallback.is_none()).map(|name| (name.clone(), front.port));
            file.rest = Some(Rest { obeyed, name });
        }
        door.proxy.write(&door.nginx, &change_to(&file)).await
    }

    async fn obeying(&self, service: &ServiceName, front: &Front) -> Result<Option<ObeyedMark>, Failure> {
        for _ in 0..2 {
            let door = self.door(service, front).await?;
            if let Some(generation) = door.proxy.generation(&door.nginx).await? {
                return Ok(Obeyed::of(&generation).map(|obeyed| obeyed.mark()));
            }
            // It was restarted since.
            self.doors.forget(&front.proxy).await;
        }
        Ok(None)
    }

    fn doubted(&self, obeying: ObeyedMark) -> ObeyedMark {
        Obeyed::of_mark(&obeying).map_or(obeying, |obeyed| obeyed.doubted().mark())
    }

    /// Where a look fails nginx is found anew: it may have been restarted, and its former workers have gone with it.
    async fn await_left(
        &self,
        service: &ServiceName,
        front: &Front,
        former: &FormerRoute,
        timeout: Duration,
        on_wait: &mut dyn FnMut(usize),
    ) -> Result<(), Failure> {
        let generation = generation(former)?;
        let door = self.door(service, front).await?;
        let began = Instant::now();
        let left = door.proxy.await_drained(&generation, timeout, |left: &[Worker]| on_wait(left.len())).await;
        if left.is_err() && began.elapsed() < timeout {
            self.doors.forget(&front.proxy).await;
        }
        left
    }

    async fn have_left(&self, service: &ServiceName, front: &Front, former: &FormerRoute) -> Result<bool, Failure> {
        let generation = generation(former)?;
        let door = self.door(service, front).await?;
        let left = door.proxy.drained(&generation).await;
        if left.is_err() {
            self.doors.forget(&front.proxy).await;
        }
        Ok(left?.is_empty())
    }
}

fn generation(former: &FormerRoute) -> Result<Generation, Failure> {
    Generation::of(former).ok_or_else(|| {
        Failure::new("what the run recorded of nginx's former workers can't be read")
            .hint("resume it with the swap that began it")
    })
}

/// Reads an upstream file's text, whoever wrote it.
pub(crate) fn route_file(text: &str) -> RouteFile {
    let parsed: Result<UpstreamFile, NotParsed> = nginx::parse(text);
    let said = parsed.ok().map(|file| RouteStatement {
        has_backup: file.fallback.is_some(),
        rests: file.rest.as_ref().map(|rest| rest.obeyed.mark()),
        route: Route {
            run: file.run,
            project: file.project,
            service: file.service,
            targets: file.servers.into_iter().map(target).collect(),
        },
    });
    RouteFile {
        is_ours: nginx::is_ours(text),
        owner: nginx::owner(text).map(str::to_owned),
        text: text.to_owned(),
        said,
    }
}

fn target(Server { address, container, id }: Server) -> Target {
    Target { id, container, address, weight: 1 }
}

/// Returns what changes in swap's folder by a publication.
fn changes(Publication { service, front, content, settings }: &Publication<'_>) -> Vec<FileChange> {
    let of_upstream = |text| FileChange::upstream(front.upstream(service), text);
    let change = match content {
        Content::Route { route, backup } => change_to(&upstream(service, front, route, *backup)),
        Content::Before => of_upstream(front.before.clone()),
        Content::BeforeByAddress => of_upstream(front.before.as_deref().map(|text| match nginx::parse(text) {
            Ok(file) => nginx::render(&UpstreamFile { rest: None, ..file }),
            Err(_) => text.to_owned(),
        })),
    };
    let tuning = |text| FileChange { name: TUNING_FILE.to_owned(), text };
    let settings = front.tuning.as_ref().and_then(|text| match settings {
        OwnSettings::Stay => None,
        OwnSettings::Set => Some(tuning(Some(text.clone()))),
        OwnSettings::Gone => Some(tuning(None)),
    });
    std::iter::once(change).chain(settings).collect()
}

fn change_to(file: &UpstreamFile) -> FileChange {
    FileChange::upstream(&file.upstream, Some(nginx::render(file)))
}

fn kept(front: &Front) -> Kept {
    front.before.as_deref().map(Kept::of).unwrap_or_default()
}

/// Returns the upstream file of a route, by address.
fn upstream(service: &ServiceName, front: &Front, route: &Route, backup: bool) -> UpstreamFile {
    let servers = route.targets.iter().map(|target| Server {
        address: target.address,
        container: target.container.clone(),
        id: target.id.clone(),
    });
    let kept = kept(front);
    let resolver = front.resolver.filter(|_| backup && kept.allows_backup());
    UpstreamFile {
        run: route.run.clone(),
        project: route.project.clone(),
        service: service.clone(),
        upstream: front.upstream(service).clone(),
        servers: servers.collect(),
        fallback: resolver.map(|resolver| Fallback {
            name: front.dns_name(service).clone(),
            resolver,
            port: front.port,
        }),
        kept,
        rest: None,
    }
}
