//! What only one container at a time can have.

use std::fmt;

/// A port of the engine's machine that is published for a service. Printed as `8080:80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedPort {
    /// The port on the machine.
    pub outer: u16,
    /// The port in the container.
    pub inner: u16,
}

impl fmt::Display for FixedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.outer, self.inner)
    }
}

/// An address of its own that a service has in a network. Printed as `ipv4_address: 172.30.0.5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedAddress {
    /// The key of the compose file: `ipv4_address`, `ipv6_address` or `mac_address`.
    pub key: &'static str,
    /// The address, as it is written there.
    pub address: String,
}

impl fmt::Display for FixedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.address)
    }
}
