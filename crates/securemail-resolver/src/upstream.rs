//! The servers that are asked, as hickory's validator wants them; and what went wrong on the way.
//!
//! The validator asks for keys and delegations by itself and folds every failure of that into "bogus". [`Trouble`]
//! keeps what really happened, so that a key that did not come in time is not reported as a forgery.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::xfer::DnsHandle;
use hickory_net::{DnsError, NetError};
use hickory_proto::op::{DnsRequest, DnsResponse, Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use securemail_core::vocab::LookupFailure;

use crate::exchange::{self, ExchangeError};

/// How often the list of servers is gone through.
const ROUNDS: usize = 2;
/// Extended errors kept for one question.
const EXTENDED_MAX: usize = 8;
/// The option that carries an extended error (RFC 8914, section 2).
const EXTENDED_ERROR: u16 = 15;

tokio::task_local! {
    /// What went wrong while one question was answered. The validator polls all it does in the task that asks.
    static TROUBLE: RefCell<Trouble>;
}

/// What went wrong while one question was answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    /// The last failure, of the question itself or of a key or delegation that it needs.
    pub(crate) failure: Option<LookupFailure>,
    /// Extended errors seen.
    pub(crate) extended: Vec<u16>,
}

/// Runs `work` and tells what went wrong in it.
pub(crate) async fn watched<F: Future>(work: F) -> (F::Output, Trouble) {
    TROUBLE
        .scope(RefCell::new(Trouble::default()), async {
            let output = work.await;
            (output, TROUBLE.with(|trouble| trouble.take()))
        })
        .await
}

/// Something that the answer needs failed.
pub(crate) fn note_failure(failure: LookupFailure) {
    note(|trouble| trouble.failure = Some(failure));
}

fn note(change: impl FnOnce(&mut Trouble)) {
    // Outside of `watched`, in the probe, nobody asks afterwards.
    let _outside = TROUBLE.try_with(|trouble| change(&mut trouble.borrow_mut()));
}

/// The servers, asked in order until one answers.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    servers: Arc<[SocketAddr]>,
    limit: Duration,
}

impl Upstream {
    pub(crate) fn new(servers: &[SocketAddr], limit: Duration) -> Self {
        Self {
            servers: servers.into(),
            limit,
        }
    }

    /// Asks. SERVFAIL and the like are failures here; the next server is tried.
    pub(crate) async fn ask(&self, request: &Message) -> Result<Message, LookupFailure> {
        let mut last = LookupFailure::Unusable;
        for server in (0..ROUNDS).flat_map(|_| self.servers.iter()) {
            match exchange::ask(*server, request, self.limit).await {
                Ok(answer) => match failure_of(&answer) {
                    None => {
                        note(|trouble| trouble.extend(&answer));
                        return Ok(answer);
                    }
                    Some(failure) => last = failure,
                },
                Err(ExchangeError::Timeout) => last = LookupFailure::Timeout,
                Err(ExchangeError::Malformed) => last = LookupFailure::Malformed,
                Err(ExchangeError::Unreachable(error)) => {
                    tracing::debug!(%error, "a DNS server cannot be reached");
                    last = LookupFailure::Unusable;
                }
            }
        }
        note_failure(last);
        Err(last)
    }
}

impl DnsHandle for Upstream {
    type Response = BoxStream<'static, Result<DnsResponse, NetError>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let upstream = self.clone();
        let answer = async move {
            let (message, _) = request.into_parts();
            let answer = upstream.ask(&message).await.map_err(net_error)?;
            Ok(DnsResponse::from_message(answer)?)
        };
        stream::once(answer).boxed()
    }
}

impl Trouble {
    fn extend(&mut self, answer: &Message) {
        for code in extended_errors(answer) {
            if self.extended.len() < EXTENDED_MAX && !self.extended.contains(&code) {
                self.extended.push(code);
            }
        }
    }
}

/// What a response code means; `None` for the two that carry an answer.
pub(crate) fn failure_of(answer: &Message) -> Option<LookupFailure> {
    let failure = match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => return None,
        // The server validates and says why (RFC 8914, sections 4.7 to 4.13).
        ResponseCode::ServFail
            if extended_errors(answer)
                .iter()
                .any(|code| (6..=12).contains(code)) =>
        {
            LookupFailure::Bogus
        }
        ResponseCode::ServFail => LookupFailure::ServFail,
        ResponseCode::Refused => LookupFailure::Refused,
        ResponseCode::NotImp => LookupFailure::NotImp,
        ResponseCode::FormErr => LookupFailure::FormErr,
        _ => LookupFailure::Malformed,
    };
    note(|trouble| trouble.extend(answer));
    Some(failure)
}

/// The extended errors of an answer (RFC 8914).
pub(crate) fn extended_errors(answer: &Message) -> Vec<u16> {
    let Some(edns) = &answer.edns else {
        return Vec::new();
    };
    edns.options()
        .get_all(EdnsCode::Unknown(EXTENDED_ERROR))
        .into_iter()
        .filter_map(|option| match option {
            EdnsOption::Unknown(_, data) => {
                data.first_chunk().map(|code| u16::from_be_bytes(*code))
            }
            _ => None,
        })
        .take(EXTENDED_MAX)
        .collect()
}

fn net_error(failure: LookupFailure) -> NetError {
    match failure {
        LookupFailure::Timeout => NetError::Timeout,
        LookupFailure::Unusable => NetError::NoConnections,
        LookupFailure::ServFail
        | LookupFailure::Bogus
        | LookupFailure::Disagreement
        | LookupFailure::Malformed => DnsError::ResponseCode(ResponseCode::ServFail).into(),
        LookupFailure::Refused => DnsError::ResponseCode(ResponseCode::Refused).into(),
        LookupFailure::NotImp => DnsError::ResponseCode(ResponseCode::NotImp).into(),
        LookupFailure::FormErr => DnsError::ResponseCode(ResponseCode::FormErr).into(),
    }
}
