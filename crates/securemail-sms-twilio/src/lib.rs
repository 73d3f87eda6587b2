//! Codes by SMS through Twilio.
