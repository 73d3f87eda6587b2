//! Events as they stand in the log: a chained part of commitments, a sealed part of facts.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::event::{Event, EventName, Fact, FindBy, hex};
use crate::backend::{Entropy, KeyError, MasterKey, NewEvent, StoredEvent};
use crate::route::Decided;
use crate::seal::derive::derive;
use crate::seal::{RecordCipher, SealError};
use crate::secret::Key32;
use crate::vocab::{Address, KeyedHash, QueueId, TenantId, UnixTime};

/// The form of chained parts; a later form has another number.
const FORM: u8 = 1;

/// Writes and reads the log of one tenant.
#[derive(Clone)]
pub struct Log {
    tenant: TenantId,
    cipher: RecordCipher,
}

/// The chained part: JSON in the canonical form of RFC 8785 (keys sorted, no space, no fractions).
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Chained {
    commitments: BTreeMap<String, String>,
    form: u8,
    name: String,
    queue: QueueId,
    recipient: Option<u16>,
    time: UnixTime,
}

/// The personal part. Values are kept as they were committed, octet for octet.
#[derive(Deserialize, Serialize)]
struct Personal {
    facts: BTreeMap<String, String>,
    salt: [u8; 32],
}

/// An event, read.
#[derive(Clone, Eq, PartialEq)]
pub struct ReadEvent {
    /// Its position in the tenant's log.
    pub position: u64,
    /// When it happened.
    pub time: UnixTime,
    /// The message that it is about.
    pub queue: QueueId,
    /// What happened.
    pub name: EventName,
    /// The number of the recipient in the envelope; `None` where it is about the whole message.
    pub recipient: Option<u16>,
    /// The facts.
    pub personal: PersonalPart,
}

/// The facts of an event.
#[derive(Clone, Eq, PartialEq)]
pub enum PersonalPart {
    /// It does not open, or is not what the chain committed to: somebody changed it.
    Damaged,
    /// Its time was over.
    Erased,
    /// As they were logged; each is what the chain committed to. By [`Fact`], or by the name that a
    /// later version of this program gave.
    Kept(BTreeMap<String, String>),
}

/// An entry of the log cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The chained part and what the store keeps beside it (time, message) do not agree.
    #[error("the entry at position {0} is filed under another time or message than it names")]
    Misfiled(u64),
    /// The chained part does not have the form that this program writes.
    #[error("the entry at position {0} is damaged or was written by a later version")]
    Form(u64),
}

impl Log {
    /// The log of `tenant`, sealed under `key`, which may be used for nothing else.
    #[must_use]
    pub fn new(tenant: TenantId, key: Key32) -> Self {
        Self {
            tenant,
            cipher: RecordCipher::new(key),
        }
    }

    /// The log of `tenant`, under a key derived from the master key: the same on every node.
    ///
    /// # Errors
    /// Where the master key cannot be used now.
    pub async fn of_tenant(tenant: TenantId, master: &dyn MasterKey) -> Result<Self, KeyError> {
        let key = master.derive(&format!("evidence/{tenant}")).await?;
        Ok(Self::new(tenant, key))
    }

    /// The entry that `event` becomes.
    ///
    /// # Errors
    /// `NoEntropy`.
    pub fn entry(&self, event: Event, entropy: &dyn Entropy) -> Result<NewEvent, SealError> {
        let Event {
            name,
            time,
            queue,
            recipient,
            facts,
            find_by,
        } = event;
        let mut salt = [0; 32];
        entropy.fill(&mut salt)?;
        let facts: BTreeMap<String, String> = facts
            .into_iter()
            .map(|(fact, value)| (fact.to_owned(), value))
            .collect();
        let personal = Personal { facts, salt };
        let chained = canonical(&Chained {
            commitments: personal.commitments(),
            form: FORM,
            name: name.as_str().to_owned(),
            queue,
            recipient,
            time,
        })?;
        let context = self.context(&chained);
        let personal = Zeroizing::new(canonical(&personal)?);
        let sealed = self.cipher.seal(&context, &personal, entropy)?;
        Ok(NewEvent {
            time,
            queue,
            chained,
            personal: sealed,
            index: find_by.iter().map(|by| by.hash(&self.cipher)).collect(),
        })
    }

    /// Reads an entry. The chain is checked apart, by [`verify`](super::verify).
    ///
    /// # Errors
    /// Where the chained part is not readable; a damaged personal part is no error.
    pub fn read(&self, stored: &StoredEvent) -> Result<ReadEvent, ReadError> {
        let form = |_| ReadError::Form(stored.position);
        let chained: Chained = serde_json::from_slice(&stored.chained).map_err(form)?;
        let name = chained
            .name
            .parse()
            .map_err(|_| ReadError::Form(stored.position))?;
        if chained.form != FORM {
            return Err(ReadError::Form(stored.position));
        }
        if (chained.time, chained.queue) != (stored.time, stored.queue) {
            return Err(ReadError::Misfiled(stored.position));
        }
        let personal = match &stored.personal {
            None => PersonalPart::Erased,
            Some(sealed) => self
                .open(&stored.chained, sealed)
                .filter(|personal| personal.commitments() == chained.commitments)
                .map_or(PersonalPart::Damaged, |personal| {
                    PersonalPart::Kept(personal.facts)
                }),
        };
        Ok(ReadEvent {
            position: stored.position,
            time: stored.time,
            queue: stored.queue,
            name,
            recipient: chained.recipient,
            personal,
        })
    }

