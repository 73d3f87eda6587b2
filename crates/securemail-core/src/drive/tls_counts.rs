//! Counts sessions for reports about TLS (RFC 8460): in memory first, then in the store, not with each message.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Relay;
use super::deliver::{Delivery, Verdict};
use crate::StoreError;
use crate::backend::{AttemptReport, Entropy, ItemClass};
use crate::limits::{TLS_REPORT_SPREAD_HOURS, TLS_SESSIONS_WAITING_OCTETS_MAX};
use crate::route::{Decision, Evidence, Hop};
use crate::tlsrpt::{self, DomainSessions, PolicyType, Session, UtcDay};
use crate::vocab::{DnsName, UnixTime};

/// Counts that are not in the store yet. A process that dies loses those of a minute, which a report can
/// bear (RFC 8460, section 5.5: reports are optional).
#[derive(Debug, Default)]
pub(super) struct TlsCounts {
    waiting: Mutex<Waiting>,
    /// Held while they are on their way into the store: whoever claims a report waits for them.
    writing: futures_util::lock::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    counts: BTreeMap<(DnsName, UtcDay), BTreeMap<Session, u64>>,
    /// About how much memory they take.
    octets: usize,
}

impl Waiting {
    /// What finds no room is not counted: reports are a service, memory is needed for mail.
    fn add(&mut self, key: (DnsName, UtcDay), session: Session, more: u64) {
        if let Some(count) = self
            .counts
            .get_mut(&key)
            .and_then(|kinds| kinds.get_mut(&session))
        {
            *count = count.saturating_add(more);
            return;
        }
        let octets = self.octets.saturating_add(octets_of(&session));
        if octets <= TLS_SESSIONS_WAITING_OCTETS_MAX {
            self.octets = octets;
            self.counts.entry(key).or_default().insert(session, more);
        }
    }
}

/// About how much memory a kind of session takes, its domain and its place in the map included.
fn octets_of(session: &Session) -> usize {
    let policy = &session.policy;
    let texts = policy.strings.iter().chain(&policy.mx_hosts);
    texts.fold(1024, |sum, text| sum.saturating_add(text.len() + 32))
}

impl TlsCounts {
    fn add(&self, sessions: Vec<Session>, domain: &DnsName, day: UtcDay) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for session in sessions {
            for domain in reported_to(&session, domain) {
                waiting.add((domain.clone(), day), session.clone(), 1);
            }
        }
    }

    fn take(&self, entropy: &dyn Entropy) -> Vec<DomainSessions> {
        let all = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        all.counts
            .into_iter()
            .map(|((domain, day), sessions)| DomainSessions {
                domain,
                day,
                due: due(day, entropy),
                sessions: sessions.into_iter().collect(),
            })
            .collect()
    }

    fn put_back(&self, counted: Vec<DomainSessions>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for counted in counted {
            for (session, count) in counted.sessions {
                waiting.add((counted.domain.clone(), counted.day), session, count);
            }
        }
    }
}

/// A report about DANE goes to whoever runs the recipient domain, and to whoever runs the host: the
/// policy domain is the TLSA base domain (RFC 8460, section 1.1).
fn reported_to<'a>(session: &'a Session, domain: &'a DnsName) -> Vec<&'a DnsName> {
    if session.policy.kind == PolicyType::Tlsa && session.policy.domain != *domain {
        vec![domain, &session.policy.domain]
    } else {
        vec![domain]
    }
}

/// Some time after the day's end, another for each domain (RFC 8460, section 4.1). The first minutes are
/// left for counts that other processes still hold.
fn due(day: UtcDay, entropy: &dyn Entropy) -> UnixTime {
    let mut random = [0; 4];
    let spread = TLS_REPORT_SPREAD_HOURS
        .saturating_mul(3600)
        .saturating_sub(FIRST_MINUTES.as_secs());
    // Without randomness all would come at once, which is only impolite.
    let part = match entropy.fill(&mut random) {
        Ok(()) => u64::from(u32::from_be_bytes(random)).saturating_mul(spread) >> 32,
        Err(_) => 0,
    };
    day.ends()
        .plus(FIRST_MINUTES)
        .plus(Duration::from_secs(part))
}

impl Relay {
    /// Counts a session with `hop`.
    pub(super) fn count_session(&self, evidence: &Evidence, hop: &Hop, report: &AttemptReport) {
        if self.settings.count_sessions {
            let sessions = tlsrpt::of_session(evidence, hop, report, self.now());
            self.count(sessions, &evidence.domain);
        }
    }

    /// Counts a session that proved nothing, with a mail of ours. Reports are not counted: they would report each
    /// other.
    pub(super) fn count_unproved(
        &self,
        class: ItemClass,
        evidence: &Evidence,
        report: &AttemptReport,
    ) {
        if self.settings.count_sessions && class != ItemClass::TlsReport {
            let sessions = tlsrpt::of_unproved(evidence, report, self.now());
            self.count(sessions, &evidence.domain);
        }
    }

    /// Counts the hosts that a round left out for what is published about them.
    pub(super) fn count_left_out(&self, result: &[(Delivery, Verdict)]) {
        let handed =
            |(_, verdict): &&(Delivery, Verdict)| matches!(verdict, Verdict::HandedOver { .. });
        // The deliveries of a round share their domain and what is known of it.
        let round = result.iter().find(handed).or_else(|| result.first());
        let Some((delivery, verdict)) = round.filter(|_| self.settings.count_sessions) else {
            return;
        };
        let (decision, taken): (&Decision, Option<&DnsName>) = match verdict {
            Verdict::HandedOver {
                decision, report, ..
            } => (decision, Some(&report.host)),
            Verdict::Decided(decision) => (decision, None),
            Verdict::CalledOff => return,
        };
        let evidence = &delivery.evidence;
        let sessions = tlsrpt::of_decision(evidence, decision, taken, self.now());
        self.count(sessions, &evidence.domain);
    }

    fn count(&self, sessions: Vec<Session>, domain: &DnsName) {
        let day = UtcDay::of(self.now());
        self.tls_counts.add(sessions, domain, day);
    }

    /// Writes down what was counted since the last time. Call it now and then, before a report
    /// is claimed, and before the end: what is on its way is written when this returns.
    ///
    /// # Errors
    /// Where domain memory takes nothing; what was counted waits for the next time.
    pub async fn write_counts(&self) -> Result<(), StoreError> {
        let _turn = self.tls_counts.writing.lock().await;
        let counted = self.tls_counts.take(&*self.parts.entropy);
        if counted.is_empty() {
            return Ok(());
        }
        let memory = &self.parts.inquirer.memory;
        let written = memory.count_sessions(&counted).await;
        if written.is_err() {
            self.tls_counts.put_back(counted);
        }
        written
    }
}

/// No report is due in these.
const FIRST_MINUTES: Duration = Duration::from_secs(10 * 60);
