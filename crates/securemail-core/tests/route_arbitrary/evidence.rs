//! Any evidence: answers, proofs, policies, memories and sessions in combinations that nobody gathers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use securemail_core::backend::{
    CachedPolicy, DomainHistory, FailedFetch, FetchError, HostHistory, Lack, RecipientOutcome,
    SessionOutcome, Span, TransportPolicy, VantageView,
};
use securemail_core::route::{
    Asked, AttemptEvidence, Corroboration, Decision, Evidence, MessageFacts, PeerFailure,
    PolicySettings, StandardPolicy, StsEvidence,
};
use securemail_core::vocab::{
    Answer, DnsName, EnhancedStatus, LookupFailure, Mx, MxTarget, Outcome, Profile, Question,
    RecordKind, Reply, Security, Tlsa, UnixTime,
};

use super::pki::PKI;
use super::texts::{ANNOUNCEMENTS, POLICIES};

pub(crate) const ACCEPTED: UnixTime = UnixTime::from_secs(1_767_225_600);
pub(crate) const DOMAIN: &str = "example.org";
pub(crate) const HOSTS: [&str; 3] = ["mx1.example.org", "mx2.example.org", "mx.host.example"];
/// Where aliases of the domain, of a host, of records and of an announcement lead.
const BEHIND: [&str; 5] = [
    "list.host.example",
    "real.example.org",
    "real.host.example",
    "tlsa.host.example",
    "sts.host.example",
];
/// Addresses on the public Internet, and others.
pub(crate) const PUBLIC: [&str; 4] = ["192.0.2.1", "198.51.100.7", "2001:db8::1", "203.0.113.9"];
const PRIVATE: [&str; 4] = ["10.0.0.1", "127.0.0.1", "::1", "fe80::1"];

/// What a decision is made from.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) evidence: Evidence,
    pub(crate) settings: PolicySettings,
    pub(crate) now: UnixTime,
}

impl Case {
    pub(crate) fn decide(&self) -> Decision {
        StandardPolicy::new(self.settings.clone()).decide(&self.evidence, self.now)
    }

    pub(crate) fn age(&self) -> Duration {
        self.now.since(self.evidence.message.accepted)
    }

    /// Every answer to `question` becomes `answer`; it is added where there was none.
    pub(crate) fn answer(&mut self, question: &Question, answer: &Answer) {
        let dns = &mut self.evidence.dns;
        dns.retain(|asked| asked.question != *question);
        dns.push(Asked {
            question: question.clone(),
            answer: answer.clone(),
        });
    }
}

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

pub(crate) fn question(text: &str, kind: RecordKind) -> Question {
    Question::new(name(text), kind)
}

/// All questions that can matter, at this port.
pub(crate) fn questions(port: u16) -> Vec<Question> {
    let hosts = || {
        HOSTS
            .iter()
            .chain(&[DOMAIN, "real.example.org", "real.host.example"])
    };
    let mut all = vec![
        question(DOMAIN, RecordKind::Mx),
        question("list.host.example", RecordKind::Mx),
        question(&format!("_mta-sts.{DOMAIN}"), RecordKind::Txt),
        question("sts.host.example", RecordKind::Txt),
        question("tlsa.host.example", RecordKind::Tlsa),
    ];
    for host in hosts() {
        all.push(question(host, RecordKind::A));
        all.push(question(host, RecordKind::Aaaa));
        all.push(question(&format!("_{port}._tcp.{host}"), RecordKind::Tlsa));
    }
    all
}

/// Any evidence, with settings and a time.
pub(crate) fn case() -> BoxedStrategy<Case> {
    let port = prop_oneof![9 => Just(25u16), 1 => Just(2525)];
    let mostly = || prop_oneof![Just(Security::Secure), Just(Security::Insecure)];
    (port, mostly(), mostly())
        .prop_flat_map(|(port, domain_is, hosts_are)| {
            let memory = (sts(), prop::option::of(history()).boxed(), attempts());
            (
                (Just(port), domain(), profile()),
                dns(port, domain_is, hosts_are),
                prop::collection::vec(views(), 2),
                memory,
                (message(), settings(), now()),
            )
        })
        .prop_map(
            |((port, domain, profile), dns, views, (sts, history, attempts), rest)| {
                let (message, settings, now) = rest;
                let mut evidence = Evidence::new(domain, profile, message).with_port(port);
                evidence.dns = dns;
                evidence.sts = sts;
                evidence.history = history;
                evidence.attempts = attempts;
                for (at, views) in [DOMAIN, "list.host.example"].into_iter().zip(views) {
                    see(&mut evidence, question(at, RecordKind::Mx), views);
                }
                Case {
                    evidence,
                    settings,
                    now,
                }
            },
        )
        .boxed()
}

