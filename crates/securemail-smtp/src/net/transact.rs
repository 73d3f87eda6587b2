//! One mail transaction over a session: the commands, the content, and the one end of data, which leaves
//! with leave alone, however it is spelled.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use securemail_core::backend::{DotClosed, FinalDot, SessionOutcome};
use securemail_core::vocab::Content;

use super::client::{BLOCK, SmtpTransport};
use super::wire::{Io, Wire, WireError};
use crate::proto::command::{Chunk, Command};
use crate::proto::data::{LastLine, StrictLines, Stuffer};
use crate::proto::transaction::{Phase, Spelling, Transaction};

impl SmtpTransport {
    /// A whole transaction. Where it ends early, what the recipients are is in `transaction`.
    pub(super) async fn transact<S: Io>(
        &self,
        wire: &mut Wire<S>,
        transaction: &mut Transaction,
        final_dot: &dyn FinalDot,
    ) -> SessionOutcome {
        let ended = match self.commands(wire, transaction).await {
            Ok(()) if transaction.phase() == Phase::Content => {
                self.content(wire, transaction, final_dot).await
            }
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        };
        match ended {
            Err(Stopped::CalledOff) => SessionOutcome::CalledOff,
            Err(Stopped::Wire(error)) => {
                tracing::debug!(%error, "the session broke after MAIL");
                SessionOutcome::Completed
            }
            Ok(()) => SessionOutcome::Completed,
        }
    }

