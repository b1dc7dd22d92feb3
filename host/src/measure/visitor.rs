//! A visitor of a front door: asks for one page again and again, as people's browsers do.
//!
//! The probe and the measurements of `swap bench` are made of it. It speaks HTTP/1.1 by hyper alone, because it must not
//! disturb what it measures: at 200 requests a second the pools and layers of a general client cost half as much again. That is
//! enough: an nginx that speaks HTTP/2 always speaks HTTP/1.1 at the same door.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsConnector;

use crate::model::Failure;

/// How long an answer may take; without one after this time the request has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// One request in so many is on a new connection, as a new visitor's; the others are on connections that are kept.
const NEW_ONE_IN: u64 = 4;

/// A connection that was silent for longer is not used again: an nginx that reloads may close it the moment a request is on
/// its way (`keepalive_min_timeout` protects it for a second or more), after which every browser asks once more by itself.
const KEPT_FOR: Duration = Duration::from_millis(500);

/// Waking up costs about as much as a request, so above this rate several requests are sent at once.
const WAKES_PER_SECOND: u32 = 50;

/// Who asks for one page.
pub(super) struct Visitor {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    request: Request<Empty<Bytes>>,
    /// Looked up once: the name server is not what is measured.
    addresses: OnceCell<Vec<SocketAddr>>,
    /// With the time of its last answer.
    kept: Mutex<Vec<(Instant, SendRequest<Empty<Bytes>>)>>,
}

/// On which connection a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// On a new one, that is closed after the answer.
    New,
    /// On one that was kept from a request before, if there is one; it is kept again.
    Kept,
}

/// What a request saw.
#[derive(Debug)]
pub(super) enum Visit {
    /// A whole answer: its status and its headers.
    Answered(u16, HeaderMap),
    /// No answer, or half of one: why, with the headers that came.
    Failed(String, HeaderMap),
    /// A kept connection ended before an answer began: why. What browsers do then is to ask again on a new one.
    Closed(String),
}

impl Visitor {
    /// Makes a visitor of an `http` or `https` URL. Nothing is sent yet.
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        Self::to(url, None, false)
    }

    /// Makes a visitor of a URL that connects to an address of its own, not to what the URL's name stands for, and trusts
    /// `any_certificate` if so: a site that is asked on its own machine need not have one that holds.
    pub(super) fn to(url: &str, at: Option<SocketAddr>, any_certificate: bool) -> Result<Self, Failure> {
        let bad = |why: &str| {
            Failure::new(format!("`{url}` is not a URL that could be asked for{why}"))
                .hint("write it as `http://localhost:8080/`")
        };
        let parsed: url::Url = url.parse().map_err(|_| bad(""))?;
        let (Some(host), true) = (parsed.host_str(), matches!(parsed.scheme(), "http" | "https")) else {
            return Err(bad(""));
        };
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authority = match parsed.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let path = &parsed[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request = Request::get(path)
            .header(HOST, authority)
            .header(ACCEPT, "*/*")
            .header(USER_AGENT, concat!("swap/", env!("CARGO_PKG_VERSION")));
        if !parsed.username().is_empty() {
            let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            let pair = format!("{}:{}", decoded(parsed.username()), decoded(parsed.password().unwrap_or_default()));
            request = request.header(AUTHORIZATION, format!("Basic {}", BASE64.encode(pair)));
        }
        let request = request.body(Empty::new()).map_err(|error| bad(&format!(": {error}")))?;
        let tls = match parsed.scheme() {
            "https" => {
                let server = ServerName::try_from(name.clone()).map_err(|error| bad(&format!(": {error}")))?;
                let tls = if any_certificate { unjudged_tls() } else { public_tls() };
                Some((tls.map_err(|error| bad(&format!(": {error}")))?, server))
            }
            _ => None,
        };
        let port = parsed.port_or_known_default().unwrap_or(80);
        let addresses = OnceCell::new_with(at.map(|at| vec![at]));
        Ok(Self { host: name, port, tls, request, addresses, kept: Mutex::default() })
    }

    /// Makes a visitor that asks for the same in a request that is longer by so many bytes.
    pub(super) fn padded(&self, bytes: usize) -> Self {
        let mut request = self.request.clone();
        // A header that nobody knows; letters alone are a value.
        if let Ok(value) = "x".repeat(bytes).parse() {
            request.headers_mut().insert("x-swap-padding", value);
        }
        Self {
            host: self.host.clone(),
            port: self.port,
            tls: self.tls.clone(),
            request,
            addresses: self.addresses.clone(),
            kept: Mutex::default(),
        }
    }

    /// Asks once and reads the whole answer. Redirects are not followed, and nothing that was sent is sent again.
    pub(super) async fn ask(&self, on: On) -> Visit {
        match tokio::time::timeout(PATIENCE, self.ask_patiently(on)).await {
            Ok(visit) => visit,
            Err(_) => {
                let why = format!("no answer within {}", humantime::format_duration(PATIENCE));
                Visit::Failed(why, HeaderMap::new())
            }
        }
    }

    async fn ask_patiently(&self, on: On) -> Visit {
        let (sender, response) = loop {
            let kept = if on == On::Kept { self.kept() } else { None };
            let was_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => match self.connect().await {
                    Ok(sender) => sender,
                    Err(why) => return Visit::Failed(why, HeaderMap::new()),
                },
            };
            match sender.send_request(self.request.clone()).await {
                Ok(response) => break (sender, response),
                // It was closed before anything was sent, as every browser notices.
                Err(error) if was_kept && (error.is_closed() || error.is_canceled()) => {}
                Err(error) if was_kept => return Visit::Closed(cause(&error)),
                Err(error) => return Visit::Failed(cause(&error), HeaderMap::new()),
            }
        };
        let status = response.status();
        let (headers, read) = read(response).await;
        match read {
            Err(why) => return Visit::Failed(why, headers),
            Ok(()) if on == On::Kept => {
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), sender))
            }
            Ok(()) => {}
        }
        Visit::Answered(status.as_u16(), headers)
    }

    /// Takes a kept connection that nobody has closed.
    fn kept(&self) -> Option<SendRequest<Empty<Bytes>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(answered, sender)| answered.elapsed() < KEPT_FOR && sender.is_ready());
        kept.pop().map(|(_, sender)| sender)
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, String> {
        let found = self.addresses.get_or_try_init(|| async {
            let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
            found.map(Iterator::collect).map_err(|error| format!("`{}` is not found: {error}", self.host))
        });
        let stream = TcpStream::connect(&found.await?[..]).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        match &self.tls {
            None => shaken(stream).await,
            Some((tls, name)) => {
                shaken(tls.connect(name.clone(), stream).await.map_err(|error| error.to_string())?).await
            }
        }
    }
}

