//! DMARC of our own domains (RFC 7489, and RFC 9989 that follows it): one record, and a policy that refuses.
//!
//! Where a name has no record, that of the Organizational Domain speaks for it. RFC 7489 finds that domain with a list
//! of public suffixes, which we do not have; so the names above are walked as RFC 9989 does it (section 4.10). Both
//! come to the same record except below suffixes that publish records themselves.

use std::collections::BTreeMap;

use securemail_core::backend::Resolver;
use securemail_core::vocab::DnsName;

use super::destinations;
use super::lookup::{Found, texts, upwards};
use super::report::{Level, advice, fail, good, unknown};

/// A longer name is cut to one label less than these (RFC 9989, section 4.10).
const LABELS_MAX: usize = 8;

/// What is found for `domain`, by check.
pub async fn look(
    resolver: &dyn Resolver,
    domain: &DnsName,
) -> Vec<(&'static str, (Level, String))> {
    let (owner, record) = match published(resolver, domain).await {
        Err(found) => return vec![("dmarc", found)],
        Ok(Published { owner, record }) => (owner, record),
    };
    let (found, policy) = if owner == *domain {
        (good(record.clone()), judge(&record, &["p"]))
    } else {
        let found = good(format!("{owner} speaks for it: {record}"));
        (found, judge(&record, &["sp", "p"]))
    };
    let mut found = vec![("dmarc", found), ("dmarc_policy", policy)];
    if let Some(reports) = destinations::of_dmarc(resolver, &owner, &tags(&record)).await {
        found.push(("dmarc_reports", reports));
    }
    found
}

/// A record, and whose it is.
struct Published {
    owner: DnsName,
    record: String,
}

/// The record that counts for a domain (RFC 7489, section 6.6.3; RFC 9989, section 4.10.1).
async fn published(
    resolver: &dyn Resolver,
    domain: &DnsName,
) -> Result<Published, (Level, String)> {
    if let Some(record) = record_of(resolver, domain).await? {
        let owner = domain.clone();
        return Ok(Published { owner, record });
    }
    walk(resolver, domain).await?.ok_or_else(|| {
        fail(format!(
            "no DMARC record; publish _dmarc.{domain} TXT \"v=DMARC1; p=reject; rua=mailto:ADDRESS\""
        ))
    })
}

/// The record above a domain that speaks for it (RFC 9989, section 4.10).
async fn walk(
    resolver: &dyn Resolver,
    domain: &DnsName,
) -> Result<Option<Published>, (Level, String)> {
    // Of the records above, that with the fewest labels counts, which is the last one.
    let mut last: Option<Published> = None;
    for owner in above(domain) {
        let Some(record) = record_of(resolver, &owner).await? else {
            continue;
        };
        let suffix = tags(&record).remove("psd");
        let found = Published { owner, record };
        match suffix.as_deref() {
            // The Organizational Domain lies one label below a public suffix, which speaks where that one does not.
            Some("y") => {
                let labels = found.owner.labels().count() + 1;
                let below = last.filter(|last| last.owner.labels().count() == labels);
                return Ok(Some(below.unwrap_or(found)));
            }
            Some("n") => return Ok(Some(found)),
            _ => last = Some(found),
        }
    }
    Ok(last)
}

/// The names above `domain` that are asked, the longest first.
fn above(domain: &DnsName) -> Vec<DnsName> {
    let mut names = upwards(domain);
    let asked = names.len().min(LABELS_MAX).saturating_sub(1);
    names.drain(..names.len() - asked);
    names
}

/// The Organizational Domain of a name (RFC 9989, section 4.10.2); the name itself where nothing is published above.
pub async fn organization(resolver: &dyn Resolver, domain: &DnsName) -> Result<DnsName, String> {
    let why = |(_, why): (Level, String)| why;
    let own = record_of(resolver, domain).await.map_err(why)?;
    let own = own.map(|record| tags(&record).remove("psd").unwrap_or_default());
    if own.is_some_and(|psd| psd == "n" || psd == "y") {
        return Ok(domain.clone());
    }
    let found = walk(resolver, domain).await.map_err(why)?;
    let Some(Published { owner, record }) = found else {
        return Ok(domain.clone());
    };
    if tags(&record).get("psd").is_none_or(|psd| psd != "y") {
        return Ok(owner);
    }
    // One label below the public suffix.
    let labels = owner.labels().count() + 1;
    let below = upwards(domain).into_iter();
    let mut below = below.filter(|name| name.labels().count() == labels);
    Ok(below.next().unwrap_or_else(|| domain.clone()))
}

