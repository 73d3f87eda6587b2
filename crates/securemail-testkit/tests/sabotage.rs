//! The suites can fail: each clause notices the back-end that breaks it.

use securemail_testkit::conformance::{
    block_on, census, domain_memory, keys, pickups, spool, vault,
};
use securemail_testkit::sabotage::{
    CensusFault, DomainsFault, KeysFault, PickupsFault, SabotagedDomainMemory, SabotagedKeys,
    SabotagedPickups, SabotagedVault, SpoolFault, VaultFault,
};

macro_rules! broken {
    ($($name:ident: $number:literal, $suite:ident::$clause:ident, $harness:expr);+ $(;)?) => {$(
        #[test]
        #[should_panic(expected = $number)]
        fn $name() {
            block_on($suite::$clause(&$harness));
        }
    )+};
}

fn bad_vault(fault: VaultFault) -> SabotagedVault {
    SabotagedVault::new(fault)
}

fn bad_keys(fault: KeysFault) -> SabotagedKeys {
    SabotagedKeys::new(fault)
}

fn bad_domains(fault: DomainsFault) -> SabotagedDomainMemory {
    SabotagedDomainMemory::new(fault)
}

fn bad_pickups(fault: PickupsFault) -> SabotagedPickups {
    SabotagedPickups::new(fault)
}

