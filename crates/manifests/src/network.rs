//! Who may talk to whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nokube_domain::Invalid;

/// A network: an address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8` or `fd00::/8`; an address alone is the network of that one.
    ///
    /// # Errors
    /// Anything else, and addresses with bits beyond their network.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("must be a network, such as 10.0.0.0/8");
        let (address, bits) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            "" if !text.contains('/') => width,
            bits => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= width)
                .ok_or_else(refused)?,
        };
        let network = Self { address, bits };
        if network.first() == address {
            Ok(network)
        } else {
            Err(Invalid::new("has bits beyond its network"))
        }
    }

    /// Its address with all other bits cleared.
    fn first(self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }
}
