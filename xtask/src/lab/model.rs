//! `model.test`: the names of a relay, published as Internet.nl wants them.

use super::files::Folder;
use super::peers;
use super::zones::{self, Signing, Zone};
use crate::failure::Failure;

/// Where a test may listen as `relay.model.test`, with the certificate `model`.
pub(super) const ADDRESS: &str = "127.0.0.25";
/// A second address of NSD, which two name servers need.
pub(super) const NAME_SERVER: &str = "127.0.0.5";
/// The names in its certificate.
pub(super) const NAMES: [&str; 2] = ["relay.model.test", "portal.model.test"];

/// Its zone. Its mail goes to the relay, which is signed for with the key of `sender.test`.
pub(super) fn zone(folder: &Folder) -> Result<Zone, Failure> {
    let (own, next) = (
        peers::key_digest(folder, "model")?,
        peers::key_digest(folder, "pkix")?,
    );
    // A mapped address leads to the same listener; the lab has no network but this machine.
    let host = format!("A {ADDRESS}\n AAAA ::ffff:{ADDRESS}\n");
    let server = |name| format!("@ NS {name}\n{name} A {NAME_SERVER}\n AAAA ::1\n");
    let mut records = format!(
        "@ MX 10 relay\n TXT \"v=spf1 a:relay.model.test -all\"\n\
         \x20CAA 0 issue \"ca.test\"\n CAA 0 issuemail \";\"\n CAA 0 issuevmc \";\"\n\
         _dmarc TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@model.test\"\n\
         relay {host} MX 10 relay\n TXT \"v=spf1 a -all\"\n\
         _25._tcp.relay TLSA 3 1 1 {own}\n TLSA 3 1 1 {next}\n\
         _smtp._tls.relay TXT \"v=TLSRPTv1; rua=mailto:tls@model.test\"\n\
         portal {host} MX 0 .\n TXT \"v=spf1 -all\"\n"
    );
    records.push_str(&server("ns1"));
    records.push_str(&server("ns2"));
    records.push_str(&zones::dkim_records(&folder.below("dkim")?)?);
    Ok(Zone {
        apex: "model.test",
        signing: Signing::Secure,
        records,
    })
}
