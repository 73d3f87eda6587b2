//! What a message demands of every host that carries it.

use serde::{Deserialize, Serialize};

/// What a message demands of every host that carries it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Demands {
    /// SMTPUTF8 (RFC 6531): header fields, or an address of the envelope, in letters outside ASCII.
    pub smtp_utf8: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: RequireTls,
}

/// Whether every next host must promise REQUIRETLS (RFC 8689).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequireTls {
    /// Every next host, or the message goes back.
    Always,
    /// Where the host offers it: a report about a message that demands it must not be lost for want of
    /// it (RFC 8689, section 5).
    IfOffered,
    /// Nobody asked.
    #[default]
    No,
}
