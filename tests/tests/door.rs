//! A front door of a few lines that misbehaves on demand, to prove that the rig sees what it must see.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;

/// What the door does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Answers 200 with this body and keeps the connection.
    Answer(String),
    /// Answers so, then closes the connection in order, after a short while.
    AnswerThenClose(String),
    /// Writes these bytes and closes.
    Raw(String),
    /// Closes in order without an answer.
    Close,
    /// Resets the connection without an answer.
    Reset,
    /// Says nothing for a long time.
    Hang,
}

/// Opens a door on a free port of this machine. `act` gets the request line and the body.
pub(crate) fn open(act: impl Fn(&str, &str) -> Act + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binding a free port");
    let address = listener.local_addr().expect("reading the port");
    let act = Arc::new(act);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let act = Arc::clone(&act);
            std::thread::spawn(move || serve(stream, act.as_ref()));
        }
    });
    address
}

/// A door that records what is posted, as the example application does.
pub(crate) fn recording() -> SocketAddr {
    let ids = Mutex::new(Vec::new());
    open(move |line, body| {
        let mut ids = ids.lock().expect("the ids");
        if line.starts_with("POST") {
            ids.push(body.to_owned());
            return Act::Answer(body.to_owned());
        }
        Act::Answer(if line.contains("/ids") { ids.join("\n") } else { "hello".into() })
    })
}

fn serve(mut stream: TcpStream, act: &dyn Fn(&str, &str) -> Act) {
    while let Some((line, body)) = read_request(&mut stream) {
        match act(&line, &body) {
            Act::Answer(text) => {
                let _ = stream.write_all(ok(&text).as_bytes());
            }
            Act::AnswerThenClose(text) => {
                let _ = stream.write_all(ok(&text).as_bytes());
                return;
            }
            Act::Raw(bytes) => {
                let _ = stream.write_all(bytes.as_bytes());
                return;
            }
            Act::Close => return,
            Act::Reset => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            Act::Hang => std::thread::sleep(Duration::from_secs(60)),
        }
    }
}

fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nX-Version: v1\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Some((head.lines().next()?.to_owned(), body.to_owned()));
            }
        }
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
    }
}
