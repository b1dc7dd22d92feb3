//! The examples of `--help`, typed as they stand there.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use scenarios::command::run;
use scenarios::images;
use scenarios::stack::Stack;
use scenarios::swap::binary;

/// Returns what a command prints as help.
fn help(words: &[String]) -> String {
    let output = Command::new(binary().expect("swap")).args(words).arg("--help").output().expect("running swap");
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the examples of a command and of those below it, by the words of the command.
fn examples(words: &[String], found: &mut BTreeMap<String, Vec<String>>) {
    let help = help(words);
    let section = |title: &str| {
        let lines = help.lines().skip_while(|line| *line != title).skip(1).take_while(|line| !line.is_empty());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // What follows three spaces or stands far to the right is told about the example, or about a command.
    let typed = |line: &String| line.trim_start().split("   ").next().unwrap_or_default().trim_end().to_owned();
    let is_begun = |line: &&String| line.starts_with("  ") && !line.starts_with("   ");
    let own = section("Examples:").iter().filter(is_begun).map(typed).collect();
    assert!(found.insert(words.join(" "), own).is_none());
    for line in section("Commands:").iter().filter(is_begun) {
        let name = line.split_whitespace().next().expect("a command").to_owned();
        examples(&[words, &[name]].concat(), found);
    }
}

/// Types a line into a shell in the stack's folder.
fn typed(stack: &Stack, line: &str) -> Output {
    let swap = binary().expect("swap");
    let path = format!("{}:{}", swap.parent().expect("a folder").display(), std::env::var("PATH").expect("a PATH"));
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &format!("[ ! -e toolchain ] || . ./toolchain; {line}")])
        .current_dir(stack.path("."))
        .env("PATH", path);
    bash.env("HOME", stack.path("home")).env("SWAP_STATE_DIR", stack.state()).env("TERM", "dumb");
    if let Ok(tool) = std::env::var("SWAP_TEST_COMPOSE").or_else(|_| std::env::var("SWAP_COMPOSE")) {
        bash.env("SWAP_COMPOSE", tool);
    }
    // Cargo and rustup stay where they are, and what other tests built for WebAssembly is used.
    for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let usual = std::env::home_dir().expect("a home").join(folder);
        bash.env(name, std::env::var_os(name).unwrap_or_else(|| usual.into()));
    }
    bash.output().expect("running bash")
}

/// A stack as the examples speak of it.
fn stack() -> Stack {
    let stack = Stack::builder()
        .compose("      - data:/data\n", "      - data:/data\n      - ./check.php:/app/check.php:ro\n")
        .worker("{ proxy: none }")
        .file("check.php", "<?php exit($argv[1] === '--deep' ? 0 : 1);\n")
        .up();
    stack.hook("app");
    std::fs::create_dir_all(stack.path("home/.config/fish/completions")).expect("a folder");
    stack
}

/// Types all examples of these commands, in their order; each must succeed.
#[track_caller]
fn work(stack: &Stack, commands: &[&str]) {
    let mut all = BTreeMap::new();
    examples(&[], &mut all);
    for command in commands {
        let lines = &all[*command];
        assert!(!lines.is_empty(), "`swap {command} --help` has no example");
        for line in lines {
            let output = typed(stack, line);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{line}\n{}{said}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

#[test]
fn every_command_has_examples() {
    let mut all = BTreeMap::new();
    examples(&[], &mut all);
    let mut tested = [SEEING, &["resume", "rollback", "bench"], HOOKS].concat();
    // Only a group of commands has none: those below it have.
    let without: Vec<&str> = all.iter().filter(|(_, own)| own.is_empty()).map(|(name, _)| name.as_str()).collect();
    assert_eq!(without, ["hooks"]);
    let mut with: Vec<&str> = all.keys().map(String::as_str).filter(|name| *name != "hooks").collect();
    with.sort_unstable();
    tested.sort_unstable();
    assert_eq!(with, tested, "each command's examples are typed by one of the tests below");
}

/// The main job, and what looks at it.
const SEEING: &[&str] = &["", "plan", "init", "doctor", "status", "history", "logs", "report", "completions", "man"];

#[test]
fn the_examples_of_the_main_job_and_of_what_shows_it_work() {
    work(&stack(), SEEING);
}

#[test]
fn the_examples_of_resume_and_rollback_work() {
    let stack = Stack::up();
    stack.deploy("v2");
    let mut killed = stack.swap(["--output", "json", "app"]).start();
    killed.until("create", "done");
    killed.kill();
    killed.expect_exit(137);
    work(&stack, &["resume", "rollback"]);
    assert_eq!(stack.version().as_deref(), Ok("v1"));
}

#[test]
fn the_examples_of_bench_work() {
    work(&Stack::up(), &["bench"]);
}

/// What those use who write hooks, in the order in which they do.
const HOOKS: &[&str] = &["hooks new", "hooks build", "hooks inspect", "hooks test", "hooks run"];

#[test]
fn the_examples_for_authors_of_hooks_work() {
    let stack = stack();
    let toolchain = run(&mut Command::new(images::root().join("scripts/wasm-toolchain"))).expect("a toolchain");
    stack.write("toolchain", &toolchain);
    work(&stack, HOOKS);
}