/// Visits at a steady rate that go on until this is dropped.
///
/// They have a thread of their own: what swap does meanwhile does not hold them up, and waking one thread costs less than
/// handing requests round between several.
#[derive(Debug)]
pub(super) struct Visits {
    /// Closed with this.
    _stop: oneshot::Sender<()>,
}

impl Visits {
    /// Calls `visit` so many times a second, each time as a task of its own.
    ///
    /// What can't be begun in time is left out, as is what would be under way beside `most` others: when all of them hang,
    /// more would tell nothing new.
    pub(super) fn start<F>(rate: u32, most: usize, visit: impl FnMut(On) -> F + Send + 'static) -> Result<Self, Failure>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let bad = |error: std::io::Error| Failure::new(format!("a thread for requests can't be started: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(bad)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = visit_steadily(rate, most, visit) => {}
                }
            });
        };
        std::thread::Builder::new().name("visits".into()).spawn(work).map_err(bad)?;
        Ok(Self { _stop: stop })
    }
}

async fn visit_steadily<F>(rate: u32, most: usize, mut visit: impl FnMut(On) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (at_once, period) = pace(rate);
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    for number in 0_u64.. {
        if number.is_multiple_of(at_once.into()) {
            ticks.tick().await;
        }
        while under_way.try_join_next().is_some() {}
        if under_way.len() < most {
            under_way.spawn(visit(if number.is_multiple_of(NEW_ONE_IN) { On::New } else { On::Kept }));
        }
    }
}

/// Returns how many requests are sent at once, and how often.
fn pace(rate: u32) -> (u32, Duration) {
    let at_once = rate.max(1).div_ceil(WAKES_PER_SECOND);
    (at_once, Duration::from_secs(1) * at_once / rate.max(1))
}

async fn shaken<S>(stream: S) -> Result<SendRequest<Empty<Bytes>>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| cause(&error))?;
    // It ends with its sender. What goes wrong is told to the request.
    tokio::spawn(connection);
    Ok(sender)
}

/// Reads an answer to its end; returns its headers and what went wrong.
async fn read(response: Response<hyper::body::Incoming>) -> (HeaderMap, Result<(), String>) {
    let (head, mut body) = response.into_parts();
    while let Some(frame) = body.frame().await {
        if let Err(error) = frame {
            return (head.headers, Err(cause(&error)));
        }
    }
    (head.headers, Ok(()))
}

/// Returns TLS that trusts the authorities that this machine trusts.
fn public_tls() -> Result<TlsConnector, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
}

