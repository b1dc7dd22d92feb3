//! What a call can reach: swap's imports. Each checks the grant, keeps to the time, asks the world, cuts what comes
//! back and tells what it did.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::time::Instant;
use url::Url;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::bindings::swap::hooks::{config, exec, http, inspect, log, metrics, state, types};
use super::capabilities::{
    Capabilities, CommandRequest, CommandTarget, ContainerState, ContainerUsage, Endpoint, Error, ErrorCode,
    HttpRequest, HttpResponse, Measurement, Subject, Window,
};
use super::context::{Context, Member, milliseconds};
use super::grants::{Ask, Grant, decide};
use super::limits::{Hold, Limits, Memory, Meter};
use super::log::{Channel, Speaker, SpeakerStream};
use crate::model::Container;
use crate::text::shortened;

/// Why swap ended a call, in the words of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop(String);

impl Stop {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stop {}

/// What belongs to one call of one hook, and what it may do.
pub(super) struct Call {
    pub(super) hook: String,
    pub(super) context: Context,
    pub(super) config: Vec<(String, String)>,
    pub(super) grants: Vec<Grant>,
    pub(super) capabilities: Arc<dyn Capabilities>,
    pub(super) limits: Limits,
    pub(super) memory: Arc<Memory>,
    pub(super) deadline: Instant,
    pub(super) speaker: Speaker,
    /// The grants that were missing, in the order of asking.
    pub(super) refused: Mutex<Vec<Grant>>,
}

/// The data of one store.
pub(super) struct HookState {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) meter: Meter,
    pub(super) call: Call,
    pub(super) streams: [SpeakerStream; 2],
}

impl HookState {
    pub(super) fn new(call: Call) -> Self {
        let streams = [call.speaker.stream(Channel::Stdout), call.speaker.stream(Channel::Stderr)];
        // Everything that is not named here stays as it is by default: no files, no environment, no network.
        let wasi = WasiCtx::builder()
            .stdout(streams[0].clone())
            .stderr(streams[1].clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(1 << 20)
            .wall_clock(TimeOfDay(call.capabilities.clone()))
            .monotonic_clock(Stopwatch(Instant::now()))
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(10_000);
        Self { wasi, table, meter: Meter::new(call.limits, call.memory.clone()), call, streams }
    }
}

impl WasiView for HookState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

struct TimeOfDay(Arc<dyn Capabilities>);

impl HostWallClock for TimeOfDay {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0.now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// Starts at the call, so that hooks don't learn how long the machine runs. Follows tokio's clock, which scenarios turn.
struct Stopwatch(Instant);

impl HostMonotonicClock for Stopwatch {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Call {
    /// Checks that the hook may do this; otherwise notes the missing grant.
    fn check(&self, ask: &Ask) -> Result<(), Error> {
        decide(&self.grants, ask).map_err(|missing| {
            let refusal = missing.refusal();
            self.speaker.tell(&format!("refused: {refusal}"));
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            if refused.is_empty() {
                refused.push(missing);
            }
            Error::new(ErrorCode::Refused, refusal)
        })
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Awaits what the world does, for as long as the hook wants. The call's own deadline is kept around the call.
    async fn within<T>(limit: Option<u64>, work: BoxFuture<'_, Result<T, Error>>) -> Result<T, Error> {
        let Some(limit) = limit.map(Duration::from_millis) else { return work.await };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => {
                Err(Error::new(ErrorCode::Timeout, format!("no answer within {}", humantime::format_duration(limit))))
            }
        }
    }

    /// Holds memory of swap's for what the hook asks for. Where there is none, the call ends.
    async fn hold(&self, bytes: usize) -> Result<Hold<'_>, Error> {
        self.memory.hold(bytes).await.map_err(|stop| {
            self.speaker.stop(stop);
            Error::failed("no memory is left")
        })
    }

