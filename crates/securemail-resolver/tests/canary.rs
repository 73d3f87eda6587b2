//! Canaries: what they may and may not say, and that mail is held while one is wrong.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{SystemClock, agreed, ask, build, impatient, nowhere, resolver, settings, zones};
use securemail_core::backend::Clock;
use securemail_core::vocab::{DnsName, LookupFailure, Outcome, RecordKind, Security, UnixTime};
use securemail_resolver::{Canaries, CanaryAlarm, HickoryResolver};
use securemail_testkit::dns::Fault;
use tokio::sync::mpsc;

fn canaries() -> Canaries {
    Canaries {
        signed: name("mx.good.test"),
        bogus: name("mx.bogus.test"),
        unsigned: name("mx.plain.test"),
        absent: name("none.good.test"),
    }
}

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

#[tokio::test]
async fn what_is_as_it_must_be_raises_no_alarm() {
    let dns = zones().start().await.unwrap();
    for resolver in [resolver(&dns), agreed(&dns)] {
        let report = resolver.listen(&canaries()).await;
        assert_eq!((report.alarm, report.unheard), (None, Vec::new()));
    }
    assert!(Canaries::public().is_ok());
}

#[tokio::test]
async fn a_canary_that_says_what_cannot_be_holds_everything_until_it_is_well() {
    let dns = zones().start().await.unwrap();
    let signed = name("mx.good.test");
    let wrong = [
        (
            Canaries {
                bogus: signed.clone(),
                ..canaries()
            },
            CanaryAlarm::BogusAccepted,
        ),
        (
            // Whatever is asked comes as signed.
            Canaries {
                unsigned: signed.clone(),
                bogus: signed.clone(),
                ..canaries()
            },
            CanaryAlarm::UnsignedSecure,
        ),
        (
            Canaries {
                absent: signed,
                ..canaries()
            },
            CanaryAlarm::AbsentAnswered,
        ),
    ];
    let resolver = resolver(&dns);
    for (canaries_then, alarm) in wrong {
        assert_eq!(resolver.listen(&canaries_then).await.alarm, Some(alarm));
        assert_held(&resolver).await;
        assert_eq!(resolver.listen(&canaries()).await.alarm, None);
        let well = ask(&resolver, "mx.good.test", RecordKind::A).await;
        assert_eq!(well.security, Security::Secure, "{alarm:?}");
    }
}

#[tokio::test]
async fn signatures_that_are_taken_away_on_the_way_are_an_alarm() {
    let dns = zones().start().await.unwrap();
    let resolver = resolver(&dns);
    assert_eq!(resolver.listen(&canaries()).await.alarm, None);
    dns.inject(Fault::StripDnssec);
    let report = resolver.listen(&canaries()).await;
    assert_eq!(report.alarm, Some(CanaryAlarm::SignedNotSecure));
    assert_held(&resolver).await;
}

/// What was kept shortly before the alarm may be what raised it.
#[tokio::test]
async fn answers_from_before_an_alarm_are_not_used_after_it() {
    let dns = zones().start().await.unwrap();
    let resolver = build(&impatient(&dns));
    let kept = ask(&resolver, "mx.good.test", RecordKind::A).await;
    let wrong = Canaries {
        absent: name("mx.good.test"),
        ..canaries()
    };
    assert!(resolver.listen(&wrong).await.alarm.is_some());
    assert!(resolver.listen(&canaries()).await.alarm.is_none());
    dns.inject(Fault::Silent);
    let after = ask(&resolver, "mx.good.test", RecordKind::A).await;
    assert!(kept.expires > SystemClock.now(), "it could have been used");
    assert_eq!(after.outcome, Outcome::Failed(LookupFailure::Timeout));
}

async fn assert_held(resolver: &HickoryResolver) {
    let held = ask(resolver, "mx.good.test", RecordKind::A).await;
    let unusable = Outcome::Failed(LookupFailure::Unusable);
    assert_eq!(held.outcome, unusable);
}

