//! How a portal looks: its name and its colours. Colours that cannot be read are refused.

use std::str::FromStr;

/// How a portal looks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Theme {
    /// The name on top of pages that are of no message. On those of a message it is that of the
    /// organisation which sent it: a portal may serve several.
    pub brand: String,
    colours: Colours,
}

/// The colours of a theme.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Colours {
    /// Of the page.
    pub background: Colour,
    /// Of text on the page.
    pub text: Colour,
    /// Of buttons, links and the edge of what has the focus.
    pub accent: Colour,
    /// Of text on buttons.
    pub on_accent: Colour,
}

/// A colour of sRGB.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Colour([u8; 3]);

/// A theme cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ThemeError {
    /// Two colours are too much alike (WCAG 2.2, 1.4.3: 4.5 to 1).
    #[error("{0} cannot be read well enough; the contrast must be 4.5 to 1 at least")]
    Contrast(&'static str),
    /// Not a colour.
    #[error("not a colour; write it as #rrggbb")]
    NotAColour,
}

impl Theme {
    /// A theme with these colours.
    ///
    /// # Errors
    /// Where text could not be read.
    pub fn new(brand: impl Into<String>, colours: Colours) -> Result<Self, ThemeError> {
        let pairs = [
            ("text on the page", colours.text, colours.background),
            ("a link on the page", colours.accent, colours.background),
            ("text on a button", colours.on_accent, colours.accent),
        ];
        for (name, one, other) in pairs {
            if contrast(one, other) < 4.5 {
                return Err(ThemeError::Contrast(name));
            }
        }
        Ok(Self {
            brand: brand.into(),
            colours,
        })
    }

    /// The shipped colours.
    #[must_use]
    pub fn plain(brand: impl Into<String>) -> Self {
        Self {
            brand: brand.into(),
            colours: Colours {
                background: Colour([255, 255, 255]),
                text: Colour([26, 26, 26]),
                accent: Colour([11, 79, 140]),
                on_accent: Colour([255, 255, 255]),
            },
        }
    }

    /// The style sheet.
    #[must_use]
    pub(crate) fn css(&self) -> String {
        let Colours {
            background,
            text,
            accent,
            on_accent,
        } = self.colours;
        format!(
            ":root{{--background:{};--text:{};--accent:{};--on-accent:{}}}\n{}",
            background.css(),
            text.css(),
            accent.css(),
            on_accent.css(),
            include_str!("../assets/portal.css")
        )
    }
}

impl Colour {
    fn css(self) -> String {
        let [r, g, b] = self.0;
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// Relative luminance (WCAG 2.2, glossary).
    fn luminance(self) -> f64 {
        let part = |byte: u8| {
            let part = f64::from(byte) / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        let [r, g, b] = self.0;
        0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b)
    }
}

impl FromStr for Colour {
    type Err = ThemeError;

    fn from_str(text: &str) -> Result<Self, ThemeError> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let bits = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let [_, r, g, b] = bits.ok_or(ThemeError::NotAColour)?.to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (one.luminance(), other.luminance());
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_colours_can_be_read() {
        let plain = Theme::plain("x");
        assert_eq!(Theme::new("x", plain.colours), Ok(plain));
    }

    #[test]
    fn colours_that_cannot_be_read_are_refused() {
        let mut colours = Theme::plain("x").colours;
        colours.accent = "#ffcc00".parse().unwrap();
        assert_eq!(
            Theme::new("x", colours),
            Err(ThemeError::Contrast("a link on the page"))
        );
        assert_eq!("#ffcc0".parse::<Colour>(), Err(ThemeError::NotAColour));
        assert_eq!("#+fcc00".parse::<Colour>(), Err(ThemeError::NotAColour));
    }
}
