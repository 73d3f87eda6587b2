//! What a sender asked for one message, as its item keeps it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mail::{DeliveryWish, HeaderView, Language, Wishes};
use crate::vocab::{
    Address, DnsName, EnhancedStatus, Envelope, PhoneNumber, Profile, Reply, Tenant,
};

/// What a sender asked for one message. Sealed with the item, and gone with it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Wished {
    /// Handed over directly, or given back; never the vault.
    pub direct: bool,
    /// The vault.
    pub vault: bool,
    /// How sure its route must be; never less than the tenant's own rule.
    profile: Option<Profile>,
    retention: Option<Duration>,
    language: Option<String>,
    numbers: Vec<GivenNumber>,
}

/// A number that the sender gave for this message only.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct GivenNumber {
    recipient: Address,
    #[serde(with = "number")]
    number: PhoneNumber,
}

impl Wished {
    /// Reads the wishes of a message: the header with which it goes on, and what they ask. What a field
    /// says stands before what the subject says.
    ///
    /// # Errors
    /// The refusal of a wish that cannot be read or granted: none is dropped in silence.
    pub(super) fn read(
        view: HeaderView,
        envelope: &Envelope,
        tenant: &Tenant,
    ) -> Result<(HeaderView, Self), Reply> {
        let wishes = Wishes::read(&view)?;
        if !tenant.subject_tags {
            return Ok((view, Self::granted(wishes)?));
        }
        let (view, tags) = Wishes::take_tags(&view, &envelope.recipients)?;
        Ok((view, Self::granted(wishes.or(tags))?))
    }

    fn granted(wishes: Wishes) -> Result<Self, Reply> {
        if wishes.delivery == Some(DeliveryWish::Registered) {
            return Err(refuse(
                "registered mail is not offered here yet; write X-Securemail-Delivery: portal",
            ));
        }
        let numbers: Vec<GivenNumber> = wishes
            .phones
            .into_iter()
            .map(|(recipient, number)| GivenNumber { recipient, number })
            .collect();
        let contradicts = |one: &GivenNumber| {
            numbers
                .iter()
                .any(|other| other.is_for(&one.recipient) && other.number != one.number)
        };
        if numbers.iter().any(contradicts) {
            return Err(refuse(
                "two telephone numbers are given for one recipient; write one",
            ));
        }
        Ok(Self {
            direct: wishes.delivery == Some(DeliveryWish::Direct),
            vault: wishes.delivery == Some(DeliveryWish::Vault),
            profile: wishes.profile,
            retention: wishes.retention,
            language: wishes.language.map(|language| language.to_string()),
            numbers,
        })
    }

    /// The same, where a scanner may require the vault.
    ///
    /// # Errors
    /// The refusal, where the sender forbids what the scanner requires.
    pub(super) fn with_vault(self, required: bool) -> Result<Self, Reply> {
        if required && self.direct {
            return Err(refuse(
                "a rule of your organisation sends this message by the portal; \
                 remove X-Securemail-Delivery: direct",
            ));
        }
        let vault = self.vault || required;
        Ok(Self { vault, ..self })
    }

    /// How sure a route to `domain` must be: a message can only raise it.
    pub(super) fn profile(&self, tenant: &Tenant, domain: &DnsName) -> Profile {
        let rule = tenant.profile_for(domain);
        self.profile.map_or(rule, |wish| wish.max(rule))
    }

    /// The number that the sender gave for `recipient`.
    pub(super) fn number(&self, recipient: &Address) -> Option<PhoneNumber> {
        let given = self.numbers.iter().find(|given| given.is_for(recipient))?;
        Some(given.number.clone())
    }

    /// How long the vault keeps it: what the sender asks, and never longer than the tenant allows.
    pub(super) fn retention(&self, tenant: &Tenant) -> Duration {
        let longest = tenant.retention;
        self.retention.map_or(longest, |wish| wish.min(longest))
    }

    /// The language that its recipients are written in.
    pub(super) fn language(&self, tenant: &Tenant) -> Language {
        let wish = self.language.as_deref().and_then(|text| text.parse().ok());
        wish.unwrap_or_else(|| Language::pick(&tenant.languages))
    }
}

impl GivenNumber {
    fn is_for(&self, recipient: &Address) -> bool {
        self.recipient.canonical() == recipient.canonical()
    }
}

fn refuse(text: &str) -> Reply {
    Reply::new(550, Some(EnhancedStatus::new(5, 7, 1)), text)
}

/// A number in a sealed record; it has no other form in which it could be written out by mistake.
mod number {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::vocab::PhoneNumber;

    pub(super) fn serialize<S: Serializer>(
        number: &PhoneNumber,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(number.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PhoneNumber, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
