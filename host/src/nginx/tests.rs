//! Switches of a real nginx on loopback ports, between two small backends.
//!
//! nginx is `$SWAP_TEST_NGINX`, the installed one, or Debian's package unpacked into a temporary folder; without any of
//! them these tests fail, unless they are told that they have to do without.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::model::{RunId, ServiceName};

/// Longer than anything takes here, on a machine that is busy with other things.
const LONG: Duration = Duration::from_secs(30);

fn service() -> ServiceName {
    "app".parse().unwrap()
}

/// Finds an nginx once for all tests.
fn nginx_program() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let works = |path: &Path| Command::new(path).arg("-v").output().is_ok_and(|output| output.status.success());
    let find = || {
        let unpacked = std::env::temp_dir().join("swap-test-nginx");
        let usual = [PathBuf::from("/usr/sbin/nginx"), unpacked.join("usr/sbin/nginx")];
        let set = std::env::var_os("SWAP_TEST_NGINX").map(PathBuf::from);
        if let Some(found) = set.into_iter().chain(usual.clone()).find(|path| works(path)) {
            return Some(found);
        }
        std::fs::create_dir_all(&unpacked).ok()?;
        let fetch = "apt-get download nginx && for package in *.deb; do dpkg -x \"$package\" .; done";
        let _ = Command::new("sh").args(["-c", fetch]).current_dir(&unpacked).output();
        usual.into_iter().find(|path| works(path))
    };
    let found = FOUND.get_or_init(find).as_deref();
    if found.is_none() {
        crate::lacking::without("no nginx here, and `apt-get download nginx` gave none");
    }
    found
}

/// An HTTP server that answers its own name and counts; `/slow` sends half of it and waits for `release`.
struct Backend {
    address: std::net::SocketAddr,
    served: Arc<AtomicUsize>,
    release: watch::Sender<bool>,
}

impl Backend {
    async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, served) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (release, released) = watch::channel(false);
        let count = served.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (count, mut released) = (count.clone(), released.clone());
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", name.len());
                    let _ = stream.write_all(head.as_bytes()).await;
                    if request.starts_with(b"GET /slow") {
                        let _ = stream.write_all(&name.as_bytes()[..1]).await;
                        let _ = released.wait_for(|released| *released).await;
                        let _ = stream.write_all(&name.as_bytes()[1..]).await;
                    } else {
                        let _ = stream.write_all(name.as_bytes()).await;
                    }
                });
            }
        });
        Self { address, served, release }
    }

    fn upstream(&self, run: &str) -> String {
        render(&UpstreamFile {
            run: RunId(run.into()),
            project: "demo".into(),
            service: service(),
            upstream: service(),
            servers: vec![Server { address: self.address, container: "demo-app".into(), id: "0123456789ab".into() }],
            fallback: None,
            kept: Kept::default(),
            rest: None,
        })
    }

    fn change(&self, run: &str) -> [FileChange; 1] {
        [FileChange::upstream(&service(), Some(self.upstream(run)))]
    }
}

/// An nginx in a folder of its own, and two backends. The upstream names `old`.
struct Stage {
    folder: PathBuf,
    program: &'static Path,
    arguments: Vec<String>,
    master: Child,
    port: u16,
    old: Backend,
    new: Backend,
}

