//! The contracts as tests: one function for each numbered clause, run by every back-end.
//!
//! A back-end gives a [`Harness`] and calls the macro of its trait in a test file, which makes one
//! named test for each clause:
//!
//! ```text
//! struct Mine(tempfile::TempDir);
//! #[async_trait]
//! impl Harness<dyn Vault> for Mine { /* fresh, reopen */ }
//! securemail_testkit::vault_conformance!(Mine::new());
//! ```
//!
//! A clause that is broken panics with its number. That the suites can fail is shown by `sabotage`.
#![expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a clause panics where it is broken"
)]

pub mod audit;
pub mod census;
mod content;
mod deliveries;
pub mod directory;
pub mod domain_memory;
mod due_mail;
pub mod keys;
mod open_dot;
pub mod pickups;
pub mod spool;
pub mod vault;
mod wakes;

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::vocab::{TenantId, UnixTime};

pub use content::{BrokenContent, Pattern, bytes, sealed};

/// Gives a suite the back-ends that it tests. Each test has a harness of its own.
#[async_trait]
pub trait Harness<B: ?Sized + Send + Sync + 'static>: Send + Sync {
    /// An empty one.
    async fn fresh(&self) -> Arc<B>;

    /// The one that was last given, as a new process would open it.
    async fn reopen(&self, old: Arc<B>) -> Arc<B>;
}

/// Runs a clause to its end on several threads.
pub fn block_on<F: Future>(clause: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(clause)
}

/// When tests happen.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().expect("a tenant id")
}

/// One test for each clause named.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_clauses {
    ($harness:expr, $suite:ident: $($clause:ident),+ $(,)?) => {
        $(
            #[test]
            fn $clause() {
                let harness = $harness;
                $crate::conformance::block_on($crate::conformance::$suite::$clause(&harness));
            }
        )+
    };
}
