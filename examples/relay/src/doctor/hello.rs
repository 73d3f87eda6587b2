//! A ClientHello that nobody should accept, which no library would send any more (RFC 5246, section 7.4.1.2).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Without forward secrecy, with CBC, or with ciphers that are broken. A server that takes one of these falls below
/// the floor of NCSC-NL (2025-05).
pub const WEAK_CIPHERS: &[u16] = &[
    0xC014, 0xC013, // ECDHE-RSA, AES-CBC, SHA-1
    0xC00A, 0xC009, // ECDHE-ECDSA, AES-CBC, SHA-1
    0xC028, 0xC027, // ECDHE-RSA, AES-CBC, SHA-2
    0xC024, 0xC023, // ECDHE-ECDSA, AES-CBC, SHA-2
    0x009F, 0x009E, 0x0039, 0x0033, // DHE-RSA
    0x009D, 0x009C, 0x003D, 0x003C, 0x0035, 0x002F, // RSA key exchange
    0xC0AF, 0xC0AE, // ECDHE-ECDSA, CCM_8
    0xC012, 0xC008, 0x000A, // 3DES
    0x0005, 0x0004, // RC4
    0xC018, 0x0034, // nobody is authenticated
    0xC010, 0xC006, 0x003B, 0x0002, 0x0001, // nothing is encrypted
];

/// Groups that any server with these ciphers has: P-256, P-384, X25519.
const GROUPS: &[u16] = &[0x0017, 0x0018, 0x001D];
/// ECDSA and RSA with SHA-256, SHA-384, SHA-1.
const SIGNATURES: &[u16] = &[0x0403, 0x0401, 0x0503, 0x0501, 0x0203, 0x0201];

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const SERVER_HELLO: u8 = 2;

/// A record with a ClientHello that goes up to `version` and offers these ciphers.
pub fn client_hello(version: [u8; 2], ciphers: &[u16]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(version);
    // It is never completed, so its randomness is nobody's secret.
    body.extend([0x5A; 32]);
    body.push(0);
    body.extend(with_length(&words(ciphers)));
    body.extend([1, 0]);
    let mut extensions = extension(10, &with_length(&words(GROUPS)));
    extensions.extend(extension(11, &[1, 0]));
    extensions.extend(extension(13, &with_length(&words(SIGNATURES))));
    body.extend(with_length(&extensions));
    let mut handshake = vec![1, 0];
    handshake.extend(with_length(&body));
    let mut record = vec![HANDSHAKE, 3, 1];
    record.extend(with_length(&handshake));
    record
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut octets = kind.to_be_bytes().to_vec();
    octets.extend(with_length(data));
    octets
}

fn words(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

/// Two octets of length, and the data: all that is sent here is short.
fn with_length(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let mut octets = length.to_be_bytes().to_vec();
    octets.extend(data);
    octets
}

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The server goes on with the handshake.
    Accepted,
    /// An alert, or the end.
    Refused,
}

/// Reads the beginning of the answer.
///
/// # Errors
/// Where it is neither TLS nor an end.
pub async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Refusal> {
    let mut head = [0; 6];
    match stream.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if is_an_end(&error) => return Ok(Refusal::Refused),
        Err(error) => return Err(error),
    }
    match head {
        [ALERT, ..] => Ok(Refusal::Refused),
        [HANDSHAKE, _, _, _, _, SERVER_HELLO] => Ok(Refusal::Accepted),
        _ => Err(io::Error::other("the answer is not TLS")),
    }
}

fn is_an_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alert_or_an_end_refuses_and_a_server_hello_accepts() {
        let answer = async |octets: &[u8]| read_answer(&mut &octets[..]).await.ok();
        let refused = Some(Refusal::Refused);
        assert_eq!(answer(&[21, 3, 3, 0, 2, 2, 70]).await, refused);
        assert_eq!(answer(&[]).await, refused);
        let accepted = Some(Refusal::Accepted);
        assert_eq!(answer(&[22, 3, 2, 0, 80, 2, 0]).await, accepted);
        assert_eq!(answer(b"220 hello\r\n").await, None);
    }

    #[test]
    fn its_lengths_fit() {
        let hello = client_hello([3, 2], WEAK_CIPHERS);
        let record = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
        assert_eq!(record, hello.len() - 5);
        let body = usize::from(u16::from_be_bytes([hello[7], hello[8]]));
        assert_eq!((hello[5], hello[6], body), (1, 0, hello.len() - 9));
    }
}
