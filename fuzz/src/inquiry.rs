//! The inquiry with arbitrary answers: it ends, and what is decided has reasons and can be decided again.

use securemail_core::backend::{
    AttemptReport, FetchError, FetchedPolicy, PeerFacts, SessionOutcome, TransportPolicy,
    VantageView,
};
use securemail_core::route::{
    Ask, AskReply, Asked, Decided, Evidence, Explanation, Inquiry, MessageFacts, NtaSettings,
    StandardPolicy, Step, nta7516,
};
use securemail_core::vocab::{
    Answer, DnsName, Language, LookupFailure, Mx, MxTarget, Outcome, Profile, RecordKind, Security,
    Tlsa, UnixTime,
};

const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);
/// More rounds than this are an inquiry without end.
const ROUNDS_MAX: usize = 60;

/// Octets that answer questions; when they are used up they begin again.
struct Dice<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Dice<'_> {
    fn next(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn name(&mut self) -> Option<DnsName> {
        let names = [
            "example.org",
            "mx.example.org",
            "mx2.example.org",
            "mx.host.example",
            "a.test",
            "localhost",
        ];
        let index = usize::from(self.next()) % names.len();
        names.get(index).and_then(|name| DnsName::parse(name).ok())
    }

    fn outcome(&mut self, kind: RecordKind) -> Outcome {
        // Mostly of the kind that was asked for, so that the way is long.
        let kind = match self.next() {
            0..=9 => RecordKind::Mx,
            10..=19 => RecordKind::Tlsa,
            20..=29 => RecordKind::A,
            _ => kind,
        };
        match self.next() {
            0..=30 => Outcome::Failed(self.failure()),
            31..=50 => Outcome::NoData,
            51..=70 => Outcome::NxDomain,
            71..=100 => self.name().map_or(Outcome::NoData, Outcome::Alias),
            _ => self.records(kind),
        }
    }

    fn failure(&mut self) -> LookupFailure {
        match self.next() % 6 {
            0 => LookupFailure::Bogus,
            1 => LookupFailure::Disagreement,
            2 => LookupFailure::Malformed,
            3 => LookupFailure::ServFail,
            4 => LookupFailure::Timeout,
            _ => LookupFailure::Unusable,
        }
    }

    fn records(&mut self, kind: RecordKind) -> Outcome {
        let count = self.next() % 5;
        match kind {
            RecordKind::A | RecordKind::Aaaa | RecordKind::Cname => {
                let addresses = (0..count).map(|_| {
                    let octets = [self.next(), self.next(), self.next(), self.next()];
                    std::net::IpAddr::from(octets)
                });
                Outcome::Addresses(addresses.collect())
            }
            RecordKind::Mx => {
                let records = (0..count).map(|_| Mx {
                    preference: u16::from(self.next()),
                    target: match (self.next(), self.name()) {
                        (0..=10, _) | (_, None) => MxTarget::Null,
                        (11..=30, _) => MxTarget::Invalid("not a host".to_owned()),
                        (_, Some(name)) => MxTarget::Host(name),
                    },
                });
                Outcome::Mx(records.collect())
            }
            RecordKind::Tlsa => {
                let records = (0..count).map(|_| Tlsa {
                    usage: self.next() % 5,
                    selector: self.next() % 3,
                    matching: self.next() % 4,
                    data: vec![self.next(); if self.next() > 60 { 32 } else { 3 }],
                });
                Outcome::Tlsa(records.collect())
            }
            // No inquiry asks for these.
            RecordKind::Caa | RecordKind::Ns => Outcome::NoData,
            RecordKind::Txt => {
                let texts = (0..count).map(|_| match self.next() {
                    0..=150 => "v=STSv1; id=1;".to_owned(),
                    151..=200 => "v=NTA7516-1;startdate=2024-01;enddate=2027-01".to_owned(),
                    other => format!("v=STSv1; id={other}"),
                });
                Outcome::Txt(texts.collect())
            }
        }
    }

    fn answer(&mut self, kind: RecordKind) -> Answer {
        let state = match self.next() {
            0..=120 => Security::Secure,
            121..=220 => Security::Insecure,
            221..=240 => Security::Bogus,
            _ => Security::Indeterminate,
        };
        let mut answer = Answer::new(self.outcome(kind), state, NOW);
        if self.next() < 8 {
            answer.extended_errors.push(u16::from(self.next() % 30));
        }
        answer
    }

    fn reply(&mut self, ask: &Ask) -> AskReply {
        match ask {
            Ask::Dns(question) => AskReply::Dns(self.answer(question.kind)),
            Ask::Vantage(question) => AskReply::Vantage(vec![VantageView {
                vantage: "elsewhere".to_owned(),
                answer: self.answer(question.kind),
            }]),
            Ask::Policy { .. } if self.next() < 100 => {
                AskReply::Policy(Err(FetchError::Unreachable))
            }
            Ask::Policy { .. } => {
                let mode = if self.next() < 128 {
                    "enforce"
                } else {
                    "testing"
                };
                let body = format!("version: STSv1\nmode: {mode}\nmx: *.example.org\nmax_age: 9\n");
                AskReply::Policy(Ok(FetchedPolicy { body: body.into() }))
            }
        }
    }
}

