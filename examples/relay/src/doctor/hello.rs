//! ClientHellos that no library would send any more, and the ServerHello that they get (RFC 5246, section 7.4.1).

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
    0xC09D, 0xC09C, 0xC0A1, 0xC0A0, // RSA key exchange, CCM
    0xCCAA, 0xC09F, 0xC09E, // DHE-RSA, ChaCha20 and CCM
    0xC077, 0xC076, 0xC073, 0xC072, 0x0088, 0x0045, 0x0084, 0x0041, // Camellia
    0xC061, 0xC060, 0xC05D, 0xC05C, // ARIA
    0x009A, 0x0096, 0x0007, 0x0009, // SEED, IDEA, DES
];

/// What a server with TLS 1.2 may agree to (NCSC-NL, 2025-05: sufficient).
pub const CIPHERS_1_2: &[u16] = &[0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC02B, 0xC02F];
/// The ciphers of TLS 1.3; the first two are good, the last is sufficient.
pub const CIPHERS_1_3: &[u16] = &[0x1302, 0x1303, 0x1301];

/// Groups that any server with these ciphers has: P-256, P-384, X25519.
pub const GROUPS: &[u16] = &[0x0017, 0x0018, 0x001D];
/// Curves below 256 bits (RFC 8422, section 5.1.1, deprecates them).
pub const SMALL_GROUPS: &[u16] = &[
    0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0007, 0x0008, // sect163k1 to sect239k1
    0x000F, 0x0010, 0x0011, 0x0012, 0x0013, 0x0014, 0x0015, // secp160k1 to secp224r1
];

/// ECDSA, RSA-PSS and RSA with SHA-256, SHA-384, SHA-512; Ed25519.
pub const SIGNATURES: &[u16] = &[
    0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0603, 0x0806, 0x0601, 0x0807,
];
/// ECDSA and RSA with SHA-1.
pub const SIGNATURES_SHA_1: &[u16] = &[0x0203, 0x0201];
/// What an old client would write.
const SIGNATURES_ANY: &[u16] = &[0x0403, 0x0401, 0x0503, 0x0501, 0x0203, 0x0201];

/// The kind of a record (RFC 5246, section 6.2.1).
pub const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const SERVER_HELLO: u8 = 2;
const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
/// RFC 7627.
pub const EXTENDED_MASTER_SECRET: u16 = 23;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
/// RFC 5746.
pub const RENEGOTIATION_INFO: u16 = 0xFF01;
const NO_COMPRESSION: u8 = 0;
const DEFLATE: u8 = 1;
/// A longer record is none (RFC 5246, section 6.2.1).
const RECORD_OCTETS_MAX: usize = 1 << 14;

/// What a client offers.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    /// TLS as far as this.
    pub version: Version,
    pub ciphers: &'a [u16],
    pub groups: &'a [u16],
    pub signatures: &'a [u16],
    /// What an earlier handshake ended with, for a new one on its connection (RFC 5746, section 3.5).
    pub verify_data: &'a [u8],
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    Tls1_1,
    Tls1_2,
    Tls1_3,
}

impl Offer<'static> {
    /// What nobody should accept.
    pub const fn weak(version: Version) -> Self {
        Self {
            version,
            ciphers: WEAK_CIPHERS,
            groups: GROUPS,
            signatures: SIGNATURES_ANY,
            verify_data: &[],
        }
    }

    /// What every good server accepts that knows the version.
    pub const fn strong(version: Version) -> Self {
        let ciphers = match version {
            Version::Tls1_1 | Version::Tls1_2 => CIPHERS_1_2,
            Version::Tls1_3 => CIPHERS_1_3,
        };
        Self {
            ciphers,
            signatures: SIGNATURES,
            ..Self::weak(version)
        }
    }
}

impl Offer<'_> {
    /// A record with the ClientHello.
    pub fn record(&self) -> Vec<u8> {
        let mut record = vec![HANDSHAKE, 3, 1];
        record.extend(with_length(&self.message()));
        record
    }

    /// The ClientHello by itself.
    pub fn message(&self) -> Vec<u8> {
        let mut body = vec![
            3,
            if self.version == Version::Tls1_1 {
                2
            } else {
                3
            },
        ];
        // It is never completed, so its randomness is nobody's secret.
        body.extend([0x5A; 32]);
        body.push(0);
        body.extend(with_length(&words(self.ciphers)));
        // TLS 1.3 knows no compression and refuses whoever offers it (RFC 8446, section 4.1.2).
        match self.version {
            Version::Tls1_1 | Version::Tls1_2 => body.extend([2, DEFLATE, NO_COMPRESSION]),
            Version::Tls1_3 => body.extend([1, NO_COMPRESSION]),
        }
        body.extend(with_length(&self.extensions()));
        let mut message = vec![1, 0];
        message.extend(with_length(&body));
        message
    }

    fn extensions(&self) -> Vec<u8> {
        let mut extensions = extension(SUPPORTED_GROUPS, &with_length(&words(self.groups)));
        extensions.extend(extension(
            SIGNATURE_ALGORITHMS,
            &with_length(&words(self.signatures)),
        ));
        if self.version == Version::Tls1_3 {
            extensions.extend(extension(SUPPORTED_VERSIONS, &[2, 3, 4]));
            // No share: the server names its choice and asks for one (RFC 8446, section 4.1.4).
            extensions.extend(extension(KEY_SHARE, &[0, 0]));
            return extensions;
        }
        extensions.extend(extension(POINT_FORMATS, &[1, 0]));
        extensions.extend(extension(EXTENDED_MASTER_SECRET, &[]));
        let length = u8::try_from(self.verify_data.len()).unwrap_or(u8::MAX);
        let info = [&[length], self.verify_data].concat();
        extensions.extend(extension(RENEGOTIATION_INFO, &info));
        extensions
    }
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

