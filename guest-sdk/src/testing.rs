//! A scripted world: hook code runs natively against it, without Docker and WebAssembly.
//!
//! What is not scripted is not there: a request to an unknown URL is `unreachable`, an unknown command `not-found`.
//! Grants are not checked; `swap hooks test` does.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::bindings::swap::hooks::{exec, http, inspect, metrics, types};
use crate::{Container, Context, Health, Hook, Outcome};

/// A world for hooks to run in. Built by its methods, then asked by [`health`](World::health) and its like, which may be
/// called many times.
#[derive(Clone, Default)]
pub struct World(Rc<RefCell<Script>>);

#[derive(Default)]
struct Script {
    config: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
    state: BTreeMap<String, Vec<u8>>,
    answers: BTreeMap<String, VecDeque<Answer>>,
    commands: BTreeMap<String, VecDeque<exec::Output>>,
    containers: BTreeMap<String, (inspect::ContainerState, inspect::ContainerUsage)>,
    measurements: BTreeMap<String, VecDeque<metrics::Measurement>>,
    context: Option<Context>,
    clock: Duration,
    lines: Vec<String>,
    deeds: Vec<String>,
}

/// One scripted answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    latency: Duration,
}

impl Answer {
    /// Answers with a status and a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), latency: Duration::from_millis(1) }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes this long.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }
}

impl From<u16> for Answer {
    fn from(status: u16) -> Self {
        Self::new(status, "")
    }
}

impl World {
    /// Makes a world in which nothing is there, at 2026-01-01 00:00 UTC.
    pub fn new() -> Self {
        let world = Self::default();
        world.0.borrow_mut().clock = Duration::from_secs(1_767_225_600);
        world
    }

    fn with(self, change: impl FnOnce(&mut Script)) -> Self {
        change(&mut self.0.borrow_mut());
        self
    }

    /// Answers requests to a URL one after the other; the last answer is repeated.
    pub fn answers<A: Into<Answer>>(self, url: &str, answers: impl IntoIterator<Item = A>) -> Self {
        self.with(|script| {
            script.answers.insert(url.to_owned(), answers.into_iter().map(Into::into).collect());
        })
    }

    /// Lets a command (target and words, as `one-off php migrate.php`) exit with a code and an output; more than once for
    /// one after the other, the last is repeated.
    pub fn command(self, command: &str, code: i32, stdout: &str) -> Self {
        self.with(|script| {
            let output =
                exec::Output { code, stdout: stdout.as_bytes().to_vec(), stderr: Vec::new(), truncated: false };
            script.commands.entry(command.to_owned()).or_default().push_back(output);
        })
    }

    /// Sets a key of the hook's config.
    pub fn config(self, key: &str, value: &str) -> Self {
        self.with(|script| {
            script.config.insert(key.to_owned(), value.to_owned());
        })
    }

    /// Sets a secret.
    pub fn secret(self, name: &str, value: &str) -> Self {
        self.with(|script| {
            script.secrets.insert(name.to_owned(), value.to_owned());
        })
    }

    /// Sets a key of the hook's store.
    pub fn state(self, key: &str, value: &str) -> Self {
        self.with(|script| {
            script.state.insert(key.to_owned(), value.as_bytes().to_vec());
        })
    }

    /// Lets a container be inspected.
    pub fn container(self, target: &str, state: inspect::ContainerState, usage: inspect::ContainerUsage) -> Self {
        self.with(|script| {
            script.containers.insert(target.to_owned(), (state, usage));
        })
    }

    /// Lets the front door have seen this in a window, `before` or `since-switch`; more than once for one after the other.
    pub fn measured(self, window: &str, requests: u64, failures: u64, p99: Duration) -> Self {
        self.with(|script| {
            let p99_us = u64::try_from(p99.as_micros()).unwrap_or(u64::MAX);
            let measurement = metrics::Measurement {
                requests,
                failures,
                duration_ms: 1000,
                p50_us: p99_us,
                p90_us: p99_us,
                p99_us,
                max_us: p99_us,
            };
            script.measurements.entry(window.to_owned()).or_default().push_back(measurement);
        })
    }

    /// Sets the time in seconds since 1970.
    pub fn at(self, seconds: u64) -> Self {
        self.with(|script| script.clock = Duration::from_secs(seconds))
    }

