//! Scripted answers for the relay in simulated time: DNS from plain maps, and hosts that do as told.
//!
//! Nothing here checks a signature or a certificate: it says "secure" because the script says so. It is
//! for tests of what the relay does with answers, never of whether they are true.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use securemail_core::backend::Lack;
use securemail_core::backend::{
    Attempt, AttemptReport, Clock, FetchError, FetchedPolicy, NoticeAttempt, NoticeTransport,
    OtherSession, PeerFacts, PolicyFetcher, RecipientOutcome, Resolver, ReturnAttempt,
    ReturnOutcome, ReturnTransport, SessionOutcome, Transport, VantageView,
};
use securemail_core::route::{Authentication, Hop, Matched, PeerProof, Strength};
use securemail_core::vocab::{
    Address, Answer, Demands, DnsName, LookupFailure, Mx, MxTarget, Outcome, Question, RecordKind,
    Reply, RequireTls, Security, Tlsa, UnixTime,
};

use crate::memory::{collect, lock};

/// DNS from plain maps: records with a DNSSEC state each, and policies of MTA-STS.
///
/// What is not told is denied: `NoData` at a name that has records, `NxDomain` elsewhere, with the
/// state of the closest zone that was told to be signed, else unsigned. The vantage sees the same, where it
/// was not told otherwise.
#[derive(Debug, Default)]
pub struct ScriptedDns {
    answers: Mutex<BTreeMap<Question, (Outcome, Security)>>,
    elsewhere: Mutex<BTreeMap<Question, Outcome>>,
    signed: Mutex<BTreeSet<DnsName>>,
    policies: Mutex<BTreeMap<DnsName, Result<FetchedPolicy, FetchError>>>,
}

impl ScriptedDns {
    /// Says what is at a name.
    pub fn put(&self, name: &DnsName, kind: RecordKind, outcome: Outcome, security: Security) {
        let question = Question::new(name.clone(), kind);
        lock(&self.answers).insert(question, (outcome, security));
    }

    /// Says what the vantage sees at a name; `None`: the same again.
    pub fn seen_elsewhere(&self, name: &DnsName, kind: RecordKind, outcome: Option<Outcome>) {
        let question = Question::new(name.clone(), kind);
        match outcome {
            Some(outcome) => lock(&self.elsewhere).insert(question, outcome),
            None => lock(&self.elsewhere).remove(&question),
        };
    }

    /// Forgets what is at a name.
    pub fn remove(&self, name: &DnsName, kind: RecordKind) {
        lock(&self.answers).remove(&Question::new(name.clone(), kind));
    }

    /// Denials at and below this name are proved.
    pub fn sign(&self, zone: &DnsName) {
        lock(&self.signed).insert(zone.clone());
    }

    /// A domain whose mail goes to `host`, both in signed zones; the host has an address and the digest
    /// of a key (3 1 1).
    pub fn dane(&self, domain: &DnsName, host: &DnsName) {
        self.sign(domain);
        self.sign(host);
        self.mail(domain, &[host], Security::Secure);
        let at = tlsa_name(host, 25);
        let record = Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: vec![7; 32],
        };
        self.put(
            &at,
            RecordKind::Tlsa,
            Outcome::Tlsa(vec![record]),
            Security::Secure,
        );
    }

    /// A domain whose mail goes to `host`, all unsigned; nothing is published.
    pub fn unsigned(&self, domain: &DnsName, host: &DnsName) {
        self.mail(domain, &[host], Security::Insecure);
    }

    /// MX records in this order, and an address for each host.
    pub fn mail(&self, domain: &DnsName, hosts: &[&DnsName], security: Security) {
        let records = (1_u16..).zip(hosts).map(|(place, host)| Mx {
            preference: place.saturating_mul(10),
            target: MxTarget::Host((*host).clone()),
        });
        self.put(
            domain,
            RecordKind::Mx,
            Outcome::Mx(records.collect()),
            security,
        );
        for host in hosts {
            let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 25));
            self.put(
                host,
                RecordKind::A,
                Outcome::Addresses(vec![address]),
                security,
            );
        }
    }

    /// The question fails so.
    pub fn fail(&self, name: &DnsName, kind: RecordKind, failure: LookupFailure) {
        self.put(
            name,
            kind,
            Outcome::Failed(failure),
            Security::Indeterminate,
        );
    }

    /// What `https://mta-sts.<domain>` serves; the TXT record is put apart.
    pub fn policy(&self, domain: &DnsName, policy: Result<FetchedPolicy, FetchError>) {
        lock(&self.policies).insert(domain.clone(), policy);
    }

    fn answer(&self, question: &Question) -> Answer {
        let answers = lock(&self.answers);
        let told = answers
            .get(question)
            .or_else(|| answers.get(&Question::new(question.name.clone(), RecordKind::Cname)));
        let (outcome, security) = told.cloned().unwrap_or_else(|| {
            let known = answers.keys().any(|other| other.name == question.name);
            let outcome = if known {
                Outcome::NoData
            } else {
                Outcome::NxDomain
            };
            (outcome, self.denied(&question.name))
        });
        Answer::new(outcome, security, EXPIRES)
    }

    fn denied(&self, name: &DnsName) -> Security {
        let below = |zone: &DnsName| {
            name == zone || name.as_str().ends_with(&format!(".{}", zone.as_str()))
        };
        if lock(&self.signed).iter().any(below) {
            Security::Secure
        } else {
            Security::Insecure
        }
    }
}