fn begin(octets: &[u8]) -> Option<(Dice<'_>, Evidence)> {
    let mut dice = Dice(octets.iter().cycle());
    let profile = match dice.next() % 4 {
        0 => Profile::Basic,
        1 => Profile::Standard,
        2 => Profile::Strict,
        _ => Profile::DaneOnly,
    };
    let domain = dice.name()?;
    Some((dice, Evidence::new(domain, profile, MessageFacts::at(NOW))))
}

/// It ends, has reasons, is explained, and is decided the same from what was written down.
pub(crate) fn inquiry(octets: &[u8]) {
    let Some((mut dice, evidence)) = begin(octets) else {
        return;
    };
    let mut inquiry = Inquiry::new(evidence, NOW);
    for _ in 0..ROUNDS_MAX {
        let asks = match inquiry.poll() {
            Step::Ask(asks) => asks,
            Step::Done => return check(inquiry.into_evidence()),
        };
        for ask in asks {
            let reply = dice.reply(&ask);
            inquiry.handle(ask, reply);
        }
    }
    assert!(octets.is_empty(), "the inquiry does not end");
}

/// A session in which a host showed what is no certificate.
fn session(host: &DnsName) -> AttemptReport {
    let peer = PeerFacts {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
        group: "X25519".to_owned(),
        chain: vec![vec![0x30, 0]],
        ehlo: host.to_string(),
        secured: NOW,
    };
    AttemptReport {
        host: host.clone(),
        address: None,
        own_address: None,
        peer: Some(peer),
        proof: None,
        outcome: SessionOutcome::Completed,
        recipients: Vec::new(),
        others: Vec::new(),
        ended: NOW,
        took: std::time::Duration::ZERO,
    }
}

fn check(evidence: Evidence) {
    let policy = StandardPolicy::default();
    let decision = policy.decide(&evidence, NOW);
    assert!(!decision.findings.is_empty() && !decision.sentence().is_empty());
    assert!(!decision.summary().sentence(Language::Dutch).is_empty());
    let tried = [session(&evidence.domain)];
    let explanation = Explanation::new(&evidence, &decision, &tried);
    assert!(!explanation.to_string().is_empty());
    let decided = Decided {
        decision,
        evidence,
        settings: policy.settings().clone(),
    };
    let text = serde_json::to_string(&decided).unwrap_or_default();
    let again = serde_json::from_str::<Decided>(&text);
    assert!(
        again.is_ok_and(|again| again.holds()),
        "it cannot be replayed"
    );
}

/// The checks of NTA 7516 end too.
pub(crate) fn nta(octets: &[u8]) {
    let Some((mut dice, mut evidence)) = begin(octets) else {
        return;
    };
    for _ in 0..ROUNDS_MAX {
        let Err(questions) = nta7516(&evidence, NOW, &NtaSettings::default()) else {
            return;
        };
        for question in questions {
            let answer = dice.answer(question.kind);
            evidence.dns.push(Asked { question, answer });
        }
    }
    assert!(octets.is_empty(), "the checks do not end");
}

/// Lines are the TXT records of a domain: the checks of NTA 7516 read them, and end with words that a terminal bears.
pub(crate) fn nta_record(octets: &[u8]) {
    let Ok(domain) = DnsName::parse("example.org") else {
        return;
    };
    let text = String::from_utf8_lossy(octets);
    let texts: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let mut evidence = Evidence::new(domain, Profile::Standard, MessageFacts::at(NOW));
    for _ in 0..ROUNDS_MAX {
        let questions = match nta7516(&evidence, NOW, &NtaSettings::default()) {
            Err(questions) => questions,
            Ok(findings) => {
                for finding in &findings {
                    assert!(!finding.to_string().contains(char::is_control), "{finding}");
                }
                let announces = text.to_ascii_lowercase().contains("nta7516-1");
                assert!(announces || findings.iter().all(|finding| !finding.holds));
                return;
            }
        };
        for question in questions {
            let outcome = match question.kind {
                RecordKind::Txt => Outcome::Txt(texts.clone()),
                _ => Outcome::NoData,
            };
            let answer = Answer::new(outcome, Security::Secure, NOW);
            evidence.dns.push(Asked { question, answer });
        }
    }
    assert!(octets.is_empty(), "the checks do not end");
}

/// A file to replay may hold anything.
pub(crate) fn replay(octets: &[u8]) {
    if let Ok(decided) = serde_json::from_slice::<Decided>(octets) {
        assert_eq!(decided.again(), decided.again(), "evidence decides alike");
    }
}
