//! What must hold for every content: ranges are slices, nothing altered is given out, memory is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use proptest::prelude::*;
use securemail_core::seal::chunked::{CHUNK, HEADER, SEALED_CHUNK};
use securemail_core::seal::{CipherProvider, SealError, open, open_with, seal, seal_with};
use securemail_core::secret::Key32;
use securemail_core::vocab::{Content, ContentError, SealedContent};
use securemail_testkit::sim::{DryEntropy, SeededEntropy};

use crate::support::{Dribble, Huge, memory, read_all, read_range, sealed, text};

const KEY: Key32 = Key32::from_bytes([7; 32]);
const CONTEXT: &[u8] = b"for this";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn provider() -> impl Strategy<Value = CipherProvider> {
    proptest::sample::select(CipherProvider::ALL)
}

/// Sizes around chunk borders, and others.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        (0..4_usize, -2..3_isize).prop_map(|(n, by)| (n * CHUNK).saturating_add_signed(by)),
        0..70_000_usize,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_of_sealed_or_opened_content_is_a_slice_of_the_whole(
        size in size(), offset in 0..80_000_usize, wanted in 0..80_000_usize,
        piece in 1..40_000_usize, drip in 1..40_000_usize, seed: u64, provider in provider(),
    ) {
        run(async {
            let plain = text(size);
            let source = Dribble { octets: plain.clone().into(), piece: drip };
            let entropy = SeededEntropy::new(seed);
            let sealing = seal_with(provider, Arc::new(source), &KEY, CONTEXT, &entropy).unwrap();
            let cipher = read_all(&**sealing.ciphertext()).await.unwrap();
            let part = read_range(&**sealing.ciphertext(), offset as u64, wanted, piece).await.unwrap();
            prop_assert_eq!(part, slice(&cipher, offset, wanted));

            let stored = Dribble { octets: cipher.into(), piece: drip };
            let stored = SealedContent::assertion(Arc::new(stored));
            let opened = open_with(provider, &stored, &KEY, CONTEXT).await.unwrap();
            let part = read_range(&*opened, offset as u64, wanted, piece).await.unwrap();
            prop_assert_eq!(part, slice(&plain, offset, wanted));
            Ok(())
        })?;
    }

    #[test]
    fn one_flipped_bit_anywhere_is_noticed(
        size in size(), at: proptest::sample::Index, bit in 0..8_u8, seed: u64, provider in provider(),
    ) {
        run(async {
            let entropy = SeededEntropy::new(seed);
            let sealing = seal_with(provider, memory(text(size)), &KEY, CONTEXT, &entropy).unwrap();
            let mut octets = read_all(&**sealing.ciphertext()).await.unwrap();
            let at = at.index(octets.len());
            octets[at] ^= 1 << bit;
            let result = match open_with(provider, &sealed(octets), &KEY, CONTEXT).await {
                Ok(opened) => read_all(&*opened).await,
                Err(error) => Err(error),
            };
            prop_assert!(matches!(result, Err(ContentError::Damaged)));
            Ok(())
        })?;
    }

    #[test]
    fn no_octets_at_all_can_break_it(octets: Vec<u8>, provider in provider()) {
        let result = run(open_with(provider, &sealed(octets), &KEY, CONTEXT));
        prop_assert!(matches!(result, Err(ContentError::Damaged)));
    }
}

fn slice(whole: &[u8], offset: usize, size: usize) -> &[u8] {
    let start = offset.min(whole.len());
    &whole[start..(start + size).min(whole.len())]
}

#[tokio::test]
async fn a_damaged_chunk_spoils_its_own_range_only() {
    let sealing = seal(
        memory(text(5 * CHUNK)),
        &KEY,
        CONTEXT,
        &SeededEntropy::new(1),
    )
    .unwrap();
    let mut octets = read_all(&**sealing.ciphertext()).await.unwrap();
    octets[HEADER + 2 * SEALED_CHUNK + 9] ^= 1;
    let opened = open(&sealed(octets), &KEY, CONTEXT).await.unwrap();
    assert!(matches!(
        opened.read(2 * CHUNK as u64, 1).await,
        Err(ContentError::Damaged)
    ));
    // A read that would reach into it gives nothing of what stands before it either.
    assert!(opened.read(0, 3 * CHUNK).await.is_err());
    assert_eq!(opened.read(0, 2 * CHUNK).await.unwrap(), text(2 * CHUNK));
    assert_eq!(
        opened.read(3 * CHUNK as u64, 1).await.unwrap(),
        text(5 * CHUNK)[3 * CHUNK..=3 * CHUNK]
    );
}

