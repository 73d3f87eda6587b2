//! P5: any two of {store with vault, key store, master key, mail to the recipient, text message},
//! except mail with text message, read nothing, in every state of a pickup.
//!
//! The thief here has what was taken and tries all that can be made of it, offline and against the
//! running service. Controls show that the thief knows the trade.

mod pickup_world;

use std::sync::Arc;

use pickup_world::*;
use securemail_core::backend::{
    KeyPurpose, KeyRef, KeyStore, MasterKey, PickupRecord, Pickups, Vault, WrappedKey,
};
use securemail_core::drive::pickup::{CodeRequested, NumberGiven, Verified};
use securemail_core::pickup::{LinkSecret, Pickup, SenderToken, SessionToken, Tell};
use securemail_core::seal::{self, LocalMasterKey, RecordCipher, WrappedContentKey};
use securemail_core::secret::Key32;
use securemail_core::vocab::{SealedContent, VaultKey};

/// What can be stolen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Loot {
    Store,
    Keys,
    Master,
    Mail,
    Sms,
}

const LOOT: [Loot; 5] = [Loot::Store, Loot::Keys, Loot::Master, Loot::Mail, Loot::Sms];

/// How far the pickup has come.
#[derive(Clone, Copy, Debug)]
enum State {
    NumberMissing,
    NoticePending,
    Notified,
    CodeOut,
    PickedUp,
    Locked,
    LinkForgotten,
}

const STATES: [State; 7] = [
    State::NumberMissing,
    State::NoticePending,
    State::Notified,
    State::CodeOut,
    State::PickedUp,
    State::Locked,
    State::LinkForgotten,
];

/// A message in a state, and the mail that its recipient got, if there was one.
struct Target {
    world: World,
    key: VaultKey,
    mail: Option<Tell>,
}

impl Target {
    async fn in_state(state: State) -> Self {
        let world = World::new().await;
        let mut deposit = deposit(1, None);
        deposit.tenant.forget_link = matches!(state, State::LinkForgotten);
        let key = world.service.deposit(deposit).await.unwrap().key;
        let mut target = Self {
            world,
            key,
            mail: None,
        };
        target.bring_to(state).await;
        target
    }

    async fn bring_to(&mut self, state: State) {
        if matches!(state, State::NumberMissing) {
            return;
        }
        let service = Arc::clone(&self.world.service);
        let phone = NUMBER.parse().unwrap();
        let given = service.number_given(&self.key, &phone).await.unwrap();
        let NumberGiven::LinkMade(Some(tell)) = given else {
            panic!("{given:?}")
        };
        self.mail = Some(*tell);
        if matches!(state, State::NoticePending) {
            return;
        }
        service.notice_taken(&self.key).await.unwrap();
        let waiting = self.waiting();
        match state {
            State::NumberMissing
            | State::NoticePending
            | State::Notified
            | State::LinkForgotten => {}
            State::CodeOut => {
                self.world.code(&waiting).await;
            }
            State::PickedUp => {
                self.world.session(&waiting).await;
            }
            State::Locked => {
                let code = self.world.code(&waiting).await;
                for _ in 0..3 {
                    self.world.verify(&waiting, &wrong(&code)).await;
                }
            }
        }
        self.world.clock.advance(HOUR);
    }

    fn waiting(&self) -> Waiting {
        let (id, link) = link_of(self.mail.as_ref().unwrap());
        Waiting {
            key: self.key.clone(),
            id,
            link,
        }
    }
}

/// Who has some of it.
struct Thief {
    key: VaultKey,
    stored: Option<(PickupRecord, SealedContent)>,
    wrapped: Vec<(KeyRef, WrappedKey)>,
    master: Option<Arc<LocalMasterKey>>,
    link: Option<LinkSecret>,
    reads_texts: bool,
}

