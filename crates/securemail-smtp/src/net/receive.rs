//! Reads the content behind DATA up to the final dot, or behind BDAT as long as announced, within limits.

use std::sync::Arc;

use bytes::BytesMut;
use securemail_core::vocab::Content;
use tokio::time::{Instant, timeout_at};

use super::body::{BodyStore, BodyWriter};
use super::wire::{Io, Wire, WireError};
use crate::proto::answers::{say, too_big};
use crate::proto::command::Chunk;
use crate::proto::data::{DataEvent, LastLine, StrictLines, Unstuffer};
use crate::proto::line::LineFault;
use crate::proto::reply::WireReply;
use crate::settings::ServerSettings;

/// What became of the content.
pub(super) enum Received {
    /// It is there.
    Content(Arc<dyn Content>),
    /// A last reply; what follows must not be read as commands.
    Over(WireReply),
    /// A reply; the final dot was reached, and commands may follow.
    Refused(WireReply),
}

/// Reads to the final dot, also what is not kept: only behind it may commands follow.
pub(super) async fn receive<S: Io>(
    wire: &mut Wire<S>,
    bodies: &Arc<BodyStore>,
    settings: &ServerSettings,
) -> Result<Received, WireError> {
    let deadline = Instant::now() + settings.timeouts.data;
    let mut unstuffer = Unstuffer::default();
    let mut intake = Intake::new(bodies, settings);
    loop {
        match unstuffer.next_event(&mut wire.input) {
            Err(fault) => return Ok(Received::Over(bad_line(fault))),
            Ok(DataEvent::End) => break,
            Ok(DataEvent::NeedMore) => {
                if let Some(reply) = fill(wire, deadline, settings).await? {
                    return Ok(Received::Over(reply));
                }
            }
            Ok(DataEvent::Content(octets)) => {
                intake.take(octets).await;
                if intake.is_endless() {
                    return Ok(Received::Over(too_big(settings.message_bytes)));
                }
            }
        }
    }
    Ok(intake.finish(unstuffer.has_long_line()).await)
}

/// A message that comes in chunks (RFC 3030).
pub(super) struct Incoming {
    intake: Intake,
    lines: StrictLines,
    deadline: Instant,
}

/// What became of a chunk.
pub(super) enum Taken {
    /// It is there; more must come.
    More,
    /// A last reply; what follows must not be read as commands.
    Over(WireReply),
    /// The message cannot be taken. The chunk was read to its end, and commands may follow.
    Refused(WireReply),
    /// It was the last.
    Whole,
}

impl Incoming {
    pub(super) fn new(bodies: &Arc<BodyStore>, settings: &ServerSettings) -> Self {
        Self {
            intake: Intake::new(bodies, settings),
            lines: StrictLines::default(),
            deadline: Instant::now() + settings.timeouts.data,
        }
    }

    /// When the whole message must have come.
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Reads just as many octets as were announced.
    pub(super) async fn take<S: Io>(
        &mut self,
        wire: &mut Wire<S>,
        chunk: Chunk,
        settings: &ServerSettings,
    ) -> Result<Taken, WireError> {
        let mut left = chunk.size;
        while left > 0 {
            if wire.input.is_empty()
                && let Some(reply) = fill(wire, self.deadline, settings).await?
            {
                return Ok(Taken::Over(reply));
            }
            let octets = take_at_most(wire, &mut left);
            if let Err(fault) = self.lines.push(&octets) {
                return Ok(Taken::Over(bad_line(fault)));
            }
            self.intake.take(octets).await;
            if self.intake.is_endless() {
                return Ok(Taken::Over(too_big(settings.message_bytes)));
            }
        }
        Ok(match &self.intake.body {
            Ok(_) if chunk.is_last => Taken::Whole,
            Ok(_) => Taken::More,
            Err(reply) => Taken::Refused(reply.clone()),
        })
    }

