//! Which engine: `--context`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the docker CLI's current context, or the usual socket.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::model::Failure;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// One engine's address and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where the engine listens.
    pub address: Address,
    /// Who said so, as `DOCKER_HOST` or ``context `staging` ``; for messages.
    pub origin: String,
}

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A socket file of this machine.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
        /// How it is encrypted; `None` is plain text.
        tls: Option<Tls>,
    },
    /// `docker system dial-stdio` on another machine, by ssh.
    Ssh {
        /// The user on that machine; by default what ssh's own configuration says.
        user: Option<String>,
        /// The machine's name, as in ssh's configuration.
        host: String,
        /// The port of its sshd.
        port: Option<u16>,
        /// The engine's socket there, if it is not the usual one.
        socket: Option<String>,
    },
}

/// The TLS settings of a TCP endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`. A missing `ca.pem` means the system's authorities, a missing
    /// `cert.pem` that the client has no certificate.
    pub folder: PathBuf,
    /// Whether anybody's certificate is taken for the engine's (`DOCKER_TLS` without `DOCKER_TLS_VERIFY`).
    pub skip_verify: bool,
}

impl Endpoint {
    /// Finds the engine that the docker CLI would use in this process's environment.
    ///
    /// As there, `--context` (given here as `context`) wins over `DOCKER_HOST`, that over `DOCKER_CONTEXT`, that over
    /// the current context of `config.json`. Without any of them it is the usual socket, or, where that is missing,
    /// the socket of a rootless engine or of Docker Desktop.
    pub fn from_environment(context: Option<&str>) -> Result<Self, Failure> {
        Self::find(context, &|name| std::env::var(name).ok())
    }

    /// As [`Endpoint::from_environment`], for the given environment.
    pub fn find(context: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        if let Some(name) = context.filter(|name| !name.is_empty()) {
            return Self::of_context(name, "--context", &env);
        }
        if let Some(host) = env("DOCKER_HOST") {
            return Self::of_host(&host, &env);
        }
        if let Some(name) = env("DOCKER_CONTEXT") {
            return Self::of_context(&name, "DOCKER_CONTEXT", &env);
        }
        if let Some(config) = config_folder(&env).map(|folder| folder.join("config.json"))
            && let Some(name) = current_context(&config)?
        {
            return Self::of_context(&name, &format!("`{}`", config.display()), &env);
        }
        Ok(Self::usual(&env))
    }

    /// Returns what to change in the environment of a docker or compose process so that it uses this engine too:
    /// `None` means that the variable must not be set.
    pub fn env(&self) -> Vec<(&'static str, Option<String>)> {
        let (mut tls, mut verify, mut folder) = (None, None, None);
        if let Address::Tcp { tls: Some(settings), .. } = &self.address {
            folder = Some(settings.folder.display().to_string());
            // Compose 1.29 only knows DOCKER_TLS_VERIFY; an empty one means unverified TLS to it.
            (tls, verify) = if settings.skip_verify {
                (Some("1".to_owned()), Some(String::new()))
            } else {
                (None, Some("1".to_owned()))
            };
        }
        vec![
            ("DOCKER_HOST", Some(self.address.to_string())),
            ("DOCKER_CONTEXT", None),
            ("DOCKER_TLS", tls),
            ("DOCKER_TLS_VERIFY", verify),
            ("DOCKER_CERT_PATH", folder),
        ]
    }

    fn usual(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let rootless =
            env("XDG_RUNTIME_DIR").map(|folder| (Path::new(&folder).join("docker.sock"), "the rootless socket"));
        let desktop =
            env("HOME").map(|home| (Path::new(&home).join(".docker/run/docker.sock"), "Docker Desktop's socket"));
        let usual = (PathBuf::from(DEFAULT_SOCKET), "the usual socket");
        let (path, origin) = std::iter::once(usual.clone())
            .chain(rootless)
            .chain(desktop)
            .find(|(path, _)| path.exists())
            .unwrap_or(usual);
        Self { address: Address::Unix(path), origin: origin.to_owned() }
    }

    fn of_host(host: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let verify = env("DOCKER_TLS_VERIFY").is_some();
        let tls = (verify || env("DOCKER_TLS").is_some())
            .then(|| env("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| config_folder(env)))
            .flatten()
            .map(|folder| Tls { folder, skip_verify: !verify });
        let address = Address::parse(host, tls).map_err(|why| {
            Failure::new(format!("`DOCKER_HOST={}` is not an engine's address: {why}", host.escape_debug()))
                .hint("write it as unix:///path, tcp://host:port or ssh://user@host")
        })?;
        Ok(Self { address, origin: "DOCKER_HOST".to_owned() })
    }

    fn of_context(name: &str, origin: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        if name == "default" {
            return match env("DOCKER_HOST") {
                Some(host) => Self::of_host(&host, env),
                None => Ok(Self::usual(env)),
            };
        }
        let shown = name.escape_debug();
        let contexts = config_folder(env)
            .ok_or_else(|| Failure::new(format!("context `{shown}`: there is no home directory")))?
            .join("contexts");
        let id = hex::encode(Sha256::digest(name));
        let file = contexts.join("meta").join(&id).join("meta.json");
        let text = std::fs::read_to_string(&file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let known = known_contexts(&contexts).join(", ");
                Failure::new(format!("docker context `{shown}` (from {origin}) not found (contexts: {known})"))
                    .hint("`docker context ls` lists them; `docker context use` chooses one")
            }
            _ => Failure::new(format!("reading docker context `{shown}` in `{}`: {error}", file.display())),
        })?;
        let broken = |why: String| Failure::new(format!("docker context `{shown}` in `{}`: {why}", file.display()));
        let meta: ContextMeta = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        let docker = meta.endpoints.docker.ok_or_else(|| broken("it has no docker endpoint".to_owned()))?;
        let folder = contexts.join("tls").join(&id).join("docker");
        let tls =
            (docker.skip_tls_verify || folder.is_dir()).then_some(Tls { folder, skip_verify: docker.skip_tls_verify });
        let address = Address::parse(&docker.host, tls)
            .map_err(|why| broken(format!("`{}` is not an engine's address: {why}", docker.host.escape_debug())))?;
        Ok(Self { address, origin: format!("context `{shown}`") })
    }
}

