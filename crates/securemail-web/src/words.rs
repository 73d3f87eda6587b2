//! The words of the portal, in each language, and which language a request wants.

use std::fmt;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use securemail_core::vocab::UnixTime;
use unic_langid::LanguageIdentifier;

/// A language of the portal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    /// Dutch.
    Dutch,
    /// English.
    English,
}

impl Language {
    /// All, in the order in which pages offer them.
    pub const ALL: [Self; 2] = [Self::Dutch, Self::English];

    /// Its tag (BCP 47).
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Dutch => "nl",
            Self::English => "en",
        }
    }

    /// Its own name for itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dutch => "Nederlands",
            Self::English => "English",
        }
    }

    /// The language that a tag names: `nl`, `nl-BE`.
    #[must_use]
    pub fn of(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or("").trim();
        Self::ALL
            .into_iter()
            .find(|language| language.tag().eq_ignore_ascii_case(primary))
    }

    /// The best language of an `Accept-Language` field (RFC 9110, section 12.5.4).
    #[must_use]
    pub fn accepted(field: &str) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        for item in field.split(',').take(32) {
            let (tag, weight) = item.split_once(';').unwrap_or((item, "q=1"));
            let weight = weight
                .trim()
                .strip_prefix("q=")
                .and_then(|q| q.parse().ok());
            let weight: f32 = weight.unwrap_or(0.0);
            let Some(language) = Self::of(tag) else {
                continue;
            };
            if weight > 0.0 && best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }
}

/// The words of one language.
pub struct Words {
    language: Language,
    bundle: FluentBundle<FluentResource>,
}

/// A file of words cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the words of the portal in {0} cannot be read")]
pub struct WordsError(&'static str);

impl Words {
    /// The words of `language`.
    ///
    /// # Errors
    /// Where the file that was built in cannot be read; a test sees to it that it can.
    pub fn of(language: Language) -> Result<Self, WordsError> {
        let failed = WordsError(language.tag());
        let tag: LanguageIdentifier = language.tag().parse().map_err(|_| failed)?;
        let resource = FluentResource::try_new(source(language).to_owned()).map_err(|_| failed)?;
        let mut bundle = FluentBundle::new_concurrent(vec![tag]);
        // The marks that isolate writing directions show up in copied text and in titles.
        bundle.set_use_isolating(false);
        bundle.add_resource(resource).map_err(|_| failed)?;
        Ok(Self { language, bundle })
    }

    /// Which language it is.
    #[must_use]
    pub const fn language(&self) -> Language {
        self.language
    }

    /// The text with this key.
    #[must_use]
    pub fn say(&self, key: &str) -> String {
        self.render(key, None)
    }

    /// The text with this key and one value in it.
    #[must_use]
    pub fn say1(&self, key: &str, name: &str, value: &str) -> String {
        let mut args = FluentArgs::new();
        args.set(name, value);
        self.render(key, Some(&args))
    }

    /// The text with this key and two values in it, each with its name.
    #[must_use]
    pub fn say2(&self, key: &str, first: (&str, &str), second: (&str, &str)) -> String {
        let mut args = FluentArgs::new();
        args.set(first.0, first.1);
        args.set(second.0, second.1);
        self.render(key, Some(&args))
    }

    /// The text with this key and a count in it, in the right number.
    #[must_use]
    pub fn count(&self, key: &str, count: usize) -> String {
        let mut args = FluentArgs::new();
        args.set("count", count);
        self.render(key, Some(&args))
    }

    /// A missing key shows as itself; a test sees to it that none is missing.
    fn render(&self, key: &str, args: Option<&FluentArgs<'_>>) -> String {
        let pattern = self
            .bundle
            .get_message(key)
            .and_then(|message| message.value());
        let Some(pattern) = pattern else {
            tracing::error!(key, language = self.language.tag(), "a text is missing");
            return key.to_owned();
        };
        let mut errors = Vec::new();
        let text = self
            .bundle
            .format_pattern(pattern, args, &mut errors)
            .into_owned();
        if !errors.is_empty() {
            tracing::error!(key, language = self.language.tag(), "a text lacks a value");
        }
        text
    }

    /// A day: `zaterdag 21 november 2026`.
    #[must_use]
    pub fn day(&self, time: UnixTime) -> String {
        let (local, weekday) = local(time);
        let c = local.civil();
        let weekday = self.pick("weekdays", weekday);
        let month = self.pick("months", c.month.saturating_sub(1));
        format!("{weekday} {} {month} {}", c.day, c.year)
    }

    /// A time of the day: `14:05`.
    #[must_use]
    pub fn clock(&self, time: UnixTime) -> String {
        let c = local(time).0.civil();
        format!("{:02}:{:02}", c.hour, c.minute)
    }

    /// A day and a time.
    #[must_use]
    pub fn moment(&self, time: UnixTime) -> String {
        format!("{}, {}", self.day(time), self.clock(time))
    }

    /// A size as people read it, rounded to one place: `1,5 MB`.
    #[must_use]
    pub fn size(&self, octets: u64) -> String {
        let mark = match self.language {
            Language::Dutch => ',',
            Language::English => '.',
        };
        let in_tenths = |unit: u64, name: &str| {
            let tenths = octets.saturating_mul(10).saturating_add(unit / 2) / unit;
            format!("{}{mark}{} {name}", tenths / 10, tenths % 10)
        };
        match octets {
            0..1_000 => format!("{octets} B"),
            1_000..1_000_000 => in_tenths(1_000, "kB"),
            1_000_000..1_000_000_000 => in_tenths(1_000_000, "MB"),
            _ => in_tenths(1_000_000_000, "GB"),
        }
    }

    fn pick(&self, key: &str, index: u64) -> String {
        let names = self.say(key);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        names.split_whitespace().nth(index).unwrap_or("").to_owned()
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Words").field(&self.language).finish()
    }
}

/// The source of the words, as it was built in.
#[must_use]
pub const fn source(language: Language) -> &'static str {
    match language {
        Language::Dutch => include_str!("../locales/nl/portal.ftl"),
        Language::English => include_str!("../locales/en/portal.ftl"),
    }
}

