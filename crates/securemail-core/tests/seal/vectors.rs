//! `vectors/seal`: made by a second implementation, in another language.

use securemail_core::seal::{ChunkSealer, CipherProvider, RecordCipher, WrappedContentKey};
use securemail_core::seal::{open_with, seal_with};
use securemail_core::vocab::{ContentError, QueueId, VaultId, VaultKey};
use sha2::{Digest, Sha256};

use crate::support::{FixedEntropy, Vector, hex, memory, read_all, sealed, text};

const VALID: &str = include_str!("../../../../vectors/seal/valid.txt");
const INVALID: &str = include_str!("../../../../vectors/seal/invalid.txt");
const HASH: &str = include_str!("../../../../vectors/seal/hash.txt");
const WRAP: &str = include_str!("../../../../vectors/seal/wrap.txt");

/// What is sealed for `vector`, checked against its digest.
fn sealed_by_sealer(provider: CipherProvider, vector: &Vector, plain: &[u8]) -> Vec<u8> {
    let entropy = FixedEntropy(vector.octets("salt").unwrap());
    let context = vector.octets("context").unwrap();
    let key = vector.key("key");
    let mut sealer = ChunkSealer::with_provider(provider, &key, &context, &entropy).unwrap();
    let mut out = sealer.header().to_vec();
    // Pieces that are no divisor of a chunk.
    for piece in plain.chunks(7001) {
        sealer.push(piece, &mut out).unwrap();
    }
    sealer.finish(&mut out).unwrap();
    out
}

#[tokio::test]
async fn both_ways_of_sealing_give_the_octets_of_the_other_implementation() {
    let vectors = Vector::all(VALID);
    assert_eq!(vectors.len(), 22);
    for (provider, vector) in each(&vectors) {
        let plain = text(vector.text("plain-size").unwrap().parse().unwrap());
        let streamed = sealed_by_sealer(provider, vector, &plain);
        let entropy = FixedEntropy(vector.octets("salt").unwrap());
        let context = vector.octets("context").unwrap();
        let lazy = seal_with(
            provider,
            memory(plain.clone()),
            &vector.key("key"),
            &context,
            &entropy,
        )
        .unwrap();
        let lazy = lazy.ciphertext();
        assert_eq!(lazy.size(), streamed.len() as u64);
        assert_eq!(read_all(&**lazy).await.unwrap(), streamed);
        assert_eq!(
            hex(&Sha256::digest(&streamed)),
            vector.text("sha256").unwrap()
        );
        if let Some(wanted) = vector.octets("sealed") {
            assert_eq!(streamed, wanted);
        }
        let opened = open_with(provider, &sealed(streamed), &vector.key("key"), &context)
            .await
            .unwrap();
        assert_eq!(opened.size(), plain.len() as u64);
        assert_eq!(read_all(&*opened).await.unwrap(), plain);
    }
}

#[tokio::test]
async fn what_the_other_implementation_refuses_is_refused() {
    let vectors = Vector::all(INVALID);
    assert_eq!(vectors.len(), 24);
    for (provider, vector) in each(&vectors) {
        let octets = vector.octets("sealed").unwrap_or_else(|| {
            let whole = sealed_by_sealer(provider, vector, &text(40_000));
            let edited = edit(whole, vector.text("edit").unwrap());
            assert_eq!(
                hex(&Sha256::digest(&edited)),
                vector.text("sha256").unwrap()
            );
            edited
        });
        let context = vector.octets("context").unwrap();
        let result = match open_with(provider, &sealed(octets), &vector.key("key"), &context).await
        {
            Ok(opened) => read_all(&*opened).await,
            Err(error) => Err(error),
        };
        let name = vector.text("edit").or(vector.text("name")).unwrap();
        assert!(
            matches!(result, Err(ContentError::Damaged)),
            "{name} was opened"
        );
    }
}

fn edit(mut whole: Vec<u8>, edit: &str) -> Vec<u8> {
    const HEADER: usize = 56;
    const SEALED_CHUNK: usize = 16384 + 16;
    let (what, at) = edit.split_once(' ').unwrap_or((edit, "0"));
    let at: usize = at.parse().unwrap();
    match what {
        "swap" => whole[HEADER..HEADER + 2 * SEALED_CHUNK].rotate_left(SEALED_CHUNK),
        "drop" => drop(whole.drain(HEADER..HEADER + SEALED_CHUNK)),
        "append" => whole.push(0),
        "keep" => whole.truncate(at),
        "flip" => whole[at] ^= 1,
        other => panic!("no such edit: {other}"),
    }
    whole
}

#[test]
fn wrapped_content_keys_have_the_form_of_the_other_implementation() {
    let vectors = Vector::all(WRAP);
    assert_eq!(vectors.len(), 2);
    for vector in &vectors {
        let entropy = FixedEntropy(vector.octets("salt").unwrap());
        let content_key = vector.key("content-key");
        let tenant: securemail_core::vocab::TenantId =
            vector.text("tenant").unwrap().parse().unwrap();
        let id: [u8; 16] = vector.octets("id").unwrap().try_into().unwrap();
        let wrapped = if vector.text("link").is_some() {
            let vault = VaultKey {
                tenant,
                id: VaultId::from_bytes(id),
            };
            let (link, share) = (vector.key("link"), vector.key("share"));
            WrappedContentKey::for_link(&content_key, &vault, &link, &share, &entropy)
        } else {
            let (queue, day) = (QueueId::from_bytes(id), vector.key("day-key"));
            WrappedContentKey::for_spool(&content_key, &tenant, queue, &day, &entropy)
        };
        assert_eq!(
            hex(wrapped.unwrap().octets()),
            vector.text("wrapped").unwrap()
        );
    }
}

#[test]
fn keyed_hashes_have_the_value_of_the_other_implementation_and_differ_by_label() {
    let vectors = Vector::all(HASH);
    assert_eq!(vectors.len(), 2);
    for vector in &vectors {
        let data = vector.octets("data").unwrap();
        let hash = RecordCipher::new(vector.key("key")).hash(vector.text("label").unwrap(), &data);
        assert_eq!(hex(hash.as_bytes()), vector.text("hash").unwrap());
    }
    assert_ne!(vectors[0].text("hash"), vectors[1].text("hash"));
}

fn each(vectors: &[Vector]) -> impl Iterator<Item = (CipherProvider, &Vector)> {
    CipherProvider::ALL
        .iter()
        .flat_map(move |provider| vectors.iter().map(move |vector| (*provider, vector)))
}
