//! `swap init`: what a project lacks so that a service can be swapped, as changes of its files.
//!
//! Looking at the files and writing them is here; what to change is decided by `compose` and `nginx` from texts alone, and
//! put together by `proposal`, which is pure.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::site::Site;
use crate::compose::{self, Compose, ComposeFile, Dockerfile, Options, Project, Tool, Wanted};
use crate::docker;
use crate::model::{Edit, Failure, ProxyChoice, ServiceName, Settings, list_services, unknown_service};
use crate::nginx::{self, ConfigFile, DEFAULT_FOLDER, TUNING_FILE};
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
}

/// A file of this machine that nginx's container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Its path in the container.
    inside: String,
    /// Its path here.
    path: PathBuf,
    text: String,
    /// Whether it is copied into the image, so that a change needs a new one.
    built: bool,
}

/// Everything that a proposal depends on.
#[derive(Debug, Clone)]
struct Found {
    service: ServiceName,
    settings: Settings,
    of_service: compose::Service,
    /// The ports that the running container exposes though nothing publishes them; `None`: it does not run.
    exposed: Option<Vec<u16>>,
    proxy: ServiceName,
    of_proxy: compose::Service,
    /// The project's folder.
    directory: PathBuf,
    /// The compose tool as it is called here, as `docker compose -f prod.yml`.
    tool: String,
    /// The compose files with their places.
    compose: Vec<(PathBuf, ComposeFile)>,
    seen: Vec<Seen>,
    /// Where swap's folder is mounted from, if it is.
    swap_folder: Option<PathBuf>,
    /// Which files are there in swap's folder.
    there: Vec<String>,
    /// What is to be in swap's own file of settings; `None`: nothing, or nginx could not be asked.
    tuning: Option<String>,
    /// Whether nginx could be asked for its version.
    asked: bool,
}

/// More files than this below nginx's mounts, or longer ones, are not configuration.
const MOST_FILES: usize = 500;
const LONGEST: u64 = 1 << 20;

/// Where nginx's configuration is in a container, and the folders that its images have there.
const ETC: &str = "/etc/nginx";
const FOLDERS: [&str; 7] = [
    ETC,
    "/etc/nginx/conf.d",
    "/etc/nginx/templates",
    "/etc/nginx/http.d",
    "/etc/nginx/snippets",
    "/etc/nginx/sites-available",
    "/etc/nginx/sites-enabled",
];

/// Reads a project for [`prepare`].
pub async fn read(options: &Options) -> Result<(Compose, Project), Failure> {
    let compose = Compose::new(Tool::find()?, options.clone());
    let project = compose.read().await?;
    Ok((compose, project))
}

