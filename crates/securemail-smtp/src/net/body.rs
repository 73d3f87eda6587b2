//! Content while it comes in: in memory as far as the budget reaches, else in a file without a name,
//! sealed under a key that exists only in this process (promise P3).

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use securemail_core::backend::Entropy;
use securemail_core::seal::{self, ChunkSealer};
use securemail_core::secret::Key32;
use securemail_core::vocab::{Content, ContentError, SealedContent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The memory that all sessions share, and where the rest goes.
#[derive(Debug)]
pub(crate) struct BodyStore {
    budget: Arc<Semaphore>,
    data_dir: PathBuf,
    entropy: Arc<dyn Entropy>,
}

/// One content that comes in.
pub(crate) struct BodyWriter {
    store: Arc<BodyStore>,
    place: Place,
    size: u64,
}

enum Place {
    File(Spill),
    Memory {
        segments: Vec<BytesMut>,
        held: Option<OwnedSemaphorePermit>,
    },
}

/// Content cannot be kept now.
#[derive(Debug, thiserror::Error)]
#[error("no place for the content")]
pub(crate) struct NoRoom;

impl BodyStore {
    pub(crate) fn new(memory_bytes: u64, data_dir: PathBuf, entropy: Arc<dyn Entropy>) -> Self {
        let units = usize::try_from(memory_bytes / UNIT).unwrap_or(Semaphore::MAX_PERMITS);
        let budget = Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)));
        Self {
            budget,
            data_dir,
            entropy,
        }
    }

    pub(crate) fn writer(self: &Arc<Self>) -> BodyWriter {
        let place = Place::Memory {
            segments: Vec::new(),
            held: None,
        };
        BodyWriter {
            store: Arc::clone(self),
            place,
            size: 0,
        }
    }
}

impl BodyWriter {
    /// Takes more octets, without copying them where they are many.
    pub(crate) async fn push(&mut self, octets: BytesMut) -> Result<(), NoRoom> {
        self.size = self.size.saturating_add(octets.len() as u64);
        if self.reserve() {
            if let Place::Memory { segments, .. } = &mut self.place {
                append(segments, octets);
            }
            return Ok(());
        }
        self.spill().await?;
        match &mut self.place {
            Place::File(file) => file.push(octets).await,
            Place::Memory { .. } => Err(NoRoom),
        }
    }

    /// All octets are there.
    pub(crate) async fn finish(self) -> Result<Arc<dyn Content>, NoRoom> {
        match self.place {
            Place::File(file) => file.finish().await,
            Place::Memory { segments, held } => {
                let mut begin = 0_u64;
                let segments = segments
                    .into_iter()
                    .map(|segment| {
                        let octets = segment.freeze();
                        let at = begin;
                        begin = begin.saturating_add(octets.len() as u64);
                        (at, octets)
                    })
                    .collect();
                Ok(Arc::new(MemoryBody {
                    segments,
                    size: self.size,
                    _held: held,
                }))
            }
        }
    }

    /// Whether the octets that are there, and those that came now, have their place in memory.
    fn reserve(&mut self) -> bool {
        let Place::Memory { held, .. } = &mut self.place else {
            return false;
        };
        let have = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) as u64;
        let need = self.size.div_ceil(UNIT);
        let Ok(missing) = u32::try_from(need.saturating_sub(have)) else {
            return false;
        };
        if missing == 0 {
            return true;
        }
        let Ok(more) = Arc::clone(&self.store.budget).try_acquire_many_owned(missing) else {
            return false;
        };
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        true
    }

    /// Moves what is in memory into a file.
    async fn spill(&mut self) -> Result<(), NoRoom> {
        let Place::Memory { segments, .. } = &mut self.place else {
            return Ok(());
        };
        let segments = std::mem::take(segments);
        let mut file = Spill::create(&self.store).await?;
        for segment in segments {
            file.push(segment).await?;
        }
        // The memory is free again from here on.
        self.place = Place::File(file);
        Ok(())
    }
}

