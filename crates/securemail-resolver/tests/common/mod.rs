//! What the tests share: zones with every kind of fault, a resolver for them, the real clock.
//!
//! [`CASES`] says what a resolver must answer about these zones. It is data, so that the same table can be put to a
//! resolver that asks real servers which serve the same zones.
#![allow(dead_code, reason = "each test file uses a part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use securemail_core::backend::{Clock, Resolver};
use securemail_core::vocab::{
    Answer, DnsName, LookupFailure, Outcome, Question, RecordKind, Security, UnixTime,
};
use securemail_resolver::{HickoryResolver, ResolverSettings};
use securemail_testkit::dns::{RunningDns, SignedDns, ZoneSpec};

/// The real time: signatures are made and checked by it.
#[derive(Debug)]
pub(crate) struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> UnixTime {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap())
    }

    async fn sleep_until(&self, deadline: UnixTime) {
        tokio::time::sleep(deadline.since(self.now())).await;
    }
}

const HASH: &str = "3 1 1 0101010101010101010101010101010101010101010101010101010101010101";

/// Zones with every kind of fault, below a private root.
pub(crate) fn zones() -> SignedDns {
    SignedDns::new()
        .zone(ZoneSpec::signed("test"))
        .zone(ZoneSpec::signed("good.test"))
        .zone(ZoneSpec::signed("n3.test").nsec3(0))
        .zone(ZoneSpec::signed("costly.test").nsec3(200))
        .zone(ZoneSpec::signed("optout.test").nsec3_opt_out())
        .zone(ZoneSpec::unsigned("child.optout.test"))
        .zone(ZoneSpec::unsigned("plain.test"))
        .zone(ZoneSpec::signed("island.plain.test"))
        .zone(ZoneSpec::signed("hidden.test").without_ds())
        .zone(ZoneSpec::signed("bogus.test").with_wrong_ds())
        .zone(ZoneSpec::signed("expired.test").expired())
        .mx("good.test", 10, "mx.good.test")
        .address("mx.good.test", [192, 0, 2, 1].into())
        .tlsa("mx.good.test", 25, HASH)
        .txt("_mta-sts.good.test", "v=STSv1; id=1;")
        .record("bare.good.test. A 192.0.2.2")
        .cname("_25._tcp.alias.good.test", "_25._tcp.mx.good.test")
        .cname("_25._tcp.toplain.good.test", "_25._tcp.mx.plain.test")
        .cname("_25._tcp.tonothing.good.test", "_25._tcp.none.n3.test")
        .cname("_25._tcp.tobogus.good.test", "_25._tcp.mx.bogus.test")
        .tlsa("mx.n3.test", 25, HASH)
        .record("bare.n3.test. A 192.0.2.2")
        .record(format!("*.wild.n3.test. TLSA {HASH}"))
        .tlsa("mx.costly.test", 25, HASH)
        .tlsa("mx.optout.test", 25, HASH)
        .record("bare.optout.test. A 192.0.2.2")
        .tlsa("mx.child.optout.test", 25, HASH)
        .mx("plain.test", 10, "mx.plain.test")
        .address("mx.plain.test", [192, 0, 2, 3].into())
        .tlsa("mx.plain.test", 25, HASH)
        .tlsa("mx.island.plain.test", 25, HASH)
        .record("_tcp.moved.good.test DNAME _tcp.mx.good.test")
        .record("_tcp.moved.plain.test DNAME _tcp.mx.good.test")
        .record("_tcp.moved.bogus.test DNAME _tcp.mx.good.test")
        .tlsa("mx.hidden.test", 25, HASH)
        .cname("_25._tcp.back.plain.test", "_25._tcp.mx.good.test")
        .mx("bogus.test", 10, "mx.bogus.test")
        .tlsa("mx.bogus.test", 25, HASH)
        .mx("expired.test", 10, "mx.expired.test")
        .mx("null.good.test", 0, ".")
}

/// Settings for these zones, without second validator.
pub(crate) fn settings(dns: &RunningDns) -> ResolverSettings {
    let mut settings = ResolverSettings::new(vec![dns.addr()]);
    settings.trust_anchor = Some(dns.anchor().to_owned());
    settings.try_timeout = Duration::from_secs(5);
    settings
}

/// The same, where somebody does not answer at all.
pub(crate) fn impatient(dns: &RunningDns) -> ResolverSettings {
    let mut settings = settings(dns);
    settings.try_timeout = Duration::from_secs(1);
    settings
}

pub(crate) fn build(settings: &ResolverSettings) -> HickoryResolver {
    HickoryResolver::new(settings, Arc::new(SystemClock)).unwrap()
}

pub(crate) fn resolver(dns: &RunningDns) -> HickoryResolver {
    build(&settings(dns))
}

/// With the second validator of the in-process DNS.
pub(crate) fn agreed(dns: &RunningDns) -> HickoryResolver {
    let mut settings = settings(dns);
    settings.second_opinion = vec![dns.validator_addr()];
    build(&settings)
}

pub(crate) fn question(name: &str, kind: RecordKind) -> Question {
    Question::new(DnsName::parse(name).unwrap(), kind)
}

pub(crate) async fn ask(resolver: &HickoryResolver, name: &str, kind: RecordKind) -> Answer {
    resolver.resolve(&question(name, kind)).await
}

pub(crate) async fn tlsa(resolver: &HickoryResolver, host: &str) -> Answer {
    ask(resolver, &format!("_25._tcp.{host}"), RecordKind::Tlsa).await
}

