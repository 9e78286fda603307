//! A stream that gives a request's head a deadline from its first byte.
//!
//! hyper's own header time-out starts while a keep-alive connection is still idle, so it cannot be both
//! generous to idle connections and strict to slow ones. Here the strict clock starts with the first byte of a
//! request and stops when the handler takes over (which has a time-out of its own for the body).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Whether a handler is at work on this connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase {
    is_answering: Arc<AtomicBool>,
}

impl Phase {
    /// A request's head is complete.
    pub(super) fn answering(&self) {
        self.is_answering.store(true, Ordering::Relaxed);
    }

    /// Its reply is ready to be written.
    pub(super) fn waiting(&self) {
        self.is_answering.store(false, Ordering::Relaxed);
    }
}

pub(super) struct Dribble<S> {
    stream: S,
    phase: Phase,
    limit: Duration,
    /// Set while a head has begun and is not complete. The timer itself is made only when a head comes
    /// in more than one piece, which few do.
    begun: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Dribble<S> {
    pub(super) fn new(stream: S, phase: Phase, limit: Duration) -> Dribble<S> {
        Dribble { stream, phase, limit, begun: None, timer: None }
    }

    fn rest(&mut self) {
        self.begun = None;
        self.timer = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Dribble<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            if buffer.filled().len() > before && this.begun.is_none() {
                this.begun = Some(Instant::now());
            }
            return Poll::Ready(result);
        }
        if this.phase.is_answering.load(Ordering::Relaxed) {
            this.rest();
            return Poll::Pending;
        }
        let Some(begun) = this.begun else { return Poll::Pending };
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(begun + this.limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "request head took too long")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Dribble<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // A reply goes out: the next byte that comes in begins another request.
        this.rest();
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.rest();
        Pin::new(&mut this.stream).poll_write_vectored(cx, slices)
    }
}
