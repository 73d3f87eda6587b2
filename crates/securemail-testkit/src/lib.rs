//! Conformance suites, back-ends in memory, simulated time, test CA, signed DNS in process.

pub mod ca;
pub mod conformance;
pub mod dns;
pub mod fakes;
pub mod lab;
pub mod memory;
pub mod outage;
pub mod ports;
pub mod sabotage;
pub mod scripted;
pub mod sim;
pub mod sink;
pub mod twilio_fake;
