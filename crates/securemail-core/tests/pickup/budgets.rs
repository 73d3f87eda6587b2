//! Codes to one number, and for one tenant, are bounded whatever the number of messages.

use std::sync::Arc;

use securemail_core::backend::NotifyError;
use securemail_core::drive::pickup::{
    CodeBudgets, CodeRequested, PickupParts, PickupService, PickupSettings, Verified,
};
use securemail_core::ledger::EventName;
use securemail_core::pickup::NoCode;
use securemail_core::vocab::UnixTime;

use crate::pickup_world::*;

/// Another process over the stores of `world`, with these budgets.
async fn process(world: &World, budgets: CodeBudgets) -> PickupService {
    let mut settings = PickupSettings::new("https://mail.example");
    settings.budgets = budgets;
    PickupService::new(PickupParts {
        pickups: Arc::clone(&world.pickups) as _,
        vault: Arc::clone(&world.vault) as _,
        keys: Arc::clone(&world.keys) as _,
        master: Arc::clone(&world.master) as _,
        directory: Arc::clone(&world.directory) as _,
        notifier: Arc::clone(&world.notifier) as _,
        audit: Arc::clone(&world.audit) as _,
        clock: Arc::clone(&world.clock) as _,
        entropy: Arc::clone(&world.entropy) as _,
        settings,
    })
    .await
    .unwrap()
}

fn budgets(per_number_hour: u32, per_number_day: u32, per_tenant_day: u32) -> CodeBudgets {
    CodeBudgets {
        per_number_hour,
        per_number_day,
        per_tenant_day,
    }
}

async fn ask(service: &PickupService, waiting: &Waiting) -> CodeRequested {
    let asked = service.request_code(waiting.id, &waiting.link, client());
    asked.await.unwrap()
}

fn is_sent(asked: &CodeRequested) -> bool {
    matches!(asked, CodeRequested::Sent { .. })
}

fn spent_until(at: UnixTime) -> CodeRequested {
    CodeRequested::Refused(NoCode::SpentUntil(at))
}

/// Messages that wait for codes to these numbers.
async fn messages(world: &World, numbers: &[&str]) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for (queue, number) in (1..).zip(numbers) {
        waiting.push(world.waiting_with(deposit(queue, Some(number))).await);
    }
    waiting
}

const OTHER: &str = "+31687654321";

#[tokio::test]
async fn a_number_gets_no_more_however_many_messages_there_are_and_processes() {
    let world = World::new().await;
    let waiting = messages(&world, &[NUMBER, NUMBER, NUMBER, NUMBER, OTHER]).await;
    let first = world.now();
    let (one, two) = (
        process(&world, budgets(2, 3, 100)).await,
        process(&world, budgets(2, 3, 100)).await,
    );
    assert!(is_sent(&ask(&one, &waiting[0]).await));
    assert!(is_sent(&ask(&two, &waiting[1]).await));
    assert_eq!(ask(&one, &waiting[2]).await, spent_until(first.plus(HOUR)));
    assert_eq!(ask(&two, &waiting[3]).await, spent_until(first.plus(HOUR)));
    assert_eq!(world.notifier.sent().len(), 2);
    assert!(is_sent(&ask(&one, &waiting[4]).await), "another number");
    world.clock.set(first.plus(HOUR));
    assert!(is_sent(&ask(&two, &waiting[2]).await), "an hour later");
    assert_eq!(ask(&one, &waiting[3]).await, spent_until(first.plus(DAY)));
    world.clock.set(first.plus(DAY));
    assert!(is_sent(&ask(&one, &waiting[3]).await), "a day later");
}

#[tokio::test]
async fn a_tenant_sends_no_more_in_a_day_and_its_log_says_so_once() {
    let world = World::new().await;
    let waiting = messages(&world, &[NUMBER, OTHER, "+31611111111", "+31622222222"]).await;
    let first = world.now();
    let service = process(&world, budgets(10, 10, 2)).await;
    assert!(is_sent(&ask(&service, &waiting[0]).await));
    assert!(is_sent(&ask(&service, &waiting[1]).await));
    let failed = |events: Vec<EventName>| {
        let failed = events.into_iter().filter(|e| *e == EventName::CodeFailed);
        failed.count()
    };
    assert_eq!(failed(world.events().await), 0);
    for message in [&waiting[2], &waiting[3], &waiting[2]] {
        assert_eq!(ask(&service, message).await, spent_until(first.plus(DAY)));
        world.clock.advance(MINUTE);
    }
    assert_eq!(failed(world.events().await), 1, "once in a window");
    assert_eq!(world.notifier.sent().len(), 2);
    world.clock.set(first.plus(DAY));
    assert!(is_sent(&ask(&service, &waiting[2]).await));
}

#[tokio::test]
async fn what_a_budget_refused_does_not_count_for_the_message() {
    let world = World::new().await;
    let waiting = messages(&world, &[NUMBER, NUMBER]).await;
    let first = world.now();
    let service = process(&world, budgets(1, 10, 100)).await;
    assert!(is_sent(&ask(&service, &waiting[0]).await));
    for _ in 0..5 {
        assert_eq!(
            ask(&service, &waiting[1]).await,
            spent_until(first.plus(HOUR))
        );
        // There is no code that a typed one could be compared with: it costs no try.
        let typed = service.verify(waiting[1].id, &waiting[1].link, "123456", client());
        assert!(matches!(typed.await.unwrap(), Verified::Expired));
        world.clock.advance(MINUTE);
    }
    world.clock.set(first.plus(HOUR));
    assert!(is_sent(&ask(&service, &waiting[1]).await));
}

#[tokio::test]
async fn what_the_carrier_did_not_take_is_given_back() {
    let world = World::new().await;
    let waiting = messages(&world, &[NUMBER]).await;
    let service = process(&world, budgets(1, 1, 1)).await;
    world.notifier.fail_next(NotifyError::Busy);
    let asked = ask(&service, &waiting[0]).await;
    assert_eq!(asked, CodeRequested::Unavailable);
    world.clock.advance(MINUTE);
    assert!(is_sent(&ask(&service, &waiting[0]).await));
}
