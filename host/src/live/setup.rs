//! `swap init`: what a project lacks so that a service can be swapped, as changes of its files.
//!
//! Looking at the files and writing them is here; what to change is decided by `compose` and `nginx` from texts alone, put
//! together by `proposal`, which is pure, and proved by [`proof`](super::proof) before it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::front::container_of;
use super::observe::fixed_ports;
use super::proof::{self, Proved};
use super::senders::{Receiver, names};
use super::site::Site;
use super::sources::{Origins, Seen, of_service};
use crate::compose::{self, Compose, ComposeFile, Options, Project, Tool, Wanted};
use crate::docker;
use crate::model::{Edit, Failure, FixedPort, ProxyChoice, ServiceName, Settings, list_services, unknown_service};
use crate::nginx::{self, ConfigFile, DEFAULT_FOLDER, Names, TUNING_FILE};
use crate::os;
use crate::text::printable;
use crate::ui::Display;

/// A file as it is and as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name for people, as the user would write it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its text; `None`: it is not there yet.
    pub before: Option<String>,
    /// Its text then.
    pub after: String,
}

/// What is proposed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The files to change, in the order in which they are to be written.
    pub changes: Vec<Change>,
    /// What people should know.
    pub notes: Vec<String>,
    /// What only people can do, and why.
    pub by_hand: Vec<Failure>,
    /// What to type afterwards.
    pub next: Vec<String>,
    /// The command that goes on where people were needed, as `swap -f prod.yml init app`.
    pub again: String,
}

/// The nginx before the service, and what it gets its files from.
#[derive(Debug, Clone)]
pub(super) struct Home {
    /// How a plan names it.
    pub choice: ProxyChoice,
    /// Where its files come from.
    pub origins: Origins,
    /// The compose files by which something can be mounted into it, and its service there; none for a container that compose did
    /// not make.
    pub compose: Vec<(PathBuf, ComposeFile)>,
    pub service: Option<ServiceName>,
    /// What paths in the file that has its service are relative to.
    pub base: PathBuf,
    /// The compose tool as it is called for it.
    pub tool: String,
    /// Whether it runs.
    pub runs: bool,
    /// Its running container.
    pub container: Option<docker::Seen>,
    /// Its master process, as it was seen.
    pub nginx: Option<nginx::Nginx>,
    /// Its image, where that is not a running container's.
    pub image: Option<String>,
    /// Whether it shares the network of the engine's machine.
    pub on_machine: bool,
}

/// Everything that a proposal depends on.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub service: ServiceName,
    /// With the command line's flags.
    pub settings: Settings,
    pub of_service: compose::Service,
    /// The ports that the running container exposes though nothing publishes them; `None`: it does not run.
    pub exposed: Option<Vec<u16>>,
    pub home: Home,
    /// The project's name and folder.
    pub project: String,
    pub directory: PathBuf,
    /// The compose tool as it is called here, as `docker compose -f prod.yml`.
    pub tool: String,
    /// swap as it is called here, as `swap -f prod.yml`.
    pub swap: String,
    /// This command with all that was given.
    pub again: String,
    /// The compose files with their places.
    pub compose: Vec<(PathBuf, ComposeFile)>,
    /// What nginx reads, the main file first.
    pub files: Vec<ConfigFile>,
    /// What brings the image of an nginx that could not be asked what it reads, as `docker compose build nginx`.
    pub fetch: Option<String>,
    pub seen: Vec<Seen>,
    /// By what nginx reaches the service.
    pub names: Names,
    /// Which files are there in swap's folder.
    pub there: Vec<String>,
    /// What is to be in swap's own file of settings; `None`: nothing, or nginx could not be asked.
    pub tuning: Option<String>,
    /// Whether nginx could be asked for its version.
    pub asked: bool,
    /// Whether nginx has a `sudo` before what root must do.
    pub root: bool,
}

/// Where swap's folder is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FolderPlace {
    /// Its path for nginx.
    pub inside: String,
    /// Its path here.
    pub here: PathBuf,
    /// What must be mounted for it, as `./nginx/swap:/etc/nginx/swap`.
    pub volume: Option<String>,
}