    /// The last chunk was taken.
    pub(super) async fn finish(self) -> Received {
        match self.lines.end() {
            Err(fault) => Received::Over(bad_line(fault)),
            // Nothing is added: the signature of a sender would not hold any more.
            Ok(LastLine::Open) => Received::Refused(say(
                554,
                (5, 6, 0),
                "the message does not end in CRLF; end its last line",
            )),
            Ok(LastLine::Whole) => self.intake.finish(self.lines.has_long_line()).await,
        }
    }
}

/// Reads a chunk of which nothing is wanted. A last reply where it is too long to be read.
pub(super) async fn skip<S: Io>(
    wire: &mut Wire<S>,
    chunk: Chunk,
    deadline: Instant,
    settings: &ServerSettings,
) -> Result<Option<WireReply>, WireError> {
    if chunk.size > settings.message_bytes.saturating_mul(2) {
        return Ok(Some(too_big(settings.message_bytes)));
    }
    let mut left = chunk.size;
    while left > 0 {
        if wire.input.is_empty()
            && let Some(reply) = fill(wire, deadline, settings).await?
        {
            return Ok(Some(reply));
        }
        drop(take_at_most(wire, &mut left));
    }
    Ok(None)
}

/// What has come, and no octet beyond the chunk.
fn take_at_most<S: Io>(wire: &mut Wire<S>, left: &mut u64) -> BytesMut {
    let length = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(wire.input.len());
    *left = left.saturating_sub(length as u64);
    wire.input.split_to(length)
}

/// More octets; a last reply where none came in time.
async fn fill<S: Io>(
    wire: &mut Wire<S>,
    deadline: Instant,
    settings: &ServerSettings,
) -> Result<Option<WireReply>, WireError> {
    let until = deadline.min(Instant::now() + settings.timeouts.data_block);
    match timeout_at(until, wire.fill(CONTENT_ROOM)).await {
        Ok(filled) => filled.map(|()| None),
        Err(_) => Ok(Some(say(421, (4, 4, 2), "no content came in time"))),
    }
}

/// The reply to a line that nobody must read on from.
pub(super) fn bad_line(fault: LineFault) -> WireReply {
    match fault {
        LineFault::TooLong => say(500, (5, 5, 2), "the line is too long"),
        LineFault::BareCr | LineFault::BareLf | LineFault::Nul => say(
            521,
            (5, 5, 2),
            &format!("{fault}; lines end in CRLF and nothing else"),
        ),
    }
}

/// Content as far as it is wanted.
struct Intake {
    /// Where it goes, or why it goes nowhere.
    body: Result<BodyWriter, WireReply>,
    size: u64,
    most: u64,
}

impl Intake {
    fn new(bodies: &Arc<BodyStore>, settings: &ServerSettings) -> Self {
        Self {
            body: Ok(bodies.writer()),
            size: 0,
            most: settings.message_bytes,
        }
    }

    async fn take(&mut self, octets: BytesMut) {
        self.size = self.size.saturating_add(octets.len() as u64);
        if self.size > self.most {
            self.body = Err(too_big(self.most));
        }
        let kept = match &mut self.body {
            Ok(body) => body.push(octets).await,
            Err(_) => Ok(()),
        };
        if kept.is_err() {
            self.body = Err(no_room());
        }
    }

    /// Too big by so much that reading to the end is not worth it.
    const fn is_endless(&self) -> bool {
        self.size > self.most.saturating_mul(2)
    }

    async fn finish(self, has_long_line: bool) -> Received {
        let body = match self.body {
            Ok(body) => body,
            Err(reply) => return Received::Refused(reply),
        };
        if has_long_line {
            // The next host would refuse the line, or break it and with it the signature.
            return Received::Refused(say(
                554,
                (5, 6, 0),
                "a line is longer than 998 octets; encode the part as quoted-printable or base64",
            ));
        }
        body.finish()
            .await
            .map_or_else(|_| Received::Refused(no_room()), Received::Content)
    }
}

fn no_room() -> WireReply {
    say(
        452,
        (4, 3, 1),
        "no room for the message now; try again later",
    )
}

/// Room for one read of content.
const CONTENT_ROOM: usize = 64 * 1024;
