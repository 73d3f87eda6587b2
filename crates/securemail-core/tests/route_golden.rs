//! Runs the decision tables in `tests/golden`: facts, `---`, findings, and the route.
//!
//! The facts are answered to an [`Inquiry`], so what is not asked is not known. Each case states what
//! differs from the usual: names below `example.org` are signed, others are not, hosts have one IPv4
//! address, nothing else is published, the round of attempts began five minutes ago. `BLESS=1` rewrites the expectations; read the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use securemail_core::backend::{
    CachedPolicy, DomainHistory, FetchError, FetchedPolicy, HostHistory, Lack, RecipientOutcome,
    SessionOutcome, Span, TransportPolicy, VantageView,
};
use securemail_core::route::{
    Ask, AskReply, AttemptEvidence, Authentication, Authority, Decision, DeferClass, Effect,
    Evidence, Inquiry, MessageFacts, NoticeRoute, PeerFailure, PolicySettings, Route, Rule,
    StandardPolicy, Step, notice_route,
};
use securemail_core::vocab::{
    Answer, DnsName, EnhancedStatus, LookupFailure, Mx, MxTarget, NtaSettings, Outcome, Profile,
    Question, RecordKind, Reply, Security, Tlsa, UnixTime,
};

const ACCEPTED: UnixTime = UnixTime::from_secs(1_767_225_600);

/// Rules that the policy itself does not consult: the resolver, the transport, the peer check or the
/// intake keeps them, or they forbid something that there is no code for.
const ELSEWHERE: &[&str] = &[
    "MX-22", "MX-23", "M-", "P-06", "P-17", "P-20", "P-21", "P-22", "P-23", "P-25", "P-27", "P-29",
    "X-14", "X-16", "C-02", "C-03", "C-06", "C-09", "C-10", "C-11", "C-12", "C-13", "C-14",
    "CE-02", "CE-05", "CE-06", "CE-10", "CE-11", "CE-12", "CE-15", "CE-16", "CE-17", "R-01",
    "R-04", "R-11", "R-12", "G-01", "G-07", "G-08", "G-09", "F-01",
];

