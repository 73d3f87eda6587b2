//! The portal as its own server.
fn main() {}
