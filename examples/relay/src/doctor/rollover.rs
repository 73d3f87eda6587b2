//! Whether the world may already see the key that we are about to show (RFC 7671, section 8.1).
//!
//! A host that publishes TLSA records and shows another key gets no mail from senders that keep to DANE. So a new
//! certificate is refused until a record for it is visible.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use securemail_core::backend::Resolver;
use securemail_core::route::{associated, public_key, usable};
use securemail_core::vocab::{DnsName, Tlsa};
use sha2::{Digest, Sha256};

use super::lookup::{Found, tlsa};
use super::report::{Level, advice, fail, good, unknown};
use crate::assemble::{Trouble, resolver};
use crate::settings::{Settings, SettingsError};
use crate::system::SystemClock;
use crate::tls::Certificate;

/// How the certificate stands to what is published.
#[derive(Debug)]
pub struct Rollover {
    published: Found<Vec<Tlsa>>,
    matching: usize,
    /// The record that would fit.
    line: String,
}

/// Compares what is published for `host` with `certificate`.
pub async fn look(
    resolver: &dyn Resolver,
    host: &DnsName,
    port: u16,
    certificate: &Certificate,
) -> Rollover {
    let published = tlsa(resolver, host, port).await;
    let matching = match &published {
        Found::Records(records, _) => {
            let chain: Vec<&[u8]> = certificate.chain.iter().map(AsRef::as_ref).collect();
            let usable = usable(records);
            usable.iter().filter(|one| associated(one, &chain)).count()
        }
        Found::Absent(_) | Found::Unknown(_) => 0,
    };
    Rollover {
        published,
        matching,
        line: record_for(host, port, certificate.chain.first()),
    }
}

impl Rollover {
    /// Whether senders that keep to DANE would hold what they have for us.
    pub const fn shuts_out(&self) -> bool {
        matches!(&self.published, Found::Records(_, true)) && self.matching == 0
    }

    /// The checks, and what each found.
    pub fn judge(&self) -> Vec<(&'static str, (Level, String))> {
        let line = &self.line;
        match &self.published {
            Found::Records(records, true) => {
                let valid = if self.matching == 0 {
                    fail(format!(
                        "no record fits our certificate; senders with DANE hold their mail. Publish {line}"
                    ))
                } else {
                    good("a record fits our certificate")
                };
                let spare = if records.len() > self.matching && self.matching > 0 {
                    good("there is a record for the next key")
                } else {
                    advice(
                        "only one key is published; publish the next one's record before it is used",
                    )
                };
                vec![
                    ("dane_exists", good(format!("{} records", records.len()))),
                    ("dane_valid", valid),
                    ("dane_rollover", spare),
                ]
            }
            Found::Records(_, false) => vec![(
                "dane_exists",
                fail("the TLSA records are not signed, and count for nothing"),
            )],
            Found::Absent(true) => vec![(
                "dane_exists",
                fail(format!("no TLSA record; publish {line}")),
            )],
            Found::Absent(false) => vec![(
                "dane_exists",
                fail("no TLSA record, and the zone is not signed"),
            )],
            Found::Unknown(why) => vec![("dane_exists", unknown(why.clone()))],
        }
    }
}

/// The 3 1 1 record that fits a certificate: it outlives renewals that keep the key (RFC 7671, section 5.1).
fn record_for(host: &DnsName, port: u16, leaf: Option<&CertificateDer<'_>>) -> String {
    let key = leaf.and_then(|leaf| public_key(leaf)).unwrap_or_default();
    let digest: String = Sha256::digest(key)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    format!("_{port}._tcp.{host} TLSA 3 1 1 {digest}")
}

/// Refuses to serve with a certificate that the world must not believe yet. A DNS that does not answer refuses
/// nothing: what was shown before is shown again.
///
/// # Errors
/// Where TLSA records are published and none fits.
pub async fn guard(settings: &Settings, certificate: &Certificate) -> Result<(), Trouble> {
    if settings.listen.bounces.is_none() || !settings.tls.rollover_guard {
        return Ok(());
    }
    let resolver = resolver(settings, Arc::new(SystemClock))?;
    let host = &settings.relay.hostname;
    let state = look(&resolver, host, 25, certificate).await;
    if let Found::Unknown(why) = &state.published {
        tracing::warn!(%why, "the TLSA records of this host could not be read");
    }
    if !state.shuts_out() {
        return Ok(());
    }
    Err(SettingsError::Invalid(format!(
        "tls.certificate: {host} publishes TLSA records and none fits this key, so senders with DANE would \
         hold their mail. Publish {} beside those that are there, wait until the old ones have run out of \
         every cache, and start then; or keep the old key; or, if you know better, set \
         tls.rollover_guard = false",
        state.line
    ))
    .into())
}
