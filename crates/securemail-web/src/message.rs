//! A picked-up message taken apart for the page: header, body, attachments.

use bytes::Bytes;
use mail_parser::{Addr, Address, Message, MessageParser, MimeHeaders, PartType};
use securemail_core::vocab::{Content, ContentError, UnixTime, is_hidden};
use sha2::{Digest, Sha256};

use crate::sanitise::{self, Picture};

/// Attachments that a page lists; a message with more is saved whole.
const FILES_MAX: usize = 200;
/// Addresses of a field that a page shows.
const ADDRESSES_MAX: usize = 50;
/// Octets of a picture within the text that are shown in it.
const PICTURE_OCTETS_MAX: usize = 2 * 1024 * 1024;
/// Octets of all pictures within one text.
const PICTURES_OCTETS_MAX: usize = 8 * 1024 * 1024;

/// What a page shows of a message.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) subject: String,
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
    pub(crate) date: Option<UnixTime>,
    pub(crate) body: Body,
    pub(crate) files: Vec<File>,
}

/// The body of a message.
#[derive(Debug)]
pub(crate) enum Body {
    /// With layout; sanitised HTML, and the same as text.
    Html { html: String, text: String },
    /// Text only.
    Text(String),
}

/// An attachment.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) octets: Bytes,
    pub(crate) sha256: String,
}

/// Reads a message whole into memory; `None` where it has more than `max` octets.
pub(crate) async fn read_whole(
    content: &dyn Content,
    max: usize,
) -> Result<Option<Vec<u8>>, ContentError> {
    let size = usize::try_from(content.size()).unwrap_or(usize::MAX);
    if size > max {
        return Ok(None);
    }
    let mut octets = Vec::with_capacity(size);
    while octets.len() < size {
        let part = content
            .read(octets.len() as u64, size - octets.len())
            .await?;
        if part.is_empty() {
            return Err(ContentError::Damaged);
        }
        octets.extend_from_slice(&part);
    }
    Ok(Some(octets))
}

/// Takes a message apart. What is not mail at all is shown as text.
pub(crate) fn take_apart(octets: &[u8]) -> Shown {
    let Some(message) = MessageParser::default().parse(octets) else {
        return Shown {
            subject: String::new(),
            from: Vec::new(),
            to: Vec::new(),
            date: None,
            body: Body::Text(String::from_utf8_lossy(octets).into_owned()),
            files: Vec::new(),
        };
    };
    let to = addresses(message.to());
    let cc = addresses(message.cc());
    Shown {
        subject: message.subject().unwrap_or("").to_owned(),
        from: addresses(message.from()),
        to: to.into_iter().chain(cc).take(ADDRESSES_MAX).collect(),
        date: message
            .date()
            .and_then(|date| u64::try_from(date.to_timestamp()).ok())
            .map(UnixTime::from_secs),
        body: body(&message),
        files: files(&message),
    }
}

/// The names and octets of the attachments of a message. For the fuzz target; a portal shows pages.
#[doc(hidden)]
#[must_use]
pub fn attachments(octets: &[u8]) -> Vec<(String, Bytes)> {
    let files = take_apart(octets).files.into_iter();
    files.map(|file| (file.name, file.octets)).collect()
}

fn body(message: &Message<'_>) -> Body {
    let texts = (0..message.text_body_count()).filter_map(|part| message.body_text(part));
    let text: Vec<_> = texts.map(std::borrow::Cow::into_owned).collect();
    let text = text.join("\n");
    let is_html = |part: &mail_parser::MessagePart<'_>| matches!(part.body, PartType::Html(_));
    if !message.html_bodies().any(is_html) {
        return Body::Text(text);
    }
    let htmls = (0..message.html_body_count()).filter_map(|part| message.body_html(part));
    let html: Vec<_> = htmls.map(std::borrow::Cow::into_owned).collect();
    let html = html.join("\n<hr>\n");
    if !sanitise::is_bounded(&html) {
        return Body::Text(text);
    }
    Body::Html {
        html: sanitise::html(&html, pictures(message)),
        text,
    }
}

/// Pictures that the text can name by `cid:`, within bounds.
fn pictures(message: &Message<'_>) -> Vec<Picture> {
    let mut pictures = Vec::new();
    let mut octets = 0_usize;
    for part in &message.parts {
        let (PartType::Binary(data) | PartType::InlineBinary(data)) = &part.body else {
            continue;
        };
        let Some((id, kind)) = part.content_id().zip(picture_kind(part)) else {
            continue;
        };
        octets = octets.saturating_add(data.len());
        if data.len() > PICTURE_OCTETS_MAX || octets > PICTURES_OCTETS_MAX {
            continue;
        }
        pictures.push(Picture::new(id, kind, data));
    }
    pictures
}

