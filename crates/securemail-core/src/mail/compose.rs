//! Writes mail: typed header fields, letters as text and HTML, MIME parts. 7-bit, CRLF, short lines.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{ContentFree, Language};
use crate::vocab::{Address, DnsName, QueueId, UnixTime, is_hidden};

/// A link that may stand in a mail: a URL of printable ASCII. `Debug` shows nothing, for it may open
/// something.
#[derive(Clone, Eq, PartialEq)]
pub struct Link(String);

/// A text is not a link that may stand in a mail.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a link; give a URL that begins with https:// and has no spaces or quotes")]
pub struct LinkError;

impl Link {
    /// Reads a URL. `http` is for tests on the same machine alone.
    ///
    /// # Errors
    /// Where it is none, or could break out of the place where it stands.
    pub fn parse(url: &str) -> Result<Self, LinkError> {
        let scheme = LINK_STARTS.iter().any(|start| url.starts_with(start));
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&*+,;=%".contains(&b);
        if scheme && url.len() <= LINK_OCTETS_MAX && url.bytes().all(safe) {
            Ok(Self(url.to_owned()))
        } else {
            Err(LinkError)
        }
    }

    /// The URL. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(..)")
    }
}

/// What every mail that we write has in its header.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its own id; with `host` it is the Message-ID.
    pub id: QueueId,
    /// Our own name.
    pub host: &'a DnsName,
    /// The moment.
    pub now: UnixTime,
    /// Its language.
    pub language: Language,
    /// The name that stands before the address in From: that of the organisation.
    pub organisation: &'a str,
    /// The address in From.
    pub from: &'a Address,
    /// For whom it is.
    pub to: &'a Address,
}

/// A letter, written once, shown as text and as HTML.
#[derive(Debug)]
pub(super) struct Letter<'a> {
    pub(super) subject: String,
    pub(super) blocks: Vec<Block<'a>>,
}

/// One piece of a letter.
#[derive(Debug)]
pub(super) enum Block<'a> {
    /// A paragraph.
    Text(String),
    /// A list.
    Items(Vec<String>),
    /// A button, and the bare URL below it.
    Button { label: &'static str, link: &'a Link },
}

impl Letter<'_> {
    /// The letter as a mail of its own: text, and HTML beside it.
    pub(super) fn into_mail(self, head: &Head<'_>) -> ContentFree {
        let mut mail = Writer::default();
        mail.head(head, &self.subject, "auto-generated");
        mail.raw("Content-Type: multipart/alternative; boundary=\"=_letter\"\r\n\r\n");
        mail.raw("--=_letter\r\n");
        mail.part("text/plain", &self.to_text());
        mail.raw("--=_letter\r\n");
        mail.part("text/html", &self.to_html(head.language));
        mail.raw("--=_letter--\r\n");
        mail.finish()
    }

    pub(super) fn to_text(&self) -> String {
        let blocks = self.blocks.iter().map(|block| match block {
            Block::Text(text) => format!("{}\n", one_line(text)),
            Block::Items(items) => items
                .iter()
                .map(|item| format!("- {}\n", one_line(item)))
                .collect(),
            Block::Button { label, link } => format!("{label}:\n{}\n", link.expose()),
        });
        blocks.collect::<Vec<String>>().join("\n")
    }

    fn to_html(&self, language: Language) -> String {
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"{language}\"><head><meta charset=\"utf-8\"><title>{}</title></head>\n<body style=\"font-family:sans-serif;line-height:1.5\">\n",
            escape(&self.subject)
        );
        for block in &self.blocks {
            match block {
                Block::Text(text) => html.push_str(&format!("<p>{}</p>\n", escape(text))),
                Block::Items(items) => {
                    let items: String = items
                        .iter()
                        .map(|item| format!("<li>{}</li>\n", escape(item)))
                        .collect();
                    html.push_str(&format!("<ul>\n{items}</ul>\n"));
                }
                Block::Button { label, link } => {
                    let url = escape(link.expose());
                    html.push_str(&format!(
                        "<p><a href=\"{url}\" style=\"display:inline-block;padding:12px 24px;background:#154273;color:#ffffff;text-decoration:none\">{}</a></p>\n<p>{url}</p>\n",
                        escape(label)
                    ));
                }
            }
        }
        html.push_str("</body></html>\n");
        html
    }
}

/// Collects the octets of a mail. Whatever comes in, one field stays one field.
#[derive(Debug, Default)]
pub(super) struct Writer(String);

