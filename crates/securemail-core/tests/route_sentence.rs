//! The sentence of a decision, exactly, in each form and each language.

use std::time::Duration;

use securemail_core::route::{
    Authentication, Authority, Decision, DeferClass, Effect, Finding, Hop, Remedy, Route, Rule,
    Subject, Summary, VaultReason, exit_code,
};
use securemail_core::vocab::{DnsName, EnhancedStatus, Language, Tlsa, UnixTime};

const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn found(rule: Rule, effect: Effect, fact: &'static str) -> Finding {
    Finding {
        rule,
        subject: Subject::Domain(name("example.org")),
        effect,
        fact: fact.into(),
    }
}

fn decision(route: Route, findings: Vec<Finding>) -> Decision {
    Decision {
        domain: name("example.org"),
        route,
        findings,
        decided_at: NOW,
        fresh_until: NOW,
    }
}

/// Both forms, whether the decision is at hand or only what was kept of it.
fn says(decision: &Decision, dutch: &str, english: &str) {
    let kept = serde_json::to_string(&decision.summary()).unwrap();
    let kept: Summary = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept.sentence(Language::Dutch), dutch);
    assert_eq!(kept.sentence(Language::English), english);
    assert_eq!(decision.sentence(), english);
}

fn hop(authority: Authority, must_name_domain: bool, authenticate: Authentication) -> Hop {
    Hop {
        host: name("mx.example.org"),
        addresses: Vec::new(),
        port: 25,
        domain: name("example.org"),
        sni: name("mx.example.org"),
        authority,
        must_name_domain,
        authenticate,
    }
}

fn pkix() -> Authentication {
    Authentication::Pkix {
        name: name("mx.example.org"),
    }
}

fn dane() -> Authentication {
    Authentication::Dane {
        records: vec![Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: vec![7; 32],
        }],
        names: vec![name("mx.example.org")],
    }
}

#[test]
fn a_direct_way_names_host_authority_and_proof() {
    let dutch = |authority: &str, proof: &str| {
        format!(
            "Mail voor example.org gaat rechtstreeks naar mx.example.org over een versleutelde \
             verbinding, omdat {authority} en {proof}."
        )
    };
    let english = |authority: &str, proof: &str| {
        format!(
            "Mail for example.org goes directly to mx.example.org over an encrypted connection, \
             because {authority} and {proof}."
        )
    };
    let by_root = (
        "zijn certificaat wordt nagekeken: de naam, en of het van een vertrouwde uitgever is",
        "its certificate will be checked against trusted roots and its name",
    );
    for (authority, must_name, nl, en) in [
        (
            Authority::Operator,
            false,
            "de instellingen deze server noemen",
            "your settings name this host",
        ),
        (
            Authority::Dnssec,
            false,
            "de lijst van mailservers ondertekend is",
            "the list of mail servers is signed",
        ),
        (
            Authority::MtaSts,
            false,
            "het domein deze server in zijn eigen beleid noemt",
            "the domain's own policy names this host",
        ),
        (
            Authority::Named,
            false,
            "de server in het domein zelf ligt",
            "the host lies inside the domain itself",
        ),
        (
            Authority::Corroborated,
            false,
            "meer plaatsen op internet dezelfde mailservers zien",
            "several places on the Internet see the same mail servers",
        ),
        (
            Authority::Unsigned,
            true,
            "zijn certificaat het domein zelf moet noemen",
            "its certificate must name the domain itself",
        ),
        (
            Authority::Unsigned,
            false,
            "de instellingen de lijst van mailservers ook zonder handtekening vertrouwen",
            "your settings trust the unsigned list of mail servers",
        ),
    ] {
        let route = Route::Deliver(vec![hop(authority, must_name, pkix())]);
        let decision = decision(route, Vec::new());
        says(&decision, &dutch(nl, by_root.0), &english(en, by_root.1));
    }
    let route = Route::Deliver(vec![hop(Authority::Dnssec, false, dane())]);
    says(
        &decision(route, Vec::new()),
        &dutch(
            "de lijst van mailservers ondertekend is",
            "zijn sleutel in ondertekende DNS staat en wordt nagekeken",
        ),
        &english(
            "the list of mail servers is signed",
            "its key is published in signed DNS and will be checked",
        ),
    );
    says(
        &decision(Route::Deliver(Vec::new()), Vec::new()),
        "Mail voor example.org gaat nergens heen: er is geen server.",
        "Mail for example.org goes nowhere: no host is left.",
    );
}