/// Looks at a project and returns what to change for a service. Changes nothing.
///
/// `overridden` lays the command line's flags over the settings of the compose file.
///
/// # Errors
/// The project has no such service, or no nginx that could be found.
pub async fn prepare(
    compose: &Compose,
    project: &Project,
    service: &ServiceName,
    overridden: impl Fn(Settings) -> Result<Settings, Failure>,
    display: &Display,
) -> Result<Proposal, Failure> {
    let known: Vec<ServiceName> = project.services.keys().cloned().collect();
    let of_service = project.services.get(service).ok_or_else(|| unknown_service(service.as_str(), &known))?;
    let settings = overridden(of_service.settings.clone())?;
    match &settings.proxy {
        Some(ProxyChoice::Host) => return Ok(on_the_host(service)),
        Some(choice @ (ProxyChoice::Project { .. } | ProxyChoice::Container(_))) => {
            return Err(Failure::new(format!("`{choice}` is not of this project, so its files are not known here"))
                .hint("`swap doctor` tells what that nginx lacks"));
        }
        _ => {}
    }
    if settings.no_proxy {
        return Err(Failure::new(format!(
            "`{service}` has `proxy: none`: a worker needs no nginx, and nothing to be added"
        ))
        .hint(format!("`swap {service}`")));
    }
    let proxy = proxy(project, service, &settings)?;
    let of_proxy = project.services[&proxy].clone();
    let here = std::env::current_dir().unwrap_or_default();
    let mut files = Vec::new();
    for file in &project.files {
        let path = here.join(file);
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::new(format!("reading the compose file `{}`: {error}", file.display())))?;
        files.push((path, ComposeFile { name: file.display().to_string(), text }));
    }
    let swap_folder = source(&of_proxy, &project.directory, DEFAULT_FOLDER);
    let folder = swap_folder.clone().unwrap_or_else(|| project.directory.join("nginx/swap"));
    let there = fs::read_dir(&folder).into_iter().flatten().flatten();
    let there = there.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let mut found = Found {
        service: service.clone(),
        settings,
        of_service: of_service.clone(),
        exposed: None,
        seen: seen(&of_proxy, &project.directory),
        proxy,
        of_proxy,
        directory: project.directory.clone(),
        tool: compose.command_line(&[]),
        compose: files,
        swap_folder,
        there,
        tuning: None,
        asked: false,
    };
    let mut proposal_notes = Vec::new();
    match Site::open(&compose.options, Some(service), display).await {
        Ok(site) => site.ask(&mut found).await,
        Err(failure) => proposal_notes.push(format!(
            "the engine could not be asked, so the ports of the image and the version of nginx are unknown ({})",
            failure.what
        )),
    }
    let mut proposal = proposal(&found);
    proposal.notes.splice(0..0, proposal_notes);
    Ok(proposal)
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
                fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
                let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
                file.write_all(after.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
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

/// What to do where nginx's files are the machine's own, which swap never edits.
fn on_the_host(service: &ServiceName) -> Proposal {
    let by_hand = Failure::new("nginx runs on the host, and its configuration belongs to the machine, not to this project")
        .hint(format!(
            "`mkdir -p {DEFAULT_FOLDER}`; write `include {DEFAULT_FOLDER}/*.conf;` into `http`, `upstream {service} {{ server \
             ADDRESS:PORT; }}` into `{DEFAULT_FOLDER}/{service}.conf`, and `proxy_pass http://{service};` where it is used"
        ));
    Proposal { by_hand: vec![by_hand], ..Proposal::default() }
}

/// Finds the service that runs nginx by what the compose file says.
fn proxy(project: &Project, service: &ServiceName, settings: &Settings) -> Result<ServiceName, Failure> {
    if let Some(ProxyChoice::Service(name)) = &settings.proxy {
        let known: Vec<ServiceName> = project.services.keys().cloned().collect();
        return if known.contains(name) { Ok(name.clone()) } else { Err(unknown_service(name.as_str(), &known)) };
    }
    let is_nginx = |text: &str| text.contains("nginx") || text.contains("openresty");
    let looks = |(name, candidate): (&ServiceName, &compose::Service)| {
        let file = dockerfile(candidate);
        let copied = file.as_ref().is_some_and(|file| file.copies.iter().any(|(_, to)| to.starts_with(ETC)));
        let configured = copied || candidate.volumes.iter().any(|mount| mount.target.starts_with(ETC));
        let base = file.as_ref().map(|file| file.base.as_str());
        let named = [Some(name.as_str()), candidate.image.as_deref(), base].into_iter().flatten().any(is_nginx);
        (name.clone(), configured, named)
    };
    let others: Vec<_> = project.services.iter().filter(|(name, _)| *name != service).map(looks).collect();
    // What only has the word in its name may be an exporter of nginx's numbers, or a maker of its files.
    let which = |is: fn(bool, bool) -> bool| -> Vec<ServiceName> {
        let found = others.iter().filter(|(_, configured, named)| is(*configured, *named));
        found.map(|(name, ..)| name.clone()).collect()
    };
    let found =
        [which(|configured, named| configured && named), which(|configured, _| configured), which(|_, named| named)];
    let found = found.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(format!("no service of the project looks like an nginx before `{service}`")).hint(format!(
            "`swap init {service} --proxy NAME` for the service that runs it, `--proxy host` for an nginx on this machine; \
             a worker needs nothing: `swap {service}`"
        ))),
        several => Err(Failure::new(format!("several services look like an nginx ({})", list_services(several)))
            .hint(format!("`swap init {service} --proxy {}`", several[0]))),
    }
}

/// Returns where a path of a container comes from on this machine, if it is bound from there and can be written.
fn source(service: &compose::Service, directory: &Path, inside: &str) -> Option<PathBuf> {
    let binds = service.volumes.iter().filter(|mount| mount.kind == "bind" && !mount.read_only);
    let below = |mount: &&compose::Mount| {
        let target = mount.target.trim_end_matches('/');
        inside == target || inside.starts_with(&format!("{target}/"))
    };
    let mount = binds.filter(below).max_by_key(|mount| mount.target.len())?;
    let rest = inside[mount.target.trim_end_matches('/').len()..].trim_start_matches('/');
    Some(directory.join(mount.source.as_deref()?).join(rest))
}

/// Reads the Dockerfile of a service that is built here.
fn dockerfile(service: &compose::Service) -> Option<Dockerfile> {
    let build = service.build.as_ref()?;
    fs::read_to_string(build.context.join(&build.dockerfile)).ok().map(|text| compose::parse_dockerfile(&text))
}

