//! AUTH PLAIN (RFC 4616), both sides, and AUTH LOGIN, without looking anything up.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use securemail_core::backend::Login;
use securemail_core::secret::SecretText;
use zeroize::Zeroizing;

/// The mechanisms offered.
pub const MECHANISMS: [&str; 2] = ["PLAIN", "LOGIN"];

/// What a client says about itself.
pub struct Credentials {
    /// Its user name.
    pub username: String,
    /// Its password or generated secret.
    pub password: SecretText,
}

/// An exchange that waits for the client's next line.
pub enum Exchange {
    /// LOGIN, the password is awaited.
    LoginPassword {
        /// The name that came before.
        username: String,
    },
    /// LOGIN, the name is awaited.
    LoginUsername,
    /// PLAIN, everything is awaited.
    Plain,
}

/// What comes next.
#[derive(Debug)]
pub enum SaslStep {
    /// Send this behind `334`, and wait for a line.
    Challenge(Exchange, &'static str),
    /// To be checked.
    Check(Credentials),
}

/// The exchange ended without credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslFault {
    /// The client sent `*`.
    #[error("the client cancelled")]
    Cancelled,
    /// The line is not base64, or what it holds has not the form of the mechanism.
    #[error("the response has not the form of the mechanism")]
    Form,
    /// No such mechanism.
    #[error("the mechanism is not offered")]
    Mechanism,
}

/// What a client answers to the empty challenge of PLAIN (RFC 4616, section 2), for a log-in as oneself.
#[must_use]
pub fn plain_response(login: &Login) -> Zeroizing<String> {
    let message = Zeroizing::new(format!(
        "\0{}\0{}",
        login.username(),
        login.password().expose()
    ));
    Zeroizing::new(STANDARD.encode(message.as_bytes()))
}

impl Exchange {
    /// Begins an exchange.
    ///
    /// # Errors
    /// Where the mechanism is unknown or the initial response is wrong.
    pub fn begin(mechanism: &str, initial: Option<&str>) -> Result<SaslStep, SaslFault> {
        let (exchange, challenge) = match mechanism {
            "PLAIN" => (Self::Plain, ""),
            "LOGIN" => (Self::LoginUsername, "VXNlcm5hbWU6"),
            _ => return Err(SaslFault::Mechanism),
        };
        match initial {
            // RFC 4954, section 4: `=` stands for an initial response of no octets.
            Some("=") => exchange.answer(&[]),
            Some(initial) => exchange.respond(initial.as_bytes()),
            None => Ok(SaslStep::Challenge(exchange, challenge)),
        }
    }

    /// Takes the client's line.
    ///
    /// # Errors
    /// Where it cancels or is wrong.
    pub fn respond(self, line: &[u8]) -> Result<SaslStep, SaslFault> {
        if line == b"*" {
            return Err(SaslFault::Cancelled);
        }
        let response = Zeroizing::new(STANDARD.decode(line).map_err(|_| SaslFault::Form)?);
        self.answer(&response)
    }

    fn answer(self, response: &[u8]) -> Result<SaslStep, SaslFault> {
        let text = std::str::from_utf8(response).map_err(|_| SaslFault::Form)?;
        match self {
            Self::LoginPassword { username } => credentials(username, text),
            Self::LoginUsername if text.contains('\0') => Err(SaslFault::Form),
            Self::LoginUsername => {
                let username = text.to_owned();
                Ok(SaslStep::Challenge(
                    Self::LoginPassword { username },
                    "UGFzc3dvcmQ6",
                ))
            }
            Self::Plain => {
                let mut parts = text.split('\0');
                let (Some(acting_for), Some(username), Some(password), None) =
                    (parts.next(), parts.next(), parts.next(), parts.next())
                else {
                    return Err(SaslFault::Form);
                };
                if !acting_for.is_empty() && acting_for != username {
                    return Err(SaslFault::Form);
                }
                credentials(username.to_owned(), password)
            }
        }
    }
}

fn credentials(username: String, password: &str) -> Result<SaslStep, SaslFault> {
    let fits = (1..=TEXT_OCTETS_MAX).contains(&username.len())
        && (1..=TEXT_OCTETS_MAX).contains(&password.len())
        && !password.contains('\0');
    if !fits {
        return Err(SaslFault::Form);
    }
    Ok(SaslStep::Check(Credentials {
        username,
        password: SecretText::new(password),
    }))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LoginPassword { .. } => "LoginPassword",
            Self::LoginUsername => "LoginUsername",
            Self::Plain => "Plain",
        })
    }
}

/// Octets of a name or password; longer ones only cost hashing time.
const TEXT_OCTETS_MAX: usize = 1024;
