//! The address of who asks: the socket's, or what a trusted proxy says.

use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// A text is not a network.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a network; write an address, or an address and its length, such as 10.0.0.0/8")]
pub struct NetworkError;

impl Network {
    /// Whether `address` lies in it. An IPv4 address written as IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - self.bits)).unwrap_or(0);
                u32::from(first) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let mask = u128::MAX
                    .checked_shl(u32::from(128 - self.bits))
                    .unwrap_or(0);
                u128::from(first) & mask == u128::from(address) & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| NetworkError)?,
            None => most,
        };
        if bits > most {
            return Err(NetworkError);
        }
        Ok(Self { first, bits })
    }
}

/// Who asks. `forwarded` are the values of `X-Forwarded-For`, in the order in which they came.
///
/// Read from the right: each proxy adds whom it heard from, so the first address that is not one of
/// ours is the client, and all to the left of it is what that client claims. Something that is no
/// address ends the reading: then the last proxy that was understood stands for the client.
#[must_use]
pub fn address(socket: IpAddr, forwarded: &[&str], trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = socket.to_canonical();
    for hop in forwarded.iter().rev().flat_map(|value| value.rsplit(',')) {
        if !is_trusted(client) {
            return client;
        }
        let Ok(hop) = hop.trim().parse::<IpAddr>() else {
            return client;
        };
        client = hop.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(socket: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<Network> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        address(socket.parse().unwrap(), forwarded, &trusted).to_string()
    }

    #[test]
    fn a_header_from_nobody_we_know_is_not_believed() {
        assert_eq!(from("192.0.2.1", &["198.51.100.7"], &[]), "192.0.2.1");
        assert_eq!(
            from("192.0.2.1", &["198.51.100.7"], &["10.0.0.0/8"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn what_the_client_claims_left_of_itself_is_not_believed() {
        let claimed = ["203.0.113.9, 198.51.100.7"];
        assert_eq!(from("10.0.0.1", &claimed, &["10.0.0.0/8"]), "198.51.100.7");
        let two = ["203.0.113.9", "198.51.100.7, 10.9.9.9"];
        assert_eq!(from("10.0.0.1", &two, &["10.0.0.0/8"]), "198.51.100.7");
    }

    #[test]
    fn nonsense_ends_the_reading() {
        assert_eq!(
            from("10.0.0.1", &["198.51.100.7, unknown"], &["10.0.0.0/8"]),
            "10.0.0.1"
        );
    }

    #[test]
    fn networks_hold_what_they_say() {
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("198.51.100.7".parse().unwrap()));
        assert!(!all.contains("2001:db8::1".parse().unwrap()));
        let one: Network = "2001:db8::1".parse().unwrap();
        assert!(!one.contains("2001:db8::2".parse().unwrap()));
        let mapped: Network = "10.0.0.0/8".parse().unwrap();
        assert!(mapped.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("10.0.0/8".parse::<Network>().is_err());
    }
}