impl Address {
    /// Reads `unix://…`, `tcp://…`, `http://…`, `https://…` or `ssh://…`. `tls` holds for `tcp` and `https`.
    fn parse(text: &str, tls: Option<Tls>) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Address::Unix(rest.into())),
            "unix" => Err("the path of the socket must be absolute".to_owned()),
            "tcp" | "http" | "https" => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                if !path.is_empty() {
                    return Err("a path behind the port is not supported".to_owned());
                }
                let (host, port) = host_and_port(authority)?;
                let tls = match (scheme, tls) {
                    ("http", _) => None,
                    ("https", None) => Some(Tls { folder: PathBuf::new(), skip_verify: false }),
                    (_, tls) => tls,
                };
                let host = if host.is_empty() { "localhost".to_owned() } else { host };
                Ok(Address::Tcp { host, port: port.unwrap_or(if tls.is_some() { 2376 } else { 2375 }), tls })
            }
            "ssh" => {
                let (authority, path) = match rest.find('/') {
                    Some(at) => rest.split_at(at),
                    None => (rest, ""),
                };
                let (user, authority) = match authority.rsplit_once('@') {
                    Some((user, authority)) => (Some(user.to_owned()), authority),
                    None => (None, authority),
                };
                if user.as_deref().is_some_and(|user| user.contains(':')) {
                    return Err("a password does not belong there".to_owned());
                }
                let (host, port) = host_and_port(authority)?;
                // ssh would read a name that starts with a dash as an option.
                if host.is_empty()
                    || host.starts_with('-')
                    || user.as_deref().is_some_and(|u| u.is_empty() || u.starts_with('-'))
                {
                    return Err("it names no machine".to_owned());
                }
                let socket = (!path.trim_matches('/').is_empty()).then(|| path.to_owned());
                Ok(Address::Ssh { user, host, port, socket })
            }
            "npipe" | "fd" => Err(format!("`{scheme}://` is not supported")),
            _ => Err(format!("`{}://` is unknown", scheme.escape_debug())),
        }
    }
}

/// Splits `host:port`, `[::1]:port` or `host`; no port is `None`.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("a `]` is missing")?;
            (host, after.strip_prefix(':').or(if after.is_empty() { None } else { Some("") }))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '?' | '#')) {
        return Err("the host has characters that no host has".to_owned());
    }
    let port =
        port.map(|port| port.parse().map_err(|_| format!("`{}` is not a port", port.escape_debug()))).transpose()?;
    Ok((host.to_owned(), port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp { host, port, .. } => write!(f, "tcp://{}:{port}", bracketed(host)),
            Address::Ssh { user, host, port, socket } => {
                write!(f, "ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                write!(f, "{}", bracketed(host))?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                write!(f, "{}", socket.as_deref().unwrap_or(""))
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (from {})", self.address, self.origin)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMeta {
    #[serde(default)]
    name: String,
    endpoints: ContextEndpoints,
}

#[derive(Deserialize)]
struct ContextEndpoints {
    docker: Option<ContextEndpoint>,
}

#[derive(Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

fn config_folder(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    env("DOCKER_CONFIG").map(PathBuf::from).or_else(|| env("HOME").map(|home| Path::new(&home).join(".docker")))
}

/// Reads `currentContext`. A file that can't be read is an error: the CLI only warns and takes the usual socket, but
/// here that could swap a service of the wrong engine.
fn current_context(config: &Path) -> Result<Option<String>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config {
        current_context: Option<String>,
    }
    let text = match std::fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Failure::new(format!("reading `{}`: {error}", config.display()))),
    };
    let config: Config = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("reading `{}`: {error}", config.display())))?;
    Ok(config.current_context.filter(|name| !name.is_empty() && name != "default"))
}

fn known_contexts(contexts: &Path) -> Vec<String> {
    let metas = std::fs::read_dir(contexts.join("meta")).into_iter().flatten().flatten();
    let mut names: Vec<String> = metas
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("meta.json")).ok())
        .filter_map(|text| serde_json::from_str::<ContextMeta>(&text).ok())
        .map(|meta| meta.name.escape_debug().to_string())
        .collect();
    names.push("default".to_owned());
    names.sort();
    names
}
