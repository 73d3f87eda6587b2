//! Whose DKIM signature counts: mails that dkimpy signed, and every way in which one must not count.

use std::sync::Arc;

use securemail_auth::DkimSignatures;
use securemail_core::backend::{Signatures as _, Signers};
use securemail_core::limits::SIGNATURES_MAX;
use securemail_core::vocab::{DnsName, LookupFailure, Outcome, RecordKind, Security};
use securemail_testkit::scripted::ScriptedDns;

const SHA256: &[u8] = include_bytes!("mails/sha256.eml");
const SHA1: &[u8] = include_bytes!("mails/sha1.eml");
const LENGTH: &[u8] = include_bytes!("mails/length.eml");
const UNSIGNED: &[u8] = include_bytes!("mails/unsigned.eml");
const RECORD: &str = include_str!("mails/rsa.txt");

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn key_name() -> DnsName {
    name("company-x.example").below("rsa._domainkey").unwrap()
}

fn dns(records: &[&str], security: Security) -> ScriptedDns {
    let dns = ScriptedDns::default();
    let records = records.iter().map(|record| record.trim().to_owned());
    dns.put(
        &key_name(),
        RecordKind::Txt,
        Outcome::Txt(records.collect()),
        security,
    );
    dns
}

async fn signers(message: &[u8], dns: ScriptedDns) -> Signers {
    let signatures = DkimSignatures::new(Arc::new(dns)).unwrap();
    signatures.signers(message, "tlsrpt").await
}

async fn with_record(record: &str) -> Signers {
    signers(SHA256, dns(&[record], Security::Insecure)).await
}

fn good() -> Signers {
    Signers {
        valid: vec![name("company-x.example")],
        unknown: Vec::new(),
    }
}

fn replaced(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(message).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

#[tokio::test]
async fn the_domain_that_signed_is_named() {
    assert_eq!(with_record(RECORD).await, good());
    let secure = dns(&[RECORD], Security::Secure);
    assert_eq!(signers(SHA256, secure).await, good());
}

#[tokio::test]
async fn a_mail_that_was_changed_or_not_signed_has_no_signer() {
    let changed = [
        replaced(SHA256, "aggregate", "aggravate"),
        replaced(SHA256, "From: Reports", "From: Nobody"),
        replaced(SHA256, "d=company-x.example", "d=company-z.example"),
        UNSIGNED.to_vec(),
        Vec::new(),
        b"DKIM-Signature: v=1\r\n\r\n".to_vec(),
    ];
    for message in changed {
        let dns = dns(&[RECORD], Security::Insecure);
        let found = signers(&message, dns).await;
        assert_eq!(
            found,
            Signers::default(),
            "{}",
            String::from_utf8_lossy(&message)
        );
    }
}

#[tokio::test]
async fn sha1_and_part_of_a_body_are_no_signature() {
    for message in [SHA1, LENGTH] {
        let dns = dns(&[RECORD], Security::Insecure);
        assert_eq!(signers(message, dns).await, Signers::default());
    }
}

#[tokio::test]
async fn a_key_is_for_the_service_that_it_names() {
    for (services, is_good) in [
        ("s=*; ", true),
        ("", true),
        ("s=email:tlsrpt; ", true),
        ("s = TLSRPT ; ", true),
        ("s=email; ", false),
        ("s=; ", false),
    ] {
        let record = RECORD.replace("s=tlsrpt; ", services);
        let found = with_record(&record).await;
        assert_eq!(found == good(), is_good, "{services}: {found:?}");
    }
}

#[tokio::test]
async fn a_key_in_testing_revoked_or_among_others_is_none() {
    let records = [
        vec![format!("t=s:y; {RECORD}")],
        vec!["v=DKIM1; k=rsa; p=".to_owned()],
        vec!["v=DKIM1; k=rsa; p=!!".to_owned()],
        vec![RECORD.to_owned(), "v=spf1 -all".to_owned()],
        Vec::new(),
    ];
    for records in records {
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let dns = dns(&records, Security::Insecure);
        assert_eq!(
            signers(SHA256, dns).await,
            Signers::default(),
            "{records:?}"
        );
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_looked_up_is_unknown_and_never_absent() {
    let unknown = Signers {
        valid: Vec::new(),
        unknown: vec![name("company-x.example")],
    };
    for failure in [
        LookupFailure::Timeout,
        LookupFailure::ServFail,
        LookupFailure::Bogus,
    ] {
        let dns = ScriptedDns::default();
        dns.fail(&key_name(), RecordKind::Txt, failure);
        assert_eq!(signers(SHA256, dns).await, unknown, "{failure:?}");
    }
    // Signed wrongly: somebody may have put the key there.
    let bogus = dns(&[RECORD], Security::Bogus);
    assert_eq!(signers(SHA256, bogus).await, unknown);
    assert_eq!(
        signers(SHA256, ScriptedDns::default()).await,
        Signers::default()
    );
}

#[tokio::test]
async fn a_key_may_stand_behind_an_alias_and_not_behind_a_loop() {
    let hosted = name("keys.example");
    let dns = ScriptedDns::default();
    let alias = |to: &DnsName| Outcome::Alias(to.clone());
    dns.put(
        &key_name(),
        RecordKind::Txt,
        alias(&hosted),
        Security::Insecure,
    );
    let record = Outcome::Txt(vec![RECORD.trim().to_owned()]);
    dns.put(&hosted, RecordKind::Txt, record, Security::Insecure);
    assert_eq!(signers(SHA256, dns).await, good());
    let dns = ScriptedDns::default();
    dns.put(
        &key_name(),
        RecordKind::Txt,
        alias(&key_name()),
        Security::Insecure,
    );
    let found = signers(SHA256, dns).await;
    assert_eq!(found.valid, Vec::new());
}

#[tokio::test]
async fn a_mail_with_more_signatures_than_are_looked_at_has_none() {
    let more = |count: usize| {
        let other =
            "DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=x; h=from; bh=AA==; b=AA==\r\n";
        let mut message = other.repeat(count).into_bytes();
        message.extend_from_slice(SHA256);
        message
    };
    let dns_then = || dns(&[RECORD], Security::Insecure);
    assert_eq!(signers(&more(SIGNATURES_MAX - 1), dns_then()).await, good());
    assert_eq!(
        signers(&more(SIGNATURES_MAX), dns_then()).await,
        Signers::default()
    );
}

/// dkimpy refuses to leave `From` out, so the field is taken from what the signature says it covers; then it
/// must not even be looked up.
#[tokio::test]
async fn a_signature_that_leaves_the_author_out_is_none() {
    let message = replaced(SHA256, "h=from :", "h=date :");
    let dns = ScriptedDns::default();
    dns.fail(&key_name(), RecordKind::Txt, LookupFailure::Timeout);
    assert_eq!(signers(&message, dns).await, Signers::default());
}
