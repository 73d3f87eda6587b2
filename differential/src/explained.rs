//! Differences that are meant, each with the text that decides.
//!
//! A rule says as exactly as it can which difference it explains: one that is too wide hides a fault.

use std::fmt;

use crate::case::{Between, Chain, Host, Issuer, Kind, Mx, Named, Of, Record, Sts, Zone};
use crate::report::{Against, Difference};
use crate::verdict::{Proof, Verdict};

/// What stands for Postfix's words where it said nothing.
pub(crate) const SILENT: &str = "the delivery did not end";

/// Why we differ.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Explanation {
    /// The certificate of an authority is not one of a server.
    AuthorityAsServer,
    /// A name that stands only in the subject.
    CommonName,
    /// A trust anchor out of its validity.
    ExpiredAnchor,
    /// A leaf that is its own trust anchor.
    LeafAsAnchor,
    /// The recipient's domain as name of a host that was found without proof.
    NameBehindUnsignedMx,
    /// Mail servers that do not exist.
    NoHost,
    /// A null MX beside a host.
    NullAmongOthers,
    /// A policy in mode enforce.
    Policy,
    /// Postfix died.
    Silence,
    /// Usages 0 and 1.
    PublicUsage,
    /// Records of which none is usable, and a certificate that proves the host.
    UnusableWithCertificate,
    /// Records of which none is usable, at a host without STARTTLS.
    UnusableWithoutTls,
    /// Records of which none is usable, behind an unsigned MX record.
    UnusableUnsigned,
}

/// Whether it explains a difference.
type Explains = fn(&Difference) -> bool;

/// All of them, in the order in which they are tried.
const ALL: [(Explanation, Explains); 13] = [
    (Explanation::Silence, silence),
    (Explanation::NullAmongOthers, null_among_others),
    (Explanation::NoHost, no_host),
    (Explanation::PublicUsage, public_usage),
    (Explanation::UnusableWithoutTls, unusable_without_tls),
    (Explanation::UnusableUnsigned, unusable_unsigned),
    (
        Explanation::UnusableWithCertificate,
        unusable_with_certificate,
    ),
    (Explanation::Policy, policy),
    (Explanation::LeafAsAnchor, leaf_as_anchor),
    (Explanation::ExpiredAnchor, expired_anchor),
    (Explanation::AuthorityAsServer, authority_as_server),
    (Explanation::NameBehindUnsignedMx, name_behind_unsigned_mx),
    (Explanation::CommonName, common_name),
];

/// What explains a difference, if anything does.
pub(crate) fn by(difference: &Difference) -> Option<Explanation> {
    ALL.iter()
        .find(|(_, explains)| explains(difference))
        .map(|(explanation, _)| *explanation)
}

fn silence(difference: &Difference) -> bool {
    let is_empty = |record: &Record| record.cut == Some(0);
    difference.their_words == SILENT
        && difference.ours != Verdict::Refused
        && difference
            .case
            .hosts
            .iter()
            .any(|host| host.tlsa.iter().any(is_empty))
}

fn null_among_others(difference: &Difference) -> bool {
    difference.case.mx == Mx::NullAndHost
        && difference.theirs == Verdict::Refused
        && difference.their_words.contains("nullMX")
        && difference.decided_by("MX-13")
}

fn no_host(difference: &Difference) -> bool {
    difference.case.mx == Mx::Missing
        && difference.ours == Verdict::Held
        && difference.theirs == Verdict::Refused
        && difference.decided_by("AD-04")
}

fn public_usage(difference: &Difference) -> bool {
    let is_public = |record: &Record| record.usage < 2;
    difference.ours == Verdict::NotProved
        && difference.theirs == Verdict::Held
        && matches!(difference.against, Against::OpenSsl(_))
        && difference
            .host()
            .is_some_and(|host| host.tlsa.iter().all(is_public))
}

fn unusable_without_tls(difference: &Difference) -> bool {
    difference.ours == Verdict::NotProved
        && difference.theirs == Verdict::Held
        && difference.their_words.contains("TLS is required")
        && difference.decided_by("T-02")
        && (difference.decided_by("C-04") || difference.decided_by("X-07"))
}

fn unusable_unsigned(difference: &Difference) -> bool {
    difference.ours == Verdict::NotProved
        && difference.only_they_take()
        && difference.decided_by("X-07")
}

fn unusable_with_certificate(difference: &Difference) -> bool {
    matches!(difference.ours, Verdict::Direct(_, Proof::Certificate))
        && difference.theirs == Verdict::NotProved
        && difference.against == Against::Finger
        && difference.their_words.contains("all TLSA records unusable")
        && difference.decided_by("T-02")
}

