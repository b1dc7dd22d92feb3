//! Where the files come from that an nginx reads: mounts, what a Dockerfile copies, and what a container makes at its start.
//!
//! Reading the files is all that is done here; nothing is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::compose::{self, Build, Dockerfile, Mount};
use crate::nginx::{ConfigFile, Source, assembled};

/// A file of this machine that nginx's container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceFile {
    /// Its path in the container.
    pub inside: String,
    /// Its path here.
    pub path: PathBuf,
    /// Its text; else why it has none that could be edited.
    pub text: Result<String, String>,
    /// Whether it is copied into the image, so that a change needs a new one.
    pub built: bool,
}

/// What an nginx gets its files from.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins {
    /// What it is called in messages: its service, or its container.
    pub name: String,
    /// What is mounted; sources are absolute.
    pub mounts: Vec<Mount>,
    /// What its image is built from, if it is built here.
    pub build: Option<(Build, Dockerfile)>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// What it runs at its start, as far as that is known: entrypoint and command.
    pub command: Vec<String>,
    /// Whether its files are the machine's own.
    pub is_machine: bool,
}

/// More files than this below nginx's mounts, or longer ones, are not configuration.
const MOST_FILES: usize = 500;
const LONGEST: u64 = 1 << 20;

/// Where nginx's configuration is in a container, and the folders that its images have there.
pub(super) const ETC: &str = "/etc/nginx";
const FOLDERS: [&str; 8] = [
    ETC,
    "/etc/nginx/conf.d",
    "/etc/nginx/templates",
    "/etc/nginx/http.d",
    "/etc/nginx/snippets",
    "/etc/nginx/sites-available",
    "/etc/nginx/sites-enabled",
    "/docker-entrypoint.d",
];

/// A file that is made of another one when the container starts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    /// Its path.
    to: String,
    /// The path of what it is made from; `None`: nothing that could be edited, and what makes it.
    from: Result<String, String>,
}

impl Origins {
    /// Returns what a container path comes from on this machine: a mount, or what a Dockerfile copies; and whether it is copied.
    fn locate(&self, inside: &str) -> Option<(PathBuf, bool)> {
        if self.is_machine {
            return Some((PathBuf::from(inside), false));
        }
        if let Some(mount) = self.mount_of(inside) {
            let path = source_of(mount, inside)?;
            return is_of_files(mount).then_some((path, false));
        }
        self.copied().into_iter().rev().find_map(|(path, to)| {
            if path.is_dir() {
                let rest = inside.strip_prefix(to.trim_end_matches('/'))?.strip_prefix('/')?;
                return Some((path.join(rest), true)).filter(|(path, _)| path.is_file());
            }
            (to == inside).then_some((path, true))
        })
    }

    /// Returns what is mounted at a path or around it, the innermost.
    fn mount_of(&self, inside: &str) -> Option<&Mount> {
        let around = self.mounts.iter().filter(|mount| is_within(inside, &mount.target));
        around.max_by_key(|mount| mount.target.trim_end_matches('/').len())
    }

    /// Returns what the Dockerfile copies: files and folders here, each with the whole path that it gets.
    fn copied(&self) -> Vec<(PathBuf, String)> {
        let Some((build, file)) = &self.build else { return Vec::new() };
        let mut all = Vec::new();
        for (source, to) in &file.copies {
            let pattern = build.context.join(source);
            let found: Vec<PathBuf> = match source.contains(['*', '?', '[']) {
                true => glob::glob(&pattern.to_string_lossy()).into_iter().flatten().flatten().collect(),
                false => vec![pattern],
            };
            for path in found {
                let folder = to.trim_end_matches('/');
                // A folder's files go into the folder that is named; a file goes there too, if that is known to be a folder.
                let into = to.ends_with('/') || FOLDERS.contains(&folder);
                let inside = match path.file_name() {
                    Some(name) if into && !path.is_dir() => format!("{folder}/{}", name.to_string_lossy()),
                    _ => folder.to_owned(),
                };
                all.push((path, inside));
            }
        }
        all
    }

