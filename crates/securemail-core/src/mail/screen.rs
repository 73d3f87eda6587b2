//! Whether a message may be handed in as it is: whose it claims to be, and whom it names.

use std::collections::BTreeSet;

use super::HeaderView;
use crate::limits::RECEIVED_MAX;
use crate::vocab::{
    Account, AccountKind, Address, DnsName, EnhancedStatus, Envelope, Reply, ReversePath, Tenant,
};

/// Judges a message by its header, before anything is attempted.
///
/// # Errors
/// The refusal, which says what to change and names no recipient.
pub fn check_submission(
    view: &HeaderView,
    envelope: &Envelope,
    account: &Account,
    tenant: &Tenant,
) -> Result<(), Reply> {
    check_form(view)?;
    check_loop(view)?;
    check_author(view, envelope, account)?;
    check_wishes(view)?;
    check_named(view, envelope, tenant)
}

/// RFC 5322, section 3.6: these fields stand at most once. Where they stand twice, one reader shows the
/// first and another the last.
fn check_form(view: &HeaderView) -> Result<(), Reply> {
    // RFC 6532, section 3.1: octets above 127 are UTF-8 (RFC 3629), or nobody knows what they are.
    if std::str::from_utf8(view.octets()).is_err() {
        return Err(refuse(
            (5, 6, 0),
            "the header has octets that are not UTF-8; send UTF-8, or encoded words (RFC 2047)",
        ));
    }
    match view.count("From") {
        1 => {}
        0 => {
            return Err(refuse(
                (5, 6, 0),
                "the message has no From field; add one with your own address",
            ));
        }
        _ => {
            return Err(refuse(
                (5, 7, 1),
                "the message has more than one From field; send one",
            ));
        }
    }
    match SINGLE.iter().find(|name| view.count(name) > 1) {
        Some(name) => {
            let text = format!("the message has more than one {name} field; send one");
            Err(refuse((5, 6, 0), &text))
        }
        None => Ok(()),
    }
}

/// RFC 5321, section 6.3.
fn check_loop(view: &HeaderView) -> Result<(), Reply> {
    if view.received_count() < RECEIVED_MAX {
        return Ok(());
    }
    let text = format!(
        "the message has passed {RECEIVED_MAX} servers and goes in a circle; look for a forwarding loop"
    );
    Err(refuse((5, 4, 6), &text))
}

/// The message comes from whom it names: DKIM signs with the domain of the author (A41).
fn check_author(view: &HeaderView, envelope: &Envelope, account: &Account) -> Result<(), Reply> {
    match &envelope.reverse_path {
        ReversePath::Mailbox(address) => check_owned("MAIL FROM", address, account)?,
        ReversePath::Null if account.kind == AccountKind::Connector => {}
        ReversePath::Null => {
            return Err(refuse(
                (5, 7, 1),
                "only mail platforms may send with MAIL FROM:<>; use your own address",
            ));
        }
    }
    for name in ["From", "Sender"] {
        let mailboxes = view.mailboxes(name);
        let missing = view.has(name) && mailboxes.addresses.is_empty();
        if missing || mailboxes.unreadable > 0 {
            let text =
                format!("the {name} field is not a list of addresses; write Name <name@domain>");
            return Err(refuse((5, 6, 0), &text));
        }
        for address in &mailboxes.addresses {
            check_owned(name, address, account)?;
        }
    }
    Ok(())
}

fn check_owned(place: &str, address: &Address, account: &Account) -> Result<(), Reply> {
    if account.domains.contains(address.domain()) {
        return Ok(());
    }
    let own = account.domains.first().map_or("none yet", DnsName::as_str);
    let text = format!("{place} is outside the domains of this account; use an address at {own}");
    Err(refuse((5, 7, 1), &text))
}

/// Wishes that this relay never grants: a hidden copy, and mail without TLS (RFC 8689, section 3).
fn check_wishes(view: &HeaderView) -> Result<(), Reply> {
    if view.has("Bcc") || view.has("Resent-Bcc") {
        return Err(refuse(
            (5, 7, 1),
            "Bcc is not possible here; move those recipients to To or Cc, or send them their own message",
        ));
    }
    if view.has("TLS-Required") {
        return Err(refuse(
            (5, 7, 1),
            "this relay always requires TLS; remove the TLS-Required field",
        ));
    }
    Ok(())
}

/// Promise P7: who receives a message is named in it, or is a list, alias or journal address of the
/// tenant. Mail from `<>` is exempt, since bounces name whom they like.
fn check_named(view: &HeaderView, envelope: &Envelope, tenant: &Tenant) -> Result<(), Reply> {
    if envelope.reverse_path == ReversePath::Null {
        return Ok(());
    }
    let named: BTreeSet<String> = NAMING
        .iter()
        .flat_map(|name| view.mailboxes(name).addresses)
        .chain(tenant.lists.iter().cloned())
        .map(|address| address.canonical())
        .collect();
    let hidden = envelope
        .recipients
        .iter()
        .filter(|recipient| !named.contains(&recipient.canonical()))
        .count();
    if hidden == 0 {
        return Ok(());
    }
    let text = format!(
        "{hidden} of {} recipients stand neither in To nor in Cc, and Bcc is not possible here; name them, or ask your administrator to register the list",
        envelope.recipients.len()
    );
    Err(refuse((5, 7, 1), &text))
}

fn refuse(status: (u8, u16, u16), text: &str) -> Reply {
    let (class, subject, detail) = status;
    Reply::new(550, Some(EnhancedStatus::new(class, subject, detail)), text)
}

/// Fields that a message has at most once (RFC 5322, section 3.6; RFC 2045, section 3).
const SINGLE: [&str; 12] = [
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "Date",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Fields that name recipients.
const NAMING: [&str; 4] = ["To", "Cc", "Resent-To", "Resent-Cc"];
