//! Whether a client can make a listener begin the handshake of TLS 1.2 again and again (RFC 5746; Internet.nl).
//!
//! No library of ours renegotiates. So a session is made with rustls, its transcript is kept, and a second ClientHello
//! is sent under the keys of the session, with the proof that it belongs to the first; and a word after it, which a
//! server that did not begin again answers. The kind of the record that comes back is not encrypted, and says enough.

use std::io::{self, Cursor, Error};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, KeyLog, ProtocolVersion,
    SupportedCipherSuite, Tls12CipherSuite, version,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::hello::{HANDSHAKE, Offer, Version, is_an_end};
use super::listener::{AnyCertificate, PATIENCE, SILENCE, Target, until_tls};
use super::report::{Level, fail, good, unknown};

/// `verify_data` of TLS 1.2 (RFC 5246, section 7.4.9).
const VERIFY_OCTETS: usize = 12;
/// The salt of a nonce of AES-GCM (RFC 5288, section 3).
const SALT_OCTETS: usize = 4;
const CHANGE_CIPHER_SPEC: u8 = 20;

/// Looks at a listener that speaks TLS 1.2.
pub async fn look(target: &Target) -> (Level, String) {
    match timeout(PATIENCE, begins_again(target)).await {
        Ok(Ok(false)) => good("a client cannot ask for a new handshake"),
        Ok(Ok(true)) => fail("a client can ask for new handshakes without end; switch that off"),
        Ok(Err(error)) => unknown(error.to_string()),
        Err(_) => unknown("no answer"),
    }
}

async fn begins_again(target: &Target) -> io::Result<bool> {
    let mut stream = until_tls(target).await?.into_inner();
    let session = Session::begin(target, &mut stream).await?;
    stream
        .write_all(&session.second_hello(target.word())?)
        .await?;
    stream.flush().await?;
    match timeout(SILENCE, read_record(&mut stream)).await {
        // The kind of the first record that answers.
        Ok(record) => Ok(record?.is_some_and(|record| record.first() == Some(&HANDSHAKE))),
        // A server that says nothing to a second ClientHello does not begin again.
        Err(_) => Ok(false),
    }
}

/// One record with its head; `None` at the end.
async fn read_record(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; HEAD_OCTETS];
    match stream.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if is_an_end(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let [.., high, low] = head;
    let mut body = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    stream.read_exact(&mut body).await?;
    Ok(Some([&head[..], &body].concat()))
}

const HEAD_OCTETS: usize = 5;

/// A session of TLS 1.2 that stands.
struct Session {
    connection: ClientConnection,
    suite: &'static Tls12CipherSuite,
    verify_data: [u8; VERIFY_OCTETS],
}

impl Session {
    async fn begin(
        target: &Target,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> io::Result<Self> {
        let secret = Arc::new(MasterSecret::default());
        let config = config(secret.clone()).map_err(Error::other)?;
        let mut connection =
            ClientConnection::new(Arc::new(config), target.host.clone()).map_err(Error::other)?;
        let mut transcript = Transcript::default();
        loop {
            while connection.wants_write() {
                let mut octets = Vec::new();
                connection.write_tls(&mut octets)?;
                transcript.sent(&octets);
                stream.write_all(&octets).await?;
            }
            stream.flush().await?;
            if !connection.is_handshaking() {
                break;
            }
            let record = read_record(stream).await?;
            let record = record.ok_or_else(|| Error::other("the session ended"))?;
            transcript.take(&record);
            connection.read_tls(&mut Cursor::new(&record))?;
            connection.process_new_packets().map_err(Error::other)?;
        }
        let Some(SupportedCipherSuite::Tls12(suite)) = connection.negotiated_cipher_suite() else {
            return Err(Error::other("TLS 1.2 was asked for, and not agreed on"));
        };
        Ok(Self {
            verify_data: transcript.verify_data(suite, &secret),
            connection,
            suite,
        })
    }

    /// A second ClientHello and a word after it, as records under the keys of the session.
    fn second_hello(self, word: &[u8]) -> io::Result<Vec<u8>> {
        let offer = Offer {
            verify_data: &self.verify_data,
            ..Offer::strong(Version::Tls1_2)
        };
        let hello = offer.message();
        let secrets = self.connection.dangerous_extract_secrets();
        let (sequence, keys) = secrets.map_err(Error::other)?.tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = keys
        else {
            return Err(Error::other("AES-GCM was asked for, and not agreed on"));
        };
        let (salt, nonce) = iv
            .as_ref()
            .split_at_checked(SALT_OCTETS)
            .ok_or_else(|| Error::other("a nonce without salt"))?;
        let mut encrypter = self.suite.aead_alg.encrypter(key, salt, nonce);
        let mut records = Vec::new();
        let messages = [
            (ContentType::Handshake, hello.as_slice()),
            (ContentType::ApplicationData, word),
        ];
        for (sequence, (typ, message)) in (sequence..).zip(messages) {
            let plain = OutboundPlainMessage {
                typ,
                version: ProtocolVersion::TLSv1_2,
                payload: OutboundChunks::Single(message),
            };
            let sealed = encrypter.encrypt(plain, sequence).map_err(Error::other)?;
            records.extend(sealed.encode());
        }
        Ok(records)
    }
}

/// The messages of the handshake as far as the client's ChangeCipherSpec: what its `Finished` speaks of.
#[derive(Default)]
struct Transcript {
    messages: Vec<u8>,
    is_closed: bool,
}

impl Transcript {
    fn sent(&mut self, mut octets: &[u8]) {
        while let Some(([kind, _, _, high, low], rest)) = octets.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some((body, rest)) = rest.split_at_checked(length) else {
                return;
            };
            self.add(*kind, body);
            self.is_closed |= *kind == CHANGE_CIPHER_SPEC;
            octets = rest;
        }
    }

    fn take(&mut self, record: &[u8]) {
        if let Some(([kind, ..], body)) = record.split_first_chunk::<HEAD_OCTETS>() {
            self.add(*kind, body);
        }
    }

    fn add(&mut self, kind: u8, body: &[u8]) {
        if kind == HANDSHAKE && !self.is_closed {
            self.messages.extend(body);
        }
    }

    /// What the client's `Finished` holds (RFC 5246, section 7.4.9).
    fn verify_data(&self, suite: &Tls12CipherSuite, secret: &MasterSecret) -> [u8; VERIFY_OCTETS] {
        let hash = suite.common.hash_provider.hash(&self.messages);
        let secret = secret.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut data = [0; VERIFY_OCTETS];
        let prf = suite.prf_provider;
        prf.for_secret(&mut data, &secret, b"client finished", hash.as_ref());
        data
    }
}

/// The secret of a session with ourselves, kept for as long as the check takes.
#[derive(Default)]
struct MasterSecret(Mutex<Vec<u8>>);

impl std::fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterSecret")
    }
}

impl KeyLog for MasterSecret {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == "CLIENT_RANDOM" {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = secret.to_vec();
        }
    }
}

/// TLS 1.2 alone, with AES-GCM.
fn config(secret: Arc<MasterSecret>) -> Result<ClientConfig, rustls::Error> {
    let mut provider = default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ];
    let any = AnyCertificate(provider.clone());
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(any))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_secret_extraction = true;
    config.key_log = secret;
    Ok(config)
}
