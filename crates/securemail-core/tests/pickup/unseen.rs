//! P7: until retention ends, nobody but the recipient learns whether or when a message was opened.

use securemail_core::backend::{AuditSink, KeyPurpose, KeyRef, KeyStore, Pickups, Vault};
use securemail_core::drive::pickup::{NumberGiven, Remember, SenderStep};
use securemail_core::ledger::{EventName, Log, PersonalPart};
use securemail_core::pickup::{SenderToken, TellKind};
use securemail_core::vocab::UnixTime;

use crate::pickup_world::*;

/// What a recipient does with a message that is kept for 30 days, with 7 days of grace.
#[derive(Clone, Copy, Debug)]
enum History {
    NeverOpened,
    OpenedOnDay(u32),
    DestroyedOnDay(u32),
}

/// What stands in the log of the tenant: position, time, name and facts of each event.
type Events = Vec<(u64, UnixTime, EventName, PersonalPart)>;

struct Told {
    world: World,
    waiting: Waiting,
    form: SenderToken,
    history: History,
    day: u32,
}

impl Told {
    /// Nobody knew the number, so that the sender has a form, and gave it.
    async fn begin(history: History) -> Self {
        let world = World::new().await;
        let deposited = world.service.deposit(deposit(1, None)).await.unwrap();
        let tell = deposited.tell.unwrap();
        world.service.told(&tell.told()).await.unwrap();
        let form = token_of(&tell);
        let given = world
            .service
            .set_number(&form, &NUMBER.parse().unwrap(), Remember::ThisMessage)
            .await;
        let Ok(NumberGiven::LinkMade(Some(notice))) = given else {
            panic!("{given:?}")
        };
        world.service.told(&notice.told()).await.unwrap();
        world.service.notice_taken(&deposited.key).await.unwrap();
        let (id, link) = link_of(&notice);
        let waiting = Waiting {
            key: deposited.key,
            id,
            link,
        };
        Self {
            world,
            waiting,
            form,
            history,
            day: 0,
        }
    }

    async fn next_day(&mut self) {
        self.world.clock.advance(DAY);
        self.day += 1;
        match self.history {
            History::OpenedOnDay(day) if day == self.day => {
                let session = self.world.session(&self.waiting).await;
                self.world
                    .open(&self.waiting, &session.token)
                    .await
                    .unwrap();
            }
            History::DestroyedOnDay(day) if day == self.day => {
                let session = self.world.session(&self.waiting).await;
                let (id, link) = (self.waiting.id, &self.waiting.link);
                let destroyed = self.world.service.destroy_now(id, link, &session.token);
                destroyed.await.unwrap();
            }
            History::NeverOpened | History::OpenedOnDay(_) | History::DestroyedOnDay(_) => {}
        }
        let tells = self.world.sweep_and_tell().await;
        // Only the recipient, who knows, is reminded or not.
        assert!(
            self.day >= 30 || tells.iter().all(|tell| *tell == TellKind::Reminder),
            "{tells:?}"
        );
    }

    async fn events(&self) -> Events {
        let log = Log::of_tenant(tenant_id(), &*self.world.master)
            .await
            .unwrap();
        let page = self.world.audit.page(&tenant_id(), 0, 1000).await.unwrap();
        let events = page.events.iter().map(|event| log.read(event).unwrap());
        events
            .map(|event| (event.position, event.time, event.name, event.personal))
            .collect()
    }

    async fn form(&self) -> SenderStep {
        let view = self.world.service.sender_view(&self.form).await;
        view.unwrap().step
    }

    async fn is_destroyed(&self) -> bool {
        let key = &self.waiting.key;
        let share = KeyRef::of_message(&key.tenant, KeyPurpose::ServerShare, key.id);
        let link = KeyRef::of_message(&key.tenant, KeyPurpose::LinkSecret, key.id);
        self.world.keys.fetch(&share).await.is_err()
            && self.world.keys.fetch(&link).await.is_err()
            && self.world.vault.open(key).await.is_err()
    }

    async fn give(&self, number: &str) -> bool {
        let number = number.parse().unwrap();
        let remember = Remember::ForOrganisation;
        let given = self.world.service.set_number(&self.form, &number, remember);
        matches!(given.await.unwrap(), NumberGiven::Changed)
    }
}

const HISTORIES: [History; 5] = [
    History::OpenedOnDay(1),
    History::DestroyedOnDay(3),
    History::OpenedOnDay(12),
    History::OpenedOnDay(29),
    History::DestroyedOnDay(29),
];

