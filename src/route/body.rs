//! Reading a request's body, on either listener.
//!
//! Comes in: a body under way. Goes out: its bytes, within its limits of type, size and time, or a [`Fault`]. Promises: a
//! body that is refused is read on and dropped for a while, because a server that closes while its client still sends
//! makes the client's system throw the reply away (RFC 9112, section 9.6).

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT};
use hyper::http::request::Parts;

use super::header;
use crate::outcome::Outcome;

/// Bytes of a refused body that are read and dropped; beyond them the connection is closed on it. Four times the largest
/// body that is taken by default, a batch from an app.
const DISCARDED_BYTES: usize = 4 << 20;

/// What a form of a page is sent as.
pub(crate) const FORM: &[&str] = &["application/x-www-form-urlencoded"];
/// Only JSON by its name: a page elsewhere cannot send that without asking first (Fetch, "CORS-preflight request").
pub(crate) const JSON: &[&str] = &["application/json"];
/// `text/plain` spares a tracker the preflight.
pub(crate) const JSON_OR_TEXT: &[&str] = &["application/json", "text/plain"];

/// How much of a body is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// One of these media types is wanted.
    MediaType(&'static [&'static str]),
    /// So many bytes are taken.
    TooLarge(usize),
    /// The client ended it early.
    Cut,
    /// It was not there in time.
    Late,
}

impl Fault {
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Fault::MediaType(_) => Outcome::BeaconMediaType,
            Fault::TooLarge(_) => Outcome::BeaconTooLarge,
            Fault::Cut | Fault::Late => Outcome::BeaconIncomplete,
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        super::status_of(self.outcome())
    }

    pub(crate) fn detail(self) -> String {
        match self {
            Fault::MediaType(wanted) => format!("send {}", wanted.join(" or ")),
            Fault::TooLarge(limit) => format!("more than {limit} bytes"),
            Fault::Cut => "the body ended early".into(),
            Fault::Late => "the body did not arrive in time".into(),
        }
    }
}

/// Reads a body of one of `media_types`.
///
/// # Errors
/// [`Fault`]: its type, its size, its end or its time.
pub(crate) async fn read(
    head: &Parts,
    mut body: Incoming,
    media_types: &'static [&'static str],
    limits: Limits,
) -> Result<Bytes, Fault> {
    let content_type = header(head, &CONTENT_TYPE).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !media_types
        .iter()
        .any(|wanted| essence.eq_ignore_ascii_case(wanted))
    {
        Box::pin(discard(head, &mut body, limits.time)).await;
        return Err(Fault::MediaType(media_types));
    }
    read_any(head, body, limits).await
}

/// Reads a body of whatever type.
///
/// # Errors
/// [`Fault`]: its size, its end or its time.
pub(crate) async fn read_any(
    head: &Parts,
    mut body: Incoming,
    limits: Limits,
) -> Result<Bytes, Fault> {
    let too_large = Fault::TooLarge(limits.bytes);
    if body.size_hint().lower() > limits.bytes as u64 {
        Box::pin(discard(head, &mut body, limits.time)).await;
        return Err(too_large);
    }
    let collected = Limited::new(&mut body, limits.bytes).collect();
    match tokio::time::timeout(limits.time, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Box::pin(discard(head, &mut body, limits.time)).await;
            Err(too_large)
        }
        Ok(Err(_)) => Err(Fault::Cut),
        Err(_) => Err(Fault::Late),
    }
}

/// Reads what is left of a refused body, at most [`DISCARDED_BYTES`] of it and for as long as a body may take.
///
/// Not of one whose client waits to be told to send it (RFC 9110, section 10.1.1): there the reply is what it waits for.
pub(crate) async fn discard(head: &Parts, body: &mut Incoming, time: Duration) {
    if head.headers.contains_key(EXPECT) {
        return;
    }
    let reading = async {
        let mut left = DISCARDED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(read) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // In time or not, the reply follows.
    let _ended_in_time = tokio::time::timeout(time, reading).await.is_ok();
}
