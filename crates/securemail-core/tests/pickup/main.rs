//! A pickup from deposit to destruction, over back-ends in memory.

mod budgets;
mod codes;
mod lifetime;
mod numbers;
#[path = "../pickup_world/mod.rs"]
mod pickup_world;
mod unseen;
