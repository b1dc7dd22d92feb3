//! What containers print.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;

use super::{Docker, Fault};
use crate::model::Failure;
use crate::text::{Lines, printable, short_or_name};

/// No more bytes than this are kept of one reading; the last ones count.
const LIMIT: usize = 1024 * 1024;
/// No line is longer than this.
const LINE: usize = 4096;

/// A place in a container's log: the time of its last line, by the engine's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMark(String);

impl Docker {
    /// Returns the last lines that a container printed, stdout and stderr in the engine's order, control characters
    /// escaped.
    pub async fn logs_tail(&self, id: &str, lines: usize) -> Result<Vec<String>, Failure> {
        let read = self.read_log(id, Some(lines), 0, false).await?;
        // The two streams are asked for together, so the engine's count is for both.
        Ok(read.into_iter().map(|line| printable(&line)).collect())
    }

    /// Returns the place of the log's end, for [`Docker::logs_since`].
    pub async fn log_mark(&self, id: &str) -> Result<LogMark, Failure> {
        let last = self.read_log(id, Some(1), 0, true).await?.pop();
        Ok(LogMark(last.and_then(|line| Some(line.split_once(' ')?.0.to_owned())).unwrap_or_default()))
    }

    /// Returns the lines that came after the mark.
    pub async fn logs_since(&self, id: &str, mark: &LogMark) -> Result<Vec<String>, Failure> {
        let since = mark.0.parse::<jiff::Timestamp>().map_or(0, |time| time.as_second());
        let read = self.read_log(id, None, since, true).await?;
        // The engine's stamps have one length and one zone, so they sort as text.
        let stamped = read.iter().filter_map(|line| line.split_once(' ').or(Some((line, ""))));
        Ok(stamped.filter(|(time, _)| *time > mark.0.as_str()).map(|(_, text)| printable(text)).collect())
    }

    async fn read_log(&self, id: &str, tail: Option<usize>, since: i64, stamps: bool) -> Result<Vec<String>, Failure> {
        let tail = tail.map_or("all".to_owned(), |count| count.to_string());
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(&tail)
            .since(i32::try_from(since).unwrap_or(0))
            .timestamps(stamps)
            .build();
        let tried = || format!("reading the log of container `{}`", short_or_name(id));
        // Of stdout (or a terminal) and stderr.
        let mut streams = [Lines::of(LINE), Lines::of(LINE)];
        let mut last = Last::default();
        let mut frames = std::pin::pin!(self.api.logs(id, Some(options)));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
        loop {
            match tokio::time::timeout_at(deadline, frames.next()).await {
                Ok(Some(Ok(frame))) => {
                    let stream = usize::from(matches!(frame, LogOutput::StdErr { .. }));
                    streams[stream].push(&frame.into_bytes(), |line| last.push(line.to_owned()));
                }
                Ok(Some(Err(error))) => return Err(Fault::from(error).when(tried())),
                Ok(None) => break,
                Err(_) => return Err(Failure::new(format!("{}: the engine did not answer in time", tried()))),
            }
        }
        streams.iter().filter_map(Lines::rest).for_each(|line| last.push(line));
        Ok(last.whole.into())
    }
}

/// The last lines of a log.
#[derive(Default)]
struct Last {
    whole: std::collections::VecDeque<String>,
    size: usize,
}

impl Last {
    fn push(&mut self, line: String) {
        self.size += line.len();
        self.whole.push_back(line);
        while self.size > LIMIT {
            let Some(first) = self.whole.pop_front() else { break };
            self.size -= first.len();
        }
    }
}
