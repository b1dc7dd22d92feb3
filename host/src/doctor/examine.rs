//! Looks at all that a swap depends on, part by part, and goes on where a part fails. Changes nothing but that the state
//! folder is made.

use std::path::Path;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::facts::{
    DoctorFacts, EngineFacts, HookFacts, NginxFacts, ProjectFacts, ServiceFacts, Setting, StateFacts, ToolFacts,
};
use crate::compose::{self, Compose, Options, Project, Tool};
use crate::docker::ContainerFacts;
use crate::hooks::{self, Hooks};
use crate::journal::Folder;
use crate::model::{Failure, HookSpec, Overrides, ProxyChoice, ServiceName, Settings, unknown_service};
use crate::observe::hooks::apart;
use crate::observe::senders::{Receiver, Sender};
use crate::observe::survey::{BESIDE, Survey};
use crate::plan::ObservedService;
use crate::site::containers::fixed_ports;
use crate::site::{Connection, Looks, Site, choose};

/// The settings of nginx that matter to a reload and that swap can set itself.
const OURS: [&str; 2] = ["keepalive_min_timeout", "client_header_timeout"];

/// Looks at everything. `wanted` are the services that were named; without any, those that are prepared for a swap.
///
/// # Errors
/// A service that was named is not one of the project's, or the engine stops to answer.
pub async fn examine(options: &Options, wanted: &[ServiceName], overrides: &Overrides) -> Result<DoctorFacts, Failure> {
    let root = Folder::default_root();
    let state = StateFacts { room: Folder::examine(&root), path: root.clone() };
    let compose = Tool::find().map(|tool| Compose::new(tool, options.clone()));
    let guess = compose.as_ref().map(Compose::likely_name).unwrap_or_default();
    let connect = Connection::open(options, guess, Looks::AtNginx);
    let (connection, (tool, project)) = tokio::join!(connect, read(compose.as_ref().ok()));
    let mut facts = DoctorFacts {
        engine: connection.as_ref().map(engine_facts).map_err(Failure::clone),
        tool: compose.as_ref().map_err(Failure::clone).map(|compose| tool_facts(compose, tool)),
        project: project.as_ref().map(|project| project.as_ref().map(project_facts).map_err(Failure::clone)),
        services: Vec::new(),
        passed_over: Vec::new(),
        state,
    };
    let (Ok(mut compose), Some(Ok(mut project))) = (compose, project) else { return Ok(facts) };
    let known: Vec<ServiceName> = project.services.keys().cloned().collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        return Err(unknown_service(unknown.as_str(), &known));
    }
    let Ok(connection) = connection else {
        without_engine(&project, wanted, overrides, &mut facts);
        return Ok(facts);
    };
    let id = connection.engine.id.clone();
    let folder = Folder::open(&root, &id, &project.name);
    if let (Err(failure), Ok(_)) = (&folder, &facts.state.room) {
        facts.state.room = Err(failure.clone());
    }
    // A state folder that can't be used is a finding; what else is wrong is looked for in a folder for the while.
    let spare = tempfile::tempdir().map_err(|error| Failure::new(format!("can't make a folder: {error}")))?;
    let folder = folder.or_else(|_| Folder::open(&spare.path().join("state"), &id, &project.name))?;
    let all = connection.containers(&project.name).await.unwrap_or_default();
    let choice = choose(&compose.tool, &all);
    if let Some(tool) = choice.tool {
        compose = Compose::new(tool, options.clone());
        let (version, read) = read(Some(&compose)).await;
        facts.tool = Ok(tool_facts(&compose, version));
        match read {
            Some(Ok(read)) => project = read,
            failed => {
                facts.project = failed.map(|failed| failed.map(|project| project_facts(&project)));
                return Ok(facts);
            }
        }
    }
    if let (Ok(tool), Some(notice)) = (&mut facts.tool, choice.notice) {
        tool.other = Some(notice);
    }
    let site = Site::of(connection, compose, project, folder);
    site.examine_services((known, wanted), overrides, &all, &mut facts).await;
    Ok(facts)
}

/// Looks at what the compose file says of the services, where no engine can be asked.
fn without_engine(project: &Project, wanted: &[ServiceName], overrides: &Overrides, facts: &mut DoctorFacts) {
    for (name, service) in &project.services {
        if wanted.contains(name) || wanted.is_empty() && service.settings != Settings::default() {
            facts.services.push(unasked(name, service, overrides.over(service.settings.clone(), None)));
        } else {
            facts.passed_over.push(name.clone());
        }
    }
}

