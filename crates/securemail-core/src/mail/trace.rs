//! The header with which a message leaves: our Received field, what was missing, without our own
//! control fields. The body is not copied.

use std::sync::Arc;

use bytes::Bytes;

use super::{Field, HeaderView};
use crate::vocab::{Address, Concat, Content, DnsName, QueueId, Tail, UnixTime};

/// How a message came to us, for its Received field (RFC 5321, section 4.4).
///
/// The client's address is not among it: a submission tells nobody where its sender sits (P10).
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    /// Our own name.
    pub by: &'a DnsName,
    /// Which message.
    pub queue: QueueId,
    /// When it came.
    pub received: UnixTime,
    /// The name of the client's EHLO, as it was given.
    pub helo: &'a str,
    /// The protocol it came by.
    pub with: Protocol,
    /// The TLS session it came over, if any.
    pub tls: Option<TlsSession<'a>>,
    /// For whom it is. One alone is written down; of several none, since each would learn of the others.
    pub recipients: &'a [Address],
    /// An earlier attempt may have reached the recipient.
    pub possible_duplicate: bool,
}

/// The protocol by which a message came (RFC 3848; RFC 6531, section 4.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// SMTP over TLS, without a log-in by password.
    Esmtps,
    /// SMTP over TLS, with a log-in.
    Esmtpsa,
    /// The REST API.
    Https,
    /// As `Esmtps`, with SMTPUTF8.
    Utf8Smtps,
    /// As `Esmtpsa`, with SMTPUTF8.
    Utf8Smtpsa,
}

/// What the Received field says of TLS (RFC 8314, section 4.3).
#[derive(Clone, Copy, Debug)]
pub struct TlsSession<'a> {
    /// The cipher suite by its registered name: `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'a str,
    /// The key exchange group: `X25519MLKEM768`.
    pub group: Option<&'a str>,
}

impl Trace<'_> {
    /// The message as it goes on, ready to be signed: `content` is the one that `view` was read from.
    #[must_use]
    pub fn outgoing(&self, view: &HeaderView, content: Arc<dyn Content>) -> Arc<dyn Content> {
        let body = Tail::new(content, view.body_offset());
        Arc::new(Concat::new(self.header(view), Arc::new(body)))
    }

    /// The header with which the message goes on, with the empty line behind it.
    #[must_use]
    pub fn header(&self, view: &HeaderView) -> Bytes {
        let mut header = Vec::with_capacity(view.octets().len() + 1024);
        header.extend_from_slice(self.received_field().as_bytes());
        if self.possible_duplicate {
            header.extend_from_slice(&duplicate_mark());
        }
        let stays = |field: &Field<'_>| !is_control(field.name()) && !self.is_forged(field);
        for field in view.fields().filter(stays) {
            header.extend_from_slice(field.raw());
        }
        header.extend_from_slice(self.missing_fields(view).as_bytes());
        header.extend_from_slice(b"\r\n");
        header.into()
    }

    /// The Received field that we add, with its last CRLF.
    #[must_use]
    pub fn received_field(&self) -> String {
        let with = match self.with {
            Protocol::Esmtps => "ESMTPS",
            Protocol::Esmtpsa => "ESMTPSA",
            Protocol::Https => "HTTPS",
            Protocol::Utf8Smtps => "UTF8SMTPS",
            Protocol::Utf8Smtpsa => "UTF8SMTPSA",
        };
        let mut field = format!(
            "Received: from {} by {}\r\n with {with} id {}",
            client_name(self.helo),
            self.by,
            self.queue
        );
        if let [only] = self.recipients {
            field.push_str(&format!("\r\n for <{only}>"));
        }
        if let Some(tls) = self.tls {
            field.push_str(&format!("\r\n tls {}", token(tls.cipher)));
            if let Some(group) = tls.group {
                field.push_str(&format!(" group {}", token(group)));
            }
        }
        field.push_str(&format!(";\r\n {}\r\n", self.received.rfc5322()));
        field
    }

    /// RFC 8601, section 5: a verdict that carries our name and is not ours.
    fn is_forged(&self, field: &Field<'_>) -> bool {
        field.is("Authentication-Results")
            && field.text().to_ascii_lowercase().contains(self.by.as_str())
    }

    /// RFC 6409, section 8: a submission server adds what the sender's program left out.
    fn missing_fields(&self, view: &HeaderView) -> String {
        let mut missing = String::new();
        if !view.has("Date") {
            missing.push_str(&format!("Date: {}\r\n", self.received.rfc5322()));
        }
        if !view.has("Message-ID") {
            missing.push_str(&format!("Message-ID: <{}@{}>\r\n", self.queue, self.by));
        }
        missing
    }
}

/// The field that marks a message which an earlier attempt may have brought already.
#[must_use]
pub const fn duplicate_mark() -> Bytes {
    Bytes::from_static(b"X-Securemail-Possible-Duplicate: yes\r\n")
}

/// Fields that speak to this relay, which no later hop and no recipient may see: they hold telephone
/// numbers. Return-Path is written by the last hop alone (RFC 5321, section 4.4).
fn is_control(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "return-path" || CONTROL.iter().any(|prefix| name.starts_with(prefix))
}

/// The host name of an EHLO. Address literals and bare computer names say where and who the sender is,
/// and are left out.
fn client_name(helo: &str) -> String {
    match DnsName::parse(helo) {
        Ok(name) if name.labels().any(|label| !is_number(label)) && name.labels().count() > 1 => {
            name.to_string()
        }
        _ => "unknown".to_owned(),
    }
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|b| b.is_ascii_digit())
}

/// What cannot break out of its place in a field.
fn token(text: &str) -> String {
    let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let token: String = text.chars().filter(safe).take(64).collect();
    if token.is_empty() {
        "unknown".to_owned()
    } else {
        token
    }
}

/// How the names of control fields begin, in lower case; the second is that of another vendor, from
/// which senders move.
const CONTROL: [&str; 2] = ["x-securemail-", "zivver-"];
