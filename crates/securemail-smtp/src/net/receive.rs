//! Reads the content behind DATA up to the final dot, within limits.

use std::sync::Arc;

use bytes::BytesMut;
use securemail_core::vocab::Content;
use tokio::time::{Instant, timeout_at};

use super::body::{BodyStore, BodyWriter};
use super::wire::{Io, Wire, WireError};
use crate::proto::answers::{say, too_big};
use crate::proto::data::{DataEvent, Unstuffer};
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
    let mut intake = Intake {
        body: Ok(bodies.writer()),
        size: 0,
        most: settings.message_bytes,
    };
    loop {
        match unstuffer.next_event(&mut wire.input) {
            Err(fault) => return Ok(Received::Over(bad_line(fault))),
            Ok(DataEvent::End) => break,
            Ok(DataEvent::NeedMore) => {
                let until = deadline.min(Instant::now() + settings.timeouts.data_block);
                match timeout_at(until, wire.fill(CONTENT_ROOM)).await {
                    Ok(filled) => filled?,
                    Err(_) => {
                        let reply = say(421, (4, 4, 2), "no content came in time");
                        return Ok(Received::Over(reply));
                    }
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
