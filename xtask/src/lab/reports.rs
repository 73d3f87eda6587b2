//! Domains that ask for reports about TLS (RFC 8460): each fails, or does not, in a way of its own.

use super::files::Folder;
use super::peers;
use super::zones::{Signing, Zone};
use crate::failure::Failure;

/// The host that takes reports by HTTPS; the policy host serves it.
pub(super) const RECEIVER: &str = "reports.test";
/// Where reports by mail about `sender.test` go: the place of a relay that a test starts.
const INBOX: &str = "inbox.test";

/// Who asks for reports, and where.
const ASKS: [(&str, &str); 13] = [
    ("dane.test", BY_HTTPS),
    ("pkix.test", BY_HTTPS),
    ("sts.test", BY_HTTPS),
    ("bogusmx.test", BY_HTTPS),
    ("oldtlsa.test", BY_HTTPS),
    ("stsbad.test", BY_HTTPS),
    ("stscert.test", BY_HTTPS),
    ("stsdown.test", BY_HTTPS),
    ("notls.test", "mailto:tls@notls.test"),
    ("stsexpired.test", "mailto:tls@stsexpired.test"),
    ("stsname.test", "mailto:tls@stsname.test"),
    ("wrongtlsa.test", "mailto:tls@wrongtlsa.test"),
    ("sender.test", "mailto:tls@inbox.test"),
];
const BY_HTTPS: &str = "https://reports.test/tls-reports";

/// What is served for each policy host; a host that is none of them answers 404.
pub(super) const POLICIES: [(&str, &str); 4] = [
    (
        "mta-sts.sts.test",
        "version: STSv1\r\nmode: enforce\r\nmx: mx.sts.test\r\nmax_age: 86400\r\n",
    ),
    (
        "mta-sts.stsbad.test",
        "version: STSv1\r\nmode: perhaps\r\nmax_age: 86400\r\n",
    ),
    (
        "mta-sts.stsexpired.test",
        "version: STSv1\r\nmode: enforce\r\nmx: mx.expired.test\r\nmax_age: 86400\r\n",
    ),
    (
        "mta-sts.stsname.test",
        "version: STSv1\r\nmode: enforce\r\nmx: mx.stsname.test\r\nmax_age: 86400\r\n",
    ),
];

/// The names in the certificate of the policy host: all but `mta-sts.stscert.test`.
pub(super) const NAMES: [&str; 6] = [
    "mta-sts.sts.test",
    "mta-sts.stsbad.test",
    "mta-sts.stsdown.test",
    "mta-sts.stsexpired.test",
    "mta-sts.stsname.test",
    RECEIVER,
];

/// The domains that exist for reports alone.
pub(super) fn zones(folder: &Folder) -> Result<Vec<Zone>, Failure> {
    let of_dane = peers::key_digest(folder, "dane")?;
    let of_pkix = peers::key_digest(folder, "pkix")?;
    let with_policy = |apex, mail: &str| Zone {
        apex,
        signing: Signing::Insecure,
        records: format!("{mail}\n_mta-sts TXT \"v=STSv1; id=1\"\nmta-sts A 127.0.0.23\n"),
    };
    let signed = |apex, records: String| Zone {
        apex,
        signing: Signing::Secure,
        records,
    };
    // A host of its own for each, or one session would carry the messages for all.
    let own = "@ MX 10 mx\nmx A 127.0.0.12";
    Ok(vec![
        // The host lies in a zone whose signatures are wrong.
        signed("bogusmx.test", "@ MX 10 mx.bogus.test.\n".to_owned()),
        // The certificate of a host can be no TLSA record of usage 1 (RFC 7672, section 3.1.3).
        signed(
            "oldtlsa.test",
            format!("@ MX 10 mx\nmx A 127.0.0.12\n_25._tcp.mx TLSA 1 1 1 {of_pkix}\n"),
        ),
        // Two hosts, and the records of both are of another key.
        signed(
            "wrongtlsa.test",
            format!(
                "@ MX 10 one\n@ MX 20 two\none A 127.0.0.12\ntwo A 127.0.0.12\n\
                 _25._tcp.one TLSA 3 1 1 {of_dane}\n_25._tcp.two TLSA 3 1 1 {of_dane}\n"
            ),
        ),
        with_policy("stsbad.test", own),
        with_policy("stscert.test", own),
        with_policy("stsdown.test", own),
        with_policy("stsexpired.test", "@ MX 10 mx.expired.test."),
        // The certificate at that address does not bear its name.
        with_policy("stsname.test", own),
        signed(INBOX, "@ MX 10 mx\nmx A 127.0.0.24\n".to_owned()),
    ])
}

/// Lets each domain of the list ask.
pub(super) fn ask(zones: &mut [Zone]) {
    for (apex, place) in ASKS {
        for zone in zones.iter_mut().filter(|zone| zone.apex == apex) {
            let line = format!("_smtp._tls TXT \"v=TLSRPTv1; rua={place}\"\n");
            zone.records.push_str(&line);
        }
    }
}