/// The record that stands at a domain itself.
async fn record_of(
    resolver: &dyn Resolver,
    domain: &DnsName,
) -> Result<Option<String>, (Level, String)> {
    let Ok(name) = domain.below("_dmarc") else {
        return Err(unknown("the name is too long"));
    };
    let texts = match texts(resolver, &name).await {
        Found::Records(texts, _) => texts,
        Found::Absent(_) => return Ok(None),
        Found::Unknown(why) => return Err(unknown(format!("{name}: {why}"))),
    };
    let mut records = texts.into_iter().filter(|text| is_dmarc(text));
    match (records.next(), records.next()) {
        (record, None) => Ok(record),
        (_, Some(_)) => Err(fail(format!(
            "{name} has more than one DMARC record; receivers then use none"
        ))),
    }
}

pub fn is_dmarc(text: &str) -> bool {
    text.split(';').next().is_some_and(|first| {
        first
            .split_once('=')
            .is_some_and(|(tag, value)| tag.trim() == "v" && value.trim() == "DMARC1")
    })
}

/// Judges the first of these tags that a record has.
fn judge(record: &str, wanted: &[&str]) -> (Level, String) {
    let tags = tags(record);
    let Some((tag, policy)) = wanted
        .iter()
        .find_map(|tag| Some((tag, tags.get(*tag)?.as_str())))
    else {
        return fail("no policy; write p=quarantine or p=reject");
    };
    // Both make a policy count one step less: `t` for receivers of RFC 9989 (section 4.7), and `pct`, which that one
    // dropped, for receivers of RFC 7489 (section 6.6.4).
    let percent = tags.get("pct").and_then(|value| value.parse::<u8>().ok());
    let lowered = match percent {
        _ if tags.get("t").is_some_and(|value| value == "y") => Some("t=y"),
        Some(0) => Some("pct=0"),
        _ => None,
    };
    let is_partial = percent.is_some_and(|percent| (1..100).contains(&percent));
    match (policy, lowered) {
        ("reject", None) => good(format!("{tag}=reject")),
        ("reject", Some(by)) => good(format!(
            "{tag}=reject with {by}, which counts as quarantine"
        )),
        ("quarantine", Some(by)) => fail(format!("{by} makes {tag}=quarantine count for nothing")),
        ("quarantine", None) if is_partial => {
            advice("pct lets part of forged mail through at some receivers; leave it out")
        }
        ("quarantine", None) => good(format!("{tag}=quarantine")),
        ("none", _) => fail(format!(
            "{tag}=none lets forged mail through; write {tag}=quarantine or {tag}=reject"
        )),
        _ => fail(format!(
            "{tag} is no policy that receivers know; write {tag}=quarantine or {tag}=reject"
        )),
    }
}