/// Reads the files of this machine that nginx's container sees below `/etc/nginx`.
fn seen(proxy: &compose::Service, directory: &Path) -> Vec<Seen> {
    let mut found: BTreeMap<String, Seen> = BTreeMap::new();
    let copies = dockerfile(proxy).map(|file| file.copies).unwrap_or_default();
    for (source, to) in &copies {
        let Some(path) = proxy.build.as_ref().map(|build| build.context.join(source)) else { continue };
        let folder = to.trim_end_matches('/');
        // A folder's files go into the folder that is named; a file goes there too, if that is known to be a folder.
        let into = path.is_dir() || to.ends_with('/') || FOLDERS.contains(&folder);
        let inside = match path.file_name() {
            Some(name) if into && !path.is_dir() => format!("{folder}/{}", name.to_string_lossy()),
            _ => folder.to_owned(),
        };
        read_below(&mut found, inside, path, true);
    }
    let mut binds: Vec<&compose::Mount> = proxy.volumes.iter().filter(|mount| mount.kind == "bind").collect();
    // What is mounted deeper covers what lies there.
    binds.sort_by_key(|mount| mount.target.len());
    for mount in binds {
        let target = mount.target.trim_end_matches('/');
        let Some(source) = mount.source.as_deref().map(|source| directory.join(source)) else { continue };
        found.retain(|inside, file| !(file.built && inside.starts_with(&format!("{target}/"))));
        read_below(&mut found, target.to_owned(), source, false);
    }
    found.into_values().collect()
}

/// Reads a file, or all files below a folder, if they are below `/etc/nginx` in the container.
fn read_below(found: &mut BTreeMap<String, Seen>, inside: String, path: PathBuf, built: bool) {
    if inside != ETC && !inside.starts_with(&format!("{ETC}/")) {
        return;
    }
    let mut open = vec![(inside, path)];
    while let Some((inside, path)) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            open.extend(
                entries.map(|entry| (format!("{inside}/{}", entry.file_name().to_string_lossy()), entry.path())),
            );
        } else if fs::metadata(&path).is_ok_and(|data| data.len() <= LONGEST)
            && found.len() < MOST_FILES
            && let Ok(text) = fs::read_to_string(&path)
        {
            found.insert(inside.clone(), Seen { inside, path, text, built });
        }
    }
}

impl Site {
    /// Asks the engine and nginx what the files do not tell.
    async fn ask(&self, found: &mut Found) {
        let all = self.docker.of_project(&self.project.name).await.unwrap_or_default();
        let running = |name: &ServiceName| all.iter().find(|seen| seen.service == name.as_str() && seen.runs());
        let published: Vec<u16> = found.of_service.ports.iter().map(|port| port.target).collect();
        found.exposed = running(&found.service)
            .map(|seen: &docker::Seen| seen.ports.iter().copied().filter(|port| !published.contains(port)).collect());
        let Some(nginx) = running(&found.proxy) else { return };
        let choice = ProxyChoice::Service(found.proxy.clone());
        let observation = self.doors.observe(&self.docker, &choice, Some(nginx), &found.service).await;
        if let Ok(observation) = observation
            && let Ok(configuration) = &observation.configuration
        {
            found.asked = true;
            found.tuning = nginx::tuning_text(configuration.version, &configuration.settings);
        }
    }
}

