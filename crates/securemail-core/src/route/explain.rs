//! Says a decision in words that anybody understands, and what the domain's owner can do.

use std::fmt;

use super::{
    Authentication, Authority, Decision, DeferClass, Effect, Finding, Hop, Route, Rule, Subject,
    VaultReason,
};

/// The exit code of `check`: 0 direct, 10 vault, 20 refuse, 30 held, 3 could not tell.
#[must_use]
pub fn exit_code(decision: &Decision) -> u8 {
    match &decision.route {
        Route::Deliver(_) => 0,
        // Once confirmed, it goes back to its sender.
        Route::Defer {
            class: DeferClass::NoPath,
            ..
        } if decision.demand_unmet().is_some() => 20,
        // Once confirmed, the vault is where the message goes.
        Route::Vault { .. }
        | Route::Defer {
            class: DeferClass::NoPath,
            ..
        } => 10,
        Route::Bounce { .. } => 20,
        Route::Defer {
            class: DeferClass::OwnFault,
            ..
        } => 3,
        Route::Defer {
            class:
                DeferClass::Suspicious
                | DeferClass::Transient
                | DeferClass::Unconfirmed
                | DeferClass::UnprovedDenial,
            ..
        } => 30,
    }
}

impl Decision {
    /// Where the message goes and why, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let domain = self.domain.shown();
        match &self.route {
            Route::Deliver(hops) => match hops.first() {
                Some(hop) => deliver_sentence(&domain, hop),
                None => format!("Mail for {domain} goes nowhere: no host is left."),
            },
            Route::Vault { reason } => {
                format!(
                    "Mail for {domain} goes into the vault, because {}.",
                    vault_reason(*reason)
                )
            }
            Route::Defer { class, not_before } => format!(
                "Mail for {domain} is held until {not_before}, because {}.",
                self.demand_unmet().unwrap_or_else(|| defer_reason(*class))
            ),
            Route::Bounce { status, rule } => format!(
                "Mail for {domain} goes back to its sender ({status}). {}",
                rule.text()
            ),
        }
    }

    /// Why it waits, where that is because of what the message demands.
    fn demand_unmet(&self) -> Option<&'static str> {
        let is_unmet =
            |found: &Finding| found.rule == Rule::X15 && matches!(found.effect, Effect::Hold);
        self.findings.iter().any(is_unmet).then_some(
            "it demands REQUIRETLS and no mail server fulfils that, which is confirmed once before \
             it goes back to its sender",
        )
    }

    /// What the owner of the domain can do so that mail goes directly, one sentence each.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        if matches!(self.route, Route::Deliver(_)) {
            return Vec::new();
        }
        let mut advice: Vec<String> = Vec::new();
        for text in self
            .findings
            .iter()
            .filter_map(|finding| advice_for(finding, &self.domain.shown()))
        {
            if !advice.contains(&text) {
                advice.push(text);
            }
        }
        advice
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.sentence())?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        let advice = self.advice();
        if !advice.is_empty() {
            writeln!(
                f,
                "It would become direct if the owner of {}",
                self.domain.shown()
            )?;
        }
        for text in advice {
            writeln!(f, "  - {text}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            subject,
            effect,
            fact,
        } = self;
        let mark = match effect {
            Effect::Admit => "+",
            Effect::Exclude => "-",
            Effect::Hold => "!",
            Effect::Note => " ",
            Effect::Refuse => "x",
        };
        write!(f, "{mark} {subject}: {}", rule.text())?;
        if !fact.is_empty() {
            write!(f, " ({fact})")?;
        }
        write!(f, " [{}; {}]", rule.id(), rule.spec())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) | Self::Host(name) => f.write_str(&name.shown()),
            Self::Message => f.write_str("the message"),
        }
    }
}

