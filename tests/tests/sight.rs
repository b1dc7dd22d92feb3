//! What people see of a run afterwards: status, history, story and report.

use std::fs;
use std::process::Command;

use scenarios::stack::Stack;

use crate::common::says;

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
    says(&outcome, &["front door: ", " requests, 0 failed, p99 "]);

    let status = stack.swap(["status", "app"]).expect_exit(0);
    says(&status, &["SERVICE", "SINCE", "swapped in [time]", "[project]-app-2"]);
    let history = stack.swap(["history", "app", "--limit", "1"]).expect_exit(0);
    assert_eq!(history.stdout.lines().count(), 2, "{}", history.stdout);
    says(&history, &["[run]", "swapped", "[project]-app-1", "[project]-app-2"]);

    let logs = stack.swap(["logs"]).expect_exit(0);
    says(&logs, &["run [run] of project [project]: swap app, swapped in", "create      app: ", "front door: "]);
    let id = history.raw.lines().nth(1).and_then(|line| line.split(' ').next()).expect("a run");
    let report = stack.swap(["report", id]).expect_exit(0);
    assert!(report.raw.starts_with("<!DOCTYPE html>"), "{}", report.raw);
    let file = stack.path("report.html");
    fs::write(&file, &report.raw).expect("writing the report");
    stack.swap(["report", "19"]).expect_exit(2);
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
