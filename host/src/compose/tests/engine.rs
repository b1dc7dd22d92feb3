//! Candidates and one-off containers on a real engine, in an image that is made of one static program.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Folder, tools};
use rustix::process::Signal;

use crate::compose::{Compose, OneOff, Stream, Tool, end_clients};
use crate::model::{Output, ServiceName};

/// The program: it waits, or does what a test tells it by its arguments. As process 1 it ignores SIGTERM.
const PROGRAM: &str = r#"
use std::io::{Read, Write};
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap_or_default();
        match word {
            "out" => println!("{}", next()),
            "err" => eprintln!("{}", next()),
            "var" => println!("{}", std::env::var(next()).unwrap_or_default()),
            "cat" => {
                let mut text = Vec::new();
                std::io::stdin().read_to_end(&mut text).unwrap();
                std::io::stdout().write_all(&text).unwrap();
            }
            "exit" => std::process::exit(next().parse().unwrap()),
            _ => loop { std::thread::sleep(std::time::Duration::from_secs(1000)) },
        }
    }
}
"#;

/// Runs a program and returns what it printed; `None` if it failed.
fn call(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A project on the engine, with its image; both go away with it.
struct Stack {
    folder: Folder,
    image: String,
    compose: Compose,
}

impl Stack {
    /// Makes image and project; `None`, with a word about it, where there is no engine.
    fn new(tool: &Tool, services: &str) -> Option<Stack> {
        if call("docker", &["version"]).is_none() {
            crate::lacking::without("no engine answers");
            return None;
        }
        let folder = Folder::new(&[("program.rs", PROGRAM), ("image/tmp/keep", "")]);
        let image = format!("{}:1", folder.0.file_name()?.to_string_lossy());
        let path = |name: &str| folder.0.join(name).to_string_lossy().into_owned();
        std::fs::write(path("compose.yml"), services.replace("IMAGE", &image)).unwrap();
        let target = call("rustc", &["--print", "host-tuple"]).unwrap_or_else(|| "x86_64-unknown-linux-gnu".into());
        let flags = ["-C", "target-feature=+crt-static", "--target", &target, "-o", &path("image/program")];
        call("rustc", &[&flags[..], &[&path("program.rs")]].concat()).expect("a static program");
        let archive = path("image.tar");
        call("tar", &["-C", &path("image"), "-cf", &archive, "."]).expect("an archive");
        let changes = ["-c", "ENTRYPOINT [\"/program\"]", "-c", "CMD [\"wait\"]"];
        call("docker", &[&["import"][..], &changes, &[&archive, &image]].concat()).expect("an image");
        let compose = Compose::new(tool.clone(), folder.options());
        Some(Stack { folder, image, compose })
    }

    fn project(&self) -> String {
        self.folder.0.file_name().unwrap().to_string_lossy().into_owned()
    }

    /// Runs compose itself.
    fn compose(&self, words: &[&str]) -> String {
        let line = self.compose.tool.command(&self.compose.options, words);
        let mut command = Command::new(&line[0]);
        let output = command.args(&line[1..]).current_dir(&self.folder.0).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Returns the project's containers as `1 running app, 2 created app`, with their numbers.
    fn containers(&self) -> String {
        let filter = format!("label=com.docker.compose.project={}", self.project());
        let format =
            "{{.Label \"com.docker.compose.container-number\"}} {{.State}} {{.Label \"com.docker.compose.service\"}}";
        let list = call("docker", &["ps", "-a", "--filter", &filter, "--format", format]).unwrap();
        let mut lines: Vec<&str> = list.lines().collect();
        lines.sort_unstable();
        lines.join(", ")
    }

    /// Returns the id of the service's container with this number.
    fn container(&self, number: &str) -> String {
        let project = format!("label=com.docker.compose.project={}", self.project());
        let number = format!("label=com.docker.compose.container-number={number}");
        let service = "label=com.docker.compose.service=app";
        call("docker", &["ps", "-aq", "--filter", &project, "--filter", &number, "--filter", service]).unwrap()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.compose(&["kill"]);
        self.compose(&["down", "-v", "-t", "0"]);
        call("docker", &["rmi", "-f", &self.image]);
    }
}

fn app() -> ServiceName {
    "app".parse().unwrap()
}

const SERVICES: &str = "
services:
  app:
    image: IMAGE
    deploy: { replicas: 1 }
    stop_grace_period: 1s
    depends_on: [db]
  db:
    image: IMAGE
    stop_grace_period: 1s
";

#[tokio::test]
async fn candidates_are_created_and_nothing_else_is_touched() {
    for tool in tools() {
        let Some(stack) = Stack::new(&tool, SERVICES) else { return };
        stack.compose(&["up", "-d", "app"]);
        assert_eq!(stack.containers(), "1 running app, 1 running db", "{tool:?}");

        stack.compose.create_candidates(&[(&app(), 2)]).await.unwrap();
        assert_eq!(stack.containers(), "1 running app, 1 running db, 2 created app", "{tool:?}");
        // A second time, as a resumed run would.
        stack.compose.create_candidates(&[(&app(), 2)]).await.unwrap();
        assert_eq!(stack.containers(), "1 running app, 1 running db, 2 created app", "{tool:?}");

        // A dependency that somebody scaled and stopped stays as it is.
        stack.compose(&["up", "-d", "--no-recreate", "--scale", "app=2", "--scale", "db=2", "app"]);
        stack.compose(&["stop", "-t", "0", "db"]);

        // Replicas, a stopped container and a new configuration.
        call("docker", &["kill", &stack.container("1")]).unwrap();
        let changed = SERVICES.replace("IMAGE", &stack.image).replacen("1s", "2s", 1);
        std::fs::write(stack.folder.0.join("compose.yml"), changed).unwrap();
        stack.compose.create_candidates(&[(&app(), 4)]).await.unwrap();
        let four = "1 exited app, 1 exited db, 2 exited db, 2 running app, 3 created app, 4 created app";
        assert_eq!(stack.containers(), four, "{tool:?}");

        // What a swap leaves is what `up -d` wants: the candidate stays as it is.
        call("docker", &["rm", "-f", &stack.container("1"), &stack.container("2"), &stack.container("3")]).unwrap();
        let candidate = stack.container("4");
        call("docker", &["start", &candidate]).unwrap();
        stack.compose(&["up", "-d"]);
        assert_eq!((stack.containers().as_str(), stack.container("4")), ("1 running db, 4 running app", candidate));
    }
}

#[tokio::test]
async fn a_missing_image_is_not_built_or_pulled() {
    for tool in tools() {
        let services = "services: { app: { image: IMAGE-gone, build: ., pull_policy: always } }";
        // 1.29 knows no pull_policy.
        let services = if tool.is_v1() { services.replace(", pull_policy: always", "") } else { services.to_owned() };
        let Some(stack) = Stack::new(&tool, &services) else { return };
        let failure = stack.compose.create_candidates(&[(&app(), 1)]).await.unwrap_err();
        let command = stack.compose.command_line(&[]);
        let pull = if tool.is_v1() { "" } else { " --pull never" };
        assert_eq!(
            failure.what,
            format!(
                "creating a container of `app`: `{command} up --no-start --no-recreate --no-build{pull} \
                 --no-deps --scale app=1 app` failed with exit code 1"
            )
        );
        assert_eq!(
            failure.hint,
            Some(format!("make the image first: `{command} build app` or `{command} pull app`")),
            "{failure:?}"
        );
    }
}

/// Runs a one-off container and returns its lines as they came, and its output.
async fn one_off(stack: &Stack, one_off: &OneOff) -> (String, Output) {
    let mut lines = Vec::new();
    let on_line = |stream, line: &str| {
        lines.push(format!("{} {line}", if stream == Stream::Stdout { "out" } else { "err" }));
    };
    let output = stack.compose.run_one_off(one_off, on_line).await.unwrap();
    // It tells until then how it ended.
    let code = call("docker", &["inspect", "-f", "{{.State.ExitCode}}", &one_off.name]).expect("it is still there");
    assert_eq!(code, output.code.to_string());
    call("docker", &["rm", "-v", &one_off.name]).expect("it has ended");
    assert!(!output.stdout.is_cut() && !output.stderr.is_cut());
    let [stdout, stderr] = [output.stdout, output.stderr].map(|kept| String::from_utf8(kept.into_bytes()).unwrap());
    let output = Output { code: output.code, stdout, stderr };
    lines.sort_unstable();
    (lines.join("\n"), output)
}

#[tokio::test]
async fn a_one_off_container_says_what_it_did() {
    for tool in tools() {
        let Some(stack) = Stack::new(&tool, SERVICES) else { return };
        if stack.compose.version().await >= crate::compose::one_off::RUN_PULL {
            let always = SERVICES.replace("    deploy", "    pull_policy: always\n    deploy");
            std::fs::write(stack.folder.0.join("compose.yml"), always.replace("IMAGE", &stack.image)).unwrap();
        }
        // As in a real run: the network is there.
        stack.compose.create_candidates(&[(&app(), 1)]).await.unwrap();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        let mut command =
            OneOff::new(app(), stack.project() + "-a", words("out -x err 12 err oops var KEY cat exit 12"));
        command.environment = vec![("KEY".into(), "a $$b ${HOME} \"c\"".into())];
        command.stdin = Some(b"first\nlast".to_vec());
        let (lines, output) = one_off(&stack, &command).await;
        assert_eq!(lines, "err 12\nerr oops\nout -x\nout a $$b ${HOME} \"c\"\nout first\nout last", "{tool:?}");
        let stdout = "-x\na $$b ${HOME} \"c\"\nfirst\nlast".to_owned();
        assert_eq!(output, Output { code: 12, stdout, stderr: "12\noops\n".into() }, "{tool:?}");
        let mut command = OneOff::new(app(), stack.project() + "-b", words("hello"));
        command.entrypoint = Some("/program out".into());
        let (_, output) = one_off(&stack, &command).await;
        assert_eq!(output, Output { code: 0, stdout: "hello\n".into(), stderr: String::new() }, "{tool:?}");
        assert_eq!(stack.containers(), "1 created app", "{tool:?}");
    }
}

#[tokio::test]
async fn a_one_off_container_that_nobody_waits_for_has_clients_that_can_be_ended() {
    for tool in tools() {
        let Some(stack) = Stack::new(&tool, SERVICES) else { return };
        stack.compose.create_candidates(&[(&app(), 1)]).await.unwrap();
        let name = stack.project() + "-c";
        let command = OneOff::new(app(), name.clone(), ["out", "started", "wait"].map(str::to_owned).to_vec());
        let started = Arc::new(tokio::sync::Notify::new());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let waiting = {
            let (started, lines) = (Arc::clone(&started), Arc::clone(&lines));
            let compose = stack.compose.clone();
            tokio::spawn(async move {
                let on_line = move |_, line: &str| {
                    lines.lock().unwrap().push(line.to_owned());
                    started.notify_one();
                };
                compose.run_one_off(&command, on_line).await
            })
        };
        tokio::time::timeout(Duration::from_secs(30), started.notified()).await.expect("a line");
        assert_eq!(*lines.lock().unwrap(), ["started"]);
        waiting.abort();
        let _ = waiting.await;
        let gone = async {
            // As its caller must: v2 leaves what ignores SIGTERM, and a client may be about to make a container.
            while end_clients(&name, Signal::KILL) > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let _ = call("docker", &["rm", "-f", &name]);
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the clients gone");
        assert_eq!(stack.containers(), "1 created app");
    }
}
