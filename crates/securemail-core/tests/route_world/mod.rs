//! A recipient domain as it may be: zones, hosts, policies, history and earlier attempts.

use std::time::Duration;

use proptest::prelude::*;

use securemail_core::backend::{
    CachedPolicy, DomainHistory, FetchError, FetchedPolicy, HostHistory, Lack, RecipientOutcome,
    SessionOutcome, Span, TransportPolicy, VantageView,
};
use securemail_core::route::{
    Ask, AskReply, AttemptEvidence, Decision, Evidence, Inquiry, MessageFacts, PeerFailure,
    StandardPolicy, Step,
};
use securemail_core::vocab::{
    Answer, DnsName, EnhancedStatus, LookupFailure, Mx, MxTarget, Outcome, Profile, Question,
    RecordKind, Reply, Security, Tlsa, UnixTime,
};

pub(crate) const ACCEPTED: UnixTime = UnixTime::from_secs(1_767_225_600);
pub(crate) const HOSTS: [&str; 3] = ["mx1.example.org", "mx2.example.org", "mx.host.example"];

/// How a zone answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Zone {
    Secure,
    Insecure,
    Bogus,
    Failing,
}

/// What a host shows.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) zone: Zone,
    pub(crate) alias: bool,
    pub(crate) tlsa: Option<(Zone, Vec<Tlsa>)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Listing {
    Hosts,
    NoData,
    NxDomain,
    Null,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) profile: Profile,
    pub(crate) age: Duration,
    pub(crate) mx: (Zone, Listing),
    pub(crate) hosts: Vec<Host>,
    pub(crate) txt: Option<Zone>,
    pub(crate) policy: Result<String, FetchError>,
    pub(crate) kept: Option<String>,
    pub(crate) vantage: Option<bool>,
    pub(crate) history: Option<DomainHistory>,
    pub(crate) attempts: Vec<AttemptEvidence>,
    pub(crate) vault_possible: bool,
    pub(crate) consent: bool,
    pub(crate) require_tls: bool,
    pub(crate) utf8_recipient: bool,
}

impl World {
    pub(crate) fn now(&self) -> UnixTime {
        ACCEPTED.plus(self.age)
    }

    /// The evidence that an inquiry gathers here, and how many rounds it took.
    pub(crate) fn inquire(&self) -> (Evidence, usize) {
        let mut message = MessageFacts::at(ACCEPTED);
        message.round_began = self.now().minus(Duration::from_secs(300));
        message.vault_possible = self.vault_possible;
        message.divert_on_downgrade = self.consent;
        message.require_tls = self.require_tls;
        message.utf8_recipient = self.utf8_recipient;
        let mut evidence = Evidence::new(name("example.org"), self.profile, message);
        evidence.history = self.history.clone();
        evidence.attempts = self.attempts.clone();
        evidence.sts.cached = self.kept.as_ref().map(|body| CachedPolicy {
            id: "0".to_owned(),
            body: body.clone(),
            fetched: ACCEPTED,
            expires: UnixTime::MAX,
        });
        let mut inquiry = Inquiry::new(evidence, self.now());
        for round in 0..20 {
            match inquiry.poll() {
                Step::Done => return (inquiry.into_evidence(), round),
                Step::Ask(asks) => {
                    for ask in asks {
                        let reply = self.reply(&ask);
                        inquiry.handle(ask, reply);
                    }
                }
            }
        }
        panic!("the inquiry does not end");
    }

    pub(crate) fn decide(&self) -> (Evidence, Decision) {
        let (evidence, _) = self.inquire();
        let decision = StandardPolicy::default().decide(&evidence, self.now());
        (evidence, decision)
    }

    pub(crate) fn reply(&self, ask: &Ask) -> AskReply {
        match ask {
            Ask::Dns(question) => AskReply::Dns(self.resolve(question)),
            Ask::Policy { .. } => {
                let body = self.policy.clone();
                AskReply::Policy(body.map(|body| FetchedPolicy { body: body.into() }))
            }
            Ask::Vantage(question) => AskReply::Vantage(match self.vantage {
                None => Vec::new(),
                Some(agrees) => {
                    let answer = if agrees {
                        self.resolve(question)
                    } else {
                        answer(Zone::Failing, Outcome::NoData)
                    };
                    vec![VantageView {
                        vantage: "elsewhere".to_owned(),
                        answer,
                    }]
                }
            }),
        }
    }

