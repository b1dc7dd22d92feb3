//! Containers, commands, shells, files and probes.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::rig::{Rig, run};
use crate::docker::{
    Aside, Command, ConnectResult, ContainerFacts, ContainerStatus, Docker, Ending, ExecError, Inside, Listening,
    Owned, probe,
};
use crate::model::{NetworkPlace, Output};

fn output(code: i32, stdout: &str, stderr: &str) -> Output {
    Output { code, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

async fn sh(docker: &Docker, id: &str, line: &str) -> Output {
    docker.output(id, &Command::shell(line)).await.unwrap()
}

/// Waits until the check holds, at most 10 seconds.
async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}: not after 10 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn containers_are_seen_by_compose_labels_and_every_effect_may_run_twice() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    let (project, network) = (&rig.name, &rig.name);
    run(&["docker", "network", "create", network]);
    let labels = |service: &str, number: &str, one_off: &str| {
        [
            format!("--label=com.docker.compose.project={project}"),
            format!("--label=com.docker.compose.service={service}"),
            format!("--label=com.docker.compose.container-number={number}"),
            format!("--label=com.docker.compose.oneoff={one_off}"),
        ]
    };
    let start = |labels: [String; 4], more: &[&str], command: &[&str]| {
        let mut options: Vec<&str> = labels.iter().map(String::as_str).collect();
        options.extend(more);
        rig.start(&options, command)
    };
    let second = start(labels("app", "2", "False"), &[], &["false"]);
    let name = format!("{project}-app-1");
    let more = [
        "--name",
        &name,
        "--network",
        network,
        "--network-alias",
        "web",
        "-v",
        "/data",
        "-v",
        "/tmp:/host:ro",
        "--expose",
        "9000",
        "--expose",
        "53/udp",
        "--expose",
        "80",
        "-p",
        "127.0.0.1:0:80",
        "--restart",
        "unless-stopped",
        "--stop-timeout",
        "7",
        "--health-cmd",
        "true",
        "--health-interval",
        "1s",
        "--init",
        "--user",
        "7",
    ];
    let first = start(labels("app", "1", "False"), &more, &["sleep", "1000"]);
    start(labels("app", "3", "True"), &[], &["sleep", "1000"]);
    let other = start(labels("db", "1", "False"), &[], &["sleep", "1000"]);

    let brief = |list: Vec<ContainerFacts>| -> Vec<(String, String, u32, ContainerStatus)> {
        list.into_iter().map(|seen| (seen.id, seen.service, seen.number, seen.state)).collect()
    };
    eventually("the failing one exits", || async {
        docker.inspect(&second).await.unwrap().is_some_and(|seen| seen.state == ContainerStatus::Exited)
    })
    .await;
    let app = vec![
        (first.clone(), "app".to_owned(), 1, ContainerStatus::Running),
        (second.clone(), "app".to_owned(), 2, ContainerStatus::Exited),
    ];
    assert_eq!(brief(docker.of_service(project, "app").await.unwrap()), app);
    let mut all = app.clone();
    all.push((other, "db".to_owned(), 1, ContainerStatus::Running));
    assert_eq!(brief(docker.of_project(project).await.unwrap()), all);
    assert_eq!(docker.of_service(project, "nothing").await, Ok(vec![]));
    assert_eq!(docker.inspect("no-such-container").await, Ok(None));

    eventually("Docker's own check runs", || async {
        docker.inspect(&first).await.unwrap().unwrap().health.as_deref() == Some("healthy")
    })
    .await;
    let mut seen = docker.inspect(&first).await.unwrap().unwrap();
    let address = seen.address(Some(network)).unwrap();
    assert!(matches!(address, IpAddr::V4(_)));
    assert!(seen.networks.remove(network.as_str()).unwrap().aliases.contains(&"web".to_owned()));
    assert!(seen.started_at.take().is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok()));
    assert!(seen.pid.take().is_some());
    seen.mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    let mounts: Vec<_> = seen
        .mounts
        .iter()
        .map(|mount| (mount.kind.as_str(), mount.destination.as_str(), mount.writable, mount.anonymous))
        .collect();
    assert_eq!(mounts, [("volume", "/data", true, true), ("bind", "/host", false, false)]);
    assert_eq!(seen.mounts[1].source, "/tmp");
    let image = docker.image(&rig.name).await.unwrap().unwrap();
    assert_eq!(image.name, rig.name);
    // The engine chose the port.
    let published = seen.published.iter().map(|to| (to.inner, to.ip, to.port > 0)).collect::<Vec<_>>();
    assert_eq!(
        (seen.name, seen.image, seen.image_name, seen.restart, seen.stop_timeout, seen.ports, published, seen.user),
        (
            name,
            image.id.clone(),
            rig.name.clone(),
            "unless-stopped".to_owned(),
            Some(Duration::from_secs(7)),
            vec![80, 9000],
            vec![(80, Some(IpAddr::from([127, 0, 0, 1])), true)],
            "7".to_owned()
        )
    );
    assert_eq!(seen.healthcheck, Some(vec!["CMD-SHELL".to_owned(), "true".to_owned()]));
    assert_eq!((seen.exit_code, seen.restarts, seen.oom_killed, seen.error), (0, 0, false, None));
    assert_eq!(seen.command.last().map(String::as_str), Some("1000"));

    for _ in 0..2 {
        docker.disable_restart(&first).await.unwrap();
        docker
            .connect_network(&first, &NetworkPlace { network: "bridge".to_owned(), ..NetworkPlace::default() })
            .await
            .unwrap();
        docker.start(&first).await.unwrap();
    }
    let seen = docker.inspect(&first).await.unwrap().unwrap();
    assert_eq!((seen.restart.as_str(), seen.networks.len()), ("no", 2));
    for _ in 0..2 {
        docker.disconnect_network(&first, "bridge").await.unwrap();
    }
    let stats = docker.stats(&first).await.unwrap();
    assert!(stats.memory > 0 && stats.memory_limit > stats.memory && stats.processes > 0, "{stats:?}");

    let refused = docker.remove(&first, true).await.unwrap_err().to_string();
    // The rest are the words of the engine, which differ from version to version.
    assert!(refused.starts_with(&format!("removing container `{}`: ", &first[..12])), "{refused}");
    for _ in 0..2 {
        docker.stop(&first, Some(Duration::from_secs(3))).await.unwrap();
    }
    let volume = seen.mounts.iter().find_map(|mount| mount.volume.clone()).unwrap();
    let (one, two) = tokio::join!(docker.remove(&first, true), docker.remove(&first, true));
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(docker.inspect(&first).await, Ok(None));
    for _ in 0..2 {
        docker.stop(&first, None).await.unwrap();
        docker.remove(&first, true).await.unwrap();
        docker.disable_restart(&first).await.unwrap();
    }
    assert!(!run(&["docker", "volume", "ls", "-q"]).contains(&volume));

    assert_eq!(docker.image("no-such-image-here").await, Ok(None));
    assert!(docker.image("../containers/json").await.is_err());
    let tag = format!("{}:before", rig.name);
    for _ in 0..2 {
        docker.tag(&image.id, &tag).await.unwrap();
    }
    assert_eq!(docker.image(&tag).await.unwrap().unwrap().id, image.id);
    let engine = docker.engine().await.unwrap();
    assert_eq!(engine, docker.engine().await.unwrap());
    assert!(!engine.id.is_empty() && !engine.version.is_empty());
}

