//! The grammar of commands (RFC 5321, section 4.1). Print and parse are inverse.

use std::fmt;

use securemail_core::vocab::{Address, AddressError, ReversePath};

use super::reply::printable;

/// One command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// AUTH with a mechanism (upper case) and perhaps an initial response (RFC 4954).
    Auth {
        /// `PLAIN`.
        mechanism: String,
        /// Base64, or `=` for an empty one.
        initial: Option<SaslLine>,
    },
    /// BDAT (RFC 3030): so many octets follow at once.
    Bdat(Chunk),
    /// DATA.
    Data,
    /// EHLO with the client's name, made printable.
    Ehlo(String),
    /// HELO with the client's name, made printable.
    Helo(String),
    /// MAIL FROM.
    Mail {
        /// Where failures go.
        reverse_path: ReversePath,
        /// `KEYWORD=value`.
        parameters: Vec<Parameter>,
    },
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// RCPT TO.
    Rcpt {
        /// For whom.
        recipient: Address,
        /// `KEYWORD=value`.
        parameters: Vec<Parameter>,
    },
    /// RSET.
    Rset,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// VRFY.
    Vrfy,
}

/// What BDAT announces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chunk {
    /// How many octets follow behind the line.
    pub size: u64,
    /// With them the message is complete.
    pub is_last: bool,
}

/// A line of a SASL exchange in base64. Its `Debug` shows nothing, since it may hold a password.
#[derive(Clone, Eq, PartialEq)]
pub struct SaslLine(pub String);

/// A parameter of MAIL or RCPT.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter {
    /// Upper case.
    pub keyword: String,
    /// What stands behind `=`.
    pub value: Option<String>,
}

/// A line is no command that can be obeyed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A line that begins as BDAT does, and does not say how many octets follow. Nobody can tell where
    /// the next command begins.
    #[error("syntax: BDAT octets [LAST]")]
    Chunk,
    /// The path of MAIL has letters outside ASCII, and SMTPUTF8 is not among its parameters.
    #[error("letters outside ASCII need SMTPUTF8; send MAIL FROM:<address> SMTPUTF8")]
    NeedsUtf8,
    /// The path of MAIL or RCPT is no mailbox.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// The verb is known, but not what follows it.
    #[error("syntax: {0}")]
    Syntax(&'static str),
    /// The verb is not known.
    #[error("the command is not known")]
    Unknown,
}

impl Parameter {
    /// A keyword that has no value, or has this one.
    #[must_use]
    pub fn new(keyword: &str, value: Option<String>) -> Self {
        Self {
            keyword: keyword.to_owned(),
            value,
        }
    }

    /// SMTPUTF8 of MAIL (RFC 6531, section 3.4).
    #[must_use]
    pub fn is_utf8(&self) -> bool {
        self.keyword == "SMTPUTF8" && self.value.is_none()
    }
}

impl Command {
    /// Reads one line without its CRLF.
    ///
    /// # Errors
    /// Where it is not a command of this list; the variant says how to answer.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        // The reader of lines lets none of these through; whoever parses without it is not led astray.
        if line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
            return Err(CommandError::Unknown);
        }
        if is_bdat(line) {
            return parse_bdat(line).map(Self::Bdat).ok_or(CommandError::Chunk);
        }
        let line = std::str::from_utf8(line).map_err(|_| CommandError::Unknown)?;
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_matches(' ');
        match verb.to_ascii_uppercase().as_str() {
            "AUTH" => parse_auth(rest),
            "DATA" => bare(Self::Data, rest),
            "EHLO" => parse_name(rest).map(Self::Ehlo),
            "HELO" => parse_name(rest).map(Self::Helo),
            "MAIL" => parse_mail(rest),
            "NOOP" => Ok(Self::Noop),
            "QUIT" => bare(Self::Quit, rest),
            "RCPT" => parse_rcpt(rest),
            "RSET" => bare(Self::Rset, rest),
            "STARTTLS" => bare(Self::StartTls, rest),
            "VRFY" => Ok(Self::Vrfy),
            _ => Err(CommandError::Unknown),
        }
    }

    /// Whether it must be the last of a pipelined group (RFC 2920, section 3.1; RFC 3207, section 4;
    /// RFC 4954, section 4).
    #[must_use]
    pub const fn ends_group(&self) -> bool {
        match self {
            Self::Auth { .. }
            | Self::Data
            | Self::Ehlo(_)
            | Self::Helo(_)
            | Self::Noop
            | Self::Quit
            | Self::StartTls
            | Self::Vrfy => true,
            Self::Bdat(_) | Self::Mail { .. } | Self::Rcpt { .. } | Self::Rset => false,
        }
    }
}

fn bare(command: Command, rest: &str) -> Result<Command, CommandError> {
    if rest.is_empty() {
        Ok(command)
    } else {
        Err(CommandError::Syntax("no parameter is allowed here"))
    }
}

fn parse_auth(rest: &str) -> Result<Command, CommandError> {
    let mut words = rest.split(' ');
    let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
    let initial = words.next().map(|word| SaslLine(word.to_owned()));
    let fits = (1..=20).contains(&mechanism.len())
        && mechanism
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && initial.as_ref().is_none_or(|initial| !initial.0.is_empty())
        && words.next().is_none();
    if fits {
        Ok(Command::Auth { mechanism, initial })
    } else {
        Err(CommandError::Syntax("AUTH mechanism [initial-response]"))
    }
}