#[tokio::test]
async fn nobody_learns_when_it_was_opened() {
    for history in HISTORIES {
        let mut never = Told::begin(History::NeverOpened).await;
        let mut opened = Told::begin(history).await;
        for day in 1..30 {
            never.next_day().await;
            opened.next_day().await;
            let said = format!("{history:?}, day {day}");
            assert_eq!(opened.events().await, never.events().await, "{said}");
            assert_eq!(opened.form().await, never.form().await, "{said}");
        }
        assert!(!never.is_destroyed().await);
        let day = match history {
            History::OpenedOnDay(day) => (day + 7).min(30),
            History::DestroyedOnDay(day) => day,
            History::NeverOpened => 30,
        };
        // It is gone when it must go, whatever is told.
        assert_eq!(opened.is_destroyed().await, day < 30, "{history:?}");
        for told in [&mut never, &mut opened] {
            told.next_day().await;
            told.world.clock.advance(MINUTE);
            told.world.sweep_and_tell().await;
            assert!(told.world.is_gone(&told.waiting.key).await, "{history:?}");
        }
        let end = opened.events().await.pop().unwrap();
        assert_eq!(end.2, EventName::Destroyed);
        assert!(end.1 >= opened.world.now().minus(MINUTE), "{history:?}");
        let end = never.events().await.pop().unwrap();
        assert_eq!(end.2, EventName::ContentHandoverFailure);
    }
}

#[tokio::test]
async fn the_form_answers_its_sender_alike_whether_somebody_came_or_not() {
    for history in [
        History::NeverOpened,
        History::DestroyedOnDay(3),
        History::OpenedOnDay(1),
    ] {
        let mut told = Told::begin(history).await;
        for _ in 0..9 {
            told.next_day().await;
        }
        let destroyed = !matches!(history, History::NeverOpened);
        assert_eq!(told.is_destroyed().await, destroyed);
        let before = told.events().await.len();
        let service = &told.world.service;
        assert!(service.renew_notice(&told.form).await.unwrap());
        // The number that it has, and another one.
        assert!(told.give(NUMBER).await);
        assert!(told.give("+31687654321").await);
        service.release(&told.form).await.unwrap();
        let last_two = "21".to_owned();
        assert_eq!(told.form().await, SenderStep::Waiting { last_two });
        let given = [EventName::PhoneGiven; 2];
        let events = told.events().await;
        let added: Vec<_> = events[before..].iter().map(|event| event.2).collect();
        assert_eq!(added, given, "{history:?}");
        let tells = told.world.sweep().await;
        let kinds: Vec<_> = tells.iter().map(|tell| tell.kind).collect();
        let again: &[TellKind] = if destroyed {
            &[]
        } else {
            &[TellKind::NoticeAgain]
        };
        assert_eq!(kinds, again);
        assert!(kinds.iter().all(|kind| kind.arrives_quietly()));
        assert_eq!(told.is_destroyed().await, destroyed);
    }
}

#[tokio::test]
async fn a_locked_message_that_was_read_before_stays_locked_for_its_sender() {
    let mut told = Told::begin(History::OpenedOnDay(1)).await;
    told.next_day().await;
    told.world.clock.advance(HOUR);
    let code = told.world.code(&told.waiting).await;
    for _ in 0..3 {
        told.world.verify(&told.waiting, &wrong(&code)).await;
    }
    let tells = told.world.sweep_and_tell().await;
    assert_eq!(tells, [TellKind::Locked]);
    for _ in 0..9 {
        told.next_day().await;
    }
    assert!(told.is_destroyed().await);
    let locked = |step: &SenderStep| matches!(step, SenderStep::Locked { .. });
    assert!(locked(&told.form().await));
    told.world.service.release(&told.form).await.unwrap();
    assert!(!locked(&told.form().await));
    let last = told.events().await.pop().unwrap();
    assert_eq!(last.2, EventName::Released);
}

#[tokio::test]
async fn what_was_picked_up_and_destroyed_leaves_a_record_that_opens_nothing() {
    let mut told = Told::begin(History::DestroyedOnDay(3)).await;
    for _ in 0..4 {
        told.next_day().await;
    }
    assert!(told.is_destroyed().await);
    assert_eq!(told.world.keys.count(), 0);
    let record = told.world.pickups.load(&told.waiting.key).await.unwrap();
    let due = record.due;
    let opened = told.world.now();
    assert!(due > opened.plus(25 * DAY), "{due:?}");
    let service = &told.world.service;
    let (id, link) = (told.waiting.id, &told.waiting.link);
    assert!(service.landing(id, link, client()).await.is_err());
    assert!(service.request_code(id, link, client()).await.is_err());
}
