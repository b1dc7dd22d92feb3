//! Looks at the services before a run: what is live, what a candidate would be made of.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::hooks::LoadedHooks;
use super::senders::{Receiver, Senders};
use super::serving::left_behind;
use super::survey::{BESIDE, Survey};
use crate::compose;
use crate::docker::{ContainerFacts, ContainerStatus, Gathering, Mount};
use crate::hooks::Hooks;
use crate::model::{Failure, Lifecycle, Notice, ServiceName, Settings};
use crate::plan::{AnonymousVolume, CalledIn, Observed, ObservedService, Sidecar};
use crate::site::Site;
use crate::site::containers::{container, fixed_ports, has_swap_folder};

impl Site {
    /// Looks at the services that are to be swapped, each with its settings, and loads their hooks. Changes nothing.
    pub async fn observe(&self, wanted: Vec<(ServiceName, Settings)>) -> Result<(Observed, LoadedHooks), Failure> {
        let seen = self.docker.of_project(&self.project.name).await?;
        let upstreams = wanted.iter().map(|(name, settings)| settings.upstream(name).clone()).collect();
        let survey = Survey::new(self, &seen, upstreams);
        let each = wanted.into_iter().map(|(name, settings)| self.observe_service(name, settings, &survey));
        let found: Vec<(ObservedService, Arc<Hooks>)> = stream::iter(each).buffered(BESIDE).try_collect().await?;
        let (mut services, hooks): (Vec<ObservedService>, Vec<Arc<Hooks>>) = found.into_iter().unzip();
        let hooks = services.iter().map(|seen| seen.name.clone()).zip(hooks).collect();
        if let Some(first) = services.first_mut() {
            first.notices.extend(self.other_tool.clone());
        }
        Ok((Observed { project: self.project.name.clone(), services }, hooks))
    }

    pub(crate) async fn observe_service(
        &self,
        name: ServiceName,
        settings: Settings,
        survey: &Survey<'_>,
    ) -> Result<(ObservedService, Arc<Hooks>), Failure> {
        let running: Vec<&ContainerFacts> = survey.running_of(&name);
        let (observed, hooks) = self.observe_live(name.clone(), settings.clone(), survey, running.clone()).await?;
        let files = observed.fronts.iter().filter_map(|front| front.before.as_deref());
        let Some((live, left)) = left_behind(files, &running) else {
            return Ok((observed, hooks));
        };
        let (mut observed, hooks) = self.observe_live(name, settings, survey, live).await?;
        observed.left_behind = left.into_iter().map(|seen| container(seen, None)).collect();
        Ok((observed, hooks))
    }

    /// Looks at a service whose live containers are these: those that run or, to bring the version before back, those that
    /// died.
    pub(super) async fn observe_live(
        &self,
        name: ServiceName,
        settings: Settings,
        survey: &Survey<'_>,
        live: Vec<&ContainerFacts>,
    ) -> Result<(ObservedService, Arc<Hooks>), Failure> {
        let of_compose = self.project.services.get(&name).cloned().unwrap_or_default();
        let image_name = self.image_name(&name);
        let newest = live.last().copied();
        let is_nginx = live.iter().any(|seen| has_swap_folder(seen));
        let senders = async {
            if live.is_empty() || is_nginx {
                return Senders::default();
            }
            let receiver = Receiver { name: &name, settings: &settings, of_compose: &of_compose, live: &live };
            self.senders(receiver, survey).await
        };
        let (hooks, image, gatherings, used, missing, senders) = tokio::join!(
            self.load_hooks(&settings.hooks),
            self.docker.image(&image_name),
            join_all(of_compose.networks.iter().map(|network| survey.gathering(network))),
            self.used(&live),
            self.not_at_hand(&name, &of_compose.lifecycle),
            senders
        );
        let mut observed = as_it_is(name, settings, &of_compose, (survey.all, &live));
        observed.image = image?;
        observed.image_name = image_name;
        observed.notices.extend(self.compose.image_of_this_shell(&observed.name));
        if is_nginx {
            observed.problems.push(
                Failure::new(format!("service `{}` is the nginx that sends requests to the others", observed.name))
                    .hint("swap replaces what is behind nginx, not nginx itself; `docker compose up -d` recreates it"),
            );
            return Ok((observed, Arc::default()));
        }
        observed.notices.extend(of_compose.notices.iter().cloned());
        let hooks = hooks.unwrap_or_else(|failure| {
            observed.problems.push(failure);
            Arc::default()
        });
        observed.hooks = hooks.loaded();
        // Whether the others have hooks must not matter: they are looked at beside this one.
        let engine = self.hook_engine.get().filter(|_| !observed.settings.hooks.is_empty());
        if let Some(problem) = engine.and_then(|engine| engine.cache_problem()) {
            let cure = problem.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
            observed.notices.push(Notice::new(format!("{}{cure}", problem.what)));
        }
        observed.problems.extend(missing);
        if observed.live.is_empty() {
            return Ok((observed, hooks));
        }
        if !observed.settings.no_proxy {
            self.observe_front(&mut observed, &of_compose, &live, senders, survey).await;
        }
        self.judge_room(&mut observed, used).await;
        observed.called_in = called_in(&observed, newest, gatherings.iter().flatten().map(AsRef::as_ref));
        Ok((observed, hooks))
    }