impl Thief {
    async fn with(target: &Target, loot: &[Loot]) -> Self {
        let world = &target.world;
        let has = |what| loot.contains(&what);
        let mut thief = Self {
            key: target.key.clone(),
            stored: None,
            wrapped: Vec::new(),
            master: has(Loot::Master).then(|| Arc::clone(&world.master)),
            link: None,
            reads_texts: has(Loot::Sms),
        };
        if has(Loot::Store) {
            let record = world.pickups.load(&target.key).await.unwrap();
            thief.stored = Some((record, world.vault.open(&target.key).await.unwrap()));
        }
        if has(Loot::Keys) {
            for purpose in [
                KeyPurpose::ContentKey,
                KeyPurpose::LinkSecret,
                KeyPurpose::ServerShare,
            ] {
                let reference = KeyRef::of_message(&target.key.tenant, purpose, target.key.id);
                if let Ok(wrapped) = world.keys.fetch(&reference).await {
                    thief.wrapped.push((reference, wrapped));
                }
            }
        }
        if has(Loot::Mail) {
            thief.link = target.mail.as_ref().map(|tell| link_of(tell).1);
        }
        thief
    }

    /// Everything that could be a key: what is unwrapped, and every window of what is not.
    async fn keys(&self) -> Vec<Key32> {
        let mut keys: Vec<Key32> = self.link.iter().map(|link| link.key().clone()).collect();
        for (reference, wrapped) in &self.wrapped {
            match &self.master {
                Some(master) => keys.push(master.unwrap(reference, wrapped).await.unwrap()),
                None => keys.extend(windows(&wrapped.0)),
            }
        }
        if let Some(master) = &self.master {
            for label in [
                "pickup/record",
                "pickup/code",
                "portal/cookie",
                "spool/record",
            ] {
                keys.push(master.derive(label).await.unwrap());
            }
        }
        keys
    }

    /// The state of the record, for who has the master key.
    async fn state(&self) -> Option<Pickup> {
        let (record, _) = self.stored.as_ref()?;
        let key = self.master.as_ref()?.derive("pickup/record").await.unwrap();
        let context = [
            b"pickup\0".as_slice(),
            record.key.tenant.as_str().as_bytes(),
            &[0],
            record.key.id.as_bytes(),
            &record.version.to_be_bytes(),
        ]
        .concat();
        let plain = RecordCipher::new(key)
            .open(&context, &record.sealed_state)
            .unwrap();
        Some(serde_json::from_slice(&plain).unwrap())
    }

    /// With the stolen octets alone.
    async fn reads_offline(&self) -> bool {
        let Some((record, sealed)) = &self.stored else {
            return false;
        };
        let keys = self.keys().await;
        let mut content_keys = keys.clone();
        content_keys.extend(windows(&record.sealed_state));
        if let Some(wrapped) = self
            .state()
            .await
            .and_then(|state| state.wrapped_key().cloned())
        {
            content_keys.extend(self.unwrapped(&wrapped, &keys));
        }
        let context = seal::wrap::vault_context(&self.key);
        for key in content_keys {
            if seal::open(sealed, &key, &context).await.is_ok() {
                return true;
            }
        }
        false
    }

    fn unwrapped(&self, wrapped: &WrappedContentKey, keys: &[Key32]) -> Vec<Key32> {
        let pairs = keys
            .iter()
            .flat_map(|link| keys.iter().map(move |share| (link, share)));
        pairs
            .filter_map(|(link, share)| wrapped.open_with_link(&self.key, link, share).ok())
            .collect()
    }

    /// Against the running service.
    async fn reads_online(&self, world: &World) -> bool {
        let mut links: Vec<LinkSecret> = self.link.iter().cloned().collect();
        links.extend(self.keys().await.into_iter().map(LinkSecret::new));
        self.turns_the_number(world).await;
        for link in &links {
            if world
                .service
                .landing(self.key.id, link, client())
                .await
                .is_err()
            {
                continue;
            }
            let asked = world
                .service
                .request_code(self.key.id, link, client())
                .await;
            let sent = matches!(asked, Ok(CodeRequested::Sent { .. }));
            let mut codes = Vec::new();
            if sent && self.reads_texts {
                codes.push(world.last_code());
            }
            codes.extend(self.codes_made(world).await);
            codes.push("000000".to_owned());
            for code in codes.iter().take(3) {
                let from = "203.0.113.66".parse().unwrap();
                let verified = world.service.verify(self.key.id, link, code, from).await;
                if let Ok(Verified::Open(grant)) = verified {
                    return world
                        .service
                        .open(self.key.id, link, &grant.token)
                        .await
                        .is_ok();
                }
            }
            for key in self.keys().await {
                let forged = SessionToken::new(key);
                if world.service.open(self.key.id, link, &forged).await.is_ok() {
                    return true;
                }
            }
        }
        false
    }

