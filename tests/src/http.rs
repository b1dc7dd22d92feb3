//! A small HTTP/1.1 client over one TCP connection.
//!
//! **Invariant:** nothing here retries, pools or follows. A request that was written and not answered in full is a
//! failure, whatever the cause: that is what the rig measures, and what every library hides.

use std::fmt;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How much of a head a server may send before it counts as malformed, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;

/// How much of a body is kept as text where nobody asked for more. In bytes.
const KEPT_BODY: usize = 4096;

/// Why a request failed. The names are those of the report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// No connection could be made.
    Connect,
    /// The connection was reset after the request was (partly) written.
    Reset,
    /// The connection was closed in order, after the request was written and before a byte of an answer.
    Closed,
    /// The connection ended in the middle of an answer.
    ShortBody,
    /// The answer is complete and has another status than the client asked for.
    Status(u16),
    /// The body is complete and is not what it should be.
    Checksum,
    /// The answer did not come in time.
    Timeout,
    /// What came is no HTTP answer.
    Malformed,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Connect => f.write_str("connect"),
            Cause::Reset => f.write_str("reset"),
            Cause::Closed => f.write_str("closed"),
            Cause::ShortBody => f.write_str("short body"),
            Cause::Status(code) => write!(f, "status {code}"),
            Cause::Checksum => f.write_str("checksum"),
            Cause::Timeout => f.write_str("timeout"),
            Cause::Malformed => f.write_str("malformed"),
        }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The body; empty for none.
    pub body: String,
    /// Asks the server to close the connection after the answer.
    pub close: bool,
    /// How much of the answer's body is kept as text; all of it is counted and summed. In bytes.
    pub keep: usize,
}

impl Request {
    /// Makes a `GET` that leaves the connection open.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), body: String::new(), close: false, keep: KEPT_BODY }
    }

    /// Makes a `POST` that leaves the connection open.
    pub fn post(path: impl Into<String>, body: impl Into<String>) -> Self {
        Self { method: "POST", path: path.into(), body: body.into(), close: false, keep: KEPT_BODY }
    }

    /// Asks the server to close the connection after the answer.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let Request { method, path, body, close, .. } = self;
        let connection = if *close { "close" } else { "keep-alive" };
        let length = if *method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        // One write for head and body, so that a client is never seen between the two.
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n{length}\r\n{body}")
            .into_bytes()
    }
}

/// One complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The first [`Request::keep`] bytes of the body.
    pub text: String,
    /// The length of the whole body, in bytes.
    pub length: u64,
    /// The CRC-32 of the whole body.
    pub crc: u32,
    /// Whether the connection may be used again.
    pub reusable: bool,
}

impl Answer {
    /// Returns the value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An open connection, between two requests.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    host: String,
    pending: Vec<u8>,
}

impl Connection {
    /// Connects within `limit`; the only failures are [`Cause::Connect`] and [`Cause::Timeout`].
    pub async fn open(target: SocketAddr, limit: Duration) -> Result<Self, Cause> {
        let stream = timeout(limit, TcpStream::connect(target)).await.map_err(|_| Cause::Timeout)?;
        let stream = stream.map_err(|_| Cause::Connect)?;
        stream.set_nodelay(true).map_err(|_| Cause::Connect)?;
        Ok(Self { stream, host: target.to_string(), pending: Vec::new() })
    }

    /// Lets the connection rest; answers whether it is still open afterwards.
    ///
    /// A server may close a connection on which nothing is under way: that is no failure. The wait ends early then.
    pub async fn rest(&mut self, time: Duration) -> bool {
        let _ = timeout(time, self.stream.readable()).await;
        self.is_open()
    }