    /// Reads the files of this machine that nginx's container sees below `/etc/nginx`, and what is made of those elsewhere.
    pub(super) fn seen(&self) -> Vec<SourceFile> {
        let mut found: BTreeMap<String, SourceFile> = BTreeMap::new();
        if self.is_machine {
            return Vec::new();
        }
        for (path, inside) in self.copied() {
            read_below(&mut found, inside, path, true);
        }
        let mut mounts: Vec<&Mount> = self.mounts.iter().collect();
        // What is mounted deeper covers what lies there.
        mounts.sort_by_key(|mount| mount.target.len());
        for mount in mounts {
            // A new volume takes what the image has there; a folder of the machine hides it.
            if mount.kind != "volume" {
                found.retain(|inside, file| !(file.built && is_within(inside, &mount.target)));
            }
            if let Some(source) = mount.source.as_deref().filter(|_| is_of_files(mount)) {
                read_below(&mut found, mount.target.trim_end_matches('/').to_owned(), PathBuf::from(source), false);
            }
        }
        for Made { from, .. } in self.made(found.keys().cloned().collect()) {
            let Ok(inside) = from else { continue };
            if let (false, Some((path, built))) = (found.contains_key(&inside), self.locate(&inside)) {
                read_file(&mut found, inside, path, built);
            }
        }
        found.into_values().collect()
    }

    /// Returns what shell the container runs at its start, as far as it can be read here.
    fn start_script(&self) -> String {
        let mut text = self.command.join(" ");
        if let Some((_, file)) = &self.build {
            text = format!("{text}\n{}", file.starts.join("\n"));
        }
        let words: Vec<String> = text
            .split(|c: char| c.is_whitespace() || "\"'[],;&|".contains(c))
            .filter(|word| word.starts_with('/'))
            .map(str::to_owned)
            .collect();
        for word in words {
            let script = self.locate(&word).and_then(|(path, _)| fs::read_to_string(path).ok());
            text += &script.map(|script| format!("\n{script}")).unwrap_or_default();
        }
        // What the official image runs before nginx.
        let mounted =
            self.mounts.iter().filter_map(|mount| Some((mount.source.as_ref()?.into(), mount.target.clone())));
        let scripts = self.copied().into_iter().chain(mounted);
        for (path, _) in scripts.filter(|(_, to)| to.starts_with("/docker-entrypoint.d")) {
            let files = if path.is_dir() { files_in(&path) } else { vec![path] };
            for file in files {
                text += &fs::read_to_string(file).map(|script| format!("\n{script}")).unwrap_or_default();
            }
        }
        text
    }

    /// Returns what the container makes at its start: by its own commands, and of those of the files here that are templates.
    fn made(&self, here: Vec<String>) -> Vec<Made> {
        let mut made = made_by(&self.start_script());
        let folder = |name: &str, usual: &str| {
            self.environment.get(name).map_or(usual, String::as_str).trim_end_matches('/').to_owned()
        };
        let templates = folder("NGINX_ENVSUBST_TEMPLATE_DIR", "/etc/nginx/templates");
        let suffix = folder("NGINX_ENVSUBST_TEMPLATE_SUFFIX", ".template");
        let output = folder("NGINX_ENVSUBST_OUTPUT_DIR", "/etc/nginx/conf.d");
        made.extend(here.into_iter().filter_map(|inside| {
            let name = inside.strip_prefix(&format!("{templates}/")).and_then(|rest| rest.strip_suffix(&suffix))?;
            Some(Made { to: format!("{output}/{name}"), from: Ok(inside) })
        }));
        made
    }

