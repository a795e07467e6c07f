//! The internet, as a policy can say it: everything without what is not it.
//!
//! The same ranges as those of the embedded engine and of builds (one table of examples holds the lists
//! together). A policy knows addresses alone, so the API server of a cluster with public addresses is
//! the operator's to deny.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nokube_domain::Invalid;

const ALL_V4: &str = "0.0.0.0/0";
/// All addresses that are given out as public ones (RFC 4291, section 2.4, and IANA's registry).
const GLOBAL_V6: &str = "2000::/3";
/// Addresses of IPv4 for those who have IPv6 alone (NAT64, RFC 6052): the last 32 bits.
const NAT64: &str = "64:ff9b::/96";

/// What is within [`ALL_V4`] and not the internet.
const CLOSED_V4: [&str; 11] = [
    // "This" network, RFC 1122.
    "0.0.0.0/8",
    // Private, RFC 1918.
    "10.0.0.0/8",
    // Shared address space, RFC 6598. Some clouds have metadata there (100.100.100.200).
    "100.64.0.0/10",
    // Loopback, RFC 1122.
    "127.0.0.0/8",
    // Azure's wire server, metadata by a public address.
    "168.63.129.16/32",
    // Link-local, RFC 3927: metadata of most clouds.
    "169.254.0.0/16",
    // Private, RFC 1918.
    "172.16.0.0/12",
    // IETF protocol assignments, RFC 6890. One cloud has metadata at 192.0.0.192.
    "192.0.0.0/24",
    // Private, RFC 1918.
    "192.168.0.0/16",
    // Benchmarks, RFC 2544: private networks by another name.
    "198.18.0.0/15",
    // Multicast, reserved, broadcast.
    "224.0.0.0/3",
];

/// What is within [`GLOBAL_V6`] and not the internet: tunnels to IPv4 addresses of any kind, Teredo
/// (RFC 4380) and 6to4 (RFC 3056), both out of use.
const CLOSED_V6: [&str; 2] = ["2001::/32", "2002::/16"];

/// A network: an address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    first: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8` or `fd00::/8`; an address alone is the network of that one.
    ///
    /// # Errors
    /// Anything else, and addresses with bits beyond their network.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("must be a network, such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= width)
                .ok_or_else(refused)?,
            None => width,
        };
        let network = Self {
            first: cleared(address, bits),
            bits,
        };
        if network.first == address {
            Ok(network)
        } else {
            Err(Invalid::new("has bits beyond its network"))
        }
    }

    fn contains(self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && cleared(address, self.bits) == self.first
    }

    /// Whether `other` is a part of it, and not all of it: an exception must not be everything.
    fn has_within(self, other: Self) -> bool {
        self.bits < other.bits && self.contains(other.first)
    }

    /// A network of IPv4 as NAT64 has it.
    fn through_nat64(self, nat64: Self) -> Option<Self> {
        let (IpAddr::V4(address), IpAddr::V6(prefix)) = (self.first, nat64.first) else {
            return None;
        };
        let first = Ipv6Addr::from_bits(prefix.to_bits() | u128::from(address.to_bits()));
        Some(Self {
            first: first.into(),
            bits: nat64.bits + self.bits,
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// `address` with all but its first `bits` bits 0.
fn cleared(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// The internet without `denied`, as networks with their exceptions.
pub(super) fn internet(denied: &[String]) -> Vec<(String, Vec<String>)> {
    let denied: Vec<Cidr> = networks(denied).collect();
    let [all_v4, global_v6, nat64] =
        [ALL_V4, GLOBAL_V6, NAT64].map(|text| Cidr::parse(text).expect("a network written by us"));
    let closed_v4: Vec<Cidr> = networks(CLOSED_V4).chain(denied.iter().copied()).collect();
    let closed_v6 = networks(CLOSED_V6).chain(denied.iter().copied()).collect();
    let closed_nat64 = closed_v4
        .iter()
        .filter_map(|network| network.through_nat64(nat64))
        .chain(denied)
        .collect();
    [
        (all_v4, closed_v4),
        (global_v6, closed_v6),
        (nat64, closed_nat64),
    ]
    .into_iter()
    .filter_map(|(all, closed)| without(all, closed))
    .collect()
}

/// `all` and those of `closed` that are within it; nothing when it is closed altogether.
fn without(all: Cidr, closed: Vec<Cidr>) -> Option<(String, Vec<String>)> {
    let is_closed = |network: &Cidr| network.bits <= all.bits && network.contains(all.first);
    if closed.iter().any(is_closed) {
        return None;
    }
    let except: Vec<String> = closed
        .into_iter()
        .filter(|network| all.has_within(*network))
        .map(|network| network.to_string())
        .collect();
    Some((all.to_string(), except))
}

/// What is a network among `texts`. Settings are checked when they are read.
pub(super) fn networks<T: AsRef<str>>(
    texts: impl IntoIterator<Item = T>,
) -> impl Iterator<Item = Cidr> {
    texts
        .into_iter()
        .filter_map(|text| Cidr::parse(text.as_ref()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_reached(address: &str, denied: &[&str]) -> bool {
        let denied: Vec<String> = denied.iter().map(|text| (*text).to_owned()).collect();
        // A mapped address is IPv4 once it is on a wire.
        let address = address.parse::<IpAddr>().unwrap().to_canonical();
        internet(&denied).into_iter().any(|(network, except)| {
            Cidr::parse(&network).unwrap().contains(address)
                && !networks(&except).any(|cut| cut.contains(address))
        })
    }

    #[test]
    fn the_internet_is_what_it_is_for_the_engine() {
        // Nothing is behind these: a translated form, a tunnel out of use, and what was never given out.
        let closed_here = ["::ffff:0:1.1.1.1", "2002:101:101::1", "5eff::1"];
        let table = include_str!("../../../domain/src/git_source/addresses.txt");
        let mut seen = 0;
        for line in table.lines() {
            let Some((kind, address)) = line.split_once(' ').filter(|(kind, _)| *kind != "#")
            else {
                continue;
            };
            let is_public = kind == "public" && !closed_here.contains(&address);
            assert_eq!(is_reached(address, &[]), is_public, "{line}");
            seen += 1;
        }
        assert!(seen > 50);
    }

    #[test]
    fn what_the_operator_denies_is_not_reached_either() {
        let denied = ["203.0.113.10", "2001:db8:1::/48", "10.1.0.0/16"];
        for closed in ["203.0.113.10", "64:ff9b::203.0.113.10", "2001:db8:1::5"] {
            assert!(is_reached(closed, &[]), "{closed}");
            assert!(!is_reached(closed, &denied), "{closed}");
        }
        assert!(is_reached("203.0.113.11", &denied));
        assert!(is_reached("2001:db8:2::5", &denied));
        let everything = ["0.0.0.0/0", "::/0"].map(str::to_owned);
        assert_eq!(internet(&everything), []);
    }

    #[test]
    fn exceptions_are_parts_of_their_network() {
        let denied = ["9.9.9.9/32", "2001:db8::/32", "fd00::/8"].map(str::to_owned);
        for (network, except) in internet(&denied) {
            let network = Cidr::parse(&network).unwrap();
            assert!(!except.is_empty());
            for cut in except {
                assert!(network.has_within(Cidr::parse(&cut).unwrap()), "{cut}");
            }
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "fd00::/129",
            "a/8",
            "10.0.0.0/",
            "10.0.0.0/-1",
        ] {
            assert!(Cidr::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Cidr::parse("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(Cidr::parse("::/0").unwrap().to_string(), "::/0");
    }
}
