//! Changes files of swap's folder, and makes nginx obey them.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use super::super::config::ErrorLog;
use super::super::find;
use super::super::tuning::TUNING_FILE;
use super::super::upstream::TITLE;
use super::super::workers::{Generation, Process};
use super::super::{Shell, USUAL};
use super::{FileChange, Nginx, Proxy, cut};
use crate::model::{Failure, Output};
use crate::text::{printable, quote, quote_all};

/// Changes files and, for a switch, makes nginx obey them; what it needs to know are its variables and parameters.
const SWITCH: &str = include_str!("../switch.sh");

/// A switch that did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchFailure {
    /// What happened.
    pub failure: Failure,
    /// Whether the old files are in place again and nginx obeys them. If not, stop no container that either names.
    pub restored: bool,
}

impl fmt::Display for SwitchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl std::error::Error for SwitchFailure {}

impl From<SwitchFailure> for Failure {
    fn from(failure: SwitchFailure) -> Failure {
        failure.failure
    }
}

impl<S: Shell> Proxy<S> {
    /// Writes, or removes, one file of swap's folder atomically; nginx is not told.
    ///
    /// May run twice: the same bytes are renamed over themselves.
    pub async fn write(&self, nginx: &Nginx, change: &FileChange) -> Result<(), Failure> {
        let body = Files::new(nginx, std::slice::from_ref(change))?.script("TASK=write\n");
        let output = self.change("write", &body, USUAL).await?;
        if output.ok() { Ok(()) } else { Err(not_written(&nginx.folder, &output)) }
    }

    /// Changes files of swap's folder, tests, reloads, and confirms that new workers obey them; one script.
    ///
    /// Returns the workers that still obey the former files. On any failure the former bytes are put back, and nginx is
    /// made to obey them if it may have seen the new ones. Switching back is the same with the former texts.
    ///
    /// May run twice: the same bytes are written again, nginx reloads once more, and the generation that is returned
    /// holds every worker that runs by then, also those that the first time left to finish.
    pub async fn switch(&self, nginx: &Nginx, changes: &[FileChange]) -> Result<Generation, SwitchFailure> {
        let untouched = |failure| SwitchFailure { failure, restored: true };
        let files = Files::new(nginx, changes).map_err(untouched)?;
        let began = SystemTime::now();
        let mut master = nginx.master;
        let mut restarted = false;
        // nginx may restart while we work: twice in a row is more than an accident.
        for _ in 0..3 {
            let body = files.script(&self.task(nginx, master, restarted));
            // Without an answer nobody knows how far the script came.
            // It tests, waits for the master, for new workers, and when it goes back for the master again.
            let limit = self.loading + 6 * nginx.patience(self.patience);
            let output = self
                .change("switch", &body, limit)
                .await
                .map_err(|failure| SwitchFailure { failure, restored: false })?;
            let answer = Answer::read(&output);
            match answer.result.as_str() {
                "switched" => return Ok(Generation { boot: answer.boot, master, workers: answer.old }),
                "gone" | "lost" => {
                    restarted = true;
                    let restored = answer.restored;
                    master =
                        self.wait_for_master(nginx).await.map_err(|failure| SwitchFailure { failure, restored })?;
                }
                _ => return Err(self.explain(nginx, answer, &output, began).await),
            }
        }
        Err(untouched(Failure::new("nginx restarts again and again").hint("see why in its log, then swap again")))
    }

