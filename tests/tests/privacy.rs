//! What swap keeps is for nobody else, and holds no secret.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use scenarios::stack::Stack;

/// What nobody may read in a journal.
const SECRETS: [&str; 4] = ["s3cret-environment", "s3cret-config", "s3cret-set", "s3cret-variable"];

#[test]
fn nothing_secret_is_kept_and_nothing_is_open_to_others() {
    let stack = Stack::builder().app_line("environment: { TOKEN: s3cret-environment, OTHER: \"${OTHER:-}\" }").up();
    stack.hook("http-health");
    let hooks = "health: ./healthcheck\n      hooks:\n        - use: hooks/http-health.wasm\n          \
                 config: { path: /up, host: s3cret-config }";
    stack.edit("docker-compose.yml", "health: ./healthcheck", hooks);
    let swap = |words: &[&'static str], code| {
        let call = stack.swap(words).env("XDG_CACHE_HOME", stack.path("cache")).env("OTHER", "s3cret-variable");
        call.expect_exit(code)
    };
    stack.deploy("v2");
    swap(&["-v", "--hooks", "hooks/http-health.wasm", "--set", "host=s3cret-set", "app"], 0);
    stack.deploy("v1");
    swap(&["-v", "--timeout", "1s", "app", "test -e /never"], 4);

    let mut open = vec![stack.state(), stack.path("cache/swap/hooks")];
    let mut files = 0;
    while let Some(path) = open.pop() {
        let metadata = std::fs::symlink_metadata(&path).expect("what was found");
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_dir() {
            assert_eq!(mode, 0o700, "`{}` has mode {mode:o}", path.display());
            open.extend(std::fs::read_dir(&path).expect("a folder").flatten().map(|entry| entry.path()));
        } else {
            assert_eq!(mode, 0o600, "`{}` has mode {mode:o}", path.display());
            files += 1;
            holds_no_secret(&path);
        }
    }
    // Two journals, a lock, a compiled hook.
    assert!(files >= 4, "{files} files");
    std::fs::read_dir(stack.path("nginx/swap"))
        .expect("the folder")
        .flatten()
        .for_each(|entry| holds_no_secret(&entry.path()));
}

#[track_caller]
fn holds_no_secret(path: &PathBuf) {
    let text = String::from_utf8_lossy(&std::fs::read(path).expect("a file")).into_owned();
    let found = SECRETS.into_iter().find(|secret| text.contains(secret));
    assert_eq!(found, None, "in `{}`", path.display());
}

/// What a hook may read and nobody may see: its lines, each in what would be left of it.
const TOKEN: &str = "-----BEGIN SECRET-----\nfirst+half/of=it\nund die Hälfte danach\n-----END SECRET-----\n";
const LINES: [&str; 4] = ["BEGIN SECRET", "first+half", "die Hälfte danach", "END SECRET"];

#[test]
fn a_secret_is_nowhere_in_what_is_said_and_kept() {
    let stack = Stack::up();
    stack.hook("awkward");
    stack.deploy("v2");
    let mut said = Vec::new();
    let allow = ["--allow", "secret:TOKEN", "--allow", "exec:nginx"];
    for (phase, does) in
        [("in=pre-swap", "does=tell"), ("in=pre-start", "does=tell"), ("in=health", "does=tell and panic")]
    {
        let hook = ["-v", "--hooks", "hooks/awkward.wasm", "--set", phase, "--set", does];
        let swapped = stack.swap([&hook[..], &allow, &["app"]].concat()).env("TOKEN", TOKEN).expect_exit(4);
        swapped.talks_of("***");
        said.push((format!("{phase} {does}"), swapped.stderr + &swapped.raw));
        for words in [&["logs"][..], &["report"], &["history"], &["--output", "json", "logs"]] {
            said.push((words.join(" "), stack.swap(words).expect_exit(0).raw));
        }
    }
    let by_hand = [
        "hooks",
        "run",
        "hooks/awkward.wasm",
        "app",
        "--phase",
        "pre-swap",
        "--set",
        "in=pre-swap",
        "--set",
        "does=tell",
    ];
    let asked = stack.swap([&by_hand[..], &allow].concat()).env("TOKEN", TOKEN).expect_exit(3);
    said.push(("hooks run".to_owned(), asked.stderr + &asked.raw));
    for path in below(&stack.state()) {
        said.push((
            path.display().to_string(),
            String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned(),
        ));
    }
    assert!(said.len() > 20, "{} texts", said.len());
    for (what, text) in said {
        for line in LINES {
            let percent: String = line.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let found = [text.contains(line), text.to_lowercase().contains(&percent)];
            assert_eq!(found, [false, false], "`{line}` in {what}:\n{}", around(&text, line));
        }
    }
}

/// Returns all files below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries.flat_map(|entry| if entry.path().is_dir() { below(&entry.path()) } else { vec![entry.path()] }).collect()
}

/// Returns the line in which something was found.
fn around<'a>(text: &'a str, found: &str) -> &'a str {
    text.lines().find(|line| line.contains(found)).unwrap_or_default()
}
