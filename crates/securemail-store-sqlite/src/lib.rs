//! All stores of one machine: records on SQLite, large objects in files.
//!
//! * [`SqliteStore`] keeps spool, pickups, directory, events and domain memory in one database. Calls
//!   that come at the same time share one commit to the disk.
//! * [`SqliteKeyStore`] keeps wrapped keys in a file of its own, and leaves nothing of an erased key.
//! * [`FileVault`] keeps vault objects as files.
//!
//! Several processes of one machine may share all three. Where the disk is full, calls that take
//! something new answer `Full`, and a reserve lets the outcomes of what was begun be written down.

mod audit;
mod budgets;
mod census;
mod db;
mod directory;
mod domains;
mod files;
mod holders;
mod keys;
mod pickups;
mod spool;
mod store;
mod tls_reports;
mod vault;

pub use db::OpenError;
pub use keys::SqliteKeyStore;
pub use store::{SqliteStore, StoreSettings};
pub use vault::FileVault;
