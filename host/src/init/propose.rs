//! A proposal is put together of what was found, from edits that nginx and compose make of texts. Pure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::found::{Change, FolderPlace, Found, Home, Proposal, shown};
use super::sources::SourceFile;
use crate::compose::{self, ComposeFile, Wanted};
use crate::model::{Edit, Failure, FixedPort, ProxyChoice};
use crate::nginx::{self, ConfigFile, DEFAULT_FOLDER, TUNING_FILE};
use crate::site::containers::fixed_ports;
use crate::text::printable;

/// Puts a proposal together. Pure.
pub(super) fn proposal(found: &Found) -> Result<Proposal, Failure> {
    let Found { settings, of_service, home, names, .. } = found;
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
    let (built, templates) = change_configuration(found, &configured.edits, &mut proposal);
    let mut new = |file: &str, text: String| {
        let path = folder.here.join(file);
        proposal.changes.push(Change { name: name(&path), path, before: None, after: text });
    };
    if let Some(port) = port.filter(|_| !has_first) {
        new(&first, first_file(found, (port, published), configured.host, &configured.kept));
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

/// Lays the edits over the files of nginx's configuration. Tells whether one of them is copied into an image, and whether one is a
/// template.
fn change_configuration(found: &Found, edits: &[(usize, Edit)], proposal: &mut Proposal) -> (bool, bool) {
    let (mut built, mut templates) = (false, false);
    for (index, file) in found.files.iter().enumerate() {
        let edits = edits_of(edits, index);
        let origin = found.seen.iter().find(|seen| shown(&seen.path, &found.directory) == file.name);
        let (path, text) = match (&file.source, origin) {
            (nginx::Source::Elsewhere(_), _) => continue,
            (nginx::Source::Template(text), Some(origin)) => (origin.path.clone(), text),
            (nginx::Source::Itself, Some(origin)) => (origin.path.clone(), &file.text),
            (_, None) => (PathBuf::from(&file.path), &file.text),
        };
        built |= !edits.is_empty() && origin.is_some_and(|origin| origin.built);
        templates |= !edits.is_empty() && matches!(file.source, nginx::Source::Template(_));
        changed(proposal, &file.name, &path, text, edits);
    }
    (built, templates)
}

/// Returns the text of the upstream's file until the first swap. `host` is what nginx has called the service up to now.
fn first_file(
    found: &Found,
    (port, published): (u16, Option<u16>),
    host: Option<String>,
    kept: &nginx::Kept,
) -> String {
    let Found { service, home, names, .. } = found;
    let upstream = names.upstream.as_str();
    if let (Some(published), true) = (published, home.on_machine) {
        let address = format!("127.0.0.1:{published}");
        return nginx::first_file(upstream, &address, "by its published port", kept);
    }
    let host = host.filter(|_| !matches!(home.choice, ProxyChoice::Service(_)));
    let address = format!("{}:{port}", host.unwrap_or_else(|| service.to_string()));
    nginx::first_file(upstream, &address, &format!("{service} by its DNS name"), kept)
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
    // The workers that this reload ends obey the configuration that lacks what a reload needs to be unnoticed.
    let is_new = !found.there.iter().any(|file| file == TUNING_FILE);
    let bare = is_new && found.tuning.as_deref().is_some_and(nginx::tunes_keepalive);
    let reload = |line: String| match bare {
        true => format!("{line}      (a keep-alive client may lose a request, this once)"),
        false => line,
    };
    match (&home.choice, &home.service) {
        (ProxyChoice::Host, _) => {
            let called = home.nginx.as_ref().filter(|nginx| !nginx.arguments.is_empty()).map(nginx::Nginx::line);
            let called = called.unwrap_or_else(|| "nginx".to_owned());
            next.push(reload(format!("{sudo}{called} -s reload")));
        }
        (ProxyChoice::Container(name), _) => next.push(reload(format!("docker exec {name} nginx -s reload"))),
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
                (false, true) => reload(format!("{tool} exec -T {nginx} nginx -s reload")),
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
    let nginx = &home.origins.name;
    let known = found.names.names.keys().cloned().collect::<Vec<_>>().join("`, `");
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
        .tail(not_there(found))
        .hint(format!(
            "{first}where it comes from write {include} and {pass}; build the image again if it is in one; then `{} doctor {service}` \
             tells what is left",
            found.swap
        ));
    }
    let read: Vec<&str> = here.iter().map(|file| file.name.as_str()).collect();
    Failure::new(format!("no line of {} sends requests to `{service}` (by `{known}`)", read.join(", ")))
        .tail(not_there(found))
        .hint(format!(
            "{first}write {pass}, then run `{}` again; a service without a proxy needs nothing of this: `{} {service}`",
            found.again, found.swap
        ))
}

/// Returns what nginx reads that is not here, what is here that it does not read, and where else it sends requests.
fn not_there(found: &Found) -> Vec<String> {
    let elsewhere: Vec<String> = found
        .files
        .iter()
        .filter_map(|file| match &file.source {
            nginx::Source::Elsewhere(why) => Some(format!("{}: {why}", file.name)),
            _ => None,
        })
        .collect();
    let others: Vec<String> = nginx::configuration(&found.files, &found.names)
        .map(|configuration| {
            configuration.ways.ways.iter().map(|way| format!("{} {}", way.directive, way.value)).collect()
        })
        .unwrap_or_default();
    let is_read = |seen: &&SourceFile| found.files.iter().any(|file| file.path == seen.inside);
    let is_made_of =
        |seen: &&SourceFile| found.files.iter().any(|file| file.name == shown(&seen.path, &found.directory));
    let unread =
        found.seen.iter().filter(|seen| !is_read(seen) && !is_made_of(seen) && !seen.inside.contains("/swap/"));
    let unread = unread.take(12).map(|seen| {
        format!("nginx does not read {}, which is `{}` there", shown(&seen.path, &found.directory), seen.inside)
    });
    elsewhere
        .into_iter()
        .chain(unread)
        .chain(others.into_iter().take(12).map(|way| format!("it sends requests by `{}`", printable(&way))))
        .collect()
}