#[tokio::test]
async fn the_end_of_a_candidate_is_noticed_at_once() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    let id = rig.start(&[], &["sh", "-c", "echo going; sleep 0.5; exit 3"]);
    let began = Instant::now();
    assert_eq!(docker.exited(&id, 0).await, Ok(Ending::Exited(3, None)));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(docker.exited(&id, 0).await, Ok(Ending::Exited(3, None)), "long after the end");

    let id = rig.start(&["--restart", "always"], &["sh", "-c", "sleep 2; exit 4"]);
    let ending = docker.exited(&id, 0).await.unwrap();
    assert!(matches!(ending, Ending::Restarted(Some(4) | None)), "{ending}");

    let id = rig.start(&["--memory", "16m", "--memory-swap", "16m"], &["sh", "-c", "sleep 0.3; exec tail /dev/zero"]);
    let ending = docker.exited(&id, 0).await.unwrap();
    assert!(matches!(ending, Ending::OutOfMemory | Ending::Exited(137 | 2, _)), "{ending}");

    let id = rig.start(&[], &["sleep", "1000"]);
    assert!(tokio::time::timeout(Duration::from_millis(1500), docker.exited(&id, 0)).await.is_err(), "it runs");
    let (gone, ()) = tokio::join!(docker.exited(&id, 0), async {
        run(&["docker", "rm", "-f", &id]);
    });
    assert!(matches!(gone, Ok(Ending::Gone | Ending::Exited(137, _))), "{gone:?}");
}

