//! Values as columns hold them, checked on the way back.

use securemail_core::StoreError;
use securemail_core::vocab::UnixTime;

/// A moment as a column holds it.
pub(crate) fn millis(time: UnixTime) -> i64 {
    number(time.as_millis())
}

/// A count as a column holds it; what is beyond counts as the most.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A moment from its column.
pub(crate) fn moment(column: i64) -> Result<UnixTime, StoreError> {
    let millis = u64::try_from(column).map_err(|_| StoreError::Corrupt("a moment"))?;
    Ok(UnixTime::from_millis(millis))
}

/// A moment from a column that may be empty.
pub(crate) fn moment_of(column: Option<i64>) -> Result<Option<UnixTime>, StoreError> {
    column.map(moment).transpose()
}

/// A fence, position or version from its column.
pub(crate) fn fence_of(column: i64) -> Result<u64, StoreError> {
    u64::try_from(column).map_err(|_| StoreError::Corrupt("a count"))
}

/// A name from its column.
pub(crate) fn name_of<T: std::str::FromStr>(column: &str) -> Result<T, StoreError> {
    column.parse().map_err(|_| StoreError::Corrupt("a name"))
}

/// A day, as the difference of two columns.
pub(crate) const DAY: i64 = 24 * 3600 * 1000;
