//! HTML of strangers, made fit to be shown: no scripts, no forms, nothing loaded from elsewhere.
//!
//! It is shown in a frame with a sandbox and a policy of its own as well; each of both is enough.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ammonia::{Builder, UrlRelative};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A picture that came with the message, which its text names by `cid:`.
#[derive(Clone, Debug)]
pub struct Picture {
    id: String,
    url: String,
}

impl Picture {
    /// A picture of this Content-ID and media type.
    #[must_use]
    pub fn new(content_id: &str, kind: &str, octets: &[u8]) -> Self {
        Self {
            id: content_id.trim_matches(['<', '>']).to_owned(),
            url: format!("data:{kind};base64,{}", STANDARD.encode(octets)),
        }
    }
}

/// Octets of HTML that are shown with their layout.
const HTML_OCTETS_MAX: usize = 2 * 1024 * 1024;
/// Elements that stand open within each other. Mail with many replies has some hundred.
const DEPTH_MAX: usize = 512;
/// Elements that have no end, or that end by themselves where the next one begins (HTML, 13.1.2).
const SHALLOW: [&str; 22] = [
    "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta",
    "option", "p", "source", "tbody", "td", "th", "tr", "track", "wbr",
];

/// Whether HTML is small and shallow enough to be parsed: parsing takes time that grows with the square
/// of the depth. The depth is counted too high rather than too low.
#[must_use]
pub fn is_bounded(source: &str) -> bool {
    if source.len() > HTML_OCTETS_MAX {
        return false;
    }
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    let mut depth = 0_usize;
    for rest in source.split('<').skip(1) {
        let (is_end, rest) = rest
            .strip_prefix('/')
            .map_or((false, rest), |rest| (true, rest));
        let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/');
        let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or("");
        let name = name.to_ascii_lowercase();
        let is_tag = name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_tag || SHALLOW.contains(&name.as_str()) {
            continue;
        }
        let count = open.entry(name).or_default();
        if !is_end {
            *count = count.saturating_add(1);
            depth = depth.saturating_add(1);
        } else if *count > 0 {
            *count = count.saturating_sub(1);
            depth = depth.saturating_sub(1);
        }
        if depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

/// The same HTML without anything that runs, asks, or loads.
#[must_use]
pub fn html(source: &str, pictures: Vec<Picture>) -> String {
    let pictures: BTreeMap<String, String> = pictures
        .into_iter()
        .map(|picture| (picture.id, picture.url))
        .collect();
    let mut builder = Builder::default();
    builder
        .add_tags(["font", "u"])
        .add_generic_attributes([
            "style",
            "align",
            "valign",
            "bgcolor",
            "width",
            "height",
            "border",
            "cellpadding",
            "cellspacing",
            "dir",
            "color",
            "size",
            "face",
        ])
        .filter_style_properties(STYLES.into_iter().collect())
        .url_schemes(
            ["http", "https", "mailto", "tel", "cid"]
                .into_iter()
                .collect(),
        )
        .url_relative(UrlRelative::Deny)
        .set_tag_attribute_value("a", "target", "_blank")
        .link_rel(Some("noopener noreferrer"))
        .attribute_filter(
            move |element, attribute, value| match (element, attribute) {
                // A picture from elsewhere tells its owner that the message was read.
                ("img", "src") => {
                    let id = value.strip_prefix("cid:")?;
                    pictures.get(id).map(|url| Cow::Owned(url.clone()))
                }
                ("a", "href") => (!value.starts_with("cid:")).then_some(Cow::Borrowed(value)),
                (_, "src" | "href" | "cite") => None,
                (_, _) => Some(Cow::Borrowed(value)),
            },
        );
    builder.clean(source).to_string()
}

/// Properties that lay out and cannot load or cover anything.
const STYLES: [&str; 33] = [
    "background-color",
    "border",
    "border-bottom",
    "border-collapse",
    "border-color",
    "border-left",
    "border-right",
    "border-spacing",
    "border-style",
    "border-top",
    "border-width",
    "color",
    "display",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "height",
    "letter-spacing",
    "line-height",
    "list-style-type",
    "margin",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "max-width",
    "padding",
    "text-align",
    "text-decoration",
    "vertical-align",
    "white-space",
    "width",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_runs_asks_or_loads() {
        for bad in [
            "<script>x()</script>",
            "<img src=https://tracker.example/1.gif>",
            "<img src=x onerror=x()>",
            "<a href=javascript:x()>a</a>",
            "<a href='data:text/html,<script>x()</script>'>a</a>",
            "<form action=https://evil.example><input name=code></form>",
            "<iframe src=https://evil.example></iframe>",
            "<base href=https://evil.example>",
            "<link rel=stylesheet href=https://evil.example/x.css>",
            "<style>@import url(https://evil.example/x.css)</style>",
            "<p style=\"background:url(https://tracker.example/2.gif)\">p</p>",
            "<meta http-equiv=refresh content='0;url=https://evil.example'>",
            "<svg onload=x()></svg>",
            "<math><mtext></mtext><img src=x onerror=x()></math>",
            "<object data=https://evil.example></object>",
        ] {
            let clean = html(bad, Vec::new());
            for word in [
                "script", "onerror", "onload", "example", "<form", "<input", "url(", "http",
            ] {
                assert!(!clean.contains(word), "{bad} left {clean}");
            }
        }
    }

    #[test]
    fn links_open_elsewhere_and_say_nothing_of_us() {
        let clean = html("<a href=https://example.org/>x</a>", Vec::new());
        assert!(clean.contains("href=\"https://example.org/\""), "{clean}");
        assert!(clean.contains("rel=\"noopener noreferrer\""), "{clean}");
        assert!(clean.contains("target=\"_blank\""), "{clean}");
    }

    #[test]
    fn pictures_that_came_along_are_shown() {
        let logo = Picture::new("<logo@x>", "image/png", b"abc");
        let clean = html(
            "<img src=cid:logo@x alt=Logo><img src=cid:other>",
            vec![logo],
        );
        assert_eq!(
            clean,
            "<img src=\"data:image/png;base64,YWJj\" alt=\"Logo\"><img>"
        );
    }
}
