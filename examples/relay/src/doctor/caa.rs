//! Who may issue certificates for our names (RFC 8659; for S/MIME RFC 9495; Internet.nl, `mail_caa`).
//!
//! Nothing fails without these records; with them a CA that was tricked has one more reason to refuse.

use securemail_core::backend::Resolver;
use securemail_core::vocab::{Caa, DnsName};

use super::lookup::{Found, caa, upwards};
use super::report::{Level, advice, good, unknown};

/// The tags that a CA knows: RFC 8659, RFC 9495, the Baseline Requirements, and that for marks.
const KNOWN: &[&str] = &[
    "issue",
    "issuewild",
    "iodef",
    "issuemail",
    "issuevmc",
    "contactemail",
    "contactphone",
];

/// Whose certificates TLS of `host` needs.
pub async fn of_host(resolver: &dyn Resolver, host: &DnsName) -> (Level, String) {
    let (owner, properties) = match relevant(resolver, host).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return advice(format!(
                "any CA may issue a certificate for it; publish {host} CAA 0 issue \"YOUR-CA\""
            ));
        }
        Err(why) => return unknown(why),
    };
    if let Some(tag) = stops_everybody(&properties) {
        return advice(format!(
            "{owner} marks \"{tag}\" as critical, which CAs do not know, so none issues anything"
        ));
    }
    match allowed(&properties, "issue") {
        None => advice(format!(
            "{owner} has CAA records and none with issue, so any CA may issue a certificate for it"
        )),
        Some(cas) if cas.is_empty() => good(format!("{owner} lets no CA issue a certificate")),
        Some(cas) => good(format!("{owner} lets only {} issue", cas.join(", "))),
    }
}

/// Whether it is said who may issue certificates for the mail addresses of `domain`, and for its mark.
pub async fn of_mail(resolver: &dyn Resolver, domain: &DnsName) -> (Level, String) {
    let (owner, properties) = match relevant(resolver, domain).await {
        // A set of its own would take the place of that above, so what is missing belongs into that one.
        Ok(found) => found.unwrap_or_else(|| (domain.clone(), Vec::new())),
        Err(why) => return unknown(why),
    };
    let missing: Vec<String> = [("issuemail", "S/MIME"), ("issuevmc", "marks")]
        .into_iter()
        .filter(|(tag, _)| allowed(&properties, tag).is_none())
        .map(|(tag, what)| format!("{owner} CAA 0 {tag} \";\" (no certificates for {what})"))
        .collect();
    if missing.is_empty() {
        return good("it is said who may issue certificates for addresses and marks");
    }
    advice(format!(
        "any CA may issue certificates for its addresses or its mark; publish {}, or name a CA there",
        missing.join(" and ")
    ))
}

/// The properties that count for a name: its own, or those of the closest name above that has any (RFC 8659, section 3).
async fn relevant(
    resolver: &dyn Resolver,
    name: &DnsName,
) -> Result<Option<(DnsName, Vec<Caa>)>, String> {
    for owner in upwards(name) {
        match caa(resolver, &owner).await {
            Found::Records(properties, _) => return Ok(Some((owner, properties))),
            Found::Absent(_) => {}
            Found::Unknown(why) => return Err(format!("CAA of {owner}: {why}")),
        }
    }
    Ok(None)
}

/// A tag that is critical and that CAs do not know (RFC 8659, section 4.1).
fn stops_everybody(properties: &[Caa]) -> Option<&str> {
    let mut strange = properties
        .iter()
        .filter(|one| one.is_critical && !KNOWN.contains(&one.tag.as_str()));
    strange.next().map(|one| one.tag.as_str())
}

/// Who is named under a tag, without parameters; `None` where the tag is not there.
fn allowed<'a>(properties: &'a [Caa], tag: &str) -> Option<Vec<&'a str>> {
    let of_tag: Vec<&Caa> = properties.iter().filter(|one| one.tag == tag).collect();
    if of_tag.is_empty() {
        return None;
    }
    let names = of_tag.iter().filter_map(|one| one.value.split(';').next());
    Some(
        names
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use securemail_core::vocab::{LookupFailure, Outcome, RecordKind, Security};
    use securemail_testkit::scripted::ScriptedDns;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    fn put(dns: &ScriptedDns, owner: &str, properties: &[(&str, &str)]) {
        let properties = properties.iter().map(|(tag, value)| Caa {
            is_critical: tag.ends_with('!'),
            tag: tag.trim_end_matches('!').to_owned(),
            value: (*value).to_owned(),
        });
        let found = Outcome::Caa(properties.collect());
        dns.put(&name(owner), RecordKind::Caa, found, Security::Secure);
    }

    async fn host(dns: &ScriptedDns) -> (Level, String) {
        of_host(dns, &name("mx.example.org")).await
    }

    #[tokio::test]
    async fn the_closest_records_count_and_must_name_who_issues() {
        let dns = ScriptedDns::default();
        assert_eq!(host(&dns).await.0, Level::Advice, "none");
        put(&dns, "org", &[("issue", "ca.test")]);
        assert_eq!(host(&dns).await.0, Level::Good, "of the top");
        put(&dns, "example.org", &[("iodef", "mailto:x@example.org")]);
        assert_eq!(host(&dns).await.0, Level::Advice, "closer, and no issue");
        put(
            &dns,
            "mx.example.org",
            &[("issue", "ca.test; account=1"), ("issue", ";")],
        );
        let (level, text) = host(&dns).await;
        assert_eq!(level, Level::Good);
        assert_eq!(text, "mx.example.org lets only ca.test issue");
        put(
            &dns,
            "mx.example.org",
            &[("issue", "ca.test"), ("odd!", "")],
        );
        assert_eq!(host(&dns).await.0, Level::Advice, "critical");
        dns.fail(
            &name("mx.example.org"),
            RecordKind::Caa,
            LookupFailure::ServFail,
        );
        assert_eq!(host(&dns).await.0, Level::Unknown);
    }

    #[tokio::test]
    async fn who_may_issue_for_addresses_is_said_apart() {
        let dns = ScriptedDns::default();
        let level = async |dns: &ScriptedDns| of_mail(dns, &name("example.org")).await.0;
        assert_eq!(level(&dns).await, Level::Advice);
        put(
            &dns,
            "example.org",
            &[("issue", "ca.test"), ("issuevmc", ";")],
        );
        let (found, text) = of_mail(&dns, &name("example.org")).await;
        assert_eq!(found, Level::Advice);
        assert!(
            text.contains("issuemail") && !text.contains("issuevmc"),
            "{text}"
        );
        put(
            &dns,
            "example.org",
            &[("issuemail", ";"), ("issuevmc", ";")],
        );
        assert_eq!(level(&dns).await, Level::Good);
        dns.fail(
            &name("example.org"),
            RecordKind::Caa,
            LookupFailure::Timeout,
        );
        assert_eq!(level(&dns).await, Level::Unknown);
    }
}
