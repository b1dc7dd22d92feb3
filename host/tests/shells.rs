//! What a shell is offered at the tabulator key, asked as a shell asks.

use std::fs;
use std::process::Command;

/// Returns the candidates for the last word of a command line, in a project with the services `api`, `app` and `worker`.
fn offered(words: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "services:\n  app: { image: a }\n  api: { image: a }\n  worker: { image: a }\n";
    fs::write(folder.path().join("compose.yml"), file).expect("a compose file");
    fs::write(folder.path().join("notes.txt"), "").expect("a file");
    fs::create_dir(folder.path().join("hooks")).expect("a folder");
    fs::write(folder.path().join("hooks/app.wasm"), "").expect("a component");
    let answer = Command::new(env!("CARGO_BIN_EXE_swap"))
        .current_dir(folder.path())
        .env("SWAP_COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env_remove("COMPOSE_FILE")
        .args(["--", "swap"])
        .args(words)
        .output()
        .expect("swap answers");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8_lossy(&answer.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn commands_and_services_are_offered() {
    assert_eq!(offered(&["a"]), ["api", "app"]);
    assert_eq!(offered(&["do"]), ["doctor"]);
    assert_eq!(offered(&["doctor", "w"]), ["worker"]);
    assert_eq!(offered(&["init", "ap"]), ["api", "app"]);
    assert_eq!(offered(&["-f", "none.yml", "resume", "ap"]), Vec::<String>::new());
    assert_eq!(offered(&["app", "--wa"]), ["--watch", "--wait"]);
}

#[test]
fn only_components_and_folders_are_offered_as_hooks() {
    assert_eq!(offered(&["--hooks", ""]), ["hooks/"]);
    assert_eq!(offered(&["--hooks", "hooks/"]), ["hooks/app.wasm"]);
}

#[test]
fn each_shell_learns_to_ask() {
    for (shell, word) in [("bash", "complete "), ("zsh", "compdef "), ("fish", "complete ")] {
        let answer =
            Command::new(env!("CARGO_BIN_EXE_swap")).args(["completions", shell]).output().expect("swap answers");
        let script = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert!(answer.status.success() && script.contains(word) && script.contains("SWAP_COMPLETE"), "{script}");
    }
}

/// A pipe whose reader has gone away, as in `swap help | true`.
fn nobody() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer
}

#[test]
fn where_nobody_listens_any_more_all_ends_quietly() {
    let swap = || Command::new(env!("CARGO_BIN_EXE_swap"));
    let folder = tempfile::tempdir().expect("a folder");
    for words in [&["--help"][..], &["--version"], &["completions", "zsh"], &["hooks", "new", "new"]] {
        let child = swap().args(words).current_dir(folder.path()).stdout(nobody()).output().expect("swap runs");
        assert_eq!((child.status.code(), String::from_utf8_lossy(&child.stderr).as_ref()), (Some(0), ""), "{words:?}");
    }
    let asked = swap()
        .env("SWAP_COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", "1")
        .args(["--", "swap", "do"])
        .stdout(nobody())
        .output()
        .expect("swap answers");
    assert_eq!((asked.status.code(), String::from_utf8_lossy(&asked.stderr).as_ref()), (Some(0), ""));
    // Without words it tells how it is used, on its standard error.
    let usage = swap().stdout(nobody()).stderr(nobody()).status().expect("swap runs");
    assert_eq!(usage.code(), Some(2));
}