    /// Changes the context that the hook gets.
    pub fn context(self, change: impl FnOnce(&mut Context)) -> Self {
        self.with(|script| {
            let mut context = script.context.take().unwrap_or_else(default_context);
            change(&mut context);
            script.context = Some(context);
        })
    }

    /// Returns the lines that the hook logged, as `info: three to go`.
    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().lines.clone()
    }

    /// Returns what the hook did, as `GET http://candidate/up` and `exec one-off php migrate.php`.
    pub fn deeds(&self) -> Vec<String> {
        self.0.borrow().deeds.clone()
    }

    /// Returns the value of a key of the hook's store.
    pub fn stored(&self, key: &str) -> Option<String> {
        self.0.borrow().state.get(key).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Returns the seconds that went by on the world's clock since 1970.
    pub fn clock(&self) -> u64 {
        self.0.borrow().clock.as_secs()
    }

    /// Asks a hook's `pre_start`.
    pub fn pre_start<H: Hook>(&self) -> Outcome {
        self.ask("pre-start", H::pre_start)
    }

    /// Asks a hook's `health`.
    pub fn health<H: Hook>(&self) -> Health {
        self.ask("health", H::health)
    }

    /// Asks a hook's `pre_swap`.
    pub fn pre_swap<H: Hook>(&self) -> Outcome {
        self.ask("pre-swap", H::pre_swap)
    }

    /// Asks a hook's `post_swap`.
    pub fn post_swap<H: Hook>(&self) -> Outcome {
        self.ask("post-swap", H::post_swap)
    }

    /// Asks a hook's `rollback`.
    pub fn rollback<H: Hook>(&self) -> Outcome {
        self.ask("rollback", H::rollback)
    }

    /// Asks a hook's `finish`.
    pub fn finish<H: Hook>(&self) -> Outcome {
        self.ask("finish", H::finish)
    }

    fn ask<T>(&self, phase: &str, method: fn(&Context) -> T) -> T {
        let mut context = self.0.borrow().context.clone().unwrap_or_else(default_context);
        context.phase = phase.to_owned();
        let before = CURRENT.with(|current| current.replace(Some(self.clone())));
        let answer = method(&context);
        CURRENT.with(|current| current.replace(before));
        answer
    }
}

fn default_context() -> Context {
    let container = |name: &str, digest: &str| Container {
        name: name.to_owned(),
        id: format!("id-of-{name}"),
        image: "demo-app".to_owned(),
        digest: digest.to_owned(),
        address: Some("172.18.0.5:9000".to_owned()),
    };
    Context {
        run: "20260101-000000-0001".to_owned(),
        service: "app".to_owned(),
        project: "demo".to_owned(),
        phase: String::new(),
        stage: "candidate".to_owned(),
        candidate: container("demo-app-2", "sha256:2222"),
        candidates: vec![container("demo-app-2", "sha256:2222")],
        live: vec![container("demo-app-1", "sha256:1111")],
        attempt: 1,
        elapsed_ms: 0,
        remaining_ms: 300_000,
        operator: "ann".to_owned(),
        reason: None,
    }
}

