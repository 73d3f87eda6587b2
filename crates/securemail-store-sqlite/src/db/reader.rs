//! A few connections that only read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use securemail_core::StoreError;
use tokio::sync::Semaphore;

use super::{DbResult, Opener};
use crate::files::blocking;

/// How many calls read at the same time: SQLite reads are short and use one core each.
const READERS: usize = 4;

/// Connections that only read, opened when they are first needed.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    opener: Opener,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(opener: Opener) -> Self {
        Self {
            opener,
            idle: Arc::default(),
            turns: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Runs `work` in one snapshot of the database.
    pub(crate) async fn call<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> DbResult<T> + Send + 'static,
    {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|closed| StoreError::Unavailable(Box::new(closed)))?;
        let this = self.clone();
        blocking(move || {
            let _turn = turn;
            this.run(work)
        })
        .await?
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> DbResult<T>) -> Result<T, StoreError> {
        let idle = self.idle().pop();
        let db = match idle {
            Some(db) => db,
            None => self
                .opener
                .connect_to_read()
                .map_err(super::DbError::from)?,
        };
        let snapshot = db.unchecked_transaction().map_err(super::DbError::from)?;
        let result = work(&snapshot);
        drop(snapshot);
        self.idle().push(db);
        Ok(result?)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