    /// Tells what was done and how it ended, and gives the end back.
    fn told<T>(&self, deed: &str, end: impl FnOnce(&T) -> String, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(value) => self.speaker.tell(&format!("{deed} → {}", end(value))),
            // A refusal told itself.
            Err(error) if error.code == ErrorCode::Refused => {}
            Err(error) => self.speaker.tell(&format!("{deed} → {}: {}", error.code.name(), error.message)),
        }
        result
    }

    /// Finds the container that a target names, and what to ask for it: `ask(false)` of a candidate, `ask(true)` of a
    /// live one, which after the switch is still the old one.
    fn member(&self, target: &str) -> Option<Result<(Container, bool), Error>> {
        let (kind, name) = match target.split_once(':') {
            Some((kind, name)) => (kind, Some(name)),
            None => (target, None),
        };
        let context = &self.context;
        let found = match (kind, name) {
            ("candidate", None) => Some(&context.candidate),
            ("candidate", Some(name)) => find(&context.candidates, name),
            ("live", None) => context.live.first(),
            ("live", Some(name)) => find(&context.live, name),
            _ => return None,
        };
        Some(match found {
            Some(member) if member.container.id.is_empty() => Err(Error::not_found(
                "there is no candidate yet in this phase; a command in its image runs in `one-off`",
            )),
            Some(member) => Ok((member.container.clone(), kind == "live")),
            None => Err(Error::not_found(format!("no container `{}` in this run", shown(target)))),
        })
    }

    fn subject(&self, target: &str) -> Result<(Subject, Kind), Error> {
        if let Some(member) = self.member(target) {
            let (container, live) = member?;
            return Ok((Subject::Container(container), if live { Kind::Live } else { Kind::Candidate }));
        }
        if let Some(name) = target.strip_prefix("service:").filter(|name| name.len() <= NAME) {
            let name: crate::model::ServiceName =
                name.parse().map_err(|why: String| Error::new(ErrorCode::Invalid, why))?;
            return Ok((Subject::Service(name.clone()), Kind::Service(name)));
        }
        Err(Error::new(
            ErrorCode::Invalid,
            format!("`{}` is not a target (candidate, candidate:NAME, live, live:NAME, service:NAME)", shown(target)),
        ))
    }

    /// Finds where a URL leads, and what to ask for it.
    async fn endpoint(&self, url: &Url) -> Result<(Endpoint, Ask), Error> {
        let host = url
            .host_str()
            .ok_or_else(|| Error::new(ErrorCode::Invalid, format!("`{}` has no host", shown(url.as_str()))))?;
        if host.len() > NAME {
            return Err(Error::new(ErrorCode::TooLarge, format!("a host has at most {NAME} bytes")));
        }
        let port = url.port();
        if host == "front-door" {
            // Where users come anyhow takes no grant; all else in nginx's container does.
            let ask = match port {
                None | Some(80 | 443) => Ask::HttpFrontDoor,
                Some(port) if self.capabilities.front_ports().await.contains(&port) => Ask::HttpFrontDoor,
                Some(port) => Ask::HttpFrontDoorPort(port),
            };
            return Ok((Endpoint::FrontDoor { port }, ask));
        }
        let target = match host.rsplit_once('.') {
            Some((name, kind)) => format!("{kind}:{name}"),
            None => host.to_owned(),
        };
        if let Some(member) = self.member(&target) {
            let (container, live) = member?;
            let ask = if live { Ask::HttpLive } else { Ask::HttpCandidate };
            return Ok((Endpoint::Container { container, port }, ask));
        }
        let port = url.port_or_known_default().unwrap_or(80);
        Ok((Endpoint::Host { host: host.to_owned(), port }, Ask::HttpHost(host.to_owned(), port)))
    }

