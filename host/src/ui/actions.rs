//! What GitHub Actions understands: folded groups, and failures as annotations. Pure: text in, lines out.

use crate::model::Failure;

/// Returns the lines that begin a group; until its end nothing in it is taken for a command.
pub(super) fn begin_group(title: &str, token: &str) -> String {
    format!("::group::{}\n::stop-commands::{token}", data(title))
}

/// Returns the lines that end a group.
pub(super) fn end_group(token: &str) -> String {
    format!("::{token}::\n::endgroup::")
}

/// Returns the line that marks a run of the workflow with a failure.
pub(super) fn error(title: &str, failure: &Failure) -> String {
    let mut lines = vec![failure.what.clone()];
    lines.extend(failure.tail.iter().map(|line| format!("| {line}")));
    lines.extend(failure.hint.iter().map(|hint| format!("hint: {hint}")));
    format!("::error title={}::{}", property(title), data(&lines.join("\n")))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_is_in_it() {
        let failure = Failure {
            what: "candidate `a` exited 1: 100 % full\r\n::error::no".to_owned(),
            hint: Some("free, some: space".to_owned()),
            tail: vec!["one".to_owned(), "two\n::endgroup::".to_owned()],
        };
        assert_eq!(
            error("swap app, worker: healthy failed", &failure),
            "::error title=swap app%2C worker%3A healthy failed::candidate `a` exited 1: 100 %25 full%0D%0A::error::no\
             %0A| one%0A| two%0A::endgroup::%0Ahint: free, some: space"
        );
    }
}
