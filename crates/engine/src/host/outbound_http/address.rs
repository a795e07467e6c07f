//! Which addresses belong to the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Azure's host agent, which hands out secrets at an address of a public range.
const AZURE_WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// Whether a tenant may connect to `address`.
///
/// Not public are, after the registries of RFC 6890: this machine, private and shared networks, link-local addresses
/// (metadata services), multicast, broadcast and reserved ranges, and every IPv6 form that carries such an IPv4 address.
/// The ranges for documentation are let through: they lead nowhere, except where somebody put something there on
/// purpose.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Whether `address` is one of this machine's own, which its own programs reach past any firewall, whatever range it is
/// of. Nothing is sent: only the way to the address is looked up, and from one's own one comes as oneself.
pub(super) fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Any port will do.
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    // Without a way there it is somebody else's.
    from.is_ok_and(|from| from.ip() == address)
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_refused = match (a, b, c) {
        // "This" network, RFC 1122: Linux takes it for this machine.
        (0, ..)
        // Shared address space, RFC 6598. Some clouds have metadata there (100.100.100.200).
        | (100, 64..=127, _)
        // IETF protocol assignments, RFC 6890. One cloud has metadata at 192.0.0.192.
        | (192, 0, 0)
        // Benchmarks, RFC 2544: private networks by another name.
        | (198, 18 | 19, _)
        // Multicast, reserved, broadcast.
        | (224..=255, ..) => true,
        _ => address.is_loopback() || address.is_private() || address.is_link_local(),
    };
    !is_refused && address != AZURE_WIRE_SERVER
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Unspecified, loopback and IPv4-compatible (RFC 4291): nothing of it is in use but the first two.
        [0, 0, 0, 0, 0, 0, _, _] => false,
        // IPv4-mapped, RFC 4291, and its translated sister, RFC 2765.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            embedded(high, low)
        }
        // NAT64, RFC 6052.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // NAT64 within a network, RFC 8215.
        [0x64, 0xff9b, 1, ..] => false,
        // Discard, RFC 6666.
        [0x100, 0, 0, 0, ..] => false,
        // Teredo, RFC 4380: the client's address is inverted, the server's is in clear; a tunnel either way.
        [0x2001, 0, ..] => false,
        // 6to4, RFC 3056.
        [0x2002, high, low, ..] => embedded(high, low),
        // Segment routing within a network, RFC 9602.
        [0x5f00, ..] => false,
        [first, ..] => {
            let unique_local = first & 0xfe00 == 0xfc00;
            let link_local = first & 0xffc0 == 0xfe80;
            let site_local = first & 0xffc0 == 0xfec0;
            let multicast = first & 0xff00 == 0xff00;
            !(unique_local || link_local || site_local || multicast)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One table for both lists of ranges; the other one is that of `crates/domain`.
    #[test]
    fn addresses_are_public_or_not_as_the_common_table_says() {
        let table = include_str!("../../../../domain/src/git_source/addresses.txt");
        for line in table.lines() {
            let Some((kind, address)) = line.split_once(' ').filter(|(kind, _)| *kind != "#")
            else {
                continue;
            };
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(is_public(address), kind == "public", "{line}");
        }
    }

    #[test]
    fn this_machine_knows_its_own_addresses() {
        let own = |text: &str| is_own(text.parse().unwrap());
        assert!(own("127.0.0.1") && own("::ffff:127.0.0.1"));
        assert!(!own("192.0.2.1") && !own("203.0.113.9"));
        // Whatever address this machine has towards others.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:9").is_ok() {
            assert!(is_own(socket.local_addr().unwrap().ip()));
        }
    }
}