/// Tags of a `tag=value;` list, names and values in lower case.
fn tags(record: &str) -> BTreeMap<String, String> {
    let pairs = record.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(tag, value)| {
            let tidy = |text: &str| text.trim().to_ascii_lowercase();
            (tidy(tag), tidy(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use securemail_core::vocab::{LookupFailure, Outcome, RecordKind, Security};
    use securemail_testkit::scripted::ScriptedDns;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }

    /// The level of each check for `mail.care.example.org`, with a record at each of these domains.
    async fn levels(records: &[(&str, &str)]) -> Vec<Level> {
        let found = look(&dns(records), &name("mail.care.example.org")).await;
        found.into_iter().map(|(_, (level, _))| level).collect()
    }

    fn dns(records: &[(&str, &str)]) -> ScriptedDns {
        let dns = ScriptedDns::default();
        for (domain, text) in records {
            let owner = name(domain).below("_dmarc").unwrap();
            let texts = Outcome::Txt(text.split(" + ").map(str::to_owned).collect());
            dns.put(&owner, RecordKind::Txt, texts, Security::Secure);
        }
        dns
    }

    #[tokio::test]
    async fn an_organization_is_found_from_below_and_ends_at_a_public_suffix() {
        let organization = async |records: &[(&str, &str)]| {
            let found = organization(&dns(records), &name("mail.care.example.org")).await;
            found.unwrap().to_string()
        };
        assert_eq!(organization(&[]).await, "mail.care.example.org");
        let top = ("example.org", "v=DMARC1; p=reject");
        assert_eq!(organization(&[top]).await, "example.org");
        let own = ("mail.care.example.org", "v=DMARC1; p=reject");
        assert_eq!(organization(&[own, top]).await, "example.org");
        let alone = ("mail.care.example.org", "v=DMARC1; p=reject; psd=n");
        assert_eq!(organization(&[alone, top]).await, "mail.care.example.org");
        let suffix = ("org", "v=DMARC1; p=none; psd=y");
        assert_eq!(organization(&[suffix]).await, "example.org");
    }

    const BOTH: [Level; 2] = [Level::Good, Level::Good];
    const HARMLESS: [Level; 2] = [Level::Good, Level::Fail];

    #[test]
    fn a_policy_that_does_nothing_is_wrong() {
        let level = |record| judge(record, &["p"]).0;
        assert_eq!(level("v=DMARC1; p=reject"), Level::Good);
        assert_eq!(
            level("v=DMARC1;p=quarantine; rua=mailto:d@example.org"),
            Level::Good
        );
        assert_eq!(level("v=DMARC1; p=none"), Level::Fail);
        assert_eq!(level("v=DMARC1; p=quarantine; t=y"), Level::Fail);
        assert_eq!(level("v=DMARC1; p=reject; t=y"), Level::Good);
        assert_eq!(level("v=DMARC1; p=quarantine; pct=0"), Level::Fail);
        assert_eq!(level("v=DMARC1; p=reject; pct=0"), Level::Good);
        assert_eq!(level("v=DMARC1; p=quarantine; pct=50"), Level::Advice);
        assert_eq!(level("v=DMARC1; p=quarantine; pct=100"), Level::Good);
        assert_eq!(level("v=DMARC1"), Level::Fail);
        assert!(is_dmarc("v = DMARC1; p=none"));
        assert!(!is_dmarc("v=DMARC2; p=none"));
    }

    #[tokio::test]
    async fn where_a_name_has_no_record_its_organization_speaks_for_it() {
        let organization = "example.org";
        for (record, expected) in [
            ("v=DMARC1; p=reject", BOTH),
            ("v=DMARC1; p=none; sp=reject", BOTH),
            ("v=DMARC1; p=reject; sp=none", HARMLESS),
            ("v=DMARC1; p=none", HARMLESS),
        ] {
            let levels = levels(&[(organization, record)]).await;
            assert_eq!(levels, expected, "{record}");
        }
        assert_eq!(levels(&[]).await, [Level::Fail]);
        let found = look(&dns(&[]), &name("mail.care.example.org")).await;
        let text = &found[0].1.1;
        assert!(text.contains("_dmarc.mail.care.example.org TXT"), "{text}");
    }

    #[tokio::test]
    async fn the_name_itself_comes_first_and_its_own_policy_counts() {
        let own = ("mail.care.example.org", "v=DMARC1; p=reject; sp=none");
        let organization = ("example.org", "v=DMARC1; p=none");
        assert_eq!(levels(&[own, organization]).await, BOTH);
    }

    #[tokio::test]
    async fn of_several_above_the_one_with_the_fewest_labels_counts() {
        let middle = ("care.example.org", "v=DMARC1; p=none");
        let top = ("example.org", "v=DMARC1; p=reject");
        assert_eq!(levels(&[middle, top]).await, BOTH);
        let stop = ("care.example.org", "v=DMARC1; p=none; psd=n");
        assert_eq!(levels(&[stop, top]).await, HARMLESS);
        let suffix = ("org", "v=DMARC1; p=none; psd=y");
        assert_eq!(levels(&[top, suffix]).await, BOTH);
        let suffix = ("org", "v=DMARC1; p=reject; psd=y");
        assert_eq!(levels(&[middle, suffix]).await, BOTH);
    }

    #[tokio::test]
    async fn several_records_or_none_that_can_be_read_are_no_policy() {
        let twice = ("example.org", "v=DMARC1; p=reject + v=DMARC1; p=none");
        assert_eq!(levels(&[twice]).await, [Level::Fail]);
        let foreign = ("example.org", "hello + v=DMARC1; p=reject");
        assert_eq!(levels(&[foreign]).await, BOTH);
        let dns = dns(&[]);
        let owner = name("_dmarc.example.org");
        dns.fail(&owner, RecordKind::Txt, LookupFailure::Timeout);
        let found = look(&dns, &name("mail.care.example.org")).await;
        assert_eq!(found[0].1.0, Level::Unknown);
    }

    #[test]
    fn a_long_name_is_walked_in_eight_steps() {
        let asked = |domain: &str| {
            let names = above(&name(domain));
            names.iter().map(DnsName::to_string).collect::<Vec<_>>()
        };
        assert_eq!(asked("a.example.org"), ["example.org", "org"]);
        let long = asked("a.b.c.d.e.f.g.h.i.org");
        assert_eq!(long.len(), 7);
        assert_eq!(long[0], "d.e.f.g.h.i.org");
    }
}