fn deliver_sentence(domain: &str, hop: &Hop) -> String {
    let host = hop.host.shown();
    let authority = match hop.authority {
        Authority::Operator => "your settings name this host",
        Authority::Dnssec => "the list of mail servers is signed",
        Authority::MtaSts => "the domain's own policy names this host",
        Authority::Named => "the host lies inside the domain itself",
        Authority::Corroborated => "several places on the Internet see the same mail servers",
        Authority::Unsigned if hop.must_name_domain => {
            "its certificate must name the domain itself"
        }
        Authority::Unsigned => "your settings trust the unsigned list of mail servers",
    };
    let proof = match hop.authenticate {
        Authentication::Dane { .. } => "its key is published in signed DNS and will be checked",
        Authentication::Pkix { .. } => {
            "its certificate will be checked against trusted roots and its name"
        }
    };
    format!(
        "Mail for {domain} goes directly to {host} over an encrypted connection, because \
         {authority} and {proof}."
    )
}

const fn vault_reason(reason: VaultReason) -> &'static str {
    match reason {
        VaultReason::DowngradeConsented => {
            "the domain is less safe than before and the sender consents to the vault"
        }
        VaultReason::Incapable => "the receiving host cannot take a message of this kind",
        VaultReason::NoSecurePath => "no mail server of the domain can be proved safe",
        VaultReason::Required => "the sender, the organisation or a scanner requires it",
        VaultReason::Unreachable => "the domain could not be reached for too long",
    }
}

const fn defer_reason(class: DeferClass) -> &'static str {
    match class {
        DeferClass::NoPath => {
            "no mail server of the domain can be proved safe, which is confirmed once before the \
             vault is used"
        }
        DeferClass::OwnFault => "something on our own side is wrong",
        DeferClass::Suspicious => "something is wrong that an attack would look like",
        DeferClass::Transient => "something did not answer",
        DeferClass::Unconfirmed => "it may have arrived already: no answer came to its end",
        DeferClass::UnprovedDenial => {
            "the domain seems to take no mail, without proof, which is confirmed first"
        }
    }
}

/// What would have changed this finding.
fn advice_for(finding: &Finding, domain: &str) -> Option<String> {
    let Finding {
        rule,
        subject,
        effect,
        fact: _,
    } = finding;
    Some(match rule {
        Rule::X15 if *effect == Effect::Exclude => {
            format!(
                "signs the zone of {domain} (DNSSEC), or publishes an MTA-STS policy in mode enforce"
            )
        }
        Rule::R06 => format!("switches on SMTPUTF8 at {subject}"),
        Rule::R08 => format!("switches on REQUIRETLS at {subject}"),
        Rule::C04 | Rule::C05 => format!("switches on STARTTLS at {subject}"),
        Rule::C08 | Rule::C09 => format!("offers TLS 1.2 or 1.3 with current ciphers at {subject}"),
        Rule::Ce01
        | Rule::Ce02
        | Rule::Ce03
        | Rule::Ce04
        | Rule::Ce07
        | Rule::Ce09
        | Rule::Ce13 => format!(
            "gives {subject} a valid certificate of a public authority with that name, or signs \
             its zone (DNSSEC) and publishes a TLSA record for it (DANE)"
        ),
        Rule::X04 | Rule::Ce17 => format!(
            "publishes a TLSA record that matches the certificate which {subject} shows now"
        ),
        Rule::X03 | Rule::X09 => format!("names {subject} in the MTA-STS policy of {domain}"),
        Rule::S02 | Rule::S04 | Rule::S05 | Rule::H01 => {
            format!("signs the zone of {domain} (DNSSEC), or publishes an MTA-STS policy for it")
        }
        Rule::Nta03 => format!("repairs the name servers of {domain}: TXT questions fail"),
        Rule::Nta04 => format!("signs the zone of {domain} (DNSSEC), as NTA 7516 demands"),
        Rule::T02 | Rule::X07 => {
            format!("replaces the TLSA records of {subject} by usable ones, such as 3 1 1")
        }
        Rule::T05 => format!("repairs the name servers of {subject}: TLSA questions fail"),
        Rule::Mx03 | Rule::Mx04 => format!("repairs the signatures (DNSSEC) of {domain}"),
        Rule::Mx05 | Rule::Mx06 => format!("repairs the name servers of {domain}"),
        Rule::Mx18 => format!("gives {subject} a public address"),
        Rule::Ad03 | Rule::Ad04 => format!("gives {subject} an address that can be looked up"),
        _ => return None,
    })
}
