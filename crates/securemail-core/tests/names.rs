//! Names of domains are A-labels, however they are written (rule MX-23).

use securemail_core::vocab::DnsName;

#[test]
fn letters_outside_ascii_become_a_labels() {
    for (text, name) in [
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("B\u{dc}CHER.example", "xn--bcher-kva.example"),
        ("\u{4f8b}\u{3048}.test", "xn--r8jz45g.test"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ] {
        assert_eq!(DnsName::parse(text).unwrap().as_str(), name, "{text}");
    }
}

#[test]
fn what_is_no_name_is_refused() {
    let long = format!("{}.example", "a".repeat(64));
    for text in [
        "",
        ".",
        "a..b",
        "a b.example",
        "b\u{fc}/cher.example",
        &long,
    ] {
        assert!(DnsName::parse(text).is_err(), "{text}");
    }
}
