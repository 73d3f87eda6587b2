//! Records as a store gives them back, opened: in any state, also in one that nobody wrote.

use std::time::Duration;

use securemail_core::backend::{CachedPolicy, DomainHistory, ReceivedReport};
use securemail_core::pickup::{
    ChallengeId, Checked, CodeGrant, Ending, Passed, Phase, Pickup, SessionToken, code,
};
use securemail_core::secret::Key32;
use securemail_core::tlsrpt::Session;
use securemail_core::vocab::{Account, PhoneNumber, Tenant, UnixTime};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sealed::Counting;

const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);

/// The first line is what kind of record it is, the rest the record. One that is read says the same when it is written
/// and read again.
pub(crate) fn records(octets: &[u8]) {
    let mut parts = octets.splitn(2, |octet| *octet == b'\n');
    let (kind, json) = (parts.next(), parts.next().unwrap_or_default());
    match kind {
        Some(b"account") => drop(read_back::<Account>(json)),
        Some(b"history") => drop(read_back::<DomainHistory>(json)),
        Some(b"policy") => drop(read_back::<CachedPolicy>(json)),
        Some(b"report") => drop(read_back::<ReceivedReport>(json)),
        Some(b"session") => drop(read_back::<Session>(json)),
        Some(b"tenant") => {
            if let Some(tenant) = read_back::<Tenant>(json) {
                for domain in &tenant.domains {
                    assert!(tenant.profile_for(domain) >= tenant.profile);
                }
            }
        }
        Some(_) | None => {}
    }
}

fn read_back<T: DeserializeOwned + Serialize>(json: &[u8]) -> Option<T> {
    let record: T = serde_json::from_slice(json).ok()?;
    let written = serde_json::to_vec(&record).unwrap_or_default();
    let again: Option<T> = serde_json::from_slice(&written).ok();
    let again = again.and_then(|again| serde_json::to_vec(&again).ok());
    assert_eq!(again, Some(written), "it reads otherwise");
    Some(record)
}

/// A pickup in any state takes any steps; each octet of the first line is one. It ends only when it may, what ended has
/// no link, number, code or session, and its record can be written and read at every step.
pub(crate) fn pickup(octets: &[u8]) {
    let mut parts = octets.splitn(2, |octet| *octet == b'\n');
    let (steps, json) = (parts.next().unwrap_or_default(), parts.next());
    let Some(mut pickup) = read_back::<Pickup>(json.unwrap_or_default()) else {
        return;
    };
    let mut now = NOW;
    let mut code = WRONG.to_owned();
    for step in steps.iter().take(STEPS_MAX) {
        now = now.plus(Duration::from_secs(u64::from(*step) * 1800));
        take(&mut pickup, *step % 17, now, &mut code);
        assert_steps_hold(&pickup, now);
    }
    let json = serde_json::to_vec(&pickup).unwrap_or_default();
    assert!(read_back::<Pickup>(&json).is_some(), "it was written");
}

fn take(pickup: &mut Pickup, step: u8, now: UnixTime, code: &mut String) {
    let Ok(phone) = "+31612345678".parse::<PhoneNumber>() else {
        return;
    };
    let session = SessionToken::new(Key32::from_bytes([5; 32]));
    match step {
        0 => pickup.content_is_durable(now),
        1 => drop(pickup.change_number(phone)),
        2 => drop(pickup.release()),
        3 => drop(pickup.doubt_number(now)),
        4 => pickup.notice_taken(),
        5 => drop(pickup.notice_came_back(now)),
        6 => drop(pickup.renew_notice(now)),
        7 => *code = ask_for_code(pickup, now).unwrap_or_else(|| code.clone()),
        8 => try_code(pickup, now, WRONG, &session),
        16 => try_code(pickup, now, code, &session),
        9 => pickup.close(&session),
        10 | 11 => end_in_time(pickup, now),
        12 => pickup.logged(&pickup.long_unlogged(now)),
        13 => {
            let told = pickup.untold().first().map(|untold| untold.serial);
            told.into_iter().for_each(|serial| pickup.told(serial));
        }
        14 => pickup.notice_refused(now),
        _ => pickup.finish(Ending::RecipientsWish, now),
    }
}

/// A message that is locked or over sends no code.
fn ask_for_code(pickup: &mut Pickup, now: UnixTime) -> Option<String> {
    let may = pickup.locked().is_none() && pickup.is_open(now);
    let fresh = ChallengeId::random(&Counting::default()).ok()?;
    match pickup.request_code(now, fresh) {
        CodeGrant::Refused(_) => None,
        CodeGrant::Send {
            challenge, until, ..
        } => {
            assert!(may && until > now, "a code for nobody");
            Some(code::of(&CODE_KEY, challenge).expose().to_owned())
        }
    }
}

/// A message that is locked or over takes no code, also not the right one, and only a right one opens a session, once.
fn try_code(pickup: &mut Pickup, now: UnixTime, typed: &str, session: &SessionToken) {
    let may = pickup.locked().is_none() && pickup.is_open(now);
    let was_admitted = pickup.admits(session, now);
    let checked = pickup.check_code(now, typed, &CODE_KEY, session);
    let is_right = checked == Checked::Right;
    assert!(may || !is_right, "a code that is not out is right");
    assert!(is_right || was_admitted || !pickup.admits(session, now));
    assert!(!is_right || pickup.picked_up().is_some());
    assert!(checked != Checked::LockedNow || pickup.locked().is_some());
    if is_right {
        let again = pickup.check_code(now, typed, &CODE_KEY, session);
        assert!(again != Checked::Right, "a code is good twice");
    }
}

fn end_in_time(pickup: &mut Pickup, now: UnixTime) {
    let end = pickup.end();
    if let Passed::Over(ending) = pickup.pass(now) {
        assert!(now >= end, "it ended before its time");
        pickup.finish(ending, now);
    }
}

fn assert_steps_hold(pickup: &Pickup, now: UnixTime) {
    assert!(pickup.session_end(now) <= pickup.end().max(now.plus(DAY)));
    assert!(pickup.end() <= pickup.end_for_sender() || pickup.is_done() || pickup.is_waiting());
    assert!(!pickup.is_done() || pickup.due() == UnixTime::default());
    assert!(pickup.code_out(now).is_none_or(|(_, until)| until > now));
    assert!(!pickup.is_open(now) || pickup.is_waiting());
    let session = SessionToken::new(Key32::from_bytes([5; 32]));
    assert!(!pickup.admits(&session, now) || pickup.is_open(now));
    if pickup.phase() == Phase::Ended {
        assert!(!pickup.is_open(now));
    }
}

const DAY: Duration = Duration::from_secs(86_400);
/// A code that is none of ours, but for one in a million.
const WRONG: &str = "123456";
const CODE_KEY: Key32 = Key32::from_bytes([6; 32]);
/// Steps of one run.
const STEPS_MAX: usize = 64;