    async fn exec(&self, command: exec::Command) -> Result<exec::Output, Error> {
        check_command(&command)?;
        let (target, ask) = if command.target == "one-off" {
            (CommandTarget::OneOff, Ask::ExecOneOff)
        } else {
            let (subject, kind) = self.subject(&command.target)?;
            let ask = match kind {
                Kind::Candidate => Ask::ExecCandidate,
                Kind::Live => Ask::ExecLive,
                Kind::Service(name) => Ask::ExecService(name),
            };
            (CommandTarget::In(subject), ask)
        };
        self.check(&ask)?;
        let limit = self.limits.reply;
        let speaker = self.speaker.clone();
        let show = command.show.then(|| -> super::ShowLine {
            Arc::new(move |line: &str| {
                // The speaker remembers that it is too much; the call ends when the command does.
                let _ = speaker.say(Channel::Command, line);
            })
        });
        let deed = format!("exec in {}: {}", command.target, command.argv.join(" "));
        let _held = self.hold(2 * command.input.len() + 2 * limit).await?;
        let request = CommandRequest {
            target,
            argv: command.argv,
            input: command.input,
            environment: command.environment,
            user: command.user,
            folder: command.folder,
            show,
            limit,
        };
        let mut result = tokio::select! {
            result = Self::within(command.timeout_ms, self.capabilities.exec(request)) => result,
            // What it shows is too much.
            () = self.speaker.closes() => return Err(Error::failed("the log is full")),
        };
        if let Err(late) = &mut result
            && late.code == ErrorCode::Timeout
        {
            // What the hook does next must not meet it.
            let over = tokio::time::timeout(self.remaining(), self.capabilities.given_up_is_over()).await;
            late.message = match over {
                Ok(Ok(())) => format!("{}; it was ended", late.message),
                Ok(Err(error)) => format!("{}; {error}", late.message),
                Err(_) => format!("{}; it still runs", late.message),
            };
        }
        let output = self.told(&deed, |output| format!("exit {}", output.code), result)?;
        let truncated = output.truncated || output.stdout.len() > limit || output.stderr.len() > limit;
        Ok(exec::Output {
            code: output.code,
            stdout: cut(output.stdout, limit),
            stderr: cut(output.stderr, limit),
            truncated,
        })
    }

    /// Sends a request and follows its redirects. Keeps up to `keep` bytes of the body.
    async fn http(&self, request: http::Request, keep: usize) -> Result<http::Response, Error> {
        let give_up =
            request.timeout_ms.map(|limit| Instant::now() + Duration::from_millis(limit).min(self.remaining()));
        let mut hop = Hop::first(request)?;
        // The body is kept for redirects, handed on, and sent.
        let _held = self.hold(3 * hop.body.len() + keep + HEADERS).await?;
        loop {
            let (to, ask) = self.endpoint(&hop.url).await?;
            self.check(&ask)?;
            let single = HttpRequest {
                to,
                method: hop.method.clone(),
                url: hop.url.clone(),
                headers: hop.headers.clone(),
                body: hop.body.clone(),
                limit: keep,
            };
            let limit = give_up.map(|end| milliseconds(end.saturating_duration_since(Instant::now())));
            let result = Self::within(limit, self.capabilities.http(single)).await;
            let deed = format!("{} {}", hop.method, hop.url);
            let response = self.told(&deed, |response: &HttpResponse| response.status.to_string(), result)?;
            match hop.next(&response)? {
                Some(next) => hop = next,
                None => return hop.answer(response, keep),
            }
        }
    }
}

/// Whose container it is.
enum Kind {
    Candidate,
    Live,
    Service(crate::model::ServiceName),
}

fn find<'a>(members: &'a [Member], name: &str) -> Option<&'a Member> {
    // Hosts in URLs are in lower case.
    members.iter().find(|member| member.container.name.eq_ignore_ascii_case(name))
}

fn cut(mut bytes: Vec<u8>, limit: usize) -> Vec<u8> {
    bytes.truncate(limit);
    bytes
}

