//! Who a client is: its credentials or certificate against the directory.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use securemail_core::StoreError;
use securemail_core::backend::{AddressPrefix, Directory, Entropy, NoEntropy};
use securemail_core::secret::{Key32, SecretText};
use securemail_core::vocab::{Account, Credential, Identity, UnixTime};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::tries::{NoTry, Tries};
use crate::proto::sasl::Credentials;
use crate::proto::server::{Login, LoginOutcome};

/// Checks credentials. What it answers, and after how long, does not tell whether a name exists.
pub(crate) struct Authenticator {
    directory: Arc<dyn Directory>,
    /// Argon2 takes 19 MiB and a core for each check, so few run at once.
    hashing: Arc<Semaphore>,
    known: Mutex<BTreeMap<[u8; 32], UnixTime>>,
    known_salt: Key32,
    tries: Tries,
    verify: Verify,
}

/// Whether a password is that of a hash. Tests put one in its place that counts.
type Verify = Arc<dyn Fn(&str, &SecretText) -> bool + Send + Sync>;

/// What a check found.
enum Verdict {
    Right,
    /// Wrong, and no Argon2 was computed yet.
    Wrong,
    /// Wrong, after one Argon2.
    WrongAfterWork,
    Busy,
}

impl Authenticator {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        entropy: &dyn Entropy,
    ) -> Result<Self, NoEntropy> {
        Self::with_verify(directory, entropy, Arc::new(argon2id))
    }

    fn with_verify(
        directory: Arc<dyn Directory>,
        entropy: &dyn Entropy,
        verify: Verify,
    ) -> Result<Self, NoEntropy> {
        Ok(Self {
            directory,
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            known: Mutex::default(),
            known_salt: Key32::random(entropy)?,
            tries: Tries::default(),
            verify,
        })
    }

    /// Checks a name and its password or secret.
    pub(crate) async fn check(
        &self,
        credentials: Credentials,
        client: IpAddr,
        now: UnixTime,
    ) -> LoginOutcome {
        let one_try = match self.tries.take(AddressPrefix::of(client), now).await {
            Ok(one_try) => one_try,
            Err(NoTry::Busy) => return LoginOutcome::Unavailable,
            Err(NoTry::Spent) => return LoginOutcome::Throttled,
        };
        let Credentials { username, password } = credentials;
        let found = self.directory.account(&Identity::Username(username)).await;
        let account = match found {
            Ok(account) => account,
            Err(error) => {
                tracing::warn!(%error, "the directory cannot be asked");
                return LoginOutcome::Unavailable;
            }
        };
        let credential = account.as_ref().map(|account| &account.credential);
        let mut verdict = self.verdict(credential, &password, now).await;
        if matches!(verdict, Verdict::Wrong) {
            // Unknown names, and names with another kind of credential, take as long as a wrong
            // password does.
            verdict = self.argon2(NOBODY, &password).await;
        }
        match (verdict, account) {
            (Verdict::Right, Some(account)) => LoginOutcome::Granted(Box::new(account)),
            (Verdict::Busy, _) => LoginOutcome::Unavailable,
            (Verdict::Right | Verdict::Wrong | Verdict::WrongAfterWork, _) => {
                self.tries.failed(one_try, now);
                LoginOutcome::Denied
            }
        }
    }

    /// Looks up the certificate that a client proved to hold.
    pub(crate) async fn identify(&self, certificate: &[u8]) -> Login {
        let fingerprint: [u8; 32] = Sha256::digest(certificate).into();
        match self
            .directory
            .account(&Identity::Certificate(fingerprint))
            .await
        {
            Ok(Some(account)) if is_certificate_of(&account, &fingerprint) => {
                Login::Certificate(Box::new(account))
            }
            Ok(_) => Login::Anonymous,
            Err(error) => {
                report(&error);
                Login::Unknown
            }
        }
    }

    async fn verdict(
        &self,
        credential: Option<&Credential>,
        password: &SecretText,
        now: UnixTime,
    ) -> Verdict {
        match credential {
            Some(Credential::Secret(wanted)) => {
                let shown: [u8; 32] = Sha256::digest(password.expose()).into();
                if bool::from(shown.ct_eq(wanted)) {
                    Verdict::Right
                } else {
                    Verdict::Wrong
                }
            }
            Some(Credential::Argon2id(hash)) => self.cached_argon2(hash, password, now).await,
            Some(Credential::Certificate(_)) | None => Verdict::Wrong,
        }
    }

    /// A right password is remembered for a short time as a salted hash together with the hash that
    /// it matched, so that each message of a mail platform does not cost an Argon2, and a changed
    /// password is noticed at once.
    async fn cached_argon2(&self, hash: &str, password: &SecretText, now: UnixTime) -> Verdict {
        let key: [u8; 32] = Sha256::new()
            .chain_update(self.known_salt.expose())
            .chain_update((hash.len() as u64).to_be_bytes())
            .chain_update(hash)
            .chain_update(password.expose())
            .finalize()
            .into();
        if lock(&self.known)
            .get(&key)
            .is_some_and(|until| now < *until)
        {
            return Verdict::Right;
        }
        let verdict = self.argon2(hash, password).await;
        if matches!(verdict, Verdict::Right) {
            let mut known = lock(&self.known);
            known.retain(|_, until| now < *until);
            if known.len() < KNOWN_MAX {
                known.insert(key, now.plus(KNOWN_FOR));
            }
        }
        verdict
    }

    async fn argon2(&self, hash: &str, password: &SecretText) -> Verdict {
        let waiting = timeout(HASHING_WAIT, Arc::clone(&self.hashing).acquire_owned());
        let Ok(Ok(permit)) = waiting.await else {
            return Verdict::Busy;
        };
        let (hash, password) = (hash.to_owned(), password.clone());
        let verify = Arc::clone(&self.verify);
        let hashing = tokio::task::spawn_blocking(move || {
            let right = verify(&hash, &password);
            drop(permit);
            right
        });
        match hashing.await {
            Ok(true) => Verdict::Right,
            Ok(false) => Verdict::WrongAfterWork,
            Err(_) => Verdict::Busy,
        }
    }
}

fn argon2id(hash: &str, password: &SecretText) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.expose().as_bytes(), &hash)
            .is_ok()
    })
}

fn is_certificate_of(account: &Account, fingerprint: &[u8; 32]) -> bool {
    matches!(&account.credential, Credential::Certificate(wanted) if wanted == fingerprint)
}

fn report(error: &StoreError) {
    tracing::warn!(%error, "the directory cannot be asked");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

/// The hash of no password, with the parameters that `hash-password` writes (RFC 9106, section 4,
/// scaled by OWASP): it only takes time.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2VjdXJlbWFpbC1ub2JvZHk$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Argon2 checks at once.
const HASHES_AT_ONCE: usize = 2;
/// How long a login waits for its turn.
const HASHING_WAIT: Duration = Duration::from_secs(10);
/// How long a right password is remembered, and how many are.
const KNOWN_FOR: Duration = Duration::from_mins(5);
/// See [`KNOWN_FOR`].
const KNOWN_MAX: usize = 10_000;

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