#[tokio::test]
async fn logs_are_read_in_lines_and_from_a_mark_on() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    for terminal in [false, true] {
        let script = "echo one; echo two >&2; printf 'thr\\033[2Jee'; echo; cat /tmp/wait 2>/dev/null; sleep 1000";
        let options: &[&str] = if terminal { &["-t"] } else { &[] };
        let id = rig.start(options, &["sh", "-c", script]);
        eventually("three lines", || async { docker.logs_tail(&id, 10).await.unwrap().len() == 3 }).await;
        let mut lines = docker.logs_tail(&id, 10).await.unwrap();
        lines.sort();
        assert_eq!(lines, ["one", "thr\\u{1b}[2Jee", "two"]);
        assert_eq!(docker.logs_tail(&id, 1).await.unwrap().len(), 1);
        let mark = docker.log_mark(&id).await.unwrap();
        assert_eq!(docker.logs_since(&id, &mark).await.unwrap(), [""; 0]);
        sh(docker, &id, "echo later >/proc/1/fd/1").await;
        eventually("the new line", || async { !docker.logs_since(&id, &mark).await.unwrap().is_empty() }).await;
        assert_eq!(docker.logs_since(&id, &mark).await.unwrap(), ["later"]);
    }
    let failure = docker.logs_tail("no-such-container", 1).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "reading the log of container `no-such-container`: No such container: no-such-container"
    );
}

#[tokio::test]
async fn commands_give_their_code_and_output() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    let id = rig.start(&["-e", "A=1"], &["sleep", "1000"]);
    assert_eq!(sh(docker, &id, "echo out; echo err >&2; exit 7").await, output(7, "out\n", "err\n"));
    assert_eq!(sh(docker, &id, "kill -9 $$").await, output(137, "", ""));

    let mut command = Command::shell("cat; echo $A $B; id -u; pwd");
    command.stdin = Some(b"in\n".to_vec());
    command.env = vec![("B".to_owned(), "2 3".to_owned())];
    command.user = Some("33".to_owned());
    command.dir = Some("/tmp".to_owned());
    assert_eq!(docker.output(&id, &command).await, Ok(output(0, "in\n1 2 3\n33\n/tmp\n", "")));

    // More input and output than any buffer on the way holds: neither side may wait for the other.
    let mut command = Command::new(["cat"]);
    command.stdin = Some(vec![b'x'; 5_000_000]);
    command.limit = 10;
    let answer = docker.output(&id, &command).await.unwrap();
    assert_eq!(answer.stdout, "[4999990 bytes before this were dropped]\nxxxxxxxxxx");

    let mut lines = Vec::new();
    let script = "printf 'a\\nb\\033[2J\\r\\nc'; echo e >&2";
    docker
        .exec(&id, &Command::shell(script), &mut |stream, line| lines.push(format!("{stream:?} {line}")))
        .await
        .unwrap();
    lines.sort();
    assert_eq!(lines, ["Err e", "Out a", "Out b\\u{1b}[2J", "Out c"]);

    let began = Instant::now();
    assert_eq!(sh(docker, &id, "sleep 100 & echo left").await, output(0, "left\n", ""));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "what stays in the background holds nothing up: {:?}",
        began.elapsed()
    );

    let missing = |program: &str| ExecError::NotFound { container: id[..12].to_owned(), program: program.to_owned() };
    for program in ["nope", "/no/such", "/data"] {
        assert_eq!(docker.output(&id, &Command::new([program])).await, Err(missing(program)), "{program}");
    }
    assert_eq!(sh(docker, &id, "echo OCI runtime exec failed: executable file not found; exit 127").await.code, 127);
    assert_eq!(missing("nope").to_string(), format!("container `{}` has no program `nope`", &id[..12]));
    let stopped = rig.start(&[], &["true"]);
    docker.exited(&stopped, 0).await.unwrap();
    let expected = Err(ExecError::NotRunning(stopped[..12].to_owned()));
    assert_eq!(docker.output(&stopped, &Command::new(["true"])).await, expected);
}

