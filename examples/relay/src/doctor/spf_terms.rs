//! The terms of an SPF record (RFC 7208, sections 4.6.1 and 12).

use std::net::{Ipv4Addr, Ipv6Addr};

/// What counts of a record. Names of terms have no case (RFC 7208, section 4.6.1).
#[derive(Debug, Eq, PartialEq)]
pub struct Terms<'a> {
    /// What must be looked up: terms before `all`, which nothing after it is reached from (section 5.1).
    pub asking: Vec<Asking<'a>>,
    /// The qualifier of `all`.
    pub all: Option<char>,
    /// Where the record goes on; counts only without `all` (section 6.1).
    pub redirect: Option<&'a str>,
    /// Whether a term with a network of every address allows it.
    pub opens: bool,
    /// Whether nothing but `all` is there.
    pub names_nobody: bool,
    /// The first that is no term; then nothing of the record counts.
    pub bad: Option<&'a str>,
}

/// A term that needs DNS. Without a name it means that of the record.
#[derive(Debug, Eq, PartialEq)]
pub enum Asking<'a> {
    /// The record of this name is used as well: with this qualifier.
    Include(char, &'a str),
    /// Addresses.
    Addresses(Option<&'a str>),
    /// Whether there is an IPv4 address, whoever sends (section 5.7).
    Exists(&'a str),
    /// Mail exchangers.
    Exchangers(Option<&'a str>),
    /// The names of the client.
    Pointers,
}

/// One term.
enum Term<'a> {
    All,
    Asking(Asking<'a>),
    /// A network, or nothing that is asked.
    Plain,
    Redirect(&'a str),
    /// Another modifier (section 6).
    Unknown,
}

impl<'a> Terms<'a> {
    /// Reads what follows the version.
    pub fn read(record: &'a str) -> Self {
        let mut terms = Self {
            asking: Vec::new(),
            all: None,
            redirect: None,
            opens: false,
            names_nobody: true,
            bad: None,
        };
        for text in record.split_ascii_whitespace().skip(1) {
            let Some((sign, term, opens)) = read(text) else {
                terms.bad = terms.bad.or(Some(text));
                continue;
            };
            let is_reached = terms.all.is_none();
            terms.opens |= is_reached && opens && sign == '+';
            match term {
                Term::All => terms.all = terms.all.or(Some(sign)),
                // Section 6: it may stand there once.
                Term::Redirect(_) if terms.redirect.is_some() => {
                    terms.bad = terms.bad.or(Some(text));
                }
                Term::Redirect(name) => terms.redirect = Some(name),
                Term::Asking(_) | Term::Plain if !is_reached => {}
                Term::Asking(asking) => {
                    terms.names_nobody = false;
                    terms.asking.push(asking);
                }
                Term::Plain => terms.names_nobody = false,
                Term::Unknown => {}
            }
        }
        if terms.all.is_some() {
            terms.redirect = None;
        }
        terms
    }
}

/// One term with its qualifier, and whether it is of every address.
fn read(text: &str) -> Option<(char, Term<'_>, bool)> {
    let mut signs = text.chars();
    let (sign, rest) = match signs.next()? {
        sign @ ('+' | '-' | '~' | '?') => (Some(sign), signs.as_str()),
        _ => (None, text),
    };
    let end = rest.find([':', '=', '/']).unwrap_or(rest.len());
    let (name, behind) = rest.split_at_checked(end)?;
    let name = name.to_ascii_lowercase();
    if let Some(value) = behind.strip_prefix('=') {
        // A modifier has no qualifier.
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic());
        let term = match name.as_str() {
            "redirect" => Term::Redirect(value),
            _ => Term::Unknown,
        };
        return (sign.is_none() && is_name).then_some(('+', term, false));
    }
    let (term, opens) = mechanism(&name, behind, sign.unwrap_or('+'))?;
    Some((sign.unwrap_or('+'), term, opens))
}

fn mechanism<'a>(name: &str, behind: &'a str, sign: char) -> Option<(Term<'a>, bool)> {
    let value = behind.strip_prefix(':');
    let asking = |asking| Some((Term::Asking(asking), false));
    match name {
        "all" => behind.is_empty().then_some((Term::All, false)),
        "include" => asking(Asking::Include(sign, value?)),
        "exists" if value?.is_empty() => None,
        "exists" => asking(Asking::Exists(value?)),
        "ptr" if behind.is_empty() || value.is_some_and(|value| !value.is_empty()) => {
            asking(Asking::Pointers)
        }
        "a" | "mx" => {
            let (domain, opens) = domain_and_length(behind)?;
            let asking = match name {
                "a" => Asking::Addresses(domain),
                _ => Asking::Exchangers(domain),
            };
            Some((Term::Asking(asking), opens))
        }
        "ip4" => network::<Ipv4Addr>(value?, 32).map(|opens| (Term::Plain, opens)),
        "ip6" => network::<Ipv6Addr>(value?, 128).map(|opens| (Term::Plain, opens)),
        _ => None,
    }
}

/// A network; whether it is that of every address.
fn network<A: std::str::FromStr>(text: &str, bits: u8) -> Option<bool> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, prefix(length, bits)?),
        None => (text, bits),
    };
    address.parse::<A>().ok().map(|_| length == 0)
}

