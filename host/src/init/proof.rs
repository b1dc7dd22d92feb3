//! Whether what `swap init` proposes is right: compose reads the new files, and nginx tests them in a container of its image that
//! nobody reaches, where requests for the service then go through swap's upstream.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::found::{Change, FolderPlace, Found, Home, Proposal};
use super::sources::{ETC, is_within};
use crate::compose::{Compose, Mount, Project, Service};
use crate::docker::{Trial, TrialAnswer, TrialMount};
use crate::model::{Failure, ProxyChoice};
use crate::nginx::{self, reach, read};
use crate::site::Site;
use crate::text::printable;

/// What a proof gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proved {
    /// It is right.
    Yes,
    /// Nobody can tell; why.
    Unknown(String),
    /// It is wrong.
    Refused(Vec<Failure>),
}

/// How long a container may take to come to its nginx.
const START: Duration = Duration::from_secs(20);
/// More names that only nginx's own machine knows are not given it.
const MOST_HOSTS: usize = 64;
/// Configuration has no more than this.
const MOST_BYTES: u64 = 64 << 20;

/// Returns the whole configuration as an nginx that does not run would print it; `None`: its image is not here, or refuses it.
pub(super) async fn dump(site: &Site, project: &Project, home: &Home) -> Option<String> {
    let folder = tempfile::tempdir().ok()?;
    let trial = trial(site, project, home, &BTreeMap::new(), &[], None, folder.path()).await.ok()?;
    let answer = run(site, trial, &BTreeSet::new()).await.ok()?;
    (answer.code == Some(0)).then_some(answer.dump)
}

/// Lets compose read the new files in copies.
pub(super) async fn compose_reads(compose: &Compose, project: &Project, found: &Found, proposal: &Proposal) -> Proved {
    let new =
        |path: &Path| proposal.changes.iter().find(|change| change.path == path).map(|change| change.after.clone());
    if found.compose.iter().all(|(path, _)| new(path).is_none()) {
        return Proved::Yes;
    }
    let Ok(folder) = tempfile::tempdir() else { return Proved::Yes };
    let here = std::env::current_dir().unwrap_or_default();
    let copied = |new: &dyn Fn(&Path) -> Option<String>, name: &str| -> std::io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for (at, file) in project.files.iter().enumerate() {
            let path = here.join(file);
            let text = match new(&path) {
                Some(text) => text,
                None => fs::read_to_string(&path)?,
            };
            let copy = folder.path().join(format!("{name}-{at}.yml"));
            fs::write(&copy, text)?;
            files.push(copy);
        }
        Ok(files)
    };
    let (Ok(old), Ok(new)) = (copied(&|_| None, "old"), copied(&new, "new")) else { return Proved::Yes };
    let read = async |files| compose.with_files(files, project.directory.clone()).read().await;
    // What a file names beside itself may not be found from elsewhere: then nothing is told of the new one either.
    let Ok(before) = read(old).await else { return Proved::Yes };
    match read(new).await {
        Err(failure) => Proved::Refused(vec![Failure {
            what: format!("compose refuses the new files: {}", failure.what),
            hint: Some("nothing is written; please report this with the compose file".to_owned()),
            ..failure
        }]),
        Ok(after) => match other_than_wanted(&before, &after, found) {
            None => Proved::Yes,
            Some(service) => Proved::Refused(vec![
                Failure::new(format!(
                    "compose reads more changes in the new files than are wanted: in `services: {service}:`"
                ))
                .hint("nothing is written; please report this with the compose file"),
            ]),
        },
    }
}

/// Returns a service that the new files change in another way than is wanted.
fn other_than_wanted(before: &Project, after: &Project, found: &Found) -> Option<String> {
    let own = |name: &str| name == found.service.as_str();
    let names = before.services.keys().chain(after.services.keys());
    names.map(ToString::to_string).find(|name| {
        let of =
            |project: &Project| project.services.iter().find(|(key, _)| key.as_str() == name).map(|(_, of)| of.clone());
        let (Some(before), Some(after)) = (of(before), of(after)) else { return true };
        let mut expected = before.clone();
        if own(name) {
            let Service { settings, container_name, ports, aliases, networks, expose, .. } = after.clone();
            expected = Service {
                settings,
                container_name,
                ports,
                aliases,
                networks,
                expose,
                fixed_addresses: after.fixed_addresses.clone(),
                ..expected
            };
            if after.container_name.is_some() || after.ports.iter().any(|port| port.fixed()) {
                return true;
            }
        }
        if found.home.service.as_ref().is_some_and(|service| service.as_str() == name) {
            let kept = before.volumes.iter().all(|mount| after.volumes.contains(mount));
            if !kept || after.volumes.len() > before.volumes.len() + 1 {
                return true;
            }
            expected.volumes.clone_from(&after.volumes);
        }
        // Services that merge another may get its `expose`.
        expected.expose.clone_from(&after.expose);
        expected != after
    })
}

