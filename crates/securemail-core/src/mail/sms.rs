//! The text message that carries a code, and how many parts a text costs.

use std::time::Duration;

use super::Language;
use crate::secret::SecretText;

/// What a text message costs (3GPP TS 23.038 and 23.040).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SmsSize {
    /// How its letters are sent.
    pub alphabet: SmsAlphabet,
    /// How many messages are paid for.
    pub parts: usize,
}

/// How the letters of a text message are sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SmsAlphabet {
    /// Seven bits each: 160 in one part, 153 in each of several.
    Gsm7,
    /// Sixteen bits each: 70 in one part, 67 in each of several.
    Ucs2,
}

/// The text that carries `code`. Its last line binds the code to `host`, so that a telephone offers it on
/// that site alone (WICG origin-bound one-time codes). There is never a link in it.
///
/// `organisation` is written with letters that every telephone has, and shortened where the text would
/// need a second part.
#[must_use]
pub fn code_text(
    language: Language,
    code: &SecretText,
    organisation: &str,
    host: &str,
    valid_for: Duration,
) -> SecretText {
    let mut name = fold(organisation);
    loop {
        let sentence = sentence(language, code.expose(), &name, valid_for);
        let text = format!("{sentence}\n\n@{host} #{}", code.expose());
        if size(&text).parts <= 1 || name.pop().is_none() {
            return SecretText::new(text);
        }
        name.truncate(name.trim_end().len());
    }
}

/// What `text` costs.
#[must_use]
pub fn size(text: &str) -> SmsSize {
    let septets: Option<usize> = text.chars().map(septets).sum();
    let (alphabet, length, one, each) = match septets {
        Some(length) => (SmsAlphabet::Gsm7, length, 160, 153),
        None => (SmsAlphabet::Ucs2, text.encode_utf16().count(), 70, 67),
    };
    let parts = if length <= one {
        1
    } else {
        length.div_ceil(each)
    };
    SmsSize { alphabet, parts }
}

fn sentence(language: Language, code: &str, name: &str, valid_for: Duration) -> String {
    let minutes = valid_for.as_secs().div_ceil(60);
    match language {
        Language::Dutch => format!(
            "{code} is uw code om het bericht van {name} te openen. {minutes} minuten geldig. Geef de code aan niemand."
        ),
        Language::English => format!(
            "{code} is your code to open the message from {name}. Valid for {minutes} minutes. Do not share it."
        ),
    }
}

/// How many septets a letter takes; none where it is not in the alphabet (3GPP TS 23.038, 6.2.1).
fn septets(c: char) -> Option<usize> {
    if BASIC.contains(c) {
        Some(1)
    } else if EXTENDED.contains(c) {
        Some(2)
    } else {
        None
    }
}

/// A name in letters of the basic alphabet: accents that it lacks are dropped, other letters become `?`.
fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control())
        .map(|c| if septets(c) == Some(1) { c } else { plain(c) })
        .collect::<String>()
        .trim()
        .to_owned()
}

fn plain(c: char) -> char {
    let found = ACCENTS.iter().find(|(letters, _)| letters.contains(c));
    found.map_or('?', |(_, plain)| *plain)
}

const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
const EXTENDED: &str = "\u{c}^{}\\[~]|€";

/// Letters of European names that the basic alphabet lacks.
const ACCENTS: [(&str, char); 24] = [
    ("áâãā", 'a'),
    ("ÁÀÂÃĀ", 'A'),
    ("çćč", 'c'),
    ("ĆČ", 'C'),
    ("êëēę", 'e'),
    ("ÈÊËĒĘ", 'E'),
    ("íîïī", 'i'),
    ("ÍÌÎÏĪİ", 'I'),
    ("łľ", 'l'),
    ("ŁĽ", 'L'),
    ("ńň", 'n'),
    ("ŃŇ", 'N'),
    ("óôõōő", 'o'),
    ("ÓÒÔÕŌŐ", 'O'),
    ("ř", 'r'),
    ("śšş", 's'),
    ("ŚŠŞ", 'S'),
    ("úûūů", 'u'),
    ("ÚÙÛŪŮ", 'U'),
    ("ýÿ", 'y'),
    ("źżž", 'z'),
    ("ŹŻŽ", 'Z'),
    ("’‘`´", '\''),
    ("–—‐\u{2011}", '-'),
];
