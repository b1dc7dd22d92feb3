//! What hooks cost: `hooks/build && cargo bench -p swap --bench hooks`.
//!
//! How late calls end that never would: with a hook that misbehaves, `scripts/build-hook tests/hooks/awkward
//! target/test-hooks/awkward.wasm`.
//!
//! Prints medians and the best of many, as a busy machine is late for reasons of its own. "First verdict" is a process of
//! its own, from its start by another one to the answer of `http-health`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use swap::hooks::{
    Capabilities, CommandOutput, CommandRequest, ContainerState, ContainerUsage, Context, Engine, Error, Hook, Hooks,
    HttpRequest, HttpResponse, Limits, Log, Measurement, Member, Reply, Stage, Subject, Window,
};
use swap::model::{Container, HookSpec, Phase, RunId};

/// The library's hooks, with a config that lets them answer well.
const LIBRARY: [(&str, &[(&str, &str)]); 6] = [
    ("migrate", &[("command", "php migrate.php")]),
    ("http-health", &[("path", "/up")]),
    ("warmup", &[("paths", "/ /news")]),
    ("slo-guard", &[]),
    ("deploy-window", &[]),
    ("notify", &[("url", "http://front-door/notify")]),
];
/// The argument that makes this program the process whose first verdict is awaited.
const VERDICT: &str = "--first-verdict";
/// The argument that makes it a process that does nothing, as `swap --version` does.
const NOTHING: &str = "--nothing";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, verdict, cache, hook] = &arguments[..]
        && verdict == VERDICT
    {
        return first_verdict(Path::new(cache), hook);
    }
    if arguments.get(1).is_some_and(|argument| argument == NOTHING) {
        return println!("healthy");
    }
    let missing: Vec<String> =
        specs().into_iter().map(|spec| spec.file).filter(|file| !Path::new(file).exists()).collect();
    if !missing.is_empty() {
        eprintln!("error: no {}\nhint: hooks/build", missing.join(", "));
        std::process::exit(1);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let cache = |name: String| folder.path().join(name);
    let verdict = |name: String, hook: &str| process(&[VERDICT.as_ref(), cache(name).as_os_str(), hook.as_ref()]);
    let nothing = measure(60, |_| process(&[NOTHING.as_ref()]));
    row("a process that does nothing", "", &nothing);
    let above = |all: Vec<Duration>| -> Vec<Duration> {
        all.iter().map(|time| time.saturating_sub(nothing[nothing.len() / 2])).collect()
    };
    for hook in ["slo-guard", "http-health"] {
        let size = std::fs::metadata(&specs_of(hook).file).map_or(0, |data| data.len() / 1000);
        let cold = measure(30, |turn| verdict(format!("cold-{hook}-{turn}"), hook));
        row(&format!("above it: {hook}, {size} KB, not compiled"), "≤ 30 ms", &above(cold));
        verdict("warm".into(), hook);
        let warm = measure(60, |_| verdict("warm".into(), hook));
        row(&format!("above it: {hook}, compiled before"), "≤ 3 ms", &above(warm));
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let warm = cache("warm".into());
    let engine = || Arc::new(Engine::new(Some(&warm)).expect("wasmtime works here"));
    row("  of it: setting wasmtime up", "", &measure(60, |_| timed(|| drop(engine()))));
    let ready = engine();
    let all = specs();
    Hooks::load(&ready, &all).expect("the library loads");
    row("  of it: loading the hook", "", &measure(60, |_| timed(|| drop(Hook::load(&ready, &all[1])))));

    let guard = Hook::load(&ready, &all[3]).expect("slo-guard loads");
    let judge = || assert_eq!(runtime.block_on(ask(&guard, Phase::Health)), Reply::Healthy);
    row("a call, its instance included", "≤ 50 µs", &measure(2000, |_| timed(judge)));

    let swap = || {
        let hooks = Hooks::load(&engine(), &all).expect("the library loads");
        for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Rollback) {
            hooks.of(phase).for_each(|hook| drop(runtime.block_on(ask(hook, phase))));
        }
    };
    row("a swap with six hooks over one with none", "≤ 30 ms", &measure(60, |_| timed(swap)));
    lateness(&ready, &runtime);
}

/// Prints how long after their deadline calls end that do not end by themselves: those that compute, and those that wait for
/// who does not answer.
fn lateness(engine: &Arc<Engine>, runtime: &tokio::runtime::Runtime) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-hooks/awkward.wasm");
    if !file.exists() {
        return println!("left out: how late a call ends, as there is no {}", file.display());
    }
    for does in ["loop", "fill", "sleep", "hold", "headers", "bodies", "redirects", "store", "run"] {
        let config = [("in", "health"), ("does", does), ("mib", "40")];
        let spec = HookSpec {
            file: file.to_string_lossy().into_owned(),
            config: config.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            allow: Vec::new(),
        };
        let hook = Hook::load(engine, &spec).expect("it loads");
        let deadline = Duration::from_millis(200);
        let limits = Limits { deadline, ..Limits::default() };
        let late = |_| {
            let log: Log = Arc::new(|_| {});
            let context = context();
            let call = hook.call(Phase::Health, &context, Arc::new(World { answers: false }), limits, log);
            let took = timed(|| drop(runtime.block_on(call)));
            took.saturating_sub(deadline)
        };
        let all = measure(30, late);
        row(&format!("a call that would {does}, past its deadline"), "≤ 50 ms", &all);
        println!("{:42} longest {:>8?}", "", all.last().copied().unwrap_or_default());
    }
}

