//! HTTP requests: to the candidate (`http://candidate/up`), through the front door (`http://front-door/`), and to hosts
//! that the operator granted.

use std::time::Duration;

use crate::Error;
use crate::bindings::swap::hooks::http as wit;
#[cfg(target_arch = "wasm32")]
use crate::bindings::swap::hooks::http as world;
use crate::json::Value;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::world::http as world;
use crate::time::milliseconds;

/// A request in the making.
#[derive(Debug, Clone)]
pub struct Request(wit::Request);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status, as 200.
    pub status: u16,
    /// The URL that answered, after redirects.
    pub url: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body; its beginning if it was longer than swap keeps.
    pub body: Vec<u8>,
    /// Whether the body was cut.
    pub truncated: bool,
    /// From sending the request to the end of the body.
    pub elapsed: Duration,
}

/// Sends `GET` and follows redirects.
pub fn get(url: &str) -> Result<Response, Error> {
    Request::new("GET", url).send()
}

/// Sends `POST` with a body of a type as `application/json`.
pub fn post(url: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Result<Response, Error> {
    Request::new("POST", url).header("content-type", content_type).body(body).send()
}

/// Sends requests, up to `concurrency` of them at a time. The answers come in the order of the requests; what is kept of all
/// their bodies together is as long as one body may be.
pub fn send_all(requests: Vec<Request>, concurrency: u32) -> Vec<Result<Response, Error>> {
    let requests: Vec<wit::Request> = requests.into_iter().map(|request| request.0).collect();
    world::send_all(&requests, concurrency).into_iter().map(|answer| Ok(Response::from(answer?))).collect()
}

impl Request {
    /// Makes a request that follows up to 10 redirects.
    pub fn new(method: &str, url: &str) -> Self {
        Self(wit::Request {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
            max_redirects: 10,
        })
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// Sets when to give up.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = Some(milliseconds(timeout));
        self
    }

    /// Sets how many redirects to follow; 0 returns the redirect itself.
    pub fn redirects(mut self, most: u32) -> Self {
        self.0.max_redirects = most;
        self
    }

    /// Sends it. Any status is an answer.
    pub fn send(&self) -> Result<Response, Error> {
        Ok(Response::from(world::send(&self.0)?))
    }
}

impl From<wit::Response> for Response {
    fn from(answer: wit::Response) -> Self {
        Self {
            status: answer.status,
            url: answer.url,
            headers: answer.headers,
            body: answer.body,
            truncated: answer.truncated,
            elapsed: Duration::from_micros(answer.elapsed_us),
        }
    }
}

impl Response {
    /// Fails unless the status is this one.
    pub fn expect_status(self, status: u16) -> Result<Self, Error> {
        if self.status == status { Ok(self) } else { Err(Error::new(format!("{} answered {}", self.url, self.status))) }
    }

    /// Fails unless the status is 200 to 299.
    pub fn expect_success(self) -> Result<Self, Error> {
        if (200..300).contains(&self.status) {
            Ok(self)
        } else {
            Err(Error::new(format!("{} answered {}", self.url, self.status)))
        }
    }

    /// Returns the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Tells whether the body has a text in it.
    pub fn contains(&self, text: &str) -> bool {
        // Smaller than to search in a text, and the body need not be one.
        text.is_empty() || self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Result<Value, Error> {
        Value::parse(&self.text()).ok_or_else(|| Error::new(format!("{} answered no JSON", self.url)))
    }
}