/// Lets nginx test the new files, and looks at where requests go then. Without changes those that are there now count.
pub(super) async fn nginx_accepts(
    site: &Site,
    project: &Project,
    found: &Found,
    proposal: &Proposal,
    place: &FolderPlace,
) -> Proved {
    if found.home.choice == ProxyChoice::Host {
        return on_the_machine(site, found, proposal).await;
    }
    let unknown = |why: &str| Proved::Unknown(format!("the new files could not be tried in nginx: {why}"));
    let Ok(folder) = tempfile::tempdir() else { return unknown("there is no room for a copy of them") };
    let overlay: BTreeMap<PathBuf, String> =
        proposal.changes.iter().map(|change| (change.path.clone(), change.after.clone())).collect();
    let made = trial(site, project, &found.home, &overlay, &built(found, proposal), Some(place), folder.path()).await;
    let trial_new = match made {
        Ok(trial) => trial,
        Err(why) => return unknown(&why),
    };
    let gone = gone_names(found);
    let answer = match run(site, trial_new, &gone).await {
        Ok(answer) if answer.code == Some(0) => return leads_through(found, &answer.dump),
        Ok(answer) => Ok(answer),
        Err(failure) => Err(failure),
    };
    // Where it refuses the old ones here too, that says nothing of the new ones.
    let before = async {
        let copy = tempfile::tempdir().ok()?;
        let old = trial(site, project, &found.home, &before_of(proposal), &[], None, copy.path()).await.ok()?;
        run(site, old, &BTreeSet::new()).await.ok()
    };
    let before = before.await;
    match (answer, before) {
        (Ok(answer), Some(before)) if before.code == Some(0) && answer.code.is_some() => Proved::Refused(vec![
            Failure::new(format!("nginx refuses the new files: {}", emergency(&answer.said)))
                .tail(answer.said.clone())
                .hint(format!("nothing is changed; correct what it names, then run `{}` again", found.again)),
        ]),
        (Err(failure), Some(before)) if before.code == Some(0) => Proved::Refused(vec![Failure {
            what: format!("nginx's container can't be made with the new files: {}", failure.what),
            hint: Some("nothing is changed; mount a directory of the host at the place that it names".to_owned()),
            ..failure
        }]),
        (Ok(answer), before) => {
            let told = before.as_ref().filter(|before| before.code != Some(0)).unwrap_or(&answer);
            let said = told.said.iter().find(|line| line.contains("[emerg]")).or(told.log.last());
            unknown(&match said {
                Some(said) => format!("as they are, it refuses them where nobody else is: {}", said.trim()),
                None => "its container did not come to start it".to_owned(),
            })
        }
        (Err(failure), _) => unknown(&failure.what),
    }
}

/// The files as they were before they were changed.
fn before_of(proposal: &Proposal) -> BTreeMap<PathBuf, String> {
    let before = |change: &Change| Some((change.path.clone(), change.before.clone()?));
    proposal.changes.iter().filter_map(before).collect()
}

/// The changed files that are copied into the image: path in the container, and here.
fn built(found: &Found, proposal: &Proposal) -> Vec<(String, PathBuf)> {
    let changed =
        |path: &Path| proposal.changes.is_empty() || proposal.changes.iter().any(|change| change.path == path);
    let seen = found.seen.iter().filter(|seen| seen.built && changed(&seen.path));
    seen.map(|seen| (seen.inside.clone(), seen.path.clone())).collect()
}

/// The names that nobody has any more.
fn gone_names(found: &Found) -> BTreeSet<String> {
    let alias = found.of_service.network_mode.is_none();
    found.of_service.container_name.iter().filter(|_| !alias).cloned().collect()
}

/// Looks at where requests for the service go in what nginx accepted.
fn leads_through(found: &Found, dump: &str) -> Proved {
    let main = nginx::files_of(dump).first().map_or(nginx::MAIN.to_owned(), |(path, _)| path.clone());
    let reading = match read("nginx version: nginx/1.0.0\n", dump, &["-c".to_owned(), main]) {
        Ok(reading) => reading,
        Err(failure) => {
            return Proved::Unknown(format!("what nginx makes of the new files can't be read: {}", failure.what));
        }
    };
    let configuration = reading.configuration(&found.names.upstream, None);
    let reached = reach(&configuration, &found.names);
    let mut wrong: Vec<Failure> = reached.past.into_iter().chain(configuration.mistakes).collect();
    if reached.passes.is_empty() && wrong.is_empty() {
        wrong.push(
            Failure::new(format!(
                "nginx accepts the new files, and no line of them sends requests to `{}` then",
                found.names.upstream
            ))
            .hint(format!("write `proxy_pass http://{};` where it is used", found.names.upstream)),
        );
    }
    match wrong.is_empty() {
        true => Proved::Yes,
        false => Proved::Refused(wrong),
    }
}

