//! Telephone numbers in E.164.

use std::fmt;
use std::str::FromStr;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A telephone number in E.164: `+` and 8 to 15 digits. `Debug` shows the last two digits only.
#[derive(Clone, Eq, PartialEq, Zeroize, ZeroizeOnDrop)]
pub struct PhoneNumber(String);

/// A text is not a number in E.164.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a telephone number in the form +31612345678")]
pub struct PhoneError;

impl PhoneNumber {
    /// The number. It is personal: it goes to the carrier and into sealed records only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its last two digits, which a recipient is shown.
    #[must_use]
    pub fn last_two(&self) -> &str {
        self.0.get(self.0.len().saturating_sub(2)..).unwrap_or("")
    }
}

impl FromStr for PhoneNumber {
    type Err = PhoneError;

    fn from_str(text: &str) -> Result<Self, PhoneError> {
        let digits = text.strip_prefix('+').ok_or(PhoneError)?;
        let fits = (8..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(PhoneError)
        }
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber(..{})", self.last_two())
    }
}