#[test]
fn the_vault_is_told_with_its_reason() {
    for (reason, nl, en) in [
        (
            VaultReason::DowngradeConsented,
            "het domein minder veilig is dan eerst en de afzender de kluis dan goed vindt",
            "the domain is less safe than before and the sender consents to the vault",
        ),
        (
            VaultReason::Incapable,
            "de mailserver een bericht van deze soort niet kan aannemen",
            "the receiving host cannot take a message of this kind",
        ),
        (
            VaultReason::NoSecurePath,
            "geen mailserver van het domein kan bewijzen dat hij veilig is",
            "no mail server of the domain can be proved safe",
        ),
        (
            VaultReason::Required,
            "de afzender, de organisatie of een scanner dat eist",
            "the sender, the organisation or a scanner requires it",
        ),
        (
            VaultReason::Unreachable,
            "het domein te lang niet te bereiken was",
            "the domain could not be reached for too long",
        ),
    ] {
        says(
            &decision(Route::Vault { reason }, Vec::new()),
            &format!("Mail voor example.org gaat in de kluis, omdat {nl}."),
            &format!("Mail for example.org goes into the vault, because {en}."),
        );
    }
}

const ATTACK: (&str, &str) = (
    "niet klopt wat het domein over zijn beveiliging bekendmaakt, en zo ziet ook een aanval eruit",
    "what the domain publishes about its security is not met, which is how an attack looks",
);
const NAME_SERVERS: (&str, &str) = (
    "de naamservers van het domein niet antwoorden zoals het hoort",
    "the name servers of the domain do not answer as they should",
);

/// A class, what was found, the exit code, and the words in Dutch and in English.
type Cause = (DeferClass, Vec<Finding>, u8, (&'static str, &'static str));

