//! The EHLO keywords that we know (RFC 5321, section 4.1.1.1), read and written.

use super::reply::WireReply;

/// What a peer offers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extensions {
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870), and the most octets that it takes; 0 says that there is no fixed limit.
    pub size: Option<u64>,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// The mechanisms of AUTH (RFC 4954).
    pub auth: Vec<String>,
}

impl Extensions {
    /// Reads a reply to EHLO: the peer's name and what it offers. `None` unless it is `250` and names
    /// the peer. Unknown keywords, and parameters where none are defined, are passed over.
    #[must_use]
    pub fn parse(reply: &WireReply) -> Option<(String, Self)> {
        let (first, keywords) = reply.lines().split_first()?;
        let name = first.split(' ').next().filter(|name| !name.is_empty())?;
        if reply.code() != 250 {
            return None;
        }
        let mut extensions = Self::default();
        for line in keywords {
            extensions.note(line);
        }
        Some((name.to_owned(), extensions))
    }

    /// The reply to EHLO of a server called `name`.
    #[must_use]
    pub fn to_reply(&self, name: &str) -> WireReply {
        let Self {
            eight_bit_mime,
            enhanced_status_codes,
            pipelining,
            size,
            starttls,
            auth,
        } = self;
        let mut lines = vec![name.to_owned()];
        let mut say = |offered: bool, keyword: &str| {
            if offered {
                lines.push(keyword.to_owned());
            }
        };
        say(*pipelining, "PIPELINING");
        say(
            size.is_some(),
            &format!("SIZE {}", size.unwrap_or_default()),
        );
        say(*eight_bit_mime, "8BITMIME");
        say(*enhanced_status_codes, "ENHANCEDSTATUSCODES");
        say(*starttls, "STARTTLS");
        say(!auth.is_empty(), &format!("AUTH {}", auth.join(" ")));
        WireReply::new(250, lines)
    }

    fn note(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "8BITMIME" => self.eight_bit_mime = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "PIPELINING" => self.pipelining = true,
            "SIZE" => self.size = Some(words.next().and_then(|max| max.parse().ok()).unwrap_or(0)),
            "STARTTLS" => self.starttls = true,
            "AUTH" => self.auth = words.map(str::to_ascii_uppercase).collect(),
            _ => {}
        }
    }
}
