//! The whole relay among real servers: what may arrive arrives, and nothing else leaves.

#[path = "lab/check.rs"]
mod check;
#[path = "lab/content.rs"]
mod content;
#[path = "lab/deliver.rs"]
mod deliver;
#[path = "lab/relay.rs"]
mod relay;
