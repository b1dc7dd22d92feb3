//! The scripted world itself, with components made by hand.

use super::component::{getter, plain, runner};
use super::world::{engine, on_disk};
use crate::hooks::scripted::{Report, Scenario};
use crate::model::Phase;

fn run(component: &[u8], scenario: &str) -> Report {
    let disk = on_disk("hook", component);
    let scenario = Scenario::parse("test", scenario).unwrap();
    scenario.run(&engine(), disk.file.to_str().unwrap()).unwrap()
}

#[test]
fn every_call_is_printed_with_its_verdict() {
    let report = run(
        &getter("http://candidate/up"),
        r#"
about: gets up
http:
  GET http://candidate/up: [{ dead: true, after: 1h }, { status: 302, headers: { location: /a } }, 200]
  GET http://candidate/a: [404]
calls:
  - { ask: health, expect: "fatal: http://candidate/up does not answer" }
  - { ask: health, expect: healthy }
  - { ask: health, expect: fatal }
"#,
    );
    assert_eq!(
        report.text,
        "health 1
  → no answer within 5m
  ✗ expected: fatal: http://candidate/up does not answer
health 2
  GET http://candidate/up → 302
  GET http://candidate/a → 404
  → healthy
health 3
  GET http://candidate/up → 200
  → healthy
  ✗ expected: fatal
gets up: 3 calls, 2 not as expected, 5m on the scenario's clock
"
        .replace("→ no answer", "→ aborted: no answer")
    );
    assert_eq!(report.wrong, 2);
}

#[test]
fn grants_are_those_of_a_real_run() {
    let scenario =
        |allow: &str| format!("allow: [{allow}]\nexec: {{ \"service:db true\": [0] }}\ncalls: [{{ ask: health }}]");
    let refusal = "to run a command in the service `db` is not granted";
    let cure = "allow it with `allow: [ \"exec:db\" ]` beside the hook in `x-swap`, or `--allow exec:db`";
    assert_eq!(
        run(&runner("service:db"), &scenario("")).text,
        format!(
            "health 1\n  refused: {refusal}; {cure}\n  → fatal: {refusal}\n1 calls, as expected, 0s on the scenario's clock\n"
        )
    );
    assert_eq!(
        run(&runner("service:db"), &scenario("\"exec:db\"")).text,
        "health 1\n  exec in service:db: true → exit 0\n  → healthy\n1 calls, as expected, 0s on the scenario's clock\n"
    );
}

#[test]
fn an_endless_loop_ends_a_scenario_too() {
    let scenario = Scenario::parse("test", "cpu: 100ms\ncalls: [{ ask: finish, expect: aborted }]").unwrap();
    let disk = on_disk("loops", &plain(Phase::Finish, "(loop (br 0)) (i32.const 0)"));
    let report = scenario.run(&engine(), disk.file.to_str().unwrap());
    assert_eq!(
        report.unwrap().text,
        "finish 1\n  → aborted: it computed for more than 100ms\n1 calls, as expected, 0s on the scenario's clock\n"
    );
}

#[test]
fn what_is_no_scenario_is_refused() {
    for (text, why) in [
        ("calls: []", "it has no calls"),
        ("", "unexpected end of input at line 1, column 1"),
        (
            "calls: [{ ask: lunch }]",
            "unknown variant `lunch`, expected one of pre-start, health, pre-swap, post-swap, rollback, finish at line 1, \
             column 16",
        ),
        (
            "call: []",
            "unknown field `call`, expected one of about, config, allow, secrets, state, http, exec, containers, metrics, \
             context, clock, deadline, cpu, calls at line 1, column 1",
        ),
        ("deadline: soon\ncalls: [{ ask: health }]", "`soon` is no duration at line 1, column 11"),
    ] {
        let failure = Scenario::parse("test", text).unwrap_err();
        assert_eq!(failure.what, format!("scenario `test`: {why}"));
    }
}
