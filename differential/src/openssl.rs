//! What OpenSSL says of TLSA records and a chain: its own DANE code, over a real session.

use std::net::Ipv4Addr;

use securemail_core::vocab::Tlsa;

use crate::Trouble;
use crate::system::said;
use crate::zones::hex;

/// What it said.
#[derive(Clone, Debug)]
pub(crate) struct Opinion {
    /// Whether a record matched; `None` where it takes none of them.
    pub(crate) matched: Option<bool>,
    /// Its words.
    pub(crate) words: String,
}

/// Asks it about the host at an address, which bears this name.
///
/// # Errors
/// Where it cannot be run.
pub(crate) async fn opinion(
    address: Ipv4Addr,
    name: &str,
    records: &[Tlsa],
) -> Result<Opinion, Trouble> {
    // Its command line takes no record without data, which is never usable (RFC 6698, section 2.1.4).
    let records: Vec<String> = records
        .iter()
        .filter(|record| !record.data.is_empty())
        .map(|record| {
            let Tlsa {
                usage,
                selector,
                matching,
                data,
            } = record;
            format!("{usage} {selector} {matching} {}", hex(data))
        })
        .collect();
    if records.is_empty() {
        return Ok(Opinion {
            matched: None,
            words: "no record has data".to_owned(),
        });
    }
    let address = format!("{address}:25");
    let mut arguments = vec![
        "s_client",
        "-starttls",
        "smtp",
        "-connect",
        &address,
        "-servername",
        name,
        "-dane_tlsa_domain",
        name,
        "-dane_ee_no_namechecks",
        "-no-CAfile",
        "-no-CApath",
        "-no-CAstore",
        "-brief",
    ];
    for record in &records {
        arguments.extend(["-dane_tlsa_rrdata", record]);
    }
    let words = said("openssl", &arguments).await?;
    let matched = if words.contains("Failed to import any TLSA records") {
        None
    } else {
        Some(words.contains("Verification: OK"))
    };
    Ok(Opinion { matched, words })
}
