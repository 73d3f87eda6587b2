//! The client against Postfix, and the server against swaks and Python's smtplib.

#[path = "lab/delivery.rs"]
mod delivery;
#[path = "lab/python.rs"]
mod python;
#[path = "lab/submission.rs"]
mod submission;