fn domain() -> impl Strategy<Value = DnsName> {
    prop_oneof![
        40 => Just(DOMAIN),
        1 => Just("host.example"),
        1 => Just("org"),
        1 => Just("printer.local"),
    ]
    .prop_map(name)
}

fn profile() -> impl Strategy<Value = Profile> {
    prop_oneof![
        2 => Just(Profile::Basic),
        3 => Just(Profile::Standard),
        2 => Just(Profile::Strict),
        1 => Just(Profile::DaneOnly),
    ]
}

/// Moments around the acceptance of the message.
fn moment() -> impl Strategy<Value = UnixTime> {
    const DAY: i64 = 86_400;
    let offsets = [-60 * DAY, -29 * DAY, -DAY - 60, -3600, -700, -60, 0, 60];
    let later = [400, 900, 2000, 15_000, 100_000, 6 * DAY];
    let offsets: Vec<i64> = offsets.into_iter().chain(later).collect();
    select(offsets).prop_map(|offset| {
        let by = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 {
            ACCEPTED.minus(by)
        } else {
            ACCEPTED.plus(by)
        }
    })
}

fn now() -> impl Strategy<Value = UnixTime> {
    const AGES: [u64; 8] = [0, 60, 500, 1000, 4000, 15_000, 100_000, 500_000];
    select(&AGES[..]).prop_map(|age| ACCEPTED.plus(Duration::from_secs(age)))
}

/// Most questions are answered once, some never, some twice and differently; in any order. The zone of
/// the domain, and those of its hosts, are mostly signed or mostly not.
fn dns(port: u16, domain_is: Security, hosts_are: Security) -> BoxedStrategy<Vec<Asked>> {
    let asked = move |question: Question| {
        let mostly = match question.kind {
            RecordKind::Mx | RecordKind::Txt => domain_is,
            RecordKind::A
            | RecordKind::Aaaa
            | RecordKind::Caa
            | RecordKind::Cname
            | RecordKind::Ns
            | RecordKind::Tlsa => hosts_are,
        };
        answer(question.kind, mostly).prop_map(move |answer| Asked {
            question: question.clone(),
            answer,
        })
    };
    let once: Vec<_> = questions(port)
        .into_iter()
        .map(|question| prop::option::weighted(0.96, asked(question)))
        .collect();
    let twice = select(questions(port)).prop_flat_map(asked);
    (once, prop::collection::vec(twice, 0..2))
        .prop_map(|(once, twice)| once.into_iter().flatten().chain(twice).collect::<Vec<_>>())
        .prop_shuffle()
        .boxed()
}

fn answer(kind: RecordKind, mostly: Security) -> BoxedStrategy<Answer> {
    let fitting = outcome(kind);
    let any = prop_oneof![
        outcome(RecordKind::Mx),
        outcome(RecordKind::A),
        outcome(RecordKind::Tlsa),
        outcome(RecordKind::Txt),
    ];
    let outcome = prop_oneof![
        80 => fitting,
        1 => any,
        2 => failure().prop_map(Outcome::Failed),
    ];
    let security = prop_oneof![
        60 => Just(mostly),
        3 => Just(Security::Secure),
        3 => Just(Security::Insecure),
        1 => Just(Security::Bogus),
        1 => Just(Security::Indeterminate),
    ];
    let errors = prop_oneof![
        80 => Just(None),
        1 => select(&[3u16, 19][..]).prop_map(Some),
        1 => select(&[4u16, 15, 16, 17, 18, 22][..]).prop_map(Some),
    ];
    (outcome, security, moment(), errors, 0u8..3)
        .prop_map(|(outcome, security, expires, error, validators)| {
            let mut answer = Answer::new(outcome, security, expires);
            answer.extended_errors.extend(error);
            answer.validators = validators;
            answer
        })
        .boxed()
}

