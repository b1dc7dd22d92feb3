//! Where a project lies: its files, its folder and its name, by compose's own rules.
//!
//! `config` prints none of these with 1.29, and v2 prints only the name.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use super::Options;

/// Where the project lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProjectPlace {
    /// The files that are merged, in order, as the user would write them; empty if compose would find none.
    pub files: Vec<PathBuf>,
    /// What relative paths in the files are relative to; absolute.
    pub directory: PathBuf,
    /// The folder whose `.env` compose 1.29 reads; absolute.
    pub env_directory: PathBuf,
    /// The project's name by the rules of 1.29; v2 says it itself.
    pub name: String,
}

/// The names that compose looks for, and what it lays over them. v2 prefers the first, 1.29 the last pair.
const V2_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const V1_NAMES: [&str; 4] = ["docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"];

impl ProjectPlace {
    /// Finds it from compose's flags, the environment, the `.env` file and the folders from `here` (absolute) upwards.
    pub(super) fn find(options: &Options, here: &Path, v1: bool) -> ProjectPlace {
        let process: BTreeMap<String, String> = env::vars().filter(|(key, _)| key.starts_with("COMPOSE_")).collect();
        ProjectPlace::find_with(options, here, v1, &process)
    }

    fn find_with(options: &Options, here: &Path, v1: bool, process: &BTreeMap<String, String>) -> ProjectPlace {
        let split = |environment: &BTreeMap<String, String>| -> Vec<PathBuf> {
            let separator = environment.get("COMPOSE_PATH_SEPARATOR").map_or(":", String::as_str);
            let files = environment.get("COMPOSE_FILE").map(String::as_str).unwrap_or_default();
            files.split(separator).filter(|file| !file.is_empty()).map(PathBuf::from).collect()
        };
        let named = if options.files.is_empty() { split(process) } else { options.files.clone() };
        let env_directory = match (named.first(), &options.project_directory) {
            (Some(file), _) if file.as_os_str() == "-" => here.to_owned(),
            (_, Some(directory)) => here.join(directory),
            (Some(file), None) => here.join(parent(file)),
            (None, None) => here.to_owned(),
        };
        let env_files = match &options.env_files[..] {
            // 1.29 takes it from the working folder.
            [] => vec![env_directory.join(".env")],
            files => files.iter().map(|file| here.join(file)).collect(),
        };
        let mut environment = BTreeMap::new();
        for file in env_files {
            environment.extend(dotenv(&std::fs::read_to_string(file).unwrap_or_default()));
        }
        environment.extend(process.clone());

        let files = if named.is_empty() { split(&environment) } else { named };
        let files = if files.is_empty() { discover(here, v1) } else { files };
        let directory = match (&options.project_directory, files.first()) {
            (Some(directory), _) => here.join(directory),
            (None, Some(file)) if file.as_os_str() != "-" => here.join(parent(file)),
            _ => here.to_owned(),
        };
        let directory = tidy(&directory);
        let name = options
            .project_name
            .as_ref()
            .or_else(|| environment.get("COMPOSE_PROJECT_NAME"))
            .filter(|name| !name.is_empty())
            .cloned()
            .or_else(|| Some(directory.file_name()?.to_string_lossy().into_owned()))
            .map_or_else(|| "default".to_owned(), |name| normalised(&name));
        ProjectPlace { files, directory, env_directory, name }
    }

    /// Returns the files as one text for messages, as `compose.yml + compose.override.yml`.
    pub(super) fn files_text(&self) -> String {
        match &self.files[..] {
            [] => "the compose file".to_owned(),
            files => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" + "),
        }
    }
}

/// Looks for the usual names in this folder and its parents, with the override file beside.
fn discover(here: &Path, v1: bool) -> Vec<PathBuf> {
    let names = if v1 { V1_NAMES } else { V2_NAMES };
    for folder in here.ancestors() {
        let Some(name) = names.iter().find(|name| folder.join(name).is_file()) else { continue };
        let shown = |name: &str| if folder == here { PathBuf::from(name) } else { folder.join(name) };
        let overrides = names.iter().map(|name| {
            let (stem, ending) = name.rsplit_once('.').unwrap_or((name, "yml"));
            format!("{stem}.override.{ending}")
        });
        let found = overrides.filter(|name| folder.join(name).is_file()).take(1);
        return [(*name).to_owned()].into_iter().chain(found).map(|name| shown(&name)).collect();
    }
    Vec::new()
}

