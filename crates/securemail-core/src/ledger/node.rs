//! The log of the node itself: which alarms last.

use std::collections::BTreeMap;

use super::event::{EventName, Fact};
use super::log::ReadEvent;
use crate::vocab::Alarm;

/// Alarms whose last event is that they began, with that event.
#[must_use]
pub fn lasting_alarms(events: &[ReadEvent]) -> BTreeMap<Alarm, &ReadEvent> {
    let mut lasting = BTreeMap::new();
    for event in events {
        let Some(alarm) = event.fact(Fact::Alarm).and_then(|text| text.parse().ok()) else {
            continue;
        };
        match event.name {
            EventName::AlarmRaised => lasting.insert(alarm, event),
            EventName::AlarmOver => lasting.remove(&alarm),
            _ => None,
        };
    }
    lasting
}
