//! The recipient's side: landing, code, opening, destruction.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::log::Happened;
use super::record::Outcome;
use super::{PickupError, PickupService};
use crate::backend::{AddressPrefix, CodeMessage, KeyPurpose, NotifyError};
use crate::limits::BLOCK_MINUTES;
use crate::mail::sms;
use crate::pickup::{
    ChallengeId, Checked, CodeGrant, Ending, Facts, LinkSecret, NoCode, Pickup, SessionToken, code,
};
use crate::seal;
use crate::vocab::{Content, PhoneNumber, UnixTime, VaultId};

/// What a recipient sees before a code. Nothing of the message is in it.
#[derive(Clone, Debug)]
pub struct Landing {
    /// The facts of the pickup.
    pub facts: Facts,
    /// The last two digits of the number that codes go to.
    pub last_two: String,
    /// Until when it can be opened.
    pub until: UnixTime,
    /// What is to be done.
    pub step: Step,
}

/// What a recipient can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Ask for a code.
    AskCode,
    /// This address is blocked; nothing can be done from it until then.
    Blocked {
        /// Until when.
        until: UnixTime,
    },
    /// Type the code.
    CodeSent {
        /// When it was sent last.
        at: UnixTime,
        /// Until when it is good.
        until: UnixTime,
    },
    /// Nothing: its time is over.
    Ended,
    /// Wait until the sender releases it.
    Locked,
}

/// What became of a wish for a code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CodeRequested {
    /// This address is blocked until then.
    Blocked(UnixTime),
    /// The carrier says that the number cannot receive it; the sender is told.
    NumberWrong,
    /// None was sent; it says why.
    Refused(NoCode),
    /// The carrier took it, or may have taken it.
    Sent {
        /// Until when it is good.
        until: UnixTime,
    },
    /// The carrier did not take it; try again later. It does not count.
    Unavailable,
}

/// What became of a code.
#[derive(Debug)]
pub enum Verified {
    /// This address is blocked until then; the code was not looked at.
    Blocked(UnixTime),
    /// The message is no longer there.
    Ended,
    /// No code is out, or it is too old. Not counted.
    Expired,
    /// Locked; the sender must release it.
    Locked,
    /// Not a code at all. Not counted.
    Malformed(code::Malformed),
    /// Right.
    Open(SessionGrant),
    /// Wrong.
    Wrong {
        /// How many tries are left.
        left: u8,
    },
}

/// A session: with it and the link the message can be read.
#[derive(Debug)]
pub struct SessionGrant {
    /// Its secret; the browser keeps it, the record a hash.
    pub token: SessionToken,
    /// When it ends at the latest.
    pub until: UnixTime,
}

/// An opened message.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The facts of the pickup.
    pub facts: Facts,
    /// The message, opened range by range as it is read.
    pub content: Arc<dyn Content>,
    /// Until when it can be opened again.
    pub until: UnixTime,
}

impl PickupService {
    /// What a link leads to. Changes nothing.
    ///
    /// # Errors
    /// `Unknown` for any link that is not complete and right.
    pub async fn landing(
        &self,
        id: VaultId,
        link: &LinkSecret,
        client: IpAddr,
    ) -> Result<Landing, PickupError> {
        let pickup = self.find(id, link).await?;
        let now = self.now();
        let step = if !pickup.is_open(now) {
            Step::Ended
        } else if let Some(until) = self.blocked(&pickup, client, now).await? {
            Step::Blocked { until }
        } else if pickup.locked().is_some() {
            Step::Locked
        } else {
            pickup
                .code_out(now)
                .map_or(Step::AskCode, |(at, until)| Step::CodeSent { at, until })
        };
        Ok(Landing {
            last_two: pickup.phone().map_or("", PhoneNumber::last_two).to_owned(),
            until: pickup.end(),
            facts: pickup.facts().clone(),
            step,
        })
    }

