//! The suites can fail: each clause notices the back-end that breaks it.

use securemail_testkit::conformance::{block_on, keys, spool, vault};
use securemail_testkit::sabotage::{
    KeysFault, SabotagedKeys, SabotagedVault, SpoolFault, VaultFault,
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
}
