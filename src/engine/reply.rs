//! Sends what a statement's work brings forth.
//!
//! In: chunks of an answer, or an exception. Out: a head, then encoded bytes, then an end.
//! Promised: an answer that fails half-way carries the server's mark and ends cleanly inside its
//! compression, so that clients find the reason; an answer whose work just stopped is cut, never
//! ended.

use std::{io, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Exception, answer::Counts, body::Piece, encode::Encoder, exception::code, request::Request,
};

/// How long a client may leave an answer unread. A server's `http_send_timeout` is 30 s.
pub(super) const UNREAD: Duration = Duration::from_secs(120);

/// Longest message put behind an answer that fails half-way; clients look for it in one chunk.
const TRAILER_BYTES: usize = 16 << 10;

/// What the client learns before the first byte of an answer.
pub(super) struct Head {
    /// Format of the answer.
    pub(super) format: String,
    /// Counts known so far.
    pub(super) counts: Counts,
    /// What a failure half-way will be marked with.
    pub(super) tag: String,
}

/// Why work stopped early.
pub(super) enum Stop {
    /// To be told to the client.
    Failed(Exception),
    /// Nobody is left to be told.
    Gone,
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Failed(exception)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionAborted => Self::Gone,
            _ => Self::Failed(Exception::new(code::CANNOT_DECOMPRESS, error)),
        }
    }
}

/// The way back to the client.
pub(super) struct Out<'r> {
    pub(super) head: Option<oneshot::Sender<Result<Head, Exception>>>,
    pub(super) reply: mpsc::Sender<Piece>,
    pub(super) encoder: Option<Encoder>,
    pub(super) request: &'r Request,
    pub(super) tag: String,
}

impl Out<'_> {
    pub(super) fn begin(&mut self, format: &str, counts: Counts) -> Result<(), Stop> {
        self.encoder = Some(Encoder::new(
            self.request.accept_coding,
            self.request.compress,
        )?);
        let head = Head {
            format: format.to_owned(),
            counts,
            tag: self.tag.clone(),
        };
        match self.head.take().map(|sender| sender.send(Ok(head))) {
            Some(Ok(())) => Ok(()),
            _ => Err(Stop::Gone),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let Self {
            encoder: Some(encoder),
            reply,
            ..
        } = self
        else {
            return Err(Stop::Gone);
        };
        encoder.encode(bytes, |step| send(reply, Piece::Data(step.into())))
    }

    /// Ends the answer. Whatever goes wrong here, the channel closes without an end and the client
    /// sees a cut.
    pub(super) fn close(mut self, end: Result<(), Stop>) {
        match end {
            Err(Stop::Gone) => return,
            Err(Stop::Failed(exception)) => {
                if let Some(head) = self.head.take() {
                    // A client that is gone does not mind.
                    drop(head.send(Err(exception)));
                    return;
                }
                if self.write(&self.trailer(&exception)).is_err() {
                    return;
                }
            }
            Ok(()) => {}
        }
        let Some(Ok(last)) = self.encoder.take().map(Encoder::finish) else {
            return;
        };
        if !last.is_empty() && send(&self.reply, Piece::Data(last.into())).is_err() {
            return;
        }
        // The last word; whether it is heard changes nothing here.
        send(&self.reply, Piece::End).ok();
    }

    /// What a server (since 25.11) puts behind an answer that fails half-way.
    fn trailer(&self, exception: &Exception) -> Vec<u8> {
        let mut message = exception.message.as_str();
        while message.len() > TRAILER_BYTES {
            message = &message[..message.floor_char_boundary(TRAILER_BYTES)];
        }
        let (tag, n_bytes) = (&self.tag, message.len() + 1);
        format!("\r\n__exception__\r\n{tag}\r\n{message}\n{n_bytes} {tag}\r\n__exception__\r\n")
            .into_bytes()
    }
}

/// Blocks until the client has read on. One that does not is treated as gone: it holds a thread and
/// a turn.
fn send(reply: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Stop> {
    match reply.try_send(piece) {
        Ok(()) => Ok(()),
        Err(mpsc::error::TrySendError::Closed(_)) => Err(Stop::Gone),
        Err(mpsc::error::TrySendError::Full(piece)) => {
            match Handle::current().block_on(timeout(UNREAD, reply.send(piece))) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Stop::Gone),
            }
        }
    }
}
