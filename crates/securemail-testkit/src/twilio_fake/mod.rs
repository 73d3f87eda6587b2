//! A fake of Twilio's Messages API over real HTTP: a stand-in for a carrier that cannot be had in tests.
//!
//! It is a fake. What it takes and refuses follows Twilio's published API description and the numbers
//! that Twilio's own test credentials give a meaning; it sends nothing to anybody. It is stricter than
//! the real one: fields that the description does not have are refused.

mod callback;
mod rules;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub use callback::sign;
pub use rules::{Refusal, TakenText};

/// The account of the fake.
#[derive(Clone, Debug)]
pub struct TwilioAccount {
    /// `AC` and 32 hexadecimal digits.
    pub sid: String,
    /// The auth token; it also signs callbacks.
    pub auth_token: String,
    /// Numbers, names and messaging services that the account may send from.
    pub senders: Vec<String>,
}

impl Default for TwilioAccount {
    /// A made-up account that sends from `+15005550006` (Twilio's own test sender) and `Demo`.
    fn default() -> Self {
        Self {
            sid: format!("AC{}", "0".repeat(32)),
            auth_token: "fake-auth-token-of-the-fake".to_owned(),
            senders: vec!["+15005550006".to_owned(), "Demo".to_owned()],
        }
    }
}

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Takes the text, then closes the connection without an answer.
    AnswerLost,
    /// Answers after this time.
    Delay(Duration),
    /// Refuses with 429 and code 20429.
    RateLimit,
    /// Answers with this HTTP status and no body that means anything.
    Status(u16),
}

/// A running fake. Dropping it ends it.
#[derive(Debug)]
pub struct TwilioFake {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    account: TwilioAccount,
    taken: Mutex<Vec<TakenText>>,
    faults: Mutex<Vec<Fault>>,
}

impl TwilioFake {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Where there is no port to listen on.
    pub async fn start(account: TwilioAccount) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            account,
            taken: Mutex::default(),
            faults: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            task,
        })
    }

    /// What goes into `base_url`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it took, in order.
    #[must_use]
    pub fn taken(&self) -> Vec<TakenText> {
        lock(&self.state.taken).clone()
    }

    /// The next request goes wrong like this; several faults wait for their turn.
    pub fn go_wrong(&self, fault: Fault) {
        lock(&self.state.faults).push(fault);
    }

    /// Tells the text's StatusCallback, signed, that it has `status` now; returns the HTTP status of
    /// the answer. `tls` is used where that address is HTTPS.
    ///
    /// # Errors
    /// Where there is no such text, it has no callback, or nobody answers there.
    pub async fn report(
        &self,
        sid: &str,
        status: &str,
        error_code: Option<u32>,
        tls: Option<Arc<ClientConfig>>,
    ) -> io::Result<u16> {
        let text = lock(&self.state.taken)
            .iter_mut()
            .find(|text| text.sid == sid)
            .map(|text| {
                status.clone_into(&mut text.status);
                text.clone()
            });
        let text = text.ok_or_else(|| io::Error::other("no such text"))?;
        callback::post(&self.state.account, &text, error_code, tls).await
    }
}

impl Drop for TwilioFake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
    // An error here is a client that went away, or the fault that was asked for.
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// An error closes the connection without an answer.
async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let body = Limited::new(body, 64 * 1024).collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    let call = rules::Call {
        method: head.method.as_str(),
        path: head.uri.path(),
        authorization: header(AUTHORIZATION),
        content_type: header(CONTENT_TYPE),
        body: &body,
    };
    let fault = {
        let mut faults = lock(&state.faults);
        (!faults.is_empty()).then(|| faults.remove(0))
    };
    let mut refused = None;
    match fault {
        Some(Fault::Status(status)) => return Ok(respond(status, "<html>oops</html>")),
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        Some(Fault::RateLimit) => refused = Some(Refusal::rate_limit()),
        Some(Fault::AnswerLost) | None => {}
    }
    let result = refused.map_or_else(|| take(&state, &call), Err);
    if fault == Some(Fault::AnswerLost) {
        return Err(io::Error::other("the answer is lost, as was asked for"));
    }
    Ok(match result {
        Ok(text) => respond(201, &text.resource(&state.account.sid)),
        Err(refusal) => respond(refusal.status, &refusal.to_json()),
    })
}

fn take(state: &State, call: &rules::Call<'_>) -> Result<TakenText, Refusal> {
    let mut taken = lock(&state.taken);
    let sid = format!("SM{:032x}", taken.len() + 1);
    let text = rules::check(&state.account, call, sid)?;
    taken.push(text.clone());
    Ok(text)
}

fn respond(status: u16, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