/// Lets the machine's own nginx test its files once they are written; before that there is no place for a copy of them.
async fn on_the_machine(site: &Site, found: &Found, proposal: &Proposal) -> Proved {
    if !proposal.changes.is_empty() {
        return Proved::Unknown("nginx tests its files when they are written; what it refuses is put back".to_owned());
    }
    let Some(nginx) = &found.home.nginx else { return Proved::Yes };
    match site.doors.test(&found.home.choice, nginx).await {
        Some(output) if output.ok() => {
            let dump = site.doors.dump(&found.home.choice, nginx).await;
            dump.map_or(Proved::Yes, |dump| leads_through(found, &dump))
        }
        Some(output) => {
            let said: Vec<String> = output.stderr.lines().map(printable).collect();
            Proved::Refused(vec![Failure::new(format!("nginx refuses the new files: {}", emergency(&said))).tail(said)])
        }
        None => Proved::Unknown("nginx could not be asked".to_owned()),
    }
}

/// Returns why nginx refuses a configuration; what it said last where it names no reason.
fn emergency(said: &[String]) -> String {
    let last = || said.last().map(|line| line.trim().to_owned()).unwrap_or_default();
    nginx::reasons(said).into_iter().next().unwrap_or_else(last)
}

/// Runs a trial, and again with each name that nginx does not find where nobody else is. `gone` are those that must not be there.
async fn run(site: &Site, mut trial: Trial, gone: &BTreeSet<String>) -> Result<TrialAnswer, Failure> {
    loop {
        let answer = site.docker.try_nginx(&trial, START).await?;
        match answer.said.iter().find_map(|line| lost_host(line)) {
            Some(host)
                if !gone.contains(host)
                    && !trial.hosts.iter().any(|known| known == host)
                    && trial.hosts.len() < MOST_HOSTS =>
            {
                trial.hosts.push(host.to_owned());
            }
            _ => return Ok(answer),
        }
    }
}

/// Returns the name that nginx did not find: `[emerg] host not found in upstream "app:8000" in …`.
fn lost_host(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("[emerg]")?.1.split_once("host not found in ")?;
    let mut quoted = rest.split('"').skip(1).step_by(2);
    let host = quoted.next()?;
    let host = host.rsplit_once("://").map_or(host, |(_, host)| host);
    let host = host.split(['/', ':']).next()?;
    (!host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))).then_some(host)
}

/// Puts together what is started: nginx's image and all that it would have, with copies of what is changed.
async fn trial(
    site: &Site,
    project: &Project,
    home: &Home,
    overlay: &BTreeMap<PathBuf, String>,
    built: &[(String, PathBuf)],
    place: Option<&FolderPlace>,
    folder: &Path,
) -> Result<Trial, String> {
    if !site.docker.is_local() {
        return Err("the engine is on another machine".to_owned());
    }
    let mut trial = Trial::default();
    match (&home.container, &home.image) {
        (Some(seen), _) => (trial.image, trial.like) = (seen.image.clone(), Some(seen.id.clone())),
        (None, Some(name)) => match site.docker.image(name).await {
            Ok(Some(image)) => trial.image = image.id,
            _ => return Err(format!("the engine has no image `{name}`")),
        },
        (None, None) => return Err("its image is not known".to_owned()),
    }
    let of_compose = home.service.as_ref().filter(|_| matches!(home.choice, ProxyChoice::Service(_)));
    if let Some(service) = of_compose.and_then(|name| project.services.get(name)) {
        trial.environment = service.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (trial.entrypoint, trial.command) = (service.entrypoint.clone(), service.command.clone());
        (trial.user, trial.folder) = (service.user.clone(), service.working_dir.clone());
    }
    let mut mounts = home.origins.mounts.clone();
    if let Some(volume) = place.filter(|place| place.volume.is_some()) {
        mounts.push(Mount {
            kind: "bind".to_owned(),
            source: Some(volume.here.display().to_string()),
            target: volume.inside.clone(),
            read_only: false,
        });
    }
    for (at, mount) in mounts.iter().enumerate() {
        trial.mounts.extend(staged(site, mount, overlay, &folder.join(at.to_string())).await?);
    }
    for (at, (inside, path)) in built.iter().enumerate() {
        let copy = folder.join(format!("built-{at}"));
        let text = overlay.get(path).cloned().or_else(|| fs::read_to_string(path).ok());
        fs::write(&copy, text.unwrap_or_default()).map_err(|error| error.to_string())?;
        let covered = |mount: &TrialMount| matches!(mount, TrialMount::Bind { target, .. } if inside.starts_with(&format!("{}/", target.trim_end_matches('/'))));
        if !trial.mounts.iter().any(covered) {
            trial.mounts.push(TrialMount::Bind {
                source: copy.display().to_string(),
                target: inside.clone(),
                copy: true,
            });
        }
    }
    trial.hosts = hosts(project);
    Ok(trial)
}

