//! SMTP server and client: sans-IO sessions, tokio drivers, rustls.
