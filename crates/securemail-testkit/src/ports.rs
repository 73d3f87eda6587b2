//! Ports for servers that are told theirs before they start.
//!
//! A port of the system's choice (port 0) is nobody's again once it is let go, and any socket that opens
//! meanwhile may get it. These lie below the range the system chooses from (Linux: `ip_local_port_range`,
//! from 32,768), and each is given out once in a process.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

const RANGE: Range<u16> = 10_000..30_000;

/// Processes that run side by side begin this far apart.
const STRIDE: u32 = 97;

static GIVEN: AtomicU16 = AtomicU16::new(0);

/// A port of `host` that is free for TCP and for UDP.
///
/// # Errors
/// `AddrInUse` if this process was given all there are; whatever the system says of `host` otherwise.
pub fn free(host: impl Into<IpAddr>) -> io::Result<SocketAddr> {
    let host = host.into();
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        if given >= RANGE.end - RANGE.start {
            GIVEN.fetch_sub(1, Ordering::Relaxed);
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let address = SocketAddr::new(host, nth(std::process::id(), given));
        match TcpListener::bind(address).and_then(|_tcp| UdpSocket::bind(address)) {
            Ok(_) => return Ok(address),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}

/// The `given`th port of a process: each once, and then again from the first.
fn nth(process: u32, given: u16) -> u16 {
    let size = u32::from(RANGE.end - RANGE.start);
    let offset = (process % size * STRIDE + u32::from(given)) % size;
    // Below the size of the range, which is one of ports.
    u16::try_from(offset).map_or(RANGE.start, |offset| RANGE.start + offset)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_port_is_given_once_and_can_be_listened_on() {
        let mut seen = HashSet::new();
        for _ in 0..50 {
            let address = free(Ipv4Addr::LOCALHOST).unwrap();
            assert!(RANGE.contains(&address.port()));
            assert!(seen.insert(address.port()));
            drop(TcpListener::bind(address).unwrap());
        }
    }

    #[test]
    fn a_port_that_somebody_has_is_passed_over() {
        let host = Ipv4Addr::new(127, 99, 98, 97);
        let first = free(host).unwrap();
        // Takes what would come next, unless another test was given it in the same moment.
        let next = SocketAddr::new(first.ip(), first.port() + 1);
        let _taken = UdpSocket::bind(next).unwrap();
        assert_ne!(free(host).unwrap(), next);
    }

    #[test]
    fn every_process_has_the_whole_range() {
        for process in [1, 4_711, u32::MAX] {
            let size = RANGE.end - RANGE.start;
            let all: HashSet<u16> = (0..size).map(|given| nth(process, given)).collect();
            assert_eq!(all.len(), usize::from(size));
            assert!(all.iter().all(|port| RANGE.contains(port)));
        }
    }
}