fn engine_facts(connection: &Connection) -> EngineFacts {
    let Connection { docker, engine, .. } = connection;
    EngineFacts {
        version: engine.version.clone(),
        api: docker.api_version().to_owned(),
        endpoint: docker.endpoint().to_string(),
        system: engine.system.clone(),
        local: docker.is_local(),
    }
}

/// Asks the tool for its version and for the project.
async fn read(compose: Option<&Compose>) -> (Option<String>, Option<Result<Project, Failure>>) {
    match compose {
        Some(compose) => {
            let (version, project) = tokio::join!(compose.tool_version(), compose.read());
            (version, Some(project))
        }
        None => (None, None),
    }
}

fn tool_facts(compose: &Compose, version: Option<String>) -> ToolFacts {
    let command = compose.tool.command_line(&Options::default(), &[] as &[&str]);
    ToolFacts { command, version, v1: compose.tool.is_v1(), other: None }
}

fn project_facts(project: &Project) -> ProjectFacts {
    let files: Vec<String> = project.files.iter().map(|file| file.display().to_string()).collect();
    ProjectFacts {
        name: project.name.clone(),
        files: files.join(" + "),
        services: project.services.len(),
        warnings: project.warnings.clone(),
    }
}

/// What is known of a service without an engine.
fn unasked(name: &ServiceName, service: &compose::Service, settings: Settings) -> ServiceFacts {
    let engine = || hooks::Engine::new(hooks::default_cache_folder().as_deref()).map(Arc::new);
    let hooks = match settings.hooks.is_empty() {
        true => Vec::new(),
        false => engine().map_or_else(|failure| vec![Err(failure)], |engine| examine_hooks(&engine, &settings.hooks)),
    };
    let observed = ObservedService {
        settings,
        container_name: service.container_name.clone(),
        fixed_ports: fixed_ports(service),
        fixed_addresses: service.fixed_addresses.clone(),
        grace: service.stop_grace_period,
        ..ObservedService::empty(name.clone())
    };
    ServiceFacts {
        observed,
        asked: false,
        restart: Some(service.restart.clone().unwrap_or_else(|| "no".to_owned())),
        nginxes: Vec::new(),
        hooks,
        unfinished: Vec::new(),
        answers: None,
    }
}

/// Looks at each hook by itself, so that one that can't be used hides no other.
fn examine_hooks(engine: &Arc<hooks::Engine>, specs: &[HookSpec]) -> Vec<Result<HookFacts, Failure>> {
    let here = std::env::current_dir().unwrap_or_default();
    let one = |spec: &HookSpec| -> Vec<Result<HookFacts, Failure>> {
        match hooks::expand(Path::new(&here), std::slice::from_ref(spec)) {
            Ok(specs) => specs.iter().map(|spec| examine_hook(engine, spec)).collect(),
            Err(failure) => vec![Err(failure)],
        }
    };
    specs.iter().flat_map(one).collect()
}

fn examine_hook(engine: &Arc<hooks::Engine>, spec: &HookSpec) -> Result<HookFacts, Failure> {
    let inspection = hooks::inspect(&spec.file)?;
    Hooks::load(engine, std::slice::from_ref(spec))?;
    Ok(HookFacts { name: spec.name().to_owned(), phases: inspection.phases, needs: inspection.needs })
}

impl Site {
    /// Looks at the services that were named; without any, at those that are prepared for a swap or known to an nginx.
    async fn examine_services(
        &self,
        (known, wanted): (Vec<ServiceName>, &[ServiceName]),
        overrides: &Overrides,
        all: &[ContainerFacts],
        facts: &mut DoctorFacts,
    ) {
        let named = !wanted.is_empty();
        let examined = known.into_iter().filter(|name| !named || wanted.contains(name));
        let examined: Vec<(ServiceName, Settings)> =
            examined.map(|name| (name.clone(), overrides.over(self.settings(&name), None))).collect();
        let upstreams = examined.iter().map(|(name, settings)| settings.upstream(name).clone()).collect();
        let survey = Survey::new(self, all, upstreams);
        let each = examined.into_iter().map(|(name, settings)| self.examine_service(name, settings, named, &survey));
        for service in stream::iter(each).buffered(BESIDE).collect::<Vec<_>>().await {
            match service {
                Ok(service) => facts.services.push(*service),
                Err(name) => facts.passed_over.push(name),
            }
        }
    }

    /// Looks at the nginxes before a service; none where there is none, or none that answers. Then a plan says why.
    async fn look_at_nginxes(&self, name: &ServiceName, settings: &Settings, survey: &Survey<'_>) -> Vec<Sender> {
        let live = survey.running_of(name);
        let of_compose = self.project.services.get(name).cloned().unwrap_or_default();
        let receiver = Receiver { name, settings, of_compose: &of_compose, live: &live };
        self.senders(receiver, survey).await.fronts
    }

