//! What the hooks of a run can do to the real world.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::commands::{Begun, Notes, OneOffGuard};
use super::real::Real;
use crate::claim::copy::RUN;
use crate::compose::{Compose, OneOff};
use crate::docker::{
    Command, ConnectResult, ContainerFacts, ContainerStatus, Docker, ExecError, Inside, Marked, probe,
};
use crate::hooks::{
    Capabilities, CommandOutput, CommandRequest, CommandTarget, ContainerState, ContainerUsage, Endpoint, Error,
    ErrorCode, HttpRequest, HttpResponse, Measurement, Subject, Window,
};
use crate::measure::probe::Probe;
use crate::model::{Captured, Container, Failure, RunId, ServiceName};
use crate::os::token;
use crate::site::http_client;
use crate::store::Store;
use crate::text::printable;

impl Real<'_> {
    /// Returns what the hooks of a service can do.
    pub(super) fn capabilities(&self, service: &ServiceName) -> Arc<dyn Capabilities> {
        let planned = self.plan.service(service);
        Arc::new(RunCapabilities {
            docker: self.site.docker.clone(),
            compose: self.site.compose.clone(),
            project: self.plan.project.clone(),
            service: service.clone(),
            run: self.plan.run.clone(),
            notes: Notes::of(self.site.folder().path(), &self.plan.run),
            services: self.site.services(),
            port: planned.and_then(|of| of.port),
            proxy: planned.and_then(|of| of.fronts.iter().find_map(|front| front.container.clone())),
            folder: self.site.folder().path().to_path_buf(),
            probe: self.probes.get(service).cloned(),
            clients: Mutex::default(),
        })
    }
}

/// What hooks can do to the real world.
struct RunCapabilities {
    docker: Docker,
    compose: Compose,
    project: String,
    service: ServiceName,
    /// The services of the project.
    services: Vec<ServiceName>,
    run: RunId,
    notes: Notes,
    port: Option<u16>,
    proxy: Option<Container>,
    folder: PathBuf,
    probe: Option<Arc<Probe>>,
    /// One client for each host that was named with an address of ours.
    clients: Mutex<HashMap<(String, SocketAddr), reqwest::Client>>,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Error::failed(failure.what)
    }
}

impl RunCapabilities {
    /// Returns the running container that a hook means.
    async fn seen(&self, subject: &Subject) -> Result<ContainerFacts, Error> {
        match subject {
            Subject::Container(container) => {
                let seen = self.docker.inspect(&container.id).await?;
                seen.ok_or_else(|| Error::not_found(format!("container `{}` is not there", container.name)))
            }
            Subject::Service(service) => {
                let all = self.docker.of_service(&self.project, service.as_str()).await?;
                all.into_iter()
                    .find(ContainerFacts::runs)
                    .ok_or_else(|| Error::not_found(format!("service `{service}` does not run")))
            }
        }
    }

    async fn run(&self, request: CommandRequest) -> Result<CommandOutput, Error> {
        let Captured { code, stdout, stderr } = match &request.target {
            CommandTarget::In(subject) => self.run_in(subject, &request).await?,
            CommandTarget::OneOff => self.run_one_off(&request).await?,
        };
        let truncated = stdout.is_cut() || stderr.is_cut();
        Ok(CommandOutput { code, stdout: stdout.into_bytes(), stderr: stderr.into_bytes(), truncated })
    }

    async fn run_in(&self, subject: &Subject, request: &CommandRequest) -> Result<Captured, Error> {
        let seen = self.seen(subject).await?;
        let command = Command {
            stdin: (!request.input.is_empty()).then(|| request.input.clone()),
            env: request.environment.clone(),
            user: request.user.clone(),
            dir: request.folder.clone(),
            limit: request.limit,
            ..Command::new(request.argv.clone())
        };
        let show = request.show.clone();
        let mut on_line = move |_, line: &str| {
            if let Some(show) = &show {
                show(line);
            }
        };
        let mark = token();
        let noted = std::sync::Mutex::new(None);
        let begins = |exec: &str| {
            let (container, user) = (seen.id.clone(), request.user.clone());
            let marked = Marked { container, exec: exec.to_owned(), user, mark: mark.clone() };
            let note = self.notes.note(&mark, Begun::Command(marked))?;
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
            Ok(())
        };
        let captured = self.docker.capture(&seen.id, &command, &mark, &begins, &mut on_line).await;
        // What was given up, or what nobody knows the end of, stays noted.
        if !matches!(captured, Err(ExecError::Failed(_)))
            && let Some(noted) = noted.into_inner().unwrap_or_else(PoisonError::into_inner)
        {
            noted.over();
        }
        captured.map_err(|error| match error {
            ExecError::NotFound { .. } => Error::not_found(error.to_string()),
            other => Failure::from(other).into(),
        })
    }

