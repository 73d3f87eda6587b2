//! Files that are whole and durable or not there, and reading them in ranges.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use securemail_core::StoreError;
use securemail_core::vocab::{Content, ContentError, SealedContent};

pub(crate) use crate::db::of_io;

/// Octets moved at once: what a large message may cost in memory.
pub(crate) const RANGE: usize = 256 * 1024;

/// Runs `work` where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|failed| StoreError::Unavailable(Box::new(failed)))
}

/// Makes a folder for the owner alone, durably.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file; that it is not there is as good.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A new file, locked as long as it is held: what a sweep finds unlocked has no writer any more.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    file: Arc<File>,
}

impl Fresh {
    /// Makes `dir/stem.N` with the first N that is free.
    pub(crate) fn create(dir: &Path, stem: &str) -> io::Result<Self> {
        make_dir(dir)?;
        let mut number = 0;
        loop {
            let path = dir.join(format!("{stem}.{number}"));
            let mut options = File::options();
            options.read(true).write(true).create_new(true).mode(0o600);
            match options.open(&path) {
                Ok(file) => {
                    file.lock()?;
                    // A sweep may have been faster than the lock.
                    if file.metadata()?.nlink() > 0 {
                        let file = Arc::new(file);
                        return Ok(Self { path, number, file });
                    }
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    number = number.saturating_add(1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes `head` and the whole of `content`, and makes the octets durable.
    pub(crate) async fn fill(
        &self,
        head: Vec<u8>,
        content: &SealedContent,
    ) -> Result<(), StoreError> {
        let content = content.ciphertext();
        let mut at = head.len() as u64;
        self.write(0, Bytes::from(head)).await?;
        let mut offset = 0;
        while offset < content.size() {
            let part = content.read(offset, RANGE).await.map_err(unread)?;
            if part.is_empty() {
                return Err(unread(ContentError::Damaged));
            }
            let length = part.len() as u64;
            self.write(at, part).await?;
            at = at.saturating_add(length);
            offset = offset.saturating_add(length);
        }
        let file = self.file.clone();
        blocking(move || file.sync_all()).await?.map_err(of_io)
    }

    async fn write(&self, at: u64, octets: Bytes) -> Result<(), StoreError> {
        let file = self.file.clone();
        let written = blocking(move || file.write_all_at(&octets, at)).await?;
        written.map_err(of_io)
    }
}

/// Removes files in `dir` that no process writes and that `is_wanted` does not want.
pub(crate) fn sweep(dir: &Path, mut is_wanted: impl FnMut(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Ok(file) = File::open(&path) else {
            continue;
        };
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        // The lock comes first: what is wanted is settled before a writer lets go of it. Another sweep
        // may have been faster, and then the name is nobody's or somebody else's.
        let is_left = file.try_lock().is_ok() && file.metadata()?.nlink() > 0;
        if is_left && !is_wanted(name) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// A source that cannot be read makes the call fail without effect.
pub(crate) fn unread(error: ContentError) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

/// The octets of a file behind its head. They can be read to the end even when the name is removed.
#[derive(Debug)]
pub(crate) struct FileContent {
    file: Arc<File>,
    head: u64,
    size: u64,
}

impl FileContent {
    pub(crate) fn sealed(file: File, head: u64, size: u64) -> SealedContent {
        let file = Arc::new(file);
        SealedContent::assertion(Arc::new(Self { file, head, size }))
    }
}

#[async_trait]
impl Content for FileContent {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, offset: u64, max: usize) -> Result<Bytes, ContentError> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(max).min(RANGE);
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let (file, at) = (self.file.clone(), self.head.saturating_add(offset));
        let read = blocking(move || {
            let mut octets = vec![0; wanted];
            file.read_exact_at(&mut octets, at)?;
            Ok::<_, io::Error>(octets)
        });
        let unavailable = |error: StoreError| ContentError::Unavailable(Box::new(error));
        match read.await.map_err(unavailable)? {
            Ok(octets) => Ok(octets.into()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(ContentError::Damaged),
            Err(error) => Err(ContentError::Unavailable(Box::new(error))),
        }
    }
}
