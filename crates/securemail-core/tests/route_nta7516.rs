//! NTA 7516: which records announce it, when, and whether the DNS bears it out.

use securemail_core::route::{
    Asked, Evidence, MessageFacts, NtaCheck, NtaFinding, NtaSettings, nta7516,
};
use securemail_core::vocab::{
    Answer, DnsName, Mx, MxTarget, Outcome, Profile, Question, RecordKind, Security, Tlsa, UnixTime,
};

/// 2026-11-21.
const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);
const GOOD: &str = "v=NTA7516-1;startdate=2024-02;enddate=2026-11;provider=Example;ntamx=20 b.example.org;ntamx=10 a.example.org";

/// Answers for `example.org`: its TXT records, signed or not; hosts have addresses, `a` and `mx` a key.
fn answer(question: &Question, texts: &[&str], state: Security) -> Answer {
    let name = question.name.as_str();
    let outcome = match question.kind {
        RecordKind::Txt if !texts.is_empty() => {
            Outcome::Txt(texts.iter().map(|text| (*text).to_owned()).collect())
        }
        RecordKind::Mx => Outcome::Mx(vec![Mx {
            preference: 10,
            target: MxTarget::Host(DnsName::parse("mx.example.org").unwrap()),
        }]),
        RecordKind::A => Outcome::Addresses(vec!["192.0.2.1".parse().unwrap()]),
        RecordKind::Tlsa if !name.contains("b.example.org") => Outcome::Tlsa(vec![Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: vec![7; 32],
        }]),
        _ => Outcome::NoData,
    };
    Answer::new(outcome, state, NOW)
}

fn judged_at(texts: &[&str], state: Security, now: UnixTime) -> Vec<NtaFinding> {
    let domain = DnsName::parse("example.org").unwrap();
    let mut evidence = Evidence::new(domain, Profile::Standard, MessageFacts::at(now));
    for _ in 0..10 {
        match nta7516(&evidence, now, &NtaSettings::default()) {
            Ok(findings) => return findings,
            Err(questions) => {
                assert!(!questions.is_empty());
                for question in questions {
                    let answer = answer(&question, texts, state);
                    evidence.dns.push(Asked { question, answer });
                }
            }
        }
    }
    panic!("it asks without end")
}

fn judged(texts: &[&str]) -> Vec<NtaFinding> {
    judged_at(texts, Security::Secure, NOW)
}

fn holds(findings: &[NtaFinding], check: NtaCheck) -> Vec<bool> {
    let of = findings.iter().filter(|finding| finding.check == check);
    of.map(|finding| finding.holds).collect()
}

#[test]
fn hosts_of_the_record_stand_in_for_mx_in_their_order() {
    let findings = judged(&["v=spf1 -all", GOOD]);
    assert_eq!(holds(&findings, NtaCheck::Announced), [true]);
    assert_eq!(holds(&findings, NtaCheck::HostsSigned), [true]);
    let hosts: Vec<(&str, bool)> = findings
        .iter()
        .filter(|finding| finding.check == NtaCheck::HostHasDane)
        .map(|finding| (finding.fact.as_str(), finding.holds))
        .collect();
    assert_eq!(hosts, [("a.example.org", true), ("b.example.org", false)]);
    let without = judged(&["v=NTA7516-1;startdate=2024-02;enddate=2027-11;provider=x;new=1"]);
    let host = without.last().unwrap();
    assert_eq!((host.fact.as_str(), host.holds), ("mx.example.org", true));
}

#[test]
fn a_record_is_valid_from_its_first_day_to_its_last() {
    let at = |text: &str| -> UnixTime { serde_time(text) };
    for (now, valid) in [
        ("2024-01-31T21:59:59Z", false),
        // The first of February in Amsterdam, then everywhere.
        ("2024-01-31T22:00:00Z", true),
        ("2024-02-29T12:00:00Z", true),
        ("2026-11-30T23:59:59Z", true),
        ("2026-12-01T00:00:00Z", false),
    ] {
        let findings = judged_at(&[GOOD], Security::Secure, at(now));
        assert_eq!(holds(&findings, NtaCheck::Current), [valid], "{now}");
    }
    let open = judged(&["v=NTA7516-1;provider=x"]);
    assert_eq!(holds(&open, NtaCheck::Current), [false]);
}

/// Days since 1970 by counting: slow and obvious.
fn serde_time(text: &str) -> UnixTime {
    let numbers: Vec<u64> = text
        .split(['-', 'T', ':', 'Z'])
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().unwrap())
        .collect();
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut days: u64 = (1970..numbers[0])
        .map(|year| if leap(year) { 366 } else { 365 })
        .sum();
    let february = if leap(numbers[0]) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    days += months
        .iter()
        .take(usize::try_from(numbers[1]).unwrap() - 1)
        .sum::<u64>();
    days += numbers[2] - 1;
    let time =
        UnixTime::from_secs(days * 86_400 + numbers[3] * 3600 + numbers[4] * 60 + numbers[5]);
    assert_eq!(time.to_string(), text);
    time
}

#[test]
fn what_is_no_announcement_counts_for_nothing() {
    for texts in [
        &[][..],
        &["v=spf1 -all"],
        &[GOOD, GOOD],
        // The form of an old draft, seen in the field.
        &["v=NTA7516;version:2019-06;expire:2019-10;provider:x;ntamx:h1"],
        &["v=NTA7516-1;startdate=2024-13;enddate=2027-01"],
        &["v=NTA7516-1;startdate=24-01;enddate=2027-01"],
        &["v=NTA7516-1;ntamx=mx.example.org"],
        &["v=NTA7516-1;ntamx=70000 mx.example.org"],
        &["v=NTA7516-1;ntamx=10 not/a/name"],
        &["v=NTA7516-12;startdate=2024-01;enddate=2027-01"],
    ] {
        let findings = judged(texts);
        assert_eq!(findings.len(), 1, "{texts:?}");
        assert_eq!(holds(&findings, NtaCheck::Announced), [false], "{texts:?}");
    }
}

#[test]
fn tags_are_read_whatever_their_case() {
    let findings =
        judged(&["V=nta7516-1; StartDate=2024-01; ENDDATE=2027-01; NTAMX=10 a.example.org"]);
    assert!(findings.iter().all(|finding| finding.holds), "{findings:?}");
}

#[test]
fn what_is_not_signed_does_not_hold() {
    let findings = judged_at(&[GOOD], Security::Insecure, NOW);
    assert_eq!(holds(&findings, NtaCheck::RecordSigned), [false]);
    assert_eq!(holds(&findings, NtaCheck::HostsSigned), [false]);
    assert_eq!(holds(&findings, NtaCheck::HostHasDane), [false, false]);
    let failed = judged_at(&[GOOD], Security::Bogus, NOW);
    assert_eq!(holds(&failed, NtaCheck::Announced), [false]);
}
