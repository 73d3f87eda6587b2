//! Decisions from evidence that is at hand, and from caches: what the policy itself costs, and what asking
//! costs where every answer is known, without DNS and sessions.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use securemail_core::backend::{FetchError, TransportPolicy as _};
use securemail_core::route::{
    Ask, AskReply, Evidence, Inquiry, MessageFacts, PolicySettings, Route, StandardPolicy, Step,
};
use securemail_core::vocab::{
    Answer, DnsName, Mx, MxTarget, Outcome, Profile, Question, RecordKind, Security, Tlsa, UnixTime,
};

const NOW: UnixTime = UnixTime::from_secs(1_795_255_200);

fn name(text: &str) -> DnsName {
    DnsName::parse(text).expect("a name")
}

/// A domain with two mail servers of somebody else, signed or not, with TLSA records or not.
fn answer(question: &Question, is_signed: bool) -> Answer {
    let outcome = match question.kind {
        RecordKind::Mx => Outcome::Mx(
            [(10, "mx1.mail.example.net"), (20, "mx2.mail.example.net")]
                .map(|(preference, host)| Mx {
                    preference,
                    target: MxTarget::Host(name(host)),
                })
                .to_vec(),
        ),
        RecordKind::A => Outcome::Addresses(vec![IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7))]),
        RecordKind::Tlsa if is_signed => Outcome::Tlsa(vec![Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: vec![7; 32],
        }]),
        RecordKind::Aaaa
        | RecordKind::Caa
        | RecordKind::Cname
        | RecordKind::Ns
        | RecordKind::Tlsa
        | RecordKind::Txt => Outcome::NoData,
    };
    let security = if is_signed {
        Security::Secure
    } else {
        Security::Insecure
    };
    Answer::new(outcome, security, NOW.plus(Duration::from_secs(3600)))
}

/// Asks until nothing is missing. A cache hands out copies of what it holds.
fn gather(domain: &DnsName, mut cached: impl FnMut(&Question) -> Answer) -> Evidence {
    let begin = Evidence::new(domain.clone(), Profile::DaneOnly, MessageFacts::at(NOW));
    let mut inquiry = Inquiry::new(begin, NOW);
    loop {
        let asks = match inquiry.poll() {
            Step::Done => return inquiry.into_evidence(),
            Step::Ask(asks) => asks,
        };
        for ask in asks {
            let reply = match &ask {
                Ask::Dns(question) => AskReply::Dns(cached(question)),
                Ask::Policy { .. } => AskReply::Policy(Err(FetchError::Unreachable)),
                Ask::Vantage(_) => AskReply::Vantage(Vec::new()),
            };
            inquiry.handle(ask, reply);
        }
    }
}

fn benches(criterion: &mut Criterion) {
    let policy = StandardPolicy::new(PolicySettings::default());
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(1));
    for (what, is_signed) in [("two hosts with DANE", true), ("nothing proved", false)] {
        let domain = name("example.org");
        let mut cache: BTreeMap<Question, Answer> = BTreeMap::new();
        let evidence = gather(&domain, |question| {
            let answer = answer(question, is_signed);
            cache.insert(question.clone(), answer.clone());
            answer
        });
        let decision = policy.decide(&evidence, NOW);
        assert_eq!(
            matches!(decision.route, Route::Deliver { .. }),
            is_signed,
            "{decision:?}"
        );
        group.bench_function(what, |bencher| {
            bencher.iter(|| policy.decide(black_box(&evidence), NOW));
        });
        let kept = serde_json::to_vec(&evidence).expect("evidence as JSON");
        group.bench_function(format!("{what}, replayed from JSON"), |bencher| {
            bencher.iter(|| {
                let evidence: Evidence =
                    serde_json::from_slice(black_box(&kept)).expect("evidence");
                policy.decide(&evidence, NOW)
            });
        });
        group.bench_function(format!("{what}, from caches"), |bencher| {
            bencher.iter(|| {
                let cached = |question: &Question| cache[question].clone();
                let evidence = gather(black_box(&domain), cached);
                policy.decide(&evidence, NOW)
            });
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
