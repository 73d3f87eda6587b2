//! SPF of our own domains (RFC 7208): one record, an end that refuses, and not too many lookups.

use securemail_core::backend::Resolver;
use securemail_core::vocab::DnsName;

use super::lookup::{Found, texts};
use super::report::{Level, advice, fail, good, unknown};

/// Terms that need DNS, at most (RFC 7208, section 4.6.4).
const LOOKUPS_MAX: usize = 10;

/// What is found for `domain`, by check.
pub async fn look(
    resolver: &dyn Resolver,
    domain: &DnsName,
) -> Vec<(&'static str, (Level, String))> {
    let record = match record_of(resolver, domain).await {
        Ok(record) => record,
        Err(found) => return vec![("spf", found)],
    };
    let policy = match judge_end(&record) {
        Some(found) => found,
        None => fail("the record says nothing about other hosts; end it with -all"),
    };
    vec![
        ("spf", good(record.clone())),
        ("spf_policy", policy),
        ("spf_lookups", judge_lookups(resolver, domain, record).await),
    ]
}

/// The one record of a domain.
async fn record_of(resolver: &dyn Resolver, domain: &DnsName) -> Result<String, (Level, String)> {
    let texts = match texts(resolver, domain).await {
        Found::Records(texts, _) => texts,
        Found::Absent(_) => Vec::new(),
        Found::Unknown(why) => return Err(unknown(why)),
    };
    let mut records = texts.into_iter().filter(|text| is_spf(text));
    match (records.next(), records.next()) {
        (Some(record), None) => Ok(record),
        // RFC 7208, section 4.5: more than one is a permanent error.
        (Some(_), Some(_)) => Err(fail("more than one SPF record; receivers then use none")),
        (None, _) => Err(fail(
            "no SPF record; publish one that names the relay's addresses, such as \
             \"v=spf1 ip4:ADDRESS -all\"",
        )),
    }
}

fn is_spf(text: &str) -> bool {
    let mut words = text.split(' ');
    words
        .next()
        .is_some_and(|version| version.eq_ignore_ascii_case("v=spf1"))
}

/// What a record says of hosts that it does not name; `None` where it says nothing.
fn judge_end(record: &str) -> Option<(Level, String)> {
    let terms = || record.split_ascii_whitespace().skip(1);
    let is_all = |term: &&str| term.trim_start_matches(['+', '-', '~', '?']) == "all";
    match terms().find(is_all) {
        Some("-all" | "~all") => Some(good("other hosts are refused or doubted")),
        Some("?all") => Some(fail(
            "?all says nothing about other hosts; write -all or ~all",
        )),
        Some(_) => Some(fail(
            "+all allows every host of the Internet; write -all or ~all",
        )),
        None => terms()
            .any(|term| term.to_ascii_lowercase().starts_with("redirect="))
            .then(|| good("another record decides (redirect)")),
    }
}

/// Counts the terms that need DNS, through includes and redirects.
async fn judge_lookups(
    resolver: &dyn Resolver,
    domain: &DnsName,
    record: String,
) -> (Level, String) {
    let mut waiting = vec![record];
    let mut seen = vec![domain.clone()];
    let mut count = 0;
    while let Some(record) = waiting.pop() {
        for term in record.split_ascii_whitespace().skip(1) {
            let Some(next) = asks(term) else { continue };
            count += 1;
            if count > LOOKUPS_MAX {
                return fail(format!(
                    "more than {LOOKUPS_MAX} terms need a lookup; receivers then use none of them"
                ));
            }
            let Some(name) = next else { continue };
            // A macro in the name depends on the mail; what is behind it cannot be counted.
            let Ok(name) = DnsName::parse(name) else {
                continue;
            };
            if seen.contains(&name) {
                return fail(format!("{name} is included in a circle"));
            }
            match record_of(resolver, &name).await {
                Ok(record) => waiting.push(record),
                Err((Level::Unknown, why)) => return unknown(format!("{name}: {why}")),
                Err((_, why)) => return fail(format!("{name} is included: {why}")),
            }
            seen.push(name);
        }
    }
    match count {
        LOOKUPS_MAX => advice(format!(
            "{count} terms need a lookup: the most that is allowed"
        )),
        _ => good(format!("{count} of at most {LOOKUPS_MAX}")),
    }
}

/// Whether a term needs DNS, and of which name it uses the record.
fn asks(term: &str) -> Option<Option<&str>> {
    let term = term.trim_start_matches(['+', '-', '~', '?']);
    let (name, value) = match term.split_once([':', '=', '/']) {
        Some((name, value)) => (name, value),
        None => (term, ""),
    };
    match name.to_ascii_lowercase().as_str() {
        "include" | "redirect" => Some(Some(value)),
        "a" | "mx" | "ptr" | "exists" => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_allows_everybody_is_wrong() {
        let level = |record| judge_end(record).map(|(level, _)| level);
        assert_eq!(level("v=spf1 mx -all"), Some(Level::Good));
        assert_eq!(level("v=spf1 mx ~all"), Some(Level::Good));
        assert_eq!(level("v=spf1 redirect=_spf.example.org"), Some(Level::Good));
        assert_eq!(level("v=spf1 mx ?all"), Some(Level::Fail));
        assert_eq!(level("v=spf1 mx +all"), Some(Level::Fail));
        assert_eq!(level("v=spf1 mx all"), Some(Level::Fail));
        assert_eq!(level("v=spf1 mx"), None);
    }

    #[test]
    fn terms_that_need_dns_are_told_from_others() {
        assert_eq!(
            asks("include:_spf.example.org"),
            Some(Some("_spf.example.org"))
        );
        assert_eq!(asks("redirect=example.org"), Some(Some("example.org")));
        assert_eq!(asks("?a/24"), Some(None));
        assert_eq!(asks("mx"), Some(None));
        assert_eq!(asks("ip4:192.0.2.1"), None);
        assert_eq!(asks("-all"), None);
    }
}