/// Every cause.
fn causes() -> Vec<Cause> {
    use DeferClass::{NoPath, OwnFault, Suspicious, Transient, Unconfirmed, UnprovedDenial};
    let held = |rule, fact| vec![found(rule, Effect::Hold, fact)];
    let with = |rule, held: Vec<Finding>| {
        let mut findings = vec![found(rule, Effect::Note, "")];
        findings.extend(held);
        findings
    };
    let published = "the domain itself publishes what was not met";
    vec![
        (
            NoPath,
            held(Rule::G04, ""),
            10,
            (
                "geen mailserver van het domein kan bewijzen dat hij veilig is; dat kijken wij één keer \
             na voordat het bericht in de kluis gaat",
                "no mail server of the domain can be proved safe, which is confirmed once before the \
             vault is used",
            ),
        ),
        (
            NoPath,
            held(Rule::G06, ""),
            30,
            (
                "geen mailserver van het domein kan bewijzen dat hij veilig is, en de kluis niet kan \
             worden gebruikt",
                "no mail server of the domain can be proved safe, and the vault cannot be used",
            ),
        ),
        (
            NoPath,
            with(Rule::V01, held(Rule::G06, "")),
            30,
            (
                "de kluis moet, en niet kan worden gebruikt",
                "the vault is required and cannot be used",
            ),
        ),
        (
            NoPath,
            held(Rule::X15, ""),
            20,
            (
                "het bericht REQUIRETLS eist en geen mailserver dat biedt; dat kijken wij één keer na \
             voordat het bericht teruggaat",
                "it demands REQUIRETLS and no mail server fulfils that, which is confirmed once before \
             it goes back to its sender",
            ),
        ),
        (
            OwnFault,
            held(Rule::Mx26, ""),
            3,
            (
                "er aan onze kant iets niet werkt",
                "something on our own side is wrong",
            ),
        ),
        (Suspicious, held(Rule::G02, published), 30, ATTACK),
        (
            Suspicious,
            held(Rule::G02, "two validators do not agree"),
            30,
            (
                "twee controles van de DNS-gegevens van het domein niet hetzelfde uitwijzen, en zo \
             ziet ook een aanval eruit",
                "two validators of the DNS do not agree about the domain, which is how an attack looks",
            ),
        ),
        (
            Suspicious,
            held(Rule::G02, "the domain was safer before"),
            30,
            (
                "het domein minder veilig is dan eerst, en zo ziet ook een aanval eruit",
                "the domain is less safe than before, which is how an attack looks",
            ),
        ),
        (
            Suspicious,
            held(Rule::G05, ""),
            30,
            (
                "wij het domein nog één keer vragen voordat er iets definitief is",
                "the domain is asked once more before anything is final",
            ),
        ),
        (
            Suspicious,
            Vec::new(),
            30,
            (
                "er iets niet klopt, en zo ziet ook een aanval eruit",
                "something is wrong that an attack would look like",
            ),
        ),
        (
            Transient,
            with(Rule::Mx06, held(Rule::G03, "")),
            30,
            NAME_SERVERS,
        ),
        (
            Transient,
            with(Rule::Mx05, held(Rule::G03, "")),
            30,
            NAME_SERVERS,
        ),
        (
            Transient,
            with(Rule::R02, held(Rule::G03, "")),
            30,
            (
                "de mailserver van het domein vraagt om het later opnieuw te proberen",
                "the mail server of the domain asks us to try again later",
            ),
        ),
        (
            Transient,
            held(Rule::G03, "no host can be reached at all"),
            30,
            (
                "geen mailserver van het domein te bereiken is",
                "no mail server of the domain can be reached",
            ),
        ),
        (
            Transient,
            held(Rule::G03, ""),
            30,
            ("iets niet antwoordde", "something did not answer"),
        ),
        (
            Unconfirmed,
            held(Rule::G03, ""),
            30,
            (
                "het misschien al is aangekomen: er kwam geen antwoord op het einde",
                "it may have arrived already: no answer came to its end",
            ),
        ),
        (
            UnprovedDenial,
            held(Rule::Mx08, ""),
            30,
            (
                "het domein geen mail lijkt te ontvangen, zonder bewijs; dat kijken wij eerst na",
                "the domain seems to take no mail, without proof, which is confirmed first",
            ),
        ),
    ]
}

#[test]
fn what_waits_is_told_with_its_moment_and_its_cause() {
    let not_before = NOW.plus(Duration::from_secs(15 * 60));
    for (class, findings, code, (nl, en)) in causes() {
        let decision = decision(Route::Defer { class, not_before }, findings);
        says(
            &decision,
            &format!(
                "Mail voor example.org wacht tot donderdag 1 januari 2026 00:15 UTC, omdat {nl}."
            ),
            &format!(
                "Mail for example.org is held until Thursday 1 January 2026 00:15 UTC, because {en}."
            ),
        );
        assert_eq!(exit_code(&decision), code, "{en}");
    }
}

#[test]
fn what_waited_too_long_goes_back_with_what_it_waited_for() {
    let status = EnhancedStatus::new(5, 7, 5);
    let rule = Rule::G10;
    let findings = vec![
        found(
            Rule::G02,
            Effect::Hold,
            "the domain itself publishes what was not met",
        ),
        found(rule, Effect::Refuse, ""),
    ];
    says(
        &decision(Route::Bounce { status, rule }, findings),
        &format!(
            "Mail voor example.org gaat terug naar de afzender (5.7.5). Het bericht heeft zo lang \
             gewacht als mag, omdat {}.",
            ATTACK.0
        ),
        &format!(
            "Mail for example.org goes back to its sender (5.7.5). The message has waited as long \
             as it may, because {}.",
            ATTACK.1
        ),
    );
}

