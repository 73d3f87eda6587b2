//! Evidence: what happened to a message, so that it can be shown and cannot be changed unseen.

pub mod chain;

pub use chain::{BrokenAt, Verifier, chain, leaf_hash, verify};
