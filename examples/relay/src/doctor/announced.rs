//! What the relay's own name announces to senders: a policy of MTA-STS, and where reports about TLS go.
//!
//! Neither is on the list of Internet.nl; senders without DANE have only these.

use securemail_core::backend::{PolicyFetcher, Resolver};
use securemail_core::route::{StsMode, StsPolicy, announced_id};
use securemail_core::tlsrpt::report_uris;
use securemail_core::vocab::DnsName;

use super::destinations;
use super::lookup::{Found, texts};
use super::report::{Level, advice, fail, good, unknown};

/// The announcement of a policy, and the policy: its form, its mode, and whether it names all of `hosts`.
pub async fn policy(
    (resolver, fetcher): (&dyn Resolver, &dyn PolicyFetcher),
    domain: &DnsName,
    hosts: &[DnsName],
) -> (Level, String) {
    let texts = match meant(resolver, domain, "_mta-sts", "v=STSv1").await {
        Ok(Some(texts)) => texts,
        Ok(None) => {
            return advice(format!(
                "no policy for senders without DANE; serve one at https://mta-sts.{domain}/.well-known/mta-sts.txt \
                 (RFC 8461) and publish _mta-sts.{domain} TXT \"v=STSv1; id=NUMBER;\""
            ));
        }
        Err(found) => return found,
    };
    if announced_id(&texts).is_none() {
        return fail(format!(
            "_mta-sts.{domain} announces no policy (RFC 8461, section 3.1); write one TXT \"v=STSv1; id=NUMBER;\""
        ));
    }
    let body = match fetcher.fetch(domain).await {
        Ok(fetched) => fetched.body,
        Err(error) => return fail(format!("a policy is announced, but {error}")),
    };
    let policy = match std::str::from_utf8(&body).map(StsPolicy::parse) {
        Ok(Ok(policy)) => policy,
        Ok(Err(defect)) => return fail(format!("a policy is announced, but in it {defect}")),
        Err(_) => return fail("a policy is announced, but it is not text"),
    };
    let unnamed = hosts.iter().find(|host| !policy.names(host));
    match (policy.mode, unnamed) {
        (StsMode::None, _) => advice("mode none: it protects nothing; write mode: enforce"),
        (StsMode::Enforce, Some(host)) => fail(format!(
            "the policy does not name {host}; senders hold what they have for it"
        )),
        (StsMode::Testing, Some(host)) => fail(format!("the policy does not name {host}")),
        (StsMode::Testing, None) => {
            advice("mode testing: faults are reported, and mail goes all the same")
        }
        (StsMode::Enforce, None) => good("mode enforce, and it names every host"),
    }
}

/// Who wants reports about TLS.
pub async fn reports(resolver: &dyn Resolver, domain: &DnsName) -> (Level, String) {
    let texts = match meant(resolver, domain, "_smtp._tls", "v=TLSRPTv1").await {
        Ok(Some(texts)) => texts,
        Ok(None) => {
            return advice(format!(
                "nobody tells you when mail to it fails over TLS; publish _smtp._tls.{domain} TXT \
                 \"v=TLSRPTv1; rua=mailto:ADDRESS\""
            ));
        }
        Err(found) => return found,
    };
    match report_uris(&texts) {
        Some(places) if !places.is_empty() => {
            let lost = destinations::of_tlsrpt(resolver, &places).await;
            lost.unwrap_or_else(|| good(texts.join(" ")))
        }
        _ => fail(format!(
            "_smtp._tls.{domain} asks for no report (RFC 8460, section 3); write one TXT \
             \"v=TLSRPTv1; rua=mailto:ADDRESS\""
        )),
    }
}

/// The texts below `domain` that are meant to be of this version. Others are foreign and do not count (RFC 8461, section
/// 3.1; RFC 8460, section 3). `None` where there is none.
async fn meant(
    resolver: &dyn Resolver,
    domain: &DnsName,
    label: &str,
    version: &str,
) -> Result<Option<Vec<String>>, (Level, String)> {
    let name = domain
        .below(label)
        .map_err(|_| unknown("the name is too long"))?;
    let mut texts = match texts(resolver, &name).await {
        Found::Records(texts, _) => texts,
        Found::Absent(_) => Vec::new(),
        Found::Unknown(why) => return Err(unknown(format!("{name}: {why}"))),
    };
    texts.retain(|text| is_meant(text, version));
    Ok((!texts.is_empty()).then_some(texts))
}