fn parent(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Returns the path without `.` and `..`, which compose takes by the letter too.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                tidied.pop();
            }
            part => tidied.push(part),
        }
    }
    tidied
}

/// Returns the project name as 1.29 makes it: lower case, nothing but letters, digits, `-` and `_`.
fn normalised(name: &str) -> String {
    name.to_lowercase().chars().filter(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_')).collect()
}

/// Reads the lines of a `.env` file that matter here: `KEY=value`, quotes and comments as compose takes them.
pub(super) fn dotenv(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.split(quote).next());
        let value = quoted.unwrap_or_else(|| value.split(" #").next().unwrap_or_default().trim_end());
        values.insert(key.trim().to_owned(), value.to_owned());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[&str]) -> (PathBuf, Options) {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("swap-place-{}-{count}", std::process::id())).join("My.App_1");
        for file in files {
            let (name, text) = file.split_once('=').map_or((*file, ""), |(name, _)| (name, &file[name.len() + 1..]));
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        (folder, Options::default())
    }

    fn show(place: &ProjectPlace, folder: &Path) -> String {
        let directory = place.directory.display().to_string().replace(&*folder.display().to_string(), "$HERE");
        let files = place.files_text().replace(&*folder.display().to_string(), "$HERE");
        let _ = std::fs::remove_dir_all(folder.parent().unwrap());
        format!("{files}; in {directory}; {}", place.name)
    }

    #[test]
    fn files_folder_and_name_follow_composes_rules() {
        let find = |files: &[&str], change: fn(&mut Options), sub: &str, v1: bool, process: &[(&str, &str)]| {
            let (folder, mut options) = project(files);
            change(&mut options);
            std::fs::create_dir_all(folder.join(sub)).unwrap();
            let process = process.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let here = tidy(&folder.join(sub));
            show(&ProjectPlace::find_with(&options, &here, v1, &process), &folder)
        };
        let plain = |_: &mut Options| {};
        let both = ["docker-compose.yml", "compose.yaml", "docker-compose.override.yml"];
        for (got, expected) in [
            (find(&["compose.yml"], plain, "", true, &[]), "compose.yml; in $HERE; myapp_1"),
            (find(&["compose.yml"], plain, "a/b", true, &[]), "$HERE/compose.yml; in $HERE; myapp_1"),
            (find(&both, plain, "", true, &[]), "docker-compose.yml + docker-compose.override.yml; in $HERE; myapp_1"),
            (find(&both, plain, "", false, &[]), "compose.yaml + docker-compose.override.yml; in $HERE; myapp_1"),
            (
                find(&["x/a.yml", "b.yml"], |o| o.files = vec!["x/a.yml".into(), "b.yml".into()], "", true, &[]),
                "x/a.yml + b.yml; in $HERE/x; x",
            ),
            (
                find(
                    &["x/a.yml", "x/.env=COMPOSE_PROJECT_NAME='Shop 2' # ours\n"],
                    |o| o.files = vec!["x/a.yml".into()],
                    "",
                    true,
                    &[],
                ),
                "x/a.yml; in $HERE/x; shop2",
            ),
            (
                find(
                    &["compose.yml", ".env=COMPOSE_PROJECT_NAME=from-env\n"],
                    plain,
                    "",
                    true,
                    &[("COMPOSE_PROJECT_NAME", "process")],
                ),
                "compose.yml; in $HERE; process",
            ),
            (
                find(
                    &["compose.yml", ".env=COMPOSE_PROJECT_NAME=from-env\n"],
                    |o| o.project_name = Some("flag".into()),
                    "",
                    true,
                    &[],
                ),
                "compose.yml; in $HERE; flag",
            ),
            (
                find(&["a.yml", "b.yml", ".env=export COMPOSE_FILE=a.yml:b.yml\n"], plain, "", true, &[]),
                "a.yml + b.yml; in $HERE; myapp_1",
            ),
            (
                find(
                    &["a.yml"],
                    |o| {
                        o.files = vec!["../a.yml".into()];
                        o.project_directory = Some("other".into())
                    },
                    "s",
                    true,
                    &[],
                ),
                "../a.yml; in $HERE/s/other; other",
            ),
            (find(&[".env="], plain, "", true, &[]), "the compose file; in $HERE; myapp_1"),
        ] {
            assert_eq!(got, expected);
        }
    }
}