    async fn blocked(
        &self,
        pickup: &Pickup,
        client: IpAddr,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, PickupError> {
        let tenant = &pickup.facts().tenant;
        let prefix = AddressPrefix::of(client);
        Ok(self
            .parts
            .pickups
            .blocked_until(tenant, prefix, now)
            .await?)
    }

    /// Sends a code to the recipient's number, within the budget. It is counted before it is sent, so
    /// that a crash costs a code and never sends one too many.
    ///
    /// # Errors
    /// `Unknown` for any link that is not complete and right.
    pub async fn request_code(
        &self,
        id: VaultId,
        link: &LinkSecret,
        client: IpAddr,
    ) -> Result<CodeRequested, PickupError> {
        let pickup = self.find(id, link).await?;
        let now = self.now();
        if let Some(until) = self.blocked(&pickup, client, now).await? {
            return Ok(CodeRequested::Blocked(until));
        }
        let fresh = ChallengeId::random(&*self.parts.entropy)?;
        let ask = |pickup: &mut Pickup| match pickup.request_code(now, fresh) {
            CodeGrant::Refused(why) => Outcome::Keep(CodeGrant::Refused(why)),
            send @ CodeGrant::Send { .. } => Outcome::Write(send),
        };
        let (grant, pickup) = self.change(&pickup.facts().key(), ask).await?;
        match grant {
            CodeGrant::Refused(why) => Ok(CodeRequested::Refused(why)),
            CodeGrant::Send {
                challenge,
                phone,
                until,
            } => {
                let budgets = self.budgets(&phone);
                if let Some(again) = self.spend_code(pickup.facts(), &budgets, now).await? {
                    self.take_grant_back(&pickup, now).await?;
                    return Ok(CodeRequested::Refused(NoCode::SpentUntil(again)));
                }
                let message = self.code_message(&pickup, challenge, phone, until.since(now));
                let sent = self.send_code(&pickup, &message, now, until).await?;
                if matches!(sent, CodeRequested::Unavailable) {
                    self.give_code_back(pickup.facts(), &budgets).await;
                }
                Ok(sent)
            }
        }
    }

    fn code_message(
        &self,
        pickup: &Pickup,
        challenge: ChallengeId,
        phone: PhoneNumber,
        valid_for: Duration,
    ) -> CodeMessage {
        let code = code::of(&self.codes, challenge);
        let organisation = &pickup.facts().organisation;
        let language = pickup.facts().language.parse().unwrap_or_default();
        let host = self.parts.settings.host();
        CodeMessage {
            to: phone,
            text: sms::code_text(language, &code, organisation, host, valid_for),
            valid_for,
            reference: pickup.facts().id.to_string(),
        }
    }

    async fn send_code(
        &self,
        pickup: &Pickup,
        message: &CodeMessage,
        now: UnixTime,
        until: UnixTime,
    ) -> Result<CodeRequested, PickupError> {
        let key = pickup.facts().key();
        let Err(error) = self.parts.notifier.notify(message).await else {
            return Ok(CodeRequested::Sent { until });
        };
        tracing::warn!(vault = %key.id, %error, "a code was not taken by the carrier");
        match error {
            // It may be on its way: it counts.
            NotifyError::InDoubt(_) => Ok(CodeRequested::Sent { until }),
            NotifyError::Number => {
                self.doubt(&key).await?;
                Ok(CodeRequested::NumberWrong)
            }
            NotifyError::Credentials
            | NotifyError::NotAllowed
            | NotifyError::Busy
            | NotifyError::Unavailable(_) => {
                self.take_grant_back(pickup, now).await?;
                let why = error.to_string();
                self.log(pickup.facts(), vec![Happened::CodeFailed(&why)], now)
                    .await?;

                Ok(CodeRequested::Unavailable)
            }
        }
    }

    /// The code that was granted at `at` was not sent: it does not count.
    async fn take_grant_back(&self, pickup: &Pickup, at: UnixTime) -> Result<(), PickupError> {
        let refund = |pickup: &mut Pickup| {
            pickup.code_not_sent(at);
            Outcome::Write(())
        };
        self.change(&pickup.facts().key(), refund).await?;
        Ok(())
    }

    /// Looks at a code. Three wrong ones lock the message and block the address that sent the last.
    ///
    /// # Errors
    /// `Unknown` for any link that is not complete and right.
    pub async fn verify(
        &self,
        id: VaultId,
        link: &LinkSecret,
        typed: &str,
        client: IpAddr,
    ) -> Result<Verified, PickupError> {
        let pickup = self.find(id, link).await?;
        let now = self.now();
        if let Some(until) = self.blocked(&pickup, client, now).await? {
            return Ok(Verified::Blocked(until));
        }
        let token = SessionToken::random(&*self.parts.entropy)?;
        let mut before = 0;
        let check = |pickup: &mut Pickup| {
            before = pickup.serial();
            let checked = pickup.check_code(now, typed, &self.codes, &token);
            match checked {
                Checked::Right | Checked::LockedNow | Checked::Wrong { .. } => {
                    Outcome::Write(checked)
                }
                Checked::Ended | Checked::Expired | Checked::Locked | Checked::Malformed(_) => {
                    Outcome::Keep(checked)
                }
            }
        };
        let (checked, pickup) = self.change(&pickup.facts().key(), check).await?;
        Ok(match checked {
            Checked::Ended => Verified::Ended,
            Checked::Expired => Verified::Expired,
            Checked::Locked => Verified::Locked,
            Checked::LockedNow => {
                self.block((pickup, before), client, now).await?;
                Verified::Locked
            }
            Checked::Malformed(malformed) => Verified::Malformed(malformed),
            Checked::Right => Verified::Open(SessionGrant {
                until: pickup.session_end(now),
                token,
            }),
            Checked::Wrong { left } => {
                self.try_to_log(pickup, before).await;
                Verified::Wrong { left }
            }
        })
    }

    /// The answer to a code does not depend on the log: what happened stands in the record.
    async fn try_to_log(&self, pickup: Pickup, before: u32) {
        let id = pickup.facts().id;
        let events = pickup.unlogged_since(before, self.now());
        if let Err(error) = self.log_unlogged(pickup, events).await {
            tracing::warn!(vault = %id, %error, "what happened could not be logged yet");
        }
    }

    async fn block(
        &self,
        (pickup, before): (Pickup, u32),
        client: IpAddr,
        now: UnixTime,
    ) -> Result<(), PickupError> {
        let facts = pickup.facts().clone();
        let until = now.plus(Duration::from_secs(BLOCK_MINUTES * 60));
        self.parts
            .pickups
            .block(&facts.tenant, AddressPrefix::of(client), until)
            .await?;
        self.try_to_log(pickup, before).await;
        self.log(&facts, vec![Happened::AddressBlocked], now).await
    }

    /// Opens the message for who holds link and session. Changes nothing.
    ///
    /// # Errors
    /// `Unknown` where link or session are not of this message, or the session is over.
    pub async fn open(
        &self,
        id: VaultId,
        link: &LinkSecret,
        session: &SessionToken,
    ) -> Result<Opened, PickupError> {
        let pickup = self.admitted(id, link, session).await?;
        let key = pickup.facts().key();
        let wrapped = pickup.wrapped_key().ok_or(PickupError::Destroyed)?;
        let share = self.fetch_known(&key, KeyPurpose::ServerShare).await?;
        let content_key = wrapped.open_with_link(&key, link.key(), &share)?;
        let sealed = self.parts.vault.open(&key).await?;
        let content = seal::open(&sealed, &content_key, &seal::wrap::vault_context(&key)).await?;
        Ok(Opened {
            facts: pickup.facts().clone(),
            content,
            until: pickup.end(),
        })
    }

    async fn admitted(
        &self,
        id: VaultId,
        link: &LinkSecret,
        session: &SessionToken,
    ) -> Result<Pickup, PickupError> {
        let pickup = self.find(id, link).await?;
        if pickup.admits(session, self.now()) {
            Ok(pickup)
        } else {
            Err(PickupError::Unknown)
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    /// `Unknown` where link or session are not of this message.
    pub async fn close(
        &self,
        id: VaultId,
        link: &LinkSecret,
        session: &SessionToken,
    ) -> Result<(), PickupError> {
        let key = self.admitted(id, link, session).await?.facts().key();
        let close = |pickup: &mut Pickup| {
            pickup.close(session);
            Outcome::Write(())
        };
        self.change(&key, close).await?;
        Ok(())
    }

    /// Destroys the message now, by its recipient's wish.
    ///
    /// # Errors
    /// `Unknown` where link or session are not of this message.
    pub async fn destroy_now(
        &self,
        id: VaultId,
        link: &LinkSecret,
        session: &SessionToken,
    ) -> Result<(), PickupError> {
        let key = self.admitted(id, link, session).await?.facts().key();
        self.destroy(&key, Ending::RecipientsWish).await
    }

    /// The recipient says that the number is not theirs; the sender is told, once.
    ///
    /// # Errors
    /// `Unknown` for any link that is not complete and right.
    pub async fn not_my_number(&self, id: VaultId, link: &LinkSecret) -> Result<(), PickupError> {
        let key = self.find(id, link).await?.facts().key();
        self.doubt(&key).await
    }

    /// The carrier reports that the number of this message cannot receive codes; the sender is told,
    /// once. A message that is over is none of the carrier's business any more.
    ///
    /// # Errors
    /// Where that could not be written down; then it may be reported again.
    pub async fn code_undeliverable(&self, id: VaultId) -> Result<(), PickupError> {
        match self.locate(id).await {
            Ok(pickup) => self.doubt(&pickup.facts().key()).await,
            Err(PickupError::Unknown) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn doubt(&self, key: &crate::vocab::VaultKey) -> Result<(), PickupError> {
        let now = self.now();
        let doubt = |pickup: &mut Pickup| {
            if pickup.doubt_number(now) {
                Outcome::Write(true)
            } else {
                Outcome::Keep(false)
            }
        };
        let (doubted, pickup) = self.change(key, doubt).await?;
        if doubted {
            self.log(pickup.facts(), vec![Happened::NumberDoubted], now)
                .await?;
        }
        Ok(())
    }
}
