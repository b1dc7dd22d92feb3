//! Reading the project through `config`.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::lifecycle::{Values, question, update_defaults};
use super::place::ProjectPlace;
use super::project::Project;
use super::settings::{KEY, Reader, over};
use super::{Compose, Options, overlay, process, project};
use crate::model::{Failure, Output, ServiceName};
use crate::text::printable;

/// More than any project prints; only a bound.
const LIMIT: usize = 64 * 1024 * 1024;

/// How long a command may take that neither pulls nor builds nor waits for a container.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stands between files where a path never has it.
const SEPARATOR: &str = "\u{1f}";

/// How many of compose's own lines a failure shows.
const LINES: usize = 12;

impl Compose {
    /// Reads the project, as compose understands it, with the settings of all its services.
    ///
    /// # Errors
    /// There is no compose file, compose refuses it (its own words are in the failure), or `x-swap` has mistakes: all
    /// of them at once.
    pub async fn read(&self) -> Result<Project, Failure> {
        let here = self.working_directory();
        let v1 = self.tool.is_v1();
        let place = ProjectPlace::find(&self.options, &here, v1);
        if v1 {
            let (printed, overlay) = tokio::join!(self.config(&self.options, &here, None), self.overlay(&place, &here));
            let (mut config, warnings) = printed?;
            if let Some(overlay) = overlay? {
                overlay::lay_over(&mut config, &overlay);
            }
            return assemble(&config, &place, warnings);
        }
        // All profiles, because `up app` takes a service of an inactive profile too. But such a service may need what
        // is not there, an env_file for instance; then the project is what compose itself would read.
        let everything = Options { profiles: vec!["*".to_owned()], ..self.options.clone() };
        let (config, warnings) = match self.config(&everything, &here, None).await {
            Ok(printed) => printed,
            Err(_) => self.config(&self.options, &here, None).await?,
        };
        assemble(&config, &place, warnings)
    }

    /// Reads the settings that 1.29 drops, if there are any.
    async fn overlay(&self, place: &ProjectPlace, here: &Path) -> Result<Option<Value>, Failure> {
        let Some(project) = overlay::project(place, here)? else { return Ok(None) };
        let options = Options {
            files: vec!["-".into()],
            project_directory: None,
            env_files: self.options.env_files.iter().map(|file| here.join(file)).collect(),
            ..self.options.clone()
        };
        let (config, _) = self.config(&options, &place.env_directory, Some(project.into_bytes())).await?;
        Ok(Some(config))
    }

    /// Reads the values of a service's lifecycle, with these variables, from where compose reads them: the environment of this
    /// process, `.env` and `--env-file`. 1.29 knows no lifecycle, so this is for v2.
    ///
    /// # Errors
    /// Compose does not read the project any more, or the service is gone from it.
    pub async fn values(&self, service: &ServiceName, variables: &[String]) -> Result<Values, Failure> {
        let here = self.working_directory();
        let everything = Options { profiles: vec!["*".to_owned()], ..self.options.clone() };
        let config = match self.config_with(&everything, &here, variables).await {
            Ok(config) => config,
            Err(_) => self.config_with(&self.options, &here, variables).await?,
        };
        Values::of(service, &config)
    }

    /// Runs `config` with one more file that asks for variables.
    async fn config_with(&self, options: &Options, here: &Path, variables: &[String]) -> Result<Value, Failure> {
        let mut files = ProjectPlace::find(&self.options, here, self.tool.is_v1()).files;
        files.push("-".into());
        let line = if options.files.is_empty() {
            // Not by `-f`, which changes where compose looks for `.env`.
            let separated: Vec<&std::ffi::OsStr> = files.iter().map(|file| file.as_os_str()).collect();
            let mut named = OsString::from("COMPOSE_FILE=");
            named.push(separated.join(std::ffi::OsStr::new(SEPARATOR)));
            let mut line: Vec<OsString> = vec!["env".into(), named];
            line.push(format!("COMPOSE_PATH_SEPARATOR={SEPARATOR}").into());
            line.extend(self.tool.quick_command(options, &["config"]));
            line
        } else {
            self.tool.quick_command(&Options { files, ..options.clone() }, &["config"])
        };
        Ok(self.printed(&line, here, Some(question(variables).into_bytes())).await?.0)
    }

    /// Runs `config` and returns what it printed and what it warned of.
    async fn config(
        &self,
        options: &Options,
        directory: &Path,
        stdin: Option<Vec<u8>>,
    ) -> Result<(Value, Vec<String>), Failure> {
        self.printed(&self.tool.quick_command(options, &["config"]), directory, stdin).await
    }