#[async_trait]
impl Resolver for ScriptedDns {
    async fn resolve(&self, question: &Question) -> Answer {
        self.answer(question)
    }

    async fn resolve_anew(&self, question: &Question) -> Answer {
        self.answer(question)
    }

    async fn vantages(&self, question: &Question) -> Vec<VantageView> {
        vec![VantageView {
            vantage: "scripted".to_owned(),
            answer: match lock(&self.elsewhere).get(question) {
                Some(outcome) => Answer::new(outcome.clone(), Security::Insecure, EXPIRES),
                None => self.answer(question),
            },
        }]
    }
}

#[async_trait]
impl PolicyFetcher for ScriptedDns {
    async fn fetch(&self, domain: &DnsName) -> Result<FetchedPolicy, FetchError> {
        let policies = lock(&self.policies);
        let told = policies.get(domain).cloned();
        told.unwrap_or(Err(FetchError::Unreachable))
    }
}

/// `_25._tcp.<host>`.
fn tlsa_name(host: &DnsName, port: u16) -> DnsName {
    let text = format!("_{port}._tcp.{}", host.as_str());
    DnsName::parse(&text).unwrap_or_else(|_| host.clone())
}

/// Later than any test.
const EXPIRES: UnixTime = UnixTime::from_secs(4_000_000_000);

/// What a host does with a session.
#[derive(Clone, Debug)]
pub struct HostScript {
    /// How long it takes until the end of data could be sent.
    pub before_dot: Duration,
    /// How long it takes from there to the reply.
    pub after_dot: Duration,
    /// The session ends before MAIL, so.
    pub ends: Option<SessionOutcome>,
    /// How sessions at other addresses of it ended before.
    pub elsewhere: Vec<SessionOutcome>,
    /// How each recipient fares; those not named fare as `others`.
    pub recipients: BTreeMap<String, RecipientOutcome>,
    /// How the others fare.
    pub others: RecipientOutcome,
    /// Refusals and deferrals come to the end of data, not to RCPT.
    pub answers_at_dot: bool,
    /// What it does not offer to messages that need it: `SmtpUtf8`, `RequireTls`.
    pub lacks: Vec<Lack>,
}

impl HostScript {
    /// Takes everything at once.
    #[must_use]
    pub fn takes() -> Self {
        Self::says(RecipientOutcome::HandedOver(reply(250, "ok")))
    }

    /// Says this about every recipient.
    #[must_use]
    pub const fn says(others: RecipientOutcome) -> Self {
        Self {
            before_dot: Duration::ZERO,
            after_dot: Duration::ZERO,
            ends: None,
            elsewhere: Vec::new(),
            recipients: BTreeMap::new(),
            others,
            answers_at_dot: false,
            lacks: Vec::new(),
        }
    }

    /// Ends every session before MAIL, so.
    #[must_use]
    pub fn ends(outcome: SessionOutcome) -> Self {
        Self {
            ends: Some(outcome),
            ..Self::says(RecipientOutcome::NotTried)
        }
    }

    /// The same, slower.
    #[must_use]
    pub fn after(self, before_dot: Duration, after_dot: Duration) -> Self {
        Self {
            before_dot,
            after_dot,
            ..self
        }
    }

    /// The same, without this extension.
    #[must_use]
    pub fn without(mut self, lack: Lack) -> Self {
        self.lacks.push(lack);
        self
    }

    /// The same, except for this recipient.
    #[must_use]
    pub fn except(mut self, recipient: &str, outcome: RecipientOutcome) -> Self {
        self.recipients.insert(recipient.to_owned(), outcome);
        self
    }

    /// What it lacks for a message with these demands.
    fn lack(&self, demands: Demands) -> Option<Lack> {
        let is_needed = |lack: &Lack| match lack {
            Lack::RequireTls => demands.require_tls == RequireTls::Always,
            Lack::SmtpUtf8 => demands.smtp_utf8,
            Lack::EightBitMime | Lack::Size(_) => true,
        };
        self.lacks.iter().copied().find(is_needed)
    }