/// One request on the way through redirects.
struct Hop {
    method: String,
    url: Url,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    left: u32,
}

impl Hop {
    fn first(request: http::Request) -> Result<Self, Error> {
        let invalid =
            |what: &str, text: &str| Error::new(ErrorCode::Invalid, format!("`{}` is not {what}", shown(text)));
        let too_large = |what: String| Err(Error::new(ErrorCode::TooLarge, what));
        if request.url.len() > URL {
            return too_large(format!("a URL has at most {} KiB", URL >> 10));
        }
        if request.method.len() > METHOD {
            return too_large(format!("a method has at most {METHOD} bytes"));
        }
        if request.headers.len() > HEADER_COUNT || size(&request.headers) > HEADERS {
            let limits = format!("{HEADER_COUNT} headers with {} KiB together", HEADERS >> 10);
            return too_large(format!("a request has at most {limits}"));
        }
        let url = Url::parse(&request.url).map_err(|_| invalid("a URL", &request.url))?;
        check_url(&url)?;
        let token = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b))
        };
        if !token(&request.method) {
            return Err(invalid("a method", &request.method));
        }
        for (name, value) in &request.headers {
            if !token(name) {
                return Err(invalid("the name of a header", name));
            }
            if value.chars().any(|c| c.is_control() && c != '\t') {
                return Err(invalid("the value of a header", value));
            }
        }
        Ok(Self {
            method: request.method,
            url,
            headers: request.headers,
            body: request.body,
            left: request.max_redirects.min(REDIRECTS),
        })
    }

    /// Returns the request that a redirect asks for, or none if the answer is final.
    fn next(&self, response: &HttpResponse) -> Result<Option<Hop>, Error> {
        let location = response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
        let (Some((_, location)), 301 | 302 | 303 | 307 | 308) = (location, response.status) else { return Ok(None) };
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let nowhere = |what: &str| {
            Error::failed(format!("`{}` redirects to `{}`, which is {what}", shown(self.url.as_str()), shown(location)))
        };
        if location.len() > URL {
            return Err(nowhere("too long"));
        }
        let url = self.url.join(location).map_err(|_| nowhere("not a URL"))?;
        check_url(&url)?;
        let mut headers = self.headers.clone();
        if url.origin() != self.url.origin() {
            // What was meant for one host is nothing for another.
            headers.retain(|(name, _)| {
                !["authorization", "cookie", "proxy-authorization", "host"]
                    .contains(&name.to_ascii_lowercase().as_str())
            });
        }
        let becomes_get = match response.status {
            303 => self.method != "HEAD",
            301 | 302 => self.method == "POST",
            _ => false,
        };
        let (method, body) = if becomes_get {
            headers.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("content-"));
            ("GET".to_owned(), Vec::new())
        } else {
            (self.method.clone(), self.body.clone())
        };
        Ok(Some(Hop { method, url, headers, body, left }))
    }

    fn answer(&self, response: HttpResponse, limit: usize) -> Result<http::Response, Error> {
        let truncated = response.truncated || response.body.len() > limit;
        if size(&response.headers) > HEADERS {
            let what = format!("the headers of the answer have more than {} KiB", HEADERS >> 10);
            return Err(Error::new(ErrorCode::TooLarge, what));
        }
        Ok(http::Response {
            status: response.status,
            url: self.url.to_string(),
            headers: response.headers,
            body: cut(response.body, limit),
            truncated,
            elapsed_us: microseconds(response.elapsed),
        })
    }
}

/// Returns the bytes of headers, with what each costs besides.
fn size(headers: &[(String, String)]) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
}

/// Returns text of a hook as a message shows it.
fn shown(text: &str) -> String {
    shortened(text, SHOWN).escape_debug().to_string()
}

