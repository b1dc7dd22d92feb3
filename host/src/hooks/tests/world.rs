//! A small world, and what every test needs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::hooks::{
    Capabilities, CommandOutput, CommandRequest, ContainerState, ContainerUsage, Context, Engine, Error, Hook,
    HttpRequest, HttpResponse, Limits, Line, Log, Measurement, Member, Stage, Subject, Window,
};
use crate::model::{Container, Failure, HookSpec, RunId};

/// One engine for all tests, without a cache.
pub(super) fn engine() -> Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    ENGINE.get_or_init(|| Arc::new(Engine::new(None).expect("wasmtime works here"))).clone()
}

/// Limits that make tests short.
pub(super) fn tight() -> Limits {
    Limits {
        deadline: Duration::from_millis(300),
        cpu: Duration::from_secs(10),
        memory: 16 << 20,
        log: 64 << 10,
        reply: 1 << 16,
        ..Limits::default()
    }
}

pub(super) fn context() -> Context {
    let member = |name: &str, image: &str| Member {
        container: Container {
            id: format!("id-of-{name}"),
            name: name.to_owned(),
            image: image.to_owned(),
            address: Some(([172, 18, 0, 5], 9000).into()),
        },
        image_name: "demo-app".to_owned(),
    };
    Context {
        run: RunId("20260131-154502-9f3a".to_owned()),
        service: "app".parse().unwrap(),
        project: "demo".to_owned(),
        stage: Stage::Candidate,
        candidate: member("demo-app-2", "sha256:2222"),
        candidates: vec![member("demo-app-2", "sha256:2222")],
        live: vec![member("demo-app-1", "sha256:1111")],
        attempt: 1,
        elapsed: Duration::ZERO,
        operator: "ann".to_owned(),
        reason: None,
    }
}

/// A folder with a component as `NAME.wasm` in it. The folder lives as long as the value.
pub(super) struct OnDisk {
    pub folder: tempfile::TempDir,
    pub file: PathBuf,
}

pub(super) fn on_disk(name: &str, bytes: &[u8]) -> OnDisk {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(format!("{name}.wasm"));
    std::fs::write(&file, bytes).expect("a file");
    OnDisk { folder, file }
}

pub(super) fn spec(disk: &OnDisk, allow: &[&str]) -> HookSpec {
    HookSpec {
        file: disk.file.to_string_lossy().into_owned(),
        config: [("key".to_owned(), "value".to_owned())].into(),
        allow: allow.iter().map(|grant| (*grant).to_owned()).collect(),
    }
}

/// Loads a component under the name `bad`.
pub(super) fn load(bytes: &[u8], allow: &[&str]) -> Result<Hook, Failure> {
    let disk = on_disk("bad", bytes);
    Hook::load(&engine(), &spec(&disk, allow))
        .map_err(|failure| Failure {
            what: failure.what.replace(disk.folder.path().to_str().unwrap(), "…"), ..failure
        })
}

/// Lines as text, kept.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<String>>>);

impl Kept {
    pub(super) fn log(&self) -> Log {
        let kept = self.clone();
        Arc::new(move |line: Line| {
            kept.0.lock().unwrap().push(format!("{} {} {:?}: {}", line.hook, line.phase, line.channel, line.text));
        })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A world in which every command exits 0, every request is answered by `answer` or never, and nothing else is there.
#[derive(Default)]
pub(super) struct Small {
    pub answer: Option<HttpResponse>,
    /// Whether a request was begun.
    pub begun: Arc<Mutex<bool>>,
    /// Whether one was answered or given up.
    pub dropped: Arc<Mutex<bool>>,
}

struct Noticed(Arc<Mutex<bool>>);

impl Drop for Noticed {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = true;
    }
}

fn nothing<T: Send + 'static>() -> BoxFuture<'static, Result<T, Error>> {
    async { Err(Error::unavailable("not in this world")) }.boxed()
}

impl Capabilities for Small {
    fn exec(&self, _: CommandRequest) -> BoxFuture<'_, Result<CommandOutput, Error>> {
        async { Ok(CommandOutput::default()) }.boxed()
    }

    fn http(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, Error>> {
        *self.begun.lock().unwrap() = true;
        let noticed = Noticed(self.dropped.clone());
        async move {
            let _noticed = noticed;
            match &self.answer {
                Some(answer) if request.url.path() != "/end" => Ok(answer.clone()),
                Some(_) => Ok(HttpResponse { status: 200, ..HttpResponse::default() }),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn container_state(&self, _: Subject) -> BoxFuture<'_, Result<ContainerState, Error>> {
        nothing()
    }

    fn container_usage(&self, _: Subject) -> BoxFuture<'_, Result<ContainerUsage, Error>> {
        nothing()
    }

    fn state_get(&self, _: &str, _: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        nothing()
    }

    fn state_set(&self, _: &str, _: &str, _: Option<Vec<u8>>) -> BoxFuture<'_, Result<(), Error>> {
        nothing()
    }

    fn state_compare_and_set(
        &self,
        _: &str,
        _: &str,
        _: Option<Vec<u8>>,
        _: Option<Vec<u8>>,
    ) -> BoxFuture<'_, Result<bool, Error>> {
        nothing()
    }

    fn state_keys(&self, _: &str, _: &str) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        nothing()
    }

    fn metrics(&self, _: Window) -> BoxFuture<'_, Result<Measurement, Error>> {
        nothing()
    }

    fn secret(&self, _: &str) -> BoxFuture<'_, Result<String, Error>> {
        nothing()
    }
}
