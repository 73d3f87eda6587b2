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
    vec![
        ("spf", good(record.clone())),
        ("spf_policy", judge_end(resolver, record.clone()).await),
        ("spf_lookups", judge_lookups(resolver, record).await),
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

/// What counts of a record. Names of terms have no case (RFC 7208, section 4.6.1).
#[derive(Debug, Default, Eq, PartialEq)]
struct Terms<'a> {
    /// What must be looked up: terms before `all`, which nothing after it is reached from (section 5.1).
    asking: Vec<Asking<'a>>,
    /// The qualifier of `all`.
    all: Option<char>,
    /// Where the record goes on; counts only without `all` (section 6.1).
    redirect: Option<&'a str>,
}

/// A term that needs DNS.
#[derive(Debug, Eq, PartialEq)]
enum Asking<'a> {
    /// The record of this name is used as well.
    Include(&'a str),
    /// Addresses, hosts, or whether there is anything.
    Other,
}

impl<'a> Terms<'a> {
    fn read(record: &'a str) -> Self {
        let mut terms = Self::default();
        for term in record.split_ascii_whitespace().skip(1) {
            let mut signs = term.chars();
            let (qualifier, rest) = match signs.next() {
                Some(sign @ ('+' | '-' | '~' | '?')) => (sign, signs.as_str()),
                _ => ('+', term),
            };
            let (name, value) = rest.split_once([':', '=', '/']).unwrap_or((rest, ""));
            let is_reached = terms.all.is_none();
            match name.to_ascii_lowercase().as_str() {
                "all" => terms.all = terms.all.or(Some(qualifier)),
                "redirect" => terms.redirect = terms.redirect.or(Some(value)),
                "include" if is_reached => terms.asking.push(Asking::Include(value)),
                "a" | "mx" | "ptr" | "exists" if is_reached => terms.asking.push(Asking::Other),
                _ => {}
            }
        }
        if terms.all.is_some() {
            terms.redirect = None;
        }
        terms
    }
}

/// What the record says of hosts that it does not name; a redirect is followed, as its target takes the place of
/// the record (RFC 7208, section 6.1).
async fn judge_end(resolver: &dyn Resolver, mut record: String) -> (Level, String) {
    for _ in 0..=LOOKUPS_MAX {
        let terms = Terms::read(&record);
        if let Some(qualifier) = terms.all {
            return judge_all(qualifier);
        }
        let Some(target) = terms.redirect else {
            return fail("the record says nothing about other hosts; end it with -all");
        };
        let Ok(name) = DnsName::parse(target) else {
            return in_the_dark("redirect", target);
        };
        record = match record_of(resolver, &name).await {
            Ok(record) => record,
            Err((level, why)) => return (level, format!("redirect={name}: {why}")),
        };
    }
    fail("redirects lead nowhere; receivers then use none of the records")
}

fn judge_all(qualifier: char) -> (Level, String) {
    match qualifier {
        '-' | '~' => good("other hosts are refused or doubted"),
        '?' => fail("?all says nothing about other hosts; write -all or ~all"),
        _ => fail("+all allows every host of the Internet; write -all or ~all"),
    }
}

/// A name that is made from each mail (RFC 7208, section 7), or is none.
fn in_the_dark(term: &str, name: &str) -> (Level, String) {
    if name.contains('%') {
        advice(format!(
            "{term} names \"{name}\", which depends on the mail; nobody can say before what it holds"
        ))
    } else {
        fail(format!("{term} names \"{name}\", which is no domain"))
    }
}

/// Counts the terms that need DNS, through includes and redirects. Receivers count each time that one is reached, and
/// so a circle ends at the limit as well.
async fn judge_lookups(resolver: &dyn Resolver, record: String) -> (Level, String) {
    let mut waiting = vec![record];
    let mut count = 0;
    while let Some(record) = waiting.pop() {
        let terms = Terms::read(&record);
        let redirect = terms.redirect.map(|name| ("redirect", name));
        let asking = terms.asking.iter().map(|asking| match asking {
            Asking::Include(name) => Some(("include", *name)),
            Asking::Other => None,
        });
        for next in asking.chain(redirect.map(Some)) {
            count += 1;
            if count > LOOKUPS_MAX {
                return fail(format!(
                    "more than {LOOKUPS_MAX} terms need a lookup; receivers then use none of them"
                ));
            }
            let Some((term, text)) = next else { continue };
            let name = match DnsName::parse(text) {
                Ok(name) => name,
                // What is behind a macro cannot be counted.
                Err(_) if text.contains('%') => continue,
                Err(_) => return in_the_dark(term, text),
            };
            match record_of(resolver, &name).await {
                Ok(record) => waiting.push(record),
                Err((level, why)) => return (level, format!("{term} {name}: {why}")),
            }
        }
    }
    match count {
        LOOKUPS_MAX => advice(format!(
            "{count} terms need a lookup: the most that is allowed"
        )),
        _ => good(format!("{count} of at most {LOOKUPS_MAX}")),
    }
}

#[cfg(test)]
#[path = "spf_tests.rs"]
mod tests;