    /// Runs a command line that ends in `config`.
    async fn printed(
        &self,
        command: &[OsString],
        directory: &Path,
        stdin: Option<Vec<u8>>,
    ) -> Result<(Value, Vec<String>), Failure> {
        let line = self.tool.command_line(&self.options, &["config"]);
        let output = run(command, directory, stdin, LIMIT).await;
        let output = output.map_err(|error| not_started(&line, directory, &error))?;
        let said = messages(&output.stderr);
        if !output.ok() {
            let nothing = said.iter().any(|line| {
                line.contains("no configuration file provided") || line.contains("find a suitable configuration file")
            });
            let cure = if nothing {
                "run swap in the project's folder or one below it, or name the file: `swap -f path/compose.yaml …`"
                    .to_owned()
            } else {
                format!("`{line}` must print the project before swap can read it")
            };
            let mut what = format!("`{line}` in `{}` failed with exit code {}", directory.display(), output.code);
            if !nothing {
                // Newer tools name a line and not its file.
                let place = ProjectPlace::find(&self.options, &self.working_directory(), self.tool.is_v1());
                what = format!("{what} on {}", place.files_text());
            }
            return Err(Failure::new(what).hint(cure).tail(last(said)));
        }
        // Both tools write each `$` twice, because what they print is meant to be read by compose again.
        let text = output.stdout.replace("$$", "$");
        let config = yaml(&text).map_err(|error| {
            Failure::new(format!("reading what `{line}` printed: {error}"))
                .hint("this form is new to swap; please report it with that output")
        })?;
        Ok((config, said))
    }
}

/// Returns the names of the services as the files themselves tell, without the compose tool. What can't be read has none.
pub fn services_in(options: &Options) -> Vec<String> {
    let here = std::env::current_dir().unwrap_or_default();
    let place = ProjectPlace::find(options, &here, false);
    let mut names = std::collections::BTreeSet::new();
    for file in &place.files {
        let text = std::fs::read_to_string(here.join(file)).unwrap_or_default();
        let services = yaml(&text).ok().and_then(|file| file.get("services")?.as_object().cloned()).unwrap_or_default();
        names.extend(services.keys().cloned());
    }
    names.into_iter().collect()
}

/// Makes the project of the printed configuration.
pub(super) fn assemble(config: &Value, place: &ProjectPlace, warnings: Vec<String>) -> Result<Project, Failure> {
    let mut project = project::parse(config, place)?;
    let directory = project.directory.clone();
    let names: Vec<ServiceName> = project.services.keys().cloned().collect();
    let mut reader = Reader::new(&directory, names.iter().map(ServiceName::as_str).collect());
    let mut defaults = config.get(KEY).cloned().unwrap_or_default();
    reader.settings(KEY, &defaults);
    if reader.mistakes() > 0 {
        // They would be told again for each service.
        defaults = Value::Null;
    }
    let sections = config.get("services").and_then(Value::as_object);
    for (name, service) in &mut project.services {
        let section = sections.and_then(|services| services.get(name.as_str())).unwrap_or(&Value::Null);
        let own = section.get(KEY).unwrap_or(&Value::Null);
        let defaults = over(&update_defaults(section), &defaults);
        service.settings = reader.settings(&format!("services.{name}.{KEY}"), &over(&defaults, own));
    }
    reader.finish(&place.files_text())?;
    project.warnings = warnings;
    Ok(project)
}

/// Reads YAML as compose does: `y` and `on` are text.
pub(super) fn yaml(text: &str) -> Result<Value, String> {
    // How often an anchor is used is the author's affair; what its uses may grow to stays bounded by itself.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! { enforce_alias_anchor_ratio: false }
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| printable(&error.without_snippet().to_string()))
}

/// Runs a compose command to its end.
pub(super) async fn run(
    line: &[OsString],
    directory: &Path,
    stdin: Option<Vec<u8>>,
    limit: usize,
) -> std::io::Result<Output> {
    process::point(line, "before").await?;
    let mut child = process::start(line, directory, stdin)?;
    process::point(line, "during").await?;
    let Ok(output) = timeout(PATIENCE, process::finish(&mut child, limit)).await else {
        // What goes on behind our back could still make a container.
        drop(process::EndedOnDrop(Some(child)));
        let late =
            format!("it did not finish within {}; does the engine answer?", humantime::format_duration(PATIENCE));
        return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, late));
    };
    let output = output?;
    process::point(line, "after").await?;
    Ok(output)
}

/// Says that the tool itself could not be run.
pub(super) fn not_started(line: &str, directory: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("running `{line}` in `{}`: {error}", directory.display()))
}

/// Returns the last of compose's lines.
pub(super) fn last(mut lines: Vec<String>) -> Vec<String> {
    lines.drain(..lines.len().saturating_sub(LINES));
    lines
}

/// Returns what compose said, line by line, without the frame that v2 gives its warnings.
pub(super) fn messages(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| printable(&unframed(line).unwrap_or_else(|| line.to_owned()))).collect()
}

/// Returns the text of `time="…" level=warning msg="…"`.
fn unframed(line: &str) -> Option<String> {
    let message = line.strip_prefix("time=")?.split_once(" msg=")?.1;
    // Go quotes as JSON does, the rare `\x` escapes apart.
    if message.starts_with('"') { serde_json::from_str(message).ok() } else { Some(message.to_owned()) }
}
