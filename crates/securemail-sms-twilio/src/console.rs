//! Writes codes to a terminal instead of sending them: for demonstrations on one machine only.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use securemail_core::backend::{CodeMessage, Notifier, NotifyError, Receipt};

/// Writes each text to `W`, with the last two digits of the number.
///
/// Whoever reads `W` can open every message. Give it a terminal, never a log; `securemail-relay run`
/// refuses it unless every listener is on loopback.
pub struct ConsoleNotifier<W> {
    out: Mutex<W>,
    taken: AtomicU64,
}

impl<W: Write + Send + 'static> ConsoleNotifier<W> {
    /// Writes to `out`.
    #[must_use]
    pub const fn new(out: W) -> Self {
        Self {
            out: Mutex::new(out),
            taken: AtomicU64::new(1),
        }
    }
}

#[async_trait]
impl<W: Write + Send + 'static> Notifier for ConsoleNotifier<W> {
    async fn notify(&self, message: &CodeMessage) -> Result<Receipt, NotifyError> {
        let end = message.to.last_two();
        let text = message.text.expose();
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(out, "SMS to the number ending in {end}:\n{text}\n")
            .and_then(|()| out.flush())
            .map_err(|error| NotifyError::Unavailable(error.into()))?;
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(Receipt {
            carrier_id: format!("console-{number}"),
        })
    }
}

impl<W> fmt::Debug for ConsoleNotifier<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsoleNotifier(..)")
    }
}
