//! What a name says of mail that it does not send or does not take (RFC 7505; RFC 7208, section 10.1; Internet.nl).

use securemail_core::backend::Resolver;
use securemail_core::vocab::{DnsName, Mx};

use super::lookup::{Found, exchangers, takes_no_mail};
use super::report::{Level, Report, advice, fail, good, unknown};
use super::{dmarc, spf};

/// Whether answers to mail from `domain` arrive: a domain that sends must take mail.
pub async fn of_sender(resolver: &dyn Resolver, domain: &DnsName) -> (Level, String) {
    let found = exchangers(resolver, domain).await;
    match &found {
        Found::Unknown(why) => return unknown(why.clone()),
        Found::Records(records, _) if is_null_among_others(records) => {
            return fail("a null MX stands beside others; receivers may refuse or lose its mail");
        }
        Found::Records(..) | Found::Absent(_) => {}
    }
    match takes_no_mail(resolver, domain, &found).await {
        None => good("answers to its mail find a host"),
        // RFC 7505, section 4.2.
        Some(why) => fail(format!(
            "{why}, so answers are lost and receivers may refuse what it sends"
        )),
    }
}

/// RFC 7505, section 3: a null MX stands alone.
pub fn is_null_among_others(records: &[Mx]) -> bool {
    records.iter().any(Mx::is_null) && !records.iter().all(Mx::is_null)
}

/// Looks at a name of ours that is for the web alone.
pub async fn look_at_web(resolver: &dyn Resolver, host: &DnsName) -> Report {
    let mut report = Report::default();
    report.add(host, "null_mx", takes_nothing(resolver, host).await);
    report.add(host, "spf_policy", sends_nothing(resolver, host).await);
    for (check, (level, text)) in dmarc::look(resolver, host).await {
        // Whoever forges such a name must be refused; but nobody's mail is lost meanwhile.
        let level = if level == Level::Fail {
            Level::Advice
        } else {
            level
        };
        report.add(host, check, (level, text));
    }
    report
}

async fn takes_nothing(resolver: &dyn Resolver, host: &DnsName) -> (Level, String) {
    match exchangers(resolver, host).await {
        Found::Unknown(why) => unknown(why),
        Found::Records(records, _) if is_null_among_others(&records) => {
            fail("a null MX stands beside others")
        }
        Found::Records(records, _) if records.iter().any(Mx::is_null) => {
            good("it says that it takes no mail")
        }
        Found::Records(..) => good("it takes mail elsewhere"),
        Found::Absent(_) => advice(format!(
            "it takes no mail and does not say so; publish {host} MX 0 ."
        )),
    }
}

async fn sends_nothing(resolver: &dyn Resolver, host: &DnsName) -> (Level, String) {
    match spf::record_of(resolver, host).await {
        Ok(record) if spf::refuses_all(&record) => good("it says that it sends no mail"),
        Err((Level::Unknown, why)) => unknown(why),
        Ok(_) | Err(_) => advice(format!(
            "it sends no mail and does not say so; publish {host} TXT \"v=spf1 -all\""
        )),
    }
}

#[cfg(test)]
mod tests {
    use securemail_core::vocab::{LookupFailure, MxTarget, Outcome, RecordKind, Security};
    use securemail_testkit::scripted::ScriptedDns;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn exchange(dns: &ScriptedDns, owner: &str, targets: &[MxTarget]) {
        let records = targets.iter().map(|target| Mx {
            preference: 0,
            target: target.clone(),
        });
        let records = Outcome::Mx(records.collect());
        dns.put(&name(owner), RecordKind::Mx, records, Security::Secure);
    }

    fn text(dns: &ScriptedDns, owner: &str, text: &str) {
        let texts = Outcome::Txt(vec![text.to_owned()]);
        dns.put(&name(owner), RecordKind::Txt, texts, Security::Secure);
    }

    #[tokio::test]
    async fn a_domain_that_sends_must_take_mail() {
        let dns = ScriptedDns::default();
        let level = async |dns: &ScriptedDns| of_sender(dns, &name("example.org")).await.0;
        assert_eq!(level(&dns).await, Level::Fail, "neither MX nor address");
        let host = MxTarget::Host(name("mx.example.org"));
        exchange(&dns, "example.org", std::slice::from_ref(&host));
        assert_eq!(level(&dns).await, Level::Good);
        exchange(&dns, "example.org", &[MxTarget::Null, host]);
        assert_eq!(level(&dns).await, Level::Fail, "not alone");
        exchange(&dns, "example.org", &[MxTarget::Null]);
        assert_eq!(level(&dns).await, Level::Fail, "null");
        dns.fail(&name("example.org"), RecordKind::Mx, LookupFailure::Timeout);
        assert_eq!(level(&dns).await, Level::Unknown);
    }

    #[tokio::test]
    async fn a_name_for_the_web_says_that_it_neither_sends_nor_takes_mail() {
        use Level::{Advice, Good};
        let dns = ScriptedDns::default();
        let levels = async |dns: &ScriptedDns| {
            let report = look_at_web(dns, &name("web.example.org")).await;
            let levels = report.findings.iter().map(|one| one.level);
            levels.collect::<Vec<_>>()
        };
        assert_eq!(levels(&dns).await, [Advice; 3], "nothing is said");
        exchange(&dns, "web.example.org", &[MxTarget::Null]);
        text(&dns, "web.example.org", "v=spf1 -all");
        text(&dns, "_dmarc.example.org", "v=DMARC1; p=reject");
        assert_eq!(levels(&dns).await, [Good; 4]);
        text(&dns, "web.example.org", "v=spf1 mx -all");
        text(&dns, "_dmarc.example.org", "v=DMARC1; p=none");
        assert_eq!(levels(&dns).await, [Good, Advice, Good, Advice]);
    }
}
