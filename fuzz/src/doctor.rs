//! What `doctor` reads: records, policies and certificates that strangers publish.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use securemail_core::backend::{FetchError, FetchedPolicy, PolicyFetcher, Resolver, VantageView};
use securemail_core::dkim::LocalDkimKey;
use securemail_core::vocab::{
    Answer, Caa, DnsName, Mx, MxTarget, Outcome, Question, RecordKind, Security, UnixTime,
};
use securemail_testkit::ca::TestCa;

use crate::dkim;

const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);
/// SPF asks for ten terms, some with both families, and so again by the end; DMARC walks up, and again for each of ten places of
/// reports; CAA climbs. None of that repeats itself without end.
const QUESTIONS_MAX: usize = 500;

/// Lines are records, `NAME TEXT`, `NAME > NAME` for an alias, `NAME MX 10 HOST` or `NAME CAA 0 TAG VALUE`; `a.test` is
/// looked at, and the key that it signs with. Behind a line with `%` comes the policy of MTA-STS, behind another one a
/// certificate. It ends, asks a bounded number of questions, and says what a terminal bears.
pub(crate) fn doctor(octets: &[u8]) {
    let Some(said) = said(octets) else {
        return assert!(octets.is_empty(), "there is no key, or no name");
    };
    let bad = |c: char| c.is_control() && c != '\n';
    assert!(!said.contains(bad), "{said:?}");
    let lines = said.lines().filter(|line| !line.contains("a.test:"));
    assert_eq!(
        lines.count(),
        1,
        "the sum is the only line that is no finding: {said}"
    );
    assert!(said.lines().count() <= 20, "{said}");
}

fn said(octets: &[u8]) -> Option<String> {
    let mut parts = octets.split(|octet| *octet == b'%');
    let records = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let policy = parts.next().map(<[u8]>::to_vec);
    let leaf = parts.next().map_or_else(|| LEAF.clone(), <[u8]>::to_vec);
    let keys = [KEY.as_ref()?];
    let name = DnsName::parse("a.test").ok()?;
    let zone = Zone {
        records,
        policy,
        asked: AtomicUsize::new(0),
    };
    let looked = securemail_relay::of_strangers((&zone, &zone), (&name, &keys), &leaf, NOW);
    let said = futures_util::FutureExt::now_or_never(looked);
    assert!(said.is_some(), "it waits for nothing");
    assert!(
        zone.asked.into_inner() <= QUESTIONS_MAX,
        "questions without end"
    );
    said
}

static KEY: LazyLock<Option<LocalDkimKey>> = LazyLock::new(dkim::key);

static LEAF: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let issued = TestCa::new().and_then(|ca| ca.issue(&["a.test"]));
    issued.map(|issued| issued.leaf_der).unwrap_or_default()
});

#[derive(Debug)]
struct Zone {
    records: String,
    policy: Option<Vec<u8>>,
    asked: AtomicUsize,
}

impl Zone {
    fn outcome(&self, question: &Question) -> Outcome {
        let lines = self
            .records
            .split('\n')
            .filter_map(|line| line.split_once(' '));
        let of_name = lines.filter(|(name, _)| *name == question.name.as_str());
        let values: Vec<&str> = of_name.map(|(_, value)| value).collect();
        let alias = values.iter().find_map(|value| value.strip_prefix("> "));
        if let Some(target) = alias.and_then(|target| DnsName::parse(target).ok()) {
            return Outcome::Alias(target);
        }
        let outcome = match question.kind {
            RecordKind::Caa => of_kind(&values, caa, Outcome::Caa),
            RecordKind::Mx => of_kind(&values, mx, Outcome::Mx),
            RecordKind::Txt => of_kind(&values, |value| Some(value.to_owned()), Outcome::Txt),
            RecordKind::A
            | RecordKind::Aaaa
            | RecordKind::Cname
            | RecordKind::Ns
            | RecordKind::Tlsa => None,
        };
        outcome.unwrap_or(Outcome::NoData)
    }
}

/// The records that can be read so, where there are any.
fn of_kind<T>(
    values: &[&str],
    read: impl Fn(&str) -> Option<T>,
    outcome: impl Fn(Vec<T>) -> Outcome,
) -> Option<Outcome> {
    let records: Vec<T> = values.iter().filter_map(|value| read(value)).collect();
    (!records.is_empty()).then(|| outcome(records))
}

fn caa(value: &str) -> Option<Caa> {
    let (flags, property) = value.strip_prefix("CAA ")?.split_once(' ')?;
    let (tag, value) = property.split_once(' ')?;
    Some(Caa {
        is_critical: flags == "128",
        tag: tag.to_ascii_lowercase(),
        value: value.to_owned(),
    })
}

fn mx(value: &str) -> Option<Mx> {
    let (preference, host) = value.strip_prefix("MX ")?.split_once(' ')?;
    let target = match host {
        "." => MxTarget::Null,
        host => MxTarget::Host(DnsName::parse(host).ok()?),
    };
    Some(Mx {
        preference: preference.parse().ok()?,
        target,
    })
}

#[async_trait]
impl Resolver for Zone {
    async fn resolve(&self, question: &Question) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Answer::new(self.outcome(question), Security::Secure, NOW)
    }

    async fn resolve_anew(&self, question: &Question) -> Answer {
        self.resolve(question).await
    }

    async fn vantages(&self, _: &Question) -> Vec<VantageView> {
        Vec::new()
    }
}

#[async_trait]
impl PolicyFetcher for Zone {
    async fn fetch(&self, _: &DnsName) -> Result<FetchedPolicy, FetchError> {
        let body = self.policy.clone().ok_or(FetchError::Unreachable)?;
        Ok(FetchedPolicy { body: body.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_good_zone_publishes_is_read() {
        let said = said(include_bytes!("../corpus/doctor/good")).unwrap();
        for read in [
            "s._domainkey.a.test has our key",
            "lets only ca.test issue",
            "it is said who may issue",
            "answers to its mail find a host",
            "mode enforce",
        ] {
            assert!(said.contains(read), "{read}: {said}");
        }
    }
}
