//! What hooks say: log lines, standard output and error, the output of their commands.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::host::Stop;
use super::limits::Limits;
use super::secrets::{Edge, Secrets};
use crate::model::Phase;
use crate::text::{printable, shortened};

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// swap's own word on something that the hook did: `GET http://candidate/up → 503`.
    Deed,
    /// `log.debug`
    Debug,
    /// `log.info`
    Info,
    /// `log.warn`
    Warn,
    /// `log.error`
    Error,
    /// The hook's standard output.
    Stdout,
    /// The hook's standard error.
    Stderr,
    /// The output of a command that the hook runs and wants shown.
    Command,
}

/// One line of a hook, free of control characters and of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The hook's name.
    pub hook: String,
    /// The phase that it was asked in.
    pub phase: Phase,
    /// What the line is.
    pub channel: Channel,
    /// The line.
    pub text: String,
}

/// Where lines go. Called from any thread; must not block.
pub type Log = Arc<dyn Fn(Line) + Send + Sync>;

/// Longer lines are cut into several.
const LINE: usize = 4096;
/// What a line costs besides its bytes: it is kept and shown with the names of hook and phase, and the time.
const LINE_COSTS: usize = 64;
/// How many of the last lines are kept for the failure's tail.
const TAIL: usize = 20;
/// What swap itself tells of one call at most; then it says so once. A hook that asks for much is not ended for it.
const TOLD: usize = 256 << 10;
/// No word of swap's on one thing that the hook did is longer.
const DEED: usize = 1000;

/// How much a hook has said in all calls of a run.
#[derive(Debug, Default)]
pub(super) struct LogSize(AtomicUsize);

/// The lines of one call: bounded, made printable, cleared of secrets.
#[derive(Clone)]
pub(super) struct Speaker {
    speech: Arc<Mutex<Speech>>,
    /// Rings when the hook has said too much.
    over: Arc<Notify>,
}

struct Speech {
    hook: String,
    phase: Phase,
    log: Log,
    limits: Limits,
    used: usize,
    told: usize,
    said: Arc<LogSize>,
    secrets: Secrets,
    tail: VecDeque<String>,
    panic: Option<String>,
    stopped: Option<Stop>,
}

