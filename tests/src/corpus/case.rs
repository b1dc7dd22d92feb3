//! The table of cases.

use std::fmt;

use anyhow::{Context, Result, ensure};

/// What `swap init` made of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What it wrote is proved.
    Right,
    /// It refused, with reason, place and cure.
    RefusedWell,
    /// It refused what it could do, or without a way on.
    RefusedBadly,
    /// What it wrote breaks the project, or does not do what it is for.
    Wrong,
    /// The case can't be tried here.
    Unusable,
}

impl Verdict {
    /// All of them, the best first.
    pub const ALL: [Self; 5] = [Self::Right, Self::RefusedWell, Self::RefusedBadly, Self::Wrong, Self::Unusable];

    fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.to_string() == text)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Right => "right",
            Self::RefusedWell => "refused-well",
            Self::RefusedBadly => "refused-badly",
            Self::Wrong => "wrong",
            Self::Unusable => "unusable",
        })
    }
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The repository, as `OWNER/NAME`.
    pub repository: String,
    /// Its commit.
    pub commit: String,
    /// The compose file, or the nginx configuration.
    pub path: String,
    /// The service of the compose file; for a configuration alone whom it sends requests to, as `app:8000`.
    pub service: String,
    /// The service that runs nginx; none for a configuration alone.
    pub nginx: Option<String>,
    /// What is right.
    pub verdict: Verdict,
    /// Why, in short.
    pub reason: String,
}

impl Case {
    /// Returns its line in the table.
    pub fn line(&self) -> String {
        let Self { repository, commit, path, service, nginx, verdict, reason } = self;
        let nginx = nginx.as_deref().unwrap_or("-");
        format!("{repository}\t{commit}\t{path}\t{service}\t{nginx}\t{verdict}\t{reason}")
    }

    /// Tells whether it is an nginx configuration without a compose project.
    pub fn is_configuration(&self) -> bool {
        self.nginx.is_none()
    }

    /// Host and port to which a configuration alone sends requests.
    pub fn address(&self) -> (&str, Option<u16>) {
        let (host, port) = self.service.rsplit_once(':').unwrap_or((&self.service, ""));
        (host, port.parse().ok())
    }

    /// Tells whether the configuration is of an nginx on the machine itself.
    pub fn is_of_machine(&self) -> bool {
        self.is_configuration() && matches!(self.address().0, "127.0.0.1" | "localhost")
    }

    /// Returns the name of the service in the compose file.
    pub fn name(&self) -> &str {
        match (self.is_configuration(), self.is_of_machine()) {
            (true, true) => "app",
            (true, false) => self.address().0,
            (false, _) => &self.service,
        }
    }
}

/// Reads a table: lines of words between tabs; empty lines and those with `#` in front are for people.
pub fn table_of(text: &str) -> Result<Vec<Case>> {
    let lines = text.lines().filter(|line| is_case(line));
    lines.map(|line| case_of(line).with_context(|| format!("in `{line}`"))).collect()
}

/// Returns a table with new lines in the place of its cases, in their order.
pub fn text_of(text: &str, cases: &[Case]) -> String {
    let mut cases = cases.iter();
    let line = |line: &str| match is_case(line) {
        true => cases.next().map_or(String::new(), Case::line) + "\n",
        false => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn is_case(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn case_of(line: &str) -> Result<Case> {
    let words: Vec<&str> = line.split('\t').collect();
    ensure!((5..=7).contains(&words.len()), "it has {} words between tabs instead of 7", words.len());
    let text = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
    Ok(Case {
        repository: text(0),
        commit: text(1),
        path: text(2),
        service: text(3),
        nginx: Some(text(4)).filter(|nginx| nginx != "-"),
        // A new case has none yet.
        verdict: Verdict::of(&text(5)).unwrap_or(Verdict::Unusable),
        reason: text(6),
    })
}
