//! Reports about TLS (RFC 8460): what is counted, who is told, and how.

#[path = "../flow_world/mod.rs"]
mod flow_world;

mod counting;
mod engine;
mod inbox;
mod mapping;
mod reporting;
