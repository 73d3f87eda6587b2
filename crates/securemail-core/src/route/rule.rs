//! The rules, by their stable names.

use serde::{Deserialize, Serialize};

/// A rule of the decision engine. Its id and specification stand in the evidence for ever.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub enum Rule {
    /// The MX answer is signed and validated.
    #[serde(rename = "MX-01")]
    Mx01,
}
