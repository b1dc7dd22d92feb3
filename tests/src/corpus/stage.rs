//! A case on this machine: its files, and an image that stands in for that of its nginx.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use anyhow::{Context, Result, bail, ensure};
use regex_lite::Regex;
use serde_json::Value;

use super::case::Case;
use super::dockerfile::Dockerfile;
use crate::command::{Ended, ended, run};

/// Where cases come from and go to.
#[derive(Debug, Clone)]
pub struct Place {
    /// Copies of repositories; none: GitHub.
    pub mirrors: Option<PathBuf>,
    /// A folder for all that is made.
    pub work: PathBuf,
    /// The image that stands in for every nginx.
    pub image: String,
}

/// A case that is ready to be tried.
#[derive(Debug)]
pub(super) struct Stage {
    case: Case,
    /// The folder for all that concerns it.
    folder: PathBuf,
    /// The folder of the compose file, and its name.
    directory: PathBuf,
    file: String,
    /// The compose project.
    project: String,
    nginx: String,
    base: String,
    /// Files for the image of nginx that its repository has not.
    extra: PathBuf,
}

/// More things than this are not made for one case.
const MOST_MADE: usize = 40;
/// Files from here on are no configuration.
const LARGEST: usize = 1 << 20;
/// Two at once would fetch one repository twice.
static FETCHING: Mutex<()> = Mutex::new(());

