//! Every check that reads what others publish or show, over made-up answers. For the fuzz target.

use rustls::pki_types::CertificateDer;
use securemail_core::backend::{PolicyFetcher, Resolver};
use securemail_core::dkim::LocalDkimKey;
use securemail_core::vocab::{DnsName, UnixTime};

use super::{announced, caa, certificate, domain};

/// What `doctor` says of a domain that signs with `keys`, and of a server that shows `leaf`. A new check of what others publish is called here too.
#[doc(hidden)]
pub async fn of_strangers(
    (resolver, fetcher): (&dyn Resolver, &dyn PolicyFetcher),
    (name, keys): (&DnsName, &[&LocalDkimKey]),
    leaf: &[u8],
    now: UnixTime,
) -> String {
    let mut report = domain::look(resolver, name, keys).await;
    report.add(name, "mail_caa", caa::of_host(resolver, name).await);
    let hosts = std::slice::from_ref(name);
    let found = announced::policy((resolver, fetcher), name, hosts).await;
    report.add(name, "mta_sts", found);
    let found = announced::reports(resolver, name).await;
    report.add(name, "tlsrpt", found);
    for (check, found) in certificate::judge(&[CertificateDer::from(leaf)], now) {
        report.add(name, check, found);
    }
    report.to_string()
}
