//! An engine that is restarted, and a machine that is: a private engine in a network of its own, beside the machine's.
//!
//! Run on demand, as root: `cargo nextest run -p scenarios --run-ignored only -E 'test(restarts)'`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use scenarios::command::{run, succeeds};
use scenarios::eventually::eventually;
use scenarios::http::Cause;
use scenarios::images;
use scenarios::stack::{Stack, serves};

use crate::common::{ends_with_one_version, light_load, lost_nothing, swap_to, waits_for_go};

/// Names the folder of the private engine to the test that runs inside its world.
const FOLDER: &str = "SWAP_TEST_PRIVATE_ENGINE";

#[test]
#[ignore = "brings an engine up, and needs root"]
fn an_engine_restarted_in_the_middle_is_survived() {
    in_a_world_of_its_own("restarts::inside_the_engine_is_restarted_in_the_middle");
}

#[test]
#[ignore = "brings an engine up, and needs root"]
fn a_restarted_machine_serves_the_version_that_it_served() {
    in_a_world_of_its_own("restarts::inside_the_machine_is_restarted");
}

#[test]
#[ignore = "started by the tests above"]
fn inside_the_engine_is_restarted_in_the_middle() {
    for live_restore in [true, false] {
        let Some(mut engine) = Engine::start(live_restore) else { return };
        {
            let stack = stack();
            waits_for_go(&stack);
            stack.deploy("v2");
            let running = light_load(&stack);
            let mut swap = stack.swap(["app"]).start();
            swap.until("healthy", "started");
            engine.restart();
            let first = stack.containers("app").remove(0);
            eventually("the application to run again", Duration::from_secs(30), || {
                succeeds(Command::new("docker").args(["exec", &first.id, "touch", "/data/go"])).unwrap_or(false)
            });
            let outcome = swap.expect_exit_of(if live_restore { &[0, 4] } else { &[0, 4, 5] });
            let told = format!("exit {}\n{}{}", outcome.code, outcome.raw, outcome.stderr);
            println!("live-restore {live_restore}: {told}");
            eventually("a version to serve", Duration::from_secs(30), || stack.version().is_ok());
            stack.swap(["app"]).expect_exit(0);
            ends_with_one_version(&stack);
            assert_eq!(stack.version().as_deref(), Ok("v2"), "{told}");
            if live_restore {
                // The engine lays its rules for published ports anew; until then nobody new gets to nginx.
                let lost = running.failures();
                assert!(lost.iter().all(|failed| failed.cause == Cause::Connect), "{lost:?}");
            }
        }
        engine.stop();
    }
}

#[test]
#[ignore = "started by the tests above"]
fn inside_the_machine_is_restarted() {
    let Some(mut engine) = Engine::start(false) else { return };
    {
        let stack = stack();
        for version in ["v2", "v1", "v2"] {
            swap_to(&stack, version);
        }
        let before = stack.containers("app");
        // A killed engine comes back like a machine without power: its containers are gone, its addresses given anew.
        engine.restart();
        serves(&stack, "v2");
        let after = stack.containers("app");
        println!("{} → {}", before[0].address, after[0].address);
        assert_eq!(after.len(), 1, "{}", stack.world());
        assert_eq!(after[0].id, before[0].id);
        let running = light_load(&stack);
        swap_to(&stack, "v1");
        lost_nothing(running);
    }
    engine.stop();
}

/// Brings a stack up whose containers come back with their engine.
fn stack() -> Stack {
    let nginx = "    stop_signal: SIGQUIT\n";
    Stack::builder()
        .app_line("restart: unless-stopped")
        .compose(nginx, &format!("{nginx}    restart: unless-stopped\n"))
        .up()
}

/// Runs a test of this program where it has its own network, mounts and processes: all of it ends with it.
#[track_caller]
fn in_a_world_of_its_own(test: &str) {
    let folder = tempfile::Builder::new().prefix("swap-engine-").tempdir_in("/tmp").expect("a folder");
    let program = std::env::current_exe().expect("this program");
    // The machine's containerd must not be found: the private engine brings its own.
    let world = "ip link set lo up && mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", world, "sh"])
        .arg(program)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .env("DOCKER_HOST", format!("unix://{}", folder.path().join("docker.sock").display()))
        .status()
        .expect("running unshare");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let last: Vec<&str> = log.lines().rev().take(30).collect();
    assert!(status.success(), "{status}; the engine said:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
}

/// The private engine of this world.
struct Engine {
    folder: PathBuf,
    live_restore: bool,
    process: Child,
}

impl Engine {
    /// Starts it with the images of the machine's own engine; `None` if this is no world of its own.
    fn start(live_restore: bool) -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os(FOLDER)?);
        let engine = Self { process: daemon(&folder, live_restore), folder, live_restore };
        engine.await_answer();
        let (own, machine) = (format!("unix://{}/docker.sock", engine.folder.display()), "unix:///var/run/docker.sock");
        let script = format!("docker -H {machine} save swap-example/php swap-example/nginx | docker -H {own} load");
        run(Command::new("sh").args(["-c", &script])).expect("copying images");
        for version in ["v1", "v2"] {
            images::app(version).expect("an image");
        }
        Some(engine)
    }

    fn await_answer(&self) {
        eventually("the private engine to answer", Duration::from_secs(60), || {
            succeeds(Command::new("docker").arg("version")).unwrap_or(false)
        });
    }

    fn restart(&mut self) {
        self.stop();
        self.process = daemon(&self.folder, self.live_restore);
        self.await_answer();
    }

    fn stop(&mut self) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, Signal::TERM).expect("asking the engine to end");
        self.process.wait().expect("the engine's end");
    }
}

fn daemon(folder: &Path, live_restore: bool) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("a log");
    let path = |name: &str| folder.join(name).display().to_string();
    // Nothing of the machine's own settings.
    std::fs::write(folder.join("daemon.json"), "{}").expect("settings");
    let mut command = Command::new("dockerd");
    command
        .args(["--config-file", &path("daemon.json")])
        .args(["--host", &format!("unix://{}", path("docker.sock"))])
        .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
        // Its proxies would end with it, and with them the front door.
        .args(["--userland-proxy=false", "--cgroup-parent", "/swaptest", "--shutdown-timeout", "5"])
        .args(live_restore.then_some("--live-restore"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log);
    command.spawn().expect("starting dockerd")
}