    async fn commands<S: Io>(
        &self,
        wire: &mut Wire<S>,
        transaction: &mut Transaction,
    ) -> Result<(), WireError> {
        let limits = &self.settings.timeouts;
        let mut out = BytesMut::new();
        while transaction.phase() == Phase::Commands {
            out.clear();
            let replies = transaction.next_group(&mut out);
            wire.send(&out, limits.command).await?;
            for _ in 0..replies {
                let limit = if transaction.awaits_reset() {
                    RESET_REPLY.min(limits.command)
                } else {
                    limits.command
                };
                transaction.handle_reply(&wire.read_reply(limit).await?);
                if transaction.phase() == Phase::Broken {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The content and its end. The end leaves with leave alone, and behind it silence is no answer.
    async fn content<S: Io>(
        &self,
        wire: &mut Wire<S>,
        transaction: &mut Transaction,
        final_dot: &dyn FinalDot,
    ) -> Result<(), Stopped> {
        let limits = &self.settings.timeouts;
        let end = match transaction.spelling() {
            Spelling::Chunks { first } => self.chunks(wire, transaction, first).await?,
            Spelling::Lines => self.lines(wire, transaction.content()).await?,
        };
        if transaction.phase() != Phase::Content {
            return Ok(());
        }
        // A reply that came before its question would be taken for the answer to the end of data.
        if !wire.input.is_empty() {
            return Err(WireError::Unasked.into());
        }
        final_dot
            .open()
            .await
            .map_err(|DotClosed| Stopped::CalledOff)?;
        transaction.dot_leaves();
        wire.send(&end, limits.data_block).await?;
        let reply = wire.read_reply(limits.final_dot).await?;
        transaction.handle_final(&reply);
        Ok(())
    }

    /// Sends the content behind DATA, but for its last block, which is returned with the final dot.
    async fn lines<S: Io>(
        &self,
        wire: &mut Wire<S>,
        content: &Arc<dyn Content>,
    ) -> Result<BytesMut, Stopped> {
        let limits = &self.settings.timeouts;
        let mut stuffer = Stuffer::default();
        let mut out = BytesMut::with_capacity(BLOCK);
        let mut offset = 0;
        while offset < content.size() {
            let block = content
                .read(offset, BLOCK)
                .await
                .map_err(|_| Stopped::CalledOff)?;
            if block.is_empty() {
                return Err(Stopped::CalledOff);
            }
            if !out.is_empty() {
                wire.send(&out, limits.data_block).await?;
                out.clear();
            }
            stuffer
                .push(&block, &mut out)
                .map_err(|_| Stopped::CalledOff)?;
            offset = offset.saturating_add(block.len() as u64);
        }
        stuffer.finish(&mut out).map_err(|_| Stopped::CalledOff)?;
        Ok(out)
    }

    /// Sends the content behind its first octet in chunks and takes the reply to each; returns the end,
    /// which is a chunk without octets. Where one is refused the transaction says so, and nothing follows.
    async fn chunks<S: Io>(
        &self,
        wire: &mut Wire<S>,
        transaction: &mut Transaction,
        first: u8,
    ) -> Result<BytesMut, Stopped> {
        let limits = &self.settings.timeouts;
        let content = Arc::clone(transaction.content());
        let mut lines = StrictLines::default();
        lines.push(&[first]).map_err(|_| Stopped::CalledOff)?;
        let mut open = 0;
        let mut offset = 1;
        while offset < content.size() {
            let most = transaction.chunks_ahead().saturating_sub(1);
            self.await_chunks(wire, transaction, &mut open, most)
                .await?;
            if transaction.phase() != Phase::Content {
                return Ok(BytesMut::new());
            }
            let size = content.size().saturating_sub(offset).min(CHUNK);
            let out = chunk(&content, (offset, size), &mut lines).await?;
            wire.send(&out, limits.data_block).await?;
            open += 1;
            offset = offset.saturating_add(size);
        }
        if lines.end().map_err(|_| Stopped::CalledOff)? == LastLine::Open {
            // The same octets leave, whatever they are spelled with.
            let mut out = announce(2, false);
            out.put_slice(b"\r\n");
            wire.send(&out, limits.data_block).await?;
            open += 1;
        }
        self.await_chunks(wire, transaction, &mut open, 0).await?;
        Ok(announce(0, true))
    }

    /// Takes replies to chunks until at most so many are without one, or one was refused.
    async fn await_chunks<S: Io>(
        &self,
        wire: &mut Wire<S>,
        transaction: &mut Transaction,
        open: &mut usize,
        most: usize,
    ) -> Result<(), WireError> {
        while *open > most && transaction.phase() == Phase::Content {
            let reply = wire.read_reply(self.settings.timeouts.command).await?;
            transaction.handle_chunk(&reply);
            *open = open.saturating_sub(1);
        }
        Ok(())
    }
}

/// One chunk with its line. All of it is read and looked through before any of it leaves.
async fn chunk(
    content: &Arc<dyn Content>,
    (offset, size): (u64, u64),
    lines: &mut StrictLines,
) -> Result<BytesMut, Stopped> {
    let mut out = announce(size, false);
    let mut taken = 0_u64;
    while taken < size {
        let left = usize::try_from(size.saturating_sub(taken)).unwrap_or(BLOCK);
        let block = content
            .read(offset.saturating_add(taken), left.min(BLOCK))
            .await
            .map_err(|_| Stopped::CalledOff)?;
        if block.is_empty() || block.len() > left {
            return Err(Stopped::CalledOff);
        }
        lines.push(&block).map_err(|_| Stopped::CalledOff)?;
        out.put_slice(&block);
        taken = taken.saturating_add(block.len() as u64);
    }
    Ok(out)
}

/// The line before a chunk, with room for the chunk.
fn announce(size: u64, is_last: bool) -> BytesMut {
    let line = format!("{}\r\n", Command::Bdat(Chunk { size, is_last }));
    let room = usize::try_from(size).unwrap_or_default();
    let mut out = BytesMut::with_capacity(line.len().saturating_add(room));
    out.put_slice(line.as_bytes());
    out
}

/// Why a transaction stopped within the content.
enum Stopped {
    CalledOff,
    Wire(WireError),
}

impl From<WireError> for Stopped {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// For the reply to RSET on a session that rested: a peer that went away silently must cost the sender
/// no patience, since a fresh connection is at hand.
const RESET_REPLY: Duration = Duration::from_secs(5);
/// Octets of one chunk. A refusal is heard after each, so that little is sent in vain (RFC 3030, section 2).
const CHUNK: u64 = 256 * 1024;
