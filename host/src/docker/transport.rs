//! How bytes reach the engine: unix socket, TCP, TLS, ssh; and the first question that tells whether it is there.
//!
//! bollard's own connectors are not used: with TLS they add the system's authorities to the operator's own and shake
//! hands for every request; with ssh they log in for every connection.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::BollardRequest;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::endpoint::{Address, Endpoint, Tls};
use super::ssh::Ssh;
use super::{PATIENCE, chain};
use crate::model::Failure;
use crate::text::printable;

/// How long the engine may take until it has answered for the first time.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an engine that has answered may be away, as while it is restarted.
pub(super) const AWAY: Duration = Duration::from_secs(20);

/// An engine that answered.
pub(super) struct Answered {
    pub(super) api: bollard::Docker,
    pub(super) api_version: String,
}

/// Dials the engine and asks it `/_ping`, all within [`CONNECT`].
pub(super) async fn connect(endpoint: &Endpoint) -> Result<Answered, Failure> {
    let dialer = Dialer::new(endpoint)?;
    let api_version = match tokio::time::timeout(CONNECT, dialer.ping()).await {
        Ok(Ok(version)) => version,
        Ok(Err(error)) => return Err(unreachable(endpoint, &error)),
        Err(_) => return Err(unreachable(endpoint, &io::ErrorKind::TimedOut.into())),
    };
    let mut builder = Client::builder(TokioExecutor::new());
    // A unix socket costs nothing to connect to, and a connection that is never reused is never stale. TLS and ssh
    // shake hands, so theirs are kept for a while.
    if matches!(endpoint.address, Address::Unix(_) | Address::Tcp { tls: None, .. }) {
        builder.pool_max_idle_per_host(0);
    } else {
        builder.pool_idle_timeout(Duration::from_secs(20)).pool_timer(hyper_util::rt::TokioTimer::new());
    }
    // An sshd lets ten sessions share a login; each further one would log in by itself, which takes a second. Some
    // are held by open shells and streams.
    let at_once = match endpoint.address {
        Address::Ssh { .. } => {
            builder.pool_max_idle_per_host(3);
            4
        }
        _ => 64,
    };
    let turns = Arc::new(tokio::sync::Semaphore::new(at_once));
    let client = builder.build(Connector(Arc::new(dialer)));
    let send = move |request: BollardRequest| {
        let (client, turns) = (client.clone(), turns.clone());
        async move {
            let _turn = turns.acquire().await;
            let effect = effect(request.method(), request.uri().path());
            failpoint(effect.as_deref(), "before").await?;
            let response = asked(&client, request, || bollard::body_full(Bytes::new())).await?;
            failpoint(effect.as_deref(), "after").await?;
            Ok(response)
        }
    };
    let api = bollard::Docker::connect_with_custom_transport(
        send,
        Some("http://docker"),
        PATIENCE.as_secs(),
        bollard::API_DEFAULT_VERSION,
    )
    .map_err(|error| Failure::new(format!("the Docker engine at {endpoint}: {error}")))?;
    Ok(Answered { api, api_version })
}

/// Sends a request. What only asks is asked again when an engine that is being restarted breaks the connection off.
async fn asked<B>(
    client: &Client<Connector, B>,
    request: Request<B>,
    empty: impl Fn() -> B,
) -> Result<Response<Incoming>, hyper_util::client::legacy::Error>
where
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let repeatable = *request.method() == Method::GET;
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let began = Instant::now();
    let mut answer = client.request(request).await;
    while repeatable && answer.is_err() && began.elapsed() < AWAY {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut again = Request::new(empty());
        (*again.method_mut(), *again.uri_mut(), *again.headers_mut()) = (method.clone(), uri.clone(), headers.clone());
        answer = client.request(again).await;
    }
    answer
}

/// Names what a request changes, as `POST containers/start`; `None` if it only asks.
fn effect(method: &Method, path: &str) -> Option<String> {
    let mut parts = path.split('/').filter(|part| !part.is_empty() && !part.starts_with("v1."));
    let kind = parts.next()?;
    // An image's name may have parts of its own, and nothing else is ever deleted below it.
    let verb = if *method == Method::DELETE { None } else { parts.nth(1) };
    let asks = *method == Method::GET || *method == Method::HEAD || verb == Some("wait");
    (!asks).then(|| {
        [Some(format!("{method} {kind}")), verb.map(str::to_owned)].into_iter().flatten().collect::<Vec<_>>().join("/")
    })
}

async fn failpoint(effect: Option<&str>, when: &str) -> Result<(), bollard::errors::Error> {
    let Some(effect) = effect else { return Ok(()) };
    Ok(crate::failpoint::reach(|| format!("{when} docker {effect}")).await?)
}

/// Says why the engine can't be reached, with the cure that this kind of failure has.
fn unreachable(endpoint: &Endpoint, error: &io::Error) -> Failure {
    let failure = |why: &str| Failure::new(format!("the Docker engine at {endpoint} can't be reached: {why}"));
    let start = "start it (`systemctl start docker`, or Docker Desktop), or name another one by DOCKER_HOST or a docker context";
    match (&endpoint.address, error.kind()) {
        (Address::Unix(_), io::ErrorKind::NotFound) => failure("there is no such socket").hint(start),
        (Address::Unix(_), io::ErrorKind::PermissionDenied) => failure("permission denied")
            .hint("`sudo usermod -aG docker $USER` and a new login let you use it; or run swap with sudo"),
        (_, io::ErrorKind::ConnectionRefused) => failure("nothing listens there").hint(start),
        (_, io::ErrorKind::TimedOut) => failure(&format!("it did not answer within {} s", CONNECT.as_secs()))
            .hint("`docker version` asks it too; if that hangs as well, restart the engine"),
        (Address::Ssh { .. }, _) => failure(&printable(&error.to_string()))
            .hint("swap can't ask for passwords: `ssh` to that machine must work without, and `docker` must be there"),
        _ => failure(&printable(&chain(error)))
            .hint("check its address: DOCKER_HOST if that is set, else the current one of `docker context ls`"),
    }
}