/// Small pieces are joined, so that a client that sends single octets costs no more than its octets.
fn append(segments: &mut Vec<BytesMut>, octets: BytesMut) {
    let Some(last) = segments.last_mut() else {
        return segments.push(octets);
    };
    let is_next = last.as_ptr_range().end == octets.as_ptr_range().start;
    if is_next || octets.len() < SMALL {
        last.unsplit(octets);
    } else {
        segments.push(octets);
    }
}

/// Content in memory, as it came.
struct MemoryBody {
    segments: Vec<(u64, Bytes)>,
    size: u64,
    _held: Option<OwnedSemaphorePermit>,
}

#[async_trait]
impl Content for MemoryBody {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        let index = self.segments.partition_point(|(begin, _)| *begin <= offset);
        let Some((begin, octets)) = index
            .checked_sub(1)
            .and_then(|index| self.segments.get(index))
        else {
            return Ok(Bytes::new());
        };
        let start = usize::try_from(offset.saturating_sub(*begin))
            .unwrap_or(usize::MAX)
            .min(octets.len());
        Ok(octets.slice(start..start.saturating_add(max).min(octets.len())))
    }
}

/// A file without a name that takes ciphertext.
struct Spill {
    key: Key32,
    pending: BytesMut,
    /// `None` only while a blocking task has it.
    sink: Option<Sink>,
}

struct Sink {
    sealer: ChunkSealer,
    file: File,
    written: u64,
}

impl Spill {
    async fn create(store: &BodyStore) -> Result<Self, NoRoom> {
        let key = Key32::random(store.entropy.as_ref()).map_err(|_| NoRoom)?;
        let sealer = ChunkSealer::new(&key, CONTEXT, store.entropy.as_ref()).map_err(|_| NoRoom)?;
        let data_dir = store.data_dir.clone();
        let sink = blocking(move || {
            let mut file = tempfile::tempfile_in(data_dir)?;
            file.write_all(sealer.header())?;
            let written = sealer.header().len() as u64;
            Ok(Sink {
                sealer,
                file,
                written,
            })
        })
        .await?;
        Ok(Self {
            key,
            pending: BytesMut::new(),
            sink: Some(sink),
        })
    }

    async fn push(&mut self, octets: BytesMut) -> Result<(), NoRoom> {
        self.pending.unsplit(octets);
        if self.pending.len() < BATCH {
            return Ok(());
        }
        let batch = self.pending.split();
        let sink = self.sink.take().ok_or(NoRoom)?;
        self.sink = Some(blocking(move || sink.write(&batch)).await?);
        Ok(())
    }

    async fn finish(mut self) -> Result<Arc<dyn Content>, NoRoom> {
        let (batch, sink) = (self.pending.split(), self.sink.take().ok_or(NoRoom)?);
        let (file, size) = blocking(move || sink.write(&batch)?.end()).await?;
        let sealed = SealedContent::assertion(Arc::new(FileContent {
            file: Arc::new(file),
            size,
        }));
        seal::open(&sealed, &self.key, CONTEXT)
            .await
            .map_err(|error| {
                tracing::error!(%error, "a sealed file cannot be read back");
                NoRoom
            })
    }
}

impl Sink {
    fn write(mut self, plain: &[u8]) -> io::Result<Self> {
        let mut out = Vec::with_capacity(plain.len().saturating_add(CHUNK_ROOM));
        self.sealer
            .push(plain, &mut out)
            .map_err(io::Error::other)?;
        self.append(&out)?;
        Ok(self)
    }

    fn end(mut self) -> io::Result<(File, u64)> {
        let mut out = Vec::with_capacity(CHUNK_ROOM);
        let sealer = self.sealer;
        sealer.finish(&mut out).map_err(io::Error::other)?;
        self.file.write_all(&out)?;
        Ok((self.file, self.written.saturating_add(out.len() as u64)))
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)?;
        self.written = self.written.saturating_add(octets.len() as u64);
        Ok(())
    }
}