#[tokio::test]
async fn a_command_that_is_given_up_is_ended_with_its_children() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    for (user, script) in
        [(None, "sleep 987 & sleep 986"), (Some("33"), "trap '' TERM; sleep 987 & while :; do sleep 986; done")]
    {
        let id = rig.start(&[], &["sleep", "1000"]);
        let mut command = Command::shell(script);
        command.user = user.map(str::to_owned);
        tokio::select! {
            ended = docker.output(&id, &command) => panic!("{ended:?}"),
            () = eventually("it runs", || async { sleepers(docker, &id).await == 2 }) => {}
        }
        docker.settle(Duration::from_secs(20)).await;
        eventually("it is ended", || async { sleepers(docker, &id).await == 0 }).await;
        assert!(docker.inspect(&id).await.unwrap().unwrap().runs());
    }
    // Without a shell in the container, this machine ends it.
    let id = rig.start(&[], &["sleep", "1000"]);
    sh(docker, &id, "busybox rm /bin/sh").await;
    let command = Command::new(["sleep", "987"]);
    tokio::select! {
        ended = docker.output(&id, &command) => panic!("{ended:?}"),
        () = eventually("it runs", || async { processes(&id).matches("sleep 987").count() == 1 }) => {}
    }
    docker.settle(Duration::from_secs(20)).await;
    if docker.is_local() && rustix::process::geteuid().is_root() {
        eventually("it is ended", || async { processes(&id).matches("sleep 987").count() == 0 }).await;
    }
}

/// Lists the container's processes from outside, as this machine sees them.
fn processes(id: &str) -> String {
    let top = std::process::Command::new("docker").args(["top", id, "-eo", "pid,args"]).output().unwrap();
    String::from_utf8_lossy(&top.stdout).into_owned()
}

async fn sleepers(docker: &Docker, id: &str) -> usize {
    sh(docker, id, "cat /proc/[0-9]*/cmdline 2>/dev/null").await.stdout.matches("sleep\x0098").count()
}

#[tokio::test]
async fn a_shell_survives_what_scripts_do() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    let id = rig.start(&[], &["sleep", "1000"]);
    let shell = docker.shell(&id, None).await.unwrap();
    let pid = shell.run("echo $$").await.unwrap();
    for (script, expected) in [
        ("echo out; echo err >&2; exit 7", output(7, "out\n", "err\n")),
        ("printf nothing-at-the-end", output(0, "nothing-at-the-end", "")),
        ("cat", output(0, "", "")),
        ("cd /tmp; A=1; set -e; false", output(1, "", "")),
        ("pwd; echo ${A-unset}", output(0, "/\nunset\n", "")),
        ("printf 'a\\0b\\377'", output(0, "a\0b\u{fffd}", "")),
        ("exec cat /proc/self/comm", output(0, "cat\n", "")),
        ("sh -c 'kill -9 $$'", output(137, "", "Killed\n")),
    ] {
        let answer = shell.run(script).await.unwrap();
        assert_eq!((answer.code, answer.stdout), (expected.code, expected.stdout), "{script}");
    }
    assert_ne!(shell.run("if ( then").await.unwrap().code, 0);
    assert_ne!(shell.run("echo 'open").await.unwrap().code, 0);
    let flood = shell.run("yes | head -c 30000000; echo end").await.unwrap();
    assert!(flood.stdout.ends_with("y\nend\n") && flood.stdout.len() == 30_000_004, "{}", flood.stdout.len());
    shell.run("(sleep 0.2; echo late; echo late >&2) &").await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(shell.run("echo next").await.unwrap(), output(0, "next\n", ""));
    assert_eq!(shell.run("echo $$").await.unwrap(), pid, "it was the same shell all the time");
    let too_much = shell.run("yes | head -c 80000000").await.unwrap_err();
    assert!(too_much.what.ends_with("printed more than 64 MiB"), "{too_much}");

    let failure = shell.run("echo said; kill -9 $$; sleep 5").await.unwrap_err();
    assert_eq!(
        (failure.what, failure.tail),
        (
            format!("the shell in container `{}` ended while it ran `echo said; kill -9 $$; sleep 5`", &id[..12]),
            vec!["said".to_owned()]
        )
    );
    assert_eq!(shell.run("echo again").await.unwrap(), output(0, "again\n", ""));

    run(&["docker", "restart", "-t", "0", &id]);
    assert_eq!(shell.run("echo restarted").await.unwrap(), output(0, "restarted\n", ""));

    let shell = shell.with_limit(Duration::from_millis(500));
    let failure = shell.run("echo begun; sleep 987").await.unwrap_err();
    assert_eq!(
        (failure.what, failure.tail),
        (
            format!("the shell in container `{}` did not finish `echo begun; sleep 987` within 500ms", &id[..12]),
            vec!["begun".to_owned()]
        )
    );
    assert_eq!(shell.run("echo on").await.unwrap(), output(0, "on\n", ""));
    docker.settle(Duration::from_secs(20)).await;
    eventually("the script is ended", || async { sleepers(docker, &id).await == 0 }).await;

    // Side by side: they take turns and nobody gets another's output.
    let answers = futures_util::future::join_all((0..20).map(|at| {
        let shell = &shell;
        async move { shell.run(&format!("echo {at}")).await.unwrap().stdout }
    }))
    .await;
    assert_eq!(answers, (0..20).map(|at| format!("{at}\n")).collect::<Vec<_>>());

    let fast = median(|| shell.run("true")).await;
    let command = Command::new(["true"]);
    let slow = median(async || docker.output(&id, &command).await).await;
    println!("shell {fast:?}, exec {slow:?}, info {:?}", median(|| docker.engine()).await);
    println!("version {:?}", median(|| docker.api.version()).await);
    println!("inspect {:?}", median(|| docker.inspect(&id)).await);

    run(&["docker", "stop", "-t", "0", &id]);
    let failure = shell.run("true").await.unwrap_err();
    assert_eq!(failure.to_string(), format!("container `{}` does not run", &id[..12]));
    let bare = rig.start(&[], &["sleep", "1000"]);
    sh(docker, &bare, "busybox rm /bin/sh").await;
    let failure = docker.shell(&bare, None).await.err().unwrap();
    assert_eq!(failure.to_string(), format!("container `{}` has no shell (`sh`)", &bare[..12]));
}

