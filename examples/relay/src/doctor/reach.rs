//! Whether the hosts that take our mail can be reached, as far as that is seen from here (Internet.nl, `mx_reach`).
//!
//! Many networks bring nobody back to their own public address. So what does not answer is wrong only where the
//! address is this machine's own and the listener means to be there; else it is not known.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::listener::reachable;
use super::report::{Level, fail, good, unknown};

/// For a connection and a greeting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to every address on `port`. `listener` is where this relay takes such mail.
pub async fn look(addresses: &[IpAddr], port: u16, listener: SocketAddr) -> (Level, String) {
    let mut unheard = Vec::new();
    for address in addresses {
        if greets(SocketAddr::new(*address, port)).await {
            continue;
        }
        if listener.port() == port && is_here(*address).await && greets(reachable(listener)).await {
            return fail(format!(
                "nobody answers on port {port} of {address}, which is this machine; \
                 let listen.bounces be there too"
            ));
        }
        unheard.push(address.to_string());
    }
    if unheard.is_empty() {
        return good(format!(
            "port {port} answers on {} addresses",
            addresses.len()
        ));
    }
    unknown(format!(
        "port {port} of {} does not answer from here; ask it from outside",
        unheard.join(", ")
    ))
}

async fn greets(server: SocketAddr) -> bool {
    let greeting = async {
        let mut code = [0; 3];
        let mut stream = TcpStream::connect(server).await?;
        stream.read_exact(&mut code).await?;
        Ok::<_, std::io::Error>(&code == b"220")
    };
    matches!(timeout(PATIENCE, greeting).await, Ok(Ok(true)))
}

/// Only an address of this machine can be bound.
async fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).await.is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
    const HERE_TOO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

    async fn serve(greeting: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                drop(stream.write_all(greeting).await);
            }
        });
        address
    }

    #[tokio::test]
    async fn an_address_of_ours_on_which_nobody_listens_is_wrong() {
        let listener = serve(b"220 here\r\n").await;
        let port = listener.port();
        assert_eq!(look(&[HERE], port, listener).await.0, Level::Good);
        let both = [HERE, HERE_TOO];
        assert_eq!(look(&both, port, listener).await.0, Level::Fail);
    }

    #[tokio::test]
    async fn what_does_not_answer_from_here_is_not_known() {
        let listener = serve(b"220 here\r\n").await;
        let port = listener.port();
        // A port that is led elsewhere: the listener is on another one.
        let elsewhere = SocketAddr::new(HERE, 1);
        let led = look(&[HERE, HERE_TOO], port, elsewhere).await;
        assert_eq!(led.0, Level::Unknown);
        // A relay that does not run says nothing about addresses.
        let gone = serve(b"").await;
        assert_eq!(look(&[HERE], gone.port(), gone).await.0, Level::Unknown);
        let busy = serve(b"421 no\r\n").await;
        let level = look(&[HERE], busy.port(), elsewhere).await.0;
        assert_eq!(level, Level::Unknown);
    }
}