/// Puts a proposal together. Pure.
fn proposal(found: &Found) -> Proposal {
    let Found { service, settings, of_service, tool, .. } = found;
    let name = |path: &Path| path.strip_prefix(&found.directory).unwrap_or(path).display().to_string();
    let files: Vec<ConfigFile> = found
        .seen
        .iter()
        .map(|file| ConfigFile { path: file.inside.clone(), name: name(&file.path), text: file.text.clone() })
        .collect();
    let names: Vec<String> = std::iter::once(service.to_string()).chain(of_service.container_name.clone()).collect();
    let configured = nginx::propose(&files, service, &names, DEFAULT_FOLDER);
    let mut proposal = Proposal { notes: configured.notes, by_hand: configured.by_hand, ..Proposal::default() };
    if !configured.used && proposal.by_hand.is_empty() {
        proposal.by_hand.push(unused(found, &files));
    }
    let first = format!("{service}.conf");
    let has_first = found.there.contains(&first);
    let mut ports = configured.ports;
    ports.extend(settings.port);
    if !has_first && settings.port.is_none() {
        // With the file in place, a name without a port means swap's upstream.
        ports.extend(configured.usual_port);
    }
    let port = match ports.iter().copied().collect::<Vec<_>>()[..] {
        [port] => Some(port),
        [] => [&of_service.expose[..], found.exposed.as_deref().unwrap_or_default()]
            .into_iter()
            .find_map(|exposed| if let [port] = exposed { Some(*port) } else { None }),
        _ => {
            let list: Vec<String> = ports.iter().map(u16::to_string).collect();
            proposal.by_hand.push(
                Failure::new(format!(
                    "nginx talks to several ports of `{service}` ({}), and swap's upstream has one",
                    list.join(", ")
                ))
                .hint("let all lines use one port, or make a service of its own of the other"),
            );
            None
        }
    };
    if port.is_none() && !has_first && proposal.by_hand.is_empty() {
        proposal.by_hand.push(
            Failure::new(format!("nothing tells by which port nginx reaches `{service}`"))
                .hint(format!("`swap init {service} --port 8000`")),
        );
    }
    let exposed = {
        let mut exposed: Vec<u16> = of_service.expose.iter().chain(found.exposed.iter().flatten()).copied().collect();
        exposed.sort_unstable();
        exposed.dedup();
        exposed
    };
    let known = of_service.settings.port.is_some() || port.is_some_and(|port| exposed == [port]);
    let fixed = super::observe::fixed_ports(of_service);
    let host_folder = found.swap_folder.clone().unwrap_or_else(|| found.directory.join("nginx/swap"));
    let wanted = Wanted {
        service: service.clone(),
        port: port.filter(|_| !known),
        exposes: !exposed.is_empty(),
        unname: of_service.container_name.is_some(),
        fixed_ports: fixed.len(),
        volume: found.swap_folder.is_none().then(|| (found.proxy.clone(), format!("./nginx/swap:{DEFAULT_FOLDER}"))),
        has_volumes: !found.of_proxy.volumes.is_empty(),
    };
    let compose_files: Vec<ComposeFile> = found.compose.iter().map(|(_, file)| file.clone()).collect();
    let (compose_edits, by_hand) = compose::propose(&compose_files, &wanted);
    proposal.by_hand.extend(by_hand);
    for (index, (path, file)) in found.compose.iter().enumerate() {
        changed(&mut proposal, &file.name, path, &file.text, edits_of(&compose_edits, index));
    }
    let mut recreated = !proposal.changes.is_empty();
    let mut rebuilt = false;
    for (index, file) in found.seen.iter().enumerate() {
        rebuilt |= file.built && configured.edits.iter().any(|(at, _)| *at == index);
        changed(&mut proposal, &files[index].name, &file.path, &file.text, edits_of(&configured.edits, index));
    }
    let mut new = |file: &str, text: String| {
        let path = host_folder.join(file);
        proposal.changes.push(Change { name: name(&path), path, before: None, after: text });
    };
    if let Some(port) = port.filter(|_| !has_first) {
        new(&first, nginx::first_file(service, service, port));
    }
    if let Some(text) = found.tuning.clone().filter(|_| !found.there.iter().any(|file| file == TUNING_FILE)) {
        new(TUNING_FILE, text);
    }
    if let Some(container) = of_service.container_name.as_ref() {
        proposal.notes.push(format!(
            "`container_name: {container}` becomes a comment: two containers can't share a name; others reach it as `{service}`"
        ));
    }
    for port in fixed {
        proposal.notes.push(format!(
            "`{port}` is not published any more: two containers can't share a port; users come through nginx"
        ));
    }
    if !found.asked && !proposal.changes.is_empty() {
        proposal.notes.push(
            "nginx does not run or could not be asked, so its settings for reloads are left to the first swap, in which \
             clients with keep-alive connections may lose a request"
                .to_owned(),
        );
    }
    recreated |= rebuilt;
    if !proposal.changes.is_empty() && proposal.by_hand.is_empty() {
        proposal.next.extend(rebuilt.then(|| format!("{tool} build {}", found.proxy)));
        proposal.next.extend([
            match recreated {
                true => {
                    format!("{tool} up -d      (makes `{}` anew: a moment without answers, this once)", found.proxy)
                }
                // Without a terminal too, as in a script.
                false => format!("{tool} exec -T {} nginx -s reload", found.proxy),
            },
            format!("swap {service}"),
        ]);
    }
    proposal
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

/// Says why no line that sends requests to the service could be found.
fn unused(found: &Found, files: &[ConfigFile]) -> Failure {
    let Found { service, proxy, .. } = found;
    let lines = format!(
        "write `include {DEFAULT_FOLDER}/*.conf;` into the `http` block and `proxy_pass http://{service};` (or `fastcgi_pass \
         {service};`, `uwsgi_pass {service};`, `grpc_pass grpc://{service};`) where it is used"
    );
    if files.is_empty() {
        return Failure::new(format!(
            "the configuration of `{proxy}` is in its image: no file below `/etc/nginx` is mounted from this machine or copied \
             by a Dockerfile here, so none can be edited"
        ))
        .hint(format!("{lines}; build the image again, then run `swap doctor {service}`"));
    }
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    Failure::new(format!("no line of {} sends requests to `{service}`", names.join(", ")))
        .hint(format!("{lines}; a service without a proxy needs nothing of this: `swap {service}`"))
}

#[cfg(test)]
#[path = "setup/tests.rs"]
mod tests;