    /// Runs a command in a one-off container. What became of it the engine tells: compose's exit code may be its own.
    async fn run_one_off(&self, request: &CommandRequest) -> Result<Captured, Error> {
        // A name of its own for each: what another phase or replica runs is not to be taken for this.
        let name = format!("{}-{}-swap-{}-{}", self.project, self.service, self.run, &token()[..12]);
        let one_off = OneOff {
            environment: request.environment.clone(),
            stdin: (!request.input.is_empty()).then(|| request.input.clone()),
            user: request.user.clone(),
            folder: request.folder.clone(),
            labels: vec![(RUN.to_owned(), self.run.to_string())],
            limit: request.limit,
            ..OneOff::new(self.service.clone(), &name, request.argv.clone())
        };
        let noted = self.notes.note(&name, Begun::OneOff(name.clone()))?;
        let mut guard = OneOffGuard::new(&self.docker, &name);
        let show = request.show.clone();
        let captured = self.compose.run_one_off(&one_off, |_, line| {
            if let Some(show) = &show {
                show(line);
            }
        });
        let captured = captured.await?;
        let seen = self.docker.inspect(&name).await?;
        if seen.as_ref().is_some_and(|seen| seen.runs() || seen.state == ContainerStatus::Paused) {
            return Err(Error::failed("compose ended before the command, which is given up"));
        }
        if let Some(seen) = &seen {
            self.docker.remove(&seen.id, true).await?;
        }
        guard.armed = false;
        noted.over();
        match seen {
            // Somebody has removed it when it had ended, or it was never made.
            None if captured.code == 0 => Ok(captured),
            None => Err(Error::failed(format!("no one-off container was made: {}", last_line(&captured)))),
            Some(seen) if seen.started_at.is_some() => {
                Ok(Captured { code: i32::try_from(seen.exit_code).unwrap_or(-1), ..captured })
            }
            Some(seen) => {
                let why = seen.error.unwrap_or_else(|| last_line(&captured));
                let program = request.argv.first().map(|program| printable(program)).unwrap_or_default();
                match missing_program(&why) {
                    true => Err(Error::not_found(format!("a one-off container has no program `{program}`"))),
                    false => Err(Error::failed(format!("the one-off container did not start: {why}"))),
                }
            }
        }
    }

    /// Returns the address behind an endpoint; `None` where names are resolved as usual.
    async fn address(&self, to: &Endpoint, default: u16) -> Result<Option<SocketAddr>, Error> {
        match to {
            Endpoint::Container { container, port } => {
                let port = port.or(self.port).unwrap_or(default);
                let ip = match container.address {
                    Some(address) => address.ip(),
                    None => {
                        self.seen(&Subject::Container(container.clone())).await?.address(None).ok_or_else(|| {
                            Error::unreachable(format!("container `{}` has no address", container.name))
                        })?
                    }
                };
                Ok(Some(SocketAddr::new(ip, port)))
            }
            Endpoint::FrontDoor { port } => {
                let Some(proxy) = &self.proxy else {
                    return Err(Error::unavailable("no proxy in a container fronts the service"));
                };
                let seen = self.seen(&Subject::Container(proxy.clone())).await?;
                let ip = seen.address(None).ok_or_else(|| Error::unreachable("the proxy has no address"))?;
                let ports = inside(&seen);
                let usual = match &ports[..] {
                    [only] if *only != default => *only,
                    _ => default,
                };
                Ok(Some(SocketAddr::new(ip, port.unwrap_or(usual))))
            }
            Endpoint::Host { host, port } => {
                // The name of a service of the project means its container; other names are resolved as usual. Hosts have no
                // capital letters, services may.
                let exact = self.services.iter().find(|service| service.as_str() == host);
                let alike = || self.services.iter().find(|service| service.as_str().eq_ignore_ascii_case(host));
                let Some(service) = exact.or_else(alike) else { return Ok(None) };
                match self.seen(&Subject::Service(service.clone())).await {
                    Ok(seen) => Ok(seen.address(None).map(|ip| SocketAddr::new(ip, *port))),
                    Err(_) => Ok(None),
                }
            }
        }
    }

