//! Every text that a page uses is there in every language, with the same values in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use securemail_web::words::{Language, Words, source};

/// The keys of a file, each with the values that its text names.
fn keys(language: Language) -> BTreeMap<String, BTreeSet<String>> {
    let mut keys = BTreeMap::new();
    let mut current = String::new();
    for line in source(language)
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with(' ')) {
            current = key.to_owned();
            let known = keys.insert(current.clone(), BTreeSet::new());
            assert!(known.is_none(), "{key} stands twice in {}", language.tag());
        }
        for value in line.split('$').skip(1) {
            let end = value
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(value.len());
            keys.get_mut(&current)
                .unwrap()
                .insert(value[..end].to_owned());
        }
    }
    keys
}

/// The keys that templates and sources ask for.
fn used() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = String::new();
    for folder in ["templates", "src", "src/portal"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                texts.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    // A key may stand on the line after the bracket.
    let texts: String = texts.split_whitespace().collect();
    let mut used = BTreeSet::new();
    for call in [".say(\"", ".say1(\"", ".say2(\"", ".count(\"", ".pick(\""] {
        for rest in texts.split(call).skip(1) {
            used.insert(rest.split('"').next().unwrap().to_owned());
        }
    }
    for page in [
        "destroyed-title",
        "destroyed-text",
        "closed-title",
        "closed-text",
    ] {
        // Asked for by `over`, which takes them as arguments.
        assert!(texts.contains(&format!("\"{page}\"")));
        used.insert(page.to_owned());
    }
    used.extend(["sender-number", "sender-number-other"].map(str::to_owned));
    used
}

#[test]
fn every_language_has_the_same_keys_with_the_same_values() {
    assert_eq!(keys(Language::Dutch), keys(Language::English));
}

#[test]
fn every_text_that_is_used_is_there_and_no_other() {
    let there: BTreeSet<String> = keys(Language::Dutch).into_keys().collect();
    assert_eq!(used(), there);
}

#[test]
fn days_and_months_have_all_their_names() {
    for language in Language::ALL {
        let words = Words::of(language).unwrap();
        assert_eq!(words.say("weekdays").split_whitespace().count(), 7);
        assert_eq!(words.say("months").split_whitespace().count(), 12);
    }
}

#[test]
fn counts_are_said_in_the_right_number() {
    let words = Words::of(Language::Dutch).unwrap();
    assert!(words.count("code-wrong", 2).ends_with("nog 2 pogingen."));
    assert!(words.count("code-wrong", 1).contains("nog 1 poging."));
    assert_eq!(words.count("message-files", 1), "1 bijlage");
}
