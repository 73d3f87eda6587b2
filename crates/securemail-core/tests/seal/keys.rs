//! Records, wrapped content keys and the master key: each opens with its own key and context only.

use std::sync::Arc;

use proptest::prelude::*;
use securemail_core::backend::{KeyError, KeyPurpose, KeyRef, MasterKey, WrappedKey};
use securemail_core::seal::{
    LocalMasterKey, MasterKeyFormat, RecordCipher, SealError, WrappedContentKey,
};
use securemail_core::secret::Key32;
use securemail_core::vocab::{QueueId, VaultId, VaultKey};
use securemail_testkit::sim::{DryEntropy, SeededEntropy};

use crate::support::hex;

fn key(octet: u8) -> Key32 {
    Key32::from_bytes([octet; 32])
}

fn vault(tenant: &str, id: u8) -> VaultKey {
    VaultKey {
        tenant: tenant.parse().unwrap(),
        id: VaultId::from_bytes([id; 16]),
    }
}

proptest! {
    #[test]
    fn a_record_opens_with_its_key_and_context_only(
        plain: Vec<u8>, context: Vec<u8>, other: Vec<u8>, seed: u64,
    ) {
        let cipher = RecordCipher::new(key(1));
        let sealed = cipher.seal(&context, &plain, &SeededEntropy::new(seed)).unwrap();
        prop_assert_eq!(cipher.open(&context, &sealed).unwrap(), plain);
        prop_assert_eq!(
            RecordCipher::new(key(2)).open(&context, &sealed),
            Err(SealError::Mismatch)
        );
        prop_assume!(other != context);
        prop_assert_eq!(cipher.open(&other, &sealed), Err(SealError::Mismatch));
    }

    #[test]
    fn an_altered_record_does_not_open(plain: Vec<u8>, at: proptest::sample::Index, bit in 0..8_u8) {
        let cipher = RecordCipher::new(key(1));
        let mut sealed = cipher.seal(b"c", &plain, &SeededEntropy::new(1)).unwrap();
        let at = at.index(sealed.len());
        prop_assert_eq!(cipher.open(b"c", &sealed[..at]), Err(SealError::Mismatch));
        sealed[at] ^= 1 << bit;
        prop_assert_eq!(cipher.open(b"c", &sealed), Err(SealError::Mismatch));
    }
}

#[test]
fn a_record_longer_than_a_chunk_is_whole() {
    let cipher = RecordCipher::new(key(1));
    let plain = vec![9; 100_000];
    let sealed = cipher.seal(b"c", &plain, &SeededEntropy::new(1)).unwrap();
    assert_eq!(cipher.open(b"c", &sealed).unwrap(), plain);
}

#[test]
fn a_record_is_not_sealed_without_randomness() {
    let result = RecordCipher::new(key(1)).seal(b"c", b"plain", &DryEntropy);
    assert!(matches!(result, Err(SealError::NoEntropy(_))));
}

#[test]
fn a_content_key_needs_link_and_share_of_its_own_message_and_tenant() {
    let at = vault("gemeente", 1);
    let entropy = SeededEntropy::new(1);
    let (link, share) = (key(1), key(2));
    let wrapped = WrappedContentKey::for_link(&key(9), &at, &link, &share, &entropy).unwrap();
    let opened = wrapped.open_with_link(&at, &link, &share).unwrap();
    assert_eq!(opened.expose(), key(9).expose());
    for (at, link, share) in [
        (&at, &key(0), &share),
        (&at, &link, &key(0)),
        (&at, &share, &link),
        (&vault("gemeente", 2), &link, &share),
        (&vault("gemeente-x", 1), &link, &share),
    ] {
        assert_eq!(
            wrapped.open_with_link(at, link, share).err(),
            Some(SealError::Mismatch)
        );
    }
}

#[test]
fn a_spooled_content_key_needs_the_key_of_its_day() {
    let (tenant, queue) = ("gemeente".parse().unwrap(), QueueId::from_bytes([3; 16]));
    let entropy = SeededEntropy::new(1);
    let wrapped = WrappedContentKey::for_spool(&key(9), &tenant, queue, &key(1), &entropy).unwrap();
    let opened = wrapped.open_with_day_key(&tenant, queue, &key(1)).unwrap();
    assert_eq!(opened.expose(), key(9).expose());
    assert!(wrapped.open_with_day_key(&tenant, queue, &key(2)).is_err());
    let other = QueueId::from_bytes([4; 16]);
    assert!(wrapped.open_with_day_key(&tenant, other, &key(1)).is_err());
    // The two kinds of wrapping are apart even under the same octets.
    let vault = VaultKey {
        tenant,
        id: VaultId::from_bytes([3; 16]),
    };
    assert!(wrapped.open_with_link(&vault, &key(1), &key(1)).is_err());
}