#[test]
fn every_table_holds_and_every_rule_fires() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let mut fired = BTreeSet::new();
    let mut wrong = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let actual = replay(&text, &mut fired);
        if actual == text {
            continue;
        }
        if bless() {
            std::fs::write(&file, &actual).unwrap();
            continue;
        }
        for (line, (is, ought)) in actual.lines().zip(text.lines()).enumerate() {
            if is != ought {
                writeln!(
                    wrong,
                    "{}:{}\n  ought {ought}\n  is    {is}",
                    file.display(),
                    line + 1
                )
                .unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let silent: Vec<&str> = Rule::ALL
        .iter()
        .map(|rule| rule.id())
        .filter(|id| !fired.contains(id) && !ELSEWHERE.iter().any(|skip| id.starts_with(skip)))
        .collect();
    assert!(silent.is_empty(), "no table fires these rules: {silent:?}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the test asks for new tables"
)]
fn bless() -> bool {
    std::env::var("BLESS").is_ok()
}

/// The file again, with what is decided now.
fn replay(text: &str, fired: &mut BTreeSet<&'static str>) -> String {
    let mut out = String::new();
    let mut case = Case::default();
    let mut in_facts = false;
    for line in text.lines() {
        if line.starts_with("== ") {
            case = Case {
                notice_profile: Profile::Basic,
                ..Case::default()
            };
            in_facts = true;
        }
        if line == "---" {
            writeln!(out, "---\n{}", case.decide(fired)).unwrap();
            in_facts = false;
        } else if in_facts || line.is_empty() || line.starts_with('#') {
            writeln!(out, "{line}").unwrap();
            if in_facts && !line.starts_with("== ") && !line.starts_with('#') {
                case.fact(line);
            }
        }
    }
    out
}

#[derive(Default)]
struct Case {
    domain: Option<DnsName>,
    profile: Profile,
    at: Duration,
    port: Option<u16>,
    settings: PolicySettings,
    vault_required: bool,
    no_vault: bool,
    consent: bool,
    require_tls: bool,
    utf8_recipient: bool,
    nta7516: bool,
    notice: bool,
    notice_profile: Profile,
    answers: BTreeMap<Question, Answer>,
    cached: Option<CachedPolicy>,
    fetched: Option<Result<String, FetchError>>,
    vantage: Option<String>,
    confirmed: Option<String>,
    cut_off: Option<String>,
    history: Option<DomainHistory>,
    attempts: Vec<AttemptEvidence>,
}

impl Case {
    fn fact(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["domain", name] => self.domain = Some(host(name)),
            ["profile", name] => {
                self.profile = serde_json::from_str(&format!("\"{name}\"")).unwrap();
            }
            ["at", time] => self.at = duration(time),
            ["port", port] => self.port = Some(port.parse().unwrap()),
            ["own", name] => self.settings.own_hosts.push(host(name)),
            ["allow", network] => self.settings.allow_networks.push(network.parse().unwrap()),
            ["vault", "required"] => self.vault_required = true,
            ["vault", "impossible"] => self.no_vault = true,
            ["sender", "consents"] => self.consent = true,
            ["stable-for", time] => self.settings.stable_for = duration(time),
            ["cut-off", ago] => self.cut_off = Some((*ago).to_owned()),
            ["asked-again", ago] => self.confirmed = Some((*ago).to_owned()),
            ["requiretls"] => self.require_tls = true,
            ["nta7516"] => self.nta7516 = true,
            ["recipient", "in", "utf-8"] => self.utf8_recipient = true,
            ["notice"] => self.notice = true,
            ["notice", "as", "strictly"] => {
                self.notice = true;
                self.notice_profile = self.profile;
            }
            ["policy", rest @ ..] => self.policy(rest),
            ["vantage", what] => self.vantage = Some((*what).to_owned()),
            ["history", rest @ ..] => self.history(rest),
            ["attempt", host_name, ago, outcome] => self.attempt(host_name, ago, outcome),
            ["txt", name, state, ..] => {
                let text = line
                    .split_once('"')
                    .map_or("", |(_, rest)| rest.trim_end_matches('"'));
                let outcome = if text.is_empty() {
                    outcome(RecordKind::Txt, &words[3..])
                } else {
                    Outcome::Txt(text.split('|').map(str::to_owned).collect())
                };
                self.answer(
                    Question::new(host(name), RecordKind::Txt),
                    state,
                    outcome,
                    &[],
                );
            }
            [kind, name, state, values @ ..] => {
                let kind = match *kind {
                    "mx" => RecordKind::Mx,
                    "a" => RecordKind::A,
                    "aaaa" => RecordKind::Aaaa,
                    "tlsa" => RecordKind::Tlsa,
                    other => panic!("unknown fact: {other}"),
                };
                self.answer(
                    Question::new(host(name), kind),
                    state,
                    outcome(kind, values),
                    values,
                );
            }
            _ => panic!("unknown fact: {line}"),
        }
    }

    fn answer(&mut self, question: Question, state: &str, out: Outcome, values: &[&str]) {
        let mut answer = match out {
            Outcome::Failed(failure) => Answer::failed(failure, ACCEPTED),
            out => Answer::new(
                out,
                security(state),
                ACCEPTED.plus(Duration::from_secs(3600)),
            ),
        };
        for value in values {
            if let Some(code) = value.strip_prefix("ede=") {
                answer.extended_errors.push(code.parse().unwrap());
            }
            if *value == "validators=2" {
                answer.validators = 2;
            }
        }
        self.answers.insert(question, answer);
    }

    fn policy(&mut self, words: &[&str]) {
        let body = |mode: &str, hosts: &[&str]| {
            let mx: String = hosts.iter().map(|h| format!("mx: {h}\r\n")).collect();
            format!("version: STSv1\r\nmode: {mode}\r\nmax_age: 86400\r\n{mx}")
        };
        match words {
            ["kept", mode, hosts @ ..] => {
                self.cached = Some(CachedPolicy {
                    id: "1".to_owned(),
                    body: body(mode, hosts),
                    fetched: ACCEPTED.minus(Duration::from_secs(60)),
                    expires: ACCEPTED.plus(Duration::from_secs(864_000)),
                });
            }
            ["expired", mode, hosts @ ..] => {
                self.policy(&[&["kept", mode][..], hosts].concat());
                self.cached.as_mut().unwrap().expires = ACCEPTED.minus(Duration::from_secs(1));
            }
            ["fetched", mode, hosts @ ..] => self.fetched = Some(Ok(body(mode, hosts))),
            ["malformed"] => self.fetched = Some(Ok("version: STSv2\n".to_owned())),
            ["for-now", mode, hosts @ ..] => {
                let body = body(mode, hosts).replace("86400", "0");
                self.fetched = Some(Ok(body));
            }
            ["fails", why] => {
                self.fetched = Some(Err(match *why {
                    "certificate" => FetchError::Certificate,
                    "no-address" => FetchError::NoAddress,
                    "media-type" => FetchError::MediaType,
                    "too-large" => FetchError::TooLarge,
                    "unreachable" => FetchError::Unreachable,
                    status => FetchError::Status(status.parse().unwrap()),
                }));
            }
            other => panic!("unknown policy: {other:?}"),
        }
        let owner = Question::new(self.name().below("_mta-sts").unwrap(), RecordKind::Txt);
        let id = if self.fetched.is_some() { "2" } else { "1" };
        let outcome = Outcome::Txt(vec![format!("v=STSv1; id={id};")]);
        self.answers
            .insert(owner, Answer::new(outcome, Security::Insecure, ACCEPTED));
    }

    fn history(&mut self, words: &[&str]) {
        let now = self.now();
        let history = self.history.get_or_insert_with(DomainHistory::default);
        match words {
            ["mx-secure"] => history.mx_secure_at = Some(ACCEPTED),
            ["mx-secure", ago] => history.mx_secure_at = Some(now.minus(duration(ago))),
            ["sts-enforced"] => history.sts_enforced_until = Some(UnixTime::MAX),
            ["sts-enforced", "until", ago] => {
                history.sts_enforced_until = Some(now.minus(duration(ago)));
            }
            ["mx-set", since, hosts @ ..] => {
                history.mx_set = hosts.iter().map(|name| host(name)).collect();
                history.mx_set_since = Some(now.minus(duration(since)));
            }
            ["no-path", since, rest @ ..] => {
                let (profile, last) = match rest {
                    [] => ("basic", "0s"),
                    ["last", last] => ("basic", *last),
                    ["by", profile] => (*profile, "0s"),
                    other => panic!("unknown history: {other:?}"),
                };
                let profile = serde_json::from_str(&format!("\"{profile}\"")).unwrap();
                history.no_path.insert(profile, span(now, since, last));
            }
            ["no-requiretls", since] => {
                history.no_require_tls = Some(span(now, since, "0s"));
            }
            ["absent", since] => history.absent = Some(span(now, since, "0s")),
            ["absent", since, "last", last] => history.absent = Some(span(now, since, last)),
            ["host", name, authority, authentication, rest @ ..] => {
                let at = match rest {
                    [] => ACCEPTED,
                    [ago, ..] => now.minus(duration(ago)),
                };
                history.hosts.push(HostHistory {
                    host: host(name),
                    authority: authority.parse().unwrap(),
                    authentication: authentication.parse().unwrap(),
                    best_at: at,
                    seen: at,
                });
            }
            other => panic!("unknown history: {other:?}"),
        }
    }

    fn attempt(&mut self, name: &str, ago: &str, what: &str) {
        let failed = SessionOutcome::NotAuthenticated;
        let reply = |code, status| Reply::new(code, status, "as it said");
        let text = || "reason".to_owned();
        let (outcome, recipient) = match what {
            "expired" => (failed(PeerFailure::Expired), None),
            "name" => (failed(PeerFailure::Name), None),
            "untrusted" => (failed(PeerFailure::Untrusted), None),
            "no-tlsa-match" => (failed(PeerFailure::NoTlsaMatch), None),
            "not-named" => (failed(PeerFailure::NotNamed), None),
            "no-certificate" => (failed(PeerFailure::NoCertificate), None),
            "issuer-expired" => (failed(PeerFailure::IssuerExpired), None),
            "misused" => (failed(PeerFailure::Misused(text())), None),
            "weak-key" => (failed(PeerFailure::Certificate(text())), None),
            "no-starttls" => (SessionOutcome::NoStartTls(None), None),
            "starttls-454" => (SessionOutcome::NoStartTls(Some(reply(454, None))), None),
            "starttls-554" => (SessionOutcome::NoStartTls(Some(reply(554, None))), None),
            "injected" => (SessionOutcome::Injected, None),
            "tls-failed" => (SessionOutcome::TlsFailed(text()), None),
            "unreachable" => (SessionOutcome::Unreachable(text()), None),
            "incapable" => (SessionOutcome::Incapable(Lack::Size(10)), None),
            "no-8bitmime" => (SessionOutcome::Incapable(Lack::EightBitMime), None),
            "no-requiretls" => (SessionOutcome::Incapable(Lack::RequireTls), None),
            "no-smtputf8" => (SessionOutcome::Incapable(Lack::SmtpUtf8), None),
            "called-off" => (SessionOutcome::CalledOff, None),
            "not-tried" => (SessionOutcome::Completed, Some(RecipientOutcome::NotTried)),
            "unconfirmed" => (
                SessionOutcome::Completed,
                Some(RecipientOutcome::Unconfirmed),
            ),
            other => {
                let (code, status) = other.split_once('-').unwrap_or((other, ""));
                let status: Vec<u16> = status.split('.').filter_map(|n| n.parse().ok()).collect();
                let status = match status.as_slice() {
                    [class, subject, detail] => Some(EnhancedStatus::new(
                        u8::try_from(*class).unwrap(),
                        *subject,
                        *detail,
                    )),
                    _ => None,
                };
                let reply = reply(code.parse().unwrap(), status);
                let recipient = if reply.is_permanent() {
                    RecipientOutcome::Refused(reply)
                } else {
                    RecipientOutcome::Deferred(reply)
                };
                (SessionOutcome::Completed, Some(recipient))
            }
        };
        let at = self.now().minus(duration(ago));
        self.attempts.push(AttemptEvidence {
            host: host(name),
            at,
            outcome,
            recipient,
        });
    }

    fn name(&self) -> DnsName {
        self.domain.clone().unwrap_or_else(|| host("example.org"))
    }

    fn now(&self) -> UnixTime {
        ACCEPTED.plus(self.at)
    }

    fn evidence(&self) -> Evidence {
        let message = MessageFacts {
            accepted: ACCEPTED,
            round_began: self.now().minus(Duration::from_secs(300)),
            size: 1000,
            vault_required: self.vault_required,
            vault_possible: !self.no_vault,
            divert_on_downgrade: self.consent,
            refusal: None,
            require_tls: self.require_tls,
            utf8_recipient: self.utf8_recipient,
            nta7516: self.nta7516.then(NtaSettings::default),
        };
        let mut evidence =
            Evidence::new(self.name(), self.profile, message).with_port(self.port.unwrap_or(25));
        evidence.sts.cached = self.cached.clone();
        evidence.sts.confirmed =
            (self.confirmed.as_deref()).map(|ago| self.now().minus(duration(ago)));
        evidence.cut_off = (self.cut_off.as_deref()).map(|ago| self.now().minus(duration(ago)));
        evidence.history = self.history.clone();
        evidence.attempts = self.attempts.clone();
        let mut inquiry = Inquiry::new(evidence, self.now());
        for _round in 0..40 {
            match inquiry.poll() {
                Step::Done => return inquiry.into_evidence(),
                Step::Ask(asks) => {
                    for ask in asks {
                        let reply = self.reply(&ask);
                        inquiry.handle(ask, reply);
                    }
                }
            }
        }
        panic!("the inquiry does not end");
    }

    fn reply(&self, ask: &Ask) -> AskReply {
        match ask {
            Ask::Dns(question) => AskReply::Dns(self.resolve(question)),
            Ask::Policy { .. } => AskReply::Policy(match &self.fetched {
                Some(Ok(body)) => Ok(FetchedPolicy {
                    body: body.clone().into(),
                }),
                Some(Err(error)) => Err(error.clone()),
                None => Err(FetchError::Unreachable),
            }),
            Ask::Vantage(question) => AskReply::Vantage(self.view(question)),
        }
    }

    fn view(&self, question: &Question) -> Vec<VantageView> {
        let ours = self.resolve(question);
        let answer = match self.vantage.as_deref() {
            None => return Vec::new(),
            Some("same") => ours,
            Some("fails") => Answer::failed(LookupFailure::Timeout, ACCEPTED),
            Some("other") => {
                let outcome = outcome(RecordKind::Mx, &["mx.elsewhere.example"]);
                Answer::new(outcome, Security::Insecure, ACCEPTED)
            }
            Some(other) => panic!("unknown vantage: {other}"),
        };
        vec![VantageView {
            vantage: "elsewhere".to_owned(),
            answer,
        }]
    }

    fn resolve(&self, question: &Question) -> Answer {
        if let Some(answer) = self.answers.get(question) {
            return answer.clone();
        }
        let signed = question.name.is_inside(&host("example.org"));
        let state = if signed {
            Security::Secure
        } else {
            Security::Insecure
        };
        let outcome = match question.kind {
            RecordKind::A => Outcome::Addresses(vec!["192.0.2.1".parse().unwrap()]),
            RecordKind::Aaaa | RecordKind::Caa | RecordKind::Cname | RecordKind::Ns => {
                Outcome::NoData
            }
            RecordKind::Mx | RecordKind::Tlsa | RecordKind::Txt => Outcome::NxDomain,
        };
        Answer::new(outcome, state, ACCEPTED.plus(Duration::from_secs(3600)))
    }

    fn decide(&self, fired: &mut BTreeSet<&'static str>) -> String {
        let evidence = self.evidence();
        let policy = StandardPolicy::new(self.settings.clone());
        let decision = policy.decide(&evidence, self.now());
        assert_replays(&policy, &evidence, self.now(), &decision);
        fired.extend(decision.findings.iter().map(|finding| finding.rule.id()));
        assert!(!decision.findings.is_empty(), "a decision has reasons");
        let mut out = String::new();
        for finding in &decision.findings {
            let effect = match finding.effect {
                Effect::Admit => "admit",
                Effect::Exclude => "exclude",
                Effect::Hold => "hold",
                Effect::Note => "note",
                Effect::Refuse => "refuse",
            };
            let subject = finding.subject.to_string();
            let line = format!(
                "{:6} {effect:8} {subject:18} {}",
                finding.rule.id(),
                finding.fact
            );
            writeln!(out, "{}", line.trim_end()).unwrap();
        }
        write!(out, "=> {}", route(&decision.route, self.now())).unwrap();
        if self.notice {
            let mut evidence = evidence;
            evidence.profile = self.notice_profile;
            let way = notice_route(&evidence, &decision, self.now(), &self.settings);
            write!(out, "\n=> notice {}", notice(&way)).unwrap();
        }
        out
    }
}

