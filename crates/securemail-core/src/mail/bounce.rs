//! Reads whether a bounce says that a mail of ours failed for good (RFC 3464).

use mail_parser::{MessageParser, MimeHeaders};

/// Whether this message holds a delivery status notification in which a recipient has
/// `Action: failed` and a permanent `Status`.
///
/// Anything else that comes back, a delay, an absence, a text for people, says nothing that could be
/// relied on, and is `false`. Parts of a message that the notification returns are not looked into.
#[must_use]
pub fn is_permanent_failure(message: &[u8]) -> bool {
    let Some(message) = MessageParser::default().parse(message) else {
        return false;
    };
    message
        .parts
        .iter()
        .filter(|part| {
            // RFC 6533, section 4: the same fields, with addresses in UTF-8.
            part.is_content_type("message", "delivery-status")
                || part.is_content_type("message", "global-delivery-status")
        })
        .any(|part| reports_failure(part.contents()))
}

/// RFC 3464, section 2.1: groups of fields with empty lines between them; the first is about the
/// message, each further one about a recipient.
fn reports_failure(status: &[u8]) -> bool {
    let status = String::from_utf8_lossy(status).replace("\r\n", "\n");
    let unfolded = status.replace("\n ", " ").replace("\n\t", " ");
    unfolded.split("\n\n").any(has_failed)
}

fn has_failed(group: &str) -> bool {
    let action = value(group, "Action");
    let status = value(group, "Status");
    action.is_some_and(|action| action.eq_ignore_ascii_case("failed"))
        && status.is_some_and(|status| status.starts_with("5."))
}

/// The first word of a field; a comment may stand behind it.
fn value<'a>(group: &'a str, wanted: &str) -> Option<&'a str> {
    group.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_wanted = name.trim_end().eq_ignore_ascii_case(wanted);
        is_wanted
            .then(|| value.split([' ', '\t', '(']).find(|word| !word.is_empty()))
            .flatten()
    })
}
