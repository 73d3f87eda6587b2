//! Wishes in the subject, for senders whose program can write no header field: `[secure]`,
//! `[sms:+31612345678]`, `[keep:30d]`.
//!
//! They are taken out before anything is signed, stored or handed on. A tag that begins like one of ours
//! and cannot be read refuses the message: a wish for more care is never dropped, and a number never
//! reaches somebody else. Other words in brackets stay as they are.

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use super::compose::encoded_words;
use super::wishes::{DeliveryWish, Wishes, days, phone, refuse};
use super::{Field, HeaderView};
use crate::limits::SUBJECT_TAGS_MAX;
use crate::vocab::{Address, Reply};

impl Wishes {
    /// Takes the wishes out of a header's subject: the header without them, and what they ask of a
    /// message to `recipients`.
    ///
    /// # Errors
    /// The refusal, which shows the right form and repeats nothing personal.
    pub fn take_tags(
        view: &HeaderView,
        recipients: &[Address],
    ) -> Result<(HeaderView, Self), Reply> {
        let mut wishes = Self::default();
        let mut octets = Vec::with_capacity(view.octets().len());
        let mut count = 0;
        for field in view.fields() {
            let (rest, tags) = if REPEATS_SUBJECT.iter().any(|name| field.is(name)) {
                split(&decoded(&field))
            } else {
                (String::new(), Vec::new())
            };
            if tags.is_empty() {
                octets.extend_from_slice(field.raw());
                continue;
            }
            count += tags.len();
            if count > SUBJECT_TAGS_MAX {
                return Err(refuse("the subject has too many tags; write header fields"));
            }
            for tag in tags {
                wishes.take_tag(tag, recipients)?;
            }
            octets.extend_from_slice(written(field.name(), &rest).as_bytes());
        }
        let view = view.rewritten(octets.into()).map_err(|e| e.reply())?;
        Ok((view, wishes))
    }

    /// These, and where they say nothing `others`.
    #[must_use]
    pub fn or(mut self, others: Self) -> Self {
        let is_known = |to: &Address| {
            let known = self.phones.iter();
            known
                .map(|(known, _)| known.canonical())
                .any(|known| known == to.canonical())
        };
        let mut phones = others.phones;
        phones.retain(|(to, _)| !is_known(to));
        self.phones.extend(phones);
        Self {
            delivery: self.delivery.or(others.delivery),
            phones: self.phones,
            retention: self.retention.or(others.retention),
            language: self.language.or(others.language),
            profile: self.profile.or(others.profile),
        }
    }

    fn take_tag(&mut self, tag: Tag, recipients: &[Address]) -> Result<(), Reply> {
        match tag {
            Tag::Delivery(wish) => set(&mut self.delivery, wish),
            Tag::Keep(time) => {
                let time = days(&format!("P{}", time.to_ascii_uppercase()));
                set(&mut self.retention, time.ok_or_else(|| unreadable(KEEP))?)
            }
            Tag::Language(language) => {
                let language = language.parse().map_err(|_| unreadable(LANGUAGE))?;
                set(&mut self.language, language)
            }
            Tag::Phone(text) => {
                let entry = match (text.split_once('='), recipients) {
                    (Some((to, number)), _) => phone(to, number),
                    (None, [only]) => phone(&only.to_string(), &text),
                    (None, _) => None,
                };
                let entry = entry.ok_or_else(|| unreadable(SMS))?;
                // The subject may stand in two fields.
                if !self.phones.contains(&entry) {
                    self.phones.push(entry);
                }
                Ok(())
            }
            Tag::Unreadable(form) => Err(unreadable(form)),
        }
    }
}