/// Evidence serialises, and gives the same decision again (P4).
fn assert_replays(
    policy: &StandardPolicy,
    evidence: &Evidence,
    now: UnixTime,
    decision: &Decision,
) {
    let text = serde_json::to_string(evidence).unwrap();
    let again: Evidence = serde_json::from_str(&text).unwrap();
    assert_eq!(policy.decide(&again, now), *decision);
    let text = serde_json::to_string(decision).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), *decision);
}

fn route(route: &Route, now: UnixTime) -> String {
    match route {
        Route::Deliver(hops) => {
            let hops: Vec<String> = hops.iter().map(hop_in_short).collect();
            format!("deliver {}", hops.join(", "))
        }
        Route::Vault { reason } => format!("vault {reason:?}"),
        Route::Defer { class, not_before } => {
            let class = match class {
                DeferClass::NoPath => "A no-path",
                DeferClass::Transient => "B transient",
                DeferClass::Suspicious => "C suspicious",
                DeferClass::UnprovedDenial => "D' unproved-denial",
                DeferClass::OwnFault => "F own-fault",
                DeferClass::Unconfirmed => "U unconfirmed",
            };
            format!(
                "hold {class}, again in {}s",
                not_before.since(now).as_secs()
            )
        }
        Route::Bounce { status, rule } => format!("bounce {status} {rule}"),
    }
}