pub(crate) fn failure() -> impl Strategy<Value = LookupFailure> {
    use LookupFailure as F;
    prop_oneof![
        Just(F::Bogus),
        Just(F::Disagreement),
        Just(F::FormErr),
        Just(F::Malformed),
        Just(F::NotImp),
        Just(F::Refused),
        Just(F::ServFail),
        Just(F::Timeout),
        Just(F::Unusable),
    ]
}

/// What fits a question, and aliases.
fn outcome(kind: RecordKind) -> BoxedStrategy<Outcome> {
    let alias =
        |to: &'static [&'static str]| select(to).prop_map(|target| Outcome::Alias(name(target)));
    let none = || prop_oneof![Just(Outcome::NoData), Just(Outcome::NxDomain)];
    match kind {
        RecordKind::Caa | RecordKind::Cname | RecordKind::Mx | RecordKind::Ns => prop_oneof![
            20 => prop::collection::vec(mx(), 0..4).prop_map(Outcome::Mx),
            1 => Just(Outcome::Mx(vec![Mx { preference: 0, target: MxTarget::Null }])),
            3 => none(),
            2 => alias(&[BEHIND[0], DOMAIN]),
        ]
        .boxed(),
        RecordKind::A | RecordKind::Aaaa => prop_oneof![
            20 => prop::collection::vec(address(), 0..3).prop_map(Outcome::Addresses),
            3 => none(),
            4 => alias(&BEHIND[1..3]),
        ]
        .boxed(),
        RecordKind::Tlsa => prop_oneof![
            8 => prop::collection::vec(tlsa(), 0..4).prop_map(Outcome::Tlsa),
            9 => none(),
            1 => alias(&BEHIND[3..4]),
        ]
        .boxed(),
        RecordKind::Txt => prop_oneof![
            8 => select(&ANNOUNCEMENTS[..]).prop_map(|(texts, _)| {
                Outcome::Txt(texts.iter().map(|text| (*text).to_owned()).collect())
            }),
            1 => Just(Outcome::Txt(Vec::new())),
            8 => none(),
            1 => alias(&BEHIND[4..]),
        ]
        .boxed(),
    }
}

fn mx() -> impl Strategy<Value = Mx> {
    let target = prop_oneof![
        20 => select(&HOSTS[..]).prop_map(|host| MxTarget::Host(name(host))),
        1 => Just(MxTarget::Null),
        1 => Just(MxTarget::Invalid("192.0.2.1".to_owned())),
    ];
    let preference = select(&[0u16, 10, 10, 20][..]);
    (preference, target).prop_map(|(preference, target)| Mx { preference, target })
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![9 => select(&PUBLIC[..]), 1 => select(&PRIVATE[..])]
        .prop_map(|text| text.parse().unwrap())
}

/// Records for the honest certificate, for none, and such as nobody can use.
fn tlsa() -> BoxedStrategy<Tlsa> {
    let usage = prop_oneof![6 => Just(3u8), 2 => Just(2), 2 => select(&[0u8, 1, 4, 255][..])];
    let selector = prop_oneof![9 => 0u8..2, 1 => Just(2u8)];
    let matching = prop_oneof![9 => 0u8..3, 1 => Just(3u8)];
    (usage, selector, matching, 0u8..8)
        .prop_map(|(usage, selector, matching, data)| {
            let honest = PKI.honest.association(selector, matching);
            let data = match data {
                0..=3 => honest,
                4 => vec![7; honest.len()],
                5 => honest.into_iter().skip(1).collect(),
                6 => Vec::new(),
                _ => vec![7; 32],
            };
            Tlsa {
                usage,
                selector,
                matching,
                data,
            }
        })
        .boxed()
}

/// What one other place sees: the same, or anything.
#[derive(Clone, Debug)]
enum View {
    Same,
    Other(Answer),
}

fn views() -> impl Strategy<Value = Vec<View>> {
    let failed = failure().prop_map(|why| View::Other(Answer::failed(why, UnixTime::MAX)));
    let view = prop_oneof![
        8 => Just(View::Same),
        1 => failed,
        1 => answer(RecordKind::Mx, Security::Insecure).prop_map(View::Other),
    ];
    prop::collection::vec(view, 0..3)
}

