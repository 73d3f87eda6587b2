//! Which TLSA records count, with the vectors of RFC 7671, section 9.

use securemail_core::route::{Rule, unusable, usable};
use securemail_core::vocab::Tlsa;

const KEY: &str = "3059301306072A8648CE3D020106082A8648CE3D0301070342000471CB1F504F9E4B33971376C0\
                   05445DACD33CD79A2881C3DED1981F18E7AAA76609DD0E4EF28271C82703030AD60C5DBA6FB8A9\
                   397AC0FCF06D424C885D484887";
const SHA256: &str = "3FE246A848798236DD2AB78D39F0651D6B6E7CA8E2984012EB0A2E1AC8A87B72";
const SHA512: &str = "D4F5AF015B46C5057B841C7E7BAB759CBF029526D29520C5BE6A32C67475439E\
                      54AB3A945D80C743347C9BD4DADC9D8D57FAB78EAA835362F3CA07CCC19A3214";

fn octets(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn record(usage: u8, selector: u8, matching: u8, data: Vec<u8>) -> Tlsa {
    Tlsa {
        usage,
        selector,
        matching,
        data,
    }
}

#[test]
fn of_the_digests_of_rfc_7671_section_9_the_strongest_counts() {
    let all = [
        record(3, 1, 1, octets(SHA256)),
        record(3, 1, 2, octets(SHA512)),
        record(3, 1, 0, octets(KEY)),
    ];
    assert_eq!(usable(&all[..1]), all[..1]);
    assert_eq!(usable(&all[..2]), all[1..2]);
    assert_eq!(
        usable(&all),
        all[1..],
        "the exact one is no digest, so it stays"
    );
}

#[test]
fn agility_is_by_usage_and_selector_and_after_usability() {
    let data = |length| vec![7; length];
    let (a, b) = (record(3, 1, 1, data(32)), record(2, 1, 2, data(64)));
    let (c, broken) = (record(3, 0, 1, data(32)), record(3, 1, 2, data(63)));
    let all = [a.clone(), b.clone(), c.clone(), broken];
    assert_eq!(
        usable(&all),
        [a, b, c],
        "a malformed stronger digest does not push out a good one"
    );
}

#[test]
fn each_defect_has_its_rule() {
    let fine = record(3, 1, 1, vec![7; 32]);
    assert_eq!(unusable(&fine), None);
    for (usage, selector, matching, length, rule) in [
        (0, 1, 1, 32, Rule::U01),
        (1, 1, 1, 32, Rule::U01),
        (4, 1, 1, 32, Rule::U02),
        (255, 1, 1, 32, Rule::U02),
        (3, 2, 1, 32, Rule::U02),
        (3, 1, 3, 32, Rule::U02),
        (3, 1, 255, 32, Rule::U02),
        (3, 1, 1, 31, Rule::U03),
        (3, 1, 2, 32, Rule::U03),
        (3, 1, 0, 32, Rule::U04),
        (2, 0, 0, 32, Rule::U04),
        (3, 1, 1, 0, Rule::U05),
    ] {
        let record = record(usage, selector, matching, vec![7; length]);
        assert_eq!(
            unusable(&record),
            Some(rule),
            "{usage} {selector} {matching} {length}"
        );
    }
    // A key is read as a key, not as a certificate.
    assert_eq!(unusable(&record(3, 1, 0, octets(KEY))), None);
    assert_eq!(unusable(&record(3, 0, 0, octets(KEY))), Some(Rule::U04));
}

#[test]
fn records_are_counted_once_and_bounded() {
    let one = record(3, 1, 1, vec![7; 32]);
    assert_eq!(usable(&vec![one; 5]).len(), 1);
    let many: Vec<Tlsa> = (0..=99).map(|n| record(3, 1, 1, vec![n; 32])).collect();
    assert_eq!(
        usable(&many).len(),
        securemail_core::limits::TLSA_RECORDS_MAX
    );
}
