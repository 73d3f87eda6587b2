//! Signs a message: one pass over its body, one signature for each key.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::canonical::{BareLineEnd, BodyDigest, write_relaxed_field};
use crate::backend::{DkimAlgorithm, DkimSigner, SigningError};
use crate::mail::{HeaderError, HeaderView, read_header};
use crate::vocab::{Content, ContentError, UnixTime};

/// How a signature is made.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SignOptions {
    /// How long the signature is valid (`x=`); less than ten days is raised to ten, since a message may
    /// wait for five in the queues behind us.
    pub valid_for: Duration,
}

impl Default for SignOptions {
    fn default() -> Self {
        Self {
            valid_for: VALID_FOR_MIN,
        }
    }
}

/// A message cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A CR or LF stands alone in the body.
    #[error(transparent)]
    BareLineEnd(#[from] BareLineEnd),
    /// The octets could not be read.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// There must be exactly one From field (RFC 6376, section 3.8).
    #[error("a message with {0} From fields is not signed; send exactly one")]
    FromCount(usize),
    /// The header cannot be read.
    #[error(transparent)]
    Header(HeaderError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] SigningError),
    /// A field that is signed is there too often.
    #[error("the message has too many {0} fields; send one")]
    TooMany(&'static str),
}

impl From<HeaderError> for SignError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Content(error) => Self::Content(error),
            other => Self::Header(other),
        }
    }
}

/// Signs `content` with each of `signers`; returns DKIM-Signature fields to be put in front of it.
///
/// The body is read once, in ranges. Every field of the list is signed once more than it is there, so
/// that nobody can add another (RFC 6376, section 8.15). There is never a body length or a copy of
/// header fields (`l=`, `z=`).
///
/// # Errors
/// Where the message is malformed, cannot be read, or a key cannot be used.
pub async fn sign(
    content: &dyn Content,
    signers: &[Arc<dyn DkimSigner>],
    now: UnixTime,
    options: SignOptions,
) -> Result<Bytes, SignError> {
    let view = read_header(content).await?;
    match view.count("From") {
        1 => {}
        other => return Err(SignError::FromCount(other)),
    }
    let body_hash = hash_body(content, view.body_offset()).await?;
    let (names, header) = signed_header(&view)?;
    let expires = now.plus(options.valid_for.max(VALID_FOR_MIN));
    let mut fields = String::new();
    for signer in signers {
        let tags = [
            ("a", algorithm(signer.algorithm()).to_owned()),
            ("c", "relaxed/relaxed".to_owned()),
            ("d", signer.domain().to_string()),
            ("s", signer.selector().to_owned()),
            ("t", now.as_secs().to_string()),
            ("x", expires.as_secs().to_string()),
            ("bh", STANDARD.encode(body_hash)),
            ("h", names.join(":")),
        ];
        let value = fold_tags(&tags);
        let mut signed = header.clone();
        write_relaxed_field(&mut signed, "DKIM-Signature", value.as_bytes());
        // RFC 6376, section 3.7: the signature's own field comes last, without its CRLF.
        signed.truncate(signed.len().saturating_sub(2));
        let signature = signer.sign(&signed).await?;
        fields.push_str(&format!(
            "DKIM-Signature:{value}{}\r\n",
            fold_text(&STANDARD.encode(signature))
        ));
    }
    Ok(fields.into())
}

async fn hash_body(content: &dyn Content, from: u64) -> Result<[u8; 32], SignError> {
    let mut digest = BodyDigest::new();
    let mut offset = from;
    loop {
        let chunk = content.read(offset, CHUNK_OCTETS).await?;
        if chunk.is_empty() {
            return Ok(digest.finish()?);
        }
        digest.update(&chunk)?;
        offset = offset.saturating_add(chunk.len() as u64);
    }
}

/// The names for `h=`, and the fields that they stand for in relaxed form: of several the last first
/// (RFC 6376, section 5.4.2); the name beyond those that are there stands for nothing.
fn signed_header(view: &HeaderView) -> Result<(Vec<&'static str>, Vec<u8>), SignError> {
    let mut names = Vec::new();
    let mut header = Vec::new();
    for name in SIGNED {
        for (position, field) in view.all(name).rev().enumerate() {
            if position >= REPEATS_MAX {
                return Err(SignError::TooMany(name));
            }
            names.push(name);
            write_relaxed_field(&mut header, name, field.value());
        }
        names.push(name);
    }
    Ok((names, header))
}

const fn algorithm(algorithm: DkimAlgorithm) -> &'static str {
    match algorithm {
        DkimAlgorithm::Ed25519Sha256 => "ed25519-sha256",
        DkimAlgorithm::RsaSha256 => "rsa-sha256",
    }
}

/// The field's value up to and with `b=`, folded. Lists are folded behind a colon, which RFC 6376,
/// section 3.2, allows.
fn fold_tags(tags: &[(&str, String)]) -> String {
    let mut value = String::from(" v=1;");
    let mut column = "DKIM-Signature: v=1;".len();
    let mut push = |piece: &str, space: &str| {
        if column + space.len() + piece.len() > COLUMNS {
            value.push_str("\r\n\t");
            column = 1;
        } else {
            value.push_str(space);
            column += space.len();
        }
        value.push_str(piece);
        column += piece.len();
    };
    for (tag, text) in tags {
        let whole = format!("{tag}={text};");
        let mut pieces = whole.split_inclusive(':');
        push(pieces.next().unwrap_or_default(), " ");
        pieces.for_each(|piece| push(piece, ""));
    }
    push("b=", " ");
    value
}

/// Base64 in lines of its own.
fn fold_text(text: &str) -> String {
    let mut folded = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, behind) = rest.split_at_checked(COLUMNS - 1).unwrap_or((rest, ""));
        folded.push_str("\r\n\t");
        folded.push_str(line);
        rest = behind;
    }
    folded
}

/// What is signed, and signed once more than it is there. Trace fields change on the way and are left
/// out (RFC 6376, section 5.4.1).
const SIGNED: [&str; 20] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "Sender",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
    "TLS-Report-Domain",
    "TLS-Report-Submitter",
    "X-Securemail-Possible-Duplicate",
];

/// Fields of one name that are signed; more is no mail, and `h=` would grow without end.
const REPEATS_MAX: usize = 10;
const VALID_FOR_MIN: Duration = Duration::from_secs(10 * 86_400);
const COLUMNS: usize = 76;
const CHUNK_OCTETS: usize = 64 * 1024;
