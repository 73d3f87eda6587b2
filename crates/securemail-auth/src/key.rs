//! A DKIM key as its domain publishes it (RFC 6376, section 3.6): looked up, and read for whom it is.

use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::verify::DomainKey;
use securemail_core::backend::Resolver;
use securemail_core::limits::ALIAS_HOPS_MAX;
use securemail_core::vocab::{DnsName, Outcome, Question, RecordKind, Security};

/// What the DNS says of a key.
pub(crate) enum Published {
    /// It may be used for the service.
    Key(DomainKey),
    /// There is none, or none that may be used.
    Nothing,
    /// It could not be found out.
    Unknown,
}

/// Looks up the key of `selector` in `domain`, following aliases.
pub(crate) async fn look_up(
    resolver: &dyn Resolver,
    domain: &DnsName,
    selector: &str,
    service: &str,
) -> Published {
    let Ok(mut name) = domain.below(&format!("{selector}._domainkey")) else {
        return Published::Nothing;
    };
    for _ in 0..=ALIAS_HOPS_MAX {
        let question = Question::new(name, RecordKind::Txt);
        let answer = resolver.resolve(&question).await;
        // What ought to be signed and is not, or is unclear, is no answer.
        if !matches!(answer.security, Security::Insecure | Security::Secure) {
            return Published::Unknown;
        }
        match answer.outcome {
            Outcome::Alias(target) => name = target,
            Outcome::NoData | Outcome::NxDomain => return Published::Nothing,
            Outcome::Txt(records) => return read(&records, service),
            Outcome::Addresses(_)
            | Outcome::Caa(_)
            | Outcome::Failed(_)
            | Outcome::Mx(_)
            | Outcome::NameServers(_)
            | Outcome::Tlsa(_) => {
                return Published::Unknown;
            }
        }
    }
    Published::Unknown
}

/// RFC 6376, section 3.6.2.2: with several records the result is undefined; none counts.
fn read(records: &[String], service: &str) -> Published {
    let [record] = records else {
        return Published::Nothing;
    };
    if !is_for(record, service) || is_in_testing(record) {
        return Published::Nothing;
    }
    DomainKey::parse(record.as_bytes()).map_or(Published::Nothing, Published::Key)
}

/// Section 3.6.1, `s=`: without it a key is for everything.
fn is_for(record: &str, service: &str) -> bool {
    let named = |services: &str| {
        let mut services = services.split(':').map(str::trim);
        services.any(|named| named == "*" || named.eq_ignore_ascii_case(service))
    };
    tag(record, "s").is_none_or(named)
}

/// Section 3.6.1, `t=y`: its signatures are to be treated as none.
fn is_in_testing(record: &str) -> bool {
    tag(record, "t").is_some_and(|flags| flags.split(':').any(|flag| flag.trim() == "y"))
}

/// The value of a tag (section 3.2).
fn tag<'a>(record: &'a str, wanted: &str) -> Option<&'a str> {
    record.split(';').find_map(|tag| {
        let (name, value) = tag.split_once('=')?;
        (name.trim() == wanted).then(|| value.trim())
    })
}
