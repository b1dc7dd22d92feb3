//! What swap keeps is for nobody else, and holds no secret.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

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
