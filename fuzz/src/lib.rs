//! One target for each parser of what comes from outside.
//!
//! A target takes any octets and says what must hold of them: no panic, an end, and what was read reads back the same.
//! `tests/corpus.rs` drives each with its corpus and with mutations of it, on the stable compiler. A fuzzer of your own
//! calls the same functions: `for (name, target) in fuzz_targets::TARGETS`.

mod inquiry;
mod mail;
mod smtp;
mod texts;

/// A target: it returns where all is well, and panics where it is not.
pub type Target = fn(&[u8]);

/// Every target with the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("address", texts::address),
    ("bounce", mail::bounce),
    ("certificate", texts::certificate),
    ("command", smtp::command),
    ("data", smtp::data),
    ("header", mail::header),
    ("inquiry", inquiry::inquiry),
    ("link", texts::link),
    ("name", texts::name),
    ("nta7516", inquiry::nta),
    ("number", texts::number),
    ("reply", smtp::reply),
    ("replay", inquiry::replay),
    ("sasl", smtp::sasl),
    ("sts-policy", texts::sts_policy),
    ("sts-record", texts::sts_record),
    ("tlsa", texts::tlsa),
    ("twilio", mail::twilio),
    ("verp", mail::verp),
];
