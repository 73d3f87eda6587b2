//! DKIM signatures of a mail: which of them are good.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use mail_auth::common::crypto::Algorithm;
use mail_auth::common::verify::VerifySignature as _;
use mail_auth::dkim::Signature;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt,
};
use securemail_core::backend::{Resolver, Signatures, Signers};
use securemail_core::limits::SIGNATURES_MAX;
use securemail_core::vocab::DnsName;

use crate::key::{Published, look_up};

/// Checks signatures. Keys are looked up by `resolver` alone: what mail-auth would ask by itself finds no
/// server.
pub struct DkimSignatures {
    resolver: Arc<dyn Resolver>,
    verifier: MessageAuthenticator,
}

/// The verifier cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the verifier of DKIM signatures cannot be built")]
pub struct DkimError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl DkimSignatures {
    /// Looks keys up by `resolver`.
    ///
    /// # Errors
    /// Where mail-auth cannot be started.
    pub fn new(resolver: Arc<dyn Resolver>) -> Result<Self, DkimError> {
        let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        let verifier = MessageAuthenticator::new(nobody, ResolverOpts::default())
            .map_err(|error| DkimError(error.into()))?;
        Ok(Self { resolver, verifier })
    }

    /// Leaves only signatures whose key could be had: the keys, and whose could not be looked up.
    async fn keep_those_with_a_key(
        &self,
        message: &mut AuthenticatedMessage<'_>,
        service: &str,
    ) -> (Keys, Vec<DnsName>) {
        let (mut keys, mut unknown) = (Keys::default(), Vec::new());
        for mut header in std::mem::take(&mut message.dkim_headers) {
            let signature = &mut header.header;
            let Some(domain) = domain_of(signature).filter(|_| is_strict(signature)) else {
                continue;
            };
            match look_up(&*self.resolver, &domain, &signature.s, service).await {
                Published::Nothing => {}
                Published::Unknown => unknown.push(domain),
                Published::Key(key) => {
                    keys.0.push((signature.domain_key(), key.into()));
                    // Neither reports of failures (RFC 6651) nor signers on behalf (RFC 6541).
                    signature.r = false;
                    signature.atps = None;
                    message.dkim_headers.push(header);
                }
            }
        }
        (keys, unknown)
    }
}

#[async_trait]
impl Signatures for DkimSignatures {
    async fn signers(&self, message: &[u8], service: &str) -> Signers {
        if count_signatures(message) > SIGNATURES_MAX {
            return Signers::default();
        }
        let Some(mut message) = AuthenticatedMessage::parse(message) else {
            return Signers::default();
        };
        let (keys, unknown) = self.keep_those_with_a_key(&mut message, service).await;
        let outputs = self
            .verifier
            .verify_dkim(Parameters::new(&message).with_txt_cache(&keys))
            .await;
        let good = outputs
            .iter()
            .filter(|output| *output.result() == DkimResult::Pass);
        let valid = good
            .filter_map(|output| domain_of(output.signature()?))
            .collect();
        Signers { valid, unknown }
    }
}

fn domain_of(signature: &Signature) -> Option<DnsName> {
    signature.d.parse().ok()
}

/// What a signature must be, whatever its key says. RFC 6376, section 5.4: it covers `From`; RFC 8301,
/// section 3.1: SHA-1 is over; RFC 8460, section 3: no `l=`.
fn is_strict(signature: &Signature) -> bool {
    matches!(signature.a, Algorithm::RsaSha256 | Algorithm::Ed25519Sha256)
        && signature.l == 0
        && signature
            .h
            .iter()
            .any(|field| field.eq_ignore_ascii_case("from"))
}

/// Counted before anything is hashed: each signature may ask for a hash of the body of its own.
fn count_signatures(message: &[u8]) -> usize {
    const NAME: &[u8] = b"dkim-signature";
    let is_one = |line: &&[u8]| {
        let name = line
            .split(|octet| *octet == b':')
            .next()
            .unwrap_or_default();
        name.trim_ascii_end().eq_ignore_ascii_case(NAME)
    };
    let lines = message.split(|octet| *octet == b'\n');
    let header = lines.take_while(|line| !line.trim_ascii_end().is_empty());
    header.filter(is_one).count()
}

/// The keys that were looked up, in the place of mail-auth's cache.
#[derive(Default)]
struct Keys(Vec<(String, Txt)>);

impl ResolverCache<Box<str>, Txt> for Keys {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut keys = self.0.iter();
        let found = keys.find(|(known, _)| Box::<str>::from(known.as_str()).borrow() == name);
        found.map(|(_, key)| key.clone())
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

impl fmt::Debug for DkimSignatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimSignatures")
            .field("resolver", &self.resolver)
            .finish_non_exhaustive()
    }
}