/// Checks what no grant is about.
fn check_command(command: &exec::Command) -> Result<(), Error> {
    if command.argv.first().is_none_or(String::is_empty) {
        return Err(Error::new(ErrorCode::Invalid, "a command without a name"));
    }
    let environment = command.environment.iter().flat_map(|(name, value)| [name, value]);
    let texts = || command.argv.iter().chain(environment.clone()).chain(&command.user).chain(&command.folder);
    if texts().map(|text| text.len() + 1).sum::<usize>() > COMMAND {
        let what = format!("a command has at most {} KiB, with its environment", COMMAND >> 10);
        return Err(Error::new(ErrorCode::TooLarge, what));
    }
    if texts().any(|text| text.contains('\0')) {
        return Err(Error::new(ErrorCode::Invalid, "a NUL character in a command"));
    }
    if command.environment.iter().any(|(name, _)| name.is_empty() || name.contains('=')) {
        return Err(Error::new(ErrorCode::Invalid, "the name of a variable is empty or has a `=`"));
    }
    Ok(())
}

fn check_url(url: &Url) -> Result<(), Error> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::new(ErrorCode::Invalid, format!("`{}` is neither http nor https", shown(url.as_str()))));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::new(ErrorCode::Invalid, "a URL with a password; send an `authorization` header"));
    }
    Ok(())
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Call {
    /// Gives a result to the hook, or ends it if that was one line too many.
    fn give<T>(&self, result: Result<T, Error>) -> wasmtime::Result<Result<T, types::Error>> {
        match self.speaker.stopped() {
            Some(stop) => Err(stop.into()),
            None => Ok(result.map_err(Into::into)),
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self { code: error.code.name().to_owned(), message: error.message }
    }
}

impl types::Host for HookState {}

impl log::Host for HookState {
    async fn debug(&mut self, message: String) -> wasmtime::Result<()> {
        Ok(self.call.speaker.say(Channel::Debug, &message)?)
    }

    async fn info(&mut self, message: String) -> wasmtime::Result<()> {
        Ok(self.call.speaker.say(Channel::Info, &message)?)
    }

    async fn warn(&mut self, message: String) -> wasmtime::Result<()> {
        Ok(self.call.speaker.say(Channel::Warn, &message)?)
    }

    async fn error(&mut self, message: String) -> wasmtime::Result<()> {
        Ok(self.call.speaker.say(Channel::Error, &message)?)
    }
}

impl config::Host for HookState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.call.config.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone()))
    }

    async fn entries(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.call.config.clone())
    }

    async fn secret(&mut self, name: String) -> wasmtime::Result<Result<String, types::Error>> {
        let result = self.call.secret(&name).await;
        self.call.give(result)
    }
}

impl exec::Host for HookState {
    async fn run(&mut self, command: exec::Command) -> wasmtime::Result<Result<exec::Output, types::Error>> {
        let result = self.call.exec(command).await;
        self.call.give(result)
    }
}

impl http::Host for HookState {
    async fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, types::Error>> {
        let result = self.call.http(request, self.call.limits.reply).await;
        self.call.give(result)
    }

    async fn send_all(
        &mut self,
        requests: Vec<http::Request>,
        concurrency: u32,
    ) -> wasmtime::Result<Vec<Result<http::Response, types::Error>>> {
        let call = &self.call;
        let keep = call.limits.reply / requests.len().max(1);
        // All headers together may take what all bodies together may.
        let headers_left = AtomicUsize::new(call.limits.reply);
        let send = async |(position, request)| {
            if position >= REQUESTS {
                return Err(Error::new(ErrorCode::TooLarge, format!("more than {REQUESTS} requests at once")));
            }
            let answer = call.http(request, keep).await?;
            let size = size(&answer.headers);
            let fits = headers_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(size));
            let limit = call.limits.reply >> 20;
            fits.map_err(|_| {
                Error::new(ErrorCode::TooLarge, format!("all headers together have more than {limit} MiB"))
            })?;
            Ok(answer)
        };
        let at_once = usize::try_from(concurrency.clamp(1, AT_ONCE)).unwrap_or(1);
        let answers: Vec<_> =
            stream::iter(requests.into_iter().enumerate()).map(send).buffered(at_once).collect().await;
        answers.into_iter().map(|answer| call.give(answer)).collect()
    }
}