/// Returns TLS that takes any certificate; whether the other side has its key is looked at all the same.
fn unjudged_tls() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unjudged = Arc::new(Unjudged(provider.signature_verification_algorithms));
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(unjudged);
    Ok(TlsConnector::from(Arc::new(builder.with_no_client_auth())))
}

/// Takes any certificate.
#[derive(Debug)]
struct Unjudged(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unjudged {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Returns what is at the bottom of an error, as `connection refused` below `error sending request`.
fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Serves each connection by a list of answers, one for each request, closes it after them, and returns the port.
    async fn served(connections: &'static [&'static [&'static str]], heard: Arc<Mutex<Vec<String>>>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for (number, answers) in connections.iter().enumerate() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let heard = heard.clone();
                tokio::spawn(async move {
                    for answer in *answers {
                        let mut request = vec![0; 4096];
                        let length = stream.read(&mut request).await.unwrap();
                        let text = String::from_utf8_lossy(&request[..length]).into_owned();
                        heard.lock().unwrap().push(format!("connection {number}: {text}"));
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        port
    }

    const WELL: &str = "HTTP/1.1 200 OK\r\nX-Upstream: 172.18.0.2:80\r\nContent-Length: 2\r\n\r\nok";

    #[tokio::test]
    async fn a_request_is_what_a_browser_would_send_with_the_credentials_of_the_url() {
        let heard = Arc::default();
        let port = served(&[&[WELL]], Arc::clone(&heard)).await;
        let visitor = Visitor::new(&format!("http://a%40b:c@localhost:{port}/up?deep=1#part")).unwrap();
        let Visit::Answered(200, headers) = visitor.ask(On::New).await else { panic!("no answer") };
        assert_eq!(headers["x-upstream"], "172.18.0.2:80");
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "connection 0: GET /up?deep=1 HTTP/1.1\r\nhost: localhost:{port}\r\naccept: */*\r\nuser-agent: swap/{version}\r\n\
             authorization: Basic YUBiOmM=\r\n\r\n"
        );
        assert_eq!(*heard.lock().unwrap(), [expected]);
    }

    #[tokio::test]
    async fn kept_connections_are_used_again_and_new_ones_are_not() {
        let heard = Arc::default();
        let port = served(&[&[WELL, WELL], &[WELL], &[WELL]], Arc::clone(&heard)).await;
        let visitor = Visitor::new(&format!("http://127.0.0.1:{port}/")).unwrap();
        for on in [On::Kept, On::New, On::Kept, On::New] {
            let visit = visitor.ask(on).await;
            assert!(matches!(visit, Visit::Answered(..)), "{visit:?}");
        }
        let used: Vec<String> = heard.lock().unwrap().iter().map(|text| text[..12].to_owned()).collect();
        assert_eq!(used, ["connection 0", "connection 1", "connection 0", "connection 2"]);
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told() {
        const BAD: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n";
        const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
        let port = served(&[&[BAD], &[HALF], &[""], &[WELL, ""]], Arc::default()).await;
        let visitor = Visitor::new(&format!("http://127.0.0.1:{port}/")).unwrap();
        let mut told = Vec::new();
        for on in [On::New, On::New, On::New, On::Kept, On::Kept, On::New] {
            told.push(match visitor.ask(on).await {
                Visit::Answered(status, headers) => format!("answered: {status} ({} headers)", headers.len()),
                Visit::Failed(why, headers) => format!("failed: {why} ({} headers)", headers.len()),
                Visit::Closed(why) => format!("closed: {why}"),
            });
        }
        assert_eq!(
            told,
            [
                "answered: 502 (2 headers)",
                "failed: end of file before message length reached (1 headers)",
                "failed: connection closed before message completed (0 headers)",
                "answered: 200 (2 headers)",
                "closed: connection closed before message completed",
                "failed: Connection refused (os error 111) (0 headers)",
            ]
        );
    }

    #[test]
    fn what_is_no_address_of_a_page_is_refused() {
        for url in ["/up", "ftp://localhost/", "http://", "localhost:8080"] {
            let refused = Visitor::new(url).map(|_| ()).unwrap_err();
            let expected = Failure::new(format!("`{url}` is not a URL that could be asked for"));
            assert_eq!(refused, expected.hint("write it as `http://localhost:8080/`"));
        }
    }

    #[test]
    fn many_requests_a_second_are_sent_several_at_once() {
        let paced = [1, 50, 51, 200, 1000].map(pace);
        let ms = Duration::from_millis;
        let odd = Duration::from_secs(2) / 51;
        assert_eq!(paced, [(1, ms(1000)), (1, ms(20)), (2, odd), (4, ms(20)), (20, ms(20))]);
    }
}