/// What was asked for, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    /// The flags of this command beside those of compose, as `--proxy nginx`.
    pub flags: Vec<String>,
}

/// Reads a project for [`prepare`].
pub async fn read(options: &Options) -> Result<(Compose, Project), Failure> {
    let compose = Compose::new(Tool::find()?, options.clone());
    let project = compose.read().await?;
    Ok((compose, project))
}

/// Looks at a project and returns what to change for a service, proved on a copy. Changes nothing.
///
/// `overridden` lays the command line's flags over the settings of the compose file.
///
/// # Errors
/// The project has no such service, or no nginx that could be found.
pub async fn prepare(
    compose: &Compose,
    project: &Project,
    service: &ServiceName,
    typed: &Typed,
    overridden: impl Fn(Settings) -> Result<Settings, Failure>,
    display: &Display,
) -> Result<Prepared, Failure> {
    let known: Vec<ServiceName> = project.services.keys().cloned().collect();
    let of_service = project.services.get(service).ok_or_else(|| unknown_service(service.as_str(), &known))?;
    let settings = overridden(of_service.settings.clone())?;
    let swap = compose.swap_line();
    if settings.no_proxy {
        return Err(Failure::new(format!(
            "`{service}` has `proxy: none`: a worker needs no nginx, and nothing to be added"
        ))
        .hint(format!("`{swap} {service}`")));
    }
    let (site, mut notes) = match Site::open(&compose.options, Some(service), display).await {
        Ok(site) => (Some(site), Vec::new()),
        Err(failure) => {
            let why = format!(
                "the engine could not be asked, so the ports of the image and the version of nginx are unknown, and nothing is \
                 proved ({})",
                failure.what
            );
            (None, vec![why])
        }
    };
    let all = match &site {
        Some(site) => site.docker.of_project(&project.name).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let asking = Asking { compose, project, service, settings: &settings, of_service, site: site.as_ref(), all: &all };
    let files = asking.compose_files()?;
    let flags = typed.flags.iter().map(|flag| format!(" {flag}")).collect::<String>();
    let again = format!("{swap} init {service}{flags}");
    let (home, sent) = asking.home(&files, &again).await?;
    let mut found = asking.found(home, files, swap, again, sent).await?;
    let folder = folder_place(
        &found,
        &nginx::propose(&found.files, &found.names, &found.home.origins.environment, DEFAULT_FOLDER)?,
    );
    let there = fs::read_dir(&folder.here).into_iter().flatten().flatten();
    found.there = there.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let mut proposal = proposal(&found)?;
    notes.append(&mut proposal.notes);
    let locked = locked(&proposal);
    if !locked.is_empty() {
        notes.push(format!("root must write {}: `sudo {} --write`", locked.join(", "), proposal.again));
    }
    proposal.notes = notes;
    let mut prepared = Prepared { proposal, found, folder, site };
    prepared.prove(compose, project).await;
    Ok(prepared)
}

/// A proposal, and what it needs to be written and proved.
pub struct Prepared {
    /// The proposal.
    pub proposal: Proposal,
    found: Found,
    folder: FolderPlace,
    site: Option<Site>,
}

impl Prepared {
    /// Proves the proposal on copies of the files. What is refused is left to people.
    async fn prove(&mut self, compose: &Compose, project: &Project) {
        let Some(site) = &self.site else { return };
        if self.proposal.changes.is_empty() || !self.proposal.by_hand.is_empty() {
            return;
        }
        let read = proof::compose_reads(compose, project, &self.found, &self.proposal).await;
        let tested = match &read {
            Proved::Refused(_) => Proved::Yes,
            _ => proof::nginx_accepts(site, project, &self.found, &self.proposal, &self.folder).await,
        };
        for proved in [read, tested] {
            match proved {
                Proved::Yes => {}
                Proved::Unknown(why) => self.proposal.notes.push(why),
                Proved::Refused(failures) => self.proposal.by_hand.extend(failures),
            }
        }
    }

    /// Writes the proposal, and lets compose and nginx read what was written. If one of them refuses it, everything is put back
    /// as it was.
    ///
    /// # Errors
    /// A file can't be written or is not as it was, or the new files are refused; then nothing is changed.
    pub async fn write(&self, compose: &Compose, project: &Project) -> Result<(), Vec<Failure>> {
        let locked = locked(&self.proposal);
        if !locked.is_empty() {
            let failure = Failure::new(format!("{} can't be written by this user", locked.join(", ")))
                .hint(format!("`sudo {} --write`", self.proposal.again));
            return Err(vec![failure]);
        }
        if let Err(failure) = write(&self.proposal) {
            return Err(vec![failure]);
        }
        let mut refused = Vec::new();
        if let Err(failure) = compose.read().await {
            refused.push(Failure { what: format!("compose refuses the new files: {}", failure.what), ..failure });
        }
        if let (Some(site), true) = (&self.site, refused.is_empty()) {
            // As they lie there now: nothing stands in their place.
            let written = Proposal { changes: Vec::new(), ..self.proposal.clone() };
            if let Proved::Refused(failures) =
                proof::nginx_accepts(site, project, &self.found, &written, &self.folder).await
            {
                refused = failures;
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let back = put_back(&self.proposal);
        let what = match &back {
            Ok(()) => "all files are as they were before".to_owned(),
            Err(failure) => failure.what.clone(),
        };
        refused.push(
            Failure::new(what).hint(format!("do what the lines above say, then run `{}` again", self.proposal.again)),
        );
        Err(refused)
    }
}

/// Returns the files that this user can't write.
fn locked(proposal: &Proposal) -> Vec<&str> {
    proposal.changes.iter().filter(|change| !can_write(change)).map(|change| change.name.as_str()).collect()
}

/// Tells whether a change can be made by this user.
fn can_write(change: &Change) -> bool {
    use rustix::fs::{Access, access};
    let there = change.path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let path = if change.before.is_some() { change.path.as_path() } else { there };
    access(path, Access::WRITE_OK).is_ok()
}

/// Puts everything back that [`write`] has written.
///
/// # Errors
/// A file can't be written; it is named.
fn put_back(proposal: &Proposal) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for Change { name, path, before, after } in proposal.changes.iter().rev() {
        let now = fs::read_to_string(path).ok();
        let result = match before {
            Some(before) if now.as_ref() != Some(before) => fs::write(path, before),
            None if now.as_ref() == Some(after) => {
                let removed = fs::remove_file(path);
                // The folders that were made for it; one that holds something else stays.
                let folders = path.ancestors().skip(1).take(2);
                folders.take_while(|folder| fs::remove_dir(folder).is_ok()).for_each(drop);
                removed
            }
            _ => Ok(()),
        };
        failed.extend(result.err().map(|error| format!("`{name}`: {error}")));
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("these could not be put back: {}", failed.join("; ")))),
    }
}