    /// Puts together what nginx reads. `dump` is what nginx printed, where it could be asked; else what is known here stands for it.
    pub(super) fn files(
        &self,
        seen: &[SourceFile],
        dump: Option<&[(String, String)]>,
        name: impl Fn(&Path) -> String,
    ) -> Vec<ConfigFile> {
        let made = self.made(seen.iter().map(|file| file.inside.clone()).collect());
        let of = |inside: &str| seen.iter().find(|file| file.inside == inside);
        let one = |inside: &str, printed: Option<&str>| -> ConfigFile {
            let elsewhere = |why: String| ConfigFile {
                path: inside.to_owned(),
                name: inside.to_owned(),
                text: printed.unwrap_or_default().to_owned(),
                source: Source::Elsewhere(why),
            };
            match made.iter().rfind(|made| made.to == inside) {
                Some(Made { from: Err(what), .. }) => return elsewhere(format!("{what} when the container starts")),
                Some(Made { from: Ok(from), .. }) => {
                    let Some(SourceFile { path, text: Ok(text), .. }) = of(from) else {
                        return elsewhere(format!("it is made of `{from}` when the container starts"));
                    };
                    let filled = filled(text, &self.environment);
                    // Line by line, so that what nginx printed has the same places.
                    let fits = |printed: &&str| printed.trim_end().lines().count() == filled.trim_end().lines().count();
                    let read = printed.filter(fits).map_or(filled.clone(), str::to_owned);
                    return ConfigFile {
                        path: inside.to_owned(),
                        name: name(path),
                        text: read,
                        source: Source::Template(text.clone()),
                    };
                }
                None => {}
            }
            match of(inside) {
                Some(SourceFile { path, text: Ok(text), .. }) => {
                    ConfigFile { path: inside.to_owned(), name: name(path), text: text.clone(), source: Source::Itself }
                }
                Some(SourceFile { path, text: Err(why), .. }) => elsewhere(format!("{} {why}", name(path))),
                None if self.is_machine => self.of_machine(inside, printed.unwrap_or_default()),
                None => elsewhere(self.whence(inside)),
            }
        };
        match dump {
            Some(files) => files.iter().map(|(path, text)| one(path, Some(text))).collect(),
            None => {
                let mut paths: Vec<String> = seen.iter().map(|file| file.inside.clone()).collect();
                paths.extend(made.iter().filter(|made| made.from.is_ok()).map(|made| made.to.clone()));
                paths.sort();
                paths.dedup();
                let templates: Vec<&String> = made.iter().filter_map(|made| made.from.as_ref().ok()).collect();
                let read =
                    paths.iter().filter(|path| !templates.contains(path) || made.iter().any(|made| made.to == **path));
                assembled(read.map(|path| one(path, None)).collect())
            }
        }
    }

    /// Returns a file of the machine's own nginx.
    fn of_machine(&self, inside: &str, printed: &str) -> ConfigFile {
        let source = match fs::read_to_string(inside) {
            Ok(text) if text.trim_end() == printed.trim_end() => {
                return ConfigFile { path: inside.into(), name: inside.into(), text, source: Source::Itself };
            }
            Ok(_) => Source::Elsewhere("it is not as nginx reads it".to_owned()),
            Err(error) => Source::Elsewhere(format!("it can't be read here: {error}")),
        };
        ConfigFile { path: inside.into(), name: inside.into(), text: printed.into(), source }
    }

    /// Tells why a file can't be edited here.
    fn whence(&self, inside: &str) -> String {
        let name = &self.name;
        if let Some(mount) = self.mount_of(inside) {
            return match (mount.kind.as_str(), mount.source.as_deref()) {
                ("volume", Some(volume)) => {
                    format!("it is in the volume `{volume}`, whose files are not this project's")
                }
                ("volume", None) => "it is in a volume, whose files are not this project's".to_owned(),
                ("config", None) => "its text stands in `configs` of the compose file, or in a variable".to_owned(),
                (_, Some(source)) => format!("it comes from `{source}`, where no such file can be read"),
                (kind, None) => format!("it is in a mount of type {kind}"),
            };
        }
        if let Some((build, file)) = &self.build
            && let Some((line, _)) = file.runs.iter().find(|(_, run)| run.contains(inside))
        {
            let dockerfile = build.dockerfile.display();
            return format!("`RUN` at {dockerfile}:{line} makes it when the image of `{name}` is built");
        }
        format!("it is in the image of `{name}`")
    }
}