/// Ciphertext in a file.
#[derive(Debug)]
struct FileContent {
    file: Arc<File>,
    size: u64,
}

#[async_trait]
impl Content for FileContent {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        let left = self.size.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(max);
        let file = Arc::clone(&self.file);
        let reading = tokio::task::spawn_blocking(move || {
            let mut octets = vec![0; length];
            file.read_exact_at(&mut octets, offset)?;
            io::Result::Ok(Bytes::from(octets))
        });
        match reading.await {
            Ok(Ok(octets)) => Ok(octets),
            Ok(Err(error)) => Err(ContentError::Unavailable(Box::new(error))),
            Err(error) => Err(ContentError::Unavailable(Box::new(error))),
        }
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, NoRoom> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
        .flatten();
    done.map_err(|error| {
        tracing::warn!(kind = ?error.kind(), "no room for content in data_dir");
        NoRoom
    })
}

impl fmt::Debug for MemoryBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBody({} octets)", self.size)
    }
}

/// What memory is counted in.
const UNIT: u64 = 1024;
/// Pieces below this are copied to the end of the one before.
const SMALL: usize = 4 * 1024;
/// Plaintext that is collected before it is sealed and written.
const BATCH: usize = 256 * 1024;
/// Room for what sealing adds to a batch, and for a last chunk.
const CHUNK_ROOM: usize = 32 * 1024;
/// Binds the ciphertext to its purpose; the key is used nowhere else.
const CONTEXT: &[u8] = b"securemail/v1/smtp-spill";

#[cfg(test)]
mod tests {
    use securemail_testkit::sim::SeededEntropy;

    use super::*;

    fn store(memory_bytes: u64) -> (tempfile::TempDir, Arc<BodyStore>) {
        let data_dir = tempfile::tempdir().unwrap();
        let entropy = Arc::new(SeededEntropy::new(1));
        let path = data_dir.path().to_owned();
        (
            data_dir,
            Arc::new(BodyStore::new(memory_bytes, path, entropy)),
        )
    }

    async fn write(store: &Arc<BodyStore>, octets: &[u8], piece: usize) -> Arc<dyn Content> {
        let mut writer = store.writer();
        for piece in octets.chunks(piece) {
            writer.push(BytesMut::from(piece)).await.unwrap();
        }
        writer.finish().await.unwrap()
    }

    #[tokio::test]
    async fn any_range_reads_what_was_written_in_memory_or_on_disk() {
        let octets: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        for (memory_bytes, piece) in [
            (1 << 30, 1000),
            (1 << 30, 70_000),
            (0, 1000),
            (1 << 18, 9000),
        ] {
            let (_data_dir, store) = store(memory_bytes);
            let content = write(&store, &octets, piece).await;
            assert_eq!(content.size(), octets.len() as u64);
            for offset in [
                0, 1, 999, 1000, 69_999, 70_000, 1_199_999, 1_200_000, 1_300_000,
            ] {
                let read = content.read(offset, 5000).await.unwrap();
                let rest = octets
                    .get(usize::try_from(offset).unwrap()..)
                    .unwrap_or_default();
                assert!(rest.starts_with(&read));
                assert_eq!(read.is_empty(), rest.is_empty());
            }
        }
    }

    #[tokio::test]
    async fn memory_is_given_back_with_the_content_and_when_it_moves_to_disk() {
        let (_data_dir, store) = store(64 * 1024);
        let whole = store.budget.available_permits();
        let content = write(&store, &[1; 60_000], 1000).await;
        assert!(store.budget.available_permits() < whole);
        let spilled = write(&store, &[2; 60_000], 1000).await;
        drop(content);
        assert_eq!(
            store.budget.available_permits(),
            whole,
            "what is on disk holds none"
        );
        assert_eq!(spilled.size(), 60_000);
    }
}
