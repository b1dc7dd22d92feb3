//! Looking at everything that a proposal depends on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::found::{Found, Home, shown};
use super::proof;
use super::sources::{Origins, of_service};
use crate::compose::{self, Compose, ComposeFile, Project};
use crate::docker;
use crate::model::{Failure, ProxyChoice, ServiceName, Settings, list_services, unknown_service};
use crate::nginx::{self, DEFAULT_FOLDER, Names};
use crate::observe::senders::{Receiver, names};
use crate::observe::survey::Survey;
use crate::site::Site;
use crate::site::front::container_of;

/// What is asked, of whom.
pub(super) struct Asking<'a> {
    pub(super) compose: &'a Compose,
    pub(super) project: &'a Project,
    pub(super) service: &'a ServiceName,
    pub(super) settings: &'a Settings,
    pub(super) of_service: &'a compose::Service,
    pub(super) site: Option<&'a Site>,
    pub(super) all: &'a [docker::ContainerFacts],
}

/// What nginx says of itself.
#[derive(Default)]
struct Heard {
    /// What is to be in swap's own file of settings.
    tuning: Option<String>,
    /// Whether it could be asked for its version.
    asked: bool,
    /// All that it reads.
    dump: Option<String>,
}

impl<'a> Asking<'a> {
    fn live(&self) -> Vec<&'a docker::ContainerFacts> {
        self.all.iter().filter(|seen| seen.service == self.service.as_str() && seen.runs()).collect()
    }

    /// Reads the compose files, with those that they include.
    pub(super) fn compose_files(&self) -> Result<Vec<(PathBuf, ComposeFile)>, Failure> {
        let here = std::env::current_dir().unwrap_or_default();
        read_files(self.project.files.iter().map(|file| (here.join(file), file.display().to_string())).collect())
    }

    /// Finds the nginx before the service: the one that sends requests to it. Tells whether swap has a file for it there.
    pub(super) async fn home(&self, files: &[(PathBuf, ComposeFile)], again: &str) -> Result<(Home, bool), Failure> {
        let known: Vec<ServiceName> = self.project.services.keys().cloned().collect();
        let choice = match &self.settings.proxy {
            Some(ProxyChoice::Service(name)) if !known.contains(name) => {
                return Err(unknown_service(name.as_str(), &known));
            }
            Some(choice) => Some((choice.clone(), false)),
            None => self.sender().await,
        };
        let (choice, sent) = match choice {
            Some(found) => found,
            None => (ProxyChoice::Service(self.likely(files, again)?), false),
        };
        let home = match &choice {
            ProxyChoice::Service(name) => self.own_home(name, files),
            _ => self.foreign_home(choice, again).await?,
        };
        if is_generated(&home.origins) {
            return Err(self.generated(&home.origins.name, again));
        }
        Ok((home, sent))
    }

    /// Says that docker-gen writes the configuration of an nginx.
    fn generated(&self, nginx: &str, again: &str) -> Failure {
        Failure::new(format!(
            "`{nginx}` is an nginx-proxy: docker-gen in it writes nginx's configuration from what containers say of themselves \
             (`VIRTUAL_HOST`), and writes it anew whenever one starts or stops"
        ))
        .hint(format!(
            "let an nginx of your own stand before `{0}`, with `proxy_pass http://{0};`, and give that one `VIRTUAL_HOST` \
             instead of `{0}`; then `{again} --proxy NAME` prepares it",
            self.service
        ))
    }

    /// Returns the running nginx that sends requests to the service, and whether swap's file for it is there.
    async fn sender(&self) -> Option<(ProxyChoice, bool)> {
        let live = self.live();
        if live.is_empty() {
            return None;
        }
        let receiver =
            Receiver { name: self.service, settings: self.settings, of_compose: self.of_service, live: &live };
        let site = self.site?;
        let survey = Survey::new(site, self.all, vec![receiver.upstream().clone()]);
        // Of several, one that is not prepared.
        let mut fronts = site.senders(receiver, &survey).await.fronts;
        fronts.sort_by_key(|front| front.problems().is_empty());
        let front = fronts.into_iter().next()?;
        // Where a service runs in several containers, all of them are prepared by its files.
        let own = front.container.as_ref().filter(|seen| self.all.iter().any(|own| own.id == seen.id));
        let own = own.and_then(|seen| seen.service.parse().ok()).map(ProxyChoice::Service);
        front.knows().then_some((own.unwrap_or(front.choice), front.has_file))
    }

    /// Returns the service of the project that runs nginx, by what the files say.
    fn likely(&self, files: &[(PathBuf, ComposeFile)], again: &str) -> Result<ServiceName, Failure> {
        let service = self.service;
        let is_nginx = |text: &str| text.contains("nginx") || text.contains("openresty");
        let (mut looks, mut generated) = (Vec::new(), None);
        for (name, candidate) in self.project.services.iter().filter(|(name, _)| *name != service) {
            let origins = of_service(name.as_str(), candidate, &self.project.directory);
            let base = origins.build.as_ref().map(|(_, file)| file.base.as_str());
            let named = [Some(name.as_str()), candidate.image.as_deref(), base].into_iter().flatten().any(is_nginx);
            if !named && !origins.is_configured() {
                continue;
            }
            if named && is_generated(&origins) {
                generated.get_or_insert(name.to_string());
            }
            let home = self.own_home(name, files);
            let seen = origins.seen();
            let known = origins.files(&seen, None, |path| path.display().to_string());
            let names = self.names(&home, false);
            let used = nginx::propose(&known, &names, &origins.environment, DEFAULT_FOLDER).is_ok_and(|told| told.used);
            looks.push((name.clone(), used, origins.is_configured(), named));
        }
        // What only has the word in its name may be an exporter of nginx's numbers, or a maker of its files.
        let which = |is: fn(bool, bool, bool) -> bool| -> Vec<ServiceName> {
            let found = looks.iter().filter(|(_, used, configured, named)| is(*used, *configured, *named));
            found.map(|(name, ..)| name.clone()).collect()
        };
        let found = [
            which(|used, _, _| used),
            which(|_, configured, named| configured && named),
            which(|_, configured, _| configured),
            which(|_, _, named| named),
        ];
        let found = found.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
        if let (Some(nginx), false) = (&generated, looks.iter().any(|(_, used, ..)| *used)) {
            return Err(self.generated(nginx, again));
        }
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(Failure::new(format!("no service of the project looks like an nginx before `{service}`")).hint(
                format!(
                    "`{again} --proxy NAME` for the service that runs it, `PROJECT/SERVICE` or `container:NAME` for one \
                     elsewhere, `--proxy host` for an nginx on this machine; a worker needs nothing: `{} {service}`",
                    self.compose.swap_line()
                ),
            )),
            several => {
                let what = match looks.iter().any(|(_, used, ..)| *used) {
                    true => format!("several nginxes send requests to `{service}`"),
                    false => format!("several services look like an nginx, and no line of their files names `{service}`"),
                };
                Err(Failure::new(format!("{what} ({})", list_services(several)))
                    .hint(format!("`{again} --proxy {}`, or another of them", several[0])))
            }
        }
    }

    /// The home of an nginx of the project's own.
    fn own_home(&self, name: &ServiceName, files: &[(PathBuf, ComposeFile)]) -> Home {
        let service = self.project.services.get(name).cloned().unwrap_or_default();
        let container = self.all.iter().find(|seen| seen.service == name.as_str() && seen.runs()).cloned();
        let origins = of_service(name.as_str(), &service, &self.project.directory);
        let main: Vec<PathBuf> =
            self.project.files.iter().map(|file| std::env::current_dir().unwrap_or_default().join(file)).collect();
        // A file that is included has paths of its own.
        let owner = files.iter().find(|(_, file)| compose::has_service(&file.text, name));
        let base = match owner {
            Some((path, _)) if !main.contains(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
            _ => self.project.directory.clone(),
        };
        Home {
            choice: ProxyChoice::Service(name.clone()),
            on_machine: service.network_mode.as_deref() == Some("host"),
            origins,
            compose: Vec::new(),
            service: Some(name.clone()),
            base,
            tool: self.compose.command_line(&[]),
            runs: container.is_some(),
            nginx: None,
            container,
            image: self.site.map(|site| site.image_name(name)),
        }
    }

    /// The home of an nginx that is not the project's own.
    async fn foreign_home(&self, choice: ProxyChoice, again: &str) -> Result<Home, Failure> {
        let mut home = Home {
            choice: choice.clone(),
            origins: Origins { name: choice.to_string(), is_machine: true, ..Origins::default() },
            compose: Vec::new(),
            service: None,
            base: self.project.directory.clone(),
            tool: String::new(),
            runs: true,
            nginx: None,
            container: None,
            image: None,
            on_machine: true,
        };
        if choice == ProxyChoice::Host {
            return Ok(home);
        }
        let site = self.site.ok_or_else(|| {
            Failure::new(format!("`{choice}` is not of this project, and the engine that knows it can't be asked"))
                .hint(format!("start the engine, then run `{again}`"))
        })?;
        let Some(seen) = container_of(&site.docker, &self.project.name, &choice).await? else { return Ok(home) };
        let mounts = seen.mounts.iter().map(|mount| compose::Mount {
            kind: if mount.volume.is_some() { "volume" } else { "bind" }.to_owned(),
            source: Some(mount.volume.clone().unwrap_or_else(|| mount.source.clone())),
            target: mount.destination.clone(),
            read_only: !mount.writable,
        });
        home.origins.mounts = mounts.collect();
        home.origins.is_machine = false;
        home.origins.command = seen.command.clone();
        home.on_machine = seen.network_mode == "host";
        if let ProxyChoice::Project { service, project } = &choice {
            let label = |name: &str| seen.labels.get(&format!("com.docker.compose.project.{name}")).cloned();
            home.base = label("working_dir").map(PathBuf::from).unwrap_or_default();
            let paths = label("config_files").unwrap_or_default();
            let files: Vec<(PathBuf, String)> = paths
                .split(',')
                .filter(|path| !path.is_empty())
                .map(|path| (home.base.join(path), path.to_owned()))
                .collect();
            let named = files.iter().map(|(path, _)| format!(" -f {}", path.display())).collect::<String>();
            home.tool =
                format!("{} --project-directory {} -p {project}{named}", self.compose.bare_line(), home.base.display());
            home.compose = read_files(files)?;
            home.service = Some(service.clone());
        }
        home.container = Some(seen);
        Ok(home)
    }

    /// Returns by what the service is reached from an nginx.
    fn names(&self, home: &Home, sent: bool) -> Names {
        let live = self.live();
        let receiver =
            Receiver { name: self.service, settings: self.settings, of_compose: self.of_service, live: &live };
        let proxy = match &home.choice {
            ProxyChoice::Service(name) => self.project.services.get(name),
            _ => None,
        };
        let mut names = names(receiver, home.container.as_ref(), proxy, BTreeMap::new(), None);
        names.claimed = true;
        names.on_machine = home.on_machine;
        // What is published now counts where nothing runs that could be asked.
        let fixed = self.of_service.ports.iter().filter_map(|port| port.host);
        names.published.extend(fixed.map(|(first, _)| (first, format!("`{}`", self.service))));
        let foreign = matches!(home.choice, ProxyChoice::Project { .. } | ProxyChoice::Container(_));
        if foreign && self.settings.upstream.is_none() && !sent {
            // Projects that share an nginx share the folder, and each of them may have a service of this name.
            if let Ok(own) = format!("{}-{}", self.project.name, self.service).parse() {
                names.upstream = own;
            }
        }
        names
    }

    /// Asks nginx what it reads, and of which version it is; where it does not run, a copy of it.
    async fn hear(&self, site: &Site, home: &mut Home, upstream: &ServiceName, again: &str) -> Result<Heard, Failure> {
        let mut heard = Heard::default();
        if home.runs {
            match site.doors.observe(&site.docker, &home.choice, home.container.as_ref(), upstream).await {
                Ok(observation) => {
                    if let Ok(configuration) = &observation.configuration {
                        heard.asked = true;
                        heard.tuning = nginx::tuning_text(configuration.version, &configuration.settings);
                    }
                    heard.dump = site.doors.dump(&home.choice, &observation.nginx).await;
                    home.nginx = Some(observation.nginx);
                }
                Err(failure) if home.choice == ProxyChoice::Host => {
                    return Err(Failure {
                        hint: Some(format!(
                            "nginx's configuration is the machine's, so root may have to read it: `sudo {again}`"
                        )),
                        ..failure
                    });
                }
                Err(_) => {}
            }
        }
        if heard.dump.is_none() {
            heard.dump = proof::dump(site, self.project, home).await;
        }
        Ok(heard)
    }

    /// Looks at everything that a proposal depends on.
    pub(super) async fn found(
        &self,
        mut home: Home,
        compose: Vec<(PathBuf, ComposeFile)>,
        swap: String,
        again: String,
        sent: bool,
    ) -> Result<Found, Failure> {
        let names = self.names(&home, sent);
        let published: Vec<u16> = self.of_service.ports.iter().map(|port| port.target).collect();
        let live = self.live();
        let exposed = live
            .first()
            .map(|seen| seen.ports.iter().copied().filter(|port| !published.contains(port)).collect::<Vec<u16>>());
        let Heard { tuning, asked, dump } = match self.site {
            Some(site) => self.hear(site, &mut home, &names.upstream, &again).await?,
            None => Heard::default(),
        };
        let directory = self.project.directory.clone();
        let shown = |path: &Path| shown(path, &directory);
        let seen = home.origins.seen();
        let split = dump.as_deref().map(nginx::files_of).filter(|files| !files.is_empty());
        let files = home.origins.files(&seen, split.as_deref(), shown);
        let unheard = home.service.as_ref().filter(|_| split.is_none() && !home.runs);
        let fetch = unheard.map(|nginx| {
            let how = if home.origins.build.is_some() { "build" } else { "pull" };
            format!("{} {how} {nginx}", home.tool)
        });
        Ok(Found {
            fetch,
            service: self.service.clone(),
            settings: self.settings.clone(),
            of_service: self.of_service.clone(),
            exposed,
            home,
            project: self.project.name.clone(),
            tool: self.compose.command_line(&[]),
            swap,
            again,
            compose,
            files,
            seen,
            names,
            there: Vec::new(),
            tuning,
            asked,
            root: rustix::process::geteuid().is_root(),
            directory,
        })
    }
}

/// Tells whether docker-gen writes the configuration of an nginx, as nginx-proxy's images do.
fn is_generated(origins: &Origins) -> bool {
    origins.mounts.iter().any(|mount| mount.target.trim_end_matches('/') == "/tmp/docker.sock")
}

/// Reads compose files, and after each those that it includes.
pub(super) fn read_files(files: Vec<(PathBuf, String)>) -> Result<Vec<(PathBuf, ComposeFile)>, Failure> {
    let mut open: Vec<(PathBuf, String)> = files.into_iter().rev().collect();
    let mut read: Vec<(PathBuf, ComposeFile)> = Vec::new();
    while let Some((path, name)) = open.pop() {
        if read.iter().any(|(known, _)| *known == path) {
            continue;
        }
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::new(format!("reading the compose file `{name}`: {error}")))?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let beside = Path::new(&name).parent().map(Path::to_owned).unwrap_or_default();
        for included in compose::includes(&text).into_iter().rev() {
            open.push((folder.join(&included), beside.join(&included).display().to_string()));
        }
        read.push((path, ComposeFile { name, text }));
    }
    Ok(read)
}
