//! SPF of our own domains (RFC 7208): one record, an end that refuses, and not too many lookups.

use securemail_core::backend::Resolver;
use securemail_core::vocab::{DnsName, RecordKind};

use super::lookup::{Found, addresses, exchangers, texts};
use super::report::{Level, advice, fail, good, unknown};
use super::spf_terms::{Asking, Terms};

/// Terms that need DNS, at most (RFC 7208, section 4.6.4).
const LOOKUPS_MAX: usize = 10;

/// Lookups that find nothing, at most (RFC 7208, section 4.6.4).
const VOID_MAX: usize = 2;
/// Hosts behind one `mx`, at most (RFC 7208, section 4.6.4).
const EXCHANGERS_MAX: usize = 10;

/// What is found for `domain`, by check.
pub async fn look(
    resolver: &dyn Resolver,
    domain: &DnsName,
) -> Vec<(&'static str, (Level, String))> {
    let record = match record_of(resolver, domain).await {
        Ok(record) => record,
        Err(found) => return vec![("spf", found)],
    };
    if let Some(term) = Terms::read(&record).bad {
        return vec![("spf", no_term(term))];
    }
    let walk = Walk::of(resolver, domain.clone(), record.clone()).await;
    vec![
        ("spf", good(record)),
        ("spf_policy", walk.judge_end()),
        ("spf_lookups", walk.judge_lookups()),
    ]
}

/// RFC 7208, section 4.6: an error of syntax anywhere spoils the whole record.
fn no_term(term: &str) -> (Level, String) {
    fail(format!(
        "\"{term}\" is no term of SPF; receivers then use none of the record"
    ))
}

/// Whether a record allows nobody at all.
pub fn refuses_all(record: &str) -> bool {
    let terms = Terms::read(record);
    terms.bad.is_none() && terms.names_nobody && terms.all == Some('-')
}