    fn outcome(&self, recipient: &Address) -> RecipientOutcome {
        let own = self.recipients.get(&recipient.to_string());
        own.unwrap_or(&self.others).clone()
    }
}

/// A reply of a host.
#[must_use]
pub fn reply(code: u16, text: &str) -> Reply {
    Reply::new(code, None, text)
}

/// A mail that a host took, or of which it never said so.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The host.
    pub host: DnsName,
    /// For whom.
    pub recipient: Address,
    /// Its octets.
    pub octets: Bytes,
    /// Its end of data was answered.
    pub confirmed: bool,
    /// What was said of it in MAIL.
    pub demands: Demands,
}

/// Hosts that do as told, for messages and for notices. A host that was told nothing cannot be reached.
///
/// Like a real transport it asks for leave before the end of data, and not before; it counts the
/// attempts that were dropped behind it, which contract T3 forbids.
#[derive(Debug)]
pub struct ScriptedTransport {
    clock: Arc<dyn Clock>,
    hosts: Mutex<BTreeMap<DnsName, HostScript>>,
    notice_hosts: Mutex<BTreeMap<DnsName, HostScript>>,
    delivered: Mutex<Vec<Delivered>>,
    notices: Mutex<Vec<NoticeAttempt>>,
    return_hosts: Mutex<BTreeMap<DnsName, ReturnOutcome>>,
    returns: Mutex<Vec<ReturnAttempt>>,
    attempts: AtomicUsize,
    broken_off: Arc<AtomicUsize>,
}

impl ScriptedTransport {
    /// Hosts that live by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            hosts: Mutex::default(),
            notice_hosts: Mutex::default(),
            delivered: Mutex::default(),
            notices: Mutex::default(),
            return_hosts: Mutex::default(),
            returns: Mutex::default(),
            attempts: AtomicUsize::new(0),
            broken_off: Arc::default(),
        }
    }

    /// What `host` does from here on.
    pub fn host(&self, host: &DnsName, script: HostScript) {
        lock(&self.hosts).insert(host.clone(), script);
    }

    /// What `host` does with notices over a session that proves nothing.
    pub fn notice_host(&self, host: &DnsName, script: HostScript) {
        lock(&self.notice_hosts).insert(host.clone(), script);
    }

    /// How every attempt at `host` ends, that is made because the operator named it.
    pub fn return_host(&self, host: &DnsName, outcome: ReturnOutcome) {
        lock(&self.return_hosts).insert(host.clone(), outcome);
    }

    /// What was tried at hosts that the operator named, oldest first.
    #[must_use]
    pub fn returns(&self) -> Vec<ReturnAttempt> {
        lock(&self.returns).clone()
    }

    /// What was handed over, oldest first.
    #[must_use]
    pub fn delivered(&self) -> Vec<Delivered> {
        lock(&self.delivered).clone()
    }

    /// Notices that were tried over sessions that prove nothing, oldest first.
    #[must_use]
    pub fn notices(&self) -> Vec<NoticeAttempt> {
        lock(&self.notices).clone()
    }

    /// How many sessions for messages were begun.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.attempts.load(Ordering::SeqCst)
    }

    /// How many were dropped between their end of data and its reply. It must stay zero.
    #[must_use]
    pub fn broken_off(&self) -> usize {
        self.broken_off.load(Ordering::SeqCst)
    }

    async fn wait(&self, time: Duration) {
        if !time.is_zero() {
            self.clock.sleep_until(self.clock.now().plus(time)).await;
        }
    }

    fn report(&self, host: &DnsName, began: UnixTime, outcome: SessionOutcome) -> AttemptReport {
        let ended = self.clock.now();
        AttemptReport {
            host: host.clone(),
            address: None,
            own_address: None,
            peer: None,
            proof: None,
            outcome,
            recipients: Vec::new(),
            others: Vec::new(),
            ended,
            took: ended.since(began),
        }
    }

    fn keep(&self, attempt: &Attempt, recipient: &Address, octets: &Bytes, confirmed: bool) {
        lock(&self.delivered).push(Delivered {
            host: attempt.hop.host.clone(),
            recipient: recipient.clone(),
            octets: octets.clone(),
            confirmed,
            demands: attempt.demands,
        });
    }
}

