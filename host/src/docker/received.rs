//! How much a container has received over its networks, as the kernel counts it.

use super::{Command, Docker};
use crate::model::Failure;
use crate::text::short_or_name;

/// What came in over all networks of a container since it started; what it sends itself over its loopback is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets.
    pub packets: u64,
    /// Bytes, headers of every layer included.
    pub bytes: u64,
}

impl Docker {
    /// Returns how much a running container has received.
    ///
    /// The kernel's own table is read: from here, where this machine sees the container's process, else by `cat` in the
    /// container. The engine's own statistics say the same, but take a second for each look.
    pub async fn received(&self, id: &str) -> Result<Received, Failure> {
        let table = match self.devices_from_here(id).await {
            Some(table) => table,
            None => self.output(id, &Command::new(["cat", "/proc/net/dev"])).await.map_err(Failure::from)?.stdout,
        };
        let tried = || format!("reading what container `{}` has received", short_or_name(id));
        counted(&table).ok_or_else(|| Failure::new(format!("{}: the kernel's table is not as it is known", tried())))
    }

    async fn devices_from_here(&self, id: &str) -> Option<String> {
        let seen = if self.is_local() { self.inspect(id).await.ok()?? } else { return None };
        let pid = seen.pid?;
        // In a container of its own this machine's numbers of processes are others': the group names the container.
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        if !group.contains(&seen.id) {
            return None;
        }
        std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()
    }
}

/// Sums up `/proc/net/dev`.
fn counted(table: &str) -> Option<Received> {
    let mut all = Received::default();
    let mut devices = table.lines().skip(2).filter(|line| !line.trim().is_empty()).peekable();
    devices.peek()?;
    for line in devices {
        let (name, counts) = line.split_once(':')?;
        let mut counts = counts.split_whitespace();
        let (bytes, packets): (u64, u64) = (counts.next()?.parse().ok()?, counts.next()?.parse().ok()?);
        if name.trim() != "lo" {
            all.bytes += bytes;
            all.packets += packets;
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_networks_count_but_not_the_container_itself() {
        let table = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     900       9    0    0    0     0          0         0      900       9    0    0    0     0       0          0
  eth0:     200       2    0    0    0     0          0         0        0       0    0    0    0     0       0          0
eth1:12345 67 0 0 0 0 0 0 0 0 0 0 0 0 0 0
";
        assert_eq!(counted(table), Some(Received { packets: 69, bytes: 12545 }));
        assert_eq!(counted(""), None);
        assert_eq!(counted("a\nb\n eth0: x 1\n"), None);
    }
}
