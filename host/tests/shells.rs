//! What a shell is offered at the tabulator key, asked as a shell asks; and that every shell reads swap's scripts.

use std::fs;
use std::path::{Path, PathBuf};
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

/// Returns the scripts of the crate, which run beside nginx and in containers.
fn scripts() -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            match path.is_dir() {
                true => collect(&path, found),
                false if path.extension().is_some_and(|ending| ending == "sh") => found.push(path),
                false => {}
            }
        }
    }
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    found
}

#[test]
fn every_shell_of_this_machine_reads_the_scripts() {
    let scripts = scripts();
    let names: Vec<_> = scripts.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, ["trial.sh", "connect.sh", "find.sh", "observe.sh", "processes.sh", "switch.sh"]);
    let mut tried = 0;
    for shell in [&["sh"][..], &["dash"], &["bash", "--posix"], &["busybox", "ash"]] {
        for script in &scripts {
            let Ok(read) = Command::new(shell[0]).args(&shell[1..]).arg("-n").arg(script).output() else { continue };
            assert!(read.status.success(), "{shell:?} {}: {}", script.display(), String::from_utf8_lossy(&read.stderr));
            tried += 1;
        }
    }
    assert!(tried >= scripts.len(), "no shell is here");
}

#[test]
fn shellcheck_finds_nothing_in_the_scripts() {
    // Where it is installed: nothing else needs it.
    let Ok(checked) = Command::new("shellcheck").args(["--shell=sh"]).args(scripts()).output() else {
        eprintln!("skipped: no shellcheck here");
        return;
    };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