/// Whatever begins like it: a peer may have read it as BDAT and let octets follow.
fn is_bdat(line: &[u8]) -> bool {
    line.get(..4)
        .is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

/// `BDAT SP chunk-size [SP "LAST"]` (RFC 3030, section 2), and nothing near it.
fn parse_bdat(line: &[u8]) -> Option<Chunk> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ').skip(1);
    let size = words.next()?;
    let is_last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    let is_number = (1..=20).contains(&size.len()) && size.bytes().all(|b| b.is_ascii_digit());
    let is_verb = line.split(' ').next().is_some_and(|verb| verb.len() == 4);
    if !(is_verb && is_number && words.next().is_none()) {
        return None;
    }
    let size = size.parse().ok()?;
    Some(Chunk { size, is_last })
}

fn parse_name(rest: &str) -> Result<String, CommandError> {
    let name = printable(rest.split(' ').next().unwrap_or_default().as_bytes());
    if name.is_empty() || name.len() > 255 {
        return Err(CommandError::Syntax("EHLO name"));
    }
    Ok(name)
}

fn parse_mail(rest: &str) -> Result<Command, CommandError> {
    let (path, parameters) = split_path(rest, "FROM:", "MAIL FROM:<address> [parameters]")?;
    let reverse_path = match path {
        "" => ReversePath::Null,
        // RFC 6531, section 3.4; a domain alone could be written as A-labels by the client.
        mailbox if !mailbox.is_ascii() && !parameters.iter().any(Parameter::is_utf8) => {
            return Err(CommandError::NeedsUtf8);
        }
        mailbox => ReversePath::Mailbox(Address::parse(mailbox)?),
    };
    Ok(Command::Mail {
        reverse_path,
        parameters,
    })
}

fn parse_rcpt(rest: &str) -> Result<Command, CommandError> {
    let (path, parameters) = split_path(rest, "TO:", "RCPT TO:<address> [parameters]")?;
    Ok(Command::Rcpt {
        recipient: Address::parse(path)?,
        parameters,
    })
}

/// `FROM:<path> parameters`. A `>` within quotes does not end the path.
fn split_path<'a>(
    rest: &'a str,
    keyword: &str,
    form: &'static str,
) -> Result<(&'a str, Vec<Parameter>), CommandError> {
    let wrong = CommandError::Syntax(form);
    let (head, tail) = rest.split_at_checked(keyword.len()).ok_or(wrong)?;
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(wrong);
    }
    let path = tail
        .trim_start_matches(' ')
        .strip_prefix('<')
        .ok_or(wrong)?;
    let end = path_end(path).ok_or(wrong)?;
    let (path, tail) = path.split_at_checked(end).ok_or(wrong)?;
    let tail = tail.strip_prefix('>').ok_or(wrong)?;
    if !(tail.is_empty() || tail.starts_with(' ')) {
        return Err(wrong);
    }
    let parameters: Option<Vec<_>> = tail
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(parse_parameter)
        .collect();
    Ok((path, parameters.ok_or(wrong)?))
}

fn path_end(path: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// `esmtp-param = esmtp-keyword ["=" esmtp-value]`.
fn parse_parameter(word: &str) -> Option<Parameter> {
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    let starts = keyword.starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_keyword = keyword
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_value = value.is_none_or(|value| {
        !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'=')
    });
    (starts && is_keyword && is_value).then(|| Parameter {
        keyword: keyword.to_ascii_uppercase(),
        value: value.map(str::to_owned),
    })
}

impl fmt::Debug for SaslLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaslLine(..)")
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, " {}={value}", self.keyword),
            None => write!(f, " {}", self.keyword),
        }
    }
}

/// The line as it is sent, without its CRLF. It shows addresses and secrets: not for logs.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auth {
                mechanism,
                initial: None,
            } => write!(f, "AUTH {mechanism}"),
            Self::Auth {
                mechanism,
                initial: Some(initial),
            } => {
                write!(f, "AUTH {mechanism} {}", initial.0)
            }
            Self::Bdat(Chunk { size, is_last }) => {
                write!(f, "BDAT {size}{}", if *is_last { " LAST" } else { "" })
            }
            Self::Data => f.write_str("DATA"),
            Self::Ehlo(name) => write!(f, "EHLO {name}"),
            Self::Helo(name) => write!(f, "HELO {name}"),
            Self::Mail {
                reverse_path,
                parameters,
            } => {
                write!(f, "MAIL FROM:{reverse_path}")?;
                parameters
                    .iter()
                    .try_for_each(|parameter| write!(f, "{parameter}"))
            }
            Self::Noop => f.write_str("NOOP"),
            Self::Quit => f.write_str("QUIT"),
            Self::Rcpt {
                recipient,
                parameters,
            } => {
                write!(f, "RCPT TO:<{recipient}>")?;
                parameters
                    .iter()
                    .try_for_each(|parameter| write!(f, "{parameter}"))
            }
            Self::Rset => f.write_str("RSET"),
            Self::StartTls => f.write_str("STARTTLS"),
            Self::Vrfy => f.write_str("VRFY"),
        }
    }
}