thread_local! {
    static CURRENT: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Returns the next of a list of which the last is repeated.
fn next<T: Clone>(list: &mut VecDeque<T>) -> Option<T> {
    if list.len() > 1 { list.pop_front() } else { list.front().cloned() }
}

fn error(code: &str, message: String) -> types::Error {
    types::Error { code: code.to_owned(), message }
}

/// swap's imports, as this module scripts them.
pub(crate) mod world {
    use super::*;

    fn script<T>(work: impl FnOnce(&mut Script) -> T) -> T {
        CURRENT.with(|current| {
            let current = current.borrow();
            let world = current.as_ref().expect("hook code runs in a `World`: `world.health::<MyHook>()`");
            work(&mut world.0.borrow_mut())
        })
    }

    pub fn sleep(duration: Duration) {
        script(|script| script.clock += duration);
    }

    pub fn now() -> u64 {
        script(|script| script.clock.as_secs())
    }

    pub mod log {
        fn line(level: &str, message: &str) {
            super::script(|script| script.lines.push(format!("{level}: {message}")));
        }

        pub fn debug(message: &str) {
            line("debug", message);
        }

        pub fn info(message: &str) {
            line("info", message);
        }

        pub fn warn(message: &str) {
            line("warn", message);
        }

        pub fn error(message: &str) {
            line("error", message);
        }
    }

    pub mod config {
        use super::*;

        pub fn get(key: &str) -> Option<String> {
            script(|script| script.config.get(key).cloned())
        }

        pub fn entries() -> Vec<(String, String)> {
            script(|script| script.config.clone().into_iter().collect())
        }

        pub fn secret(name: &str) -> Result<String, types::Error> {
            let unknown = || error("not-found", format!("no secret `{name}`"));
            script(|script| script.secrets.get(name).cloned().ok_or_else(unknown))
        }
    }

    pub mod http {
        use super::*;

        pub fn send_all(
            requests: &[super::super::http::Request],
            _: u32,
        ) -> Vec<Result<super::super::http::Response, types::Error>> {
            requests.iter().map(send).collect()
        }

        pub fn send(request: &super::super::http::Request) -> Result<super::super::http::Response, types::Error> {
            script(|script| {
                script.deeds.push(format!("{} {}", request.method, request.url));
                let unknown = || error("unreachable", format!("{} does not answer", request.url));
                let answer = script.answers.get_mut(&request.url).and_then(next).ok_or_else(unknown)?;
                if let Some(limit) = request.timeout_ms
                    && answer.latency > Duration::from_millis(limit)
                {
                    script.clock += Duration::from_millis(limit);
                    return Err(error("timeout", format!("no answer within {limit}ms")));
                }
                script.clock += answer.latency;
                Ok(super::super::http::Response {
                    status: answer.status,
                    url: request.url.clone(),
                    headers: answer.headers,
                    body: answer.body,
                    truncated: false,
                    elapsed_us: u64::try_from(answer.latency.as_micros()).unwrap_or(u64::MAX),
                })
            })
        }
    }

    pub mod exec {
        use super::*;

        pub fn run(command: &super::super::exec::Command) -> Result<super::super::exec::Output, types::Error> {
            let words = format!("{} {}", command.target, command.argv.join(" "));
            script(|script| {
                script.deeds.push(format!("exec {words}"));
                let unknown = || error("not-found", format!("`{words}` is not scripted"));
                script.commands.get_mut(&words).and_then(next).ok_or_else(unknown)
            })
        }
    }

    pub mod inspect {
        use super::*;

        fn container<T>(
            target: &str,
            part: impl FnOnce(&(super::super::inspect::ContainerState, super::super::inspect::ContainerUsage)) -> T,
        ) -> Result<T, types::Error> {
            let unknown = || error("not-found", format!("no container `{target}`"));
            script(|script| script.containers.get(target).map(part).ok_or_else(unknown))
        }

        pub fn state(target: &str) -> Result<super::super::inspect::ContainerState, types::Error> {
            container(target, |(state, _)| state.clone())
        }

        pub fn usage(target: &str) -> Result<super::super::inspect::ContainerUsage, types::Error> {
            container(target, |(_, usage)| *usage)
        }
    }

    pub mod state {
        use super::*;

        pub fn get(key: &str) -> Result<Option<Vec<u8>>, types::Error> {
            Ok(script(|script| script.state.get(key).cloned()))
        }

        pub fn set(key: &str, value: &[u8]) -> Result<(), types::Error> {
            script(|script| script.state.insert(key.to_owned(), value.to_vec()));
            Ok(())
        }

        pub fn delete(key: &str) -> Result<(), types::Error> {
            script(|script| script.state.remove(key));
            Ok(())
        }

        pub fn compare_and_set(key: &str, expected: Option<&[u8]>, value: Option<&[u8]>) -> Result<bool, types::Error> {
            script(|script| {
                if script.state.get(key).map(Vec::as_slice) != expected {
                    return Ok(false);
                }
                match value {
                    Some(value) => script.state.insert(key.to_owned(), value.to_vec()),
                    None => script.state.remove(key),
                };
                Ok(true)
            })
        }

        pub fn keys(prefix: &str) -> Result<Vec<String>, types::Error> {
            Ok(script(|script| script.state.keys().filter(|key| key.starts_with(prefix)).cloned().collect()))
        }
    }

    pub mod metrics {
        use super::*;

        pub fn measure(window: &str) -> Result<super::super::metrics::Measurement, types::Error> {
            let unknown = || error("unavailable", format!("nothing was measured {window}"));
            script(|script| script.measurements.get_mut(window).and_then(next).ok_or_else(unknown))
        }
    }
}
