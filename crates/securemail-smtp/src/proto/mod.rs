//! SMTP without sockets: grammar and sessions. Octets go in and come out; nothing waits here.

pub mod client;
pub mod command;
pub mod data;
pub mod extension;
pub mod line;
pub mod reply;
pub mod sasl;
pub mod server;
