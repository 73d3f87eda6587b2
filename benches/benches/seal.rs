//! Sealing and opening a content, with each cipher: what the format costs above AES-256-GCM itself.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use securemail_core::seal::{ChunkSealer, CipherProvider, open_with, seal_with};
use securemail_core::secret::Key32;
use securemail_core::vocab::{Content, MemoryContent, SealedContent};
use securemail_testkit::sim::SeededEntropy;

const KEY: Key32 = Key32::from_bytes([7; 32]);
const SIZES: [(&str, usize); 3] = [
    ("64 KiB", 64 << 10),
    ("1 MiB", 1 << 20),
    ("10 MiB", 10 << 20),
];

fn benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let entropy = SeededEntropy::new(1);
    for (name, size) in SIZES {
        let plain: Arc<dyn Content> = Arc::new(MemoryContent::new(vec![b'x'; size].into()));
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(size as u64));
        for provider in CipherProvider::ALL {
            let sealed =
                seal_with(*provider, Arc::clone(&plain), &KEY, b"bench", &entropy).expect("sealed");
            let stored = runtime.block_on(stored(&sealed));
            group.bench_function(
                BenchmarkId::new("seal", format!("{provider:?}")),
                |bencher| {
                    bencher.iter(|| runtime.block_on(read_through(&**sealed.ciphertext())));
                },
            );
            group.bench_function(
                BenchmarkId::new("stream", format!("{provider:?}")),
                |bencher| {
                    bencher.iter(|| stream(*provider, size, &entropy));
                },
            );
            group.bench_function(
                BenchmarkId::new("open", format!("{provider:?}")),
                |bencher| {
                    bencher.iter(|| {
                        runtime.block_on(async {
                            let opened = open_with(*provider, &stored, &KEY, b"bench").await;
                            read_through(&*opened.expect("opened")).await
                        })
                    });
                },
            );
        }
        group.finish();
    }
}

/// Reads in the pieces in which a file or a socket is written.
async fn read_through(content: &dyn Content) -> u64 {
    let mut offset = 0;
    loop {
        let piece = content.read(offset, 256 << 10).await.expect("read");
        if piece.is_empty() {
            return offset;
        }
        offset += black_box(piece).len() as u64;
    }
}

/// Seals pieces as they come from a socket, without keeping the whole.
fn stream(provider: CipherProvider, size: usize, entropy: &SeededEntropy) -> usize {
    let piece = [b'x'; 8 << 10];
    let mut sealer =
        ChunkSealer::with_provider(provider, &KEY, b"bench", entropy).expect("a sealer");
    let (mut out, mut written) = (Vec::new(), 0);
    for _ in 0..size / piece.len() {
        sealer.push(&piece, &mut out).expect("sealed");
        written += out.len();
        out.clear();
    }
    sealer.finish(&mut out).expect("sealed");
    written + black_box(out).len()
}

async fn stored(sealed: &SealedContent) -> SealedContent {
    let mut octets = Vec::new();
    loop {
        let piece = sealed
            .ciphertext()
            .read(octets.len() as u64, 256 << 10)
            .await;
        let piece = piece.expect("read");
        if piece.is_empty() {
            break;
        }
        octets.extend_from_slice(&piece);
    }
    SealedContent::assertion(Arc::new(MemoryContent::new(octets.into())))
}

criterion_group!(seal, benches);
criterion_main!(seal);
