//! What hooks say: log lines, standard output and error, the output of their commands.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::host::Stop;
use crate::model::{Phase, printable};

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
/// How many of the last lines are kept for the failure's tail.
const TAIL: usize = 20;

/// The lines of one call: bounded, made printable, cleared of secrets.
#[derive(Clone)]
pub(super) struct Speaker(Arc<Mutex<Speech>>);

struct Speech {
    hook: String,
    phase: Phase,
    log: Log,
    limit: usize,
    used: usize,
    secrets: Vec<String>,
    tail: VecDeque<String>,
    panic: Option<String>,
    stopped: Option<Stop>,
}

impl Speaker {
    pub(super) fn new(hook: &str, phase: Phase, log: Log, limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Speech {
            hook: hook.to_owned(),
            phase,
            log,
            limit,
            used: 0,
            secrets: Vec::new(),
            tail: VecDeque::new(),
            panic: None,
            stopped: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Speech> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the hook said. Fails once it has said more than it may.
    pub(super) fn say(&self, channel: Channel, text: &str) -> Result<(), Stop> {
        let mut speech = self.lock();
        // A line costs something even if it is empty.
        speech.used = speech.used.saturating_add(text.len() + 1);
        if speech.used > speech.limit {
            let stop = Stop::new(format!("it logged more than {} KiB", speech.limit >> 10));
            speech.stopped = Some(stop.clone());
            return Err(stop);
        }
        for line in text.lines() {
            speech.line(channel, line);
        }
        Ok(())
    }

    /// Says what swap did for the hook. It counts too, or a loop of requests would fill the log.
    pub(super) fn tell(&self, text: &str) {
        // Whoever told looks at `stopped` afterwards.
        let _ = self.say(Channel::Deed, text);
    }

    /// Replaces this value in all that follows.
    pub(super) fn hide(&self, secret: &str) {
        // Shorter ones would turn the log into stars and hide nothing.
        if secret.len() >= 4 {
            self.lock().secrets.push(secret.to_owned());
        }
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

    /// Returns why the log was closed, if it was.
    pub(super) fn stopped(&self) -> Option<Stop> {
        self.lock().stopped.clone()
    }

    /// Makes a stream for WASI.
    pub(super) fn stream(&self, channel: Channel) -> SpeakerStream {
        SpeakerStream { speaker: self.clone(), channel, rest: Arc::new(Mutex::new(Vec::new())) }
    }
}

impl Speech {
    fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret, "***");
        }
        printable(&text)
    }

    fn line(&mut self, channel: Channel, line: &str) {
        let line = self.clean(line);
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
        let (hook, phase) = (self.hook.clone(), self.phase);
        (self.log)(Line { hook, phase, channel, text: text.to_owned() });
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
            None if rest.len() >= LINE => rest.len(),
            None => return Ok(()),
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