async fn median<T, F: Future<Output = T>>(mut act: impl FnMut() -> F) -> Duration {
    let mut times = Vec::new();
    for _ in 0..15 {
        let began = Instant::now();
        act().await;
        times.push(began.elapsed());
    }
    times.sort();
    times[7]
}

#[tokio::test]
async fn files_go_in_and_out() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    let id = rig.start(&["-v", "/data"], &["sleep", "1000"]);
    let bytes: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    for path in ["/data/file", "/tmp/file"] {
        for _ in 0..2 {
            docker.write_file(&id, path, &bytes).await.unwrap();
        }
        assert_eq!(docker.read_file(&id, path).await, Ok(Some(bytes.clone())), "{path}");
    }
    sh(docker, &id, "ln -s file /data/link; ln -s /data/link /tmp/link; ln -s loop /tmp/loop").await;
    assert_eq!(docker.read_file(&id, "/tmp/link").await, Ok(Some(bytes)));
    assert_eq!(docker.read_file(&id, "/tmp/none").await, Ok(None));
    let at = format!("in container `{}`", &id[..12]);
    let failure = docker.read_file(&id, "/data").await.unwrap_err().to_string();
    assert_eq!(failure, format!("reading `/data` {at}: it is a directory"));
    let failure = docker.read_file(&id, "/tmp/loop").await.unwrap_err().to_string();
    // The engine names its own folder too.
    assert!(
        failure.starts_with(&format!("reading `/tmp/loop` {at}: ")) && failure.contains("too many links"),
        "{failure}"
    );
    assert!(docker.write_file(&id, "/no/folder/file", b"").await.is_err());
    assert!(docker.write_file(&id, "relative", b"").await.is_err());
    assert!(docker.read_file("no-such-container", "/x").await.is_err());
}

#[tokio::test]
async fn probes_see_what_listens() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    let script =
        "mkdir /tmp/w; echo up >/tmp/w/up; httpd -p 8080 -h /tmp/w; httpd -p 127.0.0.1:8081 -h /tmp/w; sleep 1000";
    let id = rig.start(&[], &["sh", "-c", script]);
    eventually("it listens", || async { docker.listening(&id, 8081).await.unwrap() == Listening::OnlyInside }).await;
    assert_eq!(docker.listening(&id, 8080).await, Ok(Listening::Yes));
    assert_eq!(docker.listening(&id, 8082).await, Ok(Listening::No));
    let inside = &id;
    let from = |url: String| async move { docker.http_from(inside, &url, "app.test", Duration::from_secs(2)).await };
    assert_eq!(from("http://127.0.0.1:8081/up".to_owned()).await, Ok(Inside::Status(200)));
    assert_eq!(from("http://127.0.0.1:8081/none?x='$(id)".to_owned()).await, Ok(Inside::Status(404)));
    assert!(matches!(from("http://127.0.0.1:8082/up".to_owned()).await, Ok(Inside::Failed(_))));
    assert!(from("file:///etc/passwd".to_owned()).await.is_err());
}

