//! Who asks: the peer of the connection, or the client that a proxy in front speaks for.
//!
//! The rule for `X-Forwarded-For` is that of the platform's components (`crates/guest`, `address`): the
//! last hop that is no trusted proxy. What untrusted peers say is not believed, but for one thing: a
//! request that says it was forwarded is not of this machine.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use http::header::{FORWARDED, HeaderMap, HeaderName, VIA};
use nokube_engine::Client;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What proxies add to a request that they pass on.
const OF_PROXIES: [HeaderName; 6] = [
    FORWARDED,
    VIA,
    X_FORWARDED_FOR,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The client; its port is 0 when a proxy speaks for it.
    pub(crate) client: Client,
    /// A program of this machine, without a proxy in between.
    pub(crate) is_this_machine: bool,
}

/// The proxies in front.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    trusted: Vec<Network>,
    /// There is one on this machine whose address nobody told: a platform with a public address that
    /// listens on loopback.
    any_on_loopback: bool,
}

impl Proxies {
    /// `trusted` are addresses and networks (`10.0.0.0/8`), separated by commas. `has_public_url`: users
    /// reach the platform by another address than the one it listens on.
    ///
    /// # Errors
    /// The first that is neither an address nor a network.
    pub(crate) fn parse(trusted: &str, has_public_url: bool) -> anyhow::Result<Self> {
        let trusted = trusted
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| {
                Network::parse(text).with_context(|| {
                    format!("--trusted-proxies: {text:?} is neither an address nor a network")
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            any_on_loopback: has_public_url && trusted.is_empty(),
            trusted,
        })
    }

    /// Who sent a request with these headers over a connection of `peer`.
    pub(crate) fn caller(&self, headers: &HeaderMap, peer: Client) -> Caller {
        let address = peer.addr.ip().to_canonical();
        let is_trusted = self.trusts(address);
        let is_proxy = is_trusted || (self.any_on_loopback && address.is_loopback());
        let is_forwarded = OF_PROXIES.iter().any(|name| headers.contains_key(name));
        let mut client = peer;
        if is_trusted && let Some(address) = self.forwarded_for(headers) {
            client.addr = SocketAddr::new(address, 0);
        }
        Caller {
            client,
            is_this_machine: address.is_loopback() && !is_proxy && !is_forwarded,
        }
    }

    /// Whether an address is one of them.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.holds(address))
    }

    /// Each hop appends its peer. From the right, the first that is no proxy of ours is the client.
    fn forwarded_for(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let values: Vec<&str> = headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .map(|value| value.to_str().unwrap_or_default())
            .collect();
        let hops = values.iter().rev().flat_map(|value| value.rsplit(','));
        for hop in hops {
            let address = parse_address(hop.trim())?;
            if !self.trusts(address) {
                return Some(address);
            }
        }
        None
    }
}

/// Addresses with the same first bits.
#[derive(Debug, Clone, Copy)]
struct Network {
    base: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base = parse_address(base)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { base, bits })
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.base.is_ipv4() == address.is_ipv4()
            && prefix(self.base, self.bits) == prefix(address, self.bits)
    }
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

/// An address with or without a port; IPv4 in IPv6 becomes IPv4.
fn parse_address(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    use http::HeaderValue;

    fn caller(proxies: &Proxies, peer: &str, headers: &[(&'static str, &str)]) -> (String, bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let caller = proxies.caller(&map, Client::new(peer.parse().unwrap()));
        (caller.client.addr.to_string(), caller.is_this_machine)
    }

    fn proxies(trusted: &str, has_public_url: bool) -> Proxies {
        Proxies::parse(trusted, has_public_url).unwrap()
    }

    #[test]
    fn without_a_proxy_the_peer_counts_and_what_it_says_does_not() {
        let none = proxies("", false);
        let of = |peer, headers: &[_]| caller(&none, peer, headers);
        assert_eq!(of("127.0.0.1:9", &[]), ("127.0.0.1:9".into(), true));
        assert_eq!(of("[::1]:9", &[]), ("[::1]:9".into(), true));
        assert_eq!(of("192.0.2.1:9", &[]), ("192.0.2.1:9".into(), false));
        // A stranger can't claim to be this machine; a proxy nobody told of is not taken for it.
        let claim = [("x-forwarded-for", "127.0.0.1")];
        assert_eq!(of("192.0.2.1:9", &claim), ("192.0.2.1:9".into(), false));
        assert_eq!(of("127.0.0.1:9", &claim), ("127.0.0.1:9".into(), false));
    }

    #[test]
    fn what_a_proxy_passes_on_is_never_of_this_machine() {
        for (trusted, has_public_url) in [("127.0.0.1, ::1", false), ("", true), ("::/0", true)] {
            let proxies = proxies(trusted, has_public_url);
            for headers in [
                [].as_slice(),
                &[("x-forwarded-for", "127.0.0.1")],
                &[("x-forwarded-for", "127.0.0.1, 203.0.113.9")],
                &[("via", "1.1 proxy")],
                &[("x-real-ip", "127.0.0.1")],
            ] {
                let (_, is_this_machine) = caller(&proxies, "[::1]:9", headers);
                assert!(!is_this_machine, "{trusted} {headers:?}");
            }
        }
        // The proxy is elsewhere: this machine's programs are still its own.
        let elsewhere = proxies("10.0.0.5", true);
        assert!(caller(&elsewhere, "127.0.0.1:9", &[]).1);
    }

    #[test]
    fn a_trusted_proxy_is_believed_about_its_peer_only() {
        let trusted = proxies("10.0.0.0/8, 127.0.0.1", false);
        let sent = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "203.0.113.9:4711, 10.1.1.1"),
        ];
        for peer in ["10.0.0.1:9", "[::ffff:10.0.0.1]:9", "127.0.0.1:9"] {
            assert_eq!(caller(&trusted, peer, &sent).0, "203.0.113.9:0");
        }
        assert_eq!(caller(&trusted, "192.0.2.1:9", &sent).0, "192.0.2.1:9");
        let broken = [("x-forwarded-for", "203.0.113.9, unknown")];
        assert_eq!(caller(&trusted, "10.0.0.1:9", &broken).0, "10.0.0.1:9");
        assert_eq!(caller(&trusted, "10.0.0.1:9", &[]).0, "10.0.0.1:9");
    }

    #[test]
    fn what_is_no_network_is_said() {
        for bad in ["proxy", "10.0.0.0/33", "10.0.0.0/x", "::1/129", "/8"] {
            let text = format!("127.0.0.1,{bad}");
            let error = Proxies::parse(&text, false).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }
}
