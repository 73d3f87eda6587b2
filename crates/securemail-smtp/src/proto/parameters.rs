//! The parameters of MAIL (RFC 5321, section 4.1.1.11).

use securemail_core::vocab::{Demands, RequireTls, ReversePath};

use super::answers::{say, too_big};
use super::command::Parameter;
use super::reply::WireReply;

/// What the parameters of MAIL say.
#[derive(Debug, Default)]
pub(super) struct MailParameters {
    /// SIZE (RFC 1870).
    pub(super) declared_size: Option<u64>,
    /// SMTPUTF8 (RFC 6531) and REQUIRETLS (RFC 8689).
    pub(super) demands: Demands,
}

/// What was offered to the client, by which its parameters are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    /// Octets of one message.
    pub(super) message_bytes: u64,
    /// REQUIRETLS, which is offered in TLS alone (RFC 8689, section 4.1).
    pub(super) require_tls: bool,
}

impl MailParameters {
    /// Reads them, if all are understood.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn read(
        parameters: &[Parameter],
        reverse_path: &ReversePath,
        offered: Offered,
    ) -> Result<Self, WireReply> {
        let mut read = Self::default();
        for parameter in parameters {
            read.take(parameter, reverse_path, offered)?;
        }
        match read.declared_size {
            Some(size) if size > offered.message_bytes => Err(too_big(offered.message_bytes)),
            _ => Ok(read),
        }
    }

    fn take(
        &mut self,
        Parameter { keyword, value }: &Parameter,
        reverse_path: &ReversePath,
        offered: Offered,
    ) -> Result<(), WireReply> {
        match (keyword.as_str(), value.as_deref()) {
            ("SIZE", Some(value)) => {
                let size = parse_size(value)
                    .filter(|_| self.declared_size.is_none())
                    .ok_or_else(|| say(501, (5, 5, 4), "SIZE=octets, once"))?;
                self.declared_size = Some(size);
            }
            ("BODY", Some(body))
                if body.eq_ignore_ascii_case("7BIT") || body.eq_ignore_ascii_case("8BITMIME") => {}
            // RFC 4954, section 5: must be understood; nobody here is trusted to vouch for another.
            ("AUTH", Some(_)) => {}
            ("SMTPUTF8", None) => self.demands.smtp_utf8 = true,
            ("REQUIRETLS", None) if offered.require_tls => {
                // RFC 8689, section 4.2: a report about a message must not be lost for want of it.
                self.demands.require_tls = match reverse_path {
                    ReversePath::Mailbox(_) => RequireTls::Always,
                    ReversePath::Null => RequireTls::IfOffered,
                };
            }
            ("SIZE" | "BODY" | "AUTH" | "SMTPUTF8", _) | ("REQUIRETLS", Some(_)) => {
                return Err(say(501, (5, 5, 4), "a parameter has a wrong value"));
            }
            _ => {
                return Err(say(
                    555,
                    (5, 5, 4),
                    "a parameter is not known; SIZE, BODY, SMTPUTF8 and, in TLS, REQUIRETLS are",
                ));
            }
        }
        Ok(())
    }
}

/// 1 to 20 digits (RFC 1870, section 3).
fn parse_size(value: &str) -> Option<u64> {
    let fits = (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    if !fits {
        return None;
    }
    Some(value.parse().unwrap_or(u64::MAX))
}
