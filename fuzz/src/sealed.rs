//! What stores and vaults give back: sealed content, wrapped keys, entries of the log.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use securemail_core::backend::{
    Entropy, KeyPurpose, KeyRef, MasterKey as _, NoEntropy, WrappedKey,
};
use securemail_core::backend::{NewEvent, StoredEvent};
use securemail_core::ledger::{Event, EventName, Log, PersonalPart, timeline};
use securemail_core::seal::{LocalMasterKey, RecordCipher, WrappedContentKey, open, seal};
use securemail_core::secret::Key32;
use securemail_core::vocab::{
    Content, MemoryContent, QueueId, SealedContent, TenantId, UnixTime, VaultId, VaultKey,
};

const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);
const CONTEXT: &[u8] = b"context";
/// Three chunks and a part of one.
const PLAIN_MAX: usize = 50_000;

/// Octets that count up: what is sealed with them is the same in each run.
#[derive(Debug, Default)]
pub(crate) struct Counting(Mutex<u8>);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy> {
        let mut last = self.0.lock().map_err(|_| NoEntropy)?;
        for octet in buffer {
            *last = last.wrapping_add(1);
            *octet = *last;
        }
        Ok(())
    }
}

const fn key(octet: u8) -> Key32 {
    Key32::from_bytes([octet; 32])
}

/// Where a stored value is changed, and how.
#[derive(Clone, Copy)]
struct Change {
    at: u16,
    with: u8,
    /// Octets that are missing at the end.
    short: u8,
}

impl Change {
    const fn is_none(self) -> bool {
        self.with == 0 && self.short == 0
    }

    fn apply(self, mut octets: Vec<u8>) -> Vec<u8> {
        octets.truncate(octets.len().saturating_sub(usize::from(self.short)));
        let at = usize::from(self.at) % octets.len().max(1);
        if let Some(octet) = octets.get_mut(at) {
            *octet ^= self.with;
        }
        octets
    }
}

/// Sealed content opens to what it was, whole and in ranges; changed anywhere it opens to nothing. Its first octets say
/// how long the content is, what is read of it, and what is changed; the rest is repeated.
pub(crate) fn content(octets: &[u8]) {
    assert_nobody_forges(octets);
    let Some((plan, pattern)) = octets.split_first_chunk::<10>() else {
        return;
    };
    let [size, from, max, at] = [0, 2, 4, 6].map(|place| {
        let (high, low) = (plan.get(place), plan.get(place + 1));
        u16::from_be_bytes([*high.unwrap_or(&0), *low.unwrap_or(&0)])
    });
    let [.., with, short] = *plan;
    let size = usize::from(size).min(PLAIN_MAX);
    let pattern = if pattern.is_empty() { b"." } else { pattern };
    let plain: Vec<u8> = pattern.iter().copied().cycle().take(size).collect();
    let memory = Arc::new(MemoryContent::new(plain.clone().into()));
    let Ok(sealed) = seal(memory, &key(7), CONTEXT, &Counting::default()) else {
        return assert!(plain.is_empty(), "it cannot be sealed");
    };
    let whole = read_all(&**sealed.ciphertext()).unwrap_or_default();
    assert_eq!(whole.len() as u64, sealed.ciphertext().size());
    let part = read(&**sealed.ciphertext(), from.into(), max.into());
    assert_is_part(&whole, from, max, part);
    let change = Change { at, with, short };
    let stored = change.apply(whole);
    let opened = open_octets(stored, CONTEXT);
    let Some(opened) = opened else {
        return assert!(!change.is_none(), "what nobody changed does not open");
    };
    assert_eq!(opened.size(), plain.len() as u64);
    let part = read(&*opened, from.into(), max.into());
    assert!(part.is_some() || !change.is_none());
    if part.is_some() {
        assert_is_part(&plain, from, max, part);
    }
    let read = read_all(&*opened);
    assert_eq!(read.is_some(), change.is_none(), "a change is noticed");
    assert!(read.is_none_or(|read| read == plain));
}

/// Who has no key makes up no content, no wrapped key and no key of the key store.
fn assert_nobody_forges(octets: &[u8]) {
    assert!(open_octets(octets.to_vec(), CONTEXT).is_none());
    let wrapped = WrappedContentKey::from_octets(octets.to_vec());
    let Ok(tenant) = "gemeente".parse::<TenantId>() else {
        return;
    };
    let vault = VaultKey {
        tenant: tenant.clone(),
        id: VaultId::from_bytes([1; 16]),
    };
    assert!(wrapped.open_with_link(&vault, &key(1), &key(2)).is_err());
    let queue = QueueId::from_bytes([1; 16]);
    assert!(wrapped.open_with_day_key(&tenant, queue, &key(1)).is_err());
    let master = LocalMasterKey::new(&key(3), Arc::new(Counting::default()));
    let reference = KeyRef::of_message(&tenant, KeyPurpose::ServerShare, vault.id);
    let stored = WrappedKey(octets.to_vec());
    let unwrapped = master.unwrap(&reference, &stored).now_or_never();
    assert!(unwrapped.is_some_and(|key| key.is_err()));
}