/// Returns the names of the project's services: in a trial nobody else is there, and nginx only wants to find them.
fn hosts(project: &Project) -> Vec<String> {
    let mut hosts = BTreeSet::new();
    for (name, service) in &project.services {
        hosts.insert(name.to_string());
        hosts.extend(service.aliases.iter().chain(&service.hostname).chain(&service.container_name).cloned());
        hosts.extend(service.links.iter().filter_map(|link| Some(link.split_once(':')?.1.to_owned())));
    }
    hosts.into_iter().take(MOST_HOSTS / 2).collect()
}

/// Returns how something is mounted in a trial: a copy of it where it is changed or where a start might change it.
async fn staged(
    site: &Site,
    mount: &Mount,
    overlay: &BTreeMap<PathBuf, String>,
    copy: &Path,
) -> Result<Option<TrialMount>, String> {
    let target = mount.target.clone();
    let empty = || Ok(Some(TrialMount::Empty { target: target.clone() }));
    // What is only written would stand in the way where it can't be.
    if target.ends_with(".sock") {
        return Ok(None);
    }
    let scratch = ["/var/log", "/var/cache", "/var/run", "/run", "/tmp"];
    // A file that is put there is one that somebody reads.
    let is_file = mount.kind == "bind" && mount.source.as_deref().is_some_and(|source| Path::new(source).is_file());
    if mount.kind == "tmpfs" || !is_file && scratch.iter().any(|folder| target.starts_with(folder)) {
        return empty();
    }
    let Some(source) = mount.source.as_deref() else { return empty() };
    if mount.kind == "volume" {
        return match site.docker.has_volume(source).await {
            true => Ok(Some(TrialMount::Volume { name: source.to_owned(), target })),
            // A new one takes what the image has there.
            false => Ok(None),
        };
    }
    if !matches!(mount.kind.as_str(), "bind" | "config") {
        return Ok(None);
    }
    let source = Path::new(source);
    let own: Vec<(&PathBuf, &String)> = overlay.iter().filter(|(path, _)| path.starts_with(source)).collect();
    let is_configuration = is_within(&target, ETC);
    if !source.exists() && own.is_empty() {
        return empty();
    }
    if own.is_empty() && !is_configuration {
        return Ok(Some(TrialMount::Bind { source: source.display().to_string(), target, copy: false }));
    }
    let mut left = MOST_BYTES;
    let copied = match source.exists() {
        true => copy_of(source, copy, &mut left),
        false => fs::create_dir_all(copy),
    };
    if let Err(error) = copied {
        // Keys may be root's alone.
        return match own.is_empty() {
            true => Ok(Some(TrialMount::Bind { source: source.display().to_string(), target, copy: false })),
            false => Err(format!("`{}` can't be copied: {error}", source.display())),
        };
    }
    for (path, text) in own {
        let rest = path.strip_prefix(source).unwrap_or(Path::new(""));
        let to = if rest.as_os_str().is_empty() { copy.to_owned() } else { copy.join(rest) };
        let made = to.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&to, text)).map_err(|error| format!("copying `{}`: {error}", path.display()))?;
    }
    Ok(Some(TrialMount::Bind { source: copy.display().to_string(), target, copy: true }))
}

/// Copies a file or a folder with what it holds; links stay links.
fn copy_of(from: &Path, to: &Path, left: &mut u64) -> std::io::Result<()> {
    let data = fs::metadata(from)?;
    if !data.is_dir() {
        if data.len() > *left {
            return Err(std::io::Error::other("it is larger than configuration is"));
        }
        *left -= data.len();
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, &to)?;
        } else if kind.is_dir() || kind.is_file() {
            copy_of(&path, &to, left)?;
        }
    }
    fs::set_permissions(to, data.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_nginx_did_not_find_is_read() {
        for (line, host) in [
            ("nginx: [emerg] host not found in upstream \"app:8000\" in /etc/nginx/conf.d/a.conf:2", Some("app")),
            ("nginx: [emerg] host not found in upstream \"my_app\" in /x:1", Some("my_app")),
            ("2026/01/01 00:00:00 [emerg] 1#1: host not found in resolver \"dns.test\" in /x:1", Some("dns.test")),
            ("nginx: [emerg] unknown directive \"x\" in /x:1", None),
            ("nginx: [warn] host not found in upstream \"a\"", None),
        ] {
            assert_eq!(lost_host(line), host, "{line}");
        }
    }
}
