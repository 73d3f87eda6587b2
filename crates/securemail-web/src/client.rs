//! The address of who asks: the socket's, or what a trusted proxy says.

use std::net::IpAddr;

use securemail_core::route::Network;

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
}
