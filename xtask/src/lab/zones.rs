//! The zones of the lab: a private signed root, `test`, and one domain for each case.

use super::files::Folder;
use super::model;
use super::peers::{self, Peer};
use super::reports;
use crate::failure::Failure;

/// How a zone is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signing {
    /// Signed, and its parent says so.
    Secure,
    /// Not signed, and its parent proves that.
    Insecure,
    /// Its parent says that it is signed, and its signatures are wrong.
    Bogus,
}

/// One zone.
#[derive(Debug)]
pub(super) struct Zone {
    /// Its apex, without the last dot; empty for the root.
    pub(super) apex: &'static str,
    /// How it is signed.
    pub(super) signing: Signing,
    /// Its records, as a zone file has them, but for SOA and NS.
    pub(super) records: String,
}

/// The key of DKIM signatures of `sender.test` stands under this selector.
pub(super) const SELECTORS: [(&str, &str); 2] = [("lab-rsa", "rsa"), ("lab-ed", "ed25519")];

/// Writes and signs every zone file. Gives the zones; the file of each is `<apex>.zone`.
pub(super) fn create(folder: &Folder, peers: &[Peer]) -> Result<Vec<Zone>, Failure> {
    let zones = folder.below("zones")?;
    let mut all = recipients(folder, peers)?;
    all.extend(others(folder)?);
    all.push(sender(folder)?);
    all.push(model::zone(folder)?);
    all.extend(reports::zones(folder)?);
    reports::ask(&mut all);
    let mut delegations =
        String::from("ns A 127.0.0.1\nvantage A 127.0.0.54\nreports A 127.0.0.23\n");
    for zone in &all {
        let name = zone.apex.trim_end_matches(".test");
        delegations.push_str(&format!("{name} NS ns.test.\n"));
        delegations.push_str(&publish(&zones, zone)?);
    }
    delegations.push_str(&reserve(&zones)?);
    let test = Zone {
        apex: "test",
        signing: Signing::Secure,
        records: delegations,
    };
    let to_test = publish(&zones, &test)?;
    let records = format!("test. NS ns.test.\nns.test. A 127.0.0.1\n{to_test}");
    let root = Zone {
        apex: "",
        signing: Signing::Secure,
        records,
    };
    publish(&zones, &root)?;
    zones.shell("cp root.key ../root.key")?;
    all.extend([test, root]);
    Ok(all)
}

fn recipients(folder: &Folder, peers: &[Peer]) -> Result<Vec<Zone>, Failure> {
    use Signing::{Bogus, Insecure, Secure};
    let address = |name| {
        peers
            .iter()
            .find(|p| p.name == name)
            .map_or("", |peer| peer.address)
    };
    let matching = peers::key_digest(folder, "dane")?;
    let wrong = peers::key_digest(folder, "pkix")?;
    let at = |signing, apex, peer| Zone {
        apex,
        signing,
        records: format!("@ MX 10 mx.{apex}.\nmx A {}\n", address(peer)),
    };
    let mut zones = vec![
        at(Secure, "dane.test", "dane"),
        at(Secure, "badtlsa.test", "badtlsa"),
        at(Bogus, "bogus.test", "dane"),
        at(Secure, "pkix.test", "pkix"),
        at(Secure, "expired.test", "expired"),
        at(Insecure, "insecure.test", "pkix"),
        at(Insecure, "sts.test", "pkix"),
        at(Insecure, "notls.test", "notls"),
        at(Secure, "notls-signed.test", "notls"),
    ];
    // The first three publish TLSA records, in their order above.
    for (zone, digest) in zones.iter_mut().zip([&matching, &wrong, &matching]) {
        zone.records
            .push_str(&format!("_25._tcp.mx TLSA 3 1 1 {digest}\n"));
    }
    for zone in zones.iter_mut().filter(|zone| zone.apex == "sts.test") {
        zone.records
            .push_str("_mta-sts TXT \"v=STSv1; id=1\"\nmta-sts A 127.0.0.23\n");
    }
    // Unsigned, and its host lies in another domain: nothing but DNS says that they belong together.
    let hosted = "@ MX 10 mx.pkix.test.\n".to_owned();
    zones.push(Zone {
        apex: "hosted.test",
        signing: Insecure,
        records: hosted,
    });
    // It takes part in NTA 7516: its record names a host that can be proved, its MX records one that cannot.
    let partner = "@ MX 10 mx.notls.test.\n@ TXT \"v=NTA7516-1;startdate=2025-01;\
        enddate=2099-12;provider=Lab;ntamx=10 mx.dane.test\"\n";
    zones.push(Zone {
        apex: "nta.test",
        signing: Secure,
        records: partner.to_owned(),
    });
    let null = "@ MX 0 .\n".to_owned(); // RFC 7505
    zones.push(Zone {
        apex: "nullmx.test",
        signing: Secure,
        records: null,
    });
    Ok(zones)
}