fn hop_in_short(hop: &securemail_core::route::Hop) -> String {
    let authority = match hop.authority {
        Authority::Unsigned => "S0",
        Authority::Corroborated => "S0+",
        Authority::Named => "S1",
        Authority::MtaSts => "S2",
        Authority::Dnssec => "S3",
        Authority::Operator => "operator",
    };
    let how = match &hop.authenticate {
        Authentication::Dane { names, .. } => {
            let names: Vec<&str> = names.iter().map(DnsName::as_str).collect();
            format!("dane({})", names.join("|"))
        }
        Authentication::Pkix { .. } => "pkix".to_owned(),
    };
    let sni = if hop.sni == hop.host {
        String::new()
    } else {
        format!(" sni={}", hop.sni)
    };
    let must = if hop.must_name_domain {
        " must-name-domain"
    } else {
        ""
    };
    let addresses = if hop.addresses.len() == 1 {
        String::new()
    } else {
        format!(" {:?}", hop.addresses)
    };
    format!("{}:{how} {authority}{sni}{must}{addresses}", hop.host)
}

fn notice(way: &NoticeRoute) -> String {
    match way {
        NoticeRoute::Hold { .. } => "held".to_owned(),
        NoticeRoute::Proved(hops) => {
            let hops: Vec<&str> = hops.iter().map(|hop| hop.host.as_str()).collect();
            format!("proved {}", hops.join(", "))
        }
        NoticeRoute::Opportunistic(hops) => {
            let clear = |may: bool| if may { " (or clear)" } else { " (TLS only)" };
            let hops: Vec<String> = hops
                .iter()
                .map(|hop| format!("{}{}", hop.host, clear(hop.may_be_clear)))
                .collect();
            format!("best TLS {}", hops.join(", "))
        }
    }
}

