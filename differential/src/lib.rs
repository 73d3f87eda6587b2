//! Differential tests: made-up recipient domains, and what we, Postfix and OpenSSL do with mail to them.
//!
//! It runs inside the lab, as root: `cargo xtask lab diff -n N`. Every domain follows from a seed and its
//! number, so that each difference can be seen again alone. What decides a difference that is not ours to
//! mend stands in `explained.rs`, with the section of the RFC.

mod case;
mod certificates;
mod compare;
mod explained;
mod openssl;
mod ours;
mod policy_host;
mod postfix;
mod report;
mod socketmap;
mod system;
mod verdict;
mod world;
mod zones;

pub use report::Report;

/// Something of the lab does not work; the text says what.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// What is compared.
#[derive(Clone, Debug)]
pub struct Options {
    /// All the rest follows from this number.
    pub seed: u64,
    /// These domains.
    pub ids: Vec<u64>,
    /// Everything that everybody says is in the report, not only where they differ.
    pub talkative: bool,
}

/// Sets the domains up, asks everybody, compares.
///
/// # Errors
/// Outside the lab, or where a component does not work.
pub async fn run(options: &Options) -> Result<Report, Trouble> {
    let world = world::World::start(options).await?;
    let report = compare::everything(&world, options).await;
    world.stop().await?;
    report
}