#[async_trait]
impl Transport for ScriptedTransport {
    async fn attempt(&self, attempt: Attempt) -> AttemptReport {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let began = self.clock.now();
        let host = &attempt.hop.host;
        let told = lock(&self.hosts).get(host).cloned();
        let script = told.unwrap_or_else(|| HostScript::ends(unreachable_host()));
        self.wait(script.before_dot).await;
        if let Some(outcome) = script.ends {
            return self.report(host, began, outcome);
        }
        if let Some(lack) = script.lack(attempt.demands) {
            return AttemptReport {
                proof: Some(proof(&attempt.hop)),
                ..self.report(host, began, SessionOutcome::Incapable(lack))
            };
        }
        let outcomes: Vec<RecipientOutcome> = attempt
            .recipients
            .iter()
            .map(|r| script.outcome(r))
            .collect();
        let reaches_dot = script.answers_at_dot || outcomes.iter().any(needs_dot);
        let mut octets = Bytes::new();
        if reaches_dot {
            octets = match collect(&*attempt.content).await {
                Ok(octets) => octets,
                Err(_) => return self.report(host, began, unreachable_host()),
            };
            if attempt.final_dot.open().await.is_err() {
                return self.report(host, began, SessionOutcome::CalledOff);
            }
            let behind_dot = BehindDot(Some(self.broken_off.clone()));
            self.wait(script.after_dot).await;
            behind_dot.answered();
        }
        for (recipient, outcome) in attempt.recipients.iter().zip(&outcomes) {
            match outcome {
                RecipientOutcome::HandedOver(_) => self.keep(&attempt, recipient, &octets, true),
                RecipientOutcome::Unconfirmed => self.keep(&attempt, recipient, &octets, false),
                RecipientOutcome::Deferred(_)
                | RecipientOutcome::NotTried
                | RecipientOutcome::Refused(_) => {}
            }
        }
        let other = |outcome: &SessionOutcome| OtherSession {
            address: None,
            own_address: None,
            peer: None,
            outcome: outcome.clone(),
        };
        AttemptReport {
            proof: Some(proof(&attempt.hop)),
            others: script.elsewhere.iter().map(other).collect(),
            recipients: outcomes,
            ..self.report(host, began, SessionOutcome::Completed)
        }
    }
}

#[async_trait]
impl NoticeTransport for ScriptedTransport {
    async fn attempt_notice(&self, attempt: NoticeAttempt) -> AttemptReport {
        let began = self.clock.now();
        lock(&self.notices).push(attempt.clone());
        let told = lock(&self.notice_hosts).get(&attempt.host).cloned();
        let script = told.unwrap_or_else(|| HostScript::ends(unreachable_host()));
        self.wait(script.before_dot.saturating_add(script.after_dot))
            .await;
        let demands = Demands {
            smtp_utf8: attempt.recipient.needs_utf8() || !attempt.mail.octets().is_ascii(),
            require_tls: RequireTls::No,
        };
        let lack = script.lack(demands).map(SessionOutcome::Incapable);
        if let Some(outcome) = script.ends.clone().or(lack) {
            return self.report(&attempt.host, began, outcome);
        }
        AttemptReport {
            peer: (!attempt.without_tls).then(|| peer(began)),
            recipients: vec![script.outcome(&attempt.recipient)],
            ..self.report(&attempt.host, began, SessionOutcome::Completed)
        }
    }
}

#[async_trait]
impl ReturnTransport for ScriptedTransport {
    async fn attempt_return(&self, attempt: ReturnAttempt) -> ReturnOutcome {
        let told = lock(&self.return_hosts).get(&attempt.hop.host).cloned();
        lock(&self.returns).push(attempt);
        told.unwrap_or_else(|| ReturnOutcome::Unanswered(unreachable_host()))
    }
}

/// Counts when it is dropped before the reply came.
struct BehindDot(Option<Arc<AtomicUsize>>);

impl BehindDot {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for BehindDot {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

const fn needs_dot(outcome: &RecipientOutcome) -> bool {
    matches!(
        outcome,
        RecipientOutcome::HandedOver(_) | RecipientOutcome::Unconfirmed
    )
}

fn unreachable_host() -> SessionOutcome {
    SessionOutcome::Unreachable("connection refused".to_owned())
}

fn peer(secured: UnixTime) -> PeerFacts {
    PeerFacts {
        version: "TLSv1.3".to_owned(),
        cipher: String::new(),
        group: String::new(),
        chain: Vec::new(),
        ehlo: String::new(),
        secured,
    }
}

/// The proof that the script claims.
fn proof(hop: &Hop) -> PeerProof {
    let (strength, matched) = match &hop.authenticate {
        Authentication::Dane { .. } => (
            Strength::Dane,
            Matched::Tlsa {
                record: 0,
                depth: 0,
            },
        ),
        Authentication::Pkix { .. } => (
            Strength::Pkix,
            Matched::Root {
                subject: "CN=scripted".to_owned(),
            },
        ),
    };
    PeerProof {
        host: hop.host.clone(),
        leaf_sha256: [7; 32],
        strength,
        authority: hop.authority,
        matched,
    }
}
