//! Whether something answers: from this machine, or from inside a container where this machine can't reach it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Command, Docker, ExecError, chain};
use crate::model::Failure;
use crate::text::{printable, short_or_name};

/// What a try to connect from this machine showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectResult {
    /// Somebody accepted.
    Open,
    /// The host is there and nobody listens.
    Refused,
    /// No way there from here, or nobody answered in time: why.
    Unreachable(String),
}

/// Whether something in a container listens on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    /// Nothing does.
    No,
    /// Only for the container itself (127.0.0.1 or ::1); a proxy does not reach it.
    OnlyInside,
    /// It does.
    Yes,
}

/// What a request from inside a container gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// An answer with this status.
    Status(u16),
    /// No answer: what the tool said.
    Failed(String),
    /// The container has nothing that could ask.
    NoTool,
}

/// Tries to connect from this machine.
pub async fn tcp(address: SocketAddr, limit: Duration) -> ConnectResult {
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(_)) => ConnectResult::Open,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => ConnectResult::Refused,
        Ok(Err(error)) => ConnectResult::Unreachable(error.to_string()),
        Err(_) => ConnectResult::Unreachable(format!("no answer within {}", humantime::format_duration(limit))),
    }
}

/// Tells within 300 ms whether this machine reaches the address at all. [`ConnectResult::Refused`] means that it does.
pub async fn reachable(address: SocketAddr) -> ConnectResult {
    tcp(address, Duration::from_millis(300)).await
}

/// Asks `GET path` of an address from this machine, redirects not followed; returns the status.
pub async fn http_get(address: SocketAddr, host: &str, path: &str, limit: Duration) -> Result<u16, Failure> {
    let tried = format!("GET {} at {address}", printable(path));
    let request = Request::get(path)
        .header("host", host)
        .header("user-agent", "swap")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::new(format!("{tried}: {error}")))?;
    let asking = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|error| chain(&error));
        connection.abort();
        Ok::<_, String>(answer?.status().as_u16())
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(answer) => answer.map_err(|why| Failure::new(format!("{tried}: {}", printable(&why)))),
        Err(_) => Err(Failure::new(format!("{tried}: no answer within {}", humantime::format_duration(limit)))),
    }
}

/// Asks with whatever the container has. Arguments: URL, host, port, path and query, `Host` header, seconds.
const ASK_FROM_INSIDE: &str = r#"
url=$1 host=$2 port=$3 path=$4 name=$5 limit=$6
has() { command -v "$1" >/dev/null 2>&1; }
if has curl; then
    exec curl -sS -g -o /dev/null -w 'HTTP/1.1 %{http_code}\n' --max-time "$limit" -H "Host: $name" "$url"
fi
if has wget; then
    wget -S -O /dev/null -T "$limit" --header "Host: $name" "$url" 2>&1
    code=$?
    # A busybox that is linked statically with glibc crashes in its wget.
    [ "$code" -ge 126 ] || exit "$code"
fi
if has bash; then
    exec bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n" "$3" "$4" >&3 &&
        IFS= read -r -t "$5" line <&3 && echo "$line"' bash "$host" "$port" "$path" "$name" "$limit" 2>&1
elif has python3; then
    exec python3 -c 'import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=float(sys.argv[5]))
c.request("GET", sys.argv[3], headers={"Host": sys.argv[4]})
print("HTTP/1.1", c.getresponse().status)' "$host" "$port" "$path" "$name" "$limit" 2>&1
elif has php; then
    exec php -r '$c = stream_context_create(["http" => ["ignore_errors" => true, "follow_location" => 0,
        "timeout" => (float) $argv[3], "header" => "Host: $argv[2]"]]);
$f = @fopen($argv[1], "r", false, $c);
if ($f) { echo $http_response_header[0], "\n"; } else { echo error_get_last()["message"], "\n"; exit(1); }' -- "$url" "$name" "$limit" 2>&1
elif has node; then
    exec node -e 'const [host, port, path, name, limit] = process.argv.slice(1);
require("http").get({host, port, path, headers: {Host: name}, timeout: limit * 1000}, r => {
    console.log("HTTP/1.1 " + r.statusCode); process.exit(0); })
    .on("timeout", () => { console.log("timeout"); process.exit(1); })
    .on("error", e => { console.log(e.message); process.exit(1); });' -- "$host" "$port" "$path" "$name" "$limit" 2>&1
elif has nc; then
    printf 'GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n' "$path" "$name" | nc -w "$limit" "$host" "$port" 2>&1 | head -n 1
else
    exit 99
fi
"#;

impl Docker {
    /// Tells whether something in the container listens on the TCP port, by what the container's kernel says.
    ///
    /// Works where the container's address can't be reached from here; needs `cat` in the container, or a container
    /// whose process this machine sees.
    pub async fn listening(&self, id: &str, port: u16) -> Result<Listening, Failure> {
        Ok(listening(&self.listening_sockets(id).await?, port))
    }