/// What a server answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// It goes on with the handshake; what it chose, where that could be read.
    Accepted(Option<ServerHello>),
    /// An alert, or the end.
    Refused,
}

/// What a server chose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerHello {
    pub cipher: u16,
    /// Whether what is sent is compressed.
    pub compresses: bool,
    /// Its extensions, by number.
    pub extensions: Vec<u16>,
}

/// Reads the beginning of the answer.
///
/// # Errors
/// Where it is neither TLS nor an end.
pub async fn read_reply(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Reply> {
    let mut head = [0; 6];
    match stream.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if is_an_end(&error) => return Ok(Reply::Refused),
        Err(error) => return Err(error),
    }
    let [kind, _, _, high, low, first] = head;
    match (kind, first) {
        (ALERT, _) => return Ok(Reply::Refused),
        (HANDSHAKE, SERVER_HELLO) => {}
        _ => return Err(io::Error::other("the answer is not TLS")),
    }
    let length = usize::from(u16::from_be_bytes([high, low])).min(RECORD_OCTETS_MAX);
    let mut rest = vec![0; length.saturating_sub(1)];
    // Whoever begins a ServerHello goes on with the handshake, even where the rest cannot be read.
    if stream.read_exact(&mut rest).await.is_err() {
        return Ok(Reply::Accepted(None));
    }
    Ok(Reply::Accepted(ServerHello::read(&rest)))
}

impl ServerHello {
    /// Reads what follows the type of the message.
    fn read(octets: &[u8]) -> Option<Self> {
        let mut reader = Reader(octets);
        let [_, high, low] = reader.array()?;
        let mut body = Reader(reader.take(usize::from(u16::from_be_bytes([high, low])))?);
        // Version and randomness.
        body.take(34)?;
        let [session] = body.array()?;
        body.take(usize::from(session))?;
        let cipher = u16::from_be_bytes(body.array()?);
        let [compression] = body.array()?;
        let mut extensions = Vec::new();
        // A server of TLS 1.2 may leave extensions out as a whole.
        if !body.0.is_empty() {
            let length = u16::from_be_bytes(body.array()?);
            let mut block = Reader(body.take(usize::from(length))?);
            while !block.0.is_empty() {
                extensions.push(u16::from_be_bytes(block.array()?));
                let length = u16::from_be_bytes(block.array()?);
                block.take(usize::from(length))?;
            }
        }
        Some(Self {
            cipher,
            compresses: compression != NO_COMPRESSION,
            extensions,
        })
    }
}

/// Octets that are read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
}

/// Whether the server ended the connection.
pub fn is_an_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn reply(octets: &[u8]) -> Option<Reply> {
        read_reply(&mut &octets[..]).await.ok()
    }

    #[tokio::test]
    async fn an_alert_or_an_end_refuses_and_a_server_hello_accepts() {
        assert_eq!(reply(&[21, 3, 3, 0, 2, 2, 70]).await, Some(Reply::Refused));
        assert_eq!(reply(&[]).await, Some(Reply::Refused));
        let accepted = Some(Reply::Accepted(None));
        assert_eq!(reply(&[22, 3, 2, 0, 80, 2, 0]).await, accepted);
        assert_eq!(reply(b"220 hello\r\n").await, None);
    }

    #[tokio::test]
    async fn what_a_server_chose_is_read_and_any_cut_of_it_is_not() {
        let mut hello = vec![2, 0, 0, 50, 3, 3];
        hello.extend([7; 32]);
        hello.extend([1, 9, 0xC0, 0x2C, 1]);
        hello.extend([0, 9, 0, 23, 0, 0, 0xFF, 1, 0, 1, 0]);
        let of = |message: &[u8]| ServerHello::read(&message[1..]);
        let expected = ServerHello {
            cipher: 0xC02C,
            compresses: true,
            extensions: vec![EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO],
        };
        assert_eq!(of(&hello), Some(expected));
        for length in 1..hello.len() {
            assert_eq!(of(&hello[..length]), None, "{length}");
        }
    }

    #[test]
    fn its_lengths_fit() {
        for version in [Version::Tls1_1, Version::Tls1_2, Version::Tls1_3] {
            let hello = Offer::weak(version).record();
            let record = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
            assert_eq!(record, hello.len() - 5);
            let body = usize::from(u16::from_be_bytes([hello[7], hello[8]]));
            assert_eq!((hello[5], hello[6], body), (1, 0, hello.len() - 9));
        }
    }
}
