//! Reads licence expressions and says whether we may use what stands under them.

/// Licences that ask for nothing but a notice.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Packages under another licence that we use unchanged, and whose licence allows just that.
const EXCEPTIONS: [(&str, &str); 3] = [
    ("cssparser", "MPL-2.0"),
    ("dtoa-short", "MPL-2.0"),
    // libFuzzer is LLVM's; it is in no program of ours but the fuzzer.
    ("libfuzzer-sys", "(MIT OR Apache-2.0) AND NCSA"),
];

/// Whether the expression can be met with the allowed licences (SPDX, annex D; `/` is the old `OR`).
pub(super) fn is_allowed(package: &str, expression: &str) -> bool {
    EXCEPTIONS.contains(&(package, expression)) || any_of(expression)
}

fn any_of(expression: &str) -> bool {
    parts(&expression.replace('/', " OR "), " OR ")
        .into_iter()
        .any(all_of)
}

fn all_of(expression: &str) -> bool {
    parts(expression, " AND ").into_iter().all(|part| {
        let part = part.trim();
        match part
            .strip_prefix('(')
            .and_then(|inner| inner.strip_suffix(')'))
        {
            Some(inner) => any_of(inner),
            None => ALLOWED.contains(&part),
        }
    })
}

/// Splits at `word`, outside parentheses.
fn parts<'a>(expression: &'a str, word: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in expression.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        let here = expression.get(at..).unwrap_or_default();
        if depth == 0 && at >= start && here.starts_with(word) {
            parts.extend(expression.get(start..at));
            start = at + word.len();
        }
    }
    parts.extend(expression.get(start..));
    parts
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn expressions_are_met_or_not() {
        assert!(is_allowed("a", "MIT"));
        assert!(is_allowed("a", "MIT/Apache-2.0"));
        assert!(is_allowed("a", "Apache-2.0 OR GPL-2.0-only"));
        assert!(is_allowed("a", "(GPL-2.0-only OR MIT) AND BSD-3-Clause"));
        assert!(is_allowed("a", "ISC AND (Apache-2.0 OR ISC) AND MIT"));
        assert!(!is_allowed("a", "MIT AND GPL-3.0-only"));
        assert!(!is_allowed("a", "AGPL-3.0-only"));
        assert!(!is_allowed("a", "MPL-2.0"));
        assert!(!is_allowed("a", ""));
    }
}
