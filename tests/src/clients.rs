//! The kinds of clients. Each is a loop that ends when the load is told to stop, after the request under way.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::http::{Answer, Cause, Connection, Request};
use crate::load::Shared;

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `GET` on a connection that is kept, with think time between requests.
    Get,
    /// `POST` of a unique id on a connection that is kept, with think time between requests.
    Post,
    /// `GET` on a new connection each time.
    NewGet,
    /// `POST` of a unique id on a new connection each time.
    NewPost,
    /// A request that takes the application two seconds.
    Slow,
    /// A download of 20 MB whose sum is checked.
    Download,
    /// A connection that is opened and stays silent for a while before its first and only request.
    Silent,
}

impl Kind {
    /// All kinds, in the order of the report.
    pub const ALL: [Kind; 7] =
        [Kind::Get, Kind::Post, Kind::NewGet, Kind::NewPost, Kind::Slow, Kind::Download, Kind::Silent];

    /// Returns the name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Get => "keep-alive get",
            Kind::Post => "keep-alive post",
            Kind::NewGet => "new get",
            Kind::NewPost => "new post",
            Kind::Slow => "slow",
            Kind::Download => "download",
            Kind::Silent => "silent, then get",
        }
    }

    /// Runs one client until the load stops.
    pub(crate) async fn run(self, shared: &Shared) {
        match self {
            Kind::Get | Kind::Post => kept(self, shared).await,
            Kind::NewGet | Kind::NewPost | Kind::Slow | Kind::Download => fresh(self, shared).await,
            Kind::Silent => silent(shared).await,
        }
    }

    fn request(self, shared: &Shared) -> (Request, Expected) {
        let paths = &shared.load.paths;
        match self {
            Kind::Get => (Request::get(&paths.get), Expected::Anything),
            Kind::NewGet | Kind::Silent => (Request::get(&paths.get).closing(), Expected::Anything),
            Kind::Slow => (Request::get(&paths.slow).closing(), Expected::Anything),
            Kind::Download => (Request::get(&paths.download).closing(), Expected::SameAsEver),
            Kind::Post | Kind::NewPost => {
                let (number, id) = shared.next_id();
                let request = Request::post(&paths.post, &id);
                let request = if self == Kind::NewPost { request.closing() } else { request };
                (request, Expected::Id(number, id))
            }
        }
    }
}

/// What a good answer holds beside its status.
enum Expected {
    Anything,
    SameAsEver,
    Id(usize, String),
}

/// A kept connection that was silent for longer is not used again. A machine that is busy can make a client's pause longer than
/// the second for which nginx keeps connections when it reloads (`keepalive_min_timeout`).
const LONGEST_SILENCE: Duration = Duration::from_millis(500);

async fn kept(kind: Kind, shared: &Shared) {
    let mut open: Option<Connection> = None;
    let mut answered = Instant::now();
    while shared.rest_between(kind, open.as_mut()).await {
        let started = Instant::now();
        let fresh = |connection: &Connection| connection.is_open() && answered.elapsed() < LONGEST_SILENCE;
        let mut connection = match open.take().filter(fresh) {
            Some(connection) => connection,
            None => match Connection::open(shared.load.target, shared.load.limit).await {
                Ok(connection) => connection,
                Err(cause) => {
                    shared.failed(kind, started, cause);
                    continue;
                }
            },
        };
        if exchange(kind, shared, &mut connection, started).await {
            open = Some(connection);
            answered = Instant::now();
        }
    }
}

async fn fresh(kind: Kind, shared: &Shared) {
    while shared.rest_between(kind, None).await {
        let started = Instant::now();
        match Connection::open(shared.load.target, shared.load.limit).await {
            Ok(mut connection) => {
                exchange(kind, shared, &mut connection, started).await;
            }
            Err(cause) => shared.failed(kind, started, cause),
        }
    }
}

async fn silent(shared: &Shared) {
    while !shared.stopped() {
        let started = Instant::now();
        let mut connection = match Connection::open(shared.load.target, shared.load.limit).await {
            Ok(connection) => connection,
            Err(cause) => {
                shared.failed(Kind::Silent, started, cause);
                shared.rest_between(Kind::Silent, None).await;
                continue;
            }
        };
        let silence = shared.load.silence.mul_f64(fastrand::f64());
        shared.rest(silence, Some(&mut connection)).await;
        if shared.stopped() {
            return;
        }
        // A server may give up on a connection that never asked anything; nothing was lost then.
        if connection.is_open() {
            exchange(Kind::Silent, shared, &mut connection, Instant::now()).await;
        } else {
            shared.reopened();
        }
    }
}

/// Asks once and records the outcome; answers whether the connection may be used again.
async fn exchange(kind: Kind, shared: &Shared, connection: &mut Connection, started: Instant) -> bool {
    let (request, expected) = kind.request(shared);
    match connection.ask(&request, shared.load.limit).await.and_then(|answer| judge(shared, &expected, answer)) {
        Ok(answer) => {
            if let Expected::Id(number, _) = expected {
                shared.posted(number);
            }
            shared.answered(kind, started, answer.header("x-version"));
            answer.reusable
        }
        Err(cause) => {
            shared.failed(kind, started, cause);
            false
        }
    }
}

fn judge(shared: &Shared, expected: &Expected, answer: Answer) -> Result<Answer, Cause> {
    if answer.status != 200 {
        return Err(Cause::Status(answer.status));
    }
    let right = match expected {
        Expected::Anything => true,
        Expected::SameAsEver => shared.same_as_ever(&answer),
        Expected::Id(_, id) => answer.text.contains(id),
    };
    if right { Ok(answer) } else { Err(Cause::Checksum) }
}

impl Shared {
    /// Waits as long as this kind of client thinks; `false` when the load stops meanwhile.
    async fn rest_between(&self, kind: Kind, connection: Option<&mut Connection>) -> bool {
        let most = match kind {
            Kind::Download => self.load.think * 10,
            _ => self.load.think,
        };
        let had = connection.is_some();
        let open = self.rest(most.mul_f64(fastrand::f64()), connection).await;
        if had && !open && !self.stopped() {
            self.reopened();
        }
        !self.stopped()
    }

    /// Rests until the time is over, the connection is closed or the load stops; `false` if the connection is closed.
    async fn rest(&self, time: Duration, connection: Option<&mut Connection>) -> bool {
        let mut stop = self.stop.clone();
        let resting = async {
            match connection {
                Some(connection) => connection.rest(time).await,
                None => {
                    tokio::time::sleep(time).await;
                    true
                }
            }
        };
        tokio::select! {
            open = resting => open,
            _ = stop.wait_for(|stop| *stop) => true,
        }
    }
}
