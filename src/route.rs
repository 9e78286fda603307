//! Method and path → handler; outcome → HTTP reply. The one place below which nothing knows HTTP.
//!
//! Problem bodies follow RFC 9457. Every reply to a beacon or a consent choice carries `Brine-Outcome`. 202
//! is never the answer for something that was dropped. The match in [`status_of`] has no wildcard.

mod apps;
pub(crate) mod body;
pub mod flow;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, ORIGIN, REFERER,
    RETRY_AFTER, VARY,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use self::body::Limits;
use self::flow::ReplyBody;
use crate::client::Client;
use crate::collector::{Carrier, ChoiceReply, Collector, Ended, Unread};
use crate::consent::COOKIE as CONSENT_COOKIE;
use crate::outcome::Outcome;
use crate::policy;
use crate::rights;
use crate::rights::desk::Rights;
use crate::rights::subject::MAX_BODY;
use crate::tracker::serve;

/// A reply; nearly every one's body is in memory.
pub type Reply = Response<ReplyBody>;

static BRINE_RECEIPT: HeaderName = HeaderName::from_static("brine-receipt");
static BRINE_OUTCOME: HeaderName = HeaderName::from_static("brine-outcome");

/// The public wire, described for machines; held against the running server by `tests/it/openapi.rs`.
pub const OPENAPI: &str = include_str!("openapi.yaml");

/// A transparent pixel, 43 bytes.
pub(crate) const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// Answers one request of the public listener. Must be called at once, not from within a future: a client
/// may be gone so soon that the future is dropped without ever having been polled, and its beacon counts all
/// the same.
///
/// # Errors
/// Never: whatever happens has a reply.
pub fn public(
    collector: Arc<Collector>,
    rights: Arc<Rights>,
    request: Request<Incoming>,
    peer: IpAddr,
) -> impl Future<Output = Result<Reply, Infallible>> + Send {
    let (head, body) = request.into_parts();
    let is_beacon = matches!(
        (&head.method, head.uri.path()),
        (&Method::POST, "/api/event") | (&Method::GET, "/pixel.gif" | "/matomo.php" | "/piwik.php")
    );
    let unread = if is_beacon {
        Some(Unread::beacon(collector.clone()))
    } else {
        let is_batch = head.method == Method::POST && apps::owns(head.uri.path());
        is_batch.then(|| Unread::batch(collector.clone()))
    };
    async move {
        Ok(match (&head.method, head.uri.path()) {
            (&Method::POST, "/api/event") => event(&collector, &head, body, peer, unread).await,
            // In boxes: these futures take kilobytes, and a request's future is moved several times.
            (&Method::GET, "/pixel.gif") => Box::pin(pixel(&collector, &head, peer, unread)).await,
            (_, path) if apps::owns(path) => {
                Box::pin(apps::answer(&collector, &head, body, peer, unread)).await
            }
            _ => Box::pin(other(&collector, &rights, &head, body, peer)).await,
        })
    }
}

/// Answers whatever is no beacon.
async fn other(
    collector: &Arc<Collector>,
    rights: &Arc<Rights>,
    head: &Parts,
    body: Incoming,
    peer: IpAddr,
) -> Reply {
    match (&head.method, head.uri.path()) {
        (&Method::POST, "/api/consent") => consent(collector, rights, head, body, peer).await,
        (&Method::GET | &Method::POST | &Method::DELETE, "/api/subject") => {
            rights::http::subject(collector, rights, head, body, peer).await
        }
        (&Method::OPTIONS, "/api/event" | "/api/consent" | "/api/subject") => {
            preflight(collector, head)
        }
        (&Method::GET | &Method::HEAD, path) if serve::owns(path) => {
            serve::script(path, &head.headers)
        }
        (&Method::GET | &Method::HEAD, path) if rights::page::owns(path) => {
            rights::page::answer(&collector.live.load().sites, head)
        }
        (&Method::GET | &Method::HEAD, path) if path.starts_with("/policy") => {
            let live = collector.live.load_full();
            let address = client(collector, head, peer).address;
            policy::page::answer(&live, head, address)
                .await
                .unwrap_or_else(|| problem(StatusCode::NOT_FOUND, None, "no such path"))
        }
        (&Method::GET | &Method::HEAD, "/.well-known/gpc.json") => {
            policy::page::gpc(&collector.live.load(), head)
        }
        (&Method::GET | &Method::HEAD, "/openapi.yaml") => typed(
            StatusCode::OK,
            "application/yaml",
            Bytes::from_static(OPENAPI.as_bytes()),
        ),
        (&Method::GET | &Method::HEAD, "/health") => plain(StatusCode::OK, "alive\n"),
        (&Method::GET | &Method::HEAD, "/ready") => ready(collector),
        (_, "/api/event" | "/api/consent") => not_allowed("POST, OPTIONS"),
        (_, "/api/subject") => not_allowed("GET, POST, DELETE, OPTIONS"),
        (_, "/pixel.gif" | "/openapi.yaml" | "/health" | "/ready") => not_allowed("GET"),
        (_, path) if serve::owns(path) || rights::page::owns(path) => not_allowed("GET"),
        (_, "/policy" | "/policy.json" | "/.well-known/gpc.json") => not_allowed("GET"),
        _ => problem(StatusCode::NOT_FOUND, None, "no such path"),
    }
}

