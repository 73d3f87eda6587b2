//! Which names may be shown to people in their own letters (U-labels, RFC 5890, section 2.3.2.1).
//!
//! Many letters look like others, so a name is shown with them only where nobody can take it for
//! another one; where in doubt it is shown as A-labels, which are ugly and safe.

use super::DnsName;

/// `name` in the letters of its owner, where that is safe.
pub(super) fn in_letters(name: &DnsName) -> Option<String> {
    if !name.labels().any(|label| label.starts_with("xn--")) {
        return None;
    }
    let (letters, decoded) = idna::domain_to_unicode(name.as_str());
    // A label that is no A-label (RFC 5890, section 2.3.2.1) decodes to nothing that leads back.
    let leads_back = decoded.is_ok() && DnsName::parse(&letters).as_ref() == Ok(name);
    (leads_back && is_plain(&letters)).then_some(letters)
}

/// Characters that nobody can see, or that turn the direction of writing round: a text with them is shown as another
/// one than it is. What joins letters where that is spelling (U+200C, U+200D) is not among them.
#[must_use]
pub const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Scripts whose letters are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Script {
    Cyrillic,
    Greek,
    Latin,
}

/// Latin letters are shown anywhere. Greek and Cyrillic ones look like Latin ones too often, so they
/// are shown only where the whole name, its last label too, is written in them.
fn is_plain(letters: &str) -> bool {
    let mut script = None;
    for c in letters.chars().filter(|c| !is_common(*c)) {
        match (script_of(c), script) {
            (None, _) => return false,
            (Some(here), Some(before)) if here != before => return false,
            (here, _) => script = here,
        }
    }
    true
}

/// What stands in names of every script.
const fn is_common(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '-' | '.' | '_')
}

/// The script of a letter that is shown. Left out are Latin letters that are taken for others: the
/// dotless i, the kra, the l with a middle dot, the n with an apostrophe, the long s.
const fn script_of(c: char) -> Option<Script> {
    match c {
        '\u{131}' | '\u{138}' | '\u{140}' | '\u{149}' | '\u{17f}' => None,
        'a'..='z'
        | '\u{df}'..='\u{f6}'
        | '\u{f8}'..='\u{17e}'
        | '\u{1a1}'
        | '\u{1b0}'
        | '\u{219}'
        | '\u{21b}'
        | '\u{1ea1}'..='\u{1ef9}' => Some(Script::Latin),
        '\u{390}'..='\u{3ce}' => Some(Script::Greek),
        '\u{430}'..='\u{45f}' | '\u{491}' => Some(Script::Cyrillic),
        _ => None,
    }
}