    /// Looks at each hook of a service by itself.
    async fn hook_facts(&self, specs: Vec<HookSpec>) -> Vec<Result<HookFacts, Failure>> {
        if specs.is_empty() {
            return Vec::new();
        }
        let facts = async {
            let engine = self.hook_engine().await?;
            apart(move || Ok(examine_hooks(&engine, &specs))).await
        };
        facts.await.unwrap_or_else(|failure| vec![Err(failure)])
    }

    /// Looks at a service. One that is not `named` is passed over where neither the compose file nor nginx says that it is
    /// swapped.
    async fn examine_service(
        &self,
        name: ServiceName,
        settings: Settings,
        named: bool,
        survey: &Survey<'_>,
    ) -> Result<Box<ServiceFacts>, ServiceName> {
        let nginxes = self.look_at_nginxes(&name, &settings, survey).await;
        if !named && settings == Settings::default() && !nginxes.iter().any(Sender::knows) {
            return Err(name);
        }
        let drain = settings.timeouts.drain;
        let of_compose = self.project.services.get(&name).cloned().unwrap_or_default();
        let container = survey.all.iter().find(|seen| seen.service == name.as_str());
        let restart = container.map(|seen| seen.restart.clone()).or(of_compose.restart);
        let (hooks, observed) = tokio::join!(
            self.hook_facts(settings.hooks.clone()),
            self.observe_service(name.clone(), settings.clone(), survey)
        );
        let mut observed = observed.map(|(observed, _)| observed).unwrap_or_else(|failure| ObservedService {
            settings,
            problems: vec![failure],
            ..ObservedService::empty(name.clone())
        });
        // Each hook is looked at by itself.
        observed.problems.retain(|problem| !hooks.iter().any(|hook| hook.as_ref().err() == Some(problem)));
        let unfinished = self.folder().unfinished(&name).unwrap_or_default();
        let unfinished = unfinished.into_iter().map(|recorded| recorded.run.to_string()).collect();
        let answers = self.answers(&observed, &nginxes).await;
        let nginxes = nginxes.iter().map(|sender| (sender.knows(), nginx_facts(sender, drain)));
        let is_told = |(knows, facts): &(bool, NginxFacts)| {
            *knows
                || !observed.fronts.is_empty()
                || facts.problems.iter().any(|problem| observed.problems.contains(problem))
        };
        let nginxes = nginxes.filter(is_told).map(|(_, facts)| facts).collect();
        Ok(Box::new(ServiceFacts { observed, asked: true, restart, nginxes, hooks, unfinished, answers }))
    }
}

fn nginx_facts(sender: &Sender, drain: std::time::Duration) -> NginxFacts {
    let Sender { choice, container, observation, reach, .. } = sender;
    let container = container.as_ref();
    let tuning = observation.tuning().and_then(|change| change.text);
    let tuned = tuning.is_some() || observation.folder.tuning.is_some();
    let mut facts = NginxFacts {
        proxy: match choice {
            ProxyChoice::Host => "on the host".to_owned(),
            choice => choice.to_string(),
        },
        restart: container.map(|seen| seen.restart.clone()),
        problems: sender.problems(),
        notices: observation.notices(drain, tuned).into_iter().chain(reach.warnings.clone()).collect(),
        ..NginxFacts::default()
    };
    if observation.folder_problem().is_none() {
        facts.folder = Some(observation.folder.path.clone());
    }
    if let Ok(configuration) = &observation.configuration {
        facts.version = Some(configuration.version.to_string());
        facts.include = configuration.include.as_ref().map(|include| (include.pattern.clone(), include.place.clone()));
        let passes = reach.passes.iter();
        facts.passes = passes.map(|pass| format!("`{} {}` at {}", pass.directive, pass.value, pass.place)).collect();
        // What has no upstream yet goes nowhere else than before.
        if facts.include.is_none() {
            facts.passes.clear();
        }
        let set = |name: &str| configuration.settings.get(name).cloned();
        for name in OURS {
            match set(name) {
                Some(value) => facts.settings.push((name.to_owned(), Setting::Theirs(value))),
                None if name == OURS[0] && !configuration.version.knows_keepalive_min_timeout() => {}
                None => facts.settings.push((name.to_owned(), Setting::Ours)),
            }
        }
        let shutdown = set("worker_shutdown_timeout").map_or(Setting::Absent, Setting::Theirs);
        facts.settings.push(("worker_shutdown_timeout".to_owned(), shutdown));
    }
    facts
}
