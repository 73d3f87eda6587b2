//! Domains in letters outside ASCII: one name however it is written, shown as such only where it is safe.

use proptest::prelude::*;
use securemail_core::vocab::{Address, AddressError, DnsName, Tenant};

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

#[test]
fn u_labels_and_a_labels_are_one_name() {
    for (letters, ascii) in [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "XN--BCHER-KVA.example"),
        ("bu\u{308}cher.example", "xn--bcher-kva.example"),
        ("bücher\u{3002}example", "xn--bcher-kva.example"),
        // Non-transitional: the sharp s stays itself (IDNA2008; RFC 5894, section 4.3).
        ("faß.example", "xn--fa-hia.example"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
    ] {
        assert_eq!(name(letters), name(ascii), "{letters}");
        assert_eq!(name(letters).as_str(), ascii.to_ascii_lowercase());
    }
    assert_ne!(name("faß.example"), name("fass.example"));
}

#[test]
fn letters_that_no_name_can_hold_are_refused() {
    for text in [
        "b\u{fc}cher example",
        "b\u{fc}cher..example",
        "\u{fc}@x.example",
        "a\u{202e}b.example",
        "℀.example",
        "\u{fffd}.example",
        "-bücher.example",
        &format!("{}.example", "ü".repeat(70)),
    ] {
        assert!(DnsName::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_name_is_shown_in_its_letters_only_where_nobody_can_take_it_for_another() {
    for text in [
        "bücher.example",
        "café-zoë.example",
        "việt.example",
        "łódź.example",
        "πλάτων.ελ",
        "пример.рф",
    ] {
        assert_eq!(name(text).shown(), text);
    }
    for text in [
        // Cyrillic letters that look like `apple`, and in a name that ends in ASCII.
        "аррӏе.example",
        "пример.example",
        // Two scripts in one label; a dotless i; a script that is not shown; an emoji.
        "pаypal.example",
        "ıng.example",
        "例え.テスト",
        "i❤.example",
    ] {
        let name = name(text);
        assert!(name.shown().is_ascii(), "{text}");
        assert_eq!(name.shown(), name.as_str());
    }
    // These begin as A-labels do, and are none.
    for text in ["xn--.example", "xn--a.example", "xn--zzzzzz-.example"] {
        if let Ok(name) = DnsName::parse(text) {
            assert_eq!(name.shown(), text);
        }
    }
}

#[test]
fn letters_that_nobody_sees_stand_in_no_address() {
    for hidden in [
        '\u{ad}', '\u{200b}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{ff20}', '\u{85}', '\u{a0}',
        '\0',
    ] {
        for local in [format!("j{hidden}an"), format!("\"j{hidden}an\"")] {
            let address = Address::parse(&format!("{local}@example.org"));
            assert_eq!(address, Err(AddressError::LocalPart), "{hidden:?}");
        }
    }
    assert!(Address::parse("j\u{f6}rg@example.org").is_ok());
}

#[test]
fn an_address_breaks_out_of_no_command() {
    for text in [
        "a>b@example.org",
        "a b@example.org",
        "<a@example.org>",
        "a@example.org> NOTIFY=NEVER",
        "a@example.org\r\nDATA",
        "a\r\nDATA\r\nb@example.org",
        "\"a\r\nb\"@example.org",
        "\"a\"b\"@example.org",
        "@relay.example:a@example.org",
        "a@[192.0.2.1]",
    ] {
        assert!(Address::parse(text).is_err(), "{text:?}");
    }
    // Within quotes an angle bracket ends nothing (RFC 5321, section 4.1.2).
    let quoted = Address::parse("\"a> b\"@example.org").unwrap();
    assert_eq!(quoted.to_string(), "\"a> b\"@example.org");
}

#[test]
fn an_address_is_compared_by_its_a_labels_and_shown_in_letters() {
    let letters = Address::parse("Jan@bücher.example").unwrap();
    let ascii = Address::parse("jan@xn--bcher-kva.example").unwrap();
    assert_eq!(letters.canonical(), ascii.canonical());
    assert_eq!(letters.to_string(), "Jan@xn--bcher-kva.example");
    assert_eq!(ascii.shown(), "jan@bücher.example");
}

#[test]
fn settings_take_both_forms() {
    let tenant: Tenant = serde_json::from_value(serde_json::json!({
        "id": "boeken", "display_name": "Boeken", "domains": ["bücher.example"],
        "profile": "standard", "domain_profiles": {"faß.example": "strict"},
        "languages": ["nl"], "lists": ["team@xn--bcher-kva.example"], "forget_link": false,
        "retention": {"secs": 1, "nanos": 0}, "grace": {"secs": 1, "nanos": 0},
    }))
    .unwrap();
    assert_eq!(tenant.domains, [name("xn--bcher-kva.example")]);
    assert_eq!(
        tenant.lists,
        [Address::parse("team@bücher.example").unwrap()]
    );
    assert!(
        tenant
            .domain_profiles
            .contains_key(&name("xn--fa-hia.example"))
    );
}

proptest! {
    #[test]
    fn what_is_shown_is_the_same_name(text in "[a-zäöüßéżœ0-9-]{1,12}(\\.[a-zàñ]{2,6}){1,2}") {
        if let Ok(name) = DnsName::parse(&text) {
            prop_assert!(name.as_str().is_ascii());
            prop_assert_eq!(DnsName::parse(&name.shown()).unwrap(), name);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,40}") {
        if let Ok(name) = DnsName::parse(&text) {
            prop_assert_eq!(DnsName::parse(&name.shown()), Ok(name));
        }
    }
}