    /// Returns the addresses and ports on which something in the container listens, by what the container's kernel says: sorted,
    /// each once. Needs what [`listening`](Self::listening) does.
    pub async fn listening_sockets(&self, id: &str) -> Result<Vec<SocketAddr>, Failure> {
        let command = Command::new(["cat", "/proc/net/tcp", "/proc/net/tcp6"]);
        // Without IPv6 there is no second file, and the rest is printed all the same.
        let table = match self.output(id, &command).await {
            Ok(output) => output.stdout,
            Err(ExecError::NotFound { .. }) => self.table_from_here(id).await?,
            Err(error) => return Err(error.into()),
        };
        Ok(listening_sockets(&table))
    }

    async fn table_from_here(&self, id: &str) -> Result<String, Failure> {
        let pid = if self.is_local() { self.inspect(id).await?.and_then(|seen| seen.pid) } else { None };
        let read = |file: &str| pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/net/{file}")).ok());
        match read("tcp") {
            Some(table) => Ok(table + &read("tcp6").unwrap_or_default()),
            None => {
                Err(Failure::new(format!("container `{}` has no `cat` to read its open ports with", short_or_name(id))))
            }
        }
    }

    /// Asks for an `http://` URL from inside a container with whatever it has: curl, wget, bash, python3, php, node or nc.
    ///
    /// `host` is the `Host` header. wget alone follows redirects; its first answer counts.
    pub async fn http_from(&self, id: &str, url: &str, host: &str, limit: Duration) -> Result<Inside, Failure> {
        let tried = format!("GET {} from container `{}`", printable(url), short_or_name(id));
        let bad = || Failure::new(format!("{tried}: that is not an http:// URL with host and path"));
        let parsed: hyper::Uri = url.parse().map_err(|_| bad())?;
        let (Some("http"), Some(name)) = (parsed.scheme_str(), parsed.host()) else { return Err(bad()) };
        if host.is_empty() || host.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(Failure::new(format!("{tried}: `{}` is not a host", printable(host))));
        }
        let name = name.trim_matches(['[', ']']);
        let port = parsed.port_u16().unwrap_or(80).to_string();
        let path = parsed.path_and_query().map_or("/", |path| path.as_str());
        let seconds = limit.as_secs().max(1).to_string();
        let command = Command::new(["sh", "-c", ASK_FROM_INSIDE, "sh", url, name, &port, path, host, &seconds]);
        let asking = self.output(id, &command);
        // The tools count in seconds and not all of them count everything.
        let output = match tokio::time::timeout(limit + Duration::from_secs(1), asking).await {
            Ok(Ok(output)) => output,
            Ok(Err(ExecError::NotFound { .. })) => return Ok(Inside::NoTool),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Ok(Inside::Failed(format!("no answer within {}", humantime::format_duration(limit)))),
        };
        let status = output.stdout.lines().find_map(status).filter(|status| *status > 0);
        Ok(match (status, output.code) {
            (Some(status), _) => Inside::Status(status),
            (None, 99) => Inside::NoTool,
            (None, code) => {
                let said =
                    output.stderr.lines().chain(output.stdout.lines()).map(str::trim).rfind(|line| !line.is_empty());
                Inside::Failed(said.map_or_else(|| format!("exit code {code}"), printable))
            }
        })
    }
}

/// Reads `HTTP/1.1 200 OK`, as the tools print it.
fn status(line: &str) -> Option<u16> {
    let (_, rest) = line.trim_start().strip_prefix("HTTP/")?.split_once(' ')?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Reads the kernel's tables of TCP sockets: those that listen, sorted, each once.
pub fn listening_sockets(table: &str) -> Vec<SocketAddr> {
    let socket = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (Some(local), Some(_), Some("0A")) = (fields.next(), fields.next(), fields.next()) else { return None };
        let (address, port) = local.split_once(':')?;
        Some(SocketAddr::new(kernel_address(address)?.to_canonical(), u16::from_str_radix(port, 16).ok()?))
    };
    let mut sockets: Vec<SocketAddr> = table.lines().filter_map(socket).collect();
    sockets.sort_unstable();
    sockets.dedup();
    sockets
}

/// Tells whether one of the sockets listens on a port.
pub fn listening(sockets: &[SocketAddr], port: u16) -> Listening {
    let of_port: Vec<&SocketAddr> = sockets.iter().filter(|socket| socket.port() == port).collect();
    if of_port.is_empty() {
        Listening::No
    } else if of_port.iter().all(|socket| socket.ip().is_loopback()) {
        Listening::OnlyInside
    } else {
        Listening::Yes
    }
}

