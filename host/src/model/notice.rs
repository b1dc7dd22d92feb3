//! What the operator should know, and that prevents nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Failure;

/// What the operator should know, and that prevents nothing. It is recorded as the line that people read, which scripts and
/// former versions read too: what is read back has its cure in that line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Notice {
    /// What was noticed: one lower-case line without a full stop.
    pub what: String,
    /// The cure, if one is known: a command or the exact lines to write.
    pub cure: Option<String>,
}

impl Notice {
    /// Makes a notice that says what was noticed.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cure: None }
    }

    /// Adds the cure.
    pub fn cure(self, cure: impl Into<String>) -> Self {
        Self { cure: Some(cure.into()), ..self }
    }
}

/// Adds what is not there yet, as notices and failures are: several services or nginxes may say the same, and it is told once.
pub(crate) fn extend_new<T: PartialEq>(all: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for one in more {
        if !all.contains(&one) {
            all.push(one);
        }
    }
}

/// As people read it: the cure stands in brackets.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cure {
            Some(cure) => write!(f, "{} ({cure})", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl From<String> for Notice {
    fn from(line: String) -> Self {
        Self::new(line)
    }
}

impl From<Notice> for String {
    fn from(notice: Notice) -> Self {
        notice.to_string()
    }
}

/// What would be a failure elsewhere, and prevents nothing here.
impl From<Failure> for Notice {
    fn from(Failure { what, hint, .. }: Failure) -> Self {
        Self { what, cure: hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_recorded_and_read_back_as_the_line_that_people_read() {
        let notice = Notice::new("the candidate gets an empty volume").cure("name it under `volumes:`");
        let line = "the candidate gets an empty volume (name it under `volumes:`)";
        assert_eq!(serde_json::to_value(&notice).unwrap(), line);
        let read: Notice = serde_json::from_value(line.into()).unwrap();
        assert_eq!((read.to_string(), read.cure), (line.to_owned(), None));
    }
}
