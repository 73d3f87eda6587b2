//! Which addresses may be connected to on behalf of somebody else's domain.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A text is not a network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} is not a network; write \"127.0.0.0/8\" or \"fd00::/8\"")]
pub struct NotANetwork(String);

/// Networks that are allowed although they are not public.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Networks(Vec<(IpAddr, u8)>);

impl Networks {
    /// Reads `ADDRESS/BITS`, or a single address.
    ///
    /// # Errors
    /// Where a text is neither.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, NotANetwork> {
        let network = |text: &S| {
            let text = text.as_ref();
            network(text).ok_or_else(|| NotANetwork(text.to_owned()))
        };
        texts
            .iter()
            .map(network)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the address may be connected to: it is public, or in one of these networks.
    #[must_use]
    pub fn permit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || self
                .0
                .iter()
                .any(|(network, bits)| contains(*network, *bits, address))
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = if bits.is_empty() {
        most
    } else {
        bits.parse().ok()?
    };
    (bits <= most).then_some((address, bits))
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let (network, address, width) = match (network, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits().into(), other.to_bits().into(), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128_u32),
        _ => return false,
    };
    let shift = width.saturating_sub(bits.into());
    let prefix = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
    prefix(network) == prefix(address)
}

/// Whether the address is reachable from everywhere, by the special-purpose registries (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    const SPECIAL: [(Ipv4Addr, u8); 15] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network
        (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
        (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by carriers
        (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
        (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local
        (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
        (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
        (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
        (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays, withdrawn
        (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
        (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
        (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
        (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
        (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
        (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, and broadcast
    ];
    !SPECIAL
        .iter()
        .any(|(network, bits)| contains((*network).into(), *bits, address.into()))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    /// Inside 2000::/3, which is all that is handed out.
    const SPECIAL: [(Ipv6Addr, u8); 5] = [
        (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
        (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: an IPv4 address in disguise
        (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16), // 6bone, withdrawn
        (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
    ];
    let within = |network: Ipv6Addr, bits| contains(network.into(), bits, address.into());
    // The well-known prefix of NAT64 carries a public IPv4 address, or it is not used (RFC 6052, section 3.1).
    if within(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96) {
        let low = u32::try_from(address.to_bits() & u128::from(u32::MAX)).unwrap_or(0);
        return is_public_v4(Ipv4Addr::from_bits(low));
    }
    within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
        && !SPECIAL
            .iter()
            .any(|(network, bits)| within(*network, *bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(networks: &[&str], address: &str) -> bool {
        Networks::parse(networks)
            .unwrap()
            .permit(address.parse().unwrap())
    }

    #[test]
    fn private_addresses_are_refused_in_every_disguise() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!permit(&[], address), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_permitted() {
        for address in ["9.9.9.9", "2620:fe::fe", "64:ff9b::909:909", "172.32.0.1"] {
            assert!(permit(&[], address), "{address}");
        }
    }

    #[test]
    fn a_named_network_is_permitted_and_no_other() {
        assert!(permit(&["127.0.0.0/8"], "127.9.9.9"));
        assert!(permit(&["127.0.0.0/8"], "::ffff:127.0.0.1"));
        assert!(!permit(&["127.0.0.0/8"], "10.0.0.1"));
        assert!(permit(&["10.0.0.1"], "10.0.0.1"));
        assert!(!permit(&["10.0.0.1"], "10.0.0.2"));
        assert!(permit(&["0.0.0.0/0"], "10.0.0.2"));
        assert!(!permit(&["0.0.0.0/0"], "::1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "example", "127.0.0.0/33", "::/129", "127.0.0.0/-1"] {
            assert!(Networks::parse(&[text]).is_err(), "{text}");
        }
    }
}