    /// Returns what a candidate would be given at its start and that is not there: values of its files, images of its
    /// `pre_start`. Refused now, as it would fail then.
    async fn not_at_hand(&self, service: &ServiceName, lifecycle: &Lifecycle) -> Vec<Failure> {
        let mut missing = Vec::new();
        let variables: Vec<String> = lifecycle.files.iter().filter_map(|file| file.variable.clone()).collect();
        if !variables.is_empty() {
            match self.compose.values(service, &variables).await {
                Ok(values) => missing.extend(lifecycle.files.iter().filter_map(|file| values.file(file).err())),
                Err(failure) => missing.push(failure),
            }
        }
        for image in lifecycle.pre_start.iter().filter_map(|command| command.image.as_ref()) {
            match self.docker.image(image).await {
                Ok(Some(_)) => {}
                Ok(None) => missing.push(
                    Failure::new(format!("the image `{image}` of a pre_start of service `{service}` is not there"))
                        .hint(format!("`docker pull {image}`")),
                ),
                Err(failure) => missing.push(failure),
            }
        }
        missing
    }
}

/// Returns a service as compose and its containers tell of it: what nobody has to be asked for.
fn as_it_is(
    name: ServiceName,
    settings: Settings,
    of_compose: &compose::Service,
    (all, live): (&[ContainerFacts], &[&ContainerFacts]),
) -> ObservedService {
    let newest = live.last().copied();
    let others = all
        .iter()
        .filter(|seen| seen.service == name.as_str() && !seen.runs() && !live.iter().any(|live| live.id == seen.id));
    let stopped = others.map(|seen| container(seen, None)).collect();
    ObservedService {
        live: live.iter().map(|seen| container(seen, None)).collect(),
        down: !live.is_empty() && !live.iter().any(|seen| seen.runs()),
        stopped,
        left_behind: Vec::new(),
        replicas: of_compose.scale as usize,
        sidecars: sidecars(all, live),
        paused: all.iter().any(|seen| seen.service == name.as_str() && seen.state == ContainerStatus::Paused),
        image: None,
        retag: None,
        container_name: of_compose.container_name.clone(),
        fixed_ports: fixed_ports(of_compose),
        on_machine: false,
        fixed_addresses: of_compose.fixed_addresses.clone(),
        healthcheck: newest.and_then(|seen| seen.healthcheck.clone()).filter(|_| !of_compose.healthcheck_disabled),
        networks: of_compose.networks.clone(),
        called_in: Vec::new(),
        anonymous_volumes: live.iter().flat_map(|seen| anonymous_volumes(seen)).collect(),
        grace: of_compose.stop_grace_period.or(newest.and_then(|seen| seen.stop_timeout)),
        fronts: Vec::new(),
        image_name: String::new(),
        hooks: Vec::new(),
        live_image: newest.map(|seen| seen.image_name.clone()).unwrap_or_default(),
        lifecycle: of_compose.lifecycle.clone(),
        problems: of_compose.problems.iter().cloned().chain(paused(&name, all, live)).collect(),
        notices: newest.map(|seen| moved_folders(of_compose, seen)).unwrap_or_default(),
        room: Vec::new(),
        leftovers: Vec::new(),
        name,
        settings,
    }
}

