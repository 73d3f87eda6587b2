//! The client against Postfix, and the server against swaks.

#[path = "lab/delivery.rs"]
mod delivery;
#[path = "lab/submission.rs"]
mod submission;
