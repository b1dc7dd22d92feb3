//! What a hook can't do, however it tries: each limit is met, named, and costs neither much memory nor much time.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use scenarios::{images, swap};

/// More than this above a call of a hook that does nothing is too much.
const MEMORY_KIB: u64 = 300 << 10;
/// No attack holds swap up for longer than its limit and this. Generous: machines are shared.
const MARGIN: Duration = Duration::from_secs(30);

/// What a call came to.
struct Call {
    stdout: String,
    stderr: String,
    code: Option<i32>,
    peak_kib: u64,
    took: Duration,
}

/// Calls `swap hooks …` in a folder and watches its memory.
fn call(folder: &Path, words: &[&str]) -> Call {
    let mut child = Command::new(swap::binary().expect("swap"))
        .args(words)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .stdin(Stdio::null())
        .stdout(fs::File::create(folder.join("stdout")).expect("a file"))
        .stderr(fs::File::create(folder.join("stderr")).expect("a file"))
        .spawn()
        .expect("swap starts");
    let begun = Instant::now();
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait().expect("its end") {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(120) {
            let _ = child.kill();
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak_kib = peak.unwrap_or(peak_kib).max(peak_kib);
        std::thread::sleep(Duration::from_millis(2));
    };
    let read = |name: &str| String::from_utf8_lossy(&fs::read(folder.join(name)).expect("what it said")).into_owned();
    Call { stdout: read("stdout"), stderr: read("stderr"), code: status.code(), peak_kib, took: begun.elapsed() }
}

/// Puts the awkward hook into a folder, compiled.
fn awkward() -> (tempfile::TempDir, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(images::hook("awkward").expect("the hook"), folder.path().join("awkward.wasm")).expect("a copy");
    attack(folder.path(), "nothing", "healthy", "");
    let well = attack(folder.path(), "nothing", "healthy", "");
    assert_eq!(well.code, Some(0), "{}{}", well.stdout, well.stderr);
    (folder, well.peak_kib)
}

fn attack(folder: &Path, does: &str, expected: &str, more: &str) -> Call {
    let asked = if does == "nothing" { "pre-swap" } else { "health" };
    // What computes for ever meets that limit soon; the others are not to meet it on a machine that is busy.
    let cpu = if expected.contains("computed") { "1s" } else { "60s" };
    let scenario = format!(
        "config: {{ in: {asked}, does: {does:?} }}\ncpu: {cpu}\n{more}\ncalls:\n  - {{ ask: health, expect: {expected:?} }}\n"
    );
    fs::write(folder.join("scenario.yaml"), scenario).expect("a scenario");
    call(folder, &["hooks", "test", "awkward.wasm", "--scenario", "scenario.yaml"])
}

#[test]
fn every_limit_is_named_when_it_is_met() {
    let (folder, usual_kib) = awkward();
    let again = "http: { GET http://candidate/again: [{ status: 302, headers: { location: /again } }] }";
    let posted = "http: { POST http://candidate/: [{ body: x, times: 10000000 }] }";
    for (does, expected, more) in [
        ("loop", "aborted: it computed for more than 1s", ""),
        ("fill", "aborted: it computed for more than 1s", ""),
        ("sleep", "aborted: no answer within 5m", ""),
        (
            "nest",
            "aborted: it reached outside of its memory, as calls do that are nested too deep, or a wrong pointer",
            "",
        ),
        ("exit", "aborted: it ended itself, as a failure, instead of answering", ""),
        ("grow", "aborted: it needs more than 64 MiB of memory, with what swap holds for it", ""),
        ("print", "aborted: it logged more than 1024 KiB", ""),
        ("empty lines", "aborted: it logged more than 1024 KiB", ""),
        ("one line", "aborted: it logged more than 1024 KiB", ""),
        ("url", "not yet: a URL has at most 16 KiB", ""),
        ("host", "fatal: to send a request to", ""),
        ("headers", "not yet: http://candidate/ does not answer", ""),
        ("bodies", "healthy", posted),
        ("redirects", "not yet: the answer is 302", again),
        ("store", "not yet: a hook has at most 1000 keys", ""),
        ("ask again", "not yet", ""),
    ] {
        let call = attack(folder.path(), does, expected, more);
        let said = format!("{does}:\n{}{}", short(&call.stdout), short(&call.stderr));
        assert!(call.stdout.contains(&format!("→ {expected}")), "{said}");
        assert!(call.took < MARGIN, "{does} took {:?}", call.took);
        assert!(call.stdout.len() + call.stderr.len() < 6 << 20, "{does} said {} bytes", call.stdout.len());
        let above = call.peak_kib.saturating_sub(usual_kib);
        println!("{does:12} {:5} ms, {:4} MiB above the usual {}", call.took.as_millis(), above >> 10, usual_kib >> 10);
        assert!(above < MEMORY_KIB, "{does} took {} MiB", above >> 10);
    }
}

#[test]
fn what_is_no_scenario_ends_at_once() {
    let (folder, usual_kib) = awkward();
    let enormous = "http: { POST http://candidate/: [{ body: x, times: 18446744073709551615 }] }";
    let call_with_times = attack(folder.path(), "bodies", "healthy", enormous);
    assert_eq!(call_with_times.code, Some(0), "{}{}", call_with_times.stdout, call_with_times.stderr);
    assert!(call_with_times.peak_kib - usual_kib < MEMORY_KIB);
    for name in ["fifo.yaml", "folder/fifo.yaml"] {
        fs::create_dir_all(folder.path().join("folder")).expect("a folder");
        assert!(Command::new("mkfifo").arg(folder.path().join(name)).status().expect("mkfifo").success());
        let scenario = name.split_once('/').map_or(name, |(folder, _)| folder);
        let refused = call(folder.path(), &["hooks", "test", "awkward.wasm", "--scenario", scenario]);
        assert_eq!(refused.code, Some(3));
        assert_eq!(refused.stderr, format!("error: reading scenario `{name}`: it is not a file\n"));
    }
    for command in
        [&["hooks", "inspect", "fifo.yaml"][..], &["hooks", "test", "fifo.yaml", "--scenario", "scenario.yaml"]]
    {
        let refused = call(folder.path(), command);
        assert!(refused.stderr.contains("reading `fifo.yaml`: it is not a file"), "{}", refused.stderr);
    }
}

fn short(text: &str) -> String {
    text.chars().take(3000).collect()
}
