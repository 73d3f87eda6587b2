//! The whole relay: one binary.
fn main() {}