    /// Tells whether the server has kept the connection open, and said nothing unasked, until this instant.
    pub fn is_open(&self) -> bool {
        // The kernel is asked, not the runtime: the runtime may not have looked at its events yet, and a close that it
        // has not seen would then be counted as a failure of the request that follows.
        let mut byte = [MaybeUninit::uninit()];
        let peeked = SockRef::from(&self.stream).peek(&mut byte);
        self.pending.is_empty() && matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends one request and reads its whole answer, both within `limit`. The status is not judged.
    pub async fn ask(&mut self, request: &Request, limit: Duration) -> Result<Answer, Cause> {
        timeout(limit, self.exchange(request)).await.unwrap_or(Err(Cause::Timeout))
    }

    async fn exchange(&mut self, request: &Request) -> Result<Answer, Cause> {
        self.stream.write_all(&request.bytes(&self.host)).await.map_err(|_| Cause::Reset)?;
        let head = self.read_head().await?;
        let head = Head::parse(&head).ok_or(Cause::Malformed)?;
        let mut body = Body::keeping(request.keep);
        let framing = head.framing(request.method)?;
        match framing {
            Framing::Length(length) => self.read_exactly(length, &mut body).await?,
            Framing::Chunked => self.read_chunks(&mut body).await?,
            Framing::UntilClose => {
                while self.fill_or_end().await? {}
                body.add(&std::mem::take(&mut self.pending));
            }
        }
        let reusable = framing != Framing::UntilClose && !head.closes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8_lossy(&body.kept).into_owned(),
            length: body.length,
            crc: body.crc.finalize(),
            reusable,
        })
    }

    async fn read_head(&mut self) -> Result<Vec<u8>, Cause> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n\r\n") {
                let rest = self.pending.split_off(end + 4);
                return Ok(std::mem::replace(&mut self.pending, rest));
            }
            if self.pending.len() > HEAD_LIMIT {
                return Err(Cause::Malformed);
            }
            let nothing_yet = self.pending.is_empty();
            if !self.fill_or_end().await? {
                return Err(if nothing_yet { Cause::Closed } else { Cause::ShortBody });
            }
        }
    }

    async fn read_exactly(&mut self, mut length: u64, body: &mut Body) -> Result<(), Cause> {
        while length > 0 {
            if self.pending.is_empty() && !self.fill_or_end().await? {
                return Err(Cause::ShortBody);
            }
            let part = usize::try_from(length).unwrap_or(usize::MAX).min(self.pending.len());
            body.add(&self.pending[..part]);
            self.pending.drain(..part);
            length -= part as u64;
        }
        Ok(())
    }

    async fn read_chunks(&mut self, body: &mut Body) -> Result<(), Cause> {
        loop {
            let line = self.read_line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| Cause::Malformed)?;
            if size == 0 {
                while !self.read_line().await?.is_empty() {}
                return Ok(());
            }
            self.read_exactly(size, body).await?;
            if !self.read_line().await?.is_empty() {
                return Err(Cause::Malformed);
            }
        }
    }

    async fn read_line(&mut self) -> Result<String, Cause> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n") {
                let line = String::from_utf8_lossy(&self.pending[..end]).into_owned();
                self.pending.drain(..end + 2);
                return Ok(line);
            }
            if self.pending.len() > HEAD_LIMIT {
                return Err(Cause::Malformed);
            }
            if !self.fill_or_end().await? {
                return Err(Cause::ShortBody);
            }
        }
    }

    /// Reads what is there; `false` at an orderly end of the stream.
    async fn fill_or_end(&mut self) -> Result<bool, Cause> {
        self.pending.reserve(64 * 1024);
        let read = self.stream.read_buf(&mut self.pending).await.map_err(|_| Cause::Reset)?;
        Ok(read > 0)
    }
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { status, headers })
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn closes(&self) -> bool {
        self.value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn framing(&self, method: &str) -> Result<Framing, Cause> {
        if method == "HEAD" || matches!(self.status, 100..=199 | 204 | 304) {
            return Ok(Framing::Length(0));
        }
        if self.value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Ok(Framing::Chunked);
        }
        match self.value("content-length") {
            Some(length) => length.parse().map(Framing::Length).map_err(|_| Cause::Malformed),
            // Without a length a cut body looks like a whole one: only a server that announced the close may do this.
            None if self.closes() => Ok(Framing::UntilClose),
            None => Err(Cause::Malformed),
        }
    }
}

struct Body {
    kept: Vec<u8>,
    limit: usize,
    length: u64,
    crc: crc32fast::Hasher,
}

impl Body {
    fn keeping(limit: usize) -> Self {
        Self { kept: Vec::new(), limit, length: 0, crc: crc32fast::Hasher::new() }
    }

    fn add(&mut self, part: &[u8]) {
        let room = self.limit.saturating_sub(self.kept.len()).min(part.len());
        self.kept.extend_from_slice(&part[..room]);
        self.length += part.len() as u64;
        self.crc.update(part);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