/// The form of an answer, without its data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    Records,
    Alias,
    NoData,
    NxDomain,
    Failed(LookupFailure),
}

pub(crate) fn form(answer: &Answer) -> Form {
    match &answer.outcome {
        Outcome::Addresses(_)
        | Outcome::Caa(_)
        | Outcome::Mx(_)
        | Outcome::NameServers(_)
        | Outcome::Tlsa(_)
        | Outcome::Txt(_) => Form::Records,
        Outcome::Alias(_) => Form::Alias,
        Outcome::NoData => Form::NoData,
        Outcome::NxDomain => Form::NxDomain,
        Outcome::Failed(failure) => Form::Failed(*failure),
    }
}

/// Name, kind, and what must be answered about it.
pub(crate) type Case = (&'static str, RecordKind, Form, Security);

/// What must be answered about [`zones`], whoever serves them.
pub(crate) const CASES: &[Case] = {
    use Form::{Alias, Failed, NoData, NxDomain, Records};
    use RecordKind::{A, Aaaa, Cname, Mx, Tlsa, Txt};
    use Security::{Bogus, Insecure, Secure};
    &[
        ("good.test", Mx, Records, Secure),
        ("null.good.test", Mx, Records, Secure),
        ("mx.good.test", A, Records, Secure),
        ("mx.good.test", Aaaa, NoData, Secure),
        ("_mta-sts.good.test", Txt, Records, Secure),
        ("_25._tcp.mx.good.test", Tlsa, Records, Secure),
        // Denials: no data, no name, no name several labels deep, a name with names below only.
        ("bare.good.test", Tlsa, NoData, Secure),
        ("_25._tcp.bare.good.test", Tlsa, NxDomain, Secure),
        ("_25._tcp.none.good.test", Tlsa, NxDomain, Secure),
        ("_tcp.mx.good.test", Tlsa, NoData, Secure),
        ("none.test", Mx, NxDomain, Secure),
        ("none", Mx, NxDomain, Secure),
        // NSEC3, with wildcard.
        ("_25._tcp.mx.n3.test", Tlsa, Records, Secure),
        ("bare.n3.test", Tlsa, NoData, Secure),
        ("_25._tcp.none.n3.test", Tlsa, NxDomain, Secure),
        ("_25.wild.n3.test", Tlsa, Records, Secure),
        ("_25.wild.n3.test", A, NoData, Secure),
        // More iterations than are computed: as if unsigned, never bogus.
        ("_25._tcp.mx.costly.test", Tlsa, Records, Secure),
        ("_25._tcp.none.costly.test", Tlsa, NxDomain, Insecure),
        // Opt-out: room for an unsigned delegation, except where a record matches.
        ("_25._tcp.mx.optout.test", Tlsa, Records, Secure),
        ("bare.optout.test", Tlsa, NoData, Secure),
        ("_25._tcp.none.optout.test", Tlsa, NxDomain, Insecure),
        ("_25._tcp.mx.child.optout.test", Tlsa, Records, Insecure),
        // Unsigned, and signed below unsigned without anchor.
        ("plain.test", Mx, Records, Insecure),
        ("_25._tcp.mx.plain.test", Tlsa, Records, Insecure),
        ("_25._tcp.none.plain.test", Tlsa, NxDomain, Insecure),
        ("mx.plain.test", Aaaa, NoData, Insecure),
        ("_25._tcp.mx.island.plain.test", Tlsa, Records, Insecure),
        ("_25._tcp.none.island.plain.test", Tlsa, NxDomain, Insecure),
        ("_25._tcp.mx.hidden.test", Tlsa, Records, Insecure),
        ("_25._tcp.none.hidden.test", Tlsa, NxDomain, Insecure),
        // Aliases have the state of the alias, whatever they lead to.
        ("_25._tcp.alias.good.test", Tlsa, Alias, Secure),
        ("_25._tcp.alias.good.test", Cname, Alias, Secure),
        ("_25._tcp.toplain.good.test", Tlsa, Alias, Secure),
        ("_25._tcp.tonothing.good.test", Tlsa, Alias, Secure),
        ("_25._tcp.back.plain.test", Tlsa, Alias, Insecure),
        // Aliases made from a DNAME record, which alone is signed.
        ("_25._tcp.moved.good.test", Tlsa, Alias, Secure),
        ("_25._tcp.moved.plain.test", Tlsa, Alias, Insecure),
        (
            "_25._tcp.moved.bogus.test",
            Tlsa,
            Failed(LookupFailure::Bogus),
            Bogus,
        ),
        // Bogus.
        ("bogus.test", Mx, Failed(LookupFailure::Bogus), Bogus),
        (
            "_25._tcp.mx.bogus.test",
            Tlsa,
            Failed(LookupFailure::Bogus),
            Bogus,
        ),
        (
            "_25._tcp.none.bogus.test",
            Tlsa,
            Failed(LookupFailure::Bogus),
            Bogus,
        ),
        ("expired.test", Mx, Failed(LookupFailure::Bogus), Bogus),
        ("none.expired.test", Mx, Failed(LookupFailure::Bogus), Bogus),
    ]
};

/// Puts [`CASES`] to a resolver, twice: from the servers and from its cache.
pub(crate) async fn check_cases(resolver: &HickoryResolver) {
    let mut wrong = Vec::new();
    for round in ["first", "again"] {
        for (name, kind, expected, security) in CASES {
            let answer = ask(resolver, name, *kind).await;
            if (form(&answer), answer.security) != (*expected, *security) {
                wrong.push(format!("{round}: {name} {kind:?}: {answer:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An address where nothing listens.
pub(crate) fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}
