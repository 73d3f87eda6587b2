//! Status callbacks of the fake: signed as Twilio signs them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sha1::Sha1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::TwilioAccount;
use super::rules::TakenText;

/// The `X-Twilio-Signature` of a form posted to `url`.
#[must_use]
pub fn sign(auth_token: &str, url: &str, fields: &BTreeMap<&str, String>) -> String {
    let text: String = fields
        .iter()
        .flat_map(|(name, value)| [name, value.as_str()])
        .fold(url.to_owned(), |text, part| text + part);
    Hmac::<Sha1>::new_from_slice(auth_token.as_bytes())
        .map(|mac| STANDARD.encode(mac.chain_update(text).finalize().into_bytes()))
        .unwrap_or_default()
}

pub(super) async fn post(
    account: &TwilioAccount,
    text: &TakenText,
    error_code: Option<u32>,
    tls: Option<Arc<ClientConfig>>,
) -> io::Result<u16> {
    let url = text.status_callback.clone();
    let url = url.ok_or_else(|| io::Error::other("this text has no StatusCallback"))?;
    let mut fields = BTreeMap::from([
        ("AccountSid", account.sid.clone()),
        ("ApiVersion", "2010-04-01".to_owned()),
        ("From", text.from.clone()),
        ("MessageSid", text.sid.clone()),
        ("MessageStatus", text.status.clone()),
        ("SmsSid", text.sid.clone()),
        ("SmsStatus", text.status.clone()),
        ("To", text.to.clone()),
    ]);
    fields.extend(error_code.map(|code| ("ErrorCode", code.to_string())));
    let signature = sign(&account.auth_token, &url, &fields);
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&fields)
        .finish();
    let uri: Uri = url.parse().map_err(io::Error::other)?;
    let authority = uri
        .authority()
        .ok_or_else(|| io::Error::other("no host in StatusCallback"))?;
    let target = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(target)
        .header(HOST, authority.as_str())
        .header(
            CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=UTF-8",
        )
        .header("X-Twilio-Signature", signature)
        .body(Full::new(Bytes::from(form)))
        .map_err(io::Error::other)?;
    let is_https = uri.scheme_str() == Some("https");
    let port = authority
        .port_u16()
        .unwrap_or(if is_https { 443 } else { 80 });
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port)).await?;
    if !is_https {
        return send(stream, request).await;
    }
    let tls = tls.ok_or_else(|| io::Error::other("an HTTPS callback needs a TLS configuration"))?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    send(
        TlsConnector::from(tls).connect(name, stream).await?,
        request,
    )
    .await
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> io::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(io::Error::other);
    drop(sender);
    connection.abort();
    Ok(response?.status().as_u16())
}
