//! The parameters of MAIL (RFC 5321, section 4.1.1.11).

use super::answers::{say, too_big};
use super::command::Parameter;
use super::reply::WireReply;

/// SIZE of MAIL, if all parameters are understood (RFC 5321, section 4.1.1.11).
pub(super) fn mail_parameters(
    parameters: &[Parameter],
    bytes_max: u64,
) -> Result<Option<u64>, WireReply> {
    let mut declared = None;
    for Parameter { keyword, value } in parameters {
        match (keyword.as_str(), value.as_deref()) {
            ("SIZE", Some(value)) => {
                let size = parse_size(value)
                    .filter(|_| declared.is_none())
                    .ok_or_else(|| say(501, (5, 5, 4), "SIZE=octets, once"))?;
                declared = Some(size);
            }
            ("BODY", Some(body))
                if body.eq_ignore_ascii_case("7BIT") || body.eq_ignore_ascii_case("8BITMIME") => {}
            // RFC 4954, section 5: must be understood; nobody here is trusted to vouch for another.
            ("AUTH", Some(_)) => {}
            ("SIZE" | "BODY" | "AUTH", _) => {
                return Err(say(501, (5, 5, 4), "a parameter has a wrong value"));
            }
            _ => {
                return Err(say(
                    555,
                    (5, 5, 4),
                    "a parameter is not known; SIZE and BODY are",
                ));
            }
        }
    }
    match declared {
        Some(size) if size > bytes_max => Err(too_big(bytes_max)),
        declared => Ok(declared),
    }
}

/// 1 to 20 digits (RFC 1870, section 3).
fn parse_size(value: &str) -> Option<u64> {
    let fits = (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    if !fits {
        return None;
    }
    Some(value.parse().unwrap_or(u64::MAX))
}
