//! What this project decides: real resolver, real policy client, real handshake; nothing is sent.

use std::fs;
use std::sync::Arc;

use async_trait::async_trait;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use securemail_core::backend::{
    Attempt, Clock, Connection, DotClosed, FinalDot, SessionOutcome, Transport, TransportPolicy,
};
use securemail_core::drive::Inquirer;
use securemail_core::route::{
    AttemptEvidence, Authentication, Authority, Decision, DeferClass, Hop, MessageFacts,
    PolicySettings, Route, StandardPolicy, Strength, StsPolicy, Trust, authenticate, usable,
};
use securemail_core::vocab::{DnsName, MemoryContent, Profile, ReversePath, Tlsa};
use securemail_resolver::{
    HickoryResolver, PolicyClient, PolicySettings as FetchSettings, ResolverSettings,
};
use securemail_smtp::{ClientSettings, SmtpTransport, trust};
use securemail_testkit::lab::{Lab, WallClock};
use securemail_testkit::memory::MemoryDomainMemory;

use crate::Trouble;
use crate::verdict::{Proof, Verdict};

/// The parts of a relay that decide.
#[derive(Debug)]
pub(crate) struct Ours {
    inquirer: Inquirer,
    policy: StandardPolicy,
    transport: SmtpTransport,
    trust: Arc<Trust>,
}

/// The final dot never leaves.
#[derive(Debug)]
struct NeverOpen;

#[async_trait]
impl FinalDot for NeverOpen {
    async fn open(&self) -> Result<(), DotClosed> {
        Err(DotClosed)
    }
}

impl Ours {
    /// With the lab's resolver, and this root.
    ///
    /// # Errors
    /// Where a part cannot be built.
    pub(crate) fn new(lab: &Lab, root: &CertificateDer<'static>) -> Result<Self, Trouble> {
        let clock: Arc<dyn Clock> = Arc::new(WallClock);
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let mut dns = ResolverSettings::new(vec![lab.resolver()]);
        dns.trust_anchor = Some(fs::read_to_string(lab.trust_anchor())?);
        dns.second_opinion = vec![lab.resolver()];
        let resolver = Arc::new(HickoryResolver::new(&dns, clock.clone())?);
        let mut fetch = FetchSettings::new(Arc::new(roots.clone()));
        fetch.allow_networks = vec!["127.0.0.0/8".parse()?];
        let policy = PolicySettings {
            allow_networks: vec!["127.0.0.0/8".parse()?],
            ..PolicySettings::default()
        };
        let trust = Arc::new(trust(roots.roots));
        let hostname: DnsName = "relay.sender.test".parse()?;
        Ok(Self {
            inquirer: Inquirer {
                resolver: resolver.clone(),
                fetcher: Arc::new(PolicyClient::new(fetch, resolver)?),
                memory: Arc::new(MemoryDomainMemory::default()),
                clock: clock.clone(),
                port: 25,
            },
            policy: StandardPolicy::new(policy),
            transport: SmtpTransport::new(ClientSettings::new(hostname), trust.clone(), clock),
            trust,
        })
    }

    /// What becomes of a message for a domain, and the last decision in words.
    ///
    /// # Errors
    /// Where the domain is no name, or memory fails.
    pub(crate) async fn decide(
        &self,
        domain: &str,
        profile: Profile,
    ) -> Result<(Verdict, String), Trouble> {
        let clock = &self.inquirer.clock;
        let facts = MessageFacts::at(clock.now());
        let domain: DnsName = domain.parse()?;
        let mut evidence = self.inquirer.inquire(&domain, profile, facts).await?;
        loop {
            let decision = self.policy.decide(&evidence, clock.now());
            let Route::Deliver(hops) = &decision.route else {
                return Ok((verdict(&decision), decision.to_string()));
            };
            let Some(hop) = hops.first().cloned() else {
                return Err("a route without a hop".into());
            };
            let host = hop.host.clone();
            // Without recipients the session ends behind its proof.
            let report = self
                .transport
                .attempt(Attempt {
                    connection: Connection::Own,
                    hop,
                    reverse_path: ReversePath::Null,
                    recipients: Vec::new(),
                    demands: securemail_core::vocab::Demands::default(),
                    content: Arc::new(MemoryContent::default()),
                    final_dot: Arc::new(NeverOpen),
                })
                .await;
            if let Some(proof) = report.proof {
                let by = match proof.strength {
                    Strength::Dane => Proof::Dane,
                    Strength::Pkix => Proof::Certificate,
                };
                let verdict = Verdict::Direct(host.to_string(), by);
                return Ok((verdict, decision.to_string()));
            }
            if let SessionOutcome::CalledOff | SessionOutcome::Completed = report.outcome {
                return Err(format!("{host}: a session without proof and without failure").into());
            }
            evidence.attempts.push(AttemptEvidence {
                host,
                at: report.ended,
                outcome: report.outcome,
                recipient: None,
            });
        }
    }

    /// Which of these hosts the domain's MTA-STS policy names, whatever its mode, once the domain was
    /// decided about; `None` where there is no policy.
    ///
    /// # Errors
    /// Where a name is none, or memory fails.
    pub(crate) async fn policy_names(
        &self,
        domain: &str,
        hosts: &[String],
    ) -> Result<Option<Vec<String>>, Trouble> {
        let Some(kept) = self.inquirer.memory.policy(&domain.parse()?).await? else {
            return Ok(None);
        };
        let policy = StsPolicy::parse(&kept.body)?;
        let mut named = Vec::new();
        for host in hosts {
            if policy.names(&host.parse()?) {
                named.push(host.clone());
            }
        }
        Ok(Some(named))
    }

    /// Whether a chain matches TLSA records, without DNS and handshake; `None` where no record is usable.
    ///
    /// # Errors
    /// Where the name is none.
    pub(crate) fn matches(
        &self,
        name: &str,
        records: &[Tlsa],
        chain: &[CertificateDer<'_>],
    ) -> Result<Option<bool>, Trouble> {
        let records = usable(records);
        if records.is_empty() {
            return Ok(None);
        }
        let name: DnsName = name.parse()?;
        let hop = Hop {
            domain: name.clone(),
            host: name.clone(),
            addresses: Vec::new(),
            port: 25,
            sni: name.clone(),
            authenticate: Authentication::Dane {
                records,
                names: vec![name],
            },
            authority: Authority::Dnssec,
            must_name_domain: false,
        };
        let proof = authenticate(&hop, chain, self.inquirer.clock.now(), &self.trust);
        Ok(Some(proof.is_ok()))
    }
}

fn verdict(decision: &Decision) -> Verdict {
    match &decision.route {
        Route::Bounce { .. } => Verdict::Refused,
        Route::Defer { class, .. } => match class {
            DeferClass::UnprovedDenial => Verdict::Refused,
            DeferClass::NoPath => Verdict::NotProved,
            DeferClass::OwnFault
            | DeferClass::Suspicious
            | DeferClass::Transient
            | DeferClass::Unconfirmed => Verdict::Held,
        },
        Route::Deliver(_) | Route::Vault { .. } => Verdict::NotProved,
    }
}
