//! `/api/subject`: requests over HTTP, and what they are answered with.
//!
//! | | |
//! |---|---|
//! | `POST` | `{site, action, token?, receipts?, …}`, see [`super::subject::Wire`]; at most 64 KiB, 800 receipts |
//! | `GET ?site=…` | see, by the consent cookie or `Authorization: Bearer <token>` |
//! | `DELETE ?site=…` | erase, likewise |
//!
//! 200: done; the body says what. 202: promised, and under way; ask with `{"action":"status","request":…}`. An
//! `Origin` must be a page of the site, of a site that shares its consent, or the collector's own. The token and the
//! receipts are the key: whoever has them is the visitor. They never travel in a URL, where logs would keep them.

use std::net::IpAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use url::form_urlencoded;

use super::desk::Rights;
use super::subject::{Action, Channel, MAX_BODY, Wire};
use crate::beacon::{Refused, is_own_origin};
use crate::collector::{Collector, Ended};
use crate::config::{Site, Sites};
use crate::consent::COOKIE;
use crate::consent::choice::Erasure;
use crate::outcome::Outcome;
use crate::route::body::discard;
use crate::route::{Reply, annotate, client, cookie, header, json, problem, read_json, status_of};

/// How soon the state of an erasure is worth asking for.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Answers a visitor.
pub async fn subject(
    collector: &Collector,
    rights: &Rights,
    head: &Parts,
    body: Incoming,
    peer: IpAddr,
) -> Reply {
    let origin = header(head, &ORIGIN);
    let wire = match read(collector, head, body, peer).await {
        Ok(wire) => wire,
        Err(refused) => return refusal(&refused, false, origin),
    };
    let is_welcome = match (origin, collector.live.load().sites.find(&wire.site)) {
        (Some(origin), Some(site)) => {
            if !is_of_scope(&collector.live.load().sites, site, origin)
                && !is_own_page(head, origin)
            {
                let reason = "Origin is not one of the site's own";
                let refused = Refused::because(Outcome::SiteOrigin, Some(site), reason);
                return refusal(&refused, false, Some(origin));
            }
            true
        }
        // Apps and servers send none; a site that is not known is refused as such.
        _ => false,
    };
    answered(rights, wire, Channel::Visitor, is_welcome, origin).await
}

/// Answers an operator, on the admin listener.
pub async fn operator(rights: &Rights, body: &[u8]) -> Reply {
    match serde_json::from_slice(body) {
        Ok(wire) => answered(rights, wire, Channel::Operator, false, None).await,
        Err(error) => refusal(&malformed(&error), false, None),
    }
}

/// Erases what a withdrawal asked to be erased, and answers for both.
pub async fn erase_withdrawn(
    rights: &Rights,
    erasure: Erasure,
    ended: &Ended,
    origin: Option<&str>,
) -> Reply {
    let wire = Wire {
        site: erasure.site,
        action: Some(Action::Erase),
        token: Some(erasure.token),
        receipts: erasure.receipts,
        ..Wire::default()
    };
    answered(rights, wire, Channel::Visitor, ended.is_own_origin, origin).await
}

async fn answered(
    rights: &Rights,
    wire: Wire,
    channel: Channel,
    is_welcome: bool,
    origin: Option<&str>,
) -> Reply {
    match rights.answer(wire, channel).await {
        Ok(answer) => {
            let (status, wait) = match answer.is_done {
                true => (StatusCode::OK, None),
                false => (StatusCode::ACCEPTED, Some(ASK_AGAIN)),
            };
            let mut reply = json(status, &answer.body);
            let ended = ended(Outcome::Accepted, wait, is_welcome);
            annotate(&mut reply, &ended, origin);
            reply
        }
        Err(refused) => refusal(&refused, is_welcome, origin),
    }
}

async fn read(
    collector: &Collector,
    head: &Parts,
    mut body: Incoming,
    peer: IpAddr,
) -> Result<Wire, Refused> {
    let client = client(collector, head, peer);
    let limited = collector.live.load().limiter.rights(client.address);
    if let Err(wait) = limited {
        discard(head, &mut body, collector.config.server.body_timeout).await;
        return Err(Refused {
            wait: Some(wait),
            ..Refused::because(Outcome::LimitAddress, None, "")
        });
    }
    if head.method == Method::POST {
        let body = read_json(collector, head, body, MAX_BODY).await;
        let body = body.map_err(|(outcome, detail)| Refused::because(outcome, None, detail))?;
        return serde_json::from_slice(&body).map_err(|error| malformed(&error));
    }
    let query = head.uri.query().unwrap_or_default();
    let site = form_urlencoded::parse(query.as_bytes())
        .find_map(|(key, value)| (key == "site").then(|| value.into_owned()));
    let bearer = header(head, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    Ok(Wire {
        site: site.unwrap_or_default(),
        action: Some(match head.method {
            Method::DELETE => Action::Erase,
            _ => Action::See,
        }),
        token: bearer.or(cookie(&head.headers, COOKIE)).map(str::to_owned),
        ..Wire::default()
    })
}

/// serde names the key and what was expected; the value it saw stays out.
fn malformed(error: &serde_json::Error) -> Refused {
    let place = format!("line {} column {}", error.line(), error.column());
    Refused::because(
        Outcome::BeaconMalformed,
        None,
        format!("not a request at {place}"),
    )
}

/// Tells whether a page of `origin` belongs to the site, or to one that shares its consent.
fn is_of_scope(sites: &Sites, site: &Site, origin: &str) -> bool {
    sites
        .iter()
        .filter(|other| other.scope == site.scope)
        .any(|other| is_own_origin(other, origin))
}

/// Tells whether the request comes from a page that this collector served: `/my-data`.
fn is_own_page(head: &Parts, origin: &str) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some() && authority == header(head, &HOST)
}

fn refusal(refused: &Refused, is_welcome: bool, origin: Option<&str>) -> Reply {
    let wait = match refused.outcome {
        Outcome::LimitAddress => refused.wait.map(|wait| wait + Duration::from_secs(1)),
        Outcome::StoreUnavailable | Outcome::SpoolFull | Outcome::SpoolFailed => {
            Some(Duration::from_secs(10))
        }
        _ => None,
    };
    // A token that is none is the caller's mistake here, as at `/api/consent`.
    let status = match status_of(refused.outcome) {
        StatusCode::NO_CONTENT => StatusCode::BAD_REQUEST,
        status => status,
    };
    let mut reply = problem(status, Some(refused.outcome), &refused.detail);
    annotate(
        &mut reply,
        &ended(refused.outcome, wait, is_welcome),
        origin,
    );
    reply
}

fn ended(outcome: Outcome, retry_after: Option<Duration>, is_own_origin: bool) -> Ended {
    Ended {
        outcome,
        detail: String::new(),
        retry_after,
        is_own_origin,
        receipt: None,
    }
}
