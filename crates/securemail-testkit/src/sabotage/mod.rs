//! Back-ends that break one clause of their contract each: they show that a suite can fail.

mod keys;
mod spool;
mod vault;

pub use keys::{KeysFault, SabotagedKeys};
pub use spool::{SabotagedSpool, SpoolFault};
pub use vault::{SabotagedVault, VaultFault};
