//! What `swap` promises of its two outputs, whatever it is called for: data and the last line on standard output, talk on
//! standard error. Every run of the rig is held to it, also where a test names no word of what it says.

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It performs a run: `swap`, `swap resume`, `swap rollback`.
    Run,
    /// It only looks, and prints what it sees.
    Look,
    /// It examines, and what it finds is data, errors too: `swap doctor`.
    Examine,
    /// It talks while it prints, each in its own way.
    Other,
}

/// The words of the commands that only look.
const LOOKS: [&str; 5] = ["plan", "status", "history", "logs", "report"];

/// The words of what promises no more than that an exit code of 0 comes without an error.
const OTHERS: [&str; 10] = ["init", "bench", "completions", "man", "hooks", "help", "-h", "--help", "-V", "--version"];

impl Kind {
    fn of(arguments: &[String]) -> Self {
        let words = || arguments.iter().map(String::as_str).take_while(|word| *word != "--");
        let has = |names: &[&str]| words().any(|word| names.contains(&word));
        match () {
            () if arguments.is_empty() || has(&OTHERS) => Kind::Other,
            () if has(&["doctor"]) => Kind::Examine,
            () if has(&LOOKS) => Kind::Look,
            () => Kind::Run,
        }
    }
}

/// Returns the promise that a call has broken, if it has broken one. Silence is a promise too.
pub(crate) fn broken(arguments: &[String], code: i32, stdout: &str, stderr: &str) -> Option<&'static str> {
    let kind = Kind::of(arguments);
    let complains = |text: &str| text.lines().any(|line| line.starts_with("error: "));
    let promise = |promised: &'static str, kept: bool| (!kept).then_some(promised);
    if stderr.lines().any(|line| line.starts_with("thread '")) {
        return Some("no run panics");
    }
    if code == 0 && complains(stderr) {
        return Some("what succeeds tells of no error");
    }
    if arguments.windows(2).any(|pair| pair == ["--output", "json"]) {
        let is_json = |text: &str| text.lines().all(|line| line.starts_with(['{', '[']));
        // Who is killed promises nothing, and what no flag can be read from is told as text.
        let silent = matches!(code, 2 | 137) || matches!(kind, Kind::Other) || (stderr.is_empty() && is_json(stdout));
        return promise("`--output json` prints JSON on standard output and nothing else", silent);
    }
    let lines: Vec<&str> = stdout.lines().collect();
    match (kind, code) {
        (Kind::Run, 0) => promise("a run that succeeds ends in one line on standard output", lines.len() == 1),
        (Kind::Run, 4) => promise(
            "a run that is unwound says so in one line on standard output, or was interrupted before it had begun",
            matches!(lines[..], [line] if line.starts_with("rolled back; ")) || (lines.is_empty() && complains(stderr)),
        ),
        (Kind::Run, 5) => promise(
            "a run that needs a person ends in a line on standard output that says what to do",
            lines.last().is_some_and(|line| line.starts_with("stuck at ") || line.starts_with("left as it is")),
        ),
        (Kind::Look, 0) => promise(
            "what only looks is silent on standard error, but for what compose warns of",
            stderr.lines().all(|line| line.starts_with("compose: ")),
        ),
        (Kind::Examine, 0 | 3) => {
            promise("what was examined is told on standard output alone", stderr.is_empty() && !lines.is_empty())
        }
        (Kind::Run | Kind::Look | Kind::Examine, 1..=3 | 6) => promise(
            "what is refused is told on standard error, and standard output is silent",
            lines.is_empty() && complains(stderr),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_keeps_to_what_its_exit_code_promises() {
        let check = |words: &str, code: i32, stdout: &str, stderr: &str| {
            let arguments: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            broken(&arguments, code, stdout, stderr)
                .map(|promise| promise.split(' ').take(6).collect::<Vec<_>>().join(" "))
        };
        let kept = |words: &str, code: i32, stdout: &str, stderr: &str| {
            assert_eq!(check(words, code, stdout, stderr), None, "{words}");
        };
        let broke = |words: &str, code: i32, stdout: &str, stderr: &str, promise: &str| {
            assert_eq!(check(words, code, stdout, stderr).as_deref(), Some(promise), "{words}");
        };
        let steps = "swap app (project p, run r)\n  start       app: p-app-2 runs  0.1 s\n";
        kept("app", 0, "swapped app: p-app-1 → p-app-2 in 1.0 s\n", steps);
        kept(
            "--timeout 1s app -- php plan",
            4,
            "rolled back; app: p-app-1 serves, nothing of this run is left\n",
            steps,
        );
        kept("app", 4, "", "error: SIGINT: nothing was changed\n");
        kept("resume app", 5, "app: p-app-1 serves\nleft as it is; `swap resume app` finishes\n", steps);
        kept("app", 6, "", "error: another run holds `app`\nhint: wait\n");
        kept("app", 137, "", steps);
        kept("status app", 0, "SERVICE\n", "compose: the variable is not set\n");
        kept("doctor", 3, "error    no engine\n", "");
        kept("plan app", 3, "", "error: refused\n");
        kept("--output json app", 3, "{\"event\":\"error\"}\n", "");
        kept("init app", 3, "+ a line\n", "error: by hand\n");

        broke("app", 0, "", steps, "a run that succeeds ends in");
        broke("app", 0, "swapped\nand more\n", steps, "a run that succeeds ends in");
        broke("app", 0, "swapped\n", "error: nobody claims this\n", "what succeeds tells of no error");
        broke("app", 4, "swapped\n", steps, "a run that is unwound says");
        broke("app", 5, "app: p-app-1 serves\n", steps, "a run that needs a person");
        broke("app", 3, "", "", "what is refused is told on");
        broke("plan app", 3, "plan for app\n", "error: refused\n", "what is refused is told on");
        broke("plan app", 0, "plan for app\n", "note: more\n", "what only looks is silent on");
        broke("doctor", 0, "ready\n", "error: more\n", "what succeeds tells of no error");
        broke("app --output json", 0, "swapped\n", "", "`--output json` prints JSON on standard");
        broke("app", 137, "", "thread 'main' panicked at host/src/main.rs\n", "no run panics");
    }
}