#[test]
fn what_goes_back_is_told_with_the_verdict() {
    let status = EnhancedStatus::new(5, 1, 2);
    for (rule, nl, en) in [
        (
            Rule::Mx07,
            "Het domein bestaat niet, en de DNS bewijst dat.",
            "The domain does not exist, and the DNS proves it.",
        ),
        (
            Rule::Mx08,
            "Het domein lijkt niet te bestaan; dat is nog eens nagekeken.",
            "The domain does not seem to exist, which was confirmed.",
        ),
        (
            Rule::Mx11,
            "Het domein ontvangt geen mail, en de DNS bewijst dat.",
            "The domain accepts no mail, and the DNS proves it.",
        ),
        (
            Rule::Mx12,
            "Het domein lijkt geen mail te ontvangen; dat is nog eens nagekeken.",
            "The domain seems to accept no mail, which was confirmed.",
        ),
        (
            Rule::R03,
            "De mailserver heeft bewezen wie hij is, en weigert de ontvanger.",
            "The authenticated host refuses the recipient.",
        ),
        (
            Rule::R05,
            "Het bericht is groter dan de mailserver aanneemt.",
            "The message is larger than the host takes.",
        ),
        // By a policy of somebody's own.
        (
            Rule::N08,
            "Regel N-8 (RFC 7672, section 3.2.1) beslist dat.",
            "Names in the certificate are not looked at.",
        ),
    ] {
        says(
            &decision(Route::Bounce { status, rule }, Vec::new()),
            &format!("Mail voor example.org gaat terug naar de afzender (5.1.2). {nl}"),
            &format!("Mail for example.org goes back to its sender (5.1.2). {en}"),
        );
    }
}

#[test]
fn a_name_in_other_letters_is_written_in_them() {
    let decision = Decision {
        domain: name("xn--bcher-kva.example"),
        ..decision(
            Route::Vault {
                reason: VaultReason::NoSecurePath,
            },
            Vec::new(),
        )
    };
    let sentence = decision.summary().sentence(Language::Dutch);
    assert!(
        sentence.starts_with("Mail voor b\u{fc}cher.example gaat"),
        "{sentence}"
    );
}