/// Reads what a shell script makes of files: `envsubst < A > B`, `cp A B`, `sed … A > B`, `echo … > B`.
fn made_by(script: &str) -> Vec<Made> {
    let mut all = Vec::new();
    let script = script.replace("\\\n", " ");
    for command in script.split(['\n', ';', '|', '&']) {
        let spaced = command.replace(">>", " >> ").replace('<', " < ");
        let spaced = spaced.replace('>', " > ").replace(" >  > ", " >> ");
        let clean = |word: &str| word.trim_matches(['"', '\'', '[', ']', ',', '(', ')']).to_owned();
        let words: Vec<String> = spaced.split_whitespace().map(clean).filter(|word| !word.is_empty()).collect();
        let path = |word: Option<&String>| word.filter(|word| word.starts_with('/') && !word.contains('$')).cloned();
        let after = |sign: &str| words.iter().position(|word| word == sign).and_then(|at| path(words.get(at + 1)));
        let known = ["envsubst", "cp", "mv", "cat", "sed", "echo", "printf", "tee"];
        let Some(begin) = words.iter().position(|word| known.contains(&word.rsplit('/').next().unwrap_or_default()))
        else {
            continue;
        };
        let program = words[begin].rsplit('/').next().unwrap_or_default().to_owned();
        let arguments = &words[begin + 1..];
        let paths: Vec<String> = arguments.iter().filter_map(|word| path(Some(word))).collect();
        let (to, from) = match program.as_str() {
            "cp" | "mv" => match &paths[..] {
                [from, to] => {
                    let name = from.rsplit('/').next().unwrap_or_default();
                    let folder = to.ends_with('/') || FOLDERS.contains(&to.as_str());
                    let to = if folder { format!("{}/{name}", to.trim_end_matches('/')) } else { to.clone() };
                    (to, Some(from.clone()))
                }
                _ => continue,
            },
            "sed" if arguments.iter().any(|word| word.starts_with("-i")) => match paths.last() {
                Some(file) => (file.clone(), Some(file.clone())),
                None => continue,
            },
            "tee" => match paths.first() {
                Some(to) => (to.clone(), None),
                None => continue,
            },
            _ => {
                let Some(to) = after(">").or_else(|| after(">>")) else { continue };
                let from = after("<").or_else(|| paths.iter().find(|path| **path != to).cloned());
                (to, from.filter(|_| program != "echo" && program != "printf"))
            }
        };
        let from = from.ok_or_else(|| format!("it is written by `{program}`"));
        all.push(Made { to, from });
    }
    all
}

/// Fills a template as `envsubst` does, with what is known: `${NAME}` and `$NAME`.
fn filled(text: &str, environment: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled += &rest[..at];
        let after = &rest[at + 1..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, len) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some((name, _)) => (name, name.len() + 3),
            None => {
                let end = after.find(|c| !is_part(c)).unwrap_or(after.len());
                (&after[..end], end + 1)
            }
        };
        match environment.get(name) {
            Some(value) => {
                filled += value;
                rest = &rest[at + len..];
            }
            // nginx's own, or a brace without an end.
            None => {
                filled.push('$');
                rest = after;
            }
        }
    }
    filled + rest
}

/// Reads a file, or all files below a folder, if they are below `/etc/nginx` in the container.
fn read_below(found: &mut BTreeMap<String, SourceFile>, inside: String, path: PathBuf, built: bool) {
    let mut open = vec![(inside, path)];
    while let Some((inside, path)) = open.pop() {
        let within = is_within(&inside, ETC);
        if path.is_dir() {
            // What is around it may be the whole application.
            if within || ETC.starts_with(&format!("{inside}/")) {
                open.extend(files_in(&path).into_iter().map(|entry| {
                    let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    (format!("{}/{name}", inside.trim_end_matches('/')), entry)
                }));
            }
        } else if within && found.len() < MOST_FILES {
            read_file(found, inside, path, built);
        }
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn read_file(found: &mut BTreeMap<String, SourceFile>, inside: String, path: PathBuf, built: bool) {
    if !fs::metadata(&path).is_ok_and(|data| data.is_file() && data.len() <= LONGEST) {
        return;
    }
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned()),
        Err(error) => Err(format!("can't be read: {error}")),
    };
    found.insert(inside.clone(), SourceFile { inside, path, text, built });
}