/// Says what a container listens on instead of `port`, as `127.0.0.1:9000 only` or `port 8080`; `None` where it listens on nothing.
///
/// The engine's own DNS, which listens in every container on 127.0.0.11, is not the application's.
pub fn listens_instead(sockets: &[SocketAddr], port: u16) -> Option<String> {
    let own: Vec<&SocketAddr> =
        sockets.iter().filter(|socket| socket.ip() != IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11))).collect();
    let same: Vec<String> = own.iter().filter(|socket| socket.port() == port).map(ToString::to_string).collect();
    if !same.is_empty() {
        return Some(format!("{} only", same.join(" and ")));
    }
    let name = |socket: &&SocketAddr| match socket.ip().is_unspecified() {
        true => format!("port {}", socket.port()),
        false => socket.to_string(),
    };
    let mut others: Vec<String> = own.iter().map(name).collect();
    others.dedup();
    (!others.is_empty()).then(|| others.join(", "))
}

/// Reads an address as the kernel prints it: words of 32 bits in the machine's order, which is little-endian wherever
/// Docker is common.
fn kernel_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::swap_bytes);
    match text.len() {
        8 => word(0).map(|word| IpAddr::V4(Ipv4Addr::from(word))),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bits = words.iter().fold(0u128, |bits, word| bits << 32 | u128::from(*word));
            Some(IpAddr::V6(Ipv6Addr::from(bits)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:0050 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   1: 0000000000000000FFFF00000100007F:0019 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   2: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
";

    #[test]
    fn listeners_are_read_from_the_kernels_tables() {
        for (port, expected) in [
            (8080, Listening::Yes),
            (22, Listening::OnlyInside),
            (25, Listening::OnlyInside),
            (9000, Listening::Yes),
            (80, Listening::No),
            (81, Listening::No),
        ] {
            assert_eq!(listening(&listening_sockets(TABLE), port), expected, "{port}");
        }
    }

    #[test]
    fn what_listens_elsewhere_is_told() {
        let sockets = |list: &[&str]| list.iter().map(|socket| socket.parse().unwrap()).collect::<Vec<SocketAddr>>();
        for (list, expected) in [
            (&[][..], None),
            (&["127.0.0.11:40001"], None),
            (&["127.0.0.1:9000", "127.0.0.11:40001"], Some("127.0.0.1:9000 only")),
            (&["127.0.0.1:9000", "[::1]:9000"], Some("127.0.0.1:9000 and [::1]:9000 only")),
            (&["0.0.0.0:8080", "[::]:8080"], Some("port 8080")),
            (&["127.0.0.1:3000", "0.0.0.0:8080"], Some("127.0.0.1:3000, port 8080")),
            (&["172.19.0.3:9000"], Some("172.19.0.3:9000 only")),
        ] {
            assert_eq!(listens_instead(&sockets(list), 9000).as_deref(), expected, "{list:?}");
        }
    }

    /// Runs the script on this machine with each tool that it has, one at a time.
    #[test]
    fn every_tool_asks_as_it_should() {
        use std::io::{Read, Write};
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port().to_string();
        std::thread::spawn(move || {
            for stream in server.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    request.push(byte[0]);
                }
                let request = String::from_utf8_lossy(&request).to_lowercase();
                let good =
                    request.starts_with("get /up?a='$(id) http/1.") && request.contains("\r\nhost: app.test\r\n");
                let status = if good { "503 No" } else { "400 Bad" };
                let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        let mut asked = Vec::new();
        for tool in ["curl", "wget", "bash", "python3", "php", "node"] {
            let Some(path) = ["/usr/local/bin", "/usr/bin", "/bin"]
                .map(|f| format!("{f}/{tool}"))
                .into_iter()
                .find(|path| std::path::Path::new(path).exists())
            else {
                continue;
            };
            let folder = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(path, folder.path().join(tool)).unwrap();
            let url = format!("http://127.0.0.1:{port}/up?a='$(id)");
            let output = std::process::Command::new("/bin/sh")
                .args(["-c", ASK_FROM_INSIDE, "sh", &url, "127.0.0.1", &port, "/up?a='$(id)", "app.test", "2"])
                .env("PATH", folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(
                said.lines().find_map(status),
                Some(503),
                "{tool}: {said} {}",
                String::from_utf8_lossy(&output.stderr)
            );
            asked.push(tool);
        }
        println!("asked with {asked:?}");
    }

    #[test]
    fn statuses_are_read_as_the_tools_print_them() {
        assert_eq!(status("HTTP/1.1 200"), Some(200));
        assert_eq!(status("  HTTP/1.1 404 Not Found"), Some(404));
        assert_eq!(status("HTTP/1.1 000"), Some(0));
        assert_eq!(status("wget: server returned error: HTTP/1.1 500"), None);
    }
}
