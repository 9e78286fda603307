//! A stream that gives a request's head a strict deadline and an idle connection a generous one.
//!
//! hyper's own header time-out starts while a keep-alive connection is still idle, so it cannot be both, and
//! it sets up a timer for every request. Here one timer a connection is moved only when it is due: the strict
//! clock starts with the first byte of a request and stops when the handler takes over (which has a time-out
//! of its own for the body); the generous one starts when a reply has gone out.

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
    head_limit: Duration,
    idle_limit: Duration,
    /// Set while a head has begun and is not complete.
    begun: Option<Instant>,
    /// When the last reply went out, or the connection began.
    quiet_since: Instant,
    /// Since when nothing of what is to be written was taken.
    stalled_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Dribble<S> {
    pub(super) fn new(
        stream: S,
        phase: Phase,
        head_limit: Duration,
        idle_limit: Duration,
    ) -> Dribble<S> {
        Dribble {
            stream,
            phase,
            head_limit,
            idle_limit,
            begun: None,
            quiet_since: Instant::now(),
            stalled_since: None,
            timer: None,
        }
    }

    /// A reply goes out: the next byte that comes in begins another request. One that flows for long is not idle as
    /// long as the client takes it.
    fn replied(&mut self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.begun = None;
            self.quiet_since = Instant::now();
        }
    }

    /// Returns ready when the peer has been waited for long enough.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_answering = self.phase.is_answering.load(Ordering::Relaxed);
        let deadline = match self.begun {
            // The handler has a time-out of its own. But a timer must be running when it is done: hyper may not
            // ask for bytes again after the reply, and the connection would then be idle for ever.
            _ if is_answering => Instant::now() + self.idle_limit,
            Some(begun) => begun + self.head_limit,
            None => self.quiet_since + self.idle_limit,
        };
        self.poll_until(cx, deadline, is_answering)
    }

    /// Returns an error when the peer has taken nothing of what is written for long enough. While there is something to write,
    /// hyper may not ask for bytes: nobody else looks at the clock.
    fn poll_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled_since = None;
            return written;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        ready!(self.poll_until(cx, since + self.idle_limit, false));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not take its reply",
        )))
    }

    fn poll_until(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Instant,
        is_answering: bool,
    ) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if !is_answering && timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            // It was set for an earlier request; the peer has been heard of since.
            timer.as_mut().reset(deadline);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Dribble<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            if buffer.filled().len() > before && this.begun.is_none() {
                this.begun = Some(Instant::now());
            }
            return Poll::Ready(result);
        }
        ready!(this.poll_deadline(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client kept us waiting",
        )))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Dribble<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.replied(&written);
        this.poll_stalled(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.poll_stalled(cx, flushed)
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
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.replied(&written);
        this.poll_stalled(cx, written)
    }
}