fn open_octets(octets: Vec<u8>, context: &[u8]) -> Option<Arc<dyn Content>> {
    let sealed = SealedContent::assertion(Arc::new(MemoryContent::new(octets.into())));
    open(&sealed, &key(7), context).now_or_never()?.ok()
}

fn read(content: &dyn Content, from: u64, max: usize) -> Option<Vec<u8>> {
    let read = content.read(from, max).now_or_never()?;
    read.ok().map(|octets| octets.to_vec())
}

fn read_all(content: &dyn Content) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    loop {
        let part = read(content, octets.len() as u64, PLAIN_MAX)?;
        if part.is_empty() {
            return Some(octets);
        }
        octets.extend_from_slice(&part);
    }
}

/// A read gives what stands there, something where there is something, and never more than was asked for.
fn assert_is_part(whole: &[u8], from: u16, max: u16, part: Option<Vec<u8>>) {
    let part = part.unwrap_or_default();
    let rest = whole.get(usize::from(from)..).unwrap_or_default();
    assert!(rest.starts_with(&part) && part.len() <= usize::from(max));
    assert_eq!(part.is_empty(), rest.is_empty() || max == 0);
}

/// An entry of the log is read as it was written; changed, it is an error or is called damaged. The first line is the
/// chained part of an entry, and its words are the reason of another one, which the first octets change.
pub(crate) fn event(octets: &[u8]) {
    let Ok(tenant) = "gemeente".parse::<TenantId>() else {
        return;
    };
    let log = Log::new(tenant, key(9));
    let (first, rest) = split(octets, b'\n');
    let queue = QueueId::from_bytes([2; 16]);
    let foreign = stored(queue, first.to_vec(), Some(rest.to_vec()));
    if let Ok(read) = log.read(&foreign) {
        // Who has no key may write a chained part, and no fact.
        assert_eq!(read.personal, PersonalPart::Damaged);
        assert!(log.read(&stored(queue, first.to_vec(), None)).is_ok());
        drop(timeline(&[read]));
    }
    let Some(([high, low, with, short], words)) = octets.split_first_chunk::<4>() else {
        return;
    };
    let words = String::from_utf8_lossy(words);
    let event = Event::new(EventName::SubmissionAcceptance, NOW, queue).reason(&words);
    let Ok(entry) = log.entry(event, &Counting::default()) else {
        return;
    };
    let NewEvent {
        chained, personal, ..
    } = entry;
    let whole = log.read(&stored(queue, chained.clone(), Some(personal.clone())));
    assert!(whole.is_ok_and(|event| matches!(event.personal, PersonalPart::Kept(_))));
    let change = Change {
        at: u16::from_be_bytes([*high, *low]),
        with: *with,
        short: *short,
    };
    if change.is_none() {
        return;
    }
    let changed = stored(queue, chained.clone(), Some(change.apply(personal.clone())));
    let changed = log.read(&changed);
    assert!(changed.is_ok_and(|event| event.personal == PersonalPart::Damaged));
    let changed = stored(queue, change.apply(chained), Some(personal));
    let changed = log.read(&changed);
    assert!(changed.is_err() || changed.is_ok_and(|event| event.personal == PersonalPart::Damaged));
}

fn split(octets: &[u8], at: u8) -> (&[u8], &[u8]) {
    let mut parts = octets.splitn(2, |octet| *octet == at);
    let mut next = || parts.next().unwrap_or_default();
    (next(), next())
}

const fn stored(queue: QueueId, chained: Vec<u8>, personal: Option<Vec<u8>>) -> StoredEvent {
    StoredEvent {
        position: 3,
        time: NOW,
        queue,
        chained,
        personal,
        chain: [0; 32],
    }
}

/// A record that was sealed for one place does not open at another.
pub(crate) fn record(octets: &[u8]) {
    let cipher = RecordCipher::new(key(7));
    let (context, plain) = split(octets, 0);
    let Ok(sealed) = cipher.seal(context, plain, &Counting::default()) else {
        return;
    };
    assert!(
        cipher
            .open(context, &sealed)
            .is_ok_and(|again| again == plain)
    );
    let elsewhere = [context, b"."].concat();
    assert!(cipher.open(&elsewhere, &sealed).is_err());
    assert!(RecordCipher::new(key(8)).open(context, &sealed).is_err());
    assert!(cipher.open(context, octets).is_err());
}