    pub(crate) fn resolve(&self, question: &Question) -> Answer {
        let asked = question.name.as_str();
        match question.kind {
            RecordKind::Mx => answer(self.mx.0, self.listing()),
            RecordKind::Txt => match self.txt {
                Some(zone) => answer(zone, Outcome::Txt(vec!["v=STSv1; id=1".to_owned()])),
                None => answer(Zone::Insecure, Outcome::NxDomain),
            },
            RecordKind::A | RecordKind::Aaaa => {
                let Some(host) = self.host(asked) else {
                    return answer(Zone::Insecure, Outcome::NoData);
                };
                if host.alias && !asked.starts_with("real.") {
                    let target = DnsName::parse(&format!("real.{asked}")).unwrap();
                    return answer(host.zone, Outcome::Alias(target));
                }
                let address = if question.kind == RecordKind::A {
                    "192.0.2.1"
                } else {
                    "2001:db8::1"
                };
                answer(
                    host.zone,
                    Outcome::Addresses(vec![address.parse().unwrap()]),
                )
            }
            RecordKind::Tlsa => match self.host(asked).and_then(|host| host.tlsa.clone()) {
                Some((zone, records)) => answer(zone, Outcome::Tlsa(records)),
                None => answer(Zone::Secure, Outcome::NxDomain),
            },
            RecordKind::Caa | RecordKind::Cname | RecordKind::Ns => {
                answer(Zone::Insecure, Outcome::NoData)
            }
        }
    }

    pub(crate) fn host(&self, asked: &str) -> Option<&Host> {
        let index = HOSTS.iter().position(|host| asked.ends_with(host));
        match index {
            Some(index) => self.hosts.get(index),
            None => self.hosts.first(),
        }
    }

    pub(crate) fn listing(&self) -> Outcome {
        match self.mx.1 {
            Listing::Hosts => {
                let hosts = HOSTS.iter().take(self.hosts.len()).zip(0..);
                let record = |(host, preference): (&&str, u16)| Mx {
                    preference,
                    target: MxTarget::Host(name(host)),
                };
                Outcome::Mx(hosts.map(record).collect())
            }
            Listing::NoData => Outcome::NoData,
            Listing::NxDomain => Outcome::NxDomain,
            Listing::Null => Outcome::Mx(vec![Mx {
                preference: 0,
                target: MxTarget::Null,
            }]),
        }
    }
}

pub(crate) fn answer(zone: Zone, outcome: Outcome) -> Answer {
    match zone {
        Zone::Secure => Answer::new(outcome, Security::Secure, UnixTime::MAX),
        Zone::Insecure => Answer::new(outcome, Security::Insecure, UnixTime::MAX),
        Zone::Bogus => Answer::failed(LookupFailure::Bogus, UnixTime::MAX),
        Zone::Failing => Answer::failed(LookupFailure::ServFail, UnixTime::MAX),
    }
}

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

pub(crate) fn body(mode: &str, pattern: &str) -> String {
    format!("version: STSv1\nmode: {mode}\nmax_age: 86400\nmx: {pattern}\n")
}

pub(crate) fn zone() -> impl Strategy<Value = Zone> {
    prop_oneof![
        4 => Just(Zone::Secure),
        4 => Just(Zone::Insecure),
        1 => Just(Zone::Bogus),
        1 => Just(Zone::Failing),
    ]
}

pub(crate) fn tlsa() -> impl Strategy<Value = Tlsa> {
    let number = || prop_oneof![Just(0u8), Just(1), Just(2), Just(3), Just(9)];
    let length = prop_oneof![Just(0usize), Just(31), Just(32), Just(64)];
    (number(), number(), number(), length).prop_map(|(usage, selector, matching, length)| Tlsa {
        usage,
        selector,
        matching,
        data: vec![7; length],
    })
}

pub(crate) fn host() -> impl Strategy<Value = Host> {
    let good = Tlsa {
        usage: 3,
        selector: 1,
        matching: 1,
        data: vec![7; 32],
    };
    let records = prop_oneof![Just(vec![good]), prop::collection::vec(tlsa(), 1..3)];
    (zone(), any::<bool>(), prop::option::of((zone(), records)))
        .prop_map(|(zone, alias, tlsa)| Host { zone, alias, tlsa })
}

pub(crate) fn policy() -> impl Strategy<Value = String> {
    let mode = prop_oneof![Just("enforce"), Just("testing"), Just("none")];
    let pattern = prop_oneof![
        Just("*.example.org"),
        Just("mx1.example.org"),
        Just("other.example")
    ];
    (mode, pattern).prop_map(|(mode, pattern)| body(mode, pattern))
}