fn outcome(kind: RecordKind, values: &[&str]) -> Outcome {
    use LookupFailure as F;
    let values: Vec<&str> = values
        .iter()
        .filter(|v| !v.contains('=') || v.starts_with("data"))
        .copied()
        .collect();
    let failed = |failure| Outcome::Failed(failure);
    match values.as_slice() {
        ["nodata"] => return Outcome::NoData,
        ["nxdomain"] => return Outcome::NxDomain,
        ["servfail"] => return failed(F::ServFail),
        ["refused"] => return failed(F::Refused),
        ["timeout"] => return failed(F::Timeout),
        ["malformed"] => return failed(F::Malformed),
        ["disagree"] => return failed(F::Disagreement),
        ["unusable"] => return failed(F::Unusable),
        ["bogus"] => return failed(F::Bogus),
        ["alias", target] => return Outcome::Alias(host(target)),
        _ => {}
    }
    match kind {
        RecordKind::Mx => Outcome::Mx(values.iter().enumerate().map(mx).collect()),
        RecordKind::A | RecordKind::Aaaa => Outcome::Addresses(
            values
                .iter()
                .map(|v| v.parse::<IpAddr>().unwrap())
                .collect(),
        ),
        RecordKind::Tlsa => Outcome::Tlsa(values.iter().map(|v| tlsa(v)).collect()),
        RecordKind::Caa | RecordKind::Cname | RecordKind::Ns | RecordKind::Txt => {
            panic!("unknown value: {values:?}")
        }
    }
}