    async fn client(&self, host: &str, address: Option<SocketAddr>, named: bool) -> Result<reqwest::Client, Error> {
        let key = (host.to_owned(), address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))));
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        // swap follows redirects itself, because each needs its grant.
        let mut builder = http_client().redirect(reqwest::redirect::Policy::none()).no_proxy();
        if let Some(address) = address {
            builder = builder.resolve(host, address);
        }
        if !named {
            // The candidate, the live container and the front door have no name that a certificate could hold.
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let client = builder.build().map_err(|error| Error::failed(format!("no HTTP client: {error}")))?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    async fn request(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let began = std::time::Instant::now();
        let default = request.url.port_or_known_default().unwrap_or(80);
        let address = self.address(&request.to, default).await?;
        if let Some(address) = address
            && let ConnectResult::Unreachable(why) = probe::reachable(address).await
        {
            return self.request_inside(&request, address, &why).await;
        }
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let named = matches!(request.to, Endpoint::Host { .. });
        let client = self.client(&host, address, named).await?;
        let mut url = request.url.clone();
        if let Some(address) = address {
            let _ = url.set_port(Some(address.port()));
        }
        let method = request
            .method
            .parse()
            .map_err(|_| Error::new(ErrorCode::Invalid, format!("`{}` is no method", request.method)))?;
        let mut built = client.request(method, url).body(request.body.clone());
        for (name, value) in &request.headers {
            built = built.header(name, value);
        }
        let response = built.send().await.map_err(not_answered)?;
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let status = response.status().as_u16();
        let (mut body, mut truncated) = (Vec::new(), false);
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(not_answered)?);
            if body.len() > request.limit {
                body.truncate(request.limit);
                truncated = true;
                break;
            }
        }
        Ok(HttpResponse { status, headers, body, truncated, elapsed: began.elapsed() })
    }

    /// Asks from nginx's container where this machine can't reach the address; only the status comes back.
    async fn request_inside(
        &self,
        request: &HttpRequest,
        address: SocketAddr,
        why: &str,
    ) -> Result<HttpResponse, Error> {
        let unreachable = || Error::unreachable(format!("{address} can't be reached from here: {why}"));
        let Some(proxy) = self.proxy.as_ref().filter(|_| request.method == "GET" && request.url.scheme() == "http")
        else {
            return Err(unreachable());
        };
        let began = std::time::Instant::now();
        let path = &request.url[url::Position::BeforePath..];
        let host = request.url.host_str().unwrap_or("localhost");
        let asked =
            self.docker.http_from(&proxy.id, &format!("http://{address}{path}"), host, Duration::from_secs(10)).await?;
        match asked {
            Inside::Status(status) => Ok(HttpResponse { status, elapsed: began.elapsed(), ..HttpResponse::default() }),
            Inside::Failed(why) => Err(Error::unreachable(why)),
            Inside::NoTool => Err(unreachable()),
        }
    }

    fn store(&self, hook: &str) -> Store {
        Store::new(&self.folder, self.service.as_str(), hook)
    }
}

/// Returns the ports of a container that the machine publishes, as the container knows them.
fn inside(seen: &ContainerFacts) -> Vec<u16> {
    let mut ports: Vec<u16> = seen.published.iter().map(|published| published.inner).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The URL is the hook's own, and may be long.
fn not_answered(error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut what = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        what = format!("{what}: {cause}");
        source = cause.source();
    }
    if error.is_connect() { Error::unreachable(what) } else { Error::failed(what) }
}

fn broken(error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::InvalidInput => Error::new(ErrorCode::Invalid, error.to_string()),
        _ => Error::failed(format!("the state of the hook: {error}")),
    }
}