fn see(evidence: &mut Evidence, question: Question, views: Vec<View>) {
    let ours = evidence.answer(&question).cloned();
    let views = views.into_iter().filter_map(|view| {
        Some(VantageView {
            vantage: "elsewhere".to_owned(),
            answer: match view {
                View::Same => ours.clone()?,
                View::Other(answer) => answer,
            },
        })
    });
    let views = views.collect();
    evidence.vantages.push(Corroboration { question, views });
}

fn policy() -> impl Strategy<Value = CachedPolicy> {
    let id = select(&["1", "2", ""][..]);
    (id, select(&POLICIES[..]), moment(), moment()).prop_map(|(id, (body, _), fetched, expires)| {
        CachedPolicy {
            id: id.to_owned(),
            body: body.to_owned(),
            fetched,
            expires,
        }
    })
}

pub(crate) fn fetch_error() -> impl Strategy<Value = FetchError> {
    prop_oneof![
        Just(FetchError::Certificate),
        Just(FetchError::Malformed),
        Just(FetchError::MediaType),
        Just(FetchError::NoAddress),
        Just(FetchError::Status(302)),
        Just(FetchError::Status(404)),
        Just(FetchError::TooLarge),
        Just(FetchError::Unreachable),
    ]
}

fn sts() -> BoxedStrategy<StsEvidence> {
    let fetched = prop_oneof![
        3 => policy().prop_map(Ok),
        1 => fetch_error().prop_map(Err),
    ];
    (
        prop::option::of(policy()),
        prop::option::of(fetched),
        prop::option::of(moment()),
    )
        .prop_map(|(cached, fetched, confirmed)| StsEvidence {
            cached,
            fetched,
            confirmed,
        })
        .boxed()
}

fn span() -> impl Strategy<Value = Span> {
    (moment(), moment()).prop_map(|(since, last)| Span { since, last })
}

fn history() -> BoxedStrategy<DomainHistory> {
    let host = (select(&HOSTS[..]), 0u8..=4, 0u8..=4, moment(), moment()).prop_map(
        |(host, authority, authentication, best_at, seen)| HostHistory {
            host: name(host),
            authority,
            authentication,
            best_at,
            seen,
        },
    );
    let failed = (select(&["1", "2"][..]), moment(), fetch_error()).prop_map(|(id, at, error)| {
        FailedFetch {
            id: id.to_owned(),
            at,
            error,
        }
    });
    let no_path = prop::collection::vec((profile(), span()), 0..3);
    let rarely = || prop::option::weighted(0.3, moment());
    (
        prop::collection::vec(host, 0..3),
        (rarely(), rarely(), prop::option::of(failed)),
        (
            prop::option::of(moment()),
            prop::sample::subsequence(HOSTS.to_vec(), 0..=3),
        ),
        (no_path, prop::option::of(span()), prop::option::of(span())),
    )
        .prop_map(
            |(
                hosts,
                (mx_secure_at, sts_enforced_until, sts_failed),
                set,
                (no_path, no_require_tls, absent),
            )| {
                let (mx_set_since, set) = set;
                let mut mx_set: Vec<DnsName> = set.into_iter().map(name).collect();
                mx_set.sort();
                DomainHistory {
                    hosts,
                    mx_secure_at,
                    sts_enforced_until,
                    sts_failed,
                    mx_set_since,
                    mx_set,
                    no_path: no_path.into_iter().collect::<BTreeMap<_, _>>(),
                    no_require_tls,
                    absent,
                }
            },
        )
        .boxed()
}

fn reply() -> BoxedStrategy<Reply> {
    let status = (4u8..6, 1u16..8, 0u16..12)
        .prop_map(|(class, subject, detail)| EnhancedStatus::new(class, subject, detail));
    let status = prop_oneof![
        3 => prop::option::of(status),
        1 => Just(Some(EnhancedStatus::new(5, 3, 4))),
    ];
    (select(&[250u16, 354, 421, 450, 550, 554][..]), status)
        .prop_map(|(code, status)| Reply::new(code, status, "said"))
        .boxed()
}

fn peer_failure() -> impl Strategy<Value = PeerFailure> {
    prop_oneof![
        Just(PeerFailure::Certificate("weak".to_owned())),
        Just(PeerFailure::Expired),
        Just(PeerFailure::IssuerExpired),
        Just(PeerFailure::Misused("not for servers".to_owned())),
        Just(PeerFailure::Name),
        Just(PeerFailure::NoCertificate),
        Just(PeerFailure::NoTlsaMatch),
        Just(PeerFailure::NotNamed),
        Just(PeerFailure::Untrusted),
    ]
}

