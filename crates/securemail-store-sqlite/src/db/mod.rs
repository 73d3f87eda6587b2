//! The database below all stores: one writer that commits in groups, a few readers.

mod column;
mod error;
mod open;
mod reader;
mod reserve;
mod schema;
mod writer;

pub(crate) use column::{DAY, fence_of, millis, moment, moment_of, name_of, number};
pub use error::OpenError;
pub(crate) use error::of_io;
pub(crate) use error::{DbError, DbResult};
pub(crate) use open::{Kind, Opener};
pub(crate) use reader::Readers;
pub(crate) use reserve::Reserve;
pub(crate) use writer::{Class, Writer};
