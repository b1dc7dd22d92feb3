//! What people see of a run afterwards: status, history, story and report.

use std::fs;
use std::process::Command;

use expect_test::expect;
use scenarios::stack::Stack;

use crate::common::shows;

#[test]
fn a_swap_is_seen_afterwards_and_its_report_opens_in_a_browser() {
    let stack = Stack::up();
    stack.edit(
        "docker-compose.yml",
        "health: ./healthcheck",
        "health: ./healthcheck\n      probe: { url: /, rate: 200 }",
    );
    stack.deploy("v2");
    let outcome = stack.swap(["app"]).expect_exit(0);
    shows(&outcome, expect![[r#""#]]);

    let status = stack.swap(["status", "app"]).expect_exit(0);
    shows(&status, expect![[r#""#]]);
    let history = stack.swap(["history", "app", "--limit", "1"]).expect_exit(0);
    shows(&history, expect![[r#""#]]);

    let logs = stack.swap(["logs"]).expect_exit(0);
    shows(&logs, expect![[r#""#]]);
    let events = stack.swap(["logs", "--output", "json"]).expect_exit(0);
    let event = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("an event")["event"].clone();
    let events: Vec<serde_json::Value> = events.raw.lines().map(event).collect();
    assert_eq!((&events[0], &events[events.len() - 1]), (&"planned".into(), &"closed".into()));
    let id = history.raw.lines().nth(1).and_then(|line| line.split(' ').next()).expect("a run");
    let report = stack.swap(["report", id]).expect_exit(0);
    assert!(report.raw.starts_with("<!DOCTYPE html>"), "{}", report.raw);
    let file = stack.path("report.html");
    fs::write(&file, &report.raw).expect("writing the report");
    shows(&stack.swap(["report", "19"]).expect_exit(2), expect![[r#""#]]);
    shows(&stack.swap(["report", "--output", "json"]).expect_exit(2), expect![[r#""#]]);
    opens(&file);
}

/// Opens a page in a headless Chromium, where there is one: no error in its console, and all of it is there.
fn opens(file: &std::path::Path) {
    let Ok(output) = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("file://{}", file.display()))
        .output()
    else {
        println!("chromium is not installed: the report was not opened");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let console: Vec<&str> = said.lines().filter(|line| line.contains(":CONSOLE")).collect();
    assert!(console.is_empty(), "{}", console.join("\n"));
    let page = String::from_utf8_lossy(&output.stdout);
    for part in ["<svg", "id=\"steps\"", "id=\"door\"", "id=\"plan\"", "class=\"p99\"", "class=\"live new\""] {
        assert!(page.contains(part), "the page has no {part}");
    }
}
