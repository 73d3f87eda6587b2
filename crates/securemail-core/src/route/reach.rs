//! Whether any host of any domain can be reached from here.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::backend::SessionOutcome;
use crate::vocab::{DnsName, UnixTime};

/// What came of the sessions that a node tried of late. Pure: whoever tries tells it, with the time.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// When the first host was silent since one was heard.
    silent_since: Option<UnixTime>,
    /// Domains whose hosts were silent since; no more are kept than are asked for.
    silent: BTreeSet<DnsName>,
}

impl Reach {
    /// A session with a host of `domain` ended so.
    ///
    /// Whoever takes a connection and hangs up before TLS counts as silent: a firewall that answers in the
    /// place of all hosts does that.
    pub fn note(&mut self, domain: &DnsName, outcome: &SessionOutcome, at: UnixTime) {
        match outcome {
            SessionOutcome::CalledOff => {}
            SessionOutcome::Unreachable(_) => {
                self.silent_since.get_or_insert(at);
                if self.silent.len() < DOMAINS {
                    self.silent.insert(domain.clone());
                }
            }
            SessionOutcome::Completed
            | SessionOutcome::Incapable(_)
            | SessionOutcome::Injected
            | SessionOutcome::NoStartTls(_)
            | SessionOutcome::NotAuthenticated(_)
            | SessionOutcome::TlsFailed(_) => *self = Self::default(),
        }
    }

    /// Since when nobody answers, where that says more of this node than of the domains.
    #[must_use]
    pub fn cut_off(&self, now: UnixTime) -> Option<UnixTime> {
        let since = self.silent_since?;
        let is_cut_off = self.silent.len() >= DOMAINS && now.since(since) >= SILENCE;
        is_cut_off.then_some(since)
    }
}

/// So many domains are not down at once by chance: they are drawn by what our senders write to.
const DOMAINS: usize = 5;
/// A router that starts anew, or a route that moves, takes minutes; and the first silence is told only when a
/// host took its time for it.
const SILENCE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);

    fn minutes(count: u64) -> UnixTime {
        NOW.plus(Duration::from_secs(60 * count))
    }

    fn domain(number: usize) -> DnsName {
        DnsName::parse(&format!("d{number}.example")).unwrap()
    }

    fn silence() -> SessionOutcome {
        SessionOutcome::Unreachable("timed out".to_owned())
    }

    /// This many domains were silent, a minute apart.
    fn silent(domains: usize) -> Reach {
        let mut reach = Reach::default();
        for number in 0..domains {
            reach.note(&domain(number), &silence(), minutes(number as u64));
        }
        reach
    }

    #[test]
    fn several_silent_domains_and_no_other_for_ten_minutes_cut_a_node_off() {
        let reach = silent(5);
        assert_eq!(reach.cut_off(minutes(9)), None, "too soon");
        assert_eq!(reach.cut_off(minutes(10)), Some(NOW));
        assert_eq!(silent(50).cut_off(minutes(60)), Some(NOW));
    }

    #[test]
    fn one_domain_is_not_the_network_however_often_it_is_tried() {
        let mut reach = silent(4);
        for minute in 0..600 {
            reach.note(&domain(0), &silence(), minutes(minute));
        }
        assert_eq!(reach.cut_off(minutes(600)), None);
    }

    #[test]
    fn whoever_answers_ends_it_whatever_they_say() {
        for outcome in [
            SessionOutcome::Completed,
            SessionOutcome::NoStartTls(None),
            SessionOutcome::TlsFailed("alert".to_owned()),
            SessionOutcome::Injected,
        ] {
            let mut reach = silent(9);
            reach.note(&domain(99), &SessionOutcome::CalledOff, minutes(11));
            assert!(reach.cut_off(minutes(12)).is_some(), "nobody answered");
            reach.note(&domain(99), &outcome, minutes(12));
            assert_eq!(reach.cut_off(minutes(90)), None, "{outcome:?}");
            reach.note(&domain(0), &silence(), minutes(91));
            assert_eq!(reach.cut_off(minutes(120)), None, "it begins anew");
        }
    }
}
