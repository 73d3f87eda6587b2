//! A check before the first message: do the servers pass DNSSEC records on, and do the validators validate?

use hickory_proto::dnssec::Proof;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData};
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};
use securemail_core::vocab::LookupFailure;

use crate::exchange;
use crate::resolver::{Asked, HickoryResolver, Unanswered};

/// Why names cannot be looked up as the decisions need it. Each says what to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// No server answers.
    #[error(
        "no server of dns.servers answers; check the address, or install one here \
         (apt-get install unbound) and set dns.servers = [\"127.0.0.1:53\"]"
    )]
    Unreachable,
    /// The answers come without signatures.
    #[error(
        "this resolver drops DNSSEC records; install a local one: \
         apt-get install unbound, then dns.servers = [\"127.0.0.1:53\"]"
    )]
    DropsDnssec,
    /// The root's keys are not those of the anchor.
    #[error(
        "the root's keys do not validate with dns.trust_anchor; check the clock of this machine \
         and that the anchor belongs to these servers"
    )]
    WrongAnchor,
    /// The second validator does not answer.
    #[error(
        "dns.second_opinion does not answer; start it (systemctl start unbound), \
         or set dns.second_opinion = [] and go with one validator"
    )]
    SecondUnreachable,
    /// The second validator does not say AD for the root.
    #[error(
        "dns.second_opinion does not validate: it does not set AD for the root; \
         switch validation on (unbound: auto-trust-anchor-file), \
         or set dns.second_opinion = [] and go with one validator"
    )]
    SecondDoesNotValidate,
}

impl HickoryResolver {
    /// Checks that the root's keys come with signatures and validate, and that the second validator says AD.
    ///
    /// # Errors
    /// The first thing that is wrong, in a sentence for the operator.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        let root = |kind| exchange::request(Name::root(), kind);
        let keys = self.upstream.ask(&root(RecordType::DNSKEY)).await;
        let keys = keys.map_err(|failure| match failure {
            // The server validates, and its anchor is another one, or it reaches nobody.
            LookupFailure::Bogus => ProbeError::WrongAnchor,
            _ => ProbeError::Unreachable,
        })?;
        if !has_signatures(&keys) {
            return Err(ProbeError::DropsDnssec);
        }
        // The SOA record too: it is signed with the key that signs everything else.
        for kind in [RecordType::DNSKEY, RecordType::SOA] {
            match self.ask(Name::root(), kind).await {
                Ok(Asked::Accepted(message)) if is_secure(&message, kind) => {}
                Ok(Asked::Accepted(_) | Asked::Denied { .. }) | Err(Unanswered) => {
                    return Err(ProbeError::WrongAnchor);
                }
            }
        }
        let Some(second) = &self.second else {
            return Ok(());
        };
        let answer = second.ask(&root(RecordType::SOA)).await;
        let answer = answer.map_err(|failure| match failure {
            LookupFailure::ServFail | LookupFailure::Bogus => ProbeError::SecondDoesNotValidate,
            _ => ProbeError::SecondUnreachable,
        })?;
        if answer.metadata.authentic_data {
            Ok(())
        } else {
            Err(ProbeError::SecondDoesNotValidate)
        }
    }

    /// The root's keys as they come, not validated: a digest of the anchor says which of them are right.
    pub(crate) async fn root_keys(&self) -> Result<Vec<DNSKEY>, Unanswered> {
        let request = exchange::request(Name::root(), RecordType::DNSKEY);
        let answer = self.upstream.ask(&request).await.map_err(|_| Unanswered)?;
        let keys = answer
            .answers
            .into_iter()
            .filter_map(|record| match record.data {
                RData::DNSSEC(DNSSECRData::DNSKEY(key)) if record.name.is_root() => Some(key),
                _ => None,
            });
        Ok(keys.collect())
    }
}

fn has_signatures(message: &Message) -> bool {
    message
        .answers
        .iter()
        .any(|record| record.record_type() == RecordType::RRSIG)
}

pub(crate) fn is_secure(message: &Message, kind: RecordType) -> bool {
    let mut records = message
        .answers
        .iter()
        .filter(|record| record.record_type() == kind)
        .peekable();
    records.peek().is_some() && records.all(|record| record.proof == Proof::Secure)
}