    /// The salt of one fact: shown together with the fact, it lets anybody check the
    /// [`commitment`] in the chained part, and says nothing about the other facts.
    #[must_use]
    pub fn salt_of(&self, stored: &StoredEvent, fact: Fact) -> Option<[u8; 32]> {
        let personal = self.open(&stored.chained, stored.personal.as_ref()?)?;
        Some(fact_salt(&personal.salt, fact.as_str()))
    }

    /// Finds events of a recipient, by any spelling of the address.
    #[must_use]
    pub fn by_recipient(&self, address: &Address) -> KeyedHash {
        FindBy::recipient(address).hash(&self.cipher)
    }

    /// Finds events of a sender, by any spelling of the address.
    #[must_use]
    pub fn by_sender(&self, address: &Address) -> KeyedHash {
        FindBy::sender(address).hash(&self.cipher)
    }

    /// Finds events of a Message-ID, with or without angle brackets.
    #[must_use]
    pub fn by_message_id(&self, id: &str) -> KeyedHash {
        FindBy::message_id(id).hash(&self.cipher)
    }

    /// Finds events of what letters and pages call a message by.
    #[must_use]
    pub fn by_reference(&self, reference: &str) -> KeyedHash {
        FindBy::reference(reference).hash(&self.cipher)
    }

    fn open(&self, chained: &[u8], sealed: &[u8]) -> Option<Personal> {
        let plain = self.cipher.open(&self.context(chained), sealed).ok()?;
        serde_json::from_slice(&Zeroizing::new(plain)).ok()
    }

    /// A personal part belongs to its chained part; another one's does not open beside it.
    fn context(&self, chained: &[u8]) -> Vec<u8> {
        let tenant = self.tenant.as_str().as_bytes();
        let digest = Sha256::digest(chained);
        [b"securemail/v1/event\0", tenant, &[0], &digest].concat()
    }
}

/// SHA-256 over `salt`, the fact's name and its value: what the chained part holds of a fact.
#[must_use]
pub fn commitment(salt: &[u8; 32], fact: &str, value: &str) -> [u8; 32] {
    // The salt is of one length and a name has no zero octet, so the parts cannot run together.
    Sha256::new()
        .chain_update(b"securemail/v1/fact\0")
        .chain_update(salt)
        .chain_update(fact)
        .chain_update([0])
        .chain_update(value)
        .finalize()
        .into()
}

fn fact_salt(salt: &[u8; 32], fact: &str) -> [u8; 32] {
    *derive(&[], salt, &[b"securemail/v1/fact-salt\0", fact.as_bytes()]).expose()
}

/// Fields are declared in the order of their names and maps are sorted, so this is RFC 8785.
fn canonical(value: &impl Serialize) -> Result<Vec<u8>, SealError> {
    serde_json::to_vec(value).map_err(|_| SealError::Cipher)
}

impl Personal {
    fn commitments(&self) -> BTreeMap<String, String> {
        self.facts
            .iter()
            .map(|(fact, value)| {
                let salt = fact_salt(&self.salt, fact);
                (fact.clone(), hex(&commitment(&salt, fact, value)))
            })
            .collect()
    }
}

impl ReadEvent {
    /// The value of a fact, where it is kept.
    #[must_use]
    pub fn fact(&self, fact: Fact) -> Option<&str> {
        match &self.personal {
            PersonalPart::Damaged | PersonalPart::Erased => None,
            PersonalPart::Kept(facts) => facts.get(fact.as_str()).map(String::as_str),
        }
    }

    /// The decision that was logged with everything that it came from; it can be made again.
    /// `None` where there is none, it was erased, or another version of this program wrote it.
    #[must_use]
    pub fn decided(&self) -> Option<Decided> {
        let read = |fact| self.fact(fact);
        Some(Decided {
            decision: serde_json::from_str(read(Fact::Decision)?).ok()?,
            evidence: serde_json::from_str(read(Fact::Evidence)?).ok()?,
            settings: serde_json::from_str(read(Fact::PolicySettings)?).ok()?,
        })
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({})", self.tenant)
    }
}

impl fmt::Debug for ReadEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadEvent({}: {})", self.position, self.name)
    }
}

impl fmt::Debug for PersonalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "Damaged",
            Self::Erased => "Erased",
            Self::Kept(_) => "Kept(..)",
        })
    }
}
