//! The contract of hooks is the same in a swap and in `swap hooks test`: one hook tells what it sees, and sees the same.

use std::fs;

use expect_test::{Expect, expect};
use scenarios::stack::Stack;

/// A secret of two lines.
const SECRET: &str = "first-half-of-it\nsecond-half-of-it";

/// The world of the example, as far as the hook asks for it.
const SCENARIO: &str = r#"
config: { secret: wanted }
allow: [ "secret:TOKEN" ]
secrets: { TOKEN: "first-half-of-it\nsecond-half-of-it" }
http:
  GET http://candidate/download?mb=5: [{ body: x, times: 5242880 }]
  GET http://candidate/nowhere: [404]
exec:
  candidate sh -c head -c 5242880 /dev/zero | tr '\0' x; exit 3: [{ code: 3, stdout: x, times: 5242880 }]
  one-off sh -c head -c 5242880 /dev/zero | tr '\0' x; exit 3: [{ code: 3, stdout: x, times: 5242880 }]
  candidate sh -c echo out; echo err >&2: [{ stdout: "out\n", stderr: "err\n" }]
  one-off sh -c echo out; echo err >&2: [{ stdout: "out\n", stderr: "err\n" }]
  candidate sh -c printf 'a\377b': [{ stdout: [97, 255, 98] }]
  one-off sh -c printf 'a\377b': [{ stdout: [97, 255, 98] }]
  candidate sleep 60: [{ after: 60s }]
  one-off sleep 60: [{ after: 60s }]
containers:
  candidate: { status: running }
context: { operator: "[operator]" }
calls:
  - { ask: pre-start, expect: done }
  - { ask: health, expect: "not yet: asked for the first time" }
  - { ask: health, after: 200ms, expect: healthy }
  - { ask: pre-swap, expect: "failed (enough): this is how it ends" }
  - { ask: rollback, context: { reason: "hook `witness` (pre-swap) failed: this is how it ends" }, expect: done }
"#;

#[test]
fn a_swap_and_a_scenario_tell_a_hook_the_same() {
    let stack = Stack::up();
    stack.hook("witness");
    stack.deploy("v2");
    fs::write(stack.path("scenario.yaml"), SCENARIO).expect("a scenario");
    let scenario = ["hooks", "test", "hooks/witness.wasm", "--scenario", "scenario.yaml"];
    let tested = stack.swap(scenario).expect_exit(0);
    let with_hook = ["--hooks", "hooks/witness.wasm", "--set", "secret=wanted", "--allow", "secret:TOKEN", "app"];
    let swapped = stack.swap(with_hook).env("TOKEN", SECRET).expect_exit(4);

    let in_scenario = told(&tested.stdout, |line| {
        let (mark, text) = line.strip_prefix("  ")?.split_once(": ")?;
        match mark {
            "info" => Some(text.to_owned()),
            "warn" => Some(format!("warning: {text}")),
            "error" => Some(format!("error: {text}")),
            _ => None,
        }
    });
    let operator = operator();
    let in_swap = told(&swapped.stderr, |line| {
        let (_, text) = line.trim_start().strip_prefix("witness (")?.split_once("): ")?;
        Some(text.replace(&format!("operator: {operator}"), "operator: [operator]"))
    });
    assert_eq!(in_swap, in_scenario);
    seen(&in_swap);
    assert!(!swapped.stderr.contains("nobody asked for this") && !swapped.stderr.contains("printed"));
}

/// Who the machine says we are.
fn operator() -> String {
    let id = std::process::Command::new("id").arg("-un").output().expect("id");
    String::from_utf8_lossy(&id.stdout).trim().to_owned()
}

fn told(said: &str, line: impl Fn(&str) -> Option<String>) -> String {
    said.lines().filter_map(line).map(|line| format!("{line}\n")).collect()
}

fn seen(told: &str) {
    let expected: Expect = expect![[r#"
        this is shown
        warning: this is marked
        error: this too
        first: pre-start of a candidate, attempt 1, candidates 0, created false, live 1, in time true, reason None
        image: named true, digest sha256:
        live: 1 named as the candidate: true
        operator: [operator]
        no candidate: not-found: there is no candidate yet in this phase; a command in its image runs in `one-off`
        not granted: refused: to run a command in the live container is not granted; allow it with `allow: [ "exec:live" ]` beside the hook in `x-swap`, or `--allow exec:live`
        key of 0: too-large: a key has 1 to 256 bytes
        key of 1: done
        key of 100: done
        key of 101: done
        key of 256: done
        key of 257: too-large: a key has 1 to 256 bytes
        value of 65536: done
        value of 65537: too-large: a value has at most 65536 bytes
        kept bytes: true
        keys: 4
        keys: done
        wrong guess: Ok(false)
        key 1001: too-large: a hook has at most 1000 keys
        key that is there: done
        kept: done
        secret: done
        secret value: invalid: a secret is not stored: ask for it again when it is needed
        secret key: invalid: a secret is not stored: ask for it again when it is needed
        shown: ***
        unknown secret: refused
        URL: too-large: a URL has at most 16 KiB
        host: too-large: a host has at most 255 bytes
        method: too-large: a method has at most 32 bytes
        headers: too-large: a request has at most 100 headers with 64 KiB together
        many headers: too-large: a request has at most 100 headers with 64 KiB together
        header: invalid: `a\r\nb: c` is not the value of a header
        no URL: invalid: `here` is not a URL
        scheme: invalid: `file:///etc/passwd` is neither http nor https
        password: invalid: a URL with a password; send an `authorization` header
        port of the front door: refused: to send a request to port 2375 of the proxy's container is not granted; allow it with `allow: [ "http:front-door:2375" ]` beside the hook in `x-swap`, or `--allow http:front-door:2375`
        command: too-large: a command has at most 128 KiB, with its environment
        environment: invalid: the name of a variable is empty or has a `=`
        NUL: invalid: a NUL character in a command
        no command: invalid: a command without a name
        target: invalid: `the moon` is not a target (candidate, candidate:NAME, live, live:NAME, service:NAME)
        service: invalid: `service:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is not a target (candidate, candidate:NAME, live, live:NAME, service:NAME)
        first: health of a candidate, attempt 1, candidates 1, created true, live 1, in time true, reason None
        asked at once: true
        asked again after what was wanted: true
        first: pre-swap of a candidate, attempt 1, candidates 1, created true, live 1, in time true, reason None
        candidate: exit 3, 4194304 bytes, from the beginning: true, cut: true
        candidate: Output { code: 0, stdout: "out\n", stderr: "err\n", truncated: false }
        candidate: Output { code: 0, stdout: "a�b", stderr: "", truncated: false }
        no such program: not-found
        too late: timeout: no answer within [time]; it was ended
        one-off: exit 3, 4194304 bytes, from the beginning: true, cut: true
        one-off: Output { code: 0, stdout: "out\n", stderr: "err\n", truncated: false }
        one-off: Output { code: 0, stdout: "a�b", stderr: "", truncated: false }
        no such program: not-found
        too late: timeout: no answer within [time]; it was ended
        large answer: 200, 4194304 bytes, cut: true
        no such page: 404
        state: running
        first: rollback of a candidate, attempt 1, candidates 1, created true, live 1, in time true, reason Some("hook `witness` (pre-swap) failed: this is how it ends")
        kept: since the beginning
    "#]];
    expected.assert_eq(told);
}