#[tokio::test]
async fn a_second_validator_that_vouches_for_a_wrong_signature_is_an_alarm() {
    let dns = zones().start().await.unwrap();
    let other = zones().start().await.unwrap();
    // The second validator is asked about a name that it can prove, and the first cannot.
    let mut settings = settings(&dns);
    settings.second_opinion = vec![other.validator_addr()];
    let resolver = build(&settings);
    let vouched = Canaries {
        bogus: name("mx.good.test"),
        ..canaries()
    };
    let report = resolver.listen(&vouched).await;
    assert_eq!(report.alarm, Some(CanaryAlarm::SecondAcceptsBogus));
}

/// A zone of somebody else that is down, or that its owner changed, must not stop mail.
#[tokio::test]
async fn a_canary_that_is_silent_or_gone_holds_nothing() {
    let dns = zones().start().await.unwrap();
    let well = resolver(&dns);
    let (signed, unsigned, gone) = ("mx.good.test", "mx.plain.test", "none.good.test");
    let bogus = |text| Canaries {
        bogus: name(text),
        ..canaries()
    };
    let unsigned_now = Canaries {
        signed: name(unsigned),
        ..canaries()
    };
    let signed_now = Canaries {
        unsigned: name(signed),
        ..canaries()
    };
    let changed = [
        (bogus(gone), gone),
        (bogus(unsigned), unsigned),
        (unsigned_now, unsigned),
        (signed_now, signed),
    ];
    for (canaries, which) in changed {
        let report = well.listen(&canaries).await;
        assert_eq!((report.alarm, report.unheard), (None, vec![name(which)]));
    }
    let mut cut_off = settings(&dns);
    cut_off.servers = vec![nowhere()];
    let report = build(&cut_off).listen(&canaries()).await;
    assert_eq!((report.alarm, report.unheard.len()), (None, 4));
}

/// A clock on which sleeping takes no time. It tells of each sleep; once nobody listens, it sleeps for ever.
#[derive(Debug)]
struct Hasty {
    slept: mpsc::Sender<Duration>,
}

#[async_trait]
impl Clock for Hasty {
    fn now(&self) -> UnixTime {
        SystemClock.now()
    }

    async fn sleep_until(&self, deadline: UnixTime) {
        let minutes = (deadline.since(self.now()).as_secs() + 30) / 60;
        let slept = Duration::from_secs(60 * minutes);
        if self.slept.send(slept).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[tokio::test]
async fn canaries_are_heard_each_hour_and_each_minute_while_one_is_wrong() {
    let dns = zones().start().await.unwrap();
    let wrong = Canaries {
        absent: name("mx.good.test"),
        ..canaries()
    };
    let invented = Some(CanaryAlarm::AbsentAnswered);
    for (canaries, minutes, alarm) in [(canaries(), 60, None), (wrong, 1, invented)] {
        let (slept, mut sleeps) = mpsc::channel(1);
        let clock = Arc::new(Hasty { slept });
        let resolver = HickoryResolver::new(&settings(&dns), clock).unwrap();
        let three = async {
            for _ in 0..3 {
                let slept = sleeps.recv().await;
                assert_eq!(slept, Some(Duration::from_secs(60 * minutes)));
            }
        };
        resolver.listen(&canaries).await;
        let told = Mutex::new(Vec::new());
        let listening = resolver.keep_listening(&canaries, |alarm| {
            told.lock().unwrap().push(alarm);
            std::future::ready(())
        });
        let heard = async {
            tokio::select! {
                () = listening => panic!("it ends by itself"),
                () = three => {}
            }
        };
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, heard).await.unwrap();
        let told = told.lock().unwrap();
        assert!(told.len() >= 2, "after each pause");
        assert!(told.iter().all(|heard| *heard == alarm), "{told:?}");
    }
}