fn is_meant(text: &str, version: &str) -> bool {
    let head = text.trim_start().get(..version.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(version))
}

#[cfg(test)]
mod tests {
    use securemail_core::backend::{FetchError, FetchedPolicy};
    use securemail_core::vocab::{Outcome, RecordKind, Security};
    use securemail_testkit::scripted::ScriptedDns;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn dns(label: &str, texts: &[&str]) -> ScriptedDns {
        let dns = ScriptedDns::default();
        dns.mail(
            &name("relay.example"),
            &[&name("relay.example")],
            Security::Secure,
        );
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        let owner = name("relay.example").below(label).unwrap();
        dns.put(
            &owner,
            RecordKind::Txt,
            Outcome::Txt(texts),
            Security::Secure,
        );
        dns
    }

    async fn policy_level(texts: &[&str], served: Result<&'static str, FetchError>) -> Level {
        let dns = dns("_mta-sts", texts);
        let served = served.map(|body| FetchedPolicy {
            body: body.as_bytes().into(),
        });
        dns.policy(&name("relay.example"), served);
        let hosts = [name("relay.example"), name("mx.relay.example")];
        policy((&dns, &dns), &name("relay.example"), &hosts).await.0
    }

    async fn reports_level(texts: &[&str]) -> Level {
        reports(&dns("_smtp._tls", texts), &name("relay.example"))
            .await
            .0
    }

    const RECORD: &str = "v=STSv1; id=1;";
    const ENFORCE: &str = "version: STSv1\nmode: enforce\nmx: relay.example\n\
                           mx: *.relay.example\nmax_age: 604800\n";

    #[tokio::test]
    async fn an_announcement_is_read_as_senders_read_it() {
        for (texts, level) in [
            (&[RECORD][..], Level::Good),
            (&["hello", RECORD], Level::Good),
            (&[], Level::Advice),
            (&["hello"], Level::Advice),
            (&["v=STSv1"], Level::Fail),
            (&["v=stsv1; id=1;"], Level::Fail),
            (&["v=STSv1; id=a-b;"], Level::Fail),
            (&[RECORD, "v=STSv1; id=2;"], Level::Fail),
        ] {
            assert_eq!(policy_level(texts, Ok(ENFORCE)).await, level, "{texts:?}");
        }
    }

    #[tokio::test]
    async fn an_announced_policy_must_be_there_and_name_every_host() {
        let other = "version: STSv1\nmode: enforce\nmx: relay.example\nmax_age: 604800\n";
        let testing =
            "version: STSv1\nmode: testing\nmx: *.example\nmx: *.relay.example\nmax_age: 604800\n";
        let none = "version: STSv1\nmode: none\nmax_age: 604800\n";
        for (served, level) in [
            (Ok(ENFORCE), Level::Good),
            (Ok(other), Level::Fail),
            (Ok(testing), Level::Advice),
            (Ok(none), Level::Advice),
            (Ok("no policy"), Level::Fail),
            (Err(FetchError::Unreachable), Level::Fail),
            (Err(FetchError::Certificate), Level::Fail),
        ] {
            let said = format!("{served:?}");
            assert_eq!(policy_level(&[RECORD], served).await, level, "{said}");
        }
    }

    #[tokio::test]
    async fn a_wish_for_reports_is_read_as_senders_read_it() {
        let wish = "v=TLSRPTv1; rua=mailto:tls@relay.example";
        for (texts, level) in [
            (&[wish][..], Level::Good),
            (&["hello", wish], Level::Good),
            (&["hello"], Level::Advice),
            (&["v=TLSRPTv1; rua=ftp://relay.example/"], Level::Fail),
            (&["v=TLSRPTv1"], Level::Fail),
            (&[wish, wish], Level::Fail),
        ] {
            assert_eq!(reports_level(texts).await, level, "{texts:?}");
        }
    }
}
