//! SMTP without sockets: grammar and sessions. Octets go in and come out; nothing waits here.

pub mod answers;
pub mod client;
pub mod command;
pub mod data;
pub mod extension;
pub mod line;
mod parameters;
pub mod reply;
pub mod sasl;
pub mod server;
pub mod transaction;
