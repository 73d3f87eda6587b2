//! The EHLO keywords that we know (RFC 5321, section 4.1.1.1), read and written.

use super::reply::WireReply;

/// What a peer offers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extensions {
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// SIZE (RFC 1870), and the most octets that it takes; 0 says that there is no fixed limit.
    pub size: Option<u64>,
    /// SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
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

    /// Whether SMTPUTF8 can be used; it is nothing without 8BITMIME (RFC 6531, section 3.1).
    #[must_use]
    pub const fn takes_utf8(&self) -> bool {
        self.smtp_utf8 && self.eight_bit_mime
    }

    /// The reply to EHLO of a server called `name`.
    #[must_use]
    pub fn to_reply(&self, name: &str) -> WireReply {
        let Self {
            eight_bit_mime,
            chunking,
            enhanced_status_codes,
            pipelining,
            require_tls,
            size,
            smtp_utf8,
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
        say(*smtp_utf8, "SMTPUTF8");
        say(*chunking, "CHUNKING");
        say(*enhanced_status_codes, "ENHANCEDSTATUSCODES");
        say(*starttls, "STARTTLS");
        say(*require_tls, "REQUIRETLS");
        say(!auth.is_empty(), &format!("AUTH {}", auth.join(" ")));
        WireReply::new(250, lines)
    }

    fn note(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "8BITMIME" => self.eight_bit_mime = true,
            "CHUNKING" => self.chunking = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "PIPELINING" => self.pipelining = true,
            "REQUIRETLS" => self.require_tls = true,
            "SIZE" => self.size = Some(words.next().and_then(|max| max.parse().ok()).unwrap_or(0)),
            "SMTPUTF8" => self.smtp_utf8 = true,
            "STARTTLS" => self.starttls = true,
            "AUTH" => self.auth = words.map(str::to_ascii_uppercase).collect(),
            _ => {}
        }
    }
}
