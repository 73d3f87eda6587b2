//! What `doctor` reads: records, policies and certificates that strangers publish.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use securemail_core::backend::{FetchError, FetchedPolicy, PolicyFetcher, Resolver, VantageView};
use securemail_core::vocab::{Answer, DnsName, Outcome, Question, RecordKind, Security, UnixTime};
use securemail_testkit::ca::TestCa;

const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);
/// SPF asks for ten terms, some with both families, and so again by the end; DMARC walks up, and again for each of ten places of
/// reports; CAA climbs. None of that repeats itself without end.
const QUESTIONS_MAX: usize = 500;

/// Lines are records, `NAME TEXT`, or `NAME > NAME` for an alias; `a.test` is looked at. Behind a line with `%` comes the
/// policy of MTA-STS, behind another one a certificate. It ends, asks a bounded number of questions, and says what a
/// terminal bears.
pub(crate) fn doctor(octets: &[u8]) {
    let mut parts = octets.split(|octet| *octet == b'%');
    let records = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let policy = parts.next().map(<[u8]>::to_vec);
    let leaf = parts.next().map_or_else(|| LEAF.clone(), <[u8]>::to_vec);
    let Ok(name) = DnsName::parse("a.test") else {
        return;
    };
    let zone = Zone {
        records,
        policy,
        asked: AtomicUsize::new(0),
    };
    let looked = securemail_relay::of_strangers((&zone, &zone), &name, &leaf, NOW);
    let said = futures_util::FutureExt::now_or_never(looked);
    assert!(said.is_some(), "it waits for nothing");
    let said = said.unwrap_or_default();
    assert!(
        zone.asked.into_inner() <= QUESTIONS_MAX,
        "questions without end"
    );
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
        match question.kind {
            RecordKind::Txt if !values.is_empty() => {
                Outcome::Txt(values.into_iter().map(str::to_owned).collect())
            }
            _ => Outcome::NoData,
        }
    }
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
