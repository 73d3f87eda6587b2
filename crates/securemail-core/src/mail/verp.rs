//! Return paths of notices: a bounce says which notice it is about, and nobody can make one up.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::Key32;
use crate::vocab::{Address, AddressError, DnsName, VaultId};

/// The return path of the notice about `id`: `bounce+<id>.<mac>@host`.
///
/// # Errors
/// Never for a host name that is valid.
pub fn make(key: &Key32, id: VaultId, host: &DnsName) -> Result<Address, AddressError> {
    Address::parse(&format!("bounce+{id}.{}@{host}", tag(key, id, host)))
}

/// Which notice a return path is about; `None` where we did not make it.
#[must_use]
pub fn check(key: &Key32, path: &Address) -> Option<VaultId> {
    // Servers on the way may have changed the case.
    let local = path.local().to_ascii_lowercase();
    let (id, mac) = local.strip_prefix("bounce+")?.split_once('.')?;
    let id: VaultId = id.parse().ok()?;
    let same: bool =
        subtle::ConstantTimeEq::ct_eq(mac.as_bytes(), tag(key, id, path.domain()).as_bytes())
            .into();
    same.then_some(id)
}

/// 96 bits: with the id they fill the 64 octets of a local part (RFC 5321, section 4.5.3.1.1).
fn tag(key: &Key32, id: VaultId, host: &DnsName) -> String {
    let mut mac = keyed(key);
    mac.update(b"securemail/v1/verp\0");
    mac.update(id.as_bytes());
    mac.update(host.as_str().as_bytes());
    let tag = mac.finalize().into_bytes();
    tag.iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// HMAC-SHA-256 under a key of 32 bytes, filled up with zeros as RFC 2104, section 2, does.
fn keyed(key: &Key32) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key.expose()) {
        *to = *from;
    }
    Hmac::new(&(*block).into())
}