impl inspect::Host for HookState {
    async fn state(&mut self, target: String) -> wasmtime::Result<Result<inspect::ContainerState, types::Error>> {
        let result = self.call.container_state(&target).await;
        self.call.give(result.map(|state| inspect::ContainerState {
            status: state.status,
            health: state.health,
            exit_code: state.exit_code,
            oom_killed: state.oom_killed,
            restarts: state.restarts,
            age_ms: state.age.map(milliseconds),
            labels: state.labels,
            environment: state.environment,
        }))
    }

    async fn usage(&mut self, target: String) -> wasmtime::Result<Result<inspect::ContainerUsage, types::Error>> {
        let result = self.call.container_usage(&target).await;
        self.call.give(result.map(|usage| inspect::ContainerUsage {
            memory_bytes: usage.memory,
            memory_limit_bytes: usage.memory_limit,
            cpu_us: microseconds(usage.cpu),
            processes: usage.processes,
        }))
    }
}

impl state::Host for HookState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, types::Error>> {
        let result = self.call.state_get(&key).await;
        self.call.give(result)
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), types::Error>> {
        let result = self.call.state_set(&key, Some(value)).await;
        self.call.give(result)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), types::Error>> {
        let result = self.call.state_set(&key, None).await;
        self.call.give(result)
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<bool, types::Error>> {
        let result = self.call.state_compare_and_set(&key, expected, value).await;
        self.call.give(result)
    }

    async fn keys(&mut self, prefix: String) -> wasmtime::Result<Result<Vec<String>, types::Error>> {
        let result = self.call.state_keys(&prefix).await;
        self.call.give(result)
    }
}

impl metrics::Host for HookState {
    async fn measure(&mut self, window: String) -> wasmtime::Result<Result<metrics::Measurement, types::Error>> {
        let result = self.call.measure(&window).await;
        self.call.give(result.map(|measured| metrics::Measurement {
            requests: measured.requests,
            failures: measured.failures,
            duration_ms: milliseconds(measured.duration),
            p50_us: microseconds(measured.p50),
            p90_us: microseconds(measured.p90),
            p99_us: microseconds(measured.p99),
            max_us: microseconds(measured.max),
        }))
    }
}

/// The limits of what a hook hands over.
const URL: usize = 16 << 10;
const METHOD: usize = 32;
const HEADERS: usize = 64 << 10;
const HEADER_COUNT: usize = 100;
const COMMAND: usize = 128 << 10;
const NAME: usize = 255;
/// More redirects than these are followed for nobody.
const REDIRECTS: u32 = 20;
/// So much of a hook's own text stands in a message about it.
const SHOWN: usize = 200;

/// The limits of `send-all`.
const REQUESTS: usize = 1000;
const AT_ONCE: u32 = 64;

/// The limits of the store.
const KEY: usize = 256;
const VALUE: usize = 64 << 10;
const KEYS: usize = 1000;

fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        1..=KEY => Ok(()),
        _ => Err(Error::new(ErrorCode::TooLarge, format!("a key has 1 to {KEY} bytes"))),
    }
}

impl Call {
    async fn secret(&self, name: &str) -> Result<String, Error> {
        if name.is_empty() || name.len() > NAME {
            return Err(Error::new(ErrorCode::Invalid, format!("the name of a secret has 1 to {NAME} bytes")));
        }
        self.check(&Ask::Secret(name.to_owned()))?;
        let secret = self.told(&format!("secret {name}"), |_| "read".into(), self.capabilities.secret(name).await)?;
        self.speaker.hide(&secret);
        Ok(secret)
    }