#[test]
fn a_wrapped_content_key_survives_serialisation() {
    let at = vault("gemeente", 1);
    let wrapped =
        WrappedContentKey::for_link(&key(9), &at, &key(1), &key(2), &SeededEntropy::new(1))
            .unwrap();
    let json = serde_json::to_string(&wrapped).unwrap();
    assert!(serde_json::from_str::<WrappedContentKey>(&json).unwrap() == wrapped);
    let again = WrappedContentKey::from_octets(wrapped.octets().to_vec());
    assert!(again == wrapped);
}

fn master(octet: u8) -> LocalMasterKey {
    LocalMasterKey::new(&key(octet), Arc::new(SeededEntropy::new(1)))
}

fn reference(tenant: &str, purpose: KeyPurpose, id: u8) -> KeyRef {
    KeyRef {
        tenant: tenant.parse().unwrap(),
        purpose,
        id: [id; 16],
    }
}

/// M1.
#[tokio::test]
async fn a_key_unwraps_for_its_own_tenant_purpose_and_id_only() {
    let at = reference("a", KeyPurpose::ServerShare, 1);
    let wrapped = master(1).wrap(&at, &key(9)).await.unwrap();
    let opened = master(1).unwrap(&at, &wrapped).await.unwrap();
    assert_eq!(opened.expose(), key(9).expose());
    for other in [
        reference("b", KeyPurpose::ServerShare, 1),
        reference("a", KeyPurpose::LinkSecret, 1),
        reference("a", KeyPurpose::ServerShare, 2),
    ] {
        let result = master(1).unwrap(&other, &wrapped).await;
        assert!(matches!(result, Err(KeyError::Mismatch)));
    }
    let result = master(2).unwrap(&at, &wrapped).await;
    assert!(matches!(result, Err(KeyError::Mismatch)));
    let result = master(1).unwrap(&at, &WrappedKey(Vec::new())).await;
    assert!(matches!(result, Err(KeyError::Mismatch)));
    assert!(!hex(&wrapped.0).contains(&hex(key(9).expose())));
}

/// M2.
#[tokio::test]
async fn derived_keys_are_the_same_on_every_node_and_apart_by_label() {
    let derive = async |octet, label| *master(octet).derive(label).await.unwrap().expose();
    assert_eq!(derive(1, "cookie").await, derive(1, "cookie").await);
    assert_ne!(derive(1, "cookie").await, derive(1, "records").await);
    assert_ne!(derive(1, "cookie").await, derive(2, "cookie").await);
    assert_ne!(derive(1, "").await, *key(1).expose());
}

#[tokio::test]
async fn a_key_file_may_be_raw_hexadecimal_or_base64() {
    let read =
        |octets: &[u8]| LocalMasterKey::from_file_octets(octets, Arc::new(SeededEntropy::new(1)));
    let raw: [u8; 32] = std::array::from_fn(|n| (n * 37).to_le_bytes()[0]);
    let wanted = read(&raw).unwrap().derive("x").await.unwrap();
    let base64 = "ACVKb5S53gMoTXKXvOEGK1B1mr/kCS5TeJ3C5wwxVns=";
    for form in [
        format!("{}\n", hex(&raw)),
        format!("  {}\r\n", hex(&raw).to_uppercase()),
        format!("{base64}\n"),
    ] {
        let read = read(form.as_bytes()).unwrap().derive("x").await.unwrap();
        assert_eq!(read.expose(), wanted.expose(), "{form}");
    }
    for (octets, error) in [
        (&b""[..], MasterKeyFormat::Form),
        (&raw[..31], MasterKeyFormat::Form),
        (b"correct horse battery staple", MasterKeyFormat::Form),
        (&[b'g'; 64], MasterKeyFormat::Form),
        (
            b"00112233445566778899aabbccddeeff",
            MasterKeyFormat::NotRandom,
        ),
        (&[0; 32], MasterKeyFormat::NotRandom),
        (&[b'0'; 64], MasterKeyFormat::NotRandom),
    ] {
        assert_eq!(read(octets).err(), Some(error), "{octets:?}");
    }
}