/// Knows how to open a connection to one engine.
enum Dialer {
    Unix(PathBuf),
    Tcp(String, u16),
    Tls { host: String, port: u16, name: ServerName<'static>, connector: TlsConnector },
    Ssh(Ssh),
}

impl Dialer {
    fn new(endpoint: &Endpoint) -> Result<Self, Failure> {
        Ok(match &endpoint.address {
            Address::Unix(path) => Dialer::Unix(path.clone()),
            Address::Tcp { host, port, tls: None } => Dialer::Tcp(host.clone(), *port),
            Address::Tcp { host, port, tls: Some(tls) } => {
                let bad = |why: String| Failure::new(format!("TLS to the Docker engine at {endpoint}: {why}"));
                let name = ServerName::try_from(host.clone()).map_err(|error| bad(error.to_string()))?;
                let connector = TlsConnector::from(Arc::new(tls_config(tls).map_err(bad)?));
                Dialer::Tls { host: host.clone(), port: *port, name, connector }
            }
            Address::Ssh { user, host, port, socket } => Dialer::Ssh(
                Ssh::new(user.as_deref(), host, *port, socket.as_deref())
                    .map_err(|error| Failure::new(format!("ssh to the Docker engine at {endpoint}: {error}")))?,
            ),
        })
    }

    async fn dial(&self) -> io::Result<Stream> {
        Ok(match self {
            Dialer::Unix(path) => Stream(Box::pin(UnixStream::connect(path).await?)),
            Dialer::Tcp(host, port) => Stream(Box::pin(tcp(host, *port).await?)),
            Dialer::Tls { host, port, name, connector } => {
                Stream(Box::pin(connector.connect(name.clone(), tcp(host, *port).await?).await?))
            }
            Dialer::Ssh(ssh) => Stream(Box::pin(ssh.channel()?)),
        })
    }

    /// Asks the engine for a sign of life; returns its API version.
    async fn ping(&self) -> io::Result<String> {
        let result = match self.dial().await {
            Ok(stream) => ping(stream).await,
            Err(error) => Err(error),
        };
        match (self, result) {
            // The reason is what ssh printed, not that its output ended.
            (Dialer::Ssh(ssh), Err(error)) => Err(ssh.explain(error).await),
            (_, result) => result,
        }
    }
}

async fn ping(stream: Stream) -> io::Result<String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let request =
        Request::get("/_ping").header("host", "docker").body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let response = sender.send_request(request).await;
    drop(sender);
    let response = match response {
        Ok(response) => response,
        Err(error) => return Err(io::Error::other(chain(&error))),
    };
    connection.abort();
    match response.headers().get("api-version").map(|version| version.to_str()) {
        Some(Ok(version)) if response.status().is_success() => Ok(version.to_owned()),
        _ => Err(io::Error::other(format!("what answers there (status {}) is not a Docker engine", response.status()))),
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn tls_config(tls: &Tls) -> Result<rustls::ClientConfig, String> {
    let file = |name: &str| Some(tls.folder.join(name)).filter(|path| path.exists());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if tls.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
    } else {
        let mut roots = rustls::RootCertStore::empty();
        // As in the docker CLI, an authority that is given is the only one.
        match file("ca.pem") {
            Some(path) => {
                for certificate in certificates(&path)? {
                    roots.add(certificate).map_err(|error| format!("`{}`: {error}", path.display()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        builder.with_root_certificates(roots)
    };
    match (file("cert.pem"), file("key.pem")) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(&certificate)?;
            let private =
                PrivateKeyDer::from_pem_file(&key).map_err(|error| format!("`{}`: {error}", key.display()))?;
            builder
                .with_client_auth_cert(chain, private)
                .map_err(|error| format!("`{}`: {error}", certificate.display()))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(format!("`{}` has only one of `cert.pem` and `key.pem`", tls.folder.display())),
    }
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let list: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(|found| found.collect())
        .map_err(|error| format!("`{}`: {error}", path.display()))?;
    if list.is_empty() { Err(format!("`{}` has no certificate", path.display())) } else { Ok(list) }
}

/// Takes anybody for the engine, as the operator asked for by `DOCKER_TLS` or `SkipTLSVerify`.
#[derive(Debug)]
struct AnyServer(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Tells whether nobody listens where the engine did.
fn is_away(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// What hyper calls for each connection that it needs.
#[derive(Clone)]
struct Connector(Arc<Dialer>);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move {
            let began = Instant::now();
            loop {
                let dialed = tokio::time::timeout(CONNECT, dialer.dial()).await;
                match dialed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                    // It was there before, so it is being restarted. Nothing was asked yet, so nothing is asked twice.
                    Err(error) if is_away(&error) && began.elapsed() < AWAY => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    stream => return stream.map(TokioIo::new),
                }
            }
        })
    }
}

/// A connection of any kind.
struct Stream(Pin<Box<dyn Duplex>>);

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