impl Speaker {
    pub(super) fn new(hook: &str, phase: Phase, log: Log, limits: Limits, said: Arc<LogSize>) -> Self {
        let speech = Speech {
            hook: hook.to_owned(),
            phase,
            log,
            limits,
            used: 0,
            told: 0,
            said,
            secrets: Secrets::default(),
            tail: VecDeque::new(),
            panic: None,
            stopped: None,
        };
        Self { speech: Arc::new(Mutex::new(speech)), over: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Speech> {
        self.speech.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the hook said. Fails once it has said more than it may.
    pub(super) fn say(&self, channel: Channel, text: &str) -> Result<(), Stop> {
        let mut speech = self.lock();
        let lines = memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1;
        speech.used = speech.used.saturating_add(text.len() + lines * LINE_COSTS);
        if speech.used > speech.limits.log {
            let stop = Stop::new(format!("it logged more than {} KiB", speech.limits.log >> 10));
            speech.stopped = Some(stop.clone());
            self.over.notify_waiters();
            return Err(stop);
        }
        // Of a command's long line only the beginning comes here.
        let edge = if channel == Channel::Command && text.len() >= LINE { Edge::Cut } else { Edge::Whole };
        let text = speech.secrets.hide(text, edge);
        for line in text.lines() {
            speech.line(channel, line);
        }
        Ok(())
    }

    /// Says what swap did for the hook, on one line whatever the hook has put into it.
    pub(super) fn tell(&self, text: &str) {
        let mut speech = self.lock();
        if speech.told >= TOLD {
            return;
        }
        let text = shortened(&speech.clean(text), DEED);
        speech.told += text.len() + LINE_COSTS;
        let text = if speech.told >= TOLD { format!("{text} (what it does further is not told)") } else { text };
        speech.emit(Channel::Deed, &text);
    }

    /// Replaces this value in all that follows.
    pub(super) fn hide(&self, secret: &str) {
        self.lock().secrets.add(secret);
    }

    /// Tells whether the bytes hold what is to be hidden.
    pub(super) fn hides(&self, bytes: &[u8]) -> bool {
        self.lock().secrets.are_in(bytes)
    }

    /// Returns the text without secrets and control characters.
    pub(super) fn clean(&self, text: &str) -> String {
        self.lock().clean(text)
    }

    /// Returns the last lines that the hook printed or logged.
    pub(super) fn tail(&self) -> Vec<String> {
        self.lock().tail.iter().cloned().collect()
    }

    /// Returns the panic that the hook reported, if it did.
    pub(super) fn panic(&self) -> Option<String> {
        self.lock().panic.clone()
    }

    /// Ends the call for this reason as soon as the world has answered.
    pub(super) fn stop(&self, stop: Stop) {
        self.lock().stopped.get_or_insert(stop);
        self.over.notify_waiters();
    }

    /// Returns the text without secrets and control characters, at most so many bytes of it.
    pub(super) fn clean_short(&self, text: &str, limit: usize) -> String {
        // What was cut off need not be looked through.
        let (text, edge) = match text.len() > 4 * limit {
            true => (&text[..text.floor_char_boundary(4 * limit)], Edge::Cut),
            false => (text, Edge::Whole),
        };
        let clean = printable(&self.lock().secrets.hide(text, edge));
        shortened(&clean, limit)
    }

    /// Returns why the call is to end, if it is.
    pub(super) fn stopped(&self) -> Option<Stop> {
        self.lock().stopped.clone()
    }

    /// Waits until the log is closed.
    pub(super) async fn closes(&self) {
        let over = self.over.notified();
        let mut over = std::pin::pin!(over);
        over.as_mut().enable();
        if self.stopped().is_none() {
            over.await;
        }
    }

    /// Makes a stream for WASI.
    pub(super) fn stream(&self, channel: Channel) -> SpeakerStream {
        SpeakerStream { speaker: self.clone(), channel, rest: Arc::new(Mutex::new(Vec::new())) }
    }
}

impl Speech {
    fn clean(&self, text: &str) -> String {
        printable(&self.secrets.hide(text, Edge::Whole))
    }

    fn line(&mut self, channel: Channel, line: &str) {
        let line = printable(line);
        self.notice_panic(channel, &line);
        let mut rest = line.as_str();
        loop {
            let (part, more) = rest.split_at(rest.floor_char_boundary(LINE));
            self.emit(channel, part);
            if more.is_empty() {
                break;
            }
            rest = more;
        }
    }

    fn emit(&mut self, channel: Channel, text: &str) {
        if channel != Channel::Deed {
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(text.to_owned());
        }
        let limit = self.limits.log_of_run;
        let costs = text.len() + LINE_COSTS;
        let before = self.said.0.fetch_add(costs, Ordering::Relaxed);
        if before >= limit {
            return;
        }
        let send =
            |channel, text: String| (self.log)(Line { hook: self.hook.clone(), phase: self.phase, channel, text });
        send(channel, text.to_owned());
        if before + costs >= limit {
            let what =
                format!("it has logged more than {} MiB in this run; what it says further is not shown", limit >> 20);
            send(Channel::Warn, what);
        }
    }

    /// The SDK reports `panicked at FILE:LINE: MESSAGE` on one line; Rust's own hook puts the message on the next one.
    fn notice_panic(&mut self, channel: Channel, line: &str) {
        if channel != Channel::Stderr {
            return;
        }
        if let Some(at) = line.find("panicked at ") {
            self.panic = Some(line[at..].to_owned());
        } else if let Some(panic) = &mut self.panic
            && panic.ends_with(':')
        {
            panic.push(' ');
            panic.push_str(line);
        }
    }
}

/// Standard output or error of a hook: bytes in, lines out.
#[derive(Clone)]
pub(super) struct SpeakerStream {
    speaker: Speaker,
    channel: Channel,
    rest: Arc<Mutex<Vec<u8>>>,
}

impl SpeakerStream {
    fn rest(&self) -> MutexGuard<'_, Vec<u8>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is left without a line end.
    pub(super) fn finish(&self) {
        let rest = std::mem::take(&mut *self.rest());
        if !rest.is_empty() {
            // At the end of the call there is nothing left to stop.
            let _ = self.speaker.say(self.channel, &String::from_utf8_lossy(&rest));
        }
    }
}

impl IsTerminal for SpeakerStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for SpeakerStream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, and it is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for SpeakerStream {
    async fn ready(&mut self) {}
}

impl OutputStream for SpeakerStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut rest = self.rest();
        rest.extend_from_slice(&bytes);
        let end = match rest.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None => {
                let held = self.speaker.lock().secrets.longest();
                if rest.len() < LINE + held {
                    return Ok(());
                }
                // What may be the beginning of a secret is held back.
                *rest = self.speaker.lock().secrets.hide_bytes(&rest, Edge::Whole);
                let text = rest.len().saturating_sub(held);
                (0..=text).rev().find(|end| rest.get(*end).is_none_or(|byte| byte & 0xc0 != 0x80)).unwrap_or(text)
            }
        };
        let lines: Vec<u8> = rest.drain(..end).collect();
        drop(rest);
        self.speaker.say(self.channel, &String::from_utf8_lossy(&lines)).map_err(|stop| StreamError::Trap(stop.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}
