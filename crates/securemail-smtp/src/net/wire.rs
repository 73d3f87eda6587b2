//! A stream with what was read from it and not yet used. Every wait has an end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout, timeout_at};

use crate::proto::line::{LineFault, take_line};
use crate::proto::reply::{ReplyFault, ReplyParser, WireReply};

/// What sessions run over: TCP, TLS, or a pipe in tests.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A stream and its input.
pub(crate) struct Wire<S> {
    pub(crate) io: S,
    pub(crate) input: BytesMut,
    replies: ReplyParser,
}

/// The wire can no longer be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the connection was closed")]
    Closed,
    #[error("{}", .0.kind())]
    Io(#[source] io::Error),
    #[error("{0}")]
    Line(#[from] LineFault),
    #[error("{0}")]
    Reply(#[from] ReplyFault),
    #[error("timed out")]
    TimedOut,
    #[error("a reply came before its command")]
    Unasked,
}

impl<S: Io> Wire<S> {
    pub(crate) fn new(io: S) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            replies: ReplyParser::default(),
        }
    }

    /// Reads some octets, room for `room` of them being there.
    pub(crate) async fn fill(&mut self, room: usize) -> Result<(), WireError> {
        if self.input.capacity().saturating_sub(self.input.len()) < room / 4 {
            self.input.reserve(room);
        }
        match self
            .io
            .read_buf(&mut self.input)
            .await
            .map_err(WireError::Io)?
        {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// A whole line, by `deadline`: octets that trickle do not put it off.
    pub(crate) async fn read_line(
        &mut self,
        max: usize,
        deadline: Instant,
    ) -> Result<Bytes, WireError> {
        loop {
            if let Some(line) = take_line(&mut self.input, max)? {
                return Ok(line);
            }
            timeout_at(deadline, self.fill(COMMAND_ROOM))
                .await
                .map_err(|_| WireError::TimedOut)??;
        }
    }

    /// A whole reply, within `limit`.
    pub(crate) async fn read_reply(&mut self, limit: Duration) -> Result<WireReply, WireError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(reply) = self.replies.next_reply(&mut self.input)? {
                return Ok(reply);
            }
            timeout_at(deadline, self.fill(COMMAND_ROOM))
                .await
                .map_err(|_| WireError::TimedOut)??;
        }
    }

    /// Sends `octets`, in one write where the stream takes them.
    pub(crate) async fn send(&mut self, octets: &[u8], limit: Duration) -> Result<(), WireError> {
        let sending = async {
            self.io.write_all(octets).await?;
            self.io.flush().await
        };
        match timeout(limit, sending).await {
            Ok(sent) => sent.map_err(WireError::Io),
            Err(_) => Err(WireError::TimedOut),
        }
    }

    /// Whether nothing has come since the last reply: no octet, and no end. It never waits.
    pub(crate) fn is_quiet(&mut self) -> bool {
        if !self.input.is_empty() {
            return false;
        }
        let reading = pin!(unconstrained(self.fill(COMMAND_ROOM)));
        reading
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    /// QUIT, and the end; nothing depends on how the peer takes it.
    pub(crate) async fn quit(mut self, limit: Duration) {
        if self.send(b"QUIT\r\n", limit).await.is_ok() && self.read_reply(limit).await.is_ok() {
            self.close().await;
        }
    }

    /// Ends our side, and reads for a moment what the peer still sends: closing with unread octets
    /// would reset the connection and could take our last reply away from the peer.
    pub(crate) async fn close(mut self) {
        let closing = async {
            self.io.shutdown().await?;
            let mut left = LINGER_OCTETS;
            while left > 0 {
                self.input.clear();
                self.input.reserve(COMMAND_ROOM);
                match self.io.read_buf(&mut self.input).await? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            io::Result::Ok(())
        };
        // Nothing depends on how the peer takes the end.
        if let Ok(Err(error)) = timeout(LINGER, closing).await {
            tracing::trace!(kind = ?error.kind(), "the connection was not ended in order");
        }
    }
}

/// Room for commands and replies.
pub(crate) const COMMAND_ROOM: usize = 4 * 1024;
/// How long a closed connection lingers.
const LINGER: Duration = Duration::from_secs(1);
/// How much is read while it does.
const LINGER_OCTETS: usize = 256 * 1024;
