//! Clients of other people: hey, wrk, h2load and Python's websockets, in containers on this machine's own network.
//!
//! They go in legs of a few seconds, one after the other, until they are told to stop. What each says of itself is read
//! and added up; what can't be read counts as failed.

use std::fmt;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::command::run;
use crate::images;
use crate::load::LONGEST;

/// How long one leg lasts.
const LEG: Duration = Duration::from_secs(10);

/// A client of other people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `wrk`: HTTP/1.1 on connections that are kept, as fast as they are answered.
    Wrk,
    /// `hey`: HTTP/1.1 in TLS, at a settled rate.
    Hey,
    /// `h2load`: HTTP/2 in TLS, several streams on each connection.
    H2load,
    /// Python's `websockets`, in TLS: conversations of one to four seconds.
    Websockets,
}

/// What a tool has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Requests that were answered as they should be; of websockets: lines that came back.
    pub answered: usize,
    /// Requests that failed, whatever the cause.
    pub failed: usize,
    /// Of h2load: requests that ended with their connection. When nginx reloads it tells each HTTP/2 connection to go
    /// (GOAWAY) and takes no new stream on it; browsers ask again on another connection, as they may (RFC 9113, 6.8), and
    /// h2load does not. It can't tell those from others that ended so, so they prove nothing and are told apart.
    pub refused: usize,
}

/// A tool at work. Dropping it leaves it to end by itself, after the leg under way.
#[derive(Debug)]
pub struct Other {
    tool: Tool,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(Count, Vec<String>)>>,
}

/// What a tool has seen in all its legs.
#[derive(Debug)]
pub struct Told {
    /// Which.
    pub tool: Tool,
    /// What it counted.
    pub count: Count,
    /// All that it said in the legs in which something failed.
    pub said: Vec<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { answered, failed, refused } = self.count;
        write!(f, "{}: {answered} answered, {failed} failed", self.tool.name())?;
        if refused > 0 {
            write!(f, ", {refused} ended with their connection")?;
        }
        self.said.iter().try_for_each(|said| write!(f, "\n{said}"))
    }
}

impl Tool {
    /// All of them.
    pub const ALL: [Tool; 4] = [Tool::Wrk, Tool::Hey, Tool::H2load, Tool::Websockets];

    fn name(self) -> &'static str {
        match self {
            Tool::Wrk => "wrk",
            Tool::Hey => "hey (TLS)",
            Tool::H2load => "h2load (TLS, HTTP/2)",
            Tool::Websockets => "websockets (TLS), lines",
        }
    }

    /// Sends it to a front door, of this machine only: `plain` speaks HTTP, `tls` HTTPS and HTTP/2.
    pub fn start(self, plain: SocketAddr, tls: SocketAddr) -> Result<Other> {
        ensure!(plain.ip().is_loopback() && tls.ip().is_loopback(), "the load goes to loopback addresses only");
        let image = images::clients()?;
        let line = self.line(plain, tls);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name(self.name().into()).spawn(move || {
            let (mut count, mut told) = (Count::default(), Vec::new());
            let end = Instant::now() + LONGEST;
            while !stopped.load(Ordering::Relaxed) && Instant::now() < end {
                let mut leg = Command::new("docker");
                leg.args([
                    "run",
                    "--rm",
                    "--network",
                    "host",
                    "--label",
                    "swaptest=clients",
                    &image,
                    "sh",
                    "-c",
                    &line,
                ]);
                let said = run(&mut leg)?;
                let of_leg = self.read(&said)?;
                if of_leg.failed > 0 {
                    told.push(said);
                }
                count.answered += of_leg.answered;
                count.failed += of_leg.failed;
                count.refused += of_leg.refused;
            }
            Ok((count, told))
        })?;
        Ok(Other { tool: self, stop, thread })
    }

    fn line(self, plain: SocketAddr, tls: SocketAddr) -> String {
        let seconds = LEG.as_secs();
        match self {
            Tool::Wrk => format!("wrk -t1 -c16 -d{seconds}s --timeout 20s http://{plain}/"),
            Tool::Hey => format!("hey -z {seconds}s -c 4 -q 25 -t 20 https://{tls}/"),
            Tool::H2load => format!("h2load -D {seconds} -c 4 -m 4 --rps 50 https://{tls}/ 2>&1"),
            Tool::Websockets => format!("python3 /converse.py wss://{tls}/socket 8 {seconds}"),
        }
    }

    /// Reads what the tool said at the end of a leg.
    fn read(self, said: &str) -> Result<Count> {
        let count = match self {
            Tool::Wrk => wrk(said),
            Tool::Hey => hey(said),
            Tool::H2load => h2load(said),
            Tool::Websockets => websockets(said),
        };
        match count {
            // All of h2load's connections may be told to go in the first moment of a leg.
            Some(count) if count.answered + count.refused > 0 => Ok(count),
            _ => bail!("{} did not say what it saw:\n{said}", self.name()),
        }
    }
}

