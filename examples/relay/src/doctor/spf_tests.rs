//! SPF over DNS from a script: ends, redirects, lookups.

use securemail_core::vocab::{LookupFailure, Outcome, RecordKind, Security};
use securemail_testkit::scripted::ScriptedDns;

use super::*;

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn dns(records: &[(&str, &str)]) -> ScriptedDns {
    let dns = ScriptedDns::default();
    for (owner, text) in records {
        let texts = Outcome::Txt(vec![(*text).to_owned()]);
        dns.put(&name(owner), RecordKind::Txt, texts, Security::Secure);
    }
    // A host that terms may name.
    let address = Outcome::Addresses(vec![[192, 0, 2, 1].into()]);
    dns.put(
        &name("x.example.org"),
        RecordKind::A,
        address,
        Security::Secure,
    );
    dns
}

/// What one check finds where `example.org` has this record, beside others.
async fn found(check: &str, record: &str, others: &[(&str, &str)]) -> (Level, String) {
    let dns = dns(&[others, &[("example.org", record)]].concat());
    let findings = look(&dns, &name("example.org")).await;
    let mut of_check = findings.into_iter().filter(|(found, _)| *found == check);
    of_check.next().expect("the check is made").1
}

async fn end(record: &str, others: &[(&str, &str)]) -> Level {
    found("spf_policy", record, others).await.0
}

async fn lookups(record: &str, others: &[(&str, &str)]) -> (Level, String) {
    found("spf_lookups", record, others).await
}

#[tokio::test]
async fn an_end_that_allows_everybody_is_wrong() {
    for (record, level) in [
        ("v=spf1 mx -all", Level::Good),
        ("v=spf1 mx ~all", Level::Good),
        ("v=spf1 mx -ALL", Level::Good),
        ("v=spf1 mx ?all", Level::Fail),
        ("v=spf1 mx +all", Level::Fail),
        ("v=spf1 mx +All", Level::Fail),
        ("v=spf1 mx all", Level::Fail),
        ("v=spf1 mx", Level::Fail),
    ] {
        assert_eq!(end(record, &[]).await, level, "{record}");
    }
}

#[tokio::test]
async fn the_end_of_a_redirect_is_that_of_its_target() {
    let redirect = "v=spf1 mx redirect=_spf.example.org";
    for (target, level) in [
        ("v=spf1 -all", Level::Good),
        ("v=spf1 +all", Level::Fail),
        ("v=spf1 mx", Level::Fail),
        ("v=spf1 redirect=example.org", Level::Fail),
        ("no record", Level::Fail),
    ] {
        let others = [("_spf.example.org", target)];
        assert_eq!(end(redirect, &others).await, level, "{target}");
    }
    assert_eq!(end(redirect, &[]).await, Level::Fail, "no target");
    let by_sender = "v=spf1 redirect=%{d}._spf.example.org";
    assert_eq!(end(by_sender, &[]).await, Level::Advice);
    assert_eq!(end("v=spf1 redirect=", &[]).await, Level::Fail);
}

/// What is wrong elsewhere says nothing about the end.
#[tokio::test]
async fn the_end_is_judged_beside_an_include_that_is_wrong() {
    let record = "v=spf1 include:nothing.example.org redirect=_spf.example.org";
    let others = [("_spf.example.org", "v=spf1 ?all")];
    let (level, text) = found("spf_policy", record, &others).await;
    assert!(level == Level::Fail && text.starts_with("?all"), "{text}");
    let others = [("_spf.example.org", "v=spf1 ~all")];
    assert_eq!(end(record, &others).await, Level::Good);
    assert_eq!(lookups(record, &others).await.0, Level::Fail);
}

#[tokio::test]
async fn a_redirect_that_cannot_be_looked_up_is_not_known() {
    let dns = dns(&[("example.org", "v=spf1 redirect=_spf.example.org")]);
    let target = name("_spf.example.org");
    dns.fail(&target, RecordKind::Txt, LookupFailure::Timeout);
    let findings = look(&dns, &name("example.org")).await;
    let levels: Vec<Level> = findings.iter().map(|(_, (level, _))| *level).collect();
    assert_eq!(levels, [Level::Good, Level::Unknown, Level::Unknown]);
}

/// RFC 7208, section 6.1: beside `all`, anywhere, a redirect is ignored.
#[tokio::test]
async fn a_redirect_beside_all_counts_for_nothing() {
    for record in [
        "v=spf1 -all redirect=nothing.example.org",
        "v=spf1 redirect=nothing.example.org -all",
    ] {
        assert_eq!(end(record, &[]).await, Level::Good, "{record}");
        let (level, text) = lookups(record, &[]).await;
        assert_eq!((level, &*text), (Level::Good, "0 of at most 10"));
    }
}

#[tokio::test]
async fn a_name_may_be_included_twice() {
    let others = [
        ("a.example.org", "v=spf1 include:c.example.org -all"),
        ("b.example.org", "v=spf1 include:c.example.org -all"),
        ("c.example.org", "v=spf1 ip4:192.0.2.1 -all"),
    ];
    let record = "v=spf1 include:a.example.org include:b.example.org -all";
    let (level, text) = lookups(record, &others).await;
    assert_eq!((level, &*text), (Level::Good, "4 of at most 10"));
}

