//! What an operator may change, with its defaults.

use std::path::PathBuf;
use std::time::Duration;

use securemail_core::limits;
use securemail_core::vocab::DnsName;

/// Settings of the server. Start with [`ServerSettings::new`] and change what differs.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The name in the greeting and in the reply to EHLO.
    pub hostname: DnsName,
    /// Where content above the memory budget goes, sealed, in files without a name.
    pub data_dir: PathBuf,
    /// Octets of one message.
    pub message_bytes: u64,
    /// Octets of content that all sessions together keep in memory.
    pub memory_bytes: u64,
    /// Recipients of one message.
    pub recipients: usize,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address (IPv4 /32, IPv6 /64).
    pub connections_per_address: usize,
    /// How long a session may take for what.
    pub timeouts: ServerTimeouts,
}

/// Time-outs of the server (RFC 5321, section 4.5.3.2.7).
#[derive(Clone, Copy, Debug)]
pub struct ServerTimeouts {
    /// For a whole command, from its expectation to its last octet.
    pub command: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the connection to the login; where nobody logs in, for the commands of the whole session. A
    /// client that nobody knows holds a place for so long and no longer.
    pub login: Duration,
    /// For the next octets of content.
    pub data_block: Duration,
    /// For the content as a whole; a client that sends an octet a minute holds a place for nothing.
    pub data: Duration,
    /// For the client to take our octets.
    pub write: Duration,
    /// For sessions and handlers to end after shutdown.
    pub drain: Duration,
}

/// Settings of the client. Start with [`ClientSettings::new`] and change what differs.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The name in EHLO.
    pub hostname: DnsName,
    /// Content goes by BDAT where the host offers CHUNKING (RFC 3030), else by DATA.
    pub chunking: bool,
    /// How long a session may take for what.
    pub timeouts: ClientTimeouts,
    /// Which connections wait for another message.
    pub keeping: Keeping,
}

/// Which connections wait for another message after one was handed over.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// For so long.
    pub rest: Duration,
    /// Unless they are as old as this.
    pub age: Duration,
    /// Or carried so many messages; with one, none is kept.
    pub messages: u32,
    /// At most so many to one host for one tenant.
    pub per_host: usize,
    /// At most so many in all.
    pub total: usize,
}

/// Time-outs of the client (RFC 5321, section 4.5.3.2).
#[derive(Clone, Copy, Debug)]
pub struct ClientTimeouts {
    /// For a host to prove itself, at all its addresses together; of one that is not proved, to come to MAIL.
    pub proof: Duration,
    /// For the TCP connection.
    pub connect: Duration,
    /// For the greeting.
    pub greeting: Duration,
    /// For the replies to EHLO, STARTTLS, MAIL, RCPT and DATA, and to a chunk that is not the last.
    pub command: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the peer to take one block.
    pub data_block: Duration,
    /// For the reply to the end of data: the final dot, or the last chunk.
    pub final_dot: Duration,
    /// For the reply to QUIT; nothing depends on it.
    pub quit: Duration,
}

impl ServerSettings {
    /// The defaults, for a server of this name.
    #[must_use]
    pub fn new(hostname: DnsName, data_dir: PathBuf) -> Self {
        Self {
            hostname,
            data_dir,
            message_bytes: 60 * 1024 * 1024,
            memory_bytes: 256 * 1024 * 1024,
            recipients: limits::RECIPIENTS_MAX,
            connections: 1000,
            connections_per_address: 100,
            timeouts: ServerTimeouts::default(),
        }
    }
}

impl ServerSettings {
    /// The defaults of a receiver of bounces: small messages, few connections.
    #[must_use]
    pub fn for_bounces(hostname: DnsName, data_dir: PathBuf) -> Self {
        let timeouts = ServerTimeouts {
            // A server that delivers one bounce after the other comes again for the rest.
            login: Duration::from_mins(30),
            ..ServerTimeouts::default()
        };
        Self {
            timeouts,
            message_bytes: limits::BOUNCE_OCTETS_MAX,
            memory_bytes: 16 * 1024 * 1024,
            // RFC 5321, section 4.5.3.1.8, asks for 100; a bounce has one.
            recipients: 100,
            connections: 50,
            connections_per_address: 10,
            ..Self::new(hostname, data_dir)
        }
    }
}

impl ClientSettings {
    /// The defaults, for a client of this name.
    #[must_use]
    pub fn new(hostname: DnsName) -> Self {
        Self {
            hostname,
            chunking: true,
            timeouts: ClientTimeouts::default(),
            keeping: Keeping::default(),
        }
    }
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            rest: Duration::from_secs(limits::CONNECTION_REST_SECS_MAX),
            age: Duration::from_secs(limits::CONNECTION_AGE_SECS_MAX),
            messages: limits::CONNECTION_MESSAGES_MAX,
            per_host: limits::CONNECTIONS_KEPT_PER_HOST_MAX,
            total: limits::CONNECTIONS_KEPT_MAX,
        }
    }
}

impl Default for ServerTimeouts {
    fn default() -> Self {
        Self {
            command: Duration::from_mins(5),
            handshake: Duration::from_mins(1),
            login: Duration::from_mins(2),
            data_block: Duration::from_mins(3),
            data: Duration::from_mins(60),
            write: Duration::from_mins(5),
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            proof: Duration::from_secs(limits::HOST_PROOF_SECS_MAX),
            connect: Duration::from_secs(30),
            greeting: Duration::from_mins(5),
            command: Duration::from_mins(5),
            handshake: Duration::from_mins(1),
            data_block: Duration::from_mins(3),
            final_dot: Duration::from_mins(10),
            quit: Duration::from_secs(5),
        }
    }
}
