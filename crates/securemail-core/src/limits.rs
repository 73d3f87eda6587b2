//! Every bound in one table, with its reason. What an operator may change is in the settings; what
//! stands here is fixed.

/// Seconds in which a host must have proved itself, at all its addresses together. Nobody is known before that, so
/// that whoever answers can be anybody. RFC 5321, section 4.5.3.2, gives a greeting five minutes at least, and says
/// nothing of EHLO, STARTTLS and the handshake: five more are for all of them.
pub const HOST_PROOF_SECS_MAX: u64 = 600;
/// Seconds of a round over all hosts of a domain before a final dot, besides those for the body. The minima of RFC
/// 5321, section 4.5.3.2, are of single commands: a host that uses each to its end is dead to whoever waits, and ten such
/// hosts with four addresses each would hold a place of the worker for a day.
pub const ROUND_SECS_MAX: u64 = 1800;
/// Octets of the body in a second; a round may take so much longer as its message is large (128 kbit/s).
pub const ROUND_OCTETS_PER_SEC_MIN: u64 = 16 * 1024;
/// CNAME hops followed for one question. RFC 5321 names no number; resolvers use 8 to 16.
pub const ALIAS_HOPS_MAX: usize = 8;
/// Seconds that a denial without proof is kept, a null MX among them: whoever forges one also writes its TTL, and RFC
/// 2308, section 5, lets less be kept.
pub const UNSIGNED_DENIAL_KEPT_SECS_MAX: u64 = 300;
/// Seconds that any other answer without proof is kept, for the same reason. Its owner can change it as fast.
pub const UNSIGNED_KEPT_SECS_MAX: u64 = 3600;
/// Seconds that an answer may be used past its end within the round that asked for it: the answers of one round come one
/// after the other, and a TTL may be zero.
pub const ANSWER_GRACE_SECS: u64 = 60;
/// MX hosts looked at: each costs up to three lookups before any mail moves.
pub const MX_HOSTS_MAX: usize = 10;
/// MX records read of one answer; a domain with more is no customer but an attack on our memory.
pub const MX_RECORDS_MAX: usize = 100;
/// Addresses read of one answer.
pub const ADDRESS_RECORDS_MAX: usize = 64;
/// Addresses tried for one host (RFC 5321, section 5.1, asks for two at least).
pub const ADDRESSES_PER_HOST_MAX: usize = 4;
/// TLSA records looked at; a set of more is no rollover but an attack on our time.
pub const TLSA_RECORDS_MAX: usize = 32;
/// Octets of a TXT record that is looked at.
pub const TXT_OCTETS_MAX: usize = 4096;
/// Name servers read of one answer; no zone that works has more.
pub const NS_RECORDS_MAX: usize = 32;
/// CAA properties read of one answer.
pub const CAA_RECORDS_MAX: usize = 32;
/// TXT records read of one answer.
pub const TXT_RECORDS_MAX: usize = 64;
/// Seconds that an MTA-STS policy may take to come (RFC 8461, section 3.3, suggests this).
pub const STS_FETCH_SECS_MAX: u64 = 60;
/// Seconds after a fetch of an MTA-STS policy failed in which it is not asked for again (RFC 8461, section
/// 3.3, wants five minutes at least): a policy host that says nothing costs a minute each time.
pub const STS_FETCH_AGAIN_SECS: u64 = 300;
/// Octets of an MTA-STS policy (RFC 8461, section 3.3, suggests this).
pub const STS_POLICY_OCTETS_MAX: usize = 64 * 1024;
/// Seconds that an MTA-STS policy may live: one year (RFC 8461, section 3.2).
pub const STS_MAX_AGE_SECS_MAX: u64 = 31_557_600;
/// Certificates of a chain that are looked at.
pub const CHAIN_CERTIFICATES_MAX: usize = 10;
/// Hosts that are remembered for not knowing the chunks that they announce; more are simply asked again.
pub const CHUNKLESS_HOSTS_MAX: usize = 1000;
/// Connections that are kept for a next message, in all; each costs us and its peer a socket.
pub const CONNECTIONS_KEPT_MAX: usize = 500;
/// The same, to one host for one tenant: common servers allow 50 connections of one client at once.
pub const CONNECTIONS_KEPT_PER_HOST_MAX: usize = 20;
/// Seconds that a kept connection may rest. Peers wait five minutes (RFC 5321, section 4.5.3.2.7), but
/// busy ones less, and each waiting session is one that they lack.
pub const CONNECTION_REST_SECS_MAX: u64 = 30;
/// Seconds after which a connection takes no further message: new keys and addresses count soon.
pub const CONNECTION_AGE_SECS_MAX: u64 = 300;
/// Messages over one connection; common servers end a session after 100 and more.
pub const CONNECTION_MESSAGES_MAX: u32 = 100;
/// Recipients of one message (RFC 5321, section 4.5.3.1.8, asks for 100 at least).
pub const RECIPIENTS_MAX: usize = 1000;
/// Octets of the header of a message; a longer one is not mail but an attack on our memory.
pub const HEADER_OCTETS_MAX: usize = 256 * 1024;
/// Wishes in the subject of one message. More than a few recipients with a number each are given in
/// header fields.
pub const SUBJECT_TAGS_MAX: usize = 32;
/// Octets of one command line with its end: 512 of RFC 5321, and room for SIZE and BODY.
pub const COMMAND_LINE_MAX: usize = 1024;
/// Octets of an AUTH line (RFC 4954, section 4).
pub const AUTH_LINE_MAX: usize = 12_288;
/// Octets of a text line with its end (RFC 5321, section 4.5.3.1.6).
pub const TEXT_LINE_MAX: usize = 1000;
/// Chunks of one message (RFC 3030): each costs a command and a reply, and nobody needs so many.
pub const CHUNKS_MAX: u32 = 50_000;
/// Octets of one line of a peer's reply; 512 of RFC 5321, and mercy for the talkative.
pub const REPLY_LINE_MAX: usize = 2048;
/// Lines of one reply.
pub const REPLY_LINES_MAX: usize = 128;
/// Boundaries of parts that are followed in one message; a deeper nest is no mail.
pub const BOUNDARIES_MAX: usize = 64;
/// Received fields after which a message is taken to loop (RFC 5321, section 6.3).
pub const RECEIVED_MAX: usize = 100;
/// Days that a message stays in the vault at most: the promise of the product.
pub const RETENTION_DAYS_MAX: u64 = 90;
/// Wrong codes after which a message is locked and the address blocked: the promise of the product.
pub const WRONG_CODES_MAX: u8 = 3;
/// Minutes that a code is valid (ASVS 5.0, 6.5.5, asks for 10 at most).
pub const CODE_MINUTES: u64 = 10;
/// Minutes that an address is blocked after three wrong codes.
pub const BLOCK_MINUTES: u64 = 60;
/// Codes sent for one message in an hour, and in a day: SMS cost money and annoy.
pub const CODES_PER_HOUR_MAX: u8 = 3;
/// See [`CODES_PER_HOUR_MAX`].
pub const CODES_PER_DAY_MAX: u8 = 6;
/// Codes sent to one number in an hour, and in a day, for all messages of a tenant: whoever has many
/// messages needs some more, and a number that is pumped for money gets no more than that.
pub const CODES_PER_NUMBER_HOUR: u32 = 6;
/// See [`CODES_PER_NUMBER_HOUR`].
pub const CODES_PER_NUMBER_DAY: u32 = 12;
/// Codes sent for one tenant in a day: what a stolen account can cost. The operator sets it by size.
pub const CODES_PER_TENANT_DAY: u32 = 2000;
/// Seconds between two texts for one message: a second press of the button is not a second wish.
pub const CODE_AGAIN_SECS: u64 = 30;
/// Sessions of one message that live at once: a telephone, a desk, and some more.
pub const SESSIONS_MAX: usize = 8;
/// Hours that a session lives, however busy it is (ASVS 5.0, 7.3.2).
pub const SESSION_HOURS: u64 = 4;
/// Minutes after which an idle session ends (ASVS 5.0, 7.3.1).
pub const SESSION_IDLE_MINUTES: u64 = 20;
/// Days that a message waits for a telephone number before it is given back.
pub const NUMBER_WAIT_DAYS: u64 = 5;
/// Octets of a message that the portal shows and takes apart in memory; a larger one is saved whole.
pub const PORTAL_MESSAGE_OCTETS_MAX: usize = 60 * 1024 * 1024;
/// Octets of a bounce that is read; what matters of it is a few lines.
pub const BOUNCE_OCTETS_MAX: u64 = 1024 * 1024;
/// Octets of a form that the portal accepts.
pub const FORM_OCTETS_MAX: usize = 16 * 1024;
/// Rows of one kind that metrics look at; above, they say this number. A scraper asks every few seconds, and whoever
/// has so much waiting needs no digit more.
pub const COUNTED_MAX: u64 = 20_000;
/// Octets of a text that an event keeps as a fact; a line of mail has no more (RFC 5322, section 2.1.1).
pub const FACT_OCTETS_MAX: usize = 998;
/// Domains whose MTA-STS policies are looked at in the background: one question a day each.
pub const WATCHED_DOMAINS_MAX: usize = 20_000;
/// Policies fetched at once in the background; each may take a minute.
pub const REFRESHES_AT_ONCE_MAX: usize = 20;
/// Places that a domain may ask its TLS reports to be sent to; they are tried in turn.
pub const TLS_REPORT_URIS_MAX: usize = 4;
/// Kinds of sessions counted for one domain and day. A domain that changes its records with each lookup
/// could make any number; what goes beyond is not counted.
pub const TLS_SESSION_KINDS_MAX: usize = 500;
/// Octets of counts of sessions that wait in memory to be written down, about; what goes beyond is not counted.
pub const TLS_SESSIONS_WAITING_OCTETS_MAX: usize = 32 * 1024 * 1024;
/// Failures of one policy that a report tells apart; the sum counts all.
pub const TLS_REPORT_DETAILS_MAX: usize = 1000;
/// Policies of a report that is read; one domain and day has a handful.
pub const TLS_REPORT_POLICIES_MAX: usize = 1000;
/// Lines of a policy that a report shows or may show.
pub const TLS_REPORT_POLICY_LINES_MAX: usize = 128;
/// Characters of one line of a policy, or of a text of a report.
pub const TLS_REPORT_LINE_CHARS_MAX: usize = 2048;
/// Characters of the name that a host calls itself by (RFC 1035, section 3.1).
pub const TLS_REPORT_HELO_CHARS_MAX: usize = 255;
/// The largest whole number of I-JSON (RFC 7493, section 2.2).
pub const TLS_REPORT_COUNT_MAX: u64 = (1 << 53) - 1;
/// Octets of a report that is read, once unfolded: a thousand times what one of a large sender has.
pub const TLS_REPORT_JSON_OCTETS_MAX: usize = 8 * 1024 * 1024;
/// Octets of JSON that are kept of a report that came in.
pub const TLS_REPORT_KEPT_OCTETS_MAX: usize = 64 * 1024;
/// Hours in which a report is tried again (RFC 8460, section 5.5).
pub const TLS_REPORT_HOURS: u64 = 24;
/// Seconds in which a report is posted, to all its places together: whoever takes one answers before looking
/// at it (RFC 8460, section 5.4).
pub const TLS_REPORT_POST_SECS: u64 = 60;
/// Reports that are sent at once, so that slow places do not make all others wait.
pub const TLS_REPORTS_AT_ONCE_MAX: usize = 8;
/// Hours over which reports of a day are spread, so that not all senders come at midnight (RFC 8460,
/// section 4.1, suggests four).
pub const TLS_REPORT_SPREAD_HOURS: u64 = 4;
/// Days that reports about our own domains are kept: long enough to see a trend over a quarter.
pub const TLS_REPORTS_KEPT_DAYS: u32 = 90;
/// Reports that are kept about one domain and day, the signed ones and the others apart; a domain hears from some
/// dozens of senders, and anybody may send one.
pub const TLS_REPORTS_A_DAY_MAX: usize = 200;
/// Octets of JSON that they take, the signed ones and the others apart. A report of one sender has some thousands.
pub const TLS_REPORTS_A_DAY_OCTETS_MAX: usize = 512 * 1024;
/// How many days back a report may tell: it is sent the day after, and tried again for a day (RFC 8460, sections
/// 4.1 and 5.5).
pub const TLS_REPORT_LATE_DAYS: u32 = 3;
/// Octets of a mail that carries a report: base64 makes four of three, and there are header and lines.
pub const TLS_REPORT_MAIL_OCTETS_MAX: u64 = 1536 * 1024;
/// DKIM signatures of a mail that are looked at (RFC 6376, section 6.1, leaves the number to us). Each
/// costs a look-up and may cost a pass over the body; senders make one or two.
pub const SIGNATURES_MAX: usize = 6;
/// Octets of a report that is posted.
pub const TLS_REPORT_POST_OCTETS_MAX: usize = 1024 * 1024;