async fn event(
    collector: &Collector,
    head: &Parts,
    body: Incoming,
    peer: IpAddr,
    unread: Option<Unread>,
) -> Reply {
    let started = Instant::now();
    let body = read_beacon_body(collector, head, body).await;
    // From here on every way out counts by itself.
    if let Some(unread) = unread {
        unread.read();
    }
    let ended = match body {
        Ok(body) => {
            let client = client(collector, head, peer);
            let cookie = cookie(&head.headers, CONSENT_COOKIE);
            collector
                .event(Carrier::Body(&body), header(head, &ORIGIN), cookie, client)
                .await
        }
        Err(ended) => ended,
    };
    collector
        .metrics
        .requests_seconds
        .observe(started.elapsed().as_secs_f64());
    beacon_reply(&ended, header(head, &ORIGIN), None)
}

async fn pixel(collector: &Collector, head: &Parts, peer: IpAddr, unread: Option<Unread>) -> Reply {
    let started = Instant::now();
    let client = client(collector, head, peer);
    let carrier = Carrier::Pixel {
        query: head.uri.query().unwrap_or_default(),
        referer: header(head, &REFERER),
    };
    if let Some(unread) = unread {
        unread.read();
    }
    let ended = collector
        .event(carrier, None, cookie(&head.headers, CONSENT_COOKIE), client)
        .await;
    collector
        .metrics
        .requests_seconds
        .observe(started.elapsed().as_secs_f64());
    beacon_reply(&ended, None, Some(GIF))
}

async fn consent(
    collector: &Collector,
    rights: &Rights,
    head: &Parts,
    body: Incoming,
    peer: IpAddr,
) -> Reply {
    let client = client(collector, head, peer);
    let origin = header(head, &ORIGIN);
    let limit = collector.config.server.max_body_bytes.max(MAX_BODY);
    let body = match read_json(collector, head, body, limit).await {
        Ok(body) => body,
        Err((outcome, detail)) => {
            return beacon_reply(
                &collector.refuse_unread_choice(outcome, detail),
                origin,
                None,
            );
        }
    };
    let (ended, choice) = collector.choose(&body, origin, client).await;
    let value = match choice {
        ChoiceReply::Granted {
            token,
            policy,
            expires,
        } => (
            StatusCode::CREATED,
            serde_json::json!({ "token": token, "policy": policy, "expires": expires.to_string() }),
        ),
        ChoiceReply::Standing {
            standing,
            policy,
            current_policy,
            expires,
            purposes,
        } => (
            StatusCode::OK,
            serde_json::json!({
                "valid": standing.is_ok(),
                "reason": standing.err().map(Outcome::code),
                "policy": policy,
                "current_policy": current_policy,
                "expires": expires.to_string(),
                "purposes": purposes,
            }),
        ),
        ChoiceReply::Erase(erasure) => {
            return rights::http::erase_withdrawn(rights, erasure, &ended, origin).await;
        }
        ChoiceReply::Noted => {
            let mut reply = empty(StatusCode::NO_CONTENT);
            annotate(&mut reply, &ended, origin);
            return reply;
        }
        ChoiceReply::Refused => return choice_refusal(&ended, origin),
    };
    let mut reply = json(value.0, &value.1);
    annotate(&mut reply, &ended, origin);
    reply
}

/// A beacon with a bad token is quietly not stored; a choice about a bad token is the caller's mistake.
fn choice_refusal(ended: &Ended, origin: Option<&str>) -> Reply {
    let status = match ended.outcome {
        Outcome::ConsentMalformed | Outcome::ConsentForged | Outcome::ConsentOtherSite => {
            StatusCode::BAD_REQUEST
        }
        Outcome::ConsentLapsed => StatusCode::CONFLICT,
        _ => return beacon_reply(ended, origin, None),
    };
    let mut reply = problem(status, Some(ended.outcome), &ended.detail);
    annotate(&mut reply, ended, origin);
    reply
}