impl Other {
    /// Lets it end its leg and tells what it has seen.
    pub fn stop(self) -> Result<Told> {
        self.stop.store(true, Ordering::Relaxed);
        let (count, said) = self.thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        Ok(Told { tool: self.tool, count, said })
    }
}

/// `  4711 requests in 10.00s, …`; where something failed also `Socket errors: connect 0, read 1, write 0, timeout 0` and
/// `Non-2xx or 3xx responses: 3`.
fn wrk(said: &str) -> Option<Count> {
    let all = before(said, " requests in ")?;
    let odd = after(said, "Non-2xx or 3xx responses: ").unwrap_or(0);
    let errors: usize =
        ["connect ", "read ", "write ", "timeout "].iter().filter_map(|kind| after(errors_of(said)?, kind)).sum();
    Some(Count { answered: all.checked_sub(odd)?, failed: odd + errors, refused: 0 })
}

fn errors_of(said: &str) -> Option<&str> {
    said.lines().find(|line| line.contains("Socket errors: "))
}

/// `  [200] 4711 responses` for each status, and `  [3] Get "…": EOF` for each error.
fn hey(said: &str) -> Option<Count> {
    let mut count = Count::default();
    for line in said.lines().map(str::trim) {
        let Some((number, rest)) = line.strip_prefix('[').and_then(|line| line.split_once("]\t")) else { continue };
        match rest.strip_suffix(" responses") {
            Some(responses) if number.starts_with('2') => count.answered += responses.parse::<usize>().ok()?,
            Some(responses) => count.failed += responses.parse::<usize>().ok()?,
            None => count.failed += number.parse::<usize>().ok()?,
        }
    }
    Some(count)
}

/// `requests: 10 total, 10 started, 10 done, 9 succeeded, 1 failed, 1 errored, 0 timeout`. What is started and not done is
/// cut by the end of the leg; what failed and is no error had another status than 2xx and 3xx.
fn h2load(said: &str) -> Option<Count> {
    let line = said.lines().find(|line| line.starts_with("requests: "))?;
    let (failed, refused) = (before(line, " failed")?, before(line, " errored")?);
    let failed = failed.checked_sub(refused)? + before(line, " timeout")?;
    Some(Count { answered: before(line, " succeeded")?, failed, refused })
}

/// `4 conversations, 70 lines, 0 failed`
fn websockets(said: &str) -> Option<Count> {
    let line = said.lines().last()?;
    Some(Count { answered: before(line, " lines")?, failed: before(line, " failed")?, refused: 0 })
}

/// Returns the number that stands right before a word.
fn before(text: &str, word: &str) -> Option<usize> {
    text.split_once(word)?.0.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Returns the number that stands right after a word.
fn after(text: &str, word: &str) -> Option<usize> {
    text.split_once(word)?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tool: Tool, said: &str, answered: usize, failed: usize) {
        let Count { answered: good, failed: bad, .. } = tool.read(said).unwrap();
        assert_eq!((good, bad), (answered, failed));
    }

    #[test]
    fn what_each_tool_says_is_counted() {
        check(
            Tool::Wrk,
            "  1 threads and 8 connections\n  4711 requests in 10.00s, 1.2MB read\nRequests/sec: 471\n",
            4711,
            0,
        );
        let failed = "  4711 requests in 10.00s, 1.2MB read\n  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 11\n";
        check(Tool::Wrk, failed, 4700, 21);
        let hey = "Status code distribution:\n  [200]\t90 responses\n  [502]\t4 responses\n\nError distribution:\n  [3]\tGet \"https://x/\": EOF\n";
        check(Tool::Hey, hey, 90, 7);
        let h2load = "finished in 10.00s, 1 req/s\nrequests: 104 total, 104 started, 100 done, 98 succeeded, 2 failed, 1 errored, 0 timeout\n";
        check(Tool::H2load, h2load, 98, 1);
        assert_eq!(Tool::H2load.read(h2load).unwrap().refused, 1);
        check(Tool::Websockets, "EOF: gone\n4 conversations, 70 lines, 1 failed\n", 70, 1);
    }

    #[test]
    fn a_tool_that_says_nothing_is_no_good_news() {
        for tool in Tool::ALL {
            assert!(tool.read("").is_err(), "{tool:?}");
            assert!(tool.read("requests: none\n0 requests in 1s\n0 lines, 0 failed").is_err(), "{tool:?}");
        }
    }
}