#[tokio::test]
async fn five_tebibytes_are_sealed_and_opened_in_small_memory() {
    const SIZE: u64 = 5 << 40;
    let huge = Arc::new(Huge {
        size: SIZE,
        most: AtomicUsize::new(0),
        total: AtomicU64::new(0),
    });
    let plain = Arc::clone(&huge) as Arc<dyn Content>;
    let sealing = seal(plain, &KEY, CONTEXT, &SeededEntropy::new(2)).unwrap();
    let opened = open(&sealing, &KEY, CONTEXT).await.unwrap();
    assert_eq!(opened.size(), SIZE);
    let far = opened
        .read(SIZE - 3 * CHUNK as u64, usize::MAX)
        .await
        .unwrap();
    assert_eq!(far.len(), 3 * CHUNK);
    assert!(
        far[..CHUNK]
            .iter()
            .all(|octet| u64::from(*octet) == ((SIZE / 16384) - 3) % 256)
    );
    // Never more than one chunk asked of the plaintext, and nothing but what the range needs.
    assert!(huge.most.load(Ordering::Relaxed) <= CHUNK);
    assert!(huge.total.load(Ordering::Relaxed) <= 5 * CHUNK as u64);
    // A reader that asks for everything gets a bounded piece.
    let most = opened.read(0, usize::MAX).await.unwrap().len();
    assert!((CHUNK..=1 << 20).contains(&most), "{most}");
}

#[tokio::test]
async fn reading_straight_through_seals_every_chunk_once() {
    let huge = Arc::new(Huge {
        size: 10 * CHUNK as u64 + 5,
        most: AtomicUsize::new(0),
        total: AtomicU64::new(0),
    });
    let plain = Arc::clone(&huge) as Arc<dyn Content>;
    let sealing = seal(plain, &KEY, CONTEXT, &SeededEntropy::new(3)).unwrap();
    read_range(&**sealing.ciphertext(), 0, usize::MAX, 65_536)
        .await
        .unwrap();
    assert_eq!(huge.total.load(Ordering::Relaxed), huge.size);
}

#[tokio::test]
async fn one_key_seals_the_same_text_to_different_octets() {
    let entropy = SeededEntropy::new(4);
    let mut results = Vec::new();
    for _ in 0..2 {
        let sealing = seal(memory(text(100)), &KEY, CONTEXT, &entropy).unwrap();
        results.push(read_all(&**sealing.ciphertext()).await.unwrap());
    }
    assert_ne!(results[0], results[1]);
}

#[test]
fn without_randomness_nothing_is_sealed() {
    let result = seal(memory(text(1)), &KEY, CONTEXT, &DryEntropy);
    assert!(matches!(result, Err(SealError::NoEntropy(_))));
}

/// A content that breaks its contract.
#[derive(Debug)]
struct Liar {
    says: u64,
    gives: usize,
}

#[async_trait::async_trait]
impl Content for Liar {
    fn size(&self) -> u64 {
        self.says
    }

    async fn read(&self, offset: u64, _max: usize) -> Result<bytes::Bytes, ContentError> {
        Ok(vec![0; if offset == 0 { self.gives } else { 0 }].into())
    }
}

#[tokio::test]
async fn a_content_that_gives_less_or_more_than_it_says_is_damaged() {
    for (says, gives) in [(101, 100), (100, 101), (0, 0), (20_000, 20_000)] {
        let liar = Arc::new(Liar { says, gives });
        let sealing = seal(liar.clone(), &KEY, CONTEXT, &SeededEntropy::new(5)).unwrap();
        let sealing = read_all(&**sealing.ciphertext()).await;
        if says == 0 {
            assert_eq!(sealing.unwrap().len(), HEADER + 16);
        } else {
            assert!(
                matches!(sealing, Err(ContentError::Damaged)),
                "{says} {gives}"
            );
        }
        let opened = open(&SealedContent::assertion(liar), &KEY, CONTEXT).await;
        assert!(matches!(opened, Err(ContentError::Damaged)));
    }
}

#[test]
fn nothing_secret_stands_in_debug() {
    let sealing = seal(
        memory(&b"Dear Eva"[..]),
        &KEY,
        CONTEXT,
        &SeededEntropy::new(6),
    )
    .unwrap();
    let opened = run(open(&sealing, &KEY, CONTEXT)).unwrap();
    let shown = format!("{sealing:?} {opened:?}");
    assert!(!shown.contains("Eva") && !shown.contains('7'), "{shown}");
}