fn specs() -> Vec<HookSpec> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hooks");
    let file = |name: &str| folder.join(format!("{name}.wasm")).to_string_lossy().into_owned();
    let own = |config: &[(&str, &str)]| config.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    LIBRARY.iter().map(|(name, config)| HookSpec { file: file(name), config: own(config), allow: Vec::new() }).collect()
}

fn specs_of(hook: &str) -> HookSpec {
    let of_that_name = |spec: &HookSpec| spec.file.ends_with(&format!("/{hook}.wasm"));
    specs().into_iter().find(of_that_name).expect("a hook of the library")
}

fn timed(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

fn measure(times: usize, mut one: impl FnMut(usize) -> Duration) -> Vec<Duration> {
    let mut all: Vec<Duration> = (0..times).map(&mut one).collect();
    all.sort();
    all
}

/// Prints one line from sorted durations.
fn row(what: &str, target: &str, sorted: &[Duration]) {
    let text = |duration: Duration| match duration.as_micros() {
        micros @ 0..1000 => format!("{micros} µs"),
        micros => format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10),
    };
    let (best, median) = (sorted[0], sorted[sorted.len() / 2]);
    println!("{what:42} median {:>9}   best {:>9}   of {:4}   {target}", text(median), text(best), sorted.len());
}

/// Measures a process of this program from its start to its first verdict.
fn process(arguments: &[&OsStr]) -> Duration {
    let program: PathBuf = std::env::current_exe().expect("this program");
    let begin = Instant::now();
    let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().expect("this program starts");
    let mut line = String::new();
    let _ = BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line);
    let took = begin.elapsed();
    assert!(child.wait().is_ok_and(|status| status.success()) && line == "healthy\n", "it said `{line}`");
    took
}

/// What that process does.
fn first_verdict(cache: &Path, hook: &str) {
    let engine = Arc::new(Engine::new(Some(cache)).expect("wasmtime works here"));
    let hook = Hook::load(&engine, &specs_of(hook)).expect("the hook loads");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    assert_eq!(runtime.block_on(ask(&hook, Phase::Health)), Reply::Healthy);
    let _ = std::io::stdout().write_all(b"healthy\n");
}

async fn ask(hook: &Hook, phase: Phase) -> Reply {
    let log: Log = Arc::new(|_| {});
    hook.call(phase, &context(), Arc::new(World { answers: true }), Limits::default(), log).await.expect("an answer")
}

fn context() -> Context {
    let member = |name: &str| Member {
        container: Container {
            id: format!("id-of-{name}"),
            name: name.to_owned(),
            image: format!("sha256:{name}"),
            address: Some(([172, 18, 0, 5], 9000).into()),
        },
        image_name: "demo-app".to_owned(),
    };
    Context {
        run: RunId("20260101-000000-0001".to_owned()),
        service: "app".parse().expect("a service"),
        project: "demo".to_owned(),
        stage: Stage::Candidate,
        candidate: member("demo-app-2"),
        candidates: vec![member("demo-app-2")],
        live: vec![member("demo-app-1")],
        attempt: 1,
        elapsed: Duration::ZERO,
        operator: "ann".to_owned(),
        reason: None,
    }
}

/// A world that takes no time: the store is empty, and requests are answered by 200 and commands exit with 0, or nobody answers.
struct World {
    answers: bool,
}

impl World {
    fn answer<T: Send + 'static>(&self, value: T) -> BoxFuture<'static, Result<T, Error>> {
        if self.answers { now(value) } else { std::future::pending().boxed() }
    }
}

fn now<T: Send + 'static>(value: T) -> BoxFuture<'static, Result<T, Error>> {
    std::future::ready(Ok(value)).boxed()
}

fn nothing<T: Send + 'static>() -> BoxFuture<'static, Result<T, Error>> {
    std::future::ready(Err(Error::unavailable("not in this world"))).boxed()
}

impl Capabilities for World {
    fn exec(&self, _: CommandRequest) -> BoxFuture<'_, Result<CommandOutput, Error>> {
        self.answer(CommandOutput::default())
    }

    fn http(&self, _: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, Error>> {
        self.answer(HttpResponse { status: 200, ..HttpResponse::default() })
    }

    fn container_state(&self, _: Subject) -> BoxFuture<'_, Result<ContainerState, Error>> {
        nothing()
    }

    fn container_usage(&self, _: Subject) -> BoxFuture<'_, Result<ContainerUsage, Error>> {
        nothing()
    }

    fn state_get(&self, _: &str, _: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        now(None)
    }

    fn state_set(&self, _: &str, _: &str, _: Option<Vec<u8>>) -> BoxFuture<'_, Result<(), Error>> {
        now(())
    }

    fn state_compare_and_set(
        &self,
        _: &str,
        _: &str,
        _: Option<Vec<u8>>,
        _: Option<Vec<u8>>,
    ) -> BoxFuture<'_, Result<bool, Error>> {
        now(true)
    }

    fn state_keys(&self, _: &str, _: &str) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        now(Vec::new())
    }

    fn metrics(&self, _: Window) -> BoxFuture<'_, Result<Measurement, Error>> {
        nothing()
    }

    fn secret(&self, _: &str) -> BoxFuture<'_, Result<String, Error>> {
        nothing()
    }
}
