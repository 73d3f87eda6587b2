//! Every number that is shown, with its meaning and all values of its label.
//!
//! Labels are closed lists, so no address, domain or tenant can become one, and their number is bounded.

use super::registry::{Family, Kind};

pub const MESSAGES: &str = "securemail_messages_total";
pub const ANSWER: &str = "securemail_answer_seconds";
pub const RECIPIENTS: &str = "securemail_recipients_total";
pub const SETTLE: &str = "securemail_settle_seconds";
pub const HELD: &str = "securemail_recipients_held_total";
pub const ATTEMPTS: &str = "securemail_attempts_total";
pub const TLS_FAILURES: &str = "securemail_tls_failures_total";
pub const NOTICES: &str = "securemail_notices_total";
pub const SENDER_MAILS: &str = "securemail_sender_mails_total";
pub const ALARMS: &str = "securemail_alarms_total";
pub const POLICIES: &str = "securemail_policy_refreshes_total";
pub const SMS: &str = "securemail_sms_total";
pub const SPOOL_QUEUED: &str = "securemail_spool_queued";
pub const SPOOL_DUE: &str = "securemail_spool_due";
pub const SPOOL_OLDEST: &str = "securemail_spool_oldest_seconds";
pub const OWN_QUEUED: &str = "securemail_own_mail_queued";
pub const VAULT: &str = "securemail_vault_messages";
pub const STORE_UP: &str = "securemail_store_up";
pub const CERTIFICATE: &str = "securemail_certificate_remaining_seconds";
pub const MEMORY: &str = "process_resident_memory_bytes";
pub const STARTED: &str = "process_start_time_seconds";

/// In the order in which they are shown.
pub const FAMILIES: [Family; 21] = [
    counter(
        MESSAGES,
        "Messages answered at their end of data, or refused by the session before it.",
        ("reply", &["accepted", "later", "refused"]),
    ),
    Family {
        name: ANSWER,
        kind: Kind::Histogram,
        help: "How long senders waited for that answer.",
        label: None,
    },
    counter(
        RECIPIENTS,
        "Recipients of messages that came to an end.",
        ("outcome", &OUTCOMES),
    ),
    Family {
        name: SETTLE,
        kind: Kind::Histogram,
        help: "From the acceptance of a message to the end for one recipient.",
        label: Some(("outcome", &OUTCOMES)),
    },
    counter(
        HELD,
        "How often a recipient was held, by class.",
        ("class", &CLASSES),
    ),
    counter(ATTEMPTS, "Sessions with hosts.", ("result", &RESULTS)),
    counter(
        TLS_FAILURES,
        "Sessions that ended because TLS or the proof of the peer failed.",
        ("rule", &TLS_RULES),
    ),
    counter(
        NOTICES,
        "Notices to recipients.",
        ("result", &["taken", "given_up"]),
    ),
    counter(
        SENDER_MAILS,
        "Mails to senders.",
        ("result", &["taken", "given_up"]),
    ),
    counter(
        SMS,
        "Codes handed to the carrier.",
        ("result", &SMS_RESULTS),
    ),
    counter(
        ALARMS,
        "How often something was heard that is an alarm of the node.",
        (
            "alarm",
            &["canary", "cut_off", "disagreement", "fall", "vantage"],
        ),
    ),
    counter(
        POLICIES,
        "Looks at policies (MTA-STS) in the background.",
        ("result", &["fetched", "failed", "missed"]),
    ),
    gauge(SPOOL_QUEUED, "Deliveries that wait in the spool."),
    gauge(SPOOL_DUE, "Of these, how many are due and not being tried."),
    gauge(SPOOL_OLDEST, "Age of the oldest delivery that waits."),
    gauge(
        OWN_QUEUED,
        "Notices, mails to senders and reports about TLS that wait.",
    ),
    gauge(VAULT, "Messages in the vault, picked up or not."),
    gauge(STORE_UP, "1 where the store could be read just now."),
    gauge(
        CERTIFICATE,
        "How long the relay's own certificate is valid.",
    ),
    gauge(MEMORY, "Resident memory of this process."),
    gauge(STARTED, "When this process began, in seconds since 1970."),
];

const OUTCOMES: [&str; 4] = ["delivered", "vaulted", "bounced", "refused"];

const CLASSES: [&str; 6] = [
    "no_path",
    "transient",
    "suspicious",
    "unproved_denial",
    "own_fault",
    "unconfirmed",
];

const RESULTS: [&str; 7] = [
    "answered",
    "called_off",
    "incapable",
    "injected",
    "not_let_in",
    "tls_failed",
    "unreachable",
];

const TLS_RULES: [&str; 8] = [
    "starttls",
    "handshake",
    "certificate_expired",
    "certificate_name",
    "certificate_untrusted",
    "certificate_unusable",
    "domain_not_named",
    "tlsa_mismatch",
];

const SMS_RESULTS: [&str; 8] = [
    "sent",
    "in_doubt",
    "number",
    "not_allowed",
    "credentials",
    "busy",
    "unavailable",
    "other",
];

const fn counter(
    name: &'static str,
    help: &'static str,
    label: (&'static str, &'static [&'static str]),
) -> Family {
    Family {
        name,
        kind: Kind::Counter,
        help,
        label: Some(label),
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Gauge,
        help,
        label: None,
    }
}
