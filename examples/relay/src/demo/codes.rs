//! The demo's carrier: it is none; codes are shown on the terminal and kept for `--once`.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Everything that was "sent", also written to the terminal.
#[derive(Clone, Debug, Default)]
pub struct Shown(Arc<Mutex<Vec<u8>>>);

impl Shown {
    /// The code that was sent last.
    pub fn last_code(&self) -> Option<String> {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&sent);
        // The last line of the text is `@host #code`, for browsers that fill it in.
        text.rsplit_once('#')
            .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect())
    }
}

impl Write for Shown {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(octets);
        io::stdout().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
