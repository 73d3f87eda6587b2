//! What a server session answers where it does not need the handler for it.

use securemail_core::vocab::{
    Account, AccountKind, AddressError, DnsName, EnhancedStatus, Reply, ReversePath,
};

use super::command::CommandError;
use super::reply::WireReply;
use super::server::Step;

/// A message is larger than allowed.
#[must_use]
pub fn too_big(bytes_max: u64) -> WireReply {
    say(
        552,
        (5, 3, 4),
        &format!("the message is too big; at most {bytes_max} octets are taken"),
    )
}

/// Whether an account may use a reverse-path.
pub(super) fn check_reverse_path(account: &Account, path: &ReversePath) -> Result<(), WireReply> {
    match path {
        ReversePath::Null if account.kind == AccountKind::Connector => Ok(()),
        ReversePath::Null => Err(say(
            550,
            (5, 7, 1),
            "only connectors may use <>; give an address of your own",
        )),
        ReversePath::Mailbox(address) if account.domains.contains(address.domain()) => Ok(()),
        ReversePath::Mailbox(_) => {
            let domains: Vec<_> = account
                .domains
                .iter()
                .take(DOMAINS_NAMED)
                .map(DnsName::as_str)
                .collect();
            let text = format!(
                "this account may not send as that domain; send as {}, or have the domain added",
                domains.join(", ")
            );
            Err(say(550, (5, 7, 1), &text))
        }
    }
}

/// Why a line is not obeyed.
pub(super) fn refuse_command(error: CommandError, line: &[u8]) -> WireReply {
    let is_mail = line
        .get(..4)
        .is_some_and(|verb| verb.eq_ignore_ascii_case(b"MAIL"));
    let detail = |sender, recipient| if is_mail { sender } else { recipient };
    match error {
        CommandError::Address(error) => {
            let (code, enhanced) = match error {
                AddressError::AddressLiteral => (550, (5, 1, detail(7, 2))),
                _ => (501, (5, 1, detail(7, 3))),
            };
            say(code, enhanced, &error.to_string())
        }
        CommandError::Chunk => say(501, (5, 5, 4), &error.to_string()),
        CommandError::NeedsUtf8 => say(553, (5, 6, 7), &error.to_string()),
        CommandError::Syntax(form) => say(501, (5, 5, 4), form),
        CommandError::Unknown => say(500, (5, 5, 1), "the command is not known"),
    }
}

/// A reply of the handler that is none would leave the client without an answer.
pub(super) fn sane(reply: &Reply) -> Reply {
    if reply.is_positive() || reply.is_transient() || reply.is_permanent() {
        return reply.clone();
    }
    Reply::new(
        451,
        Some(EnhancedStatus::new(4, 3, 0)),
        "local error; try again later",
    )
}

pub(super) fn answer(code: u16, enhanced: (u8, u16, u16), text: &str) -> Step {
    Step::Answer(say(code, enhanced, text))
}

pub(super) fn close(code: u16, enhanced: (u8, u16, u16), text: &str) -> Step {
    Step::Close(say(code, enhanced, text))
}

/// A reply of one line.
#[must_use]
pub fn say(code: u16, (class, subject, detail): (u8, u16, u16), text: &str) -> WireReply {
    let enhanced = EnhancedStatus::new(class, subject, detail);
    WireReply::from(&Reply::new(code, Some(enhanced), text))
}

/// Domains that a refusal names; the reply must fit into a line.
const DOMAINS_NAMED: usize = 3;
