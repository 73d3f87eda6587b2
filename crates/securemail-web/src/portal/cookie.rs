//! Sealed cookies, and the tokens of forms that are bound to them.
//!
//! The link's cookie is `SameSite=Lax`: the recipient comes from a mail program, often on a web page
//! of another site, and the answer to that navigation leads to the page that needs it; `Strict` would
//! leave it out there. A form that another site sends does not carry it. The session's cookie is set
//! and used on our own pages only: `Strict`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use securemail_core::drive::pickup::SessionGrant;
use securemail_core::limits::SESSION_IDLE_MINUTES;
use securemail_core::pickup::{LinkSecret, SessionToken};
use securemail_core::seal::SealError;
use securemail_core::secret::Key32;
use securemail_core::vocab::{UnixTime, VaultId};
use subtle::ConstantTimeEq as _;

use super::Portal;
use super::visitor::Visitor;
use crate::message::hex;

/// Characters of a sealed cookie; longer ones are not ours.
const COOKIE_MAX: usize = 512;

/// The link that a visitor followed.
pub(super) struct Link {
    pub(super) id: VaultId,
    pub(super) secret: LinkSecret,
    /// What forms must carry.
    pub(super) csrf: String,
}

impl Portal {
    /// The cookie that keeps the secret of a link; `None` where the visitor has it already: it is kept,
    /// so that forms in another window stay good.
    pub(super) fn link_cookie(
        &self,
        visitor: &Visitor,
        id: VaultId,
        secret: &LinkSecret,
    ) -> Result<Option<String>, SealError> {
        let known = self.link(visitor, id);
        if known.is_some_and(|known| known.secret.digest().matches(&secret.digest())) {
            return Ok(None);
        }
        let value = self.seal(&context("link", id), secret.key().expose())?;
        let name = link_name(id);
        Ok(Some(format!(
            "{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax"
        )))
    }

    /// The link that this visitor followed to message `id`.
    pub(super) fn link(&self, visitor: &Visitor, id: VaultId) -> Option<Link> {
        let value = visitor.cookie(&link_name(id))?;
        let key = self.unseal(&context("link", id), value)?.try_into().ok()?;
        Some(Link {
            id,
            secret: LinkSecret::new(Key32::from_bytes(key)),
            csrf: self.csrf(value),
        })
    }

    /// The cookie of a session, last used now. The record keeps when it ends at the latest; that it was
    /// idle for too long is read from the cookie, since reading a page writes nothing on our side.
    pub(super) fn session_cookie(
        &self,
        id: VaultId,
        token: &SessionToken,
    ) -> Result<String, SealError> {
        let seen = self.service.now().as_millis().to_be_bytes();
        let plain = [token.key().expose().as_slice(), &seen].concat();
        let value = self.seal(&context("session", id), &plain)?;
        let name = session_name(id);
        Ok(format!(
            "{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict"
        ))
    }

    /// The cookie of a session that begins.
    pub(super) fn granted_cookie(
        &self,
        id: VaultId,
        grant: &SessionGrant,
    ) -> Result<String, SealError> {
        self.session_cookie(id, &grant.token)
    }

    /// The session of this visitor with message `id`, if it was used not long ago.
    pub(super) fn session(&self, visitor: &Visitor, id: VaultId) -> Option<SessionToken> {
        let value = visitor.cookie(&session_name(id))?;
        let plain: [u8; 40] = self
            .unseal(&context("session", id), value)?
            .try_into()
            .ok()?;
        let (token, seen) = plain.split_first_chunk::<32>()?;
        let seen = UnixTime::from_millis(u64::from_be_bytes(seen.try_into().ok()?));
        let idle = Duration::from_secs(SESSION_IDLE_MINUTES * 60);
        (self.service.now() < seen.plus(idle)).then(|| SessionToken::new(Key32::from_bytes(*token)))
    }

    /// What a form must carry that is shown to the holder of `secret`: a cookie's value, or the token
    /// in the address of the sender's form.
    pub(super) fn csrf(&self, secret: &str) -> String {
        hex(self.cookies.hash("csrf", secret.as_bytes()).as_bytes())
    }

    fn seal(&self, context: &[u8], plain: &[u8]) -> Result<String, SealError> {
        let sealed = self.cookies.seal(context, plain, &*self.entropy)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    fn unseal(&self, context: &[u8], value: &str) -> Option<Vec<u8>> {
        if value.len() > COOKIE_MAX {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
        self.cookies.open(context, &sealed).ok()
    }
}

/// Whether a form carries the right token; takes the same time for every wrong one.
pub(super) fn is_right(csrf: &str, carried: &str) -> bool {
    csrf.as_bytes().ct_eq(carried.as_bytes()).into()
}

/// What makes a browser forget the session with message `id`.
pub(super) fn forget_session(id: VaultId) -> String {
    let name = session_name(id);
    format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}

/// What makes a browser forget the link to message `id`.
pub(super) fn forget_link(id: VaultId) -> String {
    let name = link_name(id);
    format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

fn link_name(id: VaultId) -> String {
    format!("__Host-link-{id}")
}

fn session_name(id: VaultId) -> String {
    format!("__Host-session-{id}")
}

/// What a cookie is sealed for: of this kind, for this message.
fn context(kind: &str, id: VaultId) -> Vec<u8> {
    [kind.as_bytes(), &[0], id.as_bytes()].concat()
}