/// The domains of mail servers of other makers: signed, with TLSA records that match.
fn others(folder: &Folder) -> Result<Vec<Zone>, Failure> {
    let zone = |other: &peers::Other| {
        let digest = peers::key_digest(folder, other.name)?;
        let (host, address) = (other.host, other.address);
        let apex = host.strip_prefix("mx.").unwrap_or(host);
        let records =
            format!("@ MX 10 mx.{apex}.\nmx A {address}\n_25._tcp.mx TLSA 3 1 1 {digest}\n");
        Ok(Zone {
            apex,
            signing: Signing::Secure,
            records,
        })
    };
    peers::OTHERS.iter().map(zone).collect()
}

/// The domain that sends, with its DKIM keys. Its own mail, such as a DSN, can be proved.
fn sender(folder: &Folder) -> Result<Zone, Failure> {
    let keys = folder.below("dkim")?;
    keys.shell(
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem; \
         openssl genpkey -algorithm ED25519 -out ed25519.pem; chmod 644 *.pem",
    )?;
    let digest = peers::key_digest(folder, "dane")?;
    let mut records = format!(
        "@ TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n@ MX 10 mx\nmx A 127.0.0.11\n\
         _25._tcp.mx TLSA 3 1 1 {digest}\n"
    );
    records.push_str(&dkim_records(&keys)?);
    Ok(Zone {
        apex: "sender.test",
        signing: Signing::Secure,
        records,
    })
}

/// What a domain publishes of the keys that it signs with.
pub(super) fn dkim_records(keys: &Folder) -> Result<String, Failure> {
    let mut records = String::new();
    for (selector, algorithm) in SELECTORS {
        // RFC 8463, section 4.2: the Ed25519 key stands bare, the RSA key as SubjectPublicKeyInfo.
        let cut = if algorithm == "ed25519" {
            "| tail -c 32"
        } else {
            ""
        };
        let key = keys.shell(&format!(
            "openssl pkey -in {algorithm}.pem -pubout -outform DER {cut} | base64 -w 200"
        ))?;
        let parts: Vec<String> = key.lines().map(|part| format!("\"{part}\"")).collect();
        records.push_str(&format!(
            "{selector}._domainkey TXT \"v=DKIM1; k={algorithm}; p=\" {}\n",
            parts.join(" ")
        ));
    }
    Ok(records)
}

/// Makes the key of `diff.test`, which whoever compares decisions serves on 127.0.0.2, and gives what its
/// parent must say of it. `differential.key` names the key.
fn reserve(zones: &Folder) -> Result<String, Failure> {
    let ds = zones.shell(
        "key=$(ldns-keygen -a ECDSAP256SHA256 -k -r /dev/urandom diff.test.); \
         echo \"$PWD/$key\" > differential.key; cat \"$key.ds\"",
    )?;
    Ok(format!("diff NS ns.diff.test.\nns.diff A 127.0.0.2\n{ds}"))
}

/// Writes one zone, signs it, and gives what its parent must say of it.
fn publish(zones: &Folder, zone: &Zone) -> Result<String, Failure> {
    let apex = zone.apex;
    let name = zone.file_stem();
    let text = format!(
        "$ORIGIN {apex}.\n$TTL 60\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 60\n\
         @ NS ns.test.\n{}",
        zone.records
    );
    zones.write(&format!("{name}.zone"), &text)?;
    if zone.signing == Signing::Insecure {
        return Ok(String::new());
    }
    // As in the world: the root denies by NSEC, other zones by NSEC3. An assertion of hickory, in debug builds
    // alone, does not know a root with NSEC3.
    let denial = if apex.is_empty() { "" } else { "-n " };
    zones.shell(&format!(
        "key=$(ldns-keygen -a ECDSAP256SHA256 -k -r /dev/urandom '{apex}.'); \
         ldns-signzone {denial}-o '{apex}.' -f {name}.signed {name}.zone $key; \
         mv {name}.signed {name}.zone; mv $key.ds {name}.ds; \
         grep -v '^;' $key.key > {name}.key"
    ))?;
    if zone.signing == Signing::Bogus {
        zones.shell(&format!(
            "awk '{BREAK_SIGNATURES}' {name}.zone > broken; mv broken {name}.zone"
        ))?;
    }
    zones.read(&format!("{name}.ds"))
}

/// Another first letter for every signature but those of the keys.
const BREAK_SIGNATURES: &str = r#"$4 == "RRSIG" && $5 != "DNSKEY" {
    $NF = (substr($NF, 1, 1) == "A" ? "B" : "A") substr($NF, 2)
} { print }"#;

impl Zone {
    /// The name of its files, without their kind.
    pub(super) fn file_stem(&self) -> &'static str {
        if self.apex.is_empty() {
            "root"
        } else {
            self.apex
        }
    }
}
