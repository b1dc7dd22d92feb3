//! What containers print.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;

use super::{Docker, Fault, short};
use crate::model::{Failure, printable};

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
        let tried = || format!("reading the log of container `{}`", short(id));
        let mut lines = Lines::default();
        let mut frames = std::pin::pin!(self.api.logs(id, Some(options)));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
        loop {
            match tokio::time::timeout_at(deadline, frames.next()).await {
                Ok(Some(Ok(frame))) => lines.take(frame),
                Ok(Some(Err(error))) => return Err(Fault::from(error).when(tried())),
                Ok(None) => return Ok(lines.finish()),
                Err(_) => return Err(Failure::new(format!("{}: the engine did not answer in time", tried()))),
            }
        }
    }
}

/// Puts the pieces of two streams together to lines.
#[derive(Default)]
struct Lines {
    whole: std::collections::VecDeque<String>,
    size: usize,
    /// What has no line end yet, for stdout (or a terminal) and stderr.
    begun: [Vec<u8>; 2],
}

impl Lines {
    fn take(&mut self, frame: LogOutput) {
        let stream = usize::from(matches!(frame, LogOutput::StdErr { .. }));
        for byte in frame.into_bytes() {
            match byte {
                b'\n' => self.end(stream),
                _ if self.begun[stream].len() < LINE => self.begun[stream].push(byte),
                _ => {}
            }
        }
    }

    fn end(&mut self, stream: usize) {
        let line = std::mem::take(&mut self.begun[stream]);
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
        self.size += line.len();
        self.whole.push_back(line);
        while self.size > LIMIT {
            let Some(first) = self.whole.pop_front() else { break };
            self.size -= first.len();
        }
    }

    fn finish(mut self) -> Vec<String> {
        for stream in 0..2 {
            if !self.begun[stream].is_empty() {
                self.end(stream);
            }
        }
        self.whole.into()
    }
}
