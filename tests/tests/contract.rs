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
    let expected: Expect = expect![[r#""#]];
    expected.assert_eq(told);
}