/// The same moment on a clock in Amsterdam, and the day of the week (0 is Sunday).
///
/// Summer time of the European Union (Directive 2000/84/EC): from the last Sunday of March to the
/// last Sunday of October, both at 01:00 UTC.
fn local(time: UnixTime) -> (UnixTime, u64) {
    let c = time.civil();
    let weekday_of_day = |secs: u64| (secs / 86_400 + 4) % 7;
    // Both months have 31 days. The last Sunday is known from the weekday of today.
    let last_sunday = || {
        let last = time.as_secs().saturating_add((31 - c.day.min(31)) * 86_400);
        31 - weekday_of_day(last)
    };
    let summer = match c.month {
        4..=9 => true,
        3 => (c.day, c.hour) >= (last_sunday(), 1),
        10 => (c.day, c.hour) < (last_sunday(), 1),
        _ => false,
    };
    let hours = if summer { 2 } else { 1 };
    let local = UnixTime::from_secs(time.as_secs().saturating_add(hours * 3600));
    (local, weekday_of_day(local.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(secs: u64) -> String {
        Words::of(Language::Dutch)
            .unwrap()
            .moment(UnixTime::from_secs(secs))
    }

    #[test]
    fn moments_are_read_on_a_clock_in_amsterdam() {
        // 2026-11-21 12:05, 2026-03-29 00:59 and 01:00, 2026-10-25 00:59 and 01:00, all UTC.
        assert_eq!(clock(1_795_262_700), "zaterdag 21 november 2026, 13:05");
        assert_eq!(clock(1_774_745_940), "zondag 29 maart 2026, 01:59");
        assert_eq!(clock(1_774_746_000), "zondag 29 maart 2026, 03:00");
        assert_eq!(clock(1_792_889_940), "zondag 25 oktober 2026, 02:59");
        assert_eq!(clock(1_792_890_000), "zondag 25 oktober 2026, 02:00");
    }

    #[test]
    fn the_language_that_is_wanted_most_is_taken() {
        assert_eq!(
            Language::accepted("de, en;q=0.8, nl;q=0.9"),
            Some(Language::Dutch)
        );
        assert_eq!(
            Language::accepted("en-GB,en;q=0.9,nl;q=0.8"),
            Some(Language::English)
        );
        assert_eq!(Language::accepted("fr, de;q=0.9, nl;q=0"), None);
        assert_eq!(Language::accepted(";;;,q=,="), None);
    }
}
