//! NTA 7516 on any evidence: it raises what must be proved, and lowers nothing.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use securemail_core::route::{Asked, Authentication, Authority};
use securemail_core::vocab::{
    Answer, LookupFailure, NtaSettings, Outcome, Question, RecordKind, Security, UnixTime,
};

use super::evidence::{Case, HOSTS, case};
use super::invariants::{config, delivers, hops};

const EVER: UnixTime = UnixTime::MAX;

/// The same, for an organisation that asks for the norm.
fn asking(mut case: Case, answer: Answer) -> Case {
    let question = Question::new(case.evidence.domain.clone(), RecordKind::Txt);
    case.evidence.dns.push(Asked { question, answer });
    case.evidence.message.nta7516 = Some(NtaSettings::default());
    case.evidence.message.vault_required = false;
    case
}

fn takes_part(case: Case, security: Security, named: Option<&str>) -> Case {
    let hosts = named.map_or(String::new(), |host| format!(";ntamx=10 {host}"));
    let text = format!("v=NTA7516-1;startdate=2000-01;enddate=2099-12;provider=x{hosts}");
    asking(case, Answer::new(Outcome::Txt(vec![text]), security, EVER))
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn to_a_domain_that_takes_part_only_dane_behind_signed_names_leads(
        case in case(),
        named in prop::option::of(Just(HOSTS[0])),
    ) {
        let decision = takes_part(case, Security::Secure, named).decide();
        for hop in hops(&decision) {
            prop_assert_eq!(hop.authority, Authority::Dnssec, "{}", decision);
            let by_dane = matches!(hop.authenticate, Authentication::Dane { .. });
            prop_assert!(by_dane, "{}", decision);
            prop_assert!(named.is_none_or(|named| hop.host.as_str() == named), "{}", decision);
        }
    }

    #[test]
    fn a_record_that_is_not_signed_leads_nowhere(
        case in case(),
        named in prop::option::of(Just(HOSTS[0])),
        security in prop::sample::select(&[Security::Insecure, Security::Bogus][..]),
    ) {
        let decision = takes_part(case, security, named).decide();
        prop_assert!(!delivers(&decision), "{}", decision);
    }

    #[test]
    fn a_record_that_cannot_be_had_leads_nowhere(case in case()) {
        let decision = asking(case, Answer::failed(LookupFailure::Timeout, EVER)).decide();
        prop_assert!(!delivers(&decision), "{}", decision);
    }

    #[test]
    fn where_no_record_is_the_norm_changes_nothing(case in case()) {
        let with = asking(case, Answer::new(Outcome::NoData, Security::Secure, EVER));
        let decision = with.decide();
        let mut without = with;
        without.evidence.message.nta7516 = None;
        prop_assert_eq!(decision, without.decide());
    }
}

#[test]
fn some_evidence_leads_to_a_host_that_the_record_names() {
    let mut runner = TestRunner::deterministic();
    let found = (0..2000).any(|_| {
        let case = case().new_tree(&mut runner).unwrap().current();
        let decision = takes_part(case, Security::Secure, Some(HOSTS[0])).decide();
        delivers(&decision)
    });
    assert!(found, "the properties speak of something");
}