fn picture_kind(part: &mail_parser::MessagePart<'_>) -> Option<&'static str> {
    // No SVG: it can hold scripts.
    [
        ("png", "image/png"),
        ("jpeg", "image/jpeg"),
        ("gif", "image/gif"),
        ("webp", "image/webp"),
    ]
    .into_iter()
    .find(|(subtype, _)| part.is_content_type("image", subtype))
    .map(|(_, kind)| kind)
}

fn files(message: &Message<'_>) -> Vec<File> {
    let mut files = Vec::new();
    for part in message.attachments().take(FILES_MAX) {
        let octets = Bytes::copy_from_slice(part.contents());
        let number = files.len() + 1;
        let name = part
            .attachment_name()
            .map(file_name)
            .filter(|name| !name.is_empty());
        files.push(File {
            name: name.unwrap_or_else(|| default_name(part, number)),
            kind: kind(part),
            sha256: hex(&Sha256::digest(&octets)),
            octets,
        });
    }
    files
}

fn default_name(part: &mail_parser::MessagePart<'_>, number: usize) -> String {
    match &part.body {
        PartType::Message(_) => format!("{number}.eml"),
        PartType::Text(_) => format!("{number}.txt"),
        PartType::Html(_) => format!("{number}.html"),
        PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Multipart(_) => {
            format!("{number}.bin")
        }
    }
}

/// Kinds that a browser may be told; all others go as octets. Everything is saved, nothing is shown.
fn kind(part: &mail_parser::MessagePart<'_>) -> String {
    let told = part.content_type().and_then(|kind| {
        let subtype = kind.c_subtype.as_deref()?.to_ascii_lowercase();
        let whole = format!("{}/{subtype}", kind.c_type.to_ascii_lowercase());
        let known = matches!(
            whole.as_str(),
            "application/pdf"
                | "image/png"
                | "image/jpeg"
                | "image/gif"
                | "image/webp"
                | "text/plain"
                | "text/csv"
                | "application/zip"
        ) || whole.starts_with("application/vnd.openxmlformats-officedocument.")
            || whole.starts_with("application/vnd.oasis.opendocument.");
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/.+-".contains(&b);
        (known && whole.len() <= 100 && whole.bytes().all(is_plain)).then_some(whole)
    });
    told.unwrap_or_else(|| "application/octet-stream".to_owned())
}

/// A name that can be saved under: no path, no control or direction marks, not hidden, bounded.
fn file_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or("");
    let bad = |c: char| c.is_control() || c == '"' || is_hidden(c);
    let clean: String = name.chars().filter(|c| !bad(*c)).collect();
    let clean = clean.trim().trim_start_matches('.');
    let excess = clean.chars().count().saturating_sub(150);
    // The end is kept: it says what kind of file it is.
    clean.chars().skip(excess).collect()
}

fn addresses(field: Option<&Address<'_>>) -> Vec<String> {
    let written = |addr: &Addr<'_>| match (addr.name(), addr.address()) {
        (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
        (None, Some(address)) => Some(address.to_owned()),
        (Some(name), None) => Some(name.to_owned()),
        (None, None) => None,
    };
    let all = field.into_iter().flat_map(Address::iter);
    all.filter_map(written).take(ADDRESSES_MAX).collect()
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_cannot_leave_the_folder_or_lie_about_their_kind() {
        assert_eq!(file_name("../../etc/passwd"), "passwd");
        assert_eq!(file_name("C:\\x\\..\\brief.pdf"), "brief.pdf");
        assert_eq!(file_name("invoice\u{202e}fdp.exe"), "invoicefdp.exe");
        assert_eq!(file_name(".bashrc"), "bashrc");
        assert_eq!(file_name("a\"b\r\nc.txt"), "abc.txt");
        let long = format!("{}.pdf", "x".repeat(500));
        assert!(file_name(&long).ends_with(".pdf") && file_name(&long).len() == 150);
    }

    #[test]
    fn a_message_is_taken_apart() {
        let mail = b"From: Jan <jan@example.nl>\r\nTo: an@example.org\r\nSubject: =?utf-8?q?Caf=C3=A9?=\r\n\
            Date: Fri, 20 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n\
            <p onclick=x()>Hello<script>bad()</script></p>\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\
            Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n";
        let shown = take_apart(mail);
        assert_eq!(shown.subject, "Caf\u{e9}");
        assert_eq!(shown.from, ["Jan <jan@example.nl>"]);
        assert_eq!(shown.date, Some(UnixTime::from_secs(1_795_165_200)));
        let Body::Html { html, .. } = &shown.body else {
            panic!("{:?}", shown.body)
        };
        assert_eq!(html, "<p>Hello</p>");
        assert_eq!(shown.files.len(), 1);
        assert_eq!(shown.files[0].octets.as_ref(), [0, 1, 2]);
        assert_eq!(shown.files[0].kind, "application/pdf");
        assert_eq!(
            shown.files[0].sha256,
            "ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc"
        );
    }

    /// Parsers of HTML need time that grows with the square of the depth, and some of them stack.
    #[test]
    fn deep_nesting_is_shown_as_text() {
        for tag in [
            "<div>",
            "<b>",
            "<TABLE><tr><td>",
            "<a href=x>",
            "<svg><g>",
            "<x-y></z>",
        ] {
            let html = format!("Content-Type: text/html\r\n\r\n{}", tag.repeat(20_000));
            assert!(
                matches!(take_apart(html.as_bytes()).body, Body::Text(_)),
                "{tag}"
            );
        }
        let broad = "<table><tr><td><p>x<br><b>y</b></td></tr></table><li>".repeat(2_000);
        let html = format!("Content-Type: text/html\r\n\r\n{broad}");
        assert!(matches!(
            take_apart(html.as_bytes()).body,
            Body::Html { .. }
        ));
    }

    #[test]
    fn parts_within_parts_end_nothing() {
        let mut mail = String::new();
        for part in 0..2_000 {
            let kind = format!("Content-Type: multipart/mixed; boundary=b{part}");
            mail.push_str(&format!("{kind}\r\n\r\n--b{part}\r\n"));
        }
        take_apart(mail.as_bytes());
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(5_000);
        take_apart(nested.as_bytes());
    }
}
