//! Opens a proved session with each host of a decision and sends nothing over it.

use std::sync::Arc;

use async_trait::async_trait;
use securemail_core::backend::{
    Attempt, AttemptReport, Clock, Connection, DotClosed, FinalDot, SessionOutcome, Transport,
    TransportPolicy,
};
use securemail_core::route::{AttemptEvidence, Decision, Evidence, Route, StandardPolicy};
use securemail_core::vocab::{Demands, MemoryContent, RequireTls, ReversePath};

use crate::assemble::{Trouble, transport};
use crate::settings::Settings;

/// The final dot never leaves.
#[derive(Debug)]
struct NeverOpen;

#[async_trait]
impl FinalDot for NeverOpen {
    async fn open(&self) -> Result<(), DotClosed> {
        Err(DotClosed)
    }
}

/// Tries the hosts in the order of the policy until one is proved; the decision that is left is the
/// one that a message would meet. Also gives the sessions.
///
/// # Errors
/// Where the client cannot be built.
pub async fn probe(
    settings: &Settings,
    policy: &StandardPolicy,
    evidence: &mut Evidence,
    mut decision: Decision,
    clock: &dyn Clock,
) -> Result<(Decision, Vec<AttemptReport>), Trouble> {
    let transport = transport(settings)?;
    let require_tls = match evidence.message.require_tls {
        true => RequireTls::Always,
        false => RequireTls::No,
    };
    let demands = Demands {
        require_tls,
        ..Demands::default()
    };
    let mut tried = Vec::new();
    while let Route::Deliver(hops) = &decision.route {
        let Some(hop) = hops.first().cloned() else {
            break;
        };
        let host = hop.host.clone();
        // Without recipients the session ends behind its proof, and behind what the host offers.
        let attempt = Attempt {
            hop,
            connection: Connection::Own,
            reverse_path: ReversePath::Null,
            recipients: Vec::new(),
            demands,
            content: Arc::new(MemoryContent::default()),
            final_dot: Arc::new(NeverOpen),
        };
        let report = transport.attempt(attempt).await;
        let (at, outcome) = (report.ended, report.outcome.clone());
        tried.push(report);
        if matches!(
            outcome,
            SessionOutcome::CalledOff | SessionOutcome::Completed
        ) {
            break;
        }
        evidence.attempts.push(AttemptEvidence {
            host,
            at,
            outcome,
            recipient: None,
        });
        decision = policy.decide(evidence, clock.now());
    }
    Ok((decision, tried))
}