/// Returns what a service of a compose project gets its files from.
pub(super) fn of_service(name: &str, service: &compose::Service, directory: &Path) -> Origins {
    let absolute = |mount: &Mount| {
        let source = mount.source.as_ref().map(|source| match is_of_files(mount) {
            true => directory.join(source).to_string_lossy().into_owned(),
            false => source.clone(),
        });
        Mount { source, ..mount.clone() }
    };
    let build = service.build.as_ref().and_then(|build| {
        let text = fs::read_to_string(build.context.join(&build.dockerfile)).ok()?;
        Some((build.clone(), compose::parse_dockerfile(&text, build.target.as_deref())))
    });
    let words = [&service.entrypoint, &service.command].into_iter().flatten().flatten();
    Origins {
        name: name.to_owned(),
        mounts: service.volumes.iter().chain(&service.configs).map(absolute).collect(),
        build,
        environment: service.environment.clone(),
        command: words.cloned().collect(),
        is_machine: false,
    }
}

impl Origins {
    /// Tells whether anything of nginx's configuration comes from this machine.
    pub(super) fn is_configured(&self) -> bool {
        self.mounts.iter().any(|mount| is_within(mount.target.trim_end_matches('/'), ETC))
            || self.copied().iter().any(|(_, to)| is_within(to, ETC))
    }

    /// Returns the folder of this machine where a container's folder comes from, if that is bound from there, and whether the
    /// container may write it.
    pub(super) fn folder(&self, inside: &str) -> Option<(PathBuf, bool)> {
        let mount = self.mount_of(inside).filter(|mount| mount.kind == "bind")?;
        Some((source_of(mount, inside)?, !mount.read_only))
    }
}

/// Tells whether a path is that of a folder or below it.
pub(super) fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Tells whether a mount shows files of this machine.
fn is_of_files(mount: &Mount) -> bool {
    matches!(mount.kind.as_str(), "bind" | "config")
}

/// Returns where a path within a mount comes from.
fn source_of(mount: &Mount, inside: &str) -> Option<PathBuf> {
    let rest = inside[mount.target.trim_end_matches('/').len()..].trim_start_matches('/');
    let source = Path::new(mount.source.as_deref()?);
    Some(if rest.is_empty() { source.to_owned() } else { source.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_with_what_is_set_and_keeps_what_is_nginxs() {
        let environment = [("APP".to_owned(), "app:8000".to_owned()), ("A".to_owned(), "a".to_owned())].into();
        for (text, expected) in [
            ("proxy_pass http://$APP;", "proxy_pass http://app:8000;"),
            ("${APP}/$A/$AB/${AB}/$host", "app:8000/a/$AB/${AB}/$host"),
            ("é$ ${ $A", "é$ ${ a"),
        ] {
            assert_eq!(filled(text, &environment), expected);
        }
    }

    #[test]
    fn what_a_script_makes_of_files_is_read() {
        let script = "set -e\nenvsubst '$APP $PORT' < /etc/nginx/site.template > /etc/nginx/conf.d/default.conf && \\\n  \
                      cp /etc/nginx/a.conf /etc/nginx/conf.d/; sed \"s/x/y/\" /tmp/in >/etc/nginx/b.conf\n\
                      echo 'server {}' > /etc/nginx/conf.d/c.conf; sed -i s/a/b/ /etc/nginx/d.conf | nginx -g 'daemon off;'";
        let told: Vec<String> = made_by(script)
            .into_iter()
            .map(|Made { to, from }| match from {
                Ok(from) => format!("{from} -> {to}"),
                Err(what) => format!("{to}: {what}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                "/etc/nginx/site.template -> /etc/nginx/conf.d/default.conf",
                "/etc/nginx/a.conf -> /etc/nginx/conf.d/a.conf",
                "/tmp/in -> /etc/nginx/b.conf",
                "/etc/nginx/conf.d/c.conf: it is written by `echo`",
                "/etc/nginx/d.conf -> /etc/nginx/d.conf",
            ]
        );
    }
}