/// How a session ends that proves no peer; anybody on the way can make it end so.
pub(crate) fn unproved() -> BoxedStrategy<SessionOutcome> {
    prop_oneof![
        peer_failure().prop_map(SessionOutcome::NotAuthenticated),
        prop::option::of(reply()).prop_map(SessionOutcome::NoStartTls),
        Just(SessionOutcome::Injected),
        Just(SessionOutcome::TlsFailed("alert".to_owned())),
        Just(SessionOutcome::Unreachable("timeout".to_owned())),
    ]
    .boxed()
}

fn session() -> impl Strategy<Value = SessionOutcome> {
    let lack = prop_oneof![
        Just(Lack::EightBitMime),
        Just(Lack::RequireTls),
        Just(Lack::Size(10)),
        Just(Lack::SmtpUtf8),
    ];
    prop_oneof![
        5 => unproved(),
        1 => Just(SessionOutcome::CalledOff),
        2 => Just(SessionOutcome::Completed),
        1 => lack.prop_map(SessionOutcome::Incapable),
    ]
}

fn recipient() -> impl Strategy<Value = RecipientOutcome> {
    prop_oneof![
        reply().prop_map(RecipientOutcome::Deferred),
        reply().prop_map(RecipientOutcome::HandedOver),
        Just(RecipientOutcome::NotTried),
        reply().prop_map(RecipientOutcome::Refused),
        Just(RecipientOutcome::Unconfirmed),
    ]
}

fn attempts() -> BoxedStrategy<Vec<AttemptEvidence>> {
    type Said = BoxedStrategy<Option<RecipientOutcome>>;
    let attempt = |outcome: BoxedStrategy<SessionOutcome>, said: Said| {
        (select(&HOSTS[..]), moment(), outcome, said).prop_map(|(host, at, outcome, recipient)| {
            AttemptEvidence {
                host: name(host),
                at,
                outcome,
                recipient,
            }
        })
    };
    let any = prop::option::weighted(0.3, recipient()).boxed();
    let completed = Just(SessionOutcome::Completed).boxed();
    let later = Reply::new(451, None, "later");
    let later = Just(Some(RecipientOutcome::Deferred(later)));
    let said = prop_oneof![2 => later, 1 => recipient().prop_map(Some)].boxed();
    prop_oneof![
        4 => Just(Vec::new()),
        4 => prop::collection::vec(attempt(session().boxed(), any), 0..4),
        2 => prop::collection::vec(attempt(unproved(), Just(None).boxed()), 1..4),
        1 => prop::collection::vec(attempt(completed, said), 1..4),
    ]
    .boxed()
}

fn message() -> BoxedStrategy<MessageFacts> {
    let flags = (
        prop::bool::weighted(0.05),
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.2),
        any::<bool>(),
    );
    let refusal = prop::option::weighted(0.03, reply());
    let round_began =
        prop_oneof![3 => Just(ACCEPTED.minus(Duration::from_secs(7200))), 1 => moment()];
    (round_began, any::<u64>(), flags, refusal)
        .prop_map(|(round_began, size, flags, refusal)| {
            let (vault_required, vault_possible, divert_on_downgrade, require_tls, utf8_recipient) =
                flags;
            MessageFacts {
                accepted: ACCEPTED,
                round_began,
                size,
                vault_required,
                vault_possible,
                divert_on_downgrade,
                refusal,
                require_tls,
                // `partners.rs` asks for it.
                nta7516: None,
                utf8_recipient,
            }
        })
        .boxed()
}

fn settings() -> BoxedStrategy<PolicySettings> {
    let own_hosts = prop::option::weighted(0.1, select(&HOSTS[..]));
    let stable_for = prop_oneof![6 => Just(0u64), 1 => Just(3 * 86_400)];
    let networks =
        prop_oneof![6 => Just(Vec::new()), 1 => Just(vec!["127.0.0.0/8".parse().unwrap()])];
    (own_hosts, stable_for, networks)
        .prop_map(|(own_hosts, stable_for, allow_networks)| PolicySettings {
            own_hosts: own_hosts.into_iter().map(name).collect(),
            stable_for: Duration::from_secs(stable_for),
            allow_networks,
            ..PolicySettings::default()
        })
        .boxed()
}
