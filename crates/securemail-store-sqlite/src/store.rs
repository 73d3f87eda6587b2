//! The store of one machine: what its parts share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use securemail_core::StoreError;
use securemail_core::backend::Entropy;
use securemail_core::limits::WATCHED_DOMAINS_MAX;
use securemail_core::seal::RecordCipher;

use crate::db::{Kind, OpenError, Opener, Readers, Reserve, Writer};
use crate::files::{make_dir, sweep};
use crate::holders::Holder;

/// How a store is opened.
#[derive(Clone)]
pub struct StoreSettings {
    pub(crate) cipher: RecordCipher,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) limit: Option<u64>,
    pub(crate) reserve: u64,
    pub(crate) watched_max: usize,
}

impl StoreSettings {
    /// Settings with a reserve of 4 MiB and no limit. Under `cipher` stand the records of the
    /// directory; it must be the same each time.
    #[must_use]
    pub fn new(cipher: RecordCipher, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            cipher,
            entropy,
            limit: None,
            reserve: 4 * 1024 * 1024,
            watched_max: WATCHED_DOMAINS_MAX,
        }
    }

    /// The database becomes no larger than `octets`; beyond, calls answer `Full`.
    #[must_use]
    pub const fn with_limit(mut self, octets: u64) -> Self {
        self.limit = Some(octets);
        self
    }

    /// Sets `octets` aside for the outcomes of what was begun when the disk is full.
    #[must_use]
    pub const fn with_reserve(mut self, octets: u64) -> Self {
        self.reserve = octets;
        self
    }

    /// Watches the policies of at most so many domains in the background.
    #[must_use]
    pub const fn with_watched_max(mut self, domains: usize) -> Self {
        self.watched_max = domains;
        self
    }
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings")
            .field("limit", &self.limit)
            .field("reserve", &self.reserve)
            .field("watched_max", &self.watched_max)
            .finish_non_exhaustive()
    }
}

/// Spool, pickups, directory, events and domain memory in one database. Clones share it.
#[derive(Clone)]
pub struct SqliteStore {
    pub(crate) readers: Readers,
    pub(crate) writer: Writer,
    /// In whose name leases are held.
    pub(crate) holder: Holder,
    /// Where large contents stand.
    pub(crate) contents: PathBuf,
    pub(crate) cipher: RecordCipher,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) watched_max: usize,
}

impl SqliteStore {
    /// Opens the database at `path`, making it where it is missing. Contents of the spool that are too
    /// large for it stand in the folder `path-contents`. In the folder `path-holders` each process has a
    /// file that it locks: leases of a process that ended are ended too, those of others stay.
    ///
    /// # Errors
    /// Where it cannot be opened; the variant says what to do.
    pub fn open(path: &Path, settings: StoreSettings) -> Result<Self, OpenError> {
        let opener = Opener::new(path, Kind::Store)?;
        let reserve = Reserve::beside(path, settings.reserve, settings.limit);
        let store = Self {
            writer: Writer::start(&opener, reserve)?,
            readers: Readers::new(opener.clone()),
            holder: Holder::enter(&beside(path, "-holders"), &opener)?,
            contents: beside(path, "-contents"),
            cipher: settings.cipher,
            entropy: settings.entropy,
            watched_max: settings.watched_max,
        };
        store.sweep_contents(&opener)?;
        Ok(store)
    }

    /// Removes contents that a process left behind before it could commit their item.
    fn sweep_contents(&self, opener: &Opener) -> Result<(), OpenError> {
        make_dir(&self.contents)?;
        let db = opener.connect_to_read()?;
        let mut named = db.prepare("SELECT 1 FROM contents WHERE tenant = ?1 AND file = ?2")?;
        for dir in std::fs::read_dir(&self.contents)? {
            let dir = dir?.path();
            let tenant = dir.file_name().and_then(|name| name.to_str()).unwrap_or("");
            sweep(&dir, |file| {
                let found = named.query_row(params![tenant, file], |_| Ok(()));
                // Where it cannot be said, the file stays.
                !matches!(found.optional(), Ok(None))
            })?;
        }
        Ok(())
    }

    /// Checks the whole database. Slow: it reads everything.
    ///
    /// # Errors
    /// `Corrupt` where it is damaged: restore a backup. `Unavailable`.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.readers
            .call(|db| {
                let said: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
                if said == "ok" {
                    return Ok(());
                }
                Err(StoreError::Corrupt("the database file").into())
            })
            .await
    }
}

/// The path with `suffix` behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteStore(..)")
    }
}
