//! Drivers: async, over the back-end traits only; no sockets.

pub mod pickup;