impl Stage {
    /// Lays the files of a case out.
    pub(super) fn set(case: &Case, number: usize, place: &Place) -> Result<Self> {
        let folder = place.work.join(format!("{number}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let (tree, extra) = (folder.join("tree"), folder.join("extra"));
        fs::create_dir_all(&tree)?;
        fs::create_dir_all(&extra)?;
        let git = repository(case, place)?;
        let (directory, file) = match case.is_configuration() {
            true => (tree, "docker-compose.yml".to_owned()),
            false => {
                let path = Path::new(&case.path);
                let parent = path.parent().unwrap_or(Path::new(""));
                (tree.join(parent), path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            }
        };
        let stage = Self {
            case: case.clone(),
            directory,
            file,
            project: format!("swap-corpus-{number}"),
            nginx: case.nginx.clone().unwrap_or_else(|| "nginx".to_owned()),
            base: place.image.clone(),
            folder,
            extra,
        };
        match case.is_configuration() {
            true => stage.wrap(&run(git.command().args(["show", &format!("{}:{}", case.commit, case.path)]))?)?,
            false => stage.unpack(&git)?,
        }
        Ok(stage)
    }

    /// Makes a project of a configuration.
    fn wrap(&self, configuration: &str) -> Result<()> {
        let has = |pattern: &str| Ok::<_, anyhow::Error>(Regex::new(pattern)?.is_match(configuration));
        let is_main = has(r"(?m)^\s*(http|events)\s*\{")?;
        let is_part = !is_main && has(r"(?m)^location\s")? && !has(r"(?m)^\s*server\s*\{")?;
        let target = match (is_main, is_part) {
            (true, _) => "/etc/nginx/nginx.conf",
            (_, true) => "/etc/nginx/locations.conf",
            (false, false) => "/etc/nginx/conf.d/default.conf",
        };
        // What a `server` includes gets one.
        let around = match is_part {
            true => {
                let text = "server {\n    listen 80;\n    include /etc/nginx/locations.conf;\n}\n";
                fs::write(self.directory.join("server.conf"), text)?;
                "      - ./server.conf:/etc/nginx/conf.d/default.conf:ro\n"
            }
            false => "",
        };
        let (_, port) = self.case.address();
        let port = port.unwrap_or(80);
        let (own, ports) = match self.case.is_of_machine() {
            true => ("    network_mode: host\n".to_owned(), format!("    ports: [\"127.0.0.1:{port}:{port}\"]\n")),
            false => ("    ports: [\"80:80\"]\n".to_owned(), format!("    expose: [\"{port}\"]\n")),
        };
        let text = format!(
            "services:\n  nginx:\n    image: {}\n{own}    volumes:\n      - ./site.conf:{target}:ro\n{around}\n  {}:\n    image: app\n{ports}",
            self.tag(),
            self.case.name()
        );
        fs::write(self.directory.join("site.conf"), configuration)?;
        fs::write(self.directory.join(&self.file), text)?;
        Ok(())
    }

    /// Takes the files of a project, and lets its nginx have the image that stands in.
    fn unpack(&self, git: &Git) -> Result<()> {
        git.lay_out(&self.case.commit, &self.folder.join("tree"))?;
        if !self.directory.join(".env").exists() {
            let names = [".env.example", ".env.sample", ".env.dist", ".env.template", "env.example", "sample.env"];
            if let Some(example) = names.iter().map(|name| self.directory.join(name)).find(|path| path.is_file()) {
                fs::copy(example, self.directory.join(".env"))?;
            }
        }
        for _ in 0..MOST_MADE {
            let answer = ended(self.compose().args(["config", "--quiet"]));
            if answer.code == 0 {
                return self.take_image();
            }
            self.make_environment(&answer.stderr)?;
        }
        bail!("compose wants more than can be made")
    }

    /// Makes what compose misses: files and variables of the environment.
    fn make_environment(&self, said: &str) -> Result<()> {
        let first = |pattern: &str| -> Result<Option<String>> {
            Ok(Regex::new(pattern)?.captures(said).map(|found| found[1].to_owned()))
        };
        if let Some(path) = first(r"env file (\S+) not found")? {
            let path = PathBuf::from(path);
            ensure!(path.starts_with(&self.folder), "`{}` is not in the project", path.display());
            fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
            fs::write(&path, "")?;
        } else if let Some(name) = first(r"required variable (\w+) is missing")? {
            let path = self.directory.join(".env");
            let text = fs::read_to_string(&path).unwrap_or_default();
            fs::write(&path, format!("{text}\n{name}=value\n"))?;
        } else {
            bail!("compose refuses it: {}", said.lines().last().unwrap_or_default());
        }
        Ok(())
    }

    /// Names the image that stands in where the project names that of its nginx.
    fn take_image(&self) -> Result<()> {
        let path = self.directory.join(&self.file);
        let text = fs::read_to_string(&path)?;
        let begin = Regex::new(&format!(r#"^(\s+)["']?{}["']?:\s*(#.*)?$"#, regex_of(&self.nginx)))?;
        let image = Regex::new(r"^(\s+image:\s*).*$")?;
        let mut within: Option<usize> = None;
        let lines: Vec<String> = text
            .split_inclusive('\n')
            .map(|line| {
                let bare = line.trim_end_matches(['\r', '\n']);
                let indent = bare.len() - bare.trim_start().len();
                if let Some(found) = begin.captures(bare).filter(|_| within.is_none()) {
                    within = Some(found[1].len());
                } else if within.is_some_and(|own| !bare.trim().is_empty() && indent <= own) {
                    within = Some(usize::MAX);
                } else if let (true, Some(found)) = (within.is_some_and(|own| own != usize::MAX), image.captures(bare))
                {
                    return format!("{}{}{}", &found[1], self.tag(), &line[bare.len()..]);
                }
                line.to_owned()
            })
            .collect();
        fs::write(&path, lines.concat())?;
        Ok(())
    }

    fn tag(&self) -> String {
        format!("swap-corpus/nginx:{}", self.project.rsplit('-').next().unwrap_or_default())
    }

    fn compose(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["compose", "-f", &self.file]).current_dir(&self.directory);
        command.env("COMPOSE_PROJECT_NAME", &self.project);
        command
    }

    /// Returns the project as compose reads it.
    pub(super) fn config(&self) -> Result<Value> {
        let text = run(self.compose().args(["--profile", "*", "config", "--format", "json"]))?;
        serde_json::from_str(&text).context("reading what compose printed")
    }

    fn service(&self) -> Result<Value> {
        let config = self.config()?;
        let service = config["services"][&self.nginx].clone();
        ensure!(service.is_object(), "it has no service `{}`", self.nginx);
        Ok(service)
    }

    /// Makes what the project's nginx needs on a machine and its repository has not, until nginx accepts its configuration.
    pub(super) fn furnish(&self) -> Result<()> {
        for mount in self.binds(&self.service()?) {
            let source = Path::new(&mount.source);
            if source.exists() || !source.starts_with(&self.folder) {
                continue;
            }
            match source.extension().is_some_and(|end| ["conf", "crt", "key", "pem"].iter().any(|known| end == *known))
            {
                true => self.write(source, &made_for(&mount.target))?,
                false => fs::create_dir_all(source)?,
            }
        }
        let mut known = BTreeSet::new();
        for _ in 0..MOST_MADE {
            let answer = self.ask()?;
            if answer.code == 0 && answer.stdout.contains("CORPUS BEGINS") {
                return self.make_image();
            }
            let Some(said) = answer.stderr.lines().rfind(|line| line.contains("[emerg]")) else {
                bail!("its nginx does not come to its start: {}", answer.stderr.lines().last().unwrap_or_default());
            };
            ensure!(known.insert(said.to_owned()) && self.provide(said)?, "its nginx refuses it: {}", from_emerg(said));
        }
        bail!("its nginx wants more than can be made")
    }

    /// Makes what a message of nginx's misses; tells whether that could be.
    fn provide(&self, said: &str) -> Result<bool> {
        let first = |pattern: &str| Regex::new(pattern).ok()?.captures(said).map(|found| found[1].to_owned());
        let missing = first(r#"cannot load certificate(?: key)? "([^"]+)""#)
            .or_else(|| first(r#"(?:SSL_CTX_load_verify_locations|SSL_load_client_CA_file|BIO_new_file|SSL_CTX_use_\w+)\("([^"]+)"\) failed"#))
            .or_else(|| first(r#"open\(\) "([^"]+)" failed"#))
            .or_else(|| first(r#"stat\(\) "([^"]+)" failed"#));
        if let Some(path) = missing {
            self.provide_file(&path)?;
            return Ok(true);
        }
        if let Some(path) = first(r#"mkdir\(\) "([^"]+)" failed"#) {
            self.provide_file(&format!("{path}/.made"))?;
            return Ok(true);
        }
        if said.contains("no \"ssl_certificate\" is defined") {
            let path = "/etc/nginx/conf.d/00-made.conf";
            let text = "ssl_certificate /etc/nginx/made.pem;\nssl_certificate_key /etc/nginx/made.pem;\n";
            self.write(&self.extra.join(path.trim_start_matches('/')), text)?;
            return Ok(true);
        }
        let place = Regex::new(r" in (\S+):(\d+)$")?;
        let is_unknown =
            ["unknown directive", "dlopen()", "invalid parameter", "is disabled", "no longer supported", "module \""];
        match place.captures(said).filter(|_| is_unknown.iter().any(|word| said.contains(word))) {
            Some(found) => self.comment_out(&found[1], found[2].parse()?),
            None => Ok(false),
        }
    }

    /// Writes a file where the container has this path: into what is mounted there, or into the image.
    fn provide_file(&self, path: &str) -> Result<()> {
        let to = self.source_of(path)?.unwrap_or_else(|| self.extra.join(path.trim_start_matches('/')));
        self.write(&to, &made_for(path))
    }

    fn write(&self, path: &Path, text: &str) -> Result<()> {
        ensure!(path.starts_with(&self.folder), "`{}` is not in the project", path.display());
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        Ok(fs::write(path, text)?)
    }

    /// Returns the file here that is mounted at a path.
    fn source_of(&self, path: &str) -> Result<Option<PathBuf>> {
        let mounts = self.binds(&self.service()?);
        let around = mounts.iter().filter_map(|mount| Some((mount, mount.rest_of(path)?)));
        let innermost = around.max_by_key(|(mount, _)| mount.target.len());
        Ok(innermost.map(|(mount, rest)| match rest.is_empty() {
            true => PathBuf::from(&mount.source),
            false => Path::new(&mount.source).join(rest),
        }))
    }

    /// Returns what is mounted from the project's folder, or from what is on every machine.
    fn binds(&self, service: &Value) -> Vec<Bind> {
        let volumes = service["volumes"].as_array().into_iter().flatten();
        let binds = volumes.filter(|volume| volume["type"] == "bind" && volume["target"] != "/var/run/docker.sock");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let binds = binds.map(|volume| Bind {
            source: text(&volume["source"]),
            target: text(&volume["target"]),
            read_only: volume["read_only"] == true,
        });
        let is_known =
            |mount: &Bind| Path::new(&mount.source).starts_with(&self.folder) || Path::new(&mount.source).exists();
        binds.filter(is_known).collect()
    }

    /// Makes a comment of a statement that the stand-in for nginx does not know.
    fn comment_out(&self, path: &str, line: usize) -> Result<bool> {
        let source = match self.source_of(path)? {
            Some(source) => Some(source),
            None => self.built()?.and_then(|(context, file)| {
                file.files(&context).into_iter().rev().find(|(_, to)| to == path).map(|(from, _)| from)
            }),
        };
        let Some(source) = source.filter(|source| source.is_file()) else { return Ok(false) };
        let text = fs::read_to_string(&source)?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let (mut open, mut is_block) = (0_i32, false);
        for text in lines.iter_mut().skip(line - 1) {
            let code = text.split('#').next().unwrap_or_default().to_owned();
            open += i32::try_from(code.matches('{').count())? - i32::try_from(code.matches('}').count())?;
            is_block |= code.contains('{');
            text.insert_str(0, "# ");
            if open <= 0 && (is_block || code.trim_end().ends_with(';')) {
                break;
            }
        }
        self.write(&source, &(lines.join("\n") + "\n"))?;
        Ok(true)
    }

    /// Returns the Dockerfile of nginx's image and its context, if the project builds it.
    fn built(&self) -> Result<Option<(PathBuf, Dockerfile)>> {
        let build = self.service()?["build"].clone();
        let Some(context) = build["context"].as_str().map(PathBuf::from) else { return Ok(None) };
        let name = build["dockerfile"].as_str().unwrap_or("Dockerfile");
        let text = match build["dockerfile_inline"].as_str() {
            Some(text) => text.to_owned(),
            None => {
                fs::read_to_string(context.join(name)).with_context(|| format!("reading the Dockerfile `{name}`"))?
            }
        };
        Ok(Some((context, Dockerfile::of(&text, build["target"].as_str()))))
    }

    /// Makes the image of the project's nginx: the one that stands in, with the files that its Dockerfile copies.
    pub(super) fn make_image(&self) -> Result<()> {
        let service = self.service()?;
        let tags: Vec<String> = [Some(self.tag()), self.built_name(&service)].into_iter().flatten().collect();
        let (mut create, words) = (docker("create"), Vec::new());
        let (is_other, words) = self.fill(&mut create, words, &[])?;
        if !is_other {
            // A layer costs seconds.
            return tags.iter().try_for_each(|tag| run(docker("tag").args([&self.base, tag])).map(drop));
        }
        let id = run(create.arg(&self.base).args(words))?.trim().to_owned();
        let made = self
            .copy_into(&id)
            .and_then(|()| tags.iter().try_for_each(|tag| run(docker("commit").args([&id, tag])).map(drop)));
        run(docker("rm").args(["--force", &id]))?;
        made
    }

    /// Gathers what the image has that the one that stands in has not, and says how it starts; tells whether that is anything.
    fn fill(&self, create: &mut Command, mut words: Vec<String>, mounts: &[Bind]) -> Result<(bool, Vec<String>)> {
        let root = self.folder.join("root");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(&root)?;
        let built = self.built()?;
        if let Some((context, file)) = &built {
            for (from, inside) in file.files(context) {
                let to = root.join(inside.trim_start_matches('/'));
                let data = fs::metadata(&from);
                let is_small = data.is_ok_and(|data| data.is_file() && data.len() < LARGEST as u64);
                // What is mounted covers it.
                if is_small && !mounts.iter().any(|mount| mount.rest_of(&inside).is_some()) {
                    fs::create_dir_all(to.parent().unwrap_or(&root))?;
                    fs::copy(&from, &to)?;
                }
            }
            for pair in &file.environment {
                create.args(["--env", pair]);
            }
            if words.is_empty() {
                if let Some([first, rest @ ..]) = file.entrypoint.as_deref() {
                    create.args(["--entrypoint", first]);
                    words.extend(rest.iter().cloned());
                }
                words.extend(file.command.iter().flatten().cloned());
            }
        }
        run(Command::new("cp").arg("-a").arg(self.extra.join(".")).arg(&root))?;
        let is_empty = fs::read_dir(&root)?.next().is_none();
        Ok((!is_empty || built.is_some(), words))
    }

    fn copy_into(&self, id: &str) -> Result<()> {
        let tar =
            format!("tar -C '{}' --owner=0 --group=0 -c . | docker cp - {id}:/", self.folder.join("root").display());
        run(Command::new("sh").args(["-c", &tar])).map(drop)
    }

    /// Returns the name that compose gives to an image that it builds and that has none.
    fn built_name(&self, service: &Value) -> Option<String> {
        let is_unnamed = service["build"].is_object() && service["image"].is_null();
        is_unnamed.then(|| format!("{}-{}", self.project, self.nginx))
    }

    /// Starts nginx's container as compose would, and lets it print its configuration.
    pub(super) fn ask(&self) -> Result<Ended> {
        let service = self.service()?;
        let mut create = docker("create");
        create.args(["--network", "none", "--user", "0", "--env", "CORPUS_ASKS=1"]);
        if let Some(folder) = service["working_dir"].as_str() {
            create.args(["--workdir", folder]);
        }
        let mut mounts = self.binds(&service);
        mounts.extend(configs(&service, &self.config()?));
        for Bind { source, target, read_only } in &mounts {
            create.args(["--volume", &format!("{source}:{target}{}", if *read_only { ":ro" } else { "" })]);
        }
        let list = |key: &str| -> Option<Vec<String>> {
            let words = service[key].as_array()?;
            Some(words.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        let mut words = Vec::new();
        if let Some([first, rest @ ..]) = list("entrypoint").as_deref() {
            create.args(["--entrypoint", first]);
            words.extend(rest.iter().cloned());
        }
        words.extend(list("command").into_iter().flatten());
        let (is_other, words) = self.fill(&mut create, words, &mounts)?;
        for (name, value) in service["environment"].as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            create.args(["--env", &format!("{name}={value}")]);
        }
        let id = run(create.arg(&self.base).args(words))?.trim().to_owned();
        let filled = if is_other { self.copy_into(&id) } else { Ok(()) };
        let answer = ended(Command::new("timeout").args(["--signal=KILL", "30", "docker", "start", "--attach", &id]));
        run(docker("rm").args(["--force", "--volumes", &id]))?;
        filled.map(|()| answer)
    }

    /// Lets `swap init` write what it proposes.
    pub(super) fn init(&self) -> Result<Ended> {
        let swap = std::env::var_os("SWAP_BIN").context("SWAP_BIN names no swap")?;
        let mut command = Command::new(swap);
        command.current_dir(&self.directory).env("COMPOSE_PROJECT_NAME", &self.project);
        command.env("SWAP_STATE_DIR", self.folder.join("state"));
        let init = ended(command.args(["-f", &self.file, "init", self.case.name(), "--write"]));
        Ok(init)
    }

    /// Leaves a text for people.
    pub(super) fn note(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.join(name), text)?)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let names = [self.tag(), format!("{}-{}", self.project, self.nginx)];
        let _ = Command::new("docker").args(["image", "rm", "--force"]).args(names).output();
    }
}

/// A copy of a repository.
struct Git(PathBuf);

impl Git {
    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.args(["-c", "safe.directory=*", "--git-dir"]).arg(&self.0);
        command
    }
}

impl Git {
    /// Lays the files of a commit out; large ones are no configuration, and a copy may lack them.
    fn lay_out(&self, commit: &str, tree: &Path) -> Result<()> {
        let listed = run(self.command().args(["ls-tree", "-r", "-z", commit]))?;
        let entries = listed.split('\0').filter_map(|entry| {
            let (about, path) = entry.split_once('\t')?;
            let mut about = about.split(' ');
            Some((about.next()?, about.nth(1)?, path))
        });
        let entries: Vec<(&str, &str, &str)> = entries.filter(|(mode, ..)| *mode != "160000").collect();
        let mut wanted = tempfile::tempfile()?;
        entries.iter().try_for_each(|(_, id, _)| writeln!(wanted, "{id}"))?;
        wanted.rewind()?;
        let mut batch = self.command();
        batch.args(["cat-file", "--batch"]).stdin(wanted).stdout(Stdio::piped());
        let mut child = batch.spawn().context("running git")?;
        let mut answers = BufReader::new(child.stdout.take().context("git has no output")?);
        for (mode, _, path) in entries {
            let mut head = String::new();
            answers.read_line(&mut head)?;
            // `ID blob SIZE`, or `ID missing`.
            let Some(size) = head.trim().rsplit(' ').next().and_then(|size| size.parse::<usize>().ok()) else {
                continue;
            };
            let mut bytes = vec![0; size + 1];
            answers.read_exact(&mut bytes)?;
            bytes.truncate(size);
            let to = tree.join(path);
            ensure!(!path.split('/').any(|part| part == ".."), "it has a file `{path}`");
            if size < LARGEST {
                fs::create_dir_all(to.parent().unwrap_or(tree))?;
                match mode {
                    "120000" => drop(symlink(OsStr::from_bytes(&bytes), &to)),
                    _ => {
                        fs::write(&to, bytes)?;
                        let mode = if mode == "100755" { 0o755 } else { 0o644 };
                        fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
                    }
                }
            }
        }
        child.wait()?;
        Ok(())
    }
}

/// Finds the copy of a case's repository, or fetches its commit.
fn repository(case: &Case, place: &Place) -> Result<Git> {
    let (owner, name) = case.repository.split_once('/').context("a repository is OWNER/NAME")?;
    if let Some(mirrors) = &place.mirrors {
        let roots =
            [format!("{owner}+{name}"), format!("{owner}/{name}"), format!("{owner}/{name}.git"), name.to_owned()];
        let inner = ["", ".git", "repo", "repo/.git"];
        let mut all = roots.iter().flat_map(|root| inner.iter().map(move |inner| mirrors.join(root).join(inner)));
        let found = all.find(|path| path.join("HEAD").is_file() && path.join("objects").is_dir());
        return found.map(Git).with_context(|| format!("no copy of {} is in `{}`", case.repository, mirrors.display()));
    }
    let _fetching = FETCHING.lock();
    let git = Git(place.work.join("repositories").join(format!("{owner}+{name}")));
    if !git.0.is_dir() {
        run(Command::new("git").args(["init", "--quiet", "--bare"]).arg(&git.0))?;
    }
    let has = ended(git.command().args(["cat-file", "-e", &format!("{}^{{tree}}", case.commit)]));
    if has.code != 0 {
        let from = format!("https://github.com/{}", case.repository);
        run(git.command().args(["fetch", "--quiet", "--depth=1", &from, &case.commit]))?;
    }
    Ok(git)
}

/// What is mounted from this machine.
struct Bind {
    source: String,
    target: String,
    read_only: bool,
}

impl Bind {
    /// Returns the rest of a path that lies within it.
    fn rest_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.target.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
    }
}

fn docker(word: &str) -> Command {
    let mut command = Command::new("docker");
    command.arg(word);
    command
}

/// Returns a service's `configs` and `secrets` that are files.
fn configs(service: &Value, config: &Value) -> Vec<Bind> {
    let mut all = Vec::new();
    for (kind, folder) in [("configs", "/"), ("secrets", "/run/secrets/")] {
        for of in service[kind].as_array().into_iter().flatten() {
            let name = of["source"].as_str().unwrap_or_default();
            let Some(file) = config[kind][name]["file"].as_str() else { continue };
            let target = of["target"].as_str().unwrap_or(name);
            let target = if target.starts_with('/') { target.to_owned() } else { format!("{folder}{target}") };
            all.push(Bind { source: file.to_owned(), target, read_only: true });
        }
    }
    all
}

/// Returns what a file holds that is made for a project, by its name.
fn made_for(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    if name.contains("dh") && name.ends_with(".pem") || name.contains("dhparam") {
        return once(&PARAMETERS, "openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048");
    }
    match [".pem", ".crt", ".cer", ".key", "key", "crt"].iter().any(|end| name.ends_with(end)) {
        true => once(
            &CERTIFICATE,
            "openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost -keyout /dev/stdout 2>/dev/null",
        ),
        false => String::new(),
    }
}

/// A certificate for nobody with its key, and parameters of Diffie and Hellman.
static CERTIFICATE: OnceLock<String> = OnceLock::new();
static PARAMETERS: OnceLock<String> = OnceLock::new();

/// Returns what a command printed when it was first run.
fn once(cell: &OnceLock<String>, line: &str) -> String {
    cell.get_or_init(|| run(Command::new("sh").args(["-c", line])).unwrap_or_default()).clone()
}

fn regex_of(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() || c == '_' { c.to_string() } else { format!("\\{c}") }).collect()
}

/// Returns what nginx said, without the number of its process.
pub(super) fn from_emerg(said: &str) -> &str {
    let said = said.split_once("[emerg]").map_or(said, |(_, said)| said.trim());
    match said.split_once(": ") {
        Some((process, rest)) if process.contains('#') => rest,
        _ => said,
    }
}
