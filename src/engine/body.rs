//! Bodies on their way between the connection and the thread that works on a statement.
//!
//! In: frames of a request, chunks of an answer. Out: a blocking reader for the worker, an HTTP
//! body for the client. Promised: end of body is a message of its own. A channel that closes
//! without it (the connection was reset, the process is stopping, a thread died) is an error on the
//! other side, never an end: an insert that mistakes one for the other commits half of what was
//! sent.

use std::{
    io::{self, BufRead, Read},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{sync::mpsc, time::timeout};

use super::registry::Running;

/// Messages under way in each direction: enough to keep both sides busy, few enough to keep memory
/// flat.
const DEPTH: usize = 8;

/// What is read and thrown away of a request that is already answered, so that the client reads the
/// answer instead of a reset. A client that sends more has to live with the reset.
const DRAIN_BYTES: usize = 64 << 20;

/// How long that may take.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a client may pause within a body; it holds a thread and a turn. Longer than a server's
/// `http_receive_timeout` (30 s), because writers keep inserts open while they wait for rows.
const PAUSE: Duration = Duration::from_secs(300);

/// One message of a body.
#[derive(Debug)]
pub enum Piece {
    /// More bytes.
    Data(Bytes),
    /// The body is complete.
    End,
}

/// Opens the way from a request to its worker.
#[must_use]
pub fn request_pipe() -> (mpsc::Sender<Piece>, BodyReader) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    (
        sender,
        BodyReader {
            receiver: Some(receiver),
            current: Bytes::new(),
            ended: false,
        },
    )
}

/// Moves a request's frames to its worker. `End` is sent only if hyper says that the body is
/// complete.
pub async fn pump(mut body: Incoming, sender: mpsc::Sender<Piece>) {
    loop {
        let frame = match timeout(PAUSE, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
            Ok(Some(Err(_))) | Err(_) => return,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if sender.send(Piece::Data(data)).await.is_err() {
            // The worker has answered already. Errors while draining only mean that it is over.
            drop(timeout(DRAIN, drain(body)).await);
            return;
        }
    }
    // A worker that is gone has answered and does not care.
    drop(sender.send(Piece::End).await);
}

async fn drain(mut body: Incoming) {
    let mut n_bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        n_bytes += frame.data_ref().map_or(0, Bytes::len);
        if n_bytes > DRAIN_BYTES {
            return;
        }
    }
}

/// A request's body as a blocking reader. Only for threads that may block.
#[derive(Debug)]
pub struct BodyReader {
    receiver: Option<mpsc::Receiver<Piece>>,
    current: Bytes,
    ended: bool,
}

impl BodyReader {
    /// A body that is known already.
    #[must_use]
    pub fn full(bytes: Bytes) -> Self {
        Self {
            receiver: None,
            current: bytes,
            ended: true,
        }
    }
}

impl BufRead for BodyReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() && !self.ended {
            match self
                .receiver
                .as_mut()
                .and_then(mpsc::Receiver::blocking_recv)
            {
                Some(Piece::Data(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                // Not `UnexpectedEof`: some decoders take that for an end (lz4_flex, between
                // blocks).
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the request ended before its body was complete",
                    ));
                }
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n_bytes = available.len().min(buffer.len());
        buffer[..n_bytes].copy_from_slice(&available[..n_bytes]);
        self.consume(n_bytes);
        Ok(n_bytes)
    }
}

/// The answer was cut: the client must see a broken body, not a short one.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
pub struct Cut;

/// The body of an answer.
pub struct ReplyBody {
    source: Source,
    // Dropping a body before its end is how a client's disappearance shows: the statement is
    // cancelled.
    running: Option<Arc<Running>>,
}

enum Source {
    Full(Option<Bytes>),
    Stream(mpsc::Receiver<Piece>),
}

impl ReplyBody {
    /// A body that is known already.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self {
            source: Source::Full(Some(bytes.into())),
            running: None,
        }
    }

    /// A body that the worker of `running` sends.
    #[must_use]
    pub fn stream(running: Arc<Running>) -> (mpsc::Sender<Piece>, Self) {
        let (sender, receiver) = mpsc::channel(DEPTH);
        (
            sender,
            Self {
                source: Source::Stream(receiver),
                running: Some(running),
            },
        )
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let frame = match &mut self.source {
            Source::Full(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                return Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))));
            }
            Source::Stream(receiver) => std::task::ready!(receiver.poll_recv(context)),
        };
        Poll::Ready(match frame {
            Some(Piece::Data(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::End) => {
                self.running = None;
                self.source = Source::Full(None);
                None
            }
            None => Some(Err(Cut)),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.source, Source::Full(bytes) if bytes.as_ref().is_none_or(Bytes::is_empty))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Stream(_) => SizeHint::default(),
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: Vec<Piece>) -> io::Result<Vec<u8>> {
        let (sender, mut reader) = request_pipe();
        for piece in pieces {
            sender.blocking_send(piece).unwrap();
        }
        drop(sender);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn complete_body_is_read_to_its_end() {
        let pieces = vec![
            Piece::Data("ab".into()),
            Piece::Data("c".into()),
            Piece::End,
        ];
        assert_eq!(read(pieces).unwrap(), b"abc");
    }

    #[test]
    fn dropped_channel_is_not_an_end_of_body() {
        for pieces in [vec![], vec![Piece::Data("ab".into())]] {
            assert_eq!(
                read(pieces).unwrap_err().kind(),
                io::ErrorKind::ConnectionAborted
            );
        }
    }
}