    /// Waits for the master of a restarted nginx with the same options.
    async fn wait_for_master(&self, nginx: &Nginx) -> Result<Process, Failure> {
        let (began, patience) = (Instant::now(), nginx.patience(self.patience));
        loop {
            let masters = self.run(find::SCRIPT).await.and_then(|output| find::masters(&output.stdout));
            let masters = match masters {
                Ok(masters) => masters,
                Err(failure) if began.elapsed() >= patience => return Err(failure),
                Err(_) => Vec::new(),
            };
            if let Some(master) = masters.iter().find(|master| master.arguments == nginx.arguments) {
                return Ok(master.process);
            }
            if began.elapsed() >= patience {
                return Err(
                    Failure::new("nginx stopped in the middle of the switch").hint("start nginx, then swap again")
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the variables of a switch.
    fn task(&self, nginx: &Nginx, master: Process, restarted: bool) -> String {
        // Counted in hundredths of a second, as /proc/uptime does.
        let patience = (nginx.patience(self.patience).as_millis() / 10).max(1);
        let undoing = patience.max(1000);
        let log = match &nginx.error_log {
            ErrorLog::File(path) => quote(path),
            ErrorLog::Stderr | ErrorLog::Elsewhere => "''".to_owned(),
        };
        let (pid, begun, restarted) = (master.pid, master.start, u8::from(restarted));
        format!(
            "TASK=switch MASTER={pid} BEGUN={begun} RESTARTED={restarted} LOG={log}\n\
             PATIENCE={patience} UNDOING={undoing}\n"
        )
    }

    async fn explain(&self, nginx: &Nginx, answer: Answer, output: &Output, began: SystemTime) -> SwitchFailure {
        let restored = answer.restored;
        let mut lines = answer.message;
        let is_stream = lines.is_empty() && matches!(answer.result.as_str(), "unchanged" | "slow");
        if is_stream {
            lines = self.shell.logged_since(began).await;
        }
        let reasons = reasons(&lines);
        let reason = reasons.first().map(|reason| format!(": {reason}")).unwrap_or_default();
        let failure = match answer.result.as_str() {
            "unwritten" => not_written(&nginx.folder, output),
            "refused" => {
                Failure::new(format!("nginx refused its configuration with the new upstream{reason}")).tail(lines)
            }
            "unchanged" => Failure::new(format!("nginx did not apply the reload{reason}"))
                .hint("see nginx's error log; `nginx -s reload` must work before swap can switch")
                .tail(reasons),
            "slow" => Failure::new(format!(
                "nginx showed no new worker within {} of the reload{reason}",
                humantime::format_duration(nginx.patience(self.patience))
            ))
            .hint("see nginx's error log; where it only needs longer, `timeouts: { reload: 60s }` gives it more time")
            .tail(reasons),
            "forbidden" => Failure::new("the shell beside nginx may not signal nginx's master process")
                .hint("run as root, or as the user that nginx runs as")
                .tail(output.stderr.lines().map(str::to_owned)),
            _ => cut(output),
        };
        let failure = if restored {
            failure
        } else {
            Failure { what: format!("{}; the former files could not be put back", failure.what), ..failure }
        };
        SwitchFailure { failure, restored }
    }
}

/// The files of a change, as parameters of [`SWITCH`].
struct Files<'a> {
    nginx: &'a Nginx,
    changes: &'a [FileChange],
}

impl<'a> Files<'a> {
    fn new(nginx: &'a Nginx, changes: &'a [FileChange]) -> Result<Self, Failure> {
        for FileChange { name, text } in changes {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if !name.chars().all(plain) || name.starts_with(['.', '-']) || !name.ends_with(".conf") {
                return Err(Failure::new(format!("internal: `{}` is no file of swap's", printable(name))));
            }
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                return Err(Failure::new(format!("internal: `{name}` would hold a NUL")));
            }
        }
        Ok(Self { nginx, changes })
    }

    /// Returns the script with these variables of its task.
    fn script(&self, task: &str) -> String {
        let own = self.changes.iter().map(|change| change.name.as_str()).filter(|name| *name != TUNING_FILE);
        let own = own.collect::<Vec<_>>().join(" ");
        let syncs = if self.nginx.syncs_files { "1" } else { "" };
        let mut script = format!(
            "{task}FOLDER={} OWN={} TUNING={TUNING_FILE} FIRST_LINE={} SYNC={syncs}\nset -- {}",
            quote(&self.nginx.folder),
            quote(&own),
            quote(TITLE),
            self.changes.len(),
        );
        for FileChange { name, text } in self.changes {
            script += &match text {
                Some(text) => format!(" {name} write {}", quote(text)),
                None => format!(" {name} remove ''"),
            };
        }
        script + &format!(" {} {}\n{SWITCH}", quote(&self.nginx.binary), quote_all(&self.nginx.arguments))
    }
}

/// What [`SWITCH`] answered.
#[derive(Debug, Default)]
struct Answer {
    result: String,
    restored: bool,
    boot: String,
    old: Vec<Process>,
    message: Vec<String>,
}

impl Answer {
    fn read(output: &Output) -> Self {
        let mut answer = Answer::default();
        let mut lines = output.stdout.lines();
        if let Some((result, back)) = lines.next().and_then(|line| line.split_once(' ')) {
            answer.result = result.to_owned();
            answer.restored = back == "restored";
        }
        for line in lines.by_ref() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("message"), ..) => break,
                (Some("boot"), Some(boot), _) => answer.boot = boot.to_owned(),
                (Some("old"), Some(pid), Some(start)) => {
                    if let (Ok(pid), Ok(start)) = (pid.parse(), start.parse()) {
                        answer.old.push(Process { pid, start });
                    }
                }
                _ => {}
            }
        }
        answer.message = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        answer
    }
}

/// The messages of nginx's errors that stopped it, without time and pid, each once.
pub fn reasons(lines: &[String]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for line in lines {
        let Some((_, rest)) = line.split_once("[emerg] ") else { continue };
        // `4790#4790: bind() to …` in a log, `bind() to …` on the standard error.
        let reason = match rest.split_once(": ") {
            Some((ids, reason)) if ids.chars().all(|c| c.is_ascii_digit() || c == '#') => reason,
            _ => rest,
        };
        let reason = printable(reason);
        if !reasons.contains(&reason) && reason != "still could not bind()" {
            reasons.push(reason);
        }
    }
    reasons
}

fn not_written(folder: &str, output: &Output) -> Failure {
    let lines: Vec<String> = output.stderr.lines().map(printable).collect();
    let reason = lines.last().map(|line| format!(": {line}")).unwrap_or_default();
    let full = reason.contains("No space left");
    Failure::new(format!("writing into the upstream folder `{folder}` failed{reason}")).hint(if full {
        "free some disk space where that folder is"
    } else {
        "make it writable for the user that nginx's shell runs as"
    })
}

#[cfg(test)]
mod tests;
