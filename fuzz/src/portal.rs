//! What visitors and messages bring to the portal: layout, attachments, header fields.

use std::net::IpAddr;

use securemail_web::words::Language;
use securemail_web::{attachments, client, sanitise};

/// Elements that run, ask or load.
const BAD: [&str; 12] = [
    "<script", "<iframe", "<form", "<input", "<style", "<link", "<base", "<meta", "<object",
    "<embed", "<svg", "<math",
];

/// Layout that is shown has nothing that runs, asks or loads, and cleaning it again changes nothing of that.
pub(crate) fn html(octets: &[u8]) {
    let source = String::from_utf8_lossy(octets);
    if !sanitise::is_bounded(&source) {
        return;
    }
    let clean = sanitise::html(&source, Vec::new());
    let lower = clean.to_ascii_lowercase();
    for bad in BAD {
        assert!(!lower.contains(bad), "{bad} in {clean}");
    }
    for element in lower.split('<').skip(1) {
        let element = element.split('>').next().unwrap_or(element);
        let is_picture = element.starts_with("img ");
        assert!(!(is_picture && element.contains(" src=")), "{clean}");
        for (name, value) in attributes(element) {
            let loads = matches!(name, "background" | "poster" | "srcdoc" | "srcset");
            assert!(!name.starts_with("on") && !loads, "{name} in {clean}");
            // In any other attribute it is text.
            assert!(name != "style" || !value.contains("url("), "{clean}");
            let scheme: String = value
                .chars()
                .filter(|c| !c.is_whitespace() && !c.is_control())
                .collect();
            let runs = ["javascript:", "vbscript:", "data:text", "file:"];
            let names_place = matches!(name, "href" | "src" | "action" | "background");
            assert!(
                !names_place || !runs.iter().any(|bad| scheme.starts_with(bad)),
                "{clean}"
            );
        }
    }
}

/// The attributes of a start tag, as the cleaner writes them: every value in double quotes.
fn attributes(element: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = element.split_once(' ').map_or("", |(_, rest)| rest);
    while let Some((name, behind)) = rest.split_once("=\"") {
        let (value, behind) = behind.split_once('"').unwrap_or((behind, ""));
        found.push((name.trim(), value));
        rest = behind;
    }
    found
}

/// Who is trusted by nobody is not believed, and a language is one that there is.
pub(crate) fn fields(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let socket = IpAddr::from([192, 0, 2, 1]);
    let values: Vec<&str> = text.lines().collect();
    assert_eq!(client::address(socket, &values, &[]), socket);
    if let Ok(proxies) = "192.0.2.0/24".parse() {
        let found = client::address(socket, &values, &[proxies]);
        assert_eq!(found, found.to_canonical());
    }
    if let Some(language) = Language::accepted(&text) {
        assert!(Language::ALL.contains(&language));
    }
}

/// A message of strangers is taken apart, and its files have names that stay in their folder.
pub(crate) fn message(octets: &[u8]) {
    for (name, _) in attachments(octets) {
        assert!(
            !name.contains(['/', '\\', '"', '\0', '\r', '\n']),
            "{name:?}"
        );
        assert!(!name.starts_with('.') && !name.is_empty(), "{name:?}");
        assert!(name.chars().count() <= 150, "{name:?}");
    }
}
