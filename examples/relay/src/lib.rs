//! What the binary `securemail-relay` does, for it and for the portal's own server.
//!
//! This is a program cut at its commands, and no library to build on: that are the crates that it uses.

#![expect(
    unreachable_pub,
    reason = "in a program `pub` says what other modules use"
)]

mod assemble;
mod check;
mod demo;
mod doctor;
mod events;
mod handler;
mod logging;
mod master;
mod metrics;
mod probe;
mod retrieval;
mod returns;
mod run;
mod sanity;
mod scanner;
mod serve;
mod settings;
mod sms;
mod system;
mod tenants;
mod terminal;
mod tls;
mod tls_reports;
mod web;

pub use assemble::Trouble;
pub use check::{Asking, check, replay};
pub use demo::demo;
pub use doctor::doctor;
#[doc(hidden)]
pub use doctor::of_strangers;
pub use events::{events, of_node, tls_reports};
pub use retrieval::retrieve;
pub use run::{Running, check_settings, explain, launch, read_settings, run};
pub use terminal::fail;