#[test]
fn each_remedy_is_said_in_both_languages() {
    let host = || name("mx.example.org");
    let domain = || name("example.org");
    for (remedy, nl, en) in [
        (
            Remedy::Address(host()),
            "mx.example.org een adres geven dat te vinden is",
            "give mx.example.org an address that can be looked up",
        ),
        (
            Remedy::Certificate(host()),
            "mx.example.org een geldig certificaat van een publieke uitgever op die naam geven, of \
             de zone van die server ondertekenen (DNSSEC) en er een TLSA-record voor publiceren \
             (DANE)",
            "give mx.example.org a valid certificate of a public authority with that name, or sign \
             its zone (DNSSEC) and publish a TLSA record for it (DANE)",
        ),
        (
            Remedy::CurrentTls(host()),
            "op mx.example.org TLS 1.2 of 1.3 met gangbare versleuteling aanbieden",
            "offer TLS 1.2 or 1.3 with current ciphers at mx.example.org",
        ),
        (
            Remedy::NameServers(domain()),
            "de naamservers van example.org herstellen",
            "repair the name servers of example.org",
        ),
        (
            Remedy::NamedByPolicy {
                host: host(),
                domain: domain(),
            },
            "mx.example.org noemen in het MTA-STS-beleid van example.org",
            "name mx.example.org in the MTA-STS policy of example.org",
        ),
        (
            Remedy::PublicAddress(host()),
            "mx.example.org een openbaar adres geven",
            "give mx.example.org a public address",
        ),
        (
            Remedy::RequireTls(host()),
            "REQUIRETLS aanzetten op mx.example.org",
            "switch on REQUIRETLS at mx.example.org",
        ),
        (
            Remedy::Signatures(domain()),
            "de handtekeningen (DNSSEC) van example.org herstellen",
            "repair the signatures (DNSSEC) of example.org",
        ),
        (
            Remedy::SignedForNta(domain()),
            "de zone van example.org ondertekenen (DNSSEC), zoals NTA 7516 eist",
            "sign the zone of example.org (DNSSEC), as NTA 7516 demands",
        ),
        (
            Remedy::SignedOrPolicy(domain()),
            "de zone van example.org ondertekenen (DNSSEC), of er een MTA-STS-beleid voor \
             publiceren",
            "sign the zone of example.org (DNSSEC), or publish an MTA-STS policy for it",
        ),
        (
            Remedy::SignedOrEnforced(domain()),
            "de zone van example.org ondertekenen (DNSSEC), of een MTA-STS-beleid publiceren dat \
             dwingend is (enforce)",
            "sign the zone of example.org (DNSSEC), or publish an MTA-STS policy in mode enforce",
        ),
        (
            Remedy::SmtpUtf8(host()),
            "SMTPUTF8 aanzetten op mx.example.org",
            "switch on SMTPUTF8 at mx.example.org",
        ),
        (
            Remedy::StartTls(host()),
            "STARTTLS aanzetten op mx.example.org",
            "switch on STARTTLS at mx.example.org",
        ),
        (
            Remedy::TlsaAnswers(host()),
            "de naamservers van mx.example.org herstellen: vragen naar TLSA-records mislukken",
            "repair the name servers of mx.example.org: questions for TLSA records fail",
        ),
        (
            Remedy::TlsaMatch(host()),
            "de TLSA-records van mx.example.org laten kloppen met het certificaat van die server",
            "make the TLSA records of mx.example.org match the certificate of that host",
        ),
        (
            Remedy::TxtAnswers(domain()),
            "de naamservers van example.org herstellen: vragen naar TXT-records mislukken",
            "repair the name servers of example.org: questions for TXT records fail",
        ),
        (
            Remedy::UsableTlsa(host()),
            "de TLSA-records van mx.example.org vervangen door bruikbare, zoals 3 1 1",
            "replace the TLSA records of mx.example.org by usable ones, such as 3 1 1",
        ),
    ] {
        assert_eq!(remedy.words(Language::Dutch), nl);
        assert_eq!(remedy.words(Language::English), en);
    }
}

/// Where the host refused the recipient, or the vault is what the sender asked for, nothing that a
/// postmaster publishes changes that.
#[test]
fn no_remedy_is_told_for_what_it_would_not_change() {
    let finding = Finding {
        rule: Rule::C04,
        subject: Subject::Host(name("mx.example.org")),
        effect: Effect::Exclude,
        fact: "".into(),
    };
    let remedies = |route| decision(route, vec![finding.clone(), finding.clone()]).remedies();
    let status = EnhancedStatus::new(5, 1, 1);
    for route in [
        Route::Bounce {
            status,
            rule: Rule::R03,
        },
        Route::Vault {
            reason: VaultReason::Required,
        },
        Route::Defer {
            class: DeferClass::OwnFault,
            not_before: NOW,
        },
        Route::Deliver(Vec::new()),
    ] {
        assert_eq!(remedies(route), []);
    }
    let route = Route::Bounce {
        status,
        rule: Rule::G10,
    };
    let once = [Remedy::StartTls(name("mx.example.org"))];
    assert_eq!(remedies(route), once);
}

/// A host in a zone whose signatures are wrong has an address; only its signatures must be mended.
#[test]
fn a_bogus_answer_calls_for_signatures() {
    for rule in [Rule::Ad03, Rule::T05] {
        let finding = Finding {
            subject: Subject::Host(name("mx.example.net")),
            ..found(rule, Effect::Exclude, "the DNS answer does not validate")
        };
        let route = Route::Defer {
            class: DeferClass::Suspicious,
            not_before: NOW,
        };
        assert_eq!(
            decision(route, vec![finding]).remedies(),
            [Remedy::Signatures(name("mx.example.net"))]
        );
    }
}
