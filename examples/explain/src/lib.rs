//! How mail to a domain would go, asked before anything is sent.
//!
//! ```text
//! cargo run -p explain -- 127.0.0.1:53 example.org
//! ```
//!
//! An integrator copies `parts.rs`.

mod parts;

pub use parts::{SystemClock, explain, inquirer};

/// The examples of `docs/embedding.md`, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct Embedding;
