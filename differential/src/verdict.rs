//! What somebody would do with a message, in words that all sides share.

/// What becomes of a message for one domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It goes to this host.
    Direct(String, Proof),
    /// It waits: something that is published is not met, or did not answer.
    Held,
    /// Nothing is wrong, and nothing is proved.
    NotProved,
    /// It goes back.
    Refused,
}

/// What proved the host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Proof {
    /// A TLSA record.
    Dane,
    /// A certificate of a trusted root.
    Certificate,
    /// Nothing; it went all the same.
    Nothing,
}
