//! The table from rules to result types and reason codes; each line that changes is a decision.

use std::fmt::Write as _;

use securemail_core::route::Rule;
use securemail_core::tlsrpt::{ResultType, reason_code, result_of};

/// Every rule that is a failure of TLS (RFC 8460, section 4.3), with its type and our word for it.
const TABLE: &str = "\
MX-03 dnssec-invalid mx-bogus
MX-04 dnssec-invalid mx-bogus
AD-03 dnssec-invalid address-bogus
T-02 tlsa-invalid all-unusable
T-05 dnssec-invalid tlsa-bogus
T-06 dnssec-invalid tlsa-bogus
T-07 dnssec-invalid tlsa-bogus
P-05 sts-policy-invalid txt-invalid
P-11 sts-policy-fetch-error unreachable
P-12 sts-webpki-invalid -
P-13 sts-policy-fetch-error redirect
P-14 sts-policy-fetch-error http-status
P-15 sts-policy-invalid media-type
P-16 sts-policy-fetch-error too-large
P-18 sts-policy-fetch-error no-public-address
P-19 sts-policy-invalid malformed
P-25 sts-policy-invalid malformed
X-03 validation-failure mx-mismatch
X-04 validation-failure dane-no-match
X-07 tlsa-invalid all-unusable
X-09 validation-failure mx-mismatch
X-12 validation-failure mx-mismatch
C-03 starttls-not-supported no-esmtp
C-04 starttls-not-supported not-advertised
C-05 starttls-not-supported starttls-refused
C-06 starttls-not-supported starttls-refused
C-07 validation-failure starttls-injection
C-08 validation-failure tls-handshake
C-09 validation-failure tls-handshake
CE-01 certificate-expired -
CE-02 certificate-not-trusted -
CE-03 certificate-host-mismatch -
CE-04 certificate-not-trusted -
CE-05 certificate-not-trusted -
CE-06 certificate-not-trusted -
CE-07 certificate-expired -
CE-09 certificate-not-trusted certificate-unusable
CE-10 certificate-host-mismatch -
CE-11 certificate-host-mismatch -
CE-12 certificate-host-mismatch -
CE-13 certificate-not-trusted -
CE-14 validation-failure no-certificate
CE-16 validation-failure -
CE-17 validation-failure dane-no-match
S-05 dane-required -
";

#[test]
fn each_rule_has_the_result_type_of_the_table_or_none() {
    let mut table = String::new();
    for rule in Rule::ALL {
        let (result, reason) = (result_of(*rule), reason_code(*rule));
        match result {
            Some(result) => {
                writeln!(table, "{} {result} {}", rule.id(), reason.unwrap_or("-")).unwrap();
            }
            None => assert_eq!(reason, None, "{} has a reason for nothing", rule.id()),
        }
    }
    assert_eq!(table, TABLE);
}

#[test]
fn every_result_type_is_of_use_and_reads_back() {
    for result in ResultType::ALL {
        assert!(TABLE.contains(result.as_str()), "{result} is never said");
        assert_eq!(ResultType::parse(result.as_str()), Some(result));
    }
    assert_eq!(ResultType::parse("no-such-type"), None);
}