#[tokio::test]
async fn probes_from_this_machine_tell_refused_from_unreachable() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    let script = "mkdir /tmp/w; echo up >/tmp/w/up; httpd -p 8080 -h /tmp/w; sleep 1000";
    let id = rig.start(&[], &["sh", "-c", script]);
    eventually("it listens", || async { docker.listening(&id, 8080).await.unwrap() == Listening::Yes }).await;
    let ip = docker.inspect(&id).await.unwrap().unwrap().address(None).unwrap();
    let second = Duration::from_secs(1);
    if probe::reachable(SocketAddr::new(ip, 8080)).await == ConnectResult::Open {
        assert_eq!(probe::reachable(SocketAddr::new(ip, 8082)).await, ConnectResult::Refused);
        assert_eq!(probe::http_get(SocketAddr::new(ip, 8080), "app", "/up", second).await, Ok(200));
        assert_eq!(probe::http_get(SocketAddr::new(ip, 8080), "app", "/none", second).await, Ok(404));
    }
    // TEST-NET-1: nobody is there.
    let began = Instant::now();
    let nowhere = probe::reachable("192.0.2.1:80".parse().unwrap()).await;
    // Some networks answer for it.
    assert!(matches!(nowhere, ConnectResult::Unreachable(_) | ConnectResult::Refused), "{nowhere:?}");
    assert!(began.elapsed() < Duration::from_millis(600));

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    let failure = probe::http_get(at, "app", "/up", Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(failure.to_string(), format!("GET /up at {at}: no answer within 200ms"));
    drop(silent);
    let failure = probe::http_get(at, "app", "/up", second).await.unwrap_err();
    assert_eq!(failure.to_string(), format!("GET /up at {at}: Connection refused (os error 111)"));

    // A container without any tool, and without `cat`.
    let url = "http://127.0.0.1:8080/up";
    assert_eq!(docker.http_from(&id, url, "app", second).await, Ok(Inside::Status(200)));
    sh(docker, &id, "cd /bin; busybox rm cat sh").await;
    assert_eq!(docker.http_from(&id, url, "app", second).await, Ok(Inside::NoTool));
    if docker.is_local() {
        assert_eq!(docker.listening(&id, 8080).await, Ok(Listening::Yes));
    }
}

#[tokio::test]
async fn a_script_that_was_given_up_is_over_before_the_next_one_begins() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.start(&[], &["sleep", "600"]);
    let shell = rig.docker.shell(&id, None).await.unwrap();
    let naps = "for p in /proc/[0-9]*; do cat $p/cmdline 2>/dev/null; echo; done | grep -c '[s]leep.77777'; true";
    // It takes no notice of SIGTERM, and neither does what it has started.
    let script = "trap '' TERM; (sleep 77777; echo late) & sleep 77777; echo never";
    let failure = shell.run_within(script, Duration::from_millis(500)).await.unwrap_err();
    assert!(failure.what.contains("did not finish") && failure.what.ends_with("within 500ms"), "{failure}");
    // Another shell in the same container waits as well: it may be the one that undoes what was begun.
    let other = rig.docker.shell(&id, None).await.unwrap();
    assert_eq!(other.run(naps).await.unwrap().stdout, "0\n");
    // Nor does it go on where nobody waits for it any more.
    let waits = shell.run_within(script, Duration::from_secs(60));
    assert!(tokio::time::timeout(Duration::from_millis(500), waits).await.is_err());
    assert_eq!(shell.run(naps).await.unwrap().stdout, "0\n");
}