/// A browser asks before it sends JSON to another origin (Fetch, "CORS-preflight request").
fn preflight(collector: &Collector, head: &Parts) -> Reply {
    let mut reply = empty(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("origin"));
    let Some(origin) = head.headers.get(ORIGIN) else {
        return reply;
    };
    if origin
        .to_str()
        .is_ok_and(|origin| collector.knows_origin(origin))
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST"),
        );
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            // The second one is Umami's.
            HeaderValue::from_static("content-type, x-umami-cache"),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
    reply
}

/// Ready means: able to keep the promise that 202 makes, now.
pub fn ready(collector: &Collector) -> Reply {
    let mut reasons = Vec::new();
    if collector
        .is_closing
        .load(std::sync::atomic::Ordering::Relaxed)
    {
        reasons.push(Outcome::ServerClosing.code());
    }
    let spool = collector.spool.stats();
    if spool.full.is_some() {
        reasons.push(Outcome::SpoolFull.code());
    }
    if spool.failing {
        reasons.push(Outcome::SpoolFailed.code());
    }
    let salts = collector.salts.living();
    if collector
        .live
        .load()
        .sites
        .iter()
        .any(|site| !salts.contains_key(&site.id))
    {
        reasons.push(Outcome::SaltUnavailable.code());
    }
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(
        status,
        &serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons }),
    )
}

pub(crate) fn client(collector: &Collector, head: &Parts, peer: IpAddr) -> Client {
    Client::read(
        &head.headers,
        peer,
        &collector.config.server.trusted_proxies,
    )
}

async fn read_beacon_body(
    collector: &Collector,
    head: &Parts,
    body: Incoming,
) -> Result<Bytes, Ended> {
    let limit = collector.config.server.max_body_bytes;
    read_json(collector, head, body, limit)
        .await
        .map_err(|(outcome, detail)| collector.refuse_unread(outcome, &detail))
}

/// Reads JSON for the collector, under its limits.
pub(crate) async fn read_json(
    collector: &Collector,
    head: &Parts,
    body: Incoming,
    bytes: usize,
) -> Result<Bytes, (Outcome, String)> {
    let time = collector.config.server.body_timeout;
    body::read(head, body, body::JSON_OR_TEXT, Limits { bytes, time })
        .await
        .map_err(|fault| (fault.outcome(), fault.detail()))
}

/// Returns what a status is for each outcome. Design: "Replies".
pub fn status_of(outcome: Outcome) -> StatusCode {
    match outcome {
        // What is repeated is durable since it came first.
        Outcome::Accepted | Outcome::EventRepeated => StatusCode::ACCEPTED,
        Outcome::BatchMixed => StatusCode::OK,
        Outcome::BeaconIncomplete => StatusCode::REQUEST_TIMEOUT,
        Outcome::BeaconTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Outcome::BeaconMediaType | Outcome::BeaconEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Outcome::BeaconMalformed
        | Outcome::BeaconUrl
        | Outcome::EventTooOld
        | Outcome::EventFuture
        | Outcome::ReceiptMalformed
        | Outcome::ReceiptForged
        | Outcome::ReceiptOtherSite => StatusCode::BAD_REQUEST,
        Outcome::SiteUnknown | Outcome::SiteWire => StatusCode::NOT_FOUND,
        Outcome::SiteOrigin | Outcome::SiteKey => StatusCode::FORBIDDEN,
        // The visitor's choice, or no choice yet: nothing is wrong, nothing is stored.
        Outcome::SignalGpc
        | Outcome::SignalDnt
        | Outcome::ConsentMissing
        | Outcome::ConsentMalformed
        | Outcome::ConsentForged
        | Outcome::ConsentOtherSite
        | Outcome::ConsentFuture
        | Outcome::ConsentExpired
        | Outcome::ConsentLapsed
        | Outcome::ConsentLater
        | Outcome::ConsentPurpose
        | Outcome::ConsentWithdrawn
        | Outcome::FilterBot
        | Outcome::FilterReferrerSpam
        | Outcome::FilterHostname
        | Outcome::FilterKind
        | Outcome::FilterRule => StatusCode::NO_CONTENT,
        Outcome::LimitAddress | Outcome::LimitSite => StatusCode::TOO_MANY_REQUESTS,
        Outcome::SaltUnavailable
        | Outcome::SpoolFull
        | Outcome::SpoolFailed
        | Outcome::StoreUnavailable
        | Outcome::ClientGone
        | Outcome::ServerClosing => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn beacon_reply(ended: &Ended, origin: Option<&str>, picture: Option<&'static [u8]>) -> Reply {
    let status = status_of(ended.outcome);
    let mut reply = if status.is_success() {
        match picture {
            Some(gif) if status == StatusCode::ACCEPTED => {
                typed(status, "image/gif", Bytes::from_static(gif))
            }
            _ => empty(status),
        }
    } else {
        problem(status, Some(ended.outcome), &ended.detail)
    };
    annotate(&mut reply, ended, origin);
    reply
}

pub(crate) fn annotate(reply: &mut Reply, ended: &Ended, origin: Option<&str>) {
    let headers = reply.headers_mut();
    headers.insert(
        BRINE_OUTCOME.clone(),
        HeaderValue::from_static(ended.outcome.code()),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Base64 and digits are a valid value.
    if let Some((receipt, seconds)) = &ended.receipt
        && let Ok(value) = HeaderValue::from_str(&format!("{receipt} {seconds}"))
    {
        headers.insert(BRINE_RECEIPT.clone(), value);
    }
    if let Some(wait) = ended.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if ended.is_own_origin
        && let Some(origin) = origin.and_then(|origin| HeaderValue::from_str(origin).ok())
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("brine-outcome, brine-receipt"),
        );
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }
}

/// A problem body (RFC 9457); its type is `about:blank`, the stable code stands in `outcome`.
pub fn problem(status: StatusCode, outcome: Option<Outcome>, detail: &str) -> Reply {
    let detail = match outcome {
        Some(outcome) if detail.is_empty() => outcome.meaning().to_owned(),
        _ => detail.to_owned(),
    };
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "outcome": outcome.map(Outcome::code),
    });
    let mut reply = json(status, &body);
    reply.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    reply
}

