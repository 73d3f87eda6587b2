//! One target for each parser of what comes from outside.
//!
//! A target takes any octets and says what must hold of them: no panic, an end, and what was read reads back the same.
//! `tests/corpus.rs` drives each with its corpus and with mutations of it. `cargo xtask fuzz TARGET` puts libFuzzer before
//! the same functions; a fuzzer of your own calls them too: `for (name, target) in fuzz_targets::targets()`.

#[cfg(feature = "adapters")]
mod callback;
#[cfg(feature = "adapters")]
mod dns;
mod inquiry;
mod mail;
#[cfg(feature = "adapters")]
mod portal;
mod reports;
#[cfg(feature = "adapters")]
mod session;
#[cfg(feature = "adapters")]
mod settings;
#[cfg(feature = "adapters")]
mod smtp;
mod texts;

/// A target: it returns where all is well, and panics where it is not.
pub type Target = fn(&[u8]);

/// Every target with the name of its corpus.
pub fn targets() -> impl Iterator<Item = (&'static str, Target)> {
    ENGINES.iter().chain(ADAPTERS).copied()
}

/// Those that need core alone.
const ENGINES: &[(&str, Target)] = &[
    ("address", texts::address),
    ("body", mail::body),
    ("bounce", mail::bounce),
    ("certificate", texts::certificate),
    ("header", mail::header),
    ("inquiry", inquiry::inquiry),
    ("link", texts::link),
    ("name", texts::name),
    ("nta7516", inquiry::nta),
    ("number", texts::number),
    ("parts", mail::parts),
    ("replay", inquiry::replay),
    ("sts-policy", texts::sts_policy),
    ("sts-record", texts::sts_record),
    ("tags", mail::tags),
    ("tls-record", reports::record),
    ("tls-report", reports::report),
    ("tlsa", texts::tlsa),
    ("token", texts::token),
    ("verp", mail::verp),
];

/// Those of the adapters and of the relay.
#[cfg(feature = "adapters")]
const ADAPTERS: &[(&str, Target)] = &[
    ("bdat", session::chunks),
    ("command", smtp::command),
    ("data", smtp::data),
    ("dns", dns::response),
    ("fields", portal::fields),
    ("html", portal::html),
    ("message", portal::message),
    ("reply", smtp::reply),
    ("sasl", smtp::sasl),
    ("session", session::commands),
    ("settings", settings::settings),
    ("twilio", callback::twilio),
];

#[cfg(not(feature = "adapters"))]
const ADAPTERS: &[(&str, Target)] = &[];
