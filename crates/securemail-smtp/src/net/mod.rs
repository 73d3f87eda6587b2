//! tokio drivers: they move octets and keep time; what to do is decided in `proto`.

pub(crate) mod auth;
pub(crate) mod body;
mod chunkless;
pub(crate) mod client;
mod floor;
pub(crate) mod limits;
pub(crate) mod notice;
mod pool;
pub(crate) mod receive;
mod returns;
mod reuse;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod tls;
mod transact;
mod tried;
mod tries;
pub(crate) mod wire;