/// What follows `a` and `mx`: a domain or none, and lengths for both families; whether one of them is of every address.
fn domain_and_length(behind: &str) -> Option<(Option<&str>, bool)> {
    // A slash within a macro divides a name, and no network.
    let macros = behind.rfind('}').map_or(0, |end| end + 1);
    let slash = behind.get(macros..)?.find('/').map(|at| at + macros);
    let (domain, lengths) = behind.split_at_checked(slash.unwrap_or(behind.len()))?;
    let domain = match domain.strip_prefix(':') {
        Some("") => return None,
        Some(domain) => Some(domain),
        None => None,
    };
    if lengths.is_empty() {
        return Some((domain, false));
    }
    let (four, six) = match lengths.split_once("//") {
        Some((four, six)) => (four, Some(six)),
        None => (lengths, None),
    };
    let four = match four.strip_prefix('/') {
        Some(four) => Some(prefix(four, 32)?),
        None if four.is_empty() => None,
        None => return None,
    };
    let six = match six {
        Some(six) => Some(prefix(six, 128)?),
        None => None,
    };
    Some((domain, four == Some(0) || six == Some(0)))
}

/// The length of a network, written in one way only (RFC 7208, section 12).
fn prefix(text: &str, most: u8) -> Option<u8> {
    let is_number = text.bytes().all(|octet| octet.is_ascii_digit());
    if !is_number || text.len() > 1 && text.starts_with('0') {
        return None;
    }
    text.parse().ok().filter(|length| *length <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(term: &str) -> bool {
        Terms::read(&format!("v=spf1 {term} -all")).bad.is_some()
    }

    #[test]
    fn terms_that_need_dns_are_told_from_others() {
        let asking = |term: &str| Terms::read(&format!("v=spf1 {term}")).asking.len();
        for term in [
            "include:x.example.org",
            "?a/24",
            "a:x.example.org/24//64",
            "mx",
            "PTR",
            "-exists:%{i}.x",
        ] {
            assert_eq!(asking(term), 1, "{term}");
        }
        for term in [
            "ip4:192.0.2.1",
            "ip6:2001:db8::1/64",
            "-all mx",
            "exp=x.example.org",
            "include=x.example.org",
        ] {
            assert_eq!(asking(term), 0, "{term}");
            assert_eq!(Terms::read(&format!("v=spf1 {term}")).bad, None, "{term}");
        }
    }

    #[test]
    fn what_is_no_term_spoils_the_record() {
        for term in [
            "ipv4:192.0.2.1",
            "ip4:192.0.2.300",
            "ip4:192.0.2.1/33",
            "ip6:192.0.2.1",
            "192.0.2.1",
            "mx:",
            "a/x",
            "a//200",
            "ip4:192.0.2.0/+8",
            "ip4:192.0.2.0/024",
            "a/00",
            "mx//",
            "all:example.org",
            "include",
            "exists:",
            "-redirect=x.example.org",
            "redirect=x.test redirect=y.test",
        ] {
            assert!(bad(term), "{term}");
        }
        for term in [
            "a",
            "a:%{d/}.x.test/24",
            "mx//64",
            "mx/24//64",
            "x-y=z",
            "ptr:x.test",
        ] {
            assert!(!bad(term), "{term}");
        }
    }

    #[test]
    fn a_network_of_every_address_opens_the_record_where_it_passes() {
        let opens = |term: &str| Terms::read(&format!("v=spf1 {term} -all")).opens;
        for term in ["ip4:0.0.0.0/0", "ip6:::/0", "a/0", "mx:x.test//0"] {
            assert!(opens(term), "{term}");
            assert!(!opens(&format!("-{term}")), "-{term}");
            assert!(!opens(&format!("-all {term}")), "not reached: {term}");
        }
        assert!(!opens("ip4:192.0.2.0/24"));
    }
}
