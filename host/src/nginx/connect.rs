//! Whether nginx reaches an address: tried from where nginx is, by the shell beside it.

use std::net::SocketAddr;

use crate::model::Output;
use crate::text::{printable, quote};

/// What a try to connect from beside nginx showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connected {
    /// Somebody accepted.
    Yes,
    /// Nobody did: what the tool said of it.
    No(String),
    /// Nothing there can connect, so nobody knows.
    NoTool,
}

/// The tools that [`SCRIPT`] knows, for people.
pub(super) const TOOLS: &str = "bash, perl, nc, python3, php or curl";

const SCRIPT: &str = include_str!("connect.sh");

/// Returns the script that tries to connect.
pub(super) fn script(address: SocketAddr) -> String {
    format!("HOST={}\nPORT={}\n{SCRIPT}", quote(&address.ip().to_string()), address.port())
}

/// Reads what the script printed. A shell that was cut off has shown nothing.
pub(super) fn read(output: &Output) -> Connected {
    let mut lines = output.stdout.lines();
    match lines.next() {
        Some("open") => Connected::Yes,
        Some("none") => Connected::NoTool,
        Some("closed") => Connected::No(reason(lines.rfind(|line| !line.trim().is_empty()).unwrap_or_default())),
        _ => Connected::No("the shell beside nginx gave no answer".to_owned()),
    }
}

/// Shortens what tools say: `bash: connect: Connection refused` is `connection refused`.
fn reason(line: &str) -> String {
    let last = line.rsplit(": ").next().unwrap_or(line).trim();
    let known = ["connection refused", "no route to host", "network is unreachable", "connection timed out"];
    let lower = last.to_lowercase();
    let said = known.into_iter().find(|known| lower.contains(known)).map_or_else(|| printable(last), str::to_owned);
    if said.is_empty() { "connection refused, or no answer".to_owned() } else { said }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs the script on this machine in a shell that has only these programs.
    fn run(shell: &[&str], tools: &[&str], address: SocketAddr) -> Connected {
        let folder = tempfile::tempdir().unwrap();
        for tool in tools {
            let found = ["/usr/local/bin", "/usr/bin", "/bin"].map(|place| Path::new(place).join(tool));
            symlink(found.into_iter().find(|path| path.exists()).unwrap(), folder.path().join(tool)).unwrap();
        }
        let shell_path = format!("/bin/{}", shell[0]);
        let mut child = Command::new(shell_path)
            .args(&shell[1..])
            .env_clear()
            .env("PATH", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(super::super::script::subshell(&script(address)).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        read(&Output { code: 0, stdout, stderr: String::new() })
    }

    fn there(tool: &str) -> bool {
        ["/usr/local/bin", "/usr/bin", "/bin"].iter().any(|place| Path::new(place).join(tool).exists())
    }

    #[test]
    fn every_tool_tells_an_open_port_from_a_closed_one() {
        let mut tried = Vec::new();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let open = listener.local_addr().unwrap();
            let closed = {
                let gone = TcpListener::bind(address).unwrap();
                gone.local_addr().unwrap()
            };
            for tool in ["bash", "perl", "nc", "python3", "php", "curl"].into_iter().filter(|tool| there(tool)) {
                for (shell, tools) in [(&["dash"][..], &[tool][..]), (&["bash", "--posix"], &[tool, "timeout"])] {
                    assert_eq!(run(shell, tools, open), Connected::Yes, "{shell:?} {tools:?} {open}");
                    let refused = run(shell, tools, closed);
                    let Connected::No(why) = refused else { panic!("{shell:?} {tools:?} {closed}: {refused:?}") };
                    assert!(why.starts_with("connection refused"), "{tools:?}: {why}");
                }
                tried.push(tool);
            }
        }
        assert!(tried.contains(&"bash"), "{tried:?}");
    }

    #[test]
    fn a_shell_without_tools_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(run(&["dash"], &["cat"], listener.local_addr().unwrap()), Connected::NoTool);
    }

    #[test]
    fn what_tools_say_is_short() {
        let said = |text: &str| read(&Output { code: 0, stdout: text.to_owned(), stderr: String::new() });
        for (text, expected) in [
            ("open\n", Connected::Yes),
            ("none\n", Connected::NoTool),
            (
                "closed\nbash: connect: Connection refused\n172.18.0.3: line 1: /dev/tcp/172.18.0.3/80: Connection refused\n",
                Connected::No("connection refused".into()),
            ),
            ("closed\nno answer within 1s\n", Connected::No("no answer within 1s".into())),
            ("closed\nnc: 172.18.0.3 (172.18.0.3:80): No route to host\n", Connected::No("no route to host".into())),
            ("closed\n\u{1b}[2Jodd\n", Connected::No("\\u{1b}[2Jodd".into())),
            ("closed\n\n", Connected::No("connection refused, or no answer".into())),
            ("", Connected::No("the shell beside nginx gave no answer".into())),
        ] {
            assert_eq!(said(text), expected, "{text:?}");
        }
    }
}
