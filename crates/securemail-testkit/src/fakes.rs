//! Small fakes: a carrier and an observer that remember, a scanner that says what it is told.

use std::sync::Mutex;

use async_trait::async_trait;
use securemail_core::backend::{
    CodeMessage, Fact, Notifier, NotifyError, Observer, Receipt, ScanError, Scanner, Verdict,
};
use securemail_core::vocab::{Content, Envelope};

use crate::memory::lock;

/// A carrier that takes every code and remembers it. It is a fake: nothing is sent.
#[derive(Debug, Default)]
pub struct RecordingNotifier {
    sent: Mutex<Vec<CodeMessage>>,
    failures: Mutex<Vec<NotifyError>>,
}

impl RecordingNotifier {
    /// Lets the next call fail with `error`; several are used in the order given.
    pub fn fail_next(&self, error: NotifyError) {
        lock(&self.failures).push(error);
    }

    /// Everything that was taken, oldest first.
    #[must_use]
    pub fn sent(&self) -> Vec<CodeMessage> {
        lock(&self.sent).clone()
    }
}

#[async_trait]
impl Notifier for RecordingNotifier {
    async fn notify(&self, message: &CodeMessage) -> Result<Receipt, NotifyError> {
        let mut failures = lock(&self.failures);
        if !failures.is_empty() {
            return Err(failures.remove(0));
        }
        let mut sent = lock(&self.sent);
        sent.push(message.clone());
        let carrier_id = format!("fake-{}", sent.len());
        Ok(Receipt { carrier_id })
    }
}

/// An observer that remembers what it was told.
#[derive(Debug, Default)]
pub struct RecordingObserver(Mutex<Vec<Fact>>);

impl RecordingObserver {
    /// Everything that it was told, oldest first.
    #[must_use]
    pub fn facts(&self) -> Vec<Fact> {
        lock(&self.0).clone()
    }
}

impl Observer for RecordingObserver {
    fn observe(&self, fact: Fact) {
        lock(&self.0).push(fact);
    }
}

/// A scanner that always says the same; `None` says that it cannot say.
#[derive(Debug)]
pub struct FixedScanner(pub Option<Verdict>);

#[async_trait]
impl Scanner for FixedScanner {
    async fn scan(&self, _: &Envelope, _: &dyn Content) -> Result<Verdict, ScanError> {
        let verdict = self.0.clone();
        verdict.ok_or_else(|| ScanError("told to fail".into()))
    }
}