/// Tells whether somebody reads the answer: HTML is among what is accepted.
pub(crate) fn wants_page(head: &Parts) -> bool {
    header(head, &ACCEPT).is_some_and(|accepted| accepted.contains("text/html"))
}

/// A JSON reply.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    typed(status, "application/json", Bytes::from(value.to_string()))
}

/// A short text.
pub fn plain(status: StatusCode, text: &'static str) -> Reply {
    typed(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    )
}

/// A reply of a given media type.
pub fn typed(status: StatusCode, media_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(ReplyBody::from(body));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(ReplyBody::from(Bytes::new()));
    *reply.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        reply
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    reply
}

/// The path exists, the method does not fit it (RFC 9110, section 15.5.6).
pub fn not_allowed(allowed: &'static str) -> Reply {
    let mut reply = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        None,
        "method not allowed here",
    );
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

pub(crate) fn header<'a>(head: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    head.headers.get(name).and_then(|value| value.to_str().ok())
}

/// Finds a cookie (RFC 6265, section 5.4).
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| {
            let (found, value) = pair.trim().split_once('=')?;
            (found == name).then_some(value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_replies() {
        let table: Vec<String> = Outcome::ALL
            .iter()
            .map(|outcome| format!("{} {}", status_of(*outcome).as_u16(), outcome.code()))
            .collect();
        let expected = "202 accepted, 408 beacon.incomplete, 413 beacon.too_large, 415 beacon.media_type, \
            415 beacon.encoding, 400 beacon.malformed, 400 beacon.url, 404 site.unknown, 403 site.origin, 404 site.wire, 403 site.key, \
            400 event.too_old, 400 event.future, 204 signal.gpc, 204 signal.dnt, \
            204 consent.missing, 204 consent.malformed, 204 consent.forged, 204 consent.other_site, \
            204 consent.future, 204 consent.expired, 204 consent.lapsed, 204 consent.later, 204 consent.purpose, 204 consent.withdrawn, \
            400 receipt.malformed, 400 receipt.forged, 400 receipt.other_site, 429 limit.address, 429 limit.site, 204 filter.bot, 204 filter.referrer_spam, 204 filter.hostname, 204 filter.kind, \
            204 filter.rule, 503 salt.unavailable, 202 event.repeated, 200 batch.mixed, 503 spool.full, 503 spool.failed, 503 store.unavailable, 503 client.gone, 503 server.closing";
        assert_eq!(table.join(", "), expected);
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            COOKIE,
            HeaderValue::from_static("a=1; brine_consent=abc=; xbrine_consent=no"),
        );
        assert_eq!(cookie(&headers, CONSENT_COOKIE), Some("abc="));
        assert_eq!(cookie(&HeaderMap::new(), CONSENT_COOKIE), None);
    }
}
