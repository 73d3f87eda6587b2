//! Single fields of requests and forms: ranges, telephone numbers.

use securemail_core::vocab::PhoneNumber;
use securemail_web::{number_of, range_of};

/// A range that is answered lies in the file and is written as RFC 9110, section 14.1.2, has it. The first octet is the
/// size of the file, the rest the field.
pub(crate) fn range(octets: &[u8]) {
    let Some((size, field)) = octets.split_first() else {
        return;
    };
    let size = u64::from(*size);
    let Some(asked) = range_of(field, size) else {
        return;
    };
    let text = String::from_utf8_lossy(field);
    let spec = text.strip_prefix("bytes=").unwrap_or_default();
    let Some((first, last)) = spec.split_once('-') else {
        return assert!(text.is_empty(), "{text} is no range");
    };
    let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    let (first, last) = (first.trim(), last.trim());
    assert!(digits(first) && digits(last), "{text}");
    // Beyond 64 bits one position is as good as another.
    let number = |text: &str| {
        let most = || u128::from(text.parse::<u64>().unwrap_or(u64::MAX));
        (!text.is_empty()).then(most)
    };
    // A last position before the first is no range, and is passed over.
    let is_backwards = number(first).zip(number(last)).is_some_and(|(a, b)| a > b);
    assert!(
        !(is_backwards || first.is_empty() && last.is_empty()),
        "{text}"
    );
    let Some((from, to)) = asked else {
        let is_behind = number(first).is_none_or(|first| first >= size.into());
        return assert!(is_behind, "{text} of {size}");
    };
    assert!(from <= to && to < size, "{text} of {size}");
    match (number(first), number(last)) {
        (Some(first), Some(last)) => {
            assert_eq!(u128::from(from), first);
            assert!(u128::from(to) == last || to + 1 == size && last >= size.into());
        }
        (Some(first), None) => assert_eq!((u128::from(from), to + 1), (first, size)),
        (None, Some(length)) => {
            assert_eq!(to + 1, size);
            assert_eq!(u128::from(to - from + 1), length.min(size.into()));
        }
        (None, None) => {}
    }
}

/// A number that somebody typed is one of a country that codes are sent to, and is typed again as the same.
pub(crate) fn typed_number(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let Some(number) = number_of(&text) else {
        return;
    };
    let e164 = number.expose();
    assert!(e164.starts_with("+31") || e164.starts_with("+32"), "{text}");
    assert!(
        e164.parse::<PhoneNumber>()
            .is_ok_and(|again| again == number)
    );
    assert!(
        number_of(e164).is_some_and(|again| again == number),
        "{text}"
    );
}
