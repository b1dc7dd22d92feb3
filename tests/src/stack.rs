//! A private copy of a compose project: own folder, name, port, networks, volumes and image tags; gone when dropped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;

use crate::command::{run, succeeds};
use crate::eventually::eventually;
use crate::http::{Answer, Cause, Connection, Request};
use crate::images;
use crate::load::Load;
use crate::swap::Swap;

/// How long anything of a stack may take to come up.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a shell beside nginx is told to list its processes that serve, those too that only end what they have begun.
pub const NGINX_WORKERS: &str = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f 2>/dev/null | grep -q 'worker process$\\|worker process ' && echo $f; done; true";

const COMPOSE: &str = "\
services:
  nginx:
    image: [nginx]
    entrypoint: []
    command: [\"nginx\", \"-g\", \"daemon off;\"]
    stop_signal: SIGQUIT
    stop_grace_period: 2s
    ports:
      - \"127.0.0.1:[port]:80\"
    volumes:
      - ./nginx.conf:/etc/nginx/nginx.conf:ro
      - ./nginx/swap:/etc/nginx/swap
    depends_on:
      - app

  app:
    image: [project]-app
    volumes:
      - data:/data
    stop_grace_period: 10s
    x-swap:
      health: ./healthcheck

volumes:
  data: {}
";

/// The configuration of the usual nginx.
pub const NGINX: &str = "\
worker_processes 2;
error_log stderr notice;
pid /run/nginx.pid;
events {
    worker_connections 4096;
}
http {
    access_log off;
    keepalive_min_timeout 1s;
    client_header_timeout 5s;
    include /etc/nginx/swap/*.conf;
    server {
        listen 80;
        location / {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }
    }
}
";

/// A stack that is not up yet. The texts are the usual ones, changed by [`Builder::compose`] and [`Builder::nginx`].
#[derive(Debug, Clone)]
pub struct Builder {
    compose: String,
    nginx: String,
    nginx_age: String,
    app: String,
    files: Vec<(String, String)>,
    scale: Vec<(String, usize)>,
    health_path: String,
}

impl Builder {
    /// Takes a stack of `tests/stacks`, with its files as people write them, that knows nothing of swap yet.
    ///
    /// `[nginx]`, `[project]` and `[port]` are filled in, and `[other-port]` by another free port and `[image NAME]` by an
    /// image; see [`images::app`].
    fn of_files(kind: &str) -> Self {
        let mut files = files_below(&images::root().join("tests/stacks").join(kind));
        let compose = files.remove("docker-compose.yml").unwrap_or_else(|| panic!("there is no stack `{kind}`"));
        Builder {
            compose,
            nginx: String::new(),
            nginx_age: "public".into(),
            files: files.into_iter().collect(),
            ..Stack::builder()
        }
    }
    /// Replaces a part of the compose file.
    ///
    /// # Panics
    ///
    /// If the file has no such part: a variant that silently is the usual stack proves nothing.
    #[track_caller]
    pub fn compose(mut self, from: &str, to: &str) -> Self {
        replace(&mut self.compose, from, to);
        self
    }

    /// Replaces the whole compose file.
    pub fn whole_compose(mut self, text: &str) -> Self {
        self.compose = text.to_owned();
        self
    }

    /// Takes a part out of one of its files. Panics as [`Builder::compose`] does.
    #[track_caller]
    pub fn without(mut self, path: &str, part: &str) -> Self {
        let (_, text) = self.files.iter_mut().find(|(name, _)| name == path).expect("the file");
        replace(text, part, "");
        self
    }

    /// Adds a line to the service `app`, in YAML.
    #[track_caller]
    pub fn app_line(self, line: &str) -> Self {
        self.compose("    stop_grace_period: 10s\n", &format!("    stop_grace_period: 10s\n    {line}\n"))
    }

    /// Replaces a part of nginx's configuration. Panics as [`Builder::compose`] does.
    #[track_caller]
    pub fn nginx(mut self, from: &str, to: &str) -> Self {
        replace(&mut self.nginx, from, to);
        self
    }

    /// Replaces the whole of nginx's main configuration file.
    pub fn whole_nginx(mut self, text: &str) -> Self {
        self.nginx = text.to_owned();
        self
    }

    /// Runs the nginx of this Debian suite, as `forky`; see [`images::nginx`].
    pub fn nginx_of(mut self, suite: &str) -> Self {
        self.nginx_age = suite.to_owned();
        self
    }

    /// Runs the nginx of this Debian suite, as `bookworm`, whose nginx knows neither `resolve` nor `keepalive_min_timeout`.
    pub fn old_nginx(self, suite: &str) -> Self {
        self.nginx_of(suite).nginx("    keepalive_min_timeout 1s;\n", "")
    }

    /// Starts with another image of the application; see [`images::app`].
    pub fn app(mut self, image: &str) -> Self {
        self.app = image.to_owned();
        self
    }

    /// Puts the application behind FastCGI.
    pub fn fpm(self) -> Self {
        let pass = "include /etc/nginx/fastcgi_params;\n            fastcgi_param SCRIPT_FILENAME /app/index.php;\n            \
                    fastcgi_pass app;";
        self.app("fpm-v1")
            .nginx("proxy_pass http://app;", pass)
            .nginx("            proxy_http_version 1.1;\n            proxy_set_header Connection \"\";\n", "")
            // Without a default port as in HTTP, nginx needs to be told once.
            .file("nginx/swap/app.conf", "upstream app { server app:9000; }\n")
    }

    /// Makes it a stack that knows nothing of swap yet, whose application listens on this port and is reached by `pass`,
    /// as `proxy_pass http://app:3000`.
    pub fn plain(self, port: u16, pass: &str) -> Self {
        self.compose("      - ./nginx/swap:/etc/nginx/swap\n", "")
            .compose("    x-swap:\n      health: ./healthcheck\n", "")
            .app_line(&format!(
                "command: [\"sh\", \"-c\", \"sed -i 's/^Listen 80/Listen {port}/' apache.conf && exec ./serve\"]"
            ))
            .nginx(
                "    keepalive_min_timeout 1s;\n    client_header_timeout 5s;\n    include /etc/nginx/swap/*.conf;\n",
                "",
            )
            .nginx("proxy_pass http://app;", &format!("{pass};"))
    }

    /// Runs so many containers of a service.
    pub fn scale(mut self, service: &str, count: usize) -> Self {
        self.scale.push((service.to_owned(), count));
        self
    }

    /// Puts a file into the stack's folder.
    pub fn file(mut self, path: &str, content: &str) -> Self {
        self.files.push((path.to_owned(), content.to_owned()));
        self
    }

    /// Polls this path until the stack counts as up; empty: nothing is polled.
    pub fn up_when(mut self, path: &str) -> Self {
        self.health_path = path.to_owned();
        self
    }

    /// Adds a queue worker of the same image, that no proxy fronts. It notes its life in `/data/life`.
    pub fn worker(self, settings: &str) -> Self {
        let life = "echo start >>/data/life; trap 'echo stop >>/data/life; exit 0' TERM; while :; do sleep 0.05; done";
        let worker = format!(
            "\n  worker:\n    image: [project]-app\n    command: [\"sh\", \"-c\", \"{life}\"]\n    volumes:\n      \
             - data:/data\n    x-swap: {settings}\n\nvolumes:\n"
        );
        self.compose("\nvolumes:\n", &worker)
    }

    /// Brings the stack up and waits until its front door answers.
    ///
    /// # Panics
    ///
    /// If it does not come up; all that compose said is in the message.
    #[track_caller]
    pub fn up(self) -> Stack {
        self.try_up().unwrap_or_else(|error| panic!("bringing a stack up: {error:?}"))
    }

    fn try_up(self) -> Result<Stack> {
        sweep();
        let nginx = images::nginx(&self.nginx_age)?;
        let stack = Stack::new()?;
        let images = pictured(&self.compose)?;
        let filled = |text: &str| {
            let (port, other_port) = (stack.door.port().to_string(), stack.other_port.to_string());
            let text = images.iter().fold(text.to_owned(), |text, (name, tag)| text.replace(name, tag));
            text.replace("[nginx]", &nginx)
                .replace("[project]", &stack.project)
                .replace("[port]", &port)
                .replace("[other-port]", &other_port)
        };
        stack.write("docker-compose.yml", &filled(&self.compose));
        if !self.nginx.is_empty() {
            stack.write("nginx.conf", &filled(&self.nginx));
        }
        if self.compose.contains("./nginx/swap") {
            fs::create_dir_all(stack.path("nginx/swap"))?;
        }
        for (path, content) in &self.files {
            stack.write(path, &filled(content));
        }
        stack.deploy(&self.app);
        let mut up = vec!["up".to_owned(), "-d".to_owned()];
        for (service, count) in &self.scale {
            up.push(format!("--scale={service}={count}"));
        }
        stack.try_compose(&up)?;
        if !self.health_path.is_empty() {
            eventually(format!("`{}` at {}", self.health_path, stack.door), PATIENCE, || {
                stack.get(&self.health_path).is_ok_and(|answer| answer.status == 200)
            });
        }
        Ok(stack)
    }
}

/// A stack that is up. Dropping it removes everything of it, and keeps its logs if the test panics.
#[derive(Debug)]
pub struct Stack {
    /// The compose project's name.
    pub project: String,
    /// The front door.
    pub door: SocketAddr,
    /// Another port of this machine, for what is published beside the front door.
    other_port: u16,
    folder: PathBuf,
    /// Removes the folder.
    _temp: tempfile::TempDir,
}

/// A container of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state, as `running`.
    pub state: String,
    /// The id of its image.
    pub image: String,
    /// Its address in its first network; empty if it has none.
    pub address: String,
}

impl Stack {
    /// Begins the usual stack: nginx in front of one container of the example application, v1.
    pub fn builder() -> Builder {
        Builder {
            compose: COMPOSE.into(),
            nginx: NGINX.into(),
            nginx_age: "current".into(),
            app: "v1".into(),
            files: Vec::new(),
            scale: Vec::new(),
            health_path: "/up".into(),
        }
    }

    /// Begins a stack of `tests/stacks`, as `node`: files as people write them, that know nothing of swap. `image` is that
    /// of the service that will be swapped.
    #[track_caller]
    pub fn of(kind: &str, image: &str) -> Builder {
        Builder::of_files(kind).app(image)
    }

    /// Brings up the usual stack. Panics as [`Builder::up`] does.
    #[track_caller]
    pub fn up() -> Self {
        Self::builder().up()
    }

    /// Brings up the example with a database, as it is in the repository, at v1 and with its compose file changed by
    /// `edit`; see [`Stack::build`] for other versions.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    #[track_caller]
    pub fn postgres(edit: impl FnOnce(String) -> String) -> Self {
        Self::try_postgres(edit).unwrap_or_else(|error| panic!("bringing the example with a database up: {error:?}"))
    }

    fn try_postgres(edit: impl FnOnce(String) -> String) -> Result<Self> {
        sweep();
        images::base_with_postgres()?;
        let mut stack = Self::new()?;
        // The same folders beside each other as in the repository: its paths are part of the example.
        let (root, outer) = (images::root(), stack.folder.clone());
        fs::create_dir(outer.join("examples"))?;
        for part in ["app", "nginx", "postgres"] {
            run(Command::new("cp").arg("-r").arg(root.join("examples").join(part)).arg(outer.join("examples")))?;
        }
        fs::create_dir(outer.join("hooks"))?;
        for hook in ["migrate", "http-health", "warmup", "slo-guard"] {
            fs::copy(images::hook(hook)?, outer.join(format!("hooks/{hook}.wasm")))?;
        }
        stack.folder = outer.join("examples/postgres");
        let text = edit(fs::read_to_string(stack.path("docker-compose.yml"))?);
        stack.write("docker-compose.yml", &text);
        let port = stack.door.port();
        stack.write(
            ".env",
            &format!(
                "COMPOSE_PROJECT_NAME={}\nSWAP_EXAMPLE_POSTGRES_PORT=127.0.0.1:{port}\n\
                 SWAP_EXAMPLE_PHP=swap-example/php\nSWAP_EXAMPLE_NGINX=swap-example/nginx\n\
                 SWAP_EXAMPLE_POSTGRES=swap-example/postgres\n",
                stack.project
            ),
        );
        fs::copy(stack.path("sources/v1.php"), stack.path("app/index.php"))?;
        stack.try_compose(&["up", "-d", "--build"])?;
        eventually(format!("`/up` at {}", stack.door), PATIENCE, || {
            stack.get("/up").is_ok_and(|answer| answer.status == 200)
        });
        Ok(stack)
    }

    /// Puts a hook of the repository, or one of the tests' own, into the stack's folder `hooks`. Panics if it can't be built.
    #[track_caller]
    pub fn hook(&self, name: &str) {
        let component = images::hook(name).unwrap_or_else(|error| panic!("building the hook `{name}`: {error:?}"));
        fs::create_dir_all(self.path("hooks")).expect("making a folder");
        fs::copy(component, self.path(&format!("hooks/{name}.wasm"))).expect("copying a hook");
    }

    /// Builds a version of the example with a database, as its users do. Panics if that fails.
    #[track_caller]
    pub fn build(&self, version: &str) {
        fs::copy(self.path(&format!("sources/{version}.php")), self.path("app/index.php")).expect("copying a version");
        self.compose(&["build", "app"]);
    }

    fn new() -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let project = format!("swaptest-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let temp = tempfile::tempdir()?;
        // compose v1 and v2 both call the project as its folder.
        let folder = temp.path().join(&project);
        fs::create_dir(&folder)?;
        let (door, other_port) = (free_port()?, free_port()?.port());
        Ok(Self { project, door, other_port, folder, _temp: temp })
    }

    /// Returns the other port of this machine that its compose file may publish.
    pub fn other_door(&self) -> SocketAddr {
        SocketAddr::new(self.door.ip(), self.other_port)
    }

    /// Returns a path in the stack's folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Writes a file in the stack's folder. Panics if that fails.
    #[track_caller]
    pub fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("making the folder of a file");
        }
        fs::write(&path, content).unwrap_or_else(|error| panic!("writing `{}`: {error}", path.display()));
    }

    /// Replaces a part of a file in the stack's folder. Panics if it has no such part.
    #[track_caller]
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let mut text = fs::read_to_string(self.path(path)).expect("reading a file");
        replace(&mut text, from, to);
        // In place: a file that is mounted must stay the same file.
        fs::write(self.path(path), text).expect("writing a file");
    }

    /// Makes an image of the application the one that candidates are made of; see [`images::app`].
    #[track_caller]
    pub fn deploy(&self, image: &str) {
        let tag = images::app(image).unwrap_or_else(|error| panic!("making the image `{image}`: {error:?}"));
        self.docker(&["tag", &tag, &format!("{}-app", self.project)]);
    }

    /// Runs the compose tool in the stack's folder and returns its output. Panics if it fails.
    #[track_caller]
    pub fn compose(&self, arguments: &[&str]) -> String {
        self.try_compose(arguments).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Runs the compose tool in the stack's folder; answers both of its outputs.
    pub fn try_compose(&self, arguments: &[impl AsRef<str>]) -> Result<String> {
        let tool = compose_tool();
        let mut line = tool.join(" ");
        for argument in arguments {
            let _ = write!(line, " '{}'", argument.as_ref());
        }
        run(Command::new("sh").args(["-c", &format!("exec {line} 2>&1")]).current_dir(&self.folder))
    }

    /// Runs the docker CLI and returns its output. Panics if it fails.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        run(Command::new("docker").args(arguments)).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Runs a shell line in the first container of a service and returns its output. Panics if it fails.
    #[track_caller]
    pub fn exec(&self, service: &str, line: &str) -> String {
        let containers = self.containers(service);
        let container = containers.first().unwrap_or_else(|| panic!("no container of `{service}`"));
        self.docker(&["exec", &container.id, "sh", "-c", line])
    }

    /// Lets nginx read its configuration anew, and waits until every worker of before is gone: `nginx -s reload` returns
    /// while those still take requests, by what they have read. Panics if nginx takes the configuration for wrong.
    #[track_caller]
    pub fn reload_nginx(&self) {
        let former = self.nginx_workers();
        self.exec("nginx", "nginx -t && nginx -s reload");
        eventually("the former workers of nginx to go", PATIENCE, || {
            !self.nginx_workers().iter().any(|worker| former.contains(worker))
        });
    }

    /// Returns the processes of nginx that serve, those too that only end what they have begun.
    #[track_caller]
    pub fn nginx_workers(&self) -> Vec<String> {
        self.exec("nginx", NGINX_WORKERS).lines().map(str::to_owned).collect()
    }

    /// Returns the containers of a service, running or not, sorted by name. One-off containers count too.
    #[track_caller]
    pub fn containers(&self, service: &str) -> Vec<Container> {
        self.inspect(Some(service)).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn inspect(&self, service: Option<&str>) -> Result<Vec<Container>> {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = service.map(|service| format!("label=com.docker.compose.service={service}"));
        let mut list = Command::new("docker");
        list.args(["ps", "-aq", "--no-trunc", "--filter", &project]);
        if let Some(service) = &service {
            list.args(["--filter", service]);
        }
        let ids = run(&mut list)?;
        let format =
            "{{.Id}} {{.Name}} {{.State.Status}} {{.Image}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let mut containers = Vec::new();
        for id in ids.split_whitespace() {
            // One that went away meanwhile is none.
            let Ok(line) = run(Command::new("docker").args(["inspect", "--format", format, id])) else { continue };
            let mut words = line.split_whitespace().map(str::to_owned);
            let mut next = || words.next().unwrap_or_default();
            let (id, name) = (next(), next().trim_start_matches('/').to_owned());
            containers.push(Container { id, name, state: next(), image: next(), address: next() });
        }
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(containers)
    }

    /// Returns the names of the networks that a container is in, sorted.
    #[track_caller]
    pub fn networks(&self, container: &Container) -> Vec<String> {
        let format = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
        let names = self.docker(&["inspect", "--format", format, &container.id]);
        let mut names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Asks the front door once, on a connection of its own.
    pub fn get(&self, path: &str) -> Result<Answer, Cause> {
        self.get_at(self.door, path)
    }

    /// Asks another door of this machine once, on a connection of its own.
    pub fn get_at(&self, door: SocketAddr, path: &str) -> Result<Answer, Cause> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|_| Cause::Connect)?;
        let limit = Duration::from_secs(10);
        runtime.block_on(async { Connection::open(door, limit).await?.ask(&Request::get(path).closing(), limit).await })
    }

    /// Returns the version that answers at the front door, or why there is no good answer.
    pub fn version(&self) -> Result<String, Cause> {
        let answer = self.get("/version")?;
        if answer.status == 200 { Ok(answer.text.trim().to_owned()) } else { Err(Cause::Status(answer.status)) }
    }

    /// Makes the mixed load on the front door.
    pub fn load(&self) -> Load {
        Load::new(self.door).expect("the front door is on this machine")
    }

    /// Makes a call of the `swap` binary in the stack's folder.
    pub fn swap<'a>(&self, arguments: impl AsRef<[&'a str]>) -> Swap<'_> {
        Swap::new(self, arguments.as_ref())
    }

    /// Returns the folder that swap keeps its journal in.
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Returns the volumes by which runs tell each other that they are at work.
    #[track_caller]
    pub fn marks(&self) -> Vec<String> {
        let filter = format!("label=swap.project={}", self.project);
        let names = self.docker(&["volume", "ls", "--filter", &filter, "--format", "{{.Name}}"]);
        names.lines().map(str::to_owned).collect()
    }

    /// Returns the journals of the runs that are not over.
    pub fn open_runs(&self) -> Vec<String> {
        let below = files_below(&self.state()).into_iter();
        below.filter(|(path, _)| path.ends_with(".open")).map(|(_, journal)| journal).collect()
    }

    /// Tells whether any process works in the stack's folder, as compose does for swap.
    pub fn is_worked_in(&self) -> bool {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut folders = processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
        folders.any(|folder| folder.starts_with(&self.folder))
    }

    /// Returns all that a failed run must leave as it was, as text: containers, networks, volumes, the files that nginx
    /// reads, and the runs that are not over.
    #[track_caller]
    pub fn world(&self) -> String {
        let mut world = String::new();
        for container in self.inspect(None).unwrap_or_else(|error| panic!("{error:?}")) {
            let Container { id, name, state, image, .. } = container;
            let _ = writeln!(world, "container {name} {state}, id {}, image {}", short(&id), short(&image));
        }
        for kind in ["network", "volume"] {
            let filter = format!("label=com.docker.compose.project={}", self.project);
            let names = self.docker(&[kind, "ls", "--filter", &filter, "--format", "{{.Name}}"]);
            names.lines().for_each(|name| _ = writeln!(world, "{kind} {name}"));
        }
        for (path, content) in files_below(&self.path("nginx")) {
            let _ = writeln!(world, "file {path}:\n{content}");
        }
        for (path, _) in files_below(&self.state()).iter().filter(|(path, _)| path.ends_with(".open")) {
            let _ = writeln!(world, "open run {path}");
        }
        world
    }

    /// Replaces what differs from stack to stack by placeholders, so that whole texts can be compared.
    pub fn normalise(&self, text: &str) -> String {
        let text = text.replace(&self.other_port.to_string(), "[other-port]");
        crate::swap::normalise(&text, &self.project, &self.folder, self.door.port())
    }

    fn keep_for_autopsy(&self) -> Result<()> {
        let test = std::thread::current().name().unwrap_or("unnamed").replace("::", ".");
        let into = images::target().join("failures").join(test);
        let _ = fs::remove_dir_all(&into);
        fs::create_dir_all(&into)?;
        run(Command::new("cp").arg("-r").arg(&self.folder).arg(&into))?;
        let mut overview = String::new();
        for container in self.inspect(None)? {
            let _ = writeln!(overview, "{container:?}");
            let log =
                Command::new("sh").args(["-c", &format!("docker logs --timestamps {} 2>&1", container.id)]).output()?;
            fs::write(into.join(format!("{}.log", container.name)), log.stdout)?;
        }
        fs::write(into.join("containers"), overview)?;
        eprintln!("what this test left is in `{}`", into.display());
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Err(error) = self.keep_for_autopsy()
        {
            eprintln!("what this test left could not be kept: {error:#}");
        }
        if std::env::var_os("SWAP_TEST_KEEP").is_none() {
            remove(&self.project);
        }
    }
}

/// Returns the compose tool as the words of a command: `SWAP_TEST_COMPOSE`, else `docker compose`, else `docker-compose`.
pub fn compose_tool() -> Vec<String> {
    if let Ok(named) = std::env::var("SWAP_TEST_COMPOSE") {
        return named.split_whitespace().map(str::to_owned).collect();
    }
    let plugin = succeeds(Command::new("docker").args(["compose", "version"])).unwrap_or(false);
    let words: &[&str] = if plugin { &["docker", "compose"] } else { &["docker-compose"] };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Removes everything of a project of the tests: containers, networks, volumes, image tags.
fn remove(project: &str) {
    let filter = format!("--filter label=com.docker.compose.project={project}");
    let script = format!(
        "docker ps -aq {filter} | xargs -r docker rm -fv
         docker network ls -q {filter} | xargs -r docker network rm
         docker volume ls -q {filter} | xargs -r docker volume rm
         docker volume ls -q --filter label=swap.project={project} | xargs -r docker volume rm
         docker images --format '{{{{.Repository}}}}:{{{{.Tag}}}}' '{project}[\\-_]*' | xargs -r docker rmi
         docker images --format '{{{{.Repository}}}}:{{{{.Tag}}}}' 'swap-keep/{project}/*' | xargs -r docker rmi"
    );
    let _ = succeeds(Command::new("sh").args(["-c", &script]));
}

/// Removes what killed test processes left: projects of ours whose process is gone.
fn sweep() {
    let Ok(_lock) = images::lock("sweep") else { return };
    let format = r#"{{.Label "com.docker.compose.project"}}"#;
    let kinds: [&[&str]; 3] = [&["ps", "-a"], &["network", "ls"], &["volume", "ls"]];
    let of = |kind: &[&str]| run(Command::new("docker").args(kind).args(["--format", format])).unwrap_or_default();
    let projects: String = kinds.into_iter().map(of).collect();
    let left = projects.lines().filter(|project| {
        let pid = project.strip_prefix("swaptest-").and_then(|rest| rest.split('-').next());
        pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists())
    });
    left.collect::<std::collections::BTreeSet<_>>().into_iter().for_each(remove);
}

/// Returns the images that a compose file names as `[image NAME]`, each with its tag, made if it is missing.
fn pictured(compose: &str) -> Result<BTreeMap<String, String>> {
    let names = compose.split("[image ").skip(1).filter_map(|rest| rest.split_once(']'));
    names.map(|(name, _)| Ok((format!("[image {name}]"), images::app(name)?))).collect()
}

/// Finds a port below those that the kernel gives to clients, so that no client has it when nginx wants it.
fn free_port() -> Result<SocketAddr> {
    for _ in 0..1000 {
        let listener = TcpListener::bind(("127.0.0.1", fastrand::u16(20_000..32_000)));
        if let Ok(listener) = listener {
            return Ok(listener.local_addr()?);
        }
    }
    anyhow::bail!("no port is free")
}

fn files_below(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
                files.insert(name, fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    files
}

fn short(id: &str) -> &str {
    let id = id.trim_start_matches("sha256:");
    id.get(..12).unwrap_or(id)
}

#[track_caller]
fn replace(text: &mut String, from: &str, to: &str) {
    assert!(text.contains(from), "there is no `{from}` in\n{text}");
    *text = text.replace(from, to);
}

/// Waits until a stack answers with a version.
#[track_caller]
pub fn serves(stack: &Stack, version: &str) {
    eventually(format!("`{version}` at the front door"), PATIENCE, || stack.version().as_deref() == Ok(version));
}
