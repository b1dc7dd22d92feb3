//! Which engine, and the ways to it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::rig::{Rig, run};
use crate::docker::endpoint::Tls;
use crate::docker::{Address, Command, Docker, Endpoint};

/// Finds the endpoint in an environment; the text is the endpoint or the failure and its hint.
fn find(context: Option<&str>, env: &[(&str, &str)]) -> String {
    let env: BTreeMap<&str, &str> = env.iter().copied().collect();
    match Endpoint::find(context, &|name| env.get(name).map(|value| (*value).to_owned())) {
        Ok(endpoint) => match &endpoint.address {
            Address::Tcp { tls: Some(Tls { folder, skip_verify }), .. } => {
                format!("{endpoint} tls {} skip {skip_verify}", folder.display())
            }
            _ => endpoint.to_string(),
        },
        Err(failure) => failure.to_string(),
    }
}

fn write_context(config: &Path, name: &str, meta: &str) -> String {
    let id = hex::encode(Sha256::digest(name));
    let folder = config.join("contexts/meta").join(&id);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("meta.json"), meta).unwrap();
    id
}

#[test]
fn the_engine_is_found_as_the_docker_cli_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let config = folder.path().join(".docker");
    std::fs::create_dir(&config).unwrap();
    let meta = |name: &str, host: &str, skip: bool| {
        format!(
            r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":{skip}}}}}}}"#
        )
    };
    write_context(&config, "far", &meta("far", "ssh://me@far:2222", false));
    let id = write_context(&config, "safe", &meta("safe", "tcp://safe:2376", false));
    std::fs::create_dir_all(config.join("contexts/tls").join(&id).join("docker")).unwrap();
    write_context(&config, "broken", "{");
    let tls = config.join("contexts/tls").join(&id).join("docker").display().to_string();
    let meta_broken = {
        let id = hex::encode(Sha256::digest("broken"));
        config.join("contexts/meta").join(id).join("meta.json").display().to_string()
    };
    let home = ("HOME", home);
    type Case<'a> = (Option<&'a str>, Vec<(&'a str, &'a str)>, String);
    let cases: Vec<Case<'_>> = vec![
        (None, vec![("DOCKER_HOST", "unix:///x.sock")], "`unix:///x.sock` (from DOCKER_HOST)".into()),
        (None, vec![home, ("DOCKER_HOST", "tcp://h")], "`tcp://h:2375` (from DOCKER_HOST)".into()),
        (
            None,
            vec![home, ("DOCKER_HOST", "tcp://h:1"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/c")],
            "`tcp://h:1` (from DOCKER_HOST) tls /c skip false".into(),
        ),
        (
            None,
            vec![home, ("DOCKER_HOST", "tcp://[::1]"), ("DOCKER_TLS", "1")],
            format!("`tcp://[::1]:2376` (from DOCKER_HOST) tls {} skip true", config.display()),
        ),
        (
            None,
            vec![home, ("DOCKER_HOST", "ssh://u@h:22/run/d.sock")],
            "`ssh://u@h:22/run/d.sock` (from DOCKER_HOST)".into(),
        ),
        (
            None,
            vec![home, ("DOCKER_HOST", "ssh://h"), ("DOCKER_CONTEXT", "safe")],
            "`ssh://h` (from DOCKER_HOST)".into(),
        ),
        (Some("far"), vec![home, ("DOCKER_HOST", "ssh://h")], "`ssh://me@far:2222` (from context `far`)".into()),
        (
            None,
            vec![home, ("DOCKER_CONTEXT", "safe")],
            format!("`tcp://safe:2376` (from context `safe`) tls {tls} skip false"),
        ),
        (Some("default"), vec![home, ("DOCKER_HOST", "ssh://h")], "`ssh://h` (from DOCKER_HOST)".into()),
        (
            Some("fra"),
            vec![home],
            "docker context `fra` (from --context) not found (contexts: default, far, safe)".into(),
        ),
        (
            None,
            vec![home, ("DOCKER_CONTEXT", "broken")],
            format!("docker context `broken` in `{meta_broken}`: EOF while parsing an object at line 1 column 1"),
        ),
    ];
    for (context, env, expected) in cases {
        assert_eq!(find(context, &env), expected, "{context:?} {env:?}");
    }
    for (host, why) in [
        ("localhost:2375", "it has no scheme"),
        ("unix://x", "the path of the socket must be absolute"),
        ("tcp://h:99999", "`99999` is not a port"),
        ("tcp://h/base", "a path behind the port is not supported"),
        ("ssh://-oProxyCommand=x", "it names no machine"),
        ("ssh://u:p@h", "a password does not belong there"),
        ("npipe:////./pipe/docker", "`npipe://` is not supported"),
        ("ftp://h", "`ftp://` is unknown"),
    ] {
        assert_eq!(
            find(None, &[("DOCKER_HOST", host)]),
            format!("`DOCKER_HOST={host}` is not an engine's address: {why}")
        );
    }
    std::fs::write(config.join("config.json"), r#"{"auths":{},"currentContext":"far"}"#).unwrap();
    assert_eq!(find(None, &[home]), "`ssh://me@far:2222` (from context `far`)");
    assert_eq!(find(None, &[("DOCKER_CONFIG", config.to_str().unwrap())]), "`ssh://me@far:2222` (from context `far`)");
    std::fs::write(config.join("config.json"), "{").unwrap();
    assert_eq!(
        find(None, &[home]),
        format!("reading `{}`: EOF while parsing an object at line 1 column 1", config.join("config.json").display())
    );
    if Path::new("/var/run/docker.sock").exists() {
        assert_eq!(find(None, &[]), "`unix:///var/run/docker.sock` (from the usual socket)");
    }

    let safe = Endpoint::find(Some("safe"), &|name| (name == "HOME").then(|| home.1.to_owned())).unwrap();
    assert_eq!(
        safe.env(),
        [
            ("DOCKER_HOST", Some("tcp://safe:2376".to_owned())),
            ("DOCKER_CONTEXT", None),
            ("DOCKER_TLS", None),
            ("DOCKER_TLS_VERIFY", Some("1".to_owned())),
            ("DOCKER_CERT_PATH", Some(tls)),
        ]
    );
}

fn at(address: Address) -> Endpoint {
    Endpoint { address, origin: "a test".to_owned() }
}

async fn refusal(address: Address) -> String {
    let began = Instant::now();
    let failure = Docker::connect(at(address)).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_millis(5500), "{:?}", began.elapsed());
    failure.to_string()
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.sock");
    let shown = path.display();
    let beginning = |address: &str| format!("the Docker engine at `{address}` (from a test) can't be reached: ");
    let unix = beginning(&format!("unix://{shown}"));
    assert_eq!(refusal(Address::Unix(path.clone())).await, format!("{unix}there is no such socket"));
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(refusal(Address::Unix(path.clone())).await, format!("{unix}it did not answer within 5 s"));
    drop(listener);
    assert_eq!(refusal(Address::Unix(path.clone())).await, format!("{unix}nothing listens there"));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let web = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    });
    let tcp = |port| Address::Tcp { host: "127.0.0.1".to_owned(), port, tls: None };
    let start = beginning(&format!("tcp://127.0.0.1:{port}"));
    assert_eq!(refusal(tcp(port)).await, format!("{start}what answers there (status 200 OK) is not a Docker engine"));
    web.abort();
    let _ = web.await;
    assert_eq!(refusal(tcp(port)).await, format!("{start}nothing listens there"));
}

