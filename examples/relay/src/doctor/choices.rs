//! What a listener agrees to when it is asked for less than it can (Internet.nl, checks of TLS; NCSC-NL, 2025-05).

use super::hello::{
    CIPHERS_1_3, EXTENDED_MASTER_SECRET, Offer, RENEGOTIATION_INFO, Reply, SIGNATURES_SHA_1,
    SMALL_GROUPS, ServerHello, Version,
};
use super::listener::{Target, offer};
use super::renegotiation;
use super::report::{Level, advice, fail, good, unknown};

type Judge = fn(&ServerHello) -> (Level, String);
type Found = (&'static str, (Level, String));

/// Of the ciphers of TLS 1.3, those that are better than the last.
const BETTER: usize = 2;

/// Asks, each time on a connection of its own.
pub async fn look(target: &Target) -> Vec<Found> {
    let mut found = vec![
        (
            "tls_old",
            refuses(target, &Offer::weak(Version::Tls1_1), "TLS 1.1").await,
        ),
        (
            "tls_ciphers",
            refuses(target, &Offer::weak(Version::Tls1_2), "weak ciphers").await,
        ),
    ];
    let small = Offer {
        groups: SMALL_GROUPS,
        ..Offer::strong(Version::Tls1_2)
    };
    let small = refuses(target, &small, "curves below 256 bits").await;
    found.push(("fs_params", small));
    found.push(("kex_hash_func", sha_1(target).await));
    found.push(("tls_cipher_order", order(target).await));
    let strong = offer(target, &Offer::strong(Version::Tls1_2)).await;
    found.extend(judge(&strong));
    let again = match strong {
        Ok(Reply::Refused) => without_1_2(),
        Ok(Reply::Accepted(_)) => renegotiation::look(target).await,
        Err(why) => unknown(why),
    };
    found.push(("renegotiation_client", again));
    found
}

/// Whether a handshake that nobody should want is refused.
async fn refuses(target: &Target, weak: &Offer<'_>, what: &str) -> (Level, String) {
    match offer(target, weak).await {
        Ok(Reply::Refused) => good(format!("{what} refused")),
        Ok(Reply::Accepted(_)) => fail(format!("{what} accepted")),
        Err(why) => unknown(format!("{what}: {why}")),
    }
}

/// RFC 9155 deprecates SHA-1 in signatures of TLS 1.2; TLS 1.3 never had it there.
async fn sha_1(target: &Target) -> (Level, String) {
    let old = Offer {
        signatures: SIGNATURES_SHA_1,
        ..Offer::strong(Version::Tls1_2)
    };
    match offer(target, &old).await {
        Ok(Reply::Refused) => good("a key exchange signed with SHA-1 refused"),
        Ok(Reply::Accepted(_)) => advice("a key exchange signed with SHA-1 accepted"),
        Err(why) => unknown(why),
    }
}

/// Who chooses: offered in two orders, the server takes the same cipher each time where it chooses.
async fn order(target: &Target) -> (Level, String) {
    let mut is_spoken = false;
    for version in [Version::Tls1_2, Version::Tls1_3] {
        let strong = Offer::strong(version);
        let mut reversed = strong.ciphers.to_vec();
        reversed.reverse();
        let reversed = Offer {
            ciphers: &reversed,
            ..strong.clone()
        };
        let (one, other) = match (
            chosen(target, &strong).await,
            chosen(target, &reversed).await,
        ) {
            (Ok(Some(one)), Ok(Some(other))) => (one, other),
            (Ok(None), Ok(None)) => continue,
            (Ok(_), Ok(_)) => return unknown("the same offer is refused and accepted"),
            (Err(why), _) | (_, Err(why)) => return unknown(why),
        };
        is_spoken = true;
        if one != other {
            return fail("the client's order of ciphers counts; let the server's count");
        }
        if version == Version::Tls1_3 && !CIPHERS_1_3.iter().take(BETTER).any(|good| *good == one) {
            return advice("AES-128 is preferred; put AES-256 or ChaCha20 first");
        }
    }
    if is_spoken {
        good("the server's order of ciphers counts, and begins well")
    } else {
        unknown("no offer was accepted")
    }
}

/// The cipher that an offer gets; `None` where it is refused.
async fn chosen(target: &Target, made: &Offer<'_>) -> Result<Option<u16>, String> {
    match offer(target, made).await? {
        Reply::Refused => Ok(None),
        Reply::Accepted(Some(hello)) => Ok(Some(hello.cipher)),
        Reply::Accepted(None) => Err(UNREADABLE.to_owned()),
    }
}

/// What the answer to an offer of TLS 1.2 shows.
fn judge(reply: &Result<Reply, String>) -> Vec<Found> {
    let checks: [(&str, Judge); 3] = [
        ("tls_compression", compression),
        ("renegotiation_secure", renegotiation_info),
        ("extended_master_secret", master_secret),
    ];
    let judged = checks.map(|(check, judge)| {
        let found = match reply {
            Ok(Reply::Accepted(Some(hello))) => judge(hello),
            Ok(Reply::Accepted(None)) => unknown(UNREADABLE),
            Ok(Reply::Refused) => without_1_2(),
            Err(why) => unknown(why.clone()),
        };
        (check, found)
    });
    judged.into()
}

/// RFC 7525, section 3.3: what is compressed can be guessed (CRIME).
fn compression(hello: &ServerHello) -> (Level, String) {
    if hello.compresses {
        fail("compression accepted; switch it off")
    } else {
        good("no compression")
    }
}

fn renegotiation_info(hello: &ServerHello) -> (Level, String) {
    if hello.extensions.contains(&RENEGOTIATION_INFO) {
        good("a new handshake would be bound to the one before (RFC 5746)")
    } else {
        fail("without RFC 5746 somebody between can put words before those of a client")
    }
}

fn master_secret(hello: &ServerHello) -> (Level, String) {
    if hello.extensions.contains(&EXTENDED_MASTER_SECRET) {
        good("keys of TLS 1.2 are bound to the whole handshake (RFC 7627)")
    } else {
        fail("keys of TLS 1.2 are not bound to the handshake; switch RFC 7627 on, or TLS 1.2 off")
    }
}

/// What these checks look at is gone in TLS 1.3.
fn without_1_2() -> (Level, String) {
    good("TLS 1.2 is refused")
}

const UNREADABLE: &str = "the answer of the server cannot be read";

#[cfg(test)]
#[path = "choices_tests.rs"]
mod listening;

#[cfg(test)]
mod tests {
    use super::*;

    /// The levels of compression, secure renegotiation and master secret.
    fn levels(compresses: bool, extensions: &[u16]) -> Vec<Level> {
        let hello = ServerHello {
            cipher: 0xC02C,
            compresses,
            extensions: extensions.to_vec(),
        };
        let found = judge(&Ok(Reply::Accepted(Some(hello))));
        found.into_iter().map(|(_, (level, _))| level).collect()
    }

    #[test]
    fn each_fault_of_tls_1_2_is_found_by_its_check() {
        use Level::{Fail, Good};
        let both = [EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO];
        assert_eq!(levels(false, &both), [Good, Good, Good]);
        assert_eq!(levels(true, &both), [Fail, Good, Good]);
        let [secret, info] = both;
        assert_eq!(levels(false, &[secret]), [Good, Fail, Good]);
        assert_eq!(levels(false, &[info]), [Good, Good, Fail]);
    }

    #[test]
    fn without_tls_1_2_nothing_of_it_is_wrong_and_without_an_answer_nothing_is_known() {
        let all = |reply| {
            let levels = judge(&reply).into_iter().map(|(_, (level, _))| level);
            levels.collect::<Vec<_>>()
        };
        assert_eq!(all(Ok(Reply::Refused)), [Level::Good; 3]);
        assert_eq!(all(Ok(Reply::Accepted(None))), [Level::Unknown; 3]);
        assert_eq!(all(Err("why".to_owned())), [Level::Unknown; 3]);
    }
}