impl Stage {
    /// `None` if there is no nginx.
    async fn set() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let program = nginx_program()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("swap-nginx-{}-{number}", std::process::id()));
        std::fs::create_dir_all(folder.join("swap")).unwrap();
        let port = free_port();
        let (old, new) = (Backend::start("old").await, Backend::start("new").await);
        std::fs::write(folder.join("swap/app.conf"), old.upstream("1")).unwrap();
        std::fs::write(folder.join("nginx.conf"), configuration(port, "")).unwrap();
        let arguments =
            ["-p", &format!("{}/", folder.display()), "-c", "nginx.conf", "-g", "daemon off; worker_processes 2;"]
                .map(str::to_owned)
                .to_vec();
        let master = start(program, &arguments);
        let stage = Stage { folder, program, arguments, master, port, old, new };
        stage.await_port().await;
        Some(stage)
    }

    async fn await_port(&self) {
        let began = Instant::now();
        // An answer of a worker, that this is no request: the port is open before the master has its name and its workers.
        let answers = async || {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)).await else { return false };
            let asked = stream.write_all(b"nonsense\r\n\r\n").await;
            asked.is_ok() && stream.read_u8().await.is_ok()
        };
        while !answers().await {
            assert!(began.elapsed() < LONG, "nginx does not listen:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn proxy(&self) -> Proxy<LocalShell> {
        Proxy::new(LocalShell::new(), Home::Host).patience(Duration::from_secs(2))
    }

    fn swap_folder(&self) -> String {
        self.folder.join("swap").display().to_string()
    }

    async fn observe(&self) -> Observation {
        self.proxy().observe(&service(), Some(&self.swap_folder())).await.unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.join("swap")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn upstream(&self) -> String {
        std::fs::read_to_string(self.folder.join("swap/app.conf")).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }

    async fn get(&self) -> String {
        get(self.port, "/").await.unwrap()
    }

    /// The text with what differs from run to run replaced.
    fn shown(&self, text: &str) -> String {
        text.replace(&self.folder.display().to_string(), "$STAGE")
    }

    fn signal(&self, name: &str) {
        signal(name, self.master.id());
    }

    fn restart(&mut self) {
        self.signal("TERM");
        self.master.wait().unwrap();
        self.master = start(self.program, &self.arguments);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A killed master would leave its workers behind.
        self.signal("TERM");
        let _ = self.master.wait();
        // Another test that looks for its own nginx may just be asking this one, which makes folders.
        while self.folder.exists() && std::fs::remove_dir_all(&self.folder).is_err() {}
    }
}

fn start(program: &Path, arguments: &[String]) -> Child {
    Command::new(program).args(arguments).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(name: &str, pid: u32) {
    let line = format!("kill -{name} {pid}");
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success(), "{line}");
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn configuration(port: u16, more: &str) -> String {
    let temps: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path temp-{name};\n"))
        .concat();
    format!(
        "pid nginx.pid;\nerror_log error.log warn;\nevents {{}}\nhttp {{\n    access_log off;\n{temps}\
         \x20   include swap/*.conf;\n    server {{\n        listen 127.0.0.1:{port};\n{more}\
         \x20       location / {{ proxy_pass http://app; proxy_buffering off; }}\n    }}\n}}\n"
    )
}

/// One request on a connection of its own; the body.
async fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(answer)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_tells_all_that_a_switch_needs() {
    let Some(stage) = Stage::set().await else { return };
    let observation = stage.observe().await;
    assert_eq!(observation.problems(), []);
    assert_eq!(observation.nginx.master.pid, stage.master.id());
    assert_eq!(observation.nginx.arguments, stage.arguments);
    assert_eq!(observation.nginx.binary, stage.program.display().to_string());
    assert_eq!((observation.nginx.folder, observation.nginx.syncs_files), (stage.swap_folder(), true));
    let log = stage.folder.join("error.log").display().to_string();
    assert_eq!(observation.nginx.error_log, ErrorLog::File(log));
    let Folder { exists, writable, upstream, tuning, .. } = observation.folder.clone();
    assert_eq!((exists, writable, upstream, tuning), (true, true, Some(stage.old.upstream("1")), None));
    let configuration = observation.configuration.clone().unwrap();
    let pass = Pass {
        directive: "proxy_pass".into(),
        value: "http://app".into(),
        place: format!("{}/nginx.conf:14", stage.folder.display()),
    };
    let reach = reach(&configuration, &Names::of(service()));
    assert_eq!(reach, ServiceWays { passes: vec![pass], ..ServiceWays::default() });
    assert_eq!(configuration.settings.get("daemon").map(String::as_str), Some("off"));
    assert_eq!(stage.files(), ["app.conf"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_look_tells_of_several_upstreams_what_a_look_for_each_does() {
    let Some(stage) = Stage::set().await else { return };
    std::fs::write(stage.folder.join("swap/other.conf"), "upstream other { server 127.0.0.1:9; }\n").unwrap();
    let names: Vec<ServiceName> =
        ["app", "other", "third", "swap-tuning"].iter().map(|name| name.parse().unwrap()).collect();
    let folder = stage.swap_folder();
    let known = |observed: Result<Observation, Failure>| {
        // How long it took differs each time.
        observed.map(|Observation { nginx, configuration, folder, .. }| (nginx.master, configuration, folder))
    };
    let together = stage.proxy().observe_all(&names, Some(&folder)).await.unwrap();
    for (name, observed) in names.iter().zip(together) {
        assert_eq!(known(observed), known(stage.proxy().observe(name, Some(&folder)).await), "{name}");
    }
    let failure = stage.proxy().observe(&names[3], Some(&folder)).await.unwrap_err();
    assert_eq!(failure.what, "the service `swap-tuning` has the name of swap's own file `swap-tuning.conf`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_moves_every_request_and_fails_none() {
    let Some(stage) = Stage::set().await else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let (port, ended) = (stage.port, stop.clone());
    let load = tokio::spawn(async move {
        let mut answered = 0;
        while !ended.load(Ordering::Relaxed) {
            get(port, "/").await.unwrap();
            answered += 1;
        }
        answered
    });
    let (proxy, nginx) = (stage.proxy(), stage.observe().await.nginx);
    let generation = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap();
    assert_eq!((generation.master.pid, generation.workers.len()), (stage.master.id(), 2));
    assert!(proxy.await_turned(&generation, LONG).await.unwrap());
    for _ in 0..20 {
        assert_eq!(stage.get().await, "new");
    }
    proxy.await_drained(&generation, LONG, |_| {}).await.unwrap();
    assert_eq!(proxy.drained(&generation).await.unwrap(), []);
    stop.store(true, Ordering::Relaxed);
    let answered: usize = load.await.unwrap();
    assert_eq!(stage.old.served.load(Ordering::Relaxed) + stage.new.served.load(Ordering::Relaxed), answered + 20);
    assert_eq!(stage.files(), ["app.conf"]);
    assert_eq!(parse(&stage.upstream()).unwrap().run, RunId("2".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_back_and_switching_twice_are_switches() {
    let Some(stage) = Stage::set().await else { return };
    let (proxy, nginx) = (stage.proxy(), stage.observe().await.nginx);
    let first = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap();
    let second = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap();
    let back = proxy.switch(&nginx, &stage.old.change("1")).await.unwrap();
    assert!(second.workers.iter().any(|worker| !first.workers.contains(worker)));
    for generation in [first, second, back] {
        proxy.await_drained(&generation, LONG, |_| {}).await.unwrap();
    }
    assert_eq!(stage.get().await, "old");
    assert_eq!(stage.upstream(), stage.old.upstream("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_projects_switch_one_nginx_at_once_and_neither_takes_the_others_reload_for_its_own() {
    let Some(stage) = Stage::set().await else { return };
    let backends = [Backend::start("blog one").await, Backend::start("blog two").await];
    let blog: ServiceName = "blog-app".parse().unwrap();
    let blog_change = |at: usize| {
        let file = UpstreamFile {
            project: "blog".into(),
            upstream: blog.clone(),
            ..parse(&backends[at].upstream(&at.to_string())).unwrap()
        };
        [FileChange::upstream(&blog, Some(render(&file)))]
    };
    std::fs::write(stage.folder.join("swap/blog-app.conf"), blog_change(0)[0].text.clone().unwrap()).unwrap();
    let more = "location /blog { proxy_pass http://blog-app; }\n";
    std::fs::write(stage.folder.join("nginx.conf"), configuration(stage.port, more)).unwrap();
    stage.signal("HUP");
    let began = Instant::now();
    while get(stage.port, "/blog").await.is_err() {
        assert!(began.elapsed() < LONG, "nginx does not know the other project:\n{}", stage.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (nginx, tuning) = (stage.observe().await.nginx, stage.observe().await.tuning().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let load = |path: &'static str| {
        let (port, ended) = (stage.port, stop.clone());
        tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                get(port, path).await.unwrap();
            }
        })
    };
    let loads = [load("/"), load("/blog")];
    for round in 0..12 {
        let (app, at) = if round % 2 == 0 { (&stage.new, 1) } else { (&stage.old, 0) };
        // Both want the settings that nobody has, at the same moment.
        let changes = |change: [FileChange; 1]| [change.to_vec(), vec![tuning.clone()]].concat();
        let (ours, theirs) = (changes(app.change(&round.to_string())), changes(blog_change(at)));
        let (one, other) = (stage.proxy(), stage.proxy());
        let (first, second) = tokio::join!(one.switch(&nginx, &ours), other.switch(&nginx, &theirs));
        for (proxy, generation) in [(&one, first.unwrap()), (&other, second.unwrap())] {
            proxy.await_drained(&generation, LONG, |_| {}).await.unwrap();
        }
        // Whoever was replaced could be stopped now: nobody asks them any more.
        let name = if round % 2 == 0 { ("new", "blog two") } else { ("old", "blog one") };
        let gone = [if round % 2 == 0 { &stage.old } else { &stage.new }, &backends[1 - at]];
        let before = gone.map(|backend| backend.served.load(Ordering::Relaxed));
        for _ in 0..5 {
            assert_eq!((stage.get().await.as_str(), get(stage.port, "/blog").await.unwrap().as_str()), name);
        }
        assert_eq!(gone.map(|backend| backend.served.load(Ordering::Relaxed)), before, "round {round}");
    }
    stop.store(true, Ordering::Relaxed);
    for load in loads {
        load.await.unwrap();
    }
    assert_eq!(stage.files(), ["app.conf", "blog-app.conf", TUNING_FILE]);
    // A run that is unwound leaves the settings to those that rely on them.
    let release =
        |name: &ServiceName| [(FileChange::upstream(name, None)), FileChange { text: None, ..tuning.clone() }];
    std::fs::write(stage.folder.join("nginx.conf"), configuration(stage.port, "")).unwrap();
    stage.proxy().switch(&nginx, &release(&blog)).await.unwrap();
    assert_eq!(stage.files(), ["app.conf", TUNING_FILE]);
    std::fs::write(
        stage.folder.join("nginx.conf"),
        configuration(stage.port, "").replace("http://app", "http://127.0.0.1:1"),
    )
    .unwrap();
    stage.proxy().switch(&nginx, &release(&service())).await.unwrap();
    assert_eq!(stage.files(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_go_with_the_switch_where_nobody_has_them() {
    let Some(stage) = Stage::set().await else { return };
    let (proxy, observation) = (stage.proxy(), stage.observe().await);
    let tuning = observation.tuning().unwrap();
    let version = observation.configuration.as_ref().unwrap().version;
    let [upstream] = stage.new.change("2");
    proxy.switch(&observation.nginx, &[upstream, tuning.clone()]).await.unwrap();
    assert_eq!(stage.files(), ["app.conf", TUNING_FILE]);
    let observation = stage.observe().await;
    assert_eq!(observation.folder.tuning, tuning.text);
    assert_eq!(observation.tuning(), None);
    assert_eq!(observation.notices(LONG, true).len(), usize::from(!version.knows_keepalive_min_timeout()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_was_broken_before_is_told_as_such() {
    let Some(stage) = Stage::set().await else { return };
    std::fs::write(stage.folder.join("nginx.conf"), configuration(stage.port, "nonsense on;\n")).unwrap();
    let observation = stage.observe().await;
    let broken: Vec<String> = observation.problems().iter().map(|problem| stage.shown(&problem.what)).collect();
    assert_eq!(
        broken,
        [
            "nginx's configuration is broken before swap did anything: unknown directive \"nonsense\" in $STAGE/nginx.conf:14"
        ]
    );
    let refused = stage.proxy().switch(&observation.nginx, &stage.new.change("2")).await.unwrap_err();
    assert!(refused.restored);
    assert_eq!(
        stage.shown(&refused.failure.what),
        "nginx refused its configuration with the new upstream: unknown directive \"nonsense\" in $STAGE/nginx.conf:14"
    );
    assert_eq!((stage.upstream(), stage.files()), (stage.old.upstream("1"), vec!["app.conf".to_owned()]));
    assert_eq!(stage.get().await, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_nginx_refuses_leaves_the_old_bytes() {
    let Some(stage) = Stage::set().await else { return };
    // Bytes that no text could hold come back as they were, because they never leave nginx's machine.
    let odd = [stage.old.upstream("1").as_bytes(), b"# it's \xff\xfe $(no) `end`\n#\\ no newline"].concat();
    std::fs::write(stage.folder.join("swap/app.conf"), &odd).unwrap();
    let (proxy, nginx) = (stage.proxy(), stage.observe().await.nginx);
    let text = "upstream app { it's $(touch x) `touch y` \"; }\n".to_owned();
    let refused = proxy.switch(&nginx, &[FileChange::upstream(&service(), Some(text))]).await.unwrap_err();
    assert!(refused.restored, "{refused}");
    let removal = [FileChange::upstream(&service(), None)];
    let refused = proxy.switch(&nginx, &removal).await.unwrap_err();
    assert_eq!(
        stage.shown(&refused.failure.what),
        "nginx refused its configuration with the new upstream: host not found in upstream \"app\" in $STAGE/nginx.conf:14"
    );
    assert_eq!(std::fs::read(stage.folder.join("swap/app.conf")).unwrap(), odd);
    assert_eq!(stage.files(), ["app.conf"]);
    assert_eq!(stage.get().await, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listen_conflict_that_only_the_log_tells_is_refused() {
    let Some(stage) = Stage::set().await else { return };
    let (proxy, nginx) = (stage.proxy(), at_once(stage.observe().await.nginx));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    std::fs::write(stage.folder.join("nginx.conf"), configuration(stage.port, &format!("listen {address};\n")))
        .unwrap();
    let refused = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap_err();
    assert!(refused.restored, "{refused}\n{}", stage.log());
    let reason = format!("bind() to {address} failed (98: Address already in use)");
    assert_eq!(refused.failure.what, format!("nginx showed no new worker within 2s of the reload: {reason}"));
    assert_eq!(refused.failure.tail, std::slice::from_ref(&reason));
    assert_eq!(stage.get().await, "old");
    assert_eq!((stage.upstream(), stage.files()), (stage.old.upstream("1"), vec!["app.conf".to_owned()]));

    // With more patience it is seen that the master has given up.
    let proxy = proxy.patience(LONG);
    let refused = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap_err();
    assert_eq!(refused.failure.what, format!("nginx did not apply the reload: {reason}"));
    assert!(refused.restored);
    assert_eq!(stage.get().await, "old");
}

/// The same nginx, as if reading its configuration took no time: then its patience is known exactly.
fn at_once(nginx: Nginx) -> Nginx {
    Nginx { load: Duration::ZERO, ..nginx }
}

/// A file of the configuration that nginx gets to read only when somebody writes it: each time after a while, or never.
struct SlowFile {
    path: PathBuf,
    stop: Arc<AtomicBool>,
}

impl SlowFile {
    /// Makes nginx's configuration include such a file of the stage.
    fn make(stage: &Stage, writes: Option<Duration>) -> Self {
        let path = stage.folder.join("slow.pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let slow = format!("include {};\n", path.display());
        std::fs::write(stage.folder.join("nginx.conf"), configuration(stage.port, &slow)).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        if let Some(pause) = writes {
            let (path, stop) = (path.clone(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(pause);
                    // Waits for a reader, and lets him go on.
                    let _ = std::fs::OpenOptions::new().write(true).open(&path);
                }
            });
        }
        Self { path, stop }
    }
}

impl Drop for SlowFile {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Whoever waits there goes on.
        let _ = std::fs::OpenOptions::new().read(true).write(true).open(&self.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_loads_slowly_is_waited_for() {
    let Some(stage) = Stage::set().await else { return };
    let _slow = SlowFile::make(&stage, Some(Duration::from_millis(2500)));
    let nginx = stage.observe().await.nginx;
    assert!(nginx.load > Duration::from_millis(1500), "{:?}", nginx.load);
    // With its usual patience, which a reload of 2.5 s outlasts.
    let proxy = stage.proxy();
    let generation = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap();
    assert!(proxy.await_turned(&generation, LONG).await.unwrap());
    assert_eq!((generation.workers.len(), stage.get().await.as_str()), (2, "new"));
    // What is settled counts, and what takes longer is named.
    let short = Nginx { patience: Duration::from_millis(300), ..nginx.clone() };
    let refused = proxy.switch(&short, &stage.old.change("3")).await.unwrap_err();
    assert_eq!(refused.failure.what, "nginx showed no new worker within 300ms of the reload");
    assert_eq!(
        refused.failure.hint.as_deref(),
        Some("see nginx's error log; where it only needs longer, `timeouts: { reload: 60s }` gives it more time")
    );
    assert_eq!(stage.upstream(), stage.new.upstream("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_hangs_is_over_before_the_former_files_are_put_back() {
    let Some(stage) = Stage::set().await else { return };
    let nginx = at_once(stage.observe().await.nginx);
    let slow = SlowFile::make(&stage, None);
    let proxy = stage.proxy().patience(Duration::from_millis(10)).loading(Duration::from_millis(700));
    let failure = proxy.observe(&service(), Some(&stage.swap_folder())).await.unwrap_err();
    let (asked, ended) = ("asking nginx for its configuration (`nginx -T`): running `sh`: ", "and was ended");
    assert!(failure.what.starts_with(asked) && failure.what.ends_with(ended), "{failure}");
    let given_up = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap_err();
    assert_eq!(
        (given_up.failure.what.as_str(), given_up.restored),
        ("running `sh`: a script did not finish within 760ms and was ended", false)
    );
    let asking = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let line = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let prefix = format!("{}/", stage.folder.display());
        let lines = all.map(line).filter(|line| line.contains(&prefix) && line.contains("\0-t"));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(asking(), [""; 0], "nobody works there any more");
    assert_eq!(stage.upstream(), stage.new.upstream("2"), "it was given up between the file and the test");
    // Once nginx can read its configuration again the way back works.
    std::fs::write(stage.folder.join("nginx.conf"), configuration(stage.port, "")).unwrap();
    drop(slow);
    stage.proxy().switch(&nginx, &stage.old.change("1")).await.unwrap();
    assert_eq!((stage.get().await.as_str(), stage.upstream()), ("old", stage.old.upstream("1")));
    assert_eq!(stage.files(), ["app.conf"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_no_file_is_asked_of_the_shell() {
    struct WithLog(LocalShell);
    impl Shell for WithLog {
        async fn run_within(&self, script: &str, limit: Duration) -> Result<Output, Failure> {
            self.0.run_within(script, limit).await
        }
        async fn logged_since(&self, _since: SystemTime) -> Vec<String> {
            vec!["2026/11/22 19:35:13 [emerg] 1#1: bind() to 0.0.0.0:80 failed".into()]
        }
    }
    let Some(stage) = Stage::set().await else { return };
    let nginx = Nginx { error_log: ErrorLog::Stderr, ..stage.observe().await.nginx };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("listen {};\n", taken.local_addr().unwrap());
    std::fs::write(stage.folder.join("nginx.conf"), configuration(stage.port, &listen)).unwrap();
    let proxy = Proxy::new(WithLog(LocalShell::new()), Home::Host).patience(LONG);
    let refused = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap_err();
    assert_eq!(refused.failure.what, "nginx did not apply the reload: bind() to 0.0.0.0:80 failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_can_not_be_written_is_left_alone() {
    let Some(stage) = Stage::set().await else { return };
    let nginx = stage.observe().await.nginx;
    let folder = stage.swap_folder();
    let file = stage.folder.join("swap/app.conf");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let refused = stage.proxy().switch(&nginx, &stage.new.change("2")).await.unwrap_err();
    assert!(refused.restored);
    assert_eq!(
        stage.shown(&refused.failure.what),
        "writing into the upstream folder `$STAGE/swap` failed: $STAGE/swap/app.conf is a directory"
    );
    let gone = Nginx { folder: format!("{folder}/no such"), ..nginx };
    let refused = stage.proxy().write(&gone, &stage.new.change("2")[0]).await.unwrap_err();
    // The rest are the words of the shell there.
    assert!(
        refused.what.starts_with(&format!("writing into the upstream folder `{folder}/no such` failed: ")),
        "{refused}"
    );
    assert_eq!(stage.get().await, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nginx_that_restarted_is_found_again() {
    let Some(mut stage) = Stage::set().await else { return };
    let (proxy, nginx) = (stage.proxy(), stage.observe().await.nginx);
    stage.restart();
    let generation = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap();
    assert_eq!(generation.master.pid, stage.master.id());
    stage.restart();
    assert_eq!(proxy.drained(&generation).await.unwrap(), []);
    stage.await_port().await;
    assert_eq!(stage.get().await, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nginx_that_stopped_is_told() {
    let Some(mut stage) = Stage::set().await else { return };
    let nginx = stage.observe().await.nginx;
    stage.signal("TERM");
    stage.master.wait().unwrap();
    let proxy = stage.proxy().patience(Duration::from_millis(100));
    let refused = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap_err();
    assert!(refused.restored);
    // The last one where containers of somebody else have an nginx.
    let words = [
        "no nginx master process runs there",
        "nginx stopped in the middle of the switch",
        "no nginx runs here: those that run belong to containers",
    ];
    assert!(words.contains(&refused.failure.what.as_str()), "{refused}");
    assert_eq!(stage.upstream(), stage.old.upstream("1"));
    stage.master = start(stage.program, &stage.arguments);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_keeps_the_old_worker() {
    let Some(stage) = Stage::set().await else { return };
    let (proxy, nginx) = (stage.proxy(), stage.observe().await.nginx);
    let port = stage.port;
    let download = tokio::spawn(async move { get(port, "/slow").await });
    while stage.old.served.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let generation = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap();
    assert!(proxy.await_turned(&generation, LONG).await.unwrap());
    let mut seen = Vec::new();
    let waiting = proxy.await_drained(&generation, Duration::from_millis(500), |left| seen.push(left.len()));
    let failure = waiting.await.unwrap_err();
    assert_eq!(seen.last(), Some(&1));
    let left = proxy.drained(&generation).await.unwrap();
    assert_eq!(
        failure.what,
        format!("old nginx workers ({}) still have requests of the old container after 500ms", left[0].process.pid)
    );
    stage.old.release.send_replace(true);
    proxy.await_drained(&generation, LONG, |_| {}).await.unwrap();
    assert_eq!(download.await.unwrap().unwrap(), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_somebody_elses_reload_prove_nothing() {
    let Some(stage) = Stage::set().await else { return };
    let (proxy, nginx) = (stage.proxy(), stage.observe().await.nginx);
    for round in 0..6 {
        let (target, name) = if round % 2 == 0 { (&stage.new, "new") } else { (&stage.old, "old") };
        let master = stage.master.id();
        let others = std::thread::spawn(move || {
            for _ in 0..10 {
                signal("HUP", master);
            }
        });
        // At any time in the middle of theirs.
        tokio::time::sleep(Duration::from_millis(round * 7)).await;
        let generation = proxy.switch(&nginx, &target.change("2")).await.unwrap();
        // A worker that is not of the former generation obeys the new file; once those have turned, nobody else answers.
        assert!(proxy.await_turned(&generation, LONG).await.unwrap());
        for _ in 0..10 {
            assert_eq!(stage.get().await, name, "round {round}");
        }
        others.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shell_does() {
    let Some(stage) = Stage::set().await else { return };
    let nginx = at_once(stage.observe().await.nginx);
    for (command, needed) in [(&["dash"][..], "dash"), (&["bash"], "bash"), (&["busybox", "ash"], "busybox")] {
        if Command::new(needed).args(["-c", ":"]).output().is_err() {
            eprintln!("skipped: no {needed} here");
            continue;
        }
        let proxy = Proxy::new(LocalShell::of(command.iter().copied()), Home::Host);
        let observation = proxy.observe(&service(), Some(&stage.swap_folder())).await.unwrap();
        let seen = (at_once(observation.nginx), observation.configuration.is_ok());
        assert_eq!(seen, (nginx.clone(), true), "{needed}");
        let generation = proxy.switch(&nginx, &stage.new.change("2")).await.unwrap();
        proxy.await_drained(&generation, LONG, |_| {}).await.unwrap();
        assert_eq!(stage.get().await, "new");
        let refused = proxy.switch(&nginx, &[FileChange::upstream(&service(), None)]).await.unwrap_err();
        assert!(refused.restored, "{needed}: {refused}");
        proxy.switch(&nginx, &stage.old.change("1")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_is_a_harmless_backup() {
    let Some(stage) = Stage::set().await else { return };
    let (proxy, observation) = (stage.proxy(), stage.observe().await);
    assert_eq!(observation.resolver(), None, "only in a container");
    if !observation.configuration.as_ref().unwrap().version.knows_resolve() {
        eprintln!("skipped: this nginx does not know `resolve`");
        return;
    }
    let file = UpstreamFile {
        fallback: Some(Fallback { name: service(), resolver: "127.0.0.11".parse().unwrap(), port: 9000 }),
        kept: Kept::of("upstream app { keepalive 8; }"),
        ..parse(&stage.new.upstream("2")).unwrap()
    };
    let change = [FileChange::upstream(&service(), Some(render(&file)))];
    let generation = proxy.switch(&observation.nginx, &change).await.unwrap();
    proxy.await_drained(&generation, LONG, |_| {}).await.unwrap();
    assert_eq!(stage.get().await, "new");
    let nothing = UpstreamFile { servers: Vec::new(), ..file };
    let change = [FileChange::upstream(&service(), Some(render(&nothing)))];
    proxy.switch(&observation.nginx, &change).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_live_is_accepted_by_nginx() {
    let Some(stage) = Stage::set().await else { return };
    let nothing = UpstreamFile { servers: Vec::new(), ..parse(&stage.new.upstream("2")).unwrap() };
    let change = [FileChange::upstream(&service(), Some(render(&nothing)))];
    let generation = stage.proxy().switch(&stage.observe().await.nginx, &change).await.unwrap();
    stage.proxy().await_drained(&generation, LONG, |_| {}).await.unwrap();
    let refused = get(stage.port, "/").await.unwrap_err().to_string();
    assert!(refused.starts_with("HTTP/1.1 502 "), "{refused}");
}

/// Prints how long a switch takes: `cargo test --release -p swap --lib nginx::tests::times -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn times() {
    let Some(stage) = Stage::set().await else { return };
    let (proxy, began) = (stage.proxy(), Instant::now());
    let nginx = stage.observe().await.nginx;
    println!("observe                     {:>6.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let mut columns: [Vec<f64>; 4] = Default::default();
    for round in 0..20 {
        let (target, name) = if round % 2 == 0 { (&stage.new, "new") } else { (&stage.old, "old") };
        let (port, began) = (stage.port, Instant::now());
        let first = tokio::spawn(async move {
            while get(port, "/").await.unwrap() != name {}
            began.elapsed()
        });
        let generation = proxy.switch(&nginx, &target.change("2")).await.unwrap();
        let switched = began.elapsed();
        proxy.await_turned(&generation, LONG).await.unwrap();
        let turned = began.elapsed();
        proxy.await_drained(&generation, LONG, |_| {}).await.unwrap();
        let times = [first.await.unwrap(), switched, turned, began.elapsed()];
        for (column, time) in columns.iter_mut().zip(times) {
            column.push(time.as_secs_f64() * 1e3);
        }
    }
    for (name, mut column) in
        ["first new request", "switch() returns", "no new one at the old", "drained"].iter().zip(columns)
    {
        column.sort_by(f64::total_cmp);
        println!("{name:<24} p50 {:>6.1} ms   max {:>6.1} ms", column[10], column[19]);
    }
}
