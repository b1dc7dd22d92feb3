//! The pieces of shell that scripts are made of.

use std::sync::LazyLock;

use crate::os::token;

/// A word that no file and no configuration holds by accident or by malice.
pub(super) fn marker() -> String {
    format!("swap-{}", token())
}

/// A script in a subshell of its own, so that it may `exit`, and leaves nothing behind; without input.
pub(super) fn subshell(body: &str) -> String {
    format!("(\n{}{body}\n) </dev/null\n", *PROCESSES)
}

/// Functions that read /proc with nothing but builtins.
static PROCESSES: LazyLock<String> = LazyLock::new(|| without_comments(include_str!("processes.sh")));

/// Returns a script without its comments: it goes to a shell many times, some of which read byte by byte.
fn without_comments(script: &str) -> String {
    let lines = script.lines().filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use crate::text::{quote, shell_word};

    #[test]
    fn a_shell_sees_nothing_in_what_is_quoted() {
        let mut words: Vec<String> = Vec::new();
        crate::mutated::texts(&["/etc/nginx/swap", "it's", "-n $(id)", "a\nb", "`reboot`; '"], |text| {
            if words.len() < 20_000 {
                words.push(text.replace('\0', ""));
            }
        });
        let mut shell = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        let script: String =
            words.iter().map(|word| format!("printf '%s\\0' {} {}\n", quote(word), shell_word(word))).collect();
        let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
        let output = shell.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        let said: Vec<String> =
            output.stdout.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let expected: Vec<String> = words.into_iter().flat_map(|word| [word.clone(), word]).collect();
        assert_eq!(said[..said.len() - 1], expected);
    }
}
