//! Alarms of the node: one event where one begins and one where it is over; each occurrence is counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Relay;
use crate::StoreError;
use crate::backend::{AuditSink, Fact};
use crate::ledger::{self, Event, EventName, Log, ReadEvent, lasting_alarms};
use crate::route::{Decision, Evidence, contradictions, fall};
use crate::vocab::{Alarm, TenantId, UnixTime};

/// Which alarms last, and when each was heard last.
#[derive(Debug, Default)]
pub(super) struct Alarms(Mutex<BTreeMap<Alarm, UnixTime>>);

impl Alarms {
    /// Whether it is news.
    fn begin(&self, alarm: Alarm, now: UnixTime) -> bool {
        let mut lasting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lasting.insert(alarm, now).is_none()
    }

    /// Whether it lasted.
    fn end(&self, alarm: Alarm) -> bool {
        let mut lasting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lasting.remove(&alarm).is_some()
    }

    /// Those of which nothing was heard since.
    fn quiet_since(&self, since: UnixTime) -> Vec<Alarm> {
        let lasting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = lasting.iter().filter(|(_, heard)| **heard < since);
        quiet.map(|(alarm, _)| *alarm).collect()
    }
}

/// The newest events of the node, at most `count`, the oldest of them first. `log` is that of
/// [`TenantId::nobody`]: the node is no tenant's.
///
/// # Errors
/// Where the log cannot be read, or an entry is damaged.
pub async fn node_events(
    audit: &dyn AuditSink,
    log: &Log,
    count: usize,
) -> Result<Vec<ReadEvent>, StoreError> {
    let node = TenantId::nobody();
    let size = audit.page(&node, 0, 1).await?.size;
    let from = size.saturating_sub(count as u64);
    let stored = audit.page(&node, from, count).await?.events;
    let read: Result<_, _> = stored.iter().map(|event| log.read(event)).collect();
    read.map_err(|_| StoreError::Corrupt("an event of the node cannot be read"))
}

impl Relay {
    /// Something is wrong. The first time it becomes an event of the node, with `why` in words; every time
    /// it is counted. Where another process over the same log has written it down, or has written that it is
    /// over, that counts.
    pub async fn raise(&self, alarm: Alarm, why: &str) {
        self.parts.observer.observe(Fact::Alarm(alarm));
        let is_news = self.alarms.begin(alarm, self.now());
        // A canary is heard seldom, and each process has its own validators.
        if !is_news && alarm != Alarm::Canary {
            return;
        }
        if is_news {
            tracing::error!(%alarm, "ALARM: {}", alarm.text());
        }
        if let Err(error) = self.note(EventName::AlarmRaised, alarm, why).await {
            tracing::warn!(%error, "an alarm could not be written down");
            // The next occurrence is news again.
            self.alarms.end(alarm);
        }
    }

    /// It is not so any more. Where it never was, nothing happens.
    pub async fn clear(&self, alarm: Alarm) {
        let heard = self.now();
        if !self.alarms.end(alarm) {
            return;
        }
        tracing::warn!(%alarm, "over: {}", alarm.text());
        if let Err(error) = self.note(EventName::AlarmOver, alarm, "").await {
            tracing::warn!(%error, "the end of an alarm could not be written down");
            self.alarms.begin(alarm, heard);
        }
    }

    /// Takes up the alarms that lasted when the last process ended. Call it once, before mail is taken.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub async fn recall_alarms(&self) -> Result<(), StoreError> {
        let log = self.node_log().await?;
        let events = node_events(self.pickups.audit(), &log, RECALLED).await?;
        for alarm in lasting_alarms(&events).into_keys() {
            // Whether it still is so shows from now on.
            self.alarms.begin(alarm, self.now());
        }
        Ok(())
    }

    /// What evidence shows of validators and vantages.
    pub(super) async fn look_for_contradictions(&self, evidence: &Evidence) {
        for (alarm, name) in contradictions(evidence) {
            self.raise(alarm, &format!("about {name}")).await;
        }
    }

    /// A domain was safer before, and mail goes there all the same.
    pub(super) async fn look_for_fall(&self, decision: &Decision) {
        if let Some(subject) = fall(decision) {
            self.raise(Alarm::Fall, &format!("about {subject}")).await;
        }
    }

    /// Ends alarms that are only heard when they happen, after some silence. Canaries say it themselves,
    /// and of a network that is back the first connection tells.
    pub(super) async fn end_quiet_alarms(&self) {
        for alarm in self.alarms.quiet_since(self.now().minus(QUIET)) {
            match alarm {
                Alarm::Canary | Alarm::CutOff => {}
                Alarm::Disagreement | Alarm::Fall | Alarm::Vantage => self.clear(alarm).await,
            }
        }
    }

    /// Writes the beginning or the end of an alarm down, where that is not the log's last word on it already.
    async fn note(&self, name: EventName, alarm: Alarm, why: &str) -> Result<(), StoreError> {
        let log = self.node_log().await?;
        let events = node_events(self.pickups.audit(), &log, RECALLED).await?;
        let text = alarm.to_string();
        let is_of_it = |event: &&ReadEvent| event.fact(ledger::Fact::Alarm) == Some(text.as_str());
        let last = events.iter().rev().find(is_of_it);
        if last.is_some_and(|event| event.name == name) {
            return Ok(());
        }
        let event = Event::of_node(name, self.now(), alarm, why);
        let entries = self.entries(&log, [event]);
        let audit = self.pickups.audit();
        audit.append(&TenantId::nobody(), entries).await.map(drop)
    }

    async fn node_log(&self) -> Result<Log, StoreError> {
        self.log(&TenantId::nobody()).await
    }
}

/// Without a word of it for so long, a contradiction is over.
const QUIET: Duration = Duration::from_secs(3600);
/// Events that are looked through for alarms that last.
const RECALLED: usize = 100;
