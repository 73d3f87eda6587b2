//! Files of keys that an operator names.

use std::sync::Arc;

use securemail_core::dkim::LocalDkimKey;
use securemail_core::seal::LocalMasterKey;
use securemail_core::secret::SecretText;
use securemail_core::vocab::DnsName;

use crate::sealed::Counting;

/// A master key has 32 octets in one of three spellings, with nothing beside it. A key that signs has a record that says
/// of which kind it is; a selector is a name.
pub(crate) fn file(octets: &[u8]) {
    let master = LocalMasterKey::from_file_octets(octets, Arc::new(Counting::default()));
    if master.is_ok() {
        let text = octets.trim_ascii();
        let is_hex = text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit);
        let is_base64 = text.len() == 44 && text.ends_with(b"=");
        let is_raw = octets.len() == 32 && !octets.iter().all(u8::is_ascii_graphic);
        assert!(is_hex || is_base64 || is_raw, "{}", octets.escape_ascii());
        assert!(octets.iter().any(|octet| Some(octet) != octets.first()));
    }
    let text = String::from_utf8_lossy(octets).into_owned();
    let Ok(domain) = DnsName::parse("a.test") else {
        return;
    };
    let selector = text.lines().next().unwrap_or_default();
    for selector in ["s", selector] {
        let key = LocalDkimKey::from_pem(domain.clone(), selector, &SecretText::new(text.as_str()));
        let Ok(key) = key else {
            continue;
        };
        let record = key.dns_record();
        let is_kind = record.contains("k=ed25519; ") || record.contains("k=rsa; ");
        assert!(is_kind && !record.ends_with("p="), "{record}");
        assert!(DnsName::parse(&key.dns_name()).is_ok(), "{selector}");
        assert!(!record.contains(char::is_control));
    }
}