    fn may_inspect(&self, target: &str) -> Result<Subject, Error> {
        let (subject, kind) = self.subject(target)?;
        let ask = match kind {
            Kind::Candidate => Ask::InspectCandidate,
            Kind::Live => Ask::InspectLive,
            Kind::Service(name) => Ask::InspectService(name),
        };
        self.check(&ask)?;
        Ok(subject)
    }

    async fn container_state(&self, target: &str) -> Result<ContainerState, Error> {
        let subject = self.may_inspect(target)?;
        let result = self.capabilities.container_state(subject).await;
        self.told(&format!("inspect {target}"), |state| state.status.clone(), result)
    }

    async fn container_usage(&self, target: &str) -> Result<ContainerUsage, Error> {
        let subject = self.may_inspect(target)?;
        let result = self.capabilities.container_usage(subject).await;
        self.told(&format!("usage of {target}"), |usage| format!("{} bytes of memory", usage.memory), result)
    }

    async fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        check_key(key)?;
        let result = self.capabilities.state_get(&self.hook, key).await;
        let end = |value: &Option<Vec<u8>>| match value {
            Some(value) => format!("{} bytes", value.len()),
            None => "none".to_owned(),
        };
        self.told(&format!("state get {key}"), end, result)
    }

    async fn state_set(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), Error> {
        self.may_store(key, value.as_deref()).await?;
        let deed = if value.is_some() { "set" } else { "delete" };
        let result = self.capabilities.state_set(&self.hook, key, value).await;
        self.told(&format!("state {deed} {key}"), |()| "done".into(), result)
    }

    async fn state_compare_and_set(
        &self,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> Result<bool, Error> {
        self.may_store(key, value.as_deref()).await?;
        let result = self.capabilities.state_compare_and_set(&self.hook, key, expected, value).await;
        let end = |done: &bool| if *done { "done" } else { "it has another value" }.to_owned();
        self.told(&format!("state compare-and-set {key}"), end, result)
    }

    async fn state_keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        if !prefix.is_empty() {
            check_key(prefix)?;
        }
        let result = self.capabilities.state_keys(&self.hook, prefix).await;
        self.told(&format!("state keys {prefix}"), |keys| keys.len().to_string(), result)
    }

    /// Checks a key and a value that are about to be stored.
    async fn may_store(&self, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
        check_key(key)?;
        let Some(value) = value else { return Ok(()) };
        if value.len() > VALUE {
            return Err(Error::new(ErrorCode::TooLarge, format!("a value has at most {VALUE} bytes")));
        }
        if self.speaker.hides(key.as_bytes()) || self.speaker.hides(value) {
            return Err(Error::new(ErrorCode::Invalid, "a secret is not stored: ask for it again when it is needed"));
        }
        let keys = self.capabilities.state_keys(&self.hook, "").await?;
        if keys.len() >= KEYS && !keys.iter().any(|known| known == key) {
            return Err(Error::new(ErrorCode::TooLarge, format!("a hook has at most {KEYS} keys")));
        }
        Ok(())
    }

    /// Hides what the hook may know of secrets, so that they are hidden also where it remembers them or was told them by others.
    pub(super) async fn hide_secrets(&self, names: &[String]) {
        for name in names {
            if let Ok(secret) = self.capabilities.secret(name).await {
                self.speaker.hide(&secret);
            }
        }
    }

    async fn measure(&self, window: &str) -> Result<Measurement, Error> {
        let wanted = match window {
            "since-switch" => Window::SinceSwitch,
            "before" => Window::Before,
            other => {
                let message = format!("`{}` is not a window (since-switch, before)", shown(other));
                return Err(Error::new(ErrorCode::Invalid, message));
            }
        };
        let result = self.capabilities.metrics(wanted).await;
        let end = |measured: &Measurement| format!("{} requests, {} failed", measured.requests, measured.failures);
        self.told(&format!("metrics {window}"), end, result)
    }
}