impl Writer {
    /// The fields that every mail of ours has.
    pub(super) fn head(&mut self, head: &Head<'_>, subject: &str, auto_submitted: &str) {
        self.raw(&format!("Date: {}\r\n", head.now.rfc5322()));
        self.raw(&format!(
            "From: {}\r\n",
            mailbox(head.organisation, head.from)
        ));
        self.raw(&format!("To: <{}>\r\n", head.to));
        self.raw(&format!("Message-ID: <{}@{}>\r\n", head.id, head.host));
        self.raw(&format!("Subject: {}\r\n", unstructured(subject)));
        // RFC 3834, section 5; the second keeps Exchange from answering.
        self.raw(&format!("Auto-Submitted: {auto_submitted}\r\n"));
        self.raw("X-Auto-Response-Suppress: All\r\n");
        self.raw(&format!("Content-Language: {}\r\n", head.language));
        self.raw("MIME-Version: 1.0\r\n");
    }

    /// A text part: its fields and its octets.
    pub(super) fn part(&mut self, content_type: &str, text: &str) {
        self.raw(&format!("Content-Type: {content_type}; charset=utf-8\r\n"));
        self.raw("Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        self.0.push_str(&quoted_printable(text));
    }

    /// A field of a delivery status, folded; what is not printable ASCII becomes `?`.
    pub(super) fn status_field(&mut self, name: &str, value: &str) {
        let mut column = name.len() + 1;
        self.0.push_str(name);
        self.0.push(':');
        for word in value.split_whitespace() {
            if column + 1 + word.len() > COLUMNS && column > name.len() + 1 {
                self.0.push_str("\r\n");
                column = 0;
            }
            self.0.push(' ');
            column += 1;
            for c in word.chars().take(STATUS_WORD_MAX) {
                self.0.push(if c.is_ascii_graphic() { c } else { '?' });
                column += 1;
            }
        }
        self.0.push_str("\r\n");
    }

    /// Octets that are ours.
    pub(super) fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }

    pub(super) fn finish(self) -> ContentFree {
        ContentFree::new(Bytes::from(self.0))
    }
}

/// A display name with its address (RFC 5322, section 3.4).
pub(super) fn mailbox(name: &str, address: &Address) -> String {
    let name = one_line(name);
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '\'' | '&' | '.' | ',');
    if name.len() <= PLAIN_MAX && name.chars().all(plain) {
        format!("\"{name}\"\r\n <{address}>")
    } else {
        format!("{}\r\n <{address}>", encoded_words(&name))
    }
}

/// The value of an unstructured field. `=?` in it would be read as an encoded word.
fn unstructured(text: &str) -> String {
    let text = one_line(text);
    let plain = |c: char| c == ' ' || c.is_ascii_graphic();
    if text.len() <= PLAIN_MAX && text.chars().all(plain) && !text.contains("=?") {
        text
    } else {
        encoded_words(&text)
    }
}

/// RFC 2047, section 2: words of at most 75 characters, each of whole characters, one a line.
pub(super) fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len() + c.len_utf8() > 39 {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)))
        .collect();
    words.join("\r\n ")
}

/// Without line breaks and control characters, which end a field (A38), and without what turns the
/// direction of writing round; at most [`TEXT_CHARS_MAX`] long.
fn one_line(text: &str) -> String {
    let hidden = |c: char| c.is_control() || is_hidden(c);
    let cleaned: String = text
        .chars()
        .take(TEXT_CHARS_MAX)
        .map(|c| if hidden(c) { ' ' } else { c })
        .collect();
    cleaned.trim().to_owned()
}

/// Text that stands in HTML, between tags or in a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// RFC 2045, section 6.7. Lines of `text` end with LF; a boundary that begins with `=_` cannot occur in
/// the result.
fn quoted_printable(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut column = 0;
        let length = line.len();
        for (at, byte) in line.bytes().enumerate() {
            // Room for one escape and for the `=` of a soft line break.
            if column + 3 > COLUMNS - 1 {
                out.push_str("=\r\n");
                column = 0;
            }
            let last = at + 1 == length;
            let plain = match byte {
                b'=' => false,
                b' ' => !last,
                // SMTP servers look for a lone dot, and some programs for `From `.
                b'.' | b'F' => column > 0,
                byte => byte.is_ascii_graphic(),
            };
            let width = if plain { 1 } else { 3 };
            if plain {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("={byte:02X}"));
            }
            column += width;
        }
        out.push_str("\r\n");
    }
    out
}

const LINK_STARTS: [&str; 4] = [
    "https://",
    "http://localhost",
    "http://127.0.0.1",
    "http://[::1]",
];
const LINK_OCTETS_MAX: usize = 1000;
const PLAIN_MAX: usize = 60;
const COLUMNS: usize = 76;
/// A reply of a peer is no longer; a word of it without a space stays below 998 octets.
const STATUS_WORD_MAX: usize = 400;
const TEXT_CHARS_MAX: usize = 2000;
