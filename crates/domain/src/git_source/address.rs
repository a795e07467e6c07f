//! Which network addresses may be fetched from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::GitAccess;

/// Why a network address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// Cloud machines keep credentials there.
    #[error("leads to {0}, a metadata or link-local address, which is never allowed")]
    LinkLocal(IpAddr),
    /// `0.0.0.0`, multicast, broadcast, reserved.
    #[error("leads to {0}, which is not the address of one host")]
    NotAHost(IpAddr),
    /// Loopback and private networks, when strangers may ask.
    #[error(
        "leads to {0}, an address of this machine or of a private network, which this platform does not allow"
    )]
    Private(IpAddr),
    /// The platform's own doors.
    #[error("leads to port {1} of {0}, where this platform itself listens")]
    OwnPort(IpAddr, u16),
}

/// Which addresses may be fetched from. `addresses.txt` beside this file holds examples of each range.
#[derive(Debug, Clone, Copy)]
pub struct AddressPolicy<'a> {
    /// Whether loopback and private networks are allowed.
    pub access: GitAccess,
    /// Ports of this machine that are the platform's own.
    pub denied_ports: &'a [u16],
}

impl AddressPolicy<'_> {
    /// Whether `address:port` may be connected to. `own` says that the address is one of this
    /// machine's (loopback always is).
    pub fn check(&self, address: IpAddr, port: u16, own: bool) -> Result<(), AddressRefusal> {
        let inner = embedded(address);
        let kind = classify(inner);
        match kind {
            AddressKind::LinkLocal => return Err(AddressRefusal::LinkLocal(address)),
            AddressKind::NotAHost => return Err(AddressRefusal::NotAHost(address)),
            AddressKind::Private | AddressKind::Loopback if self.access == GitAccess::Public => {
                return Err(AddressRefusal::Private(address));
            }
            _ => {}
        }
        if (own || kind == AddressKind::Loopback)
            && (port == 0 || self.denied_ports.contains(&port))
        {
            return Err(AddressRefusal::OwnPort(address, port));
        }
        Ok(())
    }
}

/// What an address is, as far as the policy asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// Anything reachable by everyone (documentation ranges count: nothing of value answers there).
    Public,
    /// RFC 1918, RFC 6598, unique local and the like.
    Private,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// Link-local, where metadata services live, and the metadata addresses outside of it.
    LinkLocal,
    /// Unspecified, multicast, broadcast, reserved.
    NotAHost,
}

/// The kind of an address; an IPv6 address that carries an IPv4 one counts as that.
#[must_use]
pub fn classify(address: IpAddr) -> AddressKind {
    match embedded(address) {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressKind {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        // "This network" (RFC 791), multicast, reserved and broadcast.
        (0 | 224..=255, _, _) => AddressKind::NotAHost,
        (127, _, _) => AddressKind::Loopback,
        (169, 254, _) => AddressKind::LinkLocal,
        // Alibaba's metadata service, inside RFC 6598's range.
        (100, 100, 100) if address.octets()[3] == 200 => AddressKind::LinkLocal,
        // Azure's platform address ("wire server"), though publicly routable.
        (168, 63, 129) if address.octets()[3] == 16 => AddressKind::LinkLocal,
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => AddressKind::Private,
        // IETF protocol assignments (RFC 6890), benchmarking (RFC 2544).
        (192, 0, 0) | (198, 18..=19, _) => AddressKind::Private,
        _ => AddressKind::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressKind {
    let first = address.segments()[0];
    if address.is_unspecified() || address.is_multicast() {
        AddressKind::NotAHost
    } else if address.is_loopback() {
        AddressKind::Loopback
    } else if first & 0xffc0 == 0xfe80
        || address == Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)
    {
        AddressKind::LinkLocal
    } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 {
        AddressKind::Private
    } else {
        match address.segments() {
            // IPv4-compatible (RFC 4291): nothing of it is in use. Discard-only (RFC 6666).
            [0, 0, 0, 0, 0, 0, ..] | [0x100, 0, 0, 0, ..] => AddressKind::NotAHost,
            // Within a network: its own NAT64 (RFC 8215), segment routing (RFC 9602). Teredo (RFC 4380)
            // is a tunnel to whatever its inverted half says.
            [0x64, 0xff9b, 1, ..] | [0x5f00, ..] | [0x2001, 0, ..] => AddressKind::Private,
            _ => AddressKind::Public,
        }
    }
}

/// The IPv4 address inside an IPv6 one, where a translator would take it from there: mapped (RFC 4291)
/// and its translated sister (RFC 2765), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let s = v6.segments();
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}
