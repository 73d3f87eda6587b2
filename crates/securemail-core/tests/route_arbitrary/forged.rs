//! Whoever can forge every unsigned answer still gets no message: his hosts are not the domain's, and no
//! hop takes what he can show.

use proptest::prelude::*;
use proptest::sample::select;

use securemail_core::route::{Authority, Hop};
use securemail_core::vocab::{
    Answer, Mx, MxTarget, Outcome, Profile, Question, RecordKind, Security, Tlsa, UnixTime,
};

use super::evidence::{Case, DOMAIN, HOSTS, PUBLIC, case, name, question};
use super::invariants::{config, hops};
use super::pki::{ATTACKER, PKI};

/// An unsigned answer, made up.
#[derive(Clone, Debug)]
enum Forgery {
    /// The list of mail servers: the attacker's first, perhaps an honest one behind.
    List { also: Option<&'static str> },
    /// The domain is an alias of the attacker's.
    DomainIsAlias,
    /// A host is an alias of the attacker's.
    HostIsAlias(&'static str),
    /// A host has an address of the attacker's.
    HostMoved(&'static str),
    /// A host has records for the attacker's key.
    Records(&'static str),
    /// There is no policy.
    NoPolicy,
    /// There is another policy.
    OtherPolicy,
}

fn forgery() -> impl Strategy<Value = Forgery> {
    let host = || select(&HOSTS[..]);
    prop_oneof![
        4 => prop::option::of(host()).prop_map(|also| Forgery::List { also }),
        1 => Just(Forgery::DomainIsAlias),
        2 => host().prop_map(Forgery::HostIsAlias),
        2 => host().prop_map(Forgery::HostMoved),
        2 => host().prop_map(Forgery::Records),
        1 => Just(Forgery::NoPolicy),
        1 => Just(Forgery::OtherPolicy),
    ]
}

impl Forgery {
    fn on(&self, case: &mut Case) {
        let to = |host: &str, preference| Mx {
            preference,
            target: MxTarget::Host(name(host)),
        };
        let here = || Outcome::Addresses(vec![PUBLIC[3].parse().unwrap()]);
        let both = [RecordKind::A, RecordKind::Aaaa];
        match self {
            Self::List { also } => {
                let first = to(ATTACKER, 0);
                let records = also.iter().map(|host| to(host, 10));
                let list = std::iter::once(first).chain(records).collect();
                forge(case, &question(DOMAIN, RecordKind::Mx), Outcome::Mx(list));
            }
            Self::DomainIsAlias => {
                let alias = Outcome::Alias(name("attacker.example"));
                forge(case, &question(DOMAIN, RecordKind::Mx), alias);
            }
            Self::HostIsAlias(host) => {
                for kind in both {
                    forge(case, &question(host, kind), Outcome::Alias(name(ATTACKER)));
                }
            }
            Self::HostMoved(host) => {
                for kind in both {
                    forge(case, &question(host, kind), here());
                }
            }
            Self::Records(host) => {
                let owner = format!("_{}._tcp.{host}", case.evidence.port);
                let records = Outcome::Tlsa(vec![record(&PKI.attacker)]);
                forge(case, &question(&owner, RecordKind::Tlsa), records);
            }
            Self::NoPolicy => forge(case, &announcement(), Outcome::NxDomain),
            Self::OtherPolicy => {
                let other = Outcome::Txt(vec!["v=STSv1; id=evil".to_owned()]);
                forge(case, &announcement(), other);
            }
        }
    }
}

fn announcement() -> Question {
    question(&format!("_mta-sts.{DOMAIN}"), RecordKind::Txt)
}

/// Where the true answer is signed, a forged one would be bogus; elsewhere it is taken.
fn forge(case: &mut Case, question: &Question, outcome: Outcome) {
    let truth = case.evidence.answer(question);
    if truth.is_none_or(|truth| truth.security != Security::Secure) {
        let forged = Answer::new(outcome, Security::Insecure, UnixTime::MAX);
        case.answer(question, &forged);
    }
}

fn record(leaf: &super::pki::Leaf) -> Tlsa {
    Tlsa {
        usage: 3,
        selector: 1,
        matching: 1,
        data: leaf.association(1, 1),
    }
}

/// The attacker's own zone is in good order: signed, with an address, and with records for all keys that the
/// attacker has.
fn with_the_attackers_zone(case: &mut Case) {
    let mut signed = |question: Question, outcome| {
        case.answer(
            &question,
            &Answer::new(outcome, Security::Secure, UnixTime::MAX),
        );
    };
    let address = PUBLIC[3].parse().unwrap();
    signed(
        question(ATTACKER, RecordKind::A),
        Outcome::Addresses(vec![address]),
    );
    signed(question(ATTACKER, RecordKind::Aaaa), Outcome::NoData);
    let list = vec![Mx {
        preference: 0,
        target: MxTarget::Host(name(ATTACKER)),
    }];
    signed(
        question("attacker.example", RecordKind::Mx),
        Outcome::Mx(list),
    );
    let port = case.evidence.port;
    case.answer(
        &question(&format!("_{port}._tcp.{ATTACKER}"), RecordKind::Tlsa),
        &Answer::new(
            Outcome::Tlsa(vec![record(&PKI.attacker), record(&PKI.impostor)]),
            Security::Secure,
            UnixTime::MAX,
        ),
    );
}

/// Whether the attacker gets a message over this hop.
fn is_open_to_the_attacker(hop: &Hop, case: &Case) -> bool {
    [&PKI.attacker, &PKI.impostor]
        .iter()
        .any(|leaf| leaf.show(hop, case.now).is_ok())
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn i5_no_forged_answer_opens_a_hop_to_the_forger(
        mut case in case(),
        has_zone in any::<bool>(),
        forgeries in prop::collection::vec(forgery(), 1..4),
    ) {
        for forgery in &forgeries {
            forgery.on(&mut case);
        }
        if has_zone {
            with_the_attackers_zone(&mut case);
        }
        let decision = case.decide();
        for hop in hops(&decision) {
            if case.evidence.profile == Profile::Basic {
                // The certificate of any host is enough here, and the decision must say that no more is
                // known (RFC 7672, section 2.2.1).
                let open = is_open_to_the_attacker(hop, &case);
                prop_assert!(!open || hop.authority == Authority::Unsigned, "{decision}");
                continue;
            }
            prop_assert!(!is_open_to_the_attacker(hop, &case), "{decision}");
        }
    }

    #[test]
    fn i5_a_forged_answer_that_other_places_do_not_see_counts_for_nothing(
        mut case in case(),
        forgeries in prop::collection::vec(forgery(), 1..4),
    ) {
        for forgery in &forgeries {
            forgery.on(&mut case);
        }
        with_the_attackers_zone(&mut case);
        let decision = case.decide();
        for hop in hops(&decision) {
            let is_the_attackers = hop.host.as_str() == ATTACKER;
            prop_assert!(!is_the_attackers || hop.authority == Authority::Unsigned, "{decision}");
        }
    }
}

/// The same forgery is a delivery to the forger where only the name of a host is asked for: what the
/// profiles above `basic` are for.
#[test]
fn in_profile_basic_a_forged_list_is_believed_and_said_to_be_unsigned() {
    let mut case = plain(Profile::Basic);
    Forgery::List { also: None }.on(&mut case);
    with_the_attackers_zone(&mut case);
    let decision = case.decide();
    let [hop] = hops(&decision) else {
        panic!("{decision}")
    };
    assert!(is_open_to_the_attacker(hop, &case), "{decision}");
    assert_eq!(hop.authority, Authority::Unsigned);
    for profile in [Profile::Standard, Profile::Strict, Profile::DaneOnly] {
        case.evidence.profile = profile;
        let decision = case.decide();
        let open = |hop: &Hop| is_open_to_the_attacker(hop, &case);
        assert!(!hops(&decision).iter().any(open), "{decision}");
    }
}

/// A domain of which nothing is known yet.
fn plain(profile: Profile) -> Case {
    use super::evidence::ACCEPTED;
    use securemail_core::route::{Evidence, MessageFacts, PolicySettings};
    let mut case = Case {
        evidence: Evidence::new(name(DOMAIN), profile, MessageFacts::at(ACCEPTED)),
        settings: PolicySettings::default(),
        now: ACCEPTED,
    };
    forge(&mut case, &announcement(), Outcome::NxDomain);
    case
}
