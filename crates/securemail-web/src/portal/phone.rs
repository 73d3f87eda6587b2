//! Telephone numbers as senders write them.

use phonenumber::{Mode, Type, country};
use securemail_core::vocab::PhoneNumber;

/// Octets of a number that are looked at.
const TYPED_MAX: usize = 40;

/// Why something typed is no number that a code can go to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unusable {
    Country,
    Empty,
    Fixed,
    Invalid,
}

/// Whether `code` is a country that numbers are known of.
pub(super) fn is_country(code: &str) -> bool {
    code.parse::<country::Id>().is_ok()
}

/// Reads a number in any notation. Without a country it belongs to `here`; `countries` are those that
/// codes are sent to.
pub(super) fn read(typed: &str, here: &str, countries: &[String]) -> Result<PhoneNumber, Unusable> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Err(Unusable::Empty);
    }
    if typed.len() > TYPED_MAX {
        return Err(Unusable::Invalid);
    }
    // "+31 (0)6": the zero in brackets is for callers from within.
    let typed = typed.replace("(0)", "");
    let here = here.parse::<country::Id>().ok();
    let number = phonenumber::parse(here, &typed).map_err(|_| Unusable::Invalid)?;
    if !number.is_valid() {
        return Err(Unusable::Invalid);
    }
    let there = number.country().id().map(|id| format!("{id:?}"));
    if !there.is_some_and(|there| countries.contains(&there)) {
        return Err(Unusable::Country);
    }
    let kind = number.number_type(&phonenumber::metadata::DATABASE);
    if !matches!(kind, Type::Mobile | Type::FixedLineOrMobile) {
        return Err(Unusable::Fixed);
    }
    let e164 = number.format().mode(Mode::E164).to_string();
    e164.parse().map_err(|_| Unusable::Invalid)
}

/// A number as somebody typed it in the Netherlands. For the fuzz target; a portal reads forms.
#[doc(hidden)]
#[must_use]
pub fn number_of(typed: &str) -> Option<PhoneNumber> {
    read(typed, "NL", &["NL", "BE"].map(str::to_owned)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_here(typed: &str) -> Result<String, Unusable> {
        let countries = ["NL", "BE", "DE"].map(str::to_owned);
        read(typed, "NL", &countries).map(|phone| phone.expose().to_owned())
    }

    #[test]
    fn any_notation_is_read() {
        for typed in [
            "06-12345678",
            "06 12 34 56 78",
            "+31 (0)6 12345678",
            "0031612345678",
            "+31612345678",
            "  0612345678 ",
        ] {
            assert_eq!(read_here(typed).as_deref(), Ok("+31612345678"), "{typed}");
        }
        assert_eq!(read_here("+32 475 12 34 56").as_deref(), Ok("+32475123456"));
    }

    #[test]
    fn what_cannot_receive_a_code_is_refused() {
        assert_eq!(read_here(""), Err(Unusable::Empty));
        assert_eq!(read_here("0612345"), Err(Unusable::Invalid));
        assert_eq!(read_here("jan"), Err(Unusable::Invalid));
        assert_eq!(read_here(&"6".repeat(500)), Err(Unusable::Invalid));
        assert_eq!(read_here("020 1234567"), Err(Unusable::Fixed));
        assert_eq!(read_here("+33 6 12 34 56 78"), Err(Unusable::Country));
    }
}