#[tokio::test]
async fn a_socket_that_is_not_ours_names_the_cure() {
    if let Some(path) = std::env::var_os("SWAP_TEST_FORBIDDEN_SOCKET") {
        let failure = Docker::connect(at(Address::Unix(path.into()))).await.unwrap_err();
        println!("said: {}", serde_json::to_string(&failure).unwrap());
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let folder =
        tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir_in("/tmp").unwrap();
    let path = folder.path().join("d.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    // Another user may not be able to run this very file where it lies.
    let program = folder.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = std::process::Command::new(program)
        .args(["a_socket_that_is_not_ours", "--nocapture"])
        .env("SWAP_TEST_FORBIDDEN_SOCKET", &path)
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = said.lines().find_map(|line| line.split_once("said: ")).map(|(_, json)| json.to_owned());
    let expected = format!(
        r#"{{"what":"the Docker engine at `unix://{}` (from a test) can't be reached: permission denied","hint":"`sudo usermod -aG docker $USER` and a new login let you use it; or run swap with sudo"}}"#,
        path.display()
    );
    assert_eq!(said, Some(expected));
}

/// Does on a way to the engine what needs every kind of connection: plain, streamed, hijacked with half a close.
async fn exercise(rig: &Rig, endpoint: Endpoint) {
    let docker = Docker::connect(endpoint).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    assert!(!docker.is_local());
    let id = rig.start(&[], &["sh", "-c", "echo log; sleep 1000"]);
    assert!(docker.inspect(&id).await.unwrap().unwrap().runs());
    let mut command = Command::new(["cat"]);
    command.stdin = Some(vec![b'x'; 300_000]);
    let answer = docker.output(&id, &command).await.unwrap();
    assert_eq!((answer.code, answer.stdout.len()), (0, 300_000));
    let shell = docker.shell(&id, None).await.unwrap();
    let began = Instant::now();
    for at in 0..10 {
        assert_eq!(shell.run(&format!("echo {at}")).await.unwrap().stdout, format!("{at}\n"));
    }
    println!("{}: ten scripts {:?}", docker.endpoint(), began.elapsed());
    let began = Instant::now();
    futures_util::future::join_all((0..20).map(|_| docker.inspect(&id))).await;
    println!("{}: twenty inspects {:?}", docker.endpoint(), began.elapsed());
    assert_eq!(docker.logs_tail(&id, 5).await.unwrap(), ["log"]);
    docker.stop(&id, Some(Duration::ZERO)).await.unwrap();
    docker.remove(&id, true).await.unwrap();
}

#[tokio::test]
async fn an_engine_behind_tls_is_reached() {
    let Some(rig) = Rig::new().await else { return };
    let Address::Unix(socket) = rig.docker.endpoint().address.clone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    // An authority of its own, and a certificate of it that serves for both sides.
    run(&[
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=swap test CA",
        "-keyout",
        &file("ca-key.pem"),
        "-out",
        &file("ca.pem"),
    ]);
    run(&[
        "openssl",
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=engine",
        "-keyout",
        &file("key.pem"),
        "-out",
        &file("request.pem"),
    ]);
    std::fs::write(file("extensions"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
        .unwrap();
    run(&[
        "openssl",
        "x509",
        "-req",
        "-in",
        &file("request.pem"),
        "-CA",
        &file("ca.pem"),
        "-CAkey",
        &file("ca-key.pem"),
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        &file("extensions"),
        "-out",
        &file("cert.pem"),
    ]);

    let certificate = |name: &str| CertificateDer::from_pem_file(file(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![certificate("cert.pem")], PrivateKeyDer::from_pem_file(file("key.pem")).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let mut inside = UnixStream::connect(socket).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    let endpoint = |folder: &Path, skip_verify| {
        let tls = Tls { folder: folder.to_owned(), skip_verify };
        at(Address::Tcp { host: "127.0.0.1".to_owned(), port, tls: Some(tls) })
    };
    exercise(&rig, endpoint(folder.path(), false)).await;
    exercise(&rig, endpoint(folder.path(), true)).await;

    let beginning = format!("the Docker engine at `tcp://127.0.0.1:{port}` (from a test) can't be reached: ");
    // Nobody vouches for the engine.
    let other = tempfile::tempdir().unwrap();
    for name in ["cert.pem", "key.pem"] {
        std::fs::copy(file(name), other.path().join(name)).unwrap();
    }
    std::fs::copy(file("cert.pem"), other.path().join("ca.pem")).unwrap();
    let failure = Docker::connect(endpoint(other.path(), false)).await.unwrap_err().to_string();
    assert_eq!(failure, format!("{beginning}invalid peer certificate: UnknownIssuer"));
    // The engine does not know us.
    for name in ["cert.pem", "key.pem"] {
        std::fs::remove_file(other.path().join(name)).unwrap();
    }
    std::fs::copy(file("ca.pem"), other.path().join("ca.pem")).unwrap();
    let failure = Docker::connect(endpoint(other.path(), false)).await.unwrap_err().to_string();
    assert_eq!(failure, format!("{beginning}connection error: received fatal alert: CertificateRequired"));
    std::fs::write(other.path().join("ca.pem"), "nothing").unwrap();
    let failure = Docker::connect(endpoint(other.path(), false)).await.unwrap_err().to_string();
    let authorities = other.path().join("ca.pem");
    assert_eq!(
        failure,
        format!(
            "TLS to the Docker engine at `tcp://127.0.0.1:{port}` (from a test): `{}` has no certificate",
            authorities.display()
        )
    );
}

/// Without `SWAP_TEST_SSH` (an ssh command line that reaches this machine as `engine.test`), a stand-in for ssh runs the
/// command here, which is what sshd would do.
#[tokio::test]
async fn an_engine_behind_ssh_is_reached() {
    let Some(rig) = Rig::new().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let stand_in = folder.path().join("ssh");
    let words = match std::env::var("SWAP_TEST_SSH") {
        Ok(line) => line.split_whitespace().map(str::to_owned).collect(),
        Err(_) => {
            let script = r#"while [ "$1" != -- ]; do [ "$1" = -l ] && user=$2; shift; done
                [ "$user" != nobody ] || { echo "nobody@$2: Permission denied (publickey)." >&2; exit 255; }
                exec sh -c "$3""#;
            std::fs::write(&stand_in, script).unwrap();
            vec!["sh".to_owned(), stand_in.display().to_string()]
        }
    };
    super::super::ssh::TEST_SSH.set(words).unwrap();
    let address = |user: Option<&str>, socket: Option<&str>| {
        let (user, socket) = (user.map(str::to_owned), socket.map(str::to_owned));
        at(Address::Ssh { user, host: "engine.test".to_owned(), port: None, socket })
    };
    exercise(&rig, address(None, None)).await;
    let Address::Unix(socket) = rig.docker.endpoint().address.clone() else { return };
    exercise(&rig, address(None, socket.to_str())).await;
    let failure = Docker::connect(address(Some("nobody"), None)).await.unwrap_err();
    // A real ssh may name the machine by its address.
    let (what, of_ssh) = failure.what.split_once("nobody@engine.test: ").unwrap_or_default();
    let cure = "swap can't ask for passwords: `ssh` to that machine must work without, and `docker` must be there";
    assert_eq!(
        (what, of_ssh, failure.hint.as_deref()),
        (
            "the Docker engine at `ssh://nobody@engine.test` (from a test) can't be reached: ",
            "Permission denied (publickey).",
            Some(cure)
        )
    );
    let failure = Docker::connect(address(None, Some("/no/such.sock"))).await.unwrap_err();
    // The rest are the words of the docker command over there.
    let beginning = "the Docker engine at `ssh://engine.test/no/such.sock` (from a test) can't be reached: ";
    assert!(failure.what.starts_with(beginning) && failure.what.contains("/no/such.sock"), "{failure}");
}
