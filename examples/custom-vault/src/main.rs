//! A vault of one's own, held to the contract by the conformance suite.
fn main() {}
