//! The admin listener: metrics, health, queries, visitors' requests by mail. Loopback by default.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use serde_json::json;

use crate::collector::Collector;
use crate::rights;
use crate::rights::desk::Rights;
use crate::route::{self, Reply, not_allowed, plain, problem, ready, typed};
use crate::run::maintain::record_salts;
use crate::salts::order::{Action, Order};
use crate::stats::request::MAX_BODY;
use crate::stats::{self, QueryError};
use crate::store::Store;

/// What the admin listener answers from.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Admin {
    pub collector: Arc<Collector>,
    pub store: Store,
    pub rights: Arc<Rights>,
}

impl Admin {
    /// Answers one request.
    ///
    /// # Errors
    /// Never: whatever happens has a reply.
    pub async fn answer(self, request: Request<Incoming>) -> Result<Reply, Infallible> {
        let (head, body) = request.into_parts();
        Ok(match (&head.method, head.uri.path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => typed(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                Bytes::from(self.collector.metrics.expose()),
            ),
            (&Method::GET | &Method::HEAD, "/health") => plain(StatusCode::OK, "alive\n"),
            (&Method::GET | &Method::HEAD, "/ready") => ready(&self.collector),
            (&Method::POST, "/api/v1/query") => self.query(&head, body).await,
            (&Method::POST, "/api/v1/rights") => self.rights(&head, body).await,
            (&Method::POST, "/api/v1/salts") => self.salts(&head, body).await,
            (_, "/metrics" | "/health" | "/ready") => not_allowed("GET"),
            (_, "/api/v1/query" | "/api/v1/rights" | "/api/v1/salts") => not_allowed("POST"),
            _ => problem(StatusCode::NOT_FOUND, None, "no such path"),
        })
    }

    /// Counts. A client that leaves drops this future, and with it the statement in ClickHouse.
    async fn query(&self, head: &Parts, body: Incoming) -> Reply {
        let body = match read_query(head, body, self.collector.config.server.body_timeout).await {
            Ok(body) => body,
            Err((status, detail)) => return problem(status, None, &detail),
        };
        let live = self.collector.live.load_full();
        let limits = &self.collector.config.query;
        let now = self.collector.clock.now();
        match stats::answer(&self.store.client, &live.sites, limits, &body, now).await {
            Ok(answer) => {
                let mut reply = route::json(StatusCode::OK, &answer.to_json());
                reply
                    .headers_mut()
                    .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                reply
            }
            Err(error) => query_problem(&error),
        }
    }

    /// Says how the salts are, or does to them what an operator asked for.
    async fn salts(&self, head: &Parts, body: Incoming) -> Reply {
        let timeout = self.collector.config.server.body_timeout;
        let body = match read_query(head, body, timeout).await {
            Ok(body) => body,
            Err((status, detail)) => return problem(status, None, &detail),
        };
        match serde_json::from_slice(&body) {
            Ok(order) => self.obey(order).await,
            Err(error) => problem(StatusCode::BAD_REQUEST, None, &error.to_string()),
        }
    }

    async fn obey(&self, order: Order) -> Reply {
        let live = self.collector.live.load_full();
        let site = match order.site.as_deref().map(|name| live.sites.find(name)) {
            Some(None) => return problem(StatusCode::NOT_FOUND, None, "no such site"),
            Some(Some(site)) => Some(site.id.clone()),
            None => None,
        };
        let (here, sites) = (self.collector.clone(), live.clone());
        let done = tokio::task::spawn_blocking(move || {
            let mut records = Vec::new();
            let now = here.clock.now();
            let is_meant = |id: &str| site.as_ref().is_none_or(|site| site.as_str() == id);
            let result = match order.action {
                Action::Status => Ok(()),
                action => here
                    .salts
                    .obey(action, &sites.sites, &is_meant, now, &mut records),
            };
            (records, result, here.salts.report(&sites.sites, now))
        });
        let Ok((records, result, report)) = done.await else {
            return problem(StatusCode::INTERNAL_SERVER_ERROR, None, "the task failed");
        };
        record_salts(&self.collector, &records).await;
        if let Err(error) = result {
            let detail = format!("{:#}", anyhow::Error::new(error));
            return problem(StatusCode::INTERNAL_SERVER_ERROR, None, &detail);
        }
        let n_destroyed = records.iter().filter(|r| r.step == "destroyed").count();
        let mut body = json!(report);
        body["destroyed"] = n_destroyed.into();
        body["created"] = (records.len() - n_destroyed).into();
        route::json(StatusCode::OK, &body)
    }

    /// Does what a visitor asked for by mail.
    async fn rights(&self, head: &Parts, body: Incoming) -> Reply {
        let timeout = self.collector.config.server.body_timeout;
        match read_query(head, body, timeout).await {
            Ok(body) => rights::http::operator(&self.rights, &body).await,
            Err((status, detail)) => problem(status, None, &detail),
        }
    }
}

/// Reads a query's body. Only JSON by its name: a page elsewhere cannot send that without asking first
/// (Fetch, "CORS-preflight request"), and is not answered here.
async fn read_query(
    head: &Parts,
    body: Incoming,
    timeout: std::time::Duration,
) -> Result<Bytes, (StatusCode, String)> {
    let media_type = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        return Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send application/json".into(),
        ));
    }
    match tokio::time::timeout(timeout, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err((
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("more than {MAX_BODY} bytes"),
        )),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body ended early".into())),
        Err(_) => Err((
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time".into(),
        )),
    }
}

/// RFC 9457; a refused query has `key`, `value` and `reason` besides.
fn query_problem(error: &QueryError) -> Reply {
    let status = match error {
        QueryError::BadRequest(_) => StatusCode::BAD_REQUEST,
        QueryError::UnknownSite => StatusCode::NOT_FOUND,
        QueryError::TooExpensive { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        QueryError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        QueryError::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if error.is_ours() {
        let source = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(status = status.as_u16(), source, "{error}");
    }
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": error.to_string(),
    });
    if let QueryError::BadRequest(refusal) = error {
        body["key"] = refusal.key.as_str().into();
        body["value"] = refusal.value.as_str().into();
        body["reason"] = refusal.reason.as_str().into();
    }
    let mut reply = route::json(status, &body);
    let headers = reply.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if error.is_retryable() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    reply
}