#[tokio::test]
async fn files_are_put_into_a_container_before_it_starts() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    let label = format!("swap-test={}", rig.name);
    let create = |more: &[&str]| {
        run(&[&["docker", "create", "--label", &label][..], more, &[rig.name.as_str(), "sleep", "1000"]].concat())
    };
    let look = "cd /run/secrets/deep; ls -ln file | { read mode n uid gid rest; echo $mode $uid $gid; }; cat file";
    let owned = Owned { mode: 0o440, uid: 103, gid: 104 };
    // The container's own user gets it where an owner is asked for, as with compose.
    for (more, chown, expected) in [
        (&[][..], true, "-r--r----- 103 104\nvalue\n"),
        (&["--user", "0:0"], false, "-r--r----- 103 104\nvalue\n"),
        (&["--user", "0"], true, "-r--r----- 0 0\nvalue\n"),
    ] {
        let id = create(more);
        for content in ["another", "value\n"] {
            docker.put_file(&id, "/run/secrets/deep/file", content.as_bytes(), owned, chown).await.unwrap();
        }
        docker.start(&id).await.unwrap();
        assert_eq!(sh(docker, &id, look).await, output(0, expected, ""), "{more:?}");
    }
    let read_only = create(&["--read-only"]);
    let failure = docker.put_file(&read_only, "/file", b"value", owned, false).await.unwrap_err().to_string();
    assert_eq!(
        failure,
        format!("putting `/file` into container `{}`: container rootfs is marked read-only", &read_only[..12])
    );
    assert!(docker.put_file(&read_only, "/../file", b"value", owned, false).await.is_err());
}

#[tokio::test]
async fn a_command_runs_beside_a_container_that_was_never_started() {
    let Some(rig) = Rig::new().await else { return };
    let docker = &rig.docker;
    run(&["docker", "network", "create", &rig.name]);
    let label = format!("swap-test={}", rig.name);
    let more = ["--label", &label, "-v", "/data", "--network", &rig.name, "--network-alias", "web"];
    let id = run(&[&["docker", "create"][..], &more, &[rig.name.as_str(), "sleep", "1000"]].concat());
    let beside = docker.inspect(&id).await.unwrap().unwrap();
    let aside = |line: &str| Aside {
        name: format!("{}-init-1", rig.name),
        image: rig.name.clone(),
        command: vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()],
        user: Some("33".to_owned()),
        folder: Some("/tmp".to_owned()),
        environment: vec!["OWN=here".to_owned()],
        privileged: false,
    };
    let line = "echo $OWN $PWD $(id -u) >>/data/log; cat /data/log";
    for _ in 0..2 {
        docker.run_aside(&beside, &aside(line)).await.unwrap();
    }
    // Killed before its end: the next try takes its place.
    let endless = aside("sleep 1000");
    assert!(tokio::time::timeout(Duration::from_millis(1500), docker.run_aside(&beside, &endless)).await.is_err());
    let left = docker.inspect(&aside("").name).await.unwrap().expect("it is left");
    let aliases = &left.networks[&rig.name].aliases;
    assert!(!aliases.contains(&"web".to_owned()), "{aliases:?}");
    let failure = docker.run_aside(&beside, &aside("echo no >&2; exit 3")).await.unwrap_err();
    assert_eq!(
        failure.what,
        format!("`sh -c echo no >&2; exit 3` in container `{}` exited with code 3", aside("").name)
    );
    assert_eq!(failure.tail, ["no"]);
    assert_eq!(docker.inspect(&aside("").name).await, Ok(None));
    docker.remove_aside(&aside("").name).await.unwrap();
    docker.start(&id).await.unwrap();
    assert_eq!(sh(docker, &id, "cat /data/log").await, output(0, "here /tmp 33\nhere /tmp 33\n", ""));
}

#[tokio::test]
async fn a_command_may_have_a_variable_less() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.start(&["-e", "GONE=there", "-e", "KEPT=there"], &["sleep", "1000"]);
    let command = Command {
        env: vec![("OWN".to_owned(), "here".to_owned())],
        unset: vec!["GONE".to_owned()],
        ..Command::shell("echo ${GONE-unset} $KEPT $OWN")
    };
    assert_eq!(rig.docker.output(&id, &command).await, Ok(output(0, "unset there here\n", "")));
}

#[tokio::test]
async fn a_command_may_be_privileged() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.start(&[], &["sleep", "1000"]);
    let capabilities = Command::shell("grep CapEff /proc/self/status");
    let usual = rig.docker.output(&id, &capabilities).await.unwrap().stdout;
    match rig.docker.output(&id, &Command { privileged: true, ..capabilities }).await {
        Ok(all) => assert_ne!(all.stdout, usual),
        // An engine that is itself shut in has not all to give.
        Err(error) => assert!(error.to_string().contains("unable to apply caps"), "{error}"),
    }
}