#[tokio::test]
async fn a_circle_has_too_many_lookups() {
    let (level, text) = lookups("v=spf1 include:example.org -all", &[]).await;
    assert_eq!(level, Level::Fail, "{text}");
    let others = [("a.example.org", "v=spf1 redirect=example.org")];
    let (level, text) = lookups("v=spf1 redirect=a.example.org", &others).await;
    assert_eq!(level, Level::Fail, "{text}");
}

#[tokio::test]
async fn ten_lookups_are_the_most() {
    for (terms, level) in [(9, Level::Good), (10, Level::Advice), (11, Level::Fail)] {
        let record = format!("v=spf1{} -all", " a:x.example.org".repeat(terms));
        assert_eq!(lookups(&record, &[]).await.0, level, "{terms}");
    }
}

#[tokio::test]
async fn an_included_name_without_a_record_is_wrong() {
    let (level, _) = lookups("v=spf1 include:b.example.org -all", &[]).await;
    assert_eq!(level, Level::Fail);
}

#[tokio::test]
async fn what_is_no_term_of_spf_spoils_the_record_wherever_it_stands() {
    let spoilt = found("spf", "v=spf1 ipv4:192.0.2.1 -all", &[]).await;
    assert_eq!(spoilt.0, Level::Fail);
    let included = [("b.example.org", "v=spf1 ip4:192.0.2.1/40 -all")];
    let record = "v=spf1 include:b.example.org -all";
    assert_eq!(lookups(record, &included).await.0, Level::Fail);
}

#[tokio::test]
async fn an_included_record_that_passes_everybody_opens_ours() {
    let included = "v=spf1 include:b.example.org -all";
    for (target, level) in [
        ("v=spf1 +all", Level::Fail),
        ("v=spf1 ip4:0.0.0.0/0 -all", Level::Fail),
        ("v=spf1 redirect=c.example.org", Level::Fail),
        ("v=spf1 include:c.example.org", Level::Fail),
        // What it doubts or refuses does not match, and ours goes on (RFC 7208, section 5.2).
        ("v=spf1 ip4:192.0.2.1 ~all", Level::Good),
        ("v=spf1 -include:c.example.org ?all", Level::Good),
    ] {
        let others = [("b.example.org", target), ("c.example.org", "v=spf1 all")];
        assert_eq!(end(included, &others).await, level, "{target}");
    }
    let refused = "v=spf1 -include:c.example.org -all";
    let others = [("c.example.org", "v=spf1 all")];
    assert_eq!(end(refused, &others).await, Level::Good);
}

/// RFC 7208, section 4.6.4: two lookups may find nothing.
#[tokio::test]
async fn names_that_find_nothing_are_counted() {
    for (names, level) in [
        (0, Level::Good),
        (1, Level::Advice),
        (2, Level::Advice),
        (3, Level::Fail),
    ] {
        let terms = [" a:n.test", " mx:m.test", " exists:e.test"];
        let record = format!("v=spf1{} -all", terms[..names].concat());
        assert_eq!(lookups(&record, &[]).await.0, level, "{names}");
    }
    // A name that each mail makes is not known.
    let made = "v=spf1 exists:%{i}.a.test exists:%{i}.b.test exists:%{i}.c.test -all";
    assert_eq!(lookups(made, &[]).await.0, Level::Good);
}

/// RFC 7208, section 5.7: `exists` asks for A, also where the client has IPv6.
#[tokio::test]
async fn exists_is_not_met_by_an_ipv6_address() {
    let dns = dns(&[("example.org", "v=spf1 exists:six.test -all")]);
    let six = Outcome::Addresses(vec!["2001:db8::1".parse().unwrap()]);
    dns.put(&name("six.test"), RecordKind::Aaaa, six, Security::Secure);
    let findings = look(&dns, &name("example.org")).await;
    assert_eq!(findings[2].1.0, Level::Advice);
}

#[tokio::test]
async fn ptr_is_not_to_be_used_and_many_exchangers_are_too_many() {
    assert_eq!(lookups("v=spf1 ptr -all", &[]).await.0, Level::Advice);
    for (count, level) in [(10, Level::Good), (11, Level::Fail)] {
        let dns = dns(&[("example.org", "v=spf1 mx -all")]);
        let hosts: Vec<DnsName> = (0..count).map(|n| name(&format!("mx{n}.test"))).collect();
        let hosts: Vec<&DnsName> = hosts.iter().collect();
        dns.mail(&name("example.org"), &hosts, Security::Secure);
        let findings = look(&dns, &name("example.org")).await;
        assert_eq!(findings[2].1.0, level, "{count}");
    }
}

#[test]
fn only_a_record_that_names_nobody_refuses_all() {
    assert!(refuses_all("v=spf1 -all"));
    for record in [
        "v=spf1 ~all",
        "v=spf1 mx -all",
        "v=spf1 ip4:192.0.2.1 -all",
        "v=spf1 -al",
    ] {
        assert!(!refuses_all(record), "{record}");
    }
}