/// Says which container of a service that serves is paused: nobody would swap it.
fn paused(service: &ServiceName, all: &[ContainerFacts], live: &[&ContainerFacts]) -> Option<Failure> {
    let paused = all.iter().find(|seen| seen.service == service.as_str() && seen.state == ContainerStatus::Paused)?;
    (!live.is_empty()).then(|| {
        Failure::new(format!("{} is paused, and would go on in the old version", paused.name))
            .hint(format!("`docker unpause {0}`, or `docker rm -f {0}`", paused.name))
    })
}

/// Returns the networks in which others than its own containers and nginx could call a service by its name.
fn called_in<'a>(
    observed: &ObservedService,
    newest: Option<&ContainerFacts>,
    gatherings: impl Iterator<Item = &'a Gathering>,
) -> Vec<CalledIn> {
    let nginxes = || observed.fronts.iter().filter_map(|front| front.container.as_ref());
    let own = |id: &str| observed.live.iter().chain(nginxes()).any(|container| container.id == id);
    let called = gatherings.filter(|gathering| gathering.local).filter_map(|gathering| {
        let mut callers: Vec<String> =
            gathering.containers.iter().filter(|(id, _)| !own(id)).map(|(_, name)| name.clone()).collect();
        callers.sort();
        let newest = newest?;
        let mut place = newest.networks.get(&gathering.network)?.place.of_service(&newest.name, &newest.id);
        if place.aliases.is_empty() {
            place.aliases.push(observed.name.to_string());
        }
        (!callers.is_empty()).then_some(CalledIn { place, callers })
    });
    called.collect()
}

fn anonymous_volumes(seen: &ContainerFacts) -> Vec<AnonymousVolume> {
    let volume = |mount: &Mount| {
        let volume = mount.volume.clone().filter(|_| mount.anonymous)?;
        Some(AnonymousVolume { path: mount.destination.clone(), volume })
    };
    seen.mounts.iter().filter_map(volume).collect()
}

/// Returns the running containers of other services that use something of the live ones.
fn sidecars(all: &[ContainerFacts], live: &[&ContainerFacts]) -> Vec<Sidecar> {
    let others = all.iter().filter(|seen| seen.runs() && !live.iter().any(|live| live.id == seen.id));
    let shares = others.flat_map(|seen| seen.shares.iter().map(move |share| (seen, share)));
    let of_live = shares.filter_map(|(seen, share)| {
        let of = live.iter().find(|live| live.id.starts_with(&share.of) || live.name == share.of)?;
        Some(Sidecar { service: seen.service.clone(), name: seen.name.clone(), what: share.what, of: of.name.clone() })
    });
    of_live.collect()
}

/// Tells of each bind mount that would be another folder for a candidate than for the live container. Paths of the compose file
/// are made absolute where compose runs, and mean the engine's machine: a checkout on another one lies elsewhere.
fn moved_folders(service: &compose::Service, live: &ContainerFacts) -> Vec<Notice> {
    let binds = service.volumes.iter().filter(|mount| mount.kind == "bind");
    let moved = binds.filter_map(|mount| {
        let source = mount.source.as_deref()?;
        let now = live.mounts.iter().find(|now| now.kind == "bind" && now.destination == mount.target)?;
        // Docker Desktop puts a prefix before the paths of its host.
        (!now.source.ends_with(source)).then(|| {
            Notice::new(format!(
                "`{}` will be the engine's `{source}`; in {} it is `{}` (paths are those of the folder in which compose runs)",
                mount.target, live.name, now.source
            ))
        })
    });
    moved.collect()
}
