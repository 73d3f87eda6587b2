//! What an operator may settle of the decision engine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::vocab::DnsName;

/// Clocks and exceptions of the standard policy.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct PolicySettings {
    /// Where no safe way is found, one more attempt is made after this time before the vault is used.
    pub confirm_after: Duration,
    /// Where a domain is denied without proof, this time passes before the message is refused.
    pub confirm_absence_after: Duration,
    /// What cannot be reached for this time goes into the vault.
    pub divert_after: Duration,
    /// What cannot be settled for this time goes back to its sender.
    pub hold_for: Duration,
    /// Unsigned mail servers that other places see too count only after they were the same for this
    /// time. Zero: from the first look.
    pub stable_for: Duration,
    /// MX addresses that are allowed although they are not on the public Internet.
    pub allow_networks: Vec<Network>,
    /// Names of this relay, by which it finds itself among the mail servers of a domain.
    pub own_hosts: Vec<DnsName>,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self {
            confirm_after: Duration::from_secs(15 * 60),
            confirm_absence_after: Duration::from_secs(10 * 60),
            divert_after: Duration::from_secs(4 * 3600),
            hold_for: Duration::from_secs(5 * 86_400),
            stable_for: Duration::ZERO,
            allow_networks: Vec::new(),
            own_hosts: Vec::new(),
        }
    }
}

impl PolicySettings {
    /// Whether a host may be connected to at this address (MX-18): it is on the public Internet, or
    /// the operator allows it.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        is_allowed(address, &self.allow_networks)
    }
}

/// Whether an address is on the public Internet, or in one of the networks that the operator allows.
#[must_use]
pub fn is_allowed(address: IpAddr, networks: &[Network]) -> bool {
    is_public(address) || networks.iter().any(|network| network.contains(address))
}

/// Addresses that begin with the same bits: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text is not a network.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a network; write it as 10.0.0.0/8 or fd00::/8, or write one address")]
pub struct NetworkError;

impl Network {
    /// Whether an address lies in it. An IPv4 address written as IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.prefix));
                let top = |bits: u32| bits.checked_shr(shift).unwrap_or(0);
                top(ours.to_bits()) == top(theirs.to_bits())
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128_u32.saturating_sub(u32::from(self.prefix));
                let top = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
                top(ours.to_bits()) == top(theirs.to_bits())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix {
            // A sign is no digit (RFC 4632, section 3.1).
            Some(prefix) if prefix.starts_with('+') => return Err(NetworkError),
            Some(prefix) => prefix.parse().map_err(|_| NetworkError)?,
            None => most,
        };
        if prefix > most {
            return Err(NetworkError);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Special-purpose blocks in which a connection might reach a machine of ours, or nobody (RFC 6890).
/// Networks for documentation are not among them: nothing can be reached there.
const NOT_PUBLIC: [Network; 18] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([224, 0, 0, 0], 3),
    v6([0, 0, 0], 8),
    v6([0x64, 0xff9b, 1], 48),
    v6([0x100, 0, 0], 64),
    v6([0x2001, 0, 0], 23),
    v6([0xfc00, 0, 0], 7),
    v6([0xfe80, 0, 0], 9),
    v6([0xff00, 0, 0], 8),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Network {
    let address = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    Network { address, prefix }
}

/// What follows the first groups is zero.
const fn v6([a, b, c]: [u16; 3], prefix: u8) -> Network {
    let address = IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0));
    Network { address, prefix }
}

/// Whether an address is on the public Internet. An IPv4 address inside an IPv6 one is what it is.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    let inner = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                Some((high, low))
            }
            [0x2002, high, low, ..] => Some((high, low)),
            _ => None,
        },
    };
    if let Some((high, low)) = inner {
        let bits = (u32::from(high) << 16) | u32::from(low);
        return is_public(IpAddr::V4(bits.into()));
    }
    !NOT_PUBLIC.iter().any(|network| network.contains(address))
}
