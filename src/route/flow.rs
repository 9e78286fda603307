//! The body of a reply: in memory, or made while it is read.
//!
//! Comes in: bytes, or a [`Source`] of them. Goes out: frames for hyper. A flowing body is asked for its next piece only
//! when the one before has been taken by the connection, so that a slow reader holds back the source, and it is dropped
//! with all that it holds when the reader leaves. A source that breaks cuts the connection: what was sent cannot pass for
//! the whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;

/// Why a flowing body ends early.
#[derive(Clone, Copy, Debug, Error)]
#[error("the answer broke off")]
pub struct Broken;

/// A piece under way.
pub type Piece<'a> = Pin<Box<dyn Future<Output = Option<Result<Bytes, Broken>>> + Send + 'a>>;

/// Where a flowing body comes from.
pub trait Source: Send + 'static {
    /// Returns the next piece; none: it is whole.
    fn piece(&mut self) -> Piece<'_>;
}

/// A reply's body.
pub enum ReplyBody {
    /// In memory.
    Whole(Full<Bytes>),
    /// Made while it is read.
    Flowing(Flow),
}

/// A source, between two pieces or within one.
pub struct Flow(Option<Pin<Box<dyn Future<Output = Taken> + Send>>>);

type Taken = (Box<dyn Source>, Option<Result<Bytes, Broken>>);

async fn taken(mut source: Box<dyn Source>) -> Taken {
    let piece = source.piece().await;
    (source, piece)
}

impl ReplyBody {
    /// A body that `source` makes.
    pub fn flowing(source: impl Source) -> ReplyBody {
        ReplyBody::Flowing(Flow(Some(Box::pin(taken(Box::new(source))))))
    }
}

impl From<Bytes> for ReplyBody {
    fn from(bytes: Bytes) -> ReplyBody {
        ReplyBody::Whole(Full::new(bytes))
    }
}

impl std::fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReplyBody::Whole(body) => body.fmt(f),
            ReplyBody::Flowing(_) => f.write_str("Flowing"),
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let flow = match self.get_mut() {
            ReplyBody::Whole(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                return Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})));
            }
            ReplyBody::Flowing(flow) => flow,
        };
        let Some(next) = &mut flow.0 else {
            return Poll::Ready(None);
        };
        let (source, piece) = ready!(next.as_mut().poll(cx));
        flow.0 = match piece {
            Some(Ok(_)) => Some(Box::pin(taken(source))),
            Some(Err(_)) | None => None,
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Whole(body) => body.is_end_stream(),
            ReplyBody::Flowing(flow) => flow.0.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(body) => body.size_hint(),
            ReplyBody::Flowing(_) => SizeHint::default(),
        }
    }
}