fn mx((index, text): (usize, &&str)) -> Mx {
    let (preference, name) = match text.split_once(':') {
        Some((number, name)) => (number.parse().unwrap(), name),
        None => ((u16::try_from(index).unwrap() + 1) * 10, *text),
    };
    let target = match name {
        "null" => MxTarget::Null,
        name if name.starts_with("!") => MxTarget::Invalid(name[1..].to_owned()),
        name => MxTarget::Host(host(name)),
    };
    Mx { preference, target }
}

/// `3-1-1`: with a digest of the right length; `3-1-1/5`: with that many octets.
fn tlsa(text: &str) -> Tlsa {
    let (text, length) = match text.split_once('/') {
        Some((text, length)) => (text, Some(length.parse::<usize>().unwrap())),
        None => (text, None),
    };
    let numbers: Vec<u8> = text.split('-').map(|n| n.parse().unwrap()).collect();
    let [usage, selector, matching] = numbers[..] else {
        panic!("not a TLSA record: {text}")
    };
    let usual = if matching == 2 { 64 } else { 32 };
    Tlsa {
        usage,
        selector,
        matching,
        data: vec![0xaa; length.unwrap_or(usual)],
    }
}

/// From so long ago until so long ago.
fn span(now: UnixTime, since: &str, last: &str) -> Span {
    Span {
        since: now.minus(duration(since)),
        last: now.minus(duration(last)),
    }
}

fn security(text: &str) -> Security {
    match text {
        "secure" => Security::Secure,
        "insecure" => Security::Insecure,
        "bogus" => Security::Bogus,
        "indeterminate" => Security::Indeterminate,
        other => panic!("unknown state: {other}"),
    }
}

fn host(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        other => panic!("unknown unit: {other}"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * unit)
}