pub(crate) fn outcome() -> impl Strategy<Value = (SessionOutcome, Option<RecipientOutcome>)> {
    let reply = |code| Reply::new(code, Some(EnhancedStatus::new(5, 1, 1)), "no");
    let completed = |recipient| (SessionOutcome::Completed, Some(recipient));
    let text = || "reason".to_owned();
    prop_oneof![
        Just((SessionOutcome::NotAuthenticated(PeerFailure::Name), None)),
        Just((
            SessionOutcome::NotAuthenticated(PeerFailure::NoTlsaMatch),
            None
        )),
        Just((
            SessionOutcome::NotAuthenticated(PeerFailure::NotNamed),
            None
        )),
        Just((SessionOutcome::NoStartTls(None), None)),
        Just((SessionOutcome::NoStartTls(Some(reply(554))), None)),
        Just((SessionOutcome::NoStartTls(Some(reply(454))), None)),
        Just((SessionOutcome::Injected, None)),
        Just((SessionOutcome::TlsFailed(text()), None)),
        Just((SessionOutcome::Unreachable(text()), None)),
        Just((SessionOutcome::Incapable(Lack::Size(10)), None)),
        Just((SessionOutcome::Incapable(Lack::EightBitMime), None)),
        Just((SessionOutcome::Incapable(Lack::RequireTls), None)),
        Just((SessionOutcome::Incapable(Lack::SmtpUtf8), None)),
        Just((SessionOutcome::CalledOff, None)),
        Just(completed(RecipientOutcome::Deferred(Reply::new(
            451, None, "later"
        )))),
        Just(completed(RecipientOutcome::Unconfirmed)),
        Just(completed(RecipientOutcome::NotTried)),
        Just(completed(RecipientOutcome::Refused(reply(550)))),
    ]
}

pub(crate) fn age() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(0u64),
        Just(60),
        Just(600),
        Just(1200),
        Just(20_000),
        Just(500_000)
    ]
    .prop_map(Duration::from_secs)
}

pub(crate) fn history() -> impl Strategy<Value = DomainHistory> {
    (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        0u8..=4,
        2u8..=3,
        any::<bool>(),
    )
        .prop_map(
            |(mx_was_secure, sts, absent, authority, authentication, host)| DomainHistory {
                mx_secure_at: mx_was_secure.then_some(ACCEPTED),
                sts_enforced_until: sts.then_some(UnixTime::MAX),
                absent: absent.then_some(Span {
                    since: ACCEPTED,
                    last: ACCEPTED,
                }),
                no_require_tls: absent.then_some(Span {
                    since: ACCEPTED,
                    last: ACCEPTED,
                }),
                hosts: host
                    .then(|| HostHistory {
                        host: name(HOSTS[0]),
                        authority,
                        authentication,
                        best_at: ACCEPTED,
                        seen: ACCEPTED,
                    })
                    .into_iter()
                    .collect(),
                ..DomainHistory::default()
            },
        )
}

pub(crate) fn attempts(age: Duration) -> impl Strategy<Value = Vec<AttemptEvidence>> {
    let attempt = (0usize..3, 0u64..900, outcome());
    prop::collection::vec(attempt, 0..4).prop_map(move |attempts| {
        let attempt = |(index, ago, (outcome, recipient)): (usize, u64, _)| AttemptEvidence {
            host: name(HOSTS[index]),
            at: ACCEPTED.plus(age).minus(Duration::from_secs(ago)),
            outcome,
            recipient,
        };
        let mut attempts: Vec<AttemptEvidence> = attempts.into_iter().map(attempt).collect();
        attempts.sort_by_key(|attempt| attempt.at);
        attempts
    })
}

pub(crate) fn profile() -> impl Strategy<Value = Profile> {
    prop_oneof![
        Just(Profile::Basic),
        Just(Profile::Standard),
        Just(Profile::Strict),
        Just(Profile::DaneOnly),
    ]
}

pub(crate) fn world() -> impl Strategy<Value = World> {
    let listing = prop_oneof![
        8 => Just(Listing::Hosts),
        1 => Just(Listing::NoData),
        1 => Just(Listing::NxDomain),
        1 => Just(Listing::Null),
    ];
    let fetched = prop_oneof![
        3 => policy().prop_map(Ok),
        1 => Just(Err(FetchError::Unreachable)),
        1 => Just(Ok("nonsense".to_owned())),
    ];
    let names = (
        prop::option::of(zone()),
        fetched,
        prop::option::of(policy()),
    );
    let dns = (
        (zone(), listing),
        prop::collection::vec(host(), 1..=3),
        names,
    );
    let sender = (any::<bool>(), any::<bool>());
    let demands = (prop::bool::weighted(0.25), prop::bool::weighted(0.25));
    let seen = (prop::option::of(any::<bool>()), prop::option::of(history()));
    (profile(), age(), dns, seen, (sender, demands)).prop_flat_map(
        |(
            profile,
            age,
            (mx, hosts, (txt, policy, kept)),
            (vantage, history),
            (sender, demands),
        )| {
            attempts(age).prop_map(move |attempts| World {
                profile,
                age,
                mx,
                hosts: hosts.clone(),
                txt,
                policy: policy.clone(),
                kept: kept.clone(),
                vantage,
                history: history.clone(),
                attempts,
                vault_possible: sender.0,
                consent: sender.1,
                require_tls: demands.0,
                utf8_recipient: demands.1,
            })
        },
    )
}