    /// Codes that follow from the master key and the id of a challenge, where that was stolen too; it
    /// stands in the record as it was before the thief asked for a code.
    async fn codes_made(&self, world: &World) -> Vec<String> {
        let Some(master) = &self.master else {
            return Vec::new();
        };
        let key = master.derive("pickup/code").await.unwrap();
        let mut challenges = vec![serde_json::to_value([0_u8; 16]).unwrap()];
        if self.stored.is_some() {
            // Who reads the store today reads the newest record as well.
            let fresh = Self {
                key: self.key.clone(),
                stored: Some((
                    world.pickups.load(&self.key).await.unwrap(),
                    world.vault.open(&self.key).await.unwrap(),
                )),
                wrapped: Vec::new(),
                master: Some(Arc::clone(master)),
                link: None,
                reads_texts: false,
            };
            let state = serde_json::to_value(fresh.state().await.unwrap()).unwrap();
            challenges.extend(state.pointer("/challenge/id").cloned());
        }
        let made = |value| {
            let challenge = serde_json::from_value(value).unwrap();
            securemail_core::pickup::code::of(&key, challenge)
                .expose()
                .to_owned()
        };
        challenges.into_iter().rev().map(made).collect()
    }

    /// Tries to have codes sent elsewhere, by a token of the sender's form made from keys at hand.
    async fn turns_the_number(&self, world: &World) {
        for key in self.keys().await {
            let token = SenderToken::new(self.key.id, key);
            assert!(world.service.sender_view(&token).await.is_err());
        }
    }

    async fn reads(&self, target: &Target) -> bool {
        self.reads_offline().await || self.reads_online(&target.world).await
    }
}

/// Every part of 32 octets.
fn windows(octets: &[u8]) -> Vec<Key32> {
    let parts = octets.windows(32).filter_map(|part| part.try_into().ok());
    parts.map(Key32::from_bytes).collect()
}

#[tokio::test]
async fn no_two_but_mail_and_text_message_read_anything_in_any_state() {
    for state in STATES {
        for (number, first) in LOOT.into_iter().enumerate() {
            for second in LOOT.into_iter().skip(number + 1) {
                if (first, second) == (Loot::Mail, Loot::Sms) {
                    continue;
                }
                let target = Target::in_state(state).await;
                let thief = Thief::with(&target, &[first, second]).await;
                let read = thief.reads(&target).await;
                assert!(!read, "{first:?} and {second:?} read a message: {state:?}");
            }
        }
    }
}

#[tokio::test]
async fn mail_and_text_message_read_it() {
    for state in [
        State::NoticePending,
        State::Notified,
        State::CodeOut,
        State::PickedUp,
        State::LinkForgotten,
    ] {
        let target = Target::in_state(state).await;
        let thief = Thief::with(&target, &[Loot::Mail, Loot::Sms]).await;
        assert!(thief.reads(&target).await, "{state:?}");
    }
}

/// The thief of these tests can open what can be opened: with all three places of keys and ciphertext
/// in hand, the message is read wherever the link is still kept.
#[tokio::test]
async fn store_keys_and_master_key_together_read_it() {
    let all = [Loot::Store, Loot::Keys, Loot::Master];
    for state in STATES {
        let target = Target::in_state(state).await;
        let thief = Thief::with(&target, &all).await;
        let is_kept = !matches!(state, State::LinkForgotten);
        assert_eq!(thief.reads_offline().await, is_kept, "{state:?}");
    }
}

/// A forgotten link is the fourth thing that is needed.
#[tokio::test]
async fn with_the_mail_added_even_a_forgotten_link_is_read() {
    let target = Target::in_state(State::LinkForgotten).await;
    let all = [Loot::Store, Loot::Keys, Loot::Master, Loot::Mail];
    assert!(Thief::with(&target, &all).await.reads_offline().await);
}
