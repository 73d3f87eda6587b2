//! Questions of the doctor: with aliases followed, and each failure in words.

use std::net::IpAddr;

use securemail_core::backend::Resolver;
use securemail_core::vocab::{
    Answer, Caa, DnsName, LookupFailure, Mx, Outcome, Question, RecordKind, Security, Tlsa,
};

/// Aliases followed at most.
const ALIASES_MAX: usize = 8;

/// What came of a lookup.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found<T> {
    /// Records, and whether they are proved.
    Records(T, bool),
    /// None, and whether that is proved.
    Absent(bool),
    /// No answer; why.
    Unknown(String),
}

/// The texts of a name.
pub async fn texts(resolver: &dyn Resolver, name: &DnsName) -> Found<Vec<String>> {
    let take = |outcome| match outcome {
        Outcome::Txt(texts) => Some(texts),
        _ => None,
    };
    read(resolver, name, RecordKind::Txt, take).await
}

/// The exchangers of a domain.
pub async fn exchangers(resolver: &dyn Resolver, name: &DnsName) -> Found<Vec<Mx>> {
    let take = |outcome| match outcome {
        Outcome::Mx(hosts) => Some(hosts),
        _ => None,
    };
    read(resolver, name, RecordKind::Mx, take).await
}

/// Addresses of one family.
pub async fn addresses(
    resolver: &dyn Resolver,
    name: &DnsName,
    kind: RecordKind,
) -> Found<Vec<IpAddr>> {
    let take = |outcome| match outcome {
        Outcome::Addresses(addresses) => Some(addresses),
        _ => None,
    };
    read(resolver, name, kind, take).await
}

/// The TLSA records of a port of a host.
pub async fn tlsa(resolver: &dyn Resolver, host: &DnsName, port: u16) -> Found<Vec<Tlsa>> {
    let Ok(name) = host
        .below("_tcp")
        .and_then(|name| name.below(&format!("_{port}")))
    else {
        return Found::Unknown("the name is too long for a TLSA record".to_owned());
    };
    let take = |outcome| match outcome {
        Outcome::Tlsa(records) => Some(records),
        _ => None,
    };
    read(resolver, &name, RecordKind::Tlsa, take).await
}

/// The properties that say who may issue certificates for exactly this name.
pub async fn caa(resolver: &dyn Resolver, name: &DnsName) -> Found<Vec<Caa>> {
    let take = |outcome| match outcome {
        Outcome::Caa(properties) => Some(properties),
        _ => None,
    };
    read(resolver, name, RecordKind::Caa, take).await
}

/// The name servers of the zone that begins at this name. An alias begins no zone (RFC 2181, section 10.3).
pub async fn name_servers(resolver: &dyn Resolver, name: &DnsName) -> Found<Vec<DnsName>> {
    let question = Question::new(name.clone(), RecordKind::Ns);
    let answer = resolver.resolve(&question).await;
    let is_proved = answer.security == Security::Secure;
    match answer.outcome {
        Outcome::NameServers(servers) => Found::Records(servers, is_proved),
        Outcome::Failed(failure) => Found::Unknown(in_words(failure).to_owned()),
        _ => Found::Absent(is_proved),
    }
}

/// Whether there is anything at or below this name.
pub async fn exists(resolver: &dyn Resolver, name: &DnsName) -> Result<bool, String> {
    let question = Question::new(name.clone(), RecordKind::Txt);
    match resolver.resolve(&question).await.outcome {
        Outcome::NxDomain => Ok(false),
        Outcome::Failed(failure) => Err(in_words(failure).to_owned()),
        _ => Ok(true),
    }
}

/// Why mail to a domain with these exchangers would find no host, if so. No failure of the DNS says that.
pub async fn takes_no_mail(
    resolver: &dyn Resolver,
    domain: &DnsName,
    exchangers: &Found<Vec<Mx>>,
) -> Option<&'static str> {
    match exchangers {
        Found::Records(records, _) => {
            let is_null = records.iter().any(Mx::is_null);
            return is_null.then_some("its MX record says that it takes no mail");
        }
        Found::Unknown(_) => return None,
        Found::Absent(_) => {}
    }
    // Without MX records the name itself is the host (RFC 5321, section 5.1).
    for kind in [RecordKind::A, RecordKind::Aaaa] {
        if !matches!(addresses(resolver, domain, kind).await, Found::Absent(_)) {
            return None;
        }
    }
    Some("it has neither MX records nor an address")
}

/// A name and those above it, the longest first, down to one label.
pub fn upwards(name: &DnsName) -> Vec<DnsName> {
    let labels: Vec<&str> = name.labels().collect();
    (0..labels.len())
        .filter_map(|skipped| labels.get(skipped..))
        .filter_map(|labels| DnsName::parse(&labels.join(".")).ok())
        .collect()
}

async fn read<T>(
    resolver: &dyn Resolver,
    name: &DnsName,
    kind: RecordKind,
    take: impl Fn(Outcome) -> Option<T>,
) -> Found<T> {
    let mut name = name.clone();
    let mut is_proved = true;
    for _ in 0..ALIASES_MAX {
        let question = Question::new(name.clone(), kind);
        let Answer {
            outcome, security, ..
        } = resolver.resolve(&question).await;
        // A chain of aliases is as good as its worst link.
        is_proved &= security == Security::Secure;
        match outcome {
            Outcome::Alias(target) => name = target,
            Outcome::Failed(failure) => return Found::Unknown(in_words(failure).to_owned()),
            Outcome::NoData | Outcome::NxDomain => return Found::Absent(is_proved),
            other => {
                return match take(other) {
                    Some(records) => Found::Records(records, is_proved),
                    None => Found::Unknown("the answer is to another question".to_owned()),
                };
            }
        }
    }
    Found::Unknown("too many aliases".to_owned())
}

const fn in_words(failure: LookupFailure) -> &'static str {
    match failure {
        LookupFailure::Bogus => "the signatures do not validate",
        LookupFailure::Disagreement => "the validators do not agree",
        LookupFailure::FormErr | LookupFailure::NotImp | LookupFailure::Refused => {
            "the DNS server refuses the question"
        }
        LookupFailure::Malformed => "the answer cannot be read, or lacks its proof",
        LookupFailure::ServFail => "the DNS server could not find out",
        LookupFailure::Timeout => "the DNS did not answer in time",
        LookupFailure::Unusable => "the resolver cannot be used",
    }
}