fn policy(difference: &Difference) -> bool {
    let by_policy = ["X-03", "X-09", "X-10"].map(|rule| difference.decided_by(rule));
    matches!(difference.case.sts, Sts::Enforce(_))
        && difference.ours == Verdict::Held
        && matches!(difference.theirs, Verdict::Direct(..))
        && by_policy.contains(&true)
}

fn leaf_as_anchor(difference: &Difference) -> bool {
    difference.only_they_take()
        && difference.shows(|chain| chain.issuer == Issuer::Itself)
        && difference.has_anchor(&[Of::Issuer, Of::Leaf, Of::Root])
}

fn expired_anchor(difference: &Difference) -> bool {
    difference.only_they_take()
        && difference.shows(|chain| chain.between == Between::Expired)
        && difference.has_anchor(&[Of::Issuer])
}

fn authority_as_server(difference: &Difference) -> bool {
    difference.only_they_take() && difference.shows(|chain| chain.kind == Kind::Authority)
}

fn name_behind_unsigned_mx(difference: &Difference) -> bool {
    let case = &difference.case;
    let is_unsigned = case.zone == Zone::Insecure || case.mx == Mx::Aliased(Zone::Insecure);
    is_unsigned
        && difference.only_they_take()
        && difference.decided_by("T-10")
        && difference.decided_by("CE-03")
        && difference.shows(|chain| chain.named == Named::Domain)
}

fn common_name(difference: &Difference) -> bool {
    difference.only_they_take() && difference.shows(|chain| chain.named == Named::CommonName)
}

impl Difference {
    /// They hand over to a host that proved something, and we do not.
    fn only_they_take(&self) -> bool {
        let Verdict::Direct(theirs, Proof::Certificate | Proof::Dane) = &self.theirs else {
            return false;
        };
        match &self.ours {
            Verdict::Direct(ours, _) => ours != theirs,
            Verdict::Held | Verdict::NotProved => true,
            Verdict::Refused => false,
        }
    }

    /// Whether our decision consulted a rule.
    fn decided_by(&self, rule: &str) -> bool {
        self.our_words.contains(&format!("[{rule};"))
    }

    /// The host that it is about: the one they take, or the only one.
    fn host(&self) -> Option<&Host> {
        let index = match (self.against, &self.theirs) {
            (Against::OpenSsl(index), _) => index,
            (_, Verdict::Direct(host, _)) => {
                (0..self.case.hosts.len()).find(|index| self.case.host_name(*index) == *host)?
            }
            (_, _) => 0,
        };
        self.case.hosts.get(index)
    }

    fn shows(&self, is_so: impl Fn(&Chain) -> bool) -> bool {
        self.host()
            .and_then(|host| host.chain.as_ref())
            .is_some_and(is_so)
    }

    fn has_anchor(&self, of: &[Of]) -> bool {
        let is_anchor = |record: &Record| record.usage == 2 && of.contains(&record.of);
        self.host()
            .is_some_and(|host| host.tlsa.iter().any(is_anchor))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuthorityAsServer => {
                "a certificate authority's own certificate is no server's (RFC 5280, section 4.2.1.9)"
            }
            Self::CommonName => {
                "a common name never counts (RFC 8461, section 4.2; RFC 9525, section 6.3; RFC 7672, \
                 section 3.2.3 leaves it open)"
            }
            Self::ExpiredAnchor => {
                "a trust anchor that the handshake shows must be valid now (RFC 7671, section 5.2.1)"
            }
            Self::LeafAsAnchor => "a leaf is not its own trust anchor (RFC 7671, section 5.2)",
            Self::NameBehindUnsignedMx => {
                "behind an unsigned MX record only the host's own name counts (RFC 7672, section 3.2.2)"
            }
            Self::NoHost => {
                "mail servers that do not exist are an error, which we report after holding (RFC 5321, \
                 section 5.1)"
            }
            Self::NullAmongOthers => "a null MX beside a host is none (RFC 7505, section 3)",
            Self::Policy => {
                "MTA-STS in mode enforce binds us, and this Postfix asks for no policy (RFC 8461, \
                 section 5)"
            }
            Self::PublicUsage => "usages 0 and 1 are unusable for SMTP (RFC 7672, section 3.1.3)",
            Self::Silence => {
                "this Postfix dies of a TLSA record without data, and the message waits (RFC 6698, \
                 section 2.1, has no such record)"
            }
            Self::UnusableUnsigned => {
                "unusable records behind an unsigned MX record need a better proof than any certificate \
                 (RFC 7671, section 10.3)"
            }
            Self::UnusableWithCertificate => {
                "beside unusable records a certificate of a trusted root is proof enough behind a signed MX \
                 record or a policy (RFC 7671, section 10.3)"
            }
            Self::UnusableWithoutTls => {
                "unusable records ask for TLS, which is not offered: no proof, so the vault (RFC 7672, \
                 section 2.2)"
            }
        })
    }
}
