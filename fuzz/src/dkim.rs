//! DKIM signatures of mail that came in, and the records of keys that strangers publish.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use securemail_auth::DkimSignatures;
use securemail_core::backend::{DkimSigner, Resolver, Signatures as _, Signers, VantageView};
use securemail_core::dkim::{BodyDigest, LocalDkimKey, SignOptions, sign};
use securemail_core::mail::HeaderView;
use securemail_core::secret::SecretText;
use securemail_core::vocab::{
    Answer, DnsName, MemoryContent, Outcome, Question, Security, UnixTime,
};
use tokio::runtime::Runtime;

/// Publishes one record at every name.
#[derive(Debug, Default)]
struct OneRecord(Mutex<String>);

impl OneRecord {
    fn text(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Resolver for OneRecord {
    async fn resolve(&self, _: &Question) -> Answer {
        let outcome = Outcome::Txt(vec![self.text().clone()]);
        Answer::new(outcome, Security::Insecure, UnixTime::MAX)
    }

    async fn resolve_anew(&self, question: &Question) -> Answer {
        self.resolve(question).await
    }

    async fn vantages(&self, _: &Question) -> Vec<VantageView> {
        Vec::new()
    }
}

/// Who checks, over one zone. mail-auth wants a runtime about it, though it asks nobody, and reads files when it is made.
struct Checker {
    runtime: Runtime,
    zone: Arc<OneRecord>,
    signatures: DkimSignatures,
    turn: Mutex<()>,
}

static CHECKER: LazyLock<Option<Checker>> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().ok()?;
    let zone = Arc::new(OneRecord::default());
    let resolver: Arc<dyn Resolver> = Arc::clone(&zone) as _;
    let signatures = runtime.block_on(async { DkimSignatures::new(resolver).ok() })?;
    Some(Checker {
        runtime,
        zone,
        signatures,
        turn: Mutex::default(),
    })
});

/// A key of ours, always the same: that of `a.test` under the selector `s`.
pub(crate) fn key() -> Option<LocalDkimKey> {
    // 32 octets of 7.
    let seed = SecretText::new("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
    LocalDkimKey::from_pem(DnsName::parse("a.test").ok()?, "s", &seed).ok()
}

static KEY: LazyLock<Option<Arc<dyn DkimSigner>>> =
    LazyLock::new(|| Some(Arc::new(key()?) as Arc<dyn DkimSigner>));

/// The public half of it.
static RECORD: LazyLock<String> =
    LazyLock::new(|| key().map(|key| key.dns_record()).unwrap_or_default());

fn signers(record: String, message: &[u8]) -> Signers {
    assert!(CHECKER.is_some(), "no checker could be made");
    let Some(checker) = &*CHECKER else {
        return Signers::default();
    };
    let _alone = checker.turn.lock().unwrap_or_else(PoisonError::into_inner);
    *checker.zone.text() = record;
    let found = checker.signatures.signers(message, "tlsrpt");
    checker.runtime.block_on(found)
}

/// The first line is the record of a key, the rest a mail: nobody has signed it whose key is not there. The same mail,
/// signed by us, is good for the other implementation too; and not when its body says something else, which the first two
/// octets change.
pub(crate) fn dkim(octets: &[u8]) {
    let mut parts = octets.splitn(2, |octet| *octet == b'\n');
    let record = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let message = parts.next().unwrap_or_default();
    let names_field = |octets: &[u8]| {
        let text = String::from_utf8_lossy(octets).to_ascii_lowercase();
        text.contains("dkim-signature")
    };
    let found = signers(record.clone(), message);
    assert!(found.unknown.is_empty(), "the key was there");
    assert!(found.valid.is_empty() || names_field(message) && record.contains('p'));
    // mail-auth 0.13 takes a form feed in a header for white space; RFC 6376, section 3.4.2, has space and tab.
    let is_odd = |octet: &u8| octet.is_ascii_control() && !b"\t\r\n".contains(octet);
    if names_field(message) || ends_in_white_lines(message) || message.iter().any(is_odd) {
        return;
    }
    let content = MemoryContent::new(message.to_vec().into());
    let Some(key) = KEY.clone() else {
        return assert!(octets.is_empty(), "there is no key");
    };
    let now = UnixTime::from_millis(std::time::UNIX_EPOCH.elapsed().map_or(0, millis));
    let field = sign(&content, &[key], now, SignOptions::default()).now_or_never();
    let Some(Ok(field)) = field else {
        return;
    };
    let signed = [&*field, message].concat();
    let found = signers(RECORD.clone(), &signed);
    let named: Vec<&str> = found.valid.iter().map(DnsName::as_str).collect();
    assert_eq!(named, ["a.test"], "{}", signed.escape_ascii());
    assert_change_is_noticed(octets, &field, message);
}

/// RFC 6376, section 3.4.4: lines at the end that are empty once white space is out do not count. mail-auth 0.13 counts
/// them, and so takes such a signature for a bad one.
fn ends_in_white_lines(message: &[u8]) -> bool {
    let end = message
        .get(message.trim_ascii_end().len()..)
        .unwrap_or_default();
    let mut lines = end.split(|octet| *octet == b'\n').skip(1);
    lines.any(|line| line.contains(&b' ') || line.contains(&b'\t'))
}

fn millis(elapsed: std::time::Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

fn assert_change_is_noticed(octets: &[u8], field: &[u8], message: &[u8]) {
    let Ok(view) = HeaderView::parse(message.to_vec().into()) else {
        return;
    };
    let start = usize::try_from(view.body_offset()).unwrap_or(usize::MAX);
    let mut changed = message.to_vec();
    let body = changed.get_mut(start..).unwrap_or_default();
    let at = usize::from(octets.first().copied().unwrap_or(0)) % body.len().max(1);
    let Some(octet) = body.get_mut(at) else {
        return;
    };
    *octet ^= octets.get(1).copied().unwrap_or(0);
    if digest(body) == digest(message.get(start..).unwrap_or_default()) {
        return;
    }
    let found = signers(RECORD.clone(), &[field, &changed].concat());
    assert!(found.valid.is_empty(), "another body is good");
}

fn digest(body: &[u8]) -> Option<[u8; 32]> {
    let mut digest = BodyDigest::new();
    digest.update(body).ok()?;
    digest.finish().ok()
}
