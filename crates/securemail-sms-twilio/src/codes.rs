//! Twilio's error codes, as far as a sender of codes meets them.

/// What an error code means for us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Meaning {
    /// Twilio, or the account, is at its limit: later.
    Busy,
    /// Credentials, or the state of the account.
    Credentials,
    /// The number is wrong, or no telephone that takes texts.
    Number,
    /// Switched off: a country, a recipient who said STOP, a filter.
    NotAllowed,
    /// Our settings or texts: the sender, the length.
    Settings,
    /// The telephone cannot be reached now.
    Unreachable,
}

/// What `code` means, and what to do about it; `None` for codes not in the table.
#[must_use]
pub const fn lookup(code: u32) -> Option<(Meaning, &'static str)> {
    Some(match code {
        14107 | 20429 | 21611 | 63038 => (Meaning::Busy, "at a limit of the account; send later"),
        20003 | 20404 => (
            Meaning::Credentials,
            "check account_sid and auth_token_file",
        ),
        20005 | 20006 | 90010 => (
            Meaning::Credentials,
            "the account is suspended or closed; see the Twilio console",
        ),
        21211 | 21214 | 21217 | 21421 => (Meaning::Number, "this is no telephone number"),
        21614 | 21635 | 30006 => (
            Meaning::Number,
            "this number takes no texts; is it a fixed line?",
        ),
        30005 => (Meaning::Number, "this number does not exist"),
        21408 => (
            Meaning::NotAllowed,
            "switch on this country under Geo permissions in the Twilio console",
        ),
        21610 => (
            Meaning::NotAllowed,
            "the recipient answered STOP; START from that phone undoes it",
        ),
        21612 => (
            Meaning::NotAllowed,
            "this sender cannot reach this number; use another sender",
        ),
        30004 => (
            Meaning::NotAllowed,
            "the telephone or its carrier blocks texts of this sender",
        ),
        30007 => (Meaning::NotAllowed, "the carrier filtered the text"),
        21212 | 21603 | 21606 | 21659 | 21660 | 21701 | 21703 => (
            Meaning::Settings,
            "check `from`: it must be a sender of this account",
        ),
        21602 | 21605 | 21617 => (Meaning::Settings, "the text is empty or too long"),
        21609 => (
            Meaning::Settings,
            "Twilio does not take the address for callbacks",
        ),
        30003 => (
            Meaning::Unreachable,
            "the telephone is switched off or out of reach",
        ),
        30001 | 30002 | 30008 | 30010 | 30017 => {
            (Meaning::Unreachable, "it could not be delivered")
        }
        _ => return None,
    })
}
