//! Mail that carries personal data: decisions, sealing, evidence, pickup, and the main flow.
//!
//! This crate has no sockets, no runtime, no clock and no randomness of its own. It consists of
//!
//! * [`vocab`]: plain types, parsed once, that cannot be wrong afterwards;
//! * engines, pure: [`route`] (which way is proved safe), [`seal`] (content and keys), [`ledger`]
//!   (evidence), [`dkim`], [`mail`], [`pickup`] (one sealed message that waits for one recipient),
//!   [`tlsrpt`] (reports about TLS);
//! * [`drive`]: runs the engines over the back-ends;
//! * [`backend`]: the traits that adapters implement, each a numbered contract;

pub mod backend;
pub mod dkim;
pub mod drive;
pub mod error;
pub mod ledger;
pub mod limits;
pub mod mail;
pub mod pickup;
pub mod route;
pub mod seal;
pub mod secret;
pub mod tlsrpt;
pub mod vocab;

pub use error::{Advice, BoxError, StoreError};