/// A tag of ours.
#[derive(Debug)]
enum Tag {
    Delivery(DeliveryWish),
    Keep(String),
    Language(String),
    Phone(String),
    /// Meant as one of ours, and it says nothing; how it is written.
    Unreadable(&'static str),
}

impl Tag {
    /// What stands between brackets, if it is one of ours. `[secure mail list]` and `[SMS campaign]` are not, while
    /// `[secure: yes]` and `[sms +31612345678]` were meant to be.
    fn read(inner: &str, is_closed: bool) -> Option<Self> {
        let inner = inner.trim().to_ascii_lowercase();
        let end = inner.find(|c: char| !c.is_ascii_alphabetic());
        let (name, rest) = inner.split_at(end.unwrap_or(inner.len()));
        let rest = rest.trim_start();
        let value = rest.strip_prefix(':').map(|value| value.trim().to_owned());
        let says = rest.starts_with([':', '=']);
        let has_digit = rest.contains(|c: char| c.is_ascii_digit());
        let form = match name {
            "secure" | "veilig" | "registered" | "aangetekend" | "direct" => WORD,
            "sms" => SMS,
            "keep" | "bewaar" => KEEP,
            "language" | "taal" => LANGUAGE,
            _ => return None,
        };
        let tag = match (name, value) {
            ("secure" | "veilig", None) if rest.is_empty() => Self::Delivery(DeliveryWish::Vault),
            ("registered" | "aangetekend", None) if rest.is_empty() => {
                Self::Delivery(DeliveryWish::Registered)
            }
            ("direct", None) if rest.is_empty() => Self::Delivery(DeliveryWish::Direct),
            ("sms", Some(value)) => Self::Phone(value),
            ("keep" | "bewaar", Some(value)) => Self::Keep(value),
            ("language" | "taal", Some(value)) => Self::Language(value),
            ("sms" | "keep" | "bewaar", None) if says || has_digit => Self::Unreadable(form),
            _ if says => Self::Unreadable(form),
            _ => return None,
        };
        match (is_closed, &tag) {
            (true, _) => Some(tag),
            // A bracket that nobody closed, before words that only begin like a wish.
            (false, Self::Delivery(_)) => None,
            (false, _) => Some(Self::Unreadable(form)),
        }
    }
}

/// A text without its tags, and the tags. What stands around a tag may be one itself, once that is out: it is looked
/// through until there is none, or there are too many.
fn split(text: &str) -> (String, Vec<Tag>) {
    let (mut kept, mut tags) = split_once_over(text);
    let mut found = tags.len();
    while found > 0 && tags.len() <= SUBJECT_TAGS_MAX {
        let (rest, more) = split_once_over(&kept);
        found = more.len();
        if found > 0 {
            kept = rest;
        }
        tags.extend(more);
    }
    (kept, tags)
}

/// One time from the left to the right. What is inside of a tag ends at the next bracket.
fn split_once_over(text: &str) -> (String, Vec<Tag>) {
    let (mut kept, mut tags, mut rest) = (String::new(), Vec::new(), text);
    while let Some((before, inside)) = rest.split_once('[') {
        kept.push_str(before);
        let end = inside.find(['[', ']']).unwrap_or(inside.len());
        let (inner, after) = inside.split_at(end);
        let closed = after.strip_prefix(']');
        let Some(tag) = Tag::read(inner, closed.is_some()) else {
            kept.push('[');
            rest = inside;
            continue;
        };
        tags.push(tag);
        let after = closed.unwrap_or(after);
        let joins = kept.is_empty() || kept.ends_with(' ');
        rest = if joins { after.trim_start() } else { after };
    }
    kept.push_str(rest);
    (kept.trim().to_owned(), tags)
}

/// The text of a field, its encoded words read (RFC 2047). Control characters are read as the spaces that are written
/// in their place: a tag must not come about by that.
fn decoded(field: &Field<'_>) -> String {
    let unfolded = field.text() + "\n";
    let without_controls = |c: char| if c.is_control() { ' ' } else { c };
    match MessageStream::new(unfolded.as_bytes()).parse_unstructured() {
        HeaderValue::Text(text) => text.chars().map(without_controls).collect(),
        _ => String::new(),
    }
}

/// A field as it goes on. `=?` in its text would be read as an encoded word.
fn written(name: &str, text: &str) -> String {
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
    let fits = name.len() + text.len() <= LINE_MAX;
    if fits && text.chars().all(is_plain) && !text.contains("=?") {
        return format!("{name}: {text}\r\n");
    }
    format!("{name}: {}\r\n", encoded_words(text))
}

/// Keeps a wish that may be said once; the same again is no harm.
fn set<T: PartialEq>(place: &mut Option<T>, value: T) -> Result<(), Reply> {
    match place {
        Some(earlier) if *earlier != value => {
            Err(refuse("two tags of the subject contradict; write one"))
        }
        Some(_) | None => {
            *place = Some(value);
            Ok(())
        }
    }
}

fn unreadable(form: &str) -> Reply {
    refuse(&format!(
        "a tag of the subject cannot be read; write it as: {form}"
    ))
}

/// Fields that hold the subject; mail programs copy it into the second.
const REPEATS_SUBJECT: [&str; 2] = ["Subject", "Thread-Topic"];
const WORD: &str = "[secure], [registered] or [direct]";
const KEEP: &str = "[keep:30d], for 1 to 90 days";
const LANGUAGE: &str = "[language:nl] or [language:en]";
const SMS: &str = "[sms:+31612345678], or with several recipients [sms:name@domain=+31612345678]";
/// What a line has room for (RFC 5322, section 2.1.1), less the colon and the space.
const LINE_MAX: usize = 76;
