//! Back-ends that break one clause of their contract each: they show that a suite can fail.

mod census;
mod domains;
mod keys;
mod pickups;
mod spool;
mod vault;

pub use census::{CensusFault, SabotagedCensus};
pub use domains::{DomainsFault, SabotagedDomainMemory};
pub use keys::{KeysFault, SabotagedKeys};
pub use pickups::{PickupsFault, SabotagedPickups};
pub use spool::{SabotagedSpool, SpoolFault};
pub use vault::{SabotagedVault, VaultFault};
