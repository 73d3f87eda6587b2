//! What an organisation settles of NTA 7516, the Dutch norm for mail in care.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the norm leaves open, as far as it is known here.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct NtaSettings {
    /// The version that a record must bear.
    pub version: String,
    /// Clocks in the Netherlands run ahead of UTC by up to this; both count at the edges of a month.
    pub ahead: Duration,
}

impl Default for NtaSettings {
    fn default() -> Self {
        Self {
            version: "NTA7516-1".to_owned(),
            ahead: Duration::from_secs(2 * 3600),
        }
    }
}
