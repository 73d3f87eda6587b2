//! Test, ci, tidy, lab.
fn main() {}
