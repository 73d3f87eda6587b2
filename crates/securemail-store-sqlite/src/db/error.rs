//! What SQLite reports, in the words of the stores.

use std::io;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use securemail_core::{BoxError, StoreError};

/// What happens inside a transaction.
#[derive(Debug)]
pub(crate) enum DbError {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

pub(crate) type DbResult<T> = Result<T, DbError>;

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for DbError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DbError> for StoreError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Sqlite(error) => of_sqlite(error),
            DbError::Store(error) => error,
        }
    }
}

fn of_sqlite(error: rusqlite::Error) -> StoreError {
    let extended = error.sqlite_error().map(|inner| inner.extended_code);
    if extended == Some(SQLITE_IOERR_SHMSIZE) {
        return StoreError::Full;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::ConstraintViolation) => StoreError::AlreadyExists,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Corrupt("the database file")
        }
        _ if is_of_form(&error) => StoreError::Corrupt("a column of the database"),
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

/// A value did not have the form that the schema promises.
const fn is_of_form(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
    )
}

/// What the operating system reports about a file, in the words of the stores.
pub(crate) fn of_io(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreError::Full
        }
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

/// A store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder or file cannot be used.
    #[error("cannot use the folder or file of the store; check that it exists and who owns it")]
    Files(#[source] io::Error),
    /// SQLite refuses the file.
    #[error("cannot open the database; check the file, or restore it from a backup")]
    Database(#[source] BoxError),
    /// The file is a database of another kind.
    #[error("this database is not {0}; check the path in the settings")]
    Kind(&'static str),
    /// The file was written by a newer version.
    #[error(
        "the database has schema {found}, this version knows {known}; install the newer version"
    )]
    Newer {
        /// What the file says.
        found: i64,
        /// What this version knows.
        known: i64,
    },
    /// The file system cannot do write-ahead logging.
    #[error("this file system cannot hold the database (no WAL); use a local disk")]
    NoWal,
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Files(error)
    }
}