broken! {
    v1: "V1: ", vault::v1_stored_is_durable, bad_vault(VaultFault::V1);
    v2: "V2: ", vault::v2_failed_store_leaves_nothing_partial, bad_vault(VaultFault::V2);
    v3: "V3: ", vault::v3_second_store_changes_nothing, bad_vault(VaultFault::V3);
    v3_race: "V3: ", vault::v3_of_concurrent_stores_one_wins, bad_vault(VaultFault::V3);
    v4: "V4: ", vault::v4_erased_is_gone, bad_vault(VaultFault::V4);
    v5: "V5: ", vault::v5_erase_of_nothing_is_ok, bad_vault(VaultFault::V5);
    v6: "V6: ", vault::v6_ranges_are_what_was_stored, bad_vault(VaultFault::V6);
    v7: "V7: ", vault::v7_expired_comes_earliest_first, bad_vault(VaultFault::V7);
    v8: "V8: ", vault::v8_tenants_are_apart, bad_vault(VaultFault::V8);

    k1: "K1: ", keys::k1_put_is_durable, bad_keys(KeysFault::K1);
    k2: "K2: ", keys::k2_second_put_changes_nothing, bad_keys(KeysFault::K2);
    k3: "K3: ", keys::k3_erased_leaves_no_trace, bad_keys(KeysFault::K3);
    k4: "K4: ", keys::k4_erased_cannot_be_put_again, bad_keys(KeysFault::K4);
    k5: "K5: ", keys::k5_erase_of_nothing_leaves_a_tombstone, bad_keys(KeysFault::K5);
    k6: "K6: ", keys::k6_tenants_and_purposes_are_apart, bad_keys(KeysFault::K6);
    k7: "K7: ", keys::k7_before_names_the_earlier_keys_of_a_purpose, bad_keys(KeysFault::K7);

    s1: "S1: ", spool::s1_granted_is_durable, SpoolFault::S1;
    s2: "S2: ", spool::s2_one_submission_is_granted_at_a_time, SpoolFault::S2;
    s2_lost: "S2: ", spool::s2_a_lost_attempt_is_granted_again_and_named, SpoolFault::S2;
    s2_day: "S2: ", spool::s2_a_day_later_it_is_another_submission, SpoolFault::S2;
    s3: "S3: ", spool::s3_committed_is_durable, SpoolFault::S3;
    s3_large: "S3: ", spool::s3_large_content_is_durable, SpoolFault::S3;
    s4: "S4: ", spool::s4_leased_is_given_to_nobody_else, SpoolFault::S4;
    s5: "S5: ", spool::s5_a_lease_that_ran_out_is_due_again, SpoolFault::S5;
    s6: "S6: ", spool::s6_an_older_lease_settles_nothing, SpoolFault::S6;
    s7: "S7: ", spool::s7_events_are_there_exactly_when_the_change_is, SpoolFault::S7;
    s8: "S8: ", spool::s8_content_goes_with_the_last_delivery, SpoolFault::S8;
    s9: "S9: ", spool::s9_a_second_commit_changes_nothing, SpoolFault::S9;
    s10: "S10: ", spool::s10_full_changes_nothing_and_outcomes_fit, SpoolFault::S10;
    s11: "S11: ", spool::s11_the_oldest_is_the_one_queued_for_longest, SpoolFault::S11;
    s12: "S12: ", spool::s12_an_open_dot_is_known_until_it_is_settled, SpoolFault::S12;
    s13: "S13: ", spool::s13_mail_of_ours_is_found_behind_messages, SpoolFault::S13;

    r1: "R1: ", domain_memory::r1_remembered_is_recalled, bad_domains(DomainsFault::R1);
    r2: "R2: ", domain_memory::r2_a_later_record_replaces, bad_domains(DomainsFault::R2);
    r3: "R3: ", domain_memory::r3_never_seen_is_none, bad_domains(DomainsFault::R3);
    r4: "R4: ", domain_memory::r4_what_is_watched_keeps_its_time, bad_domains(DomainsFault::R4Time);
    r4_full: "R4: ", domain_memory::r4_a_full_list_takes_no_more, bad_domains(DomainsFault::R4Full);
    r5: "R5: ", domain_memory::r5_what_is_due_is_claimed_once, bad_domains(DomainsFault::R5);
    r6: "R6: ", domain_memory::r6_a_call_that_is_broken_off_counts_all_or_nothing, bad_domains(DomainsFault::R6);
    r7: "R7: ", domain_memory::r7_kinds_are_bounded, bad_domains(DomainsFault::R7);
    r8: "R8: ", domain_memory::r8_one_caller_has_a_report_at_a_time, bad_domains(DomainsFault::R8);
    r9: "R9: ", domain_memory::r9_an_older_claim_settles_nothing, bad_domains(DomainsFault::R9);
    r10: "R10: ", domain_memory::r10_what_is_done_stays_done, bad_domains(DomainsFault::R10);
    r11: "R11: ", domain_memory::r11_a_report_is_kept_once, bad_domains(DomainsFault::R11);
    r12: "R12: ", domain_memory::r12_only_what_is_old_is_forgotten, bad_domains(DomainsFault::R12);

    p1: "P1: ", pickups::p1_created_is_durable, bad_pickups(PickupsFault::P1);
    p2: "P2: ", pickups::p2_replace_wants_the_stored_version, bad_pickups(PickupsFault::P2);
    p2_race: "P2: ", pickups::p2_of_concurrent_replacements_one_wins, bad_pickups(PickupsFault::P2);
    p3: "P3: ", pickups::p3_due_comes_earliest_first, bad_pickups(PickupsFault::P3);
    p4: "P4: ", pickups::p4_erased_is_gone, bad_pickups(PickupsFault::P4);
    p5: "P5: ", pickups::p5_a_block_is_seen_until_it_ends, bad_pickups(PickupsFault::P5);
    p6: "P6: ", pickups::p6_a_budget_is_spent_once_over, bad_pickups(PickupsFault::P6);
    p6_race: "P6: ", pickups::p6_of_concurrent_spends_no_more_are_granted_than_there_are, bad_pickups(PickupsFault::P6Race);
    p7: "P7: ", pickups::p7_what_is_given_back_can_be_spent_again, bad_pickups(PickupsFault::P7);

    g1: "G1: ", census::g1_what_is_kept_is_counted_and_what_ended_is_not, CensusFault::G1;
    g2: "G2: ", census::g2_below_the_bound_every_number_is_exact, CensusFault::G2;
    g3: "G3: ", census::g3_a_store_that_is_there_answers, CensusFault::G3;
}
