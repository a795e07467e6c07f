//! Where a request really comes from.
//!
//! A client may send any header. What is believed: the last `spin-client-addr` (the host adds it
//! after the client's own); behind a trusted proxy, what that proxy appended to `X-Forwarded-For`;
//! on calls between components, what the platform itself says.

use std::net::IpAddr;

use crate::host::Headers;

/// The header in which one component tells another who the client is.
pub(crate) const CLIENT_ADDRESS: &str = "x-nokube-client-address";

/// The client's address, if the host says any.
///
/// `trusted_proxies` are addresses and networks (`10.0.0.0/8`), separated by commas; or how many proxies a request
/// comes through (`1`), where nobody knows their addresses and nobody else can connect. In a network that is shared
/// with strangers, an address says nothing: any of them is a proxy then, and says what it likes.
pub(crate) fn client_address(
    headers: &Headers,
    trusted_proxies: &str,
    from_platform: bool,
) -> Option<IpAddr> {
    if from_platform && let Some(address) = headers.last(CLIENT_ADDRESS).and_then(parse_address) {
        return Some(address);
    }
    let peer = headers.last("spin-client-addr").and_then(parse_address)?;
    if let Ok(proxies) = trusted_proxies.trim().parse::<usize>() {
        return Some(behind(proxies, headers).unwrap_or(peer));
    }
    if !is_in(peer, trusted_proxies) {
        return Some(peer);
    }
    // From the right, the first that is no proxy of ours is the client.
    for hop in hops(headers).iter().rev() {
        match parse_address(hop) {
            Some(address) if is_in(address, trusted_proxies) => {}
            Some(address) => return Some(address),
            None => break,
        }
    }
    Some(peer)
}

/// Each proxy appends its peer: the first of ours met the client, and wrote it so many places from the right.
fn behind(proxies: usize, headers: &Headers) -> Option<IpAddr> {
    let hops = hops(headers);
    let place = hops.len().checked_sub(proxies)?;
    parse_address(hops.get(place)?)
}

fn hops(headers: &Headers) -> Vec<&str> {
    headers
        .all("x-forwarded-for")
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect()
}

/// An address with or without a port; IPv4 in IPv6 becomes IPv4.
fn parse_address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok().or_else(|| {
        text.parse::<std::net::SocketAddr>()
            .ok()
            .map(|socket| socket.ip())
    })?;
    Some(address.to_canonical())
}

fn is_in(address: IpAddr, networks: &str) -> bool {
    networks
        .split(',')
        .map(str::trim)
        .filter(|network| !network.is_empty())
        .any(|network| {
            let (base, length) = network
                .split_once('/')
                .map_or((network, None), |(base, length)| (base, Some(length)));
            let Some(base) = parse_address(base) else {
                return false;
            };
            let bits = if base.is_ipv4() { 32 } else { 128 };
            let Ok(length) = length.map_or(Ok(bits), str::parse::<u32>) else {
                return false;
            };
            length <= bits
                && base.is_ipv4() == address.is_ipv4()
                && prefix(base, length) == prefix(address, length)
        })
}

/// The first `length` bits.
fn prefix(address: IpAddr, length: u32) -> u128 {
    let (value, bits) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    // A shift by all 128 bits of a u128 overflows; nothing is left of it.
    value.checked_shr(bits - length).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    fn address(pairs: &[(&str, &str)], proxies: &str, platform: bool) -> Option<String> {
        client_address(&headers(pairs), proxies, platform).map(|address| address.to_string())
    }

    #[test]
    fn the_last_spin_header_counts_and_the_clients_own_does_not() {
        let sent = [
            ("spin-client-addr", "6.6.6.6:1"),
            ("x-forwarded-for", "6.6.6.6"),
            (CLIENT_ADDRESS, "6.6.6.6"),
            ("spin-client-addr", "10.0.0.1:5000"),
        ];
        assert_eq!(address(&sent, "", false).as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn a_trusted_proxy_is_believed_about_its_peer_only() {
        let sent = [
            ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.1.1.1"),
            ("spin-client-addr", "[::ffff:10.0.0.1]:5000"),
        ];
        assert_eq!(
            address(&sent, "10.0.0.0/8", false).as_deref(),
            Some("203.0.113.9")
        );
        assert_eq!(
            address(&sent, "192.168.0.0/16, fd00::/0", false).as_deref(),
            Some("10.0.0.1")
        );
    }

    #[test]
    fn of_so_many_proxies_what_the_first_wrote_counts_and_nothing_before_it() {
        // A neighbour in the gateway's network, who writes what it likes.
        let sent = [
            ("x-forwarded-for", "6.6.6.6, 7.7.7.7"),
            ("x-forwarded-for", "10.1.1.1, 10.0.0.2"),
            ("spin-client-addr", "10.0.0.1:5000"),
        ];
        for (proxies, client) in [("1", "10.0.0.2"), (" 2 ", "10.1.1.1"), ("3", "7.7.7.7")] {
            assert_eq!(address(&sent, proxies, false).as_deref(), Some(client));
        }
        // None, or more than there were.
        for proxies in ["0", "5"] {
            assert_eq!(address(&sent, proxies, false).as_deref(), Some("10.0.0.1"));
        }
        let unknown = [
            ("x-forwarded-for", "6.6.6.6, unknown"),
            ("spin-client-addr", "10.0.0.1:5000"),
        ];
        assert_eq!(address(&unknown, "1", false).as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn the_platform_is_believed() {
        let sent = [
            (CLIENT_ADDRESS, "203.0.113.9"),
            ("spin-client-addr", "127.0.0.1:5000"),
        ];
        assert_eq!(address(&sent, "", true).as_deref(), Some("203.0.113.9"));
    }
}
