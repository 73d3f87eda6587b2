//! Which processes hold leases: each has a file that it locks as long as it lives.
//!
//! What the system takes back when a process ends, however it ends, is its lock. So the next one that
//! opens the store knows which leases nobody can use any more, and ends them at once, rather than let
//! senders wait until they run out. Processes that live keep theirs.

use std::io;
use std::path::Path;

use rusqlite::{Connection, params};

use crate::db::{OpenError, Opener, number};
use crate::files::{Fresh, make_dir, sweep};

/// The files' stem.
const STEM: &str = "process";

/// This process, or this handle on the store, as a holder of leases. It lives as long as the value.
#[derive(Clone, Debug)]
pub(crate) struct Holder(Fresh);

impl Holder {
    /// Ends the leases of those that are gone, and becomes one.
    pub(crate) fn enter(dir: &Path, opener: &Opener) -> Result<Self, OpenError> {
        make_dir(dir)?;
        bury(dir, opener)?;
        Ok(Self(Fresh::create(dir, STEM)?))
    }

    /// What stands with its leases.
    pub(crate) fn column(&self) -> i64 {
        number(self.0.number)
    }
}

/// Ends the leases of those that are gone. A file goes after its leases, so that its number is not
/// given again before.
fn bury(dir: &Path, opener: &Opener) -> io::Result<()> {
    sweep(dir, |file| {
        let Some(gone) = number_of(file) else {
            return true;
        };
        let ended = opener.connect().and_then(|db| end_leases(&db, gone));
        if let Err(error) = &ended {
            tracing::warn!(%error, "leases of a process that ended run on until their time");
        }
        ended.is_err()
    })
}

fn number_of(file: &str) -> Option<i64> {
    let (stem, number) = file.rsplit_once('.')?;
    number.parse().ok().filter(|_| stem == STEM)
}

/// The leases ran out when the deliveries came: that is past, and recent enough to be remembered for
/// as long as a repeat of the submission must be known.
fn end_leases(db: &Connection, holder: i64) -> rusqlite::Result<()> {
    let intended = "UPDATE deliveries SET leased = since
                    WHERE state = 1 AND leased > since AND holder = ?1";
    let queued = "UPDATE deliveries SET leased = since, due = since
                  WHERE state = 2 AND leased IS NOT NULL AND holder = ?1";
    db.execute(intended, params![holder])?;
    db.execute(queued, params![holder])?;
    Ok(())
}
