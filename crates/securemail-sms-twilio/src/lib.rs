//! Codes by SMS through Twilio: sending, answers, and what its callbacks say afterwards.
//!
//! * [`TwilioNotifier`] sends over HTTPS; what it asks for is in [`request`], what an answer means in
//!   [`response`] and [`codes`], all without I/O.
//! * [`webhook`] checks that a callback comes from Twilio and reads it; the web server that receives it
//!   is the program's.
//! * [`ConsoleNotifier`] writes codes to a terminal, for demonstrations.

pub mod codes;
pub mod console;
mod notifier;
pub mod request;
pub mod response;
mod settings;
pub mod webhook;

pub use console::ConsoleNotifier;
pub use notifier::TwilioNotifier;
pub use settings::{AccountSid, Sender, SettingsError, TwilioSettings};
pub use webhook::{SmsStatus, StatusUpdate, TwilioWebhook, WebhookError};
