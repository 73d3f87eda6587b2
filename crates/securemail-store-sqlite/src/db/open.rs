//! Opens connections, and brings the schema up to date.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::OpenError;
use super::schema::{KEYS, STORE};

/// How long a call waits for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// What a database is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Keys,
    Store,
}

impl Kind {
    const fn application_id(self) -> i64 {
        match self {
            Self::Keys => 0x534d_4b31,
            Self::Store => 0x534d_5331,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Keys => "a key store",
            Self::Store => "a store",
        }
    }

    const fn migrations(self) -> &'static [&'static str] {
        match self {
            Self::Keys => KEYS,
            Self::Store => STORE,
        }
    }
}

/// Opens connections to one database.
#[derive(Clone, Debug)]
pub(crate) struct Opener {
    path: PathBuf,
}

impl Opener {
    /// Makes the file where it is missing, and brings its schema up to date.
    pub(crate) fn new(path: &Path, kind: Kind) -> Result<Self, OpenError> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        // SQLite gives the WAL the permissions of the database.
        let mut options = File::options();
        options.create(true).append(true).mode(0o600).open(path)?;
        let opener = Self {
            path: path.to_path_buf(),
        };
        let mut db = opener.connect()?;
        let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(OpenError::NoWal);
        }
        migrate(&mut db, kind)?;
        Ok(opener)
    }

    /// A connection that may write.
    pub(crate) fn connect(&self) -> rusqlite::Result<Connection> {
        let db = Connection::open(&self.path)?;
        db.busy_timeout(BUSY)?;
        db.set_prepared_statement_cache_capacity(64);
        // FULL: a commit is on the disk when it returns. secure_delete: what was deleted is
        // overwritten. journal_size_limit: a checkpoint cuts the WAL back to this.
        db.execute_batch(
            "PRAGMA synchronous = FULL;
             PRAGMA secure_delete = ON;
             PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA temp_store = MEMORY;
             PRAGMA journal_size_limit = 16777216;",
        )?;
        Ok(db)
    }

    /// A connection that only reads.
    pub(crate) fn connect_to_read(&self) -> rusqlite::Result<Connection> {
        let db = self.connect()?;
        db.pragma_update(None, "query_only", true)?;
        Ok(db)
    }
}

fn migrate(db: &mut Connection, kind: Kind) -> Result<(), OpenError> {
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = change.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let id: i64 = change.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if id != kind.application_id() && (found != 0 || id != 0) {
        return Err(OpenError::Kind(kind.name()));
    }
    let known = i64::try_from(kind.migrations().len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for step in kind.migrations().iter().skip(done) {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "application_id", kind.application_id())?;
    change.pragma_update(None, "user_version", known)?;
    change.commit()?;
    Ok(())
}