/// Does what may wait for a disk, or for another process that has the lock, where nothing else waits.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| broken(&error)),
        Err(_) => Err(Error::failed("the state of the hook: internal: its thread panicked")),
    }
}

impl Capabilities for RunCapabilities {
    fn exec(&self, request: CommandRequest) -> BoxFuture<'_, Result<CommandOutput, Error>> {
        Box::pin(self.run(request))
    }

    fn http(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, Error>> {
        Box::pin(self.request(request))
    }

    fn container_state(&self, subject: Subject) -> BoxFuture<'_, Result<ContainerState, Error>> {
        Box::pin(async move {
            let seen = self.seen(&subject).await?;
            let started = seen.started_at.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            let age =
                started.and_then(|started| Duration::try_from(jiff::Timestamp::now().duration_since(started)).ok());
            Ok(ContainerState {
                status: seen.state.to_string(),
                health: seen.health.clone().unwrap_or_else(|| "none".to_owned()),
                exit_code: (!seen.runs()).then(|| i32::try_from(seen.exit_code).unwrap_or(-1)),
                oom_killed: seen.oom_killed,
                restarts: u32::try_from(seen.restarts).unwrap_or(u32::MAX),
                age,
                labels: seen.labels.into_iter().collect(),
                environment: seen.environment,
            })
        })
    }

    fn container_usage(&self, subject: Subject) -> BoxFuture<'_, Result<ContainerUsage, Error>> {
        Box::pin(async move {
            let seen = self.seen(&subject).await?;
            let stats = self.docker.stats(&seen.id).await?;
            Ok(ContainerUsage {
                memory: stats.memory,
                memory_limit: (stats.memory_limit > 0).then_some(stats.memory_limit),
                cpu: stats.cpu,
                processes: stats.processes,
            })
        })
    }

    fn front_ports(&self) -> BoxFuture<'_, Vec<u16>> {
        Box::pin(async move {
            let Some(proxy) = &self.proxy else { return Vec::new() };
            let seen = self.seen(&Subject::Container(proxy.clone())).await;
            seen.map(|seen| inside(&seen)).unwrap_or_default()
        })
    }

    fn given_up_is_over(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { Ok(self.docker.given_up_is_over().await?) })
    }

    fn state_get(&self, hook: &str, key: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        let got = self.store(hook).get(key).map_err(|error| broken(&error));
        Box::pin(async move { got })
    }

    fn state_set(&self, hook: &str, key: &str, value: Option<Vec<u8>>) -> BoxFuture<'_, Result<(), Error>> {
        let (store, key) = (self.store(hook), key.to_owned());
        Box::pin(blocking(move || store.set(&key, value.as_deref())))
    }

    fn state_compare_and_set(
        &self,
        hook: &str,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> BoxFuture<'_, Result<bool, Error>> {
        let (store, key) = (self.store(hook), key.to_owned());
        Box::pin(blocking(move || store.compare_and_set(&key, expected.as_deref(), value.as_deref())))
    }

    fn state_keys(&self, hook: &str, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        let keys = self.store(hook).keys(prefix).map_err(|error| broken(&error));
        Box::pin(async move { keys })
    }

    fn metrics(&self, window: Window) -> BoxFuture<'_, Result<Measurement, Error>> {
        let measured = self.probe.as_ref().and_then(|probe| probe.measure(window));
        Box::pin(
            async move { measured.ok_or_else(|| Error::unavailable("the front door was not measured in that window")) },
        )
    }

    /// Secrets come from swap's own environment, where CI systems put them.
    fn secret(&self, name: &str) -> BoxFuture<'_, Result<String, Error>> {
        let value =
            std::env::var(name).map_err(|_| Error::not_found(format!("swap has no environment variable `{name}`")));
        Box::pin(async move { value })
    }
}

/// Returns the last thing that compose said.
fn last_line(captured: &Captured) -> String {
    let said = String::from_utf8_lossy(captured.stderr.bytes());
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| format!("compose exited with {}", captured.code), printable)
}

/// Tells whether the runtime complains about a program that is not there, or that it may not run.
fn missing_program(why: &str) -> bool {
    let signs = ["executable file not found", "no such file or directory", "permission denied"];
    !why.contains("chdir to cwd") && signs.iter().any(|sign| why.contains(sign))
}
