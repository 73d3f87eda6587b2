//! Room set aside, so that the outcomes of what was begun can be written down on a full disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How long after a failure the room is asked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// A file of zeros that is given up when the disk is full, and pages above the limit of the database.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    octets: u64,
    /// How large the database may become, if that is limited.
    limit: Option<u64>,
    released: bool,
    asked: Option<Instant>,
}

impl Reserve {
    /// Room of `octets` beside the database at `path`; not taken yet.
    pub(crate) fn beside(path: &Path, octets: u64, limit: Option<u64>) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push("-reserve");
        Self {
            path: name.into(),
            octets,
            limit,
            released: true,
            asked: None,
        }
    }

    /// Whether the room is there, taking it back where that is possible again.
    pub(crate) fn is_held(&mut self, db: &Connection) -> bool {
        // Another process may have given it up: then nothing new is taken here either.
        if !self.released && self.path.exists() {
            return true;
        }
        self.released = true;
        if self.asked.is_some_and(|asked| asked.elapsed() < PAUSE) {
            return false;
        }
        self.asked = Some(Instant::now());
        self.released = !self.take(db);
        !self.released
    }

    /// Gives the room up; false where it was given up before.
    pub(crate) fn release(&mut self, db: &Connection) -> bool {
        if self.released {
            return false;
        }
        self.released = true;
        self.asked = Some(Instant::now());
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "cannot give up the reserve of the store");
        }
        self.limit_pages(db, self.octets).is_ok()
    }

    fn take(&self, db: &Connection) -> bool {
        if !self.is_below_limit(db).unwrap_or(false) {
            return false;
        }
        let taken = self.write();
        if taken.is_err() {
            // A part of a reserve is none.
            drop(fs::remove_file(&self.path));
            return false;
        }
        self.limit_pages(db, 0).is_ok()
    }

    fn write(&self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|found| found.len() == self.octets) {
            return Ok(());
        }
        let mut options = File::options();
        options.create(true).write(true).truncate(true).mode(0o600);
        let mut file = options.open(&self.path)?;
        let zeros = [0; 16 * 1024];
        let mut left = self.octets;
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
            file.write_all(zeros.get(..step).unwrap_or(&zeros))?;
            left = left.saturating_sub(step as u64);
        }
        file.sync_all()
    }

    fn is_below_limit(&self, db: &Connection) -> rusqlite::Result<bool> {
        let Some(limit) = self.limit else {
            return Ok(true);
        };
        let ask = |pragma: &str| db.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let used = ask("PRAGMA page_count")?.saturating_sub(ask("PRAGMA freelist_count")?);
        let octets = used.saturating_mul(ask("PRAGMA page_size")?);
        Ok(u64::try_from(octets).is_ok_and(|octets| octets < limit))
    }

    fn limit_pages(&self, db: &Connection, more: u64) -> rusqlite::Result<()> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        let page: i64 = db.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let page = u64::try_from(page).unwrap_or(4096).max(512);
        let pages = limit.saturating_add(more) / page;
        // SQLite never sets it below what the database has.
        db.pragma_update_and_check(None, "max_page_count", pages.max(1).cast_signed(), |_| {
            Ok(())
        })
    }
}