/// The one record of a domain.
pub async fn record_of(
    resolver: &dyn Resolver,
    domain: &DnsName,
) -> Result<String, (Level, String)> {
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

/// What a record says of hosts that it does not name. Only one that nobody can follow still has a redirect here.
fn judge_end(record: &str) -> (Level, String) {
    let terms = Terms::read(record);
    match (terms.all, terms.redirect) {
        (Some(qualifier), _) => judge_all(qualifier),
        (None, Some(target)) => in_the_dark("redirect", target),
        (None, None) => fail("the record says nothing about other hosts; end it with -all"),
    }
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

/// What receivers do with a record, whoever sends.
#[derive(Debug, Default)]
struct Walk {
    /// Terms that need DNS. Receivers count each time that one is reached, so a circle ends at the limit as well.
    count: usize,
    /// Names that were asked for in vain.
    void: Vec<DnsName>,
    /// A term that allows everybody.
    opens: Option<String>,
    /// Whether `ptr` is used.
    points: bool,
    /// What the record at the end of the redirects says of hosts that are not named; its target takes the place of a
    /// record (RFC 7208, section 6.1).
    end: Option<(Level, String)>,
    /// Why receivers use none of the terms, or why that is not known. The walk ended there.
    fault: Option<(Level, String)>,
}

/// A record that is reached.
struct Reached {
    owner: DnsName,
    record: String,
    /// Whether its pass is the pass of the whole.
    counts: bool,
}

impl Walk {
    async fn of(resolver: &dyn Resolver, owner: DnsName, record: String) -> Self {
        let first = Reached {
            owner,
            record,
            counts: true,
        };
        let mut walk = Self::default();
        walk.fault = walk.through(resolver, first).await.err();
        walk
    }

    async fn through(
        &mut self,
        resolver: &dyn Resolver,
        first: Reached,
    ) -> Result<(), (Level, String)> {
        let mut waiting = self.redirects(resolver, first).await?;
        self.end = waiting.last().map(|last| judge_end(&last.record));
        while let Some(reached) = waiting.pop() {
            let terms = Terms::read(&reached.record);
            if reached.counts && (terms.opens || terms.all == Some('+')) {
                self.opens.get_or_insert(reached.owner.to_string());
            }
            for asking in &terms.asking {
                if let Some(next) = self.ask(resolver, &reached, asking).await? {
                    waiting.extend(self.redirects(resolver, next).await?);
                }
            }
        }
        Ok(())
    }

    /// A record and those that take its place, as far as they are known.
    async fn redirects(
        &mut self,
        resolver: &dyn Resolver,
        mut last: Reached,
    ) -> Result<Vec<Reached>, (Level, String)> {
        let mut chain = Vec::new();
        loop {
            let terms = Terms::read(&last.record);
            if let Some(term) = terms.bad {
                let (level, text) = no_term(term);
                return Err((level, format!("{}: {text}", last.owner)));
            }
            let next = match terms.redirect {
                Some(target) => self.follow(resolver, "redirect", target).await?,
                None => None,
            };
            let counts = last.counts;
            chain.push(last);
            match next {
                Some(next) => last = next.counting(counts),
                None => return Ok(chain),
            }
        }
    }

    /// One term; the record that it leads to.
    async fn ask(
        &mut self,
        resolver: &dyn Resolver,
        reached: &Reached,
        asking: &Asking<'_>,
    ) -> Result<Option<Reached>, (Level, String)> {
        let named = |name: Option<&str>| match name {
            None => Some(reached.owner.clone()),
            // A name that is made from each mail is not known.
            Some(name) => DnsName::parse(name).ok(),
        };
        match asking {
            Asking::Include(sign, name) => {
                let next = self.follow(resolver, "include", name).await?;
                return Ok(next.map(|next| next.counting(reached.counts && *sign == '+')));
            }
            Asking::Addresses(name) => {
                let kinds = [RecordKind::A, RecordKind::Aaaa];
                self.addresses(resolver, named(*name), &kinds).await?;
            }
            Asking::Exists(name) => {
                let kinds = [RecordKind::A];
                self.addresses(resolver, named(Some(name)), &kinds).await?;
            }
            Asking::Exchangers(name) => {
                self.step()?;
                if let Some(name) = named(*name) {
                    self.exchangers(resolver, name).await?;
                }
            }
            Asking::Pointers => {
                self.step()?;
                self.points = true;
            }
        }
        Ok(None)
    }

    /// One more term that needs DNS.
    fn step(&mut self) -> Result<(), (Level, String)> {
        self.count += 1;
        if self.count > LOOKUPS_MAX {
            return Err(fail(format!(
                "more than {LOOKUPS_MAX} terms need a lookup; receivers then use none of them"
            )));
        }
        Ok(())
    }

    async fn follow(
        &mut self,
        resolver: &dyn Resolver,
        term: &str,
        text: &str,
    ) -> Result<Option<Reached>, (Level, String)> {
        self.step()?;
        let owner = match DnsName::parse(text) {
            Ok(owner) => owner,
            // What is behind a macro cannot be counted.
            Err(_) if text.contains('%') => return Ok(None),
            Err(_) => return Err(in_the_dark(term, text)),
        };
        match record_of(resolver, &owner).await {
            Ok(record) => Ok(Some(Reached {
                owner,
                record,
                counts: false,
            })),
            Err((level, why)) => Err((level, format!("{term} {owner}: {why}"))),
        }
    }

    /// One term that asks for addresses of these kinds.
    async fn addresses(
        &mut self,
        resolver: &dyn Resolver,
        name: Option<DnsName>,
        kinds: &[RecordKind],
    ) -> Result<(), (Level, String)> {
        self.step()?;
        let Some(name) = name else { return Ok(()) };
        for kind in kinds {
            if !matches!(addresses(resolver, &name, *kind).await, Found::Absent(_)) {
                return Ok(());
            }
        }
        self.void.push(name);
        Ok(())
    }

    async fn exchangers(
        &mut self,
        resolver: &dyn Resolver,
        name: DnsName,
    ) -> Result<(), (Level, String)> {
        match exchangers(resolver, &name).await {
            Found::Records(records, _) if records.len() > EXCHANGERS_MAX => Err(fail(format!(
                "mx: {name} has more than {EXCHANGERS_MAX} MX records; receivers then use none of the terms"
            ))),
            Found::Absent(_) => {
                self.void.push(name);
                Ok(())
            }
            Found::Records(..) | Found::Unknown(_) => Ok(()),
        }
    }

    fn judge_end(&self) -> (Level, String) {
        // Without an end the walk did not come as far.
        let Some(end) = self.end.clone().or_else(|| self.fault.clone()) else {
            return unknown("the end of the record was not reached");
        };
        match (&end, &self.opens) {
            ((Level::Good, _), Some(owner)) => {
                fail(format!("{owner} allows every host of the Internet"))
            }
            (_, _) => end,
        }
    }

    fn judge_lookups(&self) -> (Level, String) {
        if let Some(fault) = &self.fault {
            return fault.clone();
        }
        let Self { count, void, .. } = self;
        let nothing: Vec<&str> = void.iter().map(DnsName::as_str).collect();
        match void.len() {
            0 => {}
            1..=VOID_MAX => {
                return advice(format!(
                    "nothing is found for {}; take it out",
                    nothing.join(", ")
                ));
            }
            _ => {
                return fail(format!(
                    "nothing is found for {}; after {VOID_MAX} such names receivers use none of the terms",
                    nothing.join(", ")
                ));
            }
        }
        if *count == LOOKUPS_MAX {
            return advice(format!(
                "{count} terms need a lookup: the most that is allowed"
            ));
        }
        if self.points {
            // RFC 7208, section 5.5.
            return advice("ptr is slow and not to be used; name the addresses");
        }
        good(format!("{count} of at most {LOOKUPS_MAX}"))
    }
}

impl Reached {
    fn counting(self, counts: bool) -> Self {
        Self { counts, ..self }
    }
}

#[cfg(test)]
#[path = "spf_tests.rs"]
mod tests;
