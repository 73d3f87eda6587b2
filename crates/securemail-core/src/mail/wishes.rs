//! What a sender asks for one message, in header fields that speak to this relay alone.
//!
//! [`Trace`](super::Trace) removes them before anything leaves. A field that cannot be read refuses the
//! message: a wish for more care must never be dropped in silence.

use std::time::Duration;

use super::{Field, HeaderView, Language};
use crate::limits::RETENTION_DAYS_MAX;
use crate::vocab::{Address, EnhancedStatus, PhoneNumber, Profile, Reply};

/// What a sender asks for one message. Where nothing is asked, the tenant's settings stand.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Wishes {
    /// The way it takes.
    pub delivery: Option<DeliveryWish>,
    /// Numbers to which codes for these recipients go, for this message only.
    pub phones: Vec<(Address, PhoneNumber)>,
    /// How long it is kept in the vault.
    pub retention: Option<Duration>,
    /// The language of its notices.
    pub language: Option<Language>,
    /// How sure its route must be; the caller takes the stricter of this and the tenant's.
    pub profile: Option<Profile>,
}

/// The way a message takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeliveryWish {
    /// Handed over directly, or bounced; never the vault.
    Direct,
    /// The vault, and the recipient accepts or declines.
    Registered,
    /// The vault.
    Vault,
}

impl Wishes {
    /// Reads the wishes of a header.
    ///
    /// # Errors
    /// The refusal, which shows the right form and repeats nothing personal.
    pub fn read(view: &HeaderView) -> Result<Self, Reply> {
        let mut wishes = Self::default();
        for field in view.fields() {
            wishes.take(&field)?;
        }
        Ok(wishes)
    }

    fn take(&mut self, field: &Field<'_>) -> Result<(), Reply> {
        let name = field.name().to_ascii_lowercase();
        let value = field.text();
        match name.as_str() {
            "x-securemail-delivery" => {
                let wish = delivery(&value)
                    .ok_or_else(|| unreadable(field, "direct, portal or registered"))?;
                set(&mut self.delivery, wish, field)
            }
            "x-securemail-phone" => {
                let entry = value
                    .split_once(';')
                    .and_then(|(to, number)| phone(to, number));
                self.phones
                    .push(entry.ok_or_else(|| unreadable(field, PHONE_FORM))?);
                Ok(())
            }
            // What senders of another product write, who move to this one.
            "zivver-access-right" => {
                let words: Vec<&str> = value.split_whitespace().collect();
                let entry = match words.as_slice() {
                    [to, "sms", number] => phone(to, number),
                    _ => None,
                };
                self.phones
                    .push(entry.ok_or_else(|| unreadable(field, "name@domain sms +31612345678"))?);
                Ok(())
            }
            "x-securemail-expires" => {
                let time = days(&value).ok_or_else(|| unreadable(field, DAYS_FORM))?;
                set(&mut self.retention, time, field)
            }
            "zivver-message-expiration" => {
                let time = value.strip_prefix("delete ").and_then(days);
                set(
                    &mut self.retention,
                    time.ok_or_else(|| unreadable(field, "delete P30D"))?,
                    field,
                )
            }
            "x-securemail-language" => {
                let language = value.parse().map_err(|_| unreadable(field, "nl or en"))?;
                set(&mut self.language, language, field)
            }
            "x-securemail-profile" => {
                let profile = profile(&value)
                    .ok_or_else(|| unreadable(field, "standard, strict or dane-only"))?;
                set(&mut self.profile, profile, field)
            }
            // Our own mark, when a message passes two of us.
            "x-securemail-possible-duplicate" => Ok(()),
            name if name.starts_with("x-securemail-") => {
                let text = format!(
                    "{} is no field that this relay knows; remove it or correct its name",
                    field.name()
                );
                Err(refuse(&text))
            }
            _ => Ok(()),
        }
    }
}

fn delivery(value: &str) -> Option<DeliveryWish> {
    match value.to_ascii_lowercase().as_str() {
        "direct" => Some(DeliveryWish::Direct),
        "registered" => Some(DeliveryWish::Registered),
        "portal" | "vault" => Some(DeliveryWish::Vault),
        _ => None,
    }
}

fn profile(value: &str) -> Option<Profile> {
    match value.to_ascii_lowercase().as_str() {
        "basic" => Some(Profile::Basic),
        "standard" => Some(Profile::Standard),
        "strict" => Some(Profile::Strict),
        "dane-only" => Some(Profile::DaneOnly),
        _ => None,
    }
}

/// A recipient and its number. People write numbers with spaces and hyphens; the country is needed.
pub(super) fn phone(to: &str, number: &str) -> Option<(Address, PhoneNumber)> {
    let number: String = number
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '.'))
        .collect();
    Some((Address::parse(to.trim()).ok()?, number.parse().ok()?))
}

/// A whole number of days in ISO 8601: `P30D`; 90 at most.
pub(super) fn days(value: &str) -> Option<Duration> {
    let number = value.trim().strip_prefix('P')?.strip_suffix('D')?;
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    let days: u64 = is_number.then(|| number.parse().ok())??;
    (1..=RETENTION_DAYS_MAX)
        .contains(&days)
        .then(|| Duration::from_secs(days * 86_400))
}

/// Keeps a wish that may be said once; the same again is no harm.
fn set<T: PartialEq>(place: &mut Option<T>, value: T, field: &Field<'_>) -> Result<(), Reply> {
    match place {
        Some(earlier) if *earlier != value => {
            let text = format!("{} is there twice and differs; write it once", field.name());
            Err(refuse(&text))
        }
        _ => {
            *place = Some(value);
            Ok(())
        }
    }
}

fn unreadable(field: &Field<'_>, form: &str) -> Reply {
    refuse(&format!(
        "{} cannot be read; write it as: {form}",
        field.name()
    ))
}

pub(super) fn refuse(text: &str) -> Reply {
    Reply::new(550, Some(EnhancedStatus::new(5, 6, 0)), text)
}

const PHONE_FORM: &str = "name@domain; +31612345678";
const DAYS_FORM: &str = "P30D, for 1 to 90 days";
