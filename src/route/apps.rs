//! Requests that may hold several events: `/api/events`, and other collectors' wires.

use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, ORIGIN};
use hyper::http::request::Parts;
use serde::Serialize;

use super::body::{self, Limits};
use super::{
    Reply, annotate, beacon_reply, client, cookie, header, not_allowed, preflight, read_json,
    status_of, typed,
};
use crate::apps::BatchEnded;
use crate::apps::body::unpack;
use crate::collector::delivery::End;
use crate::collector::{Collector, Unread};
use crate::consent::COOKIE as CONSENT_COOKIE;
use crate::outcome::Outcome;
use crate::wires::matomo;

/// Tells whether `path` is answered here.
pub(super) fn owns(path: &str) -> bool {
    matches!(
        path,
        "/api/events" | "/api/send" | "/matomo.php" | "/piwik.php"
    )
}

/// Answers a request for such a path.
pub(super) async fn answer(
    collector: &Collector,
    head: &Parts,
    body: Incoming,
    peer: IpAddr,
    unread: Option<Unread>,
) -> Reply {
    match (&head.method, head.uri.path()) {
        (&Method::POST, "/api/events") => batch(collector, head, body, peer, unread).await,
        (&Method::POST, "/api/send") => umami(collector, head, body, peer, unread).await,
        (&Method::OPTIONS, "/api/events" | "/api/send") => preflight(collector, head),
        (_, "/api/events" | "/api/send") => not_allowed("POST, OPTIONS"),
        (&Method::GET | &Method::POST, _) => matomo(collector, head, body, peer, unread).await,
        _ => not_allowed("GET, POST"),
    }
}

async fn batch(
    collector: &Collector,
    head: &Parts,
    body: Incoming,
    peer: IpAddr,
    unread: Option<Unread>,
) -> Reply {
    let started = Instant::now();
    let client = client(collector, head, peer);
    let origin = header(head, &ORIGIN);
    let limit = collector.config.server.max_batch_bytes;
    let body = match read_json(collector, head, body, limit).await {
        Ok(body) => unpack(body, header(head, &CONTENT_ENCODING), limit),
        Err(refused) => Err(refused),
    };
    if let Some(unread) = unread {
        unread.read();
    }
    let key = header(head, &AUTHORIZATION).map(|value| {
        let (scheme, key) = value.split_once(' ').unwrap_or_default();
        if scheme.eq_ignore_ascii_case("bearer") {
            key.trim()
        } else {
            ""
        }
    });
    let ended = match body {
        Ok(body) => collector.batch(&body, origin, key, client).await,
        Err((outcome, detail)) => collector.refuse_unread_batch(outcome, detail),
    };
    collector
        .metrics
        .requests_seconds
        .observe(started.elapsed().as_secs_f64());
    batch_reply(&ended, origin)
}

fn batch_reply(ended: &BatchEnded, origin: Option<&str>) -> Reply {
    let BatchEnded {
        ended,
        ends,
        device,
        receipts,
    } = ended;
    let status = status_of(ended.outcome);
    // Worth sending again as a whole, or refused as a whole: what became of one event is of no use.
    if ends.is_empty() || !status.is_success() {
        return beacon_reply(ended, origin, None);
    }
    let reply = BatchReply {
        outcome: ended.outcome.code(),
        results: ends.iter().map(WireEnd::of).collect(),
        device: *device,
        receipts: receipts.iter().map(WireReceipt::of).collect(),
    };
    // Plain data: nothing in it can fail.
    let body = serde_json::to_vec(&reply).unwrap_or_default();
    let mut reply = typed(status, "application/json", Bytes::from(body));
    annotate(&mut reply, ended, origin);
    reply
}

async fn matomo(
    collector: &Collector,
    head: &Parts,
    body: Incoming,
    peer: IpAddr,
    unread: Option<Unread>,
) -> Reply {
    let client = client(collector, head, peer);
    let origin = header(head, &ORIGIN);
    // Content types of its clients are of all kinds; the body tells a bulk from a form.
    let body = if head.method == Method::GET {
        Ok(Bytes::new())
    } else {
        read_unpacked(collector, head, body).await
    };
    if let Some(unread) = unread {
        unread.read();
    }
    match body {
        Ok(body) => {
            let request = matomo::Request {
                query: head.uri.query().unwrap_or_default(),
                body: &body,
                origin,
                cookie: cookie(&head.headers, CONSENT_COOKIE),
                client,
            };
            collector.matomo(request).await
        }
        Err((outcome, detail)) => beacon_reply(
            &collector.refuse_unread_batch(outcome, detail).ended,
            origin,
            None,
        ),
    }
}

async fn umami(
    collector: &Collector,
    head: &Parts,
    body: Incoming,
    peer: IpAddr,
    unread: Option<Unread>,
) -> Reply {
    let client = client(collector, head, peer);
    let origin = header(head, &ORIGIN);
    let body = read_unpacked(collector, head, body).await;
    if let Some(unread) = unread {
        unread.read();
    }
    match body {
        Ok(body) => {
            let cookie = cookie(&head.headers, CONSENT_COOKIE);
            collector.umami(&body, origin, cookie, client).await
        }
        Err((outcome, detail)) => beacon_reply(
            &collector.refuse_unread_batch(outcome, detail).ended,
            origin,
            None,
        ),
    }
}

/// Reads a body of any type, packed or not.
async fn read_unpacked(
    collector: &Collector,
    head: &Parts,
    body: Incoming,
) -> Result<Bytes, (Outcome, String)> {
    let limit = collector.config.server.max_batch_bytes;
    let limits = Limits {
        bytes: limit,
        time: collector.config.server.body_timeout,
    };
    let body = body::read_any(head, body, limits).await;
    let body = body.map_err(|fault| (fault.outcome(), fault.detail()))?;
    unpack(body, header(head, &CONTENT_ENCODING), limit)
}

/// What a batch is answered with (README, "Apps").
#[derive(Serialize)]
struct BatchReply<'a> {
    outcome: &'static str,
    results: Vec<WireEnd<'a>>,
    device: Option<&'static str>,
    receipts: Vec<WireReceipt<'a>>,
}

#[derive(Serialize)]
struct WireEnd<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

impl WireEnd<'_> {
    fn of(end: &End) -> WireEnd<'_> {
        WireEnd {
            outcome: end.outcome.code(),
            detail: &end.detail,
        }
    }
}

#[derive(Serialize)]
struct WireReceipt<'a> {
    receipt: &'a str,
    ends_in_s: i64,
}

impl WireReceipt<'_> {
    fn of((receipt, ends_in_s): &(String, i64)) -> WireReceipt<'_> {
        WireReceipt {
            receipt,
            ends_in_s: *ends_in_s,
        }
    }
}
