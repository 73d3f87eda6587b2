//! A second message over a connection that is there already, by a proof of its own (rules C-13, C-14).

use securemail_core::backend::{Attempt, RecipientOutcome, SessionOutcome};

use super::client::{Said, SmtpTransport};
use super::pool::{Kept, Key, Line};
use super::tried::Tried;
use crate::proto::client::Ready;

impl SmtpTransport {
    /// Over a connection that was kept, where one is proved to be with this hop too. What fails there
    /// before the end of data says nothing about the host: `None`, and the caller begins afresh.
    pub(super) async fn try_kept(&self, attempt: &Attempt) -> Option<Tried> {
        let key = Key::of(attempt)?;
        let kept = self.kept.take(&key, &attempt.hop.addresses)?;
        let mut tried = Tried::at(kept.line.address);
        let (line, ready) = self.prove_again(kept, attempt, &mut tried)?;
        let said = self.hand_over(line, ready, attempt, &mut tried).await;
        if said != Said::OfMessage {
            tracing::debug!(host = %attempt.hop.host, "a kept connection did not serve");
            return None;
        }
        Some(tried)
    }

    /// The proof of this hop, by the certificates that the handshake showed, at this time.
    fn prove_again(
        &self,
        kept: Kept,
        attempt: &Attempt,
        tried: &mut Tried,
    ) -> Option<(Line, Ready)> {
        let Kept {
            line,
            session,
            facts,
            ..
        } = kept;
        let proved = self
            .authenticate(&facts, &attempt.hop)
            .and_then(|(proof, leaf)| session.prove(proof, &attempt.hop, leaf));
        let Ok(ready) = proved else {
            self.quit(line.wire);
            return None;
        };
        tried.peer = Some(facts);
        tried.proof = Some(ready.proof().proof().clone());
        Some((line, ready))
    }

    /// Lets the connection wait for another message, where the attempt allows it and the peer took this
    /// one: a peer that did not may think less of what comes over the same connection.
    pub(super) fn keep(&self, line: Line, ready: Ready, attempt: &Attempt, tried: &Tried) {
        let took = |outcome: &RecipientOutcome| matches!(outcome, RecipientOutcome::HandedOver(_));
        // A message that the host cannot take says nothing against one that took others.
        let is_good = tried.recipients.iter().any(took)
            || line.has_served() && matches!(tried.outcome, SessionOutcome::Incapable(_));
        let key = Key::of(attempt).filter(|_| is_good);
        match (key, &tried.peer) {
            (Some(key), Some(facts)) => self.kept.put(line, ready.rest(), facts.clone(), key),
            (_, _) => self.quit(line.wire),
        }
    }
}
