//! One target for each parser of what comes from outside.
//!
//! A target takes any octets and says what must hold of them: no panic, an end, and what was read reads back the same.
//! `tests/corpus.rs` drives each with its corpus and with mutations of it. `cargo xtask fuzz TARGET` puts libFuzzer before
//! the same functions; a fuzzer of your own calls them too: `for (name, target) in fuzz_targets::targets()`.

#[cfg(feature = "adapters")]
mod callback;
#[cfg(feature = "adapters")]
mod client;
#[cfg(feature = "adapters")]
mod dkim;
#[cfg(feature = "adapters")]
mod dns;
#[cfg(feature = "adapters")]
mod doctor;
#[cfg(feature = "adapters")]
mod files;
#[cfg(feature = "adapters")]
mod http;
mod inquiry;
mod keys;
mod mail;
#[cfg(feature = "adapters")]
mod portal;
mod reports;
mod sealed;
#[cfg(feature = "adapters")]
mod session;
#[cfg(feature = "adapters")]
mod settings;
#[cfg(feature = "adapters")]
mod smtp;
mod stored;
mod texts;
#[cfg(feature = "adapters")]
mod visitor;

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
    ("event", sealed::event),
    ("gzip", reports::gzip),
    ("header", mail::header),
    ("id", texts::id),
    ("inquiry", inquiry::inquiry),
    ("key-file", keys::file),
    ("link", texts::link),
    ("name", texts::name),
    ("network", texts::network),
    ("nta7516", inquiry::nta),
    ("nta7516-record", inquiry::nta_record),
    ("number", texts::number),
    ("parts", mail::parts),
    ("pickup", stored::pickup),
    ("record", sealed::record),
    ("replay", inquiry::replay),
    ("report-mail", mail::report_mail),
    ("sealed", sealed::content),
    ("stored", stored::records),
    ("sts-policy", texts::sts_policy),
    ("sts-record", texts::sts_record),
    ("submission", mail::submission),
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
    ("anchors", dns::anchors),
    ("answer", callback::answer),
    ("bdat", session::chunks),
    ("chain", client::chain),
    ("client", client::client),
    ("command", smtp::command),
    ("data", smtp::data),
    ("dkim", dkim::dkim),
    ("dns", dns::response),
    ("doctor", doctor::doctor),
    ("fields", portal::fields),
    ("html", portal::html),
    ("message", portal::message),
    ("range", http::range),
    ("reply", smtp::reply),
    ("request", visitor::request),
    ("rows", files::rows),
    ("sasl", smtp::sasl),
    ("session", session::commands),
    ("settings", settings::settings),
    ("twilio", callback::twilio),
    ("typed-number", http::typed_number),
    ("vault", files::vault),
];

#[cfg(not(feature = "adapters"))]
const ADAPTERS: &[(&str, Target)] = &[];