/// Writes what is proposed. A file that has changed since it was looked at is left, and so is all that comes after it.
///
/// # Errors
/// A file can't be written, or is not as it was; those before it are written, and a second `swap init` goes on there.
pub fn write(proposal: &Proposal) -> Result<(), Failure> {
    for Change { name, path, before, after } in &proposal.changes {
        let failed = |error: std::io::Error| {
            Failure::new(format!("writing `{name}`: {error}"))
                .hint("make it writable, then run `swap init` again: it goes on where it stopped")
        };
        match before {
            None => {
                os::write_new(path, after.as_bytes()).map_err(failed)?;
            }
            Some(before) => {
                let now = fs::read_to_string(path).map_err(failed)?;
                if now != *before {
                    return Err(Failure::new(format!(
                        "`{name}` has changed since it was read, so it is left as it is"
                    ))
                    .hint("run `swap init` again"));
                }
                // In place, because a single file that is mounted into a container must stay the same file; with a copy
                // beside it until that has succeeded.
                let copy = path.with_file_name(format!(
                    ".{}.before-swap-init",
                    path.file_name().unwrap_or_default().to_string_lossy()
                ));
                fs::copy(path, &copy).map_err(failed)?;
                let mut file = fs::OpenOptions::new().write(true).truncate(true).open(path).map_err(failed)?;
                file.write_all(after.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
                    let failure = failed(error);
                    Failure { what: format!("{}; its old text is in `{}`", failure.what, copy.display()), ..failure }
                })?;
                fs::remove_file(&copy).map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// Returns the changes as a unified diff.
pub fn diff(proposal: &Proposal) -> String {
    let mut text = String::new();
    for Change { name, before, after, .. } in &proposal.changes {
        let old = before.as_deref().unwrap_or_default();
        let from = if before.is_some() { name.as_str() } else { "/dev/null" };
        let diff = similar::TextDiff::from_lines(old, after);
        text += &diff.unified_diff().context_radius(3).header(from, name).to_string();
    }
    text
}

/// What is asked, of whom.
struct Asking<'a> {
    compose: &'a Compose,
    project: &'a Project,
    service: &'a ServiceName,
    settings: &'a Settings,
    of_service: &'a compose::Service,
    site: Option<&'a Site>,
    all: &'a [docker::Seen],
}

impl<'a> Asking<'a> {
    fn live(&self) -> Vec<&'a docker::Seen> {
        self.all.iter().filter(|seen| seen.service == self.service.as_str() && seen.runs()).collect()
    }

    /// Reads the compose files, with those that they include.
    fn compose_files(&self) -> Result<Vec<(PathBuf, ComposeFile)>, Failure> {
        let here = std::env::current_dir().unwrap_or_default();
        read_files(self.project.files.iter().map(|file| (here.join(file), file.display().to_string())).collect())
    }

    /// Finds the nginx before the service: the one that sends requests to it. Tells whether swap has a file for it there.
    async fn home(&self, files: &[(PathBuf, ComposeFile)], again: &str) -> Result<(Home, bool), Failure> {
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
        let front = self.site?.senders(receiver, self.all).await.front?;
        front.knows().then_some((front.choice, front.has_file))
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

    /// Looks at everything that a proposal depends on.
    async fn found(
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
        let (mut tuning, mut asked, mut dump) = (None, false, None);
        if let Some(site) = self.site {
            if home.runs {
                let observed =
                    site.doors.observe(&site.docker, &home.choice, home.container.as_ref(), &names.upstream).await;
                match observed {
                    Ok(observation) => {
                        if let Ok(configuration) = &observation.configuration {
                            asked = true;
                            tuning = nginx::tuning_text(configuration.version, &configuration.settings);
                        }
                        dump = site.doors.dump(&home.choice, &observation.nginx).await;
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
            if dump.is_none() {
                dump = proof::dump(site, self.project, &home).await;
            }
        }
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

/// Returns a path as the user would write it.
fn shown(path: &Path, directory: &Path) -> String {
    path.strip_prefix(directory).unwrap_or(path).display().to_string()
}

/// Reads compose files, and after each those that it includes.
fn read_files(files: Vec<(PathBuf, String)>) -> Result<Vec<(PathBuf, ComposeFile)>, Failure> {
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

/// Finds where swap's folder can be: what nginx reads already, what is mounted already, or a new mount.
pub(super) fn folder_place(found: &Found, configured: &nginx::Proposal) -> FolderPlace {
    let Home { origins, base, choice, .. } = &found.home;
    let foreign = !matches!(choice, ProxyChoice::Service(_));
    let mut inside = configured.folder.clone();
    if origins.is_machine {
        // Beside the main file, mostly `/etc/nginx/swap`.
        let beside =
            found.files.first().and_then(|file| Path::new(&file.path).parent()).filter(|_| !configured.included);
        inside = beside.map_or(inside, |folder| folder.join("swap").display().to_string());
        return FolderPlace { here: PathBuf::from(&inside), inside, volume: None };
    }
    if let Some((here, true)) = origins.folder(&inside) {
        return FolderPlace { inside, here, volume: None };
    }
    if foreign && !configured.included {
        // A folder that is mounted already costs no new container.
        let mounted = origins.mounts.iter().filter(|mount| mount.kind == "bind" && !mount.read_only);
        let folder = mounted.map(|mount| mount.target.trim_end_matches('/')).find(|target| {
            target.starts_with("/etc/nginx/") && origins.folder(target).is_some_and(|(here, _)| here.is_dir())
        });
        if let Some(folder) = folder {
            inside = format!("{folder}/swap");
            let here = origins.folder(&inside).map(|(here, _)| here).unwrap_or_default();
            return FolderPlace { inside, here, volume: None };
        }
    }
    // Within a mount that the container can't change, the folder must be there before something is mounted at it.
    let here = match origins.folder(&inside) {
        Some((here, _)) => here,
        None => base.join("nginx/swap"),
    };
    let source = match here.strip_prefix(base) {
        Ok(rest) => format!("./{}", rest.display()),
        Err(_) => here.display().to_string(),
    };
    FolderPlace { volume: Some(format!("{source}:{inside}")), inside, here }
}

/// Puts a proposal together. Pure.
fn proposal(found: &Found) -> Result<Proposal, Failure> {
    let Found { service, settings, of_service, home, names, .. } = found;
    let name = |path: &Path| shown(path, &found.directory);
    let environment = &home.origins.environment;
    let first_look = nginx::propose(&found.files, names, environment, DEFAULT_FOLDER)?;
    let folder = folder_place(found, &first_look);
    let configured = match folder.inside == first_look.folder {
        true => first_look,
        false => nginx::propose(&found.files, names, environment, &folder.inside)?,
    };
    let mut proposal = Proposal {
        notes: configured.notes,
        by_hand: configured.by_hand,
        again: found.again.clone(),
        ..Proposal::default()
    };
    for failure in &mut proposal.by_hand {
        failure.hint =
            failure.hint.take().map(|hint| hint.replace("`swap init` again", &format!("`{}` again", found.again)));
    }
    if !configured.used && proposal.by_hand.is_empty() {
        proposal.by_hand.push(unused(found));
    }
    let first = nginx::file_name(&names.upstream);
    let has_first = found.there.contains(&first);
    let (ports, published) = container_ports(found, configured.ports);
    let port = port(found, ports, configured.usual_port, has_first, &mut proposal.by_hand);
    let fixed = fixed_ports(of_service);
    let wanted = wanted(found, port, fixed.len(), &folder);
    let compose_files: Vec<ComposeFile> = found.compose.iter().map(|(_, file)| file.clone()).collect();
    let (compose_edits, by_hand) = compose::propose(&compose_files, &wanted);
    proposal.by_hand.extend(by_hand);
    for (index, (path, file)) in found.compose.iter().enumerate() {
        changed(&mut proposal, &file.name, path, &file.text, edits_of(&compose_edits, index));
    }
    mount_elsewhere(found, &folder, &mut proposal);
    let mut built = false;
    let mut templates = false;
    for (index, file) in found.files.iter().enumerate() {
        let edits = edits_of(&configured.edits, index);
        let origin = found.seen.iter().find(|seen| name(&seen.path) == file.name);
        let (path, text) = match (&file.source, origin) {
            (nginx::Source::Elsewhere(_), _) => continue,
            (nginx::Source::Template(text), Some(origin)) => (origin.path.clone(), text),
            (nginx::Source::Itself, Some(origin)) => (origin.path.clone(), &file.text),
            (_, None) => (PathBuf::from(&file.path), &file.text),
        };
        built |= !edits.is_empty() && origin.is_some_and(|origin| origin.built);
        templates |= !edits.is_empty() && matches!(file.source, nginx::Source::Template(_));
        changed(&mut proposal, &file.name, &path, text, edits);
    }
    let mut new = |file: &str, text: String| {
        let path = folder.here.join(file);
        proposal.changes.push(Change { name: name(&path), path, before: None, after: text });
    };
    if let Some(port) = port.filter(|_| !has_first) {
        let upstream = names.upstream.as_str();
        let text = match (published, home.on_machine) {
            (Some(published), true) => {
                let address = format!("127.0.0.1:{published}");
                nginx::first_file(upstream, &address, "by its published port", &configured.kept)
            }
            _ => {
                let host = configured.host.clone().filter(|_| !matches!(home.choice, ProxyChoice::Service(_)));
                let address = format!("{}:{port}", host.unwrap_or_else(|| service.to_string()));
                let how = format!("{service} by its DNS name");
                nginx::first_file(upstream, &address, &how, &configured.kept)
            }
        };
        new(&first, text);
    }
    if let Some(text) = found.tuning.clone().filter(|_| !found.there.iter().any(|file| file == TUNING_FILE)) {
        new(TUNING_FILE, text);
    }
    noted(found, &fixed, &wanted, &mut proposal);
    if !settings.no_proxy && !proposal.changes.is_empty() && proposal.by_hand.is_empty() {
        let anew = folder.volume.is_some() || built;
        proposal.next = next(found, anew, built, templates, wanted.unname || !fixed.is_empty());
    }
    Ok(proposal)
}

/// Turns published ports of the machine into the ports of the container; returns the first published one too.
fn container_ports(found: &Found, ports: BTreeSet<u16>) -> (BTreeSet<u16>, Option<u16>) {
    if !found.home.on_machine {
        return (ports, None);
    }
    let mut published = None;
    let target = |port: u16| {
        let of = found.of_service.ports.iter().find(|of| of.host.is_some_and(|(first, _)| first == port));
        if of.is_some() {
            published.get_or_insert(port);
        }
        of.map_or(port, |of| of.target)
    };
    (ports.into_iter().map(target).collect(), published)
}

/// Decides by which port nginx reaches the service.
fn port(
    found: &Found,
    mut ports: BTreeSet<u16>,
    usual: Option<u16>,
    has_first: bool,
    by_hand: &mut Vec<Failure>,
) -> Option<u16> {
    let Found { service, settings, of_service, .. } = found;
    ports.extend(settings.port);
    if !has_first && settings.port.is_none() {
        // With the file in place, a name without a port means swap's upstream.
        ports.extend(usual);
    }
    let port = match ports.iter().copied().collect::<Vec<_>>()[..] {
        [port] => Some(port),
        [] => [&of_service.expose[..], found.exposed.as_deref().unwrap_or_default()]
            .into_iter()
            .find_map(|exposed| if let [port] = exposed { Some(*port) } else { None }),
        _ => {
            let list: Vec<String> = ports.iter().map(u16::to_string).collect();
            by_hand.push(
                Failure::new(format!(
                    "nginx talks to several ports of `{service}` ({}), and swap's upstream has one",
                    list.join(", ")
                ))
                .hint("let all lines use one port, or make a service of its own of the other"),
            );
            None
        }
    };
    if port.is_none() && !has_first && by_hand.is_empty() {
        by_hand.push(
            Failure::new(format!("nothing tells by which port nginx reaches `{service}`"))
                .hint(format!("`{} --port 8000`", found.again)),
        );
    }
    port
}

/// Returns what the compose file shall say.
fn wanted(found: &Found, port: Option<u16>, fixed_ports: usize, folder: &FolderPlace) -> Wanted {
    let Found { service, of_service, home, names, .. } = found;
    let exposed = {
        let mut exposed: Vec<u16> = of_service.expose.iter().chain(found.exposed.iter().flatten()).copied().collect();
        exposed.sort_unstable();
        exposed.dedup();
        exposed
    };
    let known = of_service.settings.port.is_some() || port.is_some_and(|port| exposed == [port]);
    let mut settings = Vec::new();
    let own = matches!(home.choice, ProxyChoice::Service(_));
    if of_service.settings.proxy.is_none() && (!own || found.settings.proxy.is_some()) {
        settings.push(("proxy".to_owned(), home.choice.setting()));
    }
    if of_service.settings.upstream.is_none() && names.upstream != *service {
        settings.push(("upstream".to_owned(), names.upstream.to_string()));
    }
    let container_name = of_service.container_name.clone();
    let alias = container_name
        .clone()
        .filter(|name| *name != service.as_str() && of_service.network_mode.is_none())
        .filter(|name| !of_service.aliases.contains(name));
    let volume = own.then(|| home.service.clone().zip(folder.volume.clone())).flatten();
    let usual = format!("{}_default", found.project);
    Wanted {
        service: service.clone(),
        port: port.filter(|_| !known),
        settings,
        exposes: !exposed.is_empty(),
        unname: container_name.is_some(),
        alias,
        has_networks: of_service.networks != [usual] && !of_service.networks.is_empty(),
        fixed_ports,
        volume,
        has_volumes: !home.origins.mounts.is_empty(),
        again: found.again.clone(),
    }
}

/// Mounts swap's folder into an nginx that is not this project's.
fn mount_elsewhere(found: &Found, folder: &FolderPlace, proposal: &mut Proposal) {
    let home = &found.home;
    let Some(volume) = folder.volume.as_ref().filter(|_| !matches!(home.choice, ProxyChoice::Service(_))) else {
        return;
    };
    let Some(service) = &home.service else {
        let container = home.choice.to_string();
        let source = folder.here.display();
        proposal.by_hand.push(
            Failure::new(format!(
                "nothing can be mounted into {container}, which compose did not make, and no folder of its configuration is mounted \
                 writable"
            ))
            .hint(format!(
                "make it anew as it was made, with `-v {source}:{}` beside what it has, then run `{}` again",
                folder.inside, found.again
            )),
        );
        return;
    };
    let files: Vec<ComposeFile> = home.compose.iter().map(|(_, file)| file.clone()).collect();
    let wanted = Wanted {
        service: service.clone(),
        port: None,
        settings: Vec::new(),
        exposes: true,
        unname: false,
        alias: None,
        has_networks: false,
        fixed_ports: 0,
        volume: Some((service.clone(), volume.clone())),
        has_volumes: !home.origins.mounts.is_empty(),
        again: found.again.clone(),
    };
    let (edits, by_hand) = compose::propose(&files, &wanted);
    proposal.by_hand.extend(by_hand);
    for (index, (path, file)) in home.compose.iter().enumerate() {
        changed(proposal, &shown(path, &found.directory), path, &file.text, edits_of(&edits, index));
    }
}

/// Adds what people should know of the changes.
fn noted(found: &Found, fixed: &[FixedPort], wanted: &Wanted, proposal: &mut Proposal) {
    let Found { service, home, .. } = found;
    if let Some(container) = &found.of_service.container_name {
        let others = match &wanted.alias {
            Some(alias) => format!("others reach it as `{service}`, and by its alias as `{alias}`"),
            None => format!("others reach it as `{service}`"),
        };
        proposal.notes.push(format!(
            "`container_name: {container}` becomes a comment: two containers can't share a name; {others}"
        ));
    }
    for port in fixed {
        let how = if home.on_machine { "nginx reaches it by its address" } else { "users come through nginx" };
        proposal.notes.push(format!("`{port}` is not published any more: two containers can't share a port; {how}"));
    }
    if !found.asked && !proposal.changes.is_empty() {
        proposal.notes.push(
            "nginx does not run or could not be asked, so its settings for reloads are left to the first swap, in which \
             clients with keep-alive connections may lose a request"
                .to_owned(),
        );
    }
}

/// Returns what to type after the changes are written, in an order in which the site answers all the time but where it says so.
fn next(found: &Found, anew: bool, built: bool, templates: bool, other: bool) -> Vec<String> {
    let Found { service, home, swap, .. } = found;
    let mut next = Vec::new();
    let swapped = format!("{swap} {service}");
    let sudo = if found.root { "" } else { "sudo " };
    let once = |name: &str| format!("(makes `{name}` anew: a moment without answers, this once)");
    match (&home.choice, &home.service) {
        (ProxyChoice::Host, _) => {
            let called = home.nginx.as_ref().filter(|nginx| !nginx.arguments.is_empty()).map(nginx::Nginx::line);
            let called = called.unwrap_or_else(|| "nginx".to_owned());
            next.push(format!("{sudo}{called} -s reload      (what serves now goes on)"));
        }
        (ProxyChoice::Container(name), _) => next.push(format!("docker exec {name} nginx -s reload")),
        (choice, Some(nginx)) => {
            let tool = if matches!(choice, ProxyChoice::Service(_)) { &found.tool } else { &home.tool };
            next.extend(built.then(|| format!("{tool} build {nginx}")));
            let foreign = !matches!(choice, ProxyChoice::Service(_));
            next.push(match (anew, home.runs) {
                // What runs of the service is replaced by the swap, not by compose, which would stop it first.
                (true, true) if other || foreign => format!("{tool} up -d --no-deps {nginx}      {}", once(nginx.as_str())),
                (true, _) | (false, false) => format!("{tool} up -d      {}", once(nginx.as_str())),
                (false, true) if templates => format!("{tool} restart {nginx}      (it makes its files of templates at its start: a moment without answers, this once)"),
                // Without a terminal too, as in a script.
                (false, true) => format!("{tool} exec -T {nginx} nginx -s reload"),
            });
        }
        (_, None) => {}
    }
    next.push(match other && home.runs {
        true => {
            format!("{swapped}      (without `{} up` before: what runs serves until nginx has left it)", found.tool)
        }
        false => swapped,
    });
    next
}

fn edits_of(edits: &[(usize, Edit)], file: usize) -> Vec<Edit> {
    edits.iter().filter(|(at, _)| *at == file).map(|(_, edit)| edit.clone()).collect()
}

fn changed(proposal: &mut Proposal, name: &str, path: &Path, text: &str, edits: Vec<Edit>) {
    if edits.is_empty() {
        return;
    }
    proposal.changes.push(Change {
        name: name.to_owned(),
        path: path.to_owned(),
        before: Some(text.to_owned()),
        after: Edit::apply(text, &edits),
    });
}

/// Says why no line that sends requests to the service could be found: what was read, and what nginx reads that is not here.
fn unused(found: &Found) -> Failure {
    let Found { service, home, names, .. } = found;
    let upstream = &names.upstream;
    let include = format!("`include {DEFAULT_FOLDER}/*.conf;` into the `http` block");
    let pass = format!(
        "`proxy_pass http://{upstream};` (or `fastcgi_pass {upstream};`, `uwsgi_pass {upstream};`, `grpc_pass \
         grpc://{upstream};`) where it is used"
    );
    let here: Vec<&ConfigFile> =
        found.files.iter().filter(|file| !matches!(file.source, nginx::Source::Elsewhere(_))).collect();
    let elsewhere: Vec<String> = found
        .files
        .iter()
        .filter_map(|file| match &file.source {
            nginx::Source::Elsewhere(why) => Some(format!("{}: {why}", file.name)),
            _ => None,
        })
        .collect();
    let nginx = &home.origins.name;
    let others: Vec<String> = nginx::configuration(&found.files, names)
        .map(|configuration| {
            configuration.ways.ways.iter().map(|way| format!("{} {}", way.directive, way.value)).collect()
        })
        .unwrap_or_default();
    let known = found.names.names.keys().cloned().collect::<Vec<_>>().join("`, `");
    let is_read = |seen: &&Seen| found.files.iter().any(|file| file.path == seen.inside);
    let is_made_of = |seen: &&Seen| found.files.iter().any(|file| file.name == shown(&seen.path, &found.directory));
    let unread =
        found.seen.iter().filter(|seen| !is_read(seen) && !is_made_of(seen) && !seen.inside.contains("/swap/"));
    let unread = unread.take(12).map(|seen| {
        format!("nginx does not read {}, which is `{}` there", shown(&seen.path, &found.directory), seen.inside)
    });
    let tail: Vec<String> = elsewhere
        .into_iter()
        .chain(unread)
        .chain(others.into_iter().take(12).map(|way| format!("it sends requests by `{}`", printable(&way))))
        .collect();
    let first = match &found.fetch {
        Some(fetch) => format!(
            "nginx itself could not be asked what it reads; `{fetch}` lets it be asked: run `{}` again then; or ",
            found.again
        ),
        None => String::new(),
    };
    if here.is_empty() {
        return Failure::new(format!(
            "the configuration of `{nginx}` is not here: no file below `/etc/nginx` is mounted from this machine or copied by a \
             Dockerfile here, so none can be edited"
        ))
        .tail(tail)
        .hint(format!(
            "{first}where it comes from write {include} and {pass}; build the image again if it is in one; then `{} doctor {service}` \
             tells what is left",
            found.swap
        ));
    }
    let read: Vec<&str> = here.iter().map(|file| file.name.as_str()).collect();
    Failure::new(format!("no line of {} sends requests to `{service}` (by `{known}`)", read.join(", ")))
        .tail(tail)
        .hint(format!(
            "{first}write {pass}, then run `{}` again; a service without a proxy needs nothing of this: `{} {service}`",
            found.again, found.swap
        ))
}

#[cfg(test)]
#[path = "setup/tests.rs"]
mod tests;
